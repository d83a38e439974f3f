//! `mcp-server webhook …`: who is told what happens in the shop.

use clap::Subcommand;
use http::Method;
use serde_json::json;
use uuid::Uuid;

use super::desk::{Business, Desk, Path, tell};
use crate::admin::webhooks::{Added, Deliveries, Delivery, Endpoint, Endpoints, Retried};
use crate::app::Hooks;
use crate::config::Config;

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
    },
    /// Show the addresses that are told something.
    List,
    /// Stop telling an address anything.
    Remove {
        /// Its id, as `list` shows it.
        id: Uuid,
    },
    /// Show the newest deliveries.
    Deliveries {
        /// Only those that were given up.
        #[arg(long)]
        dead: bool,
    },
    /// Deliver an event that was given up once more.
    Retry {
        /// The event's id, as `deliveries` shows it.
        event: Uuid,
    },
}

/// Does it, on the database the settings lead to.
pub(super) async fn run(
    config: &Config,
    hooks: Hooks,
    business: &Business,
    command: Webhook,
) -> anyhow::Result<()> {
    let desk = Desk::open(config, hooks, business).await?;
    let lines = act(&desk, command).await;
    desk.close().await;
    for line in lines? {
        tell(&line);
    }
    Ok(())
}

async fn act(desk: &Desk, command: Webhook) -> anyhow::Result<Vec<String>> {
    let webhooks = || Path::to(&["webhooks"]);
    Ok(match command {
        Webhook::Add { url, topics } => {
            let body = json!({"url": url, "topics": topics});
            let added: Added = desk.send(Method::POST, &webhooks(), &body).await?;
            vec![
                format!("endpoint {}", added.id),
                format!("url      {}", added.url),
                format!("topics   {}", added.topics.join(", ")),
                format!("secret   {}", added.secret),
                "The secret is not shown again.".to_owned(),
            ]
        }
        Webhook::List => endpoints(desk.get::<Endpoints>(&webhooks()).await?.endpoints),
        Webhook::Remove { id } => {
            desk.delete(&Path::to(&["webhooks", &id.to_string()]))
                .await?;
            vec![format!("{id} is told nothing any more.")]
        }
        Webhook::Deliveries { dead } => {
            let path = Path::to(&["webhooks", "deliveries"]).with("dead", dead.then_some("true"));
            deliveries(desk.get::<Deliveries>(&path).await?.deliveries)
        }
        Webhook::Retry { event } => {
            let path = Path::to(&["webhooks", "deliveries", &event.to_string(), "retry"]);
            let retried: Retried = desk.send(Method::POST, &path, &json!({})).await?;
            vec![format!(
                "Event {event} will be delivered again to {} endpoint(s).",
                retried.endpoints
            )]
        }
    })
}

fn endpoints(found: Vec<Endpoint>) -> Vec<String> {
    if found.is_empty() {
        return vec![
            "Nobody is told anything. `mcp-server webhook add URL` adds an address.".to_owned(),
        ];
    }
    let line = |e: Endpoint| {
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

fn deliveries(found: Vec<Delivery>) -> Vec<String> {
    if found.is_empty() {
        return vec!["None.".to_owned()];
    }
    let line = |d: Delivery| {
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
