//! Errors as `application/problem+json` (RFC 9457): one sentence for the person, the cause for the log, both under the request's id.

use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Json;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use contracts::http::problem::{Problem, ProblemCode};
use futures::FutureExt as _;
use http::{HeaderName, HeaderValue, StatusCode, header};
use migrations::clock::new_id;
use migrations::telemetry::TraceParent;
use tracing::Instrument as _;

use crate::app::App;
use crate::metrics;
use crate::turns::TurnError;

/// Carries the request's id, in and out.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What a person is told when Postgres or the tool server cannot be reached.
pub const UNAVAILABLE: &str = "Unable to reach the system. Please try again.";
/// What a person is told when we failed.
pub const INTERNAL: &str = "System error. Please try again.";

/// Longest request id taken from a caller, bytes.
const REQUEST_ID_BYTES_MAX: usize = 128;
/// How long a caller with too many runs should wait.
const RETRY_AFTER_S: u32 = 5;

/// A request that is not served: what the person reads and what the log says.
#[derive(Debug, Clone)]
pub struct Refusal {
    code: ProblemCode,
    detail: Cow<'static, str>,
    cause: Option<String>,
    retry_after_s: Option<u32>,
    bad_token: bool,
}

impl Refusal {
    /// A refusal with one sentence for the person, which says what to do next.
    pub fn new(code: ProblemCode, detail: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal {
            code,
            detail: detail.into(),
            cause: None,
            retry_after_s: None,
            bad_token: false,
        }
    }

    /// 400: the request cannot be read.
    pub fn invalid(detail: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(ProblemCode::InvalidRequest, detail)
    }

    /// Adds what the log should say.
    #[must_use]
    pub fn because(mut self, cause: impl Into<String>) -> Refusal {
        self.cause = Some(cause.into());
        self
    }

    /// A credential was shown, and it is nobody's: `WWW-Authenticate` says so.
    #[must_use]
    pub fn with_bad_token(mut self) -> Refusal {
        self.bad_token = true;
        self
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> ProblemCode {
        self.code
    }

    /// The sentence for the person.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The engine's refusal of a request about `subject`.
    #[must_use]
    pub fn from_turn(error: &TurnError, subject: Subject) -> Refusal {
        let (code, detail) = match error {
            TurnError::NotFound => (ProblemCode::NotFound, subject.not_found()),
            TurnError::Forbidden(_) => (ProblemCode::Forbidden, subject.forbidden()),
            TurnError::Conflict(_) => (ProblemCode::Conflict, subject.conflict()),
            TurnError::Busy => (
                ProblemCode::SessionBusy,
                "The last message of this conversation is still being worked on. Wait for its answer, then send again.",
            ),
            TurnError::Expired => (
                ProblemCode::Expired,
                "The question has lapsed and nothing was done. Ask again to get a new one.",
            ),
            TurnError::RateLimited => (
                ProblemCode::RateLimited,
                "Too many requests are being worked on. Wait a few seconds, then send again.",
            ),
            TurnError::Unavailable(_) => (ProblemCode::Unavailable, UNAVAILABLE),
            TurnError::Internal(_) => (ProblemCode::Internal, INTERNAL),
        };
        let mut refusal = Refusal::new(code, detail).because(error.to_string());
        if code == ProblemCode::RateLimited {
            refusal.retry_after_s = Some(RETRY_AFTER_S);
        }
        refusal
    }

    fn problem(&self, request_id: Option<String>) -> Problem {
        let code = word(self.code);
        Problem {
            kind: format!("urn:countersign:problem:{code}"),
            title: title(self.code).to_owned(),
            status: status(self.code).as_u16(),
            code: self.code,
            detail: self.detail.clone().into_owned(),
            request_id,
        }
    }
}

/// What a request is about, for the words of its refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A message of a conversation.
    Message,
    /// A conversation.
    Session,
    /// A question.
    Approval,
    /// A run.
    Run,
}

