//! Starting the server process, and telling whether it runs.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;

use super::Storage;
use super::binaries::Binaries;
use super::folder::Folder;
use crate::open_error::OpenError;

/// Recovery after a crash can take a while; the progress line says so meanwhile.
const START_LIMIT: Duration = Duration::from_secs(120);
const START_POLL: Duration = Duration::from_millis(5);
const RECOVERY_NOTE_AFTER: Duration = Duration::from_secs(5);

/// A log that has grown past this is put aside at the next start, in place of the one put aside before.
const LOG_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// How much of the log's end goes into an error.
const LOG_TAIL_BYTES_MAX: usize = 4 * 1024;

/// The same at every start, on the command line: a program's new version brings its own settings to old data.
const SETTINGS: [&str; 12] = [
    "listen_addresses=",
    "port=5432",
    "unix_socket_permissions=0700",
    "max_connections=200",
    "ssl=off",
    "logging_collector=off",
    "log_destination=stderr",
    // English, since we look for a few words in it; no details, since those hold the shop's data.
    "lc_messages=C",
    "log_error_verbosity=terse",
    "log_min_error_statement=panic",
    "log_checkpoints=off",
    "timezone=UTC",
];

/// For tests, whose data nobody misses: nothing waits for the disk.
const DISPOSABLE_SETTINGS: [&str; 7] = [
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "autovacuum=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "shared_buffers=64MB",
];

/// A pid no process has, for the first line of a stale pid file.
const PID_OF_NOBODY: &str = "2147483647";

/// Whether something answers behind our socket. Not yet that it takes queries.
pub(super) fn answers(folder: &Folder) -> bool {
    UnixStream::connect(folder.socket()).is_ok()
}

/// Starts the server and waits until it takes connections. Call under the folder's lock, when nothing answers.
pub(super) fn start(
    folder: &Folder,
    binaries: &Binaries,
    storage: Storage,
    progress: &mut dyn FnMut(&str),
) -> Result<(), OpenError> {
    turn_log_over(folder);
    let mut log = folder.open_own(&folder.log())?;
    let log_start = log
        .seek(SeekFrom::End(0))
        .map_err(|source| OpenError::file(&folder.log(), source))?;
    defuse_pid_file(folder)?;
    let mut child = command(folder, binaries, storage, log)?
        .spawn()
        .map_err(|source| OpenError::file(&binaries.program("postgres"), source))?;
    wait_until_ready(folder, &mut child, log_start, progress)?;
    // Our child until we end: somebody has to collect it if it ends before us.
    std::thread::spawn(move || child.wait());
    Ok(())
}

fn command(
    folder: &Folder,
    binaries: &Binaries,
    storage: Storage,
    log: File,
) -> Result<Command, OpenError> {
    let log_twin = log
        .try_clone()
        .map_err(|source| OpenError::file(&folder.log(), source))?;
    let mut command = folder.owner.command(&binaries.program("postgres"));
    command
        .arg("-D")
        .arg(folder.data())
        .arg("-k")
        .arg(folder.socket_dir())
        .stdout(log_twin)
        .stderr(log);
    let disposable: &[&str] = match storage {
        Storage::Kept => &[],
        Storage::Disposable => &DISPOSABLE_SETTINGS,
    };
    for setting in SETTINGS.iter().chain(disposable) {
        command.args(["-c", setting]);
    }
    Ok(command)
}

fn wait_until_ready(
    folder: &Folder,
    child: &mut Child,
    log_start: u64,
    progress: &mut dyn FnMut(&str),
) -> Result<(), OpenError> {
    let started = Instant::now();
    let mut noted = false;
    while !is_ready(folder, child.id()) {
        let ended = child
            .try_wait()
            .map_err(|source| OpenError::file(&folder.log(), source))?;
        if ended.is_some() {
            return Err(failure(folder, &log_since(folder, log_start)));
        }
        if started.elapsed() > START_LIMIT {
            // Left alone: killing a recovery only makes the next one longer. The guard stops it once it answers.
            return Err(OpenError::ServerSilent {
                log: folder.log(),
                waited_s: START_LIMIT.as_secs(),
                source: None,
            });
        }
        if !noted && started.elapsed() > RECOVERY_NOTE_AFTER {
            progress("Postgres is recovering from an unclean stop; this can take a minute ...");
            noted = true;
        }
        std::thread::sleep(START_POLL);
    }
    Ok(())
}

/// Whether the pid file names this process and says that it takes connections.
fn is_ready(folder: &Folder, pid: u32) -> bool {
    let Ok(text) = fs::read_to_string(folder.data().join("postmaster.pid")) else {
        return false;
    };
    let mut lines = text.lines().map(str::trim);
    lines.next() == Some(pid.to_string().as_str()) && lines.nth(6) == Some("ready")
}

