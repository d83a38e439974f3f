//! The HTTP door: `/mcp`, the approval page, bills, health. One router, used by the program and by tests alike.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt as _;
use axum::{Json, Router};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::Layer as _;

use crate::admin::tenants::only_the_operator;
use crate::app::App;
use crate::guard::{self, Guard};
use crate::identity::{introspect, sessions};
#[cfg(not(feature = "conformance-fixtures"))]
use crate::server::Server;
use crate::written::{self, Place};
use crate::{admin, callbacks, pages};

#[cfg(feature = "conformance-fixtures")]
use crate::fixtures::WithFixtures as Server;

/// Largest request body, bytes. The largest sensible bill is a twentieth of it.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
/// Largest reply around a result, bytes: the protocol, what the server says of itself, metadata.
const AROUND_BYTES_MAX: usize = 256 * 1024;
/// How long open requests may take once the program is told to stop.
const DRAIN: Duration = Duration::from_secs(10);

/// Every route.
pub fn router(app: Arc<App>, allowed_hosts: Vec<String>) -> Router {
    let guard = Guard {
        app: Arc::clone(&app),
        allowed_hosts,
    };
    Router::new()
        // MCP, for every client.
        .nest_service(
            "/mcp",
            middleware::from_fn(fill_in).layer(mcp(Arc::clone(&app))),
        )
        // Where a person answers a question that a client could not ask.
        .route("/approvals/{id}", get(pages::show).post(pages::answer))
        // A bill on a page, and as PDF under the same name with `.pdf`.
        .route("/bills/{name}", get(pages::bill))
        // A booking for a calendar, as `.ics`.
        .route("/bookings/{name}", get(pages::booking))
        // What an owner does about the own business.
        .merge(admin::routes())
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(guard.clone(), guard::admit))
        // The agent, which speaks for itself here.
        .merge(
            introspect::routes(&app)
                .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
                .merge(described())
                .merge(sessions::routes(&app))
                // Where people log in and out.
                .merge(pages::login::routes())
                .merge(operator(&app))
                .layer(middleware::from_fn_with_state(guard, guard::own_site)),
        )
        // Providers, who have no token of ours: nothing they say is believed.
        .merge(if app.read_only {
            Router::new()
        } else {
            callbacks::routes()
        })
        // For operators and balancers; tells nothing about any tenant.
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(app)
}

/// What the operator does about the businesses, where there is a key for it.
fn operator(app: &Arc<App>) -> Router<Arc<App>> {
    if app.operator_key.is_none() || app.read_only {
        return Router::new();
    }
    let only = middleware::from_fn_with_state(Arc::clone(app), only_the_operator);
    admin::operator_routes().route_layer(only)
}

/// What this server is to clients of an authorization server; nobody has to have a token yet to read it.
fn described() -> Router<Arc<App>> {
    Router::new()
        .route(guard::METADATA_PATH, get(guard::metadata))
        .route(
            &format!("{}/mcp", guard::METADATA_PATH),
            get(guard::metadata),
        )
}

/// rmcp's own Host and Origin checks stay off: the guard before it checks both, for the pages too. It is not told when the program stops
/// either, because it would answer 500 to every call under way; [`serve`] lets those finish.
fn mcp(app: Arc<App>) -> StreamableHttpService<Server, LocalSessionManager> {
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .disable_allowed_hosts()
        .with_max_request_body_bytes(BODY_BYTES_MAX);
    let server = Server::http(app);
    StreamableHttpService::new(
        move || Ok(server.clone()),
        Arc::new(LocalSessionManager::default()),
        config,
    )
}

/// Gives the handler a place for its result, and fills the reply with what was left there ([`written`]).
async fn fill_in(mut request: Request, next: Next) -> Response {
    let place = Place::default();
    request.extensions_mut().insert(place.clone());
    let response = next.run(request).await;
    let Some(json) = place.left() else {
        return response;
    };
    let (mut parts, body) = response.into_parts();
    let around = match to_bytes(body, AROUND_BYTES_MAX).await {
        Ok(around) => around,
        Err(error) => {
            tracing::error!(%error, "a reply could not be read");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    let whole = written::filled(&around, json).map_or(around, Bytes::from);
    Response::from_parts(parts, Body::from(whole))
}

async fn healthz() -> Response {
    Json(json!({"service": "countersign-mcp-server", "status": "ok"})).into_response()
}

async fn readyz(State(app): State<Arc<App>>) -> Response {
    match tokio::time::timeout(
        Duration::from_secs(2),
        sqlx::query("select 1").execute(&app.pool),
    )
    .await
    {
        Ok(Ok(_)) => {
            Json(json!({"service": "countersign-mcp-server", "status": "ready"})).into_response()
        }
        _ => (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(json!({"service": "countersign-mcp-server", "status": "no database"})),
        )
            .into_response(),
    }
}

/// Takes the port, or says in one sentence why not.
///
/// # Errors
/// The sentence.
pub async fn listen(bind: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(bind).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            anyhow::anyhow!("{bind} is taken, perhaps by another mcp-server. Stop it, or set MCP_BIND to another address.")
        }
        _ => anyhow::anyhow!("Cannot listen on {bind}: {error}. Set MCP_BIND to an address of this machine."),
    })
}

/// Serves until `stop`, then lets open requests finish for at most ten seconds.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
) -> io::Result<()> {
    // Small answers must not wait for the peer's delayed acknowledgement (Nagle).
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    // Who guesses at keys is slowed down by address.
    let router = router.into_make_service_with_connect_info::<SocketAddr>();
    let serving =
        axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
    tokio::select! {
        served = serving.into_future() => served,
        () = async { stop.cancelled().await; tokio::time::sleep(DRAIN).await } => Ok(()),
    }
}
