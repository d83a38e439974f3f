//! The demo shop of a first embedded start, and the tenant of local mode. Everything in it is made through the tools themselves, each
//! part once; `removal` takes it out again.

mod parts;
mod removal;

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use contracts::failure::FailureCode;
use contracts::ids::TenantId;
use migrations::clock::{Clock, SharedClock};
use serde_json::{Map, Value};
use sqlx::{Connection as _, PgConnection};

use crate::app::App;
use crate::call::{self, Answer, ToolRequest};
use crate::caller::Caller;
use crate::error::CallError;
use parts::{Age, Part, Work};

pub use removal::{Removed, remove};

/// Who the demo's rows are by, in the audit log and everywhere else.
const ACTOR: &str = "demo";
/// The part that says whether there is a demo at all.
const SHOP: &str = "shop";
/// The part that says that the demo began with an empty shop, so that its bills could have been written first.
const HISTORY: &str = "history";

/// Makes the tenant of local mode if it is not there, as the owner of the tables.
///
/// # Errors
/// When the database cannot be reached or the login does not own the tables.
pub async fn make_tenant(owner_url: &str, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    let mut conn = PgConnection::connect(owner_url).await?;
    insert_tenant(&mut conn, TenantId::DEMO, now).await?;
    conn.close().await
}

/// Fills the demo shop with its first goods and customers and nothing else: what scenes start from.
///
/// # Errors
/// When the database cannot be reached, or a tool refuses.
pub async fn stock(app: &App) -> Result<(), CallError> {
    // Scenes have no yesterday.
    let parts = parts::basics().into_iter().map(Part::now).collect();
    make_missing(app, parts).await
}

/// Fills the demo shop with what is missing of it, unless it has been removed. What the owner has removed since stays removed.
///
/// # Errors
/// When the database cannot be reached.
pub async fn fill(app: &App) -> Result<(), CallError> {
    let made = made(app).await?;
    if made.get(SHOP).is_some_and(|part| part.removed_at.is_some()) {
        return Ok(());
    }
    let is_new = made.is_empty() && !has_bills(app).await?;
    if is_new {
        mark(app, HISTORY, None).await?;
    }
    mark(app, SHOP, None).await?;
    let mut all = parts::basics();
    all.extend(parts::more());
    if is_new || made.contains_key(HISTORY) {
        all.extend(parts::history());
    }
    all.sort_by_key(|part| std::cmp::Reverse(part.age));
    make_missing(app, all).await
}

/// Puts the demo back after its removal, or completes it.
///
/// # Errors
/// When the database cannot be reached.
pub async fn fill_again(app: &App) -> Result<(), CallError> {
    mark(app, SHOP, None).await?;
    fill(app).await
}

/// A part as it was made.
#[derive(Debug, Clone)]
struct Made {
    subject: Option<String>,
    removed_at: Option<DateTime<Utc>>,
}

/// Makes the parts that are not there, in this order.
async fn make_missing(app: &App, parts: Vec<Part>) -> Result<(), CallError> {
    let mut made = made(app).await?;
    let mut apps: HashMap<Age, App> = HashMap::new();
    for part in parts {
        let before = made.get(&part.name);
        if before.is_some_and(|made| made.removed_at.is_none()) {
            continue;
        }
        let then = apps.entry(part.age).or_insert_with(|| as_of(app, part.age));
        // A part that was removed is made anew, under a key of its own.
        let removals = before
            .and_then(|made| made.removed_at)
            .map_or(0, |at| at.timestamp_micros());
        let key = format!("demo {} {removals}", part.name);
        let subject = match &part.work {
            Work::Call(call) => make(then, call, &made, key).await?,
            Work::Place(place) => make_place(then, place).await?,
        };
        mark(app, &part.name, subject.as_deref()).await?;
        let now_made = Made {
            subject,
            removed_at: None,
        };
        made.insert(part.name, now_made);
    }
    Ok(())
}

/// Calls a tool and answers its question. A tool that refuses has found something of the owner's in the way, which stays as it is.
async fn make(
    app: &App,
    work: &parts::Call,
    made: &HashMap<String, Made>,
    key: String,
) -> Result<Option<String>, CallError> {
    let Some(arguments) = resolved(&work.arguments, made) else {
        return Ok(None);
    };
    match call_tool(app, work.tool, arguments, Some(key)).await? {
        Ok(output) => Ok(work.kind.map(|kind| kind.subject(&output)).transpose()?),
        Err(failure) => {
            if failure.code != FailureCode::AlreadyExists {
                tracing::warn!(tool = work.tool, message = %failure.message, "left out of the demo shop");
            }
            Ok(None)
        }
    }
}

/// The arguments with ids for the parts they name. `None` when such a part is not the demo's: what the owner made stays as it is.
fn resolved(
    arguments: &Map<String, Value>,
    made: &HashMap<String, Made>,
) -> Option<Map<String, Value>> {
    let id_of = |part: &str| {
        let subject = made.get(part)?.subject.as_deref()?;
        subject.split_once(':').map(|(_, id)| Value::from(id))
    };
    arguments
        .iter()
        .map(|(name, value)| {
            let part = value.as_str().and_then(|text| text.strip_prefix('@'));
            let value = part.map_or_else(|| Some(value.clone()), id_of)?;
            Some((name.clone(), value))
        })
        .collect()
}

