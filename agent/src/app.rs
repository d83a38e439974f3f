//! What every edge and every run shares.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use contracts::ids::TenantId;
use migrations::clock::{SharedClock, new_id};
use migrations::database;
pub use migrations::hooks::Hooks;
use sqlx::{PgPool, Postgres, Transaction};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::config::Config;
use crate::identity::Identities;
use crate::metrics::Watch;
use crate::models::Model;
use crate::run::arguments::Checks;
use crate::run::hub::Hub;
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
    /// Who somebody is.
    pub identities: Identities,
    /// Checks what models want called.
    pub checks: Checks,
    /// The runs this process works on, for those who follow them here.
    pub hub: Hub,
    /// Switches off tools that keep failing.
    pub breaker: Breaker,
    /// A run has left its session free and another one waits for it: it may begin.
    pub look_again: Notify,
    /// A run was queued here since the worker looked last: whoever leaves a session free has it look again.
    pub has_queued: AtomicBool,
    /// Runs under way in this process.
    pub tasks: TaskTracker,
    /// Told to stop.
    pub stop: CancellationToken,
    /// Places where a test may stop a run.
    pub hooks: Hooks,
    /// What operators were told last.
    pub watch: Watch,
}

impl App {
    /// Puts the parts together.
    #[must_use]
    pub fn new(
        settings: Config,
        pool: PgPool,
        model: Arc<dyn Model>,
        tools: Tools,
        identities: Identities,
    ) -> App {
        let clock = Arc::clone(&settings.clock);
        App {
            look_again: Notify::new(),
            has_queued: AtomicBool::new(false),
            settings,
            pool,
            clock,
            model,
            tools,
            identities,
            checks: Checks::default(),
            hub: Hub::default(),
            breaker: Breaker::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            hooks: Hooks::default(),
            watch: Watch::default(),
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
