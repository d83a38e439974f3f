//! What it costs to know who calls: the same list, asked for by nobody in particular, with an API key and with a token of the agent, in turn.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use contracts::ids::TenantId;
use contracts::scope::Reach;
use contracts::token::{AUDIENCE, AgentClaims, ISSUER, LIFETIME_SECONDS, PrincipalRole};
use e2e::world::mcp::signed_with;
use mcp_server::identity::keys::{self, NewKey};
use migrations::clock::{Clock as _, SystemClock, new_id};
use migrations::keys::from_text;
use serde_json::json;

use crate::calls::Client;
use crate::load::{Load, Times, drive};
use crate::stage::{Stage, TOKEN_KEY};

/// What the command line calls it.
pub(crate) const TITLE: &str = "who calls";
/// How many connections at once.
const AT_ONCE: [usize; 2] = [16, 64];
/// How often they take turns.
const ROUNDS: u32 = 4;

/// How a caller is known.
#[derive(Clone)]
enum Caller {
    /// Local mode's owner.
    Nobody,
    /// By an API key.
    Key(String),
    /// By a token of the agent, made for each call.
    Token,
}

impl Caller {
    const fn title(&self) -> &'static str {
        match self {
            Caller::Nobody => "local owner, no credential",
            Caller::Key(_) => "API key",
            Caller::Token => "agent's token, made for each call",
        }
    }

    fn credential(&self) -> anyhow::Result<Option<String>> {
        match self {
            Caller::Nobody => Ok(None),
            Caller::Key(key) => Ok(Some(key.clone())),
            Caller::Token => token().map(Some),
        }
    }
}

fn token() -> anyhow::Result<String> {
    let now = SystemClock.now().timestamp();
    let claims = AgentClaims {
        iss: ISSUER.to_owned(),
        aud: AUDIENCE.to_owned(),
        sub: "owner".to_owned(),
        role: PrincipalRole::Owner,
        tenant: TenantId::DEMO,
        customer: None,
        scopes: None,
        iat: now,
        exp: now + LIFETIME_SECONDS,
        jti: new_id(&SystemClock),
        decided_by: None,
    };
    let key = from_text(TOKEN_KEY).context("the key")?;
    Ok(signed_with(&claims, &key))
}

/// Prints a row for each caller and number of connections; the last column is the rate beside that of the first row.
pub(crate) async fn table(
    stage: &Stage,
    client: &Client,
    time: Duration,
) -> anyhow::Result<String> {
    let mut text = "\n| list, who calls | at once | calls/s | p50 ms | p99 ms | of the rate without |\n|---|--:|--:|--:|--:|--:|\n".to_owned();
    let callers = [
        Caller::Nobody,
        Caller::Key(key(stage, TenantId::DEMO).await?),
        Caller::Token,
    ];
    let times = Times {
        warm_up: time / ROUNDS / 4,
        window: time / ROUNDS,
    };
    for at_once in AT_ONCE {
        let mut loads = [Load::new()?, Load::new()?, Load::new()?];
        for _ in 0..ROUNDS {
            for (caller, load) in callers.iter().zip(&mut loads) {
                let shared = Arc::new((client.clone(), caller.clone()));
                let call = move |_| {
                    let shared = Arc::clone(&shared);
                    async move { list(&shared.0, shared.1.credential()?.as_deref()).await }
                };
                load.add(drive(at_once, times, call, || Ok(())).await?.load)?;
            }
        }
        let without = loads[0].per_second();
        for (caller, load) in callers.iter().zip(&loads) {
            ensure!(load.failed == 0, "{:?}", load.first_failure);
            text += &format!(
                "| {} | {at_once} | {:.0} | {:.2} | {:.2} | {:.2} |\n",
                caller.title(),
                load.per_second(),
                load.latency_ms(50.0),
                load.latency_ms(99.0),
                load.per_second() / without
            );
        }
    }
    Ok(text)
}

/// A new API key of a shop, for reading.
pub(crate) async fn key(stage: &Stage, tenant: TenantId) -> anyhow::Result<String> {
    let new = NewKey {
        name: "bench".to_owned(),
        role: PrincipalRole::Staff,
        customer: None,
        reach: Reach::READING,
        expires_at: None,
        created_by: "bench".to_owned(),
    };
    let mut conn = stage.owner.acquire().await?;
    let (id, now) = (new_id(&SystemClock), SystemClock.now());
    let (_, text) = keys::create(&mut conn, tenant, new, id, now).await?;
    Ok(text)
}

/// The first twenty items of the shop of whoever asks.
pub(crate) async fn list(client: &Client, credential: Option<&str>) -> anyhow::Result<()> {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "inventory_list_items", "arguments": {"limit": 20},
    }});
    let mut request = client
        .http
        .post(&client.mcp_url)
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2025-11-25")
        .json(&body);
    if let Some(credential) = credential {
        request = request.bearer_auth(credential);
    }
    let text = request.send().await?.error_for_status()?.text().await?;
    ensure!(text.contains("\"items\":["), "no list: {text}");
    Ok(())
}
