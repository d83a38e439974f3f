//! Stripe: a PaymentIntent per payment, a Refund per refund, both created under our payment's id as the idempotency key.
//! <https://docs.stripe.com/api>.
//!
//! Its webhooks are signed; still they only make us ask, so that what is booked comes from one place.

use chrono::{DateTime, TimeDelta, Utc};
use contracts::money::{Currency, Money};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use hmac::{Hmac, Mac as _};
use migrations::settings::{BadSetting, Reader};
use serde_json::Value;
use sha2::Sha256;
use uuid::Uuid;

use super::{Heard, Order, Provider, Said, Way, in_coins, is_currency, plain};
use crate::outgoing::{Answered, Outgoing};

/// The version of the API whose answers are read here.
const VERSION: &str = "2024-06-20";
/// How old a webhook may be, seconds: what Stripe's own libraries forgive.
const TOLERANCE_S: i64 = 300;
/// An idempotency key is kept for at least a day; until then creating again is the same as looking.
const KEY_KEPT: TimeDelta = TimeDelta::hours(23);
/// Currencies whose smallest coin at Stripe is the whole unit.
const WHOLE: [&str; 15] = [
    "BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF",
    "XOF", "XPF",
];
/// Whole units told in hundredths, for the sake of old programs.
const WHOLE_IN_HUNDREDTHS: [&str; 2] = ["ISK", "UGX"];
/// Thousandths, of which the last digit is 0.
const THOUSANDTHS: [&str; 5] = ["BHD", "JOD", "KWD", "OMR", "TND"];

/// The settings of Stripe.
#[derive(Clone)]
pub struct StripeSettings {
    base_url: String,
    secret_key: String,
    webhook_secret: Option<String>,
}

/// Without the keys.
impl std::fmt::Debug for StripeSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StripeSettings")
            .field("base_url", &self.base_url)
            .field("has_webhook_secret", &self.webhook_secret.is_some())
            .finish_non_exhaustive()
    }
}

impl StripeSettings {
    /// Reads `STRIPE_…`; nothing without the key.
    pub(super) fn read(settings: &Reader) -> Result<Option<StripeSettings>, BadSetting> {
        let base_url: String = settings.parsed(
            "STRIPE_BASE_URL",
            "https://api.stripe.com",
            "the address of the Stripe API",
        )?;
        let webhook_secret = settings.optional("STRIPE_WEBHOOK_SECRET");
        Ok(settings
            .optional("STRIPE_SECRET_KEY")
            .map(|secret_key| StripeSettings {
                base_url: base_url.trim_end_matches('/').to_owned(),
                secret_key,
                webhook_secret,
            }))
    }
}

/// Stripe, as one account.
pub(super) struct Stripe(StripeSettings);

impl Stripe {
    pub(super) fn new(settings: StripeSettings) -> Stripe {
        Stripe(settings)
    }

    async fn send(
        &self,
        http: &Outgoing,
        request: reqwest::RequestBuilder,
    ) -> Result<Answered, String> {
        let request = request
            .bearer_auth(&self.0.secret_key)
            .header("Stripe-Version", VERSION);
        http.send(request).await.map_err(|e| e.to_string())
    }

    async fn get(&self, http: &Outgoing, path: &str) -> Result<Answered, String> {
        let client = http.client().map_err(|e| e.to_string())?;
        self.send(http, client.get(format!("{}{path}", self.0.base_url)))
            .await
    }

