//! API keys: how long they work, how often, and whose questions they answer.

use std::time::{Duration, Instant};

use contracts::ids::TenantId;
use contracts::token::{AgentClaims, PrincipalRole};
use e2e::world::issuer::{Issuer, SigningKey};
use e2e::world::mcp::{MODERN, asked, done, refused, yes};
use e2e::world::until;
use reqwest::StatusCode;
use serde_json::json;

use super::{content, header, key, list, revoke, shop_of};

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
