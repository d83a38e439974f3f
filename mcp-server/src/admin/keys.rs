//! Keys of the programs that call a business's tools.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use chrono::{DateTime, TimeDelta, Utc};
use contracts::token::PrincipalRole;
use migrations::clock::new_id;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::page::Page;
use super::people::{checked_scopes, customer_of};
use super::problem::{Code, Problem};
use super::{Asked, Given, Owner, record, seen};
use crate::app::App;
use crate::cursor;
use crate::error::CallError;
use crate::handler::Audit;
use crate::identity::keys::{self, KeyError, NewKey};

/// Longest life that is given in days: a hundred years.
const DAYS_MAX: u32 = 36_500;

/// A key, without what proves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Key {
    /// What people call it; its principal is `key:<name>`.
    pub(crate) name: String,
    pub(crate) role: PrincipalRole,
    pub(crate) customer: Option<Uuid>,
    pub(crate) scopes: Vec<String>,
    pub(crate) created_by: String,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) expires_at: Option<DateTime<Utc>>,
    pub(crate) revoked_at: Option<DateTime<Utc>>,
    /// To about a minute.
    pub(crate) last_used_at: Option<DateTime<Utc>>,
}

impl From<keys::Key> for Key {
    fn from(key: keys::Key) -> Key {
        Key {
            name: key.name,
            role: key.role,
            customer: key.customer,
            scopes: key.scopes,
            created_by: key.created_by,
            created_at: key.created_at,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            last_used_at: key.last_used_at,
        }
    }
}

/// A page of keys.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Keys {
    pub(crate) keys: Vec<Key>,
    /// Where the next page starts; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

/// A key that was made. The secret is shown this once and kept nowhere.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Made {
    pub(crate) key: Key,
    pub(crate) secret: String,
}

/// A key that is to be.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    name: String,
    role: PrincipalRole,
    scopes: Vec<String>,
    /// The customer's id or name, for the role customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    customer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_in_days: Option<u32>,
}

/// `GET /admin/v1/keys?cursor=&limit=`: by name, revoked ones as well.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Owner(owner): Owner,
    Asked(page): Asked<Page>,
) -> Result<Json<Keys>, Problem> {
    let limit = page.limit("keys")?;
    let after = page.after::<String>()?;
    let mut tx = app.begin_reading(owner.tenant).await?;
    let mut found = keys::list(
        &mut tx,
        owner.tenant,
        after.as_deref(),
        i64::from(limit) + 1,
    )
    .await?;
    let is_last = found.len() <= usize::from(limit);
    found.truncate(limit.into());
    let next = found
        .last()
        .filter(|_| !is_last)
        .map(|key| cursor::write(&key.name));
    let keys = found.into_iter().map(Key::from).collect();
    Ok(Json(Keys { keys, next }))
}

/// `POST /admin/v1/keys`
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Owner(owner): Owner,
    Given(wanted): Given<Wanted>,
) -> Result<(StatusCode, Json<Made>), Problem> {
    let now = app.clock.now();
    let expires_at = expiry(&wanted, now)?;
    let (_, reach) = checked_scopes(&owner, wanted.scopes.clone())?;
    let mut tx = app.begin(owner.tenant).await?;
    let customer = customer_of(
        &mut tx,
        owner.tenant,
        wanted.role,
        wanted.customer.as_deref(),
    )
    .await?;
    let new = NewKey {
        name: wanted.name.clone(),
        role: wanted.role,
        customer,
        reach,
        expires_at,
        created_by: owner.subject.clone(),
    };
    let id = new_id(&*app.clock);
    let (key, secret) = keys::create(&mut tx, owner.tenant, new, id, now)
        .await
        .map_err(refused)?;
    let key = Key::from(key);
    let audit = Audit {
        subject: format!("key:{}", key.name),
        before: None,
        after: seen(&key),
    };
    record(&mut tx, &app, &owner, "admin.keys.create", &wanted, &audit).await?;
    tx.commit().await.map_err(CallError::of_commit)?;
    Ok((StatusCode::CREATED, Json(Made { key, secret })))
}

/// `DELETE /admin/v1/keys/{name}`: refused from now on. Its name stays its own.
pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    Owner(owner): Owner,
    Path(name): Path<String>,
) -> Result<Json<Key>, Problem> {
    let missing = || {
        Problem::missing(format!(
            "There is no key `{name}`. `GET /admin/v1/keys` lists those there are."
        ))
    };
    if name.contains('\0') {
        return Err(missing());
    }
    let now = app.clock.now();
    let mut tx = app.begin(owner.tenant).await?;
    let revoked = keys::revoke(&mut tx, owner.tenant, &name, now).await?;
    let key = Key::from(revoked.ok_or_else(missing)?);
    if key.revoked_at == Some(now) {
        let before = Key {
            revoked_at: None,
            ..key.clone()
        };
        let audit = Audit {
            subject: format!("key:{name}"),
            before: seen(&before),
            after: seen(&key),
        };
        record(
            &mut tx,
            &app,
            &owner,
            "admin.keys.revoke",
            &json!({"name": name}),
            &audit,
        )
        .await?;
    }
    tx.commit().await.map_err(CallError::of_commit)?;
    app.identities.forget(owner.tenant);
    Ok(Json(key))
}

fn expiry(wanted: &Wanted, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, Problem> {
    match (wanted.expires_at, wanted.expires_in_days) {
        (Some(_), Some(_)) => Err(Problem::value(
            "expires_in_days",
            "Give one of `expires_at` and `expires_in_days`.",
        )),
        (at, None) => Ok(at),
        (None, Some(days @ 1..=DAYS_MAX)) => {
            Ok(now.checked_add_signed(TimeDelta::days(days.into())))
        }
        (None, Some(_)) => Err(Problem::value(
            "expires_in_days",
            format!("Give 1 to {DAYS_MAX} days."),
        )),
    }
}

fn refused(error: KeyError) -> Problem {
    let detail = error.to_string();
    match error {
        KeyError::BadName => Problem::value("name", detail),
        KeyError::NameTaken => Problem::new(Code::Taken, detail).at("name"),
        KeyError::CustomerAndRole | KeyError::NoCustomer => Problem::value("customer", detail),
        KeyError::EndsInThePast => Problem::value("expires_at", detail),
        KeyError::ReachesNothing => Problem::value("scopes", detail),
        KeyError::TooMany => Problem::new(Code::Conflict, detail),
        KeyError::Database(error) => error.into(),
    }
}
