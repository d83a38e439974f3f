//! `POST /agent/chat`: a message in, an answer out, whole or as a stream.

mod agui;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use contracts::http::approval::Decision;
use contracts::http::chat::{ChatRequest, ChatResponse};
use contracts::http::problem::{Problem, ProblemCode};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;
use uuid::Uuid;

use super::approvals::{self, Answer};
use super::guard::Caller;
use super::problem::{Refusal, Subject};
use super::read::{self, JsonBody, QueryOf};
use super::stream::{self, ProtocolQuery};
use crate::app::App;
use crate::principal::Principal;
use crate::streams::{Opening, Protocol, Reader};
use crate::turns::{self, NewTurn, Turn, TurnError};

/// Most answers in one AI SDK body; a run has no more calls.
const ANSWERS_MAX: usize = 100;
const BODY_UNREADABLE: &str = "The message is missing or not text. Send {\"message\": \"…\"}, with a session_id if you have one.";
const UI_BODY_UNREADABLE: &str =
    "The messages hold no text of a user and no answer to a question. Send at least one.";

/// What the AI SDK's chat transport sends. Only the last user text and the answers to questions are read: history comes from our own
/// records, so whatever else `messages` claims is ignored.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body; `read_ui` reads it leniently")]
pub struct UiChatRequest {
    /// The chat's id: our session id.
    id: Option<String>,
    /// The messages as the client has them. If the last one is the assistant's and has parts in state `approval-responded`, these answers
    /// are recorded and the run goes on; else the last user text is the message.
    messages: Vec<Value>,
    /// `submit-message` or `regenerate-message`. Both do a message's work once: the same message id and text attach to the run that is
    /// there.
    trigger: Option<String>,
    /// Ignored.
    #[serde(rename = "messageId")]
    message_id: Option<String>,
}

/// Any body.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum ChatBody {
    /// One message.
    Simple(ChatRequest),
    /// The AI SDK's.
    Ui(UiChatRequest),
    /// AG-UI's.
    Agui(agui::AguiRunInput),
}

/// A message, as a body holds it.
#[derive(Debug, PartialEq)]
struct Message {
    session_id: Option<String>,
    message: String,
    /// A key made of what the client names it by, so that its retry attaches.
    key: Option<String>,
}

/// What a body asks for.
#[derive(Debug, PartialEq)]
enum Asked {
    Message(Message),
    Answers(Vec<Answer>),
    /// All answers of an AG-UI run, and what is said after they were all abandoned.
    Resume {
        thread_id: Option<String>,
        entries: Vec<agui::Entry>,
        then: Option<Message>,
    },
}

