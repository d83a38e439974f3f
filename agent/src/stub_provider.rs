//! A language model that says what a script says: an `OpenAI`-compatible provider for rehearsals, tests and benchmarks.
//!
//! `agent stub-provider` serves it. It refuses requests as strictly as `OpenAI` does, answers byte for byte in `OpenAI`'s format, and has
//! on demand every fault that was ever seen at a provider, so that whoever runs the agent sees beforehand what people get when the
//! provider is slow, full, broken or gone.
//!
//! # Layout
//! - `script`: which answer a request gets; `fault`: what can be wrong with it
//! - `request`: reading and refusing; `answering`: the answer, spoilt; `wire`: how it is written; `delivery`: how it leaves
//! - `received`: what was asked, for looking at afterwards

mod answering;
mod delivery;
mod fault;
mod received;
mod request;
mod script;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use migrations::clock::SharedClock;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::answering::{EVENTS, Reply};
use self::delivery::{Delivery, Doors, Hangup};
use self::fault::Trouble;
pub use self::fault::{BadFault, Fault, FaultKind};
use self::received::Log;
pub use self::received::Received;
pub use self::script::{Answer, BadScript, Call, NotScripted, SCRIPT_BYTES_MAX, Script};

/// Largest request, like the largest script.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Models that are listed. Any other name is answered too.
const MODELS: [&str; 2] = ["gpt-4o-mini", "gpt-4o"];

/// A provider that says what its script says.
pub struct Stub {
    script: RwLock<Arc<Script>>,
    /// What is wrong with every answer whose own part of the script is in order; the first that still strikes.
    faults: RwLock<Vec<Trouble>>,
    log: Log,
    clock: SharedClock,
    stop: CancellationToken,
}

impl Stub {
    /// Says something else from now on.
    pub fn set_script(&self, script: Script) {
        *self.script.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(script);
    }

    /// Has these faults from now on, besides those of the script: the first until it is used up, then the next.
    pub fn set_faults(&self, faults: impl IntoIterator<Item = Fault>) {
        let troubles = faults.into_iter().map(Trouble::new).collect();
        *self.faults.write().unwrap_or_else(PoisonError::into_inner) = troubles;
    }

    /// The last thousand requests for an answer, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Received> {
        self.log.look().1
    }

    fn script(&self) -> Arc<Script> {
        Arc::clone(&self.script.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the provider as a whole calls for ever.
    fn is_endless(&self) -> bool {
        let faults = self.faults.read().unwrap_or_else(PoisonError::into_inner);
        faults.iter().any(Trouble::is_endless)
    }

    /// A fault of the provider as a whole that strikes now.
    fn strike(&self) -> Option<FaultKind> {
        let faults = self.faults.read().unwrap_or_else(PoisonError::into_inner);
        faults.iter().find_map(Trouble::strike)
    }
}

/// A stub that serves. Dropping it lets it serve on; [`Running::stop`] ends it.
pub struct Running {
    /// What it says and has heard.
    pub stub: Arc<Stub>,
    /// Where it listens.
    pub address: SocketAddr,
    serving: JoinHandle<io::Result<()>>,
}

impl Running {
    /// What `OPENAI_BASE_URL` is set to.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Where the stub itself is asked and told things.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends every connection, answered or not, and gives the port back.
    pub async fn stop(self) {
        self.stub.stop.cancel();
        let _ = self.serving.await;
    }
}

/// Serves a script on a listener, with faults as for [`Stub::set_faults`].
///
/// # Errors
/// When the listener has no address.
pub fn serve(
    listener: TcpListener,
    script: Script,
    faults: impl IntoIterator<Item = Fault>,
    clock: SharedClock,
) -> io::Result<Running> {
    let address = listener.local_addr()?;
    let stub = Arc::new(Stub {
        script: RwLock::new(Arc::new(script)),
        faults: RwLock::default(),
        log: Log::default(),
        clock,
        stop: CancellationToken::new(),
    });
    stub.set_faults(faults);
    let router = router(Arc::clone(&stub)).into_make_service_with_connect_info::<Hangup>();
    let stop = stub.stop.clone();
    let serving =
        axum::serve(Doors(listener), router).with_graceful_shutdown(stop.cancelled_owned());
    Ok(Running {
        stub,
        address,
        serving: tokio::spawn(serving.into_future()),
    })
}

fn router(stub: Arc<Stub>) -> Router {
    Router::new()
        // What a provider serves.
        .route("/v1/chat/completions", post(completions))
        .route("/v1/models", get(models))
        // What a rehearsal needs.
        .route("/requests", get(requests))
        .route("/script", put(set_script))
        .route("/faults", put(set_faults))
        .fallback(unknown_url)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(stub)
}

async fn completions(
    State(stub): State<Arc<Stub>>,
    ConnectInfo(hangup): ConnectInfo<Hangup>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return cannot_read(&rejection),
    };
    let (reply, received) = answer(&stub, &headers, &body);
    stub.log.keep(received, body);
    if reply.delivery == Delivery::Hang {
        delivery::wait_for_ever(&stub.stop).await;
    } else if reply.think_ms > 0 {
        tokio::time::sleep(Duration::from_millis(reply.think_ms)).await;
    }
    send(reply, &hangup, &stub.stop)
}

