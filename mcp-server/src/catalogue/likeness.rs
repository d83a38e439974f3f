//! How alike two names are. Pure, and in whole thousandths: the same names always score the same.

use std::collections::BTreeSet;

/// Names that say the same, plurals and accents aside.
pub(crate) const SAME: u16 = 1000;
/// From here on the best name is taken without asking, when the next one is [`GAP`] behind.
pub(crate) const ACCEPTED: u16 = 600;
/// How far behind the second best has to be.
pub(crate) const GAP: u16 = 150;
/// From here on a name is offered as what may have been meant.
pub(crate) const OFFERED: u16 = 300;

/// Different spellings never score higher than this.
const MISSPELT_MAX: u16 = 950;
/// Short words and words of another first letter are never close enough to be taken without asking: tea is not pea.
const DOUBTFUL_MAX: u16 = ACCEPTED - 10;
/// Letters from which on an edit or two is more likely a slip than another word.
const LETTERS_MIN: usize = 5;
/// A name of which only some words were said counts this much, in hundredths: "sugr" is Sugar before it is Brown sugar.
const PART_PERCENT: usize = 80;
/// Longest ending of a plural, bytes: cherr-ies.
const PLURAL_ENDING_MAX: usize = 3;
/// Longest name that is compared, characters. Names are at most 80; folding can lengthen them.
const CHARS_MAX: usize = 160;

/// A name made ready to be compared, many times over.
#[derive(Debug, Clone)]
pub(crate) struct Folded {
    words: Vec<String>,
    /// The words with a space between.
    text: String,
    /// Where each word starts and ends in `text`.
    spans: Vec<(usize, usize)>,
    /// The trigrams of each word, sorted.
    trigrams: Vec<Vec<u64>>,
    /// Those of all words, sorted.
    all_trigrams: Vec<u64>,
}

impl Folded {
    /// Lower case, without accents and punctuation, as words.
    #[must_use]
    pub(crate) fn new(name: &str) -> Folded {
        let short: String = name.chars().take(CHARS_MAX).collect();
        let plain = deunicode::deunicode(&short.to_lowercase()).to_lowercase();
        let mut words = split(&plain);
        if words.is_empty() {
            // Nothing left in plain letters, such as a name made of symbols: compare it as it is.
            words = short.split_whitespace().map(str::to_owned).collect();
        }
        let text = words.join(" ");
        let mut start = 0;
        let mut spans = Vec::with_capacity(words.len());
        for word in &words {
            spans.push((start, start + word.len()));
            start += word.len() + 1;
        }
        let trigrams: Vec<Vec<u64>> = words.iter().map(|word| trigrams_of(word)).collect();
        Folded {
            all_trigrams: united(&trigrams),
            words,
            text,
            spans,
            trigrams,
        }
    }

    /// The words, in plain lower-case letters.
    #[must_use]
    pub(crate) fn words(&self) -> &[String] {
        &self.words
    }

