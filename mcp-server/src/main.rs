//! `mcp-server`: see the library.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    mcp_server::cli::main(mcp_server::app::Hooks::default()).await
}
