//! Questions about items and stock.

use contracts::tool::Tool;
use contracts::tools::inventory::{GetItem, ListItems};
use serde_json::json;

use super::intents::{Hearing, Wish};
use super::inventory::call;
use super::names::{has_loose_number, name_of};
use super::quantities::quantity_at;
use super::words::{Word, drop_all, ends, find, has, longest_at, starts, trimmed};
use crate::language::Language;

/// What a sentence that asks about items wants to know.
pub(super) fn read(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    price_question(words)
        .or_else(|| low_stock(words, hearing))
        .or_else(|| in_category(words))
        .or_else(|| list_all(words))
        .or_else(|| stock_question(words))
        .or_else(|| search(words))
}

const SHOW: &[&str] = &[
    "show|list|display|see|view|give|tell|print|get|check|look ?at|up ?me|us",
    "whats|what|which ?is|are",
    "muestra|muestrame|mostrar|lista|listar|ensena|ensename|ver|dame|dime|mira",
    "let me see",
    "cual|cuales es|son",
    "que ?productos|articulos ?hay",
];

fn price_question(words: &[Word]) -> Option<Wish> {
    const ASKED: &[&str] = &[
        "?what|whats ?is ?the price|cost ?of|for",
        "how much is|are|for ?the",
        "cuanto es|sale|salen ?el|la",
        "how much does|do|would",
        "?a ?cual es ?el precio ?de|del",
        "?a cuanto cuesta|cuestan|vale|valen|esta|estan ?el|la|los|las",
        "?el precio de|del",
        "?a como esta|estan ?el|la|los|las",
        "?show|tell|give|check ?me the price of",
        "dime|dame el precio de|del",
        "que precio tiene|tienen",
    ];
    let costs = starts(words, &["what does|do|would"])
        .filter(|_| ends(words, &["cost ?now|today", "go for"]).is_some());
    let rest = if let Some(end) = starts(words, ASKED).or(costs).filter(|e| *e < words.len()) {
        &words[end..]
    } else {
        &words[..ends(words, &["price|cost|precio"])?]
    };
    if has(
        rest,
        &[
            "left|stock|remaining|owe|owes|bill|invoice|factura|sales|sold|sell|change|set|update|list|lista|there",
        ],
    ) {
        return None;
    }
    let amount =
        quantity_at(rest, 0, Language::Es).filter(|q| q.number == "1" && q.end < rest.len());
    let rest = &rest[amount.map_or(0, |q| q.end)..];
    let rest = drop_all(
        rest,
        &[
            "cost|costs|now|today|hoy|each",
            "per unit|kg|kilo",
            "per|a|el|la kilo|kg|each|piece|unit|bag",
        ],
    );
    Some(call(GetItem::NAME, json!({"item": name_of(&rest)?})))
}

fn low_stock(words: &[Word], hearing: &Hearing) -> Option<Wish> {
    const GONE: &[&str] = &[
        "out of stock",
        "sold out",
        "agotado|agotados|agotada|agotadas",
        "sin stock|existencias",
        "run out",
    ];
    const BELOW: &[&str] = &[
        "?stock ?is|are below|under|beneath ?of",
        "less|fewer|lower than",
        "?por debajo|abajo de",
        "bajo|menos ?de ?que",
        "menos de",
        "menor|menores a|de|que",
        "<",
    ];
    const LOW: &[&str] = &[
        "low ?on ?in stock|inventory",
        "stock ?is|are ?running low",
        "running low|out",
        "almost|nearly|about ?to out|gone|finished|run",
        "low items",
        "is|are ?running ?getting ?very ?too low",
        "need|needs ?to ?be restock|restocking|restocked|reorder|reordering|reordered",
        "?should|must ?we|i restock|reorder",
        "poco stock|inventario",
        "pocas existencias",
        "stock|existencias|inventario bajo|bajas",
        "bajo|bajos ?de|en stock|existencias|inventario",
        "acabando|acabandose|terminando|acabarse|agotarse|agotando",
        "falta reponer|resurtir",
        "hay que reponer|resurtir|comprar",
    ];
    let asks = hearing.question
        || starts(words, SHOW).is_some()
        || has(
            words,
            &["items|products|productos|articulos|stock|inventario|existencias|low|running"],
        );
    if !asks {
        return None;
    }
    let mut arguments = json!({});
    let below = (0..words.len())
        .find_map(|at| quantity_at(words, longest_at(words, at, BELOW)?, hearing.language));
    if let Some(level) = below {
        arguments["stock_below"] = json!(level.number);
    } else if has(words, GONE) {
        // The smallest quantity there is: below it is nothing.
        arguments["stock_below"] = json!("0.000001");
    } else if has(words, LOW) {
        arguments["low_stock"] = json!(true);
    } else {
        return None;
    }
    if let Some(category) = named_category(words) {
        arguments["category"] = json!(category);
    }
    Some(call(ListItems::NAME, arguments))
}

