//! What is stored of a run: its state, its steps before and after, its events. One flush is one commit, and only the worker that holds
//! the lease can make one.

use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::http::approval::ApprovalStatus;
use contracts::http::event::EventBody;
use contracts::http::run::{RunStatus, StepView};
use contracts::ids::TenantId;
use contracts::token::PrincipalRole;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::app::App;
use crate::approvals::{self, Approval};
use crate::principal::Principal;
use crate::run::events::Progress;
use crate::run::machine::{self, Machine};
use crate::sessions;

/// A run whose lease this process holds.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) principal: Principal,
    pub(crate) run_id: Uuid,
    pub(crate) session: Uuid,
    pub(crate) session_id: String,
    pub(crate) message_id: Uuid,
    pub(crate) machine: Machine,
    pub(crate) last_seq: i64,
    pub(crate) last_step: i32,
    /// How often another worker had it before.
    pub(crate) resumptions: i32,
    /// Names this taking of the run: one who took it earlier, even in the same process, can store nothing any more.
    pub(crate) lease: Uuid,
}

impl Held {
    /// The key of a call: the same for every attempt, on every worker.
    pub(crate) fn key_of(&self, call_id: &str) -> String {
        format!("{}:{call_id}", self.run_id)
    }

    /// A turn that was resumed begins in the middle of a step, which its first turn has closed.
    pub(crate) fn close_step(&mut self, batch: &mut Batch) {
        if let Some(step) = self.machine.open_step.take() {
            batch.events.push(EventBody::StepFinished { step });
        }
    }
}

/// What has happened since the last flush.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) events: Vec<EventBody>,
    pub(crate) steps: Vec<Step>,
    /// Answers of steps that were stored before, by step number.
    pub(crate) finished: Vec<(i32, Value)>,
    pub(crate) asked: Vec<Approval>,
    pub(crate) approvals: Vec<(Uuid, ApprovalStatus)>,
    /// What the assistant said in this turn, for the transcript.
    pub(crate) said: Option<String>,
    /// This run's part joins the session's window.
    pub(crate) close_window: bool,
}

/// A model or tool call.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) step: i32,
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) call_id: Option<String>,
    pub(crate) request: Value,
    pub(crate) response: Option<Value>,
}

/// Why a flush was not stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FlushError {
    /// Another worker has the run now. Whatever this one did after its last flush is repeated there, under the same keys.
    #[error("the lease is lost")]
    LeaseLost,
    /// The run was about to wait for answers that have come meanwhile. Nothing was stored.
    #[error("answered meanwhile")]
    Answered(Vec<Approval>),
    /// The database failed.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
}

/// Stores everything in one commit, renews or ends the lease by `status`, and wakes those who follow.
pub(crate) async fn flush(
    app: &App,
    held: &mut Held,
    batch: &mut Batch,
    status: RunStatus,
) -> Result<(), FlushError> {
    let now = app.clock.now();
    let tenant = held.principal.tenant;
    let mut tx = app.begin(tenant).await?;
    let first_seq = held.last_seq + 1;
    let last_seq = held.last_seq + i64::try_from(batch.events.len()).unwrap_or(i64::MAX);
    let machine = serde_json::to_value(&held.machine).map_err(|e| sqlx::Error::Encode(e.into()))?;
    if !update_run(
        &mut tx,
        tenant,
        held.run_id,
        held.lease,
        status,
        &machine,
        last_seq,
        app.settings.lease,
        now,
    )
    .await?
    {
        return Err(FlushError::LeaseLost);
    }
    if status == RunStatus::Waiting {
        // Whoever answers locks the run first, so an answer is either seen here or finds the run waiting.
        let come = answers(&mut tx, tenant, held).await?;
        if !come.is_empty() {
            return Err(FlushError::Answered(come));
        }
    }
    insert_events(&mut tx, tenant, held.run_id, first_seq, &batch.events, now).await?;
    store(&mut tx, app, held, batch, now).await?;
    tx.commit().await?;
    let ended = batch.events.last().is_some_and(EventBody::ends_turn);
    held.last_seq = last_seq;
    *batch = Batch::default();
    app.hub.publish(
        held.run_id,
        Progress {
            seq: last_seq,
            ended,
            ours: true,
        },
    );
    Ok(())
}

