//! Why a program has no database, each in words that say what to do.

use std::io::{Error as IoError, ErrorKind};
use std::path::{Path, PathBuf};

/// The oldest Postgres that will do, as people name it.
pub(crate) const OLDEST_MAJOR: u32 = 15;

#[cfg(target_os = "macos")]
const INSTALL: &str = "brew install postgresql@17";
#[cfg(not(target_os = "macos"))]
const INSTALL: &str = "apt install postgresql";

/// Why there is no database to work with. `Display` is for the operator: one sentence saying what to do, or the SQL an administrator
/// has to run. The cause, for the log, is the `source()`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No usable Postgres is installed and none was given.
    #[error(
        "No Postgres is installed on this machine: install it ({INSTALL}), or set DATABASE_URL to a Postgres {OLDEST_MAJOR} or newer."
    )]
    NoPostgres,

    /// Only a Postgres that is too old is installed.
    #[error(
        "The newest Postgres installed on this machine is version {found}, and {OLDEST_MAJOR} or newer is needed: install a newer one ({INSTALL}), or set DATABASE_URL."
    )]
    PostgresTooOld {
        /// The newest major version found.
        found: u32,
    },

    /// The data was made by a major version of Postgres that is not installed.
    #[error(
        "The data in {} was made by Postgres {made_by}, and this machine has {installed}: install Postgres {made_by} next to it, or move that folder away to start with an empty shop.",
        data.display()
    )]
    WrongMajor {
        /// The data folder.
        data: PathBuf,
        /// The major version that made it.
        made_by: String,
        /// The major versions installed.
        installed: String,
    },

    /// A folder in the place of ours holds something we did not make.
    #[error(
        "{} holds files that Countersign did not make, so it is left alone: set COUNTERSIGN_HOME to another folder, or set DATABASE_URL.",
        path.display()
    )]
    ForeignFolder {
        /// The folder found.
        path: PathBuf,
    },

    /// A folder of ours belongs to another user of the machine.
    #[error(
        "{} belongs to another user of this machine: start the program as that user, or set COUNTERSIGN_HOME to a folder of your own.",
        path.display()
    )]
    FolderOfAnother {
        /// The folder found.
        path: PathBuf,
    },

    /// Started by root, and the user who must run the server cannot get to the folder.
    #[error(
        "The user {user}, who runs the database because Postgres refuses to run as root, cannot reach {}: set COUNTERSIGN_HOME to a folder every user may pass through, such as /var/lib/countersign.",
        path.display()
    )]
    FolderOutOfReach {
        /// The folder of the server.
        path: PathBuf,
        /// The user the server would run as.
        user: String,
    },

    /// Started by root on a machine without an unprivileged user to run the server.
    #[error(
        "Postgres refuses to run as root, and this machine has neither a user postgres nor a user nobody: create one (useradd --system postgres), or start the program as a normal user."
    )]
    NoServerUser,

    /// The path is longer than Postgres can handle.
    #[error(
        "The path {} is too long for Postgres: set COUNTERSIGN_HOME to a folder with a path of at most {longest} bytes.",
        path.display()
    )]
    PathTooLong {
        /// The folder asked for.
        path: PathBuf,
        /// The longest path that works, in bytes.
        longest: usize,
    },

    /// A folder cannot be written.
    #[error(
        "{} cannot be written: allow the user who starts the program to write there, or set COUNTERSIGN_HOME to another folder.",
        path.display()
    )]
    NotWritable {
        /// The folder or file.
        path: PathBuf,
        /// What the machine said.
        #[source]
        source: IoError,
    },

    /// The disk is full.
    #[error(
        "The disk that holds {} is full: free some space, or set COUNTERSIGN_HOME to a folder on another disk.",
        path.display()
    )]
    DiskFull {
        /// The folder or file.
        path: PathBuf,
        /// What the machine or Postgres said.
        #[source]
        source: IoError,
    },

    /// Any other trouble with a file.
    #[error(
        "{} cannot be used: the log has the cause; repair it, or set COUNTERSIGN_HOME to another folder.",
        path.display()
    )]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// What the machine said.
        #[source]
        source: IoError,
    },

    /// The place of the socket is taken by something we must not trust.
    #[error(
        "{} was not made by Countersign for this user, so its socket cannot be trusted: have its owner or an administrator remove it, then start again.",
        path.display()
    )]
    SocketFolder {
        /// The folder of the socket.
        path: PathBuf,
    },

    /// Another program has been preparing the same folder for too long.
    #[error(
        "Another program has been preparing the database in {} for more than {waited_s} seconds: end it, then start again.",
        path.display()
    )]
    StartBusy {
        /// The folder of the server.
        path: PathBuf,
        /// How long we waited.
        waited_s: u64,
    },

    /// A server runs on our data folder but not behind our socket.
    #[error(
        "Another Postgres is using {}, and its socket cannot be reached from here: stop that server, or the program that started it, then start again.",
        data.display()
    )]
    DataInUse {
        /// The data folder.
        data: PathBuf,
        /// What Postgres said.
        #[source]
        source: IoError,
    },

    /// The embedded server did not start, for a reason only its log tells.
    #[error(
        "The embedded Postgres did not start: its log {} says why; repair that, or set DATABASE_URL to another Postgres.",
        log.display()
    )]
    ServerFailed {
        /// The server's log.
        log: PathBuf,
        /// The end of what it said.
        #[source]
        source: IoError,
    },

    /// The embedded server runs but does not answer.
    #[error(
        "The embedded Postgres did not answer within {waited_s} seconds: look into its log {}, then start again.",
        log.display()
    )]
    ServerSilent {
        /// The server's log.
        log: PathBuf,
        /// How long we waited.
        waited_s: u64,
        /// The last refusal, if there was one.
        #[source]
        source: Option<sqlx::Error>,
    },

    /// A connection setting cannot be read.
    #[error(
        "{setting} is not a Postgres address: write it as postgres://user:password@host:5432/database."
    )]
    BadUrl {
        /// Which setting.
        setting: &'static str,
        /// What is wrong with it.
        #[source]
        source: sqlx::Error,
    },

    /// Nothing answers at the address.
    #[error(
        "No Postgres answers at {address} ({setting}): start it, or correct the address; each attempt waits at most {waited_s} seconds."
    )]
    Unreachable {
        /// Which setting.
        setting: &'static str,
        /// Host, port and database, never the password.
        address: String,
        /// How long an attempt may take.
        waited_s: u64,
        /// What the connection said, nothing if it ran into the deadline.
        #[source]
        source: Option<sqlx::Error>,
    },

    /// The server answers and does not let us in.
    #[error(
        "Postgres at {address} refuses the login in {setting}: correct its user, password or database name."
    )]
    Refused {
        /// Which setting.
        setting: &'static str,
        /// Host, port and database, never the password.
        address: String,
        /// What Postgres said.
        #[source]
        source: sqlx::Error,
    },

    /// The server has no connection left.
    #[error(
        "Postgres at {address} has no free connection: raise its max_connections, or lower the pool sizes of the programs that use it."
    )]
    ServerFull {
        /// Host, port and database, never the password.
        address: String,
        /// What Postgres said.
        #[source]
        source: sqlx::Error,
    },

    /// A pooler in front of Postgres refuses the connection's options.
    #[error(
        "The pooler at {address} refuses connection options: set ignore_startup_parameters = options,extra_float_digits in it, and statement_timeout = '8s' and idle_in_transaction_session_timeout = '30s' on the login's role instead (`mcp-server doctor` sees whether they hold)."
    )]
    PoolerRefuses {
        /// Host, port and database, never the password.
        address: String,
        /// What the pooler said.
        #[source]
        source: sqlx::Error,
    },

    /// The direct address does not lead where the other does.
    #[error(
        "DATABASE_DIRECT_URL ({direct}) leads to another database than DATABASE_URL ({address}): both must lead to the same one, DATABASE_DIRECT_URL without a pooler between."
    )]
    OtherDatabase {
        /// Host, port and database of the direct address.
        direct: String,
        /// Those of the other.
        address: String,
    },

    /// A program that only reads has connections that could write.
    #[error(
        "A pooler between drops the option by which Postgres would refuse whatever writes, and the login {login} has the right to write: give DATABASE_URL a login that may only read (`call shop.let_read('login')` as the owner gives it what it needs)."
    )]
    WouldWrite {
        /// The login.
        login: String,
    },

    /// The given server is too old.
    #[error(
        "The Postgres at {address} is version {found}, and {OLDEST_MAJOR} or newer is needed: upgrade it, or set DATABASE_URL to a newer one."
    )]
    ServerTooOld {
        /// Host, port and database.
        address: String,
        /// Its version, as it tells it.
        found: String,
    },

    /// The given database does not store UTF-8.
    #[error(
        "The database at {address} stores text as {found}, and UTF8 is needed: make another one (create database countersign encoding 'UTF8' template template0) and put its name into DATABASE_URL."
    )]
    NotUtf8 {
        /// Host, port and database.
        address: String,
        /// Its encoding.
        found: String,
    },

    /// Something only an administrator of the server may do has to be done first. Nothing was changed.
    #[error(
        "The database {database} is not ready, and the login {login} may not make it so: have an administrator of that Postgres run the lines below in it, then start again. Nothing was changed.\n\n{sql}"
    )]
    NeedsAdministrator {
        /// The database the lines are for.
        database: String,
        /// The login that lacks the right.
        login: String,
        /// The exact SQL, one statement a line.
        sql: String,
    },

    /// The schema is missing or behind, and this login may not change it.
    #[error(
        "The schema of the database is {found}, this program needs {needed}, and the login in DATABASE_URL may not change it: run `mcp-server migrate` with DATABASE_OWNER_URL set to a login that owns the database."
    )]
    NeedsMigration {
        /// The version found, in words.
        found: String,
        /// The version needed.
        needed: i64,
    },

    /// The job queue's schema is missing or older than this program's.
    #[error(
        "The schema of the job queue is missing or old, and the login in DATABASE_URL may not change it: run `mcp-server migrate` with DATABASE_OWNER_URL set to a login that owns the database."
    )]
    QueueMissing,

    /// The job queue's schema could not be made.
    #[error(
        "The job queue's schema could not be made: {source}. Give DATABASE_OWNER_URL a login that owns the database and may create schemas in it."
    )]
    Queue {
        /// What the database said.
        source: sqlx::Error,
    },

    /// The schema is newer than this program.
    #[error(
        "The schema of the database ({found}) is newer than this program ({needed}): start the newer version of the program that belongs to it."
    )]
    SchemaNewer {
        /// The newest version applied.
        found: i64,
        /// The newest version this program knows.
        needed: i64,
    },

    /// A migration that was applied had another text.
    #[error(
        "Migration {version} was applied to this database with another text than this program has: start the program that belongs to the database, or use another database."
    )]
    SchemaDiffers {
        /// The migration.
        version: i64,
    },

    /// A schema of our name exists and is not ours.
    #[error(
        "The database already has a schema named shop or agent that Countersign did not make: give Countersign a database of its own in DATABASE_URL."
    )]
    SchemaTaken {
        /// What Postgres said.
        #[source]
        source: sqlx::Error,
    },

    /// A migration is held up by another session.
    #[error(
        "The schema could not be changed because another session held its locks for {waited_s} seconds: end that session or wait for it, then start again."
    )]
    MigrationBusy {
        /// How long we waited.
        waited_s: u64,
        /// What Postgres said.
        #[source]
        source: sqlx::migrate::MigrateError,
    },

    /// A migration failed. It left nothing behind.
    #[error(
        "The schema could not be brought up to date, and is as it was before: the log has the cause; report it with the version of the program."
    )]
    Migration {
        /// What went wrong.
        #[source]
        source: sqlx::migrate::MigrateError,
    },

    /// Connections would run as a role that row level security does not bind.
    #[error(
        "Connections would run as {role}, which {fault}: make {wanted} a plain role without such rights, and log in as it or as a plain login that is a member of it."
    )]
    UnsafeRole {
        /// The role connections run as.
        role: String,
        /// What it may that it must not, as a clause.
        fault: &'static str,
        /// The role that is needed.
        wanted: &'static str,
    },

    /// A check's own query failed.
    #[error(
        "The database could not be checked because a query failed: the log has the cause; start again once it is repaired."
    )]
    Query {
        /// What Postgres said.
        #[from]
        source: sqlx::Error,
    },

    /// The work was given up because the program is ending.
    #[error("Preparing the database was given up because the program is ending: start it again.")]
    GivenUp {
        /// Why the work did not finish.
        #[from]
        source: tokio::task::JoinError,
    },
}

impl OpenError {
    /// Trouble with a file or folder, told apart by what can be done about it.
    pub(crate) fn file(path: &Path, source: IoError) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                Self::DiskFull { path, source }
            }
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                Self::NotWritable { path, source }
            }
            _ => Self::Folder { path, source },
        }
    }
}
