//! What can be booked: found by what a person calls it, with its hours and what is taken of it.

use std::collections::BTreeMap;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use contracts::failure::Candidate;
use contracts::money::Money;
use contracts::quantity::Exact;
use contracts::tools::booking::{DayHours, OpeningInterval, ResourceView, Weekday};
use rust_decimal::Decimal;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::slots::{BLOCK_HOURS_MAX, Busy, Hours, Opening, Shape, Slot, Span, free};
use super::terms::Terms;
use crate::catalogue::likeness::{self, ACCEPTED, Choice, Folded, OFFERED_MAX, SAME, score};
use crate::days;
use crate::error::CallError;
use crate::handler::{Call, Shop};
use crate::typed::{self, NAME_CHARS_MAX};
use crate::words::arguments::Thing;
use crate::words::booking;

/// Most resources of a shop that are looked at.
const RESOURCES_MAX: i64 = 1_000;
/// Most dates with hours of their own that are shown.
const DATES_SHOWN_MAX: usize = 100;
/// A name with another number in it is offered, never taken.
const OTHER_NUMBER_MAX: u16 = ACCEPTED - 10;

/// Something that can be booked.
#[derive(Debug, Clone)]
pub(crate) struct Resource {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// What kind of thing it is.
    pub kind: String,
    /// How many bookings at once.
    pub lanes: i16,
    /// Length of a slot.
    pub slot_minutes: i32,
    /// Kept free before each booking.
    pub buffer_before_minutes: i32,
    /// Kept free after each booking.
    pub buffer_after_minutes: i32,
    /// How long before its start it can still be booked.
    pub min_notice_minutes: i32,
    /// How far ahead it can be booked.
    pub max_ahead_days: i32,
    /// What cancelling late costs.
    pub terms: Terms,
    /// Where its hours are.
    pub zone: Tz,
    /// What one slot costs.
    pub price: Option<Money>,
    /// It can be booked.
    pub active: bool,
    /// Other names.
    pub aliases: Vec<String>,
    /// When it is open; dates from the day before today on.
    pub hours: Hours,
    /// Grows with every change.
    pub version: i64,
}

impl Resource {
    /// The length of a booking, minutes: a slot where none is asked for.
    #[must_use]
    pub(crate) fn minutes(&self, asked: Option<u32>) -> u32 {
        asked.unwrap_or_else(|| u32::try_from(self.slot_minutes).unwrap_or(0))
    }

    /// What a booking of this length takes.
    #[must_use]
    pub(crate) fn shape(&self, minutes: u32) -> Shape {
        let of = |minutes: i32| TimeDelta::minutes(minutes.into());
        Shape {
            step: of(self.slot_minutes),
            length: TimeDelta::minutes(minutes.into()),
            before: of(self.buffer_before_minutes),
            after: of(self.buffer_after_minutes),
            lanes: self.lanes,
        }
    }

    /// When bookings can begin: not sooner than the notice, not further than the days ahead, whole days of its zone.
    #[must_use]
    pub(crate) fn bookable(&self, now: DateTime<Utc>) -> Span {
        let ahead = u64::try_from(self.max_ahead_days).unwrap_or(0);
        let today = days::day_of(now, self.zone);
        let last = today.checked_add_days(Days::new(ahead)).unwrap_or(today);
        Span {
            from: now + TimeDelta::minutes(self.min_notice_minutes.into()),
            until: days::end_of(last, self.zone).unwrap_or(now),
        }
    }

    /// The opening hours that touch a span.
    #[must_use]
    pub(crate) fn openings(&self, span: Span) -> Vec<Span> {
        let first = days::day_of(span.from, self.zone);
        let first = first.pred_opt().unwrap_or(first);
        self.hours
            .openings(first, days::day_of(span.until, self.zone), self.zone)
    }

