//! The businesses of an installation, which its operator makes, suspends and renames. What is in them is their owners'.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use contracts::ids::TenantId;
use contracts::locale::Locale;
use contracts::scope::Reach;
use contracts::token::PrincipalRole;
use migrations::clock::new_id;
use migrations::keys;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use super::page::Page;
use super::people::{self, Person, checked_subject};
use super::problem::{Code, Problem};
use super::settings::{
    checked_country, checked_currency, checked_handle, checked_locale, checked_name, checked_zone,
    handle_taken,
};
use super::{Asked, Given, record, seen};
use crate::app::App;
use crate::caller::{Caller, Door};
use crate::cursor;
use crate::error::CallError;
use crate::handler::Audit;
use crate::identity::introspect::bearer;

/// Whoever runs the installation, by the name the audit log gets. No person's name has a colon.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operator(pub(crate) &'static str);

impl Operator {
    /// With the operator's key.
    pub(crate) const BY_KEY: Operator = Operator("operator:api");
    /// At the machine.
    pub(crate) const AT_HAND: Operator = Operator("operator:cli");

    /// The operator as who acts upon a business.
    pub(crate) fn upon(self, tenant: TenantId) -> Caller {
        Caller {
            tenant,
            subject: self.0.to_owned(),
            role: PrincipalRole::Owner,
            customer: None,
            reach: Reach::EVERYTHING,
            door: Door::Local,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Operator, Problem> {
        parts
            .extensions
            .get::<Operator>()
            .copied()
            .ok_or_else(unknown)
    }
}

/// Lets nobody through but whoever has the operator's key.
pub(crate) async fn only_the_operator(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let brought = bearer(request.headers()).and_then(keys::from_text);
    let is_it = match (brought, app.operator_key) {
        (Some(brought), Some(key)) => bool::from(brought.ct_eq(&key)),
        _ => false,
    };
    if is_it {
        request.extensions_mut().insert(Operator::BY_KEY);
        return next.run(request).await;
    }
    let mut response = unknown().into_response();
    let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, challenge);
    response
}

fn unknown() -> Problem {
    Problem::new(
        Code::Unauthenticated,
        "Send the operator's key: `Authorization: Bearer …`.",
    )
}

/// A business, as its operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tenant {
    pub(crate) id: Uuid,
    pub(crate) handle: Option<String>,
    pub(crate) name: String,
    pub(crate) currency: String,
    pub(crate) created_at: DateTime<Utc>,
    /// Since when nobody is let in.
    pub(crate) suspended_at: Option<DateTime<Utc>>,
}

/// A page of businesses.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Tenants {
    pub(crate) tenants: Vec<Tenant>,
    /// Where the next page starts; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

