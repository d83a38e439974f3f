//! How alike two names are. Pure, and in whole thousandths: the same names always score the same.

use std::collections::BTreeSet;

/// Names that say the same, plurals and accents aside.
pub const SAME: u16 = 1000;
/// From here on the best name is taken without asking, when the next one is [`GAP`] behind.
pub const ACCEPTED: u16 = 600;
/// How far behind the second best has to be.
pub const GAP: u16 = 150;
/// From here on a name is offered as what may have been meant.
pub const OFFERED: u16 = 300;

/// Different spellings never score higher than this.
const MISSPELT_MAX: u16 = 950;
/// Short words and words of another first letter are never close enough to be taken without asking: tea is not pea.
const DOUBTFUL_MAX: u16 = ACCEPTED - 10;
/// Letters from which on an edit or two is more likely a slip than another word.
const LETTERS_MIN: usize = 5;
/// A name of which only some words were said counts this much, in hundredths: "sugr" is Sugar before it is Brown sugar.
const PART_PERCENT: usize = 80;
/// Longest name that is compared, characters. Names are at most 80; folding can lengthen them.
const CHARS_MAX: usize = 160;

/// A name made ready to be compared.
#[derive(Debug, Clone)]
pub struct Folded {
    words: Vec<String>,
}

impl Folded {
    /// Lower case, without accents and punctuation, as words.
    #[must_use]
    pub fn new(name: &str) -> Folded {
        let short: String = name.chars().take(CHARS_MAX).collect();
        let plain = deunicode::deunicode(&short.to_lowercase()).to_lowercase();
        let mut words = split(&plain);
        if words.is_empty() {
            // Nothing left in plain letters, such as a name made of symbols: compare it as it is.
            words = short.split_whitespace().map(str::to_owned).collect();
        }
        Folded { words }
    }

    /// The words, in plain lower-case letters.
    #[must_use]
    pub fn words(&self) -> &[String] {
        &self.words
    }
}

fn split(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .take(CHARS_MAX)
        .map(str::to_owned)
        .collect()
}

/// How alike what was asked for and a name are: 0 to [`SAME`]. The whole name counts fully; a run of its words, as many as were
/// asked for, counts less.
#[must_use]
pub fn score(asked: &Folded, name: &Folded) -> u16 {
    let whole = alike(&asked.words, &name.words);
    let said = asked.words.len();
    if said == 0 || said >= name.words.len() {
        return whole;
    }
    let part = name
        .words
        .windows(said)
        .map(|run| alike(&asked.words, run))
        .max()
        .unwrap_or(0);
    whole.max(thousandths(
        usize::from(part) * PART_PERCENT,
        usize::from(SAME) * 100,
    ))
}

/// Whether two words are the same word in singular or plural, in English or Spanish.
#[must_use]
pub fn same_word(one: &str, other: &str) -> bool {
    one == other || !singulars(one).is_disjoint(&singulars(other))
}

/// A word and what it may be the plural of: eggs, egg; cherries, cherry; botellas, botella; panes, pan; luces, luz.
#[must_use]
pub fn singulars(word: &str) -> BTreeSet<String> {
    let mut forms = BTreeSet::from([word.to_owned()]);
    if word.chars().count() < 4 || word.ends_with("ss") {
        return forms;
    }
    for (plural, singular) in [("s", ""), ("es", ""), ("ies", "y"), ("ces", "z")] {
        if let Some(stem) = word.strip_suffix(plural) {
            forms.insert(format!("{stem}{singular}"));
        }
    }
    forms
}

fn alike(asked: &[String], name: &[String]) -> u16 {
    if asked.len() == name.len() && asked.iter().zip(name).all(|(a, b)| same_word(a, b)) {
        return SAME;
    }
    let (a, b) = (asked.join(" "), name.join(" "));
    let likeness = by_edits(&a, &b).max(by_trigrams(&a, &b)).min(MISSPELT_MAX);
    let letters = a.chars().count().max(b.chars().count());
    if letters < LETTERS_MIN || a.chars().next() != b.chars().next() {
        likeness.min(DOUBTFUL_MAX)
    } else {
        likeness
    }
}

/// One minus the share of letters that have to be edited. Where that is more than half, what is left is chance: caviar is no sugar.
fn by_edits(a: &str, b: &str) -> u16 {
    let longer = a.chars().count().max(b.chars().count());
    let kept = longer.saturating_sub(strsim::levenshtein(a, b));
    if kept * 2 < longer {
        return 0;
    }
    thousandths(kept, longer.max(1))
}

