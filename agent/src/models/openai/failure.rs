//! Why an attempt failed, read from whatever a provider sends: its status is never lost, and what it says is cut.

use std::time::Duration;

use async_openai::error::OpenAIError;
use chrono::{DateTime, Utc};
use http::{HeaderMap, StatusCode, header};
use serde_json::Value;

use crate::models::ModelError;

/// Longest cause that is logged, characters.
const CAUSE_CHARACTERS_MAX: usize = 300;

/// What can be done about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It may pass: the same request can be answered later.
    Passing,
    /// This request is refused, and would be again.
    Refused,
    /// Every request is refused until somebody changes the settings or pays.
    Unusable,
}

/// Why one attempt gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub(super) struct Failure {
    pub(super) kind: Kind,
    /// For the log.
    pub(super) cause: String,
    /// How long the provider asks us to wait.
    pub(super) retry_after: Option<Duration>,
}

impl Failure {
    pub(super) fn passing(cause: impl Into<String>) -> Failure {
        Failure::new(Kind::Passing, cause)
    }

    pub(super) fn refused(cause: impl Into<String>) -> Failure {
        Failure::new(Kind::Refused, cause)
    }

    fn new(kind: Kind, cause: impl Into<String>) -> Failure {
        Failure {
            kind,
            cause: shortened(&cause.into()),
            retry_after: None,
        }
    }

    /// An answer whose status is no success. The body may be anything.
    pub(super) fn of_response(
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Failure {
        let value = serde_json::from_slice::<Value>(body).unwrap_or_default();
        let told = Told::of(&value);
        let message = told
            .message
            .clone()
            .unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
        let kind = told.kind(Some(status.as_u16()));
        let mut failure = Failure::new(kind, format!("{status}: {message}"));
        failure.retry_after = retry_after(headers, now);
        failure
    }

    /// An error object where an answer was expected: with status 200, or in the middle of a stream.
    pub(super) fn of_object(value: &Value) -> Option<Failure> {
        let told = Told::of(value);
        if !told.is_error {
            return None;
        }
        let message = told.message.clone().unwrap_or_else(|| value.to_string());
        Some(Failure::new(told.kind(None), message))
    }

    /// What async-openai makes of it. Ours, which holds the status, comes back as it was.
    pub(super) fn of_client(error: OpenAIError) -> Failure {
        match error {
            OpenAIError::Boxed(boxed) => match boxed.downcast::<Failure>() {
                Ok(failure) => *failure,
                Err(other) => Failure::passing(other.to_string()),
            },
            OpenAIError::Reqwest(error) => Failure::of_transport(&error),
            OpenAIError::JSONDeserialize(error, _) => {
                Failure::passing(format!("it sent something that is no JSON: {error}"))
            }
            OpenAIError::InvalidArgument(cause) => Failure::refused(cause),
            other => Failure::passing(other.to_string()),
        }
    }

    /// No connection, or one that broke.
    pub(super) fn of_transport(error: &reqwest::Error) -> Failure {
        let mut cause = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(inner) = source {
            cause.push_str(": ");
            cause.push_str(&inner.to_string());
            source = inner.source();
        }
        let kind = if error.is_builder() {
            Kind::Unusable
        } else {
            Kind::Passing
        };
        Failure::new(kind, cause)
    }

    /// The same, for who asked.
    pub(super) fn into_error(self) -> ModelError {
        match self.kind {
            Kind::Passing => ModelError::Unavailable(self.cause),
            Kind::Refused => ModelError::Refused(self.cause),
            Kind::Unusable => ModelError::Unusable(self.cause),
        }
    }
}

/// What an error object says, whichever provider wrote it.
#[derive(Debug, Default)]
struct Told {
    is_error: bool,
    message: Option<String>,
    /// Type and code as words: `insufficient_quota`.
    words: Vec<String>,
    /// A code that is a number: an HTTP status, as vLLM and Google write it.
    status: Option<u16>,
}

impl Told {
    fn of(value: &Value) -> Told {
        // Google wraps errors in a list.
        let value = value.get(0).unwrap_or(value);
        let flat = value.get("object").and_then(Value::as_str) == Some("error");
        let error = match value.get("error") {
            Some(Value::Null) | None if flat => value,
            Some(Value::Null) | None => {
                let detail = value
                    .get("detail")
                    .filter(|_| value.get("choices").is_none());
                return Told {
                    is_error: detail.is_some(),
                    message: detail.map(text_of),
                    ..Told::default()
                };
            }
            Some(error) => error,
        };
        let words = ["type", "code", "status"]
            .into_iter()
            .filter_map(|name| error.get(name)?.as_str().map(str::to_lowercase));
        Told {
            is_error: true,
            message: error
                .get("message")
                .or_else(|| error.as_str().map(|_| error))
                .map(text_of),
            words: words.collect(),
            status: ["code", "status"].into_iter().find_map(|name| {
                let code = error.get(name)?;
                let code = code.as_u64().or_else(|| code.as_str()?.parse().ok())?;
                u16::try_from(code).ok().filter(|c| (400..600).contains(c))
            }),
        }
    }

