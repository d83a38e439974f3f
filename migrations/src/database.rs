//! Opening the database: a Postgres the program was told about, or the embedded one.
//!
//! Either way the schema is brought up to date by a role that owns it, and the pool works as a role that does not, so that row level
//! security holds for every statement a program sends.

mod direct;
mod examine;
mod prerequisites;
pub mod queue;
mod ready;
pub(crate) mod schema;
pub mod sessions;
mod target;

use std::path::PathBuf;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, Executor, PgPool};
use tokio::task::JoinHandle;

pub use crate::open_error::OpenError;

pub use self::examine::{Plan, examine};
use self::prerequisites::Login;
pub use self::ready::{NotReady, readiness};
use self::target::Target;
use crate::embedded::Embedded;

/// How long a request waits for a free connection before it is told to come back later.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest single statement of a program.
const STATEMENT_TIMEOUT_MS: &str = "8000";
/// Longest pause inside a transaction; a program that forgets one must not hold its locks for ever.
const IDLE_IN_TRANSACTION_TIMEOUT_MS: &str = "30000";
/// A connection used this recently is handed out unasked; an older one is asked first, so that a restarted Postgres costs a new
/// connection and not a failed request. Under load nothing is asked.
const TRUSTED_IDLE: Duration = Duration::from_millis(100);
/// How long a connection may take to show that it lives.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// Which program is asking, and so as which Postgres role it works.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// `mcp-server`: schema `shop`.
    Shop,
    /// `agent`: schema `agent`.
    Agent,
}

impl Role {
    /// Both, in the order they are made.
    pub(crate) const ALL: [Self; 2] = [Self::Shop, Self::Agent];

    /// The Postgres role.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Shop => "countersign_shop",
            Self::Agent => "countersign_agent",
        }
    }

    fn set_role(self) -> &'static str {
        match self {
            Self::Shop => "set role countersign_shop",
            Self::Agent => "set role countersign_agent",
        }
    }

    /// Until the end of the transaction.
    fn set_local_role(self) -> &'static str {
        match self {
            Self::Shop => "set local role countersign_shop",
            Self::Agent => "set local role countersign_agent",
        }
    }

    fn application_name(self) -> &'static str {
        match self {
            Self::Shop => "countersign mcp-server",
            Self::Agent => "countersign agent",
        }
    }
}

/// What a program's configuration says about its database.
#[derive(Clone)]
pub struct DatabaseSettings {
    /// `COUNTERSIGN_HOME`: where the embedded Postgres lives. Not touched when `database_url` is set.
    pub home: PathBuf,
    /// `DATABASE_URL`: the Postgres to use. `None` means the embedded one.
    pub database_url: Option<String>,
    /// `DATABASE_DIRECT_URL`: Postgres itself, where `database_url` leads to a pooler that gives a connection to somebody else after every
    /// transaction; for what needs a session of its own. `None`: `database_url` gives that, too. Not used with the embedded one.
    pub direct_url: Option<String>,
    /// `DATABASE_OWNER_URL`: a login that owns the database, used for migrating only, on a direct connection (no pooler).
    pub owner_url: Option<String>,
    /// Most connections the pool opens, 1 or more.
    pub pool_size: u32,
    /// Which program is asking.
    pub role: Role,
}

/// Without the addresses, which hold passwords.
impl std::fmt::Debug for DatabaseSettings {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("DatabaseSettings")
            .field("home", &self.home)
            .field("has_database_url", &self.database_url.is_some())
            .field("has_direct_url", &self.direct_url.is_some())
            .field("has_owner_url", &self.owner_url.is_some())
            .field("pool_size", &self.pool_size)
            .field("role", &self.role)
            .finish()
    }
}

/// An open database. Keep it for as long as the program works: dropping it lets the embedded server stop.
#[derive(Debug)]
pub struct Database {
    /// Connections as the program's own role.
    pub pool: PgPool,
    /// Connections of which each is a session of its own, which is what listening needs: by `DATABASE_DIRECT_URL`, else those of `pool`.
    /// None is open until somebody takes one.
    pub direct: PgPool,
    /// The embedded server, if that is what was opened.
    pub embedded: Option<Embedded>,
    supervisor: Option<JoinHandle<()>>,
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(supervisor) = &self.supervisor {
            supervisor.abort();
        }
    }
}

