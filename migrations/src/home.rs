//! The home of an installation, looked at without changing it: who may read its keys, and how full its disk is.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use nix::sys::statvfs::statvfs;
use nix::unistd::Uid;

use crate::finding::Finding;

/// Bits of a mode that let others of the machine in.
const OTHERS: u32 = 0o077;
/// Bits that let others change something.
const OTHERS_WRITE: u32 = 0o022;
/// Free space below which Postgres soon stops, bytes.
const LITTLE: u128 = 1 << 30;
/// Free space below which it may stop today, bytes.
const NOTHING: u128 = 256 << 20;

/// Modes of the home and its keys, and the room on its disk; `has_data` says whether the database is in there too.
#[must_use]
pub fn examine(home: &Path, has_data: bool) -> Vec<Finding> {
    match fs::metadata(home) {
        Ok(found) => {
            let mut findings = vec![folder(home, &found)];
            findings.extend(keys(&home.join("keys")));
            findings.push(room(home, has_data));
            findings
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            vec![Finding::fine(
                "home",
                format!(
                    "{} is not there yet; it is made when it is needed",
                    home.display()
                ),
            )]
        }
        Err(error) => vec![Finding::fail(
            "home",
            format!(
                "{} cannot be looked at: {error}. Give this user the right to it, or set COUNTERSIGN_HOME",
                home.display()
            ),
        )],
    }
}

fn folder(home: &Path, found: &fs::Metadata) -> Finding {
    let place = home.display();
    let us = Uid::effective();
    if !found.is_dir() {
        return Finding::fail(
            "home",
            format!("{place} is not a folder. Set COUNTERSIGN_HOME to one"),
        );
    }
    if found.uid() != us.as_raw() && !us.is_root() {
        return Finding::fail(
            "home",
            format!(
                "{place} belongs to another user. Run this as the user the server runs as, or change the folder's owner"
            ),
        );
    }
    if found.permissions().mode() & OTHERS_WRITE != 0 {
        return Finding::fail(
            "home",
            format!("others of this machine can change {place}. Run: chmod go-w {place}"),
        );
    }
    Finding::fine("home", place.to_string())
}

/// One finding for all keys; none where none are kept here.
fn keys(folder: &Path) -> Option<Finding> {
    let mut open = Vec::new();
    let mut count = 0;
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let (Ok(found), name) = (entry.metadata(), entry.file_name()) else {
            continue;
        };
        if !found.is_file() {
            continue;
        }
        count += 1;
        if found.permissions().mode() & OTHERS != 0 {
            open.push(name.to_string_lossy().into_owned());
        }
    }
    if !open.is_empty() {
        open.sort();
        let names = open.join(" ");
        return Some(Finding::fail(
            "key files",
            format!(
                "others of this machine can read {names}. Run: chmod 600 {}/*; then change those keys, as they may be known",
                folder.display()
            ),
        ));
    }
    (count > 0).then(|| {
        Finding::fine(
            "key files",
            format!("{count}, readable by their owner alone"),
        )
    })
}

fn room(home: &Path, has_data: bool) -> Finding {
    let free = match statvfs(home) {
        // What a user who is not root may still write.
        Ok(disk) => u128::from(disk.blocks_available()) * u128::from(disk.fragment_size()),
        Err(error) => {
            return Finding::warn(
                "disk",
                format!("the room of {} cannot be told: {error}", home.display()),
            );
        }
    };
    let mib = free >> 20;
    let free_is = format!("{mib} MiB free on the disk of {}", home.display());
    if has_data && free < NOTHING {
        return Finding::fail(
            "disk",
            format!("{free_is}: the database stops when it is full. Make room now"),
        );
    }
    if has_data && free < LITTLE {
        return Finding::warn("disk", format!("{free_is}: make room soon"));
    }
    Finding::fine("disk", free_is)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::finding::Verdict;
    use crate::keys::load_or_create;

    fn worst(home: &Path) -> Vec<(&'static str, Verdict)> {
        let findings = examine(home, true);
        let bad = findings.iter().filter(|f| f.verdict != Verdict::Fine);
        bad.map(|f| (f.what, f.verdict)).collect()
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_others_may_read_or_change_is_found() {
        let home: PathBuf =
            std::env::temp_dir().join(format!("countersign-home-{}", rand::random::<u64>()));
        assert_eq!(worst(&home), [], "not made yet");
        fs::create_dir(&home).unwrap();
        set_mode(&home, 0o700);
        let disk: Vec<_> = worst(&home)
            .into_iter()
            .filter(|(what, _)| *what != "disk")
            .collect();
        assert_eq!(disk, []);

        load_or_create(&home, "confirmation").unwrap();
        assert!(examine(&home, false).iter().any(|f| f.what == "key files"));
        set_mode(&home.join("keys/confirmation"), 0o640);
        set_mode(&home, 0o777);
        let bad: Vec<_> = worst(&home)
            .into_iter()
            .filter(|(what, _)| *what != "disk")
            .collect();
        assert_eq!(bad, [("home", Verdict::Fail), ("key files", Verdict::Fail)]);
        fs::remove_dir_all(&home).unwrap();
    }
}
