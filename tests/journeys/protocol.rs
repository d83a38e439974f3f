//! What any MCP client sees on the wire: three revisions on one endpoint, the list of tools, results and errors.

mod completion;
mod listening;
mod names;
mod progress;
mod prompts;
mod reading;

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use e2e::examples;
use e2e::program::Pause;
use e2e::world::mcp::{MODERN, McpClient, OLDER, OLDEST, Reply, asked, done, refused, send, yes};
use e2e::world::{Setting, World, until};
use futures::FutureExt as _;
use migrations::test_database::TestHome;
use reqwest::StatusCode;
use rmcp::model::{
    CallToolRequestParams, ClientCapabilities, ClientConfig, Implementation, ProtocolVersion,
};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt as _};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::{Value, json};

fn committed() -> Vec<Value> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/mcp-tools.json");
    serde_json::from_str(&std::fs::read_to_string(path).expect("the list")).expect("JSON")
}

#[tokio::test]
async fn three_revisions_are_served_on_one_endpoint() {
    let world = World::open().await;
    for version in [OLDEST, OLDER] {
        let client = world.mcp(version);
        let begun = client.initialize().await;
        assert_eq!(begun["protocolVersion"], version);
        assert_eq!(begun["serverInfo"]["name"], "countersign");
        assert!(
            begun["instructions"]
                .as_str()
                .is_some_and(|i| i.contains("asked of a person first")),
            "{begun}"
        );
        let found = client
            .call("inventory_list_items", &json!({"category": "beauty"}))
            .await;
        assert_eq!(
            done(&found)["items"].as_array().map(Vec::len),
            Some(2),
            "{version}"
        );
    }
    // No handshake: the first request is a call.
    let found = world
        .mcp(MODERN)
        .call("inventory_list_items", &json!({"category": "beauty"}))
        .await;
    assert_eq!(found["resultType"], "complete");
    assert_eq!(done(&found)["items"].as_array().map(Vec::len), Some(2));
    // A revision nobody has heard of is refused, not guessed at.
    let unheard = world
        .mcp("1999-01-01")
        .request("tools/list", json!({}))
        .await;
    assert_eq!(unheard.status, 400, "{}", unheard.body);
}

#[tokio::test]
async fn the_server_says_what_it_serves() {
    let world = World::open().await;
    let told = world
        .mcp(MODERN)
        .request("server/discover", json!({}))
        .await
        .result();
    assert_eq!(told["supportedVersions"], json!([OLDEST, OLDER, MODERN]));
    assert!(told["capabilities"]["tools"].is_object(), "{told}");
    assert_eq!(told["ttlMs"], 300_000);
    assert_eq!(told["cacheScope"], "public");
    assert_eq!(told["resultType"], "complete");
}

#[tokio::test]
async fn the_list_of_tools_is_the_committed_one_in_the_same_order_every_time() {
    let world = World::open().await;
    let modern = world.mcp(MODERN);
    let list = modern.request("tools/list", json!({})).await.result();
    assert_eq!(list["ttlMs"], 300_000);
    assert_eq!(
        list["cacheScope"], "private",
        "what is listed depends on who asks"
    );
    assert!(list.get("nextCursor").is_none_or(Value::is_null));
    assert_eq!(modern.request("tools/list", json!({})).await.result(), list);

    let tools = list["tools"].as_array().expect("tools");
    let names: Vec<&str> = tools.iter().filter_map(|t| t["name"].as_str()).collect();
    assert!(names.is_sorted(), "{names:?}");
    let committed = committed();
    assert_eq!(tools.len(), committed.len());
    for (tool, sheet) in tools.iter().zip(&committed) {
        for member in [
            "name",
            "title",
            "description",
            "inputSchema",
            "outputSchema",
        ] {
            assert_eq!(tool[member], sheet[member], "{} {member}", sheet["name"]);
        }
        for hint in [
            "readOnlyHint",
            "destructiveHint",
            "idempotentHint",
            "openWorldHint",
        ] {
            assert!(
                tool["annotations"][hint].is_boolean(),
                "{} {hint}",
                sheet["name"]
            );
            assert_eq!(
                tool["annotations"][hint], sheet["annotations"][hint],
                "{} {hint}",
                sheet["name"]
            );
        }
        nothing_is_nullable(
            &tool["inputSchema"],
            sheet["name"].as_str().unwrap_or_default(),
        );
    }
    for version in [OLDEST, OLDER] {
        let older = world
            .mcp(version)
            .request("tools/list", json!({}))
            .await
            .result();
        assert_eq!(older["tools"], list["tools"], "{version}");
        assert!(
            older.get("ttlMs").is_none() && older.get("cacheScope").is_none(),
            "{version} knows no cache hints"
        );
    }
}