impl Subject {
    const fn not_found(self) -> &'static str {
        match self {
            Subject::Message | Subject::Session => {
                "There is no such conversation. Start a new one by leaving out the session id."
            }
            Subject::Approval => "There is no such question. Ask again to get a new one.",
            Subject::Run => "There is no such run. Check its id.",
        }
    }

    const fn forbidden(self) -> &'static str {
        match self {
            Subject::Message | Subject::Session => {
                "This conversation belongs to somebody else. Start a new one."
            }
            Subject::Approval => {
                "You may not answer this question. Ask somebody who may to answer it."
            }
            Subject::Run => "This run belongs to somebody else. Ask staff to look at it.",
        }
    }

    const fn conflict(self) -> &'static str {
        match self {
            Subject::Approval => {
                "The question has another answer already, and it stands. Ask again if you want something else."
            }
            Subject::Message | Subject::Session | Subject::Run => {
                "The key was used for another message. Send this one with a new key."
            }
        }
    }
}

impl IntoResponse for Refusal {
    /// The status alone: [`finish`] writes the body, because it knows the request's id.
    fn into_response(self) -> Response {
        let mut response = status(self.code).into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// The outermost layer. Gives the request an id, turns refusals and panics into problems, logs each cause once.
pub async fn finish(
    State(app): State<Arc<App>>,
    route: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let request_id = request_id(&request).unwrap_or_else(|| new_id(app.clock.as_ref()).to_string());
    // The route and neither path nor query: those may carry what a person wrote.
    let route = route.as_ref().map_or("other", MatchedPath::as_str);
    let span = tracing::info_span!("request", %request_id, method = %request.method(), route);
    let caller = request.headers().get("traceparent");
    if let Some(place) = caller.and_then(|v| TraceParent::parse(v.to_str().ok()?)) {
        place.adopt(&span);
    }
    let response = finish_as(request_id, request, next).instrument(span).await;
    metrics::requested(route, response.status().as_u16());
    response
}

async fn finish_as(request_id: String, request: Request, next: Next) -> Response {
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut response = answered.unwrap_or_else(|_| {
        Refusal::new(ProblemCode::Internal, INTERNAL)
            .because("the handler panicked")
            .into_response()
    });
    if let Some(refusal) = response.extensions_mut().remove::<Arc<Refusal>>() {
        log(&refusal);
        let problem = Json(refusal.problem(Some(request_id.clone())));
        let told = [header::ALLOW, header::CONNECTION]
            .map(|name| Some((name.clone(), response.headers_mut().remove(name)?)));
        response = (status(refusal.code), problem).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.extend(told.into_iter().flatten());
        if refusal.code == ProblemCode::Unauthenticated {
            let challenge = if refusal.bad_token {
                "Bearer error=\"invalid_token\""
            } else {
                "Bearer"
            };
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static(challenge),
            );
        }
        if let Some(retry_after_s) = refusal.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after_s));
        }
    }
    if let Ok(value) = HeaderValue::try_from(request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// The caller's own id, if it is one that is safe to write into a log.
fn request_id(request: &Request) -> Option<String> {
    let id = request.headers().get(REQUEST_ID)?.to_str().ok()?;
    let sane = (1..=REQUEST_ID_BYTES_MAX).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b));
    sane.then(|| id.to_owned())
}

fn log(refusal: &Refusal) {
    let code = word(refusal.code);
    let cause = refusal.cause.as_deref().unwrap_or(&refusal.detail);
    match refusal.code {
        ProblemCode::Internal => tracing::error!(code, cause, "request failed"),
        ProblemCode::Unavailable => tracing::warn!(code, cause, "request could not be served"),
        // The cause may quote what was sent.
        _ => {
            tracing::info!(code, "request refused");
            tracing::debug!(code, cause, "why it was refused");
        }
    }
}

