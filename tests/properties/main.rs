//! Sequences of operations drawn by chance, against the real servers and the model: see `e2e::properties`.
//!
//! `COUNTERSIGN_SEQUENCES` sets how many (2,000 unless it says otherwise), `COUNTERSIGN_SEED` runs the sequence of one number, many times.

#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use e2e::properties::run::Counter;
use e2e::world::mcp::{self, McpClient};
use e2e::world::{Setting, World};
use migrations::settings::Reader;
use serde_json::json;

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

/// How many items and bills are there before anybody looks.
const BEFORE: usize = 40;
/// How many come while pages are turned.
const MEANWHILE: usize = 40;
/// Rows of a page.
const PAGE: usize = 7;

/// Turns the pages of a list while somebody adds to it: what was there before stands on exactly one page, and nothing stands on two.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_stands_on_one_page_while_others_come() {
    let world = World::open_with(Setting {
        empty: true,
        owner_sql: vec![
            "insert into shop.policies (tenant_id, tool, ask) select id, 'billing_create_bill', 'never' from shop.tenants",
        ],
        ..Setting::default()
    })
    .await;
    // Names spread over the alphabet, so that new ones come before and after the page that is being read.
    let name = |i: usize| {
        let letter = |n: usize| char::from(b'a' + u8::try_from(n % 26).expect("a letter"));
        format!("{}{}{} thing {i}", letter(i * 7), letter(i * 11), letter(i))
    };
    let writer = world.asking_client();
    let sell = async |i: usize| {
        let item = json!({"name": name(i), "unit_price": "10", "quantity": "5"});
        mcp::done(&writer.call("inventory_add_item", &item).await);
        let bill = json!({"lines": [{"item": name(i), "quantity": "1"}]});
        mcp::done(&writer.call("billing_create_bill", &bill).await);
    };
    for i in 0..BEFORE {
        sell(i).await;
    }
    let writing = async {
        for i in BEFORE..BEFORE + MEANWHILE {
            sell(i).await;
        }
    };
    let reader = world.mcp(mcp::MODERN);
    let reading = async {
        let mut turned = 0;
        while turned < 6 {
            let items = pages(&reader, "inventory_list_items", "items", "name").await;
            let bills = pages(&reader, "billing_list_bills", "bills", "number").await;
            let money = pages(&reader, "transaction_history", "movements", "transfer_id").await;
            assert!(money.len() >= BEFORE, "{}", money.len());
            let shown = |i: usize| name(i)[..1].to_uppercase() + &name(i)[1..];
            assert!((0..BEFORE).all(|i| items.contains(&shown(i))), "{items:?}");
            let numbers = (1..=BEFORE).map(|number| format!("INV-{number}"));
            assert!(numbers.into_iter().all(|n| bills.contains(&n)), "{bills:?}");
            turned += 1;
        }
    };
    tokio::join!(writing, reading);
    let all = pages(&reader, "inventory_list_items", "items", "name").await;
    assert_eq!(all.len(), BEFORE + MEANWHILE);
}

/// Everything a list has, page by page. Nothing twice.
async fn pages(client: &McpClient, tool: &str, list: &str, key: &str) -> HashSet<String> {
    let mut seen = HashSet::new();
    let mut arguments = json!({"limit": PAGE});
    loop {
        let page = mcp::done(&client.call(tool, &arguments).await);
        for row in page[list].as_array().expect("a list") {
            let key = row[key].as_str().expect("a key").to_owned();
            assert!(seen.insert(key), "{tool}: twice: {row}");
        }
        let Some(next) = page["next_cursor"].as_str() else {
            return seen;
        };
        arguments["cursor"] = json!(next);
    }
}
