//! Bills as they were issued: found by the name a person gives them, and shown from what is stored.

use chrono::{DateTime, NaiveDate, Utc};
use contracts::locale::Locale;
use contracts::money::{Currency, Money};
use contracts::quantity::{Exact, Measure};
use contracts::tools::billing::{BillLineView, BillOutput, BillStatus, BillView};
use rust_decimal::Decimal;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::CallError;
use crate::handler::Call;
use crate::numbering::{self, BillName};
use crate::words::{self, billing};

/// A bill with its lines.
#[derive(Debug, Clone)]
pub(crate) struct Bill {
    /// Its id.
    pub id: Uuid,
    /// Its number as it is shown.
    pub number: String,
    /// Where it stands.
    pub status: BillStatus,
    /// The customer's name when it was issued.
    pub customer: Option<String>,
    /// Prices include tax.
    pub tax_inclusive: bool,
    /// Sum of the lines.
    pub subtotal: Money,
    /// What was taken off.
    pub discount: Money,
    /// Tax of all lines.
    pub tax: Money,
    /// What is owed in all.
    pub total: Money,
    /// What has been paid.
    pub paid: Money,
    /// When it is due.
    pub due_on: Option<NaiveDate>,
    /// When it was issued.
    pub issued_at: DateTime<Utc>,
    /// Why it was voided.
    pub void_reason: Option<String>,
    /// The lines, in order.
    pub lines: Vec<Line>,
}

/// A line as it was printed.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// The item.
    pub item_id: Uuid,
    /// Its name when the bill was issued.
    pub description: String,
    /// As it was ordered.
    pub entered: Measure,
    /// In the item's unit.
    pub priced: Measure,
    /// Minor units per unit.
    pub unit_price_minor: Decimal,
    /// Quantity times price, rounded once.
    pub gross: Money,
    /// Share of the discount.
    pub discount: Money,
    /// Tax.
    pub tax: Money,
}

impl Line {
    /// "2 kg Sugar @ 160 = 320".
    #[must_use]
    pub(crate) fn text(&self, locale: Locale) -> String {
        billing::line(
            locale,
            &self.entered,
            &self.description,
            &self.priced.unit,
            self.unit_price_minor,
            self.gross,
        )
    }

    fn view(&self, locale: Locale) -> BillLineView {
        BillLineView {
            description: self.description.clone(),
            quantity: self.entered.clone(),
            priced_quantity: self.priced.clone(),
            unit_price: words::unit_price(
                locale,
                self.unit_price_minor,
                self.gross.currency,
                &self.priced.unit,
            ),
            gross: self.gross,
            discount: self.discount,
            tax: self.tax,
            text: self.text(locale),
        }
    }
}

impl Bill {
    /// What is still owed: nothing on a bill that is void or given up.
    #[must_use]
    pub(crate) fn owed(&self) -> Money {
        owed(self.status, self.total, self.paid)
    }

    /// The bill as it is shown.
    #[must_use]
    pub(crate) fn view(&self, locale: Locale) -> BillView {
        BillView {
            bill_id: self.id,
            number: self.number.clone(),
            status: self.status,
            customer: self.customer.clone(),
            lines: self.lines.iter().map(|line| line.view(locale)).collect(),
            subtotal: self.subtotal,
            discount: self.discount,
            tax: self.tax,
            tax_inclusive: self.tax_inclusive,
            total: self.total,
            paid: self.paid,
            owed: self.owed(),
            issued_at: self.issued_at,
            due_on: self.due_on,
            void_reason: self.void_reason.clone().filter(|r| !r.is_empty()),
        }
    }

    /// The bill as a tool's result.
    #[must_use]
    pub(crate) fn output(&self, summary: String, locale: Locale) -> BillOutput {
        BillOutput {
            summary,
            bill_id: self.id,
            number: self.number.clone(),
            bill: self.view(locale),
        }
    }
}

/// What is still owed on a bill.
#[must_use]
pub(crate) fn owed(status: BillStatus, total: Money, paid: Money) -> Money {
    let amount_minor = match status {
        BillStatus::Open | BillStatus::Paid => total.amount_minor - paid.amount_minor,
        BillStatus::Void | BillStatus::Uncollectible => 0,
    };
    Money::minor(amount_minor, total.currency)
}

/// Reads a stored status.
///
/// # Errors
/// When the table holds a word the contract does not know.
pub(crate) fn status(word: &str) -> Result<BillStatus, CallError> {
    BillStatus::from_word(word).ok_or_else(|| CallError::Broken(format!("a bill stands at {word}")))
}

