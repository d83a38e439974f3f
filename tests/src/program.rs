//! The programs as processes, so that they can be killed, and a shop for them to run over.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use contracts::http::chat::ChatResponse;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use mcp_server::demo;
use migrations::clock;
use migrations::database::Role;
use migrations::test_database::TestHome;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::json;
use sqlx::PgPool;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use crate::world::foreign::Book;
use crate::world::pooler::Pooler;
use crate::world::{PATIENCE, Place, http_client, on_hand, until};

/// The variable that names the file a program looks into at every place of its hooks. The place written there is where it stops.
pub const PAUSE_FILE: &str = "E2E_PAUSE_FILE";
/// The variable with which `mcp-server` logs nothing: for tests that break so much on purpose that nobody could read it.
pub const QUIET: &str = "E2E_QUIET";
/// The variable with which `agent` has another model than the interpreter: [`crate::world::foreign::CallsAsTold`].
pub const CALLS_AS_TOLD: &str = "E2E_CALLS_AS_TOLD";
/// The variable that names where somebody else's tool server listens.
pub const FOREIGN_BIND: &str = "E2E_FOREIGN_BIND";
/// The variable that names the file it writes down what it was told in.
pub const FOREIGN_BOOK: &str = "E2E_FOREIGN_BOOK";
/// How often a stopped program looks whether it may go on.
const PAUSE_POLL: Duration = Duration::from_millis(10);

/// A running program. Killed when dropped.
pub struct Program {
    /// The address it prints first.
    pub url: String,
    /// Stops it in the middle of something, if [`PAUSE_FILE`] was among its variables.
    pub pause: Pause,
    http: reqwest::Client,
    id: Option<u32>,
    child: Mutex<Child>,
}

impl Program {
    /// Starts one of the programs of this package and waits for the address it prints.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(executable: &str, variables: &HashMap<String, String>) -> Program {
        let mut child = Command::new(executable)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .envs(variables)
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        let stdout = child.stdout.take().expect("its output");
        let mut lines = BufReader::new(stdout).lines();
        let url = tokio::time::timeout(PATIENCE, lines.next_line())
            .await
            .expect("in time")
            .expect("a line")
            .expect("an address");
        let pause_file = variables.get(PAUSE_FILE);
        Program {
            url,
            http: http_client(),
            pause: Pause::by(pause_file.map(PathBuf::from).unwrap_or_default()),
            id: child.id(),
            child: Mutex::new(child),
        }
    }

    /// The process id it was given.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.id
    }

    /// `kill -9`.
    ///
    /// # Panics
    /// When it is gone already.
    pub async fn kill(&self) {
        self.child
            .lock()
            .await
            .kill()
            .await
            .expect("it was running");
    }

    /// Tells it to stop, as a service manager does, and waits until it has.
    ///
    /// # Panics
    /// When it does not in time.
    pub async fn terminate(&self) -> std::process::ExitStatus {
        let id = self.id.expect("it was started").to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status().await;
        assert!(told.expect("kill").success(), "it was running");
        let mut child = self.child.lock().await;
        let stopped = tokio::time::timeout(PATIENCE, child.wait()).await;
        stopped.expect("in time").expect("its status")
    }

    /// A POST to be sent.
    pub fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.url))
    }

    /// A GET to be sent.
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.url))
    }

    /// A message in a session, to be sent under a key.
    pub fn message(&self, session: &str, key: &str, message: &str) -> RequestBuilder {
        self.post("/agent/chat")
            .header("idempotency-key", key)
            .json(&json!({"session_id": session, "message": message}))
    }

    /// Says something and returns the agent's answer, which must be 200.
    ///
    /// # Panics
    /// When it is not.
    pub async fn say(&self, session: &str, key: &str, message: &str) -> ChatResponse {
        let sent = self.message(session, key, message).send().await;
        chat_response(sent.expect("an answer")).await
    }
}

/// Waits until a service manager would have this process stop.
///
/// # Errors
/// When that cannot be heard.
pub async fn terminated() -> std::io::Result<()> {
    let mut told = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    told.recv().await;
    Ok(())
}

/// The body of a 200.
///
/// # Panics
/// When it is something else.
pub async fn chat_response(response: Response) -> ChatResponse {
    let status = response.status();
    let text = response.text().await.expect("a body");
    assert_eq!(status, StatusCode::OK, "{text}");
    serde_json::from_str(&text).expect("a chat response")
}

/// Stops whatever comes first to a place, until it is let go on. Works through a file, so in another process as in this one.
#[derive(Debug, Clone)]
pub struct Pause {
    /// Holds the name of the place; renamed by whoever stops there, so of several at one place only the first does.
    file: PathBuf,
    paused: PathBuf,
}

