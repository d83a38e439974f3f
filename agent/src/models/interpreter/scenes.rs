//! Scenes of several messages: slots, choices, offers, changes, lapses.

use std::sync::Arc;

use contracts::failure::{Candidate, FailureCode, ToolFailure};
use contracts::quantity::Measure;
use contracts::tool::Tool;
use contracts::tools::{billing, inventory};
use serde_json::{Value, json};

use super::sentences::{Conversation, calls_of, fits_contract};
use super::{Interpreter, examples, tools};
use crate::language::{Language, detect};
use crate::models::{Message, Model as _, ModelAnswer, TextSink, ToolOutcome};

fn item(name: &str, quantity: &str, unit: &str, version: i64) -> Value {
    json!({
        "id": "00000000-0000-7000-8000-000000000001", "name": name, "category": "grocery", "unit": unit,
        "unit_price": {"amount": "160", "currency": "RWF", "unit": unit, "text": format!("RWF 160 per {unit}")},
        "stock": Measure::new(quantity.parse().unwrap(), unit), "low": false, "version": version,
    })
}

fn done(summary: &str) -> ToolOutcome {
    ToolOutcome::Done {
        result: json!({"summary": summary}),
    }
}

fn failed(
    code: FailureCode,
    message: &str,
    field: Option<&str>,
    candidates: Vec<Candidate>,
) -> ToolOutcome {
    let failure = ToolFailure::new(code, message, "").offering(candidates);
    ToolOutcome::Failed {
        failure: match field {
            Some(field) => failure.at(field),
            None => failure,
        },
    }
}

fn named(names: &[&str]) -> Vec<Candidate> {
    names
        .iter()
        .map(|name| Candidate {
            name: (*name).to_owned(),
            ..Candidate::default()
        })
        .collect()
}

/// The answer makes exactly this call.
#[track_caller]
fn calls(answer: &ModelAnswer, tool: &str, arguments: &Value) {
    assert_eq!(
        calls_of(answer),
        [(tool.to_owned(), arguments.clone())],
        "it said: {}",
        answer.text
    );
    assert_eq!(fits_contract(&answer.calls[0]), Ok(()));
}

/// The answer makes no call, and says this.
#[track_caller]
fn says(answer: &ModelAnswer, part: &str) {
    assert!(answer.calls.is_empty(), "called {:?}", answer.calls);
    assert!(answer.text.contains(part), "said: {}", answer.text);
}

const BILL: &str = billing::CreateBill::NAME;
const UPDATE: &str = inventory::UpdateItem::NAME;
const ADD: &str = inventory::AddItem::NAME;
const LIST: &str = inventory::ListItems::NAME;
const GET: &str = inventory::GetItem::NAME;
const DELETE: &str = inventory::DeleteItem::NAME;
const VOID: &str = billing::VoidBill::NAME;
const BOOK: &str = tools::CREATE_BOOKING;
const MOVE: &str = tools::RESCHEDULE_BOOKING;
const CANCEL: &str = tools::CANCEL_BOOKING;
const BOOKINGS: &str = tools::VIEW_BOOKINGS;
const COLLECT: &str = tools::COLLECT_PAYMENT;
const REFUND: &str = tools::REFUND_PAYMENT;
const TOP_UP: &str = tools::TOP_UP_WALLET;

#[test]
fn what_a_tool_says_is_repeated_word_for_word() {
    let mut shop = Conversation::new(Language::En);
    shop.say("Add 20kg sugar at 160 per kg to grocery");
    let told = shop.outcome(&done("Added 20 kg Sugar at RWF 160 per kg (grocery)."));
    assert_eq!(told.text, "Added 20 kg Sugar at RWF 160 per kg (grocery).");
    assert_eq!((told.calls.len(), told.note), (0, None));
    let next = shop.say("Delete soap");
    assert_eq!(
        next.calls[0].id, "call_2",
        "ids are counted over the conversation"
    );
}

#[test]
fn a_list_is_read_out_and_turned_over() {
    let mut shop = Conversation::new(Language::En);
    shop.say("list all items");
    let mut shampoo = item("Shampoo", "12", "each", 1);
    shampoo["unit_price"]["text"] = json!("RWF 250");
    shampoo["low"] = json!(true);
    let page = json!({"summary": "2 items.", "items": [shampoo, item("Sugar", "20", "kg", 1)], "next_cursor": "abc"});
    let told = shop.outcome(&ToolOutcome::Done { result: page });
    assert_eq!(
        told.text,
        "2 items.\nShampoo: 12 at RWF 250 (low)\nSugar: 20 kg at RWF 160 per kg\nThere are more: say \"more\"."
    );
    calls(&shop.say("more please"), LIST, &json!({"cursor": "abc"}));
    shop.outcome(&ToolOutcome::Done {
        result: json!({"summary": "That is all.", "items": []}),
    });
    says(&shop.say("next"), "nothing more");
}

