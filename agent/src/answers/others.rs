//! Reads what somebody says about questions that were asked in conversations of others: "what is waiting?", "approve the refund of bill
//! 12", "reject the second". By rules and never by a model, as every answer is.
//!
//! Nothing is answered that has not been shown in the very same conversation: see [`crate::turns`]. So naming a question only has to find
//! it among those that are open; which exact words were agreed to is settled by what was shown.

use contracts::confirmation::Question;
use serde_json::Value;

use super::{Reading, read as read_answer};
use crate::language::{Language, fold};

/// Longer texts are requests.
const CHARACTERS_MAX: usize = 160;
/// The same in words.
const WORDS_MAX: usize = 16;

/// What a text says about others' questions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AboutOthers {
    /// "What is waiting?"
    List,
    /// "Approve …", "reject …".
    Decide {
        /// Yes.
        yes: bool,
        /// What of the questions it names, folded; nothing for the only one there is.
        named: Vec<String>,
    },
    /// A plain yes or no, which means one only right after that one was shown.
    Bare {
        /// Yes.
        yes: bool,
    },
}

/// "What is waiting?" in whole sentences, folded.
const LISTS: [&str; 40] = [
    "what is waiting",
    "whats waiting",
    "what is waiting for me",
    "whats waiting for me",
    "what is waiting for approval",
    "whats waiting for approval",
    "what is waiting for my approval",
    "whats waiting for my approval",
    "what needs approval",
    "what needs my approval",
    "what needs to be approved",
    "what do i have to approve",
    "what should i approve",
    "what can i approve",
    "anything to approve",
    "is there anything to approve",
    "anything waiting for me",
    "is anything waiting for me",
    "open approvals",
    "pending approvals",
    "list approvals",
    "list the approvals",
    "show approvals",
    "show the approvals",
    "show me the approvals",
    "which approvals are open",
    "que esta esperando",
    "que me espera",
    "que espera mi aprobacion",
    "que espera aprobacion",
    "que hay por aprobar",
    "que hay que aprobar",
    "que tengo que aprobar",
    "que puedo aprobar",
    "que esta pendiente de aprobar",
    "que esta pendiente de aprobacion",
    "hay algo por aprobar",
    "aprobaciones pendientes",
    "muestra las aprobaciones",
    "lista las aprobaciones",
];
const YES: &str = "approve approved authorize authorise countersign aprueba apruebo aprobar aprobado autoriza autorizo autorizar";
const NO: &str =
    "reject rejected deny disapprove refuse rechaza rechazo rechazar deniega denegar desaprueba";
/// Words around a sentence that say nothing.
const POLITE: &str =
    "please pls thanks ok okay yes si now por favor porfa gracias entonces then i yo";
/// Words within it that say nothing of which one.
const NOTHING: &str = "the this that it one of for from by to in on a an and with number no question request approval el la los las lo un una \
    de del para por con en y numero pregunta solicitud peticion aprobacion esta este eso esa ese which who asked please favor";
/// What a question can be about, by parts of its tool's name.
const KINDS: [(&str, &str); 10] = [
    (
        "refund",
        "refund refunds reembolso reembolsar devolucion devolver",
    ),
    ("void", "void voiding cancellation anular anulacion anula"),
    (
        "write_off",
        "write off writeoff incobrable castigo castigar",
    ),
    ("credit", "credit note credito nota"),
    (
        "delete",
        "delete deletion deleting removal remove borrar borrado eliminar eliminacion",
    ),
    ("booking", "booking appointment reservation reserva cita"),
    ("top_up", "top up topup recarga recargar"),
    ("collect", "collection collect cobro cobrar"),
    ("bill", "bill invoice factura cuenta"),
    ("payment", "payment pago"),
];

