//! Days, times and spans of days: "yesterday", "last month", "3pm", "mañana a las 15", "from 1 to 15 November".

use chrono::{Datelike, Days, Months, NaiveDate, NaiveTime, Weekday};
use contracts::tools::billing::Period;

use super::numbers::number_at;
use super::words::{Kind, Word, longest_at, match_at, words};
use crate::language::Language;

/// Which way a day without a year or week is looked for: a report looks back, a due date and a booking look ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lean {
    /// The latest such day up to today.
    Past,
    /// The first such day from today.
    Future,
}

/// A time of day as it was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeSaid {
    /// The time.
    pub time: NaiveTime,
    /// False for "at 3", which may be morning or afternoon: ask.
    pub certain: bool,
}

/// The first day a text names.
#[must_use]
pub fn read_day(text: &str, today: NaiveDate, lean: Lean, language: Language) -> Option<NaiveDate> {
    let words = words(text);
    (0..words.len())
        .find_map(|at| day_at(&words, at, today, lean, language))
        .map(|(day, _)| day)
}

/// The first time of day a text names.
#[must_use]
pub fn read_time(text: &str, language: Language) -> Option<TimeSaid> {
    let words = words(text);
    (0..words.len()).find_map(|at| time_at(&words, at, language).map(|(time, _)| time))
}

/// A span of days as it was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DaysSaid {
    /// First day.
    pub(super) from: NaiveDate,
    /// Last day.
    pub(super) to: NaiveDate,
    /// The tools' own name for it, where it has one.
    pub(super) period: Option<Period>,
    /// The first word of it.
    pub(super) start: usize,
    /// The first word after it.
    pub(super) end: usize,
}

/// The first span of days among the words.
pub(super) fn days_in(words: &[Word], today: NaiveDate, language: Language) -> Option<DaysSaid> {
    (0..words.len()).find_map(|at| {
        named_span(words, at, today)
            .or_else(|| between(words, at, today, language))
            .or_else(|| month_span(words, at, today))
            .or_else(|| {
                let start = longest_at(words, at, &["on", "el|del"]).unwrap_or(at);
                let (day, end) = day_at(words, start, today, Lean::Past, language)?;
                Some(DaysSaid {
                    from: day,
                    to: day,
                    period: None,
                    start: at,
                    end,
                })
            })
    })
}

const NAMED: &[(&[&str], Period)] = &[
    (
        &[
            "?for|of|from today|todays|tonight",
            "?de hoy",
            "this morning|afternoon",
            "el dia de hoy",
            "so far today",
        ],
        Period::Today,
    ),
    (
        &["?for|of|from yesterday|yesterdays", "?de ayer"],
        Period::Yesterday,
    ),
    (
        &[
            "?for|of|in|from|during this|the|current week",
            "?de|en|durante esta|la semana",
            "weekly",
            "semanal",
        ],
        Period::ThisWeek,
    ),
    (
        &[
            "?for|of|in|from|during ?the last|previous|past week",
            "?de|en|durante la semana pasada|anterior",
            "lastweek",
        ],
        Period::LastWeek,
    ),
    (
        &[
            "?for|of|in|from|during this|the|current month",
            "?de|en|durante este|el mes",
            "monthly",
            "mensual",
        ],
        Period::ThisMonth,
    ),
    (
        &[
            "?for|of|in|from|during ?the last|previous|past month",
            "?de|en|durante el mes pasado|anterior",
            "del mes pasado|anterior",
        ],
        Period::LastMonth,
    ),
];

fn named_span(words: &[Word], at: usize, today: NaiveDate) -> Option<DaysSaid> {
    let (period, end) = NAMED
        .iter()
        .filter_map(|(patterns, period)| longest_at(words, at, patterns).map(|end| (*period, end)))
        .max_by_key(|(_, end)| *end)?;
    let (from, to) = days_of(period, today)?;
    Some(DaysSaid {
        from,
        to,
        period: Some(period),
        start: at,
        end,
    })
}

