//! `mcp-server webhook …`: who is told what happens in the shop.

use clap::Subcommand;
use contracts::ids::TenantId;
use migrations::database;
use uuid::Uuid;

use super::say;
use crate::config::Config;
use crate::webhooks::admin;

/// What can be done about webhooks.
#[derive(Debug, Subcommand)]
pub(super) enum Webhook {
    /// Tell an address what happens from now on. Prints the secret its deliveries are signed with, this once.
    Add {
        /// Where deliveries are posted: https, or http on this machine in local mode.
        url: String,
        /// What it hears of, with commas between: `bill.issued,payment.*`. `*` is everything.
        #[arg(long, value_delimiter = ',', default_value = "*")]
        topics: Vec<String>,
        /// The business. Default: the one of local mode.
        #[arg(long)]
        tenant: Option<Uuid>,
    },
    /// Show the addresses that are told something.
    List {
        /// The business. Default: the one of local mode.
        #[arg(long)]
        tenant: Option<Uuid>,
    },
    /// Stop telling an address anything.
    Remove {
        /// Its id, as `list` shows it.
        id: Uuid,
        /// The business. Default: the one of local mode.
        #[arg(long)]
        tenant: Option<Uuid>,
    },
    /// Show the newest deliveries.
    Deliveries {
        /// Only those that were given up.
        #[arg(long)]
        dead: bool,
        /// The business. Default: the one of local mode.
        #[arg(long)]
        tenant: Option<Uuid>,
    },
    /// Deliver an event that was given up once more.
    Retry {
        /// The event's id, as `deliveries` shows it.
        event: Uuid,
        /// The business. Default: the one of local mode.
        #[arg(long)]
        tenant: Option<Uuid>,
    },
}

impl Webhook {
    fn tenant(&self) -> TenantId {
        let (Webhook::Add { tenant, .. }
        | Webhook::List { tenant }
        | Webhook::Remove { tenant, .. }
        | Webhook::Deliveries { tenant, .. }
        | Webhook::Retry { tenant, .. }) = self;
        tenant.map_or(TenantId::DEMO, TenantId)
    }
}

/// Does it, on the database the settings lead to.
pub(super) async fn run(command: Webhook, config: &Config) -> anyhow::Result<()> {
    let database = database::open(config.database.clone(), &mut say).await?;
    let tenant = command.tenant();
    let now = config.clock.now();
    let mut tx = database::begin(&database.pool, tenant.0).await?;
    let lines = match command {
        Webhook::Add { url, topics, .. } => {
            let id = migrations::clock::new_id(&*config.clock);
            let added =
                admin::add(&mut tx, tenant, id, &url, &topics, config.local_mode, now).await?;
            vec![
                format!("endpoint {}", added.id),
                format!("url      {}", added.url),
                format!("topics   {}", added.topics.join(", ")),
                format!("secret   {}", added.secret),
                "The secret is not shown again.".to_owned(),
            ]
        }
        Webhook::List { .. } => endpoints(admin::list(&mut tx, tenant).await?),
        Webhook::Remove { id, .. } => {
            admin::remove(&mut tx, tenant, id, now).await?;
            vec![format!("{id} is told nothing any more.")]
        }
        Webhook::Deliveries { dead, .. } => {
            deliveries(admin::deliveries(&mut tx, tenant, dead).await?)
        }
        Webhook::Retry { event, .. } => {
            let count = admin::retry(&mut tx, tenant, event, now).await?;
            vec![format!(
                "Event {event} will be delivered again to {count} endpoint(s)."
            )]
        }
    };
    tx.commit().await?;
    database.pool.close().await;
    for line in lines {
        tell(&line);
    }
    Ok(())
}

fn endpoints(found: Vec<admin::Endpoint>) -> Vec<String> {
    if found.is_empty() {
        return vec![
            "Nobody is told anything. `mcp-server webhook add URL` adds an address.".to_owned(),
        ];
    }
    let line = |e: admin::Endpoint| {
        let reason = e.reason.map_or_else(String::new, |r| format!("  {r}"));
        format!(
            "{}  {:8}  {} pending, {} dead  {}  [{}]{reason}",
            e.id,
            e.status,
            e.pending,
            e.dead,
            e.url,
            e.topics.join(", ")
        )
    };
    found.into_iter().map(line).collect()
}

fn deliveries(found: Vec<admin::Delivery>) -> Vec<String> {
    if found.is_empty() {
        return vec!["None.".to_owned()];
    }
    let line = |d: admin::Delivery| {
        let next = if d.status == "pending" {
            format!(", next at {}", d.next_at.to_rfc3339())
        } else {
            String::new()
        };
        let error = d.last_error.map_or_else(String::new, |e| format!("  {e}"));
        format!(
            "{}  {}  {:9}  {} attempts{next}  to {}{error}",
            d.event_id, d.topic, d.status, d.attempts, d.endpoint_id
        )
    };
    found.into_iter().map(line).collect()
}

#[expect(
    clippy::print_stdout,
    reason = "what was asked for; standard output is free, no client is served"
)]
fn tell(line: &str) {
    println!("{line}");
}
