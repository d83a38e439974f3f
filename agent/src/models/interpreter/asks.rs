//! The one question for what a payment, a booking, a customer, a place or a ticket still lacks.

use super::plans::Plan;
use super::replies::pick;
use super::tools::{
    CALCULATE_DISTANCE, CANCEL_BOOKING, COLLECT_PAYMENT, CREATE_BOOKING, CREATE_CUSTOMER,
    REFUND_PAYMENT, RESCHEDULE_BOOKING, SET_RESOURCE, TOP_UP_WALLET,
};
use super::when::in_half;
use crate::language::Language;

/// The question for the argument at `path`; `None` where the goods' own questions fit.
pub(super) fn question(plan: &Plan, path: &str, language: Language) -> Option<String> {
    let last = path.rsplit('.').next().unwrap_or(path);
    if last == "time" {
        return Some(match &plan.clock {
            Some(clock) => which_half(clock, language),
            None => pick(language, "For what time?", "¿A qué hora?").to_owned(),
        });
    }
    let (english, spanish) = match (plan.tool.as_str(), last) {
        (RESCHEDULE_BOOKING, "date") => ("To which day and time?", "¿A qué día y hora?"),
        (_, "date") => ("For which day?", "¿Para qué día?"),
        (CANCEL_BOOKING | RESCHEDULE_BOOKING, "booking") => (
            "Which booking? Say its reference, such as BK-7, or the customer's name.",
            "¿Qué reserva? Di su referencia, por ejemplo BK-7, o el nombre del cliente.",
        ),
        (TOP_UP_WALLET, "method") => (
            "How is it paid: cash, mobile money or card?",
            "¿Cómo se paga: en efectivo, con dinero móvil o con tarjeta?",
        ),
        (COLLECT_PAYMENT, "method") => (
            "How is it paid: cash, wallet, mobile money or card?",
            "¿Cómo se paga: en efectivo, con el monedero, con dinero móvil o con tarjeta?",
        ),
        (COLLECT_PAYMENT, "customer") => ("From which customer?", "¿De qué cliente?"),
        (TOP_UP_WALLET, "customer") => ("Whose wallet?", "¿El monedero de quién?"),
        (COLLECT_PAYMENT | TOP_UP_WALLET | REFUND_PAYMENT, "amount") => {
            ("How much money?", "¿Cuánto dinero?")
        }
        (CREATE_CUSTOMER, "name") => ("What is the customer called?", "¿Cómo se llama el cliente?"),
        (SET_RESOURCE, "name") => ("What is it called?", "¿Cómo se llama?"),
        (CALCULATE_DISTANCE, "from") => ("From where?", "¿Desde dónde?"),
        (CALCULATE_DISTANCE, "to") => ("To where?", "¿Hasta dónde?"),
        (_, "subject") => ("What is it about?", "¿De qué se trata?"),
        (_, "note") => ("What should be noted?", "¿Qué se debe anotar?"),
        (_, "ticket") => (
            "Which ticket? Say its number, or \"the last one\".",
            "¿Qué ticket? Di su número, o \"el último\".",
        ),
        (CREATE_BOOKING, "customer") => ("For which customer?", "¿Para qué cliente?"),
        _ => return None,
    };
    Some(pick(language, english, spanish).to_owned())
}

/// "8:00 in the morning or 20:00 in the evening?"
fn which_half(clock: &str, language: Language) -> String {
    let morning = in_half(clock, false).unwrap_or_else(|| clock.to_owned());
    let later = in_half(clock, true).unwrap_or_else(|| clock.to_owned());
    if language == Language::Es {
        format!("¿A las {morning} de la mañana o a las {later}?")
    } else {
        format!("At {morning} in the morning or at {later}?")
    }
}
