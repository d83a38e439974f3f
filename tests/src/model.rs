//! A shop as a person would keep it with pen and paper: one call after the other, no database, no protocol. It predicts what the real
//! server answers.
//!
//! What really happens at once has some order here. [`Shop::after`] says what the next state would be and what would be answered, for each
//! way in which that may come out; a reply that fits none of them, in any order the clock allows, is a fault of the server.

pub mod billing;
pub mod booking;
pub mod inventory;
pub mod payment;
pub mod people;

use std::collections::BTreeMap;

use contracts::money::Currency;
use rust_decimal::Decimal;
use serde_json::{Value, json};

/// The place of an operation in its history: names it wherever one operation refers to another.
pub type OpId = usize;

/// When a tool asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ask {
    /// Whatever it comes to.
    Always,
    /// Only when it comes to more than this, minor units.
    Above(i64),
    /// Not at all.
    Never,
}

/// What the shop has settled for itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Settings {
    /// Its one currency.
    pub currency: Currency,
    /// Stock may go below zero.
    pub allow_negative: bool,
    /// Tools that do not always ask.
    pub policies: BTreeMap<&'static str, Ask>,
}

/// The shop.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shop {
    /// What it has settled for itself.
    pub settings: Settings,
    /// Every item there ever was, in the order they were added.
    pub items: Vec<inventory::Item>,
    /// Every bill: number 1 first.
    pub bills: Vec<billing::Bill>,
    /// Customers by name, each with the operation that made it one.
    pub customers: BTreeMap<String, OpId>,
    /// What is in customers' wallets, minor units.
    pub wallets: BTreeMap<String, i64>,
    /// Every payment that settled: number 1 first.
    pub payments: Vec<payment::Payment>,
    /// How many credit notes there are.
    pub credit_notes: usize,
    /// The appointment book.
    pub book: booking::Book,
    /// Every request somebody made: number 1 first.
    pub tickets: Vec<people::Ticket>,
    /// Questions by the operation that asked.
    pub questions: BTreeMap<OpId, Question>,
}

/// Something the shop does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Call {
    /// Items and stock.
    Inventory(inventory::Call),
    /// Bills and takings.
    Billing(billing::Call),
    /// Money in, out and owed.
    Payment(payment::Call),
    /// Times that people have.
    Booking(booking::Call),
    /// The people who buy.
    People(people::Call),
}

/// What one client did.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// Called a tool.
    Call(Call),
    /// Answered the question of another operation.
    Answer {
        /// The operation that asked.
        question: OpId,
        /// Yes.
        yes: bool,
    },
    /// Let the time for an answer pass.
    Lapse {
        /// The operation that asked.
        question: OpId,
    },
}

/// What the real server answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// Done: the structured result.
    Done(Value),
    /// Refused: the failure.
    Refused(Value),
    /// Asked: the question.
    Asked(Value),
    /// Nothing, for an operation that has no answer.
    Nothing,
}

/// What the model would answer: every member of these values has to be in the reply, with the same value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Expected {
    /// Done.
    Done(Value),
    /// Refused with this code.
    Refused(&'static str, Value),
    /// Asked.
    Asked(Value),
    /// No answer.
    Nothing,
}

impl Expected {
    /// A refusal of which only the code is predicted.
    #[must_use]
    pub fn refused(code: &'static str) -> Expected {
        Expected::Refused(code, Value::Null)
    }

    /// Whether the reply is this one.
    #[must_use]
    pub fn fits(&self, reply: &Reply) -> bool {
        match (self, reply) {
            (Expected::Done(wanted), Reply::Done(seen))
            | (Expected::Asked(wanted), Reply::Asked(seen)) => within(wanted, seen),
            (Expected::Refused(code, wanted), Reply::Refused(seen)) => {
                seen["code"] == *code && within(wanted, seen)
            }
            (Expected::Nothing, Reply::Nothing) => true,
            _ => false,
        }
    }
}

/// Whether every member of one value is in the other, with the same value. Lists are as long as one another; nothing is asked of null.
#[must_use]
pub fn within(wanted: &Value, seen: &Value) -> bool {
    match (wanted, seen) {
        (Value::Null, _) => true,
        (Value::Object(wanted), Value::Object(seen)) => wanted
            .iter()
            .all(|(name, value)| within(value, seen.get(name).unwrap_or(&Value::Null))),
        (Value::Array(wanted), Value::Array(seen)) => {
            wanted.len() == seen.len() && wanted.iter().zip(seen).all(|(w, s)| within(w, s))
        }
        (wanted, seen) => wanted == seen,
    }
}

