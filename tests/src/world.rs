//! A shop with both servers in this process, a database of its own, and a clock that can be moved.

pub mod balancer;
pub mod foreign;
pub mod issuer;
pub mod mcp;
pub mod model;
pub mod momo;
pub mod pooler;
pub mod provider;
pub mod receiver;
pub mod sse;
pub mod stripe;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agent::models::Model;
use contracts::http::chat::ChatResponse;
use mcp_server::demo;
use migrations::database::Role;
use migrations::settings::Reader;
use migrations::test_database::{PrivateCluster, TestDatabase, TestHome};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::net::TcpListener;
use uuid::Uuid;

/// How long a journey waits for something before it fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What a journey may set before its shop opens.
#[derive(Default)]
pub struct Setting {
    /// Environment variables of both programs.
    pub variables: HashMap<&'static str, String>,
    /// Another model than the interpreter.
    pub model: Option<Arc<dyn Model>>,
    /// Stops or breaks tool calls.
    pub server_hooks: mcp_server::app::Hooks,
    /// Stops or breaks runs.
    pub agent_hooks: agent::app::Hooks,
    /// No goods: only the tenant.
    pub empty: bool,
    /// What the owner of the tables changes before the shop opens: the tenant's settings and policies.
    pub owner_sql: Vec<&'static str>,
    /// A Postgres of its own, which can be stopped and started.
    pub own_postgres: bool,
}

/// Where a shop's data is.
pub(crate) enum Place {
    Shared(TestDatabase),
    Own(PrivateCluster),
}

impl Place {
    pub(crate) async fn new(own: bool) -> Place {
        if own {
            Place::Own(PrivateCluster::new().await)
        } else {
            Place::Shared(TestDatabase::new().await)
        }
    }

    pub(crate) fn url(&self, role: Role) -> String {
        match self {
            Place::Shared(database) => database.url(role),
            Place::Own(cluster) => cluster.url(role),
        }
    }

    pub(crate) fn owner_url(&self) -> String {
        match self {
            Place::Shared(database) => database.owner_url(),
            Place::Own(cluster) => cluster.owner_url(),
        }
    }

    pub(crate) fn admin_url(&self) -> String {
        match self {
            Place::Shared(database) => database.admin_url(),
            Place::Own(cluster) => cluster.admin_url(),
        }
    }

    /// The address of any login.
    pub(crate) fn url_of(&self, login: &str) -> String {
        match self {
            Place::Shared(database) => database.url_of(login),
            Place::Own(cluster) => cluster.url_of(login, "countersign"),
        }
    }

    /// Connections that behave as a program's do.
    pub(crate) async fn pool(&self, role: Role) -> PgPool {
        match self {
            Place::Shared(database) => database.pool(role).await,
            Place::Own(cluster) => cluster.pool(role).await,
        }
    }

    pub(crate) fn owner_pool(&self) -> PgPool {
        let options = PgPoolOptions::new().max_connections(5);
        let pool = options.connect_lazy(&self.owner_url());
        pool.expect("the owner's address")
    }
}

/// An open shop.
pub struct World {
    /// The tool server.
    pub shop: mcp_server::start::Started,
    /// The agent.
    pub agent: agent::start::Started,
    /// The owner's view of the database, for looking.
    pub db: PgPool,
    /// A plain HTTP client, like curl.
    pub http: reqwest::Client,
    /// Aline of the demo's people, by her id; nobody in a shop without goods.
    pub aline: Uuid,
    clock_file: PathBuf,
    offset_seconds: std::sync::atomic::AtomicI64,
    variables: HashMap<String, String>,
    _home: TestHome,
    database: Place,
}

impl World {
    /// The demo shop.
    pub async fn open() -> World {
        World::open_with(Setting::default()).await
    }

