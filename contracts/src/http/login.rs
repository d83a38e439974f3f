//! `POST /login`: [`crate::identity::Login`] as JSON. The session is in the answer's cookie.

use serde::{Deserialize, Serialize};

use crate::token::PrincipalRole;

/// Who has logged in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedIn {
    /// How a page greets the person.
    pub name: String,
    /// What the person may do.
    pub role: PrincipalRole,
}
