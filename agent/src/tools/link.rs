//! The connection to one tool server: made when it is needed, made again when it is lost, with deadlines on both.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rmcp::handler::client::ClientHandler;
use rmcp::model::{
    ClientCapabilities, ClientConfig, ClientRequest, ErrorData, Implementation, ProtocolVersion,
    ServerNotification, ServerResult, SubscriptionFilter,
};
use rmcp::service::{
    ClientInitializeError, ClientLifecycleMode, ClientServiceExt as _, NotificationContext, Peer,
    PeerRequestOptions, RoleClient, RunningService, ServiceError,
};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::{
    StreamableHttpClient, StreamableHttpClientTransportConfig, StreamableHttpError,
};
use tokio::process::Child;
use tokio::sync::RwLock;
use tokio_util::task::AbortOnDropHandle;

use super::client::TokenClient;
use super::stdio;
use crate::config::Secret;

/// The last revision that begins with `initialize`.
const OLDER: ProtocolVersion = ProtocolVersion::V_2025_11_25;
/// Requests under way at once; rmcp's own default of 16 is one busy shop.
const REQUESTS_MAX: usize = 1024;
/// Whoever waited while a connection failed is told so, rather than trying one after the other.
const AFTER_FAILURE: Duration = Duration::from_millis(100);
/// The same for a child, which must not be started over and over.
const AFTER_FAILED_CHILD: Duration = Duration::from_secs(1);
/// How long to wait before asking again to be told of changes.
const LISTEN_AGAIN: Duration = Duration::from_secs(30);
/// Longer than any deadline of a request: guards the way into the connection itself.
const GRACE: Duration = Duration::from_secs(1);

/// Why a tool server gave no answer. Whether it did anything is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tool server: {cause}")]
pub struct Unreachable {
    /// For the log.
    pub cause: String,
    /// It certainly did nothing: there was no connection at all, or it refused to talk to us.
    pub not_sent: bool,
}

