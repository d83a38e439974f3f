//! Sentences about bills and takings.

use contracts::tool::Tool;
use contracts::tools::billing::{CreateBill, GetBill, ListBills, SalesSummary, VoidBill};
use serde_json::{Map, Value, json};

use super::dates::{Lean, day_at, days_in};
use super::intents::{Hearing, Wish};
use super::lists::{Line, lines_of};
use super::money::amount_at;
use super::names::customer_of;
use super::plans::{Plan, measure, object};
use super::quantities::{Quantity, quantity_at};
use super::replies::Saying;
use super::words::{
    Kind, Word, drop_all, ends, find, has, longest_at, starts, text_of, trimmed, without,
};
use crate::language::Language;

pub(super) const BILL: &str = "bill|invoice|receipt|factura|recibo|cuenta";

fn call(tool: &str, arguments: Value) -> Wish {
    Wish::Do(Plan::new(tool, arguments))
}

/// What a sentence that asks about bills or takings wants to know.
pub(super) fn read(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    summary(words, hearing)
        .or_else(|| list_bills(words, hearing))
        .or_else(|| get_bill(words))
}

/// What a sentence that makes or takes back a bill asks for.
pub(super) fn write(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    void(words).or_else(|| create(words, hearing))
}

/// The bill some words name: "12", "#12", "INV-12", "the last one".
pub(super) fn bill_named(words: &[Word]) -> Option<(String, usize)> {
    if let Some(end) = longest_at(
        words,
        0,
        &[
            "?the|my|our last|latest|newest|recent|previous ?one",
            "?the most recent",
            "?la|el ultima|ultimo|anterior",
        ],
    ) {
        return Some(("last".to_owned(), end));
    }
    let start = longest_at(
        words,
        0,
        &["?number|no|num|nr ?. ?: ?#", "?numero|n ?° ?: ?#"],
    )
    .unwrap_or(0);
    let word = words.get(start)?;
    let plain_number = word.kind == Kind::Digits && word.text.chars().all(|c| c.is_ascii_digit());
    let series = word.kind == Kind::Letters
        && word.text.contains('-')
        && word.text.chars().any(|c| c.is_ascii_digit())
        && word
            .text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-');
    if series || plain_number {
        return Some((word.text.to_uppercase(), start + 1));
    }
    // "INV 12", "INV12"
    let letters = word.folded.as_str();
    if letters == "inv" {
        let number = words.get(start + 1).filter(|w| w.kind == Kind::Digits)?;
        return Some((number.text.clone(), start + 2));
    }
    let digits = letters
        .strip_prefix("inv")
        .filter(|d| !d.is_empty() && d.chars().all(|c| c.is_ascii_digit()))?;
    Some((digits.to_owned(), start + 1))
}

/// The bill that all of the words name: "bill 12", "the last bill", "INV-12".
fn whole_bill(words: &[Word]) -> Option<String> {
    let start = longest_at(words, 0, &["the|my|that|this|our", "la|esa|esta|mi"])
        .filter(|at| longest_at(words, *at, &[BILL]).is_some())
        .unwrap_or(0);
    let rest = &words[start..];
    if let Some(noun) = longest_at(rest, 0, &[BILL]) {
        return bill_named(&rest[noun..])
            .filter(|(_, length)| noun + length == rest.len())
            .map(|(bill, _)| bill);
    }
    let (bill, length) = bill_named(rest)?;
    let noun = longest_at(rest, length, &[BILL]);
    let series = bill.contains('-') && length == rest.len();
    (noun == Some(rest.len()) || series).then_some(bill)
}

/// A bill named at the end of the words.
pub(super) fn bill_in(words: &[Word]) -> Option<String> {
    let after_noun = (0..words.len()).find_map(|at| {
        let end = longest_at(words, at, &[BILL])?;
        bill_named(&words[end..])
            .filter(|(_, length)| end + length == words.len())
            .map(|(bill, _)| bill)
    });
    let before_noun = (0..words.len()).find_map(|at| {
        let (bill, length) = bill_named(&words[at..])?;
        let noun = longest_at(words, at + length, &[BILL]);
        let series = bill.contains('-') && at + length == words.len();
        (noun == Some(words.len()) || series).then_some(bill)
    });
    after_noun.or(before_noun)
}

