//! What is begun is completed, from what the caller may read.

use contracts::ids::TenantId;
use contracts::token::PrincipalRole;
use e2e::world::World;
use e2e::world::mcp::{MODERN, McpClient, OLDER, OLDEST, asked, done, yes};
use serde_json::{Value, json};

fn template(uri: &str, variable: &str, value: &str) -> Value {
    json!({"ref": {"type": "ref/resource", "uri": uri}, "argument": {"name": variable, "value": value}})
}

fn prompt(name: &str, argument: &str, value: &str) -> Value {
    json!({"ref": {"type": "ref/prompt", "name": name}, "argument": {"name": argument, "value": value}})
}

async fn completed(client: &McpClient, params: Value) -> Vec<String> {
    let result = client.request("completion/complete", params).await.result();
    let completion = &result["completion"];
    let values: Vec<String> = serde_json::from_value(completion["values"].clone()).expect("values");
    assert_eq!(completion["total"], values.len(), "{result}");
    assert_eq!(completion["hasMore"], false);
    values
}

const ITEMS: &str = "countersign://items/{name}";
const CUSTOMERS: &str = "countersign://customers/{name}";
const BILLS: &str = "countersign://bills/{number}";
const HOURS: &str = "countersign://opening-hours/{name}";

/// The demo shop with a customer, a bill and something to book.
async fn furnished() -> World {
    let world = World::open().await;
    let client = world.asking_client();
    done(
        &client
            .call("create_customer", &json!({"name": "Zainab"}))
            .await,
    );
    done(
        &client
            .call("booking_set_resource", &json!({"name": "Sauna"}))
            .await,
    );
    let bill = json!({"customer": "Zainab", "lines": [{"item": "Soap", "quantity": "1"}]});
    let state = asked(&client.call("billing_create_bill", &bill).await);
    done(
        &client
            .retry("billing_create_bill", &bill, &state, yes())
            .await,
    );
    world
}

#[tokio::test]
async fn names_numbers_and_days_are_completed_in_every_revision() {
    let world = furnished().await;
    for version in [MODERN, OLDER, OLDEST] {
        let client = world.mcp(version);
        for (params, expected) in [
            (template(ITEMS, "name", "soa"), "Soap"),
            (template(ITEMS, "name", "saop"), "Soap"),
            (template(CUSTOMERS, "name", "zai"), "Zainab"),
            (template(BILLS, "number", "inv"), "INV-1"),
            (
                template("countersign://bills/{number}.pdf", "number", ""),
                "INV-1",
            ),
            (template(HOURS, "name", "sau"), "Sauna"),
            (
                template("countersign://price-list/{category}", "category", "be"),
                "beauty",
            ),
            (prompt("reorder_list", "category", "b"), "beauty"),
            (prompt("daily_summary", "day", "yest"), "yesterday"),
        ] {
            let values = completed(&client, params.clone()).await;
            assert!(values.iter().any(|v| v == expected), "{params}: {values:?}");
        }
        for params in [
            template("countersign://nothing/{x}", "x", ""),
            template(ITEMS, "item", ""),
            prompt("nothing", "day", ""),
            prompt("daily_summary", "category", ""),
        ] {
            let reply = client.request("completion/complete", params.clone()).await;
            assert_eq!(reply.error_code(), -32602, "{params}");
        }
    }
}

#[tokio::test]
async fn a_hundred_are_told_and_that_there_are_more() {
    let world = furnished().await;
    sqlx::query(
        "insert into shop.customers (tenant_id, id, name, created_at)
         select id, gen_random_uuid(), 'Zed ' || n, now() from shop.tenants, generate_series(1, 250) n",
    )
    .execute(&world.db)
    .await
    .expect("people");
    let client = world.mcp(MODERN);
    let many = client.request("completion/complete", template(CUSTOMERS, "name", "zed"));
    let many = many.await.result();
    assert_eq!(
        many["completion"]["values"].as_array().map(Vec::len),
        Some(100)
    );
    assert_eq!(many["completion"]["total"], 250);
    assert_eq!(many["completion"]["hasMore"], true);
}

#[tokio::test]
async fn nobody_is_told_what_they_may_not_read() {
    let world = furnished().await;
    sqlx::query("insert into shop.tenants (id, name, currency, created_at) values ($1, 'Other shop', 'KES', now())")
        .bind(uuid::Uuid::from_u128(0xbeef))
        .execute(&world.db)
        .await
        .expect("another tenant");
    let mut claims = world.claims();
    claims.tenant = TenantId(uuid::Uuid::from_u128(0xbeef));
    let neighbour = world.asking_client().bearer(&world.signed(&claims));
    for (uri, variable, value) in [
        (ITEMS, "name", "soap"),
        (ITEMS, "name", "saop"),
        (CUSTOMERS, "name", "zai"),
        (CUSTOMERS, "name", "zianab"),
        (BILLS, "number", ""),
        (HOURS, "name", ""),
        ("countersign://price-list/{category}", "category", ""),
    ] {
        let values = completed(&neighbour, template(uri, variable, value)).await;
        assert_eq!(values, Vec::<String>::new(), "{uri} {value}");
    }
    // For a customer other customers are nowhere; out of reach there is no template at all.
    let customer = world.agent_client("ana", PrincipalRole::Customer, None);
    let reply = customer.request("completion/complete", template(CUSTOMERS, "name", "zai"));
    assert_eq!(reply.await.error_code(), -32602);
    let reply = customer.request(
        "completion/complete",
        prompt("reorder_list", "category", ""),
    );
    assert_eq!(reply.await.error_code(), -32602);
    let mut claims = world.claims();
    claims.scopes = Some(vec!["inventory:read".to_owned()]);
    let stock = world.asking_client().bearer(&world.signed(&claims));
    assert_eq!(
        completed(&stock, template(ITEMS, "name", "soa")).await,
        ["Soap"]
    );
    let reply = stock.request("completion/complete", template(BILLS, "number", ""));
    assert_eq!(reply.await.error_code(), -32602);
}
