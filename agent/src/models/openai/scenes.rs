//! Everything a provider does to us.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse;
use axum::routing::post;
use futures::{StreamExt as _, stream};
use migrations::clock::SystemClock;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Provider;
use super::testing::{End, Reply, Screen, Stub, asks, delta, finish, manner, sse};
use crate::config::{ModelManner, ProviderAddress};
use crate::models::{ModelAnswer, ModelError};

async fn ask(stub: &Stub, manner: &ModelManner) -> (Result<ModelAnswer, ModelError>, Screen) {
    let provider = stub.provider(manner);
    let mut screen = Screen::default();
    let deadline = Instant::now() + manner.timeout;
    let answer = provider.ask(&asks("hello"), &mut screen, deadline).await;
    (answer, screen)
}

/// The text of the answer, which must also be what was shown, and how often it was asked for.
async fn text(replies: &[Reply], manner: &ModelManner) -> (String, usize) {
    let stub = Stub::replies(replies);
    let (answer, screen) = ask(&stub, manner).await;
    let answer = answer.unwrap();
    assert_eq!(answer.text, screen.text);
    assert_eq!(answer.model, "test-model");
    (answer.text, stub.seen().len())
}

#[tokio::test]
async fn the_request_goes_to_the_address_with_the_key_or_without_any() {
    let stub = Stub::replies(&[Reply::says("Hello.")]);
    let deadline = Instant::now() + manner().timeout;
    for key in [Some("sk-test"), None] {
        let provider = stub.provider_with(&manner(), key);
        let mut screen = Screen::default();
        provider
            .ask(&asks("hello"), &mut screen, deadline)
            .await
            .unwrap();
    }
    let seen = stub.seen();
    assert_eq!(seen[0].url, "http://model.test/v1/chat/completions");
    assert_eq!(seen[0].authorization.as_deref(), Some("Bearer sk-test"));
    assert_eq!(seen[1].authorization, None);
    assert_eq!(seen[0].body["model"], "test-model");
    assert_eq!(seen[0].body["messages"][1]["content"], "hello");
    assert_eq!(seen[0].body["tools"], seen[1].body["tools"]);
}

#[tokio::test]
async fn an_answer_is_read_in_whatever_envelope_it_comes() {
    let whole =
        json!({"choices": [{"message": {"content": "Three kg."}, "finish_reason": "stop"}]});
    let pretty = serde_json::to_string_pretty(&whole).unwrap();
    let chunks = [delta(&json!({"content": "Three kg."})), finish("eos")];
    let events = String::from_utf8(sse(&chunks)).unwrap();
    let json_type = |body: &str| Reply::new(200, body).header("content-type", "application/json");
    for stream in [true, false] {
        let manner = ModelManner { stream, ..manner() };
        for (envelope, reply) in [
            ("as asked or not", json_type(&pretty)),
            ("without a type", Reply::new(200, pretty.clone())),
            (
                "after a mark and white space",
                Reply::new(200, format!("\u{feff} \r\n{pretty}")),
            ),
            ("events called JSON", json_type(&events)),
            (
                "without the last empty line",
                Reply::new(200, events.trim_end()),
            ),
            (
                "with carriage returns",
                Reply::new(200, events.replace('\n', "\r\n")),
            ),
            (
                "with comments and keep-alives",
                Reply::new(
                    200,
                    format!(": PROCESSING\n\nevent: keepalive\ndata: {{}}\n\n{events}: bye\n\n"),
                ),
            ),
            (
                "with a broken end",
                Reply::new(200, events.clone()).ending(End::Cut),
            ),
            (
                "with nonsense after the end",
                Reply::new(200, format!("{events}data: oops\n\n")),
            ),
        ] {
            let (said, asked) = text(&[reply], &manner).await;
            assert_eq!(
                (said.as_str(), asked),
                ("Three kg.", 1),
                "{envelope}, {stream}"
            );
        }
    }
}

