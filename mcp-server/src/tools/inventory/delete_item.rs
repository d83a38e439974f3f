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
            events: Vec::new(),
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

#[cfg(test)]
mod tests {
    use contracts::failure::FailureCode;
    use contracts::locale::Locale;
    use contracts::tools::billing::{CreateBill, GetBill, VoidBill};
    use contracts::tools::inventory::{AddItem, GetItem, ListItems};

    use super::*;
    use crate::testing::{World, refusal};

    async fn shop_with_soap() -> World {
        let world = World::new().await;
        let soap = json!({"name": "Soap", "unit_price": "300", "quantity": "12"});
        world.write::<AddItem>(soap).await.unwrap();
        world
    }

    #[tokio::test]
    async fn an_item_is_archived_and_its_bills_stay() {
        let mut world = shop_with_soap().await;
        let paid =
            json!({"lines": [{"item": "soap", "quantity": "1"}], "payment": {"method": "cash"}});
        let bill = world.agree::<CreateBill>(paid).await.unwrap();
        let asked = world
            .ask::<DeleteItem>(json!({"item": "soaps"}))
            .await
            .unwrap();
        assert_eq!(
            asked.message,
            "Are you sure you want to remove Soap (11 in stock)? Its history and old bills stay. Reply 'yes' to confirm."
        );
        let done = world
            .agree::<DeleteItem>(json!({"item": "soap"}))
            .await
            .unwrap();
        assert_eq!(done.summary, "Removed Soap.");
        assert_eq!(world.read::<ListItems>(json!({})).await.unwrap().items, []);
        assert_eq!(
            world
                .read::<ListItems>(json!({"query": "soap"}))
                .await
                .unwrap()
                .items,
            []
        );
        let id = done.item.id.to_string();
        for name in ["soap", &id] {
            let failure = refusal(world.read::<GetItem>(json!({"item": name})).await);
            assert_eq!(failure.code, FailureCode::UnknownItem);
        }
        world.locale = Locale::En;
        let read = world.read::<GetBill>(json!({"bill": "1"})).await.unwrap();
        assert_eq!(read.bill, bill.bill);
    }

    #[tokio::test]
    async fn an_item_on_an_open_bill_stays() {
        let world = shop_with_soap().await;
        for _ in 0..7 {
            let bill = json!({"lines": [{"item": "soap", "quantity": "1"}]});
            world.agree::<CreateBill>(bill).await.unwrap();
        }
        let failure = refusal(world.ask::<DeleteItem>(json!({"item": "soap"})).await);
        assert_eq!(failure.code, FailureCode::ItemInUse);
        assert_eq!(
            failure.message,
            "Soap is on open bills INV-1, INV-2, INV-3, INV-4 and INV-5, among others. It can be removed when they are paid or void."
        );
        for number in 1..=6 {
            world
                .agree::<VoidBill>(json!({"bill": number.to_string()}))
                .await
                .unwrap();
        }
        let failure = refusal(world.ask::<DeleteItem>(json!({"item": "soap"})).await);
        assert_eq!(
            failure.message,
            "Soap is on open bill INV-7. It can be removed when that bill is paid or void."
        );
        world.agree::<VoidBill>(json!({"bill": "7"})).await.unwrap();
        world
            .agree::<DeleteItem>(json!({"item": "soap"}))
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_bill_written_since_the_answer_keeps_the_item() {
        let world = shop_with_soap().await;
        let asked = world
            .ask::<DeleteItem>(json!({"item": "soap"}))
            .await
            .unwrap();
        let bill = json!({"lines": [{"item": "soap", "quantity": "1"}]});
        world.agree::<CreateBill>(bill).await.unwrap();
        let mut transaction = world.begin().await;
        let input = DeleteItemInput {
            item: "soap".to_owned(),
        };
        let failure = refusal(
            world
                .execute_in::<DeleteItem>(&mut transaction, input, asked.plan)
                .await,
        );
        assert_eq!(failure.code, FailureCode::ItemInUse);
    }
}
