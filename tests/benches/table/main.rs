//! `cargo bench -p e2e`: one table of what calls and chat turns cost, beside the SQL they are made of.
//!
//! The SQL is not written down here. A call of each kind is made while Postgres logs every statement; what the log says is sent again by
//! sqlx, over as many connections and against the same database. A replay is itself logged once and compared with the recording, so that
//! "identical" is checked in every run: see `replay.rs`.
//!
//! `--quick` runs every cell for 0.3 s, to see that it works. `BENCH_SECONDS` sets the seconds per cell. Any other word selects the rows whose
//! title holds it: `cargo bench -p e2e -- chat`. `first` selects the second table: how long the first byte of a stream takes. `who calls` is
//! what credentials cost, `shops in turn` what many businesses do. `growth`, which a run without words leaves out unless it is quick, fills
//! the shop up to a million items.

mod callers;
mod calls;
mod first;
mod growth;
mod load;
mod provider;
mod replay;
mod report;
mod shops;
mod stage;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use e2e::meter;
use e2e::recording::Names;
use migrations::settings::Reader;
use tokio::sync::Mutex;

use crate::calls::{Client, Kind};
use crate::load::{Load, Times, drive};
use crate::replay::{Pools, Recorded, Script};
use crate::report::{Line, Usage};
use crate::stage::{Programs, Stage};

/// Seconds per cell unless `BENCH_SECONDS` says otherwise.
const CELL_SECONDS: u32 = 5;
const CELL_SECONDS_MAX: u32 = 120;
/// Time per cell of a quick run.
const QUICK: Duration = Duration::from_millis(300);
/// The phases of a cell take turns so often.
const ROUNDS: u32 = 2;
/// A warm-up is this part of the time after it.
const WARM_UP_PART: u32 = 5;
/// Phases of a cell: the product, the same SQL, the bare SQL.
const PHASES: u32 = 3;
/// What the growth table may take: most of it is the filling.
const GROWTH: Duration = Duration::from_secs(1500);
/// What everything but the cells may take.
const REST: Duration = Duration::from_secs(180);

