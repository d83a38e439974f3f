//! `booking_set_resource`: something to be booked, new or changed.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use contracts::failure::ToolFailure;
use contracts::quantity::Exact;
use contracts::tools::booking::{ResourceOutput, SetResource, SetResourceInput};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::set_hours::outside_hours;
use crate::bookings::resources::{self, Resource};
use crate::bookings::{SERIES, slots::Span};
use crate::error::CallError;
use crate::handler::{Audit, Call, Effected, WriteTool};
use crate::typed::{self, LABEL_CHARS_MAX, NAME_CHARS_MAX};
use crate::words::arguments::{self, Thing};
use crate::words::booking;
use crate::{days, numbering};

/// Most other names of one resource.
const ALIASES_MAX: usize = 20;
/// Most bookings named that are in the way of a smaller capacity.
const NAMED_MAX: i64 = 20;

/// What is to be written; `None` stays as it is.
#[derive(Debug, Default)]
struct Wish {
    kind: Option<String>,
    lanes: Option<i16>,
    slot_minutes: Option<i32>,
    buffer_before_minutes: Option<i32>,
    buffer_after_minutes: Option<i32>,
    min_notice_minutes: Option<i32>,
    max_ahead_days: Option<i32>,
    cancel_notice_minutes: Option<i32>,
    cancel_fee_bp: Option<i32>,
    time_zone: Option<String>,
    price: Option<i64>,
    active: Option<bool>,
}

impl WriteTool for SetResource {
    async fn write(
        call: &mut Call<'_>,
        input: SetResourceInput,
    ) -> Result<Effected<ResourceOutput>, CallError> {
        let name = typed::line(
            &input.name,
            Thing::Name,
            "name",
            NAME_CHARS_MAX,
            call.locale,
        )?;
        let wish = checked(&input, call)?;
        let aliases = aliases(&input, call)?;
        let before = known(call, &name).await?;
        let id = match &before {
            Some(resource) => resource.id,
            None => created(call, &name).await?,
        };
        let tenant = call.tenant();
        lock(call.conn, tenant, id).await?;
        refuse_crowded(call, id, wish.lanes, &name).await?;
        update(call.conn, tenant, id, &wish).await?;
        if let Some(aliases) = &aliases {
            delete_aliases(call.conn, tenant, id).await?;
            insert_aliases(call.conn, tenant, id, aliases).await?;
        }
        let resource = resources::load(call, id).await?;
        let today = days::day_of(call.now, resource.zone);
        let view = resource.view(today);
        let outside_hours = outside_hours(call, &resource).await?;
        Ok(Effected {
            audit: Audit {
                subject: format!("resource:{id}"),
                before: before.as_ref().map(|r| json!(r.view(today))),
                after: Some(json!(view)),
            },
            output: ResourceOutput {
                summary: booking::resource_set(call.locale, &resource, before.is_none()),
                resource: view,
                outside_hours,
            },
            events: Vec::new(),
        })
    }
}

async fn known(call: &mut Call<'_>, name: &str) -> Result<Option<Resource>, CallError> {
    let id = match name.parse::<Uuid>() {
        // An id that is none of ours is a strange name, and a name.
        Ok(id) if exists(call, id).await? => Some(id),
        _ => resources::exactly(call, name).await?,
    };
    match id {
        Some(id) => Ok(Some(resources::load(call, id).await?)),
        None => Ok(None),
    }
}

async fn exists(call: &mut Call<'_>, id: Uuid) -> Result<bool, CallError> {
    let tenant = call.tenant();
    Ok(select_id(call.conn, tenant, id).await?.is_some())
}

/// A new row with what a new resource is, or the row somebody else has just written under this name.
async fn created(call: &mut Call<'_>, name: &str) -> Result<Uuid, CallError> {
    let (tenant, id, now) = (call.tenant(), call.new_id(), call.now);
    let name = typed::capitalised(name.to_owned());
    if insert(call.conn, tenant, id, &name, now).await? {
        return Ok(id);
    }
    resources::exactly(call, &name)
        .await?
        .ok_or_else(|| CallError::Broken("a resource was neither written nor there".to_owned()))
}

