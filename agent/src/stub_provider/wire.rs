//! Chat Completions as `OpenAI` writes them: chunks of a stream, whole answers, errors.

use serde_json::{Value, json};

use super::request::Invalid;

/// Characters of arguments per chunk.
const ARGUMENT_PIECE_CHARS: usize = 12;

/// How an answer is written. The default is how `OpenAI` writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one way in which providers differ, on its own"
)]
pub(super) struct Shape {
    pub(super) call_index: bool,
    pub(super) call_id: bool,
    /// Arguments are text.
    pub(super) arguments_as_text: bool,
    /// It ends with a finish reason and `[DONE]`.
    pub(super) finish: bool,
    /// Harmless things nobody documented.
    pub(super) odd_fields: bool,
}

impl Default for Shape {
    fn default() -> Shape {
        Shape {
            call_index: true,
            call_id: true,
            arguments_as_text: true,
            finish: true,
            odd_fields: false,
        }
    }
}

/// A call as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SentCall {
    pub(super) id: String,
    pub(super) name: String,
    /// JSON, unless something is wrong with it.
    pub(super) arguments: String,
}

/// An answer about to be written.
#[derive(Debug, Clone)]
pub(super) struct Completion {
    pub(super) id: String,
    /// Unix seconds.
    pub(super) created: i64,
    pub(super) model: String,
    pub(super) text: String,
    pub(super) calls: Vec<SentCall>,
    pub(super) prompt_tokens: u64,
    pub(super) include_usage: bool,
    pub(super) shape: Shape,
}

impl Completion {
    /// Server-sent events, as for `"stream": true`.
    pub(super) fn stream(&self) -> String {
        let chunks = Chunks::new(self);
        let mut out = String::with_capacity(4096);
        if self.shape.odd_fields {
            out.push_str(": PROCESSING\n\n");
        }
        let content = (!self.text.is_empty() || self.calls.is_empty()).then_some("");
        chunks.delta(
            &mut out,
            &json!({"role": "assistant", "content": content, "refusal": null}),
        );
        if self.shape.odd_fields {
            let thought = json!({"reasoning_content": "The person wants something."});
            chunks.delta(&mut out, &thought);
            out.push_str(": still here\n\n");
        }
        for piece in self.text.split_inclusive(char::is_whitespace) {
            chunks.delta(&mut out, &json!({ "content": piece }));
        }
        for (index, call) in self.calls.iter().enumerate() {
            self.stream_call(&chunks, &mut out, index, call);
        }
        if self.shape.finish {
            chunks.finish(&mut out, self.finish_reason());
            if self.include_usage {
                chunks.usage(&mut out, &self.usage());
            }
            out.push_str("data: [DONE]\n\n");
        }
        out
    }

    fn stream_call(&self, chunks: &Chunks, out: &mut String, index: usize, call: &SentCall) {
        let shape = self.shape;
        let send = |out: &mut String, mut part: Value| {
            if shape.call_index {
                part["index"] = json!(index);
            }
            chunks.delta(out, &json!({ "tool_calls": [part] }));
        };
        let mut head =
            json!({"type": "function", "function": {"name": call.name, "arguments": ""}});
        if shape.call_id {
            head["id"] = json!(call.id);
        }
        if !shape.arguments_as_text {
            head["function"]["arguments"] = as_object(&call.arguments);
            send(out, head);
            return;
        }
        send(out, head);
        for piece in pieces(&call.arguments, ARGUMENT_PIECE_CHARS) {
            send(out, json!({"function": {"arguments": piece}}));
        }
    }

    /// One JSON object, as without `stream`.
    pub(super) fn whole(&self) -> String {
        let mut message =
            json!({"role": "assistant", "content": self.text, "refusal": null, "annotations": []});
        if self.text.is_empty() && !self.calls.is_empty() {
            message["content"] = Value::Null;
        }
        if !self.calls.is_empty() {
            let calls: Vec<Value> = self
                .calls
                .iter()
                .map(|call| self.whole_call(call))
                .collect();
            message["tool_calls"] = json!(calls);
        }
        if self.shape.odd_fields {
            message["reasoning_content"] = json!("The person wants something.");
        }
        let finish = self.shape.finish.then(|| self.finish_reason());
        let mut answer = json!({
            "id": self.id, "object": "chat.completion", "created": self.created, "model": self.model,
            "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish}],
            "usage": self.usage(), "service_tier": "default", "system_fingerprint": "fp_stub",
        });
        if self.shape.odd_fields {
            odd(&mut answer, self.created);
        }
        answer.to_string()
    }

    fn whole_call(&self, call: &SentCall) -> Value {
        let arguments = if self.shape.arguments_as_text {
            json!(call.arguments)
        } else {
            as_object(&call.arguments)
        };
        let mut sent =
            json!({"type": "function", "function": {"name": call.name, "arguments": arguments}});
        if self.shape.call_id {
            sent["id"] = json!(call.id);
        }
        sent
    }

