//! `kill -9` at every place where something could be lost or done twice: a bill of our own server, and a charge by somebody else's that keeps
//! no keys. What happened is counted on the side that does it, and the person must have been told.

use contracts::http::approval::ApprovalResponse;
use contracts::http::chat::{ChatResponse, ChatStatus, ToolCallStatus};
use contracts::http::event::{EventBody, RunEvent};
use contracts::http::run::{RunStatus, RunView};
use e2e::program::{CALLS_AS_TOLD, Program, Stage};
use e2e::world::provider::Provider;
use e2e::world::sse::Events;
use e2e::world::until;
use futures::{StreamExt as _, stream};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::PROGRAMS;

const BILL: &str = "Create a bill for Ali: 2kg flour and 1 shampoo";
const CHARGE: &str = r#"call crm.charge {"customer": "Ali", "cents": 500}"#;
/// The name a provider knows `crm.charge` by: the same in every request, whoever makes it.
const CHARGE_WIRE: &str = "crm_charge-xb7ea41478070c4a5";
const FIND: &str = "call crm.find_contact {}";
const TOOL: &str = "tool:billing_create_bill";
const COMMITTED: &str = "committed:billing_create_bill";
/// Stages at once; each has three or four processes.
const STAGES_MAX: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Agent,
    /// The server that is to do it.
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

/// Whose server is to do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// Ours keeps keys and asks by itself.
    Ours,
    /// Theirs keeps none, and the agent asks.
    Theirs,
}

/// What answers the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mind {
    Rules,
    Provider,
}

/// How the person talks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Channel {
    Rest,
    /// Streams, which break off when the agent dies.
    Sse,
    /// The yes names its question.
    Approval,
}

/// What is left in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Once, and the person knows.
    Done,
    /// It may have been done, is not done again, and the person and staff know that it is not known.
    Unknown,
}

/// One death, and how things stand at that moment: the approval's status, and what has been done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Death {
    whose: Whose,
    victim: Victim,
    place: &'static str,
    during: During,
    approval: &'static str,
    done: usize,
    ending: Ending,
}

