//! What an edge (HTTP, page, command line, channel) may ask of the engine: begin a turn, answer a question, follow a run.

mod accepting;
mod answering;
mod countersigning;
mod following;
mod summary;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};
use contracts::http::run::{RunStatus, RunView};
use contracts::ids::TenantId;
use sqlx::PgConnection;
use uuid::Uuid;

pub use self::answering::{answer, answer_and_follow};
pub use self::following::{active, follow, outcome};
use crate::app::App;
use crate::approvals;
use crate::principal::Principal;
use crate::run::waiting::{NotDecided, Onward};
use crate::run::{events, journal, worker};

/// Where a message came in; stored with the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// The chat page, or a browser.
    Web,
    /// A program.
    Api,
    /// The terminal.
    Cli,
}

impl Channel {
    const fn word(self) -> &'static str {
        match self {
            Channel::Web => "web",
            Channel::Api => "api",
            Channel::Cli => "cli",
        }
    }
}

/// A message to be worked on. The edge has checked its length and the session id's shape.
#[derive(Debug, Clone)]
pub struct NewTurn {
    /// The conversation; a new one is made when absent.
    pub session_id: Option<String>,
    /// What the person says.
    pub message: String,
    /// `Idempotency-Key` or `request_id`: the same key and message attach to the run that is there.
    pub request_key: Option<String>,
    /// The same session and text within 60 s attach to the run that is there (a GET must never start work twice).
    pub attach_to_same_text: bool,
    /// Where it came in.
    pub channel: Channel,
}

/// A turn that is being worked on or is over already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The conversation.
    pub session_id: String,
    /// The run that works on it.
    pub run_id: Uuid,
    /// Events of the turn come after this one.
    pub after_seq: i64,
}

/// Why an edge's request was not taken. Nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// No such session, run or approval for this principal.
    #[error("not found")]
    NotFound,
    /// Only its principal and staff may use a session; only the approver may answer.
    #[error("forbidden: {0}")]
    Forbidden(&'static str),
    /// The question has another answer already, or the key was used for another message.
    #[error("conflict: {0}")]
    Conflict(&'static str),
    /// A run is active in the session and the setting says not to queue.
    #[error("a run is active in this session")]
    Busy,
    /// The question has lapsed.
    #[error("the question has lapsed")]
    Expired,
    /// Too many at once.
    #[error("too many runs at once")]
    RateLimited,
    /// Postgres or the tool server cannot be reached.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// Our fault.
    #[error("internal: {0}")]
    Internal(String),
}

impl From<sqlx::Error> for TurnError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_) => TurnError::Unavailable(error.to_string()),
            sqlx::Error::Database(e)
                if e.code().is_some_and(|c| {
                    c.starts_with("57P") || c.starts_with("08") || c == "53300"
                }) =>
            {
                TurnError::Unavailable(error.to_string())
            }
            _ => TurnError::Internal(error.to_string()),
        }
    }
}

impl From<NotDecided> for TurnError {
    fn from(error: NotDecided) -> Self {
        match error {
            NotDecided::NoRun => TurnError::NotFound,
            NotDecided::Answered => TurnError::Conflict("This question has been answered already."),
            NotDecided::Database(error) => error.into(),
        }
    }
}

/// Stores the message and begins (or queues, or attaches to) its run.
///
/// # Errors
/// [`TurnError`]; nothing is stored then.
pub async fn begin(
    app: &Arc<App>,
    principal: &Principal,
    turn: NewTurn,
) -> Result<Turn, TurnError> {
    match take_in(app, principal, &turn).await {
        // The same key came twice at once: the other one is stored now.
        Err(TurnError::Conflict("key")) => take_in(app, principal, &turn).await,
        other => other,
    }
}

/// As an answer to questions of other conversations, or as any other message.
async fn take_in(app: &Arc<App>, principal: &Principal, turn: &NewTurn) -> Result<Turn, TurnError> {
    if countersigning::names_others(principal, &turn.message)
        && let Some(taken) = countersigning::take(app, principal, turn).await?
    {
        return Ok(taken);
    }
    if let Some(accepted) = accepting::accept(app, principal, turn, true).await? {
        return Ok(accepted);
    }
    // Questions of other conversations were shown in this one, and this may be the answer.
    if let Some(taken) = countersigning::take(app, principal, turn).await? {
        return Ok(taken);
    }
    let accepted = accepting::accept(app, principal, turn, false).await?;
    accepted.ok_or_else(|| TurnError::Internal("a message was not accepted".to_owned()))
}

/// Sets a run going, if this process has it.
fn start(app: &Arc<App>, onward: Onward) {
    match onward {
        Onward::Ours(held) => worker::spawn(app, *held),
        Onward::Later { run_id, stored } => {
            app.has_queued.store(true, Ordering::Relaxed);
            app.hub.publish(run_id, stored);
            // The run it waits for may be over since.
            app.look_again.notify_one();
        }
    }
}

/// The trace of a run.
///
/// # Errors
/// [`TurnError::NotFound`], [`TurnError::Forbidden`].
pub async fn trace(
    app: &Arc<App>,
    principal: &Principal,
    run_id: Uuid,
) -> Result<RunView, TurnError> {
    let session_id = session_of(app, principal, run_id).await?;
    let tenant = principal.tenant;
    let mut tx = app.begin(tenant).await?;
    let head = run_head(&mut tx, tenant, run_id)
        .await?
        .ok_or(TurnError::NotFound)?;
    Ok(RunView {
        run_id,
        session_id,
        status: RunStatus::from_word(&head.status)
            .ok_or_else(|| TurnError::Internal(head.status.clone()))?,
        created_at: head.created_at,
        finished_at: head.finished_at,
        steps: journal::steps(&mut tx, tenant, run_id).await?,
        approvals: approvals::of_run(&mut tx, tenant, run_id)
            .await?
            .iter()
            .map(approvals::traced)
            .collect(),
        events: events::read(&mut tx, tenant, run_id, 0).await?,
    })
}

/// The session of a run the principal may see.
async fn session_of(app: &App, principal: &Principal, run_id: Uuid) -> Result<String, TurnError> {
    let mut tx = app.begin(principal.tenant).await?;
    let (session_id, owner) = session_of_run(&mut tx, principal.tenant, run_id)
        .await?
        .ok_or(TurnError::NotFound)?;
    let admitted =
        owner == principal.subject || principal.role >= contracts::token::PrincipalRole::Staff;
    if admitted {
        Ok(session_id)
    } else {
        Err(TurnError::NotFound)
    }
}

struct RunHead {
    status: String,
    last_seq: i64,
    created_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
}

async fn session_of_run(
    conn: &mut PgConnection,
    tenant: TenantId,
    run_id: Uuid,
) -> Result<Option<(String, String)>, sqlx::Error> {
    let row = sqlx::query!(
        "select s.session_id, s.principal from agent.runs r join agent.agent_sessions s on s.tenant_id = $1 and s.id = r.session_id
         where r.tenant_id = $1 and r.id = $2",
        tenant.0,
        run_id
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|r| (r.session_id, r.principal)))
}

async fn run_head(
    conn: &mut PgConnection,
    tenant: TenantId,
    run_id: Uuid,
) -> Result<Option<RunHead>, sqlx::Error> {
    sqlx::query_as!(
        RunHead,
        "select status, last_seq, created_at, finished_at from agent.runs where tenant_id = $1 and id = $2",
        tenant.0,
        run_id
    )
    .fetch_optional(conn)
    .await
}
