//! `inventory_get_item`: one item with its recent stock movements.

use contracts::quantity::{Exact, Measure};
use contracts::tools::inventory::{GetItem, GetItemInput, GetItemOutput, MovementView};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::catalogue::{Asked, find_one};
use crate::error::CallError;
use crate::handler::{Call, ReadTool};
use crate::words::inventory;

/// How many movements are shown.
const MOVEMENTS_MAX: i64 = 20;

impl ReadTool for GetItem {
    async fn read(call: &mut Call<'_>, input: GetItemInput) -> Result<GetItemOutput, CallError> {
        let asked = Asked {
            name: &input.item,
            field: "item",
        };
        let item = find_one(call, asked).await?;
        let tenant = call.tenant();
        let movements = select_movements(call.conn, tenant, item.id, MOVEMENTS_MAX).await?;
        let view = item.view(call.shop, call.locale);
        Ok(GetItemOutput {
            summary: inventory::shown(
                call.locale,
                &item.name,
                &view.stock,
                &view.unit_price.text,
                view.low,
            ),
            item: view,
            movements,
        })
    }
}

async fn select_movements(
    conn: &mut PgConnection,
    tenant: Uuid,
    item_id: Uuid,
    most: i64,
) -> Result<Vec<MovementView>, sqlx::Error> {
    let rows = sqlx::query!(
        "select seq, delta, balance_after, reason, entered_quantity, entered_unit, actor, at
         from shop.stock_movements where tenant_id = $1 and item_id = $2
         order by seq desc limit $3",
        tenant,
        item_id,
        most
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| MovementView {
            seq: row.seq,
            delta: Exact(row.delta.normalize()),
            balance_after: Exact(row.balance_after.normalize()),
            reason: row.reason,
            entered: Measure::new(Exact(row.entered_quantity.normalize()), row.entered_unit),
            actor: row.actor,
            at: row.at,
        })
        .collect())
}
