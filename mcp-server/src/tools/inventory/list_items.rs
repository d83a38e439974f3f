//! `inventory_list_items`: items by name, or by likeness to a search text, a page at a time.

use std::collections::{BTreeMap, BTreeSet};

use contracts::failure::ToolFailure;
use contracts::locale::Locale;
use contracts::tools::inventory::{ListItems, ListItemsInput, ListItemsOutput};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::catalogue::likeness::Folded;
use crate::catalogue::lookup::names_near;
use crate::catalogue::ranking::{Ranked, is_shown, likeness, page_of};
use crate::catalogue::{AliasRow, Item, ItemRow, OwnUnitRow, load};
use crate::cursor;
use crate::error::CallError;
use crate::handler::{Call, ReadTool};
use crate::typed::{self, LABEL_CHARS_MAX, NAME_CHARS_MAX};
use crate::words::arguments::{self, Thing};
use crate::words::inventory::{self, Narrowed, Page};

/// How many names are ranked in a shop with too many to rank them all.
const NARROWED_TO: i32 = 500;

/// What the list is narrowed by, checked.
struct Filter {
    query: Option<String>,
    category: Option<String>,
    stock_below: Option<Decimal>,
    low_stock: bool,
}

/// Where a page starts: after this item. Without a search text items go by name, with one by likeness first.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Place {
    #[serde(rename = "n")]
    Named(String, Uuid),
    #[serde(rename = "r")]
    Ranked(Ranked),
}

impl ReadTool for ListItems {
    async fn read(
        call: &mut Call<'_>,
        input: ListItemsInput,
    ) -> Result<ListItemsOutput, CallError> {
        let filter = checked(&input, call.locale)?;
        let limit = typed::page_limit(input.limit, call.locale)?;
        let place = match &input.cursor {
            None => None,
            Some(text) => {
                Some(cursor::read(text).ok_or_else(|| arguments::bad_cursor(call.locale))?)
            }
        };
        let (items, next) = match (&filter.query, &place) {
            (None, None) => by_name(call, &filter, None, limit).await?,
            (None, Some(Place::Named(name, id))) => {
                by_name(call, &filter, Some((name, *id)), limit).await?
            }
            (Some(query), None) => by_likeness(call, &filter, query, None, limit).await?,
            (Some(query), Some(Place::Ranked(after))) => {
                by_likeness(call, &filter, query, Some(*after), limit).await?
            }
            (None, Some(Place::Ranked(..))) | (Some(_), Some(Place::Named(..))) => {
                return Err(arguments::bad_cursor(call.locale).into());
            }
        };
        let page = match (&place, &next) {
            (Some(_), _) => Page::Later,
            (None, Some(_)) => Page::First,
            (None, None) => Page::Only,
        };
        let (shop, locale) = (call.shop, call.locale);
        let is_price_list = call.caller.confined_to().is_some();
        let named = |item: &Item| {
            if is_price_list {
                let price = item.price_text(shop, locale);
                inventory::named_with_price(locale, &item.name, &price, item.supply())
            } else {
                inventory::named_with_stock(&item.name, &item.measure(item.on_hand))
            }
        };
        let listed = |item: &Item| {
            if is_price_list {
                item.on_price_list(shop, locale)
            } else {
                item.view(shop, locale).into()
            }
        };
        let names: Vec<String> = items.iter().map(named).collect();
        Ok(ListItemsOutput {
            summary: summary(&filter, &names, page, locale),
            items: items.iter().map(listed).collect(),
            next_cursor: next.map(|place| cursor::write(&place)),
        })
    }
}

fn checked(input: &ListItemsInput, locale: Locale) -> Result<Filter, ToolFailure> {
    let query = |text: &String| typed::line(text, Thing::Query, "query", NAME_CHARS_MAX, locale);
    let category = |text: &String| {
        typed::line(text, Thing::Category, "category", LABEL_CHARS_MAX, locale)
            .map(|category| category.to_lowercase())
    };
    if let Some(below) = input.stock_below
        && below.is_negative()
    {
        return Err(arguments::negative(locale, Thing::Quantity, "stock_below"));
    }
    Ok(Filter {
        query: input.query.as_ref().map(query).transpose()?,
        category: input.category.as_ref().map(category).transpose()?,
        stock_below: input.stock_below.map(|below| below.0),
        low_stock: input.low_stock,
    })
}

