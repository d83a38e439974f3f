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
            Some(amount) => {
                typed::amount(amount, Thing::Amount, shop, "amount", locale)?.amount_minor
            }
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

#[cfg(test)]
mod tests {
    use contracts::failure::FailureCode;
    use contracts::tools::billing::{BillStatus, CreateBill, GetBill, SalesSummary};
    use contracts::tools::inventory::AddItem;
    use contracts::tools::payment::{CheckBalance, CollectPayment};

    use super::*;
    use crate::testing::{World, refusal};

    async fn shop() -> World {
        let world = World::new().await;
        let sugar = json!({"name": "Sugar", "unit": "kg", "unit_price": "100", "quantity": "100"});
        world.write::<AddItem>(sugar).await.unwrap();
        world.arrange("update shop.items set tax_bp = 1800").await;
        let bill = json!({"customer": "Ali", "lines": [{"item": "sugar", "quantity": "5"}]});
        world.agree::<CreateBill>(bill).await.unwrap();
        world
    }

    async fn till(world: &World) -> (i64, i64) {
        let at = world.read::<CheckBalance>(json!({})).await.unwrap();
        let cash = at.accounts.iter().find(|a| a.account == "cash");
        let cash = cash.map_or(0, |a| a.balance.amount_minor);
        (cash, at.wallet.amount_minor)
    }

    #[tokio::test]
    async fn money_goes_back_and_nothing_is_owed_again() {
        let world = shop().await;
        let pay = |amount: &str| json!({"bill": "1", "amount": amount, "method": "cash"});
        world.agree::<CollectPayment>(pay("300")).await.unwrap();
        world.agree::<CollectPayment>(pay("200")).await.unwrap();
        let input = json!({"bill": "1", "amount": "250", "reason": "spoilt"});
        let asked = world.ask::<RefundPayment>(input.clone()).await.unwrap();
        assert_eq!(
            asked.message,
            "Refund RWF 250 to Ali in cash. Bill INV-1 (RWF 250) is credited, so nothing is owed again. Reply 'yes' to confirm."
        );
        let done = world.agree::<RefundPayment>(input).await.unwrap();
        assert_eq!(
            done.refunds.len(),
            2,
            "200 of the newer payment, 50 of the older"
        );
        let bill = world
            .read::<GetBill>(json!({"bill": "1"}))
            .await
            .unwrap()
            .bill;
        assert_eq!(bill.status, BillStatus::Paid);
        let amounts = (
            bill.paid.amount_minor,
            bill.credited.amount_minor,
            bill.owed.amount_minor,
        );
        assert_eq!(amounts, (250, 250, 0));
        assert_eq!(till(&world).await, (250, 0));
        let more = json!({"bill": "1", "amount": "251"});
        let failure = refusal(world.ask::<RefundPayment>(more).await);
        assert_eq!(failure.message, "At most RWF 250 can be given back.");
        let rest = json!({"bill": "1", "to": "wallet"});
        world.agree::<RefundPayment>(rest.clone()).await.unwrap();
        assert_eq!(till(&world).await, (250, 250));
        let failure = refusal(world.ask::<RefundPayment>(rest).await);
        assert_eq!(failure.code, FailureCode::NotRefundable);
        assert_eq!(failure.message, "Nothing of INV-1 is left to give back.");
        let tax =
            "select (debits_posted - credits_posted) from shop.ledger_accounts where code = 'tax'";
        assert_eq!(
            world.number(tax).await,
            0,
            "the tax went with it, to the last unit"
        );
        let today = world.read::<SalesSummary>(json!({})).await.unwrap();
        assert_eq!(
            today.summary,
            "Today: 1 bill, RWF 500 sold, RWF 500 credited, RWF 250 received. Nothing is owed. Best seller: Sugar."
        );
    }

    #[tokio::test]
    async fn a_payment_goes_back_from_the_wallet_first() {
        let world = shop().await;
        let pay = json!({"customer": "Ali", "amount": "800", "method": "cash"});
        world.agree::<CollectPayment>(pay).await.unwrap();
        let back = |amount: &str| json!({"payment": "PAY-1", "amount": amount});
        world.agree::<RefundPayment>(back("100")).await.unwrap();
        assert_eq!(till(&world).await, (700, 200));
        let asked = world.ask::<RefundPayment>(back("300")).await.unwrap();
        assert_eq!(
            asked.message,
            "Refund RWF 300 to Ali in cash. Bill INV-1 (RWF 100) is credited, so nothing is owed again. Reply 'yes' to confirm."
        );
        world
            .agree::<RefundPayment>(json!({"payment": "1"}))
            .await
            .unwrap();
        assert_eq!(till(&world).await, (0, 0));
        for (input, code) in [
            (json!({"payment": "PAY-2"}), FailureCode::NotRefundable),
            (json!({"payment": "PAY-9"}), FailureCode::UnknownPayment),
            (json!({"payment": "x"}), FailureCode::UnknownPayment),
            (json!({}), FailureCode::InvalidArguments),
            (
                json!({"payment": "1", "bill": "1"}),
                FailureCode::InvalidArguments,
            ),
        ] {
            assert_eq!(refusal(world.ask::<RefundPayment>(input).await).code, code);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_refund_asked_for_by_many_at_once_is_given_once() {
        let world = shop().await;
        let pay = json!({"bill": "1", "method": "cash"});
        world.agree::<CollectPayment>(pay).await.unwrap();
        let all = (0..8).map(|i| {
            let input = if i % 2 == 0 {
                json!({"bill": "1"})
            } else {
                json!({"payment": "1"})
            };
            world.agree_unchecked::<RefundPayment>(input)
        });
        let (done, refused): (Vec<_>, Vec<_>) = futures::future::join_all(all)
            .await
            .into_iter()
            .partition(Result::is_ok);
        assert_eq!((done.len(), refused.len()), (1, 7));
        for one in refused {
            let code = refusal(one).code;
            assert!(matches!(
                code,
                FailureCode::NotRefundable | FailureCode::VersionConflict
            ));
        }
        world.check_invariants().await;
        assert_eq!(till(&world).await, (0, 0));
    }
}
