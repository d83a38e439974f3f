//! A deployment as an operator runs it: two servers and two agents over one database, each pair behind a balancer, replaced one after the
//! other while people work.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use contracts::http::chat::{ChatResponse, ChatStatus};
use contracts::ids::TenantId;
use contracts::tool::IDEMPOTENCY_META_KEY;
use e2e::program::{Program, Stage};
use e2e::world::balancer::Balancer;
use e2e::world::mcp::{self, McpClient};
use e2e::world::pooler::{self, Pooler};
use e2e::world::{PATIENCE, http_client, until};
use futures::future::join_all;
use mcp_server::invariants;
use migrations::database::{self, DatabaseSettings, Role};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection, PgPool};
use tokio::process::Command;
use uuid::Uuid;

use crate::PROGRAMS;

/// Clients that call the tools.
const CALLERS: usize = 6;
/// Conversations with the agent.
const TALKERS: usize = 3;
/// What each kind of work has to come to before a program is replaced, so that every replacement falls into work.
const BETWEEN: u64 = 20;
/// Connections to Postgres that a pooler has for each login; the programs' pools may open ten.
const SHARED: u32 = 3;
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
    async fn open(stage: Stage) -> Scene {
        let stage = stage
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
    replaced_while_people_work(Stage::open(PROGRAMS).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_pooler_nobody_notices_either() {
    let Some(command) = pooler::command() else {
        return;
    };
    let stage = Stage::behind_a_pooler(PROGRAMS, &command, SHARED).await;
    replaced_while_people_work(stage).await;
}

async fn replaced_while_people_work(stage: Stage) {
    let scene = Arc::new(Scene::open(stage).await);
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

    if let Some(pooler) = scene.stage.pooler() {
        let [added, bills, _] = scene.tally.all();
        went_through(pooler, added + bills).await;
    }
    for program in servers.into_iter().chain(agents) {
        assert!(program.terminate().await.success());
    }
    every_effect_once(&scene, before).await;
    if scene.stage.pooler().is_some() {
        the_doctor_sees_it(&scene.stage).await;
    }
}

async fn every_effect_once(scene: &Scene, before: u64) {
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

/// Nothing is wrong as the page has it, and what is missing is told.
async fn the_doctor_sees_it(stage: &Stage) {
    let mut variables = stage.variables(Role::Shop);
    assert_eq!(doctor(&variables).await, [""; 0]);
    variables.remove("DATABASE_DIRECT_URL");
    let found = doctor(&variables).await;
    assert!(
        found.len() == 1
            && found[0].starts_with("warn  jobs: ")
            && found[0].contains("DATABASE_DIRECT_URL"),
        "{found:?}"
    );
    let admin = stage.admin_url();
    let mut admin = PgConnection::connect(&admin).await.expect("the superuser");
    for (spoil, told) in [
        ("alter role shop reset plan_cache_mode", "warn  timeouts: "),
        (
            "alter role shop reset statement_timeout",
            "FAIL  timeouts: ",
        ),
    ] {
        admin.execute(spoil).await.expect(spoil);
        // Settings of a role count from a connection's beginning.
        admin
            .execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'shop'",
            )
            .await
            .expect("new connections");
        let found = doctor(&stage.variables(Role::Shop)).await;
        assert!(
            found.len() == 1 && found[0].starts_with(told),
            "{spoil}: {found:?}"
        );
    }
    admin.close().await.expect("closed");
}

/// What `mcp-server doctor` does not find fine, but for the test server's own lack of care for its disk.
async fn doctor(variables: &HashMap<String, String>) -> Vec<String> {
    let said = Command::new(env!("CARGO_BIN_EXE_e2e-mcp-cli"))
        .args(["doctor", "--offline", "--replicas", "2"])
        .env_clear()
        .envs(variables)
        .output()
        .await
        .expect("the doctor");
    let lines = String::from_utf8(said.stdout).expect("text");
    assert!(lines.contains(" looked at, "), "{lines}{:?}", said.stderr);
    let wrong = lines
        .lines()
        .filter(|line| line.starts_with("FAIL") || line.starts_with("warn"));
    wrong
        .filter(|line| !line.contains("fsync is off"))
        .map(str::to_owned)
        .collect()
}

/// Every unit of work was a transaction of its own at least, and more connections of programs than of Postgres took part.
async fn went_through(pooler: &Pooler, worked: u64) {
    let transactions = pooler.transactions().await;
    assert!(
        u64::try_from(transactions).expect("a count") > worked,
        "{transactions} transactions for {worked} pieces of work"
    );
    let shared = pooler.shared().await;
    for login in ["shop", "agent"] {
        let of_it = shared.iter().find(|one| one.login == login);
        let of_it = of_it.unwrap_or_else(|| panic!("{login} is not in {shared:?}"));
        assert!(
            of_it.servers <= i64::from(SHARED) && of_it.servers < of_it.clients,
            "{shared:?}"
        );
    }
}

/// Another business than the demo shop.
const OTHER: Uuid = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0b0b);
/// Who works at once, and how often each.
const WORKERS: u32 = 8;
const TURNS: u32 = 60;

/// Everybody gets the same connection to Postgres, in turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_of_one_connection_keeps_businesses_apart() {
    let Some(command) = pooler::command() else {
        return;
    };
    let stage = Stage::behind_a_pooler(PROGRAMS, &command, 1).await;
    sqlx::query("insert into shop.tenants (id, name, currency, created_at) values ($1, 'Other shop', 'KES', now())")
        .bind(OTHER)
        .execute(&stage.db)
        .await
        .expect("another business");
    let variables = stage.variables(Role::Shop);
    let settings = DatabaseSettings {
        home: variables["COUNTERSIGN_HOME"].clone().into(),
        database_url: variables.get("DATABASE_URL").cloned(),
        direct_url: variables.get("DATABASE_DIRECT_URL").cloned(),
        owner_url: None,
        pool_size: WORKERS,
        role: Role::Shop,
    };
    let opened = database::open(settings.clone(), &mut |_| {}).await;
    let opened = opened.expect("the database through the pooler");
    let working = (0..WORKERS).map(|n| tokio::spawn(works_for_both(opened.pool.clone(), n)));
    let mut sessions = BTreeSet::new();
    for worked in join_all(working).await {
        sessions.extend(worked.expect("nobody saw another business"));
    }
    assert_eq!(sessions.len(), 1, "one connection to Postgres served all");

    let in_force = "select concat_ws(' ', current_setting('statement_timeout'), current_setting('idle_in_transaction_session_timeout'),
                           current_setting('plan_cache_mode'), current_user)";
    for pool in [&opened.pool, &opened.direct] {
        let found: String = sqlx::query_scalar(in_force)
            .fetch_one(pool)
            .await
            .expect(in_force);
        assert_eq!(found, "8s 30s force_generic_plan shop");
    }
    nobody_is_told_of_what_another_waits_for(&stage, &opened.pool).await;
    opened.pool.close().await;
    let reading = database::open_reading(settings, &mut |_| {}).await;
    let refused = reading
        .expect_err("nothing would keep it from writing")
        .to_string();
    assert!(refused.contains("may only read"), "{refused}");
}

