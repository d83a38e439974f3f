//! A program with a database, as a process of its own that can be interrupted and killed: this test binary, started again for one
//! "test" that opens the database and then does what its standard input says.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use migrations::database::{self, Database, DatabaseSettings, Role};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

const HOME: &str = "COUNTERSIGN_SCENE_HOME";
const PREFIX: &str = "scene: ";
const PATIENCE: Duration = Duration::from_secs(60);

/// The other process.
pub(crate) struct Program {
    child: Child,
    lines: Receiver<String>,
}

impl Program {
    /// Starts one and does not wait for it.
    pub(crate) fn spawn(home: &Path) -> Self {
        Self::spawn_with(&mut Self::command(home))
    }

    /// The command, for scenes that change how it is run.
    pub(crate) fn command(home: &Path) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "program::runs_in_its_own_process", "--nocapture"]);
        command.env(HOME, home);
        command
    }

    /// A command that sets a limit in a shell first, such as `ulimit -f 100`.
    pub(crate) fn command_after(home: &Path, shell: &str) -> Command {
        let inner = Self::command(home);
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("{shell}; exec \"$@\""), "sh"]);
        command.arg(inner.get_program()).args(inner.get_args());
        command.env(HOME, home);
        command
    }

    pub(crate) fn spawn_with(command: &mut Command) -> Self {
        // A group of its own, as a shell gives to a program in a terminal.
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if let Some(text) = line.split(PREFIX).nth(1) {
                    let _ = sender.send(text.to_owned());
                }
            }
        });
        Self { child, lines }
    }

    /// Starts one and waits until it has its database. Returns it with `cold`, `warm` or `joined`.
    pub(crate) fn start(home: &Path) -> (Self, String) {
        let program = Self::spawn(home);
        let how = program.opened();
        (program, how)
    }

    /// Waits for its database.
    pub(crate) fn opened(&self) -> String {
        self.wait_for("opened ")
    }

    /// Waits for the sentence it refuses with.
    pub(crate) fn refused(self) -> String {
        let sentence = self.wait_for("refused ");
        self.finish();
        sentence
    }

    /// Waits for a line that starts with `start`, and returns the rest of it.
    pub(crate) fn wait_for(&self, start: &str) -> String {
        let began = Instant::now();
        let mut seen = Vec::new();
        while began.elapsed() < PATIENCE {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                break;
            };
            if let Some(rest) = line.strip_prefix(start) {
                return rest.to_owned();
            }
            seen.push(line);
        }
        panic!("waited in vain for {start:?}, got {seen:?}");
    }

    /// Runs SQL in it as the owner of the database, and returns the first value as text.
    pub(crate) fn owner_sql(&mut self, sql: &str) -> String {
        self.order(&format!("owner {sql}"))
    }

    /// Runs SQL on its pool.
    pub(crate) fn pool_sql(&mut self, sql: &str) -> String {
        self.order(&format!("pool {sql}"))
    }

    /// The folder of its server's socket.
    pub(crate) fn socket_dir(&mut self) -> PathBuf {
        self.order("socket ").into()
    }

    fn order(&mut self, order: &str) -> String {
        writeln!(self.child.stdin.as_mut().unwrap(), "{order}").unwrap();
        self.wait_for("answer ")
    }

    /// Lets it end in good order.
    pub(crate) fn finish(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }

    /// Ctrl-C in its terminal: the whole group gets the signal.
    pub(crate) fn interrupt(mut self) {
        killpg(self.pid(), Signal::SIGINT).unwrap();
        self.child.wait().unwrap();
    }

    /// kill -9.
    pub(crate) fn kill(mut self) {
        kill(self.pid(), Signal::SIGKILL).unwrap();
        self.child.wait().unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }
}

/// Waits for something that happens by itself soon.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Where a home's server keeps its things.
pub(crate) fn data(home: &Path) -> PathBuf {
    home.join("postgres/data")
}

/// The running server's pid, from its own file.
pub(crate) fn server_pid(home: &Path) -> Option<Pid> {
    let text = std::fs::read_to_string(data(home).join("postmaster.pid")).ok()?;
    Some(Pid::from_raw(text.lines().next()?.trim().parse().ok()?))
}

/// Waits until the server has stopped by itself, and in good order.
pub(crate) fn assert_stops_cleanly(home: &Path) {
    eventually("the server stops, and says so", || {
        let log = std::fs::read_to_string(home.join("postgres/server.log")).unwrap_or_default();
        server_pid(home).is_none() && log.trim_end().ends_with("database system is shut down")
    });
}

/// Not a test of its own: what a [`Program`] runs. Without its variable it has nothing to do.
#[test]
fn runs_in_its_own_process() {
    let Some(home) = std::env::var_os(HOME) else {
        return;
    };
    tokio::runtime::Runtime::new().unwrap().block_on(run(&home));
}

async fn run(home: &OsStr) {
    let settings = DatabaseSettings {
        home: home.into(),
        database_url: None,
        direct_url: None,
        owner_url: None,
        pool_size: 3,
        role: Role::Shop,
    };
    let opened = database::open(settings, &mut |line| println!("{PREFIX}progress {line}")).await;
    let database = match opened {
        Ok(database) => database,
        Err(error) => return println!("{PREFIX}refused {error}"),
    };
    let embedded = database.embedded.as_ref().unwrap();
    let how = match (embedded.cold, embedded.joined) {
        (true, _) => "cold",
        (_, true) => "joined",
        _ => "warm",
    };
    println!("{PREFIX}opened {how}");
    // Its own thread: the supervisor goes on while this waits for orders.
    let (sender, mut orders) = tokio::sync::mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            let _ = sender.blocking_send(line);
        }
    });
    while let Some(order) = orders.recv().await {
        println!("{PREFIX}answer {}", obey(&database, &order).await);
    }
    database.pool.close().await;
}

async fn obey(database: &Database, order: &str) -> String {
    let (who, sql) = order.split_once(' ').unwrap();
    let embedded = database.embedded.as_ref().unwrap();
    let answer: sqlx::Result<Option<String>> = match who {
        "socket" => {
            let options: PgConnectOptions = embedded.owner_url().parse().unwrap();
            Ok(Some(options.get_socket().unwrap().display().to_string()))
        }
        "pool" => {
            sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
                .fetch_optional(&database.pool)
                .await
        }
        _ => {
            let mut owner = PgConnection::connect(&embedded.owner_url()).await.unwrap();
            sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
                .fetch_optional(&mut owner)
                .await
        }
    };
    match answer {
        Ok(value) => value.unwrap_or_default(),
        Err(error) => format!("error: {error}"),
    }
}
