//! The agent's short-lived tokens (JWT, RFC 7519, HS256 over a key that both programs share).
//!
//! The agent says who asks; the identity store says whether that one may still. A person who was disabled, or has a lesser role by now,
//! is no more than that behind the agent, too, however long ago the agent was told.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use contracts::ids::TenantId;
use contracts::scope::Reach;
use contracts::token::{
    AUDIENCE, AgentClaims, ISSUER, LIFETIME_SECONDS, PrincipalRole, SERVICE_AUDIENCE, ServiceClaims,
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use migrations::keys::Key;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use super::keys::SUBJECT_PREFIX;
use super::{Known, NotKnown, stored_reach};
use crate::app::App;
use crate::caller::{Caller, Door};

/// Longest clock difference between two machines that is forgiven, seconds.
const LEEWAY_SECONDS: i64 = 5;

/// The keys that the agent's tokens are checked with: the one it signs with, and, while keys are exchanged, the one before.
#[derive(Clone)]
pub struct AgentKeys {
    keys: Vec<(String, Key)>,
}

impl AgentKeys {
    /// The current key and perhaps the one before.
    #[must_use]
    pub fn new(current: Key, previous: Option<Key>) -> AgentKeys {
        let keys = [Some(current), previous];
        AgentKeys {
            keys: keys.into_iter().flatten().map(|k| (kid(&k), k)).collect(),
        }
    }

    /// The keys a token may be signed with: the one it names, or each, where it names none.
    fn of(&self, named: Option<&str>) -> impl Iterator<Item = &Key> {
        self.keys
            .iter()
            .filter(move |(kid, _)| named.is_none_or(|named| named == kid))
            .map(|(_, key)| key)
    }
}

/// The name of a key in a token's header: the first eight hexadecimal digits of its SHA-256.
#[must_use]
pub fn kid(key: &Key) -> String {
    let digest = Sha256::digest(key);
    digest.iter().take(4).map(|b| format!("{b:02x}")).collect()
}

/// Whether a credential has the form of a token of the agent's. Proves nothing.
pub(crate) fn is_one(credential: &str) -> bool {
    jsonwebtoken::decode_header(credential).is_ok_and(|header| header.alg == Algorithm::HS256)
}

/// On whose behalf the agent calls.
pub(crate) async fn verify(app: &App, token: &str, now: DateTime<Utc>) -> Result<Known, NotKnown> {
    let caller = caller(token, &app.agent_keys, now)?;
    if caller.tenant.0.is_nil() && caller.reach == Reach::NOTHING {
        // The agent asks what there is to know of the server, on nobody's behalf.
        return Ok(Known {
            name: caller.subject.clone(),
            attainable: Reach::NOTHING,
            caller,
            expires_at: None,
        });
    }
    let standing = standing(app, &caller).await?;
    if standing.refused {
        return Err(NotKnown::invalid(
            "the shop is suspended, or the principal may no longer come in",
        ));
    }
    let role = standing.role.map_or(caller.role, |r| r.min(caller.role));
    let customer = standing.customer.or(caller.customer);
    if customer != caller.customer || (role == PrincipalRole::Customer) != customer.is_some() {
        return Err(NotKnown::invalid(
            "the principal is another customer by now",
        ));
    }
    let reach = caller.reach.narrowed(standing.reach);
    Ok(Known {
        name: caller.subject.clone(),
        attainable: reach,
        caller: Caller {
            role,
            reach,
            ..caller
        },
        expires_at: None,
    })
}

/// Checks a token with which the agent speaks for itself.
pub(crate) fn verify_service(
    token: &str,
    keys: &AgentKeys,
    now: DateTime<Utc>,
) -> Result<(), NotKnown> {
    let claims: ServiceClaims = claims(token, keys, SERVICE_AUDIENCE, &["exp", "aud", "iss"])?;
    timely(claims.iat, claims.exp, now)
}

/// The caller a token speaks for, as the agent knew it.
fn caller(token: &str, keys: &AgentKeys, now: DateTime<Utc>) -> Result<Caller, NotKnown> {
    let claims: AgentClaims = claims(token, keys, AUDIENCE, &["exp", "aud", "iss", "sub"])?;
    timely(claims.iat, claims.exp, now)?;
    let reach = match &claims.scopes {
        Some(scopes) => Reach::of_scopes(scopes.iter().map(String::as_str))
            .map_err(|e| NotKnown::Invalid(e.to_string()))?,
        None => Reach::EVERYTHING,
    };
    if (claims.role == PrincipalRole::Customer) != claims.customer.is_some() {
        return Err(NotKnown::invalid(
            "a customer's token names the customer, and no other does",
        ));
    }
    Ok(Caller {
        tenant: claims.tenant,
        subject: claims.sub,
        role: claims.role,
        customer: claims.customer,
        reach,
        door: Door::Agent {
            decided_by: claims.decided_by,
        },
    })
}

fn claims<T: DeserializeOwned>(
    token: &str,
    keys: &AgentKeys,
    audience: &str,
    required: &[&str],
) -> Result<T, NotKnown> {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_audience(&[audience]);
    validation.set_issuer(&[ISSUER]);
    validation.set_required_spec_claims(required);
    // Times are compared with our clock, not the library's.
    validation.validate_exp = false;
    let header =
        jsonwebtoken::decode_header(token).map_err(|e| NotKnown::Invalid(e.to_string()))?;
    let mut refused = NotKnown::invalid("signed with no key of ours");
    for key in keys.of(header.kid.as_deref()) {
        match jsonwebtoken::decode::<T>(token, &DecodingKey::from_secret(key), &validation) {
            Ok(token) => return Ok(token.claims),
            Err(error) => refused = NotKnown::Invalid(error.to_string()),
        }
    }
    Err(refused)
}

fn timely(issued_at: i64, expires_at: i64, now: DateTime<Utc>) -> Result<(), NotKnown> {
    let now = now.timestamp();
    if expires_at.saturating_add(LEEWAY_SECONDS) < now
        || issued_at.saturating_sub(LEEWAY_SECONDS) > now
    {
        return Err(NotKnown::invalid("expired or not yet valid"));
    }
    if expires_at.saturating_sub(issued_at) > LIFETIME_SECONDS {
        return Err(NotKnown::invalid("lives too long"));
    }
    Ok(())
}

/// What the identity store says of a principal the agent names. Whom it does not know, it says nothing of.
#[derive(Debug)]
pub(crate) struct Standing {
    refused: bool,
    role: Option<PrincipalRole>,
    customer: Option<Uuid>,
    reach: Reach,
}

async fn standing(app: &App, caller: &Caller) -> Result<Arc<Standing>, NotKnown> {
    let identities = &app.identities;
    let revocations = identities.revoked_so_far(caller.tenant);
    let key = (caller.tenant, caller.subject.clone());
    if let Some((at, standing)) = identities.standing.get(&key)
        && at == revocations
    {
        return Ok(standing);
    }
    let mut tx = app.begin_reading(caller.tenant).await?;
    let found = match caller.subject.strip_prefix(SUBJECT_PREFIX) {
        Some(name) => find_key(&mut tx, caller.tenant, name).await?,
        None => find_person(&mut tx, caller.tenant, &caller.subject).await?,
    };
    drop(tx);
    let found = found.ok_or_else(|| NotKnown::invalid("no such shop"))?;
    let now = app.clock.now();
    let ended = found.expires_at.is_some_and(|end| end <= now);
    let standing = Arc::new(Standing {
        refused: found.suspended_at.is_some() || found.gone_at.is_some() || ended,
        role: found.role.as_deref().and_then(PrincipalRole::from_word),
        customer: found.customer_id,
        reach: found
            .scopes
            .map_or(Reach::EVERYTHING, |scopes| stored_reach(&scopes)),
    });
    identities
        .standing
        .insert(key, (revocations, Arc::clone(&standing)));
    Ok(standing)
}

struct Found {
    suspended_at: Option<DateTime<Utc>>,
    gone_at: Option<DateTime<Utc>>,
    expires_at: Option<DateTime<Utc>>,
    role: Option<String>,
    customer_id: Option<Uuid>,
    scopes: Option<Vec<String>>,
}

async fn find_person(
    conn: &mut PgConnection,
    tenant: TenantId,
    subject: &str,
) -> Result<Option<Found>, sqlx::Error> {
    sqlx::query_as!(
        Found,
        r#"select t.suspended_at, p.disabled_at as gone_at, null::timestamptz as expires_at, p.role as "role?", p.customer_id, p.scopes as "scopes?"
           from shop.tenants t left join shop.people p on p.tenant_id = t.id and p.subject = $2
           where t.id = $1"#,
        tenant.0,
        subject
    )
    .fetch_optional(conn)
    .await
}

async fn find_key(
    conn: &mut PgConnection,
    tenant: TenantId,
    name: &str,
) -> Result<Option<Found>, sqlx::Error> {
    sqlx::query_as!(
        Found,
        r#"select t.suspended_at, k.revoked_at as gone_at, k.expires_at, k.role as "role?", k.customer_id, k.scopes as "scopes?"
           from shop.tenants t left join shop.api_keys k on k.tenant_id = t.id and k.name = $2
           where t.id = $1"#,
        tenant.0,
        name
    )
    .fetch_optional(conn)
    .await
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use contracts::ids::TenantId;
    use jsonwebtoken::{EncodingKey, Header};
    use uuid::Uuid;

    use super::*;

    const KEY: Key = [7; 32];

    fn keys() -> AgentKeys {
        AgentKeys::new(KEY, None)
    }

    fn good(now: DateTime<Utc>) -> AgentClaims {
        AgentClaims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: "ana".to_owned(),
            role: PrincipalRole::Staff,
            tenant: TenantId::DEMO,
            customer: None,
            scopes: None,
            iat: now.timestamp(),
            exp: now.timestamp() + LIFETIME_SECONDS,
            jti: Uuid::nil(),
            decided_by: None,
        }
    }

    fn signed(claims: &AgentClaims, key: &[u8], algorithm: Algorithm) -> String {
        jsonwebtoken::encode(
            &Header::new(algorithm),
            claims,
            &EncodingKey::from_secret(key),
        )
        .unwrap()
    }

    #[test]
    fn only_a_fresh_token_of_ours_speaks_for_anyone() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let good = good(now);
        assert_eq!(
            caller(&signed(&good, &KEY, Algorithm::HS256), &keys(), now)
                .unwrap()
                .subject,
            "ana"
        );
        let refused = |claims: &AgentClaims, key: &[u8], algorithm, at| {
            caller(&signed(claims, key, algorithm), &keys(), at).is_err()
        };
        assert!(
            refused(&good, &[8; 32], Algorithm::HS256, now),
            "another key"
        );
        assert!(
            refused(&good, &KEY, Algorithm::HS512, now),
            "another algorithm"
        );
        assert!(
            refused(&good, &KEY, Algorithm::HS256, now + TimeDelta::seconds(70)),
            "expired"
        );
        assert!(
            refused(&good, &KEY, Algorithm::HS256, now - TimeDelta::seconds(70)),
            "from the future"
        );
        assert!(refused(
            &AgentClaims {
                aud: "elsewhere".to_owned(),
                ..good.clone()
            },
            &KEY,
            Algorithm::HS256,
            now
        ));
        assert!(refused(
            &AgentClaims {
                iss: "elsewhere".to_owned(),
                ..good.clone()
            },
            &KEY,
            Algorithm::HS256,
            now
        ));
        assert!(
            refused(
                &AgentClaims {
                    exp: good.exp + 3600,
                    ..good
                },
                &KEY,
                Algorithm::HS256,
                now
            ),
            "lives too long"
        );
        let unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbmEifQ.";
        assert!(caller(unsigned, &keys(), now).is_err(), "alg none");
    }

    #[test]
    fn while_keys_are_exchanged_both_are_good_and_afterwards_one() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let (old, new) = ([1; 32], [2; 32]);
        let token = |key: &Key, kid: Option<String>| {
            let mut header = Header::new(Algorithm::HS256);
            header.kid = kid;
            let key = EncodingKey::from_secret(key);
            jsonwebtoken::encode(&header, &good(now), &key).unwrap()
        };
        let (during, after) = (AgentKeys::new(new, Some(old)), AgentKeys::new(new, None));
        for named in [true, false] {
            let named = |key: &Key| named.then(|| kid(key));
            let (by_old, by_new) = (token(&old, named(&old)), token(&new, named(&new)));
            assert!(caller(&by_old, &during, now).is_ok());
            assert!(caller(&by_new, &during, now).is_ok());
            assert!(caller(&by_old, &after, now).is_err());
            assert!(caller(&by_new, &after, now).is_ok());
        }
        let lied = token(&old, Some(kid(&new)));
        assert!(caller(&lied, &during, now).is_err(), "named after another");
        assert_eq!(kid(&new).len(), 8);
    }

    #[test]
    fn a_token_for_calls_does_not_speak_for_the_agent_itself_nor_the_other_way_round() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let own = ServiceClaims {
            iss: ISSUER.to_owned(),
            aud: SERVICE_AUDIENCE.to_owned(),
            iat: now.timestamp(),
            exp: now.timestamp() + LIFETIME_SECONDS,
            jti: Uuid::nil(),
        };
        let key = EncodingKey::from_secret(&KEY);
        let own = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &own, &key).unwrap();
        assert!(verify_service(&own, &keys(), now).is_ok());
        assert!(caller(&own, &keys(), now).is_err());
        let call = signed(&good(now), &KEY, Algorithm::HS256);
        assert!(verify_service(&call, &keys(), now).is_err());
        let later = now + chrono::TimeDelta::seconds(70);
        assert!(verify_service(&own, &keys(), later).is_err());
    }
}
