//! Telephone numbers as E.164, however a person writes them. Pure: the numbering plans are compiled in.

use std::fmt;
use std::str::FromStr;

use phonenumber::country;

/// A telephone number that can exist, in E.164: "+250788123456". Two people have the same number when these are equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct E164(String);

impl E164 {
    /// With its plus sign, without spaces.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text itself, for a row or an answer.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Display for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A country whose numbering plan is known, ISO 3166 alpha-2: "RW".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Country(country::Id);

impl Country {
    /// The two capital letters.
    #[must_use]
    pub fn code(&self) -> &str {
        self.0.as_ref()
    }
}

impl FromStr for Country {
    type Err = UnknownCountry;

    fn from_str(code: &str) -> Result<Country, UnknownCountry> {
        code.parse().map(Country).map_err(|_| UnknownCountry)
    }
}

/// Not two capital letters of a country with telephone numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an ISO 3166 alpha-2 code of a country with telephone numbers")]
pub struct UnknownCountry;

/// Why a text is no telephone number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAPhone {
    /// It has no plus sign, and the shop has said in no country it is.
    #[error("without a country code, and the shop's country is not known")]
    NoCountry,
    /// No numbering plan has such a number, or it is not written as one.
    #[error("not a telephone number that can exist")]
    Impossible,
}

/// Longest text that is looked at, bytes.
const BYTES_MAX: usize = 64;
/// Most digits a number is written with: the fifteen of E.164, an international prefix and a trunk zero.
const DIGITS_MAX: usize = 19;

/// Reads "+250 788 123 456", "0788-123-456" or "tel:+250788123456". Numbers without a plus sign are of `country`.
///
/// Letters and extensions are refused: money is asked for at this number, and a guess would ask somebody else.
///
/// # Errors
/// [`NotAPhone`], by reason.
pub fn read(text: &str, country: Option<Country>) -> Result<E164, NotAPhone> {
    let (international, digits) = digits(text).ok_or(NotAPhone::Impossible)?;
    if !international && country.is_none() {
        return Err(NotAPhone::NoCountry);
    }
    let plain = if international {
        format!("+{digits}")
    } else {
        digits
    };
    // Given a country, the library takes that one's trunk zero off numbers of other countries too: Rome's begin with a zero.
    let default = country.filter(|_| !international).map(|country| country.0);
    let number = phonenumber::parse(default, &plain).map_err(|_| NotAPhone::Impossible)?;
    let e164 = number.format().mode(phonenumber::Mode::E164).to_string();
    if !phonenumber::is_valid(&number)
        || international && !keeps(&plain, &e164, number.country().code())
    {
        return Err(NotAPhone::Impossible);
    }
    Ok(E164(e164))
}

/// A number with its country code keeps every digit, save the trunk zero of "+44 (0)20 …". The library takes the first digits of a
/// few numbers that nobody pays from, such as Russia's 800, for a trunk prefix: those are refused rather than cut.
fn keeps(typed: &str, e164: &str, country_code: u16) -> bool {
    let code = format!("+{country_code}");
    let with_zero = e164
        .strip_prefix(&code)
        .map(|national| format!("{code}0{national}"));
    typed == e164 || Some(typed) == with_zero.as_deref()
}

/// The digits of a text that is written as a number, and whether a plus sign stands before them.
fn digits(text: &str) -> Option<(bool, String)> {
    let text = text.trim();
    if text.len() > BYTES_MAX {
        return None;
    }
    let text = text.strip_prefix("tel:").unwrap_or(text);
    let mut digits = String::new();
    let mut international = false;
    for c in text.chars() {
        match c {
            '0'..='9' => digits.push(c),
            '+' if digits.is_empty() && !international => international = true,
            '-' | '.' | '/' | '(' | ')' | '\u{2010}'..='\u{2013}' => {}
            c if c.is_whitespace() => {}
            _ => return None,
        }
    }
    (1..=DIGITS_MAX)
        .contains(&digits.len())
        .then_some((international, digits))
}

