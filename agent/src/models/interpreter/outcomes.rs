//! What became of the calls: told to the person, and followed up where one call leads to the next.

use contracts::failure::{Candidate, FailureCode, ToolFailure};
use contracts::quantity::Measure;
use contracts::tool::Tool;
use contracts::tools::billing::{CreateBill, ListBills};
use contracts::tools::inventory::{AddItem, ListItems, UpdateItem};
use serde_json::{Value, json};

use super::intents::Hearing;
use super::inventory::add_after_all;
use super::plans::{Follow, Note, Plan, Waiting, get, set};
use super::quantities::other_name;
use super::replies::{self, Saying, say};
use super::{Reply, last_outcomes, note_of, proceed, tools};
use crate::language::fold;
use crate::models::{Message, ModelRequest, ToolCall, ToolOutcome};

/// The calls a person changed instead of answering, right before the message.
pub(super) fn superseded(messages: &[Message]) -> Vec<ToolCall> {
    last_outcomes(messages)
        .into_iter()
        .filter(|(_, outcome)| matches!(outcome, ToolOutcome::Superseded))
        .map(|(call, _)| call.clone())
        .collect()
}

/// Tells what became of the last calls.
pub(super) fn tell(request: &ModelRequest) -> Reply {
    let outcomes = last_outcomes(&request.messages);
    let note = note_of(&request.messages).unwrap_or_default();
    let mut told = Reply::default();
    let mut texts = untold(request);
    for (call, outcome) in outcomes {
        let reply = of_one(request, &note, call, outcome);
        if !reply.text.is_empty() {
            texts.push(reply.text);
        }
        told.plans.extend(reply.plans);
        // The last question is the one the next message answers.
        told.waiting = reply.waiting.or(told.waiting);
    }
    told.text = texts.join("\n");
    if told.text.is_empty() && told.plans.is_empty() {
        told.text = say(&Saying::AllRight, &request.tools, request.language);
    }
    told
}

/// What was done for the last message before the last calls, and nobody has said so: another model began, and was going to say it later.
fn untold(request: &ModelRequest) -> Vec<String> {
    let messages = request.messages.as_slice();
    let end = messages
        .iter()
        .rposition(|m| !matches!(m, Message::Tool { .. }))
        .unwrap_or(0);
    let begin = messages[..end]
        .iter()
        .rposition(|m| match m {
            Message::User { .. } => true,
            Message::Assistant { text, .. } => !text.is_empty(),
            Message::Tool { .. } => false,
        })
        .map_or(0, |at| at + 1);
    let only_reads = |name: &str| request.tools.iter().any(|t| t.name == name && t.read_only);
    messages[begin..end]
        .iter()
        .filter_map(|m| match m {
            Message::Tool { tool, outcome, .. } if !only_reads(tool) => match outcome {
                ToolOutcome::Done { result } => Some(replies::done(tool, result, request.language)),
                ToolOutcome::Unknown => Some(replies::not_known(request.language)),
                ToolOutcome::Failed { .. }
                | ToolOutcome::Denied { .. }
                | ToolOutcome::Expired
                | ToolOutcome::Superseded => None,
            },
            Message::Tool { .. } | Message::User { .. } | Message::Assistant { .. } => None,
        })
        .collect()
}

fn of_one(request: &ModelRequest, note: &Note, call: &ToolCall, outcome: &ToolOutcome) -> Reply {
    let language = request.language;
    let follow = note
        .following
        .iter()
        .find(|(id, _)| *id == call.id)
        .map(|(_, follow)| follow);
    match outcome {
        ToolOutcome::Done { result } => done(request, follow, call, result),
        ToolOutcome::Failed { failure } => failed(request, follow, call, failure),
        ToolOutcome::Denied { reason } => {
            let text = say(&Saying::AllRight, &request.tools, language);
            Reply::text(match reason {
                Some(reason) => format!("{text} ({reason})"),
                None => text,
            })
        }
        ToolOutcome::Expired => Reply::text(replies::lapsed(language)).waiting(Waiting::Offer {
            plan: Plan::again(call),
        }),
        ToolOutcome::Unknown => Reply::text(replies::not_known(language)),
        ToolOutcome::Superseded => Reply::default(),
    }
}

