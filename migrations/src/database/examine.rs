//! A database looked at from where a program stands, without changing it: everything that would be in the way, told at once.
//!
//! The queries read Postgres' own catalog, on any server version; the tests run every one of them.

mod direct;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, FromRow, PgConnection, Row as _};

use super::schema::{self, State};
use super::target::Target;
use super::{Role, connect_options, prerequisites, queue, reading_options};
use crate::clock::Clock;
use crate::finding::Finding;
use crate::open_error::{OLDEST_MAJOR, OpenError};

/// Connections of a program's own beside its pool: the job queue's.
const BESIDE_THE_POOL: u32 = 3;
/// Tables that are the same for every tenant.
const REFERENCE_TABLES: [&str; 2] = ["shop.currencies", "shop.units"];
/// Extensions the schema uses.
const EXTENSIONS: [&str; 4] = ["pg_trgm", "unaccent", "btree_gist", "btree_gin"];
/// A clock that is off by more is told of: codes and questions expire by the program's clock, jobs by the database's.
const SKEW_WARN: TimeDelta = TimeDelta::seconds(1);
/// A clock that is off by more is wrong: short-lived tokens are refused.
const SKEW_FAIL: TimeDelta = TimeDelta::seconds(10);
/// How often the statement that was prepared is used again, on each of two connections.
const PREPARED_USES: u32 = 20;
/// How long that may take. It needs two connections of the server's at once, for which a pooler that has but one lets it wait.
const PREPARED_WAIT: Duration = Duration::from_secs(10);

/// What is to be looked at.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// The address in `DATABASE_URL`, or the embedded server's.
    pub url: &'a str,
    /// The address in `DATABASE_DIRECT_URL`.
    pub direct_url: Option<&'a str>,
    /// Which program works there.
    pub role: Role,
    /// Whether it only reads (`MCP_READ_ONLY`), for which a login without any right to write is enough.
    pub only_reads: bool,
    /// Most connections of one program's pool.
    pub pool_size: u32,
    /// How many of each program are to run.
    pub replicas: u32,
}

/// Everything about the database, the server and the login. Ends early where nothing more can be found.
pub async fn examine(plan: Plan<'_>, clock: &dyn Clock) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut connection = match open(plan).await {
        Ok(connection) => connection,
        Err(error) => return vec![Finding::fail("database", error.to_string())],
    };
    if let Err(error) = look(&mut connection, plan, clock, &mut findings).await {
        findings.push(Finding::fail(
            "database",
            format!("it could not be looked at: {error}. See its log, then run this again"),
        ));
    }
    let _ = connection.close().await;
    findings
}

/// A connection like those of the pool.
async fn open(plan: Plan<'_>) -> Result<PgConnection, OpenError> {
    let target = Target::parse("DATABASE_URL", plan.url)?;
    // First without the options of a pool, so that what a pooler refuses is told apart from what the server does.
    let _ = target.connect(&[]).await?.close().await;
    options(&target, plan)
        .connect()
        .await
        .map_err(|error| target.explain(error))
}

fn options(target: &Target, plan: Plan<'_>) -> PgConnectOptions {
    if plan.only_reads {
        reading_options(&target.options, plan.role)
    } else {
        connect_options(&target.options, plan.role)
    }
}

async fn look(
    connection: &mut PgConnection,
    plan: Plan<'_>,
    clock: &dyn Clock,
    findings: &mut Vec<Finding>,
) -> sqlx::Result<()> {
    findings.push(server(connection).await?);
    findings.push(skew(connection, clock).await?);
    findings.push(login(connection, plan).await);
    findings.push(extensions(connection).await?);
    findings.push(schema_state(connection, plan.only_reads).await);
    let closed = closed(connection).await?;
    findings.push(closed);
    let (loses_options, options) = start_options(connection).await?;
    findings.push(options);
    findings.push(prepared(plan).await);
    let (loses_sessions, jobs) = direct::examine(plan).await;
    findings.extend(jobs);
    let pooled = loses_options || loses_sessions;
    findings.push(connections(connection, plan, pooled).await?);
    Ok(())
}

