//! Units and their exact conversion. A unit of an item (bag = 25 kg) is a factor onto the item's own unit and lives with the item.

use rust_decimal::Decimal;

use crate::quantity::{DECIMALS_MAX, Exact};

/// What a unit measures. Quantities convert within a dimension only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dimension {
    /// Base unit gram.
    Mass,
    /// Base unit millilitre.
    Volume,
    /// Base unit piece.
    Count,
    /// Base unit metre.
    Length,
    /// Base unit minute.
    Time,
}

impl Dimension {
    /// The word stored in the reference table.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Dimension::Mass => "mass",
            Dimension::Volume => "volume",
            Dimension::Count => "count",
            Dimension::Length => "length",
            Dimension::Time => "time",
        }
    }
}

/// A unit everybody has: one of it is `num / den` of its dimension's base unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    /// The code stored and shown.
    pub code: &'static str,
    /// What it measures.
    pub dimension: Dimension,
    /// Numerator of the factor to the base unit.
    pub num: i64,
    /// Denominator of the factor to the base unit.
    pub den: i64,
    /// Other spellings people type, lower case, English and Spanish.
    pub spellings: &'static [&'static str],
}

/// The code of a piece.
pub const EACH: &str = "each";

/// Every fixed unit. The pound is exact: 0.45359237 kg (international yard and pound agreement, 1959).
pub const UNITS: &[Unit] = &[
    Unit {
        code: "g",
        dimension: Dimension::Mass,
        num: 1,
        den: 1,
        spellings: &[
            "gr", "gram", "grams", "gramme", "grammes", "gramo", "gramos",
        ],
    },
    Unit {
        code: "kg",
        dimension: Dimension::Mass,
        num: 1000,
        den: 1,
        spellings: &[
            "kgs",
            "kilo",
            "kilos",
            "kilogram",
            "kilograms",
            "kilogramme",
            "kilogramo",
            "kilogramos",
        ],
    },
    Unit {
        code: "lb",
        dimension: Dimension::Mass,
        num: 45_359_237,
        den: 100_000,
        spellings: &["lbs", "pound", "pounds", "libra", "libras"],
    },
    Unit {
        code: "ml",
        dimension: Dimension::Volume,
        num: 1,
        den: 1,
        spellings: &[
            "millilitre",
            "millilitres",
            "milliliter",
            "milliliters",
            "mililitro",
            "mililitros",
        ],
    },
    Unit {
        code: "l",
        dimension: Dimension::Volume,
        num: 1000,
        den: 1,
        spellings: &[
            "lt", "ltr", "litre", "litres", "liter", "liters", "litro", "litros",
        ],
    },
    Unit {
        code: EACH,
        dimension: Dimension::Count,
        num: 1,
        den: 1,
        spellings: &[
            "ea", "pc", "pcs", "piece", "pieces", "unit", "units", "item", "items", "pieza",
            "piezas", "unidad", "unidades",
        ],
    },
    Unit {
        code: "dozen",
        dimension: Dimension::Count,
        num: 12,
        den: 1,
        spellings: &["dozens", "doz", "docena", "docenas"],
    },
    Unit {
        code: "m",
        dimension: Dimension::Length,
        num: 1,
        den: 1,
        spellings: &["metre", "metres", "meter", "meters", "metro", "metros"],
    },
    Unit {
        code: "min",
        dimension: Dimension::Time,
        num: 1,
        den: 1,
        spellings: &["mins", "minute", "minutes", "minuto", "minutos"],
    },
    Unit {
        code: "h",
        dimension: Dimension::Time,
        num: 60,
        den: 1,
        spellings: &["hr", "hrs", "hour", "hours", "hora", "horas"],
    },
];

/// The fixed unit a text names by code or spelling, case ignored.
#[must_use]
pub fn find(text: &str) -> Option<&'static Unit> {
    let wanted = text.trim().trim_end_matches('.').to_lowercase();
    UNITS
        .iter()
        .find(|unit| unit.code == wanted || unit.spellings.contains(&wanted.as_str()))
}