    /// The free slots that begin within a window and can be booked now.
    #[must_use]
    pub(crate) fn free(
        &self,
        busy: &[Busy],
        minutes: u32,
        window: Span,
        now: DateTime<Utc>,
    ) -> Vec<Slot> {
        let bookable = self.bookable(now);
        let window = Span {
            from: window.from.max(bookable.from),
            until: window.until.min(bookable.until),
        };
        if !self.active || window.from >= window.until {
            return Vec::new();
        }
        free(&self.openings(window), busy, &self.shape(minutes), window)
    }

    /// The resource as it is shown.
    #[must_use]
    pub(crate) fn view(&self, today: NaiveDate) -> ResourceView {
        let count = |n: i32| u32::try_from(n).unwrap_or(0);
        let minutes = |d: TimeDelta| u32::try_from(d.num_minutes()).unwrap_or(0);
        ResourceView {
            id: self.id,
            name: self.name.clone(),
            kind: self.kind.clone(),
            capacity: self.lanes.unsigned_abs(),
            slot_minutes: count(self.slot_minutes),
            buffer_before_minutes: count(self.buffer_before_minutes),
            buffer_after_minutes: count(self.buffer_after_minutes),
            min_notice_minutes: count(self.min_notice_minutes),
            max_ahead_days: count(self.max_ahead_days),
            cancel_notice_minutes: minutes(self.terms.notice),
            cancel_fee_percent: Exact(Decimal::new(self.terms.fee_bp.into(), 2).normalize()),
            time_zone: self.zone.name().to_owned(),
            price: self.price,
            active: self.active,
            aliases: self.aliases.clone(),
            hours: self.hours_shown(today),
            version: self.version,
        }
    }

    fn hours_shown(&self, today: NaiveDate) -> Vec<DayHours> {
        let weekly = self.hours.weekly.iter().filter_map(|(number, openings)| {
            Some(DayHours {
                weekday: Some(Weekday::from_number(*number)?),
                date: None,
                intervals: openings.iter().map(|o| interval(*o)).collect(),
            })
        });
        let dates = self.hours.dates.range(today..);
        let dates = dates
            .take(DATES_SHOWN_MAX)
            .map(|(date, openings)| DayHours {
                weekday: None,
                date: Some(*date),
                intervals: openings.iter().map(|o| interval(*o)).collect(),
            });
        weekly.chain(dates).collect()
    }
}

/// An opening as it is written: "22:00" to "02:00".
#[must_use]
pub(crate) fn interval(opening: Opening) -> OpeningInterval {
    let clock = |minute: i16| format!("{:02}:{:02}", minute / 60, minute % 60);
    let closes = match opening.closes {
        1440 => 1440,
        minute => minute % 1440,
    };
    OpeningInterval {
        opens: clock(opening.opens),
        closes: clock(closes),
    }
}

/// The zone of a resource: its own, or the shop's.
///
/// # Errors
/// [`CallError::Broken`] for a stored name that is no zone.
pub(crate) fn zone(name: Option<&str>, shop: &Shop) -> Result<Tz, CallError> {
    match name {
        None => Ok(shop.time_zone),
        Some(name) => name
            .parse()
            .map_err(|_| CallError::Broken(format!("stored time zone {name}"))),
    }
}

/// The resource a name means.
///
/// # Errors
/// `unknown_resource` or `ambiguous_resource` with candidates; `not_bookable` for one that cannot be booked any more.
pub(crate) async fn find(
    call: &mut Call<'_>,
    text: &str,
    field: &str,
) -> Result<Resource, CallError> {
    let found = find_any(call, text, field).await?;
    if found.active {
        Ok(found)
    } else {
        Err(booking::inactive(call.locale, &found.name, field).into())
    }
}

