//! Sentences about bookings: what is free, who comes, and making, moving and cancelling one.

use chrono::{Datelike, Days, NaiveDate};
use serde_json::{Map, Value, json};

use super::intents::{Hearing, Wish};
use super::names::{customer_of, has_possessive, name_of};
use super::numbers::number_at;
use super::payments::parted_by_reason;
use super::phones::phone_in;
use super::plans::{Plan, object, set};
use super::quantities::unit_named;
use super::tools::{
    CANCEL_BOOKING, CHECK_AVAILABILITY, CREATE_BOOKING, RESCHEDULE_BOOKING, VIEW_BOOKINGS,
};
use super::when::{Part, When, cut, day_in, put_when, when_in};
use super::words::{
    Kind, Word, drop_all, find, has, longest_at, starts, trimmed, without, words as words_of,
};
use crate::language::Language;

/// What a booking is called.
const BOOKING: &str = "booking|bookings|appointment|appointments|appointmnet|apointment|reservation|reservations|reserva|reservas|reservacion|reservaciones|cita|citas|turno|turnos";

/// What can be booked where nothing particular is named.
const SLOT: &str = "slot|slots|time|times|spot|spots|place|session|opening|openings|availability|hora|horas|hueco|huecos|espacio|horario|horarios|disponibilidad";

/// Things that are booked rather than bought.
const BOOKABLE: &str = "table|tables|chair|chairs|room|rooms|court|courts|desk|barber|barbers|stylist|haircut|haircuts|massage|manicure|pedicure|studio|hall|pitch|boardroom|seat|mesa|mesas|silla|sillas|sala|salas|salon|cancha|canchas|pista|barbero|barberos|corte|masaje|habitacion|estudio|asiento|peluquero|peluquera";

fn call(tool: &str, arguments: Value) -> Wish {
    Wish::Do(Plan::new(tool, arguments))
}

/// What a sentence that asks about bookings wants to know.
pub(super) fn read(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    if has(
        words,
        &[
            "bill|bills|invoice|factura|facturas|ticket|tickets|customer|customers|sales|stock|branch|branches|shop|store|sucursal|tienda",
        ],
    ) {
        return None;
    }
    availability(words, hearing).or_else(|| listing(words, hearing))
}

/// What a sentence that makes or changes a booking asks for.
pub(super) fn write(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    if has(
        words,
        &[
            "bill|invoice|factura|payment|pago|ticket|resource|recurso|stock|category|price|precio|horario|horarios|length|capacity|notice|buffer|duracion|capacidad",
        ],
    ) || opening_hours(words)
    {
        return None;
    }
    cancel(words, hearing)
        .or_else(|| reschedule(words, hearing))
        .or_else(|| create(words, hearing))
}

/// "Hours" that are no length: "the barber's hours", not "2 hours".
fn opening_hours(words: &[Word]) -> bool {
    (0..words.len()).any(|at| {
        let counted = at > 0
            && (number_at(words, at - 1, Language::En).is_some()
                || matches!(words[at - 1].folded.as_str(), "an" | "half" | "couple"));
        words[at].folded == "hours" && !counted
    })
}

// What is free.

const FREE: &str =
    "free|available|open|vacant|unoccupied|bookable|libre|libres|disponible|disponibles";
const TAKEN: &str = "taken|busy|booked|occupied|reserved|full|ocupado|ocupada|ocupados|ocupadas|reservada|reservado";

fn availability(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    let span = days_ahead(words, hearing).filter(|(from, to, ..)| from != to);
    let words = &span.map_or_else(|| words.to_vec(), |(.., at, end)| cut(words, at, end));
    let noun = has(words, &[BOOKING, SLOT]);
    let mut when = when_in(words, hearing);
    if let Some((_, at, end)) = people_in(&when.rest, hearing.language) {
        when.rest = cut(&when.rest, at, end);
    }
    if is_listing(words) || !asks_what_is_free(&when, span.is_some(), noun, hearing) {
        return None;
    }
    let rest = trimmed(&when.rest);
    let rest = drop_all(rest, &[FREE, TAKEN, BOOKING, SLOT]);
    let rest = drop_all(
        &rest,
        &[
            "is|are|was|will|be|how|many|your|earliest|soonest|there|any|anything|something|some|when|what|whats|which|do|does|did|can|could|i|we|you|they|have|has|got|get|come|book|reserve|check|see|show|find|list|give|tell|search|me|us|still|next|soonest|earliest|first|if|else|left|look|up|at|it|need|people|persons",
            "esta|estan|hay|tienen|tienes|tenemos|tiene|que|cuando|cual|cuales|son|es|muestra|muestrame|dime|busca|ver|consulta|consultar|algo|alguna|algun|puedo|podemos|reservar|venir|ir|me|todavia|aun|proximo|proxima|primera|tendran|personas",
        ],
    );
    let resource = thing_asked(&rest)?;
    let mut plan = Plan::new(
        CHECK_AVAILABILITY,
        object([
            ("date", when.day.map(|d| json!(d.to_string()))),
            ("minutes", when.minutes.map(|m| json!(m))),
            ("resource", resource.map(|r| json!(r))),
            ("time", when.likely_time().map(|t| json!(t))),
        ]),
    );
    if let Some((from, to, ..)) = span {
        set(&mut plan.arguments, "from", json!(from.to_string()));
        set(&mut plan.arguments, "to", json!(to.to_string()));
    } else {
        in_part(&mut plan, &when, hearing);
    }
    Some(Wish::Do(plan))
}

