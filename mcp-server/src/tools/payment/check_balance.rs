//! `check_balance`: what a customer has and owes, or what the shop holds.

use contracts::money::{Currency, Money};
use contracts::tools::payment::{AccountView, CheckBalance, CheckBalanceInput, CheckBalanceOutput};
use rust_decimal::Decimal;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::customers::{self, Customer};
use crate::error::CallError;
use crate::handler::{Call, ReadTool};
use crate::ledger::{self, Account};
use crate::words::billing;
use crate::words::payment::{self as words, Standing};

impl ReadTool for CheckBalance {
    async fn read(
        call: &mut Call<'_>,
        input: CheckBalanceInput,
    ) -> Result<CheckBalanceOutput, CallError> {
        match customers::whose(call, input.customer.as_deref(), "customer").await? {
            Some(customer) => of_customer(call, customer).await,
            None => of_shop(call).await,
        }
    }
}

async fn of_customer(
    call: &mut Call<'_>,
    customer: Customer,
) -> Result<CheckBalanceOutput, CallError> {
    let (tenant, currency) = (call.tenant(), call.shop.currency);
    let money = |amount_minor| Money::minor(amount_minor, currency);
    let owes = Account::Receivable(Some(customer.id));
    let owed = ledger::balance(call.conn, tenant, currency, owes).await?;
    let account = Account::Wallet(customer.id);
    let wallet = ledger::balance(call.conn, tenant, currency, account).await?;
    let standing = Standing {
        wallet: money(wallet.held_minor()),
        owed: money(owed.due_minor()),
        open_bills: count_open(call.conn, tenant, Some(customer.id)).await?,
        pending_in: money(wallet.credits_pending),
        pending_out: money(wallet.debits_pending),
    };
    let summary = words::balance(call.locale, &customer.name, &standing);
    Ok(output(summary, Some(customer.name), standing, Vec::new()))
}

async fn of_shop(call: &mut Call<'_>) -> Result<CheckBalanceOutput, CallError> {
    let (tenant, currency) = (call.tenant(), call.shop.currency);
    let sums = select_sums(call.conn, tenant, currency).await?;
    let money = |sum: Decimal| {
        i64::try_from(sum)
            .map(|minor| Money::minor(minor, currency))
            .map_err(|_| billing::sums_too_large(call.locale))
    };
    let accounts = select_accounts(call.conn, tenant, currency)
        .await?
        .into_iter()
        .map(|row| row.view(currency))
        .collect::<Vec<AccountView>>();
    let standing = Standing {
        wallet: money(sums.wallets)?,
        owed: money(sums.owed)?,
        open_bills: count_open(call.conn, tenant, None).await?,
        pending_in: money(sums.pending_in)?,
        pending_out: money(sums.pending_out)?,
    };
    let of = |is: fn(&str) -> bool| {
        let sum = accounts
            .iter()
            .filter(|a| is(&a.account))
            .fold(0_i64, |sum, a| sum.saturating_add(a.balance.amount_minor));
        Money::minor(sum, currency)
    };
    let cash = of(|account| account == "cash");
    let with_providers = of(|account| account.starts_with("clearing:"));
    let summary = words::shop_balance(call.locale, cash, with_providers, &standing);
    Ok(output(summary, None, standing, accounts))
}

fn output(
    summary: String,
    customer: Option<String>,
    standing: Standing,
    accounts: Vec<AccountView>,
) -> CheckBalanceOutput {
    CheckBalanceOutput {
        summary,
        customer,
        wallet: standing.wallet,
        owed: standing.owed,
        open_bills: standing.open_bills,
        pending_in: standing.pending_in,
        pending_out: standing.pending_out,
        accounts,
    }
}

struct AccountRow {
    code: String,
    kind: String,
    debits_posted: i64,
    credits_posted: i64,
    debits_pending: i64,
    credits_pending: i64,
}

impl AccountRow {
    fn view(self, currency: Currency) -> AccountView {
        let money = |amount_minor| Money::minor(amount_minor, currency);
        let held = self.debits_posted - self.credits_posted;
        // What the shop has grows by debits, what it owes by credits.
        let (balance, pending_in, pending_out) = if self.kind == "asset" {
            (held, self.debits_pending, self.credits_pending)
        } else {
            (-held, self.credits_pending, self.debits_pending)
        };
        AccountView {
            account: self.code,
            balance: money(balance),
            pending_in: money(pending_in),
            pending_out: money(pending_out),
        }
    }
}

struct Sums {
    wallets: Decimal,
    owed: Decimal,
    pending_in: Decimal,
    pending_out: Decimal,
}

/// What customers owe and have, from their accounts: as many as there are customers.
async fn select_sums(
    conn: &mut PgConnection,
    tenant: Uuid,
    currency: Currency,
) -> Result<Sums, sqlx::Error> {
    sqlx::query_as!(
        Sums,
        r#"select coalesce(sum(credits_posted - debits_posted) filter (where code = 'wallet'), 0) as "wallets!",
                  coalesce(sum(debits_posted - credits_posted) filter (where code = 'receivable'), 0) as "owed!",
                  coalesce(sum(debits_pending) filter (where code like 'clearing:%'), 0) as "pending_in!",
                  coalesce(sum(credits_pending) filter (where code like 'clearing:%'), 0) as "pending_out!"
           from shop.ledger_accounts where tenant_id = $1 and currency = $2"#,
        tenant,
        currency.code()
    )
    .fetch_one(conn)
    .await
}

/// The shop's own accounts that hold money.
async fn select_accounts(
    conn: &mut PgConnection,
    tenant: Uuid,
    currency: Currency,
) -> Result<Vec<AccountRow>, sqlx::Error> {
    sqlx::query_as!(
        AccountRow,
        "select code, kind, debits_posted, credits_posted, debits_pending, credits_pending from shop.ledger_accounts
         where tenant_id = $1 and currency = $2 and customer_id is null
           and (code in ('cash', 'unclaimed') or code like 'clearing:%')
         order by code",
        tenant,
        currency.code()
    )
    .fetch_all(conn)
    .await
}

/// Of the whole shop or of one customer: two counts, so that each has its index.
async fn count_open(
    conn: &mut PgConnection,
    tenant: Uuid,
    customer: Option<Uuid>,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select (select count(*) from shop.bills where $2::uuid is null and tenant_id = $1 and status = 'open')
                + (select count(*) from shop.bills where tenant_id = $1 and status = 'open' and customer_id = $2::uuid) as "count!""#,
        tenant,
        customer
    )
    .fetch_one(conn)
    .await
}
