//! `booking_set_hours`: when something can be booked, on days of every week or on one date.

use chrono::{Datelike, NaiveDate};
use contracts::failure::ToolFailure;
use contracts::tools::booking::{
    OpeningInterval, ResourceOutput, SetHours, SetHoursInput, Weekday,
};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::set_resource::coming;
use crate::bookings::SERIES;
use crate::bookings::resources::{self, Resource};
use crate::bookings::slots::{Opening, is_open};
use crate::bookings::times;
use crate::error::CallError;
use crate::handler::{Audit, Call, Effected, WriteTool};
use crate::words::arguments;
use crate::words::booking::{self, Days};
use crate::{days, numbering};

/// Most intervals of one day.
const INTERVALS_MAX: usize = 10;
/// Minutes of a day on the wall clock.
const DAY_MINUTES: i16 = 1440;
/// Most coming bookings that are looked at.
const COMING_MAX: i64 = 1_000;
/// Most that are named.
const OUTSIDE_MAX: usize = 100;

impl WriteTool for SetHours {
    async fn write(
        call: &mut Call<'_>,
        input: SetHoursInput,
    ) -> Result<Effected<ResourceOutput>, CallError> {
        let (days, openings) = checked(&input, call)?;
        let found = resources::find_any(call, &input.resource, "resource").await?;
        let (tenant, id) = (call.tenant(), found.id);
        lock(call.conn, tenant, id).await?;
        let before = resources::load(call, id).await?;
        match &days {
            Days::Weekly(weekdays) => set_weekly(call, id, weekdays, &openings).await?,
            Days::Date(date) => set_date(call, id, *date, &openings).await?,
            Days::DateAgain(date) => delete_date(call.conn, tenant, id, *date).await?,
        }
        let resource = resources::load(call, id).await?;
        let today = days::day_of(call.now, resource.zone);
        let outside_hours = outside_hours(call, &resource).await?;
        let view = resource.view(today);
        Ok(Effected {
            audit: Audit {
                subject: format!("resource:{id}"),
                before: Some(json!(before.view(today))),
                after: Some(json!(view)),
            },
            output: ResourceOutput {
                summary: booking::hours_set(
                    call.locale,
                    &resource.name,
                    &days,
                    &openings,
                    &outside_hours,
                ),
                resource: view,
                outside_hours,
            },
            events: Vec::new(),
        })
    }
}

/// References of coming bookings that the hours no longer cover.
pub(super) async fn outside_hours(
    call: &mut Call<'_>,
    resource: &Resource,
) -> Result<Vec<String>, CallError> {
    let coming = coming(call, resource.id, COMING_MAX).await?;
    Ok(coming
        .into_iter()
        .filter(|(_, during)| !is_open(&resource.openings(*during), *during))
        .take(OUTSIDE_MAX)
        .map(|(number, _)| numbering::shown(SERIES, number))
        .collect())
}

fn checked(input: &SetHoursInput, call: &Call<'_>) -> Result<(Days, Vec<Opening>), ToolFailure> {
    let locale = call.locale;
    let intervals = intervals(input, call)?;
    let days = match (&input.weekdays, input.date) {
        (Some(weekdays), None) if !weekdays.is_empty() => {
            let mut weekdays: Vec<Weekday> = weekdays.clone();
            weekdays.sort_unstable();
            weekdays.dedup();
            Days::Weekly(weekdays)
        }
        (None, Some(date)) if !days::YEARS.contains(&date.year()) => {
            return Err(arguments::bad_day(locale, "date"));
        }
        (None, Some(date)) if intervals.is_empty() && input.closed == Some(false) => {
            Days::DateAgain(date)
        }
        (None, Some(date)) => Days::Date(date),
        (Some(_), None) | (None, None) => {
            return Err(booking::hours_for_what(locale, "weekdays"));
        }
        (Some(_), Some(_)) => return Err(booking::hours_for_what(locale, "date")),
    };
    let says_nothing = intervals.is_empty() && input.closed != Some(true);
    if says_nothing && !matches!(days, Days::DateAgain(_)) {
        return Err(booking::bad_hours(locale, "opens"));
    }
    Ok((days, intervals))
}

