//! What somebody may be about to type: names and numbers that begin so, or nearly. Only of the caller's own shop, and for a customer only
//! what is hers.

use std::collections::BTreeSet;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::catalogue::likeness::Folded;
use crate::catalogue::lookup::names_near;
use crate::catalogue::ranking::{is_shown, likeness};
use crate::error::CallError;
use crate::handler::Call;
use crate::{numbering, price_list};

/// Most values of one answer, which is also MCP's limit.
pub(crate) const VALUES_MAX: usize = 100;
/// Up to this many values are counted; of more it is only said that there are more.
const COUNTED_MAX: i32 = 1_000;
/// Longest beginning that is looked up, characters. The longest name is shorter.
const BEGUN_CHARS_MAX: usize = 120;
/// Slips are looked for from this many letters on: before, everything is like everything.
const SLIP_CHARS_MIN: usize = 3;
/// How many names a slip may have meant.
const NEAR_MAX: usize = 10;
/// Names this much less alike, in thousandths, than the best one were not meant.
const BEHIND_MAX: u16 = 300;
/// The series of bookings' references.
const BOOKINGS: &str = "BK";

/// What is being typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The name of an item on sale.
    Item,
    /// A category of items.
    Category,
    /// The name of a customer.
    Customer,
    /// The name of something that can be booked.
    Resource,
    /// The number of a bill or a credit note: INV-12.
    Bill,
    /// The reference of a booking: BK-7.
    Booking,
}

/// What it may become.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Suggestions {
    /// The best first, at most [`VALUES_MAX`].
    pub(crate) values: Vec<String>,
    /// How many there are, where that was counted.
    pub(crate) total: Option<u32>,
    /// Whether there are more than these.
    pub(crate) more: bool,
}

impl Suggestions {
    /// Of all that were found, `is_all` where nothing was left out before.
    pub(crate) fn of(mut values: Vec<String>, is_all: bool) -> Suggestions {
        let total = u32::try_from(values.len()).ok().filter(|_| is_all);
        let more = values.len() > VALUES_MAX || !is_all;
        values.truncate(VALUES_MAX);
        Suggestions {
            values,
            total,
            more,
        }
    }
}

/// What `begun` may become.
///
/// # Errors
/// When the database fails.
pub(crate) async fn suggest(
    call: &mut Call<'_>,
    kind: Kind,
    begun: &str,
) -> Result<Suggestions, CallError> {
    let begun: String = begun.trim().chars().take(BEGUN_CHARS_MAX).collect();
    if begun.chars().any(char::is_control) {
        return Ok(Suggestions::of(Vec::new(), true));
    }
    match kind {
        Kind::Item => items(call, &begun).await,
        Kind::Category => categories(call, &begun).await,
        Kind::Customer => customers(call, &begun).await,
        Kind::Resource => resources(call, &begun).await,
        Kind::Bill => bills(call, &begun).await,
        Kind::Booking => bookings(call, &begun).await,
    }
}

async fn items(call: &mut Call<'_>, begun: &str) -> Result<Suggestions, CallError> {
    let tenant = call.tenant();
    let found = if begun.is_empty() {
        select_first_items(call.conn, tenant, COUNTED_MAX.into()).await?
    } else {
        select_items_beginning(call.conn, tenant, begun, COUNTED_MAX).await?
    };
    let is_all = is_all(&found);
    if found.len() >= NEAR_MAX || begun.chars().count() < SLIP_CHARS_MIN {
        return Ok(Suggestions::of(found, is_all));
    }
    let named = names_near(call.conn, tenant, &[begun.to_owned()], COUNTED_MAX).await?;
    let near = nearest(begun, named.into_iter().map(|named| named.name));
    Ok(Suggestions::of(joined(found, near), true))
}

async fn categories(call: &mut Call<'_>, begun: &str) -> Result<Suggestions, CallError> {
    let all = price_list::categories(call, "", COUNTED_MAX.into()).await?;
    let is_all = is_all(&all);
    Ok(Suggestions::of(beginning(begun, all), is_all))
}

async fn customers(call: &mut Call<'_>, begun: &str) -> Result<Suggestions, CallError> {
    let tenant = call.tenant();
    if call.caller.confined_to().is_some() {
        return Ok(Suggestions::of(Vec::new(), true));
    }
    let found = if begun.is_empty() {
        select_first_customers(call.conn, tenant, COUNTED_MAX.into()).await?
    } else {
        select_customers_beginning(call.conn, tenant, begun, COUNTED_MAX).await?
    };
    let is_all = is_all(&found);
    if found.len() >= NEAR_MAX || begun.chars().count() < SLIP_CHARS_MIN {
        return Ok(Suggestions::of(joined(found, Vec::new()), is_all));
    }
    let most = i32::try_from(NEAR_MAX).unwrap_or(COUNTED_MAX);
    let near = select_customers_alike(call.conn, tenant, begun, most).await?;
    Ok(Suggestions::of(joined(found, near), true))
}

