//! What is owed on open bills, which of them money goes to, and how a bill's amounts change.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::CallError;
use crate::numbering;

/// Most open bills of one customer that one payment is spread over.
pub(crate) const BILLS_MAX: usize = 1_000;

/// An open bill on which something is owed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owed {
    /// The bill.
    pub id: Uuid,
    /// Its number as it is shown.
    pub number: String,
    /// Whose it is; `None` for a counter sale.
    pub customer_id: Option<Uuid>,
    /// What is still owed, minor units.
    pub owed_minor: i64,
    /// When it was issued.
    pub issued_at: DateTime<Utc>,
}

/// What goes to one bill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// The bill.
    pub bill_id: Uuid,
    /// Its number as it is shown.
    pub number: String,
    /// Whose bill it is.
    pub owner: Option<Uuid>,
    /// How much, minor units. Above 0.
    pub amount_minor: i64,
}

/// Spreads money over bills, in their order, each up to what is owed on it; the second number is what is left. Pure.
#[must_use]
pub(crate) fn spread(amount_minor: i64, bills: &[Owed]) -> (Vec<Part>, i64) {
    let mut left = amount_minor;
    let mut parts = Vec::new();
    for bill in bills {
        let part = left.min(bill.owed_minor);
        if part > 0 {
            left -= part;
            parts.push(Part {
                bill_id: bill.id,
                number: bill.number.clone(),
                owner: bill.customer_id,
                amount_minor: part,
            });
        }
    }
    (parts, left)
}

/// The open bills of a customer and the one that is named, oldest first; at most one more than [`BILLS_MAX`].
///
/// # Errors
/// When the database fails.
pub(crate) async fn read(
    conn: &mut PgConnection,
    tenant: Uuid,
    customer: Option<Uuid>,
    named: Option<Uuid>,
) -> Result<Vec<Owed>, CallError> {
    Ok(sorted(select_open(conn, tenant, customer, named).await?))
}

/// The same, locked until the commit in the order of their ids: nobody pays, credits or voids them meanwhile, and no bill comes to the
/// customer's.
///
/// # Errors
/// When the database fails.
pub(crate) async fn lock(
    conn: &mut PgConnection,
    tenant: Uuid,
    customer: Option<Uuid>,
    named: Option<Uuid>,
) -> Result<Vec<Owed>, CallError> {
    if let Some(customer) = customer {
        wait_for_new_bills(conn, tenant, customer).await?;
    }
    let rows = select_open_for_update(conn, tenant, customer, named).await?;
    Ok(sorted(rows))
}

/// Before a customer is given a bill: waits until nobody spreads money over the customer's bills, who would not see this one. Any number
/// of bills may be given at once. Comes before every lock of a row, as [`lock`] does.
///
/// # Errors
/// When the database fails.
pub(crate) async fn before_a_bill(
    conn: &mut PgConnection,
    tenant: Uuid,
    customer: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select pg_advisory_xact_lock_shared(hashtextextended('owed ' || $1::text || ' ' || $2::text, 0))",
        tenant.to_string(),
        customer.to_string()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A bill that is not there yet has no row to lock.
async fn wait_for_new_bills(
    conn: &mut PgConnection,
    tenant: Uuid,
    customer: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select pg_advisory_xact_lock(hashtextextended('owed ' || $1::text || ' ' || $2::text, 0))",
        tenant.to_string(),
        customer.to_string()
    )
    .execute(conn)
    .await?;
    Ok(())
}

fn sorted(mut rows: Vec<OwedRow>) -> Vec<Owed> {
    rows.sort_by_key(|row| (row.issued_at, row.number));
    rows.into_iter()
        .map(|row| Owed {
            id: row.id,
            number: numbering::shown(&row.series, row.number),
            customer_id: row.customer_id,
            owed_minor: row.owed,
            issued_at: row.issued_at,
        })
        .collect()
}

/// A change of what is paid and credited on a bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moved {
    /// The bill.
    pub bill_id: Uuid,
    /// What is paid more, or (negative) less.
    pub paid_minor: i64,
    /// What is credited more.
    pub credited_minor: i64,
}

