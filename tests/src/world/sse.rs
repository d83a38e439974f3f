//! Reading server-sent events as a browser does.

use std::time::Duration;

use reqwest::Response;
use serde_json::Value;

use super::PATIENCE;

/// A stream that is being read.
pub struct Stream {
    response: Response,
    text: String,
}

impl Stream {
    /// Reads from a response whose headers are there.
    #[must_use]
    pub fn of(response: Response) -> Stream {
        Stream {
            response,
            text: String::new(),
        }
    }

    /// Everything that has come.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Reads on until the text holds `wanted`.
    ///
    /// # Panics
    /// When the stream ends or nothing more comes in time.
    pub async fn until(&mut self, wanted: &str) -> &str {
        while !self.text.contains(wanted) {
            assert!(
                self.read(PATIENCE).await,
                "ended without {wanted}: {}",
                self.text
            );
        }
        &self.text
    }

    /// Reads on by one piece. Whether there was one.
    ///
    /// # Panics
    /// When nothing more comes in time.
    pub async fn more(&mut self) -> bool {
        self.read(PATIENCE).await
    }

    /// Reads to the end.
    pub async fn end(mut self) -> Events {
        while self.read(PATIENCE).await {}
        Events(self.text)
    }

    async fn read(&mut self, patience: Duration) -> bool {
        let chunk = tokio::time::timeout(patience, self.response.chunk()).await;
        let chunk = chunk
            .unwrap_or_else(|_| panic!("silence after {}", self.text))
            .expect("a piece");
        if let Some(piece) = &chunk {
            self.text
                .push_str(std::str::from_utf8(piece).expect("text"));
        }
        chunk.is_some()
    }
}

/// A stream that was read to its end.
#[derive(Debug, PartialEq, Eq)]
pub struct Events(pub String);

impl Events {
    /// The payloads, `[DONE]` left out.
    ///
    /// # Panics
    /// When one is no JSON.
    #[must_use]
    pub fn frames(&self) -> Vec<Value> {
        let payloads = self
            .0
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .filter(|data| *data != "[DONE]");
        payloads
            .map(|data| serde_json::from_str(data).unwrap_or_else(|e| panic!("{e}: {data}")))
            .collect()
    }

    /// The `type` of each payload.
    #[must_use]
    pub fn kinds(&self) -> Vec<String> {
        self.frames()
            .iter()
            .map(|frame| frame["type"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// The `event:` names, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.0
            .lines()
            .filter_map(|line| line.strip_prefix("event: "))
            .map(str::to_owned)
            .collect()
    }

    /// The payloads of one type.
    #[must_use]
    pub fn of_kind(&self, kind: &str) -> Vec<Value> {
        self.frames()
            .into_iter()
            .filter(|frame| frame["type"] == kind)
            .collect()
    }

    /// The places, `<run>:<seq>`, in order.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        self.0
            .lines()
            .filter_map(|line| line.strip_prefix("id: "))
            .map(str::to_owned)
            .collect()
    }

    /// The run it tells of, as its first payload names it.
    #[must_use]
    pub fn run_id(&self) -> String {
        let frames = self.frames();
        frames
            .first()
            .and_then(|f| f["messageMetadata"]["runId"].as_str())
            .unwrap_or_default()
            .to_owned()
    }

    /// What the person reads.
    #[must_use]
    pub fn said(&self) -> String {
        self.of_kind("text-delta")
            .iter()
            .map(|f| f["delta"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// Whether it ended as a turn ends.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.0.ends_with("data: [DONE]\n\n")
    }
}
