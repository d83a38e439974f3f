//! Scenes over the whole router: what a client sends, what it gets.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::middleware;
use axum::response::Response;
use contracts::http::chat::ChatStatus;
use contracts::http::event::EventBody;
use contracts::http::problem::Problem;
use futures::StreamExt as _;
use http::{HeaderMap, Request, StatusCode, header};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::app::App;
use crate::config::Config;
use crate::turns::{Channel, TurnError};

/// Longest a scene waits for anything.
const PATIENCE: Duration = Duration::from_secs(20);

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    /// The payloads of a stream, `[DONE]` left out.
    fn frames(&self) -> Vec<Value> {
        let payloads = self.text.lines().filter_map(|l| l.strip_prefix("data: "));
        payloads
            .filter(|p| *p != "[DONE]")
            .map(|p| serde_json::from_str(p).unwrap())
            .collect()
    }

    fn kinds(&self) -> Vec<String> {
        let kinds = self.frames().into_iter();
        kinds
            .map(|f| f["type"].as_str().unwrap().to_owned())
            .collect()
    }

    fn ids(&self) -> Vec<String> {
        let ids = self.text.lines().filter_map(|l| l.strip_prefix("id: "));
        ids.map(str::to_owned).collect()
    }

    fn is_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(
            self.headers[header::CONTENT_TYPE],
            "application/problem+json"
        );
        let problem: Problem = serde_json::from_str(&self.text).unwrap();
        assert_eq!(problem.status, status);
        assert_eq!(problem.kind, format!("urn:countersign:problem:{code}"));
        assert_eq!(self.json()["code"], code);
        let request_id = self.headers["x-request-id"].to_str().unwrap();
        assert_eq!(problem.request_id.as_deref(), Some(request_id));
    }
}

fn app() -> Arc<App> {
    App::scripted(Config {
        body_bytes_max: 20_000,
        ..Config::default()
    })
}

/// `POST /agent/chat | Accept: text/event-stream`
async fn open(app: &Arc<App>, line: &str, body: impl Into<Body>) -> Response {
    let mut parts = line.split(" | ");
    let (method, path) = parts.next().unwrap().split_once(' ').unwrap();
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "localhost:8000");
    for part in parts {
        let (name, value) = part.split_once(": ").unwrap();
        request = request.header(name, value);
    }
    if request
        .headers_ref()
        .is_some_and(|h| method == "POST" && !h.contains_key(header::CONTENT_TYPE))
    {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    let request = request.body(body.into()).unwrap();
    super::router(Arc::clone(app))
        .oneshot(request)
        .await
        .unwrap()
}

async fn ask(app: &Arc<App>, line: &str, body: impl Into<Body>) -> Answer {
    read(open(app, line, body).await).await
}

async fn read(response: Response) -> Answer {
    let (parts, body) = response.into_parts();
    let bytes = tokio::time::timeout(PATIENCE, axum::body::to_bytes(body, 1 << 20))
        .await
        .expect("the answer ends")
        .unwrap();
    Answer {
        status: parts.status,
        headers: parts.headers,
        text: String::from_utf8(bytes.to_vec()).unwrap(),
    }
}

fn says(message: &str) -> String {
    json!({"session_id": "s1", "message": message}).to_string()
}