/// Whether a question is about free times, and not about goods, branches or who comes. `spanned`: it names several days.
fn asks_what_is_free(when: &When, spanned: bool, noun: bool, hearing: &Hearing) -> bool {
    let rest = trimmed(&when.rest);
    let states = |word: &Word| {
        let is = |list: &str| list.split('|').any(|w| w == word.folded);
        is(FREE) || is(TAKEN)
    };
    let asks_state = rest.iter().any(states);
    let free = has(
        rest,
        &[
            "free|vacant|libre|libres|disponible|disponibles|disponibilidad|availability|openings|earliest|soonest",
        ],
    );
    let begun = starts(
        rest,
        &[
            "?is|are ?there ?any ?the", "when|what|whats|which|how|do|does|can|have", "any|anything", "check|see|show|find|list|give|tell|search", "free|available|open",
            "availability|openings", "esta|estan|hay|tienen|tienes|tenemos|que|cuando|cual|cuales|muestra|dime|busca|ver|consulta", "libre|libres|disponibilidad|horas|horarios|huecos|turnos|citas",
        ],
    )
    .is_some();
    let has_when = spanned
        || when.time.is_some()
        || when.part.is_some()
        || when.day.is_some_and(|d| d != hearing.today);
    let about_booking = noun || has(rest, &[BOOKABLE]);
    // "Do you have a table for tomorrow at 8?"
    let wanted = hearing.question
        && when.is_some()
        && about_booking
        && starts(
            rest,
            &[
                "do|have ?you|we|they ?have|got ?any",
                "is|are there ?any",
                "any",
                "hay|tienen|tienes|tendran ?alguna|algun ?una|un",
                "can i|we get|have",
            ],
        )
        .is_some();
    // "What do we have booked?" asks who comes; only "is it booked?" asks what is free.
    let asks_state = asks_state
        && (free
            || starts(rest, &["is|are|will|esta|estan"]).is_some()
            || has(rest, &["available|open|disponible|disponibles"]));
    // When the shop itself is open is no free time.
    if has(rest, &["you|they ?still open|close", "abren|cierran"]) {
        return false;
    }
    let asked = (free && begun)
        || (free && hearing.question && about_booking)
        || (asks_state && begun && (has_when || about_booking))
        || wanted
        || (begun
            && has(rest, &["when|cuando"])
            && has(
                rest,
                &[
                    "can i|we book|come|reserve",
                    "puedo reservar|venir|ir",
                    "puede atenderme|atender",
                ],
            ));
    asked && (!has(rest, &["available"]) || has_when || about_booking || free)
}

/// A part of the day as a window of its day.
fn in_part(plan: &mut Plan, when: &When, hearing: &Hearing) {
    let Some(part) = when.part.filter(|_| when.time.is_none()) else {
        return;
    };
    let (from, to) = match part {
        Part::Morning => ("00:00", "12:00"),
        Part::Afternoon => ("12:00", "18:00"),
        Part::Evening => ("18:00", "24:00"),
    };
    // The end of the evening is the last minute of its day.
    let to = if to == "24:00" { "23:59" } else { to };
    let day = when.day.unwrap_or(hearing.today);
    set(&mut plan.arguments, "date", json!(day.to_string()));
    set(&mut plan.arguments, "from", json!(from));
    set(&mut plan.arguments, "to", json!(to));
}

/// The one thing that is asked about, none, or (outer `None`) more than one name.
fn thing_asked(words: &[Word]) -> Option<Option<String>> {
    let kept = drop_all(
        words,
        &[
            "?for|of|with|in|on|de|del|para|con|en|por ?the|a|an|my|our|one|el|la|los|las|un|una|mi",
            "the|an|los|las|el|la|una",
        ],
    );
    let mut parts = kept
        .split(Word::parts)
        .map(trimmed)
        .filter(|p| !p.is_empty());
    let Some(first) = parts.next() else {
        return Some(None);
    };
    // Of how many people there are, the one who asks does not know the places.
    let people = first.iter().all(|w| w.kind == Kind::Digits);
    if people || parts.next().is_some() {
        return people.then_some(None);
    }
    Some(Some(name_of(first)?))
}

// Who comes.