/// Opens the database: starts the embedded Postgres if none was given, checks the server, migrates if a login that may is at hand,
/// and returns a pool whose connections are bound by row level security. `progress` gets a line for the person whenever there is
/// something to wait for.
///
/// # Errors
/// Whatever is in the way, as a sentence saying what to do. Nothing is left half done.
pub async fn open(
    settings: DatabaseSettings,
    progress: &mut (dyn FnMut(&str) + Send),
) -> Result<Database, OpenError> {
    let role = settings.role;
    let (embedded, login_url, owner_url) = match settings.database_url {
        Some(url) => (None, url, settings.owner_url),
        None => {
            let embedded = Embedded::start(&settings.home, progress).await?;
            let (login_url, owner_url) = (embedded.url(role), embedded.owner_url());
            (Some(embedded), login_url, Some(owner_url))
        }
    };
    let target = Target::parse("DATABASE_URL", &login_url)?;
    let owner = owner_url
        .map(|url| Target::parse("DATABASE_OWNER_URL", &url))
        .transpose()?;
    let direct_url = settings.direct_url.filter(|_| embedded.is_none());
    let (pool, direct) = match direct_url {
        None => {
            let login = prerequisites::make_ready(&target, owner.as_ref(), role, progress).await?;
            let pool = open_pool(&target, &login, settings.pool_size, role).await?;
            (pool.clone(), pool)
        }
        Some(url) => {
            // What is looked at and migrated needs sessions, so it is done over the direct way; through the other the login has to be right
            // as it is, because a connection that becomes another role would stay it for whoever gets it next.
            let direct = Target::parse("DATABASE_DIRECT_URL", &url)?;
            let login = prerequisites::make_ready(&direct, owner.as_ref(), role, progress).await?;
            direct::same_database(&target, &direct).await?;
            let as_it_is = Login::as_it_is(&target);
            let pool = open_pool(&target, &as_it_is, settings.pool_size, role).await?;
            let switch = login.must_switch().then_some(role);
            let direct = pool_options(settings.pool_size, switch)
                .connect_lazy_with(connect_options(&direct.options, role));
            (pool, direct)
        }
    };
    let supervisor = embedded.as_ref().map(Embedded::supervise);
    Ok(Database {
        pool,
        direct,
        embedded,
        supervisor,
    })
}

/// Like [`open`], for a program that only reads: Postgres itself refuses whatever would write, and a login without any right to write is
/// enough (`call shop.let_read('login')` gives it the rights it needs). Nothing is migrated but the embedded Postgres, which has no other
/// owner.
///
/// # Errors
/// Whatever is in the way, as a sentence saying what to do.
pub async fn open_reading(
    settings: DatabaseSettings,
    progress: &mut (dyn FnMut(&str) + Send),
) -> Result<Database, OpenError> {
    let role = settings.role;
    let (embedded, login_url) = match settings.database_url {
        Some(url) => (None, url),
        None => {
            let embedded = Embedded::start(&settings.home, progress).await?;
            let url = embedded.url(role);
            let target = Target::parse("DATABASE_URL", &url)?;
            let owner = Target::parse("DATABASE_OWNER_URL", &embedded.owner_url())?;
            prerequisites::make_ready(&target, Some(&owner), role, progress).await?;
            (Some(embedded), url)
        }
    };
    let target = Target::parse("DATABASE_URL", &login_url)?;
    let login = prerequisites::make_ready_reading(&target, role).await?;
    let pool = open_reading_pool(&target, &login, settings.pool_size, role).await?;
    let supervisor = embedded.as_ref().map(Embedded::supervise);
    Ok(Database {
        direct: pool.clone(),
        pool,
        embedded,
        supervisor,
    })
}

async fn open_reading_pool(
    target: &Target,
    login: &Login,
    size: u32,
    role: Role,
) -> Result<PgPool, OpenError> {
    let options = reading_options(&target.options, role);
    let pool = pool_options(size, login.must_switch().then_some(role)).connect_lazy_with(options);
    let mut connection = pool
        .acquire()
        .await
        .map_err(|error| target.explain(error))?;
    let proved = match prerequisites::prove_bound_reading(&mut connection, role).await {
        Ok(()) => prerequisites::prove_reading(&mut connection, role).await,
        Err(error) => Err(error),
    };
    drop(connection);
    match proved {
        Ok(()) => Ok(pool),
        Err(error) => {
            pool.close().await;
            Err(error)
        }
    }
}

