//! What an operator settles for everybody: reading only, toolsets, and what a server does not start without.

use std::collections::BTreeSet;
use std::process::Stdio;

use contracts::ids::TenantId;
use contracts::token::PrincipalRole;
use contracts::tools::sheets;
use e2e::examples;
use e2e::world::mcp::{McpClient, OLDER, done, refused};
use e2e::world::{PATIENCE, World};
use migrations::database::Role;
use migrations::settings::Reader;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;

use super::{key, list, names};

/// Another server over the same shop, which only reads, on a login that can do nothing else.
async fn reading_server(world: &World) -> mcp_server::start::Started {
    let owner = world
        .database_url(Role::Shop)
        .replace("countersign_shop", "journeys_reader");
    let make = "do $$ begin create role journeys_reader login nosuperuser nobypassrls; exception when duplicate_object or unique_violation then null; end $$";
    sqlx::raw_sql(make)
        .execute(&mut world.admin().await)
        .await
        .expect("a login");
    sqlx::raw_sql("call shop.let_read('journeys_reader')")
        .execute(&world.db)
        .await
        .expect("rights to read");
    let mut variables = world.variables(Role::Shop);
    variables.insert("DATABASE_URL".to_owned(), owner);
    variables.remove("DATABASE_OWNER_URL");
    variables.insert("MCP_READ_ONLY".to_owned(), "on".to_owned());
    let config =
        mcp_server::config::Config::read(&Reader::new(move |name| variables.get(name).cloned()));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let hooks = mcp_server::app::Hooks::default();
    mcp_server::start::start_on(listener, config.expect("settings"), hooks, &mut |_| {})
        .await
        .expect("a server that reads")
}

#[tokio::test]
#[expect(
    clippy::too_many_lines,
    reason = "one scene, told from its beginning to its end"
)]
async fn a_server_that_only_reads_needs_no_right_to_write_and_every_tool_it_offers_works() {
    let world = examples::shop().await;
    let played = examples::play(&world).await;
    let token = key(
        &world,
        "viewer",
        PrincipalRole::Owner,
        &["all:commit", "admin"],
    )
    .await;
    world.until_idle().await;
    let before = world.content("shop").await;
    let server = reading_server(&world).await;
    let login: String = sqlx::query_scalar("select current_user::text")
        .fetch_one(&server.app.pool)
        .await
        .expect("a login");
    assert_eq!(login, "journeys_reader");
    let may_write: i64 = sqlx::query_scalar(
        "select count(*) from information_schema.table_privileges where grantee = 'journeys_reader' and privilege_type <> 'SELECT'",
    )
    .fetch_one(&world.db)
    .await
    .expect("a number");
    assert_eq!(may_write, 0);
    let client = McpClient::at(&server.mcp_url()).bearer(&token);
    let offered = names(&list(&client).await.result());
    let reading: BTreeSet<String> = sheets()
        .iter()
        .filter(|s| s.effect == contracts::tool::Effect::Read)
        .map(|s| s.name.to_owned())
        .collect();
    assert_eq!(offered, reading);
    let question = played
        .iter()
        .find_map(|(_, result)| result["confirmation_id"].as_str())
        .expect("a question")
        .to_owned();
    for tool in &offered {
        let mut calls = 0;
        for (example, _) in played.iter().filter(|(e, _)| e.tool == *tool) {
            let text = example.arguments.to_string();
            let text = text.replace(examples::QUESTION, &question);
            let arguments: Value = serde_json::from_str(&text).expect("JSON");
            done(&client.call(tool, &arguments).await);
            calls += 1;
        }
        assert!(calls > 0, "{tool} has no example");
    }
    for sheet in sheets().iter().filter(|s| !offered.contains(s.name)) {
        let answer = client.call(sheet.name, &examples::good(sheet.name)).await;
        assert_eq!(refused(&answer)["code"], "not_allowed", "{}", sheet.name);
    }
    // What is read as resources and prompts, too.
    for (list, of, read, by) in [
        ("resources/list", "resources", "resources/read", "uri"),
        ("prompts/list", "prompts", "prompts/get", "name"),
    ] {
        let listed = client.request(list, json!({})).await.result();
        let all = listed[of].as_array().expect("a list").clone();
        assert!(!all.is_empty(), "{list}");
        for each in all {
            let mut params = json!({});
            params[by] = each[by].clone();
            let reply = client.request(read, params).await;
            assert_eq!(reply.status, StatusCode::OK, "{each}: {}", reply.body);
            let _ = reply.result();
        }
    }
    // Neither by its pages nor by those who would tell it of payments.
    let base = server.mcp_url().replace("/mcp", "");
    for (path, status) in [
        (
            "/approvals/00000000-0000-7000-8000-000000000001",
            StatusCode::FORBIDDEN,
        ),
        ("/providers/stripe/webhook", StatusCode::NOT_FOUND),
        ("/login", StatusCode::FORBIDDEN),
        ("/admin/v1/keys", StatusCode::FORBIDDEN),
    ] {
        let posted = world
            .http
            .post(format!("{base}{path}"))
            .bearer_auth(&token)
            .send()
            .await;
        assert_eq!(posted.expect("an answer").status(), status, "{path}");
    }
    // And if a call came through after all, Postgres would refuse it.
    let mut tx = server
        .app
        .begin(TenantId::DEMO)
        .await
        .expect("a transaction");
    let written = sqlx::query("update shop.items set name = name")
        .execute(&mut *tx)
        .await;
    let code = written
        .expect_err("refused")
        .as_database_error()
        .and_then(|e| e.code().map(|c| c.into_owned()));
    assert_eq!(
        code.as_deref(),
        Some("25006"),
        "a transaction that only reads"
    );
    drop(tx);
    server.stop().await;
    assert_eq!(world.content("shop").await, before, "nothing was written");
}

