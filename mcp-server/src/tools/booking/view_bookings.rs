//! `view_bookings`: bookings, soonest first, a page at a time.

use chrono::{DateTime, Utc};
use contracts::tools::booking::{
    BookingStatus, BookingView, ViewBookings, ViewBookingsInput, ViewBookingsOutput,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::bookings::{Row, resources};
use crate::customers;
use crate::error::CallError;
use crate::handler::{Call, ReadTool};
use crate::words::arguments;
use crate::words::booking::{self, Named};
use crate::words::inventory::Page;
use crate::{cursor, days, typed};

/// The last booking of the page before: when it begins, in microseconds since 1970, and its id.
type Place = (i64, Uuid);

/// After every booking, and a time Postgres holds: the end of the year 9999.
const END_OF_TIME: DateTime<Utc> = match DateTime::from_timestamp(253_402_300_799, 0) {
    Some(end) => end,
    None => DateTime::UNIX_EPOCH,
};

struct Filter {
    customer: Option<Uuid>,
    resource: Option<Uuid>,
    status: Option<BookingStatus>,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    /// Those that ended before are left out.
    not_over_at: Option<DateTime<Utc>>,
}

impl ReadTool for ViewBookings {
    async fn read(
        call: &mut Call<'_>,
        input: ViewBookingsInput,
    ) -> Result<ViewBookingsOutput, CallError> {
        let (shop, locale) = (call.shop, call.locale);
        let limit = typed::page_limit(input.limit, locale)?;
        let after = input
            .cursor
            .as_deref()
            .map(|text| place(text).ok_or_else(|| arguments::bad_cursor(locale)))
            .transpose()?;
        let filter = filter(call, &input).await?;
        let tenant = call.tenant();
        let mut rows = select_page(call.conn, tenant, &filter, after, call.now, limit + 1).await?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows
            .last()
            .filter(|_| more)
            .map(|last| cursor::write(&(last.starts_at.timestamp_micros(), last.id)));
        let bookings = rows
            .into_iter()
            .map(|row| Ok(row.booking(shop, call.now)?.view(call)))
            .collect::<Result<Vec<BookingView>, CallError>>()?;
        let page = match (&input.cursor, more) {
            (Some(_), _) => Page::Later,
            (None, true) => Page::First,
            (None, false) => Page::Only,
        };
        let named: Vec<String> = bookings.iter().map(named).collect();
        Ok(ViewBookingsOutput {
            summary: booking::listed(locale, &named, page),
            bookings,
            next_cursor,
        })
    }
}

fn named(view: &BookingView) -> String {
    booking::in_list(Named {
        reference: &view.reference,
        customer: view.customer.as_deref(),
        resource: &view.resource,
        when: &view.when,
    })
}

fn place(text: &str) -> Option<(DateTime<Utc>, Uuid)> {
    let (micros, id): Place = cursor::read(text)?;
    let at = DateTime::from_timestamp_micros(micros)?;
    days::YEARS
        .contains(&chrono::Datelike::year(&at))
        .then_some((at, id))
}

async fn filter(call: &mut Call<'_>, input: &ViewBookingsInput) -> Result<Filter, CallError> {
    let (zone, locale) = (call.shop.time_zone, call.locale);
    if let (Some(from), Some(to)) = (input.from, input.to)
        && from > to
    {
        return Err(arguments::days_reversed(locale).into());
    }
    let start = |day| days::start_of(day, zone).ok_or_else(|| arguments::bad_day(locale, "from"));
    let end = |day| days::end_of(day, zone).ok_or_else(|| arguments::bad_day(locale, "to"));
    let from = input.from.map_or(Ok(DateTime::UNIX_EPOCH), start)?;
    let until = input.to.map_or(Ok(END_OF_TIME), end)?;
    let customer = customers::whose(call, input.customer.as_deref(), "customer").await?;
    let resource = match &input.resource {
        Some(name) => Some(resources::find_any(call, name, "resource").await?.id),
        None => None,
    };
    let coming = input.from.is_none()
        && input.to.is_none()
        && matches!(
            input.status,
            None | Some(BookingStatus::Confirmed | BookingStatus::Held)
        );
    Ok(Filter {
        customer: customer.map(|c| c.id),
        resource,
        status: input.status,
        from,
        until,
        not_over_at: coming.then_some(call.now),
    })
}

/// Where a booking stands depends on the clock: what has ended is completed, a hold that has lapsed expired.
async fn select_page(
    conn: &mut PgConnection,
    tenant: Uuid,
    filter: &Filter,
    after: Option<(DateTime<Utc>, Uuid)>,
    now: DateTime<Utc>,
    most: usize,
) -> Result<Vec<Row>, sqlx::Error> {
    // One range of the index: what begins after the last booking shown, and not before the start of the span.
    let start = (filter.from, Uuid::nil());
    let (after, inclusive) = match after {
        Some(after) if after >= start => (after, false),
        _ => (start, true),
    };
    sqlx::query_as!(
        Row,
        "select b.id, b.number, b.status, b.resource_id, r.name as resource, r.time_zone, b.starts_at, b.ends_at, b.customer_id, b.customer_name,
                b.phone_e164, b.notes, b.price, b.cancel_notice_minutes, b.cancel_fee_bp, b.cancel_fee_minor, b.cancel_reason,
                b.hold_expires_at, b.ical_uid, b.ical_sequence, b.version, b.changed_at
         from shop.bookings b join shop.resources r on r.tenant_id = $1 and r.id = b.resource_id
         where b.tenant_id = $1
           and ($2::uuid is null or b.customer_id = $2)
           and ($3::uuid is null or b.resource_id = $3)
           and case when $4::text is null then b.status in ('confirmed', 'completed', 'no_show')
                    else $4 = case when b.status = 'confirmed' and b.ends_at <= $5 then 'completed'
                                   when b.status = 'held' and b.hold_expires_at <= $5 then 'expired'
                                   else b.status end end
           and b.starts_at < $6
           and ($7::timestamptz is null or b.ends_at > $7)
           and ($7::timestamptz is null or b.starts_at > $7 - interval '25 hours')
           and (b.starts_at, b.id) >= ($8, $9)
           and ($10 or (b.starts_at, b.id) <> ($8, $9))
         order by b.starts_at, b.id
         limit $11",
        tenant,
        filter.customer,
        filter.resource,
        filter.status.map(BookingStatus::word),
        now,
        filter.until,
        filter.not_over_at,
        after.0,
        after.1,
        inclusive,
        i64::try_from(most).unwrap_or(i64::MAX)
    )
    .fetch_all(conn)
    .await
}