fn void(words: &[Word]) -> Option<Wish> {
    const VERBS: &[&str] = &[
        "void|reverse|annul|undo|cancel|delete|remove|scrap",
        "anula|anular|anule|cancela|cancelar|cancele|elimina|eliminar|borra|borrar",
        "take back",
    ];
    const BECAUSE: &[&str] = &[
        "?, because ?it ?was ?of",
        "?, since|as ?it ?was",
        "?, due to",
        "?, for ?the reason ?: ?that",
        "?, reason ?: ?is",
        "?, porque ?se|esta",
        "?, ya|dado que",
        "?, por",
        "?, motivo ?:",
        "-",
        ",",
    ];
    let end = starts(words, VERBS)?;
    let rest = &words[end..];
    let (rest, reason) = match find(rest, BECAUSE).filter(|(at, _)| *at > 0) {
        Some((at, after)) => (&rest[..at], text_of(&rest[after..])),
        None => (rest, String::new()),
    };
    let named = whole_bill(trimmed(rest));
    let bare =
        trimmed(rest).len() == 1 && matches!(words[0].folded.as_str(), "void" | "anula" | "anular");
    let named = named.or_else(|| {
        if bare {
            bill_named(rest).map(|(bill, _)| bill)
        } else {
            None
        }
    });
    let unnamed = named.is_none()
        && starts(
            rest,
            &[
                "?a|the|that|this|my|one bill|invoice",
                "?una|la|esa factura",
            ],
        ) == Some(rest.len())
        && !rest.is_empty();
    if named.is_none() && !unnamed {
        return None;
    }
    let reason = (!reason.is_empty()).then(|| json!(reason.chars().take(200).collect::<String>()));
    Some(call(
        VoidBill::NAME,
        object([("bill", Some(json!(named))), ("reason", reason)]),
    ))
}

fn get_bill(words: &[Word]) -> Option<Wish> {
    const SHOW: &[&str] = &[
        "?show|see|view|display|open|get|find|print|check|give|tell|list ?me|us ?about ?the ?details ?of|for ?the",
        "what is|was ?on|in ?the",
        "what|whats ?is ?the total|amount|status|balance ?due of|for|on",
        "whats ?on|in ?the",
        "?muestra|muestrame|ver|ensename|abre|busca|imprime|dame ?los ?detalles ?de ?la",
        "cual|como es|fue ?la",
        "details|detail of|for ?the",
        "detalles|detalle de ?la",
    ];
    let start = starts(words, SHOW).unwrap_or(0);
    let bill = whole_bill(trimmed(&words[start..]))?;
    Some(call(GetBill::NAME, json!({"bill": bill})))
}

/// Statuses as people say them.
const STATUSES: &[(&str, &[&str])] = &[
    (
        "open",
        &[
            "unpaid|open|outstanding|pending|due|overdue|owing|owed",
            "not ?yet paid",
            "havent|hasnt paid|been",
            "pendientes|pendiente|abiertas|abierta|impagas|adeudadas",
            "sin pagar|cobrar",
            "por cobrar|pagar",
            "no pagadas|pagada|cobradas",
            "que|who deben|owe",
        ],
    ),
    (
        "uncollectible",
        &["uncollectible|incobrables|incobrable", "written off"],
    ),
    (
        "void",
        &["void|voided|cancelled|canceled|anuladas|anulada|canceladas"],
    ),
    ("paid", &["paid|settled|pagadas|pagada|cobradas|cobrada"]),
];

