//! The programs as processes, so that they can be killed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// The variable that names a place at which a program stops for ever, and the one that names the file it makes there.
pub const PAUSE_AT: &str = "E2E_PAUSE_AT";
/// See [`PAUSE_AT`].
pub const PAUSED_FILE: &str = "E2E_PAUSED_FILE";

/// A running program.
pub struct Program {
    child: Child,
    /// The address it prints first.
    pub url: String,
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
        let url = tokio::time::timeout(Duration::from_secs(30), lines.next_line())
            .await
            .expect("in time")
            .expect("a line")
            .expect("an address");
        Program { child, url }
    }

    /// Its process id; `None` once it has ended.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// `kill -9`.
    ///
    /// # Panics
    /// When it is gone already.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it was running");
    }
}

/// Stops for ever at the place the environment names, after making the file it names. For the hooks of the programs.
pub fn pause(
    pause_at: Option<String>,
    paused_file: Option<String>,
) -> impl Fn(&'static str) -> futures::future::BoxFuture<'static, ()> + Send + Sync + 'static {
    let wanted = Arc::new(pause_at.zip(paused_file));
    move |place| {
        let wanted = Arc::clone(&wanted);
        async move {
            if let Some((at, file)) = &*wanted
                && at == place
            {
                let _ = std::fs::write(file, place);
                std::future::pending::<()>().await;
            }
        }
        .boxed()
    }
}

/// A file that does not exist yet.
#[must_use]
pub fn marker(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("paused-{name}"))
}
