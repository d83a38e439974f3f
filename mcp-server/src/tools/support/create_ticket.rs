//! `create_ticket`: a numbered request that a person takes care of.

use contracts::tools::support::{
    CreateTicket, CreateTicketInput, TicketOutput, TicketPriority, TicketStatus,
};

use super::details::{self, NewTicket, SUBJECT_CHARS_MAX, TEXT_CHARS_MAX};
use crate::customers;
use crate::error::CallError;
use crate::handler::{Call, Effected, WriteTool};
use crate::typed;
use crate::words::arguments::Thing;
use crate::words::support;

impl WriteTool for CreateTicket {
    async fn write(
        call: &mut Call<'_>,
        input: CreateTicketInput,
    ) -> Result<Effected<TicketOutput>, CallError> {
        let locale = call.locale;
        let subject = typed::line(
            &input.subject,
            Thing::Subject,
            "subject",
            SUBJECT_CHARS_MAX,
            locale,
        )?;
        let body = input.body.as_deref().unwrap_or_default();
        let body = typed::text(body, Thing::Body, "body", TEXT_CHARS_MAX, locale)?;
        let customer = customers::whose(call, input.customer.as_deref(), "customer").await?;
        let new = NewTicket {
            customer_id: customer.map(|c| c.id),
            subject,
            body,
            status: TicketStatus::Open,
            priority: input.priority.unwrap_or(TicketPriority::Normal),
            session: None,
        };
        let ticket = details::open(call, &new).await?;
        Ok(Effected {
            audit: details::audit(None, &ticket),
            events: vec![details::event("ticket.created", &ticket)],
            output: TicketOutput {
                summary: support::opened(locale, &ticket.head),
                ticket: details::shown(call, ticket),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use contracts::failure::FailureCode;
    use contracts::locale::Locale;
    use contracts::tools::profile::CreateCustomer;
    use serde_json::json;

    use super::*;
    use crate::testing::{World, refusal};

    #[tokio::test]
    async fn tickets_are_numbered_without_a_gap() {
        let mut world = World::new().await;
        world
            .write::<CreateCustomer>(json!({"name": "Ali", "phone": "0788123456"}))
            .await
            .unwrap();
        let sour = json!({"subject": "Milk  was sour", "body": "Bought today.\nWants money back.", "customer": "0788 123 456", "priority": "high"});
        let opened = world.write::<CreateTicket>(sour).await.unwrap();
        assert_eq!(
            opened.summary,
            "Opened ticket T-1 for Ali, high priority: Milk was sour."
        );
        assert_eq!(opened.ticket.body, "Bought today.\nWants money back.");
        assert_eq!(opened.ticket.created_by, "amina");
        let unknown = json!({"subject": "Lost bag", "customer": "Zoe"});
        let failure = refusal(world.write::<CreateTicket>(unknown).await);
        assert_eq!(failure.code, FailureCode::UnknownCustomer);
        let many = futures::future::join_all((0..8).map(|i| {
            let ticket = json!({"subject": format!("Ticket {i}")});
            world.write::<CreateTicket>(ticket)
        }))
        .await;
        assert!(many.into_iter().all(|done| done.is_ok()));
        let last = "select max(number) from shop.tickets";
        assert_eq!(world.number(last).await, 9);
        world.locale = Locale::Es;
        let spanish = world
            .write::<CreateTicket>(json!({"subject": "Puerta rota"}))
            .await
            .unwrap();
        assert_eq!(spanish.summary, "Incidencia T-10 abierta: Puerta rota.");
    }

    #[tokio::test]
    async fn texts_that_cannot_be_shown_are_refused() {
        let world = World::new().await;
        for (input, field) in [
            (json!({"subject": " "}), "subject"),
            (json!({"subject": "x".repeat(121)}), "subject"),
            (json!({"subject": "a\0b"}), "subject"),
            (json!({"subject": "a", "body": "x".repeat(4001)}), "body"),
            (json!({"subject": "a", "body": "a\u{202e}b"}), "body"),
            (json!({"subject": "a", "customer": ""}), "customer"),
        ] {
            let failure = refusal(world.write::<CreateTicket>(input).await);
            assert_eq!(failure.code, FailureCode::InvalidArguments);
            assert_eq!(failure.field.as_deref(), Some(field), "{}", failure.message);
        }
        assert_eq!(world.number("select count(*) from shop.tickets").await, 0);
    }
}