fn list_bills(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    const BILLS: &[&str] = &["bills|invoices|receipts|facturas|recibos"];
    if !has(words, BILLS)
        && starts(
            words,
            &[
                "who owes",
                "who ?still hasnt|havent ?not paid",
                "who has not ?yet paid",
                "quien|quienes ?nos ?me debe|deben",
                "quien|quienes no ha|han pagado",
            ],
        )
        .is_none()
    {
        return None;
    }
    let mut rest = words.to_vec();
    let mut arguments = Map::new();
    if has(words, &["owes|debe|deben"]) {
        arguments.insert("status".to_owned(), json!("open"));
    }
    for (status, patterns) in STATUSES {
        if let Some((at, end)) = find(&rest, patterns) {
            arguments.insert("status".to_owned(), json!(status));
            rest = without(&rest, at, end);
            break;
        }
    }
    if let Some(days) = days_in(&rest, hearing.today, hearing.language) {
        arguments.insert("from".to_owned(), json!(days.from.to_string()));
        arguments.insert("to".to_owned(), json!(days.to.to_string()));
        rest = without(&rest, days.start, days.end);
    }
    let rest = drop_all(
        &rest,
        &[
            "bills|invoices|receipts|facturas|recibos",
            "show|list|see|view|display|get|give|find|print|check|tell|which|what|whats|all|every|any|are|is|were|was|do|does|did|we|us|me|have|has|been|there|still|not|yet|the|our|my|latest|recent|last|who|owes|money|pay|how|many|issued|created|made",
            "muestra|muestrame|lista|listar|ver|dame|dime|ensename|que|cuales|cual|cuantas|hay|estan|son|todas|las|los|la|tenemos|nos|quien|quienes|debe|deben|dinero|ultimas|recientes|emitidas|se|emitieron|aun|siguen|han|pagado",
        ],
    );
    let rest = trimmed(&rest);
    if !rest.is_empty() {
        let end = starts(rest, &["of|for|from|by|to", "de|del|para|a"]).unwrap_or(0);
        let possessive = rest.last().is_some_and(|w| {
            ["'s", "’s", "'S", "’S"]
                .iter()
                .any(|end| w.text.ends_with(end))
        });
        if end == 0 && !possessive && words.first() != rest.first() {
            return None;
        }
        // "Ali is paying his bills" is no question.
        if has(&rest[end..], &["paying|pays|by|with|his|her|their"]) {
            return None;
        }
        arguments.insert(
            "customer".to_owned(),
            json!(customer_of(&rest[end..], hearing.shouted)?),
        );
    }
    Some(call(ListBills::NAME, Value::Object(arguments)))
}

fn summary(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    const ASKED: &[&str] = &[
        "how much|many ?money ?did|have|has we|i|you|the ?shop ?sell|sold|make|made|earn|earned|take|taken|get|took ?in",
        "how much ?money came in",
        "what did|have we|i sell|sold|earn|make|take",
        "what|which ?items|products sold|sell|sells ?the ?best|most",
        "what were|are|was|is ?the|our|my sales|takings|revenue|income|earnings|turnover",
        "how|hows were|are|was|is|did ?the|our|my sales|business|takings ?doing|going|today",
        "sales|takings|revenue|income|earnings|turnover|profit|profits ?summary|report|figures|total",
        "best ?selling sellers|seller|items|products",
        "best|top selling ?items|products",
        "top sellers|items|products",
        "daily|weekly|monthly summary|report",
        "cuanto ?dinero ?hemos vendimos|vendido|ganamos|ganado|facturamos|cobramos|ingresamos|entro|vendi",
        "que vendimos|vendi|hemos",
        "cuales fueron|son las ventas",
        "como van|fueron|estuvieron|estan las ventas",
        "ventas|ingresos|ganancias",
        "resumen|reporte|informe|total ?de ?las ventas|ingresos|dia",
        "lo|los|las ?productos|articulos mas vendido|vendidos|vendidas",
        "que se vendio ?mas",
        "productos|articulos mas vendidos",
        "mas vendidos|vendido",
        "end of day ?report",
        "cierre del|de dia|caja",
    ];
    const AFTER_SALES: &[&str] = &["how much sugar did|have we sell|sold"];
    let (at, _) = find(words, ASKED)
        .or_else(|| sold_of_item(words))
        .or_else(|| find(words, AFTER_SALES))?;
    let lead = &words[..at];
    let leads = starts(lead, &["?and ?show|give|tell|list|get|see|display|print|view|check|what|whats|which ?me|us ?are|were|is ?the|our|my ?full|a", "?y ?muestra|muestrame|dame|dime|ver|lista|cuales|cual|que ?fueron|son|es ?el|la|los|las|un"]).unwrap_or(0);
    if leads < lead.len() && days_in(lead, hearing.today, hearing.language).is_none() {
        return None;
    }
    // "Sell sales bags to Ali" is no question about sales.
    if quantity_at(words, 0, hearing.language).is_some() {
        return None;
    }
    let arguments = match days_in(words, hearing.today, hearing.language) {
        Some(days) => match days.period {
            Some(period) => json!({"period": period}),
            None => json!({"from": days.from.to_string(), "to": days.to.to_string()}),
        },
        None => json!({}),
    };
    Some(call(SalesSummary::NAME, arguments))
}

