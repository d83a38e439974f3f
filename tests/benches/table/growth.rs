//! Whether a call's time stays what it is while the business grows: `cargo bench -p e2e -- growth`.
//!
//! One client sends one call after the other to a shop that is filled further between the rounds. The filling is SQL, because no shop waits
//! for a million calls; the calls are the product's. A full run also draws the table: `tests/benches/growth.svg`.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use contracts::ids::TenantId;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::calls::{Client, PAYER, SLOT_MINUTES, Slot, booking, item, payment, token};
use crate::report::at;
use crate::stage::{Stage, open_resource};

/// What the command line calls it.
pub(crate) const TITLE: &str = "growth";
/// Calls per cell, if the time allows.
const CALLS_MAX: usize = 200;
/// Calls per cell in any case.
const CALLS_MIN: usize = 5;
/// Calls before those that are counted: a statement is planned and the pages are read.
const WARM_UP: usize = 5;
/// Items of each of the other businesses.
const NEIGHBOUR_ITEMS: i64 = 100;
/// The measured shop has a customer, with a wallet that was filled once and an open bill, and a booking, for so many items.
const ITEMS_PER_CUSTOMER: i64 = 10;
/// What the growing number of bookings is of. A booking and a free slot take turns in it, so that every day has both.
const DIARY: &str = "Diary";
/// Where a full run draws.
const PLOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/growth.svg");

/// How large everything is in one round.
#[derive(Debug, Clone, Copy)]
struct Size {
    items: i64,
    tenants: i64,
}

const FULL: [Size; 4] = [
    Size {
        items: 1_000,
        tenants: 1,
    },
    Size {
        items: 100_000,
        tenants: 1,
    },
    Size {
        items: 1_000_000,
        tenants: 1,
    },
    Size {
        items: 1_000_000,
        tenants: 1_000,
    },
];
const SMALL: [Size; 3] = [
    Size {
        items: 600,
        tenants: 1,
    },
    Size {
        items: 6_000,
        tenants: 1,
    },
    Size {
        items: 6_000,
        tenants: 20,
    },
];

impl Size {
    fn title(self) -> String {
        let many = |n: i64, of: &str| match n {
            1 => format!("1 {of}"),
            n if n % 1_000_000 == 0 => format!("{}M {of}s", n / 1_000_000),
            n if n % 1_000 == 0 => format!("{}k {of}s", n / 1_000),
            n => format!("{n} {of}s"),
        };
        format!(
            "{}, {}",
            many(self.items, "item"),
            many(self.tenants, "shop")
        )
    }
}

/// A call that is measured in every round.
struct Probe {
    title: &'static str,
    tool: &'static str,
    arguments: fn(&str) -> Value,
    /// What the answer holds.
    proof: &'static str,
}

