//! `check_availability`: which times can be booked, on a day or in a window, of one resource or of all.

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use contracts::tools::booking::{
    CheckAvailability, CheckAvailabilityInput, CheckAvailabilityOutput, FreeSlot,
};
use uuid::Uuid;

use crate::bookings::resources::{self, Resource};
use crate::bookings::slots::{Busy, Slot, Span, free_lanes, is_open, nearest};
use crate::bookings::{terms, times, wanted};
use crate::days;
use crate::error::CallError;
use crate::handler::{Call, ReadTool};
use crate::typed;
use crate::words::arguments;
use crate::words::booking::{self, FreeTime};

/// Longest window.
const WINDOW_DAYS_MAX: i64 = 31;
/// How far around a time that is not free others are looked for.
const AROUND: TimeDelta = TimeDelta::days(7);
/// How many of those are answered.
const NEAREST_MAX: usize = 5;

impl ReadTool for CheckAvailability {
    async fn read(
        call: &mut Call<'_>,
        input: CheckAvailabilityInput,
    ) -> Result<CheckAvailabilityOutput, CallError> {
        let limit = typed::page_limit(input.limit, call.locale)?;
        let minutes = wanted::length(input.minutes, call)?;
        let all = match &input.resource {
            Some(name) => vec![resources::find(call, name, "resource").await?],
            None => resources::all(call).await?,
        };
        if all.is_empty() {
            return Err(booking::nothing_to_book(call.locale).into());
        }
        if let (Some(time), None, None) = (&input.time, &input.from, &input.to) {
            return at_time(call, all, input.date, time, minutes).await;
        }
        let mut found = Vec::new();
        for resource in &all {
            let window = window(&input, resource, call)?;
            let slots = free(call, resource, minutes, window).await?;
            let slots = match &input.time {
                None => slots,
                Some(time) => at_that_time(slots, time, resource.zone, call)?,
            };
            found.extend(slots.into_iter().take(limit + 1).map(|s| (s, resource)));
        }
        found.sort_by_key(|(slot, _)| slot.during.from);
        let more = found.len() > limit;
        found.truncate(limit);
        Ok(CheckAvailabilityOutput {
            summary: booking::free_times(call.locale, &times_of(&found), more),
            is_free: None,
            slots: shown(&found, minutes, call),
            more,
        })
    }
}

/// The window asked for: a day, from and to, or today.
fn window(
    input: &CheckAvailabilityInput,
    resource: &Resource,
    call: &Call<'_>,
) -> Result<Span, CallError> {
    let zone = resource.zone;
    let date = input.date.unwrap_or_else(|| days::day_of(call.now, zone));
    let bad_day = |field| CallError::from(arguments::bad_day(call.locale, field));
    if !days::YEARS.contains(&date.year()) {
        return Err(bad_day("date"));
    }
    let starts = |day| days::start_of(day, zone);
    let from = match &input.from {
        Some(text) => edge(text, "from", input.date, zone, call, starts)?,
        None => starts(date).ok_or_else(|| bad_day("date"))?,
    };
    let until = match (&input.to, &input.from) {
        (Some(text), _) => edge(text, "to", input.date, zone, call, |day| {
            days::end_of(day, zone)
        })?,
        (None, Some(_)) if input.date.is_none() => {
            let day = days::day_of(from, zone);
            days::end_of(day, zone).ok_or_else(|| bad_day("from"))?
        }
        (None, _) => days::end_of(date, zone).ok_or_else(|| bad_day("date"))?,
    };
    // An hour more, for a month in which the clocks go back.
    let longest = TimeDelta::days(WINDOW_DAYS_MAX) + TimeDelta::hours(1);
    if from >= until || until - from > longest {
        return Err(booking::bad_window(
            call.locale,
            if input.to.is_some() { "to" } else { "from" },
        )
        .into());
    }
    Ok(Span { from, until })
}

