//! A result's JSON on its way to an HTTP client: written once by the tool, put into the reply as it is.
//!
//! A result stands in a reply twice, as an object and as text. rmcp would have both written from a tree of values; for a page of items,
//! making that tree, writing it three times and dropping it took a third of the server's processor time. So over HTTP a result is left
//! here, rmcp writes the reply around two empty places, and the text is put into them.

use std::sync::{Arc, OnceLock};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use rmcp::model::{CallToolResult, ContentBlock};
use rmcp::service::{RequestContext, RoleServer};
use serde_json::Value;

/// Largest reply around the places, bytes: protocol, names of the server, metadata.
const AROUND_BYTES_MAX: usize = 256 * 1024;
/// How rmcp writes an empty text, and an object that is not there. Neither can stand within a string: there its quotes have backslashes.
const EMPTY_TEXT: &[u8] = b"\"text\":\"\"";
const EMPTY_OBJECT: &[u8] = b"\"structuredContent\":null";

/// Where the handler of one HTTP request leaves its result.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place(Arc<OnceLock<String>>);

impl Place {
    /// The place of the request that is being answered; there is none on stdio.
    pub(crate) fn of(context: &RequestContext<RoleServer>) -> Option<&Place> {
        let parts = context.extensions.get::<http::request::Parts>()?;
        parts.extensions.get::<Place>()
    }
}

/// A result for rmcp: around the places over HTTP, whole where there are none.
pub(crate) fn result(json: String, place: Option<&Place>) -> CallToolResult {
    let left = match place {
        Some(place) => place.0.set(json),
        None => Err(json),
    };
    let (text, object) = match left {
        Ok(()) => (String::new(), Value::Null),
        Err(json) => {
            // Our own text; should it not be JSON, the client still has it as text.
            let object = serde_json::from_str(&json).unwrap_or_default();
            (json, object)
        }
    };
    let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
    result.structured_content = Some(object);
    result
}

/// Makes the place, and fills the reply with what was left there.
pub(crate) async fn fill_in(mut request: Request, next: Next) -> Response {
    let place = Place::default();
    request.extensions_mut().insert(place.clone());
    let response = next.run(request).await;
    let Some(json) = place.0.get() else {
        return response;
    };
    let (mut parts, body) = response.into_parts();
    let Ok(around) = to_bytes(body, AROUND_BYTES_MAX).await else {
        tracing::error!("a reply could not be read");
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    let whole = filled(&around, json).map_or(around, Bytes::from);
    Response::from_parts(parts, Body::from(whole))
}

/// The reply with the result in both places. `None` when it has no places: something else was answered than the result. Pure.
fn filled(around: &[u8], json: &str) -> Option<Vec<u8>> {
    let text_at = find(around, EMPTY_TEXT)? + EMPTY_TEXT.len() - 2;
    let (before, rest) = (around.get(..text_at)?, around.get(text_at + 2..)?);
    let object_at = find(rest, EMPTY_OBJECT)? + EMPTY_OBJECT.len() - 4;
    let (between, after) = (rest.get(..object_at)?, rest.get(object_at + 4..)?);
    // The text has a backslash before each quote, an eighth of it.
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
    use rmcp::model::{JsonRpcMessage, RequestId, ServerJsonRpcMessage, ServerResult};
    use serde_json::json;

    use super::*;

    fn reply(result: CallToolResult, id: &str) -> Vec<u8> {
        let result = ServerResult::CallToolResult(result);
        let reply: ServerJsonRpcMessage =
            JsonRpcMessage::response(result, RequestId::String(id.into()));
        serde_json::to_vec(&reply).unwrap()
    }

    #[test]
    fn a_filled_reply_is_the_one_rmcp_would_have_written() {
        let hostile = r#""text":"","structuredContent":null \ "#;
        let json = json!({"summary": hostile, "items": [1, {"text": ""}]}).to_string();
        let place = Place::default();
        let around = reply(result(json.clone(), Some(&place)), hostile);
        let whole = filled(&around, place.0.get().unwrap()).unwrap();
        let whole = String::from_utf8(whole).unwrap();
        assert!(around.len() < 200 + hostile.len() * 2, "no result in it");
        assert_eq!(
            whole,
            String::from_utf8(reply(result(json, None), hostile)).unwrap()
        );
    }

    #[test]
    fn a_reply_without_places_stays_as_it_is() {
        assert_eq!(
            filled(br#"{"id":"\"text\":\"\"","error":{"code":-32603}}"#, "{}"),
            None
        );
    }
}
