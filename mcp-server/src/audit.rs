//! The one audit row of every effect, and what others are told of it.

use contracts::ids::TenantId;
use migrations::clock::{Clock, new_id};
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

/// What an owner or the operator changed about a business, which is no call of a tool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Administered<'a> {
    /// The business.
    pub(crate) tenant: TenantId,
    /// Who.
    pub(crate) by: &'a str,
    /// `admin.people.add`.
    pub(crate) tool: &'a str,
    /// What was asked for, without secrets.
    pub(crate) arguments: &'a Value,
    /// What it was before and is after.
    pub(crate) audit: &'a Audit,
}

/// Writes the audit row of a change of administration. Nobody outside is told.
pub(crate) async fn write_administered(
    conn: &mut PgConnection,
    clock: &dyn Clock,
    done: Administered<'_>,
) -> Result<(), sqlx::Error> {
    let Administered {
        tenant,
        by,
        tool,
        arguments,
        audit,
    } = done;
    let (id, at) = (new_id(clock), clock.now());
    let trace = Trace { audit, events: &[] };
    insert(conn, tenant, id, at, tool, by, None, arguments, trace, &[]).await
}

/// What others are told although nobody did anything: a time has come.
pub(crate) async fn write_events(
    conn: &mut PgConnection,
    tenant: TenantId,
    clock: &dyn Clock,
    at: chrono::DateTime<chrono::Utc>,
    events: &[Event],
) -> Result<(), CallError> {
    let ids: Vec<Uuid> = events.iter().map(|_| new_id(clock)).collect();
    insert_events(conn, tenant, at, &ids, events).await?;
    Ok(())
}

async fn insert_events(
    conn: &mut PgConnection,
    tenant: TenantId,
    at: chrono::DateTime<chrono::Utc>,
    ids: &[Uuid],
    events: &[Event],
) -> Result<(), sqlx::Error> {
    let topics: Vec<String> = events.iter().map(|e| e.topic.to_owned()).collect();
    let subjects: Vec<String> = events.iter().map(|e| e.subject.clone()).collect();
    let data: Vec<Value> = events.iter().map(|e| e.data.clone()).collect();
    sqlx::query!(
        "insert into shop.outbox (tenant_id, id, at, topic, subject, data)
         select $1, e.id, $2, e.topic, e.subject, e.data
         from unnest($3::uuid[], $4::text[], $5::text[], $6::jsonb[]) as e (id, topic, subject, data)",
        tenant.0,
        at,
        ids,
        &topics,
        &subjects,
        &data
    )
    .execute(conn)
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
