//! `find_nearby`: the shop's branches, nearest first.

use contracts::failure::ToolFailure;
use contracts::locale::Locale;
use contracts::tools::location::{FindNearby, FindNearbyInput, FindNearbyOutput, PlaceView};

use crate::error::CallError;
use crate::geo::Point;
use crate::handler::{Call, ReadTool};
use crate::places::{self, Place, Spot};
use crate::typed;
use crate::words::location::{self, Measured};

/// Half around the earth and a bit, kilometres.
const RADIUS_KM_MAX: f64 = 20_100.0;

impl ReadTool for FindNearby {
    async fn read(
        call: &mut Call<'_>,
        input: FindNearbyInput,
    ) -> Result<FindNearbyOutput, CallError> {
        let limit = typed::page_limit(input.limit, call.locale)?;
        let tenant = call.tenant();
        let places = places::all(call.conn, tenant).await?;
        let from = from(&input, &places, call.locale)?;
        let radius_metres = radius_metres(&input, from.as_ref(), call.locale)?;
        let all = places.len();
        let nearest = nearest(places, from.as_ref(), radius_metres);
        let shown: Vec<PlaceView> = nearest
            .iter()
            .take(limit)
            .map(|(place, metres)| place.view(call, *metres))
            .collect();
        let measured = Measured {
            from: from.as_ref().map(Spot::name),
            radius_km: input.radius_km,
            left_out: nearest.len() - shown.len(),
            anywhere: all > 0,
        };
        Ok(FindNearbyOutput {
            summary: location::listed(call.locale, &measured, &shown),
            places: shown,
        })
    }
}

/// Where it is measured from; nothing when no place was given.
fn from(
    input: &FindNearbyInput,
    places: &[Place],
    locale: Locale,
) -> Result<Option<Spot>, ToolFailure> {
    match (&input.near, input.latitude, input.longitude) {
        (None, None, None) => Ok(None),
        (Some(near), None, None) => places::spot(places, near, "near", locale).map(Some),
        (None, Some(latitude), Some(longitude)) => Point::new(latitude, longitude)
            .map(|point| Some(Spot::At(point)))
            .ok_or_else(|| location::nowhere(locale, "latitude")),
        (None, Some(_), None) => Err(location::half_a_point(locale, "longitude")),
        (None, None, Some(_)) => Err(location::half_a_point(locale, "latitude")),
        (Some(_), _, _) => Err(location::two_places(locale)),
    }
}

fn radius_metres(
    input: &FindNearbyInput,
    from: Option<&Spot>,
    locale: Locale,
) -> Result<Option<f64>, ToolFailure> {
    match (input.radius_km, from) {
        (None, _) => Ok(None),
        (Some(km), _) if !(km > 0.0 && km <= RADIUS_KM_MAX) => {
            Err(location::bad_radius(locale, RADIUS_KM_MAX))
        }
        (Some(_), None) => Err(location::radius_around_nothing(locale)),
        (Some(km), Some(_)) => Ok(Some(km * 1000.0)),
    }
}

/// The branches in the order of their distance, those of the same distance by name; all of them by name when there is nothing to
/// measure from. Pure.
fn nearest(
    places: Vec<Place>,
    from: Option<&Spot>,
    radius_metres: Option<f64>,
) -> Vec<(Place, Option<i64>)> {
    let Some(point) = from.map(Spot::point) else {
        return places.into_iter().map(|place| (place, None)).collect();
    };
    let mut measured: Vec<(Place, i64)> = places
        .into_iter()
        .map(|place| {
            let metres = point.metres_to(place.point);
            (place, metres)
        })
        .filter(|(_, metres)| radius_metres.is_none_or(|radius| to_float(*metres) <= radius))
        .collect();
    measured.sort_by_key(|(_, metres)| *metres);
    measured
        .into_iter()
        .map(|(place, metres)| (place, Some(metres)))
        .collect()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "metres on the earth are far below 2^53"
)]
fn to_float(metres: i64) -> f64 {
    metres as f64
}

#[cfg(test)]
mod tests {
    use contracts::failure::FailureCode;
    use serde_json::{Value, json};

    use super::*;
    use crate::places::testing::kigali;
    use crate::testing::{World, refusal};

    async fn found(world: &World, input: Value) -> (Vec<String>, String) {
        let found = world.read::<FindNearby>(input).await.unwrap();
        let text = |place: &PlaceView| place.distance.as_ref().map_or("", |d| &d.text).to_owned();
        let shown = |place: &PlaceView| format!("{} {}", place.name, text(place));
        let names = found.places.iter().map(shown);
        (names.map(|n| n.trim().to_owned()).collect(), found.summary)
    }

