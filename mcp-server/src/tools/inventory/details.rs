//! The details of an item that both adding and changing it take: checked here, written here.

use contracts::failure::ToolFailure;
use contracts::locale::Locale;
use contracts::quantity::Exact;
use contracts::tools::inventory::{Alias, ItemUnit};
use contracts::unit::{self, Unit};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::catalogue::likeness::Folded;
use crate::catalogue::{ANY_LANGUAGE, Counting, OwnUnit, load};
use crate::error::CallError;
use crate::handler::Call;
use crate::typed::{self, LABEL_CHARS_MAX, NAME_CHARS_MAX};
use crate::words::arguments::{self, Thing};
use crate::words::inventory::{self, Taken};

/// Most aliases of one item.
pub(super) const ALIASES_MAX: usize = 20;
/// Most units of its own of one item.
pub(super) const UNITS_MAX: usize = 10;
/// Longest name of a unit, characters.
const UNIT_CHARS_MAX: usize = 30;

/// Aliases, checked.
pub(super) fn aliases(
    given: &[Alias],
    field: &str,
    locale: Locale,
) -> Result<Vec<Alias>, ToolFailure> {
    if given.len() > ALIASES_MAX {
        return Err(arguments::too_many(locale, field, ALIASES_MAX));
    }
    given
        .iter()
        .enumerate()
        .map(|(i, alias)| {
            let name = typed::line(
                &alias.name,
                Thing::Alias,
                &format!("{field}[{i}].name"),
                NAME_CHARS_MAX,
                locale,
            )?;
            let language = alias
                .locale
                .as_deref()
                .map(|tag| typed::language(tag, &format!("{field}[{i}].locale"), locale))
                .transpose()?;
            Ok(Alias {
                name,
                locale: language,
            })
        })
        .collect()
}

/// Units of an item counted in `base`, checked: letters only, none twice, none like a fixed unit, factors exact.
pub(super) fn units(
    given: &[ItemUnit],
    base: &'static Unit,
    item: &str,
    field: &str,
    locale: Locale,
) -> Result<Vec<OwnUnit>, ToolFailure> {
    if given.len() > UNITS_MAX {
        return Err(arguments::too_many(locale, field, UNITS_MAX));
    }
    let mut units: Vec<OwnUnit> = Vec::with_capacity(given.len());
    for (i, unit) in given.iter().enumerate() {
        let at = |member: &str| format!("{field}[{i}].{member}");
        let name = unit_name(&unit.unit, &at("unit"), locale)?;
        let same = |own: &OwnUnit| Folded::new(&own.unit).words() == Folded::new(&name).words();
        if unit::find(&name).is_some() || units.iter().any(same) {
            return Err(inventory::unit_taken(locale, &name, &at("unit")));
        }
        if !unit.quantity.is_positive() {
            return Err(arguments::not_positive(
                locale,
                Thing::Quantity,
                &at("quantity"),
            ));
        }
        let counting = Counting {
            name: item,
            unit: base,
            own: &[],
        };
        let factor = counting
            .read(
                unit.quantity,
                unit.of.as_deref(),
                &at("quantity"),
                &at("of"),
                locale,
            )?
            .quantity;
        units.push(OwnUnit { unit: name, factor });
    }
    Ok(units)
}

fn unit_name(text: &str, field: &str, locale: Locale) -> Result<String, ToolFailure> {
    let name = typed::line(text, Thing::Unit, field, UNIT_CHARS_MAX, locale)?.to_lowercase();
    let letters = name.chars().all(|c| c.is_alphabetic() || c == ' ');
    // Lower case can be longer than what was typed.
    if letters && name.chars().count() <= UNIT_CHARS_MAX {
        Ok(name)
    } else {
        Err(inventory::unit_not_letters(locale, field))
    }
}

/// A category: lower case, so that Grocery and grocery are one; empty for none.
pub(super) fn category(text: &str, field: &str, locale: Locale) -> Result<String, ToolFailure> {
    let category =
        typed::line_or_empty(text, Thing::Category, field, LABEL_CHARS_MAX, locale)?.to_lowercase();
    if category.chars().count() > LABEL_CHARS_MAX {
        return Err(arguments::too_long(
            locale,
            Thing::Category,
            field,
            LABEL_CHARS_MAX,
        ));
    }
    Ok(category)
}

/// The shop's own code.
pub(super) fn sku(text: &str, field: &str, locale: Locale) -> Result<String, ToolFailure> {
    typed::line(text, Thing::Sku, field, LABEL_CHARS_MAX, locale)
}

/// A low-stock level: 0 or more.
pub(super) fn low_stock_level(
    level: Exact,
    field: &str,
    locale: Locale,
) -> Result<Exact, ToolFailure> {
    if level.is_negative() {
        return Err(arguments::negative(locale, Thing::LowStockLevel, field));
    }
    Ok(level)
}

