//! The same call in two worlds: in one the named thing is somebody else's, in the other it exists nowhere. The answers have to be equal.

use std::collections::{BTreeMap, BTreeSet};

use e2e::world::World;
use e2e::world::mcp::{Principal, Reply, yes};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::arguments::{CURSOR, ITEM, Own, Tool, VERSION, Words, put};

/// How many differences are noted.
const PROBLEMS_MAX: usize = 60;

/// One of the worlds, with who calls in it.
pub(super) struct Side<'w> {
    pub(super) world: &'w World,
    pub(super) who: Principal,
    /// The ids of the caller's own things in this world, by what stands for them in arguments.
    pub(super) ids: BTreeMap<&'static str, String>,
    /// The words of the strangers' names: where one was sent it stays in the answer, which is all the worlds are compared by.
    pub(super) strange: BTreeSet<String>,
}

/// Both worlds. What the caller has in them is furnished alike.
pub(super) struct Apart<'w> {
    /// Where the strangers' things are.
    pub(super) there: Side<'w>,
    /// Where they exist nowhere.
    pub(super) nowhere: Side<'w>,
    pub(super) own: Own,
    /// What names the strangers' things.
    pub(super) strange: Vec<String>,
    /// The tools there are that the caller is not offered. No answer may name one: it could not be called.
    pub(super) not_offered: BTreeSet<String>,
    /// How many new names have been used.
    pub(super) used: u32,
    /// Where the worlds differ, which they must not.
    pub(super) problems: Vec<String>,
}

impl Side<'_> {
    async fn request(&self, method: &str, params: Value) -> Reply {
        self.world
            .client_of(&self.who)
            .request(method, params)
            .await
    }

    /// The caller's item takes so many other names only, and is given one again and again.
    async fn forget_aliases(&self) {
        let item: Uuid = self.ids[ITEM].parse().expect("an id");
        sqlx::query("delete from shop.item_aliases where item_id = $1")
            .bind(item)
            .execute(&self.world.db)
            .await
            .expect("the item's aliases");
    }

    /// Arguments with this world's ids and places in them.
    async fn resolved(&self, tool: &str, arguments: &Value) -> Value {
        match arguments {
            Value::String(text) if self.ids.contains_key(text.as_str()) => {
                json!(self.ids[text.as_str()])
            }
            Value::String(text) if text == VERSION => {
                let item =
                    json!({"name": "inventory_get_item", "arguments": {"item": self.ids[ITEM]}});
                let found = self.request("tools/call", item).await.body;
                found["result"]["structuredContent"]["item"]["version"].clone()
            }
            Value::Array(items) => {
                let mut all = Vec::new();
                for item in items {
                    all.push(Box::pin(self.resolved(tool, item)).await);
                }
                Value::Array(all)
            }
            Value::Object(members) => {
                let mut all = Map::new();
                for (name, member) in members {
                    let value = if member == CURSOR {
                        self.cursor(tool, members).await
                    } else {
                        Box::pin(self.resolved(tool, member)).await
                    };
                    all.insert(name.clone(), value);
                }
                Value::Object(all)
            }
            other => other.clone(),
        }
    }

    /// Where the second page begins when the first has one row.
    async fn cursor(&self, tool: &str, members: &Map<String, Value>) -> Value {
        let mut first = members.clone();
        first.retain(|_, value| value != CURSOR);
        first.insert("limit".to_owned(), json!(1));
        let page = json!({"name": tool, "arguments": first});
        let page = self.request("tools/call", page).await.body;
        page["result"]["structuredContent"]["next_cursor"].clone()
    }

    /// What a call answers, without what differs from world to world: ids, moments, numbers, addresses. What was sent stays.
    async fn answer(&self, method: &str, params: Value) -> Value {
        let mut body = self.request(method, params.clone()).await.body;
        if body["result"]["requestState"].is_string() {
            body["result"]["requestState"] = json!("#");
        }
        plain(&body, &self.sent(&params.to_string()))
    }

    /// What every reading tool tells this caller, called with each text it takes.
    pub(super) async fn told(&self, own: &Own) -> Vec<Value> {
        let list = self.request("tools/list", json!({})).await.result();
        let list = list["tools"].as_array().expect("tools");
        let mut answers = Vec::new();
        let mut used = 0;
        for tool in list.iter().map(Tool::listed).filter(|tool| tool.reads) {
            let texts = tool.texts().into_iter().map(|path| BTreeSet::from([path]));
            for way in [BTreeSet::new()].into_iter().chain(texts) {
                let mut words = Words {
                    own,
                    used: &mut used,
                };
                let arguments = tool.arguments(&way, &mut words);
                let arguments = self.resolved(&tool.name, &arguments).await;
                let params = json!({"name": tool.name, "arguments": arguments});
                let body = self.request("tools/call", params).await.body;
                answers.push(body["result"]["structuredContent"].clone());
                answers.push(json!({"cursor": arguments["cursor"]}));
            }
        }
        answers
    }

    async fn call(&self, tool: &str, arguments: &Value) -> Value {
        let arguments = self.resolved(tool, arguments).await;
        let params = json!({"name": tool, "arguments": arguments});
        self.answer("tools/call", params).await
    }

    fn sent(&self, text: &str) -> BTreeSet<String> {
        let mut sent = &words_of(text) & &self.strange;
        // Addresses of pages are among the names; where this world is served is its own.
        sent.retain(|word| !word.starts_with("127.0.0.1:"));
        sent
    }

    /// A page or file of ours: its status and what it says.
    async fn page(&self, path: &str) -> Value {
        let token = self.world.signed(&self.world.claims_of(&self.who));
        let mcp = self.world.shop.mcp_url();
        let address = format!("{}{path}", mcp.trim_end_matches("/mcp"));
        let page = self.world.http.get(address).bearer_auth(token).send().await;
        let page = page.expect("an answer");
        let status = page.status().as_u16();
        let text = page.text().await.expect("a page");
        plain(&json!({"status": status, "text": text}), &self.sent(path))
    }
}

