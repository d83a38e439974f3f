//! Collecting the outcome of a question that is answered elsewhere.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::failure::ToolFailure;
use crate::token::PrincipalRole;
use crate::tool::{Read, Tool, Toolset};

/// `confirm_action`.
#[derive(Debug)]
pub struct ConfirmAction;

/// Which question.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmActionInput {
    /// The `confirmation_id` of a result whose status was `confirmation_required`.
    pub confirmation_id: Uuid,
    /// Only where the shop hands out tokens with its questions: the token of the question, sent after the person has said yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// Where a question stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConfirmationStatus {
    /// Nobody has answered yet.
    Open,
    /// A person said yes and it was done; `result` is the tool's own result.
    Done,
    /// A person said yes and the tool refused; `failure` says why. Nothing was done.
    Failed,
    /// A person said no. Nothing was done.
    Declined,
    /// Nobody answered in time. Nothing was done.
    Expired,
    /// What was asked is no longer true; `replaced_by` is the new question. Nothing was done.
    Superseded,
}

/// Where the question stands and what came of it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ConfirmActionOutput {
    /// One sentence for the person.
    pub summary: String,
    /// Where the question stands.
    pub status: ConfirmationStatus,
    /// The tool the question was about.
    pub tool: String,
    /// The tool's result once it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Why the tool refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<ToolFailure>,
    /// The question that replaced this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<Uuid>,
    /// Who answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// When an open question lapses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    /// Where an open question is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_url: Option<String>,
}

impl Tool for ConfirmAction {
    const NAME: &'static str = "confirm_action";
    const TITLE: &'static str = "Outcome of a confirmation";
    const DESCRIPTION: &'static str = "Collects what came of a question that a person answers elsewhere. Call it with the confirmation_id \
        of a `confirmation_required` result after the person has opened approval_url and answered. It approves nothing by itself: while \
        the question is open it says so.";
    const TOOLSET: Toolset = Toolset::All;
    const IDEMPOTENT: bool = true;
    const LEAST_ROLE: PrincipalRole = PrincipalRole::Customer;
    type Kind = Read;
    type Input = ConfirmActionInput;
    type Output = ConfirmActionOutput;
}
