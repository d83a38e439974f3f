//! Delivers to one endpoint what is due for it, in order and one at a time, so that a receiver that hangs holds up only itself.

use chrono::{DateTime, TimeDelta, Utc};
use contracts::ids::TenantId;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Job, Wanted};
use crate::app::App;
use crate::error::CallError;
use crate::outgoing::{Answered, NoAnswer};
use crate::webhooks::{Message, checked_url, next_attempt, signature};

/// Deliveries of one run; the next look starts another.
const AT_ONCE: usize = 100;
/// An attempt that has told nothing for this long died with its process, seconds. Longer than a request may take.
const LEASE_S: i64 = 60;
/// How much of what a receiver answers is kept, characters.
const KEPT_CHARS: usize = 200;

/// See the module. The job's id is the endpoint's.
pub(super) struct DeliverEvents;

impl Job for DeliverEvents {
    const NAME: &'static str = "deliver_events";

    async fn run(app: &App, tenant: TenantId, endpoint: Uuid) -> Result<(), CallError> {
        for _ in 0..AT_ONCE {
            let now = app.clock.now();
            let mut tx = app.begin(tenant).await?;
            let claimed = claim(&mut tx, tenant, endpoint, now, lease_until(now)).await?;
            tx.commit().await?;
            let Some(delivery) = claimed else { break };
            let outcome = attempt(app, &delivery, now).await;
            let gives_up = matches!(
                outcome,
                Outcome::Failed {
                    unreachable: true,
                    ..
                } | Outcome::Gone
            );
            let mut tx = app.begin(tenant).await?;
            settle(
                &mut tx,
                tenant,
                endpoint,
                &delivery,
                outcome,
                app.clock.now(),
            )
            .await?;
            tx.commit().await?;
            // Whoever cannot be reached now cannot be for the next event either; each has its own next time.
            if gives_up {
                break;
            }
        }
        Ok(())
    }
}

/// Endpoints for which something is due.
pub(super) async fn due(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    most: i32,
) -> Result<Vec<Wanted>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select tenant as "tenant!", endpoint as "endpoint!" from shop.endpoints_with_due_deliveries($1, $2)"#,
        now,
        most
    )
    .fetch_all(conn)
    .await?;
    let wanted = rows
        .iter()
        .map(|row| Wanted::of::<DeliverEvents>(row.tenant, row.endpoint));
    Ok(wanted.collect())
}

fn lease_until(now: DateTime<Utc>) -> DateTime<Utc> {
    now + TimeDelta::seconds(LEASE_S)
}

/// What became of one attempt.
#[derive(Debug)]
enum Outcome {
    Delivered,
    /// The receiver wants nothing any more.
    Gone,
    Failed {
        why: String,
        unreachable: bool,
    },
}

async fn attempt(app: &App, delivery: &Claimed, now: DateTime<Utc>) -> Outcome {
    let message = Message {
        id: delivery.event_id,
        topic: &delivery.topic,
        subject: &delivery.subject,
        at: delivery.at,
        data: &delivery.data,
    };
    let (body, timestamp_s) = (message.body(), now.timestamp());
    let failed = |why: String, unreachable| Outcome::Failed { why, unreachable };
    let Some(signed) = signature(&delivery.secret, delivery.event_id, timestamp_s, &body) else {
        return failed("the secret cannot be read".to_owned(), true);
    };
    // Checked again: an address may have been given in local mode, and a name may lead elsewhere by now.
    if let Err(why) = checked_url(&delivery.url, app.local_mode) {
        return failed(why, true);
    }
    let client = if app.local_mode {
        app.outgoing.client()
    } else {
        app.outgoing.client_to_the_public()
    };
    let client = match client {
        Ok(client) => client,
        Err(error) => return failed(error.to_string(), true),
    };
    let request = client
        .post(&delivery.url)
        .header("content-type", "application/json")
        .header("webhook-id", delivery.event_id.to_string())
        .header("webhook-timestamp", timestamp_s.to_string())
        .header("webhook-signature", signed)
        .body(body);
    match app.outgoing.send(request).await {
        Ok(answered) => judged(&answered),
        Err(error @ (NoAnswer::NotSent(_) | NoAnswer::Unknown(_))) => {
            failed(error.to_string(), true)
        }
    }
}

/// Only a 2xx is a receipt; where a redirect leads is not who was agreed to.
fn judged(answered: &Answered) -> Outcome {
    match answered.status {
        200..=299 => Outcome::Delivered,
        410 => Outcome::Gone,
        status => {
            let said: String = String::from_utf8_lossy(&answered.body)
                .chars()
                .filter(|c| !c.is_control())
                .take(KEPT_CHARS)
                .collect();
            Outcome::Failed {
                why: format!("HTTP {status} {said}").trim_end().to_owned(),
                unreachable: false,
            }
        }
    }
}

