//! What the `agent` binary does: serve everything, or talk to it.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser as _;
use migrations::clock::SystemClock;
use migrations::settings::Reader;
use migrations::telemetry::{self, DEFAULT_FILTER};

use crate::app::Hooks;
use crate::cli::{self, Arguments, ChatArguments, ChatOptions, Command, Console, StubArguments};
use crate::config::{Config, MetricsDoor};
use crate::pages::EXAMPLES;
use crate::start::{self, Started};
use crate::stub_provider::{self, Script};

#[cfg(feature = "embedded")]
use crate::embedded::{self, ToolServer};

/// Runs the program; what goes wrong is one sentence on standard error.
pub async fn main() -> ExitCode {
    let _ = dotenvy::dotenv();
    let done = match Arguments::parse().command {
        None => serve().await.map(|()| ExitCode::SUCCESS),
        Some(Command::Chat(arguments)) => chat(arguments).await,
        Some(Command::StubProvider(arguments)) => {
            rehearse(arguments).await.map(|()| ExitCode::SUCCESS)
        }
    };
    done.unwrap_or_else(|error| {
        say(&format!("{error:#}"));
        ExitCode::FAILURE
    })
}

async fn serve() -> anyhow::Result<()> {
    let settings = Reader::environment();
    let config = Config::read(&settings)?;
    let telemetry = telemetry::start("agent", DEFAULT_FILTER, &config.telemetry)?;
    let whole = Whole::start(&settings, config, &mut say).await?;
    say(&format!("chat     {}", whole.agent.url()));
    say(&format!("tools    {}", whole.tools_url()));
    say(&format!(
        "model    {}",
        whole.agent.app.settings.model.line()
    ));
    if let Some(data) = whole.data_dir() {
        say(&format!("data     {}", data.display()));
    }
    say("Say, on the page or with `agent chat`:");
    for example in EXAMPLES {
        say(&format!("  {example}"));
    }
    say("Ctrl-C stops it.");
    stopped().await;
    say("Stopping ...");
    whole.stop().await;
    telemetry.stop().await;
    Ok(())
}

async fn chat(arguments: ChatArguments) -> anyhow::Result<ExitCode> {
    start::install_crypto();
    let settings = Reader::environment();
    let config = Config::read(&settings)?;
    let given = arguments.url.clone();
    let url = given.clone().unwrap_or_else(|| cli::local_url(config.bind));
    // Somewhere else than here nothing can be started.
    if given.is_some() || cli::is_running(&url).await? {
        let options = ChatOptions {
            token: config.caller_token,
            ..arguments.into()
        };
        return Ok(cli::chat(&url, options, &mut Console::new()).await?.into());
    }
    let _telemetry = telemetry::start("agent", "error", &config.telemetry)?;
    let options = ChatOptions {
        token: config.caller_token.clone(),
        ..arguments.into()
    };
    let whole = Whole::start(&settings, config, &mut say).await?;
    let ended = cli::chat(&whole.agent.url(), options, &mut Console::new()).await;
    whole.stop().await;
    Ok(ended?.into())
}

/// Serves the stub provider until it is told to stop.
async fn rehearse(arguments: StubArguments) -> anyhow::Result<()> {
    let StubArguments {
        bind,
        script,
        faults,
    } = arguments;
    if !bind.ip().is_loopback() {
        anyhow::bail!(
            "--bind {bind}: use a loopback address such as 127.0.0.1:8010, because whoever reaches the stub can read what it was asked."
        );
    }
    let script = match script {
        Some(path) => {
            Script::load(&path).with_context(|| format!("--script {}", path.display()))?
        }
        None => Script::built_in()?,
    };
    let listener = tokio::net::TcpListener::bind(bind)
        .await
        .with_context(|| format!("Cannot listen on {bind}. Set --bind to a free address"))?;
    let stub = stub_provider::serve(listener, script, faults, Arc::new(SystemClock))?;
    say(&format!("provider {}", stub.base_url()));
    say("Start the agent with:");
    say(&format!("  OPENAI_BASE_URL={}", stub.base_url()));
    say("  OPENAI_API_KEY=stub");
    say(&format!("asked    GET {}/requests", stub.url()));
    say(&format!(
        "change   PUT {0}/script, PUT {0}/faults",
        stub.url()
    ));
    say("Ctrl-C stops it.");
    stopped().await;
    stub.stop().await;
    Ok(())
}

/// The agent, and the tool server if it is in this process.
struct Whole {
    agent: Started,
    #[cfg(feature = "embedded")]
    tools: Option<ToolServer>,
    url: String,
}

impl Whole {
    async fn start(
        settings: &Reader,
        config: Config,
        progress: &mut (dyn FnMut(&str) + Send),
    ) -> anyhow::Result<Whole> {
        // The port first: a second program on it should not touch the database.
        let listener = start::listen(config.bind).await?;
        #[cfg(feature = "embedded")]
        let tools = match &config.mcp_server_url {
            Some(_) => None,
            None => Some(embedded::tool_server(settings, progress).await?),
        };
        #[cfg(feature = "embedded")]
        let here = tools.as_ref().map(ToolServer::url);
        #[cfg(not(feature = "embedded"))]
        let here = {
            let _ = settings;
            None
        };
        let url: String = config.mcp_server_url.clone().or(here).ok_or_else(|| anyhow::anyhow!("Set MCP_SERVER_URL to the address of mcp-server, such as http://127.0.0.1:8001/mcp."))?;
        // The tool server has told about the database already, if it is ours.
        #[cfg(feature = "embedded")]
        let told = matches!(tools, Some(ToolServer::Ours(_)));
        #[cfg(not(feature = "embedded"))]
        let told = false;
        let mut config = config;
        // One process, one set of counters: the tool server shows them where METRICS_BIND says.
        if told && matches!(config.metrics, MetricsDoor::At(_)) {
            config.metrics = MetricsDoor::Elsewhere;
        }
        let mut own = |line: &str| {
            if !told {
                progress(line);
            }
        };
        let agent =
            start::start_on(listener, config, &url, None, Hooks::default(), &mut own).await?;
        Ok(Whole {
            agent,
            #[cfg(feature = "embedded")]
            tools,
            url,
        })
    }

    fn tools_url(&self) -> &str {
        &self.url
    }

    fn data_dir(&self) -> Option<std::path::PathBuf> {
        #[cfg(feature = "embedded")]
        return self.tools.as_ref().and_then(ToolServer::data_dir);
        #[cfg(not(feature = "embedded"))]
        None
    }

    /// The agent first: its runs still need the tools.
    async fn stop(self) {
        self.agent.stop().await;
        #[cfg(feature = "embedded")]
        if let Some(tools) = self.tools {
            tools.stop().await;
        }
    }
}

/// Ctrl-C, or what a service manager sends.
async fn stopped() {
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate => {}
    }
}

#[expect(
    clippy::print_stderr,
    reason = "this is where the program talks to the person who started it"
)]
fn say(line: &str) {
    eprintln!("{line}");
}
