//! `GET /agent/chat/stream` and `GET /agent/chat/{session_id}/stream`, and how every turn is streamed, in every protocol.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use contracts::http::event::{EventBody, RunEvent};
use contracts::http::problem::Problem;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::guard::Caller;
use super::problem::{Refusal, Subject};
use super::read::{self, PathSession, QueryOf};
use crate::app::App;
use crate::principal::Principal;
use crate::streams::{Cursor, Frame, Opening, Projection, Protocol, Reader, agui, log, sse};
use crate::turns::{self, NewTurn, Turn};

/// How long a reconnecting client waits to learn that there is nothing left for it.
const NOTHING_LEFT_WAIT: Duration = Duration::from_secs(2);

/// In which vocabulary a stream is wanted. Frames carry `id: <run>:<seq>` in each; a comment is sent as heartbeat.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ProtocolQuery {
    /// `ui`: AI SDK UI message stream v1 (default), ends with `data: [DONE]`. `agui`: AG-UI 1.0 events (default for an AG-UI body).
    /// `native`: the run's events as `GET /agent/runs/{id}` shows them, each with its name as `event:`.
    #[param(pattern = "^(ui|agui|native)$")]
    pub(super) protocol: Option<String>,
}

/// What `GET /agent/chat/stream` is asked.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StreamQuery {
    /// The conversation: 1 to 128 letters, digits and `-_.:`. A new one is made when absent.
    #[param(max_length = 128, pattern = "^[A-Za-z0-9._:-]{1,128}$")]
    session_id: Option<String>,
    /// What the person says: 1 to 2,000 characters. Not needed with `Last-Event-ID`.
    #[param(min_length = 1, max_length = 2000)]
    message: Option<String>,
    /// The caller's own id of this request: the same one attaches to the run that is there. AG-UI events name the run by it.
    #[param(min_length = 1, max_length = 255)]
    request_id: Option<String>,
    /// `ui`, `agui` or `native`, as everywhere.
    #[param(pattern = "^(ui|agui|native)$")]
    protocol: Option<String>,
}

