//! What a stub was asked, for looking at afterwards.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use axum::body::Bytes;
use serde::Serialize;
use serde_json::Value;

use super::fault::FaultKind;

/// So many requests are kept ...
const KEPT_MAX: usize = 1000;
/// ... as long as their bodies are no more than this together.
const KEPT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A request for an answer, and what came of it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Received {
    /// Its number since the start, from 1.
    pub number: u64,
    /// The status it was answered with; 0 when it was never answered.
    pub status: u16,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// The scene that answered, counted from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scene: Option<usize>,
    /// Answers before this one since the last message of the person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<usize>,
    /// What was wrong with the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<FaultKind>,
    /// Why the request was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// The body: JSON, or text if it is none.
    pub body: Value,
}

/// The last requests. Bodies are parsed only when somebody looks.
#[derive(Debug, Default)]
pub(super) struct Log(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    count: u64,
    bytes: usize,
    last: VecDeque<(Received, Bytes)>,
}

impl Log {
    /// Keeps a request. Its number and body are filled in here.
    pub(super) fn keep(&self, received: Received, body: Bytes) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.count += 1;
        kept.bytes += body.len();
        let number = kept.count;
        kept.last.push_back((Received { number, ..received }, body));
        while kept.last.len() > KEPT_MAX || kept.bytes > KEPT_BYTES_MAX {
            let Some((_, body)) = kept.last.pop_front() else {
                break;
            };
            kept.bytes -= body.len();
        }
    }

    /// How many there were, and the last of them, oldest first.
    pub(super) fn look(&self) -> (u64, Vec<Received>) {
        let (count, last) = {
            let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            (kept.count, kept.last.clone())
        };
        let with_body = |(received, body): (Received, Bytes)| Received {
            body: serde_json::from_slice(&body)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned())),
            ..received
        };
        (count, last.into_iter().map(with_body).collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_last_thousand_are_kept() {
        let log = Log::default();
        for n in 0..KEPT_MAX + 5 {
            log.keep(Received::default(), Bytes::from(format!("{{\"n\": {n}}}")));
        }
        let (count, last) = log.look();
        assert_eq!((count, last.len()), (1005, KEPT_MAX));
        assert_eq!((last[0].number, &last[0].body), (6, &json!({"n": 5})));
    }

    #[test]
    fn large_bodies_push_out_more_than_one() {
        let log = Log::default();
        let large = Bytes::from(vec![b'x'; 1024 * 1024]);
        for _ in 0..100 {
            log.keep(Received::default(), large.clone());
        }
        let kept = log.0.lock().unwrap();
        assert_eq!((kept.count, kept.last.len()), (100, 64));
        assert_eq!(kept.bytes, KEPT_BYTES_MAX);
    }

    #[test]
    fn a_body_that_is_no_json_is_shown_as_text() {
        let log = Log::default();
        log.keep(Received::default(), Bytes::from_static(b"{\xff"));
        assert_eq!(log.look().1[0].body, json!("{\u{fffd}"));
    }
}
