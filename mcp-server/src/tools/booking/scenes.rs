//! What bookings promise, seen through the whole call path and by many at once.

use std::collections::BTreeMap;

use contracts::failure::{FailureCode, ToolFailure};
use contracts::locale::Locale;
use contracts::tool::Tool;
use contracts::tools::booking::{
    BookingOutput, BookingStatus, CancelBooking, CheckAvailability, CreateBooking,
    RescheduleBooking, SetHours, SetResource, ViewBookings,
};
use serde_json::{Value, json};

use crate::app::App;
use crate::bookings::expire_holds;
use crate::call::{Answer, Asked};
use crate::testing::{World, refusal};

/// Open from nine to five every day.
async fn shop_with(world: World, members: Value) -> World {
    let mut chair = json!({"name": "Chair 1"});
    chair
        .as_object_mut()
        .unwrap()
        .extend(members.as_object().unwrap().clone());
    world.write::<SetResource>(chair).await.unwrap();
    let every_day = [
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
    ];
    let hours =
        json!({"resource": "chair 1", "weekdays": every_day, "opens": "09:00", "closes": "17:00"});
    world.write::<SetHours>(hours).await.unwrap();
    world
}

async fn shop() -> World {
    shop_with(World::new().await, json!({"price": "3000"})).await
}

fn at(time: &str, customer: &str) -> Value {
    json!({"date": "2026-11-27", "time": time, "customer": customer})
}

async fn book(world: &World, input: Value) -> BookingOutput {
    world.agree::<CreateBooking>(input).await.unwrap()
}

async fn question<T: Tool>(world: &World, app: &App, input: &Value) -> Asked {
    match world.run::<T>(app, input, None).await {
        Answer::Asked(asked) => *asked,
        other => panic!("a question was expected, not {other:?}"),
    }
}

async fn refused<T: Tool>(world: &World, app: &App, input: &Value) -> ToolFailure {
    match world.run::<T>(app, input, None).await {
        Answer::Refused(failure) => failure,
        other => panic!("a refusal was expected, not {other:?}"),
    }
}

async fn answer<T: Tool>(
    world: &World,
    app: &App,
    input: &Value,
    asked: &Asked,
    yes: bool,
) -> Answer {
    let answer = world.run::<T>(app, input, Some((&asked.token, yes))).await;
    world.check_invariants().await;
    answer
}

async fn agreed<T: Tool>(world: &World, app: &App, input: &Value, asked: &Asked) -> T::Output {
    match answer::<T>(world, app, input, asked, true).await {
        Answer::Done(text) => serde_json::from_str(&text).unwrap(),
        other => panic!("it was agreed to: {other:?}"),
    }
}

async fn held(world: &World) -> i64 {
    world
        .number("select count(*) from shop.bookings where status = 'held'")
        .await
}

#[tokio::test]
async fn a_question_holds_its_time_and_a_no_frees_it() {
    let world = shop().await;
    let (app, _) = world.app();
    let mut ali = at("15:00", "Ali");
    ali["idempotency_key"] = json!("k1");
    let asked = question::<CreateBooking>(&world, &app, &ali).await;
    assert_eq!(
        asked.question.message,
        "Are you sure you want to book Chair 1 for new customer Ali on Friday 2026-11-27 15:00–15:30 (Price: RWF 3,000)? Reply 'yes' to confirm."
    );
    let again = question::<CreateBooking>(&world, &app, &ali).await;
    assert_eq!(
        again.question.id, asked.question.id,
        "the same key, the same question"
    );
    assert_eq!(held(&world).await, 1);

    let taken = refused::<CreateBooking>(&world, &app, &at("15:00", "Zoe")).await;
    assert_eq!(taken.code, FailureCode::SlotTaken);
    assert_eq!(
        taken.message,
        "Chair 1 is taken on Friday 2026-11-27 15:00–15:30. Free: 14:30, 15:30, 14:00, 16:00, 13:30."
    );
    assert_eq!(taken.candidates[0].name, "2026-11-27 14:30");
    // A candidate is taken back as the time.
    let other = at(&taken.candidates[1].name, "Zoe");
    question::<CreateBooking>(&world, &app, &other).await;
    assert_eq!(held(&world).await, 2);

    let no = answer::<CreateBooking>(&world, &app, &ali, &asked, false).await;
    assert!(matches!(no, Answer::Refused(f) if f.code == FailureCode::Declined));
    assert_eq!(held(&world).await, 1);
    let zoe = at("15:00", "Zoe");
    let asked = question::<CreateBooking>(&world, &app, &zoe).await;
    let done = agreed::<CreateBooking>(&world, &app, &zoe, &asked).await;
    assert_eq!(
        done.summary,
        "Booked Chair 1 for Zoe on Friday 2026-11-27 15:00–15:30: BK-1, RWF 3,000."
    );
    assert_eq!(done.calendar_url, "http://127.0.0.1:8001/bookings/BK-1.ics");
    let told = "select count(*) from shop.outbox where topic = 'booking.created'";
    assert_eq!(world.number(told).await, 1);
}