const LIST: &[&str] = &[
    "?show|list|see|view|display|give|tell|get|print|check|find|what|whats|which|who|whos ?me|us ?is|are ?all ?of ?the|my|our",
    "?muestra|muestrame|lista|listar|ver|dame|dime|ensename|consulta|que|cuales|quien|quienes ?son|hay ?todas ?todos ?las|los|la|el|mis|mi",
];

fn is_listing(words: &[Word]) -> bool {
    has(words, &["agenda|calendar|schedule", "who|whos|quien|quienes"])
        || (starts(words, &["show|list|see|view|display|muestra|muestrame|lista|ver|dame ?me ?all ?the ?my ?our ?todas ?las ?mis"]).is_some()
            && has(words, &["bookings|appointments|reservations|reservas|citas|turnos"])
            && !has(words, &["free|available|libre|libres|disponible|disponibles|open"]))
}

const WHO: &[&str] = &[
    "who|whos ?is ?are ?has coming|booked|next|expected",
    "who comes|books|booked",
    "who has|have ?a|an|the",
    "quien|quienes viene|vienen|llega|llegan|toca|reservo|reservaron|tiene|tienen",
    "what|whats do|have|has|is|are ?we|i|on|booked",
    "que tenemos|tengo|hay reservado|agendado",
];
const NOUN: &[&str] = &[BOOKING, "agenda|calendar|schedule|calendario"];
const STATUSES: &[(&str, &[&str])] = &[
    (
        "cancelled",
        &["cancelled|canceled|canceladas|cancelados|cancelada"],
    ),
    ("no_show", &["no shows|show", "no-shows|no-show", "missed"]),
    (
        "completed",
        &["completed|finished|done|completadas|terminadas"],
    ),
    ("confirmed", &["confirmed|confirmadas|confirmados"]),
    ("held", &["held|unconfirmed"]),
];

fn listing(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    let mut rest = words.to_vec();
    let mut arguments = Map::new();
    if let Some((status, at, end)) = STATUSES
        .iter()
        .find_map(|(status, patterns)| find(&rest, patterns).map(|(at, end)| (*status, at, end)))
    {
        arguments.insert("status".to_owned(), json!(status));
        rest = without(&rest, at, end);
    }
    if let Some((from, to, start, end)) = days_ahead(&rest, hearing) {
        arguments.insert("from".to_owned(), json!(from.to_string()));
        arguments.insert("to".to_owned(), json!(to.to_string()));
        rest = cut(&rest, start, end);
    }
    let dated = arguments.contains_key("from");
    let noun = find(&rest, NOUN);
    let who = starts(&rest, WHO);
    let asked = match (noun, who) {
        // A question about who comes names a day or a booking.
        (None, Some(_)) if has(words, &["booked|reservo|reservaron|reservado|agendado"]) => true,
        (None, Some(_)) => {
            dated
                && has(
                    words,
                    &[
                        "coming|comes|expected|next|viene|vienen|llega|llegan",
                        "what|whats is ?on",
                    ],
                )
        }
        (Some((at, _)), _) => {
            let doing = starts(words, &["book|make|create|cancel|move|change|reschedule|add|reserva|agenda|haz|crea|cancela|mueve|cambia|i|we|quiero|necesito|get|put|delete|remove|collect|refund|pay|charge|take|cobra"]).is_some();
            // "Agenda de hoy" and "reservas de Ali" are nouns; "reserva una mesa" is not.
            let noun_first = at == 0
                && (longest_at(&rest, 1, &["de|del|para|for|of|on|,|:"]).is_some()
                    || rest.len() == 1
                    || rest[0].folded.ends_with('s'));
            noun_first || (!doing && at > 0)
        }
        (None, None) => false,
    };
    // Who comes at one time is found in the list of its day; a time alone asks for something else.
    if !asked
        || has(
            &rest,
            &["not|no|cannot|long|much", "how often|come|about|do"],
        )
        || when_in(words, hearing).time.is_some()
    {
        return None;
    }
    let rest = match noun {
        Some((at, end)) => cut(&rest, at, end),
        None => rest,
    };
    let lead = starts(&rest, LIST).unwrap_or(0);
    let rest = drop_all(
        &rest[lead..],
        &[
            "when|what|whats|which|who|whos|how|does|do|did|is|are|was|has|have|had|there|any|a|an|all|the|our|my|upcoming|coming|next|future|booked|comes|expected|me|us|we|i|on|at|time|many|in|it|made|still|got",
            "cuando|que|quien|quienes|cuantas|cuantos|es|son|hay|tiene|tienen|tengo|tenemos|viene|vienen|llega|llegan|alguna|algun|una|un|todas|todos|las|los|la|el|mis|mi|nuestra|nuestras|proximas|proximos|proxima|futuras|reservado|agendado|se|hora",
        ],
    );
    whose(&rest, arguments, hearing)
}