fn checked(input: &SetResourceInput, call: &Call<'_>) -> Result<Wish, ToolFailure> {
    let locale = call.locale;
    let within = |given: Option<u32>, least: u32, most: u32, field: &str| match given {
        None => Ok(None),
        Some(n) if (least..=most).contains(&n) => Ok(i32::try_from(n).ok()),
        Some(_) => Err(booking::bad_minutes(locale, field, least, most)),
    };
    let lanes = within(input.capacity.map(u32::from), 1, 200, "capacity")?;
    let kind = input
        .kind
        .as_deref()
        .map(|kind| typed::line_or_empty(kind, Thing::Category, "kind", LABEL_CHARS_MAX, locale))
        .transpose()?;
    let price = input
        .price
        .map(|price| typed::amount(price, Thing::Price, call.shop, "price", locale))
        .transpose()?;
    Ok(Wish {
        kind,
        lanes: lanes.and_then(|n| i16::try_from(n).ok()),
        slot_minutes: within(input.slot_minutes, 5, 1440, "slot_minutes")?,
        buffer_before_minutes: within(
            input.buffer_before_minutes,
            0,
            1440,
            "buffer_before_minutes",
        )?,
        buffer_after_minutes: within(input.buffer_after_minutes, 0, 1440, "buffer_after_minutes")?,
        min_notice_minutes: within(input.min_notice_minutes, 0, 43_200, "min_notice_minutes")?,
        max_ahead_days: within(input.max_ahead_days, 1, 730, "max_ahead_days")?,
        cancel_notice_minutes: within(
            input.cancel_notice_minutes,
            0,
            43_200,
            "cancel_notice_minutes",
        )?,
        cancel_fee_bp: input
            .cancel_fee_percent
            .map(|p| {
                basis_points(p).ok_or_else(|| booking::bad_percent(locale, "cancel_fee_percent"))
            })
            .transpose()?,
        time_zone: input
            .time_zone
            .as_deref()
            .map(|zone| named_zone(zone, call))
            .transpose()?,
        price: price.map(|p| p.amount_minor),
        active: input.active,
    })
}

fn basis_points(percent: Exact) -> Option<i32> {
    let points = percent.0.checked_mul(Decimal::from(100))?;
    let is_share = points.fract().is_zero() && (0..=10_000).contains(&points.to_i64()?);
    points.to_i32().filter(|_| is_share)
}

fn named_zone(zone: &str, call: &Call<'_>) -> Result<String, ToolFailure> {
    let bad = |_| booking::bad_zone(call.locale, "time_zone");
    let zone: Tz = zone.trim().parse().map_err(bad)?;
    Ok(zone.name().to_owned())
}

fn aliases(input: &SetResourceInput, call: &Call<'_>) -> Result<Option<Vec<String>>, ToolFailure> {
    let Some(given) = &input.aliases else {
        return Ok(None);
    };
    if given.len() > ALIASES_MAX {
        return Err(arguments::too_many(call.locale, "aliases", ALIASES_MAX));
    }
    let checked = given.iter().enumerate().map(|(i, alias)| {
        let field = format!("aliases[{i}]");
        typed::line(alias, Thing::Alias, &field, NAME_CHARS_MAX, call.locale)
    });
    checked.collect::<Result<Vec<_>, _>>().map(Some)
}

/// A smaller capacity has to have room for what is booked. What is over is completed first, so that it is in nobody's way.
async fn refuse_crowded(
    call: &mut Call<'_>,
    id: Uuid,
    lanes: Option<i16>,
    name: &str,
) -> Result<(), CallError> {
    let Some(lanes) = lanes else { return Ok(()) };
    let (tenant, now) = (call.tenant(), call.now);
    finish_past(call.conn, tenant, id, lanes, now).await?;
    let crowded = select_beyond(call.conn, tenant, id, lanes, NAMED_MAX).await?;
    if crowded.is_empty() {
        return Ok(());
    }
    let references: Vec<String> = crowded
        .iter()
        .map(|(id, number)| number.map_or_else(|| id.to_string(), |n| numbering::shown(SERIES, n)))
        .collect();
    Err(booking::capacity_in_use(call.locale, name, &references).into())
}