#[tokio::test]
async fn a_hold_that_lapses_is_free_at_once() {
    let world = shop().await;
    let (app, clock) = world.app();
    let ali = at("15:00", "Ali");
    let asked = question::<CreateBooking>(&world, &app, &ali).await;
    clock.pass(299);
    refused::<CreateBooking>(&world, &app, &at("15:00", "Zoe")).await;
    clock.pass(1);
    let zoe = at("15:00", "Zoe");
    let asked_zoe = question::<CreateBooking>(&world, &app, &zoe).await;
    let late = answer::<CreateBooking>(&world, &app, &ali, &asked, true).await;
    assert!(matches!(late, Answer::Refused(f) if f.code == FailureCode::Expired));
    agreed::<CreateBooking>(&world, &app, &zoe, &asked_zoe).await;

    // Nobody comes for the next one: the sweeper ends it.
    question::<CreateBooking>(&world, &app, &at("16:00", "Ali")).await;
    clock.pass(300);
    let mut transaction = world.begin().await;
    let now = migrations::clock::Clock::now(&*clock);
    let tenant = world.shop.tenant;
    assert_eq!(
        expire_holds(&mut transaction, tenant, now).await.unwrap(),
        1
    );
    assert_eq!(
        expire_holds(&mut transaction, tenant, now).await.unwrap(),
        0
    );
    transaction.commit().await.unwrap();
    assert_eq!(held(&world).await, 0);
    world.check_invariants().await;
}

#[tokio::test]
async fn a_question_asked_again_goes_on_with_its_hold() {
    let world = shop().await;
    let (app, _) = world.app();
    let ali = at("15:00", "Ali");
    let first = question::<CreateBooking>(&world, &app, &ali).await;
    let second = question::<CreateBooking>(&world, &app, &ali).await;
    assert_ne!(first.question.id, second.question.id);
    assert_eq!(held(&world).await, 1);
    // A no to the first does not take away what is held for the second.
    answer::<CreateBooking>(&world, &app, &ali, &first, false).await;
    assert_eq!(held(&world).await, 1);
    agreed::<CreateBooking>(&world, &app, &ali, &second).await;
    assert_eq!(held(&world).await, 0);
}

#[tokio::test]
async fn a_changed_price_asks_anew_and_holds_on() {
    let world = shop().await;
    let (app, _) = world.app();
    let ali = at("15:00", "Ali");
    let asked = question::<CreateBooking>(&world, &app, &ali).await;
    let dearer = json!({"name": "Chair 1", "price": "4000"});
    world.write::<SetResource>(dearer).await.unwrap();
    let anew = match answer::<CreateBooking>(&world, &app, &ali, &asked, true).await {
        Answer::Asked(anew) => anew,
        other => panic!("asked anew: {other:?}"),
    };
    assert!(anew.question.message.contains("RWF 4,000"));
    assert_eq!(held(&world).await, 1);
    refused::<CreateBooking>(&world, &app, &at("15:00", "Zoe")).await;
    let done = agreed::<CreateBooking>(&world, &app, &ali, &anew).await;
    assert_eq!(done.booking.price.unwrap().to_string(), "RWF 4,000");
}

