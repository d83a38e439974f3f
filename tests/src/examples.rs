//! One shop's day, call by call: what the pages of the tools print as examples, and what scenes use as good calls of every tool.
//!
//! The calls and their answers are data (`contracts/tools/examples.json`). A journey plays them in order against an empty shop and
//! compares every answer, so that no page can say what is not so.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::world::mcp::{OLDER, asked, done, yes};
use crate::world::{Setting, World};

/// When the day begins: a Monday, nine o'clock in Kigali.
const BEGINNING: &str = "2030-01-07T07:00:00Z";
/// What stands in the examples for the question of a client that cannot be asked.
pub const QUESTION: &str = "019b76da-0000-7000-8000-000000000001";
/// What stands in them for the address of the tool server.
pub const ADDRESS: &str = "http://127.0.0.1:8001";

/// A call and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The tool.
    pub tool: String,
    /// What a person may have said.
    pub says: String,
    /// The arguments.
    pub arguments: Value,
    /// By a client that cannot ask its person.
    pub unasked: bool,
    /// What the person is asked, who then says yes.
    pub asks: Option<String>,
    /// The sentence of the answer.
    pub summary: String,
}

impl Example {
    fn read(json: &Value) -> Example {
        let text = |member: &str| json[member].as_str().map(str::to_owned);
        let needed = |member: &str| text(member).unwrap_or_else(|| panic!("{member}: {json}"));
        Example {
            tool: needed("tool"),
            says: needed("says"),
            arguments: json["arguments"].clone(),
            unasked: json["unasked"] == true,
            asks: text("asks"),
            summary: needed("summary"),
        }
    }

    /// As it stands in the file.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut json = json!({"tool": self.tool, "says": self.says, "arguments": self.arguments});
        if self.unasked {
            json["unasked"] = json!(true);
        }
        if let Some(asks) = &self.asks {
            json["asks"] = json!(asks);
        }
        json["summary"] = json!(self.summary);
        json
    }
}

/// Every example, in the order they are played.
///
/// # Panics
/// When the file is not what it should be.
#[must_use]
pub fn all() -> Vec<Example> {
    let file = include_str!("../../contracts/tools/examples.json");
    let list: Vec<Value> = serde_json::from_str(file).expect("examples.json");
    list.iter().map(Example::read).collect()
}

/// The first example's arguments of a tool.
///
/// # Panics
/// When there is none: a tool comes with an example.
#[must_use]
pub fn good(tool: &str) -> Value {
    let example = all().into_iter().find(|e| e.tool == tool);
    example
        .unwrap_or_else(|| panic!("{tool} has no example in contracts/tools/examples.json"))
        .arguments
}

/// Where the shop is: no tool opens a branch.
const BRANCHES: &str = "insert into shop.locations (tenant_id, id, name, address, latitude, longitude, hours, created_at)
    select t.id, b.id::uuid, b.name, b.address, b.latitude, b.longitude, 'mon-sat 08:00-18:00', t.created_at from shop.tenants t, (values
        ('00000000-0000-7000-8000-0000000000b1', 'Kimironko', 'KG 11 Ave 24, Kigali', -1.9365, 30.1300),
        ('00000000-0000-7000-8000-0000000000b2', 'Remera', 'KN 5 Rd 9, Kigali', -1.9580, 30.1127)
    ) as b (id, name, address, latitude, longitude)";

/// An empty shop with two branches, on the day of the examples.
pub async fn shop() -> World {
    let world = World::open_with(Setting {
        empty: true,
        owner_sql: vec![BRANCHES],
        ..Setting::default()
    })
    .await;
    let beginning: DateTime<Utc> = BEGINNING.parse().expect("a time");
    world.advance((beginning - world.shop.app.clock.now()).num_seconds());
    world
}

/// Plays every example and returns them with the answers that came, each beside the structured result.
///
/// # Panics
/// When a call is refused.
pub async fn play(world: &World) -> Vec<(Example, Value)> {
    let (asking, unasking) = (world.asking_client(), world.mcp(OLDER));
    let address = world.shop.mcp_url().trim_end_matches("/mcp").to_owned();
    let mut question = QUESTION.to_owned();
    let mut played = Vec::new();
    for example in all() {
        let arguments = example.arguments.to_string().replace(QUESTION, &question);
        let arguments: Value = serde_json::from_str(&arguments).expect("JSON");
        let client = if example.unasked { &unasking } else { &asking };
        let mut answer = client.call(&example.tool, &arguments).await;
        let mut asks = None;
        if answer["resultType"] == "input_required" {
            let message = &answer["inputRequests"]["confirm"]["params"]["message"];
            asks = message.as_str().map(str::to_owned);
            let state = asked(&answer);
            answer = client.retry(&example.tool, &arguments, &state, yes()).await;
        }
        let result = done(&answer);
        if let Some(id) = result["confirmation_id"].as_str() {
            id.clone_into(&mut question);
        }
        let summary = result["summary"].as_str().unwrap_or_default();
        let summary = summary
            .replace(&question, QUESTION)
            .replace(&address, ADDRESS);
        played.push((
            Example {
                asks,
                summary,
                ..example
            },
            result,
        ));
    }
    played
}