/// Reads a text; `None` when it is about something else.
#[must_use]
pub fn read(text: &str, language: Language) -> Option<AboutOthers> {
    if text.chars().count() > CHARACTERS_MAX {
        return None;
    }
    let words = words(text);
    if words.is_empty() || words.len() > WORDS_MAX {
        return None;
    }
    let core = trimmed(&words);
    if LISTS.contains(&core.join(" ").as_str()) {
        return Some(AboutOthers::List);
    }
    let decides = |yes: bool| {
        let rest = core.get(1..).unwrap_or_default().iter();
        let named = rest.filter(|w| !among(NOTHING, w)).cloned().collect();
        Some(AboutOthers::Decide { yes, named })
    };
    match core.first() {
        // "Approve it? No" and "approve or reject" are no answers.
        Some(verb) if among(YES, verb) && !core.iter().any(|w| among(NO, w) || is_doubt(w)) => {
            decides(true)
        }
        Some(verb)
            if among(NO, verb) && !core.iter().skip(1).any(|w| among(YES, w) || is_doubt(w)) =>
        {
            decides(false)
        }
        _ => match read_answer(text, language) {
            Reading::Yes => Some(AboutOthers::Bare { yes: true }),
            Reading::No => Some(AboutOthers::Bare { yes: false }),
            _ => None,
        },
    }
}

/// Words that turn an answer round, or make it none: "approve nothing", "approve, but not now".
fn is_doubt(word: &str) -> bool {
    among(
        "nothing none not dont never but or if unless later nada ninguno ninguna nunca pero o si solo only except excepto salvo",
        word,
    )
}

/// Which of those that were shown a text picks by its place, from 0: "the second", "2". `None` when it names something else.
#[must_use]
pub fn place(named: &[String], shown: usize) -> Option<usize> {
    let [word] = named else {
        return None;
    };
    let ordinals = [
        "first primera primero",
        "second segunda segundo",
        "third tercera tercero tercer",
        "fourth cuarta cuarto",
        "fifth quinta quinto",
    ];
    let place = match word.parse::<usize>() {
        Ok(number) => number.checked_sub(1),
        Err(_) if among("last ultima ultimo", word) => shown.checked_sub(1),
        Err(_) => ordinals.iter().position(|words| among(words, word)),
    };
    place.filter(|place| *place < shown)
}

/// Whether a text means all of several.
#[must_use]
pub fn means_all(named: &[String]) -> bool {
    named.iter().any(|w| {
        among(
            "all both everything every each todo todos todas ambos ambas cada",
            w,
        )
    })
}

/// Whether a question is what was named: of every word, it says what kind of question it is, or stands in it, or in what was asked for.
#[must_use]
pub fn fits(named: &[String], question: &Question, arguments: &Value) -> bool {
    let mut said = words(&question.message);
    for line in &question.lines {
        said.extend(words(&line.text));
    }
    said.extend(words(&question.requested_by));
    texts(&question.binding, &mut said);
    texts(arguments, &mut said);
    // The question may be in another language than the answer: "factura" is the bill of an English sentence.
    let of_kind = |word: &str| {
        let mut kinds = KINDS.iter().filter(|(_, names)| among(names, word));
        kinds.any(|(part, names)| {
            question.tool.contains(part) || said.iter().any(|s| among(names, s))
        })
    };
    named.iter().all(|w| said.contains(w) || of_kind(w))
}

/// The words of every text and number in a value.
fn texts(value: &Value, said: &mut Vec<String>) {
    match value {
        Value::String(text) => said.extend(words(text)),
        Value::Number(number) => said.extend(words(&number.to_string())),
        Value::Array(values) => values.iter().for_each(|v| texts(v, said)),
        Value::Object(members) => members.values().for_each(|v| texts(v, said)),
        Value::Null | Value::Bool(_) => {}
    }
}

