//! What the addresses of resources stand for, and who may know of them. Pure.

use contracts::tool::Tool as _;
use contracts::tools::billing::GetBill;
use contracts::tools::booking::{CheckAvailability, ViewBookings};
use contracts::tools::inventory::{GetItem, ListItems};
use contracts::tools::location::FindNearby;
use contracts::tools::profile::GetUserProfile;

use super::needs::Needs;
use crate::caller::Caller;
use crate::completing::Kind;

/// What every address begins with.
const SCHEME: &str = "countersign://";
/// Longest address that is read, bytes: the longest name, each of its letters written as twelve.
const BYTES_MAX: usize = 1_200;

/// How a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// For programs.
    Json,
    /// For people and models: the same address with `.md`.
    Markdown,
}

/// What an address of ours stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// A bill, by its number.
    Bill(String),
    /// The same as PDF.
    BillPdf(String),
    /// A booking as a calendar file, by its reference.
    Calendar(String),
    /// What is sold, and for how much.
    PriceList(Form),
    /// The same of one category.
    PriceListOf(String),
    /// When branches and bookables are open.
    OpeningHours(Form),
    /// The same of one thing that can be booked.
    OpeningHoursOf(String),
    /// What runs low.
    LowStock,
    /// An item, by what a person calls it.
    Item(String),
    /// A customer, by what a person calls her.
    Customer(String),
}

/// The templates, each with the name of its variable and what completes it.
pub(super) const TEMPLATES: [(&str, &str, Kind); 7] = [
    ("countersign://bills/{number}", "number", Kind::Bill),
    ("countersign://bills/{number}.pdf", "number", Kind::Bill),
    (
        "countersign://bookings/{reference}.ics",
        "reference",
        Kind::Booking,
    ),
    ("countersign://customers/{name}", "name", Kind::Customer),
    ("countersign://items/{name}", "name", Kind::Item),
    ("countersign://opening-hours/{name}", "name", Kind::Resource),
    (
        "countersign://price-list/{category}",
        "category",
        Kind::Category,
    ),
];

impl Address {
    /// `None` for what is no address of ours.
    pub(super) fn read(uri: &str) -> Option<Address> {
        let rest = uri
            .strip_prefix(SCHEME)
            .filter(|_| uri.len() <= BYTES_MAX)?;
        match rest {
            "price-list" => return Some(Address::PriceList(Form::Json)),
            "price-list.md" => return Some(Address::PriceList(Form::Markdown)),
            "opening-hours" => return Some(Address::OpeningHours(Form::Json)),
            "opening-hours.md" => return Some(Address::OpeningHours(Form::Markdown)),
            "low-stock" => return Some(Address::LowStock),
            _ => {}
        }
        let (kind, name) = rest.split_once('/')?;
        match kind {
            // Numbers and references are plain letters: written any other way they name nothing.
            "bills" => match name.strip_suffix(".pdf") {
                Some(number) => number_of(number).map(Address::BillPdf),
                None => number_of(name).map(Address::Bill),
            },
            "bookings" => number_of(name.strip_suffix(".ics")?).map(Address::Calendar),
            "price-list" => decoded(name).map(Address::PriceListOf),
            "opening-hours" => decoded(name).map(Address::OpeningHoursOf),
            "items" => decoded(name).map(Address::Item),
            "customers" => decoded(name).map(Address::Customer),
            _ => None,
        }
    }

    /// What it takes to read such a thing at all.
    pub(super) const fn needs(&self) -> Needs {
        match self {
            Address::Bill(_) | Address::BillPdf(_) => Needs::any_of(&[GetBill::NAME]),
            Address::Calendar(_) => Needs::any_of(&[ViewBookings::NAME]),
            Address::PriceList(_) | Address::PriceListOf(_) => Needs::any_of(&[ListItems::NAME]),
            Address::OpeningHours(_) => Needs::any_of(&[CheckAvailability::NAME, FindNearby::NAME]),
            Address::OpeningHoursOf(_) => Needs::any_of(&[CheckAvailability::NAME]),
            // What the shop has left is its own business.
            Address::LowStock => Needs::of_the_shop(&[ListItems::NAME]),
            Address::Item(_) => Needs::any_of(&[GetItem::NAME]),
            // A customer names nobody: what is known of her she has from the tool.
            Address::Customer(_) => Needs::of_the_shop(&[GetUserProfile::NAME]),
        }
    }

