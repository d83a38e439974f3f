//! Prices and amounts: "at 160 per kg", "RWF 5,000", "a 160 el kilo", "160 each".

use contracts::money::Currency;

use super::numbers::number_at;
use super::quantities::{UnitSaid, unit_named};
use super::words::{Kind, Word, longest_at};
use crate::language::Language;

/// An amount of money as it was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Amount {
    /// A plain decimal of major units.
    pub(super) number: String,
    /// The ISO code, where the words leave no doubt which currency is meant: "francs" and "shillings" do.
    pub(super) currency: Option<String>,
    /// Whether a currency or its sign was said at all.
    pub(super) marked: bool,
    /// The other way to read the number; see [`super::numbers::Number::or_else`].
    pub(super) or_else: Option<String>,
    /// The first word after it.
    pub(super) end: usize,
}

/// A price as it was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Price {
    /// What one of the unit costs.
    pub(super) amount: Amount,
    /// The unit, when one was named.
    pub(super) unit: Option<UnitSaid>,
    /// "Each", without a unit: per piece, or per whatever the thing is counted in.
    pub(super) each: bool,
    /// The first word of it, its "at" included.
    pub(super) start: usize,
    /// The first word after it.
    pub(super) end: usize,
}

/// Codes people write in lower case too, and shop-floor spellings of them.
const CODES: &[(&str, &str)] = &[
    ("rwf", "RWF"),
    ("frw", "RWF"),
    ("kes", "KES"),
    ("ksh", "KES"),
    ("ugx", "UGX"),
    ("ush", "UGX"),
    ("tzs", "TZS"),
    ("tsh", "TZS"),
    ("usd", "USD"),
    ("eur", "EUR"),
    ("gbp", "GBP"),
    ("ngn", "NGN"),
    ("ghs", "GHS"),
    ("zar", "ZAR"),
    ("inr", "INR"),
    ("mxn", "MXN"),
    ("cop", "COP"),
    ("ars", "ARS"),
    ("clp", "CLP"),
    ("brl", "BRL"),
    ("xof", "XOF"),
    ("xaf", "XAF"),
    ("bif", "BIF"),
    ("cdf", "CDF"),
    ("etb", "ETB"),
    ("dollar", "USD"),
    ("dollars", "USD"),
    ("dolar", "USD"),
    ("dolares", "USD"),
    ("euro", "EUR"),
    ("euros", "EUR"),
];

/// Words of money that name no single currency.
const VAGUE: &[&str] = &[
    "franc",
    "francs",
    "franco",
    "francos",
    "shilling",
    "shillings",
    "chelin",
    "chelines",
    "peso",
    "pesos",
    "rupee",
    "rupees",
    "bucks",
];

/// Currency codes that are words of their own.
const WORDS_TOO: &[&str] = &[
    "ALL", "TOP", "TRY", "CUP", "PEN", "BOB", "MOP", "GEL", "MAD", "RON", "SOS", "LAK",
];

/// Whether the letters are a currency code, as in "RWF5,000".
pub(super) fn is_currency(letters: &str) -> bool {
    code_of(letters).is_some()
}

fn code_of(letters: &str) -> Option<String> {
    let lower = letters.to_lowercase();
    if let Some((_, code)) = CODES.iter().find(|(word, _)| *word == lower) {
        return Some((*code).to_owned());
    }
    let shouted = letters.len() == 3 && letters.chars().all(|c| c.is_ascii_uppercase());
    let known = || letters.parse::<Currency>().is_ok();
    (shouted && !WORDS_TOO.contains(&letters) && known()).then(|| letters.to_owned())
}

/// The currency a word or sign says: whether one was said, and its code where that is certain.
fn currency_at(words: &[Word], at: usize, language: Language) -> Option<Option<String>> {
    let word = words.get(at)?;
    match word.text.as_str() {
        // The sign of a dozen pesos too: only English says dollars with it.
        "$" => return Some((language != Language::Es).then(|| "USD".to_owned())),
        "€" => return Some(Some("EUR".to_owned())),
        "£" => return Some(Some("GBP".to_owned())),
        _ => {}
    }
    if word.kind != Kind::Letters {
        return None;
    }
    if VAGUE.contains(&word.folded.as_str()) {
        return Some(None);
    }
    code_of(&word.text)
        .or_else(|| code_of(&word.folded))
        .map(Some)
}

