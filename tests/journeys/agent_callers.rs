//! Who may talk to the agent, and for whom it acts: credentials and log-ins, customers among themselves, questions that somebody else
//! has to answer.

use std::collections::HashMap;

use contracts::http::approval::{ApprovalPage, ApprovalResponse, ApprovalStatus, ListedApproval};
use contracts::http::chat::{ChatResponse, ChatStatus};
use contracts::http::problem::Problem;
use contracts::http::run::{RunStatus, RunView};
use contracts::ids::TenantId;
use contracts::scope::Reach;
use contracts::token::PrincipalRole;
use e2e::world::mcp::done;
use e2e::world::{Setting, World, until};
use mcp_server::identity::keys::{self, NewKey};
use migrations::clock::new_id;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

/// Somebody with a key.
struct Person<'w> {
    world: &'w World,
    key: String,
}

/// The demo shop where nobody is anybody without showing it, to either program.
async fn closed_shop() -> World {
    World::open_with(Setting {
        variables: HashMap::from([
            ("MCP_LOCAL_MODE", "off".to_owned()),
            ("AGENT_LOCAL_MODE", "off".to_owned()),
            (
                "AGENT_TOKEN_KEY",
                "a key that both programs are given!!".to_owned(),
            ),
        ]),
        ..Setting::default()
    })
    .await
}

async fn person<'w>(world: &'w World, name: &str, role: PrincipalRole) -> Person<'w> {
    with_key(world, name, role, None, &["all:commit", "admin"]).await
}

async fn with_key<'w>(
    world: &'w World,
    name: &str,
    role: PrincipalRole,
    customer: Option<Uuid>,
    scopes: &[&str],
) -> Person<'w> {
    let app = &world.shop.app;
    let now = app.clock.now();
    let new = NewKey {
        name: name.to_owned(),
        role,
        customer,
        reach: Reach::of_scopes(scopes.iter().copied()).expect("scopes"),
        expires_at: Some(now + chrono::TimeDelta::hours(1)),
        created_by: "owner".to_owned(),
    };
    let mut tx = app.begin(TenantId::DEMO).await.expect("a transaction");
    let made = keys::create(&mut tx, TenantId::DEMO, new, new_id(&*app.clock), now).await;
    let (_, key) = made.expect("a key");
    tx.commit().await.expect("a commit");
    Person { world, key }
}

impl Person<'_> {
    async fn post(&self, path: &str, body: &Value) -> Response {
        let url = format!("{}{path}", self.world.agent.url());
        let request = self.world.http.post(url).bearer_auth(&self.key).json(body);
        request.send().await.expect("an answer")
    }

    async fn get(&self, path: &str) -> Response {
        let url = format!("{}{path}", self.world.agent.url());
        let request = self.world.http.get(url).bearer_auth(&self.key);
        request.send().await.expect("an answer")
    }

    async fn says(&self, session: &str, message: &str) -> ChatResponse {
        let body = json!({"session_id": session, "message": message});
        let response = self.post("/agent/chat", &body).await;
        let status = response.status();
        let text = response.text().await.expect("a body");
        assert_eq!(status, StatusCode::OK, "{message}: {text}");
        serde_json::from_str(&text).expect("a chat response")
    }

    async fn approvals(&self) -> Vec<ListedApproval> {
        let page: ApprovalPage = self
            .get("/agent/approvals")
            .await
            .json()
            .await
            .expect("a page");
        page.approvals
    }

    async fn run(&self, id: Uuid) -> RunView {
        let response = self.get(&format!("/agent/runs/{id}")).await;
        response.json().await.expect("a run")
    }
}

async fn problem(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    (status, response.json().await.expect("a problem"))
}

/// What the audit says of the refunds: who asked, who said yes, how.
async fn refunds(world: &World) -> String {
    world
        .text("select coalesce(string_agg(concat_ws(' ', requested_by, decided_by, decided_via), ', ' order by at), '') from shop.audit_log where tool = 'refund_payment'")
        .await
}

/// A bill that was paid, and the question of whoever wants its money back.
async fn wants_a_refund(staff: &Person<'_>, session: &str) -> ChatResponse {
    let asked = staff
        .says(session, "Create a bill for Ali: 1 shampoo, paid cash")
        .await;
    assert_eq!(
        asked.status,
        ChatStatus::PendingConfirmation,
        "{}",
        asked.response
    );
    let billed = staff.says(session, "yes").await;
    assert_eq!(billed.status, ChatStatus::Success, "{}", billed.response);
    let refund = staff.says(session, "Refund the last bill in cash").await;
    assert_eq!(
        refund.status,
        ChatStatus::PendingConfirmation,
        "{}",
        refund.response
    );
    refund
}