#[test]
fn a_list_of_bills_and_a_bill_show_their_lines() {
    let money = |minor: i64| json!({"amount_minor": minor, "currency": "RWF"});
    let head = json!({"bill_id": "00000000-0000-7000-8000-000000000001", "number": "INV-12", "status": "open", "customer": "Ali", "total": money(570), "credited": money(0), "owed": money(270), "issued_at": "2026-11-20T08:00:00Z"});
    let mut shop = Conversation::new(Language::En);
    shop.say("show Ali's unpaid bills");
    let told = shop.outcome(&ToolOutcome::Done {
        result: json!({"summary": "Ali owes RWF 270.", "bills": [head]}),
    });
    assert_eq!(
        told.text,
        "Ali owes RWF 270.\nINV-12: Ali, RWF 570, open (owed RWF 270)"
    );
}

#[test]
fn a_missing_price_is_asked_for_and_the_next_message_is_it() {
    for (answer, price) in [
        ("160", "160"),
        ("160 per kg", "160"),
        ("it costs RWF 160", "160"),
        ("one hundred and sixty", "160"),
        ("at 1,600.50 each", "1600.50"),
        ("-5", "-5"),
    ] {
        let mut shop = Conversation::new(Language::En);
        says(
            &shop.say("Add a new item: sugar, 20 kg, category grocery"),
            "What does one kg of Sugar cost?",
        );
        let call = shop.say(answer);
        assert_eq!(
            call.calls[0].arguments["unit_price"],
            json!(price),
            "{answer}"
        );
        assert_eq!(call.calls[0].arguments["name"], json!("Sugar"));
        assert_eq!(call.calls[0].arguments["category"], json!("grocery"));
    }
}

#[test]
fn a_question_is_asked_again_dropped_or_left_for_a_new_request() {
    let mut shop = Conversation::new(Language::En);
    shop.say("Add a new item: sugar, 20 kg");
    says(
        &shop.say("what do you mean by that"),
        "What does one kg of Sugar cost?",
    );
    says(&shop.say("thanks"), "What does one kg of Sugar cost?");
    says(&shop.say("never mind"), "nothing was done");
    says(&shop.say("160"), "I did not understand");
    shop.say("Create a bill for Ali");
    calls(
        &shop.say("show low stock"),
        LIST,
        &json!({"low_stock": true}),
    );
}

#[test]
fn a_bill_is_filled_in_over_several_messages() {
    let mut shop = Conversation::new(Language::En);
    says(
        &shop.say("Create a bill for Ali"),
        "What is on the bill for Ali?",
    );
    says(&shop.say("sugar and 1 shampoo"), "How much sugar?");
    calls(
        &shop.say("2 kg"),
        BILL,
        &json!({"customer": "Ali", "lines": [{"item": "sugar", "quantity": "2", "unit": "kg"}, {"item": "shampoo", "quantity": "1"}]}),
    );
    let mut tienda = Conversation::new(Language::Es);
    says(
        &tienda.say("Hazle una factura a Ali"),
        "¿Qué lleva la factura de Ali?",
    );
    calls(
        &tienda.say("dos botellas de leche"),
        BILL,
        &json!({"customer": "Ali", "lines": [{"item": "leche", "quantity": "2", "unit": "bottle"}]}),
    );
}

#[test]
fn a_bill_cut_short_before_the_name_asks_for_the_name() {
    let mut shop = Conversation::new(Language::En);
    says(&shop.say("Create a bill for"), "For which customer?");
    says(&shop.say("2 kg sugar"), "For which customer?");
    says(&shop.say("Bob"), "What is on the bill for Bob?");
    calls(
        &shop.say("1 milk"),
        BILL,
        &json!({"customer": "Bob", "lines": [{"item": "milk", "quantity": "1"}]}),
    );
}

#[test]
fn a_name_the_tool_asked_about_is_not_said_twice() {
    let mut shop = Conversation::new(Language::En);
    shop.say("How much mlk is left?");
    let message = "There is no item called mlk. Did you mean Milk?";
    let like = failed(
        FailureCode::UnknownItem,
        message,
        Some("item"),
        named(&["Milk"]),
    );
    assert_eq!(shop.outcome(&like).text, message);
    calls(&shop.say("yes"), GET, &json!({"item": "Milk"}));
}

#[test]
fn of_several_unknown_items_none_becomes_a_new_one() {
    let mut shop = Conversation::new(Language::En);
    assert_eq!(shop.say("add 5 pears and 3 plums").calls.len(), 2);
    let unknown = failed(
        FailureCode::UnknownItem,
        "There is no such item.",
        Some("item"),
        vec![],
    );
    says(&shop.outcome(&unknown), "There is no such item.");
    says(&shop.say("160"), "I did not understand");
}

#[test]
fn undo_is_refused_whatever_is_open() {
    let mut shop = Conversation::new(Language::En);
    says(&shop.say("Reduce soap"), "How much soap?");
    says(&shop.say("undo"), "I cannot undo what was done");
}

