//! Sentences that change items and stock.

use contracts::tool::Tool;
use contracts::tools::inventory::{AddItem, DeleteItem, GetItem, UpdateItem};
use contracts::unit::EACH;
use serde_json::{Value, json};

use super::intents::{Hearing, Wish};
use super::lists::lines_of;
use super::money::{Price, amount_at, price_in};
use super::names::{has_loose_number, name_of, title, without_possessive};
use super::plans::{Follow, Plan, measure, object};
use super::quantities::{Quantity, other_name, quantity_at};
use super::replies::Saying;
use super::words::{Kind, Word, drop_all, ends, find, has, longest_at, starts, trimmed, without};
use crate::language::Language;

/// What a sentence that changes an item asks for.
pub(super) fn write(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    const WHEN: &[&str] = &[
        "today|yesterday|hoy|ayer",
        "this morning|afternoon",
        "esta manana|tarde",
    ];
    let words = &drop_all(words, WHEN);
    let words = trimmed(words);
    rename(words)
        .or_else(|| new_price(words, hearing))
        .or_else(|| low_level(words, hearing))
        .or_else(|| alias(words))
        .or_else(|| unit_of_item(words, hearing))
        .or_else(|| counted(words, hearing))
        .or_else(|| category_move(words))
        .or_else(|| set_unclear(words, hearing))
        .or_else(|| returned(words, hearing))
        .or_else(|| less(words, hearing))
        .or_else(|| delete(words, hearing))
        .or_else(|| more(words, hearing))
        .or_else(|| add(words, hearing))
}

/// A call with these arguments.
pub(super) fn call(tool: &str, arguments: Value) -> Wish {
    Wish::Do(Plan::new(tool, arguments))
}

fn change(item: Option<String>, change: Value) -> Wish {
    let arguments = object([("item", Some(Value::from(item))), ("change", Some(change))]);
    call(UpdateItem::NAME, arguments)
}

/// The first quantity among the words. An article counts only at the beginning.
fn quantity_in(words: &[Word], language: Language) -> Option<(usize, Quantity)> {
    (0..words.len()).find_map(|at| {
        let article = words
            .get(at)
            .is_some_and(|w| matches!(w.folded.as_str(), "a" | "an" | "un" | "una"));
        let quantity = quantity_at(words, at, language)?;
        (at == 0 || !article || quantity.unit.is_some()).then_some((at, quantity))
    })
}

/// Words that surround the amount and the item in sentences about stock.
const AROUND_STOCK: &[&str] = &[
    "?the ?current stock|stocks|level|levels|quantity|inventory ?level|levels ?of|for",
    "?to|from|in|into|on ?the|our|my stock|inventory|shelf|shelves|store|shop|warehouse",
    "?al|a|del|de|en ?el|la|las existencias|stock|inventario|almacen|tienda|cantidad ?de|del",
    "from ?the|our|my supplier|market|wholesaler|delivery",
    "del|de proveedor|mercado",
    "today|yesterday|just|now|already|again|also|more|extra|another|hoy|ayer|ya|tambien|nuevamente",
    "otra vez",
    "this morning|afternoon",
];

/// An adjustment of stock: the quantity, and what is left of the words as the item.
fn adjust(words: &[Word], hearing: &Hearing, less: bool, reason: Option<&str>) -> Option<Wish> {
    let mut rest = words.to_vec();
    // What goods were bought for is not what they are sold for.
    if let Some(price) = price_in(&rest, hearing.language).filter(|_| reason == Some("purchase")) {
        rest = without(&rest, price.start, price.end);
    }
    let quantity = quantity_in(&rest, hearing.language);
    if let Some((at, q)) = &quantity {
        let start = if *at > 0
            && matches!(
                rest[at - 1].folded.as_str(),
                "by" | "with" | "en" | "por" | "con" | "of" | ":" | "de"
            ) {
            at - 1
        } else {
            *at
        };
        rest = without(&rest, start, q.end);
    }
    let rest = drop_all(&rest, AROUND_STOCK);
    let rest = past_prepositions(&rest);
    if rest.iter().any(|w| w.kind == Kind::Digits) {
        return None;
    }
    let item = name_of(rest);
    if item.is_none() && !trimmed(rest).is_empty() && !only_fillers(rest) {
        return None;
    }
    let quantity = quantity.map(|(_, q)| q);
    if let Some(q) = &quantity {
        if let Some(doubt) = q.in_doubt() {
            return Some(Wish::Say(doubt));
        }
        if q.is_negative() {
            return Some(Wish::Say(Saying::NegativeUnclear));
        }
    }
    let mut adjust = quantity.as_ref().map_or_else(
        || json!({"delta": null}),
        |q| Value::Object(measure("delta", q)),
    );
    if less && let Some(q) = &quantity {
        adjust["delta"] = json!(format!("-{}", q.number));
    }
    if let Some(reason) = reason {
        adjust["reason"] = json!(reason);
    }
    let mut plan = Plan::new(UpdateItem::NAME, json!({"item": item, "adjust": adjust}));
    plan.less = less;
    Some(Wish::Do(plan))
}

fn past_prepositions(words: &[Word]) -> &[Word] {
    let mut rest = trimmed(words);
    while let Some(end) = starts(
        rest,
        &["to|of|for|by|with|in|into|from|on|a|al|de|del|en|por|con|que"],
    )
    .filter(|e| *e < rest.len())
    {
        rest = trimmed(&rest[end..]);
    }
    rest
}

