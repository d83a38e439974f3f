//! The ledger: accounts and immutable transfers between two of them, in double entry.
//!
//! What a business event means in transfers is built by whoever knows the event (a bill, a payment); this file knows accounts, signs and
//! how a group of transfers is written: everything in one statement, accounts touched in the order of their ids, so that two groups wait
//! for one another and never deadlock. An account's id follows from what it is, so nothing is looked up.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use contracts::money::Currency;
use migrations::clock::{Clock, new_id};
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::CallError;
use crate::handler::Call;
use crate::payments::Provider;

/// In whose books something is written, by whom and when.
#[derive(Clone, Copy)]
pub(crate) struct Desk<'a> {
    /// The business.
    pub tenant: Uuid,
    /// The one currency of its books.
    pub currency: Currency,
    /// Who does it.
    pub actor: &'a str,
    /// When.
    pub now: DateTime<Utc>,
    /// Where new ids come from.
    pub clock: &'a dyn Clock,
}

impl<'a> Desk<'a> {
    /// The desk of a call.
    #[must_use]
    pub(crate) fn of(call: &Call<'a>) -> Desk<'a> {
        Desk {
            tenant: call.tenant(),
            currency: call.shop.currency,
            actor: &call.caller.subject,
            now: call.now,
            clock: call.clock,
        }
    }

    /// A new id, ordered by time.
    #[must_use]
    pub(crate) fn new_id(&self) -> Uuid {
        new_id(self.clock)
    }
}

/// Where money stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Account {
    /// Notes and coins of the shop.
    Cash,
    /// What a provider of payments has taken for the shop or is to pay out for it.
    Clearing(Provider),
    /// What a customer owes; `None` for sales over the counter.
    Receivable(Option<Uuid>),
    /// What a customer has with the shop. Never below zero, what is pending included.
    Wallet(Uuid),
    /// Money that came in for somebody we do not know and that no bill took. Never below zero.
    Unclaimed,
    /// Tax that was billed.
    Tax,
    /// What was sold, without tax.
    Sales,
    /// What was credited, without tax.
    Credits,
    /// What was given up.
    BadDebt,
    /// Fees for late cancellations.
    Fees,
}

impl Account {
    /// Where a payer's money waits until bills take it: the wallet, or with nobody known, unclaimed.
    #[must_use]
    pub(crate) const fn holding(customer: Option<Uuid>) -> Account {
        match customer {
            Some(customer) => Account::Wallet(customer),
            None => Account::Unclaimed,
        }
    }

    /// The word stored: `cash`, `clearing:momo`.
    #[must_use]
    pub(crate) fn code(self) -> String {
        match self {
            Account::Cash => "cash".to_owned(),
            Account::Clearing(provider) => format!("clearing:{}", provider.word()),
            Account::Receivable(_) => "receivable".to_owned(),
            Account::Wallet(_) => "wallet".to_owned(),
            Account::Unclaimed => "unclaimed".to_owned(),
            Account::Tax => "tax".to_owned(),
            Account::Sales => "sales".to_owned(),
            Account::Credits => "credits".to_owned(),
            Account::BadDebt => "bad_debt".to_owned(),
            Account::Fees => "fees".to_owned(),
        }
    }

    const fn kind(self) -> &'static str {
        match self {
            Account::Cash | Account::Clearing(_) | Account::Receivable(_) => "asset",
            Account::Wallet(_) | Account::Unclaimed | Account::Tax => "liability",
            Account::Sales | Account::Fees => "income",
            Account::Credits => "contra_income",
            Account::BadDebt => "expense",
        }
    }

    const fn customer(self) -> Option<Uuid> {
        match self {
            Account::Receivable(customer) => customer,
            Account::Wallet(customer) => Some(customer),
            _ => None,
        }
    }

    const fn floored(self) -> bool {
        matches!(self, Account::Wallet(_) | Account::Unclaimed)
    }

    /// The account's id, as `shop.ledger_account_id` computes it.
    #[must_use]
    pub(crate) fn id(self, tenant: Uuid, currency: Currency) -> Uuid {
        let customer = self
            .customer()
            .map_or_else(|| "-".to_owned(), |customer| customer.to_string());
        let text = format!(
            "ledger account {tenant} {} {customer} {}",
            self.code(),
            currency.code()
        );
        let mut bytes = [0; 16];
        for (byte, hashed) in bytes.iter_mut().zip(Sha256::digest(text)) {
            *byte = hashed;
        }
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }
}