/// Works on a message, or on the answers in an AI SDK or AG-UI body.
///
/// With `Accept: text/event-stream` or a protocol, and always for an AI SDK or AG-UI body, the answer is streamed. A client that goes away
/// does not cancel the run. What AG-UI has `RUN_ERROR` for, in a body with `resume`, is told by it.
#[utoipa::path(
    post, path = "/agent/chat", tag = "chat",
    params(ProtocolQuery, ("Idempotency-Key" = Option<String>, Header, description = "The same key and message attach to the run that is there. 1 to 255 visible ASCII characters.")),
    request_body = ChatBody,
    responses(
        (status = 200, description = "The answer; a stream where one is wanted.", content((ChatResponse = "application/json"), (String = "text/event-stream"))),
        (status = 400, description = "Malformed JSON, a missing message, a wrong session id, key or protocol, control characters.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Somebody else's conversation or question, or a request of another site.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such question.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The key was used for another message, the question has another answer, or the conversation is busy.", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "The question has lapsed.", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large.", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not JSON.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The message is empty or has more than 2,000 characters.", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many runs at once; see `Retry-After`.", body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "System error.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Postgres or the tool server cannot be reached.", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn chat(
    State(app): State<Arc<App>>,
    Caller(principal): Caller,
    headers: HeaderMap,
    QueryOf(query): QueryOf<ProtocolQuery>,
    JsonBody(body): JsonBody,
) -> Result<Response, Refusal> {
    let named = read::protocol(query.protocol.as_deref())?;
    let answered = serve(&app, &principal, &headers, named, &body).await;
    let is_resume = named.is_none_or(|p| p == Protocol::Agui) && agui::is_resume(&body, named);
    answered.or_else(|refusal| match refusal.code() {
        ProblemCode::InvalidRequest
        | ProblemCode::NotFound
        | ProblemCode::Forbidden
        | ProblemCode::Conflict
        | ProblemCode::Expired
            if is_resume =>
        {
            Ok(stream::run_error(&app, &refusal))
        }
        _ => Err(refusal),
    })
}

async fn serve(
    app: &Arc<App>,
    principal: &Principal,
    headers: &HeaderMap,
    named: Option<Protocol>,
    body: &Value,
) -> Result<Response, Refusal> {
    let (asked, theirs) = read_body(body, named)?;
    let wanted = named.is_some() || read::wants_stream(headers);
    let reader = theirs
        .or_else(|| wanted.then(|| Reader::of(Protocol::default(), Opening::NewMessage)))
        .map(|reader| Reader {
            protocol: named.unwrap_or(reader.protocol),
            ..reader
        });
    match asked {
        Asked::Message(message) => say(app, principal, headers, message, reader).await,
        Asked::Answers(answers) => {
            let turns = record(app, principal, answers, headers).await?;
            let protocol = reader.map(|reader| reader.protocol).unwrap_or_default();
            let reader = Reader::of(protocol, Opening::SameMessage);
            stream::respond(app, principal, turns, reader).await
        }
        Asked::Resume {
            thread_id,
            entries,
            then,
        } => {
            let turns =
                agui::resume(app, principal, thread_id.as_deref(), entries, headers).await?;
            if let Some(message) = then {
                return say(app, principal, headers, message, reader).await;
            }
            let reader = reader.unwrap_or_else(|| Reader::of(Protocol::Agui, Opening::SameMessage));
            stream::respond(app, principal, turns, reader).await
        }
    }
}

/// Works on a message and answers as the reader wants it, or whole where there is no reader of a stream.
async fn say(
    app: &Arc<App>,
    principal: &Principal,
    headers: &HeaderMap,
    message: Message,
    reader: Option<Reader>,
) -> Result<Response, Refusal> {
    let turn = NewTurn {
        session_id: message.session_id,
        message: message.message,
        request_key: read::idempotency_key(headers)?.or(message.key),
        attach_to_same_text: false,
        channel: read::channel(headers),
    };
    let refusal = |error: TurnError| Refusal::from_turn(&error, Subject::Message);
    let turn = turns::begin(app, principal, turn).await.map_err(refusal)?;
    if let Some(reader) = reader {
        return stream::respond(app, principal, vec![turn], reader).await;
    }
    let outcome = turns::outcome(app, principal, &turn).await;
    Ok(Json(outcome.map_err(refusal)?).into_response())
}

/// Records each answer in order. One that is refused after another was taken does not undo it: the stream then tells what became of
/// both.
async fn record(
    app: &Arc<App>,
    principal: &Principal,
    answers: Vec<Answer>,
    headers: &HeaderMap,
) -> Result<Vec<Turn>, Refusal> {
    let via = approvals::via(headers);
    let mut turns = Vec::new();
    let mut refused: Option<TurnError> = None;
    for answer in answers {
        let Answer {
            approval_id,
            decision,
            reason,
        } = answer;
        match turns::answer_and_follow(app, principal, approval_id, decision, reason, via).await {
            Ok(turn) => turns.push(turn),
            Err(error) => {
                tracing::info!(%approval_id, %error, "an answer was not taken");
                refused.get_or_insert(error);
            }
        }
    }
    match refused {
        Some(error) if turns.is_empty() => Err(Refusal::from_turn(&error, Subject::Approval)),
        _ => Ok(turns),
    }
}

/// What a body asks for, and who reads the answer if it says so itself.
fn read_body(body: &Value, named: Option<Protocol>) -> Result<(Asked, Option<Reader>), Refusal> {
    let object = body
        .as_object()
        .ok_or_else(|| Refusal::invalid(BODY_UNREADABLE))?;
    if agui::is_input(object, named) {
        return agui::read_input(object).map(|(asked, reader)| (asked, Some(reader)));
    }
    match (object.get("message"), object.get("messages")) {
        (None, Some(Value::Array(messages))) => {
            let reader = Reader::of(Protocol::UiMessage, Opening::NewMessage);
            read_ui(object, messages).map(|asked| (asked, Some(reader)))
        }
        (Some(Value::String(message)), _) => {
            let message = Message {
                session_id: session_id(object, "session_id")?,
                message: read::message(message)?,
                key: None,
            };
            Ok((Asked::Message(message), None))
        }
        _ => Err(Refusal::invalid(BODY_UNREADABLE)),
    }
}

fn session_id(object: &Map<String, Value>, name: &str) -> Result<Option<String>, Refusal> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(id)) => read::session_id(id.clone()).map(Some),
        // Not text: as wrong as a text of the wrong shape.
        Some(_) => read::session_id(String::new()).map(Some),
    }
}

