//! Tickets: found by the name a person gives them, shown, opened, written on.

use chrono::{DateTime, Utc};
use contracts::tools::support::{
    TicketHead, TicketNoteView, TicketPriority, TicketStatus, TicketView,
};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::CallError;
use crate::handler::{Audit, Call, Event};
use crate::numbering;
use crate::words::support;

/// The series of tickets.
const TICKETS: &str = "T";
/// Longest subject, characters.
pub(super) const SUBJECT_CHARS_MAX: usize = 120;
/// Longest request, reason or note, characters.
pub(super) const TEXT_CHARS_MAX: usize = 4_000;
/// Longest name of who takes care of a ticket, characters.
pub(super) const ASSIGNEE_CHARS_MAX: usize = 120;
/// Longest name of a conversation, characters.
pub(super) const SESSION_CHARS_MAX: usize = 200;
/// How many notes are shown.
const NOTES_SHOWN: i64 = 20;

/// A ticket to be written.
pub(super) struct NewTicket {
    pub(super) customer_id: Option<Uuid>,
    pub(super) subject: String,
    pub(super) body: String,
    pub(super) status: TicketStatus,
    pub(super) priority: TicketPriority,
    pub(super) session: Option<String>,
}

/// Opens a ticket; its number is taken last.
///
/// # Errors
/// When the database fails.
pub(super) async fn open(call: &mut Call<'_>, new: &NewTicket) -> Result<TicketView, CallError> {
    let (tenant, id) = (call.tenant(), call.new_id());
    let number = numbering::next(call.conn, tenant, TICKETS).await?;
    let subject = call.caller.subject.clone();
    insert(call.conn, tenant, id, number, new, &subject, call.now).await?;
    load(call.conn, tenant, id).await
}

/// A ticket as the caller may see it: what staff wrote on it for each other, and who takes care of it, is not for customers.
#[must_use]
pub(super) fn shown(call: &Call<'_>, mut ticket: TicketView) -> TicketView {
    if call.caller.confined_to().is_some() {
        ticket.notes.retain(|note| note.by == call.caller.subject);
        ticket.head.assignee = None;
        ticket.session = None;
    }
    ticket
}

/// The ticket a person names, which nobody else changes until the commit. To a customer others' tickets are not there.
///
/// # Errors
/// `unknown_ticket`.
pub(super) async fn lock(call: &mut Call<'_>, name: &str) -> Result<TicketView, CallError> {
    let unknown = || support::unknown_ticket(call.locale, name);
    let named = read_name(name).ok_or_else(unknown)?;
    let tenant = call.tenant();
    let whose = call.caller.confined_to();
    let id = lock_row(call.conn, tenant, named, whose)
        .await?
        .ok_or_else(|| match named {
            TicketName::Last => support::no_ticket_yet(call.locale),
            TicketName::Number(_) | TicketName::Id(_) => unknown(),
        })?;
    load(call.conn, tenant, id).await
}

/// Writes a note on a ticket that is locked.
///
/// # Errors
/// When the database fails.
pub(super) async fn write_note(
    call: &mut Call<'_>,
    ticket_id: Uuid,
    note: &str,
) -> Result<(), CallError> {
    let tenant = call.tenant();
    let actor = call.caller.subject.clone();
    insert_note(call.conn, tenant, ticket_id, note, &actor, call.now).await?;
    Ok(())
}

/// The ticket of this id.
///
/// # Errors
/// When the database fails, or the ticket is not there.
pub(super) async fn load(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
) -> Result<TicketView, CallError> {
    let row = select(conn, tenant, id)
        .await?
        .ok_or_else(|| CallError::Broken(format!("ticket {id} is gone")))?;
    let mut notes = select_notes(conn, tenant, id, NOTES_SHOWN).await?;
    notes.reverse();
    Ok(TicketView {
        head: head(HeadRow {
            id,
            number: row.number,
            subject: row.subject,
            status: row.status,
            priority: row.priority,
            customer: row.customer,
            assignee: row.assignee,
            created_at: row.created_at,
        })?,
        body: row.body,
        created_by: row.created_by,
        session: row.session,
        escalated_at: row.escalated_at,
        updated_at: row.updated_at,
        notes,
    })
}

/// What others are told of a ticket.
#[must_use]
pub(super) fn event(topic: &'static str, ticket: &TicketView) -> Event {
    let head = &ticket.head;
    Event {
        topic,
        subject: subject(head.ticket_id),
        data: json!({
            "ticket_id": head.ticket_id, "number": head.number, "subject": head.subject, "status": head.status.word(),
            "priority": head.priority.word(), "customer": head.customer, "session": ticket.session,
        }),
    }
}

/// The trace of a change.
#[must_use]
pub(super) fn audit(before: Option<&TicketView>, after: &TicketView) -> Audit {
    Audit {
        subject: subject(after.head.ticket_id),
        before: before.map(|ticket| json!(ticket)),
        after: Some(json!(after)),
    }
}

fn subject(id: Uuid) -> String {
    format!("ticket:{id}")
}

/// A ticket in a list as a query gives it.
pub(super) struct HeadRow {
    pub(super) id: Uuid,
    pub(super) number: i64,
    pub(super) subject: String,
    pub(super) status: String,
    pub(super) priority: String,
    pub(super) customer: Option<String>,
    pub(super) assignee: Option<String>,
    pub(super) created_at: DateTime<Utc>,
}

