//! What takes long says so, and what nobody waits for any more ends: over HTTP and on stdio.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use e2e::program::Pause;
use e2e::world::mcp::{MODERN, OLDER, done, send};
use e2e::world::{Setting, World, until};
use futures::FutureExt as _;
use migrations::test_database::TestHome;
use serde_json::{Value, json};

use crate::confirmation::Desktop;

/// The messages of a stream.
fn frames(text: &str) -> Vec<Value> {
    text.lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .filter_map(|data| serde_json::from_str(data).ok())
        .collect()
}

#[tokio::test]
async fn a_call_that_takes_long_says_that_it_goes_on() {
    let folder = TestHome::new();
    std::fs::create_dir_all(folder.path()).expect("a folder");
    let pause = Pause::by(folder.path().join("pause"));
    let world = World::open_with(Setting {
        variables: [("MCP_CALL_TIMEOUT_SECONDS", "300".to_owned())].into(),
        server_hooks: mcp_server::app::Hooks::new(pause.clone().hook()),
        ..Setting::default()
    })
    .await;
    for version in [MODERN, OLDER] {
        for (tool, arguments) in [
            ("inventory_get_item", json!({"item": "Soap"})),
            (
                "inventory_add_item",
                json!({"name": format!("Sugar {version}"), "unit_price": "1", "quantity": "1"}),
            ),
        ] {
            pause.at(&format!("tool:{tool}"));
            let params =
                json!({"name": tool, "arguments": arguments, "_meta": {"progressToken": 7}});
            let request = world.mcp(version).prepare("tools/call", params);
            let call = tokio::spawn(async move {
                let mut response = request.send().await.expect("an answer");
                assert_eq!(response.headers()["content-type"], "text/event-stream");
                let mut text = String::new();
                let mut seen = None;
                while let Some(piece) = response.chunk().await.expect("a piece") {
                    text.push_str(std::str::from_utf8(&piece).expect("text"));
                    if text.contains("notifications/progress") && seen.is_none() {
                        seen = Some(());
                        pause_seen();
                    }
                }
                text
            });
            pause.reached().await;
            // The first word of it is what makes the reply a stream.
            until("told", || async { SEEN.swap(false, Ordering::SeqCst) }).await;
            pause.go_on();
            let text = call.await.expect("an answer");
            let frames = frames(&text);
            let steps: Vec<f64> = frames
                .iter()
                .filter(|f| f["method"] == "notifications/progress")
                .map(|f| {
                    assert_eq!(f["params"]["progressToken"], 7, "{version}");
                    f["params"]["progress"].as_f64().unwrap_or_default()
                })
                .collect();
            assert!(
                !steps.is_empty() && steps.is_sorted_by(|a, b| a < b),
                "{steps:?}"
            );
            let last = frames.last().expect("a result");
            assert!(
                done(&last["result"])["item"]["name"].is_string(),
                "whole: {last}"
            );
        }
    }
}

static SEEN: AtomicBool = AtomicBool::new(false);

fn pause_seen() {
    SEEN.store(true, Ordering::SeqCst);
}

#[tokio::test]
async fn a_quick_call_stays_one_piece_of_json_whoever_asked_to_be_told() {
    let world = World::open().await;
    let params = json!({"name": "inventory_get_item", "arguments": {"item": "Soap"}, "_meta": {"progressToken": "p"}});
    let reply = send(world.mcp(MODERN).prepare("tools/call", params)).await;
    assert_eq!(reply.headers["content-type"], "application/json");
}

#[tokio::test]
async fn a_reader_that_leaves_stops_resources_and_prompts_too() {
    let (begun, ended) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let (begins, ends) = (Arc::clone(&begun), Arc::clone(&ended));
    let hook = move |place| {
        let (begins, ends) = (Arc::clone(&begins), Arc::clone(&ends));
        async move {
            if place == "tool:inventory_get_item" || place == "tool:sales_summary" {
                let _guard = super::Dropped(ends);
                begins.store(true, Ordering::SeqCst);
                std::future::pending::<()>().await;
            }
        }
        .boxed()
    };
    let world = World::open_with(Setting {
        variables: [("MCP_CALL_TIMEOUT_SECONDS", "300".to_owned())].into(),
        server_hooks: mcp_server::app::Hooks::new(hook),
        ..Setting::default()
    })
    .await;
    for (method, params) in [
        ("resources/read", json!({"uri": "countersign://items/Soap"})),
        ("prompts/get", json!({"name": "daily_summary"})),
    ] {
        let client = world.mcp(MODERN);
        let asking = tokio::spawn(async move { client.request(method, params).await });
        until("reading", || async { begun.swap(false, Ordering::SeqCst) }).await;
        asking.abort();
        until("stopped", || async { ended.swap(false, Ordering::SeqCst) }).await;
    }
}

/// How many statements wait for a lock.
const WAITING: &str = "select count(*) from pg_locks where not granted and database = (select oid from pg_database where datname = current_database())";

#[tokio::test]
async fn on_stdio_a_cancelled_read_ends_and_a_cancelled_write_is_finished() {
    let world = World::open().await;
    let mut desktop = Desktop::initialized(&world, json!({})).await;
    let call = |id: u32, tool: &str, arguments: Value| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": arguments}});
    let cancel = |id: u32| json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}});
    for (id, tool, arguments) in [
        (11, "inventory_get_item", json!({"item": "Soap"})),
        (
            12,
            "inventory_add_item",
            json!({"name": "Sugar", "unit_price": "1", "quantity": "1"}),
        ),
    ] {
        let mut held = world.db.begin().await.expect("a transaction");
        sqlx::query("lock table shop.items in access exclusive mode")
            .execute(&mut *held)
            .await
            .expect("the lock");
        desktop.send(&call(id, tool, arguments)).await;
        until("it waits", || async { world.number(WAITING).await > 0 }).await;
        desktop.send(&cancel(id)).await;
        // The client hears of neither; it goes on with something else, which the server answers.
        desktop
            .send(&json!({"jsonrpc": "2.0", "id": id + 100, "method": "ping"}))
            .await;
        assert_eq!(
            desktop.read().await["id"],
            id + 100,
            "nothing is said of what was cancelled"
        );
        held.rollback().await.expect("the lock is given back");
    }
    let added = "select count(*) from shop.items where name = 'Sugar'";
    until("written", || async { world.number(added).await == 1 }).await;
    let read = "select count(*) from shop.audit_log where tool = 'inventory_add_item' and arguments ->> 'name' = 'Sugar'";
    assert_eq!(world.number(read).await, 1, "whole, with its trace");
}
