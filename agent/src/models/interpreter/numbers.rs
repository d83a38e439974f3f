//! Numbers as people type and say them: "1,500", "2.5", "½", "twenty five", "veinticinco".

use rust_decimal::Decimal;

use super::words::{Kind, Word};
use crate::language::Language;

/// A number that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Number {
    /// As a plain decimal: "1500", "-2.5". What was typed, however large or small.
    pub(super) text: String,
    /// The other way to read it, where a separator leaves it open: "1.500" is 1500 to some and 1.5 to others.
    pub(super) or_else: Option<String>,
    /// The first word after it.
    pub(super) end: usize,
}

/// The number that begins at `at`.
pub(super) fn number_at(words: &[Word], at: usize, language: Language) -> Option<Number> {
    let first = words.get(at)?;
    match first.kind {
        Kind::Digits => digits_at(words, at, language),
        Kind::Letters => spoken_at(words, at, language),
        Kind::Mark => None,
    }
}

fn digits_at(words: &[Word], at: usize, language: Language) -> Option<Number> {
    let (text, or_else) = read_digits(&words[at].text, language)?;
    let mut number = Number {
        text,
        or_else,
        end: at + 1,
    };
    // "2 1/2", "2 ½"
    if let Some(next) = words.get(at + 1)
        && next.kind == Kind::Digits
        && (next.text.contains('/') || is_fraction_sign(&next.text))
        && let (Some(fraction), Some(whole)) = (read_fraction(&next.text), decimal(&number.text))
        && fraction < Decimal::ONE
        && whole.fract().is_zero()
        && !whole.is_sign_negative()
    {
        number = Number {
            text: plain(whole + fraction),
            or_else: None,
            end: at + 2,
        };
    }
    if let Some(factor) = words
        .get(number.end)
        .and_then(|w| magnitude(&w.folded, &words[at], w))
        && let Some(value) = decimal(&number.text).and_then(|d| d.checked_mul(factor))
    {
        number = Number {
            text: plain(value),
            or_else: None,
            end: number.end + 1,
        };
    }
    Some(number)
}

/// "5 thousand", "5k" (glued, so that it is not taken for a name), "2 mil".
fn magnitude(folded: &str, number: &Word, word: &Word) -> Option<Decimal> {
    let glued = !word.spaced && number.kind == Kind::Digits;
    match folded {
        "thousand" | "mil" => Some(Decimal::ONE_THOUSAND),
        "k" if glued => Some(Decimal::ONE_THOUSAND),
        "million" | "millones" | "millon" => Some(Decimal::from(1_000_000)),
        "hundred" => Some(Decimal::ONE_HUNDRED),
        _ => None,
    }
}

fn is_fraction_sign(text: &str) -> bool {
    matches!(text, "½" | "¼" | "¾")
}

fn decimal(text: &str) -> Option<Decimal> {
    Decimal::from_str_exact(text).ok()
}

fn plain(value: Decimal) -> String {
    value.normalize().to_string()
}

/// "1/2", "½", "2½". Only fractions that come out exactly.
fn read_fraction(text: &str) -> Option<Decimal> {
    if let Some(sign) = text.chars().last().filter(|c| matches!(c, '½' | '¼' | '¾')) {
        let part = match sign {
            '½' => Decimal::new(5, 1),
            '¼' => Decimal::new(25, 2),
            _ => Decimal::new(75, 2),
        };
        let whole = text.trim_end_matches(sign);
        return if whole.is_empty() {
            Some(part)
        } else {
            decimal(whole)?.checked_add(part)
        };
    }
    let (over, under) = text.split_once('/')?;
    let (over, under) = (decimal(over)?, decimal(under)?);
    let value = over.checked_div(under)?;
    (value.scale() <= 6 && value * under == over).then_some(value)
}

