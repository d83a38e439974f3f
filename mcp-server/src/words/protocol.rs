//! What lists of the protocol say to people: titles and descriptions of resources and templates, and what is answered to an address or a
//! cursor that leads nowhere.

use contracts::failure::{FailureCode, ToolFailure};
use contracts::locale::Locale;

/// Title and description of a resource with one address, by its name.
#[must_use]
pub(crate) fn resource(locale: Locale, name: &str) -> (&'static str, &'static str) {
    match (locale, name) {
        (Locale::En, "low-stock") => (
            "Running low",
            "Items at or below their low-stock level, with what is left.",
        ),
        (Locale::Es, "low-stock") => (
            "Por agotarse",
            "Artículos en su nivel mínimo o por debajo, con lo que queda.",
        ),
        (Locale::En, "opening-hours") => (
            "Opening hours",
            "When the branches and what can be booked are open, as JSON.",
        ),
        (Locale::Es, "opening-hours") => (
            "Horarios",
            "Cuándo están abiertas las sucursales y lo que se reserva, en JSON.",
        ),
        (Locale::En, "opening-hours.md") => ("Opening hours for reading", "The same as Markdown."),
        (Locale::Es, "opening-hours.md") => ("Horarios para leer", "Lo mismo en Markdown."),
        (Locale::En, "price-list") => (
            "Price list",
            "What the shop sells and for how much, by category, as JSON.",
        ),
        (Locale::Es, "price-list") => (
            "Lista de precios",
            "Lo que vende la tienda y a cuánto, por categoría, en JSON.",
        ),
        (Locale::En, _) => ("Price list for reading", "The same as Markdown."),
        (Locale::Es, _) => ("Lista de precios para leer", "Lo mismo en Markdown."),
    }
}

/// Title and description of a category's price list.
#[must_use]
pub(crate) fn category(locale: Locale, category: &str) -> (String, String) {
    match locale {
        Locale::En => (
            format!("Price list: {category}"),
            format!("What the shop sells in {category} and for how much, as JSON."),
        ),
        Locale::Es => (
            format!("Lista de precios: {category}"),
            format!("Lo que vende la tienda en {category} y a cuánto, en JSON."),
        ),
    }
}

/// Title and description of a template, by its name.
#[must_use]
pub(crate) fn template(locale: Locale, name: &str) -> (&'static str, &'static str) {
    match (locale, name) {
        (Locale::En, "bill") => (
            "Bill",
            "A bill with the shop's details, by its number (INV-12).",
        ),
        (Locale::Es, "bill") => (
            "Factura",
            "Una factura con los datos de la tienda, por su número (INV-12).",
        ),
        (Locale::En, "bill-pdf") => (
            "Bill as PDF",
            "A bill as it is printed, by its number (INV-12).",
        ),
        (Locale::Es, "bill-pdf") => (
            "Factura en PDF",
            "Una factura tal como se imprime, por su número (INV-12).",
        ),
        (Locale::En, "booking-calendar") => (
            "Booking for a calendar",
            "A booking as an iCalendar file, by its reference (BK-7).",
        ),
        (Locale::Es, "booking-calendar") => (
            "Reserva para el calendario",
            "Una reserva como archivo iCalendar, por su referencia (BK-7).",
        ),
        (Locale::En, "customer") => ("Customer", "What the shop knows of a customer, by name."),
        (Locale::Es, "customer") => (
            "Cliente",
            "Lo que la tienda sabe de un cliente, por su nombre.",
        ),
        (Locale::En, "item") => (
            "Item",
            "An item with its price and stock, by the name people use.",
        ),
        (Locale::Es, "item") => (
            "Artículo",
            "Un artículo con su precio y existencias, por el nombre que se usa.",
        ),
        (Locale::En, "opening-hours-of") => (
            "Opening hours of one thing",
            "When something that can be booked is open, by its name.",
        ),
        (Locale::Es, "opening-hours-of") => (
            "Horario de algo que se reserva",
            "Cuándo está abierto algo que se reserva, por su nombre.",
        ),
        (Locale::En, _) => (
            "Price list of a category",
            "What the shop sells in one category and for how much.",
        ),
        (Locale::Es, _) => (
            "Lista de precios de una categoría",
            "Lo que vende la tienda en una categoría y a cuánto.",
        ),
    }
}

/// A resource is larger than any reader has use for.
#[must_use]
pub(crate) fn too_long(locale: Locale) -> &'static str {
    match locale {
        Locale::En => {
            "This is too long to be read at once. Use the tool that lists it page by page."
        }
        Locale::Es => {
            "Es demasiado largo para leerlo de una vez. Use la herramienta que lo da página por página."
        }
    }
}

/// A tool's answer is larger than any reader has use for. The hint names the arguments by which this tool is asked for less.
#[must_use]
pub(crate) fn too_long_answer(locale: Locale, narrowing: &[&str]) -> ToolFailure {
    let message = match locale {
        Locale::En => "The answer is too long to be useful.",
        Locale::Es => "La respuesta es demasiado larga para ser útil.",
    };
    let hint = match narrowing {
        [] => "Ask for something narrower.".to_owned(),
        ["limit", ..] => format!("Ask again with a smaller {}.", narrowing.join(", ")),
        _ => format!("Ask again with {}.", narrowing.join(", ")),
    };
    ToolFailure::new(FailureCode::InvalidArguments, message, hint)
}
