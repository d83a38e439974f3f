//! Sentences of the owner about what can be booked, and when it is open.

use chrono::{NaiveDate, Weekday};
use serde_json::{Map, Value, json};

use super::dates::{Lean, day_at, weekday_named};
use super::intents::{Hearing, Wish};
use super::names::{name_of, title, without_possessive};
use super::numbers::number_at;
use super::plans::{Plan, object};
use super::replies::Saying;
use super::tools::{SET_HOURS, SET_RESOURCE};
use super::when::{Hours, cut, hours_at, length_at, shown, spread};
use super::words::{Kind, Word, drop_all, find, has, longest_at, starts, trimmed, without};

/// What a sentence that sets up bookings asks for.
pub(super) fn write(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    if hearing.question
        || has(
            words,
            &[
                "bill|invoice|factura|price|prices|precio|stock|ticket|booking|appointment|reserva|cita",
            ],
        )
    {
        return None;
    }
    opening(words, hearing).or_else(|| resource(words, hearing))
}

/// The days some hours are for.
enum DaysMeant {
    /// Of every week.
    Weekly(Vec<Weekday>),
    /// One date.
    Date(NaiveDate),
    /// "On Sunday": this one or every one.
    Unclear,
}

const SET: &[&str] = &[
    "set|change|update|make|put|fix|pon|poner|cambia|cambiar|fija|fijar|actualiza|establece|define ?the|el|los|las",
    "new|nuevo",
];
const HOURS: &[&str] = &[
    "?opening|working|business|open hours|times",
    "horario|horarios ?de ?atencion|apertura|trabajo",
    "?las horas ?de ?apertura|trabajo",
];
const OPENS: &[&str] = &[
    "is|are ?now open",
    "works|work|opens|open|working",
    "?esta|estan abierto|abierta|abiertos",
    "trabaja|trabajan|atiende|atienden|abre|abren|abrir",
];
const CLOSED: &[&str] = &[
    "?is|are|will|be closed|off|shut",
    "close|closes|shut",
    "?esta|estan cerrado|cerrada|cerrados",
    "cierra|cierran|cerrar|libra|libran",
    "no ?se trabaja|atiende|abre",
];

/// "Set the barber's hours Monday to Friday 9 to 17", "close the chair on Sundays".
fn opening(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    let words = &spread(words);
    let closing = has(words, CLOSED);
    let named = has(words, HOURS);
    let opens = has(words, OPENS);
    if !(named
        && (starts(words, SET).is_some()
            || words.iter().any(|w| w.is_mark(":"))
            || starts(words, HOURS).is_some())
        || opens
        || closing)
    {
        return None;
    }
    let (intervals, rest) = intervals_in(words, hearing);
    let (days, rest) = days_meant(&rest, hearing, named)?;
    if intervals.is_empty() != closing {
        return None;
    }
    let rest = drop_all(&rest, HOURS);
    let rest = drop_all(&rest, CLOSED);
    let rest = drop_all(&rest, OPENS);
    let rest = drop_all(
        &rest,
        &[
            "set|change|update|make|put|fix|to|from|for|of|on|is|are|be|will|hours|and|now|new",
            "pon|poner|cambia|cambiar|fija|fijar|actualiza|establece|define|de|del|los|las|para|en|a|y|nuevo|esta|se",
            ",|:|;",
        ],
    );
    let name = name_of(&rest)?;
    let name = without_possessive(&name).to_owned();
    let mut arguments = Map::new();
    arguments.insert("resource".to_owned(), json!(name));
    match days {
        DaysMeant::Unclear => return Some(Wish::Say(Saying::WhichWeeks)),
        DaysMeant::Weekly(days) => {
            let days: Vec<&str> = days.into_iter().map(day_word).collect();
            arguments.insert("weekdays".to_owned(), json!(days));
        }
        DaysMeant::Date(day) => {
            arguments.insert("date".to_owned(), json!(day.to_string()));
        }
    }
    let interval = |h: &Hours| json!({"opens": shown(h.from.time), "closes": shown(h.to)});
    match intervals.as_slice() {
        [] => {
            arguments.insert("closed".to_owned(), json!(true));
        }
        [only] => {
            arguments.insert("opens".to_owned(), json!(shown(only.from.time)));
            arguments.insert("closes".to_owned(), json!(shown(only.to)));
        }
        several => {
            let all: Vec<Value> = several.iter().map(interval).collect();
            arguments.insert("intervals".to_owned(), json!(all));
        }
    }
    Some(Wish::Do(Plan::new(SET_HOURS, Value::Object(arguments))))
}

