//! Reads server-sent events out of the pieces in which a stream arrives.

/// Largest event that is kept, bytes; the server's are far smaller.
const EVENT_BYTES_MAX: usize = 4 << 20;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    /// Where to go on after it.
    pub(super) id: Option<String>,
    /// The payload.
    pub(super) data: String,
}

/// More came without an end than any event of the server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event is too large")]
pub(super) struct TooLarge;

/// The part of a stream that has not become an event yet.
#[derive(Debug, Default)]
pub(super) struct EventReader {
    line: Vec<u8>,
    id: Option<String>,
    data: Option<String>,
}

impl EventReader {
    /// The events that `piece` completes.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub(super) fn feed(&mut self, piece: &[u8]) -> Result<Vec<Event>, TooLarge> {
        let mut events = Vec::new();
        for byte in piece {
            if *byte != b'\n' {
                self.line.push(*byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(&line));
            if line.is_empty() {
                let (id, data) = (self.id.take(), self.data.take());
                events.extend(data.map(|data| Event { id, data }));
            } else {
                self.field(&line);
            }
        }
        let held = self.line.len() + self.data.as_ref().map_or(0, String::len);
        if held > EVENT_BYTES_MAX {
            return Err(TooLarge);
        }
        Ok(events)
    }

    /// Comments and fields that we do not use are dropped.
    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => self.id = Some(value.to_owned()),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_whole_however_the_stream_was_cut() {
        let stream = "retry: 3000\n\ndata: {\"a\":\"é\"}\nid: r:1\n\n: keep-alive\n\ndata: x\r\ndata:y\r\n\r\ndata: cut";
        let expected = [
            Event {
                id: Some("r:1".to_owned()),
                data: "{\"a\":\"é\"}".to_owned(),
            },
            Event {
                id: None,
                data: "x\ny".to_owned(),
            },
        ];
        for size in [1, 2, 7, 1000] {
            let mut reader = EventReader::default();
            let pieces = stream.as_bytes().chunks(size);
            let events: Vec<Event> = pieces.flat_map(|p| reader.feed(p).unwrap()).collect();
            assert_eq!(events, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn an_event_without_an_end_is_not_collected_for_ever() {
        let mut reader = EventReader::default();
        let piece = vec![b'x'; 1 << 20];
        let refused = (0..8).find_map(|_| reader.feed(&piece).err());
        assert_eq!(refused, Some(TooLarge));
    }
}
