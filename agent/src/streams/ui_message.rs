//! The AI SDK's UI message stream, version 1: what the chat page, the command line and any `useChat` client read.
//!
//! Its readers throw on a frame of unknown `type`, so everything of ours that it has no frame for is a `data-…` frame. An event may
//! become several frames; sending all of them again changes nothing on the client.

use std::collections::HashMap;

use contracts::http::approval::ApprovalStatus;
use contracts::http::chat::{ChatStatus, ConfirmationView, ToolCallStatus, Usage};
use contracts::http::event::{EventBody, RunEvent};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Cursor, Frame};

/// The response header that names this protocol, and its value.
pub const PROTOCOL_HEADER: (&str, &str) = ("x-vercel-ai-ui-message-stream", "v1");

/// The last payload of a turn.
const DONE: &str = "[DONE]";
/// What `tool-output-error` says when the tool's own failure has no sentence.
const FAILED: &str = "It could not be done, and nothing was changed.";
const EXPIRED: &str = "Nobody answered in time. Nothing was done.";
const SUPERSEDED: &str = "The request was changed. Nothing was done.";
const UNKNOWN: &str =
    "No answer came back, so it is not known whether it was done. Staff will look into it.";

/// What the client has of a run that a person's answer resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// The message that asked: the stream goes on with the same message id and the same calls.
    SameMessage,
    /// The answer came as a new message, "yes", so the client waits for a new one: a resumed call is shown again before its result,
    /// because a reader throws on the result of a call that the message does not have.
    NewMessage,
}

/// A call as it was announced: what a new message has to repeat of it.
#[derive(Debug, Clone, PartialEq)]
struct Announced {
    title: String,
    arguments: Value,
}

/// Whether a `start-step` is open. A stream that starts in the middle of a turn does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Unknown,
    Open,
    Closed,
}

/// Turns the events of one turn into frames.
#[derive(Debug)]
pub struct Projection {
    run_id: Uuid,
    opening: Opening,
    step: Step,
    /// Calls of earlier turns that this message has not shown yet.
    earlier: HashMap<String, Announced>,
}

impl Projection {
    /// A projection of `run_id`'s events, from any place on.
    #[must_use]
    pub fn new(run_id: Uuid, opening: Opening) -> Projection {
        Projection {
            run_id,
            opening,
            step: Step::Unknown,
            earlier: HashMap::new(),
        }
    }

    /// The run that is projected.
    #[must_use]
    pub const fn run_id(&self) -> Uuid {
        self.run_id
    }

    /// Whether `event` cannot be projected well without [`Projection::recall`] of what came before it.
    #[must_use]
    pub fn wants_earlier(&self, event: &RunEvent) -> bool {
        self.opening == Opening::NewMessage && matches!(event.body, EventBody::Resumed { .. })
    }

    /// Takes note of the calls that were announced before event `seq`.
    pub fn recall(&mut self, log: &[RunEvent], seq: i64) {
        for event in log.iter().filter(|event| event.seq < seq) {
            if let EventBody::ToolCalled {
                call_id,
                title,
                arguments,
                ..
            } = &event.body
            {
                let announced = Announced {
                    title: title.clone(),
                    arguments: arguments.clone(),
                };
                self.earlier.insert(call_id.clone(), announced);
            }
        }
    }

    /// The frames of an event; none for an event that says nothing new to a client. The last one carries the event's place.
    pub fn frames(&mut self, event: &RunEvent) -> Vec<Frame> {
        let payloads = self.payloads(event);
        let ends = event.body.ends_turn();
        let mut frames: Vec<Frame> = payloads.iter().map(|p| frame(p.to_string())).collect();
        if let Some(last) = frames.last_mut() {
            last.id = Some(Cursor {
                run_id: self.run_id,
                seq: event.seq,
            });
        }
        if ends {
            frames.push(frame(DONE.to_owned()));
        }
        frames
    }

