//! API keys: how a program of a business calls the tools.
//!
//! A key's principal is `key:<name>`, so a name is never given twice, not even after it was revoked: questions and the audit carry it.

use chrono::{DateTime, TimeDelta, Utc};
use contracts::ids::TenantId;
use contracts::scope::Reach;
use contracts::token::PrincipalRole;
use sqlx::PgConnection;
use uuid::Uuid;

use super::secret::{self, Secret};
use super::{Known, NotKnown, Seen, stored_reach};
use crate::app::App;
use crate::caller::{Caller, Door};

/// How a key begins.
pub const PREFIX: &str = "csk_";
/// What stands before a key's name in its principal's subject.
pub const SUBJECT_PREFIX: &str = "key:";
/// Longest name, characters.
pub const NAME_CHARS_MAX: usize = 60;
/// Most keys of one business that are not revoked.
pub const KEYS_MAX: i64 = 200;
/// How much older than now the stored last use has to be before it is written again.
const LAST_USE_EVERY: TimeDelta = TimeDelta::minutes(1);

/// A key that is to be made.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// What people call it: 1 to [`NAME_CHARS_MAX`] of letters, digits, `-`, `_`, `.`, never used in this business before.
    pub name: String,
    /// What it may do.
    pub role: PrincipalRole,
    /// The customer it acts as, for [`PrincipalRole::Customer`] and no other.
    pub customer: Option<Uuid>,
    /// How far it may reach within the role.
    pub reach: Reach,
    /// When it ends by itself; `None` for never.
    pub expires_at: Option<DateTime<Utc>>,
    /// The subject of whoever makes it.
    pub created_by: String,
}

/// A key as it is listed, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Names it in the database.
    pub id: Uuid,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub role: PrincipalRole,
    /// The customer it acts as.
    pub customer: Option<Uuid>,
    /// How far it may reach ([`contracts::scope`]).
    pub scopes: Vec<String>,
    /// The subject of whoever made it.
    pub created_by: String,
    /// Since when it is.
    pub created_at: DateTime<Utc>,
    /// When it ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// Since when it is refused.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was last used, to about a minute. A server that only reads does not note it.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// Why no key was made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The name is not of the form a name has.
    #[error("A key's name has 1 to 60 letters, digits, `-`, `_` or `.`.")]
    BadName,
    /// The name was used before.
    #[error(
        "There is or was a key of this name, and the audit knows it by it. Choose another name."
    )]
    NameTaken,
    /// A customer's key without a customer, or a customer for another role.
    #[error("A key with role customer names its customer, and no other key does.")]
    CustomerAndRole,
    /// There is no such customer.
    #[error("There is no such customer.")]
    NoCustomer,
    /// It would end before it begins.
    #[error("The key would have ended already. Choose a time to come.")]
    EndsInThePast,
    /// It could do nothing.
    #[error("The key could do nothing: give it at least one scope, such as `inventory:read`.")]
    ReachesNothing,
    /// Too many keys.
    #[error("There are 200 keys. Revoke one that is no longer used.")]
    TooMany,
    /// The database failed.
    #[error("The database failed: {0}")]
    Database(#[from] sqlx::Error),
}

