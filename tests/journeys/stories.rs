//! The four stories, told in plain sentences: here to the interpreter, in `providers.rs` to scripted language models.

use contracts::http::chat::{ChatStatus, ToolCallStatus};
use e2e::world::{Setting, World};
use serde_json::json;

const BILL: &str = "Create a bill for Ali: 2kg sugar and 1 shampoo";
const QUESTION: &str = "Are you sure you want to create a bill for Ali: 2 kg Sugar @ 160 = 320, 1 Shampoo = 250 (Total: RWF 570)? Reply 'yes' to confirm.";

/// Every story that is the same whoever answers, as the tests of a module: `told!(teller)` tells each with `teller(story).await`.
macro_rules! told {
    ($teller:path) => {
        crate::stories::told! { $teller:
            an_item_is_added_by_a_sentence
            a_bill_is_made_only_after_yes
            no_means_no
            maybe_is_asked_again_and_yes_still_counts
            a_question_lapses_after_five_minutes
            too_little_stock_is_answered_with_what_is_left
            a_changed_price_is_asked_about_anew
            another_sale_in_between_is_not_asked_about
            a_change_of_mind_is_a_new_question
            another_wish_leaves_the_question_open
            a_bare_yes_with_two_questions_asks_which
            stock_is_queried_in_plain_words
            stock_is_updated_in_plain_words
            spanish_works_the_same
            what_makes_no_sense_changes_nothing
        }
    };
    ($teller:path: $($story:ident)*) => {
        $(
            #[tokio::test]
            async fn $story() {
                $teller(crate::stories::scenes::$story).await;
            }
        )*
    };
}
pub(crate) use told;

async fn by_rules(story: impl AsyncFnOnce(&World)) {
    story(&World::open().await).await;
}

told!(by_rules);

async fn add_sugar(world: &World) {
    world
        .say("s", "Add 20kg sugar at 160 per kg to grocery")
        .await;
}

pub(crate) mod scenes {
    use super::*;

    pub(crate) async fn an_item_is_added_by_a_sentence(world: &World) {
        let answer = world
            .say("s", "Add 20kg sugar at 160 per kg to grocery")
            .await;
        assert_eq!(answer.status, ChatStatus::Success);
        assert_eq!(
            answer.response,
            "Added 20 kg Sugar at RWF 160 per kg (grocery)."
        );
        assert_eq!(
            world
                .number("select count(*) from shop.items where name = 'Sugar'")
                .await,
            1
        );
        assert_eq!(
            world
                .text("select category from shop.items where name = 'Sugar'")
                .await,
            "grocery"
        );
        assert_eq!(world.on_hand("Sugar").await, "20");
        assert_eq!(world.number("select count(*) from shop.audit_log where tool = 'inventory_add_item' and requested_by = 'owner'").await, 1);
    }

    pub(crate) async fn a_bill_is_made_only_after_yes(world: &World) {
        add_sugar(world).await;
        let asked = world.say("s", BILL).await;
        assert_eq!(asked.status, ChatStatus::PendingConfirmation);
        assert_eq!(asked.response, QUESTION);
        assert_eq!(asked.confirmations.len(), 1);
        assert_eq!(asked.confirmations[0].message, QUESTION);
        assert_eq!(world.bills().await, 0, "nothing happens before the answer");

        let done = world.say("s", "yes").await;
        assert_eq!(done.status, ChatStatus::Success);
        assert_eq!(
            done.run_id, asked.run_id,
            "the answer resumes the run that asked"
        );
        let call = &done.tool_calls[0];
        assert_eq!(call.status, ToolCallStatus::Done);
        assert_eq!(call.result["number"], "INV-1");
        assert!(call.result["bill_id"].is_string());
        assert_eq!(world.bills().await, 1);
        assert_eq!(
            (
                world.on_hand("Sugar").await.as_str(),
                world.on_hand("Shampoo").await.as_str()
            ),
            ("18", "11")
        );
        let audit = "select count(*) from shop.audit_log where tool = 'billing_create_bill' and requested_by = 'owner' and decided_by = 'owner' and decided_via = 'agent'";
        assert_eq!(world.number(audit).await, 1);
    }

    pub(crate) async fn no_means_no(world: &World) {
        add_sugar(world).await;
        world.say("s", BILL).await;
        let answer = world.say("s", "no").await;
        assert_eq!(answer.status, ChatStatus::Cancelled);
        assert_eq!(answer.tool_calls[0].status, ToolCallStatus::Denied);
        assert_eq!(world.bills().await, 0);
        assert_eq!(world.on_hand("Sugar").await, "20");
        assert_eq!(
            world.text("select status from shop.confirmations").await,
            "declined"
        );
    }

