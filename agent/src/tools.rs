//! The tool server as the agent sees it: a cached list per principal, calls with deadlines, a token per request.

mod client;

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono_tz::Tz;
use contracts::confirmation::{self, ELICITATION_KEY, Question};
use contracts::failure::{FailureCode, ToolFailure};
use contracts::locale::Locale;
use contracts::shop::{self, ShopFacts};
use contracts::token::TokenPerson;
use contracts::tool::IDEMPOTENCY_META_KEY;
use migrations::clock::SharedClock;
use migrations::keys::Key;
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig,
    ClientRequest, ElicitResult, ElicitationAction, Implementation, InputRequiredResult,
    InputResponses, ListToolsRequest, ProtocolVersion, RequestMetaObject, ServerResult,
};
use rmcp::service::{
    ClientLifecycleMode, ClientServiceExt as _, Peer, RoleClient, RunningService, ServiceError,
};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::{
    StreamableHttpClientTransportConfig, StreamableHttpError,
};
use serde_json::{Value, json};
use tokio::sync::RwLock;

use crate::models::{ToolCall, ToolSpec};
use crate::principal::Principal;
use client::{OnBehalf, TokenClient};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long listing may take.
const LIST: Duration = Duration::from_secs(5);
/// How long one call may take; longer than the server's own deadline, so that its answer is seen.
const CALL: Duration = Duration::from_secs(15);
/// How long a list is used when the server says nothing.
const LIST_TTL: Duration = Duration::from_secs(300);
/// Principals whose lists are kept.
const LISTS_MAX: u64 = 10_000;
/// Requests under way at once; rmcp's own default of 16 is one busy shop.
const REQUESTS_MAX: usize = 1024;

/// Why the tool server gave no answer. Whether it did anything is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tool server: {cause}")]
pub struct Unreachable {
    /// For the log.
    pub cause: String,
    /// There was no connection at all, so it certainly did nothing.
    pub not_sent: bool,
}

impl Unreachable {
    fn new(cause: impl Into<String>) -> Unreachable {
        Unreachable {
            cause: cause.into(),
            not_sent: false,
        }
    }

    fn before_sending(cause: impl Into<String>) -> Unreachable {
        Unreachable {
            cause: cause.into(),
            not_sent: true,
        }
    }

    fn of(error: &ServiceError) -> Unreachable {
        let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
        if let ServiceError::TransportSend(sending) = error {
            source = Some(&*sending.error);
        }
        while let Some(cause) = source {
            // The transport's error shows the client's in its text but does not name it as its source.
            let client = match cause.downcast_ref::<StreamableHttpError<reqwest::Error>>() {
                Some(StreamableHttpError::Client(client)) => Some(client),
                _ => cause.downcast_ref::<reqwest::Error>(),
            };
            if client.is_some_and(reqwest::Error::is_connect) {
                return Unreachable::before_sending(error.to_string());
            }
            source = cause.source();
        }
        Unreachable::new(error.to_string())
    }
}

/// What a call came to.
#[derive(Debug, Clone, PartialEq)]
pub enum CallResult {
    /// Done: the structured result.
    Done(Value),
    /// Not done.
    Failed(ToolFailure),
    /// A person is asked first.
    Asked(Box<ServersQuestion>),
}

/// The server's question and the token its answer brings back.
#[derive(Debug, Clone, PartialEq)]
pub struct ServersQuestion {
    /// The question.
    pub question: Question,
    /// Passed back unchanged.
    pub request_state: String,
}

/// A person's answer to an earlier question about the same call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerToPass {
    /// The question's token.
    pub request_state: String,
    /// Yes.
    pub yes: bool,
    /// Who said so.
    pub by: TokenPerson,
}

/// One call to make.
#[derive(Debug, Clone)]
pub struct Dispatch<'a> {
    /// The call.
    pub call: &'a ToolCall,
    /// Its key: the same for every attempt.
    pub idempotency_key: &'a str,
    /// The language of its answer.
    pub locale: Locale,
    /// The answer to the question it asked before.
    pub answer: Option<AnswerToPass>,
}

/// The tool server.
pub struct Tools {
    url: Arc<str>,
    http: TokenClient,
    connection: RwLock<Option<Arc<Connection>>>,
    lists: moka::sync::Cache<Principal, Arc<Listed>>,
}

type Connection = RunningService<RoleClient, ClientConfig>;

/// What the server offers a principal.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The tools.
    pub tools: Arc<Vec<ToolSpec>>,
    /// Where the shop's days begin; UTC when the server says nothing.
    pub time_zone: Tz,
    /// The language of a person who has not shown theirs.
    pub locale: Locale,
}

struct Listed {
    offer: Offer,
    fetched: Instant,
    ttl: Duration,
}

