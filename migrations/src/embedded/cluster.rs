//! Making the data folder: `initdb`, the roles, the database. It appears under its name only when it is complete.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use super::binaries::Binaries;
use super::folder::Folder;
use super::server;
use super::{ADMIN, DATABASE, OWNER, Storage};
use crate::database::Role;
use crate::open_error::OpenError;

/// In the data folder: shows that we made it.
const MARK: &str = "countersign-cluster";

/// What is in the data folder's place.
pub(super) enum Found {
    /// Nothing: the first start.
    Nothing,
    /// A cluster of ours.
    Ours,
}

/// Looks what is there. A folder that is not ours is an error.
pub(super) fn look(folder: &Folder) -> Result<Found, OpenError> {
    let data = folder.data();
    match fs::symlink_metadata(&data) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Found::Nothing),
        Err(source) => Err(OpenError::file(&data, source)),
        Ok(_) if data.join(MARK).is_file() && data.join("PG_VERSION").is_file() => Ok(Found::Ours),
        Ok(_) => Err(OpenError::ForeignFolder { path: data }),
    }
}

/// Makes the cluster. A start that was interrupted leaves nothing that could be taken for one.
pub(super) fn make(
    folder: &Folder,
    binaries: &Binaries,
    storage: Storage,
) -> Result<(), OpenError> {
    remove_leftovers(folder);
    let data = folder
        .path()
        .join(format!("data.new.{}", std::process::id()));
    let _ = fs::remove_dir_all(&data);
    let made = initdb(folder, binaries, &data)
        .and_then(|()| bootstrap(folder, binaries, &data))
        .and_then(|()| settle(folder, binaries, &data, storage));
    if made.is_err() {
        // Above all on a full disk: what is left of the attempt is in the way of the next one.
        let _ = fs::remove_dir_all(&data);
    }
    made
}

/// Marks the finished folder, gets it to the disk and gives it its name.
fn settle(
    folder: &Folder,
    binaries: &Binaries,
    data: &Path,
    storage: Storage,
) -> Result<(), OpenError> {
    let mark = data.join(MARK);
    // Only ever a new file: the folder belongs to the server's user, who could have put a link there for root to follow.
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&mark)
        .and_then(|mut file| file.write_all(b"Made by Countersign: do not change.\n"))
        .map_err(|source| OpenError::file(&mark, source))?;
    folder.owner.give(&mark)?;
    if storage == Storage::Kept {
        sync(folder, binaries, data)?;
    }
    let last = folder.data();
    fs::rename(data, &last).map_err(|source| OpenError::file(&last, source))?;
    if storage == Storage::Kept {
        File::open(folder.path())
            .and_then(|parent| parent.sync_all())
            .map_err(|source| OpenError::file(folder.path(), source))?;
    }
    Ok(())
}

fn initdb(folder: &Folder, binaries: &Binaries, data: &Path) -> Result<(), OpenError> {
    let mut last = None;
    for locale in locales(binaries.major()) {
        let output = folder
            .owner
            .command(&binaries.program("initdb"))
            .arg("-D")
            .arg(data)
            // Synced once at the end: a thousand single syncs take longer than everything else.
            .args(["--username", ADMIN, "--auth=trust", "--encoding=UTF8"])
            .args(["--data-checksums", "--no-instructions", "--no-sync"])
            .args(locale)
            .output()
            .map_err(|source| OpenError::file(&binaries.program("initdb"), source))?;
        if output.status.success() {
            return Ok(());
        }
        let text = everything_said(&output);
        let _ = fs::remove_dir_all(data);
        let bad_locale = text.contains("invalid locale");
        last = Some(server::failure(folder, &text));
        if !bad_locale {
            break;
        }
    }
    Err(last.unwrap_or(OpenError::NoPostgres))
}

/// Locales to try, best first: sorting by code point is the same on every machine, and letters outside ASCII have lower case.
fn locales(major: u32) -> Vec<Vec<&'static str>> {
    let mut locales = vec![
        vec!["--locale=C.UTF-8"],
        vec!["--locale=en_US.UTF-8"],
        vec!["--locale=C"],
    ];
    if major >= 17 {
        locales.insert(
            0,
            vec![
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
            ],
        );
    }
    locales
}

/// Makes the roles and the database in single-user mode, before any server has run: they are there whenever the cluster is.
fn bootstrap(folder: &Folder, binaries: &Binaries, data: &Path) -> Result<(), OpenError> {
    let program = binaries.program("postgres");
    let in_program = |source| OpenError::file(&program, source);
    // One statement a line, as single-user mode reads them.
    let statements = format!(
        "create role {OWNER} login nosuperuser nobypassrls\n\
         create role {shop} login nosuperuser nobypassrls\n\
         create role {agent} login nosuperuser nobypassrls\n\
         create database {DATABASE} owner {OWNER}\n\
         revoke all on database {DATABASE} from public\n\
         grant connect on database {DATABASE} to {shop}, {agent}\n",
        shop = Role::Shop.name(),
        agent = Role::Agent.name(),
    );
    let mut child = folder
        .owner
        .command(&program)
        .args(["--single", "-D"])
        .arg(data)
        .args(["-c", "fsync=off", "-c", "log_checkpoints=off", "template1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(in_program)?;
    if let Some(mut input) = child.stdin.take() {
        // A server that died early explains itself below better than a broken pipe does.
        let _ = input.write_all(statements.as_bytes());
    }
    let output = child.wait_with_output().map_err(in_program)?;
    let text = everything_said(&output);
    // Single-user mode goes on after a failed statement and ends well.
    let failed = ["ERROR:", "FATAL:", "PANIC:"]
        .iter()
        .any(|level| text.contains(level));
    if output.status.success() && !failed {
        return Ok(());
    }
    Err(server::failure(folder, &text))
}

fn everything_said(output: &Output) -> String {
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    text
}

/// Gets everything in the folder to the disk.
#[cfg(target_os = "linux")]
fn sync(_folder: &Folder, _binaries: &Binaries, data: &Path) -> Result<(), OpenError> {
    // The whole file system in one go: far faster than file by file.
    File::open(data)
        .and_then(|file| nix::unistd::syncfs(file).map_err(std::io::Error::from))
        .map_err(|source| OpenError::file(data, source))
}

/// Gets everything in the folder to the disk.
#[cfg(not(target_os = "linux"))]
fn sync(folder: &Folder, binaries: &Binaries, data: &Path) -> Result<(), OpenError> {
    let output = folder
        .owner
        .command(&binaries.program("initdb"))
        .args(["--sync-only", "-D"])
        .arg(data)
        .output()
        .map_err(|source| OpenError::file(data, source))?;
    if output.status.success() {
        return Ok(());
    }
    Err(server::failure(folder, &everything_said(&output)))
}

/// Removes what interrupted first starts left. We hold the lock, so nobody is working on them; an `initdb` that outlived its
/// program fails by losing its folder.
fn remove_leftovers(folder: &Folder) {
    let entries = fs::read_dir(folder.path()).into_iter().flatten().flatten();
    let leftovers: Vec<PathBuf> = entries
        .filter(|entry| {
            entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(b"data.new.")
        })
        .map(|entry| entry.path())
        .collect();
    for leftover in leftovers {
        let _ = fs::remove_dir_all(leftover);
    }
}
