//! The AI SDK's UI message stream, version 1: what the chat page, the command line and any `useChat` client read.
//!
//! Its readers throw on a frame of unknown `type`, so everything of ours that it has no frame for is a `data-…` frame. An event may
//! become several payloads; sending all of them again changes nothing on the client.

use std::collections::HashMap;

use contracts::http::approval::ApprovalStatus;
use contracts::http::chat::{ChatStatus, ConfirmationView, ToolCallStatus, Usage};
use contracts::http::event::{EventBody, RunEvent};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Opening;

/// The last payload of a turn.
pub const DONE: &str = "[DONE]";
/// What `tool-output-error` says when the tool's own failure has no sentence.
const FAILED: &str = "It could not be done, and nothing was changed.";
const DENIED: &str = "The answer was no. Nothing was done.";
const EXPIRED: &str = "Nobody answered in time. Nothing was done.";
const SUPERSEDED: &str = "The request was changed. Nothing was done.";
const UNKNOWN: &str =
    "No answer came back, so it is not known whether it was done. Staff will look into it.";

/// A call as it was announced: what a new message has to repeat of it.
#[derive(Debug, Clone, PartialEq)]
struct Announced {
    title: String,
    arguments: Value,
}

/// What the reader of one run's events has been told so far.
#[derive(Debug)]
pub struct View {
    run_id: Uuid,
    opening: Opening,
    /// A turn has begun and not ended.
    in_turn: bool,
    /// A `start-step` is open.
    in_step: bool,
    /// Texts that have begun and not ended.
    texts: Vec<String>,
    /// Calls without an outcome.
    calls: HashMap<String, Announced>,
    /// Those of them that this turn's message has not shown yet.
    earlier: HashMap<String, Announced>,
}

impl View {
    /// A reader that has been told nothing.
    #[must_use]
    pub fn new(run_id: Uuid, opening: Opening) -> View {
        View {
            run_id,
            opening,
            in_turn: false,
            in_step: false,
            texts: Vec::new(),
            calls: HashMap::new(),
            earlier: HashMap::new(),
        }
    }

    /// The payloads of the next event of the run.
    pub fn payloads(&mut self, event: &RunEvent) -> Vec<Value> {
        match &event.body {
            EventBody::Started {
                session_id,
                message_id,
                model,
                ..
            } => self.begin(session_id, &message_id.to_string(), model),
            EventBody::Resumed {
                session_id,
                message_id,
                model,
                ..
            } => {
                let message_id = match self.opening {
                    Opening::SameMessage => message_id.to_string(),
                    Opening::NewMessage => format!("{message_id}-{}", event.seq),
                };
                self.begin(session_id, &message_id, model)
            }
            EventBody::StepStarted { .. } => {
                let mut payloads = self.close_step();
                self.in_step = true;
                payloads.push(json!({"type": "start-step"}));
                payloads
            }
            EventBody::StepFinished { .. } => self.close_step(),
            EventBody::TextStarted { text_id } => self.text_started(text_id),
            EventBody::TextFinished { text_id, discarded } => {
                let mut payloads = self.text_finished(text_id);
                payloads.extend(discarded.then(|| text_discarded(text_id)));
                payloads
            }
            EventBody::ToolCalled {
                call_id,
                tool,
                title,
                arguments,
            } => {
                let announced = Announced {
                    title: title.clone(),
                    arguments: arguments.clone(),
                };
                self.calls.insert(call_id.clone(), announced);
                called(call_id, tool, title, arguments).into()
            }
            EventBody::ToolReturned {
                call_id,
                tool,
                status,
                result,
            } => self.returned(call_id, tool, *status, result),
            EventBody::Waiting { usage } => self.end(ChatStatus::PendingConfirmation, *usage),
            EventBody::Finished { status, usage } => self.end(*status, *usage),
            body => plain(body),
        }
    }

    /// The turn begins. A second answer to one message resumes the run again while the stream of the first goes on: that is no new
    /// message.
    fn begin(&mut self, session_id: &str, message_id: &str, model: &str) -> Vec<Value> {
        if std::mem::replace(&mut self.in_turn, true) {
            return Vec::new();
        }
        if self.opening == Opening::NewMessage {
            self.earlier = self.calls.clone();
        }
        vec![self.start(session_id, message_id, model)]
    }

