//! A tool server that is a child process: started with an environment that holds none of our secrets, killed with us, its standard error
//! in our log.

use std::process::Stdio;
use std::time::Duration;

use rmcp::RoleClient;
use rmcp::transport::async_rw::AsyncRwTransport;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use super::cleaning;

/// What a child inherits of our environment; the rest holds our keys and the database's address.
const INHERITED: [&str; 12] = [
    "HOME",
    "LANG",
    "LC_ALL",
    "LOGNAME",
    "PATH",
    "SHELL",
    "TERM",
    "TMPDIR",
    "TZ",
    "USER",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
];
/// Longest message of a child, bytes; a longer one is thrown away.
const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest line of a child's standard error in our log, bytes.
const LOG_LINE_BYTES_MAX: usize = 1000;
/// How long a child may take to end by itself once its input is closed.
const FAREWELL: Duration = Duration::from_secs(2);

pub(super) type ChildTransport = AsyncRwTransport<RoleClient, ChildStdout, ChildStdin>;

/// Starts the child. It is killed when what is returned is dropped.
pub(super) fn start(
    server: &str,
    program: &str,
    arguments: &[String],
) -> std::io::Result<(Child, ChildTransport)> {
    let inherited = INHERITED
        .iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?)));
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(inherited)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C is for us: a run that is being finished still needs its tools.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let missing = || std::io::Error::other("the child has no pipes");
    let stdin = child.stdin.take().ok_or_else(missing)?;
    let stdout = child.stdout.take().ok_or_else(missing)?;
    let stderr = child.stderr.take().ok_or_else(missing)?;
    tokio::spawn(log_lines(server.to_owned(), stderr));
    let transport = ChildTransport::new(stdout, stdin).with_max_line_length(MESSAGE_BYTES_MAX);
    Ok((child, transport))
}

/// Lets a child whose input is closed end by itself, and kills it if it does not.
pub(super) async fn end(mut child: Child) {
    if tokio::time::timeout(FAREWELL, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}

/// Ends with the child.
async fn log_lines(server: String, stderr: ChildStderr) {
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    // A line without an end is logged in parts rather than collected.
    while let Ok(part) = reader.fill_buf().await {
        if part.is_empty() {
            break;
        }
        let room = LOG_LINE_BYTES_MAX - line.len();
        let end = part.iter().take(room).position(|b| *b == b'\n');
        let taken = end.map_or_else(|| part.len().min(room), |at| at + 1);
        line.extend_from_slice(&part[..taken]);
        reader.consume(taken);
        if end.is_some() || line.len() >= LOG_LINE_BYTES_MAX {
            log(&server, &mut line);
        }
    }
    log(&server, &mut line);
}

fn log(server: &str, line: &mut Vec<u8>) {
    let text = cleaning::line(&String::from_utf8_lossy(line), LOG_LINE_BYTES_MAX);
    if !text.is_empty() {
        // Whatever it writes; it may be about people.
        tracing::debug!(server, "{text}");
    }
    line.clear();
}