/// Why money moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// A bill was issued.
    Sale,
    /// Its tax.
    Tax,
    /// Somebody paid.
    Payment,
    /// Money into a wallet.
    TopUp,
    /// What was paid beyond what was owed, into the wallet.
    Advance,
    /// Money that was with us took over a bill.
    Allocation,
    /// Money given back.
    Refund,
    /// A bill was credited, without tax.
    Credit,
    /// The tax of it.
    CreditTax,
    /// A bill was given up.
    WriteOff,
    /// A bill was taken back.
    Void,
}

impl Why {
    /// The word stored.
    #[must_use]
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Why::Sale => "sale",
            Why::Tax => "tax",
            Why::Payment => "payment",
            Why::TopUp => "top_up",
            Why::Advance => "advance",
            Why::Allocation => "allocation",
            Why::Refund => "refund",
            Why::Credit => "credit",
            Why::CreditTax => "credit_tax",
            Why::WriteOff => "write_off",
            Why::Void => "void",
        }
    }

    /// Reads [`Why::word`] back; `None` for a word of a later version.
    #[must_use]
    pub(crate) fn from_word(word: &str) -> Option<Why> {
        [
            Why::Sale,
            Why::Tax,
            Why::Payment,
            Why::TopUp,
            Why::Advance,
            Why::Allocation,
            Why::Refund,
            Why::Credit,
            Why::CreditTax,
            Why::WriteOff,
            Why::Void,
        ]
        .into_iter()
        .find(|why| why.word() == word)
    }
}

/// Whether money has moved, is about to, or what became of what was about to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It moved.
    Posted,
    /// It is about to, until then at the latest.
    Pending(DateTime<Utc>),
    /// The pending transfer of this id moved after all, the whole amount.
    Post(Uuid),
    /// The pending transfer of this id will not.
    Void(Uuid),
    /// The pending transfer of this id was not answered in time.
    Expire(Uuid),
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            State::Posted => "posted",
            State::Pending(_) => "pending",
            State::Post(_) => "post_pending",
            State::Void(_) => "void_pending",
            State::Expire(_) => "expire_pending",
        }
    }

    const fn pending_id(self) -> Option<Uuid> {
        match self {
            State::Post(id) | State::Void(id) | State::Expire(id) => Some(id),
            State::Posted | State::Pending(_) => None,
        }
    }

    /// What one unit of the amount does to the posted and to the pending counters.
    const fn signs(self) -> (i64, i64) {
        match self {
            State::Posted => (1, 0),
            State::Pending(_) => (0, 1),
            State::Post(_) => (1, -1),
            State::Void(_) | State::Expire(_) => (0, -1),
        }
    }
}

/// One movement of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Transfer {
    /// Where it goes: assets and expenses grow, liabilities and income shrink.
    pub debit: Account,
    /// Where it comes from.
    pub credit: Account,
    /// Minor units. Nothing is written for 0.
    pub amount_minor: i64,
    /// Whether it has moved.
    pub state: State,
    /// Why.
    pub why: Why,
    /// The bill it is about.
    pub bill_id: Option<Uuid>,
    /// The payment it is about.
    pub payment_id: Option<Uuid>,
    /// The transfer it takes back.
    pub reverses: Option<Uuid>,
}

