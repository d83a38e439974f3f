//! Stands in until the engine's own file arrives: scripted turns.
//!
//! What an edge (HTTP, page, command line, channel) may ask of the engine: begin a turn, answer a question, follow a run.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use contracts::confirmation::Approver;
use contracts::http::approval::{ApprovalResponse, ApprovalStatus, Decision};
use contracts::http::chat::{
    ChatResponse, ChatStatus, ConfirmationView, ToolCallStatus, ToolCallView, Usage,
};
use contracts::http::event::{EventBody, RunEvent};
use contracts::http::run::{RunStatus, RunView};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use migrations::clock::new_id;
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

use crate::app::App;
use crate::principal::Principal;

/// Where a message came in; stored with the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// The chat page, or a browser.
    Web,
    /// A program.
    Api,
    /// The terminal.
    Cli,
}

/// A message to be worked on. The edge has checked its length and the session id's shape.
#[derive(Debug, Clone)]
pub struct NewTurn {
    /// The conversation; a new one is made when absent.
    pub session_id: Option<String>,
    /// What the person says.
    pub message: String,
    /// `Idempotency-Key` or `request_id`: the same key and message attach to the run that is there.
    pub request_key: Option<String>,
    /// The same session and text within 60 s attach to the run that is there (a GET must never start work twice).
    pub attach_to_same_text: bool,
    /// Where it came in.
    pub channel: Channel,
}

/// A turn that is being worked on or is over already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The conversation.
    pub session_id: String,
    /// The run that works on it.
    pub run_id: Uuid,
    /// Events of the turn come after this one.
    pub after_seq: i64,
}

