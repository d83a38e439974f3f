//! One business never sees another's, and one customer never another's: in the database as each program's own role, and over the wire.

mod apart;
mod arguments;
mod shops;

use std::collections::{BTreeSet, HashMap};

use contracts::ids::TenantId;
use contracts::token::PrincipalRole;
use e2e::world::mcp::{Principal, asked, done, refused, yes};
use e2e::world::{Setting, World, until};
use migrations::database::Role;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use uuid::Uuid;

use apart::{Apart, Side};
use shops::{Furnished, Names, OURS, THEIRS, in_days};

const OTHER: Uuid = Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_beef);

/// A shop in which every business table has a row of the demo tenant.
async fn lived_in() -> World {
    let world = World::open().await;
    world.say("s", "Create a bill for Ali: 1 shampoo").await;
    world.say("s", "yes").await;
    let client = world.asking_client();
    let bill = json!({"lines": [{"item": "Soap", "quantity": "1"}], "payment": {"method": "cash"}, "idempotency_key": "k"});
    let state = asked(&client.call("billing_create_bill", &bill).await);
    done(
        &client
            .retry("billing_create_bill", &bill, &state, yes())
            .await,
    );
    for (tool, arguments) in [
        (
            "update_preferences",
            json!({"customer": "Ali", "favourites": {"add": ["Rice"]}}),
        ),
        (
            "booking_set_resource",
            json!({"name": "Chair 1", "aliases": ["silla 1"], "max_ahead_days": 365}),
        ),
        (
            "booking_set_hours",
            json!({"resource": "Chair 1", "weekdays": ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"],
                   "opens": "00:00", "closes": "24:00"}),
        ),
        (
            "booking_set_hours",
            json!({"resource": "Chair 1", "date": in_days(9), "closed": true}),
        ),
        ("create_ticket", json!({"subject": "Sour milk"})),
        (
            "update_ticket",
            json!({"ticket": "last", "note": "Called back"}),
        ),
    ] {
        done(&client.call(tool, &arguments).await);
    }
    let booking =
        json!({"resource": "Chair 1", "customer": "Ali", "date": in_days(5), "time": "10:00"});
    let state = asked(&client.call("create_booking", &booking).await);
    done(
        &client
            .retry("create_booking", &booking, &state, yes())
            .await,
    );
    written_by_jobs(&world).await;
    let branch = "insert into shop.locations (tenant_id, id, name, latitude, longitude, created_at) select id, id, 'Remera', -1.9579, 30.1127, now() from shop.tenants";
    sqlx::query(branch)
        .execute(&world.db)
        .await
        .expect("a branch");
    let policy = "insert into shop.policies (tenant_id, tool, approver) select id, 'inventory_delete_item', 'owner' from shop.tenants";
    sqlx::query(policy)
        .execute(&world.db)
        .await
        .expect("a policy");
    let other = "insert into shop.tenants (id, name, currency, created_at) values ($1, 'Other shop', 'KES', now())";
    sqlx::query(other)
        .bind(OTHER)
        .execute(&world.db)
        .await
        .expect("another tenant");
    world
}

/// What only jobs and administration write.
async fn written_by_jobs(world: &World) {
    sqlx::raw_sql(
        "insert into shop.webhook_endpoints (tenant_id, id, url, topics, secret, created_at)
         select id, id, 'https://erp.example/hooks', '{bill.issued}', 'whsec_' || repeat('A', 44), now() from shop.tenants;
         insert into shop.webhook_deliveries (tenant_id, endpoint_id, event_id, subject, seq, next_at)
         select tenant_id, tenant_id, id, subject, 1, now() + interval '1 year' from shop.outbox order by id limit 1;
         insert into shop.payment_requests (tenant_id, payment_id, step, next_at)
         select tenant_id, id, 'poll', null from shop.payments order by id limit 1;
         insert into shop.people (tenant_id, id, subject, name, role, password_hash, created_at)
         select id, id, 'amina', 'Amina', 'owner', '$argon2id$', now() from shop.tenants;
         insert into shop.api_keys (tenant_id, id, name, secret_hash, role, scopes, created_by, created_at)
         select id, id, 'till', sha256('till'), 'staff', '{all:read}', 'amina', now() from shop.tenants;
         insert into shop.sessions (tenant_id, id, token_hash, person_id, created_at, expires_at)
         select id, id, sha256('session'), id, now(), now() + interval '1 day' from shop.tenants;
         insert into shop.booking_reminders (tenant_id, booking_id, starts_at, hours_before, at)
         select tenant_id, id, starts_at, 24, now() from shop.bookings order by id limit 1;",
    )
    .execute(&world.db)
    .await
    .expect("rows of jobs");
}

