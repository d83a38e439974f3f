//! What the lines of a bill come to. Pure: each line is rounded once, then only whole minor units are added, so that the totals
//! recompute from what is printed.

use contracts::money::{Currency, Money};
use contracts::quantity::Exact;
use rust_decimal::Decimal;

use crate::typed::AMOUNT_MINOR_MAX;

/// Hundredths of a percent in a whole.
const WHOLE_BP: i128 = 10_000;

/// A line before it is priced.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Goods {
    /// In the item's unit. Above 0.
    pub quantity: Exact,
    /// Minor units per unit. 0 or more.
    pub unit_price_minor: Decimal,
    /// Tax in hundredths of a percent. 0 or more.
    pub tax_bp: i32,
}

/// What one line comes to, minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PricedLine {
    /// Quantity times price, rounded half away from zero.
    pub gross_minor: i64,
    /// Its share of the bill's discount.
    pub discount_minor: i64,
    /// Tax on what is left; within it where prices include tax.
    pub tax_minor: i64,
}

/// What a bill comes to, minor units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Priced {
    /// The lines, in their order.
    pub lines: Vec<PricedLine>,
    /// Sum of the lines' gross.
    pub subtotal_minor: i64,
    /// What is taken off.
    pub discount_minor: i64,
    /// Sum of the lines' tax.
    pub tax_minor: i64,
    /// What is owed.
    pub total_minor: i64,
}

/// What is too large for a bill to be priced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unpriceable {
    /// This line comes to more than a bill may.
    Line(usize),
    /// The bill comes to more than a bill may.
    Total,
    /// More is taken off than the lines come to.
    Discount {
        /// What the lines come to.
        subtotal_minor: i64,
    },
}

/// Prices the lines, spreads the discount over them and taxes what is left.
///
/// # Errors
/// [`Unpriceable`].
pub(crate) fn price(
    goods: &[Goods],
    discount_minor: i64,
    tax_inclusive: bool,
    currency: Currency,
) -> Result<Priced, Unpriceable> {
    let mut gross = Vec::with_capacity(goods.len());
    for (i, line) in goods.iter().enumerate() {
        let amount = Money::of_line(line.quantity, line.unit_price_minor, currency)
            .ok()
            .map(|money| money.amount_minor)
            .filter(|amount| *amount <= AMOUNT_MINOR_MAX)
            .ok_or(Unpriceable::Line(i))?;
        gross.push(amount);
    }
    let subtotal_minor = sum(gross.iter().copied())?;
    if discount_minor > subtotal_minor {
        return Err(Unpriceable::Discount { subtotal_minor });
    }
    let discounts = allocate(discount_minor, &gross);
    let lines: Vec<PricedLine> = goods
        .iter()
        .zip(gross)
        .zip(discounts)
        .map(|((line, gross_minor), discount_minor)| PricedLine {
            gross_minor,
            discount_minor,
            tax_minor: tax_of(gross_minor - discount_minor, line.tax_bp, tax_inclusive),
        })
        .collect();
    let tax_minor = sum(lines.iter().map(|line| line.tax_minor))?;
    let on_top = if tax_inclusive { 0 } else { tax_minor };
    Ok(Priced {
        total_minor: sum([subtotal_minor - discount_minor, on_top].into_iter())?,
        lines,
        subtotal_minor,
        discount_minor,
        tax_minor,
    })
}

fn sum(amounts: impl Iterator<Item = i64>) -> Result<i64, Unpriceable> {
    let mut total = 0_i64;
    for amount in amounts {
        total = total
            .checked_add(amount)
            .filter(|total| *total <= AMOUNT_MINOR_MAX)
            .ok_or(Unpriceable::Total)?;
    }
    Ok(total)
}

/// Spreads an amount over lines in proportion to what they come to, by largest remainder: the shares add up exactly, and none is
/// more than its line. `discount` is at most the sum of `gross`.
fn allocate(discount: i64, gross: &[i64]) -> Vec<i64> {
    let whole: i128 = gross.iter().map(|g| i128::from(*g)).sum();
    if whole == 0 {
        return vec![0; gross.len()];
    }
    let exact = |g: i64| i128::from(discount) * i128::from(g);
    let mut shares: Vec<i64> = gross
        .iter()
        .map(|g| i64::try_from(exact(*g) / whole).unwrap_or(*g))
        .collect();
    let mut left = discount - shares.iter().sum::<i64>();
    let mut order: Vec<usize> = (0..gross.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(exact(gross[i]) % whole), i));
    // What is left is less than the number of lines with a remainder.
    for i in order {
        if left == 0 {
            break;
        }
        shares[i] += 1;
        left -= 1;
    }
    shares
}

