//! `mcp-server people …`: who logs in.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use super::desk::{Business, Desk, Path, password_from_stdin, tell};
use crate::admin::people::{Done, People, Person};
use crate::app::Hooks;
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add somebody. Prints a password that is made up for them, this once.
    Add(Add),
    /// List everybody.
    List,
    /// Change name, role or scopes.
    Change(Change),
    /// Let somebody in no more; ends all their sessions.
    Disable {
        /// The name at log-in.
        subject: String,
    },
    /// Let somebody in again.
    Enable {
        /// The name at log-in.
        subject: String,
    },
    /// Give somebody a new password; ends all their sessions. Made up and printed, this once, unless it comes on standard input.
    Password {
        /// The name at log-in.
        subject: String,
        /// Read the password from standard input: its first line.
        #[arg(long)]
        stdin: bool,
    },
    /// Let somebody log in with an account of the authorization server (`MCP_AUTH_ISSUER`).
    Link {
        /// The name at log-in.
        subject: String,
        /// The server's name, as its tokens have it in `iss`.
        issuer: String,
        /// The account, as its tokens have it in `sub`.
        account: String,
    },
    /// Let nobody log in as them with an account elsewhere any more.
    Unlink {
        /// The name at log-in.
        subject: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// The name at log-in: ana.
    subject: String,
    /// The name on pages: "Ana María".
    name: String,
    /// owner, staff or customer.
    #[arg(long, default_value = "staff")]
    role: String,
    /// How far they reach within the role, with commas between: `billing:write,inventory:read`. Default: all that the role allows.
    #[arg(long, value_delimiter = ',')]
    scopes: Option<Vec<String>>,
    /// The customer a customer is, by id or name.
    #[arg(long)]
    customer: Option<String>,
    /// Read the password from standard input: its first line.
    #[arg(long)]
    stdin: bool,
    /// No password: they log in with an account of the authorization server. Takes its name and the account.
    #[arg(long, num_args = 2, value_names = ["ISSUER", "ACCOUNT"], conflicts_with = "stdin")]
    link: Option<Vec<String>>,
}

#[derive(Debug, Args)]
pub(super) struct Change {
    /// The name at log-in.
    subject: String,
    /// The name on pages.
    #[arg(long)]
    name: Option<String>,
    /// owner, staff or customer.
    #[arg(long)]
    role: Option<String>,
    /// How far they reach within the role, with commas between.
    #[arg(long, value_delimiter = ',')]
    scopes: Option<Vec<String>>,
    /// The customer a customer is, by id or name.
    #[arg(long)]
    customer: Option<String>,
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
        Command::Add(new) => {
            let body = new_person(new)?;
            let done: Done = desk
                .send(Method::POST, &Path::to(&["people"]), &body)
                .await?;
            show(&done);
        }
        Command::List => return list(desk).await,
        Command::Change(new) => {
            let wanted = members([
                ("name", new.name.map(Value::from)),
                ("role", new.role.map(Value::from)),
                ("scopes", new.scopes.map(Value::from)),
                ("customer", new.customer.map(Value::from)),
            ]);
            change(desk, &new.subject, wanted).await?;
        }
        Command::Disable { subject } => change(desk, &subject, json!({"disabled": true})).await?,
        Command::Enable { subject } => change(desk, &subject, json!({"disabled": false})).await?,
        Command::Password { subject, stdin } => {
            let wanted = if stdin {
                json!({"password": password_from_stdin()?})
            } else {
                json!({"generate_password": true})
            };
            change(desk, &subject, wanted).await?;
        }
        Command::Link {
            subject,
            issuer,
            account,
        } => {
            let account = json!({"issuer": issuer, "subject": account});
            change(desk, &subject, json!({"account": account})).await?;
        }
        Command::Unlink { subject } => change(desk, &subject, json!({"account": null})).await?,
    }
    Ok(())
}

fn new_person(new: Add) -> anyhow::Result<Value> {
    let password = new.stdin.then(password_from_stdin).transpose()?;
    let account = match new.link.as_deref() {
        Some([issuer, account]) => Some(json!({"issuer": issuer, "subject": account})),
        _ => None,
    };
    Ok(members([
        ("subject", Some(new.subject.into())),
        ("name", Some(new.name.into())),
        ("role", Some(new.role.into())),
        ("scopes", new.scopes.map(Value::from)),
        ("customer", new.customer.map(Value::from)),
        ("password", password.map(Value::from)),
        ("account", account),
    ]))
}

/// An object of what there is.
fn members<const N: usize>(pairs: [(&str, Option<Value>); N]) -> Value {
    let there = pairs
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(there.collect::<Map<_, _>>())
}

async fn change(desk: &Desk, subject: &str, wanted: Value) -> anyhow::Result<()> {
    let path = Path::to(&["people", subject]);
    let done: Done = desk.send(Method::PATCH, &path, &wanted).await?;
    show(&done);
    Ok(())
}

fn show(done: &Done) {
    tell(&line(&done.person));
    if let Some(password) = &done.password {
        tell(&format!("password {password}"));
        tell("The password is not shown again.");
    }
}

async fn list(desk: &Desk) -> anyhow::Result<()> {
    let lines = |page: People| (page.people.iter().map(line).collect(), page.next);
    let none = "Nobody has been added yet. `mcp-server people add` does.";
    desk.show_all("people", lines, none).await
}

fn line(person: &Person) -> String {
    let state = match (person.disabled_at, person.locked_until) {
        (Some(at), _) => format!("disabled since {}", at.to_rfc3339()),
        (None, Some(until)) => format!("locked out until {}", until.to_rfc3339()),
        (None, None) => "may log in".to_owned(),
    };
    let account = person.account.as_ref();
    let account = account.map_or_else(String::new, |a| format!("  {} at {}", a.subject, a.issuer));
    format!(
        "{}  {}  {}  [{}]  {state}{account}",
        person.subject,
        person.name,
        person.role.word(),
        person.scopes.join(", ")
    )
}
