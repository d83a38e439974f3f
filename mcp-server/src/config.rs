//! Settings of `mcp-server`, read once at the start.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use contracts::scope::Reach;
use migrations::clock::{self, SharedClock};
use migrations::database::{DatabaseSettings, Role};
use migrations::keys::{self, Key};
use migrations::settings::{BadSetting, Reader};
use migrations::telemetry::TelemetrySettings;

use crate::app::RATE_PER_MINUTE;
use crate::identity::jwt::AuthSettings;
use crate::providers::ProviderSettings;

/// Settings of `mcp-server`.
#[derive(Clone)]
pub struct Config {
    /// `COUNTERSIGN_HOME`: where data and keys live.
    pub home: PathBuf,
    /// `MCP_BIND`: where `/mcp` and the approval page are served.
    pub bind: SocketAddr,
    /// `MCP_PUBLIC_URL`: how people reach the approval page; derived from `MCP_BIND` when unset.
    pub public_url: Option<String>,
    /// `MCP_ALLOWED_HOSTS`: names besides loopback's under which we are reached.
    pub allowed_hosts: Vec<String>,
    /// `MCP_LOCAL_MODE`: callers without a token are the local owner. Loopback only.
    pub local_mode: bool,
    /// `MCP_CALL_TIMEOUT_SECONDS`: how long one call may take.
    pub call_deadline: Duration,
    /// `MCP_DRAIN_SECONDS`: how long the program goes on taking requests after it was told to stop, while `/readyz` says no, so that a
    /// balancer has looked elsewhere before the door closes.
    pub drain: Duration,
    /// `METRICS_BIND`: where `/metrics` is served, to whoever reaches it. Unset: on `MCP_BIND`, to callers on this machine.
    pub metrics_bind: Option<SocketAddr>,
    /// `LOG_FORMAT`, `OTEL_EXPORTER_OTLP_ENDPOINT`: logs and spans.
    pub telemetry: TelemetrySettings,
    /// `AGENT_TOKEN_KEY`: checks the agent's tokens; kept in the home when unset.
    pub agent_token_key: Option<Key>,
    /// `AGENT_TOKEN_KEY_PREVIOUS`: still checks the agent's tokens while keys are exchanged.
    pub agent_token_key_previous: Option<Key>,
    /// `MCP_AUTH_…`: the authorization server whose tokens are taken.
    pub auth_server: Option<AuthSettings>,
    /// `MCP_TOOLSETS`: the most that anybody may reach through this server.
    pub toolsets: Reach,
    /// `MCP_READ_ONLY`: nothing is written, whoever asks.
    pub read_only: bool,
    /// `MCP_RATE_PER_MINUTE`: requests of one principal in a minute; 0 for no limit.
    pub rate_per_minute: u32,
    /// `MCP_OPERATOR_KEY`: makes and suspends businesses over the network; nobody does when unset.
    pub operator_key: Option<Key>,
    /// `CONFIRMATION_KEY`: derives the tokens of questions; kept in the home when unset.
    pub confirmation_key: Option<Key>,
    /// `DATABASE_URL`, `DATABASE_DIRECT_URL`, `DATABASE_OWNER_URL`, `DATABASE_POOL_SIZE`.
    pub database: DatabaseSettings,
    /// `MOMO_…`, `STRIPE_…`: who moves money that leaves the process. Without them those ways of paying are not offered.
    pub providers: ProviderSettings,
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
            "MCP_BIND",
            "127.0.0.1:8001",
            "an address and port such as 127.0.0.1:8001",
        )?;
        let local_mode = switch(settings, "MCP_LOCAL_MODE", "on")?;
        if local_mode && !bind.ip().is_loopback() {
            return Err(BadSetting {
                name: "MCP_BIND".to_owned(),
                value: bind.to_string(),
                accepts: "a loopback address while MCP_LOCAL_MODE is on, because everybody who reaches it would be the owner".to_owned(),
            });
        }
        Ok(Config {
            bind,
            public_url: settings
                .optional("MCP_PUBLIC_URL")
                .map(|url| url.trim_end_matches('/').to_owned()),
            allowed_hosts: settings.list("MCP_ALLOWED_HOSTS"),
            local_mode,
            call_deadline: Duration::from_secs(
                settings
                    .number("MCP_CALL_TIMEOUT_SECONDS", 10, 1, 300)?
                    .into(),
            ),
            drain: Duration::from_secs(settings.number("MCP_DRAIN_SECONDS", 0, 0, 60)?.into()),
            metrics_bind: settings.checked(
                "METRICS_BIND",
                "",
                "an address and port such as 127.0.0.1:9001",
                |text| {
                    if text.is_empty() {
                        Some(None)
                    } else {
                        text.parse().ok().map(Some)
                    }
                },
            )?,
            telemetry: TelemetrySettings::read(settings)?,
            agent_token_key: key(settings, "AGENT_TOKEN_KEY")?,
            agent_token_key_previous: key(settings, "AGENT_TOKEN_KEY_PREVIOUS")?,
            auth_server: AuthSettings::read(settings)?,
            toolsets: settings.checked("MCP_TOOLSETS", "all", TOOLSETS_ACCEPTED, toolsets)?,
            read_only: switch(settings, "MCP_READ_ONLY", "off")?,
            rate_per_minute: settings.number(
                "MCP_RATE_PER_MINUTE",
                RATE_PER_MINUTE,
                0,
                1_000_000,
            )?,
            operator_key: key(settings, "MCP_OPERATOR_KEY")?,
            confirmation_key: key(settings, "CONFIRMATION_KEY")?,
            database: database(settings, home.clone(), Role::Shop)?,
            providers: ProviderSettings::read(settings)?,
            clock: clock::from_setting(
                settings
                    .optional("COUNTERSIGN_CLOCK_OFFSET_FILE")
                    .map(PathBuf::from)
                    .as_deref(),
            ),
            home,
        })
    }

    /// The most that anybody may reach by these settings.
    #[must_use]
    pub fn within(&self) -> Reach {
        if self.read_only {
            self.toolsets.narrowed(Reach::READING)
        } else {
            self.toolsets
        }
    }

    /// The key the agent's tokens are signed with.
    ///
    /// # Errors
    /// One sentence when its file cannot be used.
    pub fn agent_token_key(&self) -> Result<Key, String> {
        self.agent_token_key
            .map_or_else(|| keys::load_or_create(&self.home, "agent-token"), Ok)
    }

    /// The key the tokens of questions are derived with.
    ///
    /// # Errors
    /// One sentence when its file cannot be used.
    pub fn confirmation_key(&self) -> Result<Key, String> {
        self.confirmation_key
            .map_or_else(|| keys::load_or_create(&self.home, "confirmation"), Ok)
    }
}

