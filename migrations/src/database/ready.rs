//! Whether a running program can work with its database right now, for whoever sends it requests.

use sqlx::{Connection as _, PgConnection, PgPool};

use super::schema::{self, State};
use super::{Role, prerequisites, queue};
use crate::open_error::OpenError;

/// What a program waits for before it can work. `Display` tells no address, no login and no statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// No connection, or none in time.
    #[error("no database")]
    Database,
    /// The schema is older than this program, or another.
    #[error("the schema is not up to date")]
    Schema,
    /// Row level security does not bind the connections.
    #[error("the database role is not the right one")]
    Role,
}

/// Whether the database can be reached, has the schema this program needs and binds the pool's connections to it. A schema that is newer
/// will do: it was migrated for the programs that come next, and what it adds is nothing this one misses.
///
/// A program that `only_reads` needs less: no job queue, and no right to write.
///
/// Waits as long as the pool does for a connection; the caller's deadline may be shorter.
///
/// # Errors
/// The first thing that is missing.
pub async fn readiness(pool: &PgPool, role: Role, only_reads: bool) -> Result<(), NotReady> {
    let mut connection = pool.acquire().await.map_err(|_| NotReady::Database)?;
    // One transaction: behind a pooler each waits its turn anew, and under load eight of them would wait for longer than a balancer does.
    let begun = connection.begin().await;
    let mut looking = begun.map_err(|_| NotReady::Database)?;
    let ready = look(&mut looking, role, only_reads).await;
    let _ = looking.rollback().await;
    ready
}

async fn look(connection: &mut PgConnection, role: Role, only_reads: bool) -> Result<(), NotReady> {
    match schema::state(connection).await {
        Ok(State::Current) | Err(OpenError::SchemaNewer { .. }) => {}
        Ok(State::Missing | State::Behind(_)) | Err(OpenError::SchemaDiffers { .. }) => {
            return Err(NotReady::Schema);
        }
        Err(_) => return Err(NotReady::Database),
    }
    let bound = if only_reads {
        prerequisites::prove_bound_reading(connection, role).await
    } else {
        prerequisites::prove_bound(connection, role).await
    };
    match bound {
        Ok(()) if only_reads => return Ok(()),
        Ok(()) => {}
        Err(OpenError::UnsafeRole { .. }) => return Err(NotReady::Role),
        Err(_) => return Err(NotReady::Database),
    }
    match queue::is_current(connection).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(NotReady::Schema),
        Err(_) => Err(NotReady::Database),
    }
}

#[cfg(test)]
mod tests {
    use sqlx::postgres::PgPoolOptions;
    use sqlx::{AssertSqlSafe, Executor as _};

    use super::*;
    use crate::test_database::TestDatabase;

    #[tokio::test]
    async fn each_thing_that_is_missing_is_told_apart() {
        let database = TestDatabase::new().await;
        let shop = database.pool(Role::Shop).await;
        let owner = database.owner_pool().await;
        assert_eq!(readiness(&shop, Role::Shop, false).await, Ok(()));
        assert_eq!(
            readiness(&owner, Role::Shop, false).await,
            Err(NotReady::Role),
            "an owner sees every tenant"
        );

        let login = format!("scene_reader_{}", rand::random::<u32>());
        let admin = PgPool::connect(&database.admin_url()).await.unwrap();
        admin
            .execute(AssertSqlSafe(format!(
                "create role {login} login; call shop.let_read('{login}')"
            )))
            .await
            .unwrap();
        let reader = PgPool::connect(&database.url_of(&login)).await.unwrap();
        assert_eq!(readiness(&reader, Role::Shop, true).await, Ok(()));
        assert_eq!(
            readiness(&reader, Role::Shop, false).await,
            Err(NotReady::Role),
            "it has no right to write"
        );
        reader.close().await;
        admin
            .execute(AssertSqlSafe(format!(
                "drop owned by {login}; drop role {login}"
            )))
            .await
            .unwrap();

        owner
            .execute("insert into public._sqlx_migrations (version, description, success, checksum, execution_time) values (29990101000000, 'to come', true, 'x', 0)")
            .await
            .unwrap();
        assert_eq!(
            readiness(&shop, Role::Shop, false).await,
            Ok(()),
            "migrated for the next release"
        );
        owner
            .execute("delete from public._sqlx_migrations where version in (29990101000000, (select max(version) from public._sqlx_migrations where version < 29990101000000))")
            .await
            .unwrap();
        assert_eq!(
            readiness(&shop, Role::Shop, false).await,
            Err(NotReady::Schema)
        );

        let nobody = PgPoolOptions::new()
            .acquire_timeout(std::time::Duration::from_millis(200))
            .connect_lazy("postgres://nobody@127.0.0.1:1/nothing")
            .unwrap();
        assert_eq!(
            readiness(&nobody, Role::Shop, false).await,
            Err(NotReady::Database)
        );
    }
}
