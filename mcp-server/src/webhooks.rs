//! What others are told of the business, and how they know it is from us: Standard Webhooks (<https://www.standardwebhooks.com>).

pub mod admin;

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use uuid::Uuid;

use crate::outgoing;

/// What stands before a secret, so that it is recognised wherever it turns up.
const SECRET_PREFIX: &str = "whsec_";
/// Random bytes of a secret.
const SECRET_BYTES: usize = 32;
/// Pauses before each further attempt, seconds: those Standard Webhooks proposes, about three days in all.
const PAUSES_S: [i64; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
/// By how much a pause is lengthened at random, so that many do not come back at once: thousandths.
const JITTER_MAX_PERMILLE: u32 = 200;

/// Every topic there is.
pub const TOPICS: [&str; 16] = [
    "bill.issued",
    "bill.voided",
    "bill.credited",
    "bill.written_off",
    "payment.pending",
    "payment.settled",
    "payment.failed",
    "payment.refunded",
    "wallet.topped_up",
    "booking.created",
    "booking.changed",
    "booking.cancelled",
    "booking.reminder",
    "stock.low",
    "ticket.created",
    "ticket.escalated",
];

/// One event as a receiver gets it.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    /// Stays the same however often it is sent: receivers forget what they have had.
    pub(crate) id: Uuid,
    /// What happened.
    pub(crate) topic: &'a str,
    /// What it happened to.
    pub(crate) subject: &'a str,
    /// When it happened.
    pub(crate) at: DateTime<Utc>,
    /// The rest.
    pub(crate) data: &'a Value,
}

impl Message<'_> {
    /// The body, the same bytes at every attempt.
    pub(crate) fn body(&self) -> String {
        json!({
            "id": self.id,
            "type": self.topic,
            "timestamp": self.at.to_rfc3339_opts(SecondsFormat::Millis, true),
            "subject": self.subject,
            "data": self.data,
        })
        .to_string()
    }
}

/// A new secret.
#[must_use]
pub fn new_secret() -> String {
    let bytes: [u8; SECRET_BYTES] = rand::random();
    format!("{SECRET_PREFIX}{}", STANDARD.encode(bytes))
}

/// The header `webhook-signature`. `None` for a secret that is none.
#[must_use]
pub fn signature(secret: &str, id: Uuid, timestamp_s: i64, body: &str) -> Option<String> {
    let key = STANDARD.decode(secret.strip_prefix(SECRET_PREFIX)?).ok()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(format!("{id}.{timestamp_s}.{body}").as_bytes());
    Some(format!(
        "v1,{}",
        STANDARD.encode(mac.finalize().into_bytes())
    ))
}

/// When to try again after this many attempts have failed; `None` when it is enough. `roll` is random.
pub(crate) fn next_attempt(attempts: i32, now: DateTime<Utc>, roll: u32) -> Option<DateTime<Utc>> {
    let index = usize::try_from(attempts).ok()?.checked_sub(1)?;
    let pause_ms = PAUSES_S.get(index)? * 1000;
    let jitter_ms = pause_ms * i64::from(roll % (JITTER_MAX_PERMILLE + 1)) / 1000;
    now.checked_add_signed(TimeDelta::milliseconds(pause_ms + jitter_ms))
}

/// The address of an endpoint, or what is wrong with it. Everything goes encrypted, except on this very machine.
///
/// # Errors
/// A sentence for the person who gave it.
pub fn checked_url(text: &str, local_mode: bool) -> Result<String, String> {
    let url = reqwest::Url::parse(text.trim()).map_err(|e| {
        format!("`{text}` is not an address ({e}). Give one such as https://example.com/hooks.")
    })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "Leave name and password out of the address: deliveries are signed.".to_owned(),
        );
    }
    let host = url.host_str().unwrap_or_default();
    let here = is_this_machine(host);
    match url.scheme() {
        _ if here && !local_mode => {
            Err("Addresses on this machine are for local mode only.".to_owned())
        }
        _ if !local_mode && is_private(host) => {
            Err("This address is inside a private network. Give one that can be reached from the internet.".to_owned())
        }
        "https" => Ok(url.to_string()),
        "http" if here => Ok(url.to_string()),
        "http" => Err("Use https: what is delivered is nobody else's business.".to_owned()),
        other => Err(format!("`{other}` is not delivered to. Use https.")),
    }
}

