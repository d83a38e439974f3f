//! The one audit row of every effect, and what others are told of it.

use contracts::ids::TenantId;
use serde_json::{Map, Value};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::CallError;
use crate::handler::{Audit, Call, Event};
use crate::ledger::Desk;

/// Who said yes, and how we know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decided<'a> {
    /// The question.
    pub(crate) confirmation_id: Uuid,
    /// The person.
    pub(crate) by: &'a str,
    /// The way the answer came.
    pub(crate) via: &'a str,
}

/// What an effect leaves behind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trace<'a> {
    /// The audit row.
    pub(crate) audit: &'a Audit,
    /// The rows of the outbox.
    pub(crate) events: &'a [Event],
}

/// Writes both, in one statement of the effect's own transaction.
pub(crate) async fn write(
    call: &mut Call<'_>,
    tool: &str,
    arguments: &Value,
    trace: Trace<'_>,
    decided: Option<Decided<'_>>,
) -> Result<(), CallError> {
    let id = call.new_id();
    let event_ids: Vec<Uuid> = trace.events.iter().map(|_| call.new_id()).collect();
    let (at, tenant, requested_by) = (call.now, call.shop.tenant, call.caller.subject.as_str());
    insert(
        call.conn,
        tenant,
        id,
        at,
        tool,
        requested_by,
        decided,
        arguments,
        trace,
        &event_ids,
    )
    .await?;
    Ok(())
}

/// The trace of an effect that no call had: a provider said something, a time came.
pub(crate) async fn write_told(
    conn: &mut PgConnection,
    desk: Desk<'_>,
    tool: &str,
    audit: &Audit,
    events: &[Event],
) -> Result<(), CallError> {
    let id = desk.new_id();
    let event_ids: Vec<Uuid> = events.iter().map(|_| desk.new_id()).collect();
    let (tenant, nothing) = (TenantId(desk.tenant), Value::Object(Map::new()));
    let trace = Trace { audit, events };
    insert(
        conn, tenant, id, desk.now, tool, desk.actor, None, &nothing, trace, &event_ids,
    )
    .await?;
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "one per column")]
async fn insert(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    at: chrono::DateTime<chrono::Utc>,
    tool: &str,
    requested_by: &str,
    decided: Option<Decided<'_>>,
    arguments: &Value,
    trace: Trace<'_>,
    event_ids: &[Uuid],
) -> Result<(), sqlx::Error> {
    let Trace { audit, events } = trace;
    let topics: Vec<String> = events.iter().map(|e| e.topic.to_owned()).collect();
    let subjects: Vec<String> = events.iter().map(|e| e.subject.clone()).collect();
    let data: Vec<Value> = events.iter().map(|e| e.data.clone()).collect();
    sqlx::query!(
        "with told as (
             insert into shop.outbox (tenant_id, id, at, topic, subject, data)
             select $1, e.id, $3, e.topic, e.subject, e.data
             from unnest($13::uuid[], $14::text[], $15::text[], $16::jsonb[]) as e (id, topic, subject, data)
         )
         insert into shop.audit_log
            (tenant_id, id, at, tool, requested_by, decided_by, decided_via, confirmation_id, arguments, subject, before, after)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        tenant.0,
        id,
        at,
        tool,
        requested_by,
        decided.map(|d| d.by),
        decided.map(|d| d.via),
        decided.map(|d| d.confirmation_id),
        arguments,
        audit.subject,
        audit.before,
        audit.after,
        event_ids,
        &topics,
        &subjects,
        &data,
    )
    .execute(conn)
    .await?;
    Ok(())
}
