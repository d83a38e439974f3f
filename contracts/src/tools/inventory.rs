//! Items and stock.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::money::Currency;
use crate::quantity::{Exact, Measure};
use crate::token::PrincipalRole;
use crate::tool::{CUSTOMER, Commit, ForCustomers, Read, Tool, Toolset, Write};

/// A price per unit, fractions of a minor unit allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnitPrice {
    /// Major units of the currency per one `unit`: "160" is RWF 160.
    pub amount: Exact,
    /// The shop's currency.
    pub currency: Currency,
    /// What one of costs that much.
    pub unit: String,
    /// As a person reads it: "RWF 160 per kg".
    pub text: String,
}

/// A unit of one item, such as bag = 25 kg.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ItemUnit {
    /// The unit's name in the singular: "bag", "bottle". 1 to 30 letters.
    pub unit: String,
    /// How many of `of` one such unit is: "25". More than 0.
    pub quantity: Exact,
    /// The unit `quantity` is in, of the item's own kind: "kg". The item's unit when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
}

/// Another name of an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Alias {
    /// The other name: "leche". 1 to 80 characters.
    pub name: String,
    /// Its language as a BCP 47 tag: "es". Any language when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
}

/// An item as every tool shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ItemView {
    /// The item's id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Its category, in lower case; empty for none.
    pub category: String,
    /// The unit it is counted and priced in.
    pub unit: String,
    /// What one unit costs.
    pub unit_price: UnitPrice,
    /// What is on hand.
    pub stock: Measure,
    /// On hand is at or below the low-stock level.
    pub low: bool,
    /// The level at which stock counts as low.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low_stock_level: Option<Measure>,
    /// The shop's own code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sku: Option<String>,
    /// Other names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<Alias>,
    /// Units of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<ItemUnit>,
    /// Grows with every change of its fields or stock; a physical count names the version it was made at.
    pub version: i64,
}

/// `inventory_add_item`.
#[derive(Debug)]
pub struct AddItem;

/// A new item.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddItemInput {
    /// What it is called: "Sugar". 1 to 80 characters.
    pub name: String,
    /// A group to find it by: "grocery". Up to 40 characters.
    #[serde(default)]
    pub category: String,
    /// The unit it is counted and priced in: g, kg, lb, ml, l, each, dozen, m, min or h. "each" when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// What one unit costs, in the shop's currency as people say it: "160" or "12.50". 0 or more, at most six decimals.
    pub unit_price: Exact,
    /// ISO 4217 code, only to be sure of the price's currency; it must be the shop's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// What is on the shelf now, in `unit` (or in `quantity_unit`): "20". 0 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<Exact>,
    /// The unit of `quantity` where it is another than `unit`: "g".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity_unit: Option<String>,
    /// At or below how many units the stock counts as low. 0 or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low_stock_level: Option<Exact>,
    /// The shop's own code. Up to 40 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sku: Option<String>,
    /// Other names it is asked for by, in any language. At most 20.
    #[serde(default)]
    pub aliases: Vec<Alias>,
    /// Units of its own, such as a bag of 25 kg. At most 10.
    #[serde(default)]
    pub units: Vec<ItemUnit>,
}

/// The item as it is now.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ItemOutput {
    /// One sentence for the person: "Added 20 kg Sugar at RWF 160 per kg (grocery)."
    pub summary: String,
    /// The item.
    pub item: ItemView,
}

impl Tool for AddItem {
    const NAME: &'static str = "inventory_add_item";
    const TITLE: &'static str = "Add an item";
    const DESCRIPTION: &'static str = "Adds a new item to the shop's stock with its price and what is on the shelf. Example: \
        \"Add 20kg sugar at 160 per kg to grocery\" is name Sugar, quantity 20, unit kg, unit_price 160, category grocery. If an item of \
        that name is there already nothing changes and the answer is already_exists: then use inventory_update_item.";
    const TOOLSET: Toolset = Toolset::Inventory;
    const IDEMPOTENT: bool = true;
    type Kind = Write;
    type Input = AddItemInput;
    type Output = ItemOutput;
}

