//! `billing_void_bill`: takes back an unpaid bill; its goods return to stock and it keeps its number.

use contracts::confirmation::PreviewLine;
use contracts::failure::ToolFailure;
use contracts::locale::Locale;
use contracts::money::Money;
use contracts::tools::billing::{BillOutput, BillStatus, VoidBill, VoidBillInput};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::bills::goods::{self, Back};
use crate::bills::{self, Bill};
use crate::error::CallError;
use crate::handler::{Audit, Call, CommitTool, Effected, Prepared};
use crate::ledger::{self, Desk, Transfer, Why};
use crate::stock::Reason;
use crate::typed::{self, REASON_CHARS_MAX};
use crate::words::arguments::Thing;
use crate::words::billing;

/// A bill that can be taken back, and why it is.
pub struct Plan {
    bill: Bill,
    reason: String,
}

impl CommitTool for VoidBill {
    type Plan = Plan;

    async fn prepare(
        call: &mut Call<'_>,
        input: &VoidBillInput,
    ) -> Result<Prepared<Plan>, CallError> {
        let locale = call.locale;
        let reason = typed::line_or_empty(
            &input.reason,
            Thing::Reason,
            "reason",
            REASON_CHARS_MAX,
            locale,
        )?;
        let bill = bills::find_invoice(call, &input.bill).await?;
        refuse_settled(&bill.number, bill.status, bill.settled(), locale)?;
        let lines: Vec<PreviewLine> = bill
            .lines
            .iter()
            .map(|line| PreviewLine {
                text: line.text(locale),
                amount: Some(line.gross),
            })
            .collect();
        let goods: Vec<Value> = bill
            .lines
            .iter()
            .map(|line| json!({"item_id": line.item_id, "quantity": line.priced.quantity}))
            .collect();
        Ok(Prepared {
            message: billing::ask_void(locale, &bill.number, bill.customer.as_deref(), bill.total),
            lines,
            total: Some(bill.total),
            binding: json!({"bill_id": bill.id, "total_minor": bill.total.amount_minor, "currency": bill.total.currency, "lines": goods}),
            informative: json!({"number": bill.number}),
            plan: Plan { bill, reason },
        })
    }

    async fn execute(
        call: &mut Call<'_>,
        _input: VoidBillInput,
        plan: Plan,
    ) -> Result<Effected<BillOutput>, CallError> {
        let Plan { bill, reason } = plan;
        let tenant = call.tenant();
        // Somebody may have paid or voided it since it was read.
        let (status, settled_minor) = lock_bill(call.conn, tenant, bill.id).await?;
        let settled = Money::minor(settled_minor, bill.total.currency);
        refuse_settled(&bill.number, bills::status(&status)?, settled, call.locale)?;
        return_goods(call, &bill).await?;
        take_back(call, &bill).await?;
        update_to_void(call.conn, tenant, bill.id, &reason, call.now).await?;

        let after = bills::load(call, bill.id).await?;
        let goods: Vec<String> = bill
            .lines
            .iter()
            .map(|line| format!("{} {}", line.entered.text, line.description))
            .collect();
        let summary = billing::voided(
            call.locale,
            &after.number,
            after.customer.as_deref(),
            &goods,
        );
        let output = after.output(summary, call.locale);
        Ok(Effected {
            audit: Audit {
                subject: format!("bill:{}", bill.id),
                before: Some(json!(bill.view(call.locale))),
                after: Some(json!(output.bill)),
            },
            events: vec![after.event("bill.voided")],
            output,
        })
    }
}

fn refuse_settled(
    number: &str,
    status: BillStatus,
    settled: Money,
    locale: Locale,
) -> Result<(), ToolFailure> {
    if status == BillStatus::Open && settled.amount_minor == 0 {
        Ok(())
    } else {
        Err(billing::not_voidable(locale, number, status, settled))
    }
}

