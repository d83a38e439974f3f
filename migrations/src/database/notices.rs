//! Whether a session is told of what it listens for. A pooler in transaction mode takes `listen` without a complaint and delivers nothing.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::time::{Instant, timeout_at};

/// Where the test word is sent. One name for all programs, because behind a pooler nobody takes the listening back.
const CHANNEL: &str = "countersign_notices";
/// How long the word may take.
const WAIT: Duration = Duration::from_secs(2);

/// Whether a word sent over `sending` arrives within two seconds at a session of `listening`. Takes one connection of each meanwhile.
///
/// # Errors
/// When one of them cannot be reached.
pub async fn arrive(listening: &PgPool, sending: &PgPool) -> Result<bool, sqlx::Error> {
    let mut listener = PgListener::connect_with(listening).await?;
    listener.listen(CHANNEL).await?;
    let word = send(sending).await?;
    let deadline = Instant::now() + WAIT;
    loop {
        match timeout_at(deadline, listener.recv()).await {
            Ok(Ok(notice)) if notice.payload() == word => return Ok(true),
            // Another program's word.
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error),
            Err(_) => return Ok(false),
        }
    }
}

/// Sends a word nobody sent before, and returns it.
async fn send(pool: &PgPool) -> sqlx::Result<String> {
    let word: String = sqlx::query_scalar("select gen_random_uuid()::text")
        .fetch_one(pool)
        .await?;
    sqlx::query("select pg_notify($1, $2)")
        .bind(CHANNEL)
        .bind(&word)
        .execute(pool)
        .await?;
    Ok(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Role;
    use crate::test_database::TestDatabase;

    #[tokio::test]
    async fn a_word_arrives_in_its_own_database_and_nowhere_else() {
        let (one, other) = (TestDatabase::new().await, TestDatabase::new().await);
        let (here, elsewhere) = (one.pool(Role::Shop).await, other.pool(Role::Shop).await);
        assert!(arrive(&here, &here).await.unwrap());
        assert!(arrive(&here, &one.pool(Role::Shop).await).await.unwrap());
        assert!(!arrive(&here, &elsewhere).await.unwrap());
    }
}
