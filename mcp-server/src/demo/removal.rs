//! Taking the demo out: what it made is archived, hidden or closed by the same means the owner has, and what the owner has changed or
//! used stays, with the reason said. Nothing is deleted: numbers have no gap, and the audit log goes on.

use std::collections::BTreeMap;

use contracts::ids::TenantId;
use contracts::tool::Tool;
use contracts::tools::billing::{GetBill, VoidBill};
use contracts::tools::inventory::DeleteItem;
use contracts::tools::support::{TicketStatus, UpdateTicket};
use serde_json::{Map, Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{ACTOR, SHOP, call_tool, caller, made, parts};
use crate::app::App;
use crate::error::CallError;

/// What became of the demo.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Removed {
    /// How many of what went: items, customers, branches, tickets, bills.
    pub gone: BTreeMap<&'static str, usize>,
    /// What stayed, and why: a sentence each.
    pub kept: Vec<String>,
}

impl Removed {
    /// What is said on the command line.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let gone: Vec<String> = self
            .gone
            .iter()
            .map(|(what, many)| format!("{many} {what}"))
            .collect();
        let first = if gone.is_empty() {
            "There was nothing to remove.".to_owned()
        } else {
            format!("Removed: {}.", gone.join(", "))
        };
        [first]
            .into_iter()
            .chain(self.kept.iter().cloned())
            .collect()
    }
}

/// Takes the demo out of the shop of local mode. It is not filled again at the next start.
///
/// # Errors
/// When the database cannot be reached.
pub async fn remove(app: &App) -> Result<Removed, CallError> {
    let mut removed = Removed::default();
    let parts = made(app).await?;
    let subjects: Vec<(String, String)> = parts
        .iter()
        .filter(|(_, made)| made.removed_at.is_none())
        .filter_map(|(part, made)| Some((part.clone(), made.subject.clone()?)))
        .collect();
    // Bills first: an item on an open bill could not go, and a customer with one should not.
    for kind in ["bill", "ticket", "location", "item", "customer"] {
        let mut of_kind: Vec<&(String, String)> = subjects
            .iter()
            .filter(|(_, subject)| subject.split(':').next() == Some(kind))
            .collect();
        of_kind.sort();
        for (part, subject) in of_kind {
            let id = subject.split_once(':').and_then(|(_, id)| id.parse().ok());
            let id: Uuid = id.ok_or_else(|| CallError::Broken(format!("demo part {part}")))?;
            if take_out(app, kind, part, id, &mut removed).await? {
                unmark(app, part).await?;
            }
        }
    }
    // What only changed something is done again with what it changed.
    for part in parts::basics().into_iter().chain(parts::more()) {
        let made = parts.get(&part.name);
        if made.is_some_and(|made| made.subject.is_none() && made.removed_at.is_none()) {
            unmark(app, &part.name).await?;
        }
    }
    unmark(app, SHOP).await?;
    Ok(removed)
}

/// Whether the part is gone.
async fn take_out(
    app: &App,
    kind: &'static str,
    part: &str,
    id: Uuid,
    removed: &mut Removed,
) -> Result<bool, CallError> {
    let (name, reason) = match standing(app, kind, id).await? {
        Standing::Gone => return Ok(true),
        Standing::Kept { name, reason } => (name, Some(reason)),
        Standing::Demos { name } => (name, None),
    };
    if let Some(reason) = reason {
        removed.kept.push(format!("{name} is kept: {reason}."));
        return Ok(false);
    }
    let refusal = match kind {
        "bill" => void(app, id).await?,
        "ticket" => close(app, id).await?,
        "item" => tool(app, DeleteItem::NAME, json!({"item": id})).await?,
        "location" => {
            let place = id.to_string();
            crate::places::remove(app, &caller(), &place).await?;
            None
        }
        _ => {
            hide_customer(app, id).await?;
            None
        }
    };
    if let Some(reason) = refusal {
        removed.kept.push(format!("{name} is kept: {reason}"));
        return Ok(false);
    }
    tracing::debug!(part, "taken out of the demo shop");
    *removed.gone.entry(plural(kind)).or_default() += 1;
    Ok(true)
}

fn plural(kind: &str) -> &'static str {
    match kind {
        "bill" => "unpaid bills (void)",
        "ticket" => "tickets (closed)",
        "item" => "items",
        "location" => "branches",
        _ => "customers",
    }
}

/// How a part of the demo stands.
enum Standing {
    /// The owner has removed it already.
    Gone,
    /// The owner has made it their own.
    Kept { name: String, reason: String },
    /// Nobody but the demo has touched it.
    Demos { name: String },
}

async fn standing(app: &App, kind: &str, id: Uuid) -> Result<Standing, CallError> {
    let tenant = TenantId::DEMO;
    let mut tx = app.begin(tenant).await?;
    let row = match kind {
        "item" => select_item(&mut tx, tenant, id).await?,
        "customer" => select_customer(&mut tx, tenant, id).await?,
        "bill" => select_bill(&mut tx, tenant, id).await?,
        "ticket" => select_ticket(&mut tx, tenant, id).await?,
        _ => select_place(&mut tx, tenant, id).await?,
    };
    let Some(row) = row else {
        return Ok(Standing::Gone);
    };
    let subject = format!("{kind}:{id}");
    let reason = match row.used {
        Some(used) => Some(used),
        None => select_changed(&mut tx, tenant, &subject, ACTOR)
            .await?
            .map(|who| format!("{who} has changed it")),
    };
    Ok(match reason {
        Some(reason) => Standing::Kept {
            name: row.name,
            reason,
        },
        None => Standing::Demos { name: row.name },
    })
}

