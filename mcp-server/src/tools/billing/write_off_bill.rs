//! `billing_write_off_bill`: gives up what is still owed on a bill.

use contracts::failure::ToolFailure;
use contracts::locale::Locale;
use contracts::money::Money;
use contracts::tools::billing::{BillOutput, BillStatus, WriteOffBill, WriteOffBillInput};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::bills::{self, Bill};
use crate::error::CallError;
use crate::handler::{Audit, Call, CommitTool, Effected, Prepared};
use crate::ledger::{self, Account, Desk, Transfer, Why};
use crate::typed::{self, REASON_CHARS_MAX};
use crate::words::arguments::Thing;
use crate::words::billing;

/// A bill that can be given up, and why it is.
pub struct Plan {
    bill: Bill,
    reason: String,
}

impl CommitTool for WriteOffBill {
    type Plan = Plan;

    async fn prepare(
        call: &mut Call<'_>,
        input: &WriteOffBillInput,
    ) -> Result<Prepared<Plan>, CallError> {
        let locale = call.locale;
        let chars_max = REASON_CHARS_MAX;
        let reason =
            typed::line_or_empty(&input.reason, Thing::Reason, "reason", chars_max, locale)?;
        let bill = bills::find_invoice(call, &input.bill).await?;
        let owed = bill.owed();
        refuse_closed(&bill.number, bill.status, locale)?;
        Ok(Prepared {
            message: billing::ask_write_off(locale, &bill.number, bill.customer.as_deref(), owed),
            lines: Vec::new(),
            total: Some(owed),
            binding: json!({"bill_id": bill.id, "owed_minor": owed.amount_minor, "currency": owed.currency}),
            informative: json!({"number": bill.number, "total": bill.total, "paid": bill.paid}),
            plan: Plan { bill, reason },
        })
    }

    async fn execute(
        call: &mut Call<'_>,
        _input: WriteOffBillInput,
        plan: Plan,
    ) -> Result<Effected<BillOutput>, CallError> {
        let Plan { bill, reason } = plan;
        let desk = Desk::of(call);
        // Somebody may have paid it since it was read.
        let (status, owed_minor) = lock_bill(call.conn, desk.tenant, bill.id).await?;
        refuse_closed(&bill.number, bills::status(&status)?, call.locale)?;
        if owed_minor != bill.owed().amount_minor {
            return Err(crate::words::payment::changed(call.locale).into());
        }
        let owes = Account::Receivable(bill.customer_id);
        let given_up = Transfer::posted(Account::BadDebt, owes, owed_minor, Why::WriteOff);
        ledger::post(call.conn, desk, bill.id, &[given_up.of_bill(bill.id)]).await?;
        update_to_uncollectible(call.conn, desk.tenant, bill.id, &reason, desk.now).await?;

        let after = bills::load(call, bill.id).await?;
        let given_up = Money::minor(owed_minor, desk.currency);
        let customer = after.customer.as_deref();
        let summary = billing::written_off(call.locale, &after.number, customer, given_up);
        let output = after.output(summary, call.locale);
        Ok(Effected {
            audit: Audit {
                subject: format!("bill:{}", bill.id),
                before: Some(json!(bill.view(call.locale))),
                after: Some(json!(output.bill)),
            },
            events: vec![after.event("bill.written_off")],
            output,
        })
    }
}

fn refuse_closed(number: &str, status: BillStatus, locale: Locale) -> Result<(), ToolFailure> {
    match status {
        BillStatus::Open => Ok(()),
        BillStatus::Paid | BillStatus::Void | BillStatus::Uncollectible => {
            Err(billing::not_open(locale, number, status))
        }
    }
}

/// Status and what is owed, held until the commit.
async fn lock_bill(
    conn: &mut PgConnection,
    tenant: Uuid,
    bill_id: Uuid,
) -> Result<(String, i64), sqlx::Error> {
    let row = sqlx::query!(
        r#"select status, total - paid - credited as "owed!" from shop.bills
           where tenant_id = $1 and id = $2 for no key update"#,
        tenant,
        bill_id
    )
    .fetch_one(conn)
    .await?;
    Ok((row.status, row.owed))
}

async fn update_to_uncollectible(
    conn: &mut PgConnection,
    tenant: Uuid,
    bill_id: Uuid,
    reason: &str,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update shop.bills set status = 'uncollectible', written_off_at = $3, write_off_reason = $4 where tenant_id = $1 and id = $2",
        tenant,
        bill_id,
        now,
        reason
    )
    .execute(conn)
    .await?;
    Ok(())
}
