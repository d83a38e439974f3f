//! `MCP_EXTRA_SERVERS`: tool servers besides our own, and the tokens they want.

use std::fmt;
use std::time::Duration;

use http::Uri;
use migrations::settings::{BadSetting, Reader};

/// Servers that may be configured: each costs a connection and a list.
const SERVERS_MAX: usize = 16;
/// Longest name.
const NAME_BYTES_MAX: usize = 32;
/// Longest token.
const TOKEN_BYTES_MAX: usize = 4096;

const SERVERS: &str = "MCP_EXTRA_SERVERS";
const TOKENS: &str = "MCP_EXTRA_SERVER_TOKENS";

/// A tool server that is not ours: what it says about its tools is a claim, and what it does is asked about first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraServer {
    /// Its tools are `<name>.<tool>`.
    pub name: String,
    /// Where it is.
    pub address: Address,
}

/// Where a tool server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Streamable HTTP.
    Http {
        /// Its endpoint.
        url: String,
        /// What it is shown as a bearer.
        token: Option<Secret>,
    },
    /// A child process that speaks over its standard input and output.
    Command {
        /// What is started.
        program: String,
        /// With what.
        arguments: Vec<String>,
    },
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the one place that sends it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// Every tool server besides our own, in the order of the setting.
pub(super) fn read(settings: &Reader) -> Result<Vec<ExtraServer>, BadSetting> {
    let mut servers: Vec<ExtraServer> = Vec::new();
    for text in settings.list(SERVERS) {
        let server = server(&text).ok_or_else(|| bad_server(&text))?;
        if servers.iter().any(|s| s.name == server.name) || servers.len() == SERVERS_MAX {
            return Err(bad_server(&text));
        }
        servers.push(server);
    }
    for text in settings.list(TOKENS) {
        give_token(&mut servers, &text)?;
    }
    Ok(servers)
}

/// How long one call of such a server may take.
pub(super) fn deadline(settings: &Reader) -> Result<Duration, BadSetting> {
    super::seconds(settings, "MCP_EXTRA_SERVER_TIMEOUT_SECONDS", 30, 1, 300)
}

fn bad_server(text: &str) -> BadSetting {
    BadSetting {
        name: SERVERS.to_owned(),
        value: text.chars().take(80).collect(),
        accepts: format!(
            "up to {SERVERS_MAX} entries such as crm=https://crm.example/mcp or notes=stdio:/usr/bin/notes-mcp --flag, each with a name of its own of 1 to {NAME_BYTES_MAX} of a-z, 0-9 and -"
        ),
    }
}

/// `name=address`.
fn server(text: &str) -> Option<ExtraServer> {
    let (name, address) = text.split_once('=')?;
    let (name, address) = (name.trim(), address.trim());
    let good = (1..=NAME_BYTES_MAX).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let address = match address.strip_prefix("stdio:") {
        Some(command) => command_of(command)?,
        None => http_of(address)?,
    };
    good.then(|| ExtraServer {
        name: name.to_owned(),
        address,
    })
}

/// A program and its arguments, with blanks between. Whoever needs more writes a script.
fn command_of(text: &str) -> Option<Address> {
    let mut words = text.split_whitespace().map(str::to_owned);
    let program = words.next()?;
    Some(Address::Command {
        program,
        arguments: words.collect(),
    })
}

fn http_of(text: &str) -> Option<Address> {
    let uri: Uri = text.parse().ok()?;
    let http = matches!(uri.scheme_str(), Some("http" | "https"));
    // A password in an address would end up in a log.
    let plain = uri
        .authority()
        .is_some_and(|a| !a.host().is_empty() && !a.as_str().contains('@'));
    (http && plain).then(|| Address::Http {
        url: text.to_owned(),
        token: None,
    })
}

/// `name=token`. What is wrong is said without the token.
fn give_token(servers: &mut [ExtraServer], text: &str) -> Result<(), BadSetting> {
    let (name, secret) = text.split_once('=').unwrap_or_default();
    let (name, secret) = (name.trim(), secret.trim());
    let good = (1..=TOKEN_BYTES_MAX).contains(&secret.len())
        && secret.bytes().all(|b| b.is_ascii_graphic());
    let named = servers.iter_mut().find(|s| s.name == name);
    match named.map(|s| &mut s.address) {
        Some(Address::Http { token, .. }) if good && token.is_none() => {
            *token = Some(Secret(secret.to_owned()));
            Ok(())
        }
        _ => Err(BadSetting {
            name: TOKENS.to_owned(),
            value: format!(
                "{}=(hidden)",
                name.chars().take(NAME_BYTES_MAX).collect::<String>()
            ),
            accepts: format!(
                "entries such as crm=secret, one for each http or https entry of {SERVERS} that wants one, without blanks and commas"
            ),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(list: &'static str, tokens: &'static str) -> Result<Vec<ExtraServer>, BadSetting> {
        read(&Reader::new(move |name| match name {
            SERVERS => Some(list.to_owned()),
            TOKENS => Some(tokens.to_owned()),
            _ => None,
        }))
    }

    #[test]
    fn servers_are_read_with_their_tokens() {
        let read = servers(
            "crm=https://crm.example/mcp?a=b, notes=stdio:/usr/bin/notes-mcp --flag x",
            "crm=s3cr=t",
        )
        .unwrap();
        assert_eq!(
            read[0],
            ExtraServer {
                name: "crm".to_owned(),
                address: Address::Http {
                    url: "https://crm.example/mcp?a=b".to_owned(),
                    token: Some(Secret("s3cr=t".to_owned())),
                },
            }
        );
        assert_eq!(
            read[1].address,
            Address::Command {
                program: "/usr/bin/notes-mcp".to_owned(),
                arguments: vec!["--flag".to_owned(), "x".to_owned()],
            }
        );
        assert_eq!(servers("", "").unwrap(), []);
    }

    #[test]
    fn a_wrong_entry_stops_the_start_and_is_named() {
        for wrong in [
            "crm",
            "=https://a.example/mcp",
            "CRM=https://a.example/mcp",
            "a.b=https://a.example/mcp",
            "crm=ftp://a.example/mcp",
            "crm=https://user:secret@a.example/mcp",
            "crm=/usr/bin/notes",
            "crm=stdio:",
            "crm=https://a.example/mcp,crm=https://b.example/mcp",
            "abcdefghijklmnopqrstuvwxyz-0123456=https://a.example/mcp",
        ] {
            let error = servers(wrong, "").unwrap_err();
            assert_eq!(error.name, SERVERS, "{wrong}");
        }
    }

    #[test]
    fn a_token_is_never_printed() {
        for (list, tokens) in [
            ("", "crm=s3cret"),
            ("crm=stdio:/bin/crm", "crm=s3cret"),
            ("crm=https://a.example/mcp", "crm=s3cret again"),
            ("crm=https://a.example/mcp", "s3cret"),
            ("crm=https://a.example/mcp", "crm=s3cret,crm=s3cret2"),
        ] {
            let error = servers(list, tokens).unwrap_err();
            assert_eq!(error.name, TOKENS);
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
        let read = servers("crm=https://a.example/mcp", "crm=s3cret").unwrap();
        assert!(!format!("{read:?}").contains("s3cret"));
    }
}