/// Typed digits: the number, and what else it could mean. `None` for dates, times and the like.
fn read_digits(typed: &str, language: Language) -> Option<(String, Option<String>)> {
    let (sign, digits) = match typed.strip_prefix(['-', '+']) {
        Some(rest) if typed.starts_with('-') => ("-", rest),
        Some(rest) => ("", rest),
        None => ("", typed),
    };
    if digits.contains(['/', '½', '¼', '¾']) {
        return read_fraction(digits).map(|f| (format!("{sign}{}", plain(f)), None));
    }
    if !digits
        .chars()
        .all(|c| c.is_ascii_digit() || matches!(c, '.' | ','))
    {
        return None;
    }
    let signed = |text: String| format!("{sign}{text}");
    let separators: Vec<char> = digits.chars().filter(|c| !c.is_ascii_digit()).collect();
    match separators.as_slice() {
        [] => Some((signed(digits.to_owned()), None)),
        [only] => Some(one_separator(digits, *only, language, &signed)),
        [.., last] => many_separators(digits, &separators, *last).map(|text| (signed(text), None)),
    }
}

fn one_separator(
    digits: &str,
    mark: char,
    language: Language,
    signed: &dyn Fn(String) -> String,
) -> (String, Option<String>) {
    let (whole, rest) = digits.split_once(mark).unwrap_or((digits, ""));
    let thousands = || signed(format!("{whole}{rest}"));
    let fraction = || signed(format!("{whole}.{rest}"));
    let could_group = rest.len() == 3 && (1..=3).contains(&whole.len()) && !whole.starts_with('0');
    match (mark, could_group, language) {
        // Spanish uses both marks for both things.
        (_, true, Language::Es) => (thousands(), Some(fraction())),
        (',', true, _) => (thousands(), None),
        // In English the point is the fraction's, but half the world's price tags say otherwise.
        (_, true, _) => (fraction(), Some(thousands())),
        _ => (fraction(), None),
    }
}

/// "1,234,567", "1.234.567", "1,500.50", "1.500,50": with two kinds of marks the last one is the decimal point.
fn many_separators(digits: &str, separators: &[char], last: char) -> Option<String> {
    let (whole, fraction) = if separators.iter().all(|c| *c == last) {
        (digits, None)
    } else {
        let (whole, fraction) = digits.rsplit_once(last)?;
        (whole, Some(fraction))
    };
    let mut groups = whole.split(['.', ',']);
    let first = groups.next()?;
    let marks: Vec<char> = whole.chars().filter(|c| !c.is_ascii_digit()).collect();
    let uniform = marks.iter().all(|c| marks.first() == Some(c));
    let mut joined = first.to_owned();
    for group in groups {
        if group.len() != 3 || first.len() > 3 || !uniform {
            return None;
        }
        joined.push_str(group);
    }
    Some(fraction.map_or_else(|| joined.clone(), |f| format!("{joined}.{f}")))
}

/// Number words. "A" and "un" are numbers only to those who ask for quantities, so they are not read here.
fn spoken_at(words: &[Word], at: usize, language: Language) -> Option<Number> {
    let mut state = Spoken::default();
    let mut end = at;
    let mut next = at;
    while let Some(word) = words.get(next).filter(|w| w.kind == Kind::Letters) {
        let joins = matches!(word.folded.as_str(), "and" | "y");
        if joins
            && end > at
            && words
                .get(next + 1)
                .is_some_and(|w| state.joins_with(&word.folded, &w.folded))
        {
            next += 1;
            continue;
        }
        let article = end == at && matches!(word.folded.as_str(), "a" | "an");
        if article
            && words
                .get(next + 1)
                .is_some_and(|w| matches!(w.folded.as_str(), "hundred" | "thousand" | "million"))
        {
            state.group = 1;
        } else if !word
            .folded
            .split('-')
            .all(|part| state.take(part, language, end == at))
        {
            break;
        }
        next += 1;
        end = next;
    }
    if end == at {
        return None;
    }
    Some(Number {
        text: state.total.checked_add(state.group)?.to_string(),
        or_else: None,
        end,
    })
}

