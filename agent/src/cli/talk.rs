//! One conversation with a running agent over HTTP.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use contracts::http::problem::Problem;
use reqwest::{RequestBuilder, StatusCode, header};
use serde_json::{Value, json};

use super::Terminal;
use super::events::{Event, EventReader};
use crate::http::problem::UNAVAILABLE;
use crate::http::read::CHANNEL;

/// Pauses before a lost stream is taken up again.
const RETRY_AFTER: [Duration; 4] = [
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// Said once per turn, while it is taken up again.
const WHO: &str = "The agent wants to know who you are. Set COUNTERSIGN_TOKEN to an API key that is good, and try again.";
const TRYING: &str = "Unable to reach the system. Trying again ...";

/// Why a turn did not end well.
#[derive(Debug, thiserror::Error)]
pub(super) enum TalkError {
    /// One sentence for the person.
    #[error("{0}")]
    Told(String),
    /// The terminal failed.
    #[error(transparent)]
    Terminal(#[from] io::Error),
}

/// An open question.
#[derive(Debug)]
struct Question {
    approval_id: String,
    message: String,
}

/// A conversation and what is open in it.
#[derive(Debug)]
pub(super) struct Talk {
    client: reqwest::Client,
    base_url: String,
    session_id: Option<String>,
    open: VecDeque<Question>,
    turn: Turn,
    /// Whether an agent has answered yet.
    met: bool,
}

/// What the stream of the current turn has told so far.
#[derive(Debug, Default)]
struct Turn {
    working: bool,
    cursor: Option<String>,
    /// The text as written, to see whether it holds the question already.
    said: String,
    failure: Option<String>,
    /// The call whose question was settled in this turn: it was named when it was asked about.
    settled: Option<String>,
    /// Whether the person was told of the first lost connection.
    told_lost: bool,
}

/// How a stream ended.
enum Read {
    Over,
    Lost,
}

impl Talk {
    pub(super) fn new(
        client: reqwest::Client,
        base_url: String,
        session_id: Option<String>,
    ) -> Talk {
        Talk {
            client,
            base_url,
            session_id,
            open: VecDeque::new(),
            turn: Turn::default(),
            met: false,
        }
    }

    /// The conversation's id, once it has one.
    pub(super) fn session_id(&self) -> Option<&str> {
        self.session_id.as_deref()
    }

    /// The sentence of the question that is answered next.
    pub(super) fn question(&self) -> Option<&str> {
        self.open.front().map(|question| question.message.as_str())
    }

    /// Whether the last answer ended in that very sentence.
    pub(super) fn has_just_said(&self, sentence: &str) -> bool {
        self.turn.said.trim_end().ends_with(sentence.trim_end())
    }

    /// Whether a message is being worked on.
    pub(super) fn is_working(&self) -> bool {
        self.turn.working
    }

    /// Says something and writes the answer while it comes.
    pub(super) async fn say(
        &mut self,
        message: &str,
        io: &mut dyn Terminal,
    ) -> Result<(), TalkError> {
        let body = json!({"session_id": self.session_id, "message": message});
        // A lost request is sent again under the same key, so that it is worked on once.
        let key = format!("cli-{:032x}", rand::random::<u128>());
        let request = self.post("/agent/chat").header("Idempotency-Key", key);
        self.work(&request.json(&body), io).await
    }

    /// Answers the question that is next.
    pub(super) async fn decide(
        &mut self,
        approve: bool,
        io: &mut dyn Terminal,
    ) -> Result<(), TalkError> {
        let Some(question) = self.open.pop_front() else {
            return Ok(());
        };
        let decision = if approve { "approve" } else { "deny" };
        let path = format!("/agent/approvals/{}", question.approval_id);
        let request = self.post(&path).json(&json!({"decision": decision}));
        self.work(&request, io).await
    }

    fn post(&self, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.base_url);
        self.client
            .post(url)
            .header(header::ACCEPT, "text/event-stream")
            .header(CHANNEL, "cli")
    }

    /// Follows a turn to its end. A lost stream is taken up where it stopped; before its first event the request is sent again, which
    /// is safe: a message has its key, and an answer may be given twice.
    async fn work(
        &mut self,
        request: &RequestBuilder,
        io: &mut dyn Terminal,
    ) -> Result<(), TalkError> {
        self.turn = Turn {
            working: true,
            ..Turn::default()
        };
        let mut pauses = RETRY_AFTER.iter();
        let ended = loop {
            match self.read(request, io).await {
                Ok(Read::Over) => break Ok(()),
                Err(error) => break Err(error),
                Ok(Read::Lost) => match pauses.next() {
                    Some(pause) => {
                        if !std::mem::replace(&mut self.turn.told_lost, true) {
                            io.note(TRYING)?;
                        }
                        tokio::time::sleep(*pause).await;
                    }
                    None => break Err(TalkError::Told(UNAVAILABLE.to_owned())),
                },
            }
        };
        self.turn.working = false;
        if !self.turn.said.is_empty() && !self.turn.said.ends_with('\n') {
            io.write("\n")?;
        }
        ended?;
        match self.turn.failure.take() {
            Some(sentence) => Err(TalkError::Told(sentence)),
            None => Ok(()),
        }
    }

    async fn read(
        &mut self,
        request: &RequestBuilder,
        io: &mut dyn Terminal,
    ) -> Result<Read, TalkError> {
        let request = match (&self.turn.cursor, &self.session_id) {
            (Some(cursor), Some(session_id)) => {
                let url = format!("{}/agent/chat/{session_id}/stream", self.base_url);
                Some(self.client.get(url).header("Last-Event-ID", cursor))
            }
            _ => request.try_clone(),
        };
        let Some(request) = request else {
            return Ok(Read::Lost);
        };
        let mut answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(%error, "the agent did not answer");
                if error.is_connect() && !self.met {
                    return Err(self.nobody());
                }
                return Ok(Read::Lost);
            }
        };
        if answer.status() == StatusCode::NO_CONTENT {
            return Ok(Read::Over);
        }
        if answer.status() == StatusCode::UNAUTHORIZED {
            return Err(TalkError::Told(WHO.to_owned()));
        }
        if !answer.status().is_success() {
            return Err(match answer.json::<Problem>().await {
                Ok(problem) => TalkError::Told(clean(&problem.detail)),
                Err(_) if self.met => TalkError::Told(UNAVAILABLE.to_owned()),
                Err(_) => self.nobody(),
            });
        }
        self.met = true;
        let mut reader = EventReader::default();
        while let Ok(Some(piece)) = answer.chunk().await {
            let Ok(events) = reader.feed(&piece) else {
                return Ok(Read::Lost);
            };
            for event in events {
                if self.take(event, io)? {
                    return Ok(Read::Over);
                }
            }
        }
        Ok(Read::Lost)
    }

    fn nobody(&self) -> TalkError {
        TalkError::Told(format!(
            "No agent answers at {}. Start one with `agent`, or give the right address with --url.",
            self.base_url
        ))
    }

    /// Takes one event; true when it was the last.
    fn take(&mut self, event: Event, io: &mut dyn Terminal) -> Result<bool, TalkError> {
        if event.data == "[DONE]" {
            return Ok(true);
        }
        let frame: Value = serde_json::from_str(&event.data).unwrap_or_default();
        self.show(&frame, io)?;
        if event.id.is_some() {
            self.turn.cursor = event.id;
        }
        Ok(false)
    }

    fn show(&mut self, frame: &Value, io: &mut dyn Terminal) -> Result<(), TalkError> {
        let text = |name: &str| clean(frame[name].as_str().unwrap_or_default());
        match frame["type"].as_str().unwrap_or_default() {
            "start" => {
                if let Some(session_id) = frame["messageMetadata"]["sessionId"].as_str() {
                    self.session_id = Some(session_id.to_owned());
                }
            }
            "text-start" if !self.turn.said.is_empty() => self.write("\n", io)?,
            "text-delta" => self.write(&text("delta"), io)?,
            "tool-input-start" if self.turn.settled.as_deref() != frame["toolCallId"].as_str() => {
                io.note(&format!("[{}]", text("title")))?;
            }
            "tool-output-error" => io.note(&text("errorText"))?,
            "data-confirmation" => {
                let data = &frame["data"];
                if data["status"] != "pending" {
                    self.turn.settled = data["toolCallId"].as_str().map(ToOwned::to_owned);
                }
                self.ask(data);
            }
            "data-text-discarded" => {
                self.write("\n", io)?;
                io.note("That answer broke off. It begins anew:")?;
            }
            "data-fallback" => {
                io.note(&clean(frame["data"]["reason"].as_str().unwrap_or_default()))?;
            }
            "error" => self.turn.failure = Some(text("errorText")),
            "abort" => io.note(&format!("Stopped. {}", text("reason")))?,
            "finish" if frame["messageMetadata"]["status"] == "error" => {
                let failure = "It could not be done. Say it in other words, or try again later.";
                // Without a sentence of the server's own, the answer's text has said why.
                if self.turn.failure.is_none() && self.turn.said.is_empty() {
                    self.turn.failure = Some(failure.to_owned());
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn write(&mut self, text: &str, io: &mut dyn Terminal) -> Result<(), TalkError> {
        self.turn.said.push_str(text);
        Ok(io.write(text)?)
    }

    /// A question that is new, or that somebody has answered meanwhile.
    fn ask(&mut self, data: &Value) {
        let approval_id = data["approvalId"].as_str().unwrap_or_default();
        self.open.retain(|open| open.approval_id != approval_id);
        if data["status"] == "pending" {
            self.open.push_back(Question {
                approval_id: approval_id.to_owned(),
                message: clean(data["summary"].as_str().unwrap_or_default()),
            });
        }
    }
}

/// Without control characters: a text from elsewhere must not move the cursor or hide a line.
fn clean(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect()
}
