//! A sentence as words, and the small pattern language the rules are written in.

use crate::language::fold;

/// A word, number or mark of a sentence, with its place in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// As typed.
    pub(super) text: String,
    /// As compared: see [`fold`].
    pub(super) folded: String,
    /// What it is.
    pub(super) kind: Kind,
    /// Whether white space stands before it.
    pub(super) spaced: bool,
}

/// What a [`Word`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Letters, or letters and digits: "sugar", "INV-12".
    Letters,
    /// Begins with a digit or is a fraction sign: "20", "1,500", "15:30", "2026-11-20", "-5", "½".
    Digits,
    /// A single sign.
    Mark,
}

/// A message of more words is no order. They are not even all read, so whoever acts on words checks [`is_too_long`] first.
const WORDS_MAX: usize = 300;

/// Whether there were more words than are read: what is left out must not be acted on.
pub(super) fn is_too_long(words: &[Word]) -> bool {
    words.len() > WORDS_MAX
}

/// The words of a text. Exclamation and question marks and quotes are left out; other marks stay, for they part things.
pub(super) fn words(text: &str) -> Vec<Word> {
    let letters: Vec<char> = text.chars().map(plain_sign).collect();
    let mut found: Vec<Word> = Vec::new();
    let mut at = 0;
    let mut spaced = true;
    while at < letters.len() && found.len() <= WORDS_MAX {
        let c = letters[at];
        let (kind, end) = if let Some(end) = email_end(&letters, at) {
            (Kind::Letters, end)
        } else if starts_number(&letters, at, spaced, &found) {
            (Kind::Digits, number_end(&letters, at))
        } else if c.is_alphanumeric() {
            (Kind::Letters, letters_end(&letters, at))
        } else {
            (Kind::Mark, at + 1)
        };
        if c == '\n' {
            found.push(word(&['\n'], Kind::Mark, spaced));
        } else if !c.is_whitespace() && !SILENT.contains(&c) && !is_joiner(c) {
            found.push(word(&letters[at..end], kind, spaced));
        }
        spaced = c.is_whitespace() || SILENT.contains(&c);
        at = end;
    }
    found
}

/// Marks that say nothing to the rules.
const SILENT: &[char] = &[
    '!', '?', '¿', '¡', '"', '“', '”', '«', '»', '(', ')', '*', '_', '\'', '’',
];

fn is_joiner(c: char) -> bool {
    matches!(
        c,
        '\u{200d}' | '\u{fe0f}' | '\u{feff}' | '\u{300}'..='\u{36f}'
    ) || c.is_control()
}

const fn plain_sign(c: char) -> char {
    match c {
        '−' | '–' | '—' => '-',
        '\u{a0}' | '\u{202f}' | '\u{2009}' => ' ',
        _ => c,
    }
}

fn word(letters: &[char], kind: Kind, spaced: bool) -> Word {
    let text: String = letters.iter().collect();
    Word {
        folded: fold(&text),
        text,
        kind,
        spaced,
    }
}

/// A sign belongs to a number where nothing but space, a currency or "at" stands before it: "-5", "@-5", not "20-5".
fn starts_number(letters: &[char], at: usize, spaced: bool, before: &[Word]) -> bool {
    let digit = |i: usize| letters.get(i).is_some_and(|c| is_digit(*c));
    if digit(at) {
        return true;
    }
    let apart = spaced || before.last().is_none_or(|w| w.kind == Kind::Mark);
    matches!(letters[at], '-' | '+') && apart && digit(at + 1)
}

const fn is_digit(c: char) -> bool {
    c.is_ascii_digit() || matches!(c, '½' | '¼' | '¾')
}

/// Digits, with single marks between them: "1,500.50", "15:30", "1/2", "2026-11-20".
fn number_end(letters: &[char], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(c) = letters.get(at) {
        let between = matches!(c, '.' | ',' | ':' | '/' | '-')
            && letters[at - 1].is_ascii_digit()
            && letters.get(at + 1).is_some_and(char::is_ascii_digit);
        if !is_digit(*c) && !between {
            break;
        }
        at += 1;
    }
    at
}

