//! Streams are projections of a run's event log: a projection turns each event into frames, [`sse`] sends them.
//!
//! There are three, for three kinds of clients, and one way to make each: [`Projection`] is told every event of the run from the first,
//! those the reader has already by [`Projection::pass`], the rest by [`Projection::frames`]. What a reader gets after it was cut off is
//! therefore what it would have got.

pub mod agui;
pub mod log;
pub mod native;
#[cfg(test)]
mod scenes;
pub mod sse;
pub mod ui_message;

use std::fmt;
use std::str::FromStr;

use contracts::http::event::RunEvent;
use serde_json::Value;
use uuid::Uuid;

/// The vocabulary of a stream: `?protocol=` in the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// `ui`: the AI SDK's UI message stream, version 1.
    #[default]
    UiMessage,
    /// `agui`: AG-UI 1.0.
    Agui,
    /// `native`: our own events, each under its name.
    Native,
}

impl Protocol {
    /// The response header that names the protocol, where it has one.
    #[must_use]
    pub const fn header(self) -> Option<(&'static str, &'static str)> {
        match self {
            Protocol::UiMessage => Some(("x-vercel-ai-ui-message-stream", "v1")),
            Protocol::Agui | Protocol::Native => None,
        }
    }
}

/// The text names none of the protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not ui, agui or native")]
pub struct NotAProtocol;

impl FromStr for Protocol {
    type Err = NotAProtocol;

    fn from_str(text: &str) -> Result<Protocol, NotAProtocol> {
        match text {
            "ui" => Ok(Protocol::UiMessage),
            "agui" => Ok(Protocol::Agui),
            "native" => Ok(Protocol::Native),
            _ => Err(NotAProtocol),
        }
    }
}

/// What a client has of a run that a person's answer resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// The message that asked: the stream goes on with the same message id and the same calls.
    SameMessage,
    /// The answer came as a new message, "yes", so the client waits for a new one: a resumed call is shown again before its result,
    /// because a reader throws on the result of a call that the message does not have.
    NewMessage,
}

/// Who reads a stream, and what it has already.
#[derive(Debug, Clone, PartialEq)]
pub struct Reader {
    /// What it understands.
    pub protocol: Protocol,
    /// Which message it waits for. Only [`Protocol::UiMessage`] asks.
    pub opening: Opening,
    /// Its own id of the run, which it is told back. Only [`Protocol::Agui`] has one.
    pub run_id: Option<String>,
    /// The conversation as it has it, of which it is sent a snapshot; nothing where that is not known. Only [`Protocol::Agui`] asks.
    pub messages: Option<Vec<Value>>,
}

impl Reader {
    /// A reader of which nothing more is known.
    #[must_use]
    pub const fn of(protocol: Protocol, opening: Opening) -> Reader {
        Reader {
            protocol,
            opening,
            run_id: None,
            messages: None,
        }
    }
}

/// Turns the events of one run into the frames of one stream.
#[derive(Debug)]
pub struct Projection {
    run_id: Uuid,
    view: View,
}

#[derive(Debug)]
enum View {
    UiMessage(ui_message::View),
    Agui(Box<agui::View>),
    Native,
}

impl Projection {
    /// A projection of `run_id`'s events that has been told none yet.
    #[must_use]
    pub fn new(run_id: Uuid, reader: Reader) -> Projection {
        let view = match reader.protocol {
            Protocol::UiMessage => View::UiMessage(ui_message::View::new(run_id, reader.opening)),
            Protocol::Agui => View::Agui(Box::new(agui::View::new(
                run_id,
                reader.run_id,
                reader.messages,
            ))),
            Protocol::Native => View::Native,
        };
        Projection { run_id, view }
    }

    /// The run that is projected.
    #[must_use]
    pub const fn run_id(&self) -> Uuid {
        self.run_id
    }

    /// Whether what the reader has already makes a difference to what it is sent.
    #[must_use]
    pub const fn has_memory(&self) -> bool {
        !matches!(self.view, View::Native)
    }

