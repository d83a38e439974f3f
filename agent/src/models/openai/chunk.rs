//! What a provider writes, piece by piece, merged to one answer. Providers differ in everything the specification does not enforce, so
//! nothing here is required to be there or to be of a type; what cannot be an answer fails at the end.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use super::failure::Failure;
use super::names::Names;
use crate::models::{ModelAnswer, ToolCall};

/// Longest text of one answer, bytes.
pub(super) const TEXT_BYTES_MAX: usize = 64 * 1024;
/// Most calls of one answer.
pub(super) const CALLS_MAX: usize = 100;
/// Longest arguments of all calls of one answer, bytes.
pub(super) const ARGUMENT_BYTES_MAX: usize = 256 * 1024;
/// Longest id of a call that is kept. It becomes part of the key under which the call is made.
const ID_CHARACTERS_MAX: usize = 40;
/// Longest name of a tool that is kept; a longer one is nobody's.
const NAME_CHARACTERS_MAX: usize = 128;

/// One event of a stream, or a whole answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(super) struct Chunk(pub(super) Value);

/// An answer while it is being written.
#[derive(Debug, Default)]
pub(super) struct Written {
    text: String,
    calls: Vec<Call>,
    /// Which call the last piece belonged to.
    last: Option<usize>,
    argument_bytes: usize,
    finish: Option<String>,
    input_tokens: u64,
    output_tokens: u64,
}

#[derive(Debug, Default)]
struct Call {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
}

impl Call {
    fn is_whole(&self) -> bool {
        serde_json::from_str::<serde::de::IgnoredAny>(&self.arguments).is_ok()
    }
}

impl Written {
    /// The provider has said why it stopped: what may follow is no part of the answer but its usage.
    pub(super) fn is_finished(&self) -> bool {
        self.finish.is_some()
    }

    /// Takes the next piece in and returns what is new of the text.
    pub(super) fn take(&mut self, chunk: &Value) -> Result<Option<String>, Failure> {
        if let Some(failure) = Failure::of_object(chunk) {
            return Err(failure);
        }
        self.count(
            chunk
                .get("usage")
                .or_else(|| chunk.pointer("/x_groq/usage")),
        );
        let Some(choice) = chunk.pointer("/choices/0") else {
            return Ok(None);
        };
        if let Some(failure) = Failure::of_object(choice) {
            return Err(failure);
        }
        let said = ["delta", "message"]
            .into_iter()
            .filter_map(|name| choice.get(name))
            .find(|said| said.is_object());
        let mut piece = None;
        // A gateway that repeats the whole message at the end of a stream adds nothing to it.
        if let Some(said) = said.filter(|_| !self.repeats(choice)) {
            piece = self.say(said)?;
            for entry in list(said.get("tool_calls")) {
                self.call(entry)?;
            }
        }
        let finish = choice.get("finish_reason").and_then(Value::as_str);
        if let Some(reason) = finish.filter(|r| !r.is_empty() && *r != "null") {
            self.finish = Some(reason.to_lowercase());
        }
        Ok(piece)
    }

    fn repeats(&self, choice: &Value) -> bool {
        let whole = !choice.get("delta").is_some_and(Value::is_object);
        whole && !(self.text.is_empty() && self.calls.is_empty())
    }

    fn say(&mut self, said: &Value) -> Result<Option<String>, Failure> {
        let mut piece = String::new();
        for name in ["content", "refusal"] {
            for part in list(said.get(name)) {
                piece.push_str(&words(part));
            }
        }
        // Postgres cannot store it, and nobody can read it.
        piece.retain(|c| c != '\0');
        if piece.is_empty() {
            return Ok(None);
        }
        self.text.push_str(&piece);
        if self.text.len() > TEXT_BYTES_MAX {
            return Err(Failure::passing("the answer's text is too long"));
        }
        Ok(Some(piece))
    }

