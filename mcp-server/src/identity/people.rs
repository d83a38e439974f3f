//! How a person logs in with a password.
//!
//! Whoever guesses learns nothing: an unknown business, an unknown person, a wrong password, a disabled or locked-out person get the same
//! answer, after the same queries and the same hash. Failures are counted in the person's row, so all processes count together.

use chrono::{DateTime, TimeDelta, Utc};
use contracts::identity::{Identity, Login, OpenedSession};
use contracts::ids::TenantId;
use contracts::token::PrincipalRole;
use sqlx::PgConnection;
use uuid::Uuid;

use super::passwords::{Checked, PasswordError};
use super::{sessions, stored_reach};
use crate::app::App;
use crate::error::CallError;

/// Failures in a row after which a person is locked out.
const FAILURES_MAX: i32 = 10;
/// For how long.
const LOCKED_OUT: TimeDelta = TimeDelta::minutes(15);
/// Longest name of a person or a business, bytes.
const NAME_BYTES_MAX: usize = 80;
/// Longest password that is looked at, bytes: 128 characters of any script.
const PASSWORD_BYTES_MAX: usize = 512;
/// The tenant and the person that are nobody's: asked about where there is none, so that it takes as long.
const NOBODY: Uuid = Uuid::nil();

/// Why nobody was let in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotLoggedIn {
    /// The business, the name or the password is not right, or the person may not log in now. Never said which.
    #[error("refused")]
    Refused,
    /// Too many others are logging in.
    #[error("too many log-ins at once")]
    Busy,
    /// The database or the hash failed.
    #[error("{0}")]
    Fault(#[from] CallError),
}

impl From<sqlx::Error> for NotLoggedIn {
    fn from(error: sqlx::Error) -> NotLoggedIn {
        NotLoggedIn::Fault(error.into())
    }
}

impl From<PasswordError> for NotLoggedIn {
    fn from(error: PasswordError) -> NotLoggedIn {
        match error {
            PasswordError::Busy => NotLoggedIn::Busy,
            PasswordError::Broken(what) => NotLoggedIn::Fault(CallError::Broken(what)),
        }
    }
}

/// Lets a person in, if that is who it is, and opens a session.
///
/// # Errors
/// [`NotLoggedIn`].
pub(crate) async fn log_in(app: &App, login: Login) -> Result<OpenedSession, NotLoggedIn> {
    let (shop, name) = (as_stored(&login.shop), as_stored(&login.name));
    let mut conn = app.pool.acquire().await?;
    let tenant = tenant_of(&mut conn, &shop).await?;
    drop(conn);
    let tenant = TenantId(tenant.unwrap_or(NOBODY));
    let mut tx = app.begin(tenant).await?;
    let stored = find_hash(&mut tx, tenant, &name).await?;
    tx.commit().await?;
    // No connection is kept while the hash is computed.
    let mut password = login.password;
    if password.len() > PASSWORD_BYTES_MAX {
        password.clear();
    }
    let checked = app
        .passwords
        .check(password.clone(), stored.clone())
        .await?;
    let new_hash = match checked {
        Checked::RightButOld => Some(app.passwords.hash(password).await?),
        Checked::Right | Checked::Wrong => None,
    };
    let tried = Tried {
        stored,
        is_right: checked != Checked::Wrong,
        new_hash,
    };
    settle(app, tenant, &name, tried).await
}

/// A password that was looked at.
struct Tried {
    /// The hash it was compared with.
    stored: Option<String>,
    is_right: bool,
    new_hash: Option<String>,
}

