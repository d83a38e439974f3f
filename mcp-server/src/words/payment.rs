//! What is said about money in, out and owed.

use contracts::failure::{Candidate, FailureCode, ToolFailure};
use contracts::locale::Locale;
use contracts::money::Money;
use contracts::tools::payment::{PaidPart, PaymentMethod, PaymentStatus, PaymentView};

use super::arguments::refused;
use super::{all_of, reply_yes, some_of};
use crate::ledger::Why;
use crate::payments::Direction;

/// "in cash", "by mobile money".
#[must_use]
pub(crate) const fn how(locale: Locale, method: PaymentMethod) -> &'static str {
    match (locale, method) {
        (Locale::En, PaymentMethod::Cash) => "in cash",
        (Locale::En, PaymentMethod::Wallet) => "from the wallet",
        (Locale::En, PaymentMethod::MobileMoney) => "by mobile money",
        (Locale::En, PaymentMethod::Card) => "by card",
        (Locale::Es, PaymentMethod::Cash) => "en efectivo",
        (Locale::Es, PaymentMethod::Wallet) => "con el monedero",
        (Locale::Es, PaymentMethod::MobileMoney) => "por dinero móvil",
        (Locale::Es, PaymentMethod::Card) => "con tarjeta",
    }
}

/// "by mobile money (+250788123456)".
fn how_with(locale: Locale, method: PaymentMethod, phone: Option<&str>) -> String {
    let how = how(locale, method);
    match phone {
        Some(phone) => format!("{how} ({phone})"),
        None => how.to_owned(),
    }
}

/// "Paid in cash: RWF 500"; "Asked by mobile money (+250788123456): RWF 500".
#[must_use]
pub(crate) fn paid_with_bill(
    locale: Locale,
    method: PaymentMethod,
    phone: Option<&str>,
    amount: Money,
) -> String {
    let at_once = matches!(method, PaymentMethod::Cash | PaymentMethod::Wallet);
    let verb = match (locale, at_once) {
        (Locale::En, true) => "Paid",
        (Locale::En, false) => "Asked",
        (Locale::Es, true) => "Pagado",
        (Locale::Es, false) => "Se pide",
    };
    format!("{verb} {}: {amount}", how_with(locale, method, phone))
}

/// "RWF 570 has been asked for by mobile money (+250788123456); payment PAY-1 is pending."
#[must_use]
pub(crate) fn asked_with_bill(locale: Locale, payment: &PaymentView) -> String {
    let how = how_with(locale, payment.method, payment.phone.as_deref());
    let (amount, reference) = (payment.amount, &payment.reference);
    match locale {
        Locale::En => {
            format!("{amount} has been asked for {how}; payment {reference} is pending.")
        }
        Locale::Es => format!("Se han pedido {amount} {how}; el pago {reference} está pendiente."),
    }
}

/// Who pays, as a sentence says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payer<'a> {
    /// Nobody in particular.
    Counter,
    /// Somebody known.
    Known(&'a str),
    /// Somebody who is created with the payment.
    New(&'a str),
}

impl Payer<'_> {
    fn from(self, locale: Locale) -> String {
        match (locale, self) {
            (_, Payer::Counter) => String::new(),
            (Locale::En, Payer::Known(name)) => format!(" from {name}"),
            (Locale::En, Payer::New(name)) => format!(" from new customer {name}"),
            (Locale::Es, Payer::Known(name)) => format!(" a {name}"),
            (Locale::Es, Payer::New(name)) => format!(" al nuevo cliente {name}"),
        }
    }

    fn to(self, locale: Locale) -> String {
        match (locale, self) {
            (_, Payer::Counter) => String::new(),
            (Locale::En, Payer::Known(name) | Payer::New(name)) => format!(" to {name}"),
            (Locale::Es, Payer::Known(name) | Payer::New(name)) => format!(" a {name}"),
        }
    }
}

/// A payment as a sentence says it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said<'a> {
    /// How much.
    pub amount: Money,
    /// Who pays.
    pub payer: Payer<'a>,
    /// How.
    pub method: PaymentMethod,
    /// Which telephone is asked.
    pub phone: Option<&'a str>,
    /// What it pays.
    pub bills: &'a [PaidPart],
    /// What goes into the wallet.
    pub to_wallet: Option<Money>,
}