async fn resources(call: &mut Call<'_>, begun: &str) -> Result<Suggestions, CallError> {
    let tenant = call.tenant();
    let all = select_resources(call.conn, tenant, COUNTED_MAX.into()).await?;
    let is_all = is_all(&all);
    let found = beginning(begun, all.iter().cloned());
    let near = if begun.chars().count() < SLIP_CHARS_MIN {
        Vec::new()
    } else {
        nearest(begun, all.into_iter())
    };
    Ok(Suggestions::of(joined(found, near), is_all))
}

async fn bills(call: &mut Call<'_>, begun: &str) -> Result<Suggestions, CallError> {
    let (tenant, customer) = (call.tenant(), call.caller.confined_to());
    let mut values = Vec::new();
    for series in [numbering::BILLS, numbering::CREDIT_NOTES] {
        let Some(ranges) = numbers_beginning(series, begun) else {
            continue;
        };
        let numbers =
            select_bills(call.conn, tenant, series, customer, &ranges, VALUES_MAX + 1).await?;
        values.extend(numbers.iter().map(|n| numbering::shown(series, *n)));
    }
    let is_all = values.len() <= VALUES_MAX;
    Ok(Suggestions::of(values, is_all))
}

async fn bookings(call: &mut Call<'_>, begun: &str) -> Result<Suggestions, CallError> {
    let (tenant, customer) = (call.tenant(), call.caller.confined_to());
    let Some(ranges) = numbers_beginning(BOOKINGS, begun) else {
        return Ok(Suggestions::of(Vec::new(), true));
    };
    let numbers = select_bookings(call.conn, tenant, customer, &ranges, VALUES_MAX + 1).await?;
    let is_all = numbers.len() <= VALUES_MAX;
    let values = numbers.iter().map(|n| numbering::shown(BOOKINGS, *n));
    Ok(Suggestions::of(values.collect(), is_all))
}

fn is_all(found: &[String]) -> bool {
    usize::try_from(COUNTED_MAX).is_ok_and(|most| found.len() < most)
}

/// The names that begin so, accents and case aside. Pure.
fn beginning(begun: &str, names: impl IntoIterator<Item = String>) -> Vec<String> {
    let asked = Folded::new(begun);
    names
        .into_iter()
        .filter(|name| begun.is_empty() || Folded::new(name).text().starts_with(asked.text()))
        .collect()
}

/// The names most like it. Pure.
fn nearest(begun: &str, names: impl Iterator<Item = String>) -> Vec<String> {
    let asked = Folded::new(begun);
    let mut scored: Vec<(u16, String)> = names
        .map(|name| (likeness(&asked, &Folded::new(&name)), name))
        .filter(|(score, _)| is_shown(*score))
        .collect();
    scored.sort_by(|(a, x), (b, y)| b.cmp(a).then_with(|| x.cmp(y)));
    let best = scored.first().map_or(0, |(score, _)| *score);
    scored.retain(|(score, _)| score + BEHIND_MAX >= best);
    scored.truncate(NEAR_MAX);
    scored.into_iter().map(|(_, name)| name).collect()
}

/// One list after the other, each name once.
fn joined(first: Vec<String>, then: Vec<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let all = first.into_iter().chain(then);
    all.filter(|name| seen.insert(name.clone())).collect()
}

/// The ranges of numbers whose name begins so: for `INV-1` it is 1, 10 to 19, 100 to 199 and so on. `None` when no number of the series
/// begins so. Pure.
fn numbers_beginning(series: &str, begun: &str) -> Option<Vec<(i64, i64)>> {
    let begun = begun.trim_start_matches('#').to_uppercase();
    let prefix = format!("{series}-");
    let digits = match begun.strip_prefix(&prefix) {
        Some(digits) => digits,
        None if prefix.starts_with(&begun) => "",
        // A number alone names a bill, never a credit note.
        None if series != numbering::CREDIT_NOTES => begun.as_str(),
        None => return None,
    };
    if digits.is_empty() {
        return Some(vec![(1, i64::MAX)]);
    }
    if digits.starts_with('0') || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut first: i64 = digits.parse().ok()?;
    let mut span: i64 = 1;
    let mut ranges = Vec::new();
    loop {
        ranges.push((first, first.saturating_add(span - 1)));
        match (first.checked_mul(10), span.checked_mul(10)) {
            (Some(next), Some(wider)) => (first, span) = (next, wider),
            _ => return Some(ranges),
        }
    }
}

