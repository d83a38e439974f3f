//! Taking a time: one row that the exclusion constraint lets in, or none.
//!
//! Every time is taken as a hold first, with `insert … on conflict do nothing`: whoever finds a lane taken by somebody who has not
//! committed yet waits for them, and nobody waits while they have anything others wait for, so that there is no deadlock. Lapsed holds
//! end in the same statement, their rows locked in the order of their ids.

use chrono::{DateTime, Utc};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::wanted::Wanted;
use crate::error::CallError;
use crate::handler::Call;

/// How often a lane that looked free and was not is followed by another look, beyond once per lane.
const LOOKS_MORE: i16 = 4;

/// For whom and until when a time is held.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim<'a> {
    /// The question it is held for.
    pub confirmation: Option<Uuid>,
    /// The booking that is to be moved there.
    pub moving: Option<Uuid>,
    /// When the hold ends by itself.
    pub expires_at: DateTime<Utc>,
    /// For whom.
    pub customer: Option<&'a str>,
    /// Who to call.
    pub phone: Option<&'a str>,
}

/// Holds a time: the hold the same person has on it already, or a new one. `None` when every lane is taken.
///
/// # Errors
/// When the database fails.
pub(crate) async fn hold(
    call: &mut Call<'_>,
    wanted: &Wanted,
    claim: Claim<'_>,
) -> Result<Option<Uuid>, CallError> {
    let tenant = call.tenant();
    let (by, now) = (call.caller.subject.clone(), call.now);
    let taken_over = take_over(
        call.conn,
        tenant,
        wanted,
        claim,
        call.confirmation,
        &by,
        now,
    )
    .await?;
    match taken_over {
        Some(id) => Ok(Some(id)),
        None => place(call, wanted, claim).await,
    }
}

/// A new hold on the first free lane.
async fn place(
    call: &mut Call<'_>,
    wanted: &Wanted,
    claim: Claim<'_>,
) -> Result<Option<Uuid>, CallError> {
    let tenant = call.tenant();
    let id = call.new_id();
    let by = call.caller.subject.clone();
    for _ in 0..wanted.resource.lanes + LOOKS_MORE {
        let looked = insert(call.conn, tenant, id, wanted, claim, &by, call.now).await?;
        if looked.placed {
            return Ok(Some(id));
        }
        if !looked.saw_free_lane {
            return Ok(None);
        }
        // Somebody took that lane in this very moment. They have committed, so the next look sees them.
    }
    Ok(None)
}

/// Moves a booking to a time in one step: holds it, unless a hold is there, and makes the hold the booking's own time. `false` when every
/// lane is taken; then nothing has changed. The booking's row is locked by the caller.
///
/// # Errors
/// When the database fails.
pub(crate) async fn move_to(
    call: &mut Call<'_>,
    booking_id: Uuid,
    wanted: &Wanted,
    claim: Claim<'_>,
    own_time_overlaps: bool,
) -> Result<bool, CallError> {
    let tenant = call.tenant();
    if let Some(hold) = hold(call, wanted, claim).await? {
        update_time(call.conn, tenant, booking_id, hold, call.now).await?;
        return Ok(true);
    }
    if !own_time_overlaps {
        return Ok(false);
    }
    // Only the booking itself may be in the way: its own time is given up first. Two of the same resource doing this could wait for
    // each other, so they do it one after the other.
    lock_resource(call.conn, tenant, wanted.resource.id).await?;
    let mut savepoint = call.conn.begin().await?;
    give_up_time(&mut savepoint, tenant, booking_id).await?;
    let mut inner = Call {
        conn: &mut savepoint,
        ..*call
    };
    let placed = place(&mut inner, wanted, claim).await?;
    match placed {
        Some(hold) => {
            update_time(&mut savepoint, tenant, booking_id, hold, call.now).await?;
            savepoint.commit().await?;
            Ok(true)
        }
        None => {
            savepoint.rollback().await?;
            Ok(false)
        }
    }
}

