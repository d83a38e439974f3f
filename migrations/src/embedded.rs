//! The private Postgres a program uses when it was given none.
//!
//! One server per home, shared by every program that names the home, reachable only through a Unix socket that only its user can
//! open. The first program starts it, the last one to end has it stopped (see `guard`). It is a real Postgres with everything on that
//! keeps data safe, and our programs log in to it as non-owners, as they do in production.

mod binaries;
mod cluster;
mod folder;
mod guard;
mod server;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};

use self::binaries::Binaries;
use self::cluster::Found;
use self::folder::Folder;
use crate::database::Role;
use crate::open_error::OpenError;

/// The superuser of the cluster. Only this crate logs in as it.
pub(crate) const ADMIN: &str = "countersign_admin";
/// Owns the database and migrates it.
pub(crate) const OWNER: &str = "countersign_owner";
/// The database of the shop.
const DATABASE: &str = "countersign";

/// How long a server may take to answer a query, starting and recovering included.
const GREETING_LIMIT: Duration = Duration::from_secs(130);
const GREETING_POLL: Duration = Duration::from_millis(20);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const LEFTOVER_WORKERS_LIMIT: Duration = Duration::from_secs(10);
const LEFTOVER_WORKERS_POLL: Duration = Duration::from_millis(100);

/// How often the supervisor looks at the server, and how long it leaves a server alone that it could not start.
const SUPERVISOR_PERIOD: Duration = Duration::from_secs(1);
const SUPERVISOR_PAUSE: Duration = Duration::from_secs(5);

/// Whether the data is worth waiting for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Storage {
    /// Somebody's shop.
    Kept,
    /// A test's.
    Disposable,
}

/// The embedded server, running for as long as this value lives in some program. Cheap to share by reference; dropping the last one
/// of all programs lets the server stop.
#[derive(Debug)]
pub struct Embedded {
    server: Arc<Server>,
    /// This home had no cluster before this call, so there is nothing in it yet.
    pub first_start: bool,
    /// Another program was running the server already.
    pub joined: bool,
    /// From the call until the server answered a query.
    pub took: Duration,
    /// `took` includes making the cluster, for comparing it with the limit for cold starts.
    pub cold: bool,
}

/// What the value and the supervisor share.
#[derive(Debug)]
struct Server {
    folder: Folder,
    storage: Storage,
    /// Our end of the guard's FIFO. Held, never written.
    user: Mutex<Option<File>>,
}

/// What bringing the server up came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// It was running.
    Joined,
    /// It was started on data from before.
    Warm,
    /// The cluster was made, too.
    Cold,
}

impl Embedded {
    /// Makes the cluster if the home has none, starts the server if it does not run, and waits until it answers. `progress` gets a
    /// line for the person whenever there is something to wait for, and one with the measured time at the end.
    ///
    /// # Errors
    /// Everything that can be in the way of a server on this machine, each as one sentence saying what to do.
    pub async fn start(
        home: &Path,
        progress: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Self, OpenError> {
        Self::start_as(home, Storage::Kept, progress).await
    }

    /// Whether a server was ever made in this home.
    #[must_use]
    pub fn is_made(home: &Path) -> bool {
        home.join("postgres/data/PG_VERSION").exists()
    }

    /// [`Self::start`], with a choice of how to treat the disk.
    pub(crate) async fn start_as(
        home: &Path,
        storage: Storage,
        progress: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Self, OpenError> {
        let started = Instant::now();
        let home = home.to_path_buf();
        let folder = on_blocking_thread(progress, move |_| Folder::prepare(&home)).await??;
        let server = Arc::new(Server {
            folder,
            storage,
            user: Mutex::new(None),
        });
        let start = bring_up(&server, progress).await?;
        let embedded = Self {
            server,
            first_start: start == Start::Cold,
            joined: start == Start::Joined,
            took: started.elapsed(),
            cold: start == Start::Cold,
        };
        progress(&embedded.summary(start));
        Ok(embedded)
    }

    /// The address for migrating, as the role that owns the database.
    #[must_use]
    pub fn owner_url(&self) -> String {
        self.url_of(OWNER, DATABASE)
    }

    /// The address a program works with: its own role, neither owner nor superuser.
    #[must_use]
    pub fn url(&self, role: Role) -> String {
        self.url_of(role.name(), DATABASE)
    }

    /// The address of any login and database of this server.
    pub(crate) fn url_of(&self, login: &str, database: &str) -> String {
        self.server.url(login, database)
    }

    /// Where the data is.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.server.folder.data()
    }

    /// Brings the server back if it is gone, whoever stopped it. Four system calls when all is well.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn ensure_running(&self) -> Result<(), OpenError> {
        self.server.ensure_running().await
    }

