//! What every edge and every run shares.

use std::fmt;
use std::sync::Arc;

use contracts::ids::TenantId;
use futures::future::BoxFuture;
use migrations::clock::{SharedClock, new_id};
use migrations::database;
use sqlx::{PgPool, Postgres, Transaction};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::config::Config;
use crate::models::Model;
use crate::run::events::Hub;
use crate::run::limits::Breaker;
use crate::tools::Tools;

/// What every edge and every run shares. Holds no state a restart would lose.
pub struct App {
    /// Settings.
    pub settings: Config,
    /// Connections that run as a role for which row level security is real.
    pub pool: PgPool,
    /// The time.
    pub clock: SharedClock,
    /// Answers conversations.
    pub model: Arc<dyn Model>,
    /// The tool server.
    pub tools: Tools,
    /// Wakes those who follow a run in this process.
    pub hub: Hub,
    /// Switches off tools that keep failing.
    pub breaker: Breaker,
    /// A run has left its session free: the next one in it may begin.
    pub look_again: Notify,
    /// Runs under way in this process.
    pub tasks: TaskTracker,
    /// Told to stop.
    pub stop: CancellationToken,
    /// Places where a test may stop a run.
    pub hooks: Hooks,
}

impl App {
    /// Puts the parts together.
    #[must_use]
    pub fn new(settings: Config, pool: PgPool, model: Arc<dyn Model>, tools: Tools) -> App {
        let clock = Arc::clone(&settings.clock);
        App {
            look_again: Notify::new(),
            settings,
            pool,
            clock,
            model,
            tools,
            hub: Hub::default(),
            breaker: Breaker::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            hooks: Hooks::default(),
        }
    }

    /// A transaction with the tenant set: [`database::begin`].
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn begin(
        &self,
        tenant: TenantId,
    ) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        database::begin(&self.pool, tenant.0).await
    }

    /// A new id, ordered by time.
    #[must_use]
    pub fn new_id(&self) -> Uuid {
        new_id(&*self.clock)
    }
}

type Hook = Arc<dyn Fn(&'static str) -> BoxFuture<'static, ()> + Send + Sync>;

/// Places where a test may stop a run: `approved` (an answer is stored, not passed on), `dispatched` (about to be passed on), `returned`
/// (the server has answered, nothing is stored). The product sets none.
#[derive(Clone, Default)]
pub struct Hooks(Option<Hook>);

impl Hooks {
    /// Awaits `hook` at every place.
    #[must_use]
    pub fn new(
        hook: impl Fn(&'static str) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Hooks {
        Hooks(Some(Arc::new(hook)))
    }

    pub(crate) async fn at(&self, place: &'static str) {
        if let Some(hook) = &self.0 {
            hook(place).await;
        }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Hooks(set)"
        } else {
            "Hooks(none)"
        })
    }
}
