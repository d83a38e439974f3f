//! Putting the program together: database, demo shop, doors. Used by `mcp-server`, by the embedded start of `agent`, and by tests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use migrations::database::{self, Database};
use rmcp::ServiceExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::app::{App, Hooks};
use crate::caller::Caller;
use crate::config::Config;
use crate::providers::Providers;
use crate::server::Server;
use crate::{demo, http, jobs, sweeper};

/// A running server. Stop it with [`Started::stop`]; dropping it stops it without waiting.
pub struct Started {
    /// What it serves with.
    pub app: Arc<App>,
    /// Where it listens.
    pub address: SocketAddr,
    stop: CancellationToken,
    drain: Duration,
    serving: JoinHandle<std::io::Result<()>>,
    sweeping: JoinHandle<()>,
    working: JoinHandle<()>,
    database: Database,
}

impl Started {
    /// Where `/mcp` is, for a client on this machine.
    #[must_use]
    pub fn mcp_url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Where data is: the folder of the embedded Postgres, if that is what is used.
    #[must_use]
    pub fn data_dir(&self) -> Option<std::path::PathBuf> {
        self.database
            .embedded
            .as_ref()
            .map(migrations::embedded::Embedded::data_dir)
    }

    /// Says that no more should come, takes what still does for `MCP_DRAIN_SECONDS`, lets open requests and running jobs finish for ten
    /// seconds, then closes the database.
    pub async fn stop(mut self) {
        self.app.stopping.cancel();
        tokio::time::sleep(self.drain).await;
        self.stop.cancel();
        if let Ok(Err(error)) = (&mut self.serving).await {
            tracing::error!(%error, "serving ended");
        }
        let _ = (&mut self.sweeping).await;
        let _ = (&mut self.working).await;
        self.database.pool.close().await;
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.app.stopping.cancel();
        self.stop.cancel();
    }
}

/// Starts everything on `MCP_BIND`. `progress` gets a line whenever there is something to wait for.
///
/// # Errors
/// One sentence for the operator.
pub async fn start(
    config: Config,
    hooks: Hooks,
    progress: &mut (dyn FnMut(&str) + Send),
) -> anyhow::Result<Started> {
    // The port first: a second program on it should not touch the database.
    let listener = http::listen(config.bind).await?;
    start_on(listener, config, hooks, progress).await
}

/// Starts everything on a listener that is there already.
///
/// # Errors
/// One sentence for the operator.
pub async fn start_on(
    listener: TcpListener,
    config: Config,
    hooks: Hooks,
    progress: &mut (dyn FnMut(&str) + Send),
) -> anyhow::Result<Started> {
    let address = listener.local_addr()?;
    let (app, database) = open(&config, address, hooks, progress).await?;
    let stop = CancellationToken::new();
    if let Some(bind) = config.metrics_bind {
        let metrics = http::listen_for(bind, "METRICS_BIND").await?;
        let router = http::metrics_router(Arc::clone(&app));
        tokio::spawn(http::serve(metrics, router, stop.clone()));
    }
    let router = http::router(Arc::clone(&app), config.allowed_hosts);
    let serving = tokio::spawn(http::serve(listener, router, stop.clone()));
    let sweeping = tokio::spawn(sweeper::run(Arc::clone(&app), app.stopping.clone()));
    let working = tokio::spawn(jobs::run(Arc::clone(&app), app.stopping.clone()));
    Ok(Started {
        drain: config.drain,
        app,
        address,
        stop,
        serving,
        sweeping,
        working,
        database,
    })
}

/// Serves one desktop client on standard input and output, until it leaves. The approval page is served on `MCP_BIND` beside it, unless
/// a server that shares the shop already does.
///
/// # Errors
/// One sentence for the operator.
pub async fn stdio(
    config: Config,
    hooks: Hooks,
    progress: &mut (dyn FnMut(&str) + Send),
) -> anyhow::Result<()> {
    let (app, database) = open(&config, config.bind, hooks, progress).await?;
    let stop = CancellationToken::new();
    match TcpListener::bind(config.bind).await {
        Ok(listener) => {
            let router = http::router(Arc::clone(&app), config.allowed_hosts);
            tokio::spawn(http::serve(listener, router, stop.clone()));
        }
        Err(error) => {
            tracing::info!(bind = %config.bind, %error, "approval page not served here; another program has the address");
        }
    }
    let sweeping = tokio::spawn(sweeper::run(Arc::clone(&app), stop.clone()));
    let working = tokio::spawn(jobs::run(Arc::clone(&app), stop.clone()));
    let server = Server::stdio(app, Caller::local_owner());
    let ended = match server.serve(rmcp::transport::stdio()).await {
        Ok(running) => running
            .waiting()
            .await
            .map(|_| ())
            .context("serving standard input"),
        Err(error) => Err(anyhow::anyhow!(
            "The client on standard input does not speak MCP: {error}"
        )),
    };
    stop.cancel();
    let _ = sweeping.await;
    let _ = working.await;
    database.pool.close().await;
    ended
}

async fn open(
    config: &Config,
    address: SocketAddr,
    hooks: Hooks,
    progress: &mut (dyn FnMut(&str) + Send),
) -> anyhow::Result<(Arc<App>, Database)> {
    let (app, database) = open_shop(config, address, hooks, progress).await?;
    if database.embedded.is_some() {
        demo::fill(&app)
            .await
            .context("The demo shop could not be filled")?;
    }
    Ok((app, database))
}

/// The shop without its doors, for one command of the owner's.
pub(crate) async fn open_shop(
    config: &Config,
    address: SocketAddr,
    hooks: Hooks,
    progress: &mut (dyn FnMut(&str) + Send),
) -> anyhow::Result<(Arc<App>, Database)> {
    let database = database::open(config.database.clone(), progress).await?;
    let embedded = database.embedded.as_ref();
    if config.local_mode {
        let owner_url = embedded
            .map(|e| e.owner_url())
            .or_else(|| config.database.owner_url.clone())
            .or_else(|| config.database.database_url.clone());
        if let Some(owner_url) = owner_url {
            local_tenant(&owner_url, config, &database).await?;
        }
    }
    let public_url = config
        .public_url
        .clone()
        .unwrap_or_else(|| format!("http://{address}"));
    let key = |read: Result<_, String>| read.map_err(anyhow::Error::msg);
    let mut app = App::new(
        database.pool.clone(),
        config.clock.clone(),
        public_url,
        key(config.agent_token_key())?,
        key(config.confirmation_key())?,
    );
    app.local_mode = config.local_mode;
    app.metrics_here = config.metrics_bind.is_none();
    app.call_deadline = config.call_deadline;
    app.hooks = hooks;
    app.providers = Providers::new(&config.providers);
    Ok((Arc::new(app), database))
}

/// The tenant of local mode. A login that may not make it is fine when it is there.
async fn local_tenant(owner_url: &str, config: &Config, database: &Database) -> anyhow::Result<()> {
    let made = demo::make_tenant(owner_url, config.clock.now()).await;
    let Err(error) = made else { return Ok(()) };
    if demo::tenant_is_there(&database.pool).await? {
        return Ok(());
    }
    tracing::debug!(%error, "making the local tenant");
    anyhow::bail!(
        "The shop of local mode is not in this database. Run `mcp-server migrate` with DATABASE_OWNER_URL once."
    )
}