#[tokio::test]
async fn what_is_missing_is_said_at_the_start() {
    let world = World::open().await;
    let start = async |changes: &[(&str, &str)]| {
        let mut variables = world.variables(Role::Shop);
        for (name, value) in changes {
            variables.insert((*name).to_owned(), (*value).to_owned());
        }
        let reader = Reader::new(move |name| variables.get(name).cloned());
        let config = mcp_server::config::Config::read(&reader).map_err(|e| e.to_string())?;
        let mut lines = Vec::new();
        let started =
            mcp_server::start::start(config, mcp_server::app::Hooks::default(), &mut |line| {
                lines.push(line.to_owned());
            })
            .await
            .map_err(|e| format!("{e:#}"))?;
        started.stop().await;
        Ok::<String, String>(lines.join("\n"))
    };
    let public = start(&[("MCP_BIND", "0.0.0.0:0")]).await;
    assert!(public.is_err_and(|e| e.contains("MCP_LOCAL_MODE")));
    let off = [("MCP_BIND", "0.0.0.0:0"), ("MCP_LOCAL_MODE", "off")];
    let lines = start(&off).await.expect("started");
    assert!(lines.contains("mcp-server keys create"), "{lines}");
    assert!(lines.contains("MCP_PUBLIC_URL"), "{lines}");
    key(&world, "first", PrincipalRole::Owner, &["all:read"]).await;
    let named = [off[0], off[1], ("MCP_PUBLIC_URL", "https://shop.example")];
    assert_eq!(start(&named).await.expect("started"), "");
    assert_eq!(
        start(&[]).await.expect("started"),
        "",
        "local mode has its owner"
    );
    // A home with a database of its own, in which nobody has made a shop yet.
    let alone = [
        off[1],
        ("DATABASE_URL", ""),
        ("DATABASE_OWNER_URL", ""),
        ("MCP_PUBLIC_URL", "https://shop.example"),
    ];
    let lines = start(&alone).await.expect("started without the demo");
    assert!(lines.contains("mcp-server keys create"), "{lines}");
    for (bad, says) in [
        (
            ("MCP_TOOLSETS", "billing,shop"),
            "MCP_TOOLSETS: `billing,shop`",
        ),
        (("MCP_READ_ONLY", "perhaps"), "on or off"),
        (("MCP_AUTH_ISSUER", "http://login.example"), "https"),
    ] {
        let refused = start(&[bad]).await;
        assert!(refused.is_err_and(|e| e.contains(says)), "{bad:?}");
    }
}

/// What a desktop client on standard input is offered by a server with these flags and headers of nobody.
async fn offered_on_stdio(world: &World, flags: &[&str]) -> BTreeSet<String> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_e2e-mcp-cli"))
        .arg("--stdio")
        .args(flags)
        .env_clear()
        .envs(world.variables(Role::Shop))
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("it starts");
    let mut input = child.stdin.take().expect("input");
    let mut lines = BufReader::new(child.stdout.take().expect("output")).lines();
    let hello = json!({"protocolVersion": OLDER, "capabilities": {}, "clientInfo": {"name": "desktop", "version": "1"}});
    for message in [
        json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}),
    ] {
        let line = format!("{message}\n");
        input.write_all(line.as_bytes()).await.expect("sent");
    }
    loop {
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        let line = line.expect("in time").expect("a line").expect("an answer");
        let answer: Value = serde_json::from_str(&line).expect("JSON");
        if answer["id"] == 1 {
            return names(&answer["result"]);
        }
    }
}

#[tokio::test]
async fn the_settings_hold_on_standard_input_too() {
    let world = World::open().await;
    let all = offered_on_stdio(&world, &[]).await;
    assert_eq!(all.len(), sheets().len());
    let some = offered_on_stdio(&world, &["--toolsets", "inventory", "--read-only"]).await;
    let expected = [
        "confirm_action",
        "inventory_get_item",
        "inventory_list_items",
    ];
    assert_eq!(some, expected.map(str::to_owned).into());
    let refused = Command::new(env!("CARGO_BIN_EXE_e2e-mcp-cli"))
        .args(["--stdio", "--toolsets", "inventory,shop"])
        .output()
        .await
        .expect("it starts");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("inventory,shop"),
        "{said}"
    );
}
