//! What owners and the operator do over HTTP, and what others are told who try.

use e2e::world::mcp::{MODERN, done};
use e2e::world::until;
use reqwest::Method;
use serde_json::{Value, json};

use super::{OPERATOR_KEY, Stage, answer};

/// Every route of an owner's, with a body it takes.
fn routes() -> Vec<(Method, &'static str, Value)> {
    let id = "00000000-0000-7000-8000-000000000001";
    let path = |text: String| &*text.leak();
    vec![
        (Method::GET, "settings", Value::Null),
        (Method::PATCH, "settings", json!({"name": "Stolen"})),
        (Method::GET, "policies", Value::Null),
        (Method::GET, "policies/refund_payment", Value::Null),
        (
            Method::PUT,
            "policies/refund_payment",
            json!({"ask": "always", "approver": "self"}),
        ),
        (Method::DELETE, "policies/refund_payment", Value::Null),
        (Method::GET, "people", Value::Null),
        (
            Method::POST,
            "people",
            json!({"subject": "eve", "name": "Eve", "role": "owner"}),
        ),
        (
            Method::PATCH,
            "people/olga",
            json!({"generate_password": true}),
        ),
        (Method::GET, "keys", Value::Null),
        (
            Method::POST,
            "keys",
            json!({"name": "eve", "role": "owner", "scopes": ["admin"]}),
        ),
        (Method::DELETE, "keys/till", Value::Null),
        (Method::GET, "webhooks", Value::Null),
        (
            Method::POST,
            "webhooks",
            json!({"url": "https://93.184.216.34/hooks"}),
        ),
        (Method::DELETE, path(format!("webhooks/{id}")), Value::Null),
        (Method::GET, "webhooks/deliveries", Value::Null),
        (
            Method::POST,
            path(format!("webhooks/deliveries/{id}/retry")),
            json!({}),
        ),
        (Method::GET, "audit", Value::Null),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_owner_who_may_administer_does() {
    let stage = Stage::open().await;
    stage.person("olga", "owner").await;
    let ana = stage.person("ana", "staff").await;
    let cookie = stage.session("ana", &ana).await;
    let session = cookie.split_once('=').expect("a cookie").1.to_owned();
    let agent = stage.world.signed(&stage.world.claims());
    let credentials = [
        ("staff's session", session, 403),
        (
            "a key of staff's",
            stage.key("till", "staff", &["all:commit", "admin"]).await,
            403,
        ),
        (
            "an owner's key without the scope",
            stage.key("books", "owner", &["all:commit"]).await,
            403,
        ),
        ("the agent, for the owner", agent, 403),
        ("the operator", OPERATOR_KEY.to_owned(), 401),
        ("nobody", "csk_x".to_owned(), 401),
    ];
    let before = (
        stage.world.content("shop").await,
        stage
            .world
            .number("select count(*) from shop.audit_log")
            .await,
    );
    for (who, token, wanted) in &credentials {
        for (method, path, body) in routes() {
            let (status, told) = stage.with(token, method.clone(), path, body).await;
            assert_eq!(status, *wanted, "{who} {method} {path}: {told}");
            if status == 403 {
                assert_eq!(told["code"], "forbidden", "{told}");
                assert_eq!(told["type"], "urn:countersign:problem:forbidden");
            }
        }
    }
    let after = (
        stage.world.content("shop").await,
        stage
            .world
            .number("select count(*) from shop.audit_log")
            .await,
    );
    let changed = |content: &std::collections::BTreeMap<String, String>| {
        let mut content = content.clone();
        // When a key was last used is noted.
        content.remove("api_keys");
        content
    };
    assert_eq!((changed(&before.0), before.1), (changed(&after.0), after.1));
    let manager = stage
        .key("manager", "owner", &["admin", "billing:read"])
        .await;
    let (status, _) = stage
        .with(&manager, Method::GET, "people", Value::Null)
        .await;
    assert_eq!(status, 200);
    let more = json!({"name": "more", "role": "owner", "scopes": ["billing:commit"]});
    let (status, told) = stage.with(&manager, Method::POST, "keys", more).await;
    assert_eq!(
        (status, &told["code"]),
        (403, &json!("forbidden")),
        "nobody hands out more than they have"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[expect(
    clippy::too_many_lines,
    reason = "one scene, told from its beginning to its end"
)]
async fn businesses_are_the_operators_and_what_is_in_them_their_owners() {
    let stage = Stage::open().await;
    let new = json!({"handle": "corner-shop", "name": "Corner Shop", "currency": "kes", "country": "ke", "time_zone": "africa/nairobi",
        "owner": {"subject": "Wanjiru", "name": "Wanjiru"}});
    for (token, status) in [
        ("wrong", 401),
        (&*format!("{OPERATOR_KEY}!"), 401),
        (OPERATOR_KEY, 201),
        (OPERATOR_KEY, 409),
    ] {
        let (told, answer) = stage
            .with(token, Method::POST, "tenants", new.clone())
            .await;
        assert_eq!(told, status, "{answer}");
    }
    let (unset, _) = stage.owner(Method::POST, "tenants", new.clone()).await;
    assert_eq!(
        unset, 404,
        "without a key of the operator's there is no such address"
    );
    let mut another = new.clone();
    another["handle"] = json!("market");
    let (_, made) = stage
        .with(OPERATOR_KEY, Method::POST, "tenants", another)
        .await;
    let (handle, password) = ("market", made["password"].as_str().expect("a password"));
    let (_, all) = stage
        .with(OPERATOR_KEY, Method::GET, "tenants?limit=2", Value::Null)
        .await;
    assert_eq!(all["tenants"].as_array().map(Vec::len), Some(2));
    let next = format!(
        "tenants?limit=2&cursor={}",
        all["next"].as_str().expect("another page")
    );
    let (_, rest) = stage
        .with(OPERATOR_KEY, Method::GET, &next, Value::Null)
        .await;
    assert_eq!(
        (&rest["tenants"][0]["handle"], rest.get("next")),
        (&json!(handle), None)
    );

    // Its first owner logs in and sees the own business alone.
    let entered = stage.enter(handle, "wanjiru", password, "").await;
    let token = entered
        .cookie
        .split(['=', ';'])
        .nth(1)
        .expect("a token")
        .to_owned();
    let (_, settings) = stage
        .with(&token, Method::GET, "settings", Value::Null)
        .await;
    assert_eq!(
        (
            &settings["name"],
            &settings["currency"],
            &settings["time_zone"]
        ),
        (
            &json!("Corner Shop"),
            &json!("KES"),
            &json!("Africa/Nairobi")
        )
    );
    stage.person("olga", "owner").await;
    stage.key("till", "staff", &["all:commit"]).await;
    let (_, hook) = stage
        .owner(
            Method::POST,
            "webhooks",
            json!({"url": "http://127.0.0.1:9/x", "topics": ["bill.*"]}),
        )
        .await;
    let id = hook["id"].as_str().expect("an id");
    for path in [format!("webhooks/{id}"), "keys/till".to_owned()] {
        let (status, told) = stage.with(&token, Method::DELETE, &path, Value::Null).await;
        assert_eq!(status, 404, "{path}: {told}");
    }
    for (subject, status) in [("olga", 404), ("nobody", 404), ("wanjiru", 200)] {
        let (told, _) = stage
            .with(
                &token,
                Method::PATCH,
                &format!("people/{subject}"),
                json!({"name": "W"}),
            )
            .await;
        assert_eq!(told, status, "{subject}");
    }
    for (path, list, count) in [
        ("people", "people", 1),
        ("keys", "keys", 0),
        ("webhooks", "endpoints", 0),
        ("audit", "entries", 2),
    ] {
        let (_, told) = stage.with(&token, Method::GET, path, Value::Null).await;
        assert_eq!(
            told[list].as_array().map(Vec::len),
            Some(count),
            "{path}: {told}"
        );
    }
    let private = json!({"url": "https://192.168.0.7/hooks"});
    let (status, told) = stage.with(&token, Method::POST, "webhooks", private).await;
    assert_eq!(status, 422, "{told}");

    // Suspended, nobody is let in; resumed, they are again.
    let (_, key) = stage
        .with(
            &token,
            Method::POST,
            "keys",
            json!({"name": "k", "role": "owner", "scopes": ["all:commit", "admin"]}),
        )
        .await;
    let key = key["secret"].as_str().expect("a key").to_owned();
    let suspended = async |yes: bool| {
        let (status, _) = stage
            .with(
                OPERATOR_KEY,
                Method::PATCH,
                &format!("tenants/{handle}"),
                json!({"suspended": yes}),
            )
            .await;
        assert_eq!(status, 200);
    };
    let may = async |token: &str| {
        stage
            .with(token, Method::GET, "settings", Value::Null)
            .await
            .0
    };
    assert_eq!((may(&key).await, may(&token).await), (200, 200));
    suspended(true).await;
    assert_eq!(
        (may(&key).await, may(&token).await),
        (401, 401),
        "at once on this server"
    );
    assert_eq!(
        stage.enter(handle, "wanjiru", password, "").await.status,
        403
    );
    suspended(false).await;
    assert_eq!((may(&key).await, may(&token).await), (200, 200));
    let (missing, _) = stage
        .with(
            OPERATOR_KEY,
            Method::PATCH,
            "tenants/nowhere",
            json!({"suspended": true}),
        )
        .await;
    assert_eq!(missing, 404);
    let (_, log) = stage
        .with(&token, Method::GET, "audit?who=operator:api", Value::Null)
        .await;
    let tools: Vec<&str> = log["entries"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|e| e["tool"].as_str())
        .collect();
    assert_eq!(
        tools,
        [
            "admin.tenants.change",
            "admin.tenants.change",
            "admin.tenants.create"
        ]
    );
    stage.all_holds().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_is_always_left() {
    let stage = Stage::open().await;
    for subject in ["olga", "ivan"] {
        stage.person(subject, "owner").await;
    }
    let disable = |subject: &str| {
        let path = format!("people/{subject}");
        let stage = &stage;
        async move {
            stage
                .owner(Method::PATCH, &path, json!({"disabled": true}))
                .await
        }
    };
    let (one, other) = tokio::join!(disable("olga"), disable("ivan"));
    let mut statuses = [one.0, other.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409], "{one:?} {other:?}");
    let (left, last) = if one.0 == 409 {
        ("olga", one.1)
    } else {
        ("ivan", other.1)
    };
    assert_eq!(last["code"], "last_owner");
    let (status, _) = stage
        .owner(
            Method::PATCH,
            &format!("people/{left}"),
            json!({"role": "staff"}),
        )
        .await;
    assert_eq!(status, 409);
    let (status, _) = stage
        .owner(
            Method::PATCH,
            &format!("people/{left}"),
            json!({"name": "Left", "scopes": ["all:read", "admin"]}),
        )
        .await;
    assert_eq!(status, 200);
    stage.all_holds().await;
}

#[tokio::test(flavor = "multi_thread")]
#[expect(
    clippy::too_many_lines,
    reason = "one scene, told from its beginning to its end"
)]
async fn what_is_settled_counts_at_once_and_is_written_down_once() {
    let stage = Stage::open().await;
    let change = async |body: Value| stage.owner(Method::PATCH, "settings", body).await;
    let (status, after) =
        change(json!({"name": "Corner", "tax_number": "100-200", "country": null})).await;
    assert_eq!(
        (status, &after["name"], &after["country"]),
        (200, &json!("Corner"), &Value::Null)
    );
    assert_eq!(
        stage
            .world
            .shop
            .app
            .known_shop(super::TENANT)
            .await
            .expect("a shop")
            .name,
        "Corner"
    );
    assert_eq!(
        change(json!({"name": "Corner"})).await.0,
        200,
        "nothing changes, nothing is written down"
    );
    for (body, status, code, field) in [
        (json!({"currency": "USD"}), 409, "conflict", "currency"),
        (
            json!({"time_zone": "Mars"}),
            422,
            "invalid_value",
            "time_zone",
        ),
        (json!({"colour": "red"}), 400, "invalid_request", "colour"),
        (
            json!({"tax_inclusive": "yes"}),
            400,
            "invalid_request",
            "tax_inclusive",
        ),
    ] {
        let (told, problem) = change(body.clone()).await;
        assert_eq!(
            (told, &problem["code"], &problem["field"]),
            (status, &json!(code), &json!(field)),
            "{body}: {problem}"
        );
    }
    let log = stage.world.number("select count(*) from shop.audit_log where tool = 'admin.settings.change' and before->>'name' = 'Demo shop'").await;
    assert_eq!(log, 1);
    for (body, status) in [
        ("{", 400),
        ("{} x", 400),
        ("[]", 400),
        (&*format!("{{\"name\": \"{}\"}}", "x".repeat(70_000)), 413),
    ] {
        let request = stage
            .world
            .http
            .patch(format!("{}/admin/v1/settings", stage.local_url()));
        let request = request
            .header("content-type", "application/json")
            .body(body.to_owned());
        assert_eq!(answer(request, Value::Null).await.0, status, "{body:.20}");
    }
    let request = stage
        .world
        .http
        .patch(format!("{}/admin/v1/settings", stage.local_url()))
        .body("{}");
    assert_eq!(answer(request, Value::Null).await.0, 415);

    // People: who cannot be is refused, and no password is kept anywhere.
    let add = async |body: Value| stage.owner(Method::POST, "people", body).await;
    let (_, customer) = add(json!({"subject": "ali", "name": "Ali", "role": "customer", "customer": "Ali", "password": "a customer's words"})).await;
    assert!(
        customer["person"]["customer"].is_string() && customer.get("password").is_none(),
        "{customer}"
    );
    for (body, status) in [
        (
            json!({"subject": "ALI", "name": "Other", "role": "staff"}),
            409,
        ),
        (
            json!({"subject": "zoe", "name": "Zoe", "role": "customer"}),
            422,
        ),
        (
            json!({"subject": "zoe", "name": "Zoe", "role": "customer", "customer": "Nobody"}),
            422,
        ),
        (
            json!({"subject": "zoe", "name": "Zoe", "role": "staff", "customer": "Ali"}),
            422,
        ),
        (
            json!({"subject": "zoe", "name": "Zoe", "role": "staff", "password": "short"}),
            422,
        ),
        (
            json!({"subject": "key:zoe", "name": "Zoe", "role": "staff"}),
            422,
        ),
        (
            json!({"subject": "zoe", "name": "Zoe", "role": "king"}),
            400,
        ),
        (
            json!({"subject": "zoe", "name": "Zoe", "role": "staff", "scopes": ["shop:read"]}),
            422,
        ),
    ] {
        let (told, problem) = add(body.clone()).await;
        assert_eq!(told, status, "{body}: {problem}");
    }
    let account = json!({"issuer": "https://id.example", "subject": "248289761001"});
    let (status, linked) = stage
        .owner(Method::PATCH, "people/ali", json!({"account": account}))
        .await;
    assert_eq!((status, &linked["person"]["account"]), (200, &account));
    let told = "select count(*) from shop.audit_log where concat(arguments, before, after) like '%customer''s words%'";
    assert_eq!(stage.world.number(told).await, 0);
    stage.all_holds().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_refused_here_at_once_and_elsewhere_soon() {
    let stage = Stage::open().await;
    let key = stage.key("till", "staff", &["inventory:read"]).await;
    let client = e2e::world::mcp::McpClient::at(&stage.strict.mcp_url()).bearer(&key);
    done(&client.call("inventory_list_items", &json!({})).await);
    let local = stage.world.mcp(MODERN).bearer(&key);
    done(&local.call("inventory_list_items", &json!({})).await);
    let (status, revoked) = stage.owner(Method::DELETE, "keys/till", Value::Null).await;
    assert_eq!(status, 200);
    assert!(revoked["revoked_at"].is_string());
    let params = || json!({"name": "inventory_list_items", "arguments": {}});
    assert_eq!(
        local.request("tools/call", params()).await.status,
        401,
        "at once where it was revoked"
    );
    let begun = std::time::Instant::now();
    until("the key is refused", async || {
        client.request("tools/call", params()).await.status == 401
    })
    .await;
    assert!(begun.elapsed().as_secs() <= 6, "{:?}", begun.elapsed());
    let (status, _) = stage.owner(Method::DELETE, "keys/till", Value::Null).await;
    assert_eq!(status, 200, "again changes nothing");
    let (status, _) = stage
        .owner(
            Method::POST,
            "keys",
            json!({"name": "till", "role": "staff", "scopes": ["all:read"]}),
        )
        .await;
    assert_eq!(status, 409, "its name stays its own");
    let rows = stage
        .world
        .number("select count(*) from shop.audit_log where tool like 'admin.keys.%'")
        .await;
    assert_eq!(rows, 2);
}
