//! `inventory_delete_item`: an item is archived; its history and old bills stay.

use contracts::tools::inventory::{DeleteItem, DeleteItemInput, ItemOutput};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::catalogue::{Asked, Item, find_one, load_one};
use crate::error::CallError;
use crate::handler::{Audit, Call, CommitTool, Effected, Prepared};
use crate::words::inventory;
use crate::{numbering, stock};

/// How many of the bills in the way are named.
const BILLS_NAMED_MAX: usize = 5;

impl CommitTool for DeleteItem {
    type Plan = Item;

    async fn prepare(
        call: &mut Call<'_>,
        input: &DeleteItemInput,
    ) -> Result<Prepared<Item>, CallError> {
        let asked = Asked {
            name: &input.item,
            field: "item",
        };
        let item = find_one(call, asked).await?;
        refuse_in_use(call, &item).await?;
        let stock = item.measure(item.on_hand);
        Ok(Prepared {
            message: inventory::ask_remove(call.locale, &item.name, &stock),
            lines: Vec::new(),
            total: None,
            binding: json!({"item_id": item.id, "name": item.name}),
            informative: json!({"stock": stock.text}),
            plan: item,
        })
    }

    async fn execute(
        call: &mut Call<'_>,
        _input: DeleteItemInput,
        item: Item,
    ) -> Result<Effected<ItemOutput>, CallError> {
        let tenant = call.tenant();
        // A bill locks the level before it writes its lines: from here on none can get in between.
        stock::lock(call.conn, tenant, &[item.id]).await?;
        refuse_in_use(call, &item).await?;
        let archived = archive(call.conn, tenant, item.id, call.now).await?;
        if archived == 0 {
            return Err(
                inventory::unknown_item(call.locale, &item.name, "item", Vec::new()).into(),
            );
        }
        let before = item.view(call.shop, call.locale);
        let after = load_one(call.conn, tenant, item.id)
            .await?
            .view(call.shop, call.locale);
        Ok(Effected {
            audit: Audit {
                subject: format!("item:{}", item.id),
                before: Some(json!(before)),
                after: None,
            },
            output: ItemOutput {
                summary: inventory::removed(call.locale, &item.name),
                item: after,
            },
        })
    }
}

async fn refuse_in_use(call: &mut Call<'_>, item: &Item) -> Result<(), CallError> {
    let tenant = call.tenant();
    let most = i64::try_from(BILLS_NAMED_MAX + 1).unwrap_or(i64::MAX);
    let mut bills = select_open_bills(call.conn, tenant, item.id, most).await?;
    if bills.is_empty() {
        return Ok(());
    }
    let more = bills.len() > BILLS_NAMED_MAX;
    bills.truncate(BILLS_NAMED_MAX);
    Err(inventory::item_in_use(call.locale, &item.name, &bills, more).into())
}

async fn archive(
    conn: &mut PgConnection,
    tenant: Uuid,
    item_id: Uuid,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "update shop.items set archived_at = $3, version = version + 1
         where tenant_id = $1 and id = $2 and archived_at is null",
        tenant,
        item_id,
        now
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Numbers of open bills with this item, oldest first.
async fn select_open_bills(
    conn: &mut PgConnection,
    tenant: Uuid,
    item_id: Uuid,
    most: i64,
) -> Result<Vec<String>, sqlx::Error> {
    let rows = sqlx::query!(
        "select b.series, b.number from shop.bills b
         where b.tenant_id = $1 and b.status = 'open'
           and exists (select 1 from shop.bill_lines l where l.tenant_id = $1 and l.bill_id = b.id and l.item_id = $2)
         order by b.number limit $3",
        tenant,
        item_id,
        most
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| numbering::shown(&row.series, row.number))
        .collect())
}
