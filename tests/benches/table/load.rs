//! A closed loop: every worker sends its next call when the last one is answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

/// Longest latency that is told from longer ones, microseconds.
const LATENCY_US_MAX: u64 = 120_000_000;
/// Digits of a latency that are kept.
const DIGITS: u8 = 3;

/// What came of a phase.
pub(crate) struct Load {
    pub(crate) calls: u64,
    pub(crate) failed: u64,
    pub(crate) first_failure: Option<String>,
    /// From the first call's beginning to the last one's end.
    pub(crate) took: Duration,
    latency_us: Histogram<u64>,
}

impl Load {
    fn new() -> anyhow::Result<Load> {
        Ok(Load {
            calls: 0,
            failed: 0,
            first_failure: None,
            took: Duration::ZERO,
            latency_us: Histogram::new_with_max(LATENCY_US_MAX, DIGITS)
                .context("the range of latencies")?,
        })
    }

    /// Calls that were answered as they should be, per second.
    pub(crate) fn per_second(&self) -> f64 {
        self.answered() as f64 / self.took.as_secs_f64()
    }

    pub(crate) fn answered(&self) -> u64 {
        self.calls - self.failed
    }

    /// The latency that so many of a hundred calls did not exceed, milliseconds.
    pub(crate) fn latency_ms(&self, of_a_hundred: f64) -> f64 {
        self.latency_us.value_at_percentile(of_a_hundred) as f64 / 1000.0
    }

    fn add(&mut self, other: Load) -> anyhow::Result<()> {
        self.calls += other.calls;
        self.failed += other.failed;
        if self.first_failure.is_none() {
            self.first_failure = other.first_failure;
        }
        self.latency_us
            .add(other.latency_us)
            .context("adding latencies")
    }
}

/// Keeps `workers` calls going for `time`. `call` gets the worker's number. Calls that have begun are waited for; each has its own
/// deadline.
pub(crate) async fn drive<F>(
    workers: usize,
    time: Duration,
    call: impl Fn(usize) -> F + Send + Sync + 'static,
) -> anyhow::Result<Load>
where
    F: Future<Output = anyhow::Result<()>> + Send,
{
    let call = Arc::new(call);
    let began = Instant::now();
    let mut going = JoinSet::new();
    for worker in 0..workers {
        let call = Arc::clone(&call);
        going.spawn(async move {
            let mut load = Load::new()?;
            while began.elapsed() < time {
                let sent = Instant::now();
                let answer = call(worker).await;
                let us = u64::try_from(sent.elapsed().as_micros()).unwrap_or(LATENCY_US_MAX);
                load.calls += 1;
                load.latency_us.saturating_record(us);
                if let Err(error) = answer {
                    load.failed += 1;
                    load.first_failure
                        .get_or_insert_with(|| format!("{error:#}"));
                }
            }
            anyhow::Ok(load)
        });
    }
    let mut all = Load::new()?;
    while let Some(load) = going.join_next().await {
        all.add(load.context("a worker")??)?;
    }
    all.took = began.elapsed();
    Ok(all)
}
