//! What is said about items and stock.

use contracts::failure::{Candidate, FailureCode, ToolFailure};
use contracts::locale::Locale;
use contracts::quantity::Measure;
use contracts::tools::inventory::{AdjustReason, Supply};
use contracts::unit::EACH;

use super::arguments::refused;
use super::{all_of, one_of, reply_yes, some_of};

/// "There is no item called tomatoes."
#[must_use]
pub(crate) fn unknown_item(
    locale: Locale,
    asked: &str,
    field: &str,
    candidates: Vec<Candidate>,
) -> ToolFailure {
    let (none, close) = match locale {
        Locale::En => ("There is no item called", "Did you mean"),
        Locale::Es => ("No hay ningún artículo llamado", "¿Quiso decir"),
    };
    let question = if candidates.is_empty() {
        String::new()
    } else {
        format!(" {close} {}?", one_of(locale, &names(&candidates)))
    };
    ToolFailure::new(
        FailureCode::UnknownItem,
        format!("{none} {asked}.{question}"),
        "Ask the person which item is meant, see inventory_list_items, or add it with inventory_add_item.",
    )
    .at(field)
    .offering(candidates)
}

/// "Which rice do you mean: White rice or Brown rice?"
#[must_use]
pub(crate) fn ambiguous_item(
    locale: Locale,
    asked: &str,
    field: &str,
    candidates: Vec<Candidate>,
) -> ToolFailure {
    let names = one_of(locale, &names(&candidates));
    let message = match locale {
        Locale::En => format!("Which {asked} do you mean: {names}?"),
        Locale::Es => format!("¿A cuál se refiere con {asked}: {names}?"),
    };
    ToolFailure::new(
        FailureCode::AmbiguousItem,
        message,
        "Ask the person, then repeat the call with the name of one candidate.",
    )
    .at(field)
    .offering(candidates)
}

fn names(candidates: &[Candidate]) -> Vec<String> {
    candidates.iter().map(|c| c.name.clone()).collect()
}

/// "Sugar is counted in kg; it can also be given in g, lb or bag."
#[must_use]
pub(crate) fn unknown_unit(
    locale: Locale,
    item: &str,
    unit: &str,
    others: &[String],
    asked: &str,
    field: &str,
) -> ToolFailure {
    let also = one_of(locale, others);
    let message = match (locale, unit == EACH) {
        (Locale::En, false) => {
            format!("{item} is counted in {unit}; it can also be given in {also}.")
        }
        (Locale::En, true) => {
            format!("{item} is counted by the piece; it can also be given in {also}.")
        }
        (Locale::Es, false) => {
            format!("{item} se cuenta en {unit}; también se puede dar en {also}.")
        }
        (Locale::Es, true) => {
            format!("{item} se cuenta por piezas; también se puede dar en {also}.")
        }
    };
    // Metres have no other unit; the second half would name nothing.
    let message = if others.is_empty() {
        message
            .split_once(';')
            .map_or_else(|| message.clone(), |(first, _)| format!("{first}."))
    } else {
        message
    };
    let asked: String = asked.chars().filter(|c| !c.is_control()).take(30).collect();
    ToolFailure::new(
        FailureCode::UnknownUnit,
        message,
        format!(
            "`{asked}` does not fit. Repeat the call with {unit}; a new unit of the item is added with inventory_update_item change.add_units."
        ),
    )
    .at(field)
}

/// "Items are counted in g, kg, … A bag is a unit of one item."
#[must_use]
pub(crate) fn unknown_base_unit(locale: Locale, known: &[String], field: &str) -> ToolFailure {
    let known = one_of(locale, known);
    let message = match locale {
        Locale::En => format!("Items are counted in {known}. Please choose one of these."),
        Locale::Es => format!("Los artículos se cuentan en {known}. Elija una de estas unidades."),
    };
    ToolFailure::new(
        FailureCode::UnknownUnit,
        message,
        "For a bag, box or bottle choose the unit inside it and describe the bag in units: {unit: bag, quantity: 25, of: kg}.",
    )
    .at(field)
}

/// "1 lb of Sugar is not an exact quantity in kg. Please give it in kg."
#[must_use]
pub(crate) fn not_exact(
    locale: Locale,
    entered: &str,
    item: &str,
    unit: &str,
    field: &str,
) -> ToolFailure {
    let message = match locale {
        Locale::En => format!(
            "{entered} of {item} is not an exact quantity in {unit}. Please give it in {unit}."
        ),
        Locale::Es => {
            format!("{entered} de {item} no es una cantidad exacta en {unit}. Indíquela en {unit}.")
        }
    };
    refused(
        field,
        message,
        format!("Ask for the quantity in {unit}, with at most six decimals; nothing is rounded."),
    )
}

