//! A provider that answers as a test wants it to, without a network.

use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use chrono_tz::Tz;
use futures::{StreamExt as _, stream};
use migrations::clock::SystemClock;
use reqwest::{Request, Response};
use serde_json::{Value, json};

use super::Provider;
use super::wire::Transport;
use crate::config::{ApiKey, ModelManner, ProviderAddress};
use crate::language::Language;
use crate::models::{Message, ModelRequest, TextSink, ToolSpec};

/// Writes requests and sends none, so one is enough for all tests.
static HTTP: LazyLock<reqwest::Client> = LazyLock::new(|| {
    crate::start::install_crypto();
    reqwest::Client::builder().no_proxy().build().unwrap()
});

/// The tools of the shop.
static TOOLS: LazyLock<Arc<Vec<ToolSpec>>> = LazyLock::new(|| {
    let text = include_str!("../../../../contracts/mcp-tools.json");
    let tools: Vec<Value> = serde_json::from_str(text).unwrap();
    let specs = tools.into_iter().map(|tool| ToolSpec {
        name: tool["name"].as_str().unwrap().to_owned(),
        title: String::new(),
        description: String::new(),
        input_schema: tool["inputSchema"].clone(),
        read_only: tool["annotations"]["readOnlyHint"] == true,
    });
    Arc::new(specs.collect())
});

/// How a response ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::models) enum End {
    Clean,
    Cut,
    Silent,
}

/// A response.
#[derive(Debug, Clone)]
pub(in crate::models) struct Reply {
    pub(in crate::models) status: u16,
    pub(in crate::models) headers: Vec<(&'static str, String)>,
    pub(in crate::models) pieces: Vec<Vec<u8>>,
    pub(in crate::models) end: End,
}

impl Reply {
    pub(in crate::models) fn new(status: u16, body: impl Into<Vec<u8>>) -> Reply {
        Reply {
            status,
            headers: Vec::new(),
            pieces: vec![body.into()],
            end: End::Clean,
        }
    }

    /// A stream of chunks as one piece of bytes, with the mark of its end.
    pub(in crate::models) fn stream(chunks: &[Value]) -> Reply {
        Reply::new(200, [sse(chunks).as_slice(), b"data: [DONE]\n\n"].concat())
    }

    /// The text, said in words, and the end.
    pub(in crate::models) fn says(text: &str) -> Reply {
        let words = text
            .split_inclusive(' ')
            .map(|w| delta(&json!({"content": w})));
        let mut chunks: Vec<Value> = words.collect();
        chunks.push(finish("stop"));
        Reply::stream(&chunks)
    }

    /// One call.
    pub(in crate::models) fn calls(tool: &str, arguments: &Value) -> Reply {
        let function = json!({"name": tool, "arguments": arguments.to_string()});
        Reply::stream(&[
            delta(&json!({"tool_calls": [{"index": 0, "id": "call_abc", "function": function}]})),
            finish("tool_calls"),
        ])
    }

    pub(in crate::models) fn header(mut self, name: &'static str, value: &str) -> Reply {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(in crate::models) fn ending(mut self, end: End) -> Reply {
        self.end = end;
        self
    }

