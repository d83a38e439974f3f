//! Many at once: clients after the last unit, the same request again and again, clicks in pairs, and two of each program on one
//! database.

use std::sync::Arc;

use contracts::http::approval::{ApprovalResponse, Decision};
use contracts::http::chat::{ChatResponse, ChatStatus};
use contracts::http::run::RunView;
use contracts::token::PrincipalRole;
use contracts::tool::IDEMPOTENCY_META_KEY;
use e2e::program::{Stage, chat_response};
use e2e::world::World;
use e2e::world::mcp::{self, McpClient};
use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::sync::Barrier;
use uuid::Uuid;

use crate::PROGRAMS;

const CLIENTS: usize = 16;
/// How often a race is run: whoever wins, it must come out right.
const ROUNDS: usize = 4;
const NUMBERS: &str =
    "select coalesce(string_agg(number::text, ' ' order by number), '') from shop.bills";

/// One `tools/call`.
#[derive(Clone)]
struct ToolCall(Value);

impl ToolCall {
    fn new(tool: &str, arguments: &Value) -> ToolCall {
        ToolCall(json!({"name": tool, "arguments": arguments}))
    }

    fn key(mut self, key: &str) -> ToolCall {
        self.0["_meta"] = json!({IDEMPOTENCY_META_KEY: key});
        self
    }

    /// With the person's yes to the question of this token.
    fn yes(mut self, token: &str) -> ToolCall {
        self.0["requestState"] = json!(token);
        self.0["inputResponses"] = mcp::yes();
        self
    }

    async fn by(self, client: &McpClient) -> Reply {
        let sent = client.prepare("tools/call", self.0).send().await;
        let body = sent.expect("an answer").text().await.expect("a body");
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        assert!(answer["result"].is_object(), "no result: {body}");
        let result = answer["result"].clone();
        Reply { body, result }
    }
}

/// What came back.
#[derive(Debug, Clone, PartialEq)]
struct Reply {
    /// To the byte. Every request has the same JSON-RPC id, so equal answers are equal here.
    body: String,
    result: Value,
}

impl Reply {
    fn done(&self) -> Value {
        mcp::done(&self.result)
    }

    fn question(&self) -> String {
        mcp::asked(&self.result)
    }

    /// Why it was not done; empty when it was.
    fn code(&self) -> String {
        if self.result["isError"] != true {
            return String::new();
        }
        mcp::refused(&self.result)["code"]
            .as_str()
            .expect("a code")
            .to_owned()
    }
}

fn bill(item: &str) -> ToolCall {
    let lines = json!([{"item": item, "quantity": "1"}]);
    ToolCall::new(
        "billing_create_bill",
        &json!({"customer": "Ali", "lines": lines}),
    )
}

fn adjust(item: &str, delta: &str) -> ToolCall {
    let arguments = json!({"item": item, "adjust": {"delta": delta}});
    ToolCall::new("inventory_update_item", &arguments)
}

/// Sixteen connections make a call each, as nearly at the same moment as can be.
async fn at_once(world: &World, call: impl Fn(usize) -> ToolCall) -> Vec<Reply> {
    let start = Arc::new(Barrier::new(CLIENTS));
    let calls = (0..CLIENTS).map(|i| {
        let client = McpClient::at(&world.shop.mcp_url());
        let (start, call) = (Arc::clone(&start), call(i));
        tokio::spawn(async move {
            start.wait().await;
            call.by(&client).await
        })
    });
    join_all(calls)
        .await
        .into_iter()
        .map(|reply| reply.expect("no panic"))
        .collect()
}

