//! AG-UI over the wire: a question ends the run, the answer comes as a new one.

use e2e::world::World;
use e2e::world::sse::{Events, Stream};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::{BILL, read, rehearsed, runs, sent};

fn input(run: &str, messages: &Value) -> Value {
    json!({"threadId": "t", "runId": run, "state": {}, "tools": [], "context": [], "forwardedProps": {}, "messages": messages})
}

fn user(id: &str, text: &str) -> Value {
    json!({"id": id, "role": "user", "content": text})
}

fn resume(run: &str, answers: &[(&Value, &str, Value)]) -> Value {
    let mut input = input(run, &json!([user("u1", BILL)]));
    let entry = |(id, status, payload): &(&Value, &str, Value)| json!({"interruptId": id, "status": status, "payload": payload});
    input["resume"] = answers.iter().map(entry).collect();
    input
}

fn post(world: &World, body: &Value) -> RequestBuilder {
    let url = format!("{}/agent/chat?protocol=agui", world.agent.url());
    world.http.post(url).json(body)
}

async fn run(world: &World, body: &Value) -> Events {
    let events = read(post(world, body)).await;
    orderly(&events);
    events
}

/// Holds a run to the rules its readers enforce: it begins once and ends once, and nothing is open at its end that was not begun.
fn orderly(events: &Events) {
    let frames = events.frames();
    let (mut texts, mut steps, mut calls): (Vec<&Value>, Vec<&Value>, Vec<&Value>) =
        (Vec::new(), Vec::new(), Vec::new());
    fn close(open: &mut Vec<&Value>, id: &Value) {
        let at = open.iter().position(|o| *o == id);
        open.remove(at.unwrap_or_else(|| panic!("{id} ends and has not begun")));
    }
    for (place, frame) in frames.iter().enumerate() {
        assert!(
            frame["timestamp"].is_i64() || frame["type"] == "RUN_ERROR",
            "{frame}"
        );
        let (first, last) = (place == 0, place == frames.len() - 1);
        match frame["type"].as_str().unwrap_or_default() {
            "RUN_STARTED" => assert!(
                first && frame["threadId"].is_string() && frame["runId"].is_string(),
                "{frame}"
            ),
            "RUN_FINISHED" => {
                assert!(
                    last && texts.is_empty() && steps.is_empty() && calls.is_empty(),
                    "{events:?}"
                );
            }
            "RUN_ERROR" => assert!(last && frame["message"].is_string(), "{frame}"),
            "STEP_STARTED" => steps.push(&frame["stepName"]),
            "STEP_FINISHED" => close(&mut steps, &frame["stepName"]),
            "TEXT_MESSAGE_START" => texts.push(&frame["messageId"]),
            "TEXT_MESSAGE_CONTENT" => {
                assert!(
                    texts.contains(&&frame["messageId"]) && frame["delta"] != "",
                    "{frame}"
                );
            }
            "TEXT_MESSAGE_END" => close(&mut texts, &frame["messageId"]),
            "TOOL_CALL_START" => calls.push(&frame["toolCallId"]),
            "TOOL_CALL_ARGS" => assert!(calls.contains(&&frame["toolCallId"]), "{frame}"),
            "TOOL_CALL_END" => close(&mut calls, &frame["toolCallId"]),
            "TOOL_CALL_RESULT" => assert!(
                frame["content"].is_string() && frame["messageId"].is_string(),
                "{frame}"
            ),
            "MESSAGES_SNAPSHOT" => assert!(frame["messages"].is_array(), "{frame}"),
            "CUSTOM" => assert!(
                ["confirmation", "fallback", "text_discarded"]
                    .contains(&frame["name"].as_str().unwrap_or_default()),
                "{frame}"
            ),
            other => panic!("a reader drops {other}"),
        }
    }
    let ends = ["RUN_FINISHED", "RUN_ERROR"];
    assert!(
        frames
            .last()
            .is_some_and(|f| ends.contains(&f["type"].as_str().unwrap_or_default())),
        "{events:?}"
    );
}

