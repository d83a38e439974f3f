//! The one list of tools.
//!
//! Adding a tool: its contract in the file of its toolset, a line here, its handler in `mcp-server`, `cargo generate`. A tool listed
//! here without a handler does not compile there.

pub mod billing;
pub mod booking;
pub mod confirm;
pub mod inventory;
pub mod location;
pub mod payment;
pub mod profile;
pub mod support;

use crate::tool::{ToolSheet, sheet};

/// Calls a macro with every tool, in the order they are documented. `tools/list` sorts by name.
#[macro_export]
macro_rules! every_tool {
    ($with:ident) => {
        $with! {
            $crate::tools::inventory::AddItem,
            $crate::tools::inventory::ListItems,
            $crate::tools::inventory::GetItem,
            $crate::tools::inventory::UpdateItem,
            $crate::tools::inventory::DeleteItem,
            $crate::tools::billing::CreateBill,
            $crate::tools::billing::GetBill,
            $crate::tools::billing::ListBills,
            $crate::tools::billing::SalesSummary,
            $crate::tools::billing::VoidBill,
            $crate::tools::profile::GetUserProfile,
            $crate::tools::profile::FindCustomers,
            $crate::tools::profile::CreateCustomer,
            $crate::tools::profile::UpdatePreferences,
            $crate::tools::location::FindNearby,
            $crate::tools::location::CalculateDistance,
            $crate::tools::support::CreateTicket,
            $crate::tools::support::ListTickets,
            $crate::tools::support::UpdateTicket,
            $crate::tools::support::EscalateToHuman,
            $crate::tools::billing::CreditBill,
            $crate::tools::billing::WriteOffBill,
            $crate::tools::payment::CheckBalance,
            $crate::tools::payment::CollectPayment,
            $crate::tools::payment::TransactionHistory,
            $crate::tools::payment::RefundPayment,
            $crate::tools::payment::TopUpWallet,
            $crate::tools::booking::SetResource,
            $crate::tools::booking::SetHours,
            $crate::tools::booking::CheckAvailability,
            $crate::tools::booking::CreateBooking,
            $crate::tools::booking::RescheduleBooking,
            $crate::tools::booking::CancelBooking,
            $crate::tools::booking::ViewBookings,
            $crate::tools::confirm::ConfirmAction,
        }
    };
}

macro_rules! sheets {
    ($($tool:ty),* $(,)?) => { vec![$(sheet::<$tool>()),*] };
}

/// The sheet of every tool.
#[must_use]
pub fn sheets() -> Vec<ToolSheet> {
    every_tool!(sheets)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::tool::Effect;

    fn nullable(value: &Value) -> bool {
        match value {
            Value::Array(items) => items.iter().any(nullable),
            Value::Object(map) => {
                let typed_null = map.get("type").is_some_and(|t| {
                    t == "null"
                        || t.as_array()
                            .is_some_and(|all| all.contains(&Value::from("null")))
                });
                typed_null
                    || map.get("nullable") == Some(&Value::Bool(true))
                    || map.values().any(nullable)
            }
            _ => false,
        }
    }

    #[test]
    fn every_sheet_is_one_a_strict_client_accepts() {
        let sheets = sheets();
        let names: std::collections::BTreeSet<_> = sheets.iter().map(|s| s.name).collect();
        assert_eq!(names.len(), sheets.len(), "two tools of one name");
        for sheet in sheets {
            let name = sheet.name;
            assert_eq!(sheet.input_schema["type"], "object", "{name}");
            assert_eq!(sheet.output_schema["type"], "object", "{name}");
            assert!(
                !nullable(&Value::Object(sheet.input_schema.clone())),
                "{name} has nullable arguments"
            );
            assert!(
                !Value::Object(sheet.input_schema.clone())
                    .to_string()
                    .contains("$ref"),
                "{name} is not self-contained"
            );
            assert!(sheet.description.len() > 40, "{name} says too little");
            assert_eq!(
                sheet.annotations.read_only_hint,
                sheet.effect == Effect::Read,
                "{name}"
            );
            for (argument, schema) in sheet.input_schema["properties"].as_object().unwrap() {
                assert!(
                    schema.get("description").is_some(),
                    "{name}.{argument} has no description"
                );
            }
        }
    }
}
