//! A waiting run, and what a person's answer, or nobody's, does to it. The run's row is always locked first: whoever is about to wait and
//! whoever answers see each other.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use contracts::http::approval::ApprovalStatus;
use contracts::http::event::{EventBody, RunEvent};
use contracts::http::run::RunStatus;
use contracts::ids::TenantId;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::app::App;
use crate::approvals::{self, Approval, Decided};
use crate::metrics;
use crate::models::ToolOutcome;
use crate::run::events;
use crate::run::journal::{self, Held};

/// Where a run stands after something happened to it.
pub(crate) enum Onward {
    /// This process works on it.
    Ours(Box<Held>),
    /// Somebody will: it is queued, or it waits for a person.
    Later {
        run_id: Uuid,
        /// Events that were stored with it, for those who follow it here.
        stored: Vec<RunEvent>,
    },
}

impl Onward {
    /// The run.
    pub(crate) fn run_id(&self) -> Uuid {
        match self {
            Onward::Ours(held) => held.run_id,
            Onward::Later { run_id, .. } => *run_id,
        }
    }
}

/// Why an answer did not count.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotDecided {
    /// The run is gone.
    #[error("no such run")]
    NoRun,
    /// Somebody else was first, or the question has lapsed.
    #[error("answered already")]
    Answered,
    /// The database failed.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
}

/// Records a person's answer and, if the run waits, sets it going. The run's row is locked first, so that a worker that is about to wait
/// sees the answer.
pub(crate) async fn decide(
    conn: &mut PgConnection,
    tenant: TenantId,
    app: &Arc<App>,
    approval: &Approval,
    yes: bool,
    decided: &Decided,
) -> Result<(Onward, i64), NotDecided> {
    let (held, run_status) = journal::lock(conn, tenant, approval.run_id)
        .await?
        .ok_or(NotDecided::NoRun)?;
    let status = if yes {
        ApprovalStatus::Approved
    } else {
        ApprovalStatus::Denied
    };
    if !approvals::decide(conn, tenant, approval.id, status, decided).await? {
        return Err(NotDecided::Answered);
    }
    let after_seq = held.last_seq;
    if run_status != RunStatus::Waiting {
        return Ok((
            Onward::Later {
                run_id: approval.run_id,
                stored: Vec::new(),
            },
            after_seq,
        ));
    }
    let mut held = held;
    let log = [
        events::resumed(app, &held),
        events::answered(approval, status, Some(decided)),
    ];
    held.machine.decided(&approval.call.id, approval.id);
    let accepted = go_on(conn, app, held, &log, decided.at).await?;
    Ok((accepted, after_seq))
}

/// A waiting run goes on: here, or queued behind another of its session.
pub(crate) async fn go_on(
    conn: &mut PgConnection,
    app: &Arc<App>,
    mut held: Held,
    events: &[EventBody],
    now: DateTime<Utc>,
) -> Result<Onward, sqlx::Error> {
    let tenant = held.principal.tenant;
    let busy = journal::is_busy(conn, tenant, held.session).await?;
    let status = if busy {
        RunStatus::Queued
    } else {
        RunStatus::Running
    };
    journal::resume(conn, app, &mut held, status, events, now).await?;
    if !busy {
        journal::see_window(conn, &mut held).await?;
    }
    Ok(if busy {
        Onward::Later {
            run_id: held.run_id,
            stored: Vec::new(),
        }
    } else {
        Onward::Ours(Box::new(held))
    })
}

/// Lets the lapsed questions of a waiting run lapse; what is left to do is to tell the person.
pub(crate) async fn expire(
    conn: &mut PgConnection,
    app: &App,
    tenant: TenantId,
    run_id: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<(Held, Vec<EventBody>, i64)>, sqlx::Error> {
    let Some((mut held, RunStatus::Waiting)) = journal::lock(conn, tenant, run_id).await? else {
        return Ok(None);
    };
    let after_seq = held.last_seq;
    let mut log = vec![events::resumed(app, &held)];
    for approval in approvals::of_run(conn, tenant, run_id).await? {
        if approval.status == ApprovalStatus::Pending && approval.question.expires_at <= now {
            approvals::set_status(conn, tenant, approval.id, ApprovalStatus::Expired).await?;
            metrics::question_stands(ApprovalStatus::Expired);
            log.push(events::answered(&approval, ApprovalStatus::Expired, None));
            log.push(events::returned(
                &approval.call.id,
                &approval.call.tool,
                &ToolOutcome::Expired,
            ));
            held.machine.closed(&approval.call.id, ToolOutcome::Expired);
        }
    }
    Ok((log.len() > 1).then_some((held, log, after_seq)))
}

/// Queues a waiting run whose questions have lapsed, so that a worker tells the person.
pub(crate) async fn lapse(
    app: &Arc<App>,
    tenant: TenantId,
    run_id: Uuid,
) -> Result<(), sqlx::Error> {
    let now = app.clock.now();
    let mut tx = app.begin(tenant).await?;
    if let Some((mut held, log, _)) = expire(&mut tx, app, tenant, run_id, now).await? {
        journal::resume(&mut tx, app, &mut held, RunStatus::Queued, &log, now).await?;
        tx.commit().await?;
    }
    Ok(())
}
