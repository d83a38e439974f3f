//! `kill -9` at every place where a bill could be lost or made twice. What happened is counted in the shop's own tables, and the person
//! must have been told.

use contracts::http::approval::ApprovalResponse;
use contracts::http::chat::{ChatResponse, ChatStatus, ToolCallStatus};
use contracts::http::event::{EventBody, RunEvent};
use contracts::http::run::{RunStatus, RunView};
use e2e::program::{Program, Stage};
use e2e::world::until;
use futures::{StreamExt as _, stream};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::PROGRAMS;

const BILL: &str = "Create a bill for Ali: 2kg flour and 1 shampoo";
const TOOL: &str = "tool:billing_create_bill";
const COMMITTED: &str = "committed:billing_create_bill";
/// Stages at once; each has three processes.
const STAGES_MAX: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Agent,
    Server,
}

/// What is under way when the program dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum During {
    Question,
    /// Nothing: the question is stored and everybody waits for the person.
    Waiting,
    Yes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Chat,
    Rest,
}

/// One death, and how things stand at that moment: the approval's status, and the bills there are.
#[derive(Debug, Clone, Copy)]
struct Death {
    victim: Victim,
    place: &'static str,
    during: During,
    answer: Answer,
    approval: &'static str,
    bills: i64,
}

/// Every place, with the agent's approval and the shop's bills as the crash finds them.
const DEATHS: [(Victim, &str, During, &str, i64); 11] = [
    (Victim::Agent, "dispatched", During::Question, "none", 0),
    (Victim::Agent, "returned", During::Question, "none", 0),
    (Victim::Agent, "asked", During::Waiting, "pending", 0),
    (Victim::Agent, "approved", During::Yes, "approved", 0),
    (Victim::Agent, "dispatched", During::Yes, "dispatched", 0),
    (Victim::Agent, "returned", During::Yes, "dispatched", 1),
    (Victim::Server, TOOL, During::Question, "none", 0),
    (Victim::Server, COMMITTED, During::Question, "none", 0),
    (Victim::Server, "asked", During::Waiting, "pending", 0),
    (Victim::Server, TOOL, During::Yes, "dispatched", 0),
    (Victim::Server, COMMITTED, During::Yes, "dispatched", 1),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_anywhere_and_there_is_one_bill_and_the_person_knows() {
    let deaths = DEATHS
        .into_iter()
        .flat_map(|(victim, place, during, approval, bills)| {
            [Answer::Chat, Answer::Rest].map(|answer| Death {
                victim,
                place,
                during,
                answer,
                approval,
                bills,
            })
        });
    let counted: Vec<(Death, Counted)> = stream::iter(deaths)
        .map(|death| async move { (death, live_through(death).await) })
        .buffered(STAGES_MAX)
        .collect()
        .await;
    println!(
        "{:<7} {:<30} {:<9} {:<5} | {:>5} {:<6} {:<8} {:>6} {:<8}",
        "killed", "at", "during", "yes", "bills", "flour", "shampoo", "audits", "approval"
    );
    for (death, counted) in &counted {
        println!(
            "{:<7} {:<30} {:<9} {:<5} | {:>5} {:<6} {:<8} {:>6} {:<8}",
            format!("{:?}", death.victim),
            death.place,
            format!("{:?}", death.during),
            format!("{:?}", death.answer),
            counted.bills,
            counted.flour,
            counted.shampoo,
            counted.audits,
            counted.approvals
        );
    }
    let right = Counted {
        bills: 1,
        questions: 1,
        flour: "48".to_owned(),
        shampoo: "11".to_owned(),
        audits: 1,
        approvals: "done".to_owned(),
    };
    for (death, counted) in counted {
        assert_eq!(counted, right, "{death:?}");
    }
}

/// A write asks nobody, so its key alone makes it happen once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_in_a_write_and_it_is_done_once() {
    let deaths = [
        (Victim::Agent, "dispatched"),
        (Victim::Agent, "returned"),
        (Victim::Server, "tool:inventory_update_item"),
        (Victim::Server, "committed:inventory_update_item"),
    ];
    for (victim, place) in deaths {
        let death = Death {
            victim,
            place,
            during: During::Question,
            answer: Answer::Chat,
            approval: "none",
            bills: 0,
        };
        let mut scene = Scene::open(death).await;
        let delivery = |agent: &Program| agent.message("s", "key", "Increase flour stock by 25kg");
        let body = scene.send(During::Question, delivery).await;
        let told: ChatResponse = serde_json::from_str(&body).expect("a chat response");
        assert_eq!(told.status, ChatStatus::Success, "{death:?}: {told:?}");
        assert!(told.response.contains("75 kg"), "{death:?}: {told:?}");
        assert_eq!(scene.stage.on_hand("Flour").await, "75", "{death:?}");
        let audits = "select count(*) from shop.audit_log where tool = 'inventory_update_item'";
        assert_eq!(scene.stage.number(audits).await, 1, "{death:?}");
        assert_eq!(ok(delivery(&scene.agent)).await, body, "{death:?}");
    }
}

