//! The life of a payment. Cash and wallet settle at once. What leaves the process is begun (a pending payment and a pending transfer),
//! then settled, failed, expired or, when nobody can say, marked unknown; whatever a provider says however often, it is settled once.
//!
//! Money that came is never lost: what no bill takes stays in the payer's wallet, or unclaimed where the payer is not known; money that
//! comes after we had given up is booked all the same. Locks are taken in one order by everybody: bills, stock, payments, accounts, counters.

pub(crate) mod refunds;
pub(crate) mod way;

use chrono::{DateTime, TimeDelta, Utc};
use contracts::money::{Currency, Money};
use contracts::tools::payment::{PaidPart, PaymentMethod, PaymentStatus, PaymentView};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::bills::owed::{self, Moved, Part};
use crate::error::CallError;
use crate::handler::{Audit, Event};
use crate::ledger::{self, Account, Desk, State, Transfer, Why};
use crate::numbering;

/// How long a payer has to answer before a payment lapses.
pub(crate) const EXPIRES_AFTER: TimeDelta = TimeDelta::minutes(15);

/// Who moves money that leaves the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Provider {
    /// MTN `MoMo`: mobile money.
    Momo,
    /// Stripe: cards.
    Stripe,
}

impl Provider {
    /// The word stored.
    #[must_use]
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Provider::Momo => "momo",
            Provider::Stripe => "stripe",
        }
    }

    /// Reads [`Provider::word`] back.
    #[must_use]
    pub(crate) fn from_word(word: &str) -> Option<Provider> {
        [Provider::Momo, Provider::Stripe]
            .into_iter()
            .find(|p| p.word() == word)
    }
}

/// Which way money goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// To the shop, for bills.
    Collect,
    /// Back to the customer.
    Refund,
    /// To the shop, into a wallet.
    TopUp,
}

impl Direction {
    /// The word stored.
    #[must_use]
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Direction::Collect => "collect",
            Direction::Refund => "refund",
            Direction::TopUp => "top_up",
        }
    }

    fn from_word(word: &str) -> Option<Direction> {
        [Direction::Collect, Direction::Refund, Direction::TopUp]
            .into_iter()
            .find(|d| d.word() == word)
    }

    const fn why(self) -> Why {
        match self {
            Direction::Collect => Why::Payment,
            Direction::Refund => Why::Refund,
            Direction::TopUp => Why::TopUp,
        }
    }
}

/// A payment as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Payment {
    /// Its id: what a provider knows it by, and never another.
    pub id: Uuid,
    /// Its number in the series of payments.
    pub number: i64,
    /// Which way the money goes.
    pub direction: Direction,
    /// How it is paid.
    pub method: PaymentMethod,
    /// Who moves it, where it leaves the process.
    pub provider: Option<Provider>,
    /// The provider's own name for it, once known.
    pub provider_ref: Option<String>,
    /// Where it stands.
    pub status: PaymentStatus,
    /// How much.
    pub amount: Money,
    /// How much of it has been given back or is on its way back, minor units.
    pub refunded_minor: i64,
    /// Who pays, or is given back.
    pub customer_id: Option<Uuid>,
    /// The bill that was named.
    pub bill_id: Option<Uuid>,
    /// The telephone that is asked.
    pub phone: Option<String>,
    /// For a refund, the payment it gives back.
    pub refunds: Option<Uuid>,
    /// The pending transfer, where it leaves the process.
    pub transfer_id: Option<Uuid>,
    /// Why it failed.
    pub failure: Option<String>,
    /// When it was begun.
    pub begun_at: DateTime<Utc>,
    /// When it lapses.
    pub expires_at: Option<DateTime<Utc>>,
}

/// What the provider is asked to move: a payment that leaves the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PendingPayment {
    /// The payment.
    pub payment: Payment,
    /// Who is asked.
    pub provider: Provider,
    /// For a refund, the provider's own name for the payment that is given back.
    pub refunds_ref: Option<String>,
}

impl Payment {
    /// "PAY-3".
    #[must_use]
    pub(crate) fn reference(&self) -> String {
        numbering::shown(numbering::PAYMENTS, self.number)
    }

    /// What an event says of it.
    #[must_use]
    pub(crate) fn told(&self) -> Value {
        json!({
            "payment_id": self.id,
            "reference": self.reference(),
            "direction": self.direction.word(),
            "method": self.method,
            "status": self.status,
            "amount": self.amount,
            "customer_id": self.customer_id,
            "bill_id": self.bill_id,
        })
    }