/// Counts, locks out or lets in, with the person's row locked: however many try at once, each counts.
async fn settle(
    app: &App,
    tenant: TenantId,
    name: &str,
    tried: Tried,
) -> Result<OpenedSession, NotLoggedIn> {
    let now = app.clock.now();
    let mut tx = app.begin(tenant).await?;
    let person = lock(&mut tx, tenant, name).await?;
    let may = person.as_ref().is_some_and(|p| p.may_log_in(now, &tried));
    match person {
        Some(person) if may && tried.is_right => {
            note_success(&mut tx, tenant, person.id, tried.new_hash).await?;
            let opened = sessions::open(app, &mut tx, tenant, person.id, now).await?;
            tx.commit().await.map_err(CallError::of_commit)?;
            Ok(OpenedSession {
                token: opened.token,
                identity: person.identity(tenant, opened.expires_at),
            })
        }
        person => {
            // A failure that is lost with the machine's power is one guess more; waiting for the disk would tell whether there is such
            // a person.
            dont_wait_for_the_disk(&mut tx).await?;
            let counted = person.filter(|_| may).map_or(NOBODY, |p| p.id);
            let until = now + LOCKED_OUT;
            if note_failure(&mut tx, tenant, counted, until).await? {
                tracing::warn!(%tenant, "somebody is locked out after too many wrong passwords");
            }
            tx.commit().await?;
            tracing::info!("a log-in was refused");
            Err(NotLoggedIn::Refused)
        }
    }
}

/// A name as it is stored; nothing for what can be none.
fn as_stored(typed: &str) -> String {
    let name = typed.trim().to_lowercase();
    if name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return String::new();
    }
    name
}

struct Person {
    id: Uuid,
    subject: String,
    name: String,
    role: String,
    customer_id: Option<Uuid>,
    scopes: Vec<String>,
    password_hash: Option<String>,
    locked_until: Option<DateTime<Utc>>,
    disabled_at: Option<DateTime<Utc>>,
    suspended_at: Option<DateTime<Utc>>,
}

impl Person {
    /// Whether an attempt counts at all: not while locked out, and not with a password that was changed meanwhile.
    fn may_log_in(&self, now: DateTime<Utc>, tried: &Tried) -> bool {
        self.disabled_at.is_none()
            && self.suspended_at.is_none()
            && self.locked_until.is_none_or(|until| until <= now)
            && self.password_hash == tried.stored
    }

    fn identity(self, tenant: TenantId, expires_at: DateTime<Utc>) -> Identity {
        Identity {
            tenant,
            sub: self.subject,
            name: self.name,
            // The table admits only the three words.
            role: PrincipalRole::from_word(&self.role).unwrap_or(PrincipalRole::Customer),
            customer: self.customer_id,
            scopes: stored_reach(&self.scopes).scopes(),
            expires_at: Some(expires_at),
        }
    }
}

async fn tenant_of(conn: &mut PgConnection, handle: &str) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!("select shop.tenant_of_handle($1)", handle)
        .fetch_one(conn)
        .await
}

async fn find_hash(
    conn: &mut PgConnection,
    tenant: TenantId,
    subject: &str,
) -> Result<Option<String>, sqlx::Error> {
    let found = sqlx::query_scalar!(
        "select password_hash from shop.people where tenant_id = $1 and subject = $2",
        tenant.0,
        subject
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.flatten())
}

async fn lock(
    conn: &mut PgConnection,
    tenant: TenantId,
    subject: &str,
) -> Result<Option<Person>, sqlx::Error> {
    sqlx::query_as!(
        Person,
        "select p.id, p.subject, p.name, p.role, p.customer_id, p.scopes, p.password_hash, p.locked_until, p.disabled_at, t.suspended_at
         from shop.people p join shop.tenants t on t.id = p.tenant_id
         where p.tenant_id = $1 and p.subject = $2 for no key update of p",
        tenant.0,
        subject
    )
    .fetch_optional(conn)
    .await
}

async fn dont_wait_for_the_disk(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("set local synchronous_commit = off")
        .execute(conn)
        .await?;
    Ok(())
}

/// Whether the person is locked out from now on.
async fn note_failure(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    until: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let locked = sqlx::query_scalar!(
        r#"update shop.people
           set failed_logins = case when failed_logins + 1 >= $3 then 0 else failed_logins + 1 end,
               locked_until = case when failed_logins + 1 >= $3 then $4 else locked_until end
           where tenant_id = $1 and id = $2 returning (failed_logins = 0) as "locked!""#,
        tenant.0,
        id,
        FAILURES_MAX,
        until
    )
    .fetch_optional(conn)
    .await?;
    Ok(locked.unwrap_or(false))
}

async fn note_success(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    new_hash: Option<String>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update shop.people set failed_logins = 0, locked_until = null, password_hash = coalesce($3, password_hash)
         where tenant_id = $1 and id = $2",
        tenant.0,
        id,
        new_hash
    )
    .execute(conn)
    .await?;
    Ok(())
}