/// "How much sugar did we sell today".
fn sold_of_item(words: &[Word]) -> Option<(usize, usize)> {
    starts(words, &["how much|many", "cuanto|cuanta|cuantos|cuantas"])?;
    let (_, end) = find(
        words,
        &["did|have we|i sell|sold", "vendimos|vendi", "hemos vendido"],
    )?;
    Some((0, end))
}

/// What a bill is made of besides its lines.
#[derive(Default)]
pub(super) struct Terms {
    /// An amount off the whole bill.
    pub(super) discount: Option<String>,
    /// The currency the discount was said in.
    pub(super) currency: Option<String>,
    /// The day it is due, as YYYY-MM-DD.
    pub(super) due_on: Option<String>,
    /// What is paid at once, and how.
    pub(super) payment: Option<Value>,
}

fn create(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    let (terms, rest) = match terms_of(words, hearing) {
        Ok(found) => found,
        // What cannot be put on a bill is said instead of being left out, but only where a bill is asked for.
        Err((saying, rest)) => return sale(&rest, hearing).map(|_| Wish::Say(saying)),
    };
    let Sale { customer, goods } = sale(&rest, hearing)?;
    let goods = trimmed(&goods);
    // "Create a bill for", and no more: the name is what was about to come.
    let cut_short =
        customer.is_none() && goods.is_empty() && ends(words, &["for|to|para"]).is_some();
    let lines = if goods.is_empty() {
        Some(Vec::new())
    } else {
        lines_of(goods, hearing.language)
    }?;
    // "Half of bill 12" is no line of a bill.
    if lines.iter().any(|l| {
        BILL.split('|')
            .any(|noun| noun == crate::language::fold(&l.item))
    }) {
        return None;
    }
    if let Some(doubt) = lines
        .iter()
        .filter_map(|l| l.quantity.as_ref())
        .find_map(Quantity::in_doubt)
    {
        return Some(Wish::Say(doubt));
    }
    let currency = lines
        .iter()
        .filter_map(|l| l.price.as_ref()?.amount.currency.clone())
        .next()
        .or(terms.currency);
    let said_lines: Vec<Value> = lines.iter().map(line_arguments).collect();
    let said_lines = if said_lines.is_empty() {
        Value::Null
    } else {
        json!(said_lines)
    };
    Some(call(
        CreateBill::NAME,
        object([
            (
                "customer",
                customer
                    .map(|c| json!(c))
                    .or_else(|| cut_short.then_some(Value::Null)),
            ),
            ("lines", Some(said_lines)),
            ("discount", terms.discount.map(|d| json!(d))),
            ("currency", currency.map(|c| json!(c))),
            ("due_on", terms.due_on.map(|d| json!(d))),
            ("payment", terms.payment),
        ]),
    ))
}

/// The arguments of a line; the quantity is `null` when it was not said.
pub(super) fn line_arguments(line: &Line) -> Value {
    let mut map = line.quantity.as_ref().map_or_else(
        || Map::from_iter([("quantity".to_owned(), Value::Null)]),
        |q| measure("quantity", q),
    );
    map.insert("item".to_owned(), json!(line.item));
    if let Some(price) = &line.price {
        map.insert("unit_price".to_owned(), json!(price.amount.number));
    }
    Value::Object(map)
}

