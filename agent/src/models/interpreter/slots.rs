//! The next message as the answer to what was asked: a missing price, one of several names, a yes to an offer, "more".

use contracts::tool::Tool;
use contracts::tools::inventory::AddItem;
use serde_json::{Value, json};

use super::billing::{bill_named, line_arguments};
use super::bookings::{self, Which};
use super::dates::TimeSaid;
use super::intents::{Hearing, Wish, polished, small_talk};
use super::lists::lines_of;
use super::money::{amount_at, per_at};
use super::names::{customer_of, name_of, title};
use super::phones::phone_in;
use super::plans::{Follow, Plan, Waiting, get, set};
use super::quantities::{Quantity, quantity_at};
use super::replies::{Saying, question, say};
use super::when::{When, in_half, put_when, when_in};
use super::words::{Kind, Word, drop_all, starts, text_of, trimmed, words};
use super::{
    Reply, asked_anew, changes, outcomes, payments, people, places, proceed, support, tools,
};
use crate::answers::{self, Pick, Reading};
use crate::language::fold;
use crate::models::{ModelRequest, ToolCall};

/// What a message means to what was asked; `None` when nothing and it is to be read on its own.
pub(super) fn hear(request: &ModelRequest, text: &str, waiting: Waiting) -> Option<Reply> {
    match waiting {
        Waiting::Page { plan } => wants_more(text).then(|| proceed(request, vec![plan])),
        Waiting::Slot { plan } => Some(fill(request, text, plan)),
        Waiting::Choice { plan, field, names } => Some(choose(request, text, plan, &field, names)),
        Waiting::Offer { plan } => Some(offered(request, text, plan)),
        Waiting::Line {
            plan,
            change,
            lines,
        } => Some(changes::hear_line(request, text, plan, &change, lines)),
        Waiting::Change { plan } => Some(changes::hear(
            request,
            text,
            &[ToolCall {
                id: String::new(),
                tool: plan.tool,
                arguments: plan.arguments,
            }],
        )),
    }
}

/// Asks for the next page of a list.
pub(super) fn wants_more(text: &str) -> bool {
    const MORE: &[&str] = &[
        "?show ?see ?give ?me ?some more ?items|bills ?please",
        "?show|go ?me ?to ?the next ?page ?one ?ones",
        "continue|more|next",
        "show ?me ?the rest",
        "?ver|muestra|muestrame|dame mas",
        "?muestra|ver ?la siguiente|siguientes ?pagina",
        "sigue|continua|continuar",
        "?y ?muestra ?el ?los resto|demas",
    ];
    let words = polished(&words(text));
    let rest = trimmed(&words);
    !rest.is_empty() && starts(rest, MORE) == Some(rest.len())
}

/// "No", "cancel" and the like, to a question that is not answered with yes or no.
pub(super) fn drops(request: &ModelRequest, text: &str) -> bool {
    answers::read(text, request.language) == Reading::No
}

/// What was asked stays asked.
fn ask_again(text: String, waiting: Waiting) -> Reply {
    Reply::text(text).waiting(waiting)
}

fn fill(request: &ModelRequest, text: &str, plan: Plan) -> Reply {
    if drops(request, text) {
        return Reply::say(&Saying::AllRight, request);
    }
    let Some(path) = plan.missing() else {
        return proceed(request, vec![plan]);
    };
    let hearing = Hearing::of(text, request);
    let said = polished(&words(text));
    if let Some(saying) = small_talk(&said) {
        let told = format!(
            "{}\n{}",
            say(&saying, &request.tools, request.language),
            question(&plan, &path, request.language)
        );
        return ask_again(told, Waiting::Slot { plan });
    }
    let last = path.rsplit('.').next().unwrap_or_default().to_owned();
    // Amounts are looked for first, names last: a new request has a name too.
    let filled = match last.as_str() {
        "unit_price" => price(&said, &plan, &path, &hearing),
        "quantity" | "delta" => quantity(&said, &plan, &path, &hearing),
        "bill" => bill(&said).map(|bill| Ok(plan.clone().with(&path, json!(bill)))),
        "date" | "time" => moment(&said, &plan, &hearing).map(Ok),
        "amount" => money(&said, &plan, &path, &hearing),
        "method" => payments::whole_method(&said)
            .filter(|method| plan.tool != tools::TOP_UP_WALLET || *method != "wallet")
            .map(|method| Ok(plan.clone().with(&path, json!(method)))),
        "booking" => booking(&said, &plan, &hearing).map(Ok),
        "ticket" => support::whole_ticket(&said).map(|t| Ok(plan.clone().with(&path, json!(t)))),
        _ => None,
    };
    let filled = match filled {
        Some(filled) => Some(filled),
        None => match asked_anew(request, text) {
            Some(reply) => return reply,
            None => named(&said, &plan, &path, &last, &hearing),
        },
    };
    match filled {
        Some(Ok(plan)) => proceed(request, vec![plan]),
        Some(Err(doubt)) => ask_again(
            say(&doubt, &request.tools, request.language),
            Waiting::Slot { plan },
        ),
        None => ask_again(
            question(&plan, &path, request.language),
            Waiting::Slot { plan },
        ),
    }
}

