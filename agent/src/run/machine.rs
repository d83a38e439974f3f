//! What comes next in a run. Pure: no I/O, no clock, no randomness; serialised with the run and versioned, so that any replica can go on
//! from where another stopped.

use std::collections::HashMap;

use contracts::failure::{FailureCode, ToolFailure};
use contracts::http::chat::Usage;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::language::Language;
use crate::models::{Message, ModelAnswer, ToolCall, ToolOutcome};

/// The version this program writes. Older ones stay readable; a newer one is refused, so that a rolling upgrade cannot corrupt a run.
/// Since version 2 the session's window is not stored again with every run.
pub const VERSION: u16 = 2;

/// Limits of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Model calls.
    pub model_calls_max: u32,
    /// Tool calls.
    pub tool_calls_max: u32,
    /// How often the very same call may be made.
    pub identical_calls_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            model_calls_max: 25,
            tool_calls_max: 100,
            identical_calls_max: 3,
        }
    }
}

/// The state of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// [`VERSION`] of the program that wrote it.
    pub version: u16,
    /// The language of the conversation.
    pub language: Language,
    /// What the model sees: the session's window (not stored), then this run's own part.
    pub messages: Vec<Message>,
    /// Where this run's own part begins.
    pub own_from: usize,
    /// The calls of the last answer that are not in `messages` yet.
    pub calls: Vec<Call>,
    /// What the run has used.
    pub usage: Usage,
    /// Tool calls so far.
    pub tool_calls: u32,
    /// The very same calls so far, by tool and arguments.
    #[serde(default)]
    identical: HashMap<String, u32>,
    /// The step that has begun and is not finished: whoever goes on with the run finishes it.
    #[serde(default)]
    pub open_step: Option<u32>,
    /// The text that is being said: whoever goes on with the run takes it back and says it anew.
    #[serde(default)]
    pub open_text: Option<String>,
    /// Texts of this run that were begun and taken back.
    #[serde(default)]
    discarded_texts: u32,
    /// The person has been told that rules answer instead of the model; once per run is enough.
    #[serde(default)]
    pub fell_back: bool,
    /// What the person says instead of answering; follows the outcomes of the calls it changes.
    #[serde(default)]
    change: Option<String>,
}

/// A call of the last answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The call.
    pub call: ToolCall,
    /// Where it stands.
    pub state: CallState,
}

/// Where a call stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum CallState {
    /// To be made.
    ToDo,
    /// A person is asked first.
    Asked {
        /// The approval that waits.
        approval_id: Uuid,
    },
    /// A person answered: the answer is to be passed on.
    Decided {
        /// The approval that was answered.
        approval_id: Uuid,
    },
    /// Over.
    Closed {
        /// What became of it.
        outcome: ToolOutcome,
    },
}

/// What comes next.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Ask the model with [`Machine::messages`].
    CallModel,
    /// Make these calls.
    CallTools(Vec<Call>),
    /// A person has to answer.
    Wait,
    /// The run is over.
    Done(Ending),
}

/// How a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The model has nothing more to do.
    Answered,
    /// A limit was reached.
    Limit(&'static str),
}

/// A stored state this program cannot go on from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the run was written by a newer program (version {0})")]
pub struct TooNew(pub u16);

impl Machine {
    /// A run that begins with what a person says, after the session's window.
    #[must_use]
    pub fn begin(window: Vec<Message>, text: String, language: Language) -> Machine {
        let own_from = window.len();
        let mut messages = window;
        messages.push(Message::User { text });
        Machine {
            version: VERSION,
            language,
            messages,
            own_from,
            calls: Vec::new(),
            usage: Usage::default(),
            tool_calls: 0,
            identical: HashMap::new(),
            open_step: None,
            open_text: None,
            discarded_texts: 0,
            fell_back: false,
            change: None,
        }
    }

    /// Goes on after the session's window as it is now: a stored run has none of its own, and one that waited sees what has been said
    /// since.
    pub fn go_on_after(&mut self, window: Vec<Message>) {
        let own = self
            .messages
            .split_off(self.own_from.min(self.messages.len()));
        self.own_from = window.len();
        self.messages = window;
        self.messages.extend(own);
    }