/// A day, a time of the day asked about, or both.
fn edge(
    text: &str,
    field: &str,
    date: Option<NaiveDate>,
    zone: Tz,
    call: &Call<'_>,
    of_day: impl Fn(NaiveDate) -> Option<DateTime<Utc>>,
) -> Result<DateTime<Utc>, CallError> {
    let bad = || CallError::from(booking::bad_window(call.locale, field));
    if let Ok(day) = text.trim().parse::<NaiveDate>() {
        return of_day(day).ok_or_else(|| arguments::bad_day(call.locale, field).into());
    }
    let today = days::day_of(call.now, zone);
    let day = date.unwrap_or(today);
    if text.trim() == "24:00" {
        return days::end_of(day, zone).ok_or_else(bad);
    }
    let said = times::read(text).ok_or_else(bad)?;
    let day = said.date.unwrap_or(day);
    if !days::YEARS.contains(&day.year()) {
        return Err(bad());
    }
    match times::on(day, said, zone) {
        times::Reading::At(at) => Ok(at),
        // The edge of a window need not be exact: the first reading.
        times::Reading::Unclear(readings) => readings.first().copied().ok_or_else(bad),
    }
}

async fn busy(
    call: &mut Call<'_>,
    resource: &Resource,
    window: Span,
) -> Result<Vec<Busy>, CallError> {
    let ids: [Uuid; 1] = [resource.id];
    let taken = resources::taken(call, &ids, wanted::widened(window)).await?;
    Ok(taken.into_iter().map(|t| t.busy).collect())
}

async fn free(
    call: &mut Call<'_>,
    resource: &Resource,
    minutes: Option<u32>,
    window: Span,
) -> Result<Vec<Slot>, CallError> {
    let busy = busy(call, resource, window).await?;
    Ok(resource.free(&busy, resource.minutes(minutes), window, call.now))
}

/// Of the slots of several days, those at one time of the day.
fn at_that_time(
    slots: Vec<Slot>,
    time: &str,
    zone: Tz,
    call: &Call<'_>,
) -> Result<Vec<Slot>, CallError> {
    let said = times::read(time).ok_or_else(|| booking::bad_time(call.locale, "time"))?;
    Ok(slots
        .into_iter()
        .filter(|slot| slot.during.from.with_timezone(&zone).time() == said.wall)
        .collect())
}

/// Is it free then? If not, what is, near it.
async fn at_time(
    call: &mut Call<'_>,
    all: Vec<Resource>,
    date: Option<NaiveDate>,
    time: &str,
    minutes: Option<u32>,
) -> Result<CheckAvailabilityOutput, CallError> {
    let now = call.now;
    let mut then: Vec<(Slot, &Resource)> = Vec::new();
    let mut near: Vec<(Slot, &Resource, TimeDelta)> = Vec::new();
    let mut asked: Option<(Span, Tz)> = None;
    for resource in &all {
        let date = date.unwrap_or_else(|| days::day_of(now, resource.zone));
        let start = wanted::moment(date, time, resource.zone, call)?;
        let shape = resource.shape(resource.minutes(minutes));
        let during = shape.at(start);
        asked.get_or_insert((during, resource.zone));
        let around = start.max(now);
        let window = Span {
            from: around - AROUND,
            until: around + AROUND,
        };
        let busy = busy(call, resource, window).await?;
        let bookable = resource.bookable(now);
        let lanes = free_lanes(&busy, during, &shape);
        let in_time = bookable.from <= start && start < bookable.until && start >= now;
        if in_time && lanes > 0 && is_open(&resource.openings(during), during) {
            then.push((
                Slot {
                    during,
                    free: lanes,
                },
                resource,
            ));
        }
        let slots = resource.free(&busy, resource.minutes(minutes), window, now);
        let closest = nearest(slots, start, NEAREST_MAX);
        near.extend(
            closest
                .into_iter()
                .map(|s| (s, resource, (s.during.from - start).abs())),
        );
    }
    let Some((during, zone)) = asked else {
        return Err(booking::nothing_to_book(call.locale).into());
    };
    let when = booking::when(call.locale, during, zone, call.shop.time_zone);
    if !then.is_empty() {
        let names: Vec<String> = then.iter().map(|(_, r)| r.name.clone()).collect();
        return Ok(CheckAvailabilityOutput {
            summary: booking::is_free(call.locale, &names, &when),
            is_free: Some(true),
            slots: shown(&then, minutes, call),
            more: false,
        });
    }
    near.sort_by_key(|(slot, _, far)| (*far, slot.during.from));
    near.truncate(NEAREST_MAX);
    let mut near: Vec<(Slot, &Resource)> = near.into_iter().map(|(s, r, _)| (s, r)).collect();
    near.sort_by_key(|(slot, _)| slot.during.from);
    let told = refusal(call, &all, during, zone, &near);
    Ok(CheckAvailabilityOutput {
        summary: told,
        is_free: Some(false),
        slots: shown(&near, minutes, call),
        more: false,
    })
}

