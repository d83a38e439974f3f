//! Money: a 64-bit integer of minor units and an ISO 4217 currency. Never a float.

use std::fmt;
use std::str::FromStr;

use rust_decimal::{Decimal, RoundingStrategy};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::quantity::Exact;

/// An ISO 4217 currency. Its exponent is ISO's (RWF 0, KES 2, KWD 3); a payment provider's own idea of it stays in that provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency(iso_currency::Currency);

/// The code is not an ISO 4217 currency with minor units.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an ISO 4217 currency code")]
pub struct UnknownCurrency(pub String);

impl Currency {
    /// The three-letter code.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// Decimal digits of the minor unit: 0 to 4.
    #[must_use]
    pub fn exponent(self) -> u32 {
        self.0.exponent().map_or(0, u32::from)
    }

    /// Every currency that has a minor unit, for the reference table.
    pub fn all() -> impl Iterator<Item = Currency> {
        use iso_currency::IntoEnumIterator as _;
        iso_currency::Currency::iter()
            .filter(|c| c.exponent().is_some())
            .map(Currency)
    }
}

impl FromStr for Currency {
    type Err = UnknownCurrency;

    fn from_str(code: &str) -> Result<Self, UnknownCurrency> {
        iso_currency::Currency::from_code(&code.trim().to_ascii_uppercase())
            .filter(|c| c.exponent().is_some())
            .map(Currency)
            .ok_or_else(|| UnknownCurrency(code.chars().take(12).collect()))
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

impl JsonSchema for Currency {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Currency".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[A-Z]{3}$", "description": "ISO 4217 code, such as RWF."})
    }
}

/// An amount of money in minor units of its currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    /// Minor units: RWF 5,000 is 5000, KES 12.50 is 1250.
    pub amount_minor: i64,
    /// The currency the minor units are of.
    pub currency: Currency,
}

/// An amount that cannot be held exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// More decimals than the currency has.
    #[error("too many decimals for {0}")]
    TooPrecise(Currency),
    /// Beyond what 64 bits of minor units hold.
    #[error("the amount is too large")]
    TooLarge,
}

impl Money {
    /// An amount given in minor units.
    #[must_use]
    pub const fn minor(amount_minor: i64, currency: Currency) -> Money {
        Money {
            amount_minor,
            currency,
        }
    }

    /// An amount as people say it (`12.50`), which must be exact in the currency.
    ///
    /// # Errors
    /// [`MoneyError`] when the currency has fewer decimals or the amount does not fit.
    pub fn from_major(amount: Exact, currency: Currency) -> Result<Money, MoneyError> {
        let minor = to_minor(amount.0, currency).ok_or(MoneyError::TooLarge)?;
        if !minor.fract().is_zero() {
            return Err(MoneyError::TooPrecise(currency));
        }
        i64::try_from(minor)
            .map(|m| Money::minor(m, currency))
            .map_err(|_| MoneyError::TooLarge)
    }

    /// What `quantity` costs at `unit_price_minor` (minor units, fractions allowed): rounded once, half away from zero, like
    /// Postgres `round(numeric)`.
    ///
    /// # Errors
    /// [`MoneyError::TooLarge`] when the product does not fit.
    pub fn of_line(
        quantity: Exact,
        unit_price_minor: Decimal,
        currency: Currency,
    ) -> Result<Money, MoneyError> {
        let exact = quantity
            .0
            .checked_mul(unit_price_minor)
            .ok_or(MoneyError::TooLarge)?;
        let rounded = exact.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero);
        i64::try_from(rounded)
            .map(|m| Money::minor(m, currency))
            .map_err(|_| MoneyError::TooLarge)
    }

    /// The sum, `None` when it does not fit. Both amounts must be of one currency: the callers hold one tenant's currency.
    #[must_use]
    pub fn plus(self, other: Money) -> Option<Money> {
        debug_assert_eq!(
            self.currency, other.currency,
            "money of two currencies is never added"
        );
        Some(Money::minor(
            self.amount_minor.checked_add(other.amount_minor)?,
            self.currency,
        ))
    }

    /// The amount as a decimal of major units.
    #[must_use]
    pub fn major(self) -> Exact {
        Exact(Decimal::new(self.amount_minor, self.currency.exponent()))
    }

    /// The number alone, with thousands separators and the currency's decimals: `5,000`, `12.50`.
    #[must_use]
    pub fn number(self) -> String {
        grouped(self.major().0, self.currency.exponent())
    }
}

/// A unit price in minor units, fractions kept, as a decimal of major units with no more decimals than it needs.
#[must_use]
pub fn unit_price_number(unit_price_minor: Decimal, currency: Currency) -> String {
    let major = from_minor(unit_price_minor, currency).normalize();
    // A price with cents shows all of them (12.50), a whole one of any currency shows none it does not have.
    let scale = if major.scale() == 0 {
        0
    } else {
        major.scale().max(currency.exponent())
    };
    grouped(major, scale)
}

/// Major units to minor units, exactly; `None` when too large.
#[must_use]
pub fn to_minor(major: Decimal, currency: Currency) -> Option<Decimal> {
    major.checked_mul(Decimal::from(10_i64.pow(currency.exponent())))
}