    /// The state as text, without the window, which is the session's and changes only when a run of it is over.
    ///
    /// # Errors
    /// When it is no JSON, which would be a mistake of ours.
    pub fn store(&mut self) -> serde_json::Result<String> {
        let own = self
            .messages
            .split_off(self.own_from.min(self.messages.len()));
        let window = std::mem::replace(&mut self.messages, own);
        self.own_from = 0;
        let text = serde_json::to_string(self);
        self.go_on_after(window);
        text
    }

    /// Reads a stored state; its window is given to it by [`Machine::go_on_after`].
    ///
    /// # Errors
    /// A sentence for the log: written by a newer program, or broken.
    pub fn load(stored: Value) -> Result<Machine, String> {
        let mut machine: Machine = serde_json::from_value(stored).map_err(|e| e.to_string())?;
        if machine.version > VERSION {
            return Err(TooNew(machine.version).to_string());
        }
        machine.version = VERSION;
        machine.go_on_after(Vec::new());
        Ok(machine)
    }

    /// What comes next.
    #[must_use]
    pub fn next(&self, limits: &Limits) -> Next {
        let to_do: Vec<Call> = self
            .calls
            .iter()
            .filter(|c| matches!(c.state, CallState::ToDo | CallState::Decided { .. }))
            .cloned()
            .collect();
        if !to_do.is_empty() {
            return Next::CallTools(to_do);
        }
        if !self.calls.is_empty() {
            return Next::Wait;
        }
        match self.messages.last() {
            Some(Message::Assistant { .. }) | None => Next::Done(Ending::Answered),
            Some(Message::User { .. } | Message::Tool { .. })
                if self.usage.model_calls >= limits.model_calls_max =>
            {
                Next::Done(Ending::Limit("model calls"))
            }
            Some(Message::User { .. } | Message::Tool { .. }) => Next::CallModel,
        }
    }

    /// The model has answered. Ids that repeat an earlier one are renamed; calls beyond the limits, and those `refusal` has a reason
    /// against, are closed without being made.
    pub fn model_answered(
        &mut self,
        answer: ModelAnswer,
        limits: &Limits,
        refusal: impl Fn(&ToolCall) -> Option<ToolFailure>,
    ) {
        self.usage.model_calls += 1;
        self.usage.input_tokens += answer.input_tokens;
        self.usage.output_tokens += answer.output_tokens;
        let mut taken = self.call_ids();
        let mut calls = answer.calls;
        for call in &mut calls {
            if call.id.is_empty() || taken.contains(&call.id) {
                call.id = format!("call_{}", taken.len() + 1);
                while taken.contains(&call.id) {
                    call.id.push('x');
                }
            }
            taken.push(call.id.clone());
        }
        self.messages.push(Message::Assistant {
            text: answer.text,
            calls: calls.clone(),
            note: answer.note,
        });
        for call in calls {
            let state = self.admit(&call, limits).or_else(|| refusal(&call)).map_or(
                CallState::ToDo,
                |failure| CallState::Closed {
                    outcome: ToolOutcome::Failed { failure },
                },
            );
            self.calls.push(Call { call, state });
        }
        self.settle();
    }

    /// The id of the text that is said in `step`. A text that was taken back is never gone on with under its id.
    #[must_use]
    pub fn text_id(&self, step: u32) -> String {
        match self.discarded_texts {
            0 => format!("text_{step}"),
            before => format!("text_{step}_{}", before + 1),
        }
    }

    /// The text that was being said is void. Its id, if there was one.
    pub fn discard_text(&mut self) -> Option<String> {
        let text_id = self.open_text.take()?;
        self.discarded_texts += 1;
        Some(text_id)
    }

