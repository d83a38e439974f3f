//! Asks a provider about one payment: for the money, then what became of it, and books what it says. One job for all of it, because what
//! is to be asked next stands in the payment's own row and not in the queue.
//!
//! The provider is asked between two transactions. A crash in between leaves a claim that lapses, and asking again is always safe: the
//! reference stays the same. When nobody can say what became of it, a person is told so (`unknown`) and asking goes on.

use chrono::{DateTime, TimeDelta, Utc};
use contracts::ids::TenantId;
use contracts::tools::payment::PaymentStatus;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Job, Wanted, enqueue};
use crate::app::App;
use crate::audit;
use crate::error::CallError;
use crate::handler::Shop;
use crate::ledger::Desk;
use crate::payments::{self, Direction, PendingPayment, Told};
use crate::providers::{Order, Said, Way};

/// A claim lasts longer than asking can: a token, the request, both once more.
const LEASE: TimeDelta = TimeDelta::seconds(60);
/// Pauses between looks while the payer is expected to answer, seconds; the last one stays.
const PAYER_PAUSES_S: [i64; 7] = [2, 3, 5, 8, 13, 20, 30];
/// Pauses while the provider cannot be asked, seconds; the last one stays.
const SILENCE_PAUSES_S: [i64; 7] = [5, 10, 20, 40, 80, 160, 300];
/// Between looks at what should long have ended.
const OVERDUE_PAUSE: TimeDelta = TimeDelta::minutes(10);
/// The same, once a person has been told.
const LONG_OVERDUE_PAUSE: TimeDelta = TimeDelta::hours(3);
/// How long after its end a payment that the provider still calls open is shown as unknown.
const OVERDUE: TimeDelta = TimeDelta::hours(1);
/// How long a provider may be silent before a person is told that nobody knows.
const SILENCE_MAX: TimeDelta = TimeDelta::minutes(15);
/// After this nobody is asked any more; what is unknown then stays visible for a person to settle.
const ASKED_FOR: TimeDelta = TimeDelta::days(30);
/// What is kept of a provider's reason, characters.
const KEPT_CHARS: usize = 200;

/// See the module. The job's id is the payment's.
pub(super) struct AskProvider;

impl Job for AskProvider {
    const NAME: &'static str = "ask_provider";

    async fn run(app: &App, tenant: TenantId, id: Uuid) -> Result<(), CallError> {
        let now = app.clock.now();
        let mut tx = app.begin(tenant).await?;
        let Some(claimed) = claim(&mut tx, tenant, id, now, now + LEASE).await? else {
            return Ok(());
        };
        let shop = app.shop(&mut tx, tenant).await?;
        let pending = payments::load(&mut tx, desk(app, &shop, "provider", now), id).await?;
        tx.commit().await?;
        let asked = Asked {
            pending: pending
                .ok_or_else(|| CallError::Broken(format!("payment {id} has no provider")))?,
            claimed,
        };
        let said = ask(app, &asked, &shop.name, now).await;
        let now = app.clock.now();
        let verdict = judge(&asked, said, now);
        let mut tx = app.begin(tenant).await?;
        let actor = asked.pending.provider.word();
        book(&mut tx, desk(app, &shop, actor, now), &asked, &verdict).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// The job for a payment.
pub(super) fn wanted(tenant: Uuid, payment: Uuid) -> Wanted {
    Wanted::of::<AskProvider>(tenant, payment)
}

/// Payments whose provider is to be asked now.
pub(super) async fn due(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    most: i32,
) -> Result<Vec<Wanted>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select tenant as "tenant!", payment as "payment!" from shop.due_payments($1, $2)"#,
        now,
        most
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .iter()
        .map(|row| wanted(row.tenant, row.payment))
        .collect())
}

/// Has a provider asked about a payment at once, because it has said something. False when there is no such payment.
pub(super) async fn at_once(app: &App, provider: &str, id: Uuid) -> Result<bool, CallError> {
    let tenant = tenant_of(&mut *app.pool.acquire().await?, provider, id).await?;
    let Some(tenant) = tenant.map(TenantId) else {
        return Ok(false);
    };
    let mut tx = app.begin(tenant).await?;
    hurry(&mut tx, tenant, id, app.clock.now()).await?;
    enqueue(&mut tx, &[wanted(tenant.0, id)]).await?;
    tx.commit().await?;
    Ok(true)
}

fn desk<'a>(app: &'a App, shop: &Shop, actor: &'a str, now: DateTime<Utc>) -> Desk<'a> {
    Desk {
        tenant: shop.tenant.0,
        currency: shop.currency,
        actor,
        now,
        clock: &*app.clock,
    }
}

