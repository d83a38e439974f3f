//! Who a credential speaks for: the one place that decides it, for every door.
//!
//! - [`keys`]: API keys of programs; [`secret`]: how keys and sessions are written, hashed and compared.
//! - `people`: log-in with a password; `passwords`: how those are kept; `sessions`: what a log-in opens.
//! - `agent_tokens`: the agent, on behalf of its end user; `jwt`: tokens of an authorization server.
//! - `introspect`: the agent asks whose credential somebody brought.
//!
//! Whoever is known is remembered for at most [`REMEMBERED`], never past the credential's own end. A revocation on this process is heeded
//! at once ([`Identities::forget`]), one on another process within that time.

pub mod agent_tokens;
pub(crate) mod introspect;
pub mod jwt;
pub mod keys;
pub(crate) mod passwords;
pub(crate) mod people;
pub mod secret;
pub(crate) mod sessions;

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::ids::TenantId;
use contracts::scope::Reach;
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;

use crate::app::App;
use crate::caller::{Caller, Door};

/// How long a verified credential is believed without looking again.
pub const REMEMBERED: Duration = Duration::from_secs(5);
/// Verified credentials that are remembered.
const REMEMBERED_MAX: u64 = 10_000;
/// How long it is remembered that a credential was good once, so that a guesser at the same address cannot keep its owner out.
const GOOD_ONCE: Duration = Duration::from_secs(3600);
/// Tenants share this many counters of revocations; a revocation makes the others on its counter look again, too.
const SHARDS: usize = 256;

/// Somebody a credential speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// As calls see them, as far as the credential reaches.
    pub caller: Caller,
    /// How a page greets them.
    pub name: String,
    /// How far a better credential of theirs could reach. What lies between is asked for with a scope (403 `insufficient_scope`).
    pub attainable: Reach,
    /// When the credential ends by itself, if it does.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Why a credential is not taken. Whoever brought it learns no more than which of the two.
#[derive(Debug, thiserror::Error)]
pub enum NotKnown {
    /// It is nobody's, or no longer. The text is for the log.
    #[error("{0}")]
    Invalid(String),
    /// It cannot be told now: the database or the authorization server is away. The text is for the log.
    #[error("cannot be told: {0}")]
    Unavailable(String),
}

impl From<sqlx::Error> for NotKnown {
    fn from(error: sqlx::Error) -> NotKnown {
        NotKnown::Unavailable(error.to_string())
    }
}

impl NotKnown {
    pub(crate) fn invalid(why: &str) -> NotKnown {
        NotKnown::Invalid(why.to_owned())
    }
}

/// Whoever has been known lately.
pub struct Identities {
    known: moka::sync::Cache<[u8; 32], Remembered>,
    good_once: moka::sync::Cache<[u8; 32], ()>,
    standing: moka::sync::Cache<(TenantId, String), (u64, Arc<agent_tokens::Standing>)>,
    /// How often something was revoked, by tenant's shard. What was learnt before does not count after.
    revocations: [AtomicU64; SHARDS],
    shards: RandomState,
}

#[derive(Clone)]
struct Remembered {
    known: Arc<Known>,
    revocations: u64,
}

impl Default for Identities {
    fn default() -> Identities {
        fn cache<
            K: std::hash::Hash + Eq + Send + Sync + 'static,
            V: Clone + Send + Sync + 'static,
        >(
            live: Duration,
        ) -> moka::sync::Cache<K, V> {
            moka::sync::Cache::builder()
                .max_capacity(REMEMBERED_MAX)
                .time_to_live(live)
                .build()
        }
        Identities {
            known: cache(REMEMBERED),
            good_once: cache(GOOD_ONCE),
            standing: cache(REMEMBERED),
            revocations: [const { AtomicU64::new(0) }; SHARDS],
            shards: RandomState::new(),
        }
    }
}

impl Identities {
    /// From now on nothing counts that was learnt about this tenant's people, keys and sessions. Call it after the commit of whatever
    /// takes something away from one of them: a revocation, a new password, a lesser role, a suspension.
    pub fn forget(&self, tenant: TenantId) {
        self.revocations(tenant).fetch_add(1, Ordering::SeqCst);
    }

    fn revocations(&self, tenant: TenantId) -> &AtomicU64 {
        let shard = usize::from(self.shards.hash_one(tenant).to_le_bytes()[0]);
        // A byte is always less than the number of shards.
        self.revocations.get(shard).unwrap_or(&self.revocations[0])
    }

    /// How often something was revoked in the tenant. Read before looking, so that what was seen just before a revocation is not kept.
    pub(crate) fn revoked_so_far(&self, tenant: TenantId) -> u64 {
        self.revocations(tenant).load(Ordering::SeqCst)
    }

    fn remembered(&self, digest: &[u8; 32], now: DateTime<Utc>) -> Option<Arc<Known>> {
        let found = self.known.get(digest)?;
        let current = found.revocations == self.revoked_so_far(found.known.caller.tenant);
        let live = found.known.expires_at.is_none_or(|end| end > now);
        (current && live).then_some(found.known)
    }

    /// Whether this credential was good within the last hour. It may have ended since.
    pub(crate) fn was_good(&self, credential: &str) -> bool {
        self.good_once.contains_key(&digest(credential))
    }
}

fn digest(credential: &str) -> [u8; 32] {
    Sha256::digest(credential.as_bytes()).into()
}

/// Who brought this credential, which is given without `Bearer`.
///
/// # Errors
/// [`NotKnown`]; the same for what never was and what no longer is.
pub async fn who(app: &App, credential: &str) -> Result<Arc<Known>, NotKnown> {
    let now = app.clock.now();
    let digest = digest(credential);
    if let Some(known) = app.identities.remembered(&digest, now) {
        return Ok(known);
    }
    let Seen { known, revocations } = if credential.starts_with(keys::PREFIX) {
        keys::verify(app, credential, now).await?
    } else if credential.starts_with(sessions::PREFIX) {
        sessions::verify(app, credential, now).await?
    } else if agent_tokens::is_one(credential) {
        // Each is made for one request: there is nothing to remember.
        return agent_tokens::verify(app, credential, now)
            .await
            .map(Arc::new);
    } else {
        jwt::verify(app, credential, now).await?
    };
    let known = Arc::new(known);
    let remembered = Remembered {
        known: Arc::clone(&known),
        revocations,
    };
    app.identities.known.insert(digest, remembered);
    app.identities.good_once.insert(digest, ());
    Ok(known)
}

/// Somebody who was looked up, and how often something had been revoked in the tenant before.
pub(crate) struct Seen {
    pub(crate) known: Known,
    pub(crate) revocations: u64,
}

/// The reach that stored scopes allow. What this version does not know allows nothing.
pub(crate) fn stored_reach(scopes: &[String]) -> Reach {
    let known = scopes
        .iter()
        .map(String::as_str)
        .filter(|scope| Reach::of_scopes([*scope]).is_ok());
    Reach::of_scopes(known).unwrap_or(Reach::NOTHING)
}

/// Whether any business has a key or a person: without one a server that has no local mode has nobody to let in. Names no tenant: one of
/// the narrow functions that may look across.
pub(crate) async fn has_credentials(conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"select shop.has_credentials() as "has!""#)
        .fetch_one(conn)
        .await
}

/// Whether the agent speaks for somebody else through this door.
pub(crate) fn is_agent(door: &Door) -> bool {
    matches!(door, Door::Agent { .. })
}