/// What `--toolsets` and `MCP_TOOLSETS` take.
const TOOLSETS_ACCEPTED: &str = "all, or toolsets with commas between: inventory, billing, payment, booking, profile, location, support";

/// Toolsets with commas between.
fn toolsets(text: &str) -> Option<Reach> {
    Reach::of_toolsets(text.split(',').map(str::trim)).ok()
}

/// The value of `--toolsets`.
///
/// # Errors
/// One line that says what it takes.
pub(crate) fn toolsets_of_flag(text: &str) -> Result<Reach, String> {
    toolsets(text).ok_or_else(|| format!("it takes {TOOLSETS_ACCEPTED}"))
}

fn database(settings: &Reader, home: PathBuf, role: Role) -> Result<DatabaseSettings, BadSetting> {
    Ok(DatabaseSettings {
        home,
        database_url: settings.optional("DATABASE_URL"),
        direct_url: settings.optional("DATABASE_DIRECT_URL"),
        owner_url: settings.optional("DATABASE_OWNER_URL"),
        pool_size: settings.number("DATABASE_POOL_SIZE", 20, 1, 500)?,
        role,
    })
}

fn key(settings: &Reader, name: &str) -> Result<Option<Key>, BadSetting> {
    settings.checked(
        name,
        "",
        "a secret text of at least 32 characters",
        |text| {
            if text.is_empty() {
                Some(None)
            } else {
                keys::from_text(text).map(Some)
            }
        },
    )
}

fn switch(settings: &Reader, name: &str, default: &str) -> Result<bool, BadSetting> {
    settings.checked(name, default, "on or off", |text| match text {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &'static [(&'static str, &'static str)]) -> Result<Config, String> {
        let reader = Reader::new(|name| {
            let home = (name == "COUNTERSIGN_HOME").then(|| "/srv/shop".to_owned());
            home.or_else(|| {
                pairs
                    .iter()
                    .find(|(n, _)| *n == name)
                    .map(|(_, v)| (*v).to_owned())
            })
        });
        Config::read(&reader).map_err(|e| e.to_string())
    }

    #[test]
    fn the_owner_of_local_mode_is_never_offered_to_a_network() {
        assert!(read(&[]).is_ok_and(|c| c.local_mode));
        assert!(read(&[("MCP_BIND", "0.0.0.0:8001")]).is_err_and(|e| e.contains("MCP_LOCAL_MODE")));
        assert!(read(&[("MCP_BIND", "0.0.0.0:8001"), ("MCP_LOCAL_MODE", "off")]).is_ok());
        assert!(
            read(&[("MCP_LOCAL_MODE", "yes")])
                .is_err_and(|e| e.starts_with("MCP_LOCAL_MODE: `yes`"))
        );
        assert!(
            read(&[("MOMO_API_KEY", "k")]).is_err_and(|e| e.starts_with("MOMO_SUBSCRIPTION_KEY"))
        );
        assert!(
            read(&[("MCP_TOOLSETS", "billing,shop")])
                .is_err_and(|e| e.starts_with("MCP_TOOLSETS: `billing,shop`"))
        );
        assert!(read(&[("MCP_READ_ONLY", "1")]).is_err_and(|e| e.contains("on or off")));
        assert!(
            read(&[("MCP_AUTH_ISSUER", "http://login.example")])
                .is_err_and(|e| e.starts_with("MCP_AUTH_ISSUER") && e.contains("https"))
        );
        assert!(read(&[("AGENT_TOKEN_KEY", "short")]).is_err_and(|e| e.contains("32 characters")));
    }

    #[test]
    fn what_the_settings_leave_is_the_least_of_both() {
        let within = |pairs| read(pairs).unwrap().within().scopes();
        assert_eq!(within(&[]).len(), 8, "every toolset, and administration");
        assert_eq!(
            within(&[
                ("MCP_TOOLSETS", "billing, support"),
                ("MCP_READ_ONLY", "on")
            ]),
            ["billing:read", "support:read"]
        );
    }
}
