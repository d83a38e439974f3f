//! What is said about an argument that cannot be taken.

use contracts::failure::{FailureCode, ToolFailure};
use contracts::locale::Locale;
use contracts::money::Currency;

use crate::phones::NotAPhone;

/// What an argument is, as a person calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thing {
    /// The name of an item.
    Name,
    /// A category.
    Category,
    /// The shop's own code.
    Sku,
    /// Another name.
    Alias,
    /// A language tag.
    Language,
    /// A unit.
    Unit,
    /// A unit price.
    Price,
    /// A quantity.
    Quantity,
    /// A level at which stock is low.
    LowStockLevel,
    /// An amount taken off.
    Discount,
    /// An amount paid.
    Payment,
    /// What a bill comes to.
    Total,
    /// What a line comes to.
    LineAmount,
    /// Why.
    Reason,
    /// A customer's name.
    Customer,
    /// An item that is looked for.
    Item,
    /// A text that is searched for.
    Query,
    /// What is written down about a customer.
    Notes,
    /// What a ticket is about.
    Subject,
    /// A request in full.
    Body,
    /// Something written on a ticket.
    Note,
    /// Who takes care of something.
    Assignee,
    /// A conversation.
    Session,
    /// A branch, or where somebody is.
    Place,
    /// Street and town.
    Address,
    /// An amount of money to move.
    Amount,
    /// Something that can be booked.
    Resource,
    /// What is to be known about something.
}

impl Thing {
    const fn en(self) -> &'static str {
        match self {
            Thing::Name => "The name",
            Thing::Category => "The category",
            Thing::Sku => "The code",
            Thing::Alias => "The other name",
            Thing::Language => "The language",
            Thing::Unit => "The unit",
            Thing::Price => "The price",
            Thing::Quantity => "The quantity",
            Thing::LowStockLevel => "The low-stock level",
            Thing::Discount => "The discount",
            Thing::Payment => "The payment",
            Thing::Total => "The total",
            Thing::LineAmount => "The amount of the line",
            Thing::Reason => "The reason",
            Thing::Customer => "The customer's name",
            Thing::Item => "The item",
            Thing::Query => "The search text",
            Thing::Notes => "The text of the notes",
            Thing::Subject => "The subject",
            Thing::Body => "The text",
            Thing::Note => "The note",
            Thing::Assignee => "The name of who takes care of it",
            Thing::Session => "The name of the conversation",
            Thing::Place => "The place",
            Thing::Address => "The address",
            Thing::Amount => "The amount",
            Thing::Resource => "The name of what is booked",
        }
    }

    const fn es(self) -> &'static str {
        match self {
            Thing::Name => "El nombre",
            Thing::Category => "La categoría",
            Thing::Sku => "El código",
            Thing::Alias => "El otro nombre",
            Thing::Language => "El idioma",
            Thing::Unit => "La unidad",
            Thing::Price => "El precio",
            Thing::Quantity => "La cantidad",
            Thing::LowStockLevel => "El nivel de existencias bajas",
            Thing::Discount => "El descuento",
            Thing::Payment => "El pago",
            Thing::Total => "El total",
            Thing::LineAmount => "El importe de la línea",
            Thing::Reason => "El motivo",
            Thing::Customer => "El nombre del cliente",
            Thing::Item => "El artículo",
            Thing::Query => "El texto de búsqueda",
            Thing::Notes => "El texto de las notas",
            Thing::Subject => "El asunto",
            Thing::Body => "El texto",
            Thing::Note => "La nota",
            Thing::Assignee => "El nombre de quien se encarga",
            Thing::Session => "El nombre de la conversación",
            Thing::Place => "El lugar",
            Thing::Address => "La dirección",
            Thing::Amount => "El importe",
            Thing::Resource => "El nombre de lo que se reserva",
        }
    }

    /// The ending of an adjective that goes with the Spanish word.
    const fn ending(self) -> &'static str {
        match self {
            Thing::Category | Thing::Unit | Thing::Quantity | Thing::Note | Thing::Address => "a",
            _ => "o",
        }
    }

    fn said(self, locale: Locale, en: &str, es: &str) -> String {
        match locale {
            Locale::En => format!("{} {en}", self.en()),
            Locale::Es => format!("{} {}", self.es(), es.replace('@', self.ending())),
        }
    }
}