const fn death(
    (whose, victim): (Whose, Victim),
    (place, during): (&'static str, During),
    (approval, done): (&'static str, usize),
    ending: Ending,
) -> Death {
    Death {
        whose,
        victim,
        place,
        during,
        approval,
        done,
        ending,
    }
}

const OUR_AGENT: (Whose, Victim) = (Whose::Ours, Victim::Agent);
const OUR_SERVER: (Whose, Victim) = (Whose::Ours, Victim::Server);
const THEIR_AGENT: (Whose, Victim) = (Whose::Theirs, Victim::Agent);
const THEIR_SERVER: (Whose, Victim) = (Whose::Theirs, Victim::Server);

/// Every place, with the agent's approval and the effects as the crash finds them.
const DEATHS: [Death; 24] = {
    use During::{Question, Waiting, Yes};
    use Ending::{Done, Unknown};
    [
        // The model has answered and nothing is stored; a call that is to ask is under way; its question has come back.
        death(OUR_AGENT, ("answered", Question), ("none", 0), Done),
        death(OUR_AGENT, ("dispatched", Question), ("none", 0), Done),
        death(OUR_AGENT, ("returned", Question), ("none", 0), Done),
        death(OUR_AGENT, ("asked", Waiting), ("pending", 0), Done),
        // The yes is stored; it is being passed on; its result has come back; the result is stored; the model has answered to it.
        death(OUR_AGENT, ("approved", Yes), ("approved", 0), Done),
        death(OUR_AGENT, ("dispatched", Yes), ("dispatched", 0), Done),
        death(OUR_AGENT, ("returned", Yes), ("dispatched", 1), Done),
        death(OUR_AGENT, ("stored", Yes), ("done", 1), Done),
        death(OUR_AGENT, ("answered", Yes), ("done", 1), Done),
        death(OUR_SERVER, (TOOL, Question), ("none", 0), Done),
        death(OUR_SERVER, (COMMITTED, Question), ("none", 0), Done),
        death(OUR_SERVER, ("asked", Waiting), ("pending", 0), Done),
        death(OUR_SERVER, (TOOL, Yes), ("dispatched", 0), Done),
        death(OUR_SERVER, (COMMITTED, Yes), ("dispatched", 1), Done),
        // Nobody is called before the yes, so nothing of theirs is under way when the agent asks.
        death(THEIR_AGENT, ("answered", Question), ("none", 0), Done),
        death(THEIR_AGENT, ("asked", Waiting), ("pending", 0), Done),
        death(THEIR_AGENT, ("approved", Yes), ("approved", 0), Done),
        death(THEIR_AGENT, ("dispatched", Yes), ("dispatched", 0), Unknown),
        death(THEIR_AGENT, ("returned", Yes), ("dispatched", 1), Unknown),
        death(THEIR_AGENT, ("stored", Yes), ("done", 1), Done),
        death(THEIR_AGENT, ("answered", Yes), ("done", 1), Done),
        death(THEIR_SERVER, ("asked", Waiting), ("pending", 0), Done),
        death(
            THEIR_SERVER,
            ("before:charge", Yes),
            ("dispatched", 0),
            Unknown,
        ),
        death(
            THEIR_SERVER,
            ("done:charge", Yes),
            ("dispatched", 1),
            Unknown,
        ),
    ]
};

/// One death in one kind of conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Case {
    death: Death,
    mind: Mind,
    channel: Channel,
}

/// The conversations a death is lived through in. Every death meets both models, both ways to talk and, where a yes is under way, an answer
/// by its name. Not every combination: what is stored and repeated does not depend on who listens, and who answered is in what is
/// stored. Where the model itself is under way, all four pairs are tried, because there the text that had been written matters as well.
fn conversations(death: Death) -> Vec<Case> {
    let mut pairs = vec![(Mind::Rules, Channel::Rest), (Mind::Provider, Channel::Sse)];
    if death.place == "answered" {
        pairs.push((Mind::Rules, Channel::Sse));
        pairs.push((Mind::Provider, Channel::Rest));
    }
    if death.during == During::Yes {
        pairs.push((Mind::Rules, Channel::Approval));
    }
    let case = |(mind, channel)| Case {
        death,
        mind,
        channel,
    };
    pairs.into_iter().map(case).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_anywhere_and_it_is_done_once_and_the_person_knows() {
    let cases = DEATHS.into_iter().flat_map(conversations);
    let counted: Vec<(Case, Counted)> = stream::iter(cases)
        .map(|case| async move { (case, live_through(case).await) })
        .buffered(STAGES_MAX)
        .collect()
        .await;
    println!(
        "{:<6} {:<6} {:<30} {:<8} {:<8} {:<8} | {:<10} {:>4} | {:>4} {:>6} {:>5} {:<6} {:<8} {:<8} {:<7}",
        "server",
        "killed",
        "at",
        "during",
        "model",
        "by",
        "found",
        "done",
        "done",
        "audits",
        "asked",
        "flour",
        "shampoo",
        "approval",
        "told"
    );
    for (case, counted) in &counted {
        let death = case.death;
        println!(
            "{:<6} {:<6} {:<30} {:<8} {:<8} {:<8} | {:<10} {:>4} | {:>4} {:>6} {:>5} {:<6} {:<8} {:<8} {:<7}",
            format!("{:?}", death.whose),
            format!("{:?}", death.victim),
            death.place,
            format!("{:?}", death.during),
            format!("{:?}", case.mind),
            format!("{:?}", case.channel),
            death.approval,
            death.done,
            counted.done,
            counted.audits,
            counted.questions,
            counted.flour,
            counted.shampoo,
            counted.approvals,
            counted.told
        );
    }
    for (case, counted) in counted {
        assert_eq!(counted, Counted::right(case.death), "{case:?}");
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
        let death = death(
            (Whose::Ours, victim),
            (place, During::Question),
            ("none", 0),
            Ending::Done,
        );
        let mut scene = Scene::open(Case {
            death,
            mind: Mind::Rules,
            channel: Channel::Rest,
        })
        .await;
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

/// A read of somebody else's server is made again, and nobody is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_after_somebody_elses_read_and_it_is_read_again() {
    let death = death(
        THEIR_AGENT,
        ("read", During::Question),
        ("none", 0),
        Ending::Done,
    );
    let mut scene = Scene::open(Case {
        death,
        mind: Mind::Rules,
        channel: Channel::Rest,
    })
    .await;
    let body = scene
        .send(During::Question, |agent| agent.message("s", "key", FIND))
        .await;
    let told: ChatResponse = serde_json::from_str(&body).expect("a chat response");
    assert_eq!(told.response, "find_contact done.", "{told:?}");
    assert_eq!(scene.stage.book().count("find_contact"), 2);
}

/// What both sides say in the end.
#[derive(Debug, PartialEq, Eq)]
struct Counted {
    /// Bills, or charges, on the side of whoever makes them.
    done: usize,
    /// Questions our server has asked, or the agent.
    questions: i64,
    flour: String,
    shampoo: String,
    audits: i64,
    /// The status of every approval there is.
    approvals: String,
    /// What the person was told became of it.
    told: &'static str,
}

impl Counted {
    /// As it must be after a death.
    fn right(death: Death) -> Counted {
        let (ours, known) = (death.whose == Whose::Ours, death.ending == Ending::Done);
        let words = |text: &str| text.to_owned();
        Counted {
            done: if known { 1 } else { death.done },
            questions: 1,
            flour: words(if ours { "48" } else { "50" }),
            shampoo: words(if ours { "11" } else { "12" }),
            audits: i64::from(ours),
            approvals: words(if known { "done" } else { "unknown" }),
            told: if known { "done" } else { "unknown" },
        }
    }

    async fn of(scene: &Scene, told: &ChatResponse) -> Counted {
        let stage = &scene.stage;
        let questions = match scene.case.death.whose {
            Whose::Ours => "select count(*) from shop.confirmations",
            Whose::Theirs => "select count(*) from agent.approvals where asked_by = 'agent'",
        };
        Counted {
            done: scene.done().await,
            questions: stage.number(questions).await,
            flour: stage.on_hand("Flour").await,
            shampoo: stage.on_hand("Shampoo").await,
            audits: stage
                .number("select count(*) from shop.audit_log where tool = 'billing_create_bill'")
                .await,
            approvals: approvals(stage).await,
            told: match told.tool_calls.first().map(|c| c.status) {
                Some(ToolCallStatus::Done) => "done",
                Some(ToolCallStatus::Unknown) => "unknown",
                _ => "other",
            },
        }
    }
}

async fn approvals(stage: &Stage) -> String {
    stage.text("select coalesce(string_agg(status, ' ' order by created_at), 'none') from agent.approvals").await
}

/// Something is asked for and agreed to, and in the middle of it one program dies and is started again.
async fn live_through(case: Case) -> Counted {
    let mut scene = Scene::open(case).await;
    let wish = match case.death.whose {
        Whose::Ours => BILL,
        Whose::Theirs => CHARGE,
    };
    let asked = scene.say(During::Question, "key-ask", wish).await;
    assert_eq!(
        asked.status,
        ChatStatus::PendingConfirmation,
        "{case:?}: {asked:?}"
    );
    assert_eq!(asked.confirmations.len(), 1, "{case:?}");
    if case.death.during == During::Waiting {
        scene.die(None).await;
        scene.start_again().await;
    }
    let told = match case.channel {
        Channel::Rest | Channel::Sse => scene.say(During::Yes, "key-yes", "yes").await,
        Channel::Approval => scene.approve(asked.confirmations[0].approval_id).await,
    };
    assert_eq!(
        told.run_id, asked.run_id,
        "{case:?}: the answer resumes the run that asked"
    );
    scene.person_knows(&told).await;
    // What was asked again after a death was a valid request too.
    let requests = scene.provider.as_ref().map_or(2, |p| p.asked().len());
    assert!(requests >= 2, "{case:?}: the provider was not asked");
    Counted::of(&scene, &told).await
}

struct Scene {
    case: Case,
    stage: Stage,
    server: Program,
    /// Somebody else's.
    crm: Option<Program>,
    agent: Program,
    /// Outlives the agent.
    provider: Option<Provider>,
}

/// The provider says what the rules would.
async fn provider() -> Provider {
    let bill = json!({"customer": "Ali", "lines": [{"item": "flour", "quantity": "2", "unit": "kg"}, {"item": "shampoo", "quantity": "1"}]});
    let charge = json!({"customer": "Ali", "cents": 500});
    let scene = |message: &str, tool: &str, arguments: &Value| {
        json!({"when": {"text": message}, "answers": [
            {"calls": [{"name": tool, "arguments": arguments}]},
            {"say": "What became of it: {{summary}}"},
        ]})
    };
    Provider::scenes(&json!([
        scene(BILL, "billing_create_bill", &bill),
        scene(CHARGE, CHARGE_WIRE, &charge)
    ]))
    .await
}

impl Scene {
    async fn open(case: Case) -> Scene {
        let mut stage = Stage::open(PROGRAMS).await;
        let provider = match case.mind {
            Mind::Provider => Some(provider().await),
            Mind::Rules => None,
        };
        let variables = provider.as_ref().map(|p| p.variables(true));
        for (name, value) in variables.unwrap_or_default() {
            stage = stage.with(name, &value);
        }
        let mut crm = None;
        if case.death.whose == Whose::Theirs {
            let started = stage.foreign(None).await;
            stage = stage.with("MCP_EXTRA_SERVERS", &format!("crm={}", started.url));
            if case.mind == Mind::Rules {
                stage = stage.with(CALLS_AS_TOLD, "yes");
            }
            crm = Some(started);
        }
        let server = stage.server().await;
        let agent = stage.agent(&server).await;
        Scene {
            case,
            stage,
            server,
            crm,
            agent,
            provider,
        }
    }

    fn victim(&self) -> &Program {
        match (self.case.death.victim, &self.crm) {
            (Victim::Agent, _) => &self.agent,
            (Victim::Server, Some(crm)) => crm,
            (Victim::Server, None) => &self.server,
        }
    }

    /// What has been done, on the side of whoever does it.
    async fn done(&self) -> usize {
        match self.case.death.whose {
            Whose::Ours => {
                let bills = self.stage.number("select count(*) from shop.bills").await;
                usize::try_from(bills).expect("a count")
            }
            Whose::Theirs => self.stage.book().count("charge"),
        }
    }

    /// Says something, whoever dies meanwhile. Whoever listens to a stream hears in the end what a whole answer says, and the same
    /// message again is answered the same.
    async fn say(&mut self, during: During, key: &str, message: &str) -> ChatResponse {
        let whole = |agent: &Program| agent.message("s", key, message);
        let streams = self.case.channel == Channel::Sse;
        let body = if streams {
            let heard = self
                .send(during, |agent| {
                    whole(agent).header("accept", "text/event-stream")
                })
                .await;
            let heard = Events(heard);
            assert!(heard.is_done(), "{:?}: {heard:?}", self.case);
            let body = ok(whole(&self.agent)).await;
            let told: ChatResponse = serde_json::from_str(&body).expect("a chat response");
            let asked = told
                .confirmations
                .first()
                .map(|c| json!(c.message).to_string());
            let heard_it = asked.map_or_else(
                || heard.said().contains(&told.response),
                |message| heard.0.contains(&message),
            );
            assert!(heard_it, "{:?}: {heard:?} {told:?}", self.case);
            body
        } else {
            self.send(during, whole).await
        };
        let again = ok(whole(&self.agent)).await;
        assert_eq!(again, body, "{:?}: the same message again", self.case);
        serde_json::from_str(&body).expect("a chat response")
    }

    /// Says yes to a question by its name.
    async fn approve(&mut self, approval: Uuid) -> ChatResponse {
        let yes = |agent: &Program| {
            agent
                .post(&format!("/agent/approvals/{approval}"))
                .json(&json!({"decision": "approve"}))
        };
        let body = self.send(During::Yes, yes).await;
        let again = ok(yes(&self.agent)).await;
        assert_eq!(again, body, "{:?}: the same answer again", self.case);
        let recorded: ApprovalResponse = serde_json::from_str(&body).expect("a recorded answer");
        recorded.outcome
    }

    /// Sends a request and returns the body of its answer. If this is when the victim dies, it dies while it works on it; a client whose
    /// agent is gone sends the very same request to the next one.
    async fn send(
        &mut self,
        during: During,
        request: impl Fn(&Program) -> RequestBuilder,
    ) -> String {
        let death = self.case.death;
        if death.during != during {
            return ok(request(&self.agent)).await;
        }
        self.victim().pause.at(death.place);
        let request_now = request(&self.agent);
        let sent = tokio::spawn(async move {
            let response = request_now.send().await?;
            let status = response.status();
            response.text().await.map(|text| (status, text))
        });
        self.die(Some(death.place)).await;
        self.start_again().await;
        let answer = sent.await.expect("no panic");
        match death.victim {
            Victim::Server => {
                let (status, text) = answer.expect("the agent waits for its server");
                assert_eq!(status, StatusCode::OK, "{:?}: {text}", self.case);
                text
            }
            Victim::Agent => {
                // A stream may have said something before it broke off, but not the end.
                let broken = answer.map_or(true, |(_, text)| !text.contains("[DONE]"));
                assert!(broken, "{:?}: nobody is left to answer", self.case);
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
        // Before it dies: whoever waits for a server of theirs knows of its death at once.
        let found = (approvals(&self.stage).await, self.done().await);
        self.victim().kill().await;
        let death = self.case.death;
        assert_eq!(
            found,
            (death.approval.to_owned(), death.done),
            "{:?}: not the crash that is meant",
            self.case
        );
    }

    async fn start_again(&mut self) {
        match (self.case.death.victim, &self.crm) {
            (Victim::Agent, _) => self.agent = self.stage.agent(&self.server).await,
            (Victim::Server, Some(crm)) => {
                self.crm = Some(self.stage.foreign(Some(&crm.url)).await);
            }
            (Victim::Server, None) => {
                self.server = self.stage.server_again(&self.server.url).await;
            }
        }
    }

    /// The reply says what became of it.
    fn is_told(&self, told: &ChatResponse) -> ChatStatus {
        let case = self.case;
        let call = told.tool_calls.first().expect("the call");
        match (case.death.ending, case.death.whose) {
            (Ending::Done, Whose::Ours) => {
                assert!(told.response.contains("INV-1"), "{case:?}: {told:?}");
                assert_eq!(call.result["number"], "INV-1", "{case:?}");
            }
            (Ending::Done, Whose::Theirs) => {
                assert!(told.response.contains("Charged."), "{case:?}: {told:?}");
            }
            (Ending::Unknown, _) => {
                assert!(!told.response.is_empty(), "{case:?}");
                let rules = case.mind == Mind::Rules;
                let said = told.response.contains("not known whether");
                assert!(said || !rules, "{case:?}: {told:?}");
            }
        }
        let status = match case.death.ending {
            Ending::Done => ChatStatus::Success,
            Ending::Unknown => ChatStatus::Error,
        };
        assert_eq!(told.status, status, "{case:?}: {told:?}");
        assert!(
            told.confirmations.is_empty(),
            "{case:?}: nothing is left to answer"
        );
        status
    }

    /// The reply says what became of it, and the run's trace, its events and the transcript say the same.
    async fn person_knows(&self, told: &ChatResponse) {
        let case = self.case;
        let status = self.is_told(told);
        let trace = ok(self.agent.get(&format!("/agent/runs/{}", told.run_id))).await;
        let run: RunView = serde_json::from_str(&trace).expect("a trace");
        assert_eq!(run.status, RunStatus::Done, "{case:?}");
        assert_eq!(run.approvals.len(), 1, "{case:?}: one question");
        log_is_whole(&run.events, case, status);
        assert!(
            said_last(&run.events).contains(&told.response),
            "{case:?}: the log ends with the reply"
        );
        let unfinished = run
            .steps
            .iter()
            .filter(|s| s.kind == "model" && s.response.is_none())
            .count();
        assert_eq!(unfinished, 0, "{case:?}");

        let transcript = self.transcript(told.run_id).await;
        assert_eq!(transcript.last(), Some(&told.response), "{case:?}");
        assert_eq!(
            transcript.len(),
            2,
            "{case:?}: the question and the reply, each once: {transcript:?}"
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
            "{case:?}: nothing is active any more"
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
fn log_is_whole(events: &[RunEvent], case: Case, ended: ChatStatus) {
    assert!(
        events.iter().zip(1..).all(|(e, seq)| e.seq == seq),
        "{case:?}: a gap"
    );
    let count = |name: &str| events.iter().filter(|e| e.body.name() == name).count();
    for (what, times) in [
        ("tool_called", 1),
        ("question", 1),
        ("answered", 1),
        ("tool_returned", 1),
        ("finished", 1),
        ("failed", 0),
        ("fallback", 0),
    ] {
        assert_eq!(count(what), times, "{case:?}: {what}");
    }
    assert_eq!(
        count("step_started"),
        count("step_finished"),
        "{case:?}: {events:?}"
    );
    assert!(
        matches!(
            events.last().map(|e| &e.body),
            Some(EventBody::Finished { status, .. }) if *status == ended
        ),
        "{case:?}"
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