    /// The words as one text.
    #[must_use]
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The text of `count` words from the word at `first`.
    fn run(&self, first: usize, count: usize) -> &str {
        let (start, end) = (self.spans[first].0, self.spans[first + count - 1].1);
        &self.text[start..end]
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
pub(crate) fn score(asked: &Folded, name: &Folded) -> u16 {
    let said = asked.words.len();
    let whole = if same_words(&asked.words, &name.words) {
        SAME
    } else {
        alike(asked, &name.text, &name.all_trigrams)
    };
    if said == 0 || said >= name.words.len() {
        return whole;
    }
    let part = (0..=name.words.len() - said)
        .map(|first| part_score(asked, name, first))
        .max()
        .unwrap_or(0);
    whole.max(thousandths(
        usize::from(part) * PART_PERCENT,
        usize::from(SAME) * 100,
    ))
}

/// How alike what was asked for and as many words of the name are.
fn part_score(asked: &Folded, name: &Folded, first: usize) -> u16 {
    let said = asked.words.len();
    let run = first..first + said;
    if same_words(&asked.words, &name.words[run.clone()]) {
        return SAME;
    }
    let text = name.run(first, said);
    match &name.trigrams[run] {
        [only] => alike(asked, text, only),
        several => alike(asked, text, &united(several)),
    }
}

fn same_words(asked: &[String], name: &[String]) -> bool {
    asked.len() == name.len() && asked.iter().zip(name).all(|(a, b)| same_word(a, b))
}

/// Whether two words are the same word in singular or plural, in English or Spanish.
#[must_use]
pub(crate) fn same_word(one: &str, other: &str) -> bool {
    // Plurals differ at the end only; nearly all pairs of words are told apart by their beginning.
    let beginning = one.len().min(other.len()).saturating_sub(PLURAL_ENDING_MAX);
    one == other
        || (one.as_bytes()[..beginning] == other.as_bytes()[..beginning]
            && !singulars(one).is_disjoint(&singulars(other)))
}

/// A word and what it may be the plural of: eggs, egg; cherries, cherry; botellas, botella; panes, pan; luces, luz.
#[must_use]
pub(crate) fn singulars(word: &str) -> BTreeSet<String> {
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

fn alike(asked: &Folded, text: &str, trigrams: &[u64]) -> u16 {
    let likeness = by_edits(&asked.text, text)
        .max(by_trigrams(&asked.all_trigrams, trigrams))
        .min(MISSPELT_MAX);
    let letters = asked.text.chars().count().max(text.chars().count());
    if letters < LETTERS_MIN || asked.text.chars().next() != text.chars().next() {
        likeness.min(DOUBTFUL_MAX)
    } else {
        likeness
    }
}

/// One minus the share of letters that have to be edited. Where that is more than half, what is left is chance: caviar is no sugar.
fn by_edits(a: &str, b: &str) -> u16 {
    let (a_letters, b_letters) = (a.chars().count(), b.chars().count());
    let longer = a_letters.max(b_letters);
    if a_letters.abs_diff(b_letters) * 2 > longer {
        return 0;
    }
    let kept = longer.saturating_sub(strsim::levenshtein(a, b));
    if kept * 2 < longer {
        return 0;
    }
    thousandths(kept, longer.max(1))
}

/// Shared runs of three letters, like the similarity of Postgres' `pg_trgm`.
fn by_trigrams(a: &[u64], b: &[u64]) -> u16 {
    let (mut i, mut j, mut shared) = (0, 0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        shared += usize::from(x == y);
        i += usize::from(x <= y);
        j += usize::from(y <= x);
    }
    let all = a.len() + b.len() - shared;
    thousandths(shared, all.max(1))
}

/// The word's runs of three letters, with two spaces before it and one after, each packed into one number (21 bits a letter).
fn trigrams_of(word: &str) -> Vec<u64> {
    let padded = "  ".chars().chain(word.chars()).chain(" ".chars());
    let mut last = 0_u64;
    let mut found: Vec<u64> = padded
        .map(|letter| {
            last = (last << 21 | u64::from(u32::from(letter))) & (u64::MAX >> 1);
            last
        })
        .skip(2)
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn united(words: &[Vec<u64>]) -> Vec<u64> {
    let mut all: Vec<u64> = words.concat();
    all.sort_unstable();
    all.dedup();
    all
}

fn thousandths(part: usize, whole: usize) -> u16 {
    u16::try_from(part * usize::from(SAME) / whole).unwrap_or(SAME)
}

/// Which of the scored names is meant, best first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    /// This one alone.
    One(usize),
    /// One of these.
    Several(Vec<usize>),
    /// None; these are the closest, if any is close.
    None(Vec<usize>),
}

/// Most names offered.
pub(crate) const OFFERED_MAX: usize = 5;

/// Chooses among scores by the rule of [`ACCEPTED`] and [`GAP`].
#[must_use]
pub(crate) fn choose(scores: &[u16]) -> Choice {
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
