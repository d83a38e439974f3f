//! Bills as they were issued: found by the name a person gives them, and shown from what is stored.

pub(crate) mod goods;
pub(crate) mod owed;

use chrono::{DateTime, NaiveDate, Utc};
use contracts::locale::Locale;
use contracts::money::{Currency, Money};
use contracts::quantity::{Exact, Measure};
use contracts::tools::billing::{
    BillKind, BillLineView, BillOutput, BillStatus, BillView, CreditNoteHead,
};
use rust_decimal::Decimal;
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::CallError;
use crate::handler::{Call, Event};
use crate::numbering::{self, BillName};
use crate::words::{self, billing};

/// A bill with its lines.
#[derive(Debug, Clone)]
pub(crate) struct Bill {
    /// Its id.
    pub id: Uuid,
    /// Its number as it is shown.
    pub number: String,
    /// A bill or a credit note.
    pub kind: BillKind,
    /// Where it stands.
    pub status: BillStatus,
    /// Whose it is; `None` for a counter sale.
    pub customer_id: Option<Uuid>,
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
    /// What has been credited.
    pub credited: Money,
    /// When it is due.
    pub due_on: Option<NaiveDate>,
    /// When it was issued.
    pub issued_at: DateTime<Utc>,
    /// Why it was voided.
    pub void_reason: Option<String>,
    /// Why it was given up.
    pub write_off_reason: Option<String>,
    /// The lines, in order.
    pub lines: Vec<Line>,
    /// Its credit notes, in order.
    pub credit_notes: Vec<CreditNoteHead>,
    /// For a credit note, the number of the bill it credits.
    pub credits: Option<String>,
}

/// A line as it was printed.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// Its place on the bill, from 1.
    pub line_no: i16,
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
    /// Its rate, in hundredths of a percent.
    pub tax_bp: i32,
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
        owed(self.kind, self.status, self.total, self.settled())
    }

    /// What has been paid and credited.
    #[must_use]
    pub(crate) fn settled(&self) -> Money {
        let settled_minor = self.paid.amount_minor + self.credited.amount_minor;
        Money::minor(settled_minor, self.total.currency)
    }

    /// What is neither credited nor given up: what a credit note may still take off.
    #[must_use]
    pub(crate) fn creditable(&self) -> Money {
        let left_minor = self.total.amount_minor - self.credited.amount_minor;
        Money::minor(left_minor, self.total.currency)
    }

    /// The bill as it is shown.
    #[must_use]
    pub(crate) fn view(&self, locale: Locale) -> BillView {
        BillView {
            bill_id: self.id,
            number: self.number.clone(),
            kind: self.kind,
            status: self.status,
            customer: self.customer.clone(),
            lines: self.lines.iter().map(|line| line.view(locale)).collect(),
            subtotal: self.subtotal,
            discount: self.discount,
            tax: self.tax,
            tax_inclusive: self.tax_inclusive,
            total: self.total,
            paid: self.paid,
            credited: self.credited,
            owed: self.owed(),
            issued_at: self.issued_at,
            due_on: self.due_on,
            void_reason: self.void_reason.clone().filter(|r| !r.is_empty()),
            write_off_reason: self.write_off_reason.clone().filter(|r| !r.is_empty()),
            credit_notes: self.credit_notes.clone(),
            credits: self.credits.clone(),
        }
    }

    /// An event about it.
    #[must_use]
    pub(crate) fn event(&self, topic: &'static str) -> Event {
        Event {
            topic,
            subject: format!("bill:{}", self.id),
            data: json!({
                "bill_id": self.id,
                "number": self.number,
                "status": self.status,
                "customer_id": self.customer_id,
                "customer": self.customer,
                "total": self.total,
                "paid": self.paid,
                "credited": self.credited,
                "owed": self.owed(),
            }),
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
            pending: None,
        }
    }
}