#[derive(FromRow)]
struct Server {
    version: String,
    version_num: i32,
    encoding: String,
    fsync: String,
    full_page_writes: String,
    synchronous_commit: String,
}

async fn server(connection: &mut PgConnection) -> sqlx::Result<Finding> {
    let found: Server = sqlx::query_as(
        "select current_setting('server_version') as version, current_setting('server_version_num')::int as version_num,
                current_setting('server_encoding') as encoding, current_setting('fsync') as fsync,
                current_setting('full_page_writes') as full_page_writes, current_setting('synchronous_commit') as synchronous_commit",
    )
    .fetch_one(connection)
    .await?;
    let what = "database";
    let version = &found.version;
    if found.version_num < i32::try_from(OLDEST_MAJOR * 10_000).unwrap_or(i32::MAX) {
        return Ok(Finding::fail(
            what,
            format!("Postgres {version} is too old. Use {OLDEST_MAJOR} or newer"),
        ));
    }
    if found.encoding != "UTF8" {
        return Ok(Finding::fail(
            what,
            format!(
                "it stores text as {}. Make a database with encoding UTF8",
                found.encoding
            ),
        ));
    }
    for (setting, value, lost) in [
        (
            "fsync",
            &found.fsync,
            "a crash of the machine can destroy all of it",
        ),
        (
            "full_page_writes",
            &found.full_page_writes,
            "a crash of the machine can destroy parts of it",
        ),
        (
            "synchronous_commit",
            &found.synchronous_commit,
            "a crash can take back what was answered as done",
        ),
    ] {
        if value == "off" {
            return Ok(Finding::fail(
                what,
                format!(
                    "{setting} is off: {lost}. Set it to on in postgresql.conf, or reset it on the role"
                ),
            ));
        }
    }
    Ok(Finding::fine(what, format!("Postgres {version}")))
}

async fn skew(connection: &mut PgConnection, clock: &dyn Clock) -> sqlx::Result<Finding> {
    let before = clock.now();
    let theirs: DateTime<Utc> = sqlx::query_scalar("select clock_timestamp()")
        .fetch_one(connection)
        .await?;
    let ours = before + (clock.now() - before) / 2;
    let off = theirs - ours;
    let ms = off.num_milliseconds();
    let what = "clock";
    let found = format!("the database's clock is {ms} ms from this machine's");
    let todo = "Keep both machines' time with NTP";
    Ok(if off.abs() > SKEW_FAIL {
        Finding::fail(
            what,
            format!("{found}: tokens and questions expire at the wrong time. {todo}"),
        )
    } else if off.abs() > SKEW_WARN {
        Finding::warn(what, format!("{found}. {todo}"))
    } else {
        Finding::fine(what, found)
    })
}

async fn login(connection: &mut PgConnection, plan: Plan<'_>) -> Finding {
    let what = "login";
    let bound = if plan.only_reads {
        match prerequisites::prove_bound_reading(connection, plan.role).await {
            Ok(()) => prerequisites::prove_reading(connection, plan.role).await,
            Err(error) => Err(error),
        }
    } else {
        prerequisites::prove_bound(connection, plan.role).await
    };
    match bound {
        Ok(()) => Finding::fine(what, "row level security binds it"),
        Err(error @ OpenError::UnsafeRole { .. }) => Finding::warn(
            what,
            format!(
                "{error} The program becomes the role by itself where it may, but a pooler between may undo that"
            ),
        ),
        Err(error) => Finding::fail(what, error.to_string()),
    }
}

async fn extensions(connection: &mut PgConnection) -> sqlx::Result<Finding> {
    let missing: Vec<String> = sqlx::query_scalar(
        "select wanted.name from unnest($1::text[]) as wanted (name)
          where not exists (select from pg_catalog.pg_extension e join pg_catalog.pg_namespace n on n.oid = e.extnamespace
                             where e.extname = wanted.name and n.nspname = 'public')",
    )
    .bind(&EXTENSIONS[..])
    .fetch_all(connection)
    .await?;
    Ok(if missing.is_empty() {
        Finding::fine("extensions", EXTENSIONS.join(", "))
    } else {
        Finding::fail(
            "extensions",
            format!(
                "not in schema public: {}. Run `mcp-server migrate` with DATABASE_OWNER_URL",
                missing.join(", ")
            ),
        )
    })
}