impl Transfer {
    /// Money that moves now.
    #[must_use]
    pub(crate) const fn posted(
        debit: Account,
        credit: Account,
        amount_minor: i64,
        why: Why,
    ) -> Transfer {
        Transfer {
            debit,
            credit,
            amount_minor,
            state: State::Posted,
            why,
            bill_id: None,
            payment_id: None,
            reverses: None,
        }
    }

    /// The same about a bill.
    #[must_use]
    pub(crate) const fn of_bill(mut self, bill_id: Uuid) -> Transfer {
        self.bill_id = Some(bill_id);
        self
    }

    /// The same about a payment.
    #[must_use]
    pub(crate) const fn of_payment(mut self, payment_id: Uuid) -> Transfer {
        self.payment_id = Some(payment_id);
        self
    }

    /// The same, about to move, moved after all, or not.
    #[must_use]
    pub(crate) const fn in_state(mut self, state: State) -> Transfer {
        self.state = state;
        self
    }
}

/// What a bill means: the customer owes it; it is sales and tax.
#[must_use]
pub(crate) fn issue(
    bill_id: Uuid,
    customer: Option<Uuid>,
    total_minor: i64,
    tax_minor: i64,
) -> [Transfer; 2] {
    let owes = Account::Receivable(customer);
    [
        Transfer::posted(owes, Account::Sales, total_minor - tax_minor, Why::Sale).of_bill(bill_id),
        Transfer::posted(owes, Account::Tax, tax_minor, Why::Tax).of_bill(bill_id),
    ]
}

/// What a credit means: the customer owes less; sales and tax are less.
#[must_use]
pub(crate) fn credit(
    bill_id: Uuid,
    customer: Option<Uuid>,
    amount_minor: i64,
    tax_minor: i64,
) -> [Transfer; 2] {
    let owes = Account::Receivable(customer);
    let net_minor = amount_minor - tax_minor;
    [
        Transfer::posted(Account::Credits, owes, net_minor, Why::Credit).of_bill(bill_id),
        Transfer::posted(Account::Tax, owes, tax_minor, Why::CreditTax).of_bill(bill_id),
    ]
}

/// What a group does to one account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Change {
    debits_posted: i64,
    credits_posted: i64,
    debits_pending: i64,
    credits_pending: i64,
}

impl Change {
    /// Whether a new account may begin with it: then one statement makes the account or moves it.
    const fn may_begin(self, floored: bool) -> bool {
        self.debits_pending >= 0
            && self.credits_pending >= 0
            && !(floored && self.debits_posted + self.debits_pending > self.credits_posted)
    }
}

/// The accounts of a group by id, each with its change. Pure.
fn changes(
    tenant: Uuid,
    currency: Currency,
    transfers: &[Transfer],
) -> BTreeMap<Uuid, (Account, Change)> {
    let mut changes: BTreeMap<Uuid, (Account, Change)> = BTreeMap::new();
    for transfer in transfers {
        let (posted, pending) = transfer.state.signs();
        let amount = transfer.amount_minor;
        let (_, debit) = changes
            .entry(transfer.debit.id(tenant, currency))
            .or_insert((transfer.debit, Change::default()));
        debit.debits_posted += posted * amount;
        debit.debits_pending += pending * amount;
        let (_, credit) = changes
            .entry(transfer.credit.id(tenant, currency))
            .or_insert((transfer.credit, Change::default()));
        credit.credits_posted += posted * amount;
        credit.credits_pending += pending * amount;
    }
    changes
}

/// The name of the constraint that keeps wallets from going below zero.
pub(crate) const FLOOR: &str = "ledger_floor";
/// The name of the index that lets a pending transfer be resolved once.
pub(crate) const RESOLVED_ONCE: &str = "transfer_resolved_once";