    #[tokio::test]
    async fn the_nearest_branch_comes_first_and_says_whether_it_is_open() {
        let mut world = World::new().await;
        kigali(&world).await;
        // Friday, 11:00 in Kigali.
        let (names, summary) = found(&world, json!({"latitude": -1.95, "longitude": 30.125})).await;
        assert_eq!(
            names,
            [
                "Kimironko 170 m",
                "Remera 1.6 km",
                "Nyamirambo 9.5 km",
                "Madrid Centro 5,815 km"
            ]
        );
        assert_eq!(
            summary,
            "The nearest branch is Kimironko, 170 m away (KG 11 Avenue; open until 18:00). Then Remera (1.6 km), Nyamirambo (9.5 km), Madrid Centro (5,815 km)."
        );
        let (names, summary) = found(&world, json!({"near": "kimironko", "radius_km": 2})).await;
        assert_eq!(names, ["Kimironko 0 m", "Remera 1.8 km"]);
        assert_eq!(
            summary,
            "Within 2 km of Kimironko: Kimironko, 0 m away (KG 11 Avenue; open until 18:00). Then Remera (1.8 km)."
        );
        world.move_clock_to("2026-11-21T11:00:00Z");
        let near = world
            .read::<FindNearby>(json!({"near": "-1.9497, 30.1265", "limit": 1}))
            .await
            .unwrap();
        assert_eq!(near.places[0].open_now, Some(false));
        assert_eq!(
            near.places[0].state.as_deref(),
            Some("opens Monday at 08:00")
        );
        world.locale = Locale::Es;
        let (_, summary) = found(&world, json!({"near": "amahoro", "limit": 1})).await;
        assert_eq!(
            summary,
            "La sucursal más cercana es Remera, a 0 m (siempre abierta). Hay 3 más."
        );
    }

    #[tokio::test]
    async fn without_a_place_every_branch_is_listed() {
        let mut world = World::new().await;
        let empty = found(&world, json!({})).await;
        assert_eq!(
            empty,
            (vec![], "No branch has been entered yet.".to_owned())
        );
        kigali(&world).await;
        let (names, summary) = found(&world, json!({})).await;
        assert_eq!(
            names,
            ["Kimironko", "Madrid Centro", "Nyamirambo", "Remera"]
        );
        assert_eq!(
            summary,
            "4 branches: Kimironko, Madrid Centro, Nyamirambo, Remera. Say where you are to find the nearest."
        );
        let (names, summary) = found(&world, json!({"near": "0,0", "radius_km": 0.5})).await;
        assert_eq!(names, Vec::<String>::new());
        assert_eq!(summary, "There is no branch within 0.5 km of 0,0.");
        let neighbour = world.neighbour().await;
        world.stand_in(neighbour);
        assert_eq!(found(&world, json!({})).await.0, Vec::<String>::new());
    }

    #[tokio::test]
    async fn places_that_are_none_are_refused() {
        let world = World::new().await;
        kigali(&world).await;
        for (input, field) in [
            (json!({"latitude": 1.0}), "longitude"),
            (json!({"longitude": 1.0}), "latitude"),
            (json!({"latitude": 90.5, "longitude": 0.0}), "latitude"),
            (json!({"latitude": 0.0, "longitude": -180.5}), "latitude"),
            (json!({"near": "Remera", "latitude": 1.0}), "near"),
            (json!({"near": " "}), "near"),
            (json!({"radius_km": 5}), "radius_km"),
            (json!({"near": "Remera", "radius_km": 0}), "radius_km"),
            (json!({"near": "Remera", "radius_km": -1.5}), "radius_km"),
            (json!({"near": "Remera", "radius_km": 1e300}), "radius_km"),
            (json!({"limit": 0}), "limit"),
        ] {
            let failure = refusal(world.read::<FindNearby>(input).await);
            assert_eq!(failure.code, FailureCode::InvalidArguments);
            assert_eq!(failure.field.as_deref(), Some(field), "{}", failure.message);
        }
        let failure = refusal(world.read::<FindNearby>(json!({"near": "Gisenyi"})).await);
        assert_eq!(failure.code, FailureCode::UnknownPlace);
        let slip = found(&world, json!({"near": "kimironco", "limit": 1})).await;
        assert_eq!(slip.0, ["Kimironko 0 m"]);
    }
}
