//! Sentences about customers: who they are, how to reach them, what they like.

use serde_json::{Map, Value, json};

use super::intents::{Hearing, Wish};
use super::names::{customer_of, has_possessive, name_of, title};
use super::phones::phone_in;
use super::plans::{Plan, object};
use super::replies::Saying;
use super::tools::{CREATE_CUSTOMER, FIND_CUSTOMERS, GET_USER_PROFILE, UPDATE_PREFERENCES};
use super::when::cut;
use super::words::{Kind, Word, ends, find, has, longest_at, starts, text_of, trimmed};

fn call(tool: &str, arguments: Value) -> Wish {
    Wish::Do(Plan::new(tool, arguments))
}

/// What is known of a customer, by the word for it.
const DETAIL: &str = "profile|details|info|information|contact|contacts|phone|number|telephone|mobile|email|e-mail|mail|address|favourites|favorites|preferences|language|perfil|datos|contacto|telefono|numero|celular|correo|favoritos|preferencias|idioma";

/// What a sentence that asks about customers wants to know.
pub(super) fn read(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    if has(
        words,
        &[
            "bill|bills|invoice|invoices|factura|facturas|ticket|tickets|item|items|product|products|branch|owe|owes|debe|deben",
        ],
    ) {
        return None;
    }
    find_customers(words, hearing).or_else(|| profile(words, hearing))
}

/// What a sentence that changes a customer asks for.
pub(super) fn write(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    if hearing.question
        || has(
            words,
            &["bill|bills|invoice|invoices|factura|facturas|ticket|price|precio|stock"],
        )
    {
        return None;
    }
    // Customers are not deleted by talking.
    if starts(
        words,
        &[
            "delete|remove|erase ?the customer|client",
            "elimina|borra|quita ?al ?a ?el ?la cliente|clienta",
        ],
    )
    .is_some()
    {
        return Some(Wish::Say(Saying::NotHere));
    }
    create(words, hearing)
        .or_else(|| favourites(words, hearing))
        .or_else(|| details(words, hearing))
}

fn profile(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    const SELF: &[&str] = &[
        "?show|see|view ?me my profile|details|account|info|information|preferences",
        "who am i",
        "what do you know about me",
        "?muestra|muestrame|ver mi|mis perfil|datos|cuenta|preferencias",
        "quien soy ?yo",
        "que sabes de|sobre mi",
    ];
    const WHO: &[&str] = &[
        "who is|was",
        "whos",
        "tell me about customer|client",
        "?show|see|view|open|get|give|find|tell ?me ?the customer|client",
        "what do we|you know about|of",
        "quien es|era ?el|la ?cliente|clienta",
        "?muestra|muestrame|ver|dame|dime ?al|el|la|del cliente|clienta",
        "que sabemos|sabes de|sobre",
        "how ?can|do i|we reach|contact|call",
        "como contacto|localizo|llamo a",
    ];
    const LEAD: &[&str] = &[
        "?show|see|view|open|get|give|find|tell|whats|what ?me ?is|are ?the",
        "?muestra|muestrame|ver|dame|dime|cual|cuales ?es|son ?el|la|los|las",
    ];
    if starts(words, SELF) == Some(words.len()) {
        return Some(call(GET_USER_PROFILE, json!({})));
    }
    let of = |part: &[Word]| {
        customer_of(part, hearing.shouted)
            .filter(|_| part.iter().all(|w| w.kind == Kind::Letters) && !has(part, &["booked|coming|next|there|here|our|on|at|in|best|biggest|that|this|boss|manager|owner|working|open|stock|shop|store|tienda|jefe|dueno|esta|estan|es|tiene|is|has"]))
            .map(|name| call(GET_USER_PROFILE, json!({"customer": name})))
    };
    let rest = &words[starts(words, LEAD).unwrap_or(0)..];
    if let Some(at) = ends(
        rest,
        &[
            "?phone|telephone|mobile|contact|email ?number DETAIL",
            DETAIL,
            "phone|telephone|mobile|contact number",
            "contact details|info|information",
            "email address",
            "phone ?number",
        ],
    )
    .filter(|at| *at > 0 && has_possessive(&rest[..*at]))
    {
        return of(&rest[..at]);
    }
    if let Some(noun) = starts(
        rest,
        &[
            "phone|telephone|mobile|contact number|details|info",
            "email address",
            DETAIL,
            "numero|datos de telefono|contacto",
            "correo electronico",
        ],
    ) && let Some(end) = longest_at(rest, noun, &["of|for|de|del ?the|el|la ?customer|cliente"])
    {
        return of(&rest[end..]);
    }
    let end = starts(words, WHO).filter(|end| *end < words.len())?;
    of(&words[end..])
}