type Filled = Option<Result<Plan, Saying>>;

/// "At 3pm", "tomorrow at half past two", or the half of the day that was asked for: "in the evening".
fn moment(said: &[Word], plan: &Plan, hearing: &Hearing) -> Option<Plan> {
    const HALVES: &[(bool, &[&str])] = &[
        (
            false,
            &[
                "?in ?the morning|am|a.m",
                "?por|de|en ?la manana",
                "the ?first|earlier ?one",
            ],
        ),
        (
            true,
            &[
                "?in|at ?the afternoon|evening|night|pm|p.m",
                "?por|de|en ?la tarde|noche",
                "the second|later ?one",
            ],
        ),
    ];
    let rest = trimmed(said);
    if let Some(clock) = &plan.clock
        && let Some((later, _)) = HALVES
            .iter()
            .find(|(_, patterns)| starts(rest, patterns) == Some(rest.len()))
    {
        let time = in_half(clock, *later)?;
        let mut plan = plan.clone().with("time", json!(time));
        plan.clock = None;
        return Some(plan);
    }
    let lone = |rest: &[Word]| {
        let left = drop_all(
            rest,
            &[
                ",|at|on|for|the|it|is|please|maybe|around|about|a|las|el|la|para|es|seria|sea|make|lets|say",
            ],
        );
        trimmed(&left).is_empty()
    };
    // A bare "3" is an hour where an hour was asked for.
    let at = [words("at").as_slice(), rest].concat();
    [rest, at.as_slice()].into_iter().find_map(|rest| {
        let when = when_in(rest, hearing);
        (when.day.is_some() || when.time.is_some())
            .then_some(())
            .filter(|()| lone(&when.rest))?;
        let mut plan = put_when(plan.clone(), &when);
        // Moving a booking takes a day without a time, and a time without a day.
        if plan.tool == tools::RESCHEDULE_BOOKING
            && when.day.is_none()
            && let Some(arguments) = plan.arguments.as_object_mut()
        {
            arguments.retain(|key, value| key != "date" || !value.is_null());
        }
        Some(plan)
    })
}

/// "5000", "RWF 5,000", "it was 5000 francs".
fn money(said: &[Word], plan: &Plan, path: &str, hearing: &Hearing) -> Filled {
    const AROUND: &[&str] = &[
        "its|it|is|was|just|only|for|of|about|the|amount|es|son|fue|solo|por|de|con|with|pay|pays|paid",
    ];
    let begin = (0..said.len()).find(|at| amount_at(said, *at, hearing.language).is_some())?;
    let amount = amount_at(said, begin, hearing.language)?;
    let around = |words: &[Word]| trimmed(&drop_all(words, AROUND)).is_empty();
    if !around(&said[..begin]) || !around(&said[amount.end..]) {
        return None;
    }
    if let Some(other) = amount.or_else {
        return Some(Err(if other.contains('.') {
            Saying::NumberUnclear(amount.number, other)
        } else {
            Saying::NumberUnclear(other, amount.number)
        }));
    }
    Some(Ok(plan.clone().with(path, json!(amount.number))))
}

