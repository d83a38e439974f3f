//! When the branches and what can be booked are open, as one document.

use contracts::resources::{BranchHours, OpeningHours, ResourceHours};
use contracts::tools::booking::CheckAvailability;
use contracts::tools::location::FindNearby;

use crate::bookings::resources::{self, Resource};
use crate::days;
use crate::error::CallError;
use crate::handler::Call;
use crate::places;
use crate::words::reading;

/// Most bytes of it as JSON: what is read at once has to fit a model's attention.
const BYTES_MAX: usize = 48 * 1024;

/// The hours of what the caller may see, or those of one thing that can be booked.
///
/// # Errors
/// `unknown_resource` or `ambiguous_resource` for a name that leads nowhere; when the database fails.
pub(crate) async fn read(
    call: &mut Call<'_>,
    resource: Option<&str>,
) -> Result<OpeningHours, CallError> {
    let (branches, bookable) = match resource {
        Some(name) => (
            Vec::new(),
            vec![resources::find(call, name, "resource").await?],
        ),
        None => (branches(call).await?, bookable(call).await?),
    };
    let today = |r: &Resource| days::day_of(call.now, r.zone);
    let resources = bookable.iter().map(|r| ResourceHours {
        name: r.name.clone(),
        kind: r.kind.clone(),
        time_zone: r.zone.name().to_owned(),
        hours: r.view(today(r)).hours,
    });
    let mut bytes = 0;
    let branches_found = branches.len();
    let branches = fitting(branches.into_iter(), &mut bytes);
    let resources = fitting(resources, &mut bytes);
    let is_whole = branches.len() == branches_found && resources.len() == bookable.len();
    Ok(OpeningHours {
        shop: call.shop.name.clone(),
        time_zone: call.shop.time_zone.name().to_owned(),
        today: days::day_of(call.now, call.shop.time_zone),
        language: call.locale,
        hint: (!is_whole).then(|| reading::more_hours(call.locale).to_owned()),
        branches,
        resources,
    })
}

async fn branches(call: &mut Call<'_>) -> Result<Vec<BranchHours>, CallError> {
    if !call.caller.may_use::<FindNearby>() {
        return Ok(Vec::new());
    }
    let tenant = call.tenant();
    let places = places::all(call.conn, tenant).await?;
    Ok(places
        .iter()
        .map(|place| {
            let view = place.view(call, None);
            BranchHours {
                name: view.name,
                address: view.address,
                hours: view.hours,
                state: view.state,
            }
        })
        .collect())
}

async fn bookable(call: &mut Call<'_>) -> Result<Vec<Resource>, CallError> {
    if !call.caller.may_use::<CheckAvailability>() {
        return Ok(Vec::new());
    }
    resources::all(call).await
}

/// As many as fit.
fn fitting<T: serde::Serialize>(all: impl Iterator<Item = T>, bytes: &mut usize) -> Vec<T> {
    all.take_while(|one| {
        *bytes += serde_json::to_vec(one).map_or(BYTES_MAX, |json| json.len());
        *bytes <= BYTES_MAX
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use contracts::failure::FailureCode;
    use contracts::tools::booking::{SetHours, SetResource};
    use serde_json::json;

    use super::*;
    use crate::places::testing::kigali;
    use crate::testing::{World, refusal};

    #[tokio::test]
    async fn branches_and_bookables_stand_with_their_hours() {
        let world = World::new().await;
        kigali(&world).await;
        for name in ["Chair 1", "Room"] {
            let resource = json!({"name": name, "slot_minutes": 30});
            world.write::<SetResource>(resource).await.unwrap();
        }
        let hours = json!({"resource": "chair", "opens": "09:00", "closes": "12:00", "weekdays": ["monday"]});
        world.write::<SetHours>(hours).await.unwrap();
        let closed = json!({"resource": "chair", "date": "2026-12-25", "closed": true});
        world.write::<SetHours>(closed).await.unwrap();

        let mut tx = world.begin().await;
        let mut call = world.call(&mut tx);
        let all = read(&mut call, None).await.unwrap();
        assert_eq!(all.branches.len(), 4);
        assert_eq!(all.resources.len(), 2);
        let shown = reading::opening_hours(&all);
        for said in [
            "# Opening hours of Kimironko Corner",
            "## Chair 1 (Africa/Kigali)",
            "- Monday: 09:00–12:00",
            "- 2026-12-25: closed",
            "- Kimironko, KG 11 Avenue",
        ] {
            assert!(shown.contains(said), "{said}: {shown}");
        }
        let one = read(&mut call, Some("chair 1")).await.unwrap();
        assert_eq!((one.branches.len(), one.resources.len()), (0, 1));
        let none = refusal(read(&mut call, Some("sauna")).await);
        assert_eq!(none.code, FailureCode::UnknownResource);
    }
}