fn find_customers(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    const ALL: &[&str] = &[
        "?show|list|see|view|display|give|get ?me ?us ?all ?of ?the|our|my customers|clients ?list ?please",
        "customer|client list",
        "?list ?of ?all customers|clients",
        "?who ?are ?our|my|the customers|clients",
        "how many customers|clients do|have ?we ?have ?got",
        "?muestra|muestrame|lista|ver|dame|ensename ?todos ?a ?los|mis|nuestros clientes",
        "list|lista de clientes",
        "quienes son ?los|nuestros|mis clientes",
        "cuantos clientes tenemos|hay",
    ];
    const FIND: &[&str] = &[
        "?find|search|look|show|list|get|is|do|are|have ?me ?there ?we ?you ?up ?have ?got ?for ?all ?any ?a|an|the|our customer|customers|client|clients ?is|are ?with ?of ?the ?called|named|like|name|phone|number|email ?:",
        "?busca|buscar|encuentra|hay|tenemos|muestra ?a ?al ?algun ?un ?el ?los cliente|clientes ?que ?se ?con ?el ?llamado|llamada|llama|llamados|nombre|telefono|numero|correo ?:",
        "who has|have|owns ?the phone|number|telephone|mobile ?number",
        "whose ?phone|number|telephone is ?number|this|it",
        "de quien es el|este telefono|numero",
        "quien tiene el telefono|numero",
    ];
    if starts(words, ALL) == Some(words.len()) {
        return Some(call(FIND_CUSTOMERS, json!({})));
    }
    let end = starts(words, FIND).filter(|end| *end < words.len())?;
    // "Customer Ali" alone asks who that is; "new customer" is no search.
    let searched = has(
        &words[..end],
        &[
            "find|search|look|busca|buscar|encuentra|called|named|like|llamado|llamada|llama|llamados|who|whose|quien|customers|clients|clientes|with|con",
        ],
    );
    let rest = trimmed(&words[end..]);
    if let Some((phone, 0, length)) = phone_in(rest) {
        return (length == rest.len()).then(|| call(FIND_CUSTOMERS, json!({"query": phone})));
    }
    if !searched || has(rest, &["to|who|that|que|quien|from|today"]) {
        return None;
    }
    let query = email_in(rest)
        .map(|(email, ..)| email)
        .or_else(|| customer_of(rest, hearing.shouted))?;
    Some(call(FIND_CUSTOMERS, json!({"query": query})))
}

/// The first email address among the words, and where it stands.
pub(super) fn email_in(words: &[Word]) -> Option<(String, usize, usize)> {
    words
        .iter()
        .position(|w| w.kind == Kind::Letters && w.text.contains('@') && w.text.contains('.'))
        .map(|at| (words[at].text.to_lowercase(), at, at + 1))
}

/// Languages as people name them, by their tag.
const LANGUAGES: &[(&str, &str)] = &[
    ("en", "english|ingles"),
    ("es", "spanish|espanol|castellano"),
    ("fr", "french|frances"),
    ("sw", "swahili|kiswahili|suajili"),
    ("rw", "kinyarwanda|rwanda"),
    ("pt", "portuguese|portugues"),
];