#[tokio::test]
async fn nobody_comes_in_without_showing_who_it_is() {
    let world = closed_shop().await;
    let agent = |path: &str| format!("{}{path}", world.agent.url());
    let before = world.content("agent").await;
    for open in ["/healthz", "/api/healthz", "/login", "/static/chat.css"] {
        let answer = world.http.get(agent(open)).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK, "{open}");
    }
    let page = world.get("/").await;
    assert_eq!(page.status(), StatusCode::SEE_OTHER);
    assert_eq!(page.headers()["location"], "/login");
    // A browser that comes from elsewhere keeps the cookie back: the page asks for itself once more.
    let from_elsewhere = world
        .http
        .get(agent("/"))
        .header("sec-fetch-site", "cross-site")
        .header("sec-fetch-mode", "navigate");
    let again = from_elsewhere.send().await.expect("an answer");
    assert_eq!(again.status(), StatusCode::OK);
    assert!(
        again
            .text()
            .await
            .expect("a page")
            .contains("http-equiv=\"refresh\"")
    );

    let message = json!({"session_id": "s", "message": "What do we have in stock?"});
    for (path, body) in [
        ("/agent/chat", Some(&message)),
        ("/api/agent/chat", Some(&message)),
        ("/agent/chat/stream?message=hi", None),
        ("/agent/chat/s/stream", None),
        ("/agent/approvals", None),
        ("/agent/runs/00000000-0000-0000-0000-000000000000", None),
        ("/nowhere", None),
    ] {
        for (credential, challenge) in [
            (None, "Bearer"),
            (Some("csk_made-up"), "Bearer error=\"invalid_token\""),
        ] {
            let mut request = match body {
                Some(body) => world.http.post(agent(path)).json(body),
                None => world.http.get(agent(path)),
            };
            if let Some(credential) = credential {
                request = request.bearer_auth(credential);
            }
            let answer = request.send().await.expect("an answer");
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
            assert_eq!(answer.headers()["www-authenticate"], challenge, "{path}");
            let told: Problem = answer.json().await.expect("a problem");
            assert_eq!(json!(told.code), "unauthenticated");
        }
    }
    assert_eq!(world.content("agent").await, before, "nothing was stored");
}

#[tokio::test]
async fn a_key_lets_in_until_it_is_revoked_or_has_ended_or_cannot_be_asked_about() {
    let world = closed_shop().await;
    let till = person(&world, "till", PrincipalRole::Staff).await;
    let night = person(&world, "night", PrincipalRole::Staff).await;
    let answer = till.says("s", "Do we have shampoo?").await;
    assert!(answer.response.contains("12"), "{}", answer.response);
    assert_eq!(night.get("/agent/approvals").await.status(), StatusCode::OK);

    let app = &world.shop.app;
    let mut tx = app.begin(TenantId::DEMO).await.expect("a transaction");
    let revoked = keys::revoke(&mut tx, TenantId::DEMO, "till", app.clock.now()).await;
    assert!(revoked.expect("revoked").is_some());
    tx.commit().await.expect("a commit");
    app.identities.forget(TenantId::DEMO);
    until("the revoked key is refused", async || {
        till.get("/agent/approvals").await.status() == StatusCode::UNAUTHORIZED
    })
    .await;

    world.advance(2 * 3600);
    let ended = night.get("/agent/approvals").await;
    assert_eq!(ended.status(), StatusCode::UNAUTHORIZED, "it has ended");

    let World {
        shop, agent, http, ..
    } = world;
    let url = agent.url();
    shop.stop().await;
    let lost = http
        .get(format!("{url}/agent/approvals"))
        .bearer_auth("csk_whoever")
        .send()
        .await
        .expect("an answer");
    let (status, told) = problem(lost).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        told["detail"],
        "Unable to reach the system. Please try again."
    );
}

