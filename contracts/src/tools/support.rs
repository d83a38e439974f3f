//! Requests that people answer.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::token::PrincipalRole;
use crate::tool::{CUSTOMER, ForCustomers, Read, Tool, Toolset, Write};

/// Where a ticket stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TicketStatus {
    /// Somebody should look at it.
    Open,
    /// A person has to look at it now.
    Escalated,
    /// It waits for an answer from outside.
    Waiting,
    /// It has been answered.
    Resolved,
    /// Nothing more will happen.
    Closed,
}

impl TicketStatus {
    /// The word stored and shown.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            TicketStatus::Open => "open",
            TicketStatus::Escalated => "escalated",
            TicketStatus::Waiting => "waiting",
            TicketStatus::Resolved => "resolved",
            TicketStatus::Closed => "closed",
        }
    }

    /// Reads [`TicketStatus::word`] back.
    #[must_use]
    pub fn from_word(word: &str) -> Option<TicketStatus> {
        [
            TicketStatus::Open,
            TicketStatus::Escalated,
            TicketStatus::Waiting,
            TicketStatus::Resolved,
            TicketStatus::Closed,
        ]
        .into_iter()
        .find(|s| s.word() == word)
    }
}

/// How much a ticket presses, the least first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum TicketPriority {
    /// When there is time.
    Low,
    /// In its turn.
    Normal,
    /// Before others.
    High,
    /// Now.
    Urgent,
}

impl TicketPriority {
    /// The word stored and shown.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            TicketPriority::Low => "low",
            TicketPriority::Normal => "normal",
            TicketPriority::High => "high",
            TicketPriority::Urgent => "urgent",
        }
    }

    /// Reads [`TicketPriority::word`] back.
    #[must_use]
    pub fn from_word(word: &str) -> Option<TicketPriority> {
        [
            TicketPriority::Low,
            TicketPriority::Normal,
            TicketPriority::High,
            TicketPriority::Urgent,
        ]
        .into_iter()
        .find(|p| p.word() == word)
    }
}

/// Something somebody wrote on a ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TicketNoteView {
    /// What was written.
    pub note: String,
    /// Who wrote it.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// A ticket in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TicketHead {
    /// The ticket's id.
    pub ticket_id: Uuid,
    /// Its number: "T-4".
    pub number: String,
    /// What it is about.
    pub subject: String,
    /// Where it stands.
    pub status: TicketStatus,
    /// How much it presses.
    pub priority: TicketPriority,
    /// The customer it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// Who takes care of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee: Option<String>,
    /// When it was opened.
    pub created_at: DateTime<Utc>,
}

/// A ticket with what was written on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TicketView {
    /// Number, subject, status and who.
    #[serde(flatten)]
    pub head: TicketHead,
    /// The request in full.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// Who opened it.
    pub created_by: String,
    /// The conversation it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// When a person was first called for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalated_at: Option<DateTime<Utc>>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// The last 20 notes, oldest first.
    pub notes: Vec<TicketNoteView>,
}

/// A ticket after it was opened or changed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TicketOutput {
    /// One sentence for the person.
    pub summary: String,
    /// The ticket as it is now.
    pub ticket: TicketView,
}

/// `create_ticket`.
#[derive(Debug)]
pub struct CreateTicket;

/// A new request.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTicketInput {
    /// What it is about, one line: "Milk was sour". 1 to 120 characters.
    pub subject: String,
    /// The request in full. Up to 4000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The customer it is about, by name, telephone number or id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// How much it presses; normal when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<TicketPriority>,
}

impl Tool for CreateTicket {
    const NAME: &'static str = "create_ticket";
    const TITLE: &'static str = "Open a ticket";
    const DESCRIPTION: &'static str = "Opens a numbered ticket for a complaint, a question or a task that a person will take care of. \
        Example: \"Note that Ali's milk was sour\". To call for a person at once use escalate_to_human.";
    const TOOLSET: Toolset = Toolset::Support;
    const IDEMPOTENT: bool = false;
    const LEAST_ROLE: PrincipalRole = PrincipalRole::Customer;
    const FOR_CUSTOMERS: ForCustomers = ForCustomers::reading(
        "Opens a numbered ticket for a complaint, a question or a wish of yours that a person will take care of. Example: \"My milk was \
         sour\". To call for a person at once use escalate_to_human.",
    );
    type Kind = Write;
    type Input = CreateTicketInput;
    type Output = TicketOutput;
}

