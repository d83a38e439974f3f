//! Sentences about tickets, and calls for a person.

use serde_json::{Map, Value, json};

use super::intents::{Hearing, Wish};
use super::names::{customer_of, has_possessive};
use super::plans::{Plan, object};
use super::tools::{CREATE_TICKET, ESCALATE, LIST_TICKETS, UPDATE_TICKET};
use super::when::cut;
use super::words::{
    Kind, Word, drop_all, ends, find, has, longest_at, starts, text_of, trimmed, without,
};

fn call(tool: &str, arguments: Value) -> Wish {
    Wish::Do(Plan::new(tool, arguments))
}

const TICKET: &str = "ticket|tickets|complaint|complaints|issue|issues|incident|incidents|reclamo|reclamos|queja|quejas|incidencia|incidencias|reporte";

/// Longest subject of a ticket, characters.
const SUBJECT_MAX: usize = 120;
/// Longest text of a ticket or reason, characters.
const BODY_MAX: usize = 4_000;

/// A call for a person, or a ticket with its text: told from its beginning, for the text can say anything.
pub(super) fn whole(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    escalate(words)
        .or_else(|| noted(words))
        .or_else(|| open(words, hearing))
}

/// What a sentence that asks about tickets wants to know.
pub(super) fn read(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    const STATUSES: &[(&str, &[&str])] = &[
        ("escalated", &["escalated|escalados|escalado"]),
        ("waiting", &["waiting|pending|esperando|espera"]),
        (
            "resolved",
            &["resolved|solved|resueltos|resuelto|resueltas"],
        ),
        ("closed", &["closed|cerrados|cerrado|cerradas"]),
        (
            "open",
            &["open|unresolved|unsolved|abiertos|abierto|abiertas|pendientes|pendiente"],
        ),
    ];
    const PLURAL: &str = "tickets|complaints|issues|incidents|reclamos|quejas|incidencias";
    // One ticket is shown in the list, for that is where it can be seen.
    let one = starts(
        words,
        &["show|see|view|open|display|find|muestra|ver|abre ?me ?the|el|la"],
    )
    .and_then(|at| ticket_at(words, at))
    .is_some_and(|(_, end)| end == words.len());
    if one {
        return Some(call(LIST_TICKETS, json!({})));
    }
    has(words, &[PLURAL]).then_some(())?;
    let mut rest = words.to_vec();
    let mut arguments = Map::new();
    for (status, patterns) in STATUSES {
        if let Some((at, end)) = find(&rest, patterns) {
            arguments.insert("status".to_owned(), json!(status));
            rest = without(&rest, at, end);
            break;
        }
    }
    let rest = drop_all(
        &rest,
        &[
            PLURAL,
            "show|list|see|view|display|give|tell|get|check|what|whats|which|all|any|every|the|our|my|are|is|there|do|does|we|i|you|have|has|me|us|how|many|still|support|recent|latest|new",
            "muestra|muestrame|lista|ver|dame|dime|que|cuales|cuantos|cuantas|todos|todas|los|las|mis|hay|son|estan|tenemos|tengo|nuestros|recientes",
            "de soporte",
        ],
    );
    let rest = trimmed(&rest);
    if !rest.is_empty() {
        let joined = starts(
            rest,
            &["of|from|by|for|about|de|del|sobre ?customer|cliente"],
        );
        if joined.is_none() && !has_possessive(rest) {
            return None;
        }
        arguments.insert(
            "customer".to_owned(),
            json!(customer_of(&rest[joined.unwrap_or(0)..], hearing.shouted)?),
        );
    }
    Some(call(LIST_TICKETS, Value::Object(arguments)))
}

