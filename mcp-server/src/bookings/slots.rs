//! Which times are free: opening hours on the wall clock and what is taken, as free slots. Pure.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{
    DateTime, Datelike, Days, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta,
    TimeZone, Utc,
};
use chrono_tz::Tz;

/// Longest that one booking blocks a lane, hours: a day with a day's buffer on either side.
pub(crate) const BLOCK_HOURS_MAX: i64 = 72;
/// Longest jump of a wall clock that is looked across, minutes.
const JUMP_MINUTES_MAX: i64 = 26 * 60;
/// Most days that are looked at in one go.
const DAYS_MAX: usize = 800;

/// From one moment to another, the second not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    /// The first moment.
    pub from: DateTime<Utc>,
    /// The first moment after it.
    pub until: DateTime<Utc>,
}

impl Span {
    /// Whether a moment is in both. Spans that touch do not overlap.
    #[must_use]
    pub(crate) fn overlaps(self, other: Span) -> bool {
        self.from < other.until && other.from < self.until
    }

    fn contains(self, other: Span) -> bool {
        self.from <= other.from && other.until <= self.until
    }

    /// Whole minutes.
    #[must_use]
    pub(crate) fn minutes(self) -> u32 {
        u32::try_from((self.until - self.from).num_minutes()).unwrap_or(0)
    }
}

/// A stretch of opening hours, minutes of the wall clock after midnight of its day; beyond 1440 is the next day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Opening {
    /// When it opens: 0 to 1439.
    pub opens: i16,
    /// When it closes: more than `opens`.
    pub closes: i16,
}

/// When something is open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hours {
    /// By ISO weekday: 1 for Monday.
    pub weekly: BTreeMap<i16, Vec<Opening>>,
    /// Dates with hours of their own; none on a day on which it is closed.
    pub dates: BTreeMap<NaiveDate, Vec<Opening>>,
}

impl Hours {
    /// Nothing was ever set.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.weekly.is_empty() && self.dates.is_empty()
    }

    fn of(&self, day: NaiveDate) -> &[Opening] {
        let weekday = i16::try_from(day.weekday().number_from_monday()).unwrap_or(1);
        self.dates
            .get(&day)
            .or_else(|| self.weekly.get(&weekday))
            .map_or(&[], Vec::as_slice)
    }

    /// The stretches that begin on the days from `first` to `last`. Where the clock jumps over an edge, the edge is the first moment
    /// after the jump; where an edge comes twice, opening is the first and closing the second.
    #[must_use]
    pub(crate) fn openings(&self, first: NaiveDate, last: NaiveDate, zone: Tz) -> Vec<Span> {
        first
            .iter_days()
            .take_while(|day| *day <= last)
            .take(DAYS_MAX)
            .flat_map(|day| {
                self.of(day).iter().filter_map(move |opening| {
                    let from = edge(day, opening.opens, zone, Edge::First)?;
                    let until = edge(day, opening.closes, zone, Edge::Second)?;
                    (from < until).then_some(Span { from, until })
                })
            })
            .collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edge {
    First,
    Second,
}

fn edge(day: NaiveDate, minute: i16, zone: Tz, which: Edge) -> Option<DateTime<Utc>> {
    let days = u64::try_from(minute / 1440).ok()?;
    let wall = day
        .checked_add_days(Days::new(days))?
        .and_time(NaiveTime::MIN)
        .checked_add_signed(TimeDelta::minutes((minute % 1440).into()))?;
    (0..=JUMP_MINUTES_MAX).find_map(|later| {
        let wall: NaiveDateTime = wall.checked_add_signed(TimeDelta::minutes(later))?;
        match (zone.from_local_datetime(&wall), which) {
            (LocalResult::Single(at), _)
            | (LocalResult::Ambiguous(at, _), Edge::First)
            | (LocalResult::Ambiguous(_, at), Edge::Second) => Some(at.to_utc()),
            (LocalResult::None, _) => None,
        }
    })
}

/// Stretches as they are on the clock, those that touch or overlap as one.
#[must_use]
pub(crate) fn merged(openings: &[Span]) -> Vec<Span> {
    let mut sorted = openings.to_vec();
    sorted.sort_unstable();
    let mut merged: Vec<Span> = Vec::with_capacity(sorted.len());
    for span in sorted {
        match merged.last_mut() {
            Some(last) if span.from <= last.until => last.until = last.until.max(span.until),
            _ => merged.push(span),
        }
    }
    merged
}

/// What a booking of some length takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// From one offered start to the next.
    pub step: TimeDelta,
    /// How long it is.
    pub length: TimeDelta,
    /// Kept free before it.
    pub before: TimeDelta,
    /// Kept free after it.
    pub after: TimeDelta,
    /// How many are taken at once.
    pub lanes: i16,
}

