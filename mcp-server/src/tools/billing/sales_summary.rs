//! `sales_summary`: what the shop sold, took and is owed over some of its days.

use chrono::{DateTime, NaiveDate, Utc};
use contracts::failure::ToolFailure;
use contracts::locale::Locale;
use contracts::money::Money;
use contracts::quantity::{Exact, Measure};
use contracts::tools::billing::{
    BestSeller, Period, SalesSummary, SalesSummaryInput, SalesSummaryOutput,
};
use rust_decimal::Decimal;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::days;
use crate::error::CallError;
use crate::handler::{Call, ReadTool};
use crate::words::arguments;
use crate::words::billing::{self, Takings};

/// Longest span, days.
const DAYS_MAX: i64 = 366;
/// How many best sellers are named.
const BEST_SELLERS_MAX: i64 = 5;

/// Which days, and the name of the span when it has one.
struct Span {
    period: Option<Period>,
    from: NaiveDate,
    to: NaiveDate,
}

impl ReadTool for SalesSummary {
    async fn read(
        call: &mut Call<'_>,
        input: SalesSummaryInput,
    ) -> Result<SalesSummaryOutput, CallError> {
        let (shop, locale) = (call.shop, call.locale);
        let today = days::day_of(call.now, shop.time_zone);
        let span = span(&input, today, locale)?;
        let start = days::start_of(span.from, shop.time_zone)
            .ok_or_else(|| arguments::bad_day(locale, "from"))?;
        let end = days::end_of(span.to, shop.time_zone)
            .ok_or_else(|| arguments::bad_day(locale, "to"))?;
        let tenant = call.tenant();
        let sums = select_sums(call.conn, tenant, start, end).await?;
        let sellers = select_best_sellers(call.conn, tenant, start, end, BEST_SELLERS_MAX).await?;
        let money = |sum: Decimal| {
            i64::try_from(sum)
                .map(|minor| Money::minor(minor, shop.currency))
                .map_err(|_| billing::sums_too_large(locale))
        };
        let best_sellers = sellers
            .into_iter()
            .map(|row| {
                Ok(BestSeller {
                    item: row.name,
                    quantity: Measure::new(Exact(row.quantity.normalize()), row.unit),
                    sales: money(row.sales)?,
                })
            })
            .collect::<Result<Vec<BestSeller>, ToolFailure>>()?;
        let takings = Takings {
            days: (span.from, span.to),
            bills: sums.bills,
            sales: money(sums.sales)?,
            credited: money(sums.credited)?,
            takings: money(sums.takings)?,
            owed: money(sums.owed)?,
            best: best_sellers.first().map(|best| best.item.as_str()),
        };
        Ok(SalesSummaryOutput {
            summary: billing::takings(locale, span.period, &takings),
            from: span.from,
            to: span.to,
            bills: takings.bills,
            sales: takings.sales,
            credited: takings.credited,
            takings: takings.takings,
            owed: takings.owed,
            best_sellers,
        })
    }
}

/// Reads the span. One day alone is a span of that day.
fn span(input: &SalesSummaryInput, today: NaiveDate, locale: Locale) -> Result<Span, ToolFailure> {
    let (period, from, to) = match (input.period, input.from, input.to) {
        (Some(period), None, None) => (Some(period), None, None),
        (None, None, None) => (Some(Period::Today), None, None),
        (None, from, to) => (None, from.or(to), to.or(from)),
        (Some(_), _, _) => return Err(billing::period_unclear(locale)),
    };
    let days = match (period, from, to) {
        (Some(period), _, _) => days::span(period, today),
        (None, Some(from), Some(to)) => Some((from, to)),
        (None, _, _) => None,
    };
    let (from, to) = days.ok_or_else(|| arguments::bad_day(locale, "from"))?;
    if from > to {
        return Err(arguments::days_reversed(locale));
    }
    if (to - from).num_days() >= DAYS_MAX {
        return Err(billing::period_too_long(locale, DAYS_MAX));
    }
    Ok(Span { period, from, to })
}

