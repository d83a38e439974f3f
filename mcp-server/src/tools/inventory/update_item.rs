//! `inventory_update_item`: stock by a difference, stock as counted, or other details of an item.

use contracts::failure::ToolFailure;
use contracts::locale::Locale;
use contracts::quantity::{Exact, Measure};
use contracts::tools::inventory::{
    Adjust, AdjustReason, Alias, Change, Count, ItemOutput, UpdateItem, UpdateItemInput,
};
use rust_decimal::Decimal;
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::details::{self, ALIASES_MAX, UNITS_MAX};
use crate::catalogue::likeness::Folded;
use crate::catalogue::{Asked, Entered, Item, OwnUnit, find_id, load_one};
use crate::error::CallError;
use crate::handler::{Audit, Call, Effected, Shop, WriteTool};
use crate::stock::{self, Level, Movement, Occasion, Reason, Wanted};
use crate::typed::{self, NAME_CHARS_MAX};
use crate::words;
use crate::words::arguments::{self, Thing};
use crate::words::inventory::{self, Changed, Purpose};

/// The one way in which the item changes.
enum Way {
    Adjust(Adjust),
    Count(Count),
    Change(Box<Change>),
}

impl WriteTool for UpdateItem {
    async fn write(
        call: &mut Call<'_>,
        input: UpdateItemInput,
    ) -> Result<Effected<ItemOutput>, CallError> {
        let way = match (input.adjust, input.count, input.change) {
            (Some(adjust), None, None) => Way::Adjust(adjust),
            (None, Some(count), None) => Way::Count(count),
            (None, None, Some(change)) => Way::Change(Box::new(change)),
            _ => return Err(inventory::one_way_only(call.locale).into()),
        };
        let asked = Asked {
            name: &input.item,
            field: "item",
        };
        let before = lock(call, asked).await?;
        let (summary, after) = match way {
            Way::Adjust(adjust) => adjust_stock(call, &before, &adjust).await?,
            Way::Count(count) => count_stock(call, &before, &count).await?,
            Way::Change(change) => change_details(call, &before, &change).await?,
        };
        let view = after.view(call.shop, call.locale);
        Ok(Effected {
            audit: Audit {
                subject: format!("item:{}", before.id),
                before: Some(json!(before.view(call.shop, call.locale))),
                after: Some(json!(view)),
            },
            output: ItemOutput {
                summary,
                item: view,
            },
            events: Vec::new(),
        })
    }
}

/// Finds the item and keeps everybody else from changing it or its stock until the commit.
async fn lock(call: &mut Call<'_>, asked: Asked<'_>) -> Result<Item, CallError> {
    let id = find_id(call, asked).await?;
    let tenant = call.tenant();
    stock::lock(call.conn, tenant, &[id]).await?;
    let on_sale = lock_fields(call.conn, tenant, id).await?;
    let item = load_one(call.conn, tenant, id).await?;
    if !on_sale {
        return Err(
            inventory::unknown_item(call.locale, &item.name, asked.field, Vec::new()).into(),
        );
    }
    Ok(item)
}

async fn adjust_stock(
    call: &mut Call<'_>,
    item: &Item,
    adjust: &Adjust,
) -> Result<(String, Item), CallError> {
    let locale = call.locale;
    let entered = adjustment(item, adjust, locale)?;
    let (reason, chosen) = reason_of(adjust, locale)?;
    let movement = Movement {
        item_id: item.id,
        delta: entered.quantity.0,
        entered_quantity: entered.entered.quantity.0,
        entered_unit: entered.entered.unit.clone(),
    };
    move_stock(call, reason, movement).await?;
    let moved = Measure::new(
        Exact(entered.entered.quantity.0.abs()),
        entered.entered.unit.clone(),
    );
    let after = item.moved(entered.quantity.0);
    let summary = inventory::adjusted(
        locale,
        &item.name,
        &moved,
        entered.quantity.is_positive(),
        chosen,
        &item.measure(after.on_hand),
    );
    Ok((summary, after))
}