fn interrupts(events: &Events) -> Vec<Value> {
    let finished = &events.of_kind("RUN_FINISHED")[0];
    assert_eq!(finished["outcome"]["type"], "interrupt", "{finished}");
    finished["outcome"]["interrupts"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}

fn refused(events: &Events) -> Value {
    let frames = events.frames();
    assert_eq!(frames.len(), 1, "{events:?}");
    assert_eq!(frames[0]["type"], "RUN_ERROR");
    frames[0]["code"].clone()
}

#[tokio::test]
async fn a_question_interrupts_and_its_answer_goes_on_against_the_old_call() {
    let world = World::open().await;
    let said = user("u1", BILL);
    let asked = run(&world, &input("r1", &json!([said]))).await;
    let started = &asked.of_kind("RUN_STARTED")[0];
    assert_eq!(
        (&started["threadId"], &started["runId"]),
        (&json!("t"), &json!("r1"))
    );
    let ours = &started["metadata"]["countersign"]["runId"];
    let trace = sent(world.http.get(format!(
        "{}/agent/runs/{}",
        world.agent.url(),
        ours.as_str().unwrap_or_default()
    )))
    .await;
    assert_eq!(trace.status(), 200, "our own run is in reach");
    let open = interrupts(&asked);
    let call = &asked.of_kind("TOOL_CALL_START")[0]["toolCallId"];
    assert_eq!(
        (&open[0]["reason"], &open[0]["toolCallId"]),
        (&json!("tool_call"), call)
    );
    assert_eq!(
        open[0]["message"],
        "Are you sure you want to create a bill for Ali: 1 Shampoo = 250 (Total: RWF 250)? Reply 'yes' to confirm."
    );
    assert!(open[0]["expiresAt"].is_string());
    let snapshot = asked.of_kind("MESSAGES_SNAPSHOT")[0]["messages"].clone();
    assert_eq!(snapshot[0], said, "what the client sent stays as it was");
    assert_eq!(&snapshot[1]["toolCalls"][0]["id"], call);

    let yes = resume(
        "r2",
        &[(&open[0]["id"], "resolved", json!({"approved": true}))],
    );
    let done = run(&world, &yes).await;
    assert_eq!(done.of_kind("RUN_STARTED")[0]["runId"], "r2");
    assert!(
        done.of_kind("TOOL_CALL_START").is_empty(),
        "the call is shown already"
    );
    let result = &done.of_kind("TOOL_CALL_RESULT")[0];
    assert_eq!(&result["toolCallId"], call);
    assert!(
        result["content"]
            .as_str()
            .is_some_and(|c| c.contains("INV-1")),
        "{result}"
    );
    assert_eq!(
        done.of_kind("RUN_FINISHED")[0]["outcome"]["type"],
        "success"
    );
    assert_eq!(run(&world, &yes).await, done, "a replay tells the same");
    assert_eq!(world.bills().await, 1);
    // Another answer to the same question is not taken.
    let no = resume(
        "r3",
        &[(&open[0]["id"], "resolved", json!({"approved": false}))],
    );
    assert_eq!(refused(&run(&world, &no).await), "conflict");
}

#[tokio::test]
async fn a_no_is_a_no_with_its_reason_and_an_abandoned_question_too() {
    let world = World::open().await;
    let open = interrupts(&run(&world, &input("r1", &json!([user("u1", BILL)]))).await);
    let no = resume(
        "r2",
        &[(
            &open[0]["id"],
            "resolved",
            json!({"approved": false, "reason": "too dear"}),
        )],
    );
    let denied = run(&world, &no).await;
    assert!(
        denied.of_kind("TOOL_CALL_RESULT")[0]["content"]
            .as_str()
            .is_some_and(|c| c.contains("denied"))
    );
    assert_eq!(
        world.text("select reason from agent.approvals").await,
        "too dear"
    );

    // Abandoned for something else, which is done.
    let open = interrupts(&run(&world, &input("r3", &json!([user("u2", BILL)]))).await);
    let before = json!({"id": "a2", "role": "assistant"});
    let messages = json!([
        user("u2", BILL),
        before,
        user("u3", "Increase flour by 1kg")
    ]);
    let mut next = input("r4", &messages);
    next["resume"] = json!([{"interruptId": open[0]["id"], "status": "cancelled"}]);
    let done = run(&world, &next).await;
    assert!(done.0.contains("51"), "{done:?}");
    assert_eq!(world.on_hand("Flour").await, "51");
    assert_eq!(
        world
            .number("select count(*) from agent.approvals where status = 'denied'")
            .await,
        2
    );
    assert_eq!(
        run(&world, &next).await,
        done,
        "its retry does nothing again"
    );
    assert_eq!(world.on_hand("Flour").await, "51");
    // A message while a question stands open is answered, and the question stays.
    let open = interrupts(&run(&world, &input("r5", &json!([user("u4", BILL)]))).await);
    let beside = run(
        &world,
        &input("r6", &json!([user("u5", "How much flour is left?")])),
    )
    .await;
    assert!(beside.0.contains("51"), "{beside:?}");
    let yes = resume(
        "r7",
        &[(&open[0]["id"], "resolved", json!({"approved": true}))],
    );
    run(&world, &yes).await;
    assert_eq!(world.bills().await, 1);
}

#[tokio::test]
async fn a_resume_answers_all_or_nothing() {
    let (setting, _) = rehearsed();
    let world = World::open_with(setting).await;
    let open = interrupts(&run(&world, &input("r1", &json!([user("u1", "two bills")]))).await);
    assert_eq!(open.len(), 2);
    let (yes, no) = (json!({"approved": true}), json!({"approved": false}));
    let before = world.content("agent").await;
    let partial = resume("r2", &[(&open[0]["id"], "resolved", yes.clone())]);
    assert_eq!(refused(&run(&world, &partial).await), "invalid_request");
    let unknown = json!("00000000-0000-0000-0000-000000000001");
    let strange = resume("r2", &[(&unknown, "resolved", yes.clone())]);
    assert_eq!(refused(&run(&world, &strange).await), "not_found");
    let edited = json!({"approved": true, "editedArgs": {"customer": "Bob"}});
    let both = |first: Value| {
        resume(
            "r2",
            &[
                (&open[0]["id"], "resolved", first),
                (&open[1]["id"], "resolved", no.clone()),
            ],
        )
    };
    assert_eq!(
        refused(&run(&world, &both(edited)).await),
        "invalid_request"
    );
    let mut elsewhere = both(yes.clone());
    elsewhere["threadId"] = json!("t2");
    assert_eq!(refused(&run(&world, &elsewhere).await), "not_found");
    assert_eq!(world.content("agent").await, before, "nothing was taken");

    let done = run(&world, &both(yes)).await;
    assert_eq!(done.of_kind("TOOL_CALL_RESULT").len(), 2);
    assert_eq!(
        done.of_kind("RUN_FINISHED")[0]["outcome"]["type"],
        "success"
    );
    assert_eq!(
        world.text("select customer_name from shop.bills").await,
        "Ali"
    );
}

#[tokio::test]
async fn a_lapsed_question_can_only_be_abandoned() {
    let world = World::open().await;
    let open = interrupts(&run(&world, &input("r1", &json!([user("u1", BILL)]))).await);
    world.advance(301);
    let yes = resume(
        "r2",
        &[(&open[0]["id"], "resolved", json!({"approved": true}))],
    );
    assert_eq!(refused(&run(&world, &yes).await), "expired");
    let left = resume("r3", &[(&open[0]["id"], "cancelled", Value::Null)]);
    let told = run(&world, &left).await;
    assert_eq!(told.of_kind("RUN_FINISHED")[0]["runId"], "r3");
    assert!(
        told.of_kind("TOOL_CALL_RESULT")[0]["content"]
            .as_str()
            .is_some_and(|c| c.contains("expired")),
        "{told:?}"
    );
    assert_eq!(world.bills().await, 0);
}

#[tokio::test]
async fn a_run_id_is_a_key_and_the_shape_of_a_body_is_enough() {
    let world = World::open().await;
    let body = input("r1", &json!([user("u1", "Increase flour by 1kg")]));
    let first = run(&world, &body).await;
    assert_eq!(run(&world, &body).await, first);
    let bare = world
        .http
        .post(format!("{}/api/agent/chat", world.agent.url()))
        .json(&body);
    assert_eq!(
        Stream::of(sent(bare).await).end().await,
        first,
        "no protocol, no Accept"
    );
    assert_eq!(
        (runs(&world).await, world.on_hand("Flour").await.as_str()),
        (1, "51")
    );
    let other = sent(post(
        &world,
        &input("r1", &json!([user("u1", "Increase flour by 2kg")])),
    ))
    .await;
    assert_eq!(other.status(), 409);
    let mut bad = body.clone();
    bad["threadId"] = json!("a thread");
    let refused = sent(post(&world, &bad)).await;
    assert_eq!(refused.status(), 400);
    let problem: Value = refused.json().await.expect("a problem");
    assert!(
        problem["detail"]
            .as_str()
            .is_some_and(|d| d.starts_with("threadId must be")),
        "{problem}"
    );
    // The thread is made where none is named, and told.
    let mut fresh = input("r9", &json!([user("u1", "Show low stock")]));
    fresh.as_object_mut().map(|o| o.remove("threadId"));
    let made = run(&world, &fresh).await;
    let thread = made.of_kind("RUN_STARTED")[0]["threadId"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(!thread.is_empty());
    assert_eq!(
        world
            .text("select max(session_id) from agent.agent_sessions where session_id <> 't'")
            .await,
        thread
    );
}
