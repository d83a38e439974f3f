//! Bookings: what can be booked and when, holds, and the bookings themselves as they are stored and shown.
//!
//! Nobody is booked twice because of one exclusion constraint. Code looks first only to answer well; `claims` is where a time is taken.
//! Lock order: customers, then bookings, then counters.

pub(crate) mod claims;
pub(crate) mod resources;
pub(crate) mod slots;
pub(crate) mod terms;
pub(crate) mod times;
pub(crate) mod wanted;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use contracts::failure::Candidate;
use contracts::ids::TenantId;
use contracts::locale::Locale;
use contracts::money::Money;
use contracts::tools::booking::{BookingOutput, BookingStatus, BookingView};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::customers::{self, Customer};
use crate::error::CallError;
use crate::handler::{Call, Event, Shop};
use crate::numbering;
use crate::words::booking;
use slots::Span;
use terms::Terms;

/// The series of bookings.
pub(crate) const SERIES: &str = "BK";
/// Most bookings offered where one was meant.
const OFFERED_MAX: i64 = 5;
/// Longest text that is read as a reference, bytes.
const REFERENCE_BYTES_MAX: usize = 200;

/// A booking.
#[derive(Debug, Clone)]
pub(crate) struct Booking {
    /// Its id.
    pub id: Uuid,
    /// The n of BK-n; none for a hold.
    pub number: Option<i64>,
    /// Where it stands now.
    pub status: BookingStatus,
    /// What is booked.
    pub resource_id: Uuid,
    /// Its name.
    pub resource: String,
    /// Where its times are.
    pub zone: Tz,
    /// From when until when.
    pub during: Span,
    /// Whose it is.
    pub customer_id: Option<Uuid>,
    /// What they were called when it was booked.
    pub customer: Option<String>,
    /// Who to call.
    pub phone: Option<String>,
    /// What is to be known.
    pub notes: String,
    /// What it costs.
    pub price: Option<Money>,
    /// What was agreed about cancelling.
    pub terms: Terms,
    /// What cancelling or moving it late has cost.
    pub fee: Option<Money>,
    /// Why it was cancelled.
    pub cancel_reason: Option<String>,
    /// The same through all its changes.
    pub ical_uid: String,
    /// Grows with every change a calendar has to know.
    pub ical_sequence: i32,
    /// Grows with every change.
    pub version: i64,
    /// The last change.
    pub changed_at: DateTime<Utc>,
}

impl Booking {
    /// "BK-7"; a hold goes by its id.
    #[must_use]
    pub(crate) fn reference(&self) -> String {
        self.number
            .map_or_else(|| self.id.to_string(), |n| numbering::shown(SERIES, n))
    }

    /// "Friday 2026-11-27 15:00–15:30".
    #[must_use]
    pub(crate) fn when(&self, shop: &Shop, locale: Locale) -> String {
        booking::when(locale, self.during, self.zone, shop.time_zone)
    }

    /// The booking as it is shown.
    #[must_use]
    pub(crate) fn view(&self, call: &Call<'_>) -> BookingView {
        let reference = self.reference();
        BookingView {
            booking_id: self.id,
            status: self.status,
            resource: self.resource.clone(),
            customer: self.customer.clone(),
            phone: self.phone.clone(),
            when: self.when(call.shop, call.locale),
            date: self.during.from.with_timezone(&self.zone).date_naive(),
            time: times::shown(self.during.from, self.zone),
            minutes: self.during.minutes(),
            starts_at: self.during.from,
            ends_at: self.during.until,
            time_zone: self.zone.name().to_owned(),
            price: self.price,
            cancel_fee: self.fee,
            cancel_reason: self.cancel_reason.clone().filter(|r| !r.is_empty()),
            notes: Some(self.notes.clone()).filter(|n| !n.is_empty()),
            calendar_url: format!("{}/bookings/{reference}.ics", call.public_url),
            reference,
        }
    }

