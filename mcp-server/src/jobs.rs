//! Work that is done after the answer: what providers are asked, what others are told, what lapses.
//!
//! What is due, and when, stands in the business's own tables and is judged by the program's clock. A look around every second puts jobs
//! for it into the queue; whoever wants one at once enqueues it in its own transaction. So a job that is lost is found again, and one that
//! runs twice finds nothing left to do: each claims its row before it works. Payloads are ids, never data that may be stale by then.
//!
//! The queue itself is `graphile_worker`: claims, retries, jobs of dead processes. Any number of replicas may work on it.

mod deliver_events;
mod relay_events;

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use contracts::ids::TenantId;
use graphile_worker::{
    IntoTaskHandlerResult, LocalQueueConfig, TaskHandler, WorkerContext, WorkerOptions,
    WorkerRecoveryConfig,
};
use migrations::database::queue;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::app::App;
use crate::error::CallError;

/// How often somebody looks for what is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Most jobs of one kind that one look puts into the queue.
const DUE_MAX: i32 = 200;
/// Jobs that run at once. Most of them wait for somebody else's server.
const CONCURRENCY: usize = 8;
/// Jobs fetched ahead. A queue without it starts no more than [`CONCURRENCY`] jobs a second.
const FETCHED_MAX: usize = 40;
/// How often the queue is asked where Postgres does not tell of new jobs (behind a pooler).
const POLL_EVERY: Duration = Duration::from_secs(1);
/// How long jobs may go on once the program is told to stop; those that are cut off are repeated.
const GRACE: Duration = Duration::from_secs(8);
/// How often a worker says that it lives; one that has not for three times as long is dead and its jobs are given to others.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Connections of the queue: one that listens, one that fetches, one that reports.
const CONNECTIONS: u32 = 3;
/// How long a broken queue rests before it is started again.
const PAUSE: Duration = Duration::from_secs(5);

/// One kind of job.
trait Job: Send + Sync + 'static {
    /// Its name in the queue. Never changed: older jobs may be waiting.
    const NAME: &'static str;

    /// Does it, in transactions of its own. Called again after an error, a crash, or for no reason at all.
    fn run(
        app: &App,
        tenant: TenantId,
        id: Uuid,
    ) -> impl Future<Output = Result<(), CallError>> + Send;
}

/// A job that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    name: &'static str,
    tenant: Uuid,
    id: Uuid,
}

impl Wanted {
    fn of<J: Job>(tenant: Uuid, id: Uuid) -> Wanted {
        Wanted {
            name: J::NAME,
            tenant,
            id,
        }
    }

    /// What makes two of them the same.
    fn key(&self) -> String {
        format!("{}:{}:{}", self.name, self.tenant, self.id)
    }

    fn payload(&self) -> Value {
        serde_json::json!({"tenant": self.tenant, "id": self.id})
    }
}

/// Puts jobs into the queue with the caller's commit. One that is there already is not put there again.
///
/// # Errors
/// When the database fails.
pub(crate) async fn enqueue(conn: &mut PgConnection, jobs: &[Wanted]) -> Result<(), sqlx::Error> {
    if jobs.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = jobs.iter().map(|j| j.name.to_owned()).collect();
    let payloads: Vec<Value> = jobs.iter().map(Wanted::payload).collect();
    let keys: Vec<String> = jobs.iter().map(Wanted::key).collect();
    add_jobs(conn, &names, &payloads, &keys).await
}

/// Looks for what is due and puts it into the queue.
///
/// # Errors
/// When the database fails.
pub async fn look(app: &App) -> Result<(), sqlx::Error> {
    let now = app.clock.now();
    let mut conn = app.pool.acquire().await?;
    let mut wanted = relay_events::due(&mut conn, DUE_MAX).await?;
    wanted.extend(deliver_events::due(&mut conn, now, DUE_MAX).await?);
    enqueue(&mut conn, &wanted).await
}

