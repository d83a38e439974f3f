//! `inventory_add_item`: a new item with its price and what is on the shelf.

use contracts::failure::ToolFailure;
use contracts::locale::Locale;
use contracts::quantity::{Exact, Measure};
use contracts::tools::inventory::{AddItem, AddItemInput, Alias, ItemOutput};
use contracts::unit::{self, EACH, Unit};
use rust_decimal::Decimal;
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::details;
use crate::catalogue::{Counting, Entered, OwnUnit, load_one};
use crate::error::CallError;
use crate::handler::{Audit, Call, Effected, Shop, WriteTool};
use crate::stock::{self, Movement, Occasion, Reason};
use crate::typed::{self, NAME_CHARS_MAX};
use crate::words::arguments::{self, Thing};
use crate::words::inventory;

/// An item that can be written.
struct NewItem {
    name: String,
    category: String,
    unit: &'static Unit,
    unit_price_minor: Decimal,
    opening: Option<Entered>,
    low_stock_level: Option<Exact>,
    sku: Option<String>,
    aliases: Vec<Alias>,
    units: Vec<OwnUnit>,
}

impl WriteTool for AddItem {
    async fn write(
        call: &mut Call<'_>,
        input: AddItemInput,
    ) -> Result<Effected<ItemOutput>, CallError> {
        let new = checked(&input, call.shop, call.locale)?;
        let sku = new.sku.as_deref().map(|sku| (sku, "sku"));
        details::refuse_taken(call, Some((&new.name, "name")), sku, None).await?;
        let id = call.new_id();
        let tenant = call.tenant();
        if !insert_item(call, id, &new).await? {
            // Somebody was faster. Their row is visible to the next statement.
            details::refuse_taken(call, Some((&new.name, "name")), sku, None).await?;
            return Err(CallError::Broken(
                "an item was neither written nor there already".to_owned(),
            ));
        }
        details::insert_aliases(call.conn, tenant, id, &new.aliases).await?;
        details::upsert_units(call.conn, tenant, id, &new.units).await?;
        let low_at = new.low_stock_level.map(|level| level.0);
        stock::open_level(
            call.conn,
            tenant,
            id,
            call.shop.allow_negative_stock,
            low_at,
        )
        .await?;
        open_stock(call, id, new.opening.as_ref()).await?;

        let item = load_one(call.conn, tenant, id).await?;
        let view = item.view(call.shop, call.locale);
        let summary = inventory::added(
            call.locale,
            new.opening.as_ref().map(|o| &o.entered),
            &item.name,
            &view.unit_price.text,
            &item.category,
        );
        Ok(Effected {
            audit: Audit {
                subject: format!("item:{id}"),
                before: None,
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

fn checked(input: &AddItemInput, shop: &Shop, locale: Locale) -> Result<NewItem, ToolFailure> {
    typed::same_currency(input.currency.as_deref(), shop, "currency", locale)?;
    let name = typed::capitalised(typed::line(
        &input.name,
        Thing::Name,
        "name",
        NAME_CHARS_MAX,
        locale,
    )?);
    let unit = base_unit(input, locale)?;
    let units = details::units(&input.units, unit, &name, "units", locale)?;
    let opening = opening(input, &name, unit, &units, locale)?;
    let level = |level| details::low_stock_level(level, "low_stock_level", locale);
    let sku = |sku: &String| details::sku(sku, "sku", locale);
    Ok(NewItem {
        category: details::category(&input.category, "category", locale)?,
        unit,
        unit_price_minor: typed::unit_price_minor(input.unit_price, shop, "unit_price", locale)?,
        opening,
        low_stock_level: input.low_stock_level.map(level).transpose()?,
        sku: input.sku.as_ref().map(sku).transpose()?,
        aliases: details::aliases(&input.aliases, "aliases", locale)?,
        units,
        name,
    })
}

/// The unit it is counted in. "20 kg at 160" with no other unit is counted in kg.
fn base_unit(input: &AddItemInput, locale: Locale) -> Result<&'static Unit, ToolFailure> {
    let unknown = |field: &str| {
        let known: Vec<String> = unit::UNITS.iter().map(|u| u.code.to_owned()).collect();
        inventory::unknown_base_unit(locale, &known, field)
    };
    match (&input.unit, &input.quantity_unit) {
        (Some(text), _) => unit::find(text).ok_or_else(|| unknown("unit")),
        (None, Some(text)) => {
            // A unit of its own ("2 bags") is then of something that has to be named.
            unit::find(text).ok_or_else(|| unknown("unit"))
        }
        (None, None) => unit::find(EACH).ok_or_else(|| unknown("unit")),
    }
}

fn opening(
    input: &AddItemInput,
    name: &str,
    unit: &'static Unit,
    units: &[OwnUnit],
    locale: Locale,
) -> Result<Option<Entered>, ToolFailure> {
    let Some(quantity) = input.quantity else {
        return Ok(None);
    };
    if quantity.is_negative() {
        return Err(arguments::negative(locale, Thing::Quantity, "quantity"));
    }
    let counting = Counting {
        name,
        unit,
        own: units,
    };
    let entered = counting.read(
        quantity,
        input.quantity_unit.as_deref(),
        "quantity",
        "quantity_unit",
        locale,
    )?;
    stock::fits(Exact::ZERO, entered.quantity.0, "quantity", locale)?;
    Ok(Some(entered).filter(|e| e.quantity.is_positive()))
}

async fn open_stock(
    call: &mut Call<'_>,
    item_id: Uuid,
    opening: Option<&Entered>,
) -> Result<(), CallError> {
    let Some(opening) = opening else {
        return Ok(());
    };
    let Measure { quantity, unit, .. } = opening.entered.clone();
    let movement = Movement {
        item_id,
        delta: opening.quantity.0,
        entered_quantity: quantity.0,
        entered_unit: unit,
    };
    let occasion = Occasion {
        reason: Reason::Opening,
        bill_id: None,
        actor: &call.caller.subject,
        at: call.now,
    };
    let tenant = call.tenant();
    stock::apply(call.conn, tenant, occasion, &[movement], call.locale).await
}

async fn insert_item(call: &mut Call<'_>, id: Uuid, new: &NewItem) -> Result<bool, CallError> {
    let tenant = call.tenant();
    Ok(insert(call.conn, tenant, id, new, call.now).await? == 1)
}

/// Waits for somebody adding the same name or code at this moment, and then writes nothing.
async fn insert(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
    new: &NewItem,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "insert into shop.items (tenant_id, id, name, category, unit, unit_price, low_stock_level, sku, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         on conflict do nothing",
        tenant,
        id,
        new.name,
        new.category,
        new.unit.code,
        new.unit_price_minor,
        new.low_stock_level.map(|level| level.0),
        new.sku,
        now
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

#[cfg(test)]
mod tests {
    use contracts::failure::FailureCode;
    use contracts::tools::inventory::{DeleteItem, GetItem};
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{World, refusal};

    fn sugar() -> Value {
        json!({"name": "Sugar", "category": "Grocery", "unit": "kg", "unit_price": "160", "quantity": "20"})
    }

    fn sugar_with(member: &str, value: Value) -> Value {
        let mut input = sugar();
        input[member] = value;
        input
    }

    #[tokio::test]
    async fn an_item_is_added_with_what_is_on_the_shelf() {
        let mut world = World::new().await;
        let added = world.write::<AddItem>(sugar()).await.unwrap();
        assert_eq!(
            added.summary,
            "Added 20 kg Sugar at RWF 160 per kg (grocery)."
        );
        assert_eq!(added.item.stock.text, "20 kg");
        assert_eq!(added.item.version, 2, "one change of fields, one movement");

        let shampoo = json!({"name": "shampoo", "category": "beauty", "unit": "each", "unit_price": 250, "quantity": "1", "quantity_unit": "dozen",
                             "low_stock_level": "15", "sku": "SH-1"});
        let added = world.write::<AddItem>(shampoo).await.unwrap();
        assert_eq!(
            added.summary,
            "Added 1 dozen Shampoo at RWF 250 each (beauty)."
        );
        assert_eq!(added.item.stock.text, "12");
        assert!(added.item.low);

        world.locale = Locale::Es;
        let bare = json!({"name": "Sal", "unit": "kilos", "unit_price": "90.5"});
        let added = world.write::<AddItem>(bare).await.unwrap();
        assert_eq!(added.summary, "Añadido: Sal a RWF 90.5 por kg.");
        assert_eq!(added.item.version, 1, "nothing on the shelf, no movement");
    }

    #[tokio::test]
    async fn prices_are_exact_in_every_currency() {
        for (currency, price, text) in [
            ("KES", "12.5", "KES 12.50 per kg"),
            ("KWD", "1.2345", "KWD 1.2345 per kg"),
        ] {
            let world = World::selling_in(currency).await;
            let added = world
                .write::<AddItem>(sugar_with("unit_price", json!(price)))
                .await
                .unwrap();
            assert_eq!(added.item.unit_price.text, text);
            assert_eq!(added.item.unit_price.amount, price.parse().unwrap());
        }
    }

    #[tokio::test]
    async fn units_of_its_own_count_the_opening_quantity() {
        let world = World::new().await;
        let rice = json!({"name": "Rice", "unit": "kg", "unit_price": "1200", "quantity": "2", "quantity_unit": "bags",
                          "units": [{"unit": "Bag", "quantity": "25"}, {"unit": "cajón", "quantity": "500", "of": "g"}],
                          "aliases": [{"name": "arroz", "locale": "es"}]});
        let added = world.write::<AddItem>(rice).await.unwrap();
        assert_eq!(added.summary, "Added 2 bags Rice at RWF 1,200 per kg.");
        assert_eq!(added.item.stock.text, "50 kg");
        assert_eq!(added.item.units[0].unit, "bag");
        assert_eq!(added.item.units[1].quantity, "0.5".parse().unwrap());
        assert_eq!(added.item.aliases[0].locale.as_deref(), Some("es"));
        let found = world
            .read::<GetItem>(json!({"item": "ARROZ"}))
            .await
            .unwrap();
        assert_eq!(found.item, added.item);
        assert_eq!(found.movements[0].entered.text, "2 bags");
    }

    #[tokio::test]
    async fn an_item_that_is_there_is_offered_for_an_update() {
        let world = World::new().await;
        let mut first = sugar();
        first["aliases"] = json!([{"name": "Azúcar"}]);
        first["sku"] = json!("S-1");
        world.write::<AddItem>(first).await.unwrap();
        for (input, field) in [
            (sugar_with("name", json!("  SUGAR ")), "name"),
            (sugar_with("name", json!("azucar")), "name"),
            (
                json!({"name": "Salt", "unit_price": "1", "sku": "S-1"}),
                "sku",
            ),
        ] {
            let failure = refusal(world.write::<AddItem>(input).await);
            assert_eq!(failure.code, FailureCode::AlreadyExists);
            assert_eq!(failure.field.as_deref(), Some(field));
            assert_eq!(failure.candidates[0].name, "Sugar");
            assert!(failure.hint.contains("inventory_update_item"));
        }
        let items = "select count(*) from shop.items";
        assert_eq!(world.number(items).await, 1);

        world
            .agree::<DeleteItem>(json!({"item": "sugar"}))
            .await
            .unwrap();
        world.write::<AddItem>(sugar()).await.unwrap();
        assert_eq!(
            world.number(items).await,
            2,
            "an archived one is no obstacle"
        );
    }

    #[tokio::test]
    async fn two_who_add_the_same_item_at_once_get_one() {
        let world = World::new().await;
        let both = futures::future::join_all((0..8).map(|_| world.write::<AddItem>(sugar()))).await;
        let (added, refused): (Vec<_>, Vec<_>) = both.into_iter().partition(Result::is_ok);
        assert_eq!((added.len(), refused.len()), (1, 7));
        for one in refused {
            let failure = refusal(one);
            assert_eq!(failure.code, FailureCode::AlreadyExists);
            assert_eq!(failure.candidates[0].name, "Sugar");
        }
    }

    async fn refused(world: &World, member: &str, value: Value) -> String {
        let failure = refusal(world.write::<AddItem>(sugar_with(member, value)).await);
        format!("{}: {}", failure.field.unwrap(), failure.message)
    }

    #[tokio::test]
    async fn what_cannot_be_is_refused_with_the_argument_named() {
        let world = World::new().await;
        for (member, value, said) in [
            ("name", json!(" "), "The name cannot be empty."),
            (
                "name",
                json!("Su\0gar"),
                "The name has characters that cannot be shown.",
            ),
            (
                "name",
                json!("x".repeat(81)),
                "The name is too long: 80 characters at most.",
            ),
            (
                "category",
                json!("x".repeat(41)),
                "The category is too long: 40 characters at most.",
            ),
            ("unit_price", json!("-1"), "The price cannot be negative."),
            ("quantity", json!("-1"), "The quantity cannot be negative."),
            (
                "low_stock_level",
                json!("-1"),
                "The low-stock level cannot be negative.",
            ),
            (
                "currency",
                json!("USD"),
                "Amounts here are in RWF, not in USD.",
            ),
            (
                "unit",
                json!("bag"),
                "Items are counted in g, kg, lb, ml, l, each, dozen, m, min or h. Please choose one of these.",
            ),
            (
                "quantity_unit",
                json!("ml"),
                "Sugar is counted in kg; it can also be given in g or lb.",
            ),
            ("sku", json!(""), "The code cannot be empty."),
        ] {
            assert_eq!(
                refused(&world, member, value).await,
                format!("{member}: {said}")
            );
        }
        assert_eq!(world.number("select count(*) from shop.items").await, 0);
    }

    #[tokio::test]
    async fn units_and_names_that_cannot_be_are_refused_with_their_place() {
        let world = World::new().await;
        let unit = |unit: &str, quantity: &str, of: &str| json!([{"unit": unit, "quantity": quantity, "of": of}]);
        for (value, said) in [
            (
                unit("bag", "0", "kg"),
                "quantity: The quantity must be more than 0.",
            ),
            (
                unit("bag", "1", "l"),
                "of: Sugar is counted in kg; it can also be given in g or lb.",
            ),
            (
                unit("dozens", "1", "kg"),
                "unit: The unit dozens is there already. Choose another name.",
            ),
            (
                unit("b4g", "1", "kg"),
                "unit: A unit is named with 1 to 30 letters. Leave out digits and signs.",
            ),
        ] {
            assert_eq!(
                refused(&world, "units", value).await,
                format!("units[0].{said}")
            );
        }
        let twice = json!([{"unit": "cajón", "quantity": "1"}, {"unit": "Cajon", "quantity": "2"}]);
        assert_eq!(
            refused(&world, "units", twice).await,
            "units[1].unit: The unit cajon is there already. Choose another name."
        );
        let spanish = json!([{"name": "azúcar", "locale": "español"}]);
        assert_eq!(
            refused(&world, "aliases", spanish).await,
            "aliases[0].locale: A language is given as a short tag, such as es or en-GB."
        );
    }

    #[tokio::test]
    async fn amounts_beyond_every_shelf_are_refused_and_never_a_fault() {
        let world = World::selling_in("KWD").await;
        let nines = json!("999999999999");
        for (member, field) in [("unit_price", "unit_price")] {
            let failure = refusal(
                world
                    .write::<AddItem>(sugar_with(member, nines.clone()))
                    .await,
            );
            assert_eq!(failure.field.as_deref(), Some(field));
        }
        let mut lorry = sugar_with("quantity", nines);
        lorry["quantity_unit"] = json!("bag");
        lorry["units"] = json!([{"unit": "bag", "quantity": "999999999999"}]);
        let failure = refusal(world.write::<AddItem>(lorry).await);
        assert_eq!(failure.message, "The quantity is too large.");
    }
}