    /// The booking with its sentence.
    #[must_use]
    pub(crate) fn output(&self, summary: String, call: &Call<'_>) -> BookingOutput {
        let view = self.view(call);
        BookingOutput {
            summary,
            booking_id: self.id,
            reference: view.reference.clone(),
            calendar_url: view.calendar_url.clone(),
            booking: view,
        }
    }

    /// What others are told.
    #[must_use]
    pub(crate) fn event(&self, topic: &'static str, call: &Call<'_>) -> Event {
        Event {
            topic,
            subject: format!("booking:{}", self.id),
            data: json!(self.view(call)),
        }
    }

    /// What names it where one of several is meant: "BK-7 Chair 1 Friday 2026-11-27 15:00–15:30".
    fn candidate(&self, call: &Call<'_>) -> Candidate {
        Candidate {
            name: format!(
                "{} {} {}",
                self.reference(),
                self.resource,
                self.when(call.shop, call.locale)
            ),
            amount: self.price,
            ..Candidate::default()
        }
    }
}

/// Sets holds whose time has passed to `expired`. Their times were free already: whoever wants one looks at the clock. Returns how many.
/// Rows that somebody else is using just now are left to them, so this waits for nobody. The caller commits.
///
/// # Errors
/// When the database fails.
pub async fn expire_holds(
    conn: &mut PgConnection,
    tenant: TenantId,
    now: DateTime<Utc>,
) -> Result<u64, CallError> {
    Ok(update_lapsed(conn, tenant.0, now).await?)
}

/// How a person names a booking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Number(i64),
    Id(Uuid),
}

/// Reads "BK-7", "7", "#7", an id, and what a candidate is called, which begins with one of them.
fn read_reference(text: &str) -> Option<Named> {
    if text.len() > REFERENCE_BYTES_MAX {
        return None;
    }
    let name = text.trim().to_lowercase();
    let name = name.strip_prefix("bk").unwrap_or(&name);
    let name = name.trim_start_matches([' ', '-', '#']);
    let first = name.split_whitespace().next()?;
    if let Ok(id) = first.parse() {
        return Some(Named::Id(id));
    }
    let is_number = first.bytes().all(|b| b.is_ascii_digit());
    first
        .parse()
        .ok()
        .filter(|n| is_number && *n > 0)
        .map(Named::Number)
}

/// The booking a reference means. To a customer others' bookings are not there.
///
/// # Errors
/// `unknown_booking`.
pub(crate) async fn find(
    call: &mut Call<'_>,
    text: &str,
    field: &str,
) -> Result<Booking, CallError> {
    let unknown = |locale| booking::unknown_booking(locale, text, field);
    let which = match read_reference(text) {
        Some(Named::Number(number)) => Which::Number(number),
        Some(Named::Id(id)) => Which::Id(id),
        None => return Err(unknown(call.locale).into()),
    };
    match select(call, which, 1).await?.pop() {
        Some(found) if found.number.is_some() => Ok(found),
        _ => Err(unknown(call.locale).into()),
    }
}

/// The booking of an id.
///
/// # Errors
/// [`CallError::Broken`] when there is none.
pub(crate) async fn load(call: &mut Call<'_>, id: Uuid) -> Result<Booking, CallError> {
    let found = select(call, Which::Id(id), 1).await?.pop();
    found.ok_or_else(|| CallError::Broken(format!("booking {id} is gone")))
}