const fn status(code: ProblemCode) -> StatusCode {
    match code {
        ProblemCode::InvalidRequest | ProblemCode::InvalidSessionId => StatusCode::BAD_REQUEST,
        ProblemCode::EmptyMessage | ProblemCode::MessageTooLong => StatusCode::UNPROCESSABLE_ENTITY,
        ProblemCode::Unauthenticated => StatusCode::UNAUTHORIZED,
        ProblemCode::Forbidden => StatusCode::FORBIDDEN,
        ProblemCode::NotFound => StatusCode::NOT_FOUND,
        ProblemCode::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        ProblemCode::Conflict | ProblemCode::SessionBusy => StatusCode::CONFLICT,
        ProblemCode::Expired => StatusCode::GONE,
        ProblemCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ProblemCode::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ProblemCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ProblemCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        ProblemCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

const fn title(code: ProblemCode) -> &'static str {
    match code {
        ProblemCode::InvalidRequest => "The request cannot be read",
        ProblemCode::InvalidSessionId => "The session id is not valid",
        ProblemCode::EmptyMessage => "The message is empty",
        ProblemCode::MessageTooLong => "The message is too long",
        ProblemCode::Unauthenticated => "Nobody is logged in",
        ProblemCode::Forbidden => "Not allowed",
        ProblemCode::NotFound => "Not found",
        ProblemCode::MethodNotAllowed => "The method is not served here",
        ProblemCode::Conflict => "Answered or used differently before",
        ProblemCode::SessionBusy => "The conversation is busy",
        ProblemCode::Expired => "The question has lapsed",
        ProblemCode::TooLarge => "The request is too large",
        ProblemCode::UnsupportedMediaType => "The body is not JSON",
        ProblemCode::RateLimited => "Too many requests",
        ProblemCode::Internal => "System error",
        ProblemCode::Unavailable => "The system cannot be reached",
    }
}

/// The code as it is written on the wire.
fn word(code: ProblemCode) -> String {
    match serde_json::to_value(code) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_of_the_engine_has_its_status_and_never_its_technical_text() {
        let technical = "connection to 10.0.0.7:5432 refused";
        let table = [
            (TurnError::NotFound, 404, "not_found"),
            (TurnError::Forbidden(technical), 403, "forbidden"),
            (TurnError::Conflict(technical), 409, "conflict"),
            (TurnError::Busy, 409, "session_busy"),
            (TurnError::Expired, 410, "expired"),
            (TurnError::RateLimited, 429, "rate_limited"),
            (
                TurnError::Unavailable(technical.to_owned()),
                503,
                "unavailable",
            ),
            (TurnError::Internal(technical.to_owned()), 500, "internal"),
        ];
        for subject in [
            Subject::Message,
            Subject::Session,
            Subject::Approval,
            Subject::Run,
        ] {
            for (error, status, code) in &table {
                let problem = Refusal::from_turn(error, subject).problem(None);
                assert_eq!(problem.status, *status, "{error}");
                assert_eq!(problem.kind, format!("urn:countersign:problem:{code}"));
                assert!(!problem.detail.contains("10.0.0.7"), "{}", problem.detail);
                assert!(problem.detail.ends_with('.'), "{}", problem.detail);
            }
        }
    }

    #[test]
    fn a_callers_request_id_is_kept_only_when_it_is_safe_in_a_log() {
        let with = |id: &str| {
            let request = Request::builder().header(REQUEST_ID, id);
            request_id(&request.body(axum::body::Body::empty()).unwrap())
        };
        assert_eq!(with("abc-1.2:3_4"), Some("abc-1.2:3_4".to_owned()));
        assert_eq!(with(""), None);
        assert_eq!(with("a b"), None);
        assert_eq!(with(&"x".repeat(129)), None);
    }

    #[tokio::test]
    async fn a_handler_that_panics_is_answered_like_any_other_failure() {
        let panicking =
            axum::routing::get(async || -> StatusCode { panic!("relation \"x\" does not exist") });
        let finished =
            axum::middleware::from_fn(|request, next| finish_as("r1".to_owned(), request, next));
        let router: axum::Router = axum::Router::new().route("/", panicking).layer(finished);
        let request = Request::builder().body(axum::body::Body::empty()).unwrap();
        let response = tower::ServiceExt::oneshot(router, request).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = axum::body::to_bytes(response.into_body(), 10_000)
            .await
            .unwrap();
        let problem: Problem = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (problem.detail.as_str(), problem.request_id.as_deref()),
            (INTERNAL, Some("r1"))
        );
    }
}
