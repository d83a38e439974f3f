//! AG-UI 1.0, what `HttpAgent` and the front ends built on it read.
//!
//! Its readers end a run on whatever breaks their rules: an event after the end, a text, a step or a call that was not begun or is begun
//! twice, a run that ends with one of them open. So everything here remembers what is open.
//!
//! An AG-UI run is one turn: it ends with a question (`outcome: interrupt`) and the answer comes as a new run. Names that are unique
//! within a run of ours are made unique within the thread, because readers keep one list of messages for all of it.

use contracts::http::approval::ApprovalStatus;
use contracts::http::chat::{ChatStatus, ConfirmationView, ToolCallStatus, Usage};
use contracts::http::event::{EventBody, RunEvent};
use serde_json::{Value, json};
use uuid::Uuid;

use super::ui_message::{confirmation, why_not};

/// The version of the protocol that `RUN_STARTED` declares.
const PROTOCOL_VERSION: &str = "1.0";

/// A text that has begun and not ended.
#[derive(Debug)]
struct Text {
    text_id: String,
    message_id: String,
    words: String,
}

/// Where a run of the protocol is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not begun, or ended: the next turn begins a new one.
    Idle,
    Open,
    /// Told to have been cancelled; ends with the turn.
    Cancelled,
    /// Ended by `RUN_ERROR`, after which nothing may come.
    Failed,
}

/// What the reader of one run's events has been told so far.
#[derive(Debug)]
pub struct View {
    run_id: Uuid,
    /// The reader's own id of this run.
    named: Option<String>,
    thread_id: String,
    message_id: Uuid,
    model: String,
    stage: Stage,
    step: Option<String>,
    /// The message that the step's calls belong to.
    parent: String,
    texts: Vec<Text>,
    /// Questions that stand open, with their calls.
    questions: Vec<(String, ConfirmationView)>,
    snapshot: Option<Snapshot>,
}

impl View {
    /// A reader that has been told nothing. `messages` is the thread as it has it: a snapshot replaces its whole list, so without
    /// knowing the list it is sent none.
    #[must_use]
    pub fn new(run_id: Uuid, named: Option<String>, messages: Option<Vec<Value>>) -> View {
        View {
            run_id,
            named,
            thread_id: String::new(),
            message_id: Uuid::nil(),
            model: String::new(),
            stage: Stage::Idle,
            step: None,
            parent: String::new(),
            texts: Vec::new(),
            questions: Vec::new(),
            snapshot: messages.map(Snapshot::new),
        }
    }

    /// The payloads of the next event of the run.
    pub fn payloads(&mut self, event: &RunEvent) -> Vec<Value> {
        let mut payloads = self.untimed(event);
        for payload in &mut payloads {
            payload["timestamp"] = json!(event.at.timestamp_millis());
        }
        payloads
    }

    fn untimed(&mut self, event: &RunEvent) -> Vec<Value> {
        match &event.body {
            EventBody::Started {
                session_id,
                message_id,
                model,
                ..
            }
            | EventBody::Resumed {
                session_id,
                message_id,
                model,
                ..
            } => self.begin(session_id, *message_id, model),
            EventBody::StepStarted { step } => self.step_started(*step, event.seq),
            EventBody::StepFinished { .. } => self.close_step(),
            EventBody::TextStarted { text_id } => self.text_started(text_id, event.seq),
            EventBody::TextDelta { text_id, delta } => self.text_delta(text_id, delta),
            EventBody::TextFinished { text_id, discarded } => {
                self.text_finished(text_id, *discarded)
            }
            EventBody::ToolCalled {
                call_id,
                tool,
                arguments,
                ..
            } => self.called(call_id, tool, arguments),
            EventBody::ToolReturned {
                call_id,
                status,
                result,
                ..
            } => self.returned(call_id, *status, result, event.seq),
            EventBody::Question {
                call_id,
                confirmation,
            } => {
                self.questions.push((call_id.clone(), confirmation.clone()));
                vec![self.asked(call_id, confirmation, ApprovalStatus::Pending, None)]
            }
            EventBody::Answered {
                call_id,
                confirmation,
                status,
                decided_by,
            } => {
                let id = confirmation.approval_id;
                self.questions.retain(|(_, asked)| asked.approval_id != id);
                vec![self.asked(call_id, confirmation, *status, decided_by.as_deref())]
            }
            EventBody::Fallback { reason } => {
                vec![custom(
                    "fallback",
                    &json!({"mode": "rules", "reason": reason}),
                )]
            }
            EventBody::Failed {
                message,
                unavailable,
            } => self.fail(message, *unavailable),
            EventBody::Cancelled { reason } => {
                self.stage = Stage::Cancelled;
                vec![custom("cancelled", &json!({"reason": reason}))]
            }
            EventBody::Waiting { usage } => self.end(ChatStatus::PendingConfirmation, *usage),
            EventBody::Finished { status, usage } => self.end(*status, *usage),
        }
    }

