//! `calculate_distance`: how far it is between two places, in a straight line.

use contracts::tools::location::{
    CalculateDistance, CalculateDistanceInput, CalculateDistanceOutput, PointView,
};

use crate::error::CallError;
use crate::handler::{Call, ReadTool};
use crate::places::{self, Spot};
use crate::words::location;

impl ReadTool for CalculateDistance {
    async fn read(
        call: &mut Call<'_>,
        input: CalculateDistanceInput,
    ) -> Result<CalculateDistanceOutput, CallError> {
        let tenant = call.tenant();
        let places = places::all(call.conn, tenant).await?;
        let from = places::spot(&places, &input.from, "from", call.locale)?;
        let to = places::spot(&places, &input.to, "to", call.locale)?;
        let distance = places::distance(from.point().metres_to(to.point()));
        let (from, to) = (view(&from), view(&to));
        Ok(CalculateDistanceOutput {
            summary: location::apart(call.locale, &from.name, &to.name, &distance),
            from,
            to,
            distance,
        })
    }
}

fn view(spot: &Spot) -> PointView {
    let point = spot.point();
    PointView {
        name: spot.name(),
        latitude: point.latitude,
        longitude: point.longitude,
    }
}

#[cfg(test)]
mod tests {
    use contracts::failure::FailureCode;
    use contracts::locale::Locale;
    use serde_json::json;

    use super::*;
    use crate::places::testing::kigali;
    use crate::testing::{World, refusal};

    #[tokio::test]
    async fn branches_and_coordinates_are_measured() {
        let mut world = World::new().await;
        kigali(&world).await;
        for (from, to, summary) in [
            (
                "Kimironko",
                "Remera",
                "From Kimironko to Remera it is 1.8 km in a straight line.",
            ),
            (
                "remera",
                "-1.9579,30.1127",
                "From Remera to -1.9579,30.1127 it is 0 m in a straight line.",
            ),
            (
                "Remera",
                "sol",
                "From Remera to Madrid Centro it is 5,815 km in a straight line.",
            ),
        ] {
            let measured = world
                .read::<CalculateDistance>(json!({"from": from, "to": to}))
                .await
                .unwrap();
            assert_eq!(measured.summary, summary);
        }
        world.locale = Locale::Es;
        let measured = world
            .read::<CalculateDistance>(json!({"from": "0,0", "to": "0,0.001"}))
            .await
            .unwrap();
        assert_eq!(
            measured.summary,
            "De 0,0 a 0,0.001 hay 111 m en línea recta."
        );
        assert_eq!(measured.distance.metres, 111);
    }

    #[tokio::test]
    async fn a_place_that_could_be_two_is_asked_about() {
        let world = World::new().await;
        kigali(&world).await;
        world
            .arrange("update shop.locations set name = 'Remera north' where name = 'Remera'; update shop.locations set name = 'Remera south', aliases = '{}' where name = 'Kimironko'")
            .await;
        let failure = refusal(
            world
                .read::<CalculateDistance>(json!({"from": "remera", "to": "sol"}))
                .await,
        );
        assert_eq!(failure.code, FailureCode::AmbiguousPlace);
        assert_eq!(failure.field.as_deref(), Some("from"));
        assert_eq!(
            failure.message,
            "Which remera do you mean: Remera north or Remera south?"
        );
        let failure = refusal(
            world
                .read::<CalculateDistance>(json!({"from": "0,0", "to": "91,0"}))
                .await,
        );
        assert_eq!(failure.code, FailureCode::UnknownPlace);
    }
}