/// An `invalid_arguments` failure about one argument.
pub(super) fn refused(field: &str, message: String, hint: impl Into<String>) -> ToolFailure {
    ToolFailure::new(FailureCode::InvalidArguments, message, hint).at(field)
}

/// "The name cannot be empty."
#[must_use]
pub(crate) fn empty(locale: Locale, thing: Thing, field: &str) -> ToolFailure {
    refused(
        field,
        thing.said(locale, "cannot be empty.", "no puede estar vací@."),
        format!("Give {field}, or leave it out where it is optional."),
    )
}

/// "The name is too long: 80 characters at most."
#[must_use]
pub(crate) fn too_long(locale: Locale, thing: Thing, field: &str, chars_max: usize) -> ToolFailure {
    refused(
        field,
        thing.said(
            locale,
            &format!("is too long: {chars_max} characters at most."),
            &format!("es demasiado larg@: {chars_max} caracteres como máximo."),
        ),
        format!("Shorten {field}."),
    )
}

/// "The name has characters that cannot be shown."
#[must_use]
pub(crate) fn unprintable(locale: Locale, thing: Thing, field: &str) -> ToolFailure {
    refused(
        field,
        thing.said(
            locale,
            "has characters that cannot be shown.",
            "tiene caracteres que no se pueden mostrar.",
        ),
        format!("Send {field} again without control characters."),
    )
}

/// "The price cannot be negative."
#[must_use]
pub(crate) fn negative(locale: Locale, thing: Thing, field: &str) -> ToolFailure {
    refused(
        field,
        thing.said(locale, "cannot be negative.", "no puede ser negativ@."),
        format!("Give {field} as 0 or more."),
    )
}

/// "The quantity must be more than 0."
#[must_use]
pub(crate) fn not_positive(locale: Locale, thing: Thing, field: &str) -> ToolFailure {
    refused(
        field,
        thing.said(locale, "must be more than 0.", "debe ser mayor que 0."),
        format!("Give {field} as more than 0."),
    )
}

/// "The total is too large."
#[must_use]
pub(crate) fn too_large(locale: Locale, thing: Thing, field: &str) -> ToolFailure {
    refused(
        field,
        thing.said(locale, "is too large.", "es demasiado grande."),
        format!("Use a smaller {field}."),
    )
}

/// "The discount has more decimals than RWF has: 0 at most."
#[must_use]
pub(crate) fn too_precise(
    locale: Locale,
    thing: Thing,
    field: &str,
    currency: Currency,
) -> ToolFailure {
    let decimals = currency.exponent();
    refused(
        field,
        thing.said(
            locale,
            &format!("has more decimals than {currency} has: {decimals} at most."),
            &format!("tiene más decimales que {currency}: {decimals} como máximo."),
        ),
        format!("Round {field} to {decimals} decimals."),
    )
}

/// "Prices here are in RWF, not in USD."
#[must_use]
pub(crate) fn currency_mismatch(
    locale: Locale,
    given: &str,
    currency: Currency,
    field: &str,
) -> ToolFailure {
    let message = match locale {
        Locale::En => format!("Amounts here are in {currency}, not in {given}."),
        Locale::Es => format!("Aquí los importes van en {currency}, no en {given}."),
    };
    ToolFailure::new(
        FailureCode::CurrencyMismatch,
        message,
        format!("Ask for the amount in {currency}; nothing is converted. Leave {field} out or give {currency}."),
    )
    .at(field)
}

/// "Ask for 1 to 100 at a time."
#[must_use]
pub(crate) fn bad_limit(locale: Locale, most: u32) -> ToolFailure {
    let message = match locale {
        Locale::En => format!("Ask for 1 to {most} at a time."),
        Locale::Es => format!("Pida de 1 a {most} a la vez."),
    };
    refused("limit", message, "Then follow next_cursor for the rest.")
}

/// "This list cannot be continued from here."
#[must_use]
pub(crate) fn bad_cursor(locale: Locale) -> ToolFailure {
    let message = match locale {
        Locale::En => "This list cannot be continued from here. Ask for it again from the start.",
        Locale::Es => {
            "Esta lista no se puede continuar desde aquí. Pídala de nuevo desde el principio."
        }
    };
    refused(
        "cursor",
        message.to_owned(),
        "Pass next_cursor of the page before, unchanged and with the same filters, or leave cursor out.",
    )
}