#[tokio::test]
async fn a_shop_that_never_asks_holds_nothing() {
    let world = shop().await;
    world
        .arrange("insert into shop.policies (tenant_id, tool, ask) select id, 'create_booking', 'never' from shop.tenants")
        .await;
    let (app, _) = world.app();
    let done = world
        .run::<CreateBooking>(&app, &at("15:00", "Ali"), None)
        .await;
    assert!(matches!(done, Answer::Done(_)), "{done:?}");
    let ended = "select count(*) from shop.bookings where status in ('held', 'expired')";
    assert_eq!(world.number(ended).await, 0);
    world.check_invariants().await;
}

#[tokio::test]
async fn a_booking_moves_and_stays_the_same_one() {
    let world = shop_with(
        World::new().await,
        json!({"price": "3000", "cancel_notice_minutes": 1440, "cancel_fee_percent": "50"}),
    )
    .await;
    let (app, clock) = world.app();
    let booked = book(&world, at("15:00", "Ali")).await;
    let uid = "select count(distinct ical_uid) from shop.bookings where number = 1 and ical_uid = id || '@countersign'";
    assert_eq!(world.number(uid).await, 1);

    let friday = json!({"customer": "Ali", "time": "10:00"});
    let asked = question::<RescheduleBooking>(&world, &app, &friday).await;
    assert_eq!(
        asked.question.message,
        "Are you sure you want to move booking BK-1 for Ali (Chair 1, Friday 2026-11-27 15:00–15:30) to Friday 2026-11-27 10:00–10:30? Reply 'yes' to confirm."
    );
    for time in ["15:00", "10:00"] {
        refused::<CreateBooking>(&world, &app, &at(time, "Zoe")).await;
    }
    let moved = agreed::<RescheduleBooking>(&world, &app, &friday, &asked).await;
    assert_eq!(
        moved.summary,
        "Moved BK-1 for Ali to Friday 2026-11-27 10:00–10:30."
    );
    assert_eq!(moved.booking_id, booked.booking_id);
    assert_eq!(world.number(uid).await, 1);
    let sequence = "select ical_sequence::bigint from shop.bookings where number = 1";
    assert_eq!(world.number(sequence).await, 1);
    assert_eq!(held(&world).await, 0);

    // Half an hour later overlaps itself, which is no conflict; and late it costs half.
    clock.pass(6 * 86_400 + 12 * 3_600);
    let later = json!({"booking": "bk-1", "time": "10:15", "minutes": 60});
    let asked = question::<RescheduleBooking>(&world, &app, &later).await;
    assert_eq!(
        asked.question.message,
        "Are you sure you want to move booking BK-1 for Ali (Chair 1, Friday 2026-11-27 10:00–10:30) to Friday 2026-11-27 10:15–11:15 (Price: RWF 6,000; Late: a fee of RWF 1,500)? Reply 'yes' to confirm."
    );
    let moved = agreed::<RescheduleBooking>(&world, &app, &later, &asked).await;
    assert_eq!(moved.booking.cancel_fee.unwrap().to_string(), "RWF 1,500");
    assert_eq!(world.number(sequence).await, 2);
    let same = json!({"booking": "1", "time": "10:15"});
    refused::<RescheduleBooking>(&world, &app, &same).await;

    let cancel = json!({"booking": "BK-1", "reason": "ill"});
    let asked = question::<CancelBooking>(&world, &app, &cancel).await;
    assert_eq!(
        asked.question.message,
        "Are you sure you want to cancel booking BK-1 for Ali (Chair 1, Friday 2026-11-27 10:15–11:15)? It begins in less than 1 day, so it costs RWF 3,000 (50%). Reply 'yes' to confirm."
    );
    let cancelled = agreed::<CancelBooking>(&world, &app, &cancel, &asked).await;
    assert_eq!(cancelled.booking.status, BookingStatus::Cancelled);
    assert_eq!(
        cancelled.booking.cancel_fee.unwrap().to_string(),
        "RWF 4,500"
    );
    assert_eq!(world.number(sequence).await, 3);
    question::<CreateBooking>(&world, &app, &at("10:15", "Zoe")).await;
    let closed = refused::<CancelBooking>(&world, &app, &cancel).await;
    assert_eq!(closed.code, FailureCode::BookingClosed);
}

