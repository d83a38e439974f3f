//! What a server that is not ours says is data: its list of tools and its results are cut, cleaned or dropped before anybody sees them.
//! Pure.

use std::collections::HashSet;

use rmcp::model::Tool;
use serde_json::{Value, json};

use crate::models::ToolSpec;

/// Tools of one server.
const TOOLS_MAX: usize = 128;
/// Longest name of a tool, without its server's.
const NAME_BYTES_MAX: usize = 128;
/// Longest title, characters.
const TITLE_CHARACTERS_MAX: usize = 80;
/// Longest description, characters: a model reads them all.
const DESCRIPTION_CHARACTERS_MAX: usize = 4000;
/// Largest schema of one tool.
const SCHEMA_BYTES_MAX: usize = 32 * 1024;
/// Names and schemas of one server together.
const LIST_BYTES_MAX: usize = 512 * 1024;

/// A server's list as it is used, and what was wrong with it, for the log.
#[derive(Debug, Default)]
pub(super) struct Cleaned {
    pub(super) tools: Vec<ToolSpec>,
    pub(super) complaints: Vec<String>,
}

/// Takes what can be used of a server's list; its tools get the server's name in front.
pub(super) fn tools(server: &str, listed: Vec<Tool>) -> Cleaned {
    let mut cleaned = Cleaned::default();
    let mut names = HashSet::new();
    let mut bytes = 0;
    for tool in listed {
        let shown = line(&tool.name, 60);
        if cleaned.tools.len() == TOOLS_MAX || bytes > LIST_BYTES_MAX {
            cleaned.complaints.push(format!(
                "more than {TOOLS_MAX} tools or {LIST_BYTES_MAX} bytes: the rest is dropped, from {shown}"
            ));
            break;
        }
        match tool_of(server, tool) {
            Ok((spec, size)) if names.insert(spec.name.clone()) => {
                bytes += size;
                cleaned.tools.push(spec);
            }
            Ok(_) => cleaned
                .complaints
                .push(format!("{shown} dropped: listed twice")),
            Err(why) => cleaned.complaints.push(format!("{shown} dropped: {why}")),
        }
    }
    cleaned
}

fn tool_of(server: &str, tool: Tool) -> Result<(ToolSpec, usize), String> {
    let name = tool.name.as_ref();
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    if !(1..=NAME_BYTES_MAX).contains(&name.len()) || !name.bytes().all(plain) {
        return Err("its name is not 1 to 128 of A-Z, a-z, 0-9, _, - and .".to_owned());
    }
    let mut schema = Value::Object((*tool.input_schema).clone());
    let size = schema.to_string().len();
    if size > SCHEMA_BYTES_MAX {
        return Err(format!("its schema has {size} bytes"));
    }
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        return Err("its arguments are no object".to_owned());
    }
    fit_for_models(&mut schema);
    jsonschema::validator_for(&schema)
        .map_err(|e| format!("its schema is broken: {}", line(&e.to_string(), 200)))?;
    let annotations = tool.annotations.unwrap_or_default();
    let title = tool.title.or(annotations.title);
    let title = title
        .map(|t| line(&t, TITLE_CHARACTERS_MAX))
        .filter(|t| !t.is_empty());
    let description = tool.description.unwrap_or_default();
    let spec = ToolSpec {
        name: format!("{server}.{name}"),
        title: title.unwrap_or_else(|| name.to_owned()),
        description: cut(&plain_text(&description), DESCRIPTION_CHARACTERS_MAX),
        input_schema: schema,
        // Whatever contradicts itself is not believed.
        read_only: annotations.read_only_hint == Some(true)
            && annotations.destructive_hint != Some(true),
    };
    let size = size + spec.description.len();
    Ok((spec, size))
}

/// What providers take in no tool's schema is put right or left out: one tool they refuse would cost all of them, and its own server checks
/// the arguments anyway.
fn fit_for_models(schema: &mut Value) {
    if let Some(whole) = schema.as_object_mut() {
        for choice in ["oneOf", "anyOf", "allOf", "enum", "not"] {
            whole.remove(choice);
        }
        whole.entry("properties").or_insert_with(|| json!({}));
    }
    arrays_have_items(schema);
}

fn arrays_have_items(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            let array = match members.get("type") {
                Some(Value::String(one)) => one == "array",
                Some(Value::Array(several)) => several.iter().any(|t| t == "array"),
                _ => false,
            };
            if array {
                members.entry("items").or_insert_with(|| json!({}));
            }
            members.values_mut().for_each(arrays_have_items);
        }
        Value::Array(several) => several.iter_mut().for_each(arrays_have_items),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// One line of plain text, cut: blanks for line breaks, and nothing that does not show.
pub(super) fn line(text: &str, characters_max: usize) -> String {
    let plain = plain_text(text);
    let words: Vec<&str> = plain.split_whitespace().collect();
    cut(&words.join(" "), characters_max)
}

/// Without control characters, but for line breaks and tabs, and without characters that hide or reorder others.
pub(super) fn plain_text(text: &str) -> String {
    let shows = |c: &char| matches!(c, '\n' | '\t') || !(c.is_control() || hides(*c));
    text.chars().filter(shows).collect()
}

