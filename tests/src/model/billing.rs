//! Bills and takings, with pen and paper.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::{Value, json};

use super::payment::Method;
use super::{Expected, OpId, Reply, Shop, Step, plain};

/// What the shop does with its bills.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Call {
    /// `billing_create_bill`.
    Create(Box<Wanted>),
    /// `billing_void_bill`.
    Void {
        /// The bill's number.
        number: usize,
    },
    /// `billing_write_off_bill`.
    WriteOff {
        /// The bill's number.
        number: usize,
    },
    /// `billing_credit_bill`, the whole of it.
    Credit {
        /// The bill's number.
        number: usize,
        /// The goods go back to stock.
        restock: bool,
        /// Where money goes back to: the wallet for a known customer, else cash, when it is not said.
        to: Option<Method>,
    },
    /// `billing_get_bill`.
    Get {
        /// The bill's number.
        number: usize,
    },
    /// `billing_list_bills`.
    List {
        /// Only in this status.
        status: Option<&'static str>,
    },
    /// `sales_summary` over days that hold all that happens.
    Summary {
        /// First day.
        from: NaiveDate,
        /// Last day.
        to: NaiveDate,
    },
}

/// A bill as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// The customer, if it is for one.
    pub customer: Option<String>,
    /// Item, quantity and unit of each line.
    pub lines: Vec<(String, Decimal, Option<&'static str>)>,
    /// Minor units taken off.
    pub discount_minor: Option<i64>,
    /// Paid at once: how, and all of it or so many whole major units.
    pub payment: Option<(Method, Option<i64>)>,
}

/// A credit note that is agreed to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CreditTerms {
    number: usize,
    /// What it comes to.
    pub total_minor: i64,
    /// What is given back of each payment, by its number.
    taken: BTreeMap<usize, i64>,
    /// Whose wallet it goes into, if it does.
    wallet: Option<String>,
    restock: bool,
}

/// A line of a bill.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Line {
    /// The item, by its place.
    pub item: usize,
    /// In the item's unit.
    pub quantity: Decimal,
    /// Minor units per unit.
    pub price_minor: Decimal,
    /// Quantity times price, rounded once.
    pub gross_minor: i64,
}

/// What is agreed to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Terms {
    customer: Option<String>,
    /// The customer was not known when it was shown.
    is_new: bool,
    lines: Vec<Line>,
    units: Vec<Option<&'static str>>,
    discount_minor: i64,
    /// What is owed in all.
    pub total_minor: i64,
    payment: Option<(Method, i64)>,
}

/// A bill.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Bill {
    /// Whose it is.
    pub customer: Option<String>,
    /// Its lines.
    pub lines: Vec<Line>,
    /// What is owed in all.
    pub total_minor: i64,
    /// What is paid of it, minor units, by the payment's number.
    pub payments: BTreeMap<usize, i64>,
    /// What was credited of it.
    pub credited_minor: i64,
    /// Taken back.
    pub void: bool,
    /// Given up.
    pub uncollectible: bool,
    /// All its goods were credited.
    pub is_returned: bool,
    /// When it was asked for, as the server says: bills asked for at once may be numbered in another order.
    pub issued_at: Option<DateTime<Utc>>,
}

impl Call {
    pub(super) fn tool(&self) -> &'static str {
        match self {
            Call::Create(_) => "billing_create_bill",
            Call::Void { .. } => "billing_void_bill",
            Call::WriteOff { .. } => "billing_write_off_bill",
            Call::Credit { .. } => "billing_credit_bill",
            Call::Get { .. } => "billing_get_bill",
            Call::List { .. } => "billing_list_bills",
            Call::Summary { .. } => "sales_summary",
        }
    }

    pub(super) fn arguments(&self) -> Value {
        match self {
            Call::Create(wanted) => wanted.arguments(),
            Call::Void { number } | Call::WriteOff { number } | Call::Get { number } => {
                json!({"bill": format!("INV-{number}")})
            }
            Call::Credit {
                number,
                restock,
                to,
            } => {
                json!({"bill": format!("INV-{number}"), "restock": restock, "refund_to": to.map(Method::word)})
            }
            Call::List { status } => json!({"status": status, "limit": 100}),
            Call::Summary { from, to } => json!({"from": from, "to": to}),
        }
    }

    pub(super) fn is_read(&self) -> bool {
        !self.is_commit()
    }

    pub(super) fn is_commit(&self) -> bool {
        matches!(
            self,
            Call::Create(_) | Call::Void { .. } | Call::WriteOff { .. } | Call::Credit { .. }
        )
    }
}