/// The amount that begins at `at`: "160", "RWF 5,000", "160 francs", "$5".
pub(super) fn amount_at(words: &[Word], at: usize, language: Language) -> Option<Amount> {
    let before = currency_at(words, at, language);
    let start = at + usize::from(before.is_some());
    let number = number_at(words, start, language)?;
    let after = if before.is_none() {
        currency_at(words, number.end, language)
    } else {
        None
    };
    // "160 de francos" is not said, "5 mil pesos" is read by the number.
    let end = number.end + usize::from(after.is_some());
    let marked = before.is_some() || after.is_some();
    Some(Amount {
        number: number.text,
        currency: before.or(after).flatten(),
        marked,
        or_else: number.or_else,
        end,
    })
}

/// What a price is per: "per kg", "/kg", "each", "each kg", "el kilo", "cada uno". The unit, if any, and where it ends.
pub(super) fn per_at(words: &[Word], at: usize) -> Option<(Option<UnitSaid>, usize)> {
    let with_unit = &[
        "per|each|every|por|cada|/|el|la|al|a|an|the",
        "for each",
        "for every",
        "por cada",
        "for a|one",
    ];
    if let Some(end) = longest_at(words, at, with_unit)
        && let Some(unit) = words
            .get(end)
            .filter(|w| w.kind == Kind::Letters)
            .and_then(|w| unit_named(&w.folded))
    {
        return Some((Some(unit), end + 1));
    }
    let each = &[
        "each ?one",
        "apiece",
        "per piece|unit|item",
        "a piece",
        "cada uno|una",
        "c / u",
        "cu",
        "la pieza|unidad",
        "por unidad|pieza",
        "/ unit|piece",
    ];
    longest_at(words, at, each).map(|end| (None, end))
}

/// How a price is announced.
const MARKERS: &[&str] = &[
    "at ?a ?price ?of ?:",
    "@",
    "priced ?at",
    "?at|with ?a|the price ?of|is|: ?:",
    "costs ?:",
    "costing",
    "cost ?is|: ?:",
    "selling ?at|for",
    "each at",
    "worth",
    "which|that costs",
    "?a|con|y precio ?de|: ?:",
    "a",
    "cuesta|cuestan",
    "que cuesta|cuestan",
    "vale|valen",
    "?a razon de",
    "each ?is",
];
/// These announce a price only where nothing else can be meant.
const WEAK_MARKERS: &[&str] = &["for", "por", "en"];

/// The first price among the words.
pub(super) fn price_in(words: &[Word], language: Language) -> Option<Price> {
    (0..words.len())
        .find_map(|at| announced(words, at, language))
        .or_else(|| (0..words.len()).find_map(|at| bare(words, at, language)))
}

/// The price that begins at `at` with an "at", or with a currency.
pub(super) fn announced(words: &[Word], at: usize, language: Language) -> Option<Price> {
    let strong = longest_at(words, at, MARKERS).map(|end| (end, true));
    let weak = || longest_at(words, at, WEAK_MARKERS).map(|end| (end, false));
    let (start, strong) = strong.or_else(weak)?;
    let amount = amount_at(words, start, language)?;
    let (unit, end) = per_or_end(words, &amount);
    let each = unit.is_none() && end > amount.end;
    let closed = end > amount.end
        || words
            .get(end)
            .is_none_or(|w| w.kind != Kind::Letters || follows_price(&w.folded));
    let is_price = amount.marked || closed || (strong && words[at].folded != "a");
    let is_quantity = end == amount.end
        && words
            .get(end)
            .filter(|w| w.kind == Kind::Letters)
            .is_some_and(|w| {
                unit_named(&w.folded).is_some() || matches!(w.folded.as_str(), "de" | "of")
            });
    (is_price && !is_quantity).then_some(Price {
        amount,
        unit,
        each,
        start: at,
        end,
    })
}

fn follows_price(folded: &str) -> bool {
    matches!(
        folded,
        "and"
            | "y"
            | "to"
            | "in"
            | "into"
            | "under"
            | "en"
            | "with"
            | "con"
            | "for"
            | "para"
            | "category"
            | "categoria"
            | "please"
            | "now"
            | "today"
            | "by"
            | "low"
            | "sku"
            | "from"
            | "paid"
            | "cash"
            | "discount"
            | "less"
            | "a"
            | "instead"
            | "alert"
    )
}