/// Writes a group of transfers and moves their accounts. Answers the id of each transfer in the order given; one of 0 has an id and no
/// row. Bills, stock and payments must have been locked before, counters come after.
///
/// # Errors
/// When the database fails: [`FLOOR`] is violated by taking more than a wallet holds, [`RESOLVED_ONCE`] by resolving twice.
pub(crate) async fn post(
    conn: &mut PgConnection,
    desk: Desk<'_>,
    group_id: Uuid,
    transfers: &[Transfer],
) -> Result<Vec<Uuid>, CallError> {
    let ids: Vec<Uuid> = transfers.iter().map(|_| desk.new_id()).collect();
    let (moving, moving_ids): (Vec<Transfer>, Vec<Uuid>) = transfers
        .iter()
        .zip(&ids)
        .filter(|(transfer, _)| transfer.amount_minor != 0)
        .unzip();
    if moving.is_empty() {
        return Ok(ids);
    }
    let changes = changes(desk.tenant, desk.currency, &moving);
    let accounts = AccountColumns::of(&changes);
    let rows = TransferColumns::of(desk, moving_ids, &moving);
    if changes
        .values()
        .all(|(account, change)| change.may_begin(account.floored()))
    {
        upsert_and_insert(conn, desk, group_id, &accounts, &rows).await?;
    } else {
        // A row that is proposed to be inserted is checked before it is found to be there, and this change alone would be refused.
        make_and_lock(conn, desk, &accounts).await?;
        update_and_insert(conn, desk, group_id, &accounts, &rows).await?;
    }
    Ok(ids)
}

/// What an account holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Balance {
    /// Debits.
    pub debits_posted: i64,
    /// Credits.
    pub credits_posted: i64,
    /// Debits that are about to be.
    pub debits_pending: i64,
    /// Credits that are about to be.
    pub credits_pending: i64,
}

impl Balance {
    /// What is there on an account that grows by credits: a wallet.
    #[must_use]
    pub(crate) const fn held_minor(self) -> i64 {
        self.credits_posted - self.debits_posted
    }

    /// What of it may be taken: what is on its way out is not there any more.
    #[must_use]
    pub(crate) const fn available_minor(self) -> i64 {
        self.held_minor() - self.debits_pending
    }

    /// What is there on an account that grows by debits: cash, what is owed.
    #[must_use]
    pub(crate) const fn due_minor(self) -> i64 {
        self.debits_posted - self.credits_posted
    }
}

/// What an account holds; nothing for one that has not begun.
///
/// # Errors
/// When the database fails.
pub(crate) async fn balance(
    conn: &mut PgConnection,
    tenant: Uuid,
    currency: Currency,
    account: Account,
) -> Result<Balance, CallError> {
    Ok(select_balance(conn, tenant, account.id(tenant, currency))
        .await?
        .unwrap_or_default())
}

struct AccountColumns {
    ids: Vec<Uuid>,
    codes: Vec<String>,
    kinds: Vec<String>,
    customers: Vec<Option<Uuid>>,
    floored: Vec<bool>,
    debits_posted: Vec<i64>,
    credits_posted: Vec<i64>,
    debits_pending: Vec<i64>,
    credits_pending: Vec<i64>,
}

impl AccountColumns {
    fn of(changes: &BTreeMap<Uuid, (Account, Change)>) -> AccountColumns {
        let of = |part: fn(&Change) -> i64| changes.values().map(|(_, c)| part(c)).collect();
        AccountColumns {
            ids: changes.keys().copied().collect(),
            codes: changes.values().map(|(a, _)| a.code()).collect(),
            kinds: changes.values().map(|(a, _)| a.kind().to_owned()).collect(),
            customers: changes.values().map(|(a, _)| a.customer()).collect(),
            floored: changes.values().map(|(a, _)| a.floored()).collect(),
            debits_posted: of(|c| c.debits_posted),
            credits_posted: of(|c| c.credits_posted),
            debits_pending: of(|c| c.debits_pending),
            credits_pending: of(|c| c.credits_pending),
        }
    }
}