    /// The turn ends, and with it whatever a worker that died left open.
    fn end(&mut self, status: ChatStatus, usage: Usage) -> Vec<Value> {
        self.in_turn = false;
        let mut payloads: Vec<Value> = self.texts.drain(..).map(|id| text_end(&id)).collect();
        payloads.extend(self.close_step());
        payloads.push(finish(status, usage));
        payloads
    }

    /// A text that begins a second time takes the place of what a worker had stored of it before it died.
    fn text_started(&mut self, text_id: &str) -> Vec<Value> {
        let mut payloads = self.text_finished(text_id);
        self.texts.push(text_id.to_owned());
        payloads.push(json!({"type": "text-start", "id": text_id}));
        payloads
    }

    fn text_finished(&mut self, text_id: &str) -> Vec<Value> {
        let open = self.texts.iter().position(|id| id == text_id);
        open.map(|at| text_end(&self.texts.swap_remove(at)))
            .into_iter()
            .collect()
    }

    fn start(&self, session_id: &str, message_id: &str, model: &str) -> Value {
        json!({
            "type": "start",
            "messageId": message_id,
            "messageMetadata": {"sessionId": session_id, "runId": self.run_id, "model": model, "protocol": 1},
        })
    }

    /// A step that a question interrupted was closed with the turn; when its tools are done later, it is not closed again.
    fn close_step(&mut self) -> Vec<Value> {
        if !std::mem::replace(&mut self.in_step, false) {
            return Vec::new();
        }
        vec![json!({"type": "finish-step"})]
    }

    fn returned(
        &mut self,
        call_id: &str,
        tool: &str,
        status: ToolCallStatus,
        result: &Value,
    ) -> Vec<Value> {
        let Some(outcome) = outcome(call_id, status, result) else {
            return Vec::new();
        };
        self.calls.remove(call_id);
        let mut payloads = Vec::new();
        if let Some(call) = self.earlier.remove(call_id) {
            payloads.extend(called(call_id, tool, &call.title, &call.arguments));
        }
        payloads.push(outcome);
        payloads
    }
}

/// The payloads of an event that does not depend on what came before.
fn plain(body: &EventBody) -> Vec<Value> {
    match body {
        EventBody::TextDelta { text_id, delta } => {
            vec![json!({"type": "text-delta", "id": text_id, "delta": delta})]
        }
        EventBody::Question {
            call_id,
            confirmation,
        } => vec![
            json!({"type": "tool-approval-request", "approvalId": confirmation.approval_id, "toolCallId": call_id}),
            question(call_id, confirmation, ApprovalStatus::Pending, None),
        ],
        EventBody::Answered {
            call_id,
            confirmation,
            status,
            decided_by,
        } => vec![question(
            call_id,
            confirmation,
            *status,
            decided_by.as_deref(),
        )],
        EventBody::Fallback { reason } => {
            vec![json!({"type": "data-fallback", "data": {"mode": "rules", "reason": reason}})]
        }
        EventBody::Failed { message, .. } => vec![json!({"type": "error", "errorText": message})],
        EventBody::Cancelled { reason } => vec![json!({"type": "abort", "reason": reason})],
        EventBody::Started { .. }
        | EventBody::Resumed { .. }
        | EventBody::StepStarted { .. }
        | EventBody::StepFinished { .. }
        | EventBody::TextStarted { .. }
        | EventBody::TextFinished { .. }
        | EventBody::ToolCalled { .. }
        | EventBody::ToolReturned { .. }
        | EventBody::Waiting { .. }
        | EventBody::Finished { .. } => Vec::new(),
    }
}

/// A call that is ready to be made. MCP tools are not known at the client's compile time: `dynamic`.
fn called(call_id: &str, tool: &str, title: &str, arguments: &Value) -> [Value; 2] {
    [
        json!({"type": "tool-input-start", "toolCallId": call_id, "toolName": tool, "title": title, "dynamic": true}),
        json!({"type": "tool-input-available", "toolCallId": call_id, "toolName": tool, "title": title, "input": arguments, "dynamic": true}),
    ]
}

