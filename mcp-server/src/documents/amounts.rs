//! What stands under the lines of a bill: the sum, what was taken off, what is owed.

use contracts::documents::BillDocument;
use contracts::money::Money;

use crate::words::documents as said;

/// A label and an amount.
pub(crate) struct Amount {
    /// What it is.
    pub label: &'static str,
    /// As it is shown.
    pub value: String,
    /// What a reader looks for first.
    pub strong: bool,
}

/// What stands under the lines: what is zero and says nothing is left out.
pub(crate) fn amounts(document: &BillDocument) -> Vec<Amount> {
    let (bill, words) = (&document.bill, said::words(document.language));
    let plain = |label, value: String| Amount {
        label,
        value,
        strong: false,
    };
    let strong = |label, value: Money| Amount {
        label,
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
    if some(bill.paid) {
        rows.push(plain(words.paid, bill.paid.number()));
    }
    rows.push(strong(words.owed, bill.owed));
    rows
}