/// Makes a key. The text is shown once and kept nowhere. The caller commits.
///
/// # Errors
/// [`KeyError`], a sentence for the person.
pub async fn create(
    conn: &mut PgConnection,
    tenant: TenantId,
    new: NewKey,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<(Key, String), KeyError> {
    checked(&new, now)?;
    if count_live(conn, tenant, now).await? >= KEYS_MAX {
        return Err(KeyError::TooMany);
    }
    let (text, hash) = secret::make(PREFIX, tenant, id);
    let scopes = new.reach.scopes();
    insert(conn, tenant, id, &new, &scopes, &hash, now)
        .await
        .map_err(|error| match constraint(&error) {
            Some("api_keys_name") => KeyError::NameTaken,
            Some("api_keys_tenant_id_customer_id_fkey") => KeyError::NoCustomer,
            _ => KeyError::Database(error),
        })?;
    let key = Key {
        id,
        name: new.name,
        role: new.role,
        customer: new.customer,
        scopes,
        created_by: new.created_by,
        created_at: now,
        expires_at: new.expires_at,
        revoked_at: None,
        last_used_at: None,
    };
    Ok((key, text))
}

fn checked(new: &NewKey, now: DateTime<Utc>) -> Result<(), KeyError> {
    let letters = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    let length = new.name.chars().count();
    if !(1..=NAME_CHARS_MAX).contains(&length) || !new.name.chars().all(letters) {
        return Err(KeyError::BadName);
    }
    if (new.role == PrincipalRole::Customer) != new.customer.is_some() {
        return Err(KeyError::CustomerAndRole);
    }
    if new.expires_at.is_some_and(|end| end <= now) {
        return Err(KeyError::EndsInThePast);
    }
    if new.reach == Reach::NOTHING {
        return Err(KeyError::ReachesNothing);
    }
    Ok(())
}

fn constraint(error: &sqlx::Error) -> Option<&str> {
    error.as_database_error().and_then(|e| e.constraint())
}

/// The business's keys by name, revoked ones too: at most `most` after a name.
///
/// # Errors
/// When the database fails.
pub async fn list(
    conn: &mut PgConnection,
    tenant: TenantId,
    after: Option<&str>,
    most: i64,
) -> Result<Vec<Key>, sqlx::Error> {
    select_page(conn, tenant, after.unwrap_or_default(), most).await
}

/// Refuses a key from now on. `None` when there is no such key; revoking again changes nothing. The caller commits and then calls
/// [`super::Identities::forget`], so that this process heeds it at once; others do within [`super::REMEMBERED`].
///
/// # Errors
/// When the database fails.
pub async fn revoke(
    conn: &mut PgConnection,
    tenant: TenantId,
    name: &str,
    now: DateTime<Utc>,
) -> Result<Option<Key>, sqlx::Error> {
    update_revoked(conn, tenant, name, now).await
}

/// Whether the business has any key that is not revoked or ended.
///
/// # Errors
/// When the database fails.
pub async fn any(
    conn: &mut PgConnection,
    tenant: TenantId,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    Ok(count_live(conn, tenant, now).await? > 0)
}

/// Whose key it is.
pub(crate) async fn verify(
    app: &App,
    credential: &str,
    now: DateTime<Utc>,
) -> Result<Seen, NotKnown> {
    let secret =
        Secret::read(PREFIX, credential).ok_or_else(|| NotKnown::invalid("not of a key's form"))?;
    let tenant = secret.tenant;
    let revocations = app.identities.revoked_so_far(tenant);
    let mut tx = app.begin_reading(tenant).await?;
    let found = find(&mut tx, tenant, secret.id).await?;
    drop(tx);
    // An unknown id is compared, too, so that it takes the time of a wrong secret.
    let hash = found.as_ref().map_or(&[0; 32][..], |f| &f.secret_hash);
    let proven = secret.is(hash);
    let Some(found) = found.filter(|_| proven) else {
        return Err(NotKnown::invalid("no such key"));
    };
    if found.revoked_at.is_some() || found.suspended_at.is_some() {
        return Err(NotKnown::invalid(
            "the key is revoked or its shop suspended",
        ));
    }
    if found.expires_at.is_some_and(|end| end <= now) {
        return Err(NotKnown::invalid("the key has ended"));
    }
    let role = PrincipalRole::from_word(&found.role)
        .ok_or_else(|| NotKnown::Unavailable("a key's role is none".to_owned()))?;
    note_use(app, tenant, secret.id, found.last_used_at, now);
    let caller = Caller {
        tenant,
        subject: format!("{SUBJECT_PREFIX}{}", found.name),
        role,
        customer: found.customer_id,
        reach: stored_reach(&found.scopes),
        door: Door::Key(secret.id),
    };
    let known = Known {
        caller,
        name: found.name,
        attainable: Reach::EVERYTHING,
        expires_at: found.expires_at,
    };
    Ok(Seen { known, revocations })
}

/// Notes the use beside the call, which does not wait for it, and does no harm where it cannot be written.
fn note_use(
    app: &App,
    tenant: TenantId,
    id: Uuid,
    last: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) {
    let stale = last.is_none_or(|last| now - last >= LAST_USE_EVERY);
    if !stale || app.read_only {
        return;
    }
    let pool = app.pool.clone();
    tokio::spawn(async move {
        let noted = async {
            let mut tx = migrations::database::begin(&pool, tenant.0).await?;
            update_last_used(&mut tx, tenant, id, now, now - LAST_USE_EVERY).await?;
            tx.commit().await
        };
        if let Err(error) = noted.await {
            tracing::debug!(%error, "the last use of a key was not noted");
        }
    });
}

struct Found {
    name: String,
    secret_hash: Vec<u8>,
    role: String,
    customer_id: Option<Uuid>,
    scopes: Vec<String>,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
    suspended_at: Option<DateTime<Utc>>,
}

async fn find(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
) -> Result<Option<Found>, sqlx::Error> {
    sqlx::query_as!(
        Found,
        "select k.name, k.secret_hash, k.role, k.customer_id, k.scopes, k.expires_at, k.revoked_at, k.last_used_at, t.suspended_at
         from shop.api_keys k join shop.tenants t on t.id = k.tenant_id
         where k.tenant_id = $1 and k.id = $2",
        tenant.0,
        id
    )
    .fetch_optional(conn)
    .await
}

async fn count_live(
    conn: &mut PgConnection,
    tenant: TenantId,
    now: DateTime<Utc>,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from shop.api_keys
           where tenant_id = $1 and revoked_at is null and (expires_at is null or expires_at > $2)"#,
        tenant.0,
        now
    )
    .fetch_one(conn)
    .await
}

