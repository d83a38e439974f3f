//! Sentences about money: balances, payments, refunds, wallets.

use serde_json::{Map, Value, json};

use super::billing::{BILL, bill_named};
use super::dates::days_in;
use super::intents::{Hearing, Wish};
use super::money::amount_at;
use super::names::{customer_of, has_possessive};
use super::numbers::number_at;
use super::phones::phone_in;
use super::plans::{Plan, object};
use super::quantities::unit_named;
use super::replies::Saying;
use super::tools::{
    CHECK_BALANCE, COLLECT_PAYMENT, REFUND_PAYMENT, TOP_UP_WALLET, TRANSACTION_HISTORY,
};
use super::when::cut;
use super::words::{
    Kind, Word, drop_all, ends, find, has, longest_at, starts, text_of, trimmed, without,
};

fn call(tool: &str, arguments: Value) -> Wish {
    Wish::Do(Plan::new(tool, arguments))
}

/// What a sentence that asks about money wants to know.
pub(super) fn read(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    history(words, hearing).or_else(|| balance(words, hearing))
}

/// What a sentence that moves money asks for.
pub(super) fn write(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    refund(words, hearing)
        .or_else(|| top_up(words, hearing))
        .or_else(|| collect(words, hearing))
        .or_else(|| paid(words, hearing))
}

// What is there and what is owed.

fn balance(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    if has(
        words,
        &["bill|bills|invoice|invoices|factura|facturas|sales|sold|stock|ventas|item|items"],
    ) {
        return None;
    }
    if own_balance(words) {
        return Some(call(CHECK_BALANCE, json!({})));
    }
    let customer = owed_by(words, hearing).or_else(|| held_by(words, hearing))?;
    Some(call(CHECK_BALANCE, json!({"customer": customer})))
}

/// "What's my balance?", "how much cash do we have", "cuánto nos deben".
fn own_balance(words: &[Word]) -> bool {
    const WHOLE: &[&str] = &[
        "in|on ?the|my|our till|drawer|register|wallet",
        "?my|our|the|mi|nuestro|el|shops|cash ?current|wallet|account|cash|total|shops balance|saldo|wallet|monedero ?actual",
        "?my|our|the ?shops money|finances",
        "cash ?in|on ?the ?hand|till|drawer|register",
        "how much ?money|cash|credit do i|we|you ?still ?currently have|hold ?left ?in ?on|my|our|the ?the ?my|wallet|account|till|drawer|cash|register|hand|bank ?register",
        "how much ?money|cash is ?there ?left ?in ?the|my|our till|drawer|cash|register|wallet|account|hand ?register",
        "how much do|did i|we ?still owe ?you|now|in ?total",
        "how much am i owing",
        "how much are we ?still owed ?in ?total",
        "how much ?money is ?still owed ?to ?us ?in ?total",
        "how much ?money do people|customers|they|clients ?all ?still owe ?us ?in ?total",
        "what are we ?still owed ?in ?total",
        "what do i ?still owe ?you",
        "do i ?still owe ?you ?anything|something|money",
        "cuanto ?dinero|efectivo|saldo tengo|tenemos ?en ?la|el|mi caja|monedero|cuenta|efectivo|billetera|saldo|banco",
        "cuanto dinero|efectivo|saldo tengo|tenemos|hay",
        "cuanto ?dinero|efectivo hay en ?la|el|mi caja|monedero|cuenta|billetera",
        "cuanto debo ?todavia",
        "cuanto ?dinero ?se nos deben|debe ?los|la ?clientes|gente ?en ?total",
        "que ?saldo debo",
        "que saldo tengo|tenemos|hay",
        "dinero ?que ?hay en ?la caja|cuenta",
        "?el efectivo en caja",
    ];
    let lead = starts(words, LEAD).unwrap_or(0);
    let whole = |rest: &[Word]| !rest.is_empty() && starts(rest, WHOLE) == Some(rest.len());
    whole(words) || whole(trimmed(&words[lead..]))
}

/// Words that lead to what is asked about.
const LEAD: &[&str] = &[
    "is there ?any money|credit|anything ?left in|on",
    "?please show|check|see|tell|give|get|view|display|find ?out ?me|us ?what|whats ?is ?about",
    "what|whats|what ?is|are",
    "muestra|muestrame|consulta|consultar|ver|dime|dame|revisa|checa ?cual ?es",
    "cual|que es",
];