fn is_this_machine(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.ends_with(".localhost")
        || bare
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified())
}

/// Whether a host is written as an address that is nobody's on the internet. Names are looked up when they are used ([`crate::outgoing`]).
fn is_private(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>()
        .is_ok_and(|ip| !outgoing::is_public(ip))
}

/// The topics of an endpoint, or what is wrong with them: `bill.issued`, `payment.*`, `*`.
///
/// # Errors
/// A sentence for the person who gave them.
pub fn checked_topics(given: &[String]) -> Result<Vec<String>, String> {
    let mut topics: Vec<String> = given.iter().map(|t| t.trim().to_lowercase()).collect();
    topics.sort();
    topics.dedup();
    if topics.is_empty() {
        return Err(format!("Name topics: {}, or *.", TOPICS.join(", ")));
    }
    let known = |topic: &str| {
        topic == "*"
            || TOPICS.contains(&topic)
            || topic
                .strip_suffix(".*")
                .is_some_and(|group| TOPICS.iter().any(|t| t.split('.').next() == Some(group)))
    };
    match topics.iter().find(|t| !known(t)) {
        Some(unknown) => Err(format!(
            "There is no topic `{unknown}`. There are {}; a whole group such as payment.*; and * for all.",
            TOPICS.join(", ")
        )),
        None => Ok(topics),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the standard's own documentation.
    #[test]
    fn a_signature_is_what_receivers_expect() {
        let id = Uuid::from_u128(7);
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let signed = signature(secret, id, 1_614_265_330, r#"{"test": 2432232314}"#).unwrap();
        // Computed with openssl over "<id>.1614265330.<body>" and the decoded secret.
        assert_eq!(signed, EXPECTED);
        assert_ne!(
            signature(secret, id, 1_614_265_331, r#"{"test": 2432232314}"#).unwrap(),
            signed
        );
        assert_eq!(signature("no secret", id, 1, ""), None);
        let fresh = new_secret();
        assert_ne!(fresh, new_secret());
        assert!(signature(&fresh, id, 1, "").is_some());
    }
    const EXPECTED: &str = "v1,DpjDiUQtqY4KpU+ttsaMN4ufTzLZ/I1uCUwqulcoqnM=";

    #[test]
    fn pauses_grow_spread_and_end() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let pause = |attempts, roll| Some((next_attempt(attempts, now, roll)? - now).num_seconds());
        assert_eq!(pause(1, 0), Some(5));
        assert_eq!(pause(2, 0), Some(300));
        assert_eq!(pause(2, 200), Some(360));
        assert_eq!(pause(9, 0), Some(86_400));
        assert_eq!(pause(10, 0), None);
        assert_eq!(pause(0, 0), None);
    }

    #[test]
    fn deliveries_leave_this_machine_encrypted_only() {
        for (url, local, fine) in [
            ("https://example.com/hooks", false, true),
            ("http://example.com/hooks", true, false),
            ("http://127.0.0.1:9/x", true, true),
            ("http://[::1]:9/x", true, true),
            ("http://localhost:9/x", true, true),
            ("http://127.0.0.1:9/x", false, false),
            ("https://localhost/x", false, false),
            ("https://10.0.0.7/x", false, false),
            ("https://10.0.0.7/x", true, true),
            ("https://169.254.169.254/latest/meta-data", false, false),
            ("https://[fe80::1]/x", false, false),
            ("https://[fd00::1]/x", false, false),
            ("https://[::ffff:192.168.0.1]/x", false, false),
            ("https://0x7f.1/x", false, false),
            ("https://2130706433/x", false, false),
            ("https://93.184.216.34/x", false, true),
            ("https://user:word@example.com/", true, false),
            ("ftp://example.com/", true, false),
            ("example.com", true, false),
        ] {
            assert_eq!(checked_url(url, local).is_ok(), fine, "{url}");
        }
    }

    #[test]
    fn topics_are_those_there_are() {
        let topics = |given: &[&str]| {
            checked_topics(&given.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(
            topics(&["payment.*", "Bill.Issued ", "bill.issued"]).unwrap(),
            ["bill.issued", "payment.*"]
        );
        assert!(topics(&["*"]).is_ok());
        assert!(topics(&[]).is_err());
        for wrong in ["bill", "bill.made", "pay.*", "*.issued", ""] {
            assert!(topics(&[wrong]).is_err(), "{wrong}");
        }
    }
}
