//! A language model that answers at once: the benchmark's own program started a second time, as a process whose time can be told apart.
//!
//! It speaks as much of Chat Completions as the agent needs, in one write per answer, so that what is measured is the agent.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// The variable that makes the benchmark's program this.
pub(crate) const VARIABLE: &str = "BENCH_PROVIDER";
/// What is said to be answered without a tool.
pub(crate) const GREETING: &str = "Good morning";
/// Part of the answer to it.
pub(crate) const WELCOME: &str = "What can I do for you today";
/// A message with this word is thought about.
pub(crate) const SLOWLY: &str = "slowly";
/// For so long.
pub(crate) const THINK: Duration = Duration::from_millis(50);
/// Largest request.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Serves until it is killed; prints its address first.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    crate::print(&format!("http://{}/v1", listener.local_addr()?));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            if let Err(error) = connection(stream).await {
                crate::say(&format!("provider: {error:#}"));
            }
        });
    }
}

async fn connection(stream: TcpStream) -> anyhow::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(body) = request(&mut stream).await? {
        let body: Value = serde_json::from_slice(&body).context("the request's body")?;
        let (answer, slowly) = answer(&body)?;
        if slowly {
            tokio::time::sleep(THINK).await;
        }
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        stream
            .get_mut()
            .write_all((head + &answer).as_bytes())
            .await?;
    }
    Ok(())
}

/// The body of the next request; `None` when there is none.
async fn request(stream: &mut BufReader<TcpStream>) -> anyhow::Result<Option<Vec<u8>>> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(number) = line.strip_prefix("content-length:") {
            length = number.trim().parse().context("content-length")?;
        }
    }
    ensure!(length <= BODY_BYTES_MAX, "a request of {length} bytes");
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Some(body))
}

/// The answer as a stream of chunks, and whether it is thought about.
fn answer(body: &Value) -> anyhow::Result<(String, bool)> {
    let messages = body["messages"].as_array().context("messages")?;
    let said = messages.iter().rposition(|m| m["role"] == "user");
    let said = said.context("nobody said anything")?;
    let text = messages[said]["content"].as_str().unwrap_or_default();
    let result = messages[said..].iter().rfind(|m| m["role"] == "tool");
    let deltas = match result {
        None if text.contains("category") => vec![
            json!({"role": "assistant", "content": null, "tool_calls": [{"index": 0, "id": format!("call_{}", messages.len()), "type": "function",
                "function": {"name": "inventory_list_items", "arguments": ""}}]}),
            json!({"tool_calls": [{"index": 0, "function": {"arguments": "{\"category\":"}}]}),
            json!({"tool_calls": [{"index": 0, "function": {"arguments": "\"beauty\"}"}}]}),
        ],
        None => words(&format!("Good morning. {WELCOME}?")),
        Some(_) => words("There are 2 items in beauty: Shampoo and Soap."),
    };
    let reason = if result.is_none() && text.contains("category") {
        "tool_calls"
    } else {
        "stop"
    };
    let mut chunks: String = deltas
        .into_iter()
        .map(|delta| {
            chunk(
                &json!([{"index": 0, "delta": delta, "finish_reason": null}]),
                &Value::Null,
            )
        })
        .collect();
    chunks += &chunk(
        &json!([{"index": 0, "delta": {}, "finish_reason": reason}]),
        &Value::Null,
    );
    let usage = json!({"prompt_tokens": 900, "completion_tokens": 20, "total_tokens": 920});
    chunks += &chunk(&json!([]), &usage);
    chunks += "data: [DONE]\n\n";
    Ok((chunks, text.contains(SLOWLY)))
}

fn words(text: &str) -> Vec<Value> {
    let pieces = text.split_inclusive(' ');
    pieces.map(|piece| json!({"content": piece})).collect()
}

fn chunk(choices: &Value, usage: &Value) -> String {
    let body = json!({"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1_795_000_000, "model": "gpt-4o-mini",
        "choices": choices, "usage": usage});
    format!("data: {body}\n\n")
}