    async fn post(
        &self,
        http: &Outgoing,
        path: &str,
        key: &str,
        form: &[(&str, String)],
    ) -> Result<Answered, String> {
        let client = http.client().map_err(|e| e.to_string())?;
        let request = client
            .post(format!("{}{path}", self.0.base_url))
            .header("Idempotency-Key", key)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form_encoded(form));
        self.send(http, request).await
    }

    async fn create(&self, http: &Outgoing, order: &Order) -> Said {
        let Some(coins) = coins(order.amount) else {
            return Said::Refused {
                why: "an amount Stripe has no coins for".to_owned(),
            };
        };
        let mut form = vec![
            ("amount", coins.to_string()),
            ("metadata[payment_id]", order.id.to_string()),
            ("metadata[reference]", order.reference.clone()),
        ];
        let path = match &order.way {
            Way::In { .. } => {
                form.push((
                    "currency",
                    order.amount.currency.code().to_ascii_lowercase(),
                ));
                form.push(("automatic_payment_methods[enabled]", "true".to_owned()));
                form.push((
                    "description",
                    plain(&format!("{} {}", order.shop, order.reference), 200),
                ));
                "/v1/payment_intents"
            }
            Way::Back { of: Some(intent) } => {
                form.push(("payment_intent", intent.clone()));
                "/v1/refunds"
            }
            Way::Back { of: None } => {
                return Said::Refused {
                    why: "the payment it gives back is not known to Stripe".to_owned(),
                };
            }
        };
        match self.post(http, path, &order.id.to_string(), &form).await {
            Ok(answered) => created(&answered, order),
            Err(why) => Said::Nothing { why },
        }
    }

    async fn look(&self, http: &Outgoing, order: &Order, now: DateTime<Utc>) -> Said {
        let path = match (&order.provider_ref, &order.way) {
            (Some(name), Way::In { .. }) => format!("/v1/payment_intents/{}", in_path(name)),
            (Some(name), Way::Back { .. }) => format!("/v1/refunds/{}", in_path(name)),
            // Its name was never told: creating it again under the same key tells it, and creates nothing.
            (None, _) if now - order.begun_at < KEY_KEPT => return self.create(http, order).await,
            (None, _) => return self.search(http, order).await,
        };
        match self.get(http, &path).await {
            Ok(answered) if answered.status == 404 => Said::Unheard,
            Ok(answered) => told(&answered, order),
            Err(why) => Said::Nothing { why },
        }
    }

    /// Finds what was created so long ago that its key is forgotten, by the id we gave it.
    async fn search(&self, http: &Outgoing, order: &Order) -> Said {
        let path = match &order.way {
            Way::In { .. } => format!(
                "/v1/payment_intents/search?query={}",
                form_value(&format!("metadata['payment_id']:'{}'", order.id))
            ),
            Way::Back { of } => format!(
                "/v1/refunds?limit=100&payment_intent={}",
                form_value(of.as_deref().unwrap_or_default())
            ),
        };
        let answered = match self.get(http, &path).await {
            Ok(answered) => answered,
            Err(why) => return Said::Nothing { why },
        };
        if answered.status != 200 {
            return Said::Nothing {
                why: problem(&answered),
            };
        }
        let found: Value = serde_json::from_slice(&answered.body).unwrap_or_default();
        let Some(list) = found["data"].as_array() else {
            return Said::Nothing {
                why: "a list that is none".to_owned(),
            };
        };
        let ours = |one: &&Value| one["metadata"]["payment_id"] == order.id.to_string();
        list.iter()
            .find(ours)
            .map_or(Said::Unheard, |one| read(one, order))
    }

    async fn give_up(&self, http: &Outgoing, order: &Order, now: DateTime<Utc>) -> Said {
        let found = self.look(http, order, now).await;
        let (
            Said::Waiting {
                provider_ref: Some(name),
            },
            Way::In { .. },
        ) = (&found, &order.way)
        else {
            return found;
        };
        let path = format!("/v1/payment_intents/{}/cancel", in_path(name));
        let form = [("cancellation_reason", "abandoned".to_owned())];
        match self
            .post(http, &path, &format!("{}:cancel", order.id), &form)
            .await
        {
            Ok(answered) if answered.status == 200 => told(&answered, order),
            // It may have been paid in this very moment; what it says now is asked again.
            Ok(_) => found,
            Err(why) => Said::Nothing { why },
        }
    }

    /// Reads a webhook: first whether it is Stripe's, then which payment it is about.
    pub(super) fn heard(&self, header: &str, body: &[u8], now: DateTime<Utc>) -> Heard {
        let Some(secret) = &self.0.webhook_secret else {
            return Heard::NotSetUp;
        };
        if !is_signed(secret, header, body, now) {
            return Heard::Forged;
        }
        let event: Value = serde_json::from_slice(body).unwrap_or_default();
        event["data"]["object"]["metadata"]["payment_id"]
            .as_str()
            .and_then(|id| id.parse::<Uuid>().ok())
            .map_or(Heard::Other, Heard::Payment)
    }
}

impl Provider for Stripe {
    fn request<'a>(
        &'a self,
        http: &'a Outgoing,
        order: &'a Order,
        _now: DateTime<Utc>,
    ) -> BoxFuture<'a, Said> {
        self.create(http, order).boxed()
    }

    fn status<'a>(
        &'a self,
        http: &'a Outgoing,
        order: &'a Order,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Said> {
        self.look(http, order, now).boxed()
    }

    fn cancel<'a>(
        &'a self,
        http: &'a Outgoing,
        order: &'a Order,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Said> {
        self.give_up(http, order, now).boxed()
    }
}

