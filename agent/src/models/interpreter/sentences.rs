//! What is understood: a table of sentences, and what can never happen.

use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use contracts::tool::{Effect, Tool};
use contracts::tools::sheets;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::respond;
use crate::language::Language;
use crate::models::{Message, ModelAnswer, ModelRequest, ToolCall, ToolOutcome, ToolSpec};

const SENTENCES: &str = include_str!("sentences.txt");

static TOOLS: LazyLock<Arc<Vec<ToolSpec>>> = LazyLock::new(|| {
    let specs = sheets()
        .into_iter()
        .map(|sheet| ToolSpec {
            name: sheet.name.to_owned(),
            title: sheet.title.to_owned(),
            description: sheet.description.to_owned(),
            input_schema: Value::Object(sheet.input_schema),
            read_only: sheet.effect == Effect::Read,
        })
        .collect();
    Arc::new(specs)
});

/// A conversation with the interpreter, on a Friday at noon in Kigali.
pub(super) struct Conversation {
    pub(super) request: ModelRequest,
}

impl Conversation {
    pub(super) fn new(language: Language) -> Conversation {
        Conversation {
            request: ModelRequest {
                instructions: String::new(),
                messages: Vec::new(),
                tools: Arc::clone(&TOOLS),
                language,
                now: "2026-11-20T10:00:00Z".parse::<DateTime<Utc>>().unwrap(),
                time_zone: Tz::Africa__Kigali,
            },
        }
    }

    fn answer(&mut self) -> ModelAnswer {
        let answer = respond(&self.request);
        self.request.messages.push(Message::Assistant {
            text: answer.text.clone(),
            calls: answer.calls.clone(),
            note: answer.note.clone(),
        });
        answer
    }

    pub(super) fn say(&mut self, text: &str) -> ModelAnswer {
        self.request.messages.push(Message::User {
            text: text.to_owned(),
        });
        self.answer()
    }

    /// The outcome of every call of the last answer, the same for each, without asking for the next answer.
    pub(super) fn record(&mut self, outcome: &ToolOutcome) {
        let calls = match self.request.messages.last() {
            Some(Message::Assistant { calls, .. }) => calls.clone(),
            _ => Vec::new(),
        };
        for call in calls {
            self.request.messages.push(Message::Tool {
                call_id: call.id,
                tool: call.tool,
                outcome: outcome.clone(),
            });
        }
    }

    pub(super) fn outcome(&mut self, outcome: &ToolOutcome) -> ModelAnswer {
        self.record(outcome);
        self.answer()
    }
}

/// The calls of a message on its own, as "tool {arguments}" lines, or what was said when it made none.
fn heard(text: &str, language: Language) -> String {
    let answer = Conversation::new(language).say(text);
    if answer.calls.is_empty() {
        return format!("says {}", answer.text);
    }
    let shown = |call: &ToolCall| format!("{} {}", call.tool, call.arguments);
    answer
        .calls
        .iter()
        .map(shown)
        .collect::<Vec<_>>()
        .join(" ; ")
}

/// One row of the table: a sentence, and what it leads to.
struct Row {
    language: Language,
    sentence: &'static str,
    wanted: &'static str,
}

/// The rows of `sentences.txt`: "## en" begins a language, "> sentence" lines are followed by what each of them leads to.
fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut language = Language::En;
    let mut open: Vec<&'static str> = Vec::new();
    for line in SENTENCES
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty() && !l.starts_with("//"))
    {
        if let Some(tag) = line.strip_prefix("## ") {
            language = Language::from_tag(tag).unwrap();
        } else if let Some(sentence) = line.strip_prefix("> ") {
            open.push(sentence);
        } else {
            assert!(!open.is_empty(), "no sentence before: {line}");
            rows.extend(open.drain(..).map(|sentence| Row {
                language,
                sentence,
                wanted: line,
            }));
        }
    }
    assert!(open.is_empty(), "sentences without an answer: {open:?}");
    rows
}

