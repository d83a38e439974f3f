//! What a tool's file provides: one of three traits, by the tool's effect.
//!
//! The call path (`call.rs`) has already named the caller, opened a transaction with the tenant set, and checked the idempotency key. It
//! commits, writes the audit row and answers. A handler reads, checks, writes, and says what it did.

use std::future::Future;
use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use contracts::confirmation::PreviewLine;
use contracts::ids::TenantId;
use contracts::locale::Locale;
use contracts::money::{Currency, Money};
use contracts::tool::{Commit, Read, Tool, Write};
use migrations::clock::Clock;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::caller::Caller;
use crate::error::CallError;
use crate::phones::Country;
use crate::providers::Configured;

/// What the business has settled for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shop {
    /// The business.
    pub tenant: TenantId,
    /// Its name.
    pub name: String,
    /// The one currency of its prices and bills.
    pub currency: Currency,
    /// Where telephone numbers without a country code belong; `None` until the owner has said so.
    pub country: Option<Country>,
    /// Where its days begin.
    pub time_zone: Tz,
    /// The language when a request names none.
    pub locale: Locale,
    /// Prices include tax.
    pub tax_inclusive: bool,
    /// Stock may go below zero.
    pub allow_negative_stock: bool,
    /// How long a question stays open.
    pub confirmation_ttl: Duration,
    /// How a client that cannot be asked gets its yes.
    pub unasked_clients: UnaskedClients,
}

/// How a client that can neither elicit nor be elicited from gets its yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnaskedClients {
    /// The person answers on our page.
    Page,
    /// The client passes a token back, and the audit says so.
    Token,
    /// Not at all.
    Refuse,
}

/// One call, inside its transaction.
pub struct Call<'a> {
    /// The transaction's connection, with the tenant set.
    pub conn: &'a mut PgConnection,
    /// The business.
    pub shop: &'a Shop,
    /// Who is calling.
    pub caller: &'a Caller,
    /// The language of the answer.
    pub locale: Locale,
    /// The time of the call: every row it writes carries this one.
    pub now: DateTime<Utc>,
    /// Where people reach our pages: `http://127.0.0.1:8001`.
    pub public_url: &'a str,
    /// Which providers of payments can be asked.
    pub providers: Configured,
    /// The question this call answers; what is held for it is the call's own.
    pub confirmation: Option<Uuid>,
    pub(crate) clock: &'a dyn Clock,
}

impl Call<'_> {
    /// The tenant every query names first.
    #[must_use]
    pub fn tenant(&self) -> Uuid {
        self.shop.tenant.0
    }

    /// A new id, ordered by time.
    #[must_use]
    pub fn new_id(&self) -> Uuid {
        migrations::clock::new_id(self.clock)
    }
}

/// What an effect leaves in the audit log.
#[derive(Debug, Clone, PartialEq)]
pub struct Audit {
    /// What it was done to: `item:<uuid>`, `bill:<uuid>`.
    pub subject: String,
    /// What it was; `None` for something new.
    pub before: Option<Value>,
    /// What it is now.
    pub after: Option<Value>,
}

/// Something that happened to the business and that other programs may want to know: one row of the outbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What happened: `bill.issued`, `payment.settled`, `booking.changed`, `stock.low`.
    pub topic: &'static str,
    /// What it happened to: `bill:<uuid>`.
    pub subject: String,
    /// What a receiver is told.
    pub data: Value,
}

/// An output with the trace it leaves.
#[derive(Debug)]
pub struct Effected<O> {
    /// The tool's result.
    pub output: O,
    /// Its one audit row.
    pub audit: Audit,
    /// What others are told of it, written with the audit row.
    pub events: Vec<Event>,
}

/// What a person is asked, and what the tool will do if they agree.
#[derive(Debug)]
pub struct Prepared<P> {
    /// Everything `execute` needs, recomputed by `prepare` in the transaction of the yes.
    pub plan: P,
    /// The sentence the person is shown, in the request's locale.
    pub message: String,
    /// The lines behind it.
    pub lines: Vec<PreviewLine>,
    /// What it comes to; also what a policy `above <amount>` looks at.
    pub total: Option<Money>,
    /// What is agreed to: resolved ids, quantities, prices, tax, total. Canonical: equal agreements are equal values.
    pub binding: Value,
    /// What may change without voiding the question.
    pub informative: Value,
}

/// A tool that changes nothing.
pub trait ReadTool: Tool<Kind = Read> {
    /// Answers.
    fn read(
        call: &mut Call<'_>,
        input: Self::Input,
    ) -> impl Future<Output = Result<Self::Output, CallError>> + Send;
}

/// A tool whose effect can be undone.
pub trait WriteTool: Tool<Kind = Write> {
    /// Does it. On an error everything it wrote is rolled back.
    fn write(
        call: &mut Call<'_>,
        input: Self::Input,
    ) -> impl Future<Output = Result<Effected<Self::Output>, CallError>> + Send;
}

/// A question that is about to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    /// Its id.
    pub confirmation_id: Uuid,
    /// When it lapses, and with it what is held for it.
    pub expires_at: DateTime<Utc>,
}

/// A tool that needs a countersignature.
pub trait CommitTool: Tool<Kind = Commit> {
    /// What `prepare` worked out for `execute`.
    type Plan: Send + Sync;
    /// Validates, resolves names, computes the preview. Writes nothing. Runs once for the question and again for the yes.
    fn prepare(
        call: &mut Call<'_>,
        input: &Self::Input,
    ) -> impl Future<Output = Result<Prepared<Self::Plan>, CallError>> + Send;
    /// Does what was agreed to, in the transaction in which `prepare` has just been repeated.
    fn execute(
        call: &mut Call<'_>,
        input: Self::Input,
        plan: Self::Plan,
    ) -> impl Future<Output = Result<Effected<Self::Output>, CallError>> + Send;
    /// Keeps what the question is about from others until it is answered or lapses, in the transaction that stores the question.
    /// Not called where nobody is asked. What it holds has to end by itself at `open.expires_at`: nobody may come and say so.
    fn hold(
        _call: &mut Call<'_>,
        _plan: &Self::Plan,
        _open: Open,
    ) -> impl Future<Output = Result<(), CallError>> + Send {
        async { Ok(()) }
    }
    /// Gives back what [`CommitTool::hold`] kept: the question was declined, has lapsed, failed, or another takes its place.
    fn release(
        _conn: &mut PgConnection,
        _tenant: Uuid,
        _confirmation_id: Uuid,
        _now: DateTime<Utc>,
    ) -> impl Future<Output = Result<(), CallError>> + Send {
        async { Ok(()) }
    }
}
