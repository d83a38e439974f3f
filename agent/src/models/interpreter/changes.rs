//! A request that was changed instead of answered: "yes, but make it 3 kg", "without the shampoo", "for Aline instead".

use chrono::{NaiveDate, NaiveTime};
use contracts::tool::Tool;
use contracts::tools::billing::{CreateBill, GetBill, VoidBill};
use contracts::tools::inventory::{AddItem, DeleteItem, UpdateItem};
use contracts::unit;
use serde_json::{Value, json};

use super::billing::{bill_in, bill_named, line_arguments, terms_of};
use super::bookings::{self, Which};
use super::dates::TimeSaid;
use super::intents::{Hearing, polished};
use super::lists::lines_of;
use super::money::price_in;
use super::names::{customer_of, name_of};
use super::plans::{Plan, Waiting, get, set};
use super::quantities::{Quantity, quantity_at};
use super::replies::{Saying, say};
use super::when::{in_half, put_when, when_in};
use super::words::{
    Kind, Word, drop_all, find, has, is_too_long, longest_at, starts, trimmed, without, words,
};
use super::{Reply, asked_anew, payments, proceed, slots, tools};
use crate::answers::{self, Reading};
use crate::language::{Language, fold};
use crate::models::{ModelRequest, ToolCall};

/// What a change does to a call.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Changed {
    /// The call as it is now.
    To(Plan),
    /// Several lines could be meant.
    Which(Vec<usize>),
    /// It fits nothing, and why.
    Not(Saying),
}

/// A message that changes one of the calls that were set aside, or is a new request after all.
pub(super) fn hear(request: &ModelRequest, text: &str, calls: &[ToolCall]) -> Reply {
    let change = changing_part(text, request.language);
    let hearing = Hearing::of(&change, request);
    let tried: Vec<(Plan, Changed)> = calls
        .iter()
        .map(|call| (Plan::again(call), apply(call, &change, &hearing, None)))
        .collect();
    let fitting: Vec<&(Plan, Changed)> = tried
        .iter()
        .filter(|(_, c)| !matches!(c, Changed::Not(_)))
        .collect();
    match fitting.as_slice() {
        [(_, Changed::To(plan))] => return proceed(request, vec![plan.clone()]),
        [(plan, Changed::Which(lines))] => {
            return which(request, plan.clone(), change, lines.clone());
        }
        _ => {}
    }
    if let Some(reply) = asked_anew(request, &change) {
        return reply;
    }
    let saying = match tried.as_slice() {
        [(_, Changed::Not(saying))] => saying.clone(),
        _ => Saying::ChangeUnclear,
    };
    let reply = Reply::say(&saying, request);
    match tried.into_iter().next() {
        Some((plan, _)) if calls.len() == 1 => reply.waiting(Waiting::Change { plan }),
        _ => reply,
    }
}

/// Whether a message makes another call of this one, or leaves open only which of its lines it means.
pub(super) fn can_change(
    call: &ToolCall,
    text: &str,
    language: Language,
    today: NaiveDate,
) -> bool {
    let change = changing_part(text, language);
    let hearing = Hearing::on(today, &change, language);
    !is_too_long(&words(text)) && !matches!(apply(call, &change, &hearing, None), Changed::Not(_))
}

/// The message without its yes or no. An "and" before the rest stays: "yes, and 2 eggs" adds something.
fn changing_part(text: &str, language: Language) -> String {
    let Reading::Change(change) = answers::read(text, language) else {
        return text.to_owned();
    };
    let before = text
        .trim()
        .strip_suffix(change.as_str())
        .map(words)
        .unwrap_or_default();
    let adds = before
        .last()
        .is_some_and(|w| matches!(w.folded.as_str(), "and" | "also" | "plus" | "y" | "tambien"));
    if adds {
        format!("and {change}")
    } else {
        change
    }
}

fn item_names(plan: &Plan, lines: &[usize]) -> Vec<String> {
    lines
        .iter()
        .filter_map(|i| get(&plan.arguments, &format!("lines[{i}].item")).and_then(Value::as_str))
        .map(str::to_owned)
        .collect()
}

fn which(request: &ModelRequest, plan: Plan, change: String, lines: Vec<usize>) -> Reply {
    let names = item_names(&plan, &lines);
    Reply::say(&Saying::Which(names), request).waiting(Waiting::Line {
        plan,
        change,
        lines,
    })
}

