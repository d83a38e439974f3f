//! What a client learns about the business itself, beside the list of its tools.

use serde::{Deserialize, Serialize};

use crate::locale::Locale;
use crate::money::Currency;

/// The `_meta` member of a `tools/list` result that carries [`ShopFacts`].
pub const META_KEY: &str = "countersign/shop";

/// What a conversation needs to know of the business before the first tool is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShopFacts {
    /// Its name.
    pub name: String,
    /// The one currency of its prices and bills.
    pub currency: Currency,
    /// Where its days begin, an IANA name: `Africa/Kigali`.
    pub time_zone: String,
    /// The language when a person has not shown theirs.
    pub locale: Locale,
}
