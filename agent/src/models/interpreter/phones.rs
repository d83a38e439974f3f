//! Phone numbers as people type them: "+250 788 123 456", "0788-123-456".

use super::words::{Kind, Word, words};

/// Digits of an international number, country code included (ITU-T E.164).
const DIGITS_MAX: usize = 15;
/// Shorter numbers are amounts or codes.
const DIGITS_MIN: usize = 9;

/// A national number is complete with this many digits, an international one with two more: what follows is something else.
const DIGITS_ENOUGH: usize = 9;

/// The first phone number of a text: digits only, with the leading `+` when it was typed, or meant by a leading `00`. A number without
/// either must begin with 0, or it could be an amount.
#[must_use]
pub fn read_phone(text: &str) -> Option<String> {
    phone_in(&words(text)).map(|(phone, ..)| phone)
}

/// The first phone number among the words, and where it stands.
pub(super) fn phone_in(words: &[Word]) -> Option<(String, usize, usize)> {
    (0..words.len()).find_map(|at| phone_at(words, at).map(|(phone, end)| (phone, at, end)))
}

/// The phone number that begins at `at`, and the first word after it.
pub(super) fn phone_at(words: &[Word], at: usize) -> Option<(String, usize)> {
    let sign = words.get(at)?.is_mark("+");
    let start = at + usize::from(sign);
    let first = words.get(start).filter(|w| w.kind == Kind::Digits)?;
    let plus = sign || first.text.starts_with('+');
    if !plus && !first.text.starts_with('0') {
        return None;
    }
    let mut phone = String::new();
    let mut end = start;
    for (place, word) in words.iter().enumerate().skip(start) {
        let joiner = ["-", ".", "/"].iter().any(|mark| word.is_mark(mark));
        let digits = word
            .text
            .strip_prefix('+')
            .filter(|_| phone.is_empty())
            .unwrap_or(&word.text);
        let plain = word.kind == Kind::Digits
            && digits
                .chars()
                .all(|c| c.is_ascii_digit() || matches!(c, '-' | '.'));
        let enough = match (plus, phone.starts_with("00")) {
            (true, _) => DIGITS_ENOUGH + 2,
            (false, true) => DIGITS_ENOUGH + 4,
            (false, false) => DIGITS_ENOUGH,
        };
        if phone.len() >= enough || (!joiner && !plain) {
            break;
        }
        phone.extend(digits.chars().filter(char::is_ascii_digit));
        if plain {
            end = place + 1;
        }
    }
    // Dialled from abroad: "00250 788 123 456".
    let (plus, phone) = match phone.strip_prefix("00") {
        Some(rest) if !plus => (true, rest.to_owned()),
        _ => (plus, phone),
    };
    let sign = if plus { "+" } else { "" };
    (DIGITS_MIN..=DIGITS_MAX)
        .contains(&phone.len())
        .then(|| (format!("{sign}{phone}"), end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn any_text_is_read_without_harm(text in "\\PC{0,60}|[+0-9 ./()-]{0,40}") {
            if let Some(phone) = read_phone(&text) {
                let digits = phone.strip_prefix('+').unwrap_or(&phone);
                prop_assert!((DIGITS_MIN..=DIGITS_MAX).contains(&digits.len()), "{}", phone);
                prop_assert!(digits.chars().all(|c| c.is_ascii_digit()), "{}", phone);
            }
        }
    }

    #[test]
    fn phones_in_many_spellings() {
        for (text, phone) in [
            ("Collect 5000 RWF from +250788123456", "+250788123456"),
            ("call +250 788 123 456 today", "+250788123456"),
            ("0788123456", "0788123456"),
            ("0788-123-456.", "0788123456"),
            ("(0788) 123 456", "0788123456"),
            ("+34 612.345.678", "+34612345678"),
            ("+ 250 788 123 456", "+250788123456"),
            ("(+250) 788-123-456", "+250788123456"),
            ("00250 788 123 456", "+250788123456"),
            ("07 88 12 34 56", "0788123456"),
            ("+1 415 555 0123", "+14155550123"),
            ("from 0788 123 456 5000 RWF", "0788123456"),
            ("+250788123456 5000", "+250788123456"),
        ] {
            assert_eq!(read_phone(text).as_deref(), Some(phone), "{text}");
        }
        for text in [
            "5000",
            "2026-11-20",
            "0.5 kg",
            "788123456789",
            "+1234567890123456",
            "12",
        ] {
            assert_eq!(read_phone(text), None, "{text}");
        }
    }
}
