//! Lists of items: "2kg sugar and 1 shampoo", "2 kg de azúcar y un champú", "sugar 2kg, milk x3".

use super::money::{Price, announced, price_in};
use super::names::{has_loose_number, name_of};
use super::quantities::{Quantity, quantity_at};
use super::words::{Kind, Word, longest_at, match_at};
use crate::language::Language;

/// One thing of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// How much; absent when it was not said.
    pub(super) quantity: Option<Quantity>,
    /// The item's name as typed.
    pub(super) item: String,
    /// Another price than the item's.
    pub(super) price: Option<Price>,
}

/// A bill has no more lines.
pub(super) const LINES_MAX: usize = 100;

/// What parts the things of a list besides commas.
const AND: &[&str] = &[
    "?, and|plus|y|e|also|then|mas|& ?also|then|tambien|of|with",
    "as well as",
    "along with",
    "with",
    "con",
    "junto con",
];

/// The things of a list; `None` when some of the words fit no thing.
pub(super) fn lines_of(words: &[Word], language: Language) -> Option<Vec<Line>> {
    let mut lines = Vec::new();
    let mut at = skip_joints(words, 0);
    while at < words.len() {
        let (line, end) = line_at(words, at, language)?;
        lines.push(line);
        if lines.len() > LINES_MAX {
            return None;
        }
        at = skip_joints(words, end);
    }
    (!lines.is_empty()).then_some(lines)
}

fn skip_joints(words: &[Word], start: usize) -> usize {
    let mut at = start;
    while let Some(word) = words.get(at) {
        if word.parts() || word.is_mark(":") || word.is_mark("-") {
            at += 1;
        } else if let Some(end) = longest_at(words, at, AND) {
            at = end;
        } else {
            break;
        }
    }
    at
}

fn line_at(words: &[Word], at: usize, language: Language) -> Option<(Line, usize)> {
    let leading = quantity_at(words, at, language);
    let start = leading.as_ref().map_or(at, |q| q.end);
    let mut end = start;
    let mut trailing = None;
    let mut price = None;
    while let Some(word) = words.get(end) {
        if word.parts() || longest_at(words, end, AND).is_some() {
            break;
        }
        if end > start {
            price = price_at(words, end, language);
            if price.is_some() {
                break;
            }
            if leading.is_none() {
                trailing = trailing_quantity(words, end, language);
                if trailing.is_some() {
                    break;
                }
            } else if next_line_at(words, end, language) {
                break;
            }
        }
        end += 1;
    }
    if has_loose_number(&words[start..end]) {
        return None;
    }
    let item = name_of(&words[start..end])?;
    let mut after = end;
    if let Some(quantity) = &trailing {
        after = quantity.end;
        price = price_at(words, after, language);
    }
    if let Some(price) = &price {
        after = price.end;
    }
    Some((
        Line {
            quantity: leading.or(trailing),
            item,
            price,
        },
        after,
    ))
}

/// "2 sugar 1 shampoo": a number that is no size of the thing before it, and has something after it, begins the next line.
fn next_line_at(words: &[Word], at: usize, language: Language) -> bool {
    let loose =
        words[at].kind == Kind::Digits && has_loose_number(&words[at..(at + 2).min(words.len())]);
    loose
        && quantity_at(words, at, language)
            .and_then(|q| words.get(q.end))
            .is_some_and(|w| w.kind == Kind::Letters)
}

/// A price within a line: announced with "at", or marked with a currency.
fn price_at(words: &[Word], at: usize, language: Language) -> Option<Price> {
    // "3 eggs for 300" is what all of them cost.
    let total = match_at(words, at, "for|por").is_some();
    announced(words, at, language)
        .filter(|_| !total)
        .or_else(|| {
            let rest = words.get(at..)?;
            let price = price_in(rest, language).filter(|p| p.start == 0 && p.amount.marked)?;
            Some(Price {
                start: at,
                end: at + price.end,
                ..price
            })
        })
}

