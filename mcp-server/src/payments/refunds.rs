//! Money given back: where it came from, what of it is left, and which refunds an amount is made of.

use std::collections::{BTreeMap, BTreeSet};

use contracts::money::Money;
use contracts::tools::payment::{PaymentMethod, RefundTo};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Direction, NewPayment};
use crate::bills::owed::Part;
use crate::error::CallError;
use crate::handler::Call;
use crate::ledger::Desk;
use crate::numbering;
use crate::words::payment as words;

/// Money of one payment that can be given back: what it paid of one bill, or what it left in the wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// The payment it came with.
    pub payment_id: Uuid,
    /// How it was paid.
    pub method: PaymentMethod,
    /// Who paid.
    pub customer_id: Option<Uuid>,
    /// The payer's telephone.
    pub phone: Option<String>,
    /// The bill it paid, its number and its owner; `None` for what no bill took.
    pub bill: Option<(Uuid, String, Option<Uuid>)>,
    /// What is left of it, minor units. Above 0.
    pub left_minor: i64,
}

/// What is given back of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// Everything that was paid on a bill.
    Bill(Uuid),
    /// One payment.
    Payment(Uuid),
}

/// What can be given back: what no bill took first, then the newest payments.
///
/// # Errors
/// When the database fails.
pub(crate) async fn sources(
    conn: &mut PgConnection,
    tenant: Uuid,
    of: Of,
) -> Result<Vec<Source>, CallError> {
    let (bill, payment) = match of {
        Of::Bill(id) => (Some(id), None),
        Of::Payment(id) => (None, Some(id)),
    };
    select_sources(conn, tenant, payment, bill)
        .await?
        .into_iter()
        .map(SourceRow::read)
        .collect()
}

/// Takes an amount out of the sources, in their order. Pure: what is taken says how much in `left_minor`.
#[must_use]
pub(crate) fn take(sources: &[Source], amount_minor: i64) -> Vec<Source> {
    let mut left = amount_minor;
    let mut taken = Vec::new();
    for source in sources {
        let part = left.min(source.left_minor);
        if part > 0 {
            left -= part;
            taken.push(Source {
                left_minor: part,
                ..source.clone()
            });
        }
    }
    taken
}

/// The refunds that give these back: one per payment, the way that is asked for.
///
/// # Errors
/// `method_unavailable` when the way it was paid cannot be gone back; `invalid_arguments` for the wallet of nobody.
pub(crate) fn refunds(
    call: &Call<'_>,
    taken: &[Source],
    to: RefundTo,
    field: &str,
) -> Result<Vec<NewPayment>, CallError> {
    let mut by_payment: BTreeMap<Uuid, Vec<&Source>> = BTreeMap::new();
    for source in taken {
        by_payment.entry(source.payment_id).or_default().push(source);
    }
    by_payment
        .into_iter()
        .map(|(payment_id, sources)| refund(call, payment_id, &sources, to, field))
        .collect()
}

fn refund(
    call: &Call<'_>,
    payment_id: Uuid,
    sources: &[&Source],
    to: RefundTo,
    field: &str,
) -> Result<NewPayment, CallError> {
    let paid_by = sources.first().map_or(PaymentMethod::Cash, |s| s.method);
    let method = match to {
        RefundTo::Original => paid_by,
        RefundTo::Cash => PaymentMethod::Cash,
        RefundTo::Wallet => PaymentMethod::Wallet,
    };
    let customer_id = sources.iter().find_map(|source| {
        let owner = source.bill.as_ref().and_then(|(_, _, owner)| *owner);
        source.customer_id.or(owner)
    });
    let provider = match method {
        PaymentMethod::Cash | PaymentMethod::Wallet => None,
        PaymentMethod::MobileMoney | PaymentMethod::Card => {
            let serving = call.providers.serving(method, Direction::Refund);
            let missing = || words::method_unavailable(call.locale, method, Direction::Refund);
            Some(serving.ok_or_else(missing)?)
        }
    };
    if method == PaymentMethod::Wallet && customer_id.is_none() {
        return Err(words::wallet_of_nobody(call.locale, field).into());
    }
    let amount_minor = sources.iter().map(|s| s.left_minor).sum();
    let (id, direction) = (call.new_id(), Direction::Refund);
    let mut new = NewPayment::incoming(id, direction, method, provider, amount_minor);
    new.customer_id = customer_id;
    new.refunds = Some(payment_id);
    new.phone = sources.first().and_then(|s| s.phone.clone());
    new.parts = sources
        .iter()
        .filter_map(|source| {
            let (bill_id, number, owner) = source.bill.clone()?;
            Some(Part {
                bill_id,
                number,
                owner,
                amount_minor: source.left_minor,
            })
        })
        .collect();
    new.bill_id = match new.parts.as_slice() {
        [only] => Some(only.bill_id),
        _ => None,
    };
    Ok(new)
}

