//! Streams are projections of a run's event log: a projection turns each event into frames, [`sse`] sends them.

pub mod sse;
pub mod ui_message;

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// One piece of a stream, as server-sent events carry it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Where a client that got this far goes on. Only the last frame of an event has it: a client that is cut off between two frames of
    /// one event gets all of them again.
    pub id: Option<Cursor>,
    /// The payload.
    pub data: String,
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
