//! A bill as a document: what the resource `countersign://bills/{number}` holds, and what is printed.

use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::locale::Locale;
use crate::tools::billing::BillView;

/// The shop as a bill names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShopDetails {
    /// Its name.
    pub name: String,
    /// Where it is, in lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Its telephone, as it is printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// The number by which the tax office knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_number: Option<String>,
}

/// A bill with all that its paper says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BillDocument {
    /// Who issued it.
    pub shop: ShopDetails,
    /// The language it is written in.
    pub language: Locale,
    /// The day it was issued, by the shop's clock.
    pub issued_on: NaiveDate,
    /// The bill.
    pub bill: BillView,
    /// Where it is shown, which is also what the printed code holds: `https://shop.example/bills/INV-12`.
    pub url: String,
    /// Where its PDF is: `https://shop.example/bills/INV-12.pdf`.
    pub pdf_url: String,
}
