//! What is said about customers themselves.

use contracts::failure::{Candidate, FailureCode, ToolFailure};
use contracts::locale::Locale;
use contracts::token::PrincipalRole;
use contracts::tools::profile::{CallerView, ContactBy, CustomerHead, CustomerView, Purchases};

use super::arguments::refused;
use super::inventory::Page;
use super::{all_of, some_of};
use crate::phones::E164;

/// "Added customer Ali: +250788123456, ali@example.com."
#[must_use]
pub(crate) fn created(locale: Locale, customer: &CustomerView) -> String {
    let reached: Vec<&str> = [&customer.phone, &customer.email]
        .into_iter()
        .filter_map(Option::as_deref)
        .collect();
    let (name, reached) = (&customer.name, reached.join(", "));
    match (locale, reached.is_empty()) {
        (Locale::En, true) => format!("Added customer {name}."),
        (Locale::En, false) => format!("Added customer {name}: {reached}."),
        (Locale::Es, true) => format!("Cliente añadido: {name}."),
        (Locale::Es, false) => format!("Cliente añadido: {name}, {reached}."),
    }
}

/// "Changed Ali: telephone +34600123456."
#[must_use]
pub(crate) fn changed(locale: Locale, before: &CustomerView, after: &CustomerView) -> String {
    let parts = differences(locale, before, after);
    let name = &before.name;
    match (locale, parts.is_empty()) {
        (Locale::En, true) => format!("{name} is as before: nothing was different."),
        (Locale::Es, true) => format!("{name} sigue igual: no había nada distinto."),
        (Locale::En, false) => format!("Changed {name}: {}.", parts.join(", ")),
        (Locale::Es, false) => format!("Cambiado {name}: {}.", parts.join(", ")),
    }
}

fn differences(locale: Locale, before: &CustomerView, after: &CustomerView) -> Vec<String> {
    let mut parts = Vec::new();
    if before.name != after.name {
        let word = pick(locale, "name", "nombre");
        parts.push(format!("{word} {}", after.name));
    }
    let mut field = |old: &Option<String>, new: &Option<String>, word: &str, without: &str| {
        if old != new {
            parts.push(match new {
                Some(new) => format!("{word} {new}"),
                None => without.to_owned(),
            });
        }
    };
    let (phone, no_phone) = pick(
        locale,
        ("telephone", "no telephone"),
        ("teléfono", "sin teléfono"),
    );
    field(&before.phone, &after.phone, phone, no_phone);
    let (email, no_email) = pick(locale, ("email", "no email"), ("correo", "sin correo"));
    field(&before.email, &after.email, email, no_email);
    let (language, none) = pick(
        locale,
        ("language", "no language"),
        ("idioma", "sin idioma"),
    );
    field(&before.language, &after.language, language, none);
    if before.contact != after.contact
        && let Some(contact) = after.contact
    {
        parts.push(reached_by(locale, contact).to_owned());
    }
    if before.time_zone != after.time_zone {
        parts.push(match (locale, &after.time_zone) {
            (Locale::En, Some(zone)) => format!("time zone {zone}"),
            (Locale::Es, Some(zone)) => format!("zona horaria {zone}"),
            (Locale::En, None) => "no time zone of their own".to_owned(),
            (Locale::Es, None) => "sin zona horaria propia".to_owned(),
        });
    }
    if before.favourites != after.favourites {
        parts.push(takes(locale, &after.favourites));
    }
    parts
}

fn pick<T>(locale: Locale, en: T, es: T) -> T {
    match locale {
        Locale::En => en,
        Locale::Es => es,
    }
}

fn reached_by(locale: Locale, contact: ContactBy) -> &'static str {
    match (locale, contact) {
        (Locale::En, ContactBy::Phone) => "reached by phone",
        (Locale::En, ContactBy::Email) => "reached by email",
        (Locale::En, ContactBy::None) => "not to be contacted",
        (Locale::Es, ContactBy::Phone) => "contacto por teléfono",
        (Locale::Es, ContactBy::Email) => "contacto por correo",
        (Locale::Es, ContactBy::None) => "no quiere contacto",
    }
}