/// Everything of a batch but the run's own row and its events.
async fn store(
    conn: &mut PgConnection,
    app: &App,
    held: &Held,
    batch: &Batch,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let tenant = held.principal.tenant;
    if !batch.finished.is_empty() {
        finish_steps(&mut *conn, tenant, held.run_id, &batch.finished, now).await?;
    }
    if !batch.steps.is_empty() {
        insert_steps(&mut *conn, tenant, held.run_id, &batch.steps, now).await?;
    }
    for (id, status) in &batch.approvals {
        approvals::set_status(&mut *conn, tenant, *id, *status).await?;
    }
    for approval in &batch.asked {
        approvals::insert(
            &mut *conn,
            tenant,
            approval,
            &held.key_of(&approval.call.id),
            now,
        )
        .await?;
    }
    if let Some(text) = &batch.said {
        sessions::assistant_says(
            &mut *conn,
            tenant,
            app.new_id(),
            held.session,
            held.run_id,
            text,
            now,
        )
        .await?;
    }
    if batch.close_window
        && let Some(session) = sessions::lock(&mut *conn, tenant, held.session).await?
    {
        let mut window = session.window;
        window.extend_from_slice(held.machine.own_messages());
        let window = machine::window(&window, app.settings.session_context_size);
        sessions::store(
            &mut *conn,
            tenant,
            held.session,
            &window,
            held.machine.language,
            now,
        )
        .await?;
    }
    Ok(())
}

/// A run that was just accepted, for storing.
pub(crate) struct NewRun<'a> {
    pub(crate) held: &'a Held,
    /// Queued behind another of its session, or begun here.
    pub(crate) begin: bool,
    pub(crate) event: &'a EventBody,
}

/// Stores a new run with its first event.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    app: &App,
    new: &NewRun<'_>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let held = new.held;
    let tenant = held.principal.tenant;
    let machine = serde_json::to_value(&held.machine).map_err(|e| sqlx::Error::Encode(e.into()))?;
    insert_run(
        conn,
        tenant,
        new,
        &machine,
        new.begin.then_some(new.held.lease),
        app.settings.lease,
        now,
    )
    .await?;
    insert_events(
        conn,
        tenant,
        held.run_id,
        1,
        std::slice::from_ref(new.event),
        now,
    )
    .await
}

/// Takes a run that wants a worker: its lease has lapsed, or it is next in its session. `None` when somebody else was first.
pub(crate) async fn take(
    conn: &mut PgConnection,
    app: &App,
    tenant: TenantId,
    run_id: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<Held>, sqlx::Error> {
    let lease_ms = lease_ms(app.settings.lease);
    let lease = app.new_id();
    let row = sqlx::query_as!(
        Row,
        r#"update agent.runs r
           set status = 'running', lease_owner = $3, lease_until = now() + $4 * interval '1 millisecond', updated_at = $5,
               resumptions = resumptions + case when r.status = 'running' then 1 else 0 end
           from agent.agent_sessions s
           where r.tenant_id = $1 and r.id = $2 and s.tenant_id = $1 and s.id = r.session_id
             and (r.status = 'queued' or (r.status = 'running' and r.lease_until < now()))
           returning r.session_id as session, s.session_id as name, r.message_id, r.principal, r.principal_role, r.machine, r.last_seq,
                     r.resumptions,
                     (select coalesce(max(step), 0) from agent.steps t where t.tenant_id = $1 and t.run_id = $2) as "last_step!""#,
        tenant.0,
        run_id,
        lease,
        lease_ms,
        now
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| held(tenant, run_id, lease, row)).transpose()
}

/// A run, locked, with where it stands, as whoever decides about it finds it.
pub(crate) async fn lock(
    conn: &mut PgConnection,
    tenant: TenantId,
    run_id: Uuid,
) -> Result<Option<(Held, RunStatus)>, sqlx::Error> {
    let Some(status) = lock_row(conn, tenant, run_id).await? else {
        return Ok(None);
    };
    let status = RunStatus::from_word(&status).ok_or_else(|| sqlx::Error::Decode(status.into()))?;
    let row = select(conn, tenant, run_id).await?;
    Ok(Some((held(tenant, run_id, Uuid::nil(), row)?, status)))
}

/// What has been answered of the run's open questions.
async fn answers(
    conn: &mut PgConnection,
    tenant: TenantId,
    held: &Held,
) -> Result<Vec<Approval>, sqlx::Error> {
    let open: Vec<Uuid> = held.machine.open_questions().map(|(_, id)| id).collect();
    let mut come = approvals::of_run(conn, tenant, held.run_id).await?;
    come.retain(|a| {
        open.contains(&a.id)
            && matches!(a.status, ApprovalStatus::Approved | ApprovalStatus::Denied)
    });
    Ok(come)
}

/// Stores what a decision did to a waiting run: it runs here, waits its turn behind another of its session, or goes on waiting.
pub(crate) async fn resume(
    conn: &mut PgConnection,
    app: &App,
    held: &mut Held,
    status: RunStatus,
    events: &[EventBody],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let tenant = held.principal.tenant;
    let machine = serde_json::to_value(&held.machine).map_err(|e| sqlx::Error::Encode(e.into()))?;
    let last_seq = held.last_seq + i64::try_from(events.len()).unwrap_or(i64::MAX);
    let owner = (status == RunStatus::Running).then(|| app.new_id());
    held.lease = owner.unwrap_or_default();
    update_waiting(
        conn,
        tenant,
        held.run_id,
        status,
        owner,
        &machine,
        last_seq,
        app.settings.lease,
        now,
    )
    .await?;
    insert_events(conn, tenant, held.run_id, held.last_seq + 1, events, now).await?;
    held.last_seq = last_seq;
    Ok(())
}

/// Holds the lease a little longer. `false` when it is lost.
pub(crate) async fn renew(
    app: &App,
    tenant: TenantId,
    run_id: Uuid,
    lease: Uuid,
) -> Result<bool, sqlx::Error> {
    let mut tx = app.begin(tenant).await?;
    let done = extend(&mut tx, tenant, run_id, lease, app.settings.lease).await?;
    tx.commit().await?;
    Ok(done)
}

/// Whether a run is active in the session.
pub(crate) async fn is_busy(
    conn: &mut PgConnection,
    tenant: TenantId,
    session: Uuid,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from agent.runs where tenant_id = $1 and session_id = $2 and status in ('running', 'queued')) as "busy!""#,
        tenant.0,
        session
    )
    .fetch_one(conn)
    .await
}

