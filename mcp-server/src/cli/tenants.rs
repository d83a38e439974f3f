//! `mcp-server tenants …`: the businesses of this installation.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::json;

use super::desk::{Desk, Path, tell};
use crate::admin::tenants::{Made, Tenant, Tenants};
use crate::app::Hooks;
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a business and its first owner. Prints the owner's password, this once.
    Create(Create),
    /// List the businesses.
    List,
    /// Let nobody in any more. What is there stays.
    Suspend {
        /// By handle or id.
        business: String,
    },
    /// Let people in again.
    Resume {
        /// By handle or id.
        business: String,
    },
    /// Give a business another name or handle.
    Rename {
        /// By handle or id.
        business: String,
        /// The name on bills and pages.
        #[arg(long)]
        name: Option<String>,
        /// The name at log-in and in addresses.
        #[arg(long)]
        handle: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// Its name at log-in and in addresses: corner-shop.
    handle: String,
    /// Its name on bills and pages.
    name: String,
    /// ISO 4217: RWF, KES, EUR.
    #[arg(long)]
    currency: String,
    /// ISO 3166 alpha-2: RW, KE, ES.
    #[arg(long)]
    country: Option<String>,
    /// IANA: Africa/Kigali.
    #[arg(long, default_value = "UTC")]
    time_zone: String,
    /// en or es.
    #[arg(long, default_value = "en")]
    locale: String,
    /// The first owner's name at log-in.
    #[arg(long, default_value = "owner")]
    owner: String,
    /// The first owner's name on pages.
    #[arg(long, default_value = "Owner")]
    owner_name: String,
}

pub(super) async fn run(config: &Config, hooks: Hooks, command: Command) -> anyhow::Result<()> {
    let desk = Desk::of_the_operator(config, hooks).await?;
    let done = act(&desk, command).await;
    desk.close().await;
    done
}

async fn act(desk: &Desk, command: Command) -> anyhow::Result<()> {
    let change = async |business: &str, change: serde_json::Value| -> anyhow::Result<()> {
        let path = Path::to(&["tenants", business]);
        let tenant: Tenant = desk.send(Method::PATCH, &path, &change).await?;
        tell(&line(&tenant));
        Ok(())
    };
    match command {
        Command::Create(new) => create(desk, new).await,
        Command::List => list(desk).await,
        Command::Suspend { business } => change(&business, json!({"suspended": true})).await,
        Command::Resume { business } => change(&business, json!({"suspended": false})).await,
        Command::Rename {
            business,
            name,
            handle,
        } => {
            let mut wanted = serde_json::Map::new();
            for (member, value) in [("name", name), ("handle", handle)] {
                wanted.extend(value.map(|v| (member.to_owned(), json!(v))));
            }
            change(&business, wanted.into()).await
        }
    }
}

async fn create(desk: &Desk, new: Create) -> anyhow::Result<()> {
    let body = json!({
        "handle": new.handle, "name": new.name, "currency": new.currency, "country": new.country, "time_zone": new.time_zone,
        "locale": new.locale, "owner": {"subject": new.owner, "name": new.owner_name},
    });
    let made: Made = desk
        .send(Method::POST, &Path::to(&["tenants"]), &body)
        .await?;
    tell(&format!("tenant   {}", made.tenant.id));
    tell(&format!(
        "shop     {}",
        made.tenant.handle.unwrap_or_default()
    ));
    tell(&format!("name     {}", made.owner.subject));
    if let Some(password) = made.password {
        tell(&format!("password {password}"));
        tell("The password is not shown again.");
    }
    Ok(())
}

async fn list(desk: &Desk) -> anyhow::Result<()> {
    let lines = |page: Tenants| (page.tenants.iter().map(line).collect(), page.next);
    let none = "There is no business yet. `mcp-server tenants create` makes one.";
    desk.show_all("tenants", lines, none).await
}

fn line(tenant: &Tenant) -> String {
    let state = tenant.suspended_at.map_or_else(
        || "open".to_owned(),
        |at| format!("suspended since {}", at.to_rfc3339()),
    );
    let handle = tenant.handle.as_deref().unwrap_or("-");
    format!(
        "{}  {handle}  {}  {}  {state}",
        tenant.id, tenant.currency, tenant.name
    )
}