/// Some clients drop a tool whose schema has a type that may be null.
fn nothing_is_nullable(schema: &Value, place: &str) {
    match schema {
        Value::Object(map) => {
            let types = map.get("type");
            assert!(
                types.is_none_or(|t| !t.is_array() && t != "null"),
                "{place}: {types:?}"
            );
            assert!(
                !map.contains_key("nullable") && map.get("default") != Some(&Value::Null),
                "{place}"
            );
            for (name, inner) in map {
                nothing_is_nullable(inner, &format!("{place}.{name}"));
            }
        }
        Value::Array(all) => all
            .iter()
            .for_each(|inner| nothing_is_nullable(inner, place)),
        _ => {}
    }
}

#[tokio::test]
async fn who_asks_decides_what_is_listed_and_callable() {
    use contracts::token::PrincipalRole::{Customer, Owner, Staff};
    let world = World::open().await;
    let mut seen = Vec::new();
    for role in [Customer, Staff, Owner] {
        let client = world.agent_client("ana", role, None);
        let list = client.request("tools/list", json!({})).await.result();
        let names: BTreeSet<String> = list["tools"]
            .as_array()
            .expect("tools")
            .iter()
            .filter_map(|t| t["name"].as_str().map(str::to_owned))
            .collect();
        for sheet in committed() {
            let name = sheet["name"].as_str().unwrap_or_default();
            if !names.contains(name) {
                let failure = refused(&client.call(name, &json!({})).await);
                assert_eq!(failure["code"], "not_allowed", "{name} for {role:?}");
            }
        }
        seen.push(names);
    }
    assert!(seen[0].is_subset(&seen[1]) && seen[1].is_subset(&seen[2]));
    assert!(!seen[0].contains("billing_create_bill") && seen[1].contains("billing_create_bill"));
    assert!(!seen[1].contains("sales_summary") && seen[2].contains("sales_summary"));
}

#[tokio::test]
async fn what_is_no_call_is_a_protocol_error_and_what_is_a_wrong_one_a_result() {
    let world = World::open().await;
    let before = world.content("shop").await;
    for version in [MODERN, OLDER] {
        let client = world.mcp(version);
        let unknown = client
            .request(
                "tools/call",
                json!({"name": "drop_tables", "arguments": {}}),
            )
            .await;
        assert_eq!(unknown.error_code(), -32602, "{version}");
        assert!(
            unknown.body["error"]["message"]
                .as_str()
                .is_some_and(|m| m.contains("drop_tables"))
        );
        let cursor = client.request("tools/list", json!({"cursor": "abc"})).await;
        assert_eq!(cursor.error_code(), -32602, "{version}");
        let method = client.request("tools/burn", json!({})).await;
        assert_eq!(method.error_code(), -32601, "{version}");

        for (tool, arguments, field) in [
            ("inventory_get_item", json!({"item": 7}), "item"),
            ("inventory_get_item", json!({}), "item"),
            (
                "inventory_get_item",
                json!({"item": "Soap", "tenant": "x"}),
                "tenant",
            ),
            ("inventory_list_items", json!({"limit": "ten"}), "limit"),
            ("inventory_list_items", json!({"limit": 0}), "limit"),
            (
                "inventory_list_items",
                json!({"cursor": "not one of ours"}),
                "cursor",
            ),
            ("billing_list_bills", json!({"cursor": "AAAA"}), "cursor"),
            ("billing_list_bills", json!({"from": "tomorrow"}), "from"),
            (
                "billing_create_bill",
                json!({"lines": [{"item": "Soap", "quantity": {}}]}),
                "lines[0].quantity",
            ),
            (
                "confirm_action",
                json!({"confirmation_id": "7"}),
                "confirmation_id",
            ),
        ] {
            let failure = refused(&client.call(tool, &arguments).await);
            assert_eq!(
                failure["code"], "invalid_arguments",
                "{tool} {arguments}: {failure}"
            );
            assert_eq!(failure["field"], field, "{tool} {arguments}: {failure}");
        }
    }
    assert_eq!(world.content("shop").await, before);
}

