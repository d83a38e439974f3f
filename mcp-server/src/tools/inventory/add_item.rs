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
        stock::open_level(call.conn, tenant, id, call.shop.allow_negative_stock).await?;
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
