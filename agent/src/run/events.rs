//! The log of a run: events as they are written, and as they are read from the table.

use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, Utc};

use contracts::http::approval::ApprovalStatus;
use contracts::http::chat::ToolCallStatus;
use contracts::http::event::{EventBody, RunEvent};
use contracts::ids::TenantId;
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::app::App;
use crate::approvals::{Approval, Decided};
use crate::models::ToolOutcome;
use crate::run::journal::Held;

/// How often a follower reads the table of a run that another process works on.
pub(crate) const POLL: Duration = Duration::from_millis(500);
/// How long a follower relies on wake-ups of this process before it looks at the table anyway.
pub(crate) const TRUST: Duration = Duration::from_secs(5);

/// Bodies as the events they become, the first with number `first_seq`: exactly what is read back from the table.
pub(crate) fn numbered(
    bodies: Vec<EventBody>,
    first_seq: i64,
    now: DateTime<Utc>,
) -> Vec<RunEvent> {
    // The table keeps microseconds.
    let at = now.trunc_subsecs(6);
    (first_seq..)
        .zip(bodies)
        .map(|(seq, body)| RunEvent { seq, at, body })
        .collect()
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
        decided_by: decided.map(|d| d.sub.clone()),
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

type Row = (i64, Value, DateTime<Utc>);

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