async fn return_goods(call: &mut Call<'_>, bill: &Bill) -> Result<(), CallError> {
    let goods: Vec<Back> = bill
        .lines
        .iter()
        .map(|line| Back {
            item_id: line.item_id,
            quantity: line.priced.quantity,
            entered: line.entered.clone(),
        })
        .collect();
    goods::put_back(call, bill.id, Reason::Void, &goods).await
}

/// Takes back what the bill posted to the ledger, each transfer by its reversal: a second one would break an index.
async fn take_back(call: &mut Call<'_>, bill: &Bill) -> Result<(), CallError> {
    let (tenant, desk) = (call.tenant(), Desk::of(call));
    let owner = bill.customer_id;
    let tax_minor = bill.tax.amount_minor;
    let issued = ledger::issue(bill.id, owner, bill.total.amount_minor, tax_minor);
    let rows = select_issue(call.conn, tenant, bill.id).await?;
    let back: Vec<Transfer> = issued
        .into_iter()
        .filter_map(|transfer| {
            let row = rows.iter().find(|row| row.reason == transfer.why.word())?;
            Some(Transfer {
                debit: transfer.credit,
                credit: transfer.debit,
                why: Why::Void,
                reverses: Some(row.id),
                ..transfer
            })
        })
        .collect();
    ledger::post(call.conn, desk, bill.id, &back).await?;
    Ok(())
}

struct IssueRow {
    id: Uuid,
    reason: String,
}

async fn select_issue(
    conn: &mut PgConnection,
    tenant: Uuid,
    bill_id: Uuid,
) -> Result<Vec<IssueRow>, sqlx::Error> {
    sqlx::query_as!(
        IssueRow,
        "select id, reason from shop.ledger_transfers
         where tenant_id = $1 and bill_id = $2::uuid and reason in ('sale', 'tax')",
        tenant,
        bill_id
    )
    .fetch_all(conn)
    .await
}

/// Status and what is paid and credited, held until the commit.
async fn lock_bill(
    conn: &mut PgConnection,
    tenant: Uuid,
    bill_id: Uuid,
) -> Result<(String, i64), sqlx::Error> {
    let row = sqlx::query!(
        "select status, paid + credited as \"settled!\" from shop.bills where tenant_id = $1 and id = $2 for no key update",
        tenant,
        bill_id
    )
    .fetch_one(conn)
    .await?;
    Ok((row.status, row.settled))
}