/// A number being said: finished thousands, the group under a thousand, and what may come next.
#[derive(Default)]
struct Spoken {
    total: u64,
    group: u64,
    /// The size of the last word: a smaller one must follow.
    last: u64,
}

impl Spoken {
    fn take(&mut self, word: &str, language: Language, first: bool) -> bool {
        if matches!(word, "hundred") && (1..10).contains(&self.group) {
            self.group *= 100;
            self.last = 100;
            return true;
        }
        if matches!(word, "thousand" | "mil" | "million" | "millon" | "millones") {
            let size = if matches!(word, "thousand" | "mil") {
                1_000
            } else {
                1_000_000
            };
            let alone = first && matches!(word, "mil");
            if (self.group == 0 && !alone) || (self.total > 0 && self.total < size * 1_000) {
                return false;
            }
            self.total += self.group.max(1) * size;
            self.group = 0;
            self.last = 1_000;
            return true;
        }
        let Some(value) = small(word, language) else {
            return false;
        };
        let fits = match self.last {
            0 | 1_000 => true,
            100 => value < 100,
            20 => (1..10).contains(&value),
            _ => false,
        };
        if !fits || (value == 0 && !first) {
            return false;
        }
        self.group += value;
        self.last = match value {
            100..1_000 => 100,
            20..100 if value.is_multiple_of(10) => 20,
            _ => 1,
        };
        true
    }

    /// "And" belongs to the number in "two hundred and five", "y" in "treinta y cinco".
    fn joins_with(&self, joint: &str, next: &str) -> bool {
        match joint {
            "and" => self.last >= 100 && small(next, Language::En).is_some(),
            _ => self.last == 20 && small(next, Language::Es).is_some_and(|v| (1..10).contains(&v)),
        }
    }
}

/// A number word under a thousand.
fn small(word: &str, language: Language) -> Option<u64> {
    let listed = |list: &str| {
        list.split(' ')
            .filter_map(|entry| entry.split_once('='))
            .find(|(said, _)| *said == word)
            .and_then(|(_, value)| value.parse().ok())
    };
    let (spanish, english) = (|| listed(SPANISH), || listed(ENGLISH));
    // "Once" is eleven in Spanish only; "six" and "seis" never meet.
    if language == Language::Es {
        spanish().or_else(english)
    } else {
        english().or_else(|| spanish().filter(|_| word != "once"))
    }
}

const ENGLISH: &str = "zero=0 one=1 two=2 three=3 four=4 five=5 six=6 seven=7 eight=8 nine=9 ten=10 eleven=11 twelve=12 thirteen=13 \
    fourteen=14 fifteen=15 sixteen=16 seventeen=17 eighteen=18 nineteen=19 twenty=20 thirty=30 forty=40 fifty=50 \
    sixty=60 seventy=70 eighty=80 ninety=90";