/// The bill a person names: "12", "INV-12", its id, or "last".
///
/// # Errors
/// `unknown_bill`.
pub(crate) async fn find(call: &mut Call<'_>, name: &str) -> Result<Bill, CallError> {
    let unknown = || billing::unknown_bill(call.locale, name);
    let bill_name = numbering::read(name).ok_or_else(unknown)?;
    let tenant = call.tenant();
    let bill = select_bill(call.conn, tenant, bill_name)
        .await?
        .ok_or_else(|| match bill_name {
            BillName::Last => billing::no_bill_yet(call.locale),
            BillName::Number(_) | BillName::Id(_) => unknown(),
        })?;
    assemble(call, bill).await
}

/// The bill of this id.
///
/// # Errors
/// When the database fails, or the bill is not there.
pub(crate) async fn load(call: &mut Call<'_>, id: Uuid) -> Result<Bill, CallError> {
    let tenant = call.tenant();
    let bill = select_bill(call.conn, tenant, BillName::Id(id))
        .await?
        .ok_or_else(|| CallError::Broken(format!("bill {id} is gone")))?;
    assemble(call, bill).await
}

async fn assemble(call: &mut Call<'_>, row: BillRow) -> Result<Bill, CallError> {
    let tenant = call.tenant();
    let currency: Currency = row
        .currency
        .parse()
        .map_err(|error| CallError::Broken(format!("bill {}: {error}", row.id)))?;
    let money = |amount: i64| Money::minor(amount, currency);
    let lines = select_lines(call.conn, tenant, row.id)
        .await?
        .into_iter()
        .map(|line| line.read(currency))
        .collect();
    Ok(Bill {
        id: row.id,
        number: numbering::shown(&row.series, row.number),
        status: status(&row.status)?,
        customer: row.customer_name,
        tax_inclusive: row.tax_inclusive,
        subtotal: money(row.subtotal),
        discount: money(row.discount),
        tax: money(row.tax),
        total: money(row.total),
        paid: money(row.paid),
        due_on: row.due_on,
        issued_at: row.issued_at,
        void_reason: row.void_reason,
        lines,
    })
}

struct BillRow {
    id: Uuid,
    series: String,
    number: i64,
    status: String,
    customer_name: Option<String>,
    currency: String,
    tax_inclusive: bool,
    subtotal: i64,
    discount: i64,
    tax: i64,
    total: i64,
    paid: i64,
    due_on: Option<NaiveDate>,
    issued_at: DateTime<Utc>,
    void_reason: Option<String>,
}

struct LineRow {
    item_id: Uuid,
    description: String,
    entered_quantity: Decimal,
    entered_unit: String,
    quantity: Decimal,
    unit: String,
    unit_price: Decimal,
    gross: i64,
    discount: i64,
    tax: i64,
}

impl LineRow {
    fn read(self, currency: Currency) -> Line {
        let exact = |number: Decimal| Exact(number.normalize());
        Line {
            item_id: self.item_id,
            description: self.description,
            entered: Measure::new(exact(self.entered_quantity), self.entered_unit),
            priced: Measure::new(exact(self.quantity), self.unit),
            unit_price_minor: self.unit_price.normalize(),
            gross: Money::minor(self.gross, currency),
            discount: Money::minor(self.discount, currency),
            tax: Money::minor(self.tax, currency),
        }
    }
}

/// Each way of naming a bill is one index look-up. The newest bill is the one of the highest number.
async fn select_bill(
    conn: &mut PgConnection,
    tenant: Uuid,
    name: BillName,
) -> Result<Option<BillRow>, sqlx::Error> {
    let (id, number, last) = match name {
        BillName::Id(id) => (Some(id), None, false),
        BillName::Number(number) => (None, Some(number), false),
        BillName::Last => (None, None, true),
    };
    sqlx::query_as!(
        BillRow,
        "with named as materialized (
             select $2::uuid as id
             union all
             select n.id from shop.bills n where n.tenant_id = $1 and n.series = $3 and n.number = $4::bigint
             union all
             (select n.id from shop.bills n where n.tenant_id = $1 and n.series = $3 and $5::bool order by n.number desc limit 1)
         )
         select b.id, b.series, b.number, b.status, b.customer_name, b.currency, b.tax_inclusive, b.subtotal, b.discount, b.tax, b.total,
                b.paid, b.due_on, b.issued_at, b.void_reason
         from named join shop.bills b on b.tenant_id = $1 and b.id = named.id",
        tenant,
        id,
        numbering::BILLS,
        number,
        last
    )
    .fetch_optional(conn)
    .await
}

async fn select_lines(
    conn: &mut PgConnection,
    tenant: Uuid,
    bill_id: Uuid,
) -> Result<Vec<LineRow>, sqlx::Error> {
    sqlx::query_as!(
        LineRow,
        "select item_id, description, entered_quantity, entered_unit, quantity, unit, unit_price, gross, discount, tax
         from shop.bill_lines where tenant_id = $1 and bill_id = $2 order by line_no",
        tenant,
        bill_id
    )
    .fetch_all(conn)
    .await
}