/// "In the beauty category", "category beauty", "de la categoría belleza".
fn named_category(words: &[Word]) -> Option<String> {
    let said = |text: &[Word]| name_of(text).map(|c| c.to_lowercase());
    if let Some((_, end)) = find(
        words,
        &[
            "category ?of|: ?:",
            "categoria ?de|: ?:",
            "seccion ?de",
            "section ?:",
        ],
    ) {
        let length = words[end..]
            .iter()
            .take_while(|w| {
                !w.parts()
                    && !matches!(
                        w.folded.as_str(),
                        "with" | "con" | "under" | "below" | "that" | "in" | "que"
                    )
            })
            .count();
        if let Some(category) = said(&words[end..end + length]) {
            return Some(category);
        }
    }
    let (at, _) = find(words, &["category|section|department|categoria"])?;
    let (_, start) = (0..at).rev().find_map(|i| {
        longest_at(
            &words[..at],
            i,
            &[
                "in|from|of|under|for ?the",
                "show|list|see|display ?me ?the|all",
                "whats|what is|are ?in ?the",
            ],
        )
        .map(|e| (i, e))
    })?;
    said(&words[start..at])
}

fn in_category(words: &[Word]) -> Option<Wish> {
    let category = |name: String| call(ListItems::NAME, json!({"category": name}));
    if has(
        words,
        &["bill|bills|invoice|invoices|factura|facturas|sales|ventas"],
    ) {
        return None;
    }
    if has(words, &["categories|categorias"]) {
        return None;
    }
    if let Some(name) = named_category(words) {
        return Some(category(name));
    }
    let start = starts(words, SHOW);
    // "Items in beauty", "beauty items", "productos de belleza"
    let rest = &words[start.unwrap_or(0)..];
    const IN: &[&str] = &[
        "what ?do we|you have|sell in|under|from ?the|our",
        "lo|que ?que tenemos|hay en ?la|el",
        "?all ?the ?of items|products|things|everything|stuff|anything ?we|you ?have ?that ?are ?is in|from|under ?the",
        "?todos ?los productos|articulos|cosas ?que ?hay de|en ?la|el",
    ];
    if let Some(end) = starts(rest, IN).filter(|e| *e < rest.len())
        && !has(
            &rest[end..],
            &["stock|inventory|shop|store|inventario|tienda"],
        )
    {
        return name_of(&rest[end..]).map(|n| category(n.to_lowercase()));
    }
    let before =
        ends(rest, &["items|products"]).filter(|at| *at > 0 && (start.is_some() || *at <= 2))?;
    let name = name_of(&drop_all(
        &rest[..before],
        &["all|every|the|our|my|available|listed"],
    ))?;
    Some(category(name.to_lowercase()))
}

fn list_all(words: &[Word]) -> Option<Wish> {
    const WHOLE: &[&str] = &[
        "items|products|inventory|stock|everything|prices|goods|catalog|catalogue",
        "price list",
        "items|products ?we|you have|sell",
        "inventario|productos|articulos|existencias|precios|catalogo|stock|todo",
        "lista de precios|productos|articulos",
        "what do|can we|you|i have|sell|stock|offer|buy ?in|on ?stock|sale|offer",
        "what|which items|products do|are we|you|there ?have|sell ?in ?stock",
        "what is|are ?there ?in ?our|the stock|inventory|shop|store",
        "whats in ?our|the|my stock|inventory|shop|store",
        "what have we|you got ?in ?stock",
        "how many items|products ?do ?we|you ?have ?are ?there ?in ?stock",
        "lista precios|productos|articulos",
        "que tenemos|hay|vendes|venden|vendemos|tienes|tienen ?en ?la|el ?inventario|tienda|stock|venta|existencias|existencia|almacen|bodega",
        "que productos|articulos tenemos|hay|vendes|tienes|tienen|vendemos",
        "stock|inventory list|report",
        "list|lista ?of ?de items|products|stock|productos|inventario",
    ];
    let rest = &words[starts(words, SHOW).unwrap_or(0)..];
    let rest = drop_all(
        rest,
        &[
            "all ?of",
            "the|our|my|full|whole|entire|current|complete|available|every|todos|todas|todo|el|la|los|las|nuestro|completo|completa|mi|actual|de",
        ],
    );
    let whole = |w: &[Word]| starts(w, WHOLE).is_some_and(|end| end == trimmed(w).len().max(end));
    let everything = trimmed(&rest).is_empty()
        && has(words, &["all|everything|todo|todos"])
        && starts(words, SHOW).is_some();
    (whole(&rest) || whole(words) || everything).then(|| call(ListItems::NAME, json!({})))
}

