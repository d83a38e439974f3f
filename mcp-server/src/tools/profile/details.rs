//! A customer as the tools of the profile show it, and what making and changing one both check.

use contracts::failure::Candidate;
use contracts::tools::profile::{ContactBy, CustomerView};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::customers;
use crate::error::CallError;
use crate::handler::Call;
use crate::phones::E164;
use crate::words::profile;

/// Longest text of notes about a customer, characters.
pub(super) const NOTES_CHARS_MAX: usize = 1_000;

/// The customer of this id.
///
/// # Errors
/// When the database fails, or the customer is not there.
pub(super) async fn load(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
) -> Result<CustomerView, CallError> {
    let row = select(conn, tenant, id)
        .await?
        .ok_or_else(|| CallError::Broken(format!("customer {id} is gone")))?;
    let contact = row
        .contact
        .map(|word| {
            ContactBy::from_word(&word)
                .ok_or_else(|| CallError::Broken(format!("customer {id} is reached by {word}")))
        })
        .transpose()?;
    Ok(CustomerView {
        customer_id: id,
        name: row.name,
        phone: row.phone_e164,
        email: row.email,
        language: row.locale,
        contact,
        favourites: row.favourites,
        time_zone: row.time_zone,
        notes: row.notes,
        version: row.version,
    })
}

/// A customer as the caller may see it: what the shop has written down about them is not for themselves.
#[must_use]
pub(super) fn shown(call: &Call<'_>, mut customer: CustomerView) -> CustomerView {
    if call.caller.confined_to().is_some() {
        customer.notes = None;
    }
    customer
}

/// Refuses a number that is somebody else's, and says whose.
///
/// # Errors
/// `already_exists`.
pub(super) async fn refuse_taken(
    call: &mut Call<'_>,
    phone: &E164,
    but: Option<Uuid>,
) -> Result<(), CallError> {
    let tenant = call.tenant();
    match customers::by_phone(call.conn, tenant, phone).await? {
        Some(holder) if Some(holder.id) != but => {
            let candidate = Candidate {
                name: format!("{} ({phone})", holder.name),
                ..Candidate::default()
            };
            Err(profile::phone_taken(call.locale, phone, &holder.name, candidate).into())
        }
        _ => Ok(()),
    }
}

struct Row {
    name: String,
    phone_e164: Option<String>,
    email: Option<String>,
    locale: Option<String>,
    contact: Option<String>,
    time_zone: Option<String>,
    notes: Option<String>,
    version: i64,
    favourites: Vec<String>,
}

async fn select(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
) -> Result<Option<Row>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        r#"select c.name, c.phone_e164, c.email, c.locale, c.contact, c.time_zone, c.notes, c.version,
                  array(select i.name from shop.customer_favourites f
                        join shop.items i on i.tenant_id = $1 and i.id = f.item_id and i.archived_at is null
                        where f.tenant_id = $1 and f.customer_id = c.id order by i.name_norm) as "favourites!"
           from shop.customers c where c.tenant_id = $1 and c.id = $2"#,
        tenant,
        id
    )
    .fetch_optional(conn)
    .await
}