    /// Takes in a piece of a call: the beginning of a new one, or more of one that is open.
    fn call(&mut self, entry: &Value) -> Result<(), Failure> {
        let text = |value: Option<&Value>| {
            let text = value.and_then(Value::as_str).unwrap_or_default();
            text.replace('\0', "")
        };
        let index = entry.get("index").and_then(Value::as_u64);
        let id = text(entry.get("id"));
        let function = entry.get("function").unwrap_or(entry);
        let name = text(function.get("name"));
        let arguments = arguments_text(function.get("arguments"));
        let at = match self.continues(index, &id, &name, &arguments) {
            Some(at) => at,
            None if self.calls.len() >= CALLS_MAX => {
                return Err(Failure::passing("the answer has too many calls"));
            }
            None => {
                self.calls.push(Call {
                    index,
                    ..Call::default()
                });
                self.calls.len() - 1
            }
        };
        self.last = Some(at);
        let call = &mut self.calls[at];
        if call.id.is_empty() {
            call.id = id;
        }
        if call.name != name {
            // Some split the name as well; nobody sends a second one for the same call.
            call.name.push_str(&name);
        }
        self.argument_bytes += arguments.len();
        call.arguments.push_str(&arguments);
        if self.argument_bytes > ARGUMENT_BYTES_MAX || call.name.len() > ARGUMENT_BYTES_MAX {
            return Err(Failure::passing("the calls' arguments are too long"));
        }
        Ok(())
    }

    /// The open call a piece belongs to; none when it begins a new one.
    fn continues(
        &self,
        index: Option<u64>,
        id: &str,
        name: &str,
        arguments: &str,
    ) -> Option<usize> {
        if index.is_none()
            && !id.is_empty()
            && let Some(same) = self.calls.iter().rposition(|c| c.id == id)
        {
            // Some give every call the same id: one that is complete is not gone on with by another name or other arguments.
            let call = &self.calls[same];
            let another =
                !name.is_empty() && call.is_whole() && (name != call.name || !arguments.is_empty());
            return (!another).then_some(same);
        }
        let indexed = index.map(|i| self.calls.iter().rposition(|c| c.index == Some(i)));
        let at = match indexed {
            Some(Some(at)) => at,
            Some(None) if !name.is_empty() => return None,
            Some(None) | None => self.last?,
        };
        let call = &self.calls[at];
        let another_id = !id.is_empty() && !call.id.is_empty() && id != call.id;
        let same_id = !id.is_empty() && id == call.id;
        let begins_anew = if another_id {
            // Some invent an id per piece: with an index, only a name tells a new call.
            index.is_none() || !name.is_empty()
        } else if name.is_empty() || same_id || call.name.is_empty() {
            false
        } else if name == call.name {
            // The name said again: the same call, unless that is complete and another begins.
            !arguments.is_empty() && call.is_whole()
        } else {
            index.is_none() || !call.arguments.is_empty()
        };
        (!begins_anew).then_some(at)
    }

    fn count(&mut self, usage: Option<&Value>) {
        let Some(usage) = usage.filter(|u| u.is_object()) else {
            return;
        };
        // Counted up from piece to piece by some, said once by others: the highest is what was used.
        let tokens = |name: &str| usage.get(name).map_or(0, whole_number);
        self.input_tokens = self.input_tokens.max(tokens("prompt_tokens"));
        self.output_tokens = self.output_tokens.max(tokens("completion_tokens"));
    }