/// Locks the payments that are given back until the commit, in the order of their ids.
///
/// # Errors
/// When the database fails.
pub(crate) async fn lock_payments(
    conn: &mut PgConnection,
    desk: Desk<'_>,
    refunds: &[NewPayment],
) -> Result<(), CallError> {
    let ids: BTreeSet<Uuid> = refunds.iter().filter_map(|refund| refund.refunds).collect();
    for id in ids {
        super::lock(conn, desk, id).await?;
    }
    Ok(())
}

/// Counts what is given back of each payment. They must be locked.
///
/// # Errors
/// When the database fails.
pub(crate) async fn count(
    conn: &mut PgConnection,
    tenant: Uuid,
    refunds: &[NewPayment],
) -> Result<(), CallError> {
    for refund in refunds {
        if let Some(id) = refund.refunds {
            super::add_refunded(conn, tenant, id, refund.amount_minor).await?;
        }
    }
    Ok(())
}

/// A bill that is about to be credited, held until the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Credited {
    /// The bill.
    pub id: Uuid,
    /// Its owner.
    pub owner: Option<Uuid>,
    /// Where it stands.
    pub status: String,
    /// What it comes to, minor units.
    pub total_minor: i64,
    /// What is paid of it.
    pub paid_minor: i64,
    /// What is credited of it.
    pub credited_minor: i64,
    /// What of its tax has not been credited.
    pub tax_left_minor: i64,
}

impl Credited {
    /// The tax within an amount that is credited: its share of what is left, and all of it with the last of it. Pure.
    #[must_use]
    pub(crate) fn tax_within(&self, amount_minor: i64) -> i64 {
        let left = i128::from(self.total_minor - self.credited_minor);
        let (amount, tax_left) = (i128::from(amount_minor), i128::from(self.tax_left_minor.max(0)));
        let share = if left == 0 || amount >= left {
            tax_left
        } else {
            (2 * tax_left * amount + left) / (2 * left)
        };
        // At most the amount, which fits.
        i64::try_from(share.min(tax_left).min(amount)).unwrap_or(0)
    }
}

/// Locks bills in the order of their ids.
///
/// # Errors
/// When the database fails.
pub(crate) async fn lock_bills(
    conn: &mut PgConnection,
    tenant: Uuid,
    ids: &BTreeSet<Uuid>,
) -> Result<Vec<Credited>, CallError> {
    let ids: Vec<Uuid> = ids.iter().copied().collect();
    let rows = select_bills_for_update(conn, tenant, &ids).await?;
    // Asked for by itself: only a statement that begins after the lock sees what was committed before it.
    let credited = select_credited_tax(conn, tenant, &ids).await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let taken = credited.iter().find(|c| c.bill_id == row.id);
            Credited {
                id: row.id,
                owner: row.customer_id,
                status: row.status,
                total_minor: row.total,
                paid_minor: row.paid,
                credited_minor: row.credited,
                tax_left_minor: row.tax - taken.map_or(0, |c| c.tax),
            }
        })
        .collect())
}

/// The ways refunds go, each once.
#[must_use]
pub(crate) fn ways(refunds: &[NewPayment]) -> Vec<PaymentMethod> {
    let mut ways = Vec::new();
    for refund in refunds {
        if !ways.contains(&refund.method) {
            ways.push(refund.method);
        }
    }
    ways
}

/// What refunds come to.
#[must_use]
pub(crate) fn sum(refunds: &[NewPayment], call: &Call<'_>) -> Money {
    let minor = refunds.iter().map(|r| r.amount_minor).sum();
    Money::minor(minor, call.shop.currency)
}

struct SourceRow {
    payment_id: Uuid,
    method: String,
    customer_id: Option<Uuid>,
    phone: Option<String>,
    bill_id: Option<Uuid>,
    bill_series: Option<String>,
    bill_number: Option<i64>,
    owner: Option<Uuid>,
    left: i64,
}

impl SourceRow {
    fn read(self) -> Result<Source, CallError> {
        let method = PaymentMethod::from_word(&self.method)
            .ok_or_else(|| CallError::Broken(format!("a payment is paid by {}", self.method)))?;
        let number = self
            .bill_series
            .as_deref()
            .zip(self.bill_number)
            .map(|(series, number)| numbering::shown(series, number));
        Ok(Source {
            payment_id: self.payment_id,
            method,
            customer_id: self.customer_id,
            phone: self.phone,
            bill: self
                .bill_id
                .zip(number)
                .map(|(id, number)| (id, number, self.owner)),
            left_minor: self.left,
        })
    }
}

