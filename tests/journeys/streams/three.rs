//! What is the same in every protocol: headers, heartbeat, resumption, refusals.

use agent::app::Hooks;
use agent::config::Config;
use agent::start;
use e2e::world::World;
use e2e::world::model::{BEGUN, ENDED};
use e2e::world::sse::{Events, Stream};
use migrations::database::Role;
use migrations::settings::Reader;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{BILL, get, post, read, rehearsed, runs, says, sent};

const PROTOCOLS: [&str; 3] = ["ui", "agui", "native"];

/// What the person reads, whatever the protocol.
fn said(protocol: &str, events: &Events) -> String {
    let pieces = events.frames();
    let piece = |frame: &Value| {
        let text = match protocol {
            "ui" if frame["type"] == "text-delta" => &frame["delta"],
            "agui" if frame["type"] == "TEXT_MESSAGE_CONTENT" => &frame["delta"],
            "native" if frame["event"] == "text_delta" => &frame["data"]["delta"],
            _ => return String::new(),
        };
        text.as_str().expect("a text").to_owned()
    };
    pieces.iter().map(piece).collect()
}

/// Whether the last frame says how the turn ended.
fn is_whole(protocol: &str, events: &Events) -> bool {
    let frames = events.frames();
    let last = frames.last().cloned().unwrap_or_default();
    match protocol {
        "ui" => events.is_done() && last["type"] == "finish",
        "agui" => last["type"] == "RUN_FINISHED",
        _ => ["finished", "waiting"].contains(&last["event"].as_str().unwrap_or_default()),
    }
}

#[tokio::test]
async fn each_protocol_tells_the_same_run_in_its_own_words() {
    let world = World::open().await;
    let ask = |query: &str| {
        post(
            &world,
            &format!("/agent/chat{query}"),
            &says("What's in the beauty category?"),
        )
        .header("idempotency-key", "k")
    };
    let whole: Value = sent(
        world
            .http
            .post(format!("{}/agent/chat", world.agent.url()))
            .header("idempotency-key", "k")
            .json(&says("What's in the beauty category?")),
    )
    .await
    .json()
    .await
    .expect("JSON");
    for protocol in PROTOCOLS {
        // A protocol is a wish for a stream, whatever is accepted.
        let streamed = sent(ask(&format!("?protocol={protocol}")).header("accept", "*/*")).await;
        let headers = streamed.headers().clone();
        assert_eq!(headers["content-type"], "text/event-stream");
        assert_eq!(headers["cache-control"], "no-cache");
        assert_eq!(headers["x-accel-buffering"], "no");
        let named = headers.get("x-vercel-ai-ui-message-stream");
        assert_eq!(named.is_some(), protocol == "ui", "{protocol}");
        let events = Stream::of(streamed).end().await;
        assert!(is_whole(protocol, &events), "{events:?}");
        assert!(events.0.starts_with("retry: 3000\n\n"), "{events:?}");
        assert_eq!(json!(said(protocol, &events)), whole["response"]);
        assert_eq!(events.names().is_empty(), protocol != "native");
        assert_eq!(events.0.contains("[DONE]"), protocol == "ui");
        if protocol == "native" {
            let trace: Value = sent(get(
                &world,
                &format!(
                    "/agent/runs/{}",
                    whole["run_id"].as_str().unwrap_or_default()
                ),
            ))
            .await
            .json()
            .await
            .expect("JSON");
            assert_eq!(
                json!(events.frames()),
                trace["events"],
                "one frame per event, as it is stored"
            );
            let words: Vec<&str> = trace["events"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|e| e["event"].as_str())
                .collect();
            assert_eq!(events.names(), words);
            assert_eq!(events.ids().len(), words.len());
        }
    }
    assert_eq!(runs(&world).await, 1);
    assert_eq!(
        read(ask("")).await,
        read(ask("?protocol=ui")).await,
        "the default"
    );
}

