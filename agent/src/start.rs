//! Putting the program together: database, tool server, worker, doors. Used by `agent` and by tests.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Once};
use std::time::Duration;

use axum::serve::ListenerExt as _;
use migrations::database::{self, Database};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::app::{App, Hooks};
use crate::config::{Config, MetricsDoor};
use crate::http::slow::{Hurried, Peer};
use crate::identity::Identities;
use crate::models::Model;
use crate::models::fallback::Fallback;
use crate::models::interpreter::Interpreter;
use crate::models::openai::Provider;
use crate::run::{elsewhere, worker};
use crate::tokens::Signer;
use crate::tools::Tools;

/// How long open requests and runs may take once the program is told to stop. What is not done by then is gone on with after the next
/// start.
const DRAIN: Duration = Duration::from_secs(5);

/// A running agent. Stop it with [`Started::stop`].
pub struct Started {
    /// What it works with.
    pub app: Arc<App>,
    /// Where it listens.
    pub address: SocketAddr,
    serving: JoinHandle<io::Result<()>>,
    looking: [JoinHandle<()>; 2],
    database: Database,
}

impl Started {
    /// Where the chat page and the API are.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets open requests and runs finish, then closes the database.
    pub async fn stop(mut self) {
        self.app.stop.cancel();
        self.app.tasks.close();
        let _ = tokio::time::timeout(DRAIN, self.app.tasks.wait()).await;
        if let Ok(Err(error)) = (&mut self.serving).await {
            tracing::error!(%error, "serving ended");
        }
        for looking in &mut self.looking {
            let _ = looking.await;
        }
        self.app.tools.close().await;
        self.database.pool.close().await;
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.app.stop.cancel();
    }
}

/// Takes the port, or says in one sentence why not.
///
/// # Errors
/// The sentence.
pub async fn listen(bind: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(bind).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => anyhow::anyhow!("{bind} is taken, perhaps by another agent. Stop it, or set AGENT_BIND to another address."),
        _ => anyhow::anyhow!("Cannot listen on {bind}: {error}. Set AGENT_BIND to an address of this machine."),
    })
}

/// Starts everything on a listener, with the tools at `tool_url`.
///
/// # Errors
/// One sentence for the operator.
pub async fn start_on(
    listener: TcpListener,
    config: Config,
    tool_url: &str,
    model: Option<Arc<dyn Model>>,
    hooks: Hooks,
    progress: &mut (dyn FnMut(&str) + Send),
) -> anyhow::Result<Started> {
    install_crypto();
    let address = listener.local_addr()?;
    let database = database::open(config.database.clone(), progress).await?;
    let key = config.agent_token_key().map_err(anyhow::Error::msg)?;
    let clock = Arc::clone(&config.clock);
    let signer = Signer::new(key, Arc::clone(&clock));
    let (extra, deadline) = (&config.extra_servers, config.extra_server_deadline);
    let tools = Tools::new(tool_url, signer.clone(), extra, deadline)?;
    let identities = Identities::new(tool_url, signer, clock)?;
    let model = match model {
        Some(model) => model,
        None => configured_model(&config)?,
    };
    let mut app = App::new(config, database.pool.clone(), model, tools, identities);
    app.hooks = hooks;
    let app = Arc::new(app);
    if let MetricsDoor::At(bind) = app.settings.metrics {
        let door = TcpListener::bind(bind).await.map_err(|error| {
            anyhow::anyhow!("Cannot listen on {bind}: {error}. Set METRICS_BIND to a free address of this machine.")
        })?;
        tokio::spawn(serve_metrics(door, Arc::clone(&app)));
    }
    let serving = tokio::spawn(serve(listener, Arc::clone(&app)));
    let looking = [
        tokio::spawn(worker::look_for_work(Arc::clone(&app))),
        tokio::spawn(elsewhere::look_elsewhere(Arc::clone(&app))),
    ];
    Ok(Started {
        app,
        address,
        serving,
        looking,
        database,
    })
}

/// The providers of the settings, then the interpreter.
fn configured_model(config: &Config) -> anyhow::Result<Arc<dyn Model>> {
    let settings = &config.model;
    if settings.providers.is_empty() {
        return Ok(Arc::new(Interpreter));
    }
    let providers = settings
        .providers
        .iter()
        .map(|address| Provider::new(address, &settings.manner, Arc::clone(&config.clock)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(anyhow::Error::msg)?;
    Ok(Arc::new(Fallback::new(providers, &settings.manner)))
}

async fn serve(listener: TcpListener, app: Arc<App>) -> io::Result<()> {
    // Small answers and stream frames must not wait for the peer's delayed acknowledgement (Nagle).
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    // Who has taken nothing until the heartbeat after the next is not reading.
    let listener = Hurried::new(listener, app.settings.heartbeat * 2);
    let router = crate::http::router(Arc::clone(&app));
    // Counters are shown to this machine alone.
    let router = router.into_make_service_with_connect_info::<Peer>();
    let stop = app.stop.clone();
    let serving =
        axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
    tokio::select! {
        served = serving.into_future() => served,
        () = async { stop.cancelled().await; tokio::time::sleep(DRAIN).await } => Ok(()),
    }
}

/// `/metrics` and nothing else, on a port of its own.
async fn serve_metrics(listener: TcpListener, app: Arc<App>) -> io::Result<()> {
    let stop = app.stop.clone();
    let router = crate::http::health::metrics_router(app);
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

/// One crypto library for every TLS user of the process; without it the HTTP client cannot be built.
pub fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
