//! What an operator does: look at a server, stop it, read its log, bring a shop back from a backup, follow the page about it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use clap::Parser as _;
use contracts::ids::TenantId;
use e2e::program::{Pause, Program, Stage};
use e2e::world::mcp::{McpClient, asked, done, refused, yes};
use e2e::world::provider::Provider;
use e2e::world::{Setting, World, content, until};
use futures::FutureExt as _;
use migrations::database::Role;
use migrations::settings::Reader;
use migrations::test_database::{PrivateCluster, TestHome};
use reqwest::StatusCode;
use serde_json::json;
use sqlx::PgPool;
use tracing_subscriber::EnvFilter;

use crate::PROGRAMS;

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the workspace").to_path_buf()
}

fn door(server: &Program) -> String {
    server.url.trim_end_matches("/mcp").to_owned()
}

/// The samples of an exposition: a name with its labels, and its value.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text
        .lines()
        .filter(|l| !l.starts_with('#') && !l.is_empty());
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').expect("a sample");
            (name.to_owned(), value.parse().expect("a number"))
        })
        .collect()
}

async fn get(url: &str, headers: &[(&str, &str)]) -> (StatusCode, String) {
    let mut request = e2e::world::http_client().get(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.expect("an answer");
    (response.status(), response.text().await.expect("a body"))
}

#[tokio::test(flavor = "multi_thread")]
#[expect(
    clippy::too_many_lines,
    reason = "one scene, told from its beginning to its end"
)]
async fn operators_see_what_a_server_does_and_nothing_of_anybody() {
    let stage = Stage::open(PROGRAMS).await;
    let server = stage.server().await;
    let client = McpClient::at(&server.url);
    for _ in 0..2 {
        done(&client.call("inventory_list_items", &json!({})).await);
    }
    let unknown = client
        .call("inventory_get_item", &json!({"item": "Unobtainium"}))
        .await;
    assert_eq!(refused(&unknown)["code"], "unknown_item");
    client.call("inventory_get_item", &json!({"item": 7})).await;
    let lines = json!({"lines": [{"item": "Soap", "quantity": "1"}], "customer": "Ali"});
    client.call("billing_create_bill", &lines).await;
    get(&format!("{}/no/such/path", door(&server)), &[]).await;

    let (status, text) = get(&format!("{}/metrics", door(&server)), &[]).await;
    assert_eq!(status, StatusCode::OK);
    let seen = samples(&text);
    for (name, value) in [
        (
            r#"countersign_calls_total{tool="inventory_list_items",outcome="done"}"#,
            2.0,
        ),
        (
            r#"countersign_calls_total{tool="inventory_get_item",outcome="refused"}"#,
            2.0,
        ),
        (
            r#"countersign_calls_total{tool="billing_create_bill",outcome="asked"}"#,
            1.0,
        ),
        (
            r#"countersign_refusals_total{tool="inventory_get_item",code="unknown_item"}"#,
            1.0,
        ),
        (
            r#"countersign_refusals_total{tool="inventory_get_item",code="invalid_arguments"}"#,
            1.0,
        ),
        (
            r#"countersign_call_seconds_count{tool="inventory_list_items"}"#,
            2.0,
        ),
        (
            r#"countersign_call_seconds_bucket{tool="inventory_list_items",le="10"}"#,
            2.0,
        ),
        (
            r#"countersign_http_requests_total{route="/mcp",status="200"}"#,
            5.0,
        ),
        (
            r#"countersign_http_requests_total{route="other",status="404"}"#,
            1.0,
        ),
        ("countersign_confirmations_open", 1.0),
        ("countersign_database_up", 1.0),
        ("countersign_pool_connections_max", 5.0),
        (r#"countersign_jobs{state="failed"}"#, 0.0),
        ("countersign_outbox_waiting", 0.0),
    ] {
        assert_eq!(seen.get(name), Some(&value), "{name} in {text}");
    }
    assert!(seen["process_resident_memory_bytes"] > 1e6, "{text}");
    for of_somebody in [
        &TenantId::DEMO.to_string(),
        "Ali",
        "Soap",
        "Unobtainium",
        "such",
    ] {
        assert!(!text.contains(of_somebody), "{of_somebody} in {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_from_elsewhere_sees_no_metrics_unless_they_have_a_port() {
    let stage = Stage::open(PROGRAMS).await;
    let server = stage.server().await;
    let here = format!("{}/metrics", door(&server));
    assert_eq!(get(&here, &[]).await.0, StatusCode::OK);
    for header in [
        ("x-forwarded-for", "203.0.113.9"),
        ("forwarded", "for=203.0.113.9"),
        ("via", "1.1 proxy"),
        ("host", "shop.example"),
        ("origin", "https://shop.example"),
    ] {
        assert_eq!(
            get(&here, &[header]).await.0,
            StatusCode::NOT_FOUND,
            "{header:?}"
        );
    }

    // A port nobody has at this moment.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let bind = free.local_addr().expect("its address").to_string();
    drop(free);
    let stage = stage.with("METRICS_BIND", &bind);
    let server = stage.server().await;
    let (status, text) = get(
        &format!("http://{bind}/metrics"),
        &[("host", "prometheus.example")],
    )
    .await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.contains("countersign_build_info"), "{text}");
    let (main, _) = get(&format!("{}/metrics", door(&server)), &[]).await;
    assert_eq!(main, StatusCode::NOT_FOUND);
    let (other, _) = get(&format!("http://{bind}/mcp"), &[]).await;
    assert_eq!(other, StatusCode::NOT_FOUND, "nothing else is served there");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_counted_over_all_shops() {
    let stage = Stage::open(PROGRAMS).await;
    // A shop that wants to be told, at an address where nobody is, what happened a minute ago; a delivery that was given up; a job that
    // failed for good.
    for sql in [
        "insert into shop.webhook_endpoints (tenant_id, id, url, topics, secret, created_at)
         select id, gen_random_uuid(), 'http://127.0.0.1:1/', '{*}', 'whsec_' || repeat('A', 43) || '=', now() - interval '1 hour' from shop.tenants",
        "insert into shop.outbox (tenant_id, id, at, topic, subject, data, relayed_at)
         select id, gen_random_uuid(), now() - interval '10 minutes', 'stock.changed', 'x', '{}', now() from shop.tenants",
        "insert into shop.webhook_deliveries (tenant_id, endpoint_id, event_id, subject, seq, status, next_at, finished_at)
         select e.tenant_id, e.id, o.id, 'x', 1, 'dead', now(), now() from shop.webhook_endpoints e join shop.outbox o using (tenant_id)
         where o.relayed_at is not null limit 1",
        "select graphile_worker.add_job(identifier => 'relay_events', payload => '{}', job_key => 'scene', max_attempts => 1)",
        "update graphile_worker._private_jobs set attempts = max_attempts where key = 'scene'",
    ] {
        sqlx::query(sql).execute(&stage.db).await.expect(sql);
    }
    // What is told is read, not kept: the same database without a program that works on it.
    let waiting = "select outbox_waiting, extract(epoch from now() - outbox_oldest_at)::int8, deliveries_dead, jobs_failed, jobs_ready from shop.operations(now())";
    let before: (i64, Option<i64>, i64, i64, i64) = sqlx::query_as(waiting)
        .fetch_one(&stage.db)
        .await
        .expect("counts");
    let told_nothing = before.0;
    sqlx::query(
        "update shop.outbox set relayed_at = null where topic = 'stock.changed' and subject = 'x'",
    )
    .execute(&stage.db)
    .await
    .expect("untold");
    let after: (i64, Option<i64>, i64, i64, i64) = sqlx::query_as(waiting)
        .fetch_one(&stage.db)
        .await
        .expect("counts");
    assert_eq!(after.0, told_nothing + 1, "{after:?}");
    assert!(
        after.1.is_some_and(|s| (590..700).contains(&s)),
        "{after:?}"
    );
    assert_eq!((after.2, after.3, after.4), (1, 1, 0), "{after:?}");
    let agent = PgPool::connect(&stage.url(Role::Agent))
        .await
        .expect("a pool");
    let refused = sqlx::query(waiting).execute(&agent).await.unwrap_err();
    assert!(
        refused.to_string().contains("permission denied"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_told_to_stop_sends_new_ones_away_and_finishes_what_it_has_begun() {
    let world = World::open().await;
    let pause = Pause::by(std::env::temp_dir().join(format!("e2e-stop-{}", std::process::id())));
    let mut variables = world.variables(Role::Shop);
    variables.insert("MCP_DRAIN_SECONDS".to_owned(), "2".to_owned());
    let reader = Reader::new(move |name| variables.get(name).cloned());
    let config = mcp_server::config::Config::read(&reader).expect("settings");
    let hooks = mcp_server::app::Hooks::new(pause.clone().hook());
    let server = mcp_server::start::start(config, hooks, &mut |_| {})
        .await
        .expect("a server");
    let (url, door) = (server.mcp_url(), format!("http://{}", server.address));
    let ready = async || get(&format!("{door}/readyz"), &[]).await;
    assert_eq!(ready().await.0, StatusCode::OK);

    pause.at("tool:inventory_add_item");
    let adding = {
        let client = McpClient::at(&url);
        let item = json!({"name": "Late", "quantity": "3", "unit": "piece", "unit_price": "5"});
        tokio::spawn(async move { client.call("inventory_add_item", &item).await })
    };
    pause.reached().await;
    let stopping = tokio::spawn(server.stop());
    until("it says that it stops", async || {
        let (status, text) = ready().await;
        status == StatusCode::SERVICE_UNAVAILABLE && text.contains("stopping")
    })
    .await;
    let late = McpClient::at(&url)
        .call("inventory_list_items", &json!({}))
        .await;
    done(&late);
    pause.go_on();
    done(&adding.await.expect("no panic"));
    stopping.await.expect("no panic");
    let gone = e2e::world::http_client()
        .get(format!("{door}/healthz"))
        .send()
        .await;
    assert!(gone.is_err_and(|e| e.is_connect()), "the door is closed");
    assert_eq!(world.on_hand("Late").await, "3");
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no panic while logging").clone()).expect("text")
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic while logging").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// In every name, number, key and token of the next scene. As part of a word it is in nothing else.
const MARK: &str = "zyxwora";
/// The same in a telephone number.
const MARKED_NUMBER: &str = "788700123";

/// Everything that goes wrong in the next scene, with the mark wherever a person or a secret may stand.
#[expect(
    clippy::too_many_lines,
    reason = "one scene, told from its beginning to its end"
)]
async fn marked_life(world: &World, provider: Provider) {
    let client = world.asking_client();
    let person = json!({"name": "Zyxwora Quimby", "phone": format!("+250{MARKED_NUMBER}"), "email": "zyxwora@example.com", "notes": "zyxwora owes"});
    done(&client.call("create_customer", &person).await);
    refused(&client.call("create_customer", &person).await);
    for (tool, arguments) in [
        // The database refuses what the program let through: a fault of ours.
        (
            "inventory_add_item",
            json!({"name": "Zyxwora Forbidden", "quantity": "1", "unit": "piece", "unit_price": "1"}),
        ),
        // A panic in the middle.
        ("inventory_get_item", json!({"item": "Zyxwora"})),
        (
            "inventory_list_items",
            json!({"category": {"zyxwora": [1]}}),
        ),
        ("zyxwora_tool", json!({})),
        (
            "create_ticket",
            json!({"subject": "zyxwora sour", "idempotency_key": "zyxwora-key"}),
        ),
        (
            "create_ticket",
            json!({"subject": "zyxwora sour again", "idempotency_key": "zyxwora-key"}),
        ),
    ] {
        let params =
            json!({"name": tool, "arguments": arguments, "_meta": {"traceparent": "zyxwora"}});
        client.request("tools/call", params).await;
    }
    let bill = json!({"lines": [{"item": "Soap", "quantity": "1"}], "customer": "Zyxwora Quimby"});
    let state = asked(&client.call("billing_create_bill", &bill).await);
    done(
        &client
            .retry("billing_create_bill", &bill, &state, yes())
            .await,
    );
    let card = json!({"customer": "Zyxwora Quimby", "method": "card", "amount": "1"});
    let paying = client.call("collect_payment", &card).await;
    if paying["inputRequests"].is_object() {
        let state = asked(&paying);
        client.retry("collect_payment", &card, &state, yes()).await;
    }
    for token in [
        "zyxwora",
        "csk_zyxwora",
        "css_zyxwora",
        "eyJhbGciOiJub25lIn0.zyxwora.zyxwora",
    ] {
        let reply = world
            .asking_client()
            .bearer(token)
            .request("tools/list", json!({}))
            .await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{token}");
    }
    for message in [
        "How much zyxwora is left?",
        "Create a bill for Zyxwora Quimby: 1 soap",
        "yes",
    ] {
        world.say("session", message).await;
    }
    provider.stop().await;
    world
        .post(
            "/agent/chat",
            &json!({"session_id": "session", "message": "zyxwora?"}),
        )
        .await;
    world
        .post(
            "/agent/chat",
            &json!({"session_id": {"zyxwora": 1}, "message": 7}),
        )
        .await;
    world.get("/agent/sessions/none?zyxwora=1").await;
    // Deliveries and payments are tried meanwhile, and fail.
    until("a delivery has failed", async || {
        world
            .number("select count(*) from shop.webhook_deliveries where attempts > 0")
            .await
            > 0
    })
    .await;
}

#[tokio::test]
async fn nothing_of_a_person_and_no_secret_is_logged() {
    let log = Log::default();
    let writer = log.clone();
    let filter = "info,agent=debug,mcp_server=debug,migrations=debug,contracts=debug,rmcp=error,graphile_worker=off,async_openai=off";
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(move || writer.clone())
        .finish();
    // The scene and its servers share this thread.
    let _logging = tracing::subscriber::set_default(subscriber);
    let provider = Provider::shop().await;
    let mut variables: HashMap<&'static str, String> = provider.variables(true);
    for (name, value) in [
        ("OPENAI_API_KEY", "sk-zyxwora"),
        ("STRIPE_SECRET_KEY", "sk_test_zyxwora"),
        ("STRIPE_WEBHOOK_SECRET", "whsec_zyxwora"),
        ("STRIPE_BASE_URL", "http://127.0.0.1:1"),
        ("CONFIRMATION_KEY", "zyxwora-confirmation-0123456789abcdef"),
    ] {
        variables.insert(name, value.to_owned());
    }
    let hook = |place| async move { assert!(place != "tool:inventory_get_item") }.boxed();
    let world = World::open_with(Setting {
        variables,
        server_hooks: mcp_server::app::Hooks::new(hook),
        owner_sql: vec![
            "alter table shop.items add constraint scene check (name <> 'Zyxwora Forbidden')",
            "insert into shop.webhook_endpoints (tenant_id, id, url, topics, secret, created_at)
             select id, gen_random_uuid(), 'http://127.0.0.1:1/zyxwora?zyxwora=1', '{*}', 'whsec_zyxwora' || repeat('A', 40), now() - interval '1 hour' from shop.tenants",
        ],
        ..Setting::default()
    })
    .await;
    marked_life(&world, provider).await;

    let text = log.text();
    for told in [
        "call failed",
        "call panicked",
        "request refused",
        "the model",
    ] {
        assert!(
            text.contains(told),
            "{told} is not in the log, so the scene shows nothing:\n{text}"
        );
    }
    for line in text.lines() {
        let lower = line.to_lowercase();
        for mark in [MARK, MARKED_NUMBER] {
            assert!(!lower.contains(mark), "{mark} is logged: {line}");
        }
    }
}

/// The newest Postgres installed, whose programs an operator would use.
fn postgres_programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let newest = versions
        .filter_map(|v| v.file_name().to_str().and_then(|n| n.parse::<u32>().ok()))
        .max();
    newest.map_or_else(
        || PathBuf::from("/usr/bin"),
        |version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin")),
    )
}

fn run(script: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let path = format!(
        "{}:/usr/local/bin:/usr/bin:/bin",
        postgres_programs().display()
    );
    let ran = Command::new("sh")
        .arg(root().join(script))
        .args(arguments)
        .env_clear()
        .env("PATH", path)
        .envs(variables.iter().copied())
        .output()
        .expect("sh runs");
    let told = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success(), "{script}: {told}");
    ran
}

/// The demo shop with something done in it.
async fn lived_in() -> World {
    let world = World::open().await;
    world
        .say("s", "Create a bill for Ali: 2kg flour and 1 shampoo")
        .await;
    world.say("s", "yes").await;
    world.until_idle().await;
    world
}

#[tokio::test(flavor = "multi_thread")]
#[expect(
    clippy::too_many_lines,
    reason = "one scene, told from its beginning to its end"
)]
async fn a_shop_brought_back_from_a_backup_on_another_server_is_the_same_shop() {
    let world = lived_in().await;
    let home = TestHome::new();
    fs::create_dir_all(home.path()).expect("a folder");
    let file = home.path().join("countersign.dump");
    let file = file.to_str().expect("a plain path");
    let variables = world.variables(Role::Shop);
    run(
        ".deploy/backup.sh",
        &[&variables["DATABASE_OWNER_URL"], file],
        &[],
    );
    let mode = fs::metadata(file).expect("a backup").permissions().mode();
    assert_eq!(mode & 0o077, 0, "others can read the backup");

    // Another server with nothing in it but its superuser.
    let elsewhere = PrivateCluster::new().await;
    let superuser = PgPool::connect(&elsewhere.admin_url())
        .await
        .expect("a superuser");
    let name: String = sqlx::query_scalar("select current_user::text")
        .fetch_one(&superuser)
        .await
        .expect("its name");
    sqlx::query("create database restored template template0")
        .execute(&superuser)
        .await
        .expect("a database");
    for login in ["owner", "shop", "agent"] {
        fs::write(
            home.path().join(format!("{login}_password")),
            format!("it's {login}"),
        )
        .expect("a password");
    }
    let database = elsewhere.url_of(&name, "restored");
    let secrets = home.path().to_str().expect("a plain path");
    let logins = [
        ("SECRETS", secrets),
        ("POSTGRES_USER", name.as_str()),
        ("POSTGRES_DB", database.as_str()),
    ];
    run(".deploy/compose/logins.sh", &[], &logins);
    run(".deploy/compose/logins.sh", &[], &logins);
    let owner_url = elsewhere.url_of("countersign_owner", "restored");
    run(".deploy/restore.sh", &[file, &owner_url], &[]);

    let restored = PgPool::connect(&owner_url).await.expect("the owner");
    for schema in ["shop", "agent"] {
        assert_eq!(
            content(&restored, schema).await,
            world.content(schema).await,
            "{schema}"
        );
    }
    let found = mcp_server::check::look(&owner_url)
        .await
        .expect("the rules");
    let broken: Vec<_> = found.rules.iter().filter(|f| f.broken > 0).collect();
    assert!(found.shops == 1 && broken.is_empty(), "{broken:?}");

    // Programs work there as logins that own nothing, with the keys of before.
    let settings: HashMap<String, String> = HashMap::from([
        (
            "COUNTERSIGN_HOME".to_owned(),
            variables["COUNTERSIGN_HOME"].clone(),
        ),
        ("MCP_BIND".to_owned(), "127.0.0.1:0".to_owned()),
        (
            "DATABASE_URL".to_owned(),
            elsewhere.url_of("shop", "restored"),
        ),
    ]);
    let reader = Reader::new(move |name| settings.get(name).cloned());
    let config = mcp_server::config::Config::read(&reader).expect("settings");
    let hooks = mcp_server::app::Hooks::default();
    let server = mcp_server::start::start(config, hooks, &mut |_| {})
        .await
        .expect("a server");
    let bills = done(
        &McpClient::at(&server.mcp_url())
            .call("billing_list_bills", &json!({}))
            .await,
    );
    assert_eq!(bills["bills"].as_array().map(Vec::len), Some(1), "{bills}");
    server.stop().await;
    restored.close().await;
    superuser.close().await;
}

/// Every `NAME` of `${NAME…}` and every `NAME: value` under an `environment:` of the compose file.
fn compose_variables(text: &str) -> BTreeSet<String> {
    let is_name = |name: &str| {
        !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    };
    let keys = text
        .lines()
        .filter_map(|l| Some(l.trim().split_once(": ")?.0));
    let named = text.split("${").skip(1).map(|rest| {
        let end = rest
            .find(|c: char| !(c.is_ascii_uppercase() || c == '_'))
            .unwrap_or(0);
        &rest[..end]
    });
    keys.chain(named)
        .filter(|n| is_name(n))
        .map(str::to_owned)
        .collect()
}

/// Every `NAME=` of an `Environment=` line or of an environment in a Dockerfile.
fn assigned_variables(text: &str) -> BTreeSet<String> {
    let words = text
        .lines()
        .filter(|l| !l.starts_with('#'))
        .flat_map(|l| l.split_whitespace());
    words
        .map(|word| {
            word.trim_start_matches("Environment=")
                .trim_start_matches('"')
        })
        .filter_map(|word| Some(word.split_once('=')?.0))
        .filter(|name| {
            name.contains('_') && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
        })
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_files_of_a_deployment_name_only_settings_that_there_are() {
    let read = |name: &str| fs::read_to_string(root().join(name)).expect(name);
    let listed: BTreeSet<String> = read(".env.example")
        .lines()
        .filter_map(|line| Some(line.strip_prefix('#')?.split_once('=')?.0.to_owned()))
        .collect();
    let compose = compose_variables(&read("compose.yaml"));
    assert!(
        compose.len() > 8 && compose.contains("MCP_PUBLIC_URL"),
        "{compose:?}"
    );
    let mut named = compose;
    for file in [
        "Dockerfile",
        ".deploy/countersign-mcp.service",
        ".deploy/countersign-agent.service",
    ] {
        let found = assigned_variables(&read(file));
        assert!(found.contains("LOG_FORMAT"), "{file}: {found:?}");
        named.extend(found);
    }
    // Settings in the page's examples, in a column of their own or set before a command.
    named.extend(assigned_variables(&read(".deploy/OPERATIONS.md")));
    for name in named {
        // Those of Postgres's own image and of our scripts.
        let others = name.starts_with("POSTGRES_") || name.starts_with("OTEL_");
        assert!(others || listed.contains(&name), "{name} is not a setting");
    }
}

/// The lines of the page's shell blocks that run one of our programs, without what stands before it.
fn commands(page: &str) -> Vec<Vec<String>> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in page.lines() {
        if line.starts_with("```") {
            inside = line == "```sh";
            continue;
        }
        let words: Vec<&str> = line
            .split_whitespace()
            .take_while(|w| !w.starts_with('#'))
            .collect();
        let program = words
            .iter()
            .position(|w| matches!(*w, "mcp-server" | "agent"));
        if let Some(at) = program.filter(|_| inside) {
            let ours = words[at..]
                .iter()
                .take_while(|w| !matches!(**w, "|" | ">" | "&&" | ")"));
            found.push(
                ours.map(|w| w.trim_matches(['\'', '"']).to_owned())
                    .collect(),
            );
        }
    }
    found
}

#[test]
fn every_command_of_the_operators_page_is_one_there_is() {
    let page = fs::read_to_string(root().join(".deploy/OPERATIONS.md")).expect("the page");
    let commands = commands(&page);
    assert!(commands.len() > 4, "{commands:?}");
    for command in &commands {
        let taken = match command[0].as_str() {
            "agent" => agent::cli::Arguments::try_parse_from(command).map(|_| ()),
            _ => mcp_server::cli::Cli::try_parse_from(command).map(|_| ()),
        };
        let refused = taken.err().map(|e| e.to_string());
        assert!(refused.is_none(), "{command:?}: {refused:?}");
    }
    let compose = fs::read_to_string(root().join("compose.yaml")).expect("the compose file");
    for line in compose
        .lines()
        .filter_map(|l| l.trim().strip_prefix("command: "))
    {
        let words: Vec<String> = serde_json::from_str(line).expect("a list of words");
        let with_program = ["mcp-server".to_owned()].into_iter().chain(words);
        assert!(
            mcp_server::cli::Cli::try_parse_from(with_program).is_ok(),
            "{line}"
        );
    }
}

/// Whether a container is well is asked by a line of shell, because its image has no client.
#[tokio::test(flavor = "multi_thread")]
async fn the_question_whether_a_container_is_well_gets_the_servers_answer() {
    let world = World::open().await;
    let dockerfile = fs::read_to_string(root().join("Dockerfile")).expect("the Dockerfile");
    let lines = dockerfile
        .lines()
        .filter_map(|l| l.trim().strip_prefix("CMD "));
    let asks: Vec<Vec<String>> = lines
        .map(|l| serde_json::from_str(l).expect("a list of words"))
        .collect();
    assert_eq!(asks.len(), 2, "one for each program");
    let ports = [
        ("8001", world.shop.address.port()),
        ("8000", world.agent.address.port()),
    ];
    for ((default, port), ask) in ports.into_iter().zip(asks) {
        let ask = async |port: u16| {
            let script = ask[2].replace(default, &port.to_string());
            let status = tokio::process::Command::new("bash")
                .args(["-c", &script])
                .status()
                .await;
            status.expect("bash runs").success()
        };
        assert!(ask(port).await, "{default}");
        assert!(!ask(1).await, "nobody is there");
    }
    world.shop.app.stopping.cancel();
    let script = format!("{}/readyz", world.shop.mcp_url().trim_end_matches("/mcp"));
    assert_eq!(get(&script, &[]).await.0, StatusCode::SERVICE_UNAVAILABLE);
}