/// Stops the server and waits for its end, for tests that need it gone.
pub(super) fn stop(folder: &Folder, binaries: &Binaries) -> Result<(), OpenError> {
    if !answers(folder) {
        return Ok(());
    }
    let output = folder
        .owner
        .command(&binaries.program("pg_ctl"))
        .args(["stop", "-s", "-m", "fast", "-t", "30", "-D"])
        .arg(folder.data())
        .output()
        .map_err(|source| OpenError::file(&binaries.program("pg_ctl"), source))?;
    if output.status.success() || !answers(folder) {
        return Ok(());
    }
    Err(failure(folder, &String::from_utf8_lossy(&output.stderr)))
}

/// After a crash the pid file may name a process that is not ours by now. Postgres checks what it names, but takes any living
/// process of the same user for a server and refuses to start. So a pid that is certainly not a server on this data is replaced by
/// one nobody has; the rest of the file stays, because Postgres finds left-over workers by it.
fn defuse_pid_file(folder: &Folder) -> Result<(), OpenError> {
    let path = folder.data().join("postmaster.pid");
    let Ok(text) = fs::read_to_string(&path) else {
        return Ok(());
    };
    let (named, rest) = text.split_once('\n').unwrap_or((&text, ""));
    if !is_certainly_foreign(named.trim(), &folder.data()) {
        return Ok(());
    }
    let new = path.with_extension("pid.new");
    let in_file = |source| OpenError::file(&new, source);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(in_file(error)),
        _ => {}
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(&new)
        .map_err(in_file)?;
    write!(file, "{PID_OF_NOBODY}\n{rest}").map_err(in_file)?;
    folder.owner.give(&new)?;
    fs::rename(&new, &path).map_err(|source| OpenError::file(&path, source))
}

/// Whether the pid names a living process that is not a server on this data. A server's working folder is its data folder.
#[cfg(target_os = "linux")]
fn is_certainly_foreign(pid: &str, data: &Path) -> bool {
    if pid.parse::<u32>().is_err() {
        return true;
    }
    // Not readable: it is gone, or another user's, and Postgres sees both for itself.
    fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd != data)
}

/// Whether the pid names a living process that is not a server on this data. A server of ours has the data folder on its command
/// line.
#[cfg(not(target_os = "linux"))]
fn is_certainly_foreign(pid: &str, data: &Path) -> bool {
    if pid.parse::<u32>().is_err() {
        return true;
    }
    let output = Command::new("ps").args(["-o", "args=", "-p", pid]).output();
    output.is_ok_and(|output| {
        let args = String::from_utf8_lossy(&output.stdout).into_owned();
        let words: Vec<&str> = args.split_whitespace().collect();
        !words.is_empty()
            && !args.contains(&*data.to_string_lossy())
            && !words.first().is_some_and(|program| {
                program.contains("postgres") || program.contains("postmaster")
            })
    })
}

/// What a failed Postgres said, as the error that tells what to do.
pub(super) fn failure(folder: &Folder, text: &str) -> OpenError {
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let tail = tail(text);
    if says(&[
        "No space left on device",
        "Disk quota exceeded",
        "File too large",
    ]) {
        return OpenError::DiskFull {
            path: folder.path().to_path_buf(),
            source: std::io::Error::new(ErrorKind::StorageFull, tail),
        };
    }
    if says(&["Permission denied", "Read-only file system"]) {
        return OpenError::NotWritable {
            path: folder.path().to_path_buf(),
            source: std::io::Error::new(ErrorKind::PermissionDenied, tail),
        };
    }
    if says(&[
        "lock file \"postmaster.pid\" already exists",
        "is still in use",
    ]) {
        return OpenError::DataInUse {
            data: folder.data(),
            source: std::io::Error::new(ErrorKind::ResourceBusy, tail),
        };
    }
    OpenError::ServerFailed {
        log: folder.log(),
        source: std::io::Error::other(tail),
    }
}

fn tail(text: &str) -> String {
    let mut start = text.len().saturating_sub(LOG_TAIL_BYTES_MAX);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text[start..].trim().to_owned()
}

fn log_since(folder: &Folder, start: u64) -> String {
    let mut bytes = Vec::new();
    if let Ok(mut file) = File::open(folder.log())
        && file.seek(SeekFrom::Start(start)).is_ok()
    {
        let _ = file.take(LOG_BYTES_MAX).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn turn_log_over(folder: &Folder) {
    let log = folder.log();
    if fs::symlink_metadata(&log).is_ok_and(|found| found.len() > LOG_BYTES_MAX) {
        // A log that cannot be put aside is no reason not to start.
        let _ = fs::rename(&log, folder.path().join("server.log.1"));
    }
}