async fn by_name(
    call: &mut Call<'_>,
    filter: &Filter,
    after: Option<(&str, Uuid)>,
    limit: usize,
) -> Result<(Vec<Item>, Option<Place>), CallError> {
    let tenant = call.tenant();
    let mut rows = select_page(call.conn, tenant, filter, after, limit + 1).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let items: Vec<Item> = rows
        .into_iter()
        .map(Item::try_from)
        .collect::<Result<_, _>>()?;
    let next = items
        .last()
        .filter(|_| more)
        .map(|last| Place::Named(last.name_norm.clone(), last.id));
    Ok((items, next))
}

async fn by_likeness(
    call: &mut Call<'_>,
    filter: &Filter,
    query: &str,
    after: Option<Ranked>,
    limit: usize,
) -> Result<(Vec<Item>, Option<Place>), CallError> {
    let tenant = call.tenant();
    let names = names_near(call.conn, tenant, &[query.to_owned()], NARROWED_TO).await?;
    let mut scores: BTreeMap<Uuid, u16> = BTreeMap::new();
    let asked = Folded::new(query);
    for named in &names {
        let likeness = likeness(&asked, &Folded::new(&named.name));
        let best = scores.entry(named.id).or_default();
        *best = likeness.max(*best);
    }
    scores.retain(|_, likeness| is_shown(*likeness));
    if filter.narrows() {
        let ids: Vec<Uuid> = scores.keys().copied().collect();
        let kept: BTreeSet<Uuid> = select_kept(call.conn, tenant, filter, &ids)
            .await?
            .into_iter()
            .collect();
        scores.retain(|id, _| kept.contains(id));
    }
    let (ids, next) = page_of(&scores, after, limit);
    let items = load(call.conn, tenant, &ids).await?;
    Ok((items, next.map(Place::Ranked)))
}

impl Filter {
    fn narrows(&self) -> bool {
        self.category.is_some() || self.stock_below.is_some() || self.low_stock
    }
}

fn summary(filter: &Filter, named: &[String], page: Page, locale: Locale) -> String {
    let narrowed = Narrowed {
        query: filter.query.as_deref(),
        category: filter.category.as_deref(),
        below: filter
            .stock_below
            .map(|below| below.normalize().to_string()),
        low: filter.low_stock,
    };
    inventory::listed(locale, &narrowed, named, page)
}

/// A page with everything that belongs to its items: `$from` is the way to them, `$1` the tenant, `$2` to `$5` what `select_page` says. A
/// macro, because the three ways are three statements, each checked at compile time. One statement for all of them takes half as long again,
/// and a plan made for all would take the first way for every page.
macro_rules! page {
    ($from:tt, $conn:expr, $($argument:expr),+) => {
        sqlx::query_as!(
            ItemRow,
            r#"select i.id, i.name, i.name_norm, i.category, i.unit, i.unit_price, i.tax_bp, i.low_stock_level, i.sku, i.version,
                      l.on_hand, l.allow_negative, l.seq,
                      (select jsonb_agg(jsonb_build_object('name', a.name, 'locale', a.locale) order by a.name_norm)
                       from shop.item_aliases a where a.tenant_id = $1 and a.item_id = i.id) as "aliases?: Json<Vec<AliasRow>>",
                      (select jsonb_agg(jsonb_build_object('unit', u.unit, 'factor', u.factor::text) order by u.unit)
                       from shop.item_units u where u.tenant_id = $1 and u.item_id = i.id) as "units?: Json<Vec<OwnUnitRow>>"
               from "# + $from + r#"
                 and i.archived_at is null and ($2::numeric is null or l.on_hand < $2) and (i.name_norm, i.id) > ($3, $4)
               order by i.name_norm, i.id limit $5"#,
            $($argument),+
        )
        .fetch_all($conn)
        .await
    };
}