/// The intervals of a day, in order; none for a day that is closed.
fn intervals(input: &SetHoursInput, call: &Call<'_>) -> Result<Vec<Opening>, ToolFailure> {
    let locale = call.locale;
    let given: Vec<(OpeningInterval, String)> =
        match (&input.opens, &input.closes, &input.intervals) {
            (None, None, None) => Vec::new(),
            (Some(opens), Some(closes), None) => {
                let (opens, closes) = (opens.clone(), closes.clone());
                vec![(OpeningInterval { opens, closes }, String::new())]
            }
            (None, None, Some(all)) if all.is_empty() || all.len() > INTERVALS_MAX => {
                return Err(arguments::too_many(locale, "intervals", INTERVALS_MAX));
            }
            (None, None, Some(all)) => {
                let numbered = all.iter().enumerate();
                numbered
                    .map(|(i, one)| (one.clone(), format!("intervals[{i}].")))
                    .collect()
            }
            (Some(_), None, _) => return Err(booking::bad_hours(locale, "closes")),
            (None, Some(_), _) => return Err(booking::bad_hours(locale, "opens")),
            (Some(_), Some(_), Some(_)) => return Err(booking::bad_hours(locale, "intervals")),
        };
    if !given.is_empty() && input.closed == Some(true) {
        return Err(booking::bad_hours(locale, "closed"));
    }
    let mut openings = Vec::with_capacity(given.len());
    for (interval, path) in given {
        openings.push(opening(&interval, &path, call)?);
    }
    openings.sort_unstable();
    let overlap = openings.windows(2).any(|w| w[1].opens < w[0].closes);
    if overlap {
        return Err(booking::bad_hours(locale, "intervals"));
    }
    Ok(openings)
}

fn opening(
    interval: &OpeningInterval,
    path: &str,
    call: &Call<'_>,
) -> Result<Opening, ToolFailure> {
    let read = |text: &str, member: &str| {
        times::minute_of_day(text)
            .ok_or_else(|| booking::bad_time(call.locale, &format!("{path}{member}")))
    };
    let opens = read(&interval.opens, "opens")?;
    let closes = read(&interval.closes, "closes")?;
    if opens >= DAY_MINUTES || opens == closes {
        return Err(booking::bad_hours(call.locale, &format!("{path}closes")));
    }
    // An earlier time is on the next day; midnight is the end of this one.
    let next_day = closes < opens;
    Ok(Opening {
        opens,
        closes: if next_day {
            closes + DAY_MINUTES
        } else {
            closes
        },
    })
}

async fn set_weekly(
    call: &mut Call<'_>,
    id: Uuid,
    weekdays: &[Weekday],
    openings: &[Opening],
) -> Result<(), CallError> {
    let tenant = call.tenant();
    let numbers: Vec<i16> = weekdays.iter().map(|d| d.number()).collect();
    delete_weekly(call.conn, tenant, id, &numbers).await?;
    let (opens, closes) = columns(openings);
    insert_weekly(call.conn, tenant, id, &numbers, &opens, &closes).await?;
    Ok(())
}

async fn set_date(
    call: &mut Call<'_>,
    id: Uuid,
    date: NaiveDate,
    openings: &[Opening],
) -> Result<(), CallError> {
    let tenant = call.tenant();
    delete_date(call.conn, tenant, id, date).await?;
    let (mut opens, mut closes) = columns(openings);
    if openings.is_empty() {
        // One row from 0 to 0 is a day on which it is closed.
        opens.push(0);
        closes.push(0);
    }
    insert_date(call.conn, tenant, id, date, &opens, &closes).await?;
    Ok(())
}

fn columns(openings: &[Opening]) -> (Vec<i16>, Vec<i16>) {
    openings.iter().map(|o| (o.opens, o.closes)).unzip()
}

