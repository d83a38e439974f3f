//! `mcp-server settings …` and `mcp-server policies …`: what a business has settled for itself.

use anyhow::Context as _;
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use super::desk::{Business, Desk, Path, tell};
use crate::admin::policies::{Ask, Policies, Policy};
use crate::app::Hooks;
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum Settings {
    /// Show them.
    Show,
    /// Change some: `settings set time_zone=Africa/Kigali phone="0788 123 456" address=`. Nothing behind the sign clears.
    Set {
        /// `name=value`, as `show` names them.
        #[arg(required = true)]
        changes: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum PoliciesCommand {
    /// Show when tools ask, and who may answer.
    Show {
        /// One tool.
        tool: Option<String>,
    },
    /// Settle it for a tool.
    Set(SetPolicy),
    /// Back to what is the tool's own.
    Clear {
        /// The tool.
        tool: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct SetPolicy {
    /// The tool.
    tool: String,
    /// always, above or never.
    #[arg(long, default_value = "always")]
    ask: String,
    /// Above how much, in minor units of the shop's currency.
    #[arg(long)]
    above_minor: Option<i64>,
    /// Who may answer: self, staff or owner. Default: whom the tool names.
    #[arg(long)]
    approver: Option<String>,
}

pub(super) async fn settings(
    config: &Config,
    hooks: Hooks,
    business: &Business,
    command: Settings,
) -> anyhow::Result<()> {
    let desk = Desk::open(config, hooks, business).await?;
    let path = Path::to(&["settings"]);
    let done = match command {
        Settings::Show => desk.get(&path).await,
        Settings::Set { changes } => match patch(&changes) {
            Ok(body) => desk.send(Method::PATCH, &path, &body).await,
            Err(error) => Err(error),
        },
    };
    desk.close().await;
    let settings: Map<String, Value> = done?;
    for (name, value) in settings {
        let shown = match value {
            Value::Null => String::new(),
            // An address has lines.
            Value::String(text) => text.replace('\n', "\n  "),
            other => other.to_string(),
        };
        tell(&format!("{name}={shown}"));
    }
    Ok(())
}

/// `tax_inclusive=true phone=` as the body of a change.
fn patch(changes: &[String]) -> anyhow::Result<Value> {
    let mut body = Map::new();
    for change in changes {
        let (name, value) = change.split_once('=').with_context(|| {
            format!("`{change}` is no change. Write name=value, such as locale=es.")
        })?;
        let value = match (name, value) {
            (_, "") => Value::Null,
            ("tax_inclusive" | "allow_negative_stock", text) => json!(
                text.parse::<bool>()
                    .with_context(|| format!("{name} is true or false"))?
            ),
            ("confirmation_ttl_seconds", text) => json!(
                text.parse::<i32>()
                    .with_context(|| format!("{name} is a whole number"))?
            ),
            (_, text) => json!(text),
        };
        body.insert(name.trim().to_owned(), value);
    }
    Ok(Value::Object(body))
}

pub(super) async fn policies(
    config: &Config,
    hooks: Hooks,
    business: &Business,
    command: PoliciesCommand,
) -> anyhow::Result<()> {
    let desk = Desk::open(config, hooks, business).await?;
    let done = settle(&desk, command).await;
    desk.close().await;
    done
}

async fn settle(desk: &Desk, command: PoliciesCommand) -> anyhow::Result<()> {
    let of = |tool: &str| Path::to(&["policies", tool]);
    match command {
        PoliciesCommand::Show { tool: Some(tool) } => tell(&line(&desk.get(&of(&tool)).await?)),
        PoliciesCommand::Show { tool: None } => {
            let all: Policies = desk.get(&Path::to(&["policies"])).await?;
            for policy in &all.policies {
                tell(&line(policy));
            }
        }
        PoliciesCommand::Set(new) => {
            let mut body = json!({"ask": new.ask});
            if let Some(amount) = new.above_minor {
                body["above_minor"] = json!(amount);
            }
            if let Some(approver) = new.approver {
                body["approver"] = json!(approver);
            }
            tell(&line(&desk.send(Method::PUT, &of(&new.tool), &body).await?));
        }
        PoliciesCommand::Clear { tool } => {
            desk.delete(&of(&tool)).await?;
            tell(&line(&desk.get(&of(&tool)).await?));
        }
    }
    Ok(())
}

fn line(policy: &Policy) -> String {
    let ask = match (policy.ask, policy.above_minor) {
        (Ask::Above, Some(amount)) => format!("asks above {amount} minor units"),
        (Ask::Never, _) => "never asks".to_owned(),
        (Ask::Always | Ask::Above, _) => "always asks".to_owned(),
    };
    let own = if policy.default {
        "  (the tool's own)"
    } else {
        ""
    };
    format!(
        "{}  {ask}, answered by {}{own}",
        policy.tool,
        policy.approver.word()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_by_what_they_change() {
        let read =
            |changes: &[&str]| patch(&changes.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>());
        let body = read(&[
            "name=A=B",
            "tax_inclusive=false",
            "confirmation_ttl_seconds=60",
            "phone=",
            "tax_number=100",
        ]);
        let wanted = json!({"name": "A=B", "tax_inclusive": false, "confirmation_ttl_seconds": 60, "phone": null, "tax_number": "100"});
        assert_eq!(body.unwrap(), wanted);
        for bad in ["name", "tax_inclusive=yes", "confirmation_ttl_seconds=1m"] {
            assert!(read(&[bad]).is_err(), "{bad}");
        }
    }
}