/// The steps of a run, in order.
pub(crate) async fn steps(
    conn: &mut PgConnection,
    tenant: TenantId,
    run_id: Uuid,
) -> Result<Vec<StepView>, sqlx::Error> {
    sqlx::query_as!(
        StepView,
        "select step, kind, name, call_id, request, response, started_at, finished_at from agent.steps
         where tenant_id = $1 and run_id = $2 order by step limit 1000",
        tenant.0,
        run_id
    )
    .fetch_all(conn)
    .await
}

struct Row {
    session: Uuid,
    name: String,
    message_id: Uuid,
    principal: String,
    principal_role: String,
    machine: Value,
    last_seq: i64,
    resumptions: i32,
    last_step: i32,
}

async fn lock_row(
    conn: &mut PgConnection,
    tenant: TenantId,
    run_id: Uuid,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select status from agent.runs where tenant_id = $1 and id = $2 for update",
        tenant.0,
        run_id
    )
    .fetch_optional(conn)
    .await
}

async fn select(
    conn: &mut PgConnection,
    tenant: TenantId,
    run_id: Uuid,
) -> Result<Row, sqlx::Error> {
    sqlx::query_as!(
        Row,
        r#"select r.session_id as session, s.session_id as name, r.message_id, r.principal, r.principal_role, r.machine, r.last_seq,
                  r.resumptions,
                  (select coalesce(max(step), 0) from agent.steps t where t.tenant_id = $1 and t.run_id = $2) as "last_step!"
           from agent.runs r join agent.agent_sessions s on s.tenant_id = $1 and s.id = r.session_id
           where r.tenant_id = $1 and r.id = $2"#,
        tenant.0,
        run_id
    )
    .fetch_one(conn)
    .await
}

fn held(tenant: TenantId, run_id: Uuid, lease: Uuid, row: Row) -> Result<Held, sqlx::Error> {
    let role: PrincipalRole = serde_json::from_value(Value::from(row.principal_role))
        .map_err(|e| sqlx::Error::Decode(e.into()))?;
    Ok(Held {
        principal: Principal {
            tenant,
            subject: row.principal,
            role,
        },
        run_id,
        session: row.session,
        session_id: row.name,
        message_id: row.message_id,
        machine: Machine::load(row.machine).map_err(|e| sqlx::Error::Decode(e.into()))?,
        last_seq: row.last_seq,
        last_step: row.last_step,
        resumptions: row.resumptions,
        lease,
    })
}

fn lease_ms(lease: Duration) -> f64 {
    lease.as_secs_f64() * 1000.0
}

