//! `POST /agent/chat`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::confirmation::Approver;

/// Longest message, characters.
pub const MESSAGE_CHARACTERS_MAX: usize = 2000;
/// Longest session id, characters; letters, digits and `-_.:`.
pub const SESSION_ID_CHARACTERS_MAX: usize = 128;

/// One message of a conversation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ChatRequest {
    /// The conversation: 1 to 128 letters, digits and `-_.:`. A new one is made when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 128, pattern = "^[A-Za-z0-9._:-]{1,128}$")]
    pub session_id: Option<String>,
    /// What the person says: 1 to 2,000 characters.
    #[schema(min_length = 1, max_length = 2000)]
    pub message: String,
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChatStatus {
    /// The request was answered.
    Success,
    /// A question is open: see `confirmations`.
    PendingConfirmation,
    /// The person said no, or the run was cancelled.
    Cancelled,
    /// It could not be done.
    Error,
}

/// What became of a tool call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolCallStatus {
    /// Not answered yet.
    Running,
    /// A person is asked first.
    PendingConfirmation,
    /// Done.
    Done,
    /// Refused by the tool; nothing was done.
    Failed,
    /// A person said no; nothing was done.
    Denied,
    /// Nobody answered in time; nothing was done.
    Expired,
    /// The person changed the request; nothing was done.
    Superseded,
    /// It was sent and no answer came back; staff will look.
    Unknown,
}

/// One tool call of a turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ToolCallView {
    /// The call's id within the run.
    pub id: String,
    /// The tool.
    pub name: String,
    /// Its arguments.
    pub arguments: Value,
    /// What became of it.
    pub status: ToolCallStatus,
    /// The tool's structured result, or its failure.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub result: Value,
}

/// An open question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConfirmationView {
    /// Answer it with `POST /agent/approvals/{approval_id}`, or by saying yes or no.
    pub approval_id: Uuid,
    /// The tool that would run.
    pub tool: String,
    /// The server's sentence, word for word.
    pub message: String,
    /// Lines, total, binding and informative parts.
    pub preview: Value,
    /// Who may answer.
    pub approver: Approver,
    /// When it lapses.
    pub expires_at: DateTime<Utc>,
}

/// What a turn used of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// Model calls.
    pub model_calls: u32,
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// Cost in millionths of a US dollar.
    pub cost_usd_micros: u64,
}

/// The answer to one message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChatResponse {
    /// The conversation.
    pub session_id: String,
    /// The run that answered; `GET /agent/runs/{run_id}` has its trace.
    pub run_id: Uuid,
    /// What the person is told.
    pub response: String,
    /// How the turn ended.
    pub status: ChatStatus,
    /// The tools that were called.
    pub tool_calls: Vec<ToolCallView>,
    /// The questions that are open.
    pub confirmations: Vec<ConfirmationView>,
    /// What it used of the model.
    pub usage: Usage,
}
