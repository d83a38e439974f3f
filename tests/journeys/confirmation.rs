//! No effect without a countersignature: the three ways a question travels, and everything an answer can be.

use std::process::Stdio;

use contracts::token::{PrincipalRole, TokenPerson};
use e2e::world::mcp::{McpClient, OLDER, asked, done, no, refused, yes};
use e2e::world::{PATIENCE, Setting, World};
use migrations::database::Role;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use uuid::Uuid;

const TOOL: &str = "billing_create_bill";
const QUESTION: &str = "Are you sure you want to create a bill for Ali: 2 kg Sugar @ 160 = 320, 1 Shampoo = 250 (Total: RWF 570)? Reply 'yes' to confirm.";

fn bill() -> Value {
    json!({"customer": "Ali", "lines": [{"item": "sugar", "quantity": "2", "unit": "kg"}, {"item": "shampoo", "quantity": "1"}]})
}

async fn with_sugar(setting: Setting) -> World {
    let world = World::open_with(setting).await;
    let sugar = json!({"name": "Sugar", "category": "grocery", "unit": "kg", "unit_price": "160", "quantity": "20"});
    done(
        &world
            .asking_client()
            .call("inventory_add_item", &sugar)
            .await,
    );
    world
}

fn setting(owner_sql: Vec<&'static str>) -> Setting {
    Setting {
        owner_sql,
        ..Setting::default()
    }
}

/// Nothing but questions has come of it: no bill, no stock moved, no number taken, no trace of an effect.
async fn nothing_done(world: &World) {
    assert_eq!(world.bills().await, 0);
    assert_eq!(
        (
            world.on_hand("Sugar").await.as_str(),
            world.on_hand("Shampoo").await.as_str()
        ),
        ("20", "12")
    );
    assert_eq!(
        world
            .number("select count(*) from shop.counters where last > 0")
            .await,
        0
    );
    assert_eq!(
        world
            .number("select count(*) from shop.audit_log where tool = 'billing_create_bill'")
            .await,
        0
    );
}

async fn one_bill(world: &World) {
    assert_eq!(world.bills().await, 1);
    assert_eq!(
        (
            world.on_hand("Sugar").await.as_str(),
            world.on_hand("Shampoo").await.as_str()
        ),
        ("18", "11")
    );
    assert_eq!(
        world
            .number("select count(*) from shop.audit_log where tool = 'billing_create_bill'")
            .await,
        1
    );
}

async fn retry(client: &McpClient, state: &str, responses: Value) -> Value {
    client.retry(TOOL, &bill(), state, responses).await
}

// The result itself asks (2026-07-28).

#[tokio::test]
async fn the_result_asks_completely_and_a_yes_does_it_once() {
    let world = with_sugar(Setting::default()).await;
    let client = world.asking_client();
    let first = client.call(TOOL, &bill()).await;
    let state = asked(&first);
    let requests = first["inputRequests"].as_object().expect("requests");
    assert_eq!(requests.len(), 1, "one form");
    let form = &requests["confirm"];
    assert_eq!(form["method"], "elicitation/create");
    assert_eq!(form["params"]["mode"], "form");
    assert_eq!(form["params"]["message"], QUESTION);
    assert_eq!(
        form["params"]["requestedSchema"]["required"],
        json!(["confirm"])
    );
    assert_eq!(
        form["params"]["requestedSchema"]["properties"]["confirm"]["type"],
        "boolean"
    );

    let question = &first["_meta"]["countersign/confirmation"];
    assert_eq!(
        &form["params"]["_meta"]["countersign/confirmation"], question,
        "it travels with the form too"
    );
    assert_eq!(question["tool"], TOOL);
    assert_eq!(question["message"], QUESTION);
    assert_eq!(question["lines"].as_array().map(Vec::len), Some(2));
    assert_eq!(question["total"]["amount_minor"], 570);
    assert_eq!(
        (&question["approver"], &question["requested_by"]),
        (&json!("self"), &json!("owner"))
    );
    for member in ["id", "binding", "informative", "expires_at"] {
        assert!(!question[member].is_null(), "{member}: {question}");
    }
    // 256 bits, and only their hash is kept.
    assert!(state.len() >= 43, "{state}");
    let kept = sqlx::query_scalar::<_, i64>(
        "select count(*) from shop.confirmations c where c::text like '%' || $1 || '%'",
    );
    assert_eq!(
        kept.bind(&state)
            .fetch_one(&world.db)
            .await
            .expect("a count"),
        0
    );
    nothing_done(&world).await;

    let bill = done(&retry(&client, &state, yes()).await);
    assert_eq!(bill["number"], "INV-1");
    one_bill(&world).await;
    let trace = "select requested_by || ' ' || decided_by || ' ' || decided_via || ' ' || confirmation_id from shop.audit_log where tool = 'billing_create_bill'";
    assert_eq!(
        world.text(trace).await,
        format!(
            "owner owner elicitation {}",
            question["id"].as_str().unwrap_or_default()
        )
    );

    // The yes again, and the yes of an impatient person: the stored result.
    assert_eq!(done(&retry(&client, &state, yes()).await), bill);
    let (one, two) = tokio::join!(retry(&client, &state, yes()), retry(&client, &state, yes()));
    assert_eq!((done(&one), done(&two)), (bill.clone(), bill));
    // Another answer comes too late.
    assert_eq!(
        refused(&retry(&client, &state, no()).await)["code"],
        "already_decided"
    );
    one_bill(&world).await;
}

