//! Reading a request as strictly as `OpenAI` does: what passes here is a valid request, so a client that is never refused is correct.
//!
//! One rule is stricter than `OpenAI`'s: results stand in the order of the calls they answer, because some providers read them so.

mod schema;

use std::collections::HashSet;
use std::fmt;

use serde::de::{Error, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use self::schema::Schema;

/// Longest id of a call.
const ID_CHARS_MAX: usize = 40;
/// Longest name of a tool.
const NAME_CHARS_MAX: usize = 64;
/// Longest description of a tool.
const DESCRIPTION_CHARS_MAX: usize = 1024;
const TOOLS_MAX: usize = 128;

/// Why a request is refused, as `OpenAI`'s error object has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Invalid {
    pub(super) message: String,
    /// The parameter at fault, as a path: `messages[0].role`.
    pub(super) param: Option<String>,
    pub(super) code: Option<&'static str>,
}

impl Invalid {
    fn new(param: impl Into<String>, code: Option<&'static str>, message: String) -> Invalid {
        Invalid {
            message,
            param: Some(param.into()),
            code,
        }
    }

    fn value(param: impl Into<String>, message: String) -> Invalid {
        Invalid::new(param, Some("invalid_value"), message)
    }

    fn empty(param: String) -> Invalid {
        let message = format!(
            "Invalid '{param}': empty array. Expected an array with minimum length 1, but got an empty array instead."
        );
        Invalid::new(param, Some("empty_array"), message)
    }

    /// What serde says, in `OpenAI`'s words.
    fn read(error: &serde_path_to_error::Error<serde_json::Error>) -> Invalid {
        use serde_json::error::Category;
        let path = error.path().to_string();
        let inner = error.inner();
        if matches!(inner.classify(), Category::Syntax | Category::Eof) {
            return Invalid {
                message: format!(
                    "We could not parse the JSON body of your request. (HINT: this means it is no valid JSON: {inner}.)"
                ),
                param: None,
                code: None,
            };
        }
        let text = inner.to_string();
        let text = text.split(" at line ").next().unwrap_or_default();
        if text.starts_with("unknown field") {
            return Invalid::new(
                path.clone(),
                Some("unknown_parameter"),
                format!("Unknown parameter: '{path}'."),
            );
        }
        if let Some(rest) = text.strip_prefix("missing field ") {
            let name = rest.trim_matches('`');
            let path = if path == "." {
                name.to_owned()
            } else {
                format!("{path}.{name}")
            };
            return Invalid::new(
                path.clone(),
                Some("missing_required_parameter"),
                format!("Missing required parameter: '{path}'."),
            );
        }
        let message = match text.strip_prefix("invalid type: ") {
            Some(rest) => format!("Invalid type for '{path}': {rest}."),
            None => format!("Invalid '{path}': {text}."),
        };
        Invalid::new(path, Some("invalid_type"), message)
    }
}

/// What a request is about, for the script.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// The last message of the person.
    pub(super) message: String,
    /// Answers given since.
    pub(super) stage: usize,
    /// The sentences of the tool results since, in order.
    pub(super) summaries: Vec<String>,
}

/// A valid request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) model: String,
    pub(super) stream: bool,
    /// A last chunk with the tokens is wanted.
    pub(super) include_usage: bool,
    pub(super) heard: Heard,
    /// Where in the conversation it stands, as a text: another for every answer, the same when a request is sent again.
    pub(super) place: String,
    /// How long the body is.
    pub(super) bytes: usize,
}

impl Request {
    /// Reads and checks a body.
    pub(super) fn read(json: &[u8]) -> Result<Request, Invalid> {
        // Finding the place of an error costs time, so it is looked for only when there is one.
        let body: Body = serde_json::from_slice(json).map_err(|_| {
            let mut reader = serde_json::Deserializer::from_slice(json);
            match serde_path_to_error::deserialize::<_, Body>(&mut reader) {
                Err(error) => Invalid::read(&error),
                Ok(_) => Invalid {
                    message: "We could not parse the JSON body of your request. (HINT: something follows its end.)".to_owned(),
                    param: None,
                    code: None,
                },
            }
        })?;
        check_settings(&body)?;
        check_messages(&body.messages)?;
        body.tools.as_deref().map_or(Ok(()), check_tools)?;
        check_choice(&body)?;
        Ok(Request {
            heard: hear(&body.messages),
            place: place(&body.messages),
            bytes: json.len(),
            stream: body.stream.unwrap_or(false),
            include_usage: body
                .stream_options
                .and_then(|o| o.include_usage)
                .unwrap_or(false),
            model: body.model,
        })
    }
}

