//! What every call and page shares.

use std::sync::Arc;
use std::time::Duration;

use contracts::ids::TenantId;
use contracts::locale::Locale;
use contracts::scope::Reach;
use migrations::clock::SharedClock;
use migrations::database;
pub use migrations::hooks::Hooks;
use migrations::keys::Key;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use tokio_util::sync::CancellationToken;

use crate::caller::Caller;
use crate::changes::Changes;
use crate::error::CallError;
use crate::handler::{Call, Shop, UnaskedClients};
use crate::http::turns::Turns;
use crate::identity::Identities;
use crate::identity::agent_tokens::AgentKeys;
use crate::identity::jwt::AuthServer;
use crate::identity::passwords::Passwords;
use crate::limits::Limits;
use crate::metrics::Watch;
use crate::outgoing::Outgoing;
use crate::providers::Providers;

/// What every call and page shares. Holds no state a restart would lose.
pub struct App {
    /// Connections that run as a role for which row level security is real.
    pub pool: PgPool,
    /// Connections that stay the same session for as long as they are held, which `pool` may not give behind a pooler; for listening.
    pub direct: PgPool,
    /// The time.
    pub clock: SharedClock,
    /// Where people reach our pages, without a slash at the end.
    pub public_url: String,
    /// The key the agent signs its tokens with.
    pub agent_token_key: Key,
    /// Checks the agent's tokens: that key, and while keys are exchanged the one before.
    pub agent_keys: AgentKeys,
    /// Whoever has been known lately.
    pub identities: Identities,
    /// Hashes passwords, a few at once.
    pub passwords: Passwords,
    /// What the operator's key has to be; none where nobody makes businesses over the network.
    pub operator_key: Option<Key>,
    /// The authorization server whose tokens are taken, if any.
    pub auth_server: Option<Arc<AuthServer>>,
    /// How many requests are taken of whom.
    pub limits: Limits,
    /// How many calls are worked on at once.
    pub(crate) turns: Turns,
    /// The most that anybody may reach through this server, by its settings.
    pub within: Reach,
    /// Nothing is written, whoever asks.
    pub read_only: bool,
    /// Derives the tokens of questions.
    pub confirmation_key: Key,
    /// Callers without a token are the local owner. Only ever on loopback.
    pub local_mode: bool,
    /// How long one call may take.
    pub call_deadline: Duration,
    /// Places where a test may stop or break a call.
    pub hooks: Hooks,
    /// How others are reached.
    pub outgoing: Outgoing,
    /// Who moves money that leaves the process.
    pub providers: Providers,
    /// Cancelled when the program is told to stop: nobody should send it more, while it still answers whoever does; whoever only waits
    /// ends then.
    pub stopping: CancellationToken,
    /// Whether `/metrics` is served with everything else, to callers on this machine; otherwise it has a port of its own.
    pub metrics_here: bool,
    /// What operators were last told.
    pub watch: Watch,
    /// Who wants to be told of changes.
    pub(crate) changes: Changes,
    shops: moka::sync::Cache<TenantId, Arc<Shop>>,
}

/// Requests of one principal in a minute, where the settings say nothing else.
pub const RATE_PER_MINUTE: u32 = 1200;
/// How long a tenant's settings are used before they are read again.
const SHOP_CACHE: Duration = Duration::from_secs(5);
/// Tenants whose settings are kept.
const SHOPS_MAX: u64 = 10_000;

impl App {
    /// Puts the parts together.
    #[must_use]
    pub fn new(
        pool: PgPool,
        clock: SharedClock,
        public_url: String,
        agent_token_key: Key,
        confirmation_key: Key,
    ) -> App {
        let connections = pool.options().get_max_connections();
        App {
            direct: pool.clone(),
            pool,
            clock,
            public_url,
            agent_token_key,
            agent_keys: AgentKeys::new(agent_token_key, None),
            identities: Identities::default(),
            passwords: Passwords::default(),
            operator_key: None,
            auth_server: None,
            limits: Limits::new(RATE_PER_MINUTE),
            turns: Turns::for_connections(connections),
            within: Reach::EVERYTHING,
            read_only: false,
            confirmation_key,
            local_mode: true,
            call_deadline: Duration::from_secs(10),
            hooks: Hooks::default(),
            outgoing: Outgoing::default(),
            providers: Providers::default(),
            stopping: CancellationToken::new(),
            metrics_here: true,
            watch: Watch::default(),
            changes: Changes::default(),
            shops: moka::sync::Cache::builder()
                .max_capacity(SHOPS_MAX)
                .time_to_live(SHOP_CACHE)
                .build(),
        }
    }

