//! Drives runs: does what the machine says comes next, journals it, holds the lease, takes over what others left.

use std::sync::Arc;
use std::time::{Duration, Instant};

use contracts::failure::FailureCode;
use contracts::http::approval::ApprovalStatus;
use contracts::http::chat::{ChatStatus, ToolCallStatus};
use contracts::http::event::EventBody;
use contracts::http::run::RunStatus;
use contracts::ids::TenantId;
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::app::App;
use crate::approvals::{self, Approval};
use crate::models::{
    Message, ModelAnswer, ModelError, ModelRequest, TextSink, ToolOutcome, ToolSpec,
};
use crate::run::journal::{self, Batch, FlushError, Held, Step};
use crate::run::machine::{Call, CallState, Ending, Limits, Next};
use crate::tools::{CallResult, Dispatch};

/// How often it looks for runs that others left.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Runs taken over per look.
const TAKE_MAX: i32 = 50;
/// Text of a slow model is stored this often, never per token.
const TEXT_EVERY: Duration = Duration::from_millis(150);
/// Pauses between attempts when the server certainly did nothing: it could not be reached at all.
const PAUSES_NOT_SENT_MS: [u64; 2] = [150, 400];
/// Pauses between attempts when it may have done it: the key makes another attempt safe, so patience is free.
const PAUSES_MAYBE_SENT_MS: [u64; 8] = [100, 300, 700, 1000, 2000, 3000, 4000, 4000];

/// Why a run stops here without being over.
enum Stopped {
    /// Another worker has it, or will: nothing more to do.
    Leave,
    /// The run fails.
    Fail {
        message: &'static str,
        unavailable: bool,
        cause: String,
    },
}

impl From<FlushError> for Stopped {
    fn from(error: FlushError) -> Stopped {
        match error {
            // An answer that has come is taken up by whoever holds the run; only a flush that waits tells of one.
            FlushError::LeaseLost | FlushError::Answered(_) => Stopped::Leave,
            // The lease lapses and somebody goes on from the last flush, as soon as there is a database again.
            FlushError::Database(error) => {
                tracing::warn!(%error, "run left for later");
                Stopped::Leave
            }
        }
    }
}

/// Drives a run this process has just taken, in a task of its own.
pub(crate) fn spawn(app: &Arc<App>, held: Held) {
    let app = Arc::clone(app);
    let tasks = app.tasks.clone();
    tasks.spawn(async move { drive(&app, held).await });
}

