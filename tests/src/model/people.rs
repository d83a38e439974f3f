//! The people who buy, and what they ask for, on a list.

use serde_json::{Value, json};

use super::{Expected, OpId, Shop};

/// What the shop does about people.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Call {
    /// `create_customer`.
    Create {
        /// The name.
        name: String,
    },
    /// `create_ticket`.
    Ask {
        /// What it is about.
        subject: String,
        /// Who asks; nobody in particular.
        customer: Option<String>,
    },
    /// `update_ticket`.
    Answer {
        /// The ticket's number.
        number: usize,
        /// Its new status.
        status: &'static str,
    },
    /// `escalate_to_human` of a ticket that is there.
    Escalate {
        /// The ticket's number.
        number: usize,
    },
    /// `list_tickets`.
    List {
        /// Only in this status.
        status: Option<&'static str>,
    },
}

/// A request somebody made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ticket {
    subject: String,
    customer: Option<String>,
    status: &'static str,
    is_urgent: bool,
}

impl Call {
    pub(super) const fn tool(&self) -> &'static str {
        match self {
            Call::Create { .. } => "create_customer",
            Call::Ask { .. } => "create_ticket",
            Call::Answer { .. } => "update_ticket",
            Call::Escalate { .. } => "escalate_to_human",
            Call::List { .. } => "list_tickets",
        }
    }

    pub(super) fn arguments(&self) -> Value {
        match self {
            Call::Create { name } => json!({"name": name}),
            Call::Ask { subject, customer } => json!({"subject": subject, "customer": customer}),
            Call::Answer { number, status } => {
                json!({"ticket": format!("T-{number}"), "status": status})
            }
            Call::Escalate { number } => {
                json!({"ticket": format!("T-{number}"), "reason": "Nobody answers"})
            }
            Call::List { status } => json!({"status": status, "limit": 100}),
        }
    }

    pub(super) const fn is_read(&self) -> bool {
        matches!(self, Call::List { .. })
    }
}

impl Ticket {
    fn shown(&self, number: usize) -> Value {
        let priority = if self.is_urgent { "high" } else { "normal" };
        json!({"number": format!("T-{number}"), "subject": self.subject, "status": self.status, "priority": priority,
            "customer": self.customer})
    }
}

impl Shop {
    pub(super) fn people(&mut self, call: &Call, id: OpId) -> Expected {
        match call {
            Call::Create { name } if self.customers.contains_key(name) => {
                Expected::refused("already_exists")
            }
            Call::Create { name } => {
                self.customers.insert(name.clone(), id);
                Expected::Done(json!({"customer": {"name": name}}))
            }
            Call::Ask { customer, .. }
                if customer
                    .as_ref()
                    .is_some_and(|name| !self.customers.contains_key(name)) =>
            {
                Expected::refused("unknown_customer")
            }
            Call::Ask { subject, customer } => {
                self.tickets.push(Ticket {
                    subject: subject.clone(),
                    customer: customer.clone(),
                    status: "open",
                    is_urgent: false,
                });
                self.ticket_done(self.tickets.len())
            }
            Call::Answer { number, status } => self.change_ticket(*number, |ticket| {
                ticket.status = status;
            }),
            Call::Escalate { number } => self.change_ticket(*number, |ticket| {
                ticket.status = "escalated";
                ticket.is_urgent = true;
            }),
            Call::List { status } => {
                let wanted = |ticket: &Ticket| status.is_none_or(|status| ticket.status == status);
                let shown: Vec<Value> = (1..)
                    .zip(&self.tickets)
                    .filter(|(_, ticket)| wanted(ticket))
                    .map(|(number, ticket)| ticket.shown(number))
                    .collect();
                Expected::Done(json!({"tickets": shown}))
            }
        }
    }

    fn change_ticket(&mut self, number: usize, change: impl FnOnce(&mut Ticket)) -> Expected {
        let found = number
            .checked_sub(1)
            .and_then(|at| self.tickets.get_mut(at));
        match found {
            None => Expected::refused("unknown_ticket"),
            Some(ticket) => {
                change(ticket);
                self.ticket_done(number)
            }
        }
    }

    fn ticket_done(&self, number: usize) -> Expected {
        Expected::Done(json!({"ticket": self.tickets[number - 1].shown(number)}))
    }
}
