//! From a message to what it asks for: politeness off, clauses apart, then the rules of each toolset in turn.

use chrono::NaiveDate;
use contracts::tool::Tool;
use contracts::tools::billing::{CreateBill, VoidBill};
use contracts::tools::inventory::DeleteItem;

use super::names::is_shouted;
use super::plans::Plan;
use super::quantities::Quantity;
use super::replies::Saying;
use super::words::{
    Kind, Word, among, drop_all, ends, has, is_too_long, longest_at, match_at, starts, trimmed,
    words,
};
use super::{
    billing, bookings, corrections, hours, inventory, payments, people, places, questions, support,
    tools,
};
use crate::language::{Language, detect};
use crate::models::ModelRequest;

/// What the rules know of a message besides its words.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hearing {
    /// The language it is read in.
    pub(super) language: Language,
    /// The shop's day.
    pub(super) today: NaiveDate,
    /// It is all in capitals.
    pub(super) shouted: bool,
    /// It ends in a question mark.
    pub(super) question: bool,
}

impl Hearing {
    /// How a message is to be read: there are English and Spanish rules.
    pub(super) fn of(text: &str, request: &ModelRequest) -> Hearing {
        let today = request.now.with_timezone(&request.time_zone).date_naive();
        Hearing::on(today, text, request.language)
    }

    /// The same where there is no conversation: `spoken` is the language of somebody whose message does not show one.
    pub(super) fn on(today: NaiveDate, text: &str, spoken: Language) -> Hearing {
        // Portuguese is nearer to the Spanish rules, and a short sentence in Spanish often looks like it.
        let rules = |language| match language {
            Language::En => Some(Language::En),
            Language::Es | Language::Pt => Some(Language::Es),
            Language::Fr | Language::Sw | Language::Rw => None,
        };
        let language = detect(text)
            .and_then(rules)
            .or_else(|| rules(spoken))
            .unwrap_or_default();
        Hearing {
            language,
            today,
            shouted: is_shouted(&words(text)),
            question: text.contains(['?', '¿']),
        }
    }
}

/// One thing a message asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Wish {
    /// A call, once it has all its arguments.
    Do(Plan),
    /// Words only.
    Say(Saying),
}

impl Quantity {
    /// What to ask where the number can be read in two ways.
    pub(super) fn in_doubt(&self) -> Option<Saying> {
        let (one, other) = (self.number.clone(), self.or_else.clone()?);
        Some(if one.contains('.') {
            Saying::NumberUnclear(other, one)
        } else {
            Saying::NumberUnclear(one, other)
        })
    }
}

/// Longer messages are stories, not orders.
const CHARACTERS_MAX: usize = 2_000;
/// Most calls one message leads to.
const CALLS_MAX: usize = 5;

/// What a message asks for; empty when it was not understood.
pub(super) fn understand(text: &str, hearing: &Hearing) -> Vec<Wish> {
    let all = words(text);
    if text.chars().count() > CHARACTERS_MAX || is_too_long(&all) {
        return Vec::new();
    }
    if let Some(saying) = small_talk(&all) {
        return vec![Wish::Say(saying)];
    }
    let all = polished(&all);
    requests(&all, hearing)
}

fn requests(all: &[Word], hearing: &Hearing) -> Vec<Wish> {
    // What a ticket says may hold anything, commas and refusals included.
    if let Some(wish) = support::whole(all, hearing) {
        return vec![wish];
    }
    if !refuses(all)
        && let Some(wishes) = inventory::add_several(all, hearing).filter(|w| w.len() <= CALLS_MAX)
    {
        return wishes;
    }
    let clauses = clauses(all);
    if clauses.len() == 1 || clauses.len() > CALLS_MAX {
        return clause(all, hearing).into_iter().collect();
    }
    let wishes: Option<Vec<Wish>> = clauses.iter().map(|c| clause(c, hearing)).collect();
    let Some(wishes) = wishes else {
        return clause(all, hearing).into_iter().collect();
    };
    // Several things at once only where each is clear and none needs a countersignature.
    let together = wishes
        .iter()
        .all(|w| matches!(w, Wish::Do(plan) if plan.missing().is_none() && !needs_yes(&plan.tool)));
    if together {
        wishes
    } else {
        vec![Wish::Say(Saying::OneAtATime)]
    }
}

