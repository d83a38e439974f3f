//! Every fault a provider can have, at every stage of a run that ends in a bill: what the person gets, and what happens in the shop.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use agent::stub_provider::{FaultKind, Received};
use e2e::world::provider::{MODEL_TIMEOUT, Provider};
use e2e::world::sse::{Events, Stream};
use e2e::world::{Setting, World};
use futures::future::join_all;
use serde_json::{Value, json};

/// Shops in which faults are tried side by side.
const SHOPS: usize = 10;
/// What a turn may take besides one answer that never comes: the other answers of the turn, on a machine with other work.
const MARGIN: Duration = Duration::from_secs(30);
const BILL: &str = "Create a bill for Ali: 2kg sugar";
/// Begins the last text of the script, so only a scripted model says it.
const SCRIPTED: &str = "All set.";

/// Where in a run the fault is.
const STAGES: [&str; 5] = [
    "the first answer",
    "after a read",
    "the call that asks",
    "after the yes",
    "the last text",
];
const ASKS: usize = 2;
const LAST: usize = 4;

/// The answers of the script, one per stage.
fn answers() -> [Value; 5] {
    let look = json!([{"name": "inventory_get_item", "arguments": {"item": "sugar"}}]);
    let list =
        json!([{"name": "inventory_list_items", "arguments": {"category": "beauty"}}, look[0]]);
    let lines = json!([{"item": "sugar", "quantity": "2", "unit": "kg"}]);
    let bill =
        json!([{"name": "billing_create_bill", "arguments": {"customer": "Ali", "lines": lines}}]);
    [
        json!({"calls": look}),
        json!({"say": "One moment please.", "calls": list}),
        json!({"say": "I will make it.", "calls": bill}),
        json!({"calls": look}),
        json!({"say": format!("{SCRIPTED} {{{{summaries}}}}")}),
    ]
}

/// How a fault ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Nobody notices.
    Harmless,
    /// The model is asked again, and a second answer is in order.
    Passes,
    /// Asking again is in vain or takes too long: the rules answer.
    GivesUp,
    /// The call is not made, and the model corrects it.
    Repaired,
}

/// None where the fault changes nothing. Calls for ever have scenes of their own.
fn outcome(kind: FaultKind, stage: usize, stream: bool) -> Option<Outcome> {
    Some(match kind {
        FaultKind::MissingIndex
        | FaultKind::MissingId
        | FaultKind::RepeatedIds
        | FaultKind::ArgumentsObject
        | FaultKind::WrongArguments
        | FaultKind::NotJsonArguments
        | FaultKind::UnknownTool
            if stage == LAST =>
        {
            return None;
        }
        FaultKind::JsonInsteadOfStream if !stream => return None,
        FaultKind::StreamInsteadOfJson if stream => return None,
        FaultKind::OddFields
        | FaultKind::MissingIndex
        | FaultKind::MissingId
        | FaultKind::RepeatedIds
        | FaultKind::ArgumentsObject
        | FaultKind::JsonInsteadOfStream
        | FaultKind::StreamInsteadOfJson => Outcome::Harmless,
        // A whole answer may be long in coming, so its silence is only ended by the deadline.
        FaultKind::Hang | FaultKind::HangAfterHeaders if !stream => Outcome::GivesUp,
        FaultKind::RateLimited
        | FaultKind::RateLimitedDate
        | FaultKind::RateLimitedHtml
        | FaultKind::NumericCode
        | FaultKind::ServerError
        | FaultKind::Hang
        | FaultKind::HangAfterHeaders
        | FaultKind::Cut
        | FaultKind::Reset
        | FaultKind::NoFinish
        | FaultKind::DoneOnly
        | FaultKind::Garbage
        | FaultKind::RandomBytes
        | FaultKind::ErrorInStream => Outcome::Passes,
        FaultKind::NumericCodeBadRequest
        | FaultKind::Quota
        | FaultKind::Unauthorized
        | FaultKind::Unavailable
        | FaultKind::Drip => Outcome::GivesUp,
        FaultKind::WrongArguments | FaultKind::NotJsonArguments | FaultKind::UnknownTool => {
            Outcome::Repaired
        }
        FaultKind::EndlessCalls => return None,
    })
}

/// One fault at one stage, for one bill.
#[derive(Debug, Clone, Copy)]
struct Case {
    kind: FaultKind,
    outcome: Outcome,
    stage: usize,
    stream: bool,
    /// It strikes once; else for ever.
    once: bool,
}