async fn select_sources(
    conn: &mut PgConnection,
    tenant: Uuid,
    payment: Option<Uuid>,
    bill: Option<Uuid>,
) -> Result<Vec<SourceRow>, sqlx::Error> {
    sqlx::query_as!(
        SourceRow,
        r#"with wanted as materialized (
               select $2::uuid as id where $2::uuid is not null
               union
               select a.payment_id from shop.payment_allocations a where a.tenant_id = $1 and a.bill_id = $3::uuid
           ), source as (
               select p.id, a.bill_id,
                      a.amount - coalesce((select sum(ra.amount) from shop.payments r
                                           join shop.payment_allocations ra on ra.tenant_id = $1 and ra.payment_id = r.id
                                           where r.tenant_id = $1 and r.refunds = p.id and ra.bill_id = a.bill_id), 0) as left
               from wanted w
               join shop.payments p on p.tenant_id = $1 and p.id = w.id and p.direction <> 'refund' and p.status = 'succeeded'
               join shop.payment_allocations a on a.tenant_id = $1 and a.payment_id = p.id
               where $3::uuid is null or a.bill_id = $3
               union all
               select p.id, null,
                      p.amount - coalesce((select sum(a.amount) from shop.payment_allocations a
                                           where a.tenant_id = $1 and a.payment_id = p.id), 0)
                               - coalesce((select sum(r.amount) from shop.payments r where r.tenant_id = $1 and r.refunds = p.id), 0)
                               + coalesce((select sum(ra.amount) from shop.payments r
                                           join shop.payment_allocations ra on ra.tenant_id = $1 and ra.payment_id = r.id
                                           where r.tenant_id = $1 and r.refunds = p.id), 0)
               from shop.payments p
               where p.tenant_id = $1 and p.id = $2::uuid and p.direction <> 'refund' and p.status = 'succeeded'
           )
           select p.id as payment_id, p.method, p.customer_id, p.phone_e164 as "phone?", s.bill_id as "bill_id?", b.series as "bill_series?",
                  b.number as "bill_number?", b.customer_id as "owner?", s.left::bigint as "left!"
           from source s
           join shop.payments p on p.tenant_id = $1 and p.id = s.id
           left join shop.bills b on b.tenant_id = $1 and b.id = s.bill_id
           where s.left > 0
           order by s.bill_id is not null, p.number desc, b.number desc"#,
        tenant,
        payment,
        bill
    )
    .fetch_all(conn)
    .await
}

struct LockedRow {
    id: Uuid,
    customer_id: Option<Uuid>,
    status: String,
    total: i64,
    tax: i64,
    paid: i64,
    credited: i64,
}

async fn select_bills_for_update(
    conn: &mut PgConnection,
    tenant: Uuid,
    ids: &[Uuid],
) -> Result<Vec<LockedRow>, sqlx::Error> {
    sqlx::query_as!(
        LockedRow,
        "select id, customer_id, status, total, tax, paid, credited from shop.bills
         where tenant_id = $1 and id = any($2) order by id for no key update",
        tenant,
        ids
    )
    .fetch_all(conn)
    .await
}

struct CreditedTax {
    bill_id: Uuid,
    tax: i64,
}

async fn select_credited_tax(
    conn: &mut PgConnection,
    tenant: Uuid,
    ids: &[Uuid],
) -> Result<Vec<CreditedTax>, sqlx::Error> {
    sqlx::query_as!(
        CreditedTax,
        r#"select bill_id as "bill_id!", sum(amount)::bigint as "tax!" from shop.ledger_transfers
           where tenant_id = $1 and bill_id = any($2) and reason = 'credit_tax' group by bill_id"#,
        tenant,
        ids
    )
    .fetch_all(conn)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tax_of_a_bill_is_credited_in_shares_that_add_up_to_it() {
        let mut bill = Credited {
            id: Uuid::nil(),
            owner: None,
            status: "paid".to_owned(),
            total_minor: 118,
            paid_minor: 118,
            credited_minor: 0,
            tax_left_minor: 18,
        };
        let mut shares = Vec::new();
        for amount in [1, 40, 40, 30, 7] {
            let tax = bill.tax_within(amount);
            assert!(tax <= amount);
            shares.push(tax);
            bill.credited_minor += amount;
            bill.tax_left_minor -= tax;
        }
        assert_eq!(shares.iter().sum::<i64>(), 18, "{shares:?}");
        assert_eq!(bill.tax_within(1), 0, "nothing is left");
    }
}
