//! A Postgres the program was given: what it checks, what it asks an administrator for, and how it lives through a restart of it.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use migrations::database::{self, Database, DatabaseSettings, OpenError, Role};
use migrations::test_database::{PrivateCluster, TestDatabase};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};

fn settings(url: &str, owner_url: Option<&str>, role: Role) -> DatabaseSettings {
    DatabaseSettings {
        home: PathBuf::from("/nonexistent/countersign"),
        database_url: Some(url.to_owned()),
        direct_url: None,
        owner_url: owner_url.map(str::to_owned),
        pool_size: 4,
        role,
    }
}

async fn open(url: &str, owner_url: Option<&str>) -> Result<Database, OpenError> {
    database::open(settings(url, owner_url, Role::Shop), &mut |_| {}).await
}

async fn refusal(url: &str, owner_url: Option<&str>) -> String {
    open(url, owner_url).await.unwrap_err().to_string()
}

async fn run(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    connection
        .execute(AssertSqlSafe(sql.to_owned()))
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    connection.close().await.unwrap();
}

async fn ask(pool: &PgPool, sql: &'static str) -> String {
    sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
}

/// A table with a row of each of two tenants, made by the owner, closed as the migrations close theirs.
async fn closed_table(owner_url: &str) {
    run(
        owner_url,
        "create table shop.scene (tenant_id uuid, name text);
         insert into shop.scene values ('00000000-0000-7000-8000-000000000001', 'ours'), ('00000000-0000-7000-8000-000000000002', 'theirs');
         alter table shop.scene enable row level security;
         create policy tenant on shop.scene to countersign_shop using (tenant_id = (select current_setting('app.tenant')::uuid));
         grant select on shop.scene to countersign_shop",
    )
    .await;
}

/// Row level security holds on this pool: without a tenant an error, with one its rows only.
async fn assert_bound(pool: &PgPool) {
    let refused = pool.execute("select name from shop.scene").await;
    assert!(refused.is_err(), "a select without a tenant went through");
    let mut transaction = pool.begin().await.unwrap();
    transaction
        .execute("select set_config('app.tenant', '00000000-0000-7000-8000-000000000001', true)")
        .await
        .unwrap();
    let names: Vec<String> = sqlx::query_scalar("select name from shop.scene")
        .fetch_all(&mut *transaction)
        .await
        .unwrap();
    assert_eq!(names, ["ours"]);
}

#[tokio::test]
async fn whoever_logs_in_works_as_the_role_that_row_level_security_binds() {
    let database = TestDatabase::new().await;
    let admin = database.admin_url();
    closed_table(&database.owner_url()).await;
    let number = std::process::id();
    let (member, stranger) = (
        format!("scene_member_{number}"),
        format!("scene_stranger_{number}"),
    );
    run(
        &admin,
        &format!(
            "create role {member} login in role countersign_shop;
             create role {stranger} login noinherit in role countersign_shop"
        ),
    )
    .await;
    for (login, works_as) in [
        ("countersign_shop", "countersign_shop"),
        ("countersign_admin", "countersign_shop"),
        (&member, &member),
        (&stranger, "countersign_shop"),
    ] {
        let opened = open(&database.url_of(login), Some(&database.owner_url())).await;
        let opened = opened.unwrap_or_else(|error| panic!("{login}: {error}"));
        assert_eq!(
            ask(&opened.pool, "select current_user::text").await,
            works_as
        );
        assert_bound(&opened.pool).await;
    }
    // The owner is nobody's member, and only an administrator can change that.
    let refused = refusal(&database.owner_url(), None).await;
    assert!(
        refused.ends_with(
            "\n\ngrant countersign_shop to countersign_owner;\ngrant countersign_agent to countersign_owner;"
        ),
        "{refused}"
    );
    run(&admin, &format!("drop role {member}, {stranger}")).await;
}