fn only_fillers(words: &[Word]) -> bool {
    let fillers = "the a an it them some any this that of to in item items product stock el la los las lo un una de del al en algo producto productos existencias";
    words
        .iter()
        .all(|w| w.kind == Kind::Mark || fillers.split(' ').any(|f| f == w.folded))
}

fn more(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    const VERBS: &[&str] = &[
        "increase|raise|restock|replenish|increment",
        "top|stock up ?on",
        "aumenta|aumentar|aumente|incrementa|incrementar|incremente|sube|subir|repon|reponer|reabastece|surte|suma|sumar ?le",
        "aumentale|subele|sumale",
    ];
    const RECEIVED: &[&str] = &[
        "?we|i ?have|ve|just|also received|bought|purchased",
        "?we|i ?have|just got",
        "weve|ive ?just received|bought|got|purchased",
        "receive|receiving",
        "?ya recibimos|recibi|recibido|compramos|compre|llegaron|llego|entraron|entro|recibir",
        "nos llegaron|llego|trajeron",
        "hemos|he recibido|comprado",
        "han|ha llegado",
    ];
    const ARRIVED: &[&str] = &[
        "?have|has|just arrived|come",
        "came in",
        "?were|was|have|has ?been delivered",
        "have|has arrived",
        "?han|ha llegado",
        "llegaron|llego",
    ];
    if let Some(end) = starts(words, VERBS) {
        return adjust(&words[end..], hearing, false, None);
    }
    if let Some(end) = starts(words, RECEIVED) {
        quantity_in(&words[end..], hearing.language)?;
        return adjust(&words[end..], hearing, false, Some("purchase"));
    }
    let start = ends(words, ARRIVED).filter(|s| *s > 0)?;
    let quantity = quantity_at(words, 0, hearing.language)?;
    (quantity.end < start).then(|| adjust(&words[..start], hearing, false, Some("purchase")))?
}

fn less(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    const VERBS: &[&str] = &[
        "reduce|decrease|lower|subtract|deduct",
        "disminuye|disminuir|resta|restar|restale|descuenta|rebaja|baja|bajar|bajale|reducir|reduzca",
    ];
    const TAKING: &[&str] = &[
        "take ?out|away|off",
        "remove|quita|quitar|quite|quitale|saca|sacar|saque|withdraw",
    ];
    const LOST: &[&str] = &[
        "?we|i ?have|ve|just lost|wasted|broke|spoiled|spoilt|damaged|dropped",
        "?we|i threw ?away|out",
        "throw ?away|out",
        "weve|ive lost|broken|wasted",
        "?se ?nos|me ?han rompieron|rompio|perdieron|perdio|danaron|dano|caducaron|caduco|echaron|echo|pudrieron|pudrio|roto|cayeron ?a ?perder",
        "perdimos|perdi|tiramos|tire",
    ];
    const SPOILT: &[&str] = &[
        "?have|has|are|is|were|was|got|went|just broke|broken|spoiled|spoilt|expired|rotten|damaged|lost|stolen|bad|wasted|missing|rotted",
        "?se ?han rompieron|rompio|danaron|dano|perdieron|perdio|caducaron|caduco|pudrieron|pudrio",
        "se echaron|echo a perder",
        "thrown|threw away|out",
    ];
    const BECAUSE: &[&str] = &[
        "?, ?because|since|as ?it|they|that|which ?is|are|was|were|has|have|got|went expired|spoiled|spoilt|rotten|damaged|broken|bad|old|rotted",
        "?, ?porque ?que ?se ?esta|estan|estaba|estaban|ha|han caducado|caducados|caducada|caducadas|vencido|vencidos|vencida|vencidas|podrido|podridos|podrida|podridas|roto|rotos|danado|danados|caducaron|vencieron",
    ];
    if let Some(end) = starts(words, VERBS) {
        return adjust(&words[end..], hearing, true, None);
    }
    if let Some(end) = starts(words, TAKING) {
        // "Remove the soap" is about the item, "remove 2 soaps" about its stock.
        let (at, quantity) = quantity_in(&words[end..], hearing.language)?;
        let article = !has(&words[end + at..end + quantity.end], &["?a|an|un|una"])
            || quantity.unit.is_some();
        let whole = at == 0 || end + quantity.end == words.len();
        (article && whole).then_some(())?;
        return adjust(&words[end..], hearing, true, None);
    }
    if let Some(end) = starts(words, LOST) {
        let rest = &words[end..];
        let rest = &rest[..ends(rest, BECAUSE).unwrap_or(rest.len())];
        quantity_in(rest, hearing.language)?;
        return adjust(rest, hearing, true, Some("waste"));
    }
    let start = ends(words, SPOILT).filter(|s| *s > 0)?;
    let quantity = quantity_at(words, 0, hearing.language)?;
    (quantity.end < start).then(|| adjust(&words[..start], hearing, true, Some("waste")))?
}

/// "Ali returned 2 soaps", "a customer brought back 1 shampoo".
fn returned(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    let (_, end) = find(
        words,
        &[
            "returned",
            "brought back",
            "gave back",
            "devolvio|devolvieron",
            "regreso|regresaron",
        ],
    )?;
    let rest = &words[end..];
    quantity_at(rest, 0, hearing.language)?;
    adjust(rest, hearing, false, Some("return"))
}