impl Said<'_> {
    /// "RWF 570 pays bill INV-12, RWF 4,430 goes into the wallet".
    fn uses(&self, locale: Locale) -> String {
        let mut uses: Vec<String> = self
            .bills
            .iter()
            .map(|part| match locale {
                Locale::En => format!("{} pays bill {}", part.amount, part.number),
                Locale::Es => format!("{} pagan la factura {}", part.amount, part.number),
            })
            .collect();
        uses.extend(self.to_wallet.map(|rest| match locale {
            Locale::En => format!("{rest} goes into the wallet"),
            Locale::Es => format!("{rest} van al monedero"),
        }));
        some_of(locale, &uses)
    }

    fn sentence(&self, locale: Locale, verb: &str) -> String {
        let (amount, from) = (self.amount, self.payer.from(locale));
        let how = how_with(locale, self.method, self.phone);
        let uses = self.uses(locale);
        let uses = if uses.is_empty() {
            uses
        } else {
            format!(": {uses}")
        };
        format!("{verb} {amount}{from} {how}{uses}.")
    }
}

/// "Collect RWF 5,000 from Ali by mobile money (+250788123456): RWF 570 pays bill INV-12, RWF 4,430 goes into the wallet. Reply 'yes'
/// to confirm."
#[must_use]
pub(crate) fn ask_collect(locale: Locale, said: &Said<'_>) -> String {
    let verb = match locale {
        Locale::En => "Collect",
        Locale::Es => "Cobrar",
    };
    format!("{} {}", said.sentence(locale, verb), reply_yes(locale))
}

/// "Collected RWF 570 from Ali in cash: RWF 570 pays bill INV-12. Payment PAY-3."
#[must_use]
pub(crate) fn collected(locale: Locale, said: &Said<'_>, reference: &str) -> String {
    match locale {
        Locale::En => format!(
            "{} Payment {reference}.",
            said.sentence(locale, "Collected")
        ),
        Locale::Es => format!("{} Pago {reference}.", said.sentence(locale, "Cobrados")),
    }
}

/// "Asked Ali for RWF 5,000 by mobile money (+250788123456). Payment PAY-3 is pending until the payer agrees."
#[must_use]
pub(crate) fn requested(locale: Locale, said: &Said<'_>, reference: &str) -> String {
    let how = how_with(locale, said.method, said.phone);
    let amount = said.amount;
    let whom = match (locale, said.payer) {
        (Locale::En, Payer::Counter) => "Asked".to_owned(),
        (Locale::En, Payer::Known(name) | Payer::New(name)) => format!("Asked {name}"),
        (Locale::Es, Payer::Counter) => "Se han pedido".to_owned(),
        (Locale::Es, Payer::Known(name) | Payer::New(name)) => format!("A {name} se le han pedido"),
    };
    match locale {
        Locale::En => format!(
            "{whom} for {amount} {how}. Payment {reference} is pending until the payer agrees."
        ),
        Locale::Es => format!(
            "{whom} {amount} {how}. El pago {reference} está pendiente hasta que el pagador acepte."
        ),
    }
}

/// "Put RWF 5,000 into Ali's wallet, paid in cash. Reply 'yes' to confirm."
#[must_use]
pub(crate) fn ask_top_up(locale: Locale, said: &Said<'_>) -> String {
    let how = how_with(locale, said.method, said.phone);
    let (amount, reply) = (said.amount, reply_yes(locale));
    match (locale, said.payer) {
        (Locale::En, Payer::New(name)) => {
            format!("Put {amount} into the wallet of new customer {name}, paid {how}. {reply}")
        }
        (Locale::En, Payer::Known(name)) => {
            format!("Put {amount} into the wallet of {name}, paid {how}. {reply}")
        }
        (Locale::Es, Payer::New(name)) => format!(
            "Ingresar {amount} en el monedero del nuevo cliente {name}, pagado {how}. {reply}"
        ),
        (Locale::Es, Payer::Known(name)) => {
            format!("Ingresar {amount} en el monedero de {name}, pagado {how}. {reply}")
        }
        (Locale::En, Payer::Counter) => {
            format!("Put {amount} into the wallet, paid {how}. {reply}")
        }
        (Locale::Es, Payer::Counter) => {
            format!("Ingresar {amount} en el monedero, pagado {how}. {reply}")
        }
    }
}

