//! Quantities with their units: "20kg", "half a kilo of", "dos botellas de leche", "a dozen".

use contracts::unit::{self, EACH};
use rust_decimal::Decimal;

use super::numbers::number_at;
use super::words::{Kind, Word, longest_at, match_at};
use crate::language::Language;

/// A unit as it was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnitSaid {
    /// Its code: `kg`, or the English singular of a unit of the item's own such as `bottle`.
    pub(super) code: String,
    /// Whether everybody has it, as against a unit of one item.
    pub(super) fixed: bool,
}

/// A quantity as it was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Quantity {
    /// A plain decimal.
    pub(super) number: String,
    /// Its unit, when one was named.
    pub(super) unit: Option<UnitSaid>,
    /// The other way to read the number; see [`super::numbers::Number::or_else`].
    pub(super) or_else: Option<String>,
    /// The first word after it and its "of".
    pub(super) end: usize,
}

impl Quantity {
    /// The unit's code.
    pub(super) fn unit_code(&self) -> Option<&str> {
        self.unit.as_ref().map(|u| u.code.as_str())
    }

    /// Below zero as typed.
    pub(super) fn is_negative(&self) -> bool {
        self.number.starts_with('-')
    }
}

/// A unit of an item: its English singular, its Spanish singular, and how else it is written.
struct Container {
    english: &'static str,
    spanish: &'static str,
    forms: &'static str,
}

const fn container(english: &'static str, spanish: &'static str, forms: &'static str) -> Container {
    Container {
        english,
        spanish,
        forms,
    }
}

const CONTAINERS: &[Container] = &[
    container("bag", "bolsa", "bag bags bolsa bolsas"),
    container("sack", "saco", "sack sacks saco sacos costal costales"),
    container("bottle", "botella", "bottle bottles botella botellas"),
    container("box", "caja", "box boxes caja cajas"),
    container("crate", "cajón", "crate crates cajon cajones"),
    container("tray", "bandeja", "tray trays bandeja bandejas"),
    container(
        "packet",
        "paquete",
        "packet packets pack packs package packages paquete paquetes",
    ),
    container("can", "lata", "can cans lata latas"),
    container("tin", "bote", "tin tins bote botes"),
    container("carton", "cartón", "carton cartons carton cartones"),
    container("jar", "frasco", "jar jars frasco frascos"),
    container("case", "estuche", "case cases estuche estuches"),
    container(
        "bundle",
        "manojo",
        "bundle bundles bunch bunches manojo manojos",
    ),
    container("bar", "barra", "bar bars barra barras"),
    container("loaf", "hogaza", "loaf loaves hogaza hogazas"),
    container("tube", "tubo", "tube tubes tubo tubos"),
    container("roll", "rollo", "roll rolls rollo rollos"),
    container("sachet", "sobre", "sachet sachets sobre sobres"),
    container(
        "bucket",
        "cubeta",
        "bucket buckets cubeta cubetas balde baldes",
    ),
    container(
        "jerrycan",
        "bidón",
        "jerrycan jerrycans jerry-can jerry-cans bidon bidones",
    ),
    container("cup", "taza", "cup cups taza tazas"),
    container("glass", "vaso", "glass glasses vaso vasos"),
    container("plate", "plato", "plate plates plato platos"),
    container("slice", "rebanada", "slice slices rebanada rebanadas"),
    container("pair", "par", "pair pairs par pares"),
];

/// The unit a word names.
pub(super) fn unit_named(folded: &str) -> Option<UnitSaid> {
    if let Some(fixed) = unit::find(folded) {
        return Some(UnitSaid {
            code: fixed.code.to_owned(),
            fixed: true,
        });
    }
    CONTAINERS
        .iter()
        .find(|c| c.forms.split(' ').any(|form| form == folded))
        .map(|c| UnitSaid {
            code: c.english.to_owned(),
            fixed: false,
        })
}

/// The same unit of an item in the other language: a shop may have entered either.
pub(super) fn other_name(code: &str) -> Option<&'static str> {
    CONTAINERS.iter().find_map(|c| {
        if c.english == code {
            Some(c.spanish)
        } else {
            (c.spanish == code).then_some(c.english)
        }
    })
}

fn unit_at(words: &[Word], at: usize) -> Option<UnitSaid> {
    words
        .get(at)
        .filter(|w| w.kind == Kind::Letters)
        .and_then(|w| unit_named(&w.folded))
}

