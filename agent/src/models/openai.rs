//! A language model behind the Chat Completions API: OpenAI, or anything compatible with it.
//!
//! One answer is one [`Provider::ask`]: attempts until one succeeds, within a deadline that is never exceeded. Nothing a provider sends is
//! trusted to be as specified.
//!
//! # Layout
//! - `request`: the body; `names`: tool names a provider takes; `outcomes`: results as a model reads them
//! - `wire`: one HTTP attempt; `chunk`: pieces merged to an answer; `failure`: what went wrong and whether it may pass

mod chunk;
mod failure;
mod names;
mod outcomes;
mod request;
#[cfg(test)]
mod scenes;
#[cfg(test)]
pub(in crate::models) mod testing;
mod wire;

use std::time::Duration;

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use backon::{BackoffBuilder as _, ExponentialBuilder};
use futures::StreamExt as _;
use migrations::clock::SharedClock;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use self::chunk::{Chunk, Written};
use self::failure::{Failure, Kind};
use self::request::{Body, Manner, Offered};
use self::wire::{Transport, Wire};
use super::per_list::PerList;
use super::{ModelAnswer, ModelError, ModelRequest, TextSink};
use crate::config::{ApiKey, ModelManner, ProviderAddress};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest pause a provider is obeyed in.
const PAUSE_MAX: Duration = Duration::from_secs(20);
/// The first pause between two attempts, without the jitter.
const PAUSE_FIRST: Duration = Duration::from_millis(300);
/// How long usage is waited for once an answer is complete.
const AFTER_FINISH: Duration = Duration::from_secs(2);
/// Where only OpenAI's own newer name of a limit is understood by all models.
const OPENAI_HOST: &str = "api.openai.com";

/// One provider and the model it is asked for.
pub struct Provider {
    client: Client<OpenAIConfig>,
    manner: Manner,
    base_url: String,
    retries: usize,
    pause_first: Duration,
    offered: PerList<Offered>,
}

impl Provider {
    /// A provider at an address, asked in a manner.
    ///
    /// # Errors
    /// When no HTTP client can be made, which is a broken installation.
    pub fn new(
        address: &ProviderAddress,
        manner: &ModelManner,
        clock: SharedClock,
    ) -> Result<Provider, String> {
        crate::start::install_crypto();
        let http = http_client(address)?;
        Ok(Provider::over(http.clone(), http, address, manner, clock))
    }

    /// `http` writes requests, `client` sends them.
    fn over<C: Transport>(
        http: reqwest::Client,
        client: C,
        address: &ProviderAddress,
        manner: &ModelManner,
        clock: SharedClock,
    ) -> Provider {
        let key = address.key.as_ref().map_or("", ApiKey::reveal);
        // Every field is set: those that are not are read from the environment.
        let config = OpenAIConfig::new()
            .with_api_base(&address.base_url)
            .with_api_key(key)
            .with_org_id("")
            .with_project_id("");
        let wire = Wire {
            client,
            clock,
            keyless: address.key.is_none(),
            idle: manner.idle,
            stream: manner.stream,
        };
        let openai = host(address).is_some_and(|h| h == OPENAI_HOST);
        Provider {
            client: Client::build(http, config).with_http_service(wire),
            manner: Manner {
                model: address.model.clone(),
                stream: manner.stream,
                temperature: manner.temperature,
                tokens_max: manner.tokens_max,
                tokens_field: if openai {
                    "max_completion_tokens"
                } else {
                    "max_tokens"
                },
            },
            base_url: address.base_url.clone(),
            retries: manner.retries,
            pause_first: PAUSE_FIRST,
            offered: PerList::default(),
        }
    }

    /// The name of its model.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.manner.model
    }

    /// Where it is.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The next answer of a conversation, before `deadline`. Attempts that fail and may pass are repeated after a pause; a text that was
    /// begun in vain is taken back from `sink`.
    ///
    /// # Errors
    /// [`ModelError`] of the last attempt.
    pub async fn ask(
        &self,
        request: &ModelRequest,
        sink: &mut dyn TextSink,
        deadline: Instant,
    ) -> Result<ModelAnswer, ModelError> {
        let offered = self.offered.get(&request.tools, Offered::of);
        let body = Body {
            manner: &self.manner,
            offered: &offered,
            request,
        };
        let mut pauses = ExponentialBuilder::new()
            .with_min_delay(self.pause_first)
            .with_max_delay(PAUSE_MAX)
            .with_max_times(self.retries)
            .with_jitter()
            .build();
        loop {
            let mut spoke = false;
            let attempt = self.attempt(&body, sink, &mut spoke);
            let failure = match timeout_at(deadline, attempt).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(failure)) => failure,
                Err(_) => Failure::passing("no answer within the time for one"),
            };
            if spoke {
                sink.start_over();
            }
            if failure.kind != Kind::Passing {
                return Err(failure.into_error());
            }
            let Some(pause) = pauses.next() else {
                return Err(failure.into_error());
            };
            let pause = failure
                .retry_after
                .map_or(pause, |wanted| wanted.max(pause));
            let pause = pause.min(PAUSE_MAX);
            if Instant::now() + pause >= deadline {
                return Err(failure.into_error());
            }
            tracing::debug!(model = self.manner.model, %failure, ?pause, "asking the model again");
            sleep(pause).await;
        }
    }

    async fn attempt(
        &self,
        body: &Body<'_>,
        sink: &mut dyn TextSink,
        spoke: &mut bool,
    ) -> Result<ModelAnswer, Failure> {
        let chat = self.client.chat();
        let mut chunks = chat
            .create_stream_byot::<_, Chunk>(body)
            .await
            .map_err(Failure::of_client)?;
        let mut written = Written::default();
        loop {
            let next = if written.is_finished() {
                timeout(AFTER_FINISH, chunks.next()).await.unwrap_or(None)
            } else {
                chunks.next().await
            };
            let taken = match next {
                None => break,
                Some(Ok(Chunk(chunk))) => written.take(&chunk),
                Some(Err(error)) => Err(Failure::of_client(error)),
            };
            match taken {
                Ok(Some(piece)) => {
                    *spoke = true;
                    sink.delta(&piece);
                }
                Ok(None) => {}
                // The answer is complete: what breaks afterwards takes nothing from it.
                Err(_) if written.is_finished() => break,
                Err(failure) => return Err(failure),
            }
        }
        written.into_answer(&self.manner.model, &body.offered.names)
    }
}

fn host(address: &ProviderAddress) -> Option<String> {
    let url = reqwest::Url::parse(&address.base_url).ok()?;
    url.host_str().map(ToOwned::to_owned)
}

/// A client of its own: connections are kept open between answers, and the key never follows a redirect to another host.
fn http_client(address: &ProviderAddress) -> Result<reqwest::Client, String> {
    let client = reqwest::Client::builder()
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(30))
        .pool_idle_timeout(Duration::from_secs(90))
        .redirect(reqwest::redirect::Policy::none());
    let here = host(address).is_some_and(|h| {
        let literal = h.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        h == "localhost" || literal.is_ok_and(|ip| ip.is_loopback())
    });
    // The way out may lead through a proxy; the way to a model on this machine never does.
    let client = if here { client.no_proxy() } else { client };
    client
        .build()
        .map_err(|e| format!("No HTTP client can be made for {}: {e}", address.base_url))
}