#[expect(clippy::too_many_arguments, reason = "one per column")]
async fn update_run(
    conn: &mut PgConnection,
    tenant: TenantId,
    run_id: Uuid,
    owner: Uuid,
    status: RunStatus,
    machine: &Value,
    last_seq: i64,
    lease: Duration,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update agent.runs
         set status = $4, machine = $5, last_seq = $6, updated_at = $8::timestamptz,
             lease_owner = case when $4 = 'running' then lease_owner end,
             lease_until = case when $4 = 'running' then now() + $7 * interval '1 millisecond' end,
             finished_at = case when $4 in ('done', 'failed', 'cancelled') then $8::timestamptz end
         where tenant_id = $1 and id = $2 and status = 'running' and lease_owner = $3",
        tenant.0,
        run_id,
        owner,
        status.word(),
        machine,
        last_seq,
        lease_ms(lease),
        now
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

#[expect(clippy::too_many_arguments, reason = "one per column")]
async fn update_waiting(
    conn: &mut PgConnection,
    tenant: TenantId,
    run_id: Uuid,
    status: RunStatus,
    owner: Option<Uuid>,
    machine: &Value,
    last_seq: i64,
    lease: Duration,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update agent.runs
         set status = $3, lease_owner = $4, lease_until = case when $4::uuid is null then null else now() + $7 * interval '1 millisecond' end,
             machine = $5, last_seq = $6, updated_at = $8
         where tenant_id = $1 and id = $2 and status = 'waiting'",
        tenant.0,
        run_id,
        status.word(),
        owner,
        machine,
        last_seq,
        lease_ms(lease),
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn extend(
    conn: &mut PgConnection,
    tenant: TenantId,
    run_id: Uuid,
    owner: Uuid,
    lease: Duration,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update agent.runs set lease_until = now() + $4 * interval '1 millisecond'
         where tenant_id = $1 and id = $2 and status = 'running' and lease_owner = $3",
        tenant.0,
        run_id,
        owner,
        lease_ms(lease)
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

async fn insert_run(
    conn: &mut PgConnection,
    tenant: TenantId,
    new: &NewRun<'_>,
    machine: &Value,
    owner: Option<Uuid>,
    lease: Duration,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let held = new.held;
    let status = if new.begin {
        RunStatus::Running
    } else {
        RunStatus::Queued
    };
    sqlx::query!(
        "insert into agent.runs
            (tenant_id, id, session_id, message_id, status, principal, principal_role, machine, last_seq, lease_owner, lease_until,
             created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, 1, $9,
                 case when $9::uuid is null then null else now() + $10 * interval '1 millisecond' end, $11, $11)",
        tenant.0,
        held.run_id,
        held.session,
        held.message_id,
        status.word(),
        held.principal.subject,
        held.principal.role.word(),
        machine,
        owner,
        lease_ms(lease),
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn insert_events(
    conn: &mut PgConnection,
    tenant: TenantId,
    run_id: Uuid,
    first_seq: i64,
    events: &[EventBody],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    if events.is_empty() {
        return Ok(());
    }
    let bodies = events
        .iter()
        .map(serde_json::to_value)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| sqlx::Error::Encode(e.into()))?;
    sqlx::query!(
        "insert into agent.run_events (tenant_id, run_id, seq, body, at)
         select $1, $2, $3 + e.n - 1, e.body, $5 from unnest($4::jsonb[]) with ordinality as e (body, n)",
        tenant.0,
        run_id,
        first_seq,
        &bodies,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn insert_steps(
    conn: &mut PgConnection,
    tenant: TenantId,
    run_id: Uuid,
    steps: &[Step],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let numbers: Vec<i32> = steps.iter().map(|s| s.step).collect();
    let kinds: Vec<String> = steps.iter().map(|s| s.kind.to_owned()).collect();
    let names: Vec<String> = steps.iter().map(|s| s.name.clone()).collect();
    let calls: Vec<Option<String>> = steps.iter().map(|s| s.call_id.clone()).collect();
    let requests: Vec<Value> = steps.iter().map(|s| s.request.clone()).collect();
    let responses: Vec<Option<Value>> = steps.iter().map(|s| s.response.clone()).collect();
    sqlx::query!(
        "insert into agent.steps (tenant_id, run_id, step, kind, name, call_id, request, response, started_at, finished_at)
         select $1, $2, s.step, s.kind, s.name, s.call_id, s.request, s.response, $9::timestamptz, case when s.response is null then null else $9::timestamptz end
         from unnest($3::int[], $4::text[], $5::text[], $6::text[], $7::jsonb[], $8::jsonb[])
              as s (step, kind, name, call_id, request, response)",
        tenant.0,
        run_id,
        &numbers,
        &kinds,
        &names,
        &calls as &[Option<String>],
        &requests,
        &responses as &[Option<Value>],
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn finish_steps(
    conn: &mut PgConnection,
    tenant: TenantId,
    run_id: Uuid,
    finished: &[(i32, Value)],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let numbers: Vec<i32> = finished.iter().map(|(step, _)| *step).collect();
    let responses: Vec<Value> = finished
        .iter()
        .map(|(_, response)| response.clone())
        .collect();
    sqlx::query!(
        "update agent.steps s set response = f.response, finished_at = $5
         from unnest($3::int[], $4::jsonb[]) as f (step, response)
         where s.tenant_id = $1 and s.run_id = $2 and s.step = f.step",
        tenant.0,
        run_id,
        &numbers,
        &responses,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}