    /// Counts a call, or says why it is not made.
    fn admit(&mut self, call: &ToolCall, limits: &Limits) -> Option<ToolFailure> {
        self.tool_calls += 1;
        if self.tool_calls > limits.tool_calls_max {
            return Some(refused(
                "The limit of tool calls for one request is reached.",
                "Answer with what is known.",
            ));
        }
        let same = self
            .identical
            .entry(format!("{} {}", call.tool, call.arguments))
            .or_insert(0);
        *same += 1;
        if *same > limits.identical_calls_max {
            return Some(refused(
                "The same call was made several times already.",
                "Do not repeat it; answer with what is known.",
            ));
        }
        None
    }

    /// A call is over.
    pub fn closed(&mut self, call_id: &str, outcome: ToolOutcome) {
        self.set(call_id, CallState::Closed { outcome });
        self.settle();
    }

    /// The server asks a person first.
    pub fn asked(&mut self, call_id: &str, approval_id: Uuid) {
        self.set(call_id, CallState::Asked { approval_id });
    }

    /// A person answered; the answer is passed on by making the call again.
    pub fn decided(&mut self, call_id: &str, approval_id: Uuid) {
        self.set(call_id, CallState::Decided { approval_id });
    }

    /// What a call was asked about was settled elsewhere: made again under its key, it tells what came of it.
    pub fn call_again(&mut self, call_id: &str) {
        self.set(call_id, CallState::ToDo);
    }

    /// The person changes the request instead of answering: open questions lapse, and the change follows them.
    pub fn superseded(&mut self, change: String) {
        for call in &mut self.calls {
            if matches!(call.state, CallState::Asked { .. }) {
                call.state = CallState::Closed {
                    outcome: ToolOutcome::Superseded,
                };
            }
        }
        self.change = Some(change);
        self.settle();
    }

    /// The calls a person is asked about.
    pub fn open_questions(&self) -> impl Iterator<Item = (&ToolCall, Uuid)> {
        self.calls.iter().filter_map(|c| match c.state {
            CallState::Asked { approval_id } => Some((&c.call, approval_id)),
            CallState::ToDo | CallState::Decided { .. } | CallState::Closed { .. } => None,
        })
    }

    /// This run's own part of the conversation, for the session's window. Empty while a question is open: an unanswered call is never
    /// shown to a model.
    #[must_use]
    pub fn own_messages(&self) -> &[Message] {
        if self.calls.is_empty() {
            self.messages.get(self.own_from..).unwrap_or_default()
        } else {
            &[]
        }
    }

    /// Once every call of the answer has an outcome, they join the conversation in the answer's order.
    fn settle(&mut self) {
        if self
            .calls
            .iter()
            .any(|c| !matches!(c.state, CallState::Closed { .. }))
        {
            return;
        }
        for Call { call, state } in self.calls.drain(..) {
            if let CallState::Closed { outcome } = state {
                self.messages.push(Message::Tool {
                    call_id: call.id,
                    tool: call.tool,
                    outcome,
                });
            }
        }
        if let Some(text) = self.change.take() {
            self.messages.push(Message::User { text });
        }
    }

    fn set(&mut self, call_id: &str, state: CallState) {
        if let Some(call) = self.calls.iter_mut().find(|c| c.call.id == call_id) {
            call.state = state;
        }
    }

    fn call_ids(&self) -> Vec<String> {
        self.messages
            .iter()
            .filter_map(|m| match m {
                Message::Assistant { calls, .. } => Some(calls.iter().map(|c| c.id.clone())),
                Message::User { .. } | Message::Tool { .. } => None,
            })
            .flatten()
            .collect()
    }
}

fn refused(message: &str, hint: &str) -> ToolFailure {
    ToolFailure::new(FailureCode::NotAllowed, message, hint)
}

