//! Credentials of ours that carry their tenant: `csk_…` of a program, `css_…` of a session.
//!
//! After the prefix stand, as base64url, 16 bytes of the tenant, 16 of the key or session, and 32 random ones. The tenant is in it so that
//! no look-up has to cross tenants. Only the SHA-256 of the random bytes is stored: they are as hard to guess as a key of a cipher, so
//! nothing slower is needed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contracts::ids::TenantId;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

/// A credential that was read. That it has the right form proves nothing.
pub(crate) struct Secret {
    /// The business it names.
    pub(crate) tenant: TenantId,
    /// The key or session it names.
    pub(crate) id: Uuid,
    hash: [u8; 32],
}

impl Secret {
    /// Reads a credential of this prefix; `None` for whatever is not exactly of its form.
    pub(crate) fn read(prefix: &str, credential: &str) -> Option<Secret> {
        let bytes = URL_SAFE_NO_PAD
            .decode(credential.strip_prefix(prefix)?)
            .ok()?;
        let bytes: [u8; 64] = bytes.try_into().ok()?;
        let (tenant, rest) = bytes.split_at(16);
        let (id, random) = rest.split_at(16);
        Some(Secret {
            tenant: TenantId(Uuid::from_slice(tenant).ok()?),
            id: Uuid::from_slice(id).ok()?,
            hash: Sha256::digest(random).into(),
        })
    }

    /// Whether its random bytes are those whose hash is stored. Takes the same time whatever they are.
    pub(crate) fn is(&self, stored_hash: &[u8]) -> bool {
        self.hash.ct_eq(stored_hash).into()
    }
}

/// A new credential, shown once, and the hash to store.
pub(crate) fn make(prefix: &str, tenant: TenantId, id: Uuid) -> (String, [u8; 32]) {
    let random: [u8; 32] = rand::random();
    let mut bytes = Vec::with_capacity(64);
    bytes.extend_from_slice(tenant.0.as_bytes());
    bytes.extend_from_slice(id.as_bytes());
    bytes.extend_from_slice(&random);
    let text = format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes));
    (text, Sha256::digest(random).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_read_back_and_nothing_like_it_is() {
        let (tenant, id) = (TenantId::DEMO, Uuid::from_u128(7));
        let (text, hash) = make("csk_", tenant, id);
        let read = Secret::read("csk_", &text).unwrap();
        assert_eq!((read.tenant, read.id), (tenant, id));
        assert!(read.is(&hash));
        let (other, _) = make("csk_", tenant, id);
        assert!(!Secret::read("csk_", &other).unwrap().is(&hash));
        assert!(!read.is(&hash[..31]), "a hash of another length");
        for bad in [
            text.replace("csk_", "css_"),
            format!("{text}A"),
            format!("{text}="),
            text[..text.len() - 1].to_owned(),
            text.replace("csk_", ""),
            "csk_".to_owned(),
        ] {
            assert!(Secret::read("csk_", &bad).is_none(), "{bad}");
        }
    }
}