impl Wanted {
    fn arguments(&self) -> Value {
        // The amounts are whole major units, whatever the currency's decimals: see the script.
        let lines: Vec<Value> = self
            .lines
            .iter()
            .map(|(item, quantity, unit)| {
                json!({"item": item, "quantity": plain(*quantity), "unit": unit})
            })
            .collect();
        let payment = self.payment.map(|(method, amount)| {
            json!({"method": method.word(), "amount": amount.map(|a| a.to_string())})
        });
        json!({"customer": self.customer, "lines": lines, "discount": self.discount_minor.map(|d| d.to_string()), "payment": payment})
    }
}

impl Terms {
    /// The person saw whether the customer was new.
    pub(super) fn as_shown(&mut self, question: &Value) {
        self.is_new = question["binding"]["customer"]["new"].is_string();
    }

    pub(super) fn shown(&self) -> Value {
        let lines: Vec<Value> = self
            .lines
            .iter()
            .map(|line| json!({"quantity": plain(line.quantity), "gross_minor": line.gross_minor}))
            .collect();
        json!({"total": {"amount_minor": self.total_minor}, "binding": {"lines": lines, "discount_minor": self.discount_minor}})
    }
}

impl Bill {
    /// Where it stands.
    #[must_use]
    pub fn status(&self) -> &'static str {
        if self.void {
            "void"
        } else if self.uncollectible {
            "uncollectible"
        } else if self.left_minor() == 0 {
            "paid"
        } else {
            "open"
        }
    }

    /// What is paid of it, minor units.
    #[must_use]
    pub fn paid_minor(&self) -> i64 {
        self.payments.values().sum()
    }

    fn left_minor(&self) -> i64 {
        self.total_minor - self.paid_minor() - self.credited_minor
    }

    /// What is owed on it, minor units.
    #[must_use]
    pub fn owed_minor(&self) -> i64 {
        if self.void || self.uncollectible {
            0
        } else {
            self.left_minor()
        }
    }

    fn head(&self, number: usize) -> Value {
        json!({
            "number": format!("INV-{number}"), "status": self.status(), "customer": self.customer,
            "total": {"amount_minor": self.total_minor}, "owed": {"amount_minor": self.owed_minor()},
            "credited": {"amount_minor": self.credited_minor},
        })
    }

    fn output(&self, number: usize, shop: &Shop) -> Value {
        let lines: Vec<Value> = self
            .lines
            .iter()
            .map(|line| {
                json!({
                    "description": shop.items[line.item].name, "gross": {"amount_minor": line.gross_minor},
                    "priced_quantity": {"quantity": plain(line.quantity)},
                })
            })
            .collect();
        let mut bill = self.head(number);
        bill["lines"] = json!(lines);
        bill["paid"] = json!({"amount_minor": self.paid_minor()});
        json!({"number": bill["number"], "bill": bill})
    }
}

impl Shop {
    pub(super) fn bill(&self, number: usize) -> Result<&Bill, Expected> {
        number
            .checked_sub(1)
            .and_then(|place| self.bills.get(place))
            .ok_or_else(|| Expected::refused("unknown_bill"))
    }

    /// Whole major units in minor units.
    pub(super) fn major(&self, amount: i64) -> i64 {
        amount * 10_i64.pow(self.settings.currency.exponent())
    }

    pub(super) fn billing_read(&self, call: &Call) -> Expected {
        match call {
            Call::Get { number } => match self.bill(*number) {
                Ok(bill) => Expected::Done(bill.output(*number, self)),
                Err(refused) => refused,
            },
            Call::List { status } => {
                let bills = self.bills.iter().zip(1..);
                let bills = bills
                    .filter(|(bill, _)| status.is_none_or(|wanted| bill.status() == wanted))
                    .map(|(bill, number)| bill.head(number));
                let notes = (1..=self.credit_notes).filter(|_| status.is_none());
                let notes =
                    notes.map(|n| json!({"number": format!("CN-{n}"), "kind": "credit_note"}));
                let heads: Vec<Value> = notes.chain(bills).collect();
                Expected::Done(json!({"bills": heads}))
            }
            Call::Summary { .. } => {
                let standing = self.bills.iter().filter(|bill| !bill.void);
                let sales: i64 = standing.clone().map(|bill| bill.total_minor).sum();
                let takings: i64 = self.payments.iter().map(|p| p.till_minor).sum();
                let credited: i64 = self.bills.iter().map(|bill| bill.credited_minor).sum();
                let owed: i64 = self.bills.iter().map(Bill::owed_minor).sum();
                Expected::Done(json!({
                    "bills": standing.count(), "sales": {"amount_minor": sales}, "takings": {"amount_minor": takings},
                    "owed": {"amount_minor": owed}, "credited": {"amount_minor": credited},
                }))
            }
            Call::Create(_) | Call::Void { .. } | Call::WriteOff { .. } | Call::Credit { .. } => {
                Expected::Nothing
            }
        }
    }