/// The answer to "which one?".
pub(super) fn hear_line(
    request: &ModelRequest,
    text: &str,
    plan: Plan,
    change: &str,
    lines: Vec<usize>,
) -> Reply {
    let names = item_names(&plan, &lines);
    let picked = match answers::read(text, request.language) {
        Reading::No => return Reply::say(&Saying::AllRight, request),
        Reading::Pick(pick) => pick
            .of(lines.len())
            .filter(|p| p.len() == 1)
            .and_then(|p| p.first().copied()),
        Reading::Yes | Reading::Maybe | Reading::Change(_) | Reading::Other => None,
    };
    let Some(line) = picked
        .or_else(|| slots::one_named(text, &names))
        .and_then(|n| lines.get(n))
        .copied()
    else {
        return asked_anew(request, text)
            .unwrap_or_else(|| which(request, plan, change.to_owned(), lines));
    };
    let call = ToolCall {
        id: String::new(),
        tool: plan.tool.clone(),
        arguments: plan.arguments.clone(),
    };
    match apply(&call, change, &Hearing::of(change, request), Some(line)) {
        Changed::To(plan) => proceed(request, vec![plan]),
        Changed::Which(_) => {
            Reply::say(&Saying::ChangeUnclear, request).waiting(Waiting::Change { plan })
        }
        Changed::Not(saying) => Reply::text(say(&saying, &request.tools, request.language))
            .waiting(Waiting::Change { plan }),
    }
}

/// Words that only say that something is changed.
const LEAD: &[&str] = &[
    "make|put|change|set|let|have it|that|this|them ?be ?to",
    "make|put|change|set",
    "it|that|they should|must be",
    "should be",
    "i meant|mean|said",
    "what|how about",
    "change ?it to",
    "give ?me|him|her|us",
    "actually|sorry|but|and|just|rather|no|yes|oops|well|please|only",
    "que ?sea|sean",
    "mejor|pero|solo|solamente|perdon|si|no",
    "cambialo|cambiala|ponlo|ponle|hazlo|pon|cambia ?a|de",
    "quise decir",
];
const TAIL: &[&str] = &[
    "instead",
    "rather",
    "please",
    "only",
    "then",
    "of that",
    "mejor",
    "por favor",
    "en su lugar",
    "en vez",
    "nada mas",
];

/// The call with the change applied; `line` is the line it means where that was asked.
pub(super) fn apply(
    call: &ToolCall,
    change: &str,
    hearing: &Hearing,
    line: Option<usize>,
) -> Changed {
    let all = words(change);
    match call.tool.as_str() {
        CreateBill::NAME => change_bill(call, &all, hearing, line),
        UpdateItem::NAME => change_amount(
            call,
            &all,
            hearing,
            "adjust.delta",
            "adjust.unit",
            "change.unit_price",
        ),
        AddItem::NAME => change_amount(call, &all, hearing, "quantity", "unit", "unit_price"),
        DeleteItem::NAME => change_name(call, &all, "item"),
        VoidBill::NAME | GetBill::NAME | tools::CREDIT_BILL | tools::WRITE_OFF_BILL => {
            change_bill_number(call, &all)
        }
        tools::CREATE_BOOKING | tools::RESCHEDULE_BOOKING => change_booking(call, &all, hearing),
        tools::CANCEL_BOOKING => change_which(call, &all, hearing),
        tools::COLLECT_PAYMENT | tools::TOP_UP_WALLET | tools::REFUND_PAYMENT => {
            change_payment(call, &all, hearing)
        }
        _ => Changed::Not(Saying::ChangeUnclear),
    }
}

/// What stands before "instead of": the rest is what it was.
fn up_to_instead(all: &[Word]) -> &[Word] {
    find(
        all,
        &["instead of", "rather than", "y no", "en vez|lugar de"],
    )
    .filter(|(at, _)| *at > 0)
    .map_or(all, |(at, _)| &all[..at])
}