/// Whether the tool asks a person first.
pub(super) fn needs_yes(tool: &str) -> bool {
    [
        CreateBill::NAME,
        VoidBill::NAME,
        DeleteItem::NAME,
        tools::CREDIT_BILL,
        tools::WRITE_OFF_BILL,
        tools::COLLECT_PAYMENT,
        tools::REFUND_PAYMENT,
        tools::TOP_UP_WALLET,
        tools::CREATE_BOOKING,
        tools::RESCHEDULE_BOOKING,
        tools::CANCEL_BOOKING,
    ]
    .contains(&tool)
}

fn clause(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    let words = mended(&polished(words));
    let words = trimmed(&words);
    if words.is_empty() {
        return None;
    }
    if asks_how(words) {
        return Some(Wish::Say(Saying::Help));
    }
    let asked = || {
        billing::read(words, hearing)
            .or_else(|| bookings::read(words, hearing))
            .or_else(|| payments::read(words, hearing))
            .or_else(|| people::read(words, hearing))
            .or_else(|| places::read(words, hearing))
            .or_else(|| support::read(words, hearing))
    };
    let changes = || {
        if refuses(words) {
            None
        } else {
            write(words, hearing)
        }
    };
    // "Top up Ali's wallet" holds "Ali's wallet": an order is no question, and a question no order.
    let found = if hearing.question {
        asked().or_else(changes)
    } else {
        billing::read(words, hearing)
            .or_else(changes)
            .or_else(asked)
    };
    found.or_else(|| {
        if has(words, NEGATIONS) {
            None
        } else {
            questions::read(words, hearing)
        }
    })
}

/// What a sentence changes. The rules that need the more particular words come first.
fn write(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    bookings::write(words, hearing)
        .or_else(|| corrections::write(words, hearing))
        .or_else(|| payments::write(words, hearing))
        .or_else(|| people::write(words, hearing))
        .or_else(|| support::write(words, hearing))
        .or_else(|| hours::write(words, hearing))
        .or_else(|| billing::write(words, hearing))
        .or_else(|| inventory::write(words, hearing))
}

const NEGATIONS: &[&str] = &[
    "not|dont|doesnt|didnt|never|cannot|cant|wont|havent|hasnt|shouldnt|wouldnt|nunca|jamas|tampoco",
    "no agregues|anadas|crees|elimines|borres|vendas|factures|cambies|anules|quites|quiero|necesito|hagas|pongas|aumentes|reduzcas|reserves|agendes|canceles|cobres|muevas|devuelvas|reembolses|registres|abras|cierres|debes|hay|se|recibimos|llegaron|llego|compramos",
];

/// "How do I add an item?" wants to be told, not to have it done.
fn asks_how(words: &[Word]) -> bool {
    starts(words, &["how do|can|should|would|to ?i|we|you add|create|delete|remove|change|update|make|sell|void|set|bill|rename|use|register|book|reserve|cancel|reschedule|collect|refund|credit|open|top|move", "como puedo|se|hago ?para agregar|agrega|crear|crea|eliminar|elimina|cambiar|cambia|vender|vende|anular|anula|facturar|reservar|cancelar|cobrar|reembolsar|abrir|mover|recargar"]).is_some()
}

/// A "not" anywhere, a condition or a question whether to: nothing is changed on such words.
fn refuses(words: &[Word]) -> bool {
    const DOUBTS: &[&str] = &[
        "if|unless|whether|supposing",
        "should i|we",
        "did|do|does|will|shall i|we|you|they|he|she",
    ];
    const FIRST: &[&str] = &[
        "did|does|has|have|was|were|is|are|when|why|who|where|will|shall|should|cuando|quien|debo|deberia|debemos",
    ];
    // "Si" is a condition, "sí" is a yes.
    let condition = words
        .iter()
        .any(|w| w.folded == "si" && !w.text.contains(['í', 'Í']));
    condition || has(words, NEGATIONS) || has(words, DOUBTS) || starts(words, FIRST).is_some()
}

