//! Who may call, over the wire: keys, tokens of an authorization server, tokens of the agent, and how far each reaches.

use std::collections::{BTreeSet, HashMap};
use std::process::Stdio;
use std::time::{Duration, Instant};

use contracts::ids::TenantId;
use contracts::scope::Reach;
use contracts::token::{
    AgentClaims, ISSUER, LIFETIME_SECONDS, PrincipalRole, SERVICE_AUDIENCE, ServiceClaims,
};
use contracts::tools::sheets;
use e2e::examples;
use e2e::world::issuer::{self, Fault, Issuer, SigningKey};
use e2e::world::mcp::{
    MODERN, McpClient, OLDER, Reply, asked, done, refused, send, signed_with, yes,
};
use e2e::world::{PATIENCE, Setting, World, until};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mcp_server::identity::keys::{self, NewKey};
use migrations::clock::new_id;
use migrations::database::Role;
use migrations::settings::Reader;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;

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

/// A key of the demo shop.
async fn key(world: &World, name: &str, role: PrincipalRole, scopes: &[&str]) -> String {
    let app = &world.shop.app;
    let new = NewKey {
        name: name.to_owned(),
        role,
        customer: None,
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

#[tokio::test]
#[expect(
    clippy::too_many_lines,
    reason = "one scene, told from its beginning to its end"
)]
async fn every_kind_of_bad_token_is_refused_with_its_challenge_and_nothing_is_done() {
    let issuer = Issuer::open().await;
    let world = shop_of(&issuer, &[]).await;
    let resource = world.shop.app.resource();
    let good = issuer.claims(&world, "ana@login");
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        issuer.token(SigningKey::Rsa, &claims)
    };
    let (now, late) = (good["iat"].as_i64().expect("a time"), 700);
    let by_secret = |secret: &[u8], kid: Option<&str>| {
        let mut header = Header::new(Algorithm::HS256);
        header.kid = kid.map(str::to_owned);
        jsonwebtoken::encode(&header, &good, &EncodingKey::from_secret(secret)).expect("a token")
    };
    let jwk = SigningKey::Rsa.public();
    let modulus = jwk["n"].as_str().expect("a modulus").to_owned();
    let whole = issuer.token(SigningKey::Rsa, &good);
    let parts: Vec<&str> = whole.split('.').collect();
    let ended = key(&world, "ended", PrincipalRole::Owner, &["all:commit"]).await;
    revoke(&world, "ended", true).await;
    let agent_key = world.shop.app.agent_token_key;
    let agents = world.claims();
    let bad = [
        ("nonsense", "rubbish".to_owned()),
        ("expired", with("exp", json!(now - 60))),
        ("without an end", with("exp", Value::Null)),
        ("not yet valid", with("nbf", json!(now + late))),
        (
            "wrong audience",
            with("aud", json!("https://elsewhere.example/mcp")),
        ),
        ("the issuer as audience", with("aud", json!(issuer.url()))),
        ("no audience", with("aud", Value::Null)),
        ("wrong issuer", with("iss", json!("https://evil.example"))),
        ("no subject", with("sub", Value::Null)),
        ("nobody we know", with("sub", json!("dora@login"))),
        ("somebody who left", with("sub", json!("cleo@login"))),
        ("no shop", with("tenant", Value::Null)),
        ("another shop", with("tenant", json!("elsewhere"))),
        (
            "another shop's id",
            with("tenant", json!("00000000-0000-7000-8000-00000000dead")),
        ),
        ("bound to its holder", with("cnf", json!({"jkt": "x"}))),
        (
            "alg none",
            format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.", parts[1]),
        ),
        (
            "alg none, signed",
            format!(
                "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.{}",
                parts[1], parts[2]
            ),
        ),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        (
            "HS256 with the public key",
            by_secret(modulus.as_bytes(), Some("rsa-first")),
        ),
        (
            "HS256 with the public key as JSON",
            by_secret(jwk.to_string().as_bytes(), None),
        ),
        (
            "another's signature",
            format!(
                "{}.{}.{}",
                parts[0],
                parts[1],
                parts[2].chars().rev().collect::<String>()
            ),
        ),
        ("unknown key", issuer.token(SigningKey::NextRsa, &good)),
        (
            "unknown key under a known name",
            issuer::signed(
                SigningKey::NextRsa,
                Algorithm::RS256,
                Some("rsa-first"),
                &good,
            ),
        ),
        (
            "known key under another's name",
            issuer::signed(SigningKey::Rsa, Algorithm::RS256, Some("p256"), &good),
        ),
        (
            "an algorithm nobody asked for",
            issuer::signed(SigningKey::Rsa, Algorithm::RS384, Some("rsa-first"), &good),
        ),
        ("revoked key", ended.clone()),
        (
            "another's secret",
            format!("{}AAAA", &ended[..ended.len() - 4]),
        ),
        ("half a key", ended[..40].to_owned()),
        (
            "agent's key, wrong audience",
            signed_with(
                &AgentClaims {
                    aud: resource.clone(),
                    ..agents.clone()
                },
                &agent_key,
            ),
        ),
        (
            "agent's, expired",
            signed_with(
                &AgentClaims {
                    iat: now - 130,
                    exp: now - 70,
                    ..agents.clone()
                },
                &agent_key,
            ),
        ),
        (
            "agent's, for a year",
            signed_with(
                &AgentClaims {
                    exp: now + 31_536_000,
                    ..agents.clone()
                },
                &agent_key,
            ),
        ),
        ("agent's, another key", signed_with(&agents, &[9; 32])),
        (
            "agent's, for one who left",
            signed_with(
                &AgentClaims {
                    sub: "cleo".to_owned(),
                    ..agents.clone()
                },
                &agent_key,
            ),
        ),
        (
            "agent's, for a key that was revoked",
            signed_with(
                &AgentClaims {
                    sub: "key:ended".to_owned(),
                    ..agents.clone()
                },
                &agent_key,
            ),
        ),
        (
            "agent's, for no shop",
            signed_with(
                &AgentClaims {
                    tenant: TenantId(uuid::Uuid::nil()),
                    ..agents
                },
                &agent_key,
            ),
        ),
    ];
    let before = content(&world).await;
    let metadata = format!(
        "resource_metadata=\"{}/.well-known/oauth-protected-resource/mcp\"",
        world.shop.app.public_url
    );
    for (what, token) in &bad {
        for version in [MODERN, OLDER] {
            let client = world.mcp(version).bearer(token);
            let reply = client.request("tools/call", add_item()).await;
            if reply.status == StatusCode::TOO_MANY_REQUESTS {
                // The rest of a minute's guesses from one address: refused as well, but that is another scene.
                panic!("{what}: more rows than one address may try in a minute");
            }
            assert_eq!(
                reply.status,
                StatusCode::UNAUTHORIZED,
                "{what}: {}",
                reply.body
            );
            let challenge = header(&reply, "www-authenticate");
            for part in [
                "Bearer ",
                &metadata,
                "scope=\"all:commit\"",
                "error=\"invalid_token\"",
            ] {
                assert!(challenge.contains(part), "{what}: {challenge}");
            }
            if what.starts_with("agent's") || what.contains("key") || what.contains("secret") {
                break;
            }
        }
    }
    let nobody = world.mcp(MODERN).request("tools/call", add_item()).await;
    assert_eq!(nobody.status, StatusCode::UNAUTHORIZED);
    let challenge = header(&nobody, "www-authenticate");
    assert!(
        challenge.contains(&metadata) && !challenge.contains("error"),
        "{challenge}"
    );
    let twice = world
        .mcp(MODERN)
        .bearer(&whole)
        .prepare("tools/call", add_item());
    let twice = send(twice.header("authorization", "Bearer another")).await;
    assert_eq!(twice.status, StatusCode::UNAUTHORIZED, "two credentials");
    let basic = world.mcp(MODERN).prepare("tools/call", add_item());
    assert_eq!(
        send(basic.basic_auth("ana", Some("x"))).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(content(&world).await, before, "nothing was written");

    // The same, made well, comes in by every algorithm; and by the shop's id as by its handle.
    let by_id = with("tenant", json!(TenantId::DEMO.to_string()));
    let many = with("aud", json!(["https://elsewhere.example", resource]));
    for token in [
        whole.clone(),
        issuer::signed(SigningKey::Rsa, Algorithm::PS256, Some("rsa-first"), &good),
        issuer.token(SigningKey::P256, &good),
        issuer.token(SigningKey::Ed25519, &good),
        issuer::signed(SigningKey::Ed25519, Algorithm::EdDSA, None, &good),
        by_id,
        many,
    ] {
        let reply = list(&world.mcp(MODERN).bearer(&token)).await;
        assert_eq!(reply.status, StatusCode::OK, "{token}: {}", reply.body);
        assert_eq!(names(&reply.result()).len(), sheets().len());
    }
}