/// Where an email address ends that begins here. It is one word, for its signs are part of it.
fn email_end(letters: &[char], start: usize) -> Option<usize> {
    let before = start.checked_sub(1).and_then(|i| letters.get(i));
    let inside =
        |c: &char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '%' | '@' | '\'');
    if !letters[start].is_alphanumeric() || before.is_some_and(inside) {
        return None;
    }
    let length = letters[start..]
        .iter()
        .take(EMAIL_CHARACTERS_MAX)
        .take_while(|c| inside(c))
        .count();
    let run = &letters[start..start + length];
    let end = start + 1 + run.iter().rposition(|c| c.is_alphanumeric())?;
    let run = &letters[start..end];
    let at = run.iter().position(|c| *c == '@').filter(|at| *at > 0)?;
    let host = &run[at + 1..];
    let dot = host.iter().rposition(|c| *c == '.').filter(|d| *d > 0)?;
    let top = &host[dot + 1..];
    let named = top.len() >= 2 && top.iter().all(char::is_ascii_alphabetic);
    (named && !host.contains(&'@')).then_some(end)
}

/// Longer addresses cannot be delivered to (RFC 5321).
const EMAIL_CHARACTERS_MAX: usize = 254;

/// Letters with inner apostrophes and hyphens: "don't", "Jean-Paul", "INV-12". A currency glued to its amount ("RWF5,000") and the
/// times sign ("x2") end where the digits begin.
fn letters_end(letters: &[char], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(c) = letters.get(at) {
        let inner = matches!(c, '\'' | '’' | '-' | '.')
            && letters
                .get(at + 1)
                .is_some_and(|next| next.is_alphanumeric())
            && (*c != '.' || at - start == 1);
        let accent = matches!(c, '\u{300}'..='\u{36f}');
        if !c.is_alphanumeric() && !inner && !accent {
            break;
        }
        if c.is_ascii_digit() && letters[start..at].iter().all(|l| l.is_alphabetic()) {
            let so_far: String = letters[start..at].iter().collect();
            if so_far.eq_ignore_ascii_case("x") || super::money::is_currency(&so_far) {
                break;
            }
        }
        at += 1;
    }
    at
}

impl Word {
    /// Whether it is this mark.
    pub(super) fn is_mark(&self, mark: &str) -> bool {
        self.kind == Kind::Mark && self.text == mark
    }

    /// Whether it parts the things of a list: a comma, semicolon, line end or plus.
    pub(super) fn parts(&self) -> bool {
        self.kind == Kind::Mark && matches!(self.text.as_str(), "," | ";" | "\n" | "+" | "&" | ".")
    }
}

/// Whether a word stands in a list parted by spaces.
pub(super) fn among(list: &str, word: &str) -> bool {
    list.split(' ').any(|entry| entry == word)
}

/// The text of some words, spaced as it was typed.
pub(super) fn text_of(words: &[Word]) -> String {
    let mut out = String::new();
    for word in words {
        if word.spaced && !out.is_empty() {
            out.push(' ');
        }
        out.push_str(&word.text);
    }
    out.trim().to_owned()
}

/// Where a pattern ends when it begins at `at`. A pattern is words with spaces between; `a|b` is either, a leading `?` makes a word
/// optional: `"how much|many ?of"`. Marks are written as themselves.
pub(super) fn match_at(words: &[Word], at: usize, pattern: &str) -> Option<usize> {
    let (part, rest) = match pattern.split_once(' ') {
        Some((part, rest)) => (part, Some(rest)),
        None => (pattern, None),
    };
    let onwards = |at: usize| match rest {
        Some(rest) => match_at(words, at, rest),
        None => Some(at),
    };
    let (choices, optional) = part.strip_prefix('?').map_or((part, false), |p| (p, true));
    let hit = words.get(at).is_some_and(|w| one_of(choices, &w.folded));
    if hit && let Some(end) = onwards(at + 1) {
        return Some(end);
    }
    if optional { onwards(at) } else { None }
}

/// Whether a word is among choices parted by bars. This is where reading a sentence spends its time, so the first letters are
/// compared before anything is split.
fn one_of(choices: &str, word: &str) -> bool {
    let mut rest = choices;
    loop {
        if let Some(after) = rest.strip_prefix(word)
            && (after.is_empty() || after.starts_with('|'))
        {
            return true;
        }
        match rest.find('|') {
            Some(bar) => rest = &rest[bar + 1..],
            None => return false,
        }
    }
}