#[test]
fn other_slots_are_filled_too() {
    let fill = |first: &str, second: &str| {
        let mut shop = Conversation::new(Language::En);
        let asked = shop.say(first);
        assert!(asked.calls.is_empty(), "{first} asks first");
        shop.say(second)
    };
    calls(
        &fill("Reduce soap", "2"),
        UPDATE,
        &json!({"item": "soap", "adjust": {"delta": "-2"}}),
    );
    calls(
        &fill("Increase flour", "25 kg of flour"),
        UPDATE,
        &json!({"item": "flour", "adjust": {"delta": "25", "unit": "kg"}}),
    );
    calls(
        &fill("Increase stock by 5 kg", "flour"),
        UPDATE,
        &json!({"item": "flour", "adjust": {"delta": "5", "unit": "kg"}}),
    );
    calls(
        &fill("Change the price of sugar", "170 per kg"),
        UPDATE,
        &json!({"item": "sugar", "change": {"unit_price": "170"}}),
    );
    calls(
        &fill("Rename soap", "Bar soap"),
        UPDATE,
        &json!({"item": "soap", "change": {"name": "Bar soap"}}),
    );
    calls(
        &fill("Delete an item", "soap"),
        DELETE,
        &json!({"item": "soap"}),
    );
    calls(
        &fill("void a bill", "the last one"),
        VOID,
        &json!({"bill": "last"}),
    );
    calls(&fill("void a bill", "12"), VOID, &json!({"bill": "12"}));
    calls(
        &fill("Add 10 bags of rice at 900 per kg", "25"),
        ADD,
        &json!({"name": "Rice", "unit": "kg", "unit_price": "900", "quantity": "10", "quantity_unit": "bag", "units": [{"unit": "bag", "quantity": "25", "of": "kg"}]}),
    );
    says(&fill("Reduce soap", "no"), "nothing was done");
}

#[test]
fn stock_of_an_unknown_item_becomes_a_new_item() {
    let mut shop = Conversation::new(Language::En);
    calls(
        &shop.say("Add 20kg sugar to grocery"),
        UPDATE,
        &json!({"item": "sugar", "adjust": {"delta": "20", "unit": "kg"}}),
    );
    let unknown = failed(
        FailureCode::UnknownItem,
        "There is no item called sugar.",
        Some("item"),
        vec![],
    );
    says(&shop.outcome(&unknown), "What does one kg of Sugar cost?");
    calls(
        &shop.say("160"),
        ADD,
        &json!({"name": "Sugar", "category": "grocery", "unit": "kg", "unit_price": "160", "quantity": "20"}),
    );
}

#[test]
fn a_misspelt_item_is_asked_about_before_it_becomes_a_new_one() {
    let asked = || {
        let mut shop = Conversation::new(Language::En);
        shop.say("Add 20kg suger");
        let like = failed(
            FailureCode::UnknownItem,
            "There is no item called suger.",
            Some("item"),
            named(&["Sugar"]),
        );
        says(
            &shop.outcome(&like),
            "Did you mean Sugar? Or say \"new\" to add suger as a new item.",
        );
        shop
    };
    calls(
        &asked().say("yes"),
        UPDATE,
        &json!({"item": "Sugar", "adjust": {"delta": "20", "unit": "kg"}}),
    );
    says(&asked().say("new"), "What does one kg of Suger cost?");
    says(&asked().say("no"), "nothing was done");
}

#[test]
fn a_count_names_the_version_it_was_made_at() {
    let mut shop = Conversation::new(Language::En);
    calls(
        &shop.say("We counted 18.5 kg of sugar"),
        GET,
        &json!({"item": "sugar"}),
    );
    let seen = ToolOutcome::Done {
        result: json!({"summary": "Sugar: 20 kg.", "item": item("Sugar", "20", "kg", 7), "movements": []}),
    };
    calls(
        &shop.outcome(&seen),
        UPDATE,
        &json!({"item": "Sugar", "count": {"quantity": "18.5", "unit": "kg", "expected_version": 7}}),
    );
    assert_eq!(
        shop.outcome(&done("Sugar is 18.5 kg now.")).text,
        "Sugar is 18.5 kg now."
    );
}

#[test]
fn one_of_several_candidates_is_chosen_in_many_ways() {
    for (answer, name) in [
        ("2", "Rice brown"),
        ("the second", "Rice brown"),
        ("brown", "Rice brown"),
        ("the brown one", "Rice brown"),
        ("rice white please", "Rice white"),
        ("1", "Rice white"),
        ("el segundo", "Rice brown"),
    ] {
        let mut shop = Conversation::new(Language::En);
        shop.say("Create a bill for Ali: 2kg sugar and 1 kg rice");
        let several = failed(
            FailureCode::AmbiguousItem,
            "Several items are called rice.",
            Some("lines[1].item"),
            named(&["Rice white", "Rice brown"]),
        );
        assert_eq!(
            shop.outcome(&several).text,
            "Several items are called rice.\n1. Rice white  2. Rice brown. Which one?"
        );
        let lines = json!([{"item": "sugar", "quantity": "2", "unit": "kg"}, {"item": name, "quantity": "1", "unit": "kg"}]);
        calls(
            &shop.say(answer),
            BILL,
            &json!({"customer": "Ali", "lines": lines}),
        );
    }
    let mut shop = Conversation::new(Language::En);
    shop.say("How much rice is left?");
    shop.outcome(&failed(
        FailureCode::AmbiguousItem,
        "Several items are called rice.",
        None,
        named(&["Rice white", "Rice brown"]),
    ));
    says(&shop.say("both"), "Which one?");
    says(&shop.say("rice"), "Which one?");
    calls(&shop.say("delete soap"), DELETE, &json!({"item": "soap"}));
}