#[tokio::test]
async fn every_result_is_of_the_schema_its_tool_names() {
    let world = examples::shop().await;
    let committed = committed();
    let schema = |tool: &str| {
        let sheet = committed
            .iter()
            .find(|s| s["name"] == tool)
            .unwrap_or_else(|| panic!("{tool} is not listed"));
        sheet["outputSchema"].clone()
    };
    // The examples bring both kinds of answer of a tool that asks: to a client that can be asked, and to one that cannot.
    let results: Vec<(String, Value)> = examples::play(&world)
        .await
        .into_iter()
        .map(|(example, result)| (example.tool, result))
        .collect();
    assert!(
        results
            .iter()
            .any(|(_, r)| r["status"] == "confirmation_required"),
        "one answer of each kind"
    );
    for (tool, result) in &results {
        let faults = faults(&schema(tool), result, tool);
        assert!(faults.is_empty(), "{faults:?}: {result}");
        assert!(
            result["summary"].as_str().is_some_and(|s| !s.is_empty()),
            "{tool} says nothing: {result}"
        );
        // The check itself must be able to fail.
        assert!(
            !self::faults(&schema(tool), &json!({}), tool).is_empty(),
            "{tool}'s schema takes anything"
        );
    }
    let called: BTreeSet<&str> = results.iter().map(|(tool, _)| tool.as_str()).collect();
    let listed: BTreeSet<&str> = committed
        .iter()
        .filter_map(|s| s["name"].as_str())
        .collect();
    assert_eq!(called, listed, "a tool without a scene here");
}

/// Where a value is not what a schema says. Knows the keywords our schemas use, and stops at any other.
fn faults(schema: &Value, value: &Value, place: &str) -> Vec<String> {
    let Value::Object(map) = schema else {
        return Vec::new();
    };
    let mut faults = Vec::new();
    for (keyword, rule) in map {
        match keyword.as_str() {
            "type" if !is_of_type(value, rule) => faults.push(format!("{place} is no {rule}")),
            "const" if value != rule => faults.push(format!("{place} is not {rule}")),
            "enum" if !rule.as_array().is_some_and(|all| all.contains(value)) => {
                faults.push(format!("{place} is none of {rule}"));
            }
            "required" => {
                let missing = rule
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .filter(|name| value.get(name).is_none());
                faults.extend(missing.map(|name| format!("{place}.{name} is missing")));
            }
            "properties" => {
                for (name, inner) in rule.as_object().into_iter().flatten() {
                    if let Some(member) = value.get(name) {
                        faults.extend(self::faults(inner, member, &format!("{place}.{name}")));
                    }
                }
            }
            "additionalProperties" if rule == false => {
                let known =
                    |name: &String| map.get("properties").and_then(|p| p.get(name)).is_some();
                let unknown = value
                    .as_object()
                    .into_iter()
                    .flatten()
                    .filter(|(name, _)| !known(name));
                faults.extend(unknown.map(|(name, _)| format!("{place}.{name} is unknown")));
            }
            "items" => {
                for inner in value.as_array().into_iter().flatten() {
                    faults.extend(self::faults(rule, inner, place));
                }
            }
            "anyOf" | "oneOf" => {
                let tried: Vec<Vec<String>> = rule
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|option| self::faults(option, value, place))
                    .collect();
                if tried.iter().all(|faults| !faults.is_empty()) {
                    faults.push(format!("{place} is none of the options: {tried:?}"));
                }
            }
            "type"
            | "const"
            | "enum"
            | "additionalProperties"
            | "description"
            | "title"
            | "default"
            | "format"
            | "pattern"
            | "minimum"
            | "maximum"
            | "minLength"
            | "maxLength" => {}
            other => panic!("{place}: the check does not know {other}"),
        }
    }
    faults
}

fn is_of_type(value: &Value, name: &Value) -> bool {
    match name.as_str().unwrap_or_default() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        other => panic!("type {other}"),
    }
}