/// Words of courtesy taken off the front, the end and the middle.
pub(super) fn polished(words: &[Word]) -> Vec<Word> {
    const ANYWHERE: &[&str] = &[
        "please|pls|plz|kindly|porfa|porfavor",
        "por favor",
        "if you can|could|dont mind",
        "if possible",
        "si puedes|puede",
    ];
    const FRONT: &[&str] = &[
        "hi|hello|hey|hiya|dear|ok|okay|so|now|then|well|alright|right|great|thanks|yo ?there ?,",
        "good morning|afternoon|evening|day ?,",
        "can|could|would|will you ?also ?now ?help ?me ?to",
        "would you mind",
        "id|i ?would ?also like|love|want|need|have ?you to",
        "we|lets|let ?would ?d ?us ?also like|want|need|have to",
        "let us|me",
        "lets",
        "i|we want|need|wish ?you to",
        "i would|d like ?you to",
        "can|may|could|shall i|we",
        "help me ?to",
        "go ahead and",
        "and|also|then|next ?,",
        "my friend|dear|boss ?,",
        "just",
        "thank you ?,",
        "make sure to",
        "hola|buenas|oye|oiga|ok|bueno|pues|entonces|vale|gracias|perfecto|y|luego|tambien|ahora ?,",
        "buenos|buenas dias|tardes|noches ?,",
        "?me gustaria|quisiera|quiero|queremos|necesito|necesitamos|puedes|podrias|puede|podria|podemos|deseo|vamos ?a ?que ?me",
        "ayudame a",
        "me puedes|podrias|puede|podria",
        "tengo|hay que",
        "serias tan amable de",
    ];
    const END: &[&str] = &[
        "thanks|thank ?you ?so ?very ?much ?a ?lot",
        "thx|ty|asap|ok|okay|cheers|sir|madam|boss|friend",
        "for me ?now",
        "right now",
        "will|can|could|would you",
        "gracias|ok|vale|amigo|amiga|jefe|jefa",
        "muchas gracias",
        "ahora ?mismo",
        "if thats ok",
        "now",
    ];
    let mut kept = drop_all(words, ANYWHERE);
    // Few such words are strung together; the bound is for texts made to be long.
    for _ in 0..8 {
        let rest = trimmed(&kept);
        // "Hi, get me a person": a comma ends the greeting, whatever follows.
        let verb_follows = |end: usize| {
            if rest[end - 1].is_mark(",") {
                return true;
            }
            let kept = among(FRONT_KEEPS, rest.get(end).map_or("", |w| w.folded.as_str()));
            !kept || match_at(rest, end, "get rid").is_some()
        };
        if let Some(end) = starts(rest, FRONT)
            .filter(|end| *end < rest.len() && front_goes(rest, *end) && verb_follows(*end))
        {
            kept = rest[end..].to_vec();
        } else if let Some(at) = ends(rest, END).filter(|at| *at > 0) {
            kept = rest[..at].to_vec();
        } else {
            kept = rest.to_vec();
            break;
        }
    }
    kept
}

/// "I want to buy ..." is a sale: what follows the courtesy decides whether it goes.
const FRONT_KEEPS: &str =
    "buy order purchase get have comprar llevar pedir ordenar darme venderme ponerme traerme know";

/// Spanish wishes go only before an infinitive: "quiero agregar", not "quiero dos botellas".
fn front_goes(words: &[Word], end: usize) -> bool {
    let wishes = &[
        "?me quiero|quisiera|queremos|necesito|necesitamos|deseo|gustaria|puedes|podrias|puede|podria|podemos|vamos",
    ];
    if starts(words, wishes).is_none() {
        return true;
    }
    let next = &words[end].folded;
    let infinitive = [
        "ar", "er", "ir", "arle", "arme", "erle", "irle", "erme", "arlo", "arla",
    ]
    .iter()
    .any(|ending| next.ends_with(ending));
    infinitive || matches!(words[end - 1].folded.as_str(), "que" | "a")
}

/// "Undo" as a whole message: nothing says what is to be taken back.
pub(super) fn undoes(text: &str) -> bool {
    const UNDO: &[&str] = &[
        "undo|revert|reverse ?it|that|this ?last ?change ?one",
        "take that|it back",
        "deshaz|deshacer|revierte|revertir ?eso|esto|lo ?ultimo",
        "deshazlo|reviertelo",
    ];
    let all = polished(&words(text));
    let rest = trimmed(&all);
    !rest.is_empty() && starts(rest, UNDO) == Some(rest.len())
}