/// The booking that is to be moved or cancelled: by its reference, or the only coming one of a customer or of the shop.
///
/// # Errors
/// `unknown_booking`, `ambiguous_booking`, and those of the customer's name.
pub(crate) async fn meant(
    call: &mut Call<'_>,
    reference: Option<&str>,
    customer: Option<&str>,
) -> Result<Booking, CallError> {
    let customer: Option<Customer> = customers::whose(call, customer, "customer").await?;
    if let Some(reference) = reference {
        let found = find(call, reference, "booking").await?;
        return match &customer {
            Some(customer) if found.customer_id != Some(customer.id) => {
                Err(booking::someone_elses(call.locale, &found.reference(), &customer.name).into())
            }
            _ => Ok(found),
        };
    }
    let which = Which::Coming(customer.as_ref().map(|c| c.id));
    let mut found = select(call, which, OFFERED_MAX).await?;
    let name = customer.as_ref().map(|c| c.name.as_str());
    match found.len() {
        0 => Err(booking::nothing_coming(call.locale, name).into()),
        1 => Ok(found.remove(0)),
        _ => {
            let candidates = found.iter().map(|b| b.candidate(call)).collect();
            Err(booking::ambiguous_booking(call.locale, name, candidates).into())
        }
    }
}

/// Refuses what is over, begun or given up.
///
/// # Errors
/// `booking_closed`.
pub(crate) fn refuse_closed(found: &Booking, call: &Call<'_>) -> Result<(), CallError> {
    if found.status == BookingStatus::Confirmed && found.during.from > call.now {
        return Ok(());
    }
    let when = found.when(call.shop, call.locale);
    Err(booking::closed(call.locale, &found.reference(), found.status, &when).into())
}

/// Which bookings are looked for.
#[derive(Debug, Clone, Copy)]
enum Which {
    Id(Uuid),
    /// The n of BK-n.
    Number(i64),
    /// Confirmed and not begun: a customer's, or everybody's.
    Coming(Option<Uuid>),
}

/// A row as every reader of bookings selects it.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) id: Uuid,
    pub(crate) number: Option<i64>,
    pub(crate) status: String,
    pub(crate) resource_id: Uuid,
    pub(crate) resource: String,
    pub(crate) time_zone: Option<String>,
    pub(crate) starts_at: DateTime<Utc>,
    pub(crate) ends_at: DateTime<Utc>,
    pub(crate) customer_id: Option<Uuid>,
    pub(crate) customer_name: Option<String>,
    pub(crate) phone_e164: Option<String>,
    pub(crate) notes: String,
    pub(crate) price: Option<i64>,
    pub(crate) cancel_notice_minutes: i32,
    pub(crate) cancel_fee_bp: i32,
    pub(crate) cancel_fee_minor: Option<i64>,
    pub(crate) cancel_reason: Option<String>,
    pub(crate) hold_expires_at: Option<DateTime<Utc>>,
    pub(crate) ical_uid: String,
    pub(crate) ical_sequence: i32,
    pub(crate) version: i64,
    pub(crate) changed_at: DateTime<Utc>,
}

impl Row {
    /// The booking as it stands at a moment: one that has ended is completed, a hold that has lapsed expired.
    pub(crate) fn booking(self, shop: &Shop, now: DateTime<Utc>) -> Result<Booking, CallError> {
        let stored = BookingStatus::from_word(&self.status)
            .ok_or_else(|| CallError::Broken(format!("booking status {}", self.status)))?;
        let status = match stored {
            BookingStatus::Confirmed if self.ends_at <= now => BookingStatus::Completed,
            BookingStatus::Held if self.hold_expires_at.is_none_or(|at| at <= now) => {
                BookingStatus::Expired
            }
            other => other,
        };
        let money = |minor| Money::minor(minor, shop.currency);
        Ok(Booking {
            id: self.id,
            number: self.number,
            status,
            resource_id: self.resource_id,
            resource: self.resource,
            zone: resources::zone(self.time_zone.as_deref(), shop)?,
            during: Span {
                from: self.starts_at,
                until: self.ends_at,
            },
            customer_id: self.customer_id,
            customer: self.customer_name,
            phone: self.phone_e164,
            notes: self.notes,
            price: self.price.map(money),
            terms: Terms {
                notice: TimeDelta::minutes(self.cancel_notice_minutes.into()),
                fee_bp: self.cancel_fee_bp,
            },
            fee: self.cancel_fee_minor.filter(|fee| *fee > 0).map(money),
            cancel_reason: self.cancel_reason,
            ical_uid: self.ical_uid,
            ical_sequence: self.ical_sequence,
            version: self.version,
            changed_at: self.changed_at,
        })
    }
}

