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

    /// Reading and booking for herself, paying her own bills, asking for help. Whoever makes it longer answers for what the tool shows.
    const CUSTOMERS_TOOLS: [&str; 18] = [
        "billing_get_bill",
        "billing_list_bills",
        "calculate_distance",
        "cancel_booking",
        "check_availability",
        "check_balance",
        "collect_payment",
        "confirm_action",
        "create_booking",
        "create_ticket",
        "escalate_to_human",
        "find_nearby",
        "get_user_profile",
        "inventory_list_items",
        "reschedule_booking",
        "transaction_history",
        "update_preferences",
        "view_bookings",
    ];

    #[test]
    fn a_customer_is_never_asked_for_a_customer() {
        let mut offered = Vec::new();
        for sheet in sheets() {
            let name = sheet.name;
            let Some(hers) = &sheet.for_customers else {
                continue;
            };
            offered.push(name);
            let whole = sheet.input_schema["properties"].as_object().unwrap();
            let left = hers.input_schema["properties"].as_object().unwrap();
            for argument in ["customer", "phone", "session"] {
                assert!(!left.contains_key(argument), "{name} asks for {argument}");
            }
            assert_eq!(
                whole.len(),
                left.len() + hers.staff_arguments.len(),
                "{name}"
            );
            let required = hers.input_schema.get("required");
            for argument in required.and_then(Value::as_array).into_iter().flatten() {
                assert!(
                    left.contains_key(argument.as_str().unwrap()),
                    "{name} requires {argument}"
                );
            }
            for (argument, word) in hers.staff_words {
                let all = whole[*argument].to_string();
                assert!(
                    all.contains(&format!("\"{word}\"")),
                    "{name}.{argument} has no {word}"
                );
                let hers = left[*argument].to_string();
                assert!(
                    !hers.contains(&format!("\"{word}\"")),
                    "{name}.{argument}: {hers}"
                );
            }
            if hers.about_customer {
                assert_ne!(
                    hers.description, sheet.description,
                    "{name} speaks of customers"
                );
            }
        }
        offered.sort_unstable();
        assert_eq!(offered, CUSTOMERS_TOOLS);
    }

    #[test]
    fn what_is_said_of_a_customers_sheet_is_about_arguments_that_are_there() {
        macro_rules! said {
            ($($tool:ty),* $(,)?) => {
                [$((<$tool as crate::tool::Tool>::FOR_CUSTOMERS, sheet::<$tool>())),*]
            };
        }
        for (hers, sheet) in every_tool!(said) {
            let whole = sheet.input_schema["properties"].as_object().unwrap();
            let own = hers
                .without
                .iter()
                .filter(|name| **name != crate::tool::CUSTOMER);
            let all = own
                .chain(hers.arguments.iter().map(|(name, _)| name))
                .chain(hers.without_words.iter().map(|(name, _)| name));
            for argument in all {
                assert!(
                    whole.contains_key(*argument),
                    "{} has no {argument}",
                    sheet.name
                );
            }
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
