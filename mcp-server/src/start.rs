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
use crate::identity;
use crate::identity::agent_tokens::AgentKeys;
use crate::identity::jwt::AuthServer;
use crate::limits::Limits;
use crate::providers::Providers;
use crate::server::{Ahead, Server};
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
    if let Some(hint) = nobody_could_come_in(&app, &config).await? {
        progress(hint);
    }
    let stop = CancellationToken::new();
    if let Some(bind) = config.metrics_bind {
        let metrics = http::listen_for(bind, "METRICS_BIND").await?;
        let router = http::metrics_router(Arc::clone(&app));
        tokio::spawn(http::serve(metrics, router, stop.clone()));
    }
    let hosts = allowed_hosts(&config, address, progress);
    let router = http::router(Arc::clone(&app), hosts);
    let serving = tokio::spawn(http::serve(listener, router, stop.clone()));
    let (sweeping, working) = work(&app, &app.stopping);
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
    let stop = app.stopping.clone();
    match TcpListener::bind(config.bind).await {
        Ok(listener) => {
            let hosts = allowed_hosts(&config, config.bind, progress);
            let router = http::router(Arc::clone(&app), hosts);
            tokio::spawn(http::serve(listener, router, stop.clone()));
        }
        Err(error) => {
            tracing::info!(bind = %config.bind, %error, "approval page not served here; another program has the address");
        }
    }
    let (sweeping, working) = work(&app, &stop);
    let caller = Caller {
        reach: app.within,
        ..Caller::local_owner()
    };
    let server = Ahead(Server::stdio(app, caller));
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

/// What is done beside the calls. A server that only reads leaves all of it to others.
fn work(app: &Arc<App>, stop: &CancellationToken) -> (JoinHandle<()>, JoinHandle<()>) {
    if app.read_only {
        return (tokio::spawn(async {}), tokio::spawn(async {}));
    }
    (
        tokio::spawn(sweeper::run(Arc::clone(app), stop.clone())),
        tokio::spawn(jobs::run(Arc::clone(app), stop.clone())),
    )
}

/// Under which names we are reached: those of the settings, and the public address's own.
fn allowed_hosts(
    config: &Config,
    address: SocketAddr,
    progress: &mut (dyn FnMut(&str) + Send),
) -> Vec<String> {
    let mut hosts = config.allowed_hosts.clone();
    let public = config.public_url.as_deref().and_then(host_of);
    hosts.extend(public);
    if hosts.is_empty() && !address.ip().is_loopback() {
        progress(
            "Every request from elsewhere will be refused: set MCP_PUBLIC_URL to the address people use, or MCP_ALLOWED_HOSTS to its names.",
        );
    }
    hosts
}

fn host_of(url: &str) -> Option<String> {
    let uri: ::http::Uri = url.parse().ok()?;
    uri.host().map(str::to_owned)
}

/// What to tell the operator of a server to which nobody has a key.
async fn nobody_could_come_in(app: &App, config: &Config) -> anyhow::Result<Option<&'static str>> {
    let somebody =
        config.local_mode || config.agent_token_key.is_some() || config.auth_server.is_some();
    if somebody || identity::has_credentials(&mut *app.pool.acquire().await?).await? {
        return Ok(None);
    }
    Ok(Some(
        "Nobody can come in yet. Make the first key with `mcp-server keys create`, or set AGENT_TOKEN_KEY or MCP_AUTH_ISSUER.",
    ))
}

async fn open(
    config: &Config,
    address: SocketAddr,
    hooks: Hooks,
    progress: &mut (dyn FnMut(&str) + Send),
) -> anyhow::Result<(Arc<App>, Database)> {
    let (app, database) = open_shop(config, address, hooks, progress).await?;
    // The demo is of the shop of local mode; without that mode there may be no such shop.
    if database.embedded.is_some() && config.local_mode && !config.read_only {
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
    let database = if config.read_only {
        database::open_reading(config.database.clone(), progress).await?
    } else {
        database::open(config.database.clone(), progress).await?
    };
    let embedded = database.embedded.as_ref();
    if config.local_mode && config.read_only {
        anyhow::ensure!(demo::tenant_is_there(&database.pool).await?, NO_LOCAL_SHOP);
    } else if config.local_mode {
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
    app.direct = database.direct.clone();
    app.agent_keys = AgentKeys::new(app.agent_token_key, config.agent_token_key_previous);
    app.auth_server = config
        .auth_server
        .as_ref()
        .map(|settings| Arc::new(AuthServer::new(settings, &app.resource())));
    app.within = config.within();
    app.read_only = config.read_only;
    app.limits = Limits::new(config.rate_per_minute);
    app.local_mode = config.local_mode;
    app.operator_key = config.operator_key;
    app.metrics_here = config.metrics_bind.is_none();
    app.call_deadline = config.call_deadline;
    app.hooks = hooks;
    app.providers = Providers::new(&config.providers);
    Ok((Arc::new(app), database))
}

const NO_LOCAL_SHOP: &str = "The shop of local mode is not in this database. Run `mcp-server migrate` with DATABASE_OWNER_URL once.";

/// The tenant of local mode. A login that may not make it is fine when it is there.
async fn local_tenant(owner_url: &str, config: &Config, database: &Database) -> anyhow::Result<()> {
    let made = demo::make_tenant(owner_url, config.clock.now()).await;
    let Err(error) = made else { return Ok(()) };
    if demo::tenant_is_there(&database.pool).await? {
        return Ok(());
    }
    tracing::debug!(%error, "making the local tenant");
    anyhow::bail!(NO_LOCAL_SHOP)
}