struct Sums {
    bills: i64,
    sales: Decimal,
    credited: Decimal,
    takings: Decimal,
    owed: Decimal,
}

/// Sums of `bigint` are `numeric`, so nothing can overflow before it is looked at.
async fn select_sums(
    conn: &mut PgConnection,
    tenant: Uuid,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
) -> Result<Sums, sqlx::Error> {
    sqlx::query_as!(
        Sums,
        r#"select
               (select count(*) from shop.bills b
                where b.tenant_id = $1 and b.status <> 'void' and b.kind = 'invoice' and b.issued_at >= $2 and b.issued_at < $3) as "bills!",
               (select coalesce(sum(b.total), 0) from shop.bills b
                where b.tenant_id = $1 and b.status <> 'void' and b.kind = 'invoice' and b.issued_at >= $2 and b.issued_at < $3) as "sales!",
               (select coalesce(sum(t.amount), 0) from shop.ledger_transfers t
                where t.tenant_id = $1 and t.reason in ('credit', 'credit_tax') and t.at >= $2 and t.at < $3) as "credited!",
               (select coalesce(sum(case p.direction when 'refund' then -p.amount else p.amount end), 0) from shop.payments p
                where p.tenant_id = $1 and p.settled_at >= $2 and p.settled_at < $3 and p.method <> 'wallet') as "takings!",
               (select coalesce(sum(b.total - b.paid - b.credited), 0) from shop.bills b
                where b.tenant_id = $1 and b.status = 'open') as "owed!""#,
        tenant,
        start,
        end
    )
    .fetch_one(conn)
    .await
}

struct SellerRow {
    name: String,
    unit: String,
    quantity: Decimal,
    sales: Decimal,
}

async fn select_best_sellers(
    conn: &mut PgConnection,
    tenant: Uuid,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    most: i64,
) -> Result<Vec<SellerRow>, sqlx::Error> {
    sqlx::query_as!(
        SellerRow,
        r#"select i.name, i.unit, sold.quantity as "quantity!", sold.sales as "sales!"
           from (
               select l.item_id, sum(l.quantity * s.sign) as quantity, sum((l.gross - l.discount) * s.sign) as sales
               from shop.bills b
               cross join lateral (select case b.kind when 'credit_note' then -1 else 1 end as sign) s
               join shop.bill_lines l on l.tenant_id = $1 and l.bill_id = b.id
               where b.tenant_id = $1 and b.status <> 'void' and b.issued_at >= $2 and b.issued_at < $3
               group by l.item_id
               having sum((l.gross - l.discount) * s.sign) > 0 or sum(l.quantity * s.sign) > 0
               order by sum((l.gross - l.discount) * s.sign) desc, l.item_id
               limit $4
           ) sold
           join shop.items i on i.tenant_id = $1 and i.id = sold.item_id
           order by sold.sales desc, i.name_norm, i.id"#,
        tenant,
        start,
        end,
        most
    )
    .fetch_all(conn)
    .await
}

#[cfg(test)]
mod tests {
    use contracts::tools::billing::{CreateBill, VoidBill};
    use contracts::tools::inventory::AddItem;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{World, refusal};

    async fn shop() -> World {
        let world = World::with(|shop| shop.time_zone = chrono_tz::Europe::Madrid).await;
        for item in [
            json!({"name": "Sugar", "unit": "kg", "unit_price": "160", "quantity": "100"}),
            json!({"name": "Soap", "unit_price": "300", "quantity": "100"}),
        ] {
            world.write::<AddItem>(item).await.unwrap();
        }
        world
    }

    async fn sell(world: &World, at: &str, bill: Value) {
        world.move_clock_to(at);
        world.agree::<CreateBill>(bill).await.unwrap();
    }