/// "Put RWF 5,000 into the wallet of Ali: it now holds RWF 9,430. Payment PAY-4."
#[must_use]
pub(crate) fn topped_up(
    locale: Locale,
    name: &str,
    amount: Money,
    holds: Money,
    reference: &str,
) -> String {
    match locale {
        Locale::En => format!(
            "Put {amount} into the wallet of {name}: it now holds {holds}. Payment {reference}."
        ),
        Locale::Es => format!(
            "{amount} ingresados en el monedero de {name}: ahora tiene {holds}. Pago {reference}."
        ),
    }
}

/// A refund as a sentence says it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SaidRefund<'a> {
    /// How much in all.
    pub amount: Money,
    /// Who gets it.
    pub payee: Payer<'a>,
    /// The ways it goes, each once.
    pub ways: &'a [PaymentMethod],
    /// The bills that are credited.
    pub bills: &'a [PaidPart],
}

impl SaidRefund<'_> {
    fn ways(&self, locale: Locale) -> String {
        let ways: Vec<String> = self
            .ways
            .iter()
            .map(|way| back(locale, *way).to_owned())
            .collect();
        all_of(locale, &ways)
    }

    fn credits(&self, locale: Locale) -> String {
        let bills: Vec<String> = self
            .bills
            .iter()
            .map(|part| format!("{} ({})", part.number, part.amount))
            .collect();
        let bills_said = some_of(locale, &bills);
        match (locale, bills.len()) {
            (_, 0) => String::new(),
            (Locale::En, 1) => format!(" Bill {bills_said} is credited, so nothing is owed again."),
            (Locale::En, _) => {
                format!(" Bills {bills_said} are credited, so nothing is owed again.")
            }
            (Locale::Es, 1) => {
                format!(" La factura {bills_said} se abona: no se vuelve a deber nada.")
            }
            (Locale::Es, _) => {
                format!(" Las facturas {bills_said} se abonan: no se vuelve a deber nada.")
            }
        }
    }
}

/// "in cash", "to the wallet".
#[must_use]
pub(crate) const fn back(locale: Locale, method: PaymentMethod) -> &'static str {
    match (locale, method) {
        (Locale::En, PaymentMethod::Wallet) => "to the wallet",
        (Locale::Es, PaymentMethod::Wallet) => "al monedero",
        (locale, method) => how(locale, method),
    }
}

/// "Refund RWF 200 to Ali in cash. Bill INV-12 (RWF 200) is credited, so nothing is owed again. Reply 'yes' to confirm."
#[must_use]
pub(crate) fn ask_refund(locale: Locale, said: &SaidRefund<'_>) -> String {
    let (amount, to, ways) = (said.amount, said.payee.to(locale), said.ways(locale));
    let (credits, reply) = (said.credits(locale), reply_yes(locale));
    match locale {
        Locale::En => format!("Refund {amount}{to} {ways}.{credits} {reply}"),
        Locale::Es => format!("Devolver {amount}{to} {ways}.{credits} {reply}"),
    }
}

/// "Refunded RWF 200 to Ali in cash (PAY-5). Bill INV-12 (RWF 200) is credited, so nothing is owed again."
#[must_use]
pub(crate) fn refunded(
    locale: Locale,
    said: &SaidRefund<'_>,
    references: &[String],
    pending: bool,
) -> String {
    let (amount, to, ways) = (said.amount, said.payee.to(locale), said.ways(locale));
    let (credits, references) = (said.credits(locale), all_of(locale, references));
    match (locale, pending) {
        (Locale::En, false) => format!("Refunded {amount}{to} {ways} ({references}).{credits}"),
        (Locale::En, true) => {
            format!("Refunding {amount}{to} {ways} ({references}, pending).{credits}")
        }
        (Locale::Es, false) => format!("Devueltos {amount}{to} {ways} ({references}).{credits}"),
        (Locale::Es, true) => {
            format!("En devolución {amount}{to} {ways} ({references}, pendiente).{credits}")
        }
    }
}

/// What a customer has and owes, or the shop holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    /// In the wallet, or in all wallets.
    pub wallet: Money,
    /// Owed.
    pub owed: Money,
    /// On how many bills.
    pub open_bills: i64,
    /// Under way to us.
    pub pending_in: Money,
    /// Under way to the customer.
    pub pending_out: Money,
}

