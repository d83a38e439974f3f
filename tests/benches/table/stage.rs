//! A shop on a Postgres that waits for its disk, and both programs as processes.

use std::collections::HashMap;
use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use contracts::ids::TenantId;
use e2e::program::Program;
use e2e::recording::{self, LINE_PREFIX, Statement};
use e2e::world::http_client;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use migrations::database::{self, Role, queue};
use migrations::embedded::Embedded;
use migrations::test_database::TestHome;
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection, PgPool};
use uuid::Uuid;

use crate::calls::{Client, Kind, PAYER, SEATS, SESSIONS, SLOT_MINUTES, item, seat_name, token};
use crate::provider;

/// Database connections of each program, its default, and of each replay.
pub(crate) const POOL_SIZE: u32 = 20;
/// Both programs' key of the agent's tokens.
pub(crate) const TOKEN_KEY: &str = "the key of the agent's tokens in the benchmark";
/// The roles of the two programs.
pub(crate) const ROLES: [Role; 2] = [Role::Shop, Role::Agent];
/// Items in the shop before the measuring.
pub(crate) const ITEMS: usize = 500;
/// Turns in the database before the measuring, of each kind of chat.
pub(crate) const HISTORY: usize = 3000;
/// Turns a session has behind it: its window is full.
const TURNS_BEFORE: usize = 6;
/// The superuser of an embedded cluster.
const ADMIN: &str = "countersign_admin";
/// More than all bills of a run take, kg or pieces.
const PLENTY: &str = "90000000";
/// Numbers of bills, bookings and payments begin here, so that all of a series have the same number of digits, and none of one is one of
/// another: a replay finds the number it replaces by its digits.
const NUMBERS_FROM: [(&str, i64); 3] = [("INV", 1_000_000), ("BK", 3_000_000), ("PAY", 5_000_000)];
/// Tools whose calls are measured where nobody is asked, and the one that fills a wallet.
const NEVER_ASKED: [&str; 4] = [
    "billing_create_bill",
    "create_booking",
    "collect_payment",
    "top_up_wallet",
];
/// Pieces on the one bill of [`PAYER`] at 250 each, and what is in the wallet: no run collects as much.
const OWED_PIECES: &str = "300000";
const IN_WALLET: &str = "80000000";
/// Says of a transaction that it is no call's: the job queue, and the looks for what is due that the server takes every second. They read,
/// unless something is due, and here nothing ever is.
const BACKGROUND: [&str; 8] = [
    queue::SCHEMA,
    "shop.tenants_with_untold_events",
    "shop.endpoints_with_due_deliveries",
    "shop.due_payments",
    "shop.tenants_with_lapsed_holds",
    "shop.tenants_with_due_reminders",
    "shop.tenants_with_lapsed_rows",
    "shop.forget_told_events",
];
/// How often, and how often at most, the log is looked at until nothing more is written to it.
const LOG_LOOK: Duration = Duration::from_millis(20);
const LOG_LOOKS_MAX: usize = 100;

/// The database and everything about it.
pub(crate) struct Stage {
    pub(crate) owner: PgPool,
    admin: PgPool,
    log: PathBuf,
    /// The process that Postgres's others are children of.
    pub(crate) postmaster: u32,
    database: Embedded,
    /// Declared last, so that it is removed after the server has stopped.
    home: TestHome,
}

/// All programs. Dropping them kills them.
pub(crate) struct Programs {
    pub(crate) server: Program,
    /// Answers by rules.
    pub(crate) agent: Program,
    /// Has the provider answer.
    pub(crate) talker: Program,
    pub(crate) provider: Program,
    pub(crate) client: Client,
}

impl Programs {
    /// The agent that is asked.
    pub(crate) const fn agent_of(&self, kind: Kind) -> &Program {
        if kind.asks_provider() {
            &self.talker
        } else {
            &self.agent
        }
    }

    pub(crate) async fn stop(self) {
        self.agent.kill().await;
        self.talker.kill().await;
        self.server.kill().await;
        self.provider.kill().await;
    }
}

impl Stage {
    /// A new cluster, kept as an owner's data is: nothing is turned off.
    pub(crate) async fn new() -> anyhow::Result<Stage> {
        let home = TestHome::new();
        let database = Embedded::start(home.path(), &mut |_| {}).await?;
        database::migrate(&database.owner_url()).await?;
        let data = database.data_dir();
        let log = data.with_file_name("server.log");
        let pid = fs::read_to_string(data.join("postmaster.pid")).context("the server's number")?;
        let postmaster = pid.lines().next().unwrap_or_default().trim().parse()?;
        let owner_login: PgConnectOptions = database.owner_url().parse()?;
        let pool = |login: PgConnectOptions| {
            PgPoolOptions::new()
                .max_connections(2)
                .connect_lazy_with(login.disable_statement_logging())
        };
        Ok(Stage {
            admin: pool(owner_login.clone().username(ADMIN)),
            owner: pool(owner_login),
            log,
            postmaster,
            database,
            home,
        })
    }