/// "What does Ali owe?", "¿Cuánto debe Ali?", "does Ali owe anything".
fn owed_by(words: &[Word], hearing: &Hearing) -> Option<String> {
    let who = |part: &[Word]| customer_of(part, hearing.shouted).filter(|name| is_one(name));
    const ASKED: &[&str] = &[
        "?show|tell ?me what|how|whats ?much|money ?money does|do|did",
        "does|do",
        "?and ?if",
    ];
    const OWE: &[&str] = &[
        "?still ?have ?to owe ?us|me ?anything|something|money ?now|today",
        "still owe",
        "need|have|has to pay ?us|me",
        "owing ?us",
    ];
    if let Some(end) = starts(words, ASKED)
        && let Some(at) = ends(words, OWE).filter(|at| *at > end)
    {
        return who(&words[end..at]);
    }
    if let Some(end) = starts(
        words,
        &[
            "?cuanto|que ?dinero ?es ?lo ?que ?nos ?me ?le debe|adeuda ?todavia",
            "?cuanto ?dinero nos|me|le debe",
            "debe|adeuda algo|dinero",
            "nos|me debe ?algo|dinero",
        ],
    )
    .filter(|end| *end < words.len() && hearing.language == crate::language::Language::Es)
    {
        return who(&words[end..]);
    }
    if let Some(at) = ends(
        words,
        &[
            "owes ?us|me how|what ?much",
            "?nos ?me debe algo|dinero|cuanto",
            "cuanto ?nos ?me debe",
        ],
    )
    .filter(|at| *at > 0)
    {
        return who(&words[..at]);
    }
    let end = starts(words, &["has|have|did"])?;
    let at = ends(words, &["?already paid|pay ?us|yet|already|everything"])
        .filter(|at| *at > end && hearing.question)?;
    who(&words[end..at])
}

/// "Ali's balance", "the wallet of Ali", "how much does Ali have in his wallet".
fn held_by(words: &[Word], hearing: &Hearing) -> Option<String> {
    const NOUN: &[&str] = &[
        "?current ?wallet ?account balance",
        "wallet|debt|debts|account",
        "saldo|deuda|deudas|monedero|billetera",
        "estado de cuenta",
    ];
    let who = |part: &[Word]| customer_of(part, hearing.shouted).filter(|name| is_one(name));
    // "Write off Ali's debt" is an order that was not understood, and no question.
    if has(
        words,
        &[
            "write|add|top|put|load|credit|deposit|cancel|collect|refund|pay|transfer|send|set|change|close|delete|remove|recarga|agrega|abona|cobra|cancela|transfiere",
        ],
    ) {
        return None;
    }
    let rest = &words[starts(words, LEAD).unwrap_or(0)..];
    let rest = &rest[starts(rest, &["?is ?the|el|la|su"]).unwrap_or(0)..];
    // "Balance of Ali"
    if let Some(noun) = starts(rest, NOUN)
        && let Some(end) = longest_at(
            rest,
            noun,
            &["of|for|on|de|del ?the|el|la ?customer|cliente"],
        )
    {
        return who(&rest[end..]).filter(|_| !has(&rest[..noun], &["stock"]));
    }
    // "Ali's balance"
    if let Some(at) = ends(rest, NOUN).filter(|at| *at > 0 && has_possessive(&rest[..*at])) {
        return who(&rest[..at]);
    }
    // "How much does Ali have in his wallet"
    let end = starts(
        words,
        &[
            "how much ?money|credit does",
            "what does",
            "does",
            "cuanto ?dinero|saldo tiene",
            "tiene",
            "que saldo tiene",
        ],
    )?;
    const HAVE: &[&str] = &[
        "have ?left ?any ?money|credit ?left ?in|on ?his|her|the|their wallet|account|balance ?left",
        "have ?left ?any money|credit ?left",
        "en ?su|el|la monedero|billetera|cuenta|saldo",
        "?algo|algun ?de saldo|dinero ?en ?su|el ?monedero|cuenta",
    ];
    let asks_saldo = has(&words[..end], &["saldo|dinero"]);
    let at = ends(&words[end..], HAVE)
        .map(|at| end + at)
        .or_else(|| asks_saldo.then_some(words.len()))
        .filter(|at| *at > end)?;
    who(&words[end..at])
}

/// Whether a name is somebody's: not everybody, and nobody known.
fn is_one(name: &str) -> bool {
    !matches!(
        name.to_lowercase().as_str(),
        "everybody"
            | "everyone"
            | "all"
            | "people"
            | "customers"
            | "todos"
            | "clientes"
            | "nobody"
            | "nadie"
            | "who"
            | "quien"
    )
}

