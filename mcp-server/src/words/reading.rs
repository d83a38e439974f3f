//! What resources say: a price list and opening hours as Markdown, and where the rest is when one of them is cut off.

use std::fmt::Write as _;

use contracts::locale::Locale;
use contracts::resources::{BranchHours, OpeningHours, PriceList, ResourceHours};
use contracts::tools::booking::DayHours;

use super::booking::weekday;

/// Where the rest of a price list is.
#[must_use]
pub(crate) fn more_prices(locale: Locale, shown: usize, is_category: bool) -> String {
    match (locale, is_category) {
        (Locale::En, false) => format!(
            "These are the first {shown} items. Read countersign://price-list/{{category}} for one category, or ask inventory_list_items for a name."
        ),
        (Locale::En, true) => format!(
            "These are the first {shown} items. Ask inventory_list_items with the category for all of them, page by page."
        ),
        (Locale::Es, false) => format!(
            "Estos son los primeros {shown} artículos. Lea countersign://price-list/{{category}} para una categoría, o pida un nombre a inventory_list_items."
        ),
        (Locale::Es, true) => format!(
            "Estos son los primeros {shown} artículos. Pida a inventory_list_items la categoría para verlos todos, página por página."
        ),
    }
}

/// Where the rest of the opening hours is.
#[must_use]
pub(crate) fn more_hours(locale: Locale) -> &'static str {
    match locale {
        Locale::En => {
            "Not all hours are here. Read countersign://opening-hours/{name} for one thing that can be booked, or ask find_nearby for a branch."
        }
        Locale::Es => {
            "No están todos los horarios. Lea countersign://opening-hours/{name} para algo que se reserva, o pida una sucursal a find_nearby."
        }
    }
}

/// A price list for reading.
#[must_use]
pub(crate) fn price_list(list: &PriceList) -> String {
    let (title, tax, name, price, other) = match list.language {
        Locale::En => (
            "Prices of",
            if list.tax_inclusive {
                "tax included"
            } else {
                "before tax"
            },
            "Item",
            "Price",
            "Other",
        ),
        Locale::Es => (
            "Precios de",
            if list.tax_inclusive {
                "impuestos incluidos"
            } else {
                "sin impuestos"
            },
            "Artículo",
            "Precio",
            "Otros",
        ),
    };
    let mut text = format!(
        "# {title} {}\n\n{}, {tax}.\n",
        plain(&list.shop),
        list.currency
    );
    let mut category = None;
    for item in &list.items {
        if category != Some(&item.category) {
            category = Some(&item.category);
            let head = if item.category.is_empty() {
                other.to_owned()
            } else {
                capital(&plain(&item.category))
            };
            let _ = write!(text, "\n## {head}\n\n| {name} | {price} |\n|---|--:|\n");
        }
        let _ = writeln!(
            text,
            "| {} | {} |",
            plain(&item.name),
            plain(&item.unit_price.text)
        );
    }
    if let Some(hint) = &list.hint {
        let _ = write!(text, "\n{hint}\n");
    }
    text
}

/// Opening hours for reading.
#[must_use]
pub(crate) fn opening_hours(hours: &OpeningHours) -> String {
    let (title, branches) = match hours.language {
        Locale::En => ("Opening hours of", "Branches"),
        Locale::Es => ("Horarios de", "Sucursales"),
    };
    let mut text = format!("# {title} {}\n", plain(&hours.shop));
    if !hours.branches.is_empty() {
        let _ = write!(text, "\n## {branches}\n\n");
        for each in &hours.branches {
            let _ = writeln!(text, "- {}", branch(each, hours.language));
        }
    }
    for each in &hours.resources {
        let _ = write!(text, "\n{}", resource(each, hours.language));
    }
    if let Some(hint) = &hours.hint {
        let _ = write!(text, "\n{hint}\n");
    }
    text
}

fn branch(branch: &BranchHours, locale: Locale) -> String {
    let unknown = match locale {
        Locale::En => "hours not known",
        Locale::Es => "horario desconocido",
    };
    let mut said = plain(&branch.name);
    if let Some(address) = &branch.address {
        let _ = write!(said, ", {}", plain(address));
    }
    let _ = write!(said, ": {}", branch.hours.as_deref().unwrap_or(unknown));
    if let Some(state) = &branch.state {
        let _ = write!(said, " ({state})");
    }
    said
}

fn resource(resource: &ResourceHours, locale: Locale) -> String {
    let (closed, unknown) = match locale {
        Locale::En => ("closed", "No hours have been set."),
        Locale::Es => ("cerrado", "No se ha fijado ningún horario."),
    };
    let mut said = format!("## {} ({})\n\n", plain(&resource.name), resource.time_zone);
    if resource.hours.is_empty() {
        let _ = writeln!(said, "{unknown}");
    }
    for day in &resource.hours {
        let intervals: Vec<String> = day
            .intervals
            .iter()
            .map(|i| format!("{}–{}", i.opens, i.closes))
            .collect();
        let open = if intervals.is_empty() {
            closed.to_owned()
        } else {
            intervals.join(", ")
        };
        let _ = writeln!(said, "- {}: {open}", day_name(day, locale));
    }
    said
}

fn day_name(day: &DayHours, locale: Locale) -> String {
    match (day.date, day.weekday) {
        (Some(date), _) => super::day(date),
        (None, Some(of_week)) => capital(weekday(locale, of_week)),
        (None, None) => String::new(),
    }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

/// A name that cannot be taken for markup: neither a cell's end nor a new line.
fn plain(name: &str) -> String {
    name.replace(['\n', '\r'], " ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_in_its_cell() {
        let list = PriceList {
            shop: "Shop".to_owned(),
            currency: "RWF".parse().unwrap(),
            tax_inclusive: false,
            language: Locale::En,
            category: None,
            items: vec![contracts::resources::PricedItem {
                name: "A | B".to_owned(),
                category: String::new(),
                unit_price: contracts::tools::inventory::UnitPrice {
                    amount: "1".parse().unwrap(),
                    currency: "RWF".parse().unwrap(),
                    unit: "each".to_owned(),
                    text: "RWF 1 each".to_owned(),
                },
            }],
            hint: Some(more_prices(Locale::En, 1, false)),
        };
        let text = price_list(&list);
        assert!(text.contains("RWF, before tax.\n\n## Other\n"), "{text}");
        assert!(text.contains("| A \\| B | RWF 1 each |\n\nThese are the first 1 items."));
    }
}