async fn select_first_items(
    conn: &mut PgConnection,
    tenant: Uuid,
    most: i64,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select i.name from shop.items i where i.tenant_id = $1 and i.archived_at is null order by i.name_norm limit $2",
        tenant,
        most
    )
    .fetch_all(conn)
    .await
}

async fn select_items_beginning(
    conn: &mut PgConnection,
    tenant: Uuid,
    begun: &str,
    most: i32,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select name as "name!" from shop.items_beginning($1, $2, $3)"#,
        tenant,
        begun,
        most
    )
    .fetch_all(conn)
    .await
}

async fn select_first_customers(
    conn: &mut PgConnection,
    tenant: Uuid,
    most: i64,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select c.name from shop.customers c where c.tenant_id = $1 and c.deleted_at is null order by c.name_norm limit $2",
        tenant,
        most
    )
    .fetch_all(conn)
    .await
}

async fn select_customers_beginning(
    conn: &mut PgConnection,
    tenant: Uuid,
    begun: &str,
    most: i32,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select name as "name!" from shop.customers_beginning($1, $2, $3)"#,
        tenant,
        begun,
        most
    )
    .fetch_all(conn)
    .await
}

async fn select_customers_alike(
    conn: &mut PgConnection,
    tenant: Uuid,
    begun: &str,
    most: i32,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select c.name from shop.customers_alike($1, $2, $3) near
         join shop.customers c on c.tenant_id = $1 and c.id = near.id",
        tenant,
        begun,
        most
    )
    .fetch_all(conn)
    .await
}

async fn select_resources(
    conn: &mut PgConnection,
    tenant: Uuid,
    most: i64,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select r.name from shop.resources r where r.tenant_id = $1 and r.active order by r.name_norm limit $2",
        tenant,
        most
    )
    .fetch_all(conn)
    .await
}

/// The newest first. Each range is looked up by itself, so that the index ends it early.
async fn select_bills(
    conn: &mut PgConnection,
    tenant: Uuid,
    series: &str,
    customer: Option<Uuid>,
    ranges: &[(i64, i64)],
    most: usize,
) -> Result<Vec<i64>, sqlx::Error> {
    let (from, to): (Vec<i64>, Vec<i64>) = ranges.iter().copied().unzip();
    sqlx::query_scalar!(
        r#"select b.number as "number!" from unnest($4::bigint[], $5::bigint[]) as range (first, last)
           cross join lateral (
               select b.number from shop.bills b
               where b.tenant_id = $1 and b.series = $2 and b.number between range.first and range.last
                 and ($3::uuid is null or b.customer_id = $3)
               order by b.number desc limit $6
           ) b
           order by b.number desc limit $6"#,
        tenant,
        series,
        customer,
        &from,
        &to,
        i64::try_from(most).unwrap_or(i64::MAX)
    )
    .fetch_all(conn)
    .await
}

/// As [`select_bills`].
async fn select_bookings(
    conn: &mut PgConnection,
    tenant: Uuid,
    customer: Option<Uuid>,
    ranges: &[(i64, i64)],
    most: usize,
) -> Result<Vec<i64>, sqlx::Error> {
    let (from, to): (Vec<i64>, Vec<i64>) = ranges.iter().copied().unzip();
    sqlx::query_scalar!(
        r#"select b.number as "number!" from unnest($3::bigint[], $4::bigint[]) as range (first, last)
           cross join lateral (
               select b.number from shop.bookings b
               where b.tenant_id = $1 and b.number between range.first and range.last
                 and ($2::uuid is null or b.customer_id = $2)
               order by b.number desc limit $5
           ) b
           order by b.number desc limit $5"#,
        tenant,
        customer,
        &from,
        &to,
        i64::try_from(most).unwrap_or(i64::MAX)
    )
    .fetch_all(conn)
    .await
}

#[cfg(test)]
mod tests {
    use contracts::tools::billing::CreateBill;
    use contracts::tools::booking::SetResource;
    use contracts::tools::inventory::AddItem;
    use contracts::tools::profile::CreateCustomer;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::testing::World;