/// "Shampoo is counted in whole pieces."
#[must_use]
pub(crate) fn not_whole(locale: Locale, item: &str, field: &str) -> ToolFailure {
    let message = match locale {
        Locale::En => format!("{item} is counted in whole pieces. Please give a whole number."),
        Locale::Es => format!("{item} se cuenta en piezas enteras. Indique un número entero."),
    };
    refused(
        field,
        message,
        "Ask for a whole number of pieces; nothing is rounded.",
    )
}

/// "`kg` already means something: choose another name."
#[must_use]
pub(crate) fn unit_taken(locale: Locale, unit: &str, field: &str) -> ToolFailure {
    let message = match locale {
        Locale::En => format!("The unit {unit} is there already. Choose another name."),
        Locale::Es => format!("La unidad {unit} ya existe. Elija otro nombre."),
    };
    refused(
        field,
        message,
        "Name each unit of the item once, and none like a fixed unit (kg, dozen, ...).",
    )
}

/// "A unit is named with letters only."
#[must_use]
pub(crate) fn unit_not_letters(locale: Locale, field: &str) -> ToolFailure {
    let message = match locale {
        Locale::En => "A unit is named with 1 to 30 letters. Leave out digits and signs.",
        Locale::Es => "Una unidad se nombra con 1 a 30 letras. Quite los números y los signos.",
    };
    refused(field, message.to_owned(), "Such as bag, bottle or tray.")
}

/// What goods were wanted for, which decides what is offered instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A line of a bill.
    Bill,
    /// Taking stock out by hand.
    Adjustment,
}

/// "Only 3 kg of Sugar in stock. Would you like to add 3 kg instead?"
#[must_use]
pub(crate) fn insufficient_stock(
    locale: Locale,
    item: &str,
    left: Measure,
    field: &str,
    purpose: Purpose,
) -> ToolFailure {
    let has = &left.text;
    let message = match (locale, purpose) {
        (Locale::En, _) if !left.quantity.is_positive() => {
            format!("There is no {item} in stock.")
        }
        (Locale::Es, _) if !left.quantity.is_positive() => format!("No queda {item}."),
        (Locale::En, Purpose::Bill) => {
            format!("Only {has} of {item} in stock. Would you like to add {has} instead?")
        }
        (Locale::Es, Purpose::Bill) => {
            format!("Solo queda {has} de {item}. ¿Quiere añadir {has} en su lugar?")
        }
        (Locale::En, Purpose::Adjustment) => {
            format!("Only {has} of {item} in stock. Would you like to take out {has} instead?")
        }
        (Locale::Es, Purpose::Adjustment) => {
            format!("Solo queda {has} de {item}. ¿Quiere sacar {has} en su lugar?")
        }
    };
    let hint = if left.quantity.is_positive() {
        "Offer the person what is left, and repeat the call with that quantity if they agree. Lines of one item count together."
    } else {
        "Tell the person; goods that came in are recorded with inventory_update_item adjust."
    };
    ToolFailure::new(FailureCode::InsufficientStock, message, hint)
        .at(field)
        .offering(vec![Candidate {
            name: item.to_owned(),
            stock: Some(left),
            ..Candidate::default()
        }])
}

/// The last wall: another sale took the goods after they were counted.
#[must_use]
pub(crate) fn stock_changed(locale: Locale) -> ToolFailure {
    let message = match locale {
        Locale::En => "There is no longer enough in stock. Please try again.",
        Locale::Es => "Ya no hay existencias suficientes. Inténtelo de nuevo.",
    };
    ToolFailure::new(
        FailureCode::InsufficientStock,
        message,
        "Read the item again with inventory_get_item and repeat the call with what is left.",
    )
}

/// Which of a name and a code is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The name, or a name it is also known by.
    Name,
    /// The shop's own code.
    Sku,
}

