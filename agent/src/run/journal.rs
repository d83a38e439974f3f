//! What is stored of a run: its state, its steps before and after, its events. One flush is one commit, and only the worker that holds
//! the lease can make one.

use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::http::approval::ApprovalStatus;
use contracts::http::event::EventBody;
use contracts::http::run::{RunStatus, StepView};
use contracts::ids::TenantId;
use contracts::scope::Reach;
use contracts::token::PrincipalRole;
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::app::App;
use crate::approvals::{self, Approval};
use crate::metrics;
use crate::principal::Principal;
use crate::run::events;
use crate::run::hub::Begun;
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
    /// For those who follow it in this process.
    pub(crate) begun: Begun,
    /// At the last flush another run of the session was waiting for its turn.
    pub(crate) is_waited_for: bool,
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

/// Stores everything in one commit, renews or ends the lease by `status`, and tells those who follow.
pub(crate) async fn flush(
    app: &App,
    held: &mut Held,
    batch: &mut Batch,
    status: RunStatus,
) -> Result<(), FlushError> {
    let now = app.clock.now();
    let tenant = held.principal.tenant;
    let texts = Texts::of(app, held, batch).map_err(|e| sqlx::Error::Encode(e.into()))?;
    let mut tx = app.begin(tenant).await?;
    let moved = move_on(&mut tx, tenant, app, held, batch, &texts, status, now)
        .await?
        .ok_or(FlushError::LeaseLost)?;
    if status == RunStatus::Waiting {
        // Whoever answers locks the run first, so an answer is either seen here or finds the run waiting.
        let come = answers(&mut tx, tenant, held).await?;
        if !come.is_empty() {
            return Err(FlushError::Answered(come));
        }
    }
    store_approvals(&mut tx, held, batch, now).await?;
    tx.commit().await?;
    if status != RunStatus::Running {
        metrics::run_stands(status);
    }
    for asked in &batch.asked {
        metrics::question_stands(asked.status);
    }
    let stored = std::mem::take(batch);
    let events = events::numbered(stored.events, moved.seq + 1, now);
    held.last_seq = events.last().map_or(moved.seq, |e| e.seq);
    held.is_waited_for = moved.is_waited_for;
    app.hub.publish(held.run_id, events);
    Ok(())
}

/// What is stored as JSON, as text: Postgres gets it as it is, and nothing is made a tree first.
struct Texts {
    machine: String,
    events: Vec<String>,
    requests: Vec<String>,
    responses: Vec<Option<String>>,
    finished: Vec<String>,
    window: Option<String>,
}

impl Texts {
    fn of(app: &App, held: &mut Held, batch: &Batch) -> serde_json::Result<Texts> {
        // Nobody else can have changed the window: that takes a run of this session that runs, and this is the one.
        let messages = &held.machine.messages;
        let window = machine::window(messages, app.settings.session_context_size);
        let window = batch.close_window.then(|| serde_json::to_string(window));
        let responses = batch.steps.iter().map(|s| s.response.as_ref());
        Ok(Texts {
            window: window.transpose()?,
            machine: held.machine.store()?,
            events: texts(&batch.events)?,
            requests: texts(batch.steps.iter().map(|s| &s.request))?,
            responses: responses
                .map(|r| r.map(serde_json::to_string).transpose())
                .collect::<Result<_, _>>()?,
            finished: texts(batch.finished.iter().map(|(_, response)| response))?,
        })
    }
}

fn texts<T: Serialize>(values: impl IntoIterator<Item = T>) -> serde_json::Result<Vec<String>> {
    values
        .into_iter()
        .map(|value| serde_json::to_string(&value))
        .collect()
}

async fn store_approvals(
    conn: &mut PgConnection,
    held: &Held,
    batch: &Batch,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let tenant = held.principal.tenant;
    for (id, status) in &batch.approvals {
        approvals::set_status(&mut *conn, tenant, *id, *status).await?;
    }
    for approval in &batch.asked {
        let key = held.key_of(&approval.call.id);
        approvals::insert(&mut *conn, tenant, approval, &key, now).await?;
    }
    Ok(())
}

/// A message that wants a run of its own.
pub(crate) struct NewRun<'a> {
    pub(crate) said: &'a str,
    pub(crate) request_key: Option<&'a str>,
    pub(crate) message: Uuid,
    pub(crate) event: &'a EventBody,
    /// Runs the person may have at once.
    pub(crate) runs_max: i64,
    /// Refused while another run is active in the session; else it waits its turn.
    pub(crate) refuse_when_busy: bool,
}