    fn finish_reason(&self) -> &'static str {
        match (self.shape.odd_fields, self.calls.is_empty()) {
            (true, _) => "eos",
            (false, true) => "stop",
            (false, false) => "tool_calls",
        }
    }

    /// Tokens, at four bytes each.
    fn usage(&self) -> Value {
        let calls = self.calls.iter().map(|c| c.name.len() + c.arguments.len());
        let completion_tokens = (self.text.len() + calls.sum::<usize>()).div_ceil(4) as u64;
        json!({
            "prompt_tokens": self.prompt_tokens, "completion_tokens": completion_tokens,
            "total_tokens": self.prompt_tokens + completion_tokens,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0, "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0},
        })
    }
}

/// What all chunks of an answer share, written once.
struct Chunks {
    /// Up to the choices.
    head: String,
    /// After the choices, but for the last bracket.
    usage: &'static str,
}

impl Chunks {
    fn new(completion: &Completion) -> Chunks {
        let mut head = json!({
            "id": completion.id, "object": "chat.completion.chunk", "created": completion.created, "model": completion.model,
            "service_tier": "default", "system_fingerprint": "fp_stub",
        });
        if completion.shape.odd_fields {
            odd(&mut head, completion.created);
        }
        let mut head = head.to_string();
        head.pop();
        Chunks {
            head,
            usage: if completion.include_usage {
                ",\"usage\":null"
            } else {
                ""
            },
        }
    }

    fn delta(&self, out: &mut String, delta: &Value) {
        self.choice(out, delta, "null");
    }

    fn finish(&self, out: &mut String, reason: &str) {
        self.choice(out, &json!({}), &format!("\"{reason}\""));
    }

    fn choice(&self, out: &mut String, delta: &Value, finish: &str) {
        let Chunks { head, usage } = self;
        out.push_str(&format!(
            "data: {head},\"choices\":[{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{finish}}}]{usage}}}\n\n"
        ));
    }

    /// The chunk after the last one: no choices.
    fn usage(&self, out: &mut String, usage: &Value) {
        let head = &self.head;
        out.push_str(&format!(
            "data: {head},\"choices\":[],\"usage\":{usage}}}\n\n"
        ));
    }
}

/// Things at the top level that some provider somewhere writes so.
fn odd(object: &mut Value, created: i64) {
    let half_past = format!("{created}.5").parse::<serde_json::Number>();
    object["created"] = half_past.map_or(Value::Null, Value::Number);
    object["service_tier"] = json!("on_demand");
    object["x_provider"] = json!({"region": "somewhere", "cost": 0.1});
}

fn as_object(arguments: &str) -> Value {
    serde_json::from_str(arguments).unwrap_or_else(|_| json!(arguments))
}

/// A text in pieces of so many characters.
fn pieces(text: &str, chars: usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest
            .char_indices()
            .nth(chars)
            .map_or(rest.len(), |(at, _)| at);
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(piece)
    })
}

/// An error object.
pub(super) fn error(message: &str, kind: &str, param: Option<&str>, code: &Value) -> String {
    json!({"error": {"message": message, "type": kind, "param": param, "code": code}}).to_string()
}