/// Looks and works until stopped, then lets running jobs end.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    tokio::join!(keep_looking(&app, &stop), keep_working(&app, &stop));
}

async fn keep_looking(app: &App, stop: &CancellationToken) {
    let mut fails = false;
    loop {
        match look(app).await {
            Ok(()) => fails = false,
            // Once per trouble, not once a second.
            Err(error) if !fails => {
                fails = true;
                tracing::warn!(%error, "looking for due work");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

async fn keep_working(app: &Arc<App>, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = work(app, stop).await {
            tracing::warn!(%error, "the job queue");
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Works until stopped or until the queue breaks.
async fn work(app: &Arc<App>, stop: &CancellationToken) -> Result<(), String> {
    let pool = queue_pool(&app.pool);
    let recovery = WorkerRecoveryConfig::default()
        .heartbeat_interval(HEARTBEAT)
        .sweep_interval(HEARTBEAT)
        .sweep_threshold(HEARTBEAT * 3)
        .recovery_delay(Duration::from_secs(1));
    let worker = WorkerOptions::default()
        .schema(queue::SCHEMA)
        .pg_pool(pool.clone())
        .concurrency(CONCURRENCY)
        .poll_interval(POLL_EVERY)
        .local_queue(LocalQueueConfig::default().with_size(FETCHED_MAX))
        .worker_recovery(recovery)
        .listen_os_shutdown_signals(false)
        .shutdown_signal(stop.clone().cancelled_owned())
        .shutdown_grace_period(GRACE)
        .shutdown_interrupted_job_retry_delay(Duration::from_secs(1))
        .add_extension(Workplace(Arc::clone(app)))
        .define_job::<Task<relay_events::RelayEvents>>()
        .define_job::<Task<deliver_events::DeliverEvents>>();
    let worked = match worker.init().await {
        Ok(worker) => worker.run().await.map_err(|e| e.to_string()),
        Err(error) => Err(error.to_string()),
    };
    pool.close().await;
    worked
}

/// Connections of its own, because one of them only listens, and because the queue must not wait for the calls of clients.
fn queue_pool(pool: &PgPool) -> PgPool {
    pool.options()
        .clone()
        .max_connections(CONNECTIONS)
        .connect_lazy_with(pool.connect_options().as_ref().clone())
}

/// What jobs work with.
#[derive(Clone)]
struct Workplace(Arc<App>);

impl std::fmt::Debug for Workplace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Workplace")
    }
}

/// A job as the queue knows it.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
struct Task<J> {
    tenant: Uuid,
    id: Uuid,
    #[serde(skip)]
    kind: PhantomData<J>,
}

impl<J: Job> TaskHandler for Task<J> {
    const IDENTIFIER: &'static str = J::NAME;

    #[expect(
        clippy::manual_async_fn,
        reason = "the trait wants a future that owns what it works with"
    )]
    fn run(
        self,
        context: WorkerContext,
    ) -> impl Future<Output = impl IntoTaskHandlerResult> + Send + 'static {
        async move {
            let Some(Workplace(app)) = context.get_ext::<Workplace>() else {
                return Err("no workplace".to_owned());
            };
            let (tenant, id) = (TenantId(self.tenant), self.id);
            J::run(app, tenant, id).await.map_err(|error| {
                tracing::warn!(job = J::NAME, %tenant, %id, %error, "a job failed and will be repeated");
                error.to_string()
            })
        }
    }
}

async fn add_jobs(
    conn: &mut PgConnection,
    names: &[String],
    payloads: &[Value],
    keys: &[String],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"select shop.add_job(j.name, j.payload::json, j.key) as "added!: ()"
           from unnest($1::text[], $2::jsonb[], $3::text[]) as j (name, payload, key) order by j.key"#,
        names,
        payloads,
        keys
    )
    .fetch_all(conn)
    .await?;
    Ok(())
}