/// A sale as it was said: whose it is, and the words of the goods.
struct Sale {
    customer: Option<String>,
    goods: Vec<Word>,
}

const MAKE_BILL: &[&str] = &[
    "?create|make|write|prepare|issue|generate|raise|start|open|do|draw|print|add|new|get|give|record|register ?up ?me ?a|an|the|one|another ?new bill|invoice|receipt|sale|order",
    "new bill|invoice|sale|order|receipt",
    "?crea|crear|cree|creale|haz|hacer|hazle|hazme|haga|hagale|hagame|genera|generar|emite|emitir|prepara|prepararle|registra|registrar ?me ?una|un|la|el ?nueva|nuevo factura|recibo|cuenta|venta|pedido",
    "nueva|nuevo factura|venta|pedido",
];
const BILL_VERB: &[&str] = &[
    "bill|invoice|charge",
    "factura|facturar|facturale|facture|cobra|cobrar|cobrale|cobrele",
];
const SELL: &[&str] = &[
    "?we|i ?have|just sell|sold|selling",
    "record|register a sale|sell ?of|:",
    "ring up",
    "vende|vender|vendele|venda|vendi|vendimos ?le",
    "despacha|despachale|entrega|entregale",
];
const WANT: &[&str] = &[
    "i|we ?would|d|will|ll ?just ?also like|want|need|take|buy|order ?to ?buy|order|purchase|get|have",
    "id|ill|well|wed ?also like|take|have|buy ?to ?buy|order|purchase|get|have",
    "give|get|bring|sell me|us",
    "can|could|may i|we ?please have|get|buy|order|take",
    "buy|order|purchase",
    "let me have|get|buy",
    "?yo ?me|nos quiero|quisiera|queremos|necesito|necesitamos|llevo|llevamos|compro ?comprar|llevar|pedir|ordenar",
    "?me|nos das|dame|danos|da|deme|denos|vendeme|vendenos|ponme|pongame|traeme|despachame",
    "?me|nos puedes|podrias|puede dar|vender",
    "me gustaria ?comprar|llevar|pedir",
    "me llevo|llevare",
    "comprar|pedir",
    "puedes|podrias|puede darme|venderme|ponerme",
];
const WANTS: &[&str] = &[
    "wants|needs|buys|bought|takes|took|ordered|orders|purchased|gets ?to ?buy|take|order|purchase",
    "would like ?to ?buy|order|take|purchase",
    "is|was buying|taking|ordering|purchasing",
    "asks|asked for",
    "has ordered|bought|taken",
    "quiere|necesita|lleva|compra|compro|pide|pidio|llevo ?comprar|llevar|pedir",
    "se lleva|llevo",
    "quisiera|querria ?comprar|llevar",
    "esta comprando|llevando|pidiendo",
];

fn sale(words: &[Word], hearing: &Hearing) -> Option<Sale> {
    wanted_by_somebody(words, hearing)
        .or_else(|| starts(words, BILL_VERB).and_then(|end| for_whom(&words[end..], hearing, true)))
        .or_else(|| {
            starts(words, MAKE_BILL).and_then(|end| for_whom(&words[end..], hearing, false))
        })
        .or_else(|| starts(words, SELL).and_then(|end| for_whom(&words[end..], hearing, true)))
        .or_else(|| wanted(words, hearing))
        .filter(|sale| {
            sale.customer.is_some() || sale.goods.is_empty() || !has(&sale.goods, &["him|her|them"])
        })
}

