//! `POST /agent/approvals/{id}`: a person's answer to a question.

pub mod list;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use contracts::http::approval::{ApprovalRequest, ApprovalResponse, Decision};
use contracts::http::problem::Problem;
use http::HeaderMap;
use uuid::Uuid;

use super::guard::Caller;
use super::problem::{Refusal, Subject};
use super::read::{self, JsonBody, PathId, QueryOf};
use super::stream::{self, ProtocolQuery};
use crate::app::App;
use crate::streams::{Opening, Reader};
use crate::turns;

/// Longest reason, characters.
const REASON_CHARACTERS_MAX: usize = 500;

/// An answer to one question, read from any body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The question's approval.
    pub approval_id: Uuid,
    /// Yes or no.
    pub decision: Decision,
    /// Why, for the record.
    pub reason: Option<String>,
}

/// Answers a question and goes on with the run.
///
/// The same answer again is answered the same; another one is refused. With `Accept: text/event-stream` or a protocol the resumed turn is
/// streamed.
#[utoipa::path(
    post, path = "/agent/approvals/{id}", tag = "approvals",
    params(("id" = Uuid, Path, description = "The approval."), ProtocolQuery),
    request_body = ApprovalRequest,
    responses(
        (status = 200, description = "The recorded answer and the turn that it resumed; a stream where one is wanted.", content((ApprovalResponse = "application/json"), (String = "text/event-stream"))),
        (status = 400, description = "Malformed JSON, no decision, a reason of more than 500 characters, an id that is no UUID, an unknown protocol.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Not for this caller to answer, or a request of another site.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such question for this caller.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It has another answer already.", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "It has lapsed.", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large.", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not JSON.", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many runs at once; see `Retry-After`.", body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "System error.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Postgres or the tool server cannot be reached.", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn decide(
    State(app): State<Arc<App>>,
    Caller(principal): Caller,
    PathId(approval_id): PathId,
    headers: HeaderMap,
    QueryOf(query): QueryOf<ProtocolQuery>,
    JsonBody(body): JsonBody,
) -> Result<Response, Refusal> {
    let named = read::protocol(query.protocol.as_deref())?;
    let request: ApprovalRequest = serde_json::from_value(body).map_err(|error| {
        Refusal::invalid("The decision is missing. Send {\"decision\": \"approve\"} or \"deny\".")
            .because(error.to_string())
    })?;
    let reason = reason(request.reason.as_deref())?;
    let (decision, via) = (request.decision, via(&headers));
    let refusal = |e: turns::TurnError| Refusal::from_turn(&e, Subject::Approval);
    if named.is_some() || read::wants_stream(&headers) {
        let turn = turns::answer_and_follow(&app, &principal, approval_id, decision, reason, via)
            .await
            .map_err(refusal)?;
        let reader = Reader::of(named.unwrap_or_default(), Opening::SameMessage);
        return stream::respond(&app, &principal, vec![turn], reader).await;
    }
    let response = turns::answer(&app, &principal, approval_id, decision, reason, via)
        .await
        .map_err(refusal)?;
    Ok(Json(response).into_response())
}

/// The word for the record: how an answer came in.
#[must_use]
pub fn via(headers: &HeaderMap) -> &'static str {
    match headers.get(read::CHANNEL).map(http::HeaderValue::as_bytes) {
        Some(b"web") => "page",
        Some(b"cli") => "cli",
        _ => "rest",
    }
}

/// A reason, trimmed; none when it is empty.
///
/// # Errors
/// 400 for control characters and more than 500 characters.
pub fn reason(text: Option<&str>) -> Result<Option<String>, Refusal> {
    let text = read::plain(text.unwrap_or_default(), "The reason")?;
    if text.chars().count() > REASON_CHARACTERS_MAX {
        return Err(Refusal::invalid(
            "The reason has more than 500 characters. Send a shorter one.",
        ));
    }
    Ok((!text.is_empty()).then_some(text))
}
