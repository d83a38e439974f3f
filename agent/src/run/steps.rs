//! What a worker does with a run it holds: the machine says what comes next, this does it and journals it.

use std::sync::Arc;
use std::time::Duration;

use contracts::http::chat::ChatStatus;
use contracts::http::event::EventBody;
use contracts::http::run::RunStatus;
use serde_json::json;
use tokio::sync::mpsc;

use crate::app::App;
use crate::models::{
    Message, ModelAnswer, ModelError, ModelRequest, TextSink, ToolOutcome, ToolSpec,
};
use crate::run::calls::make_calls;
use crate::run::events;
use crate::run::journal::{self, Batch, FlushError, Held, Step};
use crate::run::machine::{CallState, Ending, Limits, Next};
use crate::run::stopped::{Stopped, unreachable};

/// Text of a slow model is stored this often, never per token.
const TEXT_EVERY: Duration = Duration::from_millis(150);

pub(super) async fn go(app: &Arc<App>, held: &mut Held, batch: &mut Batch) -> Result<(), Stopped> {
    let limits = Limits::default();
    let mut turn = Turn::default();
    loop {
        match held.machine.next(&limits) {
            Next::CallModel => ask_model(app, held, batch, &limits, &mut turn).await?,
            Next::CallTools(calls) => make_calls(app, held, batch, calls).await?,
            Next::Wait => {
                if wait(app, held, batch, &turn).await? {
                    return Ok(());
                }
            }
            Next::Done(ending) => return finish(app, held, batch, ending, &turn).await,
        }
    }
}

/// What the assistant has said since the turn began.
#[derive(Default)]
struct Turn {
    texts: Vec<String>,
}

impl Turn {
    fn said(&self, more: &[String]) -> String {
        let parts: Vec<&str> = self
            .texts
            .iter()
            .chain(more)
            .map(String::as_str)
            .filter(|t| !t.is_empty())
            .collect();
        parts.join("\n\n")
    }
}

/// Collects a text while it is written.
struct Pieces(mpsc::UnboundedSender<String>);

impl TextSink for Pieces {
    fn delta(&mut self, piece: &str) {
        let _ = self.0.send(piece.to_owned());
    }
}

async fn ask_model(
    app: &Arc<App>,
    held: &mut Held,
    batch: &mut Batch,
    limits: &Limits,
    turn: &mut Turn,
) -> Result<(), Stopped> {
    let offer = app
        .tools
        .offer(&held.principal)
        .await
        .map_err(|e| unreachable(e.to_string()))?;
    let tools = &offer.tools;
    let step = held.machine.usage.model_calls + 1;
    let request = ModelRequest {
        instructions: String::new(),
        messages: held.machine.messages.clone(),
        tools: tools.to_vec(),
        language: held.machine.language,
        now: app.clock.now(),
        time_zone: offer.time_zone,
    };
    // A worker that died while the model was answering has begun this step already.
    if held.machine.open_step != Some(step) {
        held.close_step(batch);
        held.machine.open_step = Some(step);
        batch.events.push(EventBody::StepStarted { step });
    }
    let text_id = format!("text_{step}");
    let answer = stream_answer(app, held, batch, &request, &text_id)
        .await?
        .map_err(|error| Stopped::Fail {
            message: "System error. Please try again.",
            unavailable: false,
            cause: error.to_string(),
        })?;
    turn.texts.push(answer.text.clone());
    held.last_step += 1;
    batch.steps.push(Step {
        step: held.last_step,
        kind: "model",
        name: app.model.name().to_owned(),
        call_id: None,
        request: json!({"messages": request.messages.len(), "tools": request.tools.len()}),
        response: Some(serde_json::to_value(&answer).unwrap_or_default()),
    });
    let has_calls = !answer.calls.is_empty();
    held.machine.model_answered(answer, limits);
    announce(held, batch, tools);
    if !has_calls {
        held.close_step(batch);
    }
    Ok(())
}

/// Asks the model and stores its text now and then while it is being written, so that every replica can stream it.
async fn stream_answer(
    app: &App,
    held: &mut Held,
    batch: &mut Batch,
    request: &ModelRequest,
    text_id: &str,
) -> Result<Result<ModelAnswer, ModelError>, Stopped> {
    let (send, mut pieces) = mpsc::unbounded_channel();
    let mut sink = Pieces(send);
    let mut written = String::new();
    let mut begun = false;
    let answer = {
        let mut answering = app.model.answer(request, &mut sink);
        let mut tick = tokio::time::interval(TEXT_EVERY);
        tick.tick().await;
        loop {
            tokio::select! {
                answer = &mut answering => break answer,
                Some(piece) = pieces.recv() => written.push_str(&piece),
                _ = tick.tick() => if !written.is_empty() {
                    text_events(batch, text_id, &mut begun, &mut written);
                    journal::flush(app, held, batch, RunStatus::Running).await?;
                },
            }
        }
    };
    while let Ok(piece) = pieces.try_recv() {
        written.push_str(&piece);
    }
    if let Ok(answer) = &answer
        && !begun
        && written.is_empty()
    {
        written.clone_from(&answer.text);
    }
    text_events(batch, text_id, &mut begun, &mut written);
    if begun {
        batch.events.push(EventBody::TextFinished {
            text_id: text_id.to_owned(),
        });
    }
    Ok(answer)
}

