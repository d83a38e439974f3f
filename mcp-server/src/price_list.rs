//! What the shop sells and for how much, as one document: for programs as JSON, for people and models as Markdown.

use contracts::money::from_minor;
use contracts::quantity::Exact;
use contracts::resources::{PriceList, PricedItem};
use contracts::tools::inventory::UnitPrice;
use rust_decimal::Decimal;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::CallError;
use crate::handler::Call;
use crate::words::{self, reading};

/// Most items of one list; a longer one says how to come to the rest.
const ITEMS_MAX: i64 = 1_000;
/// Most bytes of a list's items as JSON: what is read at once has to fit a model's attention.
const BYTES_MAX: usize = 48 * 1024;

/// The list, or what of it belongs to one category. A category that nothing is in gives an empty list.
///
/// # Errors
/// When the database fails.
pub(crate) async fn read(
    call: &mut Call<'_>,
    category: Option<&str>,
) -> Result<PriceList, CallError> {
    let tenant = call.tenant();
    let rows = select(call.conn, tenant, category, ITEMS_MAX + 1).await?;
    let found = rows.len();
    let mut items = Vec::with_capacity(found);
    let mut bytes = 0;
    for row in rows {
        let item = priced(row, call);
        bytes += serde_json::to_vec(&item).map_or(BYTES_MAX, |json| json.len());
        if bytes > BYTES_MAX || i64::try_from(items.len()).is_ok_and(|n| n >= ITEMS_MAX) {
            break;
        }
        items.push(item);
    }
    let is_whole = items.len() == found;
    Ok(PriceList {
        shop: call.shop.name.clone(),
        currency: call.shop.currency,
        tax_inclusive: call.shop.tax_inclusive,
        language: call.locale,
        category: category.map(str::to_owned),
        hint: (!is_whole)
            .then(|| reading::more_prices(call.locale, items.len(), category.is_some())),
        items,
    })
}

fn priced(row: Row, call: &Call<'_>) -> PricedItem {
    let price_minor = row.unit_price.normalize();
    PricedItem {
        unit_price: UnitPrice {
            amount: Exact(from_minor(price_minor, call.shop.currency).normalize()),
            currency: call.shop.currency,
            text: words::unit_price(call.locale, price_minor, call.shop.currency, &row.unit),
            unit: row.unit,
        },
        name: row.name,
        category: row.category,
    }
}

/// The categories of what is on sale, after one of them, in order; those without one are in none.
///
/// # Errors
/// When the database fails.
pub(crate) async fn categories(
    call: &mut Call<'_>,
    after: &str,
    most: i64,
) -> Result<Vec<String>, CallError> {
    let tenant = call.tenant();
    Ok(select_categories(call.conn, tenant, after, most).await?)
}

struct Row {
    name: String,
    category: String,
    unit: String,
    unit_price: Decimal,
}

/// By category, then by name, as the index of categories has them.
async fn select(
    conn: &mut PgConnection,
    tenant: Uuid,
    category: Option<&str>,
    most: i64,
) -> Result<Vec<Row>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        r#"(select i.name as "name!", i.category as "category!", i.unit as "unit!", i.unit_price as "unit_price!"
            from shop.items i
            where $2::text is null and i.tenant_id = $1 and i.archived_at is null
            order by i.category_norm, i.name_norm limit $3)
           union all
           (select i.name, i.category, i.unit, i.unit_price from shop.items i
            where $2::text is not null and i.tenant_id = $1 and i.archived_at is null and i.category_norm = (select shop.norm($2))
            order by i.name_norm limit $3)"#,
        tenant,
        category,
        most
    )
    .fetch_all(conn)
    .await
}

