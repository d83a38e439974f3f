//! What the interpreter says, in English and Spanish. What a tool said is repeated word for word.

use contracts::tool::Tool;
use contracts::tools::billing::{
    BillOutput, CreateBill, GetBill, ListBills, ListBillsOutput, SalesSummary, SalesSummaryOutput,
    VoidBill,
};
use contracts::tools::inventory::{
    AddItem, DeleteItem, ListItems, ListItemsOutput, Supply, UpdateItem,
};
use serde_json::Value;

use super::plans::{Plan, get};
use super::{asks, rows, tools};
use crate::language::Language;
use crate::models::ToolSpec;

/// Something to say that comes from no tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Saying {
    /// A greeting.
    Hello,
    /// The answer to thanks.
    Thanks,
    /// What can be done here.
    Help,
    /// The message was not understood.
    Lost,
    /// A yes or no to nothing.
    NothingOpen,
    /// Dropped at the person's wish.
    AllRight,
    /// An offer or choice was answered with a maybe.
    YesOrNo,
    /// "More", and there is no more.
    NoMore,
    /// Several requests, one of which needs a countersignature or is not complete.
    OneAtATime,
    /// "Delete everything".
    OneItemAtATime,
    /// "Delete 2 soaps".
    DeleteOrReduce,
    /// A negative amount where its sign says nothing clear.
    NegativeUnclear,
    /// "1.500": as thousands, as a fraction.
    NumberUnclear(String, String),
    /// "Set sugar to 170".
    PriceOrStock(String),
    /// A discount in percent.
    PercentUnclear,
    /// "Undo": what was done is taken back by its opposite only.
    CannotUndo,
    /// "Closed on Sunday": every week or once.
    WhichWeeks,
    /// The tool for it is not offered here.
    NotHere,
    /// A customer named another customer.
    OnlyYourself,
    /// A change that fits nothing in the request.
    ChangeUnclear,
    /// A change of something that is not in the request.
    NotOnIt(String),
    /// Taking this away leaves nothing.
    NothingLeft,
    /// Which of several names.
    Which(Vec<String>),
}

/// Both languages of a text; other languages are answered in English.
pub(super) const fn pick<'a>(language: Language, english: &'a str, spanish: &'a str) -> &'a str {
    match language {
        Language::Es => spanish,
        Language::En | Language::Fr | Language::Sw | Language::Rw | Language::Pt => english,
    }
}

/// What can be done with each tool, and how one says it.
const CAN: &[(&str, [&str; 2], [&str; 2])] = &[
    (
        ListItems::NAME,
        ["show stock and prices", "mostrar existencias y precios"],
        ["Show low stock", "Muéstrame el inventario"],
    ),
    (
        CreateBill::NAME,
        ["create bills", "hacer facturas"],
        [
            "Create a bill for Ali: 2 kg sugar and 1 shampoo",
            "Hazle una factura a Ali: 2 kg de azúcar y 1 champú",
        ],
    ),
    (
        AddItem::NAME,
        ["add items", "agregar productos"],
        [
            "Add 20 kg sugar at 160 per kg to grocery",
            "Agrega 20 kg de azúcar a 160 el kilo en abarrotes",
        ],
    ),
    (
        UpdateItem::NAME,
        ["change stock and prices", "cambiar existencias y precios"],
        [
            "Increase flour stock by 25 kg",
            "Aumenta la harina en 25 kg",
        ],
    ),
    (
        SalesSummary::NAME,
        ["sum up sales", "resumir las ventas"],
        ["How much did we sell today?", "¿Cuánto vendimos hoy?"],
    ),
    (
        ListBills::NAME,
        ["list bills", "listar facturas"],
        ["Show unpaid bills", "¿Qué facturas están pendientes?"],
    ),
    (
        GetBill::NAME,
        ["show a bill", "mostrar una factura"],
        ["Show the last bill", "Muestra la última factura"],
    ),
    (
        VoidBill::NAME,
        ["take a bill back", "anular una factura"],
        ["Void bill 12", "Anula la factura 12"],
    ),
    (
        DeleteItem::NAME,
        ["remove items", "eliminar productos"],
        ["Delete soap", "Elimina el jabón"],
    ),
    (
        tools::COLLECT_PAYMENT,
        ["collect payments", "cobrar"],
        [
            "Collect 5000 from Ali in cash",
            "Cobra 5000 a Ali en efectivo",
        ],
    ),
    (
        tools::CHECK_BALANCE,
        ["tell what customers owe", "decir cuánto deben los clientes"],
        ["How much does Ali owe?", "¿Cuánto debe Ali?"],
    ),
    (
        tools::CREATE_BOOKING,
        ["take bookings", "hacer reservas"],
        [
            "Book the 3pm slot tomorrow for Ali",
            "Reserva una mesa mañana a las 8 de la noche",
        ],
    ),
    (
        tools::CHECK_AVAILABILITY,
        ["find free times", "buscar horas libres"],
        [
            "Is the chair free on Saturday afternoon?",
            "¿Está libre la silla el sábado por la tarde?",
        ],
    ),
    (
        tools::CREATE_CUSTOMER,
        ["keep customers", "llevar los clientes"],
        [
            "Add customer Beatriz, 0788 123 456",
            "Agrega al cliente Beatriz, 0788 123 456",
        ],
    ),
    (
        tools::FIND_NEARBY,
        ["find branches", "buscar sucursales"],
        ["Find a branch near me", "Busca una sucursal cerca"],
    ),
    (
        tools::CREATE_TICKET,
        ["open tickets", "abrir tickets"],
        [
            "Open a ticket: the fridge is broken",
            "Abre un ticket: la nevera no funciona",
        ],
    ),
];

