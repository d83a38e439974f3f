//! What the administration answers when it does nothing (RFC 9457, `application/problem+json`): a stable code for programs, a sentence for
//! the person that says what to do.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use contracts::failure::ToolFailure;
use contracts::locale::Locale;
use serde::{Deserialize, Serialize};

use crate::error::{self, CallError};
use crate::identity::passwords::PasswordError;

/// What went wrong, for a program. Codes are part of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Code {
    /// 400: the body is no JSON, a member is missing, unknown or of the wrong type, or the query is.
    InvalidRequest,
    /// 401: nobody is logged in.
    Unauthenticated,
    /// 403: not for this principal.
    Forbidden,
    /// 404: no such thing in this business.
    NotFound,
    /// 409: the name is somebody else's.
    Taken,
    /// 409: not while things are as they are.
    Conflict,
    /// 409: a business keeps at least one owner who can log in.
    LastOwner,
    /// 413: the body is too large.
    TooLarge,
    /// 415: the body is not JSON.
    UnsupportedMediaType,
    /// 422: a value that cannot be.
    InvalidValue,
    /// 500: our fault.
    Internal,
    /// 503: the database cannot be reached, or too many log-ins are under way.
    Unavailable,
}

impl Code {
    fn status(self) -> StatusCode {
        match self {
            Code::InvalidRequest => StatusCode::BAD_REQUEST,
            Code::Unauthenticated => StatusCode::UNAUTHORIZED,
            Code::Forbidden => StatusCode::FORBIDDEN,
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::Taken | Code::Conflict | Code::LastOwner => StatusCode::CONFLICT,
            Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Code::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Code::InvalidValue => StatusCode::UNPROCESSABLE_ENTITY,
            Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Why nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{detail}")]
pub(crate) struct Problem {
    /// `urn:countersign:problem:<code>`.
    #[serde(rename = "type")]
    kind: String,
    /// A few words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// The stable code.
    pub(crate) code: Code,
    /// One sentence for the person, with what to do next.
    pub(crate) detail: String,
    /// The member at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) field: Option<String>,
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Problem {
        let status = code.status();
        let word = serde_json::to_value(code).unwrap_or_default();
        Problem {
            kind: format!(
                "urn:countersign:problem:{}",
                word.as_str().unwrap_or_default()
            ),
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            code,
            detail: detail.into(),
            field: None,
        }
    }

    /// A value that cannot be, with the member it was given as.
    pub(crate) fn value(field: &str, detail: impl Into<String>) -> Problem {
        Problem::new(Code::InvalidValue, detail).at(field)
    }

    /// No such thing in this business.
    pub(crate) fn missing(detail: impl Into<String>) -> Problem {
        Problem::new(Code::NotFound, detail)
    }

    /// Not for this principal.
    pub(crate) fn forbidden(detail: impl Into<String>) -> Problem {
        Problem::new(Code::Forbidden, detail)
    }

    /// Names the member at fault.
    pub(crate) fn at(mut self, field: &str) -> Problem {
        self.field = Some(field.to_owned());
        self
    }

    fn broken(what: &str) -> Problem {
        tracing::error!(error = what, "administration");
        Problem::new(Code::Internal, error::internal(Locale::En).message)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.code.status();
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        let problem = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, problem);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

impl From<CallError> for Problem {
    fn from(error: CallError) -> Problem {
        match error {
            CallError::Refused(failure) => failure.into(),
            CallError::Broken(what) => Problem::broken(&what),
            CallError::Database(_) | CallError::NotConfirmed(_) => {
                tracing::error!(%error, "administration");
                let failure = error.into_failure(Locale::En);
                let code = if failure.retryable {
                    Code::Unavailable
                } else {
                    Code::Internal
                };
                Problem::new(code, failure.message)
            }
        }
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Problem {
        CallError::Database(error).into()
    }
}

impl From<ToolFailure> for Problem {
    fn from(failure: ToolFailure) -> Problem {
        let problem = Problem::new(Code::InvalidValue, failure.message);
        match failure.field {
            Some(field) => problem.at(&field),
            None => problem,
        }
    }
}

impl From<PasswordError> for Problem {
    fn from(error: PasswordError) -> Problem {
        match error {
            PasswordError::Busy => Problem::new(
                Code::Unavailable,
                "Too many people are logging in. Try again in a few seconds.",
            ),
            PasswordError::Broken(what) => Problem::broken(&what),
        }
    }
}
