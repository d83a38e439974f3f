//! Errors of the HTTP API (RFC 9457, `application/problem+json`).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What went wrong, for a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProblemCode {
    /// 400: the body is not JSON, or a field is missing or of the wrong type.
    InvalidRequest,
    /// 400: the session id is not 1 to 128 letters, digits and `-_.:`.
    InvalidSessionId,
    /// 422: the message is empty.
    EmptyMessage,
    /// 422: the message has more than 2,000 characters.
    MessageTooLong,
    /// 401: nobody is logged in.
    Unauthenticated,
    /// 403: not for this principal.
    Forbidden,
    /// 404: no such thing for this principal.
    NotFound,
    /// 405: the method is not served here.
    MethodNotAllowed,
    /// 409: another answer was given, or another request used the key.
    Conflict,
    /// 409: a run is active in this session, and the setting says not to queue.
    SessionBusy,
    /// 410: the question has lapsed.
    Expired,
    /// 413: the body is too large.
    TooLarge,
    /// 415: the body is not JSON.
    UnsupportedMediaType,
    /// 429: too many requests.
    RateLimited,
    /// 500: our fault.
    Internal,
    /// 503: Postgres or the tool server cannot be reached.
    Unavailable,
}

/// A problem, RFC 9457.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `urn:countersign:problem:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// A few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The stable code.
    pub code: ProblemCode,
    /// One sentence for the person, with what to do next.
    pub detail: String,
    /// The request's id, as in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}
