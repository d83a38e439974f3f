//! Who wants to be told of changes, and the one task of this process that looks for them.
//!
//! Nothing is pushed by the database: a look every two seconds, at the tenants somebody listens for, finds what any process has done. One
//! statement says whether a tenant's settings or policies, a principal's rights, or anything at all in its books has changed; only then
//! are the resources somebody listens for read again, as the listener may read them, and compared. While nobody listens there is no task.

mod look;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::ids::TenantId;
use contracts::locale::Locale;
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

use crate::app::App;
use crate::caller::Caller;
use crate::error::CallError;
use look::Look;
pub(crate) use look::digest;

/// How often it is looked for changes, which is about how late a listener is told.
const INTERVAL: Duration = Duration::from_secs(2);
/// Most listeners of one process: a connection each, so this is far above what one is sized for.
const LISTENERS_MAX: usize = 1_000;
/// Most listeners of one principal.
const LISTENERS_EACH_MAX: usize = 8;

/// What a listener wants to be told of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// That the list of tools has changed.
    pub(crate) tools: bool,
    /// That the list of prompts has changed.
    pub(crate) prompts: bool,
    /// That the list of resources has changed.
    pub(crate) resources: bool,
    /// That what these addresses hold has changed.
    pub(crate) uris: BTreeSet<String>,
}

/// What a listener has not been told yet. Two changes of the same are told as one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// The list of tools.
    pub(crate) tools: bool,
    /// The list of prompts.
    pub(crate) prompts: bool,
    /// The list of resources.
    pub(crate) resources: bool,
    /// What these addresses hold.
    pub(crate) uris: BTreeSet<String>,
    /// The caller is not let in any more: after this there is nothing to be told.
    pub(crate) is_over: bool,
}

impl News {
    fn is_none(&self) -> bool {
        *self == News::default()
    }
}

/// One listener, as the task sees it.
pub(crate) struct Listener {
    wanted: Wanted,
    locale: Option<Locale>,
    /// Who listens; what may be read for it follows the principal's rights.
    caller: Mutex<Caller>,
    seen: Mutex<Seen>,
    news: Mutex<News>,
    wake: Notify,
}

/// What the listener's lists and resources were made of when they were last looked at.
#[derive(Default)]
struct Seen {
    look: Look,
    resources: BTreeMap<String, Option<[u8; 32]>>,
    /// Until the first look after the beginning: whatever was done since then may have been done before the beginning was read.
    begun_at: Option<DateTime<Utc>>,
}

/// The listeners of this process.
#[derive(Default)]
pub(crate) struct Changes(Mutex<Listeners>);

#[derive(Default)]
struct Listeners {
    next: u64,
    all: BTreeMap<u64, Arc<Listener>>,
    /// Whether the task runs.
    watched: bool,
}

/// Why nobody more may listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// This process has as many as it takes.
    Process,
    /// This principal has as many as one may have.
    Principal,
}

/// What there was when a client asked to listen, read before it is told that it does: whatever it does after that is news to it.
#[derive(Debug, Clone)]
pub(crate) struct Beginning {
    look: Look,
    at: DateTime<Utc>,
}

impl Beginning {
    /// Reads it.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn read(app: &App, caller: &Caller) -> Result<Beginning, CallError> {
        let at = app.clock.now();
        let look = look::lists_of(app, caller).await?;
        Ok(Beginning { look, at })
    }
}

/// A listener's place; dropping it gives it up.
pub(crate) struct Listening {
    app: Arc<App>,
    number: u64,
    listener: Arc<Listener>,
}

impl Listening {
    /// Takes a place, and reads what the resources hold.
    ///
    /// # Errors
    /// [`Full`].
    pub(crate) async fn begin(
        app: &Arc<App>,
        caller: Caller,
        locale: Option<Locale>,
        wanted: Wanted,
        beginning: Beginning,
    ) -> Result<Listening, Full> {
        let listener = Arc::new(Listener {
            wanted,
            locale,
            caller: Mutex::new(caller),
            seen: Mutex::default(),
            news: Mutex::default(),
            wake: Notify::new(),
        });
        let number = app.changes.enter(&listener)?;
        let listening = Listening {
            app: Arc::clone(app),
            number,
            listener,
        };
        look::begin(app, &listening.listener, beginning).await;
        if app.changes.wants_a_watch() {
            tokio::spawn(watch(Arc::clone(app)));
        }
        Ok(listening)
    }