    pub(super) fn billing_terms(&self, call: &Call) -> Result<super::Terms, Expected> {
        match call {
            Call::Create(wanted) => self.bill_terms(wanted).map(super::Terms::Bill),
            Call::Void { number } => {
                self.refuse_settled(*number)?;
                Ok(super::Terms::Void(*number))
            }
            Call::WriteOff { number } => {
                let bill = self.bill(*number)?;
                if bill.status() != "open" {
                    return Err(Expected::refused("bill_not_open"));
                }
                Ok(super::Terms::WriteOff(*number, bill.owed_minor()))
            }
            Call::Credit {
                number,
                restock,
                to,
            } => self.credit_terms(*number, *restock, *to),
            Call::Get { .. } | Call::List { .. } | Call::Summary { .. } => Err(Expected::Nothing),
        }
    }

    fn credit_terms(
        &self,
        number: usize,
        restock: bool,
        to: Option<Method>,
    ) -> Result<super::Terms, Expected> {
        let bill = self.bill(number)?;
        let total_minor = bill.total_minor - bill.credited_minor;
        // Goods that came back once do not come back again.
        if !matches!(bill.status(), "open" | "paid") || total_minor <= 0 || bill.is_returned {
            return Err(Expected::refused("bill_not_open"));
        }
        let taken: BTreeMap<usize, i64> = bill
            .payments
            .iter()
            .filter(|(_, minor)| **minor > 0)
            .map(|(payment, minor)| (*payment, *minor))
            .collect();
        let wallet = match (to, &bill.customer) {
            (Some(Method::Cash), _) | (None, None) => None,
            (Some(Method::Wallet), None) if !taken.is_empty() => {
                return Err(Expected::refused("invalid_arguments"));
            }
            (_, customer) => customer.clone(),
        };
        Ok(super::Terms::Credit(CreditTerms {
            number,
            total_minor,
            taken,
            wallet,
            restock,
        }))
    }

    fn bill_terms(&self, wanted: &Wanted) -> Result<Terms, Expected> {
        let invalid = || Expected::refused("invalid_arguments");
        let mut lines = Vec::new();
        let places: Vec<usize> = wanted
            .lines
            .iter()
            .map(|(name, ..)| self.item(name))
            .collect::<Result<_, _>>()?;
        for (place, (_, quantity, unit)) in places.into_iter().zip(&wanted.lines) {
            let item = &self.items[place];
            let quantity = item.read(*quantity, *unit)?;
            lines.push(Line {
                item: place,
                quantity,
                price_minor: item.price_minor(),
                gross_minor: rounded(quantity * item.price_minor()),
            });
        }
        let subtotal: i64 = lines.iter().map(|line| line.gross_minor).sum();
        let discount_minor = self.major(wanted.discount_minor.unwrap_or(0));
        if discount_minor > subtotal {
            return Err(invalid());
        }
        let total_minor = subtotal - discount_minor;
        let payment = match wanted.payment {
            None => None,
            Some(_) if total_minor == 0 => return Err(invalid()),
            Some((method, None)) => Some((method, total_minor)),
            Some((method, Some(amount))) => Some((method, self.major(amount))),
        };
        if payment.is_some_and(|(_, minor)| minor > total_minor) {
            return Err(invalid());
        }
        let terms = Terms {
            is_new: wanted
                .customer
                .as_ref()
                .is_some_and(|name| !self.customers.contains_key(name)),
            customer: wanted.customer.clone(),
            units: wanted.lines.iter().map(|(_, _, unit)| *unit).collect(),
            lines,
            discount_minor,
            total_minor,
            payment,
        };
        self.refuse_short(&terms)?;
        self.refuse_poor_buyer(&terms)?;
        Ok(terms)
    }

    fn refuse_poor_buyer(&self, terms: &Terms) -> Result<(), Expected> {
        let Some((Method::Wallet, amount_minor)) = terms.payment else {
            return Ok(());
        };
        let known = terms
            .customer
            .as_deref()
            .filter(|name| self.customers.contains_key(*name));
        self.refuse_poor(known, amount_minor)
    }

    /// Lines of one item count together.
    fn refuse_short(&self, terms: &Terms) -> Result<(), Expected> {
        for (i, line) in terms.lines.iter().enumerate() {
            let item = &self.items[line.item];
            let before = &terms.lines[..=i];
            let taken: Decimal = before
                .iter()
                .filter(|other| other.item == line.item)
                .map(|other| other.quantity)
                .sum();
            if taken > item.on_hand && !self.settings.allow_negative {
                return Err(item.short(terms.units[i]));
            }
        }
        Ok(())
    }