/// Like [`find`], whether it can be booked or not.
///
/// # Errors
/// `unknown_resource` or `ambiguous_resource` with candidates.
pub(crate) async fn find_any(
    call: &mut Call<'_>,
    text: &str,
    field: &str,
) -> Result<Resource, CallError> {
    let text = typed::line(text, Thing::Resource, field, NAME_CHARS_MAX, call.locale)?;
    let tenant = call.tenant();
    let names = select_names(call.conn, tenant, RESOURCES_MAX).await?;
    let locale = call.locale;
    match closest(&text, &names) {
        Found::One(id) => load(call, id).await,
        Found::Several(several) => {
            Err(booking::ambiguous_resource(locale, Some(&text), several, field).into())
        }
        Found::Nothing(near) => Err(booking::unknown_resource(locale, &text, near, field).into()),
    }
}

/// Everything that can be booked, by name.
///
/// # Errors
/// When the database fails.
pub(crate) async fn all(call: &mut Call<'_>) -> Result<Vec<Resource>, CallError> {
    select(call, None).await
}

/// The resource of an id.
///
/// # Errors
/// [`CallError::Broken`] when there is none.
pub(crate) async fn load(call: &mut Call<'_>, id: Uuid) -> Result<Resource, CallError> {
    let found = select(call, Some(id)).await?.pop();
    found.ok_or_else(|| CallError::Broken(format!("resource {id} is gone")))
}

/// The id of exactly this name or alias, accents and case aside.
///
/// # Errors
/// When the database fails.
pub(crate) async fn exactly(call: &mut Call<'_>, name: &str) -> Result<Option<Uuid>, CallError> {
    let tenant = call.tenant();
    Ok(select_exact(call.conn, tenant, name).await?)
}

/// A name of a resource.
#[derive(Debug, Clone)]
struct Name {
    id: Uuid,
    resource: String,
    name: String,
    active: bool,
}

#[derive(Debug, PartialEq)]
enum Found {
    One(Uuid),
    Several(Vec<Candidate>),
    Nothing(Vec<Candidate>),
}

/// Pure. Numbers in a name are never a slip: chair 2 is not Chair 1.
fn closest(text: &str, names: &[Name]) -> Found {
    if let Ok(id) = text.parse::<Uuid>()
        && names.iter().any(|n| n.id == id)
    {
        return Found::One(id);
    }
    let asked = Folded::new(text);
    let mut best: BTreeMap<Uuid, (u16, &Name)> = BTreeMap::new();
    for name in names {
        let folded = Folded::new(&name.name);
        let same_numbers = numbers(&asked).all(|n| numbers(&folded).any(|m| m == n));
        let exact = asked.words() == folded.words();
        let likeness = match (exact, score(&asked, &folded)) {
            (true, _) => SAME + 1,
            (false, likeness) if same_numbers => likeness,
            (false, likeness) => likeness.min(OTHER_NUMBER_MAX),
        };
        // What can be booked goes before what cannot be any more.
        let likeness = likeness.saturating_sub(u16::from(!name.active));
        let entry = best.entry(name.id).or_insert((likeness, name));
        if likeness > entry.0 {
            *entry = (likeness, name);
        }
    }
    let all: Vec<(u16, &Name)> = best.into_values().collect();
    let mut exact = all.iter().filter(|(likeness, _)| *likeness > SAME);
    if let (Some((_, only)), None) = (exact.next(), exact.next()) {
        return Found::One(only.id);
    }
    let scores: Vec<u16> = all.iter().map(|(likeness, _)| *likeness).collect();
    let named = |chosen: Vec<usize>| chosen.into_iter().map(|i| candidate(all[i])).collect();
    match likeness::choose(&scores) {
        Choice::One(i) => Found::One(all[i].1.id),
        Choice::Several(some) => Found::Several(named(some)),
        Choice::None(near) => Found::Nothing(named(near)),
    }
}

fn numbers(name: &Folded) -> impl Iterator<Item = &String> {
    let is_number = |word: &&String| word.bytes().all(|b| b.is_ascii_digit());
    name.words().iter().filter(is_number)
}

