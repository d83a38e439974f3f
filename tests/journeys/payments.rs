//! Payments that leave the process, with providers that are late, wrong, twice or gone: one settled payment or a visible unknown, never two,
//! never lost.

use e2e::world::mcp::{asked, done, yes};
use e2e::world::momo::{self, Momo, reference_of};
use e2e::world::stripe::{self, Stripe, WEBHOOK_SECRET};
use e2e::world::{Setting, World, until};
use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

/// A shop with one provider of each kind.
struct Stage {
    world: World,
    momo: Momo,
    stripe: Stripe,
}

impl Stage {
    async fn open() -> Stage {
        let (momo, stripe) = (Momo::open().await, Stripe::open().await);
        let variables = momo.variables().into_iter().chain(stripe.variables());
        let world = World::open_with(Setting {
            variables: variables.collect(),
            ..Setting::default()
        })
        .await;
        Stage {
            world,
            momo,
            stripe,
        }
    }

    /// A bill for Ali whose money is asked for at once.
    async fn bill(&self, payment: Value) -> Uuid {
        let client = self.world.asking_client();
        let arguments = json!({"customer": "Ali", "lines": [{"item": "Shampoo", "quantity": "1"}], "payment": payment});
        let question = client.call("billing_create_bill", &arguments).await;
        let state = asked(&question);
        let made = done(
            &client
                .retry("billing_create_bill", &arguments, &state, yes())
                .await,
        );
        assert_eq!(made["pending"]["status"], "pending", "{made}");
        sqlx::query_scalar(
            "select id from shop.payments where status = 'pending' order by number desc limit 1",
        )
        .fetch_one(&self.world.db)
        .await
        .expect("a pending payment")
    }

    async fn by_phone(&self) -> Uuid {
        self.bill(json!({"method": "mobile_money", "phone": "+250788123456"}))
            .await
    }

    async fn by_card(&self) -> Uuid {
        self.bill(json!({"method": "card"})).await
    }

    async fn status(&self, payment: Uuid) -> String {
        sqlx::query_scalar("select status from shop.payments where id = $1")
            .bind(payment)
            .fetch_one(&self.world.db)
            .await
            .expect("a payment")
    }

    async fn until_status(&self, payment: Uuid, wanted: &str) {
        until(&format!("the payment is {wanted}"), async || {
            self.status(payment).await == wanted
        })
        .await;
    }

    /// The provider has been asked about it this often since.
    async fn until_attempts(&self, payment: Uuid, more: i32) {
        let before = self.attempts(payment).await;
        until(&format!("{more} more attempts"), async || {
            self.attempts(payment).await >= before + more
        })
        .await;
    }

    async fn attempts(&self, payment: Uuid) -> i32 {
        sqlx::query_scalar("select attempts from shop.payment_requests where payment_id = $1")
            .bind(payment)
            .fetch_optional(&self.world.db)
            .await
            .expect("attempts")
            .unwrap_or(0)
    }

    /// Nothing is left to ask about it.
    async fn until_quiet(&self, payment: Uuid) {
        until("nothing is left to ask", async || {
            sqlx::query_scalar::<_, bool>(
                "select next_at is null from shop.payment_requests where payment_id = $1",
            )
            .bind(payment)
            .fetch_one(&self.world.db)
            .await
            .expect("a request")
        })
        .await;
    }

    async fn call_back(&self, payment: Uuid) -> StatusCode {
        let url = format!(
            "http://{}/providers/momo/callback/{}",
            self.world.shop.address,
            reference_of(payment)
        );
        let body = json!({"status": "SUCCESSFUL", "amount": "1"});
        let sent = self.world.http.put(url).json(&body).send().await;
        sent.expect("an answer").status()
    }

    async fn webhook(&self, signature: &str, body: String) -> StatusCode {
        let url = format!(
            "http://{}/providers/stripe/webhook",
            self.world.shop.address
        );
        let request = self
            .world
            .http
            .post(url)
            .header("stripe-signature", signature);
        let sent = request.body(body).send().await;
        sent.expect("an answer").status()
    }

    fn signed(&self, body: &str) -> String {
        let at = self.world.shop.app.clock.now().timestamp();
        stripe::signature(WEBHOOK_SECRET, at, body)
    }

