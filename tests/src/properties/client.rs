//! A client that has to know what became of every request: it asks under the same key until there is an answer, whatever happens to its
//! requests on their way.

use std::time::Duration;

use anyhow::{bail, ensure};
use contracts::confirmation;
use contracts::ids::TenantId;
use contracts::token::{
    AUDIENCE, AgentClaims, ISSUER, LIFETIME_SECONDS, PrincipalRole, TokenPerson,
};
use contracts::tool::IDEMPOTENCY_META_KEY;
use migrations::clock::{SharedClock, new_id};
use migrations::keys::Key;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::script::{Draw, Fault};
use crate::model::Reply;
use crate::world::mcp::{McpClient, signed_with, yes};

/// How long a client goes on asking.
const PATIENCE: Duration = Duration::from_secs(45);
/// Longest pause before a request is repeated, milliseconds.
const PAUSE_MS: u64 = 60;
/// Failures that say nothing about what became of the request.
const UNKNOWN: [&str; 3] = ["unavailable", "timeout", "rate_limited"];

/// The servers' doors, and what opens them.
pub struct Doors {
    /// Connections, shared by all clients.
    pub http: reqwest::Client,
    /// Two servers over one database.
    pub urls: [String; 2],
    /// Signs tokens as the agent does.
    pub key: Key,
    /// The time.
    pub clock: SharedClock,
}

/// One person's client in one shop.
pub struct Client<'a> {
    /// The doors.
    pub doors: &'a Doors,
    /// The shop.
    pub tenant: TenantId,
    /// The person.
    pub subject: String,
    /// Chance.
    pub draw: Draw,
}

/// A `tools/call`.
#[derive(Debug, Clone)]
pub struct Request {
    /// The tool.
    pub tool: &'static str,
    /// Its arguments.
    pub arguments: Value,
    /// The key; none for what only reads.
    pub key: Option<String>,
    /// The token of the question it answers, and the answer.
    pub answer: Option<(String, bool)>,
}

/// An answer, with the token where it asks.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// What was answered.
    pub reply: Reply,
    /// The question's token.
    pub token: Option<String>,
}

enum Sent {
    Answered(Box<Answered>),
    /// Nothing is known.
    Lost,
}

impl Client<'_> {
    /// Asks until there is an answer.
    ///
    /// # Errors
    /// When there is none in time, when two answers under one key differ, or when something is answered that never should be.
    pub async fn call(&mut self, request: &Request, fault: Fault) -> anyhow::Result<Answered> {
        let server = usize::from(self.draw.percent(50));
        let mut first = None;
        match fault {
            Fault::None | Fault::Again => {}
            Fault::Dropped { after_us } => {
                let sent = self.send(server, request);
                match tokio::time::timeout(Duration::from_micros(after_us), sent).await {
                    Ok(Ok(Sent::Answered(answered))) => first = Some(*answered),
                    Ok(Err(wrong)) => return Err(wrong),
                    Ok(Ok(Sent::Lost)) | Err(_) => {}
                }
            }
            Fault::Twice => {
                let (one, other) =
                    tokio::join!(self.send(server, request), self.send(1 - server, request));
                for sent in [one?, other?] {
                    if let Sent::Answered(answered) = sent {
                        same(request, first.as_ref(), &answered)?;
                        first = Some(*answered);
                    }
                }
            }
        }
        if matches!(fault, Fault::Twice)
            && let Some(answered) = first
        {
            return Ok(answered);
        }
        let answered = self.until_answered(request).await?;
        same(request, first.as_ref(), &answered)?;
        if fault == Fault::Again {
            let again = self.until_answered(request).await?;
            same(request, Some(&answered), &again)?;
        }
        Ok(answered)
    }

    async fn until_answered(&mut self, request: &Request) -> anyhow::Result<Answered> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let server = usize::from(self.draw.percent(50));
            if let Sent::Answered(answered) = self.send(server, request).await? {
                return Ok(*answered);
            }
            ensure!(
                tokio::time::Instant::now() < deadline,
                "no answer within {} s: {request:?}",
                PATIENCE.as_secs()
            );
            let pause_ms = 1 + self.draw.below(PAUSE_MS);
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
    }

    async fn send(&self, server: usize, request: &Request) -> anyhow::Result<Sent> {
        let mut params = json!({"name": request.tool, "arguments": request.arguments});
        if let Some(key) = &request.key {
            params["_meta"] = json!({IDEMPOTENCY_META_KEY: key});
        }
        if let Some((token, says_yes)) = &request.answer {
            params["requestState"] = json!(token);
            params["inputResponses"] = if *says_yes {
                yes()
            } else {
                crate::world::mcp::no()
            };
        }
        let client = McpClient::over(&self.doors.http, &self.doors.urls[server])
            .bearer(&self.token(request.answer.is_some()));
        let sent = client.prepare("tools/call", params).send().await;
        let Ok(response) = sent else {
            return Ok(Sent::Lost);
        };
        let status = response.status();
        let Ok(body) = response.text().await else {
            return Ok(Sent::Lost);
        };
        if status == StatusCode::SERVICE_UNAVAILABLE {
            return Ok(Sent::Lost);
        }
        ensure!(status == StatusCode::OK, "{status}: {body} to {request:?}");
        let answer: Value = serde_json::from_str(&body)?;
        read(request, &answer["result"])
    }

    fn token(&self, answers: bool) -> String {
        let now = self.doors.clock.now().timestamp();
        let person = TokenPerson {
            sub: self.subject.clone(),
            role: PrincipalRole::Owner,
        };
        let claims = AgentClaims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: self.subject.clone(),
            role: PrincipalRole::Owner,
            tenant: self.tenant,
            customer: None,
            scopes: None,
            iat: now,
            exp: now + LIFETIME_SECONDS,
            jti: new_id(&*self.doors.clock),
            decided_by: answers.then_some(person),
        };
        signed_with(&claims, &self.doors.key)
    }
}

