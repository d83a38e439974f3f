//! A time somebody wants, checked: whether it can be booked, why not, and what is free instead.

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use contracts::money::Money;
use uuid::Uuid;

use super::resources::{self, Resource, Taken};
use super::slots::{Busy, Slot, Span, free_lanes, is_open, nearest};
use super::times::{self, Reading};
use super::{resources as things, terms};
use crate::days;
use crate::error::CallError;
use crate::handler::Call;
use crate::words::arguments;
use crate::words::booking::{self, Offer};

/// Lengths a booking may have, minutes.
pub(crate) const MINUTES: std::ops::RangeInclusive<u32> = 5..=1440;
/// How many days around a time that cannot be had others are looked for.
const AROUND: TimeDelta = TimeDelta::days(7);
/// How many are offered.
const OFFERED_MAX: usize = 5;

/// A time that can be booked.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// What.
    pub resource: Resource,
    /// From when until when.
    pub during: Span,
    /// How long, minutes.
    pub minutes: u32,
    /// What it costs.
    pub price: Option<Money>,
}

impl Wanted {
    /// What it blocks.
    #[must_use]
    pub(crate) fn blocks(&self) -> Span {
        self.resource.shape(self.minutes).blocks(self.during)
    }
}

/// What somebody asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask<'a> {
    /// The day.
    pub date: NaiveDate,
    /// The time as it was typed.
    pub time: &'a str,
    /// How long, minutes; a slot when absent.
    pub minutes: Option<u32>,
}

/// Who asks, so that what is held for them already is no conflict.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whose<'a> {
    /// For whom.
    pub customer: Option<&'a str>,
    /// Who to call.
    pub phone: Option<&'a str>,
    /// The booking that is to be moved.
    pub moving: Option<Uuid>,
}

impl Whose<'_> {
    /// A hold of this very question, or of an earlier question of the same person about the very same booking; when a booking is
    /// moved, itself and what was held for its move.
    fn owns(&self, taken: &Taken, during: Span, call: &Call<'_>) -> bool {
        if let Some(moving) = self.moving {
            return taken.id == moving || taken.moves_booking_id == Some(moving);
        }
        let asked_again = taken.created_by == call.caller.subject
            && taken.moves_booking_id.is_none()
            && taken.during == during
            && taken.customer_name.as_deref() == self.customer
            && taken.phone.as_deref() == self.phone;
        let same_question =
            taken.confirmation_id.is_some() && taken.confirmation_id == call.confirmation;
        taken.held && (same_question || asked_again)
    }
}

/// Whether a time can be booked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It can.
    Fits,
    /// It is over.
    Past,
    /// It is sooner than the notice.
    TooSoon,
    /// It is further than the days ahead.
    TooFar,
    /// No hours were ever set.
    NoHours,
    /// It is outside the hours.
    Closed,
    /// Every lane is taken.
    Taken,
}

fn verdict(resource: &Resource, busy: &[Busy], during: Span, now: DateTime<Utc>) -> Verdict {
    let bookable = resource.bookable(now);
    let length = u32::try_from((during.until - during.from).num_minutes()).unwrap_or(0);
    if during.from < now {
        Verdict::Past
    } else if resource.hours.is_empty() {
        Verdict::NoHours
    } else if during.from < bookable.from {
        Verdict::TooSoon
    } else if during.from >= bookable.until {
        Verdict::TooFar
    } else if !is_open(&resource.openings(during), during) {
        Verdict::Closed
    } else if free_lanes(busy, during, &resource.shape(length)) == 0 {
        Verdict::Taken
    } else {
        Verdict::Fits
    }
}

/// Why a time cannot be booked that is not free.
#[must_use]
pub(crate) fn why_not(resource: &Resource, during: Span, now: DateTime<Utc>) -> Verdict {
    match verdict(resource, &[], during, now) {
        Verdict::Fits => Verdict::Taken,
        why => why,
    }
}

