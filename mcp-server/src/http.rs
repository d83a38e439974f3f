//! The HTTP door: `/mcp`, the approval page, bills, health. One router, used by the program and by tests alike.

pub(crate) mod turns;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, DefaultBodyLimit, MatchedPath, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
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
use crate::caller::Caller;
use crate::changes::Beginning;
use crate::guard::{self, Guard};
use crate::identity::{introspect, sessions};
#[cfg(not(feature = "conformance-fixtures"))]
use crate::server::Server;
use crate::server::{icons, is_to_listen};
use crate::written::{self, Place};
use crate::{admin, callbacks, metrics, pages};

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
            middleware::from_fn_with_state(Arc::clone(&app), turns::take).layer(
                middleware::from_fn_with_state(Arc::clone(&app), read_ahead)
                    .layer(middleware::from_fn(fill_in).layer(mcp(Arc::clone(&app)))),
            ),
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
        // Pictures of the toolsets, which clients show beside the tools.
        .route("/icons/{name}", get(icon))
        // For operators and balancers; tells nothing about any tenant.
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_here))
        .layer(middleware::from_fn(counted))
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

/// What there is is read before a client is told that it listens: whatever it does after that is news to it.
async fn read_ahead(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let caller = request.extensions().get::<Caller>().cloned();
    if is_to_listen(request.headers())
        && let Some(caller) = caller
        && let Ok(beginning) = Beginning::read(&app, &caller).await
    {
        request.extensions_mut().insert(beginning);
    }
    next.run(request).await
}

/// A picture of a toolset: the same for everybody, so nobody has to say who they are.
async fn icon(Path(name): Path<String>) -> Response {
    let Some(file) = icons::file(&name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, icons::SVG),
        (header::CACHE_CONTROL, "public, max-age=86400"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Nothing but a picture, wherever it is opened.
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'"),
    ];
    (headers, file).into_response()
}

async fn healthz() -> Response {
    Json(json!({"service": "countersign-mcp-server", "status": "ok"})).into_response()
}

/// Whether the next request should come here: not while something is missing, and not once the program has been told to stop.
async fn readyz(State(app): State<Arc<App>>) -> Response {
    let status =
        |status: &str| Json(json!({"service": "countersign-mcp-server", "status": status}));
    if app.stopping.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, status("stopping")).into_response();
    }
    match metrics::readiness(&app).await {
        Ok(()) => status("ready").into_response(),
        Err(missing) => (
            StatusCode::SERVICE_UNAVAILABLE,
            status(&missing.to_string()),
        )
            .into_response(),
    }
}

/// `/metrics` among everything else: for whoever is on this machine and asks for it by a name of this machine. A proxy on this machine
/// speaks for others, and says so in its headers or in the name; behind one that does neither, `METRICS_BIND` is the way.
async fn metrics_here(State(app): State<Arc<App>>, request: Request) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let near = peer.is_some_and(|ConnectInfo(peer)| peer.ip().to_canonical().is_loopback());
    if !near || !app.metrics_here || is_passed_on(request.headers()) {
        return StatusCode::NOT_FOUND.into_response();
    }
    if guard::same_site(request.headers(), &[]).is_err() {
        return StatusCode::NOT_FOUND.into_response();
    }
    exposition(&app).await
}

/// Whether a proxy brought the request.
fn is_passed_on(headers: &HeaderMap) -> bool {
    ["forwarded", "via", "x-forwarded-for", "x-real-ip"]
        .iter()
        .any(|name| headers.contains_key(*name))
}

/// The router of `METRICS_BIND`: `/metrics` and nothing else.
pub fn metrics_router(app: Arc<App>) -> Router {
    Router::new()
        .route(
            "/metrics",
            get(async |State(app): State<Arc<App>>| exposition(&app).await),
        )
        .with_state(app)
}

async fn exposition(app: &App) -> Response {
    let kind = (
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    );
    ([kind], metrics::render(app).await).into_response()
}

/// Counts a request under its route.
async fn counted(route: Option<MatchedPath>, request: Request, next: Next) -> Response {
    // What is nested has no path of its own.
    let nested = request.uri().path().starts_with("/mcp");
    let response = next.run(request).await;
    let route = match &route {
        Some(route) => route.as_str(),
        None if nested => "/mcp",
        None => "other",
    };
    metrics::requested(route, response.status().as_u16());
    response
}

/// Takes the port, or says in one sentence why not.
///
/// # Errors
/// The sentence.
pub async fn listen(bind: SocketAddr) -> anyhow::Result<TcpListener> {
    listen_for(bind, "MCP_BIND").await
}

/// [`listen`], for the address of another setting.
///
/// # Errors
/// The sentence.
pub async fn listen_for(bind: SocketAddr, setting: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(bind).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            anyhow::anyhow!("{bind} is taken, perhaps by another mcp-server. Stop it, or set {setting} to another address.")
        }
        _ => anyhow::anyhow!("Cannot listen on {bind}: {error}. Set {setting} to an address of this machine."),
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
