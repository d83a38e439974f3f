//! Work that is done after the answer: what providers are asked, what others are told, what lapses.
//!
//! What is due, and when, stands in the business's own tables and is judged by the program's clock. A look around every second puts jobs
//! for it into the queue; whoever wants one at once enqueues it in its own transaction. So a job that is lost is found again, and one that
//! runs twice finds nothing left to do: each claims its row before it works. Payloads are ids, never data that may be stale by then.
//!
//! The queue itself is `graphile_worker`: claims, retries, jobs of dead processes. Any number of replicas may work on it.

mod ask_provider;
mod deliver_events;
mod expire_holds;
mod relay_events;
mod remind_of_bookings;

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use contracts::ids::TenantId;
use graphile_worker::{
    IntoTaskHandlerResult, LocalQueueConfig, RefetchDelayConfig, TaskHandler, WorkerContext,
    WorkerOptions, WorkerRecoveryConfig,
};
use migrations::database::{queue, sessions};
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
/// How often the queue is asked where Postgres does not tell of new jobs (behind a pooler in transaction mode). Also how long an empty queue
/// rests: without a rest the library asks it again at once, thousands of times a second. One new job ends the rest.
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
    wanted.extend(ask_provider::due(&mut conn, now, DUE_MAX).await?);
    wanted.extend(expire_holds::due(&mut conn, now, DUE_MAX).await?);
    wanted.extend(remind_of_bookings::due(&mut conn, now, DUE_MAX).await?);
    enqueue(&mut conn, &wanted).await
}

/// Has the provider of a payment asked right after the caller's commit.
///
/// # Errors
/// When the database fails.
pub(crate) async fn ask_soon(
    conn: &mut PgConnection,
    tenant: Uuid,
    payment: Uuid,
) -> Result<(), sqlx::Error> {
    enqueue(conn, &[ask_provider::wanted(tenant, payment)]).await
}

/// A provider (`momo`, `stripe`) has said something about a payment: it is asked at once what is true. False when we know of no such payment.
///
/// # Errors
/// When the database fails.
pub(crate) async fn ask_at_once(app: &App, provider: &str, id: Uuid) -> Result<bool, CallError> {
    ask_provider::at_once(app, provider, id).await
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
    let pool = queue_pool(&app.direct);
    let can_be_told = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        can = can_be_told(&pool) => can.map_err(|error| error.to_string())?,
    };
    let recovery = WorkerRecoveryConfig::default()
        .heartbeat_interval(HEARTBEAT)
        .sweep_interval(HEARTBEAT)
        .sweep_threshold(HEARTBEAT * 3)
        .recovery_delay(Duration::from_secs(1));
    let rest = RefetchDelayConfig::default()
        .with_duration(POLL_EVERY)
        .with_max_abort_threshold(1);
    let worker = WorkerOptions::default()
        .schema(queue::SCHEMA)
        .pg_pool(pool.clone())
        .concurrency(CONCURRENCY)
        .poll_interval(POLL_EVERY)
        .use_notification_delivery(can_be_told)
        .local_queue(
            LocalQueueConfig::default()
                .with_size(FETCHED_MAX)
                .with_refetch_delay(rest),
        )
        .worker_recovery(recovery)
        .listen_os_shutdown_signals(false)
        .shutdown_signal(stop.clone().cancelled_owned())
        .shutdown_grace_period(GRACE)
        .shutdown_interrupted_job_retry_delay(Duration::from_secs(1))
        .add_extension(Workplace(Arc::clone(app)))
        .define_job::<Task<ask_provider::AskProvider>>()
        .define_job::<Task<expire_holds::ExpireHolds>>()
        .define_job::<Task<remind_of_bookings::RemindOfBookings>>()
        .define_job::<Task<relay_events::RelayEvents>>()
        .define_job::<Task<deliver_events::DeliverEvents>>();
    let worked = match worker.init().await {
        Ok(worker) => worker.run().await.map_err(|e| e.to_string()),
        Err(error) => Err(error.to_string()),
    };
    pool.close().await;
    worked
}

