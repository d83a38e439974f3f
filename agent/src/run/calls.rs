//! Making the calls of one answer: journaled before, repeated under the same key while no answer comes back, taken in afterwards.
//! What servers that are not ours need beyond that is in [`foreign`].

mod foreign;

use std::sync::Arc;
use std::time::{Duration, Instant};

use contracts::failure::FailureCode;
use contracts::http::approval::ApprovalStatus;
use contracts::http::event::EventBody;
use contracts::http::run::RunStatus;
use contracts::ids::TenantId;
use futures::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::App;
use crate::approvals::{self, Approval, AskedBy};
use crate::models::{ToolCall, ToolOutcome, ToolSpec};
use crate::run::events;
use crate::run::journal::{self, Batch, FlushError, Held, Step};
use crate::run::machine::{Call, CallState, Limits, Next};
use crate::run::stopped::{Stopped, unreachable};
use crate::tools::{CallResult, Dispatch};

/// Pauses between attempts when the server certainly did nothing: it could not be reached at all.
const PAUSES_NOT_SENT_MS: [u64; 2] = [150, 400];

/// The same when a person has agreed to it: a tool server that is just being restarted is waited for.
const PAUSES_AGREED_MS: [u64; 5] = [150, 400, 800, 1500, 2500];
/// Pauses between attempts when it may have done it: the key makes another attempt safe, so patience is free.
const PAUSES_MAYBE_SENT_MS: [u64; 8] = [100, 300, 700, 1000, 2000, 3000, 4000, 4000];

/// A call about to be made.
struct Attempt {
    call: Call,
    step: i32,
    key: String,
    way: Way,
    approval: Option<Approval>,
}

/// How a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Our own server keeps keys: repeated until it answers.
    Ours { read_only: bool },
    /// Somebody else's server, to read: repeated now and then.
    TheirRead,
    /// Somebody else's server, to do what a person has agreed to: never repeated once it may have been sent.
    TheirsOnce,
}

impl Attempt {
    fn only_reads(&self) -> bool {
        matches!(self.way, Way::Ours { read_only: true } | Way::TheirRead)
    }
}

/// Makes the calls of one answer: journaled before, reads side by side, everything else one after the other.
pub(super) async fn make_calls(
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
    let mut attempts = Vec::with_capacity(calls.len());
    for call in calls {
        attempts.extend(prepare(app, held, batch, call, &offer.tools).await?);
    }
    if attempts.is_empty() {
        return Ok(());
    }
    if attempts.iter().all(Attempt::only_reads) {
        journal::flush(app, held, batch, RunStatus::Running).await?;
        let results = join_all(attempts.iter().map(|a| dispatch(app, held, a))).await;
        app.hooks.at("read").await;
        for (attempt, result) in attempts.iter().zip(results) {
            // Reads are safe to repeat, so their results may wait for the next flush.
            record(app, held, batch, attempt, result)?;
        }
        return Ok(());
    }
    one_by_one(app, held, batch, &attempts).await?;
    if matches!(held.machine.next(&Limits::default()), Next::CallModel) {
        journal::flush(app, held, batch, RunStatus::Running).await?;
        app.hooks.at("stored").await;
    }
    Ok(())
}

async fn one_by_one(
    app: &App,
    held: &mut Held,
    batch: &mut Batch,
    attempts: &[Attempt],
) -> Result<(), Stopped> {
    let mut stored = false;
    for attempt in attempts {
        if let (Way::TheirsOnce, Some(approval)) = (attempt.way, &attempt.approval) {
            // Each right before it is sent: what stands as dispatched after a crash is never sent again.
            let dispatched = (approval.id, ApprovalStatus::Dispatched);
            batch.approvals.push(dispatched);
            stored = false;
        }
        if !stored {
            journal::flush(app, held, batch, RunStatus::Running).await?;
            stored = true;
        }
        app.hooks.at("dispatched").await;
        let result = dispatch(app, held, attempt).await;
        app.hooks.at("returned").await;
        record(app, held, batch, attempt, result)?;
        if !batch.events.iter().any(EventBody::ends_turn) && attempts.len() > 1 {
            journal::flush(app, held, batch, RunStatus::Running).await?;
        }
    }
    Ok(())
}

/// Journals a call that is about to be made. None when it is over, or a person is asked first, without anybody being called.
async fn prepare(
    app: &App,
    held: &mut Held,
    batch: &mut Batch,
    call: Call,
    tools: &[ToolSpec],
) -> Result<Option<Attempt>, Stopped> {
    let approval = match call.state {
        CallState::Decided { approval_id } => {
            app.hooks.at("approved").await;
            find_approval(app, held.principal.tenant, approval_id)
                .await
                .map_err(FlushError::Database)?
        }
        CallState::ToDo | CallState::Asked { .. } | CallState::Closed { .. } => None,
    };
    let tool = tools.iter().find(|t| t.name == call.call.tool);
    let way = match app.tools.server_of(&call.call.tool) {
        Some(server) => {
            match foreign::admit(
                app,
                held,
                batch,
                &call.call,
                server,
                tool,
                approval.as_ref(),
            ) {
                Some(way) => way,
                None => return Ok(None),
            }
        }
        None if approval
            .as_ref()
            .is_some_and(|a| a.asked_by == AskedBy::Agent) =>
        {
            foreign::gone(held, batch, &call.call, approval.as_ref());
            return Ok(None);
        }
        None => Way::Ours {
            read_only: tool.is_some_and(|t| t.read_only),
        },
    };
    if let (Way::Ours { .. }, Some(approval)) = (way, &approval)
        && approval.status == ApprovalStatus::Approved
    {
        let dispatched = (approval.id, ApprovalStatus::Dispatched);
        batch.approvals.push(dispatched);
    }
    let decision = approval.as_ref().and_then(Approval::decision);
    let request = json!({"arguments": call.call.arguments, "decision": decision});
    let step = journaled(held, batch, &call.call, request, None);
    let key = held.key_of(&call.call.id);
    Ok(Some(Attempt {
        step,
        call,
        key,
        way,
        approval,
    }))
}

