//! Sentences that take something off a bill that stands: credit notes and write-offs.

use serde_json::{Value, json};

use super::billing::{BILL, bill_in, bill_named, line_arguments};
use super::intents::{Hearing, Wish};
use super::lists::lines_of;
use super::payments::{parted_by_reason, refund_target};
use super::plans::{Plan, object};
use super::quantities::Quantity;
use super::tools::{CREDIT_BILL, WRITE_OFF_BILL};
use super::words::{Word, drop_all, ends, find, has, longest_at, starts, trimmed, without};

/// What a sentence that corrects a bill asks for.
pub(super) fn write(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    write_off(words).or_else(|| credit(words, hearing))
}

/// "Write off bill 7", "mark bill 7 as uncollectible", "da por perdida la factura 7".
fn write_off(words: &[Word]) -> Option<Wish> {
    const VERBS: &[&str] = &[
        "write|writing off",
        "write",
        "give up on|for",
        "mark|set",
        "marca|marcar|pon|declara",
        "da|dar|dale por perdida|perdido|incobrable",
        "castiga|castigar",
        "da|dar de baja",
    ];
    const BAD: &[&str] = &[
        "?as ?an ?a uncollectible|uncollectable|lost",
        "?as ?a bad debt",
        "?como|por incobrable|perdida",
    ];
    let end = starts(words, VERBS)?;
    let verb = &words[..end];
    let said = &words[end..];
    // "As a bad debt" says what it is, not why.
    let bad = find(said, BAD).filter(|(at, end)| end > at);
    let said = bad.map_or_else(|| said.to_vec(), |(at, end)| without(said, at, end));
    let (rest, reason) = parted_by_reason(&said);
    let off = has(
        verb,
        &["off|up|castiga|castigar|perdida|perdido|incobrable|baja"],
    );
    let trailing_off = words[0].folded == "write" && find(rest, &["off"]).is_some();
    if !off && !trailing_off && bad.is_none() {
        return None;
    }
    let rest = drop_all(rest, &["off"]);
    let bill = the_bill(trimmed(&rest))?;
    Some(Wish::Do(Plan::new(
        WRITE_OFF_BILL,
        object([
            ("bill", Some(json!(bill))),
            ("reason", reason.map(|r| json!(r))),
        ]),
    )))
}

/// The bill that all of the words name; the inner `None` for "a bill", the outer one for anything else.
fn the_bill(words: &[Word]) -> Option<Option<String>> {
    if words.is_empty() || ends(words, &["debt|debts|deuda|deudas"]).is_some() {
        return Some(None);
    }
    let rest = &words[starts(
        words,
        &[
            "for|on|of|de|para|a|sobre ?the|la|el",
            "the|la|el|my|our|this|that|esa|esta",
        ],
    )
    .unwrap_or(0)..];
    if let Some(bill) = bill_in(rest) {
        let before = find(rest, &[BILL]).map_or(0, |(at, _)| at);
        return (before <= 2).then_some(Some(bill));
    }
    let plain = starts(
        rest,
        &["?a|an|one|the|una|la ?unpaid|open|overdue", "?a|una|la"],
    )
    .unwrap_or(0);
    (starts(&rest[plain..], &[BILL]) == Some(rest.len() - plain)).then_some(None)
}

const VERBS: &[&str] = &[
    "?make|issue|create|write|give|do|prepare|raise|new ?him|her|them ?a|an|the ?new credit note|memo ?of|for|on",
    "credit",
    "?haz|hazle|hacer|crea|emite|emitir|genera|prepara|nueva ?una|la nota|factura de ?credito|abono ?de|para|por|a|sobre",
    "acredita|acreditar",
];
const RETURNED: &[&str] = &[
    "returned|returns|brought ?back",
    "gave|sent back",
    "devolvio|devuelve|regreso",
];

/// What is credited, and of which bill: "2 kg sugar on bill 12". The inner `None` is a bill that was not named.
fn goods_and_bill(rest: &[Word]) -> Option<(&[Word], Option<String>)> {
    Some(match the_bill(rest) {
        Some(bill) => (&rest[..0], bill),
        None => {
            let (at, noun) = (0..rest.len()).find_map(|at| {
                let start = longest_at(
                    rest,
                    at,
                    &[
                        "?on|of|from|off|for|against ?the|his|her",
                        "?de|sobre|en ?la|su",
                    ],
                )
                .unwrap_or(at);
                longest_at(rest, start, &[BILL]).map(|noun| (at, noun))
            })?;
            let (bill, length) = bill_named(&rest[noun..])
                .or_else(|| bill_in(&rest[at..]).map(|b| (b, rest.len() - noun)))?;
            (noun + length == rest.len()).then_some((&rest[..at], Some(bill)))?
        }
    })
}

/// "Credit bill 12", "issue a credit note for 2 kg sugar on bill 12", "nota de crédito para la factura 12".
fn credit(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    let verb = starts(words, VERBS);
    let returned = || (1..words.len().min(5)).find_map(|at| longest_at(words, at, RETURNED));
    let (end, sure) = match verb {
        Some(end) => (end, true),
        None => (returned().filter(|_| !hearing.question)?, false),
    };
    let (rest, reason) = parted_by_reason(&words[end..]);
    let mut rest = rest.to_vec();
    let kept_out = find(
        &rest,
        &[
            "?, ?but without restocking|restock|stock",
            "?, no restock|restocking",
            "?, ?pero sin devolver|reponer|reponerlo ?a ?al ?las ?existencias|inventario|stock",
        ],
    );
    if let Some((at, end)) = kept_out {
        rest = without(&rest, at, end);
    }
    let refund_to = refund_target(&mut rest);
    let rest = drop_all(&rest, &["?, ?and refund ?it"]);
    let rest = trimmed(&rest);
    // The bill stands at the end, or is all there is.
    let (goods, bill) = goods_and_bill(rest)?;
    let lines = if trimmed(goods).is_empty() {
        None
    } else {
        let lines = lines_of(trimmed(goods), hearing.language)?;
        if lines.iter().any(|l| l.price.is_some()) {
            return None;
        }
        if let Some(doubt) = lines
            .iter()
            .filter_map(|l| l.quantity.as_ref())
            .find_map(Quantity::in_doubt)
        {
            return Some(Wish::Say(doubt));
        }
        Some(lines.iter().map(line_arguments).collect::<Vec<Value>>())
    };
    // "Ali returned 2 soaps" without a bill is stock.
    if !sure && (lines.is_none() || bill.is_none()) {
        return None;
    }
    if sure && words[0].folded == "credit" && bill.is_none() && lines.is_some() {
        return None;
    }
    Some(Wish::Do(Plan::new(
        CREDIT_BILL,
        object([
            ("bill", Some(json!(bill))),
            ("lines", lines.map(|l| json!(l))),
            ("reason", reason.map(|r| json!(r))),
            ("refund_to", refund_to.map(|t| json!(t))),
            ("restock", kept_out.map(|_| json!(false))),
        ]),
    )))
}