/// `inventory_list_items`.
#[derive(Debug)]
pub struct ListItems;

/// Which items.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListItemsInput {
    /// Part of a name or alias; accents and small misspellings are forgiven. All items when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Only this category: "beauty". Case and accents are ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// Only items with less than this on hand, each counted in its own unit: "5".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stock_below: Option<Exact>,
    /// Only items at or below their own low-stock level.
    #[serde(default)]
    pub low_stock: bool,
    /// How many at most: 1 to 100, 20 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Whether there is some of an item, for those who are not told how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Supply {
    /// There is.
    InStock,
    /// There is little.
    Low,
    /// There is none.
    None,
}

/// An item in a list. A customer is shown a price list: whether there is some, and not how much, how fast it goes, or the shop's codes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListedItem {
    /// The item's id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Its category, in lower case; empty for none.
    pub category: String,
    /// The unit it is counted and priced in.
    pub unit: String,
    /// What one unit costs.
    pub unit_price: UnitPrice,
    /// For a customer: whether there is some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supply: Option<Supply>,
    /// What is on hand; not for customers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stock: Option<Measure>,
    /// On hand is at or below the low-stock level.
    pub low: bool,
    /// The level at which stock counts as low; not for customers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low_stock_level: Option<Measure>,
    /// The shop's own code; not for customers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sku: Option<String>,
    /// Other names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<Alias>,
    /// Units of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<ItemUnit>,
    /// Grows with every change of its fields or stock; not for customers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
}

impl From<ItemView> for ListedItem {
    fn from(item: ItemView) -> ListedItem {
        ListedItem {
            id: item.id,
            name: item.name,
            category: item.category,
            unit: item.unit,
            unit_price: item.unit_price,
            supply: None,
            stock: Some(item.stock),
            low: item.low,
            low_stock_level: item.low_stock_level,
            sku: item.sku,
            aliases: item.aliases,
            units: item.units,
            version: Some(item.version),
        }
    }
}

/// One page of items, by name.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ListItemsOutput {
    /// One sentence for the person.
    pub summary: String,
    /// The items.
    pub items: Vec<ListedItem>,
    /// Where the next page starts; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl Tool for ListItems {
    const NAME: &'static str = "inventory_list_items";
    const TITLE: &'static str = "List items";
    const DESCRIPTION: &'static str = "Lists the shop's items with price and stock, by name. Narrow it with query (part of a name), \
        category, stock_below (less than N on hand) or low_stock. Examples: \"Show items with low stock under 5 units\" is stock_below 5; \
        \"What's in the beauty category?\" is category beauty.";
    const TOOLSET: Toolset = Toolset::Inventory;
    const IDEMPOTENT: bool = true;
    const LEAST_ROLE: PrincipalRole = PrincipalRole::Customer;
    // Who may narrow by how much there is can find out how much there is.
    const FOR_CUSTOMERS: ForCustomers = ForCustomers {
        without: &[CUSTOMER, "stock_below", "low_stock"],
        ..ForCustomers::reading(
            "The shop's price list, by name: what each item costs and whether there is some. Narrow it with query (part of a name) or \
             category. Examples: \"What does sugar cost?\" is query sugar; \"What's in the beauty category?\" is category beauty.",
        )
    };
    type Kind = Read;
    type Input = ListItemsInput;
    type Output = ListItemsOutput;
}

/// `inventory_get_item`.
#[derive(Debug)]
pub struct GetItem;

/// Which item.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetItemInput {
    /// Its name, alias, sku or id: "sugar".
    pub item: String,
}

/// One change of stock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MovementView {
    /// Its place in the item's history, from 1 without a gap.
    pub seq: i64,
    /// What came in or (negative) went out, in the item's unit.
    pub delta: Exact,
    /// What was on hand after it.
    pub balance_after: Exact,
    /// Why: opening, purchase, sale, return, count, waste or void.
    pub reason: String,
    /// As it was entered: "25 kg".
    pub entered: Measure,
    /// Who did it.
    pub actor: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// One item with its recent history.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct GetItemOutput {
    /// One sentence for the person.
    pub summary: String,
    /// The item.
    pub item: ItemView,
    /// The last 20 changes of stock, newest first.
    pub movements: Vec<MovementView>,
}