async fn schema_state(connection: &mut PgConnection, only_reads: bool) -> Finding {
    let what = "schema";
    let migrate = "Run `mcp-server migrate` with DATABASE_OWNER_URL";
    match schema::state(connection).await {
        Ok(State::Current) => {}
        Ok(State::Missing) => return Finding::fail(what, format!("it is missing. {migrate}")),
        Ok(State::Behind(version)) => {
            let needed = schema::needed();
            return Finding::fail(
                what,
                format!(
                    "migrations of this program are missing (its newest is {needed}, the newest applied {version}). {migrate}"
                ),
            );
        }
        Err(error) => return Finding::fail(what, error.to_string()),
    }
    if only_reads {
        return Finding::fine(what, format!("at {}", schema::needed()));
    }
    match queue::is_current(connection).await {
        Ok(true) => Finding::fine(
            what,
            format!("at {}, with the job queue's", schema::needed()),
        ),
        Ok(false) => Finding::fail(
            what,
            format!("the job queue's is missing or old. {migrate}"),
        ),
        Err(error) => Finding::fail(what, error.to_string()),
    }
}

#[derive(FromRow)]
struct Table {
    name: String,
    has_rls: bool,
    has_policy: bool,
    others_may: bool,
}

/// Whether every business table is closed to whoever has no tenant, and to every role but its program's.
async fn closed(connection: &mut PgConnection) -> sqlx::Result<Finding> {
    let tables: Vec<Table> = sqlx::query_as(
        "with tables as (
           select c.oid, n.nspname || '.' || c.relname as name, c.relrowsecurity, c.relowner, c.relacl,
                  to_regrole('countersign_' || n.nspname)::oid as role
             from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            where n.nspname in ('shop', 'agent') and c.relkind in ('r', 'p'))
         select t.name, t.relrowsecurity as has_rls,
                exists (select from pg_catalog.pg_policy p where p.polrelid = t.oid and p.polroles = array[t.role]) as has_policy,
                -- A login that `shop.let_read` was called for has policies like the program's own, for reading alone.
                coalesce(exists (select from pg_catalog.pg_policy p where p.polrelid = t.oid and p.polroles <> array[t.role]
                           and not (p.polcmd = 'r' and exists (
                             select from pg_catalog.pg_policy own where own.polrelid = t.oid and own.polroles = array[t.role]
                                and own.polpermissive = p.polpermissive
                                and pg_get_expr(own.polqual, t.oid) = pg_get_expr(p.polqual, t.oid))))
                  or exists (select from aclexplode(t.relacl) as acl where acl.grantee not in (t.relowner, t.role)
                           and not (acl.privilege_type = 'SELECT' and acl.grantee <> 0)), true) as others_may
           from tables t order by t.name",
    )
    .fetch_all(connection)
    .await?;
    let what = "tenants";
    let mut open = Vec::new();
    for table in &tables {
        let closed = table.has_rls && table.has_policy;
        if !closed && !REFERENCE_TABLES.contains(&table.name.as_str()) {
            open.push(format!("{} has no row level security", table.name));
        }
        if table.others_may {
            open.push(format!("{} is open to another role", table.name));
        }
    }
    Ok(if tables.is_empty() {
        Finding::fail(
            what,
            "there are no tables. Run `mcp-server migrate` with DATABASE_OWNER_URL",
        )
    } else if open.is_empty() {
        Finding::fine(
            what,
            format!(
                "{} tables, each closed to whoever has no business set",
                tables.len()
            ),
        )
    } else {
        Finding::fail(
            what,
            format!(
                "{}. Somebody has changed what the migrations made: take the grants and policies back, or restore the schema",
                open.join("; ")
            ),
        )
    })
}

