//! What a person or a client typed, made safe to store and to read out.

use chrono_tz::{TZ_VARIANTS, Tz};
use contracts::failure::ToolFailure;
use contracts::locale::Locale;
use contracts::money::{Currency, Money, MoneyError, to_minor};
use contracts::quantity::Exact;
use rust_decimal::Decimal;

use crate::handler::Shop;
use crate::phones::{self, E164};
use crate::words::arguments::{self, Thing};

/// Longest item name and alias, characters.
pub(crate) const NAME_CHARS_MAX: usize = 80;
/// Longest customer name, characters.
pub(crate) const CUSTOMER_CHARS_MAX: usize = 120;
/// Longest category and sku, characters.
pub(crate) const LABEL_CHARS_MAX: usize = 40;
/// Longest reason, characters.
pub(crate) const REASON_CHARS_MAX: usize = 200;
/// Longest BCP 47 tag, characters.
const LANGUAGE_CHARS_MAX: usize = 35;
/// Longest email address, bytes.
const EMAIL_BYTES_MAX: usize = 254;
/// Largest amount of a line or a bill, minor units. Below 2^53, so that no JSON reader loses a digit, and small enough for a
/// quantity of six decimals times a price of six to be exact in 96 bits.
pub(crate) const AMOUNT_MINOR_MAX: i64 = 1_000_000_000_000_000;
/// Page size when none is asked for.
const PAGE_DEFAULT: u32 = 20;
/// Largest page.
const PAGE_MAX: u32 = 100;

/// One line of text: trimmed, runs of white space as one space, and nothing in it that cannot be seen. A mark that turns the
/// direction of writing could make a question read as another one.
///
/// # Errors
/// When nothing is left, too much is there, or a character cannot be shown.
pub(crate) fn line(
    text: &str,
    thing: Thing,
    field: &str,
    chars_max: usize,
    locale: Locale,
) -> Result<String, ToolFailure> {
    let line = line_or_empty(text, thing, field, chars_max, locale)?;
    if line.is_empty() {
        return Err(arguments::empty(locale, thing, field));
    }
    Ok(line)
}

/// Like [`line()`], where nothing is fine.
///
/// # Errors
/// When too much is there, or a character cannot be shown.
pub(crate) fn line_or_empty(
    text: &str,
    thing: Thing,
    field: &str,
    chars_max: usize,
    locale: Locale,
) -> Result<String, ToolFailure> {
    // Bytes first: nothing is done with a text of megabytes.
    if text.len() > chars_max * 16 {
        return Err(arguments::too_long(locale, thing, field, chars_max));
    }
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().any(is_unseen) {
        return Err(arguments::unprintable(locale, thing, field));
    }
    if line.chars().count() > chars_max {
        return Err(arguments::too_long(locale, thing, field, chars_max));
    }
    Ok(line)
}

/// Text of several lines: as [`line()`], with its line breaks kept; nothing is fine.
///
/// # Errors
/// When too much is there, or a character cannot be shown.
pub(crate) fn text(
    text: &str,
    thing: Thing,
    field: &str,
    chars_max: usize,
    locale: Locale,
) -> Result<String, ToolFailure> {
    if text.len() > chars_max * 16 {
        return Err(arguments::too_long(locale, thing, field, chars_max));
    }
    let lines: Vec<String> = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let text = lines.join("\n").trim().to_owned();
    if text.chars().any(|c| is_unseen(c) && c != '\n') {
        return Err(arguments::unprintable(locale, thing, field));
    }
    if text.chars().count() > chars_max {
        return Err(arguments::too_long(locale, thing, field, chars_max));
    }
    Ok(text)
}

/// A BCP 47 tag: "es", "en-GB".
///
/// # Errors
/// When it is none.
pub(crate) fn language(tag: &str, field: &str, locale: Locale) -> Result<String, ToolFailure> {
    let tag = line(tag, Thing::Language, field, LANGUAGE_CHARS_MAX, locale)?;
    let is_tag = tag.len() >= 2
        && tag
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if is_tag {
        Ok(tag)
    } else {
        Err(arguments::bad_language(locale, field))
    }
}

/// A telephone number, in any spelling.
///
/// # Errors
/// When it can be none, or its country is not known.
pub(crate) fn phone(
    text: &str,
    shop: &Shop,
    field: &str,
    locale: Locale,
) -> Result<E164, ToolFailure> {
    phones::read(text, shop.country).map_err(|why| arguments::bad_phone(locale, why, field))
}

