//! What the resources `countersign://price-list` and `countersign://opening-hours` hold as JSON.

use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::locale::Locale;
use crate::money::Currency;
use crate::tools::booking::DayHours;
use crate::tools::inventory::UnitPrice;

/// What the shop sells, and for how much: by category, then by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PriceList {
    /// The shop's name.
    pub shop: String,
    /// The one currency of all prices.
    pub currency: Currency,
    /// Whether the prices include tax.
    pub tax_inclusive: bool,
    /// The language of the texts.
    pub language: Locale,
    /// The one category that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// What is sold.
    pub items: Vec<PricedItem>,
    /// How to come to the rest, when not all of it is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// One line of a price list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PricedItem {
    /// The item's name.
    pub name: String,
    /// Its category, lower case; empty for none.
    pub category: String,
    /// What it costs.
    pub unit_price: UnitPrice,
}

/// When the branches are open, and when what can be booked is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpeningHours {
    /// The shop's name.
    pub shop: String,
    /// The shop's time zone, an IANA name.
    pub time_zone: String,
    /// Today, by the shop's clock.
    pub today: NaiveDate,
    /// The language of the texts.
    pub language: Locale,
    /// The branches.
    pub branches: Vec<BranchHours>,
    /// What can be booked.
    pub resources: Vec<ResourceHours>,
    /// How to come to the rest, when not all of it is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// The hours of a branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BranchHours {
    /// Its name.
    pub name: String,
    /// Street and town.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Weekly hours on the shop's clock: `mon-fri 08:00-18:00, sat 09:00-13:00`; absent when they are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<String>,
    /// Whether it is open at this moment, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// The hours of something that can be booked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResourceHours {
    /// Its name.
    pub name: String,
    /// What kind of thing it is; empty for none.
    pub kind: String,
    /// Where its hours are, an IANA name.
    pub time_zone: String,
    /// The hours of every week, then those of dates that differ.
    pub hours: Vec<DayHours>,
}