/// What cannot be read: `status code: request`, then the body after `<`.
const UNREADABLE: &str = r#"
400 invalid_request: POST /agent/chat < {"message"
400 invalid_request: POST /agent/chat <
400 invalid_request: POST /agent/chat < {}
400 invalid_request: POST /agent/chat < {"message": 7}
400 invalid_request: POST /agent/chat < {"message": "a\u0000b"}
400 invalid_session_id: POST /agent/chat < {"message": "x", "session_id": "a b"}
422 empty_message: POST /agent/chat < {"message": " \n "}
415 unsupported_media_type: POST /agent/chat | Content-Type: text/plain < {"message": "x"}
400 invalid_request: POST /agent/chat | Idempotency-Key: a b < {"message": "x"}
403 forbidden: POST /agent/chat | Origin: https://evil.example < {"message": "x"}
405 method_not_allowed: GET /agent/chat
405 method_not_allowed: DELETE /api/agent/chat
404 not_found: GET /agent/nothing
404 not_found: GET /api/nothing
400 invalid_request: GET /agent/runs/7
404 not_found: GET /agent/runs/00000000-0000-0000-0000-000000000007
404 not_found: GET /agent/chat/unknown/stream
400 invalid_session_id: GET /agent/chat/a%20b/stream
400 invalid_session_id: GET /agent/chat/%FF/stream
400 invalid_request: GET /agent/chat/stream
422 empty_message: GET /agent/chat/stream?message=
400 invalid_request: GET /agent/chat/stream?message=a&message=b
400 invalid_request: GET /agent/chat/stream?message=a&request_id=a%20b
400 invalid_request: GET /agent/chat/stream?message=a | Last-Event-ID: 12
404 not_found: GET /agent/chat/stream?message=a | Last-Event-ID: 00000000-0000-0000-0000-000000000007:1
400 invalid_request: POST /agent/approvals/x < {"decision": "approve"}
400 invalid_request: POST /agent/approvals/00000000-0000-0000-0000-000000000007 < {"decision": "maybe"}
404 not_found: POST /agent/approvals/00000000-0000-0000-0000-000000000007 < {"decision": "deny"}
"#;

#[tokio::test]
async fn what_cannot_be_read_is_a_problem_with_a_stable_code() {
    let app = app();
    for row in UNREADABLE.lines().filter(|row| !row.is_empty()) {
        let (expected, request) = row.split_once(": ").unwrap();
        let (status, code) = expected.split_once(' ').unwrap();
        let (line, body) = request.split_once(" <").unwrap_or((request, ""));
        let answer = ask(&app, line, body.trim().to_owned()).await;
        assert_eq!(answer.status.as_str(), status, "{row}: {}", answer.text);
        answer.is_problem(status.parse().unwrap(), code);
    }
    let chat = "POST /agent/chat";
    let long = says(&"é".repeat(2001));
    ask(&app, chat, long)
        .await
        .is_problem(422, "message_too_long");
    let large = says(&"x".repeat(30_000));
    ask(&app, chat, large).await.is_problem(413, "too_large");
    assert!(app.script().begun.is_empty(), "nothing was started");
    let wrong_method = ask(&app, "GET /agent/chat", "").await;
    assert_eq!(wrong_method.headers[header::ALLOW], "POST");
}

#[tokio::test]
async fn a_handler_that_panics_is_answered_like_any_other_failure() {
    let app = app();
    let panicking = axum::routing::get(async || -> StatusCode { panic!("a bug") });
    let finished = middleware::from_fn_with_state(app, super::problem::finish);
    let router = axum::Router::new().route("/", panicking).layer(finished);
    let request = Request::builder().body(Body::empty()).unwrap();
    read(router.oneshot(request).await.unwrap())
        .await
        .is_problem(500, "internal");
}

#[tokio::test]
async fn what_the_engine_refuses_is_a_problem_that_says_nothing_technical() {
    let app = app();
    let broken = || "error returned from database: relation does not exist".to_owned();
    for (refusal, status, code) in [
        (TurnError::NotFound, 404, "not_found"),
        (TurnError::Forbidden("not yours"), 403, "forbidden"),
        (TurnError::Conflict("key"), 409, "conflict"),
        (TurnError::Busy, 409, "session_busy"),
        (TurnError::Expired, 410, "expired"),
        (TurnError::RateLimited, 429, "rate_limited"),
        (TurnError::Unavailable(broken()), 503, "unavailable"),
        (TurnError::Internal(broken()), 500, "internal"),
    ] {
        app.script().refuse_next = Some(refusal);
        let line = "POST /agent/chat | Accept: text/event-stream | X-Request-Id: mine-1";
        let answer = ask(&app, line, says("hello")).await;
        answer.is_problem(status, code);
        assert_eq!(answer.headers["x-request-id"], "mine-1");
        assert!(!answer.text.contains("database"), "{}", answer.text);
        assert_eq!(answer.headers.contains_key("retry-after"), status == 429);
        match status {
            503 => assert_eq!(
                answer.json()["detail"],
                "Unable to reach the system. Please try again."
            ),
            500 => assert_eq!(answer.json()["detail"], "System error. Please try again."),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_message_is_answered_whole_or_streamed_under_both_prefixes() {
    let app = app();
    for prefix in ["", "/api"] {
        let line = format!("POST {prefix}/agent/chat | Idempotency-Key: k{prefix}");
        let whole = ask(&app, &line, says("Add 20kg sugar")).await;
        assert_eq!(whole.status, StatusCode::OK);
        assert_eq!(whole.headers[header::CACHE_CONTROL], "no-store");
        assert_eq!(whole.json()["status"], json!(ChatStatus::Success));
        assert_eq!(whole.json()["session_id"], "s1");

        // The same key attaches, so the stream tells of the same run.
        let line = format!("{line} | Accept: text/event-stream");
        let streamed = ask(&app, &line, says("Add 20kg sugar")).await;
        assert_eq!(streamed.headers[header::CONTENT_TYPE], "text/event-stream");
        assert_eq!(streamed.headers["x-vercel-ai-ui-message-stream"], "v1");
        assert_eq!(streamed.headers["x-accel-buffering"], "no");
        assert_eq!(streamed.headers[header::CACHE_CONTROL], "no-cache");
        assert!(streamed.text.starts_with("retry: 3000\n\n"));
        assert!(streamed.text.ends_with("data: [DONE]\n\n"));
        let start = &streamed.frames()[0];
        assert_eq!(start["messageMetadata"]["runId"], whole.json()["run_id"]);
    }
    let begun = &app.script().begun;
    assert_eq!(begun.len(), 2);
    assert_eq!(begun[0].channel, Channel::Api);
}

#[tokio::test]
async fn a_get_never_starts_work_twice() {
    let app = app();
    let line = "GET /agent/chat/stream?session_id=s1&message=Add%2020kg%20sugar";
    let first = ask(&app, line, "").await;
    let again = ask(&app, line, "").await;
    assert_eq!(first.text, again.text);
    let keyed = format!("{line}&request_id=r1");
    ask(&app, &keyed, "").await;
    ask(&app, &keyed, "").await;
    let head = ask(&app, "HEAD /agent/chat/stream?message=other", "").await;
    assert_eq!(head.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(head.headers[header::ALLOW], "GET");
    assert_eq!(app.script().begun.len(), 2);

    // An EventSource that reconnects reads on from where it was, and stops when nothing is left.
    let ids = first.ids();
    let seen = &ids[3];
    let rest = ask(&app, &format!("{line} | Last-Event-ID: {seen}"), "").await;
    assert_eq!(rest.ids(), ids[4..]);
    let last = ids.last().unwrap();
    let nothing = ask(&app, &format!("{line} | Last-Event-ID: {last}"), "").await;
    assert_eq!(nothing.status, StatusCode::NO_CONTENT);
    assert_eq!(app.script().begun.len(), 2);
}

#[tokio::test]
async fn a_client_attaches_to_the_run_that_is_being_worked_on() {
    let app = app();
    let attach = "GET /agent/chat/s1/stream";
    let running = open(
        &app,
        "POST /agent/chat | Accept: text/event-stream",
        says("hold"),
    )
    .await;
    // The first client goes away; the run does not.
    drop(running);
    let attached = open(&app, attach, "").await;
    let mut body = attached.into_body().into_data_stream();
    let mut text = String::new();
    while !text.contains("start-step") {
        let chunk = tokio::time::timeout(PATIENCE, body.next()).await.unwrap();
        text.push_str(std::str::from_utf8(&chunk.unwrap().unwrap()).unwrap());
    }
    assert!(text.contains("\"type\":\"start\""), "{text}");

    let id = text.lines().find_map(|l| l.strip_prefix("id: ")).unwrap();
    let run_id: Uuid = id.split(':').next().unwrap().parse().unwrap();
    let status = ChatStatus::Success;
    let usage = contracts::http::chat::Usage::default();
    app.push(run_id, EventBody::Finished { status, usage });
    while !text.contains("[DONE]") {
        let chunk = tokio::time::timeout(PATIENCE, body.next()).await.unwrap();
        text.push_str(std::str::from_utf8(&chunk.unwrap().unwrap()).unwrap());
    }
    let over = ask(&app, attach, "").await;
    assert_eq!(over.status, StatusCode::NO_CONTENT);
    let missed = ask(&app, &format!("{attach} | Last-Event-ID: {run_id}:2"), "").await;
    assert_eq!(missed.kinds(), ["finish-step", "finish"]);
}

#[tokio::test]
async fn a_question_is_answered_once_by_rest() {
    let app = app();
    let asked = ask(&app, "POST /agent/chat", says("Create a bill for Ali")).await;
    assert_eq!(asked.json()["status"], "pending_confirmation");
    let id = asked.json()["confirmations"][0]["approval_id"].clone();
    let line = format!("POST /agent/approvals/{}", id.as_str().unwrap());

    let yes = ask(&app, &line, "{\"decision\": \"approve\"}").await;
    let yes_again = ask(&app, &line, "{\"decision\": \"approve\"}").await;
    assert_eq!(yes.status, StatusCode::OK);
    assert_eq!(yes.text, yes_again.text);
    ask(&app, &line, "{\"decision\": \"deny\"}")
        .await
        .is_problem(409, "conflict");
    let streamed = ask(
        &app,
        &format!("{line} | Accept: text/event-stream"),
        "{\"decision\": \"approve\"}",
    )
    .await;
    assert_eq!(
        streamed.kinds()[..3],
        ["start", "data-confirmation", "tool-output-available"]
    );
    assert_eq!(app.script().answered.len(), 1);
    assert_eq!(app.script().answered[0].3, "rest");
    let trace = format!(
        "GET /agent/runs/{}",
        asked.json()["run_id"].as_str().unwrap()
    );
    assert_eq!(ask(&app, &trace, "").await.json()["session_id"], "s1");
}

#[tokio::test]
async fn an_ai_sdk_client_answers_two_questions_of_one_message_at_once() {
    let app = app();
    let user =
        json!({"id": "m1", "role": "user", "parts": [{"type": "text", "text": "two bills"}]});
    let body = json!({"id": "s1", "trigger": "submit-message", "messages": [user]}).to_string();
    let asked = ask(&app, "POST /api/agent/chat", body.clone()).await;
    let retried = ask(&app, "POST /api/agent/chat", body).await;
    assert_eq!(asked.text, retried.text, "a retry attaches");
    let requests: Vec<Value> = asked
        .frames()
        .into_iter()
        .filter(|f| f["type"] == "tool-approval-request")
        .collect();
    let part = |n: usize, approved: bool| {
        json!({"type": "dynamic-tool", "toolCallId": requests[n]["toolCallId"], "state": "approval-responded",
            "approval": {"id": requests[n]["approvalId"], "approved": approved, "reason": "as agreed"}})
    };
    let message = json!({"role": "assistant", "parts": [part(0, true), part(1, false)]});
    let body = json!({"id": "s1", "trigger": "submit-message", "messages": [user, message]});
    let answered = ask(&app, "POST /api/agent/chat", body.to_string()).await;

    let start = &answered.frames()[0];
    assert_eq!(
        start["messageId"],
        asked.frames()[0]["messageId"],
        "one message"
    );
    let kinds = answered.kinds();
    let place = |kind: &str| kinds.iter().position(|k| k == kind).unwrap();
    assert!(place("tool-output-available") < place("tool-output-denied"));
    assert_eq!(kinds.iter().filter(|k| *k == "finish").count(), 1);
    assert_eq!(kinds.last().unwrap(), "finish");
    let script = app.script();
    assert_eq!(script.answered.len(), 2);
    assert_eq!(script.answered[0].2.as_deref(), Some("as agreed"));
}

#[tokio::test]
async fn a_yes_in_words_opens_a_message_that_stands_on_its_own() {
    let app = app();
    ask(&app, "POST /agent/chat", says("Create a bill for Ali")).await;
    let line = "POST /agent/chat | Accept: text/event-stream";
    let yes = ask(&app, line, says("yes")).await;
    assert_eq!(
        yes.kinds()[..5],
        [
            "start",
            "data-confirmation",
            "tool-input-start",
            "tool-input-available",
            "tool-output-available"
        ]
    );
}

#[tokio::test]
async fn the_document_describes_what_is_served() {
    let document = serde_json::to_value(super::api_document()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    assert_eq!(
        paths,
        [
            "/agent/approvals/{id}",
            "/agent/chat",
            "/agent/chat/stream",
            "/agent/chat/{session_id}/stream",
            "/agent/runs/{id}",
            "/healthz"
        ]
    );
    let text = document.to_string();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name} is not described");
    }
    let health = ask(&app(), "GET /healthz", "").await;
    assert_eq!(
        health.json(),
        json!({"service": "countersign-agent", "status": "ok"})
    );
}

#[tokio::test]
async fn the_page_runs_only_what_we_serve() {
    let app = app();
    let linked = "GET / | Sec-Fetch-Site: cross-site | Sec-Fetch-Mode: navigate";
    let page = ask(&app, linked, "").await;
    assert_eq!(page.status, StatusCode::OK);
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'"));
    assert!(!policy.contains("unsafe"));
    assert_eq!(page.headers["x-frame-options"], "DENY");
    for link in page.text.split('"').filter(|l| l.starts_with("/static/")) {
        let answer = ask(&app, &format!("GET {link}"), "").await;
        assert_eq!(answer.status, StatusCode::OK, "{link}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    }
    for example in crate::pages::EXAMPLES {
        assert!(page.text.contains(example));
    }
}