#[tokio::test]
async fn an_unknown_protocol_is_refused_by_name_before_anything_is_done() {
    let world = World::open().await;
    let asked = world.say("s", BILL).await;
    let before = world.content("agent").await;
    let approval = format!(
        "/agent/approvals/{}?protocol=sse",
        asked.confirmations[0].approval_id
    );
    for request in [
        post(&world, "/agent/chat?protocol=sse", &says("yes")),
        post(&world, &approval, &json!({"decision": "approve"})),
        get(
            &world,
            "/agent/chat/stream?session_id=s&message=yes&protocol=sse",
        ),
        get(&world, "/agent/chat/s/stream?protocol=UI"),
    ] {
        let refused = sent(request).await;
        assert_eq!(refused.status(), 400);
        let problem: Value = refused.json().await.expect("a problem");
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(PROTOCOLS.iter().all(|p| detail.contains(p)), "{detail}");
    }
    assert_eq!(world.content("agent").await, before);
}

#[tokio::test]
async fn whoever_comes_back_after_any_event_gets_the_rest_byte_for_byte() {
    let world = World::open().await;
    for (session, message) in [("a", "Increase flour by 1kg"), ("b", BILL), ("b", "yes")] {
        let key = message.replace(' ', "-");
        for protocol in PROTOCOLS {
            let path = format!(
                "/agent/chat/stream?session_id={session}&message={message}&request_id={key}&protocol={protocol}"
            );
            let whole = read(get(&world, &path)).await;
            assert!(is_whole(protocol, &whole), "{whole:?}");
            let ids = whole.ids();
            let (last, before) = ids.split_last().expect("places");
            for (at, id) in before.iter().enumerate() {
                let rest = read(get(&world, &path).header("last-event-id", id)).await;
                assert_eq!(rest.ids(), ids[at + 1..], "{protocol} {id}");
                let frames = rest.0.strip_prefix("retry: 3000\n\n").expect("a retry");
                assert!(whole.0.ends_with(frames), "{protocol} after {id}: {rest:?}");
            }
            let over = sent(get(&world, &path).header("last-event-id", last)).await;
            assert_eq!(over.status(), 204, "{protocol}");
            assert_eq!(over.text().await.expect("nothing"), "");
        }
    }
    assert_eq!((runs(&world).await, world.bills().await), (2, 1));
    assert_eq!(world.on_hand("Flour").await, "51");
}

#[tokio::test]
async fn a_failed_run_leaves_nothing_to_come_back_for() {
    let (setting, _) = rehearsed();
    let world = World::open_with(setting).await;
    for protocol in PROTOCOLS {
        let path = format!(
            "/agent/chat/stream?session_id=s&message=break%20down&request_id=k&protocol={protocol}"
        );
        let events = read(get(&world, &path)).await;
        assert!(!events.0.contains("relation"), "{events:?}");
        let last = events.ids().pop().expect("a place");
        let over = sent(get(&world, &path).header("last-event-id", last)).await;
        assert_eq!(
            over.status(),
            204,
            "{protocol}: an EventSource would come back for ever"
        );
    }
}

#[tokio::test]
async fn a_place_that_is_nobodys_or_somebody_elses_is_refused() {
    let world = World::open().await;
    let path = "/agent/chat/stream?session_id=s&message=What%20do%20we%20have%3F&request_id=k";
    let whole = read(get(&world, path)).await;
    for protocol in PROTOCOLS {
        let paths = [
            format!("{path}&protocol={protocol}"),
            format!("/agent/chat/s/stream?protocol={protocol}"),
        ];
        for path in &paths {
            for (place, status) in [
                ("1", 400),
                ("nonsense:1", 400),
                ("00000000-0000-0000-0000-000000000001:1", 404),
                (&format!("{}:9999", whole.run_id()), 204),
            ] {
                let answered = sent(get(&world, path).header("last-event-id", place)).await;
                assert_eq!(answered.status(), status, "{path} {place}");
            }
        }
        let nobody = sent(get(
            &world,
            &format!("/agent/chat/nobody/stream?protocol={protocol}"),
        ))
        .await;
        assert_eq!(nobody.status(), 404);
    }
    // A run of another tenant, with everything else as it is here.
    let other = "00000000-0000-0000-0000-0000000000ff";
    for (table, id) in [("agent_sessions", ""), ("runs", "'id', $1,")] {
        let copied = format!(
            "insert into agent.{table} select (jsonb_populate_record(null::agent.{table}, to_jsonb(t) || jsonb_build_object({id} 'tenant_id', $1))).*
             from agent.{table} t where $1 <> ''"
        );
        let copy = sqlx::query(sqlx::AssertSqlSafe(copied)).bind(other);
        let copied = copy.execute(&world.db).await.expect(table).rows_affected();
        assert_eq!(copied, 1, "{table}");
    }
    for protocol in PROTOCOLS {
        let theirs = get(&world, &format!("{path}&protocol={protocol}"));
        let theirs = sent(theirs.header("last-event-id", format!("{other}:1"))).await;
        assert_eq!(theirs.status(), 404, "{protocol}");
    }
}