/// What the tables of both programs say in the end.
#[derive(Debug, PartialEq, Eq)]
struct Counted {
    bills: i64,
    /// Questions the server has asked.
    questions: i64,
    flour: String,
    shampoo: String,
    audits: i64,
    /// The status of every approval there is.
    approvals: String,
}

impl Counted {
    async fn of(stage: &Stage) -> Counted {
        Counted {
            bills: bills(stage).await,
            questions: stage
                .number("select count(*) from shop.confirmations")
                .await,
            flour: stage.on_hand("Flour").await,
            shampoo: stage.on_hand("Shampoo").await,
            audits: stage
                .number("select count(*) from shop.audit_log where tool = 'billing_create_bill'")
                .await,
            approvals: approvals(stage).await,
        }
    }
}

async fn bills(stage: &Stage) -> i64 {
    stage.number("select count(*) from shop.bills").await
}

async fn approvals(stage: &Stage) -> String {
    stage.text("select coalesce(string_agg(status, ' ' order by created_at), 'none') from agent.approvals").await
}

/// A bill is asked for and agreed to, and in the middle of it one program dies and is started again.
async fn live_through(death: Death) -> Counted {
    let mut scene = Scene::open(death).await;
    let asked = scene
        .send(During::Question, |agent| {
            agent.message("s", "key-ask", BILL)
        })
        .await;
    let asked: ChatResponse = serde_json::from_str(&asked).expect("a chat response");
    assert_eq!(
        asked.status,
        ChatStatus::PendingConfirmation,
        "{death:?}: {asked:?}"
    );
    assert_eq!(asked.confirmations.len(), 1, "{death:?}");
    if death.during == During::Waiting {
        scene.die(None).await;
        scene.start_again().await;
    }
    let approval = asked.confirmations[0].approval_id;
    let yes = |agent: &Program| match death.answer {
        Answer::Chat => agent.message("s", "key-yes", "yes"),
        Answer::Rest => agent
            .post(&format!("/agent/approvals/{approval}"))
            .json(&json!({"decision": "approve"})),
    };
    let body = scene.send(During::Yes, yes).await;
    let told = match death.answer {
        Answer::Chat => serde_json::from_str(&body).expect("a chat response"),
        Answer::Rest => {
            serde_json::from_str::<ApprovalResponse>(&body)
                .expect("a recorded answer")
                .outcome
        }
    };
    assert_eq!(
        told.run_id, asked.run_id,
        "{death:?}: the answer resumes the run that asked"
    );
    scene.person_knows(&told).await;
    let again = ok(yes(&scene.agent)).await;
    assert_eq!(
        again, body,
        "{death:?}: the same answer again is answered the same"
    );
    Counted::of(&scene.stage).await
}

struct Scene {
    death: Death,
    stage: Stage,
    server: Program,
    agent: Program,
}

impl Scene {
    async fn open(death: Death) -> Scene {
        let stage = Stage::open(PROGRAMS).await;
        let server = stage.server().await;
        let agent = stage.agent(&server).await;
        Scene {
            death,
            stage,
            server,
            agent,
        }
    }

    fn victim(&self) -> &Program {
        match self.death.victim {
            Victim::Agent => &self.agent,
            Victim::Server => &self.server,
        }
    }

    /// Sends a request and returns the body of its answer. If this is when the victim dies, it dies while it works on it; a client whose
    /// agent is gone sends the very same request to the next one.
    async fn send(
        &mut self,
        during: During,
        request: impl Fn(&Program) -> RequestBuilder,
    ) -> String {
        if self.death.during != during {
            return ok(request(&self.agent)).await;
        }
        let place = self.death.place;
        self.victim().pause.at(place);
        let sent = tokio::spawn(request(&self.agent).send());
        self.die(Some(place)).await;
        self.start_again().await;
        let answer = sent.await.expect("no panic");
        match self.death.victim {
            Victim::Server => body(answer.expect("the agent waits for its server")).await,
            Victim::Agent => {
                assert!(
                    answer.is_err(),
                    "{:?}: nobody is left to answer",
                    self.death
                );
                let work = "select count(*) from agent.runs where status in ('running', 'queued')";
                until("the work goes on without being asked for", || async {
                    self.stage.number(work).await == 0
                })
                .await;
                ok(request(&self.agent)).await
            }
        }
    }

