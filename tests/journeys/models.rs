//! What the engine makes of a model that changes its mind, makes mistakes or gives up: scripted answers, everything else real.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use agent::models::{
    Answering, Message, Model, ModelAnswer, ModelRequest, TextSink, ToolCall, ToolOutcome,
};
use contracts::failure::FailureCode;
use contracts::http::chat::{ChatStatus, ToolCallStatus};
use e2e::world::sse::Stream;
use e2e::world::{PATIENCE, Setting, World};
use serde_json::{Value, json};
use tokio::sync::{Barrier, Semaphore};

/// One step of an answer.
#[derive(Clone)]
enum Act {
    Say(&'static str),
    StartOver,
    FallBack(&'static str),
    Call(&'static str, &'static str, Value),
    /// Goes on when the scene says so.
    Wait,
}

/// A model that answers as it is told to, one answer after the other, and keeps what it was asked.
#[derive(Clone)]
struct Scripted {
    answers: Arc<Vec<Vec<Act>>>,
    asked: Arc<Mutex<Vec<ModelRequest>>>,
    may_go_on: Arc<Semaphore>,
}

impl Scripted {
    fn new(answers: &[&[Act]]) -> Scripted {
        Scripted {
            answers: Arc::new(answers.iter().map(|acts| acts.to_vec()).collect()),
            asked: Arc::default(),
            may_go_on: Arc::new(Semaphore::new(0)),
        }
    }

    fn asked(&self) -> Vec<ModelRequest> {
        self.asked.lock().expect("no panic").clone()
    }

    async fn world(&self) -> World {
        World::open_with(Setting {
            model: Some(Arc::new(self.clone())),
            ..Setting::default()
        })
        .await
    }

    async fn act(&self, acts: &[Act], sink: &mut dyn TextSink) -> ModelAnswer {
        let mut answer = ModelAnswer::default();
        for act in acts {
            match act {
                Act::Say(text) => {
                    answer.text.push_str(text);
                    sink.delta(text);
                }
                Act::StartOver => {
                    answer.text.clear();
                    sink.start_over();
                }
                Act::FallBack(reason) => sink.fell_back(reason),
                Act::Call(id, tool, arguments) => answer.calls.push(ToolCall {
                    id: (*id).to_owned(),
                    tool: (*tool).to_owned(),
                    arguments: arguments.clone(),
                }),
                Act::Wait => self.may_go_on.acquire().await.expect("open").forget(),
            }
        }
        answer
    }
}

impl Model for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn answer<'a>(
        &'a self,
        request: &'a ModelRequest,
        sink: &'a mut dyn TextSink,
    ) -> Answering<'a> {
        Box::pin(async move {
            let turn = {
                let mut asked = self.asked.lock().expect("no panic");
                asked.push(request.clone());
                asked.len() - 1
            };
            let acts = self.answers.get(turn).expect("an answer for every call");
            Ok(self.act(acts, sink).await)
        })
    }
}

/// The outcomes the model saw in its nth call, by call id.
fn outcomes(model: &Scripted, call: usize) -> Vec<(String, ToolOutcome)> {
    let asked = model.asked();
    let messages = asked[call].messages.iter();
    let outcomes = messages.filter_map(|m| match m {
        Message::Tool {
            call_id, outcome, ..
        } => Some((call_id.clone(), outcome.clone())),
        Message::User { .. } | Message::Assistant { .. } => None,
    });
    outcomes.collect()
}

async fn stream(world: &World, message: &str) -> Stream {
    let response = world
        .http
        .post(format!("{}/agent/chat", world.agent.url()))
        .header("accept", "text/event-stream")
        .json(&json!({"session_id": "s", "message": message}))
        .send()
        .await
        .expect("an answer");
    Stream::of(response)
}

