//! One business never sees another's: in the database as each program's own role, and over the wire.

use contracts::ids::TenantId;
use contracts::token::PrincipalRole;
use e2e::world::World;
use e2e::world::mcp::{asked, done, refused, yes};
use migrations::clock::{Clock as _, SystemClock};
use migrations::database::Role;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use uuid::Uuid;

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

/// What only jobs and the owner's command line write.
async fn written_by_jobs(world: &World) {
    sqlx::raw_sql(
        "insert into shop.webhook_endpoints (tenant_id, id, url, topics, secret, created_at)
         select id, id, 'https://erp.example/hooks', '{bill.issued}', 'whsec_' || repeat('A', 44), now() from shop.tenants;
         insert into shop.webhook_deliveries (tenant_id, endpoint_id, event_id, subject, seq, next_at)
         select tenant_id, tenant_id, id, subject, 1, now() + interval '1 year' from shop.outbox order by id limit 1;
         insert into shop.payment_requests (tenant_id, payment_id, step, next_at)
         select tenant_id, id, 'poll', null from shop.payments order by id limit 1;
         insert into shop.booking_reminders (tenant_id, booking_id, starts_at, hours_before, at)
         select tenant_id, id, starts_at, 24, now() from shop.bookings order by id limit 1;",
    )
    .execute(&world.db)
    .await
    .expect("rows of jobs");
}

/// A day to come, as arguments name it.
fn in_days(days: i64) -> String {
    let day = SystemClock.now() + chrono::TimeDelta::days(days);
    day.date_naive().to_string()
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
