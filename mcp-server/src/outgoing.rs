//! The HTTP client for everything that others are asked or told: built when it is first needed, with deadlines, without redirects.

use std::sync::{Once, OnceLock};
use std::time::Duration;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long one request may take with its answer.
pub(crate) const REQUEST: Duration = Duration::from_secs(10);
/// Largest answer that is read, bytes.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The client. Cheap until it is used: certificates are read then.
#[derive(Debug, Default)]
pub struct Outgoing(OnceLock<reqwest::Client>);

/// An answer that was read whole.
#[derive(Debug)]
pub(crate) struct Answered {
    /// The HTTP status.
    pub(crate) status: u16,
    /// At most [`ANSWER_BYTES_MAX`]; the rest is not read.
    pub(crate) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// Nothing was sent: no connection, or no client.
    #[error("not reached: {0}")]
    NotSent(String),
    /// It may have been received.
    #[error("no answer: {0}")]
    Unknown(String),
}

impl Outgoing {
    /// The client.
    pub(crate) fn client(&self) -> Result<&reqwest::Client, NoAnswer> {
        if let Some(client) = self.0.get() {
            return Ok(client);
        }
        install_crypto();
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .timeout(REQUEST)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| NoAnswer::NotSent(chain(&e)))?;
        Ok(self.0.get_or_init(|| client))
    }

    /// Sends a request of this client's and reads the answer, whatever its status.
    pub(crate) async fn send(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<Answered, NoAnswer> {
        let mut response = request.send().await.map_err(|e| {
            if e.is_connect() || e.is_builder() {
                NoAnswer::NotSent(chain(&e))
            } else {
                NoAnswer::Unknown(chain(&e))
            }
        })?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|e| NoAnswer::Unknown(chain(&e)))?
        {
            let room = ANSWER_BYTES_MAX - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                break;
            }
        }
        Ok(Answered { status, body })
    }
}

/// An error with its causes, without the address, which may hold a secret.
fn chain(error: &reqwest::Error) -> String {
    let mut told = if error.is_timeout() {
        "timeout".to_owned()
    } else if error.is_connect() {
        "no connection".to_owned()
    } else {
        "broken off".to_owned()
    };
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        told = format!("{told}: {cause}");
        source = cause.source();
    }
    told
}

/// TLS needs one crypto library for the whole process; whoever comes first names it.
fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
