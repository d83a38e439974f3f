//! The tool servers as the agent sees them: ours, which asks for a countersignature by itself, and others, whose every word is a claim.
//! Cached lists, calls with deadlines, a token per request for ours.
//!
//! - `link`: the connection to one server; `client`: the token of each request to ours; `stdio`: a server that is a child
//! - `lists`: what a server offers, and for how long; `cleaning`: what is taken of somebody else's list
//! - `foreign`: one server of somebody else's; `question`: what the agent asks about its calls; `results`: what came back

mod cleaning;
mod client;
mod foreign;
mod link;
mod lists;
pub(crate) mod question;
mod results;
mod stdio;

use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;
use contracts::confirmation::{ELICITATION_KEY, Question};
use contracts::failure::{FailureCode, ToolFailure};
use contracts::locale::Locale;
use contracts::shop::{self, ShopFacts};
use contracts::token::TokenPerson;
use contracts::tool::{IDEMPOTENCY_META_KEY, Tool};
use contracts::tools::confirm::{ConfirmAction, ConfirmActionOutput};
use futures::future::join_all;
use migrations::telemetry::TraceParent;
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, ClientRequest, ElicitResult, ElicitationAction,
    InputResponses, MetaObject, RequestMetaObject, ServerResult,
};
use serde_json::{Value, json};
use tracing::Instrument as _;
use uuid::Uuid;

use self::client::{OnBehalf, TokenClient};
use self::foreign::ForeignServer;
pub use self::link::Unreachable;
use self::link::{Link, Target};
use self::lists::{Answered, Freshness, Shelf};
use crate::config::ExtraServer;
use crate::metrics;
use crate::models::{ToolCall, ToolSpec};
use crate::principal::Principal;
use crate::tokens::Signer;

/// How long a connection to our own server may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long one of its calls may take; longer than its own deadline, so that its answer is seen.
const CALL: Duration = Duration::from_secs(15);
/// Principals whose lists are kept.
const LISTS_MAX: u64 = 10_000;
/// Tools of all servers together: providers take no more in one request. Ours come first.
const TOOLS_MAX: usize = 128;
/// Different combinations of lists that are kept.
const OFFERS_MAX: u64 = 256;

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
    /// Its key: the same for every attempt. For our own server only.
    pub idempotency_key: &'a str,
    /// The language of its answer.
    pub locale: Locale,
    /// The answer to the question it asked before.
    pub answer: Option<AnswerToPass>,
}

/// Every tool server.
pub struct Tools {
    ours: Link,
    lists: moka::sync::Cache<Principal, Arc<Listed>>,
    foreign: Vec<Arc<ForeignServer>>,
    shelf: Arc<Shelf>,
    /// Lists of several servers put together, by the lists' addresses.
    together: moka::sync::Cache<Vec<usize>, Arc<Together>>,
}

/// What the servers offer a principal.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The tools. The same list is the same address.
    pub tools: Arc<Vec<ToolSpec>>,
    /// Where the shop's days begin; UTC when the server says nothing.
    pub time_zone: Tz,
    /// The language of a person who has not shown theirs.
    pub locale: Locale,
    /// What the server tells of the shop, if it does.
    pub shop: Option<Arc<ShopFacts>>,
}

/// Our own server's list.
struct Listed {
    offer: Offer,
    freshness: Freshness,
}

struct Together {
    /// Keeps the addresses it is known by from being used again.
    _parts: Vec<Arc<Vec<ToolSpec>>>,
    tools: Arc<Vec<ToolSpec>>,
}

