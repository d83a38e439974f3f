//! `confirm_action`: what came of a question answered elsewhere. Approves nothing by itself; a client's token is dealt with before, in
//! `call.rs`.

use contracts::locale::Locale;
use contracts::tools::confirm::{
    ConfirmAction, ConfirmActionInput, ConfirmActionOutput, ConfirmationStatus,
};

use crate::confirmation::{self, Stored};
use crate::error::CallError;
use crate::handler::{Call, ReadTool};
use crate::idempotency::Finished;

impl ReadTool for ConfirmAction {
    async fn read(
        call: &mut Call<'_>,
        input: ConfirmActionInput,
    ) -> Result<ConfirmActionOutput, CallError> {
        let stored = confirmation::visible(call, input.confirmation_id).await?;
        Ok(report(call, stored))
    }
}

fn report(call: &Call<'_>, stored: Stored) -> ConfirmActionOutput {
    let open = stored.status == ConfirmationStatus::Open && stored.question.expires_at > call.now;
    let status = match stored.status {
        ConfirmationStatus::Open if !open => ConfirmationStatus::Expired,
        status => status,
    };
    let (result, failure) = match stored.answer {
        Some(Finished::Done(result)) => (Some(result), None),
        Some(Finished::Refused(failure)) => (None, Some(failure)),
        None => (None, None),
    };
    let said = result
        .as_ref()
        .and_then(|r| r["summary"].as_str())
        .or(failure.as_ref().map(|f| f.message.as_str()));
    ConfirmActionOutput {
        summary: said.map_or_else(|| sentence(status, call.locale).to_owned(), str::to_owned),
        status,
        tool: stored.question.tool,
        result,
        failure,
        replaced_by: stored.replaced_by,
        decided_by: stored.decided_by,
        expires_at: open.then_some(stored.question.expires_at),
        approval_url: open.then(|| confirmation::approval_url(call.public_url, stored.question.id)),
    }
}

fn sentence(status: ConfirmationStatus, locale: Locale) -> &'static str {
    use ConfirmationStatus::{Declined, Done, Expired, Failed, Open, Superseded};
    match (locale, status) {
        (Locale::En, Open) => "Nobody has answered yet. The person answers on the approval page.",
        (Locale::En, Done) => "Done.",
        (Locale::En, Failed) => "It could not be done. Nothing was changed.",
        (Locale::En, Declined) => "The person said no. Nothing was done.",
        (Locale::En, Expired) => "Nobody answered in time. Nothing was done.",
        (Locale::En, Superseded) => {
            "What was asked is no longer true, so it was asked anew. Nothing was done."
        }
        (Locale::Es, Open) => {
            "Nadie ha respondido todavía. La persona responde en la página de aprobación."
        }
        (Locale::Es, Done) => "Hecho.",
        (Locale::Es, Failed) => "No se pudo hacer. No se cambió nada.",
        (Locale::Es, Declined) => "La persona dijo que no. No se hizo nada.",
        (Locale::Es, Expired) => "Nadie respondió a tiempo. No se hizo nada.",
        (Locale::Es, Superseded) => {
            "Lo que se preguntó ya no es cierto y se preguntó de nuevo. No se hizo nada."
        }
    }
}
