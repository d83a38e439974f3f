//! Arguments made from a tool's schema, so that a tool nobody thought of here is tried like every other.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// Stands for a cursor: the one the tool answers when it is asked for one row.
pub(super) const CURSOR: &str = "§cursor";
/// Stands for the id of an open question of the caller's own.
pub(super) const QUESTION: &str = "§question";
/// Stand for the ids of the caller's own item, of one that is on no bill, and of the caller's own customer: their names may change.
pub(super) const ITEM: &str = "§item";
pub(super) const SPARE_ITEM: &str = "§spare";
pub(super) const PERSON: &str = "§person";
/// Stands for the present version of the caller's item.
pub(super) const VERSION: &str = "§version";

/// What belongs together beyond what a schema says is required: without these a call of the tool is refused.
const TOGETHER: [(&str, &[&str]); 8] = [
    ("booking_set_hours", &["weekdays", "opens", "closes"]),
    ("cancel_booking", &["booking"]),
    ("collect_payment", &["bill"]),
    ("inventory_update_item", &["adjust"]),
    ("refund_payment", &["bill"]),
    ("reschedule_booking", &["booking", "time"]),
    ("update_preferences", &["language"]),
    ("update_ticket", &["note"]),
];

/// The things of a shop, or of a customer, by the names their owner has for them.
#[derive(Debug, Clone)]
pub(super) struct Own {
    pub(super) bill: String,
    /// With a payment, which can be given back.
    pub(super) paid_bill: String,
    /// Without one, so that it can be voided.
    pub(super) unpaid_bill: String,
    pub(super) payment: String,
    pub(super) booking: String,
    pub(super) ticket: String,
    pub(super) resource: String,
    pub(super) branch: String,
    /// Days, as arguments name them.
    pub(super) day: String,
    pub(super) next_day: String,
}

/// A tool as it is listed.
#[derive(Debug, Clone)]
pub(super) struct Tool {
    pub(super) name: String,
    pub(super) schema: Map<String, Value>,
    pub(super) reads: bool,
    /// It may answer that a person has to be asked.
    pub(super) asks: bool,
}

impl Tool {
    pub(super) fn listed(tool: &Value) -> Tool {
        let reads = tool["annotations"]["readOnlyHint"] == true;
        Tool {
            name: tool["name"].as_str().expect("a name").to_owned(),
            schema: tool["inputSchema"].as_object().expect("a schema").clone(),
            reads,
            asks: tool["outputSchema"]["anyOf"].is_array(),
        }
    }

    /// The paths of all texts somebody may write: what could name a thing. `lines[].item`.
    pub(super) fn texts(&self) -> Vec<String> {
        let mut found = Vec::new();
        walk(&self.schema, "", &mut |path, schema, _| {
            if is_free_text(schema) {
                found.push(path.to_owned());
            }
        });
        found
    }

    /// The ways to call it with this argument given, the likeliest first: alone, with what belongs together, with any one other.
    pub(super) fn ways(&self, path: &str) -> Vec<BTreeSet<String>> {
        let with = |more: &[&str]| -> BTreeSet<String> {
            let more = more.iter().map(|m| (*m).to_owned());
            more.chain([path.to_owned()]).collect()
        };
        let together = TOGETHER.iter().find(|(tool, _)| *tool == self.name);
        let mut ways: Vec<BTreeSet<String>> =
            together.map(|(_, all)| with(all)).into_iter().collect();
        ways.push(with(&[]));
        walk(&self.schema, "", &mut |other, _, required| {
            if !required {
                ways.push(with(&[other]));
            }
        });
        ways
    }

    /// Arguments with everything required, and these paths.
    pub(super) fn arguments(&self, given: &BTreeSet<String>, words: &mut Words<'_>) -> Value {
        build(&self.schema, "", given, &mut |path, schema| {
            words.for_argument(&self.name, path, schema)
        })
    }
}

fn is_free_text(schema: &Value) -> bool {
    schema["type"] == "string"
        && schema["enum"].is_null()
        && schema["oneOf"].is_null()
        && schema["pattern"].is_null()
        && matches!(schema["format"].as_str(), None | Some("uuid"))
}

/// Every argument with its path, its schema and whether it is required where it stands.
fn walk(schema: &Map<String, Value>, within: &str, visit: &mut dyn FnMut(&str, &Value, bool)) {
    let required = |name: &str| {
        let all = schema.get("required").and_then(Value::as_array);
        all.is_some_and(|all| all.iter().any(|r| r == name))
    };
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        let mut path = format!("{within}{name}");
        let mut one = property;
        if property["type"] == "array" {
            path.push_str("[]");
            one = &property["items"];
        }
        visit(&path, one, required(name));
        if let Some(inner) = one.as_object().filter(|o| o.contains_key("properties")) {
            walk(inner, &format!("{path}."), visit);
        }
    }
}