impl Tools {
    /// Our own tool server at `url`, called with tokens of `signer`, and `extra` ones, whose calls may take `deadline` each.
    ///
    /// # Errors
    /// When no HTTP client can be made, which is a broken installation.
    pub fn new(
        url: &str,
        signer: Signer,
        extra: &[ExtraServer],
        deadline: Duration,
    ) -> Result<Tools, Unreachable> {
        let http = || {
            reqwest::Client::builder()
                .connect_timeout(CONNECT)
                .tcp_nodelay(true)
                .no_proxy()
        };
        let broken = |e: reqwest::Error| Unreachable::new(e.to_string());
        // Their tokens and arguments are for them and not for whomever they point to.
        let theirs = http()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(broken)?;
        let target = Target::Ours {
            url: url.into(),
            http: TokenClient {
                inner: http().build().map_err(broken)?,
                signer,
            },
        };
        Ok(Tools {
            ours: Link::new("ours", target, CONNECT),
            lists: moka::sync::Cache::new(LISTS_MAX),
            foreign: extra
                .iter()
                .map(|server| Arc::new(ForeignServer::new(server, &theirs, deadline)))
                .collect(),
            shelf: Arc::default(),
            together: moka::sync::Cache::new(OFFERS_MAX),
        })
    }

    /// The tools this principal may use. Each list is asked for once per its server's own lifetime of it; an old list is used when the
    /// server cannot be reached.
    ///
    /// # Errors
    /// [`Unreachable`] when there is no list of our own server at all. The others are missed without an error.
    pub async fn offer(&self, principal: &Principal) -> Result<Offer, Unreachable> {
        if self.foreign.is_empty() {
            return self.own_offer(principal).await;
        }
        let theirs = self.foreign.iter().map(|s| s.tools(principal, &self.shelf));
        let (own, theirs) = tokio::join!(self.own_offer(principal), join_all(theirs));
        let own = own?;
        let mut parts = vec![Arc::clone(&own.tools)];
        parts.extend(theirs.into_iter().flatten());
        let addresses = parts.iter().map(|p| Arc::as_ptr(p).addr()).collect();
        let together = self.together.get_with(addresses, || {
            let every = parts.iter().map(|p| p.len()).sum::<usize>();
            if every > TOOLS_MAX {
                tracing::warn!(
                    every,
                    "more than {TOOLS_MAX} tools: the last ones are left out"
                );
            }
            let tools = parts.iter().flat_map(|p| p.iter().cloned());
            let tools: Vec<ToolSpec> = tools.take(TOOLS_MAX).collect();
            Arc::new(Together {
                tools: Arc::new(tools),
                _parts: parts,
            })
        });
        Ok(Offer {
            tools: Arc::clone(&together.tools),
            ..own
        })
    }

    /// The server of somebody else's that a tool belongs to; none for a tool of ours.
    #[must_use]
    pub fn server_of(&self, tool: &str) -> Option<&str> {
        self.foreign_of(tool)
            .map(|(server, _)| server.name.as_str())
    }

    /// A model wants a tool: if it is not on its server's list, that list is asked for again with the next offer.
    pub fn missed(&self, principal: &Principal, offer: &Offer, tool: &str) {
        if let Some((server, _)) = self.foreign_of(tool)
            && !offer.tools.iter().any(|t| t.name == tool)
        {
            server.look_again(principal);
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
        let name = dispatch.call.tool.as_str();
        let begun = tokio::time::Instant::now();
        let result = match self.foreign_of(name) {
            Some((server, tool)) => server.call(dispatch.call, tool, dispatch.locale).await,
            None => {
                let span = tracing::info_span!("tool_call", tool = metrics::label(name));
                self.own_call(principal, dispatch).instrument(span).await
            }
        };
        metrics::tool_called(name, &result, begun);
        result
    }

    /// Where a question of our own server stands, as whoever asked it may know; none when the server does not say.
    ///
    /// # Errors
    /// [`Unreachable`] when no answer came back.
    pub async fn standing(
        &self,
        principal: &Principal,
        question: Uuid,
    ) -> Result<Option<ConfirmActionOutput>, Unreachable> {
        let call = ToolCall {
            id: String::new(),
            tool: <ConfirmAction as Tool>::NAME.to_owned(),
            arguments: json!({"confirmation_id": question}),
        };
        let dispatch = Dispatch {
            call: &call,
            idempotency_key: "",
            locale: Locale::default(),
            answer: None,
        };
        match self.own_call(principal, dispatch).await? {
            CallResult::Done(standing) => serde_json::from_value(standing)
                .map(Some)
                .map_err(|e| Unreachable::new(e.to_string())),
            CallResult::Failed(_) | CallResult::Asked(_) => Ok(None),
        }
    }

    /// Ends every connection, and the servers that are children of ours.
    pub async fn close(&self) {
        join_all(self.foreign.iter().map(|s| s.close())).await;
    }

    fn foreign_of<'a>(&self, tool: &'a str) -> Option<(&Arc<ForeignServer>, &'a str)> {
        let (name, tool) = tool.split_once('.')?;
        let server = self.foreign.iter().find(|s| s.name == name)?;
        Some((server, tool))
    }