fn takes(locale: Locale, favourites: &[String]) -> String {
    let items = all_of(locale, favourites);
    match (locale, favourites.is_empty()) {
        (Locale::En, true) => "no favourites".to_owned(),
        (Locale::Es, true) => "sin favoritos".to_owned(),
        (Locale::En, false) => format!("usually takes {items}"),
        (Locale::Es, false) => format!("suele llevar {items}"),
    }
}

/// "Ali: +250788123456, speaks es, usually takes Milk. 5 bills, RWF 570 owed."
#[must_use]
pub(crate) fn shown(locale: Locale, customer: &CustomerView, purchases: &Purchases) -> String {
    let mut known: Vec<String> = [&customer.phone, &customer.email]
        .into_iter()
        .filter_map(Clone::clone)
        .collect();
    if known.is_empty() {
        known.push(pick(locale, "no telephone or email", "sin teléfono ni correo").to_owned());
    }
    if let Some(contact) = customer.contact {
        known.push(reached_by(locale, contact).to_owned());
    }
    if let Some(language) = &customer.language {
        known.push(match locale {
            Locale::En => format!("speaks {language}"),
            Locale::Es => format!("habla {language}"),
        });
    }
    if let Some(zone) = &customer.time_zone {
        known.push(pick(locale, format!("in {zone}"), format!("en {zone}")));
    }
    if !customer.favourites.is_empty() {
        known.push(takes(locale, &customer.favourites));
    }
    let notes = customer.notes.as_ref().map_or_else(String::new, |notes| {
        let notes = notes.replace('\n', " ");
        pick(
            locale,
            format!(" Notes: {notes}"),
            format!(" Notas: {notes}"),
        )
    });
    let (name, bought) = (&customer.name, bought(locale, purchases));
    format!("{name}: {}. {bought}.{notes}", known.join(", "))
}

fn bought(locale: Locale, purchases: &Purchases) -> String {
    let owed = &purchases.owed;
    let bills = match (locale, purchases.bills) {
        (Locale::En, 0) => return "No bills yet".to_owned(),
        (Locale::Es, 0) => return "Aún sin facturas".to_owned(),
        (Locale::En, 1) => "1 bill".to_owned(),
        (Locale::Es, 1) => "1 factura".to_owned(),
        (Locale::En, many) => format!("{many} bills"),
        (Locale::Es, many) => format!("{many} facturas"),
    };
    match (locale, owed.amount_minor) {
        (Locale::En, 0) => format!("{bills}, nothing owed"),
        (Locale::Es, 0) => format!("{bills}, no debe nada"),
        (Locale::En, _) => format!("{bills}, {owed} owed"),
        (Locale::Es, _) => format!("{bills}, debe {owed}"),
    }
}

/// "You are amina, the owner of Kimironko Corner. Prices are in RWF, days are those of Africa/Kigali."
#[must_use]
pub(crate) fn caller(locale: Locale, caller: &CallerView) -> String {
    let CallerView {
        subject,
        shop,
        currency,
        time_zone,
        ..
    } = caller;
    let role = match (locale, caller.role) {
        (Locale::En, PrincipalRole::Owner) => "the owner of",
        (Locale::En, PrincipalRole::Staff) => "on the staff of",
        (Locale::En, PrincipalRole::Customer) => "a customer of",
        (Locale::Es, PrincipalRole::Owner) => "titular de",
        (Locale::Es, PrincipalRole::Staff) => "parte del personal de",
        (Locale::Es, PrincipalRole::Customer) => "cliente de",
    };
    match locale {
        Locale::En => format!(
            "You are {subject}, {role} {shop}. Prices are in {currency}, days are those of {time_zone}."
        ),
        Locale::Es => format!(
            "Usted es {subject}, {role} {shop}. Los precios van en {currency} y los días son los de {time_zone}."
        ),
    }
}