#[tokio::test]
async fn the_common_client_library_works_with_each_lifecycle() {
    let world = World::open().await;
    let modern = vec![ProtocolVersion::V_2026_07_28];
    for lifecycle in [
        ClientLifecycleMode::Auto {
            preferred_versions: modern.clone(),
            legacy_version: Some(ProtocolVersion::V_2025_11_25),
        },
        ClientLifecycleMode::Discover {
            preferred_versions: modern,
        },
        ClientLifecycleMode::Initialize,
    ] {
        let shown = format!("{lifecycle:?}");
        let config =
            StreamableHttpClientTransportConfig::with_uri(Arc::<str>::from(world.shop.mcp_url()));
        let transport = StreamableHttpClientTransport::with_client(world.http.clone(), config);
        let client = ClientConfig::new(
            ClientCapabilities::default(),
            Implementation::new("journey", "1"),
        );
        let running = client
            .serve_with_lifecycle(transport, lifecycle)
            .await
            .expect("a connection");
        let tools = running.list_all_tools().await.expect("a list");
        assert_eq!(tools.len(), committed().len(), "{shown}");
        let mut call = CallToolRequestParams::new("inventory_get_item");
        call.arguments = json!({"item": "soap"}).as_object().cloned();
        let result = running.call_tool(call).await.expect("a result");
        let item = result.structured_content.expect("structured");
        assert_eq!(item["item"]["name"], "Soap", "{shown}");
        running.cancel().await.expect("closed");
    }
}

#[tokio::test]
async fn every_result_of_the_stateless_revision_says_who_answers() {
    let world = World::open().await;
    let client = world.asking_client();
    let call = |tool: &str, arguments: Value| json!({"name": tool, "arguments": arguments});
    let bill = json!({"lines": [{"item": "Soap", "quantity": "1"}]});
    for (method, params) in [
        ("server/discover", json!({})),
        ("tools/list", json!({})),
        ("resources/list", json!({})),
        ("resources/templates/list", json!({})),
        ("resources/read", json!({"uri": "countersign://price-list"})),
        ("prompts/list", json!({})),
        ("prompts/get", json!({"name": "daily_summary"})),
        (
            "completion/complete",
            json!({"ref": {"type": "ref/prompt", "name": "daily_summary"}, "argument": {"name": "day", "value": ""}}),
        ),
        (
            "tools/call",
            call("inventory_get_item", json!({"item": "Soap"})),
        ),
        (
            "tools/call",
            call("inventory_get_item", json!({"item": "plutonium"})),
        ),
        ("tools/call", call("billing_create_bill", bill.clone())),
    ] {
        let result = client.request(method, params.clone()).await.result();
        let told = &result["_meta"]["io.modelcontextprotocol/serverInfo"];
        assert_eq!(told["name"], "countersign", "{method} {params}: {result}");
        assert!(told["version"].is_string(), "{told}");
    }
    // The older revisions have told it in the handshake.
    let older = world.mcp(OLDER);
    let params = call("inventory_get_item", json!({"item": "Soap"}));
    for (method, params) in [("tools/list", json!({})), ("tools/call", params)] {
        let result = older.request(method, params).await.result();
        let told = &result["_meta"]["io.modelcontextprotocol/serverInfo"];
        assert!(told.is_null(), "{method}: {told}");
    }
}

#[tokio::test]
async fn what_is_declared_is_there_and_nothing_else() {
    let world = World::open().await;
    let told = world
        .mcp(MODERN)
        .request("server/discover", json!({}))
        .await
        .result();
    assert_eq!(
        told["capabilities"],
        json!({
            "completions": {},
            "prompts": {"listChanged": true},
            "resources": {"listChanged": true, "subscribe": true},
            "tools": {"listChanged": true},
        })
    );
    // Nothing that stands alone can be told of a change.
    let older = world.mcp(OLDER).initialize().await;
    assert_eq!(
        older["capabilities"],
        json!({"completions": {}, "prompts": {}, "resources": {}, "tools": {}})
    );
    let level = json!({"level": "info"});
    let bill = json!({"uri": "countersign://bills/INV-1"});
    for (method, params) in [
        ("resources/subscribe", bill.clone()),
        ("resources/unsubscribe", bill),
        ("logging/setLevel", level),
        ("tools/burn", json!({})),
    ] {
        let modern = world.mcp(MODERN).request(method, params.clone()).await;
        assert_eq!(
            (modern.status, modern.error_code()),
            (StatusCode::NOT_FOUND, -32601),
            "{method}"
        );
        let older = world.mcp(OLDER).request(method, params).await;
        assert_eq!(older.error_code(), -32601, "{method}");
    }
    let filter = json!({"notifications": {"toolsListChanged": true}});
    let older = world
        .mcp(OLDER)
        .request("subscriptions/listen", filter)
        .await;
    assert_eq!(older.error_code(), -32601);
}

/// A good read with one header replaced.
async fn with_header(client: &McpClient, name: &'static str, value: &'static str) -> Reply {
    let params = json!({"name": "inventory_get_item", "arguments": {"item": "Soap"}});
    let (http, request) = client.prepare("tools/call", params).build_split();
    let mut request = request.expect("a request");
    request
        .headers_mut()
        .insert(name, value.parse().expect("a value"));
    send(reqwest::RequestBuilder::from_parts(http, request)).await
}