impl Shape {
    /// A booking that begins then.
    #[must_use]
    pub(crate) fn at(&self, from: DateTime<Utc>) -> Span {
        Span {
            from,
            until: from + self.length,
        }
    }

    /// What that booking blocks.
    #[must_use]
    pub(crate) fn blocks(&self, during: Span) -> Span {
        Span {
            from: during.from - self.before,
            until: during.until + self.after,
        }
    }
}

/// A lane that is blocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Busy {
    /// Which one, from 1.
    pub lane: i16,
    /// From when until when.
    pub blocks: Span,
}

/// A time that can be booked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    /// From when until when.
    pub during: Span,
    /// How many lanes are free all through it.
    pub free: u16,
}

/// Whether a booking lies within the hours.
#[must_use]
pub(crate) fn is_open(openings: &[Span], during: Span) -> bool {
    merged(openings).iter().any(|open| open.contains(during))
}

/// How many lanes are free for what this booking blocks.
#[must_use]
pub(crate) fn free_lanes(busy: &[Busy], during: Span, shape: &Shape) -> u16 {
    let blocks = shape.blocks(during);
    let taken: BTreeSet<i16> = busy
        .iter()
        .filter(|b| (1..=shape.lanes).contains(&b.lane) && b.blocks.overlaps(blocks))
        .map(|b| b.lane)
        .collect();
    u16::try_from(usize::try_from(shape.lanes).unwrap_or(0) - taken.len()).unwrap_or(0)
}

/// The free slots that begin within `window`, soonest first: every step from each opening whose booking lies within the hours and
/// for which a lane is free.
#[must_use]
pub(crate) fn free(openings: &[Span], busy: &[Busy], shape: &Shape, window: Span) -> Vec<Slot> {
    if shape.step <= TimeDelta::zero() || shape.length <= TimeDelta::zero() {
        return Vec::new();
    }
    let open = merged(openings);
    let starts: BTreeSet<DateTime<Utc>> = openings
        .iter()
        .flat_map(|opening| steps(*opening, shape.step))
        .filter(|start| window.from <= *start && *start < window.until)
        .collect();
    starts
        .into_iter()
        .map(|start| shape.at(start))
        .filter(|during| open.iter().any(|o| o.contains(*during)))
        .map(|during| Slot {
            during,
            free: free_lanes(busy, during, shape),
        })
        .filter(|slot| slot.free > 0)
        .collect()
}

fn steps(opening: Span, step: TimeDelta) -> impl Iterator<Item = DateTime<Utc>> {
    std::iter::successors(Some(opening.from), move |at| at.checked_add_signed(step))
        .take_while(move |at| *at < opening.until)
}

