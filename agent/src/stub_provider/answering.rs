//! The answer to a request: what the script says, spoilt as a fault wants it.

use axum::body::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::delivery::Delivery;
use super::fault::FaultKind;
use super::request::{Invalid, Request};
use super::script::{Answer, Cue};
use super::wire::{self, Completion, SentCall, Shape};

const JSON: &str = "application/json";
pub(super) const EVENTS: &str = "text/event-stream; charset=utf-8";
/// `Retry-After` of a provider that is gone for the day.
const DAY_SECONDS: &str = "86400";
const RANDOM_BYTES: usize = 600;

/// An answer about to leave.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) content_type: &'static str,
    pub(super) retry_after: Option<String>,
    pub(super) request_id: String,
    pub(super) think_ms: u64,
    pub(super) body: Bytes,
    pub(super) delivery: Delivery,
}

impl Reply {
    pub(super) fn json(status: StatusCode, body: String) -> Reply {
        Reply {
            status,
            content_type: JSON,
            retry_after: None,
            request_id: format!("req_{}", hash(&[&body])),
            think_ms: 0,
            body: Bytes::from(body),
            delivery: Delivery::AtOnce,
        }
    }
}

/// A refusal, with its reason for the log.
type Refused = Box<(Reply, String)>;

fn refused(status: StatusCode, invalid: &Invalid) -> Refused {
    let reply = Reply::json(status, wire::refusal(invalid));
    Box::new((reply, invalid.message.clone()))
}

/// Whether the headers are those of a client with a key. Any key is good.
pub(super) fn admitted(headers: &HeaderMap) -> Result<(), Refused> {
    let text = |name| headers.get(name).and_then(|v| v.to_str().ok());
    let key = text(header::AUTHORIZATION).and_then(|v| v.strip_prefix("Bearer "));
    if key.is_some_and(|key| !key.trim().is_empty()) {
        return Ok(());
    }
    let message = "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).";
    let invalid = Invalid {
        message: message.to_owned(),
        param: None,
        code: None,
    };
    Err(refused(StatusCode::UNAUTHORIZED, &invalid))
}

/// Reads a body.
pub(super) fn read(body: &[u8]) -> Result<Request, Refused> {
    Request::read(body).map_err(|invalid| refused(StatusCode::BAD_REQUEST, &invalid))
}

/// The scripted answer, with what is wrong with it.
pub(super) fn reply(
    request: &Request,
    cue: &Cue<'_>,
    fault: Option<FaultKind>,
    now: DateTime<Utc>,
) -> Reply {
    let think_ms = cue.answer.think_ms;
    if let Some(instead) = fault.and_then(|fault| instead(fault, now)) {
        return Reply {
            think_ms,
            ..instead
        };
    }
    let mut completion = completion(request, cue.answer, now);
    let mut reply = Reply {
        think_ms,
        delivery: fault.map_or(Delivery::AtOnce, delivery),
        ..Reply::json(StatusCode::OK, String::new())
    };
    if let Some(fault) = fault {
        spoil_calls(&mut completion, fault);
    }
    let stream = match fault {
        Some(FaultKind::JsonInsteadOfStream) => false,
        Some(FaultKind::StreamInsteadOfJson) => true,
        _ => request.stream,
    };
    let body = if stream {
        reply.content_type = EVENTS;
        completion.stream()
    } else {
        completion.whole()
    };
    reply.body = fault
        .and_then(|fault| spoil_body(fault, stream, &body))
        .unwrap_or_else(|| Bytes::from(body));
    reply.request_id = format!("req_{}", completion.id.trim_start_matches("chatcmpl-"));
    reply
}

fn completion(request: &Request, answer: &Answer, now: DateTime<Utc>) -> Completion {
    let heard = &request.heard;
    let stage = heard.stage.to_string();
    let place = [request.place.as_str(), &heard.message, &stage];
    let calls = answer.calls.iter().enumerate().map(|(at, call)| {
        let arguments = Value::Object(call.arguments.clone()).to_string();
        let at = at.to_string();
        let parts = [place[0], place[1], place[2], &at, &call.name, &arguments];
        SentCall {
            id: format!("call_{}", hash(&parts)),
            name: call.name.clone(),
            arguments,
        }
    });
    Completion {
        id: format!("chatcmpl-{}", hash(&place)),
        created: now.timestamp(),
        model: request.model.clone(),
        text: answer.said(heard),
        calls: calls.collect(),
        prompt_tokens: request.bytes.div_ceil(4) as u64,
        include_usage: request.include_usage,
        shape: Shape::default(),
    }
}

