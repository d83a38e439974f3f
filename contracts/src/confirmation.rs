//! The question a `commit` tool asks before it does anything (SPEC 4.3).

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::money::Money;
use crate::token::PrincipalRole;

/// The result's and elicitation's `_meta` member that carries a [`Question`].
pub const META_KEY: &str = "countersign/confirmation";

/// The key of the one form elicitation in an `input_required` result, and of its boolean.
pub const ELICITATION_KEY: &str = "confirm";

/// Who may answer a question.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Default,
    Serialize,
    Deserialize,
    JsonSchema,
    utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Approver {
    /// The person who asked.
    #[default]
    #[serde(rename = "self")]
    Asker,
    /// Staff or the owner.
    Staff,
    /// The owner.
    Owner,
}

impl Approver {
    /// The word stored and shown.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Approver::Asker => "self",
            Approver::Staff => "staff",
            Approver::Owner => "owner",
        }
    }

    /// Reads [`Approver::word`] back.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Approver> {
        [Approver::Asker, Approver::Staff, Approver::Owner]
            .into_iter()
            .find(|a| a.word() == word)
    }

    /// Whether somebody of `role`, who is or is not the person who asked, may answer. The owner may answer everything.
    #[must_use]
    pub fn admits(self, role: PrincipalRole, is_asker: bool) -> bool {
        match self {
            Approver::Asker => is_asker || role == PrincipalRole::Owner,
            Approver::Staff => matches!(role, PrincipalRole::Staff | PrincipalRole::Owner),
            Approver::Owner => role == PrincipalRole::Owner,
        }
    }
}

/// One line of a preview, as it is read out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PreviewLine {
    /// "2 kg Sugar @ 160 = 320".
    pub text: String,
    /// What the line comes to, where it is money.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money>,
}

/// The server's question about one exact call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Question {
    /// The confirmation's id.
    pub id: Uuid,
    /// The tool that would run.
    pub tool: String,
    /// The sentence the person is shown, word for word, in the request's locale.
    pub message: String,
    /// The lines behind it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<PreviewLine>,
    /// What it comes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<Money>,
    /// What is agreed to by saying yes: resolved ids, quantities, prices, total. If it is no longer true, nothing happens and the
    /// question is asked anew.
    pub binding: Value,
    /// What may change without voiding the question: stock before and after, notes.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub informative: Value,
    /// Who may answer.
    pub approver: Approver,
    /// The principal who asked.
    pub requested_by: String,
    /// When the question lapses.
    pub expires_at: DateTime<Utc>,
}

/// The complete result a client gets that can neither elicit nor be elicited from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfirmationRequired {
    /// Always `confirmation_required`.
    pub status: ConfirmationRequiredStatus,
    /// One sentence: what is asked and where it is answered.
    pub summary: String,
    /// The question's id; the outcome is collected with `confirm_action`.
    pub confirmation_id: Uuid,
    /// The question itself.
    pub preview: Question,
    /// When the question lapses.
    pub expires_at: DateTime<Utc>,
    /// The page where the person answers.
    pub approval_url: String,
    /// Only where the tenant lets clients confirm by token: pass it to `confirm_action` after the person has said yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// The one value of [`ConfirmationRequired::status`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConfirmationRequiredStatus {
    /// A person has to answer first.
    #[default]
    ConfirmationRequired,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_approver_admits_no_one_below() {
        use PrincipalRole::{Customer, Owner, Staff};
        assert!(Approver::Asker.admits(Customer, true));
        assert!(!Approver::Asker.admits(Staff, false));
        assert!(Approver::Asker.admits(Owner, false));
        assert!(!Approver::Staff.admits(Customer, true));
        assert!(Approver::Staff.admits(Staff, false));
        assert!(!Approver::Owner.admits(Staff, true));
        assert!(Approver::Owner.admits(Owner, false));
    }
}
