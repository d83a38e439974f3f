//! `agent`: see the library.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    agent::program::main().await
}