/// An email address that can be written to: one @ between a mailbox and a domain. The domain is kept in lower case.
///
/// # Errors
/// When it is none.
pub(crate) fn email(text: &str, field: &str, locale: Locale) -> Result<String, ToolFailure> {
    let bad = || arguments::bad_email(locale, field);
    let text = text.trim();
    if text.len() > EMAIL_BYTES_MAX || text.chars().any(|c| c.is_whitespace() || is_unseen(c)) {
        return Err(bad());
    }
    let (mailbox, domain) = text.rsplit_once('@').ok_or_else(bad)?;
    let is_mailbox = !mailbox.is_empty()
        && mailbox.len() <= 64
        && !mailbox.contains(['@', '<', '>', '(', ')', ',', ';', ':', '"', '\\', '[', ']'])
        && mailbox.split('.').all(|part| !part.is_empty());
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    let labels: Vec<&str> = domain.split('.').collect();
    if is_mailbox && labels.len() >= 2 && labels.iter().all(|label| is_label(label)) {
        Ok(format!("{mailbox}@{}", domain.to_lowercase()))
    } else {
        Err(bad())
    }
}

/// A time zone by its IANA name, in any case.
///
/// # Errors
/// When there is none of that name.
pub(crate) fn time_zone(text: &str, field: &str, locale: Locale) -> Result<Tz, ToolFailure> {
    let name = text.trim();
    TZ_VARIANTS
        .iter()
        .find(|zone| zone.name().eq_ignore_ascii_case(name))
        .copied()
        .ok_or_else(|| arguments::bad_time_zone(locale, field))
}

/// Control characters, marks of writing direction, zero-width spaces and characters that are none. Joiners stay: some scripts need
/// them.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e007f}')
}

/// A name typed without any capital gets one at its start: "sugar" is shown as Sugar, "iPhone cable" as typed. The name stays as
/// long as it is.
#[must_use]
pub(crate) fn capitalised(name: String) -> String {
    if name.chars().any(char::is_uppercase) {
        return name;
    }
    let mut letters = name.chars();
    match letters.next() {
        Some(first) if first.to_uppercase().count() == 1 => {
            first.to_uppercase().chain(letters).collect()
        }
        _ => name,
    }
}

/// Refuses amounts in another currency than the shop's.
///
/// # Errors
/// `currency_mismatch`.
pub(crate) fn same_currency(
    given: Option<&str>,
    shop: &Shop,
    field: &str,
    locale: Locale,
) -> Result<(), ToolFailure> {
    let Some(given) = given else { return Ok(()) };
    if given.parse::<Currency>() == Ok(shop.currency) {
        return Ok(());
    }
    let shown: String = given
        .chars()
        .filter(|c| c.is_alphanumeric())
        .take(12)
        .collect();
    Err(arguments::currency_mismatch(
        locale,
        &shown,
        shop.currency,
        field,
    ))
}

/// A unit price in minor units, fractions kept.
///
/// # Errors
/// When it is negative or too large to store.
pub(crate) fn unit_price_minor(
    price: Exact,
    shop: &Shop,
    field: &str,
    locale: Locale,
) -> Result<Decimal, ToolFailure> {
    if price.is_negative() {
        return Err(arguments::negative(locale, Thing::Price, field));
    }
    to_minor(price.0, shop.currency)
        .filter(|minor| *minor < Decimal::from(AMOUNT_MINOR_MAX / 10))
        .map(|minor| minor.normalize())
        .ok_or_else(|| arguments::too_large(locale, Thing::Price, field))
}

/// An amount of money, 0 or more, exact in the shop's currency.
///
/// # Errors
/// When it is negative, too large, or has decimals the currency has not.
pub(crate) fn amount(
    amount: Exact,
    thing: Thing,
    shop: &Shop,
    field: &str,
    locale: Locale,
) -> Result<Money, ToolFailure> {
    if amount.is_negative() {
        return Err(arguments::negative(locale, thing, field));
    }
    match Money::from_major(amount, shop.currency) {
        Ok(money) if money.amount_minor <= AMOUNT_MINOR_MAX => Ok(money),
        Ok(_) | Err(MoneyError::TooLarge) => Err(arguments::too_large(locale, thing, field)),
        Err(MoneyError::TooPrecise(currency)) => {
            Err(arguments::too_precise(locale, thing, field, currency))
        }
    }
}

