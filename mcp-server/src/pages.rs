//! The pages people open: where a person answers a question that a client could not ask, and bills.

mod documents;
pub(crate) mod login;

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use contracts::confirmation::{PreviewLine, Question};
use contracts::failure::FailureCode;
use contracts::locale::Locale;
use contracts::tools::confirm::ConfirmationStatus;
use serde::Deserialize;
use uuid::Uuid;

use crate::app::App;
use crate::call::{self, Answer};
use crate::caller::{Caller, Door};
use crate::confirmation::{self, Stored};
use crate::error::CallError;
use crate::handler::Shop;

pub(crate) use documents::{bill, booking};

#[derive(Template)]
#[template(path = "approval.html")]
struct ApprovalPage {
    locale: Locale,
    shop: String,
    question: Question,
    /// Answerable now.
    open: bool,
    /// Why whoever looks at it may not answer it; empty for one who may.
    not_for: String,
    /// Who has logged in, where that is how they came.
    logged_in: String,
    /// Until when, by the shop's clock, with the name of its zone: "14:18:36 (Africa/Kigali)".
    until: String,
    /// What became of it, when it is not.
    outcome: String,
    /// Why the last answer did not count.
    problem: String,
}

impl ApprovalPage {
    fn spanish(&self) -> bool {
        self.locale == Locale::Es
    }
}

/// A line without what it comes to, which has a column of its own. The message above the table has the whole of it.
fn goods(line: &PreviewLine) -> &str {
    match line.text.rsplit_once(" = ") {
        Some((goods, _)) if line.amount.is_some() => goods,
        _ => &line.text,
    }
}

fn until(at: DateTime<Utc>, zone: Tz) -> String {
    format!("{} ({zone})", at.with_timezone(&zone).format("%H:%M:%S"))
}