    pub(crate) async fn maybe_is_asked_again_and_yes_still_counts(world: &World) {
        add_sugar(world).await;
        let asked = world.say("s", BILL).await;
        let again = world.say("s", "maybe").await;
        assert_eq!(again.status, ChatStatus::PendingConfirmation);
        assert_eq!(again.response, QUESTION);
        assert_eq!(again.confirmations, asked.confirmations);
        assert_eq!(world.bills().await, 0);
        assert_eq!(world.say("s", "yes").await.status, ChatStatus::Success);
        assert_eq!(world.bills().await, 1);
    }

    pub(crate) async fn a_question_lapses_after_five_minutes(world: &World) {
        add_sugar(world).await;
        let asked = world.say("s", BILL).await;
        world.advance(301);
        let late = world.say("s", "yes").await;
        assert_ne!(late.status, ChatStatus::PendingConfirmation);
        assert!(
            ["5 minutes", "lapsed", "expired", "in time"]
                .iter()
                .any(|words| late.response.contains(words)),
            "{}",
            late.response
        );
        assert_eq!(world.bills().await, 0);
        let id = asked.confirmations[0].approval_id;
        let gone = world
            .post(
                &format!("/agent/approvals/{id}"),
                &json!({"decision": "approve"}),
            )
            .await;
        assert_eq!(gone.status(), 410);
        assert_eq!(world.bills().await, 0);
    }

    pub(crate) async fn too_little_stock_is_answered_with_what_is_left(world: &World) {
        world
            .say("s", "Add 3kg sugar at 160 per kg to grocery")
            .await;
        let answer = world.say("s", "Create a bill for Ali: 5kg sugar").await;
        assert_eq!(
            answer.response,
            "Only 3 kg of Sugar in stock. Would you like to add 3 kg instead?"
        );
        let asked = world.say("s", "yes").await;
        assert_eq!(asked.status, ChatStatus::PendingConfirmation);
        assert!(
            asked.response.contains("3 kg Sugar @ 160 = 480"),
            "{}",
            asked.response
        );
        world.say("s", "yes").await;
        assert_eq!(world.on_hand("Sugar").await, "0");
    }

    pub(crate) async fn a_changed_price_is_asked_about_anew(world: &World) {
        add_sugar(world).await;
        world.say("s", BILL).await;
        world.set_price("Sugar", 170).await;
        let anew = world.say("s", "yes").await;
        assert_eq!(anew.status, ChatStatus::PendingConfirmation);
        assert!(
            anew.response.contains("2 kg Sugar @ 170 = 340"),
            "{}",
            anew.response
        );
        assert_eq!(world.bills().await, 0);
        assert_eq!(world.say("s", "yes").await.status, ChatStatus::Success);
        assert_eq!(world.number("select total from shop.bills").await, 590);
    }

    pub(crate) async fn another_sale_in_between_is_not_asked_about(world: &World) {
        add_sugar(world).await;
        world.say("s", BILL).await;
        world
            .say("other", "Create a bill for Aline: 1 kg sugar")
            .await;
        assert_eq!(world.say("other", "yes").await.status, ChatStatus::Success);
        assert_eq!(world.say("s", "yes").await.status, ChatStatus::Success);
        assert_eq!(world.bills().await, 2);
        assert_eq!(world.on_hand("Sugar").await, "17");
    }

    pub(crate) async fn a_change_of_mind_is_a_new_question(world: &World) {
        add_sugar(world).await;
        world.say("s", "Create a bill for Ali: 2kg sugar").await;
        let anew = world.say("s", "yes, but make it 3 kg").await;
        assert_eq!(anew.status, ChatStatus::PendingConfirmation);
        assert!(
            anew.response.contains("3 kg Sugar @ 160 = 480"),
            "{}",
            anew.response
        );
        assert_eq!(world.bills().await, 0);
        world.say("s", "yes").await;
        assert_eq!(world.number("select total from shop.bills").await, 480);
    }

    pub(crate) async fn another_wish_leaves_the_question_open(world: &World) {
        add_sugar(world).await;
        world.say("s", BILL).await;
        let answer = world.say("s", "What's in the beauty category?").await;
        assert_eq!(answer.status, ChatStatus::Success);
        assert!(answer.response.contains("Shampoo"), "{}", answer.response);
        assert_eq!(answer.confirmations.len(), 1, "the question stands");
        assert_eq!(world.say("s", "yes").await.status, ChatStatus::Success);
        assert_eq!(world.bills().await, 1);
    }

    pub(crate) async fn a_bare_yes_with_two_questions_asks_which(world: &World) {
        add_sugar(world).await;
        world.say("s", "Create a bill for Ali: 2kg sugar").await;
        world.say("s", "Create a bill for Aline: 1 shampoo").await;
        let which = world.say("s", "yes").await;
        assert_eq!(which.status, ChatStatus::PendingConfirmation);
        assert!(
            which.response.contains("1. ") && which.response.contains("2. "),
            "{}",
            which.response
        );
        assert_eq!(world.bills().await, 0);
        assert_eq!(
            world.say("s", "the second").await.status,
            ChatStatus::Success
        );
        assert_eq!(world.bills().await, 1);
        assert_eq!(world.number("select total from shop.bills").await, 250);
    }