/// Why an edge's request was not taken. Nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// No such session, run or approval for this principal.
    #[error("not found")]
    NotFound,
    /// Only its principal and staff may use a session; only the approver may answer.
    #[error("forbidden: {0}")]
    Forbidden(&'static str),
    /// The question has another answer already, or the key was used for another message.
    #[error("conflict: {0}")]
    Conflict(&'static str),
    /// A run is active in the session and the setting says not to queue.
    #[error("a run is active in this session")]
    Busy,
    /// The question has lapsed.
    #[error("the question has lapsed")]
    Expired,
    /// Too many at once.
    #[error("too many runs at once")]
    RateLimited,
    /// Postgres or the tool server cannot be reached.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// Our fault.
    #[error("internal: {0}")]
    Internal(String),
}

/// What the scripted engine holds.
#[derive(Default)]
pub struct Script {
    /// The next request is refused so.
    pub refuse_next: Option<TurnError>,
    /// Every turn that was begun.
    pub begun: Vec<NewTurn>,
    /// Every answer that was recorded: approval, decision, reason, how.
    pub answered: Vec<(Uuid, Decision, Option<String>, &'static str)>,
    /// Pause before each event of a scripted turn, for looking at the page.
    pub pace: Duration,
    runs: HashMap<Uuid, Run>,
    keys: HashMap<String, Turn>,
    approvals: HashMap<Uuid, Asked>,
}

struct Run {
    session_id: String,
    message_id: Uuid,
    events: watch::Sender<Vec<RunEvent>>,
    /// Turns that are still being played.
    playing: watch::Sender<usize>,
    /// One turn is played after the other.
    stage: Arc<tokio::sync::Mutex<()>>,
}

struct Asked {
    run_id: Uuid,
    call_id: String,
    confirmation: ConfirmationView,
    decision: Option<Decision>,
}

impl App {
    /// The script, to look at or to set.
    pub fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event to a run's log.
    pub fn push(&self, run_id: Uuid, body: EventBody) {
        let at = self.clock.now();
        if let Some(run) = self.script().runs.get(&run_id) {
            run.events.send_modify(|events| {
                let seq = i64::try_from(events.len()).unwrap_or(i64::MAX - 1) + 1;
                events.push(RunEvent { seq, at, body });
            });
        }
    }

    fn begin_run(&self, session_id: &str) -> (Uuid, Uuid) {
        let (run_id, message_id) = (new_id(self.clock.as_ref()), new_id(self.clock.as_ref()));
        let run = Run {
            session_id: session_id.to_owned(),
            message_id,
            events: watch::Sender::new(Vec::new()),
            playing: watch::Sender::new(0),
            stage: Arc::default(),
        };
        self.script().runs.insert(run_id, run);
        (run_id, message_id)
    }
}

fn asked_bill(app: &App, expires_at: DateTime<Utc>) -> ConfirmationView {
    ConfirmationView {
        approval_id: new_id(app.clock.as_ref()),
        tool: "billing_create_bill".to_owned(),
        message: "Are you sure you want to create a bill for Ali: 2 kg Sugar @ 160 = 320, 1 Shampoo = 250 (Total: RWF 570)? Reply 'yes' to confirm.".to_owned(),
        preview: json!({
            "lines": [{"text": "2 kg Sugar @ 160 = 320"}, {"text": "1 Shampoo = 250"}],
            "total": {"amount_minor": 570, "currency": "RWF", "text": "RWF 570"},
        }),
        approver: Approver::Asker,
        expires_at,
    }
}

/// The events of a scripted answer to `message`.
fn scripted(app: &App, message: &str, start: EventBody) -> Vec<EventBody> {
    let mut events = vec![start, EventBody::StepStarted { step: 1 }];
    if message == "hold" {
        return events;
    }
    let usage = Usage {
        model_calls: 1,
        ..Usage::default()
    };
    if message.contains("fail") {
        events.push(EventBody::Failed {
            message: "System error. Please try again.".to_owned(),
        });
        events.push(EventBody::Finished {
            status: ChatStatus::Error,
            usage,
        });
        return events;
    }
    if message.contains("bill") {
        let lapse = if message.contains("soon") { 8 } else { 300 };
        let asks = if message.contains("two") { 2 } else { 1 };
        for n in 1..=asks {
            let call_id = format!("c{n}");
            events.push(EventBody::ToolCalled {
                call_id: call_id.clone(),
                tool: "billing_create_bill".to_owned(),
                title: "Create a bill".to_owned(),
                arguments: json!({"customer": "Ali", "lines": [{"item": "sugar", "quantity": "2", "unit": "kg"}, {"item": "shampoo", "quantity": "1"}]}),
            });
            let confirmation = asked_bill(app, app.clock.now() + TimeDelta::seconds(lapse));
            events.push(EventBody::Question {
                call_id,
                confirmation,
            });
        }
        events.push(EventBody::Waiting { usage });
        return events;
    }
    events.push(EventBody::ToolCalled {
        call_id: "c1".to_owned(),
        tool: "inventory_add_item".to_owned(),
        title: "Add an item".to_owned(),
        arguments: json!({"name": "Sugar", "quantity": "20", "unit": "kg", "unit_price": "160"}),
    });
    events.push(EventBody::ToolReturned {
        call_id: "c1".to_owned(),
        tool: "inventory_add_item".to_owned(),
        status: ToolCallStatus::Done,
        result: json!({"summary": "Added 20 kg Sugar at RWF 160 per kg (grocery)."}),
    });
    events.extend(said("t1", "Added 20 kg Sugar at RWF 160 per kg (grocery)."));
    events.push(EventBody::StepFinished { step: 1 });
    events.push(EventBody::Finished {
        status: ChatStatus::Success,
        usage,
    });
    events
}

fn said(text_id: &str, text: &str) -> Vec<EventBody> {
    let text_id = text_id.to_owned();
    let mut events = vec![EventBody::TextStarted {
        text_id: text_id.clone(),
    }];
    events.extend(text.split_inclusive(' ').map(|word| EventBody::TextDelta {
        text_id: text_id.clone(),
        delta: word.to_owned(),
    }));
    events.push(EventBody::TextFinished { text_id });
    events
}

fn play(app: &Arc<App>, run_id: Uuid, events: Vec<EventBody>) {
    let pace = app.script().pace;
    for event in &events {
        if let EventBody::Question {
            call_id,
            confirmation,
        } = event
        {
            let asked = Asked {
                run_id,
                call_id: call_id.clone(),
                confirmation: confirmation.clone(),
                decision: None,
            };
            app.script()
                .approvals
                .insert(confirmation.approval_id, asked);
        }
    }
    if pace.is_zero() {
        for event in events {
            app.push(run_id, event);
        }
    } else {
        let app = Arc::clone(app);
        let Some((playing, stage)) = app
            .script()
            .runs
            .get(&run_id)
            .map(|run| (run.playing.clone(), Arc::clone(&run.stage)))
        else {
            return;
        };
        playing.send_modify(|n| *n += 1);
        tokio::spawn(async move {
            let _on_stage = stage.lock().await;
            for event in events {
                tokio::time::sleep(pace).await;
                app.push(run_id, event);
            }
            playing.send_modify(|n| *n -= 1);
            if let Some(run) = app.script().runs.get(&run_id) {
                run.events.send_modify(|_| {});
            }
        });
    }
}

/// Stores the message and begins its run.
///
/// # Errors
/// What [`Script::refuse_next`] says.
pub async fn begin(app: &Arc<App>, _: &Principal, turn: NewTurn) -> Result<Turn, TurnError> {
    let mut script = app.script();
    if let Some(refusal) = script.refuse_next.take() {
        return Err(refusal);
    }
    let key = turn.request_key.clone().or_else(|| {
        turn.attach_to_same_text
            .then(|| format!("{:?} {}", turn.session_id, turn.message))
    });
    if let Some(there) = key.as_ref().and_then(|key| script.keys.get(key)) {
        return Ok(there.clone());
    }
    script.begun.push(turn.clone());
    let open = script.approvals.values().find(|a| {
        a.decision.is_none()
            && turn.message == "yes"
            && script.runs.get(&a.run_id).map(|r| &r.session_id) == turn.session_id.as_ref()
    });
    let open = open.map(|a| a.confirmation.approval_id);
    drop(script);
    if let Some(approval_id) = open {
        return resume(app, approval_id, Decision::Approve, None, "chat");
    }
    let session_id = turn
        .session_id
        .unwrap_or_else(|| new_id(app.clock.as_ref()).to_string());
    let (run_id, message_id) = app.begin_run(&session_id);
    let started = Turn {
        session_id: session_id.clone(),
        run_id,
        after_seq: 0,
    };
    if let Some(key) = key {
        app.script().keys.insert(key, started.clone());
    }
    let start = EventBody::Started {
        session_id,
        run_id,
        message_id,
        model: "interpreter".to_owned(),
    };
    let events = scripted(app, &turn.message, start);
    play(app, run_id, events);
    Ok(started)
}

/// Waits until the turn is over and sums it up.
///
/// # Errors
/// [`TurnError::NotFound`].
pub async fn outcome(
    app: &Arc<App>,
    principal: &Principal,
    turn: &Turn,
) -> Result<ChatResponse, TurnError> {
    let events = follow(app, principal, turn.run_id, turn.after_seq).await?;
    let events: Vec<RunEvent> = events.collect().await;
    let mut response = ChatResponse {
        session_id: turn.session_id.clone(),
        run_id: turn.run_id,
        response: String::new(),
        status: ChatStatus::Success,
        tool_calls: Vec::new(),
        confirmations: Vec::new(),
        usage: Usage::default(),
    };
    for event in events {
        match event.body {
            EventBody::TextDelta { delta, .. } => response.response.push_str(&delta),
            EventBody::ToolCalled {
                call_id,
                tool,
                arguments,
                ..
            } => {
                response.tool_calls.push(ToolCallView {
                    id: call_id,
                    name: tool,
                    arguments,
                    status: ToolCallStatus::Done,
                    result: Value::Null,
                });
            }
            EventBody::Question { confirmation, .. } => {
                response.response.clone_from(&confirmation.message);
                response.confirmations.push(confirmation);
                response.status = ChatStatus::PendingConfirmation;
            }
            EventBody::Finished { status, usage } => {
                response.status = status;
                response.usage = usage;
            }
            _ => {}
        }
    }
    Ok(response)
}

/// The run's events after `after_seq` until the turn they belong to is over.
///
/// # Errors
/// [`TurnError::NotFound`].
pub async fn follow(
    app: &Arc<App>,
    _: &Principal,
    run_id: Uuid,
    after_seq: i64,
) -> Result<BoxStream<'static, RunEvent>, TurnError> {
    let script = app.script();
    let run = script.runs.get(&run_id).ok_or(TurnError::NotFound)?;
    let events = run.events.subscribe();
    let playing = run.playing.subscribe();
    let stream = futures::stream::unfold(
        (events, playing, after_seq, false),
        |(mut events, playing, after, over)| async move {
            if over {
                return None;
            }
            let next = {
                let log = events
                    .wait_for(|log| {
                        log.iter().any(|e| e.seq > after)
                            || (*playing.borrow() == 0
                                && log.last().is_some_and(|e| e.body.ends_turn()))
                    })
                    .await
                    .ok()?;
                log.iter().find(|e| e.seq > after).cloned()
            }?;
            let (seq, over) = (next.seq, next.body.ends_turn());
            Some((next, (events, playing, seq, over)))
        },
    );
    Ok(stream.boxed())
}

/// The session's active run.
///
/// # Errors
/// [`TurnError::NotFound`] for an unknown session.
pub async fn active(
    app: &Arc<App>,
    _: &Principal,
    session_id: &str,
) -> Result<Option<Turn>, TurnError> {
    let script = app.script();
    let mut known = false;
    for (run_id, run) in &script.runs {
        if run.session_id == session_id {
            known = true;
            let events = run.events.borrow();
            if *run.playing.borrow() > 0 || !events.last().is_some_and(|e| e.body.ends_turn()) {
                let first = events.iter().rev().find(|e| e.body.begins_turn());
                let after_seq = first.map_or(0, |e| e.seq - 1);
                return Ok(Some(Turn {
                    session_id: session_id.to_owned(),
                    run_id: *run_id,
                    after_seq,
                }));
            }
        }
    }
    if known {
        Ok(None)
    } else {
        Err(TurnError::NotFound)
    }
}

#[expect(clippy::too_many_lines, reason = "stands in")]
fn resume(
    app: &Arc<App>,
    approval_id: Uuid,
    decision: Decision,
    reason: Option<String>,
    via: &'static str,
) -> Result<Turn, TurnError> {
    let mut script = app.script();
    if let Some(refusal) = script.refuse_next.take() {
        return Err(refusal);
    }
    let asked = script
        .approvals
        .get_mut(&approval_id)
        .ok_or(TurnError::NotFound)?;
    if asked.decision.is_some_and(|before| before != decision) {
        return Err(TurnError::Conflict(
            "The question has another answer already.",
        ));
    }
    let again = asked.decision.replace(decision).is_some();
    let (run_id, call_id, confirmation) = (
        asked.run_id,
        asked.call_id.clone(),
        asked.confirmation.clone(),
    );
    let open = script
        .approvals
        .values()
        .any(|a| a.run_id == run_id && a.decision.is_none());
    let run = script.runs.get(&run_id).ok_or(TurnError::NotFound)?;
    let (session_id, message_id) = (run.session_id.clone(), run.message_id);
    let events = run.events.borrow().clone();
    let turn = Turn {
        session_id: session_id.clone(),
        run_id,
        after_seq: i64::try_from(events.len()).unwrap_or(0),
    };
    if again {
        let place = events.iter().position(|e| matches!(&e.body, EventBody::Answered { confirmation, .. } if confirmation.approval_id == approval_id));
        let after_seq = place.map_or(0, |place| i64::try_from(place).unwrap_or(1) - 1);
        return Ok(Turn { after_seq, ..turn });
    }
    script.answered.push((approval_id, decision, reason, via));
    drop(script);
    let yes = decision == Decision::Approve;
    let mut events = vec![
        EventBody::Resumed {
            session_id,
            run_id,
            message_id,
            model: "interpreter".to_owned(),
        },
        EventBody::Answered {
            call_id: call_id.clone(),
            confirmation: confirmation.clone(),
            status: if yes {
                ApprovalStatus::Approved
            } else {
                ApprovalStatus::Denied
            },
            decided_by: Some("owner".to_owned()),
        },
        EventBody::ToolReturned {
            call_id,
            tool: confirmation.tool,
            status: if yes {
                ToolCallStatus::Done
            } else {
                ToolCallStatus::Denied
            },
            result: if yes {
                json!({"summary": "Created bill INV-0001 for Ali: RWF 570.", "number": "INV-0001"})
            } else {
                Value::Null
            },
        },
    ];
    let usage = Usage {
        model_calls: 2,
        ..Usage::default()
    };
    if open {
        events.push(EventBody::Waiting { usage });
    } else {
        events.push(EventBody::StepFinished { step: 1 });
        events.push(EventBody::StepStarted { step: 2 });
        events.extend(said(
            "t2",
            if yes {
                "Created bill INV-0001 for Ali: RWF 570."
            } else {
                "All right, nothing was done."
            },
        ));
        events.push(EventBody::StepFinished { step: 2 });
        events.push(EventBody::Finished {
            status: if yes {
                ChatStatus::Success
            } else {
                ChatStatus::Cancelled
            },
            usage,
        });
    }
    play(app, run_id, events);
    Ok(turn)
}

/// Records a person's answer and resumes the run.
///
/// # Errors
/// As the facade says.
pub async fn answer(
    app: &Arc<App>,
    principal: &Principal,
    approval_id: Uuid,
    decision: Decision,
    reason: Option<String>,
    via: &'static str,
) -> Result<ApprovalResponse, TurnError> {
    let turn = resume(app, approval_id, decision, reason, via)?;
    let outcome = outcome(app, principal, &turn).await?;
    let decided_at = DateTime::UNIX_EPOCH;
    Ok(ApprovalResponse {
        approval_id,
        decision,
        decided_by: "owner".to_owned(),
        decided_at,
        outcome,
    })
}

/// Like [`answer`], but returns as soon as the answer is recorded.
///
/// # Errors
/// As [`answer`].
pub async fn answer_and_follow(
    app: &Arc<App>,
    _: &Principal,
    approval_id: Uuid,
    decision: Decision,
    reason: Option<String>,
    via: &'static str,
) -> Result<Turn, TurnError> {
    resume(app, approval_id, decision, reason, via)
}

/// The trace of a run.
///
/// # Errors
/// [`TurnError::NotFound`].
pub async fn trace(app: &Arc<App>, _: &Principal, run_id: Uuid) -> Result<RunView, TurnError> {
    let script = app.script();
    let run = script.runs.get(&run_id).ok_or(TurnError::NotFound)?;
    Ok(RunView {
        run_id,
        session_id: run.session_id.clone(),
        status: RunStatus::Done,
        created_at: DateTime::UNIX_EPOCH,
        finished_at: None,
        steps: Vec::new(),
        approvals: Vec::new(),
        events: run.events.borrow().clone(),
    })
}
