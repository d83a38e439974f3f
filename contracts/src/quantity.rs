//! Exact decimal numbers as they are spoken and typed: quantities, unit prices, changes of stock.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Most digits before the point. `numeric(20,6)` holds fourteen; twelve leaves room for a conversion.
pub const INTEGER_DIGITS_MAX: usize = 12;
/// Most digits after the point, like the columns that store them.
pub const DECIMALS_MAX: u32 = 6;

/// An exact decimal: at most twelve digits before the point and six after it. Text on the wire; a JSON number is accepted when
/// its shortest spelling is such a decimal. Exponents, `NaN` and signs other than a leading `-` or `+` are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Exact(pub Decimal);

/// Why a text is not an exact decimal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotExact {
    /// Not digits with at most one point.
    #[error(
        "`{0}` is not a plain decimal number: use digits and at most one point, such as \"2.5\""
    )]
    NotANumber(String),
    /// More than six decimals.
    #[error("`{0}` is too precise: at most six decimals")]
    TooPrecise(String),
    /// More than twelve digits before the point.
    #[error("`{0}` is too large: at most twelve digits before the point")]
    TooLarge(String),
}

impl Exact {
    /// Nothing at all.
    pub const ZERO: Exact = Exact(Decimal::ZERO);
    /// One.
    pub const ONE: Exact = Exact(Decimal::ONE);

    /// Below zero.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self.0.is_sign_negative() && !self.0.is_zero()
    }

    /// Above zero.
    #[must_use]
    pub fn is_positive(self) -> bool {
        self.0.is_sign_positive() && !self.0.is_zero()
    }
}

impl FromStr for Exact {
    type Err = NotExact;

    fn from_str(text: &str) -> Result<Self, NotExact> {
        let shown = || text.chars().take(40).collect::<String>();
        let trimmed = text.trim();
        let digits = trimmed.strip_prefix(['-', '+']).unwrap_or(trimmed);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !plain(whole) || !plain(fraction) {
            return Err(NotExact::NotANumber(shown()));
        }
        if fraction.trim_end_matches('0').len() > DECIMALS_MAX as usize {
            return Err(NotExact::TooPrecise(shown()));
        }
        if whole.trim_start_matches('0').len() > INTEGER_DIGITS_MAX {
            return Err(NotExact::TooLarge(shown()));
        }
        let kept = format!(
            "{}.{}",
            whole.trim_start_matches('0'),
            fraction.trim_end_matches('0')
        );
        let sign = if trimmed.starts_with('-') { "-" } else { "" };
        let number = format!("{sign}0{}", kept.trim_end_matches('.'));
        Decimal::from_str_exact(&number)
            .map(|d| Exact(d.normalize()))
            .map_err(|_| NotExact::NotANumber(shown()))
    }
}

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.normalize().fmt(f)
    }
}

impl From<i64> for Exact {
    fn from(number: i64) -> Self {
        Exact(Decimal::from(number))
    }
}

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

struct ExactVisitor;

impl Visitor<'_> for ExactVisitor {
    type Value = Exact;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a decimal number as text, such as \"2.5\"")
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Exact, E> {
        text.parse().map_err(E::custom)
    }
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Exact, E> {
        number.to_string().parse().map_err(E::custom)
    }
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Exact, E> {
        number.to_string().parse().map_err(E::custom)
    }
    /// A JSON number has already been read as a double. Its shortest decimal spelling is what the sender wrote as long as that
    /// had at most fifteen significant digits, and anything longer is refused here.
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Exact, E> {
        let text = number.to_string();
        if text.bytes().filter(u8::is_ascii_digit).count() > 15 {
            return Err(E::custom(NotExact::TooPrecise(text)));
        }
        text.parse().map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ExactVisitor)
    }
}

impl JsonSchema for Exact {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Decimal".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[-+]?[0-9]{1,12}(\\.[0-9]{1,6})?$"})
    }
}

/// A quantity in a unit, with the words a person reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Measure {
    /// How many units.
    pub quantity: Exact,
    /// The unit's code: `kg`, `each`, or a unit of the item such as `bag`.
    pub unit: String,
    /// Both as a person reads them: "20 kg", "3".
    pub text: String,
}

