//! The calls that are measured, as a client sends them.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use anyhow::{Context as _, ensure};
use chrono::{DateTime, Days, NaiveTime, TimeDelta, Utc};
use migrations::clock::{Clock as _, SystemClock};
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
    /// `create_booking` where the tenant's policy asks nobody: each time the next slot of the same seat, for the same customer.
    Book,
    /// `collect_payment` by wallet where the tenant's policy asks nobody: all pay for the same bill from the same wallet.
    Collect,
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
    pub(crate) const ALL: [Kind; 9] = [
        Kind::List,
        Kind::Ask,
        Kind::Talk,
        Kind::Look,
        Kind::Increase,
        Kind::Bill,
        Kind::Book,
        Kind::Collect,
        Kind::Add,
    ];

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Kind::List => "`tools/call` list",
            Kind::Add => "`tools/call` add",
            Kind::Bill => "`tools/call` bill",
            Kind::Book => "`tools/call` book",
            Kind::Collect => "`tools/call` collect",
            Kind::Ask => "chat, read",
            Kind::Increase => "chat, write",
            Kind::Talk => "turn, provider, no tool",
            Kind::Look => "turn, provider, one read",
        }
    }

    /// How many connections or sessions at once.
    pub(crate) const fn at_once(self) -> [usize; 3] {
        match self {
            Kind::List | Kind::Add | Kind::Bill | Kind::Book | Kind::Collect => [1, 16, 64],
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

    /// What the next call of a worker is called: its session, or a text that nobody else uses. Its length is the same for all of a kind.
    pub(crate) fn name(self, worker: usize) -> String {
        match self {
            Kind::Book => Slot::fresh().name(),
            kind if kind.is_chat() => kind.session(worker),
            _ => token(),
        }
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

/// Seats that can be booked.
pub(crate) const SEATS: usize = 8;
/// Minutes of a slot.
pub(crate) const SLOT_MINUTES: i64 = 5;
/// Slots of a seat that are used: 700 of the 730 days that it can be booked ahead, round the clock.
const SLOTS_PER_SEAT: i64 = 700 * 24 * 60 / SLOT_MINUTES;
/// The first slots are so many days ahead: nobody is reminded of them while they are measured.
const DAYS_AHEAD: Days = Days::new(3);
/// What a slot's name begins with.
const SLOT_PREFIX: &str = "zb";

static SLOTS: AtomicI64 = AtomicI64::new(0);
static FIRST_SLOT: LazyLock<DateTime<Utc>> = LazyLock::new(|| {
    let today = SystemClock.now().date_naive();
    (today + DAYS_AHEAD).and_time(NaiveTime::MIN).and_utc()
});

/// A time that is booked once: of one seat after the other, so that whoever books it finds the one before it taken, be it a call, a
/// recording or a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot(i64);

impl Slot {
    /// The next one. Beyond the last there are only seats that nobody opened, and booking fails.
    pub(crate) fn fresh() -> Slot {
        Slot(SLOTS.fetch_add(1, Ordering::Relaxed))
    }

    /// When the first one begins.
    pub(crate) fn first() -> DateTime<Utc> {
        *FIRST_SLOT
    }

    /// Which one a name means that [`Slot::name`] made.
    pub(crate) fn of(name: &str) -> anyhow::Result<Slot> {
        let number = name.strip_prefix(SLOT_PREFIX);
        let number = number.with_context(|| format!("{name} names no slot"))?;
        Ok(Slot(number.parse()?))
    }

    /// A text like a [`token`].
    fn name(self) -> String {
        format!("{SLOT_PREFIX}{:0TOKEN_DIGITS$}", self.0)
    }

    /// Which of the [`SEATS`].
    pub(crate) fn seat(self) -> usize {
        usize::try_from(self.0 / SLOTS_PER_SEAT).unwrap_or(usize::MAX)
    }

    /// When it begins.
    pub(crate) fn starts_at(self) -> DateTime<Utc> {
        Slot::first() + TimeDelta::minutes(self.0 % SLOTS_PER_SEAT * SLOT_MINUTES)
    }
}

/// What a seat is called, as the shop writes it.
pub(crate) fn seat_name(seat: usize) -> String {
    format!("Seat {seat}")
}

/// The customer whose one bill and whose wallet are larger than all that a run collects.
pub(crate) const PAYER: &str = "Immaculee";

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
    /// One call, and whether it was answered as it should be. `name` is one that [`Kind::name`] made.
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
            Kind::Book => {
                let booked = self.tool("create_booking", booking(Slot::of(name)?), name);
                (booked.await?, ["\"status\":\"confirmed\"", "BK-"])
            }
            Kind::Collect => {
                let collected = self.tool("collect_payment", payment("wallet"), name);
                (collected.await?, ["\"status\":\"succeeded\"", "PAY-"])
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

/// A slot as somebody at the counter books it.
pub(crate) fn booking(slot: Slot) -> Value {
    let starts_at = slot.starts_at();
    json!({
        "resource": seat_name(slot.seat()),
        "customer": "Ali",
        "date": starts_at.format("%Y-%m-%d").to_string(),
        "time": starts_at.format("%H:%M").to_string(),
    })
}

/// The smallest payment of [`PAYER`].
pub(crate) fn payment(method: &str) -> Value {
    json!({"customer": PAYER, "amount": "1", "method": method})
}