/// Where the longest of the patterns ends that begins at `at`; it covers at least one word.
pub(super) fn longest_at(words: &[Word], at: usize, patterns: &[&str]) -> Option<usize> {
    let ends = patterns.iter().filter_map(|p| match_at(words, at, p));
    ends.max().filter(|end| *end > at)
}

/// Where the longest pattern ends that begins the words.
pub(super) fn starts(words: &[Word], patterns: &[&str]) -> Option<usize> {
    longest_at(words, 0, patterns)
}

/// The first place one of the patterns is found: start and end.
pub(super) fn find(words: &[Word], patterns: &[&str]) -> Option<(usize, usize)> {
    (0..words.len()).find_map(|at| longest_at(words, at, patterns).map(|end| (at, end)))
}

/// Whether one of the patterns is found.
pub(super) fn has(words: &[Word], patterns: &[&str]) -> bool {
    find(words, patterns).is_some()
}

/// Where one of the patterns begins that ends the words.
pub(super) fn ends(words: &[Word], patterns: &[&str]) -> Option<usize> {
    (0..words.len()).find(|at| {
        patterns
            .iter()
            .any(|p| match_at(words, *at, p) == Some(words.len()))
    })
}

/// The words without those from `start` to `end`.
pub(super) fn without(words: &[Word], start: usize, end: usize) -> Vec<Word> {
    [&words[..start], &words[end..]].concat()
}

/// The words without every place one of the patterns is found.
pub(super) fn drop_all(words: &[Word], patterns: &[&str]) -> Vec<Word> {
    let mut kept = words.to_vec();
    while let Some((start, end)) = find(&kept, patterns).filter(|(s, e)| e > s) {
        kept.drain(start..end);
    }
    kept
}

/// The words without marks at either end.
pub(super) fn trimmed(words: &[Word]) -> &[Word] {
    let is_word =
        |w: &Word| w.kind != Kind::Mark || matches!(w.text.as_str(), "$" | "€" | "£" | "#");
    let Some(first) = words.iter().position(is_word) else {
        return &[];
    };
    let last = words.iter().rposition(is_word).unwrap_or(first);
    &words[first..=last]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str) -> Vec<String> {
        words(text).into_iter().map(|w| w.text).collect()
    }

    #[test]
    fn numbers_part_from_the_letters_they_are_glued_to() {
        assert_eq!(seen("20kg sugar"), ["20", "kg", "sugar"]);
        assert_eq!(seen("RWF5,000 each"), ["RWF", "5,000", "each"]);
        assert_eq!(
            seen("2x eggs, milk x3"),
            ["2", "x", "eggs", ",", "milk", "x", "3"]
        );
        assert_eq!(seen("@160/kg"), ["@", "160", "/", "kg"]);
        assert_eq!(seen("at -5, 20-5"), ["at", "-5", ",", "20-5"]);
        assert_eq!(seen("INV-12 A4 don't"), ["INV-12", "A4", "don't"]);
        assert_eq!(seen("2.5kg and 1/2"), ["2.5", "kg", "and", "1/2"]);
        assert_eq!(seen("call +250788123456."), ["call", "+250788123456", "."]);
        assert_eq!(seen("¿Qué hay?"), ["Qué", "hay"]);
        assert_eq!(
            seen("mail jean_paul+1@example.co.rw, or tea@5.50"),
            [
                "mail",
                "jean_paul+1@example.co.rw",
                ",",
                "or",
                "tea",
                "@",
                "5.50"
            ]
        );
    }

    #[test]
    fn patterns_have_choices_and_options() {
        let sentence = words("How much sugar did we sell today?");
        assert_eq!(match_at(&sentence, 0, "how much|many ?of sugar"), Some(3));
        assert_eq!(find(&sentence, &["did we|i sell"]), Some((3, 6)));
        assert_eq!(ends(&sentence, &["today"]), Some(6));
        assert_eq!(starts(&sentence, &["how few"]), None);
        assert_eq!(text_of(&sentence[2..4]), "sugar did");
        assert_eq!(text_of(&words("the T-shirt, 2 kg")), "the T-shirt, 2 kg");
    }
}
