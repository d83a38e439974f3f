//! Every sentence the tools answer with, in English and Spanish: a function per sentence, no sentence built elsewhere.
//!
//! Hints are for the model that repairs the call and are in English only.

pub(crate) mod arguments;
pub(crate) mod billing;
pub(crate) mod booking;
pub(crate) mod documents;
pub(crate) mod inventory;
pub(crate) mod location;
pub(crate) mod login;
pub(crate) mod payment;
pub(crate) mod profile;
pub(crate) mod prompts;
pub(crate) mod protocol;
pub(crate) mod reading;
pub(crate) mod support;

use chrono::NaiveDate;
use contracts::locale::Locale;
use contracts::money::{Currency, unit_price_number};
use contracts::unit::EACH;
use rust_decimal::Decimal;

/// "RWF 160 per kg"; pieces are "RWF 250 each".
#[must_use]
pub(crate) fn unit_price(
    locale: Locale,
    unit_price_minor: Decimal,
    currency: Currency,
    unit: &str,
) -> String {
    let number = unit_price_number(unit_price_minor, currency);
    match (locale, unit == EACH) {
        (Locale::En, true) => format!("{currency} {number} each"),
        (Locale::Es, true) => format!("{currency} {number} c/u"),
        (Locale::En, false) => format!("{currency} {number} per {unit}"),
        (Locale::Es, false) => format!("{currency} {number} por {unit}"),
    }
}

/// "g, lb or bag".
#[must_use]
pub(crate) fn one_of(locale: Locale, names: &[String]) -> String {
    joined(
        names,
        match locale {
            Locale::En => "or",
            Locale::Es => "o",
        },
    )
}

/// "INV-3 and INV-5".
#[must_use]
pub(crate) fn all_of(locale: Locale, names: &[String]) -> String {
    joined(
        names,
        match locale {
            Locale::En => "and",
            Locale::Es => "y",
        },
    )
}

fn joined(names: &[String], last: &str) -> String {
    match names {
        [] => String::new(),
        [only] => only.clone(),
        [some @ .., end] => format!("{} {last} {end}", some.join(", ")),
    }
}

/// "Reply 'yes' to confirm.", the end of every question.
#[must_use]
pub(crate) fn reply_yes(locale: Locale) -> &'static str {
    match locale {
        Locale::En => "Reply 'yes' to confirm.",
        Locale::Es => "Responda 'sí' para confirmar.",
    }
}

/// Days are written so that no two readers take them for different days.
fn day(day: NaiveDate) -> String {
    day.format("%Y-%m-%d").to_string()
}

/// Most names read out in a list's sentence; the rest are counted.
const NAMED_MAX: usize = 10;

/// "Soap (2), Salt (1 kg) and 3 more".
fn some_of(locale: Locale, names: &[String]) -> String {
    if names.len() <= NAMED_MAX {
        return names.join(", ");
    }
    let (named, rest) = names.split_at(NAMED_MAX);
    let more = match locale {
        Locale::En => format!("and {} more", rest.len()),
        Locale::Es => format!("y {} más", rest.len()),
    };
    format!("{} {more}", named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_out() {
        let names = |n: usize| (1..=n).map(|i| format!("n{i}")).collect::<Vec<_>>();
        assert_eq!(one_of(Locale::En, &names(3)), "n1, n2 or n3");
        assert_eq!(all_of(Locale::Es, &names(2)), "n1 y n2");
        assert_eq!(all_of(Locale::En, &names(1)), "n1");
        assert!(some_of(Locale::En, &names(13)).ends_with("n10 and 3 more"));
    }
}