/// One look into the index per category, however many items each has.
async fn select_categories(
    conn: &mut PgConnection,
    tenant: Uuid,
    after: &str,
    most: i64,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"with recursive each (category, norm, place) as (
               (select i.category, i.category_norm, 1::bigint from shop.items i
                where i.tenant_id = $1 and i.archived_at is null and i.category_norm > (select shop.norm($2))
                order by i.category_norm, i.name_norm limit 1)
               union all
               (select next.category, next.category_norm, each.place + 1 from each
                cross join lateral (
                    select i.category, i.category_norm from shop.items i
                    where i.tenant_id = $1 and i.archived_at is null and i.category_norm > each.norm
                    order by i.category_norm, i.name_norm limit 1
                ) next
                where each.place < $3)
           )
           select category as "category!" from each order by place"#,
        tenant,
        after,
        most
    )
    .fetch_all(conn)
    .await
}

#[cfg(test)]
mod tests {
    use contracts::locale::Locale;
    use contracts::tools::inventory::AddItem;
    use serde_json::json;

    use super::*;
    use crate::testing::World;

    async fn shop() -> World {
        let world = World::new().await;
        for (name, category, unit, price) in [
            ("Sugar", "grocery", "kg", "160"),
            ("Soap", "Beauty", "each", "250"),
            ("Éclair", "", "each", "500"),
            ("Salt", "grocery", "kg", "90.5"),
        ] {
            let item = json!({"name": name, "category": category, "unit": unit, "unit_price": price, "quantity": "7"});
            world.write::<AddItem>(item).await.unwrap();
        }
        world
    }

    #[tokio::test]
    async fn the_list_goes_by_category_and_says_prices_as_people_do() {
        let mut world = shop().await;
        world.locale = Locale::Es;
        let mut tx = world.begin().await;
        let mut call = world.call(&mut tx);
        let list = read(&mut call, None).await.unwrap();
        let said: Vec<String> = list
            .items
            .iter()
            .map(|i| format!("{}/{}: {}", i.category, i.name, i.unit_price.text))
            .collect();
        assert_eq!(
            said,
            [
                "/Éclair: RWF 500 c/u",
                "beauty/Soap: RWF 250 c/u",
                "grocery/Salt: RWF 90.5 por kg",
                "grocery/Sugar: RWF 160 por kg"
            ]
        );
        assert_eq!(list.hint, None);
        assert!(!serde_json::to_string(&list).unwrap().contains("stock"));
        let some = read(&mut call, Some("GROCERY")).await.unwrap();
        assert_eq!(some.items.len(), 2);
        assert_eq!(read(&mut call, Some("toys")).await.unwrap().items, []);
        let all = categories(&mut call, "", 10).await.unwrap();
        assert_eq!(all, ["beauty", "grocery"]);
        let rest = categories(&mut call, "beauty", 10).await.unwrap();
        assert_eq!(rest, ["grocery"]);
        let first = categories(&mut call, "", 1).await.unwrap();
        assert_eq!(first, ["beauty"]);
        assert!(reading::price_list(&list).contains("| Soap | RWF 250 c/u |"));
    }

    #[tokio::test]
    async fn a_long_list_ends_within_its_bounds_and_says_where_the_rest_is() {
        let world = World::new().await;
        world
            .arrange(
                "insert into shop.items (tenant_id, id, name, category, unit, unit_price, created_at)
                 select t.id, gen_random_uuid(), 'Item ' || repeat('x', 60) || n, 'grocery', 'each', 100, now()
                 from shop.tenants t, generate_series(1, 1500) n where t.name = 'Kimironko Corner'",
            )
            .await;
        let mut tx = world.begin().await;
        let mut call = world.call(&mut tx);
        let list = read(&mut call, None).await.unwrap();
        assert!(list.items.len() > 100 && list.items.len() < 1000);
        let size = serde_json::to_vec(&list).unwrap().len();
        assert!(size < crate::server::RESULT_BYTES_MAX, "{size} bytes");
        assert!(list.hint.unwrap().contains("countersign://price-list/"));
        let one = read(&mut call, Some("grocery")).await.unwrap();
        assert!(one.hint.unwrap().contains("inventory_list_items"));
    }
}
