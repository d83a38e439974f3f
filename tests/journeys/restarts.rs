//! What a running program depends on goes away and comes back: Postgres, the tool server, a single tool. Nobody restarts the program.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use contracts::http::chat::{ChatResponse, ChatStatus};
use e2e::program::{Pause, Stage, chat_response};
use e2e::world::mcp::{self, McpClient};
use e2e::world::{Setting, World, until};
use futures::{FutureExt as _, StreamExt as _, stream};
use migrations::test_database::PrivateCluster;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::PROGRAMS;

/// How long a person may be left without an answer while something is away.
const SOON: Duration = Duration::from_secs(15);
const AWAY: &str = "Unable to reach the system. Please try again.";
const BILL: &str = "Create a bill for Ali: 2kg flour and 1 shampoo";

async fn on_its_own_postgres(setting: Setting) -> World {
    World::open_with(Setting {
        own_postgres: true,
        ..setting
    })
    .await
}

fn postgres(world: &World) -> &PrivateCluster {
    world.postgres().expect("the setting asks for it")
}

/// 503 as a problem with the sentence for the person, soon.
async fn is_away(request: RequestBuilder) {
    let begun = Instant::now();
    let response = request.send().await.expect("an answer");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let kind = response.headers()["content-type"]
        .to_str()
        .expect("text")
        .to_owned();
    assert!(kind.starts_with("application/problem+json"), "{kind}");
    let problem: Value = response.json().await.expect("a problem");
    assert_eq!(
        (&problem["detail"], &problem["code"]),
        (&json!(AWAY), &json!("unavailable")),
        "{problem}"
    );
}

fn message(world: &World, key: &str, message: &str) -> RequestBuilder {
    let body = json!({"session_id": "s", "message": message});
    world
        .http
        .post(format!("{}/agent/chat", world.agent.url()))
        .header("idempotency-key", key)
        .json(&body)
}