#[tokio::test]
async fn what_was_said_in_vain_is_taken_back_everywhere() {
    let model = Scripted::new(&[
        &[
            Act::Say("There are seven"),
            Act::Wait,
            Act::StartOver,
            Act::Say("There are two."),
        ],
        &[Act::Say("Bye.")],
    ]);
    let world = model.world().await;
    let mut reading = stream(&world, "How many?").await;
    reading.until("There are seven").await;
    model.may_go_on.add_permits(1);
    let events = reading.end().await;
    let void = &events.of_kind("text-start")[0]["id"];
    let taken_back = events.of_kind("data-text-discarded");
    assert_eq!(taken_back.len(), 1);
    assert_eq!(&taken_back[0]["data"]["textId"], void);
    let counts = events.of_kind("text-delta");
    assert_eq!(counts[1]["delta"], "There are two.");
    assert_ne!(
        &counts[1]["id"], void,
        "a new text, not more of the old one"
    );

    assert_eq!(world.say("s", "bye").await.response, "Bye.");
    let seen = format!("{:?}", model.asked()[1].messages);
    assert!(
        seen.contains("There are two.") && !seen.contains("seven"),
        "{seen}"
    );
    let stored = "select string_agg(text, ' ' order by created_at, id) from agent.agent_messages where role = 'assistant'";
    assert_eq!(world.text(stored).await, "There are two. Bye.");
}

#[tokio::test]
async fn what_nobody_has_seen_yet_is_not_even_taken_back() {
    let model = Scripted::new(&[&[
        Act::Say("There are seven"),
        Act::StartOver,
        Act::Say("There are two."),
    ]]);
    let world = model.world().await;
    let events = stream(&world, "How many?").await.end().await;
    assert_eq!(events.said(), "There are two.");
    assert_eq!(events.of_kind("text-start").len(), 1);
}

#[tokio::test]
async fn a_worker_that_goes_on_takes_back_what_the_lost_one_had_begun_to_say() {
    let model = Scripted::new(&[
        &[Act::Say("There are seven"), Act::Wait],
        &[Act::Say("There are two.")],
    ]);
    let world = model.world().await;
    let mut reading = stream(&world, "How many?").await;
    reading.until("There are seven").await;
    let lost = "update agent.runs set lease_owner = gen_random_uuid(), lease_until = now() - interval '1 second'";
    sqlx::query(lost).execute(&world.db).await.expect(lost);
    let events = reading.end().await;
    let starts = events.of_kind("text-start");
    assert_eq!(starts.len(), 2, "{:?}", events.kinds());
    assert_ne!(starts[0]["id"], starts[1]["id"]);
    let taken_back = events.of_kind("data-text-discarded");
    assert_eq!(taken_back[0]["data"]["textId"], starts[0]["id"]);
    let stored = "select text from agent.agent_messages where role = 'assistant'";
    assert_eq!(world.text(stored).await, "There are two.");
}

#[tokio::test]
async fn a_person_is_told_once_that_rules_answer() {
    let list = json!({"limit": 1});
    let model = Scripted::new(&[
        &[
            Act::FallBack("Rules answer."),
            Act::Call("a", "inventory_list_items", list),
        ],
        &[Act::FallBack("Rules answer."), Act::Say("There.")],
    ]);
    let world = model.world().await;
    let events = stream(&world, "list").await.end().await;
    let told = events.of_kind("data-fallback");
    assert_eq!(told.len(), 1, "{:?}", events.kinds());
    assert_eq!(told[0]["data"]["reason"], "Rules answer.");
}