/// What a person agrees to by saying yes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Terms {
    /// A new bill.
    Bill(billing::Terms),
    /// A bill is taken back, by its number.
    Void(usize),
    /// An item is removed, by its place.
    Remove(usize),
    /// What is still owed on a bill is given up: its number, and how much.
    WriteOff(usize, i64),
    /// A bill is credited.
    Credit(billing::CreditTerms),
    /// Money moves.
    Money(payment::Terms),
    /// A time is taken, changed or given up.
    Time(booking::Terms),
}

/// Where a question stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Nobody has answered.
    Open,
    /// Nobody may answer any more.
    Lapsed,
    /// Somebody said no.
    Declined,
    /// Somebody said yes, and this came of it.
    Settled(Expected),
    /// It was no longer true; this one was asked instead.
    Superseded(OpId),
}

/// A question about one exact call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    /// The call.
    pub call: Call,
    /// What was shown.
    pub terms: Terms,
    /// Where it stands.
    pub standing: Standing,
}

/// One operation about to be done.
pub struct Step<'a> {
    /// Its place in the history.
    pub id: OpId,
    /// What it is.
    pub op: &'a Op,
    /// What was really answered: where the shop may choose, the model looks what it chose.
    pub reply: &'a Reply,
    /// Whether another operation was under way at the same time; of the step's own id, whether any other was.
    pub overlaps: &'a dyn Fn(OpId) -> bool,
}

/// What may come of a step.
pub type Outcomes = Vec<(Shop, Expected)>;

impl Call {
    /// The tool's name.
    #[must_use]
    pub fn tool(&self) -> &'static str {
        match self {
            Call::Inventory(call) => call.tool(),
            Call::Billing(call) => call.tool(),
            Call::Payment(call) => call.tool(),
            Call::Booking(call) => call.tool(),
            Call::People(call) => call.tool(),
        }
    }

    /// The tool's arguments.
    #[must_use]
    pub fn arguments(&self) -> Value {
        match self {
            Call::Inventory(call) => call.arguments(),
            Call::Billing(call) => call.arguments(),
            Call::Payment(call) => call.arguments(),
            Call::Booking(call) => call.arguments(),
            Call::People(call) => call.arguments(),
        }
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_read(&self) -> bool {
        match self {
            Call::Inventory(call) => call.is_read(),
            Call::Billing(call) => call.is_read(),
            Call::Payment(call) => !call.is_commit(),
            Call::Booking(call) => call.is_read(),
            Call::People(call) => call.is_read(),
        }
    }

    /// Whether a person is asked first.
    #[must_use]
    pub fn is_commit(&self) -> bool {
        match self {
            Call::Inventory(call) => call.is_commit(),
            Call::Billing(call) => call.is_commit(),
            Call::Payment(call) => call.is_commit(),
            Call::Booking(call) => call.is_commit(),
            Call::People(_) => false,
        }
    }
}

impl Shop {
    /// An empty shop.
    #[must_use]
    pub fn new(settings: Settings) -> Shop {
        Shop {
            settings,
            items: Vec::new(),
            bills: Vec::new(),
            customers: BTreeMap::new(),
            wallets: BTreeMap::new(),
            payments: Vec::new(),
            credit_notes: 0,
            book: booking::Book::default(),
            tickets: Vec::new(),
            questions: BTreeMap::new(),
        }
    }

    /// Every way in which the step may come out.
    #[must_use]
    pub fn after(&self, step: &Step<'_>) -> Outcomes {
        match step.op {
            Op::Call(call) if call.is_commit() => self.after_commit(call, step),
            Op::Call(call) => {
                let mut next = self.clone();
                let expected = match call {
                    Call::Inventory(call) => next.inventory(call, step.id),
                    Call::Billing(call) => next.billing_read(call),
                    Call::Payment(call) => next.payment_read(call),
                    Call::Booking(call) => next.booking(call),
                    Call::People(call) => next.people(call, step.id),
                };
                vec![(next, expected)]
            }
            Op::Answer { question, yes } => self.after_answer(*question, *yes, step),
            Op::Lapse { question } => {
                let mut next = self.clone();
                if let Some(question) = next.questions.get_mut(question)
                    && question.standing == Standing::Open
                {
                    question.standing = Standing::Lapsed;
                }
                vec![(next, Expected::Nothing)]
            }
        }
    }

