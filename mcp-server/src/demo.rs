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
use crate::days;
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
    let is_new = made.keys().all(|part| part == SHOP) && !has_bills(app).await?;
    if is_new {
        mark(app, HISTORY, None).await?;
    }
    mark(app, SHOP, None).await?;
    let mut all = parts::basics();
    all.extend(parts::more());
    if is_new || made.contains_key(HISTORY) {
        let zone = app.known_shop(TenantId::DEMO).await?.time_zone;
        all.extend(parts::history(days::day_of(app.clock.now(), zone)));
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
        "insert into shop.tenants (id, handle, name, currency, country, time_zone, locale, demo, created_at)
         values ($1, (select 'demo' where not exists (select from shop.tenants where handle = 'demo')),
                 'Demo shop', 'RWF', 'RW', 'Africa/Kigali', 'en', true, $2) on conflict (id) do nothing",
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

#[cfg(test)]
mod tests {
    use contracts::tool::Tool;
    use contracts::tools::billing::CreateBill;
    use contracts::tools::inventory::{AddItem, DeleteItem, UpdateItem};
    use contracts::tools::profile::FindCustomers;
    use migrations::clock::from_setting;
    use migrations::database::Role;
    use migrations::test_database::TestDatabase;
    use serde_json::json;
    use sqlx::PgPool;

    use super::*;
    use crate::invariants;

    /// The shop of local mode, empty.
    struct Local {
        app: App,
        owner: PgPool,
        _database: TestDatabase,
    }

    impl Local {
        async fn new() -> Local {
            let database = TestDatabase::new().await;
            let clock = from_setting(None);
            make_tenant(&database.owner_url(), clock.now())
                .await
                .unwrap();
            let pool = database.pool(Role::Shop).await;
            Local {
                app: App::new(pool, clock, String::new(), [1; 32], [1; 32]),
                owner: database.owner_pool().await,
                _database: database,
            }
        }

        async fn number(&self, sql: &'static str) -> i64 {
            sqlx::query_scalar(sql)
                .fetch_one(&self.owner)
                .await
                .unwrap()
        }

        /// How much there is of everything.
        async fn content(&self) -> Vec<i64> {
            let mut counts = Vec::new();
            for sql in [
                "select count(*) from shop.bills",
                "select count(*) from shop.items",
                "select count(*) from shop.stock_movements",
                "select count(*) from shop.customers",
                "select count(*) from shop.tickets",
                "select count(*) from shop.ticket_notes",
                "select count(*) from shop.locations",
                "select count(*) from shop.bookings where status = 'confirmed'",
                "select count(*) from shop.audit_log",
                "select sum(version)::bigint from shop.items",
                "select sum(version)::bigint from shop.customers",
            ] {
                counts.push(self.number(sql).await);
            }
            counts
        }

        /// What the owner does.
        async fn owner<T: Tool>(&self, arguments: Value) -> Value {
            let Value::Object(arguments) = arguments else {
                panic!("arguments are an object")
            };
            let owner = Caller::local_owner();
            let mut request = ToolRequest {
                name: T::NAME.to_owned(),
                arguments,
                ..ToolRequest::default()
            };
            let mut answer = call::run(&self.app, &owner, request.clone(), true).await;
            if let Answer::Asked(asked) = answer {
                request.request_state = Some(asked.token);
                request.person_says = Some(true);
                answer = call::run(&self.app, &owner, request, true).await;
            }
            match answer {
                Answer::Done(json) => serde_json::from_str(&json).unwrap(),
                other => panic!("{}: {other:?}", T::NAME),
            }
        }

        async fn check(&self) {
            for rule in invariants::all() {
                assert_eq!(self.number(rule.broken).await, 0, "{}", rule.says);
            }
        }
    }

    #[tokio::test]
    async fn the_demo_is_made_once_by_the_tools_and_marked_as_its_own() {
        let local = Local::new().await;
        fill(&local.app).await.unwrap();
        let parts = "select count(*) from shop.demo_parts";
        assert!(
            local.number(parts).await < 80,
            "a first start waits for each"
        );
        local.check().await;
        let left_out = "select count(*) from shop.demo_parts where subject is null and part !~ '^(shop|history|preferences|note|void|purchase|hours|wallet|paid)'";
        assert_eq!(local.number(left_out).await, 0);
        let others = "select count(*) from shop.audit_log where requested_by <> 'demo' or coalesce(decided_by, 'demo') <> 'demo'";
        assert_eq!(local.number(others).await, 0);
        let sugar = "select count(*) from shop.items where name_norm like '%sugar%'";
        assert_eq!(local.number(sugar).await, 0, "the tour adds it");
        let days = "select count(distinct issued_at::date) from shop.bills where issued_at < now() - interval '12 hours'";
        assert!(local.number(days).await >= 5, "a history has days");
        let before = local.content().await;
        fill(&local.app).await.unwrap();
        assert_eq!(local.content().await, before, "made once");
        local
            .owner::<DeleteItem>(json!({"item": "Toothpaste"}))
            .await;
        let before = local.content().await;
        fill(&local.app).await.unwrap();
        assert_eq!(local.content().await, before, "removed once and for all");
    }

    #[tokio::test]
    async fn two_programs_that_start_at_once_make_one_demo() {
        let (local, alone) = (Local::new().await, Local::new().await);
        let (one, other) = tokio::join!(fill(&local.app), fill(&local.app));
        one.unwrap();
        other.unwrap();
        local.check().await;
        fill_again(&alone.app).await.unwrap();
        assert_eq!(local.content().await, alone.content().await);
    }

    #[tokio::test]
    async fn what_the_owner_made_or_used_outlives_the_demo() {
        let local = Local::new().await;
        fill(&local.app).await.unwrap();
        let sugar = json!({"name": "Sugar", "unit": "kg", "unit_price": "160", "quantity": "20"});
        local.owner::<AddItem>(sugar).await;
        let bill = json!({"customer": "Ali", "lines": [{"item": "sugar", "quantity": "2"}, {"item": "shampoo", "quantity": "1"}]});
        let bill = local.owner::<CreateBill>(bill).await;
        let more = json!({"item": "Flour", "adjust": {"delta": "25"}});
        local.owner::<UpdateItem>(more).await;

        let removed = remove(&local.app).await.unwrap();
        local.check().await;
        let number = bill["number"].as_str().unwrap();
        let lines = removed.lines();
        for kept in [
            format!("Kept Shampoo: it is on bill {number}."),
            format!("Kept Ali: bill {number} is theirs."),
            "Kept Flour: owner has changed it.".to_owned(),
        ] {
            assert!(lines.contains(&kept), "{kept}: {lines:#?}");
        }
        for gone in [
            "16 items",
            "4 customers",
            "2 branches",
            "3 bookings",
            "2 things to book",
        ] {
            assert!(lines[0].contains(gone), "{gone}: {lines:#?}");
        }
        let left: Vec<String> = sqlx::query_scalar(
            "select name from shop.items where archived_at is null order by name",
        )
        .fetch_all(&local.owner)
        .await
        .unwrap();
        assert_eq!(left, ["Flour", "Shampoo", "Sugar"]);
        let people = local.owner::<FindCustomers>(json!({})).await;
        assert_eq!(people["customers"].as_array().unwrap().len(), 1);

        let before = local.content().await;
        fill(&local.app).await.unwrap();
        assert_eq!(local.content().await, before, "not back by itself");
        assert_eq!(remove(&local.app).await.unwrap().gone.len(), 0);

        fill_again(&local.app).await.unwrap();
        local.check().await;
        let on_sale = "select count(*) from shop.items where archived_at is null";
        assert_eq!(local.number(on_sale).await, 19);
        let liked = "select count(*) from shop.customer_favourites f join shop.customers c on c.id = f.customer_id join shop.items i on i.id = f.item_id where c.deleted_at is null and i.archived_at is null";
        assert_eq!(local.number(liked).await, 4);
        assert_eq!(local.content().await[0], before[0], "no bill twice");
    }
}
