//! The table as it is printed.

use std::fs;

use crate::calls::Kind;
use crate::load::{Load, Times};
use crate::stage::{HISTORY, ITEMS, POOL_SIZE, Stage};

/// Processor time and memory of everybody during a phase.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) server_ms: u64,
    pub(crate) agent_ms: u64,
    pub(crate) postgres_ms: u64,
    pub(crate) client_ms: u64,
    pub(crate) provider_ms: u64,
    pub(crate) server_kib: u64,
    pub(crate) agent_kib: u64,
}

impl Usage {
    /// Adds what was used between two looks. Memory is as it was at the last one.
    pub(crate) fn add(&mut self, before: Usage, after: Usage) {
        self.server_ms += after.server_ms - before.server_ms;
        self.agent_ms += after.agent_ms - before.agent_ms;
        self.postgres_ms += after.postgres_ms.saturating_sub(before.postgres_ms);
        self.client_ms += after.client_ms - before.client_ms;
        self.provider_ms += after.provider_ms - before.provider_ms;
        self.server_kib = after.server_kib;
        self.agent_kib = after.agent_kib;
    }
}

/// One row.
pub(crate) struct Line {
    pub(crate) kind: Kind,
    pub(crate) at_once: usize,
    /// Statements of one call.
    pub(crate) statements: usize,
    pub(crate) product: Load,
    pub(crate) usage: Usage,
    pub(crate) same_sql: Load,
    /// `None` when the call says nothing to the business.
    pub(crate) bare_sql: Option<Load>,
}

/// The names of the columns.
pub(crate) const HEAD: &str = "\
| call | at once | calls/s | p50 ms | p99 ms | CPU ms `mcp-server` | CPU ms `agent` | CPU ms Postgres | CPU ms provider | MiB `mcp-server` | MiB `agent` | statements | same SQL/s | its p99 ms | of same SQL | bare SQL/s | of bare SQL | client's core |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|";

impl Line {
    pub(crate) fn text(&self) -> String {
        let calls = self.product.answered.max(1) as f64;
        let per_call = |ms: u64| ms as f64 / calls;
        let mib = |kib: u64| kib as f64 / 1024.0;
        let rate = self.product.per_second();
        // A quick run may be over before the first answer.
        let of = |other: &Load| match other.answered {
            0 => "-".to_owned(),
            _ => format!("{:.2}", rate / other.per_second()),
        };
        let none = || "-".to_owned();
        let bare = self.bare_sql.as_ref();
        let provider = match self.kind.asks_provider() {
            true => format!("{:.2}", per_call(self.usage.provider_ms)),
            false => none(),
        };
        let client = self.usage.client_ms as f64 / 1000.0 / self.product.took.as_secs_f64();
        format!(
            "| {} | {} | {:.0} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {} | {:.0} | {:.0} | {} | {:.0} | {:.2} | {} | {} | {} | {:.0} % |",
            self.kind.title(),
            self.at_once,
            rate,
            self.product.latency_ms(50.0),
            self.product.latency_ms(99.0),
            per_call(self.usage.server_ms),
            per_call(self.usage.agent_ms),
            per_call(self.usage.postgres_ms),
            provider,
            mib(self.usage.server_kib),
            mib(self.usage.agent_kib),
            self.statements,
            self.same_sql.per_second(),
            self.same_sql.latency_ms(99.0),
            of(&self.same_sql),
            bare.map_or_else(none, |bare| format!("{:.0}", bare.per_second())),
            bare.map_or_else(none, of),
            client * 100.0,
        )
    }

    /// What went wrong, if anything did.
    pub(crate) fn failures(&self) -> Vec<String> {
        let phases = [
            ("product", Some(&self.product)),
            ("same SQL", Some(&self.same_sql)),
            ("bare SQL", self.bare_sql.as_ref()),
        ];
        let mut all = Vec::new();
        for (phase, load) in phases {
            let Some(load) = load else {
                continue;
            };
            let what = format!("{} at {}, {phase}", self.kind.title(), self.at_once);
            if load.finished == 0 {
                all.push(format!("{what}: nothing was answered"));
            }
            if load.failed > 0 {
                let first = load.first_failure.as_deref().unwrap_or_default();
                let failed = load.failed;
                all.push(format!("{what}: {failed} failed, one of them: {first}"));
            }
        }
        all
    }
}

/// Where and how it was measured.
pub(crate) async fn heading(stage: &Stage, times: Times, rounds: u32) -> anyhow::Result<String> {
    let cores = std::thread::available_parallelism()?;
    let version = stage.setting("server_version").await?;
    let mut settings = Vec::new();
    for name in [
        "fsync",
        "synchronous_commit",
        "full_page_writes",
        "shared_buffers",
    ] {
        settings.push(format!("{name} = {}", stage.setting(name).await?));
    }
    Ok(format!(
        "{cores} cores ({}), shared by Postgres {version} ({}), `mcp-server`, `agent` and the load; every commit waits for the disk.\n\
         Each cell is {rounds} times {} s after {} s of warm-up, in turn with its SQL; a shop of {ITEMS} items, {HISTORY} turns of each kind of chat behind it; {POOL_SIZE} database connections per program and per replay.\n",
        processor(),
        settings.join(", "),
        times.window.as_secs_f64(),
        times.warm_up.as_secs_f64(),
    ))
}

/// The value that so many of a hundred do not exceed.
pub(crate) fn at(sorted: &[f64], of_a_hundred: usize) -> f64 {
    let place = sorted.len() * of_a_hundred / 100;
    let last = sorted.len().saturating_sub(1);
    sorted.get(place.min(last)).copied().unwrap_or_default()
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find(|line| line.starts_with("model name"));
    name.and_then(|line| line.split_once(": "))
        .map_or_else(|| "unknown".to_owned(), |(_, name)| name.trim().to_owned())
}

/// How busy the machine was over the last minute.
pub(crate) fn machine_load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}