    /// The turn begins. A second answer resumes the run again while the stream of the first goes on: that is no new run.
    fn begin(&mut self, session_id: &str, message_id: Uuid, model: &str) -> Vec<Value> {
        let was = std::mem::replace(&mut self.stage, Stage::Open);
        if was == Stage::Open {
            return Vec::new();
        }
        session_id.clone_into(&mut self.thread_id);
        self.message_id = message_id;
        model.clone_into(&mut self.model);
        self.parent = message_id.to_string();
        vec![json!({
            "type": "RUN_STARTED",
            "threadId": self.thread_id,
            "runId": self.named_run(),
            "protocolVersion": PROTOCOL_VERSION,
            "metadata": {"countersign": {"runId": self.run_id, "messageId": message_id, "model": model}},
        })]
    }

    /// The reader's own id of the run, or ours.
    fn named_run(&self) -> String {
        self.named
            .clone()
            .unwrap_or_else(|| self.run_id.to_string())
    }

    fn step_started(&mut self, step: u32, seq: i64) -> Vec<Value> {
        let mut payloads = self.close_step();
        let name = format!("step-{step}");
        payloads.push(json!({"type": "STEP_STARTED", "stepName": name}));
        self.step = Some(name);
        self.parent = self.message(seq);
        payloads
    }

    /// A step that a question interrupted was closed with the turn; when its tools are done later, it is not closed again.
    fn close_step(&mut self) -> Vec<Value> {
        let open = self.step.take();
        open.map(|name| json!({"type": "STEP_FINISHED", "stepName": name}))
            .into_iter()
            .collect()
    }

    /// The id of a message that an event began.
    fn message(&self, seq: i64) -> String {
        format!("{}-{seq}", self.message_id)
    }

    /// A text that begins a second time takes the place of what a worker had stored of it before it died; it is a message of its own,
    /// since a reader would add it to the first.
    fn text_started(&mut self, text_id: &str, seq: i64) -> Vec<Value> {
        let mut payloads = self.text_finished(text_id, true);
        let message_id = self.message(seq);
        self.parent.clone_from(&message_id);
        payloads.push(
            json!({"type": "TEXT_MESSAGE_START", "messageId": message_id, "role": "assistant"}),
        );
        self.texts.push(Text {
            text_id: text_id.to_owned(),
            message_id,
            words: String::new(),
        });
        payloads
    }

    fn text_delta(&mut self, text_id: &str, delta: &str) -> Vec<Value> {
        let keeps = self.snapshot.is_some();
        let open = self.texts.iter_mut().find(|text| text.text_id == text_id);
        // An empty piece is not allowed, and says nothing.
        let Some(text) = open.filter(|_| !delta.is_empty()) else {
            return Vec::new();
        };
        if keeps {
            text.words.push_str(delta);
        }
        vec![json!({"type": "TEXT_MESSAGE_CONTENT", "messageId": text.message_id, "delta": delta})]
    }

    /// A text that is void has to be ended like any other; a reader of ours then takes it back, and the snapshot leaves it out.
    fn text_finished(&mut self, text_id: &str, discarded: bool) -> Vec<Value> {
        let Some(at) = self.texts.iter().position(|text| text.text_id == text_id) else {
            return Vec::new();
        };
        let text = self.texts.swap_remove(at);
        if !discarded {
            return vec![self.end_text(&text)];
        }
        vec![
            text_end(&text.message_id),
            custom("text_discarded", &json!({"messageId": text.message_id})),
        ]
    }