fn language_at(words: &[Word], at: usize) -> Option<(&'static str, usize)> {
    LANGUAGES
        .iter()
        .find_map(|(tag, names)| longest_at(words, at, &[names]).map(|end| (*tag, end)))
}

/// Phone, email and language, and the words without them and what leads to them.
fn contacts_in(words: &[Word]) -> (Map<String, Value>, Vec<Word>) {
    const LABEL: &[&str] = &[
        "?and|y ?with|con|has|his|her|their ?the|el|la|su phone|telephone|mobile|tel|cell|telefono|celular|movil|number|numero ?number ?is|es ?:",
        "?and|y ?with|con|has|his|her|their ?the|el|la|su email|e-mail|mail|correo ?electronico ?address ?is|es ?:",
        "?and|y ?who|que speaks|speaking|habla",
        "?and|y|with|on|at|con|al",
    ];
    let mut found = Map::new();
    let mut rest = words.to_vec();
    let mut take = |rest: &mut Vec<Word>, key: &str, value: String, at: usize, end: usize| {
        let from = (0..at)
            .find(|from| longest_at(rest, *from, LABEL) == Some(at))
            .unwrap_or(at);
        found.insert(key.to_owned(), json!(value));
        *rest = cut(rest, from, end);
    };
    if let Some((email, at, end)) = email_in(&rest) {
        take(&mut rest, "email", email, at, end);
    }
    if let Some((phone, at, end)) = phone_in(&rest) {
        take(&mut rest, "phone", phone, at, end);
    }
    if let Some((at, (tag, end))) = (0..rest.len()).find_map(|at| {
        let (tag, end) = language_at(&rest, at)?;
        let spoken = at > 0
            && matches!(
                rest[at - 1].folded.as_str(),
                "speaks" | "speaking" | "habla" | "language" | "idioma" | ":"
            );
        spoken.then_some((at, (tag, end)))
    }) {
        take(&mut rest, "language", tag.to_owned(), at, end);
    }
    (found, rest)
}

/// "Add customer Beatriz, 0788 123 456", "register Jean as a customer".
fn create(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    const NEW: &[&str] = &[
        "add|create|register|save|make|enter|insert|record|set ?up ?a|an|the ?new|another customer|client ?called|named|: ?:",
        "new customer|client ?called|named|: ?is ?:",
        "agrega|agregar|anade|anadir|crea|crear|registra|registrar|guarda|da|dar|ingresa|inscribe ?de ?alta ?a ?al ?a ?un|una|el|la ?nuevo|nueva cliente|clienta ?nuevo|nueva ?llamado|llamada|: ?:",
        "nuevo|nueva cliente|clienta ?llamado|llamada|: ?:",
    ];
    const VERBS: &[&str] =
        &["add|create|register|save|agrega|agregar|anade|registra|registrar|guarda ?a"];
    const AS: &[&str] = &[
        "?as ?to ?a|an|the|our|my ?new customer|client|customers|clients ?list",
        "?como ?a ?los ?un|una ?nuevo|nueva cliente|clienta|clientes",
    ];
    let (start, rest) = match starts(words, NEW) {
        Some(end) => (end, words.to_vec()),
        None => {
            let end = starts(words, VERBS)?;
            let (at, after) = find(words, AS)
                .filter(|(at, after)| *at > end && has(&words[*at..*after], &["as|to|como|a"]))?;
            (end, cut(words, at, after))
        }
    };
    let (mut found, rest) = contacts_in(&rest[start..]);
    if rest.iter().any(|w| w.kind == Kind::Digits) {
        return None;
    }
    let mut parts = rest
        .split(|w| w.parts() || w.is_mark(":") || w.is_mark("-"))
        .map(trimmed)
        .filter(|p| !p.is_empty());
    let name = match parts.next() {
        Some(part) => Some(person(part, hearing)?),
        None => None,
    };
    if let Some(note) = parts.next() {
        // What follows the name and is no number is worth remembering, but only where it says so.
        let end = starts(note, &["note|notes|nota|notas ?:"])?;
        found.insert("notes".to_owned(), json!(text_of(&note[end..])));
    }
    if parts.next().is_some() {
        return None;
    }
    found.insert("name".to_owned(), json!(name));
    Some(call(CREATE_CUSTOMER, Value::Object(found)))
}

