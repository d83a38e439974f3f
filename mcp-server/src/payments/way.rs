//! How somebody pays: the method, who moves the money, and which telephone is asked.

use contracts::tools::payment::PaymentMethod;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Direction, Provider};
use crate::error::CallError;
use crate::handler::Call;
use crate::ledger::{self, Account};
use crate::phones::{self, NotAPhone};
use crate::words::payment as words;

/// A way of paying that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Way {
    /// The method.
    pub method: PaymentMethod,
    /// Who moves the money; `None` for what is settled at once.
    pub provider: Option<Provider>,
    /// The payer's telephone, E.164.
    pub phone: Option<String>,
}

/// Reads a telephone number as this shop's people write it.
///
/// # Errors
/// `invalid_arguments` at `field`.
pub(crate) fn phone(call: &Call<'_>, text: &str, field: &str) -> Result<String, CallError> {
    phones::read(text, call.shop.country)
        .map(phones::E164::into_string)
        .map_err(|why| {
            let lacks_country = why == NotAPhone::NoCountry;
            words::bad_phone(call.locale, lacks_country, field).into()
        })
}

/// The way a method is paid. Mobile money asks the telephone given, else the customer's own; a customer principal has only her own asked.
///
/// # Errors
/// `method_unavailable` when nobody is set up for it; `invalid_arguments` at `field` when no telephone is known.
pub(crate) async fn way(
    call: &mut Call<'_>,
    method: PaymentMethod,
    direction: Direction,
    given: Option<String>,
    customer: Option<Uuid>,
    field: &str,
) -> Result<Way, CallError> {
    if matches!(method, PaymentMethod::Cash | PaymentMethod::Wallet) {
        return Ok(Way {
            method,
            provider: None,
            phone: given,
        });
    }
    let Some(provider) = call.providers.serving(method, direction) else {
        return Err(words::method_unavailable(call.locale, method, direction).into());
    };
    let given = given.filter(|_| call.caller.confined_to().is_none());
    let phone = match (given, customer) {
        (Some(phone), _) => Some(phone),
        (None, Some(customer)) => {
            let tenant = call.tenant();
            select_phone(call.conn, tenant, customer).await?
        }
        (None, None) => None,
    };
    if method == PaymentMethod::MobileMoney && phone.is_none() {
        if call.caller.confined_to().is_some() {
            return Err(words::own_phone_needed(call.locale, "method").into());
        }
        return Err(words::phone_needed(call.locale, field).into());
    }
    Ok(Way {
        method,
        provider: Some(provider),
        phone,
    })
}

/// Refuses to take more from a wallet than can be taken.
///
/// # Errors
/// `insufficient_funds` with what is there.
pub(crate) async fn holds(
    call: &mut Call<'_>,
    customer: Uuid,
    name: &str,
    amount_minor: i64,
    field: &str,
) -> Result<(), CallError> {
    let (tenant, currency) = (call.tenant(), call.shop.currency);
    let wallet = ledger::balance(call.conn, tenant, currency, Account::Wallet(customer)).await?;
    let available = contracts::money::Money::minor(wallet.available_minor(), currency);
    if amount_minor > available.amount_minor {
        return Err(words::wallet_too_small(call.locale, name, available, field).into());
    }
    Ok(())
}

/// What a wallet that was emptied meanwhile means to the person; anything else stays what it is.
#[must_use]
pub(crate) fn floor_met(call: &Call<'_>, error: CallError) -> CallError {
    if error.constraint() == Some(ledger::FLOOR) {
        words::wallet_changed(call.locale).into()
    } else {
        error
    }
}

async fn select_phone(
    conn: &mut PgConnection,
    tenant: Uuid,
    customer: Uuid,
) -> Result<Option<String>, sqlx::Error> {
    let found = sqlx::query_scalar!(
        "select phone_e164 from shop.customers where tenant_id = $1 and id = $2",
        tenant,
        customer
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.flatten())
}
