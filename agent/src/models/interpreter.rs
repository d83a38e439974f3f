//! The offline rules that read a sentence and answer with tool calls: the model that is there when no language model is.
//!
//! Open `hear` first. The rules hold no state: what a later message needs (a half-filled request, the names to choose from, an offer)
//! is the note of the answer, which comes back with the conversation. They never guess a write: a sentence they do not understand is
//! answered with what they can do.
//!
//! # Layout
//! - `words`: a sentence as words, and the pattern language of the rules
//! - `numbers`, `quantities`, `money`, `dates`, `when`, `phones`, `names`, `lists`: the things sentences are made of
//! - `intents`: courtesy off, clauses apart
//! - the rules: `inventory` and `questions` (about items), `billing` and `corrections`, `payments`, `bookings` and `hours`, `people`,
//!   `places`, `support`; `tools` has the names they call
//! - `plans`: a call that may lack something; `slots`: the next message as the answer to a question; `changes`: "make it 3 kg"
//! - `outcomes`: what became of the calls; `replies`: all that is said, with `asks` (questions) and `rows` (lists)

mod asks;
mod billing;
mod bookings;
mod changes;
mod corrections;
pub mod dates;
mod hours;
mod intents;
mod inventory;
mod lists;
mod money;
mod names;
mod numbers;
mod outcomes;
mod payments;
mod people;
pub mod phones;
mod places;
mod plans;
mod quantities;
mod questions;
mod replies;
mod rows;
#[cfg(test)]
mod scenes;
#[cfg(test)]
mod sentences;
mod slots;
mod support;
mod tools;
mod when;
mod words;

use chrono::NaiveDate;
use contracts::tool::Tool;
use contracts::tools::inventory::UpdateItem;
use serde_json::Value;

use self::intents::{Hearing, Wish, understand};
use self::plans::{Follow, Note, Plan, Waiting};
use self::replies::{Saying, question, say};
use super::{
    Answering, Message, Model, ModelAnswer, ModelRequest, TextSink, ToolCall, ToolOutcome,
};
use crate::answers::{self, Reading};
use crate::language::Language;

/// What the rules are called in journals and events.
pub const NAME: &str = "interpreter";

/// The rules, as a model.
#[derive(Debug, Clone, Copy, Default)]
pub struct Interpreter;

/// Three sentences to try, in a language.
#[must_use]
pub const fn examples(language: Language) -> [&'static str; 3] {
    replies::three_examples(language)
}

impl Model for Interpreter {
    fn name(&self) -> &'static str {
        NAME
    }

    fn answer<'a>(
        &'a self,
        request: &'a ModelRequest,
        sink: &'a mut dyn TextSink,
    ) -> Answering<'a> {
        Box::pin(async move {
            let answer = respond(request);
            for piece in answer.text.split_inclusive(char::is_whitespace) {
                sink.delta(piece);
            }
            Ok(answer)
        })
    }

    fn can_change(
        &self,
        call: &ToolCall,
        text: &str,
        language: Language,
        today: NaiveDate,
    ) -> bool {
        changes::can_change(call, text, language, today)
    }
}

/// What the rules answer, before calls have their ids.
#[derive(Debug, Clone, Default, PartialEq)]
struct Reply {
    text: String,
    plans: Vec<Plan>,
    waiting: Option<Waiting>,
}

impl Reply {
    fn text(text: String) -> Reply {
        Reply {
            text,
            ..Reply::default()
        }
    }

    fn say(saying: &Saying, request: &ModelRequest) -> Reply {
        Reply::text(say(saying, &request.tools, request.language))
    }

    fn waiting(mut self, waiting: Waiting) -> Reply {
        self.waiting = Some(waiting);
        self
    }
}

/// The next answer to a conversation.
fn respond(request: &ModelRequest) -> ModelAnswer {
    let reply = match request.messages.last() {
        Some(Message::User { text }) => hear(request, text),
        Some(Message::Tool { .. }) => outcomes::tell(request),
        Some(Message::Assistant { .. }) | None => Reply::say(&Saying::Hello, request),
    };
    finish(reply, &request.messages)
}

/// Gives the calls their ids and packs the note.
fn finish(reply: Reply, messages: &[Message]) -> ModelAnswer {
    let mut note = Note {
        waiting: reply.waiting,
        following: Vec::new(),
    };
    let mut calls = Vec::new();
    let first = next_call_number(messages);
    for (number, plan) in (first..).zip(reply.plans) {
        let id = format!("call_{number}");
        if let Some(follow) = plan.follow {
            note.following.push((id.clone(), follow));
        }
        calls.push(ToolCall {
            id,
            tool: plan.tool,
            arguments: plan.arguments,
        });
    }
    let empty = note == Note::default();
    ModelAnswer {
        text: reply.text,
        calls,
        note: if empty {
            None
        } else {
            serde_json::to_value(note).ok()
        },
        model: NAME.to_owned(),
        input_tokens: 0,
        output_tokens: 0,
    }
}

/// One more than any call of the conversation has, whatever of it the window still shows.
fn next_call_number(messages: &[Message]) -> usize {
    let ids = messages.iter().flat_map(|m| match m {
        Message::Assistant { calls, .. } => calls.as_slice(),
        Message::User { .. } | Message::Tool { .. } => &[],
    });
    let highest = ids
        .filter_map(|call| call.id.strip_prefix("call_")?.parse::<usize>().ok())
        .filter(|n| *n < usize::MAX)
        .max();
    highest.unwrap_or(0) + 1
}