fn delete(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    const VERBS: &[&str] = &[
        "delete|erase|discontinue|archive",
        "get rid of",
        "remove|drop",
        "we no longer sell",
        "stop selling",
        "elimina|eliminar|elimine|borra|borrar|borre|archiva|quita|quitar|suprime",
        "dar|da de baja",
    ];
    let end = starts(words, VERBS)?;
    let rest = drop_all(
        &words[end..],
        &[
            "from ?the|our|my|all stock|inventory|list|items|shop|store|catalog|catalogue|products",
            "del|de ?la|el inventario|lista|tienda|catalogo",
            "?the item|product|article ?called|named ?:",
            "?el|la producto|articulo ?llamado ?:",
        ],
    );
    let rest = trimmed(&rest);
    if has(rest, &["all|everything|every|todo|todos|todas"]) {
        return Some(Wish::Say(Saying::OneItemAtATime));
    }
    if quantity_at(rest, 0, hearing.language).is_some() || has_loose_number(rest) {
        return Some(Wish::Say(Saying::DeleteOrReduce));
    }
    if has(rest, &["from|off ?the bill|order|invoice", "de la factura"]) {
        return None;
    }
    let item = name_of(rest);
    (item.is_some() || only_fillers(rest)).then(|| call(DeleteItem::NAME, json!({"item": item})))
}

fn rename(words: &[Word]) -> Option<Wish> {
    const FORMS: &[&str] = &[
        "rename",
        "change|update ?the name of",
        "renombra|renombrar",
        "cambia|cambiar|cambiale ?el nombre a|de|del",
    ];
    let end = starts(words, FORMS)?;
    let rest = &words[end..];
    let Some((at, after)) = find(rest, &["to|into|as", "a|por|como"]).filter(|(at, _)| *at > 0)
    else {
        let item = name_of(rest);
        return Some(change(item, json!({"name": null})));
    };
    let item = name_of(&rest[..at])?;
    let name = name_of(&rest[after..])?;
    Some(change(Some(item), json!({"name": name})))
}

const PRICE_WORDS: &[&str] = &["price|prices|priced|cost|costs|precio|precios|cuesta|costo"];

fn new_price(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    const VERBS: &[&str] = &[
        "set|change|update|make|put|fix|raise|increase|lower|reduce|decrease|drop|adjust|edit|correct",
        "sube|subir|baja|bajar|cambia|cambiar|pon|poner|actualiza|actualizar|aumenta|aumentar|reduce|reducir|fija|fijar|modifica|ajusta|corrige ?le",
        "cambiale|ponle|subele|bajale",
    ];
    let verb = starts(words, VERBS);
    let rest = &words[verb.unwrap_or(0)..];
    let named = has(rest, PRICE_WORDS);
    let stated = has(
        rest,
        &[
            "now costs",
            "costs ?now",
            "is now",
            "new price",
            "?the price of",
            "ahora cuesta|vale|cuestan",
            "nuevo precio",
        ],
    );
    if verb.is_none() && (!stated || hearing.question || has(rest, &["stock"])) {
        return None;
    }
    if verb.is_none()
        && !named
        && price_in(rest, hearing.language).is_none_or(|p| p.unit.is_none() && !p.amount.marked)
    {
        return None;
    }
    let (amount, kept) = target_price(rest, hearing, named)?;
    // "The price of rice" without a verb or an amount asks for it.
    if verb.is_none() && amount.is_none() {
        return None;
    }
    let item = drop_all(
        &kept,
        &[
            "?the ?new ?unit|selling price|prices|cost|costs ?per ?unit ?of|for|on ?the",
            "?el|la ?nuevo precio|costo ?de|del|a ?la|el",
            "now|is|costs|cuesta|cuestan|vale|ahora|es|to|at|a|por|en|be|should|item|product|of|for",
            ":",
            "=",
        ],
    );
    let item = name_of(&item).map(|name| without_possessive(&name).to_owned());
    if item.is_none() && (!named || !only_fillers(&kept_without_price(&kept))) {
        return None;
    }
    let change_of = object([
        (
            "unit_price",
            Some(
                amount
                    .as_ref()
                    .map_or(Value::Null, |a| json!(a.amount.number)),
            ),
        ),
        (
            "currency",
            amount.and_then(|a| a.amount.currency).map(|c| json!(c)),
        ),
    ]);
    Some(change(item, change_of))
}

fn kept_without_price(words: &[Word]) -> Vec<Word> {
    drop_all(
        words,
        &["price|prices|precio|precios|cost|costo|new|nuevo|for|now|to|by"],
    )
}