/// Three sentences to try.
pub(super) const fn three_examples(language: Language) -> [&'static str; 3] {
    match language {
        Language::Es => [
            "Agrega 20 kg de azúcar a 160 el kilo en abarrotes",
            "Hazle una factura a Ali: 2 kg de azúcar y 1 champú",
            "¿Cuánto vendimos hoy?",
        ],
        Language::En | Language::Fr | Language::Sw | Language::Rw | Language::Pt => [
            "Add 20kg sugar at 160 per kg to grocery",
            "Create a bill for Ali: 2kg sugar and 1 shampoo",
            "How much did we sell today?",
        ],
    }
}

/// What can be done with the tools that are offered, with two examples.
fn abilities(tools: &[ToolSpec], language: Language) -> String {
    let offered = || {
        CAN.iter()
            .filter(|(name, ..)| tools.iter().any(|t| t.name == *name))
    };
    let of = |pair: &[&'static str; 2]| pick(language, pair[0], pair[1]);
    let what: Vec<&str> = offered().map(|(_, what, _)| of(what)).collect();
    let how: Vec<String> = offered()
        .take(2)
        .map(|(_, _, how)| format!("\"{}\"", of(how)))
        .collect();
    if what.is_empty() {
        return pick(
            language,
            "There is nothing I can do here yet. Please ask the shop's staff.",
            "Aquí todavía no puedo hacer nada. Pregunta al personal de la tienda.",
        )
        .to_owned();
    }
    let and = pick(language, " and ", " y ");
    format!(
        "{} {}. {} {}.",
        pick(language, "I can", "Puedo"),
        joined(&what, and),
        pick(language, "Try", "Prueba con"),
        how.join(pick(language, " or ", " o "))
    )
}

fn joined(parts: &[&str], and: &str) -> String {
    match parts {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [head @ .., last] => format!("{}{and}{last}", head.join(", ")),
    }
}

/// "1. Rice white  2. Rice brown".
fn numbered(names: &[String]) -> String {
    (1..)
        .zip(names)
        .map(|(n, name)| format!("{n}. {name}"))
        .collect::<Vec<_>>()
        .join("  ")
}

/// The text of a [`Saying`].
pub(super) fn say(saying: &Saying, tools: &[ToolSpec], language: Language) -> String {
    if let Some((english, spanish)) = fixed(saying) {
        return pick(language, english, spanish).to_owned();
    }
    let es = language == Language::Es;
    let then_abilities = |english: &str, spanish: &str| {
        format!(
            "{} {}",
            pick(language, english, spanish),
            abilities(tools, language)
        )
    };
    match saying {
        Saying::Hello => then_abilities("Hello.", "Hola."),
        Saying::Lost => then_abilities(
            "I did not understand that, so nothing was done.",
            "No lo entendí, así que no se hizo nada.",
        ),
        Saying::NothingOpen => then_abilities(
            "There is no open question to answer.",
            "No hay ninguna pregunta abierta que responder.",
        ),
        Saying::NotHere => then_abilities("I cannot do that here.", "Eso no lo puedo hacer aquí."),
        Saying::NumberUnclear(whole, fraction) => number_unclear(whole, fraction, es),
        Saying::PriceOrStock(item) if es => format!(
            "¿El precio o las existencias de {item}? Di \"cambia el precio de {item} a ...\" o \"contamos ... de {item}\"."
        ),
        Saying::PriceOrStock(item) => format!(
            "The price or the stock of {item}? Say \"set the price of {item} to ...\" or \"we counted ... {item}\"."
        ),
        Saying::NotOnIt(name) if es => format!(
            "{name} no está en la petición, y no se hizo nada. Di, por ejemplo, \"agrega 2 {name}\", o repite la petición entera."
        ),
        Saying::NotOnIt(name) => format!(
            "{name} is not part of it, and nothing was done. Say, for example, \"add 2 {name}\", or make the whole request again."
        ),
        Saying::Which(names) => format!(
            "{}. {}",
            numbered(names),
            pick(language, "Which one?", "¿Cuál?")
        ),
        // What is left has a fixed text, but for the call for help.
        _ => abilities(tools, language),
    }
}

fn number_unclear(whole: &str, fraction: &str, es: bool) -> String {
    let short = fraction.trim_end_matches('0').trim_end_matches('.');
    if es {
        let (fraction, short) = (fraction.replace('.', ","), short.replace('.', ","));
        format!("No sé si quieres decir {whole} o {fraction}. Repítelo con {whole} o con {short}.")
    } else {
        format!(
            "I cannot tell whether you mean {whole} or {fraction}. Say it again with {whole} or with {short}."
        )
    }
}

/// Texts that are always the same, in English and Spanish.
const fn fixed(saying: &Saying) -> Option<(&'static str, &'static str)> {
    Some(match saying {
        Saying::Thanks => ("You are welcome.", "De nada."),
        Saying::AllRight => (
            "All right, nothing was done.",
            "De acuerdo, no se hizo nada.",
        ),
        Saying::YesOrNo => ("Please answer yes or no.", "Responde sí o no, por favor."),
        Saying::NoMore => (
            "There is nothing more to show.",
            "No hay nada más que mostrar.",
        ),
        Saying::OneAtATime => (
            "One thing at a time, please: nothing was done yet. Which one first?",
            "Una cosa a la vez, por favor: todavía no se hizo nada. ¿Cuál primero?",
        ),
        Saying::OneItemAtATime => (
            "I delete one item at a time. Say, for example, \"delete soap\".",
            "Elimino un producto a la vez. Di, por ejemplo, \"elimina el jabón\".",
        ),
        Saying::DeleteOrReduce => (
            "Should the stock go down or the whole item go? Say, for example, \"reduce soap by 2\" or \"delete soap\".",
            "¿Bajo las existencias o elimino el producto entero? Di, por ejemplo, \"reduce el jabón en 2\" o \"elimina el jabón\".",
        ),
        Saying::NegativeUnclear => (
            "A negative amount is not clear here. Say, for example, \"increase flour by 5 kg\" or \"reduce flour by 5 kg\".",
            "Una cantidad negativa no queda clara aquí. Di, por ejemplo, \"aumenta la harina en 5 kg\" o \"reduce la harina en 5 kg\".",
        ),
        Saying::CannotUndo => (
            "I cannot undo what was done. Say the opposite instead, for example \"reduce sugar by 20 kg\" or \"void bill 12\".",
            "No puedo deshacer lo hecho. Di lo contrario, por ejemplo \"reduce el azúcar en 20 kg\" o \"anula la factura 12\".",
        ),
        Saying::WhichWeeks => (
            "Every week or only once? Say, for example, \"on Sundays\" or \"this Sunday\".",
            "¿Todas las semanas o solo una vez? Di, por ejemplo, \"los domingos\" o \"este domingo\".",
        ),
        Saying::PercentUnclear => (
            "I take discounts as an amount: say, for example, \"with 50 off\".",
            "Los descuentos van como importe: di, por ejemplo, \"con 50 de descuento\".",
        ),
        Saying::OnlyYourself => (
            "You can do that only for yourself. Leave the name out and say it again.",
            "Eso solo lo puedes hacer para ti. Dilo otra vez sin el nombre.",
        ),
        Saying::ChangeUnclear => (
            "I did not understand the change, and nothing was done. Say it once more, for example \"make it 3 kg\", or make the whole request again.",
            "No entendí el cambio y no se hizo nada. Dilo otra vez, por ejemplo \"que sean 3 kg\", o repite la petición entera.",
        ),
        Saying::NothingLeft => (
            "Then nothing is left on it, so nothing was done.",
            "Entonces no queda nada, así que no se hizo nada.",
        ),
        _ => return None,
    })
}

/// The one question for what a plan still lacks.
pub(super) fn question(plan: &Plan, path: &str, language: Language) -> String {
    let argument = |path: &str| {
        get(&plan.arguments, path)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    if let Some(text) = asks::question(plan, path, language) {
        return text;
    }
    let item = match plan.tool.as_str() {
        AddItem::NAME => argument("name"),
        _ => argument("item"),
    };
    let es = language == Language::Es;
    let last = path.rsplit('.').next().unwrap_or(path);
    match (last, path) {
        ("unit_price", "unit_price") => price_question(&item, &argument("unit"), es),
        ("unit_price", _) if es => format!("¿Cuál es el nuevo precio de {item}?"),
        ("unit_price", _) => format!("What is the new price of {item}?"),
        ("name", "name") => pick(
            language,
            "What is the item called?",
            "¿Cómo se llama el producto?",
        )
        .to_owned(),
        ("name", _) if es => format!("¿Cómo se debe llamar {item}?"),
        ("name", _) => format!("What should {item} be called?"),
        ("item", _) => pick(language, "Which item?", "¿Qué producto?").to_owned(),
        ("customer", _) => pick(language, "For which customer?", "¿Para qué cliente?").to_owned(),
        ("bill", _) => pick(
            language,
            "Which bill? Say its number, or \"the last one\".",
            "¿Qué factura? Di su número, o \"la última\".",
        )
        .to_owned(),
        ("lines", _) => lines_question(&argument("customer"), es),
        ("quantity", _) if path.starts_with("units") => {
            let (bag, of) = (
                argument(&path.replace("quantity", "unit")),
                argument(&path.replace("quantity", "of")),
            );
            if es {
                format!("¿Cuántos {of} son un {bag} de {item}?")
            } else {
                format!("How many {of} is one {bag} of {item}?")
            }
        }
        _ => {
            let of = path
                .strip_suffix(".quantity")
                .map(|line| argument(&format!("{line}.item")))
                .filter(|i| !i.is_empty())
                .unwrap_or(item);
            if es {
                format!("¿Qué cantidad de {of}?")
            } else {
                format!("How much {of}?")
            }
        }
    }
}

fn lines_question(customer: &str, es: bool) -> String {
    match (es, customer.is_empty()) {
        (false, true) => {
            "What is on the bill? For example \"2 kg sugar and 1 shampoo\".".to_owned()
        }
        (false, false) => {
            format!("What is on the bill for {customer}? For example \"2 kg sugar and 1 shampoo\".")
        }
        (true, true) => {
            "¿Qué lleva la factura? Por ejemplo \"2 kg de azúcar y 1 champú\".".to_owned()
        }
        (true, false) => format!(
            "¿Qué lleva la factura de {customer}? Por ejemplo \"2 kg de azúcar y 1 champú\"."
        ),
    }
}

fn price_question(item: &str, unit: &str, es: bool) -> String {
    match (es, unit.is_empty() || unit == "each") {
        (false, false) => format!("What does one {unit} of {item} cost?"),
        (false, true) => format!("What does one {item} cost?"),
        (true, false) => format!("¿Cuánto cuesta un {unit} de {item}?"),
        (true, true) => format!("¿Cuánto cuesta cada {item}?"),
    }
}

/// Most rows of a list that are read out.
const ROWS_MAX: usize = 20;

/// The answer to a call that was done: the tool's own sentence, and short rows for lists.
pub(super) fn done(tool: &str, result: &Value, language: Language) -> String {
    let summary = result
        .get("summary")
        .and_then(Value::as_str)
        .unwrap_or_else(|| pick(language, "Done.", "Hecho."));
    let (rows, more) = match tool {
        ListItems::NAME => items(result, language),
        ListBills::NAME => bills(result, language),
        GetBill::NAME => (bill_lines(result), false),
        SalesSummary::NAME => (best_sellers(result), false),
        _ => rows::of(tool, result, language),
    };
    let hidden = rows.len().saturating_sub(ROWS_MAX);
    let mut text = summary.to_owned();
    for row in rows.into_iter().take(ROWS_MAX) {
        text.push('\n');
        text.push_str(&row);
    }
    if hidden > 0 {
        text.push('\n');
        text.push_str(&if language == Language::Es {
            format!("Y {hidden} más.")
        } else {
            format!("And {hidden} more.")
        });
    }
    if more {
        text.push('\n');
        text.push_str(pick(
            language,
            "There are more: say \"more\".",
            "Hay más: di \"más\".",
        ));
    }
    text
}

fn items(result: &Value, language: Language) -> (Vec<String>, bool) {
    let Ok(page) = serde_json::from_value::<ListItemsOutput>(result.clone()) else {
        return (Vec::new(), false);
    };
    let low = pick(language, " (low)", " (poco)");
    let at = pick(language, "at", "a");
    let none = pick(language, " (none left)", " (agotado)");
    let row = |i: &contracts::tools::inventory::ListedItem| {
        let price = &i.unit_price.text;
        let few = match i.supply {
            Some(Supply::None) => none,
            _ if i.low => low,
            _ => "",
        };
        match &i.stock {
            Some(stock) => format!("{}: {} {at} {price}{few}", i.name, stock.text),
            // A customer is told what things cost, and not how much there is.
            None => format!("{}: {price}{few}", i.name),
        }
    };
    (
        page.items.iter().map(row).collect(),
        page.next_cursor.is_some(),
    )
}

fn bills(result: &Value, language: Language) -> (Vec<String>, bool) {
    let Ok(page) = serde_json::from_value::<ListBillsOutput>(result.clone()) else {
        return (Vec::new(), false);
    };
    let row = |b: &contracts::tools::billing::BillHead| {
        let customer = b
            .customer
            .as_ref()
            .map_or_else(String::new, |c| format!("{c}, "));
        let owed = if b.owed.amount_minor > 0 && b.owed != b.total {
            format!(" ({} {})", pick(language, "owed", "por pagar"), b.owed)
        } else {
            String::new()
        };
        format!(
            "{}: {customer}{}, {}{owed}",
            b.number,
            b.total,
            status_word(b.status.word(), language)
        )
    };
    (
        page.bills.iter().map(row).collect(),
        page.next_cursor.is_some(),
    )
}

fn status_word(word: &str, language: Language) -> &str {
    match (language, word) {
        (Language::Es, "open") => "pendiente",
        (Language::Es, "paid") => "pagada",
        (Language::Es, "void") => "anulada",
        (Language::Es, "uncollectible") => "incobrable",
        _ => word,
    }
}

fn bill_lines(result: &Value) -> Vec<String> {
    serde_json::from_value::<BillOutput>(result.clone()).map_or_else(
        |_| Vec::new(),
        |b| b.bill.lines.into_iter().map(|l| l.text).collect(),
    )
}

fn best_sellers(result: &Value) -> Vec<String> {
    serde_json::from_value::<SalesSummaryOutput>(result.clone()).map_or_else(
        |_| Vec::new(),
        |s| {
            (1..)
                .zip(s.best_sellers)
                .map(|(n, b): (usize, _)| {
                    format!("{n}. {}: {}, {}", b.item, b.quantity.text, b.sales)
                })
                .collect()
        },
    )
}

/// Nobody answered in time.
pub(super) fn lapsed(language: Language) -> String {
    pick(
        language,
        "The question was not answered in time, so it lapsed and nothing was done. Say \"again\" to be asked once more.",
        "La pregunta no se respondió a tiempo, así que caducó y no se hizo nada. Di \"otra vez\" para que te la haga de nuevo.",
    )
    .to_owned()
}

/// Nobody knows whether it was done.
pub(super) fn not_known(language: Language) -> String {
    pick(
        language,
        "It is not known whether that was done: no answer came back. Staff will check; please do not repeat it until they have.",
        "No se sabe si se hizo: no llegó respuesta. El personal lo revisará; por favor no lo repitas hasta entonces.",
    )
    .to_owned()
}

/// The offer that follows "it is there already".
pub(super) fn offer_stock(amount: &str, language: Language) -> String {
    if language == Language::Es {
        format!("¿Agrego {amount} a sus existencias?")
    } else {
        format!("Add {amount} to its stock?")
    }
}

/// The offer of a new price for what is there already.
pub(super) fn offer_price(price: &str, language: Language) -> String {
    if language == Language::Es {
        format!("¿Cambio su precio a {price}?")
    } else {
        format!("Change its price to {price}?")
    }
}

/// Names that may have been meant. A single one is offered, several are numbered.
pub(super) fn choice(
    message: &str,
    names: &[String],
    new_item: Option<&str>,
    language: Language,
) -> String {
    let es = language == Language::Es;
    let new = new_item.map_or(String::new(), |name| {
        if es {
            format!(" O di \"nuevo\" para agregar {name} como producto nuevo.")
        } else {
            format!(" Or say \"new\" to add {name} as a new item.")
        }
    });
    match names {
        // The tool asked already: the name is said once.
        [only] if message.contains('?') && message.contains(only.as_str()) => {
            format!("{message}{new}")
        }
        [only] if message.trim_end().ends_with('?') => format!("{message} ({only}){new}"),
        [only] if es => format!("{message} ¿Querías decir {only}?{new}"),
        [only] => format!("{message} Did you mean {only}?{new}"),
        _ => format!(
            "{message}\n{}. {}{new}",
            numbered(names),
            pick(language, "Which one?", "¿Cuál?")
        ),
    }
}
