//! What a sentence asks for, as far as it says: a call that may still lack something, and what is kept between two messages.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::quantities::Quantity;
use crate::models::ToolCall;

/// A call to make. Arguments that are `null` were not said and are asked for first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Plan {
    /// The tool.
    pub(super) tool: String,
    /// Its arguments.
    pub(super) arguments: Value,
    /// A quantity still to be said goes out: it becomes negative.
    #[serde(default)]
    pub(super) less: bool,
    /// What the outcome leads to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) follow: Option<Follow>,
    /// The hour and minute ("08:00") that were said without the half of the day, while that is being asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) clock: Option<String>,
}

/// What the outcome of a call leads to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "follow", rename_all = "snake_case")]
pub(super) enum Follow {
    /// "Add 20kg sugar" is stock of an item that exists; when it does not, a new item whose price is asked for.
    AddNew {
        /// Its name, as a new item is written.
        name: String,
        /// Its category, when one was named.
        category: String,
    },
    /// A physical count names the version of the item it was made at.
    Count {
        /// What was counted.
        quantity: String,
        /// Its unit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unit: Option<String>,
    },
}

/// What the next message is expected to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "waiting", rename_all = "snake_case")]
pub(super) enum Waiting {
    /// The first `null` of the plan.
    Slot {
        /// The plan.
        plan: Plan,
    },
    /// One of several names, for the argument at `field`.
    Choice {
        /// The plan to repeat.
        plan: Plan,
        /// The argument's path: `lines[1].item`.
        field: String,
        /// The names, in the order shown.
        names: Vec<String>,
    },
    /// A yes to an offer.
    Offer {
        /// The call that the yes makes.
        plan: Plan,
    },
    /// A change of a call that was set aside, said so that it is understood.
    Change {
        /// The call.
        plan: Plan,
    },
    /// "More".
    Page {
        /// The call for the next page.
        plan: Plan,
    },
    /// Which line a change was meant for.
    Line {
        /// The call the change was made to.
        plan: Plan,
        /// The change, as it was said.
        change: String,
        /// The lines it could mean.
        lines: Vec<usize>,
    },
}

/// What the interpreter leaves in [`crate::models::Message::Assistant`] for itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Note {
    /// What the next message is expected to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) waiting: Option<Waiting>,
    /// What outcomes lead to, by call id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) following: Vec<(String, Follow)>,
}

impl Plan {
    /// A plan without anything to follow.
    pub(super) fn new(tool: &str, arguments: Value) -> Plan {
        Plan {
            tool: tool.to_owned(),
            arguments,
            less: false,
            follow: None,
            clock: None,
        }
    }

    /// The plan that repeats a call.
    pub(super) fn again(call: &ToolCall) -> Plan {
        Plan::new(&call.tool, call.arguments.clone())
    }

    /// The path of the first argument still to be said.
    pub(super) fn missing(&self) -> Option<String> {
        first_null(&self.arguments, "")
    }

    /// The same plan with one argument set.
    pub(super) fn with(mut self, path: &str, value: Value) -> Plan {
        set(&mut self.arguments, path, value);
        self
    }
}

/// An object of the arguments that are there.
pub(super) fn object<const N: usize>(entries: [(&str, Option<Value>); N]) -> Value {
    let map: Map<String, Value> = entries
        .into_iter()
        .filter_map(|(key, value)| value.map(|v| (key.to_owned(), v)))
        .collect();
    Value::Object(map)
}

/// A quantity as the two arguments of a line or an adjustment.
pub(super) fn measure(key: &str, quantity: &Quantity) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert(key.to_owned(), json!(quantity.number));
    if let Some(unit) = quantity.unit_code() {
        map.insert("unit".to_owned(), json!(unit));
    }
    map
}

fn first_null(value: &Value, path: &str) -> Option<String> {
    match value {
        Value::Null => Some(path.to_owned()),
        Value::Object(map) => map.iter().find_map(|(key, inner)| {
            let here = if path.is_empty() {
                key.clone()
            } else {
                format!("{path}.{key}")
            };
            first_null(inner, &here)
        }),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(i, inner)| first_null(inner, &format!("{path}[{i}]"))),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// The steps of a path such as `lines[1].item`.
fn pointer(path: &str) -> String {
    let steps = path.replace('[', ".").replace(']', "");
    steps
        .split('.')
        .filter(|s| !s.is_empty())
        .map(|s| format!("/{s}"))
        .collect()
}

/// The argument at a path.
pub(super) fn get<'a>(arguments: &'a Value, path: &str) -> Option<&'a Value> {
    arguments.pointer(&pointer(path))
}

/// Sets the argument at a path whose parent is there; nothing happens otherwise.
pub(super) fn set(arguments: &mut Value, path: &str, value: Value) {
    let pointer = pointer(path);
    let Some((parent, last)) = pointer.rsplit_once('/') else {
        return;
    };
    match arguments.pointer_mut(parent) {
        Some(Value::Object(map)) => {
            map.insert(last.to_owned(), value);
        }
        Some(Value::Array(items)) => {
            if let Some(item) = last.parse::<usize>().ok().and_then(|i| items.get_mut(i)) {
                *item = value;
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_thing_missing_is_found_and_filled() {
        let plan = Plan::new(
            "x",
            json!({"customer": "Ali", "lines": [{"item": "sugar", "quantity": "2"}, {"item": "soap", "quantity": null}]}),
        );
        assert_eq!(plan.missing().as_deref(), Some("lines[1].quantity"));
        let plan = plan.with("lines[1].quantity", json!("3"));
        assert_eq!(plan.missing(), None);
        assert_eq!(get(&plan.arguments, "lines[1].quantity"), Some(&json!("3")));
        let same = plan
            .clone()
            .with("lines[7].quantity", json!("3"))
            .with("no.such", json!("1"));
        assert_eq!(same, plan, "a path that is not there changes nothing");
    }
}
