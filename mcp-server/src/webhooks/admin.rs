//! What the owner of a shop does about its webhooks, from the command line.

use chrono::{DateTime, Utc};
use contracts::ids::TenantId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{checked_topics, checked_url, new_secret};

/// Most rows a list shows.
const LISTED_MAX: i64 = 200;
/// Most endpoints of one shop that are told something: every event is delivered to each.
const ENDPOINTS_MAX: i64 = 20;

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// A sentence for the person.
    #[error("{0}")]
    Refused(String),
    /// The database failed.
    #[error("The database failed: {0}")]
    Database(#[from] sqlx::Error),
}

/// A new endpoint, with the secret that is shown this once.
#[derive(Debug)]
pub struct Added {
    /// Names it from now on.
    pub id: Uuid,
    /// Where it is.
    pub url: String,
    /// What it hears of.
    pub topics: Vec<String>,
    /// What its deliveries are signed with.
    pub secret: String,
}

/// An endpoint as it is listed, without its secret.
#[derive(Debug)]
pub struct Endpoint {
    /// Names it.
    pub id: Uuid,
    /// Where it is.
    pub url: String,
    /// What it hears of.
    pub topics: Vec<String>,
    /// `active` or `disabled`.
    pub status: String,
    /// Why it is disabled.
    pub reason: Option<String>,
    /// Deliveries that wait.
    pub pending: i64,
    /// Deliveries that were given up.
    pub dead: i64,
}

/// A delivery as it is listed.
#[derive(Debug)]
pub struct Delivery {
    /// The event, which is what it is retried by.
    pub event_id: Uuid,
    /// Whom it is for.
    pub endpoint_id: Uuid,
    /// What happened.
    pub topic: String,
    /// `pending`, `delivered` or `dead`.
    pub status: String,
    /// How often it was tried.
    pub attempts: i32,
    /// When it is tried next, if it is pending.
    pub next_at: DateTime<Utc>,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// Adds an endpoint: it is told what happens from now on.
///
/// # Errors
/// A sentence about the address or the topics, or the database's failure.
pub async fn add(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    url: &str,
    topics: &[String],
    local_mode: bool,
    now: DateTime<Utc>,
) -> Result<Added, AdminError> {
    let url = checked_url(url, local_mode).map_err(AdminError::Refused)?;
    let topics = checked_topics(topics).map_err(AdminError::Refused)?;
    if count_active(conn, tenant).await? >= ENDPOINTS_MAX {
        return Err(AdminError::Refused(format!(
            "There are {ENDPOINTS_MAX} endpoints already. Remove one first."
        )));
    }
    let secret = new_secret();
    insert(conn, tenant, id, &url, &topics, &secret, now).await?;
    Ok(Added {
        id,
        url,
        topics,
        secret,
    })
}

/// Stops telling an endpoint anything. What was waiting for it is given up; what was delivered stays on record.
///
/// # Errors
/// A sentence when there is none of that id, or the database's failure.
pub async fn remove(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<(), AdminError> {
    if set_removed(conn, tenant, id).await? == 0 {
        return Err(AdminError::Refused(format!(
            "There is no endpoint {id}. `mcp-server webhook list` shows those there are."
        )));
    }
    bury(conn, tenant, id, now).await?;
    Ok(())
}

/// Tries a dead delivery again, at once and with all attempts anew.
///
/// # Errors
/// A sentence when there is none, or the database's failure.
pub async fn retry(
    conn: &mut PgConnection,
    tenant: TenantId,
    event: Uuid,
    now: DateTime<Utc>,
) -> Result<u64, AdminError> {
    let revived = revive(conn, tenant, event, now).await?;
    if revived == 0 {
        return Err(AdminError::Refused(format!(
            "No delivery of event {event} was given up for an active endpoint. `mcp-server webhook deliveries --dead` shows those that were."
        )));
    }
    Ok(revived)
}

/// Every endpoint that was not removed.
///
/// # Errors
/// When the database fails.
pub async fn list(conn: &mut PgConnection, tenant: TenantId) -> Result<Vec<Endpoint>, AdminError> {
    Ok(sqlx::query_as!(
        Endpoint,
        r#"select e.id, e.url, e.topics, e.status, e.reason,
                  (select count(*) from shop.webhook_deliveries d
                   where d.tenant_id = $1 and d.endpoint_id = e.id and d.status = 'pending') as "pending!",
                  (select count(*) from shop.webhook_deliveries d
                   where d.tenant_id = $1 and d.endpoint_id = e.id and d.status = 'dead') as "dead!"
           from shop.webhook_endpoints e where e.tenant_id = $1 and e.status <> 'removed' order by e.created_at, e.id limit $2"#,
        tenant.0,
        LISTED_MAX
    )
    .fetch_all(conn)
    .await?)
}

/// The newest deliveries, or the newest that were given up.
///
/// # Errors
/// When the database fails.
pub async fn deliveries(
    conn: &mut PgConnection,
    tenant: TenantId,
    only_dead: bool,
) -> Result<Vec<Delivery>, AdminError> {
    Ok(sqlx::query_as!(
        Delivery,
        "select d.event_id, d.endpoint_id, o.topic, d.status, d.attempts, d.next_at, d.last_error
         from shop.webhook_deliveries d join shop.outbox o on o.tenant_id = d.tenant_id and o.id = d.event_id
         where d.tenant_id = $1 and (d.status = 'dead' or not $2) order by d.seq desc limit $3",
        tenant.0,
        only_dead,
        LISTED_MAX
    )
    .fetch_all(conn)
    .await?)
}

async fn count_active(conn: &mut PgConnection, tenant: TenantId) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from shop.webhook_endpoints where tenant_id = $1 and status = 'active'"#,
        tenant.0
    )
    .fetch_one(conn)
    .await
}

async fn insert(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    url: &str,
    topics: &[String],
    secret: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into shop.webhook_endpoints (tenant_id, id, url, topics, secret, created_at) values ($1, $2, $3, $4, $5, $6)",
        tenant.0,
        id,
        url,
        topics,
        secret,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn set_removed(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "update shop.webhook_endpoints set status = 'removed' where tenant_id = $1 and id = $2 and status <> 'removed'",
        tenant.0,
        id
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

async fn bury(
    conn: &mut PgConnection,
    tenant: TenantId,
    endpoint: Uuid,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update shop.webhook_deliveries set status = 'dead', finished_at = $3, last_error = 'the endpoint was removed'
         where tenant_id = $1 and endpoint_id = $2 and status = 'pending'",
        tenant.0,
        endpoint,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn revive(
    conn: &mut PgConnection,
    tenant: TenantId,
    event: Uuid,
    now: DateTime<Utc>,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "update shop.webhook_deliveries d set status = 'pending', attempts = 0, next_at = $3, finished_at = null
         where d.tenant_id = $1 and d.event_id = $2 and d.status = 'dead'
           and exists (select from shop.webhook_endpoints e where e.tenant_id = $1 and e.id = d.endpoint_id and e.status = 'active')",
        tenant.0,
        event,
        now
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
