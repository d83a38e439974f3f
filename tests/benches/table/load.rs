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

/// How long a slice of measuring lasts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// Calls that end in this time are not counted.
    pub(crate) warm_up: Duration,
    /// Calls that end in the time after it are.
    pub(crate) window: Duration,
}

/// What came of one or more slices.
pub(crate) struct Load {
    /// Calls that were answered as they should be within the windows.
    pub(crate) answered: u64,
    /// Calls that were, at any time.
    pub(crate) finished: u64,
    /// Calls that were not, at any time.
    pub(crate) failed: u64,
    pub(crate) first_failure: Option<String>,
    /// The windows together.
    pub(crate) took: Duration,
    latency_us: Histogram<u64>,
}

impl Load {
    pub(crate) fn new() -> anyhow::Result<Load> {
        Ok(Load {
            answered: 0,
            finished: 0,
            failed: 0,
            first_failure: None,
            took: Duration::ZERO,
            latency_us: Histogram::new_with_max(LATENCY_US_MAX, DIGITS)
                .context("the range of latencies")?,
        })
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.answered as f64 / self.took.as_secs_f64()
    }

    /// The latency that so many of a hundred calls did not exceed, milliseconds.
    pub(crate) fn latency_ms(&self, of_a_hundred: f64) -> f64 {
        self.latency_us.value_at_percentile(of_a_hundred) as f64 / 1000.0
    }

    pub(crate) fn add(&mut self, other: Load) -> anyhow::Result<()> {
        self.answered += other.answered;
        self.finished += other.finished;
        self.failed += other.failed;
        self.took += other.took;
        if self.first_failure.is_none() {
            self.first_failure = other.first_failure;
        }
        self.latency_us
            .add(other.latency_us)
            .context("adding latencies")
    }
}

/// A slice, and what was seen where its window begins and ends.
pub(crate) struct Slice<T> {
    pub(crate) load: Load,
    pub(crate) before: T,
    pub(crate) after: T,
}

/// Keeps `workers` calls going, and looks at the window's edges. `call` gets the worker's number. Calls that have begun are waited for;
/// each has its own deadline. A worker whose call fails stops.
pub(crate) async fn drive<F, T>(
    workers: usize,
    times: Times,
    call: impl Fn(usize) -> F + Send + Sync + 'static,
    look: impl Fn() -> anyhow::Result<T>,
) -> anyhow::Result<Slice<T>>
where
    F: Future<Output = anyhow::Result<()>> + Send,
{
    let call = Arc::new(call);
    let began = Instant::now();
    let from = began + times.warm_up;
    let until = from + times.window;
    let mut going = JoinSet::new();
    for worker in 0..workers {
        let call = Arc::clone(&call);
        going.spawn(async move { work(worker, &*call, from, until).await });
    }
    tokio::time::sleep_until(from.into()).await;
    let before = look()?;
    tokio::time::sleep_until(until.into()).await;
    let after = look()?;
    let mut load = Load::new()?;
    while let Some(done) = going.join_next().await {
        load.add(done.context("a worker")??)?;
    }
    load.took = times.window;
    Ok(Slice {
        load,
        before,
        after,
    })
}

async fn work<F: Future<Output = anyhow::Result<()>>>(
    worker: usize,
    call: &impl Fn(usize) -> F,
    from: Instant,
    until: Instant,
) -> anyhow::Result<Load> {
    let mut load = Load::new()?;
    loop {
        let sent = Instant::now();
        if sent >= until {
            return Ok(load);
        }
        // What fails once would fail again, faster than it works.
        if let Err(error) = call(worker).await {
            load.failed += 1;
            load.first_failure = Some(format!("{error:#}"));
            return Ok(load);
        }
        let done = Instant::now();
        load.finished += 1;
        if (from..until).contains(&done) {
            load.answered += 1;
            let us = u64::try_from((done - sent).as_micros()).unwrap_or(LATENCY_US_MAX);
            load.latency_us.saturating_record(us);
        }
    }
}
