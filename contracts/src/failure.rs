//! The answer of a tool that did nothing: something a model or a person can repair.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::money::Money;
use crate::quantity::{Exact, Measure};

/// What went wrong, for a program. Codes are part of the contract: none is minted that no caller needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// An argument is missing, of the wrong type or outside its range; `field` names it.
    InvalidArguments,
    /// No item of that name.
    UnknownItem,
    /// Several items could be meant; `candidates` lists them.
    AmbiguousItem,
    /// No customer of that name.
    UnknownCustomer,
    /// Several customers could be meant; `candidates` lists them.
    AmbiguousCustomer,
    /// No bill of that number or id.
    UnknownBill,
    /// The thing is there already; the hint offers the update.
    AlreadyExists,
    /// Not enough on hand; `candidates` says what is left.
    InsufficientStock,
    /// The unit is not one the item can be counted in.
    UnknownUnit,
    /// The amount is in another currency than the shop's.
    CurrencyMismatch,
    /// It changed since it was read.
    VersionConflict,
    /// The item is on an open bill or held.
    ItemInUse,
    /// The bill is not open, or has been paid.
    BillNotOpen,
    /// No payment of that number or id.
    UnknownPayment,
    /// The wallet holds less than that; `candidates` says what it holds.
    InsufficientFunds,
    /// Nothing is owed, so there is nothing to pay.
    NothingOwed,
    /// The payment is not settled, or nothing of it is left to give back.
    NotRefundable,
    /// The way of paying is not set up for this shop.
    MethodUnavailable,
    /// Nothing of that name can be booked.
    UnknownResource,
    /// Several things that can be booked could be meant; `candidates` lists them.
    AmbiguousResource,
    /// Nobody can be taken at that time; `candidates` lists the nearest free times.
    SlotTaken,
    /// The time is outside the opening hours, too soon or too far ahead.
    NotBookable,
    /// The clock shows that time twice, or not at all, on that day.
    AmbiguousTime,
    /// No booking of that reference.
    UnknownBooking,
    /// Several bookings could be meant; `candidates` lists them.
    AmbiguousBooking,
    /// The booking is over, cancelled, or can no longer be changed.
    BookingClosed,
    /// No branch of that name.
    UnknownPlace,
    /// Several branches could be meant; `candidates` lists them.
    AmbiguousPlace,
    /// No ticket of that number.
    UnknownTicket,
    /// The caller may not use this tool.
    NotAllowed,
    /// The person said no.
    Declined,
    /// The question was not answered in time.
    Expired,
    /// No such question for this caller.
    UnknownConfirmation,
    /// The question was answered already.
    AlreadyDecided,
    /// The person who answered may not answer this question; it stays open.
    NotApprover,
    /// The tenant does not let this client's calls be confirmed.
    ConfirmationRefused,
    /// The idempotency key was used for another call.
    IdempotencyConflict,
    /// Too many calls; try again later.
    RateLimited,
    /// The call took too long; nothing is known to have happened.
    Timeout,
    /// The database cannot be reached.
    Unavailable,
    /// Our fault; the log has the details.
    Internal,
}

impl FailureCode {
    /// Whether the same call can succeed later without being changed.
    #[must_use]
    pub const fn retryable(self) -> bool {
        matches!(
            self,
            FailureCode::RateLimited | FailureCode::Timeout | FailureCode::Unavailable
        )
    }

    /// Ours rather than the business's: rolled back, never stored as the answer of an idempotency key.
    #[must_use]
    pub const fn is_fault(self) -> bool {
        matches!(
            self,
            FailureCode::RateLimited
                | FailureCode::Timeout
                | FailureCode::Unavailable
                | FailureCode::Internal
        )
    }
}

/// Something the caller may have meant.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Candidate {
    /// The name to repeat the call with.
    pub name: String,
    /// What it costs per unit, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<String>,
    /// What is on hand. For `insufficient_stock` this is the quantity that could be had, in the unit that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stock: Option<Measure>,
    /// An amount of money that would be accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money>,
    /// How alike the names are, 0 to 1, two decimals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<Exact>,
}

/// A refusal or a fault. Never SQL, a stack or another tenant's existence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{message}")]
pub struct ToolFailure {
    /// What went wrong, for a program.
    pub code: FailureCode,
    /// What went wrong, one sentence for the person, in the request's locale.
    pub message: String,
    /// What to do next, for the model.
    pub hint: String,
    /// The argument at fault, as a path: `lines[0].quantity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What may have been meant, best first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<Candidate>,
    /// Whether the same call can succeed later unchanged.
    pub retryable: bool,
}

impl ToolFailure {
    /// A failure with its sentence and what to do next.
    #[must_use]
    pub fn new(
        code: FailureCode,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> ToolFailure {
        ToolFailure {
            code,
            message: message.into(),
            hint: hint.into(),
            field: None,
            candidates: Vec::new(),
            retryable: code.retryable(),
        }
    }

    /// Names the argument at fault.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> ToolFailure {
        self.field = Some(field.into());
        self
    }

    /// Adds what may have been meant.
    #[must_use]
    pub fn offering(mut self, candidates: Vec<Candidate>) -> ToolFailure {
        self.candidates = candidates;
        self
    }
}
