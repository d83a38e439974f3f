//! Who stops the server: a small shell process that waits until its last user is gone.
//!
//! Every program that uses the server holds a writing end of a FIFO; the guard holds the reading end. The kernel counts the
//! writers, so that the end of a program counts however it came about, kill -9 included. The guard takes the FIFO's name away before
//! it stops the server, so that a program that arrives too late sees it and waits; one that slipped in before is waited for.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::binaries::Binaries;
use super::folder::Folder;
use super::server;
use super::{DATABASE, OWNER};
use crate::open_error::OpenError;

/// How long a guard that has taken its FIFO away gets to stop the server, before we conclude that it died doing so.
const LEAVING_WAIT: Duration = Duration::from_secs(3);
const LEAVING_POLL: Duration = Duration::from_millis(10);

/// Arguments: folder of the programs, data folder, folder of the socket, FIFO, login, database; the FIFO is also its standard input.
/// `pg_ctl` only comes after the server answered behind our own socket: the process named in a stale pid file is never signalled.
/// Whoever starts a server makes a FIFO first; so, looked at in this order, a later program's server is not taken for ours.
/// The rounds before giving up cover a program that was killed between starting the server and the server's being there.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
while read -r _; do :; done
rm -f -- "$4"
while read -r _; do :; done
exec </dev/null
round=0
while [ "$round" -lt 100 ]; do
  "$1/pg_isready" -q -h "$3" -p 5432 -U "$5" -d "$6" -t 2
  state=$?
  [ -e "$4" ] && exit 0
  [ "$state" -le 1 ] && exec "$1/pg_ctl" stop -s -W -m fast -D "$2"
  [ -e "$2/postmaster.pid" ] || [ "$round" -lt 10 ] || exit 0
  round=$((round + 1))
  sleep 0.1
done
"#;

/// Makes us a user of the server, with a guard that will notice when we are gone. Call under the folder's lock.
pub(super) fn attach(folder: &Folder) -> Result<File, OpenError> {
    let started = Instant::now();
    loop {
        match open_writer(&folder.fifo()) {
            Ok(user) => return Ok(user),
            // A guard is stopping the server just now: let it finish.
            Err(error)
                if error.kind() == ErrorKind::NotFound
                    && server::answers(folder)
                    && started.elapsed() < LEAVING_WAIT =>
            {
                std::thread::sleep(LEAVING_POLL);
            }
            // There never was a guard, or it ended, or it was killed.
            Err(error)
                if error.kind() == ErrorKind::NotFound
                    || error.raw_os_error() == Some(Errno::ENXIO as i32) =>
            {
                return post(folder);
            }
            Err(source) => return Err(OpenError::file(&folder.fifo(), source)),
        }
    }
}

/// Whether the guard we are known to is still there. Two system calls.
pub(super) fn is_posted(folder: &Folder, user: &File) -> bool {
    let same = |other: &File| match (user.metadata(), other.metadata()) {
        (Ok(ours), Ok(named)) => ours.ino() == named.ino() && ours.dev() == named.dev(),
        _ => false,
    };
    open_writer(&folder.fifo()).is_ok_and(|named| same(&named))
}

/// Opens the writing end, which fails with `ENXIO` when nobody reads.
fn open_writer(fifo: &Path) -> std::io::Result<File> {
    open_fifo(OpenOptions::new().write(true), fifo)
}

/// Opens the FIFO and nothing else that may have taken its name: what root opens here is handed to another user's process.
fn open_fifo(options: &mut OpenOptions, fifo: &Path) -> std::io::Result<File> {
    let found = fs::symlink_metadata(fifo)?;
    if found.file_type().is_fifo() {
        let file = options
            .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW).bits())
            .open(fifo)?;
        if file.metadata()?.file_type().is_fifo() {
            return Ok(file);
        }
    }
    // As good as no guard, and replaced by one.
    Err(std::io::Error::from(ErrorKind::NotFound))
}

/// Makes a new FIFO and starts a guard on it.
fn post(folder: &Folder) -> Result<File, OpenError> {
    let binaries = Binaries::find(&folder.data())?;
    let fifo = folder.fifo();
    let in_file = |source| OpenError::file(&fifo, source);
    match fs::remove_file(&fifo) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(in_file(error)),
        _ => {}
    }
    mkfifo(&fifo, Mode::S_IRUSR | Mode::S_IWUSR).map_err(|errno| in_file(errno.into()))?;
    folder.owner.give(&fifo)?;
    // The guard gets its end from us, open: it cannot miss us, even if we are killed right after starting it. Opened without
    // waiting for the other end, then made to wait for what comes.
    let reader = open_fifo(OpenOptions::new().read(true), &fifo).map_err(in_file)?;
    let user = open_writer(&fifo).map_err(in_file)?;
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::empty())).map_err(|errno| in_file(errno.into()))?;

    let log = folder.open_own(&folder.log())?;
    let mut guard = folder
        .owner
        .command(Path::new("/bin/sh"))
        .args(["-c", SCRIPT, "countersign-guard"])
        .args([
            binaries.folder(),
            &folder.data(),
            folder.socket_dir(),
            &fifo,
        ])
        .args([OWNER, DATABASE])
        .stdin(Stdio::from(reader))
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .map_err(|source| OpenError::file(Path::new("/bin/sh"), source))?;
    // Only ever ends before us when it is killed; then somebody has to collect it.
    std::thread::spawn(move || guard.wait());
    Ok(user)
}
