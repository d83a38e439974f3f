//! `cancel_booking`: a booking is given up, for nothing where there is notice enough, and its time is free.

use chrono::{DateTime, Utc};
use contracts::confirmation::PreviewLine;
use contracts::money::Money;
use contracts::tools::booking::{BookingOutput, CancelBooking, CancelBookingInput};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::bookings::{self, Booking, claims, traced};
use crate::error::CallError;
use crate::handler::{Audit, Call, CommitTool, Effected, Prepared};
use crate::typed::{self, REASON_CHARS_MAX};
use crate::words::arguments::Thing;
use crate::words::booking::{self, Named};

/// A cancellation that only has to be written.
pub struct Plan {
    booking: Booking,
    reason: String,
    fee: Option<Money>,
}

impl CommitTool for CancelBooking {
    type Plan = Plan;

    async fn prepare(
        call: &mut Call<'_>,
        input: &CancelBookingInput,
    ) -> Result<Prepared<Plan>, CallError> {
        let reason = input.reason.as_deref().unwrap_or_default();
        let reason = typed::line_or_empty(
            reason,
            Thing::Reason,
            "reason",
            REASON_CHARS_MAX,
            call.locale,
        )?;
        let (reference, customer) = (input.booking.as_deref(), input.customer.as_deref());
        let found = bookings::meant(call, reference, customer).await?;
        bookings::refuse_closed(&found, call)?;
        let start = found.during.from;
        let fee = found.terms.fee(found.price, start, call.now);
        let late = found.terms.is_late(start, call.now);
        let (reference, when) = (found.reference(), found.when(call.shop, call.locale));
        let named = Named {
            reference: &reference,
            customer: found.customer.as_deref(),
            resource: &found.resource,
            when: &when,
        };
        Ok(Prepared {
            message: booking::ask_cancel(call.locale, named, found.terms, late, fee),
            lines: vec![PreviewLine {
                text: booking::in_list(named),
                amount: fee,
            }],
            total: fee,
            binding: json!({
                "booking_id": found.id,
                "version": found.version,
                "starts_at": start,
                "fee_minor": fee.map(|f| f.amount_minor),
                "currency": fee.map(|f| f.currency),
            }),
            informative: json!({"reference": reference, "when": when, "resource": found.resource}),
            plan: Plan {
                booking: found,
                reason,
                fee,
            },
        })
    }

    async fn execute(
        call: &mut Call<'_>,
        _input: CancelBookingInput,
        plan: Plan,
    ) -> Result<Effected<BookingOutput>, CallError> {
        let (tenant, id) = (call.tenant(), plan.booking.id);
        locked(call, &plan.booking).await?;
        claims::release_moves(call.conn, tenant, id, None, call.now).await?;
        update_to_cancelled(call.conn, tenant, id, &plan, call.now).await?;
        let after = bookings::load(call, id).await?;
        let (reference, when) = (after.reference(), after.when(call.shop, call.locale));
        let named = Named {
            reference: &reference,
            customer: after.customer.as_deref(),
            resource: &after.resource,
            when: &when,
        };
        let output = after.output(booking::cancelled(call.locale, named, plan.fee), call);
        Ok(Effected {
            audit: Audit {
                subject: format!("booking:{id}"),
                before: Some(traced(&plan.booking.view(call))),
                after: Some(traced(&output.booking)),
            },
            events: vec![after.event("booking.cancelled", call)],
            output,
        })
    }
}

/// Keeps a booking as it is until the commit, if it still is as it was read.
pub(super) async fn locked(call: &mut Call<'_>, read: &Booking) -> Result<(), CallError> {
    let tenant = call.tenant();
    let (status, version) = lock(call.conn, tenant, read.id).await?;
    if status == "confirmed" && version == read.version {
        Ok(())
    } else {
        Err(booking::changed_meanwhile(call.locale, &read.reference()).into())
    }
}

async fn lock(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
) -> Result<(String, i64), sqlx::Error> {
    let row = sqlx::query!(
        "select status, version from shop.bookings where tenant_id = $1 and id = $2 for no key update",
        tenant,
        id
    )
    .fetch_one(conn)
    .await?;
    Ok((row.status, row.version))
}

async fn update_to_cancelled(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
    plan: &Plan,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update shop.bookings
         set status = 'cancelled', cancelled_at = $3, cancel_reason = $4,
             cancel_fee_minor = case when $5::bigint is null then cancel_fee_minor else coalesce(cancel_fee_minor, 0) + $5 end,
             ical_sequence = ical_sequence + 1, version = version + 1, changed_at = $3
         where tenant_id = $1 and id = $2",
        tenant,
        id,
        now,
        plan.reason,
        plan.fee.map(|f| f.amount_minor)
    )
    .execute(conn)
    .await?;
    Ok(())
}