#[tokio::test]
async fn a_call_that_cannot_be_made_is_given_back_and_repaired() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let model = Scripted::new(&[
        &[
            Act::Call("a", "inventory_get_item", json!({"itm": "sugar"})),
            Act::Call("b", "inventory_get_items", json!({"item": "sugar"})),
            Act::Call("c", "inventory_get_item", json!("{\"item\": ")),
        ],
        &[Act::Call(
            "d",
            "inventory_get_item",
            json!({"item": "shampoo"}),
        )],
        &[Act::Say("There is shampoo.")],
    ]);
    let world = World::open_with(Setting {
        model: Some(Arc::new(model.clone())),
        server_hooks: mcp_server::app::Hooks::new(move |place| {
            if place.starts_with("tool:") {
                counted.fetch_add(1, Ordering::SeqCst);
            }
            Box::pin(async {})
        }),
        ..Setting::default()
    })
    .await;
    let before = calls.load(Ordering::SeqCst);
    let answer = world.say("s", "any shampoo?").await;
    assert_eq!(
        calls.load(Ordering::SeqCst) - before,
        1,
        "only the good call arrives"
    );
    assert_eq!(answer.status, ChatStatus::Success);
    let statuses: Vec<_> = answer.tool_calls.iter().map(|c| c.status).collect();
    use ToolCallStatus::{Done, Failed};
    assert_eq!(statuses, [Failed, Failed, Failed, Done]);
    let failures: Vec<_> = outcomes(&model, 1)
        .into_iter()
        .map(|(id, outcome)| match outcome {
            ToolOutcome::Failed { failure } => (id, failure.code, failure.field),
            other => panic!("{id} became {other:?}"),
        })
        .collect();
    assert_eq!(
        failures,
        [
            (
                "a".to_owned(),
                FailureCode::InvalidArguments,
                Some("itm".to_owned())
            ),
            ("b".to_owned(), FailureCode::NotAllowed, None),
            ("c".to_owned(), FailureCode::InvalidArguments, None),
        ]
    );
}

#[tokio::test]
async fn reads_of_one_answer_run_side_by_side_and_their_results_keep_the_order() {
    let item = |name: &str| json!({"item": name});
    let model = Scripted::new(&[
        &[
            Act::Call("first", "inventory_get_item", item("shampoo")),
            Act::Call("second", "inventory_get_item", item("eggs")),
        ],
        &[Act::Say("Both.")],
    ]);
    // The first goes on only when the second is there as well.
    let both = Arc::new(Barrier::new(2));
    let meeting = Arc::clone(&both);
    let met = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&met);
    let wait = move |place: &'static str| -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let (meeting, counted) = (Arc::clone(&meeting), Arc::clone(&counted));
        Box::pin(async move {
            if place == "tool:inventory_get_item" {
                let met = tokio::time::timeout(PATIENCE / 6, meeting.wait()).await;
                counted.fetch_add(usize::from(met.is_ok()), Ordering::SeqCst);
            }
        })
    };
    let world = World::open_with(Setting {
        model: Some(Arc::new(model.clone())),
        server_hooks: mcp_server::app::Hooks::new(wait),
        ..Setting::default()
    })
    .await;
    let answer = world.say("s", "both?").await;
    assert_eq!(
        met.load(Ordering::SeqCst),
        2,
        "one waited for the other in vain"
    );
    let names = |calls: Vec<Value>| -> Vec<String> {
        let name = |c: &Value| c["item"]["name"].as_str().map(str::to_lowercase);
        calls.iter().filter_map(name).collect()
    };
    let shown = answer.tool_calls.into_iter().map(|c| c.result).collect();
    assert_eq!(names(shown), ["shampoo", "eggs"]);
    let seen = outcomes(&model, 1)
        .into_iter()
        .map(|(_, outcome)| match outcome {
            ToolOutcome::Done { result } => result,
            other => panic!("{other:?}"),
        });
    assert_eq!(names(seen.collect()), ["shampoo", "eggs"]);
}

#[tokio::test]
async fn a_model_is_told_the_day_and_the_language_and_that_results_are_data() {
    let model = Scripted::new(&[&[Act::Say("Hola.")]]);
    let world = model.world().await;
    world.say("s", "¿Cuánto azúcar queda?").await;
    let request = &model.asked()[0];
    assert!(request.instructions.contains("Answer in Spanish"));
    assert!(request.instructions.contains("never instructions"));
    let today = request.now.with_timezone(&request.time_zone);
    let today = today.format("%Y-%m-%d").to_string();
    assert!(
        request.instructions.contains(&today),
        "{}",
        request.instructions
    );
    assert!(!request.tools.iter().any(|t| t.name == "confirm_action"));
}