    fn payloads(&mut self, event: &RunEvent) -> Vec<Value> {
        match &event.body {
            EventBody::Started {
                session_id,
                message_id,
                model,
                ..
            } => {
                self.step = Step::Closed;
                vec![self.start(session_id, &message_id.to_string(), model)]
            }
            EventBody::Resumed {
                session_id,
                message_id,
                model,
                ..
            } => {
                self.step = Step::Closed;
                let message_id = match self.opening {
                    Opening::SameMessage => message_id.to_string(),
                    Opening::NewMessage => format!("{message_id}-{}", event.seq),
                };
                vec![self.start(session_id, &message_id, model)]
            }
            EventBody::StepStarted { .. } => {
                self.step = Step::Open;
                vec![json!({"type": "start-step"})]
            }
            EventBody::StepFinished { .. } => self.close_step(),
            EventBody::Waiting { usage } => {
                let mut payloads = self.close_step();
                payloads.push(finish(ChatStatus::PendingConfirmation, *usage));
                payloads
            }
            EventBody::Finished { status, usage } => {
                let mut payloads = self.close_step();
                payloads.push(finish(*status, *usage));
                payloads
            }
            EventBody::ToolReturned {
                call_id,
                tool,
                status,
                result,
            } => self.returned(call_id, tool, *status, result),
            body => plain(body),
        }
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
        let was = std::mem::replace(&mut self.step, Step::Closed);
        if was == Step::Closed {
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
        EventBody::TextStarted { text_id } => vec![json!({"type": "text-start", "id": text_id})],
        EventBody::TextDelta { text_id, delta } => {
            vec![json!({"type": "text-delta", "id": text_id, "delta": delta})]
        }
        EventBody::TextFinished { text_id, discarded } => text_end(text_id, *discarded),
        EventBody::ToolCalled {
            call_id,
            tool,
            title,
            arguments,
        } => called(call_id, tool, title, arguments).into(),
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
        | EventBody::ToolReturned { .. }
        | EventBody::Waiting { .. }
        | EventBody::Finished { .. } => Vec::new(),
    }
}

/// Our own clients take a void text back; others show it as a text of its own, followed by the one that counts.
fn text_end(text_id: &str, discarded: bool) -> Vec<Value> {
    let mut payloads = vec![json!({"type": "text-end", "id": text_id})];
    if discarded {
        payloads.push(json!({"type": "data-text-discarded", "id": text_id, "data": {"textId": text_id}}));
    }
    payloads
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
    let error = |text: &str| json!({"type": "tool-output-error", "toolCallId": call_id, "errorText": text, "dynamic": true});
    match status {
        ToolCallStatus::Done => Some(
            json!({"type": "tool-output-available", "toolCallId": call_id, "output": result, "dynamic": true}),
        ),
        ToolCallStatus::Denied => {
            Some(json!({"type": "tool-output-denied", "toolCallId": call_id}))
        }
        ToolCallStatus::Failed => Some(error(
            result
                .get("message")
                .and_then(Value::as_str)
                .unwrap_or(FAILED),
        )),
        ToolCallStatus::Expired => Some(error(EXPIRED)),
        ToolCallStatus::Superseded => Some(error(SUPERSEDED)),
        ToolCallStatus::Unknown => Some(error(UNKNOWN)),
        ToolCallStatus::Running | ToolCallStatus::PendingConfirmation => None,
    }
}

/// The question as a data part; the part's id is the approval's, so that a later frame replaces an earlier one.
fn question(
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
    json!({"type": "data-confirmation", "id": asked.approval_id, "data": data})
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

fn frame(data: String) -> Frame {
    Frame { id: None, data }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use contracts::confirmation::Approver;

    const RUN: Uuid = Uuid::from_u128(1);
    const MESSAGE: Uuid = Uuid::from_u128(2);
    const APPROVAL: Uuid = Uuid::from_u128(3);

    fn confirmation() -> ConfirmationView {
        ConfirmationView {
            approval_id: APPROVAL,
            tool: "billing_create_bill".to_owned(),
            message: "Are you sure?".to_owned(),
            preview: json!({"lines": []}),
            approver: Approver::Asker,
            expires_at: DateTime::from_timestamp(1_795_000_000, 0).unwrap(),
        }
    }

    fn asked(status: &str) -> Value {
        json!({"type": "data-confirmation", "id": APPROVAL, "data": {
            "approvalId": APPROVAL, "toolCallId": "c1", "tool": "billing_create_bill", "summary": "Are you sure?",
            "argsPreview": {"lines": []}, "approver": "self", "expiresAt": "2026-11-18T11:06:40Z",
            "decideUrl": format!("/agent/approvals/{APPROVAL}"), "allowed": ["approve", "deny"], "status": status}})
    }

    fn answered(status: ApprovalStatus) -> EventBody {
        EventBody::Answered {
            call_id: "c1".to_owned(),
            confirmation: confirmation(),
            status,
            decided_by: None,
        }
    }

    fn returned(status: ToolCallStatus, result: Value) -> EventBody {
        EventBody::ToolReturned {
            call_id: "c1".to_owned(),
            tool: "billing_create_bill".to_owned(),
            status,
            result,
        }
    }

    fn text(piece: &str) -> Vec<EventBody> {
        let text_id = "t1".to_owned();
        vec![
            EventBody::TextStarted {
                text_id: text_id.clone(),
            },
            EventBody::TextDelta {
                text_id: text_id.clone(),
                delta: piece.to_owned(),
            },
            EventBody::TextFinished {
                text_id,
                discarded: false,
            },
        ]
    }

    /// A turn that asks before it writes a bill.
    fn asking() -> Vec<EventBody> {
        vec![
            EventBody::Started {
                session_id: "s1".to_owned(),
                run_id: RUN,
                message_id: MESSAGE,
                model: "interpreter".to_owned(),
            },
            EventBody::StepStarted { step: 1 },
            EventBody::ToolCalled {
                call_id: "c1".to_owned(),
                tool: "billing_create_bill".to_owned(),
                title: "Create a bill".to_owned(),
                arguments: json!({"customer": "Ali"}),
            },
            EventBody::Question {
                call_id: "c1".to_owned(),
                confirmation: confirmation(),
            },
            EventBody::Waiting {
                usage: Usage::default(),
            },
        ]
    }

    /// The turn after the yes.
    fn resumed() -> Vec<EventBody> {
        let mut events = vec![
            EventBody::Resumed {
                session_id: "s1".to_owned(),
                run_id: RUN,
                message_id: MESSAGE,
                model: "interpreter".to_owned(),
            },
            answered(ApprovalStatus::Approved),
            returned(ToolCallStatus::Done, json!({"number": "INV-1"})),
            EventBody::StepFinished { step: 1 },
            EventBody::StepStarted { step: 2 },
        ];
        events.extend(text("Done."));
        events.push(EventBody::StepFinished { step: 2 });
        events.push(EventBody::Finished {
            status: ChatStatus::Success,
            usage: Usage::default(),
        });
        events
    }

    fn log(bodies: Vec<EventBody>, first_seq: i64) -> Vec<RunEvent> {
        let at = DateTime::UNIX_EPOCH;
        (first_seq..)
            .zip(bodies)
            .map(|(seq, body)| RunEvent { seq, at, body })
            .collect()
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
        let mut projection = Projection::new(RUN, Opening::SameMessage);
        assert_eq!(
            shown(&mut projection, &log(asking(), 1)),
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

        let mut projection = Projection::new(RUN, Opening::SameMessage);
        assert_eq!(
            shown(&mut projection, &log(resumed(), 6)),
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
        let (before, after) = (log(asking(), 1), log(resumed(), 6));
        let mut projection = Projection::new(RUN, Opening::NewMessage);
        assert!(!projection.wants_earlier(&before[0]));
        assert!(projection.wants_earlier(&after[0]));
        projection.recall(&[before, after.clone()].concat(), 6);

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
    fn a_client_that_comes_back_in_the_middle_gets_the_rest_as_it_was() {
        let whole = log(asking(), 1);
        let all = shown(&mut Projection::new(RUN, Opening::SameMessage), &whole);
        for seen in 1..whole.len() {
            let rest = shown(
                &mut Projection::new(RUN, Opening::SameMessage),
                &whole[seen..],
            );
            assert!(all.ends_with(&rest), "after event {seen}: {rest:?}");
        }
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
            let mut projection = Projection::new(RUN, Opening::SameMessage);
            let shown = shown(&mut projection, &log(vec![returned(status, result)], 4));
            let expected = expected.map(|payload| (Some(4), payload));
            assert_eq!(shown, Vec::from_iter(expected), "{status:?}");
        }
    }

    #[test]
    fn a_text_that_is_void_is_ended_and_taken_back() {
        let body = EventBody::TextFinished {
            text_id: "text_1".to_owned(),
            discarded: true,
        };
        let mut projection = Projection::new(RUN, Opening::SameMessage);
        assert_eq!(
            shown(&mut projection, &log(vec![body], 7)),
            [
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
        let mut projection = Projection::new(RUN, Opening::SameMessage);
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
                (None, json!({"type": "finish-step"})),
                (Some(5), finished("other", "cancelled")),
                (None, json!("[DONE]")),
            ]
        );
    }
}