impl Tools {
    /// The tool server at `url`, called with tokens signed by `key`.
    ///
    /// # Errors
    /// When no HTTP client can be made, which is a broken installation.
    pub fn new(url: &str, key: Key, clock: SharedClock) -> Result<Tools, Unreachable> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .no_proxy()
            .build()
            .map_err(|e| Unreachable::new(e.to_string()))?;
        Ok(Tools {
            url: url.into(),
            http: TokenClient {
                inner: http,
                key,
                clock,
            },
            connection: RwLock::default(),
            lists: moka::sync::Cache::new(LISTS_MAX),
        })
    }

    /// The tools this principal may use. Asked for once per the server's own lifetime of the list; an old list is used when the server
    /// cannot be reached.
    ///
    /// # Errors
    /// [`Unreachable`] when there is no list at all.
    pub async fn offer(&self, principal: &Principal) -> Result<Offer, Unreachable> {
        let known = self.lists.get(principal);
        if let Some(listed) = known.as_ref().filter(|l| l.fetched.elapsed() < l.ttl) {
            return Ok(listed.offer.clone());
        }
        match self.fetch(principal).await {
            Ok(listed) => {
                let offer = listed.offer.clone();
                self.lists.insert(principal.clone(), Arc::new(listed));
                Ok(offer)
            }
            Err(error) => match known {
                Some(stale) => {
                    tracing::warn!(%error, "using the old list of tools");
                    Ok(stale.offer.clone())
                }
                None => Err(error),
            },
        }
    }

    async fn fetch(&self, principal: &Principal) -> Result<Listed, Unreachable> {
        let mut request = ListToolsRequest::default();
        request.extensions.insert(OnBehalf {
            principal: principal.clone(),
            decided_by: None,
        });
        match self
            .send(ClientRequest::ListToolsRequest(request), LIST)
            .await?
        {
            Ok(ServerResult::ListToolsResult(list)) => {
                let facts = list
                    .meta
                    .as_ref()
                    .and_then(|m| m.get(shop::META_KEY))
                    .cloned();
                let facts = facts.and_then(|f| serde_json::from_value::<ShopFacts>(f).ok());
                let offer = Offer {
                    tools: Arc::new(list.tools.into_iter().map(spec).collect()),
                    time_zone: facts
                        .as_ref()
                        .and_then(|f| f.time_zone.parse().ok())
                        .unwrap_or(Tz::UTC),
                    locale: facts.map(|f| f.locale).unwrap_or_default(),
                };
                let ttl = list.ttl_ms.map_or(LIST_TTL, Duration::from_millis);
                Ok(Listed {
                    offer,
                    fetched: Instant::now(),
                    ttl,
                })
            }
            Ok(_) => Err(Unreachable::new("it answered something else than a list")),
            Err(error) => Err(Unreachable::new(error.message.into_owned())),
        }
    }

    /// Makes one call, once.
    ///
    /// # Errors
    /// [`Unreachable`] when no answer came back; whether the call was made is not known then.
    pub async fn call(
        &self,
        principal: &Principal,
        dispatch: Dispatch<'_>,
    ) -> Result<CallResult, Unreachable> {
        let decided_by = dispatch.answer.as_ref().map(|a| a.by.clone());
        let mut request = CallToolRequest::new(params(dispatch)?);
        request.extensions.insert(OnBehalf {
            principal: principal.clone(),
            decided_by,
        });
        match self
            .send(ClientRequest::CallToolRequest(request), CALL)
            .await?
        {
            Ok(ServerResult::CallToolResult(result)) => Ok(complete(result)),
            Ok(ServerResult::InputRequiredResult(asked)) => question(asked),
            Ok(_) => Err(Unreachable::new("it answered something else than a result")),
            Err(error) => {
                // The list may be out of date: a tool is gone, or its arguments have changed.
                self.lists.invalidate(principal);
                tracing::warn!(code = error.code.0, message = %error.message, "protocol error");
                Ok(CallResult::Failed(ToolFailure::new(
                    FailureCode::Internal,
                    "System error. Please try again.",
                    "The tool may have changed; list the tools again.",
                )))
            }
        }
    }

    /// Sends one request; the inner error is the server's own protocol error.
    async fn send(
        &self,
        request: ClientRequest,
        deadline: Duration,
    ) -> Result<Result<ServerResult, rmcp::model::ErrorData>, Unreachable> {
        let peer = self.peer().await?;
        match tokio::time::timeout(deadline, peer.send_request(request)).await {
            Ok(Ok(result)) => Ok(Ok(result)),
            Ok(Err(ServiceError::McpError(error))) => Ok(Err(error)),
            Ok(Err(error)) => {
                if matches!(error, ServiceError::TransportClosed) {
                    *self.connection.write().await = None;
                }
                Err(Unreachable::of(&error))
            }
            Err(_elapsed) => Err(Unreachable::new(format!(
                "no answer within {} s",
                deadline.as_secs()
            ))),
        }
    }

    async fn peer(&self) -> Result<Peer<RoleClient>, Unreachable> {
        if let Some(connection) = self
            .connection
            .read()
            .await
            .as_ref()
            .filter(|c| !c.is_closed())
        {
            return Ok(connection.peer().clone());
        }
        let mut slot = self.connection.write().await;
        if let Some(connection) = slot.as_ref().filter(|c| !c.is_closed()) {
            return Ok(connection.peer().clone());
        }
        let connection = tokio::time::timeout(CONNECT, self.connect())
            .await
            .map_err(|_| Unreachable::before_sending("no connection within 5 s"))??;
        let peer = connection.peer().clone();
        *slot = Some(Arc::new(connection));
        Ok(peer)
    }

    async fn connect(&self) -> Result<Connection, Unreachable> {
        let config = StreamableHttpClientTransportConfig::with_uri(Arc::clone(&self.url))
            .max_concurrent_requests(REQUESTS_MAX);
        let transport = StreamableHttpClientTransport::with_client(self.http.clone(), config);
        let capabilities = ClientCapabilities::builder().enable_elicitation().build();
        let client = ClientConfig::new(
            capabilities,
            Implementation::new("countersign-agent", env!("CARGO_PKG_VERSION")),
        );
        let lifecycle = ClientLifecycleMode::Auto {
            preferred_versions: vec![ProtocolVersion::V_2026_07_28],
            legacy_version: Some(ProtocolVersion::V_2025_11_25),
        };
        client
            .serve_with_lifecycle(transport, lifecycle)
            .await
            .map_err(|e| Unreachable::before_sending(e.to_string()))
    }
}

