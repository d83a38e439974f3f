//! Resources: price list, opening hours, what runs low, and whatever a person names.

use contracts::token::PrincipalRole;
use e2e::examples;
use e2e::world::mcp::{MODERN, McpClient, OLDER, OLDEST, done};
use e2e::world::{Setting, World};
use serde_json::{Value, json};

/// Every address on all pages of the list.
pub(super) async fn listed(client: &McpClient) -> Vec<String> {
    let mut uris = Vec::new();
    let mut params = json!({});
    loop {
        let page = client.request("resources/list", params).await.result();
        let page_uris = page["resources"].as_array().expect("resources");
        uris.extend(
            page_uris
                .iter()
                .filter_map(|r| r["uri"].as_str().map(str::to_owned)),
        );
        assert!(uris.len() < 10_000, "the pages end");
        match &page["nextCursor"] {
            Value::Null => return uris,
            cursor => params = json!({"cursor": cursor}),
        }
    }
}

/// The text of a resource.
async fn text(client: &McpClient, uri: &str) -> String {
    let read = client.request("resources/read", json!({"uri": uri})).await;
    let read = read.result();
    assert_eq!(read["contents"][0]["uri"], uri);
    let text = read["contents"][0]["text"].as_str();
    text.unwrap_or_else(|| panic!("no text: {read}")).to_owned()
}

async fn document(client: &McpClient, uri: &str) -> Value {
    serde_json::from_str(&text(client, uri).await).expect("JSON")
}

#[tokio::test]
async fn every_listed_resource_can_be_read_in_every_revision() {
    let world = World::open().await;
    for version in [MODERN, OLDER, OLDEST] {
        let client = world.mcp(version);
        let uris = listed(&client).await;
        for uri in [
            "countersign://low-stock",
            "countersign://opening-hours",
            "countersign://opening-hours.md",
            "countersign://price-list",
            "countersign://price-list.md",
            "countersign://price-list/beauty",
        ] {
            assert!(uris.iter().any(|listed| listed == uri), "{uri}: {uris:?}");
        }
        for uri in &uris {
            let said = text(&client, uri).await;
            assert!(!said.is_empty() && said.len() <= 64 * 1024, "{uri}");
            if !uri.ends_with(".md") {
                serde_json::from_str::<Value>(&said).expect(uri);
            }
        }
    }
    let client = world.mcp(MODERN);
    let prices = document(&client, "countersign://price-list").await;
    assert_eq!(prices["currency"], "RWF");
    let soap = prices["items"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|i| i["name"] == "Soap");
    assert_eq!(soap.expect("soap")["unit_price"]["text"], "RWF 300 each");
    let some = document(&client, "countersign://price-list/beauty").await;
    assert_eq!(some["items"].as_array().map(Vec::len), Some(2), "{some}");
    let item = document(&client, "countersign://items/jabon").await;
    assert_eq!(item["item"]["name"], "Soap", "as the tool finds it");
    let modern = client.request("resources/list", json!({})).await.result();
    assert_eq!(
        (&modern["ttlMs"], &modern["cacheScope"]),
        (&json!(300_000), &json!("private"))
    );
}

#[tokio::test]
async fn what_is_read_is_in_the_language_that_is_asked_for() {
    let world = World::open().await;
    let client = world.mcp(MODERN);
    let es = json!({"countersign/locale": "es-RW"});
    let read = json!({"uri": "countersign://price-list.md", "_meta": es});
    let read = client.request("resources/read", read).await.result();
    let said = read["contents"][0]["text"].as_str().unwrap_or_default();
    assert!(said.starts_with("# Precios de Demo shop"), "{said}");
    assert!(said.contains("| Soap | RWF 300 c/u |"), "{said}");
    let list = json!({"_meta": {"countersign/locale": "es"}});
    let list = client.request("resources/list", list).await.result();
    assert!(list.to_string().contains("Lista de precios"), "{list}");
    let english = text(&client, "countersign://price-list.md").await;
    assert!(english.starts_with("# Prices of Demo shop"), "{english}");
}

#[tokio::test]
async fn opening_hours_are_those_of_branches_and_of_what_can_be_booked() {
    let world = examples::shop().await;
    examples::play(&world).await;
    let client = world.mcp(MODERN);
    let hours = document(&client, "countersign://opening-hours").await;
    let branches = hours["branches"].as_array().expect("branches");
    let resources = hours["resources"].as_array().expect("resources");
    assert!(!branches.is_empty() && !resources.is_empty(), "{hours}");
    let name = resources[0]["name"].as_str().unwrap_or_default();
    let one = format!("countersign://opening-hours/{}", name.replace(' ', "%20"));
    let one = document(&client, &one).await;
    assert_eq!(one["resources"], json!([resources[0]]));
    let shown = text(&client, "countersign://opening-hours.md").await;
    assert!(shown.contains(&format!("## {name}")), "{shown}");
}

