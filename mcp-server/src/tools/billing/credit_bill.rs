//! `billing_credit_bill`: a credit note for a bill, whole or by line. Goods go back to stock, less is owed, and what was paid beyond that
//! is given back.

use std::collections::{BTreeMap, BTreeSet};

use contracts::confirmation::PreviewLine;
use contracts::locale::Locale;
use contracts::money::Money;
use contracts::quantity::{Exact, Measure};
use contracts::tools::billing::{
    BillStatus, CreditBill, CreditBillInput, CreditBillOutput, CreditLine,
};
use contracts::tools::payment::RefundTo;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::bills::goods::{self, Back};
use crate::bills::owed::{self, Moved};
use crate::bills::{self, Bill, Line};
use crate::catalogue::{self, Asked, Item};
use crate::error::CallError;
use crate::handler::{Audit, Call, CommitTool, Effected, Prepared};
use crate::ledger::{self, Desk};
use crate::payments::refunds::{self, Of};
use crate::payments::{self, NewPayment, Payment, way};
use crate::stock::Reason;
use crate::typed::{self, REASON_CHARS_MAX};
use crate::words::arguments::{self, Thing};
use crate::words::billing::{self, CreditSum};
use crate::words::payment as said;
use crate::{numbering, pricing, providers};

/// Most lines of one credit note that are named.
const LINES_MAX: usize = 100;

/// A credit note that is worked out and only has to be written.
pub struct Plan {
    bill: Bill,
    pieces: Vec<Piece>,
    total: Money,
    refunds: Vec<NewPayment>,
    restock: bool,
    reason: String,
}

/// What is credited of one line.
#[derive(Debug, Clone)]
struct Piece {
    line: Line,
    quantity: Exact,
    gross_minor: i64,
    discount_minor: i64,
    tax_minor: i64,
}

/// What credit notes have taken off a line so far.
#[derive(Debug, Clone, Copy, Default)]
struct Done {
    quantity: Decimal,
    discount_minor: i64,
}

impl CommitTool for CreditBill {
    type Plan = Plan;

    async fn prepare(
        call: &mut Call<'_>,
        input: &CreditBillInput,
    ) -> Result<Prepared<Plan>, CallError> {
        let locale = call.locale;
        let chars_max = REASON_CHARS_MAX;
        let reason =
            typed::line_or_empty(&input.reason, Thing::Reason, "reason", chars_max, locale)?;
        if input.lines.len() > LINES_MAX {
            return Err(arguments::too_many(locale, "lines", LINES_MAX).into());
        }
        let bill = bills::find_invoice(call, &input.bill).await?;
        refuse_closed(&bill, locale)?;
        let tenant = call.tenant();
        let done = select_done(call.conn, tenant, bill.id).await?;
        let quantities = if input.lines.is_empty() {
            whole(&bill, &done)
        } else {
            by_line(call, &bill, &done, &input.lines).await?
        };
        let mut pieces = pieces(&bill, &done, &quantities)?;
        let left_minor = bill.creditable().amount_minor;
        let total_minor = fit(&mut pieces, bill.tax_inclusive, left_minor);
        if total_minor <= 0 {
            return Err(billing::nothing_to_credit(locale, &bill.number).into());
        }
        let refunds = overpaid(call, &bill, total_minor, input.refund_to).await?;
        let plan = Plan {
            total: Money::minor(total_minor, bill.total.currency),
            bill,
            pieces,
            refunds,
            restock: input.restock,
            reason,
        };
        Ok(plan.prepared(call))
    }

