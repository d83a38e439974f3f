//! `billing_list_bills`: bills, newest first, a page at a time.

use chrono::{DateTime, NaiveDate, Utc};
use contracts::failure::ToolFailure;
use contracts::locale::Locale;
use contracts::money::Money;
use contracts::tools::billing::{BillHead, BillStatus, ListBills, ListBillsInput, ListBillsOutput};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::customers::{self, Customer};
use crate::error::CallError;
use crate::handler::{Call, ReadTool, Shop};
use crate::words::arguments;
use crate::words::billing::{self, Narrowed};
use crate::words::inventory::Page;
use crate::{bills, cursor, days, numbering, typed};

/// The last bill of the page before: when it was issued, in microseconds since 1970, and its id.
type Place = (i64, Uuid);

/// After every bill, and a time Postgres holds: the end of the year 9999.
const END_OF_TIME: DateTime<Utc> = match DateTime::from_timestamp(253_402_300_799, 0) {
    Some(end) => end,
    None => DateTime::UNIX_EPOCH,
};

struct Filter {
    customer: Option<Customer>,
    status: Option<BillStatus>,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
}

impl ReadTool for ListBills {
    async fn read(
        call: &mut Call<'_>,
        input: ListBillsInput,
    ) -> Result<ListBillsOutput, CallError> {
        let (shop, locale) = (call.shop, call.locale);
        let limit = typed::page_limit(input.limit, locale)?;
        let after = input
            .cursor
            .as_deref()
            .map(|text| place(text).ok_or_else(|| arguments::bad_cursor(locale)))
            .transpose()?;
        let (from, until) = between(input.from, input.to, shop, locale)?;
        let customer = customers::whose(call, input.customer.as_deref(), "customer").await?;
        let filter = Filter {
            customer,
            status: input.status,
            from,
            until,
        };
        let tenant = call.tenant();
        let mut rows = select_page(call.conn, tenant, &filter, after, limit + 1).await?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows
            .last()
            .filter(|_| more)
            .map(|last| cursor::write(&(last.issued_at.timestamp_micros(), last.id)));
        let bills = rows
            .into_iter()
            .map(|row| row.head(shop))
            .collect::<Result<Vec<BillHead>, CallError>>()?;
        let page = match (&input.cursor, more) {
            (Some(_), _) => Page::Later,
            (None, true) => Page::First,
            (None, false) => Page::Only,
        };
        Ok(ListBillsOutput {
            summary: summary(&filter, &bills, page, shop, locale),
            bills,
            next_cursor,
        })
    }
}

fn place(text: &str) -> Option<(DateTime<Utc>, Uuid)> {
    let (micros, id): Place = cursor::read(text)?;
    let at = DateTime::from_timestamp_micros(micros)?;
    // Beyond these years Postgres may not hold the time, and no bill was issued.
    days::YEARS
        .contains(&chrono::Datelike::year(&at))
        .then_some((at, id))
}

/// The moments between which bills are listed: all there can be where no day is named.
fn between(
    from: Option<NaiveDate>,
    to: Option<NaiveDate>,
    shop: &Shop,
    locale: Locale,
) -> Result<(DateTime<Utc>, DateTime<Utc>), ToolFailure> {
    if let (Some(from), Some(to)) = (from, to)
        && from > to
    {
        return Err(arguments::days_reversed(locale));
    }
    let start =
        |day| days::start_of(day, shop.time_zone).ok_or_else(|| arguments::bad_day(locale, "from"));
    let end =
        |day| days::end_of(day, shop.time_zone).ok_or_else(|| arguments::bad_day(locale, "to"));
    Ok((
        from.map_or(Ok(DateTime::UNIX_EPOCH), start)?,
        to.map_or(Ok(END_OF_TIME), end)?,
    ))
}