#[tokio::test]
async fn two_clicks_at_once_are_one_bill() {
    let world = with_sugar(Setting::default()).await;
    let client = world.asking_client();
    let state = asked(&client.call(TOOL, &bill()).await);
    let clicks = futures::future::join_all((0..8).map(|_| retry(&client, &state, yes()))).await;
    let bills: Vec<Value> = clicks.iter().map(done).collect();
    assert!(bills.iter().all(|b| *b == bills[0]), "{bills:?}");
    one_bill(&world).await;
}

#[tokio::test]
async fn every_no_is_a_no() {
    let world = with_sugar(Setting::default()).await;
    let client = world.asking_client();
    for said in [
        no(),
        json!({"confirm": {"action": "accept", "content": {"confirm": false}}}),
        json!({"confirm": {"action": "accept"}}),
        json!({"confirm": {"action": "accept", "content": {"confirm": "true"}}}),
        json!({"confirm": {"action": "accept", "content": {"other": true}}}),
    ] {
        let state = asked(&client.call(TOOL, &bill()).await);
        let failure = refused(&retry(&client, &state, said.clone()).await);
        assert_eq!(failure["code"], "declined", "{said}");
        // The same no again is the same answer; a yes comes too late.
        assert_eq!(
            refused(&retry(&client, &state, no()).await)["code"],
            "declined"
        );
        assert_eq!(
            refused(&retry(&client, &state, yes()).await)["code"],
            "already_decided",
            "{said}"
        );
    }
    nothing_done(&world).await;
}

#[tokio::test]
async fn no_answer_is_no_answer() {
    let world = with_sugar(Setting::default()).await;
    let client = world.asking_client();
    let first = client.call(TOOL, &bill()).await;
    let state = asked(&first);
    for said in [
        json!({}),
        json!({"other": {"action": "accept", "content": {"confirm": true}}}),
        json!({"confirm": "yes"}),
        json!({"confirm": {"action": "approve"}}),
        json!({"confirm": null}),
    ] {
        let again = retry(&client, &state, said.clone()).await;
        assert_eq!(asked(&again), state, "{said}: the very same question");
        assert_eq!(again["_meta"], first["_meta"], "{said}");
    }
    nothing_done(&world).await;
    assert_eq!(
        world
            .number("select count(*) from shop.confirmations")
            .await,
        1
    );
    done(&retry(&client, &state, yes()).await);
    one_bill(&world).await;
}

#[tokio::test]
async fn a_token_counts_only_unchanged_for_its_own_caller_and_call() {
    let world = with_sugar(Setting::default()).await;
    let client = world.asking_client();
    let state = asked(&client.call(TOOL, &bill()).await);

    let mut tampered = state.clone().into_bytes();
    tampered[5] = if tampered[5] == b'A' { b'B' } else { b'A' };
    let tampered = String::from_utf8(tampered).expect("text");
    for wrong in [
        tampered.as_str(),
        "",
        "x",
        &state[1..],
        &format!("{state}="),
    ] {
        assert_eq!(
            refused(&retry(&client, wrong, yes()).await)["code"],
            "unknown_confirmation",
            "{wrong}"
        );
    }
    // Somebody else's, though staff may see the question.
    let staff = TokenPerson {
        sub: "ana".to_owned(),
        role: PrincipalRole::Staff,
    };
    let other = world.agent_client("ana", PrincipalRole::Staff, Some(staff));
    assert_eq!(
        refused(&retry(&other, &state, yes()).await)["code"],
        "unknown_confirmation"
    );
    // Agreed to two kilos, sent for twenty; agreed to a bill, sent with another tool.
    let mut more = bill();
    more["lines"][0]["quantity"] = json!("20");
    assert_eq!(
        refused(&client.retry(TOOL, &more, &state, yes()).await)["code"],
        "unknown_confirmation"
    );
    let other_tool = client
        .retry(
            "inventory_delete_item",
            &json!({"item": "Soap"}),
            &state,
            yes(),
        )
        .await;
    assert_eq!(refused(&other_tool)["code"], "unknown_confirmation");
    nothing_done(&world).await;
    // Another spelling of the same arguments is the same call.
    let spelt = json!({"lines": [{"quantity": 2, "unit": "kg", "item": "sugar"}, {"item": "shampoo", "quantity": "1.0", "unit": null}], "customer": "Ali"});
    done(&client.retry(TOOL, &spelt, &state, yes()).await);
    one_bill(&world).await;
    // Used up: with a second question open, the first token answers nothing but itself.
    let second = asked(&client.call(TOOL, &bill()).await);
    assert_ne!(second, state);
    assert_eq!(
        done(&retry(&client, &state, yes()).await)["number"],
        "INV-1"
    );
    one_bill(&world).await;
}