#[tokio::test]
async fn a_plain_login_that_owns_a_database_gets_the_exact_sql_it_needs() {
    let cluster = PrivateCluster::new().await;
    let admin = cluster.url_of("countersign_admin", "postgres");
    // A server as a hosting company hands it over: our roles were never there.
    run(&admin, "drop database countersign with (force)").await;
    run(
        &admin,
        "drop role countersign_shop, countersign_agent; create role \"plain login\" login",
    )
    .await;
    run(&admin, "create database shopdata owner \"plain login\"").await;
    let url = cluster.url_of("plain%20login", "shopdata");

    let message = refusal(&url, None).await;
    let (sentence, sql) = message.split_once("\n\n").unwrap();
    assert!(sentence.contains("Nothing was changed"), "{sentence}");
    assert_eq!(
        sql,
        "create role countersign_shop nologin nosuperuser nobypassrls;\n\
         grant countersign_shop to \"plain login\";\n\
         create role countersign_agent nologin nosuperuser nobypassrls;\n\
         grant countersign_agent to \"plain login\";"
    );
    let mut owner = PgConnection::connect(&url).await.unwrap();
    let made: i64 = sqlx::query_scalar(
        "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where n.nspname in ('public', 'shop', 'agent')",
    )
    .fetch_one(&mut owner)
    .await
    .unwrap();
    assert_eq!(made, 0, "nothing was half done");

    run(&admin, sql).await;
    let shop = open(&url, None).await.unwrap();
    assert_eq!(
        ask(&shop.pool, "select current_user::text").await,
        "countersign_shop"
    );
    closed_table(&url).await;
    assert_bound(&shop.pool).await;
    let agent = database::open(settings(&url, None, Role::Agent), &mut |_| {})
        .await
        .unwrap();
    assert_eq!(
        ask(&agent.pool, "select current_user::text").await,
        "countersign_agent"
    );
}

#[tokio::test]
async fn a_login_that_may_make_roles_makes_them() {
    let cluster = PrivateCluster::new().await;
    let admin = cluster.url_of("countersign_admin", "postgres");
    run(&admin, "drop database countersign with (force)").await;
    run(
        &admin,
        "drop role countersign_shop, countersign_agent; create role maker login createrole; create role app login",
    )
    .await;
    run(&admin, "create database shopdata owner maker").await;
    let (app, maker) = (
        cluster.url_of("app", "shopdata"),
        cluster.url_of("maker", "shopdata"),
    );
    let shop = open(&app, Some(&maker)).await.unwrap();
    assert_eq!(ask(&shop.pool, "select current_user::text").await, "app");
    assert_eq!(ask(&shop.pool, "select shop.norm('ÉTÉ')").await, "ete");
}

#[tokio::test]
async fn an_owner_url_without_rights_gets_all_of_them_in_one_message() {
    let cluster = PrivateCluster::new().await;
    let admin = cluster.url_of("countersign_admin", "postgres");
    run(&admin, "create role helpless login").await;
    run(&admin, "create database shopdata").await;
    let helpless = cluster.url_of("helpless", "shopdata");
    let message = database::migrate(&helpless).await.unwrap_err().to_string();
    let sql = message.split_once("\n\n").unwrap().1;
    for line in [
        "grant create on database shopdata to helpless;",
        "grant create on schema public to helpless;",
        "create extension pg_trgm with schema public;",
        "create extension unaccent with schema public;",
        "create extension btree_gist with schema public;",
        "create extension btree_gin with schema public;",
    ] {
        assert!(sql.contains(line), "{line} is missing in:\n{sql}");
    }
    run(&cluster.url_of("countersign_admin", "shopdata"), sql).await;
    database::migrate(&helpless).await.unwrap();
}

#[tokio::test]
async fn a_schema_that_is_missing_behind_newer_or_changed_is_one_sentence() {
    let cluster = PrivateCluster::new().await;
    let admin = cluster.url_of("countersign_admin", "postgres");
    run(&admin, "create database empty owner countersign_owner").await;
    let missing = refusal(&cluster.url_of("countersign_shop", "empty"), None).await;
    assert!(missing.contains("is missing"), "{missing}");
    assert!(missing.contains("mcp-server migrate"), "{missing}");

    let shop = cluster.url(Role::Shop);
    open(&shop, None).await.unwrap();
    let owner = cluster.owner_url();
    run(
        &owner,
        "insert into public._sqlx_migrations values (29990101000000, 'from the future', now(), true, '', 0)",
    )
    .await;
    for refused in [
        refusal(&shop, None).await,
        refusal(&shop, Some(&owner)).await,
    ] {
        assert!(refused.contains("newer than this program"), "{refused}");
    }
    run(
        &owner,
        "delete from public._sqlx_migrations where version = 29990101000000; update public._sqlx_migrations set checksum = ''",
    )
    .await;
    let changed = refusal(&shop, Some(&owner)).await;
    assert!(changed.contains("another text"), "{changed}");

    run(&admin, "create database taken owner countersign_owner").await;
    run(
        &cluster.url_of("countersign_owner", "taken"),
        "create schema shop",
    )
    .await;
    let taken = database::migrate(&cluster.url_of("countersign_owner", "taken"))
        .await
        .unwrap_err()
        .to_string();
    assert!(taken.contains("database of its own"), "{taken}");
}