/// "4 customers: Ali Hassan (RWF 70 owed), Zoé."
#[must_use]
pub(crate) fn listed(
    locale: Locale,
    query: Option<&str>,
    customers: &[CustomerHead],
    page: Page,
) -> String {
    let named: Vec<String> = customers
        .iter()
        .map(|c| match (locale, c.owed.amount_minor) {
            (_, 0) => c.name.clone(),
            (Locale::En, _) => format!("{} ({} owed)", c.name, c.owed),
            (Locale::Es, _) => format!("{} (debe {})", c.name, c.owed),
        })
        .collect();
    let count = customers.len();
    let like = query.map_or_else(String::new, |query| {
        pick(locale, format!(" like {query}"), format!(" como {query}"))
    });
    let plural = if count == 1 { "" } else { "s" };
    let named = some_of(locale, &named);
    match (locale, count, page) {
        (Locale::En, 0, _) => format!("There are no customers{like}."),
        (Locale::Es, 0, _) => format!("No hay clientes{like}."),
        (Locale::En, _, Page::Only) => format!("{count} customer{plural}{like}: {named}."),
        (Locale::Es, _, Page::Only) => format!("{count} cliente{plural}{like}: {named}."),
        (Locale::En, _, Page::First) => format!("The first {count} customers{like}: {named}."),
        (Locale::Es, _, Page::First) => format!("Los primeros {count} clientes{like}: {named}."),
        (Locale::En, _, Page::Later) => format!("{count} more customer{plural}{like}: {named}."),
        (Locale::Es, _, Page::Later) => format!("{count} cliente{plural} más{like}: {named}."),
    }
}

/// "+250788123456 is Ali's number already."
#[must_use]
pub(crate) fn phone_taken(
    locale: Locale,
    phone: &E164,
    holder: &str,
    candidate: Candidate,
) -> ToolFailure {
    let message = match locale {
        Locale::En => format!("{phone} is {holder}'s number already."),
        Locale::Es => format!("{phone} ya es el número de {holder}."),
    };
    taken(message).offering(vec![candidate])
}

/// The last wall: another call took the number meanwhile.
#[must_use]
pub(crate) fn phone_just_taken(locale: Locale, phone: &str) -> ToolFailure {
    taken(match locale {
        Locale::En => format!("{phone} is somebody's number already."),
        Locale::Es => format!("{phone} ya es el número de alguien."),
    })
}

fn taken(message: String) -> ToolFailure {
    ToolFailure::new(
        FailureCode::AlreadyExists,
        message,
        "A number belongs to one customer. Use the candidate, or change it with update_preferences; find_customers shows who has it.",
    )
    .at("phone")
}

/// "There is a customer Ali already."
#[must_use]
pub(crate) fn name_taken(locale: Locale, name: &str, candidates: Vec<Candidate>) -> ToolFailure {
    let message = match locale {
        Locale::En => format!(
            "There is a customer {name} already. For somebody else of that name, say 'new customer {name}'."
        ),
        Locale::Es => format!(
            "Ya hay un cliente {name}. Si es otra persona con ese nombre, diga 'nuevo cliente {name}'."
        ),
    };
    ToolFailure::new(
        FailureCode::AlreadyExists,
        message,
        format!("Ask the person. Change the one that is there with update_preferences, or repeat the call with name \"new customer {name}\"."),
    )
    .at("name")
    .offering(candidates)
}

/// "Say what is to change."
#[must_use]
pub(crate) fn nothing_to_change(locale: Locale) -> ToolFailure {
    let message = pick(
        locale,
        "Say what is to change: the number, the email, the language, the favourites.",
        "Diga qué hay que cambiar: el número, el correo, el idioma, los favoritos.",
    );
    refused(
        "customer",
        message.to_owned(),
        "Give at least one of language, contact, phone, email, favourites, time_zone and name.",
    )
}

/// "There is no email address of Ali's. Please give one."
#[must_use]
pub(crate) fn not_reachable(locale: Locale, wanted: &CustomerView) -> ToolFailure {
    let name = &wanted.name;
    let (field, message) = match (locale, wanted.contact) {
        (Locale::En, Some(ContactBy::Email)) => (
            "email",
            format!("There is no email address of {name}'s. Please give one."),
        ),
        (Locale::Es, Some(ContactBy::Email)) => {
            ("email", format!("No hay correo de {name}. Indique uno."))
        }
        (Locale::En, _) => (
            "phone",
            format!("There is no telephone number of {name}'s. Please give one."),
        ),
        (Locale::Es, _) => ("phone", format!("No hay teléfono de {name}. Indique uno.")),
    };
    refused(
        field,
        message,
        format!("Give {field} in the same call, or another contact."),
    )
}
