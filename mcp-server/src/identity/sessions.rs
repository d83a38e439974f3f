//! Sessions: what stands for a person who has logged in on a page of ours or of the agent's.
//!
//! A session lasts [`LASTS`], whatever is done with it. It ends before with a log-out, a new password, a disabled person, a suspended
//! business. Role and scopes are the person's of the moment, not those of the log-in.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router, middleware};
use chrono::{DateTime, TimeDelta, Utc};
use contracts::identity::{Credential, END_SESSION_PATH, Login, SESSIONS_PATH};
use contracts::ids::TenantId;
use contracts::token::PrincipalRole;
use migrations::clock::new_id;
use serde_json::json;
use sqlx::PgConnection;
use std::sync::Arc;
use uuid::Uuid;

use super::introspect::only_the_agent;
use super::people::{self, NotLoggedIn};
use super::secret::{self, Secret};
use super::{Known, NotKnown, Seen, stored_reach};
use crate::app::App;
use crate::caller::{Caller, Door};
use crate::error::CallError;

/// How a session's token begins.
pub(crate) const PREFIX: &str = "css_";
/// The cookie that carries it.
pub(crate) const COOKIE: &str = "countersign_session";
/// How long a session lasts.
pub(crate) const LASTS: TimeDelta = TimeDelta::hours(12);
/// How long a session is kept after its end, for whoever asks what happened.
const KEPT: TimeDelta = TimeDelta::days(7);

/// A session that was opened.
pub(crate) struct Opened {
    /// The token, told this once.
    pub(crate) token: String,
    /// When it ends by itself.
    pub(crate) expires_at: DateTime<Utc>,
}

/// Opens a session for a person. The caller commits.
pub(crate) async fn open(
    app: &App,
    conn: &mut PgConnection,
    tenant: TenantId,
    person: Uuid,
    now: DateTime<Utc>,
) -> Result<Opened, sqlx::Error> {
    let id = new_id(&*app.clock);
    let (token, hash) = secret::make(PREFIX, tenant, id);
    let expires_at = now + LASTS;
    insert(conn, tenant, id, person, &hash, now, expires_at).await?;
    Ok(Opened { token, expires_at })
}

/// The person a token stands for.
///
/// # Errors
/// [`NotKnown`]; the same for what never was and what no longer is.
pub(crate) async fn verify(app: &App, token: &str, now: DateTime<Utc>) -> Result<Seen, NotKnown> {
    let brought =
        Secret::read(PREFIX, token).ok_or_else(|| NotKnown::invalid("no session's token"))?;
    let revocations = app.identities.revoked_so_far(brought.tenant);
    let mut tx = app.begin_reading(brought.tenant).await?;
    let found = find(&mut tx, brought.tenant, brought.id).await?;
    let live = found.filter(|f| brought.is(&f.token_hash) && f.is_live(now));
    let found = live.ok_or_else(|| NotKnown::invalid("no session, or one that has ended"))?;
    let reach = stored_reach(&found.scopes);
    let known = Known {
        caller: Caller {
            tenant: brought.tenant,
            subject: found.subject,
            // The table admits only the three words.
            role: PrincipalRole::from_word(&found.role).unwrap_or(PrincipalRole::Customer),
            customer: found.customer_id,
            reach,
            door: Door::Session,
        },
        name: found.name,
        attainable: reach,
        expires_at: Some(found.expires_at),
    };
    Ok(Seen { known, revocations })
}

/// Ends the session of a token, if it is one that goes on.
///
/// # Errors
/// When the database fails.
pub(crate) async fn end(app: &App, token: &str) -> Result<(), CallError> {
    let Some(brought) = Secret::read(PREFIX, token) else {
        return Ok(());
    };
    let mut tx = app.begin(brought.tenant).await?;
    let found = find(&mut tx, brought.tenant, brought.id).await?;
    if found.is_some_and(|f| brought.is(&f.token_hash)) {
        set_ended(&mut tx, brought.tenant, brought.id, app.clock.now()).await?;
    }
    tx.commit().await.map_err(CallError::of_commit)?;
    app.identities.forget(brought.tenant);
    Ok(())
}

/// Ends every session of a person. The caller commits, and then has the tenant's identities forgotten.
pub(crate) async fn end_all(
    conn: &mut PgConnection,
    tenant: TenantId,
    person: Uuid,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    set_all_ended(conn, tenant, person, now).await
}

/// Forgets the sessions that ended a while ago.
pub(crate) async fn sweep(
    conn: &mut PgConnection,
    tenant: TenantId,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    delete_lapsed(conn, tenant, now - KEPT).await
}

/// Where the agent opens and ends sessions for people who log in on its pages.
pub(crate) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route(SESSIONS_PATH, post(open_for_agent))
        .route(END_SESSION_PATH, post(end_for_agent))
        .route_layer(middleware::from_fn_with_state(
            Arc::clone(app),
            only_the_agent,
        ))
}

