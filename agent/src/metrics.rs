//! What operators see of an agent: counters of turns, models, tools and questions, kept as they happen, and what waits, read when somebody
//! looks.
//!
//! Labels are bounded: tools are our own by name and others by their server, statuses and routes are ours. No label names a business, a
//! person or a model, and none is a text that somebody wrote.

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Duration;

use contracts::http::approval::ApprovalStatus;
use contracts::http::run::RunStatus;
use metrics::{counter, histogram};
use migrations::telemetry;
use sqlx::PgConnection;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::app::App;
use crate::models::{ModelAnswer, ModelError};
use crate::tools::{CallResult, Unreachable};

/// How long what waits, once read, is told to whoever asks next. Reading it is work for the database.
const WATCHED_FOR: Duration = Duration::from_secs(5);
/// How long whether we are ready is told to whoever asks next: anybody may ask, as often as they like.
const READY_FOR: Duration = Duration::from_millis(500);
/// How long the database may take to answer an operator.
const PATIENCE: Duration = Duration::from_secs(2);
/// What tools of a name that is none of ours are counted under, where they have no server.
const OTHER: &str = "other";

/// Names of our own tools.
static OURS: LazyLock<BTreeSet<&'static str>> = LazyLock::new(|| {
    let sheets = contracts::tools::sheets();
    sheets.iter().map(|sheet| sheet.name).collect()
});

/// A run ends, or waits for a person.
pub(crate) fn run_stands(status: RunStatus) {
    telemetry::metrics();
    counter!("countersign_agent_runs_total", "status" => status.word()).increment(1);
}

/// A model has answered, or has not.
pub(crate) fn model_answered(answer: Result<&ModelAnswer, &ModelError>, begun: Instant) {
    telemetry::metrics();
    let outcome = if answer.is_ok() { "answered" } else { "failed" };
    counter!("countersign_agent_model_calls_total", "outcome" => outcome).increment(1);
    histogram!("countersign_agent_model_seconds").record(begun.elapsed().as_secs_f64());
    if let Ok(answer) = answer {
        let tokens =
            |direction| counter!("countersign_agent_tokens_total", "direction" => direction);
        tokens("input").increment(answer.input_tokens);
        tokens("output").increment(answer.output_tokens);
    }
}

/// A tool was called once. A call that is made again is counted again.
pub(crate) fn tool_called(tool: &str, result: &Result<CallResult, Unreachable>, begun: Instant) {
    telemetry::metrics();
    let tool = label(tool);
    let outcome = match result {
        Ok(CallResult::Done(_)) => "done",
        Ok(CallResult::Asked(_)) => "asked",
        Ok(CallResult::Failed(failure)) if failure.code.is_fault() => "failed",
        Ok(CallResult::Failed(_)) => "refused",
        Err(_) => "lost",
    };
    counter!("countersign_agent_tool_calls_total", "tool" => tool.clone(), "outcome" => outcome)
        .increment(1);
    histogram!("countersign_agent_tool_call_seconds", "tool" => tool)
        .record(begun.elapsed().as_secs_f64());
}

/// Our own tool by its name, somebody else's by its server, whose names are in our settings.
pub(crate) fn label(tool: &str) -> String {
    match (OURS.get(tool), tool.split_once('.')) {
        (Some(ours), _) => (*ours).to_owned(),
        (None, Some((server, _))) => format!("{server}.*"),
        (None, None) => OTHER.to_owned(),
    }
}

/// A question was asked, answered, or is over.
pub(crate) fn question_stands(status: ApprovalStatus) {
    telemetry::metrics();
    counter!("countersign_agent_approvals_total", "status" => status.word()).increment(1);
}

/// An HTTP request has been answered. `route` is the route's own text, never the path that was asked for.
pub(crate) fn requested(route: &str, status: u16) {
    telemetry::metrics();
    counter!("countersign_agent_http_requests_total", "route" => route.to_owned(), "status" => status.to_string())
        .increment(1);
}

/// What was last read for operators, so that asking often costs the database nothing.
#[derive(Debug, Default)]
pub struct Watch {
    waiting: Mutex<Option<(Instant, Option<Waiting>)>>,
    ready: Mutex<Option<(Instant, bool)>>,
}

/// How much waits, over all businesses. Counts end at 10,000.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    runs_queued: i64,
    runs_running: i64,
    runs_waiting: i64,
    approvals_open: i64,
}

/// Whether the agent can take messages, at most half a second ago: its database answers. A tool server that is away is no reason to send
/// people elsewhere, because it is away from there as well.
pub(crate) async fn is_ready(app: &App) -> bool {
    let mut last = app.watch.ready.lock().await;
    if let Some((at, ready)) = *last
        && at.elapsed() < READY_FOR
    {
        return ready;
    }
    let asked = async { read(&mut *app.pool.acquire().await?).await };
    let ready = matches!(timeout(PATIENCE, asked).await, Ok(Ok(_)));
    *last = Some((Instant::now(), ready));
    ready
}

/// Everything, in Prometheus's text.
pub(crate) async fn render(app: &App) -> String {
    let mut text = telemetry::metrics().render();
    gauges(&mut text, app, waiting(app).await);
    text
}

/// What waits, at most five seconds ago; `None` while the database does not say.
async fn waiting(app: &App) -> Option<Waiting> {
    let mut last = app.watch.waiting.lock().await;
    if let Some((at, waiting)) = *last
        && at.elapsed() < WATCHED_FOR
    {
        return waiting;
    }
    let asked = async { read(&mut *app.pool.acquire().await?).await };
    let waiting = match timeout(PATIENCE, asked).await {
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
fn gauges(text: &mut String, app: &App, waiting: Option<Waiting>) {
    telemetry::pool_gauges(text, "countersign_agent_pool_connections", &app.pool);
    let version = concat!("{version=\"", env!("CARGO_PKG_VERSION"), "\"}");
    telemetry::gauge(text, "countersign_agent_build_info", &[(version, 1)]);
    telemetry::gauge(
        text,
        "countersign_agent_database_up",
        &[("", i64::from(waiting.is_some()))],
    );
    let Some(waiting) = waiting else { return };
    telemetry::gauge(
        text,
        "countersign_agent_runs",
        &[
            ("{status=\"queued\"}", waiting.runs_queued),
            ("{status=\"running\"}", waiting.runs_running),
            ("{status=\"waiting\"}", waiting.runs_waiting),
        ],
    );
    telemetry::gauge(
        text,
        "countersign_agent_approvals_open",
        &[("", waiting.approvals_open)],
    );
}

/// Names no tenant because it looks over all of them: the one narrow function that may, and it tells counts.
async fn read(conn: &mut PgConnection) -> Result<Waiting, sqlx::Error> {
    sqlx::query_as!(
        Waiting,
        r#"select runs_queued as "runs_queued!", runs_running as "runs_running!", runs_waiting as "runs_waiting!",
                  approvals_open as "approvals_open!"
           from agent.operations()"#
    )
    .fetch_one(conn)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_one_of_ours_or_a_server_of_the_settings() {
        assert_eq!(label("billing_create_bill"), "billing_create_bill");
        assert_eq!(label("crm.whatever a server calls it"), "crm.*");
        assert_eq!(label("a name that a model made up"), "other");
    }
}