impl Standing {
    fn pending(&self, locale: Locale) -> String {
        let mut said = String::new();
        if self.pending_in.amount_minor > 0 {
            said += &match locale {
                Locale::En => format!(" {} has been asked for and is pending.", self.pending_in),
                Locale::Es => format!(" Se han pedido {}, aún pendientes.", self.pending_in),
            };
        }
        if self.pending_out.amount_minor > 0 {
            said += &match locale {
                Locale::En => format!(" {} is being given back.", self.pending_out),
                Locale::Es => format!(" Se están devolviendo {}.", self.pending_out),
            };
        }
        said
    }

    fn bills(&self, locale: Locale) -> String {
        match (locale, self.open_bills) {
            (Locale::En, 1) => "1 open bill".to_owned(),
            (Locale::En, n) => format!("{n} open bills"),
            (Locale::Es, 1) => "1 factura abierta".to_owned(),
            (Locale::Es, n) => format!("{n} facturas abiertas"),
        }
    }
}

/// "Ali owes RWF 570 on 1 open bill and has RWF 200 in the wallet."
#[must_use]
pub(crate) fn balance(locale: Locale, name: &str, standing: &Standing) -> String {
    let Standing { wallet, owed, .. } = standing;
    let (bills, pending) = (standing.bills(locale), standing.pending(locale));
    match (locale, owed.amount_minor) {
        (Locale::En, 0) => {
            format!("{name} owes nothing and has {wallet} in the wallet.{pending}")
        }
        (Locale::En, _) => {
            format!("{name} owes {owed} on {bills} and has {wallet} in the wallet.{pending}")
        }
        (Locale::Es, 0) => format!("{name} no debe nada y tiene {wallet} en el monedero.{pending}"),
        (Locale::Es, _) => {
            format!("{name} debe {owed} en {bills} y tiene {wallet} en el monedero.{pending}")
        }
    }
}

/// "The shop has RWF 1,000 in cash and RWF 500 with providers. RWF 570 is owed on 1 open bill; RWF 200 is in wallets."
#[must_use]
pub(crate) fn shop_balance(
    locale: Locale,
    cash: Money,
    with_providers: Money,
    standing: &Standing,
) -> String {
    let Standing { wallet, owed, .. } = standing;
    let (bills, pending) = (standing.bills(locale), standing.pending(locale));
    let providers = match (locale, with_providers.amount_minor) {
        (_, 0) => String::new(),
        (Locale::En, _) => format!(" and {with_providers} with providers"),
        (Locale::Es, _) => format!(" y {with_providers} en proveedores"),
    };
    let owes = match (locale, owed.amount_minor) {
        (Locale::En, 0) => "Nothing is owed to it".to_owned(),
        (Locale::En, _) => format!("{owed} is owed to it on {bills}"),
        (Locale::Es, 0) => "No se le debe nada".to_owned(),
        (Locale::Es, _) => format!("Se le deben {owed} en {bills}"),
    };
    match locale {
        Locale::En => {
            format!(
                "The shop has {cash} in cash{providers}. {owes}; wallets hold {wallet}.{pending}"
            )
        }
        Locale::Es => format!(
            "La tienda tiene {cash} en efectivo{providers}. {owes}; los monederos suman {wallet}.{pending}"
        ),
    }
}

