//! A fresh migrated database for one test, with nothing prepared.
//!
//! All tests of a user share one throw-away server (in memory where there is room, and never waiting for a disk), started by the
//! first test that needs it and stopped when the last test binary ends. A database is a copy of a template that is migrated once per
//! set of migrations, which takes milliseconds. Only for tests: what fails here panics with the sentence of the error.

use std::fmt::Display;
use std::future::Future;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, PgPool};
use tokio::sync::OnceCell;

use crate::database::{self, Role, queue, schema};
use crate::embedded::{self, ADMIN, Embedded, OWNER, Storage};

/// Changes when this crate makes the test server differently, so that an old one is not taken for a new one.
const LAYOUT: u32 = 1;

/// Key of the advisory lock under which the template is made: any number nobody else uses.
const TEMPLATE_LOCK: i64 = 7_065_512_041;

/// Left-over databases are dropped when they are this old; a test is long over by then.
const LEFTOVER_AGE_S: i64 = 3_600;
/// Templates of other migrations, of other checkouts perhaps, live longer.
const LEFTOVER_TEMPLATE_AGE_S: i64 = 24 * 3_600;
/// Most databases one test binary drops at its start, so that sweeping never holds up the tests for long.
const SWEPT_MAX: i64 = 50;

/// A file system in memory, and the room it must have: copying the 300 files of a database is several times faster there.
#[cfg(target_os = "linux")]
const MEMORY: &str = "/dev/shm";
#[cfg(target_os = "linux")]
const MEMORY_FREE_BYTES_MIN: u64 = 2 * 1024 * 1024 * 1024;

/// Enough for one test, few enough for many tests at once.
const POOL_SIZE: u32 = 5;

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const CONNECT_ATTEMPTS_MAX: u32 = 3;

/// How long a server may take to stop once its last user is gone.
const STOP_LIMIT: Duration = Duration::from_secs(15);
const STOP_POLL: Duration = Duration::from_millis(10);

/// The server of this process. Never dropped: its guard stops it when the process is gone.
static SERVER: OnceCell<Embedded> = OnceCell::const_new();
static NAMES: AtomicU32 = AtomicU32::new(0);

/// A fresh database of its own for one test, migrated, empty, dropped with this value.
#[derive(Debug)]
pub struct TestDatabase {
    server: &'static Embedded,
    name: String,
}

impl TestDatabase {
    /// Makes the database, starting the shared server if this is the first.
    pub async fn new() -> Self {
        let server = SERVER.get_or_init(start_server).await;
        must(server.ensure_running().await);
        let mut admin = connect(&server.url_of(ADMIN, "postgres")).await;
        let template = template(server, &mut admin).await;
        let number = NAMES.fetch_add(1, Ordering::Relaxed);
        let name = format!(
            "test_{}_{number}_{:08x}",
            std::process::id(),
            rand::random::<u32>()
        );
        let make =
            format!("create database {name} template {template} strategy file_copy owner {OWNER}");
        must(admin.execute(AssertSqlSafe(make)).await);
        must(admin.close().await);
        Self { server, name }
    }

    /// The address for a program of this role.
    #[must_use]
    pub fn url(&self, role: Role) -> String {
        self.server.url_of(role.name(), &self.name)
    }

    /// The address for migrating, or for a test that looks at everything.
    #[must_use]
    pub fn owner_url(&self) -> String {
        self.server.url_of(OWNER, &self.name)
    }

    /// The address of the server's superuser, for tests of what an administrator does.
    #[must_use]
    pub fn admin_url(&self) -> String {
        self.server.url_of(ADMIN, &self.name)
    }

    /// The address of any login of this server, in this database.
    #[must_use]
    pub fn url_of(&self, login: &str) -> String {
        self.server.url_of(login, &self.name)
    }

    /// Connections that behave as a program's do.
    pub async fn pool(&self, role: Role) -> PgPool {
        pool(&self.url(role), role)
    }

    /// Connections as the owner, whom row level security does not bind.
    pub async fn owner_pool(&self) -> PgPool {
        let options = PgPoolOptions::new().max_connections(POOL_SIZE);
        must(options.connect_lazy(&self.owner_url()))
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let url = self.server.url_of(ADMIN, "postgres");
        let drop = format!("drop database if exists {} with (force)", self.name);
        // What is not dropped here, the sweep of a later test run drops.
        wait_for(async move {
            if let Ok(mut admin) = try_connect(&url).await {
                let _ = admin.execute(AssertSqlSafe(drop)).await;
            }
        });
    }
}

/// A temporary folder for `COUNTERSIGN_HOME`, removed with this value once the embedded server in it has stopped. Declare it before
/// whatever uses it, so that it is dropped last.
#[derive(Debug)]
pub struct TestHome {
    path: PathBuf,
}