/// "Show Ali's payments", "transactions this week", "qué pagó Ali".
fn history(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    const NOUNS: &[&str] = &[
        "transaction|payment|payments|account|wallet|money history|movements|statement|transactions|log",
        "transactions|payments|statement",
        "history|movements of payments|money|transactions",
        "ledger ?entries",
        "historial|movimientos de pagos|cuenta|dinero|monedero|caja|transacciones",
        "transacciones|pagos|extracto",
        "estado de cuenta",
    ];
    if has(
        words,
        &["bill|invoice|factura|stock|take|accept|aceptan|reciben"],
    ) {
        return None;
    }
    let mut rest = words.to_vec();
    let mut arguments = Map::new();
    if let Some(days) = days_in(&rest, hearing.today, hearing.language) {
        arguments.insert("from".to_owned(), json!(days.from.to_string()));
        arguments.insert("to".to_owned(), json!(days.to.to_string()));
        rest = without(&rest, days.start, days.end);
    }
    if let Some(customer) = paid_by(trimmed(&rest), hearing) {
        arguments.insert("customer".to_owned(), json!(customer));
        return Some(call(TRANSACTION_HISTORY, Value::Object(arguments)));
    }
    if starts(
        trimmed(&rest),
        &[
            "who ?has|have paid ?us",
            "quien|quienes ?nos ?ha ?han pago|pagaron|pagado",
        ],
    ) == Some(trimmed(&rest).len())
    {
        return Some(call(TRANSACTION_HISTORY, Value::Object(arguments)));
    }
    let (noun, after) = find(&rest, NOUNS)?;
    rest = cut(&rest, noun, after);
    if let Some(at) = (0..rest.len()).find(|at| {
        longest_at(&rest, *at, &["last|latest|recent|ultimas|ultimos"])
            .is_some_and(|end| number_at(&rest, end, hearing.language).is_some())
    }) {
        let number = number_at(&rest, at + 1, hearing.language)?;
        let limit: u32 = number.text.parse().ok().filter(|n| (1..=100).contains(n))?;
        arguments.insert("limit".to_owned(), json!(limit));
        rest = without(&rest, at, number.end);
    }
    // "Record a payment", "payments are late": only asking for the list is.
    let asked = starts(&rest, LEAD).is_some() || starts(&rest, LISTING).is_some();
    let lead = starts(&rest, LEAD)
        .or_else(|| starts(&rest, LISTING))
        .unwrap_or(0);
    let rest = drop_all(
        &rest[lead..],
        &[
            "all|every|last|latest|recent|the|our|my|have|has|been|made|received|come|came|in|did|we|get|got|are|is|were|there|todos|todas|los|las|el|la|mi|mis|nuestro|nuestros|ultimos|ultimas|recientes|se|han|hecho|recibido|hubo|hay|full",
        ],
    );
    let rest = drop_all(&rest, &[",|:"]);
    let rest = trimmed(&rest);
    if rest.is_empty() {
        return (asked || noun <= 2).then(|| call(TRANSACTION_HISTORY, Value::Object(arguments)));
    }
    let joined = starts(rest, &["of|for|from|by|de|del|para|a"]);
    if joined.is_none() && !has_possessive(rest) {
        return None;
    }
    let customer =
        customer_of(&rest[joined.unwrap_or(0)..], hearing.shouted).filter(|n| is_one(n))?;
    arguments.insert("customer".to_owned(), json!(customer));
    Some(call(TRANSACTION_HISTORY, Value::Object(arguments)))
}

const LISTING: &[&str] = &["list|print|which|lista|listar|cuales|ensename"];

/// "What did Ali pay?", "¿Cuánto ha pagado Ali?"
fn paid_by(words: &[Word], hearing: &Hearing) -> Option<String> {
    let who = |part: &[Word]| customer_of(part, hearing.shouted).filter(|name| is_one(name));
    if let Some(end) = starts(words, &["what|how|when ?much did|has|have"])
        && let Some(at) = ends(words, &["pay|paid ?us ?so ?far"]).filter(|at| *at > end)
    {
        return who(&words[end..at]);
    }
    let end = starts(words, &["cuanto|que|cuando ?nos ?ha pago|pagado"])?;
    who(&words[end..])
}

// What is paid.

/// How a sentence says that something is paid: the tools' word for it, and where it stands.
fn method_in(words: &[Word]) -> Option<(&'static str, usize, usize)> {
    const METHODS: &[(&str, &[&str])] = &[
        (
            "mobile_money",
            &[
                "mobile money|payment|pay",
                "mobile-money|mobilemoney|momo|mpesa|m-pesa|mtn|momopay",
                "mtn|airtel momo|money|mobile ?money",
                "dinero|pago movil",
                "phone|telefono|movil|celular",
            ],
        ),
        (
            "card",
            &[
                "?a ?bank|credit|debit card",
                "visa|mastercard|stripe",
                "?una tarjeta ?de ?credito|debito",
            ],
        ),
        (
            "wallet",
            &[
                "wallet|balance|credit",
                "?store|wallet credit|balance",
                "monedero|billetera|saldo|cartera",
            ],
        ),
        ("cash", &["?hard cash", "efectivo|contado"]),
    ];
    (0..words.len()).find_map(|at| {
        let led = longest_at(
            words,
            at,
            &[
                "?, ?and ?he|she|they ?paid|pays|pay|paying ?it|them ?all in|by|with|via|through|using|from|on|out ?of ?a|the|his|her|their|my|our",
                "?, ?y ?pago|paga|pagado|pagando ?todo con|por|en|de|del|desde|al|a ?su|el|la|mi|un|una ?del|de",
                "?, paid|pagado",
                ",|:",
            ],
        );
        let start = led.unwrap_or(at);
        METHODS.iter().find_map(|(method, patterns)| {
            let end = longest_at(words, start, patterns)?;
            // A phone or a wallet is a way of paying only where "by" or "from" says so.
            let bare = led.is_none_or(|l| words[l - 1].kind == Kind::Mark);
            let vague = matches!(words[start].folded.as_str(), "phone" | "telefono" | "movil" | "celular" | "credit" | "balance" | "saldo" | "wallet" | "monedero" | "billetera" | "cartera");
            let phone_number = words.get(end).is_some_and(|w| {
                matches!(w.folded.as_str(), "number" | "numero" | ":" | "is") || w.kind == Kind::Digits
            });
            (!(vague && (bare || phone_number))).then_some((*method, at, end))
        })
    })
}