/// "payment for INV-12 (PAY-3)".
#[must_use]
pub(crate) fn movement(
    locale: Locale,
    why: Option<Why>,
    bill: Option<&str>,
    payment: Option<&str>,
) -> String {
    let what = match (locale, why) {
        (Locale::En, Some(Why::Sale)) => "sale",
        (Locale::En, Some(Why::Tax)) => "tax",
        (Locale::En, Some(Why::Payment)) => "payment",
        (Locale::En, Some(Why::TopUp)) => "top-up",
        (Locale::En, Some(Why::Advance)) => "paid in advance",
        (Locale::En, Some(Why::Allocation)) => "used",
        (Locale::En, Some(Why::Refund)) => "refund",
        (Locale::En, Some(Why::Credit)) => "credit",
        (Locale::En, Some(Why::CreditTax)) => "credited tax",
        (Locale::En, Some(Why::WriteOff)) => "written off",
        (Locale::En, Some(Why::Void)) => "voided",
        (Locale::En, None) => "movement",
        (Locale::Es, Some(Why::Sale)) => "venta",
        (Locale::Es, Some(Why::Tax)) => "impuesto",
        (Locale::Es, Some(Why::Payment)) => "pago",
        (Locale::Es, Some(Why::TopUp)) => "ingreso",
        (Locale::Es, Some(Why::Advance)) => "pagado por adelantado",
        (Locale::Es, Some(Why::Allocation)) => "usado",
        (Locale::Es, Some(Why::Refund)) => "devolución",
        (Locale::Es, Some(Why::Credit)) => "abono",
        (Locale::Es, Some(Why::CreditTax)) => "impuesto abonado",
        (Locale::Es, Some(Why::WriteOff)) => "incobrable",
        (Locale::Es, Some(Why::Void)) => "anulada",
        (Locale::Es, None) => "movimiento",
    };
    let about = match (locale, bill) {
        (_, None) => String::new(),
        (Locale::En, Some(bill)) => format!(" for {bill}"),
        (Locale::Es, Some(bill)) => format!(" de {bill}"),
    };
    let payment = payment.map_or_else(String::new, |payment| format!(" ({payment})"));
    format!("{what}{about}{payment}")
}

/// "3 movements for Ali: payment for INV-12 (PAY-3) RWF 570, sale for INV-12 RWF 570."
#[must_use]
pub(crate) fn history(locale: Locale, name: Option<&str>, said: &[String], more: bool) -> String {
    let count = said.len();
    let whose = match (locale, name) {
        (_, None) => String::new(),
        (Locale::En, Some(name)) => format!(" for {name}"),
        (Locale::Es, Some(name)) => format!(" de {name}"),
    };
    let named = some_of(locale, said);
    let plural = if count == 1 { "" } else { "s" };
    match (locale, count, more) {
        (Locale::En, 0, _) => format!("No money moved{whose}."),
        (Locale::Es, 0, _) => format!("No hay movimientos de dinero{whose}."),
        (Locale::En, _, false) => format!("{count} movement{plural}{whose}: {named}."),
        (Locale::En, _, true) => format!("{count} movement{plural}{whose} and more: {named}."),
        (Locale::Es, _, false) => format!("{count} movimiento{plural}{whose}: {named}."),
        (Locale::Es, _, true) => format!("{count} movimiento{plural}{whose} y más: {named}."),
    }
}

/// "That is not a telephone number."
#[must_use]
pub(crate) fn bad_phone(locale: Locale, lacks_country: bool, field: &str) -> ToolFailure {
    let message = match (locale, lacks_country) {
        (Locale::En, true) => "The telephone number needs its country code, such as +250788123456.",
        (Locale::En, false) => {
            "That is not a telephone number. Give it with its country code, such as +250788123456."
        }
        (Locale::Es, true) => {
            "Al número de teléfono le falta el prefijo del país, como +250788123456."
        }
        (Locale::Es, false) => {
            "Eso no es un número de teléfono. Indíquelo con el prefijo del país, como +250788123456."
        }
    };
    refused(
        field,
        message.to_owned(),
        "Ask the person for the number and send it in E.164: a plus sign, the country code, the number.",
    )
}

/// "Which telephone is to be asked?"
#[must_use]
pub(crate) fn phone_needed(locale: Locale, field: &str) -> ToolFailure {
    let message = match locale {
        Locale::En => "Mobile money needs the payer's telephone number.",
        Locale::Es => "El dinero móvil necesita el número de teléfono de quien paga.",
    };
    refused(
        field,
        message.to_owned(),
        "Ask the person for the payer's number and repeat the call with phone.",
    )
}

/// "The shop does not know your telephone number, which mobile money needs."
#[must_use]
pub(crate) fn own_phone_needed(locale: Locale, field: &str) -> ToolFailure {
    let message = match locale {
        Locale::En => {
            "The shop does not know your telephone number, which mobile money needs. Give it at the counter, or pay another way."
        }
        Locale::Es => {
            "La tienda no tiene su número de teléfono, que hace falta para el dinero móvil. Indíquelo en el mostrador o pague de otra manera."
        }
    };
    refused(
        field,
        message.to_owned(),
        "Repeat the call with another method, or open a ticket about the number.",
    )
}