    /// The payment as it is shown, with what it paid and what went into the wallet.
    #[must_use]
    pub(crate) fn view(
        &self,
        customer: Option<&str>,
        parts: &[Part],
        to_wallet_minor: Option<i64>,
    ) -> PaymentView {
        let money = |amount_minor| Money::minor(amount_minor, self.amount.currency);
        PaymentView {
            payment_id: self.id,
            reference: self.reference(),
            method: self.method,
            status: self.status,
            amount: self.amount,
            customer: customer.map(str::to_owned),
            phone: self.phone.clone(),
            bills: parts
                .iter()
                .map(|part| PaidPart {
                    bill_id: part.bill_id,
                    number: part.number.clone(),
                    amount: money(part.amount_minor),
                })
                .collect(),
            to_wallet: to_wallet_minor.filter(|minor| *minor > 0).map(money),
        }
    }

    /// An event about it.
    #[must_use]
    pub(crate) fn event(&self, topic: &'static str) -> Event {
        Event {
            topic,
            subject: self.subject(),
            data: self.told(),
        }
    }

    /// `payment:<uuid>`.
    #[must_use]
    pub(crate) fn subject(&self) -> String {
        format!("payment:{}", self.id)
    }
}

/// A payment that is to be written.
#[derive(Debug, Clone)]
pub(crate) struct NewPayment {
    /// Its id.
    pub id: Uuid,
    /// Which way the money goes.
    pub direction: Direction,
    /// How it is paid.
    pub method: PaymentMethod,
    /// Who moves it: given exactly for mobile money and card.
    pub provider: Option<Provider>,
    /// How much, minor units. Above 0.
    pub amount_minor: i64,
    /// Who pays or is given back.
    pub customer_id: Option<Uuid>,
    /// The bill that was named.
    pub bill_id: Option<Uuid>,
    /// The telephone that is asked, E.164.
    pub phone: Option<String>,
    /// For a refund, the payment it gives back.
    pub refunds: Option<Uuid>,
    /// For a refund of what a credit note left over, the note.
    pub credit_note_id: Option<Uuid>,
    /// The bills it pays at once, or takes its money back from. Empty for what is settled later.
    pub parts: Vec<Part>,
}

impl NewPayment {
    /// Money that comes in.
    #[must_use]
    pub(crate) fn incoming(
        id: Uuid,
        direction: Direction,
        method: PaymentMethod,
        provider: Option<Provider>,
        amount_minor: i64,
    ) -> NewPayment {
        NewPayment {
            id,
            direction,
            method,
            provider,
            amount_minor,
            customer_id: None,
            bill_id: None,
            phone: None,
            refunds: None,
            credit_note_id: None,
            parts: Vec::new(),
        }
    }

    /// What it means in transfers. The pending one, where there is one, is the last. Pure.
    #[must_use]
    pub(crate) fn transfers(&self, expires_at: DateTime<Utc>) -> Vec<Transfer> {
        let rest_minor = self.amount_minor - self.parts.iter().map(|p| p.amount_minor).sum::<i64>();
        let holding = Account::holding(self.customer_id);
        let money = match (self.method, self.provider) {
            (_, Some(provider)) => Account::Clearing(provider),
            (PaymentMethod::Wallet, None) => holding,
            (_, None) => Account::Cash,
        };
        let why = self.direction.why();
        let back = self.direction == Direction::Refund;
        // What goes back through a provider leaves the bills now and waits with us, so that a failure leaves it with the customer.
        let side = if back && self.provider.is_some() {
            holding
        } else {
            money
        };
        let mut transfers: Vec<Transfer> = Vec::new();
        if back || self.provider.is_none() {
            transfers.extend(self.parts.iter().map(|part| {
                let owes = Account::Receivable(part.owner);
                let (debit, credit) = if back { (owes, side) } else { (side, owes) };
                Transfer::posted(debit, credit, part.amount_minor, why).of_bill(part.bill_id)
            }));
        }
        match (self.provider, back) {
            (Some(_), false) => transfers.push(
                Transfer::posted(money, holding, self.amount_minor, why)
                    .in_state(State::Pending(expires_at)),
            ),
            (Some(_), true) => transfers.push(
                Transfer::posted(holding, money, self.amount_minor, why)
                    .in_state(State::Pending(expires_at)),
            ),
            (None, false) if rest_minor > 0 => {
                let why = match self.direction {
                    Direction::TopUp => Why::TopUp,
                    Direction::Collect | Direction::Refund => Why::Advance,
                };
                transfers.push(Transfer::posted(money, holding, rest_minor, why));
            }
            (None, true) if rest_minor > 0 => {
                transfers.push(Transfer::posted(holding, money, rest_minor, why));
            }
            (None, _) => {}
        }
        transfers
            .into_iter()
            .map(|transfer| transfer.of_payment(self.id))
            .collect()
    }
}

