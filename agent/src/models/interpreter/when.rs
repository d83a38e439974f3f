//! When something is to be: a day, a time and a length, cut out of a sentence.

use chrono::{NaiveDate, NaiveTime, Timelike};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::dates::{Lean, TimeSaid, day_at, half_at, month_named, time_at};
use super::intents::Hearing;
use super::numbers::number_at;
use super::plans::{Plan, set};
use super::words::{Kind, Word, longest_at, words as words_of};
use crate::language::Language;

/// When something is to be, as far as the words say.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct When {
    /// The day.
    pub(super) day: Option<NaiveDate>,
    /// The time of day.
    pub(super) time: Option<TimeSaid>,
    /// Morning, afternoon or evening, where no time was said.
    pub(super) part: Option<Part>,
    /// How long.
    pub(super) minutes: Option<u32>,
    /// The words without it. A comma stands where something was cut out, so that what was apart stays apart.
    pub(super) rest: Vec<Word>,
}

/// A part of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Until noon.
    Morning,
    /// From noon to six.
    Afternoon,
    /// From six on.
    Evening,
}

/// Nothing is taken for longer than a day.
const MINUTES_MAX: u32 = 24 * 60;

/// From this hour to noon a bare "at 10" is taken as it stands. Earlier hours are asked about: "at 8" is said of the evening as well.
const PLAIN_FROM_HOUR: u32 = 9;

impl When {
    /// Whether anything was said.
    pub(super) fn is_some(&self) -> bool {
        self.day.is_some() || self.time.is_some() || self.part.is_some()
    }

    /// The time as an argument: "15:00", or `None` where the half of the day has to be asked.
    pub(super) fn clear_time(&self) -> Option<String> {
        self.time.filter(|t| is_plain(*t)).map(|t| shown(t.time))
    }

    /// The time where the half of the day has to be asked.
    pub(super) fn open_time(&self) -> Option<String> {
        self.time.filter(|t| !is_plain(*t)).map(|t| shown(t.time))
    }

    /// The time for a question, where a wrong guess does no harm: small hours are of the afternoon.
    pub(super) fn likely_time(&self) -> Option<String> {
        let said = self.time?;
        Some(shown(
            if !said.certain && (1..8).contains(&said.time.hour()) {
                later(said.time)
            } else {
                said.time
            },
        ))
    }
}

fn is_plain(said: TimeSaid) -> bool {
    said.certain || (PLAIN_FROM_HOUR..=12).contains(&said.time.hour())
}

/// A time as an argument.
pub(super) fn shown(time: NaiveTime) -> String {
    time.format("%H:%M").to_string()
}

/// The same hour after noon.
fn later(time: NaiveTime) -> NaiveTime {
    time.with_hour(time.hour() % 12 + 12).unwrap_or(time)
}

/// The words with a comma in place of those from `start` to `end`.
pub(super) fn cut(words: &[Word], start: usize, end: usize) -> Vec<Word> {
    let comma = words_of(",");
    [&words[..start], &comma, &words[end..]].concat()
}

/// The words with ranges written in one taken apart: "9-17", "9am-5pm".
pub(super) fn spread(words: &[Word]) -> Vec<Word> {
    let mut out = Vec::with_capacity(words.len());
    for (at, word) in words.iter().enumerate() {
        let after_number = at > 0 && words[at - 1].kind == Kind::Digits && !word.spaced;
        let hours = |text: &str| {
            !text.is_empty()
                && text.len() <= 5
                && text
                    .chars()
                    .all(|c| c.is_ascii_digit() || matches!(c, ':' | '.'))
        };
        match word.text.split_once('-') {
            Some((from, to)) if word.kind == Kind::Digits && hours(from) && hours(to) => {
                out.extend(words_of(&format!("{from} - {to}")));
            }
            Some((half, to))
                if after_number && matches!(&*half.to_lowercase(), "am" | "pm" | "h") =>
            {
                out.extend(words_of(&format!("{half} - {to}")));
            }
            _ => out.push(word.clone()),
        }
    }
    out
}

