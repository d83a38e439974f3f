//! The migrations, and how far a database has come with them.
//!
//! The queries here and in `prerequisites` read Postgres' own catalog before there is a schema to check them against, on any
//! server version; the tests run every one of them.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use sqlx::migrate::{MigrateError, Migrator};

use crate::open_error::OpenError;

/// Every migration, compiled in. The files stand in the crate's own folder; the macro does not take "." for it.
pub(crate) static MIGRATOR: Migrator = sqlx::migrate!("../migrations");

/// How long a migration waits for a lock another session holds, the lock between migrating programs included.
const LOCK_TIMEOUT_S: u64 = 60;

/// Start-up options of a connection that migrates: a migration may take as long as it needs, but not wait for ever, and nobody's
/// `search_path` decides where its table goes.
pub(super) const MIGRATION_OPTIONS: [(&str, &str); 3] = [
    ("lock_timeout", "60s"),
    ("statement_timeout", "0"),
    ("search_path", "public"),
];

/// How a database compares with this program.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    /// No migration was ever applied.
    Missing,
    /// Some are still to be applied; the newest applied is this one.
    Behind(i64),
    /// Everything is applied.
    Current,
}

/// The newest migration this program knows.
pub(super) fn needed() -> i64 {
    MIGRATOR
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or(0)
}

/// How far the database is. Newer than this program, or another text, is an error.
pub(super) async fn state(connection: &mut PgConnection) -> Result<State, OpenError> {
    if !is_begun(connection).await? {
        return Ok(State::Missing);
    }
    let applied: BTreeMap<i64, Vec<u8>> = applied(connection).await?.into_iter().collect();
    compare(&applied)
}

fn compare(applied: &BTreeMap<i64, Vec<u8>>) -> Result<State, OpenError> {
    let needed = needed();
    for (&version, checksum) in applied {
        match MIGRATOR.iter().find(|known| known.version == version) {
            Some(known) if *known.checksum == **checksum => {}
            Some(_) => return Err(OpenError::SchemaDiffers { version }),
            None => {
                return Err(OpenError::SchemaNewer {
                    found: version,
                    needed,
                });
            }
        }
    }
    let complete = MIGRATOR
        .iter()
        .all(|known| applied.contains_key(&known.version));
    Ok(match applied.keys().next_back() {
        _ if complete => State::Current,
        Some(&newest) => State::Behind(newest),
        None => State::Missing,
    })
}

/// Applies what is missing, under the lock between migrating programs.
pub(super) async fn run(connection: &mut PgConnection) -> Result<(), OpenError> {
    MIGRATOR.run(connection).await.map_err(explain)
}

fn explain(source: MigrateError) -> OpenError {
    let cause = match &source {
        MigrateError::VersionMissing(version) => {
            return OpenError::SchemaNewer {
                found: *version,
                needed: needed(),
            };
        }
        MigrateError::VersionMismatch(version) => {
            return OpenError::SchemaDiffers { version: *version };
        }
        MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _) => cause,
        _ => return OpenError::Migration { source },
    };
    let code = cause
        .as_database_error()
        .and_then(|error| error.code())
        .map(|code| code.into_owned());
    match (code.as_deref(), source) {
        (
            Some("42P06"),
            MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _),
        ) => OpenError::SchemaTaken { source },
        (Some("55P03"), source) => OpenError::MigrationBusy {
            waited_s: LOCK_TIMEOUT_S,
            source,
        },
        (_, source) => OpenError::Migration { source },
    }
}

async fn is_begun(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("select to_regclass('public._sqlx_migrations') is not null")
        .fetch_one(connection)
        .await
}

async fn applied(connection: &mut PgConnection) -> sqlx::Result<Vec<(i64, Vec<u8>)>> {
    sqlx::query_as("select version, checksum from public._sqlx_migrations where success")
        .fetch_all(connection)
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_applied() -> BTreeMap<i64, Vec<u8>> {
        MIGRATOR
            .iter()
            .map(|known| (known.version, known.checksum.to_vec()))
            .collect()
    }

    #[test]
    fn no_two_migrations_have_one_version() {
        assert_eq!(all_applied().len(), MIGRATOR.iter().count());
    }

    #[test]
    fn a_database_is_missing_behind_current_newer_or_different() {
        assert_eq!(compare(&BTreeMap::new()).unwrap(), State::Missing);
        assert_eq!(compare(&all_applied()).unwrap(), State::Current);

        let mut newer = all_applied();
        newer.insert(29_990_101_000_000, vec![1]);
        let refused = compare(&newer).unwrap_err().to_string();
        assert!(
            refused.contains("newer version of the program"),
            "{refused}"
        );

        let mut different = all_applied();
        different.insert(needed(), vec![1]);
        let refused = compare(&different).unwrap_err().to_string();
        assert!(refused.contains("another text"), "{refused}");
    }

    #[test]
    fn migrations_are_named_by_a_time_and_a_sentence_and_run_in_a_transaction() {
        for migration in MIGRATOR.iter() {
            assert_eq!(migration.version.to_string().len(), 14, "{migration:?}");
            assert!(migration.description.contains(' '), "{migration:?}");
            assert!(!migration.no_tx, "{migration:?}");
        }
    }
}
