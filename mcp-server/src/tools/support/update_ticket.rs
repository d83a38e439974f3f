//! `update_ticket`: where a ticket stands, how much it presses, who takes care of it, or a note on it.

use chrono::{DateTime, Utc};
use contracts::failure::ToolFailure;
use contracts::locale::Locale;
use contracts::tools::support::{
    TicketOutput, TicketPriority, TicketStatus, UpdateTicket, UpdateTicketInput,
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::details::{self, ASSIGNEE_CHARS_MAX, TEXT_CHARS_MAX};
use crate::error::CallError;
use crate::handler::{Call, Effected, WriteTool};
use crate::typed;
use crate::words::arguments::Thing;
use crate::words::support;

impl WriteTool for UpdateTicket {
    async fn write(
        call: &mut Call<'_>,
        input: UpdateTicketInput,
    ) -> Result<Effected<TicketOutput>, CallError> {
        let locale = call.locale;
        let (note, assignee) = checked(&input, locale)?;
        let before = details::lock(call, &input.ticket).await?;
        let (tenant, id) = (call.tenant(), before.head.ticket_id);
        let wanted = Wanted {
            status: input.status.unwrap_or(before.head.status),
            priority: input.priority.unwrap_or(before.head.priority),
            assignee: assignee.unwrap_or_else(|| before.head.assignee.clone()),
            session: before.session.clone(),
        };
        if let Some(note) = &note {
            details::write_note(call, id, note).await?;
        }
        update(call.conn, tenant, id, &wanted, call.now).await?;
        let after = details::load(call.conn, tenant, id).await?;
        let escalated = after.head.status == TicketStatus::Escalated
            && before.head.status != TicketStatus::Escalated;
        Ok(Effected {
            audit: details::audit(Some(&before), &after),
            events: escalated
                .then(|| details::event("ticket.escalated", &after))
                .into_iter()
                .collect(),
            output: TicketOutput {
                summary: support::changed(locale, &before.head, &after.head, note.is_some()),
                ticket: after,
            },
        })
    }
}

type Note = Option<String>;
/// Outside: whether it changes; inside: nobody, or who.
type Assignee = Option<Option<String>>;

fn checked(input: &UpdateTicketInput, locale: Locale) -> Result<(Note, Assignee), ToolFailure> {
    let note = |text: &String| typed::text(text, Thing::Note, "note", TEXT_CHARS_MAX, locale);
    let note = input.note.as_ref().map(note).transpose()?;
    let note = note.filter(|note| !note.is_empty());
    let assignee = |text: &String| {
        typed::line_or_empty(
            text,
            Thing::Assignee,
            "assignee",
            ASSIGNEE_CHARS_MAX,
            locale,
        )
    };
    let assignee = input.assignee.as_ref().map(assignee).transpose()?;
    if input.status.is_none() && input.priority.is_none() && note.is_none() && assignee.is_none() {
        return Err(support::nothing_to_change(locale));
    }
    Ok((
        note,
        assignee.map(|who| Some(who).filter(|w| !w.is_empty())),
    ))
}

/// The fields of a ticket as they are to be.
pub(super) struct Wanted {
    pub(super) status: TicketStatus,
    pub(super) priority: TicketPriority,
    pub(super) assignee: Option<String>,
    pub(super) session: Option<String>,
}

/// Changes a ticket that is locked.
pub(super) async fn update(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
    wanted: &Wanted,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update shop.tickets
         set status = $3, priority = $4, assignee = $5, session = $6, updated_at = $7,
             escalated_at = case when $3 = 'escalated' then coalesce(escalated_at, $7) else escalated_at end
         where tenant_id = $1 and id = $2",
        tenant,
        id,
        wanted.status.word(),
        wanted.priority.word(),
        wanted.assignee,
        wanted.session,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use contracts::failure::FailureCode;
    use contracts::tools::support::CreateTicket;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{World, refusal};

    async fn shop() -> World {
        let world = World::new().await;
        for subject in ["Sour milk", "Door"] {
            let ticket = json!({"subject": subject});
            world.write::<CreateTicket>(ticket).await.unwrap();
        }
        world
    }

    async fn change(world: &World, input: Value) -> String {
        world.write::<UpdateTicket>(input).await.unwrap().summary
    }

    #[tokio::test]
    async fn a_ticket_goes_its_way_and_keeps_its_notes() {
        let mut world = shop().await;
        for (input, said) in [
            (
                json!({"ticket": "T-1", "priority": "urgent", "assignee": "Aline"}),
                "Ticket T-1: urgent priority, Aline takes care of it.",
            ),
            (
                json!({"ticket": "1", "note": "Called her.\nNo answer."}),
                "Ticket T-1: noted.",
            ),
            (
                json!({"ticket": "ticket 1", "status": "waiting", "note": "Called again."}),
                "Ticket T-1: now waiting, noted.",
            ),
            (
                json!({"ticket": "last", "status": "escalated"}),
                "Ticket T-2: now escalated.",
            ),
            (
                json!({"ticket": "1", "status": "waiting"}),
                "Ticket T-1 is as before: nothing was different.",
            ),
        ] {
            assert_eq!(change(&world, input).await, said);
        }
        world.locale = Locale::Es;
        let closed = json!({"ticket": "1", "status": "closed", "assignee": ""});
        let done = world.write::<UpdateTicket>(closed).await.unwrap();
        assert_eq!(
            done.summary,
            "Incidencia T-1: ahora cerrada, sin encargado."
        );
        let notes: Vec<_> = done.ticket.notes.iter().map(|n| n.note.as_str()).collect();
        assert_eq!(notes, ["Called her.\nNo answer.", "Called again."]);
        assert_eq!(done.ticket.notes[0].by, "amina");
        assert!(done.ticket.escalated_at.is_none());
    }

    #[tokio::test]
    async fn notes_written_at_once_all_stay() {
        let world = shop().await;
        let many = futures::future::join_all((0..8).map(|i| {
            let note = json!({"ticket": "1", "note": format!("Note {i}")});
            world.write::<UpdateTicket>(note)
        }))
        .await;
        assert!(many.into_iter().all(|done| done.is_ok()));
        assert_eq!(
            world.number("select max(seq) from shop.ticket_notes").await,
            8
        );
    }

    #[tokio::test]
    async fn what_cannot_be_changed_is_refused() {
        let world = shop().await;
        for (input, code, field) in [
            (
                json!({"ticket": "1"}),
                FailureCode::InvalidArguments,
                "ticket",
            ),
            (
                json!({"ticket": "1", "note": " "}),
                FailureCode::InvalidArguments,
                "ticket",
            ),
            (
                json!({"ticket": "1", "note": "x".repeat(4001)}),
                FailureCode::InvalidArguments,
                "note",
            ),
            (
                json!({"ticket": "1", "assignee": "a\0"}),
                FailureCode::InvalidArguments,
                "assignee",
            ),
            (
                json!({"ticket": "3", "status": "closed"}),
                FailureCode::UnknownTicket,
                "ticket",
            ),
            (
                json!({"ticket": "the milk one", "status": "closed"}),
                FailureCode::UnknownTicket,
                "ticket",
            ),
        ] {
            let failure = refusal(world.write::<UpdateTicket>(input).await);
            assert_eq!(
                (failure.code, failure.field.as_deref()),
                (code, Some(field)),
                "{}",
                failure.message
            );
        }
        let empty = World::new().await;
        let failure = refusal(
            empty
                .write::<UpdateTicket>(json!({"ticket": "last", "status": "closed"}))
                .await,
        );
        assert_eq!(failure.message, "There is no ticket yet.");
    }
}
