//! `mcp-server check`: every rule of [`crate::invariants`] over every shop of a live database.
//!
//! All rules look at one moment, so a shop that is open meanwhile gives one consistent picture, and nothing is locked or written.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use migrations::embedded::Embedded;
use sqlx::{Connection as _, PgConnection};

use crate::config::Config;
use crate::invariants::{self, Invariant};

/// Nothing is broken.
const HOLDS: u8 = 0;
/// Something is broken.
const BROKEN: u8 = 1;
/// It could not be looked at.
const NOT_LOOKED: u8 = 2;
/// What nearly every rule begins with; the rows themselves are behind it.
const COUNTED: &str = "select count(*)";

/// What became of one rule.
#[derive(Debug, Clone, Copy)]
pub struct Finding {
    /// The rule.
    pub rule: &'static Invariant,
    /// How many rows break it.
    pub broken: i64,
}

/// What was found in one database.
#[derive(Debug)]
pub struct Findings {
    /// Shops that were looked at.
    pub shops: i64,
    /// One for each rule.
    pub rules: Vec<Finding>,
}

/// Checks, says what it found on standard output, and how it went as the program's exit code: 0 when everything holds, 1 when something
/// is broken, 2 when it could not be looked at.
pub(crate) async fn run(config: &Config) -> ExitCode {
    let begun = Instant::now();
    match look_at(config).await {
        Ok(findings) => {
            for finding in &findings.rules {
                say(&line(finding));
            }
            let broken = findings.rules.iter().filter(|f| f.broken > 0).count();
            say(&format!(
                "{} rules over {} shops, {broken} broken. It took {} ms.",
                findings.rules.len(),
                findings.shops,
                begun.elapsed().as_millis()
            ));
            ExitCode::from(if broken == 0 { HOLDS } else { BROKEN })
        }
        Err(error) => {
            say(&format!("Not checked: {error:#}"));
            ExitCode::from(NOT_LOOKED)
        }
    }
}

/// Nothing is started but the embedded Postgres of a shop that is there.
async fn look_at(config: &Config) -> anyhow::Result<Findings> {
    let settings = &config.database;
    if let Some(url) = settings
        .owner_url
        .as_ref()
        .or(settings.database_url.as_ref())
    {
        return look(url).await;
    }
    anyhow::ensure!(
        Embedded::is_made(&settings.home),
        "There is no shop in {}. Set DATABASE_OWNER_URL, or COUNTERSIGN_HOME to where the shop is.",
        settings.home.display()
    );
    let embedded = Embedded::start(&settings.home, &mut |_| {}).await?;
    look(&embedded.owner_url()).await
}

/// Runs every rule as a login that sees every shop.
///
/// # Errors
/// One sentence for the operator, with its cause.
pub async fn look(url: &str) -> anyhow::Result<Findings> {
    let mut conn = PgConnection::connect(url)
        .await
        .context("The database cannot be reached")?;
    let mut tx = conn
        .begin_with("begin isolation level repeatable read read only")
        .await
        .context("The database cannot be read")?;
    let bound = is_bound(&mut tx)
        .await
        .context("There is no shop in this database, which `mcp-server migrate` would make")?;
    anyhow::ensure!(
        !bound,
        "This login sees one shop at a time. Set DATABASE_OWNER_URL to the login that owns the database."
    );
    let shops = count_shops(&mut tx)
        .await
        .context("The shops cannot be counted")?;
    let mut rules = Vec::new();
    for rule in invariants::all() {
        let broken = sqlx::query_scalar(rule.broken)
            .fetch_one(&mut *tx)
            .await
            .with_context(|| {
                format!(
                    "Rule {}, {}, could not be looked at; if the program was updated, `mcp-server migrate` comes first",
                    rule.number, rule.says
                )
            })?;
        rules.push(Finding { rule, broken });
    }
    Ok(Findings { shops, rules })
}

/// One rule as a line; a broken one with the query that shows its rows, or where it counts several things with the query that counts.
fn line(finding: &Finding) -> String {
    let Finding { rule, broken } = finding;
    if *broken == 0 {
        return format!("ok      {:>2}  {}", rule.number, rule.says);
    }
    let query = match rule.broken.strip_prefix(COUNTED) {
        Some(rows) => format!("which this shows:\nselect *{rows}"),
        None => format!("which this counts:\n{}", rule.broken),
    };
    format!(
        "BROKEN  {:>2}  {}: {broken} rows, {query}\n",
        rule.number, rule.says
    )
}

/// Whether row level security binds this login.
async fn is_bound(conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"select row_security_active('shop.tenants') as "bound!""#)
        .fetch_one(conn)
        .await
}

async fn count_shops(conn: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(r#"select count(*) as "shops!" from shop.tenants"#)
        .fetch_one(conn)
        .await
}

#[expect(
    clippy::print_stdout,
    reason = "what an operator asked for, so that it can be kept in a file"
)]
fn say(line: &str) {
    println!("{line}");
}

#[cfg(test)]
mod tests {
    use migrations::clock::{Clock as _, SystemClock};
    use migrations::database::Role;
    use migrations::test_database::TestDatabase;

    use super::*;
    use crate::demo;

    #[tokio::test]
    async fn every_rule_is_looked_at_and_what_is_broken_is_counted() {
        let database = TestDatabase::new().await;
        let made = demo::make_tenant(&database.owner_url(), SystemClock.now()).await;
        made.unwrap();
        let findings = look(&database.owner_url()).await.unwrap();
        assert_eq!(findings.shops, 1);
        assert_eq!(findings.rules.len(), invariants::all().count());
        assert!(findings.rules.iter().all(|finding| finding.broken == 0));
        assert!(line(&findings.rules[0]).starts_with("ok "));

        let owner = database.owner_pool().await;
        let number = "insert into shop.counters (tenant_id, series, last) select id, 'INV', 1 from shop.tenants";
        sqlx::query(number).execute(&owner).await.unwrap();
        let findings = look(&database.owner_url()).await.unwrap();
        let broken: Vec<&Finding> = findings.rules.iter().filter(|f| f.broken > 0).collect();
        assert_eq!(broken.len(), 1, "{broken:?}");
        assert_eq!((broken[0].rule.number, broken[0].broken), (7, 1));
        let said = line(broken[0]);
        assert!(said.starts_with("BROKEN   7  numbers are unique"), "{said}");
        assert!(
            said.contains("1 rows, which this shows:\nselect * from ("),
            "{said}"
        );
    }

    #[tokio::test]
    async fn a_login_that_cannot_see_everything_is_no_witness() {
        let database = TestDatabase::new().await;
        let bound = look(&database.url(Role::Shop)).await.unwrap_err();
        assert!(bound.to_string().contains("DATABASE_OWNER_URL"), "{bound}");
        let away = look("postgres://nobody@127.0.0.1:1/nothing").await;
        assert!(away.unwrap_err().to_string().contains("cannot be reached"));
    }
}