/// [`connect_options`] of a program that only reads.
fn reading_options(options: &PgConnectOptions, role: Role) -> PgConnectOptions {
    connect_options(options, role).options([("default_transaction_read_only", "on")])
}

/// A transaction with the tenant set, in one round trip. Every statement of it sees that tenant's rows and no others.
///
/// # Errors
/// When the database cannot be reached.
pub async fn begin(
    pool: &PgPool,
    tenant: uuid::Uuid,
) -> Result<sqlx::Transaction<'static, sqlx::Postgres>, sqlx::Error> {
    begin_as(pool, "begin", tenant).await
}

/// Like [`begin`], for one that only reads: all its statements see the same moment, so that what they say fits together, and none can
/// write.
///
/// # Errors
/// When the database cannot be reached.
pub async fn begin_reading(
    pool: &PgPool,
    tenant: uuid::Uuid,
) -> Result<sqlx::Transaction<'static, sqlx::Postgres>, sqlx::Error> {
    begin_as(
        pool,
        "begin isolation level repeatable read read only",
        tenant,
    )
    .await
}

async fn begin_as(
    pool: &PgPool,
    begin: &'static str,
    tenant: uuid::Uuid,
) -> Result<sqlx::Transaction<'static, sqlx::Postgres>, sqlx::Error> {
    let pool = pool.clone();
    // In a task of its own, because a request may be given up at any moment: sqlx does not take a `begin` back whose answer nobody waited
    // for, and the connection would go to the next one with an old transaction open. Here the answer always comes, and a transaction that
    // nobody wants any more is rolled back.
    match tokio::spawn(async move { begin_here(&pool, begin, tenant).await }).await {
        Ok(begun) => begun,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(sqlx::Error::WorkerCrashed),
        },
    }
}

async fn begin_here(
    pool: &PgPool,
    begin: &'static str,
    tenant: uuid::Uuid,
) -> Result<sqlx::Transaction<'static, sqlx::Postgres>, sqlx::Error> {
    // The one text that is built and not checked: its parameters are a uuid and a text of this file.
    let preamble = || sqlx::AssertSqlSafe(format!("{begin}; set local app.tenant = '{tenant}'"));
    match pool.begin_with(preamble()).await {
        // A connection of the pool may have died with the server it was connected to; nothing has been sent yet, so one more try is
        // safe and enough to get through a restart of Postgres.
        Err(sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed) => {
            pool.begin_with(preamble()).await
        }
        // What Postgres says when it stops, and a pooler when the session it had is gone.
        Err(sqlx::Error::Database(e))
            if e.code()
                .is_some_and(|c| c.starts_with("57P") || c.starts_with("08")) =>
        {
            pool.begin_with(preamble()).await
        }
        other => other,
    }
}

/// Brings the schema up to date, as `mcp-server migrate` does: with roles and extensions if this login may make them. Changes nothing
/// if everything is in place. Programs that call this at the same time wait for each other.
///
/// # Errors
/// Whatever is in the way, as a sentence saying what to do. Each migration is applied wholly or not at all.
pub async fn migrate(owner_url: &str) -> Result<(), OpenError> {
    let owner = Target::parse("DATABASE_OWNER_URL", owner_url)?;
    prerequisites::migrate(&owner, None, &mut |_| {}).await
}

/// The pool of a checked login.
async fn open_pool(
    target: &Target,
    login: &Login,
    size: u32,
    role: Role,
) -> Result<PgPool, OpenError> {
    let switch = login.must_switch();
    if switch {
        tracing::warn!(
            login = login.name(),
            role = role.name(),
            "DATABASE_URL logs in as a role that row level security would not bind, so every connection switches to the right one; \
             log in as that role instead, and give the owner in DATABASE_OWNER_URL (behind a transaction pooler this is necessary)"
        );
    }
    let pool = pool_options(size, switch.then_some(role))
        .connect_lazy_with(connect_options(&target.options, role));
    let mut connection = pool
        .acquire()
        .await
        .map_err(|error| target.explain(error))?;
    if let Err(error) = prerequisites::prove_bound(&mut connection, role).await {
        drop(connection);
        pool.close().await;
        return Err(error);
    }
    drop(connection);
    Ok(pool)
}