impl Unreachable {
    pub(super) fn new(cause: impl Into<String>) -> Unreachable {
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
                Some(
                    StreamableHttpError::AuthRequired(_)
                    | StreamableHttpError::InsufficientScope(_),
                ) => return Unreachable::before_sending(error.to_string()),
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

/// How often a server's tools have changed, as far as we were told: a list from before the last change is old.
#[derive(Debug, Default)]
pub(super) struct Changes(AtomicU64);

impl Changes {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    pub(super) fn one_more(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// Where a tool server is, and how we come in.
pub(super) enum Target {
    /// Our own: with a token for each request, and with questions.
    Ours { url: Arc<str>, http: TokenClient },
    /// Somebody else's, over HTTP.
    Http {
        url: Arc<str>,
        token: Option<Secret>,
        http: reqwest::Client,
    },
    /// Somebody else's, as a child of ours.
    Child {
        program: String,
        arguments: Vec<String>,
    },
}

/// The connection to one tool server.
pub(super) struct Link {
    name: String,
    target: Target,
    connect_deadline: Duration,
    slot: RwLock<Slot>,
    changes: Arc<Changes>,
}

#[derive(Default)]
struct Slot {
    connection: Option<Connection>,
    failed: Option<(Instant, String)>,
}

struct Connection {
    service: RunningService<RoleClient, Us>,
    child: Option<Child>,
    /// Told of changes as long as the connection lasts.
    _listening: Option<AbortOnDropHandle<()>>,
}

impl Connection {
    fn is_open(&self) -> bool {
        !self.service.is_closed() && !self.service.peer().is_transport_closed()
    }
}

/// What we are to a server.
struct Us {
    config: ClientConfig,
    changes: Arc<Changes>,
}

impl ClientHandler for Us {
    fn get_info(&self) -> ClientConfig {
        self.config.clone()
    }

    /// Servers that ask without having been offered an answer are declined: that is what the trait does when nothing is said.
    async fn on_tool_list_changed(&self, _context: NotificationContext<RoleClient>) {
        self.changes.one_more();
    }
}

impl Link {
    pub(super) fn new(name: &str, target: Target, connect_deadline: Duration) -> Link {
        Link {
            name: name.to_owned(),
            target,
            connect_deadline,
            slot: RwLock::default(),
            changes: Arc::default(),
        }
    }

    pub(super) fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Sends one request; the inner error is the server's own protocol error. A server that takes too long is told to stop.
    pub(super) async fn send(
        &self,
        request: ClientRequest,
        deadline: Duration,
    ) -> Result<Result<ServerResult, ErrorData>, Unreachable> {
        let peer = self.peer().await?;
        let late = || Unreachable::new(format!("no answer within {} s", deadline.as_secs()));
        let asking = async {
            // Our own server keeps what it has begun under the call's key, and is asked again: it is not told to stop.
            if matches!(self.target, Target::Ours { .. }) {
                return peer.send_request(request).await;
            }
            let options = PeerRequestOptions::with_timeout(deadline);
            let handle = peer.send_cancellable_request(request, options).await?;
            handle.await_response().await
        };
        let whole = match self.target {
            Target::Ours { .. } => deadline,
            Target::Http { .. } | Target::Child { .. } => deadline + GRACE,
        };
        match tokio::time::timeout(whole, asking).await {
            Ok(Ok(result)) => Ok(Ok(result)),
            Ok(Err(ServiceError::McpError(error))) => Ok(Err(error)),
            Ok(Err(ServiceError::Timeout { .. })) | Err(_) => Err(late()),
            Ok(Err(error)) => {
                let unreachable = Unreachable::of(&error);
                Err(Unreachable {
                    cause: self.without_token(unreachable.cause),
                    ..unreachable
                })
            }
        }
    }

    /// A server may repeat what it was sent in what it complains about.
    fn without_token(&self, text: String) -> String {
        match &self.target {
            Target::Http {
                token: Some(token), ..
            } => text.replace(token.reveal(), "(hidden)"),
            Target::Ours { .. } | Target::Http { .. } | Target::Child { .. } => text,
        }
    }

    /// Connects, if it is not connected.
    pub(super) async fn open(&self) -> Result<(), Unreachable> {
        self.peer().await.map(|_| ())
    }

    /// Ends the connection, and the child with it.
    pub(super) async fn close(&self) {
        let connection = self.slot.write().await.connection.take();
        if let Some(Connection {
            mut service, child, ..
        }) = connection
        {
            let _ = service.close_with_timeout(GRACE).await;
            if let Some(child) = child {
                stdio::end(child).await;
            }
        }
    }

    async fn peer(&self) -> Result<Peer<RoleClient>, Unreachable> {
        let open = |slot: &Slot| {
            let connection = slot.connection.as_ref().filter(|c| c.is_open());
            connection.map(|c| c.service.peer().clone())
        };
        if let Some(peer) = open(&*self.slot.read().await) {
            return Ok(peer);
        }
        let mut slot = self.slot.write().await;
        if let Some(peer) = open(&slot) {
            return Ok(peer);
        }
        let pause = match self.target {
            Target::Child { .. } => AFTER_FAILED_CHILD,
            Target::Ours { .. } | Target::Http { .. } => AFTER_FAILURE,
        };
        if let Some((at, cause)) = slot.failed.as_ref().filter(|(at, _)| at.elapsed() < pause) {
            tracing::debug!(server = self.name, ago = ?at.elapsed(), "not tried again yet");
            return Err(Unreachable::before_sending(cause.clone()));
        }
        // The old one goes first: of a child there is one at a time.
        slot.connection = None;
        let connected = match tokio::time::timeout(self.connect_deadline, self.connect()).await {
            Ok(connected) => connected,
            Err(_elapsed) => Err(format!(
                "no connection within {} s",
                self.connect_deadline.as_secs()
            )),
        };
        match connected {
            Ok(connection) => {
                let peer = connection.service.peer().clone();
                // Whatever the server offers now, it was not asked before.
                self.changes.one_more();
                *slot = Slot {
                    connection: Some(connection),
                    failed: None,
                };
                Ok(peer)
            }
            Err(cause) => {
                let cause = self.without_token(cause);
                slot.failed = Some((Instant::now(), cause.clone()));
                Err(Unreachable::before_sending(cause))
            }
        }
    }

    async fn connect(&self) -> Result<Connection, String> {
        let both_eras = self.connect_as(both_eras()).await;
        match (&self.target, both_eras) {
            (_, Ok(connection)) => Ok(connection),
            (Target::Ours { .. }, Err(cause)) => Err(cause),
            // Some servers of the older era take the question for the newer one badly: they end, or say that they know no version of ours.
            (Target::Http { .. } | Target::Child { .. }, Err(cause)) => {
                let older = self.connect_as(ClientLifecycleMode::Initialize).await;
                older.map_err(|_| cause)
            }
        }
    }

    async fn connect_as(&self, lifecycle: ClientLifecycleMode) -> Result<Connection, String> {
        let said = |e: ClientInitializeError| e.to_string();
        let (service, child) = match &self.target {
            Target::Ours { url, http } => {
                let opened = self.over_http(url, http.clone(), None, lifecycle).await;
                (opened.map_err(said)?, None)
            }
            Target::Http { url, token, http } => {
                let token = token.as_ref();
                let opened = self.over_http(url, http.clone(), token, lifecycle).await;
                (opened.map_err(said)?, None)
            }
            Target::Child { program, arguments } => {
                let (child, transport) = stdio::start(&self.name, program, arguments)
                    .map_err(|e| format!("{program}: {e}"))?;
                let served = self.us().serve_with_lifecycle(transport, lifecycle).await;
                (served.map_err(said)?, Some(child))
            }
        };
        let listening = listen(&service, &self.changes);
        Ok(Connection {
            service,
            child,
            _listening: listening,
        })
    }

    async fn over_http<C: StreamableHttpClient + Sync>(
        &self,
        url: &Arc<str>,
        http: C,
        token: Option<&Secret>,
        lifecycle: ClientLifecycleMode,
    ) -> Result<RunningService<RoleClient, Us>, ClientInitializeError> {
        let mut config = StreamableHttpClientTransportConfig::with_uri(Arc::clone(url))
            .max_concurrent_requests(REQUESTS_MAX);
        if let Some(token) = token {
            config = config.auth_header(token.reveal());
        }
        let transport = StreamableHttpClientTransport::with_client(http, config);
        self.us().serve_with_lifecycle(transport, lifecycle).await
    }

    /// Only our own server may ask a person something through us.
    fn us(&self) -> Us {
        let capabilities = match self.target {
            Target::Ours { .. } => ClientCapabilities::builder().enable_elicitation().build(),
            Target::Http { .. } | Target::Child { .. } => ClientCapabilities::default(),
        };
        Us {
            config: ClientConfig::new(
                capabilities,
                Implementation::new("countersign-agent", env!("CARGO_PKG_VERSION")),
            )
            .with_protocol_version(OLDER),
            changes: Arc::clone(&self.changes),
        }
    }
}

/// Both eras: the stateless revision where it is spoken, else the last one that begins with `initialize`.
fn both_eras() -> ClientLifecycleMode {
    ClientLifecycleMode::Auto {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        legacy_version: Some(OLDER),
    }
}

/// The stateless revision tells of changes only to those who ask for it; the older ones tell everybody.
fn listen(
    service: &RunningService<RoleClient, Us>,
    changes: &Arc<Changes>,
) -> Option<AbortOnDropHandle<()>> {
    let info = service.peer().peer_info()?;
    let tells = info.capabilities.tools.as_ref()?.list_changed == Some(true);
    if !tells || info.protocol_version < ProtocolVersion::V_2026_07_28 {
        return None;
    }
    let (peer, changes) = (service.peer().clone(), Arc::clone(changes));
    Some(AbortOnDropHandle::new(tokio::spawn(async move {
        let wanted = SubscriptionFilter::builder().tools_list_changed().build();
        while !peer.is_transport_closed() {
            if let Ok(mut told) = peer.listen(wanted.clone()).await {
                // Something may have changed while nobody listened.
                changes.one_more();
                while let Ok(Some(notification)) = told.next().await {
                    if matches!(
                        notification,
                        ServerNotification::ToolListChangedNotification(_)
                    ) {
                        changes.one_more();
                    }
                }
            }
            tokio::time::sleep(LISTEN_AGAIN).await;
        }
    })))
}