/// The amount as Stripe counts it.
fn coins(amount: Money) -> Option<i64> {
    let (exponent, step) = counting(amount.currency);
    in_coins(amount, exponent, step)
}

/// Digits after the point at Stripe, and what an amount must be a multiple of.
fn counting(currency: Currency) -> (u32, i64) {
    let code = currency.code();
    if WHOLE.contains(&code) {
        (0, 1)
    } else if WHOLE_IN_HUNDREDTHS.contains(&code) {
        (2, 100)
    } else if THOUSANDTHS.contains(&code) {
        (3, 10)
    } else {
        (2, 1)
    }
}

/// What its answer to a creation means.
fn created(answered: &Answered, order: &Order) -> Said {
    match answered.status {
        200 => told(answered, order),
        // 400 and 402 are answers about this payment; the rest is about keys, quotas and outages. 409: the same request is under way.
        400 | 402 => Said::Refused {
            why: problem(answered),
        },
        _ => Said::Nothing {
            why: problem(answered),
        },
    }
}

fn told(answered: &Answered, order: &Order) -> Said {
    if answered.status != 200 {
        return Said::Nothing {
            why: problem(answered),
        };
    }
    match serde_json::from_slice::<Value>(&answered.body) {
        Ok(object) => read(&object, order),
        Err(_) => Said::Nothing {
            why: "an answer that is not JSON".to_owned(),
        },
    }
}

/// A PaymentIntent or a Refund.
fn read(object: &Value, order: &Order) -> Said {
    let provider_ref = object["id"].as_str().map(str::to_owned);
    let moved = match &order.way {
        Way::In { .. } => &object["amount_received"],
        Way::Back { .. } => &object["amount"],
    };
    match (object["status"].as_str(), &order.way) {
        (Some("succeeded"), _) => {
            let whole = moved.as_i64().is_some() && moved.as_i64() == coins(order.amount);
            let currency = object["currency"].as_str().unwrap_or_default();
            if whole && is_currency(currency, order.amount.currency) {
                Said::Moved { provider_ref }
            } else {
                Said::Nothing {
                    why: format!("another amount moved: {moved} {currency}"),
                }
            }
        }
        (Some("canceled"), _) | (Some("failed"), Way::Back { .. }) => Said::Refused {
            why: object["cancellation_reason"]
                .as_str()
                .or_else(|| object["failure_reason"].as_str())
                .unwrap_or("canceled")
                .to_owned(),
        },
        (
            Some(
                "requires_payment_method"
                | "requires_confirmation"
                | "requires_action"
                | "requires_capture"
                | "processing",
            ),
            Way::In { .. },
        )
        | (Some("pending" | "requires_action"), Way::Back { .. }) => Said::Waiting { provider_ref },
        (other, _) => Said::Nothing {
            why: format!("an unknown status {other:?}"),
        },
    }
}

/// Why, in its words.
fn problem(answered: &Answered) -> String {
    let said: Value = serde_json::from_slice(&answered.body).unwrap_or_default();
    let error = &said["error"];
    let word = [&error["decline_code"], &error["code"], &error["type"]]
        .into_iter()
        .find_map(Value::as_str)
        .unwrap_or("no reason given");
    let word: String = word.chars().filter(|c| !c.is_control()).take(100).collect();
    format!("HTTP {} {word}", answered.status)
}

/// `Stripe-Signature`: `t=<seconds>,v1=<hex hmac-sha256 of "t.body">`, several `v1` while a secret is changed.
fn is_signed(secret: &str, header: &str, body: &[u8], now: DateTime<Utc>) -> bool {
    let parts = || {
        header
            .split(',')
            .filter_map(|part| part.trim().split_once('='))
    };
    let Some(time) = parts().find(|(name, _)| *name == "t").map(|(_, t)| t) else {
        return false;
    };
    let fresh = time
        .parse::<i64>()
        .is_ok_and(|t| t.abs_diff(now.timestamp()) <= TOLERANCE_S.unsigned_abs());
    fresh
        && parts()
            .filter(|(name, _)| *name == "v1")
            .filter_map(|(_, hex)| from_hex(hex))
            .any(|given| {
                let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
                    return false;
                };
                mac.update(time.as_bytes());
                mac.update(b".");
                mac.update(body);
                mac.verify_slice(&given).is_ok()
            })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// A name of Stripe's in a path: letters, digits and `_` only, whatever it told.