    async fn execute(
        call: &mut Call<'_>,
        _input: CreditBillInput,
        plan: Plan,
    ) -> Result<Effected<CreditBillOutput>, CallError> {
        let (desk, bill) = (Desk::of(call), &plan.bill);
        let locked =
            refunds::lock_bills(call.conn, desk.tenant, &BTreeSet::from([bill.id])).await?;
        // Every payment, refund and credit changes one of these: then the pieces are no longer what was agreed to.
        let as_read = locked.first().is_some_and(|now| {
            now.paid_minor == bill.paid.amount_minor
                && now.credited_minor == bill.credited.amount_minor
                && now.status == bill.status.word()
        });
        if !as_read {
            return Err(said::changed(call.locale).into());
        }
        let note_id = call.new_id();
        if plan.restock {
            let goods: Vec<Back> = plan.pieces.iter().map(Piece::back).collect();
            goods::put_back(call, note_id, Reason::Return, &goods).await?;
        }
        refunds::lock_payments(call.conn, desk, &plan.refunds).await?;
        refunds::count(call.conn, desk.tenant, &plan.refunds).await?;
        let written = write_note(call, desk, note_id, &plan).await?;
        plan.done(call, note_id, written).await
    }
}

fn refuse_closed(bill: &Bill, locale: Locale) -> Result<(), CallError> {
    match bill.status {
        BillStatus::Open | BillStatus::Paid => Ok(()),
        BillStatus::Void | BillStatus::Uncollectible => {
            Err(billing::not_open(locale, &bill.number, bill.status).into())
        }
    }
}

fn left_of(line: &Line, done: &BTreeMap<i16, Done>) -> Decimal {
    let taken = done
        .get(&line.line_no)
        .map_or(Decimal::ZERO, |d| d.quantity);
    line.priced.quantity.0 - taken
}

/// All that is left of every line, by the line's number.
fn whole(bill: &Bill, done: &BTreeMap<i16, Done>) -> BTreeMap<i16, Decimal> {
    bill.lines
        .iter()
        .map(|line| (line.line_no, left_of(line, done)))
        .filter(|(_, left)| *left > Decimal::ZERO)
        .collect()
}

/// What was asked for, spread over the bill's lines of each item in their order.
async fn by_line(
    call: &mut Call<'_>,
    bill: &Bill,
    done: &BTreeMap<i16, Done>,
    lines: &[CreditLine],
) -> Result<BTreeMap<i16, Decimal>, CallError> {
    let mut quantities: BTreeMap<i16, Decimal> = BTreeMap::new();
    for (i, asked) in lines.iter().enumerate() {
        let (field, quantity_field) = (format!("lines[{i}].item"), format!("lines[{i}].quantity"));
        let item = item_on(call, bill, &asked.item, &field).await?;
        if !asked.quantity.is_positive() {
            return Err(
                arguments::not_positive(call.locale, Thing::Quantity, &quantity_field).into(),
            );
        }
        let entered = item.counting().read(
            asked.quantity,
            asked.unit.as_deref(),
            &quantity_field,
            &format!("lines[{i}].unit"),
            call.locale,
        )?;
        let mut wanted = entered.quantity.0;
        let mut had = Decimal::ZERO;
        for line in bill.lines.iter().filter(|line| line.item_id == item.id) {
            let taken = quantities.entry(line.line_no).or_default();
            let left = left_of(line, done) - *taken;
            had += left;
            let part = wanted.min(left);
            *taken += part;
            wanted -= part;
        }
        if wanted > Decimal::ZERO {
            let left = item.measure(Exact(had.normalize()));
            let number = &bill.number;
            return Err(billing::more_than_billed(
                call.locale,
                &item.name,
                &left,
                number,
                &quantity_field,
            )
            .into());
        }
    }
    quantities.retain(|_, quantity| *quantity > Decimal::ZERO);
    Ok(quantities)
}

/// The item of a line, by the name that was printed, else as the catalogue knows it.
async fn item_on(
    call: &mut Call<'_>,
    bill: &Bill,
    name: &str,
    field: &str,
) -> Result<Item, CallError> {
    let printed = name.trim().to_lowercase();
    let line = bill
        .lines
        .iter()
        .find(|line| line.description.to_lowercase() == printed);
    let id = match line {
        Some(line) => line.item_id,
        None => catalogue::find_id(call, Asked { name, field }).await?,
    };
    let tenant = call.tenant();
    let item = catalogue::load(call.conn, tenant, &[id]).await?.pop();
    match item {
        Some(item) if bill.lines.iter().any(|line| line.item_id == item.id) => Ok(item),
        Some(item) => {
            Err(billing::not_on_bill(call.locale, &item.name, &bill.number, field).into())
        }
        None => Err(CallError::Broken(format!("item {id} is gone"))),
    }
}

