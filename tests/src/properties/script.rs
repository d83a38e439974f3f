//! A sequence of operations, drawn from one number: the same number draws the same sequence on every machine.

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate};
use contracts::money::Currency;
use rust_decimal::Decimal;

use crate::model::payment::{self, Method, Payer};
use crate::model::{Ask, Call, Settings, billing, booking, inventory, people};

/// Names that are nothing like each other, so that none is taken for a slip of another.
const ITEMS: [(&str, &str); 5] = [
    ("Sugar", "kg"),
    ("Candle", "each"),
    ("Flour", "kg"),
    ("Rope", "each"),
    ("Pepper", "g"),
];
/// How far ahead things are booked: tomorrow is today somewhere.
const BOOKED_AHEAD: Days = Days::new(3);
const CUSTOMERS: [&str; 3] = ["Ali", "Beatrice", "Mukamana"];
const TICKET_STATUSES: [&str; 4] = ["open", "waiting", "resolved", "closed"];
const CURRENCIES: [&str; 3] = ["RWF", "KES", "KWD"];
/// Most clients of one shop at once.
const CLIENTS_MAX: u64 = 4;
/// Most operations of all clients of one shop.
const STEPS_MAX: u64 = 14;

/// Numbers drawn one after another from a first one (`SplitMix64`: short, and the same for ever).
#[derive(Debug, Clone)]
pub struct Draw(u64);

impl Draw {
    /// Begins with a number.
    #[must_use]
    pub fn new(seed: u64) -> Draw {
        Draw(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below another, which is above 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    /// Whether it comes out, so many times in a hundred.
    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    /// One of several, of which there is at least one.
    pub fn one_of<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let place = self.below(of.len() as u64);
        &of[usize::try_from(place).unwrap_or(0)]
    }

    fn between(&mut self, from: i64, to: i64) -> i64 {
        let span = u64::try_from(to - from + 1).unwrap_or(1);
        from + i64::try_from(self.below(span)).unwrap_or(0)
    }

    /// A decimal from 0 up, with at most so many decimals.
    fn decimal(&mut self, whole_max: i64, decimals: u32) -> Decimal {
        let scale = 10_i64.pow(decimals);
        Decimal::new(self.between(0, whole_max * scale), decimals).normalize()
    }
}

/// What becomes of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Yes.
    Yes,
    /// No.
    No,
    /// Its time passes; whatever follows is late.
    Late,
}

/// What befalls a request on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing of ours.
    None,
    /// The client goes away after so many microseconds, and asks again under the same key.
    Dropped {
        /// Microseconds after sending.
        after_us: u64,
    },
    /// Two clients send it at once, each to one of the servers.
    Twice,
    /// It is sent again when it has been answered.
    Again,
}

/// One step of one client.
#[derive(Debug, Clone)]
pub struct Step {
    /// The call.
    pub call: Call,
    /// What befalls it.
    pub fault: Fault,
    /// What the person says to its question, one after the other; nothing for never.
    pub answers: Vec<(Answer, Fault)>,
}

/// A sequence.
#[derive(Debug, Clone)]
pub struct Script {
    /// The number it was drawn from.
    pub seed: u64,
    /// The shop.
    pub settings: Settings,
    /// What is done first, by one client.
    pub opening: Vec<Step>,
    /// What each client does then, all at once.
    pub clients: Vec<Vec<Step>>,
}

impl Script {
    /// Draws a sequence. `today` is a day of the time at which it is run, give or take one.
    #[must_use]
    pub fn drawn(seed: u64, today: NaiveDate) -> Script {
        let mut draw = Draw::new(seed);
        let settings = settings(&mut draw);
        let date = today.checked_add_days(BOOKED_AHEAD).unwrap_or(today);
        let opening = opening(&mut draw);
        let mut clients: Vec<Vec<Step>> = (0..1 + draw.below(CLIENTS_MAX))
            .map(|_| Vec::new())
            .collect();
        let many = clients.len() as u64;
        for _ in 0..4 + draw.below(STEPS_MAX - 3) {
            let at = usize::try_from(draw.below(many)).unwrap_or(0);
            let step = step(&mut draw, today, date, at);
            clients[at].push(step);
        }
        Script {
            seed,
            settings,
            opening,
            clients,
        }
    }