/// What is left of a question about bookings: a customer's name or a resource's.
fn whose(rest: &[Word], mut arguments: Map<String, Value>, hearing: &Hearing) -> Option<Wish> {
    let mut names = rest
        .split(Word::parts)
        .map(trimmed)
        .filter(|p| !p.is_empty());
    let Some(name) = names.next() else {
        return Some(call(VIEW_BOOKINGS, Value::Object(arguments)));
    };
    if names.next().is_some() {
        return None;
    }
    let joined = starts(
        name,
        &["?of|for|by|from|under|de|del|para|a|with|con|in|en ?customer|cliente"],
    );
    let kind = joined.map_or("", |end| name[end - 1].folded.as_str());
    let thing = has(name, &[BOOKABLE])
        || matches!(kind, "in" | "en")
        || name.iter().any(|w| w.kind == Kind::Digits);
    let name = &name[joined.unwrap_or(0)..];
    if thing {
        arguments.insert("resource".to_owned(), json!(name_of(name)?));
    } else {
        arguments.insert(
            "customer".to_owned(),
            json!(customer_of(name, hearing.shouted)?),
        );
    }
    Some(call(VIEW_BOOKINGS, Value::Object(arguments)))
}

/// Days ahead: "tomorrow", "this week", "next week", "on Friday", with their place.
fn days_ahead(words: &[Word], hearing: &Hearing) -> Option<(NaiveDate, NaiveDate, usize, usize)> {
    const THIS_WEEK: &[&str] = &[
        "?for|of|from|in this|the week",
        "?de|para|en esta|la semana",
    ];
    const NEXT_WEEK: &[&str] = &[
        "?for|of|from|in ?the next|coming week",
        "?de|para|en la ?proxima semana ?que ?viene|proxima|siguiente",
    ];
    const WEEKEND: &[&str] = &[
        "?for|of|on|at this|the weekend",
        "?de|para|en este|el fin de semana",
    ];
    let monday = hearing.today.checked_sub_days(Days::new(u64::from(
        hearing.today.weekday().num_days_from_monday(),
    )))?;
    let day = |n: u64| monday.checked_add_days(Days::new(n));
    let found = |patterns: &[&str]| find(words, patterns).filter(|(at, end)| end > at);
    if let Some((at, end)) = found(WEEKEND) {
        return Some((day(5)?, day(6)?, at, end));
    }
    if let Some((at, end)) = found(NEXT_WEEK)
        .filter(|(at, end)| has(&words[*at..*end], &["next|coming|proxima|siguiente|viene"]))
    {
        return Some((day(7)?, day(13)?, at, end));
    }
    if let Some((at, end)) = found(THIS_WEEK) {
        return Some((hearing.today, day(6)?, at, end));
    }
    if let Some(days) = super::dates::days_in(words, hearing.today, hearing.language).filter(|d| {
        d.period
            .is_some_and(|p| p == contracts::tools::billing::Period::Yesterday)
    }) {
        return Some((days.from, days.to, days.start, days.end));
    }
    let (at, day, end) = day_in(words, hearing)?;
    Some((day, day, at, end))
}

// Making one.

/// Words that begin a booking, whether they can mean nothing else, and whether the name before them is the customer's.
fn lead(words: &[Word]) -> Option<(usize, bool, usize)> {
    const BOOK: &[&str] = &[
        "book|reserve ?me|us|him|her ?in",
        "schedule ?me|us|him|her ?in",
        "reserva|reservar|reserve|reservame|reservale|reservanos|aparta|apartar|apartame|apartale|agendame|agendale|agendar|agende ?me ?nos ?le",
        "agenda",
    ];
    const MAKE: &[&str] = &[
        "make|create|add|put|get|take|arrange|set|open|register|schedule|give ?up ?me ?us ?him ?her ?in ?down",
        "haz|hazme|hazle|haga|hacer|hacerme|crea|crear|pon|ponme|ponle|da|dame|dale|registra|anota|saca|sacame|pide|agenda|agendame|programa|programar|programame ?me ?nos",
        "?i|we need|want|require",
        "?i|we ?would|d like",
        "id|wed like",
        "new|nueva|nuevo",
        "can|could|may i|we ?please have|get",
        "let me have",
        "?me|nos ?gustaria quiero|quisiera|queremos|necesito|necesitamos ?una ?un",
        "me gustaria",
        "pencil|put|squeeze|fit",
    ];
    const SOMEBODY: &[&str] = &[
        "wants|needs|would|asks|asked|wanted ?like ?for ?to book|reserve|have|make|schedule",
        "wants|needs|asked|asks ?for",
        "would like",
        "quiere|necesita|pide|quisiera ?reservar|agendar|una|un",
    ];
    if let Some(end) = starts(words, BOOK) {
        // "Agenda de hoy" is the calendar.
        let noun = matches!(words[0].folded.as_str(), "agenda" | "reserva" | "schedule")
            && words
                .get(1)
                .is_none_or(|w| matches!(w.folded.as_str(), "de" | "del" | "for"));
        return (!noun).then_some((0, true, end));
    }
    if let Some(end) = starts(words, MAKE) {
        return Some((0, false, end));
    }
    (1..words.len().min(6)).find_map(|at| {
        let end = longest_at(words, at, SOMEBODY)?;
        let books = has(&words[at..end], &["book|reserve|schedule|reservar|agendar"]);
        Some((at, books, end))
    })
}