#[tokio::test]
async fn what_a_request_says_twice_it_says_alike() {
    let world = World::open().await;
    let client = world.mcp(MODERN);
    for (name, value) in [
        ("mcp-method", "tools/list"),
        ("mcp-name", "inventory_list_items"),
        ("mcp-protocol-version", OLDER),
    ] {
        let reply = with_header(&client, name, value).await;
        assert_eq!(
            (reply.status, reply.error_code()),
            (StatusCode::BAD_REQUEST, -32020),
            "{name}: {value}: {}",
            reply.body
        );
    }
    let whole = with_header(&client, "mcp-name", "inventory_get_item").await;
    assert_eq!(done(&whole.result())["item"]["name"], "Soap");

    // What a stateless request has to bring, as there was no handshake.
    let (http, request) = client.prepare("tools/list", json!({})).build_split();
    let mut request = request.expect("a request");
    let meta = json!({"io.modelcontextprotocol/protocolVersion": MODERN});
    let body =
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}});
    *request.body_mut() = Some(body.to_string().into());
    request.headers_mut().remove("content-length");
    let reply = send(reqwest::RequestBuilder::from_parts(http, request)).await;
    assert_eq!(
        (reply.status, reply.error_code()),
        (StatusCode::BAD_REQUEST, -32602),
        "{}",
        reply.body
    );
}

#[tokio::test]
async fn a_connection_holds_nothing() {
    let world = World::open().await;
    // No session to follow or to end, so nothing but a request is taken.
    for method in [reqwest::Method::GET, reqwest::Method::DELETE] {
        let request = world
            .http
            .request(method.clone(), world.shop.mcp_url())
            .header("accept", "text/event-stream")
            .header("mcp-protocol-version", OLDER)
            .header("mcp-session-id", "s");
        assert_eq!(
            send(request).await.status,
            StatusCode::METHOD_NOT_ALLOWED,
            "{method}"
        );
    }
    let begun = world.mcp(OLDER).prepare(
        "initialize",
        json!({"protocolVersion": OLDER, "capabilities": {}, "clientInfo": {"name": "journey", "version": "1"}}),
    );
    assert!(!send(begun).await.headers.contains_key("mcp-session-id"));
}

#[tokio::test]
async fn a_token_for_progress_changes_nothing() {
    let world = World::open().await;
    for version in [MODERN, OLDER] {
        let params = json!({"name": "inventory_get_item", "arguments": {"item": "Soap"}, "_meta": {"progressToken": "p"}});
        let reply = world.mcp(version).request("tools/call", params).await;
        assert_eq!(reply.headers["content-type"], "application/json");
        assert_eq!(done(&reply.result())["item"]["name"], "Soap", "{version}");
    }
}

#[tokio::test]
async fn a_dialog_that_was_closed_leaves_the_question_to_the_page() {
    // A shop that hands tokens to clients which cannot ask: this one can, so its model gets none.
    let world = World::open_with(Setting {
        owner_sql: vec!["update shop.tenants set unasked_clients = 'token'"],
        ..Setting::default()
    })
    .await;
    let client = world.asking_client();
    let bill = json!({"lines": [{"item": "Soap", "quantity": "1"}]});
    let state = asked(&client.call("billing_create_bill", &bill).await);
    let closed = json!({"confirm": {"action": "cancel"}});
    // However often it is closed, it is not opened again by us.
    for _ in 0..2 {
        let result = client
            .retry("billing_create_bill", &bill, &state, closed.clone())
            .await;
        let required = done(&result);
        assert_eq!(required["status"], "confirmation_required", "{required}");
        assert!(required["approval_url"].is_string(), "{required}");
        assert!(required.get("token").is_none(), "{required}");
    }
    assert_eq!(world.bills().await, 0);
    assert_eq!(
        world
            .number("select count(*) from shop.confirmations")
            .await,
        1
    );
    // It is still the same question, and still open.
    let billed = client
        .retry("billing_create_bill", &bill, &state, yes())
        .await;
    assert_eq!(done(&billed)["number"], "INV-1");
    assert_eq!(world.bills().await, 1);
}