/// More stretches than this are no day.
const INTERVALS_MAX: usize = 10;

/// The stretches of a day, and the words without them.
fn intervals_in(words: &[Word], hearing: &Hearing) -> (Vec<Hours>, Vec<Word>) {
    let mut rest = words.to_vec();
    let mut found = Vec::new();
    while found.len() < INTERVALS_MAX
        && let Some((at, hours)) = (0..rest.len()).find_map(|at| {
            hours_at(&rest, at, hearing.language)
                .or_else(|| bare_hours(&rest, at, hearing))
                .map(|h| (at, h))
        })
    {
        rest = cut(&rest, at, hours.end);
        found.push(hours);
    }
    (found, rest)
}

/// "Monday to Friday 9 to 17": hours that nothing announces are hours here.
fn bare_hours(words: &[Word], at: usize, hearing: &Hearing) -> Option<Hours> {
    words.get(at).filter(|w| w.kind == Kind::Digits)?;
    let joint = longest_at(words, at + 1, &["to|a|until|till|hasta"])?;
    words.get(joint).filter(|w| w.kind == Kind::Digits)?;
    let announced = [super::words::words("from").as_slice(), &words[at..]].concat();
    let hours = hours_at(&announced, 0, hearing.language)?;
    Some(Hours {
        end: hours.end - 1 + at,
        ..hours
    })
}

const EVERY: &[(&[&str], usize, usize)] = &[
    (
        &[
            "?on weekdays",
            "?on working days",
            "entre semana",
            "dias laborables",
        ],
        0,
        5,
    ),
    (
        &["?on ?the weekends|weekend", "?los ?el fines|fin de semana"],
        5,
        7,
    ),
    (
        &[
            "every day",
            "daily|diario|diariamente",
            "todos los dias",
            "all week",
            "toda la semana",
            "cada dia",
        ],
        0,
        7,
    ),
];

/// The days, and the words without them; `None` when none are named.
fn days_meant(words: &[Word], hearing: &Hearing, hours: bool) -> Option<(DaysMeant, Vec<Word>)> {
    for (patterns, from, to) in EVERY {
        if let Some((at, end)) = find(words, patterns).filter(|(at, end)| end > at) {
            return Some((
                DaysMeant::Weekly(WEEK[*from..*to].to_vec()),
                cut(words, at, end),
            ));
        }
    }
    let mut days: Vec<Weekday> = Vec::new();
    let mut rest = words.to_vec();
    let mut weekly = false;
    // The marks left by what was cut are only a few; so are the days of a week.
    for _ in 0..7 {
        let Some((at, first)) =
            (0..rest.len()).find_map(|at| weekday_named(&rest[at].folded).map(|day| (at, day)))
        else {
            break;
        };
        let start = (0..at)
            .rev()
            .take(3)
            .filter(|s| {
                longest_at(
                    &rest,
                    *s,
                    &[
                        "?on|from|and|each|every|this|next|coming|to",
                        "?de|y|a|cada|este|proximo ?los|el",
                        "on every|each",
                    ],
                ) == Some(at)
            })
            .min()
            .unwrap_or(at);
        weekly |= has(&rest[start..at], &["every|each|cada|los"]) || is_plural(&rest[at].folded);
        if has(&rest[start..at], &["this|next|coming|este|proximo"]) {
            break;
        }
        let through = longest_at(&rest, at + 1, &["to|through|till|until|-|a|al|hasta ?el"])
            .and_then(|joint| Some((weekday_named(&rest.get(joint)?.folded)?, joint + 1)));
        let end = match through {
            Some((last, end)) => {
                weekly = true;
                days.extend(from_to(first, last));
                end
            }
            None => {
                days.push(first);
                at + 1
            }
        };
        rest = cut(&rest, start, end);
    }
    days.sort_by_key(Weekday::num_days_from_monday);
    days.dedup();
    match days.as_slice() {
        [] => {
            let (at, (day, end)) = (0..rest.len()).find_map(|at| {
                let start = longest_at(&rest, at, &["on|for|el|para"]).unwrap_or(at);
                day_at(&rest, start, hearing.today, Lean::Future, hearing.language)
                    .map(|found| (at, found))
            })?;
            Some((DaysMeant::Date(day), without(&rest, at, end)))
        }
        [_] if !weekly && !hours => Some((DaysMeant::Unclear, rest)),
        _ => Some((DaysMeant::Weekly(days), rest)),
    }
}