#[tokio::test]
async fn a_stream_with_nothing_to_say_shows_that_it_lives() {
    let (mut setting, model) = rehearsed();
    setting.variables = [("AGENT_HEARTBEAT_SECONDS", "1".to_owned())].into();
    let world = World::open_with(setting).await;
    for protocol in PROTOCOLS {
        let path = format!("/agent/chat?protocol={protocol}");
        let body = json!({"session_id": protocol, "message": "hold"});
        let mut stream = Stream::of(sent(post(&world, &path, &body)).await);
        stream.until("\n: keep-alive\n\n").await;
        model.go_on();
        let events = stream.end().await;
        assert!(is_whole(protocol, &events), "{events:?}");
        assert_eq!(events.0.matches("retry:").count(), 1);
        assert_eq!(said(protocol, &events), format!("{BEGUN}{ENDED}"));
    }
}

#[tokio::test]
async fn a_program_that_is_told_to_stop_ends_its_streams_and_the_next_one_goes_on_with_them() {
    for protocol in PROTOCOLS {
        let (setting, model) = rehearsed();
        let world = World::open_with(setting).await;
        let path = format!(
            "/agent/chat/stream?session_id=s&message=hold&request_id=k&protocol={protocol}"
        );
        let mut stream = Stream::of(sent(get(&world, &path)).await);
        stream.until(BEGUN.trim()).await;

        // Streams end at once, so that their clients come back to somebody; the run has a few seconds to finish.
        let variables = world.variables(Role::Agent);
        world.agent.app.stop.cancel();
        let cut = stream.end().await;
        assert!(
            !is_whole(protocol, &cut),
            "an end that did not happen: {cut:?}"
        );
        model.go_on();
        world.agent.stop().await;

        let settings = Reader::new(move |name| variables.get(name).cloned());
        let config = Config::read(&settings).expect("settings");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let tools = world.shop.mcp_url();
        let mut quiet = |_: &str| {};
        let next = start::start_on(listener, config, &tools, None, Hooks::default(), &mut quiet);
        let next = next.await.expect("the next program");
        let ask = || world.http.get(format!("{}{path}", next.url()));
        let last = cut.ids().pop().expect("a place");
        let rest = read(ask().header("last-event-id", last)).await;
        let whole = read(ask()).await;
        assert!(is_whole(protocol, &rest), "{rest:?}");
        assert_eq!(said(protocol, &whole), format!("{BEGUN}{ENDED}"));
        let seen = [cut.ids(), rest.ids()].concat();
        assert_eq!(seen, whole.ids(), "every event once");
        next.stop().await;
    }
}

#[tokio::test]
async fn old_and_curious_clients_are_served_as_far_as_they_go() {
    let world = World::open().await;
    for protocol in PROTOCOLS {
        let mut old = TcpStream::connect(world.agent.address)
            .await
            .expect("a connection");
        let request = format!(
            "GET /agent/chat/stream?session_id=s&message=Show%20low%20stock&request_id=k&protocol={protocol} HTTP/1.0\r\nHost: {}\r\n\r\n",
            world.agent.address
        );
        old.write_all(request.as_bytes()).await.expect("asked");
        let mut text = String::new();
        old.read_to_string(&mut text).await.expect("to the end");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.0 200"), "{head}");
        assert!(!head.to_ascii_lowercase().contains("chunked"), "{head}");
        assert!(is_whole(protocol, &Events(body.to_owned())), "{body}");

        // A HEAD reads nothing and starts nothing.
        let path = format!(
            "{}/agent/chat/s/stream?protocol={protocol}",
            world.agent.url()
        );
        let head = sent(world.http.head(&path)).await;
        assert_eq!(head.status(), 204);
    }
    assert_eq!(runs(&world).await, 1);
}
