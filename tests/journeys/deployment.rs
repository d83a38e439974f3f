//! A deployment as an operator runs it: two servers and two agents over one database, each pair behind a balancer, replaced one after the
//! other while people work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use contracts::http::chat::{ChatResponse, ChatStatus};
use contracts::tool::IDEMPOTENCY_META_KEY;
use e2e::program::{Program, Stage};
use e2e::world::balancer::Balancer;
use e2e::world::mcp::{self, McpClient};
use e2e::world::{PATIENCE, http_client};
use futures::future::join_all;
use mcp_server::invariants;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::PROGRAMS;

/// Clients that call the tools.
const CALLERS: usize = 6;
/// Conversations with the agent.
const TALKERS: usize = 3;
/// What each kind of work has to come to before a program is replaced, so that every replacement falls into work.
const BETWEEN: u64 = 20;
/// A pause before something is asked again.
const AGAIN: Duration = Duration::from_millis(20);

/// What was done, as those who did it know.
#[derive(Default)]
struct Tally {
    /// Units that were acknowledged as added.
    added: AtomicU64,
    /// Bills that were acknowledged.
    bills: AtomicU64,
    /// Lists that were read.
    read: AtomicU64,
}

impl Tally {
    fn all(&self) -> [u64; 3] {
        [&self.added, &self.bills, &self.read].map(|count| count.load(Ordering::SeqCst))
    }
}

/// What everybody shares.
struct Scene {
    stage: Stage,
    servers: Balancer,
    agents: Balancer,
    tally: Tally,
    stop: AtomicBool,
}

