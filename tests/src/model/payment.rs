//! Money in, out and owed, with pen and paper.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Expected, OpId, Shop};

/// How money is paid. Both settle at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Over the counter.
    Cash,
    /// From the customer's wallet.
    Wallet,
}

/// What the shop does with money.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Call {
    /// `top_up_wallet` in cash.
    TopUp {
        /// Whose wallet.
        customer: String,
        /// Whole major units.
        amount: i64,
    },
    /// `collect_payment`.
    Collect {
        /// Who or what is paid.
        payer: Payer,
        /// Whole major units; what is owed when absent.
        amount: Option<i64>,
        /// How.
        method: Method,
    },
    /// `refund_payment` of all that was paid on a bill.
    Refund {
        /// The bill's number.
        number: usize,
        /// Into the till's cash, or the customer's wallet.
        to: Method,
    },
    /// `check_balance`.
    Balance {
        /// Whose; the shop's when absent.
        customer: Option<String>,
    },
    /// `transaction_history` in one page: its sums have to be the balance.
    History {
        /// Whose; the whole shop's when absent.
        customer: Option<String>,
    },
}

/// Who or what a payment is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Payer {
    /// A customer: the open bills, the oldest first, then the wallet.
    Customer(String),
    /// One bill.
    Bill(usize),
}

/// A payment that settled.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Payment {
    /// Minor units into the till; negative out of it. 0 for what a wallet paid.
    pub till_minor: i64,
}

/// What is agreed to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Terms {
    /// Into a wallet.
    TopUp {
        /// Whose.
        customer: String,
        /// The customer was not known when it was shown.
        is_new: bool,
        /// Minor units.
        amount_minor: i64,
    },
    /// For bills.
    Collect {
        /// Who pays; nobody for a counter sale.
        customer: Option<String>,
        /// The bill that was named.
        bill: Option<usize>,
        /// Minor units.
        amount_minor: i64,
        /// How.
        method: Method,
        /// Bills by number, and what goes to each.
        parts: Vec<(usize, i64)>,
        /// What is left for the wallet.
        to_wallet_minor: i64,
    },
    /// Out again.
    Refund {
        /// The bill.
        number: usize,
        /// What is taken back of each payment, by its number.
        taken: BTreeMap<usize, i64>,
        /// Whose wallet, if it goes there.
        wallet: Option<String>,
    },
}

impl Method {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Method::Cash => "cash",
            Method::Wallet => "wallet",
        }
    }
}

impl Call {
    pub(super) fn tool(&self) -> &'static str {
        match self {
            Call::TopUp { .. } => "top_up_wallet",
            Call::Collect { .. } => "collect_payment",
            Call::Refund { .. } => "refund_payment",
            Call::Balance { .. } => "check_balance",
            Call::History { .. } => "transaction_history",
        }
    }

    pub(super) fn arguments(&self) -> Value {
        match self {
            Call::TopUp { customer, amount } => {
                json!({"customer": customer, "amount": amount.to_string(), "method": "cash"})
            }
            Call::Collect {
                payer,
                amount,
                method,
            } => {
                let (customer, bill) = match payer {
                    Payer::Customer(name) => (Some(name), None),
                    Payer::Bill(number) => (None, Some(format!("INV-{number}"))),
                };
                let amount = amount.map(|a| a.to_string());
                json!({"customer": customer, "bill": bill, "amount": amount, "method": method.word()})
            }
            Call::Refund { number, to } => {
                json!({"bill": format!("INV-{number}"), "to": to.word()})
            }
            Call::Balance { customer } => json!({"customer": customer}),
            Call::History { customer } => json!({"customer": customer, "limit": 100}),
        }
    }

    pub(super) fn is_commit(&self) -> bool {
        matches!(
            self,
            Call::TopUp { .. } | Call::Collect { .. } | Call::Refund { .. }
        )
    }
}

impl Terms {
    /// The person saw whether the customer was new.
    pub(super) fn as_shown(&mut self, question: &Value) {
        if let Terms::TopUp { is_new, .. } = self {
            *is_new = question["binding"]["customer"]["new"].is_string();
        }
    }

    pub(super) fn total_minor(&self) -> i64 {
        match self {
            Terms::TopUp { amount_minor, .. } | Terms::Collect { amount_minor, .. } => {
                *amount_minor
            }
            Terms::Refund { taken, .. } => taken.values().sum(),
        }
    }