/// Tax of an amount, rounded half away from zero: on top of it, or within it.
#[must_use]
pub(crate) fn tax_of(net_minor: i64, tax_bp: i32, inclusive: bool) -> i64 {
    let rate = i128::from(tax_bp);
    let whole = if inclusive { WHOLE_BP + rate } else { WHOLE_BP };
    let tax = (2 * i128::from(net_minor) * rate + whole) / (2 * whole);
    // At most ten times the amount (the rate is at most 1000 %), which is far below 64 bits.
    i64::try_from(tax).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rwf() -> Currency {
        "RWF".parse().unwrap()
    }

    fn goods(quantity: &str, price: &str, tax_bp: i32) -> Goods {
        Goods {
            quantity: quantity.parse().unwrap(),
            unit_price_minor: price.parse().unwrap(),
            tax_bp,
        }
    }

    #[test]
    fn lines_are_rounded_once_and_then_added() {
        let lines = [goods("0.333", "160", 0), goods("0.333", "160", 0)];
        let priced = price(&lines, 0, true, rwf()).unwrap();
        assert_eq!(priced.lines[0].gross_minor, 53);
        assert_eq!(priced.total_minor, 106, "not 107, which is 0.666 x 160");
    }

    #[test]
    fn tax_is_within_the_price_or_on_top_of_it() {
        let lines = [goods("2", "160", 1_800), goods("1", "250", 0)];
        let within = price(&lines, 0, true, rwf()).unwrap();
        assert_eq!((within.tax_minor, within.total_minor), (49, 570)); // 320 * 18/118 = 48.8
        let on_top = price(&lines, 0, false, rwf()).unwrap();
        assert_eq!((on_top.tax_minor, on_top.total_minor), (58, 628)); // 57.6
        let discounted = price(&lines, 57, false, rwf()).unwrap();
        assert_eq!(discounted.lines[0].discount_minor, 32);
        assert_eq!((discounted.tax_minor, discounted.total_minor), (52, 565));
    }

    #[test]
    fn what_no_bill_may_come_to_is_refused() {
        let huge = goods("999999999999", "99999999999999", 0);
        assert_eq!(
            price(&[goods("1", "1", 0), huge], 0, true, rwf()),
            Err(Unpriceable::Line(1))
        );
        let large = goods("999999999999", "1000", 0);
        assert_eq!(
            price(&[large, large], 0, true, rwf()),
            Err(Unpriceable::Total)
        );
        assert_eq!(
            price(&[goods("999999999999", "1000", 100_000)], 0, false, rwf()),
            Err(Unpriceable::Total)
        );
        assert_eq!(
            price(&[goods("2", "160", 0)], 321, true, rwf()),
            Err(Unpriceable::Discount {
                subtotal_minor: 320
            })
        );
    }

    proptest! {
        #[test]
        fn a_discount_is_spread_exactly_and_fairly(gross in prop::collection::vec(0_i64..=AMOUNT_MINOR_MAX / 100, 1..100), part in 0_u32..=1_000_000) {
            let whole: i64 = gross.iter().sum();
            let discount = i64::try_from(i128::from(whole) * i128::from(part) / 1_000_000).unwrap();
            let shares = allocate(discount, &gross);
            prop_assert_eq!(shares.iter().sum::<i64>(), discount);
            for (share, gross) in shares.iter().zip(&gross) {
                prop_assert!((0..=*gross).contains(share));
                let exact = i128::from(discount) * i128::from(*gross);
                let error = i128::from(*share) * i128::from(whole) - exact;
                prop_assert!(error.abs() < i128::from(whole.max(1)), "a share is off by less than one minor unit");
            }
        }

        #[test]
        fn totals_recompute_from_the_lines(lines in prop::collection::vec((1_i64..1_000_000, 0_i64..1_000_000, 0_i32..=100_000), 1..20), percent in 0_i64..=100, inclusive: bool) {
            let lines: Vec<Goods> = lines.into_iter().map(|(q, p, tax_bp)| Goods {
                quantity: Exact(Decimal::new(q, 3)), unit_price_minor: Decimal::new(p, 2), tax_bp,
            }).collect();
            let subtotal = price(&lines, 0, inclusive, rwf()).unwrap().subtotal_minor;
            let priced = price(&lines, subtotal * percent / 100, inclusive, rwf()).unwrap();
            let of = |part: fn(&PricedLine) -> i64| priced.lines.iter().map(part).sum::<i64>();
            prop_assert_eq!(of(|l| l.gross_minor), priced.subtotal_minor);
            prop_assert_eq!(of(|l| l.discount_minor), priced.discount_minor);
            prop_assert_eq!(of(|l| l.tax_minor), priced.tax_minor);
            let on_top = if inclusive { 0 } else { priced.tax_minor };
            prop_assert_eq!(priced.total_minor, priced.subtotal_minor - priced.discount_minor + on_top);
            prop_assert!(priced.total_minor >= 0);
        }
    }
}