/// Writes payments with the transfers they mean and `with` (what else belongs to the same effect), changes the bills, and numbers them
/// last. Bills and payments they touch must be locked.
///
/// # Errors
/// When the database fails; [`ledger::FLOOR`] when a wallet does not hold that much.
pub(crate) async fn write(
    conn: &mut PgConnection,
    desk: Desk<'_>,
    payments: &[NewPayment],
    with: &[Transfer],
    moved: &[Moved],
) -> Result<Vec<Payment>, CallError> {
    let group_id = payments.first().map_or_else(|| desk.new_id(), |p| p.id);
    let transfer_ids = post(conn, desk, group_id, payments, with).await?;
    owed::change(conn, desk.tenant, moved).await?;
    let [first] =
        numbering::next_of(conn, desk.tenant, [(numbering::PAYMENTS, payments.len())]).await?;
    let mut written = Vec::with_capacity(payments.len());
    for ((payment, transfer_id), number) in payments.iter().zip(transfer_ids).zip(first..) {
        written.push(record(conn, desk, payment, number, transfer_id).await?);
    }
    Ok(written)
}

/// Posts what payments mean together with `with`; answers the pending transfer of each.
///
/// # Errors
/// As [`write()`].
pub(crate) async fn post(
    conn: &mut PgConnection,
    desk: Desk<'_>,
    group_id: Uuid,
    payments: &[NewPayment],
    with: &[Transfer],
) -> Result<Vec<Option<Uuid>>, CallError> {
    let expires_at = desk.now + EXPIRES_AFTER;
    let mut transfers = with.to_vec();
    let mut last_of = Vec::with_capacity(payments.len());
    for payment in payments {
        transfers.extend(payment.transfers(expires_at));
        last_of.push(payment.provider.map(|_| transfers.len() - 1));
    }
    let ids = ledger::post(conn, desk, group_id, &transfers).await?;
    Ok(last_of
        .into_iter()
        .map(|last| last.and_then(|last| ids.get(last).copied()))
        .collect())
}

/// Writes the row of a payment whose transfers are posted, and which bills it paid.
///
/// # Errors
/// When the database fails.
pub(crate) async fn record(
    conn: &mut PgConnection,
    desk: Desk<'_>,
    new: &NewPayment,
    number: i64,
    transfer_id: Option<Uuid>,
) -> Result<Payment, CallError> {
    let settled = new.provider.is_none();
    let payment = Payment {
        id: new.id,
        number,
        direction: new.direction,
        method: new.method,
        provider: new.provider,
        provider_ref: None,
        status: if settled {
            PaymentStatus::Succeeded
        } else {
            PaymentStatus::Pending
        },
        amount: Money::minor(new.amount_minor, desk.currency),
        refunded_minor: 0,
        customer_id: new.customer_id,
        bill_id: new.bill_id,
        phone: new.phone.clone(),
        refunds: new.refunds,
        transfer_id,
        failure: None,
        begun_at: desk.now,
        expires_at: (!settled).then(|| desk.now + EXPIRES_AFTER),
    };
    insert_payment(conn, desk, &payment, new).await?;
    Ok(payment)
}

/// Begins a payment that leaves the process: pending payment and pending transfer. The caller asks the provider after the commit.
///
/// # Errors
/// When the database fails, or no provider is named.
pub(crate) async fn begin(
    conn: &mut PgConnection,
    desk: Desk<'_>,
    new: &NewPayment,
) -> Result<PendingPayment, CallError> {
    let written = write(conn, desk, std::slice::from_ref(new), &[], &[]).await?;
    match written.into_iter().next() {
        Some(payment) => as_pending(conn, desk.tenant, payment).await,
        None => Err(CallError::Broken("no payment was begun".to_owned())),
    }
}

/// A payment with what its provider has to know.
///
/// # Errors
/// When the database fails, or the payment does not leave the process.
pub(crate) async fn as_pending(
    conn: &mut PgConnection,
    tenant: Uuid,
    payment: Payment,
) -> Result<PendingPayment, CallError> {
    let Some(provider) = payment.provider else {
        let reference = payment.reference();
        return Err(CallError::Broken(format!("{reference} has no provider")));
    };
    let refunds_ref = match payment.refunds {
        Some(id) => find(conn, tenant, id, payment.amount.currency)
            .await?
            .and_then(|original| original.provider_ref),
        None => None,
    };
    Ok(PendingPayment {
        payment,
        provider,
        refunds_ref,
    })
}