/// The price a change leads to, and the words without it. "By 10" leads to no price that is known here.
fn target_price(
    words: &[Word],
    hearing: &Hearing,
    named: bool,
) -> Option<(Option<Price>, Vec<Word>)> {
    if let Some((at, end)) = find(words, &["by", "en|un"])
        .filter(|(_, end)| named && amount_at(words, *end, hearing.language).is_some())
        && words[at].folded != "en"
    {
        let amount = amount_at(words, end, hearing.language)?;
        let after = longest_at(words, amount.end, &["%|percent"]).unwrap_or(amount.end);
        return Some((None, without(words, at, after)));
    }
    if named {
        let targets = &[
            "to",
            "at",
            "a",
            "en",
            "is ?now ?:",
            "=",
            ":",
            "es ?ahora",
            "costs ?now",
            "cuesta",
            "por",
            "be",
            "of",
        ];
        let mut aimed = (0..words.len()).filter_map(|at| {
            let end = longest_at(words, at, targets)?;
            let price = priced_from(words, end, hearing.language)?;
            Some(Price { start: at, ..price })
        });
        let bare = || (0..words.len()).find_map(|at| priced_from(words, at, hearing.language));
        if let Some(price) = aimed.next_back().or_else(bare) {
            let kept = without(words, price.start, price.end);
            return Some((Some(price), kept));
        }
        return Some((None, words.to_vec()));
    }
    // "Make sugar 170 per kg", "set sugar at 170 per kg": a unit or a currency shows that it is a price.
    let price =
        price_in(words, hearing.language).filter(|p| p.unit.is_some() || p.amount.marked)?;
    let kept = without(words, price.start, price.end);
    // "Put 20 kg sugar at 160 per kg ..." is a new item.
    quantity_in(&kept, hearing.language)
        .is_none()
        .then_some((Some(price), kept))
}

/// The amount that begins at `at`, with its "per kg" or "each".
fn priced_from(words: &[Word], at: usize, language: Language) -> Option<Price> {
    let amount = amount_at(words, at, language)?;
    let tail = price_in(&words[at..], language).filter(|p| p.start == 0);
    let end = tail.as_ref().map_or(amount.end, |p| at + p.end);
    Some(Price {
        each: tail.as_ref().is_some_and(|p| p.each),
        unit: tail.and_then(|p| p.unit),
        start: at,
        end,
        amount,
    })
}

/// "Set the low stock level of sugar to 5", "alert me when sugar is below 5".
fn low_level(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    const SET: &[&str] = &[
        "set|change|make ?the|a low stock|level ?stock ?level|limit|alert|warning|threshold|mark ?of|for",
        "set|change|make ?the minimum ?stock ?of|for|level",
        "alert|warn|notify|tell ?me when|if",
        "pon|fija|cambia ?el|la stock|nivel minimo ?de|del|para",
        "avisame|avisa cuando|si",
    ];
    let end = starts(words, SET)?;
    let rest = &words[end..];
    let (at, after) = find(
        rest,
        &[
            "?is|are|goes|falls|drops|hits|reaches ?to below|under|at",
            "to|at",
            "baje|bajen|este|esten|haya ?por ?a|debajo ?menos de",
            "a|en",
        ],
    )?;
    let level = quantity_at(rest, after, hearing.language)?;
    let item = name_of(&drop_all(
        &rest[..at],
        &["?the stock ?of|level", "level|of|for", "de|del"],
    ));
    Some(change(item, json!({"low_stock_level": level.number})))
}

/// "Soap is also called jabón", "add alias jabón to soap".
fn alias(words: &[Word]) -> Option<Wish> {
    let named =
        |item: Option<String>, name: String| change(item, json!({"add_aliases": [{"name": name}]}));
    if let Some((at, end)) = find(
        words,
        &[
            "is|are also|sometimes called|named|known",
            "tambien se llama|llaman",
        ],
    )
    .filter(|(at, _)| *at > 0)
    {
        let end = longest_at(words, end, &["as"]).unwrap_or(end);
        return Some(named(Some(name_of(&words[..at])?), name_of(&words[end..])?));
    }
    let end = starts(
        words,
        &["add ?the|an alias ?:", "agrega|anade ?el alias ?:"],
    )?;
    let (at, after) = find(&words[end..], &["to|for|a|al|para"])?;
    Some(named(
        name_of(&words[end + after..]),
        name_of(&words[end..end + at])?,
    ))
}

/// "A bag of rice is 25 kg", "1 saco de arroz son 25 kg".
fn unit_of_item(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    let unit = quantity_at(words, 0, hearing.language).filter(|q| q.number == "1")?;
    let name = unit.unit.as_ref().filter(|u| !u.fixed)?.code.clone();
    let (at, after) = find(
        words,
        &[
            "is|has|holds|contains|weighs|=|equals",
            "tiene|pesa|son|es|contiene|trae",
        ],
    )
    .filter(|(at, _)| *at >= unit.end)?;
    let size = quantity_at(words, after, hearing.language).filter(|q| q.end == words.len())?;
    let mut of = json!({"unit": name, "quantity": size.number});
    if let Some(code) = size.unit_code() {
        of["of"] = json!(code);
    }
    Some(change(
        Some(name_of(&words[unit.end..at])?),
        json!({"add_units": [of]}),
    ))
}

fn counted(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    const SAID: &[&str] = &[
        "?we|i ?have|ve|just counted ?:",
        "weve|ive counted",
        "count ?of|is ?:",
        "?the ?physical count ?of|for",
        "physical|stock count ?: ?of",
        "contamos|conte|contado ?:",
        "hemos|he contado",
        "el conteo de|del",
        "actual stock|count ?of|for ?:",
    ];
    const SET: &[&str] = &[
        "set|update|correct|change|fix|adjust",
        "pon|fija|actualiza|corrige|cambia|ajusta ?el|la",
    ];
    let set = starts(words, SET);
    let about_stock = has(
        words,
        &["stock|quantity|count|existencias|cantidad|inventario"],
    );
    let end = if let Some(end) = set.filter(|_| about_stock) {
        find(&words[end..], &["to|at|a|en|=|:|as"])?;
        end
    } else {
        let end = starts(words, SAID).filter(|_| set.is_none())?;
        quantity_in(&words[end..], hearing.language)?;
        end
    };
    let (at, quantity) = quantity_in(&words[end..], hearing.language)?;
    if let Some(doubt) = quantity.in_doubt() {
        return Some(Wish::Say(doubt));
    }
    let rest = without(&words[end..], at, quantity.end);
    let rest = drop_all(&rest, AROUND_STOCK);
    let rest = drop_all(
        &rest,
        &[
            "count|is|are|to|at|de|del|of|a|en|son|hay|there|as|left|cantidad",
            ":",
            "=",
        ],
    );
    if has_loose_number(&rest) {
        return None;
    }
    let item = name_of(&rest)?;
    let mut plan = Plan::new(GetItem::NAME, json!({"item": item}));
    plan.follow = Some(Follow::Count {
        unit: quantity.unit_code().map(str::to_owned),
        quantity: quantity.number,
    });
    Some(Wish::Do(plan))
}