fn text_events(batch: &mut Batch, text_id: &str, begun: &mut bool, written: &mut String) {
    if written.is_empty() {
        return;
    }
    if !*begun {
        batch.events.push(EventBody::TextStarted {
            text_id: text_id.to_owned(),
        });
        *begun = true;
    }
    batch.events.push(EventBody::TextDelta {
        text_id: text_id.to_owned(),
        delta: std::mem::take(written),
    });
}

/// Says which calls the model wants. Those that a limit closed at once have their outcome with them.
fn announce(held: &Held, batch: &mut Batch, tools: &[ToolSpec]) {
    let closed = |id: &str| {
        held.machine.messages.iter().rev().find_map(|m| match m {
            Message::Tool {
                call_id, outcome, ..
            } if call_id == id => Some(outcome.clone()),
            Message::Tool { .. } | Message::User { .. } | Message::Assistant { .. } => None,
        })
    };
    let Some(calls) = held.machine.messages.iter().rev().find_map(|m| match m {
        Message::Assistant { calls, .. } => Some(calls),
        Message::User { .. } | Message::Tool { .. } => None,
    }) else {
        return;
    };
    for call in calls {
        let title = tools
            .iter()
            .find(|t| t.name == call.tool)
            .map_or_else(|| call.tool.clone(), |t| t.title.clone());
        batch.events.push(EventBody::ToolCalled {
            call_id: call.id.clone(),
            tool: call.tool.clone(),
            title,
            arguments: call.arguments.clone(),
        });
        let settled = held
            .machine
            .calls
            .iter()
            .find(|c| c.call.id == call.id)
            .and_then(|c| match &c.state {
                CallState::Closed { outcome } => Some(outcome.clone()),
                CallState::ToDo | CallState::Asked { .. } | CallState::Decided { .. } => None,
            });
        if let Some(outcome) = settled.or_else(|| closed(&call.id)) {
            batch
                .events
                .push(events::returned(&call.id, &call.tool, &outcome));
        }
    }
}

/// A person has to answer: the turn ends, the run stays. `false` when an answer has come while the run was still working on the others:
/// then the turn goes on.
async fn wait(
    app: &Arc<App>,
    held: &mut Held,
    batch: &mut Batch,
    turn: &Turn,
) -> Result<bool, Stopped> {
    let questions: Vec<String> = batch
        .events
        .iter()
        .filter_map(|e| match e {
            EventBody::Question { confirmation, .. } => Some(confirmation.message.clone()),
            _ => None,
        })
        .collect();
    batch.said = Some(turn.said(&questions));
    held.close_step(batch);
    batch.events.push(EventBody::Waiting {
        usage: held.machine.usage,
    });
    match journal::flush(app, held, batch, RunStatus::Waiting).await {
        Ok(()) => Ok(true),
        Err(FlushError::Answered(come)) => {
            batch.said = None;
            batch.events.pop();
            for approval in come {
                held.machine.decided(&approval.call.id, approval.id);
                batch.events.push(events::answered(
                    &approval,
                    approval.status,
                    approval.decided.as_ref(),
                ));
            }
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

async fn finish(
    app: &App,
    held: &mut Held,
    batch: &mut Batch,
    ending: Ending,
    turn: &Turn,
) -> Result<(), Stopped> {
    let status = match ending {
        Ending::Answered => ended_as(held.machine.own_messages()),
        Ending::Limit(what) => {
            return Err(Stopped::Fail {
                message: "This took too many steps and was stopped. Please ask for less at once.",
                unavailable: false,
                cause: format!("limit of {what}"),
            });
        }
    };
    batch.said = Some(turn.said(&[]));
    batch.close_window = true;
    batch.events.push(EventBody::Finished {
        status,
        usage: held.machine.usage,
    });
    journal::flush(app, held, batch, RunStatus::Done).await?;
    Ok(())
}

/// How a run that has answered ended: cancelled when a person's no, or nobody's answer, is all that came of it.
fn ended_as(own: &[Message]) -> ChatStatus {
    let outcomes = || {
        own.iter().filter_map(|m| match m {
            Message::Tool { outcome, .. } => Some(outcome),
            Message::User { .. } | Message::Assistant { .. } => None,
        })
    };
    if outcomes().any(|o| matches!(o, ToolOutcome::Unknown)) {
        return ChatStatus::Error;
    }
    let dropped =
        outcomes().any(|o| matches!(o, ToolOutcome::Denied { .. } | ToolOutcome::Expired));
    let done = outcomes().any(|o| matches!(o, ToolOutcome::Done { .. }));
    if dropped && !done {
        ChatStatus::Cancelled
    } else {
        ChatStatus::Success
    }
}
