//! What time a person means: a time on the wall clock of a day, and the moments it may be. Pure.

use chrono::{
    DateTime, FixedOffset, LocalResult, NaiveDate, NaiveTime, Offset, TimeDelta, TimeZone, Utc,
};
use chrono_tz::Tz;

/// Longest text that is read as a time, bytes.
const BYTES_MAX: usize = 40;

/// A time as it was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Said {
    /// A day that was said with it: "2026-11-27 15:00".
    pub date: Option<NaiveDate>,
    /// What the clock shows.
    pub wall: NaiveTime,
    /// Which of two readings: "01:30 (+02:00)".
    pub offset: Option<FixedOffset>,
}

/// The moment a time is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reading {
    /// This one.
    At(DateTime<Utc>),
    /// The clock does not show it, or shows it twice; these may be meant.
    Unclear(Vec<DateTime<Utc>>),
}

/// Reads "15:00", "9:30", "3pm", "3:30 pm", "15:00:00", "01:30 (+02:00)", "2026-11-27 15:00". `None` for anything else.
#[must_use]
pub(crate) fn read(text: &str) -> Option<Said> {
    if text.len() > BYTES_MAX {
        return None;
    }
    let text = text.trim().to_ascii_lowercase();
    let (date, text) = match text.split_once([' ', 't']) {
        Some((day, rest)) if day.len() >= 8 && day.contains('-') => {
            (Some(day.parse().ok()?), rest.trim_start())
        }
        _ => (None, text.as_str()),
    };
    let (clock, offset) = match text.split_once(['(', '+']) {
        Some((clock, _)) => {
            let offset = text[clock.len()..].trim_matches(['(', ')', ' ']);
            (clock.trim_end(), Some(offset.parse().ok()?))
        }
        None => (text, None),
    };
    Some(Said {
        date,
        wall: wall(clock)?,
        offset,
    })
}

fn wall(clock: &str) -> Option<NaiveTime> {
    let (digits, half) = match clock {
        c if c.ends_with("am") => (c.trim_end_matches("am").trim_end(), Some(0)),
        c if c.ends_with("pm") => (c.trim_end_matches("pm").trim_end(), Some(12)),
        c => (c, None),
    };
    let mut parts = digits.split(':');
    let hour = number(parts.next()?)?;
    let minute = match (parts.next(), half) {
        (Some(minute), _) if minute.len() == 2 => number(minute)?,
        (None, Some(_)) => 0,
        _ => return None,
    };
    if !matches!(parts.next(), None | Some("00")) || parts.next().is_some() {
        return None;
    }
    let hour = match half {
        None => hour,
        Some(after) if (1..=12).contains(&hour) => hour % 12 + after,
        Some(_) => return None,
    };
    NaiveTime::from_hms_opt(hour, minute, 0)
}

fn number(digits: &str) -> Option<u32> {
    let is_number = (1..=2).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

/// Minutes after midnight of an opening or closing time; "24:00" is the end of the day.
#[must_use]
pub(crate) fn minute_of_day(text: &str) -> Option<i16> {
    if text.trim() == "24:00" {
        return Some(1440);
    }
    let said = read(text)?;
    if said.date.is_some() || said.offset.is_some() {
        return None;
    }
    let since = said.wall.signed_duration_since(NaiveTime::MIN);
    i16::try_from(since.num_minutes()).ok()
}

/// What a person means by a time on a day.
#[must_use]
pub(crate) fn on(day: NaiveDate, said: Said, zone: Tz) -> Reading {
    let wall = said.date.unwrap_or(day).and_time(said.wall);
    if let Some(offset) = said.offset
        && let Some(at) = offset.from_local_datetime(&wall).single()
        && zone.offset_from_utc_datetime(&at.naive_utc()).fix() == offset
    {
        return Reading::At(at.to_utc());
    }
    match zone.from_local_datetime(&wall) {
        // A wrong offset is not waved through.
        LocalResult::Single(at) if said.offset.is_none() => Reading::At(at.to_utc()),
        LocalResult::Single(at) => Reading::Unclear(vec![at.to_utc()]),
        LocalResult::Ambiguous(one, two) => Reading::Unclear(vec![one.to_utc(), two.to_utc()]),
        LocalResult::None => {
            // With the offset before the jump it is later than said, with the one after it earlier.
            let day = TimeDelta::days(1);
            let mut readings: Vec<DateTime<Utc>> = [wall - day, wall + day]
                .iter()
                .filter_map(|near| {
                    let offset = zone.offset_from_utc_datetime(near).fix();
                    Some(offset.from_local_datetime(&wall).single()?.to_utc())
                })
                .collect();
            readings.sort_unstable();
            Reading::Unclear(readings)
        }
    }
}

/// "01:30 (+02:00)".
#[must_use]
pub(crate) fn with_offset(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).format("%H:%M (%:z)").to_string()
}