    fn after_commit(&self, call: &Call, step: &Step<'_>) -> Outcomes {
        let policy = self.settings.policies.get(call.tool());
        let policy = policy.copied().unwrap_or(Ask::Always);
        let views = std::iter::once(self.clone()).chain(self.earlier(step.overlaps));
        views
            .map(|view| {
                let mut next = self.clone();
                let terms = match view.terms(call) {
                    Ok(terms) => terms,
                    Err(refused) => return (next, refused),
                };
                let asks = match policy {
                    Ask::Always => true,
                    Ask::Never => false,
                    Ask::Above(limit_minor) => {
                        self.total(&terms).is_none_or(|total| total > limit_minor)
                    }
                };
                let expected = if asks {
                    next.ask(call, terms, step)
                } else {
                    next.execute(&terms, step)
                };
                (next, expected)
            })
            .chain(self.changed_meanwhile(call, step))
            .collect()
    }

    /// Asks a question under the operation's own id.
    fn ask(&mut self, call: &Call, mut terms: Terms, step: &Step<'_>) -> Expected {
        match (&mut terms, step.reply) {
            (Terms::Bill(terms), Reply::Asked(question)) => terms.as_shown(question),
            (Terms::Money(terms), Reply::Asked(question)) => terms.as_shown(question),
            (Terms::Time(terms), Reply::Asked(question)) => terms.as_shown(question),
            _ => {}
        }
        if let Terms::Time(terms) = &terms {
            self.hold_time(terms, step.id);
        }
        let expected = Expected::Asked(self.shown(&terms));
        let question = Question {
            call: call.clone(),
            terms,
            standing: Standing::Open,
        };
        self.questions.insert(step.id, question);
        expected
    }

    fn after_answer(&self, id: OpId, yes: bool, step: &Step<'_>) -> Outcomes {
        let mut next = self.clone();
        // An answer to a question that no order has asked yet fits nowhere.
        let Some(question) = self.questions.get(&id) else {
            return Vec::new();
        };
        let expected = match (&question.standing, yes) {
            (Standing::Open, true) => return self.after_yes(id, question, step),
            (Standing::Open, false) => {
                next.book.release(id);
                next.stand(id, Standing::Declined);
                Expected::refused("declined")
            }
            (Standing::Lapsed, _) => Expected::refused("expired"),
            (Standing::Declined, false) => Expected::refused("declined"),
            (Standing::Declined, true) | (Standing::Settled(_), false) => {
                Expected::refused("already_decided")
            }
            (Standing::Settled(answer), true) => answer.clone(),
            (Standing::Superseded(by), _) => match self.questions.get(by) {
                Some(newer) => Expected::Asked(self.shown(&newer.terms)),
                None => return Vec::new(),
            },
        };
        vec![(next, expected)]
    }

    fn after_yes(&self, id: OpId, question: &Question, step: &Step<'_>) -> Outcomes {
        let mut outcomes = Vec::new();
        let now = match self.terms(&question.call) {
            Ok(terms) => terms,
            Err(refused) => {
                let mut next = self.clone();
                next.book.release(id);
                next.stand(id, Standing::Settled(refused.clone()));
                return vec![(next, refused)];
            }
        };
        let is_as_agreed = now == question.terms;
        if !is_as_agreed {
            let mut next = self.clone();
            next.book.release(id);
            let expected = next.ask(&question.call, now, step);
            next.stand(id, Standing::Superseded(step.id));
            outcomes.push((next, expected));
        }
        if is_as_agreed || self.looked_before(question, step) {
            let mut next = self.clone();
            let expected = next.execute(&question.terms, step);
            next.stand(id, Standing::Settled(expected.clone()));
            outcomes.push((next, expected));
        }
        if let Some((mut next, refused)) = self.changed_meanwhile(&question.call, step) {
            next.book.release(id);
            next.stand(id, Standing::Settled(refused.clone()));
            outcomes.push((next, refused));
        }
        outcomes
    }

    /// Payments look at what is owed, lock it and look again, and so does whoever changes a booking; when somebody was faster in between,
    /// they give up and say so.
    fn changed_meanwhile(&self, call: &Call, step: &Step<'_>) -> Option<(Shop, Expected)> {
        let looks_twice = match call {
            Call::Payment(call) => call.is_commit(),
            Call::Billing(call) => matches!(
                call,
                billing::Call::WriteOff { .. } | billing::Call::Credit { .. }
            ),
            Call::Booking(call) => call.changes_a_booking(),
            Call::Inventory(_) | Call::People(_) => false,
        };
        let crowded = (step.overlaps)(step.id);
        (looks_twice && crowded).then(|| (self.clone(), Expected::refused("version_conflict")))
    }