/// "BK-7", "7", "Ali's", "the one of Ali".
fn booking(said: &[Word], plan: &Plan, hearing: &Hearing) -> Option<Plan> {
    let rest = trimmed(said);
    let number = [words("booking").as_slice(), rest].concat();
    let which = bookings::which(rest, Some(hearing))
        .or_else(|| bookings::which(&number, Some(hearing)))
        .filter(|which| matches!(which, Which::Reference(_) | Which::Of(_)))?;
    // A sentence of its own is no name: "show low stock".
    if matches!(which, Which::Of(_)) && rest.len() > 4 {
        return None;
    }
    let mut plan = plan.clone();
    let arguments = plan.arguments.as_object_mut()?;
    arguments.remove("booking");
    arguments.remove("customer");
    for (key, value) in which.arguments() {
        if let Some(value) = value {
            arguments.insert(key.to_owned(), value);
        }
    }
    Some(plan)
}

/// "160", "RWF 160 per kg", "it costs 160".
fn price(said: &[Word], plan: &Plan, path: &str, hearing: &Hearing) -> Filled {
    const AROUND: &[&str] = &[
        "its|it|is|costs|cost|the|price|at|for|about|around|sell|set|to|make|es|cuesta|cuestan|vale|son|el|precio|por|a|de|@|:",
    ];
    let begin = (0..said.len()).find(|at| amount_at(said, *at, hearing.language).is_some())?;
    if !trimmed(&drop_all(&said[..begin], AROUND)).is_empty() {
        return None;
    }
    let amount = amount_at(said, begin, hearing.language)?;
    let (unit, end) = per_at(said, amount.end).unwrap_or((None, amount.end));
    if !trimmed(&said[end..]).is_empty() {
        return None;
    }
    let mut plan = plan.clone().with(path, json!(amount.number));
    if let Some(currency) = amount.currency {
        let beside = path.strip_suffix("unit_price").unwrap_or_default();
        set(
            &mut plan.arguments,
            &format!("{beside}currency"),
            json!(currency),
        );
    }
    if let Some(unit) = unit.filter(|u| u.fixed && plan.tool == AddItem::NAME) {
        priced_per(&mut plan.arguments, &unit.code);
    }
    Some(Ok(plan))
}

/// The price is per this unit; what is on the shelf keeps the unit it was said in.
fn priced_per(arguments: &mut Value, unit: &str) {
    let before = get(arguments, "unit")
        .and_then(Value::as_str)
        .map(str::to_owned);
    if before.as_deref() == Some(unit) {
        return;
    }
    if let Some(before) = before
        && get(arguments, "quantity").is_some()
        && get(arguments, "quantity_unit").is_none()
    {
        set(arguments, "quantity_unit", json!(before));
    }
    set(arguments, "unit", json!(unit));
}

/// "2 kg", "just 3", "two bottles of it".
fn quantity(said: &[Word], plan: &Plan, path: &str, hearing: &Hearing) -> Filled {
    const AROUND: &[&str] = &[
        "just|only|about|by|of|it|them|its|the|maybe|around|solo|unos|unas|en|por|de|son|is|are|make|que|sean|more|less|mas|menos",
    ];
    let begin = (0..said.len()).find(|at| quantity_at(said, *at, hearing.language).is_some())?;
    if !trimmed(&drop_all(&said[..begin], AROUND)).is_empty() {
        return None;
    }
    let quantity = quantity_at(said, begin, hearing.language)?;
    let rest = drop_all(&said[quantity.end..], AROUND);
    let beside = path.rsplit_once('.').map_or("", |(parent, _)| parent);
    let item = get(&plan.arguments, &format!("{beside}.item"))
        .or_else(|| get(&plan.arguments, "item"))
        .or_else(|| get(&plan.arguments, "name"));
    let same_item = name_of(&rest).is_some_and(|name| {
        item.and_then(Value::as_str)
            .is_some_and(|item| fold(item) == fold(&name))
    });
    if !trimmed(&rest).is_empty() && !same_item {
        return None;
    }
    if let Some(doubt) = quantity.in_doubt() {
        return Some(Err(doubt));
    }
    if plan.less && quantity.is_negative() {
        return Some(Err(Saying::NegativeUnclear));
    }
    let sign = if plan.less { "-" } else { "" };
    let mut plan = plan
        .clone()
        .with(path, json!(format!("{sign}{}", quantity.number)));
    if let Some(unit) = quantity.unit_code() {
        let key = if path.starts_with("units") {
            "of"
        } else {
            "unit"
        };
        set(&mut plan.arguments, &format!("{beside}.{key}"), json!(unit));
    }
    Some(Ok(plan))
}

