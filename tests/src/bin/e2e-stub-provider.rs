//! The stub provider as a process of its own, so that its share of the processor can be told from the agent's. Takes the file of a
//! script, or none; prints its address and serves until it is killed.

use std::path::PathBuf;
use std::sync::Arc;

use agent::stub_provider::{self, Script};
use migrations::clock::SystemClock;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let file = std::env::args_os().nth(1).map(PathBuf::from);
    let script = file.map_or_else(Script::built_in, |file| Script::load(&file))?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let running = stub_provider::serve(listener, script, [], Arc::new(SystemClock))?;
    #[expect(clippy::print_stdout, reason = "whoever started it reads the address")]
    {
        println!("{}", running.url());
    }
    std::future::pending().await
}