fn create(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    // "Tomorrow at 3 I need an appointment": what is in front goes to the end.
    let turned = match lead(words) {
        Some(_) => words.to_vec(),
        None => turned(words, hearing)?,
    };
    let words = turned.as_slice();
    let (who_end, sure, start) = lead(words)?;
    let who = trimmed(&words[..who_end]);
    let body = &words[start..];
    // "Put Ali down for ...": the name stands before "down".
    let down = find(body, &["in|down"])
        .filter(|(at, _)| {
            *at > 0
                && starts(words, &["pencil|squeeze|put|fit|book"]).is_some()
                && body[..*at].iter().all(|w| w.kind == Kind::Letters)
                && starts(body, &["a|an|the|my"]).is_none()
                && !has(&body[..*at], &["for|on|at", BOOKING, SLOT, BOOKABLE])
        })
        .map(|(at, end)| (&body[..at], &body[end..]));
    let (who, body) = down.unwrap_or((who, body));
    let down = down.is_some() || has(&words[..start], &["down"]);
    let when = when_in(body, hearing);
    let generic = has(body, &[BOOKING])
        || (has(body, &[SLOT]) && when.time.is_some() || has(body, &["slot|turno|hueco"]));
    let thing = has(body, &[BOOKABLE]);
    // "I want a table" may be bought: only a day or an hour makes a booking of it.
    let meant = generic
        || (sure && (when.is_some() || thing))
        || (thing && when.is_some())
        || (down && when.is_some());
    // One booking is made at a time.
    if !meant
        || body.is_empty()
        || has(
            body,
            &["every|each|weekly|daily|cada", "todos|todas los|las"],
        )
    {
        return None;
    }
    let named = things_in(&when.rest, hearing)?;
    let customer = match (who.is_empty(), named.customer) {
        (true, customer) => customer,
        (false, Some(_)) => return None,
        (false, None)
            if has(who, &["me|us|myself"])
                || has(
                    who,
                    &["a|the|una|un|el|la customer|client|somebody|cliente|alguien"],
                ) =>
        {
            None
        }
        (false, None) => Some(
            customer_of(who, hearing.shouted)
                .filter(|_| who.iter().all(|w| w.kind == Kind::Letters))?,
        ),
    };
    let plan = Plan::new(
        CREATE_BOOKING,
        object([
            ("customer", customer.map(|c| json!(c))),
            ("date", Some(Value::Null)),
            ("notes", named.notes.map(|n| json!(n))),
            ("phone", named.phone.map(|p| json!(p))),
            ("resource", named.resource.map(|r| json!(r))),
            ("time", Some(Value::Null)),
        ]),
    );
    Some(Wish::Do(put_when(plan, &when)))
}

/// The words with the day and time at their front moved to the end.
fn turned(words: &[Word], hearing: &Hearing) -> Option<Vec<Word>> {
    let when = when_in(words, hearing);
    let rest = trimmed(&when.rest);
    let front = words.len().checked_sub(rest.len()).filter(|n| *n > 0)?;
    let same_end = words[front..].iter().zip(rest).all(|(a, b)| a == b);
    same_end.then(|| [&words[front..], &words_of(","), &words[..front]].concat())
}

/// Who and what a sentence about a booking names.
#[derive(Debug, Default)]
struct Named {
    customer: Option<String>,
    resource: Option<String>,
    phone: Option<String>,
    notes: Option<String>,
}

/// What leads to a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Joint {
    /// Nothing.
    Bare,
    /// "For": a person, or with an article what is wanted.
    For,
    /// "With" and "in": what is booked.
    With,
}

/// The names in what is left of a sentence; `None` when some words are neither.
fn things_in(words: &[Word], hearing: &Hearing) -> Option<Named> {
    let mut named = Named::default();
    let mut rest = words.to_vec();
    if let Some((phone, at, end)) = phone_in(&rest) {
        let from = at.saturating_sub(usize::from(
            at > 0
                && has(
                    &rest[at - 1..at],
                    &["phone|number|tel|telefono|numero|:|on|al|at"],
                ),
        ));
        named.phone = Some(phone);
        rest = cut(&rest, from, end);
    }
    if let Some((count, at, end)) = people_in(&rest, hearing.language) {
        named.notes = Some(match hearing.language {
            Language::Es => format!("{count} personas"),
            Language::En | Language::Fr | Language::Sw | Language::Rw | Language::Pt => {
                format!("{count} people")
            }
        });
        rest = cut(&rest, at, end);
    }
    for (joint, part) in parts_of(&rest, hearing.language) {
        place(&mut named, joint, &part, hearing)?;
    }
    Some(named)
}