/// "Make it 4pm", "on Friday instead", "chair 2", "for Aline".
fn change_booking(call: &ToolCall, all: &[Word], hearing: &Hearing) -> Changed {
    const AROUND: &[&str] = &[
        ",|at|on|to|the|a|las|el|la|al|para|en|it|is|be|time|hour|hora|day|dia|booking|appointment|slot|reserva|cita",
    ];
    let unclear = Changed::Not(Saying::ChangeUnclear);
    let kept = stripped(up_to_instead(all));
    if refuses_place(&kept) {
        return unclear;
    }
    let mut when = when_in(&kept, hearing);
    if when.time.is_none() {
        // "Make it 4": a bare number is an hour.
        let at = [words("at").as_slice(), trimmed(&kept)].concat();
        let hour = when_in(&at, hearing);
        if hour.time.is_some() && trimmed(&drop_all(&hour.rest, AROUND)).is_empty() {
            when = hour;
        }
    }
    let mut plan = Plan::again(call);
    let left = when.rest.clone();
    if let (Some(open), Some(before)) = (
        when.open_time(),
        get(&call.arguments, "time").and_then(Value::as_str),
    ) {
        // The half of the day stays the one it was.
        when.time = in_half(&open, before >= "12:00")
            .and_then(|t| NaiveTime::parse_from_str(&t, "%H:%M").ok())
            .map(|time| TimeSaid {
                time,
                certain: true,
            });
    }
    plan = put_when(plan, &when);
    let said = when.day.is_some() || when.time.is_some() || when.minutes.is_some();
    let left = trimmed(&left);
    if trimmed(&drop_all(left, AROUND)).is_empty() {
        return if said { Changed::To(plan) } else { unclear };
    }
    match bookings::renamed(left, hearing) {
        Some((customer, resource)) => {
            // A booking that is moved stays its customer's.
            if customer.is_some() && call.tool == tools::RESCHEDULE_BOOKING {
                return unclear;
            }
            for (key, value) in [("customer", customer), ("resource", resource)] {
                if let Some(value) = value {
                    set(&mut plan.arguments, key, json!(value));
                }
            }
            Changed::To(plan)
        }
        None => unclear,
    }
}

/// Words that ask or doubt are no change.
fn refuses_place(words: &[Word]) -> bool {
    has(
        words,
        &["if|unless|who|why|how|when|si|quien|como|cuando|cuanto|much|many|show|list"],
    )
}

/// "BK-8 instead", "I meant Ali's".
fn change_which(call: &ToolCall, all: &[Word], hearing: &Hearing) -> Changed {
    let kept = stripped(up_to_instead(all));
    let start = longest_at(&kept, 0, &["cancel|cancela"]).unwrap_or(0);
    match bookings::which(trimmed(&kept[start..]), Some(hearing)) {
        Some(which @ (Which::Reference(_) | Which::Of(_))) => {
            let mut plan = Plan::again(call);
            if let Some(arguments) = plan.arguments.as_object_mut() {
                arguments.remove("booking");
                arguments.remove("customer");
            }
            for (key, value) in which.arguments() {
                if let Some(value) = value {
                    set(&mut plan.arguments, key, value);
                }
            }
            Changed::To(plan)
        }
        _ => Changed::Not(Saying::ChangeUnclear),
    }
}

/// "Make it 3000", "in cash", "from Aline", "to his wallet".
fn change_payment(call: &ToolCall, all: &[Word], hearing: &Hearing) -> Changed {
    let unclear = Changed::Not(Saying::ChangeUnclear);
    let mut kept = stripped(up_to_instead(all));
    let mut plan = Plan::again(call);
    let takes: &[&str] = match call.tool.as_str() {
        tools::COLLECT_PAYMENT => &["amount", "bill", "customer", "method", "phone"],
        tools::TOP_UP_WALLET => &["amount", "customer", "method", "phone"],
        _ => &["amount", "bill"],
    };
    if call.tool == tools::REFUND_PAYMENT
        && let Some(to) = payments::refund_target(&mut kept)
    {
        set(&mut plan.arguments, "to", json!(to));
    }
    let rest = drop_all(&kept, &["amount|it|is|be|only|just|monto|importe", ","]);
    let rest = trimmed(&rest);
    if rest.is_empty() {
        return if plan.arguments == call.arguments {
            unclear
        } else {
            Changed::To(plan)
        };
    }
    let named = starts(rest, &["from|for|de|para|a|it ?was"]).is_some();
    let found = match payments::changed(rest, hearing) {
        None => return unclear,
        Some(Err(doubt)) => return Changed::Not(doubt),
        Some(Ok(found)) => found,
    };
    // A bare word is a name only where "from" or "for" says so.
    if found.keys().any(|key| !takes.contains(&key.as_str()))
        || (found.contains_key("customer") && !named)
        || (call.tool == tools::TOP_UP_WALLET && found.get("method") == Some(&json!("wallet")))
    {
        return unclear;
    }
    for (key, value) in found {
        set(&mut plan.arguments, &key, value);
    }
    Changed::To(plan)
}