/// A body, with every field the API has.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "fields that change nothing here are accepted as OpenAI accepts them"
)]
struct Body {
    model: String,
    messages: Vec<Message>,
    tools: Option<Vec<Tool>>,
    tool_choice: Option<ToolChoice>,
    parallel_tool_calls: Option<bool>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    n: Option<u32>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    audio: Option<IgnoredAny>,
    frequency_penalty: Option<f64>,
    function_call: Option<IgnoredAny>,
    functions: Option<IgnoredAny>,
    logit_bias: Option<IgnoredAny>,
    logprobs: Option<bool>,
    metadata: Option<IgnoredAny>,
    modalities: Option<IgnoredAny>,
    prediction: Option<IgnoredAny>,
    presence_penalty: Option<f64>,
    prompt_cache_key: Option<IgnoredAny>,
    prompt_cache_retention: Option<IgnoredAny>,
    reasoning_effort: Option<IgnoredAny>,
    response_format: Option<IgnoredAny>,
    safety_identifier: Option<IgnoredAny>,
    seed: Option<i64>,
    service_tier: Option<IgnoredAny>,
    stop: Option<IgnoredAny>,
    store: Option<bool>,
    top_logprobs: Option<u32>,
    user: Option<String>,
    verbosity: Option<IgnoredAny>,
    web_search_options: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamOptions {
    include_usage: Option<bool>,
    #[serde(rename = "include_obfuscation")]
    _include_obfuscation: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    role: String,
    content: Option<Content>,
    name: Option<String>,
    tool_calls: Option<Vec<ToolCall>>,
    tool_call_id: Option<String>,
    refusal: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolCall {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    function: CalledFunction,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CalledFunction {
    name: String,
    /// Text, never an object.
    #[serde(rename = "arguments")]
    _arguments: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tool {
    #[serde(rename = "type")]
    kind: String,
    function: Function,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Function {
    name: String,
    description: Option<String>,
    parameters: Option<Schema>,
    #[serde(rename = "strict")]
    _strict: Option<bool>,
}

/// `"auto"` or one function.
enum ToolChoice {
    Word(String),
    Function(String),
}

impl<'de> Deserialize<'de> for ToolChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ToolChoice, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if let Value::String(word) = value {
            return Ok(ToolChoice::Word(word));
        }
        match value.pointer("/function/name").and_then(Value::as_str) {
            Some(name) if value["type"] == "function" => Ok(ToolChoice::Function(name.to_owned())),
            _ => Err(D::Error::custom(
                "expected none, auto, required or a function",
            )),
        }
    }
}

/// The text of a message: one, or parts.
struct Content(String);

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Content, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Part {
            #[serde(rename = "type")]
            kind: String,
            text: String,
        }
        struct TextOrParts;
        impl<'de> Visitor<'de> for TextOrParts {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of text parts")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Content, E> {
                Ok(Content(text.to_owned()))
            }

            fn visit_string<E: Error>(self, text: String) -> Result<Content, E> {
                Ok(Content(text))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Content, A::Error> {
                let mut text = String::new();
                let mut count = 0;
                while let Some(part) = parts.next_element::<Part>()? {
                    if part.kind != "text" {
                        return Err(A::Error::custom("only text parts are supported"));
                    }
                    text.push_str(&part.text);
                    count += 1;
                }
                if count == 0 {
                    return Err(A::Error::custom("expected at least one part"));
                }
                Ok(Content(text))
            }
        }
        deserializer.deserialize_any(TextOrParts)
    }
}

fn check_settings(body: &Body) -> Result<(), Invalid> {
    if body.model.is_empty() {
        return Err(Invalid {
            message: "you must provide a model parameter".to_owned(),
            param: None,
            code: None,
        });
    }
    if body.stream_options.is_some() && body.stream != Some(true) {
        let message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
        return Err(Invalid::new("stream_options", None, message.to_owned()));
    }
    let within = |name: &str, value: Option<f64>, most: f64| match value {
        Some(v) if !(0.0..=most).contains(&v) => Err(Invalid::value(
            name,
            format!("Invalid '{name}': expected a value between 0 and {most}, but got {v}."),
        )),
        _ => Ok(()),
    };
    within("temperature", body.temperature, 2.0)?;
    within("top_p", body.top_p, 1.0)?;
    for (name, value) in [
        ("max_tokens", body.max_tokens),
        ("max_completion_tokens", body.max_completion_tokens),
        ("n", body.n),
    ] {
        if value == Some(0) {
            let message = format!("Invalid '{name}': expected a value >= 1, but got 0.");
            return Err(Invalid::value(name, message));
        }
    }
    if body.n.is_some_and(|n| n > 1) {
        let message = "Invalid 'n': this provider gives one answer.";
        return Err(Invalid::value("n", message.to_owned()));
    }
    Ok(())
}

fn check_messages(messages: &[Message]) -> Result<(), Invalid> {
    if messages.is_empty() {
        return Err(Invalid::empty("messages".to_owned()));
    }
    // The calls of the last answer that still want a result, in order.
    let mut open: Vec<&str> = Vec::new();
    let mut asked_at = 0;
    for (place, message) in messages.iter().enumerate() {
        let at = format!("messages[{place}]");
        check_shape(message, &at)?;
        if message.role == "tool" {
            take_result(message, &at, &mut open, messages, asked_at)?;
            continue;
        }
        unanswered(&open, asked_at)?;
        if let Some(calls) = &message.tool_calls {
            check_calls(calls, &at)?;
            open = calls.iter().map(|call| call.id.as_str()).collect();
            asked_at = place;
        }
    }
    unanswered(&open, asked_at)
}

/// A result: of the next call that wants one.
fn take_result(
    message: &Message,
    at: &str,
    open: &mut Vec<&str>,
    messages: &[Message],
    asked_at: usize,
) -> Result<(), Invalid> {
    let id = message.tool_call_id.as_deref().unwrap_or_default();
    if open.first() == Some(&id) {
        open.remove(0);
        return Ok(());
    }
    let role = format!("{at}.role");
    if open.contains(&id) {
        let message = format!(
            "The result of '{id}' stands before the result of an earlier call. Results follow the order of the calls."
        );
        return Err(Invalid::new(role, None, message));
    }
    let asked = messages.get(asked_at).and_then(|m| m.tool_calls.as_deref());
    let answered_before = asked.is_some_and(|calls| calls.iter().any(|call| call.id == id));
    let message = if answered_before {
        format!("Duplicate value for 'tool_call_id' of '{id}' in {at}.")
    } else {
        "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.".to_owned()
    };
    Err(Invalid::new(role, None, message))
}

fn unanswered(open: &[&str], asked_at: usize) -> Result<(), Invalid> {
    if open.is_empty() {
        return Ok(());
    }
    let message = format!(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: {}",
        open.join(", ")
    );
    Err(Invalid::new(
        format!("messages[{asked_at}].tool_calls"),
        None,
        message,
    ))
}

/// What a message of each role has and has not.
fn check_shape(message: &Message, at: &str) -> Result<(), Invalid> {
    let role = message.role.as_str();
    if !["system", "developer", "user", "assistant", "tool"].contains(&role) {
        let message = format!(
            "Invalid value: '{role}'. Supported values are: 'system', 'assistant', 'user', 'function', 'tool', and 'developer'."
        );
        return Err(Invalid::value(format!("{at}.role"), message));
    }
    let unknown = |name: &str| {
        let path = format!("{at}.{name}");
        let message = format!("Unknown parameter: '{path}'.");
        Invalid::new(path, Some("unknown_parameter"), message)
    };
    if role != "assistant" {
        if message.tool_calls.is_some() {
            return Err(unknown("tool_calls"));
        }
        if message.refusal.is_some() {
            return Err(unknown("refusal"));
        }
    }
    if role == "tool" && message.tool_call_id.is_none() {
        let path = format!("{at}.tool_call_id");
        let message = format!("Missing required parameter: '{path}'.");
        return Err(Invalid::new(
            path,
            Some("missing_required_parameter"),
            message,
        ));
    }
    if role != "tool" && message.tool_call_id.is_some() {
        return Err(unknown("tool_call_id"));
    }
    if message.content.is_none() && message.tool_calls.is_none() {
        let message = "Invalid value for 'content': expected a string, got null.";
        return Err(Invalid::new(
            format!("{at}.content"),
            None,
            message.to_owned(),
        ));
    }
    let odd = |c: char| c.is_whitespace() || "<|\\/>".contains(c);
    if message
        .name
        .as_ref()
        .is_some_and(|n| n.is_empty() || n.contains(odd))
    {
        let message = format!(
            "Invalid '{at}.name': string does not match pattern. Expected a string that matches the pattern '^[^\\s<|\\\\/>]+$'."
        );
        return Err(Invalid::value(format!("{at}.name"), message));
    }
    Ok(())
}

fn check_calls(calls: &[ToolCall], at: &str) -> Result<(), Invalid> {
    if calls.is_empty() {
        return Err(Invalid::empty(format!("{at}.tool_calls")));
    }
    if calls.len() > TOOLS_MAX {
        let message = format!(
            "Invalid '{at}.tool_calls': array too long. Expected an array with maximum length {TOOLS_MAX}."
        );
        return Err(Invalid::new(
            format!("{at}.tool_calls"),
            Some("array_above_max_length"),
            message,
        ));
    }
    let mut ids = HashSet::new();
    for (place, call) in calls.iter().enumerate() {
        let at = format!("{at}.tool_calls[{place}]");
        check_kind(&call.kind, &at)?;
        check_name(&call.function.name, &at)?;
        if call.id.is_empty() {
            let message = format!("Invalid '{at}.id': empty string.");
            return Err(Invalid::value(format!("{at}.id"), message));
        }
        not_longer(&format!("{at}.id"), &call.id, ID_CHARS_MAX)?;
        if !ids.insert(call.id.as_str()) {
            let message = format!(
                "Duplicate value for 'tool_call_id' of '{}' in {at}.",
                call.id
            );
            return Err(Invalid::value(format!("{at}.id"), message));
        }
    }
    Ok(())
}

fn check_tools(tools: &[Tool]) -> Result<(), Invalid> {
    if tools.is_empty() {
        return Err(Invalid::empty("tools".to_owned()));
    }
    if tools.len() > TOOLS_MAX {
        let message = format!(
            "Invalid 'tools': array too long. Expected an array with maximum length {TOOLS_MAX}, but got an array with length {} instead.",
            tools.len()
        );
        return Err(Invalid::new(
            "tools",
            Some("array_above_max_length"),
            message,
        ));
    }
    let mut names = HashSet::new();
    for (place, tool) in tools.iter().enumerate() {
        let at = format!("tools[{place}]");
        check_kind(&tool.kind, &at)?;
        let Function {
            name,
            description,
            parameters,
            ..
        } = &tool.function;
        check_name(name, &at)?;
        if !names.insert(name.as_str()) {
            let message = format!("Tool names must be unique: '{name}' is there twice.");
            return Err(Invalid::value(format!("{at}.function.name"), message));
        }
        if let Some(text) = description {
            let path = format!("{at}.function.description");
            not_longer(&path, text, DESCRIPTION_CHARS_MAX)?;
        }
        if let Some(why) = parameters.as_ref().and_then(Schema::unfit) {
            let message = format!("Invalid schema for function '{name}': {why}.");
            return Err(Invalid::new(
                format!("{at}.function.parameters"),
                Some("invalid_function_parameters"),
                message,
            ));
        }
    }
    Ok(())
}

fn check_choice(body: &Body) -> Result<(), Invalid> {
    for (name, given) in [
        ("tool_choice", body.tool_choice.is_some()),
        ("parallel_tool_calls", body.parallel_tool_calls.is_some()),
    ] {
        if given && body.tools.is_none() {
            let message = format!("'{name}' is only allowed when 'tools' are specified.");
            return Err(Invalid::new(name, None, message));
        }
    }
    let offered = |name: &str| {
        let mut tools = body.tools.iter().flatten();
        tools.any(|tool| tool.function.name == name)
    };
    match &body.tool_choice {
        Some(ToolChoice::Word(word)) if !["none", "auto", "required"].contains(&word.as_str()) => {
            let message = format!(
                "Invalid value: '{word}'. Supported values are: 'none', 'auto', and 'required'."
            );
            Err(Invalid::value("tool_choice", message))
        }
        Some(ToolChoice::Function(name)) if !offered(name) => {
            let message = format!("Tool choice '{name}' not found in 'tools' parameter.");
            Err(Invalid::new("tool_choice", None, message))
        }
        Some(ToolChoice::Word(_) | ToolChoice::Function(_)) | None => Ok(()),
    }
}

fn check_kind(kind: &str, at: &str) -> Result<(), Invalid> {
    if kind == "function" {
        return Ok(());
    }
    let message = format!("Invalid value: '{kind}'. Supported values are: 'function'.");
    Err(Invalid::value(format!("{at}.type"), message))
}

fn check_name(name: &str, at: &str) -> Result<(), Invalid> {
    let path = format!("{at}.function.name");
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || !name.chars().all(fits) {
        let message = format!(
            "Invalid '{path}': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'."
        );
        return Err(Invalid::value(path, message));
    }
    not_longer(&path, name, NAME_CHARS_MAX)
}

fn not_longer(path: &str, text: &str, most: usize) -> Result<(), Invalid> {
    let length = text.chars().count();
    if length <= most {
        return Ok(());
    }
    let message = format!(
        "Invalid '{path}': string too long. Expected a string with maximum length {most}, but got a string with length {length} instead."
    );
    Err(Invalid::new(path, Some("string_above_max_length"), message))
}

/// Where the conversation stands.
fn hear(messages: &[Message]) -> Heard {
    let said = messages.iter().rposition(|m| m.role == "user");
    let since = &messages[said.map_or(0, |place| place + 1)..];
    let text = |m: &Message| m.content.as_ref().map(|c| c.0.clone());
    Heard {
        message: said
            .and_then(|place| text(&messages[place]))
            .unwrap_or_default(),
        stage: since.iter().filter(|m| m.role == "assistant").count(),
        summaries: since
            .iter()
            .filter(|m| m.role == "tool")
            .map(|m| summary(m.content.as_ref().map_or("", |c| c.0.as_str())))
            .collect(),
    }
}

/// The ids so far are part of it, so that two questions that are alike differ.
fn place(messages: &[Message]) -> String {
    let calls = messages.iter().rev().find_map(|m| m.tool_calls.as_ref());
    let last_id = calls
        .and_then(|calls| calls.last())
        .map_or("", |call| &call.id);
    let said = messages.iter().filter(|m| m.role == "user").count();
    format!("{} {said} {last_id}", messages.len())
}

/// The sentence of a tool result: its `summary`, the `message` of one that has none, else the result itself.
fn summary(content: &str) -> String {
    let Ok(value) = serde_json::from_str::<Value>(content) else {
        return content.to_owned();
    };
    let places = [
        "/summary",
        "/result/summary",
        "/message",
        "/failure/message",
        "/error/message",
        "/result/message",
    ];
    let sentence = places.iter().find_map(|p| value.pointer(p)?.as_str());
    sentence.unwrap_or(content).to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: &Value) -> Result<Request, Invalid> {
        Request::read(body.to_string().as_bytes())
    }