/// Every business table with the column that names its tenant, by the role whose program owns it.
async fn tables(world: &World, role: Role) -> Vec<(String, &'static str)> {
    let schema = role.name().trim_start_matches("countersign_").to_owned();
    let names = sqlx::query_scalar::<_, String>(
        "select tablename::text from pg_tables where schemaname = $1 and tablename not in ('currencies', 'units') order by 1",
    );
    let names = names
        .bind(&schema)
        .fetch_all(&world.db)
        .await
        .expect("tables");
    assert!(names.len() >= 5, "{names:?}");
    names
        .into_iter()
        .map(|name| {
            (
                format!("{schema}.{name}"),
                if name == "tenants" { "id" } else { "tenant_id" },
            )
        })
        .collect()
}

async fn connected(world: &World, role: Role) -> PgConnection {
    PgConnection::connect(&world.database_url(role))
        .await
        .expect("a connection")
}

async fn count(conn: &mut PgConnection, table: &str) -> Result<i64, String> {
    sqlx::query_scalar::<_, i64>(AssertSqlSafe(format!("select count(*) from {table}")))
        .fetch_one(conn)
        .await
        .map_err(|e| e.to_string())
}

#[tokio::test]
async fn without_a_tenant_every_table_is_closed() {
    let world = lived_in().await;
    for role in [Role::Shop, Role::Agent] {
        let tables = tables(&world, role).await;
        // One connection has never heard of a tenant, the other one has worked for one.
        let mut fresh = connected(&world, role).await;
        let mut used = connected(&world, role).await;
        let mut work = used.begin().await.expect("a transaction");
        work.execute(AssertSqlSafe(format!(
            "set local app.tenant = '{}'",
            TenantId::DEMO.0
        )))
        .await
        .expect("a tenant");
        for (table, _) in &tables {
            assert!(
                count(&mut work, table).await.expect("readable") > 0,
                "{table} is empty, so this scene tells nothing of it"
            );
        }
        work.commit().await.expect("committed");
        for (table, _) in &tables {
            for conn in [&mut fresh, &mut used] {
                let answer = count(conn, table).await;
                assert!(answer.is_err(), "{role:?} sees {answer:?} rows of {table}");
            }
        }
        // And nothing at all of the other program's tables.
        let others = self::tables(
            &world,
            if role == Role::Shop {
                Role::Agent
            } else {
                Role::Shop
            },
        )
        .await;
        for (table, _) in others {
            assert!(
                count(&mut fresh, &table)
                    .await
                    .is_err_and(|e| e.contains("permission denied")),
                "{role:?}: {table}"
            );
        }
    }
}

/// The statement, and its parameter, that writes the first tenant's own row once more.
async fn written_again(world: &World, table: &str, column: &str) -> (String, Value) {
    let columns: Vec<String> = sqlx::query_scalar(
        "select quote_ident(attname) from pg_attribute
         where attrelid = $1::regclass and attnum > 0 and not attisdropped and attgenerated = '' and attidentity = ''",
    )
    .bind(table)
    .fetch_all(&world.db)
    .await
    .expect("columns");
    let columns = columns.join(", ");
    let row = sqlx::query_scalar(AssertSqlSafe(format!(
        "select to_jsonb(t) from {table} t where {column} <> '{OTHER}' limit 1"
    )))
    .fetch_one(&world.db)
    .await
    .expect(table);
    let insert = format!(
        "insert into {table} ({columns}) select {columns} from jsonb_populate_record(null::{table}, $1)"
    );
    (insert, row)
}

#[tokio::test]
async fn a_tenant_sees_and_writes_only_its_own() {
    let world = lived_in().await;
    for role in [Role::Shop, Role::Agent] {
        for (table, column) in tables(&world, role).await {
            let mut conn = connected(&world, role).await;
            let mut tx = conn.begin().await.expect("a transaction");
            tx.execute(AssertSqlSafe(format!("set local app.tenant = '{OTHER}'")))
                .await
                .expect("a tenant");
            let seen: i64 = sqlx::query_scalar(AssertSqlSafe(format!(
                "select count(*) from {table} where {column} <> '{OTHER}'"
            )))
            .fetch_one(&mut *tx)
            .await
            .expect("readable");
            assert_eq!(seen, 0, "{table}");
            let (forged, row) = written_again(&world, &table, column).await;
            let refused = sqlx::query(AssertSqlSafe(forged))
                .bind(&row)
                .execute(&mut *tx)
                .await
                .expect_err(&table);
            let code = refused
                .as_database_error()
                .and_then(|e| e.code().map(std::borrow::Cow::into_owned));
            assert_eq!(code.as_deref(), Some("42501"), "{table}: {refused}");
        }
    }
}