/// First and last day of a named period; the current ones end today.
pub(super) fn days_of(period: Period, today: NaiveDate) -> Option<(NaiveDate, NaiveDate)> {
    let monday =
        today.checked_sub_days(Days::new(u64::from(today.weekday().num_days_from_monday())))?;
    let first = today.with_day(1)?;
    let day_before = |d: NaiveDate| d.checked_sub_days(Days::new(1));
    Some(match period {
        Period::Today => (today, today),
        Period::Yesterday => (day_before(today)?, day_before(today)?),
        Period::ThisWeek => (monday, today),
        Period::LastWeek => (monday.checked_sub_days(Days::new(7))?, day_before(monday)?),
        Period::ThisMonth => (first, today),
        Period::LastMonth => (
            first.checked_sub_months(Months::new(1))?,
            day_before(first)?,
        ),
    })
}

/// "From 1 to 15 November", "between Monday and today", "since Monday".
fn between(words: &[Word], at: usize, today: NaiveDate, language: Language) -> Option<DaysSaid> {
    if let Some(start) = longest_at(words, at, &["since", "desde ?el"])
        && let Some((from, end)) = day_at(words, start, today, Lean::Past, language)
        && longest_at(words, end, UNTIL).is_none()
    {
        return Some(DaysSaid {
            from,
            to: today,
            period: None,
            start: at,
            end,
        });
    }
    let start = longest_at(words, at, &["from", "between", "desde|del|entre ?el"])?;
    // "From 1 to 15 November": the first day borrows the month of the second.
    let (first, middle) = match day_at(words, start, today, Lean::Past, language) {
        Some((day, end)) => (Some(day), end),
        None => (None, number_at(words, start, language)?.end),
    };
    let second = longest_at(words, middle, UNTIL)?;
    let (to, end) = day_at(words, second, today, Lean::Past, language)?;
    let from = match first {
        Some(day) => day,
        None => to.with_day(number_at(words, start, language)?.text.parse().ok()?)?,
    };
    (from <= to).then_some(DaysSaid {
        from,
        to,
        period: None,
        start: at,
        end,
    })
}

const UNTIL: &[&str] = &["to|until|till|and|through", "al|a|hasta|y ?el"];

/// "In October", "en octubre".
fn month_span(words: &[Word], at: usize, today: NaiveDate) -> Option<DaysSaid> {
    let start = longest_at(words, at, &["in|for|of|during", "en|de|durante"])?;
    let month = month_named(&words.get(start)?.folded)?;
    let mut end = start + 1;
    let typed_year = words
        .get(end)
        .and_then(|w| w.text.parse::<i32>().ok())
        .filter(|y| (2000..2100).contains(y));
    end += usize::from(typed_year.is_some());
    let this_or_last = today.year() - i32::from(month > today.month());
    let year = typed_year.unwrap_or(this_or_last);
    let from = NaiveDate::from_ymd_opt(year, month, 1)?;
    let to = from
        .checked_add_months(Months::new(1))?
        .pred_opt()?
        .min(today.max(from));
    Some(DaysSaid {
        from,
        to,
        period: None,
        start: at,
        end,
    })
}

/// The day that begins at `at`, and the first word after it.
pub(super) fn day_at(
    words: &[Word],
    at: usize,
    today: NaiveDate,
    lean: Lean,
    language: Language,
) -> Option<(NaiveDate, usize)> {
    relative(words, at, today, language)
        .or_else(|| weekday(words, at, today, lean))
        .or_else(|| calendar(words, at, today, lean))
}

