//! Names of items and customers, cut out of sentences.

use super::quantities::unit_named;
use super::words::{Kind, Word, among, text_of, trimmed};

/// More words than this are a sentence that was not understood, and no name.
const NAME_WORDS_MAX: usize = 8;

/// In front of a name and no part of it.
const LEADING: &str = "the a an some any our my your of item items product products called named el la los las un una unos unas algo de \
    del al producto productos articulo llamado llamada mi mis nuestro nuestra more mas each this that these";

/// After a name and no part of it.
const TRAILING: &str = "item items product too also please now today again ahora hoy tambien left instead thanks gracias of de del for para";

/// Words that stand for something said before: no names.
const PRONOUNS: &str = "it them this that these those one ones something anything everything stuff things thing lo la los las le les eso \
    esto esos algo todo todos todas all stock stocks inventory inventario existencias item items product products \
    producto productos new nuevo nueva him her me us you he she they el ella ellos someone somebody alguien customer \
    cliente the a an un una some any price precio";

/// A sentence that holds one of these is more than a name: it was not understood.
const NEVER_IN_NAMES: &str = "quantity qty cantidad category categoria per if when because why how what whats which who not dont doesnt didnt \
    cant wont isnt unless until while should would could is are was were does do did si cuando porque como que cual \
    quien no nunca aunque mientras i we you they he she it them am im want need wants needs quiero quiere necesito \
    please it's me pm tomorrow tonight add delete remove create show elimina agrega";

/// The name some words are, as typed, without articles around it. `None` when nothing is left, or what is left is no name.
pub(super) fn name_of(words: &[Word]) -> Option<String> {
    let mut rest = trimmed(words);
    while let [first, tail @ ..] = rest
        && !tail.is_empty()
        && (among(LEADING, &first.folded) || first.kind == Kind::Mark)
    {
        rest = trimmed(tail);
    }
    while let [head @ .., last] = rest
        && !head.is_empty()
        && among(TRAILING, &last.folded)
    {
        rest = trimmed(head);
    }
    let sayable = rest
        .iter()
        .all(|w| !among(NEVER_IN_NAMES, &w.folded) && !w.parts() && !w.is_mark(":"));
    let pronoun = rest.iter().all(|w| among(PRONOUNS, &w.folded));
    let lettered = rest.iter().any(|w| w.kind == Kind::Letters);
    (sayable && lettered && !pronoun && rest.len() <= NAME_WORDS_MAX).then(|| text_of(rest))
}

/// Whether a number stands among the words that is no size of a thing, as "500ml" is.
pub(super) fn has_loose_number(words: &[Word]) -> bool {
    words.iter().enumerate().any(|(at, word)| {
        let sized = words
            .get(at + 1)
            .is_some_and(|w| !w.spaced && unit_named(&w.folded).is_some());
        word.kind == Kind::Digits && !sized
    })
}

/// Small words inside a title.
const SMALL: &str = "of and with in the for de del la el los las y con en para al a sin";

/// The name of a new item or customer: as typed where it holds a capital, else with capitals. A name shouted with everything else is
/// lowered first.
pub(super) fn title(name: &str, shouted: bool) -> String {
    let name = if shouted {
        name.to_lowercase()
    } else {
        name.to_owned()
    };
    if name.chars().any(char::is_uppercase) {
        return name;
    }
    let mut out = String::with_capacity(name.len());
    for (i, word) in name.split(' ').enumerate() {
        if i > 0 {
            out.push(' ');
        }
        let mut letters = word.chars();
        match letters.next() {
            Some(first) if i == 0 || !among(SMALL, word) => {
                out.extend(first.to_uppercase());
                out.push_str(letters.as_str());
            }
            _ => out.push_str(word),
        }
    }
    out
}

/// Whether a whole sentence is in capitals, so that capitals say nothing.
pub(super) fn is_shouted(words: &[Word]) -> bool {
    let letters: String = words
        .iter()
        .filter(|w| w.kind == Kind::Letters)
        .map(|w| w.text.as_str())
        .collect();
    letters.chars().count() > 8
        && letters.chars().any(char::is_uppercase)
        && !letters.chars().any(char::is_lowercase)
}

/// The customer some words name: "customer Ali", "Ali's" and "ali" are all "Ali".
pub(super) fn customer_of(words: &[Word], shouted: bool) -> Option<String> {
    let mut rest = trimmed(words);
    while let [first, tail @ ..] = rest
        && matches!(
            first.folded.as_str(),
            "customer"
                | "client"
                | "cliente"
                | "clienta"
                | "the"
                | "our"
                | "el"
                | "la"
                | "to"
                | "for"
                | "para"
                | "a"
                | "al"
                | "my"
                | "mi"
        )
    {
        rest = trimmed(tail);
    }
    let name = name_of(rest)?;
    let name = without_possessive(&name);
    Some(title(name, shouted))
}

/// Whether the last word is somebody's: "Ali's".
pub(super) fn has_possessive(words: &[Word]) -> bool {
    words
        .last()
        .is_some_and(|w| without_possessive(&w.text) != w.text)
}

/// "Ali's" is Ali.
pub(super) fn without_possessive(name: &str) -> &str {
    ["'s", "’s", "'S", "’S"]
        .iter()
        .find_map(|s| name.strip_suffix(s))
        .unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::super::words::words;
    use super::*;

    #[test]
    fn names_lose_what_is_around_them() {
        let name = |text: &str| name_of(&words(text));
        assert_eq!(name("the sugar").as_deref(), Some("sugar"));
        assert_eq!(name("del azúcar moreno,").as_deref(), Some("azúcar moreno"));
        assert_eq!(name("item called Bar soap").as_deref(), Some("Bar soap"));
        assert_eq!(name("T-shirt (red)").as_deref(), Some("T-shirt red"));
        for text in [
            "",
            "it",
            "the",
            "sugar if it is cheap",
            "12",
            ",",
            "some stock",
            "a b c d e f g h i j",
        ] {
            assert_eq!(name(text), None, "{text}");
        }
    }

    #[test]
    fn new_names_get_capitals_once() {
        assert_eq!(title("sugar", false), "Sugar");
        assert_eq!(title("bar soap", false), "Bar Soap");
        assert_eq!(title("aceite de oliva", false), "Aceite de Oliva");
        assert_eq!(title("Bar soap", false), "Bar soap");
        assert_eq!(title("BROWN SUGAR", true), "Brown Sugar");
        assert_eq!(title("ñame", false), "Ñame");
        assert_eq!(
            customer_of(&words("customer ali's"), false).as_deref(),
            Some("Ali")
        );
        assert_eq!(customer_of(&words("him"), false), None);
    }
}
