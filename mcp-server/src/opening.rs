//! Weekly opening hours on the shop's wall clock, as they are written on a door: "mon-fri 08:00-18:00, sat 09:00-13:00". Pure.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, Days, NaiveDateTime, NaiveTime, Utc, Weekday};
use chrono_tz::Tz;

/// A week of opening hours, Monday first. A closing time that is not after the opening time is on the next day.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Hours([Vec<(NaiveTime, NaiveTime)>; 7]);

/// Whether a place is open, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Open day and night.
    Always,
    /// Open until then, on the wall clock.
    OpenUntil(NaiveDateTime),
    /// Closed until then.
    OpensAt(NaiveDateTime),
    /// Never open.
    Never,
}

/// Not hours as they are written on a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("hours are written like \"mon-fri 08:00-18:00, sat 09:00-12:00 14:00-17:00\"")]
pub(crate) struct NotHours;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// Longest text that is read, bytes.
const BYTES_MAX: usize = 400;
/// Most spans of one day.
const SPANS_MAX: usize = 4;

impl FromStr for Hours {
    type Err = NotHours;

    fn from_str(text: &str) -> Result<Hours, NotHours> {
        if text.len() > BYTES_MAX {
            return Err(NotHours);
        }
        let mut week = Hours::default();
        let lower = text.to_lowercase();
        for part in lower.split([',', ';']) {
            let mut words = part.split_whitespace();
            let days = days(words.next().ok_or(NotHours)?)?;
            let mut spans = words.map(span).collect::<Result<Vec<_>, _>>()?;
            spans.sort_unstable();
            let overlaps = spans.windows(2).any(|pair| {
                let (_, closes) = pair[0];
                closes <= pair[0].0 || pair[1].0 < closes
            });
            if spans.is_empty() || spans.len() > SPANS_MAX || overlaps {
                return Err(NotHours);
            }
            for day in days {
                // Said twice is a slip: which of both is meant?
                if !week.0[day].is_empty() {
                    return Err(NotHours);
                }
                week.0[day].clone_from(&spans);
            }
        }
        Ok(week)
    }
}

/// The days of "mon", "mon-fri", "sat-mon" or "daily", from 0 for Monday.
fn days(text: &str) -> Result<Vec<usize>, NotHours> {
    if text == "daily" {
        return Ok((0..7).collect());
    }
    let day = |name: &str| DAYS.iter().position(|d| *d == name).ok_or(NotHours);
    match text.split_once('-') {
        None => Ok(vec![day(text)?]),
        Some((first, last)) => {
            let (first, last) = (day(first)?, day(last)?);
            let many = (last + 7 - first) % 7;
            Ok((0..=many).map(|i| (first + i) % 7).collect())
        }
    }
}

/// "08:00-18:00"; "24:00" closes at midnight.
fn span(text: &str) -> Result<(NaiveTime, NaiveTime), NotHours> {
    let (opens, closes) = text.split_once('-').ok_or(NotHours)?;
    let closes = if closes == "24:00" { "00:00" } else { closes };
    Ok((time(opens)?, time(closes)?))
}

fn time(text: &str) -> Result<NaiveTime, NotHours> {
    NaiveTime::parse_from_str(text, "%H:%M").map_err(|_| NotHours)
}

impl fmt::Display for Hours {
    /// Days of the same hours together: "mon-fri 08:00-18:00, sat 09:00-13:00".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut day = 0;
        let mut separator = "";
        while day < 7 {
            let spans = &self.0[day];
            let last = (day..7).take_while(|&d| self.0[d] == *spans).last();
            let last = last.unwrap_or(day);
            if !spans.is_empty() {
                match last - day {
                    0 => write!(f, "{separator}{}", DAYS[day])?,
                    6 => write!(f, "daily")?,
                    _ => write!(f, "{separator}{}-{}", DAYS[day], DAYS[last])?,
                }
                for (opens, closes) in spans {
                    let opens = opens.format("%H:%M");
                    match *closes == NaiveTime::MIN {
                        true => write!(f, " {opens}-24:00")?,
                        false => write!(f, " {opens}-{}", closes.format("%H:%M"))?,
                    }
                }
                separator = ", ";
            }
            day = last + 1;
        }
        Ok(())
    }
}

impl Hours {
    /// How it stands at a moment.
    #[must_use]
    pub(crate) fn state(&self, at: DateTime<Utc>, zone: Tz) -> State {
        let now = at.with_timezone(&zone).naive_local();
        let spans = self.around(now);
        let mut until: Option<NaiveDateTime> = None;
        for (opens, closes) in &spans {
            // Hours that touch are one: open till midnight and from midnight on.
            let goes_on = until.map_or(*opens <= now && now < *closes, |until| {
                *opens <= until && until < *closes
            });
            if goes_on {
                until = Some(*closes);
            }
        }
        match until {
            Some(until) if (until - now).num_days() >= 7 => State::Always,
            Some(until) => State::OpenUntil(until),
            None => spans
                .iter()
                .map(|(opens, _)| *opens)
                .find(|opens| *opens > now)
                .map_or(State::Never, State::OpensAt),
        }
    }

