//! `reschedule_booking`: a booking goes to another time, length or resource and keeps its reference.

use chrono::{DateTime, Utc};
use contracts::confirmation::PreviewLine;
use contracts::money::Money;
use contracts::tools::booking::{BookingOutput, RescheduleBooking, RescheduleBookingInput};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::cancel_booking::locked;
use crate::bookings::claims::{self, Claim};
use crate::bookings::terms::Terms;
use crate::bookings::wanted::{self, Ask, Verdict, Wanted, Whose};
use crate::bookings::{self, Booking, resources, times, traced};
use crate::error::CallError;
use crate::handler::{Audit, Call, CommitTool, Effected, Open, Prepared};
use crate::words::booking::{self, Named};
use crate::{confirmation, days};

/// A move that only has to be written.
pub struct Plan {
    booking: Booking,
    wanted: Wanted,
    price: Option<Money>,
    terms: Terms,
    fee: Option<Money>,
}

impl Plan {
    fn whose(&self) -> Whose<'_> {
        Whose {
            customer: self.booking.customer.as_deref(),
            phone: self.booking.phone.as_deref(),
            moving: Some(self.booking.id),
        }
    }

    fn claim(&self, confirmation: Option<Uuid>, expires_at: DateTime<Utc>) -> Claim<'_> {
        Claim {
            confirmation,
            moving: Some(self.booking.id),
            expires_at,
            customer: self.booking.customer.as_deref(),
            phone: self.booking.phone.as_deref(),
        }
    }

    /// "Saturday 2026-11-28 10:00–10:30", with the resource where that changes.
    fn to(&self, call: &Call<'_>) -> String {
        let resource = &self.wanted.resource;
        let when = booking::when(
            call.locale,
            self.wanted.during,
            resource.zone,
            call.shop.time_zone,
        );
        if resource.id == self.booking.resource_id {
            when
        } else {
            format!("{}, {when}", resource.name)
        }
    }

    fn prepared(self, call: &Call<'_>) -> Prepared<Plan> {
        let (reference, to) = (self.booking.reference(), self.to(call));
        let when = self.booking.when(call.shop, call.locale);
        let named = Named {
            reference: &reference,
            customer: self.booking.customer.as_deref(),
            resource: &self.booking.resource,
            when: &when,
        };
        let changed_price = self.price.filter(|p| Some(*p) != self.booking.price);
        Prepared {
            message: booking::ask_move(call.locale, named, &to, changed_price, self.fee),
            lines: vec![PreviewLine {
                text: format!("{reference} {when} → {to}"),
                amount: self.fee,
            }],
            total: self.fee,
            binding: json!({
                "booking_id": self.booking.id,
                "version": self.booking.version,
                "resource_id": self.wanted.resource.id,
                "starts_at": self.wanted.during.from,
                "ends_at": self.wanted.during.until,
                "price_minor": self.price.map(|p| p.amount_minor),
                "fee_minor": self.fee.map(|f| f.amount_minor),
                "currency": self.price.map(|p| p.currency),
                "cancel_notice_minutes": self.terms.notice.num_minutes(),
                "cancel_fee_bp": self.terms.fee_bp,
            }),
            informative: json!({"reference": reference, "from": when, "to": to}),
            plan: self,
        }
    }
}

impl CommitTool for RescheduleBooking {
    type Plan = Plan;