/// "Sugar is there already: 20 kg at RWF 160 per kg. Would you like to update it instead?"
#[must_use]
pub(crate) fn already_exists(
    locale: Locale,
    taken: Taken,
    existing: Candidate,
    field: &str,
) -> ToolFailure {
    let name = &existing.name;
    let stock = existing.stock.as_ref().map_or("0", |s| s.text.as_str());
    let price = existing.price.as_deref().unwrap_or_default();
    let message = match (locale, taken) {
        (Locale::En, Taken::Name) => format!(
            "{name} is there already: {stock} in stock at {price}. Would you like to update it instead?"
        ),
        (Locale::Es, Taken::Name) => {
            format!("{name} ya existe: {stock} en existencia a {price}. ¿Quiere actualizarlo?")
        }
        (Locale::En, Taken::Sku) => {
            format!("That code belongs to {name} already. Please choose another one.")
        }
        (Locale::Es, Taken::Sku) => {
            format!("Ese código ya pertenece a {name}. Elija otro.")
        }
    };
    ToolFailure::new(
        FailureCode::AlreadyExists,
        message,
        "Offer the update: inventory_update_item with adjust for goods that came in, or change for a new price.",
    )
    .at(field)
    .offering(vec![existing])
}

/// The last wall: somebody took the name a moment ago.
#[must_use]
pub(crate) fn just_taken(locale: Locale, taken: Taken, field: &str) -> ToolFailure {
    let message = match (locale, taken) {
        (Locale::En, Taken::Name) => "An item of that name was added a moment ago.",
        (Locale::Es, Taken::Name) => "Hace un momento se añadió un artículo con ese nombre.",
        (Locale::En, Taken::Sku) => "An item of that code was added a moment ago.",
        (Locale::Es, Taken::Sku) => "Hace un momento se añadió un artículo con ese código.",
    };
    ToolFailure::new(
        FailureCode::AlreadyExists,
        message,
        "Read it with inventory_get_item, then update it or choose another name.",
    )
    .at(field)
}

/// "Added 20 kg Sugar at RWF 160 per kg (grocery)."
#[must_use]
pub(crate) fn added(
    locale: Locale,
    quantity: Option<&Measure>,
    name: &str,
    price: &str,
    category: &str,
) -> String {
    let what = quantity.map_or_else(|| name.to_owned(), |q| format!("{} {name}", q.text));
    let group = if category.is_empty() {
        String::new()
    } else {
        format!(" ({category})")
    };
    match locale {
        Locale::En => format!("Added {what} at {price}{group}."),
        Locale::Es => format!("Añadido: {what} a {price}{group}."),
    }
}

/// "Sugar: 20 kg in stock at RWF 160 per kg (grocery)."
#[must_use]
pub(crate) fn shown(locale: Locale, name: &str, stock: &Measure, price: &str, low: bool) -> String {
    let has = &stock.text;
    match (locale, low) {
        (Locale::En, false) => format!("{name}: {has} in stock at {price}."),
        (Locale::En, true) => format!("{name}: {has} in stock at {price}. This is low."),
        (Locale::Es, false) => format!("{name}: {has} en existencia a {price}."),
        (Locale::Es, true) => format!("{name}: {has} en existencia a {price}. Queda poco."),
    }
}

/// "Flour: 25 kg added, 75 kg in stock."
#[must_use]
pub(crate) fn adjusted(
    locale: Locale,
    name: &str,
    moved: &Measure,
    into_stock: bool,
    reason: AdjustReason,
    stock: &Measure,
) -> String {
    let (moved, has) = (&moved.text, &stock.text);
    let did = match (locale, into_stock, reason) {
        (Locale::En, true, AdjustReason::Return) => "returned",
        (Locale::En, true, _) => "added",
        (Locale::En, false, AdjustReason::Waste) => "written off",
        (Locale::En, false, _) => "taken out",
        (Locale::Es, true, AdjustReason::Return) => "devueltos",
        (Locale::Es, true, _) => "añadidos",
        (Locale::Es, false, AdjustReason::Waste) => "dados de baja",
        (Locale::Es, false, _) => "retirados",
    };
    match locale {
        Locale::En => format!("{name}: {moved} {did}, {has} in stock."),
        Locale::Es => format!("{name}: {moved} {did}, {has} en existencia."),
    }
}

