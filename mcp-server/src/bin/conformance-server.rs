//! `mcp-server` with the fixtures of the conformance suite beside its tools. See `tests/interop/conformance/run`.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    mcp_server::cli::main(mcp_server::app::Hooks::default()).await
}