fn relative(
    words: &[Word],
    at: usize,
    today: NaiveDate,
    language: Language,
) -> Option<(NaiveDate, usize)> {
    const FIXED: &[(&[&str], i64)] = &[
        (
            &["?the day after tomorrow|tomorrows", "?de pasado manana"],
            2,
        ),
        (
            &[
                "tomorrow|tomorrows|tmrw|tmr|tomorow|tommorow|tommorrow|tomorro|2moro",
                "manana",
            ],
            1,
        ),
        (&["today|todays|tonight|tonights", "hoy"], 0),
        (&["yesterday", "ayer"], -1),
        (
            &["?the day before yesterday", "anteayer", "antes de ayer"],
            -2,
        ),
    ];
    let fixed = FIXED
        .iter()
        .filter_map(|(patterns, days)| longest_at(words, at, patterns).map(|end| (*days, end)))
        .max_by_key(|(_, end)| *end);
    if let Some((days, end)) = fixed {
        return Some((shifted(today, days)?, end));
    }
    let (start, sign) = longest_at(words, at, &["in|within", "en|dentro ?de"])
        .map(|start| (start, 1))
        .or_else(|| longest_at(words, at, &["hace"]).map(|start| (start, -1)))
        .unwrap_or((at, 0));
    let number = number_at(words, start, language)?;
    let count: i64 = number
        .text
        .parse()
        .ok()
        .filter(|n| (0..=3_660).contains(n))?;
    let ago = longest_at(words, number.end + 1, &["ago"]);
    let sign = if sign == 0 { ago.map(|_| -1)? } else { sign };
    let unit = words.get(number.end)?;
    let end = ago.unwrap_or(number.end + 1);
    let days = match unit.folded.as_str() {
        "day" | "days" | "dia" | "dias" => count,
        "week" | "weeks" | "semana" | "semanas" => count * 7,
        _ => return None,
    };
    Some((shifted(today, sign * days)?, end))
}

fn shifted(day: NaiveDate, days: i64) -> Option<NaiveDate> {
    day.checked_add_signed(chrono::TimeDelta::try_days(days)?)
}

fn weekday(words: &[Word], at: usize, today: NaiveDate, lean: Lean) -> Option<(NaiveDate, usize)> {
    let (start, lean, strictly) = if let Some(start) = match_at(words, at, "last|past") {
        (start, Lean::Past, true)
    } else if let Some(start) = match_at(words, at, "next") {
        (start, Lean::Future, true)
    } else if let Some(start) = longest_at(
        words,
        at,
        &["on|this|coming", "el|este|proximo", "el proximo"],
    ) {
        (start, lean, false)
    } else {
        (at, lean, false)
    };
    let wanted = weekday_named(&words.get(start)?.folded)?;
    let mut end = start + 1;
    let (lean, strictly) = match longest_at(words, end, &["pasado"]) {
        Some(after) => {
            end = after;
            (Lean::Past, true)
        }
        None => (lean, strictly),
    };
    let step = if lean == Lean::Past { -1 } else { 1 };
    let first = i64::from(strictly);
    (first..=first + 6)
        .filter_map(|n| shifted(today, step * n))
        .find(|day| day.weekday() == wanted)
        .map(|day| (day, end))
}

/// The weekday a word names, in the plural and with a slip of the finger too: "Fridays", "wendesday".
pub(super) fn weekday_named(folded: &str) -> Option<Weekday> {
    const LONG: [(&str, Weekday); 12] = [
        ("monday", Weekday::Mon),
        ("tuesday", Weekday::Tue),
        ("wednesday", Weekday::Wed),
        ("thursday", Weekday::Thu),
        ("friday", Weekday::Fri),
        ("saturday", Weekday::Sat),
        ("sunday", Weekday::Sun),
        ("miercoles", Weekday::Wed),
        ("viernes", Weekday::Fri),
        ("sabado", Weekday::Sat),
        ("sabados", Weekday::Sat),
        ("domingo", Weekday::Sun),
    ];
    let known = match folded {
        "mon" | "lunes" => Some(Weekday::Mon),
        "tue" | "tues" | "martes" => Some(Weekday::Tue),
        "wed" | "weds" => Some(Weekday::Wed),
        "thu" | "thur" | "thurs" | "jueves" => Some(Weekday::Thu),
        "fri" => Some(Weekday::Fri),
        "sat" => Some(Weekday::Sat),
        "sun" => Some(Weekday::Sun),
        _ => None,
    };
    let exact = || LONG.iter().find(|(name, _)| *name == folded);
    let plural = || {
        let one = folded.strip_suffix('s')?;
        LONG.iter().find(|(name, _)| *name == one)
    };
    // Letters swapped, missing or doubled, but no other letters: "sundry" is no Sunday.
    let slip = || {
        LONG.iter().find(|(name, _)| {
            folded.len() >= 5
                && folded.chars().next() == name.chars().next()
                && strsim::osa_distance(folded, name) == 1
                && (folded.len() != name.len() || same_letters(folded, name))
        })
    };
    known.or_else(|| {
        exact()
            .or_else(plural)
            .or_else(slip)
            .map(|(_, weekday)| *weekday)
    })
}