/// "Ali wants 2kg sugar and a shampoo".
fn wanted_by_somebody(words: &[Word], hearing: &Hearing) -> Option<Sale> {
    let (at, end) =
        (1..words.len().min(6)).find_map(|at| longest_at(words, at, WANTS).map(|end| (at, end)))?;
    let who = &words[..at];
    if hearing.question
        || who.iter().any(|w| w.kind != Kind::Letters)
        || has(
            who,
            &["we|i|you|they|he|she|it|nosotros|yo|ella|el|who|what|how|not"],
        ) && who.len() == 1
    {
        return None;
    }
    let anybody = starts(
        who,
        &[
            "?a|the|one customer|client|person|somebody|someone",
            "?un|una|el|la cliente|clienta|persona|alguien",
        ],
    ) == Some(who.len());
    let customer = if anybody {
        None
    } else {
        Some(customer_of(who, hearing.shouted)?)
    };
    let goods = words[end..].to_vec();
    // Only what begins with an amount is an order: "Ali wants to know ..." is not.
    lines_of(trimmed(&goods), hearing.language)?
        .iter()
        .any(|l| l.quantity.is_some())
        .then_some(Sale { customer, goods })
}

/// "I want 2 bottles of milk": a sale over the counter.
fn wanted(words: &[Word], hearing: &Hearing) -> Option<Sale> {
    let end = starts(words, WANT)?;
    if let Some(bill) = starts(&words[end..], MAKE_BILL) {
        return for_whom(&words[end + bill..], hearing, false);
    }
    let sale = for_whom(&words[end..], hearing, false)?;
    lines_of(trimmed(&sale.goods), hearing.language)?
        .first()?
        .quantity
        .as_ref()?;
    Some(sale)
}

/// What stands before a customer. "A" does so in Spanish only.
const fn joints_to(language: Language) -> &'static [&'static str] {
    match language {
        Language::Es => &["?, para|a|al|for"],
        Language::En | Language::Fr | Language::Sw | Language::Rw | Language::Pt => {
            &["?, for|to|para"]
        }
    }
}

/// What follows "create a bill": "for Ali: 2kg sugar", "2kg sugar for Ali", "Ali 2kg sugar" (`bare`: the name may follow at once).
fn for_whom(words: &[Word], hearing: &Hearing, bare: bool) -> Option<Sale> {
    let to = joints_to(hearing.language);
    let rest = trimmed(words);
    let quantity_starts = |at: usize| {
        quantity_at(rest, at, hearing.language).is_some_and(|q| {
            rest[at].kind == Kind::Digits || q.end < rest.len() || q.unit.is_some()
        })
    };
    let named = longest_at(rest, 0, to)
        .filter(|end| !quantity_starts(*end) || colon_after(rest, *end).is_some());
    let start = match named {
        Some(end) => end,
        None if bare && !rest.is_empty() && !quantity_starts(0) => 0,
        None => return goods_first(rest, hearing),
    };
    let counter = starts(
        &rest[start..],
        &["a|the|walk-in|counter ?customer|sale", "un|una|el cliente"],
    );
    let end = colon_after(rest, start).unwrap_or_else(|| name_end(rest, start, hearing));
    let customer = customer_of(&rest[start..end], hearing.shouted);
    if customer.is_none() && counter.is_none() && end > start {
        // "Bill sugar" without an amount, or a "him" nobody knows.
        return if has(&rest[start..end], &["him|her|them|he|she|el|ella"]) {
            None
        } else {
            goods_first(rest, hearing)
        };
    }
    let after =
        longest_at(rest, end, &["?, for|with|of|:|: ?for", "?, con|de|por|:"]).unwrap_or(end);
    if start == 0 && bare && end == rest.len() {
        return nameless_or_goods(rest, customer, hearing);
    }
    Some(Sale {
        customer,
        goods: rest[after..].to_vec(),
    })
}

/// "Bill Ali" names a customer; "sell sugar" names goods.
fn nameless_or_goods(rest: &[Word], customer: Option<String>, hearing: &Hearing) -> Option<Sale> {
    let capital = rest
        .first()
        .is_some_and(|w| w.text.starts_with(char::is_uppercase))
        && !hearing.shouted;
    if capital {
        return Some(Sale {
            customer,
            goods: Vec::new(),
        });
    }
    lines_of(rest, hearing.language)?;
    Some(Sale {
        customer: None,
        goods: rest.to_vec(),
    })
}