#[tokio::test]
async fn cancelling_in_time_costs_nothing() {
    let mut world = shop_with(
        World::new().await,
        json!({"price": "3000", "cancel_notice_minutes": 120, "cancel_fee_percent": "50"}),
    )
    .await;
    book(&world, at("15:00", "Ali")).await;
    world.locale = Locale::Es;
    let asked = world
        .ask::<CancelBooking>(json!({"customer": "ali"}))
        .await
        .unwrap();
    assert_eq!(
        asked.message,
        "¿Seguro que quiere cancelar la reserva BK-1 para Ali (Chair 1, viernes 2026-11-27 15:00–15:30)? Faltan más de 2 h, así que no cuesta nada. Responda 'sí' para confirmar."
    );
    let done = world.agree::<CancelBooking>(json!({})).await.unwrap();
    assert_eq!(done.booking.cancel_fee, None);
    let failure = refusal(world.ask::<CancelBooking>(json!({"customer": "ali"})).await);
    assert_eq!(failure.message, "Ali no tiene ninguna reserva pendiente.");
}

async fn sixty_four_on_ten(capacity: u16) {
    let world = shop_with(World::new().await, json!({"capacity": capacity})).await;
    let times: Vec<String> = (0..10)
        .map(|i| format!("{:02}:{:02}", 9 + i / 2, 30 * (i % 2)))
        .collect();
    let all = (0..64).map(|i| {
        let input = json!({"date": "2026-11-27", "time": times[i % 10], "customer": format!("new customer Guest{i:02}")});
        world.agree_unchecked::<CreateBooking>(input)
    });
    let done = futures::future::join_all(all).await;
    let mut taken: BTreeMap<String, u16> = BTreeMap::new();
    for one in done {
        match one {
            Ok((output, _)) => *taken.entry(output.booking.time).or_default() += 1,
            other => {
                let failure = refusal(other);
                assert_eq!(failure.code, FailureCode::SlotTaken);
                assert_eq!(failure.candidates.len(), 5, "{}", failure.message);
            }
        }
    }
    assert_eq!(taken.len(), 10);
    assert!(taken.values().all(|n| *n == capacity), "{taken:?}");
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    assert_eq!(world.number(deadlocks).await, 0);
    world.check_invariants().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_clients_on_ten_slots_for_one() {
    sixty_four_on_ten(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_clients_on_ten_slots_for_three() {
    sixty_four_on_ten(3).await;
}

/// Everybody moves by a quarter of an hour, over each other's and their own times, while others book and cancel.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn moving_at_once_never_books_twice_and_never_deadlocks() {
    let world = shop_with(World::new().await, json!({"capacity": 2})).await;
    for i in 0..16 {
        let time = format!("{:02}:{:02}", 9 + i / 4, 30 * ((i / 2) % 2));
        book(&world, at(&time, &format!("new customer Guest{i:02}"))).await;
    }
    let moves = (0..48).map(|i| {
        let world = &world;
        async move {
            let number = 1 + i % 16;
            let time = format!("{:02}:{:02}", 9 + (i * 7) % 5, 15 * ((i * 3) % 4));
            let input = json!({"booking": format!("BK-{number}"), "time": time});
            match i % 8 {
                7 => {
                    world
                        .agree_unchecked::<CancelBooking>(json!({"booking": number.to_string()}))
                        .await
                }
                _ => world.agree_unchecked::<RescheduleBooking>(input).await,
            }
        }
    });
    let mut moved = 0;
    for one in futures::future::join_all(moves).await {
        match one {
            Ok(_) => moved += 1,
            other => {
                let failure = refusal(other);
                let known = [
                    FailureCode::SlotTaken,
                    FailureCode::VersionConflict,
                    FailureCode::InvalidArguments,
                    FailureCode::BookingClosed,
                ];
                assert!(known.contains(&failure.code), "{failure:?}");
            }
        }
    }
    assert!(moved > 0);
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    assert_eq!(world.number(deadlocks).await, 0);
    world.check_invariants().await;
}

#[tokio::test]
async fn days_on_which_the_clocks_change_are_right() {
    for (zone, autumn, time, readings, hours) in [
        (
            "Europe/Madrid",
            "2026-10-25",
            "02:30",
            ["02:30 (+02:00)", "02:30 (+01:00)"],
            25,
        ),
        (
            "America/New_York",
            "2026-11-01",
            "01:30",
            ["01:30 (-04:00)", "01:30 (-05:00)"],
            25,
        ),
        (
            "Europe/Madrid",
            "2026-03-29",
            "02:30",
            ["01:30 (+01:00)", "03:30 (+02:00)"],
            23,
        ),
        (
            "America/New_York",
            "2026-03-08",
            "02:30",
            ["01:30 (-05:00)", "03:30 (-04:00)"],
            23,
        ),
    ] {
        let world = World::with(|shop| shop.time_zone = zone.parse().unwrap()).await;
        world.move_clock_to(&format!(
            "{}-01T12:00:00Z",
            if hours == 25 { "2026-10" } else { "2026-02" }
        ));
        let chair = json!({"name": "Chair 1", "slot_minutes": 60});
        world.write::<SetResource>(chair).await.unwrap();
        let sunday = json!({"resource": "chair", "weekdays": ["sunday"], "opens": "00:00", "closes": "24:00"});
        world.write::<SetHours>(sunday).await.unwrap();
        let day = json!({"date": autumn, "limit": 100});
        let free = world.read::<CheckAvailability>(day).await.unwrap();
        assert_eq!(free.slots.len(), hours, "{zone}");

        let input = json!({"date": autumn, "time": time, "minutes": 30});
        let failure = refusal(world.ask::<CreateBooking>(input.clone()).await);
        assert_eq!(failure.code, FailureCode::AmbiguousTime);
        let names: Vec<String> = failure.candidates.into_iter().map(|c| c.name).collect();
        assert_eq!(names, readings);
        for reading in readings {
            let mut input = input.clone();
            input["time"] = json!(reading);
            let done = book(&world, input).await;
            let said = if hours == 25 { reading } else { &reading[..5] };
            assert_eq!(done.booking.time, said);
        }
        assert_eq!(
            world
                .number("select count(distinct starts_at) from shop.bookings")
                .await,
            2
        );
    }
}

#[tokio::test]
async fn buffers_keep_a_lane_free_around_a_booking() {
    let members = json!({"buffer_before_minutes": 10, "buffer_after_minutes": 20});
    let world = shop_with(World::new().await, members).await;
    book(&world, at("12:00", "Ali")).await;
    for (time, free) in [
        ("11:00", true),
        ("11:10", false),
        ("12:30", false),
        ("12:59", false),
        ("13:00", true),
    ] {
        let found = world.ask::<CreateBooking>(at(time, "Zoe")).await;
        assert_eq!(found.is_ok(), free, "{time}");
    }
    // What is kept free may lie outside the hours.
    book(&world, at("09:00", "Zoe")).await;
    book(&world, at("16:30", "Zoe")).await;
}

#[tokio::test]
async fn what_cannot_be_booked_says_why() {
    let mut world = World::new().await;
    let nothing = refusal(world.ask::<CreateBooking>(at("15:00", "Ali")).await);
    assert_eq!(nothing.code, FailureCode::UnknownResource);
    world = shop_with(
        world,
        json!({"min_notice_minutes": 60, "max_ahead_days": 14}),
    )
    .await;
    // A little after eleven in Kigali.
    for (date, time, message) in [
        (
            "2026-11-20",
            "10:30",
            "Friday 2026-11-20 10:30–11:00 is in the past. Free: 12:30, 13:00",
        ),
        (
            "2026-11-20",
            "11:30",
            "Chair 1 has to be booked 1 h before, so Friday 2026-11-20 11:30–12:00 is too soon. Free: 12:30",
        ),
        (
            "2026-12-05",
            "10:00",
            "Chair 1 can be booked 14 days ahead, so Saturday 2026-12-05 10:00–10:30 is too far. Free: Friday 2026-12-04 16:30",
        ),
        (
            "2026-11-27",
            "16:45",
            "Chair 1 is closed on Friday 2026-11-27 16:45–17:15, or for part of it. Free: 16:30, 16:00",
        ),
        (
            "2026-11-27",
            "08:45",
            "Chair 1 is closed on Friday 2026-11-27 08:45–09:15, or for part of it. Free: 09:00, 09:30",
        ),
    ] {
        let input = json!({"date": date, "time": time});
        let failure = refusal(world.ask::<CreateBooking>(input).await);
        assert_eq!(failure.code, FailureCode::NotBookable);
        assert!(failure.message.starts_with(message), "{}", failure.message);
    }
    for (member, value) in [
        ("time", json!("half past")),
        ("minutes", json!(4)),
        ("phone", json!("12")),
        ("notes", json!("x".repeat(501))),
        ("customer", json!("")),
        ("resource", json!("sauna")),
        ("date", json!("1900-01-01")),
    ] {
        let mut input = at("15:00", "Ali");
        input[member] = value;
        let failure = refusal(world.ask::<CreateBooking>(input).await);
        assert_eq!(failure.field.as_deref(), Some(member));
    }
    let closed = json!({"name": "Chair 1", "active": false});
    world.write::<SetResource>(closed).await.unwrap();
    let input = json!({"resource": "Chair 1", "date": "2026-11-27", "time": "15:00"});
    let failure = refusal(world.ask::<CreateBooking>(input).await);
    assert_eq!(failure.message, "Chair 1 cannot be booked any more.");
}

#[tokio::test]
async fn the_one_that_is_free_is_booked_and_two_are_asked_about() {
    let world = shop_with(shop().await, json!({"name": "Chair 2"})).await;
    let hours =
        json!({"resource": "chair 2", "weekdays": ["friday"], "opens": "09:00", "closes": "17:00"});
    world.write::<SetHours>(hours).await.unwrap();
    let failure = refusal(world.ask::<CreateBooking>(at("15:00", "Ali")).await);
    assert_eq!(failure.code, FailureCode::AmbiguousResource);
    assert_eq!(failure.message, "What shall be booked: Chair 1 or Chair 2?");
    let mut one = at("15:00", "Ali");
    one["resource"] = json!("chair 1");
    book(&world, one).await;
    let other = book(&world, at("15:00", "Zoe")).await;
    assert_eq!(other.booking.resource, "Chair 2");
    let failure = refusal(world.ask::<CreateBooking>(at("15:00", "Eve")).await);
    assert_eq!(failure.code, FailureCode::SlotTaken);
    assert!(
        failure.message.starts_with("Nothing can be booked on Friday 2026-11-27 15:00–15:30. Free: Chair 1 14:30, Chair 2 14:30"),
        "{}",
        failure.message
    );
}

#[tokio::test]
async fn a_phone_names_its_customer_or_makes_one() {
    let world = shop().await;
    let mut new = json!({"date": "2026-11-27", "time": "09:00", "phone": "+250 788 123 456"});
    let first = book(&world, new.clone()).await;
    assert_eq!(first.booking.customer.as_deref(), Some("+250788123456"));
    new["time"] = json!("10:00");
    let second = book(&world, new.clone()).await;
    assert_eq!(second.booking.phone.as_deref(), Some("+250788123456"));
    assert_eq!(world.number("select count(*) from shop.customers").await, 1);
    new["time"] = json!("11:00");
    new["customer"] = json!("Zoe");
    let failure = refusal(world.ask::<CreateBooking>(new).await);
    assert_eq!(failure.field.as_deref(), Some("phone"));
}

#[tokio::test]
async fn bookings_are_listed_by_what_is_asked() {
    let mut world = shop().await;
    for (time, customer) in [("15:00", "Ali"), ("09:00", "Zoe"), ("10:00", "Ali")] {
        book(&world, at(time, customer)).await;
    }
    world
        .agree::<CancelBooking>(json!({"booking": "BK-2"}))
        .await
        .unwrap();
    let all = world.read::<ViewBookings>(json!({})).await.unwrap();
    assert_eq!(
        all.summary,
        "2 bookings: BK-3 Ali Chair 1 Friday 2026-11-27 10:00–10:30, BK-1 Ali Chair 1 Friday 2026-11-27 15:00–15:30."
    );
    let page = world
        .read::<ViewBookings>(json!({"limit": 1}))
        .await
        .unwrap();
    assert_eq!(page.bookings[0].reference, "BK-3");
    let next = json!({"limit": 1, "cursor": page.next_cursor.unwrap()});
    let page = world.read::<ViewBookings>(next).await.unwrap();
    assert_eq!(page.bookings[0].reference, "BK-1");
    assert_eq!(page.next_cursor, None);
    let cancelled = json!({"status": "cancelled", "customer": "zoe"});
    let cancelled = world.read::<ViewBookings>(cancelled).await.unwrap();
    assert_eq!(cancelled.bookings.len(), 1);
    let ambiguous = refusal(world.ask::<CancelBooking>(json!({"customer": "Ali"})).await);
    assert_eq!(ambiguous.code, FailureCode::AmbiguousBooking);
    assert_eq!(
        ambiguous.candidates[0].name,
        "BK-3 Chair 1 Friday 2026-11-27 10:00–10:30"
    );
    let named = json!({"booking": ambiguous.candidates[0].name});
    assert!(world.ask::<CancelBooking>(named).await.is_ok());

    world.move_clock_to("2026-11-27T08:10:00Z");
    let begun = refusal(world.ask::<CancelBooking>(json!({"booking": "BK-3"})).await);
    assert_eq!(begun.code, FailureCode::BookingClosed);
    world.move_clock_to("2026-11-27T10:00:00Z");
    let over = json!({"from": "2026-11-27", "to": "2026-11-27", "status": "completed"});
    let over = world.read::<ViewBookings>(over).await.unwrap();
    assert_eq!(over.bookings[0].status, BookingStatus::Completed);
    let coming = world.read::<ViewBookings>(json!({})).await.unwrap();
    assert_eq!(coming.bookings.len(), 1);

    for (input, field) in [
        (json!({"from": "2026-11-28", "to": "2026-11-27"}), "from"),
        (json!({"cursor": "bm8"}), "cursor"),
        (json!({"limit": 101}), "limit"),
        (json!({"to": "+10000-01-01"}), "to"),
        (json!({"resource": "sauna"}), "resource"),
    ] {
        let failure = refusal(world.read::<ViewBookings>(input).await);
        assert_eq!(failure.field.as_deref(), Some(field));
    }
    world.stand_in(world.neighbour().await);
    let failure = refusal(world.ask::<CancelBooking>(json!({"booking": "BK-1"})).await);
    assert_eq!(
        failure.code,
        FailureCode::UnknownBooking,
        "of the shop next door"
    );
    let none = world.read::<ViewBookings>(json!({})).await.unwrap();
    assert_eq!(none.summary, "There are no bookings.");
}

#[tokio::test]
async fn a_smaller_capacity_has_room_for_what_is_booked() {
    let world = shop_with(World::new().await, json!({"capacity": 2})).await;
    for customer in ["Ali", "Zoe"] {
        book(&world, at("15:00", customer)).await;
    }
    let one = json!({"name": "Chair 1", "capacity": 1});
    let failure = refusal(world.write::<SetResource>(one.clone()).await);
    assert_eq!(
        failure.message,
        "Chair 1 has bookings that a smaller capacity has no room for: BK-2."
    );
    world.move_clock_to("2026-11-28T09:00:00Z");
    world.write::<SetResource>(one).await.unwrap();
}

#[tokio::test]
async fn a_calendar_file_follows_its_booking() {
    let world = shop().await;
    book(&world, at("15:00", "Ali")).await;
    let first = world.calendar_file("BK-1").await.unwrap();
    assert!(first.contains("METHOD:REQUEST") && first.contains("SEQUENCE:0"));
    assert!(first.contains("DTSTART:20261127T130000Z"), "{first}");
    world
        .agree::<RescheduleBooking>(json!({"booking": "1", "time": "16:00"}))
        .await
        .unwrap();
    world
        .agree::<CancelBooking>(json!({"booking": "1"}))
        .await
        .unwrap();
    let last = world.calendar_file("bk-1").await.unwrap();
    assert!(last.contains("METHOD:CANCEL") && last.contains("SEQUENCE:2"));
    let uid = |file: &str| {
        file.lines()
            .find(|l| l.starts_with("UID:"))
            .map(str::to_owned)
    };
    assert_eq!(uid(&first), uid(&last));
    let failure = refusal(world.calendar_file("BK-9").await);
    assert_eq!(failure.code, FailureCode::UnknownBooking);
}