/// Which bill a sentence means, and where it says so: "for bill 12", "INV-12", "towards the last bill".
fn bill_in_words(words: &[Word]) -> Option<(String, usize, usize)> {
    const LED: &[&str] = &[
        "?on|for|of|to|towards|toward|against|from|off ?the|his|her|their|my|our|customers",
        "?de|por|para|a|sobre|contra|del ?la|su|el|mi|esa|esta",
        "?por|de lo de ?la",
    ];
    (0..words.len()).find_map(|at| {
        let start = longest_at(words, at, LED).unwrap_or(at);
        if let Some(noun) = longest_at(words, start, &[BILL])
            && let Some((bill, length)) = bill_named(&words[noun..])
        {
            return Some((bill, at, noun + length));
        }
        if let Some(("last", length)) = bill_named(&words[start..])
            .as_ref()
            .map(|(b, l)| (b.as_str(), *l))
            && let Some(noun) = longest_at(words, start + length, &[BILL])
        {
            return Some(("last".to_owned(), at, noun));
        }
        let series = words
            .get(start)
            .filter(|w| w.kind == Kind::Letters && w.folded.starts_with("inv"))?;
        let (bill, length) = bill_named(&words[start..])?;
        (series.folded.len() > 3 || length > 1).then_some((bill, at, start + length))
    })
}

/// What a sentence says of a payment besides its verb.
#[derive(Debug, Default)]
struct Paying {
    amount: Option<String>,
    bill: Option<String>,
    customer: Option<String>,
    method: Option<&'static str>,
    phone: Option<String>,
    /// The amount was said with its currency.
    marked: bool,
    /// Somebody's unnamed bill or debt: "his bill", "what he owes".
    all_owed: bool,
}

const OWED: &[&str] = &[
    "?all|everything ?of ?what he|she|they owes|owe",
    "everything he|she|they owes|owe",
    "?for|of ?all|everything ?of ?his|her|their|the|my|our|this|that ?whole|full|open|unpaid bill|bills|debt|debts|tab|invoice|invoices|account|balance ?in ?full",
    "in full",
    "?the rest|remainder",
    "?todo lo que ?nos debe|deben",
    "?toda|todas ?de ?su|sus|la|las|el|mi factura|facturas|deuda|deudas|cuenta|recibo ?completa|pendiente|pendientes",
    "?el resto",
];
const SHARES: &[&str] =
    &["half|quarter|third|part|some|most|percent|double|twice|mitad|parte|tercio|doble"];

/// What is paid, how and by whom; `None` when some of the words are about something else.
fn paying_in(words: &[Word], hearing: &Hearing) -> Option<Result<Paying, Saying>> {
    // A share of something is an amount nobody has worked out.
    if has(words, SHARES) {
        return None;
    }
    let mut paying = Paying::default();
    let mut rest = words.to_vec();
    take_method(&mut paying, &mut rest)?;
    if let Some((bill, at, end)) = bill_in_words(&rest) {
        paying.bill = Some(bill);
        rest = cut(&rest, at, end);
    }
    if let Some(doubt) = take_amount(&mut paying, &mut rest, hearing)? {
        return Some(Err(doubt));
    }
    while let Some((at, end)) = find(&rest, OWED).filter(|(at, end)| end > at) {
        paying.all_owed = true;
        rest = cut(&rest, at, end);
    }
    // "Everything Ali owes": the name stands inside.
    if let Some((at, end)) = find(
        &rest,
        &[
            "?all|everything what|whatever",
            "everything|all ?that",
            "?todo lo que",
        ],
    ) && let Some((owes, after)) = find(&rest[end..], &["owes|owe ?us", "?nos debe|adeuda"])
    {
        paying.all_owed = true;
        rest = cut(&cut(&rest, end + owes, end + after), at, end);
    }
    let rest = drop_all(
        &rest,
        &[
            "today|now|already|just|please|hoy|ya|ahora",
            "?a|the|un|el payment|pago ?of|de|for|por",
            "?a|the|un deposit ?of",
        ],
    );
    let mut names = rest
        .split(Word::parts)
        .map(past_joints)
        .filter(|part| !part.is_empty());
    if let Some(name) = names.next() {
        paying.customer = Some(payer(name, hearing)?);
    }
    names.next().is_none().then_some(Ok(paying))
}