/// A person's name, with capitals.
pub(super) fn person(words: &[Word], hearing: &Hearing) -> Option<String> {
    let name = name_of(words)?;
    words
        .iter()
        .all(|w| w.kind == Kind::Letters)
        .then(|| title(&name, hearing.shouted))
}

/// "Add sugar to Ali's favourites", "Ali likes milk" is not said: what somebody likes today is no rule.
fn favourites(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    const NOUN: &str = "favourites|favorites|favoritos|favoritas|favourite|favorite";
    has(words, &[NOUN]).then_some(())?;
    let less = starts(
        words,
        &["remove|take|delete|drop|quita|quitar|elimina|saca ?off"],
    );
    let more = starts(words, &["add|put|include|agrega|agregar|anade|pon|suma"]);
    let end = less.or(more)?;
    let (at, after) = find(
        &words[end..],
        &["to|from|off|in|on|a|de|en ?the|los|las|sus"],
    )
    .map(|(at, after)| (at + end, after + end))
    .filter(|(at, _)| *at > end)?;
    let items: Option<Vec<String>> = words[end..at]
        .split(|w| w.parts() || matches!(w.folded.as_str(), "and" | "y"))
        .map(trimmed)
        .filter(|p| !p.is_empty())
        .map(name_of)
        .collect();
    let who = &words[after..];
    let customer = match find(who, &[NOUN])? {
        // "Ali's favourites"
        (noun, end) if end == who.len() => customer_of(&who[..noun], hearing.shouted),
        // "The favourites of Ali"
        (0, end) => longest_at(who, end, &["of|for|de"])
            .and_then(|end| customer_of(&who[end..], hearing.shouted)),
        _ => None,
    }?;
    let key = if less.is_some() { "remove" } else { "add" };
    Some(call(
        UPDATE_PREFERENCES,
        json!({"customer": customer, "favourites": {key: items?}}),
    ))
}

/// "Ali's number is 0788 123 456", "change Ali's email to …", "Ali prefers Spanish".
fn details(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    const SET: &[&str] = &[
        "?set|change|update|make|save|note|correct|cambia|cambiar|actualiza|pon|guarda|corrige ?the|el|la",
    ];
    const RENAME: &[&str] = &[
        "rename ?the customer|client",
        "renombra al|el|la cliente|clienta",
    ];
    if let Some(end) = starts(words, RENAME) {
        let (at, after) = find(&words[end..], &["to|as|a|como"]).filter(|(at, _)| *at > 0)?;
        let customer = customer_of(&words[end..end + at], hearing.shouted)?;
        let name = person(&words[end + after..], hearing)?;
        return Some(call(
            UPDATE_PREFERENCES,
            json!({"customer": customer, "name": name}),
        ));
    }
    preference(words, hearing).or_else(|| {
        let start = starts(words, SET).unwrap_or(0);
        let body = &words[start..];
        let (key, value, at, end) = phone_in(body)
            .map(|(phone, at, end)| ("phone", phone, at, end))
            .or_else(|| email_in(body).map(|(email, at, end)| ("email", email, at, end)))?;
        if !trimmed(&body[end..]).is_empty() {
            return None;
        }
        let customer = whose_detail(&body[..at], key, hearing)?;
        Some(call(
            UPDATE_PREFERENCES,
            object([
                ("customer", Some(json!(customer))),
                (key, Some(json!(value))),
            ]),
        ))
    })
}

