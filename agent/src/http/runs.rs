//! `GET /agent/runs/{id}`: what happened in a run, from its first event to its last.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use contracts::http::problem::Problem;
use contracts::http::run::RunView;

use super::guard::Caller;
use super::problem::{Refusal, Subject};
use super::read::PathId;
use crate::app::App;
use crate::turns;

/// The trace of a run: its steps, its questions, its events.
#[utoipa::path(
    get, path = "/agent/runs/{id}", tag = "runs",
    params(("id" = Uuid, Path, description = "The run.")),
    responses(
        (status = 200, description = "The trace.", body = RunView),
        (status = 400, description = "The id is no UUID.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Somebody else's run, or a request of another site.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such run.", body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "System error.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Postgres cannot be reached.", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn run(
    State(app): State<Arc<App>>,
    Caller(principal): Caller,
    PathId(run_id): PathId,
) -> Result<Json<RunView>, Refusal> {
    turns::trace(&app, &principal, run_id)
        .await
        .map(Json)
        .map_err(|e| Refusal::from_turn(&e, Subject::Run))
}
