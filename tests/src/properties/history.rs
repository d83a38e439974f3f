//! What the clients of one shop saw, and whether some order of their operations explains it.
//!
//! An operation took place at one moment between its first request and its answer. The search tries the orders these spans allow, one
//! operation after the other, with the model; states that were reached before are not gone through again (Wing and Gong's method with
//! Lowe's memory).

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::model::{Expected, Op, OpId, Reply, Shop, Step};

/// Most states looked at before a history counts as too tangled to judge.
const STATES_MAX: usize = 200_000;
/// Most operations of a history: one bit each.
const OPS_MAX: usize = 128;

/// One operation as it was seen from outside.
#[derive(Debug, Clone)]
pub struct Seen {
    /// What it was.
    pub op: Op,
    /// Before its first request was sent.
    pub begun: u64,
    /// After its answer had come.
    pub ended: u64,
    /// The answer.
    pub reply: Reply,
}

/// Why no order explains a history.
#[derive(Debug, Clone, PartialEq)]
pub struct Unexplained {
    /// In words, for whoever looks into it.
    pub why: String,
}

struct Search<'a> {
    history: &'a [Seen],
    been: HashSet<(u128, u64)>,
    states: usize,
    deepest: (u32, String),
}

/// The state the shop is in at the end of an order that explains every reply.
///
/// # Errors
/// When there is none, or the history is too long or too tangled.
pub fn explain(history: &[Seen], shop: Shop) -> Result<Shop, Unexplained> {
    if history.len() > OPS_MAX {
        return Err(Unexplained {
            why: format!("{} operations are too many", history.len()),
        });
    }
    let mut search = Search {
        history,
        been: HashSet::new(),
        states: 0,
        deepest: (0, String::new()),
    };
    match search.from(0, shop) {
        Some(end) => Ok(end),
        None if search.states >= STATES_MAX => Err(Unexplained {
            why: format!("no order found among {STATES_MAX} states"),
        }),
        None => Err(Unexplained {
            why: search.deepest.1,
        }),
    }
}

impl Search<'_> {
    fn from(&mut self, done: u128, shop: Shop) -> Option<Shop> {
        if done.count_ones() as usize == self.history.len() {
            return Some(shop);
        }
        let mut hasher = DefaultHasher::new();
        shop.hash(&mut hasher);
        if self.states >= STATES_MAX || !self.been.insert((done, hasher.finish())) {
            return None;
        }
        self.states += 1;
        let mut nearly = Vec::new();
        for id in self.next(done) {
            for (next, expected) in self.outcomes(id, &shop) {
                if expected.fits(&self.history[id].reply) {
                    if let Some(end) = self.from(done | 1 << id, next) {
                        return Some(end);
                    }
                } else {
                    nearly.push((id, expected));
                }
            }
        }
        self.note(done, &nearly);
        None
    }

    /// Operations that may be next: none that is left had ended before they began.
    fn next(&self, done: u128) -> Vec<OpId> {
        let left = || (0..self.history.len()).filter(|id| done & (1 << id) == 0);
        let first_end = left().map(|id| self.history[id].ended).min();
        left()
            .filter(|id| first_end.is_none_or(|end| self.history[*id].begun <= end))
            .collect()
    }

    fn outcomes(&self, id: OpId, shop: &Shop) -> Vec<(Shop, Expected)> {
        let seen = &self.history[id];
        let concurrent = |other: &Seen| other.ended > seen.begun && other.begun < seen.ended;
        // Of itself it says whether any other did.
        let overlaps = |other: OpId| {
            if other == id {
                let mut others = self.history.iter().enumerate().filter(|(i, _)| *i != id);
                return others.any(|(_, other)| concurrent(other));
            }
            self.history.get(other).is_some_and(concurrent)
        };
        shop.after(&Step {
            id,
            op: &seen.op,
            reply: &seen.reply,
            overlaps: &overlaps,
        })
    }

    /// Remembers what was in the way of the longest order.
    fn note(&mut self, done: u128, nearly: &[(OpId, Expected)]) {
        if done.count_ones() < self.deepest.0 || nearly.is_empty() {
            return;
        }
        let ways: Vec<String> = nearly
            .iter()
            .map(|(id, expected)| {
                let Seen { op, reply, .. } = &self.history[*id];
                format!(
                    "  operation {id}: {op:?}\n    answered {reply:?}\n    expected {expected:?}"
                )
            })
            .collect();
        let why = format!(
            "after {} of {} operations none of these fits:\n{}",
            done.count_ones(),
            self.history.len(),
            ways.join("\n")
        );
        self.deepest = (done.count_ones(), why);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rust_decimal::Decimal;
    use serde_json::json;

    use super::*;
    use crate::model::{Call, Settings, inventory};

    fn shop() -> Shop {
        Shop::new(Settings {
            currency: "RWF".parse().unwrap(),
            allow_negative: false,
            policies: BTreeMap::new(),
        })
    }

    fn seen(call: inventory::Call, span: (u64, u64), reply: Reply) -> Seen {
        Seen {
            op: Op::Call(Call::Inventory(call)),
            begun: span.0,
            ended: span.1,
            reply,
        }
    }

    fn sugar(quantity: i64, version: i64) -> Reply {
        Reply::Done(
            json!({"item": {"name": "Sugar", "unit": "kg", "unit_price": {"amount": "160"}, "low": false,
            "stock": {"quantity": quantity.to_string(), "unit": "kg"}, "version": version}}),
        )
    }

    fn take(n: i64) -> inventory::Call {
        inventory::Call::Adjust {
            item: "Sugar".to_owned(),
            delta: Decimal::from(n),
            unit: None,
        }
    }

    /// Three kilos, and two clients who take two each.
    fn history(second: (u64, u64), replies: [Reply; 2]) -> Vec<Seen> {
        let add = inventory::Call::Add {
            name: "Sugar".to_owned(),
            unit: "kg",
            price: Decimal::from(160),
            quantity: Decimal::from(3),
        };
        let [one, two] = replies;
        vec![
            seen(add, (1, 2), sugar(3, 2)),
            seen(take(-2), (3, 6), one),
            seen(take(-2), second, two),
        ]
    }

    #[test]
    fn replies_are_explained_by_some_order_or_by_none() {
        let short = || {
            Reply::Refused(json!({"code": "insufficient_stock",
                "candidates": [{"name": "Sugar", "stock": {"quantity": "1"}}]}))
        };
        let end = explain(&history((4, 5), [short(), sugar(1, 3)]), shop()).unwrap();
        assert_eq!(
            end.items[0].on_hand,
            Decimal::ONE,
            "the second was first, which its span allows"
        );
        let after = explain(&history((7, 8), [short(), sugar(1, 3)]), shop());
        assert!(
            after.unwrap_err().why.contains("insufficient_stock"),
            "it was not, when the first had ended before"
        );
        let both = explain(&history((4, 5), [sugar(1, 3), sugar(1, 3)]), shop());
        assert!(both.is_err(), "the last kilos went twice");
    }
}
