//! The audit log, as its owner reads it: newest first, a page at a time.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use contracts::ids::TenantId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::problem::{Code, Problem};
use super::{Asked, Owner};
use crate::app::App;
use crate::cursor;

/// Entries of a page when nothing else is asked for.
const PAGE_DEFAULT: u16 = 100;
/// Most entries of a page.
pub(crate) const PAGE_MAX: u16 = 500;

/// Which entries.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    /// At this moment or later.
    from: Option<DateTime<Utc>>,
    /// Before this moment.
    to: Option<DateTime<Utc>>,
    /// The tool, or `admin.…` of a change of administration.
    tool: Option<String>,
    /// Who asked for it or agreed to it.
    who: Option<String>,
    /// What it was done to: `bill:<uuid>`.
    subject: Option<String>,
    /// Where the page starts.
    cursor: Option<String>,
    limit: Option<u16>,
}

/// One effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Names it.
    pub(crate) id: Uuid,
    /// When.
    pub(crate) at: DateTime<Utc>,
    /// What was done.
    pub(crate) tool: String,
    /// Who asked for it.
    pub(crate) requested_by: String,
    /// Who agreed to it, where a person was asked.
    pub(crate) decided_by: Option<String>,
    /// How the answer came: `elicitation`, `agent`, `page` or `client_asserted`.
    pub(crate) decided_via: Option<String>,
    /// The question.
    pub(crate) confirmation_id: Option<Uuid>,
    /// With what it was called.
    pub(crate) arguments: Value,
    /// What it was done to.
    pub(crate) subject: String,
    /// What that was.
    pub(crate) before: Option<Value>,
    /// What it is since.
    pub(crate) after: Option<Value>,
}

/// A page.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Entries {
    pub(crate) entries: Vec<Entry>,
    /// Where the next page starts; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

/// A place in the log. Times are kept to the microsecond, as Postgres keeps them.
type Place = (i64, Uuid);

/// `GET /admin/v1/audit?from=&to=&tool=&who=&subject=&cursor=&limit=`
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Owner(owner): Owner,
    Asked(filter): Asked<Filter>,
) -> Result<Json<Entries>, Problem> {
    let limit = filter.limit.unwrap_or(PAGE_DEFAULT);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(Problem::value(
            "limit",
            format!("A page has 1 to {PAGE_MAX} entries."),
        ));
    }
    let texts = [&filter.tool, &filter.who, &filter.subject];
    if texts.into_iter().flatten().any(|t| t.contains('\0')) {
        return Err(Problem::new(
            Code::InvalidValue,
            "Leave out what is no text.",
        ));
    }
    let after = filter.cursor.as_deref().map(place).transpose()?;
    let mut tx = app.begin_reading(owner.tenant).await?;
    let mut entries =
        select_page(&mut tx, owner.tenant, &filter, after, i64::from(limit) + 1).await?;
    let is_last = entries.len() <= usize::from(limit);
    entries.truncate(limit.into());
    let next = entries.last().filter(|_| !is_last);
    let next = next.map(|entry| cursor::write::<Place>(&(entry.at.timestamp_micros(), entry.id)));
    Ok(Json(Entries { entries, next }))
}

fn place(text: &str) -> Result<(DateTime<Utc>, Uuid), Problem> {
    let place = cursor::read::<Place>(text);
    let place = place.and_then(|(micros, id)| Some((DateTime::from_timestamp_micros(micros)?, id)));
    place.ok_or_else(|| {
        Problem::value(
            "cursor",
            "The cursor is none of ours. Begin again without it.",
        )
    })
}

async fn select_page(
    conn: &mut PgConnection,
    tenant: TenantId,
    filter: &Filter,
    after: Option<(DateTime<Utc>, Uuid)>,
    most: i64,
) -> Result<Vec<Entry>, sqlx::Error> {
    sqlx::query_as!(
        Entry,
        "select a.id, a.at, a.tool, a.requested_by, a.decided_by, a.decided_via, a.confirmation_id, a.arguments, a.subject, a.before, a.after
         from shop.audit_log a
         where a.tenant_id = $1
           and ($2::timestamptz is null or a.at >= $2) and ($3::timestamptz is null or a.at < $3)
           and ($4::text is null or a.tool = $4)
           and ($5::text is null or a.requested_by = $5 or a.decided_by = $5)
           and ($6::text is null or a.subject = $6)
           and ($7::timestamptz is null or (a.at, a.id) < ($7, $8::uuid))
         order by a.at desc, a.id desc limit $9",
        tenant.0,
        filter.from,
        filter.to,
        filter.tool,
        filter.who,
        filter.subject,
        after.map(|(at, _)| at),
        after.map(|(_, id)| id),
        most
    )
    .fetch_all(conn)
    .await
}