#[tokio::test]
async fn programs_that_migrate_at_the_same_time_all_succeed() {
    let cluster = PrivateCluster::new().await;
    let admin = cluster.url_of("countersign_admin", "postgres");
    run(&admin, "create database fresh owner countersign_owner").await;
    let owner = cluster.url_of("countersign_owner", "fresh");
    let shop = cluster.url_of("countersign_shop", "fresh");
    let (one, two, three, four) = tokio::join!(
        open(&shop, Some(&owner)),
        database::migrate(&owner),
        open(&shop, Some(&owner)),
        database::migrate(&owner),
    );
    two.unwrap();
    four.unwrap();
    for opened in [one, three] {
        assert_eq!(
            ask(&opened.unwrap().pool, "select current_user::text").await,
            "countersign_shop"
        );
    }
}

#[tokio::test]
async fn a_role_that_row_level_security_does_not_bind_is_refused() {
    let cluster = PrivateCluster::new().await;
    let admin = cluster.admin_url();
    for (spoil, repair, fault) in [
        (
            "alter role countersign_shop bypassrls",
            "alter role countersign_shop nobypassrls",
            "may bypass row level security",
        ),
        (
            "grant countersign_owner to countersign_shop",
            "revoke countersign_owner from countersign_shop",
            "owns the tables",
        ),
    ] {
        run(&admin, spoil).await;
        for url in [cluster.url(Role::Shop), admin.clone()] {
            let refused = refusal(&url, Some(&cluster.owner_url())).await;
            assert!(refused.contains(fault), "{spoil}: {refused}");
        }
        run(&admin, repair).await;
    }
    open(&cluster.url(Role::Shop), None).await.unwrap();
}

#[tokio::test]
async fn a_server_that_cannot_serve_is_one_sentence_within_the_deadline() {
    let database = TestDatabase::new().await;
    let cases = [
        ("not an address", "is not a Postgres address"),
        (
            "postgres://shop@127.0.0.1:1/shop",
            "No Postgres answers at 127.0.0.1:1/shop",
        ),
        (
            "postgres://shop@localhost/shop?host=%2Fnonexistent",
            "No Postgres answers at /nonexistent/shop",
        ),
        (&database.url_of("nobody_of_ours"), "refuses the login"),
    ];
    for (url, sentence) in cases {
        let refused = refusal(url, None).await;
        assert!(refused.contains(sentence), "{url}: {refused}");
        assert_eq!(refused.lines().count(), 1, "{refused}");
    }

    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!(
        "postgres://shop:secret@{}/shop",
        silent.local_addr().unwrap()
    );
    let began = Instant::now();
    let refused = refusal(&url, None).await;
    assert!(refused.contains("No Postgres answers"), "{refused}");
    assert!(!refused.contains("secret"), "{refused}");
    assert!(began.elapsed() < Duration::from_secs(8));
}

#[tokio::test]
async fn a_server_without_a_free_connection_is_not_called_absent() {
    let cluster = PrivateCluster::new().await;
    run(
        &cluster.admin_url(),
        "alter role countersign_shop connection limit 1",
    )
    .await;
    let _only = PgConnection::connect(&cluster.url(Role::Shop))
        .await
        .unwrap();
    let refused = refusal(&cluster.url(Role::Shop), None).await;
    assert!(refused.contains("no free connection"), "{refused}");
}

/// A pooler as it comes refuses start-up options. What it says is told apart from a wrong password.
#[tokio::test]
async fn a_pooler_that_refuses_options_is_told_how_to_take_them() {
    let pooler = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!(
        "postgres://shop@{}/shop?sslmode=disable",
        pooler.local_addr().unwrap()
    );
    std::thread::spawn(move || {
        let (mut client, _) = pooler.accept().unwrap();
        let mut startup = [0; 1024];
        assert!(client.read(&mut startup).unwrap() > 8);
        let fields = b"SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter: options\0\0";
        let length = u32::try_from(fields.len() + 4).unwrap();
        client.write_all(b"E").unwrap();
        client.write_all(&length.to_be_bytes()).unwrap();
        client.write_all(fields).unwrap();
    });
    let refused = refusal(&url, None).await;
    assert!(refused.contains("ignore_startup_parameters"), "{refused}");
}