struct TransferColumns {
    ids: Vec<Uuid>,
    debits: Vec<Uuid>,
    credits: Vec<Uuid>,
    amounts: Vec<i64>,
    states: Vec<String>,
    pending_ids: Vec<Option<Uuid>>,
    expiries: Vec<Option<DateTime<Utc>>>,
    reverses: Vec<Option<Uuid>>,
    reasons: Vec<String>,
    bills: Vec<Option<Uuid>>,
    payments: Vec<Option<Uuid>>,
}

impl TransferColumns {
    fn of(desk: Desk<'_>, ids: Vec<Uuid>, transfers: &[Transfer]) -> TransferColumns {
        let account = |side: fn(&Transfer) -> Account| {
            transfers
                .iter()
                .map(|t| side(t).id(desk.tenant, desk.currency))
                .collect()
        };
        let id = |part: fn(&Transfer) -> Option<Uuid>| transfers.iter().map(part).collect();
        TransferColumns {
            ids,
            debits: account(|t| t.debit),
            credits: account(|t| t.credit),
            amounts: transfers.iter().map(|t| t.amount_minor).collect(),
            states: transfers
                .iter()
                .map(|t| t.state.word().to_owned())
                .collect(),
            pending_ids: id(|t| t.state.pending_id()),
            expiries: transfers
                .iter()
                .map(|t| match t.state {
                    State::Pending(expires_at) => Some(expires_at),
                    _ => None,
                })
                .collect(),
            reverses: id(|t| t.reverses),
            reasons: transfers.iter().map(|t| t.why.word().to_owned()).collect(),
            bills: id(|t| t.bill_id),
            payments: id(|t| t.payment_id),
        }
    }
}