    fn kind(&self, status: Option<u16>) -> Kind {
        let says = |wanted: &[&str]| self.words.iter().any(|w| wanted.contains(&w.as_str()));
        if says(&[
            "insufficient_quota",
            "invalid_api_key",
            "authentication_error",
            "permission_error",
            "billing_not_active",
            "model_not_found",
        ]) {
            return Kind::Unusable;
        }
        match status.or(self.status) {
            Some(408 | 409 | 425 | 429 | 500..) => Kind::Passing,
            Some(401 | 402 | 403 | 404 | 405 | 410 | 300..=399) => Kind::Unusable,
            Some(_) => Kind::Refused,
            None if says(&["invalid_request_error", "content_filter"]) => Kind::Refused,
            None => Kind::Passing,
        }
    }
}

fn text_of(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), ToOwned::to_owned)
}

/// One line without control characters, not too long.
fn shortened(cause: &str) -> String {
    let mut line: String = cause
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(CAUSE_CHARACTERS_MAX)
        .collect();
    if cause.chars().nth(CAUSE_CHARACTERS_MAX).is_some() {
        line.push('…');
    }
    line
}

/// `Retry-After` in seconds or as a date, and OpenAI's own in milliseconds. A date is taken by the provider's clock where it tells it.
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(ms) = text("retry-after-ms").and_then(|t| t.parse::<u64>().ok()) {
        return Some(Duration::from_millis(ms));
    }
    let wanted = text(header::RETRY_AFTER.as_str())?;
    if let Ok(seconds) = wanted.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = |text: &str| DateTime::parse_from_rfc2822(text).ok();
    let from = text(header::DATE.as_str())
        .and_then(date)
        .map_or(now, |d| d.to_utc());
    (date(wanted)?.to_utc() - from).to_std().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-11-20T10:00:00Z".parse().unwrap()
    }

    fn of(status: u16, body: &str) -> Failure {
        let status = StatusCode::from_u16(status).unwrap();
        Failure::of_response(status, &HeaderMap::new(), body.as_bytes(), now())
    }

    #[test]
    fn the_status_is_never_lost_whatever_the_body() {
        let vllm = r#"{"object":"error","message":"too long","type":"BadRequestError","param":null,"code":400}"#;
        let quota = r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}"#;
        let google =
            r#"[{"error":{"code":400,"message":"API key not valid","status":"INVALID_ARGUMENT"}}]"#;
        for (status, body, kind, told) in [
            (
                429,
                "<html>slow down</html>",
                Kind::Passing,
                "429 Too Many Requests: <html>slow down</html>",
            ),
            (
                429,
                quota,
                Kind::Unusable,
                "429 Too Many Requests: You exceeded your current quota",
            ),
            (400, vllm, Kind::Refused, "400 Bad Request: too long"),
            (
                400,
                google,
                Kind::Refused,
                "400 Bad Request: API key not valid",
            ),
            (
                422,
                r#"{"detail":[{"loc":["body"]}]}"#,
                Kind::Refused,
                r#"422 Unprocessable Entity: [{"loc":["body"]}]"#,
            ),
            (
                401,
                r#"{"error":"no key"}"#,
                Kind::Unusable,
                "401 Unauthorized: no key",
            ),
            (404, "", Kind::Unusable, "404 Not Found: "),
            (301, "", Kind::Unusable, "301 Moved Permanently: "),
            (408, "", Kind::Passing, "408 Request Timeout: "),
            (409, "", Kind::Passing, "409 Conflict: "),
            (425, "", Kind::Passing, "425 Too Early: "),
            (
                500,
                "\u{1b}[31mTraceback\n",
                Kind::Passing,
                "500 Internal Server Error:  [31mTraceback ",
            ),
            (529, "{}", Kind::Passing, "529 <unknown status code>: {}"),
        ] {
            let failure = of(status, body);
            assert_eq!(
                (failure.kind, failure.cause.as_str()),
                (kind, told),
                "{status} {body}"
            );
        }
        assert!(of(503, &"x".repeat(10_000)).cause.chars().count() < 400);
    }

    #[test]
    fn an_error_object_in_the_middle_is_an_error_and_an_answer_is_none() {
        let kind = |value: Value| Failure::of_object(&value).map(|f| f.kind);
        assert_eq!(
            kind(json!({"error": {"message": "busy", "code": 503}})),
            Some(Kind::Passing)
        );
        assert_eq!(
            kind(json!({"error": {"message": "busy", "code": "429"}})),
            Some(Kind::Passing)
        );
        assert_eq!(kind(json!({"error": "overloaded"})), Some(Kind::Passing));
        assert_eq!(kind(json!({"error": {"code": 401}})), Some(Kind::Unusable));
        assert_eq!(
            kind(json!({"error": {"type": "invalid_request_error"}})),
            Some(Kind::Refused)
        );
        assert_eq!(
            kind(json!({"object": "error", "message": "no", "code": 400})),
            Some(Kind::Refused)
        );
        assert_eq!(kind(json!({"detail": "no route"})), Some(Kind::Passing));
        assert_eq!(kind(json!({"error": null, "choices": []})), None);
        assert_eq!(kind(json!({"choices": []})), None);
        assert_eq!(kind(json!("text")), None);
    }

    #[test]
    fn a_wait_is_read_in_seconds_milliseconds_and_as_a_date() {
        let wait = |pairs: &[(&'static str, &str)]| {
            let headers = pairs
                .iter()
                .map(|(n, v)| (http::HeaderName::from_static(n), v.parse().unwrap()));
            retry_after(&headers.collect(), now())
        };
        assert_eq!(wait(&[("retry-after", "3")]), Some(Duration::from_secs(3)));
        assert_eq!(
            wait(&[("retry-after", "0.5")]),
            Some(Duration::from_millis(500))
        );
        assert_eq!(
            wait(&[("retry-after-ms", "70"), ("retry-after", "9")]),
            Some(Duration::from_millis(70))
        );
        assert_eq!(
            wait(&[("retry-after", "Fri, 20 Nov 2026 10:00:07 GMT")]),
            Some(Duration::from_secs(7))
        );
        let their_clock = [
            ("date", "Fri, 20 Nov 2026 11:00:00 GMT"),
            ("retry-after", "Fri, 20 Nov 2026 11:00:02 GMT"),
        ];
        assert_eq!(wait(&their_clock), Some(Duration::from_secs(2)));
        for nonsense in ["", "soon", "-1", "NaN", "Fri, 20 Nov 2026 09:00:00 GMT"] {
            assert_eq!(wait(&[("retry-after", nonsense)]), None, "{nonsense}");
        }
    }
}
