//! The branches of a shop: found by what a person calls them, and written by the owner from the command line.

use contracts::failure::{Candidate, ToolFailure};
use contracts::locale::Locale;
use contracts::quantity::Exact;
use contracts::tools::location::{Distance, PlaceView};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::app::App;
use crate::audit::{self, Trace};
use crate::caller::Caller;
use crate::catalogue::likeness::{self, Choice, Folded, OFFERED_MAX, score};
use crate::error::CallError;
use crate::geo::Point;
use crate::handler::{Audit, Call};
use crate::opening::{Hours, State};
use crate::typed::{self, NAME_CHARS_MAX};
use crate::words::arguments::{self, Thing};
use crate::words::location;

/// Most branches of a shop: as many as are ever compared here.
const PLACES_MAX: usize = 1_000;
/// Most other names of one branch.
const ALIASES_MAX: usize = 20;
/// Longest address, characters.
const ADDRESS_CHARS_MAX: usize = 200;

/// A branch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Other names.
    pub aliases: Vec<String>,
    /// Street and town.
    pub address: Option<String>,
    /// Where it is.
    pub point: Point,
    /// When it is open, where that is known.
    pub hours: Option<Hours>,
}

impl Place {
    /// The branch as it is shown, `metres` from where was asked.
    #[must_use]
    pub(crate) fn view(&self, call: &Call<'_>, metres: Option<i64>) -> PlaceView {
        let now = call.now.with_timezone(&call.shop.time_zone).naive_local();
        let state = self
            .hours
            .as_ref()
            .map(|hours| hours.state(call.now, call.shop.time_zone));
        PlaceView {
            place_id: self.id,
            name: self.name.clone(),
            address: self.address.clone(),
            latitude: self.point.latitude,
            longitude: self.point.longitude,
            distance: metres.map(distance),
            hours: self.hours.as_ref().map(Hours::to_string),
            open_now: state.map(|state| matches!(state, State::Always | State::OpenUntil(_))),
            state: state.map(|state| location::state(call.locale, state, now.date())),
        }
    }
}

/// A length with its words.
#[must_use]
pub(crate) fn distance(metres: i64) -> Distance {
    Distance {
        metres,
        text: location::metres(metres),
    }
}

/// Where somebody means: a point of coordinates, or a branch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Spot {
    /// Coordinates.
    At(Point),
    /// A branch.
    Branch(Box<Place>),
}

impl Spot {
    /// Where it is.
    #[must_use]
    pub(crate) fn point(&self) -> Point {
        match self {
            Spot::At(point) => *point,
            Spot::Branch(place) => place.point,
        }
    }

    /// What it is called: the branch's name, or the coordinates.
    #[must_use]
    pub(crate) fn name(&self) -> String {
        match self {
            Spot::At(point) => format!("{},{}", point.latitude, point.longitude),
            Spot::Branch(place) => place.name.clone(),
        }
    }
}

/// Where a text means, among these branches.
///
/// # Errors
/// `unknown_place` or `ambiguous_place` with candidates; `invalid_arguments` when the text is no name.
pub(crate) fn spot(
    places: &[Place],
    text: &str,
    field: &str,
    locale: Locale,
) -> Result<Spot, ToolFailure> {
    if let Some(point) = Point::read(text) {
        return Ok(Spot::At(point));
    }
    let text = typed::line(text, Thing::Place, field, NAME_CHARS_MAX, locale)?;
    if let Ok(id) = text.parse::<Uuid>()
        && let Some(place) = places.iter().find(|place| place.id == id)
    {
        return Ok(Spot::Branch(Box::new(place.clone())));
    }
    let asked = Folded::new(&text);
    let scores: Vec<u16> = places
        .iter()
        .map(|place| likeness_of(&asked, place))
        .collect();
    let candidates = |chosen: &[usize]| -> Vec<Candidate> {
        let offered = chosen.iter().take(OFFERED_MAX);
        offered
            .map(|&i| Candidate {
                name: places[i].name.clone(),
                score: Some(Exact(
                    Decimal::new(i64::from(scores[i] / 10), 2).normalize(),
                )),
                ..Candidate::default()
            })
            .collect()
    };
    match likeness::choose(&scores) {
        Choice::One(i) => Ok(Spot::Branch(Box::new(places[i].clone()))),
        Choice::Several(close) => {
            let close = candidates(&close);
            Err(location::ambiguous_place(locale, &text, close, field))
        }
        Choice::None(close) => {
            let close = candidates(&close);
            Err(location::unknown_place(locale, &text, close, field))
        }
    }
}

