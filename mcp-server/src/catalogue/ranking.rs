//! A list in the order of likeness to a search text, a page at a time. Pure.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::likeness::{Folded, SAME, score};

/// Names less alike than this are not shown.
const SHOWN_MIN: u16 = 450;
/// Names this much less alike than the best one are not shown.
const SHOWN_BEHIND_MAX: u16 = 300;
/// What a name that begins with the search text, or has it inside, counts at least.
pub(crate) const INSIDE: u16 = 850;

/// The last row of a page: its likeness, the least likeness shown on any page, and its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ranked(pub u16, pub u16, pub Uuid);

/// How alike a search text and a name are. Part of a name counts like a small slip.
#[must_use]
pub(crate) fn likeness(asked: &Folded, name: &Folded) -> u16 {
    let inside = name.text().contains(asked.text());
    let likeness = score(asked, name);
    if inside && likeness < SAME {
        likeness.max(INSIDE)
    } else {
        likeness
    }
}

/// Whether a likeness is worth showing at all.
#[must_use]
pub(crate) fn is_shown(likeness: u16) -> bool {
    likeness >= SHOWN_MIN
}

/// The ids of one page, best first, and where the next one starts. The floor of the first page holds for all pages.
#[must_use]
pub(crate) fn page_of(
    scores: &BTreeMap<Uuid, u16>,
    after: Option<Ranked>,
    limit: usize,
) -> (Vec<Uuid>, Option<Ranked>) {
    let best = scores.values().copied().max().unwrap_or_default();
    let floor = after.map_or_else(
        || best.saturating_sub(SHOWN_BEHIND_MAX).max(SHOWN_MIN),
        |Ranked(_, floor, _)| floor.max(SHOWN_MIN),
    );
    let mut order: Vec<(Reverse<u16>, Uuid)> = scores
        .iter()
        .filter(|(_, likeness)| **likeness >= floor)
        .map(|(id, likeness)| (Reverse(*likeness), *id))
        .filter(|key| after.is_none_or(|Ranked(likeness, _, id)| *key > (Reverse(likeness), id)))
        .collect();
    order.sort_unstable();
    let more = order.len() > limit;
    order.truncate(limit);
    let next = order
        .last()
        .filter(|_| more)
        .map(|(Reverse(likeness), id)| Ranked(*likeness, floor, *id));
    (order.into_iter().map(|(_, id)| id).collect(), next)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranked_pages_neither_repeat_nor_miss(scores in prop::collection::btree_map(any::<u128>().prop_map(Uuid::from_u128), 0_u16..=1000, 0..40), limit in 1_usize..10) {
            let floor = scores.values().copied().max().unwrap_or_default().saturating_sub(SHOWN_BEHIND_MAX).max(SHOWN_MIN);
            let mut seen = Vec::new();
            let mut after = None;
            for _ in 0..50 {
                let (ids, next) = page_of(&scores, after, limit);
                seen.extend(ids);
                match next {
                    Some(last) => after = Some(last),
                    None => break,
                }
            }
            let mut expected: Vec<Uuid> = scores.iter().filter(|(_, s)| **s >= floor).map(|(id, _)| *id).collect();
            expected.sort_by_key(|id| (Reverse(scores[id]), *id));
            prop_assert_eq!(seen, expected);
        }
    }
}