#[tokio::test]
async fn a_question_lapses() {
    let world = with_sugar(Setting::default()).await;
    let client = world.asking_client();
    let state = asked(&client.call(TOOL, &bill()).await);
    world.advance(299);
    assert_eq!(
        asked(&retry(&client, &state, json!({})).await),
        state,
        "still open"
    );
    world.advance(2);
    for said in [yes(), no(), json!({}), yes()] {
        let failure = refused(&retry(&client, &state, said.clone()).await);
        assert_eq!(failure["code"], "expired", "{said}");
    }
    nothing_done(&world).await;
    done(&retry(&client, &asked(&client.call(TOOL, &bill()).await), yes()).await);
    one_bill(&world).await;
}

#[tokio::test]
async fn a_settled_question_is_not_asked_again() {
    let world = with_sugar(Setting::default()).await;
    let client = world.asking_client();
    let state = asked(&client.call(TOOL, &bill()).await);
    let bill = done(&retry(&client, &state, yes()).await);
    assert_eq!(
        done(&retry(&client, &state, json!({})).await),
        bill,
        "a retry that lost the answer still gets the outcome"
    );
    let state = asked(&client.call(TOOL, &self::bill()).await);
    refused(&retry(&client, &state, no()).await);
    assert_eq!(
        refused(&retry(&client, &state, json!({})).await)["code"],
        "declined"
    );
}

#[tokio::test]
async fn what_changed_is_asked_anew_and_what_did_not_matter_is_not() {
    let world = with_sugar(Setting::default()).await;
    let client = world.asking_client();
    let first = asked(&client.call(TOOL, &bill()).await);
    world.set_price("Sugar", 170).await;
    let anew = retry(&client, &first, yes()).await;
    let second = asked(&anew);
    assert_ne!(second, first);
    let message = anew["inputRequests"]["confirm"]["params"]["message"]
        .as_str()
        .unwrap_or_default();
    assert!(
        message.contains("2 kg Sugar @ 170 = 340") && message.contains("RWF 590"),
        "{message}"
    );
    nothing_done(&world).await;
    // The yes to the old question stays without effect, however often it comes.
    assert_eq!(asked(&retry(&client, &first, yes()).await), second);
    nothing_done(&world).await;
    // Stock that moved is no reason to ask again.
    let more = json!({"item": "sugar", "adjust": {"delta": "1", "unit": "kg"}});
    done(&client.call("inventory_update_item", &more).await);
    let bill = done(&retry(&client, &second, yes()).await);
    assert_eq!(bill["bill"]["total"]["amount_minor"], 590);
    assert_eq!(
        (world.bills().await, world.on_hand("Sugar").await.as_str()),
        (1, "19")
    );
}

#[tokio::test]
async fn a_yes_that_the_stock_cannot_bear_does_nothing() {
    let world = with_sugar(Setting::default()).await;
    let client = world.asking_client();
    let state = asked(&client.call(TOOL, &bill()).await);
    done(&client.call("inventory_update_item", &json!({"item": "sugar", "adjust": {"delta": "-19", "unit": "kg", "reason": "waste"}})).await);
    let failure = refused(&retry(&client, &state, yes()).await);
    assert_eq!(failure["code"], "insufficient_stock");
    assert_eq!(
        (
            world.bills().await,
            world.on_hand("Sugar").await.as_str(),
            world.on_hand("Shampoo").await.as_str()
        ),
        (0, "1", "12")
    );
    // What came of it stands, also when the shelf is full again.
    done(
        &client
            .call(
                "inventory_update_item",
                &json!({"item": "sugar", "adjust": {"delta": "19", "unit": "kg"}}),
            )
            .await,
    );
    assert_eq!(refused(&retry(&client, &state, yes()).await), failure);
    assert_eq!(world.bills().await, 0);
}

