//! Who is calling: subject, tenant, role, and how the answer to a question may reach them.

use contracts::ids::TenantId;
use contracts::token::{PrincipalRole, TokenPerson};

/// The subject of local mode: the one owner of the demo tenant.
pub const LOCAL_OWNER: &str = "owner";

/// A principal, proven by the door it came through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The business.
    pub tenant: TenantId,
    /// The principal's name within it.
    pub subject: String,
    /// What the principal may do.
    pub role: PrincipalRole,
    /// How the principal came in.
    pub door: Door,
}

/// How a caller came in, which decides how a person's yes can be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Door {
    /// A client on this machine: the person at it is the owner.
    Local,
    /// Our agent with its token, on behalf of its end user. An answer counts only with the person who gave it.
    Agent {
        /// Who answered the question this request carries the answer of.
        decided_by: Option<TokenPerson>,
    },
}

impl Caller {
    /// The caller of local mode.
    #[must_use]
    pub fn local_owner() -> Caller {
        Caller {
            tenant: TenantId::DEMO,
            subject: LOCAL_OWNER.to_owned(),
            role: PrincipalRole::Owner,
            door: Door::Local,
        }
    }
}