/// `list_tickets`.
#[derive(Debug)]
pub struct ListTickets;

/// Which tickets.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListTicketsInput {
    /// Only tickets that stand there; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<TicketStatus>,
    /// Only tickets about this customer, by name, telephone number or id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// How many at most: 1 to 100; 20 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before, unchanged and with the same filters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// One page of tickets, newest first.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ListTicketsOutput {
    /// One sentence for the person.
    pub summary: String,
    /// The tickets.
    pub tickets: Vec<TicketHead>,
    /// Where the next page starts; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl Tool for ListTickets {
    const NAME: &'static str = "list_tickets";
    const TITLE: &'static str = "List tickets";
    const DESCRIPTION: &'static str = "Lists tickets, newest first, narrowed by status or customer. Examples: \"Which tickets are open?\", \
        \"What did Ali complain about?\"";
    const TOOLSET: Toolset = Toolset::Support;
    const IDEMPOTENT: bool = true;
    type Kind = Read;
    type Input = ListTicketsInput;
    type Output = ListTicketsOutput;
}

/// `update_ticket`.
#[derive(Debug)]
pub struct UpdateTicket;

/// Which ticket, and at least one change.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateTicketInput {
    /// Its number, id or "last": "T-4", "4".
    pub ticket: String,
    /// Where it stands now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<TicketStatus>,
    /// How much it presses now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<TicketPriority>,
    /// Something to write on it: "Called her back". Up to 4000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Who takes care of it; empty for nobody. Up to 120 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee: Option<String>,
}

impl Tool for UpdateTicket {
    const NAME: &'static str = "update_ticket";
    const TITLE: &'static str = "Change a ticket";
    const DESCRIPTION: &'static str = "Changes a ticket: status, priority, who takes care of it, or a note written on it. Examples: \"Close \
        ticket 4\", \"Give ticket T-2 to Aline\", \"Note on the last ticket that she called again\".";
    const TOOLSET: Toolset = Toolset::Support;
    const IDEMPOTENT: bool = false;
    const DESTRUCTIVE: bool = true;
    type Kind = Write;
    type Input = UpdateTicketInput;
    type Output = TicketOutput;
}

/// `escalate_to_human`.
#[derive(Debug)]
pub struct EscalateToHuman;

/// Why a person is needed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EscalateToHumanInput {
    /// Why a person is needed: "She was charged twice and is upset". 1 to 4000 characters.
    pub reason: String,
    /// The customer it is about, by name, telephone number or id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// The conversation's id, so that the person finds the transcript. Up to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// A ticket that is there already, by number, id or "last"; a new one is opened when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
}

impl Tool for EscalateToHuman {
    const NAME: &'static str = "escalate_to_human";
    const TITLE: &'static str = "Call for a person";
    const DESCRIPTION: &'static str = "Calls for a person when the assistant cannot or should not go on: opens an escalated ticket with the \
        reason and the conversation, or escalates the ticket that is named. Example: \"I want to talk to a human\".";
    const TOOLSET: Toolset = Toolset::Support;
    const IDEMPOTENT: bool = false;
    const LEAST_ROLE: PrincipalRole = PrincipalRole::Customer;
    const FOR_CUSTOMERS: ForCustomers = ForCustomers {
        without: &[CUSTOMER, "session"],
        arguments: &[(
            "ticket",
            "A ticket of yours that is there already, by number, id or \"last\"; a new one is opened when absent.",
        )],
        ..ForCustomers::reading(
            "Calls for a person when the assistant cannot or should not go on: opens an escalated ticket with the reason, or escalates the \
             ticket of yours that is named. Example: \"I want to talk to a human\".",
        )
    };
    type Kind = Write;
    type Input = EscalateToHumanInput;
    type Output = TicketOutput;
}
