//! Tool servers that are not ours: asked about by the agent, called once, never believed, and never in the way when they are gone.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::approvals::Wanted;
use agent::principal::Principal;
use contracts::http::approval::{ApprovalPage, ApprovalStatus};
use contracts::http::chat::{ChatResponse, ChatStatus, ToolCallStatus};
use contracts::token::PrincipalRole;
use e2e::world::foreign::{Book, CallsAsTold, Foreign, Manners, Served};
use e2e::world::sse::Stream;
use e2e::world::{Setting, World, until};
use futures::future::join_all;
use migrations::test_database::TestHome;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::PROGRAMS;

const CHARGE: &str = r#"call crm.charge {"customer": "Ali", "cents": 500}"#;
const QUESTION: &str = "Are you sure you want to run “Charge a card” (crm) with cents: 500, customer: \"Ali\"? Reply 'yes' to confirm.";

/// A shop with somebody else's server `crm`, and what that server was told.
struct Scene {
    world: World,
    crm: Option<Served>,
    book: Book,
    _home: TestHome,
}

fn home() -> (TestHome, PathBuf) {
    let home = TestHome::new();
    std::fs::create_dir_all(home.path()).expect("a folder");
    let book = home.path().join("book");
    (home, book)
}

async fn shop(servers: String, more: &[(&'static str, &str)]) -> World {
    let mut variables = HashMap::from([
        ("MCP_EXTRA_SERVERS", servers),
        ("MCP_EXTRA_SERVER_TIMEOUT_SECONDS", "1".to_owned()),
    ]);
    variables.extend(
        more.iter()
            .map(|(name, value)| (*name, (*value).to_owned())),
    );
    World::open_with(Setting {
        variables,
        model: Some(Arc::new(CallsAsTold)),
        ..Setting::default()
    })
    .await
}

impl Scene {
    async fn open(manners: Manners) -> Scene {
        let (home, book) = home();
        let token = manners.token.clone().map(|t| format!("crm={t}"));
        let crm = Foreign::new(Book::at(&book), manners).over_http().await;
        let more = token.map(|t| ("MCP_EXTRA_SERVER_TOKENS", t));
        let more: Vec<_> = more.iter().map(|(name, t)| (*name, t.as_str())).collect();
        Scene {
            world: shop(format!("crm={}", crm.url), &more).await,
            book: crm.book.clone(),
            crm: Some(crm),
            _home: home,
        }
    }

    /// The server as a child of the agent.
    async fn child(flags: &str) -> Scene {
        let (home, book) = home();
        let command = format!(
            "crm=stdio:{} --book {} {flags}",
            PROGRAMS.foreign,
            book.display()
        );
        Scene {
            world: shop(command, &[]).await,
            crm: None,
            book: Book::at(&book),
            _home: home,
        }
    }

    async fn say(&self, message: &str) -> ChatResponse {
        self.world.say("s", message).await
    }

    async fn asked(&self, message: &str) -> ChatResponse {
        let asked = self.say(message).await;
        assert_eq!(asked.status, ChatStatus::PendingConfirmation, "{asked:?}");
        assert_eq!(asked.confirmations.len(), 1, "{asked:?}");
        asked
    }

    /// The status of every approval, oldest first.
    async fn approvals(&self) -> String {
        let all = "select coalesce(string_agg(status || ' ' || asked_by, ', ' order by id), 'none') from agent.approvals";
        self.world.text(all).await
    }
}

fn only_call(told: &ChatResponse) -> (ToolCallStatus, String) {
    let [call] = told.tool_calls.as_slice() else {
        panic!("one call: {told:?}");
    };
    let message = call.result["message"].as_str().unwrap_or_default();
    (call.status, message.to_owned())
}

#[tokio::test]
async fn a_read_asks_nobody_and_gets_none_of_our_secrets() {
    let manners = Manners {
        token: Some("s3cret".to_owned()),
        ..Manners::default()
    };
    let scene = Scene::open(manners).await;
    // Reads of several servers in one answer: side by side, told in their order.
    let told = scene
        .say(r#"call crm.find_contact {"name": "Ali"}; inventory_get_item {"item": "flour"}; crm.find_contact {"name": "Aline"}"#)
        .await;
    assert_eq!(told.status, ChatStatus::Success, "{told:?}");
    let lines: Vec<&str> = told.response.lines().collect();
    assert_eq!(lines.len(), 3, "{told:?}");
    assert_eq!(lines[0], "find_contact done.");
    assert!(lines[1].contains("Flour"), "{told:?}");
    let names: Vec<_> = told.tool_calls.iter().map(|c| &c.name).collect();
    assert_eq!(
        names,
        ["crm.find_contact", "inventory_get_item", "crm.find_contact"]
    );
    assert_eq!(told.tool_calls[2].result["arguments"]["name"], "Aline");
    let entries = scene.book.entries();
    assert!(entries.len() >= 3, "{entries:?}");
    for entry in entries {
        assert_eq!(entry["authorization"], "Bearer s3cret", "{entry}");
        let meta = entry["meta"].to_string();
        for ours in ["idempotency", "countersign/", "owner"] {
            assert!(!meta.contains(ours), "{ours} in {meta}");
        }
    }
}

#[tokio::test]
async fn an_effect_is_asked_about_by_the_agent_and_done_once() {
    let scene = Scene::open(Manners::default()).await;
    let asked = scene.asked(CHARGE).await;
    assert_eq!(asked.response, QUESTION);
    let shown = &asked.confirmations[0];
    assert_eq!(
        (shown.tool.as_str(), shown.message.as_str()),
        ("crm.charge", QUESTION)
    );
    let binding = json!({"server": "crm", "tool": "crm.charge", "arguments": {"customer": "Ali", "cents": 500}});
    assert_eq!(shown.preview["binding"], binding);
    let now = scene.world.agent.app.clock.now();
    let within = (shown.expires_at - now).num_seconds();
    assert!((280..=300).contains(&within), "{within} s");
    assert_eq!(scene.approvals().await, "pending agent");
    assert_eq!(scene.book.count("charge"), 0, "nothing before the yes");

    let told = scene.say("yes").await;
    assert_eq!(
        (told.status, told.response.as_str()),
        (ChatStatus::Success, "Charged.")
    );
    assert_eq!(told.run_id, asked.run_id);
    assert_eq!(scene.approvals().await, "done agent");
    let entries = scene.book.entries();
    let charged: Vec<_> = entries.iter().filter(|e| e["tool"] == "charge").collect();
    assert_eq!(charged.len(), 1);
    assert_eq!(charged[0]["arguments"], binding["arguments"]);

    // The same answer again, by its name, is answered the same and does nothing.
    let path = format!("/agent/approvals/{}", shown.approval_id);
    for _ in 0..2 {
        let again = scene
            .world
            .post(&path, &json!({"decision": "approve"}))
            .await;
        assert_eq!(again.status(), StatusCode::OK);
    }
    let other = scene.world.post(&path, &json!({"decision": "deny"})).await;
    assert_eq!(other.status(), StatusCode::CONFLICT);
    assert_eq!(scene.book.count("charge"), 1);
}

#[tokio::test]
async fn the_question_is_asked_in_the_persons_language() {
    let scene = Scene::open(Manners::default()).await;
    scene.say("¿Cuánta harina queda?").await;
    let asked = scene.asked("call crm.charge {}").await;
    assert_eq!(
        asked.response,
        "¿Seguro que quieres ejecutar “Charge a card” (crm)? Responde 'sí' para confirmar."
    );
    let told = scene.say("sí").await;
    assert_eq!(told.status, ChatStatus::Success, "{told:?}");
    assert_eq!(scene.book.count("charge"), 1);
}

/// Everything an answer can be, by every way it can come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    ChatYes,
    ChatNo,
    RestYes,
    RestNo,
    StreamYes,
    Late,
    LateByRest,
    Change,
    Maybe,
}

#[tokio::test]
async fn every_answer_counts_and_only_a_yes_reaches_the_server() {
    let scenes = [
        (Answer::ChatYes, "done", 1),
        (Answer::RestYes, "done", 1),
        (Answer::StreamYes, "done", 1),
        (Answer::ChatNo, "denied", 0),
        (Answer::RestNo, "denied", 0),
        (Answer::Late, "expired agent, pending", 0),
        (Answer::LateByRest, "expired", 0),
        (Answer::Change, "superseded", 0),
        (Answer::Maybe, "pending", 0),
    ];
    let seen = join_all(scenes.map(|(answer, ..)| async move {
        let scene = Scene::open(Manners::default()).await;
        let asked = scene.asked(CHARGE).await;
        let before = scene.book.entries().len();
        answered(&scene, &asked, answer).await;
        let wanted = scenes.iter().find(|s| s.0 == answer).expect("a scene").1;
        until("answered", || async {
            scene.approvals().await == format!("{wanted} agent")
        })
        .await;
        let ran = scene.book.count("charge");
        (answer, ran, scene.book.entries().len() - before)
    }))
    .await;
    for ((answer, _, runs), (_, ran, said)) in scenes.into_iter().zip(seen) {
        assert_eq!(ran, runs, "{answer:?}");
        assert_eq!(said, runs, "{answer:?}: the server hears of nothing else");
    }
}

async fn answered(scene: &Scene, asked: &ChatResponse, answer: Answer) {
    let id = asked.confirmations[0].approval_id;
    let path = format!("/agent/approvals/{id}");
    let rest = async |decision: &str, status: StatusCode| {
        let body = json!({"decision": decision});
        let response = scene.world.post(&path, &body).await;
        assert_eq!(response.status(), status, "{answer:?}");
    };
    match answer {
        Answer::ChatYes => {
            scene.say("yes").await;
        }
        Answer::ChatNo => {
            let told = scene.say("no").await;
            assert_eq!(told.status, ChatStatus::Cancelled, "{told:?}");
        }
        Answer::RestYes => rest("approve", StatusCode::OK).await,
        Answer::RestNo => rest("deny", StatusCode::OK).await,
        Answer::StreamYes => {
            let url = format!("{}{path}", scene.world.agent.url());
            let post = scene
                .world
                .http
                .post(url)
                .json(&json!({"decision": "approve"}));
            let streaming = post.header("accept", "text/event-stream").send().await;
            let mut stream = Stream::of(streaming.expect("a stream"));
            stream.until("[DONE]").await;
            assert!(stream.text().contains("Charged."), "{}", stream.text());
        }
        Answer::Late => {
            scene.world.advance(301);
            until("lapsed", || async {
                scene.approvals().await == "expired agent"
            })
            .await;
            // A yes to what has lapsed is a wish to be asked again, and nothing else.
            let told = scene.say("yes").await;
            assert_eq!(told.status, ChatStatus::PendingConfirmation, "{told:?}");
            assert_ne!(told.confirmations[0].approval_id, id);
        }
        Answer::LateByRest => {
            scene.world.advance(301);
            rest("approve", StatusCode::GONE).await;
        }
        Answer::Change => {
            scene.say("yes, but only 3").await;
        }
        Answer::Maybe => {
            let told = scene.say("maybe").await;
            assert!(told.response.contains(QUESTION), "{told:?}");
        }
    }
}

#[tokio::test]
async fn a_server_that_says_less_than_it_does_is_asked_about_all_the_same() {
    let scene = Scene::open(Manners::default()).await;
    // Not marked at all, marked as a write though it reads, marked both ways.
    for name in ["tag", "peek", "two_faced"] {
        scene.asked(&format!("call crm.{name} {{}}")).await;
        assert_eq!(scene.book.count(name), 0, "{name}");
        scene.say("yes").await;
        assert_eq!(scene.book.count(name), 1, "{name}");
    }
}

#[tokio::test]
async fn both_eras_and_both_transports_serve_the_same() {
    let legacy = Manners {
        legacy: true,
        ..Manners::default()
    };
    let scenes = [
        ("modern http", Scene::open(Manners::default()).await),
        ("legacy http", Scene::open(legacy).await),
        ("modern child", Scene::child("").await),
        ("legacy child", Scene::child("--legacy").await),
    ];
    for (what, scene) in scenes {
        let told = scene.say("call crm.find_contact {}").await;
        assert_eq!(told.response, "find_contact done.", "{what}: {told:?}");
        scene.asked(CHARGE).await;
        assert_eq!(scene.say("yes").await.response, "Charged.", "{what}");
        // Of the second page.
        let nul = scene.say("call crm.nul {}").await;
        assert_eq!(nul.response, "abc", "{what}: what hides is gone");
        let before = scene.say("call crm.grown {}").await;
        assert_eq!(only_call(&before).0, ToolCallStatus::Failed, "{what}");
        scene.say("call crm.grow {}").await;
        // Long before the five minutes of the list are over, and with no unknown tool in between.
        until("the list is asked for again", || async {
            let offer = scene
                .world
                .agent
                .app
                .tools
                .offer(&Principal::local_owner())
                .await;
            let tools = offer.expect("an offer").tools;
            tools.iter().any(|t| t.name == "crm.grown")
        })
        .await;
        let told = scene.say("call crm.grown {}").await;
        assert_eq!(told.response, "grown done.", "{what}: {told:?}");
    }
}

#[tokio::test]
async fn a_child_knows_none_of_our_secrets_and_ends_with_us() {
    let scene = Scene::child("").await;
    scene.say("call crm.find_contact {}").await;
    let entries = scene.book.entries();
    let hello = &entries[0];
    let variables = hello["variables"].as_array().expect("its variables");
    // The test itself has some: cargo's.
    assert!(std::env::vars().count() > variables.len());
    for name in variables {
        let name = name.as_str().expect("a name");
        let plain = [
            "HOME", "PATH", "LANG", "TERM", "USER", "SHELL", "LOGNAME", "TMPDIR", "TZ",
        ];
        assert!(
            plain.contains(&name) || name.starts_with("LC_") || name.starts_with("XDG_"),
            "{name}"
        );
    }
    let process = format!("/proc/{}", hello["pid"]);
    assert!(
        std::path::Path::new(&process).exists(),
        "one child serves all calls"
    );
    scene.world.agent.stop().await;
    until("the child is gone", || async {
        !std::path::Path::new(&process).exists()
    })
    .await;
}

#[tokio::test]
async fn what_may_have_been_done_is_never_repeated_and_staff_can_find_it() {
    // Its process dies in the middle, it does not answer in time, it fails without saying whether anything was done.
    let scene = Scene::child("").await;
    for tool in ["die", "hang", "fault"] {
        scene.asked(&format!("call crm.{tool} {{}}")).await;
        let told = scene.say("yes").await;
        assert_eq!(told.status, ChatStatus::Error, "{tool}: {told:?}");
        assert_eq!(only_call(&told).0, ToolCallStatus::Unknown, "{tool}");
        assert!(told.response.contains("not known whether"), "{told:?}");
        assert_eq!(scene.book.count(tool), 1, "{tool}");
        // A child that has died is started again.
        let told = scene.say("call crm.find_contact {}").await;
        assert_eq!(
            told.response, "find_contact done.",
            "after {tool}: {told:?}"
        );
        assert_eq!(scene.book.count(tool), 1, "{tool}: not repeated");
    }
    scene.asked(CHARGE).await;
    let mut found = Vec::new();
    let mut next = Some(String::new());
    while let Some(cursor) = next {
        let path = format!("/agent/approvals?status=unknown&limit=2{cursor}");
        let text = scene.world.get(&path).await.text().await.expect("a page");
        let page: ApprovalPage = serde_json::from_str(&text).expect("a page");
        assert!(page.approvals.len() <= 2);
        found.extend(page.approvals);
        next = page.next_cursor.map(|c| format!("&cursor={c}"));
    }
    let tools: Vec<_> = found.iter().map(|a| a.approval.tool.as_str()).collect();
    assert_eq!(tools, ["crm.fault", "crm.hang", "crm.die"], "newest first");
    assert!(found.iter().all(|a| a.session_id == "s"
        && a.approval.status == ApprovalStatus::Unknown
        && a.approval.decided_by.as_deref() == Some("owner")));
    let all = scene.world.get("/agent/approvals").await.text().await;
    let all: ApprovalPage = serde_json::from_str(&all.expect("a page")).expect("a page");
    assert_eq!(all.approvals.len(), 4);
    let wrong = scene.world.get("/agent/approvals?status=lost").await;
    assert_eq!(wrong.status(), StatusCode::BAD_REQUEST);

    // A customer sees her own only.
    let seen_by = async |subject: &str, role: PrincipalRole| {
        let principal = Principal {
            subject: subject.to_owned(),
            role,
            ..Principal::local_owner()
        };
        let app = &scene.world.agent.app;
        let listed = agent::approvals::list(app, &principal, Wanted::default(), 10).await;
        listed.expect("a list").len()
    };
    assert_eq!(seen_by("ana", PrincipalRole::Customer).await, 0);
    assert_eq!(seen_by("owner", PrincipalRole::Customer).await, 4);
    assert_eq!(seen_by("ben", PrincipalRole::Staff).await, 4);
}

#[tokio::test]
async fn a_read_is_repeated_and_a_hanging_one_costs_itself() {
    let scene = Scene::open(Manners::default()).await;
    let told = scene.say("call crm.flaky {}").await;
    assert_eq!(told.response, "flaky done.", "{told:?}");
    assert_eq!(scene.book.count("flaky"), 3);
    let told = scene
        .say("call crm.hang_read {}; inventory_list_items {}")
        .await;
    assert_eq!(told.status, ChatStatus::Success, "{told:?}");
    assert_eq!(told.tool_calls[0].status, ToolCallStatus::Failed);
    assert_eq!(
        told.tool_calls[0].result["message"],
        "crm did not answer. Please try again later."
    );
    assert_eq!(told.tool_calls[1].status, ToolCallStatus::Done, "{told:?}");
}

#[tokio::test]
async fn a_server_that_wants_more_gets_none_and_its_words_are_only_words() {
    let scene = Scene::open(Manners::default()).await;
    let tell = async |tool: &str| {
        scene.asked(&format!("call crm.{tool} {{}}")).await;
        let told = scene.say("yes").await;
        assert_eq!(scene.book.count(tool), 1, "{tool}");
        told
    };
    let (status, message) = only_call(&tell("more").await);
    assert_eq!(status, ToolCallStatus::Failed);
    assert!(
        message.contains("asks for more than can be given"),
        "{message}"
    );
    // Over this transport it may not even ask; whatever it makes of that, nobody was asked for a password.
    let elicited = tell("elicit").await;
    assert!(!elicited.response.contains("password"), "{elicited:?}");
    let (status, message) = only_call(&tell("refuse").await);
    assert_eq!(status, ToolCallStatus::Failed, "never a person's no");
    assert!(message.starts_with("crm: "), "{message}");
    assert!(scene.approvals().await.ends_with("failed agent"));
    // Not on its list.
    let before = scene.book.entries().len();
    let told = scene.say("call crm.nothing {}").await;
    assert_eq!(only_call(&told).0, ToolCallStatus::Failed, "{told:?}");
    assert_eq!(scene.book.entries().len(), before);
}

#[tokio::test]
async fn what_is_wrong_on_a_list_is_left_out() {
    let scene = Scene::open(Manners {
        odd: true,
        ..Manners::default()
    })
    .await;
    let offer = scene
        .world
        .agent
        .app
        .tools
        .offer(&Principal::local_owner())
        .await;
    let offer = offer.expect("an offer");
    let theirs: Vec<_> = offer
        .tools
        .iter()
        .filter(|t| t.name.starts_with("crm."))
        .collect();
    assert_eq!(offer.tools.len(), 128, "no provider takes more");
    let ours = contracts::tools::sheets().len();
    assert_eq!(theirs.len(), 128 - ours, "ours come first");
    let named = |name: &str| {
        theirs
            .iter()
            .filter(|t| t.name == format!("crm.{name}"))
            .count()
    };
    assert_eq!(
        (named("find_contact"), named("charge"), named("long")),
        (1, 1, 1)
    );
    assert_eq!((named("broken name"), named("wrong_schema")), (0, 0));
    let long = theirs.iter().find(|t| t.name == "crm.long").expect("it");
    assert!(long.description.chars().count() <= 4000);
    let again = scene
        .world
        .agent
        .app
        .tools
        .offer(&Principal::local_owner())
        .await;
    assert!(
        Arc::ptr_eq(&offer.tools, &again.expect("an offer").tools),
        "whoever keeps something for a list finds it again"
    );
}

#[tokio::test]
async fn a_private_list_is_for_one_person_and_a_public_one_for_all() {
    let principals = ["ana", "ben", "ana", "ben"].map(|subject| Principal {
        subject: subject.to_owned(),
        ..Principal::local_owner()
    });
    for (private, lists) in [(false, 1), (true, 2)] {
        let scene = Scene::open(Manners {
            private,
            ..Manners::default()
        })
        .await;
        let offered = async |principal: &Principal| {
            let offer = scene.world.agent.app.tools.offer(principal).await;
            let tools = offer.expect("an offer").tools;
            assert!(tools.iter().any(|t| t.name == "crm.charge"));
        };
        offered(&principals[0]).await;
        // Being told of changes begins with a connection; what was listed before then is listed again.
        until("settled", || async {
            let before = scene.book.lists();
            offered(&principals[0]).await;
            before >= 2 && scene.book.lists() == before
        })
        .await;
        let before = scene.book.lists();
        for principal in &principals {
            offered(principal).await;
        }
        assert_eq!(scene.book.lists() - before, lists - 1, "private: {private}");
    }
}

#[tokio::test]
async fn a_server_that_is_away_costs_its_tools_and_no_turn() {
    // Nobody listens there; somebody listens and never says a word; a program that is not there.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let gone = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = |listener: &TcpListener| listener.local_addr().expect("its address");
    let servers = format!(
        "gone=http://{}/mcp,silent=http://{}/mcp,none=stdio:/nowhere/at-all",
        address(&gone),
        address(&silent)
    );
    drop(gone);
    let world = shop(servers, &[]).await;
    let first = world.say("s", "How much flour is left?").await;
    assert_eq!(first.status, ChatStatus::Success, "{first:?}");
    assert!(first.response.contains("50 kg"), "{first:?}");
    // Only the first turn waits, and not for long; the others do not wait at all.
    let begun = Instant::now();
    for _ in 0..3 {
        let told = world.say("s", "How much flour is left?").await;
        assert_eq!(told.status, ChatStatus::Success, "{told:?}");
    }
    let each = begun.elapsed() / 3;
    assert!(each < Duration::from_secs(1), "{each:?} for each turn");
    let told = world.say("s", "call gone.charge {}").await;
    assert_eq!(only_call(&told).0, ToolCallStatus::Failed, "{told:?}");
}

#[tokio::test]
async fn an_agreed_call_that_cannot_be_sent_is_over_and_said_so() {
    let mut scene = Scene::open(Manners::default()).await;
    scene.asked(CHARGE).await;
    scene.crm.as_mut().expect("a server").stop().await;
    let told = scene.say("yes").await;
    assert_eq!(
        only_call(&told),
        (
            ToolCallStatus::Failed,
            "crm could not be reached, and nothing was done. Please try again later.".to_owned()
        )
    );
    assert_eq!(scene.approvals().await, "failed agent");
    assert_eq!(scene.book.count("charge"), 0);
}

#[tokio::test]
async fn a_tool_that_keeps_failing_rests_alone() {
    let (_home, book) = home();
    let (_other_home, other_book) = home();
    let crm = Foreign::new(Book::at(&book), Manners::default())
        .over_http()
        .await;
    let notes = Foreign::new(Book::at(&other_book), Manners::default())
        .over_http()
        .await;
    let world = shop(format!("crm={},notes={}", crm.url, notes.url), &[]).await;
    let run = async |tool: &str| {
        world.say("s", &format!("call {tool} {{}}")).await;
        world.say("s", "yes").await
    };
    for _ in 0..5 {
        let told = run("crm.fault").await;
        assert_eq!(only_call(&told).0, ToolCallStatus::Unknown, "{told:?}");
    }
    let told = run("crm.fault").await;
    assert_eq!(
        only_call(&told).0,
        ToolCallStatus::Failed,
        "switched off: {told:?}"
    );
    assert_eq!(crm.book.count("fault"), 5);
    assert_eq!(run("crm.charge").await.response, "Charged.");
    run("notes.fault").await;
    assert_eq!(
        notes.book.count("fault"),
        1,
        "the other server's is another tool"
    );
}

/// Two questions of one answer: each is asked, answered and sent for itself.
#[tokio::test]
async fn two_effects_of_one_answer_are_two_questions() {
    let scene = Scene::open(Manners::default()).await;
    let asked = scene
        .say(r#"call crm.charge {"n": 1}; crm.tag {"n": 2}; crm.find_contact {}"#)
        .await;
    assert_eq!(asked.confirmations.len(), 2, "{asked:?}");
    assert_eq!(
        scene.book.count("find_contact"),
        1,
        "the read does not wait"
    );
    let answer = async |at: usize, decision: &str| {
        let id = asked.confirmations[at].approval_id;
        let path = format!("/agent/approvals/{id}");
        let answered = scene
            .world
            .post(&path, &json!({"decision": decision}))
            .await;
        assert_eq!(answered.status(), StatusCode::OK);
        answered.json::<Value>().await.expect("an answer")
    };
    let first = answer(0, "approve").await;
    assert_eq!(
        first["outcome"]["status"], "pending_confirmation",
        "{first}"
    );
    assert_eq!(
        (scene.book.count("charge"), scene.book.count("tag")),
        (1, 0)
    );
    answer(1, "deny").await;
    assert_eq!(
        (scene.book.count("charge"), scene.book.count("tag")),
        (1, 0)
    );
    assert_eq!(scene.approvals().await, "done agent, denied agent");
}