/// Prices what is credited like the lines it credits. A line's discount is credited in shares that add up to it.
fn pieces(
    bill: &Bill,
    done: &BTreeMap<i16, Done>,
    quantities: &BTreeMap<i16, Decimal>,
) -> Result<Vec<Piece>, CallError> {
    let mut pieces = Vec::new();
    for line in &bill.lines {
        let Some(quantity) = quantities.get(&line.line_no) else {
            continue;
        };
        let before = done.get(&line.line_no).copied().unwrap_or_default();
        let quantity = Exact(quantity.normalize());
        let gross = Money::of_line(quantity, line.unit_price_minor, bill.total.currency)
            .map_err(|error| CallError::Broken(format!("line {}: {error}", line.line_no)))?;
        let all = line.priced.quantity.0;
        let upto = before.quantity + quantity.0;
        // The share of everything credited up to here, less what was credited before.
        let share = (Decimal::from(line.discount.amount_minor) * (upto / all)).round();
        let share = i64::try_from(share).unwrap_or(line.discount.amount_minor);
        let discount_minor = (share - before.discount_minor).clamp(0, gross.amount_minor);
        let net_minor = gross.amount_minor - discount_minor;
        pieces.push(Piece {
            line: line.clone(),
            quantity,
            gross_minor: gross.amount_minor,
            discount_minor,
            tax_minor: pricing::tax_of(net_minor, line.tax_bp, bill.tax_inclusive),
        });
    }
    Ok(pieces)
}

fn total_of(pieces: &[Piece], tax_inclusive: bool) -> i64 {
    pieces
        .iter()
        .map(|piece| {
            let on_top = if tax_inclusive { 0 } else { piece.tax_minor };
            piece.gross_minor - piece.discount_minor + on_top
        })
        .sum()
}

/// Money of the bill may have been given back without goods, and parts round up: no more is credited than is left. Pure; what is beyond
/// is taken off as discount, from the last piece.
fn fit(pieces: &mut [Piece], tax_inclusive: bool, left_minor: i64) -> i64 {
    let mut total_minor = total_of(pieces, tax_inclusive);
    for i in (0..pieces.len()).rev() {
        if total_minor <= left_minor {
            break;
        }
        let piece = &mut pieces[i];
        let net_minor = piece.gross_minor - piece.discount_minor;
        let without_tax = if tax_inclusive {
            total_minor - left_minor
        } else {
            // On top of the net comes its tax: so much less net makes the whole fit.
            let rate = i128::from(10_000 + piece.line.tax_bp);
            let excess = i128::from(total_minor - left_minor) * 10_000;
            i64::try_from((excess + rate - 1) / rate).unwrap_or(net_minor) + 1
        };
        piece.discount_minor += without_tax.min(net_minor);
        let net_minor = piece.gross_minor - piece.discount_minor;
        piece.tax_minor = pricing::tax_of(net_minor, piece.line.tax_bp, tax_inclusive);
        total_minor = total_of(pieces, tax_inclusive);
    }
    total_minor
}

/// The refunds of what will have been paid beyond what is then owed.
async fn overpaid(
    call: &mut Call<'_>,
    bill: &Bill,
    credited_minor: i64,
    to: Option<RefundTo>,
) -> Result<Vec<NewPayment>, CallError> {
    let beyond = bill.settled().amount_minor + credited_minor - bill.total.amount_minor;
    if beyond <= 0 {
        return Ok(Vec::new());
    }
    let tenant = call.tenant();
    let sources = refunds::sources(call.conn, tenant, Of::Bill(bill.id)).await?;
    let taken = refunds::take(&sources, beyond);
    let usual = match bill.customer_id {
        Some(_) => RefundTo::Wallet,
        None => RefundTo::Cash,
    };
    let to = to.unwrap_or(usual);
    refunds::refunds(call, &taken, to, "refund_to")
}

