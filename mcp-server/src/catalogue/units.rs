//! Quantities of an item as people give them: in its unit, in another fixed unit of the same kind, or in a unit of its own.

use contracts::failure::ToolFailure;
use contracts::locale::Locale;
use contracts::quantity::{Exact, Measure};
use contracts::unit::{self, ConversionError, Dimension, Unit};
use rust_decimal::Decimal;

use super::likeness::{Folded, same_word};
use crate::words::arguments::{self, Thing};
use crate::words::inventory;

/// A unit of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnUnit {
    /// Its name in the singular: "bag".
    pub unit: String,
    /// How many of the item's unit one is.
    pub factor: Exact,
}

/// How one item is counted.
#[derive(Debug, Clone, Copy)]
pub struct Counting<'a> {
    /// The item's name, for sentences.
    pub name: &'a str,
    /// Its unit.
    pub unit: &'static Unit,
    /// Its own units.
    pub own: &'a [OwnUnit],
}

/// A quantity as it was entered and in the item's unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entered {
    /// In the item's unit.
    pub quantity: Exact,
    /// As entered.
    pub entered: Measure,
}

/// A unit an item can be given in.
#[derive(Debug, Clone, Copy)]
enum Known<'a> {
    Fixed(&'static Unit),
    Own(&'a OwnUnit),
}

impl<'a> Counting<'a> {
    /// Reads a quantity. `field` is the path of the object that holds `quantity` and `unit`, with its dot: `lines[0].`.
    ///
    /// # Errors
    /// `unknown_unit` with what the item accepts, or `invalid_arguments` when the quantity cannot be said exactly in the item's unit, or
    /// is no whole number of pieces of what is counted in pieces.
    pub fn read(
        &self,
        quantity: Exact,
        unit: Option<&str>,
        quantity_field: &str,
        unit_field: &str,
        locale: Locale,
    ) -> Result<Entered, ToolFailure> {
        let known = match unit {
            None => Known::Fixed(self.unit),
            Some(text) => self
                .find(text)
                .ok_or_else(|| self.unknown(text, unit_field, locale))?,
        };
        let entered = Measure::new(quantity, known.code());
        match self.convert(quantity, known) {
            Ok(quantity) if self.breaks_a_piece(quantity) => {
                Err(inventory::not_whole(locale, self.name, quantity_field))
            }
            Ok(quantity) => Ok(Entered { quantity, entered }),
            Err(ConversionError::Dimensions) => Err(self.unknown(known.code(), unit_field, locale)),
            Err(ConversionError::NotExact) => Err(inventory::not_exact(
                locale,
                &entered.text,
                self.name,
                self.unit.code,
                quantity_field,
            )),
            Err(ConversionError::TooLarge) => Err(arguments::too_large(
                locale,
                Thing::Quantity,
                quantity_field,
            )),
        }
    }

    /// A quantity of the item's unit said in the unit somebody used, or in the item's where that is not exact.
    #[must_use]
    pub fn said_in(&self, quantity: Exact, unit: &str) -> Measure {
        let converted = match self.find(unit) {
            Some(Known::Fixed(to)) => unit::convert(quantity, self.unit, to).ok(),
            Some(Known::Own(own)) => unit::scale(quantity, Decimal::ONE, own.factor.0).ok(),
            None => None,
        };
        match converted {
            Some(said) => Measure::new(said, unit),
            None => Measure::new(quantity, self.unit.code),
        }
    }

    /// The units it can be given in besides its own unit, fixed ones first.
    #[must_use]
    pub fn others(&self) -> Vec<String> {
        unit::UNITS
            .iter()
            .filter(|u| u.dimension == self.unit.dimension && u.code != self.unit.code)
            .map(|u| u.code.to_owned())
            .chain(self.own.iter().map(|own| own.unit.clone()))
            .collect()
    }

    /// Whether a quantity of the item's unit is no whole number of pieces. Half a dozen is, half a shampoo is not.
    fn breaks_a_piece(&self, quantity: Exact) -> bool {
        let rest = quantity
            .0
            .checked_mul(Decimal::from(self.unit.num))
            .and_then(|pieces| pieces.checked_rem(Decimal::from(self.unit.den)));
        self.unit.dimension == Dimension::Count && !rest.is_some_and(|rest| rest.is_zero())
    }

    fn unknown(&self, text: &str, unit_field: &str, locale: Locale) -> ToolFailure {
        inventory::unknown_unit(
            locale,
            self.name,
            self.unit.code,
            &self.others(),
            text,
            unit_field,
        )
    }

    fn find(&self, text: &str) -> Option<Known<'a>> {
        let asked = Folded::new(text);
        let own = self.own.iter().find(|own| {
            let name = Folded::new(&own.unit);
            name.words().len() == asked.words().len()
                && name
                    .words()
                    .iter()
                    .zip(asked.words())
                    .all(|(a, b)| same_word(a, b))
        });
        own.map(Known::Own)
            .or_else(|| unit::find(text).map(Known::Fixed))
    }

    fn convert(&self, quantity: Exact, known: Known<'_>) -> Result<Exact, ConversionError> {
        match known {
            Known::Fixed(from) => unit::convert(quantity, from, self.unit),
            Known::Own(own) => unit::scale(quantity, own.factor.0, Decimal::ONE),
        }
    }
}