impl Apart<'_> {
    async fn both(&self, tool: &str, arguments: &Value) -> (Value, Value) {
        let there = self.there.call(tool, arguments);
        let nowhere = self.nowhere.call(tool, arguments);
        futures::join!(there, nowhere)
    }

    /// Notes a difference, not every one of a kind: one is enough to see where it is.
    fn compare(&mut self, what: &str, there: &Value, nowhere: &Value) {
        if there != nowhere && self.problems.len() < PROBLEMS_MAX {
            self.problems
                .push(format!("{what}\n   there: {there}\n nowhere: {nowhere}"));
        }
        let said = there["result"]["content"].to_string();
        let words = said.split(|c: char| !(c.is_ascii_lowercase() || c == '_'));
        let named: BTreeSet<&str> = words
            .filter(|word| self.not_offered.contains(*word))
            .collect();
        if !named.is_empty() && self.problems.len() < PROBLEMS_MAX {
            self.problems.push(format!(
                "{what}\n   names {named:?}, which are not offered: {there}"
            ));
        }
    }

    /// Fails with all that was noted.
    pub(super) fn finish(self) {
        let problems = self.problems;
        assert!(
            problems.is_empty(),
            "{} differences:\n{}",
            problems.len(),
            problems.join("\n")
        );
    }

    async fn same(&mut self, method: &str, params: Value) -> Value {
        let there = self.there.answer(method, params.clone());
        let nowhere = self.nowhere.answer(method, params.clone());
        let (there, nowhere) = futures::join!(there, nowhere);
        self.compare(&format!("{method} {params}"), &there, &nowhere);
        there
    }

    fn arguments(&mut self, tool: &Tool, way: &BTreeSet<String>) -> Value {
        let mut words = Words {
            own: &self.own,
            used: &mut self.used,
        };
        tool.arguments(way, &mut words)
    }

    /// The tools the caller is offered, those that only read first, those that write last: what is written comes too late to be read.
    pub(super) async fn tools(&mut self) -> Vec<Tool> {
        let list = self.there.request("tools/list", json!({})).await.result();
        let list = list["tools"].as_array().expect("tools");
        let mut tools: Vec<Tool> = list.iter().map(Tool::listed).collect();
        tools.sort_by_key(|tool| (!tool.reads, !tool.asks));
        let sheets = contracts::tools::sheets();
        self.not_offered = sheets.iter().map(|sheet| sheet.name.to_owned()).collect();
        tools.iter().for_each(|tool| {
            self.not_offered.remove(&tool.name);
        });
        tools
    }

    /// A way to call the tool with this argument that works where everything is the caller's own.
    async fn way(&mut self, tool: &Tool, path: &str) -> Option<BTreeSet<String>> {
        let mut said = Value::Null;
        for way in tool.ways(path) {
            let arguments = self.arguments(tool, &way);
            let (there, nowhere) = self.both(&tool.name, &arguments).await;
            self.compare(&format!("{} {arguments}", tool.name), &there, &nowhere);
            if there["error"].is_null() && there["result"]["isError"] != true {
                return Some(way);
            }
            said = there;
        }
        self.problems.push(format!(
            "{}: no call with {path} works, so this scene tells nothing of it. Teach isolation/arguments.rs. {said}",
            tool.name
        ));
        None
    }

    /// Every text the tool takes, with everything that names a stranger's thing: the answer is that for what is nowhere.
    pub(super) async fn try_tool(&mut self, tool: &Tool) {
        for path in tool.texts() {
            for side in [&self.there, &self.nowhere] {
                side.forget_aliases().await;
            }
            let Some(way) = self.way(tool, &path).await else {
                continue;
            };
            for strange in self.strange.clone() {
                let mut arguments = self.arguments(tool, &way);
                put(&mut arguments, &path, &strange);
                let (there, nowhere) = self.both(&tool.name, &arguments).await;
                self.compare(&format!("{} {arguments}", tool.name), &there, &nowhere);
            }
        }
        if tool.texts().is_empty() {
            let (there, nowhere) = self.both(&tool.name, &json!({})).await;
            self.compare(&tool.name, &there, &nowhere);
        }
        if tool.asks {
            self.try_answers(tool).await;
        }
    }

    /// What only staff may give is not listed to a customer, and refused like what no tool has.
    pub(super) async fn try_what_is_staffs(&mut self, tool: &Tool) {
        let sheets = contracts::tools::sheets();
        let sheet = sheets.iter().find(|sheet| sheet.name == tool.name);
        let hers = sheet
            .and_then(|sheet| sheet.for_customers.as_ref())
            .expect("a customer's tool");
        let way = tool
            .texts()
            .first()
            .map(|path| tool.ways(path).remove(0))
            .unwrap_or_default();
        for name in &hers.staff_arguments {
            assert!(
                !tool.schema["properties"]
                    .as_object()
                    .is_some_and(|all| all.contains_key(*name))
            );
            for strange in self.strange.clone().iter().step_by(5) {
                let mut arguments = self.arguments(tool, &way);
                let mut refusals = Vec::new();
                for given in [*name, "no_such_thing"] {
                    arguments[given] = json!(strange);
                    let (there, nowhere) = self.both(&tool.name, &arguments).await;
                    self.compare(&format!("{} {arguments}", tool.name), &there, &nowhere);
                    assert_eq!(
                        there["result"]["isError"], true,
                        "{} {arguments}: {there}",
                        tool.name
                    );
                    let said = there["result"]["content"].to_string();
                    refusals.push(
                        said.replace(given, "it")
                            .replace(&given.replace('_', " "), "it"),
                    );
                    arguments.as_object_mut().expect("an object").remove(given);
                }
                assert_eq!(refusals[0], refusals[1], "{} {name}", tool.name);
            }
        }
    }

    /// A yes to a stranger's question.
    async fn try_answers(&mut self, tool: &Tool) {
        let way = tool.ways(&tool.texts()[0]).remove(0);
        for strange in self.strange.clone() {
            let arguments = self.arguments(tool, &way);
            let params = json!({"name": tool.name, "arguments": arguments, "requestState": strange, "inputResponses": yes()});
            let there = self.there.answer("tools/call", params.clone());
            let nowhere = self.nowhere.answer("tools/call", params);
            let (there, nowhere) = futures::join!(there, nowhere);
            let what = format!("{} answering {strange}", tool.name);
            self.compare(&what, &there, &nowhere);
            if there["result"]["isError"] != true {
                self.problems.push(format!("{what}: taken: {there}"));
            }
        }
    }

    /// Whatever the caller may read as a resource, ask for as a prompt, have completed or open as a page.
    pub(super) async fn try_the_rest(&mut self) {
        let mut references = Vec::new();
        for list in ["resources/list", "resources/templates/list", "prompts/list"] {
            let listed = self.same(list, json!({})).await;
            for one in ["resources", "resourceTemplates"] {
                for each in listed["result"][one].as_array().into_iter().flatten() {
                    let uri = each["uri"]
                        .as_str()
                        .or_else(|| each["uriTemplate"].as_str());
                    references.push(self.try_address(uri.expect("an address")).await);
                }
            }
            for prompt in listed["result"]["prompts"].as_array().into_iter().flatten() {
                references.extend(self.try_prompt(prompt).await);
            }
        }
        for (reference, argument) in references.iter().flatten() {
            for strange in &self.strange.clone() {
                let prefix: String = strange.chars().take(3).collect();
                for typed in [strange, &prefix] {
                    let argument = json!({"name": argument, "value": typed});
                    let params = json!({"ref": reference, "argument": argument});
                    self.same("completion/complete", params).await;
                }
            }
        }
        for strange in &self.strange.clone() {
            let uuid = strange.parse::<Uuid>().is_ok();
            let name: String = strange.chars().filter(|c| !c.is_whitespace()).collect();
            for path in [
                format!("/bills/{name}"),
                format!("/bills/{name}.pdf"),
                format!("/bookings/{name}.ics"),
                format!("/approvals/{name}"),
            ] {
                let (there, nowhere) =
                    futures::join!(self.there.page(&path), self.nowhere.page(&path));
                self.compare(&path, &there, &nowhere);
                assert!(!uuid || there["status"] == 404, "{path}: {there}");
            }
        }
    }

    /// An address or a template of addresses, with strangers' names in its places; what completion calls it.
    async fn try_address(&mut self, template: &str) -> Vec<(Value, String)> {
        let mut parts = template.split('{');
        let head = parts.next().unwrap_or_default().to_owned();
        let rest: Vec<(String, String)> = parts
            .filter_map(|part| part.split_once('}'))
            .map(|(place, after)| (place.to_owned(), after.to_owned()))
            .collect();
        for strange in &self.strange.clone() {
            let uri = rest
                .iter()
                .fold(head.clone(), |uri, (_, after)| uri + strange + after);
            self.same("resources/read", json!({"uri": uri})).await;
        }
        let reference = json!({"type": "ref/resource", "uri": template});
        rest.into_iter()
            .map(|(place, _)| (reference.clone(), place))
            .collect()
    }

    async fn try_prompt(&mut self, prompt: &Value) -> Vec<Vec<(Value, String)>> {
        let name = &prompt["name"];
        let mut places = Vec::new();
        self.same("prompts/get", json!({"name": name})).await;
        for argument in prompt["arguments"].as_array().into_iter().flatten() {
            let argument = argument["name"].as_str().expect("a name");
            for strange in &self.strange.clone() {
                let arguments = BTreeMap::from([(argument, strange)]);
                self.same("prompts/get", json!({"name": name, "arguments": arguments}))
                    .await;
            }
            places.push((
                json!({"type": "ref/prompt", "name": name}),
                argument.to_owned(),
            ));
        }
        vec![places]
    }
}