    /// The bill is paid by exactly this one payment, told once, and the books are right.
    async fn settled_once(&self, payment: Uuid) {
        assert_eq!(self.status(payment).await, "succeeded");
        let world = &self.world;
        for (what, sql) in [
            (
                "bills that are paid",
                "select count(*) from shop.bills where status = 'paid' and paid = total",
            ),
            (
                "events",
                "select count(*) from shop.outbox where topic = 'payment.settled'",
            ),
            (
                "audits",
                "select count(*) from shop.audit_log where tool = 'provider' and after->>'status' = 'succeeded'",
            ),
        ] {
            assert_eq!(world.number(sql).await, 1, "{what}");
        }
        self.sound().await;
    }

    /// No rule is broken, and neither provider had anything to complain about.
    async fn sound(&self) {
        assert_eq!(self.momo.complaints(), [""; 0]);
        assert_eq!(self.stripe.complaints(), [""; 0]);
        for rule in mcp_server::invariants::all() {
            let broken = self.world.number(rule.broken).await;
            assert_eq!(broken, 0, "{}: {}", rule.number, rule.says);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payer_who_says_yes_has_paid_however_often_it_is_said() {
    let stage = Stage::open().await;
    let early = Uuid::from_u128(0x0193_1b66_4c00_7abc_8def_0123_4567_89ab);
    assert_eq!(
        stage.call_back(early).await,
        StatusCode::ACCEPTED,
        "not ours, or not yet"
    );
    let payment = stage.by_phone().await;
    until("it is asked for", async || stage.momo.requests() == 1).await;
    stage.until_attempts(payment, 1).await;
    assert_eq!(
        stage.call_back(payment).await,
        StatusCode::OK,
        "nobody has paid"
    );
    stage.until_attempts(payment, 1).await;
    assert_eq!(stage.status(payment).await, "pending");
    // Nobody keeps a token for ever.
    stage.momo.forget_tokens();
    stage.momo.answer(payment, "SUCCESSFUL");
    let twice = tokio::join!(stage.call_back(payment), stage.call_back(payment));
    assert_eq!(twice, (StatusCode::OK, StatusCode::OK));
    stage.until_status(payment, "succeeded").await;
    stage.until_quiet(payment).await;
    assert_eq!(stage.call_back(payment).await, StatusCode::OK);
    stage.until_quiet(payment).await;
    assert_eq!(stage.momo.requests(), 1);
    stage.settled_once(payment).await;
    let name = stage
        .world
        .text("select provider_ref from shop.payments where provider is not null")
        .await;
    assert_eq!(name, "23503452");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payer_who_says_no_owes_what_they_owed() {
    let stage = Stage::open().await;
    let payment = stage.by_phone().await;
    stage.until_attempts(payment, 1).await;
    stage.momo.answer(payment, "FAILED");
    stage.until_status(payment, "failed").await;
    let why = stage
        .world
        .text("select failure from shop.payments where status = 'failed'")
        .await;
    assert_eq!(why, "APPROVAL_REJECTED");
    assert_eq!(
        stage
            .world
            .number("select count(*) from shop.bills where status = 'open' and paid = 0")
            .await,
        1
    );
    assert_eq!(
        stage
            .world
            .number("select count(*) from shop.outbox where topic = 'payment.failed'")
            .await,
        1
    );
    stage.until_quiet(payment).await;
    stage.sound().await;
}

/// It took the request and never said so; it said that something broke; it broke before it took it: in every case the same reference is
/// asked about, and one payment comes of it.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_come_is_asked_for_under_the_same_reference() {
    for manner in [
        momo::Manner::TakesSilently,
        momo::Manner::TakesAndSays(500),
        momo::Manner::Says(500),
    ] {
        let stage = Stage::open().await;
        stage.momo.then([manner]);
        let payment = stage.by_phone().await;
        stage.until_attempts(payment, 1).await;
        until("it is known there", async || {
            stage.world.advance(5);
            stage.momo.requests() == 1 && stage.attempts(payment).await > 1
        })
        .await;
        stage.momo.answer(payment, "SUCCESSFUL");
        stage.call_back(payment).await;
        stage.until_status(payment, "succeeded").await;
        assert_eq!(stage.momo.requests(), 1, "{manner:?}");
        stage.settled_once(payment).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_comes_after_we_gave_up_is_booked() {
    let stage = Stage::open().await;
    // Under way for so long that the provider has not heard of it when the payer's time is over.
    stage.momo.then([momo::Manner::Says(500); 30]);
    let payment = stage.by_phone().await;
    stage.until_attempts(payment, 1).await;
    stage.world.advance(16 * 60);
    stage.until_status(payment, "expired").await;
    stage.until_quiet(payment).await;
    stage.sound().await;
    let owed = stage.world.text("select total::text from shop.bills").await;
    stage.momo.arrives_late(payment, &owed);
    assert_eq!(stage.call_back(payment).await, StatusCode::OK);
    stage.until_status(payment, "succeeded").await;
    stage.settled_once(payment).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_down_for_an_hour_leaves_a_visible_unknown_and_then_the_truth() {
    let stage = Stage::open().await;
    let payment = stage.by_phone().await;
    until("it is asked for", async || stage.momo.requests() == 1).await;
    stage.momo.set_down(true);
    for _ in 0..12 {
        let before = stage.attempts(payment).await;
        stage.world.advance(5 * 60 + 1);
        until("it is asked about again", async || {
            stage.attempts(payment).await > before
        })
        .await;
    }
    stage.until_status(payment, "unknown").await;
    stage.sound().await;
    // The payer had said yes before it went down.
    stage.momo.answer(payment, "SUCCESSFUL");
    stage.momo.set_down(false);
    stage.world.advance(5 * 60 + 1);
    stage.until_status(payment, "succeeded").await;
    stage.settled_once(payment).await;

    // Down from the first moment on: nothing was asked for, and nothing is, once the payer has gone.
    stage.momo.set_down(true);
    let second = stage.by_phone().await;
    stage.until_attempts(second, 1).await;
    stage.world.advance(60 * 60);
    stage.until_status(second, "unknown").await;
    stage.momo.set_down(false);
    stage.world.advance(5 * 60 + 1);
    stage.until_status(second, "expired").await;
    assert_eq!(stage.momo.requests(), 1);
    stage.sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_true_is_not_believed() {
    let stage = Stage::open().await;
    let payment = stage.by_phone().await;
    until("it is asked for", async || stage.momo.requests() == 1).await;
    for lie in [
        json!({"status": "SUCCESSFUL", "amount": "1", "currency": "RWF"}),
        json!({"status": "SUCCESSFUL", "amount": "100000000", "currency": "UGX"}),
        json!({"status": "DONE"}),
        json!("SUCCESSFUL"),
    ] {
        stage.momo.lie(Some(lie));
        stage.call_back(payment).await;
        stage.until_attempts(payment, 1).await;
        assert_eq!(stage.status(payment).await, "pending");
    }
    stage.world.advance(16 * 60);
    stage.until_status(payment, "unknown").await;
    stage.sound().await;
    stage.momo.lie(None);
    stage.momo.answer(payment, "SUCCESSFUL");
    stage.call_back(payment).await;
    stage.until_status(payment, "succeeded").await;
    stage.settled_once(payment).await;
}

/// A process dies after it has asked and before it has noted so: another asks again, under the same reference.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_process_died_is_made_again_and_is_the_same() {
    let stage = Stage::open().await;
    stage.momo.then([momo::Manner::TakesSilently]);
    let payment = stage.by_phone().await;
    until("it is asked for", async || stage.momo.requests() == 1).await;
    // What the dead process leaves behind: the claim, and a job of nobody's.
    sqlx::query("update shop.payment_requests set step = 'request', attempts = 5, next_at = $1")
        .bind(stage.world.shop.app.clock.now())
        .execute(&stage.world.db)
        .await
        .expect("a claim");
    stage.until_attempts(payment, 1).await;
    stage.momo.answer(payment, "SUCCESSFUL");
    stage.call_back(payment).await;
    stage.until_status(payment, "succeeded").await;
    assert_eq!(stage.momo.requests(), 1);
    stage.settled_once(payment).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_is_charged_once_although_creating_it_was_never_answered() {
    let stage = Stage::open().await;
    stage.stripe.then([stripe::Manner::CreatesSilently]);
    let payment = stage.by_card().await;
    until("it is created", async || stage.stripe.count("pi_") == 1).await;
    stage.until_attempts(payment, 1).await;
    until("its name is known", async || {
        stage.world.advance(5);
        stage
            .world
            .number("select count(*) from shop.payments where provider_ref is not null")
            .await
            == 1
    })
    .await;
    assert_eq!(stage.stripe.count("pi_"), 1, "one key, one intent");
    stage.stripe.answer(payment, "succeeded");
    let body = stage.stripe.event(payment, "payment_intent.succeeded");
    let signature = stage.signed(&body);
    let twice = tokio::join!(
        stage.webhook(&signature, body.clone()),
        stage.webhook(&signature, body.clone())
    );
    assert_eq!(twice, (StatusCode::OK, StatusCode::OK));
    stage.until_status(payment, "succeeded").await;
    stage.settled_once(payment).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_webhook_changes_nothing() {
    let stage = Stage::open().await;
    let payment = stage.by_card().await;
    until("its name is known", async || {
        stage
            .world
            .number("select count(*) from shop.payments where provider_ref is not null")
            .await
            == 1
    })
    .await;
    let body = stage.stripe.event(payment, "payment_intent.succeeded");
    let now = stage.world.shop.app.clock.now().timestamp();
    let before = stage.world.content("shop").await;
    let attempts = before["payment_requests"].clone();
    for signature in [
        String::new(),
        stripe::signature("whsec_of_somebody_else", now, &body),
        stripe::signature(WEBHOOK_SECRET, now - 301, &body),
        stripe::signature(WEBHOOK_SECRET, now, &format!("{body} ")),
    ] {
        assert_eq!(
            stage.webhook(&signature, body.clone()).await,
            StatusCode::BAD_REQUEST
        );
    }
    let mut after = stage.world.content("shop").await;
    // Our own polling goes on meanwhile.
    after.insert("payment_requests".to_owned(), attempts);
    assert_eq!(before, after);
    // Genuine, but it speaks of a payment nobody has begun, or of nothing of ours; and genuine, but not true.
    let unknown = stage
        .stripe
        .event(Uuid::from_u128(7), "payment_intent.succeeded");
    assert_eq!(
        stage
            .webhook(&stage.signed(&unknown), unknown.clone())
            .await,
        StatusCode::ACCEPTED
    );
    let other = json!({"type": "invoice.paid", "data": {"object": {}}}).to_string();
    assert_eq!(
        stage.webhook(&stage.signed(&other), other.clone()).await,
        StatusCode::OK
    );
    assert_eq!(
        stage.webhook(&stage.signed(&body), body.clone()).await,
        StatusCode::OK
    );
    stage.until_attempts(payment, 1).await;
    assert_eq!(stage.status(payment).await, "pending");
    let large = "x".repeat(65 * 1024);
    assert_eq!(
        stage.webhook(&stage.signed(&large), large.clone()).await,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    stage.sound().await;
}

/// Nobody enters a card in time: the intent is cancelled there before it lapses here, so that it cannot be paid any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_card_that_is_not_entered_in_time_is_cancelled_at_the_provider() {
    let stage = Stage::open().await;
    let payment = stage.by_card().await;
    until("it is created", async || stage.stripe.count("pi_") == 1).await;
    stage.until_attempts(payment, 1).await;
    stage.world.advance(16 * 60);
    stage.until_status(payment, "failed").await;
    let object = stage.stripe.object_of(payment).expect("an intent");
    assert_eq!(object["status"], "canceled");
    stage.until_quiet(payment).await;
    stage.sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_their_keys_providers_are_neither_offered_nor_listened_to() {
    let world = World::open().await;
    let client = world.asking_client();
    for payment in [
        json!({"method": "mobile_money", "phone": "+250788123456"}),
        json!({"method": "card"}),
    ] {
        let arguments = json!({"customer": "Ali", "lines": [{"item": "Shampoo", "quantity": "1"}], "payment": payment});
        let refused =
            e2e::world::mcp::refused(&client.call("billing_create_bill", &arguments).await);
        assert_eq!(refused["code"], "method_unavailable", "{refused}");
    }
    for path in [
        "momo/callback/01931b66-4c00-4abc-8def-0123456789ab",
        "stripe/webhook",
    ] {
        let url = format!("http://{}/providers/{path}", world.shop.address);
        let sent = world.http.post(url).body("{}").send().await;
        assert_eq!(sent.expect("an answer").status(), StatusCode::NOT_FOUND);
    }
}