    async fn shop() -> World {
        let world = World::new().await;
        for (name, category) in [
            ("Sugar", "grocery"),
            ("Súper glue", "tools"),
            ("Brown sugar", "grocery"),
            ("100% juice", "drinks"),
            ("10 nails", "tools"),
        ] {
            let item =
                json!({"name": name, "category": category, "unit_price": "100", "quantity": "99"});
            world.write::<AddItem>(item).await.unwrap();
        }
        for name in ["Ali Hassan", "Alina", "Bosco"] {
            world
                .write::<CreateCustomer>(json!({"name": name}))
                .await
                .unwrap();
        }
        for name in ["Chair 1", "Chair 2", "Room"] {
            world
                .write::<SetResource>(json!({"name": name}))
                .await
                .unwrap();
        }
        world
    }

    async fn typed(world: &World, kind: Kind, begun: &str) -> Vec<String> {
        let mut tx = world.begin().await;
        let found = suggest(&mut world.call(&mut tx), kind, begun)
            .await
            .unwrap();
        let count = u32::try_from(found.values.len()).unwrap();
        assert_eq!((found.total, found.more), (Some(count), false), "{begun}");
        found.values
    }

    #[tokio::test]
    async fn what_begins_so_comes_first_then_what_is_nearly_so() {
        let world = shop().await;
        for (kind, begun, expected) in [
            (
                Kind::Item,
                "",
                vec![
                    "10 nails",
                    "100% juice",
                    "Brown sugar",
                    "Sugar",
                    "Súper glue",
                ],
            ),
            (Kind::Item, "su", vec!["Sugar", "Súper glue"]),
            (Kind::Item, "SUP", vec!["Súper glue"]),
            (Kind::Item, "sugar", vec!["Sugar", "Brown sugar"]),
            (Kind::Item, "sugr", vec!["Sugar", "Brown sugar"]),
            (Kind::Item, "1%", vec![]),
            (Kind::Item, "100%", vec!["100% juice"]),
            (Kind::Item, "_", vec![]),
            (Kind::Item, "\\", vec![]),
            (Kind::Item, "a\0b", vec![]),
            (Kind::Category, "", vec!["drinks", "grocery", "tools"]),
            (Kind::Category, "G", vec!["grocery"]),
            (Kind::Customer, "al", vec!["Ali Hassan", "Alina"]),
            (Kind::Customer, "hassan", vec!["Ali Hassan"]),
            (Kind::Resource, "ch", vec!["Chair 1", "Chair 2"]),
            (Kind::Resource, "rooom", vec!["Room"]),
        ] {
            assert_eq!(
                typed(&world, kind, begun).await,
                expected,
                "{kind:?} {begun}"
            );
        }
    }

    #[tokio::test]
    async fn numbers_are_completed_the_newest_first() {
        let world = shop().await;
        for _ in 0..12 {
            let bill = json!({"customer": "Bosco", "lines": [{"item": "Sugar", "quantity": "1"}]});
            world.agree::<CreateBill>(bill).await.unwrap();
        }
        for (begun, expected) in [
            ("INV-1", vec!["INV-12", "INV-11", "INV-10", "INV-1"]),
            ("inv-12", vec!["INV-12"]),
            ("7", vec!["INV-7"]),
            ("INV-13", vec![]),
            ("CN", vec![]),
            ("INV-01", vec![]),
            ("INV-1x", vec![]),
        ] {
            assert_eq!(typed(&world, Kind::Bill, begun).await, expected, "{begun}");
        }
        assert_eq!(typed(&world, Kind::Bill, "").await.len(), 12);
        assert_eq!(
            typed(&world, Kind::Booking, "BK-").await,
            Vec::<String>::new()
        );
    }

    #[test]
    fn of_many_the_first_hundred_are_told() {
        let many = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>();
        let found = Suggestions::of(many(101), true);
        assert_eq!(
            (found.values.len(), found.total, found.more),
            (100, Some(101), true)
        );
        let found = Suggestions::of(many(100), true);
        assert_eq!((found.total, found.more), (Some(100), false));
        assert_eq!(Suggestions::of(many(5), false).total, None);
    }

    proptest! {
        #[test]
        fn a_number_is_in_the_ranges_of_its_beginnings_and_in_no_others(number in 1..2_000_000_000_i64, other in 1..2_000_000_i64) {
            let within = |begun: &str| {
                let ranges = numbers_beginning("INV", begun).unwrap();
                ranges.iter().any(|(first, last)| (first..=last).contains(&&number))
            };
            let shown = number.to_string();
            for end in 1..=shown.len() {
                let begun = format!("INV-{}", &shown[..end]);
                prop_assert!(within(&begun));
            }
            prop_assert_eq!(within(&other.to_string()), shown.starts_with(&other.to_string()));
        }

        #[test]
        fn no_text_makes_it_fail_hard(text in ".{0,40}") {
            let _ = numbers_beginning("INV", &text);
            let _ = numbers_beginning("CN", &text);
        }
    }
}