const WEEK: [Weekday; 7] = [
    Weekday::Mon,
    Weekday::Tue,
    Weekday::Wed,
    Weekday::Thu,
    Weekday::Fri,
    Weekday::Sat,
    Weekday::Sun,
];

fn is_plural(folded: &str) -> bool {
    folded.ends_with("days") || matches!(folded, "sabados" | "domingos")
}

/// The days from one to another, over the end of the week too.
fn from_to(first: Weekday, last: Weekday) -> Vec<Weekday> {
    let mut days = vec![first];
    let mut day = first;
    while day != last && days.len() < 7 {
        day = day.succ();
        days.push(day);
    }
    days
}

fn day_word(day: Weekday) -> &'static str {
    match day {
        Weekday::Mon => "monday",
        Weekday::Tue => "tuesday",
        Weekday::Wed => "wednesday",
        Weekday::Thu => "thursday",
        Weekday::Fri => "friday",
        Weekday::Sat => "saturday",
        Weekday::Sun => "sunday",
    }
}

/// "Add a resource called Chair 2", "set the capacity of Room 1 to 4", "the chair takes 30 minute slots".
fn resource(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    const NEW: &[&str] = &[
        "?add|create|make|register|set|new ?up ?a|an|the ?new|another bookable|reservable ?resource ?called|named ?:",
        "?add|create|make|register|set|new ?up ?a|an|the ?new|another resource ?called|named ?:",
        "?agrega|crea|registra|anade|haz|nuevo ?un|una ?nuevo recurso ?reservable ?llamado|llamada ?:",
    ];
    let numbers = settings(words, hearing);
    let (start, fresh) = match starts(words, NEW) {
        Some(end) => (end, true),
        None => (0, false),
    };
    let as_resource = find(
        words,
        &[
            "?as ?a|an resource",
            "?como ?un recurso",
            "bookable|reservable",
        ],
    )
    .filter(|(at, _)| {
        !fresh
            && *at > 0
            && starts(
                words,
                &["add|create|make|register|set|agrega|crea|registra|anade|haz"],
            )
            .is_some()
    });
    if !fresh && as_resource.is_none() && numbers.as_ref().is_none_or(|(map, _)| map.is_empty()) {
        return None;
    }
    let (mut arguments, rest) = numbers.unwrap_or_else(|| (Map::new(), words.to_vec()));
    // What was cut out stands after the name, so the first words stay where they were.
    let rest = drop_all(
        &rest[start.min(rest.len())..],
        &[
            "?as ?a|an resource",
            "?como ?un recurso",
            "bookable|reservable",
        ],
    );
    let rest = drop_all(
        &rest,
        &[
            "add|create|make|register|set|change|update|up|with|and|to|is|are|has|takes|for|called|named|of|up",
            "agrega|crea|registra|anade|haz|pon|cambia|con|y|a|es|son|tiene|de|del|en|llamado|llamada",
            ",|:|;",
        ],
    );
    let name = name_of(&rest).map(|name| without_possessive(&name).to_owned());
    if name.is_none() && !trimmed(&rest).is_empty() && !fresh {
        return None;
    }
    let name = name.map(|name| {
        if fresh || as_resource.is_some() {
            title(&name, hearing.shouted)
        } else {
            name
        }
    });
    arguments.insert("name".to_owned(), json!(name));
    let arguments = object([("name", arguments.remove("name"))])
        .as_object()
        .map(|first| {
            first
                .iter()
                .chain(&arguments)
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect::<Map<_, _>>()
        })?;
    Some(Wish::Do(Plan::new(SET_RESOURCE, Value::Object(arguments))))
}