fn stripped(all: &[Word]) -> Vec<Word> {
    let mut kept = polished(all);
    for _ in 0..6 {
        let Some(end) = starts(&kept, LEAD).filter(|e| *e < kept.len()) else {
            break;
        };
        kept = trimmed(&kept[end..]).to_vec();
    }
    drop_all(&kept, TAIL)
}

fn change_bill(call: &ToolCall, all: &[Word], hearing: &Hearing, line: Option<usize>) -> Changed {
    let plan = Plan::again(call);
    let Some(lines) = call
        .arguments
        .get("lines")
        .and_then(Value::as_array)
        .filter(|l| !l.is_empty())
    else {
        return Changed::Not(Saying::ChangeUnclear);
    };
    let (plan, rest) = match with_terms(plan, all, hearing) {
        Ok(found) => found,
        Err(saying) => return Changed::Not(saying),
    };
    if trimmed(&stripped(&rest)).is_empty() {
        return if plan.arguments == call.arguments {
            Changed::Not(Saying::ChangeUnclear)
        } else {
            Changed::To(plan)
        };
    }
    without_items(&plan, &rest, lines)
        .or_else(|| swapped(&plan, &rest, lines, hearing))
        .or_else(|| with_more(&plan, &rest, hearing))
        .or_else(|| for_another(&plan, &rest, hearing))
        .or_else(|| new_quantity(&plan, &rest, lines, hearing, line))
        .or_else(|| new_line_price(&plan, &rest, lines, hearing, line))
        .unwrap_or(Changed::Not(Saying::ChangeUnclear))
}

/// Discount, due date and cash.
fn with_terms(
    mut plan: Plan,
    all: &[Word],
    hearing: &Hearing,
) -> Result<(Plan, Vec<Word>), Saying> {
    let (terms, rest) = terms_of(all, hearing).map_err(|(saying, _)| saying)?;
    let entries = [
        ("discount", terms.discount.map(|d| json!(d))),
        ("due_on", terms.due_on.map(|d| json!(d))),
        ("payment", terms.payment),
    ];
    for (key, value) in entries {
        if let Some(value) = value {
            set(&mut plan.arguments, key, value);
        }
    }
    Ok((plan, rest))
}

fn item_of(line: &Value) -> String {
    line.get("item")
        .and_then(Value::as_str)
        .map(fold)
        .unwrap_or_default()
}

/// The lines a name means: the same name, or one of its words.
fn lines_named(name: &str, lines: &[Value]) -> Vec<usize> {
    let wanted = singular(&fold(name));
    let exact: Vec<usize> = lines
        .iter()
        .enumerate()
        .filter(|(_, l)| singular(&item_of(l)) == wanted)
        .map(|(i, _)| i)
        .collect();
    if !exact.is_empty() {
        return exact;
    }
    let has_word = |line: &Value| item_of(line).split(' ').any(|w| singular(w) == wanted);
    lines
        .iter()
        .enumerate()
        .filter(|(_, l)| has_word(l))
        .map(|(i, _)| i)
        .collect()
}

/// Enough of a singular to compare two names of one thing.
fn singular(folded: &str) -> String {
    let bare = folded
        .strip_suffix("es")
        .filter(|s| s.len() > 3 && !s.ends_with(['i', 'l', 'k', 'g', 'c', 't', 'v', 'o']))
        .or_else(|| folded.strip_suffix('s'));
    bare.filter(|b| b.len() > 2).unwrap_or(folded).to_owned()
}