/// Reads before writes.
const PROBES: &[Probe] = &[
    Probe {
        title: "list, first page",
        tool: "inventory_list_items",
        arguments: |_| json!({"limit": 20}),
        proof: "\"next_cursor\":",
    },
    Probe {
        title: "list, one category",
        tool: "inventory_list_items",
        arguments: |_| json!({"category": "beauty"}),
        proof: "Shampoo",
    },
    Probe {
        title: "list, what runs low",
        tool: "inventory_list_items",
        arguments: |_| json!({"low_stock": true}),
        proof: "Matches",
    },
    Probe {
        title: "search, a slip",
        tool: "inventory_list_items",
        arguments: |_| json!({"query": "shampo"}),
        proof: "Shampoo",
    },
    Probe {
        title: "get, by name",
        tool: "inventory_get_item",
        arguments: |_| json!({"item": "flour"}),
        proof: "Flour",
    },
    Probe {
        title: "get, a slip",
        tool: "inventory_get_item",
        arguments: |_| json!({"item": "shampooo"}),
        proof: "Shampoo",
    },
    Probe {
        title: "list bills",
        tool: "billing_list_bills",
        arguments: |_| json!({"customer": "Ali"}),
        proof: "INV-",
    },
    Probe {
        title: "balance of a customer",
        tool: "check_balance",
        arguments: |_| json!({"customer": PAYER}),
        proof: "\"open_bills\":1",
    },
    Probe {
        title: "movements of money",
        tool: "transaction_history",
        arguments: |_| json!({"limit": 20}),
        proof: "\"next_cursor\":",
    },
    Probe {
        title: "customers, a slip",
        tool: "find_customers",
        arguments: |_| json!({"query": "imaculee"}),
        proof: PAYER,
    },
    Probe {
        title: "what is free on a day",
        tool: "check_availability",
        arguments: |_| json!({"resource": DIARY, "date": Slot::first().format("%Y-%m-%d").to_string(), "limit": 20}),
        proof: "\"more\":true",
    },
    Probe {
        title: "add",
        tool: "inventory_add_item",
        arguments: item,
        proof: "Added 20 kg",
    },
    Probe {
        title: "change stock",
        tool: "inventory_update_item",
        arguments: |_| json!({"item": "Flour", "adjust": {"delta": "1", "unit": "kg", "reason": "purchase"}}),
        proof: "\"summary\":",
    },
    Probe {
        title: "bill",
        tool: "billing_create_bill",
        arguments: |_| json!({"customer": "Ali", "lines": [{"item": "Flour", "quantity": "1", "unit": "kg"}, {"item": "Shampoo", "quantity": "1"}]}),
        proof: "INV-",
    },
    Probe {
        title: "book",
        tool: "create_booking",
        arguments: |_| booking(Slot::fresh()),
        proof: "BK-",
    },
    Probe {
        title: "collect, cash",
        tool: "collect_payment",
        // Not of Ali, who owes a bill more with every call above.
        arguments: |_| payment("cash"),
        proof: "PAY-",
    },
];

/// Calls of one probe in one round.
#[derive(Debug, Clone, Copy)]
struct Cell {
    p50_ms: f64,
    p99_ms: f64,
}

/// Fills, measures and prints; draws when the sizes are the real ones.
pub(crate) async fn run(time: Duration, small: bool) -> anyhow::Result<String> {
    let sizes: &[Size] = if small { &SMALL } else { &FULL };
    let stage = Stage::new().await?;
    let programs = stage.start().await?;
    stage.furnish(&programs, &[]).await?;
    let runs_low = json!({"name": "Matches", "unit": "each", "unit_price": "50", "quantity": "1", "low_stock_level": "5"});
    programs
        .client
        .tool("inventory_add_item", runs_low, &token())
        .await?;
    open_resource(&programs.client, DIARY).await?;
    let diary = stage.resource(DIARY).await?;
    let mut rounds: Vec<Vec<Cell>> = Vec::with_capacity(sizes.len());
    for size in sizes {
        grow(&stage.owner, diary, *size).await?;
        stage.tidy().await?;
        let mut round = Vec::with_capacity(PROBES.len());
        for probe in PROBES {
            round.push(measure(&programs.client, probe, time).await?);
        }
        rounds.push(round);
    }
    programs.stop().await;
    stage.close().await;
    if !small {
        std::fs::write(Path::new(PLOT), plot(sizes, &rounds)).context(PLOT)?;
    }
    Ok(table(sizes, &rounds))
}

async fn measure(client: &Client, probe: &Probe, time: Duration) -> anyhow::Result<Cell> {
    let mut times = Vec::new();
    let mut until = None;
    loop {
        let name = token();
        let began = Instant::now();
        let text = client
            .tool(probe.tool, (probe.arguments)(&name), &name)
            .await;
        let text = text.with_context(|| probe.title.to_owned())?;
        times.push(began.elapsed().as_secs_f64() * 1000.0);
        ensure!(
            text.contains(probe.proof),
            "{}: no {} in {text}",
            probe.title,
            probe.proof
        );
        let counted = times.len().saturating_sub(WARM_UP);
        if counted == 0 {
            continue;
        }
        let end = *until.get_or_insert_with(|| Instant::now() + time);
        if counted >= CALLS_MAX || (counted >= CALLS_MIN && Instant::now() >= end) {
            break;
        }
    }
    let mut counted = times.split_off(WARM_UP);
    counted.sort_by(f64::total_cmp);
    Ok(Cell {
        p50_ms: at(&counted, 50),
        p99_ms: at(&counted, 99),
    })
}

