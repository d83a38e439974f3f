//! A sale that staff ask for and only the owner may agree to.

use e2e::world::mcp::{MODERN, done, refused};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Page, SALE, Stage, TENANT, browsing, page, sale};

/// Presses a button of the question's page.
async fn press(stage: &Stage, path: &str, cookie: &str, decision: &str) -> Page {
    let origin = stage.strict_url();
    let request = stage.world.http.post(format!("{origin}{path}"));
    let body = format!("decision={decision}");
    page(
        browsing(request)
            .header("cookie", cookie)
            .header("origin", origin)
            .body(body),
    )
    .await
}

async fn status(stage: &Stage) -> String {
    stage
        .world
        .text("select status from shop.confirmations")
        .await
}

#[tokio::test(flavor = "multi_thread")]
#[expect(
    clippy::too_many_lines,
    reason = "one scene, told from its beginning to its end"
)]
async fn what_staff_ask_for_waits_until_the_owner_agrees_on_the_page() {
    let stage = Stage::open().await;
    let policy = json!({"ask": "always", "approver": "owner"});
    let (set, _) = stage
        .owner(Method::PUT, &format!("policies/{SALE}"), policy)
        .await;
    assert_eq!(set, 200);
    let (ana, olga) = (
        stage.person("ana", "staff").await,
        stage.person("olga", "owner").await,
    );
    let till = stage.key("till", "staff", &["all:commit"]).await;
    let client = stage.world.mcp(MODERN).bearer(&till);
    let required = done(&client.call(SALE, &sale()).await);
    assert_eq!(required["preview"]["approver"], "owner");
    let url = required["approval_url"].as_str().unwrap_or_default();
    let path = url
        .strip_prefix(&stage.local_url())
        .expect("a page of ours")
        .to_owned();

    // Nobody sees the question without logging in, and the log-in leads back to it.
    let first = stage.browse(&path, "").await;
    assert_eq!(
        (first.status, first.location.clone()),
        (303, format!("/login?next={path}"))
    );
    let asked = stage.browse(&first.location, "").await;
    assert!(
        asked
            .text
            .contains(&format!("name=\"next\" value=\"{path}\"")),
        "{}",
        asked.text
    );
    let entered = stage.enter("demo", "ana", &ana, &path).await;
    assert_eq!((entered.status, entered.location), (303, path.clone()));

    // Staff see it and cannot answer it, with the button or without.
    let cookie = stage.session("ana", &ana).await;
    let seen = stage.browse(&path, &cookie).await;
    assert_eq!(seen.status, 200);
    assert!(
        seen.text.contains("This has to be approved by the owner.")
            && !seen.text.contains("<button class=\"go\""),
        "{}",
        seen.text
    );
    assert!(
        seen.text.contains("Asked by key:till") && seen.text.contains("Logged in as ana"),
        "{}",
        seen.text
    );
    for decision in ["approve", "deny"] {
        let pressed = press(&stage, &path, &cookie, decision).await;
        assert_eq!(pressed.status, 403, "{decision}");
        assert!(
            pressed
                .text
                .contains("This has to be approved by the owner."),
            "{}",
            pressed.text
        );
    }
    assert_eq!(status(&stage).await, "open");
    assert_eq!(stage.world.bills().await, 0);

    // The client hears that it waits, then the owner agrees, and it hears the rest.
    let id = json!({"confirmation_id": required["confirmation_id"]});
    assert_eq!(
        done(&client.call("confirm_action", &id).await)["status"],
        "open"
    );
    let cookie = stage.session("olga", &olga).await;
    let agreed = press(&stage, &path, &cookie, "approve").await;
    assert_eq!(agreed.status, 200, "{}", agreed.text);
    assert!(agreed.text.contains("class=\"outcome\""), "{}", agreed.text);
    let collected = done(&client.call("confirm_action", &id).await);
    assert_eq!(collected["status"], "done", "{collected}");
    assert_eq!(stage.world.bills().await, 1);
    let (_, log) = stage
        .owner(Method::GET, &format!("audit?tool={SALE}"), Value::Null)
        .await;
    let entry = &log["entries"][0];
    assert_eq!(
        [
            &entry["requested_by"],
            &entry["decided_by"],
            &entry["decided_via"]
        ],
        ["key:till", "olga", "page"]
    );
    // A question of another business is not there.
    let foreign = stage
        .browse("/approvals/00000000-0000-7000-8000-000000000001", &cookie)
        .await;
    assert_eq!(foreign.status, 404);
    assert_eq!(
        stage
            .world
            .shop
            .app
            .known_shop(TENANT)
            .await
            .expect("a shop")
            .tenant,
        TENANT
    );
    stage.all_holds().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_staff_pass_back_is_no_owners_yes() {
    let stage = Stage::open().await;
    let (set, _) = stage
        .owner(
            Method::PATCH,
            "settings",
            json!({"unasked_clients": "token"}),
        )
        .await;
    assert_eq!(set, 200);
    let policy = json!({"ask": "above", "above_minor": 100, "approver": "owner"});
    let (set, _) = stage
        .owner(Method::PUT, &format!("policies/{SALE}"), policy)
        .await;
    assert_eq!(set, 200);
    let till = stage
        .key("till", "staff", &["billing:commit", "all:read"])
        .await;
    let client = stage.world.mcp(MODERN).bearer(&till);
    let required = done(&client.call(SALE, &sale()).await);
    let confirm =
        json!({"confirmation_id": required["confirmation_id"], "token": required["token"]});
    let failure = refused(&client.call("confirm_action", &confirm).await);
    assert_eq!(failure["code"], "not_approver", "{failure}");
    assert_eq!(
        (status(&stage).await.as_str(), stage.world.bills().await),
        ("open", 0)
    );
    // Below the amount nobody is asked.
    let (set, _) = stage
        .owner(
            Method::PUT,
            &format!("policies/{SALE}"),
            json!({"ask": "above", "above_minor": 250}),
        )
        .await;
    assert_eq!(set, 200);
    let mut small = sale();
    small["idempotency_key"] = json!("small");
    done(&client.call(SALE, &small).await);
    assert_eq!(stage.world.bills().await, 1);
    let (cleared, _) = stage
        .owner(Method::DELETE, &format!("policies/{SALE}"), Value::Null)
        .await;
    assert_eq!(cleared, 204);
    let (_, shown) = stage
        .owner(Method::GET, &format!("policies/{SALE}"), Value::Null)
        .await;
    assert_eq!(
        (&shown["ask"], &shown["default"]),
        (&json!("always"), &json!(true))
    );
    stage.all_holds().await;
}
