//! What is printed on a bill besides its facts, and what its page says.

use contracts::locale::Locale;
use contracts::tools::billing::BillStatus;

/// The words of a bill.
#[derive(Debug)]
pub(crate) struct Words {
    /// "Bill", before its number.
    pub bill: &'static str,
    /// Before the day it was issued.
    pub issued: &'static str,
    /// Before the day it is due.
    pub due: &'static str,
    /// Before the shop's telephone.
    pub phone: &'static str,
    /// Before the shop's tax number.
    pub tax_number: &'static str,
    /// Before the customer's name.
    pub billed_to: &'static str,
    /// Instead of a customer's name.
    pub counter_sale: &'static str,
    /// Head of the column of goods.
    pub goods: &'static str,
    /// Head of the column of quantities.
    pub quantity: &'static str,
    /// Head of the column of prices.
    pub unit_price: &'static str,
    /// Head of the column of amounts; the currency follows.
    pub amount: &'static str,
    /// Sum of the lines.
    pub subtotal: &'static str,
    /// What was taken off.
    pub discount: &'static str,
    /// Tax on top of the prices.
    pub tax: &'static str,
    /// Tax within the total.
    pub tax_included: &'static str,
    /// What it comes to.
    pub total: &'static str,
    /// What has been paid.
    pub paid: &'static str,
    /// What is still owed.
    pub owed: &'static str,
    /// Beside the code.
    pub scan: &'static str,
    /// The link to the PDF.
    pub as_pdf: &'static str,
}

static ENGLISH: Words = Words {
    bill: "Bill",
    issued: "Issued",
    due: "Due",
    phone: "Tel.",
    tax_number: "Tax no.",
    billed_to: "Bill to",
    counter_sale: "Counter sale",
    goods: "Description",
    quantity: "Quantity",
    unit_price: "Price",
    amount: "Amount",
    subtotal: "Subtotal",
    discount: "Discount",
    tax: "Tax",
    tax_included: "Tax included in the total",
    total: "Total",
    paid: "Paid",
    owed: "Owed",
    scan: "Scan to see this bill as it stands now",
    as_pdf: "Print or save as PDF",
};

static SPANISH: Words = Words {
    bill: "Factura",
    issued: "Emitida",
    due: "Vence",
    phone: "Tel.",
    tax_number: "N.º fiscal",
    billed_to: "Cliente",
    counter_sale: "Venta de mostrador",
    goods: "Descripción",
    quantity: "Cantidad",
    unit_price: "Precio",
    amount: "Importe",
    subtotal: "Subtotal",
    discount: "Descuento",
    tax: "Impuesto",
    tax_included: "Impuesto incluido en el total",
    total: "Total",
    paid: "Pagado",
    owed: "Pendiente",
    scan: "Escanee para ver el estado actual de esta factura",
    as_pdf: "Imprimir o guardar como PDF",
};

/// The words of a bill in this language.
#[must_use]
pub(crate) fn words(locale: Locale) -> &'static Words {
    match locale {
        Locale::En => &ENGLISH,
        Locale::Es => &SPANISH,
    }
}

/// Where a bill stands, as its paper says it. A void bill shouts, so that nobody pays or files it by mistake.
#[must_use]
pub(crate) fn standing(locale: Locale, status: BillStatus) -> &'static str {
    match (locale, status) {
        (Locale::En, BillStatus::Open) => "To be paid",
        (Locale::En, BillStatus::Paid) => "Paid",
        (Locale::En, BillStatus::Void) => "VOID",
        (Locale::En, BillStatus::Uncollectible) => "Written off",
        (Locale::Es, BillStatus::Open) => "Por pagar",
        (Locale::Es, BillStatus::Paid) => "Pagada",
        (Locale::Es, BillStatus::Void) => "ANULADA",
        (Locale::Es, BillStatus::Uncollectible) => "Incobrable",
    }
}

/// "Page 1 of 3".
#[must_use]
pub(crate) fn page(locale: Locale, page: usize, pages: usize) -> String {
    match locale {
        Locale::En => format!("Page {page} of {pages}"),
        Locale::Es => format!("Página {page} de {pages}"),
    }
}

/// Title and text of the page for a bill that is not there, or not the reader's.
#[must_use]
pub(crate) fn no_such_bill(locale: Locale) -> (&'static str, &'static str) {
    match locale {
        Locale::En => (
            "Not found",
            "There is no such bill here. Check its number, or ask the shop.",
        ),
        Locale::Es => (
            "No se encontró",
            "Aquí no hay esa factura. Compruebe el número o pregunte en la tienda.",
        ),
    }
}

/// Title and text of the page when the system cannot be reached.
#[must_use]
pub(crate) fn unavailable(locale: Locale) -> (&'static str, &'static str) {
    match locale {
        Locale::En => (
            "One moment",
            "Unable to reach the system. Please try again.",
        ),
        Locale::Es => (
            "Un momento",
            "No se puede acceder al sistema. Inténtelo de nuevo.",
        ),
    }
}