    /// Starts the programs with their default settings, only the limit of runs per user out of the way: one agent without a provider and one
    /// with.
    pub(crate) async fn start(&self) -> anyhow::Result<Programs> {
        let variables = |role: Role, more: &[(&str, String)]| {
            let home = self.home.path().to_string_lossy().into_owned();
            let mut all = HashMap::from([
                ("COUNTERSIGN_HOME".to_owned(), home),
                ("DATABASE_URL".to_owned(), self.database.url(role)),
                ("DATABASE_OWNER_URL".to_owned(), self.database.owner_url()),
                ("DATABASE_POOL_SIZE".to_owned(), POOL_SIZE.to_string()),
                ("AGENT_TOKEN_KEY".to_owned(), TOKEN_KEY.to_owned()),
                // One principal asks for all of it here.
                ("MCP_RATE_PER_MINUTE".to_owned(), "0".to_owned()),
            ]);
            all.extend(more.iter().map(|(n, v)| ((*n).to_owned(), v.clone())));
            all
        };
        let loopback = || "127.0.0.1:0".to_owned();
        let server = variables(Role::Shop, &[("MCP_BIND", loopback())]);
        let server = Program::start(env!("CARGO_BIN_EXE_e2e-mcp-server"), &server).await;
        let provider = env!("CARGO_BIN_EXE_e2e-stub-provider");
        let provider = Program::start(provider, &HashMap::new()).await;
        let script = http_client().put(format!("{}/script", provider.url));
        let script = script.json(&provider::script()).send().await?;
        script.error_for_status().context("the provider's script")?;
        let provider_url = format!("{}/v1", provider.url);
        let agent = |more: &[(&str, String)]| {
            let mut all = vec![
                ("AGENT_BIND", loopback()),
                ("MCP_SERVER_URL", server.url.clone()),
                ("RUNS_PER_USER_MAX", "1000".to_owned()),
            ];
            all.extend_from_slice(more);
            variables(Role::Agent, &all)
        };
        let executable = env!("CARGO_BIN_EXE_e2e-agent");
        let talker = agent(&[
            ("OPENAI_BASE_URL", provider_url.clone()),
            ("OPENAI_API_KEY", "bench".to_owned()),
        ]);
        let talker = Program::start(executable, &talker).await;
        let agent = Program::start(executable, &agent(&[])).await;
        let client = Client {
            http: http_client(),
            mcp_url: server.url.clone(),
            agent_url: agent.url.clone(),
            talker_url: talker.url.clone(),
            provider_url,
        };
        Ok(Programs {
            server,
            agent,
            talker,
            provider,
            client,
        })
    }

    /// Fills the shop through its tools, opens the sessions, and sets the policies that ask nobody.
    pub(crate) async fn furnish(&self, programs: &Programs, kinds: &[Kind]) -> anyhow::Result<()> {
        let client = &programs.client;
        for (name, category, unit) in [
            ("Flour", "grocery", "kg"),
            ("Shampoo", "beauty", "each"),
            ("Soap", "beauty", "each"),
        ] {
            let goods = json!({"name": name, "category": category, "unit": unit, "unit_price": "250", "quantity": PLENTY});
            client.tool("inventory_add_item", goods, &token()).await?;
        }
        stream::iter(3..ITEMS)
            .map(|_| async {
                let name = token();
                client.tool("inventory_add_item", item(&name), &name).await
            })
            .buffer_unordered(8)
            .try_collect::<Vec<_>>()
            .await?;
        self.set_policies_and_numbers().await?;
        for kind in kinds.iter().copied().filter(|kind| kind.is_chat()) {
            let first = kind.session(0);
            for _ in 0..TURNS_BEFORE {
                client.send(kind, &first).await?;
            }
            // The first half for the programs, the second for the replays.
            for worker in 1..2 * SESSIONS {
                self.copy_session(&first, &kind.session(worker)).await?;
            }
            self.copy_turns(&first).await?;
        }
        // The first bill makes the customer.
        client.send(Kind::Bill, &token()).await?;
        for seat in 0..SEATS {
            open_resource(client, &seat_name(seat)).await?;
        }
        let lines = json!([{"item": "Soap", "quantity": OWED_PIECES}]);
        let owed = json!({"customer": PAYER, "lines": lines});
        client.tool("billing_create_bill", owed, &token()).await?;
        let advance = json!({"customer": PAYER, "amount": IN_WALLET, "method": "cash"});
        client.tool("top_up_wallet", advance, &token()).await?;
        self.vacuum().await
    }