fn words(text: &str) -> Vec<String> {
    fold(text)
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Without the polite words around it.
fn trimmed(words: &[String]) -> &[String] {
    let says = |word: &String| !among(POLITE, word);
    let from = words.iter().position(says).unwrap_or(0);
    let to = words.iter().rposition(says).map_or(words.len(), |i| i + 1);
    words.get(from..to).unwrap_or_default()
}

fn among(list: &str, word: &str) -> bool {
    list.split_whitespace().any(|entry| entry == word)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use contracts::confirmation::Approver;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn named(text: &str) -> Option<(bool, String)> {
        match read(text, Language::En) {
            Some(AboutOthers::Decide { yes, named }) => Some((yes, named.join(" "))),
            _ => None,
        }
    }

    #[test]
    fn asking_what_waits_is_heard_in_both_languages_and_nothing_else_is() {
        for text in [
            "What is waiting?",
            "what's waiting for my approval please",
            "¿Qué tengo que aprobar?",
            "Aprobaciones pendientes, por favor",
            "anything to approve?",
        ] {
            assert_eq!(read(text, Language::En), Some(AboutOthers::List), "{text}");
        }
        for text in [
            "who is waiting",
            "what is waiting in the store room",
            "pending bills",
            "add 20kg sugar at 160",
            "",
        ] {
            assert_eq!(read(text, Language::En), None, "{text}");
        }
    }

    #[test]
    fn an_answer_names_what_it_is_about_or_nothing() {
        let is = |text: &str, yes: bool, what: &str| {
            assert_eq!(named(text), Some((yes, what.to_owned())), "{text}");
        };
        is("Approve", true, "");
        is("approve it please", true, "");
        is(
            "Please approve the refund of bill 12",
            true,
            "refund bill 12",
        );
        is("Yes, approve the refund", true, "refund");
        is("reject the second one", false, "second");
        is(
            "Rechaza el reembolso de la factura INV-12",
            false,
            "reembolso factura inv 12",
        );
        is("aprueba la devolución de Ana", true, "devolucion ana");
        for none in [
            "approve or reject?",
            "approve nothing",
            "approve the refund but only half",
            "reject it if Ali agrees, approve otherwise",
            "don't approve it",
            "did you approve the refund",
            "the owner must approve",
        ] {
            assert_eq!(named(none), None, "{none}");
        }
        assert_eq!(
            read("yes", Language::En),
            Some(AboutOthers::Bare { yes: true })
        );
        assert_eq!(
            read("no, gracias", Language::Es),
            Some(AboutOthers::Bare { yes: false })
        );
        assert_eq!(read("maybe", Language::En), None);
    }

    #[test]
    fn places_are_of_what_was_shown() {
        let place = |text: &str, shown| {
            let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
            super::place(&words, shown)
        };
        assert_eq!(place("2", 3), Some(1));
        assert_eq!(place("segunda", 3), Some(1));
        assert_eq!(place("last", 3), Some(2));
        for none in ["4", "0", "12", "refund 2", "last x"] {
            assert_eq!(place(none, 3), None, "{none}");
        }
        assert_eq!(place("first", 0), None);
        assert!(means_all(&["both".to_owned()]) && !means_all(&["bill".to_owned()]));
    }

    #[test]
    fn a_question_is_found_by_its_kind_and_by_words_and_whole_numbers_in_it() {
        let question = Question {
            id: Uuid::nil(),
            tool: "refund_payment".to_owned(),
            message: "Refund RWF 200 to Ali in cash. Bill INV-12 (RWF 200) is credited.".to_owned(),
            lines: Vec::new(),
            total: None,
            binding: json!({"payment": "PAY-5"}),
            informative: Value::Null,
            approver: Approver::Owner,
            requested_by: "ana".to_owned(),
            expires_at: DateTime::UNIX_EPOCH,
        };
        let fits = |text: &str| {
            let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
            super::fits(&words, &question, &json!({"reason": "spoiled milk"}))
        };
        for yes in [
            "refund bill 12",
            "reembolso factura inv 12",
            "refund ali",
            "ana",
            "pay 5",
            "200",
            "milk",
        ] {
            assert!(fits(yes), "{yes}");
        }
        for no in [
            "refund bill 1",
            "refund bill 2",
            "booking",
            "void 12",
            "refund eric",
            "20",
        ] {
            assert!(!fits(no), "{no}");
        }
    }
}
