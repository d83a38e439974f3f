//! The log of a run: events as they are written, and following one: its events from Postgres, and a wake-up when this process writes more. The wake-up is a hint, never data: a follower
//! that misses one, or follows a run another process works on, reads the table again soon.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use contracts::http::approval::ApprovalStatus;
use contracts::http::chat::ToolCallStatus;
use contracts::http::event::{EventBody, RunEvent};
use contracts::ids::TenantId;
use serde_json::{Value, json};
use sqlx::PgConnection;
use tokio::sync::watch;
use uuid::Uuid;

use crate::app::App;
use crate::approvals::{Approval, Decided};
use crate::models::ToolOutcome;
use crate::run::journal::Held;

/// How long a follower relies on wake-ups before it reads the table again.
pub(crate) const POLL: Duration = Duration::from_millis(500);

/// How far a run has come in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// The last event written.
    pub seq: i64,
    /// That event ended the turn.
    pub ended: bool,
    /// This process works on it, so a wake-up will come.
    pub ours: bool,
}

/// Wakes those who follow a run.
#[derive(Debug, Default)]
pub struct Hub(Mutex<HashMap<Uuid, watch::Sender<Progress>>>);

impl Hub {
    /// Wakes when the run comes further. Subscribe before reading the table, so that nothing falls between.
    #[must_use]
    pub fn subscribe(&self, run_id: Uuid) -> watch::Receiver<Progress> {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        runs.entry(run_id)
            .or_insert_with(|| watch::Sender::new(Progress::default()))
            .subscribe()
    }

    /// This process begins to work on the run: who follows it can wait for a wake-up before reading anything.
    pub fn begin(&self, run_id: Uuid, seq: i64) {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = runs
            .entry(run_id)
            .or_insert_with(|| watch::Sender::new(Progress::default()));
        sender.send_replace(Progress {
            seq,
            ended: false,
            ours: true,
        });
    }

    /// The run has come further.
    pub fn publish(&self, run_id: Uuid, progress: Progress) {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = runs.get(&run_id)
            && sender.send(progress).is_err()
        {
            runs.remove(&run_id);
        }
        if runs.len() > 1000 {
            runs.retain(|_, sender| !sender.is_closed());
        }
    }
}

/// The run's events after `after_seq`, oldest first.
pub(crate) async fn read(
    conn: &mut PgConnection,
    tenant: TenantId,
    run_id: Uuid,
    after_seq: i64,
) -> Result<Vec<RunEvent>, sqlx::Error> {
    let rows = select(conn, tenant, run_id, after_seq).await?;
    rows.into_iter()
        .map(|(seq, body, at)| {
            let body: EventBody =
                serde_json::from_value(body).map_err(|e| sqlx::Error::Decode(e.into()))?;
            Ok(RunEvent { seq, at, body })
        })
        .collect()
}

/// A run goes on after a person's answer, or after nobody's.
pub(crate) fn resumed(app: &App, held: &Held) -> EventBody {
    EventBody::Resumed {
        session_id: held.session_id.clone(),
        run_id: held.run_id,
        message_id: held.message_id,
        model: app.model.name().to_owned(),
    }
}

/// A question was answered, or lapsed.
pub(crate) fn answered(
    approval: &Approval,
    status: ApprovalStatus,
    decided: Option<&Decided>,
) -> EventBody {
    EventBody::Answered {
        call_id: approval.call.id.clone(),
        confirmation: approval.view(),
        status,
        decided_by: decided.map(|d| d.by.sub.clone()),
    }
}

/// A call's end as an event.
pub(crate) fn returned(call_id: &str, tool: &str, outcome: &ToolOutcome) -> EventBody {
    let (status, result) = match outcome {
        ToolOutcome::Done { result } => (ToolCallStatus::Done, result.clone()),
        ToolOutcome::Failed { failure } => (
            ToolCallStatus::Failed,
            serde_json::to_value(failure).unwrap_or_default(),
        ),
        ToolOutcome::Denied { reason } => (ToolCallStatus::Denied, json!({"reason": reason})),
        ToolOutcome::Expired => (ToolCallStatus::Expired, Value::Null),
        ToolOutcome::Superseded => (ToolCallStatus::Superseded, Value::Null),
        ToolOutcome::Unknown => (ToolCallStatus::Unknown, Value::Null),
    };
    EventBody::ToolReturned {
        call_id: call_id.to_owned(),
        tool: tool.to_owned(),
        status,
        result,
    }
}

type Row = (i64, serde_json::Value, chrono::DateTime<chrono::Utc>);

async fn select(
    conn: &mut PgConnection,
    tenant: TenantId,
    run_id: Uuid,
    after_seq: i64,
) -> Result<Vec<Row>, sqlx::Error> {
    let rows = sqlx::query!(
        "select seq, body, at from agent.run_events where tenant_id = $1 and run_id = $2 and seq > $3 order by seq limit 10000",
        tenant.0,
        run_id,
        after_seq
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|r| (r.seq, r.body, r.at)).collect())
}