    pub(super) fn shown(&self) -> Value {
        let total = json!({"amount_minor": self.total_minor()});
        match self {
            Terms::Collect {
                parts,
                to_wallet_minor,
                ..
            } => {
                let bills: Vec<Value> = parts
                    .iter()
                    .map(|(_, minor)| json!({"amount_minor": minor}))
                    .collect();
                json!({"total": total, "binding": {"bills": bills, "to_wallet_minor": to_wallet_minor}})
            }
            Terms::TopUp { .. } | Terms::Refund { .. } => json!({"total": total}),
        }
    }
}

fn money(minor: i64) -> Value {
    json!({"amount_minor": minor})
}

impl Shop {
    /// What is in a wallet, minor units.
    #[must_use]
    pub fn wallet_minor(&self, customer: &str) -> i64 {
        self.wallets.get(customer).copied().unwrap_or(0)
    }

    /// Open bills of a customer, or of everybody, the oldest first: number and what is owed.
    fn open_bills(&self, customer: Option<&str>) -> Vec<(usize, i64)> {
        let mut open: Vec<(usize, &super::billing::Bill)> = (1..)
            .zip(&self.bills)
            .filter(|(_, bill)| bill.status() == "open" && bill.owed_minor() > 0)
            .filter(|(_, bill)| customer.is_none_or(|name| bill.customer.as_deref() == Some(name)))
            .collect();
        open.sort_by_key(|(number, bill)| (bill.issued_at, *number));
        open.iter()
            .map(|(number, bill)| (*number, bill.owed_minor()))
            .collect()
    }

    fn owed_by(&self, customer: Option<&str>) -> i64 {
        self.open_bills(customer).iter().map(|(_, owed)| owed).sum()
    }

    fn known(&self, customer: &str) -> Result<(), Expected> {
        if self.customers.contains_key(customer) {
            Ok(())
        } else {
            Err(Expected::refused("unknown_customer"))
        }
    }

    pub(super) fn payment_read(&self, call: &Call) -> Expected {
        let (Call::Balance { customer } | Call::History { customer }) = call else {
            return Expected::Nothing;
        };
        if let Some(Err(refused)) = customer.as_ref().map(|name| self.known(name)) {
            return refused;
        }
        let name = customer.as_deref();
        let wallet_minor = match name {
            Some(name) => self.wallet_minor(name),
            None => self.wallets.values().sum(),
        };
        let owed_minor = self.owed_by(name);
        if let Call::History { .. } = call {
            return Expected::Done(
                json!({"sums": {"wallet_minor": wallet_minor, "owed_minor": owed_minor}}),
            );
        }
        let open = self.bills.iter().filter(|bill| bill.status() == "open");
        let open_bills = open
            .filter(|bill| name.is_none_or(|name| bill.customer.as_deref() == Some(name)))
            .count();
        Expected::Done(json!({
            "wallet": money(wallet_minor), "owed": money(owed_minor), "open_bills": open_bills,
            "pending_in": money(0), "pending_out": money(0),
        }))
    }

    pub(super) fn payment_terms(&self, call: &Call) -> Result<Terms, Expected> {
        match call {
            Call::TopUp { customer, amount } => Ok(Terms::TopUp {
                customer: customer.clone(),
                is_new: !self.customers.contains_key(customer),
                amount_minor: self.major(*amount),
            }),
            Call::Collect {
                payer,
                amount,
                method,
            } => self.collect_terms(payer, *amount, *method),
            Call::Refund { number, to } => self.refund_terms(*number, *to),
            Call::Balance { .. } | Call::History { .. } => Err(Expected::Nothing),
        }
    }

    fn collect_terms(
        &self,
        payer: &Payer,
        amount: Option<i64>,
        method: Method,
    ) -> Result<Terms, Expected> {
        let (customer, bill, open) = match payer {
            Payer::Customer(name) => {
                self.known(name)?;
                (Some(name.clone()), None, self.open_bills(Some(name)))
            }
            Payer::Bill(number) => {
                let owner = self.bill(*number)?.customer.clone();
                let mut open = self.open_bills(None);
                open.retain(|(other, _)| other == number);
                (owner, Some(*number), open)
            }
        };
        let owed: i64 = open.iter().map(|(_, owed)| owed).sum();
        let only_owed = bill.is_some() || method == Method::Wallet;
        if owed == 0 && (only_owed || amount.is_none()) {
            return Err(Expected::refused("nothing_owed"));
        }
        let amount_minor = amount.map_or(owed, |amount| self.major(amount));
        if only_owed && amount_minor > owed {
            return Err(Expected::refused("invalid_arguments"));
        }
        if method == Method::Wallet {
            self.refuse_poor(customer.as_deref(), amount_minor)?;
        }
        let (mut left, mut parts) = (amount_minor, Vec::new());
        for (number, owed) in open {
            let part = left.min(owed);
            if part > 0 {
                left -= part;
                parts.push((number, part));
            }
        }
        Ok(Terms::Collect {
            customer,
            bill,
            amount_minor,
            method,
            parts,
            to_wallet_minor: left,
        })
    }

