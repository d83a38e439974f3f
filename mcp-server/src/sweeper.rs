//! Forgets what has lapsed: keys after 48 hours, questions nobody answered, sessions a week after their end, what was told to others after
//! 90 days.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::ids::TenantId;
use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::app::App;
use crate::identity::sessions;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(300);
/// Tenants it works through per look.
const TENANTS_MAX: i32 = 1000;
/// Events that are forgotten in one statement, and how many statements there are in a look: what a busy installation writes in five minutes.
const EVENTS_MAX: i32 = 5_000;
const EVENT_ROUNDS_MAX: usize = 20;

/// Sweeps until stopped. Several replicas may sweep at once: each row is forgotten once.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    loop {
        if let Err(error) = sweep(&app).await {
            tracing::warn!(%error, "sweep");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// One pass over every tenant that has something lapsed.
///
/// # Errors
/// When the database cannot be reached.
pub async fn sweep(app: &App) -> Result<(), sqlx::Error> {
    let now = app.clock.now();
    let tenants = lapsed_tenants(&mut *app.pool.acquire().await?, now).await?;
    for tenant in tenants.into_iter().map(TenantId) {
        let mut tx = app.begin(tenant).await?;
        delete_keys(&mut tx, tenant, now).await?;
        expire_questions(&mut tx, tenant, now).await?;
        sessions::sweep(&mut tx, tenant, now).await?;
        tx.commit().await?;
    }
    for _ in 0..EVENT_ROUNDS_MAX {
        let mut conn = app.pool.acquire().await?;
        if forget_events(&mut conn, now).await? < EVENTS_MAX {
            break;
        }
    }
    Ok(())
}

/// Names no tenant because it has none yet: the one narrow function that may look across.
async fn lapsed_tenants(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select tenants_with_lapsed_rows as "id!" from shop.tenants_with_lapsed_rows($1, $2)"#,
        now,
        TENANTS_MAX
    )
    .fetch_all(conn)
    .await
}

/// Names no tenant either: an event is found by its age, and the function takes nothing else.
async fn forget_events(conn: &mut PgConnection, now: DateTime<Utc>) -> Result<i32, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select forget_told_events as "forgotten!" from shop.forget_told_events($1, $2)"#,
        now,
        EVENTS_MAX
    )
    .fetch_one(conn)
    .await
}

async fn delete_keys(
    conn: &mut PgConnection,
    tenant: TenantId,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from shop.idempotency where tenant_id = $1 and expires_at < $2",
        tenant.0,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn expire_questions(
    conn: &mut PgConnection,
    tenant: TenantId,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update shop.confirmations set status = 'expired' where tenant_id = $1 and status = 'open' and expires_at < $2",
        tenant.0,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}