fn done(request: &ModelRequest, follow: Option<&Follow>, call: &ToolCall, result: &Value) -> Reply {
    if let Some(Follow::Count { quantity, unit }) = follow
        && let Some(version) = result.pointer("/item/version").and_then(Value::as_i64)
    {
        let mut count = json!({"quantity": quantity, "expected_version": version});
        if let Some(unit) = unit {
            count["unit"] = json!(unit);
        }
        // The item's own id: a name could mean another item by now.
        let item = result
            .pointer("/item/name")
            .or_else(|| call.arguments.get("item"))
            .cloned()
            .unwrap_or_default();
        return proceed(
            request,
            vec![Plan::new(
                UpdateItem::NAME,
                json!({"item": item, "count": count}),
            )],
        );
    }
    let reply = Reply::text(replies::done(&call.tool, result, request.language));
    let pages = [
        ListItems::NAME,
        ListBills::NAME,
        tools::TRANSACTION_HISTORY,
        tools::VIEW_BOOKINGS,
        tools::FIND_CUSTOMERS,
        tools::LIST_TICKETS,
    ]
    .contains(&call.tool.as_str());
    match result
        .get("next_cursor")
        .and_then(Value::as_str)
        .filter(|_| pages)
    {
        Some(cursor) => {
            let mut plan = Plan::again(call);
            set(&mut plan.arguments, "cursor", json!(cursor));
            reply.waiting(Waiting::Page { plan })
        }
        None => reply,
    }
}

fn failed(
    request: &ModelRequest,
    follow: Option<&Follow>,
    call: &ToolCall,
    failure: &ToolFailure,
) -> Reply {
    let plain = || Reply::text(failure.message.clone());
    match failure.code {
        FailureCode::UnknownItem => unknown_item(request, follow, call, failure),
        FailureCode::AmbiguousItem
        | FailureCode::AmbiguousCustomer
        | FailureCode::UnknownCustomer
        | FailureCode::AmbiguousResource
        | FailureCode::UnknownResource
        | FailureCode::AmbiguousBooking
        | FailureCode::AmbiguousPlace
        | FailureCode::AmbiguousTime
        | FailureCode::UnknownPlace => choose(request, None, call, failure).unwrap_or_else(plain),
        FailureCode::UnknownBooking => choose(request, None, call, failure).unwrap_or_else(|| {
            plain().waiting(Waiting::Slot {
                plan: which_booking(call),
            })
        }),
        FailureCode::SlotTaken | FailureCode::NotBookable => choose(request, None, call, failure)
            .unwrap_or_else(|| {
                plain().waiting(Waiting::Change {
                    plan: Plan::again(call),
                })
            }),
        FailureCode::MethodUnavailable => plain().waiting(Waiting::Change {
            plan: Plan::again(call),
        }),
        FailureCode::InsufficientFunds => what_is_there(call, failure)
            .map_or_else(plain, |plan| plain().waiting(Waiting::Offer { plan })),
        // A caller without bookings of their own is asked whose is meant.
        FailureCode::InvalidArguments
            if [tools::CANCEL_BOOKING, tools::RESCHEDULE_BOOKING].contains(&call.tool.as_str())
                && call.arguments.get("booking").is_none()
                && call.arguments.get("customer").is_none() =>
        {
            let plan = which_booking(call);
            let text = replies::question(&plan, "booking", request.language);
            Reply::text(text).waiting(Waiting::Slot { plan })
        }
        FailureCode::InsufficientStock => what_is_left(call, failure)
            .map_or_else(plain, |plan| plain().waiting(Waiting::Offer { plan })),
        FailureCode::AlreadyExists => offer_update(request, call, failure).unwrap_or_else(plain),
        FailureCode::UnknownUnit => other_unit(request, call, failure).unwrap_or_else(plain),
        FailureCode::Declined => Reply::say(&Saying::AllRight, request),
        FailureCode::Expired => {
            Reply::text(replies::lapsed(request.language)).waiting(Waiting::Offer {
                plan: Plan::again(call),
            })
        }
        _ => plain(),
    }
}

/// "Add 20kg sugar" of an item that is not there is a new item, unless something of a like name is.
fn unknown_item(
    request: &ModelRequest,
    follow: Option<&Follow>,
    call: &ToolCall,
    failure: &ToolFailure,
) -> Reply {
    if let Some(reply) = choose(request, follow, call, failure) {
        return reply;
    }
    match follow {
        Some(Follow::AddNew { .. }) => new_after_all(request, follow, call)
            .unwrap_or_else(|| Reply::text(failure.message.clone())),
        Some(Follow::Count { .. }) | None => Reply::text(failure.message.clone()),
    }
}

/// The new item that an adjustment of an unknown one turns into.
pub(super) fn new_after_all(
    request: &ModelRequest,
    follow: Option<&Follow>,
    call: &ToolCall,
) -> Option<Reply> {
    let Some(Follow::AddNew { name, category }) = follow else {
        return None;
    };
    request.tools.iter().find(|t| t.name == AddItem::NAME)?;
    let hearing = Hearing::of(name, request);
    let plan = add_after_all(name, category, &call.arguments["adjust"], &hearing);
    Some(proceed(request, vec![plan]))
}

