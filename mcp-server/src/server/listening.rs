//! `subscriptions/listen`: a client's standing wish to be told of changes. The library acknowledges it and puts its id on every word.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::locale::Locale;
use contracts::scope::Reach;
use rmcp::Service;
use rmcp::model::{
    ClientNotification, ClientRequest, ConstString as _, ErrorData, ProtocolVersion,
    ResourceContents, ServerConfig, ServerResult, SubscriptionFilter,
    SubscriptionsListenRequestMethod,
};
use rmcp::service::{NotificationContext, RequestContext, RoleServer, SubscriptionContext};

use super::addresses::Address;
use super::resources::{self, Reader};
use super::{Server, locale};
use crate::app::App;
use crate::caller::Caller;
use crate::changes::{Beginning, Full, Listening, News, Wanted, digest};
use crate::guard::CredentialEnd;

/// How long one request is answered; a client that wants more asks again, wherever the balancer leads it.
const LISTENING_MAX: Duration = Duration::from_secs(30 * 60);
/// Most addresses of one listener.
const ADDRESSES_MAX: usize = 20;
/// Longest address that is repeated to a client, bytes.
const ADDRESS_BYTES_MAX: usize = 1_200;

/// What can be listened for: every list, and addresses of ours, the first of them. Whether a resource is there is not said: one that
/// is not, and one that is out of reach, never change.
pub(super) fn accepted(requested: &SubscriptionFilter) -> SubscriptionFilter {
    let mut accepted = requested.clone();
    accepted.resource_subscriptions = requested.resource_subscriptions.as_ref().map(|uris| {
        let mut seen = BTreeSet::new();
        let ours = uris.iter().filter(|uri| {
            uri.len() <= ADDRESS_BYTES_MAX && Address::read(uri).is_some() && seen.insert(*uri)
        });
        ours.take(ADDRESSES_MAX).cloned().collect()
    });
    accepted
}

/// Tells until the client has enough, the caller is not let in any more, its credential ends, the program stops, or it has been long enough.
///
/// # Errors
/// When too many listen already; when the database fails, logged here.
pub(super) async fn listen(
    server: &Server,
    context: &SubscriptionContext,
) -> Result<(), ErrorData> {
    let request = context.request_context();
    let caller = server.caller(request)?;
    if caller.reach == Reach::NOTHING {
        // Such as the agent, when it only finds out what this server is.
        return Err(ErrorData::invalid_request(
            "There is nothing that this caller could be told of.",
            None,
        ));
    }
    let beginning = match begun(request) {
        Some(beginning) => beginning,
        None => Beginning::read(&server.app, &caller)
            .await
            .map_err(|error| {
                tracing::error!(%error, "listening");
                ErrorData::internal_error("Nothing could be read. Try again.", None)
            })?,
    };
    let wanted = wanted(context.accepted());
    let listening = Listening::begin(&server.app, caller, locale(request), wanted, beginning)
        .await
        .map_err(|full| ErrorData::internal_error(too_many(full), None))?;
    let enough = tokio::time::sleep(longest(request, server.app.clock.now()));
    tokio::pin!(enough);
    loop {
        let news = tokio::select! {
            biased;
            () = context.cancelled() => return Ok(()),
            () = server.app.stopping.cancelled() => return Ok(()),
            () = &mut enough => return Ok(()),
            news = listening.news() => news,
        };
        let is_over = news.is_over;
        if let Err(error) = told(context, news).await {
            tracing::debug!(%error, "a listener could not be told");
            return Ok(());
        }
        if is_over {
            return Ok(());
        }
    }
}

/// How long this request is answered: never past the end of its credential.
fn longest(request: &RequestContext<RoleServer>, now: DateTime<Utc>) -> Duration {
    let parts = request.extensions.get::<http::request::Parts>();
    let end = parts.and_then(|p| p.extensions.get::<CredentialEnd>());
    let left = end.map(|end| (end.0 - now).to_std().unwrap_or_default());
    left.map_or(LISTENING_MAX, |left| left.min(LISTENING_MAX))
}

/// What was read before the acknowledgement.
fn begun(request: &RequestContext<RoleServer>) -> Option<Beginning> {
    let of_http = || {
        let parts = request.extensions.get::<http::request::Parts>()?;
        parts.extensions.get::<Beginning>()
    };
    let found = request.extensions.get::<Beginning>().or_else(of_http);
    found.cloned()
}

/// Whether a request over HTTP asks to listen: the library acknowledges before it asks us, so what there is is read at the door.
pub(crate) fn is_to_listen(headers: &http::HeaderMap) -> bool {
    headers
        .get("mcp-method")
        .is_some_and(|method| method == SubscriptionsListenRequestMethod::VALUE)
}

/// On stdio: the same before the library sees the request.
pub(crate) struct Ahead(pub(crate) Server);

impl Service<RoleServer> for Ahead {
    async fn handle_request(
        &self,
        request: ClientRequest,
        mut context: RequestContext<RoleServer>,
    ) -> Result<ServerResult, ErrorData> {
        if matches!(request, ClientRequest::SubscriptionsListenRequest(_))
            && let Ok(caller) = self.0.caller(&context)
            && let Ok(beginning) = Beginning::read(&self.0.app, &caller).await
        {
            context.extensions.insert(beginning);
        }
        // As large as the largest of all calls.
        Box::pin(self.0.handle_request(request, context)).await
    }

    async fn handle_notification(
        &self,
        notification: ClientNotification,
        context: NotificationContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.0.handle_notification(notification, context).await
    }

    fn get_info(&self) -> ServerConfig {
        Service::get_info(&self.0)
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Service::supported_protocol_versions(&self.0)
    }
}

fn wanted(accepted: &SubscriptionFilter) -> Wanted {
    let is = |flag: Option<bool>| flag == Some(true);
    Wanted {
        tools: is(accepted.tools_list_changed),
        prompts: is(accepted.prompts_list_changed),
        resources: is(accepted.resources_list_changed),
        uris: accepted
            .resource_subscriptions
            .iter()
            .flatten()
            .cloned()
            .collect(),
    }
}

async fn told(
    context: &SubscriptionContext,
    news: News,
) -> Result<(), rmcp::service::SubscriptionSendError> {
    let sink = context.sink();
    if news.tools {
        sink.notify_tool_list_changed().await?;
    }
    if news.prompts {
        sink.notify_prompt_list_changed().await?;
    }
    if news.resources {
        sink.notify_resource_list_changed().await?;
    }
    for uri in news.uris {
        sink.notify_resource_updated(uri).await?;
    }
    Ok(())
}

fn too_many(full: Full) -> &'static str {
    match full {
        Full::Principal => "You are listening too often already. End another subscription first.",
        Full::Process => "Too many are listening already. Try again later.",
    }
}

/// What a resource holds, as this caller may read it, come down to a digest; nothing where it cannot be read. A PDF is drawn of what the
/// bill holds, so that is what is looked at.
pub(crate) async fn resource_digest(
    app: &App,
    caller: &Caller,
    locale: Option<Locale>,
    uri: &str,
) -> Option<[u8; 32]> {
    let reader = Reader {
        app,
        caller,
        locale,
    };
    let uri = match Address::read(uri)? {
        Address::BillPdf(_) => uri.strip_suffix(".pdf")?,
        _ => uri,
    };
    let read = resources::read(reader, uri).await.ok()?;
    match read.contents.first()? {
        ResourceContents::TextResourceContents { text, .. } => Some(digest(text)),
        _ => None,
    }
}