/// A business that was made, with its first owner's password where it was made up: shown this once.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Made {
    pub(crate) tenant: Tenant,
    pub(crate) owner: Person,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTenant {
    handle: String,
    name: String,
    currency: String,
    #[serde(default)]
    country: Option<String>,
    #[serde(default)]
    time_zone: Option<String>,
    #[serde(default)]
    locale: Option<String>,
    owner: FirstOwner,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FirstOwner {
    subject: String,
    name: String,
    #[serde(default, skip_serializing)]
    password: Option<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Change {
    #[serde(skip_serializing_if = "Option::is_none")]
    handle: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suspended: Option<bool>,
}

/// `GET /admin/v1/tenants?cursor=&limit=`
pub(crate) async fn list(
    _: Operator,
    State(app): State<Arc<App>>,
    Asked(page): Asked<Page>,
) -> Result<Json<Tenants>, Problem> {
    let limit = page.limit("businesses")?;
    let after = page.after::<Uuid>()?;
    let mut conn = app.pool.acquire().await?;
    let mut tenants = select_page(&mut conn, after, i32::from(limit) + 1).await?;
    let is_last = tenants.len() <= usize::from(limit);
    tenants.truncate(limit.into());
    let next = tenants
        .last()
        .filter(|_| !is_last)
        .map(|tenant| cursor::write(&tenant.id));
    Ok(Json(Tenants { tenants, next }))
}

/// `POST /admin/v1/tenants`
pub(crate) async fn create(
    operator: Operator,
    State(app): State<Arc<App>>,
    Given(new): Given<NewTenant>,
) -> Result<(StatusCode, Json<Made>), Problem> {
    let now = app.clock.now();
    let id = new_id(&*app.clock);
    let tenant = Tenant {
        id,
        handle: Some(checked_handle(&new.handle)?),
        name: checked_name(&new.name)?,
        currency: checked_currency(&new.currency)?.code().to_owned(),
        created_at: now,
        suspended_at: None,
    };
    let country = new.country.as_deref().map(checked_country).transpose()?;
    let zone = checked_zone(new.time_zone.as_deref().unwrap_or("UTC"))?;
    let locale = checked_locale(new.locale.as_deref().unwrap_or("en"))?;
    let owner = first_owner(&new.owner, now)?;
    let given = new.owner.password.as_ref();
    let (hash, told) = people::password(&app, &owner.subject, given, given.is_none())
        .await
        .map_err(|problem| problem.at("owner.password"))?;
    let by = operator.upon(TenantId(id));
    let mut tx = app.begin(by.tenant).await?;
    insert(&mut tx, &tenant, country.as_deref(), zone.name(), locale).await?;
    people::insert(
        &mut tx,
        by.tenant,
        new_id(&*app.clock),
        &owner,
        hash.as_ref(),
    )
    .await?;
    let audit = Audit {
        subject: format!("tenant:{id}"),
        before: None,
        after: seen(&tenant),
    };
    record(&mut tx, &app, &by, "admin.tenants.create", &new, &audit).await?;
    tx.commit().await.map_err(CallError::of_commit)?;
    let made = Made {
        tenant,
        owner,
        password: told,
    };
    Ok((StatusCode::CREATED, Json(made)))
}

/// `PATCH /admin/v1/tenants/{id}`, by id or handle.
pub(crate) async fn change(
    operator: Operator,
    State(app): State<Arc<App>>,
    Path(named): Path<String>,
    Given(change): Given<Change>,
) -> Result<Json<Tenant>, Problem> {
    let id = identified(&app, &named).await?;
    let by = operator.upon(TenantId(id));
    let mut tx = app.begin(by.tenant).await?;
    let before = lock(&mut tx, id).await?.ok_or_else(missing)?;
    let mut after = before.clone();
    if let Some(handle) = &change.handle {
        after.handle = Some(checked_handle(handle)?);
    }
    if let Some(name) = &change.name {
        after.name = checked_name(name)?;
    }
    match change.suspended {
        Some(true) => after.suspended_at = after.suspended_at.or_else(|| Some(app.clock.now())),
        Some(false) => after.suspended_at = None,
        None => {}
    }
    if after == before {
        return Ok(Json(after));
    }
    update(&mut tx, &after).await?;
    let audit = Audit {
        subject: format!("tenant:{id}"),
        before: seen(&before),
        after: seen(&after),
    };
    record(&mut tx, &app, &by, "admin.tenants.change", &change, &audit).await?;
    tx.commit().await.map_err(CallError::of_commit)?;
    app.identities.forget(by.tenant);
    app.forget_shop(by.tenant);
    Ok(Json(after))
}

/// The business of an id or a handle.
///
/// # Errors
/// When there is none.
pub(crate) async fn identified(app: &App, named: &str) -> Result<Uuid, Problem> {
    if let Ok(id) = named.parse() {
        return Ok(id);
    }
    if named.contains('\0') {
        return Err(missing());
    }
    let mut conn = app.pool.acquire().await?;
    find_handle(&mut conn, named).await?.ok_or_else(missing)
}

fn missing() -> Problem {
    Problem::missing("There is no such business. `GET /admin/v1/tenants` lists those there are.")
}

fn first_owner(given: &FirstOwner, now: DateTime<Utc>) -> Result<Person, Problem> {
    Ok(Person {
        subject: checked_subject(&given.subject).map_err(|p| p.at("owner.subject"))?,
        name: people::checked_name(&given.name).map_err(|p| p.at("owner.name"))?,
        role: PrincipalRole::Owner,
        customer: None,
        scopes: vec!["admin".to_owned(), "all:commit".to_owned()],
        has_password: true,
        account: None,
        locked_until: None,
        created_at: now,
        disabled_at: None,
    })
}

fn taken(error: sqlx::Error) -> Problem {
    let error = CallError::Database(error);
    if error.constraint() == Some("tenants_handle") {
        handle_taken()
    } else {
        error.into()
    }
}

async fn select_page(
    conn: &mut PgConnection,
    after: Option<Uuid>,
    most: i32,
) -> Result<Vec<Tenant>, sqlx::Error> {
    sqlx::query_as!(
        Tenant,
        r#"select id as "id!", handle, name as "name!", currency as "currency!", created_at as "created_at!", suspended_at
           from shop.all_tenants($1, $2)"#,
        after,
        most
    )
    .fetch_all(conn)
    .await
}

async fn find_handle(conn: &mut PgConnection, handle: &str) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!("select shop.tenant_of_handle($1)", handle)
        .fetch_one(conn)
        .await
}

async fn lock(conn: &mut PgConnection, id: Uuid) -> Result<Option<Tenant>, sqlx::Error> {
    sqlx::query_as!(
        Tenant,
        "select id, handle, name, currency, created_at, suspended_at from shop.tenants where id = $1 for no key update",
        id
    )
    .fetch_optional(conn)
    .await
}

async fn insert(
    conn: &mut PgConnection,
    tenant: &Tenant,
    country: Option<&str>,
    time_zone: &str,
    locale: Locale,
) -> Result<(), Problem> {
    sqlx::query!(
        "insert into shop.tenants (id, handle, name, currency, country, time_zone, locale, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        tenant.id,
        tenant.handle,
        tenant.name,
        tenant.currency,
        country,
        time_zone,
        locale.tag(),
        tenant.created_at
    )
    .execute(conn)
    .await
    .map_err(taken)?;
    Ok(())
}

async fn update(conn: &mut PgConnection, tenant: &Tenant) -> Result<(), Problem> {
    sqlx::query!(
        "update shop.tenants set handle = $2, name = $3, suspended_at = $4 where id = $1",
        tenant.id,
        tenant.handle,
        tenant.name,
        tenant.suspended_at
    )
    .execute(conn)
    .await
    .map_err(taken)?;
    Ok(())
}