/// Posts to the ledger, changes the bill, takes the numbers, and writes the note, its lines and the refunds.
async fn write_note(
    call: &mut Call<'_>,
    desk: Desk<'_>,
    note_id: Uuid,
    plan: &Plan,
) -> Result<Vec<Payment>, CallError> {
    let (bill, tenant) = (&plan.bill, desk.tenant);
    let tax_minor: i64 = plan.pieces.iter().map(|piece| piece.tax_minor).sum();
    let total_minor = plan.total.amount_minor;
    let credit = ledger::credit(bill.id, bill.customer_id, total_minor, tax_minor);
    let refunds: Vec<NewPayment> = plan
        .refunds
        .iter()
        .map(|refund| NewPayment {
            credit_note_id: Some(note_id),
            ..refund.clone()
        })
        .collect();
    let transfer_ids = payments::post(call.conn, desk, note_id, &refunds, &credit)
        .await
        .map_err(|error| way::floor_met(call, error))?;
    let back_minor: i64 = refunds.iter().map(|refund| refund.amount_minor).sum();
    let moved = Moved {
        bill_id: bill.id,
        paid_minor: -back_minor,
        credited_minor: total_minor,
    };
    owed::change(call.conn, tenant, &[moved]).await?;
    let wanted = [
        (numbering::CREDIT_NOTES, 1),
        (numbering::PAYMENTS, refunds.len()),
    ];
    let [number, first] = numbering::next_of(call.conn, tenant, wanted).await?;
    insert_note(call.conn, desk, note_id, number, plan, tax_minor).await?;
    insert_lines(call.conn, tenant, note_id, &plan.pieces).await?;
    let mut written = Vec::with_capacity(refunds.len());
    for ((refund, transfer_id), number) in refunds.iter().zip(transfer_ids).zip(first..) {
        written.push(payments::record(call.conn, desk, refund, number, transfer_id).await?);
    }
    Ok(written)
}

impl Piece {
    fn back(&self) -> Back {
        let entered = self.measure();
        Back {
            item_id: self.line.item_id,
            quantity: self.quantity,
            entered,
        }
    }

    fn measure(&self) -> Measure {
        Measure::new(self.quantity, self.line.priced.unit.clone())
    }

    /// "1 Shampoo = 250".
    fn text(&self, locale: Locale) -> String {
        billing::line(
            locale,
            &self.measure(),
            &self.line.description,
            &self.line.priced.unit,
            self.line.unit_price_minor,
            Money::minor(self.gross_minor, self.line.gross.currency),
        )
    }
}

impl Plan {
    /// How what is given back goes: "to the wallet".
    fn ways(&self, locale: Locale) -> String {
        let ways: Vec<String> = refunds::ways(&self.refunds)
            .into_iter()
            .map(|way| said::back(locale, way).to_owned())
            .collect();
        crate::words::all_of(locale, &ways)
    }

