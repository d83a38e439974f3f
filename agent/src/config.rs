//! Settings of `agent`, read once at the start.

mod servers;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use migrations::clock::{self, SharedClock};
use migrations::database::{DatabaseSettings, Role};
use migrations::keys::{self, Key};
use migrations::settings::{BadSetting, Reader};

pub use self::servers::{Address, ExtraServer, Secret};

/// What happens to a message while a run is active in its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenBusy {
    /// It waits its turn.
    Queue,
    /// It is answered 409.
    Refuse,
}

/// Settings of `agent`.
#[derive(Clone)]
pub struct Config {
    /// `COUNTERSIGN_HOME`: where data and keys live.
    pub home: PathBuf,
    /// `AGENT_BIND`: where the API and the chat page are served.
    pub bind: SocketAddr,
    /// `AGENT_ALLOWED_HOSTS`: names besides loopback's under which we are reached.
    pub allowed_hosts: Vec<String>,
    /// `AGENT_BODY_BYTES_MAX`: largest request body.
    pub body_bytes_max: usize,
    /// `AGENT_HEARTBEAT_SECONDS`: how often an idle stream says that it lives.
    pub heartbeat: Duration,
    /// `MCP_SERVER_URL`: the tool server; one is started in this process when unset.
    pub mcp_server_url: Option<String>,
    /// `MCP_EXTRA_SERVERS`, `MCP_EXTRA_SERVER_TOKENS`: tool servers besides our own.
    pub extra_servers: Vec<ExtraServer>,
    /// `MCP_EXTRA_SERVER_TIMEOUT_SECONDS`: how long one call of such a server may take.
    pub extra_server_deadline: Duration,
    /// `SESSION_CONTEXT_SIZE`: exchanges a model sees of a session.
    pub session_context_size: usize,
    /// `SESSION_WHEN_BUSY`: what happens to a message while a run is active.
    pub when_busy: WhenBusy,
    /// `RUN_LEASE_SECONDS`: how long a dead worker's run waits before another goes on with it.
    pub lease: Duration,
    /// `RUN_TIMEOUT_SECONDS`: how long a run may work.
    pub run_deadline: Duration,
    /// `RUNS_PER_USER_MAX`: runs of one person at once.
    pub runs_per_user_max: u32,
    /// `AGENT_TOKEN_KEY`: signs the tokens for the tool server; kept in the home when unset.
    pub agent_token_key: Option<Key>,
    /// `DATABASE_URL`, `DATABASE_OWNER_URL`, `DATABASE_POOL_SIZE`.
    pub database: DatabaseSettings,
    /// `COUNTERSIGN_CLOCK_OFFSET_FILE`: moves the clock, for tests.
    pub clock: SharedClock,
}

impl Config {
    /// Reads every setting.
    ///
    /// # Errors
    /// One line naming the variable and what it accepts.
    pub fn read(settings: &Reader) -> Result<Config, BadSetting> {
        let home = settings.home()?;
        let bind: SocketAddr = settings.parsed(
            "AGENT_BIND",
            "127.0.0.1:8000",
            "an address and port such as 127.0.0.1:8000",
        )?;
        if !bind.ip().is_loopback() {
            return Err(BadSetting {
                name: "AGENT_BIND".to_owned(),
                value: bind.to_string(),
                accepts: "a loopback address as long as there is no login, because everybody who reaches it is the owner".to_owned(),
            });
        }
        Ok(Config {
            bind,
            allowed_hosts: settings.list("AGENT_ALLOWED_HOSTS"),
            body_bytes_max: settings.number("AGENT_BODY_BYTES_MAX", 262_144, 4096, 16_777_216)?
                as usize,
            heartbeat: seconds(settings, "AGENT_HEARTBEAT_SECONDS", 15, 1, 300)?,
            mcp_server_url: url(settings, "MCP_SERVER_URL")?,
            extra_servers: servers::read(settings)?,
            extra_server_deadline: servers::deadline(settings)?,
            session_context_size: settings.number("SESSION_CONTEXT_SIZE", 5, 1, 50)? as usize,
            when_busy: settings.checked(
                "SESSION_WHEN_BUSY",
                "queue",
                "queue or refuse",
                |text| match text {
                    "queue" => Some(WhenBusy::Queue),
                    "refuse" => Some(WhenBusy::Refuse),
                    _ => None,
                },
            )?,
            lease: seconds(settings, "RUN_LEASE_SECONDS", 10, 1, 300)?,
            run_deadline: seconds(settings, "RUN_TIMEOUT_SECONDS", 300, 5, 3600)?,
            runs_per_user_max: settings.number("RUNS_PER_USER_MAX", 10, 1, 1000)?,
            agent_token_key: settings.checked(
                "AGENT_TOKEN_KEY",
                "",
                "a secret text of at least 32 characters",
                |text| {
                    if text.is_empty() {
                        Some(None)
                    } else {
                        keys::from_text(text).map(Some)
                    }
                },
            )?,
            database: DatabaseSettings {
                home: home.clone(),
                database_url: settings.optional("DATABASE_URL"),
                owner_url: settings.optional("DATABASE_OWNER_URL"),
                pool_size: settings.number("DATABASE_POOL_SIZE", 20, 1, 500)?,
                role: Role::Agent,
            },
            clock: clock::from_setting(
                settings
                    .optional("COUNTERSIGN_CLOCK_OFFSET_FILE")
                    .map(PathBuf::from)
                    .as_deref(),
            ),
            home,
        })
    }

    /// The key the tokens for the tool server are signed with.
    ///
    /// # Errors
    /// One sentence when its file cannot be used.
    pub fn agent_token_key(&self) -> Result<Key, String> {
        self.agent_token_key
            .map_or_else(|| keys::load_or_create(&self.home, "agent-token"), Ok)
    }
}

fn seconds(
    settings: &Reader,
    name: &str,
    default: u32,
    least: u32,
    most: u32,
) -> Result<Duration, BadSetting> {
    settings
        .number(name, default, least, most)
        .map(|s| Duration::from_secs(s.into()))
}

fn url(settings: &Reader, name: &str) -> Result<Option<String>, BadSetting> {
    settings.checked(
        name,
        "",
        "an http or https address such as http://127.0.0.1:8001/mcp",
        |text| match text {
            "" => Some(None),
            _ if text.starts_with("http://") || text.starts_with("https://") => {
                Some(Some(text.to_owned()))
            }
            _ => None,
        },
    )
}