/// "Cash is paid at the counter."
#[must_use]
pub(crate) fn cash_at_the_counter(locale: Locale, field: &str) -> ToolFailure {
    let message = match locale {
        Locale::En => "Cash is paid at the counter. Choose another way.",
        Locale::Es => "El efectivo se paga en el mostrador. Elija otra forma.",
    };
    refused(
        field,
        message.to_owned(),
        "Repeat the call with wallet, mobile_money or card.",
    )
}

/// "Mobile money is not set up for this shop."
#[must_use]
pub(crate) fn method_unavailable(
    locale: Locale,
    method: PaymentMethod,
    direction: Direction,
) -> ToolFailure {
    let card = method == PaymentMethod::Card;
    let back = direction == Direction::Refund;
    let message = match (locale, card, back) {
        (Locale::En, false, false) => "Mobile money is not set up for this shop.",
        (Locale::En, true, false) => "Cards are not set up for this shop.",
        (Locale::En, false, true) => "Mobile money cannot be given back that way here.",
        (Locale::En, true, true) => "Card payments cannot be given back that way here.",
        (Locale::Es, false, false) => "El dinero móvil no está configurado en esta tienda.",
        (Locale::Es, true, false) => "Las tarjetas no están configuradas en esta tienda.",
        (Locale::Es, false, true) => "El dinero móvil no se puede devolver así aquí.",
        (Locale::Es, true, true) => "Los pagos con tarjeta no se pueden devolver así aquí.",
    };
    let (hint, field) = if back {
        (
            "Offer the refund in cash or to the wallet (to: cash, wallet).",
            "to",
        )
    } else {
        (
            "Offer another way of paying: cash, or the customer's wallet.",
            "method",
        )
    };
    ToolFailure::new(FailureCode::MethodUnavailable, message, hint).at(field)
}

/// "A wallet belongs to a customer."
#[must_use]
pub(crate) fn wallet_of_nobody(locale: Locale, field: &str) -> ToolFailure {
    let message = match locale {
        Locale::En => "Only a known customer has a wallet. Say whose it is, or choose another way.",
        Locale::Es => {
            "Solo un cliente conocido tiene monedero. Diga de quién es, o elija otra forma."
        }
    };
    refused(field, message.to_owned(), "Name the customer, or use cash.")
}

/// "The wallet of Ali holds RWF 200."
#[must_use]
pub(crate) fn wallet_too_small(
    locale: Locale,
    name: &str,
    available: Money,
    field: &str,
) -> ToolFailure {
    let message = match locale {
        Locale::En => format!("The wallet of {name} holds {available}, which is not enough."),
        Locale::Es => format!("El monedero de {name} tiene {available}, que no alcanza."),
    };
    ToolFailure::new(
        FailureCode::InsufficientFunds,
        message,
        "Offer to take at most what the wallet holds, or another way of paying for the rest.",
    )
    .at(field)
    .offering(vec![Candidate {
        name: available.to_string(),
        amount: Some(available),
        ..Candidate::default()
    }])
}

/// "The wallet has been used meanwhile."
#[must_use]
pub(crate) fn wallet_changed(locale: Locale) -> ToolFailure {
    let message = match locale {
        Locale::En => "The wallet no longer holds that much. Please try again.",
        Locale::Es => "El monedero ya no tiene tanto. Inténtelo de nuevo.",
    };
    ToolFailure::new(
        FailureCode::InsufficientFunds,
        message,
        "Somebody used the wallet meanwhile: check_balance says what is there.",
    )
}

/// "Nothing is owed on bill INV-12."
#[must_use]
pub(crate) fn nothing_owed(locale: Locale, bill: Option<&str>, name: Option<&str>) -> ToolFailure {
    let message = match (locale, bill, name) {
        (Locale::En, Some(bill), _) => format!("Nothing is owed on bill {bill}."),
        (Locale::En, None, Some(name)) => format!("{name} owes nothing."),
        (Locale::En, None, None) => "Nothing is owed.".to_owned(),
        (Locale::Es, Some(bill), _) => format!("De la factura {bill} no se debe nada."),
        (Locale::Es, None, Some(name)) => format!("{name} no debe nada."),
        (Locale::Es, None, None) => "No se debe nada.".to_owned(),
    };
    ToolFailure::new(
        FailureCode::NothingOwed,
        message,
        "Give an amount to put into the wallet (top_up_wallet), or name another bill; billing_list_bills with status open shows what is owed.",
    )
}

