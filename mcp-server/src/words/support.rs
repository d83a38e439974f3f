//! What is said about tickets.

use contracts::failure::{FailureCode, ToolFailure};
use contracts::locale::Locale;
use contracts::tools::support::{TicketHead, TicketPriority, TicketStatus};

use super::arguments::refused;
use super::inventory::Page;
use super::some_of;

fn status(locale: Locale, status: TicketStatus) -> &'static str {
    match (locale, status) {
        (Locale::En, status) => status.word(),
        (Locale::Es, TicketStatus::Open) => "abierta",
        (Locale::Es, TicketStatus::Escalated) => "escalada",
        (Locale::Es, TicketStatus::Waiting) => "en espera",
        (Locale::Es, TicketStatus::Resolved) => "resuelta",
        (Locale::Es, TicketStatus::Closed) => "cerrada",
    }
}

fn priority(locale: Locale, priority: TicketPriority) -> String {
    match (locale, priority) {
        (Locale::En, priority) => format!("{} priority", priority.word()),
        (Locale::Es, TicketPriority::Low) => "prioridad baja".to_owned(),
        (Locale::Es, TicketPriority::Normal) => "prioridad normal".to_owned(),
        (Locale::Es, TicketPriority::High) => "prioridad alta".to_owned(),
        (Locale::Es, TicketPriority::Urgent) => "prioridad urgente".to_owned(),
    }
}

fn about(locale: Locale, customer: Option<&str>) -> String {
    match (locale, customer) {
        (_, None) => String::new(),
        (Locale::En, Some(name)) => format!(" for {name}"),
        (Locale::Es, Some(name)) => format!(" de {name}"),
    }
}

/// A sentence ends once, also where a person's own text ends it.
fn ended(text: &str) -> String {
    if text.ends_with(['.', '!', '?', '…']) {
        text.to_owned()
    } else {
        format!("{text}.")
    }
}

/// "Opened ticket T-1 for Ali, high priority: Milk was sour."
#[must_use]
pub(crate) fn opened(locale: Locale, ticket: &TicketHead) -> String {
    let (number, about) = (&ticket.number, about(locale, ticket.customer.as_deref()));
    let presses = match ticket.priority {
        TicketPriority::Normal => String::new(),
        other => format!(", {}", priority(locale, other)),
    };
    let subject = ended(&ticket.subject);
    match locale {
        Locale::En => format!("Opened ticket {number}{about}{presses}: {subject}"),
        Locale::Es => format!("Incidencia {number}{about} abierta{presses}: {subject}"),
    }
}

/// "A person has been called for: ticket T-1 for Ali, Charged twice."
#[must_use]
pub(crate) fn escalated(locale: Locale, ticket: &TicketHead) -> String {
    let (number, about) = (&ticket.number, about(locale, ticket.customer.as_deref()));
    let subject = ended(&ticket.subject);
    match locale {
        Locale::En => format!("A person has been called for: ticket {number}{about}, {subject}"),
        Locale::Es => {
            format!("Se ha avisado a una persona: incidencia {number}{about}, {subject}")
        }
    }
}

/// "Ticket T-1: now waiting, noted."
#[must_use]
pub(crate) fn changed(
    locale: Locale,
    before: &TicketHead,
    after: &TicketHead,
    noted: bool,
) -> String {
    let mut parts = Vec::new();
    if before.status != after.status {
        let status = status(locale, after.status);
        parts.push(match locale {
            Locale::En => format!("now {status}"),
            Locale::Es => format!("ahora {status}"),
        });
    }
    if before.priority != after.priority {
        parts.push(priority(locale, after.priority));
    }
    if before.assignee != after.assignee {
        parts.push(match (locale, &after.assignee) {
            (Locale::En, Some(who)) => format!("{who} takes care of it"),
            (Locale::Es, Some(who)) => format!("se encarga {who}"),
            (Locale::En, None) => "nobody takes care of it".to_owned(),
            (Locale::Es, None) => "sin encargado".to_owned(),
        });
    }
    if noted {
        parts.push(match locale {
            Locale::En => "noted".to_owned(),
            Locale::Es => "anotado".to_owned(),
        });
    }
    let (number, parts) = (&after.number, parts.join(", "));
    match (locale, parts.is_empty()) {
        (Locale::En, true) => format!("Ticket {number} is as before: nothing was different."),
        (Locale::Es, true) => {
            format!("La incidencia {number} sigue igual: no había nada distinto.")
        }
        (Locale::En, false) => format!("Ticket {number}: {parts}."),
        (Locale::Es, false) => format!("Incidencia {number}: {parts}."),
    }
}

/// How a list of tickets was narrowed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Narrowed<'a> {
    /// By status.
    pub status: Option<TicketStatus>,
    /// By customer.
    pub customer: Option<&'a str>,
}