async fn select(call: &mut Call<'_>, which: Which, most: i64) -> Result<Vec<Booking>, CallError> {
    let (tenant, now) = (call.tenant(), call.now);
    let whose = call.caller.confined_to();
    let rows = select_rows(call.conn, tenant, which, whose, now, most).await?;
    rows.into_iter()
        .map(|row| row.booking(call.shop, now))
        .collect()
}

/// Each way of naming bookings is one look-up in an index of its own.
async fn select_rows(
    conn: &mut PgConnection,
    tenant: Uuid,
    which: Which,
    whose: Option<Uuid>,
    now: DateTime<Utc>,
    most: i64,
) -> Result<Vec<Row>, sqlx::Error> {
    let (id, number, coming_of, coming) = match which {
        Which::Id(id) => (Some(id), None, None, false),
        Which::Number(number) => (None, Some(number), None, false),
        Which::Coming(customer) => (None, None, customer, customer.is_none()),
    };
    sqlx::query_as!(
        Row,
        "with named as materialized (
             select $2::uuid as id
             union all
             select n.id from shop.bookings n where n.tenant_id = $1 and n.number = $3::bigint
             union all
             (select n.id from shop.bookings n
              where n.tenant_id = $1 and n.customer_id = $4::uuid and n.status = 'confirmed' and n.starts_at > $6
              order by n.starts_at, n.id limit $7)
             union all
             (select n.id from shop.bookings n
              where $5::bool and n.tenant_id = $1 and n.status = 'confirmed' and n.starts_at > $6
              order by n.starts_at, n.id limit $7)
         )
         select b.id, b.number, b.status, b.resource_id, r.name as resource, r.time_zone, b.starts_at, b.ends_at, b.customer_id, b.customer_name,
                b.phone_e164, b.notes, b.price, b.cancel_notice_minutes, b.cancel_fee_bp, b.cancel_fee_minor, b.cancel_reason,
                b.hold_expires_at, b.ical_uid, b.ical_sequence, b.version, b.changed_at
         from named join shop.bookings b on b.tenant_id = $1 and b.id = named.id
         join shop.resources r on r.tenant_id = $1 and r.id = b.resource_id
         where $8::uuid is null or b.customer_id = $8
         order by b.starts_at, b.id
         limit $7",
        tenant,
        id,
        number,
        coming_of,
        coming,
        now,
        most,
        whose
    )
    .fetch_all(conn)
    .await
}

async fn update_lapsed(
    conn: &mut PgConnection,
    tenant: Uuid,
    now: DateTime<Utc>,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "update shop.bookings b set status = 'expired', changed_at = $2
         from (select h.id from shop.bookings h
               where h.tenant_id = $1 and h.status = 'held' and h.hold_expires_at <= $2
               order by h.id for update skip locked) lapsed
         where b.tenant_id = $1 and b.id = lapsed.id",
        tenant,
        now
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// What an audit row keeps of it.
#[must_use]
pub(crate) fn traced(view: &BookingView) -> Value {
    json!(view)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_booking_is_named_in_many_ways_and_nothing_else_is() {
        for text in [
            "BK-7",
            "bk 7",
            "#7",
            "7",
            " BK7 ",
            "BK-7 Chair 1 Friday 2026-11-27 15:00–15:30",
        ] {
            assert_eq!(read_reference(text), Some(Named::Number(7)), "{text}");
        }
        let id = Uuid::from_u128(7);
        assert_eq!(read_reference(&id.to_string()), Some(Named::Id(id)));
        for text in ["", "BK-", "0", "-", "7a", "seven", "99999999999999999999"] {
            assert_eq!(read_reference(text), None, "{text}");
        }
        assert_eq!(read_reference(&"7".repeat(300)), None);
    }
}