    /// The answer, once nothing more comes.
    pub(super) fn into_answer(self, model: &str, names: &Names) -> Result<ModelAnswer, Failure> {
        let Some(finish) = self.finish.as_deref() else {
            return Err(Failure::passing("the answer ended without a finish reason"));
        };
        if finish == "error" {
            return Err(Failure::passing("the provider stopped with an error"));
        }
        if self.text.trim().is_empty() && self.calls.is_empty() {
            return Err(match finish {
                "content_filter" => Failure::refused("the provider's content filter said nothing"),
                _ => Failure::passing(format!("the answer says nothing ({finish})")),
            });
        }
        let cut = matches!(finish, "length" | "content_filter");
        if cut && !self.calls.iter().all(Call::is_whole) {
            return Err(Failure::passing(format!(
                "the answer was cut in the middle of a call ({finish})"
            )));
        }
        let calls = self.calls.into_iter().map(|c| tool_call(c, names));
        Ok(ModelAnswer {
            calls: calls.collect::<Result<_, _>>()?,
            text: self.text,
            note: None,
            model: model.to_owned(),
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
        })
    }
}

fn tool_call(call: Call, names: &Names) -> Result<ToolCall, Failure> {
    if call.name.is_empty() {
        return Err(Failure::passing("the answer has a call without a name"));
    }
    let name: String = call.name.chars().take(NAME_CHARACTERS_MAX).collect();
    let fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    let id_is_fit = call.id.len() <= ID_CHARACTERS_MAX && call.id.chars().all(fit);
    Ok(ToolCall {
        // The engine gives an id to a call that has none.
        id: if id_is_fit { call.id } else { String::new() },
        tool: names.own_name(&name),
        arguments: arguments(call.arguments),
    })
}

/// The arguments as JSON. What is none is kept as text: the check of the call then tells the model.
fn arguments(text: String) -> Value {
    if text.trim().is_empty() {
        return Value::Object(serde_json::Map::new());
    }
    let value = match serde_json::from_str::<Value>(&text) {
        Ok(Value::Null) => return Value::Object(serde_json::Map::new()),
        // Written twice.
        Ok(Value::String(inner)) => match serde_json::from_str::<Value>(&inner) {
            Ok(object @ Value::Object(_)) => object,
            Ok(_) | Err(_) => Value::String(inner),
        },
        Ok(value) => value,
        Err(_) => Value::String(text),
    };
    without_nul(value)
}

/// Without the one character Postgres cannot store.
fn without_nul(value: Value) -> Value {
    match value {
        Value::String(mut text) => {
            text.retain(|c| c != '\0');
            Value::String(text)
        }
        Value::Array(list) => list.into_iter().map(without_nul).collect(),
        Value::Object(map) => map
            .into_iter()
            .map(|(name, value)| (name.replace('\0', ""), without_nul(value)))
            .collect(),
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_)) => plain,
    }
}

fn arguments_text(value: Option<&Value>) -> Cow<'_, str> {
    match value {
        None | Some(Value::Null) => Cow::Borrowed(""),
        Some(Value::String(text)) => Cow::Borrowed(text),
        Some(written) => Cow::Owned(written.to_string()),
    }
}

