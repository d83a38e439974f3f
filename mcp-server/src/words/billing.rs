//! What is said about bills, customers and takings.

use chrono::NaiveDate;
use contracts::failure::{Candidate, FailureCode, ToolFailure};
use contracts::locale::Locale;
use contracts::money::{Money, unit_price_number};
use contracts::quantity::{Exact, Measure};
use contracts::tools::billing::{BillStatus, Period};
use contracts::tools::payment::PaymentMethod;
use contracts::unit::EACH;
use rust_decimal::Decimal;

use super::arguments::refused;
use super::inventory::Page;
use super::{day, one_of, reply_yes, some_of};

/// "2 kg Sugar @ 160 = 320", "1 Shampoo = 250", "500 g Sugar @ 160/kg = 80".
#[must_use]
pub(crate) fn line(
    locale: Locale,
    entered: &Measure,
    name: &str,
    unit: &str,
    unit_price_minor: Decimal,
    gross: Money,
) -> String {
    let price = unit_price_number(unit_price_minor, gross.currency);
    let at = match (locale, entered.unit == unit, unit == EACH) {
        (_, true, true) if entered.quantity == Exact::ONE => String::new(),
        (_, true, _) => format!(" @ {price}"),
        (_, false, false) => format!(" @ {price}/{unit}"),
        (Locale::En, false, true) => format!(" @ {price} each"),
        (Locale::Es, false, true) => format!(" @ {price} c/u"),
    };
    format!("{} {name}{at} = {}", entered.text, gross.number())
}

/// Who a bill is for, as the question says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For<'a> {
    /// Nobody in particular.
    Counter,
    /// Somebody known.
    Known(&'a str),
    /// Somebody who is created with the bill.
    New(&'a str),
}

impl For<'_> {
    fn said(self, locale: Locale) -> String {
        match (locale, self) {
            (_, For::Counter) => String::new(),
            (Locale::En, For::Known(name)) => format!(" for {name}"),
            (Locale::En, For::New(name)) => format!(" for new customer {name}"),
            (Locale::Es, For::Known(name)) => format!(" para {name}"),
            (Locale::Es, For::New(name)) => format!(" para el nuevo cliente {name}"),
        }
    }
}

/// What a bill comes to, as the question says it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sum<'a> {
    /// What is taken off.
    pub discount: Money,
    /// Tax of all lines.
    pub tax: Money,
    /// Prices include it.
    pub tax_inclusive: bool,
    /// What is owed in all.
    pub total: Money,
    /// When it is due.
    pub due_on: Option<NaiveDate>,
    /// How it is paid with its issue: "Paid in cash: RWF 570".
    pub payment: Option<&'a str>,
}

impl Sum<'_> {
    fn said(&self, locale: Locale) -> String {
        let word = |en: &'static str, es: &'static str| match locale {
            Locale::En => en,
            Locale::Es => es,
        };
        let mut parts = Vec::new();
        if self.discount.amount_minor != 0 {
            let discount = word("Discount", "Descuento");
            parts.push(format!("{discount}: {}", self.discount));
        }
        if self.tax.amount_minor != 0 {
            let tax = match (self.tax_inclusive, locale) {
                (false, Locale::En) => "Tax",
                (true, Locale::En) => "Tax included",
                (false, Locale::Es) => "Impuesto",
                (true, Locale::Es) => "Impuesto incluido",
            };
            parts.push(format!("{tax}: {}", self.tax));
        }
        parts.push(format!("Total: {}", self.total));
        if let Some(due_on) = self.due_on {
            parts.push(format!("{}: {}", word("Due", "Vence"), day(due_on)));
        }
        parts.extend(self.payment.map(str::to_owned));
        parts.join(", ")
    }
}