    /// How many steps the clients take.
    #[must_use]
    pub fn len(&self) -> usize {
        self.clients.iter().map(Vec::len).sum()
    }

    /// Whether the clients do nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same without one step; `None` when there are not so many.
    #[must_use]
    pub fn without(&self, mut nth: usize) -> Option<Script> {
        let mut shorter = self.clone();
        for client in &mut shorter.clients {
            if nth < client.len() {
                client.remove(nth);
                return Some(shorter);
            }
            nth -= client.len();
        }
        None
    }
}

fn settings(draw: &mut Draw) -> Settings {
    let mut policies = BTreeMap::new();
    match draw.below(10) {
        0 => {
            policies.insert("billing_create_bill", Ask::Never);
        }
        1 => {
            policies.insert("billing_create_bill", Ask::Above(draw.between(0, 5_000)));
        }
        2 => {
            policies.insert("inventory_delete_item", Ask::Never);
        }
        _ => {}
    }
    let currency: Currency = draw.one_of(&CURRENCIES).parse().expect("a currency");
    Settings {
        currency,
        allow_negative: draw.percent(10),
        policies,
    }
}

fn fault(draw: &mut Draw) -> Fault {
    match draw.below(20) {
        0..=2 => Fault::Dropped {
            after_us: draw.below(12_000),
        },
        3..=4 => Fault::Twice,
        5 => Fault::Again,
        _ => Fault::None,
    }
}

fn opening(draw: &mut Draw) -> Vec<Step> {
    let mut calls: Vec<Call> = (0..2 + draw.below(2)).map(|_| add(draw)).collect();
    let capacity = 1 + usize::from(draw.percent(40));
    calls.push(Call::Booking(booking::Call::SetUp { capacity }));
    if draw.percent(95) {
        calls.push(Call::Booking(booking::Call::Open));
    }
    let unhindered = |call| Step {
        call,
        fault: Fault::None,
        answers: Vec::new(),
    };
    calls.into_iter().map(unhindered).collect()
}

/// `date` is when things are booked, `by` which client takes the step.
fn step(draw: &mut Draw, today: NaiveDate, date: NaiveDate, by: usize) -> Step {
    let call = match draw.below(134) {
        0..=8 => adjust(draw),
        9..=12 => count(draw),
        13..=17 => price(draw),
        18..=20 => add(draw),
        21..=24 => remove(draw),
        25..=28 => Call::Inventory(inventory::Call::Get { item: item(draw) }),
        29..=31 => Call::Inventory(inventory::Call::List),
        32..=55 => create(draw),
        56..=63 => Call::Billing(billing::Call::Void { number: bill(draw) }),
        64..=67 => Call::Billing(billing::Call::WriteOff { number: bill(draw) }),
        68..=91 => money(draw),
        92..=93 => Call::Billing(billing::Call::Get { number: bill(draw) }),
        97..=118 => book(draw, date, by),
        119..=127 => person(draw),
        128..=131 => Call::Billing(billing::Call::Credit {
            number: bill(draw),
            restock: draw.percent(70),
            to: draw.percent(50).then(|| method(draw)),
        }),
        94..=96 => Call::Billing(billing::Call::List {
            status: *draw.one_of(&[
                None,
                Some("open"),
                Some("paid"),
                Some("void"),
                Some("uncollectible"),
            ]),
        }),
        _ => Call::Billing(summary(today)),
    };
    let mut answers = if call.is_commit() {
        answers(draw)
    } else {
        Vec::new()
    };
    if matches!(call, Call::Booking(_)) {
        // How long a time is kept after its question has lapsed depends on who looks first: scenes of its own show that.
        answers.retain(|(answer, _)| *answer != Answer::Late);
    }
    Step {
        fault: fault(draw),
        call,
        answers,
    }
}