#[tokio::test]
async fn a_repeated_call_with_a_key_is_the_same_question_and_then_the_same_bill() {
    let world = with_sugar(Setting::default()).await;
    let client = world.asking_client();
    let mut keyed = bill();
    keyed["idempotency_key"] = json!("k1");
    let state = asked(&client.call(TOOL, &keyed).await);
    assert_eq!(asked(&client.call(TOOL, &keyed).await), state);
    let mut other = keyed.clone();
    other["customer"] = json!("Aline");
    assert_eq!(
        refused(&client.call(TOOL, &other).await)["code"],
        "idempotency_conflict"
    );
    let bill = done(&client.retry(TOOL, &keyed, &state, yes()).await);
    assert_eq!(
        done(&client.call(TOOL, &keyed).await),
        bill,
        "no question any more"
    );
    one_bill(&world).await;
}

// The agent on behalf of its end user: promise 1.

#[tokio::test]
async fn the_agent_cannot_say_yes_by_itself() {
    let world = with_sugar(Setting::default()).await;
    let agent = |decided_by| world.agent_client("owner", PrincipalRole::Owner, decided_by);
    let state = asked(&agent(None).call(TOOL, &bill()).await);
    for said in [yes(), yes(), no()] {
        assert_eq!(
            asked(&retry(&agent(None), &state, said).await),
            state,
            "an answer without the person who gave it is none"
        );
    }
    nothing_done(&world).await;
    let person = |sub: &str, role| {
        Some(TokenPerson {
            sub: sub.to_owned(),
            role,
        })
    };
    let failure = refused(&retry(&agent(person("bob", PrincipalRole::Staff)), &state, yes()).await);
    assert_eq!(
        failure["code"], "not_approver",
        "only the person who asked, or the owner"
    );
    nothing_done(&world).await;
    done(&retry(&agent(person("owner", PrincipalRole::Owner)), &state, yes()).await);
    one_bill(&world).await;
    assert_eq!(
        world
            .text("select decided_via from shop.audit_log where tool = 'billing_create_bill'")
            .await,
        "agent"
    );
}

#[tokio::test]
async fn the_agent_cannot_say_yes_by_token_either() {
    let world = with_sugar(setting(vec![
        "update shop.tenants set unasked_clients = 'token'",
    ]))
    .await;
    let asking = world.agent_client("owner", PrincipalRole::Owner, None);
    let question = asking.call(TOOL, &bill()).await;
    let id = &question["_meta"]["countersign/confirmation"]["id"];
    let collected = asking
        .call(
            "confirm_action",
            &json!({"confirmation_id": id, "token": asked(&question)}),
        )
        .await;
    assert_eq!(done(&collected)["status"], "open");
    nothing_done(&world).await;
}

// Policies.

#[tokio::test]
async fn the_owner_decides_where_the_policy_says_so() {
    let policy = "insert into shop.policies (tenant_id, tool, approver) select id, 'billing_create_bill', 'owner' from shop.tenants";
    let world = with_sugar(setting(vec![policy])).await;
    let ana = TokenPerson {
        sub: "ana".to_owned(),
        role: PrincipalRole::Staff,
    };
    let client = world.agent_client("ana", PrincipalRole::Staff, Some(ana));
    let first = client.call(TOOL, &bill()).await;
    let state = asked(&first);
    assert_eq!(
        first["_meta"]["countersign/confirmation"]["approver"],
        "owner"
    );
    for said in [yes(), no()] {
        assert_eq!(
            refused(&retry(&client, &state, said).await)["code"],
            "not_approver",
            "staff decide neither way"
        );
    }
    assert_eq!(
        world.text("select status from shop.confirmations").await,
        "open"
    );
    nothing_done(&world).await;
    let owner = TokenPerson {
        sub: "owner".to_owned(),
        role: PrincipalRole::Owner,
    };
    done(
        &retry(
            &world.agent_client("ana", PrincipalRole::Staff, Some(owner)),
            &state,
            yes(),
        )
        .await,
    );
    one_bill(&world).await;
    let who = "select requested_by || ' ' || decided_by from shop.audit_log where tool = 'billing_create_bill'";
    assert_eq!(world.text(who).await, "ana owner");
}