/// "For 4 people", "para dos personas", "table for 2".
fn people_in(words: &[Word], language: Language) -> Option<(u32, usize, usize)> {
    (0..words.len()).find_map(|at| {
        let led = longest_at(words, at, &["for|of|para|de"]);
        let start = led.unwrap_or(at);
        let number = number_at(words, start, language)?;
        let count: u32 = number.text.parse().ok().filter(|n| (1..=500).contains(n))?;
        let people = longest_at(words, number.end, &["people|persons|person|guests|guest|pax|adults|personas|persona|comensales|invitados"]);
        let alone = led.is_some() && words.get(number.end).is_none_or(Word::parts);
        people.or_else(|| alone.then_some(number.end)).map(|end| (count, at, end))
    })
}

/// The words in parts: at commas, and before "for", "with" and the like.
fn parts_of(words: &[Word], language: Language) -> Vec<(Joint, Vec<Word>)> {
    const FOR: &[&str] = &[
        "?in the name of",
        "a nombre de",
        "on behalf of",
        "under ?the ?name ?of",
        "for|para|to ?the|el|la ?customer|client|cliente",
        "for|para|to",
        "al cliente",
        "a",
    ];
    const WITH: &[&str] = &["with|con|in|en|on|at|down"];
    let mut parts: Vec<(Joint, Vec<Word>)> = vec![(Joint::Bare, Vec::new())];
    let mut at = 0;
    while at < words.len() {
        // "A" is an article in English and leads to a person in Spanish.
        let article = words[at].folded == "a" && language != Language::Es;
        if words[at].parts() {
            parts.push((Joint::Bare, Vec::new()));
            at += 1;
        } else if let Some(end) = longest_at(words, at, FOR).filter(|end| !article || *end > at + 1)
        {
            // The article stays with what it leads to.
            let keep = longest_at(words, at, &["for|para|to the|el|la"]).filter(|k| *k == end);
            parts.push((Joint::For, Vec::new()));
            at = keep.map_or(end, |k| k - 1);
        } else if let Some(end) = longest_at(words, at, WITH) {
            parts.push((Joint::With, Vec::new()));
            at = end;
        } else {
            if let Some((_, part)) = parts.last_mut() {
                part.push(words[at].clone());
            }
            at += 1;
        }
    }
    parts.retain(|(_, part)| !trimmed(part).is_empty());
    parts
}

fn place(named: &mut Named, joint: Joint, part: &[Word], hearing: &Hearing) -> Option<()> {
    let part = drop_all(
        part,
        &[
            BOOKING,
            "slot|slots|turno|hueco|time|spot|session|hora|espacio|disponible|available|free|libre|please|today",
            "me|us|myself|mi|nosotros|nos",
        ],
    );
    let part = trimmed(&part);
    let article = starts(
        part,
        &["a|an|the|one|my|our|un|una|el|la|su|nuestra|some|another|otra|otro"],
    );
    if part.is_empty() || article == Some(part.len()) {
        return Some(());
    }
    let is_thing =
        article.is_some() || has(part, &[BOOKABLE]) || part.iter().any(|w| w.kind == Kind::Digits);
    if joint == Joint::Bare && article.is_none() {
        // "Ali a haircut"
        if let Some((at, _)) =
            find(part, &["a|an|the|un|una|el|la"]).filter(|(at, end)| *at > 0 && *end < part.len())
        {
            place(named, Joint::For, &part[..at], hearing)?;
            return place(named, Joint::Bare, &part[at..], hearing);
        }
    }
    let capital = !hearing.shouted && part.first()?.text.starts_with(char::is_uppercase);
    let person = match joint {
        Joint::For => !is_thing,
        Joint::With => false,
        Joint::Bare => !is_thing && (capital || has_possessive(part)),
    };
    if person {
        let name = customer_of(part, hearing.shouted)?;
        return named
            .customer
            .is_none()
            .then(|| named.customer = Some(name));
    }
    let name = name_of(part)?;
    match (&named.resource, joint) {
        (None, _) => named.resource = Some(name),
        // "A haircut with Aline": she is booked, and it is for a haircut.
        (Some(before), Joint::With) if named.notes.is_none() => {
            named.notes = Some(before.clone());
            named.resource = Some(name);
        }
        (Some(_), Joint::For) if named.notes.is_none() => named.notes = Some(name),
        _ => return None,
    }
    Some(())
}

// Moving and cancelling.