impl Measure {
    /// A measure and its words. Pieces are counted without naming the unit: "3", not "3 each"; an item's own unit is counted in the
    /// plural: "2 bottles".
    #[must_use]
    pub fn new(quantity: Exact, unit: impl Into<String>) -> Measure {
        let unit = unit.into();
        let text = if unit == crate::unit::EACH {
            quantity.to_string()
        } else if is_singular(quantity) || crate::unit::find(&unit).is_some() {
            format!("{quantity} {unit}")
        } else {
            format!("{quantity} {}", plural(&unit))
        };
        Measure {
            quantity,
            unit,
            text,
        }
    }
}

/// One, or a part of one.
fn is_singular(quantity: Exact) -> bool {
    quantity.is_positive() && quantity <= Exact::ONE
}

/// The regular plural, which is the same in English and Spanish for nearly all containers: bottles, botellas, boxes.
fn plural(unit: &str) -> String {
    let hisses = ["s", "x", "z", "ch", "sh"]
        .iter()
        .any(|end| unit.ends_with(end));
    let ending = if hisses { "es" } else { "s" };
    format!("{unit}{ending}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<String, NotExact> {
        text.parse::<Exact>().map(|e| e.to_string())
    }

    #[test]
    fn plain_decimals_are_read_and_printed_short() {
        for (text, printed) in [
            ("20", "20"),
            ("2.50", "2.5"),
            (" 007 ", "7"),
            ("-3", "-3"),
            ("+3", "3"),
            ("0.000001", "0.000001"),
            ("0", "0"),
            ("-0", "0"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(printed), "{text}");
        }
    }

    #[test]
    fn a_measure_is_said_as_people_say_it() {
        let said = |quantity: &str, unit: &str| Measure::new(quantity.parse().unwrap(), unit).text;
        assert_eq!(said("3", "each"), "3");
        assert_eq!(said("2.5", "kg"), "2.5 kg");
        assert_eq!(said("2", "dozen"), "2 dozen");
        assert_eq!(said("1", "bottle"), "1 bottle");
        assert_eq!(said("2", "bottle"), "2 bottles");
        assert_eq!(said("0.5", "tray"), "0.5 tray");
        assert_eq!(said("0", "box"), "0 boxes");
    }

    #[test]
    fn everything_else_is_refused_with_a_reason() {
        for text in [
            "", "NaN", "inf", "1e3", "1E3", "0x10", "1,000", "--1", "1.", ".5", "1.2.3", "½", "١",
            "1 000",
        ] {
            assert!(matches!(read(text), Err(NotExact::NotANumber(_))), "{text}");
        }
        assert!(matches!(read("0.1234567"), Err(NotExact::TooPrecise(_))));
        assert!(matches!(read("1234567890123"), Err(NotExact::TooLarge(_))));
        assert_eq!(
            read("0.1234560000").as_deref(),
            Ok("0.123456"),
            "trailing zeros are not precision"
        );
    }

    #[test]
    fn json_numbers_are_taken_only_when_their_spelling_is_certain() {
        let json = |text: &str| serde_json::from_str::<Exact>(text).map(|e| e.to_string());
        assert_eq!(json("20").unwrap(), "20");
        assert_eq!(json("0.1").unwrap(), "0.1");
        assert_eq!(json("-2.5").unwrap(), "-2.5");
        assert!(json("0.1234567890123456").is_err());
        assert!(json("1e300").is_err());
        assert!(json("null").is_err());
        assert!(json("true").is_err());
    }

    proptest! {
        #[test]
        fn printing_and_reading_is_the_identity(units in -999_999_999_999_i64..=999_999_999_999, micros in 0_i64..1_000_000) {
            let exact = Exact((Decimal::from(units) + Decimal::new(micros, 6)).normalize());
            prop_assert_eq!(exact.to_string().parse::<Exact>().unwrap(), exact);
            let json = serde_json::to_string(&exact).unwrap();
            prop_assert_eq!(serde_json::from_str::<Exact>(&json).unwrap(), exact);
        }

        #[test]
        fn no_text_makes_the_reader_fail_hard(text in "\\PC{0,60}") {
            let _ = text.parse::<Exact>();
        }
    }
}
