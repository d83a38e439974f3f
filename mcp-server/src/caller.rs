//! Who is calling: subject, tenant, role, how far they may reach, and how the answer to a question may reach them.

use contracts::ids::TenantId;
use contracts::scope::Reach;
use contracts::token::{PrincipalRole, TokenPerson};
use contracts::tool::{EffectKind, Tool, ToolSheet};
use uuid::Uuid;

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
    /// The customer a [`PrincipalRole::Customer`] is, who is confined to what is hers; nobody else has one.
    pub customer: Option<Uuid>,
    /// How far the principal may reach within the role: its scopes, the server's settings, the request's headers.
    pub reach: Reach,
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
    /// A client with an API key, by the key's id: the person at it is the key's principal.
    Key(Uuid),
    /// A client with a token of the authorization server: the person at it is whom the token names.
    Token,
    /// A person who logged in on a page of ours.
    Session,
}

impl Caller {
    /// The caller of local mode.
    #[must_use]
    pub fn local_owner() -> Caller {
        Caller {
            tenant: TenantId::DEMO,
            subject: LOCAL_OWNER.to_owned(),
            role: PrincipalRole::Owner,
            customer: None,
            reach: Reach::EVERYTHING,
            door: Door::Local,
        }
    }

    /// Whether this caller may see and call a tool.
    #[must_use]
    pub fn may_call(&self, sheet: &ToolSheet) -> bool {
        self.role >= sheet.least_role && self.reach.allows(sheet.toolset, sheet.effect)
    }

    /// Whether this caller may do what a tool does by another way than a call: read its things as resources, on pages.
    #[must_use]
    pub fn may_use<T: Tool>(&self) -> bool {
        let effect = <T::Kind as EffectKind>::EFFECT;
        self.role >= T::LEAST_ROLE && self.reach.allows(T::TOOLSET, effect)
    }

    /// The customer whose things alone this caller sees and touches; `None` for staff and the owner, who see everybody's. A customer
    /// principal of whom it is not known who she is sees nobody's.
    #[must_use]
    pub fn confined_to(&self) -> Option<Uuid> {
        match self.role {
            PrincipalRole::Customer => Some(self.customer.unwrap_or_default()),
            PrincipalRole::Staff | PrincipalRole::Owner => None,
        }
    }

    /// The principal as the person who answers a question.
    #[must_use]
    pub fn person(&self) -> TokenPerson {
        TokenPerson {
            sub: self.subject.clone(),
            role: self.role,
        }
    }
}
