//! Where the embedded server keeps its things, whose they are, and who may touch them now.
//!
//! `<home>/postgres` (mode 0700, owned by the user the server runs as) holds `data`, `server.log`, the lock and the FIFO of the
//! guard. The socket is elsewhere, in a short path under `/tmp`, because a socket's path may have at most 107 bytes.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, lchown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::unistd::{User, getegid, geteuid};
use sha2::{Digest, Sha256};

use crate::open_error::OpenError;

/// Longest path of `<home>/postgres` in bytes. Postgres keeps paths in 1024 bytes and appends file names of its own.
const PATH_BYTES_MAX: usize = 900;

/// How long to wait for another program that is preparing the same folder. A first start with recovery fits many times over.
const LOCK_WAIT: Duration = Duration::from_secs(120);
const LOCK_POLL: Duration = Duration::from_millis(10);

/// Being in the folder of the server shows that the folder is ours.
const LOCK_FILE: &str = "countersign.lock";

/// The user the server runs as.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// We are another user (root) and have to become this one.
    switch: bool,
}

impl Owner {
    /// Who shall run the server whose folder is, or will be, `path`.
    fn of(path: &Path) -> Result<Self, OpenError> {
        let (uid, gid) = (geteuid(), getegid());
        let found = fs::metadata(path).ok();
        if !uid.is_root() {
            if found.is_some_and(|found| found.uid() != uid.as_raw()) {
                return Err(OpenError::FolderOfAnother {
                    path: path.to_path_buf(),
                });
            }
            return Ok(Self {
                uid: uid.as_raw(),
                gid: gid.as_raw(),
                switch: false,
            });
        }
        // Root works on a normal user's data as that user, so that the folder stays theirs.
        if let Some(found) = found.filter(|found| found.uid() != 0) {
            return Ok(Self {
                uid: found.uid(),
                gid: found.gid(),
                switch: true,
            });
        }
        let user = ["postgres", "nobody"]
            .iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .ok_or(OpenError::NoServerUser)?;
        Ok(Self {
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            switch: true,
        })
    }

    fn name(&self) -> String {
        User::from_uid(self.uid.into())
            .ok()
            .flatten()
            .map_or_else(|| self.uid.to_string(), |user| user.name)
    }

    /// A command run as this user, with a clean environment, deaf to the terminal: Ctrl-C in it must reach our program first.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if self.switch {
            command.uid(self.uid).gid(self.gid);
        }
        command
            .current_dir("/")
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .process_group(0);
        command
    }

    /// Gives what we just made to this user. Never follows a link.
    pub(super) fn give(&self, path: &Path) -> Result<(), OpenError> {
        if self.switch {
            lchown(path, Some(self.uid), Some(self.gid))
                .map_err(|source| OpenError::file(path, source))?;
        }
        Ok(())
    }
}

/// The places of one embedded server.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: PathBuf,
    socket_dir: PathBuf,
    pub(super) owner: Owner,
}

impl Folder {
    /// Makes what is missing of the folders for a home, and checks that what is there is ours.
    pub(super) fn prepare(home: &Path) -> Result<Self, OpenError> {
        let home = std::path::absolute(home).map_err(|source| OpenError::file(home, source))?;
        let path = home.join("postgres");
        if path.as_os_str().len() > PATH_BYTES_MAX {
            return Err(OpenError::PathTooLong {
                path: home,
                longest: PATH_BYTES_MAX - "/postgres".len(),
            });
        }
        if home.join("PG_VERSION").exists() {
            return Err(OpenError::ForeignFolder { path: home });
        }
        make_passable(&home)?;
        let owner = Owner::of(&path)?;
        make_private(&path, &owner)?;
        let path = fs::canonicalize(&path).map_err(|source| OpenError::file(&path, source))?;
        let socket_dir = socket_dir(&path, owner.uid);
        Ok(Self {
            path,
            socket_dir,
            owner,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The data folder of the cluster.
    pub(super) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// What Postgres and its guard write.
    pub(super) fn log(&self) -> PathBuf {
        self.path.join("server.log")
    }

    /// The FIFO whose writers are the users of the server.
    pub(super) fn fifo(&self) -> PathBuf {
        self.path.join("users")
    }

    /// The folder of the socket.
    pub(super) fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// The socket itself.
    pub(super) fn socket(&self) -> PathBuf {
        self.socket_dir.join(".s.PGSQL.5432")
    }

    /// Waits until no other program prepares this folder. The lock ends with the returned file, also after kill -9.
    pub(super) fn lock(&self) -> Result<File, OpenError> {
        let path = self.path.join(LOCK_FILE);
        let file = self.open_own(&path)?;
        let started = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(source)) => return Err(OpenError::file(&path, source)),
                Err(TryLockError::WouldBlock) if started.elapsed() > LOCK_WAIT => {
                    return Err(OpenError::StartBusy {
                        path: self.path.clone(),
                        waited_s: LOCK_WAIT.as_secs(),
                    });
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_POLL),
            }
        }
    }