    /// Whether it is within the caller's reach to read such a thing at all.
    pub(super) fn is_open_to(&self, caller: &Caller) -> bool {
        self.needs().are_met_by(caller)
    }
}

/// The address of a category's price list.
pub(super) fn of_category(category: &str) -> String {
    format!("{SCHEME}price-list/{}", encoded(category))
}

fn number_of(name: &str) -> Option<String> {
    let is_named = !name.is_empty() && !name.contains(['/', '?', '#', '%']);
    is_named.then(|| name.to_owned())
}

/// A name as it is written within an address (RFC 3986): letters, digits and `-._~` as they are, every other byte as `%41`.
fn encoded(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// The name that was written. Clients differ in what they encode, so everything else stands for itself, but for what ends a name.
fn decoded(text: &str) -> Option<String> {
    if text.is_empty() || text.contains(['/', '?', '#']) {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let (high, low) = (digit()?, digit()?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    let name = String::from_utf8(bytes).ok()?;
    let is_name = !name.trim().is_empty() && !name.chars().any(char::is_control);
    is_name.then_some(name)
}

/// What each kind of address needs, for tests of all of them.
#[cfg(test)]
pub(super) fn all_needs() -> Vec<Needs> {
    let name = String::new;
    let all = [
        Address::Bill(name()),
        Address::Calendar(name()),
        Address::PriceList(Form::Json),
        Address::OpeningHours(Form::Json),
        Address::OpeningHoursOf(name()),
        Address::LowStock,
        Address::Item(name()),
        Address::Customer(name()),
    ];
    all.iter().map(Address::needs).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_names_one_thing_and_nothing_else_is_an_address() {
        let text = str::to_owned;
        for (uri, address) in [
            ("countersign://bills/INV-12", Address::Bill(text("INV-12"))),
            (
                "countersign://bills/INV-12.pdf",
                Address::BillPdf(text("INV-12")),
            ),
            (
                "countersign://bookings/BK-7.ics",
                Address::Calendar(text("BK-7")),
            ),
            ("countersign://price-list", Address::PriceList(Form::Json)),
            (
                "countersign://price-list.md",
                Address::PriceList(Form::Markdown),
            ),
            (
                "countersign://price-list/hot%20drinks",
                Address::PriceListOf(text("hot drinks")),
            ),
            (
                "countersign://opening-hours.md",
                Address::OpeningHours(Form::Markdown),
            ),
            (
                "countersign://opening-hours/Chair 1",
                Address::OpeningHoursOf(text("Chair 1")),
            ),
            (
                "countersign://items/%C3%89clair",
                Address::Item(text("Éclair")),
            ),
            ("countersign://items/50%25", Address::Item(text("50%"))),
            (
                "countersign://customers/Ali%20(%2B250788123456)",
                Address::Customer(text("Ali (+250788123456)")),
            ),
            ("countersign://low-stock", Address::LowStock),
        ] {
            assert_eq!(Address::read(uri), Some(address), "{uri}");
        }
        for other in [
            "",
            "countersign://",
            "countersign://bookings/BK-7",
            "countersign://bookings/.ics",
            "countersign://bills/",
            "countersign://bills/.pdf",
            "countersign://bills/a/b",
            "countersign://bills/../shop",
            "countersign://bills/INV-12?x",
            "countersign://bills/%49NV-12",
            "countersign://items/",
            "countersign://items/a/b",
            "countersign://items/%00",
            "countersign://items/%FF",
            "countersign://items/%2",
            "countersign://items/%zz",
            "countersign://items/%20",
            "countersign://low-stock/",
            "countersign://tenants/x",
            "file:///etc/passwd",
            "https://bills/INV-12",
        ] {
            assert_eq!(Address::read(other), None, "{other}");
        }
        assert_eq!(
            Address::read(&format!("countersign://items/{}", "a".repeat(1_200))),
            None
        );
    }

    proptest! {
        #[test]
        fn every_category_has_an_address_that_leads_to_it(name in "\\PC{1,40}") {
            prop_assume!(!name.trim().is_empty());
            prop_assert_eq!(Address::read(&of_category(&name)), Some(Address::PriceListOf(name)));
        }

        #[test]
        fn no_address_makes_the_reader_fail_hard(rest in ".{0,80}") {
            let _ = Address::read(&format!("countersign://items/{rest}"));
            let _ = Address::read(&rest);
        }
    }
}