/// How a program's connections behave. Sent as start-up options, so that they hold from the first statement on without a round trip.
#[must_use]
pub fn connect_options(options: &PgConnectOptions, role: Role) -> PgConnectOptions {
    target::with_quiet_logs(options.clone())
        .application_name(role.application_name())
        .options([
            ("statement_timeout", STATEMENT_TIMEOUT_MS),
            (
                "idle_in_transaction_session_timeout",
                IDLE_IN_TRANSACTION_TIMEOUT_MS,
            ),
            // A statement is planned once per connection. Left to itself, Postgres plans many anew with every call, because it expects
            // more from one parameter than from another; with small statements on indexes that begin with the tenant, planning cost
            // nearly as much as the work.
            ("plan_cache_mode", "force_generic_plan"),
        ])
}

/// A pool that heals by itself after Postgres was away. `switch` makes every new connection become that role.
pub(crate) fn pool_options(size: u32, switch: Option<Role>) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(size.max(1))
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for < TRUSTED_IDLE {
                    return Ok(true);
                }
                // An error makes the pool drop the connection and open another within the same wait.
                tokio::time::timeout(PING_TIMEOUT, connection.ping())
                    .await
                    .map_err(|_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))??;
                Ok(true)
            })
        })
        .after_connect(move |connection, _meta| {
            Box::pin(async move {
                if let Some(role) = switch {
                    connection.execute(role.set_role()).await?;
                }
                Ok(())
            })
        })
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use sqlx::Row as _;

    use super::*;
    use crate::test_database::{TestDatabase, TestHome};

    fn embedded_settings(home: &TestHome) -> DatabaseSettings {
        DatabaseSettings {
            home: home.path().to_path_buf(),
            database_url: None,
            direct_url: None,
            owner_url: None,
            pool_size: 4,
            role: Role::Shop,
        }
    }

    async fn who(pool: &PgPool) -> String {
        sqlx::query_scalar("select current_user::text")
            .fetch_one(pool)
            .await
            .unwrap()
    }

    /// Given up at every moment of its way: no connection is left inside a transaction for whoever comes next.
    #[tokio::test]
    async fn a_beginning_that_is_given_up_leaves_no_transaction_open() {
        let database = TestDatabase::new().await;
        let pool = pool_options(1, None)
            .connect(&database.url(Role::Shop))
            .await
            .unwrap();
        let tenant = uuid::Uuid::nil();
        for (polls, pauses) in (0..300).map(|round| (round % 12, round / 12)) {
            let mut beginning = Box::pin(begin(&pool, tenant));
            for _ in 0..polls {
                let waker = &mut Context::from_waker(Waker::noop());
                if beginning.as_mut().poll(waker).is_ready() {
                    break;
                }
                for _ in 0..pauses {
                    tokio::task::yield_now().await;
                }
            }
            drop(beginning);
            let mut connection = pool.acquire().await.unwrap();
            // As one simple message, a statement of its own begins when its transaction does.
            let row = sqlx::raw_sql("select now() <> statement_timestamp()")
                .fetch_one(&mut *connection)
                .await
                .unwrap();
            assert!(
                !row.get::<bool, _>(0),
                "given up after {polls} looks, {pauses} pauses apart"
            );
        }
    }

    #[tokio::test]
    async fn with_nothing_configured_there_is_a_database_and_both_programs_share_it() {
        let home = TestHome::new();
        let mut lines = Vec::new();
        let shop = open(embedded_settings(&home), &mut |line| {
            lines.push(line.to_owned());
        })
        .await
        .unwrap();
        let agent_settings = DatabaseSettings {
            role: Role::Agent,
            ..embedded_settings(&home)
        };
        let agent = open(agent_settings, &mut |_| {}).await.unwrap();

        assert_eq!(who(&shop.pool).await, "countersign_shop");
        assert_eq!(who(&agent.pool).await, "countersign_agent");
        let (first, second) = (
            shop.embedded.as_ref().unwrap(),
            agent.embedded.as_ref().unwrap(),
        );
        assert!(first.first_start && first.cold && !first.joined);
        assert!(!second.first_start && !second.cold && second.joined);
        assert!(
            lines.iter().any(|line| line.contains("first start")),
            "{lines:?}"
        );
        assert!(
            lines.iter().any(|line| line.contains(" s; data in ")),
            "{lines:?}"
        );
    }
}
