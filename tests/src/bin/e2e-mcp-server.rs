//! `mcp-server` with a place to stop at, for crash tests. Prints its address and serves until it is killed, or told to stop.

use std::path::PathBuf;

use e2e::program::{PAUSE_FILE, Pause, QUIET, terminated};
use mcp_server::app::Hooks;
use mcp_server::config::Config;
use mcp_server::start;
use migrations::settings::Reader;
use tracing_subscriber::filter::LevelFilter;

/// Requests make and drop many small objects; this allocator does that in half the time of the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let settings = Reader::environment();
    let level = match settings.optional(QUIET) {
        Some(_) => LevelFilter::OFF,
        None => LevelFilter::WARN,
    };
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(level)
        .init();
    let hooks = settings
        .optional(PAUSE_FILE)
        .map_or_else(Hooks::default, |file| {
            Hooks::new(Pause::by(PathBuf::from(file)).hook())
        });
    let started = start::start(Config::read(&settings)?, hooks, &mut |_| {}).await?;
    #[expect(clippy::print_stdout, reason = "the test reads the address")]
    {
        println!("{}", started.mcp_url());
    }
    terminated().await?;
    started.stop().await;
    Ok(())
}