/// The answer of the form.
#[derive(Deserialize)]
pub(crate) struct AnswerForm {
    decision: FormDecision,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum FormDecision {
    Approve,
    Deny,
}

/// `GET /approvals/{id}`
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Response {
    page(&app, &caller, &id, StatusCode::OK, String::new()).await
}

/// `POST /approvals/{id}`
pub(crate) async fn answer(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    form: Result<Form<AnswerForm>, FormRejection>,
) -> Response {
    let Ok(parsed) = id.parse::<Uuid>() else {
        return missing();
    };
    let Ok(Form(form)) = form else {
        return unreadable();
    };
    let mut status = StatusCode::OK;
    let problem = match call::answer_on_page(
        &app,
        &caller,
        parsed,
        form.decision == FormDecision::Approve,
    )
    .await
    {
        Ok(Answer::Done(_)) => String::new(),
        // The outcome below says it already.
        Ok(Answer::Refused(failure))
            if matches!(failure.code, FailureCode::Declined | FailureCode::Expired) =>
        {
            String::new()
        }
        // The page says why.
        Ok(Answer::Refused(failure)) if failure.code == FailureCode::NotApprover => {
            status = StatusCode::FORBIDDEN;
            String::new()
        }
        Ok(Answer::Refused(failure)) => failure.message,
        // What was asked is no longer true: the page shows the new question.
        Ok(Answer::Asked(asked)) if asked.question.id != parsed => {
            return (
                StatusCode::SEE_OTHER,
                [(
                    header::LOCATION,
                    format!("/approvals/{}", asked.question.id),
                )],
            )
                .into_response();
        }
        Ok(Answer::Asked(_)) => String::new(),
        Err(CallError::Refused(_)) => return missing(),
        Err(error) => return unavailable(&error),
    };
    page(&app, &caller, &id, status, problem).await
}

async fn page(
    app: &App,
    caller: &Caller,
    id: &str,
    status: StatusCode,
    problem: String,
) -> Response {
    let Ok(id) = id.parse::<Uuid>() else {
        return missing();
    };
    match load(app, caller, id).await {
        Ok((shop, now, stored)) => {
            html(status, &approval_page(&shop, caller, now, stored, problem))
        }
        Err(CallError::Refused(_)) => missing(),
        Err(error) => unavailable(&error),
    }
}

async fn load(
    app: &App,
    caller: &Caller,
    id: Uuid,
) -> Result<(Arc<Shop>, DateTime<Utc>, Stored), CallError> {
    let mut tx = app.begin(caller.tenant).await?;
    let shop = app.shop(&mut tx, caller.tenant).await?;
    let now = app.clock.now();
    let mut call = app.call(&mut tx, &shop, caller);
    let stored = confirmation::visible(&mut call, id).await?;
    Ok((shop, now, stored))
}

fn approval_page(
    shop: &Shop,
    caller: &Caller,
    now: DateTime<Utc>,
    stored: Stored,
    problem: String,
) -> ApprovalPage {
    let approver = stored.question.approver;
    let is_asker = caller.subject == stored.question.requested_by;
    let not_for = if approver.admits(caller.role, is_asker) {
        String::new()
    } else {
        confirmation::not_approver(approver, stored.locale).message
    };
    let lapsed = stored.question.expires_at <= now;
    let open = stored.status == ConfirmationStatus::Open && !lapsed;
    let outcome = outcome(&stored, lapsed);
    ApprovalPage {
        locale: stored.locale,
        shop: shop.name.clone(),
        open,
        not_for,
        logged_in: match caller.door {
            Door::Session => caller.subject.clone(),
            Door::Local | Door::Agent { .. } | Door::Key(_) | Door::Token => String::new(),
        },
        until: until(stored.question.expires_at, shop.time_zone),
        outcome,
        problem,
        question: stored.question,
    }
}

fn outcome(stored: &Stored, lapsed: bool) -> String {
    use crate::idempotency::Finished;
    if let Some(Finished::Done(result)) = &stored.answer {
        return result["summary"].as_str().unwrap_or_default().to_owned();
    }
    if let Some(Finished::Refused(failure)) = &stored.answer {
        return failure.message.clone();
    }
    match stored.status {
        ConfirmationStatus::Declined => confirmation::declined(stored.locale).message,
        ConfirmationStatus::Superseded => match stored.locale {
            Locale::En => "What was asked is no longer true, so it was asked anew.".to_owned(),
            Locale::Es => "Lo que se preguntó ya no es cierto y se preguntó de nuevo.".to_owned(),
        },
        ConfirmationStatus::Expired => confirmation::expired(stored.locale).message,
        ConfirmationStatus::Open if lapsed => confirmation::expired(stored.locale).message,
        ConfirmationStatus::Open | ConfirmationStatus::Done | ConfirmationStatus::Failed => {
            String::new()
        }
    }
}

#[derive(Template)]
#[template(path = "notice.html")]
struct Notice {
    locale: Locale,
    title: &'static str,
    text: &'static str,
}

fn missing() -> Response {
    html(
        StatusCode::NOT_FOUND,
        &Notice {
            locale: Locale::En,
            title: "Not found",
            text: "There is no such question here. It may be somebody else's, or the address is incomplete.",
        },
    )
}

fn unreadable() -> Response {
    html(
        StatusCode::BAD_REQUEST,
        &Notice {
            locale: Locale::En,
            title: "Nothing was answered",
            text: "The answer could not be read. Go back to the question and press one of its buttons.",
        },
    )
}

fn unavailable(error: &CallError) -> Response {
    tracing::error!(%error, "approval page");
    html(
        StatusCode::SERVICE_UNAVAILABLE,
        &Notice {
            locale: Locale::En,
            title: "One moment",
            text: "Unable to reach the system. Please try again.",
        },
    )
}

fn html(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => {
            let mut response = (status, Html(text)).into_response();
            let headers = response.headers_mut();
            let policy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
            headers.insert(
                header::CONTENT_SECURITY_POLICY,
                HeaderValue::from_static(policy),
            );
            headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
            headers.insert(
                header::X_CONTENT_TYPE_OPTIONS,
                HeaderValue::from_static("nosniff"),
            );
            // Not no-referrer: with that a browser posts our own form with `Origin: null`, which the door refuses.
            headers.insert(
                header::REFERRER_POLICY,
                HeaderValue::from_static("same-origin"),
            );
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(error) => {
            tracing::error!(%error, "page");
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                "System error. Please try again.",
            )
                .into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use contracts::money::{Currency, Money};

    use super::*;

    #[test]
    fn the_deadline_is_by_the_shops_clock() {
        let at = "2026-11-20T12:18:36Z".parse().unwrap();
        assert_eq!(until(at, Tz::Africa__Kigali), "14:18:36 (Africa/Kigali)");
    }

    #[test]
    fn the_amount_of_a_line_is_said_once() {
        let francs: Currency = "RWF".parse().unwrap();
        let line = |text: &str, amount: Option<i64>| PreviewLine {
            text: text.to_owned(),
            amount: amount.map(|minor| Money::minor(minor, francs)),
        };
        assert_eq!(
            goods(&line("2 kg Sugar @ 160 = 320", Some(320))),
            "2 kg Sugar @ 160"
        );
        assert_eq!(goods(&line("1 Shampoo = 250", Some(250))), "1 Shampoo");
        assert_eq!(
            goods(&line("A = B", None)),
            "A = B",
            "a line without an amount is whole"
        );
    }
}