/// Changes what is paid and credited; an open or paid bill is paid exactly when nothing is owed. The bills must be locked and appear
/// once each.
///
/// # Errors
/// When the database fails, or a bill is not there.
pub(crate) async fn change(
    conn: &mut PgConnection,
    tenant: Uuid,
    moved: &[Moved],
) -> Result<(), CallError> {
    if moved.is_empty() {
        return Ok(());
    }
    let changed = update_amounts(conn, tenant, moved).await?;
    if changed != moved.len() as u64 {
        let wanted = moved.len();
        return Err(CallError::Broken(format!(
            "{changed} of {wanted} bills changed"
        )));
    }
    Ok(())
}

struct OwedRow {
    id: Uuid,
    series: String,
    number: i64,
    customer_id: Option<Uuid>,
    owed: i64,
    issued_at: DateTime<Utc>,
}

/// The customer's open bills are found first: a plan for one of many bills in the order of their age would walk all the bills there are.
async fn select_open(
    conn: &mut PgConnection,
    tenant: Uuid,
    customer: Option<Uuid>,
    named: Option<Uuid>,
) -> Result<Vec<OwedRow>, sqlx::Error> {
    sqlx::query_as!(
        OwedRow,
        r#"with theirs as materialized (
               select o.id from shop.bills o where o.tenant_id = $1 and o.status = 'open' and o.customer_id = $2::uuid
               union
               select $3::uuid
           )
           select b.id, b.series, b.number, b.customer_id, b.total - b.paid - b.credited as "owed!", b.issued_at
           from theirs
           join shop.bills b on b.tenant_id = $1 and b.id = theirs.id and b.status = 'open' and b.kind = 'invoice'
           order by b.issued_at, b.number
           limit $4"#,
        tenant,
        customer,
        named,
        BILLS_MAX as i64 + 1
    )
    .fetch_all(conn)
    .await
}

async fn select_open_for_update(
    conn: &mut PgConnection,
    tenant: Uuid,
    customer: Option<Uuid>,
    named: Option<Uuid>,
) -> Result<Vec<OwedRow>, sqlx::Error> {
    sqlx::query_as!(
        OwedRow,
        r#"with theirs as materialized (
               select o.id from shop.bills o where o.tenant_id = $1 and o.status = 'open' and o.customer_id = $2::uuid
               union
               select $3::uuid
           )
           select b.id, b.series, b.number, b.customer_id, b.total - b.paid - b.credited as "owed!", b.issued_at
           from theirs
           join shop.bills b on b.tenant_id = $1 and b.id = theirs.id and b.status = 'open' and b.kind = 'invoice'
           order by b.id
           limit $4
           for no key update of b"#,
        tenant,
        customer,
        named,
        BILLS_MAX as i64 + 1
    )
    .fetch_all(conn)
    .await
}

async fn update_amounts(
    conn: &mut PgConnection,
    tenant: Uuid,
    moved: &[Moved],
) -> Result<u64, sqlx::Error> {
    let ids: Vec<Uuid> = moved.iter().map(|m| m.bill_id).collect();
    let paid: Vec<i64> = moved.iter().map(|m| m.paid_minor).collect();
    let credited: Vec<i64> = moved.iter().map(|m| m.credited_minor).collect();
    let done = sqlx::query!(
        "update shop.bills b set
             paid = b.paid + m.paid, credited = b.credited + m.credited,
             status = case when b.status not in ('open', 'paid') then b.status
                           when b.paid + m.paid + b.credited + m.credited = b.total then 'paid' else 'open' end
         from unnest($2::uuid[], $3::bigint[], $4::bigint[]) as m (id, paid, credited)
         where b.tenant_id = $1 and b.id = m.id",
        tenant,
        &ids,
        &paid,
        &credited
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owed(n: u128, owed_minor: i64) -> Owed {
        Owed {
            id: Uuid::from_u128(n),
            number: format!("INV-{n}"),
            customer_id: None,
            owed_minor,
            issued_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn money_goes_to_the_bills_in_their_order_and_what_is_left_is_said() {
        let bills = [owed(1, 100), owed(2, 0), owed(3, 50)];
        for (amount, parts, left) in [
            (30, vec![(1, 30)], 0),
            (100, vec![(1, 100)], 0),
            (120, vec![(1, 100), (3, 20)], 0),
            (500, vec![(1, 100), (3, 50)], 350),
        ] {
            let (spread, rest) = spread(amount, &bills);
            let spread: Vec<(u128, i64)> = spread
                .iter()
                .map(|p| (p.bill_id.as_u128(), p.amount_minor))
                .collect();
            assert_eq!((spread, rest), (parts, left), "{amount}");
        }
    }
}
