//! `transaction_history`: movements of the ledger, newest first, a page at a time.

use chrono::{DateTime, NaiveDate, Utc};
use contracts::failure::ToolFailure;
use contracts::locale::Locale;
use contracts::money::{Currency, Money};
use contracts::tools::payment::{
    MovementOfMoney, PaymentStatus, TransactionHistory, TransactionHistoryInput,
    TransactionHistoryOutput,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::customers;
use crate::error::CallError;
use crate::handler::{Call, ReadTool, Shop};
use crate::ledger::{Account, Why};
use crate::words::arguments;
use crate::words::payment as words;
use crate::{cursor, days, numbering, typed};

/// The last movement of the page before: when, in microseconds since 1970, and its id.
type Place = (i64, Uuid);

/// After every movement, and a time Postgres holds: the end of the year 9999.
const END_OF_TIME: DateTime<Utc> = match DateTime::from_timestamp(253_402_300_799, 0) {
    Some(end) => end,
    None => DateTime::UNIX_EPOCH,
};

/// What a customer sees instead of an account that is not hers.
const SHOPS_SIDE: &str = "shop";

impl ReadTool for TransactionHistory {
    async fn read(
        call: &mut Call<'_>,
        input: TransactionHistoryInput,
    ) -> Result<TransactionHistoryOutput, CallError> {
        let (shop, locale, tenant) = (call.shop, call.locale, call.tenant());
        let limit = typed::page_limit(input.limit, locale)?;
        let after = input
            .cursor
            .as_deref()
            .map(|text| place(text).ok_or_else(|| arguments::bad_cursor(locale)))
            .transpose()?;
        let (from, until) = between(input.from, input.to, shop, locale)?;
        let end = (until, Uuid::nil());
        let before = after.map_or(end, |after| after.min(end));
        let customer = customers::whose(call, input.customer.as_deref(), "customer").await?;
        let most = i64::try_from(limit + 1).unwrap_or(i64::MAX);
        let mut rows = match &customer {
            Some(customer) => {
                let accounts = [
                    Account::Receivable(Some(customer.id)).id(tenant, shop.currency),
                    Account::Wallet(customer.id).id(tenant, shop.currency),
                ];
                select_of_accounts(call.conn, tenant, &accounts, from, before, most).await?
            }
            None => select_all(call.conn, tenant, from, before, most).await?,
        };
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows
            .last()
            .filter(|_| more)
            .map(|last| cursor::write(&(last.at.timestamp_micros(), last.id)));
        let whose = customer.as_ref().map(|c| c.id);
        let confined = call.caller.confined_to().is_some();
        let movements = rows
            .into_iter()
            .map(|row| row.view(locale, shop.currency, whose, confined))
            .collect::<Result<Vec<MovementOfMoney>, CallError>>()?;
        let said: Vec<String> = movements
            .iter()
            .map(|movement| format!("{} {}", movement.text, movement.amount))
            .collect();
        let name = customer.as_ref().map(|c| c.name.as_str());
        Ok(TransactionHistoryOutput {
            summary: words::history(locale, name, &said, more),
            movements,
            next_cursor,
        })
    }
}

fn place(text: &str) -> Option<(DateTime<Utc>, Uuid)> {
    let (micros, id): Place = cursor::read(text)?;
    let at = DateTime::from_timestamp_micros(micros)?;
    days::YEARS
        .contains(&chrono::Datelike::year(&at))
        .then_some((at, id))
}

fn between(
    from: Option<NaiveDate>,
    to: Option<NaiveDate>,
    shop: &Shop,
    locale: Locale,
) -> Result<(DateTime<Utc>, DateTime<Utc>), ToolFailure> {
    if let (Some(from), Some(to)) = (from, to)
        && from > to
    {
        return Err(arguments::days_reversed(locale));
    }
    let start =
        |day| days::start_of(day, shop.time_zone).ok_or_else(|| arguments::bad_day(locale, "from"));
    let end =
        |day| days::end_of(day, shop.time_zone).ok_or_else(|| arguments::bad_day(locale, "to"));
    Ok((
        from.map_or(Ok(DateTime::UNIX_EPOCH), start)?,
        to.map_or(Ok(END_OF_TIME), end)?,
    ))
}

struct TransferRow {
    id: Uuid,
    at: DateTime<Utc>,
    amount: i64,
    state: String,
    reason: String,
    debit_code: String,
    debit_customer: Option<Uuid>,
    credit_code: String,
    credit_customer: Option<Uuid>,
    bill_series: Option<String>,
    bill_number: Option<i64>,
    payment_number: Option<i64>,
    payment_status: Option<String>,
}

impl TransferRow {
    /// What it does to accounts of this code: of one customer, or of everybody.
    fn change(&self, code: &str, whose: Option<Uuid>) -> i64 {
        if self.state == "pending" {
            return 0;
        }
        let of = |of_code: &str, customer: Option<Uuid>| {
            of_code == code && (whose.is_none() || whose == customer)
        };
        let debit = if of(&self.debit_code, self.debit_customer) {
            self.amount
        } else {
            0
        };
        let credit = if of(&self.credit_code, self.credit_customer) {
            self.amount
        } else {
            0
        };
        debit - credit
    }

    fn view(
        self,
        locale: Locale,
        currency: Currency,
        whose: Option<Uuid>,
        confined: bool,
    ) -> Result<MovementOfMoney, CallError> {
        let money = |amount_minor| Money::minor(amount_minor, currency);
        let wallet_change = money(-self.change("wallet", whose));
        let owed_change = money(self.change("receivable", whose));
        let bill = self
            .bill_series
            .as_deref()
            .zip(self.bill_number)
            .map(|(series, number)| numbering::shown(series, number));
        let payment = self
            .payment_number
            .map(|number| numbering::shown(numbering::PAYMENTS, number));
        let strange = |word: &str| CallError::Broken(format!("a payment is {word}"));
        let payment_status = self
            .payment_status
            .as_deref()
            .map(|word| PaymentStatus::from_word(word).ok_or_else(|| strange(word)))
            .transpose()?;
        let why = Why::from_word(&self.reason);
        // Where the shop keeps its money is none of a customer's business, nor is whose another account may be.
        let account = |code: String, customer: Option<Uuid>| {
            if confined && (customer.is_none() || customer != whose) {
                SHOPS_SIDE.to_owned()
            } else {
                code
            }
        };
        Ok(MovementOfMoney {
            transfer_id: self.id,
            at: self.at,
            text: words::movement(locale, why, bill.as_deref(), payment.as_deref()),
            amount: money(self.amount),
            to_account: account(self.debit_code, self.debit_customer),
            from_account: account(self.credit_code, self.credit_customer),
            wallet_change,
            owed_change,
            pending: self.state == "pending",
            bill,
            payment,
            payment_status,
        })
    }
}

/// A pending transfer is shown until it is resolved; then its resolution is, if money moved.
async fn select_all(
    conn: &mut PgConnection,
    tenant: Uuid,
    from: DateTime<Utc>,
    before: (DateTime<Utc>, Uuid),
    most: i64,
) -> Result<Vec<TransferRow>, sqlx::Error> {
    sqlx::query_as!(
        TransferRow,
        r#"select t.id, t.at, t.amount, t.state, t.reason, d.code as debit_code, d.customer_id as debit_customer,
                  c.code as credit_code, c.customer_id as credit_customer, b.series as "bill_series?", b.number as "bill_number?",
                  p.number as "payment_number?", p.status as "payment_status?"
           from shop.ledger_transfers t
           join shop.ledger_accounts d on d.tenant_id = $1 and d.id = t.debit_account
           join shop.ledger_accounts c on c.tenant_id = $1 and c.id = t.credit_account
           left join shop.bills b on b.tenant_id = $1 and b.id = t.bill_id
           left join shop.payments p on p.tenant_id = $1 and p.id = t.payment_id
           where t.tenant_id = $1 and t.at >= $2 and (t.at, t.id) < ($3, $4)
             and (t.state in ('posted', 'post_pending')
                  or t.state = 'pending' and not exists (select from shop.ledger_transfers r where r.tenant_id = $1 and r.pending_id = t.id))
           order by t.at desc, t.id desc
           limit $5"#,
        tenant,
        from,
        before.0,
        before.1,
        most
    )
    .fetch_all(conn)
    .await
}

/// One range of an index per account and side, and the newest of all of them.
async fn select_of_accounts(
    conn: &mut PgConnection,
    tenant: Uuid,
    accounts: &[Uuid],
    from: DateTime<Utc>,
    before: (DateTime<Utc>, Uuid),
    most: i64,
) -> Result<Vec<TransferRow>, sqlx::Error> {
    sqlx::query_as!(
        TransferRow,
        r#"with side as (
               select distinct s.id, s.at from unnest($2::uuid[]) as a (id) cross join lateral (
                   (select t.id, t.at from shop.ledger_transfers t
                    where t.tenant_id = $1 and t.debit_account = a.id and t.at >= $3 and (t.at, t.id) < ($4, $5)
                      and (t.state in ('posted', 'post_pending')
                           or t.state = 'pending' and not exists
                              (select from shop.ledger_transfers r where r.tenant_id = $1 and r.pending_id = t.id))
                    order by t.at desc, t.id desc limit $6)
                   union all
                   (select t.id, t.at from shop.ledger_transfers t
                    where t.tenant_id = $1 and t.credit_account = a.id and t.at >= $3 and (t.at, t.id) < ($4, $5)
                      and (t.state in ('posted', 'post_pending')
                           or t.state = 'pending' and not exists
                              (select from shop.ledger_transfers r where r.tenant_id = $1 and r.pending_id = t.id))
                    order by t.at desc, t.id desc limit $6)
               ) s
           ), newest as (select id from side order by at desc, id desc limit $6)
           select t.id, t.at, t.amount, t.state, t.reason, d.code as debit_code, d.customer_id as debit_customer,
                  c.code as credit_code, c.customer_id as credit_customer, b.series as "bill_series?", b.number as "bill_number?",
                  p.number as "payment_number?", p.status as "payment_status?"
           from newest
           join shop.ledger_transfers t on t.tenant_id = $1 and t.id = newest.id
           join shop.ledger_accounts d on d.tenant_id = $1 and d.id = t.debit_account
           join shop.ledger_accounts c on c.tenant_id = $1 and c.id = t.credit_account
           left join shop.bills b on b.tenant_id = $1 and b.id = t.bill_id
           left join shop.payments p on p.tenant_id = $1 and p.id = t.payment_id
           order by t.at desc, t.id desc"#,
        tenant,
        accounts,
        from,
        before.0,
        before.1,
        most
    )
    .fetch_all(conn)
    .await
}
