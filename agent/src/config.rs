//! Settings of `agent`, read once at the start.

mod servers;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use migrations::clock::{self, SharedClock};
use migrations::database::{DatabaseSettings, Role};
use migrations::keys::{self, Key};
use migrations::settings::{BadSetting, Reader};
use migrations::telemetry::TelemetrySettings;

pub use self::servers::{Address, ExtraServer, Secret};

/// What happens to a message while a run is active in its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenBusy {
    /// It waits its turn.
    Queue,
    /// It is answered 409.
    Refuse,
}

/// A key or token. Never shown: it can only be revealed to whom it is for.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// A key that can stand in a header: visible ASCII, 1 to 4,000 characters.
    #[must_use]
    pub fn new(text: &str) -> Option<ApiKey> {
        let fits = (1..=4000).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic());
        fits.then(|| ApiKey(text.to_owned()))
    }

    /// The key, for the request's header.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NOT_SHOWN)
    }
}

/// A provider of a language model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderAddress {
    /// Where its Chat Completions API is, without a slash at the end: `https://api.openai.com/v1`.
    pub base_url: String,
    /// Its key; models on the own machine need none.
    pub key: Option<ApiKey>,
    /// The model that is asked for.
    pub model: String,
}

/// How models are asked.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelManner {
    /// `MODEL_STREAM`: answers come piece by piece.
    pub stream: bool,
    /// `MODEL_TIMEOUT_SECONDS`: how long one answer may take, with every retry and every provider.
    pub timeout: Duration,
    /// `MODEL_IDLE_TIMEOUT_SECONDS`: how long a stream may be silent.
    pub idle: Duration,
    /// `MODEL_RETRIES`: attempts after the first.
    pub retries: usize,
    /// `MODEL_REST_SECONDS`: how long a provider rests after its first failure; each further one in a row doubles it.
    pub rest: Duration,
    /// `MODEL_TEMPERATURE`: 0 to 2; the provider's own when unset.
    pub temperature: Option<f64>,
    /// `MODEL_MAX_TOKENS`: most tokens of one answer.
    pub tokens_max: u32,
}

/// Which models answer.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSettings {
    /// Asked in this order; when none can answer, the interpreter does. Empty: the interpreter alone.
    pub providers: Vec<ProviderAddress>,
    /// How they are asked.
    pub manner: ModelManner,
}

impl ModelSettings {
    /// Who answers, in order, for the person who starts the program.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = String::new();
        for provider in &self.providers {
            line.push_str(&format!(
                "{} at {}, then ",
                provider.model, provider.base_url
            ));
        }
        line.push_str("the interpreter");
        line
    }
}

/// Where operators read the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsDoor {
    /// With everything else, for callers on this machine.
    Here,
    /// On an address of its own, for whoever reaches it.
    At(SocketAddr),
    /// The tool server in this process shows ours with its own.
    Elsewhere,
}