/// "Without the shampoo", "remove the eggs", "sin el champú".
fn without_items(plan: &Plan, rest: &[Word], lines: &[Value]) -> Option<Changed> {
    const AWAY: &[&str] = &[
        "without|except|minus",
        "remove|drop|delete|skip|exclude",
        "no|not",
        "take ?out|off|away",
        "leave out|off|away",
        "cross out|off",
        "sin|menos|excepto",
        "quita|quitar|quitale|elimina|saca",
    ];
    let kept = polished(rest);
    let kept = drop_all(&kept, TAIL);
    let start = starts(&kept, AWAY).or_else(|| {
        // "But without the shampoo", "leave the shampoo out"
        find(&kept, &["without|sin|except"])
            .filter(|(at, _)| *at <= 2)
            .map(|(_, end)| end)
    })?;
    let goods = drop_all(
        &kept[start..],
        &[
            "from|of|off ?the|this|that bill|order|invoice|it|list",
            "de la factura|lista",
            "out|off|away",
        ],
    );
    if quantity_at(trimmed(&goods), 0, Language::Es)
        .is_some_and(|q| q.unit.is_some() || goods.iter().any(|w| w.kind == Kind::Digits))
    {
        return None;
    }
    let mut gone = Vec::new();
    for part in
        goods.split(|w| w.parts() || matches!(w.folded.as_str(), "and" | "y" | "or" | "ni" | "nor"))
    {
        if trimmed(part).is_empty() {
            continue;
        }
        let name = name_of(part)?;
        match lines_named(&name, lines).as_slice() {
            [] => return Some(Changed::Not(Saying::NotOnIt(name))),
            [only] => gone.push(*only),
            several => return Some(Changed::Which(several.to_vec())),
        }
    }
    if gone.is_empty() {
        return None;
    }
    let kept: Vec<Value> = lines
        .iter()
        .enumerate()
        .filter(|(i, _)| !gone.contains(i))
        .map(|(_, l)| l.clone())
        .collect();
    if kept.is_empty() {
        return Some(Changed::Not(Saying::NothingLeft));
    }
    Some(Changed::To(plan.clone().with("lines", json!(kept))))
}

/// "3 kg instead of 2", "brown rice instead of white rice", "2 eggs instead of the shampoo".
fn swapped(plan: &Plan, rest: &[Word], lines: &[Value], hearing: &Hearing) -> Option<Changed> {
    let (at, end) = find(
        rest,
        &[
            "instead of",
            "rather than",
            "not ?the",
            "en vez|lugar de|del ?el|la|los|las",
            "y no ?el|la",
        ],
    )
    .filter(|(at, _)| *at > 0)?;
    let wanted = stripped(&rest[..at]);
    let old = trimmed(&rest[end..]);
    let target = match quantity_at(old, 0, hearing.language).filter(|q| q.end == old.len()) {
        Some(old) => lines
            .iter()
            .enumerate()
            .filter(|(_, l)| l.get("quantity").and_then(Value::as_str) == Some(old.number.as_str()))
            .map(|(i, _)| i)
            .collect(),
        None => {
            let name = name_of(old).filter(|n| !matches!(fold(n).as_str(), "ali"))?;
            if plan
                .arguments
                .get("customer")
                .and_then(Value::as_str)
                .is_some_and(|c| fold(c) == fold(&name))
            {
                return None;
            }
            let named = lines_named(&name, lines);
            if named.is_empty() {
                return Some(Changed::Not(Saying::NotOnIt(name)));
            }
            named
        }
    };
    let index = match target.as_slice() {
        [] => return None,
        [only] => *only,
        several => return Some(Changed::Which(several.to_vec())),
    };
    let mut plan = plan.clone();
    let quantity = quantity_at(&wanted, 0, hearing.language);
    let name_words = quantity
        .as_ref()
        .map_or(&wanted[..], |q| &wanted[q.end.min(wanted.len())..]);
    if let Some(quantity) = &quantity {
        put_quantity(&mut plan, index, quantity);
    }
    match name_of(name_words) {
        Some(name) => set(
            &mut plan.arguments,
            &format!("lines[{index}].item"),
            json!(name),
        ),
        None if quantity.is_none() => return None,
        None => {}
    }
    Some(Changed::To(plan))
}

/// "Add 2 eggs too", "plus 2 eggs", "y 2 huevos también".
fn with_more(plan: &Plan, rest: &[Word], hearing: &Hearing) -> Option<Changed> {
    const ADD: &[&str] = &[
        "?and ?also ?please add|include|put|throw",
        "plus|also|and",
        "with",
        "agrega|agregale|anade|anadele|incluye|ponle|suma|sumale",
        "tambien|mas|y|con",
    ];
    const TOO: &[&str] = &[
        "too|also",
        "as well",
        "to it|that|this",
        "to|on ?the bill|order|invoice",
        "a la factura",
        "al pedido",
        "tambien",
        "in addition",
    ];
    let too = has(rest, TOO);
    let kept = drop_all(&polished_keeping_and(rest), TOO);
    let start = starts(&kept, ADD).or_else(|| too.then_some(0))?;
    let goods = trimmed(&kept[start..]);
    let more = lines_of(goods, hearing.language)?;
    if more
        .iter()
        .any(|l| l.quantity.as_ref().is_some_and(|q| q.or_else.is_some()))
    {
        return more
            .iter()
            .filter_map(|l| l.quantity.as_ref())
            .find_map(Quantity::in_doubt)
            .map(Changed::Not);
    }
    let mut lines = plan.arguments.get("lines")?.as_array()?.clone();
    lines.extend(more.iter().map(line_arguments));
    Some(Changed::To(plan.clone().with("lines", json!(lines))))
}