    /// Opens a file of ours for appending, making it if need be. A link in its place is refused: root must not be led elsewhere by
    /// the user who owns the folder.
    pub(super) fn open_own(&self, path: &Path) -> Result<File, OpenError> {
        let is_new = fs::symlink_metadata(path).is_err();
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(path)
            .map_err(|source| OpenError::file(path, source))?;
        if is_new {
            self.owner.give(path)?;
        }
        Ok(file)
    }

    /// Makes the folder of the socket, or checks that the one that is there may be trusted: anyone may make folders in `/tmp`, and
    /// whoever owns this one could stand in for our database.
    pub(super) fn prepare_socket_dir(&self) -> Result<(), OpenError> {
        let path = &self.socket_dir;
        match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => return self.owner.give(path),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(OpenError::file(path, source)),
        }
        let found = fs::symlink_metadata(path).map_err(|source| OpenError::file(path, source))?;
        // Root's own comes from a start that was interrupted before the folder was handed over.
        let ours = found.uid() == self.owner.uid || (self.owner.switch && found.uid() == 0);
        if !found.is_dir() || !ours || found.mode() & 0o077 != 0 {
            return Err(OpenError::SocketFolder { path: path.clone() });
        }
        if found.uid() != self.owner.uid {
            self.owner.give(path)?;
        }
        Ok(())
    }

    /// Whether the user of the server can get into the folder. Asked by trying, since links, groups and access lists all count.
    pub(super) fn check_reach(&self) -> Result<(), OpenError> {
        if !self.owner.switch {
            return Ok(());
        }
        let tried = self
            .owner
            .command(Path::new("/bin/sh"))
            .args(["-c", "cd -- \"$1\"", "sh"])
            .arg(&self.path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        match tried {
            Ok(status) if status.success() => Ok(()),
            Ok(_) => Err(OpenError::FolderOutOfReach {
                path: self.path.clone(),
                user: self.owner.name(),
            }),
            Err(source) => Err(OpenError::file(Path::new("/bin/sh"), source)),
        }
    }
}

/// Makes the folders above ours that are missing. Those made by root may be passed by everyone, whatever root's umask, because the
/// server runs as another user. Folders that exist are never changed.
fn make_passable(home: &Path) -> Result<(), OpenError> {
    let mut missing: Vec<&Path> = home.ancestors().take_while(|path| !path.exists()).collect();
    missing.reverse();
    for path in missing {
        match fs::create_dir(path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
            Err(source) => return Err(OpenError::file(path, source)),
        }
        if geteuid().is_root() {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755))
                .map_err(|source| OpenError::file(path, source))?;
        }
    }
    Ok(())
}

/// Makes the server's folder, or checks that the one that is there is ours.
fn make_private(path: &Path, owner: &Owner) -> Result<(), OpenError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => return owner.give(path),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(source) => return Err(OpenError::file(path, source)),
    }
    let found = fs::metadata(path).map_err(|source| OpenError::file(path, source))?;
    let foreign = || OpenError::ForeignFolder {
        path: path.to_path_buf(),
    };
    if !found.is_dir() {
        return Err(foreign());
    }
    if found.uid() != owner.uid && found.uid() != geteuid().as_raw() {
        return Err(OpenError::FolderOfAnother {
            path: path.to_path_buf(),
        });
    }
    let mut entries = fs::read_dir(path).map_err(|source| OpenError::file(path, source))?;
    if entries.next().is_none() {
        return owner.give(path);
    }
    if !path.join(LOCK_FILE).exists() {
        return Err(foreign());
    }
    Ok(())
}

/// The folder of the socket of a home that has been used.
pub(super) fn existing_socket_dir(home: &Path) -> Option<PathBuf> {
    let path = fs::canonicalize(home.join("postgres")).ok()?;
    let owner = fs::metadata(&path).ok()?.uid();
    Some(socket_dir(&path, owner))
}

/// The same for every program that shares the server: made from the folder's real path and the user of the server.
fn socket_dir(path: &Path, uid: u32) -> PathBuf {
    let digest = Sha256::digest(path.as_os_str().as_bytes());
    let mut short = [0; 8];
    short.copy_from_slice(&digest[..8]);
    let name = format!("countersign-{uid}-{:016x}", u64::from_be_bytes(short));
    Path::new("/tmp").join(name)
}
