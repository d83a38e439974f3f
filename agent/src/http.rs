//! The agent's HTTP edge: one flat list of routes, and what every request passes on its way to them.
//!
//! From the outside in: [`problem::finish`] (request id, problems, panics), the headers every answer has, [`guard::enter`] (who comes
//! in, and as whom), the body limit, the handler. Handlers read with [`read`] and ask [`crate::turns`].

pub mod approvals;
pub mod chat;
pub mod guard;
pub mod health;
pub mod login;
pub mod problem;
pub mod read;
pub mod runs;
pub mod slow;
pub mod stream;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{self, Next};
use axum::response::Response;
use contracts::http::problem::ProblemCode;
use http::{HeaderName, HeaderValue, Method, header};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::problem::Refusal;
use crate::app::App;
use crate::pages;

/// What every answer says to a browser. The page adds its own content security policy.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (header::CACHE_CONTROL, "no-store"),
];

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Countersign agent",
        description = "Talk to the business in plain words. The same routes answer under `/api`, for example `/api/agent/chat`.\n\nErrors are \
            `application/problem+json` with a stable `code`; `detail` is one sentence for the person. `x-request-id` names a request in the log; \
            send your own or take ours.\n\nStreams are projections of one stored log: `protocol=ui` (AI SDK UI message stream v1, the default, ends with `data: [DONE]`), \
            `agui` (AG-UI 1.0) or `native` (our own events by name). In each, `id: <run>:<seq>` is on the last frame of an event, `retry: 3000` \
            comes once, a comment is the heartbeat, and `Last-Event-ID` goes on where a client was. A dropped connection does not cancel the run.\n\n\
            Unless the agent runs in local mode, every request shows who makes it: `Authorization: Bearer` with an API key or a token, or the \
            cookie `countersign_session` of a log-in at `/login`. Else it is answered 401.\n\n\
            `x-countersign-channel: web` or `cli` says which of our own clients asks; it gives no rights.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    tags(
        (name = "chat", description = "Messages and their answers."),
        (name = "approvals", description = "Answers to questions."),
        (name = "runs", description = "What happened."),
        (name = "health", description = "Whether the process answers.")
    )
)]
struct Document;

/// Every route of the API, in the order of the document.
fn api() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Document::openapi())
        // Say something: whole answers, and streams by POST or by GET.
        .routes(routes!(chat::chat))
        .routes(routes!(stream::chat_stream))
        // Find back to an answer that is being given.
        .routes(routes!(stream::session_stream))
        // Answer a question.
        .routes(routes!(approvals::decide))
        .routes(routes!(approvals::list::list))
        // Look up what happened.
        .routes(routes!(runs::run))
        // For whoever watches the process.
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
}

/// The agent's whole HTTP surface.
pub fn router(app: Arc<App>) -> Router {
    let (api, _) = api().split_for_parts();
    let guarded = middleware::from_fn_with_state(Arc::clone(&app), guard::enter);
    let finished = middleware::from_fn_with_state(Arc::clone(&app), problem::finish);
    Router::new()
        .merge(api.clone())
        .nest("/api", api)
        // The chat page, its script and its style; where people log in and out.
        .merge(pages::routes())
        .merge(login::routes())
        // Counters, for this machine.
        .merge(health::routes())
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(app.settings.body_bytes_max))
        .layer(guarded)
        .layer(middleware::from_fn(add_headers))
        .layer(finished)
        .with_state(app)
}

/// The OpenAPI 3.1 document of the API, from which `contracts/agent-api.yaml` is written.
#[must_use]
pub fn api_document() -> utoipa::openapi::OpenApi {
    api().into_openapi()
}

async fn unknown_route() -> Refusal {
    Refusal::new(
        ProblemCode::NotFound,
        "There is nothing at this address. Check it, or open the chat page at /.",
    )
}

/// 405, also for the HEAD of a GET that starts work.
async fn wrong_method(method: Method) -> Refusal {
    Refusal::new(
        ProblemCode::MethodNotAllowed,
        "This address does not serve that method. See the Allow header for those it serves.",
    )
    .because(method.to_string())
}

async fn add_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_describes_what_is_served() {
        let document = serde_json::to_value(api_document()).unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
        assert_eq!(
            paths,
            [
                "/agent/approvals",
                "/agent/approvals/{id}",
                "/agent/chat",
                "/agent/chat/stream",
                "/agent/chat/{session_id}/stream",
                "/agent/runs/{id}",
                "/healthz",
                "/readyz"
            ]
        );
        let text = document.to_string();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(schemas.contains_key(name), "{name} is not described");
        }
    }
}