/// "Move soap to beauty", "change the category of soap to beauty", "put soap in the beauty category".
fn category_move(words: &[Word]) -> Option<Wish> {
    let moved = starts(words, &["move", "mueve|mover|pasa|pasar"]);
    let named = has(words, &["category|section|categoria|seccion"]);
    let verb = moved.or_else(|| {
        starts(
            words,
            &[
                "set|change|put|update|assign",
                "cambia|cambiar|pon|poner|asigna",
            ],
        )
        .filter(|_| named)
    })?;
    let rest = &words[verb..];
    let rest = &drop_all(rest, &["?the category ?of|for", "?la categoria ?de|del"]);
    if price_in(rest, Language::En).is_some() || rest.iter().any(|w| w.kind == Kind::Digits) {
        return None;
    }
    let (at, after) = (1..rest.len()).rev().find_map(|at| {
        longest_at(rest, at, &["to|into|in|under ?the", "a|en ?la|el", "al"]).map(|end| (at, end))
    })?;
    let category = name_of(&drop_all(
        &rest[after..],
        &["?the category|section|categoria|seccion"],
    ))?;
    Some(change(
        Some(name_of(&rest[..at])?),
        json!({"category": category.to_lowercase()}),
    ))
}

/// "Set sugar to 170", "make the rice 1250" and "eggs are 90 now" may mean the price or the stock.
fn set_unclear(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    set_to(words, hearing).or_else(|| bare_number(words, hearing))
}

/// A name, and at the end a number without a unit.
fn bare_number(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    let made = starts(words, &["make|set"]);
    let at = words.len().checked_sub(1)?;
    let is_number = words[at].kind == Kind::Digits
        && quantity_at(words, at, hearing.language).is_some_and(|q| q.end == words.len());
    let said = if made.is_some() {
        None
    } else {
        ends(&words[..at], &["is|are|esta|estan ?a"])
            .filter(|_| !hearing.question && starts(words, &["there|here|total"]).is_none())
    };
    let item = match (made, said) {
        (Some(start), _) if start < at => name_of(&words[start..at])?,
        (None, Some(end)) => name_of(&words[..end])?,
        _ => return None,
    };
    is_number.then_some(Wish::Say(Saying::PriceOrStock(item)))
}

fn set_to(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    let end = starts(words, &["set|update|change|put|pon|cambia|actualiza"])?;
    let (at, after) = find(&words[end..], &["to|at|a|en"])?;
    let quantity = quantity_at(&words[end..], after, hearing.language)?;
    let item = name_of(&words[end..end + at])?;
    (end + quantity.end >= words.len() && words[end + after].kind == Kind::Digits)
        .then_some(Wish::Say(Saying::PriceOrStock(item)))
}

/// What the words of a new item say.
struct NewItem {
    name: Option<String>,
    quantity: Option<Quantity>,
    price: Option<Price>,
    category: Option<String>,
    level: Option<String>,
    sku: Option<String>,
    /// "Bags of 25 kg".
    bag: Option<Quantity>,
}

const ADD: &[&str] = &[
    "add|adding|register|insert|enter|include|introduce|put|ad",
    "agrega|agregar|agregame|agregue|agreguen|anade|anadir|anademe|anada|registra|registrar|registre|mete|meter|incluye|incluir|pon|poner|introduce|ingresa|ingresar|suma",
    "agregale|anadele|metele|sumale",
    "da|dar de alta",
];
const CREATE: &[&str] = &["create|make|start|open", "crea|crear|cree|haz"];
const NEW_ITEM: &[&str] = &[
    "?a|an|the|one|this|another new item|product|article|good ?called|named ?: ?-",
    "?a|an|the|one|this item|product|article ?called|named ?:",
    "new ?:",
    "?un|una|el ?nuevo|nueva producto|articulo|item ?nuevo ?llamado|llamada ?:",
    "nuevo|nueva ?:",
];

