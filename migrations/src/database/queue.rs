//! The job queue's schema. Its library (`graphile_worker`) makes and upgrades it; here that happens as the owner, with everything else
//! that migrates, so that a program's own role needs no right to change it.

use graphile_worker::WorkerUtils;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Executor, PgConnection};

use super::schema::MIGRATION_OPTIONS;
use super::target::Target;
use crate::open_error::OpenError;

/// Where the queue's tables are; `shop.add_job` and [`GRANTS`] name it too.
pub const SCHEMA: &str = "graphile_worker";

/// The newest migration of the library's version in use. Its test fails when an upgrade of the library brings more.
pub(super) const NEWEST: i32 = 22;

/// Key of the advisory lock under which programs migrate the queue one after the other: any number nobody else uses.
const LOCK: i64 = 7_065_512_042;

/// What `mcp-server` needs to work on the queue, which belongs to it alone: its jobs name a tenant, their rows belong to none. Both programs
/// may see how far the schema has come. Repeating it changes nothing.
const GRANTS: &str = "
    revoke all on schema graphile_worker from public;
    grant usage on schema graphile_worker to countersign_shop, countersign_agent;
    grant select on table graphile_worker.migrations to countersign_shop, countersign_agent;
    do $$
    declare
      name text;
    begin
      for name in select c.relname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                   where n.nspname = 'graphile_worker' and c.relkind = 'r' and c.relname like '\\_private\\_%' loop
        execute format('grant select, insert, update, delete on graphile_worker.%I to countersign_shop', name);
        execute format('drop policy if exists queue on graphile_worker.%I', name);
        execute format('create policy queue on graphile_worker.%I to countersign_shop using (true) with check (true)', name);
      end loop;
    end
    $$;
    grant usage on all sequences in schema graphile_worker to countersign_shop;
    revoke execute on all functions in schema graphile_worker from public;
    grant execute on all functions in schema graphile_worker to countersign_shop;
    comment on schema graphile_worker is 'The job queue of mcp-server, made by its library';";

/// Whether the queue's schema is as new as this program's library wants it.
pub(super) async fn is_current(connection: &mut PgConnection) -> Result<bool, OpenError> {
    let is_there: bool =
        sqlx::query_scalar("select to_regclass('graphile_worker.migrations') is not null")
            .fetch_one(&mut *connection)
            .await?;
    if !is_there {
        return Ok(false);
    }
    // The grants come last, all at once.
    let is_granted: bool = sqlx::query_scalar(
        "select coalesce(has_table_privilege(to_regrole('countersign_agent')::oid, 'graphile_worker.migrations', 'select'), false)",
    )
    .fetch_one(&mut *connection)
    .await?;
    if !is_granted {
        return Ok(false);
    }
    let newest: Option<i32> = sqlx::query_scalar("select max(id) from graphile_worker.migrations")
        .fetch_one(&mut *connection)
        .await?;
    Ok(newest >= Some(NEWEST))
}

/// Changes with whatever changes the queue's part of a new database.
pub(crate) fn fingerprint() -> Vec<u8> {
    [&NEWEST.to_be_bytes()[..], GRANTS.as_bytes()].concat()
}

/// Makes or upgrades it, over a connection of its own; `connection` holds the lock between migrating programs.
pub(super) async fn migrate(
    owner: &Target,
    connection: &mut PgConnection,
) -> Result<(), OpenError> {
    sqlx::query("select pg_advisory_lock($1)")
        .bind(LOCK)
        .execute(&mut *connection)
        .await?;
    let migrated = migrate_here(owner).await;
    let granted = match migrated {
        Ok(()) => connection.execute(GRANTS).await.map(|_| ()),
        Err(error) => Err(error),
    };
    sqlx::query("select pg_advisory_unlock($1)")
        .bind(LOCK)
        .execute(&mut *connection)
        .await?;
    granted.map_err(|source| OpenError::Queue { source })
}

async fn migrate_here(owner: &Target) -> Result<(), sqlx::Error> {
    let options = owner
        .options
        .clone()
        .application_name("countersign start")
        .options(MIGRATION_OPTIONS)
        // Two dozen small transactions. What a crash takes back, the next start does again.
        .options([
            ("synchronous_commit", "off"),
            ("client_min_messages", "warning"),
        ]);
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect_with(options)
        .await?;
    let migrated = WorkerUtils::new(pool.clone(), SCHEMA).migrate().await;
    pool.close().await;
    migrated.map_err(|error| sqlx::Error::Protocol(format!("the job queue: {error}")))
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection as _, Row as _};

    use super::*;
    use crate::database::Role;
    use crate::test_database::TestDatabase;

    #[tokio::test]
    async fn the_queue_is_as_new_as_its_library_and_belongs_to_the_shop() {
        let database = TestDatabase::new().await;
        let mut owner = PgConnection::connect(&database.owner_url()).await.unwrap();
        let newest = sqlx::query("select max(id) from graphile_worker.migrations")
            .fetch_one(&mut owner)
            .await
            .unwrap();
        assert_eq!(
            newest.get::<i32, _>(0),
            NEWEST,
            "NEWEST follows the library"
        );

        let enqueue = "select shop.add_job('scene', '{}', 'scene:1')";
        let shop = database.pool(Role::Shop).await;
        for _ in 0..2 {
            shop.execute(enqueue).await.unwrap();
        }
        let jobs = "select count(*) from graphile_worker._private_jobs";
        let waiting = shop.fetch_one(jobs).await.unwrap();
        assert_eq!(waiting.get::<i64, _>(0), 1, "one key, one job");
        let agent = database.pool(Role::Agent).await;
        for forbidden in [enqueue, jobs, "delete from graphile_worker.migrations"] {
            let refused = agent.execute(forbidden).await.unwrap_err().to_string();
            assert!(refused.contains("permission denied"), "{refused}");
        }
    }
}