/// Ends what is held for a question.
///
/// # Errors
/// When the database fails.
pub(crate) async fn release(
    conn: &mut PgConnection,
    tenant: Uuid,
    confirmation_id: Uuid,
    now: DateTime<Utc>,
) -> Result<(), CallError> {
    sqlx::query!(
        "update shop.bookings b set status = 'expired', changed_at = $3
         from (select h.id from shop.bookings h
               where h.tenant_id = $1 and h.confirmation_id = $2 and h.status = 'held' order by h.id for update) held
         where b.tenant_id = $1 and b.id = held.id",
        tenant,
        confirmation_id,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Ends what is held for moving a booking, but for one hold.
///
/// # Errors
/// When the database fails.
pub(crate) async fn release_moves(
    conn: &mut PgConnection,
    tenant: Uuid,
    booking_id: Uuid,
    keep: Option<Uuid>,
    now: DateTime<Utc>,
) -> Result<(), CallError> {
    sqlx::query!(
        "update shop.bookings b set status = 'expired', changed_at = $4
         from (select h.id from shop.bookings h
               where h.tenant_id = $1 and h.moves_booking_id = $2 and h.status = 'held' and h.id is distinct from $3
               order by h.id for update) held
         where b.tenant_id = $1 and b.id = held.id",
        tenant,
        booking_id,
        keep,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The hold of this question, else of an earlier one of the same person about the very same booking, goes on for this one.
async fn take_over(
    conn: &mut PgConnection,
    tenant: Uuid,
    wanted: &Wanted,
    claim: Claim<'_>,
    answered: Option<Uuid>,
    by: &str,
    now: DateTime<Utc>,
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "update shop.bookings b set confirmation_id = coalesce($5, b.confirmation_id), hold_expires_at = greatest(b.hold_expires_at, $6),
                changed_at = $7
         from (select h.id from shop.bookings h
               where h.tenant_id = $1 and h.resource_id = $2 and h.starts_at = $3 and h.ends_at = $4 and h.status = 'held'
                 and h.hold_expires_at > $7 and h.moves_booking_id is not distinct from $8
                 and (h.confirmation_id = $12 or h.moves_booking_id = $8
                      or (h.created_by = $9 and h.customer_name is not distinct from $10 and h.phone_e164 is not distinct from $11))
               order by h.confirmation_id is not distinct from $12 desc, h.id limit 1
               for update) own
         where b.tenant_id = $1 and b.id = own.id
         returning b.id",
        tenant,
        wanted.resource.id,
        wanted.during.from,
        wanted.during.until,
        claim.confirmation,
        claim.expires_at,
        now,
        claim.moving,
        by,
        claim.customer,
        claim.phone,
        answered
    )
    .fetch_optional(conn)
    .await
}

/// What one look for a lane led to.
struct Looked {
    placed: bool,
    saw_free_lane: bool,
}

/// The resource's row is locked against a smaller capacity, as the foreign key would lock it anyway.
async fn insert(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
    wanted: &Wanted,
    claim: Claim<'_>,
    by: &str,
    now: DateTime<Utc>,
) -> Result<Looked, sqlx::Error> {
    let blocks = wanted.blocks();
    let resource = &wanted.resource;
    sqlx::query_as!(
        Looked,
        r#"with resource as materialized (
               select r.lanes from shop.resources r where r.tenant_id = $1 and r.id = $3 and r.active for key share
           ), lapsed as (
               update shop.bookings b set status = 'expired', changed_at = $9
               from (select h.id from shop.bookings h
                     where h.tenant_id = $1 and h.resource_id = $3 and h.status = 'held' and h.hold_expires_at <= $9
                       and h.blocks_from > $6::timestamptz - interval '73 hours' and h.blocks_from < $7 and h.blocks_until > $6
                     order by h.id for update) h
               where b.tenant_id = $1 and b.id = h.id
               returning b.id
           ), free as materialized (
               select n.lane from resource cross join generate_series(1, resource.lanes) as n (lane)
               where (select count(*) from lapsed) >= 0
                 and not exists (
                     select from shop.bookings b
                     where b.tenant_id = $1 and b.resource_id = $3 and b.lane = n.lane and b.status in ('held', 'confirmed')
                       and b.blocks_from > $6::timestamptz - interval '73 hours' and b.blocks_from < $7 and b.blocks_until > $6
                       and (b.status = 'confirmed' or b.hold_expires_at > $9))
               order by n.lane limit 1
           ), placed as (
               insert into shop.bookings (tenant_id, id, resource_id, lane, status, starts_at, ends_at, blocks_from, blocks_until,
                      customer_name, phone_e164, price, currency, cancel_notice_minutes, cancel_fee_bp, hold_expires_at,
                      confirmation_id, moves_booking_id, ical_uid, created_by, created_at, changed_at)
               select $1, $2, $3, free.lane, 'held', $4, $5, $6, $7, $10, $11, $12, $13, $14, $15, $8, $16, $17, $18, $19, $9, $9
               from free
               on conflict do nothing
               returning lane
           )
           select exists (select from placed) as "placed!", exists (select from free) as "saw_free_lane!""#,
        tenant,
        id,
        resource.id,
        wanted.during.from,
        wanted.during.until,
        blocks.from,
        blocks.until,
        claim.expires_at,
        now,
        claim.customer,
        claim.phone,
        wanted.price.map(|p| p.amount_minor),
        wanted.price.map(|p| p.currency.code()),
        i32::try_from(resource.terms.notice.num_minutes()).unwrap_or(i32::MAX),
        resource.terms.fee_bp,
        claim.confirmation,
        claim.moving,
        format!("{id}@countersign"),
        by
    )
    .fetch_one(conn)
    .await
}

/// The hold ends and the booking has its time, in one statement: the first half is seen by the constraint before the second.
async fn update_time(
    conn: &mut PgConnection,
    tenant: Uuid,
    booking_id: Uuid,
    hold_id: Uuid,
    now: DateTime<Utc>,
) -> Result<(), CallError> {
    let done = sqlx::query!(
        "with hold as (
             update shop.bookings h set status = 'expired', changed_at = $4
             where h.tenant_id = $1 and h.id = $3 and h.status = 'held'
             returning h.resource_id, h.lane, h.starts_at, h.ends_at, h.blocks_from, h.blocks_until
         )
         update shop.bookings b
         set status = 'confirmed', resource_id = hold.resource_id, lane = hold.lane, starts_at = hold.starts_at, ends_at = hold.ends_at,
             blocks_from = hold.blocks_from, blocks_until = hold.blocks_until
         from hold where b.tenant_id = $1 and b.id = $2",
        tenant,
        booking_id,
        hold_id,
        now
    )
    .execute(conn)
    .await?;
    if done.rows_affected() == 1 {
        Ok(())
    } else {
        Err(CallError::Broken(format!("hold {hold_id} is gone")))
    }
}

async fn give_up_time(
    conn: &mut PgConnection,
    tenant: Uuid,
    booking_id: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update shop.bookings set status = 'expired' where tenant_id = $1 and id = $2",
        tenant,
        booking_id
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn lock_resource(
    conn: &mut PgConnection,
    tenant: Uuid,
    resource_id: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select pg_advisory_xact_lock(hashtextextended('booking ' || $1::text || ' ' || $2::text, 0))",
        tenant.to_string(),
        resource_id.to_string()
    )
    .execute(conn)
    .await?;
    Ok(())
}
