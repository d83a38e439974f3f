//! The tokens the agent mints for our tool server, all signed with the one key of the settings.
//!
//! A token says in its head which key signed it (`kid`), so that the server can hold two keys while one takes the other's place: it is
//! given the new key first, then the agent signs with it, then the server forgets the old one.

use std::fmt::Write as _;

use contracts::token::{ISSUER, LIFETIME_SECONDS, SERVICE_AUDIENCE, ServiceClaims};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use migrations::clock::{SharedClock, new_id};
use migrations::keys::Key;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// Signs the agent's tokens.
#[derive(Clone)]
pub struct Signer {
    key: Key,
    kid: String,
    clock: SharedClock,
}

impl Signer {
    /// Signs with this key, by this clock.
    #[must_use]
    pub fn new(key: Key, clock: SharedClock) -> Signer {
        Signer {
            kid: kid(&key),
            key,
            clock,
        }
    }

    /// Signs claims.
    ///
    /// # Errors
    /// A text for the log when they are no JSON, which would be a mistake of ours.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, String> {
        let header = Header {
            kid: Some(self.kid.clone()),
            ..Header::new(Algorithm::HS256)
        };
        let key = EncodingKey::from_secret(&self.key);
        jsonwebtoken::encode(&header, claims, &key).map_err(|e| e.to_string())
    }

    /// A token with which the agent speaks for itself, to ask who somebody is.
    ///
    /// # Errors
    /// As [`Signer::sign`].
    pub fn for_itself(&self) -> Result<String, String> {
        let now = self.now();
        self.sign(&ServiceClaims {
            iss: ISSUER.to_owned(),
            aud: SERVICE_AUDIENCE.to_owned(),
            iat: now,
            exp: now + LIFETIME_SECONDS,
            jti: new_id(&*self.clock),
        })
    }

    /// The time, seconds since 1970.
    #[must_use]
    pub fn now(&self) -> i64 {
        self.clock.now().timestamp()
    }

    /// A new id for a token.
    #[must_use]
    pub fn new_id(&self) -> uuid::Uuid {
        new_id(&*self.clock)
    }
}

/// Names a key without telling it: the first 8 hexadecimal digits of its SHA-256.
fn kid(key: &Key) -> String {
    let digest = Sha256::digest(key);
    digest.iter().take(4).fold(String::new(), |mut kid, byte| {
        // Writing to a text cannot fail.
        let _ = write!(kid, "{byte:02x}");
        kid
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jsonwebtoken::{DecodingKey, Validation};
    use migrations::clock::SystemClock;

    use super::*;

    #[test]
    fn a_token_names_the_key_that_signed_it_and_only_that_key_opens_it() {
        let signer = Signer::new([7; 32], Arc::new(SystemClock));
        let token = signer.for_itself().unwrap();
        let head = jsonwebtoken::decode_header(&token).unwrap();
        assert_eq!(head.alg, Algorithm::HS256);
        assert_eq!(head.kid.unwrap(), "4bb06f8e");
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&[SERVICE_AUDIENCE]);
        let open = |key: [u8; 32]| {
            let key = DecodingKey::from_secret(&key);
            jsonwebtoken::decode::<ServiceClaims>(&token, &key, &validation)
        };
        let claims = open([7; 32]).unwrap().claims;
        assert_eq!(claims.exp - claims.iat, LIFETIME_SECONDS);
        assert!(open([8; 32]).is_err());
    }
}
