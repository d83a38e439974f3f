//! Answers that were given on a page of our tool server, which tells nobody: it is asked now and then what has come of the questions that
//! stand open, a few at a time and each by one worker. What it did is done; the run makes its call again under the same key and gets the
//! stored outcome, which goes on in the conversation of whoever asked.

use std::sync::Arc;
use std::time::Duration;

use contracts::http::approval::ApprovalStatus;
use contracts::http::run::RunStatus;
use contracts::ids::TenantId;
use contracts::tools::confirm::{ConfirmActionOutput, ConfirmationStatus};
use futures::future::join_all;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::app::App;
use crate::approvals::{self, Approval, AskedBy, Decided};
use crate::metrics;
use crate::run::waiting::{self, Onward};
use crate::run::{events, journal, worker};
use crate::sessions;
use crate::tools::Unreachable;

/// How often questions are taken to be looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long after the last look, or after it was asked, a question is looked at again. Most are answered here before.
const AFTER: Duration = Duration::from_secs(3);
/// Questions of one look. With more open at once than so many times [`AFTER`], each waits a little longer.
const LOOK_MAX: i32 = 20;

/// Why one question was not looked at. It will be again.
#[derive(Debug, thiserror::Error)]
enum NotSeen {
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
}

/// Looks at open questions, until told to stop.
pub async fn look_elsewhere(app: Arc<App>) {
    loop {
        if let Err(error) = look(&app).await {
            tracing::debug!(%error, "looking for answers given elsewhere");
        }
        tokio::select! {
            () = app.stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

async fn look(app: &Arc<App>) -> Result<(), sqlx::Error> {
    let taken = take_open_questions(&mut *app.pool.acquire().await?).await?;
    let looks = taken.into_iter().map(|(tenant, approval)| async move {
        if let Err(error) = look_at(app, tenant, approval).await {
            tracing::debug!(%approval, %error, "not looked at");
        }
    });
    join_all(looks).await;
    Ok(())
}

async fn look_at(app: &Arc<App>, tenant: TenantId, id: Uuid) -> Result<(), NotSeen> {
    let mut tx = app.begin(tenant).await?;
    let Some(approval) = open(&mut tx, tenant, id).await? else {
        return Ok(());
    };
    let Some((held, _)) = journal::see(&mut tx, tenant, approval.run_id).await? else {
        return Ok(());
    };
    // Another program is asked without a transaction open.
    tx.commit().await?;
    let Some(found) = app
        .tools
        .standing(&held.principal, approval.question.id)
        .await?
    else {
        return Ok(());
    };
    if let Some(onward) = take_in(app, tenant, &approval, found).await? {
        match onward {
            Onward::Ours(held) => worker::spawn(app, *held),
            Onward::Later { run_id, stored } => {
                app.hub.publish(run_id, stored);
                app.look_again.notify_one();
            }
        }
    }
    Ok(())
}

/// A question that the server asked and nobody has answered here.
async fn open(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
) -> Result<Option<Approval>, sqlx::Error> {
    let found = approvals::find(conn, tenant, id).await?;
    Ok(found.filter(|a| {
        a.status == ApprovalStatus::Pending && matches!(a.asked_by, AskedBy::Server { .. })
    }))
}

/// Records what came of a question and sets its run going. A run that is not waiting yet, because it works on its other calls, is left
/// for the next look.
async fn take_in(
    app: &Arc<App>,
    tenant: TenantId,
    seen: &Approval,
    found: ConfirmActionOutput,
) -> Result<Option<Onward>, sqlx::Error> {
    // What is recorded, and what those who follow are told: a yes is a yes, whatever came of it.
    let (status, told) = match found.status {
        // One that has lapsed there lapses here by itself.
        ConfirmationStatus::Open | ConfirmationStatus::Expired => return Ok(None),
        ConfirmationStatus::Done => (ApprovalStatus::Done, ApprovalStatus::Approved),
        ConfirmationStatus::Failed => (ApprovalStatus::Failed, ApprovalStatus::Approved),
        ConfirmationStatus::Declined => (ApprovalStatus::Denied, ApprovalStatus::Denied),
        ConfirmationStatus::Superseded => (ApprovalStatus::Superseded, ApprovalStatus::Superseded),
    };
    let now = app.clock.now();
    let decided = found.decided_by.map(|sub| Decided {
        sub,
        role: None,
        via: "page".to_owned(),
        at: now,
        reason: None,
    });
    if decided.is_none() && status != ApprovalStatus::Superseded {
        tracing::warn!(approval_id = %seen.id, "answered elsewhere by nobody");
        return Ok(None);
    }
    let mut tx = app.begin(tenant).await?;
    // The session first and then the run, as whoever answers here does.
    if sessions::lock(&mut tx, tenant, seen.session)
        .await?
        .is_none()
    {
        return Ok(None);
    }
    let Some((mut held, RunStatus::Waiting)) = journal::lock(&mut tx, tenant, seen.run_id).await?
    else {
        return Ok(None);
    };
    let Some(approval) = open(&mut tx, tenant, seen.id).await? else {
        return Ok(None);
    };
    approvals::settle(&mut tx, tenant, approval.id, status, decided.as_ref()).await?;
    let log = [
        events::resumed(app, &held),
        events::answered(&approval, told, decided.as_ref()),
    ];
    held.machine.call_again(&approval.call.id);
    let onward = waiting::go_on(&mut tx, app, held, &log, now).await?;
    tx.commit().await?;
    metrics::question_stands(told);
    Ok(Some(onward))
}

/// Names no tenant because it has none yet: the one narrow function that hands out questions to look at.
async fn take_open_questions(
    conn: &mut PgConnection,
) -> Result<Vec<(TenantId, Uuid)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select tenant_id as "tenant_id!", approval_id as "approval_id!" from agent.take_open_questions($1, $2)"#,
        AFTER.as_secs_f64() * 1000.0,
        LOOK_MAX
    )
    .fetch_all(conn)
    .await?;
    let taken = rows.into_iter();
    Ok(taken
        .map(|r| (TenantId(r.tenant_id), r.approval_id))
        .collect())
}