/// The quantity that begins at `at`. "A" and "un" count as one, so this is asked only where a quantity is expected.
pub(super) fn quantity_at(words: &[Word], at: usize, language: Language) -> Option<Quantity> {
    let said = part_of_unit(words, at)
        .or_else(|| couple(words, at))
        .or_else(|| counted(words, at, language))
        .or_else(|| one(words, at, language))?;
    let said = dozens(words, said);
    Some(and_a_half(words, said)).map(|q| past_of(words, q))
}

/// "Half a kilo", "medio kilo", "un cuarto de kilo", "media docena".
fn part_of_unit(words: &[Word], at: usize) -> Option<Quantity> {
    const HALF: &[&str] = &["?a half ?a|an|of ?a", "medio|media"];
    const QUARTER: &[&str] = &["?a quarter ?of ?a", "?un cuarto ?de"];
    const THREE: &[&str] = &["three quarters ?of ?a", "tres cuartos ?de"];
    [(HALF, "0.5"), (QUARTER, "0.25"), (THREE, "0.75")]
        .into_iter()
        .find_map(|(patterns, number)| {
            let end = longest_at(words, at, patterns)?;
            let unit = unit_at(words, end)?;
            Some(Quantity {
                number: number.to_owned(),
                unit: Some(unit),
                or_else: None,
                end: end + 1,
            })
        })
}

fn couple(words: &[Word], at: usize) -> Option<Quantity> {
    let end = longest_at(words, at, &["a couple ?of", "un par de"])?;
    let unit = unit_at(words, end);
    let end = end + usize::from(unit.is_some());
    Some(Quantity {
        number: "2".to_owned(),
        unit,
        or_else: None,
        end,
    })
}

/// A number, and the unit after it.
fn counted(words: &[Word], at: usize, language: Language) -> Option<Quantity> {
    let number = number_at(words, at, language)?;
    let mut end = number.end;
    let mut text = number.text;
    if let Some(after) = longest_at(words, end, &["and a half", "y medio|media"])
        && let Some(more) = plus_half(&text)
    {
        (text, end) = (more, after);
    }
    if let Some(after) = longest_at(words, end, &["more|extra|additional|mas|x|×"])
        && after < words.len()
    {
        end = after;
    }
    let unit = unit_at(words, end);
    end += usize::from(unit.is_some());
    // "20kg." at the end of an abbreviation
    Some(Quantity {
        number: text,
        unit,
        or_else: number.or_else,
        end,
    })
}

/// "A kilo of sugar", "una botella de leche", "a shampoo".
fn one(words: &[Word], at: usize, language: Language) -> Option<Quantity> {
    let article: &[&str] = if language == Language::Es {
        &["un|una"]
    } else {
        &["a|an|un|una"]
    };
    let end = longest_at(words, at, article)?;
    words.get(end).filter(|w| w.kind == Kind::Letters)?;
    let unit = unit_at(words, end);
    let end = end + usize::from(unit.is_some());
    Some(Quantity {
        number: "1".to_owned(),
        unit,
        or_else: None,
        end,
    })
}

/// "A dozen bottles" is twelve bottles; half a dozen is six.
fn dozens(words: &[Word], said: Quantity) -> Quantity {
    if said.unit_code() != Some("dozen") {
        return said;
    }
    let Some(pieces) = Decimal::from_str_exact(&said.number)
        .ok()
        .and_then(|n| n.checked_mul(Decimal::from(12)))
    else {
        return said;
    };
    let after = longest_at(words, said.end, &["of", "de"]).unwrap_or(said.end);
    if let Some(unit) = unit_at(words, after) {
        return Quantity {
            number: pieces.normalize().to_string(),
            unit: Some(unit),
            or_else: None,
            end: after + 1,
        };
    }
    if said.number.contains('.') && pieces.fract().is_zero() {
        let unit = Some(UnitSaid {
            code: EACH.to_owned(),
            fixed: true,
        });
        return Quantity {
            number: pieces.normalize().to_string(),
            unit,
            ..said
        };
    }
    said
}