/// Whether the options that every connection begins with hold; a pooler drops them. True where they are lost.
async fn start_options(connection: &mut PgConnection) -> sqlx::Result<(bool, Finding)> {
    let row = sqlx::query(
        "select current_setting('plan_cache_mode'), current_setting('statement_timeout'), current_setting('idle_in_transaction_session_timeout')",
    )
    .fetch_one(connection)
    .await?;
    let (plan, statement, idle): (String, String, String) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let what = "timeouts";
    if plan == "force_generic_plan" && statement == "8s" && idle == "30s" {
        return Ok((
            false,
            Finding::fine(
                what,
                format!("a statement may take {statement}, a pause in a transaction {idle}"),
            ),
        ));
    }
    let finding = if statement == "0" || idle == "0" {
        Finding::fail(
            what,
            "a pooler between drops the options of connections, so nothing ends a statement that hangs. Run as an administrator, for each login: \
             alter role <login> set statement_timeout = '8s'; alter role <login> set idle_in_transaction_session_timeout = '30s'; \
             alter role <login> set plan_cache_mode = 'force_generic_plan'",
        )
    } else {
        Finding::warn(
            what,
            format!(
                "a pooler between drops the options of connections; in force are statement_timeout {statement}, idle_in_transaction_session_timeout {idle}, plan_cache_mode {plan}. Set them on the login's role to 8s, 30s and force_generic_plan"
            ),
        )
    };
    Ok((true, finding))
}

/// Whether statements that were prepared can be used again, on connections that share a pooler's.
async fn prepared(plan: Plan<'_>) -> Finding {
    let what = "prepared statements";
    match tokio::time::timeout(PREPARED_WAIT, use_prepared(plan)).await {
        Ok(Ok(())) => Finding::fine(what, "they last"),
        Err(_) => Finding::fail(
            what,
            format!(
                "two connections at once could not be had within {} s. Give the pooler more of them (pool_size), as many as calls run at once",
                PREPARED_WAIT.as_secs()
            ),
        ),
        Ok(Err(error)) => Finding::fail(
            what,
            format!(
                "they do not last ({error}). The pooler must follow them: PgBouncer 1.21 or newer with max_prepared_statements above 0, or session mode"
            ),
        ),
    }
}

async fn use_prepared(plan: Plan<'_>) -> sqlx::Result<()> {
    let target = Target::parse("DATABASE_URL", plan.url)
        .map_err(|error| sqlx::Error::Configuration(error.to_string().into()))?;
    let options = options(&target, plan);
    let (mut one, mut two) = (options.connect().await?, options.connect().await?);
    for number in 0..i64::from(PREPARED_USES) {
        // While one holds a transaction open, a pooler has to give the other another connection.
        let mut held = one.begin().await?;
        let _: i64 = sqlx::query_scalar("select $1::int8 + 1")
            .bind(number)
            .fetch_one(&mut *held)
            .await?;
        let _: i64 = sqlx::query_scalar("select $1::int8 + 2")
            .bind(number)
            .fetch_one(&mut two)
            .await?;
        held.rollback().await?;
        std::mem::swap(&mut one, &mut two);
    }
    one.close().await?;
    two.close().await
}