/// "Only RWF 370 is owed on bill INV-12."
#[must_use]
pub(crate) fn more_than_owed(locale: Locale, owed: Money, bill: Option<&str>) -> ToolFailure {
    let message = match (locale, bill) {
        (Locale::En, Some(bill)) => format!("Only {owed} is owed on bill {bill}."),
        (Locale::En, None) => format!("Only {owed} is owed."),
        (Locale::Es, Some(bill)) => format!("De la factura {bill} solo se deben {owed}."),
        (Locale::Es, None) => format!("Solo se deben {owed}."),
    };
    refused(
        "amount",
        message,
        "Give at most what is owed, or leave amount out to take all of it.",
    )
    .offering(vec![Candidate {
        name: owed.to_string(),
        amount: Some(owed),
        ..Candidate::default()
    }])
}

/// "Say who pays."
#[must_use]
pub(crate) fn who_pays(locale: Locale) -> ToolFailure {
    let message = match locale {
        Locale::En => "Say who pays or which bill is paid.",
        Locale::Es => "Diga quién paga o qué factura se paga.",
    };
    refused(
        "customer",
        message.to_owned(),
        "Give at least one of customer, bill and phone.",
    )
}

/// "Bill INV-3 is Zoe's."
#[must_use]
pub(crate) fn bill_of_another(locale: Locale, bill: &str, owner: &str, name: &str) -> ToolFailure {
    let message = match locale {
        Locale::En => format!("Bill {bill} is for {owner}, not for {name}."),
        Locale::Es => format!("La factura {bill} es de {owner}, no de {name}."),
    };
    refused(
        "customer",
        message,
        "Leave customer out to collect for the bill, or name another bill.",
    )
}

/// "Something changed meanwhile."
#[must_use]
pub(crate) fn changed(locale: Locale) -> ToolFailure {
    let message = match locale {
        Locale::En => "What is owed has changed meanwhile, so nothing was done. Please try again.",
        Locale::Es => {
            "Lo que se debe ha cambiado entretanto, así que no se hizo nada. Inténtelo de nuevo."
        }
    };
    ToolFailure::new(
        FailureCode::VersionConflict,
        message,
        "Repeat the call: the person is asked again with what is true now.",
    )
}

/// "There are too many open bills for one payment."
#[must_use]
pub(crate) fn too_many_bills(locale: Locale, most: usize) -> ToolFailure {
    let message = match locale {
        Locale::En => format!("One payment is spread over at most {most} bills. Name the bill."),
        Locale::Es => {
            format!("Un pago se reparte entre {most} facturas como máximo. Indique la factura.")
        }
    };
    refused("bill", message, "Repeat the call with bill.")
}

/// "There is no payment PAY-9."
#[must_use]
pub(crate) fn unknown_payment(locale: Locale, asked: &str) -> ToolFailure {
    let asked: String = asked.chars().filter(|c| !c.is_control()).take(40).collect();
    let message = match locale {
        Locale::En => format!("There is no payment {asked}."),
        Locale::Es => format!("No hay ningún pago {asked}."),
    };
    ToolFailure::new(
        FailureCode::UnknownPayment,
        message,
        "Name it by number (\"3\" or \"PAY-3\") or id; transaction_history shows the numbers.",
    )
    .at("payment")
}

/// "Give a bill or a payment, not both."
#[must_use]
pub(crate) fn bill_or_payment(locale: Locale) -> ToolFailure {
    let message = match locale {
        Locale::En => "Say which bill or which payment is given back, one of the two.",
        Locale::Es => "Diga qué factura o qué pago se devuelve, uno de los dos.",
    };
    refused(
        "bill",
        message.to_owned(),
        "Give exactly one of bill and payment.",
    )
}