fn spec(tool: rmcp::model::Tool) -> ToolSpec {
    ToolSpec {
        title: tool.title.clone().unwrap_or_else(|| tool.name.to_string()),
        description: tool
            .description
            .map(std::borrow::Cow::into_owned)
            .unwrap_or_default(),
        input_schema: Value::Object((*tool.input_schema).clone()),
        read_only: tool
            .annotations
            .is_some_and(|a| a.read_only_hint == Some(true)),
        name: tool.name.into_owned(),
    }
}

fn params(dispatch: Dispatch<'_>) -> Result<CallToolRequestParams, Unreachable> {
    let mut meta = RequestMetaObject::new();
    meta.0.insert(
        IDEMPOTENCY_META_KEY.to_owned(),
        json!(dispatch.idempotency_key),
    );
    meta.0
        .insert(Locale::META_KEY.to_owned(), json!(dispatch.locale.tag()));
    let mut params = CallToolRequestParams::new(dispatch.call.tool.clone());
    params.meta = Some(meta);
    params.arguments = dispatch.call.arguments.as_object().cloned();
    if let Some(answer) = dispatch.answer {
        let said = if answer.yes {
            ElicitResult::new(ElicitationAction::Accept)
                .with_content(json!({ELICITATION_KEY: true}))
        } else {
            ElicitResult::new(ElicitationAction::Decline)
        };
        let said = serde_json::to_value(said).map_err(|e| Unreachable::new(e.to_string()))?;
        params.request_state = Some(answer.request_state);
        params.input_responses = Some(InputResponses::from([(ELICITATION_KEY.to_owned(), said)]));
    }
    Ok(params)
}

fn complete(result: CallToolResult) -> CallResult {
    let text = result
        .content
        .iter()
        .find_map(|block| block.as_text().map(|t| t.text.clone()))
        .unwrap_or_default();
    if result.is_error == Some(true) {
        let failure = serde_json::from_str(&text)
            .unwrap_or_else(|_| ToolFailure::new(FailureCode::Internal, text, ""));
        return CallResult::Failed(failure);
    }
    CallResult::Done(result.structured_content.unwrap_or(Value::String(text)))
}

fn question(asked: InputRequiredResult) -> Result<CallResult, Unreachable> {
    let question = asked
        .meta
        .as_ref()
        .and_then(|m| m.get(confirmation::META_KEY))
        .cloned();
    let question =
        question.ok_or_else(|| Unreachable::new("it asks something that is no confirmation"))?;
    let question: Question = serde_json::from_value(question)
        .map_err(|e| Unreachable::new(format!("its question: {e}")))?;
    let request_state = asked
        .request_state
        .ok_or_else(|| Unreachable::new("its question has no token"))?;
    Ok(CallResult::Asked(Box::new(ServersQuestion {
        question,
        request_state,
    })))
}