/// The booking a sentence means.
#[derive(Debug, PartialEq)]
pub(super) enum Which {
    /// By its reference.
    Reference(String),
    /// The coming one of a customer.
    Of(String),
    /// The speaker's own.
    Own,
    /// Not said.
    Unsaid,
}

impl Which {
    /// The arguments that name it.
    pub(super) fn arguments(self) -> [(&'static str, Option<Value>); 2] {
        match self {
            Which::Reference(reference) => {
                [("booking", Some(json!(reference))), ("customer", None)]
            }
            Which::Of(customer) => [("booking", None), ("customer", Some(json!(customer)))],
            Which::Own => [("booking", None), ("customer", None)],
            Which::Unsaid => [("booking", Some(Value::Null)), ("customer", None)],
        }
    }
}

/// "BK-7", "bk 7", "booking 7", and where it ends.
fn reference_at(words: &[Word], at: usize) -> Option<(String, usize)> {
    let noun = longest_at(words, at, &[BOOKING]).map(|end| {
        longest_at(
            words,
            end,
            &["?number|no|numero|ref|reference|referencia ?. ?: ?#"],
        )
        .unwrap_or(end)
    });
    let start = noun.unwrap_or(at);
    let word = words.get(start)?;
    if let Some(digits) = word.folded.strip_prefix("bk") {
        let digits = digits.trim_start_matches('-');
        let split = digits.is_empty().then(|| words.get(start + 1)).flatten();
        let (digits, end) = split.map_or((digits, start + 1), |next| {
            (next.text.trim_start_matches('-'), start + 2)
        });
        let plain =
            !digits.is_empty() && digits.len() <= 9 && digits.chars().all(|c| c.is_ascii_digit());
        return plain.then(|| (format!("BK-{digits}"), end));
    }
    let plain = word.kind == Kind::Digits
        && word.text.len() <= 9
        && word.text.chars().all(|c| c.is_ascii_digit());
    (noun.is_some() && plain).then(|| (format!("BK-{}", word.text), start + 1))
}

/// Which booking some words name, where they name nothing else: "Ali's booking", "my appointment", "BK-7", "the booking".
pub(super) fn which(words: &[Word], hearing: Option<&Hearing>) -> Option<Which> {
    let shouted = hearing.is_some_and(|h| h.shouted);
    if let Some((reference, at, end)) =
        (0..words.len()).find_map(|at| reference_at(words, at).map(|(r, end)| (r, at, end)))
    {
        let around = drop_all(
            &without(words, at, end),
            &["the|my|our|la|el|mi|that|this|esa|for|of|de"],
        );
        let around = drop_all(&around, &[BOOKING]);
        let name = trimmed(&around);
        return (name.is_empty() || customer_of(name, shouted).is_some())
            .then_some(Which::Reference(reference));
    }
    let (at, end) = find(words, &[BOOKING, "slot|turno"])?;
    let before = trimmed(&words[..at]);
    let after = trimmed(&words[end..]);
    let own = has(before, &["my|our|mi|nuestra|nuestro"]);
    let before_rest = drop_all(
        before,
        &[
            "the|my|our|la|el|mi|nuestra|nuestro|that|this|esa|esta|a|una|next|upcoming|coming|proxima|proximo",
        ],
    );
    let before_rest = trimmed(&before_rest);
    let after_rest = &after[starts(
        after,
        &[
            "of|for|from|by|under|de|del|para|a nombre de",
            "of|for|de|para ?the|el|la customer|cliente",
            "a nombre de",
        ],
    )
    .unwrap_or(0)..];
    match (before_rest.is_empty(), trimmed(after_rest).is_empty()) {
        (true, true) if own => Some(Which::Own),
        (true, true) => Some(Which::Unsaid),
        (false, true) => customer_of(before_rest, shouted).map(Which::Of),
        (true, false) => customer_of(after_rest, shouted).map(Which::Of),
        (false, false) => None,
    }
}

fn cancel(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    const VERBS: &[&str] = &[
        "cancel|delete|remove|drop|scrap|annul",
        "call off",
        "cancela|cancelar|cancele|cancelame|cancelale|anula|anular|elimina|eliminar|borra|borrar|quita",
    ];
    let end = starts(words, VERBS)?;
    let (rest, reason) = parted_by_reason(&words[end..]);
    // A day or an hour narrows down nothing the tool could be told: whoever has several is asked which.
    let when = when_in(rest, hearing);
    let timed = when.is_some();
    if has(rest, &["all|every|both|everything|todas|todos|todo"]) {
        return None;
    }
    let bare = drop_all(&when.rest, &[","]);
    let which = match which(trimmed(&bare), Some(hearing))? {
        Which::Own if timed => Which::Unsaid,
        which => which,
    };
    let [booking, customer] = which.arguments();
    Some(call(
        CANCEL_BOOKING,
        object([booking, customer, ("reason", reason.map(|r| json!(r)))]),
    ))
}

const SURE: &[&str] = &[
    "reschedule|rebook|postpone",
    "reprograma|reprogramar|reprograme|reagenda|reagendar|pospon|posponer|aplaza|aplazar",
];
const VERBS: &[&str] = &[
    "move|change|shift|push|bring|switch|transfer ?back|forward",
    "put off|back",
    "mueve|mover|mueva|cambia|cambiar|cambie|cambiame|pasa|pasar|pasame|traslada|adelanta|adelantar|atrasa|retrasa",
];
const TO: &[&str] = &["to|until|till|a|al|para|hasta|for"];

fn reschedule(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    let sure = starts(words, SURE);
    let start = sure.or_else(|| starts(words, VERBS))?;
    let body = &words[start..];
    // Whose it is stands before "to", and where it goes after it.
    let split = (0..=body.len()).find_map(|at| {
        if at == body.len() {
            return Some((at, at));
        }
        let end = longest_at(body, at, TO).filter(|_| at > 0)?;
        let target = &body[end..];
        let when = when_in(target, hearing);
        let reached = target_of(&when.rest).is_some();
        (reached
            && (when.is_some()
                || when.minutes.is_some()
                || has(target, &[BOOKABLE])
                || bare_hour(target, hearing).is_some()))
        .then_some((at, end))
    })?;
    let (what, target) = (&body[..split.0], &body[split.1..]);
    // The old time: "from 3pm".
    let old = find(what, &["from|desde", "de las"])
        .filter(|(at, _)| *at > 0 && when_in(&what[*at..], hearing).is_some());
    let what = trimmed(old.map_or(what, |(at, _)| &what[..at]));
    let timed = when_in(what, hearing);
    let what_rest = drop_all(&timed.rest, &[","]);
    let noun = has(&what_rest, &[BOOKING, "slot|turno"])
        || (0..what.len()).any(|at| reference_at(what, at).is_some());
    let mut when = when_in(target, hearing);
    let which = if noun {
        let which = which(trimmed(&what_rest), Some(hearing))?;
        // "The 3pm booking" is nobody's by name.
        if timed.is_some() && which == Which::Own {
            Which::Unsaid
        } else {
            which
        }
    } else if sure.is_some() || (when.is_some() && split.0 < body.len()) {
        let name = customer_of(&what_rest, hearing.shouted)?;
        Which::Of(name)
    } else {
        return None;
    };
    if when.time.is_none()
        && let Some(hour) = bare_hour(target, hearing)
    {
        when = hour;
    }
    let resource = target_of(&when.rest)?;
    if !noun && !when.is_some() && resource.is_none() && sure.is_none() {
        return None;
    }
    let nowhere = !when.is_some() && when.minutes.is_none() && resource.is_none();
    let [booking, customer] = which.arguments();
    let plan = Plan::new(
        RESCHEDULE_BOOKING,
        object([
            booking,
            customer,
            ("date", nowhere.then_some(Value::Null)),
            ("resource", resource.map(|r| json!(r))),
        ]),
    );
    Some(Wish::Do(put_when(plan, &when)))
}

/// "Change it to 4": a bare number after "to" is an hour.
fn bare_hour(target: &[Word], hearing: &Hearing) -> Option<When> {
    let target = trimmed(target);
    number_at(target, 0, hearing.language)?;
    let at = [words_of("at").as_slice(), target].concat();
    let when = when_in(&at, hearing);
    (when.time.is_some() && trimmed(&drop_all(&when.rest, &[","])).is_empty()).then_some(when)
}

/// What is booked instead, in what is left of where a booking goes; the outer `None` when the words are something else.
fn target_of(rest: &[Word]) -> Option<Option<String>> {
    let rest = drop_all(
        rest,
        &[
            "instead|mejor|then|same|mismo|misma",
            "the|la|el|to|at|on|a|al|for|para|from|,|slot|time|hora",
        ],
    );
    let rest = trimmed(&rest);
    if rest.is_empty() {
        return Some(None);
    }
    let thing = has(rest, &[BOOKABLE]) || rest.iter().any(|w| w.kind == Kind::Digits);
    if !thing || rest.iter().all(|w| w.kind != Kind::Letters) {
        return None;
    }
    Some(Some(name_of(rest)?))
}

/// Another customer or resource said as a change: "for Aline", "chair 2".
pub(super) fn renamed(
    words: &[Word],
    hearing: &Hearing,
) -> Option<(Option<String>, Option<String>)> {
    // "Make it 3 kg" is a change of goods.
    if words.iter().any(|w| unit_named(&w.folded).is_some()) {
        return None;
    }
    let named = things_in(words, hearing)?;
    let one = named.customer.is_some() != named.resource.is_some();
    (one && named.notes.is_none() && named.phone.is_none())
        .then_some((named.customer, named.resource))
}