/// "Are you sure you want to create a bill for Ali: 2 kg Sugar @ 160 = 320, 1 Shampoo = 250 (Total: RWF 570)? Reply 'yes' to
/// confirm."
#[must_use]
pub(crate) fn ask_create(
    locale: Locale,
    buyer: For<'_>,
    lines: &[String],
    sum: &Sum<'_>,
) -> String {
    let (who, lines, sum) = (buyer.said(locale), lines.join(", "), sum.said(locale));
    let reply = reply_yes(locale);
    match locale {
        Locale::En => {
            format!("Are you sure you want to create a bill{who}: {lines} ({sum})? {reply}")
        }
        Locale::Es => {
            format!("¿Seguro que quiere crear una factura{who}: {lines} ({sum})? {reply}")
        }
    }
}

/// "Created bill INV-12 for Ali. Total: RWF 570, paid in cash."
#[must_use]
pub(crate) fn created(
    locale: Locale,
    number: &str,
    customer: Option<&str>,
    total: Money,
    paid: Money,
    method: PaymentMethod,
) -> String {
    let who = customer.map_or(For::Counter, For::Known).said(locale);
    let owed = Money::minor(total.amount_minor - paid.amount_minor, total.currency);
    let how = super::payment::how(locale, method);
    let settled = match (locale, paid.amount_minor, owed.amount_minor) {
        (_, 0, _) => String::new(),
        (Locale::En, _, 0) => format!(", paid {how}"),
        (Locale::Es, _, 0) => format!(", pagado {how}"),
        (Locale::En, _, _) => format!(", {paid} paid {how}, {owed} owed"),
        (Locale::Es, _, _) => format!(", {paid} pagado {how}, quedan {owed}"),
    };
    match locale {
        Locale::En => format!("Created bill {number}{who}. Total: {total}{settled}."),
        Locale::Es => format!("Factura {number} creada{who}. Total: {total}{settled}."),
    }
}

/// "Sugar normally costs RWF 160 per kg."
#[must_use]
pub(crate) fn other_price(locale: Locale, name: &str, price: &str) -> String {
    match locale {
        Locale::En => format!("{name} normally costs {price}."),
        Locale::Es => format!("{name} normalmente cuesta {price}."),
    }
}

/// The word for where a bill stands.
#[must_use]
pub(crate) fn status(locale: Locale, status: BillStatus) -> &'static str {
    match (locale, status) {
        (Locale::En, status) => status.word(),
        (Locale::Es, BillStatus::Open) => "abierta",
        (Locale::Es, BillStatus::Paid) => "pagada",
        (Locale::Es, BillStatus::Void) => "anulada",
        (Locale::Es, BillStatus::Uncollectible) => "incobrable",
    }
}

/// "Bill INV-12 for Ali is open: total RWF 570, RWF 270 owed."
#[must_use]
pub(crate) fn shown(
    locale: Locale,
    number: &str,
    customer: Option<&str>,
    stands: BillStatus,
    total: Money,
    owed: Money,
) -> String {
    let who = customer.map_or(For::Counter, For::Known).said(locale);
    let stands = status(locale, stands);
    let rest = match (locale, owed.amount_minor) {
        (_, 0) => String::new(),
        (Locale::En, _) => format!(", {owed} owed"),
        (Locale::Es, _) => format!(", quedan {owed}"),
    };
    match locale {
        Locale::En => format!("Bill {number}{who} is {stands}: total {total}{rest}."),
        Locale::Es => format!("La factura {number}{who} está {stands}: total {total}{rest}."),
    }
}

/// "INV-12 Ali RWF 570".
#[must_use]
pub(crate) fn named(number: &str, customer: Option<&str>, total: Money) -> String {
    match customer {
        Some(customer) => format!("{number} {customer} {total}"),
        None => format!("{number} {total}"),
    }
}

/// How a list of bills was narrowed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Narrowed<'a> {
    /// By status.
    pub status: Option<BillStatus>,
    /// By customer.
    pub customer: Option<&'a str>,
}