impl Case {
    fn all() -> VecDeque<Case> {
        let mut cases = VecDeque::new();
        for &kind in FaultKind::all() {
            for stream in [true, false] {
                // A whole answer is read in another way and used in the same: one with several calls, one that asks and one with words
                // will do.
                let stages: &[usize] = if stream {
                    &[0, 1, ASKS, 3, LAST]
                } else {
                    &[1, ASKS, LAST]
                };
                for &stage in stages {
                    let Some(outcome) = outcome(kind, stage, stream) else {
                        continue;
                    };
                    let case = |once| Case {
                        kind,
                        outcome,
                        stage,
                        stream,
                        once,
                    };
                    match outcome {
                        // Once it is out, the way to the rules is the same, streamed or not.
                        Outcome::Passes if stream => cases.extend([case(true), case(false)]),
                        Outcome::Passes => cases.push_back(case(true)),
                        Outcome::Harmless | Outcome::GivesUp => cases.push_back(case(false)),
                        Outcome::Repaired => cases.push_back(case(true)),
                    }
                }
            }
        }
        // What lets no agent down comes first, so that few agents have to be started.
        cases
            .make_contiguous()
            .sort_by_key(|case| (case.by_rules(), case.stream));
        cases
    }

    fn scenes(self) -> Value {
        let mut answers = answers().to_vec();
        if self.takes_over() {
            let last = answers[LAST].clone();
            answers[1..].fill(last);
        }
        if self.outcome == Outcome::Repaired {
            answers.insert(self.stage, answers[self.stage].clone());
        }
        let mut fault = json!({"kind": self.kind});
        if self.once {
            fault["times"] = json!(1);
        }
        answers[self.stage]["fault"] = fault;
        json!([{"when": {"text": BILL}, "answers": answers}])
    }

    /// Who is to answer at the stage.
    fn by_rules(self) -> bool {
        match self.outcome {
            Outcome::Harmless | Outcome::Repaired => false,
            Outcome::Passes => !self.once,
            Outcome::GivesUp => true,
        }
    }

    /// A request that is refused does not keep the model from the next one: after the rules have asked, it tells what came of it.
    fn takes_over(self) -> bool {
        self.kind == FaultKind::NumericCodeBadRequest && self.stage == 0
    }

    /// For the same reason it is asked for the bill again and refused again, and the rules only tell what was read.
    fn is_never_asked(self) -> bool {
        self.kind == FaultKind::NumericCodeBadRequest && (1..=ASKS).contains(&self.stage)
    }

    /// Whose words are the last.
    fn ends_scripted(self) -> bool {
        !self.by_rules() || self.takes_over()
    }
}

