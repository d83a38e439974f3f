//! `subscriptions/listen`: a client is told of changes that any process makes, and of nothing else.

use std::time::Duration;

use contracts::ids::TenantId;
use contracts::scope::Reach;
use contracts::token::PrincipalRole;
use e2e::world::mcp::{MODERN, McpClient, asked, done, yes};
use e2e::world::sse::Stream;
use e2e::world::{PATIENCE, World};
use mcp_server::identity::keys::{self, NewKey};
use migrations::clock::new_id;
use serde_json::{Value, json};

use crate::confirmation::Desktop;

const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// A client that listens, after the acknowledgement.
struct Ear {
    stream: Stream,
    heard: usize,
}

impl Ear {
    async fn open(client: &McpClient, filter: Value) -> Ear {
        let params = json!({"notifications": filter});
        let request = client.prepare("subscriptions/listen", params);
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        let mut ear = Ear {
            stream: Stream::of(response),
            heard: 0,
        };
        ear.stream.until("subscriptions/acknowledged").await;
        ear.heard = 1;
        ear
    }

    fn messages(&self) -> Vec<Value> {
        let whole = self
            .stream
            .text()
            .rsplit_once("\n\n")
            .map_or("", |(whole, _)| whole);
        whole
            .lines()
            .filter_map(|line| line.strip_prefix("data:"))
            .filter_map(|data| serde_json::from_str(data).ok())
            .collect()
    }

    /// The next message.
    async fn next(&mut self) -> Value {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some(message) = self.messages().get(self.heard) {
                self.heard += 1;
                return message.clone();
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "silence: {}",
                self.stream.text()
            );
            self.stream.more().await;
        }
    }

    /// The next notification, with its parameters.
    async fn told(&mut self) -> (String, Value) {
        let message = self.next().await;
        assert_eq!(message["params"]["_meta"][SUBSCRIPTION], 1, "{message}");
        let method = message["method"].as_str().unwrap_or_default().to_owned();
        (method, message["params"].clone())
    }
}