    /// Whether the yes may have looked at prices and names just before somebody changed them, so that what was agreed to was done. Prices
    /// and names are not locked while a bill is written: the person gets what they said yes to.
    fn looked_before(&self, question: &Question, step: &Step<'_>) -> bool {
        let views = std::iter::once(self.clone()).chain(self.earlier(step.overlaps));
        views
            .filter_map(|view| view.terms(&question.call).ok())
            .any(|terms| match (&question.terms, terms) {
                (Terms::Bill(agreed), Terms::Bill(terms)) => {
                    self.is_same_bill(agreed, &terms, step.overlaps)
                }
                (
                    Terms::Money(payment::Terms::TopUp { customer, .. }),
                    Terms::Money(payment::Terms::TopUp { .. }),
                ) => self
                    .customers
                    .get(customer)
                    .is_some_and(|by| (step.overlaps)(*by)),
                (Terms::Time(agreed), Terms::Time(terms)) => {
                    agreed == &terms
                        || agreed.is_same_but_for_a_new_customer(&terms)
                            && agreed
                                .customer()
                                .and_then(|name| self.customers.get(name))
                                .is_some_and(|by| (step.overlaps)(*by))
                }
                (agreed, terms) => agreed == &terms,
            })
    }

    fn stand(&mut self, id: OpId, standing: Standing) {
        if let Some(question) = self.questions.get_mut(&id) {
            question.standing = standing;
        }
    }

    fn terms(&self, call: &Call) -> Result<Terms, Expected> {
        match call {
            Call::Inventory(call) => self.inventory_terms(call),
            Call::Billing(call) => self.billing_terms(call),
            Call::Payment(call) => self.payment_terms(call).map(Terms::Money),
            Call::Booking(call) => self.booking_terms(call).map(Terms::Time),
            Call::People(_) => Err(Expected::Nothing),
        }
    }

    fn execute(&mut self, terms: &Terms, step: &Step<'_>) -> Expected {
        match terms {
            Terms::Bill(terms) => self.issue(terms, step),
            Terms::WriteOff(number, _) => self.write_off(*number),
            Terms::Credit(terms) => self.credit(terms),
            Terms::Money(terms) => self.move_money(terms, step.id),
            Terms::Time(terms) => self.book(terms, step),
            Terms::Void(number) => self.void(*number),
            Terms::Remove(place) => self.remove(*place),
        }
    }

    /// What it comes to, minor units: what a policy looks at.
    fn total(&self, terms: &Terms) -> Option<i64> {
        match terms {
            Terms::Bill(terms) => Some(terms.total_minor),
            Terms::Void(number) => Some(self.bills[number - 1].total_minor),
            Terms::Remove(_) | Terms::Time(_) => None,
            Terms::WriteOff(_, owed_minor) => Some(*owed_minor),
            Terms::Credit(terms) => Some(terms.total_minor),
            Terms::Money(terms) => Some(terms.total_minor()),
        }
    }

    /// What of a question is predicted.
    fn shown(&self, terms: &Terms) -> Value {
        match terms {
            Terms::Bill(terms) => terms.shown(),
            Terms::Void(number) => {
                json!({"total": {"amount_minor": self.bills[number - 1].total_minor}})
            }
            Terms::Remove(place) => json!({"binding": {"name": self.items[*place].name}}),
            Terms::WriteOff(_, owed_minor) => json!({"total": {"amount_minor": owed_minor}}),
            Terms::Credit(terms) => json!({"total": {"amount_minor": terms.total_minor}}),
            Terms::Money(terms) => terms.shown(),
            // When it is, is in the words and the ids, which are not predicted.
            Terms::Time(_) => json!({}),
        }
    }
}

/// A decimal as it is on the wire.
#[must_use]
pub fn plain(number: Decimal) -> String {
    number.normalize().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_may_say_more_but_nothing_else() {
        let wanted = json!({"item": {"name": "Sugar"}, "lines": [{"n": 1}, null]});
        let seen = json!({"item": {"name": "Sugar", "unit": "kg"}, "lines": [{"n": 1, "m": 2}, 7], "more": true});
        assert!(within(&wanted, &seen));
        for other in [
            json!({"item": {"name": "Salt"}, "lines": [{"n": 1}, 7]}),
            json!({"item": {"name": "Sugar"}, "lines": [{"n": 1}]}),
            json!({"lines": [{"n": 1}, 7]}),
        ] {
            assert!(!within(&wanted, &other), "{other}");
        }
        let refused = Reply::Refused(json!({"code": "declined"}));
        assert!(Expected::refused("declined").fits(&refused));
        assert!(!Expected::refused("expired").fits(&refused));
        assert!(!Expected::Done(Value::Null).fits(&refused));
    }
}