/// A server that has no direct way must not listen: whoever has the connection next would be told of jobs in the middle of an answer. And
/// nothing that works for somebody may wait for a second connection while it holds the only one.
async fn nobody_is_told_of_what_another_waits_for(stage: &Stage, pool: &PgPool) {
    let server = stage.server_without(&["DATABASE_DIRECT_URL"]).await;
    // The second time the queue surely works.
    for _ in 0..2 {
        for number in 0..TURNS {
            let add = "select shop.add_job('relay_events', json_build_object('tenant', $1, 'id', $1), 'scene:' || $2)";
            sqlx::query(add)
                .bind(OTHER.to_string())
                .bind(number.to_string())
                .execute(pool)
                .await
                .expect("a job");
        }
        until("the jobs are found and done", || async {
            let jobs = "select count(*) from graphile_worker._private_jobs";
            stage.number(jobs).await == 0
        })
        .await;
    }
    let agent = stage.agent(&server).await;
    let asked = agent
        .say("till", "ask", "Create a bill for Ali: 1 soap")
        .await;
    assert_eq!(asked.status, ChatStatus::PendingConfirmation, "{asked:?}");
    let done = agent.say("till", "yes", "yes").await;
    assert_eq!(done.status, ChatStatus::Success, "{done:?}");
    for program in [agent, server] {
        assert!(program.terminate().await.success());
    }
}

/// Looks at all businesses, in turn for one, for the other and for nobody, and ends its transactions in every way. Says whose sessions of
/// Postgres did it.
async fn works_for_both(pool: PgPool, number: u32) -> BTreeSet<i32> {
    let all = "select id, pg_backend_pid() from shop.tenants";
    let mut sessions = BTreeSet::new();
    for turn in 0..TURNS {
        let tenant = [TenantId::DEMO.0, OTHER][(number + turn) as usize % 2];
        let mut transaction = database::begin(&pool, tenant).await.expect("a transaction");
        let seen: Vec<(Uuid, i32)> = sqlx::query_as(all)
            .fetch_all(&mut *transaction)
            .await
            .expect(all);
        assert!(seen.len() == 1 && seen[0].0 == tenant, "{tenant}: {seen:?}");
        sessions.insert(seen[0].1);
        match turn % 3 {
            0 => transaction.commit().await.expect("committed"),
            1 => transaction.rollback().await.expect("rolled back"),
            _ => drop(transaction),
        }
        let refused = sqlx::query_as::<_, (Uuid, i32)>(all).fetch_all(&pool).await;
        let refused = refused.expect_err("without a business");
        assert!(refused.as_database_error().is_some(), "{refused}");
    }
    sessions
}