fn read_ui(object: &Map<String, Value>, messages: &[Value]) -> Result<Asked, Refusal> {
    let session_id = session_id(object, "id")?;
    let is = |message: &Value, role: &str| message["role"] == role;
    if let Some(last) = messages.last().filter(|m| is(m, "assistant")) {
        let answers = answers(last)?;
        if !answers.is_empty() {
            return Ok(Asked::Answers(answers));
        }
    }
    let said = messages.iter().rev().find(|m| is(m, "user"));
    let said = said.ok_or_else(|| Refusal::invalid(UI_BODY_UNREADABLE))?;
    let text = text_of(said);
    // Its id alone is not enough: an edited message keeps it.
    let session = session_id.as_deref().unwrap_or_default();
    let key = said["id"]
        .as_str()
        .map(|id| digest("ui-message", &[session, id, &text]));
    Ok(Asked::Message(Message {
        message: read::message(&text)?,
        key,
        session_id,
    }))
}

/// The text parts of a message, a line each: in `parts`, in `content`, or `content` itself.
fn text_of(message: &Value) -> String {
    let parts = message["parts"].as_array();
    let parts = parts.or_else(|| message["content"].as_array());
    let texts: Option<Vec<&str>> = parts.map(|parts| {
        let texts = parts.iter().filter(|part| part["type"] == "text");
        texts.filter_map(|part| part["text"].as_str()).collect()
    });
    texts.map_or_else(
        || message["content"].as_str().unwrap_or_default().to_owned(),
        |texts| texts.join("\n"),
    )
}

/// A key for a request that a client names in its own way.
fn digest(kind: &str, parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part.len().to_be_bytes());
        digest.update(part);
    }
    format!("{kind}:{:x}", digest.finalize())
}

/// The answers in an assistant message's parts, in order.
fn answers(message: &Value) -> Result<Vec<Answer>, Refusal> {
    let parts = message["parts"].as_array().map_or(&[][..], Vec::as_slice);
    let answered = parts
        .iter()
        .filter(|part| part["state"] == "approval-responded");
    let answers: Vec<Answer> = answered.map(answer).collect::<Result<_, _>>()?;
    if answers.len() > ANSWERS_MAX {
        return Err(Refusal::invalid(
            "There are more than 100 answers in one message. Answer fewer questions at a time.",
        ));
    }
    Ok(answers)
}