impl Pause {
    /// By a file that is not there yet.
    #[must_use]
    pub fn by(file: PathBuf) -> Pause {
        let paused = file.with_extension("paused");
        Pause { file, paused }
    }

    /// From now on the first call or run that comes to the place stops there.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn at(&self, place: &str) {
        // Whole or not at all: the program may be looking.
        let draft = self.file.with_extension("draft");
        let written =
            std::fs::write(&draft, place).and_then(|()| std::fs::rename(draft, &self.file));
        written.expect("the pause file");
    }

    /// Waits until something has stopped at the place.
    pub async fn reached(&self) {
        until("stopped", || async { self.paused.exists() }).await;
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// When nothing has stopped.
    pub fn go_on(&self) {
        std::fs::remove_file(&self.paused).expect("it has stopped");
    }

    /// For the hooks of the programs.
    pub fn hook(self) -> impl Fn(&'static str) -> BoxFuture<'static, ()> + Send + Sync + 'static {
        let pause = Arc::new(self);
        move |place| {
            let pause = Arc::clone(&pause);
            async move { pause.stop(place).await }.boxed()
        }
    }

    /// Stops here, if this is the place.
    pub async fn stop(&self, place: &str) {
        if std::fs::read_to_string(&self.file).is_ok_and(|wanted| wanted == place) {
            self.stop_here().await;
        }
    }

    async fn stop_here(&self) {
        if std::fs::rename(&self.file, &self.paused).is_err() {
            return;
        }
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while self.paused.exists() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(PAUSE_POLL).await;
        }
    }
}

/// The executables of this package, which only a test knows.
#[derive(Debug, Clone, Copy)]
pub struct Executables {
    /// `agent` with places to stop at.
    pub agent: &'static str,
    /// `mcp-server` with places to stop at.
    pub server: &'static str,
    /// Somebody else's tool server.
    pub foreign: &'static str,
}

/// The demo shop in a database of its own, with no program running yet.
pub struct Stage {
    /// The owner's view of the database, for looking.
    pub db: PgPool,
    executables: Executables,
    variables: HashMap<String, String>,
    programs: AtomicU32,
    _home: TestHome,
    /// Declared before the database, so that it stops first.
    pooler: Option<Pooler>,
    database: Place,
}

impl Stage {
    /// The demo shop, both programs' leases lasting a second.
    ///
    /// # Panics
    /// When the shop cannot be made.
    pub async fn open(executables: Executables) -> Stage {
        Stage::over(executables, Place::new(false).await).await
    }

    /// The same in a Postgres of its own, which the programs reach as the logins of a deployment and through a pooler with at most so many
    /// connections for each; `mcp-server` has the direct address, too.
    ///
    /// # Panics
    /// When the shop cannot be made or the pooler does not start.
    pub async fn behind_a_pooler(
        executables: Executables,
        pooler: &Path,
        connections: u32,
    ) -> Stage {
        let mut stage = Stage::over(executables, Place::new(true).await).await;
        stage.pooler = Some(Pooler::open(pooler, &stage.admin_url(), connections).await);
        stage
    }

    async fn over(executables: Executables, database: Place) -> Stage {
        agent::start::install_crypto();
        let home = TestHome::new();
        let clock = clock::from_setting(None);
        let made = demo::make_tenant(&database.owner_url(), clock.now()).await;
        made.expect("the tenant");
        let (pool, address) = (database.pool(Role::Shop).await, String::new());
        // Adding goods asks nothing, so these keys sign nothing.
        let app = mcp_server::app::App::new(pool, clock, address, [0; 32], [0; 32]);
        demo::stock(&app).await.expect("demo goods");
        let home_text = home.path().to_str().expect("a plain path").to_owned();
        std::fs::create_dir_all(home.path()).expect("the home");
        let variables = HashMap::from([
            ("COUNTERSIGN_HOME".to_owned(), home_text),
            ("AGENT_BIND".to_owned(), "127.0.0.1:0".to_owned()),
            ("RUN_LEASE_SECONDS".to_owned(), "1".to_owned()),
            ("DATABASE_POOL_SIZE".to_owned(), "5".to_owned()),
        ]);
        Stage {
            db: database.owner_pool(),
            executables,
            variables,
            programs: AtomicU32::new(0),
            _home: home,
            pooler: None,
            database,
        }
    }

    /// The same with another setting of all programs.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Stage {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The database's address for a program's role.
    #[must_use]
    pub fn url(&self, role: Role) -> String {
        self.database.url(role)
    }