#[tokio::test]
async fn keys_of_the_authorization_server_change_without_a_restart() {
    let issuer = Issuer::open().await;
    let world = shop_of(&issuer, &[]).await;
    let status = async |key: SigningKey| {
        // Made anew each time, so that no token is one that is remembered.
        let token = issuer.token(key, &issuer.claims(&world, "ana@login"));
        list(&world.mcp(MODERN).bearer(&token)).await.status
    };
    assert_eq!(status(SigningKey::Rsa).await, StatusCode::OK);
    assert_eq!(issuer.fetched(), 1);
    issuer.publish(&[SigningKey::NextRsa]);
    for _ in 0..5 {
        assert_eq!(status(SigningKey::NextRsa).await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(issuer.fetched(), 1, "asked at most once in half a minute");
    world.advance(31);
    assert_eq!(status(SigningKey::NextRsa).await, StatusCode::OK);
    assert_eq!(issuer.fetched(), 2);
    assert_eq!(
        status(SigningKey::Rsa).await,
        StatusCode::UNAUTHORIZED,
        "withdrawn"
    );

    // Away: known keys stay good, what nobody knows cannot be told.
    for fault in [
        Fault::Fails,
        Fault::Endless,
        Fault::Redirects,
        Fault::Silent,
    ] {
        issuer.fail(fault);
        world.advance(31);
        let before = issuer.fetched();
        let begun = Instant::now();
        assert_eq!(
            status(SigningKey::P256).await,
            StatusCode::SERVICE_UNAVAILABLE,
            "{fault:?}"
        );
        assert!(begun.elapsed() < Duration::from_secs(8), "{fault:?}");
        assert_eq!(issuer.fetched(), before + 1, "{fault:?}");
        assert_eq!(
            status(SigningKey::NextRsa).await,
            StatusCode::OK,
            "{fault:?}"
        );
    }
    // Old keys are looked at again beside the calls, which do not wait.
    issuer.fail(Fault::None);
    world.advance(660);
    let before = issuer.fetched();
    assert_eq!(status(SigningKey::NextRsa).await, StatusCode::OK);
    until("the keys are looked at again", async || {
        issuer.fetched() == before + 1
    })
    .await;
    // And not for ever.
    issuer.fail(Fault::Fails);
    world.advance(25 * 3600);
    assert_eq!(
        status(SigningKey::NextRsa).await,
        StatusCode::SERVICE_UNAVAILABLE
    );
    issuer.fail(Fault::None);
    world.advance(31);
    assert_eq!(status(SigningKey::NextRsa).await, StatusCode::OK);
}

#[tokio::test]
async fn a_key_works_until_it_is_revoked_or_ends_or_its_shop_is_suspended() {
    let issuer = Issuer::open().await;
    let world = shop_of(&issuer, &[]).await;
    let status = async |token: &str| list(&world.mcp(MODERN).bearer(token)).await.status;
    let scopes = &["all:commit"];
    let (here, elsewhere) = (
        key(&world, "till-1", PrincipalRole::Staff, scopes).await,
        key(&world, "till-2", PrincipalRole::Staff, scopes).await,
    );
    let stays = key(&world, "till-3", PrincipalRole::Staff, scopes).await;
    for token in [&here, &elsewhere, &stays] {
        assert_eq!(status(token).await, StatusCode::OK);
    }
    until("the use is noted", async || {
        world
            .number("select count(*) from shop.api_keys where last_used_at is not null")
            .await
            == 3
    })
    .await;
    revoke(&world, "till-1", true).await;
    assert_eq!(status(&here).await, StatusCode::UNAUTHORIZED, "at once");
    revoke(&world, "till-2", false).await;
    let begun = Instant::now();
    until("another process's revocation is heeded", async || {
        status(&elsewhere).await == StatusCode::UNAUTHORIZED
    })
    .await;
    assert!(
        begun.elapsed() < Duration::from_secs(7),
        "{:?}",
        begun.elapsed()
    );
    let stored = world
        .text("select string_agg(encode(secret_hash, 'hex'), ' ') from shop.api_keys")
        .await;
    assert!(
        !stored.contains(&stays[stays.len() - 20..]),
        "no key is kept"
    );

    world.advance(49 * 3600);
    assert_eq!(
        status(&stays).await,
        StatusCode::UNAUTHORIZED,
        "ended, though it is remembered"
    );
    let person = issuer.token(SigningKey::P256, &issuer.claims(&world, "ana@login"));
    assert_eq!(status(&person).await, StatusCode::OK);
    let agents = world.signed(&world.claims());
    assert_eq!(status(&agents).await, StatusCode::OK);
    sqlx::query("update shop.tenants set suspended_at = now()")
        .execute(&world.db)
        .await
        .expect("suspended");
    world.shop.app.identities.forget(TenantId::DEMO);
    for token in [&person, &agents] {
        assert_eq!(status(token).await, StatusCode::UNAUTHORIZED, "suspended");
    }
}

#[tokio::test]
async fn a_tool_beyond_the_scopes_is_challenged_and_one_beyond_the_role_is_not() {
    let issuer = Issuer::open().await;
    let world = shop_of(&issuer, &[]).await;
    let reader = key(&world, "reader", PrincipalRole::Owner, &["inventory:read"]).await;
    let narrow = {
        let mut claims = issuer.claims(&world, "ana@login");
        claims["scope"] = json!("openid billing:read profile");
        issuer.token(SigningKey::Ed25519, &claims)
    };
    let ben = issuer.token(SigningKey::Rsa, &issuer.claims(&world, "ben@login"));
    let before = content(&world).await;
    let call = async |token: &str, version, params: Value| {
        let client = world.mcp(version).bearer(token);
        client.request("tools/call", params).await
    };
    for version in [MODERN, OLDER] {
        for (token, scope) in [
            (&reader, "inventory:write"),
            (&narrow, "inventory:write billing:read"),
        ] {
            let reply = call(token, version, add_item()).await;
            assert_eq!(reply.status, StatusCode::FORBIDDEN, "{}", reply.body);
            let challenge = header(&reply, "www-authenticate");
            assert!(
                challenge.contains("error=\"insufficient_scope\""),
                "{challenge}"
            );
            assert!(
                challenge.contains(&format!("scope=\"{scope}\"")),
                "{challenge}"
            );
            assert!(challenge.contains("resource_metadata="), "{challenge}");
            let failure = refused(&reply.body["result"]);
            assert_eq!(failure["code"], "not_allowed");
        }
        // Ben may not do it with any token; the owner's part is not his by any scope.
        for params in [
            add_item(),
            json!({"name": "sales_summary", "arguments": {"period": "today"}}),
        ] {
            let reply = call(&ben, version, params).await;
            assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
            assert_eq!(refused(&reply.result())["code"], "not_allowed");
        }
        // The agent knows nobody who could have more.
        let claims = AgentClaims {
            scopes: Some(vec!["inventory:read".to_owned()]),
            ..world.claims()
        };
        let reply = call(&world.signed(&claims), version, add_item()).await;
        assert_eq!(refused(&reply.result())["code"], "not_allowed");
    }
    assert_eq!(content(&world).await, before);
    let items = json!({"name": "inventory_list_items", "arguments": {}});
    assert_eq!(call(&reader, MODERN, items).await.status, StatusCode::OK);
}

/// The list a client has, and what its calls say: each tool called with nothing at all is refused as not allowed, or it is in the list.
async fn list_is_what_call_allows(
    what: &str,
    client: &McpClient,
    headers: &[(&'static str, &str)],
) {
    let dress = |mut request: reqwest::RequestBuilder| {
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request
    };
    let reply = send(dress(client.prepare("tools/list", json!({})))).await;
    let listed = names(&reply.result());
    for sheet in sheets() {
        let params = json!({"name": sheet.name, "arguments": {"no such argument": 1}});
        let reply = send(dress(client.prepare("tools/call", params))).await;
        let result = match reply.status {
            StatusCode::FORBIDDEN => reply.body["result"].clone(),
            _ => reply.result(),
        };
        let allowed = refused(&result)["code"] != "not_allowed";
        assert_eq!(
            allowed,
            listed.contains(sheet.name),
            "{what}: {}",
            sheet.name
        );
    }
}

#[tokio::test]
async fn the_list_is_exactly_what_may_be_called() {
    let issuer = Issuer::open().await;
    let world = shop_of(&issuer, &[]).await;
    let reaches: [&[&str]; 6] = [
        &["all:commit", "admin"],
        &["all:read"],
        &["all:write"],
        &["billing:commit", "inventory:read"],
        &["payment:read", "booking:write", "support:commit"],
        &["admin"],
    ];
    let mut sizes = BTreeSet::new();
    for role in [
        PrincipalRole::Customer,
        PrincipalRole::Staff,
        PrincipalRole::Owner,
    ] {
        for scopes in reaches {
            let customer = (role == PrincipalRole::Customer).then(uuid::Uuid::nil);
            let claims = AgentClaims {
                sub: "somebody".to_owned(),
                role,
                customer,
                scopes: Some(scopes.iter().map(|s| (*s).to_owned()).collect()),
                ..world.claims()
            };
            let client = world.mcp(MODERN).bearer(&world.signed(&claims));
            let what = format!("{role:?} {scopes:?}");
            list_is_what_call_allows(&what, &client, &[]).await;
            sizes.insert(names(&list(&client).await.result()).len());
        }
    }
    assert!(
        sizes.contains(&0) && sizes.contains(&sheets().len()),
        "{sizes:?}"
    );
    // Keys and headers.
    let token = key(
        &world,
        "till",
        PrincipalRole::Staff,
        &["billing:commit", "booking:read"],
    )
    .await;
    let client = world.mcp(MODERN).bearer(&token);
    for headers in [
        vec![],
        vec![("x-mcp-toolsets", "billing")],
        vec![
            ("x-mcp-toolsets", "inventory, booking"),
            ("x-mcp-readonly", "true"),
        ],
    ] {
        list_is_what_call_allows(&format!("{headers:?}"), &client, &headers).await;
    }
}

#[tokio::test]
#[expect(
    clippy::too_many_lines,
    reason = "one scene, told from its beginning to its end"
)]
async fn headers_narrow_and_never_widen() {
    let issuer = Issuer::open().await;
    let world = shop_of(&issuer, &[("MCP_TOOLSETS", "inventory,billing")]).await;
    let token = key(
        &world,
        "till",
        PrincipalRole::Staff,
        &["inventory:write", "payment:read"],
    )
    .await;
    let client = world.mcp(MODERN).bearer(&token);
    let with = async |headers: &[(&'static str, &str)]| {
        let mut request = client.prepare("tools/list", json!({}));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        send(request).await
    };
    let all = names(&with(&[]).await.result());
    assert!(all.contains("inventory_add_item"));
    assert!(
        !all.contains("check_balance"),
        "the server does not offer it"
    );
    assert!(
        !all.contains("billing_get_bill"),
        "the key does not reach it"
    );
    let same = names(
        &with(&[("x-mcp-toolsets", "all"), ("x-mcp-readonly", "false")])
            .await
            .result(),
    );
    assert_eq!(same, all);
    let reading = names(&with(&[("x-mcp-readonly", "true")]).await.result());
    assert!(reading.contains("inventory_list_items") && reading.is_subset(&all));
    assert!(!reading.contains("inventory_add_item"));
    let other = names(
        &with(&[("x-mcp-toolsets", "payment,billing,support")])
            .await
            .result(),
    );
    assert!(other.is_empty(), "{other:?}");
    let both = names(
        &with(&[
            ("x-mcp-toolsets", "inventory"),
            ("x-mcp-toolsets", "billing"),
        ])
        .await
        .result(),
    );
    assert!(both.is_empty(), "each header takes away");
    for (headers, says) in [
        (
            [("x-mcp-toolsets", "inventory,shop")],
            "`shop` is no toolset",
        ),
        ([("x-mcp-toolsets", "")], "is no toolset"),
        ([("x-mcp-readonly", "maybe")], "true or false"),
    ] {
        let reply = with(&headers).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{headers:?}");
        assert!(
            reply.body["error"]
                .as_str()
                .is_some_and(|e| e.contains(says)),
            "{}",
            reply.body
        );
    }
    // A call beyond the header is beyond what was asked for, not beyond the token: there is nothing to come back with.
    let call = client.prepare("tools/call", add_item());
    let reply = send(call.header("x-mcp-readonly", "1")).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(refused(&reply.result())["code"], "not_allowed");
}

#[tokio::test]
async fn a_principal_has_so_many_requests_and_a_guesser_fewer() {
    let issuer = Issuer::open().await;
    let world = shop_of(&issuer, &[("MCP_RATE_PER_MINUTE", "30")]).await;
    let mine = key(&world, "mine", PrincipalRole::Staff, &["all:read"]).await;
    let theirs = key(&world, "theirs", PrincipalRole::Staff, &["all:read"]).await;
    let unused = key(&world, "unused", PrincipalRole::Staff, &["all:read"]).await;
    let client = world.mcp(MODERN).bearer(&mine);
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(list(&client).await);
    }
    let taken = statuses
        .iter()
        .filter(|r| r.status == StatusCode::OK)
        .count();
    assert!(
        (3..=4).contains(&taken),
        "a tenth of 30 at once, and perhaps one that came in meanwhile: {taken}"
    );
    let refused = statuses.last().expect("a reply");
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = header(refused, "retry-after").parse().expect("seconds");
    assert!((1..=3).contains(&wait), "{wait}");
    assert_eq!(refused.body["retry_after_seconds"], wait);
    assert_eq!(
        list(&world.mcp(MODERN).bearer(&theirs)).await.status,
        StatusCode::OK
    );

    // Guesses from this address: a minute's worth, then none, whatever they are.
    let guess = world.mcp(MODERN).bearer("csk_guess");
    let mut bad = 0;
    while list(&guess).await.status == StatusCode::UNAUTHORIZED {
        bad += 1;
        assert!(bad < 100, "guessing is slow");
    }
    assert!((60..=75).contains(&bad), "{bad}");
    let reply = list(&world.mcp(MODERN).bearer(&unused)).await;
    assert_eq!(
        reply.status,
        StatusCode::TOO_MANY_REQUESTS,
        "as good as a guess"
    );
    until("whoever was let in before is let in", async || {
        list(&world.mcp(MODERN).bearer(&theirs)).await.status == StatusCode::OK
    })
    .await;
    let signed = issuer.token(SigningKey::P256, &issuer.claims(&world, "ana@login"));
    let reply = list(&world.mcp(MODERN).bearer(&signed)).await;
    assert_eq!(reply.status, StatusCode::OK, "a signature is no guess");
}

#[tokio::test]
async fn a_question_is_answered_by_whom_it_was_put_to_and_by_nobody_who_has_lost_his_key() {
    let issuer = Issuer::open().await;
    let world = shop_of(&issuer, &[]).await;
    let scopes = &["all:commit"];
    let one = key(&world, "one", PrincipalRole::Owner, scopes).await;
    let other = key(&world, "other", PrincipalRole::Owner, scopes).await;
    let reader = key(&world, "reader", PrincipalRole::Owner, &["all:read"]).await;
    let ana = issuer.token(SigningKey::Rsa, &issuer.claims(&world, "ana@login"));
    let bill = json!({"lines": [{"item": "Soap", "quantity": "1"}], "payment": {"method": "cash"}});
    let tool = "billing_create_bill";
    let client = |token: &str| world.asking_client().bearer(token);
    let state = asked(&client(&one).call(tool, &bill).await);
    let of_ana = asked(&client(&ana).call(tool, &bill).await);
    let before = content(&world).await;
    for (token, state) in [(&other, &state), (&ana, &state), (&one, &of_ana)] {
        let failure = refused(&client(token).retry(tool, &bill, state, yes()).await);
        assert_eq!(failure["code"], "unknown_confirmation", "{failure}");
    }
    let claims = AgentClaims {
        sub: "key:other".to_owned(),
        decided_by: Some(contracts::token::TokenPerson {
            sub: "key:other".to_owned(),
            role: PrincipalRole::Owner,
        }),
        ..world.claims()
    };
    let by_agent = client(&world.signed(&claims));
    assert_eq!(
        refused(&by_agent.retry(tool, &bill, &state, yes()).await)["code"],
        "unknown_confirmation"
    );
    let answer = |token: &str, state: &str| {
        let params = json!({"name": tool, "arguments": bill, "requestState": state, "inputResponses": yes()});
        let client = client(token);
        async move { client.request("tools/call", params).await }
    };
    let reply = answer(&reader, &state).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert!(header(&reply, "www-authenticate").contains("billing:commit"));
    revoke(&world, "one", true).await;
    assert_eq!(answer(&one, &state).await.status, StatusCode::UNAUTHORIZED);
    // Shorter than the token lives, the question would have waited.
    let mut claims = issuer.claims(&world, "ana@login");
    claims["exp"] = json!(claims["iat"].as_i64().expect("a time") + 60);
    let short = issuer.token(SigningKey::Ed25519, &claims);
    assert_eq!(list(&client(&short)).await.status, StatusCode::OK);
    world.advance(70);
    assert_eq!(
        answer(&short, &of_ana).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(content(&world).await, before, "nothing was done");
    // With a fresh token of the same person, through whichever door.
    let claims = issuer.claims(&world, "ana@login");
    let fresh = issuer.token(SigningKey::Ed25519, &claims);
    done(&client(&fresh).retry(tool, &bill, &of_ana, yes()).await);
    assert_eq!(world.bills().await, 1);
    let replayed = client(&fresh).retry(tool, &bill, &of_ana, yes()).await;
    done(&replayed);
    assert_eq!(world.bills().await, 1, "once");
}

/// A shop that lets clients assert their person's yes takes it only as far as the token that brings it reaches.
#[tokio::test]
async fn a_yes_reaches_no_further_than_the_call_would() {
    let issuer = Issuer::open().await;
    let world = shop_of(&issuer, &[]).await;
    sqlx::query("update shop.tenants set unasked_clients = 'token'")
        .execute(&world.db)
        .await
        .expect("settings");
    until("the setting is read", async || {
        let shop = world
            .shop
            .app
            .known_shop(TenantId::DEMO)
            .await
            .expect("a shop");
        shop.unasked_clients == mcp_server::handler::UnaskedClients::Token
    })
    .await;
    let bill = json!({"lines": [{"item": "Soap", "quantity": "1"}], "payment": {"method": "cash"}});
    let bearer = |scope: &str| {
        let mut claims = issuer.claims(&world, "ana@login");
        claims["scope"] = json!(scope);
        issuer.token(SigningKey::P256, &claims)
    };
    let token = |scope: &str| world.mcp(MODERN).bearer(&bearer(scope));
    let asked = done(&token("all:commit").call("billing_create_bill", &bill).await);
    let yes = json!({"confirmation_id": asked["confirmation_id"], "token": asked["token"]});
    let failure = refused(&token("all:read").call("confirm_action", &yes).await);
    assert_eq!(failure["code"], "not_allowed", "{failure}");
    let id = asked["confirmation_id"].as_str().expect("an id");
    let page = format!("http://{}/approvals/{id}", world.shop.address);
    for bearer in [
        bearer("all:read"),
        bearer("inventory:commit billing:write"),
        world.signed(&world.claims()),
    ] {
        let posted = world
            .http
            .post(&page)
            .bearer_auth(bearer)
            .header("content-type", "application/x-www-form-urlencoded")
            .body("decision=approve");
        let shown = posted.send().await.expect("an answer").text().await;
        let shown = shown.expect("a page");
        assert!(shown.contains("You may not do this."), "{shown}");
    }
    assert_eq!(world.bills().await, 0);
    done(&token("all:commit").call("confirm_action", &yes).await);
    assert_eq!(world.bills().await, 1);
}

#[tokio::test]
async fn the_resource_is_described_to_whoever_asks_by_its_name() {
    let issuer = Issuer::open().await;
    let world = shop_of(&issuer, &[("MCP_PUBLIC_URL", "https://shop.example")]).await;
    let base = format!("http://{}", world.shop.address);
    for path in ["", "/mcp"] {
        let url = format!("{base}/.well-known/oauth-protected-resource{path}");
        let described: Value = world
            .http
            .get(&url)
            .send()
            .await
            .expect("an answer")
            .json()
            .await
            .expect("JSON");
        assert_eq!(described["resource"], "https://shop.example/mcp");
        assert_eq!(described["authorization_servers"], json!([issuer.url()]));
        assert_eq!(described["bearer_methods_supported"], json!(["header"]));
        let scopes = described["scopes_supported"].as_array().expect("scopes");
        let words = scopes.iter().map(|s| s.as_str().expect("a scope"));
        assert_eq!(Reach::of_scopes(words).expect("scopes"), Reach::EVERYTHING);
        let foreign = world
            .http
            .get(&url)
            .header("host", "evil.example")
            .send()
            .await;
        assert_eq!(foreign.expect("an answer").status(), StatusCode::FORBIDDEN);
        // The public address's own name needs no setting.
        let own = world
            .http
            .get(&url)
            .header("host", "shop.example")
            .send()
            .await;
        assert_eq!(own.expect("an answer").status(), StatusCode::OK);
    }
    let reply = list(&world.mcp(MODERN)).await;
    assert!(header(&reply, "www-authenticate").contains(
        "resource_metadata=\"https://shop.example/.well-known/oauth-protected-resource/mcp\""
    ));
    let plain = World::open().await;
    let url = format!(
        "http://{}/.well-known/oauth-protected-resource",
        plain.shop.address
    );
    let none = plain.http.get(url).send().await.expect("an answer");
    assert_eq!(
        none.status(),
        StatusCode::NOT_FOUND,
        "no authorization server"
    );
}

#[tokio::test]
async fn the_agent_alone_learns_whose_credential_something_is() {
    let issuer = Issuer::open().await;
    let world = shop_of(&issuer, &[]).await;
    let app = &world.shop.app;
    let service = |secret: &[u8], audience: &str| {
        let now = app.clock.now().timestamp();
        let claims = ServiceClaims {
            iss: ISSUER.to_owned(),
            aud: audience.to_owned(),
            iat: now,
            exp: now + LIFETIME_SECONDS,
            jti: new_id(&*app.clock),
        };
        let key = EncodingKey::from_secret(secret);
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).expect("a token")
    };
    let agent = service(&app.agent_token_key, SERVICE_AUDIENCE);
    let ask = async |by: Option<&str>, token: &str| {
        let url = format!(
            "http://{}{}",
            world.shop.address,
            contracts::identity::INTROSPECT_PATH
        );
        let mut request = world.http.post(url).json(&json!({"token": token}));
        if let Some(by) = by {
            request = request.bearer_auth(by);
        }
        send(request).await
    };
    let till = key(&world, "till", PrincipalRole::Staff, &["billing:write"]).await;
    let ben = issuer.token(SigningKey::P256, &issuer.claims(&world, "ben@login"));
    for not_the_agent in [
        None,
        Some("rubbish".to_owned()),
        Some(till.clone()),
        Some(world.signed(&world.claims())),
        Some(service(&[9; 32], SERVICE_AUDIENCE)),
        Some(service(&app.agent_token_key, contracts::token::AUDIENCE)),
    ] {
        let reply = ask(not_the_agent.as_deref(), &till).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{not_the_agent:?}");
    }
    let told = ask(Some(&agent), &till).await.body;
    assert_eq!(told["active"], true);
    assert_eq!(told["sub"], "key:till");
    assert_eq!(told["role"], "staff");
    assert_eq!(told["scopes"], json!(["billing:write"]));
    assert!(told["expires_at"].is_string(), "{told}");
    let told = ask(Some(&agent), &ben).await.body;
    assert_eq!(
        (&told["sub"], &told["name"]),
        (&json!("ben"), &json!("Ben"))
    );
    revoke(&world, "till", true).await;
    for nobody in [till.as_str(), "rubbish", "", &world.signed(&world.claims())] {
        let told = ask(Some(&agent), nobody).await;
        assert_eq!(told.status, StatusCode::OK);
        assert_eq!(told.body, json!({"active": false}), "{nobody}");
    }
    let called = world.mcp(MODERN).bearer(&agent);
    assert_eq!(
        list(&called).await.status,
        StatusCode::UNAUTHORIZED,
        "asking is not calling"
    );
}

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