    fn sugar(quantity: &str) -> Value {
        json!({"lines": [{"item": "sugar", "quantity": quantity}]})
    }

    #[tokio::test]
    async fn a_day_is_summed_up_and_void_bills_are_left_out() {
        let mut world = shop().await;
        sell(&world, "2026-11-18T22:59:59Z", sugar("1")).await;
        sell(&world, "2026-11-18T23:00:00Z", sugar("2")).await;
        let mixed = json!({"lines": [{"item": "sugar", "quantity": "500", "unit": "g"}, {"item": "soap", "quantity": "2"}], "discount": "68",
                           "payment": {"method": "cash", "amount": "200"}});
        sell(&world, "2026-11-19T12:00:00Z", mixed).await;
        sell(&world, "2026-11-19T22:59:59Z", sugar("7")).await;
        world
            .agree::<VoidBill>(json!({"bill": "last"}))
            .await
            .unwrap();
        world.move_clock_to("2026-11-20T08:00:00Z");

        let day = world
            .read::<SalesSummary>(json!({"period": "yesterday"}))
            .await
            .unwrap();
        assert_eq!(
            day.summary,
            "Yesterday: 2 bills, RWF 932 sold, RWF 200 received. RWF 892 is owed in all. Best seller: Soap."
        );
        let best: Vec<(String, String, i64)> = day
            .best_sellers
            .into_iter()
            .map(|b| (b.item, b.quantity.text, b.sales.amount_minor))
            .collect();
        assert_eq!(
            best,
            [
                ("Soap".to_owned(), "2".to_owned(), 540),
                ("Sugar".to_owned(), "2.5 kg".to_owned(), 392)
            ]
        );

        let today = world.read::<SalesSummary>(json!({})).await.unwrap();
        assert_eq!(
            today.summary,
            "Today: 0 bills, RWF 0 sold, RWF 0 received. RWF 892 is owed in all."
        );
        world.locale = Locale::Es;
        let days = world
            .read::<SalesSummary>(json!({"from": "2026-11-18", "to": "2026-11-20"}))
            .await
            .unwrap();
        assert_eq!(
            days.summary,
            "Del 2026-11-18 al 2026-11-20: 3 facturas, RWF 1,092 vendidos, RWF 200 cobrados. En total quedan RWF 892 por cobrar. \
             Lo más vendido: Sugar."
        );
        assert_eq!(days.bills, 3);
    }

    #[tokio::test]
    async fn the_day_the_clocks_change_has_all_its_hours() {
        let world = shop().await;
        for at in [
            "2026-10-24T22:00:00Z",
            "2026-10-25T22:59:59Z",
            "2026-10-25T23:00:00Z",
        ] {
            sell(&world, at, sugar("1")).await;
        }
        let sunday = world
            .read::<SalesSummary>(json!({"from": "2026-10-25"}))
            .await
            .unwrap();
        assert_eq!(
            (sunday.bills, sunday.from, sunday.to),
            (2, sunday.to, sunday.from)
        );
    }

    #[tokio::test]
    async fn spans_that_make_no_sense_are_refused() {
        let world = shop().await;
        for (input, field) in [
            (json!({"from": "2026-11-02", "to": "2026-11-01"}), "from"),
            (json!({"from": "2025-01-01", "to": "2026-01-02"}), "to"),
            (json!({"period": "today", "from": "2026-11-01"}), "period"),
            (json!({"from": "1969-12-31", "to": "1970-01-01"}), "from"),
            (json!({"to": "9999-12-31"}), "to"),
        ] {
            let failure = refusal(world.read::<SalesSummary>(input).await);
            assert_eq!(failure.field.as_deref(), Some(field), "{}", failure.message);
        }
        let leap_year = json!({"from": "2024-01-01", "to": "2024-12-31"});
        assert_eq!(
            world.read::<SalesSummary>(leap_year).await.unwrap().bills,
            0
        );
    }
}