impl Tool for GetItem {
    const NAME: &'static str = "inventory_get_item";
    const TITLE: &'static str = "Show an item";
    const DESCRIPTION: &'static str = "Shows one item: price, stock, aliases, units and its recent stock movements. Use it for \"How much \
        sugar do we have?\" and before a physical count, which needs the item's version.";
    const TOOLSET: Toolset = Toolset::Inventory;
    const IDEMPOTENT: bool = true;
    type Kind = Read;
    type Input = GetItemInput;
    type Output = GetItemOutput;
}

/// `inventory_update_item`.
#[derive(Debug)]
pub struct UpdateItem;

/// Why stock changed by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AdjustReason {
    /// Goods came in.
    Purchase,
    /// A customer brought something back.
    Return,
    /// Spoilt, broken or lost.
    Waste,
}

impl AdjustReason {
    /// The word stored with the movement.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            AdjustReason::Purchase => "purchase",
            AdjustReason::Return => "return",
            AdjustReason::Waste => "waste",
        }
    }
}

/// More or less of an item.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Adjust {
    /// What came in, or with a minus what went out: "25", "-2". Not 0.
    pub delta: Exact,
    /// The unit of `delta`, where it is another than the item's: "g", "bag".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Why. Purchase for more and waste for less when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<AdjustReason>,
}

/// What somebody counted on the shelf.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// What was counted: "18.5". 0 or more.
    pub quantity: Exact,
    /// The unit of `quantity`, where it is another than the item's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The item's `version` when the count was made: a sale since then makes the count void instead of being lost.
    pub expected_version: i64,
}

/// New values of an item's fields; absent ones stay.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// A new name. 1 to 80 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A new category; empty for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// A new price per unit in the shop's currency: "170". 0 or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_price: Option<Exact>,
    /// ISO 4217 code, only to be sure of the price's currency; it must be the shop's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// A new low-stock level. 0 or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low_stock_level: Option<Exact>,
    /// A new code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sku: Option<String>,
    /// More names; the old ones stay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add_aliases: Vec<Alias>,
    /// More units of its own; one of the same name is replaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add_units: Vec<ItemUnit>,
}

/// Which item, and exactly one of `adjust`, `count` and `change`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateItemInput {
    /// Its name, alias, sku or id: "flour".
    pub item: String,
    /// More or less of it: "Increase flour stock by 25kg" is delta 25, unit kg.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adjust: Option<Adjust>,
    /// What somebody counted on the shelf.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<Count>,
    /// New price, name, category, low-stock level, sku, aliases or units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
}

impl Tool for UpdateItem {
    const NAME: &'static str = "inventory_update_item";
    const TITLE: &'static str = "Update an item";
    const DESCRIPTION: &'static str = "Changes an item in one of three ways. adjust: stock by a difference, with unit and reason. count: \
        stock as counted on the shelf, with the version it was counted at. change: price, name, category, low-stock level, sku, aliases, \
        units. Stock never goes below zero: taking too much is refused with what is left.";
    const TOOLSET: Toolset = Toolset::Inventory;
    const IDEMPOTENT: bool = false;
    const DESTRUCTIVE: bool = true;
    type Kind = Write;
    type Input = UpdateItemInput;
    type Output = ItemOutput;
}

/// `inventory_delete_item`.
#[derive(Debug)]
pub struct DeleteItem;

/// Which item.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteItemInput {
    /// Its name, alias, sku or id: "soap".
    pub item: String,
}

impl Tool for DeleteItem {
    const NAME: &'static str = "inventory_delete_item";
    const TITLE: &'static str = "Remove an item";
    const DESCRIPTION: &'static str = "Removes an item from the shop: it is archived, its history and old bills stay. Refused while it is \
        on an open bill. A person is asked first.";
    const TOOLSET: Toolset = Toolset::Inventory;
    const IDEMPOTENT: bool = true;
    const DESTRUCTIVE: bool = true;
    type Kind = Commit;
    type Input = DeleteItemInput;
    type Output = ItemOutput;
}
