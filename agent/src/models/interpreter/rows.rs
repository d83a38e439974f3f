//! Lists of bookings, free times, movements of money, customers, branches and tickets, a line each.

use contracts::money::Money;
use serde_json::Value;

use super::replies::pick;
use super::tools::{
    CHECK_AVAILABILITY, FIND_CUSTOMERS, FIND_NEARBY, LIST_TICKETS, TRANSACTION_HISTORY,
    VIEW_BOOKINGS,
};
use crate::language::Language;

/// Writes one entry of a list; `None` for one of an unknown shape.
type Row = fn(&Value, Language) -> Option<String>;

/// The lines of a result, and whether there are more than it holds.
pub(super) fn of(tool: &str, result: &Value, language: Language) -> (Vec<String>, bool) {
    let (list, row): (&str, Row) = match tool {
        VIEW_BOOKINGS => ("bookings", booking),
        CHECK_AVAILABILITY => ("slots", slot),
        TRANSACTION_HISTORY => ("movements", movement),
        FIND_CUSTOMERS => ("customers", customer),
        FIND_NEARBY => ("places", place),
        LIST_TICKETS => ("tickets", ticket),
        _ => return (Vec::new(), false),
    };
    let rows = result
        .get(list)
        .and_then(Value::as_array)
        .map(|all| all.iter().filter_map(|v| row(v, language)).collect())
        .unwrap_or_default();
    (rows, result.get("next_cursor").is_some())
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value
        .get(key)
        .and_then(Value::as_str)
        .filter(|t| !t.is_empty())
}

fn money(value: &Value, key: &str) -> Option<Money> {
    serde_json::from_value(value.get(key)?.clone()).ok()
}

/// Parts that are there, with commas between.
fn joined<const N: usize>(parts: [Option<String>; N]) -> String {
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn booking(value: &Value, language: Language) -> Option<String> {
    let status = text(value, "status")
        .filter(|s| *s != "confirmed")
        .map(|s| booking_status(s, language).to_owned());
    Some(format!(
        "{}: {}",
        text(value, "reference")?,
        joined([
            text(value, "when").map(str::to_owned),
            text(value, "resource").map(str::to_owned),
            text(value, "customer").map(str::to_owned),
            status,
        ])
    ))
}

fn booking_status(word: &str, language: Language) -> &str {
    match (word, language) {
        ("no_show", Language::Es) => "no vino",
        ("no_show", _) => "nobody came",
        ("held", Language::Es) => "apartada",
        ("completed", Language::Es) => "terminada",
        ("cancelled", Language::Es) => "cancelada",
        ("expired", Language::Es) => "caducada",
        (word, _) => word,
    }
}

fn slot(value: &Value, _language: Language) -> Option<String> {
    Some(joined([
        Some(text(value, "when")?.to_owned()),
        text(value, "resource").map(str::to_owned),
        money(value, "price").map(|m| m.to_string()),
    ]))
}

fn movement(value: &Value, language: Language) -> Option<String> {
    let pending = value.get("pending").and_then(Value::as_bool) == Some(true);
    Some(joined([
        Some(text(value, "at")?.chars().take(10).collect()),
        Some(text(value, "text")?.to_owned()),
        money(value, "amount").map(|m| m.to_string()),
        pending.then(|| pick(language, "pending", "pendiente").to_owned()),
    ]))
}

fn customer(value: &Value, language: Language) -> Option<String> {
    let owed = money(value, "owed")
        .filter(|m| m.amount_minor > 0)
        .map(|m| format!("{} {m}", pick(language, "owes", "debe")));
    Some(joined([
        Some(text(value, "name")?.to_owned()),
        text(value, "phone").map(str::to_owned),
        text(value, "email").map(str::to_owned),
        owed,
    ]))
}

fn place(value: &Value, _language: Language) -> Option<String> {
    Some(joined([
        Some(text(value, "name")?.to_owned()),
        text(value, "address").map(str::to_owned),
        value
            .pointer("/distance/text")
            .and_then(Value::as_str)
            .map(str::to_owned),
        text(value, "state").map(str::to_owned),
    ]))
}

fn ticket(value: &Value, language: Language) -> Option<String> {
    let status = text(value, "status").map(|word| match (word, language) {
        ("open", Language::Es) => "abierto",
        ("escalated", Language::Es) => "escalado",
        ("waiting", Language::Es) => "en espera",
        ("resolved", Language::Es) => "resuelto",
        ("closed", Language::Es) => "cerrado",
        (word, _) => word,
    });
    let priority = text(value, "priority")
        .filter(|p| *p != "normal")
        .map(|word| match (word, language) {
            ("urgent", Language::Es) => "urgente",
            ("high", Language::Es) => "prioridad alta",
            ("low", Language::Es) => "prioridad baja",
            ("high", _) => "high priority",
            ("low", _) => "low priority",
            (word, _) => word,
        });
    Some(format!(
        "{}: {}",
        text(value, "number")?,
        joined([
            text(value, "subject").map(str::to_owned),
            text(value, "customer").map(str::to_owned),
            status.map(str::to_owned),
            priority.map(str::to_owned),
        ])
    ))
}