/// "Nothing of bill INV-12 is left to give back."
#[must_use]
pub(crate) fn nothing_to_refund(locale: Locale, of: &str, field: &str) -> ToolFailure {
    let message = match locale {
        Locale::En => format!("Nothing of {of} is left to give back."),
        Locale::Es => format!("De {of} no queda nada por devolver."),
    };
    ToolFailure::new(
        FailureCode::NotRefundable,
        message,
        "Only money that came in and has not been given back can be refunded; billing_get_bill and transaction_history show it.",
    )
    .at(field)
}

/// "PAY-3 is pending, so it cannot be given back."
#[must_use]
pub(crate) fn not_refundable(
    locale: Locale,
    reference: &str,
    status: PaymentStatus,
) -> ToolFailure {
    let word = status_word(locale, status);
    let message = match locale {
        Locale::En => format!("Payment {reference} is {word}, so it cannot be given back."),
        Locale::Es => format!("El pago {reference} está {word}, así que no se puede devolver."),
    };
    ToolFailure::new(
        FailureCode::NotRefundable,
        message,
        "Only a payment that succeeded can be refunded.",
    )
    .at("payment")
}

/// "PAY-3 is itself a refund."
#[must_use]
pub(crate) fn is_refund(locale: Locale, reference: &str) -> ToolFailure {
    let message = match locale {
        Locale::En => format!("{reference} is itself a refund, so it cannot be given back."),
        Locale::Es => format!("{reference} ya es una devolución, así que no se puede devolver."),
    };
    ToolFailure::new(
        FailureCode::NotRefundable,
        message,
        "Name the payment that came in.",
    )
    .at("payment")
}

/// The word for where a payment stands.
#[must_use]
pub(crate) const fn status_word(locale: Locale, status: PaymentStatus) -> &'static str {
    match (locale, status) {
        (Locale::En, status) => status.word(),
        (Locale::Es, PaymentStatus::Pending) => "pendiente",
        (Locale::Es, PaymentStatus::Succeeded) => "hecho",
        (Locale::Es, PaymentStatus::Failed) => "fallido",
        (Locale::Es, PaymentStatus::Expired) => "caducado",
        (Locale::Es, PaymentStatus::Unknown) => "sin confirmar",
    }
}

/// "At most RWF 370 can be given back."
#[must_use]
pub(crate) fn more_than_refundable(locale: Locale, left: Money) -> ToolFailure {
    let message = match locale {
        Locale::En => format!("At most {left} can be given back."),
        Locale::Es => format!("Se pueden devolver {left} como máximo."),
    };
    refused(
        "amount",
        message,
        "Give at most that, or leave amount out to give all of it back.",
    )
    .offering(vec![Candidate {
        name: left.to_string(),
        amount: Some(left),
        ..Candidate::default()
    }])
}

/// "A wallet is not topped up from itself."
#[must_use]
pub(crate) fn top_up_from_wallet(locale: Locale) -> ToolFailure {
    let message = match locale {
        Locale::En => "A wallet cannot be topped up from a wallet. Use cash, mobile money or card.",
        Locale::Es => {
            "Un monedero no se recarga desde un monedero. Use efectivo, dinero móvil o tarjeta."
        }
    };
    refused(
        "method",
        message.to_owned(),
        "Repeat the call with another method.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rwf(amount: i64) -> Money {
        Money::minor(amount, "RWF".parse().unwrap())
    }

    #[test]
    fn a_question_says_amount_payer_method_and_what_it_pays() {
        let part = PaidPart {
            bill_id: uuid::Uuid::nil(),
            number: "INV-12".to_owned(),
            amount: rwf(570),
        };
        let said = Said {
            amount: rwf(5_000),
            payer: Payer::Known("Ali"),
            method: PaymentMethod::MobileMoney,
            phone: Some("+250788123456"),
            bills: &[part],
            to_wallet: Some(rwf(4_430)),
        };
        assert_eq!(
            ask_collect(Locale::En, &said),
            "Collect RWF 5,000 from Ali by mobile money (+250788123456): RWF 570 pays bill INV-12, RWF 4,430 goes into the wallet. \
             Reply 'yes' to confirm."
        );
        assert_eq!(
            ask_collect(Locale::Es, &said),
            "Cobrar RWF 5,000 a Ali por dinero móvil (+250788123456): RWF 570 pagan la factura INV-12, RWF 4,430 van al monedero. \
             Responda 'sí' para confirmar."
        );
    }
}