async fn readiness(world: &World) -> StatusCode {
    let url = format!("http://{}/readyz", world.shop.address);
    world
        .http
        .get(url)
        .send()
        .await
        .expect("an answer")
        .status()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_goes_away_and_comes_back_under_both_programs() {
    let world = on_its_own_postgres(Setting::default()).await;
    let asked = world.say("s", BILL).await;
    let approval = format!(
        "{}/agent/approvals/{}",
        world.agent.url(),
        asked.confirmations[0].approval_id
    );
    let stock = json!({"item": "Flour", "adjust": {"delta": "5"}});
    assert_eq!(readiness(&world).await, StatusCode::OK);

    postgres(&world).stop().await;
    is_away(message(&world, "1", "yes")).await;
    is_away(
        world
            .http
            .post(&approval)
            .json(&json!({"decision": "approve"})),
    )
    .await;
    is_away(
        world
            .http
            .get(format!("{}/agent/runs/{}", world.agent.url(), asked.run_id)),
    )
    .await;
    for tool in [
        "inventory_list_items",
        "inventory_update_item",
        "billing_create_bill",
    ] {
        let arguments = match tool {
            "inventory_update_item" => stock.clone(),
            "billing_create_bill" => json!({"lines": [{"item": "Flour", "quantity": "1"}]}),
            _ => json!({}),
        };
        let begun = Instant::now();
        let failure = mcp::refused(&world.asking_client().call(tool, &arguments).await);
        assert!(begun.elapsed() < SOON, "{tool}: {:?}", begun.elapsed());
        assert_eq!(
            (&failure["code"], &failure["retryable"], &failure["message"]),
            (&json!("unavailable"), &json!(true), &json!(AWAY)),
            "{tool}"
        );
    }
    // What was seen less than a second ago may be told once more.
    until("not ready", || async {
        readiness(&world).await == StatusCode::SERVICE_UNAVAILABLE
    })
    .await;

    postgres(&world).start().await;
    let told: ChatResponse =
        chat_response(message(&world, "1", "yes").send().await.expect("an answer")).await;
    assert_eq!(
        (told.status, told.run_id),
        (ChatStatus::Success, asked.run_id),
        "the question outlived it: {told:?}"
    );
    mcp::done(
        &world
            .asking_client()
            .call("inventory_update_item", &stock)
            .await,
    );
    until("ready again", || async {
        readiness(&world).await == StatusCode::OK
    })
    .await;
    assert_eq!(
        (world.bills().await, world.on_hand("Flour").await.as_str()),
        (1, "53")
    );
}

/// Where a yes is when Postgres goes away.
const PLACES: [&str; 5] = [
    "approved",
    "dispatched",
    "tool:billing_create_bill",
    "committed:billing_create_bill",
    "returned",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_in_the_middle_is_finished_once_when_postgres_is_back() {
    stream::iter(PLACES)
        .for_each_concurrent(2, finished_after_an_outage)
        .await;
}

async fn finished_after_an_outage(place: &'static str) {
    let folder = migrations::test_database::TestHome::new();
    std::fs::create_dir_all(folder.path()).expect("a folder");
    let pause = Pause::by(folder.path().join("pause"));
    let world = on_its_own_postgres(Setting {
        agent_hooks: agent::app::Hooks::new(pause.clone().hook()),
        server_hooks: mcp_server::app::Hooks::new(pause.clone().hook()),
        ..Setting::default()
    })
    .await;
    let asked = world.say("s", BILL).await;
    pause.at(place);
    let waiting = tokio::spawn(message(&world, "yes", "yes").send());
    pause.reached().await;
    postgres(&world).stop().await;
    pause.go_on();
    let meanwhile = waiting.await.expect("no panic").expect("an answer");
    assert_eq!(
        meanwhile.status(),
        StatusCode::SERVICE_UNAVAILABLE,
        "{place}: nobody waits for ever"
    );

    postgres(&world).start().await;
    let open = "select count(*) from agent.runs where status <> 'done'";
    until(place, || async { world.number(open).await == 0 }).await;
    let told = chat_response(
        message(&world, "yes", "yes")
            .send()
            .await
            .expect("an answer"),
    )
    .await;
    assert_eq!(
        (told.status, told.run_id),
        (ChatStatus::Success, asked.run_id),
        "{place}: {told:?}"
    );
    assert!(
        told.response.contains("INV-1"),
        "{place}: {}",
        told.response
    );
    assert_eq!(
        world
            .text("select string_agg(status, ' ') from agent.approvals")
            .await,
        "done",
        "{place}"
    );
    assert_eq!(world.bills().await, 1, "{place}");
    assert_eq!(
        (
            world.on_hand("Flour").await.as_str(),
            world.on_hand("Shampoo").await.as_str()
        ),
        ("48", "11"),
        "{place}"
    );
    let audits = "select count(*) from shop.audit_log where tool = 'billing_create_bill'";
    assert_eq!(world.number(audits).await, 1, "{place}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_server_that_is_away_is_said_to_be_and_an_agent_needs_no_restart() {
    let stage = Stage::open(PROGRAMS).await;
    let server = stage.server().await;
    let agent = stage.agent(&server).await;
    let asked = agent.say("s", "1", BILL).await;
    assert_eq!(asked.status, ChatStatus::PendingConfirmation);
    server.kill().await;
    is_away(agent.message("s", "2", "yes")).await;
    is_away(agent.message("t", "3", "Increase flour stock by 25kg")).await;
    is_away(agent.message("s", "2", "yes")).await;
    let approvals = "select string_agg(status, ' ') from agent.approvals";
    assert_eq!(
        stage.text(approvals).await,
        "failed",
        "nothing was sent, and nothing is left hanging"
    );

    let _server = stage.server_again(&server.url).await;
    assert_eq!(
        agent.say("s", "4", BILL).await.status,
        ChatStatus::PendingConfirmation
    );
    assert_eq!(agent.say("s", "5", "yes").await.status, ChatStatus::Success);
    assert_eq!(
        agent
            .say("t", "6", "Increase flour stock by 25kg")
            .await
            .status,
        ChatStatus::Success
    );
    assert_eq!(stage.number("select count(*) from shop.bills").await, 1);
    assert_eq!(stage.on_hand("Flour").await, "73");
}

/// What the next tool call does instead of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Fault {
    None,
    Panic,
    Hang,
}

#[derive(Clone)]
struct NextCall(Arc<AtomicU8>);

impl NextCall {
    fn is(&self, fault: Fault) {
        self.0.store(fault as u8, Ordering::SeqCst);
    }

    fn hooks(&self) -> mcp_server::app::Hooks {
        let next = self.clone();
        mcp_server::app::Hooks::new(move |place| {
            let next = next.clone();
            async move {
                if !place.starts_with("tool:") {
                    return;
                }
                match next.0.swap(Fault::None as u8, Ordering::SeqCst) {
                    fault if fault == Fault::Panic as u8 => std::panic::panic_any("a tool breaks"),
                    fault if fault == Fault::Hang as u8 => std::future::pending().await,
                    _ => {}
                }
            }
            .boxed()
        })
    }
}

async fn with_faults() -> (World, NextCall) {
    let next = NextCall(Arc::new(AtomicU8::new(Fault::None as u8)));
    let variables = [("MCP_CALL_TIMEOUT_SECONDS", "1".to_owned())].into();
    let world = World::open_with(Setting {
        variables,
        server_hooks: next.hooks(),
        ..Setting::default()
    })
    .await;
    (world, next)
}

async fn call(client: &McpClient, tool: &str, arguments: &Value, more: Value) -> Value {
    let mut params =
        json!({"name": tool, "arguments": arguments, "_meta": {"idempotency-key": "k"}});
    for (name, value) in more.as_object().expect("members") {
        params[name] = value.clone();
    }
    client.request("tools/call", params).await.result()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_that_panics_or_never_returns_is_an_answer_and_the_next_call_works() {
    for (fault, code) in [(Fault::Panic, "internal"), (Fault::Hang, "timeout")] {
        let (world, next) = with_faults().await;
        let client = world.asking_client();
        let broken = async |tool: &str, arguments: &Value, more: Value| {
            let before = world.content("shop").await;
            next.is(fault);
            let begun = Instant::now();
            let failure = mcp::refused(&call(&client, tool, arguments, more).await);
            assert_eq!(failure["code"], code, "{tool}: {failure}");
            assert!(begun.elapsed() < SOON, "{tool}: {:?}", begun.elapsed());
            assert_eq!(
                world.content("shop").await,
                before,
                "{tool}: nothing is left of it"
            );
        };

        broken("inventory_list_items", &json!({}), json!({})).await;
        mcp::done(&call(&client, "inventory_list_items", &json!({}), json!({})).await);

        // A fault is no answer: under the same key the call is still to be made.
        let stock = json!({"item": "Flour", "adjust": {"delta": "5"}});
        broken("inventory_update_item", &stock, json!({})).await;
        mcp::done(&call(&client, "inventory_update_item", &stock, json!({})).await);
        assert_eq!(world.on_hand("Flour").await, "55");

        let sale =
            json!({"lines": [{"item": "Shampoo", "quantity": "1"}], "idempotency_key": "sale"});
        broken("billing_create_bill", &sale, json!({})).await;
        let token = mcp::asked(&call(&client, "billing_create_bill", &sale, json!({})).await);
        let yes = json!({"requestState": token, "inputResponses": mcp::yes()});
        broken("billing_create_bill", &sale, yes.clone()).await;
        let done = mcp::done(&call(&client, "billing_create_bill", &sale, yes).await);
        assert_eq!(done["number"], "INV-1", "the question outlived it");
        assert_eq!(
            (world.bills().await, world.on_hand("Shampoo").await.as_str()),
            (1, "11")
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_is_told_of_a_tool_that_breaks_and_waits_for_one_that_is_slow() {
    let (world, next) = with_faults().await;
    next.is(Fault::Panic);
    let told = world.say("s", "Increase flour stock by 25kg").await;
    assert_eq!(told.response, "System error. Please try again.");
    assert_eq!(world.on_hand("Flour").await, "50");

    let asked = world.say("s", BILL).await;
    assert_eq!(asked.status, ChatStatus::PendingConfirmation);
    next.is(Fault::Hang);
    let told = world.say("s", "yes").await;
    assert_eq!(
        told.status,
        ChatStatus::Success,
        "the same key again, until there is an answer: {told:?}"
    );
    assert_eq!(
        (world.bills().await, world.on_hand("Flour").await.as_str()),
        (1, "48")
    );
}