    /// A shop with other settings.
    pub async fn open_with(setting: Setting) -> World {
        agent::start::install_crypto();
        let database = Place::new(setting.own_postgres).await;
        let home = TestHome::new();
        let clock_file = home.path().join("clock");
        let variables = variables(&home, &clock_file, setting.variables);
        let server_config =
            mcp_server::config::Config::read(&reader(&variables, &database, Role::Shop))
                .expect("server settings");
        let agent_config = agent::config::Config::read(&reader(&variables, &database, Role::Agent))
            .expect("agent settings");
        if !server_config.local_mode {
            // As `mcp-server migrate` does it.
            demo::make_tenant(&database.owner_url(), server_config.clock.now())
                .await
                .expect("the tenant");
        }
        let quiet: &mut (dyn FnMut(&str) + Send) = &mut |_| {};
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let shop =
            mcp_server::start::start_on(listener, server_config, setting.server_hooks, quiet)
                .await
                .expect("tool server");
        let db = database.owner_pool();
        for sql in setting.owner_sql {
            sqlx::query(sql).execute(&db).await.expect(sql);
        }
        if !setting.empty {
            demo::stock(&shop.app).await.expect("demo goods");
        }
        let aline = sqlx::query_scalar("select id from shop.customers where name = 'Aline'")
            .fetch_optional(&db)
            .await
            .expect("people")
            .unwrap_or_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let agent = agent::start::start_on(
            listener,
            agent_config,
            &shop.mcp_url(),
            setting.model,
            setting.agent_hooks,
            quiet,
        )
        .await
        .expect("agent");
        World {
            shop,
            agent,
            db,
            http: http_client(),
            aline,
            clock_file,
            offset_seconds: std::sync::atomic::AtomicI64::new(0),
            variables,
            _home: home,
            database,
        }
    }

    /// The environment of one more program of this shop, with a port of its own.
    #[must_use]
    pub fn variables(&self, role: Role) -> HashMap<String, String> {
        let mut all = self.variables.clone();
        all.insert("DATABASE_URL".to_owned(), self.database.url(role));
        all.insert("DATABASE_OWNER_URL".to_owned(), self.database.owner_url());
        all
    }

    /// The database's address for a program's role.
    #[must_use]
    pub fn database_url(&self, role: Role) -> String {
        self.database.url(role)
    }

    /// A connection as the server's superuser, for what an administrator does.
    pub async fn admin(&self) -> sqlx::PgConnection {
        let url = self.database.admin_url();
        <sqlx::PgConnection as sqlx::Connection>::connect(&url)
            .await
            .expect("the administrator")
    }

    /// Says something in a session and returns the agent's answer, which must be 200.
    pub async fn say(&self, session: &str, message: &str) -> ChatResponse {
        let response = self
            .post(
                "/agent/chat",
                &json!({"session_id": session, "message": message}),
            )
            .await;
        let status = response.status();
        let text = response.text().await.expect("a body");
        assert_eq!(status, StatusCode::OK, "{message}: {text}");
        serde_json::from_str(&text).expect("a chat response")
    }

    /// Posts JSON to the agent.
    pub async fn post(&self, path: &str, body: &Value) -> Response {
        self.http
            .post(format!("{}{path}", self.agent.url()))
            .json(body)
            .send()
            .await
            .expect("an answer")
    }

    /// Gets from the agent.
    pub async fn get(&self, path: &str) -> Response {
        self.http
            .get(format!("{}{path}", self.agent.url()))
            .send()
            .await
            .expect("an answer")
    }

    /// The Postgres of its own that the setting asked for; none where it did not.
    #[must_use]
    pub fn postgres(&self) -> Option<&PrivateCluster> {
        match &self.database {
            Place::Own(cluster) => Some(cluster),
            Place::Shared(_) => None,
        }
    }

    /// Moves both programs' clocks forward.
    pub fn advance(&self, seconds: i64) {
        let total = self
            .offset_seconds
            .fetch_add(seconds, std::sync::atomic::Ordering::SeqCst)
            + seconds;
        std::fs::write(&self.clock_file, total.to_string()).expect("the clock file");
    }

    /// Waits until no job is under way: what was found has been noted, and the clock may be moved.
    pub async fn until_idle(&self) {
        until("no job is under way", async || {
            self.number("select count(*) from graphile_worker._private_jobs")
                .await
                == 0
        })
        .await;
    }

