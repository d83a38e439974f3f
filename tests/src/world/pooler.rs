//! `PgBouncer` in transaction mode, as an operator puts it between the programs and Postgres: after every transaction the connection to
//! Postgres is somebody else's.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr as _;

use migrations::test_database::TestHome;
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _};
use tokio::process::Child;

use super::until;

/// The variable that names the command; `.ci/pgbouncer` prints one.
pub const PGBOUNCER: &str = "PGBOUNCER";
/// The oldest that follows prepared statements.
const OLDEST: (u32, u32) = (1, 21);
/// The page that says how it is set up; what it says is what is run.
const PAGE: &str = include_str!("../../../.deploy/OPERATIONS.md");
/// Who may ask it about itself.
const OPERATOR: &str = "operator";
/// What its socket is called by; nobody else is in its folder.
const PORT: u16 = 6432;

/// A command that runs a `PgBouncer` that is new enough: what [`PGBOUNCER`] names, which then has to be one, else the machine's own. Where there
/// is none, standard output says so.
///
/// # Panics
/// When [`PGBOUNCER`] names something else.
#[must_use]
pub fn command() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(PGBOUNCER).map(PathBuf::from) {
        let found = version(&named);
        assert!(
            found.is_some_and(|found| found >= OLDEST),
            "{PGBOUNCER} names {}, which is no PgBouncer of {OLDEST:?} or newer: {found:?}",
            named.display()
        );
        return Some(named);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Distributions put it where only root looks.
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    places.push(PathBuf::from("/usr/sbin"));
    let mut commands = places.into_iter().map(|place| place.join("pgbouncer"));
    let found = commands.find(|command| version(command).is_some_and(|found| found >= OLDEST));
    if found.is_none() {
        skipped();
    }
    found
}

/// Past the harness, which shows what a scene prints only when it fails.
fn skipped() {
    use std::io::Write as _;
    let (major, minor) = OLDEST;
    let _ = writeln!(
        std::io::stdout(),
        "skipped, not passed: no PgBouncer of {major}.{minor} or newer is here. To run it: {PGBOUNCER}=\"$(.ci/pgbouncer)\" cargo test -p e2e --test journeys pooler"
    );
}

/// Of `PgBouncer 1.24.1` the first two numbers.
fn version(command: &Path) -> Option<(u32, u32)> {
    let said = Command::new(command).arg("--version").output();
    let said = String::from_utf8(said.ok()?.stdout).ok()?;
    let mut numbers = said.strip_prefix("PgBouncer ")?.split(['.', '\n']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// A running pooler. Stopped when dropped.
#[derive(Debug)]
pub struct Pooler {
    database: String,
    folder: TestHome,
    /// Ends with this value.
    _process: Child,
}

/// How the connections of one login are shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// The login.
    pub login: String,
    /// Connections of programs.
    pub clients: i64,
    /// Connections to Postgres.
    pub servers: i64,
}

impl Pooler {
    /// Puts one before the database at an address of its superuser, with at most so many connections to Postgres for each login, and makes
    /// the logins `shop` and `agent`, set up as the page says.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn open(command: &Path, admin_url: &str, connections: u32) -> Pooler {
        let postgres = PgConnectOptions::from_str(admin_url).expect("an address");
        make_logins(&postgres).await;
        let database = postgres.get_database().expect("a database").to_owned();
        let folder = TestHome::new();
        fs::create_dir_all(folder.path()).expect("its folder");
        let settings = write_settings(folder.path(), &postgres, connections);
        let process = start(command, folder.path(), &settings, &postgres);
        let pooler = Pooler {
            database,
            folder,
            _process: process,
        };
        until("the pooler answers", || async {
            pooler.operator().await.is_ok()
        })
        .await;
        pooler
    }

    /// The database's address for a login, through it.
    #[must_use]
    pub fn url(&self, login: &str) -> String {
        self.url_of(login, &self.database)
    }

    fn url_of(&self, login: &str, database: &str) -> String {
        let folder = self.folder.path().display();
        format!("postgres://{login}@localhost/{database}?host={folder}&port={PORT}")
    }

    /// Its own console.
    async fn operator(&self) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect(&self.url_of(OPERATOR, "pgbouncer")).await
    }

    async fn show(&self, what: &str) -> Vec<PgRow> {
        let mut operator = self.operator().await.expect("the console");
        let rows = sqlx::raw_sql(AssertSqlSafe(format!("show {what}")))
            .fetch_all(&mut operator)
            .await
            .expect(what);
        let ours = |row: &PgRow| row.get::<String, _>("database") == self.database;
        rows.into_iter().filter(ours).collect()
    }

    /// How many transactions went through it.
    ///
    /// # Panics
    /// When it does not say.
    pub async fn transactions(&self) -> i64 {
        let rows = self.show("stats").await;
        rows.iter().map(|row| number(row, "total_xact_count")).sum()
    }

    /// How it shares connections right now.
    ///
    /// # Panics
    /// When it does not say.
    pub async fn shared(&self) -> Vec<Shared> {
        let sum = |row: &PgRow, columns: &[&str]| -> i64 {
            columns.iter().map(|column| number(row, column)).sum()
        };
        let rows = self.show("pools").await;
        rows.iter()
            .map(|row| Shared {
                login: row.get("user"),
                clients: sum(row, &["cl_active", "cl_waiting"]),
                servers: sum(
                    row,
                    &["sv_active", "sv_idle", "sv_used", "sv_tested", "sv_login"],
                ),
            })
            .collect()
    }
}

