//! MTN MoMo Collections: a request to pay that the payer answers on the telephone. <https://momodeveloper.mtn.com>, version 1.0.
//!
//! Its callbacks carry no signature, so they are never believed: they make us ask.

use std::sync::Mutex;

use chrono::{DateTime, TimeDelta, Utc};
use contracts::money::Money;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use migrations::settings::{BadSetting, Reader};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Order, Provider, Said, Way, is_currency, plain};
use crate::outgoing::{Answered, NoAnswer, Outgoing};

/// A token is used until this long before it ends, seconds.
const TOKEN_MARGIN_S: i64 = 60;
/// Longest message to payer and payee, characters.
const MESSAGE_CHARS_MAX: usize = 160;

/// The settings of MoMo.
#[derive(Clone)]
pub struct MomoSettings {
    base_url: String,
    subscription_key: String,
    api_user: String,
    api_key: String,
    target_environment: String,
    callback_url: Option<String>,
}

/// Without the keys.
impl std::fmt::Debug for MomoSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MomoSettings")
            .field("base_url", &self.base_url)
            .field("target_environment", &self.target_environment)
            .finish_non_exhaustive()
    }
}

impl MomoSettings {
    /// Reads `MOMO_…`; nothing without any of its keys.
    pub(super) fn read(settings: &Reader) -> Result<Option<MomoSettings>, BadSetting> {
        let base_url: String = settings.parsed(
            "MOMO_BASE_URL",
            "https://sandbox.momodeveloper.mtn.com",
            "the address of the MoMo API",
        )?;
        let target_environment = settings.parsed(
            "MOMO_TARGET_ENVIRONMENT",
            "sandbox",
            "sandbox, or the environment MTN has named, such as mtnrwanda",
        )?;
        let callback_url = settings
            .optional("MOMO_CALLBACK_URL")
            .map(|url| url.trim_end_matches('/').to_owned());
        let names = ["MOMO_SUBSCRIPTION_KEY", "MOMO_API_USER", "MOMO_API_KEY"];
        let keys = names.map(|name| settings.optional(name));
        if keys.iter().all(Option::is_none) {
            return Ok(None);
        }
        let missing = names
            .iter()
            .zip(&keys)
            .find(|(_, key)| key.is_none())
            .map(|(name, _)| (*name).to_owned());
        let [Some(subscription_key), Some(api_user), Some(api_key)] = keys else {
            return Err(BadSetting {
                name: missing.unwrap_or_default(),
                value: String::new(),
                accepts: "a value, because other keys of MoMo are set".to_owned(),
            });
        };
        Ok(Some(MomoSettings {
            base_url: base_url.trim_end_matches('/').to_owned(),
            subscription_key,
            api_user,
            api_key,
            target_environment,
            callback_url,
        }))
    }
}

/// MoMo, as one merchant.
pub(super) struct Momo {
    settings: MomoSettings,
    /// A hint: without it another is asked for.
    token: Mutex<Option<Token>>,
}

#[derive(Clone)]
struct Token {
    text: String,
    good_until: DateTime<Utc>,
}

impl Momo {
    pub(super) fn new(settings: MomoSettings) -> Momo {
        Momo {
            settings,
            token: Mutex::new(None),
        }
    }

    /// A token that is good now, asked for if there is none.
    async fn token(&self, http: &Outgoing, now: DateTime<Utc>) -> Result<String, String> {
        let kept = self.token.lock().ok().and_then(|t| t.clone());
        if let Some(token) = kept.filter(|t| t.good_until > now) {
            return Ok(token.text);
        }
        let client = http.client().map_err(|e| e.to_string())?;
        let request = client
            .post(format!("{}/collection/token/", self.settings.base_url))
            .basic_auth(&self.settings.api_user, Some(&self.settings.api_key))
            .header("Ocp-Apim-Subscription-Key", &self.settings.subscription_key)
            .header("content-length", "0");
        let answered = http.send(request).await.map_err(|e| e.to_string())?;
        if answered.status != 200 {
            return Err(format!("token: HTTP {}", answered.status));
        }
        let given: TokenGiven =
            serde_json::from_slice(&answered.body).map_err(|e| format!("token: {e}"))?;
        let good_until =
            now + TimeDelta::seconds(given.expires_in.clamp(0, 86_400) - TOKEN_MARGIN_S);
        if let Ok(mut kept) = self.token.lock() {
            *kept = Some(Token {
                text: given.access_token.clone(),
                good_until,
            });
        }
        Ok(given.access_token)
    }

    fn forget_token(&self) {
        if let Ok(mut kept) = self.token.lock() {
            *kept = None;
        }
    }