    async fn prepare(
        call: &mut Call<'_>,
        input: &RescheduleBookingInput,
    ) -> Result<Prepared<Plan>, CallError> {
        let (reference, customer) = (input.booking.as_deref(), input.customer.as_deref());
        let found = bookings::meant(call, reference, customer).await?;
        bookings::refuse_closed(&found, call)?;
        let resource = match &input.resource {
            Some(name) => resources::find(call, name, "resource").await?,
            None => resources::load(call, found.resource_id).await?,
        };
        // What is not said stays: the day and the time on the clock, the length.
        let start = found.during.from;
        let time = input
            .time
            .clone()
            .unwrap_or_else(|| times::shown(start, found.zone));
        let ask = Ask {
            date: input
                .date
                .unwrap_or_else(|| days::day_of(start, found.zone)),
            time: &time,
            minutes: wanted::length(input.minutes, call)?.or_else(|| Some(found.during.minutes())),
        };
        let whose = Whose {
            customer: found.customer.as_deref(),
            phone: found.phone.as_deref(),
            moving: Some(found.id),
        };
        let wanted = wanted::one(call, resource, ask, whose).await?;
        let same_resource = wanted.resource.id == found.resource_id;
        if same_resource && wanted.during == found.during {
            return Err(booking::nothing_to_move(call.locale, &found.reference()).into());
        }
        // What was agreed holds as long as it is about the same thing.
        let same_length = wanted.minutes == found.during.minutes();
        let price = if same_resource && same_length {
            found.price
        } else {
            wanted.price
        };
        let terms = if same_resource {
            found.terms
        } else {
            wanted.resource.terms
        };
        let plan = Plan {
            fee: found.terms.fee(found.price, start, call.now),
            booking: found,
            wanted,
            price,
            terms,
        };
        Ok(plan.prepared(call))
    }

    async fn execute(
        call: &mut Call<'_>,
        _input: RescheduleBookingInput,
        plan: Plan,
    ) -> Result<Effected<BookingOutput>, CallError> {
        let (tenant, id) = (call.tenant(), plan.booking.id);
        locked(call, &plan.booking).await?;
        let expires_at = confirmation::open(call)?.expires_at;
        let claim = plan.claim(call.confirmation, expires_at);
        let own = plan.wanted.resource.shape(plan.booking.during.minutes());
        let overlaps = plan.wanted.resource.id == plan.booking.resource_id
            && own
                .blocks(plan.booking.during)
                .overlaps(plan.wanted.blocks());
        if !claims::move_to(call, id, &plan.wanted, claim, overlaps).await? {
            return Err(wanted::refused(call, &plan.wanted, Verdict::Taken, plan.whose()).await);
        }
        claims::release_moves(call.conn, tenant, id, None, call.now).await?;
        update_moved(call.conn, tenant, id, &plan, call.now).await?;

        let moved = bookings::load(call, id).await?;
        let to = plan.to(call);
        let summary = booking::moved(
            call.locale,
            &moved.reference(),
            moved.customer.as_deref(),
            &to,
            plan.fee,
        );
        let output = moved.output(summary, call);
        Ok(Effected {
            audit: Audit {
                subject: format!("booking:{id}"),
                before: Some(traced(&plan.booking.view(call))),
                after: Some(traced(&output.booking)),
            },
            events: vec![moved.event("booking.changed", call)],
            output,
        })
    }

    /// Where only the booking itself is in the way, nothing can be held; the time is looked at again at the yes.
    async fn hold(call: &mut Call<'_>, plan: &Plan, open: Open) -> Result<(), CallError> {
        // Whoever moves a booking has its row first, so that two who hold times for it do not wait for each other.
        locked(call, &plan.booking).await?;
        let claim = plan.claim(Some(open.confirmation_id), open.expires_at);
        let held = claims::hold(call, &plan.wanted, claim).await?;
        let tenant = call.tenant();
        claims::release_moves(call.conn, tenant, plan.booking.id, held, call.now).await
    }

    async fn release(
        conn: &mut PgConnection,
        tenant: Uuid,
        confirmation_id: Uuid,
        now: DateTime<Utc>,
    ) -> Result<(), CallError> {
        claims::release(conn, tenant, confirmation_id, now).await
    }
}

async fn update_moved(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
    plan: &Plan,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let fee = plan.fee.map(|f| f.amount_minor);
    let currency = plan.price.or(plan.fee).map(|p| p.currency.code());
    sqlx::query!(
        "update shop.bookings
         set price = $3, currency = coalesce($4, currency), cancel_notice_minutes = $5, cancel_fee_bp = $6,
             cancel_fee_minor = case when $7::bigint is null then cancel_fee_minor else coalesce(cancel_fee_minor, 0) + $7 end,
             ical_sequence = ical_sequence + 1, version = version + 1, changed_at = $8
         where tenant_id = $1 and id = $2",
        tenant,
        id,
        plan.price.map(|p| p.amount_minor),
        currency,
        i32::try_from(plan.terms.notice.num_minutes()).unwrap_or(i32::MAX),
        plan.terms.fee_bp,
        fee,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}