#[test]
fn what_is_left_is_offered_and_a_yes_takes_it() {
    let left = || {
        vec![Candidate {
            name: "Sugar".to_owned(),
            stock: Some(Measure::new("3".parse().unwrap(), "kg")),
            ..Candidate::default()
        }]
    };
    let question = "Only 3 kg of Sugar in stock. Would you like to add 3 kg instead?";
    let asked = |field: Option<&str>| {
        let mut shop = Conversation::new(Language::En);
        shop.say("Create a bill for Ali: 1 shampoo and 5 kg sugar");
        says(
            &shop.outcome(&failed(
                FailureCode::InsufficientStock,
                question,
                field,
                left(),
            )),
            question,
        );
        shop
    };
    let with = |quantity: &str| json!({"customer": "Ali", "lines": [{"item": "shampoo", "quantity": "1"}, {"item": "sugar", "quantity": quantity, "unit": "kg"}]});
    let line = Some("lines[1].quantity");
    calls(&asked(line).say("yes please"), BILL, &with("3"));
    calls(&asked(None).say("sí"), BILL, &with("3"));
    calls(&asked(line).say("make it 2 kg"), BILL, &with("2"));
    says(&asked(line).say("no"), "nothing was done");
    let mut shop = asked(line);
    says(&shop.say("maybe"), "yes or no");
    calls(&shop.say("ok"), BILL, &with("3"));
}

#[test]
fn what_is_there_already_can_be_topped_up() {
    let mut shop = Conversation::new(Language::En);
    shop.say("Add 20kg sugar at 160 per kg to grocery");
    let offer = shop.outcome(&failed(
        FailureCode::AlreadyExists,
        "Sugar is there already.",
        Some("name"),
        named(&["Sugar"]),
    ));
    assert_eq!(
        offer.text,
        "Sugar is there already. Add 20 kg to its stock?"
    );
    calls(
        &shop.say("yes"),
        UPDATE,
        &json!({"item": "Sugar", "adjust": {"delta": "20", "unit": "kg"}}),
    );
}

#[test]
fn a_unit_is_tried_under_its_other_name_once() {
    let mut shop = Conversation::new(Language::Es);
    calls(
        &shop.say("Quiero dos botellas de leche"),
        BILL,
        &json!({"lines": [{"item": "leche", "quantity": "2", "unit": "bottle"}]}),
    );
    let refused = failed(
        FailureCode::UnknownUnit,
        "La leche no se vende por bottle.",
        Some("lines[0].unit"),
        vec![],
    );
    calls(
        &shop.outcome(&refused),
        BILL,
        &json!({"lines": [{"item": "leche", "quantity": "2", "unit": "botella"}]}),
    );
    says(&shop.outcome(&refused), "La leche no se vende");
}

#[test]
fn no_lapse_and_not_knowing_are_told_apart() {
    let after = |outcome: &ToolOutcome| {
        let mut shop = Conversation::new(Language::En);
        shop.say("Create a bill for Ali: 2kg sugar");
        let told = shop.outcome(outcome);
        (shop, told)
    };
    assert_eq!(
        after(&ToolOutcome::Denied { reason: None }).1.text,
        "All right, nothing was done."
    );
    let (mut shop, told) = after(&ToolOutcome::Expired);
    says(&told, "lapsed and nothing was done");
    calls(
        &shop.say("again"),
        BILL,
        &json!({"customer": "Ali", "lines": [{"item": "sugar", "quantity": "2", "unit": "kg"}]}),
    );
    says(&after(&ToolOutcome::Unknown).1, "please do not repeat it");
    let mut tienda = Conversation::new(Language::Es);
    tienda.say("Anula la factura 12");
    assert_eq!(
        tienda.outcome(&ToolOutcome::Denied { reason: None }).text,
        "De acuerdo, no se hizo nada."
    );
}

/// What a superseded bill of 2 kg sugar and 1 shampoo for Ali becomes.
fn changed(change: &str, language: Language) -> ModelAnswer {
    let mut shop = Conversation::new(language);
    shop.say("Create a bill for Ali: 2kg sugar and 1 shampoo");
    shop.record(&ToolOutcome::Superseded);
    shop.say(change)
}

#[test]
fn a_superseded_bill_is_asked_anew_with_the_change() {
    let bill = |customer: &str, lines: Value| json!({"customer": customer, "lines": lines});
    let shampoo = json!({"item": "shampoo", "quantity": "1"});
    let three = json!({"item": "sugar", "quantity": "3", "unit": "kg"});
    for text in [
        "yes, but make it 3 kg",
        "make it 3 kg",
        "3 kg instead",
        "no, make it 3kg",
        "3 kg of sugar",
        "make the sugar 3 kg",
        "3 kg instead of 2",
        "change the sugar to 3 kg",
        "sugar should be 3 kg",
    ] {
        calls(
            &changed(text, Language::En),
            BILL,
            &bill("Ali", json!([three, shampoo])),
        );
    }
    for text in [
        "sí, pero que sean 3 kg",
        "mejor 3 kg",
        "que sean 3 kg",
        "3 kg en vez de 2",
    ] {
        calls(
            &changed(text, Language::Es),
            BILL,
            &bill("Ali", json!([three, shampoo])),
        );
    }
}