    fn sum<'a>(&self, ways: &'a str) -> CreditSum<'a> {
        let back_minor: i64 = self.refunds.iter().map(|refund| refund.amount_minor).sum();
        let back = Money::minor(back_minor, self.total.currency);
        CreditSum {
            total: self.total,
            back: (back_minor > 0).then_some((back, ways)),
            restock: self.restock,
        }
    }

    fn prepared(self, call: &Call<'_>) -> Prepared<Plan> {
        let (locale, bill) = (call.locale, &self.bill);
        let texts: Vec<String> = self.pieces.iter().map(|p| p.text(locale)).collect();
        let lines: Vec<PreviewLine> = self
            .pieces
            .iter()
            .zip(&texts)
            .map(|(piece, text)| PreviewLine {
                text: text.clone(),
                amount: Some(Money::minor(piece.gross_minor, self.total.currency)),
            })
            .collect();
        let pieces: Vec<Value> = self
            .pieces
            .iter()
            .map(|piece| json!({"line": piece.line.line_no, "item_id": piece.line.item_id, "quantity": piece.quantity,
                                "gross_minor": piece.gross_minor, "discount_minor": piece.discount_minor, "tax_minor": piece.tax_minor}))
            .collect();
        let refunds: Vec<Value> = self
            .refunds
            .iter()
            .map(|refund| json!({"payment_id": refund.refunds, "amount_minor": refund.amount_minor, "method": refund.method}))
            .collect();
        let ways = self.ways(locale);
        let customer = bill.customer.as_deref();
        Prepared {
            message: billing::ask_credit(locale, &bill.number, customer, &texts, &self.sum(&ways)),
            lines,
            total: Some(self.total),
            binding: json!({
                "bill_id": bill.id,
                "lines": pieces,
                "total_minor": self.total.amount_minor,
                "currency": self.total.currency,
                "restock": self.restock,
                "refunds": refunds,
            }),
            informative: json!({"number": bill.number, "owed": bill.owed()}),
            plan: self,
        }
    }

    async fn done(
        &self,
        call: &mut Call<'_>,
        note_id: Uuid,
        written: Vec<Payment>,
    ) -> Result<Effected<CreditBillOutput>, CallError> {
        let locale = call.locale;
        let note = bills::load(call, note_id).await?;
        let after = bills::load(call, self.bill.id).await?;
        let customer = after.customer.as_deref();
        let refunds = written
            .iter()
            .zip(&self.refunds)
            .map(|(payment, new)| payment.view(customer, &new.parts, None))
            .collect();
        let ways = self.ways(locale);
        let mut events = vec![after.event("bill.credited")];
        for payment in written {
            if payment.provider.is_some() {
                events.push(payment.event("payment.pending"));
                let tenant = call.tenant();
                let pending = payments::as_pending(call.conn, tenant, payment).await?;
                providers::request(call, &pending).await?;
            } else {
                events.push(payment.event("payment.refunded"));
            }
        }
        let output = CreditBillOutput {
            summary: billing::credited(locale, &note.number, &after.number, &self.sum(&ways)),
            number: note.number.clone(),
            credit_note: note.view(locale),
            bill: after.view(locale),
            refunds,
        };
        Ok(Effected {
            audit: Audit {
                subject: format!("bill:{}", self.bill.id),
                before: Some(json!(self.bill.view(locale))),
                after: Some(
                    json!({"bill": output.bill, "credit_note": output.credit_note, "reason": self.reason}),
                ),
            },
            events,
            output,
        })
    }
}

async fn select_done(
    conn: &mut PgConnection,
    tenant: Uuid,
    bill_id: Uuid,
) -> Result<BTreeMap<i16, Done>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select l.credits_line as "line!", sum(l.quantity) as "quantity!", sum(l.discount)::bigint as "discount!"
           from shop.bills n join shop.bill_lines l on l.tenant_id = $1 and l.bill_id = n.id
           where n.tenant_id = $1 and n.credits_bill = $2::uuid
           group by l.credits_line"#,
        tenant,
        bill_id
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let done = Done {
                quantity: row.quantity,
                discount_minor: row.discount,
            };
            (row.line, done)
        })
        .collect())
}

