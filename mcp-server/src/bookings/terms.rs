//! What a booking costs, and what cancelling or moving it late costs. Pure.

use chrono::{DateTime, TimeDelta, Utc};
use contracts::money::Money;
use rust_decimal::{Decimal, RoundingStrategy};

/// Hundredths of a percent in a whole.
const WHOLE_BP: i64 = 10_000;

/// What is agreed about cancelling: the terms of the day it was booked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terms {
    /// How long before its start cancelling and moving are free.
    pub notice: TimeDelta,
    /// What it costs later, hundredths of a percent of the price.
    pub fee_bp: i32,
}

impl Terms {
    /// Whether it is too late to cancel for nothing.
    #[must_use]
    pub(crate) fn is_late(&self, starts_at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        starts_at - now < self.notice
    }

    /// What cancelling or moving costs now: a share of the price, rounded once, half away from zero. `None` for nothing.
    #[must_use]
    pub(crate) fn fee(
        &self,
        price: Option<Money>,
        starts_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Option<Money> {
        let price = price.filter(|_| self.is_late(starts_at, now))?;
        share(price, self.fee_bp.into(), WHOLE_BP).filter(|fee| fee.amount_minor > 0)
    }
}

/// What a booking of some length costs at a price per slot.
#[must_use]
pub(crate) fn price(per_slot: Money, minutes: u32, slot_minutes: i32) -> Option<Money> {
    share(per_slot, minutes.into(), slot_minutes.max(1).into())
}

fn share(of: Money, part: i64, whole: i64) -> Option<Money> {
    let exact = Decimal::from(of.amount_minor).checked_mul(part.into())? / Decimal::from(whole);
    let rounded = exact.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero);
    Some(Money::minor(i64::try_from(rounded).ok()?, of.currency))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_rounded_once_in_every_currency() {
        for (currency, minor, minutes, shown) in [
            ("RWF", 3_000, 45, "RWF 4,500"),
            ("RWF", 101, 45, "RWF 152"),
            ("KES", 1_250, 30, "KES 12.50"),
            ("KWD", 1_001, 45, "KWD 1.502"),
        ] {
            let money = Money::minor(minor, currency.parse().unwrap());
            assert_eq!(price(money, minutes, 30).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn a_fee_is_for_those_who_are_late() {
        let start: DateTime<Utc> = "2026-11-27T12:00:00Z".parse().unwrap();
        let terms = Terms {
            notice: TimeDelta::hours(24),
            fee_bp: 3_333,
        };
        let price = Some(Money::minor(1_000, "RWF".parse().unwrap()));
        let day_before = start - TimeDelta::hours(24);
        assert_eq!(terms.fee(price, start, day_before), None, "just in time");
        let late = terms.fee(price, start, day_before + TimeDelta::seconds(1));
        assert_eq!(late.unwrap().amount_minor, 333);
        assert_eq!(terms.fee(None, start, start), None);
    }
}