/// How many rows a page has.
///
/// # Errors
/// When fewer than one or more than a hundred are asked for.
pub(crate) fn page_limit(limit: Option<u32>, locale: Locale) -> Result<usize, ToolFailure> {
    let limit = limit.unwrap_or(PAGE_DEFAULT);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(arguments::bad_limit(locale, PAGE_MAX));
    }
    Ok(limit as usize)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn selling_in(currency: &str) -> Shop {
        Shop {
            tenant: contracts::ids::TenantId::DEMO,
            name: "Kimironko Corner".to_owned(),
            currency: currency.parse().unwrap(),
            country: None,
            time_zone: chrono_tz::Africa::Kigali,
            locale: Locale::En,
            tax_inclusive: true,
            allow_negative_stock: false,
            confirmation_ttl: std::time::Duration::from_secs(300),
            unasked_clients: crate::handler::UnaskedClients::Page,
        }
    }

    fn read(text: &str) -> Result<String, String> {
        line(text, Thing::Name, "name", 10, Locale::En).map_err(|f| f.message)
    }

    #[test]
    fn a_line_is_what_can_be_seen() {
        assert_eq!(read("  white \t\n rice "), Ok("white rice".to_owned()));
        assert_eq!(read("Azúcar"), Ok("Azúcar".to_owned()));
        assert_eq!(read(" \n "), Err("The name cannot be empty.".to_owned()));
        for text in ["a\0b", "a\u{7}", "a\u{202e}b", "a\u{200b}b", "\u{feff}a"] {
            assert_eq!(
                read(text),
                Err("The name has characters that cannot be shown.".to_owned()),
                "{text:?}"
            );
        }
        let long = Err("The name is too long: 10 characters at most.".to_owned());
        assert_eq!(read("eleven char"), long);
        assert_eq!(read(&"x".repeat(1_000_000)), long);
        assert_eq!(read("ééééé ñññ"), Ok("ééééé ñññ".to_owned()));
    }

    #[test]
    fn text_keeps_its_lines_and_nothing_unseen() {
        let read = |text: &str| super::text(text, Thing::Note, "note", 15, Locale::En);
        assert_eq!(
            read(" sour  milk\r\n\tagain \n").unwrap(),
            "sour milk\nagain"
        );
        assert_eq!(read(" \n ").unwrap(), "");
        assert!(read("a\u{202e}b").is_err() && read("sixteen letters!").is_err());
    }

    #[test]
    fn an_email_address_is_one_that_can_be_written_to() {
        let read = |text: &str| email(text, "email", Locale::En);
        assert_eq!(
            read(" Ali.K+shop@Example.COM ").unwrap(),
            "Ali.K+shop@example.com"
        );
        assert_eq!(read("zoé@correo.es").unwrap(), "zoé@correo.es");
        for text in [
            "",
            "ali",
            "@example.com",
            "ali@",
            "ali@localhost",
            "a@b@example.com",
            "a b@example.com",
            "ali@-x.com",
            "ali@x..com",
            ".ali@example.com",
            "Ali <ali@example.com>",
            "ali@exam\u{200b}ple.com",
            "ali@example.com\n",
        ] {
            let trimmed_is_fine = text == "ali@example.com\n";
            assert_eq!(read(text).is_ok(), trimmed_is_fine, "{text:?}");
        }
    }

    #[test]
    fn a_name_without_capitals_gets_one() {
        assert_eq!(capitalised("sugar".to_owned()), "Sugar");
        assert_eq!(capitalised("iPhone cable".to_owned()), "iPhone cable");
        assert_eq!(capitalised("éclair".to_owned()), "Éclair");
        assert_eq!(capitalised("7up".to_owned()), "7up");
        assert_eq!(capitalised("ßen".to_owned()), "ßen", "SS would be longer");
    }

    proptest! {
        #[test]
        fn whatever_is_typed_is_seen_whole_or_refused(text in "(?s).{0,40}") {
            if let Ok(line) = read(&text) {
                prop_assert!((1..=10).contains(&line.chars().count()));
                prop_assert!(!line.chars().any(is_unseen));
                prop_assert_eq!(line.trim(), line.as_str());
                // Reading what was read changes nothing.
                prop_assert_eq!(read(&line), Ok(line.clone()));
                prop_assert_eq!(capitalised(line.clone()).chars().count(), line.chars().count());
            }
        }

        #[test]
        fn an_amount_is_exact_or_refused(units in -2_000_000_000_000_i64..2_000_000_000_000, micros in 0_i64..1_000_000, code in prop::sample::select(vec!["RWF", "KES", "KWD"])) {
            let exact = Exact((Decimal::from(units) + Decimal::new(micros, 6)).normalize());
            let shop = selling_in(code);
            if let Ok(money) = amount(exact, Thing::Payment, &shop, "amount", Locale::En) {
                prop_assert_eq!(money.major(), exact);
                prop_assert!((0..=AMOUNT_MINOR_MAX).contains(&money.amount_minor));
            }
        }
    }
}