/// Refuses a name or code that another item on sale goes by.
pub(super) async fn refuse_taken(
    call: &mut Call<'_>,
    name: Option<(&str, &str)>,
    sku: Option<(&str, &str)>,
    but: Option<Uuid>,
) -> Result<(), CallError> {
    let tenant = call.tenant();
    let holder = select_holder(
        call.conn,
        tenant,
        name.map(|(name, _)| name),
        sku.map(|(sku, _)| sku),
        but,
    )
    .await?;
    let Some(holder) = holder else { return Ok(()) };
    let (taken, field) = if holder.by_sku {
        (Taken::Sku, sku.map_or("sku", |(_, field)| field))
    } else {
        (Taken::Name, name.map_or("name", |(_, field)| field))
    };
    let item = load(call.conn, tenant, &[holder.id]).await?;
    let failure = match item.first() {
        Some(item) => inventory::already_exists(
            call.locale,
            taken,
            item.candidate(call.shop, call.locale),
            field,
        ),
        None => inventory::just_taken(call.locale, taken, field),
    };
    Err(failure.into())
}

/// The last wall behind [`refuse_taken`]: the unique indexes, by name.
pub(super) fn map_taken(error: sqlx::Error, locale: Locale, prefix: &str) -> CallError {
    let error = CallError::from(error);
    match error.constraint() {
        Some("items_name") => {
            inventory::just_taken(locale, Taken::Name, &format!("{prefix}name")).into()
        }
        Some("items_sku") => {
            inventory::just_taken(locale, Taken::Sku, &format!("{prefix}sku")).into()
        }
        _ => error,
    }
}

/// Writes aliases; one the item has already stays as it is.
pub(super) async fn insert_aliases(
    conn: &mut PgConnection,
    tenant: Uuid,
    item_id: Uuid,
    aliases: &[Alias],
) -> Result<(), sqlx::Error> {
    if aliases.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = aliases.iter().map(|a| a.name.clone()).collect();
    let languages: Vec<String> = aliases
        .iter()
        .map(|a| a.locale.as_deref().unwrap_or(ANY_LANGUAGE).to_owned())
        .collect();
    sqlx::query!(
        "insert into shop.item_aliases (tenant_id, item_id, name, locale)
         select $1, $2, alias.name, alias.locale from unnest($3::text[], $4::text[]) as alias (name, locale)
         on conflict do nothing",
        tenant,
        item_id,
        &names,
        &languages
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes units of the item's own; one of the same name is replaced.
pub(super) async fn upsert_units(
    conn: &mut PgConnection,
    tenant: Uuid,
    item_id: Uuid,
    units: &[OwnUnit],
) -> Result<(), sqlx::Error> {
    if units.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = units.iter().map(|u| u.unit.clone()).collect();
    let factors: Vec<rust_decimal::Decimal> = units.iter().map(|u| u.factor.0).collect();
    sqlx::query!(
        "insert into shop.item_units (tenant_id, item_id, unit, factor)
         select $1, $2, own.unit, own.factor from unnest($3::text[], $4::numeric[]) as own (unit, factor)
         on conflict (tenant_id, item_id, unit) do update set factor = excluded.factor",
        tenant,
        item_id,
        &names,
        &factors
    )
    .execute(conn)
    .await?;
    Ok(())
}

struct Holder {
    id: Uuid,
    by_sku: bool,
}

/// The item on sale, other than `but`, that goes by this name (also as an alias) or code.
async fn select_holder(
    conn: &mut PgConnection,
    tenant: Uuid,
    name: Option<&str>,
    sku: Option<&str>,
    but: Option<Uuid>,
) -> Result<Option<Holder>, sqlx::Error> {
    sqlx::query_as!(
        Holder,
        r#"select holder.id as "id!", holder.by_sku as "by_sku!" from (
               select i.id, false as by_sku, 0 as kind from shop.items i
               where i.tenant_id = $1 and i.archived_at is null and i.name_norm = (select shop.norm($2::text))
               union all
               select i.id, false, 1 from shop.item_aliases a
               join shop.items i on i.tenant_id = $1 and i.id = a.item_id and i.archived_at is null
               where a.tenant_id = $1 and a.name_norm = (select shop.norm($2::text))
               union all
               select i.id, true, 2 from shop.items i
               where i.tenant_id = $1 and i.archived_at is null and i.sku = $3::text
           ) holder
           where holder.id is distinct from $4::uuid
           order by holder.kind, holder.id limit 1"#,
        tenant,
        name,
        sku,
        but
    )
    .fetch_optional(conn)
    .await
}
