//! Whether a connection is a session of Postgres' own. Behind a pooler in transaction mode it is not: it gets another one with every
//! transaction, and what was left in the last stays there for whoever gets that next.
//!
//! Nothing may `listen` there. The pooler takes it without a complaint, and when somebody is told of something, whoever happens to have that
//! session then gets the notice in the middle of an answer, which ends the connection and with it a call that may have been committed.

use sqlx::{PgConnection, PgPool};

/// How often both connections are asked. Under load a pooler may give each what it had before, but hardly so often.
const ROUNDS: u32 = 10;

/// Whether each connection of the pool is a session for as long as it is held. Takes two connections meanwhile, and changes nothing.
///
/// # Errors
/// When the database cannot be reached.
pub async fn are_own(pool: &PgPool) -> Result<bool, sqlx::Error> {
    let (mut one, mut two) = (pool.acquire().await?, pool.acquire().await?);
    let (first, second) = (session(&mut one).await?, session(&mut two).await?);
    if first == second {
        return Ok(false);
    }
    for _ in 0..ROUNDS {
        // Not in turn: a pooler that gives its sessions in turn could give each its own.
        let asked = [
            session(&mut two).await?,
            session(&mut one).await?,
            session(&mut one).await?,
            session(&mut two).await?,
        ];
        if asked != [second, first, first, second] {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn session(connection: &mut PgConnection) -> sqlx::Result<i32> {
    sqlx::query_scalar("select pg_backend_pid()")
        .fetch_one(connection)
        .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Role;
    use crate::test_database::TestDatabase;

    /// Behind a pooler: `tests/journeys/deployment.rs`.
    #[tokio::test]
    async fn without_a_pooler_each_connection_is_a_session() {
        let database = TestDatabase::new().await;
        assert!(are_own(&database.pool(Role::Shop).await).await.unwrap());
    }
}