/// The trouble, then an answer: how often a text was taken back.
async fn recovers_from(reply: Reply) -> usize {
    let trouble = format!("{reply:?}");
    let stub = Stub::replies(&[reply, Reply::says("Three kg.")]);
    let (answer, screen) = ask(&stub, &manner()).await;
    assert_eq!(answer.unwrap().text, "Three kg.", "{trouble}");
    assert_eq!(screen.text, "Three kg.", "{trouble}");
    assert_eq!(stub.seen().len(), 2, "{trouble}");
    screen.started_over
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    for (status, body) in [
        (408, ""),
        (409, ""),
        (425, ""),
        (429, "<html>slow</html>"),
        (429, r#"{"error":{"code":429,"message":"slow"}}"#),
        (500, "Traceback"),
        (503, "{}"),
        (200, "<html>welcome</html>"),
        (200, r#"{"error":{"message":"busy","code":503}}"#),
        (200, "data: {\"error\":\"busy\"}\n\n"),
        (200, "data: [DONE]\n\n"),
        (200, "data: {\"choices\": [{\n\n"),
        (200, ""),
    ] {
        let reply = Reply::new(status, body).header("retry-after", "0");
        assert_eq!(recovers_from(reply).await, 0);
    }
    let not_text = Reply::new(200, b"data: \xff\xfe\n\n".to_vec());
    assert_eq!(recovers_from(not_text).await, 0);
}

#[tokio::test]
async fn what_was_said_by_an_answer_that_broke_is_taken_back() {
    for (rest, end) in [
        ("", End::Clean),
        ("", End::Cut),
        ("data: [DONE]\n\n", End::Clean),
        ("data: {\"cho\n\n", End::Clean),
        ("data: {\"error\":{\"message\":\"busy\"}}\n\n", End::Clean),
    ] {
        let begun = sse(&[delta(&json!({"content": "Thr"}))]);
        let reply = Reply::new(200, [&begun, rest.as_bytes()].concat()).ending(end);
        assert_eq!(recovers_from(reply).await, 1);
    }
}

#[tokio::test]
async fn it_is_asked_as_often_as_the_setting_says_and_no_more() {
    for retries in [0, 2] {
        let manner = ModelManner {
            retries,
            ..manner()
        };
        let stub = Stub::replies(&[Reply::new(500, "down")]);
        let (answer, _) = ask(&stub, &manner).await;
        assert!(matches!(answer, Err(ModelError::Unavailable(cause)) if cause.contains("500")));
        assert_eq!(stub.seen().len(), retries + 1);
    }
}

#[tokio::test]
async fn what_cannot_pass_is_not_tried_again() {
    for (status, body, unusable) in [
        (
            400,
            r#"{"object":"error","message":"too long","code":400}"#,
            false,
        ),
        (422, "[]", false),
        (401, "no", true),
        (403, "no", true),
        (404, "no", true),
        (
            429,
            r#"{"error":{"code":"insufficient_quota","message":"pay"}}"#,
            true,
        ),
        (307, "", true),
    ] {
        let stub = Stub::replies(&[Reply::new(status, body)]);
        let (answer, _) = ask(&stub, &manner()).await;
        match answer.unwrap_err() {
            ModelError::Unusable(cause) => assert!(unusable && cause.contains(&status.to_string())),
            ModelError::Refused(cause) => assert!(!unusable && cause.contains(&status.to_string())),
            ModelError::Unavailable(cause) => panic!("{status}: {cause}"),
        }
        assert_eq!(stub.seen().len(), 1);
    }
    let filtered = Stub::replies(&[Reply::stream(&[finish("content_filter")])]);
    let (answer, _) = ask(&filtered, &manner()).await;
    assert!(matches!(answer, Err(ModelError::Refused(_))));
    assert_eq!(filtered.seen().len(), 1);
}

#[tokio::test]
async fn silence_before_and_within_an_answer_ends_the_attempt() {
    let idle = Duration::from_millis(100);
    let manner = ModelManner { idle, ..manner() };
    let begun = Reply::new(200, sse(&[delta(&json!({"content": "Thr"}))])).ending(End::Silent);
    let comment = Reply::new(200, ": wait\n\n").ending(End::Silent);
    let refusal = Reply::new(503, "").ending(End::Silent);
    for first in [None, Some(begun), Some(comment), Some(refusal)] {
        let stub = Stub::new(move |n| {
            if n == 0 {
                first.clone()
            } else {
                Some(Reply::says("Three kg."))
            }
        });
        let (answer, _) = ask(&stub, &manner).await;
        assert_eq!(answer.unwrap().text, "Three kg.");
        assert_eq!(stub.seen().len(), 2);
    }
}

#[tokio::test]
async fn the_time_for_an_answer_is_never_exceeded() {
    let timeout = Duration::from_millis(300);
    let manner = ModelManner {
        timeout,
        retries: 10,
        ..manner()
    };
    let drip = || {
        let mut reply = Reply::new(200, sse(&[delta(&json!({"content": "a"}))]));
        reply.end = End::Silent;
        reply
    };
    for (trouble, reply) in [
        ("silence", None),
        ("a stream without an end", Some(drip())),
        (
            "a long wait asked for",
            Some(Reply::new(429, "").header("retry-after", "3600")),
        ),
        (
            "refused at once, again and again",
            Some(Reply::new(503, "").header("retry-after-ms", "40")),
        ),
    ] {
        let stub = Stub::new(move |_| reply.clone());
        let begun = Instant::now();
        let (answer, screen) = ask(&stub, &manner).await;
        assert!(
            matches!(answer, Err(ModelError::Unavailable(_))),
            "{trouble}"
        );
        let took = begun.elapsed();
        assert!(
            took < timeout + Duration::from_millis(250),
            "{trouble}: {took:?}"
        );
        assert_eq!(screen.text, "", "{trouble}");
    }
}

#[tokio::test]
async fn a_stream_that_floods_is_left() {
    let stub = Stub::replies(&[Reply::new(200, vec![b'x'; 3 * 1024 * 1024])]);
    let (answer, _) = ask(
        &stub,
        &ModelManner {
            retries: 0,
            ..manner()
        },
    )
    .await;
    assert!(matches!(answer, Err(ModelError::Unavailable(cause)) if cause.contains("too long")));
}

#[tokio::test]
async fn a_tool_with_a_name_providers_refuse_is_called_by_its_own_name() {
    let mut request = asks("list");
    Arc::make_mut(&mut request.tools)[0].name = "shop/list items".to_owned();
    let wire = super::names::wire_name("shop/list items").into_owned();
    let stub = Stub::replies(&[Reply::calls(&wire, &json!({}))]);
    let deadline = Instant::now() + manner().timeout;
    let answer = stub
        .provider(&manner())
        .ask(&request, &mut Screen::default(), deadline)
        .await;
    assert_eq!(answer.unwrap().calls[0].tool, "shop/list items");
    assert_eq!(
        stub.seen()[0].body["tools"][0]["function"]["name"],
        json!(wire)
    );
}

/// Text and two calls side by side, with everything the parser has to step over.
fn busy_stream() -> (Vec<u8>, ModelAnswer) {
    let piece = |index: u32, id: &str, name: &str, arguments: &str| {
        let mut function = json!({"arguments": arguments});
        if !name.is_empty() {
            function["name"] = json!(name);
        }
        delta(&json!({"tool_calls": [{"index": index, "id": id, "function": function}]}))
    };
    let chunks = [
        delta(&json!({"role": "assistant", "content": ""})),
        delta(&json!({"content": "Un momento, señor: "})),
        delta(&json!({"content": "azúcar 🍬."})),
        piece(0, "call_a", "inventory_get_item", "{\"item\":"),
        piece(1, "call_b", "billing_list_bills", ""),
        piece(0, "call_a", "", "\"azúcar\"}"),
        piece(1, "call_b", "", "{}"),
        finish("tool_calls"),
        json!({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4}}),
    ];
    let mut bytes = b": ping\r\n\r\n".to_vec();
    bytes.extend(sse(&chunks));
    bytes.extend(b"data: [DONE]\n\n");
    let call = |id: &str, tool: &str, arguments: Value| crate::models::ToolCall {
        id: id.to_owned(),
        tool: tool.to_owned(),
        arguments,
    };
    let answer = ModelAnswer {
        text: "Un momento, señor: azúcar 🍬.".to_owned(),
        calls: vec![
            call("call_a", "inventory_get_item", json!({"item": "azúcar"})),
            call("call_b", "billing_list_bills", json!({})),
        ],
        note: None,
        model: "test-model".to_owned(),
        input_tokens: 9,
        output_tokens: 4,
    };
    (bytes, answer)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn however_the_bytes_are_split_the_answer_is_the_same(cuts in prop::collection::vec(0_usize..2000, 0..40)) {
        let (bytes, expected) = busy_stream();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c % bytes.len()).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in cuts {
            pieces.push(bytes[from..cut].to_vec());
            from = cut;
        }
        pieces.push(bytes[from..].to_vec());
        let reply = Reply { pieces, ..Reply::new(200, "") };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let stub = Stub::replies(&[reply]);
        let (answer, screen) = runtime.block_on(ask(&stub, &manner()));
        prop_assert_eq!(&screen.text, &expected.text);
        prop_assert_eq!(answer.unwrap(), expected);

        prop_assert_eq!(stub.seen().len(), 1);
    }
}

