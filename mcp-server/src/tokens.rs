//! The agent's short-lived tokens (JWT, RFC 7519, HS256 over the key both programs share).

use chrono::{DateTime, Utc};
use contracts::scope::Reach;
use contracts::token::{AUDIENCE, AgentClaims, ISSUER, LIFETIME_SECONDS, PrincipalRole};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use migrations::keys::Key;

use crate::caller::{Caller, Door};

/// Why a token was not taken. Callers learn no more than that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("token: {0}")]
pub(crate) struct BadToken(String);

/// Longest clock difference between two machines that is forgiven, seconds.
const LEEWAY_SECONDS: i64 = 5;

/// The caller a token speaks for.
pub(crate) fn verify(token: &str, key: &Key, now: DateTime<Utc>) -> Result<Caller, BadToken> {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_audience(&[AUDIENCE]);
    validation.set_issuer(&[ISSUER]);
    validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
    // Times are compared below, with our clock.
    validation.validate_exp = false;
    let claims =
        jsonwebtoken::decode::<AgentClaims>(token, &DecodingKey::from_secret(key), &validation)
            .map_err(|e| BadToken(e.to_string()))?
            .claims;
    let now = now.timestamp();
    if claims.exp + LEEWAY_SECONDS < now || claims.iat - LEEWAY_SECONDS > now {
        return Err(BadToken("expired or not yet valid".to_owned()));
    }
    if claims.exp - claims.iat > LIFETIME_SECONDS {
        return Err(BadToken("lives too long".to_owned()));
    }
    let reach = match &claims.scopes {
        Some(scopes) => Reach::of_scopes(scopes.iter().map(String::as_str))
            .map_err(|e| BadToken(e.to_string()))?,
        None => Reach::EVERYTHING,
    };
    if (claims.role == PrincipalRole::Customer) != claims.customer.is_some() {
        return Err(BadToken(
            "a customer's token names the customer, and no other does".to_owned(),
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

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use contracts::ids::TenantId;
    use jsonwebtoken::{EncodingKey, Header};
    use uuid::Uuid;

    use super::*;

    const KEY: Key = [7; 32];

    fn claims(now: DateTime<Utc>) -> AgentClaims {
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
        let good = claims(now);
        assert_eq!(
            verify(&signed(&good, &KEY, Algorithm::HS256), &KEY, now)
                .unwrap()
                .subject,
            "ana"
        );
        let refused = |claims: &AgentClaims, key: &[u8], algorithm, at| {
            verify(&signed(claims, key, algorithm), &KEY, at).is_err()
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
        assert!(verify(unsigned, &KEY, now).is_err(), "alg none");
    }
}