/// "Flour: counted 75 kg, 5 kg less than recorded."
#[must_use]
pub(crate) fn counted(
    locale: Locale,
    name: &str,
    counted: &Measure,
    difference: &Measure,
    more: Option<bool>,
) -> String {
    let (counted, difference) = (&counted.text, &difference.text);
    match (locale, more) {
        (Locale::En, None) => format!("{name}: counted {counted}, as recorded."),
        (Locale::En, Some(true)) => {
            format!("{name}: counted {counted}, {difference} more than recorded.")
        }
        (Locale::En, Some(false)) => {
            format!("{name}: counted {counted}, {difference} less than recorded.")
        }
        (Locale::Es, None) => format!("{name}: contados {counted}, como estaba registrado."),
        (Locale::Es, Some(true)) => {
            format!("{name}: contados {counted}, {difference} más de lo registrado.")
        }
        (Locale::Es, Some(false)) => {
            format!("{name}: contados {counted}, {difference} menos de lo registrado.")
        }
    }
}

/// A field of an item that was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Changed {
    /// It has a new name now.
    Name(String),
    /// It belongs to another group; empty for none.
    Category(String),
    /// It costs this now.
    Price(String),
    /// It counts as low at this.
    LowStockLevel(String),
    /// It has a new code.
    Sku(String),
    /// It has more names.
    Aliases(Vec<String>),
    /// It has more units.
    Units(Vec<String>),
}

/// "Sugar: price now RWF 170 per kg, category now baking."
#[must_use]
pub(crate) fn changed(locale: Locale, name: &str, fields: &[Changed]) -> String {
    let said: Vec<String> = fields.iter().map(|f| changed_field(locale, f)).collect();
    format!("{name}: {}.", said.join(", "))
}

fn changed_field(locale: Locale, field: &Changed) -> String {
    match (locale, field) {
        (Locale::En, Changed::Name(new)) => format!("name now {new}"),
        (Locale::Es, Changed::Name(new)) => format!("ahora se llama {new}"),
        (Locale::En, Changed::Category(new)) if new.is_empty() => "no category now".to_owned(),
        (Locale::Es, Changed::Category(new)) if new.is_empty() => "ahora sin categoría".to_owned(),
        (Locale::En, Changed::Category(new)) => format!("category now {new}"),
        (Locale::Es, Changed::Category(new)) => format!("categoría ahora {new}"),
        (Locale::En, Changed::Price(new)) => format!("price now {new}"),
        (Locale::Es, Changed::Price(new)) => format!("precio ahora {new}"),
        (Locale::En, Changed::LowStockLevel(new)) => format!("low from {new} down"),
        (Locale::Es, Changed::LowStockLevel(new)) => format!("poco a partir de {new}"),
        (Locale::En, Changed::Sku(new)) => format!("code now {new}"),
        (Locale::Es, Changed::Sku(new)) => format!("código ahora {new}"),
        (Locale::En, Changed::Aliases(new)) => format!("also called {}", all_of(locale, new)),
        (Locale::Es, Changed::Aliases(new)) => {
            format!("también llamado {}", all_of(locale, new))
        }
        (Locale::En, Changed::Units(new)) => format!("also given in {}", all_of(locale, new)),
        (Locale::Es, Changed::Units(new)) => {
            format!("también se da en {}", all_of(locale, new))
        }
    }
}

/// "Say exactly one of adjust, count and change."
#[must_use]
pub(crate) fn one_way_only(locale: Locale) -> ToolFailure {
    let message = match locale {
        Locale::En => {
            "One change at a time: stock by a difference, stock as counted, or other details."
        }
        Locale::Es => {
            "Un cambio a la vez: existencias por diferencia, existencias contadas u otros datos."
        }
    };
    refused(
        "adjust",
        message.to_owned(),
        "Give exactly one of adjust, count and change.",
    )
}

/// "Nothing to change was given."
#[must_use]
pub(crate) fn nothing_to_change(locale: Locale) -> ToolFailure {
    let message = match locale {
        Locale::En => "Nothing to change was given. Say what is to be different.",
        Locale::Es => "No se indicó ningún cambio. Diga qué debe cambiar.",
    };
    refused(
        "change",
        message.to_owned(),
        "Give at least one field inside change.",
    )
}

/// "The difference cannot be 0."
#[must_use]
pub(crate) fn no_difference(locale: Locale) -> ToolFailure {
    let message = match locale {
        Locale::En => "The difference cannot be 0. Say how much came in or went out.",
        Locale::Es => "La diferencia no puede ser 0. Diga cuánto entró o salió.",
    };
    refused(
        "adjust.delta",
        message.to_owned(),
        "Give delta as more or less than 0; for what is on the shelf use count.",
    )
}

