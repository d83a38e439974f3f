//! A result's JSON on its way to an HTTP client: written once by the tool, put into the reply as it is.
//!
//! A result stands in a reply twice, as text and as an object. rmcp would have both written from a tree of values; for a page of items,
//! making that tree, writing it three times and dropping it took a third of the server's processor time. So over HTTP the result is left
//! in a [`Place`], rmcp writes the reply around an empty text and an object that is not there, and [`filled`] puts the result into them.

use std::sync::{Arc, OnceLock};

/// How rmcp writes an empty text, and an object that is not there. Neither can stand within a string: there its quotes have backslashes.
const EMPTY_TEXT: &[u8] = b"\"text\":\"\"";
const NO_OBJECT: &[u8] = b"\"structuredContent\":null";

/// Where the handler of one HTTP request leaves its result for the door.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place(Arc<OnceLock<String>>);

impl Place {
    /// Leaves the result.
    ///
    /// # Errors
    /// The result, when something has been left already.
    pub(crate) fn leave(&self, json: String) -> Result<(), String> {
        self.0.set(json)
    }

    /// What was left.
    pub(crate) fn left(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

/// The reply with the result in both spots. `None` when the spots are not there: something else was answered than the result. Pure.
pub(crate) fn filled(around: &[u8], json: &str) -> Option<Vec<u8>> {
    let text_at = find(around, EMPTY_TEXT)? + EMPTY_TEXT.len() - 2;
    let (before, rest) = (around.get(..text_at)?, around.get(text_at + 2..)?);
    let object_at = find(rest, NO_OBJECT)? + NO_OBJECT.len() - 4;
    let (between, after) = (rest.get(..object_at)?, rest.get(object_at + 4..)?);
    // The text has a backslash before each quote, about an eighth of it.
    let mut whole = Vec::with_capacity(around.len() + json.len() * 2 + json.len() / 4);
    whole.extend_from_slice(before);
    serde_json::to_writer(&mut whole, json).ok()?;
    whole.extend_from_slice(between);
    whole.extend_from_slice(json.as_bytes());
    whole.extend_from_slice(after);
    Some(whole)
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_spot_within_a_string_is_none() {
        let hostile = serde_json::json!(r#""text":"","structuredContent":null"#).to_string();
        assert_eq!(
            filled(
                format!(r#"{{"id":{hostile},"error":{{"code":-32603}}}}"#).as_bytes(),
                "{}"
            ),
            None
        );
        let around = format!(
            r#"{{"id":{hostile},"result":{{"content":[{{"type":"text","text":""}}],"structuredContent":null,"isError":false}}}}"#
        );
        let json = format!(r#"{{"summary":{hostile}}}"#);
        let text = serde_json::json!(json);
        assert_eq!(
            String::from_utf8(filled(around.as_bytes(), &json).unwrap()).unwrap(),
            format!(
                r#"{{"id":{hostile},"result":{{"content":[{{"type":"text","text":{text}}}],"structuredContent":{json},"isError":false}}}}"#
            )
        );
    }
}
