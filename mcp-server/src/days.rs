//! Days of the shop: a day begins at midnight on the shop's wall clock, or at the first moment after it where the clock jumps over
//! midnight.

use chrono::{
    DateTime, Datelike, Days, LocalResult, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc,
};
use chrono_tz::Tz;
use contracts::tools::billing::Period;

/// First and last year a day may be in.
pub(crate) const YEARS: std::ops::RangeInclusive<i32> = 1970..=9999;

/// Longest jump of a wall clock that is looked across, minutes: Samoa left out a whole day in 2011.
const JUMP_MINUTES_MAX: i64 = 26 * 60;

/// The shop's day at a moment.
#[must_use]
pub(crate) fn day_of(at: DateTime<Utc>, zone: Tz) -> NaiveDate {
    at.with_timezone(&zone).date_naive()
}

/// The moment a day begins. Of two midnights (clocks set back) the first. `None` outside [`YEARS`].
#[must_use]
pub(crate) fn start_of(day: NaiveDate, zone: Tz) -> Option<DateTime<Utc>> {
    if !YEARS.contains(&day.year()) {
        return None;
    }
    let midnight = day.and_time(NaiveTime::MIN);
    (0..=JUMP_MINUTES_MAX).find_map(|minutes| {
        let wall = midnight.checked_add_signed(TimeDelta::minutes(minutes))?;
        match zone.from_local_datetime(&wall) {
            LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => Some(at.to_utc()),
            LocalResult::None => None,
        }
    })
}

/// The moment after a day's end.
#[must_use]
pub(crate) fn end_of(day: NaiveDate, zone: Tz) -> Option<DateTime<Utc>> {
    start_of(day.succ_opt()?, zone)
}

/// First and last day of a named span, both included. A week starts on Monday. `None` at the ends of the calendar.
#[must_use]
pub(crate) fn span(period: Period, today: NaiveDate) -> Option<(NaiveDate, NaiveDate)> {
    let back = |day: NaiveDate, days: u64| day.checked_sub_days(Days::new(days));
    let monday = back(today, u64::from(today.weekday().num_days_from_monday()))?;
    let first = today.with_day(1)?;
    Some(match period {
        Period::Today => (today, today),
        Period::Yesterday => (back(today, 1)?, back(today, 1)?),
        Period::ThisWeek => (monday, today),
        Period::LastWeek => (back(monday, 7)?, back(monday, 1)?),
        Period::ThisMonth => (first, today),
        Period::LastMonth => {
            let last = back(first, 1)?;
            (last.with_day(1)?, last)
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn hours(text: &str, zone: Tz) -> i64 {
        (end_of(day(text), zone).unwrap() - start_of(day(text), zone).unwrap()).num_hours()
    }

    #[test]
    fn days_are_as_long_as_the_wall_clock_makes_them() {
        assert_eq!(hours("2026-11-20", Tz::Africa__Kigali), 24);
        assert_eq!(hours("2026-03-29", Tz::Europe__Madrid), 23);
        assert_eq!(hours("2026-10-25", Tz::Europe__Madrid), 25);
        // Clocks that jump at midnight: the day starts at one.
        let start = start_of(day("2018-11-04"), Tz::America__Sao_Paulo).unwrap();
        assert_eq!(start.to_rfc3339(), "2018-11-04T03:00:00+00:00");
        // Midnight twice: the day starts at the first.
        assert_eq!(hours("2026-11-01", Tz::America__Havana), 25);
        // A day that never was is empty.
        assert_eq!(hours("2011-12-30", Tz::Pacific__Apia), 0);
        assert_eq!(start_of(day("1969-12-31"), Tz::UTC), None);
        assert_eq!(end_of(day("9999-12-31"), Tz::UTC), None);
    }

    #[test]
    fn named_spans_are_whole_days() {
        let friday = day("2026-11-20");
        let said = |period| span(period, friday).map(|(a, b)| format!("{a} {b}"));
        assert_eq!(said(Period::Yesterday).unwrap(), "2026-11-19 2026-11-19");
        assert_eq!(said(Period::ThisWeek).unwrap(), "2026-11-16 2026-11-20");
        assert_eq!(said(Period::LastWeek).unwrap(), "2026-11-09 2026-11-15");
        assert_eq!(said(Period::ThisMonth).unwrap(), "2026-11-01 2026-11-20");
        assert_eq!(said(Period::LastMonth).unwrap(), "2026-10-01 2026-10-31");
    }

    proptest! {
        /// Every day of every zone begins, once, and on that day or, where the clock left it out, on the next.
        #[test]
        fn every_day_begins_on_itself(days in -40_000_i64..3_000_000, zone in 0..chrono_tz::TZ_VARIANTS.len()) {
            let zone = chrono_tz::TZ_VARIANTS[zone];
            let day = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap() + TimeDelta::days(days);
            let Some(start) = start_of(day, zone) else {
                prop_assert!(!YEARS.contains(&day.year()), "{day} has no beginning in {zone}");
                return Ok(());
            };
            let begun = day_of(start, zone);
            prop_assert!(begun == day || Some(begun) == day.succ_opt(), "{day} {zone} {start}");
            if let Some(end) = end_of(day, zone) {
                prop_assert!(end >= start && end - start <= TimeDelta::hours(50));
            }
        }
    }
}
