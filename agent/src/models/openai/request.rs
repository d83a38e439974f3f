//! The body of a Chat Completions request, written straight from the conversation; the tools' part is written once per list.

use serde::ser::{SerializeMap as _, SerializeSeq as _};
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::names::{Names, wire_name};
use super::outcomes;
use crate::models::{Message, ModelRequest, ToolCall, ToolSpec};

/// What every request to one provider has in common.
#[derive(Debug, Clone)]
pub(super) struct Manner {
    pub(super) model: String,
    pub(super) stream: bool,
    pub(super) temperature: Option<f64>,
    pub(super) tokens_max: u32,
    /// OpenAI's own newer models refuse `max_tokens`; most others know nothing else.
    pub(super) tokens_field: &'static str,
}

/// What is made once of a list of tools.
pub(super) struct Offered {
    pub(super) names: Names,
    /// The `tools` member; none for an empty list, which providers refuse.
    tools: Option<Box<RawValue>>,
}

impl Offered {
    pub(super) fn of(tools: &[ToolSpec]) -> Offered {
        let written: Vec<Value> = tools.iter().map(function).collect();
        Offered {
            names: Names::of(tools),
            tools: if written.is_empty() {
                None
            } else {
                to_raw_value(&written).ok()
            },
        }
    }
}

fn function(tool: &ToolSpec) -> Value {
    json!({
        "type": "function",
        "function": {
            "name": wire_name(&tool.name),
            "description": tool.description,
            "parameters": tool.input_schema,
        },
    })
}

/// The body.
pub(super) struct Body<'a> {
    pub(super) manner: &'a Manner,
    pub(super) offered: &'a Offered,
    pub(super) request: &'a ModelRequest,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let manner = self.manner;
        let mut body = serializer.serialize_map(None)?;
        body.serialize_entry("model", &manner.model)?;
        if let Some(tools) = &self.offered.tools {
            body.serialize_entry("tools", tools)?;
        }
        body.serialize_entry("messages", &Messages(self.request))?;
        body.serialize_entry("stream", &manner.stream)?;
        if manner.stream {
            body.serialize_entry("stream_options", &json!({"include_usage": true}))?;
        }
        if let Some(temperature) = manner.temperature {
            body.serialize_entry("temperature", &temperature)?;
        }
        body.serialize_entry(manner.tokens_field, &manner.tokens_max)?;
        body.end()
    }
}

struct Messages<'a>(&'a ModelRequest);

impl Serialize for Messages<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let request = self.0;
        let mut messages = serializer.serialize_seq(None)?;
        if !request.instructions.is_empty() {
            messages.serialize_element(&Wire::text("system", &request.instructions))?;
        }
        for message in &request.messages {
            match message {
                Message::User { text } => messages.serialize_element(&Wire::text("user", text))?,
                Message::Assistant { text, calls, .. } if calls.is_empty() => {
                    messages.serialize_element(&Wire::text("assistant", text))?;
                }
                Message::Assistant { text, calls, .. } => messages.serialize_element(&Wire {
                    content: Some(text).filter(|t| !t.is_empty()).map(String::as_str),
                    tool_calls: calls.iter().map(called).collect(),
                    ..Wire::text("assistant", "")
                })?,
                Message::Tool {
                    call_id, outcome, ..
                } => messages.serialize_element(&Wire {
                    tool_call_id: Some(call_id),
                    ..Wire::text("tool", &outcomes::text(outcome))
                })?,
            }
        }
        messages.end()
    }
}

#[derive(Serialize)]
struct Wire<'a> {
    role: &'static str,
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
}

impl<'a> Wire<'a> {
    const fn text(role: &'static str, text: &'a str) -> Wire<'a> {
        Wire {
            role,
            content: Some(text),
            tool_calls: Vec::new(),
            tool_call_id: None,
        }
    }
}

fn called(call: &ToolCall) -> Value {
    // Arguments that were no JSON are kept as text; providers insist on an object.
    let arguments = if call.arguments.is_object() {
        call.arguments.to_string()
    } else {
        json!({"not_an_object": call.arguments}).to_string()
    };
    json!({
        "id": call.id,
        "type": "function",
        "function": {"name": wire_name(&call.tool), "arguments": arguments},
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono_tz::Tz;

    use super::*;
    use crate::language::Language;
    use crate::models::ToolOutcome;

    fn manner() -> Manner {
        Manner {
            model: "m".to_owned(),
            stream: true,
            temperature: None,
            tokens_max: 100,
            tokens_field: "max_tokens",
        }
    }

    fn request(tools: Vec<ToolSpec>, messages: Vec<Message>) -> ModelRequest {
        ModelRequest {
            instructions: "Be plain.".to_owned(),
            messages,
            tools: Arc::new(tools),
            language: Language::En,
            now: "2026-11-20T10:00:00Z".parse().unwrap(),
            time_zone: Tz::UTC,
        }
    }

    fn body(manner: &Manner, request: &ModelRequest) -> Value {
        let offered = Offered::of(&request.tools);
        serde_json::to_value(Body {
            manner,
            offered: &offered,
            request,
        })
        .unwrap()
    }

    #[test]
    fn a_conversation_is_written_as_chat_completions_want_it() {
        let call = |id: &str, arguments| ToolCall {
            id: id.to_owned(),
            tool: "shop.list".to_owned(),
            arguments,
        };
        let outcome = |id: &str| Message::Tool {
            call_id: id.to_owned(),
            tool: "shop.list".to_owned(),
            outcome: ToolOutcome::Expired,
        };
        let said = |text: &str, calls| Message::Assistant {
            text: text.to_owned(),
            calls,
            note: Some(json!({"mine": 1})),
        };
        let messages = vec![
            Message::User {
                text: "list".to_owned(),
            },
            said(
                "",
                vec![call("a", json!({"q": "x"})), call("b", json!("{broken"))],
            ),
            outcome("a"),
            outcome("b"),
            said("Nothing.", Vec::new()),
        ];
        let tool = ToolSpec {
            name: "shop.list".to_owned(),
            title: "List".to_owned(),
            description: "Lists.".to_owned(),
            input_schema: json!({"type": "object"}),
            read_only: true,
        };
        let wire = wire_name("shop.list");
        let body = body(&manner(), &request(vec![tool], messages));
        assert_eq!(
            body["tools"],
            json!([{"type": "function", "function": {"name": wire, "description": "Lists.", "parameters": {"type": "object"}}}])
        );
        let expired = outcomes::text(&ToolOutcome::Expired);
        assert_eq!(
            body["messages"],
            json!([
                {"role": "system", "content": "Be plain."},
                {"role": "user", "content": "list"},
                {"role": "assistant", "content": null, "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": wire, "arguments": "{\"q\":\"x\"}"}},
                    {"id": "b", "type": "function", "function": {"name": wire, "arguments": "{\"not_an_object\":\"{broken\"}"}},
                ]},
                {"role": "tool", "tool_call_id": "a", "content": expired},
                {"role": "tool", "tool_call_id": "b", "content": expired},
                {"role": "assistant", "content": "Nothing."},
            ])
        );
        assert_eq!(body["stream_options"], json!({"include_usage": true}));
        assert_eq!(body["max_tokens"], 100);
    }

    #[test]
    fn what_is_not_wanted_is_not_sent() {
        let quiet = Manner {
            stream: false,
            temperature: Some(0.2),
            ..manner()
        };
        let body = body(&quiet, &request(Vec::new(), Vec::new()));
        assert!(body.get("tools").is_none());
        assert!(body.get("stream_options").is_none());
        assert_eq!(body["stream"], false);
        assert_eq!(body["temperature"], 0.2);
    }
}
