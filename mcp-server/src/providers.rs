//! Who moves money that leaves the process. A provider is asked outside any transaction, always by the payment's own reference: asking again
//! is always safe, and an answer that did not come is asked for under the same reference, never a new one.
//!
//! What a provider says of its own accord (a callback, a webhook) is only a reason to ask: nothing is booked on anybody's word but its answer.

mod momo;
mod stripe;

use chrono::{DateTime, Utc};
use contracts::money::{Currency, Money};
use contracts::tools::payment::PaymentMethod;
use futures::future::BoxFuture;
use migrations::settings::{BadSetting, Reader};
use uuid::Uuid;

use crate::error::CallError;
use crate::handler::Call;
use crate::jobs;
use crate::outgoing::Outgoing;
use crate::payments::{self, Direction, PendingPayment};

pub use momo::MomoSettings;
pub use stripe::StripeSettings;

/// What a provider is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    /// Our payment's id, and the reference under which a provider knows it.
    pub(crate) id: Uuid,
    /// "PAY-3", for people.
    pub(crate) reference: String,
    /// Which shop it is for, for people.
    pub(crate) shop: String,
    /// How much.
    pub(crate) amount: Money,
    /// Which way.
    pub(crate) way: Way,
    /// The provider's own name for it, once it has told.
    pub(crate) provider_ref: Option<String>,
    /// When it was begun.
    pub(crate) begun_at: DateTime<Utc>,
}

/// Which way money goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// To the shop, from whoever has this telephone (E.164), where one is asked.
    In {
        /// The telephone.
        phone: Option<String>,
    },
    /// Back, out of the payment that the provider knows by this name.
    Back {
        /// The provider's name for the payment that is given back.
        of: Option<String>,
    },
}

/// What a provider says of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// The money moved, all of it.
    Moved {
        /// The provider's own name for it.
        provider_ref: Option<String>,
    },
    /// It is under way, or waits for the payer.
    Waiting {
        /// The provider's own name for it, if it told.
        provider_ref: Option<String>,
    },
    /// The money will not move.
    Refused {
        /// The provider's reason: a word or a short sentence.
        why: String,
    },
    /// The provider knows of no such payment: it never arrived.
    Unheard,
    /// Nobody can say.
    Nothing {
        /// What was in the way, for the log.
        why: String,
    },
}

/// One provider.
pub(crate) trait Provider: Send + Sync {
    /// Asks for the money to be moved. Again is not twice: the reference is the same.
    fn request<'a>(
        &'a self,
        http: &'a Outgoing,
        order: &'a Order,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Said>;

    /// Asks what became of it.
    fn status<'a>(
        &'a self,
        http: &'a Outgoing,
        order: &'a Order,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Said>;

    /// Asks for it to be given up, where a provider can, and what became of it in any case.
    fn cancel<'a>(
        &'a self,
        http: &'a Outgoing,
        order: &'a Order,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Said> {
        self.status(http, order, now)
    }
}

/// Which providers this installation is set up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Configured {
    /// MTN `MoMo` collections: mobile money.
    pub momo: bool,
    /// Stripe: cards.
    pub stripe: bool,
}

impl Configured {
    /// Who moves money of this method in this direction; `None` where nobody is set up for it. Cash and wallet need nobody.
    #[must_use]
    pub(crate) const fn serving(
        self,
        method: PaymentMethod,
        direction: Direction,
    ) -> Option<payments::Provider> {
        match (method, direction) {
            // MoMo's collections take money and give none back.
            (PaymentMethod::MobileMoney, Direction::Collect | Direction::TopUp) if self.momo => {
                Some(payments::Provider::Momo)
            }
            (PaymentMethod::Card, _) if self.stripe => Some(payments::Provider::Stripe),
            _ => None,
        }
    }
}

/// Has the provider asked after the commit: part of the same transaction as the pending payment.
///
/// # Errors
/// When the database fails.
pub(crate) async fn request(
    call: &mut Call<'_>,
    pending: &PendingPayment,
) -> Result<(), CallError> {
    let tenant = call.tenant();
    jobs::ask_soon(call.conn, tenant, pending.payment.id).await?;
    Ok(())
}