/// Cuts the day, time and length out of some words.
pub(super) fn when_in(words: &[Word], hearing: &Hearing) -> When {
    let mut rest = spread(words);
    let mut when = When {
        day: None,
        time: None,
        part: None,
        minutes: None,
        rest: Vec::new(),
    };
    let first = |rest: &[Word], found: &dyn Fn(&[Word], usize) -> Option<usize>| {
        (0..rest.len()).find_map(|at| found(rest, at).map(|end| (at, end)))
    };
    if let Some((at, hours)) =
        (0..rest.len()).find_map(|at| hours_at(&rest, at, hearing.language).map(|h| (at, h)))
    {
        when.time = Some(hours.from);
        when.minutes = hours.minutes();
        rest = cut(&rest, at, hours.end);
    }
    if when.minutes.is_none()
        && let Some((at, end)) = first(&rest, &|w, at| {
            length_at(w, at, hearing.language).map(|(_, end)| end)
        })
    {
        when.minutes = length_at(&rest, at, hearing.language).map(|(minutes, _)| minutes);
        rest = cut(&rest, at, end);
    }
    if when.time.is_none()
        && let Some((at, said, end)) = (0..rest.len()).find_map(|at| {
            let start =
                longest_at(&rest, at, &["for|to|by|until|from|para|desde|de"]).unwrap_or(at);
            time_at(&rest, start, hearing.language).map(|(said, end)| (at, said, end))
        })
    {
        when.time = Some(said);
        rest = cut(&rest, at, end);
    }
    if let Some((at, (part, today), end)) =
        (0..rest.len()).find_map(|at| part_at(&rest, at).map(|(part, end)| (at, part, end)))
    {
        match when.time {
            Some(time) if part != Part::Morning && !time.certain => {
                when.time = Some(TimeSaid {
                    time: later(time.time),
                    certain: true,
                });
            }
            Some(time) => {
                when.time = Some(TimeSaid {
                    certain: time.certain || part == Part::Morning,
                    ..time
                });
            }
            None => when.part = Some(part),
        }
        when.day = today.then_some(hearing.today);
        rest = cut(&rest, at, end);
    }
    if let Some((at, day, end)) = day_in(&rest, hearing) {
        when.day = Some(day);
        rest = cut(&rest, at, end);
    }
    when.rest = rest;
    when
}

/// The first day ahead among the words, and where it stands with the words that lead to it.
pub(super) fn day_in(words: &[Word], hearing: &Hearing) -> Option<(usize, NaiveDate, usize)> {
    (0..words.len()).find_map(|at| {
        let start = longest_at(
            words,
            at,
            &[
                "?for|of|to|from|by|until on",
                "for|of|to|from|by|until ?the",
                "para|de|del|desde ?el",
                "?para el|la",
                "al",
            ],
        )
        .unwrap_or(at);
        day_at(words, start, hearing.today, Lean::Future, hearing.language)
            .or_else(|| night_of(words, start, hearing.today))
            .map(|(day, end)| (at, day, end))
    })
}

/// "Tonight" says the part of the day as well; where that was taken already it is only a day.
fn night_of(words: &[Word], at: usize, today: NaiveDate) -> Option<(NaiveDate, usize)> {
    longest_at(words, at, &["tonight"]).map(|end| (today, end))
}

/// The part of the day that begins at `at`, whether it says that it is today's, and where it ends.
fn part_at(words: &[Word], at: usize) -> Option<((Part, bool), usize)> {
    const PARTS: &[(Part, &[&str], bool)] = &[
        (Part::Morning, &["this morning", "esta manana"], true),
        (Part::Afternoon, &["this afternoon", "esta tarde"], true),
        (
            Part::Evening,
            &["this evening", "esta noche", "tonight"],
            true,
        ),
        (
            Part::Morning,
            &["?in ?the morning|mornings", "por|en|de la manana"],
            false,
        ),
        (
            Part::Afternoon,
            &["?in ?the afternoon|afternoons", "?por|en|de ?la tarde"],
            false,
        ),
        (
            Part::Evening,
            &["?in|at ?the evening|evenings|night", "?por|en|de ?la noche"],
            false,
        ),
    ];
    PARTS.iter().find_map(|(part, patterns, today)| {
        longest_at(words, at, patterns).map(|end| ((*part, *today), end))
    })
}

/// Hours from and to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hours {
    /// When it begins.
    pub(super) from: TimeSaid,
    /// When it ends.
    pub(super) to: NaiveTime,
    /// The first word after it.
    pub(super) end: usize,
}

impl Hours {
    fn minutes(self) -> Option<u32> {
        u32::try_from((self.to - self.from.time).num_minutes())
            .ok()
            .filter(|m| *m > 0)
    }
}