/// The payment of this id that leaves the process; `None` when there is none.
///
/// # Errors
/// When the database fails.
pub(crate) async fn load(
    conn: &mut PgConnection,
    desk: Desk<'_>,
    id: Uuid,
) -> Result<Option<PendingPayment>, CallError> {
    match find(conn, desk.tenant, id, desk.currency).await? {
        Some(payment) if payment.provider.is_some() => {
            as_pending(conn, desk.tenant, payment).await.map(Some)
        }
        _ => Ok(None),
    }
}

/// The payment of this id.
///
/// # Errors
/// When the database fails.
pub(crate) async fn find(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
    currency: Currency,
) -> Result<Option<Payment>, CallError> {
    select_payment(conn, tenant, Some(id), None)
        .await?
        .map(|row| row.read(currency))
        .transpose()
}

/// The payment of this number.
///
/// # Errors
/// When the database fails.
pub(crate) async fn find_number(
    conn: &mut PgConnection,
    tenant: Uuid,
    number: i64,
    currency: Currency,
) -> Result<Option<Payment>, CallError> {
    select_payment(conn, tenant, None, Some(number))
        .await?
        .map(|row| row.read(currency))
        .transpose()
}

/// What came of telling a payment what its provider says.
#[derive(Debug)]
pub(crate) enum Told {
    /// It changed: the trace to leave in the same transaction.
    Changed(Box<Changed>),
    /// It had been told before, or knows better; nothing was written.
    Already(PaymentStatus),
}

/// A payment that changed, and its trace.
#[derive(Debug)]
pub(crate) struct Changed {
    /// As it is now.
    pub payment: Payment,
    /// What others are told.
    pub events: Vec<Event>,
    /// Its audit row.
    pub audit: Audit,
}

impl Changed {
    fn told(before: &Payment, after: Payment, topic: &'static str, parts: &[Part]) -> Told {
        let mut told = after.told();
        let bills: Vec<Value> = parts
            .iter()
            .map(|part| json!({"bill_id": part.bill_id, "number": part.number, "amount_minor": part.amount_minor}))
            .collect();
        if let Some(members) = told.as_object_mut() {
            members.insert("bills".to_owned(), Value::Array(bills));
        }
        Told::Changed(Box::new(Changed {
            events: vec![Event {
                topic,
                subject: after.subject(),
                data: told.clone(),
            }],
            audit: Audit {
                subject: after.subject(),
                before: Some(before.told()),
                after: Some(told),
            },
            payment: after,
        }))
    }
}

/// The provider says that the money moved. Booked once, however often and however late it is said; what bills do not take stays with
/// the payer.
///
/// # Errors
/// When the database fails, or there is no such payment.
pub(crate) async fn settle(
    conn: &mut PgConnection,
    desk: Desk<'_>,
    id: Uuid,
) -> Result<Told, CallError> {
    let peeked = known(find(conn, desk.tenant, id, desk.currency).await?, id)?;
    // Bills are locked before the payment, by everybody.
    let bills = if peeked.direction == Direction::Collect {
        let customer = peeked.customer_id.filter(|_| peeked.bill_id.is_none());
        owed::lock(conn, desk.tenant, customer, peeked.bill_id).await?
    } else {
        Vec::new()
    };
    let before = lock(conn, desk, id).await?;
    let Some(provider) = before.provider else {
        return Ok(Told::Already(before.status));
    };
    let state = match (before.status, before.transfer_id) {
        (PaymentStatus::Succeeded, _) => return Ok(Told::Already(before.status)),
        (PaymentStatus::Pending | PaymentStatus::Unknown, Some(pending)) => State::Post(pending),
        // We had given up, and the money moved all the same.
        _ => State::Posted,
    };
    let holding = Account::holding(before.customer_id);
    let money = Account::Clearing(provider);
    let (debit, credit) = match before.direction {
        Direction::Refund => (holding, money),
        Direction::Collect | Direction::TopUp => (money, holding),
    };
    let why = before.direction.why();
    let (parts, _) = owed::spread(before.amount.amount_minor, &bills);
    let arrived = Transfer::posted(debit, credit, before.amount.amount_minor, why).in_state(state);
    let mut transfers = vec![arrived.of_payment(id)];
    transfers.extend(parts.iter().map(|part| {
        Transfer::posted(
            holding,
            Account::Receivable(part.owner),
            part.amount_minor,
            Why::Allocation,
        )
        .of_bill(part.bill_id)
        .of_payment(id)
    }));
    ledger::post(conn, desk, desk.new_id(), &transfers).await?;
    let moved: Vec<Moved> = parts
        .iter()
        .map(|part| Moved {
            bill_id: part.bill_id,
            paid_minor: part.amount_minor,
            credited_minor: 0,
        })
        .collect();
    owed::change(conn, desk.tenant, &moved).await?;
    insert_allocations(conn, desk.tenant, id, &parts).await?;
    let status = PaymentStatus::Succeeded;
    update_status(conn, desk.tenant, id, status, None, Some(desk.now)).await?;
    let after = Payment {
        status,
        failure: None,
        ..before.clone()
    };
    let topic = match before.direction {
        Direction::Collect => "payment.settled",
        Direction::Refund => "payment.refunded",
        Direction::TopUp => "wallet.topped_up",
    };
    Ok(Changed::told(&before, after, topic, &parts))
}

