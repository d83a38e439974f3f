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

#[cfg(test)]
mod tests {
    use contracts::failure::FailureCode;
    use contracts::tools::inventory::{AddItem, UpdateItem};
    use serde_json::json;

    use super::*;
    use crate::testing::{World, refusal};

    async fn shop_with(names: &[&str]) -> World {
        let world = World::new().await;
        for name in names {
            let item = json!({"name": name, "unit_price": "100", "quantity": "3"});
            world.write::<AddItem>(item).await.unwrap();
        }
        world
    }

    #[tokio::test]
    async fn an_item_answers_to_whatever_it_is_called() {
        let world = shop_with(&["Flour", "Egg", "Azúcar morena", "Shampoo"]).await;
        let milk = json!({"name": "Milk", "unit": "l", "unit_price": "700", "quantity": "4", "sku": "M-1",
                          "aliases": [{"name": "leche entera", "locale": "es"}, {"name": "amata"}]});
        let id = world.write::<AddItem>(milk).await.unwrap().item.id;
        for (asked, name) in [
            ("MILK", "Milk"),
            ("leche entera", "Milk"),
            ("Amata", "Milk"),
            ("m-1", "Milk"),
            (&id.to_string(), "Milk"),
            ("eggs", "Egg"),
            ("flower", "Flour"),
            ("shampo", "Shampoo"),
            ("azucar morena", "Azúcar morena"),
            ("azucar", "Azúcar morena"),
        ] {
            let found = world.read::<GetItem>(json!({"item": asked})).await.unwrap();
            assert_eq!(found.item.name, name, "{asked}");
        }
        let found = world.read::<GetItem>(json!({"item": "milk"})).await;
        assert_eq!(
            found.unwrap().summary,
            "Milk: 4 l in stock at RWF 700 per l."
        );
    }

    #[tokio::test]
    async fn what_could_be_several_or_none_is_asked_with_candidates() {
        let world = shop_with(&["White rice", "Brown rice", "Sugar", "Pea"]).await;
        let failure = refusal(world.read::<GetItem>(json!({"item": "rice"})).await);
        assert_eq!(failure.code, FailureCode::AmbiguousItem);
        assert_eq!(
            failure.message,
            "Which rice do you mean: White rice or Brown rice?"
        );
        assert_eq!(failure.candidates[0].price.as_deref(), Some("RWF 100 each"));
        assert_eq!(failure.candidates[0].stock.as_ref().unwrap().text, "3");

        let failure = refusal(world.read::<GetItem>(json!({"item": "tea"})).await);
        assert_eq!(failure.code, FailureCode::UnknownItem);
        assert_eq!(
            failure.message,
            "There is no item called tea. Did you mean Pea?"
        );
        assert_eq!(failure.field.as_deref(), Some("item"));

        let failure = refusal(world.read::<GetItem>(json!({"item": "umbrella"})).await);
        assert_eq!(failure.candidates, []);
    }

    #[tokio::test]
    async fn the_shop_next_door_is_not_there() {
        let mut world = shop_with(&["Sugar"]).await;
        let id = world
            .read::<GetItem>(json!({"item": "sugar"}))
            .await
            .unwrap()
            .item
            .id;
        world.stand_in(world.neighbour().await);
        for asked in ["Sugar", &id.to_string()] {
            let failure = refusal(world.read::<GetItem>(json!({"item": asked})).await);
            assert_eq!(failure.code, FailureCode::UnknownItem);
            assert_eq!(failure.candidates, []);
        }
    }

    #[tokio::test]
    async fn a_shop_with_thousands_of_names_is_searched_in_the_database() {
        let world = shop_with(&["Sugar", "Flour"]).await;
        world
            .arrange(
                "with more as (
                     insert into shop.items (tenant_id, id, name, unit, unit_price, created_at)
                     select t.id, gen_random_uuid(), 'Part ' || md5(n::text), 'each', 1, t.created_at
                     from shop.tenants t, generate_series(1, 5100) n returning tenant_id, id)
                 insert into shop.stock_levels (tenant_id, item_id) select tenant_id, id from more",
            )
            .await;
        let found = world.read::<GetItem>(json!({"item": "sugr"})).await;
        assert_eq!(found.unwrap().item.name, "Sugar");
    }

    #[tokio::test]
    async fn the_last_movements_are_shown_newest_first() {
        let world = shop_with(&["Soap"]).await;
        for _ in 0..21 {
            let more = json!({"item": "soap", "adjust": {"delta": "1"}});
            world.write::<UpdateItem>(more).await.unwrap();
        }
        let found = world.read::<GetItem>(json!({"item": "soap"})).await;
        let found = found.unwrap();
        let seqs: Vec<i64> = found.movements.iter().map(|m| m.seq).collect();
        assert_eq!(seqs, (3..=22).rev().collect::<Vec<_>>());
        assert_eq!(found.movements[0].balance_after, found.item.stock.quantity);
    }
}