fn candidate((likeness, name): (u16, &Name)) -> Candidate {
    Candidate {
        name: name.resource.clone(),
        score: Some(Exact(
            Decimal::new(i64::from(likeness.min(SAME) / 10), 2).normalize(),
        )),
        ..Candidate::default()
    }
}

/// Candidates by name alone.
#[must_use]
pub(crate) fn candidates(resources: &[Resource]) -> Vec<Candidate> {
    resources
        .iter()
        .take(OFFERED_MAX)
        .map(|r| Candidate {
            name: r.name.clone(),
            price: r.price.map(|p| p.to_string()),
            ..Candidate::default()
        })
        .collect()
}

/// What is taken of some resources, with whose it is.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    /// The booking.
    pub id: Uuid,
    /// What is taken.
    pub resource_id: Uuid,
    /// The lane and from when until when.
    pub busy: Busy,
    /// From when until when without buffers.
    pub during: Span,
    /// A hold rather than a booking.
    pub held: bool,
    /// The question it is held for.
    pub confirmation_id: Option<Uuid>,
    /// The booking it is held for to be moved.
    pub moves_booking_id: Option<Uuid>,
    /// Who made it.
    pub created_by: String,
    /// For whom.
    pub customer_name: Option<String>,
    /// Who to call.
    pub phone: Option<String>,
}

/// What is taken of these resources in a span. Holds that have lapsed are not taken.
///
/// # Errors
/// When the database fails.
pub(crate) async fn taken(
    call: &mut Call<'_>,
    resources: &[Uuid],
    span: Span,
) -> Result<Vec<Taken>, CallError> {
    let (tenant, now) = (call.tenant(), call.now);
    let rows = select_taken(call.conn, tenant, resources, span, now).await?;
    Ok(rows.into_iter().map(TakenRow::taken).collect())
}

struct ResourceRow {
    id: Uuid,
    name: String,
    kind: String,
    lanes: i16,
    slot_minutes: i32,
    buffer_before_minutes: i32,
    buffer_after_minutes: i32,
    min_notice_minutes: i32,
    max_ahead_days: i32,
    cancel_notice_minutes: i32,
    cancel_fee_bp: i32,
    time_zone: Option<String>,
    price: Option<i64>,
    active: bool,
    version: i64,
    aliases: Vec<String>,
    weekly: Json<Vec<(i16, i16, i16)>>,
    dates: Json<Vec<(NaiveDate, i16, i16)>>,
}

impl ResourceRow {
    fn resource(self, shop: &Shop) -> Result<Resource, CallError> {
        let mut hours = Hours::default();
        for (weekday, opens, closes) in self.weekly.0 {
            let day = hours.weekly.entry(weekday).or_default();
            day.push(Opening { opens, closes });
        }
        for (date, opens, closes) in self.dates.0 {
            let day = hours.dates.entry(date).or_default();
            if closes > opens {
                day.push(Opening { opens, closes });
            }
        }
        Ok(Resource {
            zone: zone(self.time_zone.as_deref(), shop)?,
            id: self.id,
            name: self.name,
            kind: self.kind,
            lanes: self.lanes,
            slot_minutes: self.slot_minutes,
            buffer_before_minutes: self.buffer_before_minutes,
            buffer_after_minutes: self.buffer_after_minutes,
            min_notice_minutes: self.min_notice_minutes,
            max_ahead_days: self.max_ahead_days,
            terms: Terms {
                notice: TimeDelta::minutes(self.cancel_notice_minutes.into()),
                fee_bp: self.cancel_fee_bp,
            },
            price: self.price.map(|p| Money::minor(p, shop.currency)),
            active: self.active,
            aliases: self.aliases,
            hours,
            version: self.version,
        })
    }
}