/// "2 open bills for Ali: INV-12 RWF 570, INV-3 RWF 100. RWF 670 owed."
#[must_use]
pub(crate) fn listed(
    locale: Locale,
    narrowed: Narrowed<'_>,
    bills: &[String],
    owed: Option<Money>,
    page: Page,
) -> String {
    let count = bills.len();
    let who = narrowed
        .customer
        .map_or(For::Counter, For::Known)
        .said(locale);
    let noun = bill_noun(locale, narrowed.status, count != 1);
    let named = some_of(locale, bills);
    let owes = match (locale, owed) {
        (_, None) => String::new(),
        (Locale::En, Some(owed)) => format!(" {owed} owed."),
        (Locale::Es, Some(owed)) => format!(" Quedan {owed}."),
    };
    match (locale, count, page) {
        (Locale::En, 0, _) => format!("There are no {noun}{who}."),
        (Locale::Es, 0, _) => format!("No hay {noun}{who}."),
        (_, _, Page::Only) => format!("{count} {noun}{who}: {named}.{owes}"),
        (Locale::En, _, Page::First) => format!("The newest {count} {noun}{who}: {named}."),
        (Locale::Es, _, Page::First) => {
            format!("Las {count} {noun} más recientes{who}: {named}.")
        }
        (Locale::En, _, Page::Later) => format!("{count} older {noun}{who}: {named}."),
        (Locale::Es, _, Page::Later) => format!("{count} {noun} anteriores{who}: {named}."),
    }
}

fn bill_noun(locale: Locale, stands: Option<BillStatus>, many: bool) -> String {
    let plural = if many { "s" } else { "" };
    match (locale, stands) {
        (Locale::En, None) => format!("bill{plural}"),
        (Locale::Es, None) => format!("factura{plural}"),
        (Locale::En, Some(stands)) => format!("{} bill{plural}", status(locale, stands)),
        (Locale::Es, Some(BillStatus::Uncollectible)) if many => "facturas incobrables".to_owned(),
        (Locale::Es, Some(stands)) => {
            format!("factura{plural} {}{plural}", status(locale, stands))
        }
    }
}

/// "There is no bill yet.", for somebody who asked for the last one.
#[must_use]
pub(crate) fn no_bill_yet(locale: Locale) -> ToolFailure {
    let message = match locale {
        Locale::En => "There is no bill yet.",
        Locale::Es => "Todavía no hay ninguna factura.",
    };
    ToolFailure::new(
        FailureCode::UnknownBill,
        message,
        "Nothing has been sold yet; a bill is made with billing_create_bill.",
    )
    .at("bill")
}

/// "There is no bill 12."
#[must_use]
pub(crate) fn unknown_bill(locale: Locale, asked: &str) -> ToolFailure {
    let asked: String = asked.chars().filter(|c| !c.is_control()).take(40).collect();
    let message = match locale {
        Locale::En => format!("There is no bill {asked}."),
        Locale::Es => format!("No hay ninguna factura {asked}."),
    };
    ToolFailure::new(
        FailureCode::UnknownBill,
        message,
        "Name it by number (\"12\" or \"INV-12\"), by id, or \"last\"; billing_list_bills shows the numbers.",
    )
    .at("bill")
}

/// "Are you sure you want to void bill INV-12 for Ali (Total: RWF 570)? The goods return to stock. Reply 'yes' to confirm."
#[must_use]
pub(crate) fn ask_void(
    locale: Locale,
    number: &str,
    customer: Option<&str>,
    total: Money,
) -> String {
    let who = customer.map_or(For::Counter, For::Known).said(locale);
    let reply = reply_yes(locale);
    match locale {
        Locale::En => format!(
            "Are you sure you want to void bill {number}{who} (Total: {total})? The goods return to stock. {reply}"
        ),
        Locale::Es => format!(
            "¿Seguro que quiere anular la factura {number}{who} (Total: {total})? Los artículos vuelven a existencias. {reply}"
        ),
    }
}