/// What became of a call; nothing while it is not over.
fn outcome(call_id: &str, status: ToolCallStatus, result: &Value) -> Option<Value> {
    match status {
        ToolCallStatus::Done => Some(
            json!({"type": "tool-output-available", "toolCallId": call_id, "output": result, "dynamic": true}),
        ),
        ToolCallStatus::Denied => {
            Some(json!({"type": "tool-output-denied", "toolCallId": call_id}))
        }
        status => why_not(status, result).map(
            |text| json!({"type": "tool-output-error", "toolCallId": call_id, "errorText": text, "dynamic": true}),
        ),
    }
}

/// Why a call has no result, for the person; nothing where it has one or is not over.
pub(super) fn why_not(status: ToolCallStatus, result: &Value) -> Option<&str> {
    match status {
        ToolCallStatus::Denied => Some(DENIED),
        ToolCallStatus::Failed => {
            let message = result.get("message").and_then(Value::as_str);
            Some(message.unwrap_or(FAILED))
        }
        ToolCallStatus::Expired => Some(EXPIRED),
        ToolCallStatus::Superseded => Some(SUPERSEDED),
        ToolCallStatus::Unknown => Some(UNKNOWN),
        ToolCallStatus::Done | ToolCallStatus::Running | ToolCallStatus::PendingConfirmation => {
            None
        }
    }
}

/// The question as a data part; the part's id is the approval's, so that a later frame replaces an earlier one.
fn question(
    call_id: &str,
    asked: &ConfirmationView,
    status: ApprovalStatus,
    decided_by: Option<&str>,
) -> Value {
    let data = confirmation(call_id, asked, status, decided_by);
    json!({"type": "data-confirmation", "id": asked.approval_id, "data": data})
}

/// What a client needs to show a question and to answer it.
pub(super) fn confirmation(
    call_id: &str,
    asked: &ConfirmationView,
    status: ApprovalStatus,
    decided_by: Option<&str>,
) -> Value {
    let mut data = json!({
        "approvalId": asked.approval_id,
        "toolCallId": call_id,
        "tool": asked.tool,
        "summary": asked.message,
        "argsPreview": asked.preview,
        "approver": asked.approver,
        "expiresAt": asked.expires_at,
        "decideUrl": format!("/agent/approvals/{}", asked.approval_id),
        "allowed": ["approve", "deny"],
        "status": status,
    });
    if let Some(decided_by) = decided_by {
        data["decidedBy"] = json!(decided_by);
    }
    data
}

fn text_end(text_id: &str) -> Value {
    json!({"type": "text-end", "id": text_id})
}

/// Our own clients take a void text back; others show it as a text of its own, followed by the one that counts.
fn text_discarded(text_id: &str) -> Value {
    json!({"type": "data-text-discarded", "id": text_id, "data": {"textId": text_id}})
}

