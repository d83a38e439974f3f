//! What drives a conversation: a language model or the interpreter, behind one trait.

pub mod fallback;
pub mod instructions;
pub mod interpreter;
pub mod openai;
pub mod per_list;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use contracts::failure::ToolFailure;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::language::Language;

/// One entry of the conversation as a model sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "lowercase")]
pub enum Message {
    /// What the person said.
    User {
        /// The words.
        text: String,
    },
    /// What the model said, and the calls it wanted.
    Assistant {
        /// The words; empty when it only called tools.
        #[serde(default)]
        text: String,
        /// The calls, in the order of the answer.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        calls: Vec<ToolCall>,
        /// What the model that wrote this wants to be reminded of with the next message: the interpreter's half-filled request.
        /// Other models ignore it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Value>,
    },
    /// What became of a call. Every call has exactly one before the model is asked again.
    Tool {
        /// The call it answers.
        call_id: String,
        /// The tool's name.
        tool: String,
        /// What became of it.
        outcome: ToolOutcome,
    },
}

/// A call a model wants made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Unique within the run. The engine renames ids that a model repeats.
    pub id: String,
    /// The tool's name.
    pub tool: String,
    /// Its arguments, a JSON object.
    pub arguments: Value,
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum ToolOutcome {
    /// It was done: the structured result, with its `summary` sentence.
    Done {
        /// The structured result.
        result: Value,
    },
    /// The tool refused; nothing was done.
    Failed {
        /// Why, and what can be done about it.
        failure: ToolFailure,
    },
    /// A person said no; nothing was done.
    Denied {
        /// The person's reason, if one was given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Nobody answered in time; nothing was done.
    Expired,
    /// The person changed the request instead of answering; nothing was done. The change is the next user message.
    Superseded,
    /// It was sent and no answer came back; whether it was done is not known, and staff will look.
    Unknown,
}

/// A tool a model may call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// Its name.
    pub name: String,
    /// A few words for a person.
    pub title: String,
    /// What the model reads.
    pub description: String,
    /// JSON Schema of the arguments.
    pub input_schema: Value,
    /// The server's `readOnlyHint`.
    pub read_only: bool,
}

/// Everything one model call needs.
#[derive(Debug, Clone)]
pub struct ModelRequest {
    /// What the model is told before the conversation: [`instructions`].
    pub instructions: String,
    /// The conversation, oldest first; calls and outcomes are never parted.
    pub messages: Vec<Message>,
    /// The tools this principal may use; shared, because what is made of a list is made once per list ([`per_list`]).
    pub tools: Arc<Vec<ToolSpec>>,
    /// The session's language.
    pub language: Language,
    /// The time, as the business's clock has it.
    pub now: DateTime<Utc>,
    /// The shop's time zone.
    pub time_zone: Tz,
}

/// What a model answered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelAnswer {
    /// What it says to the person.
    pub text: String,
    /// The calls it wants, in order.
    pub calls: Vec<ToolCall>,
    /// See [`Message::Assistant`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Value>,
    /// Who answered: the provider's name for its model, or "interpreter".
    #[serde(default)]
    pub model: String,
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
}

/// Why a model gave no answer. The texts are for the log; a person never sees them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// It cannot be reached, is overloaded or answered nonsense, and was asked often enough; another model may do.
    #[error("the model is unavailable: {0}")]
    Unavailable(String),
    /// It refused this conversation; another one it may take.
    #[error("the model refused the request: {0}")]
    Refused(String),
    /// It will refuse every conversation until somebody changes a setting or pays: key, address, name or quota.
    #[error("the model cannot be used as it is set up: {0}")]
    Unusable(String),
}

/// Receives a text while it is being written.
pub trait TextSink: Send {
    /// The next piece, never empty.
    fn delta(&mut self, piece: &str);
    /// What was said of this answer so far is void: the answer failed half-way and is begun anew.
    fn start_over(&mut self);
    /// The model that was configured cannot answer and the rules do. `reason` is a sentence for the person.
    fn fell_back(&mut self, reason: &str);
}

/// The future a [`Model`] returns.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Result<ModelAnswer, ModelError>> + Send + 'a>>;

/// Answers a conversation with words or tool calls.
pub trait Model: Send + Sync + 'static {
    /// Its name in traces and events.
    fn name(&self) -> &str;
    /// The next answer. Pieces of its text go to `sink` as they come; the answer holds the whole text again.
    fn answer<'a>(&'a self, request: &'a ModelRequest, sink: &'a mut dyn TextSink)
    -> Answering<'a>;
    /// Whether a reply to an open question can change the call it is about. The question is given up for such a reply and stands
    /// otherwise. A language model can make something of any change.
    fn can_change(
        &self,
        _call: &ToolCall,
        _text: &str,
        _language: Language,
        _today: NaiveDate,
    ) -> bool {
        true
    }
}