/// Takes the telephone and the way of paying out of the words; `None` where two ways are said.
fn take_method(paying: &mut Paying, rest: &mut Vec<Word>) -> Option<()> {
    // "Ali's wallet" says who and how.
    if let Some((at, method)) = (1..rest.len()).find_map(|at| {
        let method = match rest[at].folded.as_str() {
            "wallet" | "balance" => "wallet",
            "card" => "card",
            _ => return None,
        };
        has_possessive(&rest[..at]).then_some((at, method))
    }) {
        paying.method = Some(method);
        *rest = cut(rest, at, at + 1);
    }
    if let Some((phone, at, end)) = phone_in(rest) {
        let lead = [3, 2, 1].into_iter().find_map(|back| {
            let from = at.checked_sub(back)?;
            (longest_at(
                rest,
                from,
                &["?from|to|at|on|of|with ?the|his|her|phone|number|telephone|tel|mobile ?number|: ?:", "?de|a|al|desde|con|del ?el|telefono|numero|celular ?:"],
            ) == Some(at))
            .then_some(from)
        });
        paying.phone = Some(phone);
        *rest = cut(rest, lead.unwrap_or(at), end);
    }
    if let Some((method, at, end)) = method_in(rest) {
        if paying.method.is_some() {
            return None;
        }
        paying.method = Some(method);
        *rest = cut(rest, at, end);
        // Two ways of paying are two payments.
        if method_in(rest).is_some() {
            return None;
        }
    }
    Some(())
}

/// The words without "from", "for" and the like before them and "a" after.
fn past_joints(words: &[Word]) -> &[Word] {
    const JOINTS: &[&str] =
        &["from|for|of|to|by|the|at|in|into|onto|on|en|de|del|a|al|por|para|le|:|with|con"];
    let mut rest = trimmed(words);
    while let Some(end) = starts(rest, JOINTS) {
        rest = trimmed(&rest[end..]);
    }
    while let Some(at) = ends(rest, &["from|for|of|to|a|de|por|para|with|con|y|and"]) {
        rest = trimmed(&rest[..at]);
    }
    rest
}

/// The customer who pays: a name and no more.
fn payer(words: &[Word], hearing: &Hearing) -> Option<String> {
    let plain = words.len() <= 5
        && !words.iter().any(|w| unit_named(&w.folded).is_some())
        && !has(
            words,
            &["and|y|that|it|this|eso|esto|stock|kg|from|for|of|to|with|on|in|at|para|por"],
        );
    customer_of(words, hearing.shouted).filter(|name| plain && is_one(name))
}

/// Takes the one amount out of the words. The inner doubt is an amount that can be read in two ways.
fn take_amount(
    paying: &mut Paying,
    rest: &mut Vec<Word>,
    hearing: &Hearing,
) -> Option<Option<Saying>> {
    let Some((at, amount)) =
        (0..rest.len()).find_map(|at| amount_at(rest, at, hearing.language).map(|a| (at, a)))
    else {
        return Some(None);
    };
    if let Some(other) = amount.or_else {
        let (one, other) = (amount.number, other);
        return Some(Some(if one.contains('.') {
            Saying::NumberUnclear(other, one)
        } else {
            Saying::NumberUnclear(one, other)
        }));
    }
    let kept = cut(rest, at, amount.end);
    let after = rest.get(amount.end);
    let percent = after.is_some_and(|w| w.is_mark("%") || w.folded == "percent");
    let measured = after.is_some_and(|w| !w.spaced && w.kind == Kind::Letters && !amount.marked);
    let second = kept.iter().any(|w| w.kind == Kind::Digits);
    // "2 eggs" is an amount of goods.
    const AFTER: &[&str] = &[
        "from|for|to|of|on|in|by|with|into|onto|off|at|back|and|today|now|already|just|please|more|de|del|a|al|para|por|en|con|le|y|hoy|ya|ahora",
    ];
    let goods = after
        .is_some_and(|w| w.kind == Kind::Letters && longest_at(rest, amount.end, AFTER).is_none());
    if percent || measured || second || goods {
        return None;
    }
    paying.amount = Some(amount.number);
    paying.marked = amount.marked;
    *rest = kept;
    Some(None)
}

/// The call that collects; what is not said and cannot be found out is left `null`.
fn collecting(paying: Paying) -> Wish {
    // A telephone pays by mobile money unless another way is said.
    let method = paying
        .method
        .or_else(|| paying.phone.as_ref().map(|_| "mobile_money"));
    let nobody = paying.customer.is_none() && paying.bill.is_none() && paying.phone.is_none();
    let customer = paying.customer.map(|c| json!(c));
    call(
        COLLECT_PAYMENT,
        object([
            ("amount", paying.amount.map(|a| json!(a))),
            ("bill", paying.bill.map(|b| json!(b))),
            (
                "customer",
                customer.or_else(|| nobody.then_some(Value::Null)),
            ),
            ("method", Some(json!(method))),
            ("phone", paying.phone.map(|p| json!(p))),
        ]),
    )
}

fn said(paying: Option<Result<Paying, Saying>>, fits: impl Fn(&Paying) -> bool) -> Option<Wish> {
    match paying? {
        Ok(paying) => fits(&paying).then(|| collecting(paying)),
        Err(saying) => Some(Wish::Say(saying)),
    }
}