/// Says something and streams the answer, for `EventSource`.
///
/// It never starts work twice: the same `request_id`, or with none the same session and text within 60 s, attaches to the run that is
/// there, and a reconnect with `Last-Event-ID` only goes on reading.
#[utoipa::path(
    get, path = "/agent/chat/stream", tag = "chat",
    params(StreamQuery, ("Last-Event-ID" = Option<String>, Header, description = "`<run>:<seq>`: go on reading that run after that event. Nothing is started.")),
    responses(
        (status = 200, description = "The stream.", body = String, content_type = "text/event-stream"),
        (status = 204, description = "With `Last-Event-ID`: the turn is over and nothing is left to read. `EventSource` stops reconnecting."),
        (status = 400, description = "The session id, the key, the protocol, `Last-Event-ID` or the query is not valid, or the message is missing.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Somebody else's conversation, or a request of another site.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`Last-Event-ID` names no run of this caller.", body = Problem, content_type = "application/problem+json"),
        (status = 405, description = "Only GET: a HEAD would start work.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The `request_id` was used for another message, or the conversation is busy.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The message is empty or has more than 2,000 characters.", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many runs at once; see `Retry-After`.", body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "System error.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Postgres or the tool server cannot be reached.", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn chat_stream(
    State(app): State<Arc<App>>,
    Caller(principal): Caller,
    method: Method,
    headers: HeaderMap,
    QueryOf(query): QueryOf<StreamQuery>,
) -> Result<Response, Refusal> {
    if method == Method::HEAD {
        let refusal = super::wrong_method(method).await;
        return Ok(([(header::ALLOW, "GET")], refusal).into_response());
    }
    let session_id = query.session_id.map(read::session_id).transpose()?;
    let protocol = read::protocol(query.protocol.as_deref())?.unwrap_or_default();
    let request_key = query
        .request_id
        .map(|key| read::key(&key, "request_id"))
        .transpose()?;
    let reader = Reader {
        run_id: request_key.clone(),
        ..Reader::of(protocol, Opening::NewMessage)
    };
    if let Some(cursor) = read::last_event_id(&headers)? {
        return go_on(&app, &principal, cursor, reader).await;
    }
    let message = query.message.ok_or_else(|| {
        Refusal::invalid("The message is missing. Add message=… to the address, percent-encoded.")
    })?;
    let turn = NewTurn {
        session_id,
        message: read::message(&message)?,
        attach_to_same_text: request_key.is_none(),
        request_key,
        channel: read::channel(&headers),
    };
    let turn = turns::begin(&app, &principal, turn)
        .await
        .map_err(|e| Refusal::from_turn(&e, Subject::Message))?;
    respond(&app, &principal, vec![turn], reader).await
}

/// Attaches to the conversation's active run, from the beginning of its current turn, or after `Last-Event-ID`.
#[utoipa::path(
    get, path = "/agent/chat/{session_id}/stream", tag = "chat",
    params(
        ("session_id" = String, Path, description = "The conversation.", max_length = 128),
        ProtocolQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "`<run>:<seq>`: go on reading that run after that event."),
    ),
    responses(
        (status = 200, description = "The stream, replayed from the beginning of the current turn, then live.", body = String, content_type = "text/event-stream"),
        (status = 204, description = "Nothing is active: a run that waits for an answer is not."),
        (status = 400, description = "The session id, the protocol or `Last-Event-ID` is not valid.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Somebody else's conversation, or a request of another site.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such conversation or run.", body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "System error.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Postgres cannot be reached.", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn session_stream(
    State(app): State<Arc<App>>,
    Caller(principal): Caller,
    headers: HeaderMap,
    PathSession(session_id): PathSession,
    QueryOf(query): QueryOf<ProtocolQuery>,
) -> Result<Response, Refusal> {
    let protocol = read::protocol(query.protocol.as_deref())?.unwrap_or_default();
    let cursor = read::last_event_id(&headers)?;
    let active = turns::active(&app, &principal, &session_id)
        .await
        .map_err(|e| Refusal::from_turn(&e, Subject::Session))?;
    let opening = match &active {
        Some(turn) => opening(&app, &principal, turn).await?,
        None => Opening::SameMessage,
    };
    let reader = Reader::of(protocol, opening);
    match (cursor, active) {
        (Some(cursor), _) => go_on(&app, &principal, cursor, reader).await,
        (None, Some(turn)) => respond(&app, &principal, vec![turn], reader).await,
        (None, None) => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

/// The message that whoever began a turn waits for: who said something waits for a new one, who answered a question for the old one.
async fn opening(app: &Arc<App>, principal: &Principal, turn: &Turn) -> Result<Opening, Refusal> {
    let in_words = log::began_in_words(app, principal.tenant, turn.run_id, turn.after_seq).await;
    match in_words.map_err(|e| Refusal::from_turn(&e.into(), Subject::Run))? {
        true => Ok(Opening::NewMessage),
        false => Ok(Opening::SameMessage),
    }
}

/// Streams turns of one run, one after the other, as one message.
///
/// # Errors
/// A refusal when the first turn cannot be followed.
pub async fn respond(
    app: &Arc<App>,
    principal: &Principal,
    turns: Vec<Turn>,
    reader: Reader,
) -> Result<Response, Refusal> {
    let Some(first) = turns.first() else {
        return Err(Refusal::invalid(
            "There is nothing to stream. Send a message.",
        ));
    };
    let after = Cursor {
        run_id: first.run_id,
        seq: first.after_seq,
    };
    let events = follow_all(app, principal, turns).await?;
    let protocol = reader.protocol;
    let frames = project(app, principal, after, reader, events).await?;
    Ok(send(app, protocol, frames))
}

/// Goes on reading a run after the event that a reconnecting client saw last.
async fn go_on(
    app: &Arc<App>,
    principal: &Principal,
    cursor: Cursor,
    reader: Reader,
) -> Result<Response, Refusal> {
    let events = turns::follow(app, principal, cursor.run_id, cursor.seq)
        .await
        .map_err(|e| Refusal::from_turn(&e, Subject::Run))?;
    let protocol = reader.protocol;
    let mut frames = project(app, principal, cursor, reader, events).await?;
    let first = match tokio::time::timeout(NOTHING_LEFT_WAIT, frames.next()).await {
        Ok(None) => return Ok(StatusCode::NO_CONTENT.into_response()),
        Ok(Some(first)) => vec![first],
        // The run is being worked on and has nothing new to say yet.
        Err(_) => Vec::new(),
    };
    let frames = stream::iter(first).chain(frames);
    Ok(send(app, protocol, frames.boxed()))
}

/// The frames of the events after a place, for a reader that has those before it.
async fn project(
    app: &Arc<App>,
    principal: &Principal,
    after: Cursor,
    reader: Reader,
    events: BoxStream<'static, RunEvent>,
) -> Result<BoxStream<'static, Frame>, Refusal> {
    let mut projection = Projection::new(after.run_id, reader);
    if projection.has_memory() {
        log::pass(app, principal.tenant, &mut projection, after.seq)
            .await
            .map_err(|e| Refusal::from_turn(&e.into(), Subject::Run))?;
    }
    let frames = events.map(move |event| stream::iter(projection.frames(&event)));
    Ok(frames.flatten().boxed())
}

fn send(app: &App, protocol: Protocol, frames: BoxStream<'static, Frame>) -> Response {
    let mut response = sse::respond(frames, app.settings.heartbeat);
    if let Some((name, version)) = protocol.header() {
        let version = HeaderValue::from_static(version);
        response.headers_mut().insert(name, version);
    }
    response
}

/// Tells an AG-UI client that its answers are not taken, as its protocol wants it: in a stream of one event.
pub fn run_error(app: &App, refusal: &Refusal) -> Response {
    let code = serde_json::to_value(refusal.code()).unwrap_or_default();
    let code = code.as_str().unwrap_or_default();
    tracing::info!(code, "answers are not taken");
    let told = Frame {
        id: None,
        name: None,
        data: agui::error(refusal.detail(), code).to_string(),
    };
    send(app, Protocol::Agui, stream::iter([told]).boxed())
}

/// The events of several turns of one run. Answering two questions of one message makes two turns: the end of the first is held back,
/// and sent only if the second adds nothing.
async fn follow_all(
    app: &Arc<App>,
    principal: &Principal,
    turns: Vec<Turn>,
) -> Result<BoxStream<'static, RunEvent>, Refusal> {
    let mut turns = turns.into_iter();
    let Some(first) = turns.next() else {
        return Ok(stream::empty().boxed());
    };
    let events = turns::follow(app, principal, first.run_id, first.after_seq)
        .await
        .map_err(|e| Refusal::from_turn(&e, Subject::Run))?;
    let rest: Vec<i64> = turns
        .filter(|turn| turn.run_id == first.run_id)
        .map(|turn| turn.after_seq)
        .collect();
    if rest.is_empty() {
        return Ok(events);
    }
    let following = Following {
        app: Arc::clone(app),
        principal: principal.clone(),
        run_id: first.run_id,
        seen: first.after_seq,
        rest,
        held: None,
        events: events.fuse().boxed(),
    };
    let events = stream::unfold(following, |mut following| async move {
        following.next().await.map(|event| (event, following))
    });
    Ok(events.boxed())
}

struct Following {
    app: Arc<App>,
    principal: Principal,
    run_id: Uuid,
    /// The last event that was sent or held back.
    seen: i64,
    /// Where the turns after this one begin.
    rest: Vec<i64>,
    /// A turn's end that is sent only if nothing comes after it.
    held: Option<RunEvent>,
    events: BoxStream<'static, RunEvent>,
}

impl Following {
    /// Takes at most as many rounds as there are turns.
    async fn next(&mut self) -> Option<RunEvent> {
        loop {
            if let Some(event) = self.events.next().await {
                self.seen = event.seq;
                self.held = None;
                if matches!(event.body, EventBody::Finished { .. }) {
                    self.rest.clear();
                }
                let goes_on =
                    matches!(event.body, EventBody::Waiting { .. }) && !self.rest.is_empty();
                if !goes_on {
                    return Some(event);
                }
                self.held = Some(event);
            }
            if self.rest.is_empty() {
                return self.held.take();
            }
            let after_seq = self.rest.remove(0).max(self.seen);
            self.events = turns::follow(&self.app, &self.principal, self.run_id, after_seq)
                .await
                .unwrap_or_else(|error| {
                    tracing::warn!(%error, run_id = %self.run_id, "a turn could not be followed");
                    stream::empty().boxed()
                })
                .fuse()
                .boxed();
        }
    }
}