/// How far asking has come, as it was claimed.
#[derive(Debug, Clone)]
struct Claimed {
    /// `request` or `poll`.
    step: String,
    /// This one included.
    attempts: i32,
    silent_since: Option<DateTime<Utc>>,
}

/// A payment that is being asked about.
#[derive(Debug, Clone)]
struct Asked {
    pending: PendingPayment,
    claimed: Claimed,
}

impl Asked {
    /// Nobody waits for it any more: the payer had the time there was. A refund has all the time it needs.
    fn is_over(&self, now: DateTime<Utc>) -> bool {
        let payment = &self.pending.payment;
        payment.direction != Direction::Refund && payment.expires_at.is_some_and(|end| end <= now)
    }

    /// Whether it is still open on our side.
    fn is_open(&self) -> bool {
        matches!(
            self.pending.payment.status,
            PaymentStatus::Pending | PaymentStatus::Unknown
        )
    }

    /// Nothing can have been sent: this is the first claim.
    fn is_untouched(&self) -> bool {
        self.claimed.step == "request" && self.claimed.attempts == 1
    }

    fn order(&self, shop: &str) -> Order {
        let payment = &self.pending.payment;
        Order {
            id: payment.id,
            reference: payment.reference(),
            shop: shop.to_owned(),
            amount: payment.amount,
            way: match payment.direction {
                Direction::Collect | Direction::TopUp => Way::In {
                    phone: payment.phone.clone(),
                },
                Direction::Refund => Way::Back {
                    of: self.pending.refunds_ref.clone(),
                },
            },
            provider_ref: payment.provider_ref.clone(),
            begun_at: payment.begun_at,
        }
    }
}

async fn ask(app: &App, asked: &Asked, shop: &str, now: DateTime<Utc>) -> Said {
    let word = asked.pending.provider.word();
    let Some(provider) = app.providers.named(word) else {
        return Said::Nothing {
            why: format!("{word} is not set up any more"),
        };
    };
    let order = asked.order(shop);
    let (is_over, is_open) = (asked.is_over(now), asked.is_open());
    match asked.claimed.step.as_str() {
        // Begun so long ago that the payer has gone, and never asked for.
        "request" if is_over && asked.is_untouched() => Said::Unheard,
        "request" if !is_over && is_open => provider.request(&app.outgoing, &order, now).await,
        _ if is_over && is_open => provider.cancel(&app.outgoing, &order, now).await,
        _ => provider.status(&app.outgoing, &order, now).await,
    }
}

/// What follows from what was said.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    outcome: Outcome,
    provider_ref: Option<String>,
    /// What is asked next, and when.
    next: Option<(&'static str, DateTime<Utc>)>,
    silent_since: Option<DateTime<Utc>>,
    why: Option<String>,
}

/// What becomes of the payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Settle,
    Fail,
    Expire,
    TellUnknown,
    Stays,
}

/// Pure: the whole life of a payment with its provider.
fn judge(asked: &Asked, said: Said, now: DateTime<Utc>) -> Verdict {
    let mut verdict = Verdict {
        outcome: Outcome::Stays,
        provider_ref: None,
        next: None,
        silent_since: None,
        why: None,
    };
    let payment = &asked.pending.payment;
    let attempts = asked.claimed.attempts;
    match said {
        Said::Moved { provider_ref } => {
            verdict.outcome = Outcome::Settle;
            verdict.provider_ref = provider_ref;
        }
        Said::Refused { why } => {
            verdict.outcome = Outcome::Fail;
            verdict.why = Some(why);
        }
        Said::Unheard if asked.is_over(now) || !asked.is_open() => {
            verdict.outcome = Outcome::Expire;
        }
        // It never arrived: the same request once more, under the same reference.
        Said::Unheard => verdict.next = Some(("request", now + pause(&PAYER_PAUSES_S, attempts))),
        Said::Waiting { provider_ref } => {
            verdict.provider_ref = provider_ref;
            let ended = payment.expires_at.unwrap_or(payment.begun_at);
            let rest = if now < ended {
                pause(&PAYER_PAUSES_S, attempts)
            } else if now - ended < OVERDUE {
                OVERDUE_PAUSE
            } else {
                LONG_OVERDUE_PAUSE
            };
            verdict.next = Some(("poll", now + rest));
            if asked.is_over(now) && now - ended >= OVERDUE {
                verdict.outcome = Outcome::TellUnknown;
            }
        }
        Said::Nothing { why } => {
            let since = asked.claimed.silent_since.unwrap_or(now);
            verdict.silent_since = Some(since);
            verdict.why = Some(why);
            // It may have arrived: from now on we ask what became of it.
            verdict.next = Some(("poll", now + pause(&SILENCE_PAUSES_S, attempts)));
            if asked.is_over(now) || now - since >= SILENCE_MAX {
                verdict.outcome = Outcome::TellUnknown;
            }
        }
    }
    if now - payment.begun_at > ASKED_FOR {
        verdict.next = None;
    }
    verdict
}

