//! `mcp-server doctor`: whether a deployment is as it should be, and what to do where it is not. One line for each thing, worst told last
//! by the exit code. Looks from where the server runs, with its settings, and changes nothing.

mod reach;
mod settings;

use std::process::ExitCode;

use clap::Args;
use migrations::database::{self, Plan, Role};
use migrations::embedded::Embedded;
use migrations::finding::{Finding, Verdict};
use migrations::home;
use migrations::settings::{BadSetting, Reader};

use crate::check;
use crate::config::Config;

/// What `mcp-server doctor` takes.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// How many of each program run, or are going to: 1 to 1000.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    replicas: u32,
    /// Also see whether everything that always has to hold in the shops does, as `mcp-server check` does. Takes a while in large ones.
    #[arg(long)]
    check: bool,
    /// Ask nobody but the database: not this server by its public address, not the authorization server.
    #[arg(long)]
    offline: bool,
}

/// Looks at everything and says it on standard output, a line each.
pub(crate) async fn run(config: &Config, settings: &Reader, arguments: &Arguments) -> ExitCode {
    told(&examine(config, settings, arguments).await)
}

/// For settings that cannot be read: nothing else can be looked at.
pub(crate) fn stopped_by(bad: &BadSetting) -> ExitCode {
    told(&[Finding::fail("settings", bad.to_string())])
}

/// Everything that is found.
pub async fn examine(config: &Config, settings: &Reader, arguments: &Arguments) -> Vec<Finding> {
    let mut findings = vec![Finding::fine("settings", "all can be read")];
    findings.extend(settings::examine(config, settings, arguments.replicas));
    let has_data = config.database.database_url.is_none();
    findings.extend(home::examine(&config.home, has_data));
    findings.extend(shop(config, arguments).await);
    if !arguments.offline {
        findings.extend(reach::examine(config, settings).await);
    }
    findings
}

/// The database, and the rules where they are asked for.
async fn shop(config: &Config, arguments: &Arguments) -> Vec<Finding> {
    let given = &config.database;
    let (embedded, url, owner_url) = match &given.database_url {
        Some(url) => (None, url.clone(), given.owner_url.clone()),
        None if Embedded::is_made(&given.home) => {
            match Embedded::start(&given.home, &mut |_| {}).await {
                Ok(embedded) => {
                    let (url, owner) = (embedded.url(Role::Shop), embedded.owner_url());
                    (Some(embedded), url, Some(owner))
                }
                Err(error) => return vec![Finding::fail("database", error.to_string())],
            }
        }
        None => {
            return vec![Finding::warn(
                "database",
                "none is given and none was made yet: the first start makes one in COUNTERSIGN_HOME. To use another, set DATABASE_URL",
            )];
        }
    };
    let plan = Plan {
        url: &url,
        direct_url: given.direct_url.as_deref().filter(|_| embedded.is_none()),
        role: Role::Shop,
        only_reads: config.read_only,
        pool_size: given.pool_size,
        replicas: arguments.replicas,
    };
    let mut findings = database::examine(plan, &*config.clock).await;
    if arguments.check {
        findings.extend(rules(owner_url.as_deref().unwrap_or(&url)).await);
    }
    drop(embedded);
    findings
}

/// What `mcp-server check` finds, as findings.
async fn rules(url: &str) -> Vec<Finding> {
    match check::look(url).await {
        Err(error) => vec![Finding::fail("rules", format!("{error:#}"))],
        Ok(found) => {
            let broken = found.rules.iter().filter(|f| f.broken > 0);
            let mut findings: Vec<Finding> = broken
                .map(|f| {
                    let says = f.rule.says;
                    Finding::fail("rules", format!("{} rows break \"{says}\". `mcp-server check` shows which; change nothing before you know why", f.broken))
                })
                .collect();
            if findings.is_empty() {
                let (rules, shops) = (found.rules.len(), found.shops);
                findings.push(Finding::fine(
                    "rules",
                    format!("{rules} hold over {shops} shops"),
                ));
            }
            findings
        }
    }
}

fn told(findings: &[Finding]) -> ExitCode {
    for finding in findings {
        say(&finding.to_string());
    }
    let count = |verdict| findings.iter().filter(|f| f.verdict == verdict).count();
    let (failed, warned) = (count(Verdict::Fail), count(Verdict::Warn));
    say(&format!(
        "{} looked at, {failed} wrong, {warned} to know of.",
        findings.len()
    ));
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[expect(
    clippy::print_stdout,
    reason = "this is what the person who ran the command asked for"
)]
fn say(line: &str) {
    println!("{line}");
}

#[cfg(test)]
mod tests {
    use migrations::test_database::{TestDatabase, TestHome};

    use super::*;

    fn reader(pairs: &[(&str, String)]) -> Reader {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(n, v)| ((*n).to_owned(), v.clone()))
            .collect();
        Reader::new(move |name| {
            pairs
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, v)| v.clone())
        })
    }

    #[tokio::test]
    async fn a_shop_on_this_machine_is_fine_and_what_broke_in_it_is_found() {
        let database = TestDatabase::new().await;
        let home = TestHome::new();
        std::fs::create_dir_all(home.path()).unwrap();
        let settings = reader(&[
            ("COUNTERSIGN_HOME", home.path().to_str().unwrap().to_owned()),
            ("DATABASE_URL", database.url(Role::Shop)),
            ("DATABASE_OWNER_URL", database.owner_url()),
            ("DATABASE_POOL_SIZE", "5".to_owned()),
        ]);
        let config = Config::read(&settings).unwrap();
        let arguments = Arguments {
            replicas: 1,
            check: true,
            offline: true,
        };
        let wrong = async || -> Vec<Finding> {
            let found = examine(&config, &settings, &arguments).await;
            // The test server does not care for its disk, on purpose.
            let fails = found.into_iter().filter(|f| f.verdict == Verdict::Fail);
            fails.filter(|f| !f.found.starts_with("fsync")).collect()
        };
        assert_eq!(wrong().await, []);

        let owner = database.owner_pool().await;
        sqlx::query("alter table shop.items disable row level security")
            .execute(&owner)
            .await
            .unwrap();
        let found = wrong().await;
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].found.contains("shop.items"), "{found:?}");
    }

    #[tokio::test]
    async fn without_a_database_nothing_is_made() {
        let home = TestHome::new();
        let settings = reader(&[("COUNTERSIGN_HOME", home.path().to_str().unwrap().to_owned())]);
        let config = Config::read(&settings).unwrap();
        let arguments = Arguments {
            replicas: 1,
            check: false,
            offline: true,
        };
        let found = examine(&config, &settings, &arguments).await;
        assert!(
            found
                .iter()
                .any(|f| f.what == "database" && f.verdict == Verdict::Warn),
            "{found:?}"
        );
        assert!(!home.path().exists(), "the doctor changes nothing");
    }
}