    fn end_text(&mut self, text: &Text) -> Value {
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.text(&text.message_id, &text.words);
        }
        text_end(&text.message_id)
    }

    /// Calls are numbered within a run of ours, and named across the thread here.
    fn call(&self, call_id: &str) -> String {
        format!("{}:{call_id}", self.run_id)
    }

    fn called(&mut self, call_id: &str, tool: &str, arguments: &Value) -> Vec<Value> {
        let call = self.call(call_id);
        let arguments = arguments.to_string();
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.call(&self.parent, &call, tool, &arguments);
        }
        vec![
            json!({"type": "TOOL_CALL_START", "toolCallId": call, "toolCallName": tool, "parentMessageId": self.parent}),
            json!({"type": "TOOL_CALL_ARGS", "toolCallId": call, "delta": arguments}),
            json!({"type": "TOOL_CALL_END", "toolCallId": call}),
        ]
    }

    /// What became of a call; nothing while it is not over. After an answer this is all that is said of it: the call was shown in the run
    /// that asked.
    fn returned(
        &mut self,
        call_id: &str,
        status: ToolCallStatus,
        result: &Value,
        seq: i64,
    ) -> Vec<Value> {
        let content = match (status, why_not(status, result)) {
            (ToolCallStatus::Done, _) => result.to_string(),
            (_, Some(message)) => {
                json!({"status": status, "message": message, "result": result}).to_string()
            }
            (_, None) => return Vec::new(),
        };
        let (id, call) = (self.message(seq), self.call(call_id));
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.result(&id, &call, &content);
        }
        vec![
            json!({"type": "TOOL_CALL_RESULT", "messageId": id, "toolCallId": call, "content": content, "role": "tool"}),
        ]
    }

    /// The question as the other streams have it, for a front end that shows more than the interrupt says.
    fn asked(
        &self,
        call_id: &str,
        question: &ConfirmationView,
        status: ApprovalStatus,
        decided_by: Option<&str>,
    ) -> Value {
        let call = self.call(call_id);
        custom(
            "confirmation",
            &confirmation(&call, question, status, decided_by),
        )
    }

    /// Ends whatever is open: a worker that died may have left it so.
    fn close(&mut self) -> Vec<Value> {
        let texts = std::mem::take(&mut self.texts);
        let mut payloads: Vec<Value> = texts.into_iter().map(|text| self.end_text(&text)).collect();
        payloads.extend(self.close_step());
        payloads
    }

    fn fail(&mut self, message: &str, unavailable: bool) -> Vec<Value> {
        let mut payloads = self.close();
        self.stage = Stage::Failed;
        let code = if unavailable {
            "unavailable"
        } else {
            "internal"
        };
        payloads.push(error(message, code));
        payloads
    }

    fn end(&mut self, status: ChatStatus, usage: Usage) -> Vec<Value> {
        let mut payloads = self.close();
        let was = std::mem::replace(&mut self.stage, Stage::Idle);
        let mut finished =
            json!({"type": "RUN_FINISHED", "threadId": self.thread_id, "runId": self.named_run()});
        match was {
            Stage::Failed => return payloads,
            Stage::Cancelled => finished["outcome"] = json!({"type": "cancelled"}),
            Stage::Idle | Stage::Open
                if status == ChatStatus::PendingConfirmation && !self.questions.is_empty() =>
            {
                payloads.extend(self.snapshot.as_ref().map(Snapshot::payload));
                finished["outcome"] = json!({"type": "interrupt", "interrupts": self.interrupts()});
            }
            Stage::Idle | Stage::Open => {
                finished["outcome"] = json!({"type": "success"});
                finished["result"] = json!({"status": status});
            }
        }
        if usage.input_tokens + usage.output_tokens > 0 {
            let total = usage.input_tokens + usage.output_tokens;
            finished["usage"] = json!([{"model": self.model, "inputTokens": usage.input_tokens,
                "outputTokens": usage.output_tokens, "totalTokens": total}]);
        }
        payloads.push(finished);
        payloads
    }

    fn interrupts(&self) -> Vec<Value> {
        let interrupt = |(call_id, asked): &(String, ConfirmationView)| {
            json!({
                "id": asked.approval_id,
                "reason": "tool_call",
                "toolCallId": self.call(call_id),
                "message": asked.message,
                "expiresAt": asked.expires_at,
                "responseSchema": {
                    "type": "object",
                    "properties": {
                        "approved": {"type": "boolean"},
                        "reason": {"type": "string", "maxLength": 500, "description": "Why, for the record."},
                    },
                    "required": ["approved"],
                },
                "metadata": {"countersign": {"tool": asked.tool, "preview": asked.preview, "approver": asked.approver}},
            })
        };
        self.questions.iter().map(interrupt).collect()
    }
}