/// Fills the shop and its neighbours up to a size.
async fn grow(owner: &PgPool, diary: Uuid, size: Size) -> anyhow::Result<()> {
    let shop = TenantId::DEMO.0;
    fill(owner, shop, size.items).await?;
    let customers = size.items / ITEMS_PER_CUSTOMER;
    befriend(owner, shop, customers).await?;
    book(owner, shop, diary, customers).await?;
    neighbours(owner, size.tenants).await?;
    Ok(())
}

/// Opens shops beside the measured one, alike to each other, until there are so many with it. Returns their ids.
pub(crate) async fn neighbours(owner: &PgPool, tenants: i64) -> anyhow::Result<Vec<Uuid>> {
    let mut ids = Vec::new();
    for n in 1..tenants {
        let id = Uuid::from_u128(0x7e4a_0000_0000_0000_0000_0000_0000_0000 + u128::try_from(n)?);
        sqlx::query(
            "insert into shop.tenants (id, name, currency, time_zone, created_at)
             select $1, 'Neighbour ' || $2, currency, time_zone, created_at from shop.tenants where id = $3
             on conflict (id) do nothing",
        )
        .bind(id)
        .bind(n.to_string())
        .bind(TenantId::DEMO.0)
        .execute(owner)
        .await?;
        fill(owner, id, NEIGHBOUR_ITEMS).await?;
        ids.push(id);
    }
    Ok(ids)
}

/// Items of two words and a number, with their levels and a movement each, until there are so many.
async fn fill(owner: &PgPool, tenant: Uuid, items: i64) -> anyhow::Result<()> {
    let there: i64 = sqlx::query_scalar("select count(*) from shop.items where tenant_id = $1")
        .bind(tenant)
        .fetch_one(owner)
        .await?;
    if there >= items {
        return Ok(());
    }
    sqlx::query(
        "with goods as (
             insert into shop.items (tenant_id, id, name, category, unit, unit_price, low_stock_level, created_at)
             select $1, md5($1::text || n)::uuid,
                    (array['Red','Green','Blue','White','Black','Sweet','Sour','Dried','Fresh','Smoked','Large','Small','Fine','Coarse','Plain',
                           'Royal','Village','Golden','Silver','Mountain','River','Garden','Kitchen','Market'])[1 + n % 24] || ' ' ||
                    (array['beans','lentils','maize','cassava','tea','coffee','honey','candles','paper','pens','rope','nails','paint','brushes',
                           'bowls','cups','plates','spoons','cloth','thread','buttons','lamps','batteries','oil','vinegar','salt','pepper',
                           'ginger','cloves','sardines'])[1 + n / 24 % 30] || ' ' || n,
                    'goods ' || n % 200, 'each', 100, 5, now()
             from generate_series($2::bigint, $3::bigint) n
             returning id
         ), levels as (
             insert into shop.stock_levels (tenant_id, item_id, on_hand, seq) select $1, id, 100, 1 from goods
         )
         insert into shop.stock_movements (tenant_id, item_id, seq, delta, balance_after, reason, entered_quantity, entered_unit, actor, at)
         select $1, id, 1, 100, 100, 'opening', 100, 'each', 'bench', now() from goods",
    )
    .bind(tenant)
    .bind(there + 1)
    .bind(items)
    .execute(owner)
    .await
    .context("filling a shop")?;
    Ok(())
}