/// A colon right after a name of a few words.
fn colon_after(words: &[Word], start: usize) -> Option<usize> {
    let at = words
        .iter()
        .skip(start)
        .take(6)
        .position(|w| w.is_mark(":"))?;
    (at > 0 && !words[start..start + at].iter().any(Word::parts)).then_some(start + at)
}

/// Where a customer's name ends: before a mark, an amount, or "for" and "with".
fn name_end(words: &[Word], start: usize, hearing: &Hearing) -> usize {
    (start..words.len())
        .find(|at| {
            let word = &words[*at];
            let joint = matches!(
                word.folded.as_str(),
                "for" | "with" | "con" | "por" | "de" | "of"
            ) && *at > start;
            word.parts()
                || word.is_mark(":")
                || joint
                || (*at > start && quantity_at(words, *at, hearing.language).is_some())
                || word.kind == Kind::Digits
        })
        .unwrap_or(words.len())
}

/// "2kg sugar for Ali", "3 eggs to Aline", "2 kg de azúcar para Ali".
fn goods_first(words: &[Word], hearing: &Hearing) -> Option<Sale> {
    let rest = &words[starts(words, &["of|for|with|:", "de|con|por"]).unwrap_or(0)..];
    let joints = joints_to(hearing.language);
    let found = (1..rest.len()).rev().find_map(|at| {
        let end = longest_at(rest, at, joints)?;
        let name = rest.get(end).filter(|w| w.kind == Kind::Letters)?;
        if rest[end..].iter().any(|w| w.kind == Kind::Digits) {
            return None;
        }
        let own = starts(&rest[end..], &["me|us|myself|mi|nosotros"]) == Some(rest.len() - end);
        let customer = customer_of(&rest[end..], hearing.shouted);
        let amount = quantity_at(rest, end, hearing.language).is_some()
            && !matches!(name.folded.as_str(), "a" | "un" | "una");
        ((customer.is_some() || own) && !amount).then(|| (at, customer.filter(|_| !own)))
    });
    let (goods, customer) = match found {
        Some((at, customer)) => (&rest[..at], customer),
        None => (rest, None),
    };
    if !trimmed(goods).is_empty() {
        lines_of(trimmed(goods), hearing.language)?;
    }
    Some(Sale {
        customer,
        goods: goods.to_vec(),
    })
}

/// Discount, due date and payment, and the words without them.
pub(super) fn terms_of(
    words: &[Word],
    hearing: &Hearing,
) -> Result<(Terms, Vec<Word>), (Saying, Vec<Word>)> {
    let mut terms = Terms::default();
    let mut rest = words.to_vec();
    if let Some((amount, start, end)) = discount_in(&rest, hearing) {
        let kept = without(&rest, start, end);
        match amount {
            Some((number, currency)) => (terms.discount, terms.currency) = (Some(number), currency),
            None => return Err((Saying::PercentUnclear, kept)),
        }
        rest = kept;
    }
    if let Some((start, end, due)) = due_in(&rest, hearing) {
        terms.due_on = Some(due);
        rest = without(&rest, start, end);
    }
    if let Some((start, end, method, amount)) = paid_in(&rest, hearing) {
        terms.payment = Some(object([
            ("method", Some(json!(method))),
            ("amount", amount.map(|a| json!(a))),
        ]));
        rest = without(&rest, start, end);
    }
    let rest = drop_all(
        &rest,
        &[
            "?for today",
            "right now|away",
            "ahora mismo",
            "on credit|account|tab",
            "a credito",
            "fiado|fiada",
        ],
    );
    Ok((terms, rest))
}

/// A number and its currency, or `None` for a share in percent.
type Discount = Option<(String, Option<String>)>;