#[tokio::test]
async fn every_single_cut_of_the_bytes_gives_the_same_answer() {
    let (bytes, expected) = busy_stream();
    let length = bytes.len();
    let stub = Stub::new(move |cut| {
        let pieces = vec![bytes[..cut].to_vec(), bytes[cut..].to_vec()];
        Some(Reply {
            pieces,
            ..Reply::new(200, "")
        })
    });
    let (provider, request) = (stub.provider(&manner()), asks("hello"));
    let deadline = Instant::now() + manner().timeout;
    for cut in 0..length {
        let answer = provider
            .ask(&request, &mut Screen::default(), deadline)
            .await;
        assert_eq!(answer.unwrap(), expected, "cut at {cut}");
    }
    assert_eq!(stub.seen().len(), length);
}

// ---- over a real socket

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/v1")
}

fn provider_at(base_url: &str, manner: &ModelManner) -> Provider {
    let address = ProviderAddress {
        base_url: base_url.to_owned(),
        key: None,
        model: "test-model".to_owned(),
    };
    Provider::new(&address, manner, Arc::new(SystemClock)).unwrap()
}

/// Tells when the response that holds it is dropped.
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn over_http_a_failing_server_is_asked_again_on_an_open_connection() {
    let hits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&hits);
    let router = Router::new().route(
        "/v1/chat/completions",
        post(move |body: String| async move {
            let body: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(body["stream"], true);
            if counted.fetch_add(1, Ordering::SeqCst) == 0 {
                return (
                    axum::http::StatusCode::TOO_MANY_REQUESTS,
                    [("retry-after", "0")],
                    "<html>",
                )
                    .into_response();
            }
            let (bytes, _) = busy_stream();
            let pieces = stream::iter(bytes.chunks(7).map(<[u8]>::to_vec).collect::<Vec<_>>());
            Body::from_stream(pieces.map(Ok::<_, std::io::Error>)).into_response()
        }),
    );
    let provider = provider_at(&serve(router).await, &manner());
    let mut screen = Screen::default();
    let deadline = Instant::now() + manner().timeout;
    let answer = provider.ask(&asks("hello"), &mut screen, deadline).await;
    assert_eq!(answer.unwrap(), busy_stream().1);
    assert_eq!(hits.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn dropping_the_answer_closes_the_connection() {
    let closed = Arc::new(AtomicBool::new(false));
    let guard = Arc::clone(&closed);
    let router = Router::new().route(
        "/v1/chat/completions",
        post(move || {
            let dropped = Dropped(Arc::clone(&guard));
            async move {
                let first = stream::iter([Ok::<_, std::io::Error>(sse(&[delta(
                    &json!({"content": "Thr"}),
                )]))]);
                // Comments go on for ever: only a closed connection ends this response.
                let drip = stream::unfold(dropped, |dropped| async move {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    Some((Ok(b": alive\n\n".to_vec()), dropped))
                });
                Body::from_stream(first.chain(drip)).into_response()
            }
        }),
    );
    let provider = provider_at(&serve(router).await, &manner());
    let mut screen = Screen::default();
    let deadline = Instant::now() + manner().timeout;
    let request = asks("hello");
    let asking = provider.ask(&request, &mut screen, deadline);
    let left = tokio::time::timeout(Duration::from_millis(300), asking).await;
    assert!(left.is_err());
    let patience = Instant::now() + Duration::from_secs(10);
    while !closed.load(Ordering::SeqCst) {
        assert!(
            Instant::now() < patience,
            "the response is still being written"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(screen.text, "Thr");
}

#[tokio::test]
async fn nobody_there_is_told_with_its_cause() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let manner = ModelManner {
        retries: 1,
        ..manner()
    };
    let provider = provider_at(&nobody, &manner);
    let deadline = Instant::now() + manner.timeout;
    let answer = provider
        .ask(&asks("hello"), &mut Screen::default(), deadline)
        .await;
    let Err(ModelError::Unavailable(cause)) = answer else {
        panic!("{answer:?}");
    };
    assert!(cause.to_lowercase().contains("refused"), "{cause}");
}