/// "Sugar 2kg", "milk x3", "milk: 3".
fn trailing_quantity(words: &[Word], at: usize, language: Language) -> Option<Quantity> {
    let start = match_at(words, at, "x|×|:").unwrap_or(at);
    let number = words.get(start).filter(|w| w.kind == Kind::Digits);
    if number.is_none() && start == at {
        return None;
    }
    quantity_at(words, start, language)
}

#[cfg(test)]
mod tests {
    use super::super::words::words;
    use super::*;
    use Language::{En, Es};

    fn read(text: &str, language: Language) -> Option<String> {
        let shown = |l: Line| {
            let quantity = l.quantity.map_or_else(
                || "?".to_owned(),
                |q| format!("{} {}", q.number, q.unit_code().unwrap_or("-")),
            );
            let price = l
                .price
                .map_or_else(String::new, |p| format!(" @{}", p.amount.number));
            format!("{quantity} {}{price}", l.item)
        };
        let lines = lines_of(&words(text), language)?;
        Some(lines.into_iter().map(shown).collect::<Vec<_>>().join("; "))
    }

    #[test]
    fn lists_in_both_languages() {
        for (text, language, wanted) in [
            ("2kg sugar and 1 shampoo", En, "2 kg sugar; 1 - shampoo"),
            (
                "2 kg sugar, 1 shampoo, 3 eggs",
                En,
                "2 kg sugar; 1 - shampoo; 3 - eggs",
            ),
            ("2kg sugar, and a shampoo", En, "2 kg sugar; 1 - shampoo"),
            (
                "2kg sugar at 150 and 3 eggs",
                En,
                "2 kg sugar @150; 3 - eggs",
            ),
            (
                "2kg sugar at 150 per kg, 3 eggs",
                En,
                "2 kg sugar @150; 3 - eggs",
            ),
            ("sugar 2kg, milk x3", En, "2 kg sugar; 3 - milk"),
            ("2 x soap + 1 x tea", En, "2 - soap; 1 - tea"),
            ("sugar and 2 eggs", En, "? - sugar; 2 - eggs"),
            (
                "two bottles of milk plus half a kilo of rice",
                En,
                "2 bottle milk; 0.5 kg rice",
            ),
            ("2kg de azúcar y un champú", Es, "2 kg azúcar; 1 - champú"),
            ("dos botellas de leche", Es, "2 bottle leche"),
            (
                "un kilo y medio de arroz, 3 huevos y media docena de panes",
                Es,
                "1.5 kg arroz; 3 - huevos; 6 each panes",
            ),
            (
                "2 kg de azúcar a 150 y 1 champú",
                Es,
                "2 kg azúcar @150; 1 - champú",
            ),
            ("2 sugar 1 shampoo", En, "2 - sugar; 1 - shampoo"),
            (
                "2kg sugar 3 bottles of milk and 1 tea",
                En,
                "2 kg sugar; 3 bottle milk; 1 - tea",
            ),
            (
                "2 azúcar 1 champú y 3 docenas de huevos",
                Es,
                "2 - azúcar; 1 - champú; 3 dozen huevos",
            ),
            (
                "2 Coca Cola 500ml 1 tea",
                En,
                "2 - Coca Cola 500ml; 1 - tea",
            ),
            ("2 leche en polvo", Es, "2 - leche en polvo"),
            ("1 Coca Cola 500ml", En, "1 - Coca Cola 500ml"),
        ] {
            assert_eq!(
                read(text, language)
                    .as_deref()
                    .map(|s| s.replace("? - ", "? ")),
                Some(wanted.replace("? - ", "? ")),
                "{text}"
            );
        }
        for text in ["", "2 kg", ", ,", "2 kg and 3", "2 sugar 160"] {
            assert_eq!(read(text, En), None, "{text}");
        }
    }
}
