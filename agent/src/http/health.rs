//! For whoever watches the process: whether it answers, whether it can work, and what it counts.

use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use contracts::http::problem::{Problem, ProblemCode};
use http::header;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::{Refusal, UNAVAILABLE};
use super::slow::Peer;
use crate::app::App;
use crate::config::MetricsDoor;
use crate::metrics;

/// The name by which a client knows that the agent, and nothing else, listens on a port.
pub const SERVICE: &str = "countersign-agent";

/// What answers, and how it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// Always `countersign-agent`.
    #[schema(example = "countersign-agent")]
    pub service: String,
    /// `ok`: a process that cannot answer says nothing. `ready` where that was asked.
    #[schema(example = "ok")]
    pub status: String,
}

fn health(status: &str) -> Json<Health> {
    Json(Health {
        service: SERVICE.to_owned(),
        status: status.to_owned(),
    })
}

/// Answers as long as the process runs; touches no database.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, description = "The process answers.", body = Health)))]
pub async fn healthz() -> Json<Health> {
    health("ok")
}

/// Whether the next message should come here: not while the database does not answer, and not once the program has been told to stop.
#[utoipa::path(
    get, path = "/readyz", tag = "health",
    responses(
        (status = 200, description = "Messages are taken.", body = Health),
        (status = 503, description = "Not now: the database does not answer, or the program stops.", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn readyz(State(app): State<Arc<App>>) -> Result<Json<Health>, Refusal> {
    let not = |why: &'static str| Refusal::new(ProblemCode::Unavailable, UNAVAILABLE).because(why);
    if app.stop.is_cancelled() {
        return Err(not("stopping"));
    }
    if metrics::is_ready(&app).await {
        Ok(health("ready"))
    } else {
        Err(not("no database, or an older schema"))
    }
}

/// The route of `/metrics` among everything else.
pub fn routes() -> Router<Arc<App>> {
    Router::new().route("/metrics", get(metrics_here))
}

/// For whoever is on this machine. A proxy on this machine speaks for others, and says so in its headers; behind one that does not,
/// `METRICS_BIND` is the way.
async fn metrics_here(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refusal> {
    let (peer, headers) = (
        request.extensions().get::<ConnectInfo<Peer>>(),
        request.headers(),
    );
    let near = peer.is_some_and(|ConnectInfo(Peer(peer))| peer.ip().to_canonical().is_loopback());
    let passed_on = ["forwarded", "via", "x-forwarded-for", "x-real-ip"]
        .iter()
        .any(|name| headers.contains_key(*name));
    if near && !passed_on && app.settings.metrics == MetricsDoor::Here {
        Ok(exposition(&app).await)
    } else {
        Err(super::unknown_route().await)
    }
}

/// The router of `METRICS_BIND`: `/metrics` and nothing else.
pub fn metrics_router(app: Arc<App>) -> Router {
    let here = async |State(app): State<Arc<App>>| exposition(&app).await;
    Router::new().route("/metrics", get(here)).with_state(app)
}

async fn exposition(app: &App) -> Response {
    let kind = (
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    );
    ([kind], metrics::render(app).await).into_response()
}