    /// Refuses to take what is not in a wallet, or from the wallet of nobody.
    pub(super) fn refuse_poor(
        &self,
        customer: Option<&str>,
        amount_minor: i64,
    ) -> Result<(), Expected> {
        match customer {
            None => Err(Expected::refused("invalid_arguments")),
            Some(name) if self.wallet_minor(name) < amount_minor => {
                Err(Expected::refused("insufficient_funds"))
            }
            Some(_) => Ok(()),
        }
    }

    fn refund_terms(&self, number: usize, to: Method) -> Result<Terms, Expected> {
        let bill = self.bill(number)?;
        let taken: BTreeMap<usize, i64> = bill
            .payments
            .iter()
            .filter(|(_, minor)| **minor > 0)
            .map(|(payment, minor)| (*payment, *minor))
            .collect();
        if taken.is_empty() {
            return Err(Expected::refused("not_refundable"));
        }
        let wallet = match (to, &bill.customer) {
            (Method::Cash, _) => None,
            (Method::Wallet, Some(name)) => Some(name.clone()),
            (Method::Wallet, None) => return Err(Expected::refused("invalid_arguments")),
        };
        Ok(Terms::Refund {
            number,
            taken,
            wallet,
        })
    }

    /// Writes a payment down and returns its number.
    pub(super) fn paid(&mut self, till_minor: i64) -> usize {
        self.payments.push(Payment { till_minor });
        self.payments.len()
    }

    pub(super) fn move_money(&mut self, terms: &Terms, id: OpId) -> Expected {
        match terms {
            Terms::TopUp {
                customer,
                amount_minor,
                ..
            } => {
                self.customers.entry(customer.clone()).or_insert(id);
                *self.wallets.entry(customer.clone()).or_default() += amount_minor;
                let payment = self.paid(*amount_minor);
                Expected::Done(json!({
                    "payment": {"reference": format!("PAY-{payment}"), "method": "cash", "status": "succeeded",
                        "amount": money(*amount_minor)},
                    "owed": money(self.owed_by(Some(customer))), "wallet": money(self.wallet_minor(customer)),
                }))
            }
            Terms::Collect { .. } => self.collect(terms),
            Terms::Refund {
                number,
                taken,
                wallet,
            } => {
                let amount: i64 = taken.values().sum();
                for minor in taken.values() {
                    self.paid(if wallet.is_some() { 0 } else { -minor });
                }
                if let Some(name) = wallet {
                    *self.wallets.entry(name.clone()).or_default() += amount;
                }
                let bill = &mut self.bills[number - 1];
                for (payment, minor) in taken {
                    *bill.payments.entry(*payment).or_default() -= minor;
                }
                bill.credited_minor += amount;
                Expected::Done(json!({"amount": money(amount)}))
            }
        }
    }

    fn collect(&mut self, terms: &Terms) -> Expected {
        let Terms::Collect {
            customer,
            bill,
            amount_minor,
            method,
            parts,
            to_wallet_minor,
        } = terms
        else {
            return Expected::Nothing;
        };
        let till_minor = if *method == Method::Cash {
            *amount_minor
        } else {
            0
        };
        let payment = self.paid(till_minor);
        for (number, minor) in parts {
            self.bills[number - 1].payments.insert(payment, *minor);
        }
        if let Some(name) = customer {
            let change = match method {
                Method::Cash => *to_wallet_minor,
                Method::Wallet => -*amount_minor,
            };
            *self.wallets.entry(name.clone()).or_default() += change;
        }
        let owed = match (bill, customer) {
            (Some(number), _) => self.bills[number - 1].owed_minor(),
            (None, name) => self.owed_by(name.as_deref()),
        };
        let bills: Vec<Value> = parts
            .iter()
            .map(|(number, minor)| json!({"number": format!("INV-{number}"), "amount": money(*minor)}))
            .collect();
        let bills = if bills.is_empty() {
            Value::Null
        } else {
            json!(bills)
        };
        let wallet = customer.as_ref().map(|name| money(self.wallet_minor(name)));
        Expected::Done(json!({
            "payment": {"reference": format!("PAY-{payment}"), "method": method.word(), "status": "succeeded",
                "amount": money(*amount_minor), "bills": bills},
            "owed": money(owed), "wallet": wallet,
        }))
    }
}