async fn select_page(
    conn: &mut PgConnection,
    tenant: Uuid,
    filter: &Filter,
    after: Option<(&str, Uuid)>,
    most: usize,
) -> Result<Vec<ItemRow>, sqlx::Error> {
    // No name sorts before nothing: the first page, too, is a range of the index.
    let (name, id) = after.unwrap_or(("", Uuid::nil()));
    let (below, most) = (filter.stock_below, i64::try_from(most).unwrap_or(i64::MAX));
    match &filter.category {
        Some(category) => page!(
            "shop.items i join shop.stock_levels l on l.tenant_id = $1 and l.item_id = i.id
             where i.tenant_id = $1 and i.category_norm = (select shop.norm($6)) and (not $7 or l.low)",
            conn, tenant, below, name, id, most, category, filter.low_stock
        ),
        None if filter.low_stock => page!(
            "shop.stock_levels l join shop.items i on i.tenant_id = $1 and i.id = l.item_id where l.tenant_id = $1 and l.low",
            conn, tenant, below, name, id, most
        ),
        None => page!(
            "shop.items i join shop.stock_levels l on l.tenant_id = $1 and l.item_id = i.id where i.tenant_id = $1",
            conn, tenant, below, name, id, most
        ),
    }
}

/// Which of these items the filter keeps.
async fn select_kept(
    conn: &mut PgConnection,
    tenant: Uuid,
    filter: &Filter,
    ids: &[Uuid],
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select i.id from shop.items i
         join shop.stock_levels l on l.tenant_id = $1 and l.item_id = i.id
         where i.tenant_id = $1 and i.archived_at is null and i.id = any($5)
           and ($2::text is null or i.category_norm = (select shop.norm($2)))
           and ($3::numeric is null or l.on_hand < $3)
           and (not $4 or l.low)",
        tenant,
        filter.category,
        filter.stock_below,
        filter.low_stock,
        ids
    )
    .fetch_all(conn)
    .await
}

#[cfg(test)]
mod tests {
    use contracts::tools::inventory::{AddItem, Supply};
    use contracts::tools::profile::CreateCustomer;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{World, refusal};

    async fn corner_shop() -> World {
        let world = World::new().await;
        for (name, category, quantity, low) in [
            ("Sugar", "grocery", "20", "5"),
            ("Brown sugar", "grocery", "2", "5"),
            ("Soap", "beauty", "2", "1"),
            ("Shampoo", "Beauty", "12", "12"),
            ("Éclair", "bakery", "0", "0"),
        ] {
            let item = json!({"name": name, "category": category, "unit_price": "100", "quantity": quantity, "low_stock_level": low});
            world.write::<AddItem>(item).await.unwrap();
        }
        world
    }

    async fn names(world: &World, input: Value) -> (Vec<String>, String) {
        let page = world.read::<ListItems>(input).await.unwrap();
        let names = page.items.into_iter().map(|item| item.name).collect();
        (names, page.summary)
    }

    #[tokio::test]
    async fn a_list_is_narrowed_and_says_how() {
        let mut world = corner_shop().await;
        for (input, expected, summary) in [
            (
                json!({}),
                vec!["Brown sugar", "Éclair", "Shampoo", "Soap", "Sugar"],
                "5 items: Brown sugar (2), Éclair (0), Shampoo (12), Soap (2), Sugar (20).",
            ),
            (
                json!({"stock_below": "5"}),
                vec!["Brown sugar", "Éclair", "Soap"],
                "3 items below 5: Brown sugar (2), Éclair (0), Soap (2).",
            ),
            (
                json!({"category": "BEAUTY"}),
                vec!["Shampoo", "Soap"],
                "2 items in beauty: Shampoo (12), Soap (2).",
            ),
            (
                json!({"low_stock": true}),
                vec!["Brown sugar", "Éclair", "Shampoo"],
                "3 items low in stock: Brown sugar (2), Éclair (0), Shampoo (12).",
            ),
            (
                json!({"query": "sugr"}),
                vec!["Sugar", "Brown sugar"],
                "2 items like sugr: Sugar (20), Brown sugar (2).",
            ),
            (
                json!({"query": "eclairs"}),
                vec!["Éclair"],
                "1 item like eclairs: Éclair (0).",
            ),
            (
                json!({"query": "sham"}),
                vec!["Shampoo"],
                "1 item like sham: Shampoo (12).",
            ),
            (
                json!({"query": "sugar", "stock_below": "5"}),
                vec!["Brown sugar"],
                "1 item below 5 like sugar: Brown sugar (2).",
            ),
            (
                json!({"category": "toys"}),
                vec![],
                "There are no items in toys.",
            ),
        ] {
            assert_eq!(
                names(&world, input).await,
                (
                    expected.iter().map(|&n| n.to_owned()).collect(),
                    summary.to_owned()
                )
            );
        }
        world.locale = Locale::Es;
        let (_, summary) = names(&world, json!({"stock_below": "1"})).await;
        assert_eq!(summary, "1 artículo por debajo de 1: Éclair (0).");
    }

