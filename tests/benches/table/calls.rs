//! The calls that are measured, as a client sends them.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::provider;

/// What is measured, a row each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `inventory_list_items`, the first 20 of the shop's items.
    List,
    /// `inventory_add_item`, each time another item.
    Add,
    /// `billing_create_bill` where the tenant's policy asks nobody: all bills sell the same two items to the same customer.
    Bill,
    /// A chat turn that reads.
    Ask,
    /// A chat turn that writes: all sessions change the same item.
    Increase,
    /// A chat turn with a language model that just talks.
    Talk,
    /// A chat turn with a language model that reads: asked twice, one tool call between.
    Look,
}

impl Kind {
    /// Reads before writes, so that what writes leave behind is not measured with the reads.
    pub(crate) const ALL: [Kind; 7] = [
        Kind::List,
        Kind::Ask,
        Kind::Talk,
        Kind::Look,
        Kind::Increase,
        Kind::Bill,
        Kind::Add,
    ];

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Kind::List => "`tools/call` list",
            Kind::Add => "`tools/call` add",
            Kind::Bill => "`tools/call` bill",
            Kind::Ask => "chat, read",
            Kind::Increase => "chat, write",
            Kind::Talk => "turn, provider, no tool",
            Kind::Look => "turn, provider, one read",
        }
    }

    /// How many connections or sessions at once.
    pub(crate) const fn at_once(self) -> [usize; 3] {
        match self {
            Kind::List | Kind::Add | Kind::Bill => [1, 16, 64],
            Kind::Ask | Kind::Increase | Kind::Talk | Kind::Look => [1, 10, SESSIONS],
        }
    }

    pub(crate) const fn is_chat(self) -> bool {
        matches!(self, Kind::Ask | Kind::Increase | Kind::Talk | Kind::Look)
    }

    /// Whether a language model answers, and not the rules.
    pub(crate) const fn asks_provider(self) -> bool {
        matches!(self, Kind::Talk | Kind::Look)
    }

    /// The session of a worker. Its length is the same for all.
    pub(crate) fn session(self, worker: usize) -> String {
        format!("bench-{self:?}-{worker:03}").to_lowercase()
    }
}

/// Most sessions at once.
pub(crate) const SESSIONS: usize = 100;
/// Digits of a token.
const TOKEN_DIGITS: usize = 10;

static TOKENS: AtomicU64 = AtomicU64::new(0);

/// A text nobody else uses, of a fixed length: part of an item's name, and an idempotency key.
pub(crate) fn token() -> String {
    let number = TOKENS.fetch_add(1, Ordering::Relaxed);
    format!("zq{number:0TOKEN_DIGITS$}")
}

/// Sends calls over connections that stay open.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) http: reqwest::Client,
    pub(crate) mcp_url: String,
    /// The agent that answers by rules.
    pub(crate) agent_url: String,
    /// The agent that has a language model answer.
    pub(crate) talker_url: String,
    /// The language model.
    pub(crate) provider_url: String,
}

impl Client {
    /// One call, and whether it was answered as it should be. `name` is a [`token`], for a chat turn its session.
    pub(crate) async fn send(&self, kind: Kind, name: &str) -> anyhow::Result<()> {
        let (text, proofs) = match kind {
            Kind::List => {
                let listed = self.tool("inventory_list_items", json!({"limit": 20}), name);
                (listed.await?, ["\"items\":[", "\"next_cursor\":"])
            }
            Kind::Add => {
                let added = self.tool("inventory_add_item", item(name), name).await?;
                (added, ["\"summary\":\"Added 20 kg", name])
            }
            Kind::Bill => {
                let lines = json!([{"item": "Flour", "quantity": "1", "unit": "kg"}, {"item": "Shampoo", "quantity": "1"}]);
                let billed = self.tool(
                    "billing_create_bill",
                    json!({"customer": "Ali", "lines": lines}),
                    name,
                );
                (billed.await?, ["\"bill_id\":", "INV-"])
            }
            Kind::Ask | Kind::Look => {
                let said = self.say(kind, name, provider::QUESTION);
                (said.await?, ["\"status\":\"success\"", "2 items in beauty"])
            }
            Kind::Increase => {
                let said = self.say(kind, name, "Increase flour by 1kg");
                (
                    said.await?,
                    ["\"status\":\"success\"", "\"status\":\"done\""],
                )
            }
            Kind::Talk => {
                let said = self.say(kind, name, provider::GREETING);
                (said.await?, ["\"status\":\"success\"", provider::WELCOME])
            }
        };
        for proof in proofs {
            ensure!(text.contains(proof), "no {proof} in {text}");
        }
        Ok(())
    }

    /// A tool call of a client of the 2025-11-25 revision. The server is stateless and needs no `initialize` before it.
    pub(crate) async fn tool(
        &self,
        tool: &str,
        arguments: Value,
        key: &str,
    ) -> anyhow::Result<String> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
            "name": tool, "arguments": arguments, "_meta": {"idempotency-key": key},
        }});
        let request = self
            .http
            .post(&self.mcp_url)
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2025-11-25")
            .json(&body);
        let text = answered(request).await?;
        ensure!(text.contains("\"isError\":false"), "refused: {text}");
        Ok(text)
    }

    async fn say(&self, kind: Kind, session: &str, message: &str) -> anyhow::Result<String> {
        let url = if kind.asks_provider() {
            &self.talker_url
        } else {
            &self.agent_url
        };
        let request = self
            .http
            .post(format!("{url}/agent/chat"))
            .json(&json!({"session_id": session, "message": message}));
        answered(request).await
    }
}

async fn answered(request: reqwest::RequestBuilder) -> anyhow::Result<String> {
    let response = request.send().await.context("no answer")?;
    let status = response.status();
    let text = response.text().await.context("an answer cut short")?;
    ensure!(status.is_success(), "{status}: {text}");
    Ok(text)
}

/// An item as a shopkeeper adds it.
pub(crate) fn item(name: &str) -> Value {
    json!({"name": format!("Goods {name}"), "category": "grocery", "unit": "kg", "unit_price": "160", "quantity": "20", "low_stock_level": "5"})
}
