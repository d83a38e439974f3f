//! Reading a request: JSON bodies, queries, paths and the texts in them. Whatever is wrong becomes a [`Refusal`].

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use contracts::http::chat::{MESSAGE_CHARACTERS_MAX, SESSION_ID_CHARACTERS_MAX};
use contracts::http::problem::ProblemCode;
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use super::problem::Refusal;
use crate::streams::{Cursor, Protocol};
use crate::turns::Channel;

/// Says which of our own clients asks: `web` or `cli`. It names a way in, and gives no rights.
pub const CHANNEL: &str = "x-countersign-channel";
/// Longest `Idempotency-Key` or `request_id`, bytes.
const KEY_BYTES_MAX: usize = 255;
/// How long a body may take to arrive.
pub(super) const BODY_WAIT: Duration = Duration::from_secs(30);

/// A JSON body, as it came.
#[derive(Debug)]
pub struct JsonBody(pub Value);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<JsonBody, Refusal> {
        if !is_json(request.headers()) {
            return Err(Refusal::new(
                ProblemCode::UnsupportedMediaType,
                "The body must be JSON. Send it with the header Content-Type: application/json.",
            ));
        }
        let arrived = tokio::time::timeout(BODY_WAIT, Bytes::from_request(request, state)).await;
        let bytes = arrived
            .map_err(|_| Refusal::invalid("The body took too long to arrive. Send it again."))?
            .map_err(|rejection| match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => Refusal::new(
                    ProblemCode::TooLarge,
                    "The request is too large. Send a shorter one.",
                ),
                _ => Refusal::invalid("The body did not arrive whole. Send it again.")
                    .because(rejection.body_text()),
            })?;
        serde_json::from_slice(&bytes)
            .map(JsonBody)
            .map_err(|error| {
                Refusal::invalid("The body is not valid JSON. Correct it and send it again.")
                    .because(error.to_string())
            })
    }
}

/// A query string, read into `T`.
#[derive(Debug)]
pub struct QueryOf<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for QueryOf<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<QueryOf<T>, Refusal> {
        let Query(query) = Query::from_request_parts(parts, state)
            .await
            .map_err(|rejection| {
                Refusal::invalid(
                    "The query cannot be read. Give each parameter once, percent-encoded.",
                )
                .because(rejection.body_text())
            })?;
        Ok(QueryOf(query))
    }
}

/// An id in the path.
#[derive(Debug)]
pub struct PathId(pub Uuid);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<PathId, Refusal> {
        let Path(id) = Path::from_request_parts(parts, state)
            .await
            .map_err(|rejection| {
                Refusal::invalid("The id in the address is not valid. It is a UUID.")
                    .because(rejection.body_text())
            })?;
        Ok(PathId(id))
    }
}

/// A conversation in the path.
#[derive(Debug)]
pub struct PathSession(pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathSession {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<PathSession, Refusal> {
        // A path that is not UTF-8 cannot be read at all; it is refused like any other wrong id.
        let id = Path::<String>::from_request_parts(parts, state).await;
        session_id(id.map(|Path(id)| id).unwrap_or_default()).map(PathSession)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let named = headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok());
    let essence = named.and_then(|v| v.split(';').next()).unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// Whether the caller wants a stream: `Accept` names `text/event-stream`.
#[must_use]
pub fn wants_stream(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .filter_map(|range| range.split(';').next())
        .any(|range| range.trim().eq_ignore_ascii_case("text/event-stream"))
}

/// The protocol a stream is asked for in; none where the caller names none.
///
/// # Errors
/// 400 for any other word than the three.
pub fn protocol(word: Option<&str>) -> Result<Option<Protocol>, Refusal> {
    let read = word.map(str::parse).transpose();
    read.map_err(|_| {
        Refusal::invalid("There is no such protocol. Use ui, agui or native, or leave it out.")
    })
}

/// Which way a request came in.
#[must_use]
pub fn channel(headers: &HeaderMap) -> Channel {
    match headers.get(CHANNEL).map(http::HeaderValue::as_bytes) {
        Some(b"cli") => Channel::Cli,
        Some(b"web") => Channel::Web,
        // Only browsers send it.
        _ if headers.contains_key("sec-fetch-site") => Channel::Web,
        _ => Channel::Api,
    }
}

/// The `Idempotency-Key` header.
///
/// # Errors
/// 400 when it is not 1 to 255 visible ASCII characters.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    key(value.to_str().unwrap_or_default(), "Idempotency-Key").map(Some)
}

/// A key that a caller chose for its request.
///
/// # Errors
/// 400 when it is not 1 to 255 visible ASCII characters.
pub fn key(value: &str, name: &'static str) -> Result<String, Refusal> {
    let sane =
        (1..=KEY_BYTES_MAX).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_graphic());
    if sane {
        Ok(value.to_owned())
    } else {
        Err(Refusal::invalid(format!(
            "{name} must be 1 to 255 letters, digits or signs, without spaces. Use a UUID."
        )))
    }
}