/// "2 open tickets: T-3 Ali: Late, T-2 Door."
#[must_use]
pub(crate) fn listed(
    locale: Locale,
    narrowed: Narrowed<'_>,
    tickets: &[TicketHead],
    page: Page,
) -> String {
    let named: Vec<String> = tickets
        .iter()
        .map(|ticket| named(locale, narrowed, ticket))
        .collect();
    let count = tickets.len();
    let (named, who) = (some_of(locale, &named), about(locale, narrowed.customer));
    let noun = noun(locale, narrowed.status, count != 1);
    match (locale, count, page) {
        (Locale::En, 0, _) => format!("There are no {noun}{who}."),
        (Locale::Es, 0, _) => format!("No hay {noun}{who}."),
        (_, _, Page::Only) => format!("{count} {noun}{who}: {named}."),
        (Locale::En, _, Page::First) => format!("The newest {count} {noun}{who}: {named}."),
        (Locale::Es, _, Page::First) => format!("Las {count} {noun} más recientes{who}: {named}."),
        (Locale::En, _, Page::Later) => format!("{count} older {noun}{who}: {named}."),
        (Locale::Es, _, Page::Later) => format!("{count} {noun} anteriores{who}: {named}."),
    }
}

/// "T-3 Ali: Late", "T-1 Sour milk (closed)".
fn named(locale: Locale, narrowed: Narrowed<'_>, ticket: &TicketHead) -> String {
    let stands = match (narrowed.status, ticket.status) {
        (Some(_), _) | (None, TicketStatus::Open) => String::new(),
        (None, other) => format!(" ({})", status(locale, other)),
    };
    let (number, subject) = (&ticket.number, &ticket.subject);
    match ticket
        .customer
        .as_deref()
        .filter(|_| narrowed.customer.is_none())
    {
        Some(customer) => format!("{number} {customer}: {subject}{stands}"),
        None => format!("{number} {subject}{stands}"),
    }
}

fn noun(locale: Locale, stands: Option<TicketStatus>, many: bool) -> String {
    let plural = if many { "s" } else { "" };
    match (locale, stands) {
        (Locale::En, None) => format!("ticket{plural}"),
        (Locale::Es, None) => format!("incidencia{plural}"),
        (Locale::En, Some(stands)) => format!("{} ticket{plural}", stands.word()),
        (Locale::Es, Some(TicketStatus::Waiting)) => format!("incidencia{plural} en espera"),
        (Locale::Es, Some(stands)) => {
            format!("incidencia{plural} {}{plural}", status(locale, stands))
        }
    }
}

/// "There is no ticket 9."
#[must_use]
pub(crate) fn unknown_ticket(locale: Locale, asked: &str) -> ToolFailure {
    let asked: String = asked.chars().filter(|c| !c.is_control()).take(40).collect();
    let message = match locale {
        Locale::En => format!("There is no ticket {asked}."),
        Locale::Es => format!("No hay ninguna incidencia {asked}."),
    };
    ToolFailure::new(
        FailureCode::UnknownTicket,
        message,
        "Name it by number (\"4\" or \"T-4\"), by id, or \"last\"; list_tickets shows the numbers.",
    )
    .at("ticket")
}

/// "There is no ticket yet.", for somebody who asked for the last one.
#[must_use]
pub(crate) fn no_ticket_yet(locale: Locale) -> ToolFailure {
    let message = match locale {
        Locale::En => "There is no ticket yet.",
        Locale::Es => "Todavía no hay ninguna incidencia.",
    };
    ToolFailure::new(
        FailureCode::UnknownTicket,
        message,
        "A ticket is opened with create_ticket.",
    )
    .at("ticket")
}

/// "Say what is to change."
#[must_use]
pub(crate) fn nothing_to_change(locale: Locale) -> ToolFailure {
    let message = match locale {
        Locale::En => {
            "Say what is to change: the status, the priority, who takes care of it, or a note."
        }
        Locale::Es => {
            "Diga qué hay que cambiar: el estado, la prioridad, quién se encarga, o una nota."
        }
    };
    refused(
        "ticket",
        message.to_owned(),
        "Give at least one of status, priority, note and assignee.",
    )
}

/// "Ticket T-1 is about Ali, not about Zoe."
#[must_use]
pub(crate) fn other_customer(locale: Locale, ticket: &TicketHead, asked: &str) -> ToolFailure {
    let (number, holder) = (
        &ticket.number,
        ticket.customer.as_deref().unwrap_or_default(),
    );
    let message = match locale {
        Locale::En => format!("Ticket {number} is about {holder}, not about {asked}."),
        Locale::Es => format!("La incidencia {number} es de {holder}, no de {asked}."),
    };
    refused(
        "customer",
        message,
        "Leave customer out to escalate that ticket, or leave ticket out to open a new one.",
    )
}
