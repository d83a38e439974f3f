//! `GET /agent/approvals`: what waits for an answer, and what became of the rest.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use contracts::http::approval::{ApprovalPage, ApprovalStatus};
use contracts::http::problem::Problem;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::app::App;
use crate::approvals::{self, Wanted};
use crate::http::guard::Caller;
use crate::http::problem::{Refusal, Subject};
use crate::http::read::QueryOf;
use crate::turns::TurnError;

/// Most approvals of one page.
const LIMIT_MAX: u32 = 200;
/// Approvals of a page when nothing is said.
const LIMIT: u32 = 50;

/// Which approvals, and how many.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Only those that stand so: `unknown` are those staff should look after.
    #[param(value_type = Option<ApprovalStatus>)]
    status: Option<String>,
    /// Where the page before ended.
    cursor: Option<String>,
    /// How many, 1 to 200; 50 when nothing is said.
    #[param(value_type = Option<u32>)]
    limit: Option<String>,
}

/// Lists approvals, newest first.
///
/// A customer sees those of her own conversations, staff and the owner see all of the business.
#[utoipa::path(
    get, path = "/agent/approvals", tag = "approvals",
    params(ListQuery),
    responses(
        (status = 200, description = "One page of approvals.", body = ApprovalPage),
        (status = 400, description = "A status, cursor or limit that is none.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "A request of another site.", body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "System error.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Postgres cannot be reached.", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Caller(principal): Caller,
    QueryOf(query): QueryOf<ListQuery>,
) -> Result<Json<ApprovalPage>, Refusal> {
    let (wanted, limit) = read(&query)?;
    // One more than is shown tells whether there is another page.
    let mut found = approvals::list(&app, &principal, wanted, limit + 1)
        .await
        .map_err(|e| Refusal::from_turn(&TurnError::from(e), Subject::Approval))?;
    let limit = limit as usize;
    let more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| more);
    Ok(Json(ApprovalPage {
        next_cursor: last.map(|a| a.approval.approval_id.to_string()),
        approvals: found,
    }))
}

fn read(query: &ListQuery) -> Result<(Wanted, u32), Refusal> {
    let wrong = |what: &str| Err(Refusal::invalid(what.to_owned()));
    let status = match query.status.as_deref() {
        None | Some("") => None,
        Some(word) => match ApprovalStatus::from_word(word) {
            Some(status) => Some(status),
            None => {
                let words = ApprovalStatus::ALL.map(ApprovalStatus::word).join(", ");
                return wrong(&format!(
                    "The status is not one of {words}. Use one of them, or leave it out."
                ));
            }
        },
    };
    let before: Option<Uuid> = match query.cursor.as_deref().map(str::parse) {
        None => None,
        Some(Ok(id)) => Some(id),
        Some(Err(_)) => {
            return wrong(
                "The cursor is not one of this server's. Leave it out to start with the newest.",
            );
        }
    };
    let limit = query.limit.as_deref().map_or(Some(LIMIT), |text| {
        let number = text.parse::<u32>().ok();
        number.filter(|n| (1..=LIMIT_MAX).contains(n))
    });
    match limit {
        Some(limit) => Ok((Wanted { status, before }, limit)),
        None => wrong("The limit is not a number from 1 to 200. Send one, or leave it out."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(status: &str, cursor: Option<&str>, limit: Option<&str>) -> ListQuery {
        ListQuery {
            status: Some(status.to_owned()),
            cursor: cursor.map(str::to_owned),
            limit: limit.map(str::to_owned),
        }
    }

    #[test]
    fn a_query_is_read_or_refused() {
        let id = "0192f5a0-0000-7000-8000-000000000001";
        let (wanted, limit) = read(&query("unknown", Some(id), Some("200"))).unwrap();
        assert_eq!(wanted.status, Some(ApprovalStatus::Unknown));
        assert_eq!(wanted.before, Some(id.parse().unwrap()));
        assert_eq!(limit, 200);
        assert_eq!(read(&query("", None, None)).unwrap().1, LIMIT);
        for bad in [
            query("lost", None, None),
            query("", Some("x"), None),
            query("", None, Some("0")),
            query("", None, Some("201")),
            query("", None, Some("-1")),
        ] {
            assert!(read(&bad).is_err(), "{bad:?}");
        }
    }
}