#[tokio::test]
async fn a_customer_has_conversations_of_her_own_and_staff_may_see_them() {
    let world = closed_shop().await;
    let ids: Vec<Uuid> = sqlx::query_scalar("select id from shop.customers order by id limit 2")
        .fetch_all(&world.db)
        .await
        .expect("customers");
    let scopes = ["all:commit"];
    let role = PrincipalRole::Customer;
    let one = with_key(&world, "one", role, ids.first().copied(), &scopes).await;
    let two = with_key(&world, "two", role, ids.get(1).copied(), &scopes).await;
    let staff = person(&world, "till", PrincipalRole::Staff).await;
    let said = one.says("mine", "What is waiting?").await;
    assert_ne!(
        said.response, "Nothing waits for an answer.",
        "that is for staff"
    );

    let body = json!({"session_id": "mine", "message": "hello"});
    let (status, _) = problem(two.post("/agent/chat", &body).await).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    for path in [
        "/agent/chat/mine/stream".to_owned(),
        format!("/agent/runs/{}", said.run_id),
    ] {
        let (status, _) = problem(two.get(&path).await).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(staff.run(said.run_id).await.session_id, "mine");
    // She acts as the customer she is, with her reach, in the token of every call and after a restart.
    let stored = world
        .text("select concat_ws(' ', principal, principal_role, principal_customer, principal_scopes::text) from agent.runs order by created_at limit 1")
        .await;
    let all = Reach::of_scopes(["all:commit"])
        .expect("scopes")
        .scopes()
        .join(",");
    let first = ids.first().expect("a customer");
    assert_eq!(stored, format!("key:one customer {first} {{{all}}}"));
}

#[tokio::test]
async fn the_tools_are_those_of_role_and_reach() {
    let world = closed_shop().await;
    let owner = PrincipalRole::Owner;
    let reader = with_key(&world, "reader", owner, None, &["inventory:read"]).await;
    let writer = with_key(&world, "writer", owner, None, &["inventory:write"]).await;
    // One after the other, through the same cache of lists.
    let wish = "Add 20kg sugar at 160 per kg to grocery";
    reader.says("r", wish).await;
    assert_eq!(
        world
            .number("select count(*) from shop.items where name = 'Sugar'")
            .await,
        0
    );
    let done = writer.says("w", wish).await;
    assert_eq!(done.status, ChatStatus::Success, "{}", done.response);
    assert_eq!(
        world
            .number("select count(*) from shop.items where name = 'Sugar'")
            .await,
        1
    );
    assert!(
        reader
            .says("r", "How much sugar is left?")
            .await
            .response
            .contains("20")
    );
    let bill = writer.says("w", "Create a bill for Ali: 1 shampoo").await;
    assert_ne!(
        bill.status,
        ChatStatus::PendingConfirmation,
        "{}",
        bill.response
    );
    assert_eq!(
        world
            .number("select count(*) from shop.confirmations")
            .await,
        0
    );
}

#[tokio::test]
async fn a_refund_that_staff_want_waits_for_the_owner_who_answers_by_rest() {
    let world = closed_shop().await;
    let staff = person(&world, "till", PrincipalRole::Staff).await;
    let owner = person(&world, "olga", PrincipalRole::Owner).await;
    let other = person(&world, "second-till", PrincipalRole::Staff).await;
    let asked = wants_a_refund(&staff, "counter").await;
    let approval = asked.confirmations.first().expect("a question").approval_id;

    // Those who may not answer are told so, and nothing happens.
    let told = staff.says("counter", "yes").await;
    assert_eq!(told.response, "This has to be approved by the owner.");
    let path = format!("/agent/approvals/{approval}");
    for may_not in [&staff, &other] {
        let (status, told) =
            problem(may_not.post(&path, &json!({"decision": "approve"})).await).await;
        assert_eq!(
            (status, &told["code"]),
            (StatusCode::FORBIDDEN, &json!("forbidden"))
        );
    }
    assert_eq!(refunds(&world).await, "");
    let listed = owner.approvals().await;
    let mine: Vec<&ListedApproval> = listed.iter().filter(|a| a.may_answer).collect();
    assert_eq!(mine.len(), 1);
    assert_eq!(mine[0].approval.approval_id, approval);
    assert_eq!(
        (mine[0].asked_by.as_str(), mine[0].approver.word()),
        ("key:till", "owner")
    );
    assert!(staff.approvals().await.iter().all(|a| !a.may_answer));

    let answered = owner
        .post(&path, &json!({"decision": "approve", "reason": "spoilt"}))
        .await;
    assert_eq!(answered.status(), StatusCode::OK);
    let answered: ApprovalResponse = answered.json().await.expect("a response");
    assert_eq!(answered.decided_by, "key:olga");
    assert_eq!(
        answered.outcome.session_id, "counter",
        "in the asker's conversation"
    );
    assert_eq!(refunds(&world).await, "key:till key:olga agent");
    assert_eq!(staff.run(asked.run_id).await.status, RunStatus::Done);
}

#[expect(clippy::too_many_lines, reason = "one story")]
#[tokio::test]
async fn the_owner_answers_in_her_own_chat_what_was_shown_to_her_there() {
    let world = closed_shop().await;
    let staff = person(&world, "till", PrincipalRole::Staff).await;
    let owner = person(&world, "olga", PrincipalRole::Owner).await;
    assert_eq!(
        owner.says("o", "What is waiting?").await.response,
        "Nothing waits for an answer."
    );
    let first = wants_a_refund(&staff, "one").await;
    let sentence = &first.confirmations.first().expect("a question").message;

    // Staff see it, and may not.
    let seen = staff.says("elsewhere", "what is waiting?").await.response;
    assert!(
        seen.contains(sentence) && seen.contains("approved by the owner"),
        "{seen}"
    );
    assert_eq!(
        staff
            .says("elsewhere", "approve")
            .await
            .response
            .lines()
            .next(),
        Some("This has to be approved by the owner.")
    );
    // What she has not been shown, she is shown first; a yes means it while nothing is said in between.
    let shown = owner.says("o", "Approve the refund of bill 1").await;
    assert!(
        shown.response.contains("Do you mean") && shown.response.contains(sentence),
        "{}",
        shown.response
    );
    assert_eq!(shown.status, ChatStatus::Success);
    owner.says("o", "How many soaps do we have?").await;
    owner.says("o", "yes").await;
    assert_eq!(
        refunds(&world).await,
        "",
        "the yes was about something else"
    );
    let done = owner.says("o", "¿Qué hay por aprobar?").await;
    assert!(
        done.response.contains("key:till pregunta"),
        "{}",
        done.response
    );
    let done = owner.says("o", "yes").await;
    assert!(
        done.response.contains("Refunded") || done.response.contains("Devuelto"),
        "{}",
        done.response
    );
    assert_eq!(refunds(&world).await, "key:till key:olga agent");
    let run = staff.run(first.run_id).await;
    assert_eq!(run.status, RunStatus::Done);
    assert_eq!(
        run.approvals
            .last()
            .expect("an approval")
            .decided_via
            .as_deref(),
        Some("chat")
    );
    // The same yes again does nothing again.
    owner.says("o", "approve 1").await;
    assert_eq!(refunds(&world).await, "key:till key:olga agent");

    // Two at once: by number, each the one that was shown.
    let second = wants_a_refund(&staff, "two").await;
    let third = wants_a_refund(&staff, "three").await;
    let list = owner
        .says("o", "what's waiting for my approval?")
        .await
        .response;
    assert!(list.contains("\n1. ") && list.contains("\n2. "), "{list}");
    let rejected = owner.says("o", "Reject the first one").await.response;
    assert!(rejected.starts_with("Rejected for key:till."), "{rejected}");
    let approved = owner.says("o", "approve 2").await.response;
    assert!(approved.starts_with("Approved for key:till."), "{approved}");
    let status = async |run: Uuid| staff.run(run).await.approvals.last().map(|a| a.status);
    assert_eq!(status(second.run_id).await, Some(ApprovalStatus::Denied));
    assert_eq!(status(third.run_id).await, Some(ApprovalStatus::Done));
    assert_eq!(
        refunds(&world).await,
        "key:till key:olga agent, key:till key:olga agent"
    );
    // The model has no part in it: none of it is in its window.
    let window = world
        .text("select conversation_history::text from agent.agent_sessions where session_id = 'o'")
        .await;
    assert!(!window.contains("waiting for my approval"), "{window}");
}

#[tokio::test]
async fn an_answer_on_the_servers_page_goes_on_in_the_askers_conversation() {
    let world = closed_shop().await;
    let staff = person(&world, "till", PrincipalRole::Staff).await;
    let owner = person(&world, "olga", PrincipalRole::Owner).await;
    let answer = async |question: Uuid, who: &Person<'_>, decision: &str| {
        let server = world.shop.mcp_url();
        let page = format!("{}/approvals/{question}", server.trim_end_matches("/mcp"));
        let form = world.http.post(page).bearer_auth(&who.key);
        let form = form
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("decision={decision}"));
        form.send()
            .await
            .expect("a page")
            .text()
            .await
            .expect("text")
    };
    for (session, decision, status) in [
        ("one", "approve", ApprovalStatus::Done),
        ("two", "deny", ApprovalStatus::Denied),
    ] {
        let asked = wants_a_refund(&staff, session).await;
        let question: Uuid = sqlx::query_scalar(
            "select id from shop.confirmations where tool = 'refund_payment' and status = 'open'",
        )
        .fetch_one(&world.db)
        .await
        .expect("a question");
        let before = refunds(&world).await;
        answer(question, &staff, decision).await;
        assert_eq!(refunds(&world).await, before, "staff may not");
        answer(question, &owner, decision).await;
        until("the run goes on", async || {
            staff.run(asked.run_id).await.status == RunStatus::Done
        })
        .await;
        let run = staff.run(asked.run_id).await;
        let approval = run.approvals.last().expect("an approval");
        assert_eq!(approval.status, status);
        assert_eq!(approval.decided_by.as_deref(), Some("key:olga"));
        assert_eq!(approval.decided_via.as_deref(), Some("page"));
        let told = world
            .text("select text from agent.agent_messages where role = 'assistant' order by created_at desc, id desc limit 1")
            .await;
        assert!(!told.is_empty());
        // Whoever answers here later is told what stands.
        let path = format!("/agent/approvals/{}", approval.approval_id);
        let other = if decision == "approve" {
            "deny"
        } else {
            "approve"
        };
        let (status, _) = problem(owner.post(&path, &json!({"decision": other})).await).await;
        assert_eq!(status, StatusCode::CONFLICT);
        let same = owner.post(&path, &json!({"decision": decision})).await;
        assert_eq!(same.status(), StatusCode::OK);
    }
    assert_eq!(
        refunds(&world).await,
        "key:till key:olga page",
        "one effect"
    );
}

