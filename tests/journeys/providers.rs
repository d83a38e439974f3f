//! Language models drive the same conversations: scripted ones, and every fault a provider can have at every stage of a run.

mod faults;

use std::sync::Arc;

use agent::stub_provider::Received;
use contracts::http::chat::{ChatStatus, ToolCallStatus};
use e2e::world::provider::Provider;
use e2e::world::{PATIENCE, Setting, World, until};
use mcp_server::app::Hooks;
use serde_json::{Value, json};
use tokio::sync::{Barrier, Notify};

/// The four stories once more; the sentences on the screen are the tools' own, so they are word for word those of the rules.
mod streamed {
    use super::*;

    async fn by_provider(story: impl AsyncFnOnce(&World)) {
        told_by_provider(true, story).await;
    }

    crate::stories::told!(by_provider);
}

/// The same without streaming.
mod whole {
    use super::*;

    async fn by_provider(story: impl AsyncFnOnce(&World)) {
        told_by_provider(false, story).await;
    }

    crate::stories::told!(by_provider);
}

async fn told_by_provider(stream: bool, story: impl AsyncFnOnce(&World)) {
    let provider = Provider::shop().await;
    let world = provider.world(stream).await;
    story(&world).await;
    let asked = provider.asked();
    assert!(!asked.is_empty(), "the provider was never asked");
    assert!(asked.iter().all(|a| a.stream == stream));
    let by_rules =
        "select count(*) from agent.steps where kind = 'model' and name <> 'gpt-4o-mini'";
    assert_eq!(world.number(by_rules).await, 0, "the rules answered");
}

/// One scene for one message.
fn scene(message: &str, answers: &Value) -> Value {
    json!([{"when": {"text": message}, "answers": answers}])
}

/// The messages of a request.
fn messages(request: &Received) -> &[Value] {
    let messages = request.body["messages"].as_array();
    messages.map(Vec::as_slice).unwrap_or_default()
}

/// What the model is told of its calls, in the order in which it is told.
fn told(request: &Received) -> Vec<Value> {
    let tools = messages(request).iter().filter(|m| m["role"] == "tool");
    let content = |m: &Value| m["content"].as_str().map(str::to_owned).unwrap_or_default();
    tools
        .map(|m| serde_json::from_str(&content(m)).expect("JSON"))
        .collect()
}

#[tokio::test]
async fn reads_of_one_answer_overlap_and_keep_their_order() {
    let (both, second) = (Arc::new(Barrier::new(2)), Arc::new(Notify::new()));
    let hooks = Hooks::new(move |place| {
        let (both, second) = (Arc::clone(&both), Arc::clone(&second));
        Box::pin(async move {
            match place {
                // Neither goes on before the other is there ...
                "tool:inventory_list_items" | "tool:inventory_get_item" => {
                    both.wait().await;
                }
                // ... and the first answers only after the second.
                "committed:inventory_list_items" => second.notified().await,
                "committed:inventory_get_item" => second.notify_one(),
                _ => {}
            }
        })
    });
    let calls = json!([
        {"name": "inventory_list_items", "arguments": {"category": "beauty"}},
        {"name": "inventory_get_item", "arguments": {"item": "flour"}},
    ]);
    let answers = json!([{"calls": calls}, {"say": "{{summaries}}"}]);
    let provider = Provider::scenes(&scene("What is there?", &answers)).await;
    let world = World::open_with(Setting {
        server_hooks: hooks,
        ..provider.setting(true)
    })
    .await;
    let answer = world.say("s", "What is there?").await;
    let tools: Vec<&str> = answer.tool_calls.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(tools, ["inventory_list_items", "inventory_get_item"]);
    let (shampoo, flour) = (
        answer.response.find("Shampoo"),
        answer.response.find("Flour"),
    );
    assert!(shampoo.is_some() && shampoo < flour, "{}", answer.response);
    let told = told(&provider.asked()[1]);
    assert_eq!(told.len(), 2);
    assert!(
        told[0]["summary"].to_string().contains("Shampoo"),
        "{told:?}"
    );
    assert!(told[1]["summary"].to_string().contains("Flour"), "{told:?}");
}

#[tokio::test]
async fn a_call_that_does_not_fit_is_corrected_before_anything_runs() {
    let arguments = json!({"customer": "Ali", "lines": [{"item": "shampoo", "quantity": "1"}]});
    let calls = json!([{"name": "billing_create_bill", "arguments": arguments}]);
    for fault in ["wrong_arguments", "not_json_arguments", "unknown_tool"] {
        let answers =
            json!([{"calls": calls, "fault": fault}, {"calls": calls}, {"say": "{{summary}}"}]);
        let provider = Provider::scenes(&scene("Bill Ali for 1 shampoo", &answers)).await;
        let world = provider.world(true).await;
        let asked = world.say("s", "Bill Ali for 1 shampoo").await;
        assert_eq!(asked.status, ChatStatus::PendingConfirmation, "{fault}");
        let questions = "select count(*) from shop.confirmations";
        assert_eq!(world.number(questions).await, 1, "{fault}");
        let made = "select count(*) from agent.steps where kind = 'tool'";
        assert_eq!(
            world.number(made).await,
            1,
            "{fault}: a call was made that does not fit"
        );

        let told = told(&provider.asked()[1]);
        let code = if fault == "unknown_tool" {
            "not_allowed"
        } else {
            "invalid_arguments"
        };
        assert_eq!(
            (&told[0]["status"], &told[0]["code"]),
            (&json!("failed"), &json!(code)),
            "{fault}"
        );
        let hint = told[0]["hint"].as_str().unwrap_or_default();
        if fault == "unknown_tool" {
            assert!(
                hint.contains("The nearest are: "),
                "the nearest tools are named: {hint}"
            );
        }

        let done = world.say("s", "yes").await;
        assert_eq!(
            done.status,
            ChatStatus::Success,
            "{fault}: {}",
            done.response
        );
        assert_eq!(world.bills().await, 1, "{fault}");
    }
}