/// The answer to a request, and what is kept of it.
fn answer(stub: &Stub, headers: &HeaderMap, body: &Bytes) -> (Reply, Received) {
    let request = match answering::admitted(headers).and_then(|()| answering::read(body)) {
        Ok(request) => request,
        Err(refused) => {
            let (reply, why) = *refused;
            let received = Received {
                status: reply.status.as_u16(),
                refused: Some(why),
                ..Received::default()
            };
            return (reply, received);
        }
    };
    let script = stub.script();
    let cue = match script.cue(&request.heard, stub.is_endless()) {
        Ok(cue) => cue,
        Err(error) => {
            let why = error.to_string();
            let received = Received {
                status: StatusCode::NOT_FOUND.as_u16(),
                stream: request.stream,
                refused: Some(why.clone()),
                ..Received::default()
            };
            let body = wire::error(&why, "invalid_request_error", None, &json!("no_scene"));
            return (Reply::json(StatusCode::NOT_FOUND, body), received);
        }
    };
    let fault = cue.fault.or_else(|| stub.strike());
    let reply = answering::reply(&request, &cue, fault, stub.clock.now());
    let received = Received {
        status: if reply.delivery == Delivery::Hang {
            0
        } else {
            reply.status.as_u16()
        },
        stream: request.stream,
        scene: Some(cue.scene),
        stage: Some(cue.stage),
        fault,
        ..Received::default()
    };
    (reply, received)
}

fn send(reply: Reply, hangup: &Hangup, stop: &CancellationToken) -> Response {
    let is_stream = reply.content_type == EVENTS;
    let mut response = Response::new(reply.delivery.body(reply.body, is_stream, hangup, stop));
    *response.status_mut() = reply.status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(reply.content_type),
    );
    headers.insert("openai-version", HeaderValue::from_static("2020-10-01"));
    headers.insert("openai-processing-ms", HeaderValue::from(reply.think_ms));
    for (name, text) in [
        ("x-request-id", Some(reply.request_id)),
        ("retry-after", reply.retry_after),
    ] {
        if let Some(value) = text.and_then(|text| HeaderValue::try_from(text).ok()) {
            headers.insert(name, value);
        }
    }
    response
}

/// Too large, or the connection broke.
fn cannot_read(rejection: &BytesRejection) -> Response {
    let message = match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            format!("Request too large: at most {BODY_BYTES_MAX} bytes are read.")
        }
        _ => "The body of the request could not be read.".to_owned(),
    };
    refuse(rejection.status(), &message)
}