/// Customers with a telephone, a wallet that was filled once in cash, and a bill that is open, until there are so many. The numbers of the
/// bills are below all that calls are given.
async fn befriend(owner: &PgPool, tenant: Uuid, customers: i64) -> anyhow::Result<()> {
    let there: i64 = sqlx::query_scalar("select count(*) from shop.customers where tenant_id = $1")
        .bind(tenant)
        .fetch_one(owner)
        .await?;
    sqlx::query(
        "with people as (
             insert into shop.customers (tenant_id, id, name, phone_e164, created_at)
             select $1, md5($1::text || 'customer' || n)::uuid,
                    (array['Aline','Bosco','Chantal','David','Esther','Felix','Grace','Hassan','Irene','Jean','Keza','Louis','Marie','Noel',
                           'Olive','Patrick','Rose','Samuel','Theo','Uwera','Vestine','Willy','Yvonne','Zoe'])[1 + n % 24] || ' ' ||
                    (array['Mukamana','Habimana','Uwase','Niyonzima','Ingabire','Mugisha','Keita','Nkurunziza','Okello','Wanjiru','Otieno',
                           'Kamau','Achieng','Mwangi','Njoroge','Tesfaye','Bekele','Haile','Diallo','Traore'])[1 + n / 24 % 20] || ' ' || n,
                    '+2507' || lpad(n::text, 8, '0'), now() - n * interval '1 second'
             from generate_series($2::bigint, $3::bigint) n
             returning id, name, created_at
         ), known as (
             select p.*, md5(p.id::text || 'bill')::uuid as bill, $2 - 1 + row_number() over () as number, t.currency,
                    shop.ledger_account_id($1, 'wallet', p.id, t.currency) as wallet,
                    shop.ledger_account_id($1, 'receivable', p.id, t.currency) as receivable,
                    shop.ledger_account_id($1, 'cash', null, t.currency) as cash, shop.ledger_account_id($1, 'sales', null, t.currency) as sales
             from people p join shop.tenants t on t.id = $1
         ), theirs as (
             insert into shop.ledger_accounts (tenant_id, id, code, kind, currency, customer_id, floored, debits_posted, credits_posted)
             select $1, wallet, 'wallet', 'liability', currency, id, true, 0, 1000 from known
             union all
             select $1, receivable, 'receivable', 'asset', currency, id, false, 250, 0 from known
         ), ours as (
             update shop.ledger_accounts a set debits_posted = a.debits_posted + m.debits, credits_posted = a.credits_posted + m.credits
             from (select cash as id, 1000 * count(*) as debits, 0 as credits from known group by cash
                   union all
                   select sales, 0, 250 * count(*) from known group by sales) m
             where a.tenant_id = $1 and a.id = m.id
         ), bills as (
             insert into shop.bills (tenant_id, id, number, status, customer_id, customer_name, currency, tax_inclusive, subtotal, total,
                                     issued_at, issued_by)
             select $1, bill, number, 'open', id, name, currency, true, 250, 250, created_at, 'bench' from known
         ), lines as (
             insert into shop.bill_lines (tenant_id, bill_id, line_no, item_id, description, entered_quantity, entered_unit, quantity, unit,
                                          unit_price, gross)
             select $1, bill, 1, soap.id, soap.name, 1, 'each', 1, 'each', 250, 250
             from known cross join (select i.id, i.name from shop.items i where i.tenant_id = $1 and i.name = 'Soap') soap
         )
         insert into shop.ledger_transfers (tenant_id, id, group_id, debit_account, credit_account, amount, currency, state, reason, bill_id,
                                            actor, at)
         select $1, id, id, cash, wallet, 1000, currency, 'posted', 'top_up', null::uuid, 'bench', created_at from known
         union all
         select $1, bill, bill, receivable, sales, 250, currency, 'posted', 'sale', bill, 'bench', created_at from known",
    )
    .bind(tenant)
    .bind(there + 1)
    .bind(customers)
    .execute(owner)
    .await
    .context("filling a shop with customers")?;
    Ok(())
}

/// Bookings of one resource, until there are so many. Their numbers are below all that calls are given.
async fn book(owner: &PgPool, tenant: Uuid, diary: Uuid, bookings: i64) -> anyhow::Result<()> {
    let there: i64 = sqlx::query_scalar(
        "select count(*) from shop.bookings where tenant_id = $1 and resource_id = $2",
    )
    .bind(tenant)
    .bind(diary)
    .fetch_one(owner)
    .await?;
    sqlx::query(
        "insert into shop.bookings (tenant_id, id, number, resource_id, lane, status, starts_at, ends_at, blocks_from, blocks_until, ical_uid,
                                    created_by, created_at, changed_at)
         select $1, n.id, n.n, $2, 1, 'confirmed', n.at, n.at + n.slot, n.at, n.at + n.slot, n.id || '@countersign', 'bench', now(), now()
         from (select n, md5($1::text || 'booking' || n)::uuid as id, s.slot, $3::timestamptz + (n - 1) * 2 * s.slot as at
               from generate_series($4::bigint, $5::bigint) n cross join (select make_interval(mins => $6) as slot) s) n",
    )
    .bind(tenant)
    .bind(diary)
    .bind(Slot::first())
    .bind(there + 1)
    .bind(bookings)
    .bind(i32::try_from(SLOT_MINUTES)?)
    .execute(owner)
    .await
    .context("filling a diary")?;
    Ok(())
}