impl Scene {
    async fn open() -> Scene {
        let stage = Stage::open(PROGRAMS)
            .await
            .with(
                "AGENT_TOKEN_KEY",
                "the key of the agent's tokens behind a balancer",
            )
            .with(
                "CONFIRMATION_KEY",
                "the key of the questions behind a balancer..",
            )
            // Longer than the balancer needs to notice.
            .with("MCP_DRAIN_SECONDS", "1");
        Scene {
            stage,
            servers: Balancer::open().await,
            agents: Balancer::open().await,
            tally: Tally::default(),
            stop: AtomicBool::new(false),
        }
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    async fn server(&self) -> Program {
        let server = self.stage.server().await;
        self.servers.add(base(&server)).await;
        server
    }

    async fn agent(&self) -> Program {
        let agent = self
            .stage
            .agent_at(&format!("{}/mcp", self.servers.url))
            .await;
        self.agents.add(base(&agent)).await;
        agent
    }

    /// Waits until every kind of work has gone on.
    async fn worked(&self) {
        let before = self.tally.all();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let now = self.tally.all();
            if now
                .iter()
                .zip(before)
                .all(|(now, before)| *now >= before + BETWEEN / 4)
                && now.iter().sum::<u64>() >= before.iter().sum::<u64>() + BETWEEN
            {
                return;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "work stands still at {now:?}"
            );
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Tells a program to stop, and waits until it has.
    async fn retire(&self, balancer: &Balancer, program: &Program) {
        let status = program.terminate().await;
        assert!(status.success(), "it stops cleanly: {status}");
        balancer.remove(base(program));
    }
}

fn base(program: &Program) -> &str {
    program.url.strip_suffix("/mcp").unwrap_or(&program.url)
}

/// Calls that no client may repeat, because they carry no key: each has to be answered the first time. Every other one carries a key and is
/// sent twice.
async fn calls(scene: Arc<Scene>, number: usize) {
    let client = McpClient::over(&http_client(), &format!("{}/mcp", scene.servers.url));
    let mut turn = 0_u64;
    while !scene.is_over() {
        turn += 1;
        let mut params = json!({"name": "inventory_update_item", "arguments": {"item": "Soap", "adjust": {"delta": "1"}}});
        let times = if turn.is_multiple_of(2) {
            params["_meta"] = json!({IDEMPOTENCY_META_KEY: format!("{number}-{turn}")});
            2
        } else {
            1
        };
        for _ in 0..times {
            mcp::done(&answered(&client, "tools/call", &params).await);
        }
        scene.tally.added.fetch_add(1, Ordering::SeqCst);
        let list = json!({"name": "inventory_list_items", "arguments": {"query": "soap"}});
        mcp::done(&answered(&client, "tools/call", &list).await);
        scene.tally.read.fetch_add(1, Ordering::SeqCst);
    }
}

async fn answered(client: &McpClient, method: &str, params: &Value) -> Value {
    let sent = client.prepare(method, params.clone()).send().await;
    let response = sent.expect("an answer");
    let status = response.status();
    let body = response.text().await.expect("a body");
    assert_eq!(status, StatusCode::OK, "{body} to {params}");
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    assert_ne!(answer["result"]["isError"], true, "{body} to {params}");
    answer["result"].clone()
}

/// A conversation that sells one piece of soap after the other. A message carries a key, so it may be sent again.
async fn talks(scene: Arc<Scene>, number: usize) {
    let session = format!("counter-{number}");
    let mut turn = 0_u64;
    while !scene.is_over() {
        turn += 1;
        let asked = say(
            &scene,
            &session,
            &format!("{turn}-ask"),
            "Create a bill for Ali: 1 soap",
        )
        .await;
        assert_eq!(asked.status, ChatStatus::PendingConfirmation, "{asked:?}");
        let done = say(&scene, &session, &format!("{turn}-yes"), "yes").await;
        assert_eq!(done.status, ChatStatus::Success, "{done:?}");
        scene.tally.bills.fetch_add(1, Ordering::SeqCst);
    }
}

async fn say(scene: &Scene, session: &str, key: &str, message: &str) -> ChatResponse {
    let http = http_client();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let sent = http
            .post(format!("{}/agent/chat", scene.agents.url))
            .header("idempotency-key", format!("{session}-{key}"))
            .json(&json!({"session_id": session, "message": message}))
            .send()
            .await;
        if let Ok(response) = sent
            && response.status() == StatusCode::OK
            && let Ok(body) = response.json::<ChatResponse>().await
            && body.status != ChatStatus::Error
        {
            return body;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "{session} {key}: no answer"
        );
        tokio::time::sleep(AGAIN).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_are_replaced_while_people_work_and_nobody_notices() {
    let scene = Arc::new(Scene::open().await);
    let mut servers = vec![scene.server().await, scene.server().await];
    let mut agents = vec![scene.agent().await, scene.agent().await];
    let client = McpClient::over(&http_client(), &format!("{}/mcp", scene.servers.url));
    let plenty = json!({"name": "inventory_update_item", "arguments": {"item": "Soap", "adjust": {"delta": "1000"}}});
    answered(&client, "tools/call", &plenty).await;
    let before: u64 = scene.stage.on_hand("Soap").await.parse().expect("a number");

    let mut working = Vec::new();
    working.extend((0..CALLERS).map(|n| tokio::spawn(calls(Arc::clone(&scene), n))));
    working.extend((0..TALKERS).map(|n| tokio::spawn(talks(Arc::clone(&scene), n))));
    scene.worked().await;
    for round in 0..2 {
        scene.retire(&scene.servers, &servers.remove(0)).await;
        scene.worked().await;
        servers.push(scene.server().await);
        scene.worked().await;
        if round == 0 {
            // This one is not asked.
            let dead = agents.remove(0);
            dead.kill().await;
            scene.agents.remove(base(&dead));
        } else {
            scene.retire(&scene.agents, &agents.remove(0)).await;
        }
        scene.worked().await;
        agents.push(scene.agent().await);
        scene.worked().await;
    }
    assert_eq!((scene.servers.ready(), scene.agents.ready()), (2, 2));
    scene.stop.store(true, Ordering::SeqCst);
    for work in join_all(working).await {
        work.expect("nobody was turned away");
    }

    let [added, bills, _] = scene.tally.all();
    let now: u64 = scene.stage.on_hand("Soap").await.parse().expect("a number");
    assert_eq!(now, before + added - bills, "every effect once");
    let billed = scene
        .stage
        .number("select count(*) from shop.bills where status = 'open'")
        .await;
    assert_eq!(u64::try_from(billed).expect("a count"), bills);
    for rule in invariants::all() {
        let broken: i64 = sqlx::query_scalar(rule.broken)
            .fetch_one(&scene.stage.db)
            .await
            .expect(rule.says);
        assert_eq!(broken, 0, "{}", rule.says);
    }
}
