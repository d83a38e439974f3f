//! Identifiers that would be dangerous to mix up.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One business. Every business row carries it, and every query names it first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct TenantId(pub Uuid);

impl TenantId {
    /// The demo shop of an embedded start, and the tenant of local mode.
    pub const DEMO: TenantId = TenantId(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001));
}

impl std::fmt::Display for TenantId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
