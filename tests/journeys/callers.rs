//! Who may call, over the wire: keys, tokens of an authorization server, tokens of the agent, and how far each reaches.

mod api_keys;
mod reach;
mod settings;
mod tokens;

use std::collections::{BTreeSet, HashMap};

use contracts::ids::TenantId;
use contracts::scope::Reach;
use contracts::token::PrincipalRole;
use e2e::world::issuer::Issuer;
use e2e::world::mcp::{McpClient, Reply};
use e2e::world::{Setting, World};
use mcp_server::identity::keys::{self, NewKey};
use migrations::clock::new_id;
use serde_json::{Value, json};

/// Ana, the owner; Ben, of the counter, who may sell; Cleo, who left.
const PEOPLE: &str = "insert into shop.people (tenant_id, id, subject, name, role, scopes, issuer, issuer_subject, created_at, disabled_at)
    select t.id, p.id::uuid, p.subject, p.name, p.role, p.scopes::text[], 'ISSUER', p.subject || '@login', now(), p.disabled_at from shop.tenants t, (values
        ('00000000-0000-7000-8000-00000000000a', 'ana', 'Ana', 'owner', '{all:commit,admin}', null),
        ('00000000-0000-7000-8000-00000000000b', 'ben', 'Ben', 'staff', '{billing:commit,inventory:read}', null),
        ('00000000-0000-7000-8000-00000000000c', 'cleo', 'Cleo', 'owner', '{all:commit,admin}', now())
    ) as p (id, subject, name, role, scopes, disabled_at)";

/// A shop on the internet: no local mode, an authorization server, no limit that a scene does not ask for.
async fn shop_of(issuer: &Issuer, more: &[(&'static str, &str)]) -> World {
    let mut variables = HashMap::from([
        ("MCP_LOCAL_MODE", "off".to_owned()),
        ("MCP_AUTH_ISSUER", issuer.url().to_owned()),
        ("MCP_RATE_PER_MINUTE", "0".to_owned()),
    ]);
    variables.extend(
        more.iter()
            .map(|(name, value)| (*name, (*value).to_owned())),
    );
    let world = World::open_with(Setting {
        variables,
        ..Setting::default()
    })
    .await;
    let people = PEOPLE.replace("ISSUER", issuer.url());
    sqlx::raw_sql(sqlx::AssertSqlSafe(people))
        .execute(&world.db)
        .await
        .expect("people");
    world
}

/// A key of the demo shop; a customer's is Aline's.
async fn key(world: &World, name: &str, role: PrincipalRole, scopes: &[&str]) -> String {
    let app = &world.shop.app;
    let new = NewKey {
        name: name.to_owned(),
        role,
        customer: (role == PrincipalRole::Customer).then_some(world.aline),
        reach: Reach::of_scopes(scopes.iter().copied()).expect("scopes"),
        expires_at: Some(app.clock.now() + chrono::TimeDelta::hours(48)),
        created_by: "ana".to_owned(),
    };
    let mut tx = app.begin(TenantId::DEMO).await.expect("a transaction");
    let id = new_id(&*app.clock);
    let (key, text) = keys::create(&mut tx, TenantId::DEMO, new, id, app.clock.now())
        .await
        .expect("a key");
    tx.commit().await.expect("a commit");
    assert_eq!(key.name, name);
    text
}

/// Revokes a key as a command of the same process does, or of another.
async fn revoke(world: &World, name: &str, here: bool) {
    let app = &world.shop.app;
    let mut tx = app.begin(TenantId::DEMO).await.expect("a transaction");
    let revoked = keys::revoke(&mut tx, TenantId::DEMO, name, app.clock.now()).await;
    assert!(revoked.expect("revoked").is_some());
    tx.commit().await.expect("a commit");
    if here {
        app.identities.forget(TenantId::DEMO);
    }
}

fn header(reply: &Reply, name: &str) -> String {
    let value = reply.headers.get(name);
    value.map_or(String::new(), |v| v.to_str().expect("text").to_owned())
}

/// A call that would write if it were let in.
fn add_item() -> Value {
    json!({"name": "inventory_add_item", "arguments": {"name": "Contraband", "unit_price": "1"}})
}

async fn list(client: &McpClient) -> Reply {
    client.request("tools/list", json!({})).await
}

fn names(list: &Value) -> BTreeSet<String> {
    let tools = list["tools"].as_array().expect("tools").iter();
    tools
        .map(|t| t["name"].as_str().expect("a name").to_owned())
        .collect()
}

/// Everything of the shop but when keys were used.
async fn content(world: &World) -> std::collections::BTreeMap<String, String> {
    let mut content = world.content("shop").await;
    content.remove("api_keys");
    content
}