async fn lock(conn: &mut PgConnection, tenant: Uuid, id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update shop.resources set version = version + 1 where tenant_id = $1 and id = $2",
        tenant,
        id
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn delete_weekly(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
    weekdays: &[i16],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from shop.weekly_hours where tenant_id = $1 and resource_id = $2 and weekday = any($3)",
        tenant,
        id,
        weekdays
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn insert_weekly(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
    weekdays: &[i16],
    opens: &[i16],
    closes: &[i16],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into shop.weekly_hours (tenant_id, resource_id, weekday, opens_minute, closes_minute)
         select $1, $2, w.weekday, o.opens, o.closes
         from unnest($3::smallint[]) as w (weekday) cross join unnest($4::smallint[], $5::smallint[]) as o (opens, closes)",
        tenant,
        id,
        weekdays,
        opens,
        closes
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn delete_date(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
    date: NaiveDate,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from shop.date_hours where tenant_id = $1 and resource_id = $2 and on_date = $3",
        tenant,
        id,
        date
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn insert_date(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
    date: NaiveDate,
    opens: &[i16],
    closes: &[i16],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into shop.date_hours (tenant_id, resource_id, on_date, opens_minute, closes_minute)
         select $1, $2, $3, o.opens, o.closes from unnest($4::smallint[], $5::smallint[]) as o (opens, closes)",
        tenant,
        id,
        date,
        opens,
        closes
    )
    .execute(conn)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use contracts::failure::FailureCode;
    use contracts::locale::Locale;
    use contracts::tools::booking::{CheckAvailability, SetResource};
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{World, refusal};

    async fn chair() -> World {
        let world = World::new().await;
        let chair = json!({"name": "Chair 1", "slot_minutes": 60});
        world.write::<SetResource>(chair).await.unwrap();
        world
    }

    async fn free(world: &World, date: &str) -> Vec<String> {
        let free = world
            .read::<CheckAvailability>(json!({"date": date}))
            .await
            .unwrap();
        free.slots.into_iter().map(|s| s.time).collect()
    }

    #[tokio::test]
    async fn weekly_hours_and_a_date_of_its_own() {
        let mut world = chair().await;
        let week = json!({"resource": "chair", "weekdays": ["friday", "monday", "monday"], "opens": "09:00", "closes": "11:00"});
        let set = world.write::<SetHours>(week).await.unwrap();
        assert_eq!(set.summary, "Chair 1 on Monday and Friday: 09:00–11:00.");
        assert_eq!(free(&world, "2026-11-27").await, ["09:00", "10:00"]);
        assert_eq!(free(&world, "2026-11-28").await, [""; 0]);

        let split = json!({"resource": "chair", "date": "2026-11-28",
            "intervals": [{"opens": "22:00", "closes": "01:00"}, {"opens": "08:00", "closes": "9am"}]});
        let set = world.write::<SetHours>(split).await.unwrap();
        assert_eq!(
            set.summary,
            "Chair 1 on Saturday 2026-11-28: 08:00–09:00, 22:00–01:00."
        );
        assert_eq!(
            free(&world, "2026-11-28").await,
            ["08:00", "22:00", "23:00"]
        );
        assert_eq!(free(&world, "2026-11-29").await, ["00:00"]);

        world.locale = Locale::Es;
        let closed = json!({"resource": "chair", "date": "2026-11-27", "closed": true});
        let set = world.write::<SetHours>(closed).await.unwrap();
        assert_eq!(set.summary, "Chair 1, viernes 2026-11-27: cerrado.");
        assert_eq!(free(&world, "2026-11-27").await, [""; 0]);
        let again = json!({"resource": "chair", "date": "2026-11-27", "closed": false});
        let set = world.write::<SetHours>(again).await.unwrap();
        assert_eq!(
            set.summary,
            "Chair 1 vuelve a su horario habitual el viernes 2026-11-27."
        );
        assert_eq!(free(&world, "2026-11-27").await, ["09:00", "10:00"]);
        assert_eq!(set.resource.hours.len(), 3, "two weekdays and a Saturday");
    }

    #[tokio::test]
    async fn hours_that_are_not_clear_are_refused() {
        let world = chair().await;
        let with = |members: Value| {
            let mut input = json!({"resource": "Chair 1"});
            input
                .as_object_mut()
                .unwrap()
                .extend(members.as_object().unwrap().clone());
            input
        };
        for (members, field) in [
            (json!({"opens": "09:00", "closes": "17:00"}), "weekdays"),
            (
                json!({"weekdays": [], "opens": "09:00", "closes": "17:00"}),
                "weekdays",
            ),
            (
                json!({"weekdays": ["monday"], "date": "2026-11-27", "closed": true}),
                "date",
            ),
            (json!({"weekdays": ["monday"]}), "opens"),
            (json!({"weekdays": ["monday"], "closed": false}), "opens"),
            (json!({"weekdays": ["monday"], "opens": "09:00"}), "closes"),
            (json!({"weekdays": ["monday"], "closes": "09:00"}), "opens"),
            (
                json!({"weekdays": ["monday"], "opens": "9", "closes": "17:00"}),
                "opens",
            ),
            (
                json!({"weekdays": ["monday"], "opens": "09:00", "closes": "09:00"}),
                "closes",
            ),
            (
                json!({"weekdays": ["monday"], "opens": "24:00", "closes": "09:00"}),
                "closes",
            ),
            (
                json!({"weekdays": ["monday"], "opens": "09:00", "closes": "17:00", "closed": true}),
                "closed",
            ),
            (
                json!({"weekdays": ["monday"], "intervals": []}),
                "intervals",
            ),
            (
                json!({"weekdays": ["monday"], "intervals": [{"opens": "09:00", "closes": "12:00"}, {"opens": "11:00", "closes": "13:00"}]}),
                "intervals",
            ),
            (
                json!({"weekdays": ["monday"], "intervals": [{"opens": "09:00", "closes": "25:00"}]}),
                "intervals[0].closes",
            ),
            (json!({"date": "1900-01-01", "closed": true}), "date"),
        ] {
            let failure = refusal(world.write::<SetHours>(with(members.clone())).await);
            assert_eq!(failure.field.as_deref(), Some(field), "{members}");
        }
        let unknown = json!({"resource": "sauna", "weekdays": ["monday"], "closed": true});
        let failure = refusal(world.write::<SetHours>(unknown).await);
        assert_eq!(failure.code, FailureCode::UnknownResource);
        assert_eq!(
            world.number("select count(*) from shop.weekly_hours").await,
            0
        );
    }
}