/// A ticket in a list.
///
/// # Errors
/// When the table holds a word the contract does not know.
pub(super) fn head(row: HeadRow) -> Result<TicketHead, CallError> {
    let broken = |word: &str| CallError::Broken(format!("ticket {} says {word}", row.id));
    Ok(TicketHead {
        ticket_id: row.id,
        number: numbering::shown(TICKETS, row.number),
        status: TicketStatus::from_word(&row.status).ok_or_else(|| broken(&row.status))?,
        priority: TicketPriority::from_word(&row.priority).ok_or_else(|| broken(&row.priority))?,
        subject: row.subject,
        customer: row.customer,
        assignee: row.assignee,
        created_at: row.created_at,
    })
}

/// How a person names a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TicketName {
    Number(i64),
    Id(Uuid),
    Last,
}

/// Reads "4", "T-4", "ticket 4", "#4", an id or "last". `None` for anything else.
fn read_name(text: &str) -> Option<TicketName> {
    let name = text.trim().to_lowercase();
    if let Ok(id) = name.parse() {
        return Some(TicketName::Id(id));
    }
    if matches!(
        name.as_str(),
        "last" | "latest" | "newest" | "última" | "ultima" | "último" | "ultimo"
    ) {
        return Some(TicketName::Last);
    }
    let number = ["ticket", "incidencia", "t"]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(&name)
        .trim_start_matches([' ', '-', '#']);
    let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    let number = number.parse().ok().filter(|&n| digits && n > 0);
    number.map(TicketName::Number)
}

async fn insert(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
    number: i64,
    new: &NewTicket,
    created_by: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let escalated_at = (new.status == TicketStatus::Escalated).then_some(now);
    sqlx::query!(
        "insert into shop.tickets
            (tenant_id, id, number, customer_id, subject, body, status, priority, session, created_by, created_at, updated_at, escalated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, $12)",
        tenant,
        id,
        number,
        new.customer_id,
        new.subject,
        new.body,
        new.status.word(),
        new.priority.word(),
        new.session,
        created_by,
        now,
        escalated_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The ticket is locked, so the next place is free.
async fn insert_note(
    conn: &mut PgConnection,
    tenant: Uuid,
    ticket_id: Uuid,
    note: &str,
    actor: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into shop.ticket_notes (tenant_id, ticket_id, seq, note, actor, at)
         select $1, $2, coalesce(max(n.seq), 0) + 1, $3, $4, $5 from shop.ticket_notes n where n.tenant_id = $1 and n.ticket_id = $2",
        tenant,
        ticket_id,
        note,
        actor,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Each way of naming a ticket is one index look-up.
async fn lock_row(
    conn: &mut PgConnection,
    tenant: Uuid,
    name: TicketName,
    whose: Option<Uuid>,
) -> Result<Option<Uuid>, sqlx::Error> {
    let (id, number, last) = match name {
        TicketName::Id(id) => (Some(id), None, false),
        TicketName::Number(number) => (None, Some(number), false),
        TicketName::Last => (None, None, true),
    };
    sqlx::query_scalar!(
        "with named as materialized (
             select $2::uuid as id
             union all
             select n.id from shop.tickets n where n.tenant_id = $1 and n.number = $3::bigint
             union all
             (select n.id from shop.tickets n where n.tenant_id = $1 and $4::bool and $5::uuid is null order by n.number desc limit 1)
             union all
             (select n.id from shop.tickets n
              where $5::uuid is not null and n.tenant_id = $1 and n.customer_id = $5 and $4::bool order by n.number desc limit 1)
         )
         select t.id from shop.tickets t
         where t.tenant_id = $1 and t.id = any(array(select named.id from named)) and ($5::uuid is null or t.customer_id = $5)
         for no key update",
        tenant,
        id,
        number,
        last,
        whose
    )
    .fetch_optional(conn)
    .await
}

struct Row {
    number: i64,
    subject: String,
    body: String,
    status: String,
    priority: String,
    customer: Option<String>,
    assignee: Option<String>,
    session: Option<String>,
    created_by: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    escalated_at: Option<DateTime<Utc>>,
}

async fn select(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
) -> Result<Option<Row>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        r#"select t.number, t.subject, t.body, t.status, t.priority, c.name as "customer?", t.assignee, t.session, t.created_by,
                  t.created_at, t.updated_at, t.escalated_at
           from shop.tickets t left join shop.customers c on c.tenant_id = $1 and c.id = t.customer_id
           where t.tenant_id = $1 and t.id = $2"#,
        tenant,
        id
    )
    .fetch_optional(conn)
    .await
}

/// The newest notes, the newest first.
async fn select_notes(
    conn: &mut PgConnection,
    tenant: Uuid,
    ticket_id: Uuid,
    most: i64,
) -> Result<Vec<TicketNoteView>, sqlx::Error> {
    sqlx::query_as!(
        TicketNoteView,
        r#"select note, actor as "by!", at from shop.ticket_notes
           where tenant_id = $1 and ticket_id = $2 order by seq desc limit $3"#,
        tenant,
        ticket_id,
        most
    )
    .fetch_all(conn)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_named_in_many_ways_and_nothing_else_is() {
        for text in [
            "4",
            "T-4",
            "t4",
            "#4",
            "ticket 4",
            "Ticket #4",
            "incidencia 4",
            " T-004 ",
        ] {
            assert_eq!(read_name(text), Some(TicketName::Number(4)), "{text}");
        }
        assert_eq!(read_name("Última"), Some(TicketName::Last));
        let id = Uuid::from_u128(7);
        assert_eq!(read_name(&id.to_string()), Some(TicketName::Id(id)));
        for text in ["", "T-", "0", "INV-4", "4a", "-", "99999999999999999999"] {
            assert_eq!(read_name(text), None, "{text}");
        }
    }
}