/// Capacity, slot, buffer and notice, and the words without them.
fn settings(words: &[Word], hearing: &Hearing) -> Option<(Map<String, Value>, Vec<Word>)> {
    const LENGTHS: &[(&str, &[&str])] = &[
        (
            "slot_minutes",
            &[
                "slot|slots ?length|size ?of|is|are|to|:",
                "?duracion|duraciones ?de ?los turno|turnos ?de|es|son|a|:",
            ],
        ),
        (
            "buffer_after_minutes",
            &[
                "?cleaning ?up buffer ?time ?of|after|is|to|: ?of",
                "pausa|limpieza ?de|es|a|:",
            ],
        ),
        (
            "min_notice_minutes",
            &[
                "?minimum notice ?of|is|to|:",
                "?aviso|antelacion minimo|minima ?de|es|a|:",
            ],
        ),
        (
            "cancel_notice_minutes",
            &[
                "cancellation|cancel notice ?of|is|to|:",
                "aviso de cancelacion ?de|es|a|:",
            ],
        ),
    ];
    let mut rest = words.to_vec();
    let mut found = Map::new();
    if let Some((at, end)) = find(
        &rest,
        &["?and ?with ?a|the capacity", "?y ?con ?una|la capacidad"],
    )
    .filter(|(at, end)| end > at)
    {
        // "Capacity 4", or further on "to 4": the number of "Room 1" is its name.
        let (number_at_word, number) = (end..rest.len()).find_map(|i| {
            let led = i == end
                || longest_at(&rest, i - 1, &["to|a|of|is|es|:|="]) == Some(i)
                || i == end + 1 && rest[end].is_mark(":");
            let number = number_at(&rest, i, hearing.language).filter(|_| led)?;
            Some((i, number))
        })?;
        let capacity: u16 = number.text.parse().ok()?;
        found.insert("capacity".to_owned(), json!(capacity));
        rest = cut(&cut(&rest, number_at_word, number.end), at, end);
    }
    // The notice for cancelling holds the word of the other notice, so it comes first.
    for (key, patterns) in LENGTHS.iter().rev() {
        let Some((at, end)) = find(&rest, patterns).filter(|(at, end)| end > at) else {
            continue;
        };
        let mut lengths = (0..rest.len())
            .filter_map(|i| length_at(&rest, i, hearing.language).map(|(m, e)| (i, m, e)));
        // "30 minute slots" or "slots of 30 minutes"
        let before = lengths.clone().find(|(_, _, e)| *e == at);
        let Some((i, minutes, e)) =
            before.or_else(|| lengths.find(|(i, ..)| *i >= end.saturating_sub(1)))
        else {
            continue;
        };
        found.insert((*key).to_owned(), json!(minutes));
        rest = if i < at {
            cut(&rest, i, end)
        } else {
            cut(&cut(&rest, i, e), at, end.min(i.max(at)))
        };
    }
    Some((found, rest))
}
