//! A tool server that is not ours. While it is down or slow it costs its tools and never a turn.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use contracts::locale::Locale;
use rmcp::model::{CallToolRequest, CallToolRequestParams, ClientRequest, ServerResult};

use super::link::{Link, Target, Unreachable};
use super::lists::{self, Answered, Freshness, Shelf};
use super::{CallResult, cleaning, results};
use crate::config::{Address, ExtraServer};
use crate::models::{ToolCall, ToolSpec};
use crate::principal::Principal;

/// How long a connection may take. Longer than for ours: a program may have to be loaded first. No turn waits for it.
const CONNECT: Duration = Duration::from_secs(15);
/// How long a turn waits for a list that is not there.
const LIST_WAIT: Duration = Duration::from_secs(2);
/// How long a server that gave no list is left alone.
const REST: Duration = Duration::from_secs(30);
/// How often a list is asked for again because a model wants a tool that is not on it.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Principals whose own lists are kept.
const LISTS_MAX: u64 = 1000;
/// Complaints about one list in the log.
const COMPLAINTS_MAX: usize = 10;

/// A tool server that is not ours.
pub(super) struct ForeignServer {
    pub(super) name: String,
    link: Link,
    deadline: Duration,
    /// The list for everybody.
    public: Mutex<Option<Arc<Listed>>>,
    /// The lists the server calls private.
    private: moka::sync::Cache<Principal, Arc<Listed>>,
    resting_until: Mutex<Option<Instant>>,
    /// One asks, the others wait for what comes.
    asking: tokio::sync::Mutex<()>,
}

struct Listed {
    tools: Arc<Vec<ToolSpec>>,
    freshness: Freshness,
}

impl ForeignServer {
    pub(super) fn new(
        server: &ExtraServer,
        http: &reqwest::Client,
        deadline: Duration,
    ) -> ForeignServer {
        let target = match &server.address {
            Address::Http { url, token } => Target::Http {
                url: url.as_str().into(),
                token: token.clone(),
                http: http.clone(),
            },
            Address::Command { program, arguments } => Target::Child {
                program: program.clone(),
                arguments: arguments.clone(),
            },
        };
        ForeignServer {
            name: server.name.clone(),
            link: Link::new(&server.name, target, CONNECT),
            deadline,
            public: Mutex::default(),
            private: moka::sync::Cache::new(LISTS_MAX),
            resting_until: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        }
    }

    /// Its tools, as far as they are known soon: an old list rather than none, and none rather than a long wait.
    pub(super) async fn tools(
        self: &Arc<Self>,
        principal: &Principal,
        shelf: &Arc<Shelf>,
    ) -> Option<Arc<Vec<ToolSpec>>> {
        if !self.is_fresh(principal) && !self.rests() {
            let (server, shelf, principal) =
                (Arc::clone(self), Arc::clone(shelf), principal.clone());
            // Goes on when the turn does not wait any longer. Bounded by the deadlines of connecting and listing.
            let asked = tokio::spawn(async move { server.ask(&principal, &shelf).await });
            if tokio::time::timeout(LIST_WAIT, asked).await.is_err() {
                // Nobody else waits for it until it has answered.
                self.rest();
            }
        }
        self.listed(principal).map(|l| Arc::clone(&l.tools))
    }

    /// A model wants a tool that is not on the list: perhaps the list is old.
    pub(super) fn look_again(&self, principal: &Principal) {
        let lately = |l: Arc<Listed>| l.freshness.at.elapsed() < LOOK_AGAIN;
        if !self.listed(principal).is_some_and(lately) {
            self.link.changes().one_more();
        }
    }

    /// Makes one call, once. Neither our tokens nor our keys go with it.
    pub(super) async fn call(
        &self,
        call: &ToolCall,
        tool: &str,
        locale: Locale,
    ) -> Result<CallResult, Unreachable> {
        let mut params = CallToolRequestParams::new(tool.to_owned());
        params.arguments = call.arguments.as_object().cloned();
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
        match self.link.send(request, self.deadline).await? {
            Ok(ServerResult::CallToolResult(result)) => {
                Ok(results::foreign(&self.name, result, locale))
            }
            Ok(ServerResult::InputRequiredResult(_)) => {
                tracing::warn!(server = self.name, tool, "wants more input and gets none");
                Ok(results::wants_more(&self.name, locale))
            }
            Ok(_) => Err(Unreachable::new("it answered something else than a result")),
            Err(error) => {
                self.link.changes().one_more();
                // Its message may repeat the arguments.
                tracing::warn!(
                    server = self.name,
                    tool,
                    code = error.code.0,
                    "protocol error"
                );
                tracing::debug!(server = self.name, message = %cleaning::line(&error.message, 300), "protocol error");
                if results::did_nothing(&error) {
                    return Ok(results::refused(&self.name, &error, locale));
                }
                Err(Unreachable::new(cleaning::line(&error.message, 300)))
            }
        }
    }

    pub(super) async fn close(&self) {
        self.link.close().await;
    }

    /// Asks for the list, unless somebody else just has.
    async fn ask(&self, principal: &Principal, shelf: &Shelf) {
        let _one = self.asking.lock().await;
        if self.is_fresh(principal) || self.rests() {
            return;
        }
        match lists::fetch(&self.link, None).await {
            Ok(answered) => self.keep(principal, shelf, answered),
            Err(error) => {
                let cause = cleaning::line(&error.cause, 300);
                tracing::warn!(
                    server = self.name,
                    cause,
                    "no list of tools; tried again in {} s",
                    REST.as_secs()
                );
                self.rest();
            }
        }
    }

    fn keep(&self, principal: &Principal, shelf: &Shelf, mut answered: Answered) {
        let (private, freshness) = (answered.private, answered.freshness());
        let broken = answered.broken;
        let cleaned = cleaning::tools(&self.name, std::mem::take(&mut answered.tools));
        if broken > 0 {
            tracing::warn!(
                server = self.name,
                broken,
                "entries of its list are no tools"
            );
        }
        for complaint in cleaned.complaints.iter().take(COMPLAINTS_MAX) {
            tracing::warn!(server = self.name, "tool {complaint}");
        }
        *lock(&self.resting_until) = None;
        let listed = Arc::new(Listed {
            tools: shelf.share(cleaned.tools),
            freshness,
        });
        if private {
            *lock(&self.public) = None;
            self.private.insert(principal.clone(), listed);
        } else {
            self.private.invalidate_all();
            *lock(&self.public) = Some(listed);
        }
    }

    fn listed(&self, principal: &Principal) -> Option<Arc<Listed>> {
        let public = lock(&self.public).clone();
        public.or_else(|| self.private.get(principal))
    }

    fn is_fresh(&self, principal: &Principal) -> bool {
        let generation = self.link.changes().count();
        self.listed(principal)
            .is_some_and(|l| l.freshness.lasts(generation))
    }

    fn rest(&self) {
        *lock(&self.resting_until) = Some(Instant::now() + REST);
    }

    fn rests(&self) -> bool {
        lock(&self.resting_until).is_some_and(|until| Instant::now() < until)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