fn finish(status: ChatStatus, usage: Usage) -> Value {
    let reason = match status {
        ChatStatus::Success => "stop",
        ChatStatus::PendingConfirmation => "tool-calls",
        ChatStatus::Cancelled => "other",
        ChatStatus::Error => "error",
    };
    let usage = json!({
        "modelCalls": usage.model_calls,
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.output_tokens,
        "costUsdMicros": usage.cost_usd_micros,
    });
    json!({"type": "finish", "finishReason": reason, "messageMetadata": {"status": status, "usage": usage}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::scenes::{
        APPROVAL, MESSAGE, RUN, answered, asking, log, resumed, returned, started, text,
    };
    use crate::streams::{Projection, Protocol, Reader};

    fn asked(status: &str) -> Value {
        json!({"type": "data-confirmation", "id": APPROVAL, "data": {
            "approvalId": APPROVAL, "toolCallId": "c1", "tool": "billing_create_bill", "summary": "Are you sure?",
            "argsPreview": {"lines": []}, "approver": "self", "expiresAt": "2026-11-18T11:06:40Z",
            "decideUrl": format!("/agent/approvals/{APPROVAL}"), "allowed": ["approve", "deny"], "status": status}})
    }

    fn projection(opening: Opening) -> Projection {
        Projection::new(RUN, Reader::of(Protocol::UiMessage, opening))
    }

    /// Frames as (place, payload), `[DONE]` as a JSON text.
    fn shown(projection: &mut Projection, log: &[RunEvent]) -> Vec<(Option<i64>, Value)> {
        let frames = log.iter().flat_map(|event| projection.frames(event));
        frames
            .map(|frame| {
                let payload =
                    serde_json::from_str(&frame.data).unwrap_or(Value::String(frame.data));
                (frame.id.map(|cursor| cursor.seq), payload)
            })
            .collect()
    }

    fn start(message_id: &str) -> Value {
        json!({"type": "start", "messageId": message_id,
            "messageMetadata": {"sessionId": "s1", "runId": RUN, "model": "interpreter", "protocol": 1}})
    }

    fn finished(reason: &str, status: &str) -> Value {
        json!({"type": "finish", "finishReason": reason, "messageMetadata": {"status": status,
            "usage": {"modelCalls": 0, "inputTokens": 0, "outputTokens": 0, "costUsdMicros": 0}}})
    }

    #[test]
    fn a_question_and_its_answer_are_one_message() {
        let input = |kind: &str| json!({"type": kind, "toolCallId": "c1", "toolName": "billing_create_bill", "title": "Create a bill", "dynamic": true});
        let mut available = input("tool-input-available");
        available["input"] = json!({"customer": "Ali"});
        let mut projection = projection(Opening::SameMessage);
        assert_eq!(
            shown(&mut projection, &asking(1)),
            [
                (Some(1), start(&MESSAGE.to_string())),
                (Some(2), json!({"type": "start-step"})),
                (None, input("tool-input-start")),
                (Some(3), available),
                (
                    None,
                    json!({"type": "tool-approval-request", "approvalId": APPROVAL, "toolCallId": "c1"})
                ),
                (Some(4), asked("pending")),
                (None, json!({"type": "finish-step"})),
                (Some(5), finished("tool-calls", "pending_confirmation")),
                (None, json!("[DONE]")),
            ]
        );

        assert_eq!(
            shown(&mut projection, &resumed(6)),
            [
                (Some(6), start(&MESSAGE.to_string())),
                (Some(7), asked("approved")),
                (
                    Some(8),
                    json!({"type": "tool-output-available", "toolCallId": "c1", "output": {"number": "INV-1"}, "dynamic": true})
                ),
                (Some(10), json!({"type": "start-step"})),
                (Some(11), json!({"type": "text-start", "id": "t1"})),
                (
                    Some(12),
                    json!({"type": "text-delta", "id": "t1", "delta": "Done."})
                ),
                (Some(13), json!({"type": "text-end", "id": "t1"})),
                (Some(14), json!({"type": "finish-step"})),
                (Some(15), finished("stop", "success")),
                (None, json!("[DONE]")),
            ]
        );
    }

    #[test]
    fn an_answer_in_words_opens_a_new_message_that_shows_the_call_again() {
        let (before, after) = (asking(1), resumed(6));
        let mut projection = projection(Opening::NewMessage);
        before.iter().for_each(|event| projection.pass(event));
        let shown = shown(&mut projection, &after);
        assert_eq!(shown[0], (Some(6), start(&format!("{MESSAGE}-6"))));
        let kinds: Vec<&str> = shown
            .iter()
            .filter_map(|(_, p)| p["type"].as_str())
            .collect();
        assert_eq!(
            kinds[1..6],
            [
                "data-confirmation",
                "tool-input-start",
                "tool-input-available",
                "tool-output-available",
                "start-step"
            ]
        );
        assert_eq!(shown[3].1["input"], json!({"customer": "Ali"}));
    }

    #[test]
    fn what_a_worker_that_died_left_open_is_ended_once() {
        let mut bodies = vec![started(), EventBody::StepStarted { step: 1 }];
        let text_id = "t1".to_owned();
        bodies.push(EventBody::TextStarted { text_id });
        bodies.extend(text("again"));
        bodies.extend(text("and cut"));
        bodies.pop();
        bodies.push(EventBody::Finished {
            status: ChatStatus::Error,
            usage: Usage::default(),
        });
        let shown = shown(&mut projection(Opening::SameMessage), &log(bodies, 1));
        let kinds: Vec<&str> = shown
            .iter()
            .filter_map(|(_, p)| p["type"].as_str())
            .collect();
        assert_eq!(
            kinds[2..],
            [
                "text-start",
                "text-end",
                "text-start",
                "text-delta",
                "text-end",
                "text-start",
                "text-delta",
                "text-end",
                "finish-step",
                "finish"
            ]
        );
    }

    #[test]
    fn every_way_a_call_can_end_has_its_frame() {
        let error = |text: &str| json!({"type": "tool-output-error", "toolCallId": "c1", "errorText": text, "dynamic": true});
        let message = "Only 3 kg of Sugar in stock.";
        for (status, result, expected) in [
            (
                ToolCallStatus::Done,
                json!({"a": 1}),
                Some(
                    json!({"type": "tool-output-available", "toolCallId": "c1", "output": {"a": 1}, "dynamic": true}),
                ),
            ),
            (
                ToolCallStatus::Denied,
                Value::Null,
                Some(json!({"type": "tool-output-denied", "toolCallId": "c1"})),
            ),
            (
                ToolCallStatus::Failed,
                json!({"code": "insufficient_stock", "message": message}),
                Some(error(message)),
            ),
            (ToolCallStatus::Failed, Value::Null, Some(error(FAILED))),
            (ToolCallStatus::Expired, Value::Null, Some(error(EXPIRED))),
            (
                ToolCallStatus::Superseded,
                Value::Null,
                Some(error(SUPERSEDED)),
            ),
            (ToolCallStatus::Unknown, Value::Null, Some(error(UNKNOWN))),
            (ToolCallStatus::Running, Value::Null, None),
            (ToolCallStatus::PendingConfirmation, Value::Null, None),
        ] {
            let mut projection = projection(Opening::SameMessage);
            let shown = shown(&mut projection, &log(vec![returned(status, result)], 4));
            let expected = expected.map(|payload| (Some(4), payload));
            assert_eq!(shown, Vec::from_iter(expected), "{status:?}");
        }
    }

    #[test]
    fn a_text_that_is_void_is_ended_and_taken_back() {
        let text_id = "text_1".to_owned();
        let bodies = vec![
            EventBody::TextStarted {
                text_id: text_id.clone(),
            },
            EventBody::TextFinished {
                text_id,
                discarded: true,
            },
        ];
        let mut projection = projection(Opening::SameMessage);
        assert_eq!(
            shown(&mut projection, &log(bodies, 6)),
            [
                (Some(6), json!({"type": "text-start", "id": "text_1"})),
                (None, json!({"type": "text-end", "id": "text_1"})),
                (
                    Some(7),
                    json!({"type": "data-text-discarded", "id": "text_1", "data": {"textId": "text_1"}})
                ),
            ]
        );
    }

    #[test]
    fn failure_cancellation_fallback_and_lapse_are_told() {
        let bodies = vec![
            EventBody::Fallback {
                reason: "The model is busy.".to_owned(),
            },
            answered(ApprovalStatus::Expired),
            EventBody::Failed {
                message: "System error. Please try again.".to_owned(),
                unavailable: false,
            },
            EventBody::Cancelled {
                reason: "stopped".to_owned(),
            },
            EventBody::Finished {
                status: ChatStatus::Cancelled,
                usage: Usage::default(),
            },
        ];
        let mut projection = projection(Opening::SameMessage);
        assert_eq!(
            shown(&mut projection, &log(bodies, 1)),
            [
                (
                    Some(1),
                    json!({"type": "data-fallback", "data": {"mode": "rules", "reason": "The model is busy."}})
                ),
                (Some(2), asked("expired")),
                (
                    Some(3),
                    json!({"type": "error", "errorText": "System error. Please try again."})
                ),
                (Some(4), json!({"type": "abort", "reason": "stopped"})),
                (Some(5), finished("other", "cancelled")),
                (None, json!("[DONE]")),
            ]
        );
    }
}
