//! The command line of `mcp-server`.

mod audit;
mod desk;
mod keys;
mod people;
mod settings;
mod shop;
mod tenants;
mod webhook;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use contracts::scope::Reach;
use migrations::settings::Reader;
use migrations::telemetry;

use crate::app::Hooks;
use crate::config::{self, Config};
use crate::{check, demo, doctor, start};
use desk::Business;

/// The business as tools over the Model Context Protocol.
#[derive(Debug, Parser)]
#[command(name = "mcp-server", version)]
pub struct Cli {
    /// Serve one desktop client on standard input and output instead of HTTP.
    #[arg(long)]
    stdio: bool,
    /// Offer these toolsets alone, with commas between: `inventory,billing`. Goes before `MCP_TOOLSETS`.
    #[arg(long, value_parser = config::toolsets_of_flag)]
    toolsets: Option<Reach>,
    /// Write nothing, whoever asks. As `MCP_READ_ONLY=on`.
    #[arg(long)]
    read_only: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring the schema of `DATABASE_OWNER_URL` up to date and make the shop of local mode.
    Migrate,
    /// See whether everything that always has to hold does, in every shop of `DATABASE_OWNER_URL`: 0 when it does, 1 when something is
    /// broken, 2 when it could not be looked at. Changes nothing and may be run while the shops are open.
    Check,
    /// Make, list, suspend and rename businesses.
    Tenants {
        #[command(subcommand)]
        command: tenants::Command,
    },
    /// Say who logs in, and what they may do.
    People {
        #[command(flatten)]
        business: Business,
        #[command(subcommand)]
        command: people::Command,
    },
    /// Make, list and revoke keys of programs that call the tools.
    Keys {
        #[command(flatten)]
        business: Business,
        #[command(subcommand)]
        command: keys::Command,
    },
    /// Show and change what the business has settled for itself.
    Settings {
        #[command(flatten)]
        business: Business,
        #[command(subcommand)]
        command: settings::Settings,
    },
    /// Say when tools ask before they act, and who may answer.
    Policies {
        #[command(flatten)]
        business: Business,
        #[command(subcommand)]
        command: settings::PoliciesCommand,
    },
    /// Read and export what was done, by whom, and who agreed.
    Audit {
        #[command(flatten)]
        business: Business,
        #[command(flatten)]
        audit: audit::Export,
    },
    /// See whether this deployment is as it should be, and say what to do where it is not: 0 when nothing is wrong, 1 otherwise. Changes
    /// nothing. Run it where the server runs, with the same settings.
    Doctor(doctor::Arguments),
    /// Tell other programs what happens in the shop.
    Webhook {
        #[command(flatten)]
        business: Business,
        #[command(subcommand)]
        command: webhook::Webhook,
    },
    /// Say where the shop's branches are.
    Place {
        #[command(subcommand)]
        command: shop::Place,
    },
    /// Take the demo out of the shop of local mode, or put it back.
    Demo {
        #[command(subcommand)]
        command: shop::Demo,
    },
}

/// Runs the program; what goes wrong is one sentence on standard error.
pub async fn main(hooks: Hooks) -> ExitCode {
    let _ = dotenvy::dotenv();
    // Every command's work is in it, and most of that is large.
    match Box::pin(run(Cli::parse(), hooks)).await {
        Ok(code) => code,
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli, hooks: Hooks) -> anyhow::Result<ExitCode> {
    let settings = Reader::environment();
    let mut config = match Config::read(&settings) {
        // What is wrong is what the doctor is for.
        Err(bad) if matches!(cli.command, Some(Command::Doctor(_))) => {
            return Ok(doctor::stopped_by(&bad));
        }
        read => read?,
    };
    config.toolsets = cli.toolsets.unwrap_or(config.toolsets);
    config.read_only |= cli.read_only;
    // Standard output belongs to the protocol; logs go to standard error.
    let telemetry = telemetry::start("mcp-server", telemetry::DEFAULT_FILTER, &config.telemetry)?;
    let done = Box::pin(obey(cli, config, &settings, hooks)).await;
    telemetry.stop().await;
    done
}

async fn obey(
    cli: Cli,
    config: Config,
    settings: &Reader,
    hooks: Hooks,
) -> anyhow::Result<ExitCode> {
    match cli.command {
        Some(Command::Doctor(arguments)) => {
            return Ok(doctor::run(&config, settings, &arguments).await);
        }
        Some(Command::Check) => return Ok(check::run(&config).await),
        Some(Command::Migrate) => migrate(&config).await,
        Some(Command::Tenants { command }) => tenants::run(&config, hooks, command).await,
        Some(Command::People { business, command }) => {
            people::run(&config, hooks, &business, command).await
        }
        Some(Command::Keys { business, command }) => {
            keys::run(&config, hooks, &business, command).await
        }
        Some(Command::Settings { business, command }) => {
            settings::settings(&config, hooks, &business, command).await
        }
        Some(Command::Policies { business, command }) => {
            settings::policies(&config, hooks, &business, command).await
        }
        Some(Command::Audit { business, audit }) => {
            audit::run(&config, hooks, &business, &audit).await
        }
        Some(Command::Webhook { business, command }) => {
            webhook::run(&config, hooks, &business, command).await
        }
        Some(Command::Place { command }) => shop::place(&config, hooks, command).await,
        Some(Command::Demo { command }) => shop::demo(&config, hooks, command).await,
        None if cli.stdio => {
            Box::pin(start::stdio(config, hooks, &mut |line| {
                tracing::info!("{line}");
            }))
            .await
        }
        None => serve(config, hooks).await,
    }?;
    Ok(ExitCode::SUCCESS)
}

async fn migrate(config: &Config) -> anyhow::Result<()> {
    let url = config
        .database
        .owner_url
        .as_ref()
        .or(config.database.database_url.as_ref());
    let url = url.ok_or_else(|| {
        anyhow::anyhow!(
            "Set DATABASE_OWNER_URL to the login that owns the database, then run this again."
        )
    })?;
    migrations::database::migrate(url).await?;
    demo::make_tenant(url, config.clock.now()).await?;
    say("The schema is up to date.");
    Ok(())
}

async fn serve(config: Config, hooks: Hooks) -> anyhow::Result<()> {
    let started = start::start(config, hooks, &mut say).await?;
    say(&format!("MCP      {}", started.mcp_url()));
    if let Some(data) = started.data_dir() {
        say(&format!("data     {}", data.display()));
    }
    say("Ctrl-C stops it.");
    stopped().await;
    started.stop().await;
    Ok(())
}

/// Ctrl-C, or what a service manager sends.
async fn stopped() {
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate => {}
    }
}

#[expect(
    clippy::print_stderr,
    reason = "this is where the program talks to the person who started it"
)]
fn say(line: &str) {
    eprintln!("{line}");
}