    /// Sends with a token, and once more with a new one if that one is refused.
    async fn send(
        &self,
        http: &Outgoing,
        now: DateTime<Utc>,
        request: impl Fn(&reqwest::Client) -> reqwest::RequestBuilder,
    ) -> Result<Answered, String> {
        let mut tries_left = 2;
        loop {
            let token = self.token(http, now).await?;
            let client = http.client().map_err(|e| e.to_string())?;
            let built = request(client)
                .bearer_auth(token)
                .header("X-Target-Environment", &self.settings.target_environment)
                .header("Ocp-Apim-Subscription-Key", &self.settings.subscription_key);
            let answered = http
                .send(built)
                .await
                .map_err(|e: NoAnswer| e.to_string())?;
            tries_left -= 1;
            if answered.status != 401 || tries_left == 0 {
                return Ok(answered);
            }
            self.forget_token();
        }
    }

    async fn ask(&self, http: &Outgoing, order: &Order, now: DateTime<Utc>) -> Said {
        let Way::In { phone: Some(phone) } = &order.way else {
            return Said::Refused {
                why: "MoMo moves money from a telephone's account only".to_owned(),
            };
        };
        let body = requested(order, phone);
        let url = format!("{}/collection/v1_0/requesttopay", self.settings.base_url);
        let reference = reference_of(order.id);
        let sent = self
            .send(http, now, |client| {
                let request = client
                    .post(&url)
                    .header("X-Reference-Id", reference.to_string())
                    .json(&body);
                match &self.settings.callback_url {
                    Some(base) => request.header(
                        "X-Callback-Url",
                        format!("{base}/providers/momo/callback/{reference}"),
                    ),
                    None => request,
                }
            })
            .await;
        match sent {
            Ok(answered) => accepted(&answered),
            Err(why) => Said::Nothing { why },
        }
    }

    async fn look(&self, http: &Outgoing, order: &Order, now: DateTime<Utc>) -> Said {
        let url = format!(
            "{}/collection/v1_0/requesttopay/{}",
            self.settings.base_url,
            reference_of(order.id)
        );
        match self.send(http, now, |client| client.get(&url)).await {
            Ok(answered) => told(&answered, order.amount),
            Err(why) => Said::Nothing { why },
        }
    }
}

impl Provider for Momo {
    fn request<'a>(
        &'a self,
        http: &'a Outgoing,
        order: &'a Order,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Said> {
        self.ask(http, order, now).boxed()
    }

    fn status<'a>(
        &'a self,
        http: &'a Outgoing,
        order: &'a Order,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Said> {
        self.look(http, order, now).boxed()
    }
}

#[derive(Deserialize)]
struct TokenGiven {
    access_token: String,
    expires_in: i64,
}

/// The body of a request to pay.
fn requested(order: &Order, phone: &str) -> Value {
    let message = plain(
        &format!("{} {}", order.shop, order.reference),
        MESSAGE_CHARS_MAX,
    );
    json!({
        "amount": order.amount.number(),
        "currency": order.amount.currency.code(),
        "externalId": order.reference,
        "payer": {"partyIdType": "MSISDN", "partyId": phone.trim_start_matches('+')},
        "payerMessage": message,
        "payeeNote": message,
    })
}

/// What its answer to a request means.
fn accepted(answered: &Answered) -> Said {
    match answered.status {
        202 => Said::Waiting { provider_ref: None },
        // Of this reference it has heard before: what became of it is asked next.
        409 => Said::Waiting { provider_ref: None },
        400 => Said::Refused {
            why: reason(&answered.body),
        },
        // Keys, quotas, outages: nothing a payer can do, and nothing that says no for good.
        status => Said::Nothing {
            why: format!("HTTP {status} {}", reason(&answered.body)),
        },
    }
}