    /// A transaction with the tenant set: [`database::begin`].
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn begin(
        &self,
        tenant: TenantId,
    ) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        database::begin(&self.pool, tenant.0).await
    }

    /// The public address of `/mcp`.
    #[must_use]
    pub fn resource(&self) -> String {
        format!("{}/mcp", self.public_url)
    }

    /// A call of `caller` in a transaction of [`App::begin`], at the present time, in the shop's language.
    pub(crate) fn call<'a>(
        &'a self,
        conn: &'a mut PgConnection,
        shop: &'a Shop,
        caller: &'a Caller,
    ) -> Call<'a> {
        Call {
            conn,
            shop,
            caller,
            locale: shop.locale,
            now: self.clock.now(),
            public_url: &self.public_url,
            providers: self.providers.configured(),
            confirmation: None,
            clock: &*self.clock,
        }
    }

    /// A transaction that sees one moment and cannot write: [`database::begin_reading`].
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn begin_reading(
        &self,
        tenant: TenantId,
    ) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        database::begin_reading(&self.pool, tenant.0).await
    }

    /// [`App::shop`] without a transaction of the caller's.
    ///
    /// # Errors
    /// As [`App::shop`].
    pub async fn known_shop(&self, tenant: TenantId) -> Result<Arc<Shop>, CallError> {
        if let Some(shop) = self.shops.get(&tenant) {
            return Ok(shop);
        }
        let mut tx = self.begin(tenant).await?;
        self.shop(&mut tx, tenant).await
    }

    /// From now on this process reads the tenant's settings again; others do within five seconds.
    pub fn forget_shop(&self, tenant: TenantId) {
        self.shops.invalidate(&tenant);
    }

    /// What the tenant has settled for itself, at most five seconds old.
    ///
    /// # Errors
    /// [`CallError::Broken`] for a tenant that is not there.
    pub async fn shop(
        &self,
        conn: &mut PgConnection,
        tenant: TenantId,
    ) -> Result<Arc<Shop>, CallError> {
        if let Some(shop) = self.shops.get(&tenant) {
            return Ok(shop);
        }
        let shop = Arc::new(read_shop(conn, tenant).await?);
        self.shops.insert(tenant, Arc::clone(&shop));
        Ok(shop)
    }
}

async fn read_shop(conn: &mut PgConnection, tenant: TenantId) -> Result<Shop, CallError> {
    let row = sqlx::query!(
        "select name, currency, country, time_zone, locale, tax_inclusive, allow_negative_stock, confirmation_ttl_seconds, unasked_clients
         from shop.tenants where id = $1",
        tenant.0
    )
    .fetch_optional(conn)
    .await?
    .ok_or_else(|| CallError::Broken(format!("tenant {tenant} does not exist")))?;
    let broken = |what: &str| CallError::Broken(format!("tenant {tenant}: {what}"));
    Ok(Shop {
        tenant,
        name: row.name,
        currency: row.currency.parse().map_err(|_| broken("currency"))?,
        country: row
            .country
            .map(|code| code.parse().map_err(|_| broken("country")))
            .transpose()?,
        time_zone: row.time_zone.parse().map_err(|_| broken("time zone"))?,
        locale: Locale::from_tag(&row.locale).unwrap_or_default(),
        tax_inclusive: row.tax_inclusive,
        allow_negative_stock: row.allow_negative_stock,
        confirmation_ttl: Duration::from_secs(row.confirmation_ttl_seconds.unsigned_abs().into()),
        unasked_clients: match row.unasked_clients.as_str() {
            "token" => UnaskedClients::Token,
            "refuse" => UnaskedClients::Refuse,
            _ => UnaskedClients::Page,
        },
    })
}