    /// Whether it is the same bill, but for a customer who became one at the same time.
    pub(super) fn is_same_bill(
        &self,
        agreed: &Terms,
        terms: &Terms,
        overlaps: &dyn Fn(OpId) -> bool,
    ) -> bool {
        let by = agreed
            .customer
            .as_ref()
            .and_then(|name| self.customers.get(name));
        let may_have_been_new = agreed.is_new && by.is_some_and(|by| overlaps(*by));
        let mut terms = terms.clone();
        if may_have_been_new {
            terms.is_new = true;
        }
        *agreed == terms
    }

    /// Issues the bill that was agreed to.
    pub(super) fn issue(&mut self, terms: &Terms, step: &Step<'_>) -> Expected {
        if terms
            .lines
            .iter()
            .any(|line| self.items[line.item].archived)
        {
            return Expected::refused("unknown_item");
        }
        let enough = self.refuse_short(terms);
        if let Err(refused) = enough.and_then(|()| self.refuse_poor_buyer(terms)) {
            return refused;
        }
        for line in &terms.lines {
            self.items[line.item].moves(-line.quantity, "sale");
        }
        if let Some(name) = &terms.customer {
            self.customers.entry(name.clone()).or_insert(step.id);
        }
        let mut payments = BTreeMap::new();
        if let Some((method, minor)) = terms.payment {
            let till_minor = if method == Method::Cash { minor } else { 0 };
            payments.insert(self.paid(till_minor), minor);
            if let (Method::Wallet, Some(name)) = (method, &terms.customer) {
                *self.wallets.entry(name.clone()).or_default() -= minor;
            }
        }
        let bill = Bill {
            customer: terms.customer.clone(),
            lines: terms.lines.clone(),
            total_minor: terms.total_minor,
            payments,
            credited_minor: 0,
            void: false,
            uncollectible: false,
            is_returned: false,
            issued_at: issued_at(step.reply),
        };
        let number = self.bills.len() + 1;
        let output = bill.output(number, self);
        self.bills.push(bill);
        Expected::Done(output)
    }

    /// Takes all of a bill off again: nothing is owed, and nothing was paid.
    pub(super) fn credit(&mut self, terms: &CreditTerms) -> Expected {
        for minor in terms.taken.values() {
            self.paid(if terms.wallet.is_some() { 0 } else { -minor });
        }
        if let Some(name) = &terms.wallet {
            *self.wallets.entry(name.clone()).or_default() += terms.taken.values().sum::<i64>();
        }
        let bill = &mut self.bills[terms.number - 1];
        for (payment, minor) in &terms.taken {
            *bill.payments.entry(*payment).or_default() -= minor;
        }
        bill.credited_minor += terms.total_minor;
        bill.is_returned = true;
        let lines = bill.lines.clone();
        for line in lines.into_iter().filter(|_| terms.restock) {
            self.items[line.item].moves(line.quantity, "return");
        }
        self.credit_notes += 1;
        let bill = self.bills[terms.number - 1].output(terms.number, self);
        Expected::Done(json!({"number": format!("CN-{}", self.credit_notes), "bill": bill["bill"]}))
    }

    fn refuse_settled(&self, number: usize) -> Result<(), Expected> {
        let bill = self.bill(number)?;
        if bill.status() == "open" && bill.paid_minor() == 0 && bill.credited_minor == 0 {
            Ok(())
        } else {
            Err(Expected::refused("bill_not_open"))
        }
    }

    /// Gives up what is owed on a bill.
    pub(super) fn write_off(&mut self, number: usize) -> Expected {
        let bill = &mut self.bills[number - 1];
        if bill.status() != "open" {
            return Expected::refused("bill_not_open");
        }
        bill.uncollectible = true;
        Expected::Done(self.bills[number - 1].output(number, self))
    }

    /// Takes a bill back.
    pub(super) fn void(&mut self, number: usize) -> Expected {
        if let Err(refused) = self.refuse_settled(number) {
            return refused;
        }
        let lines = self.bills[number - 1].lines.clone();
        for line in lines {
            self.items[line.item].moves(line.quantity, "void");
        }
        self.bills[number - 1].void = true;
        Expected::Done(self.bills[number - 1].output(number, self))
    }
}

/// When the server says it was asked for the bill.
fn issued_at(reply: &Reply) -> Option<DateTime<Utc>> {
    let Reply::Done(done) = reply else {
        return None;
    };
    done["bill"]["issued_at"].as_str()?.parse().ok()
}

/// Half away from zero, as people round.
fn rounded(amount: Decimal) -> i64 {
    let whole = amount.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero);
    i64::try_from(whole).unwrap_or(i64::MAX)
}