fn same_letters(one: &str, other: &str) -> bool {
    let sorted = |text: &str| {
        let mut letters: Vec<char> = text.chars().collect();
        letters.sort_unstable();
        letters
    };
    sorted(one) == sorted(other)
}

pub(super) fn month_named(folded: &str) -> Option<u32> {
    const MONTHS: [&[&str]; 12] = [
        &["january", "jan", "enero"],
        &["february", "feb", "febrero"],
        &["march", "mar", "marzo"],
        &["april", "apr", "abril"],
        &["may", "mayo"],
        &["june", "jun", "junio"],
        &["july", "jul", "julio"],
        &["august", "aug", "agosto"],
        &["september", "sep", "sept", "septiembre", "setiembre"],
        &["october", "oct", "octubre"],
        &["november", "nov", "noviembre"],
        &["december", "dec", "diciembre"],
    ];
    (1..)
        .zip(MONTHS)
        .find(|(_, names)| names.contains(&folded))
        .map(|(number, _)| number)
}

/// "2026-11-20", "20/11/2026", "20 November", "November 20, 2026", "20 de noviembre".
fn calendar(words: &[Word], at: usize, today: NaiveDate, lean: Lean) -> Option<(NaiveDate, usize)> {
    let first = words.get(at)?;
    if first.kind == Kind::Digits {
        if let Ok(day) = NaiveDate::parse_from_str(&first.text, "%Y-%m-%d") {
            return Some((day, at + 1));
        }
        // Day before month, as the shops of our languages write it.
        for format in ["%d/%m/%Y", "%d-%m-%Y", "%d.%m.%Y"] {
            if let Ok(day) = NaiveDate::parse_from_str(&first.text, format)
                && (2000..2100).contains(&day.year())
            {
                return Some((day, at + 1));
            }
        }
    }
    let (day, month, end) = day_and_month(words, at)?;
    let after = longest_at(words, end, &["?, ?de|del"]).unwrap_or(end);
    let typed_year = words
        .get(after)
        .and_then(|w| w.text.parse::<i32>().ok())
        .filter(|y| (2000..2100).contains(y));
    if let Some(year) = typed_year {
        return Some((NaiveDate::from_ymd_opt(year, month, day)?, after + 1));
    }
    let this_year = NaiveDate::from_ymd_opt(today.year(), month, day)?;
    let year = match lean {
        Lean::Past if this_year > today => today.year() - 1,
        Lean::Future if this_year < today => today.year() + 1,
        Lean::Past | Lean::Future => today.year(),
    };
    Some((NaiveDate::from_ymd_opt(year, month, day)?, end))
}