/// "12", "bill 12", "the last one".
fn bill(said: &[Word]) -> Option<String> {
    let rest = drop_all(said, &["bill|invoice|factura|its|it|is|es"]);
    let rest = trimmed(&rest);
    bill_named(rest)
        .filter(|(_, end)| *end == rest.len())
        .map(|(bill, _)| bill)
}

/// A name, a category or the lines of a bill.
fn named(said: &[Word], plan: &Plan, path: &str, last: &str, hearing: &Hearing) -> Filled {
    match last {
        "lines" => {
            let said = drop_all(
                said,
                &[
                    "i|we|he|she|they want|need|wants|needs|takes",
                    "for|just|only",
                    "quiere|lleva|solo",
                ],
            );
            let lines = lines_of(trimmed(&said), hearing.language)?;
            if let Some(doubt) = lines
                .iter()
                .filter_map(|l| l.quantity.as_ref())
                .find_map(Quantity::in_doubt)
            {
                return Some(Err(doubt));
            }
            let lines: Vec<Value> = lines.iter().map(line_arguments).collect();
            Some(Ok(plan.clone().with(path, json!(lines))))
        }
        "customer" => {
            // A number says who it is as well.
            if let Some((phone, _, end)) = phone_in(said).filter(|(_, at, _)| *at == 0)
                && end == said.len()
            {
                return Some(Ok(plan.clone().with(path, json!(phone))));
            }
            let customer = customer_of(said, hearing.shouted)
                .filter(|_| said.iter().all(|w| w.kind != Kind::Digits))?;
            Some(Ok(plan.clone().with(path, json!(customer))))
        }
        "name" if plan.tool == tools::CREATE_CUSTOMER => {
            let asked = [words("new customer").as_slice(), said].concat();
            let Some(Wish::Do(named)) = people::write(&asked, hearing) else {
                return None;
            };
            named.missing().is_none().then_some(Ok(named))
        }
        "subject" | "note" => {
            let text = text_of(trimmed(said));
            let (subject, body) = support::subject_of((!text.is_empty()).then_some(text));
            let mut plan = plan.clone().with(path, json!(subject?));
            if let Some(body) = body {
                set(&mut plan.arguments, "body", json!(body));
            }
            Some(Ok(plan))
        }
        "from" | "to" => Some(Ok(plan
            .clone()
            .with(path, json!(places::whole_place(said)?)))),
        "name" => {
            let name = name_of(&drop_all(said, &["its|it is|called|named", "se llama"]))?;
            let name = if path == "name" {
                title(&name, hearing.shouted)
            } else {
                name
            };
            Some(Ok(plan.clone().with(path, json!(name))))
        }
        "item" | "category" => {
            if said.iter().any(|w| w.kind == Kind::Digits) {
                return None;
            }
            Some(Ok(plan.clone().with(path, json!(name_of(said)?))))
        }
        _ => None,
    }
}

fn choose(
    request: &ModelRequest,
    text: &str,
    plan: Plan,
    field: &str,
    names: Vec<String>,
) -> Reply {
    let reading = answers::read(text, request.language);
    let nth = match reading {
        Reading::No => return Reply::say(&Saying::AllRight, request),
        Reading::Yes if names.len() == 1 => Some(0),
        Reading::Pick(Pick::All | Pick::Both) => None,
        Reading::Pick(pick) => pick.of(names.len()).and_then(|all| all.first().copied()),
        Reading::Yes | Reading::Maybe | Reading::Change(_) | Reading::Other => None,
    };
    let by_name = || one_named(text, &names);
    // Free times are days with times; a bare time is an argument as it stands.
    if field == "time" && names.iter().any(|name| name.contains(' ')) {
        return choose_time(request, text, plan, nth, &names);
    }
    if let Some(name) = nth.or_else(by_name).and_then(|n| names.get(n)).cloned() {
        return proceed(request, vec![plan.with(field, json!(name))]);
    }
    let said = polished(&words(text));
    let new = starts(
        &said,
        &[
            "?its|it ?is ?a|an|the|as new ?item|one|product",
            "?add ?it ?as ?a new ?item",
            "?es ?un|uno ?producto nuevo|nueva",
        ],
    ) == Some(said.len());
    if new && matches!(plan.follow, Some(Follow::AddNew { .. })) {
        let call = ToolCall {
            id: String::new(),
            tool: plan.tool.clone(),
            arguments: plan.arguments.clone(),
        };
        if let Some(reply) = outcomes::new_after_all(request, plan.follow.as_ref(), &call) {
            return reply;
        }
    }
    if let Some(reply) = asked_anew(request, text) {
        return reply;
    }
    let ask = say(
        &Saying::Which(names.clone()),
        &request.tools,
        request.language,
    );
    ask_again(
        ask,
        Waiting::Choice {
            plan,
            field: field.to_owned(),
            names,
        },
    )
}