async fn insert_note(
    conn: &mut PgConnection,
    desk: Desk<'_>,
    note_id: Uuid,
    number: i64,
    plan: &Plan,
    tax_minor: i64,
) -> Result<(), sqlx::Error> {
    let bill = &plan.bill;
    let of = |part: fn(&Piece) -> i64| plan.pieces.iter().map(part).sum::<i64>();
    sqlx::query!(
        "insert into shop.bills (tenant_id, id, series, number, kind, status, customer_id, customer_name, currency, tax_inclusive,
                                 subtotal, discount, tax, total, credits_bill, goods_returned, issued_at, issued_by)
         values ($1, $2, $3, $4, 'credit_note', 'paid', $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        desk.tenant,
        note_id,
        numbering::CREDIT_NOTES,
        number,
        bill.customer_id,
        bill.customer,
        desk.currency.code(),
        bill.tax_inclusive,
        of(|piece| piece.gross_minor),
        of(|piece| piece.discount_minor),
        tax_minor,
        plan.total.amount_minor,
        bill.id,
        plan.restock,
        desk.now,
        desk.actor
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn insert_lines(
    conn: &mut PgConnection,
    tenant: Uuid,
    note_id: Uuid,
    pieces: &[Piece],
) -> Result<(), sqlx::Error> {
    let texts = |part: fn(&Piece) -> &str| {
        let texts = pieces.iter().map(|piece| part(piece).to_owned());
        texts.collect::<Vec<String>>()
    };
    let minor = |part: fn(&Piece) -> i64| pieces.iter().map(part).collect::<Vec<i64>>();
    let quantities: Vec<Decimal> = pieces.iter().map(|p| p.quantity.0).collect();
    let prices: Vec<Decimal> = pieces.iter().map(|p| p.line.unit_price_minor).collect();
    let item_ids: Vec<Uuid> = pieces.iter().map(|p| p.line.item_id).collect();
    let line_nos: Vec<i16> = pieces.iter().map(|p| p.line.line_no).collect();
    let tax_bp: Vec<i32> = pieces.iter().map(|p| p.line.tax_bp).collect();
    sqlx::query!(
        "insert into shop.bill_lines (tenant_id, bill_id, line_no, item_id, description, entered_quantity, entered_unit, quantity, unit,
                                      unit_price, gross, discount, tax_bp, tax, credits_line)
         select $1, $2, l.line_no::smallint, l.item_id, l.description, l.quantity, l.unit, l.quantity, l.unit,
                l.unit_price, l.gross, l.discount, l.tax_bp, l.tax, l.credits_line
         from unnest($3::uuid[], $4::text[], $5::numeric[], $6::text[], $7::numeric[], $8::bigint[], $9::bigint[], $10::int[],
                     $11::bigint[], $12::smallint[]) with ordinality
              as l (item_id, description, quantity, unit, unit_price, gross, discount, tax_bp, tax, credits_line, line_no)",
        tenant,
        note_id,
        &item_ids,
        &texts(|piece| &piece.line.description),
        &quantities,
        &texts(|piece| &piece.line.priced.unit),
        &prices,
        &minor(|piece| piece.gross_minor),
        &minor(|piece| piece.discount_minor),
        &tax_bp,
        &minor(|piece| piece.tax_minor),
        &line_nos
    )
    .execute(conn)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use contracts::failure::FailureCode;
    use contracts::tools::billing::{
        BillKind, CreateBill, GetBill, ListBills, VoidBill, WriteOffBill,
    };
    use contracts::tools::inventory::{AddItem, DeleteItem, GetItem};
    use contracts::tools::payment::{CheckBalance, CollectPayment, RefundPayment};

    use super::*;
    use crate::testing::{World, refusal};

    async fn shop() -> World {
        let world = World::new().await;
        for item in [
            json!({"name": "Sugar", "unit": "kg", "unit_price": "160", "quantity": "20"}),
            json!({"name": "Shampoo", "unit_price": "250", "quantity": "12"}),
        ] {
            world.write::<AddItem>(item).await.unwrap();
        }
        world
    }

    async fn sell(world: &World, members: Value) {
        let mut bill = json!({"customer": "Ali", "lines": [{"item": "sugar", "quantity": "2"}, {"item": "shampoo", "quantity": "1"},
                                                            {"item": "sugar", "quantity": "1"}]});
        if let (Some(bill), Value::Object(members)) = (bill.as_object_mut(), members) {
            bill.extend(members);
        }
        world.agree::<CreateBill>(bill).await.unwrap();
    }

    async fn sugar(world: &World) -> String {
        let found = world.read::<GetItem>(json!({"item": "sugar"})).await;
        found.unwrap().item.stock.text
    }

    #[tokio::test]
    async fn goods_brought_back_are_credited_and_their_money_goes_to_the_wallet() {
        let world = shop().await;
        sell(
            &world,
            json!({"payment": {"method": "cash", "amount": "700"}}),
        )
        .await;
        let input = json!({"bill": "1", "lines": [{"item": "sugar", "quantity": "2500", "unit": "g"}], "reason": "wet"});
        let asked = world.ask::<CreditBill>(input.clone()).await.unwrap();
        assert_eq!(
            asked.message,
            "Are you sure you want to credit bill INV-1 for Ali: 2 kg Sugar @ 160 = 320, 0.5 kg Sugar @ 160 = 80 (Total: RWF 400)? \
             RWF 370 is given back to the wallet. The goods return to stock. Reply 'yes' to confirm."
        );
        let done = world.agree::<CreditBill>(input).await.unwrap();
        assert_eq!(
            done.summary,
            "Issued credit note CN-1 for bill INV-1: RWF 400. RWF 370 is given back to the wallet. The goods return to stock."
        );
        assert_eq!(done.credit_note.kind, BillKind::CreditNote);
        assert_eq!(done.credit_note.credits.as_deref(), Some("INV-1"));
        assert_eq!(done.bill.credit_notes[0].number, "CN-1");
        assert_eq!(done.bill.status, BillStatus::Paid);
        assert_eq!(sugar(&world).await, "19.5 kg");
        let at = world
            .read::<CheckBalance>(json!({"customer": "Ali"}))
            .await
            .unwrap();
        assert_eq!((at.owed.amount_minor, at.wallet.amount_minor), (0, 370));
        let failure = refusal(
            world
                .ask::<CreditBill>(
                    json!({"bill": "1", "lines": [{"item": "sugar", "quantity": "1"}]}),
                )
                .await,
        );
        assert_eq!(
            failure.message,
            "Only 0.5 kg of Sugar on bill INV-1 is left to credit."
        );
        world
            .agree::<CreditBill>(json!({"bill": "1", "restock": false, "refund_to": "cash"}))
            .await
            .unwrap();
        assert_eq!(sugar(&world).await, "19.5 kg", "these are not put back");
        let failure = refusal(world.ask::<CreditBill>(json!({"bill": "1"})).await);
        assert_eq!(failure.message, "Nothing of bill INV-1 is left to credit.");
        let read = world
            .read::<GetBill>(json!({"bill": "CN-2"}))
            .await
            .unwrap();
        assert_eq!(read.bill.total.amount_minor, 330);
        let failure = refusal(world.ask::<CreditBill>(json!({"bill": "CN-2"})).await);
        assert_eq!(failure.code, FailureCode::BillNotOpen);
        let list = world
            .read::<ListBills>(json!({"status": "paid"}))
            .await
            .unwrap();
        assert_eq!(list.bills.len(), 1, "credit notes are no paid bills");
    }

    #[tokio::test]
    async fn an_unpaid_bill_is_owed_less_and_then_given_up() {
        let world = shop().await;
        sell(&world, json!({})).await;
        let input = json!({"bill": "1", "lines": [{"item": "shampoo", "quantity": "1"}]});
        let done = world.agree::<CreditBill>(input).await.unwrap();
        assert_eq!((done.bill.owed.amount_minor, done.refunds.len()), (480, 0));
        let failure = refusal(world.ask::<VoidBill>(json!({"bill": "1"})).await);
        assert_eq!(failure.code, FailureCode::BillNotOpen);
        let pay = json!({"bill": "1", "amount": "80", "method": "cash"});
        world.agree::<CollectPayment>(pay).await.unwrap();
        let write_off = json!({"bill": "1", "reason": "moved away"});
        let asked = world.ask::<WriteOffBill>(write_off.clone()).await.unwrap();
        assert_eq!(
            asked.message,
            "Are you sure you want to write off bill INV-1 for Ali? RWF 400 is given up; the goods stay sold. Reply 'yes' to confirm."
        );
        let done = world
            .agree::<WriteOffBill>(write_off.clone())
            .await
            .unwrap();
        assert_eq!(done.bill.status, BillStatus::Uncollectible);
        assert_eq!(done.bill.write_off_reason.as_deref(), Some("moved away"));
        let at = world
            .read::<CheckBalance>(json!({"customer": "Ali"}))
            .await
            .unwrap();
        assert_eq!(at.owed.amount_minor, 0);
        let failure = refusal(world.ask::<WriteOffBill>(write_off).await);
        assert_eq!(
            failure.message,
            "Bill INV-1 is uncollectible, so this cannot be done with it."
        );
        let failure = refusal(world.ask::<CreditBill>(json!({"bill": "1"})).await);
        assert_eq!(failure.code, FailureCode::BillNotOpen);
    }

    #[tokio::test]
    async fn discounts_and_taxes_are_credited_in_shares_that_add_up() {
        for inclusive in [true, false] {
            let world = World::with(|shop| shop.tax_inclusive = inclusive).await;
            let tea = json!({"name": "Tea", "unit": "kg", "unit_price": "99.99", "quantity": "20"});
            let soap = json!({"name": "Soap", "unit_price": "7", "quantity": "9"});
            for item in [tea, soap] {
                world.write::<AddItem>(item).await.unwrap();
            }
            world.arrange("update shop.items set tax_bp = 1800").await;
            let bill = json!({"customer": "Ali", "lines": [{"item": "tea", "quantity": "3"}, {"item": "soap", "quantity": "7"}], "discount": "50",
                              "payment": {"method": "cash"}});
            world.agree::<CreateBill>(bill).await.unwrap();
            for quantity in ["0.333", "1", "0.667"] {
                let input = json!({"bill": "1", "lines": [{"item": "tea", "quantity": quantity}]});
                world.agree::<CreditBill>(input).await.unwrap();
            }
            let refund = json!({"bill": "1", "amount": "30"});
            world.agree::<RefundPayment>(refund).await.unwrap();
            let done = world
                .agree::<CreditBill>(json!({"bill": "1"}))
                .await
                .unwrap();
            let left = done.bill.total.amount_minor - done.bill.credited.amount_minor;
            assert!((0..=3).contains(&left), "{left}: parts round down at most");
        }
    }

    #[tokio::test]
    async fn an_item_that_is_no_longer_sold_is_credited_by_the_name_on_the_bill() {
        let world = shop().await;
        sell(&world, json!({"payment": {"method": "cash"}})).await;
        world
            .agree::<DeleteItem>(json!({"item": "shampoo"}))
            .await
            .unwrap();
        let input = json!({"bill": "1", "lines": [{"item": "shampoo", "quantity": "1"}]});
        let done = world.agree::<CreditBill>(input).await.unwrap();
        assert_eq!(done.credit_note.total.amount_minor, 250);
        for (line, said) in [
            (
                json!({"item": "caviar", "quantity": "1"}),
                "There is no item called caviar.",
            ),
            (
                json!({"item": "sugar", "quantity": "0"}),
                "The quantity must be more than 0.",
            ),
        ] {
            let failure = refusal(
                world
                    .ask::<CreditBill>(json!({"bill": "1", "lines": [line]}))
                    .await,
            );
            assert_eq!(failure.message, said);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_bill_credited_by_many_at_once_is_credited_once() {
        let world = shop().await;
        sell(&world, json!({"payment": {"method": "cash"}})).await;
        let all = (0..8).map(|_| world.agree_unchecked::<CreditBill>(json!({"bill": "1"})));
        let (done, refused): (Vec<_>, Vec<_>) = futures::future::join_all(all)
            .await
            .into_iter()
            .partition(Result::is_ok);
        assert_eq!((done.len(), refused.len()), (1, 7));
        for one in refused {
            let code = refusal(one).code;
            assert!(matches!(
                code,
                FailureCode::VersionConflict | FailureCode::BillNotOpen
            ));
        }
        world.check_invariants().await;
        assert_eq!(sugar(&world).await, "20 kg");
    }
}