    async fn set_policies_and_numbers(&self) -> anyhow::Result<()> {
        let tenant = TenantId::DEMO.0;
        for tool in NEVER_ASKED {
            sqlx::query(
                "insert into shop.policies (tenant_id, tool, ask) values ($1, $2, 'never')",
            )
            .bind(tenant)
            .bind(tool)
            .execute(&self.owner)
            .await?;
        }
        for (series, from) in NUMBERS_FROM {
            sqlx::query("insert into shop.counters (tenant_id, series, last) values ($1, $2, $3)")
                .bind(tenant)
                .bind(series)
                .bind(from)
                .execute(&self.owner)
                .await?;
        }
        Ok(())
    }

    /// The last number of every series.
    pub(crate) async fn numbers(&self) -> anyhow::Result<Vec<(String, i64)>> {
        let numbers = sqlx::query_as(
            "select series, last from shop.counters where tenant_id = $1 order by 1",
        )
        .bind(TenantId::DEMO.0);
        Ok(numbers.fetch_all(&self.owner).await?)
    }

    /// The ids of the seats, in their order.
    pub(crate) async fn seats(&self) -> anyhow::Result<Vec<Uuid>> {
        let mut ids = Vec::with_capacity(SEATS);
        for seat in 0..SEATS {
            ids.push(self.resource(&seat_name(seat)).await?);
        }
        Ok(ids)
    }

    /// The id of something that can be booked.
    pub(crate) async fn resource(&self, name: &str) -> anyhow::Result<Uuid> {
        sqlx::query_scalar("select id from shop.resources where tenant_id = $1 and name = $2")
            .bind(TenantId::DEMO.0)
            .bind(name)
            .fetch_one(&self.owner)
            .await
            .with_context(|| format!("resource {name}"))
    }

    async fn copy_session(&self, from: &str, to: &str) -> anyhow::Result<()> {
        let copied = sqlx::query(
            "insert into agent.agent_sessions
             select (jsonb_populate_record(s, jsonb_build_object('id', gen_random_uuid(), 'session_id', $2::text))).*
             from agent.agent_sessions s where s.session_id = $1",
        )
        .bind(from)
        .bind(to)
        .execute(&self.owner)
        .await?;
        ensure!(copied.rows_affected() == 1, "no session {from} to copy");
        Ok(())
    }

