//! `subscriptions/listen`: a client's standing wish to be told of changes. The library acknowledges it and puts its id on every word.

use std::collections::BTreeSet;
use std::time::Duration;

use contracts::locale::Locale;
use rmcp::model::{ErrorData, ResourceContents, SubscriptionFilter};
use rmcp::service::SubscriptionContext;

use super::addresses::Address;
use super::resources::{self, Reader};
use super::{Server, locale};
use crate::app::App;
use crate::caller::Caller;
use crate::changes::{Full, Listening, News, Wanted, digest};

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

/// Tells until the client has enough, the caller is not let in any more, the program stops, or it has been long enough.
///
/// # Errors
/// When too many listen already; when the database fails, logged here.
pub(super) async fn listen(
    server: &Server,
    context: &SubscriptionContext,
) -> Result<(), ErrorData> {
    let request = context.request_context();
    let caller = server.caller(request)?;
    let begun = Listening::begin(
        &server.app,
        caller,
        locale(request),
        wanted(context.accepted()),
    );
    let listening = match begun.await {
        Ok(Ok(listening)) => listening,
        Ok(Err(full)) => return Err(ErrorData::internal_error(too_many(full), None)),
        Err(error) => {
            tracing::error!(%error, "listening");
            return Err(ErrorData::internal_error(
                "Nothing could be read. Try again.",
                None,
            ));
        }
    };
    let enough = tokio::time::sleep(LISTENING_MAX);
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