    async fn own_offer(&self, principal: &Principal) -> Result<Offer, Unreachable> {
        let known = self.lists.get(principal);
        let generation = self.ours.changes().count();
        if let Some(listed) = known.as_ref().filter(|l| l.freshness.lasts(generation)) {
            return Ok(listed.offer.clone());
        }
        let on_behalf = OnBehalf {
            principal: principal.clone(),
            decided_by: None,
        };
        match lists::fetch(&self.ours, Some(on_behalf)).await {
            Ok(answered) => {
                let listed = self.own_list(answered);
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

    fn own_list(&self, answered: Answered) -> Listed {
        let freshness = answered.freshness();
        let facts = facts(answered.meta.as_ref());
        let tools: Vec<ToolSpec> = answered.tools.into_iter().map(spec).collect();
        Listed {
            offer: Offer {
                tools: self.shelf.share(tools),
                time_zone: facts
                    .as_ref()
                    .and_then(|f| f.time_zone.parse().ok())
                    .unwrap_or(Tz::UTC),
                locale: facts.as_ref().map(|f| f.locale).unwrap_or_default(),
                shop: facts.map(Arc::new),
            },
            freshness,
        }
    }

    async fn own_call(
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
        let request = ClientRequest::CallToolRequest(request);
        match self.ours.send(request, CALL).await? {
            Ok(ServerResult::CallToolResult(result)) => Ok(results::ours(result)),
            Ok(ServerResult::InputRequiredResult(asked)) => results::question(asked),
            Ok(_) => Err(Unreachable::new("it answered something else than a result")),
            Err(error) => {
                // The list may be out of date: a tool is gone, or its arguments have changed.
                self.lists.invalidate(principal);
                // Its message may repeat the arguments.
                tracing::warn!(code = error.code.0, "protocol error");
                tracing::debug!(message = %error.message, "protocol error");
                Ok(CallResult::Failed(ToolFailure::new(
                    FailureCode::Internal,
                    "System error. Please try again.",
                    "The tool may have changed; list the tools again.",
                )))
            }
        }
    }
}

fn facts(meta: Option<&MetaObject>) -> Option<ShopFacts> {
    let facts = meta?.get(shop::META_KEY)?.clone();
    serde_json::from_value(facts).ok()
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
    // What only looks has none.
    if !dispatch.idempotency_key.is_empty() {
        meta.0.insert(
            IDEMPOTENCY_META_KEY.to_owned(),
            json!(dispatch.idempotency_key),
        );
    }
    meta.0
        .insert(Locale::META_KEY.to_owned(), json!(dispatch.locale.tag()));
    // The server's span becomes a child of ours.
    if let Some(place) = TraceParent::of(&tracing::Span::current()) {
        meta.0
            .insert("traceparent".to_owned(), json!(place.to_string()));
    }
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

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn a_call_says_where_it_stands_in_its_trace_and_nothing_when_nobody_traces() {
        let call = ToolCall {
            id: "c".to_owned(),
            tool: "inventory_get_item".to_owned(),
            arguments: json!({"item": "soap"}),
        };
        let sent = || {
            let dispatch = Dispatch {
                call: &call,
                idempotency_key: "run:c",
                locale: Locale::En,
                answer: None,
            };
            let meta = params(dispatch).unwrap().meta.unwrap();
            assert_eq!(meta.0[IDEMPOTENCY_META_KEY], "run:c");
            meta.0.get("traceparent").cloned()
        };
        assert_eq!(sent(), None);
        let provider = SdkTracerProvider::builder().build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("tool_call");
            let _inside = span.enter();
            let place = TraceParent::of(&span).unwrap();
            assert_eq!(sent(), Some(json!(place.to_string())));
        });
    }
}