/// The pause after this many attempts.
fn pause(pauses_s: &[i64], attempts: i32) -> TimeDelta {
    let index = usize::try_from(attempts).unwrap_or(1).saturating_sub(1);
    let seconds = pauses_s.get(index).or_else(|| pauses_s.last()).copied();
    TimeDelta::seconds(seconds.unwrap_or(60))
}

/// Books what was said, with its trace, and notes what is asked next.
async fn book(
    conn: &mut PgConnection,
    desk: Desk<'_>,
    asked: &Asked,
    verdict: &Verdict,
) -> Result<(), CallError> {
    let id = asked.pending.payment.id;
    let why = verdict.why.as_deref().unwrap_or_default();
    let why: String = why.chars().take(KEPT_CHARS).collect();
    let told = match verdict.outcome {
        Outcome::Settle => Some(payments::settle(conn, desk, id).await?),
        Outcome::Fail => Some(payments::fail(conn, desk, id, &why).await?),
        Outcome::Expire => Some(payments::expire(conn, desk, id).await?),
        Outcome::TellUnknown => Some(payments::mark_unknown(conn, desk, id).await?),
        Outcome::Stays => None,
    };
    match told {
        Some(Told::Changed(changed)) => {
            let payment = &changed.payment;
            // Without `why`: it is a provider's free text, about somebody's telephone or card. It stands with the payment.
            tracing::info!(tenant = %desk.tenant, payment = payment.reference(), status = ?payment.status, "a payment changed");
            audit::write_told(conn, desk, "provider", &changed.audit, &changed.events).await?;
        }
        Some(Told::Already(status)) => {
            tracing::debug!(tenant = %desk.tenant, payment = %id, ?status, "a payment was told what it knew");
        }
        None => {}
    }
    if let Some(provider_ref) = &verdict.provider_ref {
        payments::keep_provider_ref(conn, desk.tenant, id, provider_ref).await?;
    }
    let (step, next_at) = verdict.next.unzip();
    note(
        conn,
        desk.tenant,
        id,
        asked.claimed.attempts,
        step,
        next_at,
        verdict.silent_since,
        Some(why).filter(|w| !w.is_empty()).as_deref(),
    )
    .await?;
    Ok(())
}

/// The first claim makes the row.
async fn claim(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    now: DateTime<Utc>,
    lease_until: DateTime<Utc>,
) -> Result<Option<Claimed>, sqlx::Error> {
    sqlx::query_as!(
        Claimed,
        "insert into shop.payment_requests as r (tenant_id, payment_id, step, attempts, next_at) values ($1, $2, 'request', 1, $4)
         on conflict (tenant_id, payment_id) do update set attempts = r.attempts + 1, next_at = $4 where r.next_at <= $3
         returning step, attempts, silent_since",
        tenant.0,
        id,
        now,
        lease_until
    )
    .fetch_optional(conn)
    .await
}