fn polished_keeping_and(words: &[Word]) -> Vec<Word> {
    let kept = drop_all(
        words,
        &[
            "please|pls|porfa",
            "por favor",
            "can|could you",
            "puedes|podrias",
            "instead",
        ],
    );
    trimmed(&kept).to_vec()
}

/// "For Aline instead", "make it for Aline", "para Aline".
fn for_another(plan: &Plan, rest: &[Word], hearing: &Hearing) -> Option<Changed> {
    let until = find(rest, &["instead|rather|not", "en vez|lugar", "y no"])
        .map_or(rest.len(), |(at, _)| at);
    let kept = stripped(&rest[..until]);
    let end = starts(
        &kept,
        &[
            "?its|it ?is for|to ?the ?customer",
            "?es para|a ?el|la ?cliente",
            "?the customer is|should ?be",
            "bill",
        ],
    )?;
    let who = &kept[end..];
    if who.iter().any(|w| w.kind != Kind::Letters)
        || quantity_at(who, 0, hearing.language).is_some()
    {
        return None;
    }
    let customer = customer_of(who, hearing.shouted)?;
    Some(Changed::To(plan.clone().with("customer", json!(customer))))
}

fn put_quantity(plan: &mut Plan, index: usize, quantity: &Quantity) {
    set(
        &mut plan.arguments,
        &format!("lines[{index}].quantity"),
        json!(quantity.number),
    );
    if let Some(unit) = quantity.unit_code() {
        set(
            &mut plan.arguments,
            &format!("lines[{index}].unit"),
            json!(unit),
        );
    }
}

/// "Make it 3 kg", "3 instead", "make the sugar 3 kg", "only 1 shampoo".
fn new_quantity(
    plan: &Plan,
    rest: &[Word],
    lines: &[Value],
    hearing: &Hearing,
    line: Option<usize>,
) -> Option<Changed> {
    let kept = stripped(rest);
    let (at, quantity) =
        (0..kept.len()).find_map(|at| quantity_at(&kept, at, hearing.language).map(|q| (at, q)))?;
    let price = price_in(&kept, hearing.language);
    if price.as_ref().is_some_and(|p| p.start <= at && at < p.end) {
        return None;
    }
    if let Some(doubt) = quantity.in_doubt() {
        return Some(Changed::Not(doubt));
    }
    let name_words = drop_all(
        &without(&kept, at, quantity.end),
        &["to|at|of|is|be|should|a|de|que|sean|sea|the|el|la|los|las|for|on"],
    );
    let meant = if let Some(line) = line {
        vec![line]
    } else if let Some(name) = name_of(&name_words) {
        let named = lines_named(&name, lines);
        if named.is_empty() {
            return Some(Changed::Not(Saying::NotOnIt(name)));
        }
        named
    } else if trimmed(&name_words).is_empty() {
        lines_in_unit(quantity.unit_code(), lines)
    } else {
        return None;
    };
    match meant.as_slice() {
        [] => None,
        [only] => {
            let mut plan = plan.clone();
            put_quantity(&mut plan, *only, &quantity);
            Some(Changed::To(plan))
        }
        several => Some(Changed::Which(several.to_vec())),
    }
}

/// The lines a quantity in this unit can mean: those in the same unit, else those in a unit of its kind, else all of them.
fn lines_in_unit(unit: Option<&str>, lines: &[Value]) -> Vec<usize> {
    let all = || (0..lines.len()).collect::<Vec<_>>();
    let Some(wanted) = unit else {
        return all();
    };
    let fitting = |fits: &dyn Fn(&str) -> bool| -> Vec<usize> {
        lines
            .iter()
            .enumerate()
            .filter(|(_, l)| l.get("unit").and_then(Value::as_str).is_some_and(fits))
            .map(|(i, _)| i)
            .collect()
    };
    let same = fitting(&|unit| unit == wanted);
    if !same.is_empty() {
        return same;
    }
    let kind = unit::find(wanted).map(|u| u.dimension);
    let alike = fitting(&|unit| kind.is_some() && unit::find(unit).map(|u| u.dimension) == kind);
    if alike.is_empty() { all() } else { alike }
}