/// What stood in the way of a new run, if anything did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// It runs, and this process holds it.
    Running,
    /// It waits its turn behind another of its session.
    Queued,
    /// Nothing is stored: questions are open in the session, which the message may be about.
    Asked,
    /// Nothing is stored: another run is active in the session.
    Busy,
    /// Nothing is stored: the person has too many runs at once.
    TooMany,
}

/// Stores what a person says, with a new run and its first event. The session is locked, so that this sees every run of it that was
/// accepted before. `although_asked`: the message is known to be no answer to the open questions.
pub(crate) async fn accept(
    conn: &mut PgConnection,
    app: &App,
    held: &mut Held,
    new: &NewRun<'_>,
    although_asked: bool,
    now: DateTime<Utc>,
) -> Result<Accepted, sqlx::Error> {
    let tenant = held.principal.tenant;
    let broken = |e: serde_json::Error| sqlx::Error::Encode(e.into());
    let machine = held.machine.store().map_err(broken)?;
    let event = serde_json::to_string(new.event).map_err(broken)?;
    let lease = app.settings.lease;
    let looked = insert_run(
        conn,
        tenant,
        held,
        new,
        &machine,
        &event,
        although_asked,
        lease,
        now,
    )
    .await?;
    let accepted = match looked.status.as_deref() {
        Some("running") => Accepted::Running,
        Some(_) => Accepted::Queued,
        None if looked.asked && !although_asked => Accepted::Asked,
        None if looked.busy && new.refuse_when_busy => Accepted::Busy,
        None => Accepted::TooMany,
    };
    if accepted == Accepted::Running {
        held.begun.events = events::numbered(vec![new.event.clone()], 1, now);
        held.begun.quiet = !looked.asked;
    }
    Ok(accepted)
}

/// Stores a message that code answers at once, with a run that is over: what was said, the reply, its events.
pub(crate) async fn answer_at_once(
    conn: &mut PgConnection,
    held: &mut Held,
    log: &[EventBody],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let tenant = held.principal.tenant;
    let broken = |e: serde_json::Error| sqlx::Error::Encode(e.into());
    let machine = held.machine.store().map_err(broken)?;
    let bodies = texts(log).map_err(broken)?;
    held.last_seq = i64::try_from(bodies.len()).unwrap_or(i64::MAX);
    insert_done(conn, tenant, held, &machine, now).await?;
    insert_events(conn, tenant, held.run_id, 1, &bodies, now).await
}

/// The newest run of a session.
pub(crate) async fn newest(
    conn: &mut PgConnection,
    tenant: TenantId,
    session: Uuid,
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select id from agent.runs where tenant_id = $1 and session_id = $2 order by created_at desc, id desc limit 1",
        tenant.0,
        session
    )
    .fetch_optional(conn)
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
           returning r.session_id as session, s.session_id as name, r.message_id, r.principal, r.principal_role, r.principal_customer, r.principal_scopes, r.machine, r.last_seq,
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

/// A run as it stands, for whoever only looks.
pub(crate) async fn see(
    conn: &mut PgConnection,
    tenant: TenantId,
    run_id: Uuid,
) -> Result<Option<(Held, RunStatus)>, sqlx::Error> {
    let Some(status) = status_of(conn, tenant, run_id).await? else {
        return Ok(None);
    };
    let status = RunStatus::from_word(&status).ok_or_else(|| sqlx::Error::Decode(status.into()))?;
    let row = select(conn, tenant, run_id).await?;
    Ok(Some((held(tenant, run_id, Uuid::nil(), row)?, status)))
}

