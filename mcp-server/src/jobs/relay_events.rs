//! Makes deliveries of what happened, one for each endpoint that wants to hear of it.

use chrono::{DateTime, Utc};
use contracts::ids::TenantId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Job, Wanted};
use crate::app::App;
use crate::error::CallError;

/// Events of one transaction.
const AT_ONCE: i64 = 500;
/// Transactions of one run; what is left is found by the next look.
const ROUNDS_MAX: usize = 20;

/// See the module. The job's id is the tenant's.
pub(super) struct RelayEvents;

impl Job for RelayEvents {
    const NAME: &'static str = "relay_events";

    async fn run(app: &App, tenant: TenantId, _id: Uuid) -> Result<(), CallError> {
        for _ in 0..ROUNDS_MAX {
            let mut tx = app.begin(tenant).await?;
            let relayed = relay(&mut tx, tenant, app.clock.now()).await?;
            tx.commit().await?;
            if relayed < AT_ONCE {
                break;
            }
        }
        Ok(())
    }
}

/// Shops with events that somebody wants to be told.
pub(super) async fn due(conn: &mut PgConnection, most: i32) -> Result<Vec<Wanted>, sqlx::Error> {
    let tenants = sqlx::query_scalar!(
        r#"select tenants_with_untold_events as "id!" from shop.tenants_with_untold_events($1)"#,
        most
    )
    .fetch_all(conn)
    .await?;
    let wanted = |tenant| Wanted::of::<RelayEvents>(tenant, tenant);
    Ok(tenants.into_iter().map(wanted).collect())
}

/// Events from before an endpoint was there are not for it. The endpoints stay locked, so that one that is being disabled gets no more.
async fn relay(
    conn: &mut PgConnection,
    tenant: TenantId,
    now: DateTime<Utc>,
) -> Result<i64, CallError> {
    Ok(sqlx::query_scalar!(
        r#"with endpoints as (
             select id, topics, created_at from shop.webhook_endpoints where tenant_id = $1 and status = 'active' for share
         ), due as (
             select id, topic, subject, seq, at from shop.outbox
             where tenant_id = $1 and relayed_at is null and at >= (select min(created_at) from endpoints)
             order by at, seq limit $3 for update skip locked
         ), marked as (
             update shop.outbox o set relayed_at = $2 from due where o.tenant_id = $1 and o.id = due.id
         ), made as (
             insert into shop.webhook_deliveries (tenant_id, endpoint_id, event_id, subject, seq, next_at)
             select $1, e.id, d.id, d.subject, d.seq, $2
             from due d join endpoints e on d.at >= e.created_at
               and e.topics && array[d.topic, split_part(d.topic, '.', 1) || '.*', '*']
             on conflict do nothing
         )
         select count(*) as "count!" from due"#,
        tenant.0,
        now,
        AT_ONCE
    )
    .fetch_one(conn)
    .await?)
}