/// What a sentence that changes a ticket asks for: "close ticket 4", "assign T-2 to Aline", "mark ticket 4 as urgent".
pub(super) fn write(words: &[Word], _hearing: &Hearing) -> Option<Wish> {
    const STATUSES: &[(&str, &[&str])] = &[
        (
            "resolved",
            &["resolve|resolved|solve|solved|fixed|done|resuelve|resuelto|soluciona|solucionado"],
        ),
        ("closed", &["close|closed|cierra|cerrar|cerrado"]),
        (
            "open",
            &["reopen|open|reabre|reabrir|abierto", "open again"],
        ),
        ("waiting", &["waiting|espera"]),
        ("escalated", &["escalate|escalated|escala|escalar"]),
    ];
    const VERBS: &[&str] = &[
        "close|resolve|solve|reopen|mark|set|change|update|make|put|assign|give|hand|escalate|raise|cierra|cerrar|resuelve|soluciona|reabre|reabrir|marca|pon|cambia|asigna|asignar|dale|escala|escalar",
    ];
    starts(words, VERBS)?;
    let (ticket, at, end) =
        (0..words.len()).find_map(|at| ticket_at(words, at).map(|(t, end)| (t, at, end)))?;
    let rest = cut(words, at, end);
    let mut arguments = Map::new();
    arguments.insert("ticket".to_owned(), json!(ticket));
    if starts(words, &["assign|give|hand|asigna|asignar|dale"]).is_some() {
        let (_, to) = find(&words[end..], &["?over to", "a|al"])?;
        let who = customer_of(&words[end + to..], false)?;
        arguments.insert("assignee".to_owned(), json!(who));
        return Some(call(UPDATE_TICKET, Value::Object(arguments)));
    }
    if let Some((priority, at, end)) = priority_in(&rest) {
        arguments.insert("priority".to_owned(), json!(priority));
        let left = without(&rest, at, end);
        let left = drop_all(
            &left,
            &[
                "mark|set|change|update|make|put|raise|marca|pon|cambia|to|as|a|como|the|priority|prioridad|of|it|la|el|,|en|is|de",
            ],
        );
        return trimmed(&left)
            .is_empty()
            .then(|| call(UPDATE_TICKET, Value::Object(arguments)));
    }
    let status = STATUSES
        .iter()
        .find_map(|(status, patterns)| has(&rest, patterns).then_some(*status))?;
    let patterns: Vec<&str> = STATUSES
        .iter()
        .flat_map(|(_, p)| p.iter().copied())
        .collect();
    let left = drop_all(&rest, &patterns);
    let left = drop_all(
        &left,
        &[
            "mark|set|change|update|make|put|marca|pon|cambia|to|as|a|como|the|status|estado|of|it|is|la|el|,|en|again|de",
        ],
    );
    arguments.insert("status".to_owned(), json!(status));
    trimmed(&left)
        .is_empty()
        .then(|| call(UPDATE_TICKET, Value::Object(arguments)))
}

/// "Ticket 4", "T-4", "the last ticket", and where it ends.
fn ticket_at(words: &[Word], at: usize) -> Option<(String, usize)> {
    if let Some(end) = longest_at(
        words,
        at,
        &["?the last|latest ticket", "?el ultimo ticket|reclamo"],
    ) {
        return Some(("last".to_owned(), end));
    }
    let noun = longest_at(
        words,
        at,
        &["?the|el|la ticket|complaint|issue|reclamo|queja|incidencia ?number|no|numero ?. ?#"],
    );
    let start = noun.unwrap_or(at);
    let word = words.get(start)?;
    let digits = word
        .folded
        .strip_prefix("t-")
        .filter(|d| !d.is_empty() && d.len() <= 9 && d.chars().all(|c| c.is_ascii_digit()));
    if let Some(digits) = digits {
        return Some((format!("T-{digits}"), start + 1));
    }
    let plain = word.kind == Kind::Digits
        && word.text.len() <= 9
        && word.text.chars().all(|c| c.is_ascii_digit());
    (noun.is_some() && plain).then(|| (word.text.clone(), start + 1))
}

/// The ticket that all of the words name.
pub(super) fn whole_ticket(words: &[Word]) -> Option<String> {
    let words = trimmed(words);
    let plain = words.len() == 1
        && words[0].kind == Kind::Digits
        && words[0].text.chars().all(|c| c.is_ascii_digit());
    if plain {
        return Some(words[0].text.clone());
    }
    if starts(words, &["?the last|latest ?one", "?el ultimo"]) == Some(words.len())
        && !words.is_empty()
    {
        return Some("last".to_owned());
    }
    ticket_at(words, 0)
        .filter(|(_, end)| *end == words.len())
        .map(|(ticket, _)| ticket)
}