/// "From 9 to 17", "9am - 5pm", "between 3 and 5 pm", "de 9 a 17".
pub(super) fn hours_at(words: &[Word], at: usize, language: Language) -> Option<Hours> {
    let start =
        longest_at(words, at, &["from|between|de|desde|entre ?las|la", "las"]).unwrap_or(at);
    let (from, middle, from_written) = hour_said(words, start, language)?;
    let joint = longest_at(words, middle, &["to|till|until|and|-|a|y|hasta ?las|la"])?;
    let (to, end, to_written) = hour_said(words, joint, language)?;
    let said = start > at || from_written || to_written || words[middle].is_mark("-");
    // "From 1 to 15 November" are days.
    let dated = longest_at(words, end, &["?of|de"])
        .or(Some(end))
        .and_then(|i| words.get(i))
        .is_some_and(|w| month_named(&w.folded).is_some());
    let clock_word = words[middle].folded == "y" || words[middle].folded == "and";
    if !said || dated || (clock_word && start == at) {
        return None;
    }
    // One half of the day said for both: "3 to 5pm"; "9 to 5" ends after noon.
    let from = match (from.certain, to.certain) {
        (false, true) if from.time.hour() < 12 && later(from.time) < to.time && to_written => {
            TimeSaid {
                time: later(from.time),
                certain: true,
            }
        }
        (false, true) => TimeSaid {
            certain: true,
            ..from
        },
        _ => from,
    };
    let to_time = if to.time <= from.time && !to.certain {
        later(to.time)
    } else {
        to.time
    };
    (to_time > from.time).then_some(Hours {
        from,
        to: to_time,
        end,
    })
}

/// An hour within hours: "9", "9:30", "9am", and whether it is written as a time.
fn hour_said(words: &[Word], at: usize, language: Language) -> Option<(TimeSaid, usize, bool)> {
    if let Some((said, end)) = time_at(words, at, language) {
        let half = (at..end).any(|i| half_at(words, i).is_some());
        return Some((said, end, half || said.certain));
    }
    let number = number_at(words, at, language)?;
    let hour: u32 = number.text.parse().ok().filter(|h| *h <= 24)?;
    if words
        .get(number.end)
        .is_some_and(|w| !w.spaced && w.kind == Kind::Letters)
    {
        return None;
    }
    let said = TimeSaid {
        time: if hour == 24 {
            NaiveTime::from_hms_opt(23, 59, 0)?
        } else {
            NaiveTime::from_hms_opt(hour, 0, 0)?
        },
        certain: hour >= 13,
    };
    Some((said, number.end, false))
}

/// "For 2 hours", "90 minutes", "una hora y media": the minutes, and the first word after it.
pub(super) fn length_at(words: &[Word], at: usize, language: Language) -> Option<(u32, usize)> {
    const FIXED: &[(&[&str], u32)] = &[
        (&["an|one hour and a half", "?una hora y media"], 90),
        (&["half an hour", "?a half hour", "media hora"], 30),
        (&["?a quarter of an hour", "?un cuarto de hora"], 15),
        (&["three quarters of an hour", "tres cuartos de hora"], 45),
        (&["an|one hour", "una hora"], 60),
    ];
    // "In 2 hours" says when, not how long; so does "a las 15 horas".
    let before = at.checked_sub(1).map_or("", |i| words[i].folded.as_str());
    if matches!(
        before,
        "in" | "en" | "dentro" | "las" | "within" | "at" | "every" | "cada"
    ) {
        return None;
    }
    let start = longest_at(
        words,
        at,
        &["for|por|durante|lasting|de|during ?about", "of"],
    )
    .unwrap_or(at);
    if let Some((minutes, end)) = FIXED.iter().find_map(|(patterns, minutes)| {
        longest_at(words, start, patterns).map(|end| (*minutes, end))
    }) {
        return Some((minutes, end));
    }
    let number = number_at(words, start, language)?;
    let count = Decimal::from_str_exact(&number.text).ok()?;
    let half = longest_at(words, number.end, &["and a half", "y media"]);
    let count = if half.is_some() {
        count + Decimal::new(5, 1)
    } else {
        count
    };
    let unit = half.unwrap_or(number.end);
    let unit = longest_at(words, unit, &["-"]).unwrap_or(unit);
    let (factor, end) =
        if let Some(end) = longest_at(words, unit, &["hours|hour|hrs|hr|h|horas|hora"]) {
            // "15 h" is a time where nothing says that it is a length.
            (
                60,
                (start > at || words[unit].text.len() > 2).then_some(end)?,
            )
        } else {
            (
                1,
                longest_at(words, unit, &["minutes|minute|mins|min|minutos|minuto"])?,
            )
        };
    let (more, end) = and_minutes(words, end, language)
        .filter(|_| factor == 60)
        .unwrap_or((0, end));
    let minutes: u32 = count
        .checked_mul(Decimal::from(factor))
        .filter(|m| m.fract().is_zero())?
        .try_into()
        .ok()?;
    let minutes = minutes.checked_add(more)?;
    (1..=MINUTES_MAX)
        .contains(&minutes)
        .then_some((minutes, end))
}