fn summary(filter: &Filter, bills: &[BillHead], page: Page, shop: &Shop, locale: Locale) -> String {
    let by_customer = filter.customer.is_some();
    let named: Vec<String> = bills
        .iter()
        .map(|bill| {
            let customer = bill.customer.as_deref().filter(|_| !by_customer);
            billing::named(&bill.number, customer, bill.total)
        })
        .collect();
    let owed_minor = bills.iter().fold(0_i64, |sum, bill| {
        sum.saturating_add(bill.owed.amount_minor)
    });
    let owed = Money::minor(owed_minor, shop.currency);
    billing::listed(
        locale,
        Narrowed {
            status: filter.status,
            customer: filter.customer.as_ref().map(|c| c.name.as_str()),
        },
        &named,
        (page == Page::Only && owed_minor > 0).then_some(owed),
        page,
    )
}

struct HeadRow {
    id: Uuid,
    series: String,
    number: i64,
    kind: String,
    status: String,
    customer_name: Option<String>,
    total: i64,
    paid: i64,
    credited: i64,
    issued_at: DateTime<Utc>,
}

impl HeadRow {
    fn head(self, shop: &Shop) -> Result<BillHead, CallError> {
        let status = bills::status(&self.status)?;
        let kind = bills::kind(&self.kind)?;
        let total = Money::minor(self.total, shop.currency);
        let settled = Money::minor(self.paid + self.credited, shop.currency);
        Ok(BillHead {
            bill_id: self.id,
            number: numbering::shown(&self.series, self.number),
            status,
            customer: self.customer_name,
            kind,
            total,
            credited: Money::minor(self.credited, shop.currency),
            owed: bills::owed(kind, status, total, settled),
            issued_at: self.issued_at,
        })
    }
}

async fn select_page(
    conn: &mut PgConnection,
    tenant: Uuid,
    filter: &Filter,
    after: Option<(DateTime<Utc>, Uuid)>,
    most: usize,
) -> Result<Vec<HeadRow>, sqlx::Error> {
    // One range of the index, whatever was asked: what is older than the last bill shown, and than the end of the span.
    let end = (filter.until, Uuid::nil());
    let before = after.map_or(end, |after| after.min(end));
    sqlx::query_as!(
        HeadRow,
        "select id, series, number, kind, status, customer_name, total, paid, credited, issued_at from shop.bills
         where tenant_id = $1
           and ($2::uuid is null or customer_id = $2)
           and ($3::text is null or (status = $3 and kind = 'invoice'))
           and issued_at >= $4
           and (issued_at, id) < ($5, $6)
         order by issued_at desc, id desc
         limit $7",
        tenant,
        filter.customer.as_ref().map(|c| c.id),
        filter.status.map(BillStatus::word),
        filter.from,
        before.0,
        before.1,
        i64::try_from(most).unwrap_or(i64::MAX)
    )
    .fetch_all(conn)
    .await
}

#[cfg(test)]
mod tests {
    use contracts::failure::FailureCode;
    use contracts::tools::billing::{CreateBill, VoidBill};
    use contracts::tools::inventory::AddItem;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{World, refusal};

    async fn shop() -> World {
        let world = World::with(|shop| shop.time_zone = chrono_tz::Europe::Madrid).await;
        let soap = json!({"name": "Soap", "unit_price": "100", "quantity": "100"});
        world.write::<AddItem>(soap).await.unwrap();
        world
    }

    async fn sell(world: &World, customer: Option<&str>, members: Value) {
        let mut bill = json!({"lines": [{"item": "soap", "quantity": "1"}]});
        if let Some(customer) = customer {
            bill["customer"] = json!(customer);
        }
        bill.as_object_mut()
            .unwrap()
            .extend(members.as_object().unwrap().clone());
        world.agree::<CreateBill>(bill).await.unwrap();
    }

    async fn numbers(world: &World, input: Value) -> Vec<String> {
        let page = world.read::<ListBills>(input).await.unwrap();
        page.bills.into_iter().map(|bill| bill.number).collect()
    }