/// A length that was asked for, checked.
///
/// # Errors
/// When it is out of [`MINUTES`].
pub(crate) fn length(minutes: Option<u32>, call: &Call<'_>) -> Result<Option<u32>, CallError> {
    match minutes {
        Some(minutes) if !MINUTES.contains(&minutes) => {
            Err(
                booking::bad_minutes(call.locale, "minutes", *MINUTES.start(), *MINUTES.end())
                    .into(),
            )
        }
        other => Ok(other),
    }
}

/// The moment a time on a day is.
///
/// # Errors
/// `invalid_arguments`, or `ambiguous_time` with both readings.
pub(crate) fn moment(
    date: NaiveDate,
    time: &str,
    zone: Tz,
    call: &Call<'_>,
) -> Result<DateTime<Utc>, CallError> {
    let said = times::read(time).ok_or_else(|| booking::bad_time(call.locale, "time"))?;
    let day = said.date.unwrap_or(date);
    if !days::YEARS.contains(&day.year()) {
        return Err(arguments::bad_day(call.locale, "date").into());
    }
    match times::on(day, said, zone) {
        Reading::At(at) => Ok(at),
        Reading::Unclear(readings) => {
            let names: Vec<String> = readings
                .iter()
                .filter(|at| days::day_of(**at, zone) == day)
                .map(|at| times::with_offset(*at, zone))
                .collect();
            Err(booking::ambiguous_time(call.locale, day, said.wall, &names).into())
        }
    }
}

/// The time somebody wants, on the resource they name, or on the only one there is or that is free then.
///
/// # Errors
/// Why it cannot be booked, with the nearest free times.
pub(crate) async fn find(
    call: &mut Call<'_>,
    resource: Option<&str>,
    ask: Ask<'_>,
    whose: Whose<'_>,
) -> Result<Wanted, CallError> {
    let minutes = length(ask.minutes, call)?;
    let ask = Ask { minutes, ..ask };
    let mut all = match resource {
        Some(name) => vec![things::find(call, name, "resource").await?],
        None => things::all(call).await?,
    };
    if all.len() == 1 {
        return one(call, all.remove(0), ask, whose).await;
    }
    if all.is_empty() {
        return Err(booking::nothing_to_book(call.locale).into());
    }
    several(call, all, ask, whose).await
}

/// The time on this one resource.
///
/// # Errors
/// Those of [`find`].
pub(crate) async fn one(
    call: &mut Call<'_>,
    resource: Resource,
    ask: Ask<'_>,
    whose: Whose<'_>,
) -> Result<Wanted, CallError> {
    let start = moment(ask.date, ask.time, resource.zone, call)?;
    let wanted = wanted(resource, start, ask.minutes);
    let busy = busy(call, std::slice::from_ref(&wanted), whose).await?;
    match verdict(&wanted.resource, &busy[0], wanted.during, call.now) {
        Verdict::Fits => Ok(wanted),
        why => Err(refused(call, &wanted, why, whose).await),
    }
}

async fn several(
    call: &mut Call<'_>,
    all: Vec<Resource>,
    ask: Ask<'_>,
    whose: Whose<'_>,
) -> Result<Wanted, CallError> {
    let mut each = Vec::with_capacity(all.len());
    for resource in all {
        let start = moment(ask.date, ask.time, resource.zone, call)?;
        each.push(wanted(resource, start, ask.minutes));
    }
    let busy = busy(call, &each, whose).await?;
    let now = call.now;
    let verdicts: Vec<Verdict> = each
        .iter()
        .zip(&busy)
        .map(|(w, busy)| verdict(&w.resource, busy, w.during, now))
        .collect();
    let mut fitting: Vec<Wanted> = each
        .iter()
        .zip(&verdicts)
        .filter(|(_, v)| **v == Verdict::Fits)
        .map(|(w, _)| w.clone())
        .collect();
    if fitting.len() == 1 {
        return Ok(fitting.remove(0));
    }
    if !fitting.is_empty() {
        let free: Vec<Resource> = fitting.into_iter().map(|w| w.resource).collect();
        let named = things::candidates(&free);
        return Err(booking::ambiguous_resource(call.locale, None, named, "resource").into());
    }
    let taken = verdicts.contains(&Verdict::Taken);
    let offers = offers(call, &each, whose, true).await?;
    let first = each.first().map(|w| (w.during, w.resource.zone));
    let Some((during, zone)) = first else {
        return Err(booking::nothing_to_book(call.locale).into());
    };
    let when = booking::when(call.locale, during, zone, call.shop.time_zone);
    Err(booking::nothing_free(call.locale, &when, taken, &offers).into())
}