/// A price without an "at": "160 RWF", "900 each kg".
fn bare(words: &[Word], at: usize, language: Language) -> Option<Price> {
    let amount = amount_at(words, at, language)?;
    let (unit, end) = per_or_end(words, &amount);
    let each = unit.is_none() && end > amount.end;
    let per = end > amount.end && !matches!(words[amount.end].folded.as_str(), "a" | "an" | "the");
    (amount.marked || per).then_some(Price {
        amount,
        unit,
        each,
        start: at,
        end,
    })
}

fn per_or_end(words: &[Word], amount: &Amount) -> (Option<UnitSaid>, usize) {
    per_at(words, amount.end).unwrap_or((None, amount.end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::words::{text_of, without, words};
    use super::*;
    use Language::{En, Es};

    fn read(text: &str, language: Language) -> Option<String> {
        let words = words(text);
        let p = price_in(&words, language)?;
        let unit = p.unit.map_or_else(|| "-".to_owned(), |u| u.code);
        let currency = p.amount.currency.unwrap_or_else(|| "-".to_owned());
        Some(format!(
            "{} {currency} {unit} | {}",
            p.amount.number,
            text_of(&without(&words, p.start, p.end))
        ))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn any_text_is_read_without_harm(
            text in "\\PC{0,60}|((RWF|rwf|\\$|€|at|per|kg|each|a|el|kilo|francs|[0-9.,]{1,30}|5k|mil|½) ?){0,8}",
            spanish in any::<bool>(),
        ) {
            let language = if spanish { Language::Es } else { Language::En };
            let words = words(&text);
            for at in 0..words.len() {
                if let Some(amount) = amount_at(&words, at, language) {
                    prop_assert!(amount.end > at && amount.end <= words.len());
                }
            }
            if let Some(price) = price_in(&words, language) {
                prop_assert!(price.start < price.end && price.end <= words.len());
            }
        }
    }

    #[test]
    fn prices_in_both_languages() {
        for (text, language, wanted) in [
            (
                "20kg sugar at 160 per kg to grocery",
                En,
                "160 - kg | 20kg sugar to grocery",
            ),
            ("20kg sugar @160/kg", En, "160 - kg | 20kg sugar"),
            ("sugar 160 RWF", En, "160 RWF - | sugar"),
            ("sugar at RWF 5,000 a bag", En, "5000 RWF bag | sugar"),
            ("sugar RWF5,000", En, "5000 RWF - | sugar"),
            ("soap 160 each", En, "160 - - | soap"),
            ("rice, 50 kg, 900 each kg", En, "900 - kg | rice, 50 kg,"),
            ("soap for 250", En, "250 - - | soap"),
            ("soap costs $5", En, "5 USD - | soap"),
            ("soap at 200 francs", En, "200 - - | soap"),
            ("sugar at -5 per kg", En, "-5 - kg | sugar"),
            ("sugar price: 160", En, "160 - - | sugar"),
            (
                "coffee 30 bags at 5000 per bag",
                En,
                "5000 - bag | coffee 30 bags",
            ),
            (
                "20 kg de azúcar a 160 el kilo en abarrotes",
                Es,
                "160 - kg | 20 kg de azúcar en abarrotes",
            ),
            ("azúcar a $20 el kilo", Es, "20 - kg | azúcar"),
            ("jabón a 1.500 cada uno", Es, "1500 - - | jabón"),
            ("jabón por 250", Es, "250 - - | jabón"),
            ("jabón a 250 c/u", Es, "250 - - | jabón"),
            ("café a mil quinientos el kilo", Es, "1500 - kg | café"),
        ] {
            assert_eq!(read(text, language).as_deref(), Some(wanted), "{text}");
        }
    }

    #[test]
    fn a_quantity_is_no_price() {
        for (text, language) in [
            ("for 2 kg of sugar", En),
            ("Ali for 3 eggs", En),
            ("for 2 bottles milk", En),
            ("2 kg sugar", En),
            ("3 pen", En),
            ("para Ali 2 kg", Es),
            ("a 2 clientes", Es),
        ] {
            assert_eq!(read(text, language), None, "{text}");
        }
    }
}