/// By the name or alias that is most like it.
fn likeness_of(asked: &Folded, place: &Place) -> u16 {
    let names = place.aliases.iter().chain([&place.name]);
    names
        .map(|name| score(asked, &Folded::new(name)))
        .max()
        .unwrap_or_default()
}

/// A branch as the owner describes it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NewPlace {
    /// Its name.
    pub name: String,
    /// Other names.
    pub aliases: Vec<String>,
    /// Street and town.
    pub address: Option<String>,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// Weekly hours: "mon-fri 08:00-18:00, sat 09:00-13:00".
    pub hours: Option<String>,
}

/// The tool's name under which adding a branch is audited.
const ADDED: &str = "place_add";
/// The same for taking one off.
const REMOVED: &str = "place_remove";

/// Adds a branch, with its audit row. No tool does this: it is the owner's, from the command line.
///
/// # Errors
/// `already_exists` or `invalid_arguments`, in a sentence.
pub(crate) async fn add(app: &App, caller: &Caller, new: &NewPlace) -> Result<Place, CallError> {
    let mut tx = app.begin(caller.tenant).await?;
    let shop = app.shop(&mut tx, caller.tenant).await?;
    let mut call = Call {
        conn: &mut tx,
        shop: &shop,
        caller,
        locale: shop.locale,
        now: app.clock.now(),
        public_url: &app.public_url,
        clock: &*app.clock,
    };
    let place = checked(new, call.new_id(), call.locale)?;
    let tenant = call.tenant();
    if all(call.conn, tenant).await?.len() >= PLACES_MAX {
        return Err(arguments::too_many(call.locale, "name", PLACES_MAX).into());
    }
    if !insert(call.conn, tenant, &place, call.now).await? {
        return Err(location::place_taken(call.locale, &place.name).into());
    }
    let after = json!(place.view(&call, None));
    audited(&mut call, ADDED, place.id, None, Some(after)).await?;
    tx.commit().await?;
    Ok(place)
}

/// Takes a branch off, with its audit row; its row stays for what refers to it.
///
/// # Errors
/// `unknown_place` or `ambiguous_place`, in a sentence.
pub(crate) async fn remove(app: &App, caller: &Caller, name: &str) -> Result<Place, CallError> {
    let mut tx = app.begin(caller.tenant).await?;
    let shop = app.shop(&mut tx, caller.tenant).await?;
    let mut call = Call {
        conn: &mut tx,
        shop: &shop,
        caller,
        locale: shop.locale,
        now: app.clock.now(),
        public_url: &app.public_url,
        clock: &*app.clock,
    };
    let tenant = call.tenant();
    let places = all(call.conn, tenant).await?;
    let place = match spot(&places, name, "name", call.locale)? {
        Spot::Branch(place) => *place,
        Spot::At(_) => {
            return Err(location::unknown_place(call.locale, name, Vec::new(), "name").into());
        }
    };
    archive(call.conn, tenant, place.id, call.now).await?;
    let before = json!(place.view(&call, None));
    audited(&mut call, REMOVED, place.id, Some(before), None).await?;
    tx.commit().await?;
    Ok(place)
}

/// An addition has no before, a removal no after.
async fn audited(
    call: &mut Call<'_>,
    tool: &str,
    id: Uuid,
    before: Option<Value>,
    after: Option<Value>,
) -> Result<(), CallError> {
    let audit = Audit {
        subject: format!("location:{id}"),
        before,
        after,
    };
    let trace = Trace {
        audit: &audit,
        events: &[],
    };
    audit::write(call, tool, &json!({}), trace, None).await
}