fn table(sizes: &[Size], rounds: &[Vec<Cell>]) -> String {
    let mut text = "\n| p50 ms (p99), one call after the other |".to_owned();
    for size in sizes {
        let _ = write!(text, " {} |", size.title());
    }
    text.push_str(" last over first |\n|---|");
    text.push_str(&"--:|".repeat(sizes.len() + 1));
    for (place, probe) in PROBES.iter().enumerate() {
        let cells: Vec<Cell> = rounds
            .iter()
            .filter_map(|round| round.get(place).copied())
            .collect();
        let _ = write!(text, "\n| {} |", probe.title);
        for cell in &cells {
            let _ = write!(text, " {:.2} ({:.2}) |", cell.p50_ms, cell.p99_ms);
        }
        if let (Some(first), Some(last)) = (cells.first(), cells.last()) {
            let _ = write!(text, " {:.1} |", last.p50_ms / first.p50_ms);
        }
    }
    text.push('\n');
    text
}

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 200.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 50.0;
/// From one name to the next below it.
const LINE: f64 = 14.0;
/// One colour per line, told apart in print too.
const COLOURS: [&str; 16] = [
    "#0b6e4f", "#c0392b", "#2c3e80", "#b8860b", "#7d3c98", "#117a8b", "#d35400", "#566573",
    "#1e8449", "#943126", "#5b2c6f", "#7e5109", "#1f618d", "#a04000", "#0e6655", "#17202a",
];

/// The table as a drawing: a line per call, time upwards on a logarithmic scale.
fn plot(sizes: &[Size], rounds: &[Vec<Cell>]) -> String {
    let most = rounds
        .iter()
        .flatten()
        .map(|c| c.p50_ms)
        .fold(10.0_f64, f64::max);
    let decades = most.log10().ceil().max(1.0);
    let least = -1.0;
    let y = |ms: f64| {
        TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - (ms.max(0.1).log10() - least) / (decades - least))
    };
    let steps = sizes.len().saturating_sub(1).max(1) as f64;
    let x = |round: usize| LEFT + (WIDTH - LEFT - RIGHT) * round as f64 / steps;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n<text x=\"{LEFT}\" y=\"18\">Time of a call, p50 in ms, while the business grows</text>\n"
    );
    let mut decade = least;
    while decade <= decades {
        let (ms, at) = (10.0_f64.powf(decade), y(10.0_f64.powf(decade)));
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{:.0}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/><text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{ms}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            at + 4.0
        );
        decade += 1.0;
    }
    for (round, size) in sizes.iter().enumerate() {
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{}</text>",
            x(round),
            HEIGHT - 20.0,
            size.title()
        );
    }
    let mut labels: Vec<(f64, usize)> = Vec::new();
    for (place, _) in PROBES.iter().enumerate() {
        let colour = COLOURS[place % COLOURS.len()];
        let points: Vec<String> = rounds
            .iter()
            .enumerate()
            .filter_map(|(round, cells)| {
                cells
                    .get(place)
                    .map(|c| format!("{:.1},{:.1}", x(round), y(c.p50_ms)))
            })
            .collect();
        let _ = writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>",
            points.join(" ")
        );
        if let Some(last) = rounds.last().and_then(|cells| cells.get(place)) {
            labels.push((y(last.p50_ms), place));
        }
    }
    svg.push_str(&titles(labels));
    svg.push_str("</svg>\n");
    svg
}

/// The names of the lines where they end. Those of lines that end close together stand below each other, and none below the picture.
fn titles(mut ends: Vec<(f64, usize)>) -> String {
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut highest = 0.0_f64;
    for (at, _) in &mut ends {
        *at = at.max(highest);
        highest = *at + LINE;
    }
    let mut lowest = HEIGHT - LINE;
    for (at, _) in ends.iter_mut().rev() {
        *at = at.min(lowest);
        lowest = *at - LINE;
    }
    let mut svg = String::new();
    for (at, place) in ends {
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.1}\" fill=\"{}\">{}</text>",
            WIDTH - RIGHT + 8.0,
            at + 4.0,
            COLOURS[place % COLOURS.len()],
            PROBES[place].title
        );
    }
    svg
}
