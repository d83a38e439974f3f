//! Calls of servers that are not ours. They keep no keys that we could rely on, and ask nobody: so whatever does not only read is asked
//! about by us, sent once after the yes, and never again once it may have been sent.

use std::time::{Duration, Instant};

use contracts::failure::{FailureCode, ToolFailure};
use contracts::http::approval::ApprovalStatus;
use contracts::locale::Locale;
use serde_json::json;

use super::{Attempt, NoAnswer, PAUSES_AGREED_MS, Way, denied_outcome, journaled, over, waits_for};
use crate::app::App;
use crate::approvals::{Approval, AskedBy};
use crate::models::{ToolCall, ToolOutcome, ToolSpec};
use crate::run::journal::{Batch, Held};
use crate::tools::{CallResult, Dispatch, Unreachable, question};

/// Pauses between attempts to read.
const PAUSES_READ_MS: [u64; 3] = [200, 600, 1500];

/// How the call is to be made, if it is to be made now. Else it is over, or a person has been asked.
pub(super) fn admit(
    app: &App,
    held: &mut Held,
    batch: &mut Batch,
    call: &ToolCall,
    server: &str,
    tool: Option<&ToolSpec>,
    approval: Option<&Approval>,
) -> Option<Way> {
    let Some(approval) = approval else {
        return match tool {
            Some(tool) if tool.read_only => Some(Way::TheirRead),
            Some(tool) => {
                ask(app, held, batch, call, server, &tool.title);
                None
            }
            None => {
                let failure = not_offered(server, held.machine.language.locale());
                settle(held, batch, call, ToolOutcome::Failed { failure });
                None
            }
        };
    };
    let outcome = match approval.status {
        // The list does not matter any more: this very call was agreed to.
        ApprovalStatus::Approved => return Some(Way::TheirsOnce),
        ApprovalStatus::Denied => denied_outcome(approval),
        // Another worker has sent it, and its answer is lost.
        _ => {
            tracing::error!(run_id = %held.run_id, tool = call.tool, "outcome not known: it was sent before, and is not sent again");
            batch.approvals.push((approval.id, ApprovalStatus::Unknown));
            ToolOutcome::Unknown
        }
    };
    settle(held, batch, call, outcome);
    None
}

/// The server of a call that was asked about is not configured any more. Nothing is sent to anybody.
pub(super) fn gone(
    held: &mut Held,
    batch: &mut Batch,
    call: &ToolCall,
    approval: Option<&Approval>,
) {
    let agreed = approval.filter(|a| a.status == ApprovalStatus::Approved);
    let outcome = match (agreed, approval) {
        (Some(approval), _) => {
            batch.approvals.push((approval.id, ApprovalStatus::Failed));
            let server = call.tool.split('.').next().unwrap_or_default();
            let failure = not_offered(server, held.machine.language.locale());
            ToolOutcome::Failed { failure }
        }
        (None, Some(approval)) if approval.status == ApprovalStatus::Denied => {
            denied_outcome(approval)
        }
        (None, _) => {
            let sent = approval.map(|a| (a.id, ApprovalStatus::Unknown));
            batch.approvals.extend(sent);
            ToolOutcome::Unknown
        }
    };
    settle(held, batch, call, outcome);
}

/// Reads, again after a while if no answer comes, within the time one call may take.
pub(super) async fn read(
    app: &App,
    held: &Held,
    attempt: &Attempt,
) -> Result<CallResult, NoAnswer> {
    let give_up = Instant::now() + app.settings.extra_server_deadline;
    let mut pauses = PAUSES_READ_MS.iter();
    loop {
        let error = match send(app, held, attempt).await {
            Ok(result) => return Ok(result),
            Err(error) => error,
        };
        let pause = pauses.next().map(|ms| Duration::from_millis(*ms));
        let soon = |p: &Duration| is_on(app, attempt) && Instant::now() + *p < give_up;
        match pause.filter(soon) {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return Err(no_answer(app, attempt, &error)),
        }
    }
}

/// Does what a person has agreed to. Tried again only while it certainly was not sent.
pub(super) async fn once(
    app: &App,
    held: &Held,
    attempt: &Attempt,
) -> Result<CallResult, NoAnswer> {
    let mut pauses = PAUSES_AGREED_MS.iter();
    loop {
        let error = match send(app, held, attempt).await {
            Ok(result) => return Ok(result),
            Err(error) => error,
        };
        let waits = error.not_sent && is_on(app, attempt);
        match pauses.next().filter(|_| waits) {
            Some(ms) => tokio::time::sleep(Duration::from_millis(*ms)).await,
            None => return Err(no_answer(app, attempt, &error)),
        }
    }
}

