//! A turn as one answer: what its events come to.

use contracts::http::approval::ApprovalStatus;
use contracts::http::chat::{ChatResponse, ChatStatus, ToolCallStatus, ToolCallView};
use contracts::http::event::{EventBody, RunEvent};
use serde_json::Value;

use super::{Turn, TurnError};

/// Where the turn after `after_seq` ends: the index behind its last event.
pub(super) fn end_of_turn(events: &[RunEvent], after_seq: i64) -> Option<usize> {
    events
        .iter()
        .position(|e| e.seq > after_seq && e.body.ends_turn())
        .map(|i| i + 1)
}

/// Sums up the turn after `turn.after_seq`. `events` are the run's from its beginning to the turn's end: a resumed turn finishes calls
/// that an earlier one announced.
pub(super) fn sum_up(turn: &Turn, events: &[RunEvent]) -> Result<ChatResponse, TurnError> {
    let mut response = ChatResponse {
        session_id: turn.session_id.clone(),
        run_id: turn.run_id,
        response: String::new(),
        status: ChatStatus::Success,
        tool_calls: Vec::new(),
        confirmations: Vec::new(),
        usage: contracts::http::chat::Usage::default(),
    };
    let mut said = Said::default();
    let mut calls: Vec<(ToolCallView, bool)> = Vec::new();
    for event in events {
        let ours = event.seq > turn.after_seq;
        follow_call(&mut calls, &event.body, ours);
        if !ours {
            continue;
        }
        match &event.body {
            EventBody::TextStarted { text_id } => said.begin(text_id),
            EventBody::TextDelta { text_id, delta } => said.add(text_id, delta),
            EventBody::TextFinished {
                text_id,
                discarded: true,
            } => said.discard(text_id),
            EventBody::Question { confirmation, .. } => said.whole(&confirmation.message),
            EventBody::Failed {
                unavailable: true,
                message,
            } => return Err(TurnError::Unavailable(message.clone())),
            EventBody::Failed { message, .. } | EventBody::Cancelled { reason: message } => {
                said.whole(message);
            }
            EventBody::Waiting { usage } => {
                response.status = ChatStatus::PendingConfirmation;
                response.usage = *usage;
            }
            EventBody::Finished { status, usage } => {
                response.status = *status;
                response.usage = *usage;
            }
            _ => {}
        }
    }
    response.response = said.text();
    response.tool_calls = calls
        .into_iter()
        .filter(|(_, touched)| *touched)
        .map(|(call, _)| call)
        .collect();
    Ok(response)
}

/// What the turn says, in parts, in the order they began.
#[derive(Default)]
struct Said(Vec<(String, String)>);

impl Said {
    /// A text that begins a second time takes the place of what a worker had stored of it before it died.
    fn begin(&mut self, text_id: &str) {
        self.0.retain(|(id, _)| id != text_id);
        self.0.push((text_id.to_owned(), String::new()));
    }

    fn add(&mut self, text_id: &str, delta: &str) {
        match self.0.iter_mut().find(|(id, _)| id == text_id) {
            Some((_, text)) => text.push_str(delta),
            None => self.0.push((text_id.to_owned(), delta.to_owned())),
        }
    }

    /// A text that failed half-way is void.
    fn discard(&mut self, text_id: &str) {
        self.0.retain(|(id, _)| id != text_id);
    }

    /// A part that is no text of the model's, and so has no id.
    fn whole(&mut self, text: &str) {
        self.0.push((String::new(), text.to_owned()));
    }

    fn text(self) -> String {
        let parts: Vec<String> = self
            .0
            .into_iter()
            .map(|(_, text)| text)
            .filter(|t| !t.is_empty())
            .collect();
        parts.join("\n\n")
    }
}

