//! Which installed Postgres to run. None is downloaded: the crate that does it costs about 190 more, for a machine where one
//! install command does the same.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::open_error::{OLDEST_MAJOR, OpenError};

/// Folders whose entries may be one installation each, with what stands between the entry and its programs.
const INSTALLATION_FOLDERS: [(&str, &str); 7] = [
    ("/usr/lib/postgresql", "bin"), // Debian, Ubuntu
    ("/usr/lib/postgresql", ""),
    ("/usr/libexec", ""), // Alpine
    ("/usr", "bin"),      // Red Hat: /usr/pgsql-17/bin
    ("/opt/homebrew/opt", "bin"),
    ("/usr/local/opt", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "bin"),
];

/// Most entries looked at per installation folder.
const ENTRIES_MAX: usize = 400;

/// The programs of one installation.
#[derive(Debug, Clone)]
pub(super) struct Binaries {
    folder: PathBuf,
    major: u32,
}

impl Binaries {
    /// The installation to use: the one that made the data if there is data, else the newest.
    pub(super) fn find(data: &Path) -> Result<Self, OpenError> {
        choose(&installed(&candidates()), data)
    }

    /// The path of one program.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The folder the programs are in.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The major version, such as 17.
    pub(super) fn major(&self) -> u32 {
        self.major
    }
}

fn choose(installed: &[Binaries], data: &Path) -> Result<Binaries, OpenError> {
    let newest = installed
        .iter()
        .max_by_key(|binaries| binaries.major)
        .ok_or(OpenError::NoPostgres)?;
    let Ok(made_by) = std::fs::read_to_string(data.join("PG_VERSION")) else {
        if newest.major < OLDEST_MAJOR {
            return Err(OpenError::PostgresTooOld {
                found: newest.major,
            });
        }
        return Ok(newest.clone());
    };
    let made_by = made_by.trim();
    installed
        .iter()
        .find(|binaries| binaries.major.to_string() == made_by)
        .cloned()
        .ok_or_else(|| OpenError::WrongMajor {
            data: data.to_path_buf(),
            made_by: made_by.to_owned(),
            installed: majors(installed),
        })
}

fn majors(installed: &[Binaries]) -> String {
    let mut majors: Vec<u32> = installed.iter().map(|binaries| binaries.major).collect();
    majors.sort_unstable();
    majors.dedup();
    let names: Vec<String> = majors.iter().map(u32::to_string).collect();
    names.join(" and ")
}

/// Folders that may hold the programs of an installation, the usual places of packages first, then `PATH`.
fn candidates() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for (parent, rest) in INSTALLATION_FOLDERS {
        let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
        folders.extend(
            entries
                .take(ENTRIES_MAX)
                .map(|entry| entry.path().join(rest)),
        );
    }
    folders.push(PathBuf::from("/usr/local/pgsql/bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    for folder in std::env::split_paths(&path) {
        // Some packages only link the programs into the PATH, while their libraries are found next to the real ones.
        if let Ok(program) = std::fs::canonicalize(folder.join("initdb"))
            && let Some(real) = program.parent()
        {
            folders.push(real.to_path_buf());
        }
    }
    folders
}

fn installed(candidates: &[PathBuf]) -> Vec<Binaries> {
    let mut found: Vec<Binaries> = Vec::new();
    for folder in candidates {
        let complete = ["initdb", "postgres", "pg_ctl", "pg_isready"]
            .iter()
            .all(|program| folder.join(program).is_file());
        if complete
            && !found.iter().any(|known| known.folder == *folder)
            && let Some(major) = major_of(&folder.join("postgres"))
        {
            found.push(Binaries {
                folder: folder.clone(),
                major,
            });
        }
    }
    found
}

fn major_of(postgres: &Path) -> Option<u32> {
    let output = Command::new(postgres)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    parse_major(&String::from_utf8_lossy(&output.stdout))
}

/// The major version in a text such as `postgres (PostgreSQL) 15.18 (Debian ...)` or `postgres (PostgreSQL) 18beta1`.
fn parse_major(text: &str) -> Option<u32> {
    let version = text.split(") ").nth(1)?;
    let digits = version.split(|letter: char| !letter.is_ascii_digit());
    digits.into_iter().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_major(major: u32) -> Binaries {
        Binaries {
            folder: PathBuf::from(format!("/usr/lib/postgresql/{major}/bin")),
            major,
        }
    }

    #[test]
    fn versions_are_read_and_compared_as_numbers() {
        assert_eq!(
            parse_major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"),
            Some(15)
        );
        assert_eq!(parse_major("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(parse_major("mysqld 8"), None);

        let none = std::env::temp_dir().join("countersign-no-such-data");
        let newest = choose(&[of_major(9), of_major(17), of_major(15)], &none).unwrap();
        assert_eq!(newest.major(), 17);
    }

    #[test]
    fn a_missing_or_old_postgres_is_one_sentence_with_the_command() {
        let none = std::env::temp_dir().join("countersign-no-such-data");
        let missing = choose(&[], &none).unwrap_err().to_string();
        assert!(missing.contains("install") && missing.contains("DATABASE_URL"));
        let old = choose(&[of_major(13)], &none).unwrap_err().to_string();
        assert!(
            old.contains("version 13") && old.contains("15 or newer"),
            "{old}"
        );
    }

    #[test]
    fn data_is_only_run_by_the_version_that_made_it() {
        let data = std::env::temp_dir().join(format!("countersign-major-{}", std::process::id()));
        std::fs::create_dir_all(&data).unwrap();
        std::fs::write(data.join("PG_VERSION"), "16\n").unwrap();
        assert_eq!(
            choose(&[of_major(17), of_major(16)], &data)
                .unwrap()
                .major(),
            16
        );
        for other in [15, 17] {
            let refused = choose(&[of_major(other)], &data).unwrap_err().to_string();
            assert!(refused.contains("made by Postgres 16"), "{refused}");
            assert!(
                refused.contains(&format!("this machine has {other}")),
                "{refused}"
            );
        }
        std::fs::remove_dir_all(&data).unwrap();
    }
}