/// The difference in the item's unit, checked against what is on hand.
fn adjustment(item: &Item, adjust: &Adjust, locale: Locale) -> Result<Entered, ToolFailure> {
    const FIELD: &str = "adjust.delta";
    if adjust.delta == Exact::ZERO {
        return Err(inventory::no_difference(locale));
    }
    let entered = item.counting().read(
        adjust.delta,
        adjust.unit.as_deref(),
        FIELD,
        "adjust.unit",
        locale,
    )?;
    stock::fits(item.on_hand, entered.quantity.0, FIELD, locale)?;
    if entered.quantity.is_negative() {
        let out = Entered {
            quantity: Exact(-entered.quantity.0),
            entered: Measure::new(
                Exact(-entered.entered.quantity.0),
                entered.entered.unit.clone(),
            ),
        };
        let wanted = [Wanted {
            item,
            entered: &out,
            level: Level {
                on_hand: item.on_hand,
                allow_negative: item.allow_negative,
            },
            field: FIELD,
        }];
        if let Some(short) = stock::shortage(&wanted) {
            return Err(stock::insufficient(locale, short, Purpose::Adjustment));
        }
    }
    Ok(entered)
}

fn reason_of(adjust: &Adjust, locale: Locale) -> Result<(Reason, AdjustReason), ToolFailure> {
    let comes_in = adjust.delta.is_positive();
    let chosen = adjust.reason.unwrap_or(if comes_in {
        AdjustReason::Purchase
    } else {
        AdjustReason::Waste
    });
    let (reason, fits) = match chosen {
        AdjustReason::Purchase => (Reason::Purchase, comes_in),
        AdjustReason::Return => (Reason::Return, comes_in),
        AdjustReason::Waste => (Reason::Waste, !comes_in),
    };
    if fits {
        Ok((reason, chosen))
    } else {
        Err(inventory::reason_mismatch(locale, chosen))
    }
}

async fn count_stock(
    call: &mut Call<'_>,
    item: &Item,
    count: &Count,
) -> Result<(String, Item), CallError> {
    let locale = call.locale;
    if count.quantity.is_negative() {
        return Err(arguments::negative(locale, Thing::Quantity, "count.quantity").into());
    }
    let counted = item.counting().read(
        count.quantity,
        count.unit.as_deref(),
        "count.quantity",
        "count.unit",
        locale,
    )?;
    stock::fits(Exact::ZERO, counted.quantity.0, "count.quantity", locale)?;
    if count.expected_version != item.version() {
        let existing = item.candidate(call.shop, locale);
        return Err(inventory::version_conflict(locale, existing, item.version()).into());
    }
    let delta = counted.quantity.0 - item.on_hand.0;
    let mut after = item.clone();
    if !delta.is_zero() {
        let movement = Movement {
            item_id: item.id,
            delta,
            entered_quantity: counted.entered.quantity.0,
            entered_unit: counted.entered.unit.clone(),
        };
        move_stock(call, Reason::Count, movement).await?;
        after = item.moved(delta);
    }
    let more = (!delta.is_zero()).then_some(delta > Decimal::ZERO);
    let difference = item.measure(Exact(delta.abs().normalize()));
    let summary = inventory::counted(locale, &item.name, &counted.entered, &difference, more);
    Ok((summary, after))
}

async fn move_stock(
    call: &mut Call<'_>,
    reason: Reason,
    movement: Movement,
) -> Result<(), CallError> {
    let occasion = Occasion {
        reason,
        bill_id: None,
        actor: &call.caller.subject,
        at: call.now,
    };
    let tenant = call.tenant();
    stock::apply(call.conn, tenant, occasion, &[movement], call.locale).await
}

/// New values of the fields, checked.
#[derive(Default)]
struct Fields {
    name: Option<String>,
    category: Option<String>,
    unit_price_minor: Option<Decimal>,
    low_stock_level: Option<Exact>,
    sku: Option<String>,
    aliases: Vec<Alias>,
    units: Vec<OwnUnit>,
}

async fn change_details(
    call: &mut Call<'_>,
    item: &Item,
    change: &Change,
) -> Result<(String, Item), CallError> {
    let fields = checked(item, change, call.shop, call.locale)?;
    let said = said(&fields, item, call.shop, call.locale);
    if said.is_empty() {
        return Err(inventory::nothing_to_change(call.locale).into());
    }
    let name = fields.name.as_deref().map(|name| (name, "change.name"));
    let sku = fields.sku.as_deref().map(|sku| (sku, "change.sku"));
    details::refuse_taken(call, name, sku, Some(item.id)).await?;
    let tenant = call.tenant();
    update(call.conn, tenant, item.id, &fields)
        .await
        .map_err(|error| details::map_taken(error, call.locale, "change."))?;
    details::insert_aliases(call.conn, tenant, item.id, &fields.aliases).await?;
    details::upsert_units(call.conn, tenant, item.id, &fields.units).await?;
    let after = load_one(call.conn, tenant, item.id).await?;
    Ok((inventory::changed(call.locale, &item.name, &said), after))
}

