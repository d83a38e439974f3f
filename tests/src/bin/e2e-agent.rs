//! `agent` with a place to stop at, for crash tests. Prints its address and serves until it is killed, or told to stop.

use std::path::PathBuf;
use std::sync::Arc;

use agent::app::Hooks;
use agent::config::Config;
use agent::models::Model;
use agent::start;
use e2e::program::{CALLS_AS_TOLD, PAUSE_FILE, Pause, terminated};
use e2e::world::foreign::CallsAsTold;
use migrations::settings::Reader;

/// Requests make and drop many small objects; this allocator does that in half the time of the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing::Level::WARN)
        .init();
    let settings = Reader::environment();
    let hooks = settings
        .optional(PAUSE_FILE)
        .map_or_else(Hooks::default, |file| {
            Hooks::new(Pause::by(PathBuf::from(file)).hook())
        });
    // The interpreter has no sentences for somebody else's tools.
    let told = settings.optional(CALLS_AS_TOLD);
    let model = told.map(|_| Arc::new(CallsAsTold) as Arc<dyn Model>);
    let config = Config::read(&settings)?;
    let tools = config
        .mcp_server_url
        .clone()
        .ok_or_else(|| anyhow::anyhow!("MCP_SERVER_URL is not set"))?;
    let listener = start::listen(config.bind).await?;
    let started = start::start_on(listener, config, &tools, model, hooks, &mut |_| {}).await?;
    #[expect(clippy::print_stdout, reason = "the test reads the address")]
    {
        println!("{}", started.url());
    }
    terminated().await?;
    started.stop().await;
    Ok(())
}
