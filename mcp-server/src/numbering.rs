//! Numbers without gaps: given last before the commit, so that nothing numbered can still fail, and how a bill is named.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::CallError;

/// The series of bills.
pub(crate) const BILLS: &str = "INV";
/// The series of credit notes.
pub(crate) const CREDIT_NOTES: &str = "CN";
/// The series of payments.
pub(crate) const PAYMENTS: &str = "PAY";

/// The next number of a series. The series' row stays locked until the commit, which is what makes numbers gapless and is why this
/// is taken last.
///
/// # Errors
/// When the database fails.
pub(crate) async fn next(
    conn: &mut PgConnection,
    tenant: Uuid,
    series: &str,
) -> Result<i64, CallError> {
    Ok(sqlx::query_scalar!(
        "insert into shop.counters as c (tenant_id, series, last) values ($1, $2, 1)
         on conflict (tenant_id, series) do update set last = c.last + 1
         returning last",
        tenant,
        series
    )
    .fetch_one(conn)
    .await?)
}

/// The next numbers of several series at once, one round trip: for each series how many, and back the first of them. The series are
/// locked in the order of their names, whoever asks.
///
/// # Errors
/// When the database fails.
pub(crate) async fn next_of<const N: usize>(
    conn: &mut PgConnection,
    tenant: Uuid,
    wanted: [(&str, usize); N],
) -> Result<[i64; N], CallError> {
    let (mut series, mut counts) = (Vec::new(), Vec::new());
    for (name, count) in wanted.iter().filter(|(_, count)| *count > 0) {
        series.push((*name).to_owned());
        counts.push(i64::try_from(*count).unwrap_or(i64::MAX));
    }
    let last = take(conn, tenant, &series, &counts).await?;
    let mut firsts = [0; N];
    for (first, (name, count)) in firsts.iter_mut().zip(wanted) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let last = last.iter().find(|row| row.series == name);
        *first = last.map_or(0, |row| row.last - count + 1);
    }
    Ok(firsts)
}

struct LastNumber {
    series: String,
    last: i64,
}

async fn take(
    conn: &mut PgConnection,
    tenant: Uuid,
    series: &[String],
    counts: &[i64],
) -> Result<Vec<LastNumber>, sqlx::Error> {
    sqlx::query_as!(
        LastNumber,
        "insert into shop.counters as c (tenant_id, series, last)
         select $1, s.series, s.count from unnest($2::text[], $3::bigint[]) as s (series, count) order by s.series
         on conflict (tenant_id, series) do update set last = c.last + excluded.last
         returning series, last",
        tenant,
        series,
        counts
    )
    .fetch_all(conn)
    .await
}

/// A number as it is shown: "INV-12".
#[must_use]
pub(crate) fn shown(series: &str, number: i64) -> String {
    format!("{series}-{number}")
}

/// How a person names a bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BillName {
    /// By its number in the series [`BILLS`].
    Number(i64),
    /// A credit note, by its number in the series [`CREDIT_NOTES`].
    CreditNote(i64),
    /// By its id.
    Id(Uuid),
    /// The newest.
    Last,
}

/// Reads "12", "INV-12", "#12", an id or "last". `None` for anything else.
#[must_use]
pub(crate) fn read(text: &str) -> Option<BillName> {
    let name = text.trim().to_lowercase();
    if let Ok(id) = name.parse() {
        return Some(BillName::Id(id));
    }
    if matches!(
        name.as_str(),
        "last" | "latest" | "newest" | "última" | "ultima" | "último" | "ultimo"
    ) {
        return Some(BillName::Last);
    }
    if let Some(number) = name.strip_prefix("cn") {
        return digits(number).map(BillName::CreditNote);
    }
    digits(name.strip_prefix("inv").unwrap_or(&name)).map(BillName::Number)
}

/// How a person names a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PaymentName {
    /// By its number in the series [`PAYMENTS`].
    Number(i64),
    /// By its id.
    Id(Uuid),
}

/// Reads "3", "PAY-3" or an id. `None` for anything else.
#[must_use]
pub(crate) fn read_payment(text: &str) -> Option<PaymentName> {
    let name = text.trim().to_lowercase();
    if let Ok(id) = name.parse() {
        return Some(PaymentName::Id(id));
    }
    digits(name.strip_prefix("pay").unwrap_or(&name)).map(PaymentName::Number)
}

fn digits(text: &str) -> Option<i64> {
    let number = text.trim_start_matches([' ', '-', '#']);
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    number.parse().ok().filter(|&n| n > 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bill_is_named_in_many_ways_and_nothing_else_is() {
        for text in ["12", "INV-12", "inv 12", "#12", " INV12 ", "0012"] {
            assert_eq!(read(text), Some(BillName::Number(12)), "{text}");
        }
        assert_eq!(read("cn-3"), Some(BillName::CreditNote(3)));
        assert_eq!(read_payment("PAY-7"), Some(PaymentName::Number(7)));
        assert_eq!(read_payment("INV-7"), None);
        assert_eq!(read("Last"), Some(BillName::Last));
        assert_eq!(read("última"), Some(BillName::Last));
        let id = Uuid::from_u128(7);
        assert_eq!(read(&id.to_string()), Some(BillName::Id(id)));
        for text in [
            "",
            "INV-",
            "-",
            "0",
            "12a",
            "1.5",
            "99999999999999999999",
            "١٢",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_fail_hard(text in ".{0,60}") {
            if let Some(BillName::Number(number)) = read(&text) {
                prop_assert!(number > 0);
            }
        }

        #[test]
        fn every_number_we_show_is_read_back(number in 1..=i64::MAX) {
            prop_assert_eq!(read(&shown(BILLS, number)), Some(BillName::Number(number)));
        }
    }
}