/// "Collect 5000 RWF from Ali", "take a payment for bill 12", "cobra 5000 a Ali".
fn collect(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    // Said of money only.
    const SURE: &[&str] = &[
        "collect|recauda|recaudar|recaude",
        "?take|record|register|receive|accept|request|enter|log|process|make|add|note|collect ?down ?a|an|the|another ?new|cash|card|part|mobile ?money payment|deposit ?of|:",
        "?take|record|register|receive|accept|request|process|collect ?the payment",
        "?registra|registrar|anota|anotar|recibe|recibir|acepta|procesa|solicita|pide|haz|hacer|agrega ?un|el|otro pago ?de|:",
        "settle|pay ?off",
        "liquida|liquidar|salda|saldar|paga|pagar|cobra|cobrar|cobrale|cobrele|cobrame",
    ];
    // Said of goods as well: an amount of money has to be meant for sure.
    const PERHAPS: &[&str] = &[
        "take|get|receive|request|charge|debit|record|register|accept|recibe|recibir|pide|pidele|solicita",
        "ask",
        "?we|i ?have|just|also received|got|recibimos|recibi|cobramos|cobre",
    ];
    if has(
        words,
        &["hours|hour|booking|appointment|reservation|reserva|cita|ticket"],
    ) {
        return None;
    }
    if let Some(end) = starts(words, SURE) {
        let listing = has(&words[..end], &["payment|deposit|pago"]);
        let bare = end == words.len() && !listing;
        let head = method_in(&words[1..end]).map(|(method, ..)| method);
        let from = longest_at(words, 1, &["from|de|a"]).is_some();
        let paying = paying_in(&words[end..], hearing).map(|p| {
            p.map(|p| Paying {
                method: p.method.or(head),
                ..p
            })
        });
        return said(paying, |p| {
            // "Pay Ali 500" sends money the other way.
            let inwards = starts(words, &["pay|paga|pagar|settle"]).is_none()
                || p.bill.is_some()
                || p.all_owed;
            inwards
                && !bare
                && (listing
                    || p.bill.is_some()
                    || p.amount.is_some()
                    || p.phone.is_some()
                    || p.all_owed
                    || (p.customer.is_some() && from && words[0].folded == "collect"))
        });
    }
    let end = starts(words, PERHAPS)?;
    let paying = paying_in(&drop_all(&words[end..], &["?for to pay|for ?us"]), hearing);
    let stock = has(
        words,
        &["stock|inventory|shelf|supplier|inventario|proveedor"],
    );
    // "Received 5000 from Ali" names who; "take 2 soap" does not.
    let from_whom = find(&words[end..], &["from|de"]).is_some_and(|(at, _)| at > 0);
    let of_money = starts(words, &["charge|debit|ask|request|pide|pidele|solicita"]).is_some();
    said(paying, |p| {
        let somebody = p.customer.is_some() || p.phone.is_some() || p.bill.is_some();
        let money = p.marked || p.method.is_some() || p.phone.is_some() || from_whom || of_money;
        !stock && somebody && money && (p.amount.is_some() || p.bill.is_some())
    })
}

const PAYS: &[&str] = &[
    "?has|have|is|just|already|would|wants|will|wanted ?like ?now ?just ?to paid|pays|pay|paying",
    "?just|already settles|settled|clears|cleared ?up",
    "gave|gives|handed ?me|us",
    "?me|nos dio|entrego",
    "?ya ?nos ?me ?le ?va|quiere|acaba|ha ?a ?de ?de pago|paga|pagar|pagado|abono|abona|abonar|liquida|liquido|saldo|salda",
    "?was|is|has|were|are|got|been ?been ?now paid|settled",
    "?esta|fue|quedo|queda|se ?ya pagada|pagado|pago|saldada",
];

/// "Ali paid 500 in cash", "Ali pays his bill with mobile money", "bill 12 was paid", "Ali pagó 500".
fn paid(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    if hearing.question {
        return None;
    }
    let marked_paid = starts(words, &["mark|set|put|marca|marcar|pon"]).filter(|_| {
        has(
            words,
            &["?as ?being paid|settled", "?como pagada|pagado|saldada"],
        )
    });
    if let Some(end) = marked_paid {
        let rest = drop_all(
            &words[end..],
            &["?as ?being paid|settled", "?como pagada|pagado|saldada"],
        );
        return said(paying_in(&rest, hearing), |p| p.bill.is_some());
    }
    if let Some(end) = starts(words, &["pay|paying ?for"]) {
        return said(paying_in(&words[end..], hearing), |p| {
            p.bill.is_some() || p.all_owed
        });
    }
    let (at, end) =
        (1..words.len().min(7)).find_map(|at| longest_at(words, at, PAYS).map(|end| (at, end)))?;
    let who = trimmed(&words[..at]);
    if who.iter().any(|w| w.parts() || w.is_mark(":"))
        || has(
            who,
            &[
                "we|i|you|will|bill for|wants|takes|took|bought|buys|create|make|sell|list|print|see|which|who|what|how|once|when|before|after|until|y|and",
            ],
        )
    {
        return None;
    }
    // "Bill 12 was paid in cash"
    if let Some((bill, 0, length)) = bill_in_words(who)
        && length == who.len()
    {
        return said(
            paying_in(&words[end..], hearing).map(|p| {
                p.map(|p| Paying {
                    bill: Some(bill),
                    ..p
                })
            }),
            |p| p.customer.is_none(),
        );
    }
    let anybody = starts(
        who,
        &[
            "?a|the|one customer|client|person|somebody|someone",
            "?un|una|el|la cliente|clienta|alguien|persona",
        ],
    ) == Some(who.len());
    let customer = if anybody {
        None
    } else {
        Some(payer(who, hearing)?)
    };
    let paying = paying_in(&words[end..], hearing)?;
    // Two names are one too many: nobody knows which of them paid.
    if paying.as_ref().is_ok_and(|p| p.customer.is_some()) {
        return None;
    }
    said(Some(paying.map(|p| Paying { customer, ..p })), |p| {
        p.amount.is_some() || p.bill.is_some() || p.all_owed || (p.method.is_some() && !anybody)
    })
}

