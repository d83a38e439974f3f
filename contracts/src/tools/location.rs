//! Where the shop's branches are, and how far it is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::token::PrincipalRole;
use crate::tool::{Read, Tool, Toolset};

/// A length over the ground.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Distance {
    /// Whole metres along the shortest line on the earth's surface, not along roads.
    pub metres: i64,
    /// As a person reads it: "850 m", "1.2 km", "312 km".
    pub text: String,
}

/// A branch of the shop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlaceView {
    /// The branch's id.
    pub place_id: Uuid,
    /// Its name: "Kimironko".
    pub name: String,
    /// Street and town.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Degrees north, negative for south.
    pub latitude: f64,
    /// Degrees east, negative for west.
    pub longitude: f64,
    /// How far it is from where was asked; absent when no place was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance: Option<Distance>,
    /// Weekly opening hours in the shop's time zone: "mon-fri 08:00-18:00, sat 09:00-13:00". Absent when they are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<String>,
    /// Whether it is open now; absent when the hours are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_now: Option<bool>,
    /// When it opens or closes next, in words: "open until 18:00", "opens Monday at 08:00".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// `find_nearby`.
#[derive(Debug)]
pub struct FindNearby;

/// Near where.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FindNearbyInput {
    /// Where the person is: the name of a branch, or coordinates as text: "Kimironko", "-1.9441,30.0619". Not together with latitude
    /// and longitude. Leave all three out to list every branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub near: Option<String>,
    /// Degrees north of where the person is, -90 to 90: -1.9441. Together with longitude.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latitude: Option<f64>,
    /// Degrees east of where the person is, -180 to 180: 30.0619. Together with latitude.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longitude: Option<f64>,
    /// Only branches within this many kilometres: 5. More than 0, at most 20100. Needs a place to measure from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub radius_km: Option<f64>,
    /// How many at most: 1 to 100; 20 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Branches, nearest first; by name when no place was given.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct FindNearbyOutput {
    /// One sentence for the person.
    pub summary: String,
    /// The branches.
    pub places: Vec<PlaceView>,
}

impl Tool for FindNearby {
    const NAME: &'static str = "find_nearby";
    const TITLE: &'static str = "Find branches nearby";
    const DESCRIPTION: &'static str = "Finds the shop's branches, nearest first, with distance, address and whether they are open. Give \
        where the person is as a branch's name or as coordinates; without a place it lists all branches. Examples: \"Find a branch near \
        me\", \"Which branches are within 5 km of Kimironko?\"";
    const TOOLSET: Toolset = Toolset::Location;
    const IDEMPOTENT: bool = true;
    const LEAST_ROLE: PrincipalRole = PrincipalRole::Customer;
    type Kind = Read;
    type Input = FindNearbyInput;
    type Output = FindNearbyOutput;
}

/// `calculate_distance`.
#[derive(Debug)]
pub struct CalculateDistance;

/// From where to where.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CalculateDistanceInput {
    /// The name of a branch, or coordinates: "Kimironko", "-1.9441,30.0619".
    pub from: String,
    /// The name of a branch, or coordinates.
    pub to: String,
}

/// One end of a distance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PointView {
    /// The branch's name, or the coordinates as text.
    pub name: String,
    /// Degrees north, negative for south.
    pub latitude: f64,
    /// Degrees east, negative for west.
    pub longitude: f64,
}

/// How far it is.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CalculateDistanceOutput {
    /// One sentence for the person.
    pub summary: String,
    /// Where it was measured from.
    pub from: PointView,
    /// Where to.
    pub to: PointView,
    /// How far it is, in a straight line.
    pub distance: Distance,
}

impl Tool for CalculateDistance {
    const NAME: &'static str = "calculate_distance";
    const TITLE: &'static str = "Measure a distance";
    const DESCRIPTION: &'static str = "Measures the distance between two places in a straight line over the ground: branches by name, or \
        coordinates as \"latitude,longitude\". Not a travel time. Example: \"How far is it from Kimironko to Remera?\"";
    const TOOLSET: Toolset = Toolset::Location;
    const IDEMPOTENT: bool = true;
    const LEAST_ROLE: PrincipalRole = PrincipalRole::Customer;
    type Kind = Read;
    type Input = CalculateDistanceInput;
    type Output = CalculateDistanceOutput;
}