/// Whatever kind of number the console calls it.
fn number(row: &PgRow, column: &str) -> i64 {
    let text: String = row.get_unchecked(column);
    text.parse().expect(column)
}

/// The page's block of a language under its heading about poolers.
fn from_the_page(language: &str) -> &'static str {
    let (_, section) = PAGE.split_once("## PgBouncer\n").expect("the section");
    let section = section.split("\n## ").next().unwrap_or(section);
    let (_, block) = section
        .split_once(&format!("```{language}\n"))
        .expect("the block");
    block.split("```").next().unwrap_or(block)
}

async fn make_logins(postgres: &PgConnectOptions) {
    let mut admin = PgConnection::connect_with(postgres)
        .await
        .expect("a superuser");
    let make = "create role shop login in role countersign_shop; create role agent login in role countersign_agent";
    for sql in [make, from_the_page("sql")] {
        admin.execute(sql).await.expect(sql);
    }
    admin.close().await.expect("closed");
}

/// The page's settings, with our places and sizes. What comes later counts.
fn write_settings(folder: &Path, postgres: &PgConnectOptions, connections: u32) -> PathBuf {
    let host = postgres.get_socket().map_or_else(
        || postgres.get_host().to_owned(),
        |folder| folder.display().to_string(),
    );
    let (port, database) = (
        postgres.get_port(),
        postgres.get_database().unwrap_or_default(),
    );
    let page = from_the_page("ini");
    let (_, pooler) = page.split_once("[pgbouncer]\n").expect("its section");
    let (place, users, log) = (folder.display(), folder.join("users"), folder.join("log"));
    let settings = format!(
        "[databases]\n{database} = host={host} port={port} dbname={database}\n[pgbouncer]\n{pooler}
listen_addr =\nlisten_port = {PORT}\nunix_socket_dir = {place}\nauth_type = trust\nauth_file = {}\nadmin_users = {OPERATOR}
default_pool_size = {connections}\nlogfile = {}\n",
        users.display(),
        log.display()
    );
    let file = folder.join("pgbouncer.ini");
    fs::write(&file, settings).expect("its settings");
    let known = ["shop", "agent", OPERATOR].map(|login| format!("\"{login}\" \"\"\n"));
    fs::write(users, known.concat()).expect("its users");
    file
}

/// As whoever runs Postgres, who alone reaches its socket: root may not run a pooler, either.
fn start(command: &Path, folder: &Path, settings: &Path, postgres: &PgConnectOptions) -> Child {
    let owner = |path: &Path| fs::metadata(path).map(|found| (found.uid(), found.gid()));
    let us = owner(folder).expect("our folder");
    let (user, group) = postgres
        .get_socket()
        .map_or(us, |s| owner(s).expect("its socket"));
    let mut starting = tokio::process::Command::new(command);
    if us.0 != user {
        chown(folder, Some(user), Some(group)).expect("its folder");
        let id = Command::new("id").args(["-nu", &user.to_string()]).output();
        let name = String::from_utf8(id.expect("id").stdout).expect("a name");
        starting.args(["-u", name.trim()]);
    }
    starting
        .arg("-q")
        .arg(settings)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the pooler starts")
}
