//! `list_tickets`: tickets, newest first, a page at a time.

use contracts::tools::support::{
    ListTickets, ListTicketsInput, ListTicketsOutput, TicketHead, TicketStatus,
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::details::{self, HeadRow};
use crate::error::CallError;
use crate::handler::{Call, ReadTool};
use crate::words::arguments;
use crate::words::inventory::Page;
use crate::words::support::{self, Narrowed};
use crate::{cursor, customers, typed};

impl ReadTool for ListTickets {
    async fn read(
        call: &mut Call<'_>,
        input: ListTicketsInput,
    ) -> Result<ListTicketsOutput, CallError> {
        let locale = call.locale;
        let limit = typed::page_limit(input.limit, locale)?;
        // The last ticket of the page before, by its number.
        let after: Option<i64> = match &input.cursor {
            Some(text) => Some(cursor::read(text).ok_or_else(|| arguments::bad_cursor(locale))?),
            None => None,
        };
        let customer = match &input.customer {
            Some(name) => Some(customers::known(call, name, "customer").await?),
            None => None,
        };
        let tenant = call.tenant();
        let customer_id = customer.as_ref().map(|c| c.id);
        let mut rows = select_page(
            call.conn,
            tenant,
            input.status,
            customer_id,
            after,
            limit + 1,
        )
        .await?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows
            .last()
            .filter(|_| more)
            .map(|last| cursor::write(&last.number));
        let tickets = rows
            .into_iter()
            .map(details::head)
            .collect::<Result<Vec<TicketHead>, CallError>>()?;
        let page = match (after, more) {
            (Some(_), _) => Page::Later,
            (None, true) => Page::First,
            (None, false) => Page::Only,
        };
        let narrowed = Narrowed {
            status: input.status,
            customer: customer.as_ref().map(|c| c.name.as_str()),
        };
        Ok(ListTicketsOutput {
            summary: support::listed(locale, narrowed, &tickets, page),
            tickets,
            next_cursor,
        })
    }
}

async fn select_page(
    conn: &mut PgConnection,
    tenant: Uuid,
    status: Option<TicketStatus>,
    customer_id: Option<Uuid>,
    after: Option<i64>,
    most: usize,
) -> Result<Vec<HeadRow>, sqlx::Error> {
    sqlx::query_as!(
        HeadRow,
        r#"select t.id, t.number, t.subject, t.status, t.priority, c.name as "customer?", t.assignee, t.created_at
           from shop.tickets t left join shop.customers c on c.tenant_id = $1 and c.id = t.customer_id
           where t.tenant_id = $1
             and ($2::text is null or t.status = $2)
             and ($3::uuid is null or t.customer_id = $3)
             and t.number < $4
           order by t.number desc limit $5"#,
        tenant,
        status.map(TicketStatus::word),
        customer_id,
        after.unwrap_or(i64::MAX),
        i64::try_from(most).unwrap_or(i64::MAX)
    )
    .fetch_all(conn)
    .await
}

#[cfg(test)]
mod tests {
    use contracts::failure::FailureCode;
    use contracts::locale::Locale;
    use contracts::tools::profile::CreateCustomer;
    use contracts::tools::support::{CreateTicket, UpdateTicket};
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{World, refusal};

    async fn shop() -> World {
        let world = World::new().await;
        world
            .write::<CreateCustomer>(json!({"name": "Ali"}))
            .await
            .unwrap();
        for (subject, customer) in [
            ("Sour milk", Some("Ali")),
            ("Door", None),
            ("Late", Some("Ali")),
        ] {
            let mut ticket = json!({"subject": subject});
            if let Some(customer) = customer {
                ticket["customer"] = json!(customer);
            }
            world.write::<CreateTicket>(ticket).await.unwrap();
        }
        let closed = json!({"ticket": "1", "status": "closed"});
        world.write::<UpdateTicket>(closed).await.unwrap();
        world
    }

    async fn summary(world: &World, input: Value) -> String {
        world.read::<ListTickets>(input).await.unwrap().summary
    }

    #[tokio::test]
    async fn tickets_are_narrowed_by_status_and_customer() {
        let mut world = shop().await;
        for (input, said) in [
            (
                json!({}),
                "3 tickets: T-3 Ali: Late, T-2 Door, T-1 Ali: Sour milk (closed).",
            ),
            (
                json!({"status": "open"}),
                "2 open tickets: T-3 Ali: Late, T-2 Door.",
            ),
            (
                json!({"customer": "ali", "status": "closed"}),
                "1 closed ticket for Ali: T-1 Sour milk.",
            ),
            (
                json!({"status": "waiting"}),
                "There are no waiting tickets.",
            ),
            (json!({"limit": 1}), "The newest 1 ticket: T-3 Ali: Late."),
        ] {
            assert_eq!(summary(&world, input).await, said);
        }
        world.locale = Locale::Es;
        assert_eq!(
            summary(&world, json!({"customer": "Ali"})).await,
            "2 incidencias de Ali: T-3 Late, T-1 Sour milk (cerrada)."
        );
        let neighbour = world.neighbour().await;
        world.stand_in(neighbour);
        assert_eq!(
            summary(&world, json!({"status": "open"})).await,
            "No hay incidencias abiertas."
        );
    }

    #[tokio::test]
    async fn pages_show_every_ticket_once_while_others_are_opened() {
        let world = World::new().await;
        for i in 1..=7 {
            let ticket = json!({"subject": format!("Number {i}")});
            world.write::<CreateTicket>(ticket).await.unwrap();
        }
        let mut input = json!({"limit": 3});
        let mut seen = Vec::new();
        for _ in 0..5 {
            let page = world.read::<ListTickets>(input.clone()).await.unwrap();
            seen.extend(page.tickets.into_iter().map(|t| t.number));
            let late = json!({"subject": "Late"});
            world.write::<CreateTicket>(late).await.unwrap();
            match page.next_cursor {
                Some(next) => input["cursor"] = json!(next),
                None => break,
            }
        }
        assert_eq!(seen, ["T-7", "T-6", "T-5", "T-4", "T-3", "T-2", "T-1"]);
        for (input, field) in [
            (json!({"cursor": "e30"}), "cursor"),
            (json!({"limit": 101}), "limit"),
        ] {
            let failure = refusal(world.read::<ListTickets>(input).await);
            assert_eq!(failure.code, FailureCode::InvalidArguments);
            assert_eq!(failure.field.as_deref(), Some(field));
        }
    }
}