/// Sets its flag when it is dropped.
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_read_ends_with_its_client_and_a_write_is_finished() {
    let folder = TestHome::new();
    std::fs::create_dir_all(folder.path()).expect("a folder");
    let pause = Pause::by(folder.path().join("pause"));
    let (reading, stopped) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let (begun, dropped, writing) = (
        Arc::clone(&reading),
        Arc::clone(&stopped),
        pause.clone().hook(),
    );
    let hook = move |place| {
        let (begun, dropped, written) = (Arc::clone(&begun), Arc::clone(&dropped), writing(place));
        async move {
            if place == "tool:inventory_get_item" {
                let _guard = Dropped(dropped);
                begun.store(true, Ordering::SeqCst);
                std::future::pending::<()>().await;
            }
            written.await;
        }
        .boxed()
    };
    // No deadline may end the read before its client does.
    let world = World::open_with(Setting {
        variables: [("MCP_CALL_TIMEOUT_SECONDS", "300".to_owned())].into(),
        server_hooks: mcp_server::app::Hooks::new(hook),
        ..Setting::default()
    })
    .await;
    let leaves = |tool: &'static str, arguments: Value| {
        let client = world.mcp(MODERN);
        tokio::spawn(async move { client.call(tool, &arguments).await })
    };

    let read = leaves("inventory_get_item", json!({"item": "Soap"}));
    until("reading", || async { reading.load(Ordering::SeqCst) }).await;
    read.abort();
    until("stopped", || async { stopped.load(Ordering::SeqCst) }).await;

    pause.at("tool:inventory_add_item");
    let sugar =
        json!({"name": "Sugar", "unit_price": "160", "quantity": "20", "idempotency_key": "k"});
    let write = leaves("inventory_add_item", sugar.clone());
    pause.reached().await;
    write.abort();
    assert!(write.await.is_err_and(|e| e.is_cancelled()));
    pause.go_on();
    let added = || world.number("select count(*) from shop.items where name = 'Sugar'");
    until("written", || async { added().await == 1 }).await;
    let again = world.mcp(MODERN).call("inventory_add_item", &sugar).await;
    assert_eq!(done(&again)["item"]["name"], "Sugar", "the stored answer");
    assert_eq!(world.on_hand("Sugar").await, "20");
}

#[tokio::test]
async fn a_server_that_is_told_to_stop_answers_what_it_has_begun() {
    let folder = TestHome::new();
    std::fs::create_dir_all(folder.path()).expect("a folder");
    let pause = Pause::by(folder.path().join("pause"));
    let world = World::open_with(Setting {
        server_hooks: mcp_server::app::Hooks::new(pause.clone().hook()),
        ..Setting::default()
    })
    .await;
    pause.at("tool:inventory_add_item");
    let (client, address) = (world.mcp(MODERN), world.shop.address);
    let sugar = json!({"name": "Sugar", "unit_price": "160", "quantity": "20"});
    let write = tokio::spawn(async move { client.call("inventory_add_item", &sugar).await });
    pause.reached().await;
    let stopping = tokio::spawn(world.shop.stop());
    until("the door is closed", || async {
        tokio::net::TcpStream::connect(address).await.is_err()
    })
    .await;
    pause.go_on();
    assert_eq!(
        done(&write.await.expect("an answer"))["item"]["name"],
        "Sugar"
    );
    stopping.await.expect("stopped");
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        let bytes = self.0.lock().expect("no panic while logging").clone();
        String::from_utf8(bytes).expect("text")
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

#[tokio::test]
async fn what_is_logged_of_a_call_names_the_callers_trace() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::ERROR)
        .with_writer(move || writer.clone())
        .finish();
    // The scene and its servers share this thread.
    let _logging = tracing::subscriber::set_default(subscriber);
    let hook = |place| async move { assert!(place != "tool:inventory_get_item") }.boxed();
    let world = World::open_with(Setting {
        server_hooks: mcp_server::app::Hooks::new(hook),
        ..Setting::default()
    })
    .await;
    let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7");
    for traceparent in [format!("00-{trace}-{parent}-01"), "forged\nline".to_owned()] {
        let params = json!({"name": "inventory_get_item", "arguments": {"item": "Soap"}, "_meta": {"traceparent": traceparent}});
        let reply = world.mcp(MODERN).request("tools/call", params).await;
        assert_eq!(refused(&reply.result())["code"], "internal");
    }
    let text = log.text();
    let lines: Vec<&str> = text
        .lines()
        .filter(|l| l.contains("call panicked"))
        .collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(
        lines[0].contains(trace) && lines[0].contains(parent),
        "{}",
        lines[0]
    );
    assert!(!text.contains("forged"), "{text}");
}
