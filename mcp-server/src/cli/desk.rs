//! How the command line administers: it opens the shop as every command does, and calls the routes of [`crate::admin`] in this process. So
//! what can be done here and what can be done over the network are the same, with the same checks and the same audit rows.

use std::io::{BufRead as _, IsTerminal as _};
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use contracts::ids::TenantId;
use http::Method;
use migrations::database::Database;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::say;
use crate::admin;
use crate::admin::problem::Problem;
use crate::admin::tenants::{self, Operator};
use crate::app::{App, Hooks};
use crate::caller::Caller;
use crate::config::Config;
use crate::start;

/// Longest password that is read, bytes.
const PASSWORD_BYTES_MAX: usize = 1_000;

/// Which business a command is about.
#[derive(Debug, Args)]
pub(super) struct Business {
    /// The business, by handle or id. Default: the one of local mode.
    #[arg(long, global = true)]
    pub(super) tenant: Option<String>,
}

/// The shop, open for one command, and who gives it.
pub(super) struct Desk {
    pub(super) app: Arc<App>,
    who: Caller,
    database: Database,
}

impl Desk {
    /// Opens it for the owner of a business: whoever sits at the machine is that of every one.
    pub(super) async fn open(
        config: &Config,
        hooks: Hooks,
        business: &Business,
    ) -> anyhow::Result<Desk> {
        anyhow::ensure!(
            config.local_mode || business.tenant.is_some(),
            "Say which business it is about with --tenant, by handle or id. `mcp-server tenants list` shows them."
        );
        let mut desk = Desk::of_the_operator(config, hooks).await?;
        if let Some(named) = &business.tenant {
            match tenants::identified(&desk.app, named).await {
                Ok(id) => desk.who = Operator::AT_HAND.upon(TenantId(id)),
                Err(problem) => {
                    desk.close().await;
                    anyhow::bail!(
                        "There is no business `{named}`. `mcp-server tenants list` shows those there are ({problem})."
                    );
                }
            }
        }
        if config.local_mode && desk.who.tenant == TenantId::DEMO {
            desk.who = Caller::local_owner();
        }
        Ok(desk)
    }

    /// Opens it for the operator of the installation.
    pub(super) async fn of_the_operator(config: &Config, hooks: Hooks) -> anyhow::Result<Desk> {
        let (app, database) = start::open_shop(config, config.bind, hooks, &mut say).await?;
        Ok(Desk {
            app,
            who: Operator::AT_HAND.upon(TenantId::DEMO),
            database,
        })
    }

    pub(super) async fn close(self) {
        self.database.pool.close().await;
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &Path) -> anyhow::Result<T> {
        read(admin::ask(&self.app, &self.who, Method::GET, &path.0, None).await)
    }

    /// Shows every row of a list, page after page, or says that there is none. `lines` gives a page's rows and the cursor of the next.
    pub(super) async fn show_all<P: DeserializeOwned>(
        &self,
        what: &str,
        lines: impl Fn(P) -> (Vec<String>, Option<String>),
        none: &str,
    ) -> anyhow::Result<()> {
        let (mut cursor, mut empty) = (None, true);
        loop {
            let path = Path::to(&[what]).with("cursor", cursor.as_deref());
            let (rows, next) = lines(self.get(&path).await?);
            empty &= rows.is_empty();
            rows.iter().for_each(|row| tell(row));
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        if empty {
            tell(none);
        }
        Ok(())
    }

    pub(super) async fn delete(&self, path: &Path) -> anyhow::Result<Value> {
        sentence(admin::ask(&self.app, &self.who, Method::DELETE, &path.0, None).await)
    }

    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &Path,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        let body = serde_json::to_value(body)?;
        read(admin::ask(&self.app, &self.who, method, &path.0, Some(&body)).await)
    }
}

/// A path under `/admin/v1`, with whatever people typed escaped in it.
pub(super) struct Path(String);

impl Path {
    pub(super) fn to(parts: &[&str]) -> Path {
        let mut path = String::from("/admin/v1");
        for part in parts {
            path.push('/');
            path.push_str(&escaped(part));
        }
        Path(path)
    }

    /// With a parameter, where there is a value for it.
    #[must_use]
    pub(super) fn with(mut self, name: &str, value: Option<&str>) -> Path {
        if let Some(value) = value {
            let sign = if self.0.contains('?') { '&' } else { '?' };
            self.0.push_str(&format!("{sign}{name}={}", escaped(value)));
        }
        self
    }
}

fn escaped(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes()
        .map(|byte| {
            if plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

fn sentence(answer: Result<Value, Problem>) -> anyhow::Result<Value> {
    answer.map_err(|problem| match &problem.field {
        Some(field) => anyhow::anyhow!("{}: {}", field, problem.detail),
        None => anyhow::anyhow!(problem.detail),
    })
}

fn read<T: DeserializeOwned>(answer: Result<Value, Problem>) -> anyhow::Result<T> {
    serde_json::from_value(sentence(answer)?).context("The answer cannot be read")
}

/// A password from standard input: its first line. Never an argument, which others on the machine can see and shells remember.
pub(super) fn password_from_stdin() -> anyhow::Result<String> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        say("The password is seen while it is typed here. It ends with Enter.");
    }
    let mut line = String::new();
    let mut input = std::io::Read::take(stdin.lock(), PASSWORD_BYTES_MAX as u64);
    input
        .read_line(&mut line)
        .context("Standard input cannot be read")?;
    let password = line.trim_end_matches(['\r', '\n']).to_owned();
    anyhow::ensure!(
        !password.is_empty(),
        "Nothing came on standard input. Give the password there, on one line."
    );
    Ok(password)
}

/// Shows a result on standard output.
#[expect(
    clippy::print_stdout,
    reason = "what was asked for; standard output is free, no client is served"
)]
pub(super) fn tell(line: &str) {
    println!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type_stays_one_part_of_a_path() {
        let path = Path::to(&["people", "a/../b?c"])
            .with("who", Some("é&x"))
            .with("to", None)
            .with("n", Some("1"));
        assert_eq!(path.0, "/admin/v1/people/a%2F..%2Fb%3Fc?who=%C3%A9%26x&n=1");
    }
}