fn add(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    let have = starts(
        words,
        &["we|i have|got", "tenemos|tengo", "there is", "hay"],
    )
    .unwrap_or(0);
    let words = if starts(&words[have..], NEW_ITEM).is_some() {
        &words[have..]
    } else {
        words
    };
    let verb = starts(words, ADD);
    let rest = &words[verb.unwrap_or(0)..];
    let created = starts(words, CREATE);
    let rest = if let (None, Some(end)) = (verb, created) {
        &words[end..]
    } else {
        rest
    };
    let new_item = starts(rest, NEW_ITEM);
    if verb.is_none() && new_item.is_none() {
        return None;
    }
    // Without a verb only "new product ..." is a request.
    if verb.is_none()
        && created.is_none()
        && !has(
            rest,
            &[
                "new item|product|article",
                "nuevo|nueva producto|articulo",
                "item|producto|articulo nuevo",
            ],
        )
    {
        return None;
    }
    let rest = &rest[new_item.unwrap_or(0)..];
    let explicit = new_item.is_some();
    if has(
        rest,
        &["bill|invoice|factura|customer|cliente|discount|descuento"],
    ) {
        return None;
    }
    if !explicit && let Some(wish) = onto(rest, hearing) {
        return Some(wish);
    }
    let new = new_item_of(rest, hearing, explicit)?;
    if let Some(doubt) = new.quantity.as_ref().and_then(Quantity::in_doubt) {
        return Some(Wish::Say(doubt));
    }
    if new.price.is_none() && !explicit {
        return add_stock(&new);
    }
    Some(call(AddItem::NAME, add_arguments(&new, hearing)))
}

/// "Add 5 kg to flour", "agrega 5 kg a la harina": stock of something that is there.
fn onto(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    let quantity = quantity_at(words, 0, hearing.language)?;
    let end = longest_at(words, quantity.end, &["more", "mas"]).unwrap_or(quantity.end);
    let after = longest_at(
        words,
        end,
        &[
            "to|into|onto ?the ?stock ?of",
            "a ?la|las|los",
            "al ?stock ?de",
        ],
    )?;
    if price_in(words, hearing.language).is_some() || has(&words[after..], &["category|categoria"])
    {
        return None;
    }
    name_of(&drop_all(&words[after..], AROUND_STOCK))?;
    adjust(words, hearing, false, None)
}

/// "Add 5 eggs and 3 milk": the stock of several items at once, each with its amount and none with a price or a place.
pub(super) fn add_several(words: &[Word], hearing: &Hearing) -> Option<Vec<Wish>> {
    let end = starts(words, &["add", "agrega|agregar|anade|anadir"])?;
    let goods = trimmed(&words[end..]);
    let more_than_goods = has(
        goods,
        &[
            "to|into|in|for|on|with|each|per|a|al|en|para|con|cada|bill|category|factura|categoria|new|nuevo|sku|alert",
        ],
    );
    if more_than_goods || price_in(goods, hearing.language).is_some() {
        return None;
    }
    let lines = lines_of(goods, hearing.language).filter(|l| l.len() > 1)?;
    lines
        .into_iter()
        .map(|line| {
            let quantity = line.quantity.filter(|_| line.price.is_none())?;
            if let Some(doubt) = quantity.in_doubt() {
                return Some(Wish::Say(doubt));
            }
            if quantity.is_negative() {
                return Some(Wish::Say(Saying::NegativeUnclear));
            }
            // One that is not there is no new item here: the answer could not tell whose price it is.
            let adjust = Value::Object(measure("delta", &quantity));
            Some(call(
                UpdateItem::NAME,
                json!({"item": line.item, "adjust": adjust}),
            ))
        })
        .collect()
}

/// Without a price it is stock of an item that is there, or else a new item whose price is asked for.
fn add_stock(new: &NewItem) -> Option<Wish> {
    if new.quantity.as_ref().is_some_and(Quantity::is_negative) {
        return Some(Wish::Say(Saying::NegativeUnclear));
    }
    let adjust = new.quantity.as_ref().map_or_else(
        || json!({"delta": null}),
        |q| Value::Object(measure("delta", q)),
    );
    let item = new.name.clone()?;
    let mut plan = Plan::new(UpdateItem::NAME, json!({"item": item, "adjust": adjust}));
    plan.follow = Some(Follow::AddNew {
        name: item,
        category: new.category.clone().unwrap_or_default(),
    });
    Some(Wish::Do(plan))
}

fn new_item_of(words: &[Word], hearing: &Hearing, explicit: bool) -> Option<NewItem> {
    let (level, rest) = cut_level(words, hearing.language);
    let (sku, rest) = cut_sku(&rest);
    let mut price = price_in(&rest, hearing.language);
    let mut trailing = None;
    let mut rest = match &price {
        Some(p) => {
            let (before, after) = (&rest[..p.start], &rest[p.end..]);
            trailing = category_after(before, after);
            let after = if trailing.is_some() { &[] } else { after };
            [before, after].concat()
        }
        None => rest,
    };
    let found = amount_in(&rest, hearing.language);
    let mut bag = None;
    if let Some((at, q)) = &found {
        let size = quantity_at(&rest, q.end, hearing.language)
            .filter(|s| s.unit.as_ref().is_some_and(|u| u.fixed));
        bag = size.filter(|_| q.unit.as_ref().is_some_and(|u| !u.fixed));
        let end = bag.as_ref().map_or(q.end, |b| b.end);
        let start = if *at > 0
            && matches!(
                rest[at - 1].folded.as_str(),
                "with" | "con" | "of" | "de" | "quantity" | "qty" | "cantidad" | "amount"
            ) {
            at - 1
        } else {
            *at
        };
        rest = without(&rest, start, end);
    }
    if price.is_none() {
        (price, rest) = cut_lone_price(&rest, hearing.language);
    }
    let rest = drop_all(
        &rest,
        &[
            "?to|in|into|on ?the|our|my stock|inventory|shelf|shelves|store|shop|list|catalog|system",
            "?al|a|en ?el|la|nuestro inventario|stock|existencias|almacen|lista|tienda|catalogo|sistema",
        ],
    );
    let (category, rest) = match trailing {
        Some(category) => (Some(category), rest),
        None => cut_category(&rest, hearing.language),
    };
    let rest: Vec<Word> = rest
        .into_iter()
        .filter(|w| !w.parts() && !w.is_mark(":"))
        .collect();
    let name = name_of(&rest);
    let stray = has_loose_number(&rest);
    let said_nothing = trimmed(&rest).is_empty() || only_fillers(&rest);
    if stray || (name.is_none() && !(explicit && said_nothing)) {
        return None;
    }
    let name = name.map(|n| title(&n, hearing.shouted));
    let name = if explicit || price.is_some() {
        name
    } else {
        name_of(&rest)
    };
    Some(NewItem {
        name,
        quantity: found.map(|(_, q)| q),
        price,
        category,
        level,
        sku,
        bag,
    })
}