impl Known<'_> {
    fn code(&self) -> &str {
        match self {
            Known::Fixed(unit) => unit.code,
            Known::Own(own) => &own.unit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(counting: Counting<'_>, quantity: &str, unit: &str) -> Result<String, String> {
        counting
            .read(
                quantity.parse().unwrap(),
                Some(unit),
                "quantity",
                "unit",
                Locale::En,
            )
            .map(|e| format!("{} = {}", e.entered.text, e.quantity))
            .map_err(|f| format!("{:?} {} {}", f.code, f.field.unwrap(), f.message))
    }

    #[test]
    fn sugar_is_taken_in_what_it_can_be_weighed_in() {
        let own = [OwnUnit {
            unit: "bag".to_owned(),
            factor: "25".parse().unwrap(),
        }];
        let sugar = Counting {
            name: "Sugar",
            unit: unit::find("kg").unwrap(),
            own: &own,
        };
        assert_eq!(read(sugar, "500", "gramos"), Ok("500 g = 0.5".to_owned()));
        assert_eq!(read(sugar, "2", "Bags"), Ok("2 bags = 50".to_owned()));
        assert_eq!(read(sugar, "2", "kilos"), Ok("2 kg = 2".to_owned()));
        let accepted = "Sugar is counted in kg; it can also be given in g, lb or bag.";
        assert_eq!(
            read(sugar, "1", "litre"),
            Err(format!("UnknownUnit unit {accepted}"))
        );
        assert_eq!(
            read(sugar, "1", "stone"),
            Err(format!("UnknownUnit unit {accepted}"))
        );
        assert_eq!(
            read(sugar, "1", "lb"),
            Err(
                "InvalidArguments quantity 1 lb of Sugar is not an exact quantity in kg. Please give it in kg."
                    .to_owned()
            )
        );
        assert_eq!(
            read(sugar, "999999999999", "bag"),
            Err("InvalidArguments quantity The quantity is too large.".to_owned())
        );
    }

    #[test]
    fn pieces_are_whole() {
        let own = [OwnUnit {
            unit: "tray".to_owned(),
            factor: "30".parse().unwrap(),
        }];
        let eggs = Counting {
            name: "Eggs",
            unit: unit::find("each").unwrap(),
            own: &own,
        };
        let refused = "InvalidArguments quantity Eggs is counted in whole pieces. Please give a whole number.";
        assert_eq!(read(eggs, "2.0", "each"), Ok("2 = 2".to_owned()));
        assert_eq!(read(eggs, "-3", "each"), Ok("-3 = -3".to_owned()));
        assert_eq!(read(eggs, "0.5", "dozen"), Ok("0.5 dozen = 6".to_owned()));
        assert_eq!(read(eggs, "0.5", "tray"), Ok("0.5 tray = 15".to_owned()));
        for (quantity, unit) in [
            ("1.5", "each"),
            ("-0.5", "each"),
            ("0.3", "dozen"),
            ("0.01", "tray"),
        ] {
            assert_eq!(
                read(eggs, quantity, unit),
                Err(refused.to_owned()),
                "{quantity} {unit}"
            );
        }
        let by_the_dozen = Counting {
            unit: unit::find("dozen").unwrap(),
            own: &[],
            ..eggs
        };
        assert_eq!(
            read(by_the_dozen, "1.5", "dozen"),
            Ok("1.5 dozen = 1.5".to_owned())
        );
        assert_eq!(read(by_the_dozen, "0.3", "dozen"), Err(refused.to_owned()));
    }

    #[test]
    fn what_is_left_is_said_in_the_unit_that_was_used() {
        let own = [OwnUnit {
            unit: "bag".to_owned(),
            factor: "25".parse().unwrap(),
        }];
        let rice = Counting {
            name: "Rice",
            unit: unit::find("kg").unwrap(),
            own: &own,
        };
        let three: Exact = "3".parse().unwrap();
        assert_eq!(rice.said_in(three, "g").text, "3000 g");
        assert_eq!(rice.said_in(three, "bag").text, "0.12 bag");
        assert_eq!(rice.said_in(three, "lb").text, "3 kg", "no exact pounds");
    }
}