fn answers(draw: &mut Draw) -> Vec<(Answer, Fault)> {
    use Answer::{Late, No, Yes};
    let said: &[Answer] = match draw.below(20) {
        0 => &[],
        1 => &[No],
        2 => &[Yes, Yes],
        3 => &[No, Yes],
        4 => &[Yes, No],
        5 => &[Late, Yes],
        6 => &[Late, No],
        _ => &[Yes],
    };
    said.iter().map(|answer| (*answer, fault(draw))).collect()
}

/// Days that hold everything that happens while a sequence runs, wherever the shop is.
#[must_use]
pub fn summary(today: NaiveDate) -> billing::Call {
    billing::Call::Summary {
        from: today.checked_sub_days(Days::new(2)).unwrap_or(today),
        to: today.checked_add_days(Days::new(2)).unwrap_or(today),
    }
}

fn item(draw: &mut Draw) -> String {
    // The first two are the goods everybody wants.
    let of = if draw.percent(70) { 2 } else { ITEMS.len() };
    draw.one_of(&ITEMS[..of]).0.to_owned()
}

fn bill(draw: &mut Draw) -> usize {
    usize::try_from(draw.between(1, 5)).unwrap_or(1)
}

fn amount(draw: &mut Draw, name: &str) -> Decimal {
    let unit = ITEMS.iter().find(|(item, _)| *item == name).map(|i| i.1);
    match unit {
        Some("each") => Decimal::from(draw.between(1, 4)),
        Some("g") => Decimal::from(draw.between(1, 400)),
        _ => Decimal::new(draw.between(1, 4_000), 3).normalize(),
    }
}

fn unit(draw: &mut Draw, name: &str) -> Option<&'static str> {
    let unit = ITEMS.iter().find(|(item, _)| *item == name)?.1;
    (draw.percent(20) && unit != "each").then_some(if unit == "kg" { "g" } else { "kg" })
}

/// A quantity, sometimes in another unit than the item's.
fn measured(draw: &mut Draw, name: &str) -> (Decimal, Option<&'static str>) {
    let quantity = amount(draw, name);
    match unit(draw, name) {
        Some("g") => (Decimal::from(draw.between(1, 4_000)), Some("g")),
        Some(unit) => (
            Decimal::new(draw.between(1, 400), 3).normalize(),
            Some(unit),
        ),
        None => (quantity, None),
    }
}

fn add(draw: &mut Draw) -> Call {
    let name = item(draw);
    let unit = ITEMS.iter().find(|i| i.0 == name).map_or("each", |i| i.1);
    let quantity = match unit {
        "each" => Decimal::from(draw.between(0, 9)),
        "g" => Decimal::from(draw.between(0, 900)),
        _ => draw.decimal(9, 3),
    };
    Call::Inventory(inventory::Call::Add {
        name,
        unit,
        price: draw.decimal(900, 2),
        quantity,
    })
}

fn adjust(draw: &mut Draw) -> Call {
    let item = item(draw);
    let (quantity, unit) = measured(draw, &item);
    let delta = if draw.percent(50) {
        quantity
    } else {
        -quantity
    };
    Call::Inventory(inventory::Call::Adjust { item, delta, unit })
}

fn count(draw: &mut Draw) -> Call {
    let item = item(draw);
    // The client puts in the version it has seen last.
    Call::Inventory(inventory::Call::Count {
        quantity: amount(draw, &item),
        item,
        expected_version: 1,
    })
}

fn price(draw: &mut Draw) -> Call {
    Call::Inventory(inventory::Call::Price {
        item: item(draw),
        price: draw.decimal(900, 2),
    })
}

fn remove(draw: &mut Draw) -> Call {
    Call::Inventory(inventory::Call::Remove { item: item(draw) })
}