/// "Un kilo y medio", "two kilos and a half".
fn and_a_half(words: &[Word], said: Quantity) -> Quantity {
    if said.unit.is_some()
        && let Some(end) = longest_at(words, said.end, &["and a half", "y medio|media"])
        && let Some(number) = plus_half(&said.number)
        && unit_at(words, end).is_none()
    {
        return Quantity {
            number,
            end,
            ..said
        };
    }
    said
}

fn plus_half(number: &str) -> Option<String> {
    let whole = Decimal::from_str_exact(number).ok()?;
    let half = Decimal::new(5, 1);
    (whole.fract().is_zero() && !whole.is_sign_negative())
        .then(|| (whole + half).normalize().to_string())
}

fn past_of(words: &[Word], said: Quantity) -> Quantity {
    let end =
        match_at(words, said.end, "of|de|del ?the|la|el|los|las").filter(|end| *end < words.len());
    Quantity {
        end: end.unwrap_or(said.end),
        ..said
    }
}

#[cfg(test)]
mod tests {
    use super::super::words::{text_of, words};
    use super::*;
    use Language::{En, Es};

    fn read(text: &str, language: Language) -> Option<String> {
        let words = words(text);
        let q = quantity_at(&words, 0, language)?;
        let unit = q.unit_code().unwrap_or("-").to_owned();
        Some(format!(
            "{} {unit} | {}",
            q.number,
            text_of(&words[q.end..])
        ))
    }

    #[test]
    fn quantities_in_both_languages() {
        for (text, language, wanted) in [
            ("20kg sugar", En, "20 kg | sugar"),
            ("2 kg of sugar", En, "2 kg | sugar"),
            ("half a kilo of rice", En, "0.5 kg | rice"),
            ("half kilo rice", En, "0.5 kg | rice"),
            ("a quarter kilo tea", En, "0.25 kg | tea"),
            ("one and a half kg beans", En, "1.5 kg | beans"),
            ("2 kilos and a half of beans", En, "2.5 kg | beans"),
            ("a dozen eggs", En, "1 dozen | eggs"),
            ("two dozen eggs", En, "2 dozen | eggs"),
            ("half a dozen eggs", En, "6 each | eggs"),
            ("a dozen bottles of milk", En, "12 bottle | milk"),
            ("a shampoo", En, "1 - | shampoo"),
            ("an egg", En, "1 - | egg"),
            ("a bag of rice", En, "1 bag | rice"),
            ("3 boxes of tea", En, "3 box | tea"),
            ("2x soap", En, "2 - | soap"),
            ("10 more bags of rice", En, "10 bag | rice"),
            ("twenty five kg flour", En, "25 kg | flour"),
            ("a couple of eggs", En, "2 - | eggs"),
            ("1,500 g salt", En, "1500 g | salt"),
            ("500ml oil", En, "500 ml | oil"),
            ("3 loaves of bread", En, "3 loaf | bread"),
            ("dos botellas de leche", Es, "2 bottle | leche"),
            ("una botella de leche", Es, "1 bottle | leche"),
            ("medio kilo de azúcar", Es, "0.5 kg | azúcar"),
            ("un kilo y medio de azúcar", Es, "1.5 kg | azúcar"),
            ("dos kilos y medio de arroz", Es, "2.5 kg | arroz"),
            ("una docena de huevos", Es, "1 dozen | huevos"),
            ("media docena de huevos", Es, "6 each | huevos"),
            ("treinta y cinco sacos de café", Es, "35 sack | café"),
            ("un champú", Es, "1 - | champú"),
            ("un par de jabones", Es, "2 - | jabones"),
            ("2,5 litros de aceite", Es, "2.5 l | aceite"),
        ] {
            assert_eq!(read(text, language).as_deref(), Some(wanted), "{text}");
        }
        assert_eq!(read("a Ali", Es), None, "the preposition");
        assert_eq!(read("sugar", En), None);
    }

    #[test]
    fn a_unit_has_one_name_per_language() {
        assert_eq!(other_name("bottle"), Some("botella"));
        assert_eq!(other_name("botella"), Some("bottle"));
        assert_eq!(other_name("kg"), None);
        let mut seen = std::collections::BTreeSet::new();
        for container in CONTAINERS {
            for form in container
                .forms
                .split(' ')
                .collect::<std::collections::BTreeSet<_>>()
            {
                assert!(seen.insert(form), "{form} names two units");
                assert!(unit::find(form).is_none(), "{form} is a fixed unit");
            }
        }
    }
}