/// Why a quantity cannot be said in another unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConversionError {
    /// The units measure different things.
    #[error("the units measure different things")]
    Dimensions,
    /// The result needs more than six decimals, so it cannot be held exactly.
    #[error("the result is not exact to six decimals")]
    NotExact,
    /// The result is too large.
    #[error("the result is too large")]
    TooLarge,
}

/// `quantity` of `from` said in `to`, exactly.
///
/// # Errors
/// [`ConversionError`] when the dimensions differ or the result does not fit six decimals.
pub fn convert(quantity: Exact, from: &Unit, to: &Unit) -> Result<Exact, ConversionError> {
    if from.dimension != to.dimension {
        return Err(ConversionError::Dimensions);
    }
    scale(
        quantity,
        Decimal::from(from.num) * Decimal::from(to.den),
        Decimal::from(from.den) * Decimal::from(to.num),
    )
}

/// `quantity * num / den`, refused when it is not exact to six decimals.
///
/// # Errors
/// [`ConversionError::NotExact`] and [`ConversionError::TooLarge`].
pub fn scale(quantity: Exact, num: Decimal, den: Decimal) -> Result<Exact, ConversionError> {
    let product = quantity
        .0
        .checked_mul(num)
        .ok_or(ConversionError::TooLarge)?;
    let exact = product.checked_div(den).ok_or(ConversionError::TooLarge)?;
    let kept = exact.round_dp(DECIMALS_MAX);
    if kept.checked_mul(den) != Some(product) {
        return Err(ConversionError::NotExact);
    }
    kept.normalize()
        .to_string()
        .parse()
        .map_err(|_| ConversionError::TooLarge)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(quantity: &str, from: &str, to: &str) -> Result<String, ConversionError> {
        convert(
            quantity.parse().unwrap(),
            find(from).unwrap(),
            find(to).unwrap(),
        )
        .map(|e| e.to_string())
    }

    #[test]
    fn conversions_are_exact() {
        assert_eq!(said("500", "g", "kg").as_deref(), Ok("0.5"));
        assert_eq!(said("2", "kilos", "g").as_deref(), Ok("2000"));
        assert_eq!(said("1", "lb", "g").as_deref(), Ok("453.59237"));
        assert_eq!(said("2", "dozen", "each").as_deref(), Ok("24"));
        assert_eq!(said("1.5", "litros", "ml").as_deref(), Ok("1500"));
        assert_eq!(said("90", "min", "hours").as_deref(), Ok("1.5"));
    }

    #[test]
    fn what_cannot_be_exact_or_crosses_dimensions_is_refused() {
        assert_eq!(said("1", "lb", "kg"), Err(ConversionError::NotExact));
        assert_eq!(said("1", "each", "dozen"), Err(ConversionError::NotExact));
        assert_eq!(said("1", "kg", "l"), Err(ConversionError::Dimensions));
        assert_eq!(find("stone"), None);
    }

    #[test]
    fn no_spelling_names_two_units() {
        let mut seen = std::collections::HashSet::new();
        for unit in UNITS {
            for spelling in unit.spellings.iter().chain([&unit.code]) {
                assert!(seen.insert(*spelling), "{spelling} names two units");
            }
        }
    }

    proptest! {
        #[test]
        fn kilograms_to_grams_and_back_is_the_identity(grams in 0_i64..1_000_000_000) {
            let (g, kg) = (find("g").unwrap(), find("kg").unwrap());
            let start = Exact::from(grams);
            let there = convert(start, g, kg).unwrap();
            prop_assert_eq!(convert(there, kg, g).unwrap(), start);
        }

        #[test]
        fn what_can_be_said_in_another_unit_comes_back_the_same(
            micros in 0_i64..1_000_000_000_000, from in prop::sample::select(UNITS), to in prop::sample::select(UNITS),
        ) {
            let start = Exact(Decimal::new(micros, 6).normalize());
            match convert(start, &from, &to) {
                Ok(there) => prop_assert_eq!(convert(there, &to, &from).unwrap(), start),
                Err(why) => prop_assert!(from.dimension != to.dimension || why != ConversionError::Dimensions),
            }
        }
    }
}
