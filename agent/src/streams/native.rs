//! Our own events as they are stored, each under its name: what a program that was written for this agent reads.

use contracts::http::event::RunEvent;

use super::Frame;

/// The frame of an event: `event:` its name, `data:` the [`RunEvent`] as JSON. None of the names is one that `EventSource` uses itself
/// (`open`, `message`, `error`).
#[must_use]
pub fn frame(event: &RunEvent) -> Option<Frame> {
    let data = serde_json::to_string(event);
    // Nothing in an event can fail to be written; one that did would be left out rather than end the stream.
    let data = data.inspect_err(
        |error| tracing::error!(seq = event.seq, %error, "an event cannot be written"),
    );
    data.ok().map(|data| Frame {
        id: None,
        name: Some(event.body.name()),
        data,
    })
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use contracts::http::event::EventBody;
    use uuid::Uuid;

    use crate::streams::{Opening, Projection, Protocol, Reader};

    use super::*;

    #[test]
    fn an_event_is_one_frame_that_reads_back() {
        let event = RunEvent {
            seq: 4,
            at: DateTime::UNIX_EPOCH,
            body: EventBody::TextDelta {
                text_id: "t".to_owned(),
                delta: "two\nlines".to_owned(),
            },
        };
        let run_id = Uuid::from_u128(1);
        let reader = Reader::of(Protocol::Native, Opening::NewMessage);
        let frames = Projection::new(run_id, reader).frames(&event);
        let [frame] = frames.as_slice() else {
            panic!("{frames:?}");
        };
        assert_eq!(frame.name, Some("text_delta"));
        assert_eq!(
            frame.id.map(|id| id.to_string()),
            Some(format!("{run_id}:4"))
        );
        assert_eq!(
            serde_json::from_str::<RunEvent>(&frame.data).unwrap(),
            event
        );
    }
}