#[tokio::main]
async fn main() -> ExitCode {
    match Box::pin(measured()).await {
        Ok(failures) if failures.is_empty() => ExitCode::SUCCESS,
        Ok(failures) => {
            for failure in failures {
                say(&failure);
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Prints the table and returns what failed.
async fn measured() -> anyhow::Result<Vec<String>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let rows = Rows::of(arguments)?;
    let time = if quick {
        QUICK
    } else {
        let reader = Reader::environment();
        let seconds = reader.number("BENCH_SECONDS", CELL_SECONDS, 1, CELL_SECONDS_MAX);
        Duration::from_secs(seconds?.into())
    };
    let cells = u32::try_from(
        rows.kinds
            .iter()
            .map(|kind| kind.at_once().len())
            .sum::<usize>(),
    )?;
    let limit = REST + time * cells * PHASES * 2;
    let mut failures = Vec::new();
    if rows.first_bytes || rows.callers || rows.shops || !rows.kinds.is_empty() {
        failures = within(limit, Box::pin(table(time, &rows, quick))).await?;
    }
    if rows.growth || quick {
        print(&within(GROWTH, growth::run(time, quick)).await?);
    }
    Ok(failures)
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    tokio::time::timeout(limit, work)
        .await
        .with_context(|| format!("not done within {} s", limit.as_secs()))?
}

/// What is measured.
struct Rows {
    kinds: Vec<Kind>,
    first_bytes: bool,
    callers: bool,
    shops: bool,
    growth: bool,
}

impl Rows {
    /// Those that a word of the command line selects; all without one.
    fn of(arguments: Vec<String>) -> anyhow::Result<Rows> {
        let words: Vec<String> = arguments
            .into_iter()
            .filter(|argument| !argument.starts_with("--"))
            .collect();
        let wanted =
            |title: &str| words.is_empty() || words.iter().any(|word| title.contains(word));
        let rows = Rows {
            kinds: Kind::ALL
                .into_iter()
                .filter(|k| wanted(k.title()))
                .collect(),
            first_bytes: wanted(first::TITLE),
            callers: wanted(callers::TITLE),
            shops: wanted(shops::TITLE),
            growth: words
                .iter()
                .any(|word| growth::TITLE.contains(word.as_str())),
        };
        anyhow::ensure!(
            rows.first_bytes || rows.callers || rows.shops || rows.growth || !rows.kinds.is_empty(),
            "no row is called {words:?}"
        );
        Ok(rows)
    }
}

async fn table(time: Duration, rows: &Rows, quick: bool) -> anyhow::Result<Vec<String>> {
    let stage = Stage::new().await?;
    let recorded = recordings(&stage, &rows.kinds).await?;
    let programs = stage.start().await?;
    let times = Times {
        warm_up: time / ROUNDS / WARM_UP_PART,
        window: time / ROUNDS,
    };
    print(&report::heading(&stage, times, ROUNDS).await?);
    let load_before = report::machine_load();
    print(report::HEAD);
    let mut failures = Vec::new();
    for one in &recorded {
        for at_once in one.kind().at_once() {
            let cell = Cell {
                stage: &stage,
                at_once,
                times,
            };
            let line = cell.measure(&programs, one).await?;
            print(&line.text());
            failures.extend(line.failures());
        }
    }
    if rows.callers {
        print(&callers::table(&stage, &programs.client, time).await?);
    }
    if rows.shops {
        print(&shops::table(&stage, &programs.client, time, quick).await?);
    }
    if rows.first_bytes {
        print(&first::table(&programs.client, time).await?);
    }
    print(&format!(
        "\nLoad average of the machine: {load_before} before, {} after.",
        report::machine_load()
    ));
    programs.stop().await;
    stage.close().await;
    Ok(failures)
}

/// Furnishes the shop, records a call of every kind, and proves that the replays say the same.
async fn recordings(stage: &Stage, kinds: &[Kind]) -> anyhow::Result<Vec<Recorded>> {
    let programs = stage.start().await?;
    stage.furnish(&programs, kinds).await?;
    programs.stop().await;
    stage.begin_recording().await?;
    let programs = stage.start().await?;
    let mut recorded = Vec::new();
    for kind in kinds.iter().copied() {
        let one = Recorded::make(stage, &programs.client, kind).await;
        recorded.push(one.with_context(|| format!("recording {kind:?}"))?);
    }
    // Nobody else talks while the replays are compared.
    programs.stop().await;
    for one in &recorded {
        one.prove(stage).await?;
    }
    stage.end_recording().await?;
    Ok(recorded)
}

/// One cell of the table.
struct Cell<'a> {
    stage: &'a Stage,
    at_once: usize,
    times: Times,
}

/// A script with the connections and names it is played with.
struct Replay {
    script: Arc<Script>,
    pools: Arc<Pools>,
    names: Arc<Vec<Mutex<Names>>>,
}

impl Cell<'_> {
    /// Product, same SQL and bare SQL take turns, so that whatever else the machine does hits all three.
    async fn measure(&self, programs: &Programs, recorded: &Recorded) -> anyhow::Result<Line> {
        let kind = recorded.kind();
        let same = self.replay(recorded, recorded.script(self.stage).await?, false);
        let same = same.await?;
        let bare = recorded.bare_script(self.stage).await?;
        let bare = if bare.is_empty() {
            None
        } else {
            Some(self.replay(recorded, bare, true).await?)
        };
        let (mut usage, mut product) = (Usage::default(), Load::new()?);
        let (mut same_sql, mut bare_sql) = (Load::new()?, Load::new()?);
        self.stage.settle().await?;
        for _ in 0..ROUNDS {
            let call = call(programs.client.clone(), kind);
            let look = || self.usage(programs, kind);
            let slice = drive(self.at_once, self.times, call, look).await?;
            product.add(slice.load)?;
            usage.add(slice.before, slice.after);
            same_sql.add(self.play(&same).await?)?;
            if let Some(bare) = &bare {
                bare_sql.add(self.play(bare).await?)?;
            }
        }
        same.pools.close().await;
        if let Some(bare) = &bare {
            bare.pools.close().await;
        }
        Ok(Line {
            kind,
            at_once: self.at_once,
            statements: recorded.statements(),
            product,
            usage,
            same_sql,
            bare_sql: bare.map(|_| bare_sql),
        })
    }

    async fn replay(
        &self,
        recorded: &Recorded,
        script: Script,
        tenant_set: bool,
    ) -> anyhow::Result<Replay> {
        let mut names = Vec::with_capacity(self.at_once);
        for worker in 0..self.at_once {
            names.push(Mutex::new(recorded.worker_names(self.stage, worker).await?));
        }
        Ok(Replay {
            script: Arc::new(script),
            pools: Arc::new(Pools::open(self.stage, tenant_set)?),
            names: Arc::new(names),
        })
    }

    async fn play(&self, replay: &Replay) -> anyhow::Result<Load> {
        let all = (
            Arc::clone(&replay.script),
            Arc::clone(&replay.names),
            Arc::clone(&replay.pools),
        );
        let play = move |worker: usize| {
            let (script, names, pools) = all.clone();
            async move { play_once(&script, &names, &pools, worker).await }
        };
        Ok(drive(self.at_once, self.times, play, || Ok(())).await?.load)
    }

    fn usage(&self, programs: &Programs, kind: Kind) -> anyhow::Result<Usage> {
        let server = programs.server.id().context("mcp-server has ended")?;
        let agent = programs.agent_of(kind).id();
        let agent = agent.context("agent has ended")?;
        let provider = programs.provider.id();
        let provider = provider.context("the provider has ended")?;
        Ok(Usage {
            server_ms: meter::cpu_ms(server)?,
            agent_ms: meter::cpu_ms(agent)?,
            postgres_ms: meter::family_cpu_ms(self.stage.postmaster)?,
            client_ms: meter::cpu_ms(std::process::id())?,
            provider_ms: meter::cpu_ms(provider)?,
            server_kib: meter::resident_kib(server)?,
            agent_kib: meter::resident_kib(agent)?,
        })
    }
}

fn call(
    client: Client,
    kind: Kind,
) -> impl Fn(usize) -> futures::future::BoxFuture<'static, anyhow::Result<()>> {
    move |worker| {
        let client = client.clone();
        Box::pin(async move { client.send(kind, &kind.name(worker)).await })
    }
}

/// A worker plays one call after the other, so nobody waits for its names.
async fn play_once(
    script: &Script,
    names: &[Mutex<Names>],
    pools: &Pools,
    worker: usize,
) -> anyhow::Result<()> {
    let names = names.get(worker).context("a worker too many")?;
    script.play(pools, &mut *names.lock().await).await
}

#[expect(clippy::print_stdout, reason = "the table is what it is run for")]
fn print(text: &str) {
    println!("{text}");
}

#[expect(
    clippy::print_stderr,
    reason = "a command line tool speaks to whoever runs it"
)]
fn say(text: &str) {
    eprintln!("{text}");
}