/// Where a reconnecting client stopped.
///
/// # Errors
/// 400 when `Last-Event-ID` is not one of ours: starting anew instead would do the work twice.
pub fn last_event_id(headers: &HeaderMap) -> Result<Option<Cursor>, Refusal> {
    let Some(value) = headers.get("last-event-id") else {
        return Ok(None);
    };
    let cursor = value.to_str().ok().and_then(|v| v.parse().ok());
    cursor.map(Some).ok_or_else(|| {
        Refusal::invalid(
            "Last-Event-ID is not one of this server's. Leave it out to start at the beginning.",
        )
    })
}

/// A session id of the right shape.
///
/// # Errors
/// 400 `invalid_session_id`.
pub fn session_id(id: String) -> Result<String, Refusal> {
    let sane = (1..=SESSION_ID_CHARACTERS_MAX).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b));
    if sane {
        Ok(id)
    } else {
        Err(Refusal::new(
            ProblemCode::InvalidSessionId,
            "A session id is 1 to 128 letters, digits or the signs - _ . : Leave it out to start a new conversation.",
        ))
    }
}

/// What a person says, trimmed and with plain line ends.
///
/// # Errors
/// 400 for control characters, 422 for nothing or more than 2,000 characters.
pub fn message(text: &str) -> Result<String, Refusal> {
    let text = plain(text, "The message")?;
    if text.is_empty() {
        return Err(Refusal::new(
            ProblemCode::EmptyMessage,
            "The message is empty. Write what you want done.",
        ));
    }
    if text.chars().count() > MESSAGE_CHARACTERS_MAX {
        return Err(Refusal::new(
            ProblemCode::MessageTooLong,
            "The message has more than 2,000 characters. Send a shorter one, or several.",
        ));
    }
    Ok(text)
}

/// A text without control characters other than line ends and tabs, trimmed.
///
/// # Errors
/// 400 for any other control character.
pub fn plain(text: &str, name: &'static str) -> Result<String, Refusal> {
    let text = text.replace("\r\n", "\n");
    if text
        .chars()
        .any(|c| c.is_control() && c != '\n' && c != '\t')
    {
        return Err(Refusal::invalid(format!(
            "{name} has characters that cannot be written. Remove them and send it again."
        )));
    }
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(result: Result<String, Refusal>) -> ProblemCode {
        result.unwrap_err().code()
    }

    #[test]
    fn a_message_is_counted_in_characters_and_keeps_line_ends_and_tabs() {
        assert_eq!(message("  a\r\nb\tc \n").unwrap(), "a\nb\tc");
        assert!(message(&"é".repeat(2000)).is_ok());
        assert_eq!(
            code(message(&"é".repeat(2001))),
            ProblemCode::MessageTooLong
        );
        assert_eq!(code(message(" \n\t ")), ProblemCode::EmptyMessage);
        for bad in ["a\0b", "\u{1b}[2J", "a\rb", "\u{7f}", "\u{85}"] {
            assert_eq!(code(message(bad)), ProblemCode::InvalidRequest, "{bad:?}");
        }
    }

    #[test]
    fn a_session_id_has_a_shape() {
        assert!(session_id("shop-1_a.b:C".to_owned()).is_ok());
        assert!(session_id("x".repeat(128)).is_ok());
        for bad in ["", "a b", "a/b", "é", &"x".repeat(129)] {
            let refused = code(session_id(bad.to_owned()));
            assert_eq!(refused, ProblemCode::InvalidSessionId, "{bad:?}");
        }
    }

    #[test]
    fn accept_and_content_type_are_read_with_their_parameters() {
        let headers = |name: header::HeaderName, value: &str| {
            HeaderMap::from_iter([(name, value.parse().unwrap())])
        };
        for (value, wants) in [
            ("text/event-stream", true),
            ("application/json, Text/Event-Stream;q=0.9", true),
            ("*/*", false),
            ("text/event-stream-not", false),
        ] {
            assert_eq!(
                wants_stream(&headers(header::ACCEPT, value)),
                wants,
                "{value}"
            );
        }
        for (value, json) in [
            ("application/json; charset=utf-8", true),
            ("application/vnd.x+json", true),
            ("text/plain", false),
            ("application/jsonp", false),
        ] {
            assert_eq!(
                is_json(&headers(header::CONTENT_TYPE, value)),
                json,
                "{value}"
            );
        }
    }
}
