//! What others are told: signed, at least once, in order per subject, whatever the receiver does.

use contracts::ids::TenantId;
use e2e::world::mcp::{asked, done, yes};
use e2e::world::receiver::{Manner, Receiver};
use e2e::world::{PATIENCE, Setting, World, until};
use mcp_server::webhooks::{admin, signature};
use migrations::database::Role;
use serde_json::json;
use uuid::Uuid;

const TENANT: TenantId = TenantId::DEMO;

/// A shop with nothing in it, somebody who wants to hear of it, and the secret between them.
struct Stage {
    world: World,
    receiver: Receiver,
    endpoint: Uuid,
    secret: String,
}

impl Stage {
    async fn open(topics: &str) -> Stage {
        let world = World::open_with(Setting {
            empty: true,
            ..Setting::default()
        })
        .await;
        let receiver = Receiver::open().await;
        let (endpoint, secret) = add(&world, &receiver.url, topics).await;
        Stage {
            world,
            receiver,
            endpoint,
            secret,
        }
    }

    /// Something happens, as a tool's effect would leave it.
    async fn happens(&self, topic: &str, subject: &str) -> Uuid {
        happens(&self.world, topic, subject).await
    }

    async fn until_told(&self, count: usize) {
        until(&format!("{count} deliveries"), async || {
            self.receiver.count() >= count
        })
        .await;
    }

    async fn status(&self, event: Uuid) -> (String, i32, Option<String>) {
        sqlx::query_as(
            "select status, attempts, last_error from shop.webhook_deliveries where event_id = $1 and endpoint_id = $2",
        )
        .bind(event)
        .bind(self.endpoint)
        .fetch_optional(&self.world.db)
        .await
        .expect("a delivery")
        .unwrap_or_else(|| ("none".to_owned(), 0, None))
    }

    async fn until_status(&self, event: Uuid, wanted: &str) {
        until(&format!("{event} is {wanted}"), async || {
            self.status(event).await.0 == wanted
        })
        .await;
    }

    /// The subjects of what came, in its order.
    fn subjects(&self) -> Vec<String> {
        self.receiver
            .deliveries()
            .iter()
            .map(|d| d.body()["subject"].as_str().expect("a subject").to_owned())
            .collect()
    }
}

async fn add(world: &World, url: &str, topics: &str) -> (Uuid, String) {
    let app = &world.shop.app;
    let mut tx = app.begin(TENANT).await.expect("a transaction");
    let topics: Vec<String> = topics.split(',').map(str::to_owned).collect();
    let id = migrations::clock::new_id(&*app.clock);
    let added = admin::add(&mut tx, TENANT, id, url, &topics, true, app.clock.now())
        .await
        .expect("added");
    tx.commit().await.expect("a commit");
    (added.id, added.secret)
}