/// The coming bookings of a resource that are confirmed, soonest first.
pub(super) async fn coming(
    call: &mut Call<'_>,
    resource_id: Uuid,
    most: i64,
) -> Result<Vec<(i64, Span)>, CallError> {
    let (tenant, now) = (call.tenant(), call.now);
    Ok(select_coming(call.conn, tenant, resource_id, now, most).await?)
}

async fn select_id(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select id from shop.resources where tenant_id = $1 and id = $2",
        tenant,
        id
    )
    .fetch_optional(conn)
    .await
}

async fn insert(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
    name: &str,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "insert into shop.resources (tenant_id, id, name, version, created_at) values ($1, $2, $3, 0, $4) on conflict do nothing",
        tenant,
        id,
        name,
        now
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Waits for everybody who is taking a time of it, and they for us: the capacity they see is the one that is stored.
async fn lock(conn: &mut PgConnection, tenant: Uuid, id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query_scalar!(
        "select id from shop.resources where tenant_id = $1 and id = $2 for update",
        tenant,
        id
    )
    .fetch_optional(conn)
    .await?;
    Ok(())
}

async fn update(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
    wish: &Wish,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update shop.resources
         set kind = coalesce($3, kind), lanes = coalesce($4, lanes), slot_minutes = coalesce($5, slot_minutes),
             buffer_before_minutes = coalesce($6, buffer_before_minutes), buffer_after_minutes = coalesce($7, buffer_after_minutes),
             min_notice_minutes = coalesce($8, min_notice_minutes), max_ahead_days = coalesce($9, max_ahead_days),
             cancel_notice_minutes = coalesce($10, cancel_notice_minutes), cancel_fee_bp = coalesce($11, cancel_fee_bp),
             time_zone = coalesce($12, time_zone), price = coalesce($13, price), active = coalesce($14, active), version = version + 1
         where tenant_id = $1 and id = $2",
        tenant,
        id,
        wish.kind,
        wish.lanes,
        wish.slot_minutes,
        wish.buffer_before_minutes,
        wish.buffer_after_minutes,
        wish.min_notice_minutes,
        wish.max_ahead_days,
        wish.cancel_notice_minutes,
        wish.cancel_fee_bp,
        wish.time_zone,
        wish.price,
        wish.active
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn delete_aliases(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from shop.resource_aliases where tenant_id = $1 and resource_id = $2",
        tenant,
        id
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Two spellings of one name are one.
async fn insert_aliases(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
    aliases: &[String],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into shop.resource_aliases (tenant_id, resource_id, name)
         select $1, $2, a.name from unnest($3::text[]) as a (name) on conflict do nothing",
        tenant,
        id,
        aliases
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn finish_past(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
    lanes: i16,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update shop.bookings b set status = case b.status when 'held' then 'expired' else 'completed' end, changed_at = $4
         from (select o.id from shop.bookings o
               where o.tenant_id = $1 and o.resource_id = $2 and o.lane > $3
                 and ((o.status = 'confirmed' and o.ends_at <= $4) or (o.status = 'held' and o.hold_expires_at <= $4))
               order by o.id for update) old
         where b.tenant_id = $1 and b.id = old.id",
        tenant,
        id,
        lanes,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn select_beyond(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
    lanes: i16,
    most: i64,
) -> Result<Vec<(Uuid, Option<i64>)>, sqlx::Error> {
    let rows = sqlx::query!(
        "select id, number from shop.bookings
         where tenant_id = $1 and resource_id = $2 and status in ('held', 'confirmed') and lane > $3
         order by starts_at, id limit $4",
        tenant,
        id,
        lanes,
        most
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|r| (r.id, r.number)).collect())
}

async fn select_coming(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
    now: DateTime<Utc>,
    most: i64,
) -> Result<Vec<(i64, Span)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select number as "number!", starts_at, ends_at from shop.bookings
           where tenant_id = $1 and resource_id = $2 and status = 'confirmed' and number is not null and starts_at > $3
           order by starts_at, id limit $4"#,
        tenant,
        id,
        now,
        most
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| {
            let during = Span {
                from: r.starts_at,
                until: r.ends_at,
            };
            (r.number, during)
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use contracts::failure::FailureCode;
    use contracts::locale::Locale;
    use serde_json::json;

    use super::*;
    use crate::testing::{World, refusal};

    #[tokio::test]
    async fn a_resource_is_made_once_and_then_changed() {
        let mut world = World::new().await;
        let chair = json!({"name": "chair 1", "kind": "barber", "price": "3000", "cancel_notice_minutes": 1440, "cancel_fee_percent": "50",
                           "aliases": ["silla", "Silla"]});
        let made = world.write::<SetResource>(chair).await.unwrap();
        assert_eq!(
            made.summary,
            "Added Chair 1: slots of 30 min, RWF 3,000, 1 at a time; cancelling less than 1 day before costs 50%. It has no opening hours yet."
        );
        assert_eq!(made.resource.aliases, ["silla"]);
        assert_eq!(made.resource.time_zone, "Africa/Kigali");

        world.locale = Locale::Es;
        let change = json!({"name": "SILLA", "capacity": 3, "time_zone": "Europe/Madrid", "active": false, "cancel_fee_percent": "12.5"});
        let changed = world.write::<SetResource>(change).await.unwrap();
        assert_eq!(changed.resource.id, made.resource.id);
        assert_eq!(
            changed.summary,
            "Cambiado Chair 1: turnos de 30 min, RWF 3,000, 3 a la vez; cancelar con menos de 1 día de antelación cuesta el 12.5%. Ahora no se puede reservar."
        );
        assert_eq!(
            (changed.resource.capacity, changed.resource.version),
            (3, 2)
        );
        assert_eq!(changed.resource.kind, "barber", "what is left out stays");
        assert_eq!(changed.resource.cancel_fee_percent.to_string(), "12.5");
    }

    #[tokio::test]
    async fn what_cannot_be_is_refused() {
        let world = World::new().await;
        for (member, value) in [
            ("capacity", json!(0)),
            ("capacity", json!(201)),
            ("slot_minutes", json!(4)),
            ("slot_minutes", json!(1441)),
            ("buffer_after_minutes", json!(1441)),
            ("min_notice_minutes", json!(43_201)),
            ("max_ahead_days", json!(0)),
            ("max_ahead_days", json!(4_000_000_000_u32)),
            ("cancel_fee_percent", json!("100.01")),
            ("cancel_fee_percent", json!("0.001")),
            ("cancel_fee_percent", json!("-1")),
            ("time_zone", json!("Mars/Olympus")),
            ("price", json!("0.5")),
            ("price", json!("-1")),
            ("name", json!(" ")),
            ("kind", json!("x".repeat(41))),
            ("aliases", json!(vec!["a"; 21])),
        ] {
            let mut input = json!({"name": "Chair"});
            input[member] = value.clone();
            let failure = refusal(world.write::<SetResource>(input).await);
            assert_eq!(failure.field.as_deref(), Some(member), "{value}");
            assert_eq!(
                failure.code,
                FailureCode::InvalidArguments,
                "{member} {value}"
            );
        }
        assert_eq!(world.number("select count(*) from shop.resources").await, 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_same_name_at_once_is_one_resource() {
        let world = World::new().await;
        let all = (0..8).map(|_| world.write::<SetResource>(json!({"name": "Chair"})));
        for one in futures::future::join_all(all).await {
            one.unwrap();
        }
        assert_eq!(world.number("select count(*) from shop.resources").await, 1);
    }
}
