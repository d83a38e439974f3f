//! Other names of tools, pictures, and what a registry is told of the server.

use std::collections::BTreeMap;

use contracts::aliases::ALIASES;
use e2e::world::World;
use e2e::world::mcp::{MODERN, OLDER, asked, done, refused, yes};
use reqwest::StatusCode;
use serde_json::{Value, json};

#[tokio::test]
async fn a_tool_is_called_by_another_name_and_says_its_own() {
    let world = World::open().await;
    let list = world
        .mcp(MODERN)
        .request("tools/list", json!({}))
        .await
        .result();
    for alias in ALIASES {
        assert!(
            !list.to_string().contains(&format!("\"{}\"", alias.name)),
            "{} is listed",
            alias.name
        );
    }
    for version in [MODERN, OLDER] {
        let client = world.mcp(version);
        let found = client.call("get_item", &json!({"item": "Soap"})).await;
        assert_eq!(done(&found)["item"]["name"], "Soap");
        let told = &found["_meta"]["countersign/renamed"];
        assert_eq!(
            told,
            &json!({"from": "get_item", "to": "inventory_get_item", "since": "0.1.0"})
        );
        // The same checks as under its own name.
        let wrong = refused(&client.call("get_item", &json!({"item": 7})).await);
        assert_eq!(wrong["code"], "invalid_arguments");
    }
    let client = world.asking_client();
    let bill = json!({"lines": [{"item": "Soap", "quantity": "1"}], "idempotency_key": "k"});
    let question = client.call("create_bill", &bill).await;
    assert_eq!(
        question["_meta"]["countersign/confirmation"]["tool"],
        "billing_create_bill"
    );
    assert_eq!(
        question["_meta"]["countersign/renamed"]["to"],
        "billing_create_bill"
    );
    let billed = client
        .retry("create_bill", &bill, &asked(&question), yes())
        .await;
    assert_eq!(done(&billed)["number"], "INV-1");
    // One key, one call, whatever it was called.
    let again = client.call("billing_create_bill", &bill).await;
    assert_eq!(done(&again)["number"], "INV-1");
    assert!(again["_meta"].get("countersign/renamed").is_none());
    assert_eq!(world.bills().await, 1);
    let audited =
        "select string_agg(distinct tool, ',') from shop.audit_log where tool like '%bill%'";
    assert_eq!(world.text(audited).await, "billing_create_bill");
    let customer = world.agent_client("ana", contracts::token::PrincipalRole::Customer, None);
    let failure = refused(
        &customer
            .call("void_bill", &json!({"bill": "1", "reason": "x"}))
            .await,
    );
    assert_eq!(failure["code"], "not_allowed", "no way around the role");
}

#[tokio::test]
async fn every_tool_has_a_picture_that_anybody_can_fetch() {
    let world = World::open().await;
    let client = world.mcp(MODERN);
    let told = client.request("server/discover", json!({})).await.result();
    let info = &told["_meta"]["io.modelcontextprotocol/serverInfo"];
    let mut sources = BTreeMap::new();
    if let Some(icons) = info["icons"].as_array() {
        sources.insert(icons[0]["src"].to_string(), 1);
    }
    let list = client.request("tools/list", json!({})).await.result();
    let mut bare = list.clone();
    for tool in bare["tools"].as_array_mut().expect("tools") {
        let icon = tool["icons"][0].clone();
        assert_eq!(icon["mimeType"], "image/svg+xml", "{tool}");
        *sources.entry(icon["src"].to_string()).or_insert(0) += 1;
        tool.as_object_mut().expect("a tool").remove("icons");
    }
    let (with, without) = (list.to_string().len(), bare.to_string().len());
    println!("tools/list: {with} bytes, {without} without icons");
    assert!(
        with - without < without / 20,
        "pictures are less than a twentieth of the list"
    );
    assert!(sources.len() >= 8, "one for each toolset: {sources:?}");
    for source in sources.keys() {
        let url = source.trim_matches('"');
        let response = world.http.get(url).send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK, "{url}");
        assert_eq!(response.headers()["content-type"], "image/svg+xml");
        assert_eq!(response.headers()["cache-control"], "public, max-age=86400");
        assert!(response.headers().contains_key("content-security-policy"));
        assert!(response.text().await.expect("text").starts_with("<svg "));
    }
    let nothing = world.shop.mcp_url().replace("/mcp", "/icons/nothing.svg");
    let nothing = world.http.get(nothing).send().await.expect("an answer");
    assert_eq!(nothing.status(), StatusCode::NOT_FOUND);
}

/// `server.json`, for registries of MCP servers.
#[test]
fn what_registries_are_told_is_true() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |file: &str| std::fs::read_to_string(root.join(file)).expect(file);
    let entry: Value = serde_json::from_str(&read("server.json")).expect("JSON");
    assert_eq!(
        entry["$schema"],
        "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
    );
    assert_eq!(entry["version"], env!("CARGO_PKG_VERSION"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = text(&entry["name"]);
    let (namespace, own) = name.split_once('/').expect("namespace/name");
    let is_name = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    assert!(
        (3..=200).contains(&name.len()) && is_name(namespace) && is_name(own),
        "{name}"
    );
    assert!((1..=100).contains(&text(&entry["description"]).chars().count()));
    assert!((1..=100).contains(&text(&entry["title"]).chars().count()));
    // Nothing is claimed that is not there: no repository, no package, no page.
    let members: Vec<&String> = entry.as_object().expect("an object").keys().collect();
    assert_eq!(
        members,
        [
            "$schema",
            "description",
            "name",
            "remotes",
            "title",
            "version"
        ]
    );
    let remote = &entry["remotes"][0];
    assert_eq!(remote["type"], "streamable-http");
    let url = text(&remote["url"]);
    assert!(url.ends_with("/mcp"), "{url}");
    for variable in url
        .split('{')
        .skip(1)
        .filter_map(|rest| rest.split('}').next())
    {
        let described = &remote["variables"][variable];
        assert!(described["description"].is_string(), "{variable}");
        assert_eq!(described["isRequired"], true, "{variable}");
    }
    let header = |name: &str| {
        let all = remote["headers"].as_array().into_iter().flatten();
        all.clone()
            .find(|h| h["name"] == name)
            .cloned()
            .unwrap_or_default()
    };
    assert_eq!(header("Authorization")["isSecret"], true);
    assert_eq!(remote["headers"].as_array().map(Vec::len), Some(3));
    for narrows in ["X-MCP-Toolsets", "X-MCP-Readonly"] {
        assert!(header(narrows)["description"].is_string(), "{narrows}");
    }
}