fn day_and_month(words: &[Word], at: usize) -> Option<(u32, u32, usize)> {
    let number = |i: usize| {
        words
            .get(i)
            .and_then(|w| w.text.parse::<u32>().ok())
            .filter(|d| (1..=31).contains(d))
    };
    let month = |i: usize| words.get(i).and_then(|w| month_named(&w.folded));
    let past_ordinal = |i: usize| longest_at(words, i, &["st|nd|rd|th"]).unwrap_or(i);
    if let Some(day) = number(at) {
        let end = past_ordinal(at + 1);
        let end = longest_at(words, end, &["of|de"]).unwrap_or(end);
        return Some((day, month(end)?, end + 1));
    }
    let month = month(at)?;
    let day = number(at + 1)?;
    Some((day, month, past_ordinal(at + 2)))
}

/// The time of day that begins at `at`, its "at" included, and the first word after it.
pub(super) fn time_at(words: &[Word], at: usize, language: Language) -> Option<(TimeSaid, usize)> {
    const NAMED: &[(u32, &[&str])] = &[
        (12, &["?at noon|midday", "?al ?a mediodia", "?al medio dia"]),
        (
            0,
            &["?at midnight", "?a ?la medianoche", "?a ?la media noche"],
        ),
    ];
    if let Some((hour, end)) = NAMED
        .iter()
        .find_map(|(hour, patterns)| longest_at(words, at, patterns).map(|end| (*hour, end)))
    {
        return Some((clock(hour, 0, true)?, end));
    }
    let announced = longest_at(
        words,
        at,
        &[
            "at|@ ?about|around",
            "a eso de las|la",
            "?a ?sobre las",
            "a la",
        ],
    );
    let start = announced.unwrap_or(at);
    if let Some((hour, minute, end)) = past_the_hour(words, start, language) {
        return half_of_day(words, end, hour, minute)
            .or_else(|| Some((clock(hour, minute, false)?, end)));
    }
    let (hour, minute, mut end, written) = hour_and_minute(words, start, language)?;
    let spoken = if written {
        None
    } else {
        minutes_after(words, end, language, announced.is_some())
    };
    let (hour, minute) = match spoken {
        Some((minutes, after)) => {
            end = after;
            let since_midnight = i32::try_from(hour).ok()? * 60 + minutes;
            let since_midnight = u32::try_from(since_midnight.rem_euclid(24 * 60)).ok()?;
            (since_midnight / 60, since_midnight % 60)
        }
        None => (hour, minute),
    };
    if let Some(time) = half_of_day(words, end, hour, minute) {
        return Some(time);
    }
    let oclock = longest_at(words, end, &["oclock", "en punto", "horas|hrs|hours"]);
    let certain = hour >= 13 || (written && words[start].text.starts_with('0')) || hour == 0;
    if !written && spoken.is_none() && announced.is_none() && oclock.is_none() {
        return None;
    }
    // "At 3 eggs" is no time, and "for 3 hours" is a length.
    if announced.is_none() && !written && longest_at(words, end, &["horas|hrs|hours"]).is_some() {
        return None;
    }
    Some((clock(hour, minute, certain)?, oclock.unwrap_or(end)))
}

/// Minutes said after the hour: "y media", "menos cuarto", "thirty".
fn minutes_after(
    words: &[Word],
    at: usize,
    language: Language,
    announced: bool,
) -> Option<(i32, usize)> {
    const PARTS: &[(&str, i32)] = &[("y media", 30), ("y cuarto", 15), ("menos cuarto", -15)];
    if let Some(found) = PARTS
        .iter()
        .find_map(|(pattern, minutes)| Some((*minutes, match_at(words, at, pattern)?)))
    {
        return Some(found);
    }
    let (start, sign) = match (match_at(words, at, "y"), match_at(words, at, "menos")) {
        (Some(start), _) => (start, 1),
        (None, Some(start)) => (start, -1),
        (None, None) if announced => (at, 1),
        (None, None) => return None,
    };
    // Digits after "y" begin something else: "a las 3 y 2 huevos".
    words.get(start).filter(|w| w.kind == Kind::Letters)?;
    let number = number_at(words, start, language)?;
    let minutes: i32 = number
        .text
        .parse()
        .ok()
        .filter(|m| (5..60).contains(m) && (start > at || *m >= 10))?;
    Some((sign * minutes, number.end))
}