/// One key has one answer, whoever asks and however often.
fn same(request: &Request, before: Option<&Answered>, now: &Answered) -> anyhow::Result<()> {
    let (Some(before), Some(_)) = (before, &request.key) else {
        return Ok(());
    };
    ensure!(
        before == now,
        "two answers to one request {request:?}:\n  {before:?}\n  {now:?}"
    );
    Ok(())
}

fn read(request: &Request, result: &Value) -> anyhow::Result<Sent> {
    let answered = |reply, token| Ok(Sent::Answered(Box::new(Answered { reply, token })));
    if result["resultType"] == "input_required" {
        let question = result["_meta"][confirmation::META_KEY].clone();
        let token = result["requestState"].as_str().map(str::to_owned);
        ensure!(token.is_some(), "a question without a token: {result}");
        return answered(Reply::Asked(question), token);
    }
    if result["isError"] == true {
        let text = result["content"][0]["text"].as_str().unwrap_or_default();
        let failure: Value = serde_json::from_str(text)?;
        if UNKNOWN.iter().any(|code| failure["code"] == *code) {
            return Ok(Sent::Lost);
        }
        if failure["code"] == "internal" {
            bail!("our fault: {failure} to {request:?}");
        }
        return answered(Reply::Refused(failure), None);
    }
    let mut done = result["structuredContent"].clone();
    ensure!(done.is_object(), "no result: {result} to {request:?}");
    in_order(&mut done);
    add_up(&mut done);
    answered(Reply::Done(done), None)
}

/// Lists by number: bills come newest first by the time they were asked for, which is not quite the order of their numbers when several are
/// at it; bookings come by their time.
fn in_order(done: &mut Value) {
    for (list, key) in [
        ("bills", "number"),
        ("bookings", "reference"),
        ("tickets", "number"),
    ] {
        let Some(rows) = done.get_mut(list).and_then(Value::as_array_mut) else {
            continue;
        };
        rows.sort_by_key(|row| {
            let number = row[key].as_str().unwrap_or_default();
            let (series, digits) = number.rsplit_once('-').unwrap_or_default();
            (series.to_owned(), digits.parse::<u64>().unwrap_or(0))
        });
    }
}

/// What the movements of a page come to, so that it can be compared with a balance.
fn add_up(done: &mut Value) {
    let Some(movements) = done.get("movements").and_then(Value::as_array) else {
        return;
    };
    let sum = |change: &str| -> i64 {
        let changes = movements
            .iter()
            .filter_map(|m| m[change]["amount_minor"].as_i64());
        changes.sum()
    };
    let sums = json!({"wallet_minor": sum("wallet_change"), "owed_minor": sum("owed_change")});
    done["sums"] = sums;
}
