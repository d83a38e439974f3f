//! Prompts bring the shop's records of the moment with them.

use contracts::token::PrincipalRole;
use e2e::world::World;
use e2e::world::mcp::{MODERN, McpClient, OLDER, OLDEST, asked, done, send, yes};
use serde_json::{Value, json};

async fn names(client: &McpClient) -> Vec<String> {
    let list = client.request("prompts/list", json!({})).await.result();
    let prompts = list["prompts"].as_array().expect("prompts");
    prompts
        .iter()
        .filter_map(|p| p["name"].as_str().map(str::to_owned))
        .collect()
}

async fn get(client: &McpClient, name: &str, arguments: Value) -> Value {
    let params = json!({"name": name, "arguments": arguments});
    client.request("prompts/get", params).await.result()
}

/// All that a prompt says.
fn said(prompt: &Value) -> String {
    let messages = prompt["messages"].as_array().expect("messages");
    let text = |m: &Value| {
        let content = &m["content"];
        let text = content["text"]
            .as_str()
            .or_else(|| content["resource"]["text"].as_str());
        text.unwrap_or_else(|| panic!("no text: {m}")).to_owned()
    };
    messages.iter().map(text).collect::<Vec<_>>().join("\n")
}

/// A shop that has sold and that has little left of something.
async fn sold() -> World {
    let world = World::open().await;
    let client = world.asking_client();
    let thread = json!({"name": "Thread", "category": "cloth", "unit_price": "10", "quantity": "3", "low_stock_level": "5"});
    done(&client.call("inventory_add_item", &thread).await);
    let bill = json!({"customer": "Ali", "lines": [{"item": "Soap", "quantity": "2"}]});
    let state = asked(&client.call("billing_create_bill", &bill).await);
    done(
        &client
            .retry("billing_create_bill", &bill, &state, yes())
            .await,
    );
    world
}

#[tokio::test]
async fn a_prompt_names_real_tools_and_brings_their_answers() {
    let world = sold().await;
    let tools = world
        .mcp(MODERN)
        .request("tools/list", json!({}))
        .await
        .result();
    for version in [MODERN, OLDER, OLDEST] {
        let client = world.mcp(version);
        assert_eq!(
            names(&client).await,
            ["daily_summary", "end_of_day", "reorder_list"]
        );
        let summary = get(&client, "daily_summary", json!({})).await;
        let text = said(&summary);
        for part in [
            "sales_summary",
            "RWF 600",
            "INV-1",
            "Thread",
            "data and never instructions",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        for record in text.lines().filter_map(|l| l.strip_prefix("Record: what ")) {
            let tool = record.split(' ').next().unwrap_or_default();
            assert!(tools.to_string().contains(&format!("\"{tool}\"")), "{tool}");
        }
        let reorder = get(&client, "reorder_list", json!({})).await;
        let low = &reorder["messages"][1]["content"]["resource"];
        assert_eq!(low["uri"], "countersign://low-stock", "{reorder}");
        let params = json!({"uri": "countersign://low-stock"});
        let read = client.request("resources/read", params).await.result();
        assert_eq!(
            read["contents"][0]["text"], low["text"],
            "the same as reading it"
        );
        let none = get(&client, "reorder_list", json!({"category": "beauty"})).await;
        assert!(!said(&none).contains("Thread"), "{none}");
        let end = said(&get(&client, "end_of_day", json!({"day": "yesterday"})).await);
        assert!(
            !end.contains("INV-1"),
            "yesterday nothing was billed: {end}"
        );
        assert!(
            end.contains("list_tickets") && end.contains("transaction_history"),
            "{end}"
        );
    }
    let es = json!({"name": "daily_summary", "arguments": {"day": "hoy"}, "_meta": {"countersign/locale": "es"}});
    let es = world.mcp(MODERN).request("prompts/get", es).await.result();
    assert!(said(&es).starts_with("Escriba el resumen del "), "{es}");
    assert_eq!(
        es["description"],
        "Lo vendido, lo que se debe, lo reservado y lo que se agota, de un día."
    );
}

#[tokio::test]
async fn a_prompt_is_there_for_whoever_may_use_its_tools() {
    let world = sold().await;
    let staff = world.agent_client("ben", PrincipalRole::Staff, None);
    assert_eq!(
        names(&staff).await,
        ["end_of_day", "reorder_list"],
        "takings are the owner's"
    );
    let end = said(&get(&staff, "end_of_day", json!({})).await);
    assert!(
        end.contains("INV-1") && !end.contains("sales_summary"),
        "{end}"
    );
    let customer = world.agent_client("ana", PrincipalRole::Customer, None);
    assert_eq!(names(&customer).await, Vec::<String>::new());
    let mut claims = world.claims();
    claims.scopes = Some(vec!["billing:read".to_owned()]);
    let biller = world.asking_client().bearer(&world.signed(&claims));
    assert_eq!(names(&biller).await, ["daily_summary", "end_of_day"]);
    let summary = said(&get(&biller, "daily_summary", json!({})).await);
    assert!(
        summary.contains("INV-1") && !summary.contains("Thread"),
        "{summary}"
    );
    for (client, name) in [
        (&staff, "daily_summary"),
        (&customer, "end_of_day"),
        (&staff, "nothing"),
    ] {
        let reply = client.request("prompts/get", json!({"name": name})).await;
        assert_eq!(reply.error_code(), -32602, "{name}");
        assert_eq!(reply.body["error"]["message"], "Unknown prompt");
    }
}

#[tokio::test]
async fn what_is_no_argument_is_refused_in_a_sentence() {
    let world = World::open().await;
    let client = world.mcp(MODERN);
    for (name, arguments) in [
        ("daily_summary", json!({"day": "tomorrow"})),
        ("daily_summary", json!({"day": "2026-02-30"})),
        ("daily_summary", json!({"day": 7})),
        ("daily_summary", json!({"category": "beauty"})),
        ("reorder_list", json!({"category": "x".repeat(41)})),
        ("reorder_list", json!({"category": "a\nb"})),
    ] {
        let params = json!({"name": name, "arguments": arguments});
        let reply = client.request("prompts/get", params).await;
        assert_eq!(reply.error_code(), -32602, "{name} {arguments}");
        let message = reply.body["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains('`'), "{message}");
    }
    let cursor = client.request("prompts/list", json!({"cursor": "x"})).await;
    assert_eq!(cursor.error_code(), -32602);
}

#[tokio::test]
async fn a_prompt_says_how_far_it_is_to_whoever_asked_to_be_told() {
    let world = World::open().await;
    let client = world.mcp(MODERN);
    let params = json!({"name": "daily_summary", "_meta": {"progressToken": "p"}});
    let reply = send(client.prepare("prompts/get", params)).await;
    assert_eq!(reply.headers["content-type"], "text/event-stream");
    let text = reply.body.as_str().unwrap_or_default();
    let frames: Vec<Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .filter_map(|data| serde_json::from_str(data).ok())
        .collect();
    let steps: Vec<(f64, f64)> = frames
        .iter()
        .filter(|f| f["method"] == "notifications/progress")
        .map(|f| {
            assert_eq!(f["params"]["progressToken"], "p");
            let number = |name: &str| f["params"][name].as_f64().unwrap_or_default();
            (number("progress"), number("total"))
        })
        .collect();
    assert_eq!(
        steps,
        [(1.0, 4.0), (2.0, 4.0), (3.0, 4.0), (4.0, 4.0)],
        "{text}"
    );
    let last = frames.last().expect("a result");
    assert_eq!(last["result"]["messages"].as_array().map(Vec::len), Some(5));
}
