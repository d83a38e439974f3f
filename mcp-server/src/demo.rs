//! The demo shop of a first embedded start, and the tenant of local mode. Goods are made through the tools themselves.

use std::collections::HashSet;

use contracts::ids::TenantId;
use contracts::tool::Tool;
use contracts::tools::inventory::AddItem;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::app::App;
use crate::call::{self, Answer, ToolRequest};
use crate::caller::Caller;
use crate::error::CallError;

/// Who the demo's rows are by.
const ACTOR: &str = "demo";

/// Makes the tenant of local mode if it is not there, as the owner of the tables.
///
/// # Errors
/// When the database cannot be reached or the login does not own the tables.
pub async fn make_tenant(
    owner_url: &str,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<(), sqlx::Error> {
    let mut conn = PgConnection::connect(owner_url).await?;
    insert_tenant(&mut conn, TenantId::DEMO, now).await?;
    conn.close().await
}

/// Fills the demo shop with what is missing of it. Goods the owner has removed since stay removed.
///
/// # Errors
/// When the database cannot be reached, or a tool refuses.
pub async fn stock(app: &App) -> Result<(), CallError> {
    let tenant = TenantId::DEMO;
    let mut tx = app.begin(tenant).await?;
    let made = made_before(&mut tx, tenant).await?;
    for name in ["Ali", "Aline"] {
        if !customer_exists(&mut tx, tenant, name).await? {
            insert_customer(
                &mut tx,
                tenant,
                migrations::clock::new_id(&*app.clock),
                name,
                app.clock.now(),
            )
            .await?;
        }
    }
    tx.commit().await?;
    let caller = Caller {
        subject: ACTOR.to_owned(),
        ..Caller::local_owner()
    };
    for goods in goods() {
        let name = goods["name"].as_str().unwrap_or_default();
        if made.contains(name) {
            continue;
        }
        let Value::Object(arguments) = goods.clone() else {
            continue;
        };
        let request = ToolRequest {
            name: AddItem::NAME.to_owned(),
            arguments,
            ..ToolRequest::default()
        };
        match call::run(app, &caller, request, false).await {
            Answer::Done(_) => {}
            // Somebody added one of that name in between.
            Answer::Refused(failure)
                if failure.code == contracts::failure::FailureCode::AlreadyExists => {}
            Answer::Refused(failure) => return Err(failure.into()),
            Answer::Asked(_) => {
                return Err(CallError::Broken(
                    "adding an item asked a question".to_owned(),
                ));
            }
        }
    }
    Ok(())
}

/// No Sugar: the tour adds it.
fn goods() -> [Value; 6] {
    [
        json!({"name": "Flour", "category": "grocery", "unit": "kg", "unit_price": "800", "quantity": "50", "low_stock_level": "10",
               "aliases": [{"name": "harina", "locale": "es"}], "units": [{"unit": "bag", "quantity": "25", "of": "kg"}]}),
        json!({"name": "Rice", "category": "grocery", "unit": "kg", "unit_price": "1200", "quantity": "40", "low_stock_level": "10",
               "aliases": [{"name": "arroz", "locale": "es"}], "units": [{"unit": "bag", "quantity": "25", "of": "kg"}]}),
        json!({"name": "Milk", "category": "dairy", "unit": "each", "unit_price": "900", "quantity": "24", "low_stock_level": "6",
               "aliases": [{"name": "leche", "locale": "es"}],
               "units": [{"unit": "bottle", "quantity": "1", "of": "each"}, {"unit": "botella", "quantity": "1", "of": "each"}]}),
        json!({"name": "Eggs", "category": "grocery", "unit": "each", "unit_price": "150", "quantity": "90", "low_stock_level": "30",
               "aliases": [{"name": "huevos", "locale": "es"}], "units": [{"unit": "tray", "quantity": "30", "of": "each"}]}),
        json!({"name": "Shampoo", "category": "beauty", "unit": "each", "unit_price": "250", "quantity": "12", "low_stock_level": "5",
               "aliases": [{"name": "champú", "locale": "es"}]}),
        json!({"name": "Soap", "category": "beauty", "unit": "each", "unit_price": "300", "quantity": "4", "low_stock_level": "5",
               "aliases": [{"name": "jabón", "locale": "es"}]}),
    ]
}

async fn insert_tenant(
    conn: &mut PgConnection,
    tenant: TenantId,
    now: chrono::DateTime<chrono::Utc>,
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

/// Names of the goods the demo has made at any time: the audit log forgets nothing.
async fn made_before(
    conn: &mut PgConnection,
    tenant: TenantId,
) -> Result<HashSet<String>, sqlx::Error> {
    let names = sqlx::query_scalar!(
        r#"select arguments ->> 'name' as "name!" from shop.audit_log where tenant_id = $1 and requested_by = $2 and tool = $3"#,
        tenant.0,
        ACTOR,
        AddItem::NAME
    )
    .fetch_all(conn)
    .await?;
    Ok(names.into_iter().collect())
}

async fn customer_exists(
    conn: &mut PgConnection,
    tenant: TenantId,
    name: &str,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"select exists (select from shop.customers where tenant_id = $1 and name = $2) as "there!""#, tenant.0, name)
        .fetch_one(conn)
        .await
}

async fn insert_customer(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    name: &str,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into shop.customers (tenant_id, id, name, created_at) values ($1, $2, $3, $4)",
        tenant.0,
        id,
        name,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
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