#[test]
fn goods_customers_and_prices_of_a_superseded_bill_change_too() {
    let bill = |customer: &str, lines: Value| json!({"customer": customer, "lines": lines});
    let sugar = json!({"item": "sugar", "quantity": "2", "unit": "kg"});
    let shampoo = json!({"item": "shampoo", "quantity": "1"});
    for text in [
        "without the shampoo",
        "yes, but without shampoo",
        "remove the shampoo",
        "no shampoo",
        "sin shampoo",
    ] {
        calls(
            &changed(text, Language::En),
            BILL,
            &bill("Ali", json!([sugar])),
        );
    }
    for text in [
        "for Aline instead",
        "yes, for Aline",
        "make it for Aline",
        "for Aline instead of Ali",
    ] {
        calls(
            &changed(text, Language::En),
            BILL,
            &bill("Aline", json!([sugar, shampoo])),
        );
    }
    for text in [
        "add 2 eggs too",
        "yes, and 2 eggs",
        "plus 2 eggs",
        "add 2 eggs to it",
        "also 2 eggs",
    ] {
        calls(
            &changed(text, Language::En),
            BILL,
            &bill(
                "Ali",
                json!([sugar, shampoo, {"item": "eggs", "quantity": "2"}]),
            ),
        );
    }
    calls(
        &changed("2 shampoos instead", Language::En),
        BILL,
        &bill("Ali", json!([sugar, {"item": "shampoo", "quantity": "2"}])),
    );
    calls(
        &changed("rice instead of sugar", Language::En),
        BILL,
        &bill(
            "Ali",
            json!([{"item": "rice", "quantity": "2", "unit": "kg"}, shampoo]),
        ),
    );
    let priced = json!({"item": "sugar", "quantity": "2", "unit": "kg", "unit_price": "150"});
    calls(
        &changed("sugar at 150 per kg", Language::En),
        BILL,
        &bill("Ali", json!([priced, shampoo])),
    );
    let mut with_discount = bill("Ali", json!([sugar, shampoo]));
    with_discount["discount"] = json!("50");
    calls(
        &changed("yes, with 50 off", Language::En),
        BILL,
        &with_discount,
    );
}

#[test]
fn a_change_that_can_mean_several_lines_asks_which() {
    let mut shop = Conversation::new(Language::En);
    shop.say("Create a bill for Ali: 2kg sugar and 1 shampoo");
    shop.record(&ToolOutcome::Superseded);
    says(&shop.say("make it 3"), "1. sugar  2. shampoo. Which one?");
    let lines = json!([{"item": "sugar", "quantity": "2", "unit": "kg"}, {"item": "shampoo", "quantity": "3"}]);
    calls(
        &shop.say("the second"),
        BILL,
        &json!({"customer": "Ali", "lines": lines}),
    );
}

#[test]
fn a_change_that_fits_nothing_changes_nothing() {
    says(
        &changed("3 kg of rice", Language::En),
        "rice is not part of it",
    );
    says(
        &changed("yes but only if Aline agrees", Language::En),
        "nothing was done",
    );
    says(
        &changed("without the sugar and the shampoo", Language::En),
        "nothing is left",
    );
    calls(
        &changed("show low stock instead", Language::En),
        LIST,
        &json!({"low_stock": true}),
    );
    let mut shop = Conversation::new(Language::En);
    shop.say("Void bill 12");
    shop.record(&ToolOutcome::Superseded);
    calls(&shop.say("no, 13 instead"), VOID, &json!({"bill": "13"}));
}

#[test]
fn an_unclear_change_can_be_said_again() {
    let mut shop = Conversation::new(Language::En);
    shop.say("Create a bill for Ali: 2kg sugar");
    shop.record(&ToolOutcome::Superseded);
    says(&shop.say("3 kg of rice"), "rice is not part of it");
    calls(
        &shop.say("make it 3 kg"),
        BILL,
        &json!({"customer": "Ali", "lines": [{"item": "sugar", "quantity": "3", "unit": "kg"}]}),
    );
}

#[test]
fn only_what_changes_a_call_gives_its_question_up() {
    let mut shop = Conversation::new(Language::En);
    let call = shop
        .say("Create a bill for Ali: 2kg sugar and 1 shampoo")
        .calls[0]
        .clone();
    let today = shop.request.now.date_naive();
    for (text, language, can) in [
        ("make it 3 kg", Language::En, true),
        ("yes, but 3 kg of sugar", Language::En, true),
        ("without the shampoo", Language::En, true),
        ("for Aline instead", Language::En, true),
        ("make it 3", Language::En, true),
        ("sin el shampoo", Language::Es, true),
        ("make it 2 unicorns", Language::En, false),
        ("1 eggs", Language::En, false),
        ("without the eggs", Language::En, false),
        ("without the sugar and the shampoo", Language::En, false),
        ("yes but only if Aline agrees", Language::En, false),
        ("que sean 2 unicornios", Language::Es, false),
    ] {
        assert_eq!(
            Interpreter.can_change(&call, text, language, today),
            can,
            "{text}"
        );
    }
}