async fn happens(world: &World, topic: &str, subject: &str) -> Uuid {
    let clock = &*world.shop.app.clock;
    let id = migrations::clock::new_id(clock);
    sqlx::query("insert into shop.outbox (tenant_id, id, at, topic, subject, data) values ($1, $2, $3, $4, $5, '{\"n\": 1}')")
        .bind(TENANT.0)
        .bind(id)
        .bind(clock.now())
        .bind(topic)
        .bind(subject)
        .execute(&world.db)
        .await
        .expect("an event");
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asked_for_it_is_told_in_order_and_can_see_that_it_is_from_us() {
    let stage = Stage::open("bill.*,stock.low").await;
    let wanted = [
        stage.happens("bill.issued", "bill:1").await,
        stage.happens("bill.voided", "bill:1").await,
        stage.happens("stock.low", "item:1").await,
    ];
    let unwanted = stage.happens("ticket.created", "ticket:1").await;
    stage.until_told(3).await;
    until("the events are relayed", async || {
        stage
            .world
            .number("select count(*) from shop.outbox where relayed_at is null")
            .await
            == 0
    })
    .await;
    let told = stage.receiver.deliveries();
    let ids: Vec<String> = told.iter().map(|d| d.id.clone()).collect();
    assert_eq!(ids, wanted.map(|id| id.to_string()));
    for delivery in &told {
        let id = delivery.id.parse().expect("an id");
        let signed = signature(&stage.secret, id, delivery.timestamp_s, &delivery.text);
        assert_eq!(Some(delivery.signature.clone()), signed);
        let body = delivery.body();
        assert_eq!(body["data"]["n"], 1);
        assert_eq!(body["id"], delivery.id.as_str());
        assert!(body["timestamp"].is_string() && body["type"].is_string());
    }
    assert_eq!(stage.status(unwanted).await.0, "none");
    for event in wanted {
        stage.until_status(event, "delivered").await;
    }
    assert_eq!(stage.receiver.count(), 3, "each once");
    // Whoever comes later hears of what happens later.
    let late = Receiver::open().await;
    add(&stage.world, &late.url, "*").await;
    let next = stage.happens("bill.issued", "bill:2").await;
    until("both are told", async || {
        late.count() == 1 && stage.receiver.count() == 4
    })
    .await;
    assert_eq!(late.deliveries()[0].id, next.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_fails_is_tried_for_three_days_and_by_hand_after_that() {
    let stage = Stage::open("*").await;
    stage.receiver.always(Some(Manner::Says(500)));
    let first = stage.happens("bill.issued", "bill:1").await;
    stage.until_told(1).await;
    let second = stage.happens("bill.voided", "bill:1").await;
    until("the first failed", async || {
        stage.status(first).await.1 == 1 && stage.status(first).await.2.is_some()
    })
    .await;
    stage.world.until_idle().await;
    // Longer than each pause with its jitter.
    for attempts in 2..=10 {
        stage.world.advance(2 * 86_400);
        until(&format!("attempt {attempts}"), async || {
            stage.status(first).await.1 >= attempts
        })
        .await;
        stage.world.until_idle().await;
    }
    stage.until_status(first, "dead").await;
    let (_, attempts, error) = stage.status(first).await;
    assert_eq!(attempts, 10);
    assert_eq!(error.as_deref(), Some("HTTP 500 nothank you"));
    // The later event of that bill waited for the earlier one, and only for it.
    until("the second goes on", async || {
        stage.status(second).await.1 >= 1
    })
    .await;
    let ids: Vec<String> = stage
        .receiver
        .deliveries()
        .iter()
        .map(|d| d.id.clone())
        .collect();
    assert_eq!(
        ids[..10],
        vec![first.to_string(); 10],
        "one id however often"
    );

    stage.receiver.always(None);
    let app = &stage.world.shop.app;
    let mut tx = app.begin(TENANT).await.expect("a transaction");
    let dead = admin::deliveries(&mut tx, TENANT, true)
        .await
        .expect("a list");
    assert_eq!(dead.len(), 1);
    admin::retry(&mut tx, TENANT, first, app.clock.now())
        .await
        .expect("revived");
    tx.commit().await.expect("a commit");
    stage.until_status(first, "delivered").await;
    stage.world.advance(2 * 86_400);
    stage.until_status(second, "delivered").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_redirects_hangs_or_talks_holds_up_nobody() {
    let stage = Stage::open("*").await;
    let elsewhere = Receiver::open().await;
    let good = Receiver::open().await;
    add(&stage.world, &good.url, "*").await;
    stage.receiver.then([
        Manner::Redirects(elsewhere.url.clone()),
        Manner::Talks,
        Manner::Hangs,
    ]);
    let redirected = stage.happens("bill.issued", "bill:1").await;
    until("where it points to is refused", async || {
        stage.status(redirected).await == ("pending".to_owned(), 1, Some("HTTP 302".to_owned()))
    })
    .await;
    let talked = stage.happens("bill.issued", "bill:2").await;
    stage.until_status(talked, "delivered").await;
    let hung = stage.happens("bill.issued", "bill:3").await;
    stage.until_told(3).await;
    let other = stage.happens("bill.issued", "bill:4").await;
    until("the other is told of all four", async || good.count() == 4).await;
    assert_eq!(stage.status(other).await.1, 0, "its own turn comes later");
    until(
        "the one that hangs is given up after ten seconds",
        async || {
            let (_, _, error) = stage.status(hung).await;
            error.is_some_and(|error| error.contains("timeout"))
        },
    )
    .await;
    stage.until_status(other, "delivered").await;
    assert_eq!(
        elsewhere.count(),
        0,
        "where a redirect leads is nobody we know"
    );
    stage.world.advance(10);
    for event in [redirected, hung] {
        stage.until_status(event, "delivered").await;
    }
    assert_eq!(stage.subjects().len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_gone_is_told_nothing_more() {
    let stage = Stage::open("*").await;
    stage.receiver.then([Manner::Says(410)]);
    let event = stage.happens("bill.issued", "bill:1").await;
    stage.until_status(event, "dead").await;
    let later = stage.happens("bill.issued", "bill:2").await;
    let good = Receiver::open().await;
    add(&stage.world, &good.url, "*").await;
    let last = stage.happens("bill.issued", "bill:3").await;
    until("the good one is told", async || good.count() == 1).await;
    assert_eq!(good.deliveries()[0].id, last.to_string());
    for event in [later, last] {
        assert_eq!(stage.status(event).await.0, "none");
    }
    assert_eq!(stage.receiver.count(), 1);
    let app = &stage.world.shop.app;
    let mut tx = app.begin(TENANT).await.expect("a transaction");
    let refused = admin::retry(&mut tx, TENANT, event, app.clock.now()).await;
    assert!(refused.is_err(), "it is disabled");
    let listed = admin::list(&mut tx, TENANT).await.expect("a list");
    assert_eq!(listed[0].status, "disabled");
    assert!(
        listed[0]
            .reason
            .as_deref()
            .is_some_and(|r| r.contains("410"))
    );
}

/// After ninety days, and not before: an event goes with its deliveries, unless somebody still waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_told_is_forgotten_and_what_waits_is_not() {
    let stage = Stage::open("bill.*").await;
    let told = stage.happens("bill.issued", "bill:1").await;
    stage.until_status(told, "delivered").await;
    let recent = stage.happens("bill.issued", "bill:2").await;
    stage.until_status(recent, "delivered").await;
    let wanted_by_nobody = stage.happens("stock.low", "item:1").await;
    stage.receiver.always(Some(Manner::Says(500)));
    let waiting = stage.happens("bill.issued", "bill:3").await;
    until("a try that failed", async || {
        let (status, attempts, _) = stage.status(waiting).await;
        status == "pending" && attempts > 0
    })
    .await;
    until("the events are relayed", async || {
        let untold = "select count(*) from shop.outbox where relayed_at is null";
        stage.world.number(untold).await == 0
    })
    .await;
    let days_ago = async |days: f64, events: &[Uuid]| {
        sqlx::query(
            "with e as (update shop.outbox set at = now() - $1 * interval '1 day' where id = any($2) returning id)
             update shop.webhook_deliveries d set finished_at = now() - $1 * interval '1 day' from e where d.event_id = e.id and d.status <> 'pending'",
        )
        .bind(days)
        .bind(events)
        .execute(&stage.world.db)
        .await
        .expect("an older event");
    };
    let sweep = async || {
        let swept = mcp_server::sweeper::sweep(&stage.world.shop.app).await;
        swept.expect("a sweep");
    };
    let kept = async || {
        let mut kept: Vec<Uuid> = sqlx::query_scalar("select id from shop.outbox order by seq")
            .fetch_all(&stage.world.db)
            .await
            .expect("events");
        kept.sort_unstable();
        kept
    };
    days_ago(89.9, &[told, wanted_by_nobody, waiting]).await;
    sweep().await;
    assert_eq!(kept().await.len(), 4, "ninety days are not over");
    days_ago(90.1, &[told, wanted_by_nobody, waiting]).await;
    sweep().await;
    let mut expected = vec![recent, waiting];
    expected.sort_unstable();
    assert_eq!(kept().await, expected);
    assert_eq!(stage.status(told).await.0, "none");
    assert_eq!(stage.status(recent).await.0, "delivered");
}

/// A process that died in the middle of a delivery leaves a claim behind, which lapses: at least once.
#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_whose_process_died_is_made_again() {
    let stage = Stage::open("*").await;
    let now = stage.world.shop.app.clock.now();
    let event = migrations::clock::new_id(&*stage.world.shop.app.clock);
    sqlx::query(
        "with o as (insert into shop.outbox (tenant_id, id, at, topic, subject, data, relayed_at)
                    values ($1, $2, $3, 'bill.issued', 'bill:1', '{}', $3) returning seq)
         insert into shop.webhook_deliveries (tenant_id, endpoint_id, event_id, subject, seq, attempts, next_at)
         select $1, $4, $2, 'bill:1', o.seq, 1, $3 + interval '60 seconds' from o",
    )
    .bind(TENANT.0)
    .bind(event)
    .bind(now)
    .bind(stage.endpoint)
    .execute(&stage.world.db)
    .await
    .expect("a claim");
    let other = stage.happens("bill.issued", "bill:2").await;
    stage.until_status(other, "delivered").await;
    assert_eq!(stage.status(event).await.0, "pending", "its claim holds");
    stage.world.advance(61);
    stage.until_status(event, "delivered").await;
    assert_eq!(stage.status(event).await.1, 2);
}

/// The clock alone makes these happen: a held time is let go, and who has booked is reminded a day and an hour before.
#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_lapses_frees_its_time_and_a_booking_is_reminded_of_twice() {
    let stage = Stage::open("booking.*").await;
    let world = &stage.world;
    let client = world.asking_client();
    let days = [
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
    ];
    let chair = json!({"name": "Chair 1", "slot_minutes": 30});
    done(&client.call("booking_set_resource", &chair).await);
    let hours =
        json!({"resource": "Chair 1", "weekdays": days, "opens": "08:00", "closes": "18:00"});
    done(&client.call("booking_set_hours", &hours).await);
    let day = (world.shop.app.clock.now() + chrono::TimeDelta::days(5)).date_naive();
    let wanted = json!({"resource": "Chair 1", "customer": "Ali", "date": day, "time": "15:00"});
    let held = async |status: &str| {
        let sql = "select count(*) from shop.bookings where status = $1";
        sqlx::query_scalar::<_, i64>(sql)
            .bind(status)
            .fetch_one(&world.db)
            .await
            .expect("a count")
    };
    asked(&client.call("create_booking", &wanted).await);
    assert_eq!(held("held").await, 1);
    world.advance(3_600);
    until("the time is let go", async || held("expired").await == 1).await;

    let state = asked(&client.call("create_booking", &wanted).await);
    done(&client.retry("create_booking", &wanted, &state, yes()).await);
    stage.until_told(1).await;
    let reminded = async || {
        let sql = "select count(*) from shop.outbox where topic = 'booking.reminder'";
        world.number(sql).await
    };
    let start_s = world
        .number("select extract(epoch from starts_at)::bigint from shop.bookings where status = 'confirmed'")
        .await;
    let until_start_s = || start_s - world.shop.app.clock.now().timestamp();
    world.advance(until_start_s() - 24 * 3_600 - 60);
    stage.happens("booking.changed", "booking:another").await;
    stage.until_told(2).await;
    assert_eq!(reminded().await, 0, "not yet");
    world.advance(61);
    stage.until_told(3).await;
    world.advance(until_start_s() - 3_600 + 1);
    stage.until_told(4).await;
    world.advance(2 * 3_600);
    stage.happens("booking.changed", "booking:another").await;
    stage.until_told(5).await;
    assert_eq!(reminded().await, 2);
    let told = stage.receiver.deliveries();
    assert_eq!(told[0].body()["type"], "booking.created");
    for (delivery, hours) in [(&told[2], 24), (&told[3], 1)] {
        let body = delivery.body();
        assert_eq!(body["type"], "booking.reminder");
        assert_eq!(body["data"]["hours_before"], hours);
        assert_eq!(body["data"]["resource"], "Chair 1");
        assert_eq!(body["data"]["reference"], "BK-1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_administers_them_on_the_command_line() {
    let world = World::open_with(Setting {
        empty: true,
        ..Setting::default()
    })
    .await;
    let receiver = Receiver::open().await;
    let run = async |arguments: &[&str]| {
        let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_e2e-mcp-cli"))
            .args(arguments)
            .env_clear()
            .envs(world.variables(Role::Shop))
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(PATIENCE, output)
            .await
            .expect("in time")
            .expect("run");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (
            output.status.success(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let (done, added, _) = run(&[
        "webhook",
        "add",
        &receiver.url,
        "--topics",
        "bill.issued,stock.*",
    ])
    .await;
    assert!(done);
    let value = |name: &str| {
        let line = added.lines().find_map(|l| l.strip_prefix(name));
        line.expect(name).trim().to_owned()
    };
    let (id, secret) = (value("endpoint"), value("secret"));
    let event = happens(&world, "stock.low", "item:1").await;
    until("it is told", async || receiver.count() == 1).await;
    let told = &receiver.deliveries()[0];
    assert_eq!(
        Some(told.signature.clone()),
        signature(&secret, event, told.timestamp_s, &told.text)
    );
    let (_, listed, _) = run(&["webhook", "list"]).await;
    assert!(
        listed.contains(&id) && listed.contains("active") && !listed.contains(&secret),
        "{listed}"
    );
    let (_, shown, _) = run(&["webhook", "deliveries"]).await;
    assert!(
        shown.contains(&event.to_string()) && shown.contains("delivered"),
        "{shown}"
    );
    let (done, _, why) = run(&["webhook", "retry", &event.to_string()]).await;
    assert!(!done && why.contains("--dead"), "{why}");
    let (done, _, why) = run(&["webhook", "add", "http://example.com/x"]).await;
    assert!(!done && why.contains("https"), "{why}");
    let (done, _, why) = run(&["webhook", "add", &receiver.url, "--topics", "bill.made"]).await;
    assert!(!done && why.contains("bill.issued"), "{why}");
    let (done, _, _) = run(&["webhook", "remove", &id]).await;
    assert!(done);
    let (_, listed, _) = run(&["webhook", "list"]).await;
    assert!(!listed.contains(&id), "{listed}");
}