/// The call with its booking still to be named.
fn which_booking(call: &ToolCall) -> Plan {
    let mut plan = Plan::again(call);
    if let Some(arguments) = plan.arguments.as_object_mut() {
        arguments.remove("customer");
        arguments.insert("booking".to_owned(), Value::Null);
    }
    plan
}

/// The payment with as much as there is.
fn what_is_there(call: &ToolCall, failure: &ToolFailure) -> Option<Plan> {
    let there = failure.candidates.first()?.amount?;
    (there.amount_minor > 0)
        .then(|| Plan::again(call).with("amount", json!(there.major().to_string())))
}

/// Numbers the candidates and waits for one of them.
fn choose(
    request: &ModelRequest,
    follow: Option<&Follow>,
    call: &ToolCall,
    failure: &ToolFailure,
) -> Option<Reply> {
    let names: Vec<String> = failure
        .candidates
        .iter()
        .map(|c| c.name.clone())
        .filter(|n| !n.is_empty())
        .collect();
    if names.is_empty() {
        return None;
    }
    let field = name_field(call, failure)?;
    let new_item = match follow {
        Some(Follow::AddNew { name, .. }) => Some(name.as_str()),
        Some(Follow::Count { .. }) | None => None,
    };
    let mut plan = if field == "booking" {
        which_booking(call)
    } else {
        Plan::again(call)
    };
    plan.follow = follow.cloned();
    let text = replies::choice(&failure.message, &names, new_item, request.language);
    Some(Reply::text(text).waiting(Waiting::Choice { plan, field, names }))
}

/// The argument that named nobody or several: the failure's own path, or the only one it can be.
fn name_field(call: &ToolCall, failure: &ToolFailure) -> Option<String> {
    let is_text = |path: &str| get(&call.arguments, path).is_some_and(Value::is_string);
    let by_path = !matches!(
        failure.code,
        FailureCode::AmbiguousBooking
            | FailureCode::UnknownBooking
            | FailureCode::SlotTaken
            | FailureCode::NotBookable
    );
    if let Some(field) = failure.field.as_ref().filter(|_| by_path) {
        let within = format!("{field}.item");
        if is_text(field) {
            return Some(field.clone());
        }
        if is_text(&within) {
            return Some(within);
        }
    }
    let one_of_its_own = match failure.code {
        FailureCode::AmbiguousResource | FailureCode::UnknownResource => Some("resource"),
        FailureCode::AmbiguousBooking | FailureCode::UnknownBooking => Some("booking"),
        FailureCode::SlotTaken | FailureCode::NotBookable | FailureCode::AmbiguousTime => {
            Some("time")
        }
        FailureCode::AmbiguousPlace | FailureCode::UnknownPlace => {
            ["near", "from", "to"].into_iter().find(|f| is_text(f))
        }
        _ => None,
    };
    if let Some(field) = one_of_its_own {
        return Some(field.to_owned());
    }
    let about_customer = matches!(
        failure.code,
        FailureCode::AmbiguousCustomer | FailureCode::UnknownCustomer
    );
    let only_line = call
        .arguments
        .get("lines")
        .and_then(Value::as_array)
        .is_some_and(|l| l.len() == 1);
    let guess = match (about_customer, call.tool.as_str()) {
        (true, _) => "customer",
        (false, CreateBill::NAME) if only_line => "lines[0].item",
        (false, _) => "item",
    };
    is_text(guess).then(|| guess.to_owned())
}

/// The call with as much as there is. `None` when there is nothing or nobody can tell which line it is.
fn what_is_left(call: &ToolCall, failure: &ToolFailure) -> Option<Plan> {
    let candidate = failure.candidates.first()?;
    let left = candidate
        .stock
        .as_ref()
        .filter(|m| m.quantity.is_positive())?;
    let mut plan = Plan::again(call);
    if call.tool == UpdateItem::NAME {
        set(
            &mut plan.arguments,
            "adjust.delta",
            json!(format!("-{}", left.quantity)),
        );
        set(&mut plan.arguments, "adjust.unit", json!(left.unit));
        return Some(plan);
    }
    let index = failing_line(call, failure, candidate)?;
    set_line(&mut plan.arguments, index, left);
    Some(plan)
}