#[test]
fn a_tool_that_is_not_offered_is_not_called() {
    let mut shop = Conversation::new(Language::En);
    Arc::make_mut(&mut shop.request.tools)
        .retain(|t| t.read_only && t.name.starts_with("inventory"));
    says(
        &shop.say("Create a bill for Ali: 2kg sugar"),
        "I cannot do that here. I can show stock and prices. Try \"Show low stock\".",
    );
    says(
        &shop.say("We counted 18 kg of sugar"),
        "I cannot do that here.",
    );
    calls(
        &shop.say("show low stock"),
        LIST,
        &json!({"low_stock": true}),
    );
}

#[test]
fn a_customer_is_never_sent_a_customer() {
    let mut shop = Conversation::new(Language::En);
    for tool in Arc::make_mut(&mut shop.request.tools) {
        if let Some(properties) = tool.input_schema["properties"].as_object_mut() {
            properties.remove("customer");
        }
    }
    calls(
        &shop.say("I want 3 eggs"),
        BILL,
        &json!({"lines": [{"item": "eggs", "quantity": "3"}]}),
    );
    says(
        &shop.say("Create a bill for Ali: 3 eggs"),
        "only for yourself",
    );
}

#[test]
fn the_other_languages_are_answered_in_english() {
    says(&Conversation::new(Language::Fr).say("bonjour"), "Hello.");
    says(
        &Conversation::new(Language::Sw).say("habari"),
        "I can show stock",
    );
    calls(
        &Conversation::new(Language::Es).say("How much sugar is left?"),
        GET,
        &json!({"item": "sugar"}),
    );
}

#[test]
fn the_examples_are_understood() {
    for language in [Language::En, Language::Es] {
        for example in examples(language) {
            assert!(
                !Conversation::new(language).say(example).calls.is_empty(),
                "{example}"
            );
            assert_eq!(detect(example), Some(language), "{example}");
        }
    }
}

#[test]
fn the_pieces_of_a_text_are_the_text() {
    struct Pieces(Vec<String>);
    impl TextSink for Pieces {
        fn delta(&mut self, piece: &str) {
            assert!(!piece.is_empty());
            self.0.push(piece.to_owned());
        }
        fn start_over(&mut self) {
            panic!("rules do not change their mind");
        }
        fn fell_back(&mut self, reason: &str) {
            panic!("there is nothing behind the rules: {reason}");
        }
    }
    let mut shop = Conversation::new(Language::En);
    shop.request.messages.push(Message::User {
        text: "help".to_owned(),
    });
    let mut pieces = Pieces(Vec::new());
    let answer =
        futures::executor::block_on(Interpreter.answer(&shop.request, &mut pieces)).unwrap();
    assert!(pieces.0.len() > 10);
    assert_eq!(pieces.0.concat(), answer.text);
}

#[test]
fn a_booking_is_filled_in_over_several_messages() {
    let mut shop = Conversation::new(Language::En);
    says(&shop.say("Book the chair for Ali"), "For which day?");
    says(&shop.say("tomorrow"), "For what time?");
    says(&shop.say("at 8"), "At 08:00 in the morning or at 20:00?");
    calls(
        &shop.say("in the morning"),
        BOOK,
        &json!({"customer": "Ali", "resource": "chair", "date": "2026-11-21", "time": "08:00"}),
    );
    let mut shop = Conversation::new(Language::En);
    says(&shop.say("I need an appointment"), "For which day?");
    calls(
        &shop.say("tomorrow at half past two in the afternoon please"),
        BOOK,
        &json!({"date": "2026-11-21", "time": "14:30"}),
    );
    let mut tienda = Conversation::new(Language::Es);
    says(
        &tienda.say("Reserva una mesa mañana a las 8"),
        "¿A las 08:00 de la mañana o a las 20:00?",
    );
    calls(
        &tienda.say("de la noche"),
        BOOK,
        &json!({"resource": "mesa", "date": "2026-11-21", "time": "20:00"}),
    );
}

#[test]
fn an_hour_asked_for_may_come_bare_and_another_request_is_no_hour() {
    for (answer, time) in [
        ("3pm", "15:00"),
        ("at 15:00", "15:00"),
        ("10", "10:00"),
        ("noon", "12:00"),
        ("half past three in the afternoon", "15:30"),
    ] {
        let mut shop = Conversation::new(Language::En);
        says(&shop.say("Reserve a table for tomorrow"), "For what time?");
        calls(
            &shop.say(answer),
            BOOK,
            &json!({"resource": "table", "date": "2026-11-21", "time": time}),
        );
    }
    let mut shop = Conversation::new(Language::En);
    shop.say("Reserve a table for tomorrow");
    says(&shop.say("whenever you like"), "For what time?");
    calls(
        &shop.say("show today's bookings"),
        BOOKINGS,
        &json!({"from": "2026-11-20", "to": "2026-11-20"}),
    );
}