/// The words of a text: what stands between marks that are in no id, number, moment or address.
pub(super) fn words_of(text: &str) -> BTreeSet<String> {
    let words = text
        .split(|c: char| !is_of_word(c))
        .filter(|w| !w.is_empty());
    words.map(str::to_owned).collect()
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | ':' | '.' | '+' | '_')
}

/// The same answer with what no two worlds have in common replaced by what it is.
fn plain(value: &Value, sent: &BTreeSet<String>) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(name, inner)| match name.as_str() {
                "next_cursor" | "token" => (name.clone(), json!("#")),
                // Completions: names that differ in case alone have no order.
                "values" if inner.is_array() => (name.clone(), sorted(&plain(inner, sent))),
                _ => (name.clone(), plain(inner, sent)),
            })
            .collect(),
        Value::Array(items) => items.iter().map(|inner| plain(inner, sent)).collect(),
        Value::String(text) => json!(plain_text(text, sent)),
        other => other.clone(),
    }
}

fn sorted(values: &Value) -> Value {
    let mut values: Vec<String> = values
        .as_array()
        .into_iter()
        .flatten()
        .map(Value::to_string)
        .collect();
    values.sort();
    json!(values)
}

fn plain_text(text: &str, sent: &BTreeSet<String>) -> String {
    if text.starts_with('{')
        && let Ok(inner) = serde_json::from_str::<Value>(text)
    {
        return plain(&inner, sent).to_string();
    }
    let mut said = String::new();
    let mut word = String::new();
    for c in text.chars().chain(['\n']) {
        if is_of_word(c) {
            word.push(c);
        } else {
            let end = word.trim_end_matches(['.', ':']).len();
            let (bare, mark) = word.split_at(end);
            said.push_str(if sent.contains(bare) || sent.contains(&word) {
                bare
            } else {
                kind_of(bare)
            });
            said.push_str(mark);
            said.push(c);
            word.clear();
        }
    }
    said.pop();
    said
}

/// What a word is where it is the world's own; itself where it is not.
fn kind_of(word: &str) -> &str {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let numbered = word
        .strip_suffix(".ics")
        .or_else(|| word.strip_suffix(".pdf"))
        .unwrap_or(word);
    if word.parse::<Uuid>().is_ok() {
        "#id"
    } else if word.starts_with("20") && word.contains('T') && word.contains(':') {
        "#moment"
    } else if numbered
        .split_once('-')
        .is_some_and(|(series, n)| is_number(n) && series.bytes().all(|b| b.is_ascii_uppercase()))
    {
        "#number"
    } else if word.starts_with("127.0.0.1:") {
        "#host"
    } else {
        word
    }
}