fn everything() -> Value {
    json!({"toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true})
}

async fn sql(world: &World, text: &'static str) {
    sqlx::raw_sql(text).execute(&world.db).await.expect(text);
}

#[tokio::test]
async fn what_is_listened_for_is_acknowledged_first_and_only_what_there_is() {
    let world = World::open().await;
    let uris = json!([
        "countersign://price-list",
        "file:///etc/passwd",
        "countersign://bills/INV-1"
    ]);
    let filter = json!({"toolsListChanged": true, "resourceSubscriptions": uris});
    let ear = Ear::open(&world.mcp(MODERN), filter).await;
    let first = ear.messages().remove(0);
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(first["params"]["_meta"][SUBSCRIPTION], 1);
    assert_eq!(
        first["params"]["notifications"],
        json!({"toolsListChanged": true, "resourceSubscriptions": ["countersign://price-list", "countersign://bills/INV-1"]})
    );
}

#[tokio::test]
async fn a_changed_policy_setting_or_category_is_told() {
    let world = World::open().await;
    let mut ear = Ear::open(&world.mcp(MODERN), everything()).await;
    sql(
        &world,
        "insert into shop.policies (tenant_id, tool, ask) select id, 'billing_create_bill', 'never' from shop.tenants",
    )
    .await;
    assert_eq!(ear.told().await.0, "notifications/tools/list_changed");
    sql(&world, "update shop.tenants set name = 'New name'").await;
    assert_eq!(ear.told().await.0, "notifications/tools/list_changed");
    let add = json!({"name": "Thread", "category": "cloth", "unit_price": "10", "quantity": "1"});
    done(&world.mcp(MODERN).call("inventory_add_item", &add).await);
    assert_eq!(ear.told().await.0, "notifications/resources/list_changed");
    sql(&world, "update shop.tenants set locale = 'es'").await;
    let mut methods = vec![ear.told().await.0, ear.told().await.0, ear.told().await.0];
    methods.sort();
    assert_eq!(
        methods,
        [
            "notifications/prompts/list_changed",
            "notifications/resources/list_changed",
            "notifications/tools/list_changed"
        ]
    );
}

#[tokio::test]
async fn changed_scopes_are_told_and_who_is_not_let_in_any_more_hears_the_end() {
    let world = World::open().await;
    sql(
        &world,
        "insert into shop.people (tenant_id, id, subject, name, role, created_at)
         select id, gen_random_uuid(), 'ben', 'Ben', 'staff', now() from shop.tenants",
    )
    .await;
    let staff = world.agent_client("ben", PrincipalRole::Staff, None);
    let other = world.agent_client("ana", PrincipalRole::Staff, None);
    let mut ear = Ear::open(&staff, json!({"toolsListChanged": true})).await;
    let mut others = Ear::open(&other, json!({"toolsListChanged": true})).await;
    sql(
        &world,
        "update shop.people set scopes = '{billing:read}' where subject = 'ben'",
    )
    .await;
    assert_eq!(ear.told().await.0, "notifications/tools/list_changed");
    sql(
        &world,
        "update shop.people set disabled_at = now() where subject = 'ben'",
    )
    .await;
    assert_eq!(ear.told().await.0, "notifications/tools/list_changed");
    let last = ear.next().await;
    assert_eq!(last["result"]["resultType"], "complete", "{last}");
    assert_eq!(last["result"]["_meta"][SUBSCRIPTION], 1);
    // Somebody else's rights are nobody's news; the end of the business is everybody's.
    sql(&world, "update shop.tenants set suspended_at = now()").await;
    let last = others.next().await;
    assert_eq!(last["result"]["resultType"], "complete", "{last}");
}

/// A key of the shop that ends by itself.
async fn key_for(world: &World, seconds: i64) -> String {
    let app = &world.shop.app;
    let new = NewKey {
        name: format!("key-{seconds}"),
        role: PrincipalRole::Staff,
        customer: None,
        reach: Reach::READING,
        expires_at: Some(app.clock.now() + chrono::TimeDelta::seconds(seconds)),
        created_by: "ana".to_owned(),
    };
    let mut tx = app.begin(TenantId::DEMO).await.expect("a transaction");
    let id = new_id(&*app.clock);
    let made = keys::create(&mut tx, TenantId::DEMO, new, id, app.clock.now()).await;
    tx.commit().await.expect("a commit");
    made.expect("a key").1
}

#[tokio::test]
async fn nobody_listens_longer_than_the_credential_lasts() {
    let world = World::open().await;
    let (short, long) = (key_for(&world, 6).await, key_for(&world, 3_600).await);
    let wish = json!({"toolsListChanged": true});
    let mut ear = Ear::open(&world.mcp(MODERN).bearer(&short), wish.clone()).await;
    let mut others = Ear::open(&world.mcp(MODERN).bearer(&long), wish).await;
    let last = ear.next().await;
    assert_eq!(last["result"]["resultType"], "complete", "{last}");
    sql(
        &world,
        "insert into shop.policies (tenant_id, tool, ask) select id, 'billing_create_bill', 'never' from shop.tenants",
    )
    .await;
    assert_eq!(others.told().await.0, "notifications/tools/list_changed");
}

#[tokio::test]
async fn a_bill_that_is_paid_and_a_price_that_changes_are_told_to_whoever_may_read_them() {
    let world = World::open().await;
    let client = world.asking_client();
    let bill = json!({"customer": "Ali", "lines": [{"item": "Soap", "quantity": "2"}]});
    let state = asked(&client.call("billing_create_bill", &bill).await);
    done(
        &client
            .retry("billing_create_bill", &bill, &state, yes())
            .await,
    );
    let filter = json!({"resourceSubscriptions": ["countersign://bills/INV-1", "countersign://bills/INV-1.pdf", "countersign://price-list", "countersign://items/Soap"]});
    let mut ear = Ear::open(&world.mcp(MODERN), filter.clone()).await;
    let customer = world.agent_client("ana", PrincipalRole::Customer, None);
    let mut hers = Ear::open(&customer, filter).await;
    // No sooner is it acknowledged than something happens: it is not missed.
    let price = json!({"item": "Soap", "change": {"unit_price": "350"}});
    done(
        &world
            .mcp(MODERN)
            .call("inventory_update_item", &price)
            .await,
    );
    let mut told: Vec<String> = Vec::new();
    let changed = ["countersign://items/Soap", "countersign://price-list"];
    while !changed.iter().all(|uri| told.iter().any(|t| t == uri)) {
        let (method, params) = ear.told().await;
        assert_eq!(method, "notifications/resources/updated");
        told.push(params["uri"].as_str().unwrap_or_default().to_owned());
    }
    let pay = json!({"bill": "INV-1", "method": "cash"});
    let state = asked(&client.call("collect_payment", &pay).await);
    done(&client.retry("collect_payment", &pay, &state, yes()).await);
    let mut paid = Vec::new();
    while !paid.contains(&"countersign://bills/INV-1.pdf".to_owned()) {
        let (_, params) = ear.told().await;
        paid.push(params["uri"].as_str().unwrap_or_default().to_owned());
    }
    assert!(
        paid.contains(&"countersign://bills/INV-1".to_owned()),
        "{paid:?}"
    );
    // The customer was told of the price, which is hers to read, and never of somebody else's bill.
    hers.stream.until("countersign://price-list").await;
    let updates = hers.messages();
    assert!(
        updates
            .iter()
            .skip(1)
            .all(|m| !m.to_string().contains("countersign://bills")),
        "{updates:?}"
    );
}

#[tokio::test]
async fn another_process_tells_what_this_one_did() {
    let world = World::open().await;
    let mut desktop = Desktop::start(&world).await;
    let meta = json!({"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "desktop", "version": "1"}});
    let filter = json!({"resourceSubscriptions": ["countersign://price-list"]});
    let listen = json!({"jsonrpc": "2.0", "id": "ear", "method": "subscriptions/listen", "params": {"notifications": filter, "_meta": meta}});
    desktop.send(&listen).await;
    let first = desktop.read().await;
    assert_eq!(
        first["method"], "notifications/subscriptions/acknowledged",
        "{first}"
    );
    assert_eq!(first["params"]["_meta"][SUBSCRIPTION], "ear");
    // The server over HTTP does it; the one on stdio looks into the database.
    let price = json!({"item": "Soap", "change": {"unit_price": "350"}});
    done(
        &world
            .mcp(MODERN)
            .call("inventory_update_item", &price)
            .await,
    );
    let told = desktop.read().await;
    assert_eq!(told["method"], "notifications/resources/updated", "{told}");
    assert_eq!(told["params"]["uri"], "countersign://price-list");
    // Cancelled, it says nothing more; the connection goes on.
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "ear", "_meta": meta}});
    desktop.send(&cancel).await;
    let list =
        json!({"jsonrpc": "2.0", "id": 9, "method": "tools/list", "params": {"_meta": meta}});
    desktop.send(&list).await;
    assert_eq!(desktop.read().await["id"], 9);
}

#[tokio::test]
async fn whoever_listens_too_often_is_told_so() {
    let world = World::open().await;
    let client = world.mcp(MODERN);
    let mut ears = Vec::new();
    for _ in 0..8 {
        ears.push(Ear::open(&client, everything()).await);
    }
    let mut one_more = Ear::open(&client, everything()).await;
    let refused = one_more.next().await;
    let message = refused["error"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("too often"), "{refused}");
    // A client that goes gives up its place.
    drop(ears.pop());
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let mut again = Ear::open(&client, everything()).await;
        let word = tokio::time::timeout(Duration::from_millis(300), again.next()).await;
        if word.is_err() {
            break;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "the place stays taken"
        );
    }
}

#[tokio::test]
async fn a_server_that_stops_ends_every_subscription_in_words() {
    let world = World::open().await;
    let mut ear = Ear::open(&world.mcp(MODERN), everything()).await;
    let begun = std::time::Instant::now();
    let stopping = tokio::spawn(world.shop.stop());
    let last = ear.next().await;
    assert_eq!(last["result"]["resultType"], "complete", "{last}");
    stopping.await.expect("stopped");
    assert!(
        begun.elapsed() < Duration::from_secs(9),
        "it did not have to wait for its listeners"
    );
}