    /// Stops the server under everybody, for tests of what happens then. [`Self::ensure_running`] starts it again.
    pub(crate) async fn stop(&self) -> Result<(), OpenError> {
        let server = Arc::clone(&self.server);
        on_blocking_thread(&mut |_| {}, move |_| {
            let _lock = server.folder.lock()?;
            let binaries = Binaries::find(&server.folder.data())?;
            server::stop(&server.folder, &binaries)
        })
        .await?
    }

    /// Stops the server for good and lets the guard go, for tests that remove the home next.
    pub(crate) async fn discard(&self) {
        // What does not work now, the guard does when the process ends.
        let _ = self.stop().await;
        let user = self.server.user.lock().map(|mut user| user.take());
        drop(user);
    }

    /// Watches over the server until this value is dropped, so that a server that was stopped or killed comes back without a
    /// restart of the program.
    pub(crate) fn supervise(&self) -> tokio::task::JoinHandle<()> {
        tokio::spawn(supervise(Arc::downgrade(&self.server)))
    }

    fn summary(&self, start: Start) -> String {
        let took_s = self.took.as_secs_f64();
        let data = self.data_dir();
        let data = data.display();
        match start {
            Start::Cold => format!("Postgres made and started in {took_s:.2} s; data in {data}"),
            Start::Warm => format!("Postgres started in {took_s:.2} s; data in {data}"),
            Start::Joined => {
                format!("Postgres was running, joined in {took_s:.2} s; data in {data}")
            }
        }
    }
}

impl Server {
    fn url(&self, login: &str, database: &str) -> String {
        let host = self.folder.socket_dir().display().to_string();
        let host = host.replace('/', "%2F");
        format!("postgres://{login}@localhost/{database}?host={host}")
    }

    fn is_fine(&self) -> bool {
        self.is_attended() && server::answers(&self.folder)
    }

    /// Whether a guard knows us.
    fn is_attended(&self) -> bool {
        let user = self.user.lock().unwrap_or_else(PoisonError::into_inner);
        user.as_ref()
            .is_some_and(|user| guard::is_posted(&self.folder, user))
    }

    async fn ensure_running(self: &Arc<Self>) -> Result<(), OpenError> {
        if self.is_fine() {
            return Ok(());
        }
        bring_up(self, &mut |line| tracing::info!("{line}")).await?;
        Ok(())
    }

    /// One attempt: a guard that knows us, and a server that at least accepts connections.
    fn attach_and_start(&self, progress: &mut dyn FnMut(&str)) -> Result<Start, OpenError> {
        let folder = &self.folder;
        let _lock = folder.lock()?;
        let found = cluster::look(folder)?;
        if !server::answers(folder) {
            folder.check_reach()?;
        }
        folder.prepare_socket_dir()?;
        if !self.is_attended() {
            // Not under the mutex: this may wait for an old guard to go. The folder's lock keeps others out.
            let user = guard::attach(folder)?;
            *self.user.lock().unwrap_or_else(PoisonError::into_inner) = Some(user);
        }
        if server::answers(folder) {
            return Ok(Start::Joined);
        }
        let binaries = Binaries::find(&folder.data())?;
        let start = match found {
            Found::Ours => {
                progress("Starting Postgres ...");
                Start::Warm
            }
            Found::Nothing => {
                progress(&format!(
                    "Making the database in {} with Postgres {} (first start only) ...",
                    folder.path().display(),
                    binaries.major()
                ));
                cluster::make(folder, &binaries, self.storage)?;
                Start::Cold
            }
        };
        server::start(folder, &binaries, self.storage, progress)?;
        Ok(start)
    }