    /// Takes note of an event that the reader has already.
    pub fn pass(&mut self, event: &RunEvent) {
        match &mut self.view {
            View::UiMessage(view) => drop(view.payloads(event)),
            View::Agui(view) => drop(view.payloads(event)),
            View::Native => {}
        }
    }

    /// The frames of an event; none for one that says nothing new to this reader. The last that belongs to the event carries its place.
    pub fn frames(&mut self, event: &RunEvent) -> Vec<Frame> {
        let mut frames: Vec<Frame> = match &mut self.view {
            View::UiMessage(view) => view.payloads(event).iter().map(Frame::plain).collect(),
            View::Agui(view) => view.payloads(event).iter().map(Frame::plain).collect(),
            View::Native => native::frame(event).into_iter().collect(),
        };
        if let Some(last) = frames.last_mut() {
            last.id = Some(Cursor {
                run_id: self.run_id,
                seq: event.seq,
            });
        }
        if matches!(self.view, View::UiMessage(_)) && event.body.ends_turn() {
            frames.push(Frame::of(ui_message::DONE.to_owned()));
        }
        frames
    }
}

/// One piece of a stream, as server-sent events carry it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Where a client that got this far goes on. Only the last frame of an event has it: a client that is cut off between two frames of
    /// one event gets all of them again.
    pub id: Option<Cursor>,
    /// The `event:` field. Without one an `EventSource` gives the frame to `onmessage`.
    pub name: Option<&'static str>,
    /// The payload.
    pub data: String,
}

impl Frame {
    fn of(data: String) -> Frame {
        Frame {
            id: None,
            name: None,
            data,
        }
    }

    fn plain(payload: &Value) -> Frame {
        Frame::of(payload.to_string())
    }
}

/// A place in a run's log, written `<run>:<seq>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The run.
    pub run_id: Uuid,
    /// The last event that was seen; 0 before the first.
    pub seq: i64,
}

/// The text is not a [`Cursor`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not <run>:<seq>")]
pub struct NotACursor;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.run_id, self.seq)
    }
}

impl FromStr for Cursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Cursor, NotACursor> {
        let (run_id, seq) = text.split_once(':').ok_or(NotACursor)?;
        let run_id = run_id.parse().map_err(|_| NotACursor)?;
        let seq: u32 = seq.parse().map_err(|_| NotACursor)?;
        let seq = i64::from(seq);
        Ok(Cursor { run_id, seq })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_back_after_any_event_gets_the_rest_as_it_was() {
        let whole = [scenes::asking(1), scenes::resumed(6)].concat();
        for protocol in ["ui", "agui", "native"] {
            for opening in [Opening::SameMessage, Opening::NewMessage] {
                let reader = Reader::of(protocol.parse().unwrap(), opening);
                let new = || Projection::new(scenes::RUN, reader.clone());
                let mut projection = new();
                let all: Vec<Frame> = whole.iter().flat_map(|e| projection.frames(e)).collect();
                for seen in 0..=whole.len() {
                    let mut projection = new();
                    let (before, after) = whole.split_at(seen);
                    before.iter().for_each(|event| projection.pass(event));
                    let rest: Vec<Frame> =
                        after.iter().flat_map(|e| projection.frames(e)).collect();
                    assert!(
                        all.ends_with(&rest),
                        "{protocol} after event {seen}: {rest:?}"
                    );
                    assert_eq!(
                        rest.is_empty(),
                        after.is_empty(),
                        "{protocol} after event {seen}"
                    );
                }
            }
        }
        assert_eq!("AGUI".parse::<Protocol>(), Err(NotAProtocol));
    }

    #[test]
    fn a_cursor_reads_back_and_nothing_else_does() {
        let cursor = Cursor {
            run_id: Uuid::from_u128(7),
            seq: 12,
        };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for bad in [
            "",
            "12",
            "x:12",
            "00000000-0000-0000-0000-000000000007",
            "00000000-0000-0000-0000-000000000007:-1",
            "00000000-0000-0000-0000-000000000007:99999999999",
        ] {
            assert_eq!(bad.parse::<Cursor>(), Err(NotACursor), "{bad}");
        }
    }
}
