//! `GET /agent/runs/{id}`: the trace of one run.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::approval::ApprovalStatus;
use super::event::RunEvent;

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// Waits for the run before it in its session.
    Queued,
    /// A worker has it.
    Running,
    /// A person has to answer.
    Waiting,
    /// Over.
    Done,
    /// Over, and something went wrong.
    Failed,
    /// Stopped by a person.
    Cancelled,
}

impl RunStatus {
    /// The word stored and shown.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            RunStatus::Queued => "queued",
            RunStatus::Running => "running",
            RunStatus::Waiting => "waiting",
            RunStatus::Done => "done",
            RunStatus::Failed => "failed",
            RunStatus::Cancelled => "cancelled",
        }
    }

    /// Reads [`RunStatus::word`] back.
    #[must_use]
    pub fn from_word(word: &str) -> Option<RunStatus> {
        [
            RunStatus::Queued,
            RunStatus::Running,
            RunStatus::Waiting,
            RunStatus::Done,
            RunStatus::Failed,
            RunStatus::Cancelled,
        ]
        .into_iter()
        .find(|s| s.word() == word)
    }
}

/// One model or tool call, as journaled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StepView {
    /// Its place in the run, from 1.
    pub step: i32,
    /// `model` or `tool`.
    pub kind: String,
    /// The model or the tool.
    pub name: String,
    /// The call's id, for a tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    /// What was sent.
    pub request: Value,
    /// What came back; absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Value>,
    /// When it was sent.
    pub started_at: DateTime<Utc>,
    /// When the answer was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<DateTime<Utc>>,
}

/// A question of the run and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ApprovalView {
    /// The approval.
    pub approval_id: Uuid,
    /// The call.
    pub call_id: String,
    /// The tool.
    pub tool: String,
    /// The sentence the person was shown.
    pub message: String,
    /// Where it stands.
    pub status: ApprovalStatus,
    /// Who answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// How: `chat`, `rest`, `page`, `cli`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_via: Option<String>,
    /// When it lapses or lapsed.
    pub expires_at: DateTime<Utc>,
}

/// A run from its first event to its last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunView {
    /// The run.
    pub run_id: Uuid,
    /// Its conversation.
    pub session_id: String,
    /// Where it stands.
    pub status: RunStatus,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<DateTime<Utc>>,
    /// Its model and tool calls.
    pub steps: Vec<StepView>,
    /// Its questions.
    pub approvals: Vec<ApprovalView>,
    /// Its log.
    pub events: Vec<RunEvent>,
}