/// Gives a run that this transaction has just set running its session's window. Read by a statement of its own, because the run before
/// it in the session may have ended while this one was being taken.
pub(crate) async fn see_window(
    conn: &mut PgConnection,
    held: &mut Held,
) -> Result<(), sqlx::Error> {
    let window = sessions::window(conn, held.principal.tenant, held.session).await?;
    held.machine.go_on_after(window.unwrap_or_default());
    Ok(())
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

/// Stores what a decision did to a waiting run: it runs here, waits its turn behind another of its session, or goes on waiting. The
/// caller has locked the session, or queues the run.
pub(crate) async fn resume(
    conn: &mut PgConnection,
    app: &App,
    held: &mut Held,
    status: RunStatus,
    log: &[EventBody],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let tenant = held.principal.tenant;
    let broken = |e: serde_json::Error| sqlx::Error::Encode(e.into());
    let machine = held.machine.store().map_err(broken)?;
    let bodies = texts(log).map_err(broken)?;
    let stored = events::numbered(log.to_vec(), held.last_seq + 1, now);
    let last_seq = stored.last().map_or(held.last_seq, |e| e.seq);
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
    insert_events(conn, tenant, held.run_id, held.last_seq + 1, &bodies, now).await?;
    held.last_seq = last_seq;
    held.begun.events = stored;
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
    principal_customer: Option<Uuid>,
    principal_scopes: Vec<String>,
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

async fn status_of(
    conn: &mut PgConnection,
    tenant: TenantId,
    run_id: Uuid,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select status from agent.runs where tenant_id = $1 and id = $2",
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
        r#"select r.session_id as session, s.session_id as name, r.message_id, r.principal, r.principal_role, r.principal_customer, r.principal_scopes, r.machine, r.last_seq,
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
    let reach = Reach::of_scopes(row.principal_scopes.iter().map(String::as_str))
        .map_err(|e| sqlx::Error::Decode(e.into()))?;
    Ok(Held {
        principal: Principal {
            tenant,
            subject: row.principal,
            role,
            customer: row.principal_customer,
            reach,
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
        begun: Begun::default(),
        is_waited_for: false,
    })
}

fn lease_ms(lease: Duration) -> f64 {
    lease.as_secs_f64() * 1000.0
}

/// What a flush found in the run's row.
struct Moved {
    /// The last event's number before.
    seq: i64,
    is_waited_for: bool,
}

/// One statement for everything a flush stores but approvals, because each one costs both sides a round trip. All of it hangs on the
/// run's own row: when the lease is lost, nothing is written and nothing comes back. Only a running run has
/// a lease (a constraint), so its status need not be looked at, and the row is found by its key and by nothing else.
#[expect(clippy::too_many_arguments, reason = "one statement")]
async fn move_on(
    conn: &mut PgConnection,
    tenant: TenantId,
    app: &App,
    held: &Held,
    batch: &Batch,
    texts: &Texts,
    status: RunStatus,
    now: DateTime<Utc>,
) -> Result<Option<Moved>, sqlx::Error> {
    let steps = &batch.steps;
    let numbers: Vec<i32> = steps.iter().map(|s| s.step).collect();
    let kinds: Vec<String> = steps.iter().map(|s| s.kind.to_owned()).collect();
    let names: Vec<String> = steps.iter().map(|s| s.name.clone()).collect();
    let calls: Vec<Option<String>> = steps.iter().map(|s| s.call_id.clone()).collect();
    let finished: Vec<i32> = batch.finished.iter().map(|(step, _)| *step).collect();
    sqlx::query_as!(
        Moved,
        r#"with moved as (
               update agent.runs
               set status = $4, machine = $5::text::jsonb, last_seq = last_seq + cardinality($6::text[]), updated_at = $8::timestamptz,
                   lease_owner = case when $4 = 'running' then lease_owner end,
                   lease_until = case when $4 = 'running' then now() + $7 * interval '1 millisecond' end,
                   finished_at = case when $4 in ('done', 'failed', 'cancelled') then $8::timestamptz end
               where tenant_id = $1 and id = $2 and lease_owner = $3
               returning last_seq - cardinality($6::text[]) as seq
           ), logged as (
               insert into agent.run_events (tenant_id, run_id, seq, body, at)
               select $1, $2, moved.seq + e.n, e.body::jsonb, $8 from moved, unnest($6::text[]) with ordinality as e (body, n)
           ), begun as (
               insert into agent.steps (tenant_id, run_id, step, kind, name, call_id, request, response, started_at, finished_at)
               select $1, $2, s.step, s.kind, s.name, s.call_id, s.request::jsonb, s.response::jsonb, $8::timestamptz,
                      case when s.response is not null then $8::timestamptz end
               from moved, unnest($9::int[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[])
                           as s (step, kind, name, call_id, request, response)
           ), finished as (
               update agent.steps s set response = f.response::jsonb, finished_at = $8
               from moved, unnest($15::int[], $16::text[]) as f (step, response)
               where s.tenant_id = $1 and s.run_id = $2 and s.step = f.step
           ), said as (
               insert into agent.agent_messages (tenant_id, id, session_id, run_id, role, text, created_at)
               select $1, $17, $21, $2, 'assistant', $18::text, $8 from moved where $18::text is not null
           ), closed as (
               update agent.agent_sessions s
               set conversation_history = $19::text::jsonb, metadata = s.metadata || $20::jsonb, updated_at = $8
               from moved where s.tenant_id = $1 and s.id = $21 and $19::text is not null
           )
           select seq as "seq!",
                  exists (select from agent.runs r where r.tenant_id = $1 and r.session_id = $21 and r.status = 'queued') as "is_waited_for!"
           from moved"#,
        tenant.0,
        held.run_id,
        held.lease,
        status.word(),
        texts.machine,
        &texts.events,
        lease_ms(app.settings.lease),
        now,
        &numbers,
        &kinds,
        &names,
        &calls as &[Option<String>],
        &texts.requests,
        &texts.responses as &[Option<String>],
        &finished,
        &texts.finished,
        app.new_id(),
        batch.said,
        texts.window,
        json!({"language": held.machine.language}),
        held.session,
    )
    .fetch_optional(conn)
    .await
}

#[expect(clippy::too_many_arguments, reason = "one per column")]
async fn update_waiting(
    conn: &mut PgConnection,
    tenant: TenantId,
    run_id: Uuid,
    status: RunStatus,
    owner: Option<Uuid>,
    machine: &str,
    last_seq: i64,
    lease: Duration,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update agent.runs
         set status = $3, lease_owner = $4, lease_until = case when $4::uuid is null then null else now() + $7 * interval '1 millisecond' end,
             machine = $5::text::jsonb, last_seq = $6, updated_at = $8
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

/// What a new run found in its session, and the status it was stored with, if it was.
struct Looked {
    busy: bool,
    asked: bool,
    status: Option<String>,
}

#[expect(clippy::too_many_arguments, reason = "one statement")]
async fn insert_run(
    conn: &mut PgConnection,
    tenant: TenantId,
    held: &Held,
    new: &NewRun<'_>,
    machine: &str,
    event: &str,
    although_asked: bool,
    lease: Duration,
    now: DateTime<Utc>,
) -> Result<Looked, sqlx::Error> {
    sqlx::query_as!(
        Looked,
        r#"with looked as (
               -- One after the other, because each has its own small index.
               select exists (select from agent.runs r where r.tenant_id = $1 and r.session_id = $2 and r.status = 'running')
                      or exists (select from agent.runs r where r.tenant_id = $1 and r.session_id = $2 and r.status = 'queued') as busy,
                      exists (select from agent.approvals a where a.tenant_id = $1 and a.session_id = $2 and a.status = 'pending') as asked,
                      (select count(*) from agent.runs r
                       where r.tenant_id = $1 and r.principal = $5 and r.status in ('queued', 'running')) as active
           ), run as (
               insert into agent.runs
                   (tenant_id, id, session_id, message_id, status, principal, principal_role, machine, last_seq, lease_owner, lease_until,
                    created_at, updated_at, principal_customer, principal_scopes)
               select $1, $3, $2, $4, case when busy then 'queued' else 'running' end, $5, $6, $7::text::jsonb, 1,
                      case when not busy then $8::uuid end,
                      case when not busy then now() + $9 * interval '1 millisecond' end, $10, $10, $18, $19
               from looked
               where ($11 or not asked) and active < $12 and not ($13 and busy)
               returning status
           ), logged as (
               insert into agent.run_events (tenant_id, run_id, seq, body, at)
               select $1, $3, 1, $14::text::jsonb, $10 from run
           ), said as (
               insert into agent.agent_messages (tenant_id, id, session_id, run_id, role, text, principal, request_key, after_seq, created_at)
               select $1, $15, $2, $3, 'user', $16, $5, $17, 0, $10 from run
           )
           select busy as "busy!", asked as "asked!", (select status from run) as status from looked"#,
        tenant.0,
        held.session,
        held.run_id,
        held.message_id,
        held.principal.subject,
        held.principal.role.word(),
        machine,
        held.lease,
        lease_ms(lease),
        now,
        although_asked,
        new.runs_max,
        new.refuse_when_busy,
        event,
        new.message,
        new.said,
        new.request_key,
        held.principal.customer,
        &held.principal.reach.scopes(),
    )
    .fetch_one(conn)
    .await
}

async fn insert_done(
    conn: &mut PgConnection,
    tenant: TenantId,
    held: &Held,
    machine: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into agent.runs
            (tenant_id, id, session_id, message_id, status, principal, principal_role, principal_customer, principal_scopes, machine,
             last_seq, created_at, updated_at, finished_at)
         values ($1, $2, $3, $4, 'done', $5, $6, $7, $8, $9::text::jsonb, $10, $11, $11, $11)",
        tenant.0,
        held.run_id,
        held.session,
        held.message_id,
        held.principal.subject,
        held.principal.role.word(),
        held.principal.customer,
        &held.principal.reach.scopes(),
        machine,
        held.last_seq,
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
    bodies: &[String],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into agent.run_events (tenant_id, run_id, seq, body, at)
         select $1, $2, $3 + e.n - 1, e.body::jsonb, $5 from unnest($4::text[]) with ordinality as e (body, n)",
        tenant.0,
        run_id,
        first_seq,
        bodies,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use contracts::http::chat::{ChatStatus, Usage};
    use migrations::settings::Reader;
    use migrations::test_database::TestDatabase;
    use sqlx::{AssertSqlSafe, PgPool, Row as _};

    use super::*;
    use crate::config::Config;
    use crate::identity::Identities;
    use crate::language::Language;
    use crate::models::interpreter::Interpreter;
    use crate::models::{Message, ModelAnswer, ToolCall, ToolOutcome};
    use crate::run::machine::Limits;
    use crate::start::install_crypto;
    use crate::tokens::Signer;
    use crate::tools::Tools;

    async fn app(database: &TestDatabase) -> App {
        install_crypto();
        let home = |name: &str| (name == "COUNTERSIGN_HOME").then(|| "/nowhere".to_owned());
        let config = Config::read(&Reader::new(home)).unwrap();
        let nowhere = "http://127.0.0.1:9/mcp";
        let clock = config.clock.clone();
        let signer = Signer::new([0; 32], clock.clone());
        let tools = Tools::new(nowhere, signer.clone(), &[], Duration::from_secs(1)).unwrap();
        let identities = Identities::new(nowhere, signer, clock).unwrap();
        let pool = database.pool(migrations::database::Role::Agent).await;
        App::new(
            config,
            pool,
            std::sync::Arc::new(Interpreter),
            tools,
            identities,
        )
    }

    fn said(text: &str) -> Message {
        Message::User {
            text: text.to_owned(),
        }
    }

    /// A message that was accepted, and what became of it.
    async fn accepted(app: &App, session_id: &str, text: &str) -> (Held, Accepted) {
        let principal = Principal::local_owner();
        let now = app.clock.now();
        let mut tx = app.begin(principal.tenant).await.unwrap();
        let session = sessions::open(&mut tx, &principal, session_id, app.new_id(), "api", now);
        let session = session.await.unwrap();
        let mut held = Held {
            run_id: app.new_id(),
            session: session.id,
            session_id: session.session_id,
            message_id: app.new_id(),
            machine: Machine::begin(session.window, text.to_owned(), Language::En),
            last_seq: 1,
            last_step: 0,
            resumptions: 0,
            lease: app.new_id(),
            begun: Begun::default(),
            is_waited_for: false,
            principal,
        };
        let new = NewRun {
            said: text,
            request_key: None,
            message: app.new_id(),
            event: &events::resumed(app, &held),
            runs_max: 10,
            refuse_when_busy: false,
        };
        let accepted = accept(&mut tx, app, &mut held, &new, false, now).await;
        tx.commit().await.unwrap();
        (held, accepted.unwrap())
    }

    /// Everything the journal holds, in a line.
    async fn stored(owner: &PgPool) -> String {
        let all = "select concat_ws(' ',
            (select string_agg(status || last_seq, ',' order by id) from agent.runs),
            (select string_agg(seq || (body ->> 'event'), ',' order by run_id, seq) from agent.run_events),
            (select string_agg(step || kind || (response is not null), ',' order by step) from agent.steps),
            (select string_agg(role || ':' || text, ',' order by created_at, id) from agent.agent_messages),
            (select string_agg(jsonb_array_length(conversation_history) || (metadata ->> 'language'), ',') from agent.agent_sessions))";
        let row = sqlx::query(AssertSqlSafe(all)).fetch_one(owner).await;
        row.unwrap().get(0)
    }

    fn step(step: i32, call_id: Option<&str>, response: Option<Value>) -> Step {
        Step {
            step,
            kind: if call_id.is_some() { "tool" } else { "model" },
            name: "x".to_owned(),
            call_id: call_id.map(str::to_owned),
            request: json!({}),
            response,
        }
    }

    #[expect(clippy::too_many_lines, reason = "one story")]
    #[tokio::test]
    async fn a_flush_is_stored_whole_and_only_by_the_holder_of_the_lease() {
        let database = TestDatabase::new().await;
        let (app, owner) = (app(&database).await, database.owner_pool().await);
        let (mut first, how) = accepted(&app, "s", "hello").await;
        assert_eq!(how, Accepted::Running);
        assert!(first.begun.quiet);
        let call = ToolCall {
            id: "c".to_owned(),
            tool: "t".to_owned(),
            arguments: json!({}),
        };
        let answer = ModelAnswer {
            calls: vec![call],
            ..ModelAnswer::default()
        };
        first
            .machine
            .model_answered(answer, &Limits::default(), |_| None);
        let mut batch = Batch {
            events: vec![EventBody::StepStarted { step: 1 }],
            steps: vec![step(1, None, Some(json!({}))), step(2, Some("c"), None)],
            ..Batch::default()
        };
        let status = RunStatus::Running;
        flush(&app, &mut first, &mut batch, status).await.unwrap();
        assert!(batch.events.is_empty() && batch.steps.is_empty());
        let before = "running2 1resumed,2step_started 1modeltrue,2toolfalse user:hello";
        assert_eq!(stored(&owner).await, before);

        // Another message of the session waits its turn.
        let (_, how) = accepted(&app, "s", "more").await;
        assert_eq!(how, Accepted::Queued);
        sqlx::query("delete from agent.agent_messages where text = 'more'")
            .execute(&owner)
            .await
            .unwrap();
        sqlx::query("delete from agent.runs where status = 'queued'")
            .execute(&owner)
            .await
            .unwrap();

        // The lease lapses and somebody else goes on.
        let lapse = "update agent.runs set lease_until = now() - interval '1 second'";
        sqlx::query(lapse).execute(&owner).await.unwrap();
        let tenant = first.principal.tenant;
        let mut tx = app.begin(tenant).await.unwrap();
        let taken = take(&mut tx, &app, tenant, first.run_id, app.clock.now()).await;
        let mut second = taken.unwrap().unwrap();
        see_window(&mut tx, &mut second).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(
            (second.last_seq, second.last_step, second.resumptions),
            (2, 2, 1)
        );

        let outcome = || ToolOutcome::Done {
            result: json!({"summary": "ok"}),
        };
        for held in [&mut first, &mut second] {
            held.machine.closed("c", outcome());
            let last = ModelAnswer {
                text: "Bye.".to_owned(),
                ..ModelAnswer::default()
            };
            held.machine
                .model_answered(last, &Limits::default(), |_| None);
        }
        let ending = || Batch {
            events: vec![
                EventBody::StepFinished { step: 1 },
                EventBody::Finished {
                    status: ChatStatus::Success,
                    usage: Usage::default(),
                },
            ],
            finished: vec![(2, json!({"outcome": "done"}))],
            steps: vec![step(3, None, Some(json!({})))],
            said: Some("Bye.".to_owned()),
            close_window: true,
            ..Batch::default()
        };
        let refused = flush(&app, &mut first, &mut ending(), RunStatus::Done).await;
        assert!(matches!(refused, Err(FlushError::LeaseLost)));
        assert_eq!(stored(&owner).await, before, "nothing of it is stored");

        flush(&app, &mut second, &mut ending(), RunStatus::Done)
            .await
            .unwrap();
        assert_eq!(
            stored(&owner).await,
            "done4 1resumed,2step_started,3step_finished,4finished 1modeltrue,2tooltrue,3modeltrue user:hello,assistant:Bye. 4en"
        );
        let again = flush(&app, &mut second, &mut ending(), RunStatus::Done).await;
        assert!(matches!(again, Err(FlushError::LeaseLost)), "it is over");

        // The next run of the session begins after what was said.
        let (third, _) = accepted(&app, "s", "and now?").await;
        assert_eq!(third.machine.messages.first(), Some(&said("hello")));
        assert_eq!(third.machine.messages.len(), 5);
    }
}