/// Greetings, thanks and calls for help, as whole messages.
pub(super) fn small_talk(words: &[Word]) -> Option<Saying> {
    const HELLO: &[&str] = &[
        "hi|hello|hey|hiya|howdy|greetings|yo ?there ?, ?how ?are ?you ?doing ?today",
        "good morning|afternoon|evening|day ?everyone|all|sir|madam",
        "how are you ?doing ?today",
        "whats up",
        "hola|buenas|saludos ?, ?que ?tal ?como ?estas",
        "buenos|buenas dias|tardes|noches",
        "que tal",
        "como estas|esta|van",
        "bonjour|salut|bonsoir|habari|jambo|hujambo|mambo|muraho|mwaramutse|mwiriwe|amakuru|bite|ola|oi",
        "bom dia",
        "boa tarde|noite",
    ];
    const THANKS: &[&str] = &[
        "?ok ?okay ?great ?perfect thanks|thx|cheers|ty ?a ?so ?very ?lot ?much",
        "?ok ?great thank you ?so ?very ?much",
        "?ok ?muchas ?mil gracias",
        "merci ?beaucoup",
        "asante ?sana",
        "murakoze ?cyane",
        "?muito obrigado|obrigada",
        "bye|goodbye|adios|chao",
        "good night",
        "see you ?later|tomorrow",
        "hasta luego|manana|pronto",
    ];
    const HELP: &[&str] = &[
        "?i ?need ?please help ?me ?please",
        "what can|do you do ?here ?for ?me",
        "what else can you do",
        "what can i say|do|ask ?you ?here",
        "how does this|it work",
        "how do i use|start ?this|it",
        "who|what are you",
        "commands|options|menu|instructions|start",
        "?necesito ?por ?favor ayuda|ayudame ?por ?favor",
        "?y ?que ?mas ?otra ?cosa puedes|sabes|puede hacer ?por ?mi",
        "que puedo hacer|decir|pedir|preguntar ?te",
        "como funciona ?esto|esta",
        "quien|que eres",
        "opciones|comandos|menu|instrucciones|empezar",
    ];
    let rest = trimmed(words);
    let whole = |patterns: &[&str]| starts(rest, patterns).is_some_and(|end| end == rest.len());
    if whole(HELLO) {
        return Some(Saying::Hello);
    }
    if whole(THANKS) {
        return Some(Saying::Thanks);
    }
    whole(HELP).then_some(Saying::Help)
}

/// Verbs that begin a new clause after "and", a comma or a full stop.
const COMMANDS: &[&str] = &[
    "add|create|make|show|list|delete|remove|erase|set|change|update|rename|increase|reduce|decrease|restock|bill|invoice|sell|void|cancel|count|move|register|raise|lower|check|display|tell|give",
    "collect|refund|reschedule|reserve|book",
    "write off",
    "top up",
    "cobra|cobrale|reserva|reembolsa|mueve|cancela|recarga",
    "what|whats|which|who ?is",
    "how much|many",
    "we received|counted|got|bought|lost|sold",
    "muestra|muestrame|agrega|anade|crea|elimina|borra|cambia|pon|aumenta|sube|baja|reduce|renombra|vende|factura|anula|lista|dime|dame|registra|quita|ensename",
    "hazle|haz una",
    "que hay|tenemos",
    "cuanto|cuanta|cuantos|cuantas",
    "cuales",
];

/// The parts of a message that are requests of their own.
fn clauses(words: &[Word]) -> Vec<Vec<Word>> {
    let mut found: Vec<Vec<Word>> = Vec::new();
    let mut start = 0;
    let mut at = 1;
    while at < words.len() {
        let joint = longest_at(
            words,
            at,
            &[
                "?,|.|;|\n and|then|also|y|luego|e ?then|also|luego|tambien ?,",
                ",|.|;|\n",
            ],
        );
        if let Some(next) = joint
            && next < words.len()
        {
            let rest = polished(&words[next..]);
            // A command is followed by something: "tea and set" is a list.
            if starts(&rest, COMMANDS).is_some_and(|end| end < rest.len()) {
                found.push(words[start..at].to_vec());
                start = next;
                at = next;
            }
        }
        at += 1;
    }
    found.push(words[start..].to_vec());
    found.retain(|clause| !trimmed(clause).is_empty());
    found
}