/// The window a model sees of a session: the last `exchanges` of them, each beginning with what a person said. Calls and results are
/// never parted, because an exchange is dropped whole.
#[must_use]
pub fn window(messages: &[Message], exchanges: usize) -> &[Message] {
    let starts: Vec<usize> = messages
        .iter()
        .enumerate()
        .filter(|(i, m)| {
            // A change said in the middle of an exchange follows a tool's outcome and does not begin one.
            matches!(m, Message::User { .. })
                && !matches!(
                    i.checked_sub(1).and_then(|p| messages.get(p)),
                    Some(Message::Tool { .. })
                )
        })
        .map(|(i, _)| i)
        .collect();
    let from = starts
        .len()
        .checked_sub(exchanges)
        .and_then(|skip| starts.get(skip))
        .copied()
        .unwrap_or(0);
    messages.get(from..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const LIMITS: Limits = Limits {
        model_calls_max: 25,
        tool_calls_max: 100,
        identical_calls_max: 3,
    };

    fn call(id: &str, tool: &str) -> ToolCall {
        ToolCall {
            id: id.to_owned(),
            tool: tool.to_owned(),
            arguments: json!({"n": id}),
        }
    }

    fn wants(calls: &[ToolCall]) -> ModelAnswer {
        ModelAnswer {
            calls: calls.to_vec(),
            ..ModelAnswer::default()
        }
    }

    fn says(text: &str) -> ModelAnswer {
        ModelAnswer {
            text: text.to_owned(),
            ..ModelAnswer::default()
        }
    }

    fn done() -> ToolOutcome {
        ToolOutcome::Done {
            result: json!({"summary": "ok"}),
        }
    }

    /// Refuses no call.
    fn takes_all(_: &ToolCall) -> Option<ToolFailure> {
        None
    }

    fn begun() -> Machine {
        Machine::begin(Vec::new(), "bill Ali".to_owned(), Language::En)
    }

    #[test]
    fn a_turn_without_tools_is_one_model_call() {
        let mut machine = begun();
        assert_eq!(machine.next(&LIMITS), Next::CallModel);
        machine.model_answered(says("hello"), &LIMITS, takes_all);
        assert_eq!(machine.next(&LIMITS), Next::Done(Ending::Answered));
        assert_eq!(machine.own_messages().len(), 2);
    }

    #[test]
    fn a_run_that_waited_its_turn_sees_what_was_said_meanwhile() {
        let mut machine = Machine::begin(
            vec![Message::User {
                text: "old".to_owned(),
            }],
            "mine".to_owned(),
            Language::En,
        );
        machine.go_on_after(vec![
            Message::User {
                text: "older".to_owned(),
            },
            Message::User {
                text: "newer".to_owned(),
            },
        ]);
        let texts: Vec<_> = machine
            .messages
            .iter()
            .map(|m| match m {
                Message::User { text } => text.as_str(),
                Message::Assistant { .. } | Message::Tool { .. } => "",
            })
            .collect();
        assert_eq!(texts, ["older", "newer", "mine"]);
        assert_eq!(machine.own_messages().len(), 1);
        machine.model_answered(says("done"), &LIMITS, takes_all);
    }

    #[test]
    fn the_window_is_not_stored_and_may_be_another_when_the_run_goes_on() {
        let says = |text: &str| Message::User {
            text: text.to_owned(),
        };
        let mut machine = Machine::begin(vec![says("old")], "mine".to_owned(), Language::En);
        let before = machine.clone();
        let text = machine.store().unwrap();
        assert_eq!(machine, before, "storing changes nothing");
        assert!(text.contains("mine") && !text.contains("old"), "{text}");
        let mut loaded = Machine::load(serde_json::from_str(&text).unwrap()).unwrap();
        assert_eq!(loaded.messages, [says("mine")]);
        loaded.go_on_after(vec![says("old")]);
        assert_eq!(loaded, before);
        loaded.go_on_after(vec![says("newer"), says("newest")]);
        assert_eq!(loaded.own_messages(), [says("mine")]);

        // Version 1 stored its window with it.
        let mut older = serde_json::to_value(&before).unwrap();
        older["version"] = json!(1);
        assert_eq!(Machine::load(older).unwrap().messages, [says("mine")]);
    }

    #[test]
    fn the_model_is_asked_again_only_when_every_call_has_an_outcome_in_its_order() {
        let mut machine = begun();
        machine.model_answered(
            wants(&[call("a", "read"), call("b", "bill")]),
            &LIMITS,
            takes_all,
        );
        machine.asked("b", Uuid::nil());
        assert!(matches!(machine.next(&LIMITS), Next::CallTools(calls) if calls.len() == 1));
        machine.closed("a", done());
        assert_eq!(machine.next(&LIMITS), Next::Wait);
        assert!(
            machine.own_messages().is_empty(),
            "an unanswered call is shown to nobody"
        );
        machine.decided("b", Uuid::nil());
        assert!(matches!(machine.next(&LIMITS), Next::CallTools(calls) if calls[0].call.id == "b"));
        machine.closed("b", done());
        assert_eq!(machine.next(&LIMITS), Next::CallModel);
        let order: Vec<_> = machine
            .messages
            .iter()
            .filter_map(|m| match m {
                Message::Tool { call_id, .. } => Some(call_id.as_str()),
                Message::User { .. } | Message::Assistant { .. } => None,
            })
            .collect();
        assert_eq!(order, ["a", "b"]);
    }

    #[test]
    fn a_change_closes_the_open_question_and_follows_it() {
        let mut machine = begun();
        machine.model_answered(wants(&[call("a", "bill")]), &LIMITS, takes_all);
        machine.asked("a", Uuid::nil());
        machine.superseded("make it 3 kg".to_owned());
        assert_eq!(machine.next(&LIMITS), Next::CallModel);
        assert!(matches!(
            &machine.messages[2],
            Message::Tool {
                outcome: ToolOutcome::Superseded,
                ..
            }
        ));
        assert_eq!(
            machine.messages[3],
            Message::User {
                text: "make it 3 kg".to_owned()
            }
        );
    }

    #[test]
    fn endless_and_repeated_calls_are_stopped() {
        let mut machine = begun();
        let same = ToolCall {
            id: String::new(),
            tool: "read".to_owned(),
            arguments: json!({}),
        };
        for round in 1..=5 {
            machine.model_answered(wants(std::slice::from_ref(&same)), &LIMITS, takes_all);
            let made = matches!(machine.next(&LIMITS), Next::CallTools(_));
            assert_eq!(made, round <= 3, "round {round}");
            if made {
                let id = machine.calls[0].call.id.clone();
                machine.closed(&id, done());
            }
        }
        let few = Limits {
            model_calls_max: 5,
            ..LIMITS
        };
        assert_eq!(machine.next(&few), Next::Done(Ending::Limit("model calls")));
    }

    #[test]
    fn a_repeated_call_id_never_names_two_calls() {
        let mut machine = begun();
        for _ in 0..3 {
            machine.model_answered(
                wants(&[call("x", "read"), call("x", "read")]),
                &LIMITS,
                takes_all,
            );
            for id in machine
                .calls
                .iter()
                .map(|c| c.call.id.clone())
                .collect::<Vec<_>>()
            {
                machine.closed(&id, done());
            }
        }
        let mut ids = machine.call_ids();
        ids.sort();
        let before = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), before);
    }

    #[test]
    fn a_refused_call_is_closed_beside_those_that_are_made_and_counts_like_them() {
        let mut machine = begun();
        let refusal = |call: &ToolCall| (call.tool == "bad").then(|| refused("no", "repair it"));
        machine.model_answered(
            wants(&[call("a", "bad"), call("b", "read")]),
            &LIMITS,
            refusal,
        );
        let Next::CallTools(made) = machine.next(&LIMITS) else {
            panic!("the other call is to be made");
        };
        assert_eq!(made.len(), 1);
        machine.closed("b", done());
        let Some(Message::Tool { outcome, .. }) = machine.messages.get(2) else {
            panic!("outcomes keep the order of the calls");
        };
        let failure = refused("no", "repair it");
        assert_eq!(*outcome, ToolOutcome::Failed { failure });
        for _ in 0..4 {
            let same = ToolCall {
                id: String::new(),
                ..call("x", "bad")
            };
            machine.model_answered(wants(&[same]), &LIMITS, refusal);
        }
        let last = serde_json::to_string(machine.messages.last().unwrap()).unwrap();
        assert!(last.contains("made several times"), "{last}");
        assert_eq!(machine.tool_calls, 6);
    }

    #[test]
    fn a_text_that_is_taken_back_gives_its_id_up() {
        let mut machine = begun();
        assert_eq!(machine.discard_text(), None);
        assert_eq!(machine.text_id(1), "text_1");
        machine.open_text = Some(machine.text_id(1));
        let mut machine = Machine::load(serde_json::to_value(&machine).unwrap()).unwrap();
        assert_eq!(machine.discard_text().as_deref(), Some("text_1"));
        assert_eq!(machine.text_id(1), "text_1_2");
        assert_eq!(machine.text_id(2), "text_2_2");
    }

    #[test]
    fn a_newer_programs_run_is_left_alone() {
        let mut machine = begun();
        machine.version = VERSION + 1;
        assert!(Machine::load(serde_json::to_value(&machine).unwrap()).is_err());
    }

    fn any_step() -> impl Strategy<Value = u8> {
        0_u8..6
    }

    proptest! {
        /// Whatever happens in whatever order: the state survives being stored, calls and outcomes pair up, and no outcome is lost.
        #[test]
        fn calls_and_outcomes_always_pair_up(steps in prop::collection::vec(any_step(), 1..60)) {
            let mut machine = begun();
            for step in steps {
                machine = Machine::load(serde_json::from_str(&machine.store().unwrap()).unwrap()).unwrap();
                match (machine.next(&LIMITS), step) {
                    (Next::CallModel, 0..=2) => machine.model_answered(wants(&[call("a", "read"), call("b", "bill")]), &LIMITS, takes_all),
                    (Next::CallModel, _) => machine.model_answered(says("done"), &LIMITS, takes_all),
                    (Next::CallTools(calls), 0..=1) => machine.asked(&calls[0].call.id, Uuid::nil()),
                    (Next::CallTools(calls), _) => machine.closed(&calls[0].call.id, done()),
                    (Next::Wait, 0..=2) => {
                        let id = machine.open_questions().next().unwrap().0.id.clone();
                        machine.decided(&id, Uuid::nil());
                    }
                    (Next::Wait, _) => machine.superseded("no, 3".to_owned()),
                    (Next::Done(_), _) => break,
                }
                let mut open: Vec<String> = Vec::new();
                for message in &machine.messages {
                    match message {
                        Message::Assistant { calls, .. } => {
                            prop_assert!(open.is_empty(), "a model was asked with a call unanswered");
                            open = calls.iter().map(|c| c.id.clone()).collect();
                        }
                        Message::Tool { call_id, .. } => prop_assert_eq!(call_id, &open.remove(0)),
                        Message::User { .. } => prop_assert!(open.is_empty()),
                    }
                }
                prop_assert_eq!(open.len(), machine.calls.len());
            }
        }

        #[test]
        fn a_window_begins_with_a_person_and_parts_nothing(exchanges in 1_usize..6, turns in prop::collection::vec(any::<bool>(), 0..12)) {
            let mut messages = Vec::new();
            for (i, with_call) in turns.iter().enumerate() {
                messages.push(Message::User { text: i.to_string() });
                if *with_call {
                    let made = call(&i.to_string(), "read");
                    messages.push(Message::Assistant { text: String::new(), calls: vec![made], note: None });
                    messages.push(Message::Tool { call_id: i.to_string(), tool: "read".to_owned(), outcome: ToolOutcome::Superseded });
                    messages.push(Message::User { text: "change".to_owned() });
                }
                messages.push(Message::Assistant { text: "ok".to_owned(), calls: Vec::new(), note: None });
            }
            let seen = window(&messages, exchanges);
            let begun = seen.iter().filter(|m| matches!(m, Message::User { text } if text != "change")).count();
            prop_assert_eq!(begun, turns.len().min(exchanges));
            let begins_with_a_person = seen.first().is_none_or(|m| matches!(m, Message::User { .. }));
            prop_assert!(begins_with_a_person);
        }
    }
}