fn expected(wanted: &str) -> Vec<(String, Value)> {
    wanted
        .split(" ; ")
        .map(|call| {
            let (tool, arguments) = call.split_once(' ').unwrap_or((call, "{}"));
            (
                tool.to_owned(),
                serde_json::from_str(arguments).unwrap_or_else(|e| panic!("{call}: {e}")),
            )
        })
        .collect()
}

pub(super) fn calls_of(answer: &ModelAnswer) -> Vec<(String, Value)> {
    answer
        .calls
        .iter()
        .map(|c| (c.tool.clone(), c.arguments.clone()))
        .collect()
}

#[test]
fn every_sentence_of_the_table_is_understood() {
    let rows = rows();
    let mut wrong = Vec::new();
    for Row {
        language,
        sentence,
        wanted,
    } in &rows
    {
        let answer = Conversation::new(*language).say(sentence);
        let right = match wanted.strip_prefix("says ") {
            Some(text) => answer.calls.is_empty() && answer.text.contains(text),
            None => calls_of(&answer) == expected(wanted),
        };
        if !right {
            wrong.push(format!(
                "{sentence}\n    wanted {wanted}\n    heard  {}",
                heard(sentence, *language)
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} sentences:\n{}",
        wrong.len(),
        rows.len(),
        wrong.join("\n")
    );
    assert!(rows.len() >= 250, "{} rows", rows.len());
}

/// Reads the arguments of a call as the tool's own input type.
pub(super) fn fits_contract(call: &ToolCall) -> Result<(), String> {
    fn read<T: Tool>(arguments: &Value) -> Result<(), String> {
        serde_json::from_value::<T::Input>(arguments.clone())
            .map(|_| ())
            .map_err(|e| e.to_string())
    }
    macro_rules! by_name {
        ($($tool:ty),* $(,)?) => {
            match call.tool.as_str() {
                $(name if name == <$tool>::NAME => read::<$tool>(&call.arguments),)*
                other => Err(format!("no such tool: {other}")),
            }
        };
    }
    contracts::every_tool!(by_name)
}

#[test]
fn every_call_of_the_table_fits_its_tool() {
    let mut calls = 0;
    for Row {
        language, sentence, ..
    } in rows()
    {
        for call in Conversation::new(language).say(sentence).calls {
            assert_eq!(
                fits_contract(&call),
                Ok(()),
                "{sentence}: {}",
                call.arguments
            );
            calls += 1;
        }
    }
    assert!(calls > 400, "{calls} calls");
}

/// A value with every text in lower case: capitals typed are capitals kept.
fn lower(value: &Value) -> Value {
    serde_json::from_str(&value.to_string().to_lowercase()).unwrap()
}

/// What a message leads to, capitals aside: its calls, or the question asked.
fn gist(text: &str, language: Language) -> String {
    let answer = Conversation::new(language).say(text);
    let calls: Vec<String> = answer
        .calls
        .iter()
        .map(|c| format!("{} {}", c.tool, lower(&c.arguments)))
        .collect();
    if calls.is_empty() {
        answer.text.to_lowercase()
    } else {
        calls.join(" ; ")
    }
}

#[test]
fn a_message_too_long_to_be_an_order_is_not_half_done() {
    let long = format!("Create a bill for Ali: {}", "2 kg sugar, ".repeat(100));
    assert!(long.chars().count() < 2_000);
    assert!(heard(&long, Language::En).starts_with("says I did not understand"));
    let short = format!("Create a bill for Ali: {}", "2 kg sugar, ".repeat(50));
    assert!(heard(&short, Language::En).starts_with("billing_create_bill"));
}

#[test]
fn a_note_of_the_wrong_shape_does_no_harm() {
    let plan = |arguments: Value| json!({"tool": "billing_create_bill", "arguments": arguments});
    let notes = [
        json!(7),
        json!({"waiting": {"waiting": "slot", "plan": plan(json!([]))}}),
        json!({"waiting": {"waiting": "slot", "plan": plan(json!({"lines": null}))}}),
        json!({"waiting": {"waiting": "choice", "plan": plan(json!({})), "field": "lines[9].item", "names": []}}),
        json!({"waiting": {"waiting": "choice", "plan": plan(json!(null)), "field": "]..[", "names": ["Rice"]}}),
        json!({"waiting": {"waiting": "line", "plan": plan(json!({"lines": [{}]})), "change": "make it 3", "lines": [0, 7]}}),
        json!({"waiting": {"waiting": "change", "plan": plan(json!({"lines": "no"}))}}),
        json!({"waiting": {"waiting": "offer", "plan": {"tool": "drop_everything", "arguments": {}}}}),
    ];
    for note in notes {
        for text in [
            "yes",
            "2",
            "160",
            "2 kg sugar",
            "make it 3",
            "without the sugar",
            "more",
            "brown",
            "no",
        ] {
            let mut shop = Conversation::new(Language::En);
            shop.request.messages.push(Message::Assistant {
                text: String::new(),
                calls: Vec::new(),
                note: Some(note.clone()),
            });
            let answer = shop.say(text);
            assert!(
                answer.calls.iter().all(|c| c.tool != "drop_everything"),
                "{note}: {text}"
            );
            assert!(
                !answer.calls.is_empty() || !answer.text.is_empty(),
                "{note}: {text}"
            );
        }
    }
}

#[test]
fn courtesy_capitals_and_punctuation_change_nothing() {
    let wraps: [(&str, &str, Language); 10] = [
        ("please ", "", Language::En),
        ("Could you please ", "", Language::En),
        ("hi, ", " please", Language::En),
        ("", "!", Language::En),
        ("  ", "   ", Language::En),
        ("", ", thanks", Language::En),
        ("por favor ", "", Language::Es),
        ("Hola, ", " por favor", Language::Es),
        ("", ", gracias", Language::Es),
        ("¡", "!", Language::Es),
    ];
    let mut wrong = Vec::new();
    // Each sentence with two of the wraps in turn, in small letters and in capitals.
    let mut turn = 0;
    for Row {
        language,
        sentence,
        wanted,
    } in rows()
    {
        turn += 1;
        if wanted.starts_with("says") {
            continue;
        }
        let plain = gist(sentence, language);
        let mut variants: Vec<String> = wraps
            .iter()
            .filter(|w| w.2 == language)
            .cycle()
            .skip(turn)
            .take(2)
            .map(|(before, after, _)| format!("{before}{sentence}{after}"))
            .collect();
        variants.push(sentence.to_lowercase());
        variants.push(sentence.to_uppercase());
        for variant in variants {
            let heard = gist(&variant, language);
            if heard != plain {
                wrong.push(format!("{variant}\n    wanted {plain}\n    heard  {heard}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

/// Beginnings of words without one of which nothing may be changed: the verbs of the writes, in both languages.
const CHANGING: &str = "ad put regist insert enter inclu introdu creat mak new start open agreg anad mete pon ingres sum da cre haz nuev alta increas incre rais restock replen top \
    stock aument sub repon reab surte receiv bought purchas got recib compr lleg entr traj arriv came come deliver reduc decreas lower subtract deduct dismin rest desc rebaj baj tak \
    remov quit sac withdraw lost wast brok spoil damag drop threw throw romp perd dan caduc ech pudr tir expir rott stolen bad return brought gave devol regres delet eras discont \
    archiv get stop sell elim borr suprim renam chang updat renombr cambi set fix adjust edit correct modif actual fij ajust corrig cost price preci cuesta vale alert warn notif tell \
    avis called llam count cont mov mue pas asign assign bill invoic charg receipt sale order factur cobr cuent venta pedid recibo sold ring vend despach entreg want need lik buy giv \
    bring quier quis quer necesit llev das dem den tra pued podr gust ask pid void revers annul undo cancel scrap anul write prepar issu generat rec draw print emit hac had have \
    book reserv schedul reprogram reagend pospon aplaz postpon push shift apart agend collect refund reimburs repay pay paid pag settl clear liquid salda load deposit credit acredit abon recarg \
    castig declar clos cerr cierr resolv reopen escalat assign report complain problem quej talk speak human person hablar pasam spanish works work trabaj prefer habl favour favor \
    file log rais solv abr abre ticket teléfono numero number email";

fn holds_a_verb(text: &str) -> bool {
    crate::language::fold(text)
        .split(|c: char| !c.is_alphanumeric())
        .any(|word| {
            CHANGING
                .split_whitespace()
                .any(|stem| word.starts_with(stem))
        })
}

fn changes_something(answer: &ModelAnswer) -> bool {
    answer
        .calls
        .iter()
        .any(|call| !TOOLS.iter().any(|t| t.name == call.tool && t.read_only))
}

fn languages() -> impl Strategy<Value = Language> {
    prop::sample::select(vec![Language::En, Language::Es, Language::Sw])
}

/// Things a shop talks about, without a word of doing.
fn things() -> impl Strategy<Value = String> {
    const WORDS: &str = "sugar 20kg rice at 160 per kg to grocery for Ali , and : 2 bottles of milk the eggs beauty soap azúcar de a el kilo y un champú para en dozen half RWF each \
        12 -5 today hoy please yes no sí ok how much what cuánto queda last low more \
        tomorrow 3pm Friday noon wallet balance branch slot chair mesa Ali's cash 0788123456 500";
    prop::collection::vec(
        prop::sample::select(WORDS.split_whitespace().collect::<Vec<_>>()),
        0..14,
    )
    .prop_map(|w| w.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_text_is_answered(text in "\\PC{0,120}", language in languages()) {
        let answer = Conversation::new(language).say(&text);
        prop_assert!(!answer.calls.is_empty() || !answer.text.is_empty());
        prop_assert!(!changes_something(&answer) || holds_a_verb(&text), "{text:?}: {:?}", answer.calls);
    }

    #[test]
    fn nothing_is_changed_without_a_verb(text in things(), language in languages()) {
        let answer = Conversation::new(language).say(&text);
        prop_assert!(!changes_something(&answer), "{text:?}: {:?}", answer.calls);
    }

    #[test]
    fn every_call_of_a_jumbled_sentence_fits_its_tool(pick in 0..10_000_usize, cut in 0..12_usize, noise in things(), language in languages()) {
        let rows = rows();
        let mut words: Vec<&str> = rows[pick % rows.len()].sentence.split(' ').collect();
        words.remove(cut % words.len());
        words.push(&noise);
        let mut shop = Conversation::new(language);
        for text in [words.join(" "), noise.clone(), "yes".to_owned(), "2".to_owned()] {
            for call in shop.say(&text).calls {
                prop_assert_eq!(fits_contract(&call), Ok(()), "{}: {}", text, call.arguments);
            }
            shop.record(&ToolOutcome::Superseded);
        }
    }

    #[test]
    fn a_not_in_front_changes_nothing(pick in 0..10_000_usize) {
        let rows = rows();
        let row = &rows[pick % rows.len()];
        let not = if row.language == Language::Es { "nunca" } else { "do not" };
        let answer = Conversation::new(row.language).say(&format!("{not} {}", row.sentence));
        prop_assert!(!changes_something(&answer), "{}: {:?}", row.sentence, answer.calls);
    }

    #[test]
    fn a_broken_note_is_as_good_as_none(note in "[a-z{}\":,]{0,30}", text in things()) {
        let mut shop = Conversation::new(Language::En);
        let note = serde_json::from_str(&note).unwrap_or_else(|_| json!({"waiting": note}));
        shop.request.messages.push(Message::Assistant { text: String::new(), calls: Vec::new(), note: Some(note) });
        let answer = shop.say(&text);
        prop_assert!(!answer.calls.is_empty() || !answer.text.is_empty());
    }
}