fn clock(hour: u32, minute: u32, certain: bool) -> Option<TimeSaid> {
    NaiveTime::from_hms_opt(hour, minute, 0).map(|time| TimeSaid { time, certain })
}

/// "15:30", "15h", "15h30", "3": hour, minute, end, and whether it is written as a time.
fn hour_and_minute(
    words: &[Word],
    at: usize,
    language: Language,
) -> Option<(u32, u32, usize, bool)> {
    let word = words.get(at)?;
    let unsigned = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    if let Some((hour, minute)) = word.text.split_once([':', '.'])
        && minute.len() == 2
        && unsigned(hour)
    {
        let end = longest_at(words, at + 1, &["h|hs|hrs"]).unwrap_or(at + 1);
        return Some((
            hour.parse().ok()?,
            minute.parse().ok()?,
            end,
            word.text.contains(':'),
        ));
    }
    // "La una" is the only hour that is not said with its number.
    if word.folded == "una" && at > 0 && words[at - 1].folded == "la" {
        return Some((1, 0, at + 1, false));
    }
    let number = number_at(words, at, language)?;
    let hour: u32 = number
        .text
        .parse()
        .ok()
        .filter(|h| *h < 24 && !word.text.starts_with('+'))?;
    let suffix = words
        .get(number.end)
        .filter(|w| !w.spaced)
        .map(|w| w.folded.as_str());
    match suffix.and_then(|s| s.strip_prefix('h')) {
        Some("" | "s" | "rs") => Some((hour, 0, number.end + 1, true)),
        Some(minutes) if minutes.len() == 2 => {
            Some((hour, minutes.parse().ok()?, number.end + 1, true))
        }
        _ => Some((hour, 0, number.end, false)),
    }
}

/// "Half past 3", "quarter to 4", "ten past five".
fn past_the_hour(words: &[Word], at: usize, language: Language) -> Option<(u32, u32, usize)> {
    const PARTS: &[(&str, u32, u32)] = &[
        ("half past", 0, 30),
        ("?a quarter past|after", 0, 15),
        ("?a quarter to|before", 1, 45),
    ];
    let (back, minute, start) = PARTS
        .iter()
        .find_map(|(pattern, back, minute)| Some((*back, *minute, match_at(words, at, pattern)?)))
        .or_else(|| {
            let number = number_at(words, at, language)?;
            let minutes: u32 = number.text.parse().ok().filter(|m| (1..60).contains(m))?;
            if let Some(end) = longest_at(words, number.end, &["?minutes past|after"]) {
                return Some((0, minutes, end));
            }
            let end = longest_at(words, number.end, &["minutes to|before", "to"])?;
            // "9 to 17" are hours; "ten to five" is a time.
            let spoken = words.get(at)?.kind == Kind::Letters || end > number.end + 1;
            (spoken && minutes.is_multiple_of(5)).then_some((1, 60 - minutes, end))
        })?;
    let number = number_at(words, start, language)?;
    let hour: u32 = number.text.parse().ok().filter(|h| *h < 24)?;
    let hour = if hour == 0 && back == 1 { 24 } else { hour };
    Some((hour.checked_sub(back)?, minute, number.end))
}

/// "pm", "in the evening", "de la tarde" after an hour from 1 to 12.
fn half_of_day(words: &[Word], at: usize, hour: u32, minute: u32) -> Option<(TimeSaid, usize)> {
    let at = longest_at(words, at, &["oclock", "en punto"]).unwrap_or(at);
    let (later, end) = half_at(words, at)?;
    if !(1..=12).contains(&hour) {
        return None;
    }
    Some((
        clock(hour % 12 + if later { 12 } else { 0 }, minute, true)?,
        end,
    ))
}