/// Those that are set up.
#[derive(Default)]
pub struct Providers {
    momo: Option<momo::Momo>,
    stripe: Option<stripe::Stripe>,
}

impl std::fmt::Debug for Providers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Providers")
            .field("momo", &self.momo.is_some())
            .field("stripe", &self.stripe.is_some())
            .finish()
    }
}

/// The settings of every provider: absent ones are not set up.
#[derive(Debug, Clone, Default)]
pub struct ProviderSettings {
    /// `MOMO_…`.
    pub momo: Option<MomoSettings>,
    /// `STRIPE_…`.
    pub stripe: Option<StripeSettings>,
}

impl ProviderSettings {
    /// Reads them.
    ///
    /// # Errors
    /// One line naming a variable that is wrong, or that is missing beside others.
    pub fn read(settings: &Reader) -> Result<ProviderSettings, BadSetting> {
        Ok(ProviderSettings {
            momo: MomoSettings::read(settings)?,
            stripe: StripeSettings::read(settings)?,
        })
    }
}

impl Providers {
    /// Those of the settings.
    #[must_use]
    pub fn new(settings: &ProviderSettings) -> Providers {
        Providers {
            momo: settings.momo.clone().map(momo::Momo::new),
            stripe: settings.stripe.clone().map(stripe::Stripe::new),
        }
    }

    /// Which those are.
    #[must_use]
    pub const fn configured(&self) -> Configured {
        Configured {
            momo: self.momo.is_some(),
            stripe: self.stripe.is_some(),
        }
    }

    /// The provider of this name (`momo`, `stripe`), if it is set up.
    pub(crate) fn named(&self, name: &str) -> Option<&dyn Provider> {
        match name {
            "momo" => self.momo.as_ref().map(|p| p as &dyn Provider),
            "stripe" => self.stripe.as_ref().map(|p| p as &dyn Provider),
            _ => None,
        }
    }

    /// The payment a Stripe event is about, if the event is really Stripe's.
    pub(crate) fn stripe_event(&self, header: &str, body: &[u8], now: DateTime<Utc>) -> Heard {
        self.stripe
            .as_ref()
            .map_or(Heard::NotSetUp, |stripe| stripe.heard(header, body, now))
    }

    /// Whether callbacks of MoMo are expected.
    pub(crate) fn has_momo(&self) -> bool {
        self.momo.is_some()
    }

    /// Our payment's id in the reference MoMo knows it by.
    pub(crate) fn momo_payment(reference: &str) -> Option<Uuid> {
        momo::payment_id(reference)
    }
}

/// What an event from outside turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Nobody is expected to send any.
    NotSetUp,
    /// Not from who it says, or from long ago.
    Forged,
    /// Genuine and about nothing of ours.
    Other,
    /// About this payment.
    Payment(Uuid),
}

/// An amount in a provider's own smallest coin, where that differs from the currency's: `None` when it cannot be told in it.
fn in_coins(amount: Money, coin_exponent: u32, coins_step: i64) -> Option<i64> {
    let own = amount.currency.exponent();
    let coins = if coin_exponent >= own {
        amount
            .amount_minor
            .checked_mul(10_i64.checked_pow(coin_exponent - own)?)?
    } else {
        let step = 10_i64.checked_pow(own - coin_exponent)?;
        (amount.amount_minor % step == 0).then(|| amount.amount_minor / step)?
    };
    (coins > 0 && coins % coins_step == 0).then_some(coins)
}

/// What people at the provider's end read: plain letters, short.
fn plain(text: &str, chars_max: usize) -> String {
    deunicode::deunicode(text)
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, ' ' | '-' | '.'))
        .take(chars_max)
        .collect::<String>()
        .trim()
        .to_owned()
}

/// The currency of a word, for comparing what a provider says with what was asked.
fn is_currency(word: &str, currency: Currency) -> bool {
    word.eq_ignore_ascii_case(currency.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_read_is_plain() {
        assert_eq!(plain("Café \"Ñandú\" <x>", 40), "Cafe Nandu x");
        assert_eq!(plain("abcdef", 3), "abc");
    }
}