/// The error object of a request that is refused.
pub(super) fn refusal(invalid: &Invalid) -> String {
    error(
        &invalid.message,
        "invalid_request_error",
        invalid.param.as_deref(),
        &json!(invalid.code),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completion() -> Completion {
        let call = |id: &str, arguments: &str| SentCall {
            id: id.to_owned(),
            name: "look".to_owned(),
            arguments: arguments.to_owned(),
        };
        Completion {
            id: "chatcmpl-1".to_owned(),
            created: 1_795_000_000,
            model: "m".to_owned(),
            text: "One moment: ".to_owned(),
            calls: vec![call("a", "{\"item\":\"crème brûlée\"}"), call("b", "{}")],
            prompt_tokens: 100,
            include_usage: true,
            shape: Shape::default(),
        }
    }

    fn events(stream: &str) -> Vec<Value> {
        let data = stream.lines().filter_map(|l| l.strip_prefix("data: "));
        data.filter(|d| *d != "[DONE]")
            .map(|d| serde_json::from_str(d).unwrap())
            .collect()
    }

    /// What a client puts together from the deltas.
    fn merged(events: &[Value]) -> (String, Vec<(String, String, String)>) {
        let mut text = String::new();
        let mut calls: Vec<(String, String, String)> = Vec::new();
        for event in events {
            let delta = &event["choices"][0]["delta"];
            text.push_str(delta["content"].as_str().unwrap_or_default());
            for part in delta["tool_calls"].as_array().into_iter().flatten() {
                let index = usize::try_from(part["index"].as_u64().unwrap()).unwrap();
                if index == calls.len() {
                    let own = |v: &Value| v.as_str().unwrap().to_owned();
                    calls.push((
                        own(&part["id"]),
                        own(&part["function"]["name"]),
                        String::new(),
                    ));
                    assert_eq!(part["type"], "function");
                }
                calls[index]
                    .2
                    .push_str(part["function"]["arguments"].as_str().unwrap());
            }
        }
        (text, calls)
    }

    #[test]
    fn a_stream_says_what_the_whole_answer_says() {
        let completion = completion();
        let stream = completion.stream();
        let whole: Value = serde_json::from_str(&completion.whole()).unwrap();
        let events = events(&stream);
        let (text, calls) = merged(&events);
        let message = &whole["choices"][0]["message"];
        assert_eq!(message["content"], text);
        assert_eq!(calls.len(), 2);
        for (call, whole) in calls.iter().zip(message["tool_calls"].as_array().unwrap()) {
            assert_eq!(
                *whole,
                json!({"id": call.0, "type": "function", "function": {"name": call.1, "arguments": call.2}})
            );
        }
        assert_eq!(calls[0].2, "{\"item\":\"crème brûlée\"}");
        assert_eq!(whole["choices"][0]["finish_reason"], "tool_calls");
        assert_eq!(whole["object"], "chat.completion");
        let last = events.last().unwrap();
        assert_eq!(last["choices"], json!([]));
        assert_eq!(last["usage"], whole["usage"]);
        assert_eq!(
            last["usage"]["total_tokens"],
            100 + last["usage"]["completion_tokens"].as_u64().unwrap()
        );
        assert!(stream.ends_with("data: [DONE]\n\n"));
    }

    #[test]
    fn chunks_are_formed_as_openai_forms_them() {
        let events = events(&completion().stream());
        let first = &events[0];
        assert_eq!(
            first["choices"][0]["delta"]["role"], "assistant",
            "the role comes first"
        );
        for event in &events[..events.len() - 1] {
            assert_eq!(event["object"], "chat.completion.chunk");
            assert_eq!(event["usage"], Value::Null);
            assert_eq!(
                (&event["id"], &event["created"]),
                (&first["id"], &first["created"])
            );
        }
        let finish = &events[events.len() - 2]["choices"][0];
        assert_eq!(
            (&finish["delta"], &finish["finish_reason"]),
            (&json!({}), &json!("tool_calls"))
        );
        let calls: Vec<&Value> = events
            .iter()
            .map(|e| &e["choices"][0]["delta"]["tool_calls"][0])
            .filter(|c| c.is_object())
            .collect();
        assert!(
            calls.iter().filter(|c| c.get("id").is_some()).count() == 2,
            "an id comes once per call"
        );
        assert!(calls.len() > 4, "arguments come in pieces");

        let plain = Completion {
            calls: Vec::new(),
            include_usage: false,
            ..completion()
        };
        let events = super::tests::events(&plain.stream());
        assert!(events.iter().all(|e| e.get("usage").is_none()));
        assert_eq!(
            events.last().unwrap()["choices"][0]["finish_reason"],
            "stop"
        );
    }

    #[test]
    fn shapes_differ_in_one_thing_each() {
        let shaped = |change: fn(&mut Shape)| {
            let mut completion = completion();
            change(&mut completion.shape);
            (completion.stream(), completion.whole())
        };
        let call = |stream: &str| {
            let events = events(stream);
            events
                .iter()
                .map(|e| e["choices"][0]["delta"]["tool_calls"][0].clone())
                .find(Value::is_object)
                .unwrap()
        };
        let (stream, _) = shaped(|s| s.call_index = false);
        assert!(call(&stream).get("index").is_none() && call(&stream)["id"] == "a");
        let (stream, whole) = shaped(|s| s.call_id = false);
        assert!(call(&stream).get("id").is_none() && call(&stream)["index"] == 0);
        assert!(!whole.contains("\"id\":\"a\""));
        let (stream, whole) = shaped(|s| s.arguments_as_text = false);
        assert!(call(&stream)["function"]["arguments"].is_object());
        assert!(whole.contains("\"arguments\":{"));
        let (stream, whole) = shaped(|s| s.finish = false);
        assert!(!stream.contains("[DONE]") && !stream.contains("\"finish_reason\":\""));
        assert!(whole.contains("\"finish_reason\":null"));
        let (stream, whole) = shaped(|s| s.odd_fields = true);
        for text in [stream, whole] {
            assert!(
                text.contains("1795000000.5")
                    && text.contains("\"eos\"")
                    && text.contains("reasoning_content"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_text_is_the_sum_of_its_pieces() {
        for text in [
            "",
            "a",
            "añb",
            "0123456789ab",
            "0123456789abc",
            "ÄÖÜ äöü €€€€€€€€",
        ] {
            assert_eq!(pieces(text, 12).collect::<String>(), text);
            assert!(pieces(text, 12).all(|p| (1..=12).contains(&p.chars().count())));
        }
    }
}