/// One of several free times, by its place or by the time, or another time altogether.
fn choose_time(
    request: &ModelRequest,
    text: &str,
    plan: Plan,
    nth: Option<usize>,
    names: &[String],
) -> Reply {
    let hearing = Hearing::of(text, request);
    let times: Vec<When> = names
        .iter()
        .map(|name| when_in(&words(name), &hearing))
        .collect();
    let said = when_in(&words(text), &hearing);
    let same = |free: &When| {
        let clock = free.clear_time().or_else(|| free.open_time());
        let told = said.clear_time().or_else(|| said.open_time());
        let in_either = |told: &str| [Some(told.to_owned()), in_half(told, true)].contains(&clock);
        let fits = match (&told, said.open_time()) {
            (Some(told), None) => clock.as_ref() == Some(told),
            (Some(told), Some(_)) => in_either(told),
            (None, _) => false,
        };
        fits && said.day.is_none_or(|day| free.day.is_none_or(|d| d == day))
    };
    let mut fitting = times.iter().enumerate().filter(|(_, free)| same(free));
    let by_time = match (fitting.next(), fitting.next()) {
        (Some((only, _)), None) => Some(only),
        _ => None,
    };
    if let Some(when) = nth.or(by_time).and_then(|n| times.get(n)) {
        let certain = When {
            time: when.time.map(|t| TimeSaid { certain: true, ..t }),
            minutes: None,
            ..when.clone()
        };
        if certain.time.is_some() {
            return proceed(request, vec![put_when(plan, &certain)]);
        }
    }
    changes::hear(
        request,
        text,
        &[ToolCall {
            id: String::new(),
            tool: plan.tool,
            arguments: plan.arguments,
        }],
    )
}

/// The only name that has all the words of a text: "brown", "the brown one".
pub(super) fn one_named(text: &str, names: &[String]) -> Option<usize> {
    let said = drop_all(
        &polished(&words(text)),
        &["the|one|el|la|los|las|de|del|yes|si|a|an|that|this|called|ones|please"],
    );
    let wanted: Vec<&str> = said
        .iter()
        .filter(|w| w.kind != Kind::Mark)
        .map(|w| w.folded.as_str())
        .collect();
    if wanted.is_empty() {
        return None;
    }
    let exact = names.iter().position(|name| fold(name) == wanted.join(" "));
    let mut fitting = names.iter().enumerate().filter(|(_, name)| {
        let parts = words(name);
        wanted.iter().all(|w| parts.iter().any(|p| p.folded == *w))
    });
    exact.or_else(|| match (fitting.next(), fitting.next()) {
        (Some((only, _)), None) => Some(only),
        _ => None,
    })
}

fn offered(request: &ModelRequest, text: &str, plan: Plan) -> Reply {
    let said = polished(&words(text));
    let again = starts(
        trimmed(&said),
        &[
            "?ask ?me ?once again|more",
            "once more",
            "repeat ?it ?that",
            "try again",
            "ask again",
            "otra vez",
            "de nuevo",
            "repite ?lo",
            "repitelo",
            "preguntame ?otra ?de ?vez ?nuevo",
        ],
    ) == Some(trimmed(&said).len());
    if again && !said.is_empty() {
        return proceed(request, vec![plan]);
    }
    match answers::read(text, request.language) {
        Reading::Yes => proceed(request, vec![plan]),
        Reading::No => Reply::say(&Saying::AllRight, request),
        Reading::Change(_) => changes::hear(
            request,
            text,
            &[ToolCall {
                id: String::new(),
                tool: plan.tool,
                arguments: plan.arguments,
            }],
        ),
        Reading::Maybe => ask_again(
            say(&Saying::YesOrNo, &request.tools, request.language),
            Waiting::Offer { plan },
        ),
        Reading::Pick(_) | Reading::Other => asked_anew(request, text).unwrap_or_else(|| {
            ask_again(
                say(&Saying::YesOrNo, &request.tools, request.language),
                Waiting::Offer { plan },
            )
        }),
    }
}