/// Keeps the calls' latest status; the flag says whether this turn had to do with it.
fn follow_call(calls: &mut Vec<(ToolCallView, bool)>, body: &EventBody, ours: bool) {
    let mut set = |id: &str, status: ToolCallStatus, result: Option<&Value>| {
        if let Some((call, touched)) = calls.iter_mut().find(|(c, _)| c.id == id) {
            call.status = status;
            if let Some(result) = result {
                call.result = result.clone();
            }
            *touched |= ours;
        }
    };
    match body {
        EventBody::ToolCalled {
            call_id,
            tool,
            arguments,
            ..
        } => calls.push((
            ToolCallView {
                id: call_id.clone(),
                name: tool.clone(),
                arguments: arguments.clone(),
                status: ToolCallStatus::Running,
                result: Value::Null,
            },
            ours,
        )),
        EventBody::Question { call_id, .. } => {
            set(call_id, ToolCallStatus::PendingConfirmation, None);
        }
        EventBody::Answered {
            call_id,
            status: ApprovalStatus::Approved,
            ..
        } => set(call_id, ToolCallStatus::Running, None),
        EventBody::ToolReturned {
            call_id,
            status,
            result,
            ..
        } => set(call_id, *status, Some(result)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use contracts::http::chat::Usage;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn log(bodies: Vec<EventBody>) -> Vec<RunEvent> {
        bodies
            .into_iter()
            .zip(1..)
            .map(|(body, seq)| RunEvent {
                seq,
                at: DateTime::UNIX_EPOCH,
                body,
            })
            .collect()
    }

    fn turn(after_seq: i64) -> Turn {
        Turn {
            session_id: "s".to_owned(),
            run_id: Uuid::nil(),
            after_seq,
        }
    }

    fn text(id: &str, words: &str) -> Vec<EventBody> {
        vec![
            EventBody::TextStarted {
                text_id: id.to_owned(),
            },
            EventBody::TextDelta {
                text_id: id.to_owned(),
                delta: words.to_owned(),
            },
            EventBody::TextFinished {
                text_id: id.to_owned(),
                discarded: false,
            },
        ]
    }

    #[test]
    fn a_resumed_turn_shows_the_call_it_finished_and_only_its_own_words() {
        let mut bodies = text("a", "Let me see.");
        bodies.push(EventBody::ToolCalled {
            call_id: "c".to_owned(),
            tool: "t".to_owned(),
            title: String::new(),
            arguments: json!({"n": 1}),
        });
        bodies.push(EventBody::Waiting {
            usage: Usage::default(),
        });
        bodies.push(EventBody::ToolReturned {
            call_id: "c".to_owned(),
            tool: "t".to_owned(),
            status: ToolCallStatus::Done,
            result: json!({"bill_id": 1}),
        });
        bodies.extend(text("b", "Done."));
        bodies.push(EventBody::Finished {
            status: ChatStatus::Success,
            usage: Usage::default(),
        });
        let events = log(bodies);
        assert_eq!(end_of_turn(&events, 0), Some(5));
        let end = end_of_turn(&events, 5).unwrap();
        let second = sum_up(&turn(5), &events[..end]).unwrap();
        assert_eq!(second.response, "Done.");
        assert_eq!(second.tool_calls.len(), 1);
        assert_eq!(second.tool_calls[0].arguments, json!({"n": 1}));
        assert_eq!(second.tool_calls[0].result, json!({"bill_id": 1}));
        let first = sum_up(&turn(0), &events[..5]).unwrap();
        assert_eq!(first.status, ChatStatus::PendingConfirmation);
        assert_eq!(first.response, "Let me see.");
    }

    #[test]
    fn a_text_begun_again_after_a_crash_is_said_once() {
        let mut bodies = text("text_1", "You have 3 k");
        bodies.truncate(2);
        bodies.extend(text("text_1", "You have 3 kg."));
        bodies.extend(text("text_2", "Anything else?"));
        let answer = sum_up(&turn(0), &log(bodies)).unwrap();
        assert_eq!(answer.response, "You have 3 kg.\n\nAnything else?");
    }

    #[test]
    fn an_unreachable_server_is_no_answer() {
        let events = log(vec![
            EventBody::Failed {
                message: "x".to_owned(),
                unavailable: true,
            },
            EventBody::Finished {
                status: ChatStatus::Error,
                usage: Usage::default(),
            },
        ]);
        assert!(matches!(
            sum_up(&turn(0), &events),
            Err(TurnError::Unavailable(_))
        ));
    }
}
