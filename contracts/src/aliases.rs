//! Other names under which tools can still be called: names they once had, and names that people and their scripts expect.
//!
//! An alias is not listed. A call under it is the call of the tool: checked, audited and answered as that, and its answer says under
//! [`META_KEY`] which name to use. A tool that is renamed leaves its old name here.

use serde::{Deserialize, Serialize};

/// The `_meta` member of an answer that was asked for under another name; it holds a [`Renamed`].
pub const META_KEY: &str = "countersign/renamed";

/// Another name of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToolAlias {
    /// The name that is still understood.
    pub name: &'static str,
    /// The tool's name.
    pub tool: &'static str,
    /// The version since which the tool has its name.
    pub since: &'static str,
}

/// What an answer says of the name it was asked for under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renamed {
    /// The name that was called.
    pub from: String,
    /// The tool's name.
    pub to: String,
    /// The version since which the tool has its name.
    pub since: String,
}

/// Every alias, by name.
pub const ALIASES: [ToolAlias; 16] = [
    first("add_item", "inventory_add_item"),
    first("billing_sales_summary", "sales_summary"),
    first("booking_check_availability", "check_availability"),
    first("booking_create_booking", "create_booking"),
    first("create_bill", "billing_create_bill"),
    first("credit_bill", "billing_credit_bill"),
    first("delete_item", "inventory_delete_item"),
    first("get_bill", "billing_get_bill"),
    first("get_item", "inventory_get_item"),
    first("list_bills", "billing_list_bills"),
    first("list_items", "inventory_list_items"),
    first("payment_check_balance", "check_balance"),
    first("payment_collect", "collect_payment"),
    first("set_hours", "booking_set_hours"),
    first("update_item", "inventory_update_item"),
    first("void_bill", "billing_void_bill"),
];

/// A name the tool never had here, and that is expected of it: the tool has had its own since the first version.
const fn first(name: &'static str, tool: &'static str) -> ToolAlias {
    ToolAlias {
        name,
        tool,
        since: "0.1.0",
    }
}

/// The alias of this name, if it is one.
#[must_use]
pub fn alias(name: &str) -> Option<&'static ToolAlias> {
    let found = ALIASES.binary_search_by(|alias| alias.name.cmp(name));
    found.ok().and_then(|i| ALIASES.get(i))
}

impl ToolAlias {
    /// What the answer says of it.
    #[must_use]
    pub fn renamed(&self) -> Renamed {
        Renamed {
            from: self.name.to_owned(),
            to: self.tool.to_owned(),
            since: self.since.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::tools::sheets;

    #[test]
    fn every_alias_leads_to_a_tool_and_none_hides_one() {
        let tools: BTreeSet<&str> = sheets().iter().map(|sheet| sheet.name).collect();
        for entry in ALIASES {
            assert!(tools.contains(entry.tool), "{} leads nowhere", entry.name);
            assert!(!tools.contains(entry.name), "{} is a tool", entry.name);
            assert_eq!(alias(entry.name), Some(&entry));
            let version = entry.since.split('.');
            assert_eq!(version.filter(|n| n.parse::<u32>().is_ok()).count(), 3);
        }
        assert!(
            ALIASES.is_sorted_by(|a, b| a.name < b.name),
            "in order, and none twice"
        );
        assert_eq!(alias("billing_create_bill"), None, "a tool is no alias");
        assert_eq!(alias(""), None);
    }
}
