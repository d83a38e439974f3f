//! Tokens: of an authorization server, good and bad, and of the agent.

use std::time::{Duration, Instant};

use contracts::ids::TenantId;
use contracts::scope::Reach;
use contracts::token::{
    AgentClaims, ISSUER, LIFETIME_SECONDS, PrincipalRole, SERVICE_AUDIENCE, ServiceClaims,
};
use contracts::tools::sheets;
use e2e::world::issuer::{self, Fault, Issuer, SigningKey};
use e2e::world::mcp::{MODERN, OLDER, send, signed_with};
use e2e::world::{World, until};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use migrations::clock::new_id;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{add_item, content, header, key, list, names, revoke, shop_of};

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
