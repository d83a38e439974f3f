//! What it costs that one installation serves many businesses: the same list asked for by one shop, and by a thousand shops in turn, so that
//! nobody asks twice before everybody else has asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use contracts::ids::TenantId;

use crate::callers::{key, list};
use crate::calls::Client;
use crate::growth::neighbours;
use crate::load::{Load, Times, drive};
use crate::stage::Stage;

/// What the command line calls it.
pub(crate) const TITLE: &str = "shops in turn";
/// Businesses that take turns; as few in a quick run as show that it works.
const SHOPS: usize = 1_000;
const SHOPS_QUICK: usize = 20;
/// How many connections at once.
const AT_ONCE: [usize; 2] = [16, 64];
/// How often one shop and all of them take turns.
const ROUNDS: u32 = 4;

/// Keys, one of which is taken after the other.
struct Ring {
    keys: Vec<String>,
    next: AtomicUsize,
}

impl Ring {
    fn of(keys: &[String]) -> Arc<Ring> {
        Arc::new(Ring {
            keys: keys.to_vec(),
            next: AtomicUsize::new(0),
        })
    }

    fn next(&self) -> anyhow::Result<&str> {
        let n = self.next.fetch_add(1, Ordering::Relaxed) % self.keys.len().max(1);
        Ok(self.keys.get(n).context("no keys")?)
    }
}

/// Prints a row for each number of connections; the last column is the rate of all shops beside that of one.
pub(crate) async fn table(
    stage: &Stage,
    client: &Client,
    time: Duration,
    quick: bool,
) -> anyhow::Result<String> {
    let shops = if quick { SHOPS_QUICK } else { SHOPS };
    let mut keys = Vec::with_capacity(shops);
    // The measured shop is another: all of these are alike.
    for id in neighbours(&stage.owner, i64::try_from(shops)? + 1).await? {
        keys.push(key(stage, TenantId(id)).await?);
    }
    stage.vacuum().await?;
    stage.settle().await?;
    let mut text = format!(
        "\n| list | at once | one shop, calls/s | p50 ms | p99 ms | {shops} shops in turn, calls/s | p50 ms | p99 ms | of one |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|\n"
    );
    let times = Times {
        warm_up: time / ROUNDS / 4,
        window: time / ROUNDS,
    };
    let (one, all) = (Ring::of(keys.get(..1).context("a shop")?), Ring::of(&keys));
    for at_once in AT_ONCE {
        let (mut alone, mut in_turn) = (Load::new()?, Load::new()?);
        for _ in 0..ROUNDS {
            alone.add(asked(client, &one, at_once, times).await?)?;
            in_turn.add(asked(client, &all, at_once, times).await?)?;
        }
        for load in [&alone, &in_turn] {
            ensure!(load.failed == 0, "{:?}", load.first_failure);
        }
        text += &format!(
            "| key | {at_once} | {:.0} | {:.2} | {:.2} | {:.0} | {:.2} | {:.2} | {:.2} |\n",
            alone.per_second(),
            alone.latency_ms(50.0),
            alone.latency_ms(99.0),
            in_turn.per_second(),
            in_turn.latency_ms(50.0),
            in_turn.latency_ms(99.0),
            in_turn.per_second() / alone.per_second()
        );
    }
    Ok(text)
}

async fn asked(
    client: &Client,
    ring: &Arc<Ring>,
    at_once: usize,
    times: Times,
) -> anyhow::Result<Load> {
    let shared = Arc::new((client.clone(), Arc::clone(ring)));
    let call = move |_| {
        let shared = Arc::clone(&shared);
        async move { list(&shared.0, Some(shared.1.next()?)).await }
    };
    Ok(drive(at_once, times, call, || Ok(())).await?.load)
}
