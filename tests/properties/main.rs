//! Sequences of operations drawn by chance, against the real servers and the model: see `e2e::properties`.
//!
//! `COUNTERSIGN_SEQUENCES` sets how many (2,000 unless it says otherwise), `COUNTERSIGN_SEED` runs the sequence of one number, many times.

#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]
#![expect(
    clippy::panic,
    clippy::print_stderr,
    reason = "whoever runs it reads what it came to"
)]

use std::sync::atomic::Ordering;

use e2e::properties::run::Counter;
use migrations::settings::Reader;

/// The programs of this package, which only its tests know.
const PROGRAMS: e2e::program::Executables = e2e::program::Executables {
    agent: env!("CARGO_BIN_EXE_e2e-agent"),
    server: env!("CARGO_BIN_EXE_e2e-mcp-server"),
    foreign: env!("CARGO_BIN_EXE_e2e-foreign"),
};

/// Sequences of one run.
const SEQUENCES: u32 = 2_000;
/// How many run side by side.
const AT_ONCE: usize = 24;
/// How often one number is run when it is named: whether it fails may depend on who is faster.
const REPEATS: usize = 200;
/// The first number of a run.
const FIRST_SEED: u64 = 20_261_120;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_reply_has_an_order_and_no_acknowledged_write_is_lost() {
    let settings = Reader::environment();
    let sequences = settings
        .number("COUNTERSIGN_SEQUENCES", SEQUENCES, 1, 1_000_000)
        .expect("a number of sequences");
    let seed = settings
        .optional("COUNTERSIGN_SEED")
        .map(|seed| seed.parse::<u64>().expect("a number"));
    let seeds: Vec<u64> = match seed {
        Some(seed) => vec![seed; REPEATS],
        None => (FIRST_SEED..).take(sequences as usize).collect(),
    };
    let (counter, servers) = Counter::open(PROGRAMS).await;
    match counter.run(servers, seeds.into_iter(), AT_ONCE).await {
        Ok(report) => {
            let count = |number: &std::sync::atomic::AtomicU32| number.load(Ordering::Relaxed);
            let toll = &report.toll;
            eprintln!(
                "{} sequences, {} operations in {} s; {} connections cut ({} in a transaction), {} servers killed",
                report.sequences,
                report.operations,
                report.took.as_secs(),
                count(&toll.cut),
                count(&toll.cut_in_transaction),
                count(&toll.killed)
            );
            assert!(
                count(&toll.killed) > 0 && count(&toll.cut_in_transaction) > 0 || sequences < 500,
                "nothing went wrong, so nothing was shown"
            );
        }
        Err(error) => panic!("{error:#}"),
    }
}