fn in_path(name: &str) -> String {
    name.chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect()
}

fn form_encoded(form: &[(&str, String)]) -> String {
    let pair =
        |(name, value): &(&str, String)| format!("{}={}", form_value(name), form_value(value));
    form.iter().map(pair).collect::<Vec<_>>().join("&")
}

fn form_value(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                char::from(b).to_string()
            }
            b => format!("%{b:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn money(amount_minor: i64, code: &str) -> Money {
        Money::minor(amount_minor, code.parse().unwrap())
    }

    #[test]
    fn coins_are_stripes_own() {
        for (minor, code, expected) in [
            (5_000, "RWF", Some(5_000)),
            (1_050, "KES", Some(1_050)),
            (5_120, "KWD", Some(5_120)),
            (5_124, "KWD", None),
            (50_000, "MGA", Some(500)),
            (50_010, "MGA", None),
            (500, "UGX", Some(50_000)),
            (5, "ISK", Some(500)),
            (500, "JPY", Some(500)),
            (0, "RWF", None),
            (i64::MAX, "UGX", None),
        ] {
            assert_eq!(coins(money(minor, code)), expected, "{minor} {code}");
        }
    }

    #[test]
    fn a_webhook_is_stripes_only_with_its_signature_and_fresh() {
        let stripe = Stripe::new(StripeSettings {
            base_url: String::new(),
            secret_key: "sk".to_owned(),
            webhook_secret: Some("whsec_scene".to_owned()),
        });
        let id = Uuid::from_u128(7);
        let body = json!({"type": "payment_intent.succeeded", "data": {"object": {"metadata": {"payment_id": id}}}}).to_string();
        let at = 1_800_000_000;
        let signed = |secret: &str, body: &str| {
            let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
            mac.update(format!("{at}.{body}").as_bytes());
            let hex: String = mac
                .finalize()
                .into_bytes()
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect();
            format!("t={at},v1={hex}")
        };
        let heard = |header: &str, body: &str, seconds: i64| {
            let now = DateTime::from_timestamp(at + seconds, 0).unwrap();
            stripe.heard(header, body.as_bytes(), now)
        };
        let good = signed("whsec_scene", &body);
        assert_eq!(heard(&good, &body, 10), Heard::Payment(id));
        assert_eq!(
            heard(&format!("{good},v1=00ff,v0=1"), &body, 10),
            Heard::Payment(id)
        );
        assert_eq!(heard(&good, &body, 301), Heard::Forged, "old");
        assert_eq!(heard(&good, &body, -301), Heard::Forged, "from the future");
        assert_eq!(
            heard(&good, &body.replace('7', "8"), 0),
            Heard::Forged,
            "changed"
        );
        for header in [
            &signed("whsec_other", &body),
            "",
            "t=1",
            "v1=zz",
            "t=x,v1=00",
        ] {
            assert_eq!(heard(header, &body, 0), Heard::Forged, "{header}");
        }
        let other = signed("whsec_scene", "{}");
        assert_eq!(heard(&other, "{}", 0), Heard::Other);
    }

    #[test]
    fn only_the_whole_amount_counts_and_a_failed_card_may_be_tried_again() {
        let order = Order {
            id: Uuid::nil(),
            reference: "PAY-1".to_owned(),
            shop: "Shop".to_owned(),
            amount: money(5_000, "RWF"),
            way: Way::In { phone: None },
            provider_ref: None,
            begun_at: DateTime::UNIX_EPOCH,
        };
        let said = |status: &str, received: i64| {
            let object = json!({"id": "pi_1", "status": status, "amount_received": received, "currency": "rwf"});
            read(&object, &order)
        };
        let name = || Some("pi_1".to_owned());
        assert_eq!(
            said("succeeded", 5_000),
            Said::Moved {
                provider_ref: name()
            }
        );
        assert!(matches!(said("succeeded", 4_999), Said::Nothing { .. }));
        assert_eq!(
            said("requires_payment_method", 0),
            Said::Waiting {
                provider_ref: name()
            }
        );
        assert!(matches!(said("canceled", 0), Said::Refused { .. }));
        assert!(matches!(said("new_word", 0), Said::Nothing { .. }));
    }

    #[test]
    fn a_form_holds_what_was_put_into_it() {
        let form = form_encoded(&[("metadata[payment_id]", "a b&c=é".to_owned())]);
        assert_eq!(form, "metadata%5Bpayment_id%5D=a%20b%26c%3D%C3%A9");
    }
}