/// "Voided bill INV-12 for Ali. Back in stock: 2 kg Sugar, 1 Shampoo."
#[must_use]
pub(crate) fn voided(
    locale: Locale,
    number: &str,
    customer: Option<&str>,
    goods: &[String],
) -> String {
    let who = customer.map_or(For::Counter, For::Known).said(locale);
    let goods = some_of(locale, goods);
    match locale {
        Locale::En => format!("Voided bill {number}{who}. Back in stock: {goods}."),
        Locale::Es => format!("Factura {number}{who} anulada. Vuelve a existencias: {goods}."),
    }
}

/// "Are you sure you want to write off bill INV-12 for Ali? RWF 570 is given up. Reply 'yes' to confirm."
#[must_use]
pub(crate) fn ask_write_off(
    locale: Locale,
    number: &str,
    customer: Option<&str>,
    owed: Money,
) -> String {
    let who = customer.map_or(For::Counter, For::Known).said(locale);
    let reply = reply_yes(locale);
    match locale {
        Locale::En => format!(
            "Are you sure you want to write off bill {number}{who}? {owed} is given up; the goods stay sold. {reply}"
        ),
        Locale::Es => format!(
            "¿Seguro que quiere dar por incobrable la factura {number}{who}? Se renuncia a {owed}; los artículos siguen vendidos. {reply}"
        ),
    }
}

/// "Wrote off bill INV-12 for Ali: RWF 570 is given up."
#[must_use]
pub(crate) fn written_off(
    locale: Locale,
    number: &str,
    customer: Option<&str>,
    given_up: Money,
) -> String {
    let who = customer.map_or(For::Counter, For::Known).said(locale);
    match locale {
        Locale::En => format!("Wrote off bill {number}{who}: {given_up} is given up."),
        Locale::Es => {
            format!("Factura {number}{who} dada por incobrable: se renuncia a {given_up}.")
        }
    }
}

/// "Bill INV-12 is paid, so nothing can be changed about it."
#[must_use]
pub(crate) fn not_open(locale: Locale, number: &str, stands: BillStatus) -> ToolFailure {
    let word = status(locale, stands);
    let message = match locale {
        Locale::En => format!("Bill {number} is {word}, so this cannot be done with it."),
        Locale::Es => format!("La factura {number} está {word}, así que no se puede hacer eso."),
    };
    ToolFailure::new(
        FailureCode::BillNotOpen,
        message,
        "Tell the person where the bill stands (billing_get_bill).",
    )
    .at("bill")
}

/// What a credit note comes to, as the question says it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CreditSum<'a> {
    /// What is credited.
    pub total: Money,
    /// What is given back of it, and how: "to the wallet".
    pub back: Option<(Money, &'a str)>,
    /// The goods return to stock.
    pub restock: bool,
}

impl CreditSum<'_> {
    fn said(&self, locale: Locale) -> String {
        let back = match (locale, self.back) {
            (_, None) => String::new(),
            (Locale::En, Some((amount, way))) => format!(" {amount} is given back {way}."),
            (Locale::Es, Some((amount, way))) => format!(" Se devuelven {amount} {way}."),
        };
        let goods = match (locale, self.restock) {
            (Locale::En, true) => " The goods return to stock.",
            (Locale::En, false) => " The goods do not return to stock.",
            (Locale::Es, true) => " Los artículos vuelven a existencias.",
            (Locale::Es, false) => " Los artículos no vuelven a existencias.",
        };
        format!("{back}{goods}")
    }
}

/// "Are you sure you want to credit bill INV-12 for Ali: 1 Shampoo = 250 (Total: RWF 250)? RWF 250 is given back to the wallet. The goods
/// return to stock. Reply 'yes' to confirm."
#[must_use]
pub(crate) fn ask_credit(
    locale: Locale,
    number: &str,
    customer: Option<&str>,
    lines: &[String],
    sum: &CreditSum<'_>,
) -> String {
    let who = customer.map_or(For::Counter, For::Known).said(locale);
    let (lines, total, rest) = (lines.join(", "), sum.total, sum.said(locale));
    let reply = reply_yes(locale);
    match locale {
        Locale::En => format!(
            "Are you sure you want to credit bill {number}{who}: {lines} (Total: {total})?{rest} {reply}"
        ),
        Locale::Es => format!(
            "¿Seguro que quiere abonar la factura {number}{who}: {lines} (Total: {total})?{rest} {reply}"
        ),
    }
}