// What is given back.

/// Why, at the end of a sentence.
pub(super) const BECAUSE: &[&str] = &[
    "?, because ?it|they|he|she ?was|is|were ?of",
    "?, since|as it|he|she|they ?was|is|were",
    "?, due to",
    "?, for ?the reason ?: ?that",
    "?, reason ?: ?is",
    "?, porque ?se|esta|estaba",
    "?, ya|dado que",
    "?, motivo ?:",
    "?, debido a",
];

/// The words before the reason, and the reason as it was said.
pub(super) fn parted_by_reason(words: &[Word]) -> (&[Word], Option<String>) {
    match find(words, BECAUSE).filter(|(at, end)| *at > 0 && end > at) {
        Some((at, after)) => {
            let reason: String = text_of(&words[after..]).chars().take(200).collect();
            (&words[..at], (!reason.is_empty()).then_some(reason))
        }
        None => (words, None),
    }
}

/// "Refund bill 12", "give 500 back on bill 12 to his wallet", "devuelve 500 de la factura 12".
fn refund(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    const VERBS: &[&str] = &[
        "refund|reimburse|repay",
        "?make|issue|process|do|give|create ?him|her|them ?a|the ?full|partial refund|reimbursement ?of|for|on|to",
        "reembolsa|reembolsar|reembolse|reembolsale",
        "?haz|hacer|emite|procesa ?un|el reembolso|devolucion ?de|por",
    ];
    const BACK: &[&str] = &[
        "give|pay|send|return|hand",
        "devuelve|devolver|devuelvele|devuelva|regresa|regresale",
    ];
    let sure = starts(words, VERBS);
    let end = sure.or_else(|| {
        starts(words, BACK).filter(|_| {
            let back = has(words, &["back|money|dinero"])
                || words[0].folded.starts_with("dev")
                || words[0].folded.starts_with("reg");
            back && (bill_in_words(words).is_some()
                || payment_in(words).is_some()
                || has(words, &["money|dinero"]))
        })
    })?;
    let (rest, reason) = parted_by_reason(&words[end..]);
    let mut rest = drop_all(
        rest,
        &[
            "?the ?whole|full|entire ?amount ?of back",
            "?the|his|her|their money ?back",
            "?el|su dinero",
            "?the ?whole|full|entire amount",
            "all|everything ?of",
            "todo",
        ],
    );
    let to = refund_target(&mut rest);
    let payment = payment_in(&rest).map(|(payment, at, end)| {
        rest = cut(&rest, at, end);
        payment
    });
    let paying = match paying_in(&rest, hearing)? {
        Ok(paying) => paying,
        Err(saying) => return Some(Wish::Say(saying)),
    };
    // Another way of paying back than those three is not offered; a telephone is no bill.
    if paying.method.is_some()
        || paying.phone.is_some()
        || (payment.is_some() && paying.bill.is_some())
    {
        return None;
    }
    let bill = match (&payment, paying.bill) {
        (Some(_), _) => None,
        (None, bill) => Some(json!(bill)),
    };
    Some(call(
        REFUND_PAYMENT,
        object([
            ("amount", paying.amount.map(|a| json!(a))),
            ("bill", bill),
            ("payment", payment.map(|p| json!(p))),
            ("reason", reason.map(|r| json!(r))),
            ("to", to.map(|t| json!(t))),
        ]),
    ))
}

/// Where the money goes, taken out of the words.
pub(super) fn refund_target(words: &mut Vec<Word>) -> Option<&'static str> {
    const TARGETS: &[(&str, &[&str])] = &[
        (
            "wallet",
            &[
                "?, to|into|on|onto|in ?the|his|her|their|my|customers wallet|balance|account",
                "?, a|al|en|hacia ?su|el|la monedero|billetera|saldo",
            ],
        ),
        (
            "cash",
            &["?, in|with|as|by cash", "?, cash", "?, en efectivo"],
        ),
        (
            "original",
            &[
                "?, to|the|through ?the ?same|original ?original way|method|card|source ?it ?was ?paid",
                "?, ?a ?por ?al|el|la ?mismo|misma metodo|medio|via|tarjeta ?original",
            ],
        ),
    ];
    let (target, at, end) = TARGETS
        .iter()
        .find_map(|(target, patterns)| find(words, patterns).map(|(at, end)| (*target, at, end)))?;
    *words = cut(words, at, end);
    Some(target)
}