/// A message of the person: the answer to what was asked, a change of what was refused, or a new request.
fn hear(request: &ModelRequest, text: &str) -> Reply {
    if words::is_too_long(&words::words(text)) {
        return Reply::say(&Saying::Lost, request);
    }
    let earlier = &request.messages[..request.messages.len().saturating_sub(1)];
    let superseded = outcomes::superseded(earlier);
    if !superseded.is_empty() {
        return changes::hear(request, text, &superseded);
    }
    if intents::undoes(text) {
        return Reply::say(&Saying::CannotUndo, request);
    }
    if let Some(waiting) = note_of(earlier).and_then(|n| n.waiting)
        && let Some(reply) = slots::hear(request, text, waiting)
    {
        return reply;
    }
    fresh(request, text)
}

/// The note of the last answer.
fn note_of(messages: &[Message]) -> Option<Note> {
    let note = messages.iter().rev().find_map(|m| match m {
        Message::Assistant { note, .. } => Some(note.as_ref()),
        Message::User { .. } | Message::Tool { .. } => None,
    })??;
    serde_json::from_value(note.clone()).ok()
}

/// A message on its own.
fn fresh(request: &ModelRequest, text: &str) -> Reply {
    if let Some(reply) = asked_anew(request, text) {
        return reply;
    }
    let saying = match answers::read(text, request.language) {
        Reading::Yes | Reading::No | Reading::Maybe | Reading::Pick(_) => Saying::NothingOpen,
        Reading::Change(_) | Reading::Other if slots::wants_more(text) => Saying::NoMore,
        Reading::Change(_) | Reading::Other => Saying::Lost,
    };
    Reply::say(&saying, request)
}

/// The answer to a message that is a request by itself; `None` when it is not.
fn asked_anew(request: &ModelRequest, text: &str) -> Option<Reply> {
    let hearing = Hearing::of(text, request);
    let mut wishes = understand(text, &hearing);
    if wishes.is_empty() && detect_differs(text, request) {
        // A short sentence may be of either language: "Vende 3 eggs".
        let other = if hearing.language == Language::Es {
            Language::En
        } else {
            Language::Es
        };
        wishes = understand(
            text,
            &Hearing {
                language: other,
                ..hearing
            },
        );
    }
    if wishes.is_empty() {
        return None;
    }
    let mut plans = Vec::new();
    for wish in wishes {
        match wish {
            Wish::Say(saying) => return Some(Reply::say(&saying, request)),
            Wish::Do(plan) => plans.push(plan),
        }
    }
    Some(proceed(request, plans))
}

/// Whether the text leaves room for the other language the rules know.
fn detect_differs(text: &str, request: &ModelRequest) -> bool {
    !matches!(
        (crate::language::detect(text), request.language),
        (Some(Language::En), Language::En) | (Some(Language::Es), Language::Es)
    )
}

/// Makes the calls, or asks for the first thing one of them lacks. Nothing is called that is not offered.
fn proceed(request: &ModelRequest, plans: Vec<Plan>) -> Reply {
    let offered = |name: &str| request.tools.iter().any(|t| t.name == name);
    let possible = |plan: &Plan| {
        offered(&plan.tool)
            && (!matches!(plan.follow, Some(Follow::Count { .. })) || offered(UpdateItem::NAME))
    };
    if !plans.iter().all(possible) {
        return Reply::say(&Saying::NotHere, request);
    }
    if plans
        .iter()
        .any(|plan| names_a_customer_in_vain(plan, request))
    {
        return Reply::say(&Saying::OnlyYourself, request);
    }
    let lacking = plans
        .iter()
        .find_map(|plan| plan.missing().map(|path| (plan, path)));
    if let Some((plan, path)) = lacking {
        let text = question(plan, &path, request.language);
        return Reply::text(text).waiting(Waiting::Slot { plan: plan.clone() });
    }
    Reply {
        plans,
        ..Reply::default()
    }
}

/// A customer cannot name a customer: the argument is not in the schema of the tools then.
fn names_a_customer_in_vain(plan: &Plan, request: &ModelRequest) -> bool {
    let schema = request
        .tools
        .iter()
        .find(|t| t.name == plan.tool)
        .map(|t| &t.input_schema);
    let properties = schema
        .and_then(|s| s.get("properties"))
        .and_then(Value::as_object);
    let unknown = properties.is_some_and(|p| !p.is_empty() && !p.contains_key("customer"));
    unknown && plan.arguments.get("customer").is_some()
}

/// The outcomes after the last answer with calls, in order, each with its call.
fn last_outcomes(messages: &[Message]) -> Vec<(&ToolCall, &ToolOutcome)> {
    let after = messages
        .iter()
        .rposition(|m| !matches!(m, Message::Tool { .. }));
    let Some((at, Message::Assistant { calls, .. })) = after.map(|at| (at, &messages[at])) else {
        return Vec::new();
    };
    let outcome_of = |call: &ToolCall| {
        messages[at + 1..].iter().find_map(|m| match m {
            Message::Tool {
                call_id, outcome, ..
            } if *call_id == call.id => Some(outcome),
            Message::Tool { .. } | Message::User { .. } | Message::Assistant { .. } => None,
        })
    };
    calls
        .iter()
        .filter_map(|call| outcome_of(call).map(|outcome| (call, outcome)))
        .collect()
}
