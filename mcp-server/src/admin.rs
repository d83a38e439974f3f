//! The owner's administration under `/admin/v1/…`, and the operator's of the whole installation (SPEC 4.1).
//!
//! What an owner does stays within the owner's tenant: nothing in a path or a body names one. Each change and its one audit row are one
//! transaction. The command line (`cli`) calls the same routes without a socket, as the local owner or operator.

pub(crate) mod audit;
pub(crate) mod keys;
mod page;
pub(crate) mod people;
pub(crate) mod policies;
pub(crate) mod problem;
pub(crate) mod settings;
pub(crate) mod tenants;
pub(crate) mod webhooks;

use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::{delete, get, patch, post, put};
use axum::{Router, middleware};
use contracts::token::PrincipalRole;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::PgConnection;
use tower::ServiceExt as _;

use crate::app::App;
use crate::audit::{self as trail, Administered};
use crate::caller::{Caller, Door};
use crate::handler::Audit;
use problem::{Code, Problem};
use tenants::Operator;

/// Largest body, bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Largest answer the command line reads, bytes: a full page of the audit log.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What an owner may do about the own business.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route(
            "/admin/v1/settings",
            get(settings::show).patch(settings::change),
        )
        .route("/admin/v1/policies", get(policies::list))
        .route(
            "/admin/v1/policies/{tool}",
            put(policies::set)
                .get(policies::show)
                .delete(policies::clear),
        )
        .route("/admin/v1/people", get(people::list).post(people::add))
        .route("/admin/v1/people/{subject}", patch(people::change))
        .route("/admin/v1/keys", get(keys::list).post(keys::create))
        .route("/admin/v1/keys/{name}", delete(keys::revoke))
        .route(
            "/admin/v1/webhooks",
            get(webhooks::list).post(webhooks::add),
        )
        .route("/admin/v1/webhooks/{id}", delete(webhooks::remove))
        .route("/admin/v1/webhooks/deliveries", get(webhooks::deliveries))
        .route(
            "/admin/v1/webhooks/deliveries/{event}/retry",
            post(webhooks::retry),
        )
        .route("/admin/v1/audit", get(audit::list))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::map_response(kept_by_nobody))
}

/// What the operator may do about the businesses.
pub(crate) fn operator_routes() -> Router<Arc<App>> {
    Router::new()
        .route(
            "/admin/v1/tenants",
            get(tenants::list).post(tenants::create),
        )
        .route("/admin/v1/tenants/{id}", patch(tenants::change))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::map_response(kept_by_nobody))
}

/// Answers hold secrets that are shown once, and what people did.
async fn kept_by_nobody(mut response: Response) -> Response {
    let no_store = HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, no_store);
    response
}

/// The owner of a business, who came in with a credential that reaches administration.
pub(crate) struct Owner(pub(crate) Caller);

impl<S: Send + Sync> FromRequestParts<S> for Owner {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Owner, Problem> {
        let Some(caller) = parts.extensions.get::<Caller>() else {
            return Err(Problem::new(
                Code::Unauthenticated,
                "Log in, or send a key of yours.",
            ));
        };
        match caller.door {
            // What is said in a conversation, and what a model makes of it, administers nothing.
            Door::Agent { .. } => Err(Problem::forbidden(
                "Administration is no conversation. Use a key with the scope `admin`, or log in.",
            )),
            Door::Local | Door::Key(_) | Door::Token | Door::Session
                if caller.role == PrincipalRole::Owner && caller.reach.admin() =>
            {
                Ok(Owner(caller.clone()))
            }
            Door::Local | Door::Key(_) | Door::Token | Door::Session => Err(Problem::forbidden(
                "Only an owner administers the shop, with a credential whose scopes include `admin`.",
            )),
        }
    }
}