fn checked(
    item: &Item,
    change: &Change,
    shop: &Shop,
    locale: Locale,
) -> Result<Fields, ToolFailure> {
    typed::same_currency(change.currency.as_deref(), shop, "change.currency", locale)?;
    let name = |name: &String| {
        typed::line(name, Thing::Name, "change.name", NAME_CHARS_MAX, locale)
            .map(typed::capitalised)
    };
    let price = |price| typed::unit_price_minor(price, shop, "change.unit_price", locale);
    let level = |level| details::low_stock_level(level, "change.low_stock_level", locale);
    let fields = Fields {
        name: change.name.as_ref().map(name).transpose()?,
        category: change
            .category
            .as_ref()
            .map(|text| details::category(text, "change.category", locale))
            .transpose()?,
        unit_price_minor: change.unit_price.map(price).transpose()?,
        low_stock_level: change.low_stock_level.map(level).transpose()?,
        sku: change
            .sku
            .as_ref()
            .map(|text| details::sku(text, "change.sku", locale))
            .transpose()?,
        aliases: details::aliases(&change.add_aliases, "change.add_aliases", locale)?,
        units: known_spelling(
            item,
            details::units(
                &change.add_units,
                item.unit,
                &item.name,
                "change.add_units",
                locale,
            )?,
        ),
    };
    refuse_too_many(item, &fields, locale)?;
    Ok(fields)
}

/// A unit the item has already keeps the spelling it has, so that it is replaced and not doubled: cajon is cajón.
fn known_spelling(item: &Item, mut units: Vec<OwnUnit>) -> Vec<OwnUnit> {
    for unit in &mut units {
        let name = Folded::new(&unit.unit);
        let known = item
            .units
            .iter()
            .find(|own| Folded::new(&own.unit).words() == name.words());
        if let Some(known) = known {
            unit.unit.clone_from(&known.unit);
        }
    }
    units
}

fn refuse_too_many(item: &Item, fields: &Fields, locale: Locale) -> Result<(), ToolFailure> {
    if item.aliases.len() + fields.aliases.len() > ALIASES_MAX {
        return Err(arguments::too_many(
            locale,
            "change.add_aliases",
            ALIASES_MAX,
        ));
    }
    let new = fields
        .units
        .iter()
        .filter(|unit| !item.units.iter().any(|own| own.unit == unit.unit))
        .count();
    if item.units.len() + new > UNITS_MAX {
        return Err(arguments::too_many(locale, "change.add_units", UNITS_MAX));
    }
    Ok(())
}