/// The messages of a thread, as the reader has them and as this run has gone on.
#[derive(Debug)]
struct Snapshot {
    before: Vec<Value>,
    since: Vec<Value>,
}

impl Snapshot {
    const fn new(before: Vec<Value>) -> Snapshot {
        Snapshot {
            before,
            since: Vec::new(),
        }
    }

    fn text(&mut self, id: &str, words: &str) {
        self.since
            .push(json!({"id": id, "role": "assistant", "content": words}));
    }

    fn call(&mut self, parent: &str, call: &str, tool: &str, arguments: &str) {
        let made = json!({"id": call, "type": "function", "function": {"name": tool, "arguments": arguments}});
        let at = self
            .since
            .iter()
            .position(|message| message["id"] == parent);
        let at = at.unwrap_or_else(|| {
            self.since.push(json!({"id": parent, "role": "assistant"}));
            self.since.len() - 1
        });
        match self.since[at]["toolCalls"].as_array_mut() {
            Some(calls) => calls.push(made),
            None => self.since[at]["toolCalls"] = json!([made]),
        }
    }

    fn result(&mut self, id: &str, call: &str, content: &str) {
        self.since
            .push(json!({"id": id, "role": "tool", "toolCallId": call, "content": content}));
    }

    /// What the reader has, with our own messages in the place of those of the same id, then those it has not.
    fn payload(&self) -> Value {
        let ours = |id: &Value| self.since.iter().find(|message| message["id"] == *id);
        let known = |id: &Value| self.before.iter().any(|message| message["id"] == *id);
        let kept = self.before.iter().map(|m| ours(&m["id"]).unwrap_or(m));
        let new = self.since.iter().filter(|m| !known(&m["id"]));
        let messages: Vec<&Value> = kept.chain(new).collect();
        json!({"type": "MESSAGES_SNAPSHOT", "messages": messages})
    }
}

fn text_end(message_id: &str) -> Value {
    json!({"type": "TEXT_MESSAGE_END", "messageId": message_id})
}

fn custom(name: &str, value: &Value) -> Value {
    json!({"type": "CUSTOM", "name": name, "value": value})
}