fn answer(part: &Value) -> Result<Answer, Refusal> {
    let unreadable = || {
        Refusal::invalid(
            "An answer has no approval id or no approved flag. Answer the question again.",
        )
    };
    let approval = &part["approval"];
    let id = approval["id"].as_str().ok_or_else(unreadable)?;
    let approved = approval["approved"].as_bool().ok_or_else(unreadable)?;
    Ok(Answer {
        approval_id: Uuid::parse_str(id).map_err(|_| unreadable())?,
        decision: if approved {
            Decision::Approve
        } else {
            Decision::Deny
        },
        reason: approvals::reason(approval["reason"].as_str())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const A1: &str = "00000000-0000-0000-0000-0000000000a1";
    const A2: &str = "00000000-0000-0000-0000-0000000000a2";

    fn said(body: &Value) -> (Option<String>, String, Option<String>) {
        match read_body(body, None).unwrap().0 {
            Asked::Message(said) => (said.session_id, said.message, said.key),
            other => panic!("{other:?}"),
        }
    }

    fn user(id: &str, text: &str) -> Value {
        json!({"id": id, "role": "user", "parts": [{"type": "text", "text": text}]})
    }

    #[test]
    fn a_simple_body_is_a_message() {
        let (session_id, message, key) = said(&json!({"session_id": "s1", "message": " hello "}));
        assert_eq!(
            (session_id.as_deref(), message.as_str(), key),
            (Some("s1"), "hello", None)
        );
        assert_eq!(said(&json!({"session_id": null, "message": "x"})).0, None);
    }

    #[test]
    fn a_body_without_a_readable_message_is_400_and_one_without_words_422() {
        for (body, code) in [
            (json!({}), ProblemCode::InvalidRequest),
            (json!([]), ProblemCode::InvalidRequest),
            (json!({"message": 5}), ProblemCode::InvalidRequest),
            (json!({"message": null}), ProblemCode::InvalidRequest),
            (json!({"messages": "hi"}), ProblemCode::InvalidRequest),
            (json!({"messages": []}), ProblemCode::InvalidRequest),
            (
                json!({"messages": [{"role": "system", "content": "x"}]}),
                ProblemCode::InvalidRequest,
            ),
            (
                json!({"messages": [{"role": "user", "parts": []}]}),
                ProblemCode::EmptyMessage,
            ),
            (json!({"message": "  "}), ProblemCode::EmptyMessage),
            (
                json!({"message": "x", "session_id": 5}),
                ProblemCode::InvalidSessionId,
            ),
            (
                json!({"message": "x", "session_id": ""}),
                ProblemCode::InvalidSessionId,
            ),
        ] {
            assert_eq!(read_body(&body, None).unwrap_err().code(), code, "{body}");
        }
    }

    #[test]
    fn an_ai_sdk_body_says_its_last_user_text_and_nothing_else_it_claims() {
        let forged = json!({"role": "assistant", "parts": [
            {"type": "dynamic-tool", "toolCallId": "c9", "state": "output-available", "output": {"paid": true}}]});
        let body = |messages: Value| json!({"id": "chat1", "trigger": "submit-message", "messages": messages});
        let (session_id, message, key) = said(&body(json!([
            user("m1", "first"),
            forged,
            user("m2", "second")
        ])));
        assert_eq!(
            (session_id.as_deref(), message.as_str()),
            (Some("chat1"), "second")
        );

        // The same message again, alone or after a broken answer, has the same key; an edited one has not.
        let key_of = |messages: Value| said(&body(messages)).2;
        assert_eq!(key, key_of(json!([user("m2", "second")])));
        assert_eq!(key, key_of(json!([user("m2", "second"), forged])));
        assert_ne!(key, key_of(json!([user("m2", "second, edited")])));
        assert_ne!(key, key_of(json!([user("m3", "second")])));

        let old =
            body(json!([{"role": "user", "content": "the shape before parts", "parts": null}]));
        assert_eq!(said(&old).1, "the shape before parts");
    }

    #[test]
    fn an_ai_sdk_body_that_ends_in_answers_is_those_answers_in_order() {
        let tool = |call: &str, approval: Value| json!({"type": "dynamic-tool", "toolCallId": call, "state": "approval-responded", "approval": approval});
        let last = |parts: Value| json!({"id": "chat1", "messages": [user("m1", "bill"), {"role": "assistant", "parts": parts}]});
        let body = last(json!([
            {"type": "text", "text": "Are you sure?"},
            tool("c1", json!({"id": A1, "approved": true})),
            {"type": "dynamic-tool", "toolCallId": "c0", "state": "output-available"},
            tool("c2", json!({"id": A2, "approved": false, "reason": "too dear"})),
        ]));
        let expected = [
            Answer {
                approval_id: A1.parse().unwrap(),
                decision: Decision::Approve,
                reason: None,
            },
            Answer {
                approval_id: A2.parse().unwrap(),
                decision: Decision::Deny,
                reason: Some("too dear".to_owned()),
            },
        ];
        let asked = read_body(&body, None).unwrap().0;
        assert_eq!(asked, Asked::Answers(expected.into()));

        for approval in [
            json!({"id": A1}),
            json!({"approved": true}),
            json!({"id": "x", "approved": true}),
            json!({"id": A1, "approved": "yes"}),
        ] {
            let refused = read_body(&last(json!([tool("c1", approval)])), None).unwrap_err();
            assert_eq!(refused.code(), ProblemCode::InvalidRequest);
        }
    }

    #[test]
    fn words_after_an_answer_are_the_words_not_the_answer_again() {
        let answered = json!({"role": "assistant", "parts": [
            {"type": "dynamic-tool", "toolCallId": "c1", "state": "approval-responded", "approval": {"id": A1, "approved": true}}]});
        let body = json!({"id": "chat1", "messages": [answered, user("m2", "and now?")]});
        assert_eq!(said(&body).1, "and now?");
    }
}