    /// The spans from yesterday, which may last into today, to the same day of next week and one more, in order.
    fn around(&self, now: NaiveDateTime) -> Vec<(NaiveDateTime, NaiveDateTime)> {
        let Some(yesterday) = now.date().pred_opt() else {
            return Vec::new();
        };
        let days = (0..10).filter_map(|i| yesterday.checked_add_days(Days::new(i)));
        days.flat_map(|day| {
            let spans = &self.0[index(day.weekday())];
            spans.iter().filter_map(move |&(opens, closes)| {
                let next = if closes <= opens {
                    day.succ_opt()?
                } else {
                    day
                };
                Some((day.and_time(opens), next.and_time(closes)))
            })
        })
        .collect()
    }
}

fn index(day: Weekday) -> usize {
    match day {
        Weekday::Mon => 0,
        Weekday::Tue => 1,
        Weekday::Wed => 2,
        Weekday::Thu => 3,
        Weekday::Fri => 4,
        Weekday::Sat => 5,
        Weekday::Sun => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(text: &str) -> Hours {
        text.parse().unwrap()
    }

    fn at(hours: &Hours, time: &str) -> String {
        let moment = format!("{time}:00+02:00").parse::<DateTime<Utc>>().unwrap();
        let said = |when: NaiveDateTime| when.format("%a %H:%M").to_string();
        match hours.state(moment, chrono_tz::Africa::Kigali) {
            State::Always => "always".to_owned(),
            State::Never => "never".to_owned(),
            State::OpenUntil(until) => format!("until {}", said(until)),
            State::OpensAt(opens) => format!("opens {}", said(opens)),
        }
    }

    #[test]
    fn hours_are_printed_as_they_are_read() {
        for (text, printed) in [
            (
                "mon-fri 08:00-18:00, sat 09:00-13:00",
                "mon-fri 08:00-18:00, sat 09:00-13:00",
            ),
            (
                "MON-FRI 08:00-12:00 14:00-18:00; Sat 09:00-13:00",
                "mon-fri 08:00-12:00 14:00-18:00, sat 09:00-13:00",
            ),
            ("daily 00:00-24:00", "daily 00:00-24:00"),
            (
                "fri-sun 20:00-02:00, mon 08:00-18:00",
                "mon 08:00-18:00, fri-sun 20:00-02:00",
            ),
            (
                "sat-mon 10:00-16:00",
                "mon 10:00-16:00, sat-sun 10:00-16:00",
            ),
        ] {
            assert_eq!(hours(text).to_string(), printed);
            assert_eq!(hours(printed), hours(text));
        }
        for text in [
            "",
            "mon",
            "mon 8-18",
            "funday 08:00-18:00",
            "mon 08:00",
            "mon 25:00-26:00",
            "mon 08:00-18:00, mon 09:00-10:00",
            "mon 08:00-12:00 11:00-13:00",
            "mon 20:00-02:00 22:00-23:00",
            "mon 08:00-18:00,",
        ] {
            assert_eq!(text.parse::<Hours>(), Err(NotHours), "{text}");
        }
    }

    #[test]
    fn a_door_says_until_when_or_from_when() {
        let shop = hours("mon-fri 08:00-12:00 14:00-18:00, sat 09:00-13:00");
        for (time, state) in [
            ("2026-11-20T08:00", "until Fri 12:00"),
            ("2026-11-20T12:00", "opens Fri 14:00"),
            ("2026-11-20T18:00", "opens Sat 09:00"),
            ("2026-11-21T13:00", "opens Mon 08:00"),
        ] {
            assert_eq!(at(&shop, time), state, "{time}");
        }
        let bar = hours("fri-sat 20:00-02:00");
        assert_eq!(at(&bar, "2026-11-21T01:59"), "until Sat 02:00");
        assert_eq!(at(&bar, "2026-11-21T02:00"), "opens Sat 20:00");
        assert_eq!(at(&bar, "2026-11-22T02:00"), "opens Fri 20:00");
        let night = hours("mon 18:00-24:00, tue 00:00-06:00");
        assert_eq!(at(&night, "2026-11-23T19:00"), "until Tue 06:00");
        let once = hours("fri 08:00-09:00");
        assert_eq!(at(&once, "2026-11-20T09:00"), "opens Fri 08:00");
        assert_eq!(
            at(&hours("daily 00:00-24:00"), "2026-11-20T09:00"),
            "always"
        );
        assert_eq!(at(&Hours::default(), "2026-11-20T09:00"), "never");
    }
}