/// Which half of the day the words at `at` say, the later one or not, and where they end.
pub(super) fn half_at(words: &[Word], at: usize) -> Option<(bool, usize)> {
    const MORNING: &[&str] = &[
        "am|a.m",
        "a . m",
        "?oclock in the morning",
        "de|en|por la manana",
        "de la madrugada",
    ];
    const LATER: &[&str] = &[
        "pm|p.m",
        "p . m",
        "?oclock in the afternoon|evening",
        "at night",
        "de|en|por la tarde|noche",
        "del mediodia",
    ];
    longest_at(words, at, LATER)
        .map(|end| (true, end))
        .or_else(|| longest_at(words, at, MORNING).map(|end| (false, end)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use Language::{En, Es};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn any_text_is_read_without_harm(
            text in "\\PC{0,60}|([0-9:.,/hamp-]{1,12} ?){1,5}|((at|las|half|past|quarter|to|y|menos|media|cuarto|in|days|el|next|from|until|of|[0-9]{1,19}|diez|noon) ){0,8}",
            spanish in any::<bool>(),
            days in 0..4_000_u64,
        ) {
            let language = if spanish { Es } else { En };
            let today = NaiveDate::from_ymd_opt(2020, 1, 1).unwrap() + Days::new(days);
            for lean in [Lean::Past, Lean::Future] {
                let _ = read_day(&text, today, lean, language);
            }
            let _ = read_time(&text, language);
            if let Some(said) = days_in(&words(&text), today, language) {
                prop_assert!(said.start < said.end);
            }
        }
    }

    /// A Friday.
    fn today() -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 11, 20).unwrap()
    }

    #[test]
    fn days() {
        for (text, lean, language, day) in [
            ("today", Lean::Past, En, "2026-11-20"),
            ("tomorrow", Lean::Future, En, "2026-11-21"),
            ("the day after tomorrow", Lean::Future, En, "2026-11-22"),
            ("yesterday", Lean::Past, En, "2026-11-19"),
            ("mañana", Lean::Future, Es, "2026-11-21"),
            ("pasado mañana", Lean::Future, Es, "2026-11-22"),
            ("anteayer", Lean::Past, Es, "2026-11-18"),
            ("on Monday", Lean::Past, En, "2026-11-16"),
            ("on Monday", Lean::Future, En, "2026-11-23"),
            ("Friday", Lean::Future, En, "2026-11-20"),
            ("next Friday", Lean::Future, En, "2026-11-27"),
            ("last Friday", Lean::Past, En, "2026-11-13"),
            ("el lunes pasado", Lean::Future, Es, "2026-11-16"),
            ("el viernes", Lean::Future, Es, "2026-11-20"),
            ("2026-12-01", Lean::Past, En, "2026-12-01"),
            ("01/12/2026", Lean::Past, En, "2026-12-01"),
            ("1 December", Lean::Future, En, "2026-12-01"),
            ("December 1st", Lean::Past, En, "2025-12-01"),
            ("20 de noviembre de 2025", Lean::Past, Es, "2025-11-20"),
            ("in 7 days", Lean::Future, En, "2026-11-27"),
            ("en 2 semanas", Lean::Future, Es, "2026-12-04"),
            ("3 days ago", Lean::Past, En, "2026-11-17"),
            ("hace 3 días", Lean::Past, Es, "2026-11-17"),
            ("tommorow", Lean::Future, En, "2026-11-21"),
            ("wendesday", Lean::Future, En, "2026-11-25"),
            ("Saturday's", Lean::Future, En, "2026-11-21"),
            ("el sábado", Lean::Future, Es, "2026-11-21"),
        ] {
            let read = read_day(text, today(), lean, language).map(|d| d.to_string());
            assert_eq!(read.as_deref(), Some(day), "{text}");
        }
        for text in ["sugar", "31 February", "99/99/2026", "12", "sundry"] {
            assert_eq!(read_day(text, today(), Lean::Past, En), None, "{text}");
        }
    }

    #[test]
    fn spans() {
        for (text, language, from, to, period) in [
            (
                "sales this week",
                En,
                "2026-11-16",
                "2026-11-20",
                Some(Period::ThisWeek),
            ),
            (
                "takings last month",
                En,
                "2026-10-01",
                "2026-10-31",
                Some(Period::LastMonth),
            ),
            (
                "ventas de la semana pasada",
                Es,
                "2026-11-09",
                "2026-11-15",
                Some(Period::LastWeek),
            ),
            (
                "ventas de ayer",
                Es,
                "2026-11-19",
                "2026-11-19",
                Some(Period::Yesterday),
            ),
            (
                "sales from 1 November to 15 November",
                En,
                "2026-11-01",
                "2026-11-15",
                None,
            ),
            (
                "sales from 1 to 15 November",
                En,
                "2026-11-01",
                "2026-11-15",
                None,
            ),
            ("sales since Monday", En, "2026-11-16", "2026-11-20", None),
            ("sales in October", En, "2026-10-01", "2026-10-31", None),
            ("ventas en diciembre", Es, "2025-12-01", "2025-12-31", None),
            ("sales in November", En, "2026-11-01", "2026-11-20", None),
            ("sales on 2026-11-18", En, "2026-11-18", "2026-11-18", None),
            (
                "ventas del 1 al 15 de noviembre",
                Es,
                "2026-11-01",
                "2026-11-15",
                None,
            ),
        ] {
            let said = days_in(&words(text), today(), language).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(
                (
                    said.from.to_string().as_str(),
                    said.to.to_string().as_str(),
                    said.period
                ),
                (from, to, period),
                "{text}"
            );
        }
    }

    #[test]
    fn times() {
        for (text, language, time, certain) in [
            ("3pm", En, "15:00", true),
            ("tomorrow 3pm", En, "15:00", true),
            ("3:30 pm", En, "15:30", true),
            ("at 10 am", En, "10:00", true),
            ("12am", En, "00:00", true),
            ("12 pm", En, "12:00", true),
            ("15:45", En, "15:45", true),
            ("09:00", En, "09:00", true),
            ("noon", En, "12:00", true),
            ("half past 3", En, "03:30", false),
            ("quarter to 4 pm", En, "15:45", true),
            ("at 3", En, "03:00", false),
            ("3 in the afternoon", En, "15:00", true),
            ("mañana a las 15", Es, "15:00", true),
            ("a las 3 de la tarde", Es, "15:00", true),
            ("a las tres y media de la tarde", Es, "15:30", true),
            ("a las 9 de la mañana", Es, "09:00", true),
            ("15h30", Es, "15:30", true),
            ("mediodía", Es, "12:00", true),
            ("half past three", En, "03:30", false),
            ("at half past three in the afternoon", En, "15:30", true),
            ("ten to five pm", En, "16:50", true),
            ("20 minutes past 4 pm", En, "16:20", true),
            ("at five thirty pm", En, "17:30", true),
            ("3 p.m.", En, "15:00", true),
            ("3 p. m.", Es, "15:00", true),
            ("3 o'clock", En, "03:00", false),
            ("@ 3pm", En, "15:00", true),
            ("3.30pm", En, "15:30", true),
            ("a las 15 horas", Es, "15:00", true),
            ("a las tres y media", Es, "03:30", false),
            ("las cuatro menos cuarto de la tarde", Es, "15:45", true),
            ("a las cinco y diez de la tarde", Es, "17:10", true),
            ("a la una", Es, "01:00", false),
            ("15:30 h", Es, "15:30", true),
            ("20h", Es, "20:00", true),
        ] {
            let said = read_time(text, language).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(
                (said.time.format("%H:%M").to_string().as_str(), said.certain),
                (time, certain),
                "{text}"
            );
        }
        for text in [
            "3 eggs",
            "25:00",
            "sugar",
            "13pm",
            "for 3 hours",
            "15 horas",
            "9 to 17",
        ] {
            assert_eq!(read_time(text, En), None, "{text}");
        }
    }
}
