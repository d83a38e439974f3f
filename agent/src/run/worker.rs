//! Who drives runs: takes one, holds its lease, takes over what others left.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use contracts::http::chat::ChatStatus;
use contracts::http::event::EventBody;
use contracts::http::run::RunStatus;
use contracts::ids::TenantId;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::app::App;
use crate::run::journal::{self, Batch, Held};
use crate::run::steps;
use crate::run::stopped::Stopped;
use crate::run::waiting;

/// How often it looks for runs that others left.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Runs taken over per look.
const TAKE_MAX: i32 = 50;

/// Drives a run this process has just taken, in a task of its own.
pub(crate) fn spawn(app: &Arc<App>, held: Held) {
    let mut held = held;
    let begun = std::mem::take(&mut held.begun);
    let live = app.hub.begin(held.run_id, held.last_seq, begun);
    let app = Arc::clone(app);
    let tasks = app.tasks.clone();
    let run_id = held.run_id;
    // A child of the request that set it going, if one did.
    let span = tracing::info_span!("run", %run_id, tenant = %held.principal.tenant);
    let driving = async move {
        drive(&app, held).await;
        // Whoever follows it must look elsewhere for what comes next.
        app.hub.leave(run_id);
        drop(live);
    };
    tasks.spawn(driving.instrument(span));
}

/// Looks for runs nobody holds, until told to stop.
pub async fn look_for_work(app: Arc<App>) {
    loop {
        if let Err(error) = take_over(&app).await {
            tracing::debug!(%error, "looking for work");
        }
        tokio::select! {
            () = app.stop.cancelled() => return,
            () = app.look_again.notified() => {}
            () = tokio::time::sleep(LOOK_EVERY) => app.has_queued.store(false, Ordering::Relaxed),
        }
    }
}

async fn take_over(app: &Arc<App>) -> Result<(), sqlx::Error> {
    let now = app.clock.now();
    let wanted = wanting_a_worker(&mut *app.pool.acquire().await?, now).await?;
    for (tenant, run_id) in wanted {
        let tenant = TenantId(tenant);
        waiting::lapse(app, tenant, run_id).await?;
        let mut tx = app.begin(tenant).await?;
        match journal::take(&mut tx, app, tenant, run_id, now).await {
            Ok(Some(mut held)) => {
                journal::see_window(&mut tx, &mut held).await?;
                tx.commit().await?;
                spawn(app, held);
            }
            Ok(None) => {}
            // Another run of the session began in between.
            Err(sqlx::Error::Database(e))
                if e.constraint() == Some("one_running_run_per_session") => {}
            Err(error) => tracing::error!(%run_id, %error, "run cannot be taken over"),
        }
    }
    Ok(())
}

/// Goes on until the run waits, is over, or is lost.
async fn drive(app: &Arc<App>, mut held: Held) {
    let run_id = held.run_id;
    let (tenant, lease) = (held.principal.tenant, held.lease);
    if held.resumptions > 0 {
        tracing::info!(%run_id, resumptions = held.resumptions, "going on with a run another worker left");
    }
    let mut batch = Batch::default();
    let stopped = {
        let going = tokio::time::timeout(
            app.settings.run_deadline,
            steps::go(app, &mut held, &mut batch),
        );
        tokio::select! {
            done = going => done.unwrap_or_else(|_| Err(Stopped::Fail {
                message: "System error. Please try again.", unavailable: false, cause: "the run's time is up".to_owned(),
            })),
            () = hold(app, tenant, run_id, lease) => Err(Stopped::Leave),
        }
    };
    if let Err(Stopped::Fail {
        message,
        unavailable,
        cause,
    }) = stopped
    {
        tracing::error!(%run_id, cause, "run failed");
        batch.events.push(EventBody::Failed {
            message: message.to_owned(),
            unavailable,
        });
        batch.events.push(EventBody::Finished {
            status: ChatStatus::Error,
            usage: held.machine.usage,
        });
        batch.said = Some(message.to_owned());
        if let Err(error) = journal::flush(app, &mut held, &mut batch, RunStatus::Failed).await {
            tracing::warn!(%run_id, %error, "failure not stored");
        }
    }
    // A look costs as much as a commit, so there is none after a run that nobody waits for.
    if held.is_waited_for || app.has_queued.load(Ordering::Relaxed) {
        app.look_again.notify_one();
    }
}

/// Renews the lease; returns when it is lost.
async fn hold(app: &App, tenant: TenantId, run_id: Uuid, lease: Uuid) {
    loop {
        tokio::time::sleep(app.settings.lease / 3).await;
        match journal::renew(app, tenant, run_id, lease).await {
            Ok(true) => {}
            Ok(false) => return,
            // Without a database nobody else can take it either.
            Err(error) => tracing::debug!(%run_id, %error, "lease not renewed"),
        }
    }
}

/// Names no tenant because it has none yet: the one narrow function that may look across.
async fn wanting_a_worker(
    conn: &mut sqlx::PgConnection,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<Vec<(Uuid, Uuid)>, sqlx::Error> {
    let rows = sqlx::query!(r#"select tenant_id as "tenant_id!", run_id as "run_id!" from agent.runs_wanting_a_worker($1, $2)"#, now, TAKE_MAX)
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().map(|r| (r.tenant_id, r.run_id)).collect())
}
