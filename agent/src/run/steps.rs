//! What a worker does with a run it holds: the machine says what comes next, this does it and journals it.

use std::sync::Arc;
use std::time::Duration;

use contracts::http::chat::ChatStatus;
use contracts::http::event::EventBody;
use contracts::http::run::RunStatus;
use contracts::locale::Locale;
use serde_json::json;
use tokio::sync::mpsc;
use tracing::Instrument as _;

use crate::app::App;
use crate::language::Language;
use crate::metrics;
use crate::models::instructions::{self, Briefing};
use crate::models::{
    Message, ModelAnswer, ModelError, ModelRequest, TextSink, ToolOutcome, ToolSpec,
};
use crate::run::arguments::Check;
use crate::run::calls::make_calls;
use crate::run::events;
use crate::run::journal::{self, Batch, FlushError, Held, Step};
use crate::run::machine::{CallState, Ending, Limits, Next};
use crate::run::stopped::{Stopped, unreachable};
use crate::tools::Offer;

/// Text of a slow model is stored this often, never per token.
const TEXT_EVERY: Duration = Duration::from_millis(150);
/// Its first words are stored this soon, so that they are seen at once. A model that says everything at once is done by then.
const TEXT_FIRST: Duration = Duration::from_millis(3);

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

/// What a model says while it answers.
enum Piece {
    /// More of the text.
    Delta(String),
    /// What was said of this answer is void.
    StartOver,
    /// Rules answer instead, and why.
    FellBack(String),
}

/// Passes on what a model says while it answers. The model is never held up: the caps of an answer bound the queue.
struct Pieces(mpsc::UnboundedSender<Piece>);

impl Pieces {
    fn send(&self, piece: Piece) {
        // Nobody listens any more when the run was left; the answer is dropped then as well.
        let _ = self.0.send(piece);
    }
}

impl TextSink for Pieces {
    fn delta(&mut self, piece: &str) {
        self.send(Piece::Delta(piece.to_owned()));
    }

    fn start_over(&mut self) {
        self.send(Piece::StartOver);
    }

    fn fell_back(&mut self, reason: &str) {
        self.send(Piece::FellBack(reason.to_owned()));
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
    let step = held.machine.usage.model_calls + 1;
    let check = app.checks.of(&offer.tools);
    let request = request(app, held, &offer, &check);
    // A worker that died while the model was answering has begun this step already.
    if held.machine.open_step != Some(step) {
        held.close_step(batch);
        held.machine.open_step = Some(step);
        batch.events.push(EventBody::StepStarted { step });
    }
    let answer = stream_answer(app, held, batch, &request, step)
        .await?
        .map_err(|error| Stopped::Fail {
            message: "System error. Please try again.",
            unavailable: false,
            cause: error.to_string(),
        })?;
    app.hooks.at("answered").await;
    for call in &answer.calls {
        app.tools.missed(&held.principal, &offer, &call.tool);
    }
    turn.texts.push(answer.text.clone());
    held.last_step += 1;
    let model = match answer.model.as_str() {
        "" => app.model.name(),
        answered => answered,
    };
    batch.steps.push(Step {
        step: held.last_step,
        kind: "model",
        name: model.to_owned(),
        call_id: None,
        request: json!({"messages": request.messages.len(), "tools": request.tools.len()}),
        response: Some(serde_json::to_value(&answer).unwrap_or_default()),
    });
    let has_calls = !answer.calls.is_empty();
    let language = held.machine.language;
    held.machine
        .model_answered(answer, limits, |call| check.refusal(call, language));
    announce(held, batch, &offer.tools);
    if !has_calls {
        held.close_step(batch);
    }
    Ok(())
}

fn request(app: &App, held: &Held, offer: &Offer, check: &Check) -> ModelRequest {
    let language = held.machine.language;
    let now = app.clock.now();
    ModelRequest {
        instructions: instructions::write(&Briefing {
            shop: offer.shop.as_ref().map(|shop| shop.name.as_str()),
            currency: offer.shop.as_ref().map(|shop| shop.currency.code()),
            time_zone: offer.time_zone,
            now,
            language,
        }),
        messages: held.machine.messages.clone(),
        tools: Arc::clone(&check.tools),
        language,
        now,
        time_zone: offer.time_zone,
    }
}

/// Asks the model and stores its text now and then while it is being written, so that every replica can stream it.
async fn stream_answer(
    app: &App,
    held: &mut Held,
    batch: &mut Batch,
    request: &ModelRequest,
    step: u32,
) -> Result<Result<ModelAnswer, ModelError>, Stopped> {
    let (send, mut pieces) = mpsc::unbounded_channel();
    let mut sink = Pieces(send);
    let mut saying = Saying::begin(held, batch, step);
    let begun = tokio::time::Instant::now();
    let answer = {
        let span = tracing::info_span!("model_call", step);
        let mut answering = app.model.answer(request, &mut sink).instrument(span);
        let mut tick = tokio::time::interval(TEXT_EVERY);
        tick.tick().await;
        let mut silent = true;
        loop {
            tokio::select! {
                answer = &mut answering => break answer,
                Some(piece) = pieces.recv() => {
                    if std::mem::take(&mut silent) {
                        tick.reset_after(TEXT_FIRST);
                    }
                    saying.take(held, batch, piece);
                },
                _ = tick.tick() => if saying.tell(held, batch) {
                    journal::flush(app, held, batch, RunStatus::Running).await?;
                },
            }
        }
    };
    while let Ok(piece) = pieces.try_recv() {
        saying.take(held, batch, piece);
    }
    saying.end(held, batch, answer.as_ref().ok());
    metrics::model_answered(answer.as_ref(), begun);
    Ok(answer)
}

/// The text of one answer as events.
struct Saying {
    step: u32,
    /// Said, and not an event yet.
    written: String,
}

impl Saying {
    /// A worker that died while the model was answering may have begun a text: it is taken back.
    fn begin(held: &mut Held, batch: &mut Batch, step: u32) -> Saying {
        let mut saying = Saying {
            step,
            written: String::new(),
        };
        saying.discard(held, batch);
        saying
    }