    #[tokio::test]
    async fn bills_are_narrowed_by_customer_status_and_day() {
        let world = shop().await;
        // The day Madrid's clocks go back has 25 hours.
        for (at, customer) in [
            ("2026-10-24T21:59:59Z", Some("Ali")),
            ("2026-10-24T22:00:00Z", Some("Zoe")),
            ("2026-10-25T22:59:59Z", None),
            ("2026-10-25T23:00:00Z", Some("Ali")),
        ] {
            world.move_clock_to(at);
            sell(&world, customer, json!({})).await;
        }
        sell(&world, Some("Ali"), json!({"payment": {"method": "cash"}})).await;
        world.agree::<VoidBill>(json!({"bill": "2"})).await.unwrap();

        let sunday = json!({"from": "2026-10-25", "to": "2026-10-25"});
        assert_eq!(numbers(&world, sunday).await, ["INV-3", "INV-2"]);
        assert_eq!(
            numbers(&world, json!({"to": "2026-10-24"})).await,
            ["INV-1"]
        );
        assert_eq!(
            numbers(&world, json!({"from": "2026-10-26"})).await,
            ["INV-5", "INV-4"]
        );
        assert_eq!(numbers(&world, json!({"status": "void"})).await, ["INV-2"]);
        let open = world
            .read::<ListBills>(json!({"customer": "ali", "status": "open"}))
            .await
            .unwrap();
        assert_eq!(
            open.summary,
            "2 open bills for Ali: INV-4 RWF 100, INV-1 RWF 100. RWF 200 owed."
        );
        let all = world.read::<ListBills>(json!({})).await.unwrap();
        assert_eq!(
            all.summary,
            "5 bills: INV-5 Ali RWF 100, INV-4 Ali RWF 100, INV-3 RWF 100, INV-2 Zoe RWF 100, INV-1 Ali RWF 100. RWF 300 owed."
        );
    }

    #[tokio::test]
    async fn pages_show_every_bill_once_while_others_are_written() {
        let world = shop().await;
        for _ in 0..11 {
            sell(&world, None, json!({})).await;
        }
        // Bills of one moment, too, are shown once.
        world
            .arrange("update shop.bills set issued_at = '2026-11-20T09:00:05Z' where number <= 6")
            .await;
        let mut input = json!({"limit": 4});
        let mut seen = Vec::new();
        loop {
            let page = world.read::<ListBills>(input.clone()).await.unwrap();
            seen.extend(page.bills.into_iter().map(|bill| bill.number));
            sell(&world, None, json!({})).await;
            match page.next_cursor {
                Some(next) if seen.len() < 100 => input["cursor"] = json!(next),
                Some(_) => panic!("the list does not end"),
                None => break,
            }
        }
        seen.sort();
        let mut all: Vec<String> = (1..=11).map(|n| format!("INV-{n}")).collect();
        all.sort();
        assert_eq!(seen, all);
    }

    #[tokio::test]
    async fn what_cannot_be_listed_is_refused() {
        let world = shop().await;
        sell(&world, Some("Ali"), json!({})).await;
        let failure = refusal(world.read::<ListBills>(json!({"customer": "Aly"})).await);
        assert_eq!(failure.code, FailureCode::UnknownCustomer);
        assert_eq!(
            failure.message,
            "There is no customer called Aly. Did you mean Ali?"
        );
        let far = cursor::write(&(i64::MAX, Uuid::nil()));
        let early = cursor::write(&(-99_999_999_999_999_999_i64, Uuid::nil()));
        for (input, field) in [
            (json!({"from": "2026-11-02", "to": "2026-11-01"}), "from"),
            (json!({"from": "1900-01-01"}), "from"),
            (json!({"to": "+10000-01-01"}), "to"),
            (json!({"cursor": "bm8"}), "cursor"),
            (json!({"cursor": far}), "cursor"),
            (json!({"cursor": early}), "cursor"),
            (json!({"limit": 101}), "limit"),
        ] {
            let failure = refusal(world.read::<ListBills>(input).await);
            assert_eq!(failure.field.as_deref(), Some(field), "{}", failure.message);
        }
    }
}