/// A JSON body, or the problem with it.
pub(crate) struct Given<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Given<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Given<T>, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let is_json = kind.and_then(|k| k.to_str().ok()).is_some_and(|kind| {
            let kind = kind.split(';').next().unwrap_or_default().trim();
            kind.eq_ignore_ascii_case("application/json")
        });
        if !is_json {
            let detail = "Send JSON, with the header `content-type: application/json`.";
            return Err(Problem::new(Code::UnsupportedMediaType, detail));
        }
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| unread(&rejection))?;
        // Read as an object alone: a list would be taken for one, member by member.
        if !body.trim_ascii_start().starts_with(b"{") {
            let detail = "The body is no JSON object. Send one: {…}.";
            return Err(Problem::new(Code::InvalidRequest, detail));
        }
        let mut reader = serde_json::Deserializer::from_slice(&body);
        let given = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let path = error.path().to_string();
            let problem = Problem::new(
                Code::InvalidRequest,
                format!("The body cannot be read: {}.", error.inner()),
            );
            if path == "." {
                problem
            } else {
                problem.at(&path)
            }
        })?;
        match reader.end() {
            Ok(()) => Ok(Given(given)),
            Err(_) => Err(Problem::new(
                Code::InvalidRequest,
                "The body has more after its JSON. Send one object.",
            )),
        }
    }
}

fn unread(rejection: &BytesRejection) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let detail = format!("The body is larger than {BODY_BYTES_MAX} bytes. Send less.");
        return Problem::new(Code::TooLarge, detail);
    }
    Problem::new(Code::InvalidRequest, "The body broke off. Send it again.")
}

/// What stands behind the question mark, or the problem with it.
pub(crate) struct Asked<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Asked<T>, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(asked)) => Ok(Asked(asked)),
            Err(rejection) => Err(Problem::new(
                Code::InvalidRequest,
                format!("The query cannot be read: {}.", rejection.body_text()),
            )),
        }
    }
}

/// Writes the one audit row of a change, in its transaction.
///
/// # Errors
/// When the database fails.
pub(crate) async fn record(
    conn: &mut PgConnection,
    app: &App,
    by: &Caller,
    tool: &str,
    given: &impl Serialize,
    audit: &Audit,
) -> Result<(), Problem> {
    let arguments = serde_json::to_value(given).map_err(|e| {
        Problem::new(
            Code::Internal,
            format!("The change cannot be recorded: {e}."),
        )
    })?;
    let done = Administered {
        tenant: by.tenant,
        by: &by.subject,
        tool,
        arguments: &arguments,
        audit,
    };
    trail::write_administered(conn, &*app.clock, done).await?;
    Ok(())
}

/// A view as the audit log keeps it.
pub(crate) fn seen(view: &impl Serialize) -> Option<Value> {
    serde_json::to_value(view).ok()
}

/// Calls a route in this process, for the command line: whoever sits at the machine is the operator, too.
///
/// # Errors
/// What the route answers when it does nothing.
pub(crate) async fn ask(
    app: &Arc<App>,
    who: &Caller,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Value, Problem> {
    let broken = |what: String| Problem::new(Code::Internal, what);
    let mut request = Request::builder().method(method).uri(path);
    if body.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    let body = body.map_or_else(Body::empty, |json| Body::from(json.to_string()));
    let mut request = request.body(body).map_err(|e| broken(e.to_string()))?;
    request.extensions_mut().insert(who.clone());
    request.extensions_mut().insert(Operator::AT_HAND);
    let router = routes()
        .merge(operator_routes())
        .with_state(Arc::clone(app));
    let Ok(response) = router.oneshot(request).await;
    let status = response.status();
    let body = to_bytes(response.into_body(), ANSWER_BYTES_MAX).await;
    let body = body.map_err(|e| broken(e.to_string()))?;
    if status == StatusCode::NO_CONTENT {
        return Ok(Value::Null);
    }
    let read = |e: serde_json::Error| broken(format!("{status}: {e}"));
    if status.is_success() {
        serde_json::from_slice(&body).map_err(read)
    } else {
        Err(serde_json::from_slice(&body).map_err(read)?)
    }
}