/// The accounts come in the order of their ids, and are locked in it.
async fn upsert_and_insert(
    conn: &mut PgConnection,
    desk: Desk<'_>,
    group_id: Uuid,
    accounts: &AccountColumns,
    rows: &TransferColumns,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "with moved as (
             insert into shop.ledger_accounts as a (tenant_id, id, code, kind, currency, customer_id, floored,
                                                    debits_posted, credits_posted, debits_pending, credits_pending)
             select $1, n.id, n.code, n.kind, $2, n.customer_id, n.floored, n.debits_posted, n.credits_posted, n.debits_pending, n.credits_pending
             from unnest($3::uuid[], $4::text[], $5::text[], $6::uuid[], $7::bool[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[])
                  as n (id, code, kind, customer_id, floored, debits_posted, credits_posted, debits_pending, credits_pending)
             order by n.id
             on conflict (tenant_id, id) do update set
                 debits_posted = a.debits_posted + excluded.debits_posted, credits_posted = a.credits_posted + excluded.credits_posted,
                 debits_pending = a.debits_pending + excluded.debits_pending, credits_pending = a.credits_pending + excluded.credits_pending
         )
         insert into shop.ledger_transfers (tenant_id, id, group_id, debit_account, credit_account, amount, currency, state, pending_id,
                                            expires_at, reverses, reason, bill_id, payment_id, actor, at)
         select $1, t.id, $12, t.debit, t.credit, t.amount, $2, t.state, t.pending_id, t.expires_at, t.reverses, t.reason, t.bill_id,
                t.payment_id, $13, $14
         from unnest($15::uuid[], $16::uuid[], $17::uuid[], $18::bigint[], $19::text[], $20::uuid[], $21::timestamptz[], $22::uuid[],
                     $23::text[], $24::uuid[], $25::uuid[])
              as t (id, debit, credit, amount, state, pending_id, expires_at, reverses, reason, bill_id, payment_id)",
        desk.tenant,
        desk.currency.code(),
        &accounts.ids,
        &accounts.codes,
        &accounts.kinds,
        &accounts.customers[..] as &[Option<Uuid>],
        &accounts.floored,
        &accounts.debits_posted,
        &accounts.credits_posted,
        &accounts.debits_pending,
        &accounts.credits_pending,
        group_id,
        desk.actor,
        desk.now,
        &rows.ids,
        &rows.debits,
        &rows.credits,
        &rows.amounts,
        &rows.states,
        &rows.pending_ids[..] as &[Option<Uuid>],
        &rows.expiries[..] as &[Option<DateTime<Utc>>],
        &rows.reverses[..] as &[Option<Uuid>],
        &rows.reasons,
        &rows.bills[..] as &[Option<Uuid>],
        &rows.payments[..] as &[Option<Uuid>]
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Makes the accounts that are not there, empty, and locks all of them in the order of their ids.
async fn make_and_lock(
    conn: &mut PgConnection,
    desk: Desk<'_>,
    accounts: &AccountColumns,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into shop.ledger_accounts as a (tenant_id, id, code, kind, currency, customer_id, floored)
         select $1, n.id, n.code, n.kind, $2, n.customer_id, n.floored
         from unnest($3::uuid[], $4::text[], $5::text[], $6::uuid[], $7::bool[]) as n (id, code, kind, customer_id, floored)
         order by n.id
         on conflict (tenant_id, id) do update set code = a.code",
        desk.tenant,
        desk.currency.code(),
        &accounts.ids,
        &accounts.codes,
        &accounts.kinds,
        &accounts.customers[..] as &[Option<Uuid>],
        &accounts.floored
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn update_and_insert(
    conn: &mut PgConnection,
    desk: Desk<'_>,
    group_id: Uuid,
    accounts: &AccountColumns,
    rows: &TransferColumns,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "with moved as (
             update shop.ledger_accounts a set
                 debits_posted = a.debits_posted + n.debits_posted, credits_posted = a.credits_posted + n.credits_posted,
                 debits_pending = a.debits_pending + n.debits_pending, credits_pending = a.credits_pending + n.credits_pending
             from unnest($3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
                  as n (id, debits_posted, credits_posted, debits_pending, credits_pending)
             where a.tenant_id = $1 and a.id = n.id
         )
         insert into shop.ledger_transfers (tenant_id, id, group_id, debit_account, credit_account, amount, currency, state, pending_id,
                                            expires_at, reverses, reason, bill_id, payment_id, actor, at)
         select $1, t.id, $8, t.debit, t.credit, t.amount, $2, t.state, t.pending_id, t.expires_at, t.reverses, t.reason, t.bill_id,
                t.payment_id, $9, $10
         from unnest($11::uuid[], $12::uuid[], $13::uuid[], $14::bigint[], $15::text[], $16::uuid[], $17::timestamptz[], $18::uuid[],
                     $19::text[], $20::uuid[], $21::uuid[])
              as t (id, debit, credit, amount, state, pending_id, expires_at, reverses, reason, bill_id, payment_id)",
        desk.tenant,
        desk.currency.code(),
        &accounts.ids,
        &accounts.debits_posted,
        &accounts.credits_posted,
        &accounts.debits_pending,
        &accounts.credits_pending,
        group_id,
        desk.actor,
        desk.now,
        &rows.ids,
        &rows.debits,
        &rows.credits,
        &rows.amounts,
        &rows.states,
        &rows.pending_ids[..] as &[Option<Uuid>],
        &rows.expiries[..] as &[Option<DateTime<Utc>>],
        &rows.reverses[..] as &[Option<Uuid>],
        &rows.reasons,
        &rows.bills[..] as &[Option<Uuid>],
        &rows.payments[..] as &[Option<Uuid>]
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn select_balance(
    conn: &mut PgConnection,
    tenant: Uuid,
    account_id: Uuid,
) -> Result<Option<Balance>, sqlx::Error> {
    sqlx::query_as!(
        Balance,
        "select debits_posted, credits_posted, debits_pending, credits_pending
         from shop.ledger_accounts where tenant_id = $1 and id = $2",
        tenant,
        account_id
    )
    .fetch_optional(conn)
    .await
}