fn said(fields: &Fields, item: &Item, shop: &Shop, locale: Locale) -> Vec<Changed> {
    let price = |minor: &Decimal| words::unit_price(locale, *minor, shop.currency, item.unit.code);
    let names = |names: &[Alias]| names.iter().map(|a| a.name.clone()).collect();
    let units = |units: &[OwnUnit]| units.iter().map(|u| u.unit.clone()).collect();
    [
        fields.name.clone().map(Changed::Name),
        fields.category.clone().map(Changed::Category),
        fields
            .unit_price_minor
            .as_ref()
            .map(price)
            .map(Changed::Price),
        fields
            .low_stock_level
            .map(|level| Changed::LowStockLevel(item.measure(level).text)),
        fields.sku.clone().map(Changed::Sku),
        (!fields.aliases.is_empty()).then(|| Changed::Aliases(names(&fields.aliases))),
        (!fields.units.is_empty()).then(|| Changed::Units(units(&fields.units))),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Locks the item's own row; `false` when it is no longer on sale.
async fn lock_fields(
    conn: &mut PgConnection,
    tenant: Uuid,
    item_id: Uuid,
) -> Result<bool, sqlx::Error> {
    let row = sqlx::query_scalar!(
        "select version from shop.items where tenant_id = $1 and id = $2 and archived_at is null for no key update",
        tenant,
        item_id
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.is_some())
}

async fn update(
    conn: &mut PgConnection,
    tenant: Uuid,
    item_id: Uuid,
    fields: &Fields,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "with item as (
             update shop.items
             set name = coalesce($3, name), category = coalesce($4, category), unit_price = coalesce($5, unit_price),
                 low_stock_level = coalesce($6, low_stock_level), sku = coalesce($7, sku), version = version + 1
             where tenant_id = $1 and id = $2
             returning low_stock_level
         )
         update shop.stock_levels l set low_at = item.low_stock_level from item
         where l.tenant_id = $1 and l.item_id = $2 and l.low_at is distinct from item.low_stock_level",
        tenant,
        item_id,
        fields.name,
        fields.category,
        fields.unit_price_minor,
        fields.low_stock_level.map(|level| level.0),
        fields.sku
    )
    .execute(conn)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use contracts::failure::FailureCode;
    use contracts::tools::inventory::{AddItem, GetItem};
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{World, refusal};

    async fn shop_with_flour() -> World {
        let world = World::new().await;
        let flour = json!({"name": "Flour", "unit": "kg", "unit_price": "900", "quantity": "50",
                           "units": [{"unit": "bag", "quantity": "25"}]});
        world.write::<AddItem>(flour).await.unwrap();
        world
    }

    async fn updated(world: &World, way: &str, value: Value) -> Result<ItemOutput, CallError> {
        world
            .write::<UpdateItem>(json!({"item": "flour", way: value}))
            .await
    }

    #[tokio::test]
    async fn stock_goes_up_and_down_by_a_difference() {
        let mut world = shop_with_flour().await;
        for (adjust, summary) in [
            (
                json!({"delta": "25", "unit": "kg"}),
                "Flour: 25 kg added, 75 kg in stock.",
            ),
            (
                json!({"delta": "-500", "unit": "g"}),
                "Flour: 500 g written off, 74.5 kg in stock.",
            ),
            (
                json!({"delta": "1", "unit": "bags", "reason": "return"}),
                "Flour: 1 bag returned, 99.5 kg in stock.",
            ),
        ] {
            let output = updated(&world, "adjust", adjust).await.unwrap();
            assert_eq!(output.summary, summary);
            let shown = world.read::<GetItem>(json!({"item": "flour"})).await;
            assert_eq!(output.item, shown.unwrap().item, "as the next read has it");
        }
        world.locale = Locale::Es;
        let output = updated(&world, "adjust", json!({"delta": "25"}))
            .await
            .unwrap();
        assert_eq!(
            output.summary,
            "Flour: 25 kg añadidos, 124.5 kg en existencia."
        );
        assert_eq!(output.item.stock.text, "124.5 kg");
    }

    #[tokio::test]
    async fn more_than_is_there_cannot_be_taken_out() {
        let world = shop_with_flour().await;
        let failure =
            refusal(updated(&world, "adjust", json!({"delta": "-3", "unit": "bag"})).await);
        assert_eq!(failure.code, FailureCode::InsufficientStock);
        assert_eq!(
            failure.message,
            "Only 2 bags of Flour in stock. Would you like to take out 2 bags instead?"
        );
        assert_eq!(
            failure.candidates[0].stock.as_ref().unwrap().quantity,
            Exact::from(2)
        );
    }

    #[tokio::test]
    async fn a_shop_that_may_owe_goods_goes_below_zero() {
        let world = World::with(|shop| shop.allow_negative_stock = true).await;
        let flour = json!({"name": "Flour", "unit": "kg", "unit_price": "900"});
        world.write::<AddItem>(flour).await.unwrap();
        let output = updated(&world, "adjust", json!({"delta": "-3"}))
            .await
            .unwrap();
        assert_eq!(output.item.stock.text, "-3 kg");
    }

    #[tokio::test]
    async fn a_count_holds_only_for_the_version_it_was_made_at() {
        let world = shop_with_flour().await;
        let count = |quantity: &str, version: i64| json!({"quantity": quantity, "expected_version": version});
        let output = updated(&world, "count", count("48.5", 2)).await.unwrap();
        assert_eq!(
            output.summary,
            "Flour: counted 48.5 kg, 1.5 kg less than recorded."
        );
        assert_eq!(
            (output.item.version, output.item.stock.text.as_str()),
            (3, "48.5 kg")
        );

        let failure = refusal(updated(&world, "count", count("48", 2)).await);
        assert_eq!(failure.code, FailureCode::VersionConflict);
        assert!(
            failure.hint.contains("expected_version 3"),
            "{}",
            failure.hint
        );

        let output = updated(&world, "count", count("48.5", 3)).await.unwrap();
        assert_eq!(output.summary, "Flour: counted 48.5 kg, as recorded.");
        assert_eq!(output.item.version, 3, "nothing moved");
        updated(&world, "change", json!({"unit_price": "950"}))
            .await
            .unwrap();
        let failure = refusal(updated(&world, "count", count("1", 3)).await);
        assert_eq!(failure.code, FailureCode::VersionConflict);
        let output = updated(&world, "count", count("0", 4)).await.unwrap();
        assert_eq!(output.item.stock.text, "0 kg");
    }

    #[tokio::test]
    async fn details_change_and_the_rest_stays() {
        let world = shop_with_flour().await;
        let change = json!({"name": "wheat flour", "unit_price": "950", "category": "Baking", "low_stock_level": "60", "sku": "F-1",
                            "add_aliases": [{"name": "harina"}, {"name": "Harina"}], "add_units": [{"unit": "Bag", "quantity": "20"}]});
        let output = updated(&world, "change", change).await.unwrap();
        assert_eq!(
            output.summary,
            "Flour: name now Wheat flour, category now baking, price now RWF 950 per kg, low from 60 kg down, code now F-1, \
             also called harina and Harina, also given in bag."
        );
        let found = world
            .read::<GetItem>(json!({"item": "harina"}))
            .await
            .unwrap()
            .item;
        assert_eq!(found, output.item);
        assert!(found.low);
        assert_eq!(found.units.len(), 1, "the bag was replaced");
        assert_eq!(found.units[0].quantity, Exact::from(20));
        assert_eq!(found.aliases.len(), 1, "one name in two spellings");
        assert_eq!(found.version, 3);
    }

    #[tokio::test]
    async fn a_name_that_is_taken_is_refused() {
        let world = shop_with_flour().await;
        let salt = json!({"name": "Salt", "unit": "kg", "unit_price": "1", "sku": "S-1"});
        world.write::<AddItem>(salt).await.unwrap();
        for (change, field) in [
            (json!({"name": "SALT"}), "change.name"),
            (json!({"sku": "S-1"}), "change.sku"),
        ] {
            let failure = refusal(updated(&world, "change", change).await);
            assert_eq!(failure.code, FailureCode::AlreadyExists);
            assert_eq!(failure.field.as_deref(), Some(field));
        }
        updated(&world, "change", json!({"name": "FLOUR"}))
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn what_makes_no_sense_is_refused_with_the_argument_named() {
        let world = shop_with_flour().await;
        let many: Vec<Value> = (0..21)
            .map(|i| json!({"name": format!("flour {i}")}))
            .collect();
        for (way, value, field) in [
            ("adjust", json!({"delta": "0"}), "adjust.delta"),
            (
                "adjust",
                json!({"delta": "1", "unit": "litres"}),
                "adjust.unit",
            ),
            (
                "adjust",
                json!({"delta": "1", "reason": "waste"}),
                "adjust.reason",
            ),
            (
                "adjust",
                json!({"delta": "-1", "reason": "purchase"}),
                "adjust.reason",
            ),
            (
                "adjust",
                json!({"delta": "999999999999", "unit": "bag"}),
                "adjust.delta",
            ),
            (
                "count",
                json!({"quantity": "-1", "expected_version": 2}),
                "count.quantity",
            ),
            ("change", json!({}), "change"),
            ("change", json!({"unit_price": "-5"}), "change.unit_price"),
            (
                "change",
                json!({"unit_price": "5", "currency": "EUR"}),
                "change.currency",
            ),
            ("change", json!({"name": ""}), "change.name"),
            ("change", json!({"add_aliases": many}), "change.add_aliases"),
            (
                "change",
                json!({"add_units": [{"unit": "sack", "quantity": "-1"}]}),
                "change.add_units[0].quantity",
            ),
        ] {
            let failure = refusal(updated(&world, way, value).await);
            assert_eq!(failure.field.as_deref(), Some(field), "{}", failure.message);
        }
        let both = json!({"item": "flour", "adjust": {"delta": "1"}, "change": {"name": "x"}});
        for input in [both, json!({"item": "flour"})] {
            let failure = refusal(world.write::<UpdateItem>(input).await);
            assert_eq!(failure.code, FailureCode::InvalidArguments);
        }
    }

    #[tokio::test]
    async fn a_level_at_the_end_of_its_column_is_refused_and_never_a_fault() {
        let world = shop_with_flour().await;
        world
            .arrange(
                "update shop.stock_levels set on_hand = 99999999999999;
                 update shop.stock_movements set delta = 99999999999999, balance_after = 99999999999999",
            )
            .await;
        let failure = refusal(updated(&world, "adjust", json!({"delta": "1"})).await);
        assert_eq!(failure.message, "The quantity is too large.");
    }
}