    /// Waits for news.
    pub(crate) async fn news(&self) -> News {
        loop {
            let woken = self.listener.wake.notified();
            let news = std::mem::take(&mut *held(&self.listener.news));
            if !news.is_none() {
                return news;
            }
            woken.await;
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        held(&self.app.changes.0).all.remove(&self.number);
    }
}

impl Changes {
    fn enter(&self, listener: &Arc<Listener>) -> Result<u64, Full> {
        let mut listeners = held(&self.0);
        if listeners.all.len() >= LISTENERS_MAX {
            return Err(Full::Process);
        }
        let caller = held(&listener.caller);
        let is_same = |other: &&Arc<Listener>| {
            let other = held(&other.caller);
            (other.tenant, &other.subject) == (caller.tenant, &caller.subject)
        };
        if listeners.all.values().filter(is_same).count() >= LISTENERS_EACH_MAX {
            return Err(Full::Principal);
        }
        let number = listeners.next;
        listeners.next += 1;
        listeners.all.insert(number, Arc::clone(listener));
        Ok(number)
    }

    /// Whether the task has to be started, which the caller then does.
    fn wants_a_watch(&self) -> bool {
        let mut listeners = held(&self.0);
        !std::mem::replace(&mut listeners.watched, true)
    }

    /// Everybody who listens, by tenant. Nobody: the task that asked has ended with this.
    fn everybody(&self) -> Option<BTreeMap<TenantId, Vec<Arc<Listener>>>> {
        let mut listeners = held(&self.0);
        if listeners.all.is_empty() {
            listeners.watched = false;
            return None;
        }
        let mut by_tenant: BTreeMap<TenantId, Vec<Arc<Listener>>> = BTreeMap::new();
        for listener in listeners.all.values() {
            let tenant = held(&listener.caller).tenant;
            by_tenant
                .entry(tenant)
                .or_default()
                .push(Arc::clone(listener));
        }
        Some(by_tenant)
    }
}

impl Listener {
    fn tell(&self, news: News) {
        if news.is_none() {
            return;
        }
        let mut waiting = held(&self.news);
        waiting.tools |= news.tools;
        waiting.prompts |= news.prompts;
        waiting.resources |= news.resources;
        waiting.uris.extend(news.uris);
        waiting.is_over |= news.is_over;
        drop(waiting);
        self.wake.notify_one();
    }
}

/// Looks until nobody listens or the program stops. A look that fails is made again.
async fn watch(app: Arc<App>) {
    let mut tick = tokio::time::interval(INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = app.stopping.cancelled() => return,
        }
        let Some(by_tenant) = app.changes.everybody() else {
            return;
        };
        for (tenant, listeners) in by_tenant {
            if let Err(error) = look::again(&app, tenant, &listeners).await {
                tracing::warn!(%tenant, %error, "looking for changes");
            }
        }
    }
}

/// Nothing is awaited while one of these is held, and nothing in between can leave it half changed.
fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(subject: &str) -> Arc<Listener> {
        let caller = Caller {
            subject: subject.to_owned(),
            ..Caller::local_owner()
        };
        Arc::new(Listener {
            wanted: Wanted::default(),
            locale: None,
            caller: Mutex::new(caller),
            seen: Mutex::default(),
            news: Mutex::default(),
            wake: Notify::new(),
        })
    }

    #[test]
    fn places_are_bounded_for_each_and_for_all() {
        let changes = Changes::default();
        for _ in 0..LISTENERS_EACH_MAX {
            changes.enter(&listener("ana")).unwrap();
        }
        assert_eq!(changes.enter(&listener("ana")), Err(Full::Principal));
        for n in LISTENERS_EACH_MAX..LISTENERS_MAX {
            changes.enter(&listener(&n.to_string())).unwrap();
        }
        assert_eq!(changes.enter(&listener("late")), Err(Full::Process));
        held(&changes.0).all.clear();
        assert!(changes.enter(&listener("ana")).is_ok());
    }

    #[test]
    fn one_task_watches_and_ends_with_the_last_listener() {
        let changes = Changes::default();
        let number = changes.enter(&listener("ana")).unwrap();
        assert!(changes.wants_a_watch() && !changes.wants_a_watch());
        assert!(changes.everybody().is_some());
        held(&changes.0).all.remove(&number);
        assert!(changes.everybody().is_none());
        assert!(changes.wants_a_watch(), "the next one starts another");
    }

    #[test]
    fn news_wait_and_are_told_together() {
        let listener = listener("ana");
        let of = |uri: &str| News {
            uris: [uri.to_owned()].into(),
            ..News::default()
        };
        listener.tell(of("a"));
        listener.tell(of("b"));
        listener.tell(of("a"));
        listener.tell(News::default());
        assert_eq!(held(&listener.news).uris.len(), 2);
    }
}
