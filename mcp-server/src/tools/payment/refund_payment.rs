//! `refund_payment`: gives money back, and credits the bills it had paid, so that nothing is owed again.

use std::collections::{BTreeMap, BTreeSet};

use contracts::money::Money;
use contracts::tools::payment::{
    PaidPart, PaymentStatus, RefundOutput, RefundPayment, RefundPaymentInput, RefundTo,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::bills::owed::Moved;
use crate::error::CallError;
use crate::handler::{Audit, Call, CommitTool, Effected, Prepared};
use crate::ledger::{self, Account, Desk, Transfer};
use crate::numbering::{self, PaymentName};
use crate::payments::refunds::{self, Of, Source};
use crate::payments::{self, Direction, NewPayment, Payment, way};
use crate::typed::{self, REASON_CHARS_MAX};
use crate::words::arguments::{self, Thing};
use crate::words::payment::{self as words, Payer, SaidRefund};
use crate::{bills, providers};

/// A refund that only has to be done.
pub struct Plan {
    of: Of,
    taken: Vec<Source>,
    refunds: Vec<NewPayment>,
    amount: Money,
    payee: Option<String>,
    reason: String,
}

impl CommitTool for RefundPayment {
    type Plan = Plan;

    async fn prepare(
        call: &mut Call<'_>,
        input: &RefundPaymentInput,
    ) -> Result<Prepared<Plan>, CallError> {
        let (shop, locale) = (call.shop, call.locale);
        let chars_max = REASON_CHARS_MAX;
        let reason =
            typed::line_or_empty(&input.reason, Thing::Reason, "reason", chars_max, locale)?;
        let (of, name, field, payee) = what(call, input).await?;
        let sources = left(call, of, input.to).await?;
        let left_minor: i64 = sources.iter().map(|source| source.left_minor).sum();
        if left_minor == 0 {
            return Err(words::nothing_to_refund(locale, &name, field).into());
        }
        let amount_minor = match input.amount {
            Some(amount) => typed::amount(amount, Thing::Amount, shop, "amount", locale)?.amount_minor,
            None => left_minor,
        };
        if amount_minor == 0 {
            return Err(arguments::not_positive(locale, Thing::Amount, "amount").into());
        }
        if amount_minor > left_minor {
            let left = Money::minor(left_minor, shop.currency);
            return Err(words::more_than_refundable(locale, left).into());
        }
        let taken = refunds::take(&sources, amount_minor);
        let refunds = refunds::refunds(call, &taken, input.to, "to")?;
        let plan = Plan {
            of,
            taken,
            amount: refunds::sum(&refunds, call),
            refunds,
            payee,
            reason,
        };
        Ok(plan.prepared(call))
    }

    async fn execute(
        call: &mut Call<'_>,
        input: RefundPaymentInput,
        plan: Plan,
    ) -> Result<Effected<RefundOutput>, CallError> {
        let desk = Desk::of(call);
        let sums = by_bill(&plan.refunds);
        let ids: BTreeSet<Uuid> = sums.keys().copied().collect();
        let bills = refunds::lock_bills(call.conn, desk.tenant, &ids).await?;
        refunds::lock_payments(call.conn, desk, &plan.refunds).await?;
        // With bills and payments held: is what was agreed to still there?
        let sources = left(call, plan.of, input.to).await?;
        if refunds::take(&sources, plan.amount.amount_minor) != plan.taken {
            return Err(words::changed(call.locale).into());
        }
        refunds::count(call.conn, desk.tenant, &plan.refunds).await?;
        let mut credits: Vec<Transfer> = Vec::new();
        let mut moved = Vec::new();
        for bill in &bills {
            let amount_minor = sums.get(&bill.id).copied().unwrap_or_default();
            let tax_minor = bill.tax_within(amount_minor);
            credits.extend(ledger::credit(bill.id, bill.owner, amount_minor, tax_minor));
            moved.push(Moved {
                bill_id: bill.id,
                paid_minor: -amount_minor,
                credited_minor: amount_minor,
            });
        }
        let written = payments::write(call.conn, desk, &plan.refunds, &credits, &moved)
            .await
            .map_err(|error| way::floor_met(call, error))?;
        plan.done(call, written).await
    }
}

/// What is to be given back: its name for a sentence, the argument it came in, and who gets the money.
async fn what(
    call: &mut Call<'_>,
    input: &RefundPaymentInput,
) -> Result<(Of, String, &'static str, Option<String>), CallError> {
    match (&input.bill, &input.payment) {
        (Some(name), None) => {
            let bill = bills::find_invoice(call, name).await?;
            Ok((Of::Bill(bill.id), bill.number, "bill", bill.customer))
        }
        (None, Some(name)) => {
            let payment = find_payment(call, name).await?;
            let reference = payment.reference();
            if payment.direction == Direction::Refund {
                return Err(words::is_refund(call.locale, &reference).into());
            }
            if payment.status != PaymentStatus::Succeeded {
                return Err(words::not_refundable(call.locale, &reference, payment.status).into());
            }
            let payee = match payment.customer_id {
                Some(id) => {
                    let tenant = call.tenant();
                    select_name(call.conn, tenant, id).await?
                }
                None => None,
            };
            Ok((Of::Payment(payment.id), reference, "payment", payee))
        }
        _ => Err(words::bill_or_payment(call.locale).into()),
    }
}

async fn find_payment(call: &mut Call<'_>, name: &str) -> Result<Payment, CallError> {
    let unknown = || words::unknown_payment(call.locale, name);
    let (tenant, currency) = (call.tenant(), call.shop.currency);
    let found = match numbering::read_payment(name).ok_or_else(unknown)? {
        PaymentName::Number(number) => {
            payments::find_number(call.conn, tenant, number, currency).await?
        }
        PaymentName::Id(id) => payments::find(call.conn, tenant, id, currency).await?,
    };
    Ok(found.ok_or_else(|| words::unknown_payment(call.locale, name))?)
}

/// What can be given back that way. Money that no bill took is in the wallet: it can leave it, as far as it is still there.
async fn left(call: &mut Call<'_>, of: Of, to: RefundTo) -> Result<Vec<Source>, CallError> {
    let (tenant, currency) = (call.tenant(), call.shop.currency);
    let mut sources = refunds::sources(call.conn, tenant, of).await?;
    for source in sources.iter_mut().filter(|source| source.bill.is_none()) {
        let holding = Account::holding(source.customer_id);
        let there = ledger::balance(call.conn, tenant, currency, holding).await?;
        source.left_minor = if to == RefundTo::Wallet {
            0
        } else {
            source.left_minor.min(there.available_minor())
        };
    }
    sources.retain(|source| source.left_minor > 0);
    Ok(sources)
}

/// What is given back of each bill.
fn by_bill(refunds: &[NewPayment]) -> BTreeMap<Uuid, i64> {
    let mut sums = BTreeMap::new();
    for part in refunds.iter().flat_map(|refund| &refund.parts) {
        *sums.entry(part.bill_id).or_default() += part.amount_minor;
    }
    sums
}

impl Plan {
    fn bills(&self) -> Vec<PaidPart> {
        let mut bills: Vec<PaidPart> = Vec::new();
        for part in self.refunds.iter().flat_map(|refund| &refund.parts) {
            match bills.iter_mut().find(|b| b.bill_id == part.bill_id) {
                Some(bill) => bill.amount.amount_minor += part.amount_minor,
                None => bills.push(PaidPart {
                    bill_id: part.bill_id,
                    number: part.number.clone(),
                    amount: Money::minor(part.amount_minor, self.amount.currency),
                }),
            }
        }
        bills
    }

    fn prepared(self, call: &Call<'_>) -> Prepared<Plan> {
        let (bills, ways) = (self.bills(), refunds::ways(&self.refunds));
        let said = SaidRefund {
            amount: self.amount,
            payee: self.payee.as_deref().map_or(Payer::Counter, Payer::Known),
            ways: &ways,
            bills: &bills,
        };
        let refunds: Vec<Value> = self
            .refunds
            .iter()
            .map(|refund| {
                let parts: Vec<Value> = refund
                    .parts
                    .iter()
                    .map(|p| json!({"bill_id": p.bill_id, "amount_minor": p.amount_minor}))
                    .collect();
                json!({"payment_id": refund.refunds, "amount_minor": refund.amount_minor, "method": refund.method, "bills": parts})
            })
            .collect();
        Prepared {
            message: words::ask_refund(call.locale, &said),
            lines: Vec::new(),
            total: Some(self.amount),
            binding: json!({
                "amount_minor": self.amount.amount_minor,
                "currency": self.amount.currency,
                "refunds": refunds,
            }),
            informative: json!({"bills": bills}),
            plan: self,
        }
    }

    async fn done(
        &self,
        call: &mut Call<'_>,
        written: Vec<Payment>,
    ) -> Result<Effected<RefundOutput>, CallError> {
        let (bills, ways) = (self.bills(), refunds::ways(&self.refunds));
        let said = SaidRefund {
            amount: self.amount,
            payee: self.payee.as_deref().map_or(Payer::Counter, Payer::Known),
            ways: &ways,
            bills: &bills,
        };
        let references: Vec<String> = written.iter().map(Payment::reference).collect();
        let pending = written.iter().any(|payment| payment.provider.is_some());
        let summary = words::refunded(call.locale, &said, &references, pending);
        let views = written
            .iter()
            .zip(&self.refunds)
            .map(|(payment, new)| payment.view(self.payee.as_deref(), &new.parts, None))
            .collect();
        let mut events = Vec::new();
        let subject = written.first().map(Payment::subject).unwrap_or_default();
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
        let output = RefundOutput {
            summary,
            amount: self.amount,
            refunds: views,
        };
        Ok(Effected {
            audit: Audit {
                subject,
                before: None,
                after: Some(json!({"refunds": output.refunds, "reason": self.reason})),
            },
            events,
            output,
        })
    }
}

async fn select_name(
    conn: &mut sqlx::PgConnection,
    tenant: Uuid,
    customer: Uuid,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select name from shop.customers where tenant_id = $1 and id = $2",
        tenant,
        customer
    )
    .fetch_optional(conn)
    .await
}