/// A discount, and where it stands.
fn discount_in(words: &[Word], hearing: &Hearing) -> Option<(Discount, usize, usize)> {
    (0..words.len()).find_map(|at| {
        let start = longest_at(words, at, &["?, ?and|y|but ?with|less|minus|con|menos|a|un|give|apply|take ?a|un|of|him|her ?discount|descuento ?of|de|: ?:"]).unwrap_or(at);
        let announced = has(&words[at..start], &["discount|descuento|less|minus|menos"]);
        let amount = amount_at(words, start, hearing.language)?;
        if let Some(end) = longest_at(words, amount.end, &["%|percent|pct ?of ?off|discount|descuento", "% de descuento", "por ciento ?de ?descuento"]) {
            return Some((None, at, end));
        }
        let trailing = longest_at(words, amount.end, &["off|discount", "?de descuento|rebaja", "less"]);
        let end = trailing.or_else(|| announced.then_some(amount.end))?;
        Some((Some((amount.number, amount.currency)), at, end))
    })
}

fn due_in(words: &[Word], hearing: &Hearing) -> Option<(usize, usize, String)> {
    (0..words.len()).find_map(|at| {
        let start = longest_at(
            words,
            at,
            &[
                "?, ?and due ?on|by|date ?:",
                "?, ?to ?be ?paid|pay|payable by|until",
                "?, ?he|she|to ?will pays|pay on|by|in",
                "?, ?que ?y vence|vencimiento|pagadero ?el|en|:",
                "?, ?y ?a|para pagar ?el",
            ],
        )?;
        // "Due in 7 days" keeps its "in" for the day.
        let start = if words
            .get(start.wrapping_sub(1))
            .is_some_and(|w| matches!(w.folded.as_str(), "in" | "en"))
        {
            start - 1
        } else {
            start
        };
        let (day, end) = day_at(words, start, hearing.today, Lean::Future, hearing.language)?;
        Some((at, end, day.to_string()))
    })
}

/// Ways of paying, as they are said after "paid", by the tools' word for them.
const WAYS: &[(&str, &[&str])] = &[
    (
        "cash",
        &[
            "?in|by|with|full cash",
            "in full ?in ?cash",
            "?todo ?en efectivo",
            "al contado",
            "en|de contado",
        ],
    ),
    (
        "mobile_money",
        &[
            "?in|by|with|via|through|using ?mtn mobile money",
            "?by|with|via|through|using momo|mpesa|m-pesa",
            "?con|por|en dinero|pago movil",
        ],
    ),
    (
        "card",
        &[
            "?by|with|via|using ?a ?credit|debit card",
            "?con|por ?una tarjeta",
        ],
    ),
    (
        "wallet",
        &[
            "from|with|by|out ?of ?his|her|their|the wallet",
            "con|de|del ?su|el monedero",
        ],
    ),
];

/// What is paid at once: where it is said, how, and how much when not all.
fn paid_in(
    words: &[Word],
    hearing: &Hearing,
) -> Option<(usize, usize, &'static str, Option<String>)> {
    const PAID: &[&str] = &[
        "?, ?and ?he|she|they|already|all paid|pays|paying|pay",
        "?, ?y|ya|todo pago|paga|pagado|pagando",
    ];
    let way_at = |at: usize| {
        WAYS.iter().find_map(|(method, patterns)| {
            longest_at(words, at, patterns).map(|end| (*method, end))
        })
    };
    (0..words.len()).find_map(|at| {
        if let Some(start) = longest_at(words, at, PAID) {
            if let Some((method, end)) = way_at(start) {
                return Some((at, end, method, None));
            }
            let amount = amount_at(words, start, hearing.language)?;
            let (method, end) = way_at(amount.end)?;
            return Some((at, end, method, Some(amount.number)));
        }
        // Without "paid" the way of paying has to end what is said.
        let start = longest_at(words, at, &[",|for"]).unwrap_or(at);
        let led = matches!(
            words[start.min(words.len() - 1)].folded.as_str(),
            "in" | "by" | "with" | "cash" | "en" | "al" | "con" | "from"
        );
        let (method, end) = way_at(start).filter(|_| led)?;
        let bare = words[start].folded == "cash" && start == at;
        let end = longest_at(words, end, &["payment"]).unwrap_or(end);
        let ended = end == words.len() || words[end].parts() || words[end].is_mark(":");
        (ended && !bare).then_some((at, end, method, None))
    })
}
