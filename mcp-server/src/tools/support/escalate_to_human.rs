//! `escalate_to_human`: a person is called for, with the reason and the conversation.

use contracts::tools::support::{
    EscalateToHuman, EscalateToHumanInput, TicketOutput, TicketPriority, TicketStatus,
};

use super::details::{self, NewTicket, SESSION_CHARS_MAX, SUBJECT_CHARS_MAX, TEXT_CHARS_MAX};
use super::update_ticket::{self, Wanted};
use crate::customers;
use crate::error::CallError;
use crate::handler::{Call, Effected, WriteTool};
use crate::typed;
use crate::words::arguments::{self, Thing};
use crate::words::support;

/// A call for a person, checked.
struct Wish {
    reason: String,
    session: Option<String>,
    customer: Option<customers::Customer>,
}

impl WriteTool for EscalateToHuman {
    async fn write(
        call: &mut Call<'_>,
        input: EscalateToHumanInput,
    ) -> Result<Effected<TicketOutput>, CallError> {
        let wish = checked(call, &input).await?;
        match &input.ticket {
            None => open(call, wish).await,
            Some(name) => escalate(call, name, wish).await,
        }
    }
}

async fn checked(call: &mut Call<'_>, input: &EscalateToHumanInput) -> Result<Wish, CallError> {
    let locale = call.locale;
    let reason = typed::text(
        &input.reason,
        Thing::Reason,
        "reason",
        TEXT_CHARS_MAX,
        locale,
    )?;
    if reason.is_empty() {
        return Err(arguments::empty(locale, Thing::Reason, "reason").into());
    }
    let session =
        |text: &String| typed::line(text, Thing::Session, "session", SESSION_CHARS_MAX, locale);
    Ok(Wish {
        reason,
        session: input.session.as_ref().map(session).transpose()?,
        customer: customers::whose(call, input.customer.as_deref(), "customer").await?,
    })
}

async fn open(call: &mut Call<'_>, wish: Wish) -> Result<Effected<TicketOutput>, CallError> {
    let new = NewTicket {
        customer_id: wish.customer.map(|customer| customer.id),
        subject: subject_of(&wish.reason),
        body: wish.reason,
        status: TicketStatus::Escalated,
        priority: TicketPriority::High,
        session: wish.session,
    };
    let ticket = details::open(call, &new).await?;
    Ok(Effected {
        audit: details::audit(None, &ticket),
        events: ["ticket.created", "ticket.escalated"]
            .map(|topic| details::event(topic, &ticket))
            .into(),
        output: TicketOutput {
            summary: support::escalated(call.locale, &ticket.head),
            ticket: details::shown(call, ticket),
        },
    })
}

async fn escalate(
    call: &mut Call<'_>,
    name: &str,
    wish: Wish,
) -> Result<Effected<TicketOutput>, CallError> {
    let before = details::lock(call, name).await?;
    if let Some(customer) = &wish.customer
        && before
            .head
            .customer
            .as_ref()
            .is_some_and(|c| *c != customer.name)
    {
        return Err(support::other_customer(call.locale, &before.head, &customer.name).into());
    }
    let (tenant, id) = (call.tenant(), before.head.ticket_id);
    details::write_note(call, id, &wish.reason).await?;
    let wanted = Wanted {
        status: TicketStatus::Escalated,
        priority: before.head.priority.max(TicketPriority::High),
        assignee: before.head.assignee.clone(),
        session: wish.session.or_else(|| before.session.clone()),
    };
    update_ticket::update(call.conn, tenant, id, &wanted, call.now).await?;
    let ticket = details::load(call.conn, tenant, id).await?;
    Ok(Effected {
        audit: details::audit(Some(&before), &ticket),
        events: vec![details::event("ticket.escalated", &ticket)],
        output: TicketOutput {
            summary: support::escalated(call.locale, &ticket.head),
            ticket: details::shown(call, ticket),
        },
    })
}

/// The first line of the reason, cut where it is longer than a subject.
fn subject_of(reason: &str) -> String {
    let line = reason.lines().next().unwrap_or_default();
    if line.chars().count() <= SUBJECT_CHARS_MAX {
        return line.to_owned();
    }
    let cut: String = line.chars().take(SUBJECT_CHARS_MAX - 1).collect();
    format!("{}…", cut.trim_end())
}

#[cfg(test)]
mod tests {
    use contracts::failure::FailureCode;
    use contracts::locale::Locale;
    use contracts::tools::profile::CreateCustomer;
    use contracts::tools::support::CreateTicket;
    use serde_json::json;

    use super::*;
    use crate::testing::{World, refusal};

    #[tokio::test]
    async fn a_call_for_a_person_opens_an_escalated_ticket() {
        let mut world = World::new().await;
        world
            .write::<CreateCustomer>(json!({"name": "Ali"}))
            .await
            .unwrap();
        let upset = json!({"reason": "Charged twice and upset.\nWants a call today.", "customer": "ali", "session": "chat-7"});
        let called = world.write::<EscalateToHuman>(upset).await.unwrap();
        assert_eq!(
            called.summary,
            "A person has been called for: ticket T-1 for Ali, Charged twice and upset."
        );
        let ticket = called.ticket;
        assert_eq!(ticket.head.status, TicketStatus::Escalated);
        assert_eq!(ticket.head.priority, TicketPriority::High);
        assert_eq!(ticket.session.as_deref(), Some("chat-7"));
        assert_eq!(ticket.body, "Charged twice and upset.\nWants a call today.");
        world.locale = Locale::Es;
        let long = world
            .write::<EscalateToHuman>(json!({"reason": "ñ".repeat(4000)}))
            .await
            .unwrap();
        assert_eq!(long.ticket.head.subject.chars().count(), SUBJECT_CHARS_MAX);
        assert!(
            long.summary
                .starts_with("Se ha avisado a una persona: incidencia T-2")
        );
    }

    #[tokio::test]
    async fn a_ticket_that_is_there_is_escalated_with_the_reason_as_a_note() {
        let world = World::new().await;
        for name in ["Ali", "Zoe"] {
            world
                .write::<CreateCustomer>(json!({"name": name}))
                .await
                .unwrap();
        }
        let urgent = json!({"subject": "Door", "customer": "Ali", "priority": "urgent"});
        world.write::<CreateTicket>(urgent).await.unwrap();
        let called = world
            .write::<EscalateToHuman>(json!({"reason": "Still broken", "ticket": "T-1"}))
            .await
            .unwrap();
        assert_eq!(called.ticket.head.priority, TicketPriority::Urgent);
        assert_eq!(called.ticket.notes[0].note, "Still broken");
        assert!(called.ticket.escalated_at.is_some());
        let other = json!({"reason": "Hers", "ticket": "1", "customer": "Zoe"});
        let failure = refusal(world.write::<EscalateToHuman>(other).await);
        assert_eq!(failure.message, "Ticket T-1 is about Ali, not about Zoe.");
        for (input, code) in [
            (json!({"reason": " \n"}), FailureCode::InvalidArguments),
            (
                json!({"reason": "x", "session": ""}),
                FailureCode::InvalidArguments,
            ),
            (
                json!({"reason": "x", "ticket": "9"}),
                FailureCode::UnknownTicket,
            ),
            (
                json!({"reason": "x", "customer": "Omar"}),
                FailureCode::UnknownCustomer,
            ),
        ] {
            assert_eq!(
                refusal(world.write::<EscalateToHuman>(input).await).code,
                code
            );
        }
        assert_eq!(world.number("select count(*) from shop.tickets").await, 1);
    }
}
