//! How long the first byte of a streamed answer takes, beside what the language model itself takes.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures::StreamExt as _;
use reqwest::RequestBuilder;
use serde_json::json;

use crate::calls::{Client, token};
use crate::provider::{GREETING, SLOW_GREETING, THINK, WELCOME};
use crate::report::at;

/// What the command line calls it.
pub(crate) const TITLE: &str = "first byte";
/// Answers per row, if the time allows.
const ANSWERS_MAX: usize = 200;
/// Answers per row in any case.
const ANSWERS_MIN: usize = 5;

/// A person asks, one answer after the other, the model itself and the agent in turn.
pub(crate) async fn table(client: &Client, time: Duration) -> anyhow::Result<String> {
    let mut text = "\n| first byte of a stream | provider itself, ms | agent, ms | agent's first word, ms | word over the provider's own, p50 ms | p99 ms |\n\
                    |---|--:|--:|--:|--:|--:|\n"
        .to_owned();
    for (title, message) in [
        ("at once".to_owned(), GREETING),
        (
            format!("after {} ms of thought", THINK.as_millis()),
            SLOW_GREETING,
        ),
    ] {
        let (mut own, mut first, mut word) = (Vec::new(), Vec::new(), Vec::new());
        let until = Instant::now() + time;
        while own.len() < ANSWERS_MIN || (own.len() < ANSWERS_MAX && Instant::now() < until) {
            own.push(model(client, message).await?.first);
            let times = agent(client, message).await?;
            first.push(times.first);
            word.push(times.word);
        }
        // Both halves of a pair were measured one after the other, so that whatever else the machine does hits both.
        let mut over: Vec<f64> = word
            .iter()
            .zip(&own)
            .map(|(w, o)| ms(*w) - ms(*o))
            .collect();
        over.sort_by(f64::total_cmp);
        text += &format!(
            "| {title} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} |\n",
            median(own),
            median(first),
            median(word),
            at(&over, 50),
            at(&over, 99),
        );
    }
    Ok(text)
}

/// When something came, counted from the request.
struct Came {
    first: Duration,
    word: Duration,
}

async fn model(client: &Client, message: &str) -> anyhow::Result<Came> {
    let body = json!({"model": "gpt-4o-mini", "stream": true, "messages": [{"role": "user", "content": message}]});
    let url = format!("{}/chat/completions", client.provider_url);
    let request = client.http.post(url).bearer_auth("bench");
    read(request.json(&body)).await
}

async fn agent(client: &Client, message: &str) -> anyhow::Result<Came> {
    let url = format!("{}/agent/chat", client.talker_url);
    let session = token();
    let body = json!({"session_id": format!("bench-first-{session}"), "message": message});
    let request = client.http.post(url).header("accept", "text/event-stream");
    read(request.json(&body)).await
}

async fn read(request: RequestBuilder) -> anyhow::Result<Came> {
    let sent = Instant::now();
    let response = request.send().await?.error_for_status()?;
    let mut body = response.bytes_stream();
    let (mut text, mut first, mut word) = (Vec::new(), None, None);
    let greeting = b"morning";
    while let Some(piece) = body.next().await {
        text.extend_from_slice(&piece?);
        first.get_or_insert_with(|| sent.elapsed());
        if word.is_none() && text.windows(greeting.len()).any(|part| part == greeting) {
            word = Some(sent.elapsed());
        }
    }
    let text = String::from_utf8_lossy(&text);
    let last = WELCOME.split(' ').next_back().unwrap_or_default();
    ensure!(text.contains(last), "no {last} in {text}");
    Ok(Came {
        first: first.context("an empty stream")?,
        word: word.with_context(|| format!("nobody is greeted in {text}"))?,
    })
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn median(times: Vec<Duration>) -> f64 {
    let mut all: Vec<f64> = times.into_iter().map(ms).collect();
    all.sort_by(f64::total_cmp);
    at(&all, 50)
}