#[tokio::test]
async fn below_the_limit_nothing_is_asked_and_at_never_nothing_at_all() {
    let policies = "insert into shop.policies (tenant_id, tool, ask, above_minor) select id, 'billing_create_bill', 'above', 570 from shop.tenants";
    let never = "insert into shop.policies (tenant_id, tool, ask) select id, 'inventory_delete_item', 'never' from shop.tenants";
    let world = with_sugar(setting(vec![policies, never])).await;
    let client = world.asking_client();
    done(&client.call(TOOL, &bill()).await);
    one_bill(&world).await;
    assert_eq!(world.number("select count(*) from shop.audit_log where tool = 'billing_create_bill' and decided_by is null").await, 1);
    let mut more = bill();
    more["lines"][1]["quantity"] = json!("2");
    asked(&client.call(TOOL, &more).await);
    one_bill(&world).await;
    done(
        &client
            .call("inventory_delete_item", &json!({"item": "Rice"}))
            .await,
    );
    assert_eq!(
        world
            .number(
                "select count(*) from shop.items where name = 'Rice' and archived_at is not null"
            )
            .await,
        1
    );
    // Corrections are always asked about; the database itself refuses such a policy.
    let forbidden = "insert into shop.policies (tenant_id, tool, ask) select id, 'billing_void_bill', 'never' from shop.tenants";
    assert!(sqlx::query(forbidden).execute(&world.db).await.is_err());
    asked(
        &client
            .call("billing_void_bill", &json!({"bill": "last"}))
            .await,
    );
}

// Any other client: the person answers on our page.

/// A browser that has the page open.
struct Browser<'a> {
    world: &'a World,
    url: String,
    policy: String,
}

impl<'a> Browser<'a> {
    /// Opens an address and returns what it shows.
    async fn open(world: &'a World, url: &str) -> (Browser<'a>, u16, String) {
        let answer = world.http.get(url).send().await.expect("a page");
        let header = |name: &str| {
            answer
                .headers()
                .get(name)
                .and_then(|v| v.to_str().ok())
                .unwrap_or_default()
                .to_owned()
        };
        assert!(
            header("content-type").starts_with("text/html"),
            "{}",
            answer.status()
        );
        assert_eq!(header("x-frame-options"), "DENY");
        assert!(header("content-security-policy").contains("frame-ancestors 'none'"));
        assert_eq!(header("cache-control"), "no-store");
        let (status, policy) = (answer.status().as_u16(), header("referrer-policy"));
        let browser = Browser {
            world,
            url: url.to_owned(),
            policy,
        };
        (browser, status, answer.text().await.expect("a page"))
    }

    /// Presses a button of the form. A browser names the page's origin, and hides it where the page's referrer policy says so.
    async fn press(&self, decision: &str) -> (u16, String) {
        let origin = self.url.split("/approvals").next().unwrap_or_default();
        let origin = if self.policy == "no-referrer" {
            "null"
        } else {
            origin
        };
        self.post(decision, origin, "same-origin").await
    }

    async fn post(&self, decision: &str, origin: &str, site: &str) -> (u16, String) {
        let request = self
            .world
            .http
            .post(&self.url)
            .header("origin", origin)
            .header("sec-fetch-site", site)
            .header("sec-fetch-mode", "navigate");
        let request = request
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("decision={decision}"));
        let answer = request.send().await.expect("an answer");
        (
            answer.status().as_u16(),
            answer.text().await.expect("a page"),
        )
    }
}