/// Minor units to major units, exactly.
#[must_use]
pub fn from_minor(minor: Decimal, currency: Currency) -> Decimal {
    minor / Decimal::from(10_i64.pow(currency.exponent()))
}

fn grouped(number: Decimal, decimals: u32) -> String {
    let text = format!("{:.*}", decimals as usize, number.abs());
    let (whole, fraction) = text
        .split_once('.')
        .map_or((text.as_str(), None), |(w, f)| (w, Some(f)));
    let mut out = String::with_capacity(text.len() + 8);
    if number.is_sign_negative() && !number.is_zero() {
        out.push('-');
    }
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.currency, self.number())
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct MoneyOnTheWire {
    /// Minor units of the currency: RWF 5,000 is 5000, KES 12.50 is 1250.
    amount_minor: i64,
    currency: Currency,
    /// The amount as it is shown to a person, such as "RWF 5,000".
    #[serde(default)]
    text: String,
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        MoneyOnTheWire {
            amount_minor: self.amount_minor,
            currency: self.currency,
            text: self.to_string(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = MoneyOnTheWire::deserialize(deserializer)?;
        Ok(Money::minor(wire.amount_minor, wire.currency))
    }
}

impl JsonSchema for Money {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Money".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        MoneyOnTheWire::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn currency(code: &str) -> Currency {
        code.parse().unwrap()
    }

    #[test]
    fn money_is_said_with_the_decimals_of_its_currency() {
        let said = |minor, code| Money::minor(minor, currency(code)).to_string();
        assert_eq!(said(5000, "RWF"), "RWF 5,000");
        assert_eq!(said(123_456_789, "KES"), "KES 1,234,567.89");
        assert_eq!(said(1234, "KWD"), "KWD 1.234");
        assert_eq!(said(-250, "RWF"), "RWF -250");
        assert_eq!(said(i64::MIN, "RWF"), "RWF -9,223,372,036,854,775,808");
    }

    #[test]
    fn a_line_is_rounded_once_half_away_from_zero() {
        let line = |q: &str, price: &str| {
            Money::of_line(q.parse().unwrap(), price.parse().unwrap(), currency("RWF"))
                .unwrap()
                .amount_minor
        };
        assert_eq!(line("0.333", "160"), 53); // 53.28
        assert_eq!(line("0.5", "1"), 1);
        assert_eq!(line("2.5", "1"), 3);
        assert_eq!(line("2", "160"), 320);
    }

    #[test]
    fn amounts_a_currency_cannot_hold_are_refused() {
        let rwf = currency("RWF");
        assert_eq!(
            Money::from_major("12.5".parse().unwrap(), rwf),
            Err(MoneyError::TooPrecise(rwf))
        );
        assert_eq!(
            Money::from_major("12.5".parse().unwrap(), currency("KES"))
                .unwrap()
                .amount_minor,
            1250
        );
        assert!("dollars".parse::<Currency>().is_err());
        assert!("XAU".parse::<Currency>().is_err(), "gold has no minor unit");
    }

    #[test]
    fn a_unit_price_shows_the_decimals_it_has() {
        assert_eq!(
            unit_price_number("160".parse().unwrap(), currency("RWF")),
            "160"
        );
        assert_eq!(
            unit_price_number("1250".parse().unwrap(), currency("KES")),
            "12.50"
        );
        assert_eq!(
            unit_price_number("1250.5".parse().unwrap(), currency("KES")),
            "12.505"
        );
    }

    proptest! {
        #[test]
        fn what_goes_over_the_wire_comes_back(minor: i64, code in prop::sample::select(vec!["RWF", "KES", "KWD"])) {
            let money = Money::minor(minor, currency(code));
            let text = serde_json::to_string(&money).unwrap();
            prop_assert_eq!(serde_json::from_str::<Money>(&text).unwrap(), money);
            let again = Money::from_major(money.major(), money.currency).unwrap();
            prop_assert_eq!(again, money);
        }

        #[test]
        fn what_is_said_is_read_back(minor in -99_999_999_999_999_i64..=99_999_999_999_999, code in prop::sample::select(vec!["RWF", "KES", "KWD"])) {
            let money = Money::minor(minor, currency(code));
            let typed = money.number().replace(',', "");
            // Twelve digits before the point is what can be typed.
            if let Ok(typed) = typed.parse::<Exact>() {
                prop_assert_eq!(Money::from_major(typed, money.currency).unwrap(), money);
            } else {
                prop_assert!(money.major().0.trunc().abs() >= Decimal::from(1_000_000_000_000_i64));
            }
        }

        #[test]
        fn no_code_and_no_amount_makes_the_readers_fail_hard(text in ".{0,20}", units: i64, scale in 0_u32..=6) {
            if let Ok(currency) = text.parse::<Currency>() {
                prop_assert_eq!(currency.code(), text.trim().to_ascii_uppercase());
            }
            let json = format!(r#"{{"amount_minor": {text}, "currency": "RWF"}}"#);
            let _ = serde_json::from_str::<Money>(&json);
            for currency in Currency::all() {
                let amount = Exact(Decimal::new(units, scale));
                if let Ok(money) = Money::from_major(amount, currency) {
                    prop_assert_eq!(money.major().0, amount.0, "exactly that, or refused");
                }
            }
        }
    }
}
