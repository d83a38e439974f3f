//! Many at once. Somebody greets the server again and again and never comes back: nobody who greets is remembered, so it costs no memory. A
//! crowd asks at the same moment: a few are served at a time, the others wait their turn.

use e2e::meter;
use e2e::program::{Program, Stage};
use e2e::world::http_client;
use e2e::world::mcp::{McpClient, done};
use futures::future::join_all;
use futures::{StreamExt as _, stream};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::PROGRAMS;

/// Greetings after which the server has all the memory it needs for as many at once.
const WARM_UP: usize = 2_000;
/// Greetings after that.
const FLOOD: usize = 12_000;
/// How many at once.
const AT_ONCE: usize = 32;
/// What the flood may cost, KiB: a quarter of a kibibyte that stays for each greeting would be 3,000.
const GROWTH_KIB_MAX: u64 = 2_500;

/// A greeting of the older revisions, as a new program sends it, and of the newest.
fn greeting(server: &Program, n: usize) -> reqwest::RequestBuilder {
    let client = json!({"name": format!("client {n}"), "version": n.to_string()});
    let request = server
        .post("")
        .header("accept", "application/json, text/event-stream");
    if n.is_multiple_of(2) {
        let hello = json!({"protocolVersion": "2025-11-25", "capabilities": {"elicitation": {}}, "clientInfo": client});
        // Whoever wants a session of an id of his own gets none.
        return request
            .header("mcp-session-id", format!("session-{n}"))
            .json(&json!({"jsonrpc": "2.0", "id": n, "method": "initialize", "params": hello}));
    }
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
        "io.modelcontextprotocol/clientInfo": client});
    request
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "server/discover")
        .json(&json!({"jsonrpc": "2.0", "id": n, "method": "server/discover", "params": {"_meta": meta}}))
}

async fn greeted(server: &Program, numbers: std::ops::Range<usize>) {
    stream::iter(numbers)
        .for_each_concurrent(AT_ONCE, |n| async move {
            let answer = greeting(server, n).send().await.expect("an answer");
            assert_eq!(answer.status(), StatusCode::OK);
            assert!(answer.headers().get("mcp-session-id").is_none());
            let body: Value = answer.json().await.expect("JSON");
            assert!(
                body["result"]["capabilities"]["tools"].is_object(),
                "{body}"
            );
        })
        .await;
}

/// The same with keys that nobody has made, each another.
async fn guessed(server: &Program, numbers: std::ops::Range<usize>) {
    stream::iter(numbers)
        .for_each_concurrent(AT_ONCE, |n| async move {
            let key = format!("csk_{n:064x}");
            let sent = greeting(server, n).bearer_auth(key).send().await;
            let status = sent.expect("an answer").status();
            let refused = [StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS];
            assert!(refused.contains(&status), "{status}");
        })
        .await;
}

/// Calls of as many connections at the same moment, and what each may cost, KiB: what was sent and what the connection needs. Without
/// turns it was 85.
const CROWD: usize = 600;
const EACH_KIB_MAX: u64 = 40;

async fn listed(server: &Program, http: &reqwest::Client) {
    let client = McpClient::over(http, &server.url);
    let list = client
        .call("inventory_list_items", &json!({"limit": 20}))
        .await;
    assert!(done(&list)["items"].is_array());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_is_served_in_turn_and_costs_little_memory() {
    let stage = Stage::open(PROGRAMS).await;
    let server = stage.server().await;
    let resident = || meter::resident_kib(server.id().expect("it runs")).expect("its memory");
    let clients: Vec<_> = (0..CROWD).map(|_| http_client()).collect();
    let few = stream::iter(0..WARM_UP / 10);
    few.for_each_concurrent(AT_ONCE, |n| listed(&server, &clients[n % AT_ONCE]))
        .await;
    let before = resident();
    join_all(clients.iter().map(|http| listed(&server, http))).await;
    let after = resident();
    assert!(
        after <= before + CROWD as u64 * EACH_KIB_MAX,
        "{before} KiB with {AT_ONCE} at once, {after} KiB with {CROWD}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_greetings_leaves_nothing_behind() {
    let server = Stage::open(PROGRAMS).await;
    let server = server.server().await;
    let resident = || meter::resident_kib(server.id().expect("it runs")).expect("its memory");
    greeted(&server, 0..WARM_UP).await;
    guessed(&server, 0..WARM_UP).await;
    let before = resident();
    greeted(&server, WARM_UP..WARM_UP + FLOOD).await;
    guessed(&server, WARM_UP..WARM_UP + FLOOD).await;
    let after = resident();
    assert!(
        after <= before + GROWTH_KIB_MAX,
        "{before} KiB before {FLOOD} greetings and as many wrong keys, {after} KiB after"
    );
}