/// One line gets what is left; other lines of the same item go, for their sum was too much.
fn set_line(arguments: &mut Value, index: usize, left: &Measure) {
    let item = get(arguments, &format!("lines[{index}].item"))
        .and_then(Value::as_str)
        .map(fold);
    set(
        arguments,
        &format!("lines[{index}].quantity"),
        json!(left.quantity.to_string()),
    );
    set(arguments, &format!("lines[{index}].unit"), json!(left.unit));
    if let Some(lines) = arguments.get_mut("lines").and_then(Value::as_array_mut) {
        let mut at = 0;
        lines.retain(|line| {
            let same = line.get("item").and_then(Value::as_str).map(fold) == item;
            at += 1;
            at - 1 == index || !same
        });
    }
}

fn failing_line(call: &ToolCall, failure: &ToolFailure, candidate: &Candidate) -> Option<usize> {
    let lines = call.arguments.get("lines")?.as_array()?;
    let named = failure.field.as_ref().and_then(|f| {
        f.strip_prefix("lines[")?
            .split_once(']')?
            .0
            .parse::<usize>()
            .ok()
    });
    if let Some(index) = named.filter(|i| *i < lines.len()) {
        return Some(index);
    }
    if lines.len() == 1 {
        return Some(0);
    }
    let wanted = fold(&candidate.name);
    let mut alike = lines.iter().enumerate().filter(|(_, line)| {
        let item = line
            .get("item")
            .and_then(Value::as_str)
            .map(fold)
            .unwrap_or_default();
        item == wanted || wanted.split(' ').any(|w| w == item)
    });
    let (first, None) = (alike.next()?.0, alike.next()) else {
        return None;
    };
    Some(first)
}

/// "Sugar is there already. Add 20 kg to its stock?"
fn offer_update(request: &ModelRequest, call: &ToolCall, failure: &ToolFailure) -> Option<Reply> {
    request.tools.iter().find(|t| t.name == UpdateItem::NAME)?;
    let text = |path: &str| {
        get(&call.arguments, path)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let item = failure
        .candidates
        .first()
        .map(|c| c.name.clone())
        .or_else(|| text("name"))?;
    let own_unit = text("units[0].unit").filter(|_| text("unit").as_deref() == Some("each"));
    let unit = text("quantity_unit").or(own_unit).or_else(|| text("unit"));
    let positive = |number: &String| {
        number
            .parse::<contracts::quantity::Exact>()
            .is_ok_and(|n| n.is_positive())
    };
    let (plan, offer) = if let Some(quantity) = text("quantity").filter(positive) {
        let mut adjust = json!({"delta": quantity});
        let mut amount = quantity;
        if let Some(unit) = unit {
            adjust["unit"] = json!(unit);
            amount = if unit == "each" {
                amount
            } else {
                format!("{amount} {unit}")
            };
        }
        (
            json!({"item": item, "adjust": adjust}),
            replies::offer_stock(&amount, request.language),
        )
    } else {
        let price = text("unit_price").filter(positive)?;
        (
            json!({"item": item, "change": {"unit_price": price}}),
            replies::offer_price(&price, request.language),
        )
    };
    let asked = failure.message.trim_end().ends_with('?');
    let said = if asked {
        failure.message.clone()
    } else {
        format!("{} {offer}", failure.message.trim_end())
    };
    Some(Reply::text(said).waiting(Waiting::Offer {
        plan: Plan::new(UpdateItem::NAME, plan),
    }))
}

/// A shop may know its bottles as "botella": the other name is tried once.
fn other_unit(request: &ModelRequest, call: &ToolCall, failure: &ToolFailure) -> Option<Reply> {
    let field = failure.field.as_deref().unwrap_or_default();
    let line = field
        .strip_suffix(".unit")
        .or_else(|| field.strip_suffix(".quantity"))
        .unwrap_or(field);
    let paths = [
        field.to_owned(),
        format!("{line}.unit"),
        "adjust.unit".to_owned(),
        "lines[0].unit".to_owned(),
    ];
    let path = paths.iter().find(|p| {
        get(&call.arguments, p)
            .and_then(Value::as_str)
            .is_some_and(|u| other_name(u).is_some())
    })?;
    let unit = get(&call.arguments, path)?.as_str()?;
    let mut plan = Plan::again(call);
    set(&mut plan.arguments, path, json!(other_name(unit)?));
    let since = request
        .messages
        .iter()
        .rposition(|m| matches!(m, Message::User { .. }))
        .unwrap_or(0);
    let tried = request.messages[since..].iter().any(|m| match m {
        Message::Assistant { calls, .. } => calls
            .iter()
            .any(|c| c.tool == plan.tool && c.arguments == plan.arguments),
        Message::User { .. } | Message::Tool { .. } => false,
    });
    (!tried).then(|| proceed(request, vec![plan]))
}