#[tokio::test]
async fn over_the_wire_another_tenant_is_a_stranger() {
    let world = lived_in().await;
    let mut claims = world.claims();
    (claims.tenant, claims.role) = (TenantId(OTHER), PrincipalRole::Owner);
    let stranger = world.asking_client().bearer(&world.signed(&claims));
    let ours = world.asking_client();
    let seen = async |tool: &str, arguments: Value| done(&stranger.call(tool, &arguments).await);
    let missing =
        async |tool: &str, arguments: Value| refused(&stranger.call(tool, &arguments).await);

    assert_eq!(
        seen("inventory_list_items", json!({})).await["items"],
        json!([])
    );
    assert_eq!(
        seen("billing_list_bills", json!({})).await["bills"],
        json!([])
    );
    let summary = seen("sales_summary", json!({"period": "today"})).await;
    assert_eq!(summary["bills"], 0);
    let soap = json!({"item": "Soap"});
    let failure = missing("inventory_get_item", soap.clone()).await;
    assert_eq!(failure["code"], "unknown_item");
    let nowhere = json!({"bill": "INV-77"});
    let nowhere = refused(&ours.call("billing_get_bill", &nowhere).await);
    let bill = world.text("select id::text from shop.bills limit 1").await;
    for name in [bill.as_str(), "INV-1", "last"] {
        let failure = missing("billing_get_bill", json!({"bill": name})).await;
        assert_eq!(failure["code"], "unknown_bill", "{name}");
        let as_if = if name == "last" {
            "There is no bill yet.".to_owned()
        } else {
            nowhere["message"]
                .as_str()
                .expect("a sentence")
                .replace("INV-77", name)
        };
        assert_eq!(failure["message"], as_if, "as if it were nowhere");
    }
    // Neither its questions.
    let question = ours.call("inventory_delete_item", &soap).await;
    let id = &question["_meta"]["countersign/confirmation"]["id"];
    let stolen = stranger
        .retry("inventory_delete_item", &soap, &asked(&question), yes())
        .await;
    assert_eq!(refused(&stolen)["code"], "unknown_confirmation");
    let collected = missing("confirm_action", json!({"confirmation_id": id})).await;
    assert_eq!(collected["code"], "unknown_confirmation");
    // The same name and the same key are free to use there.
    let item = json!({"name": "Soap", "unit_price": "1", "idempotency_key": "k"});
    let added = seen("inventory_add_item", item).await;
    assert_eq!(added["item"]["unit_price"]["currency"], "KES");
    let there = done(&ours.call("inventory_get_item", &soap).await);
    assert_eq!(there["item"]["unit_price"]["currency"], "RWF");
}

/// A shop without goods of the demo's.
async fn empty() -> World {
    World::open_with(Setting {
        variables: HashMap::from([("MCP_RATE_PER_MINUTE", "0".to_owned())]),
        empty: true,
        ..Setting::default()
    })
    .await
}

/// How many things of one kind are taken as examples.
const EXAMPLES_MAX: usize = 1;

/// What answers name things by: each of these is among the examples.
const NAMING: [&str; 12] = [
    "bill_id",
    "booking_id",
    "confirmation_id",
    "cursor",
    "customer_id",
    "email",
    "name",
    "number",
    "payment_id",
    "reference",
    "ticket_id",
    "token",
];

/// What names the strangers' things and nothing of the others', some of every kind.
fn strange(theirs: &[Value], ours: &[Value]) -> Vec<String> {
    let ours: BTreeSet<String> = shops::names_in(ours).into_values().flatten().collect();
    let (mut strange, mut members) = (BTreeSet::new(), BTreeSet::new());
    for (member, names) in shops::names_in(theirs) {
        let of_theirs = names.into_iter().filter(|name| !ours.contains(name));
        let examples: Vec<String> = of_theirs.take(EXAMPLES_MAX).collect();
        if !examples.is_empty() {
            members.insert(member);
        }
        strange.extend(examples);
    }
    for member in NAMING {
        assert!(
            members.contains(member),
            "nothing of theirs has a {member} of its own"
        );
    }
    strange.into_iter().collect()
}

