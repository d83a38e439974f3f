//! What the owner does on the command line with the shop of local mode: its branches, and the demo in it.

use std::sync::Arc;

use clap::{Args, Subcommand};

use super::say;
use crate::app::{App, Hooks};
use crate::caller::Caller;
use crate::config::Config;
use crate::error::CallError;
use crate::places::{self, NewPlace};
use crate::{demo, start};

#[derive(Debug, Subcommand)]
pub(super) enum Place {
    /// Add a branch.
    Add(Add),
    /// List the branches.
    List,
    /// Take a branch off the list.
    Remove {
        /// Its name.
        name: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// Its name.
    name: String,
    /// Degrees north, -90 to 90.
    #[arg(long, allow_hyphen_values = true)]
    latitude: f64,
    /// Degrees east, -180 to 180.
    #[arg(long, allow_hyphen_values = true)]
    longitude: f64,
    /// Street and town.
    #[arg(long)]
    address: Option<String>,
    /// Another name; may be given several times.
    #[arg(long)]
    alias: Vec<String>,
    /// Weekly hours on the shop's wall clock: "mon-fri 08:00-18:00, sat 09:00-13:00".
    #[arg(long)]
    hours: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Demo {
    /// Take out what the demo made. What the owner made or used stays.
    Remove {
        /// Really do it.
        #[arg(long)]
        yes: bool,
    },
    /// Put the demo back.
    Fill,
}

pub(super) async fn place(config: &Config, hooks: Hooks, command: Place) -> anyhow::Result<()> {
    let owner = owner(config)?;
    let (app, database) = start::open_shop(config, config.bind, hooks, &mut say).await?;
    let done = administer(&app, &owner, command).await;
    database.pool.close().await;
    sentence(done)
}

async fn administer(app: &Arc<App>, owner: &Caller, command: Place) -> Result<(), CallError> {
    match command {
        Place::Add(add) => {
            let new = NewPlace {
                name: add.name,
                aliases: add.alias,
                address: add.address,
                latitude: add.latitude,
                longitude: add.longitude,
                hours: add.hours,
            };
            let place = places::add(app, owner, &new).await?;
            say(&format!("Added {}", line(&place)));
        }
        Place::Remove { name } => {
            let place = places::remove(app, owner, &name).await?;
            say(&format!("Removed {}.", place.name));
        }
        Place::List => {
            let mut tx = app.begin(owner.tenant).await?;
            let places = places::all(&mut tx, owner.tenant.0).await?;
            for place in &places {
                say(&line(place));
            }
            if places.is_empty() {
                say("No branch has been entered yet.");
            }
        }
    }
    Ok(())
}

/// "Remera (-1.9579,30.1127), KG 11 Avenue, mon-fri 08:00-18:00"
fn line(place: &places::Place) -> String {
    let mut line = format!(
        "{} ({},{})",
        place.name, place.point.latitude, place.point.longitude
    );
    let hours = place.hours.as_ref().map(ToString::to_string);
    for more in [place.address.clone(), hours].into_iter().flatten() {
        line.push_str(", ");
        line.push_str(&more);
    }
    line
}

pub(super) async fn demo(config: &Config, hooks: Hooks, command: Demo) -> anyhow::Result<()> {
    owner(config)?;
    if matches!(command, Demo::Remove { yes: false }) {
        anyhow::bail!(
            "This takes the demo's items, customers, branches and tickets out of the shop. What you made or used stays. \
             Repeat it with --yes to do it; `mcp-server demo fill` puts the demo back."
        );
    }
    let (app, database) = start::open_shop(config, config.bind, hooks, &mut say).await?;
    let done = match command {
        Demo::Remove { .. } => demo::remove(&app).await.map(|removed| {
            for line in removed.lines() {
                say(&line);
            }
        }),
        Demo::Fill => demo::fill_again(&app).await.map(|()| {
            say("The demo is in the shop.");
        }),
    };
    database.pool.close().await;
    sentence(done)
}

/// Whoever sits at the machine is the owner of the shop of local mode, and of no other.
fn owner(config: &Config) -> anyhow::Result<Caller> {
    if config.local_mode {
        Ok(Caller::local_owner())
    } else {
        anyhow::bail!("This command works on the shop of local mode. Set MCP_LOCAL_MODE=on for it.")
    }
}

/// A refusal is a sentence for the person already.
fn sentence(done: Result<(), CallError>) -> anyhow::Result<()> {
    done.map_err(|error| match error {
        CallError::Refused(failure) => anyhow::anyhow!(failure.message),
        other => other.into(),
    })
}
