//! `mcp-server keys …`: the keys of programs that call the tools.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::json;

use super::desk::{Business, Desk, Path, tell};
use crate::admin::keys::{Key, Keys, Made};
use crate::app::Hooks;
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a key. Prints it, this once.
    Create(Create),
    /// List the keys, without what proves them.
    List,
    /// Refuse a key from now on: here at once, by running servers within five seconds.
    Revoke {
        /// Its name.
        name: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// What it is called; its principal is key:NAME. A name is never given twice.
    name: String,
    /// owner, staff or customer.
    #[arg(long, default_value = "staff")]
    role: String,
    /// How far it reaches within the role, with commas between: `billing:commit,inventory:read`, `all:read`, `admin`.
    #[arg(long, value_delimiter = ',', default_value = "all:commit")]
    scopes: Vec<String>,
    /// The customer it acts as, by id or name, for the role customer.
    #[arg(long)]
    customer: Option<String>,
    /// After how many days it ends by itself. Default: never.
    #[arg(long)]
    expires_in_days: Option<u32>,
}

pub(super) async fn run(
    config: &Config,
    hooks: Hooks,
    business: &Business,
    command: Command,
) -> anyhow::Result<()> {
    let desk = Desk::open(config, hooks, business).await?;
    let done = act(&desk, command).await;
    desk.close().await;
    done
}

async fn act(desk: &Desk, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Create(new) => {
            let body = json!({
                "name": new.name, "role": new.role, "scopes": new.scopes, "customer": new.customer, "expires_in_days": new.expires_in_days,
            });
            let made: Made = desk.send(Method::POST, &Path::to(&["keys"]), &body).await?;
            tell(&line(&made.key));
            tell(&format!("key      {}", made.secret));
            tell("The key is not shown again.");
        }
        Command::Revoke { name } => {
            desk.delete(&Path::to(&["keys", &name])).await?;
            tell(&format!("{name} is refused from now on."));
        }
        Command::List => return list(desk).await,
    }
    Ok(())
}

async fn list(desk: &Desk) -> anyhow::Result<()> {
    let lines = |page: Keys| (page.keys.iter().map(line).collect(), page.next);
    let none = "There is no key yet. `mcp-server keys create` makes one.";
    desk.show_all("keys", lines, none).await
}

fn line(key: &Key) -> String {
    let state = match (key.revoked_at, key.expires_at) {
        (Some(at), _) => format!("revoked at {}", at.to_rfc3339()),
        (None, Some(at)) => format!("until {}", at.to_rfc3339()),
        (None, None) => "no end".to_owned(),
    };
    let used = key.last_used_at.map_or_else(
        || "never used".to_owned(),
        |at| format!("last used {}", at.to_rfc3339()),
    );
    format!(
        "{}  {}  [{}]  {state}  {used}",
        key.name,
        key.role.word(),
        key.scopes.join(", ")
    )
}