    pub(crate) async fn stock_is_queried_in_plain_words(world: &World) {
        add_sugar(world).await;
        let low = world
            .say("s", "Show items with low stock under 5 units")
            .await;
        assert!(
            low.response.contains("Soap") && !low.response.contains("Rice"),
            "{}",
            low.response
        );
        let beauty = world.say("s", "What's in the beauty category?").await;
        assert!(
            beauty.response.contains("Shampoo")
                && beauty.response.contains("Soap")
                && !beauty.response.contains("Milk"),
            "{}",
            beauty.response
        );
        assert_eq!(
            world
                .number("select count(*) from shop.audit_log where requested_by = 'owner'")
                .await,
            1,
            "looking leaves no trace"
        );
    }

    pub(crate) async fn stock_is_updated_in_plain_words(world: &World) {
        world.say("s", "Increase flour stock by 25kg").await;
        assert_eq!(world.on_hand("Flour").await, "75");
        world
            .say("s", "Add 10 kg brown flour at 900 per kg to grocery")
            .await;
        let which = world.say("s", "Increase flower stock by 1kg").await;
        assert_eq!(
            world.on_hand("Flour").await,
            "75",
            "a misspelt name that could mean two changes nothing: {}",
            which.response
        );
    }

    pub(crate) async fn spanish_works_the_same(world: &World) {
        let asked = world.say("s", "Quiero dos botellas de leche").await;
        assert_eq!(
            asked.status,
            ChatStatus::PendingConfirmation,
            "{}",
            asked.response
        );
        assert!(
            asked.response.contains("Milk") && asked.response.starts_with('¿'),
            "{}",
            asked.response
        );
        let done = world.say("s", "sí").await;
        assert_eq!(done.status, ChatStatus::Success, "{}", done.response);
        assert_eq!(world.on_hand("Milk").await, "22");
    }

    pub(crate) async fn what_makes_no_sense_changes_nothing(world: &World) {
        let before = world.number("select count(*) from shop.audit_log").await;
        for (sentence, says) in [
            ("Add 20kg sugar at -160 per kg to grocery", "negative"),
            ("Create a bill for Ali: 2 kg unobtainium", "unobtainium"),
            ("flurb the wibble", ""),
        ] {
            let answer = world.say("s", sentence).await;
            assert_ne!(
                answer.status,
                ChatStatus::PendingConfirmation,
                "{sentence}: {}",
                answer.response
            );
            assert!(
                answer.response.to_lowercase().contains(says),
                "{sentence}: {}",
                answer.response
            );
        }
        assert_eq!(
            world.number("select count(*) from shop.audit_log").await,
            before
        );
        assert_eq!(world.bills().await, 0);
        let misspelt = world.say("s", "Create a bill for Ali: 1 shampo").await;
        assert!(
            misspelt.response.contains("1 Shampoo = 250"),
            "{}",
            misspelt.response
        );
    }
}

/// Only the rules know beforehand what they can make of a change; a language model is trusted with any.
#[tokio::test]
async fn a_change_that_fits_nothing_leaves_the_question_open() {
    let world = World::open().await;
    add_sugar(&world).await;
    let asked = world.say("s", BILL).await;
    for text in ["make it 2 unicorns", "1 eggs"] {
        let answer = world.say("s", text).await;
        assert_eq!(answer.confirmations, asked.confirmations, "{text}");
        assert!(
            answer.tool_calls.is_empty(),
            "{text} is no request of its own"
        );
    }
    assert_eq!(world.bills().await, 0);
    let done = world.say("s", "yes").await;
    assert_eq!(done.status, ChatStatus::Success);
    assert_eq!(done.run_id, asked.run_id);
    assert_eq!(world.number("select total from shop.bills").await, 570);
}

#[tokio::test]
async fn a_restart_of_a_session_keeps_only_the_last_exchanges_in_view() {
    let world = World::open_with(Setting {
        variables: [("SESSION_CONTEXT_SIZE", "2".to_owned())].into(),
        ..Setting::default()
    })
    .await;
    for _ in 0..4 {
        world.say("s", "What's in the beauty category?").await;
    }
    let users = "select count(*) from agent.agent_sessions s, jsonb_array_elements(s.conversation_history) m where m ->> 'role' = 'user'";
    assert_eq!(world.number(users).await, 2);
    assert_eq!(
        world
            .number("select count(*) from agent.agent_messages")
            .await,
        8,
        "the transcript keeps everything"
    );
}