/// Only by whoever claimed last: an older answer does not undo what a newer one found.
#[expect(clippy::too_many_arguments, reason = "one per column")]
async fn note(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
    attempts: i32,
    step: Option<&str>,
    next_at: Option<DateTime<Utc>>,
    silent_since: Option<DateTime<Utc>>,
    last_error: Option<&str>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update shop.payment_requests set step = coalesce($4, step), next_at = $5, silent_since = $6, last_error = $7
         where tenant_id = $1 and payment_id = $2 and attempts = $3",
        tenant,
        id,
        attempts,
        step,
        next_at,
        silent_since,
        last_error
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Nothing to do where nobody has begun to ask: the next look finds it.
async fn hurry(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update shop.payment_requests set step = 'poll', next_at = $3 where tenant_id = $1 and payment_id = $2",
        tenant.0,
        id,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn tenant_of(
    conn: &mut PgConnection,
    provider: &str,
    id: Uuid,
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!("select shop.tenant_of_payment($1, $2)", provider, id)
        .fetch_one(conn)
        .await
}

#[cfg(test)]
mod tests {
    use contracts::money::Money;
    use contracts::tools::payment::PaymentMethod;

    use super::*;
    use crate::payments::{Payment, Provider};

    const BEGUN: i64 = 1_800_000_000;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(BEGUN + seconds, 0).unwrap()
    }

    fn asked(step: &str, attempts: i32) -> Asked {
        let payment = Payment {
            id: Uuid::from_u128(1),
            number: 1,
            direction: Direction::Collect,
            method: PaymentMethod::MobileMoney,
            provider: Some(Provider::Momo),
            provider_ref: None,
            status: PaymentStatus::Pending,
            amount: Money::minor(5_000, "RWF".parse().unwrap()),
            refunded_minor: 0,
            customer_id: None,
            bill_id: None,
            phone: Some("+250788123456".to_owned()),
            refunds: None,
            transfer_id: None,
            failure: None,
            begun_at: at(0),
            expires_at: Some(at(900)),
        };
        Asked {
            pending: PendingPayment {
                payment,
                provider: Provider::Momo,
                refunds_ref: None,
            },
            claimed: Claimed {
                step: step.to_owned(),
                attempts,
                silent_since: None,
            },
        }
    }

    fn waiting() -> Said {
        Said::Waiting { provider_ref: None }
    }

    fn nothing() -> Said {
        Said::Nothing {
            why: "HTTP 503".to_owned(),
        }
    }

    #[test]
    fn a_payer_is_waited_for_until_the_end_and_shown_as_unknown_an_hour_later() {
        let outcome = |seconds| {
            let verdict = judge(&asked("poll", 9), waiting(), at(seconds));
            let pause_s = verdict
                .next
                .map(|(_, next)| (next - at(seconds)).num_seconds());
            (verdict.outcome, pause_s)
        };
        assert_eq!(outcome(60), (Outcome::Stays, Some(30)));
        assert_eq!(outcome(901), (Outcome::Stays, Some(600)));
        assert_eq!(
            outcome(900 + 3_600),
            (Outcome::TellUnknown, Some(3 * 3_600))
        );
        assert_eq!(outcome(31 * 86_400), (Outcome::TellUnknown, None));
        let mut refund = asked("poll", 1);
        refund.pending.payment.direction = Direction::Refund;
        let verdict = judge(&refund, waiting(), at(5 * 86_400));
        assert_eq!(verdict.outcome, Outcome::Stays, "refunds take days");
    }

    #[test]
    fn silence_is_asked_about_under_the_same_reference_and_told_after_a_quarter_of_an_hour() {
        let first = judge(&asked("request", 1), nothing(), at(1));
        assert_eq!(first.outcome, Outcome::Stays);
        assert_eq!(first.next, Some(("poll", at(6))), "it may have arrived");
        assert_eq!(first.silent_since, Some(at(1)));
        let mut later = asked("poll", 7);
        later.claimed.silent_since = Some(at(1));
        assert_eq!(judge(&later, nothing(), at(800)).outcome, Outcome::Stays);
        let told = judge(&later, nothing(), at(901));
        assert_eq!(told.outcome, Outcome::TellUnknown);
        assert_eq!(told.next, Some(("poll", at(1_201))), "asking goes on");
        assert_eq!(judge(&later, waiting(), at(300)).silent_since, None);
    }

    #[test]
    fn what_never_arrived_is_asked_for_again_while_the_payer_waits_and_lapses_afterwards() {
        let early = judge(&asked("poll", 2), Said::Unheard, at(30));
        assert_eq!(
            (early.outcome, early.next),
            (Outcome::Stays, Some(("request", at(33))))
        );
        let late = judge(&asked("poll", 2), Said::Unheard, at(900));
        assert_eq!((late.outcome, late.next), (Outcome::Expire, None));
        let mut expired = asked("poll", 2);
        expired.pending.payment.status = PaymentStatus::Expired;
        assert_eq!(judge(&expired, Said::Unheard, at(30)).next, None);
    }

    #[test]
    fn an_end_is_an_end() {
        let moved = Said::Moved {
            provider_ref: Some("7".to_owned()),
        };
        for seconds in [1, 899, 901, 86_400, 40 * 86_400] {
            let verdict = judge(&asked("poll", 3), moved.clone(), at(seconds));
            assert_eq!((verdict.outcome, verdict.next), (Outcome::Settle, None));
            let refused = Said::Refused {
                why: "NO".to_owned(),
            };
            let verdict = judge(&asked("poll", 3), refused, at(seconds));
            assert_eq!((verdict.outcome, verdict.next), (Outcome::Fail, None));
        }
    }
}