    /// One number from the owner's view.
    pub async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar::<_, i64>(sql)
            .fetch_one(&self.db)
            .await
            .expect(sql)
    }

    /// One text from the owner's view.
    pub async fn text(&self, sql: &'static str) -> String {
        sqlx::query_scalar::<_, String>(sql)
            .fetch_one(&self.db)
            .await
            .expect(sql)
    }

    /// Bills in the shop, whatever their status.
    pub async fn bills(&self) -> i64 {
        self.number("select count(*) from shop.bills").await
    }

    /// A digest of every row of every table of a schema, by table: equal before and after means that nothing was written.
    pub async fn content(&self, schema: &str) -> BTreeMap<String, String> {
        content(&self.db, schema).await
    }

    /// What is on hand of an item, as text.
    pub async fn on_hand(&self, item: &str) -> String {
        on_hand(&self.db, item).await
    }

    /// Changes an item's price as the owner of the tables, behind everybody's back.
    pub async fn set_price(&self, item: &str, minor: i64) {
        sqlx::query("update shop.items set unit_price = $2, version = version + 1 where name = $1")
            .bind(item)
            .bind(rust_decimal::Decimal::from(minor))
            .execute(&self.db)
            .await
            .expect("a new price");
    }
}

/// [`World::content`] of any database.
///
/// # Panics
/// When it cannot be read.
pub async fn content(db: &PgPool, schema: &str) -> BTreeMap<String, String> {
    let tables = sqlx::query_scalar::<_, String>(
        "select tablename::text from pg_tables where schemaname = $1",
    )
    .bind(schema)
    .fetch_all(db)
    .await
    .expect("tables");
    assert!(!tables.is_empty(), "no tables in {schema}");
    let mut content = BTreeMap::new();
    for table in tables {
        let sql = format!(
            "select md5(coalesce(string_agg(md5(t::text), '' order by md5(t::text)), '')) from {schema}.{table} t"
        );
        let digest = sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(sql))
            .fetch_one(db)
            .await
            .expect("a digest");
        content.insert(table, digest);
    }
    content
}

/// What is on hand of an item, as text.
///
/// # Panics
/// When there is no such item.
pub async fn on_hand(db: &PgPool, item: &str) -> String {
    sqlx::query_scalar::<_, String>(
        "select trim_scale(l.on_hand)::text from shop.stock_levels l join shop.items i on i.tenant_id = l.tenant_id and i.id = l.item_id
         where i.name = $1",
    )
    .bind(item)
    .fetch_one(db)
    .await
    .expect(item)
}

/// An HTTP client that follows no redirect, like curl.
#[must_use]
pub fn http_client() -> reqwest::Client {
    agent::start::install_crypto();
    reqwest::Client::builder()
        .timeout(PATIENCE)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client")
}

/// Waits until a condition holds, looking again now and then, and fails after [`PATIENCE`].
pub async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !condition().await {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{what}: not within {} s",
            PATIENCE.as_secs()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn variables(
    home: &TestHome,
    clock_file: &std::path::Path,
    more: HashMap<&'static str, String>,
) -> HashMap<String, String> {
    let text = |path: &std::path::Path| path.to_str().expect("a plain path").to_owned();
    let mut all = HashMap::from([
        ("COUNTERSIGN_HOME".to_owned(), text(home.path())),
        ("COUNTERSIGN_CLOCK_OFFSET_FILE".to_owned(), text(clock_file)),
        ("MCP_BIND".to_owned(), "127.0.0.1:0".to_owned()),
        ("AGENT_BIND".to_owned(), "127.0.0.1:0".to_owned()),
        ("RUN_LEASE_SECONDS".to_owned(), "1".to_owned()),
    ]);
    all.extend(
        more.into_iter()
            .map(|(name, value)| (name.to_owned(), value)),
    );
    all
}

fn reader(variables: &HashMap<String, String>, database: &Place, role: Role) -> Reader {
    let mut all = variables.clone();
    all.insert("DATABASE_URL".to_owned(), database.url(role));
    all.insert("DATABASE_OWNER_URL".to_owned(), database.owner_url());
    Reader::new(move |name| all.get(name).cloned())
}