/// "At 150", "sugar at 150 per kg".
fn new_line_price(
    plan: &Plan,
    rest: &[Word],
    lines: &[Value],
    hearing: &Hearing,
    line: Option<usize>,
) -> Option<Changed> {
    let kept = stripped(rest);
    let price = price_in(&kept, hearing.language)?;
    let name_words = without(&kept, price.start, price.end);
    let meant = match (line, name_of(&name_words)) {
        (Some(line), _) => vec![line],
        (None, Some(name)) => {
            let named = lines_named(&name, lines);
            if named.is_empty() {
                return Some(Changed::Not(Saying::NotOnIt(name)));
            }
            named
        }
        (None, None) => lines_in_unit(price.unit.as_ref().map(|u| u.code.as_str()), lines),
    };
    match meant.as_slice() {
        [only] => Some(Changed::To(plan.clone().with(
            &format!("lines[{only}].unit_price"),
            json!(price.amount.number),
        ))),
        [] => None,
        several => Some(Changed::Which(several.to_vec())),
    }
}

/// "Make it 3 kg" of stock or of a new item.
fn change_amount(
    call: &ToolCall,
    all: &[Word],
    hearing: &Hearing,
    number_path: &str,
    unit_path: &str,
    price_path: &str,
) -> Changed {
    let kept = stripped(all);
    let mut plan = Plan::again(call);
    if let Some(price) = price_in(&kept, hearing.language).filter(|p| p.end - p.start == kept.len())
        && get(&plan.arguments, price_path).is_some()
    {
        return Changed::To(plan.with(price_path, json!(price.amount.number)));
    }
    let Some(quantity) = quantity_at(&kept, 0, hearing.language).filter(|q| q.end == kept.len())
    else {
        return Changed::Not(Saying::ChangeUnclear);
    };
    if let Some(doubt) = quantity.in_doubt() {
        return Changed::Not(doubt);
    }
    let Some(before) = get(&plan.arguments, number_path)
        .and_then(Value::as_str)
        .map(str::to_owned)
    else {
        return Changed::Not(Saying::ChangeUnclear);
    };
    let sign = if before.starts_with('-') && !quantity.is_negative() {
        "-"
    } else {
        ""
    };
    set(
        &mut plan.arguments,
        number_path,
        json!(format!("{sign}{}", quantity.number)),
    );
    if let Some(unit) = quantity.unit_code() {
        set(&mut plan.arguments, unit_path, json!(unit));
    }
    Changed::To(plan)
}

/// "Bar soap instead", "I meant rice".
fn change_name(call: &ToolCall, all: &[Word], path: &str) -> Changed {
    let says_so = has(
        all,
        &[
            "instead|rather|meant|mejor",
            "en vez|lugar",
            "quise decir",
            "i mean",
        ],
    );
    let mut kept = stripped(all);
    if let Some((at, _)) = find(&kept, &["instead|rather|not", "en vez|lugar"]) {
        kept.truncate(at);
    }
    let start =
        longest_at(&kept, 0, &["delete|remove|erase|elimina|borra ?the|el|la"]).unwrap_or(0);
    match name_of(&kept[start..])
        .filter(|_| says_so && !kept.iter().any(|w| w.kind == Kind::Digits))
    {
        Some(name) => Changed::To(Plan::again(call).with(path, json!(name))),
        None => Changed::Not(Saying::ChangeUnclear),
    }
}

/// "Bill 13", "13 instead".
fn change_bill_number(call: &ToolCall, all: &[Word]) -> Changed {
    let kept = stripped(all);
    let start = longest_at(&kept, 0, &["void|cancel|anula|show|muestra ?the|la"]).unwrap_or(0);
    let rest = &kept[start..];
    let bill = bill_in(rest).or_else(|| {
        bill_named(rest)
            .filter(|(_, end)| *end == rest.len())
            .map(|(bill, _)| bill)
    });
    bill.map_or(Changed::Not(Saying::ChangeUnclear), |bill| {
        Changed::To(Plan::again(call).with("bill", json!(bill)))
    })
}