/// "Issued credit note CN-1 for bill INV-12: RWF 250. RWF 250 is given back to the wallet. The goods return to stock."
#[must_use]
pub(crate) fn credited(locale: Locale, note: &str, number: &str, sum: &CreditSum<'_>) -> String {
    let (total, rest) = (sum.total, sum.said(locale));
    match locale {
        Locale::En => format!("Issued credit note {note} for bill {number}: {total}.{rest}"),
        Locale::Es => {
            format!("Nota de crédito {note} emitida para la factura {number}: {total}.{rest}")
        }
    }
}

/// "Nothing of bill INV-12 is left to credit."
#[must_use]
pub(crate) fn nothing_to_credit(locale: Locale, number: &str) -> ToolFailure {
    let message = match locale {
        Locale::En => format!("Nothing of bill {number} is left to credit."),
        Locale::Es => format!("De la factura {number} no queda nada por abonar."),
    };
    ToolFailure::new(
        FailureCode::BillNotOpen,
        message,
        "All of it has been credited or given back already; billing_get_bill shows its credit notes.",
    )
    .at("bill")
}

/// "There is no soap on bill INV-12."
#[must_use]
pub(crate) fn not_on_bill(locale: Locale, item: &str, number: &str, field: &str) -> ToolFailure {
    let message = match locale {
        Locale::En => format!("There is no {item} on bill {number}."),
        Locale::Es => format!("En la factura {number} no hay {item}."),
    };
    refused(
        field,
        message,
        "Name the items as they stand on the bill (billing_get_bill).",
    )
}

/// "Only 1 kg of Sugar on bill INV-12 is left to credit."
#[must_use]
pub(crate) fn more_than_billed(
    locale: Locale,
    item: &str,
    left: &Measure,
    number: &str,
    field: &str,
) -> ToolFailure {
    let left = &left.text;
    let message = match locale {
        Locale::En => format!("Only {left} of {item} on bill {number} is left to credit."),
        Locale::Es => format!("De la factura {number} solo quedan {left} de {item} por abonar."),
    };
    refused(field, message, "Give at most that quantity.")
}

/// "CN-3 is a credit note. It credits bill INV-12."
#[must_use]
pub(crate) fn is_credit_note(locale: Locale, number: &str, credits: &str) -> ToolFailure {
    let message = match locale {
        Locale::En => {
            format!("{number} is a credit note of bill {credits}. Name the bill instead.")
        }
        Locale::Es => {
            format!("{number} es una nota de crédito de la factura {credits}. Indique la factura.")
        }
    };
    ToolFailure::new(
        FailureCode::BillNotOpen,
        message,
        "A credit note is neither paid nor changed; repeat the call with the number of the bill.",
    )
    .at("bill")
}

/// "Bill INV-12 is paid. Only an open bill on which nothing has been paid can be voided."
#[must_use]
pub(crate) fn not_voidable(
    locale: Locale,
    number: &str,
    stands: BillStatus,
    paid: Money,
) -> ToolFailure {
    let word = status(locale, stands);
    let part = stands == BillStatus::Open;
    let message = match (locale, part) {
        (Locale::En, false) => format!("Bill {number} is {word}, so it cannot be voided."),
        (Locale::En, true) => {
            format!("{paid} has been paid on bill {number}, so it cannot be voided.")
        }
        (Locale::Es, false) => {
            format!("La factura {number} está {word}, así que no se puede anular.")
        }
        (Locale::Es, true) => {
            format!("Ya se pagaron {paid} de la factura {number}, así que no se puede anular.")
        }
    };
    ToolFailure::new(
        FailureCode::BillNotOpen,
        message,
        "Only an open bill on which nothing has been paid or credited can be voided; others are credited with billing_credit_bill. Tell the person where it stands (billing_get_bill).",
    )
    .at("bill")
}