fn wanted(resource: Resource, start: DateTime<Utc>, minutes: Option<u32>) -> Wanted {
    let minutes = resource.minutes(minutes);
    let during = resource.shape(minutes).at(start);
    let price = resource
        .price
        .and_then(|p| terms::price(p, minutes, resource.slot_minutes));
    Wanted {
        during,
        minutes,
        price,
        resource,
    }
}

/// What is taken around each wanted time, what is the asker's own left out.
async fn busy(
    call: &mut Call<'_>,
    each: &[Wanted],
    whose: Whose<'_>,
) -> Result<Vec<Vec<Busy>>, CallError> {
    let ids: Vec<Uuid> = each.iter().map(|w| w.resource.id).collect();
    let from = each.iter().map(|w| w.blocks().from).min();
    let until = each.iter().map(|w| w.blocks().until).max();
    let (Some(from), Some(until)) = (from, until) else {
        return Ok(Vec::new());
    };
    let taken = resources::taken(call, &ids, Span { from, until }).await?;
    Ok(each
        .iter()
        .map(|w| {
            taken
                .iter()
                .filter(|t| t.resource_id == w.resource.id && !whose.owns(t, w.during, call))
                .map(|t| t.busy)
                .collect()
        })
        .collect())
}

/// The failure for a time that cannot be booked, with the nearest ones that can.
pub(crate) async fn refused(
    call: &mut Call<'_>,
    wanted: &Wanted,
    why: Verdict,
    whose: Whose<'_>,
) -> CallError {
    let offers = match offers(call, std::slice::from_ref(wanted), whose, false).await {
        Ok(offers) => offers,
        Err(fault) => return fault,
    };
    let resource = &wanted.resource;
    let when = booking::when(
        call.locale,
        wanted.during,
        resource.zone,
        call.shop.time_zone,
    );
    booking::not_bookable(call.locale, why, resource, &when, &offers).into()
}

/// The nearest free times on these resources, the nearest first.
async fn offers(
    call: &mut Call<'_>,
    each: &[Wanted],
    whose: Whose<'_>,
    named: bool,
) -> Result<Vec<Offer>, CallError> {
    let now = call.now;
    let mut found: Vec<(Slot, &Wanted)> = Vec::new();
    for wanted in each {
        let around = wanted.during.from.max(now);
        let window = Span {
            from: around - AROUND,
            until: around + AROUND,
        };
        let taken = resources::taken(call, &[wanted.resource.id], widened(window)).await?;
        let busy: Vec<Busy> = taken
            .iter()
            .filter(|t| !whose.owns(t, wanted.during, call))
            .map(|t| t.busy)
            .collect();
        let free = wanted.resource.free(&busy, wanted.minutes, window, now);
        let near = nearest(free, wanted.during.from, OFFERED_MAX);
        found.extend(near.into_iter().map(|slot| (slot, wanted)));
    }
    found.sort_by_key(|(slot, w)| {
        let start = slot.during.from;
        ((start - w.during.from).abs(), start)
    });
    found.truncate(OFFERED_MAX);
    Ok(found
        .into_iter()
        .map(|(slot, w)| Offer {
            resource: named.then(|| w.resource.name.clone()),
            starts_at: slot.during.from,
            zone: w.resource.zone,
            asked: w.during.from,
            price: w.price,
        })
        .collect())
}

/// A slot at the edge of a window blocks beyond it.
pub(crate) fn widened(window: Span) -> Span {
    let day = TimeDelta::days(2);
    Span {
        from: window.from - day,
        until: window.until + day,
    }
}