/// Whether the tool is not switched off for a while. Its name has its server's in front, so each server's tools fail for themselves.
fn is_on(app: &App, attempt: &Attempt) -> bool {
    app.breaker.admits(&attempt.call.call.tool, Instant::now())
}

async fn send(app: &App, held: &Held, attempt: &Attempt) -> Result<CallResult, Unreachable> {
    let tool = &attempt.call.call.tool;
    if !is_on(app, attempt) {
        return Err(Unreachable {
            cause: format!("{tool} is switched off for a while"),
            not_sent: true,
        });
    }
    let request = Dispatch {
        call: &attempt.call.call,
        idempotency_key: &attempt.key,
        locale: held.machine.language.locale(),
        answer: None,
    };
    let result = app.tools.call(&held.principal, request).await?;
    app.breaker.answered(tool);
    Ok(result)
}

fn no_answer(app: &App, attempt: &Attempt, error: &Unreachable) -> NoAnswer {
    app.breaker.failed(&attempt.call.call.tool, Instant::now());
    NoAnswer {
        maybe_sent: !error.not_sent,
        cause: error.to_string(),
    }
}

/// What becomes of a call that was not answered.
pub(super) fn unanswered(
    app: &App,
    held: &Held,
    attempt: &Attempt,
    no_answer: NoAnswer,
) -> ToolOutcome {
    let tool = &attempt.call.call.tool;
    let (cause, reads) = (no_answer.cause, attempt.only_reads());
    if no_answer.maybe_sent && !reads {
        tracing::error!(run_id = %held.run_id, tool, cause, "outcome not known");
        return ToolOutcome::Unknown;
    }
    tracing::warn!(run_id = %held.run_id, tool, cause, "no answer");
    let server = app.tools.server_of(tool).unwrap_or(tool);
    let message = match (held.machine.language.locale(), reads) {
        (Locale::En, true) => format!("{server} did not answer. Please try again later."),
        (Locale::Es, true) => format!("{server} no respondió. Inténtalo de nuevo más tarde."),
        (Locale::En, false) => {
            format!("{server} could not be reached, and nothing was done. Please try again later.")
        }
        (Locale::Es, false) => {
            format!("No se pudo llegar a {server} y no se hizo nada. Inténtalo de nuevo más tarde.")
        }
    };
    let hint = "Tell the person; do not repeat it now.";
    ToolOutcome::Failed {
        failure: ToolFailure::new(FailureCode::Unavailable, message, hint),
    }
}

/// The person is asked by us; nothing is sent to the server before the yes.
fn ask(app: &App, held: &mut Held, batch: &mut Batch, call: &ToolCall, server: &str, title: &str) {
    let (id, now) = (app.new_id(), app.clock.now());
    let locale = held.machine.language.locale();
    let asker = held.principal.subject.clone();
    let approval = Approval {
        id,
        run_id: held.run_id,
        session: held.session,
        call: call.clone(),
        question: question::about(call, (server, title), &asker, locale, id, now),
        asked_by: AskedBy::Agent,
        status: ApprovalStatus::Pending,
        decided: None,
    };
    let request = json!({"arguments": call.arguments});
    journaled(held, batch, call, request, Some(json!({"asked": id})));
    waits_for(held, batch, approval);
}

/// Over without anybody being called; journaled all the same.
fn settle(held: &mut Held, batch: &mut Batch, call: &ToolCall, outcome: ToolOutcome) {
    let response = serde_json::to_value(&outcome).unwrap_or_default();
    let request = json!({"arguments": call.arguments});
    journaled(held, batch, call, request, Some(response));
    over(held, batch, &call.id, &call.tool, outcome);
}

fn not_offered(server: &str, locale: Locale) -> ToolFailure {
    let message = match locale {
        Locale::En => format!("{server} does not offer that at the moment, so nothing was done."),
        Locale::Es => format!("{server} no ofrece eso en este momento, así que no se hizo nada."),
    };
    ToolFailure::new(
        FailureCode::NotAllowed,
        message,
        "Use only tools that are on the list.",
    )
}