#[test]
fn a_booking_is_changed_before_it_is_agreed_to() {
    let changed = |change: &str, wanted: Value| {
        let mut shop = Conversation::new(Language::En);
        shop.say("Book the chair tomorrow at 3pm for Ali");
        shop.record(&ToolOutcome::Superseded);
        calls(&shop.say(change), BOOK, &wanted);
    };
    let at = |date: &str, time: &str| json!({"customer": "Ali", "resource": "chair", "date": date, "time": time});
    changed("yes, but make it 4pm", at("2026-11-21", "16:00"));
    changed("make it 4", at("2026-11-21", "16:00"));
    changed("at half past four instead", at("2026-11-21", "16:30"));
    changed("10am instead of 3pm", at("2026-11-21", "10:00"));
    changed("on Monday instead", at("2026-11-23", "15:00"));
    changed("yes but on Monday at 10", at("2026-11-23", "10:00"));
    changed(
        "for Aline instead",
        json!({"customer": "Aline", "resource": "chair", "date": "2026-11-21", "time": "15:00"}),
    );
    changed(
        "chair 2 instead",
        json!({"customer": "Ali", "resource": "chair 2", "date": "2026-11-21", "time": "15:00"}),
    );
    changed(
        "for 2 hours",
        json!({"customer": "Ali", "resource": "chair", "date": "2026-11-21", "time": "15:00", "minutes": 120}),
    );
    let mut shop = Conversation::new(Language::En);
    shop.say("Book the chair tomorrow at 3pm for Ali");
    shop.record(&ToolOutcome::Superseded);
    says(&shop.say("make it 3 kg"), "I did not understand the change");
    let mut shop = Conversation::new(Language::En);
    shop.say("Move Ali's booking to Friday at 10");
    shop.record(&ToolOutcome::Superseded);
    calls(
        &shop.say("yes, but make it 11"),
        MOVE,
        &json!({"customer": "Ali", "date": "2026-11-20", "time": "11:00"}),
    );
}

#[test]
fn a_taken_time_offers_others() {
    let taken = |field| {
        failed(
            FailureCode::SlotTaken,
            "The chair is taken on Saturday at 15:00.",
            field,
            named(&["2026-11-21 14:30", "2026-11-21 15:30", "2026-11-23 09:00"]),
        )
    };
    let asked = || {
        let mut shop = Conversation::new(Language::En);
        shop.say("Book the chair tomorrow at 3pm");
        says(&shop.outcome(&taken(Some("time"))), "Which one?");
        shop
    };
    let at = |date: &str, time: &str| json!({"resource": "chair", "date": date, "time": time});
    calls(&asked().say("the second"), BOOK, &at("2026-11-21", "15:30"));
    calls(
        &asked().say("half past two"),
        BOOK,
        &at("2026-11-21", "14:30"),
    );
    calls(&asked().say("3"), BOOK, &at("2026-11-23", "09:00"));
    calls(&asked().say("at 5pm"), BOOK, &at("2026-11-21", "17:00"));
    says(&asked().say("no"), "nothing was done");
}

#[test]
fn one_of_several_bookings_is_chosen() {
    let mut shop = Conversation::new(Language::En);
    calls(
        &shop.say("Cancel Ali's booking"),
        CANCEL,
        &json!({"customer": "Ali"}),
    );
    let several = failed(
        FailureCode::AmbiguousBooking,
        "Ali has two bookings.",
        Some("customer"),
        named(&["BK-7 Chair 1 Friday 10:00", "BK-9 Chair 1 Monday 11:00"]),
    );
    says(&shop.outcome(&several), "Which one?");
    calls(
        &shop.say("2"),
        CANCEL,
        &json!({"booking": "BK-9 Chair 1 Monday 11:00"}),
    );
    let mut shop = Conversation::new(Language::En);
    says(&shop.say("cancel the booking"), "Which booking?");
    calls(&shop.say("Ali's"), CANCEL, &json!({"customer": "Ali"}));
    let mut shop = Conversation::new(Language::En);
    says(
        &shop.say("Move the booking to Friday at 10"),
        "Which booking?",
    );
    calls(
        &shop.say("BK-7"),
        MOVE,
        &json!({"booking": "BK-7", "date": "2026-11-20", "time": "10:00"}),
    );
}

