//! A person's answer that names its question: recorded once, answered the same again.

use std::sync::Arc;

use contracts::http::approval::{ApprovalResponse, ApprovalStatus, Decision};
use contracts::http::event::EventBody;
use contracts::ids::TenantId;
use contracts::locale::Locale;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Turn, TurnError, outcome, start};
use crate::app::App;
use crate::approvals::{self, Approval, Decided};
use crate::principal::Principal;
use crate::run::{events, waiting};
use crate::sessions::{self, Session};

/// Records a person's answer and resumes the run. The same answer again gives the recorded response.
///
/// # Errors
/// [`TurnError::Conflict`] for another answer, [`TurnError::Expired`], [`TurnError::Forbidden`], [`TurnError::NotFound`].
pub async fn answer(
    app: &Arc<App>,
    principal: &Principal,
    approval_id: Uuid,
    decision: Decision,
    reason: Option<String>,
    via: &'static str,
) -> Result<ApprovalResponse, TurnError> {
    let turn = answer_and_follow(app, principal, approval_id, decision, reason, via).await?;
    let mut tx = app.begin(principal.tenant).await?;
    if let Some(stored) = approvals::stored_response(&mut tx, principal.tenant, approval_id).await?
    {
        return serde_json::from_value(stored).map_err(|e| TurnError::Internal(e.to_string()));
    }
    tx.commit().await?;
    let outcome = outcome(app, principal, &turn).await?;
    let mut tx = app.begin(principal.tenant).await?;
    let approval = approvals::find(&mut tx, principal.tenant, approval_id)
        .await?
        .ok_or(TurnError::NotFound)?;
    let decided = approval
        .decided
        .ok_or_else(|| TurnError::Internal("answered by nobody".to_owned()))?;
    let response = ApprovalResponse {
        approval_id,
        decision,
        decided_by: decided.sub,
        decided_at: decided.at,
        outcome,
    };
    let json = serde_json::to_value(&response).map_err(|e| TurnError::Internal(e.to_string()))?;
    approvals::store_response(&mut tx, principal.tenant, approval_id, &json).await?;
    let first = approvals::stored_response(&mut tx, principal.tenant, approval_id).await?;
    tx.commit().await?;
    first.map_or(Ok(response), |stored| {
        serde_json::from_value(stored).map_err(|e| TurnError::Internal(e.to_string()))
    })
}

/// Like [`answer`], but returns as soon as the answer is recorded, with the turn to follow. For streams.
///
/// # Errors
/// As [`answer`].
pub async fn answer_and_follow(
    app: &Arc<App>,
    principal: &Principal,
    approval_id: Uuid,
    decision: Decision,
    reason: Option<String>,
    via: &'static str,
) -> Result<Turn, TurnError> {
    let now = app.clock.now();
    let mut tx = app.begin(principal.tenant).await?;
    let found = approvals::find(&mut tx, principal.tenant, approval_id)
        .await?
        .ok_or(TurnError::NotFound)?;
    let session = sessions::lock(&mut tx, principal.tenant, found.session)
        .await?
        .ok_or(TurnError::NotFound)?;
    // Read again under the lock: somebody else may just have answered.
    let approval = approvals::find(&mut tx, principal.tenant, approval_id)
        .await?
        .ok_or(TurnError::NotFound)?;
    if !approvals::may_answer(&approval.question, &principal.subject, principal.role) {
        let forbidden = if session.admits(principal) {
            TurnError::Forbidden(approvals::wanted(approval.question.approver, Locale::En))
        } else {
            TurnError::NotFound
        };
        return Err(forbidden);
    }
    match (approval.decision(), approval.status) {
        (Some(before), _) if before == decision => {
            return turn_of(&mut tx, principal.tenant, &approval, &session).await;
        }
        (Some(_), _) => {
            return Err(TurnError::Conflict(
                "This question was answered the other way.",
            ));
        }
        (None, ApprovalStatus::Superseded) => {
            return Err(TurnError::Conflict(
                "This question was replaced by a new one.",
            ));
        }
        (None, ApprovalStatus::Expired) => return Err(TurnError::Expired),
        (None, _) => {}
    }
    if approval.question.expires_at <= now {
        drop(tx);
        waiting::lapse(app, principal.tenant, approval.run_id).await?;
        return Err(TurnError::Expired);
    }
    let decided = Decided {
        sub: principal.subject.clone(),
        role: Some(principal.role),
        via: via.to_owned(),
        at: now,
        reason,
    };
    let (onward, after_seq) = waiting::decide(
        &mut tx,
        principal.tenant,
        app,
        &approval,
        decision == Decision::Approve,
        &decided,
    )
    .await?;
    tx.commit().await?;
    start(app, onward);
    Ok(Turn {
        session_id: session.session_id,
        run_id: approval.run_id,
        after_seq,
    })
}

/// The turn an answer that was given before began: it starts with the event that resumed the run.
async fn turn_of(
    conn: &mut PgConnection,
    tenant: TenantId,
    approval: &Approval,
    session: &Session,
) -> Result<Turn, TurnError> {
    let events = events::read(conn, tenant, approval.run_id, 0).await?;
    let answered = events.iter().position(|e| {
        matches!(&e.body, EventBody::Answered { confirmation, status, .. }
            if confirmation.approval_id == approval.id && matches!(status, ApprovalStatus::Approved | ApprovalStatus::Denied))
    });
    let before = answered.map_or(&events[..0], |i| &events[..i]);
    let after_seq = before
        .iter()
        .rev()
        .find(|e| e.body.begins_turn())
        .map_or(0, |e| e.seq - 1);
    Ok(Turn {
        session_id: session.session_id.clone(),
        run_id: approval.run_id,
        after_seq,
    })
}