/// The cookie an answer sets, whole.
fn set_cookie(answer: &Response) -> String {
    let value = answer.headers().get("set-cookie");
    value.map_or(String::new(), |v| v.to_str().expect("text").to_owned())
}

/// The part of it that a browser sends back.
fn pair(cookie: &str) -> String {
    cookie.split(';').next().unwrap_or_default().to_owned()
}

#[expect(clippy::too_many_lines, reason = "one story")]
#[tokio::test]
async fn a_person_logs_in_by_the_page_or_by_json_and_out_again() {
    let world = World::open_with(Setting {
        variables: HashMap::from([
            ("MCP_LOCAL_MODE", "off".to_owned()),
            ("AGENT_LOCAL_MODE", "off".to_owned()),
            ("AGENT_PUBLIC_URL", "https://chat.example".to_owned()),
        ]),
        ..Setting::default()
    })
    .await;
    let owner = person(&world, "olga", PrincipalRole::Owner).await;
    let server = world.shop.mcp_url();
    let people = format!("{}/admin/v1/people", server.trim_end_matches("/mcp"));
    let ana = json!({"subject": "ana", "name": "Ana María", "role": "staff", "password": "a long enough password"});
    let added = world.http.post(&people).bearer_auth(&owner.key).json(&ana);
    let added = added.send().await.expect("an answer");
    assert!(
        added.status().is_success(),
        "{}",
        added.text().await.expect("a body")
    );

    let agent = |path: &str| format!("{}{path}", world.agent.url());
    let form = async |name: &str, password: &str| {
        let body = format!(
            "shop=demo&name={name}&password={}",
            password.replace(' ', "+")
        );
        let request = world.http.post(agent("/login")).body(body);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        request.send().await.expect("an answer")
    };
    let with = async |path: &str, cookie: &str| {
        let request = world.http.get(agent(path)).header("cookie", cookie);
        request.send().await.expect("an answer")
    };
    // A wrong password and a person nobody knows get the same answer, and no cookie.
    let mut told = Vec::new();
    for (name, password) in [
        ("ana", "a wrong password"),
        ("nobody", "a long enough password"),
    ] {
        let refused = form(name, password).await;
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(set_cookie(&refused), "");
        told.push(refused.text().await.expect("a page").replace(name, "NAME"));
    }
    assert_eq!(told[0], told[1]);
    assert!(told[0].contains("do not fit together"), "{}", told[0]);

    let opened = form("Ana", "a long enough password").await;
    assert_eq!(opened.status(), StatusCode::SEE_OTHER);
    assert_eq!(opened.headers()["location"], "/");
    let cookie = set_cookie(&opened);
    for part in [
        "countersign_session=css_",
        "; Path=/",
        "; HttpOnly",
        "; SameSite=Strict",
        "; Secure",
        "; Max-Age=",
    ] {
        assert!(cookie.contains(part), "{part}: {cookie}");
    }
    let cookie = pair(&cookie);
    let page = with("/", &cookie).await;
    assert_eq!(page.status(), StatusCode::OK);
    let page = page.text().await.expect("a page");
    assert!(
        page.contains("Ana María") && page.contains("action=\"/logout\""),
        "{page}"
    );
    assert_eq!(
        with("/login", &cookie).await.headers()["location"],
        "/",
        "logged in already"
    );
    assert_eq!(
        with("/agent/approvals", &cookie).await.status(),
        StatusCode::OK
    );
    let message = json!({"session_id": "s", "message": "Add 20kg sugar at 160 per kg to grocery"});
    let from = async |host: &str, origin: &str| {
        let request = world
            .http
            .post(agent("/agent/chat"))
            .header("cookie", &cookie);
        let request = request.header("host", host).header("origin", origin);
        request
            .json(&message)
            .send()
            .await
            .expect("an answer")
            .status()
    };
    assert_eq!(
        from("chat.example", "https://chat.example").await,
        StatusCode::OK
    );
    assert_eq!(
        from("chat.example", "https://evil.example").await,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        from("evil.example", "https://evil.example").await,
        StatusCode::FORBIDDEN
    );
    let who = "select requested_by from shop.audit_log where tool = 'inventory_add_item' and subject like '%ugar%' or requested_by = 'ana' limit 1";
    assert_eq!(world.text(who).await, "ana");

    let login = json!({"shop": "demo", "name": "ana", "password": "a long enough password"});
    let by_json = world.post("/login", &login).await;
    assert_eq!(by_json.status(), StatusCode::OK);
    let second = pair(&set_cookie(&by_json));
    let logged_in: Value = by_json.json().await.expect("a body");
    assert_eq!(logged_in, json!({"name": "Ana María", "role": "staff"}));
    let (status, told) = problem(
        world
            .post(
                "/login",
                &json!({"shop": "demo", "name": "ana", "password": "x"}),
            )
            .await,
    )
    .await;
    assert_eq!(
        (status, &told["code"]),
        (StatusCode::UNAUTHORIZED, &json!("unauthenticated"))
    );

    let left = world.http.post(agent("/logout")).header("cookie", &cookie);
    let left = left.send().await.expect("an answer");
    assert_eq!(left.headers()["location"], "/login");
    assert!(set_cookie(&left).contains("Max-Age=0"));
    assert_eq!(
        with("/agent/approvals", &cookie).await.status(),
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        with("/agent/approvals", &second).await.status(),
        StatusCode::OK,
        "another log-in goes on"
    );

    let gone = world
        .http
        .patch(format!("{people}/ana"))
        .bearer_auth(&owner.key);
    let gone = gone
        .json(&json!({"disabled": true}))
        .send()
        .await
        .expect("an answer");
    assert!(
        gone.status().is_success(),
        "{}",
        gone.text().await.expect("a body")
    );
    until("who is disabled is not let in any more", async || {
        with("/agent/approvals", &second).await.status() == StatusCode::UNAUTHORIZED
    })
    .await;
    assert_eq!(
        form("ana", "a long enough password").await.status(),
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn operators_see_how_much_and_nobody_in_it() {
    let world = World::open().await;
    world
        .say("a-session-of-ali", "Create a bill for Ali: 1 shampoo")
        .await;
    world.say("a-session-of-ali", "yes").await;
    let ready = world.get("/readyz").await;
    assert_eq!(ready.status(), StatusCode::OK);
    let ready: Value = ready.json().await.expect("a body");
    assert_eq!(
        ready,
        json!({"service": "countersign-agent", "status": "ready"})
    );
    let counted = world.get("/metrics").await;
    assert_eq!(counted.status(), StatusCode::OK);
    let text = counted.text().await.expect("a text");
    for name in [
        "countersign_agent_runs_total{status=\"done\"}",
        "countersign_agent_model_calls_total{outcome=\"answered\"}",
        "countersign_agent_approvals_total{status=\"approved\"}",
        "countersign_agent_approvals_open 0",
        "countersign_agent_http_requests_total{route=\"/agent/chat\",status=\"200\"}",
        "countersign_agent_pool_connections{state=\"idle\"}",
        "countersign_agent_runs{status=\"waiting\"} 0",
    ] {
        assert!(text.contains(name), "{name} is not in\n{text}");
    }
    assert!(
        text.contains("countersign_agent_tool_calls_total")
            && text.contains("tool=\"billing_create_bill\"")
    );
    let tenant = TenantId::DEMO.to_string();
    for name in ["Ali", "a-session-of", "shampoo", tenant.as_str()] {
        assert!(!text.contains(name), "{name} is in\n{text}");
    }
    let url = format!("{}/metrics", world.agent.url());
    let passed_on = world
        .http
        .get(&url)
        .header("x-forwarded-for", "203.0.113.9");
    assert_eq!(
        passed_on.send().await.expect("an answer").status(),
        StatusCode::NOT_FOUND
    );
    let elsewhere = world.http.get(&url).header("host", "rebound.example");
    assert_eq!(
        elsewhere.send().await.expect("an answer").status(),
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn a_customer_sees_and_books_what_is_hers_and_nothing_else() {
    let world = closed_shop().await;
    let staff = person(&world, "till", PrincipalRole::Staff).await;
    let owner = person(&world, "olga", PrincipalRole::Owner).await;
    for name in ["Ali", "Zawadi"] {
        staff
            .says("counter", &format!("Create a bill for {name}: 1 shampoo"))
            .await;
        let billed = staff.says("counter", "yes").await;
        assert_eq!(billed.status, ChatStatus::Success, "{}", billed.response);
    }
    let id = async |name: &'static str| -> Option<Uuid> {
        let found = sqlx::query_scalar("select id from shop.customers where name = $1").bind(name);
        found.fetch_one(&world.db).await.expect("a customer")
    };
    let (role, scopes) = (PrincipalRole::Customer, ["all:commit"]);
    let ali = with_key(&world, "ali", role, id("Ali").await, &scopes).await;
    let zawadi = with_key(&world, "zawadi", role, id("Zawadi").await, &scopes).await;

    let bills = ali.says("a", "Show bills").await.response;
    assert!(
        bills.contains("INV-1") && !bills.contains("INV-2"),
        "{bills}"
    );
    let hers = zawadi.says("z", "Show bill INV-2").await.response;
    assert!(hers.contains("INV-2"), "{hers}");
    // Another's is not there, as one that never was is not.
    let another = zawadi.says("z", "Show bill INV-1").await.response;
    let never = zawadi.says("z", "Show bill INV-9").await.response;
    assert_eq!(another.replace("INV-1", "INV-9"), never);
    assert!(!another.contains("Ali"), "{another}");

    let shop = world.asking_client().bearer(&owner.key);
    let days = [
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
    ];
    for (tool, arguments) in [
        (
            "booking_set_resource",
            json!({"name": "Chair 1", "max_ahead_days": 365}),
        ),
        (
            "booking_set_hours",
            json!({"resource": "Chair 1", "weekdays": days, "opens": "00:00", "closes": "24:00"}),
        ),
    ] {
        done(&shop.call(tool, &arguments).await);
    }
    let asked = zawadi.says("z", "Book Chair 1 tomorrow at 10:00").await;
    assert_eq!(
        asked.status,
        ChatStatus::PendingConfirmation,
        "{}",
        asked.response
    );
    let booked = zawadi.says("z", "yes").await;
    assert_eq!(booked.status, ChatStatus::Success, "{}", booked.response);
    let whose = "select c.name from shop.bookings b join shop.customers c on c.tenant_id = b.tenant_id and c.id = b.customer_id";
    assert_eq!(world.text(whose).await, "Zawadi");
    let seen = zawadi.says("z", "Show my bookings").await.response;
    assert!(seen.contains("Chair 1"), "{seen}");
    let unseen = ali.says("a", "Show my bookings").await.response;
    assert!(!unseen.contains("Chair 1"), "{unseen}");
}