/// "Payment 7", "PAY-7".
fn payment_in(words: &[Word]) -> Option<(String, usize, usize)> {
    (0..words.len()).find_map(|at| {
        let noun = longest_at(
            words,
            at,
            &["?of|the|el ?the payment|pago ?number|no|numero ?#"],
        );
        let start = noun.unwrap_or(at);
        let word = words.get(start)?;
        if word.folded.starts_with("pay-") && word.folded.len() > 4 {
            return Some((word.text.to_uppercase(), at, start + 1));
        }
        let plain = word.kind == Kind::Digits && word.text.chars().all(|c| c.is_ascii_digit());
        (noun.is_some() && plain).then(|| (format!("PAY-{}", word.text), at, start + 1))
    })
}

// Wallets.

/// "Top up Ali's wallet with 2000", "add 2000 to Ali's wallet", "recarga el monedero de Ali con 2000".
fn top_up(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    const SURE: &[&str] = &["recarga|recargar|recargue|recargale", "topup|top-up"];
    const VERBS: &[&str] = &[
        "top ?it up",
        "load|add|put|deposit|credit|fund|increase|transfer|recharge|refill",
        "agrega|agregar|anade|pon|ponle|abona|abonar|abonale|deposita|depositar|depositale|suma|carga|mete|ingresa",
    ];
    const WALLET: &[&str] = &[
        "?to|into|on|onto|in|of ?the|his|her|their|my wallet|balance|account|credit",
        "?a|al|en|de|del ?el|la|su|mi monedero|billetera|saldo|cartera",
    ];
    let (customer, start) = match starts(words, SURE).or_else(|| starts(words, VERBS)) {
        Some(end) => (None, end),
        None => {
            let (at, end) = (1..words.len().min(6)).find_map(|at| {
                longest_at(
                    words,
                    at,
                    &["tops|topped up", "deposits|deposited|loads|loaded|adds|added|recarga|recargo|deposita|deposito|abona"],
                )
                .map(|end| (at, end))
            })?;
            (
                Some(payer(&words[..at], hearing).filter(|_| !hearing.question)?),
                end,
            )
        }
    };
    let body = &words[start..];
    let (at, end) = match find(body, WALLET) {
        Some(found) => found,
        // "Recarga 2000 a Ali" can be nothing else.
        None => starts(words, SURE).map(|_| (0, 0))?,
    };
    let lead = if customer.is_none() && has_possessive(&body[..at]) {
        at
    } else {
        0
    };
    let mut rest = cut(body, at, end);
    // The name before the wallet and what follows it are apart; "wallet of Ali" goes on.
    rest = drop_all(&rest, &["by", "account"]);
    let paying = match paying_in(&rest, hearing)? {
        Ok(paying) => paying,
        Err(saying) => return Some(Wish::Say(saying)),
    };
    if paying.bill.is_some()
        || paying.all_owed
        || (lead > 0 && paying.customer.is_none())
        || paying.method == Some("wallet")
    {
        return None;
    }
    let customer = customer.or(paying.customer);
    let phone = paying.phone.map(|p| json!(p));
    let method = paying
        .method
        .or_else(|| phone.as_ref().map(|_| "mobile_money"));
    Some(call(
        TOP_UP_WALLET,
        object([
            ("amount", Some(json!(paying.amount))),
            ("customer", Some(json!(customer))),
            ("method", Some(json!(method))),
            ("phone", phone),
        ]),
    ))
}

/// What a message says of how something is paid, as a whole: "cash", "with mobile money".
pub(super) fn whole_method(words: &[Word]) -> Option<&'static str> {
    // "Wallet" and "phone" alone are ways of paying where the way was asked for.
    let by = [super::words::words("by").as_slice(), words].concat();
    [words, by.as_slice()].into_iter().find_map(|words| {
        let words = drop_all(
            words,
            &["he|she|they|it|its|is|was|pay|pays|paid|please|will|paga|pago|fue|es"],
        );
        let words = trimmed(&words);
        method_in(words)
            .filter(|(_, at, end)| *at == 0 && *end == words.len())
            .map(|(method, ..)| method)
    })
}

/// A method, an amount, a bill, a phone or a customer said as a change: "3000 in cash", "from Aline".
pub(super) fn changed(
    words: &[Word],
    hearing: &Hearing,
) -> Option<Result<Map<String, Value>, Saying>> {
    let paying = match paying_in(words, hearing)? {
        Ok(paying) => paying,
        Err(saying) => return Some(Err(saying)),
    };
    let Value::Object(map) = object([
        ("amount", paying.amount.map(|a| json!(a))),
        ("bill", paying.bill.map(|b| json!(b))),
        ("customer", paying.customer.map(|c| json!(c))),
        ("method", paying.method.map(|m| json!(m))),
        ("phone", paying.phone.map(|p| json!(p))),
    ]) else {
        return None;
    };
    (!map.is_empty()).then_some(Ok(map))
}