async fn select(call: &mut Call<'_>, id: Option<Uuid>) -> Result<Vec<Resource>, CallError> {
    let tenant = call.tenant();
    // A zone is at most a day away; a night that began the day before goes on.
    let since = call.now.date_naive() - Days::new(2);
    let rows = select_resources(call.conn, tenant, id, since, RESOURCES_MAX).await?;
    rows.into_iter().map(|r| r.resource(call.shop)).collect()
}

async fn select_resources(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Option<Uuid>,
    since: NaiveDate,
    most: i64,
) -> Result<Vec<ResourceRow>, sqlx::Error> {
    sqlx::query_as!(
        ResourceRow,
        r#"select r.id, r.name, r.kind, r.lanes, r.slot_minutes, r.buffer_before_minutes, r.buffer_after_minutes, r.min_notice_minutes,
                  r.max_ahead_days, r.cancel_notice_minutes, r.cancel_fee_bp, r.time_zone, r.price, r.active, r.version,
                  array(select a.name from shop.resource_aliases a where a.tenant_id = $1 and a.resource_id = r.id
                        order by a.name_norm) as "aliases!",
                  (select coalesce(jsonb_agg(jsonb_build_array(w.weekday, w.opens_minute, w.closes_minute)
                                             order by w.weekday, w.opens_minute), '[]')
                   from shop.weekly_hours w where w.tenant_id = $1 and w.resource_id = r.id) as "weekly!: Json<Vec<(i16, i16, i16)>>",
                  (select coalesce(jsonb_agg(jsonb_build_array(d.on_date, d.opens_minute, d.closes_minute)
                                             order by d.on_date, d.opens_minute), '[]')
                   from shop.date_hours d where d.tenant_id = $1 and d.resource_id = r.id and d.on_date >= $3)
                      as "dates!: Json<Vec<(NaiveDate, i16, i16)>>"
           from shop.resources r
           where r.tenant_id = $1 and (r.id = $2 or ($2::uuid is null and r.active))
           order by r.name_norm
           limit $4"#,
        tenant,
        id,
        since,
        most
    )
    .fetch_all(conn)
    .await
}

/// A kind is a name as well: "a barber" is whoever is one.
async fn select_names(
    conn: &mut PgConnection,
    tenant: Uuid,
    most: i64,
) -> Result<Vec<Name>, sqlx::Error> {
    sqlx::query_as!(
        Name,
        r#"with mine as materialized (
               select r.id, r.name, r.kind, r.active from shop.resources r where r.tenant_id = $1 order by r.name_norm limit $2
           )
           select s.id as "id!", s.name as "resource!", s.name as "name!", s.active as "active!" from mine s
           union all
           select s.id, s.name, s.kind, s.active from mine s where s.kind <> ''
           union all
           select s.id, s.name, a.name, s.active
           from shop.resource_aliases a join mine s on s.id = a.resource_id where a.tenant_id = $1"#,
        tenant,
        most
    )
    .fetch_all(conn)
    .await
}

async fn select_exact(
    conn: &mut PgConnection,
    tenant: Uuid,
    name: &str,
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select hit.id as "id!" from (
               select r.id, 0 as kind from shop.resources r where r.tenant_id = $1 and r.name_norm = shop.norm($2)
               union all
               select a.resource_id, 1 from shop.resource_aliases a where a.tenant_id = $1 and a.name_norm = shop.norm($2)
           ) hit
           order by hit.kind, hit.id limit 1"#,
        tenant,
        name
    )
    .fetch_optional(conn)
    .await
}

struct TakenRow {
    id: Uuid,
    resource_id: Uuid,
    lane: i16,
    blocks_from: DateTime<Utc>,
    blocks_until: DateTime<Utc>,
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
    held: bool,
    confirmation_id: Option<Uuid>,
    moves_booking_id: Option<Uuid>,
    created_by: String,
    customer_name: Option<String>,
    phone_e164: Option<String>,
}