/// Whether all programs together may open what their pools are allowed.
async fn connections(
    connection: &mut PgConnection,
    plan: Plan<'_>,
    pooled: bool,
) -> sqlx::Result<Finding> {
    let free: i32 = sqlx::query_scalar(
        "select current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int",
    )
    .fetch_one(connection)
    .await?;
    let what = "connections";
    // Both programs, each with its pool, and the queue's beside that of one of them.
    let wanted = plan
        .replicas
        .saturating_mul(plan.pool_size * 2 + BESIDE_THE_POOL);
    let sum = format!(
        "{} of each program with pools of {} want up to {wanted}, the server gives {free}",
        plan.replicas, plan.pool_size
    );
    Ok(if pooled {
        Finding::fine(
            what,
            format!("a pooler shares them; its own limits count ({sum} directly)"),
        )
    } else if i64::from(wanted) > i64::from(free) {
        Finding::fail(
            what,
            format!(
                "{sum}. Lower DATABASE_POOL_SIZE, raise max_connections, or put a pooler between"
            ),
        )
    } else {
        Finding::fine(what, sum)
    })
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Executor as _};

    use super::*;
    use crate::clock::SystemClock;
    use crate::finding::Verdict;
    use crate::test_database::TestDatabase;

    fn plan(url: &str) -> Plan<'_> {
        Plan {
            url,
            direct_url: None,
            role: Role::Shop,
            only_reads: false,
            pool_size: 5,
            replicas: 1,
        }
    }

    /// What is not fine, but for the test server's own lack of care for its disk.
    async fn wrong(plan: Plan<'_>) -> Vec<(&'static str, Verdict, String)> {
        let findings = examine(plan, &SystemClock).await;
        let wrong = findings.into_iter().filter(|f| {
            f.verdict != Verdict::Fine
                && !f.found.starts_with("fsync")
                && !f.found.starts_with("full_page_writes")
        });
        wrong.map(|f| (f.what, f.verdict, f.found)).collect()
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_database_is_found_and_told_with_the_remedy() {
        let database = TestDatabase::new().await;
        let url = database.url(Role::Shop);
        assert_eq!(wrong(plan(&url)).await, []);

        let admin = database.admin_url();
        let found = wrong(plan(&admin)).await;
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            (found[0].0, found[0].1),
            ("login", Verdict::Warn),
            "{found:?}"
        );

        let mut owner = PgConnection::connect(&database.owner_url()).await.unwrap();
        let many = Plan {
            replicas: 60,
            ..plan(&url)
        };
        let found = wrong(many).await;
        assert!(
            found.len() == 1 && found[0].2.contains("DATABASE_POOL_SIZE"),
            "{found:?}"
        );

        for (spoil, what, remedy) in [
            (
                "alter table shop.items disable row level security",
                "tenants",
                "shop.items has no row level security",
            ),
            (
                "grant select on shop.bills to public",
                "tenants",
                "shop.bills is open to another role",
            ),
            (
                "create policy more on shop.people to public using (true)",
                "tenants",
                "shop.people is open",
            ),
            (
                "delete from public._sqlx_migrations where version = (select max(version) from public._sqlx_migrations)",
                "schema",
                "mcp-server migrate",
            ),
            (
                "update public._sqlx_migrations set checksum = 'x' where version = (select min(version) from public._sqlx_migrations)",
                "schema",
                "another text",
            ),
        ] {
            owner.execute(spoil).await.unwrap();
            let found = wrong(plan(&url)).await;
            assert!(
                found
                    .iter()
                    .any(|(w, v, text)| *w == what && *v == Verdict::Fail && text.contains(remedy)),
                "{spoil}: {found:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_login_that_may_only_read_is_as_it_should_be() {
        let database = TestDatabase::new().await;
        let admin = database.admin_url();
        let login = format!("scene_looker_{}", rand::random::<u32>());
        let mut superuser = PgConnection::connect(&admin).await.unwrap();
        superuser
            .execute(AssertSqlSafe(format!(
                "create role {login} login; call shop.let_read('{login}')"
            )))
            .await
            .unwrap();
        let reading = database.url_of(&login);
        let reading = Plan {
            only_reads: true,
            ..plan(&reading)
        };
        assert_eq!(wrong(reading).await, [], "a login that may only read");
        let drop = format!("drop owned by {login}; drop role {login}");
        superuser.execute(AssertSqlSafe(drop)).await.unwrap();
    }

    #[tokio::test]
    async fn a_database_that_is_away_or_has_no_shop_is_told_without_its_password() {
        let away = wrong(plan("postgres://shop:geheim@127.0.0.1:1/nothing")).await;
        assert_eq!(away.len(), 1);
        assert!(
            away[0].2.contains("127.0.0.1:1/nothing") && !away[0].2.contains("geheim"),
            "{away:?}"
        );
    }

    struct Late;

    impl Clock for Late {
        fn now(&self) -> DateTime<Utc> {
            SystemClock.now() - TimeDelta::seconds(90)
        }
    }

    #[tokio::test]
    async fn a_clock_that_is_off_is_found() {
        let database = TestDatabase::new().await;
        let mut connection = PgConnection::connect(&database.url(Role::Shop))
            .await
            .unwrap();
        assert_eq!(
            skew(&mut connection, &SystemClock).await.unwrap().verdict,
            Verdict::Fine
        );
        let late = skew(&mut connection, &Late).await.unwrap();
        assert_eq!(late.verdict, Verdict::Fail);
        assert!(late.found.contains("NTP"), "{late}");
    }
}