/// "Goods that were purchased or returned come in: the difference cannot be negative."
#[must_use]
pub(crate) fn reason_mismatch(locale: Locale, reason: AdjustReason) -> ToolFailure {
    let message = match (locale, reason) {
        (Locale::En, AdjustReason::Waste) => {
            "Waste goes out of stock: the difference must be negative."
        }
        (Locale::Es, AdjustReason::Waste) => {
            "La merma sale de las existencias: la diferencia debe ser negativa."
        }
        (Locale::En, _) => "These goods come into stock: the difference must be more than 0.",
        (Locale::Es, _) => "Estos artículos entran: la diferencia debe ser mayor que 0.",
    };
    refused(
        "adjust.reason",
        message.to_owned(),
        "Waste takes a negative delta; purchase and return take a positive one.",
    )
}

/// "Flour has changed since it was counted: now 70 kg."
#[must_use]
pub(crate) fn version_conflict(locale: Locale, existing: Candidate, version: i64) -> ToolFailure {
    let name = &existing.name;
    let stock = existing.stock.as_ref().map_or("0", |s| s.text.as_str());
    let message = match locale {
        Locale::En => format!(
            "{name} has changed since it was counted: {stock} are recorded now. Please count again."
        ),
        Locale::Es => {
            format!("{name} cambió desde el recuento: ahora constan {stock}. Cuéntelo de nuevo.")
        }
    };
    ToolFailure::new(
        FailureCode::VersionConflict,
        message,
        format!("The item's version is {version} now. Ask for a new count, then repeat with expected_version {version}."),
    )
    .at("count.expected_version")
    .offering(vec![existing])
}

/// "Are you sure you want to remove Soap (12 in stock)? …"
#[must_use]
pub(crate) fn ask_remove(locale: Locale, name: &str, stock: &Measure) -> String {
    let (has, reply) = (&stock.text, reply_yes(locale));
    match locale {
        Locale::En => format!(
            "Are you sure you want to remove {name} ({has} in stock)? Its history and old bills stay. {reply}"
        ),
        Locale::Es => format!(
            "¿Seguro que quiere quitar {name} ({has} en existencia)? Su historial y las facturas antiguas se conservan. {reply}"
        ),
    }
}

/// "Removed Soap."
#[must_use]
pub(crate) fn removed(locale: Locale, name: &str) -> String {
    match locale {
        Locale::En => format!("Removed {name}."),
        Locale::Es => format!("Se quitó {name}."),
    }
}

/// "Soap is on open bills INV-3 and INV-5."
#[must_use]
pub(crate) fn item_in_use(locale: Locale, name: &str, bills: &[String], more: bool) -> ToolFailure {
    let numbers = all_of(locale, bills);
    let many = bills.len() > 1;
    let rest = match (locale, more) {
        (_, false) => "",
        (Locale::En, true) => ", among others",
        (Locale::Es, true) => ", entre otras",
    };
    let message = match (locale, many) {
        (Locale::En, false) => format!(
            "{name} is on open bill {numbers}. It can be removed when that bill is paid or void."
        ),
        (Locale::En, true) => format!(
            "{name} is on open bills {numbers}{rest}. It can be removed when they are paid or void."
        ),
        (Locale::Es, false) => format!(
            "{name} está en la factura abierta {numbers}. Se puede quitar cuando esté pagada o anulada."
        ),
        (Locale::Es, true) => format!(
            "{name} está en las facturas abiertas {numbers}{rest}. Se puede quitar cuando estén pagadas o anuladas."
        ),
    };
    ToolFailure::new(
        FailureCode::ItemInUse,
        message,
        "Settle or void the bills first (billing_get_bill, billing_void_bill).",
    )
    .at("item")
}

/// How a list of items was narrowed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Narrowed<'a> {
    /// By a search text.
    pub query: Option<&'a str>,
    /// By category.
    pub category: Option<&'a str>,
    /// By what is on hand.
    pub below: Option<String>,
    /// By the low-stock level.
    pub low: bool,
}

impl Narrowed<'_> {
    fn said(&self, locale: Locale) -> String {
        let mut parts = Vec::new();
        match (locale, self.low) {
            (_, false) => {}
            (Locale::En, true) => parts.push("low in stock".to_owned()),
            (Locale::Es, true) => parts.push("con pocas existencias".to_owned()),
        }
        if let Some(below) = &self.below {
            parts.push(match locale {
                Locale::En => format!("below {below}"),
                Locale::Es => format!("por debajo de {below}"),
            });
        }
        if let Some(category) = self.category {
            parts.push(match locale {
                Locale::En => format!("in {category}"),
                Locale::Es => format!("en {category}"),
            });
        }
        if let Some(query) = self.query {
            parts.push(match locale {
                Locale::En => format!("like {query}"),
                Locale::Es => format!("como {query}"),
            });
        }
        parts.iter().map(|part| format!(" {part}")).collect()
    }
}