/// How much of a new item there is.
fn amount_in(words: &[Word], language: Language) -> Option<(usize, Quantity)> {
    past_the_size(words, language).or_else(|| quantity_in(words, language))
}

/// "Coca Cola 500ml, 48 bottles": the size belongs to the name where a comma and an amount of bottles follow.
fn past_the_size(words: &[Word], language: Language) -> Option<(usize, Quantity)> {
    let (at, size) = quantity_in(words, language)?;
    let glued = words.get(at + 1).is_some_and(|w| !w.spaced);
    if at == 0 || !glued || size.unit.is_none_or(|u| !u.fixed) || !words.get(size.end)?.is_mark(",")
    {
        return None;
    }
    let after = size.end + 1;
    let quantity = quantity_at(words, after, language)?;
    let bottles = quantity.unit.as_ref().is_some_and(|u| !u.fixed);
    bottles.then_some((after, quantity))
}

/// "Sugar at 160 per kg grocery": a word or two after the price, where the name went before it.
fn category_after(before: &[Word], after: &[Word]) -> Option<String> {
    let named = before
        .iter()
        .any(|w| w.kind == Kind::Letters && super::quantities::unit_named(&w.folded).is_none());
    let plain = after.iter().all(|w| w.kind == Kind::Letters);
    let joined = starts(after, &["to|in|into|under|en|a|al|with|con|and|y|low|sku|code|category|categoria|for|para|quantity|qty|cantidad|alert|minimum"]).is_some();
    if !named
        || !plain
        || joined
        || !(1..=2).contains(&after.len())
        || has(after, &["each|stock|inventory|now|only"])
    {
        return None;
    }
    name_of(after).map(|c| c.to_lowercase())
}

/// "Rice, 50 kg, 900": a number alone between commas, after the quantity was taken.
fn cut_lone_price(words: &[Word], language: Language) -> (Option<Price>, Vec<Word>) {
    let lone = (0..words.len()).find_map(|at| {
        let before = at > 0 && words[at - 1].is_mark(",");
        let amount = amount_at(words, at, language).filter(|_| before)?;
        let closed = words.get(amount.end).is_none_or(Word::parts);
        closed.then_some(Price {
            unit: None,
            each: false,
            start: at,
            end: amount.end,
            amount,
        })
    });
    match lone {
        Some(price) => {
            let rest = without(words, price.start, price.end);
            (Some(price), rest)
        }
        None => (None, words.to_vec()),
    }
}

fn cut_level(words: &[Word], language: Language) -> (Option<String>, Vec<Word>) {
    const LEVEL: &[&str] = &[
        "?, ?and|with low ?stock ?level|alert|limit|warning ?at|of|below|: ?:",
        "?, ?and alert|warn ?me at|below|under|when ?below",
        "?, ?with minimum|min ?stock ?of|: ?:",
        "?, ?con stock|nivel minimo ?de|: ?:",
    ];
    let found = (0..words.len()).find_map(|at| {
        let end = longest_at(words, at, LEVEL)?;
        let level = quantity_at(words, end, language)?;
        Some((at, level))
    });
    found.map_or_else(
        || (None, words.to_vec()),
        |(at, level)| (Some(level.number), without(words, at, level.end)),
    )
}

fn cut_sku(words: &[Word]) -> (Option<String>, Vec<Word>) {
    let found = find(
        words,
        &["?, ?with|and sku|code ?: ?is", "?, ?con ?y codigo ?:"],
    )
    .filter(|(_, end)| *end < words.len());
    found.map_or_else(
        || (None, words.to_vec()),
        |(at, end)| (Some(words[end].text.clone()), without(words, at, end + 1)),
    )
}