const SPANISH: &str = "cero=0 uno=1 dos=2 tres=3 cuatro=4 cinco=5 seis=6 siete=7 ocho=8 nueve=9 diez=10 once=11 doce=12 trece=13 \
    catorce=14 quince=15 dieciseis=16 diecisiete=17 dieciocho=18 diecinueve=19 veinte=20 veintiun=21 veintiuno=21 \
    veintiuna=21 veintidos=22 veintitres=23 veinticuatro=24 veinticinco=25 veintiseis=26 veintisiete=27 veintiocho=28 \
    veintinueve=29 treinta=30 cuarenta=40 cincuenta=50 sesenta=60 setenta=70 ochenta=80 noventa=90 cien=100 ciento=100 \
    doscientos=200 doscientas=200 trescientos=300 trescientas=300 cuatrocientos=400 cuatrocientas=400 quinientos=500 \
    quinientas=500 seiscientos=600 seiscientas=600 setecientos=700 setecientas=700 ochocientos=800 ochocientas=800 \
    novecientos=900 novecientas=900";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::words::words;
    use super::*;
    use Language::{En, Es};

    fn read(text: &str, language: Language) -> Option<String> {
        let words = words(text);
        number_at(&words, 0, language)
            .filter(|n| n.end == words.len())
            .map(|n| n.text)
    }

    #[test]
    fn typed_numbers() {
        for (text, language, number) in [
            ("20", En, "20"),
            ("-5", En, "-5"),
            ("2.5", En, "2.5"),
            ("2,5", En, "2.5"),
            ("1,500", En, "1500"),
            ("1.500", En, "1.500"),
            ("1,500.50", En, "1500.50"),
            ("1.500,50", Es, "1500.50"),
            ("1.500.000", Es, "1500000"),
            ("1,234,567", En, "1234567"),
            ("2,5", Es, "2.5"),
            ("0,125", Es, "0.125"),
            ("½", En, "0.5"),
            ("2½", En, "2.5"),
            ("2 1/2", En, "2.5"),
            ("1/2", En, "0.5"),
            ("5k", En, "5000"),
            ("5 thousand", En, "5000"),
            ("3 mil", Es, "3000"),
            ("12345678901234", En, "12345678901234"),
        ] {
            assert_eq!(read(text, language).as_deref(), Some(number), "{text}");
        }
        for text in [
            "2026-11-20",
            "15:30",
            "1,50,0",
            "1/3",
            "20/11/2026",
            "sugar",
            "1.2,3.4",
        ] {
            assert_eq!(read(text, En), None, "{text}");
        }
    }

    #[test]
    fn a_point_before_a_group_of_three_leaves_the_number_open() {
        let words = words("1.500");
        let number = number_at(&words, 0, Es).unwrap();
        assert_eq!(
            (number.text.as_str(), number.or_else.as_deref()),
            ("1500", Some("1.500"))
        );
        let number = number_at(&words, 0, En).unwrap();
        assert_eq!(
            (number.text.as_str(), number.or_else.as_deref()),
            ("1.500", Some("1500"))
        );
        for text in ["1,500", "1.50", "0.500", "1.5000"] {
            let words = super::super::words::words(text);
            assert_eq!(number_at(&words, 0, En).unwrap().or_else, None, "{text}");
        }
    }

    #[test]
    fn spoken_numbers() {
        for (text, language, number) in [
            ("twenty five", En, "25"),
            ("twenty-five", En, "25"),
            ("one hundred", En, "100"),
            ("a hundred", En, "100"),
            ("one hundred and five", En, "105"),
            ("two thousand five hundred", En, "2500"),
            ("three hundred twenty", En, "320"),
            ("one million two hundred thousand", En, "1200000"),
            ("veinticinco", Es, "25"),
            ("treinta y cinco", Es, "35"),
            ("ciento sesenta", Es, "160"),
            ("mil quinientos", Es, "1500"),
            ("dos mil", Es, "2000"),
            ("quinientos", Es, "500"),
            ("once", Es, "11"),
            ("zero", En, "0"),
        ] {
            assert_eq!(read(text, language).as_deref(), Some(number), "{text}");
        }
        assert_eq!(read("once", En), None);
        let two = words("two and three");
        assert_eq!(
            number_at(&two, 0, En).unwrap().end,
            1,
            "two things, not one number"
        );
        let twice = words("two two");
        assert_eq!(number_at(&twice, 0, En).unwrap().end, 1);
    }

    proptest! {
        #[test]
        fn whole_numbers_are_read_as_typed(number in 0_u64..1_000_000_000_000) {
            let text = number.to_string();
            prop_assert_eq!(read(&text, En), Some(text));
        }

        #[test]
        fn grouping_changes_nothing_in_english(number in 1_000_u64..1_000_000_000) {
            let plain = number.to_string();
            let mut grouped = String::new();
            for (i, c) in plain.chars().enumerate() {
                if i > 0 && (plain.len() - i).is_multiple_of(3) {
                    grouped.push(',');
                }
                grouped.push(c);
            }
            prop_assert_eq!(read(&grouped, En), Some(plain));
        }
    }
}