/// "3 items below 5: Salt (1 kg), Shampoo (3), Soap (2)."
#[must_use]
pub(crate) fn listed(
    locale: Locale,
    narrowed: &Narrowed<'_>,
    items: &[String],
    page: Page,
) -> String {
    let by = narrowed.said(locale);
    let count = items.len();
    let named = some_of(locale, items);
    match (locale, count, page) {
        (Locale::En, 0, Page::Only) => format!("There are no items{by}."),
        (Locale::Es, 0, Page::Only) => format!("No hay artículos{by}."),
        (Locale::En, 0, _) => "There are no more items.".to_owned(),
        (Locale::Es, 0, _) => "No hay más artículos.".to_owned(),
        (Locale::En, 1, Page::Only) => format!("1 item{by}: {named}."),
        (Locale::Es, 1, Page::Only) => format!("1 artículo{by}: {named}."),
        (Locale::En, _, Page::Only) => format!("{count} items{by}: {named}."),
        (Locale::Es, _, Page::Only) => format!("{count} artículos{by}: {named}."),
        (Locale::En, _, Page::First) => format!("The first {count} items{by}: {named}."),
        (Locale::Es, _, Page::First) => format!("Los primeros {count} artículos{by}: {named}."),
        (Locale::En, _, Page::Later) => format!("{count} more items{by}: {named}."),
        (Locale::Es, _, Page::Later) => format!("{count} artículos más{by}: {named}."),
    }
}

/// Which page of a list is read out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    /// All there is.
    Only,
    /// There is more.
    First,
    /// There was something before.
    Later,
}

/// "Sugar (RWF 160 per kg)", "Soap (RWF 100 each, none left)".
#[must_use]
pub(crate) fn named_with_price(locale: Locale, name: &str, price: &str, supply: Supply) -> String {
    match (locale, supply) {
        (_, Supply::InStock | Supply::Low) => format!("{name} ({price})"),
        (Locale::En, Supply::None) => format!("{name} ({price}, none left)"),
        (Locale::Es, Supply::None) => format!("{name} ({price}, agotado)"),
    }
}

/// "Sugar (20 kg)".
#[must_use]
pub(crate) fn named_with_stock(name: &str, stock: &Measure) -> String {
    format!("{name} ({})", stock.text)
}

#[cfg(test)]
mod tests {
    use contracts::quantity::Exact;

    use super::*;

    #[test]
    fn sentences_people_rely_on() {
        let twenty = Measure::new(Exact::from(20), "kg");
        assert_eq!(
            added(
                Locale::En,
                Some(&twenty),
                "Sugar",
                "RWF 160 per kg",
                "grocery"
            ),
            "Added 20 kg Sugar at RWF 160 per kg (grocery)."
        );
        assert_eq!(
            added(Locale::En, None, "Sugar", "RWF 160 per kg", ""),
            "Added Sugar at RWF 160 per kg."
        );
        let three = Measure::new(Exact::from(3), "kg");
        let short = |left| {
            insufficient_stock(
                Locale::En,
                "Sugar",
                left,
                "lines[0].quantity",
                Purpose::Bill,
            )
        };
        assert_eq!(
            short(three).message,
            "Only 3 kg of Sugar in stock. Would you like to add 3 kg instead?"
        );
        assert_eq!(
            short(Measure::new(Exact::ZERO, "kg")).message,
            "There is no Sugar in stock."
        );
    }

    #[test]
    fn lists_say_how_they_were_narrowed() {
        let narrowed = Narrowed {
            below: Some("5".to_owned()),
            ..Narrowed::default()
        };
        let items = ["Salt (1 kg)".to_owned(), "Soap (2)".to_owned()];
        assert_eq!(
            listed(Locale::En, &narrowed, &items, Page::Only),
            "2 items below 5: Salt (1 kg), Soap (2)."
        );
        assert_eq!(
            listed(Locale::Es, &narrowed, &[], Page::Only),
            "No hay artículos por debajo de 5."
        );
    }

    #[test]
    fn metres_have_no_other_unit_to_offer() {
        let failure = unknown_unit(Locale::En, "Cloth", "m", &[], "kg", "unit");
        assert_eq!(failure.message, "Cloth is counted in m.");
    }
}