    /// Dies, at a place if there is one, with everything as the table of deaths says.
    async fn die(&self, place: Option<&str>) {
        if place.is_some() {
            self.victim().pause.reached().await;
        }
        self.victim().kill().await;
        let found = (approvals(&self.stage).await, bills(&self.stage).await);
        assert_eq!(
            found,
            (self.death.approval.to_owned(), self.death.bills),
            "{:?}: not the crash that is meant",
            self.death
        );
    }

    async fn start_again(&mut self) {
        match self.death.victim {
            Victim::Agent => self.agent = self.stage.agent(&self.server).await,
            Victim::Server => self.server = self.stage.server_again(&self.server.url).await,
        }
    }

    /// The reply says that it is done, and the run's trace, its events and the transcript say the same.
    async fn person_knows(&self, told: &ChatResponse) {
        let death = self.death;
        assert_eq!(told.status, ChatStatus::Success, "{death:?}: {told:?}");
        assert!(
            told.response.contains("INV-1"),
            "{death:?}: {}",
            told.response
        );
        let call = told.tool_calls.first().expect("the call");
        assert_eq!(
            (call.status, &call.result["number"]),
            (ToolCallStatus::Done, &Value::from("INV-1")),
            "{death:?}"
        );
        assert!(
            told.confirmations.is_empty(),
            "{death:?}: nothing is left to answer"
        );

        let trace = ok(self.agent.get(&format!("/agent/runs/{}", told.run_id))).await;
        let run: RunView = serde_json::from_str(&trace).expect("a trace");
        assert_eq!(run.status, RunStatus::Done, "{death:?}");
        assert_eq!(run.approvals.len(), 1, "{death:?}: one question");
        log_is_whole(&run.events, death);
        assert!(
            said_last(&run.events).contains(&told.response),
            "{death:?}: the log ends with the reply"
        );
        let unfinished = run
            .steps
            .iter()
            .filter(|s| s.kind == "model" && s.response.is_none())
            .count();
        assert_eq!(unfinished, 0, "{death:?}");

        let transcript = self.transcript(told.run_id).await;
        assert_eq!(transcript.last(), Some(&told.response), "{death:?}");
        assert_eq!(
            transcript.len(),
            2,
            "{death:?}: the question and the reply, each once: {transcript:?}"
        );
        let attached = self
            .agent
            .get("/agent/chat/s/stream")
            .send()
            .await
            .expect("an answer");
        assert_eq!(
            attached.status(),
            StatusCode::NO_CONTENT,
            "{death:?}: nothing is active any more"
        );
    }

    async fn transcript(&self, run_id: Uuid) -> Vec<String> {
        let said = "select text from agent.agent_messages where run_id = $1 and role = 'assistant' order by created_at, id";
        sqlx::query_scalar(said)
            .bind(run_id)
            .fetch_all(&self.stage.db)
            .await
            .expect("the transcript")
    }
}

/// Numbered without a gap, each call announced once and over once, each step begun is over, and the end is the end.
fn log_is_whole(events: &[RunEvent], death: Death) {
    assert!(
        events.iter().zip(1..).all(|(e, seq)| e.seq == seq),
        "{death:?}: a gap"
    );
    let count = |name: &str| events.iter().filter(|e| e.body.name() == name).count();
    for (what, times) in [
        ("tool_called", 1),
        ("question", 1),
        ("answered", 1),
        ("tool_returned", 1),
        ("finished", 1),
        ("failed", 0),
    ] {
        assert_eq!(count(what), times, "{death:?}: {what}");
    }
    assert_eq!(
        count("step_started"),
        count("step_finished"),
        "{death:?}: {events:?}"
    );
    assert!(
        matches!(
            events.last().map(|e| &e.body),
            Some(EventBody::Finished {
                status: ChatStatus::Success,
                ..
            })
        ),
        "{death:?}"
    );
}

fn said_last(events: &[RunEvent]) -> String {
    let begun = events
        .iter()
        .rposition(|e| e.body.begins_turn())
        .unwrap_or(0);
    let deltas = events[begun..].iter().filter_map(|e| match &e.body {
        EventBody::TextDelta { delta, .. } => Some(delta.as_str()),
        _ => None,
    });
    deltas.collect()
}

async fn ok(request: RequestBuilder) -> String {
    body(request.send().await.expect("an answer")).await
}

async fn body(response: reqwest::Response) -> String {
    let status = response.status();
    let text = response.text().await.expect("a body");
    assert_eq!(status, StatusCode::OK, "{text}");
    text
}