    /// What a program is told: beside a pooler, where Postgres is, if it has to know.
    #[must_use]
    pub fn variables(&self, role: Role) -> HashMap<String, String> {
        let mut variables = self.variables.clone();
        let mut set = |name: &str, value: String| variables.insert(name.to_owned(), value);
        set("DATABASE_OWNER_URL", self.database.owner_url());
        match (&self.pooler, role) {
            (None, _) => {
                set("DATABASE_URL", self.database.url(role));
            }
            (Some(pooler), Role::Agent) => {
                set("DATABASE_URL", pooler.url("agent"));
            }
            (Some(pooler), Role::Shop) => {
                set("DATABASE_URL", pooler.url("shop"));
                set("DATABASE_DIRECT_URL", self.database.url_of("shop"));
            }
        }
        variables
    }

    /// The pooler, where there is one.
    #[must_use]
    pub fn pooler(&self) -> Option<&Pooler> {
        self.pooler.as_ref()
    }

    /// The address of the database server's superuser, who may cut connections.
    #[must_use]
    pub fn admin_url(&self) -> String {
        self.database.admin_url()
    }

    /// A tool server on a port of its own.
    pub async fn server(&self) -> Program {
        self.server_on("127.0.0.1:0").await
    }

    /// A tool server where a killed one was.
    ///
    /// # Panics
    /// When the address is not one a server printed.
    pub async fn server_again(&self, url: &str) -> Program {
        let address = url
            .strip_prefix("http://")
            .and_then(|u| u.strip_suffix("/mcp"));
        self.server_on(address.expect("the address of a server"))
            .await
    }

    async fn server_on(&self, bind: &str) -> Program {
        let more = [("MCP_BIND", bind.to_owned())];
        self.start(self.executables.server, Role::Shop, more).await
    }

    /// A tool server that is not told some of the variables.
    pub async fn server_without(&self, names: &[&str]) -> Program {
        let mut variables = self.variables(Role::Shop);
        variables.retain(|name, _| !names.contains(&name.as_str()));
        variables.insert("MCP_BIND".to_owned(), "127.0.0.1:0".to_owned());
        Program::start(self.executables.server, &variables).await
    }

    /// An agent that works with this server.
    pub async fn agent(&self, server: &Program) -> Program {
        self.agent_at(&server.url).await
    }

    /// An agent that works with whatever is at this address.
    pub async fn agent_at(&self, server_url: &str) -> Program {
        let more = [("MCP_SERVER_URL", server_url.to_owned())];
        self.start(self.executables.agent, Role::Agent, more).await
    }

    /// Somebody else's tool server, on a port of its own or where a killed one was.
    ///
    /// # Panics
    /// When the address is not one it printed.
    pub async fn foreign(&self, url: Option<&str>) -> Program {
        let address = url.map(|u| {
            let inner = u
                .strip_prefix("http://")
                .and_then(|u| u.strip_suffix("/mcp"));
            inner.expect("the address of a server").to_owned()
        });
        let book = self.book_file();
        let more = [
            (
                FOREIGN_BIND,
                address.unwrap_or_else(|| "127.0.0.1:0".to_owned()),
            ),
            (
                FOREIGN_BOOK,
                book.to_str().expect("a plain path").to_owned(),
            ),
        ];
        self.start(self.executables.foreign, Role::Shop, more).await
    }

    /// What somebody else's tool server was told.
    #[must_use]
    pub fn book(&self) -> Book {
        Book::at(&self.book_file())
    }

    fn book_file(&self) -> PathBuf {
        PathBuf::from(&self.variables["COUNTERSIGN_HOME"]).join("book")
    }

    async fn start<const N: usize>(
        &self,
        executable: &str,
        role: Role,
        more: [(&str, String); N],
    ) -> Program {
        let mut variables = self.variables(role);
        variables.extend(more.into_iter().map(|(k, v)| (k.to_owned(), v)));
        let number = self.programs.fetch_add(1, Ordering::Relaxed);
        let pause_file = format!("{}/pause-{number}", variables["COUNTERSIGN_HOME"]);
        variables.insert(PAUSE_FILE.to_owned(), pause_file);
        Program::start(executable, &variables).await
    }

    /// One number from the owner's view.
    ///
    /// # Panics
    /// When the query fails.
    pub async fn number(&self, sql: &'static str) -> i64 {
        let found = sqlx::query_scalar::<_, i64>(sql).fetch_one(&self.db).await;
        found.expect(sql)
    }

    /// What is on hand of an item, as text.
    ///
    /// # Panics
    /// When there is no such item.
    pub async fn on_hand(&self, item: &str) -> String {
        on_hand(&self.db, item).await
    }

    /// One text from the owner's view.
    ///
    /// # Panics
    /// When the query fails.
    pub async fn text(&self, sql: &'static str) -> String {
        let found = sqlx::query_scalar::<_, String>(sql)
            .fetch_one(&self.db)
            .await;
        found.expect(sql)
    }
}
