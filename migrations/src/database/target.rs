//! An address to connect to, and what it means when that fails.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Error};

use crate::open_error::OpenError;

/// How long one attempt to connect may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// A Postgres address from a setting. Not `Debug`: it holds a password.
#[derive(Clone)]
pub(super) struct Target {
    setting: &'static str,
    pub(super) options: PgConnectOptions,
    /// For people: host, port and database, no password.
    pub(super) address: String,
}

impl Target {
    pub(super) fn parse(setting: &'static str, url: &str) -> Result<Self, OpenError> {
        let options = PgConnectOptions::from_str(url)
            .map_err(|source| OpenError::BadUrl { setting, source })?;
        let address = address(&options);
        Ok(Self {
            setting,
            options,
            address,
        })
    }

    /// One connection, for checks and migrations. `timeouts` are start-up options such as `statement_timeout`.
    pub(super) async fn connect(
        &self,
        timeouts: &[(&str, &str)],
    ) -> Result<PgConnection, OpenError> {
        let options = with_quiet_logs(self.options.clone())
            .application_name("countersign start")
            .options(timeouts.iter().copied());
        match tokio::time::timeout(CONNECT_LIMIT, options.connect()).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(self.explain(error)),
            Err(_) => Err(self.unreachable(None)),
        }
    }

    /// What a failure to connect here means for the operator.
    pub(super) fn explain(&self, source: Error) -> OpenError {
        let setting = self.setting;
        let address = self.address.clone();
        let (code, message) = match source.as_database_error() {
            Some(error) => (
                error.code().unwrap_or_default().into_owned(),
                error.message().to_owned(),
            ),
            None if matches!(source, Error::Configuration(_)) => {
                return OpenError::BadUrl { setting, source };
            }
            None => return self.unreachable(Some(source)),
        };
        match code.as_str() {
            // PgBouncer's own complaints come with a code of their own, or a general one.
            _ if message.contains("startup parameter") => {
                OpenError::PoolerRefuses { address, source }
            }
            "53300" => OpenError::ServerFull { address, source },
            "28000" | "28P01" | "3D000" | "42501" | "08P01" => OpenError::Refused {
                setting,
                address,
                source,
            },
            _ => self.unreachable(Some(source)),
        }
    }

    fn unreachable(&self, source: Option<Error>) -> OpenError {
        OpenError::Unreachable {
            setting: self.setting,
            address: self.address.clone(),
            waited_s: CONNECT_LIMIT.as_secs(),
            source,
        }
    }
}

/// Notices are Postgres talking to people at a terminal; nobody reads them in a log. Statements over a second are logged as warnings,
/// which is what sqlx does by itself.
pub(super) fn with_quiet_logs(options: PgConnectOptions) -> PgConnectOptions {
    options.options([("client_min_messages", "warning")])
}

fn address(options: &PgConnectOptions) -> String {
    let host = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    let database = options
        .get_database()
        .unwrap_or_else(|| options.get_username());
    format!("{host}/{database}")
}