/// What comes instead of an answer.
fn instead(fault: FaultKind, now: DateTime<Utc>) -> Option<Reply> {
    let error = |status: StatusCode, message: &str, kind: &str, code: Value| {
        Reply::json(status, wire::error(message, kind, None, &code))
    };
    let too_many = StatusCode::TOO_MANY_REQUESTS;
    let limit = "Rate limit reached for gpt-4o-mini in organization org-stub on requests per min (RPM): Limit 3, Used 3, Requested 1.";
    let limited = || error(too_many, limit, "requests", json!("rate_limit_exceeded"));
    let numeric = |status: StatusCode, kind: &str| {
        let code = json!(status.as_u16());
        let object = json!({"object": "error", "message": "not now", "type": kind, "param": null, "code": code});
        Reply::json(status, json!({ "error": object }).to_string())
    };
    Some(match fault {
        FaultKind::RateLimited => Reply {
            retry_after: Some("1".to_owned()),
            ..limited()
        },
        FaultKind::RateLimitedDate => {
            let then = now + TimeDelta::seconds(2);
            Reply {
                retry_after: Some(then.format("%a, %d %b %Y %H:%M:%S GMT").to_string()),
                ..limited()
            }
        }
        FaultKind::RateLimitedHtml => Reply {
            content_type: "text/html; charset=utf-8",
            ..Reply::json(
                too_many,
                "<html><head><title>429 Too Many Requests</title></head><body><center><h1>429 Too Many Requests</h1></center></body></html>\n".to_owned(),
            )
        },
        FaultKind::NumericCode => numeric(too_many, "TooManyRequestsError"),
        FaultKind::NumericCodeBadRequest => numeric(StatusCode::BAD_REQUEST, "BadRequestError"),
        FaultKind::Quota => error(
            too_many,
            "You exceeded your current quota, please check your plan and billing details.",
            "insufficient_quota",
            json!("insufficient_quota"),
        ),
        FaultKind::Unauthorized => error(
            StatusCode::UNAUTHORIZED,
            "Incorrect API key provided: stub. You can find your API key at https://platform.openai.com/account/api-keys.",
            "invalid_request_error",
            json!("invalid_api_key"),
        ),
        FaultKind::ServerError => error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The server had an error while processing your request. Sorry about that!",
            "server_error",
            Value::Null,
        ),
        FaultKind::Unavailable => Reply {
            retry_after: Some(DAY_SECONDS.to_owned()),
            ..error(
                StatusCode::SERVICE_UNAVAILABLE,
                "The engine is currently overloaded, please try again later.",
                "server_error",
                Value::Null,
            )
        },
        _ => return None,
    })
}

const fn delivery(fault: FaultKind) -> Delivery {
    match fault {
        FaultKind::Hang => Delivery::Hang,
        FaultKind::HangAfterHeaders => Delivery::HangAfterHeaders,
        FaultKind::Cut => Delivery::Cut,
        FaultKind::Reset => Delivery::Reset,
        FaultKind::Drip => Delivery::Drip,
        _ => Delivery::AtOnce,
    }
}

/// What is wrong before the answer is written.
fn spoil_calls(completion: &mut Completion, fault: FaultKind) {
    let shape = &mut completion.shape;
    match fault {
        FaultKind::NoFinish => shape.finish = false,
        FaultKind::MissingIndex => shape.call_index = false,
        FaultKind::MissingId => shape.call_id = false,
        FaultKind::OddFields => shape.odd_fields = true,
        FaultKind::ArgumentsObject => shape.arguments_as_text = false,
        _ => {}
    }
    for call in &mut completion.calls {
        match fault {
            FaultKind::RepeatedIds => "call_1".clone_into(&mut call.id),
            FaultKind::WrongArguments => {
                call.arguments = json!({"no_such_argument": {"as": ["this"]}}).to_string();
            }
            FaultKind::NotJsonArguments => {
                // Cut off before its last bracket, so it is never an object.
                call.arguments.pop();
                call.arguments.push_str(", \"item\": \"sug");
            }
            FaultKind::UnknownTool => "no_such_tool".clone_into(&mut call.name),
            _ => {}
        }
    }
}

/// What is wrong with the answer as it is written; `None` when nothing is.
fn spoil_body(fault: FaultKind, stream: bool, body: &str) -> Option<Bytes> {
    let failed = || {
        let message = "The server had an error while processing your request. Sorry about that!";
        wire::error(message, "server_error", None, &Value::Null)
    };
    let begun = || body.split_inclusive("\n\n").take(2).collect::<String>();
    Some(match fault {
        FaultKind::DoneOnly if stream => Bytes::from_static(b"data: [DONE]\n\n"),
        FaultKind::DoneOnly => {
            let mut answer: Value = serde_json::from_str(body).unwrap_or_default();
            answer["choices"] = json!([]);
            Bytes::from(answer.to_string())
        }
        FaultKind::Garbage if stream => Bytes::from(format!(
            "{}data: {{\"id\": chatcmpl, choices}}\n\ndata: [DONE]\n\n",
            begun()
        )),
        FaultKind::Garbage => Bytes::from_static(b"{\"id\": chatcmpl, choices}"),
        FaultKind::RandomBytes => Bytes::from(noise(body)),
        FaultKind::ErrorInStream if stream => {
            Bytes::from(format!("{}data: {}\n\n", begun(), failed()))
        }
        FaultKind::ErrorInStream => Bytes::from(failed()),
        _ => return None,
    })
}

/// Bytes without a meaning, the same for the same answer.
fn noise(seed: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(RANDOM_BYTES);
    let mut block = Sha256::digest(seed);
    while bytes.len() < RANDOM_BYTES {
        bytes.extend_from_slice(&block);
        block = Sha256::digest(block);
    }
    bytes
}

/// 24 hexadecimal digits of some texts.
fn hash(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.len().to_le_bytes());
        hasher.update(part);
    }
    hasher
        .finalize()
        .iter()
        .take(12)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