/// A second way to the same database, and what is told when it is not one. Through the first nobody becomes another role then: a pooler
/// between would hand that on.
#[tokio::test]
async fn a_direct_way_leads_to_the_same_database_or_is_refused() {
    let (database, other) = (TestDatabase::new().await, TestDatabase::new().await);
    let given = |url: &str, direct: &str| DatabaseSettings {
        direct_url: Some(direct.to_owned()),
        ..settings(url, Some(&database.owner_url()), Role::Shop)
    };
    let url = database.url(Role::Shop);
    let opened = database::open(given(&url, &database.admin_url()), &mut |_| {})
        .await
        .unwrap();
    let who = "select session_user || ' ' || current_user";
    let plain = "countersign_shop countersign_shop";
    assert_eq!(ask(&opened.pool, who).await, plain);
    let switched = "countersign_admin countersign_shop";
    assert_eq!(ask(&opened.direct, who).await, switched);

    for (url, direct, told) in [
        (&url, other.url(Role::Shop), "leads to another database"),
        (
            &url,
            "postgres://shop@127.0.0.1:1/shop".to_owned(),
            "DATABASE_DIRECT_URL",
        ),
        (&url, "direct".to_owned(), "DATABASE_DIRECT_URL is not"),
        (&database.admin_url(), url.clone(), "is a superuser"),
    ] {
        let opening = database::open(given(url, &direct), &mut |_| {}).await;
        let refused = opening.unwrap_err().to_string();
        assert!(refused.contains(told), "{direct}: {refused}");
    }
}

#[tokio::test]
async fn settings_are_logged_without_passwords() {
    let settings = DatabaseSettings {
        direct_url: Some("postgres://shop:secret@postgres/shop".to_owned()),
        ..settings(
            "postgres://shop:secret@db/shop",
            Some("postgres://owner:secret@db/shop"),
            Role::Shop,
        )
    };
    assert!(!format!("{settings:?}").contains("secret"));
}

#[tokio::test]
async fn a_database_that_does_not_store_utf8_is_refused() {
    let cluster = PrivateCluster::new().await;
    run(
        &cluster.url_of("countersign_admin", "postgres"),
        "create database latin owner countersign_owner encoding 'LATIN1' locale 'C' template template0",
    )
    .await;
    let refused = refusal(&cluster.url_of("countersign_owner", "latin"), None).await;
    assert!(refused.contains("stores text as LATIN1"), "{refused}");
    assert!(refused.contains("encoding 'UTF8'"), "{refused}");
}

#[tokio::test]
async fn every_connection_has_its_limits_and_its_name() {
    let database = TestDatabase::new().await;
    let opened = open(&database.url(Role::Shop), None).await.unwrap();
    for (setting, value) in [
        ("show statement_timeout", "8s"),
        ("show idle_in_transaction_session_timeout", "30s"),
        ("show application_name", "countersign mcp-server"),
        ("show client_min_messages", "warning"),
        ("show timezone", "UTC"),
    ] {
        assert_eq!(ask(&opened.pool, setting).await, value, "{setting}");
    }
}

#[tokio::test]
async fn after_a_restart_of_postgres_the_pool_serves_without_one_failed_request() {
    let cluster = PrivateCluster::new().await;
    let opened = open(&cluster.url(Role::Shop), None).await.unwrap();
    // Every connection of the pool is open, and then idle, when Postgres goes.
    let mut busy = Vec::new();
    for _ in 0..4 {
        busy.push(opened.pool.acquire().await.unwrap());
    }
    drop(busy);

    cluster.stop().await;
    let began = Instant::now();
    let failed = sqlx::query("select 1").execute(&opened.pool).await;
    assert!(failed.is_err(), "there is no server");
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "a request must not wait for ever"
    );

    cluster.start().await;
    for _ in 0..20 {
        assert_eq!(ask(&opened.pool, "select 'here'").await, "here");
    }
    assert!(opened.pool.size() >= 1);
}

#[tokio::test]
async fn under_load_each_dead_connection_costs_at_most_one_request() {
    let cluster = PrivateCluster::new().await;
    let opened = open(&cluster.url(Role::Shop), None).await.unwrap();
    let admin = cluster.admin_url();
    let mut failed = 0;
    for round in 0..40 {
        if round == 10 {
            // All at once, while they are in use: the worst a failover does to a pool.
            run(
                &admin,
                "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'countersign_shop'",
            )
            .await;
        }
        let answers = tokio::join!(
            sqlx::query("select 1").execute(&opened.pool),
            sqlx::query("select 1").execute(&opened.pool),
            sqlx::query("select 1").execute(&opened.pool),
            sqlx::query("select 1").execute(&opened.pool),
        );
        let answers = [answers.0, answers.1, answers.2, answers.3];
        failed += answers.iter().filter(|answer| answer.is_err()).count();
        if round > 12 {
            assert!(
                answers.iter().all(Result::is_ok),
                "round {round}: {answers:?}"
            );
        }
    }
    assert!(failed <= 4, "{failed} failed requests for 4 connections");
}
