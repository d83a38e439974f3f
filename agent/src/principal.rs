//! Who talks to the agent.

use contracts::ids::TenantId;
use contracts::token::PrincipalRole;

/// A person or program, proven by the door it came through.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Principal {
    /// The business.
    pub tenant: TenantId,
    /// The principal's name within it.
    pub subject: String,
    /// What the principal may do.
    pub role: PrincipalRole,
}

impl Principal {
    /// The caller of local mode: the one owner of the demo tenant.
    #[must_use]
    pub fn local_owner() -> Principal {
        Principal {
            tenant: TenantId::DEMO,
            subject: "owner".to_owned(),
            role: PrincipalRole::Owner,
        }
    }
}
