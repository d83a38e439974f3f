//! How the agent asks the tool server, which alone keeps identities, who somebody is.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::TenantId;
use crate::token::PrincipalRole;

/// Where the agent asks whose credential something is (OAuth 2.0 token introspection, RFC 7662, with JSON both ways).
pub const INTROSPECT_PATH: &str = "/identity/introspect";
/// Where the agent opens a session for a person who logs in on one of its pages.
pub const SESSIONS_PATH: &str = "/identity/sessions";
/// Where it ends one.
pub const END_SESSION_PATH: &str = "/identity/sessions/end";

/// A credential somebody brought: an API key, a session's token, a token of an authorization server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// As it was brought, without `Bearer`.
    pub token: String,
}

/// Whose credential it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introspection {
    /// Whether it is anybody's, now. Nothing else is said when it is not.
    pub active: bool,
    /// Who.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
}

/// A principal as the identity store knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The business.
    pub tenant: TenantId,
    /// The principal's name within it.
    pub sub: String,
    /// How a page greets the person.
    pub name: String,
    /// What the principal may do.
    pub role: PrincipalRole,
    /// The customer a customer principal is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<Uuid>,
    /// How far the principal may reach ([`crate::scope`]).
    pub scopes: Vec<String>,
    /// When the credential ends by itself, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
}

/// What a person gives to log in.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The business's handle, as in its address: `corner-shop`.
    pub shop: String,
    /// The person's name at log-in.
    pub name: String,
    /// The password.
    pub password: String,
}

/// A session that was opened.
#[derive(Clone, Serialize, Deserialize)]
pub struct OpenedSession {
    /// The token that stands for it, to be kept in a cookie no script can read.
    pub token: String,
    /// Whose it is.
    pub identity: Identity,
}