/// Whether Postgres can tell this process of new jobs. Where it cannot they are found by asking, and nothing listens: a pooler would hand what
/// is told to somebody else's call.
async fn can_be_told(pool: &PgPool) -> Result<bool, sqlx::Error> {
    let can = sessions::are_own(pool).await?;
    if !can {
        tracing::warn!(
            "a pooler gives the job queue's connections away after every transaction, so nothing tells of new jobs and they wait up to a second; \
             give DATABASE_DIRECT_URL an address of Postgres itself"
        );
    }
    Ok(can)
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use migrations::clock::SystemClock;
    use migrations::database::Role;
    use migrations::test_database::TestDatabase;

    use super::*;

    /// Far less than a backlog takes that drains by the second.
    const PATIENCE: Duration = Duration::from_secs(15);

    struct Stage {
        app: Arc<App>,
        owner: PgPool,
        stop: CancellationToken,
        database: TestDatabase,
    }

    impl Stage {
        async fn new() -> Stage {
            let database = TestDatabase::new().await;
            let pool = database.pool(Role::Shop).await;
            let clock = Arc::new(SystemClock);
            let app = App::new(pool, clock, String::new(), [0; 32], [0; 32]);
            Stage {
                app: Arc::new(app),
                owner: database.owner_pool().await,
                stop: CancellationToken::new(),
                database,
            }
        }

        fn start(&self) -> tokio::task::JoinHandle<()> {
            tokio::spawn(run(Arc::clone(&self.app), self.stop.clone()))
        }

        /// Jobs of shops that have nothing to tell: they end at once.
        async fn enqueue(&self, count: u128) {
            let job = |n| {
                let id = Uuid::from_u128(n);
                Wanted::of::<relay_events::RelayEvents>(id, id)
            };
            let jobs: Vec<Wanted> = (1..=count).map(job).collect();
            let mut conn = self.app.pool.acquire().await.unwrap();
            enqueue(&mut conn, &jobs).await.unwrap();
        }

        async fn jobs(&self) -> i64 {
            sqlx::query_scalar("select count(*) from graphile_worker._private_jobs")
                .fetch_one(&self.owner)
                .await
                .unwrap()
        }

        async fn run_sql(&self, sql: &'static str) {
            sqlx::query(sql).execute(&self.owner).await.unwrap();
        }

        async fn until_empty(&self) {
            let started = Instant::now();
            while self.jobs().await > 0 {
                assert!(
                    started.elapsed() < PATIENCE,
                    "{} jobs are left after {} s",
                    self.jobs().await,
                    PATIENCE.as_secs()
                );
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// Without `local_queue` the library starts eight of them a second, and this takes fifty.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_backlog_drains_and_stopping_waits_for_nothing() {
        let stage = Stage::new().await;
        stage.enqueue(400).await;
        stage.enqueue(400).await;
        assert_eq!(stage.jobs().await, 400, "one key, one job");
        let working = stage.start();
        stage.until_empty().await;
        let stopping = Instant::now();
        stage.stop.cancel();
        working.await.unwrap();
        assert!(
            stopping.elapsed() < Duration::from_secs(3),
            "{:?}",
            stopping.elapsed()
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn jobs_of_a_dead_process_and_jobs_nobody_told_of_are_found() {
        let stage = Stage::new().await;
        stage.enqueue(3).await;
        // Claimed by a process that was last heard of an hour ago.
        stage
            .run_sql("update graphile_worker._private_jobs set locked_by = 'gone', locked_at = now() - interval '1 hour'")
            .await;
        stage
            .run_sql("insert into graphile_worker._private_workers (id, last_heartbeat_at) values ('gone', now() - interval '1 hour')")
            .await;
        let working = stage.start();
        stage.until_empty().await;
        // Behind a pooler nothing is told: the row alone must be enough.
        stage
            .run_sql(
                "insert into graphile_worker._private_jobs (task_id, payload)
                 select id, '{\"tenant\": \"00000000-0000-0000-0000-000000000001\", \"id\": \"00000000-0000-0000-0000-000000000001\"}'
                 from graphile_worker._private_tasks where identifier = 'relay_events'",
            )
            .await;
        stage.until_empty().await;
        stage.stop.cancel();
        working.await.unwrap();
    }

    /// A shop that does nothing asks its database next to nothing, and still begins a new job at once.
    #[tokio::test(flavor = "multi_thread")]
    async fn an_idle_queue_rests_until_there_is_a_job() {
        let stage = Stage::new().await;
        let working = stage.start();
        stage.enqueue(1).await;
        stage.until_empty().await;
        let commits = async || -> i64 {
            let sql = "select xact_commit from pg_stat_database where datname = current_database()";
            sqlx::query_scalar(sql)
                .fetch_one(&stage.owner)
                .await
                .unwrap()
        };
        let before = commits().await;
        // A rate cannot be waited for.
        tokio::time::sleep(Duration::from_secs(4)).await;
        let made = commits().await - before;
        assert!(made < 100, "{made} transactions in four idle seconds");
        stage.enqueue(1).await;
        let waited = Instant::now();
        stage.until_empty().await;
        assert!(
            waited.elapsed() < Duration::from_millis(500),
            "{:?}",
            waited.elapsed()
        );
        stage.stop.cancel();
        working.await.unwrap();
    }

    /// Two replicas, and a program whose role may do no more than the queue needs.
    #[tokio::test(flavor = "multi_thread")]
    async fn replicas_share_the_queue_and_a_rolled_back_wish_is_none() {
        let stage = Stage::new().await;
        let other = {
            let pool = stage.database.pool(Role::Shop).await;
            let clock = Arc::new(SystemClock);
            Arc::new(App::new(pool, clock, String::new(), [0; 32], [0; 32]))
        };
        let mut tx = stage.app.pool.begin().await.unwrap();
        let job = Wanted::of::<relay_events::RelayEvents>(Uuid::nil(), Uuid::nil());
        enqueue(&mut tx, &[job]).await.unwrap();
        tx.rollback().await.unwrap();
        assert_eq!(stage.jobs().await, 0);
        let working = [stage.start(), tokio::spawn(run(other, stage.stop.clone()))];
        stage.enqueue(200).await;
        stage.until_empty().await;
        stage.stop.cancel();
        for one in working {
            one.await.unwrap();
        }
    }
}