/// The category at the end of the words, or wherever it is called one; and the words without it.
fn cut_category(words: &[Word], language: Language) -> (Option<String>, Vec<Word>) {
    const SAID: &[&str] = &[
        "?, ?and ?to|in|into|under|with|of ?the|a category ?: ?of|is|called",
        "?, ?y ?en|a|con|de ?la|una categoria ?: ?de|es|llamada",
    ];
    const CLOSING: &[&str] = &["category|section|department|categoria|seccion"];
    let said = |text: &[Word]| name_of(text).map(|c| c.to_lowercase());
    if let Some(end) = ends(words, CLOSING)
        && let Some((at, after)) = (0..end).rev().find_map(|at| {
            longest_at(words, at, &["?, to|in|into|under|for ?the", "?, a|en ?la"]).map(|e| (at, e))
        })
        && let Some(category) = said(&words[after..end])
    {
        return (Some(category), words[..at].to_vec());
    }
    if let Some((at, after)) = find(words, SAID) {
        let length = words[after..].iter().take_while(|w| !w.parts()).count();
        if let Some(category) = said(&words[after..after + length]) {
            return (Some(category), without(words, at, after + length));
        }
    }
    let joints: &[&str] = if language == Language::Es {
        &["?, en|a|para ?la|el|los|las", "?, al"]
    } else {
        &["?, to|in|into|under ?the|our"]
    };
    let last = (0..words.len())
        .rev()
        .find_map(|at| longest_at(words, at, joints).map(|end| (at, end)));
    if let Some((at, after)) = last
        && (1..=3).contains(&(words.len() - after))
        && !has(
            &words[after..],
            &["polvo|lata|latas|grano|caja|botella|oil|water|cans|can|aceite|agua"],
        )
        && let Some(category) = said(&words[after..])
    {
        return (Some(category), words[..at].to_vec());
    }
    (None, words.to_vec())
}

/// The arguments of a new item. The unit an item is counted and priced in must be one everybody has; a bag or a bottle becomes a unit of
/// the item's own.
fn add_arguments(new: &NewItem, hearing: &Hearing) -> Value {
    let counted = new.quantity.as_ref().and_then(|q| q.unit.as_ref());
    let priced = new.price.as_ref().and_then(|p| p.unit.as_ref());
    let fixed_price = priced.filter(|u| u.fixed).map(|u| u.code.clone());
    let fixed_count = counted.filter(|u| u.fixed).map(|u| u.code.clone());
    let bag_name = counted
        .filter(|u| !u.fixed)
        .or_else(|| priced.filter(|u| !u.fixed))
        .map(|u| u.code.clone());
    let bag_size = new.bag.as_ref();
    // "A dozen at 250 each": counted in dozens, priced by the piece.
    let by_the_piece =
        new.price.as_ref().is_some_and(|p| p.each) && fixed_count.as_deref() == Some("dozen");
    let unit = fixed_price
        .or_else(|| by_the_piece.then(|| EACH.to_owned()))
        .or_else(|| fixed_count.clone())
        .or_else(|| bag_size.and_then(|b| b.unit_code()).map(str::to_owned))
        .or_else(|| bag_name.as_ref().map(|_| EACH.to_owned()));
    let counted_in = counted.map(|u| u.code.clone());
    // A price per bag says nothing of the price per kg, and the other way round.
    let comparable = match priced {
        Some(priced) if priced.fixed => true,
        Some(_) => fixed_count.is_none() && bag_size.is_none(),
        None => bag_size.is_none(),
    };
    let unit_price = new
        .price
        .as_ref()
        .filter(|_| comparable)
        .map_or(Value::Null, |p| json!(p.amount.number));
    let quantity_unit = counted_in.filter(|u| {
        Some(u) != unit.as_ref() && !(unit.as_deref() == Some(EACH) && bag_name.is_some())
    });
    object([
        ("name", Some(json!(new.name))),
        ("category", new.category.as_ref().map(|c| json!(c))),
        ("unit", unit.as_ref().map(|u| json!(u))),
        ("unit_price", Some(unit_price)),
        (
            "currency",
            new.price
                .as_ref()
                .and_then(|p| p.amount.currency.as_ref())
                .map(|c| json!(c)),
        ),
        ("quantity", new.quantity.as_ref().map(|q| json!(q.number))),
        ("quantity_unit", quantity_unit.map(|u| json!(u))),
        ("low_stock_level", new.level.as_ref().map(|l| json!(l))),
        ("sku", new.sku.as_ref().map(|s| json!(s))),
        (
            "units",
            bag_name.map(|bag| own_units(&bag, unit.as_deref(), bag_size, hearing.language)),
        ),
    ])
}

fn own_units(bag: &str, unit: Option<&str>, size: Option<&Quantity>, language: Language) -> Value {
    let quantity = match (unit, size) {
        (Some(EACH), _) => json!("1"),
        (_, Some(size)) => json!(size.number),
        // How much such a bag holds is asked for.
        (_, None) => Value::Null,
    };
    let of = size
        .and_then(|s| s.unit_code())
        .or(unit)
        .filter(|u| *u != EACH);
    let own = |name: &str| {
        let mut own = json!({"unit": name, "quantity": quantity});
        if let Some(of) = of {
            own["of"] = json!(of);
        }
        own
    };
    let mut units = vec![own(bag)];
    if language == Language::Es
        && !quantity.is_null()
        && let Some(spanish) = other_name(bag)
    {
        units.push(own(spanish));
    }
    json!(units)
}

/// The arguments of the new item that "add 20kg sugar" turns out to be.
pub(super) fn add_after_all(name: &str, category: &str, adjust: &Value, hearing: &Hearing) -> Plan {
    let said = adjust["delta"].as_str().unwrap_or_default();
    let unit = adjust["unit"].as_str().unwrap_or_default();
    let words = super::words::words(&format!("{said} {unit}"));
    let new = NewItem {
        name: Some(title(name, hearing.shouted)),
        quantity: quantity_at(&words, 0, Language::En),
        price: None,
        category: Some(category.to_owned()).filter(|c| !c.is_empty()),
        level: None,
        sku: None,
        bag: None,
    };
    Plan::new(AddItem::NAME, add_arguments(&new, hearing))
}