/// "And 30 minutes" after the hours.
fn and_minutes(words: &[Word], at: usize, language: Language) -> Option<(u32, usize)> {
    let number = number_at(words, longest_at(words, at, &["and|y"])?, language)?;
    let end = longest_at(words, number.end, &["minutes|minute|mins|min|minutos"])?;
    Some((number.text.parse().ok().filter(|m| *m < 60)?, end))
}

/// The plan with what was said of day, time and length. A time without its half of the day is kept to be asked about.
pub(super) fn put_when(mut plan: Plan, when: &When) -> Plan {
    if let Some(day) = when.day {
        set(&mut plan.arguments, "date", json!(day.to_string()));
    }
    if let Some(time) = when.clear_time() {
        set(&mut plan.arguments, "time", json!(time));
        plan.clock = None;
    } else if let Some(time) = when.open_time() {
        set(&mut plan.arguments, "time", Value::Null);
        plan.clock = Some(time);
    }
    if let Some(minutes) = when.minutes {
        set(&mut plan.arguments, "minutes", json!(minutes));
    }
    plan
}

/// A clock time with its half of the day.
pub(super) fn in_half(clock: &str, is_later: bool) -> Option<String> {
    let time = NaiveTime::parse_from_str(clock, "%H:%M").ok()?;
    let morning = time.with_hour(time.hour() % 12)?;
    Some(shown(if is_later { later(time) } else { morning }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hearing(language: Language) -> Hearing {
        Hearing::on(NaiveDate::from_ymd_opt(2026, 11, 20).unwrap(), "", language)
    }

    #[test]
    fn day_time_and_length_are_cut_out() {
        use Language::{En, Es};
        for (text, language, wanted) in [
            (
                "the slot tomorrow at 3pm",
                En,
                "2026-11-21 15:00 - | the slot",
            ),
            ("3pm slot tomorrow", En, "2026-11-21 15:00 - | slot"),
            ("Friday at 10", En, "2026-11-20 10:00 - |"),
            ("tomorrow at 8", En, "2026-11-21 08:00? - |"),
            ("tomorrow at 8 in the evening", En, "2026-11-21 20:00 - |"),
            ("tomorrow evening at 8", En, "2026-11-21 20:00 - |"),
            ("on Saturday from 3 to 5pm", En, "2026-11-21 15:00 120 |"),
            ("Monday 9-11", En, "2026-11-23 09:00 120 |"),
            (
                "the room 2pm-4pm today",
                En,
                "2026-11-20 14:00 120 | the room",
            ),
            (
                "the chair for 2 hours at noon",
                En,
                "- 12:00 120 | the chair",
            ),
            ("for an hour and a half at 14:00", En, "- 14:00 90 |"),
            (
                "a 30-minute massage tomorrow at 11am",
                En,
                "2026-11-21 11:00 30 | a, massage",
            ),
            (
                "una mesa mañana a las 8",
                Es,
                "2026-11-21 08:00? - | una mesa",
            ),
            ("mañana a las 8 de la noche", Es, "2026-11-21 20:00 - |"),
            (
                "el viernes por la tarde a las tres y media",
                Es,
                "2026-11-20 15:30 - |",
            ),
            ("de 3 a 5 de la tarde mañana", Es, "2026-11-21 15:00 120 |"),
            ("mañana a las 15 horas", Es, "2026-11-21 15:00 - |"),
            (
                "la sala el lunes durante 2 horas a las 10",
                Es,
                "2026-11-23 10:00 120 | la sala",
            ),
            ("in 2 hours", En, "- - - | in 2 hours"),
        ] {
            let when = when_in(&words_of(text), &hearing(language));
            let time = when
                .clear_time()
                .or_else(|| when.open_time().map(|t| t + "?"));
            let dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
            let rest = super::super::words::text_of(super::super::words::trimmed(&when.rest));
            let heard = format!(
                "{} {} {} | {rest}",
                dash(when.day.map(|d| d.to_string())),
                dash(time),
                dash(when.minutes.map(|m| m.to_string()))
            );
            let plain = |text: &str| text.replace([',', ' '], "");
            assert_eq!(plain(&heard), plain(wanted), "{text}: {heard}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn any_text_is_read_without_harm(
            text in "\\PC{0,60}|((for|from|at|to|de|a|las|half|an|hour|hours|media|hora|y|9-17|9am-5pm|[0-9]{1,19}|½|1/3|minutes|tomorrow|tonight|mañana|evening) ){0,9}",
            spanish in any::<bool>(),
        ) {
            let language = if spanish { Language::Es } else { Language::En };
            let when = when_in(&words_of(&text), &hearing(language));
            prop_assert!(when.minutes.is_none_or(|m| (1..=MINUTES_MAX).contains(&m)));
            put_when(Plan::new("x", json!({})), &when);
        }
    }
}