#[tokio::test]
async fn a_long_list_of_categories_comes_page_by_page() {
    let world = World::open_with(Setting {
        owner_sql: vec![
            "insert into shop.items (tenant_id, id, name, category, unit, unit_price, created_at)
             select t.id, gen_random_uuid(), 'Thing ' || n, 'kind ' || to_char(n, 'FM000'), 'each', 100, now()
             from shop.tenants t, generate_series(1, 230) n",
            "insert into shop.stock_levels (tenant_id, item_id) select tenant_id, id from shop.items where name like 'Thing %'",
        ],
        ..Setting::default()
    })
    .await;
    let client = world.mcp(MODERN);
    let first = client.request("resources/list", json!({})).await.result();
    assert_eq!(first["resources"].as_array().map(Vec::len), Some(5 + 100));
    let uris = listed(&client).await;
    let of_kinds: Vec<&String> = uris.iter().filter(|u| u.contains("/kind%20")).collect();
    assert_eq!(of_kinds.len(), 230, "none twice, none left out");
    assert!(of_kinds.is_sorted());
    assert_eq!(listed(&client).await, uris, "in the same order every time");
    for cursor in ["abc", "", "bm8", "WyJ4Il0"] {
        let reply = client
            .request("resources/list", json!({"cursor": cursor}))
            .await;
        assert_eq!(reply.error_code(), -32602, "{cursor}");
    }
}

#[tokio::test]
async fn a_long_price_list_ends_within_bounds_and_says_where_the_rest_is() {
    let world = World::open_with(Setting {
        owner_sql: vec![
            "insert into shop.items (tenant_id, id, name, category, unit, unit_price, created_at)
             select t.id, gen_random_uuid(), 'Thing with a rather long name that goes on ' || n, 'things', 'each', 100, now()
             from shop.tenants t, generate_series(1, 2000) n",
            "insert into shop.stock_levels (tenant_id, item_id) select tenant_id, id from shop.items where name like 'Thing %'",
        ],
        ..Setting::default()
    })
    .await;
    let client = world.mcp(MODERN);
    for uri in [
        "countersign://price-list",
        "countersign://price-list/things",
    ] {
        let said = text(&client, uri).await;
        assert!(said.len() <= 64 * 1024, "{uri}: {} bytes", said.len());
        let list: Value = serde_json::from_str(&said).expect("JSON");
        assert!(
            list["hint"]
                .as_str()
                .is_some_and(|h| h.contains("inventory_list_items")),
            "{uri}"
        );
    }
}

#[tokio::test]
async fn who_asks_decides_what_can_be_read() {
    let world = World::open().await;
    let add = json!({"name": "Thread", "category": "cloth", "unit_price": "10", "quantity": "1", "low_stock_level": "5"});
    done(&world.mcp(MODERN).call("inventory_add_item", &add).await);
    let customer = world.agent_client("ana", PrincipalRole::Customer, None);
    let staff = world.agent_client("ben", PrincipalRole::Staff, None);
    let hers = listed(&customer).await;
    assert!(
        hers.contains(&"countersign://price-list".to_owned()),
        "{hers:?}"
    );
    assert!(
        !hers.contains(&"countersign://low-stock".to_owned()),
        "{hers:?}"
    );
    let theirs = listed(&staff).await;
    assert!(theirs.contains(&"countersign://low-stock".to_owned()));
    for uri in ["countersign://low-stock", "countersign://customers/Ali"] {
        let reply = customer
            .request("resources/read", json!({"uri": uri}))
            .await;
        let nowhere = json!({"uri": "countersign://nowhere/x"});
        let nowhere = customer.request("resources/read", nowhere).await;
        assert_eq!(reply.error_code(), -32602, "{uri}");
        assert_eq!(
            reply.body["error"]["message"],
            nowhere.body["error"]["message"]
        );
    }
    let low = document(&staff, "countersign://low-stock").await;
    assert!(low.to_string().contains("Thread"), "{low}");
    // The reach narrows within the role: who may not read the inventory has no price list.
    let mut claims = world.claims();
    claims.scopes = Some(vec!["billing:read".to_owned()]);
    let biller = world.asking_client().bearer(&world.signed(&claims));
    assert_eq!(listed(&biller).await, Vec::<String>::new());
    let reply = biller
        .request("resources/read", json!({"uri": "countersign://price-list"}))
        .await;
    assert_eq!(reply.error_code(), -32602);
    let templates = biller
        .request("resources/templates/list", json!({}))
        .await
        .result();
    let templates: Vec<&str> = templates["resourceTemplates"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|t| t["name"].as_str())
        .collect();
    assert_eq!(templates, ["bill", "bill-pdf"]);
}

#[tokio::test]
async fn an_answer_that_is_too_long_says_how_to_ask_for_less_and_that_helps() {
    let world = World::open_with(Setting {
        owner_sql: vec![
            "insert into shop.items (tenant_id, id, name, category, unit, unit_price, created_at)
             select t.id, gen_random_uuid(), 'Thing ' || n || repeat(' and more', 7), 'things', 'each', 100, now()
             from shop.tenants t, generate_series(1, 100) n",
            "insert into shop.item_aliases (tenant_id, item_id, name)
             select i.tenant_id, i.id, repeat('x', 70) || n from shop.items i, generate_series(1, 8) n where i.category = 'things'",
            "insert into shop.stock_levels (tenant_id, item_id) select tenant_id, id from shop.items where category = 'things'",
        ],
        ..Setting::default()
    })
    .await;
    let client = world.mcp(MODERN);
    let all = client
        .call("inventory_list_items", &json!({"limit": 100}))
        .await;
    let failure = e2e::world::mcp::refused(&all);
    let hint = failure["hint"].as_str().unwrap_or_default();
    assert!(hint.starts_with("Ask again with a smaller limit"), "{hint}");
    let some = client
        .call("inventory_list_items", &json!({"limit": 20}))
        .await;
    assert_eq!(done(&some)["items"].as_array().map(Vec::len), Some(20));
}