/// The provider says that the money will not move. A refund's money stays with the customer.
///
/// # Errors
/// When the database fails, or there is no such payment.
pub(crate) async fn fail(
    conn: &mut PgConnection,
    desk: Desk<'_>,
    id: Uuid,
    failure: &str,
) -> Result<Told, CallError> {
    give_up(conn, desk, id, PaymentStatus::Failed, Some(failure)).await
}

/// Nobody answered in time, and the provider says it is not under way.
///
/// # Errors
/// When the database fails, or there is no such payment.
pub(crate) async fn expire(
    conn: &mut PgConnection,
    desk: Desk<'_>,
    id: Uuid,
) -> Result<Told, CallError> {
    give_up(conn, desk, id, PaymentStatus::Expired, None).await
}

/// The provider could not be asked for so long that a person has to know. It stays pending in the ledger until somebody can say.
///
/// # Errors
/// When the database fails, or there is no such payment.
pub(crate) async fn mark_unknown(
    conn: &mut PgConnection,
    desk: Desk<'_>,
    id: Uuid,
) -> Result<Told, CallError> {
    let before = lock(conn, desk, id).await?;
    if before.status != PaymentStatus::Pending {
        return Ok(Told::Already(before.status));
    }
    let status = PaymentStatus::Unknown;
    update_status(conn, desk.tenant, id, status, None, None).await?;
    let after = Payment {
        status,
        ..before.clone()
    };
    Ok(Changed::told(&before, after, "payment.pending", &[]))
}

