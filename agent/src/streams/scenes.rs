//! Logs of runs for the tests of the projections.

use chrono::DateTime;
use contracts::confirmation::Approver;
use contracts::http::approval::ApprovalStatus;
use contracts::http::chat::{ChatStatus, ConfirmationView, ToolCallStatus, Usage};
use contracts::http::event::{EventBody, RunEvent};
use serde_json::{Value, json};
use uuid::Uuid;

pub(super) const RUN: Uuid = Uuid::from_u128(1);
pub(super) const MESSAGE: Uuid = Uuid::from_u128(2);
pub(super) const APPROVAL: Uuid = Uuid::from_u128(3);

pub(super) fn log(bodies: Vec<EventBody>, first_seq: i64) -> Vec<RunEvent> {
    let at = DateTime::UNIX_EPOCH;
    (first_seq..)
        .zip(bodies)
        .map(|(seq, body)| RunEvent { seq, at, body })
        .collect()
}

pub(super) fn started() -> EventBody {
    EventBody::Started {
        session_id: "s1".to_owned(),
        run_id: RUN,
        message_id: MESSAGE,
        model: "interpreter".to_owned(),
    }
}

pub(super) fn confirmation() -> ConfirmationView {
    ConfirmationView {
        approval_id: APPROVAL,
        tool: "billing_create_bill".to_owned(),
        message: "Are you sure?".to_owned(),
        preview: json!({"lines": []}),
        approver: Approver::Asker,
        expires_at: DateTime::from_timestamp(1_795_000_000, 0).expect("a time"),
    }
}

pub(super) fn answered(status: ApprovalStatus) -> EventBody {
    EventBody::Answered {
        call_id: "c1".to_owned(),
        confirmation: confirmation(),
        status,
        decided_by: None,
    }
}

pub(super) fn returned(status: ToolCallStatus, result: Value) -> EventBody {
    EventBody::ToolReturned {
        call_id: "c1".to_owned(),
        tool: "billing_create_bill".to_owned(),
        status,
        result,
    }
}

pub(super) fn text(piece: &str) -> Vec<EventBody> {
    let text_id = "t1".to_owned();
    vec![
        EventBody::TextStarted {
            text_id: text_id.clone(),
        },
        EventBody::TextDelta {
            text_id: text_id.clone(),
            delta: piece.to_owned(),
        },
        EventBody::TextFinished {
            text_id,
            discarded: false,
        },
    ]
}

/// A turn that asks before it writes a bill.
pub(super) fn asking(first_seq: i64) -> Vec<RunEvent> {
    let bodies = vec![
        started(),
        EventBody::StepStarted { step: 1 },
        EventBody::ToolCalled {
            call_id: "c1".to_owned(),
            tool: "billing_create_bill".to_owned(),
            title: "Create a bill".to_owned(),
            arguments: json!({"customer": "Ali"}),
        },
        EventBody::Question {
            call_id: "c1".to_owned(),
            confirmation: confirmation(),
        },
        EventBody::Waiting {
            usage: Usage::default(),
        },
    ];
    log(bodies, first_seq)
}

/// The turn after the yes.
pub(super) fn resumed(first_seq: i64) -> Vec<RunEvent> {
    let mut bodies = vec![
        EventBody::Resumed {
            session_id: "s1".to_owned(),
            run_id: RUN,
            message_id: MESSAGE,
            model: "interpreter".to_owned(),
        },
        answered(ApprovalStatus::Approved),
        returned(ToolCallStatus::Done, json!({"number": "INV-1"})),
        EventBody::StepFinished { step: 1 },
        EventBody::StepStarted { step: 2 },
    ];
    bodies.extend(text("Done."));
    bodies.push(EventBody::StepFinished { step: 2 });
    bodies.push(EventBody::Finished {
        status: ChatStatus::Success,
        usage: Usage::default(),
    });
    log(bodies, first_seq)
}