/// "Which Ali do you mean: Ali Hassan or Ali Mukasa?"
#[must_use]
pub(crate) fn ambiguous_customer(
    locale: Locale,
    asked: &str,
    candidates: Vec<Candidate>,
    field: &str,
) -> ToolFailure {
    let names = names(locale, &candidates);
    let message = match locale {
        Locale::En => format!("Which {asked} do you mean: {names}?"),
        Locale::Es => format!("¿A cuál {asked} se refiere: {names}?"),
    };
    ToolFailure::new(
        FailureCode::AmbiguousCustomer,
        message,
        "Ask the person, then repeat the call with one candidate's name exactly as it is written.",
    )
    .at(field)
    .offering(candidates)
}

/// "Did you mean Ali? Otherwise say 'new customer Aly'."
#[must_use]
pub(crate) fn nearly_a_customer(
    locale: Locale,
    asked: &str,
    candidates: Vec<Candidate>,
    field: &str,
) -> ToolFailure {
    let names = names(locale, &candidates);
    let message = match locale {
        Locale::En => format!(
            "There is no customer {asked} yet. Did you mean {names}? Otherwise say 'new customer {asked}'."
        ),
        Locale::Es => format!(
            "Aún no hay ningún cliente {asked}. ¿Quiso decir {names}? Si no, diga 'nuevo cliente {asked}'."
        ),
    };
    ToolFailure::new(
        FailureCode::AmbiguousCustomer,
        message,
        format!("Ask the person. Repeat the call with a candidate's name, or with customer \"new customer {asked}\" for somebody new."),
    )
    .at(field)
    .offering(candidates)
}

/// "There is no customer called Zoe."
#[must_use]
pub(crate) fn unknown_customer(
    locale: Locale,
    asked: &str,
    candidates: Vec<Candidate>,
    field: &str,
) -> ToolFailure {
    let names = names(locale, &candidates);
    let message = match (locale, candidates.is_empty()) {
        (Locale::En, true) => format!("There is no customer called {asked}."),
        (Locale::En, false) => {
            format!("There is no customer called {asked}. Did you mean {names}?")
        }
        (Locale::Es, true) => format!("No hay ningún cliente llamado {asked}."),
        (Locale::Es, false) => {
            format!("No hay ningún cliente llamado {asked}. ¿Quiso decir {names}?")
        }
    };
    ToolFailure::new(
        FailureCode::UnknownCustomer,
        message,
        "Ask the person for the name; find_customers shows who there is, create_customer or a first bill makes somebody new.",
    )
    .at(field)
    .offering(candidates)
}

fn names(locale: Locale, candidates: &[Candidate]) -> String {
    let names: Vec<String> = candidates.iter().map(|c| c.name.clone()).collect();
    one_of(locale, &names)
}

/// "A bill has 1 to 100 lines."
#[must_use]
pub(crate) fn bad_line_count(locale: Locale, most: usize) -> ToolFailure {
    let message = match locale {
        Locale::En => format!("A bill has 1 to {most} lines. Say what is sold."),
        Locale::Es => format!("Una factura tiene de 1 a {most} líneas. Diga qué se vende."),
    };
    refused(
        "lines",
        message,
        "Give each item once as a line with item and quantity; split longer bills.",
    )
}

/// "The discount is more than the lines come to (RWF 570)."
#[must_use]
pub(crate) fn discount_too_large(locale: Locale, subtotal: Money) -> ToolFailure {
    let message = match locale {
        Locale::En => format!("The discount is more than the lines come to ({subtotal})."),
        Locale::Es => format!("El descuento supera lo que suman las líneas ({subtotal})."),
    };
    refused(
        "discount",
        message,
        "Give an amount, not a percentage, of at most the sum of the lines.",
    )
}