    fn take(&mut self, held: &mut Held, batch: &mut Batch, piece: Piece) {
        match piece {
            Piece::Delta(piece) => self.written.push_str(&piece),
            Piece::StartOver => self.discard(held, batch),
            Piece::FellBack(reason) => {
                if !std::mem::replace(&mut held.machine.fell_back, true) {
                    batch.events.push(EventBody::Fallback { reason });
                }
            }
        }
    }

    /// Makes events of what was said. Whether there is something to store.
    fn tell(&mut self, held: &mut Held, batch: &mut Batch) -> bool {
        if self.written.is_empty() {
            return false;
        }
        let text_id = match &held.machine.open_text {
            Some(text_id) => text_id.clone(),
            None => {
                let text_id = held.machine.text_id(self.step);
                held.machine.open_text = Some(text_id.clone());
                batch.events.push(EventBody::TextStarted {
                    text_id: text_id.clone(),
                });
                text_id
            }
        };
        batch.events.push(EventBody::TextDelta {
            text_id,
            delta: std::mem::take(&mut self.written),
        });
        true
    }

    /// What was said is void. What nobody has seen of it leaves no trace.
    fn discard(&mut self, held: &mut Held, batch: &mut Batch) {
        self.written.clear();
        if let Some(text_id) = held.machine.discard_text() {
            batch.events.push(EventBody::TextFinished {
                text_id,
                discarded: true,
            });
        }
    }

    fn end(&mut self, held: &mut Held, batch: &mut Batch, answer: Option<&ModelAnswer>) {
        let Some(answer) = answer else {
            return self.discard(held, batch);
        };
        // A model that does not write piece by piece.
        if self.written.is_empty() && held.machine.open_text.is_none() {
            self.written.clone_from(&answer.text);
        }
        self.tell(held, batch);
        if let Some(text_id) = held.machine.open_text.take() {
            batch.events.push(EventBody::TextFinished {
                text_id,
                discarded: false,
            });
        }
    }
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
            // A name that a model made up is nothing to show a person.
            .map_or_else(|| unknown_tool(held.machine.language), |t| t.title.clone());
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

fn unknown_tool(language: Language) -> String {
    match language.locale() {
        Locale::En => "Something this shop cannot do".to_owned(),
        Locale::Es => "Algo que esta tienda no puede hacer".to_owned(),
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