#[test]
fn a_payment_is_filled_in_and_changed() {
    let mut shop = Conversation::new(Language::En);
    says(&shop.say("Ali paid 500"), "How is it paid");
    calls(
        &shop.say("with mobile money"),
        COLLECT,
        &json!({"customer": "Ali", "amount": "500", "method": "mobile_money"}),
    );
    shop.record(&ToolOutcome::Superseded);
    calls(
        &shop.say("yes, but make it 300"),
        COLLECT,
        &json!({"customer": "Ali", "amount": "300", "method": "mobile_money"}),
    );
    shop.record(&ToolOutcome::Superseded);
    calls(
        &shop.say("in cash instead"),
        COLLECT,
        &json!({"customer": "Ali", "amount": "300", "method": "cash"}),
    );
    shop.record(&ToolOutcome::Superseded);
    calls(
        &shop.say("from Aline instead"),
        COLLECT,
        &json!({"customer": "Aline", "amount": "300", "method": "cash"}),
    );
    shop.record(&ToolOutcome::Superseded);
    says(&shop.say("2 eggs too"), "I did not understand the change");
    let mut shop = Conversation::new(Language::En);
    says(&shop.say("Collect 500 in cash"), "From which customer?");
    calls(
        &shop.say("Jean Paul"),
        COLLECT,
        &json!({"customer": "Jean Paul", "amount": "500", "method": "cash"}),
    );
    let mut shop = Conversation::new(Language::En);
    says(&shop.say("Top up Ali's wallet"), "How much money?");
    says(&shop.say("1.500"), "I cannot tell whether you mean 1500");
    says(&shop.say("1,500 francs"), "How is it paid");
    calls(
        &shop.say("cash"),
        TOP_UP,
        &json!({"customer": "Ali", "amount": "1500", "method": "cash"}),
    );
    let mut shop = Conversation::new(Language::En);
    says(&shop.say("refund a bill"), "Which bill?");
    calls(&shop.say("12"), REFUND, &json!({"bill": "12"}));
    shop.record(&ToolOutcome::Superseded);
    calls(
        &shop.say("yes but to his wallet"),
        REFUND,
        &json!({"bill": "12", "to": "wallet"}),
    );
}

#[test]
fn a_wallet_that_holds_less_offers_what_it_holds() {
    let mut shop = Conversation::new(Language::En);
    shop.say("Collect 500 from Ali from his wallet");
    let held = Candidate {
        name: "Ali".to_owned(),
        amount: Some(
            serde_json::from_value(json!({"amount_minor": 300, "currency": "RWF"})).unwrap(),
        ),
        ..Candidate::default()
    };
    let short = failed(
        FailureCode::InsufficientFunds,
        "Ali's wallet holds RWF 300. Take that?",
        Some("amount"),
        vec![held],
    );
    says(&shop.outcome(&short), "Take that?");
    calls(
        &shop.say("yes"),
        COLLECT,
        &json!({"customer": "Ali", "amount": "300", "method": "wallet"}),
    );
}

#[test]
fn people_places_and_tickets_are_asked_for_what_they_lack() {
    let mut shop = Conversation::new(Language::En);
    says(&shop.say("Add a customer"), "What is the customer called?");
    calls(
        &shop.say("Beatriz, 0788 123 456"),
        "create_customer",
        &json!({"name": "Beatriz", "phone": "0788123456"}),
    );
    let mut shop = Conversation::new(Language::En);
    says(&shop.say("How far is the Remera branch?"), "From where?");
    calls(
        &shop.say("from Kimironko"),
        "calculate_distance",
        &json!({"from": "Kimironko", "to": "Remera"}),
    );
    let mut shop = Conversation::new(Language::En);
    says(&shop.say("Open a ticket"), "What is it about?");
    calls(
        &shop.say("The fridge is broken"),
        "create_ticket",
        &json!({"subject": "The fridge is broken"}),
    );
}

#[test]
fn what_is_not_offered_is_said_so() {
    for text in [
        "Book the 3pm slot tomorrow",
        "Collect 5000 RWF from +250788123456",
        "Who is Ali?",
        "Find a branch near me",
        "I want to talk to a person",
    ] {
        let mut shop = Conversation::new(Language::En);
        let tools: Vec<_> = shop
            .request
            .tools
            .iter()
            .filter(|t| t.name.starts_with("inventory_"))
            .cloned()
            .collect();
        shop.request.tools = Arc::new(tools);
        says(&shop.say(text), "I cannot do that here.");
    }
}

#[test]
fn a_list_of_bookings_is_read_out_and_turned_over() {
    let mut shop = Conversation::new(Language::En);
    shop.say("show today's bookings");
    let booking = json!({"reference": "BK-7", "when": "Friday 2026-11-20 15:00–15:30", "resource": "Chair 1", "customer": "Ali", "status": "confirmed"});
    let told = shop.outcome(&ToolOutcome::Done {
        result: json!({"summary": "1 booking today.", "bookings": [booking], "next_cursor": "abc"}),
    });
    assert_eq!(
        told.text,
        "1 booking today.\nBK-7: Friday 2026-11-20 15:00–15:30, Chair 1, Ali\nThere are more: say \"more\"."
    );
    calls(
        &shop.say("more"),
        BOOKINGS,
        &json!({"from": "2026-11-20", "to": "2026-11-20", "cursor": "abc"}),
    );
}

#[test]
fn a_time_the_clock_shows_twice_is_asked_about() {
    let mut shop = Conversation::new(Language::En);
    shop.say("Book the chair on 25 November at 1:30 am");
    let twice = failed(
        FailureCode::AmbiguousTime,
        "The clock shows 01:30 twice on that day.",
        Some("time"),
        named(&["01:30+02:00", "01:30+01:00"]),
    );
    says(&shop.outcome(&twice), "Which one?");
    calls(
        &shop.say("the first"),
        BOOK,
        &json!({"resource": "chair", "date": "2026-11-25", "time": "01:30+02:00"}),
    );
}