fn all_equal(replies: &[Reply]) -> &Reply {
    for reply in replies {
        assert_eq!(reply.body, replies[0].body);
    }
    &replies[0]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_clients_bill_the_last_units_and_nobody_gets_what_is_not_there() {
    for (item, left, numbers) in [("Lamp", 1, "1"), ("Cup", 6, "1 2 3 4 5 6 7")] {
        let world = World::open().await;
        for (name, quantity) in [("Lamp", 1), ("Cup", 6)] {
            let goods = json!({"name": name, "category": "home", "unit": "each", "unit_price": "1000", "quantity": quantity.to_string()});
            ToolCall::new("inventory_add_item", &goods)
                .by(&world.asking_client())
                .await
                .done();
        }
        if item == "Cup" {
            // The first number is gone before the race begins.
            let asked = bill("Lamp").by(&world.asking_client()).await;
            bill("Lamp")
                .yes(&asked.question())
                .by(&world.asking_client())
                .await
                .done();
        }
        let questions = at_once(&world, |i| bill(item).key(&format!("client-{i}"))).await;
        let tokens: Vec<String> = questions.iter().map(Reply::question).collect();
        let replies = at_once(&world, |i| {
            bill(item).key(&format!("client-{i}")).yes(&tokens[i])
        })
        .await;

        let refused = replies
            .iter()
            .filter(|r| r.code() == "insufficient_stock")
            .count();
        assert_eq!(refused, CLIENTS - left, "{item}");
        for done in replies.iter().filter(|r| r.code().is_empty()) {
            assert!(done.done()["number"].is_string());
        }
        assert_eq!(world.on_hand(item).await, "0");
        assert_eq!(
            world.text(NUMBERS).await,
            numbers,
            "gapless, and none for a refused bill"
        );
        let audits = "select count(*) from shop.audit_log where tool = 'billing_create_bill'";
        assert_eq!(world.number(audits).await, world.bills().await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_is_one_write_whoever_repeats_it() {
    let world = World::open().await;
    let replies = at_once(&world, |_| adjust("Flour", "5").key("delivery")).await;
    all_equal(&replies).done();
    assert_eq!(world.on_hand("Flour").await, "55");
    let again = adjust("Flour", "5")
        .key("delivery")
        .by(&world.asking_client())
        .await;
    assert_eq!(again, replies[0], "later still the same");

    let other = adjust("Flour", "6")
        .key("delivery")
        .by(&world.asking_client())
        .await;
    assert_eq!(other.code(), "idempotency_conflict");
    let other = bill("Flour")
        .key("delivery")
        .by(&world.asking_client())
        .await;
    assert_eq!(
        other.code(),
        "idempotency_conflict",
        "another tool is another request"
    );
    assert_eq!(world.on_hand("Flour").await, "55");
    let moves = "select count(*) from shop.audit_log where tool = 'inventory_update_item'";
    assert_eq!(world.number(moves).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_is_one_question_and_one_bill() {
    let world = World::open().await;
    let asked = at_once(&world, |_| bill("Shampoo").key("sale")).await;
    let token = all_equal(&asked).question();
    assert_eq!(
        world
            .number("select count(*) from shop.confirmations")
            .await,
        1
    );
    let other = bill("Soap").key("sale").by(&world.asking_client()).await;
    assert_eq!(
        other.code(),
        "idempotency_conflict",
        "while the question is open, too"
    );

    let billed = at_once(&world, |_| bill("Shampoo").key("sale").yes(&token)).await;
    assert_eq!(all_equal(&billed).done()["number"], "INV-1");
    let again = bill("Shampoo").key("sale").by(&world.asking_client()).await;
    assert_eq!(
        again, billed[0],
        "the question is settled: the bare call has the same answer"
    );
    let other = bill("Soap").key("sale").by(&world.asking_client()).await;
    assert_eq!(other.code(), "idempotency_conflict");
    let crossed = bill("Soap")
        .key("sale")
        .yes(&token)
        .by(&world.asking_client())
        .await;
    assert_eq!(
        crossed.code(),
        "unknown_confirmation",
        "a yes is for the call it was given for"
    );
    assert_eq!(
        (world.bills().await, world.on_hand("Shampoo").await.as_str()),
        (1, "11")
    );
    assert_eq!(world.on_hand("Soap").await, "4");
}

#[tokio::test]
async fn a_key_belongs_to_the_principal_who_used_it() {
    let world = World::open().await;
    let [ana, ben] =
        ["ana", "ben"].map(|subject| world.agent_client(subject, PrincipalRole::Staff, None));
    let first = adjust("Flour", "1").key("k").by(&ana).await;
    let second = adjust("Flour", "1").key("k").by(&ben).await;
    first.done();
    assert_ne!(second.body, first.body, "not the other's answer");
    let larger = adjust("Flour", "10")
        .key("k")
        .by(&world.asking_client())
        .await;
    larger.done();
    assert_eq!(world.on_hand("Flour").await, "62");
    assert_eq!(adjust("Flour", "1").key("k").by(&ana).await, first);
    assert_eq!(world.on_hand("Flour").await, "62");

    let asked = bill("Soap").key("b").by(&ana).await.question();
    assert_ne!(bill("Soap").key("b").by(&ben).await.question(), asked);
    let taken = bill("Soap").key("b").yes(&asked).by(&ben).await;
    assert_eq!(
        taken.code(),
        "unknown_confirmation",
        "another's question is not there"
    );
    let alone = bill("Soap").key("b").yes(&asked).by(&ana).await;
    assert_eq!(
        alone.question(),
        asked,
        "a yes with nobody who said it is the question again"
    );
    assert_eq!(world.bills().await, 0);
}

/// A click on the page, as status and body.
async fn click(world: &World, approval: Uuid, decision: &str) -> (StatusCode, String) {
    let response = world
        .post(
            &format!("/agent/approvals/{approval}"),
            &json!({"decision": decision}),
        )
        .await;
    (response.status(), response.text().await.expect("a body"))
}

async fn ask(world: &World, session: &str) -> Uuid {
    let asked = world.say(session, "Create a bill for Ali: 1 shampoo").await;
    assert_eq!(asked.status, ChatStatus::PendingConfirmation, "{asked:?}");
    asked.confirmations[0].approval_id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_double_click_is_one_click() {
    let world = World::open().await;
    for round in 1..=ROUNDS {
        let approval = ask(&world, &format!("s{round}")).await;
        let (first, second) = tokio::join!(
            click(&world, approval, "approve"),
            click(&world, approval, "approve")
        );
        assert_eq!(first.0, StatusCode::OK, "{}", first.1);
        assert_eq!(first, second);
        assert_eq!(
            click(&world, approval, "approve").await,
            first,
            "later still the same"
        );
        assert_eq!(
            click(&world, approval, "deny").await.0,
            StatusCode::CONFLICT
        );
        assert_eq!(world.bills().await, i64::try_from(round).expect("few"));
    }
    assert_eq!(world.on_hand("Shampoo").await, (12 - ROUNDS).to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_click_and_a_word_at_once_are_one_yes() {
    let world = World::open().await;
    for round in 1..=ROUNDS {
        let session = format!("s{round}");
        let approval = ask(&world, &session).await;
        let (clicked, said) = tokio::join!(
            click(&world, approval, "approve"),
            world.say(&session, "yes")
        );
        assert_eq!(clicked.0, StatusCode::OK, "{}", clicked.1);
        let clicked: ApprovalResponse =
            serde_json::from_str(&clicked.1).expect("a recorded answer");
        assert_eq!(clicked.decision, Decision::Approve);
        assert!(
            clicked.outcome.response.contains(&format!("INV-{round}")),
            "{clicked:?}"
        );
        // A word that comes too late is a message of its own, and nothing is open that it could answer.
        assert_ne!(said.status, ChatStatus::PendingConfirmation, "{said:?}");
        assert_eq!(world.bills().await, i64::try_from(round).expect("few"));
    }
    assert_eq!(world.on_hand("Shampoo").await, (12 - ROUNDS).to_string());
    let open = "select count(*) from agent.approvals where status <> 'done'";
    assert_eq!(world.number(open).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_yes_and_no_at_once_one_wins() {
    let world = World::open().await;
    let mut made = 0;
    for round in 1..=ROUNDS {
        let approval = ask(&world, &format!("s{round}")).await;
        let (yes, no) = tokio::join!(
            click(&world, approval, "approve"),
            click(&world, approval, "deny")
        );
        let statuses = [yes.0, no.0];
        assert!(
            statuses.contains(&StatusCode::OK) && statuses.contains(&StatusCode::CONFLICT),
            "{statuses:?}"
        );
        made += i64::from(yes.0 == StatusCode::OK);
        assert_eq!(world.bills().await, made, "{statuses:?}");
    }
    assert_eq!(world.on_hand("Shampoo").await, (12 - made).to_string());
    let yeses = "select count(*) from agent.approvals where status = 'done'";
    assert_eq!(world.number(yeses).await, made);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_messages_at_once_are_answered_one_after_the_other() {
    let world = World::open().await;
    let (first, second) = tokio::join!(
        world.say("s", "Increase flour stock by 25kg"),
        world.say("s", "Increase rice stock by 5kg")
    );
    assert_eq!(
        (first.status, second.status),
        (ChatStatus::Success, ChatStatus::Success)
    );
    assert_ne!(first.run_id, second.run_id);
    assert_eq!(
        (
            world.on_hand("Flour").await.as_str(),
            world.on_hand("Rice").await.as_str()
        ),
        ("75", "45")
    );
    let (begun, ended) = (
        boundaries(&world, first.run_id).await,
        boundaries(&world, second.run_id).await,
    );
    let overlap = begun.0 < ended.1 && ended.0 < begun.1;
    assert!(!overlap, "{begun:?} {ended:?}");
    let window = "select count(*) from agent.agent_sessions s, jsonb_array_elements(s.conversation_history) m where m ->> 'role' = 'user'";
    assert_eq!(world.number(window).await, 2, "both are remembered");
}

/// When a run's first step began and its last event was written.
async fn boundaries(
    world: &World,
    run_id: Uuid,
) -> (chrono::DateTime<chrono::Utc>, chrono::DateTime<chrono::Utc>) {
    let run: RunView = world
        .get(&format!("/agent/runs/{run_id}"))
        .await
        .json()
        .await
        .expect("a trace");
    let worked: Vec<_> = run
        .events
        .iter()
        .filter(|e| e.body.name() != "started")
        .map(|e| e.at)
        .collect();
    (worked[0], worked[worked.len() - 1])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_session_refuses_where_the_setting_says_so() {
    let stage = Stage::open(PROGRAMS)
        .await
        .with("SESSION_WHEN_BUSY", "refuse");
    let server = stage.server().await;
    let agent = stage.agent(&server).await;
    agent.pause.at("dispatched");
    let working = tokio::spawn(
        agent
            .message("s", "first", "Increase flour stock by 25kg")
            .send(),
    );
    agent.pause.reached().await;
    let refused = agent
        .message("s", "second", "Increase rice stock by 5kg")
        .send()
        .await
        .expect("an answer");
    assert_eq!(refused.status(), StatusCode::CONFLICT);
    let problem: Value = refused.json().await.expect("a problem");
    assert_eq!(problem["code"], "session_busy");
    assert_eq!(
        agent
            .say("t", "other", "Increase rice stock by 1kg")
            .await
            .status,
        ChatStatus::Success,
        "another session is free"
    );
    agent.pause.go_on();
    assert_eq!(finished(working).await.status, ChatStatus::Success);
    assert_eq!(
        (
            stage.on_hand("Flour").await.as_str(),
            stage.on_hand("Rice").await.as_str()
        ),
        ("75", "41")
    );
    assert_eq!(
        agent
            .say("s", "second", "Increase rice stock by 5kg")
            .await
            .status,
        ChatStatus::Success,
        "a refused key is free"
    );
}

async fn finished(
    working: tokio::task::JoinHandle<reqwest::Result<reqwest::Response>>,
) -> ChatResponse {
    chat_response(working.await.expect("no panic").expect("an answer")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_asked_at_one_replica_is_answered_at_the_other() {
    let stage = Stage::open(PROGRAMS).await;
    let (server_a, server_b) = tokio::join!(stage.server(), stage.server());
    let (a, b) = tokio::join!(stage.agent(&server_a), stage.agent(&server_b));
    let asked = a.say("s", "1", "Create a bill for Ali: 1 shampoo").await;
    let told = b.say("s", "2", "yes").await;
    assert_eq!(
        (told.status, told.run_id),
        (ChatStatus::Success, asked.run_id)
    );
    assert!(told.response.contains("INV-1"), "{}", told.response);

    let asked = b.say("t", "3", "Create a bill for Aline: 2 shampoo").await;
    let path = format!("/agent/approvals/{}", asked.confirmations[0].approval_id);
    let approve = || async {
        let (at_a, at_b) = tokio::join!(
            a.post(&path).json(&json!({"decision": "approve"})).send(),
            b.post(&path).json(&json!({"decision": "approve"})).send()
        );
        let [at_a, at_b] = [at_a, at_b].map(|sent| sent.expect("an answer"));
        assert_eq!(
            (at_a.status(), at_b.status()),
            (StatusCode::OK, StatusCode::OK)
        );
        (
            at_a.text().await.expect("a body"),
            at_b.text().await.expect("a body"),
        )
    };
    let (at_a, at_b) = approve().await;
    assert_eq!(at_a, at_b, "a double click on two replicas");
    assert_eq!(approve().await, (at_a, at_b));
    assert_eq!(stage.text(NUMBERS).await, "1 2");
    assert_eq!(stage.on_hand("Shampoo").await, "9");
}

/// A stream of the session that is attached at one replica while the other works, read to its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_follows_a_run_of_another_replica_and_outlives_it() {
    for dies in [false, true] {
        let stage = Stage::open(PROGRAMS).await;
        let server = stage.server().await;
        let (a, b) = tokio::join!(stage.agent(&server), stage.agent(&server));
        a.pause.at("dispatched");
        let working = tokio::spawn(a.message("s", "1", "Increase flour stock by 25kg").send());
        a.pause.reached().await;
        let stream = b
            .get("/agent/chat/s/stream")
            .send()
            .await
            .expect("a stream");
        assert_eq!(stream.status(), StatusCode::OK);
        let stream = tokio::spawn(stream.text());
        if dies {
            a.kill().await;
            assert!(working.await.expect("no panic").is_err());
        } else {
            a.pause.go_on();
            assert_eq!(finished(working).await.status, ChatStatus::Success);
        }
        let stream = stream.await.expect("no panic").expect("to its end");
        let replied = stream.contains("75 kg")
            && stream.contains("\"type\":\"finish\"")
            && stream.contains("[DONE]");
        assert!(replied, "dies: {dies}\n{stream}");
        assert_eq!(
            stream.matches("\"type\":\"start-step\"").count(),
            stream.matches("\"type\":\"finish-step\"").count(),
            "{stream}"
        );
        let taken_over = stage
            .number("select sum(resumptions)::bigint from agent.runs")
            .await;
        assert_eq!(
            taken_over,
            i64::from(dies),
            "a replica that lives keeps its run"
        );
        assert_eq!(stage.on_hand("Flour").await, "75");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_unit_is_sold_once_by_two_servers() {
    let stage = Stage::open(PROGRAMS).await;
    let (server_a, server_b) = tokio::join!(stage.server(), stage.server());
    let [a, b] = [&server_a, &server_b].map(|server| McpClient::at(&server.url));
    let soap = |quantity: &str| {
        ToolCall::new(
            "billing_create_bill",
            &json!({"lines": [{"item": "Soap", "quantity": quantity}]}),
        )
    };
    let asked = [
        soap("3").by(&a).await.question(),
        soap("3").by(&b).await.question(),
    ];
    let (at_a, at_b) = tokio::join!(
        soap("3").yes(&asked[1]).by(&a),
        soap("3").yes(&asked[0]).by(&b)
    );
    let mut codes = [at_a.code(), at_b.code()];
    codes.sort();
    assert_eq!(
        codes,
        ["", "insufficient_stock"],
        "a question of one server is answered at the other"
    );
    assert_eq!(stage.on_hand("Soap").await, "1");
    assert_eq!(stage.text(NUMBERS).await, "1");
    let delivered = tokio::join!(
        adjust("Soap", "5").key("k").by(&a),
        adjust("Soap", "5").key("k").by(&b)
    );
    assert_eq!(delivered.0, delivered.1);
    assert_eq!(stage.on_hand("Soap").await, "6");
}