/// Until nothing is written any more by jobs.
async fn at_rest(world: &World, tenant: TenantId) {
    until("nothing changes by itself", async || {
        let before = shops::rows_of_tenant(world, tenant).await;
        world.until_idle().await;
        shops::rows_of_tenant(world, tenant).await == before
    })
    .await;
}

/// The same principal in both worlds, each with its own question.
fn apart<'w>(
    worlds: [&'w World; 2],
    who: [&Principal; 2],
    furnished: [&Furnished; 2],
    strange: Vec<String>,
) -> Apart<'w> {
    let words = apart::words_of(&strange.join(" "));
    let side = |n: usize| Side {
        world: worlds[n],
        who: who[n].clone(),
        ids: furnished[n].ids.clone(),
        strange: words.clone(),
    };
    Apart {
        there: side(0),
        nowhere: side(1),
        own: furnished[0].own.clone(),
        strange,
        used: 0,
        not_offered: BTreeSet::new(),
        problems: Vec::new(),
    }
}

/// Everything a principal was told while its things were made and by every tool that reads.
async fn told(world: &World, who: &Principal, furnished: &Furnished) -> Vec<Value> {
    let side = Side {
        world,
        who: who.clone(),
        ids: furnished.ids.clone(),
        strange: BTreeSet::new(),
    };
    let mut answers = side.told(&furnished.own).await;
    answers.extend(furnished.answers.clone());
    let id = &furnished.ids[arguments::QUESTION];
    answers.push(json!({"confirmation_id": id, "token": furnished.token}));
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_business_has_is_to_its_neighbour_as_if_it_were_nowhere() {
    let (there, nowhere) = futures::join!(empty(), empty());
    let owner = Principal::owner(TenantId::DEMO);
    let (ours, alike) = futures::join!(
        shops::shop(&there, &owner, &OURS),
        shops::shop(&nowhere, &owner, &OURS)
    );
    let neighbour = Principal::owner(TenantId(OTHER));
    shops::found(&there, neighbour.tenant, "Vyxoq Trading").await;
    shops::count_from(&there, neighbour.tenant, 7000).await;
    let theirs = shops::shop(&there, &neighbour, &THEIRS).await;
    let all = strange(
        &told(&there, &neighbour, &theirs).await,
        &told(&there, &owner, &ours).await,
    );
    at_rest(&there, neighbour.tenant).await;
    let before = shops::rows_of_tenant(&there, neighbour.tenant).await;
    let staff = Principal {
        subject: "ana".to_owned(),
        role: PrincipalRole::Staff,
        ..owner.clone()
    };
    let mut used = 0;
    // The owner is offered whatever staff are; what differs is who asks.
    for (who, every) in [(&staff, 4), (&owner, 1)] {
        let some = all.iter().step_by(every).cloned().collect();
        let mut apart = apart([&there, &nowhere], [who, who], [&ours, &alike], some);
        apart.used = used;
        for tool in apart.tools().await {
            apart.try_tool(&tool).await;
            let after = shops::rows_of_tenant(&there, neighbour.tenant).await;
            assert_eq!(after, before, "{} reached their rows", tool.name);
        }
        apart.try_the_rest().await;
        used = apart.used;
        apart.finish();
    }
    let after = shops::rows_of_tenant(&there, neighbour.tenant).await;
    assert_eq!(after, before, "by a resource, a prompt or a page");
}

/// A customer of the demo's business, with a question of her own.
async fn customer_with_everything(
    world: &World,
    names: &Names,
    day: &str,
) -> (Principal, Furnished) {
    let owner = Principal::owner(TenantId::DEMO);
    let mut furnished = shops::person(world, &owner, names, 0, day).await;
    let who = shops::customer(world, owner.tenant, names.people[0].0).await;
    let cancel = json!({"booking": furnished.own.booking});
    furnished.asks(world, &who, "cancel_booking", cancel).await;
    let wish = json!({"subject": format!("{} asks", names.people[0].0)});
    let opened = shops::does(world, &who, "create_ticket", wish).await;
    furnished.answers.push(opened);
    (who, furnished)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_customer_has_is_to_her_neighbour_as_if_it_were_nowhere() {
    let (there, nowhere) = futures::join!(empty(), empty());
    let owner = Principal::owner(TenantId::DEMO);
    let (goods, _) = futures::join!(
        shops::goods(&there, &owner, &OURS),
        shops::goods(&nowhere, &owner, &OURS)
    );
    let day = in_days(5);
    let ((here, mut hers), (alike, hers_alike)) = futures::join!(
        customer_with_everything(&there, &OURS, &day),
        customer_with_everything(&nowhere, &OURS, &day)
    );
    hers.answers.extend(goods);
    let names = Names {
        people: THEIRS.people,
        ..OURS
    };
    shops::count_from(&there, TenantId::DEMO, 7000).await;
    let (other, others) = customer_with_everything(&there, &names, &in_days(200)).await;
    let all = strange(
        &told(&there, &other, &others).await,
        &told(&there, &here, &hers).await,
    );
    at_rest(&there, TenantId::DEMO).await;
    let other_id = other.customer.expect("a customer");
    let before = shops::rows_of_customer(&there, other_id).await;
    let mut apart = apart(
        [&there, &nowhere],
        [&here, &alike],
        [&hers, &hers_alike],
        all,
    );
    for tool in apart.tools().await {
        apart.try_tool(&tool).await;
        apart.try_what_is_staffs(&tool).await;
        let after = shops::rows_of_customer(&there, other_id).await;
        assert_eq!(after, before, "{} reached her rows", tool.name);
    }
    apart.try_the_rest().await;
    apart.finish();
    let after = shops::rows_of_customer(&there, other_id).await;
    assert_eq!(after, before, "by a resource, a prompt or a page");
}

#[tokio::test]
async fn others_bookings_take_their_time_and_have_no_names() {
    let world = empty().await;
    let owner = Principal::owner(TenantId::DEMO);
    shops::goods(&world, &owner, &OURS).await;
    let one = json!({"name": OURS.resource, "capacity": 1});
    shops::does(&world, &owner, "booking_set_resource", one).await;
    let names = Names {
        people: THEIRS.people,
        ..OURS
    };
    let day = in_days(5);
    shops::person(&world, &owner, &names, 0, &day).await;
    shops::does(
        &world,
        &owner,
        "create_customer",
        json!({"name": OURS.people[0].0}),
    )
    .await;
    let who = shops::customer(&world, owner.tenant, OURS.people[0].0).await;
    let client = world.client_of(&who);
    let at = json!({"date": day, "time": "10:00"});
    let looked = client.call("check_availability", &at).await;
    assert_eq!(done(&looked)["is_free"], false, "{looked}");
    let tried = client.call("create_booking", &at).await;
    assert_eq!(refused(&tried)["code"], "slot_taken", "{tried}");
    let listed = client.call("view_bookings", &json!({})).await;
    assert_eq!(done(&listed)["bookings"], json!([]));
    for answer in [looked, tried, listed] {
        assert!(!answer.to_string().contains(THEIRS.people[0].0), "{answer}");
    }
}

#[tokio::test]
async fn two_businesses_call_the_same_things_by_the_same_names() {
    let world = empty().await;
    let owner = Principal::owner(TenantId::DEMO);
    let neighbour = Principal::owner(TenantId(OTHER));
    shops::found(&world, neighbour.tenant, "Another shop").await;
    let mut both = Vec::new();
    for who in [&owner, &neighbour] {
        both.push(shops::shop(&world, who, &OURS).await);
        // The same name at log-in, too.
        sqlx::query("insert into shop.people (tenant_id, id, subject, name, role, created_at) values ($1, gen_random_uuid(), 'amina', 'Amina', 'owner', now())")
            .bind(who.tenant.0)
            .execute(&world.db)
            .await
            .expect("a person");
    }
    for (bill, name) in [(&both[0].own.bill, "INV-1"), (&both[1].own.bill, "INV-1")] {
        assert_eq!(bill, name);
    }
    // One after the other over the same connections and caches, with the same key for the same call.
    let wish =
        json!({"subject": "Sour milk", "customer": OURS.people[0].0, "idempotency_key": "k"});
    let mut opened = Vec::new();
    for who in [&owner, &neighbour, &owner, &neighbour] {
        let ticket =
            shops::does(&world, who, "create_ticket", wish.clone()).await["ticket"].clone();
        let found = shops::does(
            &world,
            who,
            "get_user_profile",
            json!({"customer": OURS.people[0].1}),
        )
        .await;
        opened.push((
            ticket["ticket_id"].clone(),
            found["customer"]["customer_id"].clone(),
        ));
    }
    assert_ne!(opened[0], opened[1]);
    assert_eq!(
        opened[..2],
        opened[2..],
        "the same key is the same call, in its business"
    );
}
