//! What stands under the lines of a bill: the sum, what was taken off, what is owed.

use contracts::documents::BillDocument;
use contracts::money::Money;
use contracts::tools::billing::{BillKind, BillView};

use crate::words::documents as said;

/// A label and an amount.
pub(crate) struct Amount {
    /// What it is.
    pub label: String,
    /// As it is shown.
    pub value: String,
    /// What a reader looks for first.
    pub strong: bool,
}

/// What stands under the lines: what is zero and says nothing is left out.
pub(crate) fn amounts(document: &BillDocument) -> Vec<Amount> {
    let (bill, words) = (&document.bill, said::words(document.language));
    let plain = |label: &str, value: String| Amount {
        label: label.to_owned(),
        value,
        strong: false,
    };
    let strong = |label: &str, value: Money| Amount {
        label: label.to_owned(),
        value: value.to_string(),
        strong: true,
    };
    let some = |money: Money| money.amount_minor != 0;
    let taxed_on_top = some(bill.tax) && !bill.tax_inclusive;
    let mut rows = Vec::new();
    if some(bill.discount) || taxed_on_top {
        rows.push(plain(words.subtotal, bill.subtotal.number()));
    }
    if some(bill.discount) {
        rows.push(plain(
            words.discount,
            format!("-{}", bill.discount.number()),
        ));
    }
    if taxed_on_top {
        rows.push(plain(words.tax, bill.tax.number()));
    }
    rows.push(strong(words.total, bill.total));
    if some(bill.tax) && bill.tax_inclusive {
        rows.push(plain(words.tax_included, bill.tax.number()));
    }
    if bill.kind == BillKind::CreditNote {
        // Nobody owes anything on it.
        return rows;
    }
    if some(bill.paid) {
        rows.push(plain(words.paid, bill.paid.number()));
    }
    if some(bill.credited) {
        rows.push(plain(
            &credited(words.credited, bill),
            bill.credited.number(),
        ));
    }
    rows.push(strong(words.owed, bill.owed));
    rows
}

/// Credit notes named under a bill; the rest are told by the ellipsis.
const NOTES_MAX: usize = 2;

/// "Credited (CN-1, CN-4)". What was refunded has no note.
fn credited(word: &str, bill: &BillView) -> String {
    let notes: Vec<&str> = bill
        .credit_notes
        .iter()
        .map(|n| n.number.as_str())
        .collect();
    match notes.get(..NOTES_MAX) {
        _ if notes.is_empty() => word.to_owned(),
        Some(first) if notes.len() > NOTES_MAX => format!("{word} ({}, …)", first.join(", ")),
        _ => format!("{word} ({})", notes.join(", ")),
    }
}
