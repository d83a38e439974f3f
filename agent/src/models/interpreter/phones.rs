//! Phone numbers as people type them: "+250 788 123 456", "0788-123-456".

use super::words::{Kind, words};

/// Digits of an international number, country code included (ITU-T E.164).
const DIGITS_MAX: usize = 15;
/// Shorter numbers are amounts or codes.
const DIGITS_MIN: usize = 9;

/// The first phone number of a text: digits only, with the leading `+` when it was typed. A number without a `+` must begin with 0, or it
/// could be an amount.
#[must_use]
pub fn read_phone(text: &str) -> Option<String> {
    let words = words(text);
    (0..words.len()).find_map(|at| {
        let first = words.get(at).filter(|w| w.kind == Kind::Digits)?;
        if !first.text.starts_with(['+', '0']) {
            return None;
        }
        let mut phone = String::new();
        for word in &words[at..] {
            let joiner = word.is_mark("-") || word.is_mark(".");
            let digits = word
                .text
                .strip_prefix('+')
                .filter(|_| phone.is_empty())
                .unwrap_or(&word.text);
            let plain = word.kind == Kind::Digits
                && digits
                    .chars()
                    .all(|c| c.is_ascii_digit() || matches!(c, '-' | '.'));
            if !joiner && !plain {
                break;
            }
            phone.extend(digits.chars().filter(char::is_ascii_digit));
        }
        let plus = if first.text.starts_with('+') { "+" } else { "" };
        (DIGITS_MIN..=DIGITS_MAX)
            .contains(&phone.len())
            .then(|| format!("{plus}{phone}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phones_in_many_spellings() {
        for (text, phone) in [
            ("Collect 5000 RWF from +250788123456", "+250788123456"),
            ("call +250 788 123 456 today", "+250788123456"),
            ("0788123456", "0788123456"),
            ("0788-123-456.", "0788123456"),
            ("(0788) 123 456", "0788123456"),
            ("+34 612.345.678", "+34612345678"),
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