/// Verbs that are mended when misspelt at the head of a clause.
const VERBS: &str = "add show list sell bill void create delete remove update increase decrease reduce rename invoice cancel change \
    restock received counted register display agrega agregar anade muestra muestrame elimina eliminar aumenta aumentar \
    factura anula vende borra cambia renombra registra contamos llegaron recibimos quiero incrementa disminuye \
    book reserve reschedule collect refund reserva reservar cancela cancelar reprograma reembolsa recarga cobra mueve";

/// The words with a misspelt verb at the head set right, where exactly one verb is meant.
fn mended(words: &[Word]) -> Vec<Word> {
    let mut kept = words.to_vec();
    let at = usize::from(match_at(words, 0, "we|i").is_some());
    let Some(head) = kept.get_mut(at).filter(|w| w.kind == Kind::Letters) else {
        return kept;
    };
    if is_known(&head.folded) {
        return kept;
    }
    let mut near: Vec<(usize, &str)> = VERBS
        .split(' ')
        .filter(|verb| is_slip_of(&head.folded, verb))
        .map(|verb| (strsim::osa_distance(&head.folded, verb), verb))
        .collect();
    near.sort_unstable();
    near.dedup();
    // "Cancell" is nearer to "cancel" than to "cancela".
    if let Some((_, whole)) = near.iter().find(|(distance, verb)| {
        near.first().is_some_and(|(nearest, _)| nearest == distance)
            && head.folded.starts_with(verb)
    }) {
        head.folded = (*whole).to_owned();
        return kept;
    }
    match near.as_slice() {
        [(_, only)] => head.folded = (*only).to_owned(),
        [(nearest, verb), (next, _), ..] if nearest < next => head.folded = (*verb).to_owned(),
        _ => {}
    }
    kept
}

fn is_known(folded: &str) -> bool {
    const OTHERS: &str = "charge sale sales salt still bell pills ball full fill lists shows bills sold agregue agregale vendes vendi \
    cambiar facturas void avoid created added removed deleted muestras books booked bookings look cook hook reserved reserves reservas \
    reservo collects collection refunds refunded cancels move cobras cobro mover lista listas";
    among(VERBS, folded) || among(OTHERS, folded)
}

/// One slip of the finger: letters swapped, one too many or one missing; in longer words also a wrong one, in the longest two slips.
fn is_slip_of(typed: &str, verb: &str) -> bool {
    let (long, short) = (
        typed.chars().count().max(verb.chars().count()),
        verb.chars().count(),
    );
    if short < 4 || typed.chars().next() != verb.chars().next() {
        return false;
    }
    let distance = strsim::osa_distance(typed, verb);
    match short {
        4 => distance == 1 && (typed.chars().count() != 4 || same_letters(typed, verb)),
        5..=7 => distance == 1,
        _ => distance <= 2 && long >= 7,
    }
}

fn same_letters(one: &str, other: &str) -> bool {
    let sorted = |text: &str| {
        let mut letters: Vec<char> = text.chars().collect();
        letters.sort_unstable();
        letters
    };
    sorted(one) == sorted(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::interpreter::words::text_of;

    #[test]
    fn courtesy_is_taken_off() {
        for (text, kept) in [
            (
                "Hi, could you please add 5 eggs to stock, thanks!",
                "add 5 eggs to stock",
            ),
            ("I'd like to see low stock please", "see low stock"),
            (
                "Hola, ¿me puedes mostrar el inventario por favor?",
                "mostrar el inventario",
            ),
            ("Quiero agregar 5 kg de arroz", "agregar 5 kg de arroz"),
            (
                "Quiero dos botellas de leche",
                "Quiero dos botellas de leche",
            ),
            ("I want to buy 2 eggs", "I want to buy 2 eggs"),
        ] {
            assert_eq!(text_of(&polished(&words(text))), kept, "{text}");
        }
    }

    #[test]
    fn verbs_are_mended_only_when_one_is_meant() {
        let head = |text: &str| mended(&words(text))[0].folded.clone();
        assert_eq!(head("dlete soap"), "delete");
        assert_eq!(head("shwo items"), "show");
        assert_eq!(head("increse flour"), "increase");
        assert_eq!(head("agrga arroz"), "agrega");
        assert_eq!(head("salt 5 kg"), "salt");
        assert_eq!(head("bell 5 kg"), "bell");
        assert_eq!(head("rice 5 kg"), "rice");
    }
}