/// The result of a tool called by the demo, which says yes to its own question; or the tool's refusal.
async fn call_tool(
    app: &App,
    tool: &str,
    arguments: Map<String, Value>,
    key: Option<String>,
) -> Result<Result<Value, contracts::failure::ToolFailure>, CallError> {
    let caller = caller();
    let mut request = ToolRequest {
        name: tool.to_owned(),
        arguments,
        idempotency_key: key,
        ..ToolRequest::default()
    };
    let mut answer = call::run(app, &caller, request.clone(), true).await;
    if let Answer::Asked(asked) = answer {
        request.request_state = Some(asked.token);
        request.person_says = Some(true);
        answer = call::run(app, &caller, request, true).await;
    }
    match answer {
        Answer::Done(json) => serde_json::from_str(&json)
            .map(Ok)
            .map_err(|error| CallError::Broken(format!("{tool} answered the demo: {error}"))),
        Answer::Refused(failure) if failure.code.is_fault() => Err(failure.into()),
        Answer::Refused(failure) => Ok(Err(failure)),
        Answer::Asked(_) => Err(CallError::Broken(format!("{tool} asked the demo twice"))),
    }
}

async fn make_place(
    app: &App,
    place: &crate::places::NewPlace,
) -> Result<Option<String>, CallError> {
    match crate::places::add(app, &caller(), place).await {
        Ok(place) => Ok(Some(format!("location:{}", place.id))),
        Err(CallError::Refused(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn caller() -> Caller {
    Caller {
        subject: ACTOR.to_owned(),
        ..Caller::local_owner()
    }
}

/// The program as it was some time ago: what it writes carries that time.
fn as_of(app: &App, age: Age) -> App {
    let clock = EarlierClock {
        clock: Arc::clone(&app.clock),
        by: age.0,
    };
    let mut then = App::new(
        app.pool.clone(),
        Arc::new(clock),
        app.public_url.clone(),
        app.agent_token_key,
        app.confirmation_key,
    );
    then.call_deadline = app.call_deadline;
    then
}

/// A clock that is behind by a fixed time.
struct EarlierClock {
    clock: SharedClock,
    by: TimeDelta,
}

impl Clock for EarlierClock {
    fn now(&self) -> DateTime<Utc> {
        self.clock.now() - self.by
    }
}

async fn made(app: &App) -> Result<HashMap<String, Made>, CallError> {
    let mut tx = app.begin(TenantId::DEMO).await?;
    let rows = select_parts(&mut tx, TenantId::DEMO).await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let made = Made {
                subject: row.subject,
                removed_at: row.removed_at,
            };
            (row.part, made)
        })
        .collect())
}

async fn mark(app: &App, part: &str, subject: Option<&str>) -> Result<(), CallError> {
    let mut tx = app.begin(TenantId::DEMO).await?;
    upsert_part(&mut tx, TenantId::DEMO, part, subject, app.clock.now()).await?;
    Ok(tx.commit().await?)
}

async fn has_bills(app: &App) -> Result<bool, CallError> {
    let mut tx = app.begin(TenantId::DEMO).await?;
    Ok(select_has_bills(&mut tx, TenantId::DEMO).await?)
}

async fn insert_tenant(
    conn: &mut PgConnection,
    tenant: TenantId,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into shop.tenants (id, name, currency, country, time_zone, locale, demo, created_at)
         values ($1, 'Demo shop', 'RWF', 'RW', 'Africa/Kigali', 'en', true, $2) on conflict (id) do nothing",
        tenant.0,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

struct PartRow {
    part: String,
    subject: Option<String>,
    removed_at: Option<DateTime<Utc>>,
}

async fn select_parts(
    conn: &mut PgConnection,
    tenant: TenantId,
) -> Result<Vec<PartRow>, sqlx::Error> {
    sqlx::query_as!(
        PartRow,
        "select part, subject, removed_at from shop.demo_parts where tenant_id = $1",
        tenant.0
    )
    .fetch_all(conn)
    .await
}

async fn upsert_part(
    conn: &mut PgConnection,
    tenant: TenantId,
    part: &str,
    subject: Option<&str>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into shop.demo_parts (tenant_id, part, subject, made_at) values ($1, $2, $3, $4)
         on conflict (tenant_id, part) do update set subject = excluded.subject, made_at = excluded.made_at, removed_at = null",
        tenant.0,
        part,
        subject,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn select_has_bills(conn: &mut PgConnection, tenant: TenantId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from shop.bills where tenant_id = $1) as "there!""#,
        tenant.0
    )
    .fetch_one(conn)
    .await
}

/// Whether the tenant of local mode exists, as the program's own role sees it.
///
/// # Errors
/// When the database cannot be reached.
pub async fn tenant_is_there(pool: &sqlx::PgPool) -> Result<bool, sqlx::Error> {
    let tenant = TenantId::DEMO;
    let mut tx = migrations::database::begin(pool, tenant.0).await?;
    sqlx::query_scalar!(
        r#"select exists (select from shop.tenants where id = $1) as "there!""#,
        tenant.0
    )
    .fetch_one(&mut *tx)
    .await
}