/// What came of a case.
struct Row {
    case: Case,
    seconds: f64,
    by_rules: bool,
    bills: i64,
    last: String,
    wrong: Vec<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_wrong_with_it_there_is_one_bill_and_a_plain_answer() {
    let cases = Mutex::new(Case::all());
    let next = || {
        cases
            .lock()
            .expect("no case panics while it holds this")
            .pop_front()
    };
    let shops = (0..SHOPS).map(|_| async {
        let mut shop = Shop::open().await;
        let mut rows = Vec::new();
        while let Some(case) = next() {
            rows.push(shop.tries(case).await);
        }
        rows
    });
    let mut rows: Vec<Row> = join_all(shops).await.into_iter().flatten().collect();
    rows.sort_by_key(|row| {
        (
            row.case.kind.to_string(),
            row.case.stage,
            row.case.stream,
            row.case.once,
        )
    });
    println!("{}{} cases", table(&rows), rows.len());
    let wrong: Vec<String> = rows
        .iter()
        .flat_map(|row| row.wrong.iter().map(|w| format!("{:?}: {w}", row.case)))
        .collect();
    assert!(rows.len() > 240, "only {} cases", rows.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A shop in which one case is tried after the other.
struct Shop {
    world: World,
    /// What its agent asks, and whether in pieces; none when the agent has been let down and would not ask again for a while.
    provider: Option<(Provider, bool)>,
}

impl Shop {
    async fn open() -> Shop {
        // A run is never taken from a busy worker here: what would be left then is another story.
        let variables = [("RUN_LEASE_SECONDS", "60".to_owned())].into();
        let setting = Setting {
            variables,
            ..Setting::default()
        };
        let world = World::open_with(setting).await;
        world
            .say("owner", "Add 10000kg sugar at 160 per kg to grocery")
            .await;
        Shop {
            world,
            provider: None,
        }
    }

    async fn tries(&mut self, case: Case) -> Row {
        let provider = match self.provider.take() {
            Some((provider, stream)) if stream == case.stream => provider,
            _ => {
                let provider = Provider::scenes(&case.scenes()).await;
                provider.drive(&mut self.world, case.stream).await;
                provider
            }
        };
        provider.set_scenes(&case.scenes());
        let asked_before = provider.asked().len();
        let row = tried(&self.world, case, || {
            provider.asked().split_off(asked_before)
        })
        .await;
        if !row.by_rules {
            self.provider = Some((provider, case.stream));
        }
        row
    }
}

async fn tried(world: &World, case: Case, asked: impl Fn() -> Vec<Received>) -> Row {
    let before = Effects::of(world).await;
    let begun = Instant::now();
    let mut turns = Vec::new();
    let session = format!("{}-{}-{}-{}", case.kind, case.stage, case.stream, case.once);
    // Rules that take over after a read only tell what was read, and have to be told again what is wanted.
    for _ in 0..2 {
        let turn = say(world, &session, BILL).await;
        let is_asked = turn.status() == "pending_confirmation";
        turns.push(turn);
        if is_asked {
            turns.push(say(world, &session, "yes").await);
            break;
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    let after = Effects::of(world).await;
    let mut wrong = Vec::new();
    let by_rules = check_fallback(world, &turns, &mut wrong).await;
    check_effects(case, before, after, &mut wrong);
    check_texts(case, &turns, &mut wrong);
    check_faults(case, &asked(), &mut wrong);
    if by_rules != case.by_rules() {
        let who = if by_rules { "the rules" } else { "the model" };
        wrong.push(format!("{who} answered"));
    }
    Row {
        case,
        seconds,
        by_rules,
        bills: after.bills - before.bills,
        last: turns.last().map(Turn::said).unwrap_or_default(),
        wrong,
    }
}

/// One turn as it was streamed.
struct Turn {
    events: Events,
}

async fn say(world: &World, session: &str, message: &str) -> Turn {
    let asked = world
        .http
        .post(format!("{}/agent/chat", world.agent.url()))
        .header("accept", "text/event-stream")
        .json(&json!({"session_id": session, "message": message}));
    let whole = async {
        let response = asked.send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        Stream::of(response).end().await
    };
    let in_time = tokio::time::timeout(MODEL_TIMEOUT + MARGIN, whole).await;
    Turn {
        events: in_time.unwrap_or_else(|_| panic!("{session}: {message} takes too long")),
    }
}

impl Turn {
    fn status(&self) -> String {
        let finish = self.events.of_kind("finish");
        let status = finish.first().map(|f| &f["messageMetadata"]["status"]);
        status.and_then(Value::as_str).unwrap_or("none").to_owned()
    }

    /// What stays on the screen.
    fn said(&self) -> String {
        let void = self.events.of_kind("data-text-discarded");
        let is_void = |id: &Value| void.iter().any(|frame| frame["data"]["textId"] == *id);
        let deltas = self.events.of_kind("text-delta");
        let kept = deltas.iter().filter(|frame| !is_void(&frame["id"]));
        kept.filter_map(|frame| frame["delta"].as_str()).collect()
    }

    /// Everything that was ever on the screen.
    fn shown(&self) -> Vec<String> {
        let places = [
            ("text-delta", "/delta"),
            ("error", "/errorText"),
            ("tool-output-error", "/errorText"),
            ("tool-input-start", "/title"),
            ("data-fallback", "/data/reason"),
            ("data-confirmation", "/data/summary"),
        ];
        let texts = places.iter().flat_map(|(kind, place)| {
            let frames = self.events.of_kind(kind);
            let text = |frame: &Value| frame.pointer(place)?.as_str().map(str::to_owned);
            frames.iter().filter_map(text).collect::<Vec<_>>()
        });
        texts.collect()
    }
}

/// What is to be counted in the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Effects {
    bills: i64,
    sold_kg: i64,
    audited: i64,
}

impl Effects {
    async fn of(world: &World) -> Effects {
        let on_hand: i64 = world
            .on_hand("Sugar")
            .await
            .parse()
            .expect("whole kilograms");
        let audited = "select count(*) from shop.audit_log where tool = 'billing_create_bill'";
        Effects {
            bills: world.bills().await,
            sold_kg: 10_000 - on_hand,
            audited: world.number(audited).await,
        }
    }
}

fn check_effects(case: Case, before: Effects, after: Effects, wrong: &mut Vec<String>) {
    let made = i64::from(!case.is_never_asked());
    let expected = Effects {
        bills: before.bills + made,
        sold_kg: before.sold_kg + 2 * made,
        audited: before.audited + made,
    };
    if after != expected {
        wrong.push(format!("{after:?} instead of {expected:?}"));
    }
}

/// The fault has struck where it should, and nowhere else.
fn check_faults(case: Case, asked: &[Received], wrong: &mut Vec<String>) {
    let struck: Vec<_> = asked
        .iter()
        .filter(|request| request.fault.is_some())
        .map(|request| request.stage)
        .collect();
    let right = struck.iter().all(|stage| *stage == Some(case.stage));
    if struck.is_empty() || !right || (case.once && struck.len() > 1) {
        wrong.push(format!("faults at the stages {struck:?}"));
    }
}

/// Each run tells once that the rules answer, if they do, and never if they do not. Whether they did at all.
async fn check_fallback(world: &World, turns: &[Turn], wrong: &mut Vec<String>) -> bool {
    let mut any = false;
    let mut runs: Vec<String> = turns.iter().map(|t| t.events.run_id()).collect();
    runs.dedup();
    for run in runs {
        let by_rules = sqlx::query_scalar::<_, i64>(
            "select count(*) from agent.steps where run_id = $1::uuid and kind = 'model' and name = 'interpreter'",
        )
        .bind(&run)
        .fetch_one(&world.db)
        .await
        .expect("steps");
        let of_run = turns.iter().filter(|t| t.events.run_id() == run);
        let told: usize = of_run
            .map(|t| t.events.of_kind("data-fallback").len())
            .sum();
        if told != usize::from(by_rules > 0) {
            wrong.push(format!(
                "told {told} times that rules answer, who answered {by_rules} times"
            ));
        }
        any |= by_rules > 0;
    }
    any
}

fn check_texts(case: Case, turns: &[Turn], wrong: &mut Vec<String>) {
    for turn in turns {
        if !turn.events.is_done() {
            wrong.push("a stream without an end".to_owned());
        }
        for text in turn.shown() {
            if let Some(word) = technical(&text) {
                wrong.push(format!("{word:?} is shown: {text}"));
            }
        }
    }
    let Some(last) = turns.last() else { return };
    let said = last.said();
    if last.status() != "success" {
        wrong.push(format!("it ended as {}: {said}", last.status()));
    }
    if said.contains(SCRIPTED) != case.ends_scripted() {
        wrong.push(format!("said at last: {said:?}"));
    }
    if !said.contains("Created bill") && !case.is_never_asked() {
        wrong.push(format!("the bill is not told: {said:?}"));
    }
    if said.matches("Created bill").count() > 1 {
        wrong.push(format!("the bill is told twice: {said:?}"));
    }
    if said.is_empty() {
        wrong.push("nothing was said".to_owned());
    }
}

/// A word that is not for people.
fn technical(text: &str) -> Option<&'static str> {
    const WORDS: [&str; 24] = [
        "429",
        "400",
        "401",
        "500",
        "503",
        "json",
        "decod",
        "http",
        "provider",
        "status",
        "stub",
        "token",
        "timeout",
        "timed out",
        "quota",
        "null",
        "chatcmpl",
        "{",
        "}",
        "<",
        "stream",
        "retry",
        "inventory_",
        "billing_",
    ];
    let text = text.to_lowercase();
    WORDS.into_iter().find(|word| text.contains(word))
}

/// All cases, for whoever wants to read what people get.
fn table(rows: &[Row]) -> String {
    let mut table =
        "| fault | where | streamed | how often | answered by | bills | seconds | said at last |\n\
        |---|---|---|---|---|--:|--:|---|\n"
            .to_owned();
    for row in rows {
        let Case {
            kind,
            stage,
            stream,
            once,
            ..
        } = row.case;
        let cells = [
            kind.to_string(),
            STAGES[stage].to_owned(),
            if stream { "yes" } else { "no" }.to_owned(),
            if once { "once" } else { "always" }.to_owned(),
            if row.by_rules { "rules" } else { "model" }.to_owned(),
            row.bills.to_string(),
            format!("{:.1}", row.seconds),
            row.last.chars().take(60).collect(),
        ];
        table.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    table
}