/// "The payment is more than the total (RWF 570). Give the change back and record RWF 570."
#[must_use]
pub(crate) fn payment_too_large(locale: Locale, total: Money) -> ToolFailure {
    let message = match locale {
        Locale::En => format!(
            "The payment is more than the total ({total}). Please record {total} and give the change back."
        ),
        Locale::Es => {
            format!("El pago supera el total ({total}). Registre {total} y devuelva el cambio.")
        }
    };
    let failure = refused(
        "payment.amount",
        message,
        "Give at most the total, or leave amount out to pay all of it.",
    );
    failure.offering(vec![Candidate {
        name: total.to_string(),
        amount: Some(total),
        ..Candidate::default()
    }])
}

/// "There is nothing to pay on this bill."
#[must_use]
pub(crate) fn nothing_to_pay(locale: Locale) -> ToolFailure {
    let message = match locale {
        Locale::En => "The bill comes to nothing, so there is nothing to pay.",
        Locale::Es => "La factura no suma nada, así que no hay nada que pagar.",
    };
    refused(
        "payment",
        message.to_owned(),
        "Repeat the call without payment.",
    )
}

/// "The due date 2026-11-01 is in the past."
#[must_use]
pub(crate) fn due_in_the_past(locale: Locale, due_on: NaiveDate, today: NaiveDate) -> ToolFailure {
    let due = day(due_on);
    let message = match locale {
        Locale::En => format!("The due date {due} is in the past. Choose today or later."),
        Locale::Es => format!("El vencimiento {due} ya pasó. Elija hoy o más tarde."),
    };
    refused(
        "due_on",
        message,
        format!("Today is {} in the shop.", day(today)),
    )
}

/// "A period has at most 366 days."
#[must_use]
pub(crate) fn period_too_long(locale: Locale, days_max: i64) -> ToolFailure {
    let message = match locale {
        Locale::En => format!("A period has at most {days_max} days. Choose a shorter one."),
        Locale::Es => format!("Un período tiene {days_max} días como máximo. Elija uno más corto."),
    };
    refused("to", message, "Ask for the years one by one.")
}

/// "Give a named period, or a first and a last day, not both."
#[must_use]
pub(crate) fn period_unclear(locale: Locale) -> ToolFailure {
    let message = match locale {
        Locale::En => "Give a named period, or a first and a last day, not both.",
        Locale::Es => "Indique un período con nombre, o el primer y el último día, no ambos.",
    };
    refused(
        "period",
        message.to_owned(),
        "Give period alone, or from and to together.",
    )
}

/// "These sums are too large."
#[must_use]
pub(crate) fn sums_too_large(locale: Locale) -> ToolFailure {
    let message = match locale {
        Locale::En => "The sums of this period are too large to show. Choose a shorter one.",
        Locale::Es => "Las sumas de este período son demasiado grandes. Elija uno más corto.",
    };
    refused("period", message.to_owned(), "Ask for fewer days.")
}

/// What a period came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Takings<'a> {
    /// First and last day.
    pub days: (NaiveDate, NaiveDate),
    /// How many bills.
    pub bills: i64,
    /// What they come to.
    pub sales: Money,
    /// What was credited.
    pub credited: Money,
    /// What came in.
    pub takings: Money,
    /// What is owed in all.
    pub owed: Money,
    /// What sold best.
    pub best: Option<&'a str>,
}