    #[tokio::test]
    async fn to_a_customer_it_is_a_price_list() {
        let mut world = corner_shop().await;
        let ali = json!({"name": "Ali"});
        world.write::<CreateCustomer>(ali).await.unwrap();
        world.become_customer("Ali").await;
        let page = world.read::<ListItems>(json!({})).await.unwrap();
        assert_eq!(
            page.summary,
            "5 items: Brown sugar (RWF 100 each), Éclair (RWF 100 each, none left), Shampoo (RWF 100 each), Soap (RWF 100 each), \
             Sugar (RWF 100 each)."
        );
        let supplies: Vec<_> = page.items.iter().filter_map(|item| item.supply).collect();
        let (low, none, there) = (Supply::Low, Supply::None, Supply::InStock);
        assert_eq!(supplies, [low, none, low, there, there]);
        for item in page.items {
            assert_eq!((item.stock, item.version), (None, None), "{}", item.name);
            assert_eq!(
                (item.low_stock_level, item.sku),
                (None, None),
                "{}",
                item.name
            );
        }
    }

    async fn walk(world: &World, mut input: Value, limit: u32) -> Vec<String> {
        input["limit"] = json!(limit);
        let mut seen = Vec::new();
        for turn in 0..100 {
            let page = world.read::<ListItems>(input.clone()).await.unwrap();
            assert!(page.items.len() <= limit as usize);
            seen.extend(page.items.into_iter().map(|item| item.name));
            if turn == 1 {
                // What is added behind the reader is not shown again and shifts nothing.
                let before = json!({"name": "Aaa sugar", "unit_price": "1"});
                let _ = world.write::<AddItem>(before).await;
            }
            match page.next_cursor {
                Some(next) => input["cursor"] = json!(next),
                None => return seen,
            }
        }
        panic!("the list does not end");
    }

    #[tokio::test]
    async fn pages_show_every_item_once() {
        let world = World::new().await;
        let mut all: Vec<String> = (0..23).map(|i| format!("Sugar {i:02}")).collect();
        for name in &all {
            let item = json!({"name": name, "unit_price": "1"});
            world.write::<AddItem>(item).await.unwrap();
        }
        assert_eq!(walk(&world, json!({}), 5).await, all);
        let mut ranked = walk(&world, json!({"query": "sugar"}), 4).await;
        ranked.retain(|name| name != "Aaa sugar");
        ranked.sort();
        all.sort();
        assert_eq!(ranked, all);
    }

    #[tokio::test]
    async fn a_page_that_is_none_is_refused() {
        let world = corner_shop().await;
        let first = world.read::<ListItems>(json!({"limit": 1})).await.unwrap();
        let by_name = first.next_cursor.unwrap();
        for (input, field) in [
            (json!({"limit": 0}), "limit"),
            (json!({"limit": 101}), "limit"),
            (json!({"cursor": "x"}), "cursor"),
            (json!({"cursor": ""}), "cursor"),
            (json!({"cursor": by_name, "query": "sugar"}), "cursor"),
            (
                json!({"cursor": cursor::write(&Place::Named("a\0".to_owned(), Uuid::nil()))}),
                "cursor",
            ),
            (json!({"query": " "}), "query"),
            (json!({"stock_below": "-1"}), "stock_below"),
        ] {
            let failure = refusal(world.read::<ListItems>(input).await);
            assert_eq!(failure.field.as_deref(), Some(field), "{}", failure.message);
        }
    }
}