fn method(draw: &mut Draw) -> Method {
    *draw.one_of(&[Method::Cash, Method::Wallet])
}

/// Mostly the same one, so that bills and money meet.
fn customer(draw: &mut Draw) -> String {
    let of = if draw.percent(70) { 1 } else { CUSTOMERS.len() };
    (*draw.one_of(&CUSTOMERS[..of])).to_owned()
}

fn money(draw: &mut Draw) -> Call {
    let whose = |draw: &mut Draw| draw.percent(75).then(|| customer(draw));
    Call::Payment(match draw.below(24) {
        0..=5 => payment::Call::TopUp {
            customer: customer(draw),
            amount: draw.between(1, 2_000),
        },
        6..=13 => payment::Call::Collect {
            payer: if draw.percent(50) {
                Payer::Customer(customer(draw))
            } else {
                Payer::Bill(bill(draw))
            },
            amount: draw.percent(50).then(|| draw.between(1, 1_500)),
            method: method(draw),
        },
        14..=18 => payment::Call::Refund {
            number: bill(draw),
            to: method(draw),
        },
        19..=21 => payment::Call::Balance {
            customer: whose(draw),
        },
        _ => payment::Call::History {
            customer: whose(draw),
        },
    })
}

fn book(draw: &mut Draw, date: NaiveDate, by: usize) -> Call {
    // The first time is the one everybody wants.
    let of = if draw.percent(60) {
        1
    } else {
        booking::TIMES.len()
    };
    let time = usize::try_from(draw.below(of as u64)).unwrap_or(0);
    let number = usize::try_from(draw.between(1, 3)).unwrap_or(1);
    Call::Booking(match draw.below(20) {
        0..=9 => booking::Call::Book {
            customer: draw.percent(70).then(|| customer(draw)),
            date,
            time,
            by,
        },
        10..=13 => booking::Call::Move {
            number,
            time: usize::try_from(draw.below(booking::TIMES.len() as u64)).unwrap_or(0),
        },
        14..=16 => booking::Call::Cancel { number },
        17..=18 => booking::Call::Free { date, time },
        _ => booking::Call::View,
    })
}

fn person(draw: &mut Draw) -> Call {
    let number = usize::try_from(draw.between(1, 3)).unwrap_or(1);
    Call::People(match draw.below(9) {
        0..=1 => people::Call::Create {
            name: customer(draw),
        },
        2..=4 => people::Call::Ask {
            subject: (*draw.one_of(&["Sour milk", "The door sticks"])).to_owned(),
            customer: draw.percent(40).then(|| customer(draw)),
        },
        5..=6 => people::Call::Answer {
            number,
            status: draw.one_of::<&str>(&TICKET_STATUSES),
        },
        7 => people::Call::Escalate { number },
        _ => people::Call::List {
            status: *draw.one_of(&[None, Some("open"), Some("escalated")]),
        },
    })
}

fn create(draw: &mut Draw) -> Call {
    let lines = (0..1 + draw.below(3))
        .map(|_| {
            let item = item(draw);
            let (quantity, unit) = measured(draw, &item);
            (item, quantity, unit)
        })
        .collect();
    let customer = draw.percent(70).then(|| customer(draw));
    let payment = match draw.below(5) {
        0 => Some((method(draw), None)),
        1 => Some((method(draw), Some(draw.between(1, 300)))),
        _ => None,
    };
    Call::Billing(billing::Call::Create(Box::new(billing::Wanted {
        customer,
        lines,
        discount_minor: draw.percent(20).then(|| draw.between(1, 200)),
        payment,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_draws_the_same_sequence_every_time() {
        let today = NaiveDate::from_ymd_opt(2026, 11, 20).unwrap();
        let drawn = |seed| format!("{:?}", Script::drawn(seed, today));
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
        let script = Script::drawn(7, today);
        assert_eq!(script.without(0).unwrap().len(), script.len() - 1);
        assert!(script.without(script.len()).is_none());
    }
}
