//! The `mcp-server` program itself, command line and all, for scenes that need it as a process: cargo builds no other package's
//! binaries for a test.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    mcp_server::cli::main(mcp_server::app::Hooks::default()).await
}