/// "Give at most 20 other names."
#[must_use]
pub(crate) fn too_many(locale: Locale, field: &str, most: usize) -> ToolFailure {
    let message = match locale {
        Locale::En => format!("That is too many: {most} at most."),
        Locale::Es => format!("Son demasiados: {most} como máximo."),
    };
    refused(field, message, format!("Give at most {most} in {field}."))
}

/// "That day is outside the calendar."
#[must_use]
pub(crate) fn bad_day(locale: Locale, field: &str) -> ToolFailure {
    let message = match locale {
        Locale::En => "That day is outside the calendar. Use a year from 1970 to 9998.",
        Locale::Es => "Ese día está fuera del calendario. Use un año de 1970 a 9998.",
    };
    refused(field, message.to_owned(), "Give the day as YYYY-MM-DD.")
}

/// "The first day is after the last."
#[must_use]
pub(crate) fn days_reversed(locale: Locale) -> ToolFailure {
    let message = match locale {
        Locale::En => "The first day is after the last. Swap them.",
        Locale::Es => "El primer día es posterior al último. Intercámbielos.",
    };
    refused("from", message.to_owned(), "from must not be after to.")
}

/// "A language is given as a short tag, such as es."
#[must_use]
pub(crate) fn bad_language(locale: Locale, field: &str) -> ToolFailure {
    let message = match locale {
        Locale::En => "A language is given as a short tag, such as es or en-GB.",
        Locale::Es => "El idioma se indica con una etiqueta corta, como es o en-GB.",
    };
    refused(
        field,
        message.to_owned(),
        "Give a BCP 47 tag, or leave it out for any language.",
    )
}

/// "This is not a telephone number that can exist."
#[must_use]
pub(crate) fn bad_phone(locale: Locale, why: NotAPhone, field: &str) -> ToolFailure {
    let (message, hint) = match (locale, why) {
        (Locale::En, NotAPhone::NoCountry) => (
            "Which country is that number in? Please give it with its country code, such as +250 788 123 456.",
            "Ask for the number with a plus sign and the country code; the shop's own country is not known.",
        ),
        (Locale::Es, NotAPhone::NoCountry) => (
            "¿De qué país es ese número? Indíquelo con el prefijo del país, por ejemplo +250 788 123 456.",
            "Ask for the number with a plus sign and the country code; the shop's own country is not known.",
        ),
        (Locale::En, NotAPhone::Impossible) => (
            "That is not a telephone number. Please check the digits, and give it with its country code if it is abroad.",
            "Ask the person to check it. Only digits, spaces and a plus sign: no letters, no extension.",
        ),
        (Locale::Es, NotAPhone::Impossible) => (
            "Eso no es un número de teléfono. Revise las cifras, e indique el prefijo del país si es extranjero.",
            "Ask the person to check it. Only digits, spaces and a plus sign: no letters, no extension.",
        ),
    };
    refused(field, message.to_owned(), hint)
}

/// "That is not an email address."
#[must_use]
pub(crate) fn bad_email(locale: Locale, field: &str) -> ToolFailure {
    let message = match locale {
        Locale::En => "That is not an email address. It looks like ali@example.com.",
        Locale::Es => "Eso no es una dirección de correo. Se escribe como ali@example.com.",
    };
    refused(
        field,
        message.to_owned(),
        "Give the bare address: no name around it, no spaces.",
    )
}

/// "There is no such time zone."
#[must_use]
pub(crate) fn bad_time_zone(locale: Locale, field: &str) -> ToolFailure {
    let message = match locale {
        Locale::En => "There is no such time zone. It is named like Africa/Kigali.",
        Locale::Es => "No existe esa zona horaria. Se nombra como Africa/Kigali.",
    };
    refused(
        field,
        message.to_owned(),
        "Give an IANA name: continent and city, such as Europe/Madrid.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_name_the_thing_and_the_failure_its_field() {
        let failure = negative(Locale::En, Thing::Price, "unit_price");
        assert_eq!(failure.message, "The price cannot be negative.");
        assert_eq!(failure.field.as_deref(), Some("unit_price"));
        assert_eq!(
            negative(Locale::Es, Thing::Quantity, "quantity").message,
            "La cantidad no puede ser negativa."
        );
        assert_eq!(
            too_precise(
                Locale::En,
                Thing::Discount,
                "discount",
                "RWF".parse().unwrap()
            )
            .message,
            "The discount has more decimals than RWF has: 0 at most."
        );
    }
}