/// Shared runs of three letters, like the similarity of Postgres' `pg_trgm`.
fn by_trigrams(a: &str, b: &str) -> u16 {
    let (a, b) = (trigrams(a), trigrams(b));
    let shared = a.intersection(&b).count();
    let all = a.len() + b.len() - shared;
    thousandths(shared, all.max(1))
}

fn trigrams(text: &str) -> BTreeSet<[char; 3]> {
    let mut found = BTreeSet::new();
    for word in text.split(' ') {
        let padded: Vec<char> = "  "
            .chars()
            .chain(word.chars())
            .chain(" ".chars())
            .collect();
        found.extend(padded.windows(3).map(|w| [w[0], w[1], w[2]]));
    }
    found
}

fn thousandths(part: usize, whole: usize) -> u16 {
    u16::try_from(part * usize::from(SAME) / whole).unwrap_or(SAME)
}

/// Which of the scored names is meant, best first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// This one alone.
    One(usize),
    /// One of these.
    Several(Vec<usize>),
    /// None; these are the closest, if any is close.
    None(Vec<usize>),
}

/// Most names offered.
pub const OFFERED_MAX: usize = 5;

/// Chooses among scores by the rule of [`ACCEPTED`] and [`GAP`].
#[must_use]
pub fn choose(scores: &[u16]) -> Choice {
    let mut order: Vec<usize> = (0..scores.len())
        .filter(|&i| scores[i] >= OFFERED)
        .collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(scores[i]), i));
    let best = order.first().map_or(0, |&i| scores[i]);
    let second = order.get(1).map_or(0, |&i| scores[i]);
    match order.first() {
        Some(&only) if best >= ACCEPTED && best - second >= GAP => Choice::One(only),
        _ => {
            order.truncate(OFFERED_MAX);
            if best >= ACCEPTED {
                Choice::Several(order)
            } else {
                Choice::None(order)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scored(asked: &str, name: &str) -> u16 {
        score(&Folded::new(asked), &Folded::new(name))
    }

    fn chosen<'a>(asked: &str, names: &[&'a str]) -> Result<&'a str, Choice> {
        let scores: Vec<u16> = names.iter().map(|n| scored(asked, n)).collect();
        match choose(&scores) {
            Choice::One(i) => Ok(names[i]),
            other => Err(other),
        }
    }

    #[test]
    fn plurals_and_accents_are_the_same_name() {
        for (asked, name) in [
            ("eggs", "Egg"),
            ("egg", "Eggs"),
            ("AZUCAR", "Azúcar"),
            ("botellas de agua", "Botella de agua"),
            ("cherries", "Cherry"),
            ("panes", "Pan"),
            ("luces", "Luz"),
            ("cookies", "cookie"),
            ("potatoes", "Potato"),
            ("glasses", "Glass"),
            ("coca-cola", "Coca Cola"),
        ] {
            assert_eq!(scored(asked, name), SAME, "{asked} / {name}");
        }
        assert!(scored("cane", "Can") < SAME);
        assert!(scored("gas", "Ga") < SAME);
    }

    #[test]
    fn a_slip_is_taken_without_asking() {
        let shop = ["Sugar", "Brown sugar", "Flour", "Shampoo", "White rice"];
        assert_eq!(chosen("sugr", &shop), Ok("Sugar"));
        assert_eq!(chosen("suger", &shop), Ok("Sugar"));
        assert_eq!(chosen("flower", &shop), Ok("Flour"));
        assert_eq!(chosen("shampo", &shop), Ok("Shampoo"));
        assert_eq!(chosen("brown sugr", &shop), Ok("Brown sugar"));
        assert_eq!(chosen("rice", &shop), Ok("White rice"));
    }

    #[test]
    fn what_could_be_two_things_is_asked() {
        assert_eq!(
            chosen("rice", &["White rice", "Brown rice", "Sugar"]),
            Err(Choice::Several(vec![0, 1]))
        );
    }

    #[test]
    fn short_words_and_other_first_letters_are_only_offered() {
        assert_eq!(chosen("tea", &["Pea", "Sugar"]), Err(Choice::None(vec![0])));
        assert_eq!(chosen("malt", &["Salt"]), Err(Choice::None(vec![0])));
        assert!(scored("caviar", "Sugar") < OFFERED);
        assert_eq!(
            chosen("bananas", &["Sugar", "Flour"]),
            Err(Choice::None(vec![]))
        );
    }

    proptest! {
        #[test]
        fn scores_stay_in_range_and_a_name_is_itself(a in "\\PC{0,100}", b in "\\PC{0,100}") {
            prop_assert!(scored(&a, &b) <= SAME);
            prop_assert_eq!(scored(&a, &a), SAME);
        }
    }
}