/// The object a schema describes, with what is required or given at every level.
fn build(
    schema: &Map<String, Value>,
    within: &str,
    given: &BTreeSet<String>,
    word: &mut dyn FnMut(&str, &Value) -> Value,
) -> Value {
    let required = schema.get("required").and_then(Value::as_array);
    let mut object = Map::new();
    for (name, property) in schema["properties"].as_object().expect("properties") {
        let path = format!("{within}{name}");
        let is_given = given.iter().any(|p| {
            let rest = p.strip_prefix(&path);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        });
        if !is_given && !required.is_some_and(|all| all.iter().any(|r| r == name)) {
            continue;
        }
        let (path, one) = match property["type"].as_str() {
            Some("array") => (format!("{path}[]"), &property["items"]),
            _ => (path, property),
        };
        let value = match one.as_object().filter(|o| o.contains_key("properties")) {
            Some(inner) => build(inner, &format!("{path}."), given, word),
            None => word(&path, one),
        };
        let is_list = property["type"] == "array";
        object.insert(name.clone(), if is_list { json!([value]) } else { value });
    }
    Value::Object(object)
}

/// Puts another text at a path of arguments that have it.
pub(super) fn put(arguments: &mut Value, path: &str, text: &str) {
    let mut place = arguments;
    for step in path.split('.') {
        let (name, is_list) = match step.strip_suffix("[]") {
            Some(name) => (name, true),
            None => (step, false),
        };
        place = &mut place[name];
        if is_list {
            place = &mut place[0];
        }
    }
    *place = json!(text);
}

/// Words for arguments: the caller's own things, and new ones that have not been used.
pub(super) struct Words<'a> {
    pub(super) own: &'a Own,
    pub(super) used: &'a mut u32,
}

impl Words<'_> {
    fn fresh(&mut self) -> u32 {
        *self.used += 1;
        *self.used
    }

    fn for_argument(&mut self, tool: &str, path: &str, schema: &Value) -> Value {
        let name = path
            .rsplit('.')
            .next()
            .unwrap_or(path)
            .trim_end_matches("[]");
        let listed = schema["enum"]
            .get(0)
            .or_else(|| schema["oneOf"][0].get("const"));
        if let Some(word) = listed.or_else(|| schema["oneOf"][0]["enum"].get(0)) {
            return word.clone();
        }
        match (schema["type"].as_str(), schema["format"].as_str()) {
            (Some("boolean"), _) => json!(true),
            (Some("integer"), _) if name == "expected_version" => json!(VERSION),
            (Some("integer"), _) if name == "minutes" => json!(30),
            (Some("integer"), _) => schema["minimum"]
                .as_i64()
                .map_or_else(|| json!(5), |n| json!(n.max(5))),
            (Some("number"), _) => json!(1.5),
            (Some("string"), Some("date")) => json!(self.own.day),
            (Some("string"), Some("uuid")) => json!(QUESTION),
            (Some("string"), _) if !schema["pattern"].is_null() => json!("1"),
            // A unit of an item's own: letters only.
            (Some("string"), _) if path.ends_with("units[].unit") => {
                let letter = |n: u32| char::from(b'a' + u8::try_from(n % 26).unwrap_or(0));
                let n = self.fresh();
                json!(
                    [
                        "crate".to_owned(),
                        letter(n / 26).to_string(),
                        letter(n).to_string()
                    ]
                    .concat()
                )
            }
            (Some("string"), _) => json!(self.text(tool, name)),
            (other, _) => panic!("{tool}: no word for {path} of type {other:?}"),
        }
    }

    /// A text that fits an argument of this name. Any text does for one that is not known.
    fn text(&mut self, tool: &str, name: &str) -> String {
        let own = self.own;
        let known = match (tool, name) {
            ("inventory_delete_item", "item") => return SPARE_ITEM.to_owned(),
            (_, "item" | "add" | "remove") => return ITEM.to_owned(),
            (_, "customer") => return PERSON.to_owned(),
            ("refund_payment", "bill") => &own.paid_bill,
            ("billing_void_bill", "bill") => &own.unpaid_bill,
            (_, "bill") => &own.bill,
            (_, "payment") => &own.payment,
            (_, "booking") => &own.booking,
            (_, "ticket") => &own.ticket,
            (_, "resource") => &own.resource,
            (_, "near") | ("calculate_distance", _) => &own.branch,
            ("check_availability", "from") => &own.day,
            ("check_availability", "to") => &own.next_day,
            _ => return self.other_text(name),
        };
        known.clone()
    }

    fn other_text(&mut self, name: &str) -> String {
        match name {
            "cursor" => CURSOR.to_owned(),
            "category" => "grocery".to_owned(),
            "unit" => "each".to_owned(),
            "quantity_unit" => "dozen".to_owned(),
            "of" => "each".to_owned(),
            "currency" => "RWF".to_owned(),
            "locale" | "language" => "es".to_owned(),
            "time_zone" => "Africa/Kigali".to_owned(),
            "query" => "a".to_owned(),
            "time" | "opens" => "09:00".to_owned(),
            "closes" => "17:00".to_owned(),
            "phone" => format!("+2507888{:05}", self.fresh()),
            "email" => format!("fresh{}@example.com", self.fresh()),
            _ => format!("Fresh {}", self.fresh()),
        }
    }
}