/// What its answer about a request means.
fn told(answered: &Answered, amount: Money) -> Said {
    match answered.status {
        200 => {}
        404 => return Said::Unheard,
        status => {
            return Said::Nothing {
                why: format!("HTTP {status} {}", reason(&answered.body)),
            };
        }
    }
    let Ok(result) = serde_json::from_slice::<Value>(&answered.body) else {
        return Said::Nothing {
            why: "an answer that is not JSON".to_owned(),
        };
    };
    let text = |name: &str| match &result[name] {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    match text("status").as_deref() {
        Some("SUCCESSFUL") if is_all(text("amount"), text("currency"), amount) => Said::Moved {
            provider_ref: text("financialTransactionId"),
        },
        Some("SUCCESSFUL") => Said::Nothing {
            why: format!(
                "another amount than {} moved: {:?} {:?}",
                amount.number(),
                text("amount"),
                text("currency")
            ),
        },
        Some("FAILED" | "REJECTED" | "TIMEOUT") => Said::Refused {
            why: reason(&answered.body),
        },
        Some("PENDING" | "CREATED" | "ONGOING") => Said::Waiting { provider_ref: None },
        other => Said::Nothing {
            why: format!("an unknown status {other:?}"),
        },
    }
}

fn is_all(amount: Option<String>, currency: Option<String>, asked: Money) -> bool {
    let same = |text: String| {
        let (Ok(moved), Ok(asked)) = (
            text.parse::<rust_decimal::Decimal>(),
            asked.number().parse::<rust_decimal::Decimal>(),
        ) else {
            return false;
        };
        moved == asked
    };
    amount.is_some_and(same) && currency.is_some_and(|c| is_currency(&c, asked.currency))
}

/// Why, in the provider's words: `reason` is a word or an object, errors have `code` and `message`.
fn reason(body: &[u8]) -> String {
    let said: Value = serde_json::from_slice(body).unwrap_or_default();
    let found = [
        &said["reason"],
        &said["reason"]["code"],
        &said["code"],
        &said["message"],
    ]
    .into_iter()
    .find_map(Value::as_str)
    .unwrap_or("no reason given");
    found
        .chars()
        .filter(|c| !c.is_control())
        .take(100)
        .collect()
}

/// MoMo takes ids of version 4 only; ours are of version 7 and differ from it in nothing but that number.
fn reference_of(id: Uuid) -> Uuid {
    with_version(id, 4)
}

/// Our payment's id behind one of its references.
pub(super) fn payment_id(reference: &str) -> Option<Uuid> {
    reference.parse().ok().map(|id| with_version(id, 7))
}

fn with_version(id: Uuid, version: u8) -> Uuid {
    let mut bytes = id.into_bytes();
    bytes[6] = (bytes[6] & 0x0f) | (version << 4);
    Uuid::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rwf(amount_minor: i64) -> Money {
        Money::minor(amount_minor, "RWF".parse().unwrap())
    }

    fn answer(status: u16, body: &Value) -> Answered {
        Answered {
            status,
            body: body.to_string().into_bytes(),
        }
    }

    #[test]
    fn only_the_whole_amount_in_the_right_currency_has_moved() {
        let paid = |amount: Value, currency: &str| {
            let body = json!({"status": "SUCCESSFUL", "amount": amount, "currency": currency, "financialTransactionId": "23503452"});
            told(&answer(200, &body), rwf(5_000))
        };
        let moved = Said::Moved {
            provider_ref: Some("23503452".to_owned()),
        };
        assert_eq!(paid(json!("5000"), "RWF"), moved);
        assert_eq!(paid(json!(5000), "RWF"), moved);
        assert_eq!(paid(json!("5000.00"), "RWF"), moved);
        for (amount, currency) in [
            (json!("50"), "RWF"),
            (json!("5000"), "UGX"),
            (json!(null), "RWF"),
        ] {
            assert!(matches!(paid(amount, currency), Said::Nothing { .. }));
        }
    }

    #[test]
    fn no_is_told_from_nobody_knows() {
        let body =
            json!({"status": "FAILED", "reason": {"code": "NOT_ENOUGH_FUNDS", "message": "…"}});
        assert_eq!(
            told(&answer(200, &body), rwf(1)),
            Said::Refused {
                why: "NOT_ENOUGH_FUNDS".to_owned()
            }
        );
        assert_eq!(told(&answer(404, &json!({})), rwf(1)), Said::Unheard);
        for status in [401, 429, 500, 503] {
            assert!(matches!(
                told(&answer(status, &json!({})), rwf(1)),
                Said::Nothing { .. }
            ));
            assert!(matches!(
                accepted(&answer(status, &json!({}))),
                Said::Nothing { .. }
            ));
        }
        assert!(matches!(
            accepted(&answer(409, &json!({}))),
            Said::Waiting { .. }
        ));
        assert!(
            matches!(accepted(&answer(400, &json!({"code": "PAYER_NOT_FOUND"}))), Said::Refused { why } if why == "PAYER_NOT_FOUND")
        );
    }

    #[test]
    fn a_reference_is_of_version_4_and_leads_back() {
        let id: Uuid = "01931b66-4c00-7abc-8def-0123456789ab".parse().unwrap();
        let reference = reference_of(id);
        assert_eq!(reference.get_version_num(), 4);
        assert_eq!(payment_id(&reference.to_string()), Some(id));
        assert_eq!(payment_id("../x"), None);
    }
}
