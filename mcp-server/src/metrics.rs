//! What operators see of a server: counters of calls and requests, kept as they happen, and what waits, read when somebody looks.
//!
//! Labels are bounded: names of tools, outcomes, codes and routes are ours, a status has three digits. No label names a business or a
//! person. A counted call costs two additions and one sample; nothing is looked up by text but the tool's name, once.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use chrono::{DateTime, Utc};
use metrics::{Counter, Histogram, counter, histogram};
use migrations::database::{self, NotReady, Role};
use migrations::telemetry;
use sqlx::PgConnection;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::app::App;
use crate::call::Answer;

/// How long what waits, once read, is told to whoever asks next. Reading it is work for the database.
const WATCHED_FOR: Duration = Duration::from_secs(5);
/// How long whether we are ready is told to whoever asks next: anybody may ask, as often as they like.
const READY_FOR: Duration = Duration::from_millis(500);
/// How long the database may take to answer an operator.
const PATIENCE: Duration = Duration::from_secs(2);

/// What calls of a name that is none of ours are counted under.
const OTHER: &str = "other";

static TOOLS: LazyLock<BTreeMap<&'static str, OfTool>> = LazyLock::new(|| {
    // Before the handles: those taken while nobody keeps counters count nothing.
    telemetry::metrics();
    let sheets = contracts::tools::sheets();
    let names = sheets.iter().map(|sheet| sheet.name).chain([OTHER]);
    names.map(|name| (name, OfTool::new(name))).collect()
});

/// The counters of one tool.
struct OfTool {
    name: &'static str,
    done: Counter,
    asked: Counter,
    refused: Counter,
    failed: Counter,
    took: Histogram,
}

impl OfTool {
    fn new(tool: &'static str) -> OfTool {
        let calls = |outcome: &'static str| counter!("countersign_calls_total", "tool" => tool, "outcome" => outcome);
        OfTool {
            name: tool,
            done: calls("done"),
            asked: calls("asked"),
            refused: calls("refused"),
            failed: calls("failed"),
            took: histogram!("countersign_call_seconds", "tool" => tool),
        }
    }
}

/// A call that is under way.
pub(crate) struct Measured {
    tool: &'static OfTool,
    begun: Instant,
}

impl Measured {
    /// A call of a tool begins. Dropped without an end, because its client went away, it is not counted.
    pub(crate) fn begin(tool: &str) -> Measured {
        let known = TOOLS.get(tool).or_else(|| TOOLS.get(OTHER));
        static NONE: LazyLock<OfTool> = LazyLock::new(|| OfTool::new(OTHER));
        Measured {
            tool: known.unwrap_or_else(|| &NONE),
            begun: Instant::now(),
        }
    }

    /// It has been answered.
    pub(crate) fn end(self, answer: &Answer) {
        let tool = self.tool;
        tool.took.record(self.begun.elapsed().as_secs_f64());
        match answer {
            Answer::Done(_) => tool.done.increment(1),
            Answer::Asked(_) => tool.asked.increment(1),
            Answer::Refused(failure) => {
                let code = serde_json::to_value(failure.code).unwrap_or_default();
                let code = code.as_str().unwrap_or(OTHER).to_owned();
                counter!("countersign_refusals_total", "tool" => tool.name, "code" => code)
                    .increment(1);
                if failure.code.is_fault() {
                    tool.failed.increment(1);
                } else {
                    tool.refused.increment(1);
                }
            }
        }
    }
}

/// An HTTP request has been answered. `route` is the route's own text, never the path that was asked for.
pub(crate) fn requested(route: &str, status: u16) {
    telemetry::metrics();
    counter!("countersign_http_requests_total", "route" => route.to_owned(), "status" => status.to_string())
        .increment(1);
}

/// What was last read for operators, so that asking often costs the database nothing.
#[derive(Debug, Default)]
pub struct Watch {
    waiting: Mutex<Option<(Instant, Option<Waiting>)>>,
    ready: Mutex<Option<(Instant, Result<(), NotReady>)>>,
}

/// How much waits, over all businesses. Counts end at 10,000.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    outbox_waiting: i64,
    outbox_oldest_at: Option<DateTime<Utc>>,
    deliveries_pending: i64,
    deliveries_dead: i64,
    jobs_ready: i64,
    jobs_running: i64,
    jobs_failed: i64,
    confirmations_open: i64,
    payments_open: i64,
}