/// Looks for runs nobody holds, until told to stop.
pub async fn look_for_work(app: Arc<App>) {
    loop {
        if let Err(error) = take_over(&app).await {
            tracing::debug!(%error, "looking for work");
        }
        tokio::select! {
            () = app.stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

async fn take_over(app: &Arc<App>) -> Result<(), sqlx::Error> {
    let now = app.clock.now();
    let wanted = wanting_a_worker(&mut *app.pool.acquire().await?, now).await?;
    for (tenant, run_id) in wanted {
        let tenant = TenantId(tenant);
        crate::turns::lapse(app, tenant, run_id).await?;
        let mut tx = app.begin(tenant).await?;
        match journal::take(&mut tx, app, tenant, run_id, now).await {
            Ok(Some(held)) => {
                tx.commit().await?;
                spawn(app, held);
            }
            Ok(None) => {}
            // Another run of the session began in between.
            Err(sqlx::Error::Database(e))
                if e.constraint() == Some("one_running_run_per_session") => {}
            Err(error) => tracing::error!(%run_id, %error, "run cannot be taken over"),
        }
    }
    Ok(())
}

/// Goes on until the run waits, is over, or is lost.
async fn drive(app: &Arc<App>, mut held: Held) {
    let run_id = held.run_id;
    let tenant = held.principal.tenant;
    if held.resumptions > 0 {
        tracing::info!(%run_id, resumptions = held.resumptions, "going on with a run another worker left");
    }
    let mut batch = Batch::default();
    let stopped = {
        let going = tokio::time::timeout(app.settings.run_deadline, go(app, &mut held, &mut batch));
        tokio::select! {
            done = going => done.unwrap_or_else(|_| Err(Stopped::Fail {
                message: "System error. Please try again.", unavailable: false, cause: "the run's time is up".to_owned(),
            })),
            () = hold(app, tenant, run_id) => Err(Stopped::Leave),
        }
    };
    if let Err(Stopped::Fail {
        message,
        unavailable,
        cause,
    }) = stopped
    {
        tracing::error!(%run_id, cause, "run failed");
        batch.events.push(EventBody::Failed {
            message: message.to_owned(),
            unavailable,
        });
        batch.events.push(EventBody::Finished {
            status: ChatStatus::Error,
            usage: held.machine.usage,
        });
        batch.said = Some(message.to_owned());
        if let Err(error) = journal::flush(app, &mut held, &mut batch, RunStatus::Failed).await {
            tracing::warn!(%run_id, %error, "failure not stored");
        }
    }
}

/// Renews the lease; returns when it is lost.
async fn hold(app: &App, tenant: TenantId, run_id: Uuid) {
    loop {
        tokio::time::sleep(app.settings.lease / 3).await;
        match journal::renew(app, tenant, run_id).await {
            Ok(true) => {}
            Ok(false) => return,
            // Without a database nobody else can take it either.
            Err(error) => tracing::debug!(%run_id, %error, "lease not renewed"),
        }
    }
}

async fn go(app: &Arc<App>, held: &mut Held, batch: &mut Batch) -> Result<(), Stopped> {
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
        close_step(held, batch);
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
        close_step(held, batch);
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
            batch.events.push(returned(&call.id, &call.tool, &outcome));
        }
    }
}

/// A call about to be made.
struct Attempt {
    call: Call,
    step: i32,
    key: String,
    read_only: bool,
    approval: Option<Approval>,
}

/// Makes the calls of one answer: journaled before, reads side by side, everything else one after the other.
async fn make_calls(
    app: &Arc<App>,
    held: &mut Held,
    batch: &mut Batch,
    calls: Vec<Call>,
) -> Result<(), Stopped> {
    let offer = app
        .tools
        .offer(&held.principal)
        .await
        .map_err(|e| unreachable(e.to_string()))?;
    let tools = &offer.tools;
    let mut attempts = Vec::with_capacity(calls.len());
    for call in calls {
        let read_only = tools
            .iter()
            .any(|t| t.name == call.call.tool && t.read_only);
        attempts.push(prepare(app, held, batch, call, read_only).await?);
    }
    journal::flush(app, held, batch, RunStatus::Running).await?;
    if attempts.iter().all(|a| a.read_only) {
        let results = join_all(attempts.iter().map(|a| dispatch(app, held, a))).await;
        for (attempt, result) in attempts.iter().zip(results) {
            // Reads are safe to repeat, so their results may wait for the next flush.
            record(app, held, batch, attempt, result)?;
        }
    } else {
        for attempt in &attempts {
            app.hooks.at("dispatched").await;
            let result = dispatch(app, held, attempt).await;
            app.hooks.at("returned").await;
            record(app, held, batch, attempt, result)?;
            if !batch.events.iter().any(EventBody::ends_turn) && attempts.len() > 1 {
                journal::flush(app, held, batch, RunStatus::Running).await?;
            }
        }
        if matches!(held.machine.next(&Limits::default()), Next::CallModel) {
            journal::flush(app, held, batch, RunStatus::Running).await?;
        }
    }
    Ok(())
}

async fn prepare(
    app: &App,
    held: &mut Held,
    batch: &mut Batch,
    call: Call,
    read_only: bool,
) -> Result<Attempt, Stopped> {
    let approval = match call.state {
        CallState::Decided { approval_id } => {
            app.hooks.at("approved").await;
            let found = find_approval(app, held.principal.tenant, approval_id)
                .await
                .map_err(FlushError::Database)?;
            if let Some(approval) = found
                .as_ref()
                .filter(|a| a.status == ApprovalStatus::Approved)
            {
                batch
                    .approvals
                    .push((approval.id, ApprovalStatus::Dispatched));
            }
            found
        }
        CallState::ToDo | CallState::Asked { .. } | CallState::Closed { .. } => None,
    };
    held.last_step += 1;
    let answered = approval.as_ref().and_then(Approval::decision);
    batch.steps.push(Step {
        step: held.last_step,
        kind: "tool",
        name: call.call.tool.clone(),
        call_id: Some(call.call.id.clone()),
        request: json!({"arguments": call.call.arguments, "decision": answered}),
        response: None,
    });
    let key = held.key_of(&call.call.id);
    Ok(Attempt {
        step: held.last_step,
        call,
        key,
        read_only,
        approval,
    })
}

async fn find_approval(
    app: &App,
    tenant: TenantId,
    id: Uuid,
) -> Result<Option<Approval>, sqlx::Error> {
    let mut tx = app.begin(tenant).await?;
    approvals::find(&mut tx, tenant, id).await
}

/// Makes one call, again and again under its key while no answer comes back.
async fn dispatch(app: &App, held: &Held, attempt: &Attempt) -> Result<CallResult, NoAnswer> {
    let tool = &attempt.call.call.tool;
    if !app.breaker.admits(tool, Instant::now()) {
        return Err(NoAnswer {
            maybe_sent: false,
            cause: format!("{tool} is switched off for a while"),
        });
    }
    let mut maybe_sent = held.resumptions > 0;
    let mut pauses = 0;
    loop {
        let request = Dispatch {
            call: &attempt.call.call,
            idempotency_key: &attempt.key,
            locale: held.machine.language.locale(),
            answer: attempt.approval.as_ref().and_then(Approval::answer_to_pass),
        };
        let cause = match app.tools.call(&held.principal, request).await {
            Ok(CallResult::Failed(failure)) if failure.retryable => {
                maybe_sent |= failure.code == FailureCode::Timeout;
                failure.message
            }
            Ok(result) => {
                app.breaker.answered(tool);
                return Ok(result);
            }
            Err(error) => {
                maybe_sent |= !error.not_sent;
                error.to_string()
            }
        };
        let budget: &[u64] = if maybe_sent {
            &PAUSES_MAYBE_SENT_MS
        } else {
            &PAUSES_NOT_SENT_MS
        };
        let Some(pause_ms) = budget.get(pauses) else {
            app.breaker.failed(tool, Instant::now());
            return Err(NoAnswer { maybe_sent, cause });
        };
        pauses += 1;
        tokio::time::sleep(Duration::from_millis(
            pause_ms + rand::random_range(0..=pause_ms / 4),
        ))
        .await;
    }
}

/// No attempt was answered.
struct NoAnswer {
    /// The server may have done it.
    maybe_sent: bool,
    cause: String,
}

/// Takes a result in: the machine, the journal, the events.
fn record(
    app: &App,
    held: &mut Held,
    batch: &mut Batch,
    attempt: &Attempt,
    result: Result<CallResult, NoAnswer>,
) -> Result<(), Stopped> {
    let call = &attempt.call.call;
    let denied = attempt
        .approval
        .as_ref()
        .filter(|a| a.status == ApprovalStatus::Denied);
    let outcome = match result {
        Ok(CallResult::Asked(asked)) => {
            return ask_person(app, held, batch, attempt, *asked);
        }
        Ok(CallResult::Done(result)) => ToolOutcome::Done { result },
        Ok(CallResult::Failed(failure)) => match (failure.code, denied) {
            (FailureCode::Declined, Some(approval)) => denied_outcome(approval),
            (FailureCode::Declined, None) => ToolOutcome::Denied { reason: None },
            (FailureCode::Expired, _) => ToolOutcome::Expired,
            _ => ToolOutcome::Failed { failure },
        },
        // A no needs no server: its question lapses by itself.
        Err(_) if denied.is_some() => {
            denied.map_or(ToolOutcome::Denied { reason: None }, denied_outcome)
        }
        Err(no_answer) if no_answer.maybe_sent && !attempt.read_only => {
            tracing::error!(run_id = %held.run_id, tool = call.tool, cause = no_answer.cause, "outcome not known");
            ToolOutcome::Unknown
        }
        Err(no_answer) => return Err(unreachable(no_answer.cause)),
    };
    if let Some(approval) = &attempt.approval {
        let status = match &outcome {
            ToolOutcome::Done { .. } => Some(ApprovalStatus::Done),
            ToolOutcome::Failed { .. } => Some(ApprovalStatus::Failed),
            ToolOutcome::Expired => Some(ApprovalStatus::Expired),
            ToolOutcome::Unknown => Some(ApprovalStatus::Unknown),
            ToolOutcome::Denied { .. } | ToolOutcome::Superseded => None,
        };
        batch.approvals.extend(status.map(|s| (approval.id, s)));
    }
    batch.finished.push((
        attempt.step,
        serde_json::to_value(&outcome).unwrap_or_default(),
    ));
    batch.events.push(returned(&call.id, &call.tool, &outcome));
    held.machine.closed(&call.id, outcome);
    if held.machine.calls.is_empty() {
        close_step(held, batch);
    }
    Ok(())
}

/// A turn that was resumed begins in the middle of a step, which its first turn has closed.
fn close_step(held: &mut Held, batch: &mut Batch) {
    if let Some(step) = held.machine.open_step.take() {
        batch.events.push(EventBody::StepFinished { step });
    }
}

fn denied_outcome(approval: &Approval) -> ToolOutcome {
    ToolOutcome::Denied {
        reason: approval.decided.as_ref().and_then(|d| d.reason.clone()),
    }
}

/// The server asks, or asks anew because what was agreed to is no longer true.
fn ask_person(
    app: &App,
    held: &mut Held,
    batch: &mut Batch,
    attempt: &Attempt,
    asked: crate::tools::ServersQuestion,
) -> Result<(), Stopped> {
    let call = &attempt.call.call;
    if let Some(old) = &attempt.approval {
        batch.approvals.push((old.id, ApprovalStatus::Superseded));
        batch.events.push(EventBody::Answered {
            call_id: call.id.clone(),
            confirmation: old.view(),
            status: ApprovalStatus::Superseded,
            decided_by: old.decided.as_ref().map(|d| d.by.sub.clone()),
        });
    }
    let approval = Approval {
        id: app.new_id(),
        run_id: held.run_id,
        session: held.session,
        call: call.clone(),
        question: asked.question,
        request_state: asked.request_state,
        status: ApprovalStatus::Pending,
        decided: None,
    };
    batch
        .finished
        .push((attempt.step, json!({"asked": approval.id})));
    batch.events.push(EventBody::Question {
        call_id: call.id.clone(),
        confirmation: approval.view(),
    });
    held.machine.asked(&call.id, approval.id);
    batch.asked.push(approval);
    Ok(())
}

/// A call's end as an event.
pub(crate) fn returned(call_id: &str, tool: &str, outcome: &ToolOutcome) -> EventBody {
    let (status, result) = match outcome {
        ToolOutcome::Done { result } => (ToolCallStatus::Done, result.clone()),
        ToolOutcome::Failed { failure } => (
            ToolCallStatus::Failed,
            serde_json::to_value(failure).unwrap_or_default(),
        ),
        ToolOutcome::Denied { reason } => (ToolCallStatus::Denied, json!({"reason": reason})),
        ToolOutcome::Expired => (ToolCallStatus::Expired, Value::Null),
        ToolOutcome::Superseded => (ToolCallStatus::Superseded, Value::Null),
        ToolOutcome::Unknown => (ToolCallStatus::Unknown, Value::Null),
    };
    EventBody::ToolReturned {
        call_id: call_id.to_owned(),
        tool: tool.to_owned(),
        status,
        result,
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
    close_step(held, batch);
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
                batch.events.push(crate::turns::answered_event(
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

fn unreachable(cause: String) -> Stopped {
    Stopped::Fail {
        message: "Unable to reach the system. Please try again.",
        unavailable: true,
        cause,
    }
}

/// Names no tenant because it has none yet: the one narrow function that may look across.
async fn wanting_a_worker(
    conn: &mut sqlx::PgConnection,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<Vec<(Uuid, Uuid)>, sqlx::Error> {
    let rows = sqlx::query!(r#"select tenant_id as "tenant_id!", run_id as "run_id!" from agent.runs_wanting_a_worker($1, $2)"#, now, TAKE_MAX)
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().map(|r| (r.tenant_id, r.run_id)).collect())
}