/// The slots closest to a moment, the closest first; of two as close the earlier.
#[must_use]
pub(crate) fn nearest(mut slots: Vec<Slot>, wanted: DateTime<Utc>, most: usize) -> Vec<Slot> {
    slots.sort_by_key(|slot| ((slot.during.from - wanted).abs(), slot.during.from));
    slots.truncate(most);
    slots
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn weekly(opens: i16, closes: i16) -> Hours {
        let all = (1..=7).map(|d| (d, vec![Opening { opens, closes }]));
        Hours {
            weekly: all.collect(),
            dates: BTreeMap::new(),
        }
    }

    fn hourly(lanes: i16) -> Shape {
        Shape {
            step: TimeDelta::hours(1),
            length: TimeDelta::hours(1),
            before: TimeDelta::zero(),
            after: TimeDelta::zero(),
            lanes,
        }
    }

    fn starts_of(hours: &Hours, on: &str, zone: Tz) -> Vec<String> {
        let openings = hours.openings(day(on), day(on), zone);
        let all = Span {
            from: DateTime::UNIX_EPOCH,
            until: DateTime::<Utc>::MAX_UTC,
        };
        free(&openings, &[], &hourly(1), all)
            .iter()
            .map(|s| {
                s.during
                    .from
                    .with_timezone(&zone)
                    .format("%H:%M%:z")
                    .to_string()
            })
            .collect()
    }

    #[test]
    fn days_on_which_the_clocks_change_have_the_hours_they_have() {
        for (zone, spring, autumn) in [
            (Tz::Europe__Madrid, "2026-03-29", "2026-10-25"),
            (Tz::America__New_York, "2026-03-08", "2026-11-01"),
        ] {
            let all_day = weekly(0, 1440);
            assert_eq!(starts_of(&all_day, spring, zone).len(), 23, "{zone}");
            assert_eq!(starts_of(&all_day, autumn, zone).len(), 25, "{zone}");
            assert_eq!(starts_of(&weekly(540, 1020), spring, zone).len(), 8);
            assert_eq!(starts_of(&weekly(540, 1020), autumn, zone).len(), 8);
        }
        let madrid = Tz::Europe__Madrid;
        assert_eq!(
            starts_of(&weekly(60, 240), "2026-10-25", madrid),
            ["01:00+02:00", "02:00+02:00", "02:00+01:00", "03:00+01:00"]
        );
        assert_eq!(
            starts_of(&weekly(60, 240), "2026-03-29", madrid),
            ["01:00+01:00", "03:00+02:00"]
        );
        // An opening time that the clock jumps over is when the jump has landed.
        assert_eq!(
            starts_of(&weekly(150, 300), "2026-03-29", madrid),
            ["03:00+02:00", "04:00+02:00"]
        );
        // A closing time that comes twice is the second.
        assert_eq!(
            starts_of(&weekly(60, 150), "2026-10-25", madrid),
            ["01:00+02:00", "02:00+02:00"]
        );
    }

    #[test]
    fn a_date_has_its_own_hours_and_a_night_goes_on() {
        let mut hours = weekly(1080, 1560);
        hours.dates.insert(day("2026-11-27"), Vec::new());
        let kigali = Tz::Africa__Kigali;
        assert_eq!(starts_of(&hours, "2026-11-27", kigali), [""; 0]);
        assert_eq!(
            starts_of(&hours, "2026-11-26", kigali).last().unwrap(),
            "01:00+02:00"
        );
        let nights = hours.openings(day("2026-11-24"), day("2026-11-25"), kigali);
        assert_eq!(merged(&nights).len(), 2);
        let round_the_clock =
            weekly(0, 1440).openings(day("2026-11-24"), day("2026-11-25"), kigali);
        assert_eq!(merged(&round_the_clock).len(), 1, "midnight is no edge");
    }

    /// Minute 0 of the properties.
    fn moment(minute: i64) -> DateTime<Utc> {
        "2026-11-23T00:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(minute)
    }

    fn span(from: i64, length: i64) -> Span {
        Span {
            from: moment(from),
            until: moment(from + length),
        }
    }

    proptest! {
        #[test]
        fn slots_are_free_within_the_hours_and_complete(
            opened in proptest::collection::vec((0_i64..2_000, 1_i64..600), 0..5),
            taken in proptest::collection::vec((1_i16..=4, 0_i64..2_400, 1_i64..200), 0..25),
            (step, length, before, after) in (5_i64..90, 5_i64..120, 0_i64..40, 0_i64..40),
            lanes in 1_i16..=3,
            (from, width) in (0_i64..1_000, 1_i64..1_500),
        ) {
            let shape = Shape {
                step: TimeDelta::minutes(step), length: TimeDelta::minutes(length),
                before: TimeDelta::minutes(before), after: TimeDelta::minutes(after), lanes,
            };
            let openings: Vec<Span> = opened.iter().map(|(o, l)| span(*o, *l)).collect();
            let busy: Vec<Busy> = taken.iter().map(|(lane, b, l)| Busy { lane: *lane, blocks: span(*b, *l) }).collect();
            let found = free(&openings, &busy, &shape, span(from, width));
            // The model looks at every minute on its own.
            let open_at = |m: i64| opened.iter().any(|(o, l)| *o <= m && m < o + l);
            let taken_at = |lane: i16, m: i64| taken.iter().any(|(of, b, l)| *of == lane && *b <= m && m < b + l);
            let mut expected = Vec::new();
            for start in from..from + width {
                let on_grid = opened.iter().any(|(o, l)| *o <= start && start < o + l && (start - o) % step == 0);
                let lanes_free = (1..=lanes)
                    .filter(|lane| (start - before..start + length + after).all(|m| !taken_at(*lane, m)))
                    .count();
                if on_grid && (start..start + length).all(open_at) && lanes_free > 0 {
                    expected.push((moment(start), u16::try_from(lanes_free).unwrap()));
                }
            }
            let found: Vec<(DateTime<Utc>, u16)> = found.iter().map(|s| (s.during.from, s.free)).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