/// Whether the server can take calls, at most half a second ago.
pub(crate) async fn readiness(app: &App) -> Result<(), NotReady> {
    let mut last = app.watch.ready.lock().await;
    if let Some((at, ready)) = *last
        && at.elapsed() < READY_FOR
    {
        return ready;
    }
    let ready = timeout(
        PATIENCE,
        database::readiness(&app.pool, Role::Shop, app.read_only),
    )
    .await
    .unwrap_or(Err(NotReady::Database));
    *last = Some((Instant::now(), ready));
    ready
}

/// Everything, in Prometheus's text.
pub(crate) async fn render(app: &App) -> String {
    let mut text = telemetry::metrics().render();
    let now = app.clock.now();
    gauges(&mut text, app, waiting(app, now).await, now);
    text
}

/// What waits, at most five seconds ago; `None` while the database does not say.
async fn waiting(app: &App, now: DateTime<Utc>) -> Option<Waiting> {
    let mut last = app.watch.waiting.lock().await;
    if let Some((at, waiting)) = *last
        && at.elapsed() < WATCHED_FOR
    {
        return waiting;
    }
    let read = async { read(&mut *app.pool.acquire().await?, now).await };
    let waiting = match timeout(PATIENCE, read).await {
        Ok(Ok(waiting)) => Some(waiting),
        Ok(Err(error)) => {
            tracing::warn!(%error, "what waits could not be read for operators");
            None
        }
        Err(_) => None,
    };
    *last = Some((Instant::now(), waiting));
    waiting
}

/// The gauges, written here rather than kept: what cannot be read is left out, not shown as it last was.
fn gauges(text: &mut String, app: &App, waiting: Option<Waiting>, now: DateTime<Utc>) {
    telemetry::pool_gauges(text, "countersign_pool_connections", &app.pool);
    let version = concat!(
        "{program=\"mcp-server\",version=\"",
        env!("CARGO_PKG_VERSION"),
        "\"}"
    );
    telemetry::gauge(text, "countersign_build_info", &[(version, 1)]);
    if let Some(bytes) = resident_bytes() {
        telemetry::gauge(text, "process_resident_memory_bytes", &[("", bytes)]);
    }
    telemetry::gauge(
        text,
        "countersign_database_up",
        &[("", i64::from(waiting.is_some()))],
    );
    let Some(waiting) = waiting else { return };
    let age = waiting
        .outbox_oldest_at
        .map_or(0, |at| (now - at).num_seconds());
    telemetry::gauge(
        text,
        "countersign_outbox_waiting",
        &[("", waiting.outbox_waiting)],
    );
    telemetry::gauge(
        text,
        "countersign_outbox_oldest_seconds",
        &[("", age.max(0))],
    );
    telemetry::gauge(
        text,
        "countersign_deliveries",
        &[
            ("{state=\"pending\"}", waiting.deliveries_pending),
            ("{state=\"dead\"}", waiting.deliveries_dead),
        ],
    );
    telemetry::gauge(
        text,
        "countersign_jobs",
        &[
            ("{state=\"ready\"}", waiting.jobs_ready),
            ("{state=\"running\"}", waiting.jobs_running),
            ("{state=\"failed\"}", waiting.jobs_failed),
        ],
    );
    telemetry::gauge(
        text,
        "countersign_confirmations_open",
        &[("", waiting.confirmations_open)],
    );
    telemetry::gauge(
        text,
        "countersign_payments_open",
        &[("", waiting.payments_open)],
    );
}

/// Memory of this process that is in RAM, bytes. Only Linux tells it in a file.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Names no tenant because it looks over all of them: the one narrow function that may, and it tells counts.
async fn read(conn: &mut PgConnection, now: DateTime<Utc>) -> Result<Waiting, sqlx::Error> {
    sqlx::query_as!(
        Waiting,
        r#"select outbox_waiting as "outbox_waiting!", outbox_oldest_at, deliveries_pending as "deliveries_pending!",
                  deliveries_dead as "deliveries_dead!", jobs_ready as "jobs_ready!", jobs_running as "jobs_running!",
                  jobs_failed as "jobs_failed!", confirmations_open as "confirmations_open!", payments_open as "payments_open!"
           from shop.operations($1)"#,
        now
    )
    .fetch_one(conn)
    .await
}
