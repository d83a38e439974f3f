//! Sentences about branches: where they are, and how far it is.

use serde_json::{Map, Value, json};

use super::intents::{Hearing, Wish};
use super::names::name_of;
use super::numbers::number_at;
use super::plans::Plan;
use super::tools::{CALCULATE_DISTANCE, FIND_NEARBY};
use super::when::cut;
use super::words::{Kind, Word, drop_all, ends, find, has, longest_at, starts, text_of, trimmed};

fn call(tool: &str, arguments: Value) -> Wish {
    Wish::Do(Plan::new(tool, arguments))
}

/// What a branch is called.
const BRANCH: &str = "branch|branches|shop|shops|store|stores|location|locations|outlet|outlets|sucursal|sucursales|tienda|tiendas|local|locales";

/// What a sentence that asks where something is wants to know.
pub(super) fn read(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    distance(words).or_else(|| nearby(words, hearing))
}

/// "How far is the Remera branch from Kimironko", "distance between A and B", "¿Qué tan lejos está A de B?"
fn distance(words: &[Word]) -> Option<Wish> {
    const FAR: &[&str] = &[
        "how far ?away ?is|are ?it",
        "how many km|kilometres|kilometers|miles ?is|are ?it ?there",
        "?whats ?what ?is ?calculate|measure|give|tell|show ?me ?the distance",
        "?que ?tan ?cuan lejos esta|estan|queda|quedan ?la|el",
        "a que|cuanta distancia esta|estan|queda|quedan ?la|el",
        "cuantos kilometros|km hay",
        "?cual ?es ?calcula|mide|dime ?la distancia ?hay",
    ];
    let end = starts(words, FAR).filter(|end| *end < words.len())?;
    let rest = &words[end..];
    let rest = &rest[..ends(
        rest,
        &[
            "in km|kilometres|kilometers|miles",
            "en km|kilometros",
            "by road|car",
        ],
    )
    .filter(|at| *at > 0)
    .unwrap_or(rest.len())];
    let (one, other) = if let Some(start) = starts(rest, &["between|entre"]) {
        let (at, after) = find(&rest[start..], &["and|y|to"])?;
        (&rest[start..start + at], &rest[start + after..])
    } else if let Some(start) = starts(rest, &["from|de|desde|del"]) {
        let (at, after) = find(&rest[start..], &["to|a|al|hasta"])?;
        (&rest[start..start + at], &rest[start + after..])
    } else {
        // "How far is A from B" measures from B; "is it to A" from nobody knows where.
        match find(rest, &["from|de|desde|del"]).filter(|(at, _)| *at > 0) {
            Some((at, after)) => (&rest[after..], &rest[..at]),
            None => (&rest[..0], rest),
        }
    };
    let other = &other[starts(other, &["to|a|al|hasta"]).unwrap_or(0)..];
    let to = place(other)?;
    Some(call(
        CALCULATE_DISTANCE,
        json!({"from": place(one).flatten(), "to": to}),
    ))
}

/// A place as the tool takes it: a name or "lat,lon"; the inner `None` for "here". The outer one when it is no place.
pub(super) fn place(words: &[Word]) -> Option<Option<String>> {
    let rest = trimmed(words);
    let here = drop_all(
        rest,
        &[
            "?my|our ?current here|me|us|home|house|place|location|position|aqui|mi|casa|ubicacion|posicion",
        ],
    );
    if trimmed(&here).is_empty() {
        return Some(None);
    }
    if let Some((point, end)) = point_at(rest, 0) {
        return (end == rest.len()).then_some(Some(point));
    }
    let kept = drop_all(rest, &["the|our|your|la|el|nuestra", BRANCH]);
    let kept = trimmed(&kept);
    let start = starts(kept, &["in|at|of|de|del|en"]).unwrap_or(0);
    Some(Some(name_of(&kept[start..])?))
}

/// Coordinates: "-1.9441, 30.0619".
fn point_at(words: &[Word], at: usize) -> Option<(String, usize)> {
    let degrees = |i: usize| {
        let word = words.get(i).filter(|w| w.kind == Kind::Digits)?;
        let plain = word.text.trim_start_matches(['-', '+']);
        (plain.contains('.')
            && plain.chars().all(|c| c.is_ascii_digit() || c == '.')
            && plain.matches('.').count() == 1)
            .then(|| word.text.trim_start_matches('+').to_owned())
    };
    // Written without a space the two are one word.
    if let Some((one, other)) = words
        .get(at)
        .filter(|w| w.kind == Kind::Digits)
        .and_then(|w| w.text.split_once(','))
    {
        let fine = |t: &str| {
            t.matches('.').count() == 1
                && t.trim_start_matches('-')
                    .chars()
                    .all(|c| c.is_ascii_digit() || c == '.')
        };
        if fine(one) && fine(other) {
            return Some((format!("{one},{other}"), at + 1));
        }
    }
    let north = degrees(at)?;
    let joint = longest_at(words, at + 1, &[","]).unwrap_or(at + 1);
    let east = degrees(joint)?;
    Some((format!("{north},{east}"), joint + 1))
}