/// The digits by which part of a number is searched for, without the zeros of a trunk or international prefix: "0788 12" is "78812".
/// `None` for a text that is not written as a number, or too short to narrow anything.
#[must_use]
pub fn part(text: &str) -> Option<String> {
    const DIGITS_MIN: usize = 3;
    let (_, digits) = digits(text)?;
    let part = digits.trim_start_matches('0');
    (part.len() >= DIGITS_MIN).then(|| part.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str, country: &str) -> Result<String, NotAPhone> {
        let country = Some(country)
            .filter(|c| !c.is_empty())
            .map(|c| c.parse().unwrap());
        read(text, country).map(E164::into_string)
    }

    #[test]
    fn one_number_in_every_spelling() {
        let ali = Ok("+250788123456".to_owned());
        for text in [
            "+250788123456",
            "+250 788 123 456",
            "(+250) 788-123-456",
            "0788123456",
            "0788 12 34 56",
            "788.123.456",
            "250788123456",
            "00250788123456",
            "tel:+250-788-123-456",
            "\u{a0}0788\u{202f}123\u{2011}456 ",
            "+250 (0) 788 123 456",
        ] {
            assert_eq!(at(text, "RW"), ali, "{text}");
        }
        assert_eq!(at("+250788123456", ""), ali);
        assert_eq!(at("+250788123456", "ES"), ali, "a plus sign is enough");
    }

    #[test]
    fn countries_differ_in_their_zeros() {
        for (text, country, e164) in [
            ("600 123 456", "ES", "+34600123456"),
            ("0712 345678", "KE", "+254712345678"),
            ("+44 (0)20 7946 0018", "", "+442079460018"),
            ("06 6982 1234", "IT", "+390669821234"),
            ("+39 06 6982 1234", "RW", "+390669821234"),
            ("+225 07 08 09 10 11", "RW", "+2250708091011"),
            ("+225 07 08 09 10 11", "", "+2250708091011"),
            ("(202) 456-1111", "US", "+12024561111"),
            ("+965 5012 3456", "", "+96550123456"),
            ("+7 912 345-67-89", "", "+79123456789"),
        ] {
            assert_eq!(at(text, country), Ok(e164.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_told_from_what_lacks_its_country() {
        assert_eq!(at("0788123456", ""), Err(NotAPhone::NoCountry));
        assert_eq!(at("00250788123456", ""), Err(NotAPhone::NoCountry));
        for text in [
            "",
            "+",
            "Ali",
            "12",
            "+2507881234",
            "+250 788 123 456 7",
            "+999123456789",
            "0788123456 ext 7",
            "0788123456x",
            "1-800-FLOWERS",
            "07+88123456",
            "++250788123456",
            "+0788123456",
            "+7 800 555 35 35",
            "٠٧٨٨١٢٣٤٥٦",
            "0788123456; drop table",
        ] {
            assert_eq!(at(text, "RW"), Err(NotAPhone::Impossible), "{text}");
        }
        assert!("rw".parse::<Country>().is_err());
        assert!("XX".parse::<Country>().is_err());
        assert_eq!("RW".parse::<Country>().unwrap().code(), "RW");
    }

    #[test]
    fn a_part_of_a_number_is_searched_without_its_zeros() {
        assert_eq!(part("0788 12").as_deref(), Some("78812"));
        assert_eq!(part("+250").as_deref(), Some("250"));
        assert_eq!(part("07"), None);
        assert_eq!(part("Ali 788"), None);
    }

    proptest! {
        #[test]
        fn whatever_is_typed_is_read_or_refused(text in "\\PC{0,40}|[+0-9() .-]{0,24}") {
            for country in [None, Some("RW".parse().unwrap())] {
                if let Ok(phone) = read(&text, country) {
                    let rest = phone.as_str().strip_prefix('+').unwrap();
                    prop_assert!((7..=15).contains(&rest.len()) && !rest.starts_with('0'));
                    prop_assert!(rest.bytes().all(|b| b.is_ascii_digit()));
                    prop_assert_eq!(read(phone.as_str(), None), Ok(phone.clone()), "its own spelling is read as itself");
                }
            }
        }
    }
}
