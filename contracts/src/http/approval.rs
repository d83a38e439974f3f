//! `POST /agent/approvals/{id}` and `GET /agent/approvals`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::chat::ChatResponse;
use super::run::ApprovalView;
use crate::confirmation::Approver;

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// Do it.
    Approve,
    /// Do not.
    Deny,
}

/// The answer to a question.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ApprovalRequest {
    /// Yes or no.
    pub decision: Decision,
    /// Why, for the record. Up to 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 500)]
    pub reason: Option<String>,
}

/// Where an approval stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ApprovalStatus {
    /// Waiting for a person.
    Pending,
    /// A person said yes; not sent to the server yet.
    Approved,
    /// A person said no.
    Denied,
    /// Nobody answered in time.
    Expired,
    /// Replaced by another request or a new question.
    Superseded,
    /// Sent to the server; the answer is not in yet.
    Dispatched,
    /// Done.
    Done,
    /// The server refused; nothing was done.
    Failed,
    /// Sent, and no answer came back.
    Unknown,
}

impl ApprovalStatus {
    /// Every status, for reading one back.
    pub const ALL: [ApprovalStatus; 9] = [
        ApprovalStatus::Pending,
        ApprovalStatus::Approved,
        ApprovalStatus::Denied,
        ApprovalStatus::Expired,
        ApprovalStatus::Superseded,
        ApprovalStatus::Dispatched,
        ApprovalStatus::Done,
        ApprovalStatus::Failed,
        ApprovalStatus::Unknown,
    ];

    /// The word stored and shown.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            ApprovalStatus::Pending => "pending",
            ApprovalStatus::Approved => "approved",
            ApprovalStatus::Denied => "denied",
            ApprovalStatus::Expired => "expired",
            ApprovalStatus::Superseded => "superseded",
            ApprovalStatus::Dispatched => "dispatched",
            ApprovalStatus::Done => "done",
            ApprovalStatus::Failed => "failed",
            ApprovalStatus::Unknown => "unknown",
        }
    }

    /// Reads [`ApprovalStatus::word`] back.
    #[must_use]
    pub fn from_word(word: &str) -> Option<ApprovalStatus> {
        Self::ALL.into_iter().find(|s| s.word() == word)
    }
}

/// The recorded answer. Sent again for the same answer, to the letter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ApprovalResponse {
    /// The approval.
    pub approval_id: Uuid,
    /// What was answered.
    pub decision: Decision,
    /// Who answered.
    pub decided_by: String,
    /// When.
    pub decided_at: DateTime<Utc>,
    /// The turn that the answer resumed.
    pub outcome: ChatResponse,
}

/// One approval of a list, with where it belongs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ListedApproval {
    /// Its conversation.
    pub session_id: String,
    /// The run that asked.
    pub run_id: Uuid,
    /// When it was asked.
    pub created_at: DateTime<Utc>,
    /// The principal for whom it would be done.
    pub asked_by: String,
    /// Who may answer.
    pub approver: Approver,
    /// Whether whoever reads this list may answer it, now.
    pub may_answer: bool,
    /// The approval itself.
    #[serde(flatten)]
    pub approval: ApprovalView,
}

/// One page of approvals, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ApprovalPage {
    /// The approvals.
    pub approvals: Vec<ListedApproval>,
    /// Where the next page begins; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}