async fn settle(
    conn: &mut PgConnection,
    tenant: TenantId,
    endpoint: Uuid,
    delivery: &Claimed,
    outcome: Outcome,
    now: DateTime<Utc>,
) -> Result<(), CallError> {
    let (event, attempts) = (delivery.event_id, delivery.attempts);
    match outcome {
        Outcome::Delivered => delivered(conn, tenant, endpoint, event, now).await?,
        Outcome::Gone => {
            tracing::info!(%tenant, %endpoint, "an endpoint answered 410 and is told nothing any more");
            disable(conn, tenant, endpoint, "It answered 410 Gone.").await?;
            bury(conn, tenant, endpoint, "the endpoint is gone", now).await?;
        }
        Outcome::Failed { why, .. } => match next_attempt(attempts, now, rand::random()) {
            Some(next) => postpone(conn, tenant, endpoint, event, attempts, next, &why).await?,
            None => {
                tracing::warn!(%tenant, %endpoint, %event, why, "a delivery was given up");
                give_up(conn, tenant, endpoint, event, attempts, now, &why).await?;
            }
        },
    }
    Ok(())
}

/// A delivery that this run attempts.
struct Claimed {
    event_id: Uuid,
    attempts: i32,
    topic: String,
    subject: String,
    at: DateTime<Utc>,
    data: Value,
    url: String,
    secret: String,
}

async fn claim(
    conn: &mut PgConnection,
    tenant: TenantId,
    endpoint: Uuid,
    now: DateTime<Utc>,
    lease_until: DateTime<Utc>,
) -> Result<Option<Claimed>, sqlx::Error> {
    sqlx::query_as!(
        Claimed,
        "with next as (
             select d.event_id from shop.webhook_deliveries d
             where d.tenant_id = $1 and d.endpoint_id = $2 and d.status = 'pending' and d.next_at <= $3
               and not exists (select from shop.webhook_deliveries e where e.tenant_id = $1 and e.endpoint_id = $2
                                 and e.subject = d.subject and e.seq < d.seq and e.status = 'pending')
             order by d.seq limit 1 for update skip locked
         )
         update shop.webhook_deliveries d set attempts = d.attempts + 1, next_at = $4
         from next, shop.outbox o, shop.webhook_endpoints e
         where d.tenant_id = $1 and d.endpoint_id = $2 and d.event_id = next.event_id
           and o.tenant_id = $1 and o.id = next.event_id
           and e.tenant_id = $1 and e.id = $2 and e.status = 'active'
         returning d.event_id, d.attempts, o.topic, o.subject, o.at, o.data, e.url, e.secret",
        tenant.0,
        endpoint,
        now,
        lease_until
    )
    .fetch_optional(conn)
    .await
}

/// Whatever the attempt was, and whoever else made one: it has arrived.
async fn delivered(
    conn: &mut PgConnection,
    tenant: TenantId,
    endpoint: Uuid,
    event: Uuid,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update shop.webhook_deliveries set status = 'delivered', finished_at = $4, last_error = null
         where tenant_id = $1 and endpoint_id = $2 and event_id = $3 and status = 'pending'",
        tenant.0,
        endpoint,
        event,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn postpone(
    conn: &mut PgConnection,
    tenant: TenantId,
    endpoint: Uuid,
    event: Uuid,
    attempts: i32,
    next_at: DateTime<Utc>,
    why: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update shop.webhook_deliveries set next_at = $5, last_error = $6
         where tenant_id = $1 and endpoint_id = $2 and event_id = $3 and status = 'pending' and attempts = $4",
        tenant.0,
        endpoint,
        event,
        attempts,
        next_at,
        why
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn give_up(
    conn: &mut PgConnection,
    tenant: TenantId,
    endpoint: Uuid,
    event: Uuid,
    attempts: i32,
    now: DateTime<Utc>,
    why: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update shop.webhook_deliveries set status = 'dead', finished_at = $5, last_error = $6
         where tenant_id = $1 and endpoint_id = $2 and event_id = $3 and status = 'pending' and attempts = $4",
        tenant.0,
        endpoint,
        event,
        attempts,
        now,
        why
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn disable(
    conn: &mut PgConnection,
    tenant: TenantId,
    endpoint: Uuid,
    reason: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update shop.webhook_endpoints set status = 'disabled', reason = $3 where tenant_id = $1 and id = $2 and status = 'active'",
        tenant.0,
        endpoint,
        reason
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn bury(
    conn: &mut PgConnection,
    tenant: TenantId,
    endpoint: Uuid,
    why: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update shop.webhook_deliveries set status = 'dead', finished_at = $4, last_error = $3
         where tenant_id = $1 and endpoint_id = $2 and status = 'pending'",
        tenant.0,
        endpoint,
        why,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}
