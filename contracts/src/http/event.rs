//! The events of a run's append-only log. Every stream is a projection of them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::approval::ApprovalStatus;
use super::chat::{ChatStatus, ConfirmationView, ToolCallStatus, Usage};

/// One entry of a run's log, in the order of `seq`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunEvent {
    /// Its place in the run, from 1 without a gap.
    pub seq: i64,
    /// When it was written.
    pub at: DateTime<Utc>,
    /// What happened.
    #[serde(flatten)]
    pub body: EventBody,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", content = "data", rename_all = "snake_case")]
pub enum EventBody {
    /// Work began on a message.
    Started {
        /// The conversation.
        session_id: String,
        /// The run.
        run_id: Uuid,
        /// The message that answers; a resumed run goes on with the same one.
        message_id: Uuid,
        /// The model, or "interpreter".
        model: String,
    },
    /// The run goes on after a person's answer.
    Resumed {
        /// The conversation.
        session_id: String,
        /// The run.
        run_id: Uuid,
        /// The message that goes on.
        message_id: Uuid,
        /// The model, or "interpreter".
        model: String,
    },
    /// A model call began.
    StepStarted {
        /// Counts model calls of the run, from 1.
        step: u32,
    },
    /// The tools of a step are done.
    StepFinished {
        /// Counts model calls of the run, from 1.
        step: u32,
    },
    /// A text begins.
    TextStarted {
        /// Names the text within the message.
        text_id: String,
    },
    /// More of a text.
    TextDelta {
        /// Which text.
        text_id: String,
        /// The piece.
        delta: String,
    },
    /// A text is complete, or void.
    TextFinished {
        /// Which text.
        text_id: String,
        /// The text is void: the answer failed half-way and is begun anew as another text. Whoever shows it takes it back.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        discarded: bool,
    },
    /// The model wants a tool called.
    ToolCalled {
        /// The call's id within the run.
        call_id: String,
        /// The tool.
        tool: String,
        /// A few words for a person.
        title: String,
        /// The arguments, checked.
        arguments: Value,
    },
    /// A person is asked before the call is made.
    Question {
        /// The call.
        call_id: String,
        /// The question.
        confirmation: ConfirmationView,
    },
    /// The question was answered or lapsed.
    Answered {
        /// The call.
        call_id: String,
        /// The question, as it was asked.
        confirmation: ConfirmationView,
        /// What became of it.
        status: ApprovalStatus,
        /// Who answered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        decided_by: Option<String>,
    },
    /// A tool answered, or will not.
    ToolReturned {
        /// The call.
        call_id: String,
        /// The tool.
        tool: String,
        /// What became of it.
        status: ToolCallStatus,
        /// The structured result, or the failure.
        result: Value,
    },
    /// The model could not be used and the interpreter answers.
    Fallback {
        /// Why, for a person.
        reason: String,
    },
    /// The turn ends here with questions open; an answer resumes the run.
    Waiting {
        /// What it used so far.
        usage: Usage,
    },
    /// The run could not go on.
    Failed {
        /// One sentence for the person.
        message: String,
        /// Postgres or the tool server could not be reached: trying again later may help.
        #[serde(default)]
        unavailable: bool,
    },
    /// The run was cancelled.
    Cancelled {
        /// Why.
        reason: String,
    },
    /// The run is over.
    Finished {
        /// How it ended.
        status: ChatStatus,
        /// What it used.
        usage: Usage,
    },
}

impl EventBody {
    /// The event's name, as in the tag.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            EventBody::Started { .. } => "started",
            EventBody::Resumed { .. } => "resumed",
            EventBody::StepStarted { .. } => "step_started",
            EventBody::StepFinished { .. } => "step_finished",
            EventBody::TextStarted { .. } => "text_started",
            EventBody::TextDelta { .. } => "text_delta",
            EventBody::TextFinished { .. } => "text_finished",
            EventBody::ToolCalled { .. } => "tool_called",
            EventBody::Question { .. } => "question",
            EventBody::Answered { .. } => "answered",
            EventBody::ToolReturned { .. } => "tool_returned",
            EventBody::Fallback { .. } => "fallback",
            EventBody::Waiting { .. } => "waiting",
            EventBody::Failed { .. } => "failed",
            EventBody::Cancelled { .. } => "cancelled",
            EventBody::Finished { .. } => "finished",
        }
    }

    /// Nothing more comes in this turn: a stream ends after it.
    #[must_use]
    pub const fn ends_turn(&self) -> bool {
        matches!(self, EventBody::Waiting { .. } | EventBody::Finished { .. })
    }

    /// A turn begins: a stream that replays it starts here.
    #[must_use]
    pub const fn begins_turn(&self) -> bool {
        matches!(self, EventBody::Started { .. } | EventBody::Resumed { .. })
    }
}