/// The one event of a request that is not served, or the last of a run that failed.
#[must_use]
pub fn error(message: &str, code: &str) -> Value {
    json!({"type": "RUN_ERROR", "message": message, "code": code})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::scenes::{self, APPROVAL, MESSAGE, RUN};

    /// Payloads without their times.
    fn shown(view: &mut View, log: &[RunEvent]) -> Vec<Value> {
        let payloads = log.iter().flat_map(|event| view.payloads(event));
        payloads
            .map(|mut payload| {
                assert_eq!(payload["timestamp"], 0);
                payload.as_object_mut().unwrap().remove("timestamp");
                payload
            })
            .collect()
    }

    fn started(run_id: &str) -> Value {
        json!({"type": "RUN_STARTED", "threadId": "s1", "runId": run_id, "protocolVersion": "1.0",
            "metadata": {"countersign": {"runId": RUN, "messageId": MESSAGE, "model": "interpreter"}}})
    }

    fn kinds(payloads: &[Value]) -> Vec<&str> {
        payloads.iter().filter_map(|p| p["type"].as_str()).collect()
    }

    #[test]
    fn a_question_ends_the_run_with_what_a_client_needs_to_answer() {
        let call = format!("{RUN}:c1");
        let user = json!({"id": "u1", "role": "user", "content": "bill"});
        let parent = format!("{MESSAGE}-2");
        let mut view = View::new(RUN, Some("their-1".to_owned()), Some(vec![user.clone()]));
        let asked = shown(&mut view, &scenes::asking(1));
        assert_eq!(asked[0], started("their-1"));
        assert_eq!(
            asked[2],
            json!({"type": "TOOL_CALL_START", "toolCallId": call, "toolCallName": "billing_create_bill", "parentMessageId": parent})
        );
        assert_eq!(
            kinds(&asked),
            [
                "RUN_STARTED",
                "STEP_STARTED",
                "TOOL_CALL_START",
                "TOOL_CALL_ARGS",
                "TOOL_CALL_END",
                "CUSTOM",
                "STEP_FINISHED",
                "MESSAGES_SNAPSHOT",
                "RUN_FINISHED"
            ]
        );
        let made = json!({"id": call, "type": "function", "function": {"name": "billing_create_bill", "arguments": "{\"customer\":\"Ali\"}"}});
        let messages = json!([user, {"id": parent, "role": "assistant", "toolCalls": [made]}]);
        assert_eq!(asked[7]["messages"], messages);
        let outcome = &asked[8]["outcome"];
        assert_eq!(outcome["type"], "interrupt");
        let interrupt = &outcome["interrupts"][0];
        assert_eq!(
            (
                &interrupt["id"],
                &interrupt["reason"],
                &interrupt["toolCallId"],
                &interrupt["message"],
                &interrupt["expiresAt"]
            ),
            (
                &json!(APPROVAL),
                &json!("tool_call"),
                &json!(call),
                &json!("Are you sure?"),
                &json!("2026-11-18T11:06:40Z")
            )
        );
        assert_eq!(interrupt["responseSchema"]["required"], json!(["approved"]));
    }

    #[test]
    fn the_answer_to_a_question_is_a_new_run_that_shows_the_old_calls_result() {
        let mut view = View::new(RUN, Some("their-2".to_owned()), None);
        scenes::asking(1)
            .iter()
            .for_each(|event| drop(view.payloads(event)));
        let done = shown(&mut view, &scenes::resumed(6));
        assert_eq!(done[0], started("their-2"));
        assert_eq!(
            kinds(&done),
            [
                "RUN_STARTED",
                "CUSTOM",
                "TOOL_CALL_RESULT",
                "STEP_STARTED",
                "TEXT_MESSAGE_START",
                "TEXT_MESSAGE_CONTENT",
                "TEXT_MESSAGE_END",
                "STEP_FINISHED",
                "RUN_FINISHED"
            ]
        );
        assert_eq!(
            (&done[2]["toolCallId"], &done[2]["content"]),
            (
                &json!(format!("{RUN}:c1")),
                &json!("{\"number\":\"INV-1\"}")
            )
        );
        assert_eq!(done[8]["outcome"], json!({"type": "success"}));
    }

    #[test]
    fn a_snapshot_keeps_what_the_reader_has_and_names_nothing_twice() {
        let parent = format!("{MESSAGE}-2");
        let before = vec![
            json!({"id": "u1", "role": "user", "content": "bill"}),
            json!({"id": parent, "role": "assistant", "content": "forged"}),
            json!({"id": "u2", "role": "user", "content": "and?"}),
        ];
        let mut view = View::new(RUN, None, Some(before));
        let shown = shown(&mut view, &scenes::asking(1));
        let snapshot = shown
            .iter()
            .find(|p| p["type"] == "MESSAGES_SNAPSHOT")
            .unwrap();
        let ids: Vec<&str> = snapshot["messages"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|m| m["id"].as_str())
            .collect();
        assert_eq!(ids, ["u1", parent.as_str(), "u2"]);
        assert_eq!(snapshot["messages"][1]["content"], Value::Null, "ours");
        assert_eq!(
            shown.last().unwrap()["runId"],
            json!(RUN),
            "our id where it has none"
        );
    }

    #[test]
    fn a_run_that_fails_ends_with_the_error_and_a_cancelled_one_says_so() {
        let mut bodies = scenes::text("half");
        bodies.pop();
        bodies.insert(0, EventBody::StepStarted { step: 1 });
        bodies.insert(0, scenes::started());
        bodies.push(EventBody::Failed {
            message: "System error. Please try again.".to_owned(),
            unavailable: false,
        });
        bodies.push(EventBody::Finished {
            status: ChatStatus::Error,
            usage: Usage::default(),
        });
        let failed = shown(&mut View::new(RUN, None, None), &scenes::log(bodies, 1));
        assert_eq!(
            kinds(&failed)[4..],
            ["TEXT_MESSAGE_END", "STEP_FINISHED", "RUN_ERROR"]
        );

        let bodies = vec![
            scenes::started(),
            EventBody::Cancelled {
                reason: "stopped".to_owned(),
            },
            EventBody::Finished {
                status: ChatStatus::Cancelled,
                usage: Usage {
                    input_tokens: 2,
                    output_tokens: 3,
                    ..Usage::default()
                },
            },
        ];
        let cancelled = shown(&mut View::new(RUN, None, None), &scenes::log(bodies, 1));
        let last = cancelled.last().unwrap();
        assert_eq!(last["outcome"], json!({"type": "cancelled"}));
        assert_eq!(last["usage"][0]["totalTokens"], 5);
    }

    #[test]
    fn a_text_that_begins_again_takes_the_first_ones_place_and_an_empty_piece_is_none() {
        let mut bodies = vec![scenes::started()];
        bodies.extend(scenes::text("half"));
        bodies.pop();
        bodies.extend(scenes::text("void"));
        if let Some(EventBody::TextFinished { discarded, .. }) = bodies.last_mut() {
            *discarded = true;
        }
        bodies.extend(scenes::text(""));
        bodies.extend(scenes::text("whole"));
        bodies.push(EventBody::Question {
            call_id: "c1".to_owned(),
            confirmation: scenes::confirmation(),
        });
        bodies.push(EventBody::Waiting {
            usage: Usage::default(),
        });
        let mut view = View::new(RUN, None, Some(Vec::new()));
        let shown = shown(&mut view, &scenes::log(bodies, 1));
        let (start, piece, end) = (
            "TEXT_MESSAGE_START",
            "TEXT_MESSAGE_CONTENT",
            "TEXT_MESSAGE_END",
        );
        let expected = [
            [start, piece, end, "CUSTOM"].as_slice(),
            &[start, piece, end, "CUSTOM"],
            &[start, end],
            &[start, piece, end],
        ]
        .concat();
        assert_eq!(kinds(&shown)[1..=expected.len()], expected);

        let of = |kind: &str| {
            shown
                .iter()
                .filter(|p| p["type"] == kind)
                .cloned()
                .collect::<Vec<_>>()
        };
        let mut ids: Vec<Value> = of(start).iter().map(|p| p["messageId"].clone()).collect();
        let taken_back: Vec<Value> = of("CUSTOM")
            .iter()
            .filter(|p| p["name"] == "text_discarded")
            .map(|p| p["value"]["messageId"].clone())
            .collect();
        assert_eq!(taken_back, ids[..2]);
        ids.dedup();
        assert_eq!(ids.len(), 4, "each is a message of its own");
        let snapshot = &of("MESSAGES_SNAPSHOT")[0]["messages"];
        let left: Vec<&str> = snapshot
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|m| m["content"].as_str())
            .collect();
        assert_eq!(left, ["", "whole"]);
    }

    #[test]
    fn every_way_a_call_can_end_has_its_content() {
        for (status, result, expected) in [
            (ToolCallStatus::Done, json!({"a": 1}), Some("{\"a\":1}")),
            (
                ToolCallStatus::Denied,
                json!({"reason": "no"}),
                Some("The answer was no."),
            ),
            (
                ToolCallStatus::Failed,
                json!({"message": "Only 3 kg."}),
                Some("Only 3 kg."),
            ),
            (
                ToolCallStatus::Failed,
                Value::Null,
                Some("It could not be done"),
            ),
            (
                ToolCallStatus::Expired,
                Value::Null,
                Some("Nobody answered in time."),
            ),
            (
                ToolCallStatus::Superseded,
                Value::Null,
                Some("The request was changed."),
            ),
            (
                ToolCallStatus::Unknown,
                Value::Null,
                Some("it is not known whether it was done"),
            ),
            (ToolCallStatus::Running, Value::Null, None),
            (ToolCallStatus::PendingConfirmation, Value::Null, None),
        ] {
            let log = scenes::log(vec![scenes::returned(status, result)], 1);
            let shown = shown(&mut View::new(RUN, None, None), &log);
            assert_eq!(shown.len(), usize::from(expected.is_some()), "{status:?}");
            if let Some(expected) = expected {
                let content = shown[0]["content"].as_str().unwrap();
                assert!(content.contains(expected), "{content}");
                assert!(serde_json::from_str::<Value>(content).is_ok());
            }
        }
    }
}