/// Settings of `agent`.
#[derive(Clone)]
pub struct Config {
    /// `COUNTERSIGN_HOME`: where data and keys live.
    pub home: PathBuf,
    /// `AGENT_BIND`: where the API and the chat page are served.
    pub bind: SocketAddr,
    /// `AGENT_LOCAL_MODE`: whoever reaches us is the owner of the demo shop; else everybody says who they are.
    pub local_mode: bool,
    /// `AGENT_PUBLIC_URL`: where people open the chat page, without a slash at the end.
    pub public_url: Option<String>,
    /// `AGENT_ALLOWED_HOSTS`, and the host of `AGENT_PUBLIC_URL`: names besides loopback's under which we are reached.
    pub allowed_hosts: Vec<String>,
    /// `METRICS_BIND`: where `/metrics` is served.
    pub metrics: MetricsDoor,
    /// `LOG_FORMAT`, `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub telemetry: TelemetrySettings,
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
    /// `COUNTERSIGN_TOKEN`: what `agent chat` shows an agent that wants to know who asks.
    pub caller_token: Option<ApiKey>,
    /// `MODEL`, `OPENAI_…`, `MODEL_…`: which models answer, and how they are asked.
    pub model: ModelSettings,
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
        let local_mode = local_mode(settings)?;
        if local_mode && !bind.ip().is_loopback() {
            return Err(BadSetting {
                name: "AGENT_BIND".to_owned(),
                value: bind.to_string(),
                accepts: "a loopback address while AGENT_LOCAL_MODE is on, because everybody who reaches it would be the owner".to_owned(),
            });
        }
        let public_url = public_url(settings)?;
        Ok(Config {
            bind,
            local_mode,
            allowed_hosts: allowed_hosts(settings, public_url.as_deref()),
            public_url,
            metrics: metrics(settings)?,
            telemetry: TelemetrySettings::read(settings)?,
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
            agent_token_key: token_key(settings)?,
            caller_token: caller_token(settings)?,
            model: model(settings)?,
            database: DatabaseSettings {
                home: home.clone(),
                database_url: settings.optional("DATABASE_URL"),
                // It listens for nothing and holds no lock longer than a transaction.
                direct_url: None,
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

fn local_mode(settings: &Reader) -> Result<bool, BadSetting> {
    settings.checked("AGENT_LOCAL_MODE", "on", "on or off", |text| match text {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    })
}

fn metrics(settings: &Reader) -> Result<MetricsDoor, BadSetting> {
    let accepts = "an address and port such as 127.0.0.1:9001";
    settings.checked("METRICS_BIND", "", accepts, |text| match text {
        "" => Some(MetricsDoor::Here),
        _ => text.parse().ok().map(MetricsDoor::At),
    })
}

/// Where people open the chat page.
fn public_url(settings: &Reader) -> Result<Option<String>, BadSetting> {
    let accepts = "an http or https address without a path, such as https://chat.example";
    settings.checked("AGENT_PUBLIC_URL", "", accepts, |text| {
        if text.is_empty() {
            return Some(None);
        }
        let url = text.trim_end_matches('/');
        authority(url).map(|_| Some(url.to_owned()))
    })
}

/// The host, with its port if it names one, of an http or https address that names nothing else.
fn authority(url: &str) -> Option<&str> {
    let authority = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))?;
    let parsed: http::uri::Authority = authority.parse().ok()?;
    (!parsed.host().is_empty() && !authority.contains('@')).then_some(authority)
}

fn allowed_hosts(settings: &Reader, public_url: Option<&str>) -> Vec<String> {
    let mut hosts = settings.list("AGENT_ALLOWED_HOSTS");
    hosts.extend(public_url.and_then(authority).map(str::to_owned));
    hosts
}

fn token_key(settings: &Reader) -> Result<Option<Key>, BadSetting> {
    let accepts = "a secret text of at least 32 characters";
    settings.checked("AGENT_TOKEN_KEY", "", accepts, |text| match text {
        "" => Some(None),
        _ => keys::from_text(text).map(Some),
    })
}

fn caller_token(settings: &Reader) -> Result<Option<ApiKey>, BadSetting> {
    const NAME: &str = "COUNTERSIGN_TOKEN";
    let Some(text) = settings.optional(NAME) else {
        return Ok(None);
    };
    // A bad one is named, not shown.
    ApiKey::new(&text).map(Some).ok_or_else(|| BadSetting {
        name: NAME.to_owned(),
        value: NOT_SHOWN.to_owned(),
        accepts: "an API key such as csk_…, or a token, without spaces or line breaks".to_owned(),
    })
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

/// Stands for a secret.
const NOT_SHOWN: &str = "(not shown)";

/// Where OpenAI is.
const OPENAI_URL: &str = "https://api.openai.com/v1";

fn model(settings: &Reader) -> Result<ModelSettings, BadSetting> {
    let choice = settings.checked("MODEL", "auto", "auto, interpreter or provider", |text| {
        ["auto", "interpreter", "provider"]
            .into_iter()
            .find(|c| *c == text)
    })?;
    let name = model_name(settings, "OPENAI_MODEL", "gpt-4o-mini")?;
    let first = provider(settings, "OPENAI_BASE_URL", "OPENAI_API_KEY", &name)?;
    let name = match model_name(settings, "MODEL_FALLBACK_MODEL", "")? {
        unset if unset.is_empty() => name,
        set => set,
    };
    let second = provider(
        settings,
        "MODEL_FALLBACK_BASE_URL",
        "MODEL_FALLBACK_API_KEY",
        &name,
    )?;
    let mut providers: Vec<ProviderAddress> = first.into_iter().chain(second).collect();
    if choice == "provider" && providers.is_empty() {
        return Err(BadSetting {
            name: "MODEL".to_owned(),
            value: choice.to_owned(),
            accepts: "provider only together with OPENAI_API_KEY or OPENAI_BASE_URL".to_owned(),
        });
    }
    if choice == "interpreter" {
        providers.clear();
    }
    Ok(ModelSettings {
        providers,
        manner: manner(settings)?,
    })
}

fn manner(settings: &Reader) -> Result<ModelManner, BadSetting> {
    let timeout = seconds(settings, "MODEL_TIMEOUT_SECONDS", 60, 1, 600)?;
    Ok(ModelManner {
        stream: settings.parsed("MODEL_STREAM", "true", "true or false")?,
        timeout,
        idle: seconds(settings, "MODEL_IDLE_TIMEOUT_SECONDS", 20, 1, 600)?.min(timeout),
        retries: settings.number("MODEL_RETRIES", 2, 0, 10)? as usize,
        rest: seconds(settings, "MODEL_REST_SECONDS", 15, 1, 300)?,
        temperature: settings.checked(
            "MODEL_TEMPERATURE",
            "",
            "a number from 0 to 2, such as 0.2",
            |text| match text {
                "" => Some(None),
                _ => text
                    .parse()
                    .ok()
                    .filter(|t| (0.0..=2.0).contains(t))
                    .map(Some),
            },
        )?,
        tokens_max: settings.number("MODEL_MAX_TOKENS", 4096, 16, 1_000_000)?,
    })
}

/// A provider; none when neither its address nor its key is set.
fn provider(
    settings: &Reader,
    url_name: &str,
    key_name: &str,
    model: &str,
) -> Result<Option<ProviderAddress>, BadSetting> {
    let accepts = "an http or https address such as https://api.openai.com/v1, without a key, query or fragment";
    let base_url = settings.checked(url_name, "", accepts, |text| {
        if text.is_empty() {
            return Some(None);
        }
        let url = reqwest::Url::parse(text).ok()?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.host_str().is_some()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        plain.then(|| Some(text.trim_end_matches('/').to_owned()))
    });
    // An address with a name or a query in it may hold a password or a key.
    let base_url = base_url.map_err(|bad| match bad.value.contains(['@', '?']) {
        true => BadSetting {
            value: NOT_SHOWN.to_owned(),
            ..bad
        },
        false => bad,
    })?;
    let key = match settings.optional(key_name) {
        None => None,
        // A bad key is named, not shown.
        Some(text) => Some(ApiKey::new(&text).ok_or_else(|| BadSetting {
            name: key_name.to_owned(),
            value: NOT_SHOWN.to_owned(),
            accepts: "the provider's key: letters, digits and signs, without spaces, line breaks or accents"
                .to_owned(),
        })?),
    };
    if base_url.is_none() && key.is_none() {
        return Ok(None);
    }
    Ok(Some(ProviderAddress {
        base_url: base_url.unwrap_or_else(|| OPENAI_URL.to_owned()),
        key,
        model: model.to_owned(),
    }))
}

fn model_name(settings: &Reader, name: &str, default: &str) -> Result<String, BadSetting> {
    let accepts = "the name of a model, 200 characters at most";
    settings.checked(name, default, accepts, |text| {
        let fits = text.chars().count() <= 200 && !text.chars().any(char::is_control);
        fits.then(|| text.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &'static [(&'static str, &'static str)]) -> Result<ModelSettings, String> {
        let reader = Reader::new(|name| {
            let found = pairs.iter().find(|(n, _)| *n == name);
            found.map(|(_, v)| (*v).to_owned())
        });
        model(&reader).map_err(|e| e.to_string())
    }

    fn line(pairs: &'static [(&'static str, &'static str)]) -> String {
        read(pairs).unwrap().line()
    }

    #[test]
    fn the_model_follows_from_what_is_set() {
        assert_eq!(line(&[]), "the interpreter");
        assert_eq!(
            line(&[("OPENAI_API_KEY", "sk-1")]),
            "gpt-4o-mini at https://api.openai.com/v1, then the interpreter"
        );
        assert_eq!(
            line(&[
                ("OPENAI_BASE_URL", "http://127.0.0.1:11434/v1/"),
                ("OPENAI_MODEL", "qwen3")
            ]),
            "qwen3 at http://127.0.0.1:11434/v1, then the interpreter"
        );
        assert_eq!(
            line(&[
                ("OPENAI_API_KEY", "sk-1"),
                ("MODEL_FALLBACK_BASE_URL", "https://b.example/v1"),
                ("MODEL_FALLBACK_MODEL", "second"),
            ]),
            "gpt-4o-mini at https://api.openai.com/v1, then second at https://b.example/v1, then the interpreter"
        );
        assert_eq!(
            line(&[("OPENAI_API_KEY", "sk-1"), ("MODEL", "interpreter")]),
            "the interpreter"
        );
    }

    fn config(pairs: &'static [(&'static str, &'static str)]) -> Result<Config, String> {
        let reader = Reader::new(|name| {
            let home = (name == "COUNTERSIGN_HOME").then(|| "/srv/shop".to_owned());
            let found = pairs.iter().find(|(n, _)| *n == name);
            home.or_else(|| found.map(|(_, v)| (*v).to_owned()))
        });
        Config::read(&reader).map_err(|e| e.to_string())
    }

    #[test]
    fn the_owner_of_local_mode_is_never_offered_to_a_network() {
        assert!(config(&[]).is_ok_and(|c| c.local_mode && c.allowed_hosts.is_empty()));
        let refused = config(&[("AGENT_BIND", "0.0.0.0:8000")]).err().unwrap();
        assert!(
            refused.starts_with("AGENT_BIND") && refused.contains("AGENT_LOCAL_MODE"),
            "{refused}"
        );
        let open = config(&[
            ("AGENT_BIND", "0.0.0.0:8000"),
            ("AGENT_LOCAL_MODE", "off"),
            ("AGENT_PUBLIC_URL", "https://chat.example:8443/"),
            ("AGENT_ALLOWED_HOSTS", "shop.lan"),
        ])
        .unwrap();
        assert!(!open.local_mode);
        assert_eq!(open.public_url.unwrap(), "https://chat.example:8443");
        assert_eq!(open.allowed_hosts, ["shop.lan", "chat.example:8443"]);
        for bad in [
            &[("AGENT_LOCAL_MODE", "no")] as &'static [_],
            &[("AGENT_PUBLIC_URL", "chat.example")],
            &[("AGENT_PUBLIC_URL", "https://chat.example/chat")],
            &[("AGENT_PUBLIC_URL", "https://a@chat.example")],
            &[("AGENT_PUBLIC_URL", "https://")],
            &[("COUNTERSIGN_TOKEN", "csk_secret csk_secret")],
        ] {
            let told = config(bad).err().unwrap();
            assert!(told.starts_with(bad[0].0), "{told}");
            assert!(!told.contains("csk_secret"), "{told}");
        }
    }

    #[test]
    fn a_key_is_never_shown() {
        let settings = read(&[
            ("OPENAI_API_KEY", "sk-secret"),
            ("MODEL_TEMPERATURE", "0.5"),
        ]);
        let shown = format!("{settings:?}");
        assert!(
            shown.contains("0.5") && !shown.contains("secret"),
            "{shown}"
        );
        for bad in [
            &[("OPENAI_API_KEY", "sk-secret\nmore")] as &'static [_],
            &[("OPENAI_API_KEY", "sk-secret-é")],
            &[("OPENAI_API_KEY", "sk secret")],
            &[("MODEL_FALLBACK_API_KEY", "sk-secret\u{7f}")],
        ] {
            let told = read(bad).unwrap_err();
            assert!(
                told.starts_with(bad[0].0) && !told.contains("secret"),
                "{told}"
            );
        }
    }

    #[test]
    fn bad_values_are_named() {
        for bad in [
            &[("MODEL", "gpt")] as &'static [_],
            &[("MODEL", "provider")],
            &[("OPENAI_BASE_URL", "api.openai.com")],
            &[("OPENAI_BASE_URL", "ftp://a/v1")],
            &[("OPENAI_BASE_URL", "https://user:word@a/v1")],
            &[("OPENAI_BASE_URL", "https://a/v1?key=1")],
            &[("MODEL_STREAM", "yes")],
            &[("MODEL_TEMPERATURE", "3")],
            &[("MODEL_TEMPERATURE", "NaN")],
            &[("MODEL_TIMEOUT_SECONDS", "0")],
            &[("MODEL_RETRIES", "99")],
            &[("MODEL_MAX_TOKENS", "many")],
        ] {
            let told = read(bad).unwrap_err();
            assert!(told.starts_with(bad[0].0), "{told}");
            assert!(!told.contains("word"), "{told}");
        }
    }
}