const ASKED: &[&str] = &[
    "find|search|show|list|see|give|tell|get|which|what|whats|where|wheres|is|are|do|any|locate",
    "nearest|closest|nearby",
    "busca|buscar|encuentra|muestra|muestrame|lista|donde|cual|cuales|que|hay|tienen|dime|dame|ver",
    BRANCH,
    "la|el tienda|sucursal|local mas cercana|cercano",
];
const NEAR: &[&str] = &[
    "?closest|nearest|close|near|next|nearby|around|from|by ?to",
    "?mas ?cerca|cercana|cercano|cercanas|cercanos ?a ?de|del|al",
    "near|around|at|in|by|en|por|junto ?a",
];
const CLOSE: &str = "nearest|closest|nearby|near|cerca|cercana|cercano|cercanas|cercanos|close|around|within|proxima";
const DETAILS: &[&str] = &[
    "item|items|product|products|category|stock|sugar|inventory|sell|sales|sold|bill|bills|price|prices|customer|customers|balance|money|booking|bookings|appointment|inventario|existencias|precios|ventas|productos|hours|horario",
];
const OPEN: &[&str] = &[
    "what|which ?time ?hours do|are you|they|the ?shop|store open|close|opening|closing ?today|tomorrow",
    "when do|does|are|is you|they|the ?shop|store open|close ?today|tomorrow",
    "?what|whats ?are|is ?the|your ?shop|store opening|business hours|times ?today",
    "are|is you|the ?shop|store ?still open ?now|today",
    "a que hora abren|cierran ?hoy|manana",
    "cuando abren|cierran",
    "?cual|cuales ?es|son ?el|su|los horario|horarios ?de ?la ?atencion|tienda",
    "esta|estan abierto|abierta|abiertos ?la ?tienda ?ahora|hoy",
];

/// "Find a branch near me", "branches within 5 km of Kimironko", "where is your nearest shop?"
fn nearby(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    let noun = has(words, &[BRANCH]);
    // The hours of the branches stand with them.
    if starts(words, OPEN) == Some(words.len()) {
        return Some(call(FIND_NEARBY, json!({})));
    }
    let where_are = starts(
        words,
        &[
            "where are|is you|your|we ?located",
            "where can i find you",
            "donde estan|estas ?ustedes ?ubicados",
            "donde los encuentro",
        ],
    ) == Some(words.len());
    if where_are {
        return Some(call(FIND_NEARBY, json!({})));
    }
    let close = has(words, &[CLOSE]);
    let many = has(
        words,
        &["branches|shops|stores|locations|outlets|sucursales|tiendas|locales"],
    );
    let where_is = has(words, &["where|wheres|donde"]);
    if !noun
        || starts(words, ASKED).is_none()
        || !(close
            || many
            || where_is
            || has(
                words,
                &["branch|sucursal", "is there", "do you have", "hay|tienen"],
            ))
        || has(words, DETAILS)
    {
        return None;
    }
    let mut rest = words.to_vec();
    let mut arguments = Map::new();
    if let Some((km, at, end)) = radius_in(&rest, hearing) {
        arguments.insert("radius_km".to_owned(), km);
        rest = cut(&rest, at, end);
    }
    let rest = drop_all(
        &rest,
        &[
            "?my|our ?current location|position",
            "mi ubicacion|posicion",
        ],
    );
    let rest = drop_all(
        &rest,
        &[
            "find|search|show|list|see|give|tell|get|which|what|whats|where|wheres|is|are|do|does|have|has|there|any|a|an|the|all|our|your|my|you|we|me|us|i|for|can|locate|open|now|here|located|most",
            "busca|buscar|encuentra|muestra|muestrame|lista|donde|cual|cuales|que|es|hay|tienen|dime|dame|ver|una|un|la|el|las|los|todas|todos|mi|mis|su|sus|esta|estan|queda|quedan|me|aqui|mas|abierta|abiertas|ustedes",
            BRANCH,
        ],
    );
    let rest = trimmed(&rest);
    if !rest.is_empty() {
        let end = starts(rest, NEAR);
        let after = trimmed(&rest[end.unwrap_or(0)..]);
        let after = &after[starts(after, &["of|to|a|de|del|al|,"]).unwrap_or(0)..];
        if let Some(near) = near_of(after)? {
            arguments.insert("near".to_owned(), json!(near));
        }
    }
    Some(call(FIND_NEARBY, Value::Object(arguments)))
}

fn near_of(words: &[Word]) -> Option<Option<String>> {
    let rest = drop_all(
        words,
        &[
            "nearest|closest|nearby|near|close|cerca|cercana|cercano|cercanas|cercanos|around|,",
            "to|of|a|de|del",
        ],
    );
    if trimmed(&rest).is_empty() {
        return Some(None);
    }
    place(trimmed(words))
}

/// "Within 5 km", "a menos de 5 km": a JSON number, and where it stands.
fn radius_in(words: &[Word], hearing: &Hearing) -> Option<(Value, usize, usize)> {
    (0..words.len()).find_map(|at| {
        let start = longest_at(words, at, &["?that|which ?is|are within|under", "less than", "?no ?a menos|mas de", "a", "en un radio de"])?;
        let number = number_at(words, start, hearing.language)?;
        let end = longest_at(words, number.end, &["km|kms|kilometres|kilometers|kilometre|kilometer|kilometros|kilometro|k ?of|from|de"])?;
        let km: Value = serde_json::from_str(&number.text).ok()?;
        km.is_number().then_some((km, at, end))
    })
}

/// The whole of a message as a place: the answer to "from where?".
pub(super) fn whole_place(words: &[Word]) -> Option<String> {
    let rest = &words[starts(
        words,
        &[
            "?im ?i ?am from|near|at|in|to|by",
            "?estoy de|desde|en|a|cerca ?de",
        ],
    )
    .unwrap_or(0)..];
    place(rest)
        .flatten()
        .filter(|name| !name.is_empty() && text_of(rest).len() <= 120)
}