impl TestHome {
    /// A name nobody uses. The folder itself is made by whoever needs it.
    #[expect(
        clippy::new_without_default,
        reason = "two calls give two folders, which a default does not suggest"
    )]
    #[must_use]
    pub fn new() -> Self {
        Self::below(&std::env::temp_dir())
    }

    fn below(parent: &Path) -> Self {
        let name = format!(
            "countersign-home-{}-{:08x}",
            std::process::id(),
            rand::random::<u32>()
        );
        Self {
            path: parent.join(name),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TestHome {
    fn drop(&mut self) {
        // A server whose files are taken away cannot be told to stop any more, so its guard goes first.
        let pid_file = self.path.join("postgres/data/postmaster.pid");
        let started = Instant::now();
        while pid_file.exists() && started.elapsed() < STOP_LIMIT {
            std::thread::sleep(STOP_POLL);
        }
        embedded::remove_socket_dir(&self.path);
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// A server of its own with a migrated database, for tests in which Postgres goes away and comes back. Its folder is removed with
/// this value.
#[derive(Debug)]
pub struct PrivateCluster {
    server: Embedded,
    /// Declared after the server, so that it is removed after the server let go of it.
    _home: TestHome,
}

impl PrivateCluster {
    /// Makes the cluster, starts the server and migrates, which takes about a second.
    pub async fn new() -> Self {
        let home = TestHome::below(&fast_place());
        let server = must(Embedded::start_as(home.path(), Storage::Disposable, &mut |_| {}).await);
        must(database::migrate(&server.owner_url()).await);
        Self {
            server,
            _home: home,
        }
    }

    /// The address for a program of this role.
    #[must_use]
    pub fn url(&self, role: Role) -> String {
        self.server.url(role)
    }

    /// The address for migrating.
    #[must_use]
    pub fn owner_url(&self) -> String {
        self.server.owner_url()
    }

    /// The address of the server's superuser, for tests of what an administrator does.
    #[must_use]
    pub fn admin_url(&self) -> String {
        self.server.url_of(ADMIN, "countersign")
    }

    /// The address of any login and database of this server.
    #[must_use]
    pub fn url_of(&self, login: &str, database: &str) -> String {
        self.server.url_of(login, database)
    }

    /// Connections that behave as a program's do.
    pub async fn pool(&self, role: Role) -> PgPool {
        pool(&self.url(role), role)
    }

    /// Stops Postgres, under whoever is connected. It stays stopped until [`Self::start`].
    pub async fn stop(&self) {
        must(self.server.stop().await);
    }

    /// Starts Postgres again, behind the same address and with the same data.
    pub async fn start(&self) {
        must(self.server.ensure_running().await);
    }
}

impl Drop for PrivateCluster {
    fn drop(&mut self) {
        wait_for(self.server.discard());
    }
}

async fn start_server() -> Embedded {
    let uid = nix::unistd::geteuid().as_raw();
    let home = fast_place().join(format!("countersign-tests-{uid}-{LAYOUT}"));
    let owner = std::fs::symlink_metadata(&home).map(|found| found.uid());
    assert!(
        owner.is_err() || owner.is_ok_and(|owner| owner == uid),
        "{} belongs to another user: have it removed",
        home.display()
    );
    let started = Embedded::start_as(&home, Storage::Disposable, &mut |_| {}).await;
    // Nothing in it is of value, and a crash of the machine may have spoiled it.
    let server = must(started.map_err(|error| format!("{error} (Or remove {}.)", home.display())));
    let mut admin = connect(&server.url_of(ADMIN, "postgres")).await;
    sweep(&mut admin).await;
    must(admin.close().await);
    server
}

/// Where throw-away servers live.
#[cfg(target_os = "linux")]
fn fast_place() -> PathBuf {
    use nix::sys::statvfs::statvfs;
    use nix::unistd::{AccessFlags, access};

    let memory = Path::new(MEMORY);
    let free_bytes =
        statvfs(memory).map_or(0, |found| found.blocks_available() * found.fragment_size());
    let is_open_to_us = access(memory, AccessFlags::W_OK | AccessFlags::X_OK).is_ok();
    if is_open_to_us && free_bytes >= MEMORY_FREE_BYTES_MIN {
        return memory.to_path_buf();
    }
    std::env::temp_dir()
}

/// Where throw-away servers live.
#[cfg(not(target_os = "linux"))]
fn fast_place() -> PathBuf {
    std::env::temp_dir()
}

/// The migrated database to copy, made if this is the first time these migrations are seen.
async fn template(server: &Embedded, admin: &mut PgConnection) -> String {
    let name = format!("template_{}", fingerprint());
    if is_finished(admin, &name).await {
        return name;
    }
    must(lock(admin).await);
    // Another test binary may have made it while we waited.
    if !is_finished(admin, &name).await {
        must(
            admin
                .execute(AssertSqlSafe(format!(
                    "drop database if exists {name} with (force)"
                )))
                .await,
        );
        must(
            admin
                .execute(AssertSqlSafe(format!(
                    "create database {name} owner {OWNER}"
                )))
                .await,
        );
        must(database::migrate(&server.url_of(OWNER, &name)).await);
        // Marks it as finished, and keeps out connections that would stop others from copying it.
        must(
            admin
                .execute(AssertSqlSafe(format!(
                    "alter database {name} with is_template true allow_connections false"
                )))
                .await,
        );
    }
    must(unlock(admin).await);
    name
}

/// Changes with every change of the migrations.
fn fingerprint() -> String {
    let mut digest = Sha256::new();
    for migration in schema::MIGRATOR.iter() {
        digest.update(migration.version.to_be_bytes());
        digest.update(&migration.checksum);
    }
    digest.update(queue::fingerprint());
    let mut short = [0; 8];
    short.copy_from_slice(&digest.finalize()[..8]);
    format!("{:016x}", u64::from_be_bytes(short))
}

/// Drops what earlier tests left behind because they were killed.
async fn sweep(admin: &mut PgConnection) {
    for (name, is_template) in must(leftovers(admin).await) {
        if is_template {
            let free = format!("alter database {name} with is_template false");
            let _ = admin.execute(AssertSqlSafe(free)).await;
        }
        // Another test binary sweeps, too: whoever comes second finds nothing.
        let drop = format!("drop database if exists {name} with (force)");
        let _ = admin.execute(AssertSqlSafe(drop)).await;
    }
}

/// The pool of a program, with fewer connections.
fn pool(url: &str, role: Role) -> PgPool {
    let options: PgConnectOptions = must(url.parse());
    database::pool_options(POOL_SIZE, None)
        .connect_lazy_with(database::connect_options(&options, role))
}

async fn connect(url: &str) -> PgConnection {
    let mut refusal = None;
    for _ in 0..CONNECT_ATTEMPTS_MAX {
        match try_connect(url).await {
            Ok(connection) => return connection,
            Err(error) => refusal = Some(error),
        }
    }
    must(refusal.map_or_else(|| Err("no attempt was made".into()), Err))
}

async fn try_connect(url: &str) -> Result<PgConnection, Box<dyn std::error::Error + Send + Sync>> {
    let options: PgConnectOptions = url.parse()?;
    let options = options.options([("client_min_messages", "warning")]);
    Ok(tokio::time::timeout(CONNECT_LIMIT, options.connect()).await??)
}

/// Waits for work in a `drop`, where there is no runtime to wait on.
fn wait_for(work: impl Future<Output = ()> + Send) {
    std::thread::scope(|scope| {
        let _ = scope
            .spawn(|| {
                if let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                {
                    runtime.block_on(work);
                }
            })
            .join();
    });
}

#[expect(
    clippy::panic,
    reason = "only tests come here, and a test that cannot have its database has failed"
)]
#[track_caller]
fn must<T, E: Display>(result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("the test's database: {error}"),
    }
}

async fn is_finished(admin: &mut PgConnection, template: &str) -> bool {
    let found: bool = must(
        sqlx::query_scalar(
            "select exists (select from pg_catalog.pg_database where datname = $1 and datistemplate)",
        )
        .bind(template)
        .fetch_one(admin)
        .await,
    );
    found
}

async fn lock(admin: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("select pg_advisory_lock($1)")
        .bind(TEMPLATE_LOCK)
        .execute(admin)
        .await?;
    Ok(())
}

async fn unlock(admin: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("select pg_advisory_unlock($1)")
        .bind(TEMPLATE_LOCK)
        .execute(admin)
        .await?;
    Ok(())
}

/// Names of our databases that are too old, by the time their folder was made.
async fn leftovers(admin: &mut PgConnection) -> sqlx::Result<Vec<(String, bool)>> {
    sqlx::query_as(
        r"select d.datname::text, d.datistemplate
            from pg_catalog.pg_database d
           cross join lateral pg_stat_file('base/' || d.oid || '/PG_VERSION', true) as made
           where (d.datname like 'test\_%' and made.modification < clock_timestamp() - $1::bigint * interval '1 second')
              or (d.datname like 'template\_%' and made.modification < clock_timestamp() - $2::bigint * interval '1 second')
           limit $3",
    )
    .bind(LEFTOVER_AGE_S)
    .bind(LEFTOVER_TEMPLATE_AGE_S)
    .bind(SWEPT_MAX)
    .fetch_all(admin)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_test_database_is_migrated_private_and_gone_afterwards() {
        let one = TestDatabase::new().await;
        let other = TestDatabase::new().await;
        let pool = one.pool(Role::Shop).await;
        let said: String = sqlx::query_scalar("select shop.norm('Éclair DOUX')")
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(said, "eclair doux");

        one.owner_pool()
            .await
            .execute("create table public.only_here ()")
            .await
            .unwrap();
        let elsewhere: bool =
            sqlx::query_scalar("select to_regclass('public.only_here') is not null")
                .fetch_one(&other.owner_pool().await)
                .await
                .unwrap();
        assert!(!elsewhere);

        let name = one.name.clone();
        drop(one);
        let mut admin = connect(&other.admin_url()).await;
        let left: bool = sqlx::query_scalar(
            "select exists (select from pg_catalog.pg_database where datname = $1)",
        )
        .bind(name)
        .fetch_one(&mut admin)
        .await
        .unwrap();
        assert!(!left);
    }
}