    fn into_response(self) -> Response {
        let pieces = self.pieces.into_iter().map(Ok);
        let end = match self.end {
            End::Clean => stream::empty().boxed(),
            End::Cut => {
                stream::iter([Err(std::io::Error::other("connection reset by the test"))]).boxed()
            }
            End::Silent => stream::pending().boxed(),
        };
        let body = reqwest::Body::wrap_stream(stream::iter(pieces).chain(end));
        let mut response = http::Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        response.body(body).unwrap().into()
    }
}

pub(in crate::models) fn delta(delta: &Value) -> Value {
    json!({"id": "x", "choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
}

pub(in crate::models) fn finish(reason: &str) -> Value {
    json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
}

pub(in crate::models) fn sse(chunks: &[Value]) -> Vec<u8> {
    let events = chunks.iter().map(|c| format!("data: {c}\n\n"));
    events.collect::<String>().into_bytes()
}

type Answers = dyn Fn(usize) -> Option<Reply> + Send + Sync;

/// Answers the nth request, from 0; `None` never answers.
#[derive(Clone)]
pub(in crate::models) struct Stub {
    answers: Arc<Answers>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A request as it was sent.
#[derive(Debug, Clone)]
pub(in crate::models) struct Seen {
    pub(in crate::models) url: String,
    pub(in crate::models) authorization: Option<String>,
    pub(in crate::models) body: Value,
}

impl Stub {
    pub(in crate::models) fn new(
        answers: impl Fn(usize) -> Option<Reply> + Send + Sync + 'static,
    ) -> Stub {
        Stub {
            answers: Arc::new(answers),
            seen: Arc::default(),
        }
    }

    /// These replies one after the other, the last one again and again.
    pub(in crate::models) fn replies(replies: &[Reply]) -> Stub {
        let replies = replies.to_vec();
        Stub::new(move |n| replies.get(n).or_else(|| replies.last()).cloned())
    }

    pub(in crate::models) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// A provider with this stub behind it.
    pub(in crate::models) fn provider(&self, manner: &ModelManner) -> Provider {
        self.provider_with(manner, Some("sk-test"))
    }

    pub(in crate::models) fn provider_with(
        &self,
        manner: &ModelManner,
        key: Option<&str>,
    ) -> Provider {
        let address = ProviderAddress {
            base_url: "http://model.test/v1".to_owned(),
            key: key.and_then(ApiKey::new),
            model: "test-model".to_owned(),
        };
        let clock = Arc::new(SystemClock);
        let mut provider = Provider::over(HTTP.clone(), self.clone(), &address, manner, clock);
        provider.pause_first = Duration::from_millis(1);
        provider
    }
}

impl Transport for Stub {
    fn send(
        &self,
        request: Request,
    ) -> impl Future<Output = Result<Response, reqwest::Error>> + Send + 'static {
        let body = request.body().and_then(reqwest::Body::as_bytes).unwrap();
        let header = request.headers().get(http::header::AUTHORIZATION);
        let seen = Seen {
            url: request.url().to_string(),
            authorization: header.map(|h| h.to_str().unwrap().to_owned()),
            body: serde_json::from_slice(body).unwrap(),
        };
        let n = {
            let mut all = self.seen.lock().unwrap();
            all.push(seen);
            all.len() - 1
        };
        let reply = (self.answers)(n);
        async move {
            match reply {
                Some(reply) => Ok(reply.into_response()),
                None => std::future::pending().await,
            }
        }
    }
}

/// Patient enough for a busy machine, without a pause that is felt.
pub(in crate::models) fn manner() -> ModelManner {
    ModelManner {
        stream: true,
        timeout: Duration::from_secs(30),
        idle: Duration::from_secs(30),
        retries: 2,
        rest: Duration::from_secs(15),
        temperature: None,
        tokens_max: 100,
    }
}

/// A conversation that ends with what a person says.
pub(in crate::models) fn asks(text: &str) -> ModelRequest {
    ModelRequest {
        instructions: "Be plain.".to_owned(),
        messages: vec![Message::User {
            text: text.to_owned(),
        }],
        tools: Arc::clone(&TOOLS),
        language: Language::En,
        now: "2026-11-20T10:00:00Z".parse().unwrap(),
        time_zone: Tz::Africa__Kigali,
    }
}

/// What a person would see: the text that counts, and everything that happened.
#[derive(Debug, Default)]
pub(in crate::models) struct Screen {
    pub(in crate::models) text: String,
    pub(in crate::models) started_over: usize,
    pub(in crate::models) fell_back: Vec<String>,
}

impl TextSink for Screen {
    fn delta(&mut self, piece: &str) {
        assert!(!piece.is_empty());
        self.text.push_str(piece);
    }

    fn start_over(&mut self) {
        assert!(!self.text.is_empty(), "nothing was said yet");
        self.text.clear();
        self.started_over += 1;
    }

    fn fell_back(&mut self, reason: &str) {
        self.fell_back.push(reason.to_owned());
    }
}