/// Asks through a client that cannot be asked; the question's id and page.
async fn ask_elsewhere(world: &World) -> (Value, String) {
    let result = world.mcp(OLDER).call(TOOL, &bill()).await;
    let required = done(&result);
    assert_eq!(required["status"], "confirmation_required");
    assert_eq!(required["preview"]["message"], QUESTION);
    assert_eq!(
        result["_meta"]["countersign/confirmation"],
        required["preview"]
    );
    assert_eq!(required["expires_at"], required["preview"]["expires_at"]);
    assert!(
        required.get("token").is_none(),
        "nothing in the result lets a model approve itself: {required}"
    );
    let url = required["approval_url"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    (required["confirmation_id"].clone(), url)
}

async fn collect(world: &World, id: &Value) -> Value {
    done(
        &world
            .mcp(OLDER)
            .call("confirm_action", &json!({"confirmation_id": id}))
            .await,
    )
}

#[tokio::test]
async fn a_person_says_yes_on_the_page() {
    let world = with_sugar(Setting::default()).await;
    let (id, url) = ask_elsewhere(&world).await;
    let open = collect(&world, &id).await;
    assert_eq!(
        (&open["status"], &open["approval_url"]),
        (&json!("open"), &json!(url))
    );
    // Guessing a token gives nothing where the shop hands out none.
    let guess = world
        .mcp(OLDER)
        .call(
            "confirm_action",
            &json!({"confirmation_id": id, "token": "yes"}),
        )
        .await;
    assert_eq!(done(&guess)["status"], "open");
    nothing_done(&world).await;

    let (browser, status, page) = Browser::open(&world, &url).await;
    assert_eq!(status, 200);
    // The page writes apostrophes as entities.
    let text = page.replace("&#39;", "'");
    for shown in [
        QUESTION,
        "2 kg Sugar @ 160 = 320",
        "RWF 570",
        "value=\"approve\"",
        "value=\"deny\"",
        "Asked by owner",
    ] {
        assert!(text.contains(shown), "{shown}: {page}");
    }
    let (status, page) = browser.press("approve").await;
    assert_eq!(status, 200, "{page}");
    assert!(
        page.contains("INV-1") && !page.contains("<button"),
        "{page}"
    );
    one_bill(&world).await;
    assert_eq!(
        world
            .text("select decided_via from shop.audit_log where tool = 'billing_create_bill'")
            .await,
        "page"
    );

    // Pressed twice; and no after yes.
    let (status, page) = browser.press("approve").await;
    assert!(
        status == 200 && page.contains("INV-1") && !page.contains("class=\"problem\""),
        "{page}"
    );
    let (status, page) = browser.press("deny").await;
    assert!(
        status == 200 && page.contains("already answered the other way"),
        "{page}"
    );
    one_bill(&world).await;
    let outcome = collect(&world, &id).await;
    assert_eq!(
        (&outcome["status"], &outcome["decided_by"]),
        (&json!("done"), &json!("owner"))
    );
    assert_eq!(outcome["result"]["number"], "INV-1");
    assert_eq!(outcome["summary"], outcome["result"]["summary"]);
}

#[tokio::test]
async fn a_person_says_no_on_the_page_or_nothing() {
    let world = with_sugar(Setting::default()).await;
    let (id, url) = ask_elsewhere(&world).await;
    let (browser, _, _) = Browser::open(&world, &url).await;
    let (status, page) = browser.press("maybe").await;
    assert!(
        status == 400 && !page.contains("deserialize"),
        "{status} {page}"
    );
    assert_eq!(collect(&world, &id).await["status"], "open");
    let (status, page) = browser.press("deny").await;
    assert!(
        status == 200 && page.contains("The person said no. Nothing was done."),
        "{page}"
    );
    assert_eq!(collect(&world, &id).await["status"], "declined");
    let (_, page) = browser.press("approve").await;
    assert!(page.contains("already answered the other way"), "{page}");

    let (id, url) = ask_elsewhere(&world).await;
    world.advance(301);
    let (browser, status, page) = Browser::open(&world, &url).await;
    assert!(
        status == 200 && page.contains("not answered in time") && !page.contains("<button"),
        "{page}"
    );
    let (status, page) = browser.press("approve").await;
    assert!(
        status == 200 && page.contains("not answered in time"),
        "{page}"
    );
    let lapsed = collect(&world, &id).await;
    assert_eq!(lapsed["status"], "expired");
    assert!(lapsed.get("approval_url").is_none(), "{lapsed}");
    nothing_done(&world).await;
}

#[tokio::test]
async fn the_page_shows_the_new_question_when_the_old_one_is_no_longer_true() {
    let world = with_sugar(Setting::default()).await;
    let (id, url) = ask_elsewhere(&world).await;
    let (browser, _, _) = Browser::open(&world, &url).await;
    world.set_price("Sugar", 170).await;
    let answer = world
        .http
        .post(&browser.url)
        .header("content-type", "application/x-www-form-urlencoded")
        .body("decision=approve");
    let answer = answer.send().await.expect("an answer");
    assert_eq!(answer.status(), 303);
    let place = answer.headers()["location"]
        .to_str()
        .expect("a place")
        .to_owned();
    nothing_done(&world).await;
    let superseded = collect(&world, &id).await;
    assert_eq!(superseded["status"], "superseded");
    let next = superseded["replaced_by"].as_str().unwrap_or_default();
    assert_eq!(place, format!("/approvals/{next}"));
    let (browser, _, page) =
        Browser::open(&world, &url.replace(id.as_str().unwrap_or_default(), next)).await;
    assert!(page.contains("2 kg Sugar @ 170 = 340"), "{page}");
    browser.press("approve").await;
    assert_eq!(world.number("select total from shop.bills").await, 590);
}

#[tokio::test]
async fn the_page_is_closed_to_other_sites_and_other_people() {
    let world = with_sugar(Setting::default()).await;
    let (id, url) = ask_elsewhere(&world).await;
    let (browser, _, _) = Browser::open(&world, &url).await;
    for (origin, site) in [
        ("https://evil.example", "cross-site"),
        ("https://evil.example", "none"),
        ("null", "cross-site"),
        ("http://localhost:3000", "same-site"),
        ("http://127.0.0.1:3000", "cross-site"),
    ] {
        let (status, _) = browser.post("approve", origin, site).await;
        assert_eq!(status, 403, "{origin} {site}");
    }
    let rebound = world
        .http
        .post(&url)
        .header("host", "rebound.example")
        .header("content-type", "application/x-www-form-urlencoded")
        .body("decision=approve");
    assert_eq!(rebound.send().await.expect("an answer").status(), 403);
    assert_eq!(collect(&world, &id).await["status"], "open");
    nothing_done(&world).await;
    // A customer does not see what the owner was asked; another tenant does not even learn that it exists.
    let unknown = url.replace(
        id.as_str().unwrap_or_default(),
        "00000000-0000-7000-8000-00000000ffff",
    );
    let (_, status, page) = Browser::open(&world, &unknown).await;
    assert_eq!(status, 404);
    let mut stranger = world.claims();
    (stranger.sub, stranger.role) = ("eve".to_owned(), PrincipalRole::Customer);
    stranger.customer = Some(Uuid::nil());
    let seen = world
        .http
        .get(&url)
        .bearer_auth(world.signed(&stranger))
        .send()
        .await
        .expect("an answer");
    assert_eq!(seen.status(), 404);
    assert_eq!(
        seen.text().await.expect("a page"),
        page,
        "the same answer as for what is not there"
    );
    let pressed = world
        .http
        .post(&url)
        .bearer_auth(world.signed(&stranger))
        .header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(
        pressed
            .body("decision=approve")
            .send()
            .await
            .expect("an answer")
            .status(),
        404
    );
    nothing_done(&world).await;
}

#[tokio::test]
async fn a_shop_may_refuse_clients_that_cannot_ask() {
    let world = with_sugar(setting(vec![
        "update shop.tenants set unasked_clients = 'refuse'",
    ]))
    .await;
    let failure = refused(&world.mcp(OLDER).call(TOOL, &bill()).await);
    assert_eq!(failure["code"], "confirmation_refused");
    assert_eq!(
        world
            .number("select count(*) from shop.confirmations")
            .await,
        0,
        "not even a question"
    );
    nothing_done(&world).await;
    let client = world.asking_client();
    done(&retry(&client, &asked(&client.call(TOOL, &bill()).await), yes()).await);
    one_bill(&world).await;
}

#[tokio::test]
async fn a_shop_may_take_its_clients_word_and_says_so_in_the_audit() {
    let world = with_sugar(setting(vec![
        "update shop.tenants set unasked_clients = 'token'",
    ]))
    .await;
    let client = world.mcp(OLDER);
    let required = done(&client.call(TOOL, &bill()).await);
    let id = required["confirmation_id"].clone();
    let token = required["token"].as_str().expect("a token");
    assert_eq!(
        done(
            &client
                .call("confirm_action", &json!({"confirmation_id": id}))
                .await
        )["status"],
        "open",
        "asking approves nothing"
    );
    let wrong = client
        .call(
            "confirm_action",
            &json!({"confirmation_id": id, "token": format!("{token}x")}),
        )
        .await;
    assert_eq!(refused(&wrong)["code"], "unknown_confirmation");
    let other = done(&client.call(TOOL, &bill()).await);
    let crossed = client
        .call(
            "confirm_action",
            &json!({"confirmation_id": other["confirmation_id"], "token": token}),
        )
        .await;
    assert_eq!(
        refused(&crossed)["code"],
        "unknown_confirmation",
        "a token of another question"
    );
    nothing_done(&world).await;
    for _ in 0..2 {
        let outcome = done(
            &client
                .call(
                    "confirm_action",
                    &json!({"confirmation_id": id, "token": token}),
                )
                .await,
        );
        assert_eq!(
            (&outcome["status"], &outcome["result"]["number"]),
            (&json!("done"), &json!("INV-1"))
        );
    }
    one_bill(&world).await;
    assert_eq!(
        world
            .text("select decided_via from shop.audit_log where tool = 'billing_create_bill'")
            .await,
        "client_asserted"
    );
}

#[tokio::test]
async fn the_question_speaks_the_language_of_the_request() {
    let world = with_sugar(Setting::default()).await;
    let params = json!({"name": TOOL, "arguments": bill(), "_meta": {"countersign/locale": "es"}});
    let asked = world
        .asking_client()
        .request("tools/call", params)
        .await
        .result();
    let message = asked["inputRequests"]["confirm"]["params"]["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(
        message.starts_with('¿') && message.contains("RWF 570"),
        "{message}"
    );
}

// An older client on standard input and output: its own dialog.

/// `mcp-server --stdio` as a desktop client starts it, spoken to in lines of JSON.
pub(crate) struct Desktop {
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Desktop {
    pub(crate) async fn start(world: &World) -> Desktop {
        let mut child = Command::new(env!("CARGO_BIN_EXE_e2e-mcp-cli"))
            .arg("--stdio")
            .env_clear()
            .envs(world.variables(Role::Shop))
            .current_dir(std::env::temp_dir())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        let (input, output) = (
            child.stdin.take().expect("input"),
            child.stdout.take().expect("output"),
        );
        Desktop {
            _child: child,
            input,
            output: BufReader::new(output).lines(),
        }
    }

    pub(crate) async fn initialized(world: &World, capabilities: Value) -> Desktop {
        let mut desktop = Desktop::start(world).await;
        let params = json!({"protocolVersion": OLDER, "capabilities": capabilities, "clientInfo": {"name": "desktop", "version": "1"}});
        desktop
            .send(&json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}))
            .await;
        assert_eq!(desktop.read().await["result"]["protocolVersion"], OLDER);
        desktop
            .send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
            .await;
        desktop
    }

    pub(crate) async fn send(&mut self, message: &Value) {
        self.input
            .write_all(format!("{message}\n").as_bytes())
            .await
            .expect("it listens");
        self.input.flush().await.expect("it listens");
    }

    pub(crate) async fn read(&mut self) -> Value {
        let line = tokio::time::timeout(PATIENCE, self.output.next_line())
            .await
            .expect("in time")
            .expect("a line")
            .expect("more");
        serde_json::from_str(&line)
            .unwrap_or_else(|e| panic!("standard output belongs to the protocol: {e}: {line}"))
    }

    /// Calls a tool; the person answers every dialog with `says`. The result, and the dialogs that were shown.
    async fn call(&mut self, tool: &str, arguments: &Value, says: &Value) -> (Value, Vec<Value>) {
        let params = json!({"name": tool, "arguments": arguments});
        self.send(&json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}))
            .await;
        let mut dialogs = Vec::new();
        loop {
            let message = self.read().await;
            if message["method"] == "elicitation/create" {
                self.send(&json!({"jsonrpc": "2.0", "id": message["id"], "result": says}))
                    .await;
                dialogs.push(message["params"].clone());
            } else if message["id"] == 7 {
                return (message["result"].clone(), dialogs);
            }
        }
    }
}