/// Unicode's format characters: they do not show, and some turn the text around them.
const fn hides(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// At most so many characters, the last of them saying that there were more.
pub(super) fn cut(text: &str, characters_max: usize) -> String {
    if text.chars().count() <= characters_max {
        return text.to_owned();
    }
    let mut cut: String = text
        .chars()
        .take(characters_max.saturating_sub(1))
        .collect();
    cut.push('…');
    cut
}

/// A value in which every text can be stored and shown.
pub(super) fn plain_value(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(plain_text(&text)),
        Value::Array(items) => items.into_iter().map(plain_value).collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| (plain_text(&name), plain_value(value)))
            .collect(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other,
    }
}

#[cfg(test)]
mod tests {
    use rmcp::model::ToolAnnotations;

    use super::*;

    fn tool(name: &str, schema: &Value) -> Tool {
        serde_json::from_value(json!({"name": name, "inputSchema": schema})).unwrap()
    }

    fn names(cleaned: &Cleaned) -> Vec<&str> {
        cleaned.tools.iter().map(|t| t.name.as_str()).collect()
    }

    #[test]
    fn broken_tools_are_dropped_and_said() {
        let object = json!({"type": "object"});
        let listed = vec![
            tool("good", &object),
            tool("good", &object),
            tool("", &object),
            tool("a b", &object),
            tool("naïve", &object),
            tool(&"n".repeat(129), &object),
            tool("no_object", &json!({"type": "string"})),
            tool("no_type", &json!({})),
            tool("wrong", &json!({"type": "object", "properties": 7})),
            tool(
                "remote",
                &json!({"type": "object", "properties": {"a": {"$ref": "https://a.example/schema"}}}),
            ),
            tool(
                "large",
                &json!({"type": "object", "description": "x".repeat(40_000)}),
            ),
            tool("also.good-1_", &object),
        ];
        let cleaned = tools("crm", listed);
        assert_eq!(names(&cleaned), ["crm.good", "crm.also.good-1_"]);
        assert_eq!(cleaned.complaints.len(), 10, "{:?}", cleaned.complaints);
    }

    #[test]
    fn a_schema_is_one_that_every_provider_takes() {
        let odd = json!({
            "type": "object",
            "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
            "properties": {"a": {"type": "array"}, "b": {"type": ["array", "null"]}, "type": {"type": "string"}},
        });
        let cleaned = tools(
            "crm",
            vec![tool("odd", &odd), tool("bare", &json!({"type": "object"}))],
        );
        assert_eq!(
            cleaned.tools[0].input_schema,
            json!({
                "type": "object",
                "properties": {"a": {"type": "array", "items": {}}, "b": {"type": ["array", "null"], "items": {}}, "type": {"type": "string"}},
            })
        );
        assert_eq!(
            cleaned.tools[1].input_schema,
            json!({"type": "object", "properties": {}})
        );
    }

    #[test]
    fn a_list_without_end_is_cut() {
        let schema = json!({"type": "object"});
        let many = (0..500).map(|n| tool(&format!("t{n}"), &schema)).collect();
        let cleaned = tools("crm", many);
        assert_eq!(cleaned.tools.len(), TOOLS_MAX);
        assert_eq!(cleaned.complaints.len(), 1);
        let large = json!({"type": "object", "description": "x".repeat(30_000)});
        let large = (0..100).map(|n| tool(&format!("t{n}"), &large)).collect();
        assert!(tools("crm", large).tools.len() < 20);
    }

    #[test]
    fn texts_are_cut_and_hide_nothing() {
        let mut listed = tool("t", &json!({"type": "object"}));
        listed.title = Some(format!("Pay\u{202e}\n\u{7}  now{}", "!".repeat(200)));
        listed.description = Some("d\u{0}é".repeat(100 * 1024).into());
        let spec = tools("crm", vec![listed]).tools.remove(0);
        assert!(spec.title.starts_with("Pay now!!!") && spec.title.ends_with('…'));
        assert_eq!(spec.title.chars().count(), TITLE_CHARACTERS_MAX);
        assert_eq!(spec.description.chars().count(), DESCRIPTION_CHARACTERS_MAX);
        assert!(!spec.description.contains('\0'));
        assert_eq!(
            plain_value(json!({"a\u{0}": ["b\u{0}\n", 1, null]})),
            json!({"a": ["b\n", 1, null]})
        );
    }

    #[test]
    fn only_what_says_that_it_reads_and_does_not_contradict_itself_is_a_read() {
        let read_only = |annotations: Option<ToolAnnotations>| {
            let mut listed = tool("t", &json!({"type": "object"}));
            listed.annotations = annotations;
            tools("crm", vec![listed]).tools[0].read_only
        };
        let hints = ToolAnnotations::new;
        assert!(!read_only(None));
        assert!(!read_only(Some(hints())));
        assert!(!read_only(Some(hints().read_only(false))));
        assert!(!read_only(Some(hints().read_only(true).destructive(true))));
        assert!(!read_only(Some(
            hints().idempotent(true).destructive(false)
        )));
        assert!(read_only(Some(hints().read_only(true))));
    }
}