fn priority_in(words: &[Word]) -> Option<(&'static str, usize, usize)> {
    const PRIORITIES: &[(&str, &[&str])] = &[
        ("urgent", &["urgent|urgente|critical|critico"]),
        (
            "high",
            &[
                "high priority",
                "priority high|: high",
                "priority ?to ?is high",
                "high",
                "alta prioridad",
                "prioridad alta",
            ],
        ),
        (
            "low",
            &[
                "low priority",
                "priority ?to ?is low",
                "baja prioridad",
                "prioridad baja",
            ],
        ),
        (
            "normal",
            &[
                "normal priority",
                "priority ?to ?is normal",
                "prioridad normal",
            ],
        ),
    ];
    PRIORITIES.iter().find_map(|(priority, patterns)| {
        find(words, patterns).map(|(at, end)| (*priority, at, end))
    })
}

/// "Add a note to ticket 4: called her back".
fn noted(words: &[Word]) -> Option<Wish> {
    let start = starts(
        words,
        &[
            "?add|write|put|make ?a note|comment to|on|in|for ?the",
            "?agrega|anade|pon|escribe ?una nota|comentario a|al|en|para ?el|la",
            "note on",
            "comment on",
        ],
    )?;
    let (ticket, end) = ticket_at(words, start)?;
    let text = &words[longest_at(words, end, &["?, :|that|saying|-|,|que ?que"]).unwrap_or(end)..];
    let note = written(text);
    Some(call(UPDATE_TICKET, json!({"ticket": ticket, "note": note})))
}

/// Words as they were written, within the limit; `None` when there are none.
fn written(words: &[Word]) -> Option<String> {
    let text: String = text_of(trimmed(words)).chars().take(BODY_MAX).collect();
    (!text.is_empty()).then_some(text)
}

const OPEN: &[&str] = &[
    "?open|create|make|file|log|raise|submit|start|add|register|write|record ?me ?a|an|the ?new ?support ticket|complaint|incident",
    "?open|create|file|log|raise|report|submit|register ?a|an|the ?new issue|problem",
    "new ticket|complaint|issue",
    "?abre|abrir|crea|crear|registra|registrar|levanta|levantar|pon|poner|haz|hacer|anota|agrega|genera|reporta|reportar ?un|una ?nuevo|nueva ticket|reclamo|queja|incidencia|reporte|problema",
];
const PROBLEM: &[&str] = &[
    "?i|we have|had|ve|got a|an problem|issue|complaint",
    "?i|we ?want|need|would ?like ?to complain",
    "complain about|that|of",
    "report that|:",
    "?tengo|tenemos|hay un problema|reclamo",
    "?tengo|tenemos|hay una queja",
    "?me ?quiero|queremos quejarme|quejarnos|reclamar",
    "?quiero|queremos reportar que|:",
    "me quejo",
];

/// "Open a ticket: the fridge is broken", "I have a problem with my order", "report that …".
fn open(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    let urgent = starts(
        words,
        &[
            "?open|create|file|log|raise|abre|crea ?a|an|un|una ?new urgent|urgente|high-priority",
            "?open|create|file|log|raise ?a|an high|low priority",
        ],
    );
    let (start, sure, rest) = if let Some(end) = urgent
        && let Some(noun) = longest_at(
            words,
            end,
            &["ticket|complaint|issue|reclamo|queja|incidencia"],
        ) {
        (noun, true, words)
    } else if let Some(end) = starts(words, OPEN) {
        (end, true, words)
    } else {
        (starts(words, PROBLEM)?, false, words)
    };
    // A number after the noun is a ticket that is there already, and several are a list.
    if rest
        .get(start)
        .is_some_and(|w| w.kind == Kind::Digits || w.is_mark("#") || w.is_mark("-"))
        || starts(rest, &["open|abre|add|report ticket|issue ?#"])
            .is_some_and(|e| rest.get(e).is_some_and(|w| w.kind == Kind::Digits))
    {
        return None;
    }
    let head = &rest[..start];
    let bare = starts(rest, &[TICKET, "problem|problems|problema|problemas"]).is_some();
    let mut text = trimmed(&rest[start..]);
    // "Ticket" alone, or "complaint of Ali", asks for nothing new.
    if bare && !rest.get(start).is_some_and(|w| w.is_mark(":")) || has(head, &["sales|daily|stock"])
    {
        return None;
    }
    let customer = about_whom(text, hearing).map(|(customer, rest)| {
        text = rest;
        customer
    });
    while let Some(end) = starts(
        text,
        &[
            "about|that|with|saying|because|on|regarding|for|over|:|-|,",
            "the fact that",
            "sobre|que|con|porque|por|de|acerca ?de",
            "title|subject|asunto ?:",
        ],
    ) {
        text = trimmed(&text[end..]);
    }
    let at_end = priority_in(text).filter(|(_, at, end)| {
        *end == text.len() && *at > 0 && (text[at - 1].parts() || text[at - 1].is_mark("-"))
    });
    if let Some((_, at, _)) = at_end {
        text = trimmed(&text[..at]);
    }
    let priority = priority_in(head).or(at_end);
    let body = written(text);
    if body.is_none() && !sure {
        return None;
    }
    let (subject, body) = subject_of(body);
    Some(call(
        CREATE_TICKET,
        object([
            ("body", body.map(|b| json!(b))),
            ("customer", customer.map(|c| json!(c))),
            ("priority", priority.map(|(p, ..)| json!(p))),
            ("subject", Some(json!(subject))),
        ]),
    ))
}