/// "15:00", with its offset where the clock shows that time twice.
#[must_use]
pub(crate) fn shown(at: DateTime<Utc>, zone: Tz) -> String {
    let local = at.with_timezone(&zone);
    match zone.from_local_datetime(&local.naive_local()) {
        LocalResult::Ambiguous(..) => with_offset(at, zone),
        LocalResult::Single(_) | LocalResult::None => local.format("%H:%M").to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn a_time_is_said_in_many_ways_and_nothing_else_is_one() {
        let three = NaiveTime::from_hms_opt(15, 0, 0).unwrap();
        for text in ["15:00", "3pm", "3 PM", "3:00 pm", " 15:00:00 "] {
            assert_eq!(read(text).map(|s| s.wall), Some(three), "{text}");
        }
        let dated = read("2026-11-27 15:00").unwrap();
        assert_eq!((dated.date, dated.wall), (Some(day("2026-11-27")), three));
        assert_eq!(read("2026-11-27T15:00"), Some(dated));
        let midnight = read("12am").unwrap().wall;
        assert_eq!(midnight, NaiveTime::MIN);
        let offset = read("01:30 (-04:00)").unwrap().offset.unwrap();
        assert_eq!(offset.local_minus_utc(), -4 * 3600);
        for text in [
            "",
            "15",
            "24:00",
            "15:60",
            "15:0",
            "0pm",
            "13pm",
            "1:2:3:4",
            "15:00:01",
            "١٥:٠٠",
            "15:00 (+99:00)",
            "15:00 (",
            "noon",
            "-1:00",
            "1é:00",
            "2026-13-01 15:00",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
        assert_eq!(minute_of_day("24:00"), Some(1440));
        assert_eq!(minute_of_day("09:30"), Some(570));
        assert_eq!(minute_of_day("09:30 (+02:00)"), None);
    }

    #[test]
    fn a_time_that_is_twice_or_never_has_both_readings_and_they_are_taken_back() {
        for (zone, date, time, readings) in [
            (
                Tz::Europe__Madrid,
                "2026-10-25",
                "02:30",
                ["02:30 (+02:00)", "02:30 (+01:00)"],
            ),
            (
                Tz::Europe__Madrid,
                "2026-03-29",
                "02:30",
                ["01:30 (+01:00)", "03:30 (+02:00)"],
            ),
            (
                Tz::America__New_York,
                "2026-11-01",
                "01:30",
                ["01:30 (-04:00)", "01:30 (-05:00)"],
            ),
            (
                Tz::America__New_York,
                "2026-03-08",
                "02:30",
                ["01:30 (-05:00)", "03:30 (-04:00)"],
            ),
        ] {
            let Reading::Unclear(found) = on(day(date), read(time).unwrap(), zone) else {
                panic!("{date} {time} is clear");
            };
            let names: Vec<String> = found.iter().map(|at| with_offset(*at, zone)).collect();
            assert_eq!(names, readings);
            for (name, at) in names.iter().zip(&found) {
                assert_eq!(on(day(date), read(name).unwrap(), zone), Reading::At(*at));
            }
        }
        let wrong = on(
            day("2026-11-20"),
            read("15:00 (+05:00)").unwrap(),
            Tz::Europe__Madrid,
        );
        assert!(matches!(wrong, Reading::Unclear(one) if one.len() == 1));
    }
}