/// What is still owed on a bill.
#[must_use]
pub(crate) fn owed(kind: BillKind, status: BillStatus, total: Money, settled: Money) -> Money {
    let amount_minor = match (kind, status) {
        (BillKind::Invoice, BillStatus::Open | BillStatus::Paid) => {
            total.amount_minor - settled.amount_minor
        }
        (BillKind::CreditNote, _) | (_, BillStatus::Void | BillStatus::Uncollectible) => 0,
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

/// Reads a stored kind.
///
/// # Errors
/// When the table holds a word the contract does not know.
pub(crate) fn kind(word: &str) -> Result<BillKind, CallError> {
    match word {
        "invoice" => Ok(BillKind::Invoice),
        "credit_note" => Ok(BillKind::CreditNote),
        _ => Err(CallError::Broken(format!("a bill is of kind {word}"))),
    }
}

/// The bill a person names, which must be no credit note.
///
/// # Errors
/// `unknown_bill`.
pub(crate) async fn find_invoice(call: &mut Call<'_>, name: &str) -> Result<Bill, CallError> {
    let bill = find(call, name).await?;
    match bill.kind {
        BillKind::Invoice => Ok(bill),
        BillKind::CreditNote => {
            let credits = bill.credits.as_deref().unwrap_or_default();
            Err(billing::is_credit_note(call.locale, &bill.number, credits).into())
        }
    }
}

/// The bill a person names: "12", "INV-12", "CN-3", its id, or "last". To a customer others' bills are not there.
///
/// # Errors
/// `unknown_bill`.
pub(crate) async fn find(call: &mut Call<'_>, name: &str) -> Result<Bill, CallError> {
    let unknown = || billing::unknown_bill(call.locale, name);
    let bill_name = numbering::read(name).ok_or_else(unknown)?;
    let tenant = call.tenant();
    let whose = call.caller.confined_to();
    let bill = select_bill(call.conn, tenant, bill_name, whose)
        .await?
        .ok_or_else(|| match bill_name {
            BillName::Last => billing::no_bill_yet(call.locale),
            BillName::Number(_) | BillName::CreditNote(_) | BillName::Id(_) => unknown(),
        })?;
    assemble(call, bill).await
}

/// The bill of this id.
///
/// # Errors
/// When the database fails, or the bill is not there.
pub(crate) async fn load(call: &mut Call<'_>, id: Uuid) -> Result<Bill, CallError> {
    let tenant = call.tenant();
    let whose = call.caller.confined_to();
    let bill = select_bill(call.conn, tenant, BillName::Id(id), whose)
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
    let credit_notes = if row.kind == "invoice" && row.credited > 0 {
        let notes = select_credit_notes(call.conn, tenant, row.id).await?;
        notes.into_iter().map(|note| note.head(currency)).collect()
    } else {
        Vec::new()
    };
    Ok(Bill {
        id: row.id,
        kind: kind(&row.kind)?,
        customer_id: row.customer_id,
        credited: money(row.credited),
        write_off_reason: row.write_off_reason,
        credit_notes,
        credits: row
            .credits_series
            .zip(row.credits_number)
            .map(|(series, number)| numbering::shown(&series, number)),
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
    kind: String,
    status: String,
    customer_id: Option<Uuid>,
    customer_name: Option<String>,
    currency: String,
    tax_inclusive: bool,
    subtotal: i64,
    discount: i64,
    tax: i64,
    total: i64,
    paid: i64,
    credited: i64,
    due_on: Option<NaiveDate>,
    issued_at: DateTime<Utc>,
    void_reason: Option<String>,
    write_off_reason: Option<String>,
    credits_series: Option<String>,
    credits_number: Option<i64>,
}

struct NoteRow {
    id: Uuid,
    series: String,
    number: i64,
    total: i64,
}

impl NoteRow {
    fn head(self, currency: Currency) -> CreditNoteHead {
        CreditNoteHead {
            bill_id: self.id,
            number: numbering::shown(&self.series, self.number),
            total: Money::minor(self.total, currency),
        }
    }
}

struct LineRow {
    line_no: i16,
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
    tax_bp: i32,
}

impl LineRow {
    fn read(self, currency: Currency) -> Line {
        let exact = |number: Decimal| Exact(number.normalize());
        Line {
            line_no: self.line_no,
            tax_bp: self.tax_bp,
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

/// Each way of naming a bill is one index look-up. The newest bill is the one of the highest number, for a customer of hers.
async fn select_bill(
    conn: &mut PgConnection,
    tenant: Uuid,
    name: BillName,
    whose: Option<Uuid>,
) -> Result<Option<BillRow>, sqlx::Error> {
    let (id, series, number, last) = match name {
        BillName::Id(id) => (Some(id), numbering::BILLS, None, false),
        BillName::Number(number) => (None, numbering::BILLS, Some(number), false),
        BillName::CreditNote(number) => (None, numbering::CREDIT_NOTES, Some(number), false),
        BillName::Last => (None, numbering::BILLS, None, true),
    };
    sqlx::query_as!(
        BillRow,
        r#"with named as materialized (
             select $2::uuid as id
             union all
             select n.id from shop.bills n where n.tenant_id = $1 and n.series = $3 and n.number = $4::bigint
             union all
             (select n.id from shop.bills n where n.tenant_id = $1 and n.series = $3 and $5::bool and $6::uuid is null
              order by n.number desc limit 1)
             union all
             (select n.id from shop.bills n
              where $6::uuid is not null and n.tenant_id = $1 and n.customer_id = $6 and n.series = $3 and $5::bool
              order by n.number desc limit 1)
         )
         select b.id, b.series, b.number, b.kind, b.status, b.customer_id, b.customer_name, b.currency, b.tax_inclusive, b.subtotal,
                b.discount, b.tax, b.total, b.paid, b.credited, b.due_on, b.issued_at, b.void_reason, b.write_off_reason,
                o.series as "credits_series?", o.number as "credits_number?"
         from named join shop.bills b on b.tenant_id = $1 and b.id = named.id
         left join shop.bills o on o.tenant_id = $1 and o.id = b.credits_bill
         where $6::uuid is null or b.customer_id = $6"#,
        tenant,
        id,
        series,
        number,
        last,
        whose
    )
    .fetch_optional(conn)
    .await
}

async fn select_credit_notes(
    conn: &mut PgConnection,
    tenant: Uuid,
    bill_id: Uuid,
) -> Result<Vec<NoteRow>, sqlx::Error> {
    sqlx::query_as!(
        NoteRow,
        "select id, series, number, total from shop.bills where tenant_id = $1 and credits_bill = $2::uuid order by number",
        tenant,
        bill_id
    )
    .fetch_all(conn)
    .await
}

async fn select_lines(
    conn: &mut PgConnection,
    tenant: Uuid,
    bill_id: Uuid,
) -> Result<Vec<LineRow>, sqlx::Error> {
    sqlx::query_as!(
        LineRow,
        "select line_no, item_id, description, entered_quantity, entered_unit, quantity, unit, unit_price, gross, discount, tax, tax_bp
         from shop.bill_lines where tenant_id = $1 and bill_id = $2 order by line_no",
        tenant,
        bill_id
    )
    .fetch_all(conn)
    .await
}