#[tokio::test]
async fn a_desktop_client_asks_in_its_own_dialog() {
    let world = with_sugar(Setting::default()).await;
    let mut desktop = Desktop::initialized(&world, json!({"elicitation": {}})).await;
    let (result, dialogs) = desktop
        .call(TOOL, &bill(), &json!({"action": "decline"}))
        .await;
    assert_eq!(refused(&result)["code"], "declined");
    assert_eq!(dialogs.len(), 1);
    assert_eq!(dialogs[0]["message"], QUESTION);
    assert_eq!(
        dialogs[0]["_meta"]["countersign/confirmation"]["total"]["amount_minor"],
        570
    );
    let (result, _) = desktop
        .call(
            TOOL,
            &bill(),
            &json!({"action": "accept", "content": {"confirm": false}}),
        )
        .await;
    assert_eq!(refused(&result)["code"], "declined");
    nothing_done(&world).await;

    // A dialog that was closed leaves the question to the page.
    let (result, _) = desktop
        .call(TOOL, &bill(), &json!({"action": "cancel"}))
        .await;
    assert_eq!(done(&result)["status"], "confirmation_required");
    nothing_done(&world).await;

    let (result, dialogs) = desktop
        .call(
            TOOL,
            &bill(),
            &json!({"action": "accept", "content": {"confirm": true}}),
        )
        .await;
    assert_eq!(
        (done(&result)["number"].clone(), dialogs.len()),
        (json!("INV-1"), 1)
    );
    one_bill(&world).await;
    assert_eq!(
        world
            .text("select decided_via from shop.audit_log where tool = 'billing_create_bill'")
            .await,
        "elicitation"
    );
}