/// The tool's sentence when it refuses.
async fn tool(app: &App, tool: &str, arguments: Value) -> Result<Option<String>, CallError> {
    let arguments: Map<String, Value> = match arguments {
        Value::Object(arguments) => arguments,
        _ => Map::new(),
    };
    let answer = call_tool(app, tool, arguments, None).await?;
    Ok(answer.err().map(|failure| failure.message))
}

/// An open bill on which nothing was paid is taken back; any other stays in the books.
async fn void(app: &App, id: Uuid) -> Result<Option<String>, CallError> {
    let arguments = Map::from_iter([("bill".to_owned(), json!(id))]);
    let bill = call_tool(app, GetBill::NAME, arguments, None).await?;
    let status = bill
        .ok()
        .and_then(|bill| Some(bill.pointer("/bill/status")?.as_str()?.to_owned()));
    if status.as_deref() == Some("open") {
        return tool(
            app,
            VoidBill::NAME,
            json!({"bill": id, "reason": "The demo was removed"}),
        )
        .await;
    }
    Ok(Some(
        "bills are numbered without a gap, and what was paid stays in the books.".to_owned(),
    ))
}

async fn close(app: &App, id: Uuid) -> Result<Option<String>, CallError> {
    let closed = TicketStatus::Closed.word();
    tool(
        app,
        UpdateTicket::NAME,
        json!({"ticket": id, "status": closed}),
    )
    .await
}

/// No tool removes a customer: bills keep the name, and only the list forgets them.
async fn hide_customer(app: &App, id: Uuid) -> Result<(), CallError> {
    let mut tx = app.begin(TenantId::DEMO).await?;
    update_customer(&mut tx, TenantId::DEMO, id, app.clock.now()).await?;
    Ok(tx.commit().await?)
}

async fn unmark(app: &App, part: &str) -> Result<(), CallError> {
    let mut tx = app.begin(TenantId::DEMO).await?;
    update_part(&mut tx, TenantId::DEMO, part, app.clock.now()).await?;
    Ok(tx.commit().await?)
}

/// What a part is called, and how somebody other than the demo has used it.
struct StandingRow {
    name: String,
    used: Option<String>,
}

async fn select_item(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
) -> Result<Option<StandingRow>, sqlx::Error> {
    sqlx::query_as!(
        StandingRow,
        r#"select i.name, (
               select 'it is on bill ' || b.series || '-' || b.number from shop.bill_lines l
               join shop.bills b on b.tenant_id = $1 and b.id = l.bill_id and b.issued_by <> $3
               where l.tenant_id = $1 and l.item_id = i.id order by b.number limit 1) as used
           from shop.items i where i.tenant_id = $1 and i.id = $2 and i.archived_at is null"#,
        tenant.0,
        id,
        ACTOR
    )
    .fetch_optional(conn)
    .await
}

async fn select_customer(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
) -> Result<Option<StandingRow>, sqlx::Error> {
    sqlx::query_as!(
        StandingRow,
        r#"select c.name, coalesce(
               (select 'bill ' || b.series || '-' || b.number || ' is theirs' from shop.bills b
                where b.tenant_id = $1 and b.customer_id = c.id and b.issued_by <> $3 order by b.number limit 1),
               (select 'ticket T-' || t.number || ' is about them' from shop.tickets t
                where t.tenant_id = $1 and t.customer_id = c.id and t.created_by <> $3 order by t.number limit 1)) as used
           from shop.customers c where c.tenant_id = $1 and c.id = $2 and c.deleted_at is null"#,
        tenant.0,
        id,
        ACTOR
    )
    .fetch_optional(conn)
    .await
}

async fn select_bill(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
) -> Result<Option<StandingRow>, sqlx::Error> {
    sqlx::query_as!(
        StandingRow,
        r#"select 'Bill ' || b.series || '-' || b.number as "name!", null::text as used
           from shop.bills b where b.tenant_id = $1 and b.id = $2 and b.status <> 'void'"#,
        tenant.0,
        id
    )
    .fetch_optional(conn)
    .await
}

async fn select_ticket(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
) -> Result<Option<StandingRow>, sqlx::Error> {
    sqlx::query_as!(
        StandingRow,
        r#"select 'Ticket T-' || t.number as "name!", null::text as used
           from shop.tickets t where t.tenant_id = $1 and t.id = $2 and t.status <> 'closed'"#,
        tenant.0,
        id
    )
    .fetch_optional(conn)
    .await
}

async fn select_place(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
) -> Result<Option<StandingRow>, sqlx::Error> {
    sqlx::query_as!(
        StandingRow,
        "select l.name, null::text as used from shop.locations l where l.tenant_id = $1 and l.id = $2 and l.archived_at is null",
        tenant.0,
        id
    )
    .fetch_optional(conn)
    .await
}

/// Somebody other than the demo who has changed it.
async fn select_changed(
    conn: &mut PgConnection,
    tenant: TenantId,
    subject: &str,
    but: &str,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select requested_by from shop.audit_log where tenant_id = $1 and subject = $2 and requested_by <> $3 limit 1",
        tenant.0,
        subject,
        but
    )
    .fetch_optional(conn)
    .await
}

async fn update_customer(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update shop.customers set deleted_at = $3, version = version + 1 where tenant_id = $1 and id = $2 and deleted_at is null",
        tenant.0,
        id,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn update_part(
    conn: &mut PgConnection,
    tenant: TenantId,
    part: &str,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update shop.demo_parts set removed_at = $3 where tenant_id = $1 and part = $2",
        tenant.0,
        part,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}