    /// A first query, as the owner in our database. `Ok(Err(..))` means: not yet, or no longer.
    async fn greet(&self) -> Result<Result<(), Option<sqlx::Error>>, OpenError> {
        let url = self.url(OWNER, DATABASE);
        let talk = async {
            let options: PgConnectOptions = url.parse()?;
            let mut connection = options.disable_statement_logging().connect().await?;
            connection.ping().await?;
            connection.close().await
        };
        let error = match tokio::time::timeout(CONNECT_LIMIT, talk).await {
            Ok(Ok(())) => return Ok(Ok(())),
            Ok(Err(error)) => error,
            Err(_) => return Ok(Err(None)),
        };
        let code = error.as_database_error().and_then(|error| error.code());
        match code.as_deref() {
            // Full of connections: alive.
            Some("53300") => Ok(Ok(())),
            // It answers, and has no such role or database: it is not a cluster of ours.
            Some("28000" | "28P01" | "3D000") => Err(OpenError::ForeignFolder {
                path: self.folder.data(),
            }),
            _ => Ok(Err(Some(error))),
        }
    }
}

/// Removes the folder of the socket of a home that is about to be removed.
pub(crate) fn remove_socket_dir(home: &Path) {
    if let Some(path) = folder::existing_socket_dir(home) {
        let _ = std::fs::remove_dir_all(path);
    }
}

/// Repeats until the server has answered a query: it may have been on its way down when we joined.
async fn bring_up(
    server: &Arc<Server>,
    progress: &mut (dyn FnMut(&str) + Send),
) -> Result<Start, OpenError> {
    let started = Instant::now();
    let mut first = None;
    loop {
        let again = Arc::clone(server);
        let attempt =
            on_blocking_thread(progress, move |report| again.attach_and_start(report)).await?;
        let start = match attempt {
            // The workers of a killed server outlive it for a moment, and Postgres waits for them to be gone.
            Err(OpenError::DataInUse { .. }) if started.elapsed() < LEFTOVER_WORKERS_LIMIT => {
                tokio::time::sleep(LEFTOVER_WORKERS_POLL).await;
                continue;
            }
            attempt => attempt?,
        };
        // A cluster made in the first round is still a first start when a later round finds it running.
        let start = match (first, start) {
            (Some(before), Start::Joined) => before,
            (Some(Start::Cold), Start::Warm) => Start::Cold,
            (_, now) => now,
        };
        let refusal = match server.greet().await? {
            Ok(()) => return Ok(start),
            Err(refusal) => refusal,
        };
        if started.elapsed() > GREETING_LIMIT {
            return Err(OpenError::ServerSilent {
                log: server.folder.log(),
                waited_s: GREETING_LIMIT.as_secs(),
                source: refusal,
            });
        }
        // Joining a server that then goes down is not joining it.
        first = Some(start).filter(|start| *start != Start::Joined);
        tokio::time::sleep(GREETING_POLL).await;
    }
}

async fn supervise(server: Weak<Server>) {
    loop {
        tokio::time::sleep(SUPERVISOR_PERIOD).await;
        let Some(server) = server.upgrade() else {
            return;
        };
        if server.is_fine() {
            continue;
        }
        tracing::warn!("the embedded Postgres is gone, starting it again");
        if let Err(error) = server.ensure_running().await {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(cause, "{error}");
            drop(server);
            tokio::time::sleep(SUPERVISOR_PAUSE).await;
        }
    }
}

/// Runs work that waits for processes and files where it holds nobody up, and passes its progress lines on.
async fn on_blocking_thread<T: Send + 'static>(
    progress: &mut (dyn FnMut(&str) + Send),
    work: impl FnOnce(&mut dyn FnMut(&str)) -> T + Send + 'static,
) -> Result<T, OpenError> {
    let (sender, mut lines) = tokio::sync::mpsc::channel::<String>(8);
    let task = tokio::task::spawn_blocking(move || {
        work(&mut |line| {
            // Nobody listens any more when the caller has given up; the work is then finished for the next one.
            let _ = sender.blocking_send(line.to_owned());
        })
    });
    while let Some(line) = lines.recv().await {
        progress(&line);
    }
    Ok(task.await?)
}