#[tokio::test]
async fn a_desktop_client_that_cannot_ask_gets_the_page() {
    let world = with_sugar(Setting::default()).await;
    let mut desktop = Desktop::initialized(&world, json!({})).await;
    let (result, dialogs) = desktop
        .call(
            TOOL,
            &bill(),
            &json!({"action": "accept", "content": {"confirm": true}}),
        )
        .await;
    assert_eq!(
        (done(&result)["status"].clone(), dialogs.len()),
        (json!("confirmation_required"), 0)
    );
    nothing_done(&world).await;
}

#[tokio::test]
async fn a_modern_desktop_client_is_asked_in_the_result() {
    let world = with_sugar(Setting::default()).await;
    let mut desktop = Desktop::start(&world).await;
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
        "io.modelcontextprotocol/clientInfo": {"name": "desktop", "version": "1"}});
    let mut params = json!({"name": TOOL, "arguments": bill(), "_meta": meta});
    desktop
        .send(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}))
        .await;
    let first = desktop.read().await["result"].clone();
    params["requestState"] = json!(asked(&first));
    params["inputResponses"] = yes();
    desktop
        .send(&json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}))
        .await;
    assert_eq!(done(&desktop.read().await["result"])["number"], "INV-1");
    one_bill(&world).await;
}