/// Why not, in the words of a booking that is refused, with what is free instead.
fn refusal(
    call: &Call<'_>,
    all: &[Resource],
    during: Span,
    zone: Tz,
    near: &[(Slot, &Resource)],
) -> String {
    let several = all.len() > 1;
    let offers: Vec<booking::Offer> = near
        .iter()
        .map(|(slot, r)| booking::Offer {
            resource: several.then(|| r.name.clone()),
            starts_at: slot.during.from,
            zone: r.zone,
            asked: during.from,
            price: None,
        })
        .collect();
    let when = booking::when(call.locale, during, zone, call.shop.time_zone);
    match all {
        [only] => {
            let why = wanted::why_not(only, during, call.now);
            booking::not_bookable(call.locale, why, only, &when, &offers).message
        }
        _ => booking::nothing_free(call.locale, &when, true, &offers).message,
    }
}

fn times_of(found: &[(Slot, &Resource)]) -> Vec<FreeTime> {
    found
        .iter()
        .map(|(slot, resource)| FreeTime {
            resource: resource.name.clone(),
            date: days::day_of(slot.during.from, resource.zone),
            time: times::shown(slot.during.from, resource.zone),
        })
        .collect()
}

fn shown(found: &[(Slot, &Resource)], minutes: Option<u32>, call: &Call<'_>) -> Vec<FreeSlot> {
    found
        .iter()
        .map(|(slot, resource)| {
            let (from, zone) = (slot.during.from, resource.zone);
            let minutes = resource.minutes(minutes);
            FreeSlot {
                resource: resource.name.clone(),
                when: booking::when(call.locale, slot.during, zone, call.shop.time_zone),
                date: days::day_of(from, zone),
                time: times::shown(from, zone),
                minutes,
                starts_at: from,
                free: slot.free,
                price: resource
                    .price
                    .and_then(|p| terms::price(p, minutes, resource.slot_minutes)),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use contracts::failure::FailureCode;
    use contracts::tools::booking::{CreateBooking, SetHours, SetResource};
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{World, refusal};

    async fn shop() -> World {
        let world = World::new().await;
        for (name, slot) in [("Chair 1", 30), ("Room", 60)] {
            let resource = json!({"name": name, "slot_minutes": slot, "price": "3000"});
            world.write::<SetResource>(resource).await.unwrap();
            let hours = json!({"resource": name, "opens": "09:00", "closes": "12:00",
                               "weekdays": ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday"]});
            world.write::<SetHours>(hours).await.unwrap();
        }
        world
    }

    async fn asked(world: &World, input: Value) -> CheckAvailabilityOutput {
        world.read::<CheckAvailability>(input).await.unwrap()
    }

    #[tokio::test]
    async fn a_day_a_window_and_a_time() {
        let world = shop().await;
        let book = json!({"resource": "chair", "date": "2026-11-27", "time": "10:00"});
        world.agree::<CreateBooking>(book).await.unwrap();
        let day = asked(&world, json!({"resource": "chair", "date": "2026-11-27"})).await;
        assert_eq!(
            day.summary,
            "Free: Chair 1 on Friday 2026-11-27: 09:00, 09:30, 10:30, 11:00, 11:30."
        );
        assert_eq!(day.slots[0].price.unwrap().to_string(), "RWF 3,000");
        let both = asked(
            &world,
            json!({"date": "2026-11-27", "from": "11:00", "to": "12:00"}),
        )
        .await;
        assert_eq!(
            both.summary,
            "Free: Chair 1 on Friday 2026-11-27: 11:00, 11:30; Room on Friday 2026-11-27: 11:00."
        );
        let days =
            json!({"resource": "room", "from": "2026-11-27", "to": "2026-11-30", "time": "9am"});
        let days = asked(&world, days).await;
        let dates: Vec<String> = days.slots.iter().map(|s| s.date.to_string()).collect();
        assert_eq!(dates, ["2026-11-27", "2026-11-28", "2026-11-30"]);

        let yes = json!({"resource": "chair", "date": "2026-11-27", "time": "11:00"});
        let yes = asked(&world, yes).await;
        assert_eq!(yes.is_free, Some(true));
        assert_eq!(
            yes.summary,
            "Chair 1 is free on Friday 2026-11-27 11:00–11:30."
        );
        let no = json!({"resource": "chair", "date": "2026-11-27", "time": "10:00"});
        let no = asked(&world, no).await;
        assert_eq!(no.is_free, Some(false));
        assert_eq!(
            no.summary,
            "Chair 1 is taken on Friday 2026-11-27 10:00–10:30. Free: 09:00, 09:30, 10:30, 11:00, 11:30."
        );
        let closed = json!({"resource": "chair", "date": "2026-11-29", "time": "10:00"});
        let closed = asked(&world, closed).await;
        assert!(closed.summary.starts_with(
            "Chair 1 is closed on Sunday 2026-11-29 10:00–10:30, or for part of it. Free: "
        ));
        let limited = asked(&world, json!({"date": "2026-11-27", "limit": 2})).await;
        assert!(limited.more && limited.slots.len() == 2);
    }

    #[tokio::test]
    async fn today_leaves_out_what_is_over() {
        let world = shop().await;
        // Eleven in Kigali.
        world.move_clock_to("2026-11-20T09:00:00Z");
        let today = asked(&world, json!({"resource": "chair"})).await;
        let times: Vec<&str> = today.slots.iter().map(|s| s.time.as_str()).collect();
        assert_eq!(times, ["11:00", "11:30"]);
    }

    #[tokio::test]
    async fn what_cannot_be_asked_is_refused() {
        let world = shop().await;
        for (input, field) in [
            (json!({"from": "2026-11-28", "to": "2026-11-27"}), "to"),
            (json!({"from": "2026-11-01", "to": "2026-12-31"}), "to"),
            (
                json!({"date": "2026-11-27", "from": "12:00", "to": "11:00"}),
                "to",
            ),
            (json!({"from": "soon"}), "from"),
            (json!({"date": "1900-01-01"}), "date"),
            (json!({"date": "+10000-01-01"}), "date"),
            (json!({"from": "+10000-01-01"}), "from"),
            (json!({"time": "noonish"}), "time"),
            (json!({"minutes": 4}), "minutes"),
            (json!({"minutes": 1441}), "minutes"),
            (json!({"limit": 0}), "limit"),
            (json!({"resource": "sauna"}), "resource"),
        ] {
            let failure = refusal(world.read::<CheckAvailability>(input.clone()).await);
            assert_eq!(failure.field.as_deref(), Some(field), "{input}");
        }
        let empty = World::new().await;
        let failure = refusal(empty.read::<CheckAvailability>(json!({})).await);
        assert_eq!(failure.code, FailureCode::UnknownResource);
    }
}
