//! The items of a shop: how they are loaded, shown, and found by what a person calls them.

pub(crate) mod likeness;
pub(crate) mod lookup;
pub(crate) mod ranking;
pub(crate) mod units;

use contracts::failure::Candidate;
use contracts::locale::Locale;
use contracts::money::from_minor;
use contracts::quantity::{Exact, Measure};
use contracts::tools::inventory::{Alias, ItemUnit, ItemView, ListedItem, Supply, UnitPrice};
use contracts::unit::{self, Unit};
use rust_decimal::Decimal;
use serde::Deserialize;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::error::CallError;
use crate::handler::Shop;
use crate::words;

pub(crate) use lookup::{Asked, find, find_id, find_one};
pub(crate) use units::{Counting, Entered, OwnUnit};

/// An item with everything that belongs to it.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// The name as it is compared and put in order: lower case, without accents.
    pub name_norm: String,
    /// Its category, lower case; empty for none.
    pub category: String,
    /// What it is counted and priced in.
    pub unit: &'static Unit,
    /// Minor units of the shop's currency per `unit`, fractions kept.
    pub unit_price_minor: Decimal,
    /// Tax in hundredths of a percent.
    pub tax_bp: i32,
    /// At or below this it counts as low.
    pub low_stock_level: Option<Exact>,
    /// The shop's own code.
    pub sku: Option<String>,
    /// Other names.
    pub aliases: Vec<Alias>,
    /// Units of its own.
    pub units: Vec<OwnUnit>,
    /// Grows with every change of the fields.
    pub fields_version: i64,
    /// How many movements of stock there have been.
    pub movements: i64,
    /// What is on hand, in `unit`.
    pub on_hand: Exact,
    /// Whether it may go below zero.
    pub allow_negative: bool,
}

impl Item {
    /// The version clients see and count at: it grows with every change of a field and every movement of stock.
    #[must_use]
    pub const fn version(&self) -> i64 {
        self.fields_version + self.movements
    }

    /// How quantities of it are read and said.
    #[must_use]
    pub fn counting(&self) -> Counting<'_> {
        Counting {
            name: &self.name,
            unit: self.unit,
            own: &self.units,
        }
    }

    /// A quantity in the item's unit.
    #[must_use]
    pub fn measure(&self, quantity: Exact) -> Measure {
        Measure::new(quantity, self.unit.code)
    }

    /// The item after one movement of stock.
    #[must_use]
    pub(crate) fn moved(&self, delta: Decimal) -> Item {
        Item {
            on_hand: Exact((self.on_hand.0 + delta).normalize()),
            movements: self.movements + 1,
            ..self.clone()
        }
    }

    /// At or below its low-stock level.
    #[must_use]
    pub fn is_low(&self) -> bool {
        self.low_stock_level
            .is_some_and(|level| self.on_hand <= level)
    }

    /// What it costs, in words: "RWF 160 per kg".
    #[must_use]
    pub fn price_text(&self, shop: &Shop, locale: Locale) -> String {
        words::unit_price(locale, self.unit_price_minor, shop.currency, self.unit.code)
    }

    /// The item as every tool shows it.
    #[must_use]
    pub fn view(&self, shop: &Shop, locale: Locale) -> ItemView {
        ItemView {
            id: self.id,
            name: self.name.clone(),
            category: self.category.clone(),
            unit: self.unit.code.to_owned(),
            unit_price: UnitPrice {
                amount: Exact(from_minor(self.unit_price_minor, shop.currency).normalize()),
                currency: shop.currency,
                unit: self.unit.code.to_owned(),
                text: self.price_text(shop, locale),
            },
            stock: self.measure(self.on_hand),
            low: self.is_low(),
            low_stock_level: self.low_stock_level.map(|level| self.measure(level)),
            sku: self.sku.clone(),
            aliases: self.aliases.clone(),
            units: self
                .units
                .iter()
                .map(|own| ItemUnit {
                    unit: own.unit.clone(),
                    quantity: own.factor,
                    of: Some(self.unit.code.to_owned()),
                })
                .collect(),
            version: self.version(),
        }
    }

    /// The item as a customer sees it in the price list: whether there is some, not how much, nor what tells how fast it goes.
    #[must_use]
    pub(crate) fn on_price_list(&self, shop: &Shop, locale: Locale) -> ListedItem {
        ListedItem {
            supply: Some(self.supply()),
            stock: None,
            low_stock_level: None,
            sku: None,
            version: None,
            ..self.view(shop, locale).into()
        }
    }

    /// Whether there is some.
    #[must_use]
    pub(crate) fn supply(&self) -> Supply {
        if self.on_hand <= Exact::from(0) {
            Supply::None
        } else if self.is_low() {
            Supply::Low
        } else {
            Supply::InStock
        }
    }

    /// The item as something the caller may have meant.
    #[must_use]
    pub fn candidate(&self, shop: &Shop, locale: Locale) -> Candidate {
        Candidate {
            name: self.name.clone(),
            price: Some(self.price_text(shop, locale)),
            stock: Some(self.measure(self.on_hand)),
            ..Candidate::default()
        }
    }
}