#[tokio::test]
async fn a_model_that_repeats_itself_is_stopped() {
    let answers = json!([{"calls": [{"name": "inventory_get_item", "arguments": {"item": "flour"}}], "fault": "endless_calls"}]);
    let provider = Provider::scenes(&scene("How much flour?", &answers)).await;
    let world = provider.world(true).await;
    let answer = world.say("s", "How much flour?").await;
    assert_eq!(answer.status, ChatStatus::Error);
    assert!(
        answer.response.contains("too many steps"),
        "{}",
        answer.response
    );
    let made = "select count(*) from agent.steps where kind = 'tool'";
    assert_eq!(world.number(made).await, 3, "the same call again and again");
    assert!(provider.asked().len() <= 25);

    provider.set_scenes(&scene("Hello", &json!([{"say": "Good morning."}])));
    assert_eq!(
        world.say("s", "Hello").await.response,
        "Good morning.",
        "the conversation goes on"
    );
}

#[tokio::test]
async fn a_model_that_repeats_an_action_is_asked_about_each_time() {
    let lines = json!([{"item": "shampoo", "quantity": "1"}]);
    let bill =
        json!([{"name": "billing_create_bill", "arguments": {"customer": "Ali", "lines": lines}}]);
    let answers = json!([{"calls": bill, "fault": "endless_calls"}]);
    let provider = Provider::scenes(&scene("Bill Ali", &answers)).await;
    let world = provider.world(true).await;
    assert_eq!(
        world.say("s", "Bill Ali").await.status,
        ChatStatus::PendingConfirmation
    );
    let mut answer = world.say("s", "yes").await;
    assert_eq!(world.bills().await, 1);
    let mut questions = 0;
    while answer.status == ChatStatus::PendingConfirmation {
        questions += 1;
        assert!(questions < 5, "it is never stopped");
        answer = world.say("s", "no").await;
    }
    assert_eq!(
        (questions, world.bills().await),
        (2, 1),
        "one yes is one bill"
    );
    let denied = provider
        .asked()
        .iter()
        .flat_map(told)
        .any(|t| t["status"] == "denied");
    assert!(denied, "the model is told of the no");
}

#[tokio::test]
async fn a_provider_that_is_back_is_used_again() {
    let hello = |fault: &Value| scene("Hello", &json!([{"say": "Good morning.", "fault": fault}]));
    let provider = Provider::scenes(&hello(&json!("server_error"))).await;
    let mut setting = provider.setting(true);
    setting
        .variables
        .insert("MODEL_REST_SECONDS", "2".to_owned());
    let world = World::open_with(setting).await;
    let by_rules = world.say("s", "Hello").await;
    assert_eq!(by_rules.status, ChatStatus::Success);
    assert_ne!(by_rules.response, "Good morning.");
    let attempts = provider.asked().len();
    assert_eq!(attempts, 3, "the first attempt and two more");

    provider.set_scenes(&hello(&Value::Null));
    world.say("s", "Hello").await;
    assert_eq!(
        provider.asked().len(),
        attempts,
        "it is left in peace for a while"
    );
    until("asked again", || async {
        world.say("s", "Hello").await.response == "Good morning."
    })
    .await;
    assert_eq!(world.say("s", "Hello").await.response, "Good morning.");
}

#[tokio::test]
async fn the_second_provider_answers_when_nobody_listens_at_the_first() {
    let gone = Provider::shop().await;
    let second = Provider::scenes(&scene("Hello", &json!([{"say": "Good morning."}]))).await;
    let mut setting = gone.setting(true);
    let address = second.variables(true)["OPENAI_BASE_URL"].clone();
    setting.variables.insert("MODEL_FALLBACK_BASE_URL", address);
    let key = "stub".to_owned();
    setting.variables.insert("MODEL_FALLBACK_API_KEY", key);
    setting
        .variables
        .insert("MODEL_FALLBACK_MODEL", "second".to_owned());
    gone.stop().await;
    let world = World::open_with(setting).await;
    let begun = tokio::time::Instant::now();
    assert_eq!(world.say("s", "Hello").await.response, "Good morning.");
    assert!(begun.elapsed() < PATIENCE);
    let by = world.text("select name from agent.steps").await;
    assert_eq!(by, "second");
    let asked = second.asked();
    assert_eq!(
        (asked.len(), &asked[0].body["model"]),
        (1, &json!("second"))
    );
}

#[tokio::test]
async fn a_long_conversation_stays_short_and_whole() {
    let provider = Provider::shop().await;
    let mut setting = provider.setting(false);
    setting
        .variables
        .insert("SESSION_CONTEXT_SIZE", "2".to_owned());
    let world = World::open_with(setting).await;
    for _ in 0..5 {
        let answer = world.say("s", "What's in the beauty category?").await;
        assert_eq!(answer.tool_calls[0].status, ToolCallStatus::Done);
        assert!(answer.response.contains("Shampoo"), "{}", answer.response);
    }
    // A call whose result had been left behind would have been refused.
    let asked = provider.asked();
    assert_eq!(asked.len(), 10);
    let said = |request: &Received| {
        messages(request)
            .iter()
            .filter(|m| m["role"] == "user")
            .count()
    };
    assert!(asked.iter().all(|request| said(request) <= 3));
    assert_eq!(
        asked.last().map(said),
        Some(3),
        "two exchanges and the message"
    );
    assert!(
        asked
            .iter()
            .all(|request| messages(request)[0]["role"] == "system")
    );
}