/// Keeps the provider's own name for a payment, the first time it is told.
///
/// # Errors
/// When the database fails.
pub(crate) async fn keep_provider_ref(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
    provider_ref: &str,
) -> Result<(), CallError> {
    sqlx::query!(
        "update shop.payments set provider_ref = $3 where tenant_id = $1 and id = $2 and provider_ref is null",
        tenant,
        id,
        provider_ref
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn give_up(
    conn: &mut PgConnection,
    desk: Desk<'_>,
    id: Uuid,
    status: PaymentStatus,
    failure: Option<&str>,
) -> Result<Told, CallError> {
    let before = lock(conn, desk, id).await?;
    let (true, Some(provider), Some(pending)) = (
        matches!(
            before.status,
            PaymentStatus::Pending | PaymentStatus::Unknown
        ),
        before.provider,
        before.transfer_id,
    ) else {
        return Ok(Told::Already(before.status));
    };
    let (holding, money) = (
        Account::holding(before.customer_id),
        Account::Clearing(provider),
    );
    let (debit, credit) = match before.direction {
        Direction::Refund => (holding, money),
        Direction::Collect | Direction::TopUp => (money, holding),
    };
    let state = match status {
        PaymentStatus::Expired => State::Expire(pending),
        _ => State::Void(pending),
    };
    let amount_minor = before.amount.amount_minor;
    let back =
        Transfer::posted(debit, credit, amount_minor, before.direction.why()).in_state(state);
    ledger::post(conn, desk, desk.new_id(), &[back.of_payment(id)]).await?;
    update_status(conn, desk.tenant, id, status, failure, None).await?;
    let after = Payment {
        status,
        failure: failure.map(str::to_owned),
        ..before.clone()
    };
    Ok(Changed::told(&before, after, "payment.failed", &[]))
}

fn known(payment: Option<Payment>, id: Uuid) -> Result<Payment, CallError> {
    payment.ok_or_else(|| CallError::Broken(format!("payment {id} is not there")))
}

/// The payment, held until the commit.
///
/// # Errors
/// When the database fails, or there is no such payment.
pub(crate) async fn lock(
    conn: &mut PgConnection,
    desk: Desk<'_>,
    id: Uuid,
) -> Result<Payment, CallError> {
    let row = select_payment_for_update(conn, desk.tenant, id).await?;
    known(row.map(|row| row.read(desk.currency)).transpose()?, id)
}

/// Counts more of a payment as given back. It must be locked.
///
/// # Errors
/// When the database fails, or more would be given back than came in.
pub(crate) async fn add_refunded(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
    amount_minor: i64,
) -> Result<(), CallError> {
    sqlx::query!(
        "update shop.payments set refunded = refunded + $3 where tenant_id = $1 and id = $2",
        tenant,
        id,
        amount_minor
    )
    .execute(conn)
    .await?;
    Ok(())
}

struct PaymentRow {
    id: Uuid,
    number: i64,
    direction: String,
    method: String,
    provider: Option<String>,
    provider_ref: Option<String>,
    status: String,
    amount: i64,
    refunded: i64,
    customer_id: Option<Uuid>,
    bill_id: Option<Uuid>,
    phone: Option<String>,
    refunds: Option<Uuid>,
    transfer_id: Option<Uuid>,
    failure: Option<String>,
    received_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
}

impl PaymentRow {
    fn read(self, currency: Currency) -> Result<Payment, CallError> {
        let id = self.id;
        let strange =
            |what: &str, word: &str| CallError::Broken(format!("payment {id}: {what} {word}"));
        Ok(Payment {
            id,
            number: self.number,
            direction: Direction::from_word(&self.direction)
                .ok_or_else(|| strange("goes", &self.direction))?,
            method: PaymentMethod::from_word(&self.method)
                .ok_or_else(|| strange("is paid by", &self.method))?,
            provider: self
                .provider
                .as_deref()
                .map(|word| Provider::from_word(word).ok_or_else(|| strange("is with", word)))
                .transpose()?,
            provider_ref: self.provider_ref,
            status: PaymentStatus::from_word(&self.status)
                .ok_or_else(|| strange("is", &self.status))?,
            amount: Money::minor(self.amount, currency),
            refunded_minor: self.refunded,
            customer_id: self.customer_id,
            bill_id: self.bill_id,
            phone: self.phone,
            refunds: self.refunds,
            transfer_id: self.transfer_id,
            failure: self.failure,
            begun_at: self.received_at,
            expires_at: self.expires_at,
        })
    }
}

async fn select_payment(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Option<Uuid>,
    number: Option<i64>,
) -> Result<Option<PaymentRow>, sqlx::Error> {
    sqlx::query_as!(
        PaymentRow,
        "select id, number, direction, method, provider, provider_ref, status, amount, refunded, customer_id, bill_id, phone_e164 as phone,
                refunds, transfer_id, failure, received_at, expires_at
         from shop.payments where tenant_id = $1 and (id = $2::uuid or number = $3::bigint)",
        tenant,
        id,
        number
    )
    .fetch_optional(conn)
    .await
}

async fn select_payment_for_update(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
) -> Result<Option<PaymentRow>, sqlx::Error> {
    sqlx::query_as!(
        PaymentRow,
        "select id, number, direction, method, provider, provider_ref, status, amount, refunded, customer_id, bill_id, phone_e164 as phone,
                refunds, transfer_id, failure, received_at, expires_at
         from shop.payments where tenant_id = $1 and id = $2 for no key update",
        tenant,
        id
    )
    .fetch_optional(conn)
    .await
}

async fn insert_payment(
    conn: &mut PgConnection,
    desk: Desk<'_>,
    payment: &Payment,
    new: &NewPayment,
) -> Result<(), sqlx::Error> {
    let bills: Vec<Uuid> = new.parts.iter().map(|p| p.bill_id).collect();
    let amounts: Vec<i64> = new.parts.iter().map(|p| p.amount_minor).collect();
    sqlx::query!(
        "with paid as (
             insert into shop.payment_allocations (tenant_id, payment_id, bill_id, amount)
             select $1, $2, a.bill_id, a.amount from unnest($19::uuid[], $20::bigint[]) as a (bill_id, amount)
         )
         insert into shop.payments (tenant_id, id, number, direction, method, provider, status, amount, currency, customer_id, bill_id,
                                    phone_e164, refunds, credit_note_id, transfer_id, received_by, received_at, expires_at, settled_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $21)",
        desk.tenant,
        payment.id,
        payment.number,
        payment.direction.word(),
        payment.method.word(),
        payment.provider.map(Provider::word),
        payment.status.word(),
        payment.amount.amount_minor,
        desk.currency.code(),
        payment.customer_id,
        payment.bill_id,
        payment.phone,
        payment.refunds,
        new.credit_note_id,
        payment.transfer_id,
        desk.actor,
        desk.now,
        payment.expires_at,
        &bills,
        &amounts,
        (payment.status == PaymentStatus::Succeeded).then_some(desk.now)
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn insert_allocations(
    conn: &mut PgConnection,
    tenant: Uuid,
    payment_id: Uuid,
    parts: &[Part],
) -> Result<(), sqlx::Error> {
    let bills: Vec<Uuid> = parts.iter().map(|p| p.bill_id).collect();
    let amounts: Vec<i64> = parts.iter().map(|p| p.amount_minor).collect();
    sqlx::query!(
        "insert into shop.payment_allocations (tenant_id, payment_id, bill_id, amount)
         select $1, $2, a.bill_id, a.amount from unnest($3::uuid[], $4::bigint[]) as a (bill_id, amount)",
        tenant,
        payment_id,
        &bills,
        &amounts
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn update_status(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
    status: PaymentStatus,
    failure: Option<&str>,
    settled_at: Option<DateTime<Utc>>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update shop.payments set status = $3, failure = $4, settled_at = $5 where tenant_id = $1 and id = $2",
        tenant,
        id,
        status.word(),
        failure,
        settled_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use contracts::tools::billing::{CreateBill, GetBill, VoidBill};
    use contracts::tools::inventory::AddItem;
    use contracts::tools::payment::{CheckBalance, CollectPayment, RefundPayment, TopUpWallet};

    use super::*;
    use crate::providers::Configured;
    use crate::testing::World;

    async fn shop_with_a_bill() -> World {
        let mut world = World::new().await;
        world.providers = Configured {
            momo: true,
            stripe: true,
        };
        let sugar = json!({"name": "Sugar", "unit": "kg", "unit_price": "160", "quantity": "50"});
        world.write::<AddItem>(sugar).await.unwrap();
        let bill = json!({"customer": "Ali", "lines": [{"item": "sugar", "quantity": "2"}]});
        world.agree::<CreateBill>(bill).await.unwrap();
        world
    }

    #[derive(Debug, Clone, Copy)]
    enum Say {
        Settled,
        Failed,
        Expired,
        Unknown,
    }

    /// What a provider says, in a transaction of its own as a job has it; whether it changed anything.
    async fn say(world: &World, id: Uuid, what: Say) -> bool {
        let mut transaction = world.begin().await;
        let call = world.call(&mut transaction);
        let desk = Desk::of(&call);
        let told = match what {
            Say::Settled => settle(call.conn, desk, id).await,
            Say::Failed => fail(call.conn, desk, id, "refused").await,
            Say::Expired => expire(call.conn, desk, id).await,
            Say::Unknown => mark_unknown(call.conn, desk, id).await,
        };
        let changed = matches!(told.unwrap(), Told::Changed(_));
        transaction.commit().await.unwrap();
        world.check_invariants().await;
        changed
    }

    async fn begun(world: &World, amount: &str) -> Uuid {
        let input = json!({"customer": "Ali", "amount": amount, "method": "mobile_money", "phone": "0788 123 456"});
        let done = world.agree::<CollectPayment>(input).await.unwrap();
        assert_eq!(done.payment.status, PaymentStatus::Pending);
        done.payment.payment_id
    }

    async fn standing(world: &World) -> (i64, i64, i64) {
        let ali = json!({"customer": "Ali"});
        let at = world.read::<CheckBalance>(ali).await.unwrap();
        (
            at.owed.amount_minor,
            at.wallet.amount_minor,
            at.pending_in.amount_minor,
        )
    }

    #[tokio::test]
    async fn money_that_is_asked_for_is_booked_once_when_it_comes() {
        let world = shop_with_a_bill().await;
        let id = begun(&world, "500").await;
        assert_eq!(standing(&world).await, (320, 0, 500), "nothing has moved");
        assert!(say(&world, id, Say::Settled).await);
        assert_eq!(standing(&world).await, (0, 180, 0), "the rest is Ali's");
        for late in [Say::Settled, Say::Failed, Say::Expired, Say::Unknown] {
            assert!(!say(&world, id, late).await, "{late:?}");
        }
        assert_eq!(standing(&world).await, (0, 180, 0));
    }

    #[tokio::test]
    async fn money_that_comes_after_we_gave_up_is_booked_all_the_same() {
        for given_up in [Say::Failed, Say::Expired] {
            let world = shop_with_a_bill().await;
            let id = begun(&world, "300").await;
            assert!(say(&world, id, Say::Unknown).await);
            assert_eq!(standing(&world).await, (320, 0, 300), "unknown stays open");
            assert!(say(&world, id, given_up).await);
            assert_eq!(standing(&world).await, (320, 0, 0));
            assert!(!say(&world, id, given_up).await);
            assert!(say(&world, id, Say::Settled).await, "after {given_up:?}");
            assert!(!say(&world, id, Say::Settled).await);
            assert_eq!(standing(&world).await, (20, 0, 0));
        }
    }

    #[tokio::test]
    async fn money_for_a_bill_that_is_closed_meanwhile_is_kept_for_the_payer() {
        let world = shop_with_a_bill().await;
        let counter = json!({"lines": [{"item": "sugar", "quantity": "1"}],
                             "payment": {"method": "mobile_money", "phone": "+250788123456"}});
        let done = world.agree::<CreateBill>(counter).await.unwrap();
        assert_eq!(
            done.summary,
            "Created bill INV-2. Total: RWF 160. RWF 160 has been asked for by mobile money (+250788123456); payment PAY-1 is pending."
        );
        let pending = done.pending.unwrap().payment_id;
        world.agree::<VoidBill>(json!({"bill": "2"})).await.unwrap();
        assert!(say(&world, pending, Say::Settled).await);
        let shop = world.read::<CheckBalance>(json!({})).await.unwrap();
        let unclaimed = shop.accounts.iter().find(|a| a.account == "unclaimed");
        assert_eq!(unclaimed.unwrap().balance.amount_minor, 160);

        let ali = json!({"bill": "1", "method": "card"});
        let asked = world.agree::<CollectPayment>(ali).await.unwrap();
        let cash = json!({"bill": "1", "method": "cash", "amount": "300"});
        world.agree::<CollectPayment>(cash).await.unwrap();
        assert!(say(&world, asked.payment.payment_id, Say::Settled).await);
        assert_eq!(standing(&world).await, (0, 300, 0));
        let bill = world.read::<GetBill>(json!({"bill": "1"})).await.unwrap();
        assert_eq!(
            bill.bill.paid.amount_minor, 320,
            "never more than the total"
        );
    }

    #[tokio::test]
    async fn a_refund_that_its_provider_fails_stays_with_the_customer() {
        let world = shop_with_a_bill().await;
        let card = json!({"bill": "1", "method": "card"});
        let paid = world.agree::<CollectPayment>(card).await.unwrap();
        assert!(say(&world, paid.payment.payment_id, Say::Settled).await);
        for (what, wallet) in [(Say::Failed, 100), (Say::Settled, 100)] {
            let refund = json!({"bill": "1", "amount": "100"});
            let done = world.agree::<RefundPayment>(refund).await.unwrap();
            assert_eq!(done.refunds[0].status, PaymentStatus::Pending);
            assert!(say(&world, done.refunds[0].payment_id, what).await);
            assert_eq!(standing(&world).await, (0, wallet, 0), "{what:?}");
        }
        let bill = world.read::<GetBill>(json!({"bill": "1"})).await.unwrap();
        let (paid, credited) = (bill.bill.paid.amount_minor, bill.bill.credited.amount_minor);
        assert_eq!((paid, credited), (120, 200));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_said_eight_times_at_once_is_booked_once() {
        let world = shop_with_a_bill().await;
        let top_up = json!({"customer": "Ali", "amount": "400", "method": "card"});
        let top_up = world.agree::<TopUpWallet>(top_up).await.unwrap();
        let collect = begun(&world, "500").await;
        for id in [top_up.payment.payment_id, collect] {
            let all = (0..8).map(|i| {
                let world = &world;
                async move {
                    let mut transaction = world.begin().await;
                    let call = world.call(&mut transaction);
                    let desk = Desk::of(&call);
                    let told = if i % 4 == 3 {
                        expire(call.conn, desk, id).await
                    } else {
                        settle(call.conn, desk, id).await
                    };
                    told.unwrap();
                    transaction.commit().await.unwrap();
                }
            });
            futures::future::join_all(all).await;
            world.check_invariants().await;
        }
        assert_eq!(standing(&world).await, (0, 580, 0));
    }
}