    /// A request that has everything, for changing one thing.
    fn whole() -> Value {
        json!({
            "model": "m", "stream": true, "stream_options": {"include_usage": true}, "temperature": 0.2, "tool_choice": "auto",
            "messages": [
                {"role": "system", "content": "be brief"},
                {"role": "user", "content": [{"type": "text", "text": "sugar "}, {"type": "text", "text": "and rice?"}]},
                {"role": "assistant", "content": null, "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{\"item\":\"sugar\"}"}},
                    {"id": "b", "type": "function", "function": {"name": "look", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": "a", "content": "{\"summary\":\"20 kg\"}"},
                {"role": "tool", "tool_call_id": "b", "content": "{\"failure\":{\"message\":\"no rice\"}}"},
            ],
            "tools": [{"type": "function", "function": {"name": "look", "description": "Looks.",
                "parameters": {"type": "object", "properties": {"item": {"type": "string"}}}}}],
        })
    }

    #[test]
    fn a_valid_request_is_heard() {
        let request = read(&whole()).unwrap();
        assert!(request.stream && request.include_usage);
        let heard = Heard {
            message: "sugar and rice?".to_owned(),
            stage: 1,
            summaries: vec!["20 kg".to_owned(), "no rice".to_owned()],
        };
        assert_eq!(request.heard, heard);
        let least = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
        let request = read(&least).unwrap();
        assert!(!request.stream && !request.include_usage);
        assert_eq!(request.heard.stage, 0);
    }

    /// Changes one place of [`whole`] and says which parameter is blamed.
    #[track_caller]
    fn blames(place: &str, value: Value, param: &str, says: &str) {
        let mut body = whole();
        let (parent, name) = place.rsplit_once('/').unwrap();
        match body.pointer_mut(parent).unwrap() {
            Value::Array(list) => match name.parse::<usize>() {
                Ok(at) => list[at] = value,
                Err(_) => list.push(value),
            },
            other => other[name] = value,
        }
        let invalid = read(&body).unwrap_err();
        assert_eq!(invalid.param.as_deref(), Some(param), "{}", invalid.message);
        assert!(invalid.message.contains(says), "{}", invalid.message);
    }

    #[test]
    fn messages_are_held_to_their_roles() {
        blames("/messages", json!([]), "messages", "empty array");
        blames(
            "/messages/0/role",
            json!("robot"),
            "messages[0].role",
            "'robot'",
        );
        blames(
            "/messages/0/note",
            json!(1),
            "messages[0].note",
            "Unknown parameter",
        );
        blames(
            "/messages/1/content",
            json!(null),
            "messages[1].content",
            "got null",
        );
        blames(
            "/messages/1/content",
            json!([]),
            "messages[1].content",
            "at least one",
        );
        blames(
            "/messages/1/content",
            json!(5),
            "messages[1].content",
            "integer `5`",
        );
        blames(
            "/messages/1/name",
            json!("a b"),
            "messages[1].name",
            "pattern",
        );
        blames(
            "/messages/1/tool_calls",
            json!([]),
            "messages[1].tool_calls",
            "Unknown",
        );
        blames(
            "/messages/2/tool_call_id",
            json!("a"),
            "messages[2].tool_call_id",
            "Unknown",
        );
        blames(
            "/messages/3",
            json!({"role": "tool", "content": ""}),
            "messages[3].tool_call_id",
            "Missing",
        );
        blames(
            "/messages/3",
            json!({"content": ""}),
            "messages[3].role",
            "Missing required",
        );
    }

    #[test]
    fn calls_are_formed_well() {
        blames(
            "/messages/2/tool_calls",
            json!([]),
            "messages[2].tool_calls",
            "empty array",
        );
        let calls = "/messages/2/tool_calls/0";
        let place = "messages[2].tool_calls[0]";
        blames(
            &format!("{calls}/id"),
            json!("b"),
            "messages[2].tool_calls[1].id",
            "Duplicate",
        );
        blames(
            &format!("{calls}/id"),
            json!("i".repeat(41)),
            &format!("{place}.id"),
            "maximum length 40",
        );
        blames(
            &format!("{calls}/type"),
            json!("tool"),
            &format!("{place}.type"),
            "'function'",
        );
        blames(
            &format!("{calls}/function/name"),
            json!("shop.look"),
            &format!("{place}.function.name"),
            "pattern",
        );
        blames(
            &format!("{calls}/function/arguments"),
            json!({}),
            &format!("{place}.function.arguments"),
            "expected a string",
        );
    }

    #[test]
    fn every_call_is_answered_once_and_in_order() {
        blames(
            "/messages/3/tool_call_id",
            json!("b"),
            "messages[3].role",
            "order of the calls",
        );
        blames(
            "/messages/4/tool_call_id",
            json!("a"),
            "messages[4].role",
            "Duplicate",
        );
        blames(
            "/messages/4/tool_call_id",
            json!("c"),
            "messages[4].role",
            "must be a response",
        );
        blames(
            "/messages/4",
            json!({"role": "user", "content": "?"}),
            "messages[2].tool_calls",
            "response messages: b",
        );
        blames(
            "/messages/-",
            json!({"role": "tool", "tool_call_id": "a", "content": ""}),
            "messages[5].role",
            "Duplicate",
        );
        let mut body = whole();
        body["messages"].as_array_mut().unwrap().pop();
        assert!(
            read(&body).unwrap_err().message.ends_with(": b"),
            "the last call is open"
        );
    }

    #[test]
    fn tools_have_fit_names_and_schemas() {
        blames("/tools", json!([]), "tools", "empty array");
        let twice = whole()["tools"][0].clone();
        blames("/tools/-", twice, "tools[1].function.name", "unique");
        let function = |name: &str| format!("/tools/0/function/{name}");
        blames(
            &function("name"),
            json!("n".repeat(65)),
            "tools[0].function.name",
            "maximum length 64",
        );
        blames(
            &function("description"),
            json!("d".repeat(1025)),
            "tools[0].function.description",
            "1024",
        );
        let schema = |schema: Value, says: &str| {
            blames(
                &function("parameters"),
                schema,
                "tools[0].function.parameters",
                says,
            );
        };
        schema(json!({"properties": {}}), "'type: \"object\"'");
        schema(json!({"type": "object"}), "missing properties");
        schema(
            json!({"type": "object", "properties": {}, "oneOf": []}),
            "top level",
        );
        let list = json!({"type": "object", "properties": {"a": {"type": "object", "properties": {"lines": {"type": "array"}}}}});
        schema(
            list,
            "('properties', 'a', 'properties', 'lines'), array schema missing items",
        );
        let many: Vec<Value> = (0..129)
            .map(|n| json!({"type": "function", "function": {"name": format!("t{n}")}}))
            .collect();
        blames("/tools", json!(many), "tools", "maximum length 128");
    }

    #[test]
    fn settings_are_checked() {
        blames("/model", json!(5), "model", "integer `5`");
        blames("/verbose", json!(true), "verbose", "Unknown parameter");
        blames("/temperature", json!(2.5), "temperature", "between 0 and 2");
        blames("/max_tokens", json!(0), "max_tokens", ">= 1");
        blames("/n", json!(2), "n", "one answer");
        blames(
            "/stream",
            json!(false),
            "stream_options",
            "'stream' is enabled",
        );
        blames("/stream", json!("yes"), "stream", "expected a boolean");
        blames("/tool_choice", json!("any"), "tool_choice", "'any'");
        let tea = json!({"type": "function", "function": {"name": "tea"}});
        blames("/tool_choice", tea, "tool_choice", "'tea' not found");
        blames(
            "/tools",
            Value::Null,
            "tool_choice",
            "'tools' are specified",
        );
    }

    #[test]
    fn what_is_no_request_is_told_apart() {
        let parse = |text: &str| Request::read(text.as_bytes()).unwrap_err();
        assert!(parse("{").message.contains("could not parse"));
        let least = r#"{"model": "m", "messages": [{"role": "user", "content": "hi"}]}"#;
        assert!(
            parse(&format!("{least} {{}}"))
                .message
                .contains("follows its end")
        );
        assert!(parse("5").message.contains("Invalid type"));
        let nameless = Request::read(br#"{"model": "", "messages": []}"#).unwrap_err();
        assert!(nameless.message.contains("must provide a model"));
        assert_eq!(parse("{}").param.as_deref(), Some("model"));
    }
}