async fn update_to_void(
    conn: &mut PgConnection,
    tenant: Uuid,
    bill_id: Uuid,
    reason: &str,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update shop.bills set status = 'void', voided_at = $3, void_reason = $4 where tenant_id = $1 and id = $2",
        tenant,
        bill_id,
        now,
        reason
    )
    .execute(conn)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use contracts::failure::FailureCode;
    use contracts::tools::billing::{CreateBill, GetBill};
    use contracts::tools::inventory::{AddItem, GetItem};

    use super::*;
    use crate::testing::{World, refusal};

    async fn shop_with_a_bill() -> World {
        let world = World::new().await;
        for item in [
            json!({"name": "Sugar", "unit": "kg", "unit_price": "160", "quantity": "20"}),
            json!({"name": "Shampoo", "unit_price": "250", "quantity": "12"}),
        ] {
            world.write::<AddItem>(item).await.unwrap();
        }
        let bill = json!({"customer": "Ali", "lines": [{"item": "sugar", "quantity": "2000", "unit": "g"}, {"item": "shampoo", "quantity": "1"},
                                                      {"item": "sugar", "quantity": "1"}]});
        world.agree::<CreateBill>(bill).await.unwrap();
        world
    }

    #[tokio::test]
    async fn goods_return_and_the_number_stays() {
        let mut world = shop_with_a_bill().await;
        let input = json!({"bill": "INV-1", "reason": " typed  twice "});
        let asked = world.ask::<VoidBill>(input.clone()).await.unwrap();
        assert_eq!(
            asked.message,
            "Are you sure you want to void bill INV-1 for Ali (Total: RWF 730)? The goods return to stock. Reply 'yes' to confirm."
        );
        assert_eq!(asked.binding["total_minor"], 730);
        assert_eq!(asked.binding["lines"][0]["quantity"], "2");
        let done = world.agree::<VoidBill>(input).await.unwrap();
        assert_eq!(
            done.summary,
            "Voided bill INV-1 for Ali. Back in stock: 2000 g Sugar, 1 Shampoo, 1 kg Sugar."
        );
        assert_eq!(
            (done.number.as_str(), done.bill.status),
            ("INV-1", BillStatus::Void)
        );
        assert_eq!(done.bill.owed.amount_minor, 0);
        assert_eq!(done.bill.void_reason.as_deref(), Some("typed twice"));
        let sugar = world
            .read::<GetItem>(json!({"item": "sugar"}))
            .await
            .unwrap();
        assert_eq!(sugar.item.stock.text, "20 kg");
        assert_eq!(sugar.movements[0].reason, "void");

        world.locale = Locale::Es;
        let failure = refusal(world.ask::<VoidBill>(json!({"bill": "1"})).await);
        assert_eq!(failure.code, FailureCode::BillNotOpen);
        assert_eq!(
            failure.message,
            "La factura INV-1 está anulada, así que no se puede anular."
        );
        let read = world.read::<GetBill>(json!({"bill": "1"})).await.unwrap();
        assert_eq!(
            read.summary,
            "La factura INV-1 para Ali está anulada: total RWF 730."
        );
    }

    #[tokio::test]
    async fn a_bill_with_money_on_it_stays() {
        let world = shop_with_a_bill().await;
        for (amount, message) in [
            (
                "100",
                "RWF 100 has been paid on bill INV-2, so it cannot be voided.",
            ),
            ("160", "Bill INV-3 is paid, so it cannot be voided."),
        ] {
            let bill = json!({"lines": [{"item": "sugar", "quantity": "1"}], "payment": {"method": "cash", "amount": amount}});
            world.agree::<CreateBill>(bill).await.unwrap();
            let failure = refusal(world.ask::<VoidBill>(json!({"bill": "last"})).await);
            assert_eq!(
                (failure.code, failure.message.as_str()),
                (FailureCode::BillNotOpen, message)
            );
            assert_eq!(failure.field.as_deref(), Some("bill"));
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn goods_return_once_however_often_a_bill_is_voided_at_once() {
        let world = shop_with_a_bill().await;
        let all = (0..8).map(|_| world.agree_unchecked::<VoidBill>(json!({"bill": "1"})));
        let (done, refused): (Vec<_>, Vec<_>) = futures::future::join_all(all)
            .await
            .into_iter()
            .partition(Result::is_ok);
        assert_eq!((done.len(), refused.len()), (1, 7));
        for one in refused {
            assert_eq!(refusal(one).code, FailureCode::BillNotOpen);
        }
        world.check_invariants().await;
    }

    #[tokio::test]
    async fn a_bill_that_is_none_is_unknown() {
        let mut world = shop_with_a_bill().await;
        let id = world
            .read::<GetBill>(json!({"bill": "1"}))
            .await
            .unwrap()
            .bill_id;
        for bill in ["2", "INV-99", "receipt", "", "1' or '1'='1"] {
            let failure = refusal(world.ask::<VoidBill>(json!({"bill": bill})).await);
            assert_eq!(failure.code, FailureCode::UnknownBill, "{bill}");
        }
        let long = json!({"bill": "1", "reason": "x".repeat(201)});
        assert_eq!(
            refusal(world.ask::<VoidBill>(long).await).field.as_deref(),
            Some("reason")
        );
        world.stand_in(world.neighbour().await);
        for bill in ["1", "last", &id.to_string()] {
            let failure = refusal(world.ask::<VoidBill>(json!({"bill": bill})).await);
            assert_eq!(
                failure.code,
                FailureCode::UnknownBill,
                "the bill of the shop next door"
            );
        }
    }
}