async fn open_for_agent(State(app): State<Arc<App>>, Json(login): Json<Login>) -> Response {
    let said =
        |status: StatusCode, text: &str| (status, Json(json!({"error": text}))).into_response();
    match people::log_in(&app, login).await {
        Ok(opened) => Json(opened).into_response(),
        Err(NotLoggedIn::Refused) => said(
            StatusCode::UNAUTHORIZED,
            "The shop, the name or the password is not right, or there were too many attempts. Try again, or wait a quarter of an hour.",
        ),
        Err(error @ NotLoggedIn::Busy) => {
            tracing::warn!(%error, "log-in");
            let mut response = said(
                StatusCode::TOO_MANY_REQUESTS,
                "Too many people are logging in. Try again in a few seconds.",
            );
            let soon = header::HeaderValue::from_static("5");
            response.headers_mut().insert(header::RETRY_AFTER, soon);
            response
        }
        Err(NotLoggedIn::Fault(error)) => {
            tracing::error!(%error, "log-in");
            said(
                StatusCode::SERVICE_UNAVAILABLE,
                "Unable to reach the system. Please try again.",
            )
        }
    }
}

async fn end_for_agent(State(app): State<Arc<App>>, Json(ended): Json<Credential>) -> Response {
    match end(&app, &ended.token).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => {
            tracing::error!(%error, "log-out");
            let told = json!({"error": "Unable to reach the system. Please try again."});
            (StatusCode::SERVICE_UNAVAILABLE, Json(told)).into_response()
        }
    }
}

/// Where the cookie counts: on pages, and on the administration that pages may use. Never for `/mcp`, which pages of others on this
/// machine may call: a browser takes them for the same site, whatever their port, and would send the cookie along.
const COOKIE_PATHS: [&str; 4] = ["/approvals/", "/bills/", "/bookings/", "/admin/"];

/// The session's token of a request for a path where cookies count.
pub(crate) fn cookie_for<'a>(path: &str, headers: &'a HeaderMap) -> Option<&'a str> {
    let counts = COOKIE_PATHS.iter().any(|prefix| path.starts_with(prefix))
        && !headers.contains_key(header::AUTHORIZATION);
    counts.then(|| cookie(headers)).flatten()
}

/// The token in a request's cookie. Of several cookies of the name the first counts: it is of the longest path.
pub(crate) fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE).then_some(value))
        .filter(|value| value.starts_with(PREFIX))
}

struct Found {
    token_hash: Vec<u8>,
    expires_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
    subject: String,
    name: String,
    role: String,
    customer_id: Option<Uuid>,
    scopes: Vec<String>,
    disabled_at: Option<DateTime<Utc>>,
    suspended_at: Option<DateTime<Utc>>,
}

impl Found {
    fn is_live(&self, now: DateTime<Utc>) -> bool {
        self.expires_at > now
            && self.ended_at.is_none()
            && self.disabled_at.is_none()
            && self.suspended_at.is_none()
    }
}

async fn find(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
) -> Result<Option<Found>, sqlx::Error> {
    sqlx::query_as!(
        Found,
        "select s.token_hash, s.expires_at, s.ended_at, p.subject, p.name, p.role, p.customer_id, p.scopes, p.disabled_at, t.suspended_at
         from shop.sessions s
         join shop.people p on p.tenant_id = s.tenant_id and p.id = s.person_id
         join shop.tenants t on t.id = s.tenant_id
         where s.tenant_id = $1 and s.id = $2",
        tenant.0,
        id
    )
    .fetch_optional(conn)
    .await
}

async fn insert(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    person: Uuid,
    hash: &[u8; 32],
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into shop.sessions (tenant_id, id, token_hash, person_id, created_at, expires_at) values ($1, $2, $3, $4, $5, $6)",
        tenant.0,
        id,
        &hash[..],
        person,
        now,
        expires_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn set_ended(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update shop.sessions set ended_at = $3 where tenant_id = $1 and id = $2 and ended_at is null",
        tenant.0,
        id,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn set_all_ended(
    conn: &mut PgConnection,
    tenant: TenantId,
    person: Uuid,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update shop.sessions set ended_at = $3 where tenant_id = $1 and person_id = $2 and ended_at is null",
        tenant.0,
        person,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn delete_lapsed(
    conn: &mut PgConnection,
    tenant: TenantId,
    before: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from shop.sessions where tenant_id = $1 and expires_at < $2",
        tenant.0,
        before
    )
    .execute(conn)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_found_among_others() {
        let of = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::COOKIE, line.parse().unwrap());
            }
            cookie(&headers).map(str::to_owned)
        };
        assert_eq!(
            of(&["a=b; countersign_session=css_x; c=d"]).as_deref(),
            Some("css_x")
        );
        assert_eq!(
            of(&["a=b", "countersign_session=css_y"]).as_deref(),
            Some("css_y")
        );
        assert_eq!(
            of(&["countersign_session=csk_x"]),
            None,
            "a key is no session"
        );
        assert_eq!(of(&["countersign_sessions=css_x", "x"]), None);
        assert_eq!(of(&[]), None);
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, "countersign_session=css_x".parse().unwrap());
        assert_eq!(cookie_for("/approvals/1", &headers), Some("css_x"));
        for path in ["/mcp", "/mcp/", "/identity/sessions", "/approvals"] {
            assert_eq!(cookie_for(path, &headers), None, "{path}");
        }
        headers.insert(header::AUTHORIZATION, "Bearer csk_x".parse().unwrap());
        assert_eq!(
            cookie_for("/approvals/1", &headers),
            None,
            "what is said goes before what is sent along"
        );
    }
}