/// "Today: 3 bills, RWF 1,710 sold, RWF 570 received. RWF 1,140 is owed in all. Best seller: Sugar."
#[must_use]
pub(crate) fn takings(locale: Locale, period: Option<Period>, sums: &Takings<'_>) -> String {
    let when = when(locale, period, sums.days);
    let Takings {
        bills,
        sales,
        takings,
        owed,
        ..
    } = sums;
    let plural = if *bills == 1 { "" } else { "s" };
    let credited = match (locale, sums.credited.amount_minor) {
        (_, 0) => String::new(),
        (Locale::En, _) => format!("{} credited, ", sums.credited),
        (Locale::Es, _) => format!("{} abonados, ", sums.credited),
    };
    let best = match (locale, sums.best) {
        (_, None) => String::new(),
        (Locale::En, Some(best)) => format!(" Best seller: {best}."),
        (Locale::Es, Some(best)) => format!(" Lo más vendido: {best}."),
    };
    let owes = match (locale, owed.amount_minor) {
        (Locale::En, 0) => "Nothing is owed.".to_owned(),
        (Locale::Es, 0) => "No queda nada por cobrar.".to_owned(),
        (Locale::En, _) => format!("{owed} is owed in all."),
        (Locale::Es, _) => format!("En total quedan {owed} por cobrar."),
    };
    match locale {
        Locale::En => {
            format!(
                "{when}: {bills} bill{plural}, {sales} sold, {credited}{takings} received. {owes}{best}"
            )
        }
        Locale::Es => format!(
            "{when}: {bills} factura{plural}, {sales} vendidos, {credited}{takings} cobrados. {owes}{best}"
        ),
    }
}

fn when(locale: Locale, period: Option<Period>, (from, to): (NaiveDate, NaiveDate)) -> String {
    let (en, es) = match period {
        Some(Period::Today) => ("Today", "Hoy"),
        Some(Period::Yesterday) => ("Yesterday", "Ayer"),
        Some(Period::ThisWeek) => ("This week", "Esta semana"),
        Some(Period::LastWeek) => ("Last week", "La semana pasada"),
        Some(Period::ThisMonth) => ("This month", "Este mes"),
        Some(Period::LastMonth) => ("Last month", "El mes pasado"),
        None if from == to => return day(from),
        None => {
            let (from, to) = (day(from), day(to));
            return match locale {
                Locale::En => format!("{from} to {to}"),
                Locale::Es => format!("Del {from} al {to}"),
            };
        }
    };
    match locale {
        Locale::En => en.to_owned(),
        Locale::Es => es.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rwf(amount: i64) -> Money {
        Money::minor(amount, "RWF".parse().unwrap())
    }

    fn said(locale: Locale, quantity: &str, entered: &str, unit: &str, price: &str) -> String {
        let quantity = Measure::new(quantity.parse().unwrap(), entered);
        line(
            locale,
            &quantity,
            "Sugar",
            unit,
            price.parse().unwrap(),
            rwf(80),
        )
    }

    #[test]
    fn lines_say_what_the_price_is_per() {
        assert_eq!(
            said(Locale::En, "2", "kg", "kg", "160"),
            "2 kg Sugar @ 160 = 80"
        );
        assert_eq!(
            said(Locale::En, "1", "kg", "kg", "160"),
            "1 kg Sugar @ 160 = 80"
        );
        assert_eq!(said(Locale::En, "1", "each", "each", "80"), "1 Sugar = 80");
        assert_eq!(
            said(Locale::En, "2", "each", "each", "40"),
            "2 Sugar @ 40 = 80"
        );
        assert_eq!(
            said(Locale::En, "500", "g", "kg", "160"),
            "500 g Sugar @ 160/kg = 80"
        );
        assert_eq!(
            said(Locale::Es, "1", "dozen", "each", "7"),
            "1 dozen Sugar @ 7 c/u = 80"
        );
    }

    #[test]
    fn lists_of_bills_agree_in_number_and_gender() {
        let open = Narrowed {
            status: Some(BillStatus::Open),
            customer: Some("Ali"),
        };
        let bills = ["INV-2 RWF 10".to_owned(), "INV-1 RWF 5".to_owned()];
        assert_eq!(
            listed(Locale::En, open, &bills, Some(rwf(15)), Page::Only),
            "2 open bills for Ali: INV-2 RWF 10, INV-1 RWF 5. RWF 15 owed."
        );
        assert_eq!(
            listed(Locale::Es, open, &bills[..1], None, Page::Only),
            "1 factura abierta para Ali: INV-2 RWF 10."
        );
        assert_eq!(
            listed(Locale::Es, Narrowed::default(), &[], None, Page::Only),
            "No hay facturas."
        );
    }
}