fn checked(new: &NewPlace, id: Uuid, locale: Locale) -> Result<Place, ToolFailure> {
    if new.aliases.len() > ALIASES_MAX {
        return Err(arguments::too_many(locale, "alias", ALIASES_MAX));
    }
    let alias = |text: &String| typed::line(text, Thing::Alias, "alias", NAME_CHARS_MAX, locale);
    let address =
        |text: &String| typed::line(text, Thing::Address, "address", ADDRESS_CHARS_MAX, locale);
    let hours = |text: &String| text.parse().map_err(|_| location::bad_hours(locale));
    Ok(Place {
        id,
        name: typed::line(&new.name, Thing::Name, "name", NAME_CHARS_MAX, locale)?,
        aliases: new.aliases.iter().map(alias).collect::<Result<_, _>>()?,
        address: new.address.as_ref().map(address).transpose()?,
        point: Point::new(new.latitude, new.longitude)
            .ok_or_else(|| location::nowhere(locale, "latitude"))?,
        hours: new.hours.as_ref().map(hours).transpose()?,
    })
}

/// Every branch, by name.
///
/// # Errors
/// When the database fails, or stored hours cannot be read.
pub(crate) async fn all(conn: &mut PgConnection, tenant: Uuid) -> Result<Vec<Place>, CallError> {
    let most = i64::try_from(PLACES_MAX).unwrap_or(i64::MAX);
    select_all(conn, tenant, most)
        .await?
        .into_iter()
        .map(Row::read)
        .collect()
}

struct Row {
    id: Uuid,
    name: String,
    aliases: Vec<String>,
    address: Option<String>,
    latitude: f64,
    longitude: f64,
    hours: Option<String>,
}

impl Row {
    fn read(self) -> Result<Place, CallError> {
        let broken = |what: &str| CallError::Broken(format!("place {}: {what}", self.id));
        let point = Point::new(self.latitude, self.longitude).ok_or_else(|| broken("nowhere"))?;
        let hours = self.hours.as_deref().map(str::parse).transpose();
        Ok(Place {
            hours: hours.map_err(|_| broken("hours"))?,
            id: self.id,
            name: self.name,
            aliases: self.aliases,
            address: self.address,
            point,
        })
    }
}

async fn select_all(
    conn: &mut PgConnection,
    tenant: Uuid,
    most: i64,
) -> Result<Vec<Row>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        "select id, name, aliases, address, latitude, longitude, hours from shop.locations
         where tenant_id = $1 and archived_at is null order by name_norm, id limit $2",
        tenant,
        most
    )
    .fetch_all(conn)
    .await
}

/// Whether it was written; not when there is one of that name.
async fn insert(
    conn: &mut PgConnection,
    tenant: Uuid,
    place: &Place,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "insert into shop.locations (tenant_id, id, name, aliases, address, latitude, longitude, hours, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         on conflict (tenant_id, name_norm) where archived_at is null do nothing",
        tenant,
        place.id,
        place.name,
        &place.aliases,
        place.address,
        place.point.latitude,
        place.point.longitude,
        place.hours.as_ref().map(Hours::to_string),
        now
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

async fn archive(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update shop.locations set archived_at = $3 where tenant_id = $1 and id = $2 and archived_at is null",
        tenant,
        id,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use crate::testing::World;

    /// Three branches in Kigali, and one far away.
    pub(crate) async fn kigali(world: &World) {
        let mut transaction = world.begin().await;
        let tenant = world.shop.tenant.0;
        for (i, (name, alias, latitude, longitude, hours)) in [
            (
                "Kimironko",
                "Kimironko market",
                -1.9497,
                30.1265,
                Some("mon-fri 08:00-18:00, sat 09:00-13:00"),
            ),
            (
                "Remera",
                "Amahoro",
                -1.9579,
                30.1127,
                Some("daily 00:00-24:00"),
            ),
            ("Nyamirambo", "Mosque", -1.9762, 30.0441, None),
            (
                "Madrid Centro",
                "Sol",
                40.4168,
                -3.7038,
                Some("sun 10:00-14:00"),
            ),
        ]
        .into_iter()
        .enumerate()
        {
            let place = Place {
                id: Uuid::from_u128(i as u128 + 1),
                name: name.to_owned(),
                aliases: vec![alias.to_owned()],
                address: (i == 0).then(|| "KG 11 Avenue".to_owned()),
                point: Point::new(latitude, longitude).unwrap(),
                hours: hours.map(|text| text.parse().unwrap()),
            };
            let now = "2026-11-20T09:00:00Z".parse().unwrap();
            assert!(insert(&mut transaction, tenant, &place, now).await.unwrap());
        }
        transaction.commit().await.unwrap();
    }
}