/// A step of the run about a call, with its end if it is over.
fn journaled(
    held: &mut Held,
    batch: &mut Batch,
    call: &ToolCall,
    request: Value,
    response: Option<Value>,
) -> i32 {
    held.last_step += 1;
    batch.steps.push(Step {
        step: held.last_step,
        kind: "tool",
        name: call.tool.clone(),
        call_id: Some(call.id.clone()),
        request,
        response,
    });
    held.last_step
}

async fn find_approval(
    app: &App,
    tenant: TenantId,
    id: Uuid,
) -> Result<Option<Approval>, sqlx::Error> {
    let mut tx = app.begin(tenant).await?;
    approvals::find(&mut tx, tenant, id).await
}

/// Makes one call, as often as its way allows.
async fn dispatch(app: &App, held: &Held, attempt: &Attempt) -> Result<CallResult, NoAnswer> {
    match attempt.way {
        Way::Ours { .. } => until_answered(app, held, attempt).await,
        Way::TheirRead => foreign::read(app, held, attempt).await,
        Way::TheirsOnce => foreign::once(app, held, attempt).await,
    }
}

/// Makes one call of our own server, again and again under its key while no answer comes back.
async fn until_answered(app: &App, held: &Held, attempt: &Attempt) -> Result<CallResult, NoAnswer> {
    let tool = &attempt.call.call.tool;
    if !app.breaker.admits(tool, Instant::now()) {
        return Err(NoAnswer {
            maybe_sent: held.resumptions > 0,
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
        let budget: &[u64] = match &attempt.approval {
            _ if maybe_sent => &PAUSES_MAYBE_SENT_MS,
            Some(_) => &PAUSES_AGREED_MS,
            None => &PAUSES_NOT_SENT_MS,
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
        Err(no_answer) if !matches!(attempt.way, Way::Ours { .. }) => {
            foreign::unanswered(app, held, attempt, no_answer)
        }
        // A no needs no server: its question lapses by itself.
        Err(_) if denied.is_some() => {
            denied.map_or(ToolOutcome::Denied { reason: None }, denied_outcome)
        }
        Err(no_answer) if no_answer.maybe_sent && !attempt.only_reads() => {
            tracing::error!(run_id = %held.run_id, tool = call.tool, cause = no_answer.cause, "outcome not known");
            ToolOutcome::Unknown
        }
        Err(no_answer) => {
            // Nothing was sent, so the action is over and not left hanging.
            let over = attempt.approval.as_ref();
            batch
                .approvals
                .extend(over.map(|a| (a.id, ApprovalStatus::Failed)));
            return Err(unreachable(no_answer.cause));
        }
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
    over(held, batch, &call.id, &call.tool, outcome);
    Ok(())
}

/// A call has its outcome.
fn over(held: &mut Held, batch: &mut Batch, call_id: &str, tool: &str, outcome: ToolOutcome) {
    batch.events.push(events::returned(call_id, tool, &outcome));
    held.machine.closed(call_id, outcome);
    if held.machine.calls.is_empty() {
        held.close_step(batch);
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
            decided_by: old.decided.as_ref().map(|d| d.sub.clone()),
        });
    }
    let approval = Approval {
        id: approval_id(app, batch),
        run_id: held.run_id,
        session: held.session,
        call: call.clone(),
        question: asked.question,
        asked_by: AskedBy::Server {
            request_state: asked.request_state,
        },
        status: ApprovalStatus::Pending,
        decided: None,
    };
    batch
        .finished
        .push((attempt.step, json!({"asked": approval.id})));
    waits_for(held, batch, approval);
    Ok(())
}

/// Questions of one moment keep the order of their calls: a person says "the first one".
fn approval_id(app: &App, batch: &Batch) -> Uuid {
    let new = app.new_id();
    match batch.asked.last().map(|a| a.id) {
        Some(last) if new <= last => Uuid::from_u128(last.as_u128() + 1),
        _ => new,
    }
}

/// The call waits for a person's answer; the question is shown once it is stored.
fn waits_for(held: &mut Held, batch: &mut Batch, approval: Approval) {
    batch.events.push(EventBody::Question {
        call_id: approval.call.id.clone(),
        confirmation: approval.view(),
    });
    held.machine.asked(&approval.call.id, approval.id);
    batch.asked.push(approval);
}