async fn insert(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    new: &NewKey,
    scopes: &[String],
    hash: &[u8; 32],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into shop.api_keys (tenant_id, id, name, secret_hash, role, customer_id, scopes, created_by, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        tenant.0,
        id,
        new.name,
        &hash[..],
        new.role.word(),
        new.customer,
        scopes,
        new.created_by,
        now,
        new.expires_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

struct Row {
    id: Uuid,
    name: String,
    role: String,
    customer_id: Option<Uuid>,
    scopes: Vec<String>,
    created_by: String,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
}

impl From<Row> for Key {
    fn from(row: Row) -> Key {
        Key {
            id: row.id,
            name: row.name,
            // The table admits only the three words.
            role: PrincipalRole::from_word(&row.role).unwrap_or(PrincipalRole::Customer),
            customer: row.customer_id,
            scopes: row.scopes,
            created_by: row.created_by,
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            last_used_at: row.last_used_at,
        }
    }
}

async fn select_page(
    conn: &mut PgConnection,
    tenant: TenantId,
    after: &str,
    most: i64,
) -> Result<Vec<Key>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "select id, name, role, customer_id, scopes, created_by, created_at, expires_at, revoked_at, last_used_at
         from shop.api_keys where tenant_id = $1 and name > $2 order by name limit $3",
        tenant.0,
        after,
        most
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Key::from).collect())
}

async fn update_revoked(
    conn: &mut PgConnection,
    tenant: TenantId,
    name: &str,
    now: DateTime<Utc>,
) -> Result<Option<Key>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        "update shop.api_keys set revoked_at = coalesce(revoked_at, $3) where tenant_id = $1 and name = $2
         returning id, name, role, customer_id, scopes, created_by, created_at, expires_at, revoked_at, last_used_at",
        tenant.0,
        name,
        now
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(Key::from))
}

async fn update_last_used(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    now: DateTime<Utc>,
    older_than: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update shop.api_keys set last_used_at = $3 where tenant_id = $1 and id = $2 and (last_used_at is null or last_used_at <= $4)",
        tenant.0,
        id,
        now,
        older_than
    )
    .execute(conn)
    .await?;
    Ok(())
}