/// "Ali's new number is", "the phone of Ali to", "el número de Ali es".
fn whose_detail(words: &[Word], key: &str, hearing: &Hearing) -> Option<String> {
    const PHONE: &[&str] = &[
        "?new ?phone|telephone|mobile|contact|cell number",
        "?new phone|telephone|mobile|tel",
        "?nuevo telefono|numero|celular|movil ?nuevo",
        "?nuevo numero de telefono|celular",
    ];
    const EMAIL: &[&str] = &[
        "?new email|e-mail|mail ?address",
        "?nuevo correo ?electronico ?nuevo",
        "?nuevo email",
    ];
    let nouns = if key == "phone" { PHONE } else { EMAIL };
    let said = &words[..ends(
        words,
        &[
            "?has ?have ?is ?now is|to|at|as|:|=|es|a|por ?now|ahora ?:",
            "now|ahora|:",
        ],
    )
    .unwrap_or(words.len())];
    let said = &said[starts(said, &["the|el|la"]).unwrap_or(0)..];
    if let Some(at) = ends(said, nouns).filter(|at| *at > 0 && has_possessive(&said[..*at])) {
        return customer_of(&said[..at], hearing.shouted);
    }
    let noun = starts(said, nouns)?;
    let end = longest_at(said, noun, &["of|for|de|del ?the|el|la ?customer|cliente"])?;
    customer_of(&said[end..], hearing.shouted)
}

/// How somebody wants to be spoken to and reached.
fn preference(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    const LANGUAGE: &[&str] = &[
        "speaks|prefers|wants ?to ?be ?spoken ?to ?in",
        "habla|prefiere ?que ?le ?hablen ?en ?el",
    ];
    const CONTACT: &[&str] = &[
        "prefers|wants|likes ?to ?be ?reached|contacted|called|contact ?by|via|on ?the",
        "prefiere|quiere ?que ?le ?lo ?la ?contacten|llamen ?contacto ?por|via ?el|la",
    ];
    const BY: &[(&str, &str)] = &[
        (
            "phone",
            "phone|telephone|calls|call|telefono|llamada|llamadas|called",
        ),
        ("email", "email|e-mail|mail|correo"),
    ];
    if let Some(start) = starts(
        words,
        &["set|change|update ?the", "cambia|pon|actualiza ?el"],
    ) && let Some((at, end)) = find(words, &["language ?of|for|to|is|:", "idioma ?de|a|:"])
    {
        let at_language = (end..words.len()).find_map(|i| {
            language_at(words, i)
                .filter(|(_, e)| *e == words.len())
                .map(|(tag, _)| (tag, i))
        })?;
        let (tag, place) = at_language;
        let who = if at > start {
            &words[start..at]
        } else {
            &words[end..place]
        };
        let who = &who[..ends(who, &["to|a|in|en|:"]).unwrap_or(who.len())];
        let customer = customer_of(
            &who[starts(who, &["of|for|de"]).unwrap_or(0)..],
            hearing.shouted,
        )?;
        return Some(call(
            UPDATE_PREFERENCES,
            json!({"customer": customer, "language": tag}),
        ));
    }
    let split = |patterns: &[&str]| {
        (1..words.len().min(6)).find_map(|at| longest_at(words, at, patterns).map(|end| (at, end)))
    };
    if let Some((at, end)) = split(LANGUAGE)
        && let Some((tag, _)) = language_at(words, end).filter(|(_, e)| *e == words.len())
    {
        let customer = customer_of(&words[..at], hearing.shouted)?;
        return Some(call(
            UPDATE_PREFERENCES,
            json!({"customer": customer, "language": tag}),
        ));
    }
    let (at, end) = split(CONTACT)?;
    let way = BY.iter().find_map(|(way, names)| {
        (longest_at(words, end, &[names]) == Some(words.len())).then_some(*way)
    })?;
    let customer = customer_of(&words[..at], hearing.shouted)?;
    Some(call(
        UPDATE_PREFERENCES,
        json!({"customer": customer, "contact": way}),
    ))
}