fn refuse(status: StatusCode, message: &str) -> Response {
    let body = wire::error(message, "invalid_request_error", None, &Value::Null);
    let mut response = (status, Body::from(body)).into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

async fn models(headers: HeaderMap) -> Response {
    if let Err(refused) = answering::admitted(&headers) {
        return send(refused.0, &Hangup::default(), &CancellationToken::new());
    }
    let model =
        |id| json!({"id": id, "object": "model", "created": 1_721_172_741, "owned_by": "system"});
    Json(json!({"object": "list", "data": MODELS.map(model)})).into_response()
}

async fn requests(State(stub): State<Arc<Stub>>) -> Json<Value> {
    let (count, last) = stub.log.look();
    Json(json!({"count": count, "requests": last}))
}

async fn set_script(
    State(stub): State<Arc<Stub>>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return cannot_read(&rejection),
    };
    match Script::read(&body) {
        Ok(script) => {
            let scenes = script.len();
            stub.set_script(script);
            Json(json!({ "scenes": scenes })).into_response()
        }
        Err(error) => refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

async fn set_faults(
    State(stub): State<Arc<Stub>>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return cannot_read(&rejection),
    };
    match serde_json::from_slice::<Vec<Fault>>(&body) {
        Ok(faults) => {
            let answer = Json(json!({ "faults": faults }));
            stub.set_faults(faults);
            answer.into_response()
        }
        Err(error) => refuse(
            StatusCode::BAD_REQUEST,
            &format!(
                "The faults cannot be used: {error}. Send a list such as [\"cut\"], or [] for none."
            ),
        ),
    }
}

async fn unknown_url(method: Method, uri: Uri) -> Response {
    let message = format!("Invalid URL ({method} {})", uri.path());
    refuse(StatusCode::NOT_FOUND, &message)
}

async fn wrong_method(method: Method, uri: Uri) -> Response {
    let message = format!(
        "Not allowed to {method} on {}. (HINT: Perhaps you meant to use a different HTTP method?)",
        uri.path()
    );
    refuse(StatusCode::METHOD_NOT_ALLOWED, &message)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use migrations::clock::SystemClock;
    use reqwest::RequestBuilder;

    use super::*;

    /// How long a hanging answer is watched.
    const GLIMPSE: Duration = Duration::from_millis(150);

    const KEY: &str = "a-key-of-somebody";

    struct Rehearsal {
        running: Running,
        http: reqwest::Client,
    }

    impl Rehearsal {
        async fn open(scenes: Value) -> Rehearsal {
            crate::start::install_crypto();
            let script = Script::read(json!({ "scenes": scenes }).to_string().as_bytes()).unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let http = reqwest::Client::builder().no_proxy().build().unwrap();
            Rehearsal {
                running: serve(listener, script, [], Arc::new(SystemClock)).unwrap(),
                http,
            }
        }

        fn ask(&self, body: &Value) -> RequestBuilder {
            let url = format!("{}/chat/completions", self.running.base_url());
            self.http.post(url).bearer_auth(KEY).json(body)
        }

        async fn get(&self, path: &str) -> reqwest::Response {
            let url = format!("{}{path}", self.running.url());
            self.http.get(url).bearer_auth(KEY).send().await.unwrap()
        }

        /// Status, content type and body; the body is an error when it broke off.
        async fn answer(&self, body: &Value) -> (u16, String, Result<Vec<u8>, reqwest::Error>) {
            let response = self.ask(body).send().await.unwrap();
            let kind = response.headers()[header::CONTENT_TYPE]
                .to_str()
                .unwrap()
                .to_owned();
            let status = response.status().as_u16();
            (status, kind, response.bytes().await.map(|b| b.to_vec()))
        }
    }

    /// The status and the error object.
    async fn error(response: reqwest::Response) -> (u16, Value) {
        let status = response.status().as_u16();
        let body: Value = response.json().await.unwrap();
        (status, body["error"].clone())
    }

    fn look() -> Value {
        json!([{"when": {"text": "sugar?"}, "answers": [
            {"say": "One moment.", "calls": [
                {"name": "look", "arguments": {"item": "sugar"}}, {"name": "look", "arguments": {"item": "rice"}}]},
            {"say": "{{summaries}}"},
        ]}])
    }

    fn says(text: &str, stream: bool) -> Value {
        json!({"model": "m", "stream": stream, "messages": [{"role": "user", "content": text}]})
    }

    #[tokio::test]
    async fn a_conversation_goes_through_its_scene() {
        let rehearsal = Rehearsal::open(look()).await;
        let mut body = says("sugar?", false);
        let (status, kind, first) = rehearsal.answer(&body).await;
        assert_eq!((status, kind.as_str()), (200, "application/json"));
        let first: Value = serde_json::from_slice(&first.unwrap()).unwrap();
        let message = first["choices"][0]["message"].clone();
        let calls = message["tool_calls"].as_array().unwrap().clone();
        let ids: Vec<&str> = calls.iter().map(|c| c["id"].as_str().unwrap()).collect();
        assert!(
            ids[0] != ids[1] && ids.iter().all(|id| id.starts_with("call_")),
            "{ids:?}"
        );
        let again: Value =
            serde_json::from_slice(&rehearsal.answer(&body).await.2.unwrap()).unwrap();
        assert_eq!(
            again["choices"], first["choices"],
            "a request that is sent again gets the same answer"
        );

        let messages = body["messages"].as_array_mut().unwrap();
        messages
            .push(json!({"role": "assistant", "content": message["content"], "tool_calls": calls}));
        for (id, summary) in ids.iter().zip(["20 kg.", "No rice."]) {
            let content = json!({"summary": summary}).to_string();
            messages.push(json!({"role": "tool", "tool_call_id": id, "content": content}));
        }
        body["stream"] = json!(true);
        let (status, kind, second) = rehearsal.answer(&body).await;
        assert_eq!(
            (status, kind.as_str()),
            (200, "text/event-stream; charset=utf-8")
        );
        let second = String::from_utf8(second.unwrap()).unwrap();
        for word in ["\"20 \"", "\"kg. \"", "\"No \"", "\"rice.\""] {
            assert!(second.contains(word), "{word} is not in {second}");
        }

        // The same question later in the same conversation has calls of its own.
        let messages = body["messages"].as_array_mut().unwrap();
        messages.push(json!({"role": "assistant", "content": "20 kg. No rice."}));
        messages.push(json!({"role": "user", "content": "sugar?"}));
        body["stream"] = json!(false);
        let later: Value =
            serde_json::from_slice(&rehearsal.answer(&body).await.2.unwrap()).unwrap();
        let later = &later["choices"][0]["message"]["tool_calls"];
        assert_eq!(later[0]["function"], calls[0]["function"]);
        assert_ne!(later[0]["id"], calls[0]["id"]);
        let stages: Vec<_> = rehearsal
            .running
            .stub
            .requests()
            .iter()
            .map(|r| r.stage)
            .collect();
        assert_eq!(stages, [Some(0), Some(0), Some(1), Some(0)]);
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_request_is_said_and_kept() {
        let rehearsal = Rehearsal::open(look()).await;
        let url = rehearsal.running.base_url();
        let completions = format!("{url}/chat/completions");
        let keyless = rehearsal
            .http
            .post(&completions)
            .json(&says("sugar?", false));
        let (status, body) = error(keyless.send().await.unwrap()).await;
        assert_eq!(
            (status, &body["type"]),
            (401, &json!("invalid_request_error"))
        );
        let (status, body) = error(rehearsal.ask(&says("tea?", true)).send().await.unwrap()).await;
        assert_eq!((status, &body["code"]), (404, &json!("no_scene")));
        let (status, body) = error(
            rehearsal
                .ask(&json!({"model": "m", "messages": []}))
                .send()
                .await
                .unwrap(),
        )
        .await;
        assert_eq!(
            (status, &body["param"], &body["code"]),
            (400, &json!("messages"), &json!("empty_array"))
        );
        let kept: Value = rehearsal.get("/requests").await.json().await.unwrap();
        assert_eq!(kept["count"], 3);
        let statuses: Vec<&Value> = kept["requests"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| &r["status"])
            .collect();
        assert_eq!(statuses, [401, 404, 400]);
        assert_eq!(kept["requests"][1]["body"], says("tea?", true));
        assert!(
            kept["requests"][2]["refused"]
                .as_str()
                .unwrap()
                .contains("empty array")
        );
        assert!(!kept.to_string().contains(KEY), "a key is never kept");
    }

    #[tokio::test]
    async fn other_addresses_are_answered_as_a_provider_answers_them() {
        let rehearsal = Rehearsal::open(look()).await;
        let large = says(&"x".repeat(BODY_BYTES_MAX), false);
        assert_eq!(
            error(rehearsal.ask(&large).send().await.unwrap()).await.0,
            413
        );
        assert_eq!(
            error(rehearsal.get("/v1/chat/completions").await).await.0,
            405
        );
        let (status, body) = error(rehearsal.get("/v1/completions").await).await;
        assert_eq!(
            (status, &body["message"]),
            (404, &json!("Invalid URL (GET /v1/completions)"))
        );
        let models: Value = rehearsal.get("/v1/models").await.json().await.unwrap();
        assert_eq!(
            (&models["object"], &models["data"][0]["id"]),
            (&json!("list"), &json!("gpt-4o-mini"))
        );
    }

    /// What each fault looks like from outside, streamed and not: status, content type, and a text in the body, or `None` where the
    /// body breaks off.
    fn looks(kind: FaultKind, stream: bool) -> (u16, &'static str, Option<&'static str>) {
        const JSON: &str = "application/json";
        let own = if stream {
            "text/event-stream; charset=utf-8"
        } else {
            JSON
        };
        match kind {
            FaultKind::RateLimited | FaultKind::RateLimitedDate => {
                (429, JSON, Some("rate_limit_exceeded"))
            }
            FaultKind::RateLimitedHtml => (429, "text/html; charset=utf-8", Some("<h1>")),
            FaultKind::NumericCode => (429, JSON, Some("\"code\":429")),
            FaultKind::NumericCodeBadRequest => (400, JSON, Some("\"code\":400")),
            FaultKind::Quota => (429, JSON, Some("insufficient_quota")),
            FaultKind::Unauthorized => (401, JSON, Some("invalid_api_key")),
            FaultKind::ServerError => (500, JSON, Some("server_error")),
            FaultKind::Unavailable => (503, JSON, Some("overloaded")),
            FaultKind::Cut | FaultKind::Reset => (200, own, None),
            FaultKind::NoFinish => (
                200,
                own,
                Some(if stream {
                    "look"
                } else {
                    "\"finish_reason\":null"
                }),
            ),
            FaultKind::DoneOnly => (
                200,
                own,
                Some(if stream {
                    "data: [DONE]"
                } else {
                    "\"choices\":[]"
                }),
            ),
            FaultKind::Garbage => (200, own, Some("{\"id\": chatcmpl, choices}")),
            FaultKind::RandomBytes => (200, own, Some("")),
            FaultKind::ErrorInStream => (200, own, Some("\"type\":\"server_error\"")),
            FaultKind::MissingIndex | FaultKind::MissingId => {
                (200, own, Some("\"type\":\"function\""))
            }
            FaultKind::RepeatedIds => (200, own, Some("\"id\":\"call_1\"")),
            FaultKind::OddFields => (200, own, Some("\"eos\"")),
            FaultKind::ArgumentsObject => (200, own, Some("\"arguments\":{\"item\":\"sugar\"}")),
            FaultKind::EndlessCalls => (200, own, Some("\"name\":\"look\"")),
            FaultKind::WrongArguments => (200, own, Some("no_such_ar")),
            FaultKind::NotJsonArguments => (200, own, Some("sug")),
            FaultKind::UnknownTool => (200, own, Some("no_such_tool")),
            FaultKind::JsonInsteadOfStream => (200, JSON, Some("\"object\":\"chat.completion\"")),
            FaultKind::StreamInsteadOfJson => (
                200,
                "text/event-stream; charset=utf-8",
                Some("chat.completion.chunk"),
            ),
            FaultKind::Hang | FaultKind::HangAfterHeaders | FaultKind::Drip => {
                unreachable!("they take too long for a table")
            }
        }
    }

    #[tokio::test]
    async fn every_fault_is_what_it_says() {
        let rehearsal = Rehearsal::open(look()).await;
        let long = [
            FaultKind::Hang,
            FaultKind::HangAfterHeaders,
            FaultKind::Drip,
        ];
        let kinds = FaultKind::all().iter().filter(|kind| !long.contains(kind));
        let mut bodies = HashMap::new();
        for (&kind, stream) in kinds.flat_map(|kind| [(kind, true), (kind, false)]) {
            rehearsal.running.stub.set_faults([Fault::always(kind)]);
            let (status, content_type, body) = rehearsal.answer(&says("sugar?", stream)).await;
            let (wanted_status, wanted_type, wanted) = looks(kind, stream);
            assert_eq!(
                (status, content_type.as_str()),
                (wanted_status, wanted_type),
                "{kind}"
            );
            match (body, wanted) {
                (Ok(body), Some(wanted)) => {
                    let text = String::from_utf8_lossy(&body);
                    assert!(text.contains(wanted), "{kind}: {wanted} is not in {text}");
                    bodies.insert((kind, stream), body);
                }
                (Err(_), None) => {}
                (body, _) => panic!("{kind}: {body:?}"),
            }
            let kept = rehearsal.running.stub.requests();
            assert_eq!(kept.last().unwrap().fault, Some(kind));
        }
        let noise = &bodies[&(FaultKind::RandomBytes, true)];
        assert!(std::str::from_utf8(noise).is_err());
        let text = |kind| String::from_utf8_lossy(&bodies[&(kind, true)]).into_owned();
        assert!(
            !text(FaultKind::MissingIndex).contains("\"tool_calls\":[{\"index\"")
                && !text(FaultKind::NoFinish).contains("[DONE]")
        );
        let whole = |kind| serde_json::from_slice::<Value>(&bodies[&(kind, false)]).unwrap();
        let arguments = whole(FaultKind::NotJsonArguments)["choices"][0]["message"]["tool_calls"]
            [0]["function"]["arguments"]
            .clone();
        assert!(serde_json::from_str::<Value>(arguments.as_str().unwrap()).is_err());
    }

    #[tokio::test]
    async fn waiting_times_are_seconds_or_dates() {
        let rehearsal = Rehearsal::open(look()).await;
        for (kind, wanted) in [
            (FaultKind::RateLimited, "1"),
            (FaultKind::Unavailable, "86400"),
            (FaultKind::RateLimitedDate, " GMT"),
        ] {
            rehearsal.running.stub.set_faults([Fault::always(kind)]);
            let response = rehearsal.ask(&says("sugar?", true)).send().await.unwrap();
            let wait = response.headers()["retry-after"].to_str().unwrap();
            assert!(wait.ends_with(wanted), "{kind}: {wait}");
            if kind == FaultKind::RateLimitedDate {
                let then = chrono::DateTime::parse_from_rfc2822(wait).unwrap();
                let left = then.to_utc() - rehearsal.running.stub.clock.now();
                assert!((0..=2).contains(&left.num_seconds()), "{wait}");
            }
        }
    }

    #[tokio::test]
    async fn counted_faults_end_one_after_the_other() {
        let rehearsal = Rehearsal::open(look()).await;
        let faults = json!(["server_error", {"kind": "rate_limited", "times": 1}]);
        let put = |path: &str, body: &Value| {
            rehearsal
                .http
                .put(format!("{}{path}", rehearsal.running.url()))
                .json(body)
                .send()
        };
        let mut counted = faults.clone();
        counted[0] = json!({"kind": "server_error", "times": 2});
        assert_eq!(put("/faults", &counted).await.unwrap().status(), 200);
        let mut statuses = Vec::new();
        for _ in 0..5 {
            statuses.push(rehearsal.answer(&says("sugar?", true)).await.0);
        }
        assert_eq!(statuses, [500, 500, 429, 200, 200]);
        assert_eq!(put("/faults", &faults).await.unwrap().status(), 200);
        assert_eq!(
            rehearsal.answer(&says("sugar?", true)).await.0,
            500,
            "without a count it never ends"
        );
        let refused = put("/faults", &json!(["slow"])).await.unwrap();
        assert_eq!(refused.status(), 400);
        assert!(
            refused
                .text()
                .await
                .unwrap()
                .contains("unknown variant `slow`")
        );
        assert_eq!(put("/faults", &json!([])).await.unwrap().status(), 200);
        assert_eq!(rehearsal.answer(&says("sugar?", true)).await.0, 200);
    }

    #[tokio::test]
    async fn a_script_is_replaced_while_it_serves() {
        let rehearsal = Rehearsal::open(look()).await;
        let put = |body: &Value| {
            rehearsal
                .http
                .put(format!("{}/script", rehearsal.running.url()))
                .json(body)
                .send()
        };
        let refused = put(&json!({"scenes": [{"when": "any", "answers": []}]}))
            .await
            .unwrap();
        assert_eq!(refused.status(), 400);
        assert!(
            refused
                .text()
                .await
                .unwrap()
                .contains("scenes[0].answers: at least one")
        );
        assert_eq!(
            rehearsal.answer(&says("tea?", false)).await.0,
            404,
            "a script that is refused changes nothing"
        );
        let put = put(&json!({"scenes": [{"when": "any", "answers": [{"say": "{{message}}!"}]}]}));
        assert_eq!(
            put.await.unwrap().json::<Value>().await.unwrap(),
            json!({"scenes": 1})
        );
        let (_, _, body) = rehearsal.answer(&says("tea", false)).await;
        assert!(
            String::from_utf8(body.unwrap())
                .unwrap()
                .contains("\"tea!\"")
        );
    }

    #[tokio::test]
    async fn answers_that_never_come_end_with_the_stub() {
        let rehearsal = Rehearsal::open(look()).await;
        let stub = &rehearsal.running.stub;
        stub.set_faults([Fault::always(FaultKind::Hang)]);
        let hanging = tokio::spawn(rehearsal.ask(&says("sugar?", true)).send());
        while stub.requests().is_empty() {
            tokio::task::yield_now().await;
        }
        stub.set_faults([Fault::always(FaultKind::HangAfterHeaders)]);
        let mut begun = rehearsal.ask(&says("sugar?", true)).send().await.unwrap();
        assert_eq!(begun.status(), 200);
        stub.set_faults([Fault::always(FaultKind::Drip)]);
        let mut dripping = rehearsal.ask(&says("sugar?", true)).send().await.unwrap();
        let drop = dripping.chunk().await.unwrap().unwrap();
        assert_eq!(&drop[..], b"d", "one byte at a time");
        assert!(
            tokio::time::timeout(GLIMPSE, begun.chunk()).await.is_err(),
            "headers and no more"
        );
        assert!(!hanging.is_finished());
        rehearsal.running.stop().await;
        let ended = hanging.await.unwrap();
        assert!(ended.is_err() || begun.chunk().await.is_err());
        assert!(begun.chunk().await.is_err());
    }
}