    /// The shop has been open for a while: the session's last turn again and again. Plans are made once per connection and kept, and those made
    /// for tables of a few rows would read them whole when they have grown.
    async fn copy_turns(&self, session: &str) -> anyhow::Result<()> {
        for copy in [
            "insert into agent.runs
             select (jsonb_populate_record(null::agent.runs, to_jsonb(r) || jsonb_build_object('id', md5(r.id::text || n)::uuid))).* from last r, n",
            "insert into agent.run_events
             select e.tenant_id, md5(r.id::text || n)::uuid, e.seq, e.body, e.at
             from last r join agent.run_events e on e.tenant_id = r.tenant_id and e.run_id = r.id, n",
            "insert into agent.steps
             select (jsonb_populate_record(s, jsonb_build_object('run_id', md5(r.id::text || n)::uuid))).*
             from last r join agent.steps s on s.tenant_id = r.tenant_id and s.run_id = r.id, n",
            "insert into agent.agent_messages
             select (jsonb_populate_record(m, jsonb_build_object('id', gen_random_uuid(), 'run_id', md5(r.id::text || n)::uuid))).*
             from last r join agent.agent_messages m on m.tenant_id = r.tenant_id and m.run_id = r.id, n",
        ] {
            let sql = format!(
                "with last as (select r.* from agent.runs r join agent.agent_sessions s on s.tenant_id = r.tenant_id and s.id = r.session_id
                               where s.session_id = $1 order by r.created_at, r.id limit 1),
                      n as (select n from generate_series(1, {HISTORY}) n)
                 {copy}"
            );
            let copied = sqlx::query(AssertSqlSafe(sql)).bind(session);
            copied.execute(&self.owner).await?;
        }
        Ok(())
    }

    /// The row id of a session.
    pub(crate) async fn session(&self, name: &str) -> anyhow::Result<Uuid> {
        sqlx::query_scalar("select id from agent.agent_sessions where session_id = $1")
            .bind(name)
            .fetch_one(&self.owner)
            .await
            .with_context(|| format!("session {name}"))
    }

    /// Rows of every table of both schemas.
    pub(crate) async fn rows(&self) -> anyhow::Result<Vec<(String, i64)>> {
        let tables: Vec<String> = sqlx::query_scalar(
            "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname in ('shop', 'agent') order by 1",
        )
        .fetch_all(&self.owner)
        .await?;
        let mut rows = Vec::with_capacity(tables.len());
        for table in tables {
            let count = AssertSqlSafe(format!("select count(*) from {table}"));
            let count = sqlx::query_scalar(count).fetch_one(&self.owner).await?;
            rows.push((table, count));
        }
        Ok(rows)
    }

    /// From now on, new connections of the programs' roles have every statement logged, with its parameters.
    pub(crate) async fn begin_recording(&self) -> anyhow::Result<()> {
        let prefix = format!("alter system set log_line_prefix = '{LINE_PREFIX}'");
        self.as_admin(&prefix).await?;
        self.as_admin("select pg_reload_conf()").await?;
        for role in ROLES.map(Role::name) {
            for setting in [
                "log_statement = 'all'",
                "log_error_verbosity = 'default'",
                "log_parameter_max_length = -1",
            ] {
                self.as_admin(&format!("alter role {role} set {setting}"))
                    .await?;
            }
        }
        Ok(())
    }

    /// New connections are as they were before.
    pub(crate) async fn end_recording(&self) -> anyhow::Result<()> {
        for role in ROLES.map(Role::name) {
            for setting in [
                "log_statement",
                "log_error_verbosity",
                "log_parameter_max_length",
            ] {
                self.as_admin(&format!("alter role {role} reset {setting}"))
                    .await?;
            }
        }
        Ok(())
    }

    /// What both programs' roles say to Postgres for `work`, one transaction after the other.
    pub(crate) async fn record(
        &self,
        work: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<Vec<Statement>> {
        let from = self.log_end().await?;
        work.await?;
        let end = self.log_end().await?;
        let mut text = String::new();
        let mut log = fs::File::open(&self.log).context("the server's log")?;
        log.seek(SeekFrom::Start(from))?;
        log.take(end - from).read_to_string(&mut text)?;
        Ok(recording::untangle(recording::read(&text)?, &BACKGROUND))
    }

    /// Where the log ends once nothing more is written to it.
    async fn log_end(&self) -> anyhow::Result<u64> {
        let length = || fs::metadata(&self.log).map(|meta| meta.len());
        let mut last = length()?;
        for _ in 0..LOG_LOOKS_MAX {
            tokio::time::sleep(LOG_LOOK).await;
            let now = length()?;
            if now == last {
                return Ok(now);
            }
            last = now;
        }
        anyhow::bail!("the server's log does not come to rest")
    }

    /// Puts every dirty page on disk, so that no phase pays for another's.
    pub(crate) async fn settle(&self) -> anyhow::Result<()> {
        self.as_admin("checkpoint").await
    }

    /// After much was written past the programs: Postgres learns how much there is.
    pub(crate) async fn vacuum(&self) -> anyhow::Result<()> {
        self.as_admin("vacuum analyze").await
    }

    /// A value of the server's configuration.
    pub(crate) async fn setting(&self, name: &str) -> anyhow::Result<String> {
        let show = AssertSqlSafe(format!("show {name}"));
        Ok(sqlx::query_scalar(show).fetch_one(&self.admin).await?)
    }

    /// The address a program's role works with.
    pub(crate) fn url(&self, role: Role) -> String {
        self.database.url(role)
    }

    /// What Postgres does by itself now and then, done at once: statistics and visibility are those of the rows that are there.
    pub(crate) async fn tidy(&self) -> anyhow::Result<()> {
        self.as_admin("vacuum analyze").await?;
        self.settle().await
    }

    /// Closes the connections; the server stops when this value is gone.
    pub(crate) async fn close(self) {
        self.owner.close().await;
        self.admin.close().await;
    }

    async fn as_admin(&self, statement: &str) -> anyhow::Result<()> {
        let mut connection = self.admin.acquire().await?;
        let connection: &mut PgConnection = &mut connection;
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
            .execute(connection)
            .await
            .with_context(|| statement.to_owned())?;
        Ok(())
    }
}

/// Something that can be booked for a slot, round the clock, as far ahead as anything can be.
pub(crate) async fn open_resource(client: &Client, name: &str) -> anyhow::Result<()> {
    let resource = json!({"name": name, "slot_minutes": SLOT_MINUTES, "max_ahead_days": 730, "time_zone": "UTC", "price": "1000"});
    client
        .tool("booking_set_resource", resource, &token())
        .await?;
    let days = [
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
    ];
    let hours = json!({"resource": name, "weekdays": days, "opens": "00:00", "closes": "24:00"});
    client.tool("booking_set_hours", hours, &token()).await?;
    Ok(())
}