/// The words of a content part; thoughts and pictures are none.
fn words(part: &Value) -> Cow<'_, str> {
    match part {
        Value::String(text) => Cow::Borrowed(text),
        Value::Object(map) => {
            let kind = map.get("type").and_then(Value::as_str).unwrap_or("text");
            let text = map.get("text").and_then(Value::as_str);
            match (kind, text) {
                ("text" | "output_text", Some(text)) => Cow::Borrowed(text),
                _ => Cow::Borrowed(""),
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => Cow::Borrowed(""),
    }
}

/// The entries of a list, or the one thing that stands where a list should.
fn list(value: Option<&Value>) -> &[Value] {
    match value {
        Some(Value::Array(entries)) => entries,
        Some(one) => std::slice::from_ref(one),
        None => &[],
    }
}

fn whole_number(value: &Value) -> u64 {
    value
        .as_u64()
        .or_else(|| value.to_string().split('.').next()?.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn merged(chunks: &[Value]) -> Result<ModelAnswer, String> {
        let mut written = Written::default();
        for chunk in chunks {
            written.take(chunk).map_err(|f| f.cause)?;
        }
        written
            .into_answer("m", &Names::default())
            .map_err(|f| f.cause)
    }

    /// A chunk whose delta has these calls.
    fn calls(entries: &Value) -> Value {
        json!({"choices": [{"delta": {"tool_calls": entries}}]})
    }

    fn says(content: &Value) -> Value {
        json!({"choices": [{"delta": {"content": content}}]})
    }

    fn ends(reason: &str) -> Value {
        json!({"choices": [{"delta": {}, "finish_reason": reason}]})
    }

    #[test]
    fn pieces_of_calls_are_merged_however_they_are_marked() {
        let shapes: Vec<Value> = serde_json::from_str(include_str!("shapes.json")).unwrap();
        assert!(shapes.len() > 20);
        for shape in shapes {
            let pieces = shape["pieces"].as_array().unwrap();
            let mut chunks: Vec<Value> = pieces.iter().map(|p| calls(&json!([p]))).collect();
            chunks.push(ends("tool_calls"));
            let answer = merged(&chunks).unwrap();
            let made = answer.calls.iter();
            let made: Vec<Value> = made.map(|c| json!([c.tool, c.id, c.arguments])).collect();
            assert_eq!(json!(made), shape["calls"], "{}", shape["shape"]);
        }
    }

    #[test]
    fn texts_are_read_in_every_shape_and_thoughts_are_not() {
        for (shape, chunks) in [
            ("texts", vec![says(&json!("Three ")), says(&json!("kg."))]),
            (
                "parts",
                vec![says(
                    &json!([{"type": "text", "text": "Three "}, {"type": "thinking", "text": "hm"}, {"text": "kg."}]),
                )],
            ),
            (
                "nulls",
                vec![
                    says(&Value::Null),
                    says(&json!("Three kg.")),
                    says(&json!("")),
                ],
            ),
            (
                "thoughts",
                vec![
                    json!({"choices": [{"delta": {"role": "assistant", "reasoning_content": "Let me see"}}]}),
                    says(&json!("Three kg.")),
                ],
            ),
            (
                "odd members",
                vec![
                    json!({"id": 7, "created": 1.5, "service_tier": "on_demand", "system_fingerprint": null, "choices": [{"index": 0.0, "delta": {"content": "Three kg."}, "finish_reason": null}]}),
                    json!({"choices": [], "usage": null}),
                    json!({"choices": null}),
                    json!({}),
                ],
            ),
            (
                "a refusal",
                vec![json!({"choices": [{"delta": {"content": null, "refusal": "Three kg."}}]})],
            ),
            (
                "empty finish reasons",
                vec![
                    json!({"choices": [{"delta": {"content": "Three kg."}, "finish_reason": ""}]}),
                    json!({"choices": [{"delta": {}, "finish_reason": "null"}]}),
                ],
            ),
        ] {
            for reason in [
                "stop",
                "eos",
                "STOP",
                "length",
                "tool_calls",
                "something_new",
            ] {
                let mut chunks = chunks.clone();
                chunks.push(ends(reason));
                assert_eq!(
                    merged(&chunks).unwrap().text,
                    "Three kg.",
                    "{shape}, {reason}"
                );
            }
        }
    }

    #[test]
    fn a_whole_message_is_read_and_not_twice() {
        let whole = json!({"choices": [{"delta": null, "message": {"content": "Three kg."}}]});
        let alone = [whole.clone(), ends("stop")];
        assert_eq!(merged(&alone).unwrap().text, "Three kg.");
        let after = [says(&json!("Three kg.")), whole, ends("stop")];
        assert_eq!(merged(&after).unwrap().text, "Three kg.");
    }

    #[test]
    fn usage_is_counted_once_wherever_it_comes() {
        for usage in [
            json!({"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 5}}),
            json!({"usage": {"prompt_tokens": 12.0, "completion_tokens": 5.0, "queue_time": 0.1}}),
            json!({"x_groq": {"usage": {"prompt_tokens": 12, "completion_tokens": 5}}}),
        ] {
            let early =
                json!({"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 1}});
            let answer = merged(&[says(&json!("a")), early, ends("stop"), usage]).unwrap();
            assert_eq!((answer.input_tokens, answer.output_tokens), (12, 5));
        }
    }

    #[test]
    fn what_cannot_be_an_answer_fails() {
        let begun = |name: &str, arguments: &str| {
            calls(
                &json!([{"index": 0, "id": "a", "function": {"name": name, "arguments": arguments}}]),
            )
        };
        let flood = |n: usize, arguments: &str| {
            let entry = |i: usize| json!({"index": i, "id": i.to_string(), "function": {"name": "list", "arguments": arguments}});
            calls(&(0..n).map(entry).collect())
        };
        for (chunks, cause) in [
            (vec![], "without a finish reason"),
            (vec![says(&json!("Three"))], "without a finish reason"),
            (vec![ends("stop")], "says nothing"),
            (vec![says(&json!(" \n")), ends("stop")], "says nothing"),
            (vec![ends("content_filter")], "content filter said nothing"),
            (
                vec![says(&json!("a")), ends("error")],
                "stopped with an error",
            ),
            (
                vec![begun("list", "{\"q\":"), ends("length")],
                "cut in the middle of a call",
            ),
            (vec![begun("", "{}"), ends("tool_calls")], "without a name"),
            (
                vec![json!({"error": {"message": "overloaded"}})],
                "overloaded",
            ),
            (
                vec![json!({"choices": [{"error": {"message": "upstream", "code": 502}}]})],
                "upstream",
            ),
            (
                vec![says(&json!("x".repeat(TEXT_BYTES_MAX + 1)))],
                "too long",
            ),
            (vec![flood(CALLS_MAX + 1, "")], "too many calls"),
            (
                vec![flood(3, &"x".repeat(ARGUMENT_BYTES_MAX / 2))],
                "too long",
            ),
        ] {
            let told = merged(&chunks).unwrap_err();
            assert!(told.contains(cause), "{told} instead of {cause}");
        }
    }

    #[test]
    fn a_length_that_cut_nothing_in_two_is_an_answer() {
        let whole = calls(
            &json!([{"index": 0, "id": "a", "function": {"name": "list", "arguments": "{}"}}]),
        );
        assert_eq!(merged(&[whole, ends("length")]).unwrap().calls.len(), 1);
    }

    /// JSON of any shape, made of the words a chunk is made of.
    fn anything() -> impl Strategy<Value = Value> {
        let words = "choices delta message tool_calls index id function name arguments content \
            finish_reason usage error code type text prompt_tokens object detail refusal stop {} a\0b";
        let words: Vec<&str> = words.split_whitespace().collect();
        let word = prop::sample::select(words);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            word.clone().prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 40, 6, move |inner| {
            let member = (word.clone().prop_map(str::to_owned), inner.clone());
            let members = prop::collection::vec(member, 0..6);
            prop_oneof![
                prop::collection::vec(inner, 0..4).prop_map(Value::from),
                members.prop_map(|m| m.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn nothing_a_provider_writes_breaks_the_reader(delta in prop::collection::vec(anything(), 0..8), whole in anything()) {
            let mut chunks = Vec::new();
            for any in delta {
                chunks.push(calls(&json!([any])));
                chunks.push(json!({"choices": [{"delta": any}]}));
            }
            chunks.push(whole);
            chunks.push(ends("stop"));
            if let Ok(answer) = merged(&chunks) {
                prop_assert!(!answer.text.trim().is_empty() || !answer.calls.is_empty());
                let written = serde_json::to_string(&answer).unwrap();
                prop_assert!(!written.contains("\\u0000"), "{written}");
                prop_assert!(answer.calls.iter().all(|c| !c.tool.is_empty() && c.id.len() <= ID_CHARACTERS_MAX));
            }
        }
    }
}