/// "For Ali: the milk was sour": whose ticket it is, and what follows.
fn about_whom<'a>(text: &'a [Word], hearing: &Hearing) -> Option<(String, &'a [Word])> {
    let end = starts(text, &["for|from|by|de|para ?the|el|la ?customer|cliente"])?;
    let colon = text.iter().take(end + 4).position(|w| {
        w.is_mark(":")
            || w.is_mark(",")
            || matches!(
                w.folded.as_str(),
                "about" | "because" | "sobre" | "porque" | "that"
            )
    })?;
    let customer = customer_of(text.get(end..colon)?, hearing.shouted)?;
    Some((customer, trimmed(&text[colon..])))
}

/// The first line of a text, and the whole where it is longer.
pub(super) fn subject_of(text: Option<String>) -> (Option<String>, Option<String>) {
    let Some(text) = text else {
        return (None, None);
    };
    if text.chars().count() <= SUBJECT_MAX {
        return (Some(text), None);
    }
    let mut subject = String::new();
    for word in text.split(' ') {
        if subject.chars().count() + word.chars().count() + 1 > SUBJECT_MAX {
            break;
        }
        if !subject.is_empty() {
            subject.push(' ');
        }
        subject.push_str(word);
    }
    if subject.is_empty() {
        subject = text.chars().take(SUBJECT_MAX).collect();
    }
    (Some(subject), Some(text))
}

/// "I want to talk to a person", "get me a human", "quiero hablar con alguien".
fn escalate(words: &[Word]) -> Option<Wish> {
    const TALK: &[&str] = &[
        "?let ?can ?may ?i ?we ?want ?need ?me ?us ?to talk|speak|chat|speaking|talking to|with ?a|an|the|your|some ?real|live|actual|another person|human|someone|somebody|agent|manager|owner|staff|people|supervisor|boss|employee|operator|representative",
        "get|give|connect|call|put|transfer|pass|bring|find ?me ?us ?through ?over ?to ?with ?a|an|the|your ?real|live|actual person|human|agent|manager|owner|supervisor|operator|representative|staff",
        "?a|an ?real|live|actual human|operator|representative|agent ?please",
        "a real|live|actual person",
        "customer service|support",
        "escalate|hand ?this|it ?over ?to ?a|an|the ?human|person|manager|owner|staff",
        "?quiero ?quisiera ?necesito ?puedo ?me ?nos hablar|comunicarme|conversar|chatear|hablo con ?un|una|el|la|su ?otra persona|alguien|humano|agente|encargado|encargada|gerente|dueno|duena|jefe|asesor|operador|empleado|responsable ?real",
        "?pasame|comuniqueme|comunicame|ponme|transfiereme|llama|llame|dame|quiero ?con ?a ?al ?un|una|el|la persona|humano|agente|encargado|encargada|gerente|dueno|duena|asesor|operador|alguien ?real",
        "atencion|servicio humana|al ?cliente",
        "?una persona real",
    ];
    const ABOUT: &[&str] = &[
        "?, about|regarding|because|on|concerning|for|,|:|, ?it ?is ?about",
        "?, sobre|porque|por|acerca ?de",
    ];
    let rest = trimmed(words);
    let end = starts(rest, TALK)?;
    let about = longest_at(rest, end, ABOUT);
    let ended = end == rest.len()
        || about.is_some()
        || ends(
            rest,
            &["right ?now|away|today", "ahora ?mismo", "instead|here|aqui"],
        ) == Some(end);
    if !ended {
        return None;
    }
    let reason = about
        .and_then(|start| written(&rest[start..]))
        .or_else(|| written(rest))?;
    Some(call(ESCALATE, json!({"reason": reason})))
}