/// An alias as a query gathers it.
#[derive(Deserialize)]
pub(crate) struct AliasRow {
    name: String,
    locale: String,
}

/// A unit of an item's own as a query gathers it. A numeric in JSON goes as text: a JSON number would pass through a float.
#[derive(Deserialize)]
pub(crate) struct OwnUnitRow {
    unit: String,
    factor: Exact,
}

/// An item as a query gives it: one row, with everything that belongs to it.
pub(crate) struct ItemRow {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) name_norm: String,
    pub(crate) category: String,
    pub(crate) unit: String,
    pub(crate) unit_price: Decimal,
    pub(crate) tax_bp: i32,
    pub(crate) low_stock_level: Option<Decimal>,
    pub(crate) sku: Option<String>,
    pub(crate) version: i64,
    pub(crate) on_hand: Decimal,
    pub(crate) allow_negative: bool,
    pub(crate) seq: i64,
    /// `None` when it has none; most items have none, and an empty list would be made and read for each.
    pub(crate) aliases: Option<Json<Vec<AliasRow>>>,
    /// As the aliases.
    pub(crate) units: Option<Json<Vec<OwnUnitRow>>>,
}

/// The language of an alias that belongs to none.
pub(crate) const ANY_LANGUAGE: &str = "und";

impl TryFrom<ItemRow> for Item {
    type Error = CallError;

    fn try_from(row: ItemRow) -> Result<Item, CallError> {
        let unit = unit::find(&row.unit).ok_or_else(|| {
            CallError::Broken(format!("item {} is counted in {}", row.id, row.unit))
        })?;
        let exact = |number: Decimal| Exact(number.normalize());
        Ok(Item {
            id: row.id,
            name: row.name,
            name_norm: row.name_norm,
            category: row.category,
            unit,
            unit_price_minor: row.unit_price.normalize(),
            tax_bp: row.tax_bp,
            low_stock_level: row.low_stock_level.map(exact),
            sku: row.sku,
            aliases: row
                .aliases
                .map_or_else(Vec::new, |aliases| aliases.0)
                .into_iter()
                .map(|alias| Alias {
                    name: alias.name,
                    locale: Some(alias.locale).filter(|l| l != ANY_LANGUAGE),
                })
                .collect(),
            units: row
                .units
                .map_or_else(Vec::new, |units| units.0)
                .into_iter()
                .map(|own| OwnUnit {
                    unit: own.unit,
                    factor: own.factor,
                })
                .collect(),
            fields_version: row.version,
            movements: row.seq,
            on_hand: exact(row.on_hand),
            allow_negative: row.allow_negative,
        })
    }
}

/// The items of these ids, archived ones too, in the order of the ids, which are all different. One query, aliases and units included.
///
/// # Errors
/// When the database fails.
pub(crate) async fn load(
    conn: &mut PgConnection,
    tenant: Uuid,
    ids: &[Uuid],
) -> Result<Vec<Item>, CallError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    select_items(conn, tenant, ids)
        .await?
        .into_iter()
        .map(Item::try_from)
        .collect()
}

/// One item of this id.
///
/// # Errors
/// When the database fails, or the item is not there.
pub(crate) async fn load_one(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
) -> Result<Item, CallError> {
    load(conn, tenant, &[id])
        .await?
        .pop()
        .ok_or_else(|| CallError::Broken(format!("item {id} is gone")))
}

/// The `offset` keeps the planner from joining before it looks up: a plan made for a new shop would go on reading every item there is.
async fn select_items(
    conn: &mut PgConnection,
    tenant: Uuid,
    ids: &[Uuid],
) -> Result<Vec<ItemRow>, sqlx::Error> {
    sqlx::query_as!(
        ItemRow,
        r#"select i.id as "id!", i.name as "name!", i.name_norm as "name_norm!", i.category as "category!", i.unit as "unit!",
                  i.unit_price as "unit_price!", i.tax_bp as "tax_bp!", i.low_stock_level as "low_stock_level?", i.sku as "sku?",
                  i.version as "version!", i.on_hand as "on_hand!", i.allow_negative as "allow_negative!", i.seq as "seq!",
                  (select jsonb_agg(jsonb_build_object('name', a.name, 'locale', a.locale) order by a.name_norm)
                   from shop.item_aliases a where a.tenant_id = $1 and a.item_id = asked.id) as "aliases?: Json<Vec<AliasRow>>",
                  (select jsonb_agg(jsonb_build_object('unit', u.unit, 'factor', u.factor::text) order by u.unit)
                   from shop.item_units u where u.tenant_id = $1 and u.item_id = asked.id) as "units?: Json<Vec<OwnUnitRow>>"
           from unnest($2::uuid[]) with ordinality as asked (id, place)
           cross join lateral (
               select i.*, l.on_hand, l.allow_negative, l.seq
               from shop.items i join shop.stock_levels l on l.tenant_id = $1 and l.item_id = i.id
               where i.tenant_id = $1 and i.id = asked.id offset 0
           ) i
           order by asked.place"#,
        tenant,
        ids
    )
    .fetch_all(conn)
    .await
}
