//! What the agent says about its end user, in a short-lived signed token it mints for every request to the tool server.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::TenantId;

/// What a principal is to the business. Ordered: an owner may do what staff may.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum PrincipalRole {
    /// Buys and books for herself.
    Customer,
    /// Runs the counter.
    Staff,
    /// Sets up, refunds, writes off, sees reports.
    Owner,
}

impl PrincipalRole {
    /// The word stored and shown.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            PrincipalRole::Customer => "customer",
            PrincipalRole::Staff => "staff",
            PrincipalRole::Owner => "owner",
        }
    }

    /// The role a stored word names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<PrincipalRole> {
        [
            PrincipalRole::Customer,
            PrincipalRole::Staff,
            PrincipalRole::Owner,
        ]
        .into_iter()
        .find(|role| role.word() == word)
    }
}

/// Audience of the agent's tokens.
pub const AUDIENCE: &str = "countersign-mcp";
/// Issuer of the agent's tokens.
pub const ISSUER: &str = "countersign-agent";
/// How long a token lives, seconds. Long enough for one request, too short to be worth stealing.
pub const LIFETIME_SECONDS: i64 = 60;

/// The person on whose behalf a call is made or a question answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenPerson {
    /// The principal's name within its tenant.
    pub sub: String,
    /// What the principal may do.
    pub role: PrincipalRole,
}

/// Audience of the tokens with which the agent speaks for itself: to ask who somebody is, never to call a tool.
pub const SERVICE_AUDIENCE: &str = "countersign-identity";

/// Claims of a token with which the agent speaks for itself (JWT, RFC 7519; signed as [`AgentClaims`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceClaims {
    /// [`ISSUER`].
    pub iss: String,
    /// [`SERVICE_AUDIENCE`].
    pub aud: String,
    /// Issued at, seconds since 1970.
    pub iat: i64,
    /// Expires at, seconds since 1970: at most [`LIFETIME_SECONDS`] later.
    pub exp: i64,
    /// One token, one id.
    pub jti: Uuid,
}

/// Claims of the agent's token (JWT, RFC 7519; HS256 over the key both binaries share).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentClaims {
    /// [`ISSUER`].
    pub iss: String,
    /// [`AUDIENCE`].
    pub aud: String,
    /// The principal who asks.
    pub sub: String,
    /// What that principal may do.
    pub role: PrincipalRole,
    /// The principal's tenant.
    pub tenant: TenantId,
    /// The customer a [`PrincipalRole::Customer`] is; nobody else has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<Uuid>,
    /// How far the principal may reach, as scopes ([`crate::scope`]); absent for all that the role allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// Issued at, seconds since 1970.
    pub iat: i64,
    /// Expires at, seconds since 1970.
    pub exp: i64,
    /// One token, one id.
    pub jti: Uuid,
    /// Who answered the question this request carries the answer of. Without it the server takes no answer from the agent: a
    /// model behind the agent cannot approve itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<TokenPerson>,
}