fn stock_question(words: &[Word]) -> Option<Wish> {
    const HOW_MUCH: &[&str] = &[
        "how much|many ?of ?the",
        "what|whats ?is ?the stock|quantity|level|balance of|for",
        "cuanto|cuanta|cuantos|cuantas ?nos ?queda|quedan|hay|tenemos ?de",
        "cuanto|cuanta|cuantos|cuantas",
        "que cantidad ?hay|queda|tenemos ?de",
    ];
    const ANY: &[&str] = &[
        "is|are there ?any ?some",
        "do we|you have|stock|sell ?any ?some",
        "have we|you ?got ?any",
        "?nos queda|quedan ?algo ?de",
        "hay|tenemos|tienes|tienen ?algo ?de",
        "any",
        "got any",
    ];
    const STOCK_OF: &[&str] = &[
        "?show|check|see|tell|give ?me ?the stock|stocks ?level of|for",
        "?muestra|ver|dime ?el|la stock|existencias|inventario de|del",
        "details|detail|history|movements of|for|about",
        "tell me about",
        "?show ?me ?the details|history|movements of|for",
        "?ver ?el detalles|detalle|historial|movimientos de|del",
    ];
    let head = starts(words, STOCK_OF)
        .or_else(|| starts(words, HOW_MUCH))
        .or_else(|| starts(words, ANY));
    let available = || {
        starts(words, &["is|are ?the"])
            .filter(|_| ends(words, &["available ?now|today", "in stock"]).is_some())
    };
    let by_end = || {
        ends(words, &["stock ?level", "left ?in ?stock", "in stock"])
            .filter(|at| *at > 0)
            .map(|_| 0)
    };
    let start = head
        .or_else(available)
        .or_else(by_end)
        .filter(|s| *s < words.len())?;
    if has(
        words,
        &[
            "sell|sold|owe|owes|owed|earn|earned|bill|bills|make|made|vendimos|vendido|debe|deben|cost|costs|money|people|customers|clientes",
        ],
    ) && !has(words, &["do you|we sell"])
    {
        return None;
    }
    let rest = without_tail(&words[start..]);
    if has_loose_number(&rest) {
        return None;
    }
    Some(call(GetItem::NAME, json!({"item": name_of(&rest)?})))
}

/// What is asked about, without the "do we have left in stock" after it.
fn without_tail(words: &[Word]) -> Vec<Word> {
    const AFTER: &[&str] = &[
        "?is|are|do|does|have|has ?there ?we|you|i ?still ?have|got|left|remaining|remain|remains|available ?in ?on ?the ?our stock|left|shelf|store|shop|hand|available|remaining ?now|today",
        "?is|are left|remaining|available ?in ?stock",
        "in|on stock|hand",
        "is|are there ?now",
        "do we|you ?still ?currently have ?left ?in ?stock",
        "have we|you got ?left",
        "?nos ?en queda|quedan|hay|tenemos|stock|existencias|inventario",
        "?todavia|aun",
        "?en ?la ?el tienda|almacen|inventario|stock",
    ];
    let mut rest = words.to_vec();
    for _ in 0..3 {
        let Some(at) = ends(&rest, AFTER).filter(|at| *at < rest.len() && *at > 0) else {
            break;
        };
        rest.truncate(at);
    }
    drop_all(
        &rest,
        &[
            "?nos queda|quedan|hay|tenemos|hoy|todavia|aun",
            "?is|are left",
            "in stock|inventory",
            "stock ?level",
        ],
    )
}

fn search(words: &[Word]) -> Option<Wish> {
    const FIND: &[&str] = &[
        "find|search|lookup",
        "look|search for|up",
        "?do you know",
        "busca|buscar|encuentra",
    ];
    if has(
        words,
        &[
            "bill|bills|invoice|invoices|factura|facturas|customer|customers|sales|ventas|cliente|clientes",
        ],
    ) {
        return None;
    }
    let end = starts(words, FIND)
        .or_else(|| {
            starts(
                words,
                &[
                    "show|list|display ?me|us ?the|all",
                    "muestra|muestrame|ensename|lista ?el|la|los|las",
                ],
            )
        })
        .filter(|e| *e < words.len())?;
    let rest = drop_all(
        &words[end..],
        &["item|items|product|products|producto|productos|for|me|us|details|stock"],
    );
    Some(call(ListItems::NAME, json!({"query": name_of(&rest)?})))
}