impl TakenRow {
    fn taken(self) -> Taken {
        Taken {
            id: self.id,
            resource_id: self.resource_id,
            busy: Busy {
                lane: self.lane,
                blocks: Span {
                    from: self.blocks_from,
                    until: self.blocks_until,
                },
            },
            during: Span {
                from: self.starts_at,
                until: self.ends_at,
            },
            held: self.held,
            confirmation_id: self.confirmation_id,
            moves_booking_id: self.moves_booking_id,
            created_by: self.created_by,
            customer_name: self.customer_name,
            phone: self.phone_e164,
        }
    }
}

/// No booking blocks longer than the hours of [`BLOCK_HOURS_MAX`], which makes this one range of the index.
async fn select_taken(
    conn: &mut PgConnection,
    tenant: Uuid,
    resources: &[Uuid],
    span: Span,
    now: DateTime<Utc>,
) -> Result<Vec<TakenRow>, sqlx::Error> {
    sqlx::query_as!(
        TakenRow,
        r#"select b.id, b.resource_id, b.lane, b.blocks_from, b.blocks_until, b.starts_at, b.ends_at, b.status = 'held' as "held!",
                  b.confirmation_id, b.moves_booking_id, b.created_by, b.customer_name, b.phone_e164
           from shop.bookings b
           where b.tenant_id = $1 and b.resource_id = any($2) and b.status in ('held', 'confirmed')
             and b.blocks_from > $3 and b.blocks_from < $5 and b.blocks_until > $4
             and (b.status = 'confirmed' or b.hold_expires_at > $6)"#,
        tenant,
        resources,
        span.from - TimeDelta::hours(BLOCK_HOURS_MAX + 1),
        span.from,
        span.until,
        now
    )
    .fetch_all(conn)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, names: &[(&str, &str)]) -> Result<String, Vec<String>> {
        let mut ids: Vec<&str> = names.iter().map(|(resource, _)| *resource).collect();
        ids.dedup();
        let names: Vec<Name> = names
            .iter()
            .map(|(resource, name)| Name {
                id: Uuid::from_u128(ids.iter().position(|i| i == resource).unwrap() as u128),
                resource: (*resource).to_owned(),
                name: (*name).to_owned(),
                active: true,
            })
            .collect();
        match closest(text, &names) {
            Found::One(id) => Ok(ids[usize::try_from(id.as_u128()).unwrap()].to_owned()),
            Found::Several(some) | Found::Nothing(some) => {
                Err(some.into_iter().map(|c| c.name).collect())
            }
        }
    }

    #[test]
    fn a_resource_is_found_by_what_people_call_it() {
        let names = [
            ("Chair 1", "Chair 1"),
            ("Chair 1", "silla"),
            ("Chair 2", "Chair 2"),
            ("Meeting room", "Meeting room"),
            ("Meeting room", "room"),
        ];
        assert_eq!(found("chair 2", &names), Ok("Chair 2".to_owned()));
        assert_eq!(found("SILLA", &names), Ok("Chair 1".to_owned()));
        assert_eq!(found("meeting rom", &names), Ok("Meeting room".to_owned()));
        let both = vec!["Chair 1".to_owned(), "Chair 2".to_owned()];
        assert_eq!(found("chair", &names), Err(both));
        let one = [("Chair 1", "Chair 1")];
        assert_eq!(found("chair", &one), Ok("Chair 1".to_owned()));
        assert_eq!(found("chair 2", &one), Err(vec!["Chair 1".to_owned()]));
        assert_eq!(found("massage", &one), Err(Vec::new()));
    }

    #[test]
    fn an_interval_is_written_as_it_is_read() {
        let written = |opens, closes| {
            let i = interval(Opening { opens, closes });
            format!("{}-{}", i.opens, i.closes)
        };
        assert_eq!(written(540, 1020), "09:00-17:00");
        assert_eq!(written(0, 1440), "00:00-24:00");
        assert_eq!(written(1080, 1560), "18:00-02:00");
    }
}
