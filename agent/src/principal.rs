//! Who talks to the agent.

use contracts::ids::TenantId;
use contracts::scope::Reach;
use contracts::token::PrincipalRole;
use uuid::Uuid;

/// A person or program, proven by the door it came through.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Principal {
    /// The business.
    pub tenant: TenantId,
    /// The principal's name within it.
    pub subject: String,
    /// What the principal may do.
    pub role: PrincipalRole,
    /// The customer a customer is.
    pub customer: Option<Uuid>,
    /// How far the principal may reach within the role.
    pub reach: Reach,
}

impl Principal {
    /// The caller of local mode: the one owner of the demo tenant.
    #[must_use]
    pub fn local_owner() -> Principal {
        Principal {
            tenant: TenantId::DEMO,
            subject: "owner".to_owned(),
            role: PrincipalRole::Owner,
            customer: None,
            reach: Reach::EVERYTHING,
        }
    }
}
