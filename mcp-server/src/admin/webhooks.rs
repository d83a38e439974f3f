//! Who is told what happens in a business.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use migrations::clock::new_id;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::problem::{Code, Problem};
use super::{Asked, Given, Owner, record, seen};
use crate::app::App;
use crate::error::CallError;
use crate::handler::Audit;
use crate::outgoing;
use crate::webhooks::admin::{self, AdminError};

/// An address that is told something.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    pub(crate) id: Uuid,
    pub(crate) url: String,
    pub(crate) topics: Vec<String>,
    /// `active` or `disabled`.
    pub(crate) status: String,
    /// Why it is disabled.
    pub(crate) reason: Option<String>,
    /// Deliveries that wait.
    pub(crate) pending: i64,
    /// Deliveries that were given up.
    pub(crate) dead: i64,
}

/// All of them: there are never more than a few.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Endpoints {
    pub(crate) endpoints: Vec<Endpoint>,
}

/// One that was added. The secret is shown this once.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Added {
    pub(crate) id: Uuid,
    pub(crate) url: String,
    pub(crate) topics: Vec<String>,
    pub(crate) secret: String,
}

/// A delivery.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Delivery {
    pub(crate) event_id: Uuid,
    pub(crate) endpoint_id: Uuid,
    pub(crate) topic: String,
    /// `pending`, `delivered` or `dead`.
    pub(crate) status: String,
    pub(crate) attempts: i32,
    /// When it is tried next, if it is pending.
    pub(crate) next_at: DateTime<Utc>,
    pub(crate) last_error: Option<String>,
}

/// The newest deliveries.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Deliveries {
    pub(crate) deliveries: Vec<Delivery>,
}

/// How many deliveries were begun again.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Retried {
    pub(crate) endpoints: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct New {
    url: String,
    #[serde(default = "everything")]
    topics: Vec<String>,
}

fn everything() -> Vec<String> {
    vec!["*".to_owned()]
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    /// Only those that were given up.
    #[serde(default)]
    dead: bool,
}

/// `GET /admin/v1/webhooks`
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Owner(owner): Owner,
) -> Result<Json<Endpoints>, Problem> {
    let mut tx = app.begin_reading(owner.tenant).await?;
    let found = admin::list(&mut tx, owner.tenant).await.map_err(refused)?;
    let endpoints = found.into_iter().map(|e| Endpoint {
        id: e.id,
        url: e.url,
        topics: e.topics,
        status: e.status,
        reason: e.reason,
        pending: e.pending,
        dead: e.dead,
    });
    Ok(Json(Endpoints {
        endpoints: endpoints.collect(),
    }))
}

/// `POST /admin/v1/webhooks`
pub(crate) async fn add(
    State(app): State<Arc<App>>,
    Owner(owner): Owner,
    Given(new): Given<New>,
) -> Result<(StatusCode, Json<Added>), Problem> {
    if !app.local_mode {
        outgoing::reaches_the_public(&new.url)
            .await
            .map_err(|why| Problem::value("url", why))?;
    }
    let mut tx = app.begin(owner.tenant).await?;
    let (id, now) = (new_id(&*app.clock), app.clock.now());
    let added = admin::add(
        &mut tx,
        owner.tenant,
        id,
        &new.url,
        &new.topics,
        app.local_mode,
        now,
    );
    let added = added.await.map_err(refused)?;
    let audit = Audit {
        subject: format!("webhook:{id}"),
        before: None,
        after: Some(json!({"id": added.id, "url": added.url, "topics": added.topics})),
    };
    record(&mut tx, &app, &owner, "admin.webhooks.add", &new, &audit).await?;
    tx.commit().await.map_err(CallError::of_commit)?;
    let added = Added {
        id: added.id,
        url: added.url,
        topics: added.topics,
        secret: added.secret,
    };
    Ok((StatusCode::CREATED, Json(added)))
}

/// `DELETE /admin/v1/webhooks/{id}`
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    Owner(owner): Owner,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let id = identified(&id)?;
    let mut tx = app.begin(owner.tenant).await?;
    let there = admin::list(&mut tx, owner.tenant).await.map_err(refused)?;
    admin::remove(&mut tx, owner.tenant, id, app.clock.now())
        .await
        .map_err(missing)?;
    let before = there.into_iter().find(|e| e.id == id);
    let audit = Audit {
        subject: format!("webhook:{id}"),
        before: before
            .map(|e| json!({"id": e.id, "url": e.url, "topics": e.topics, "status": e.status})),
        after: None,
    };
    record(
        &mut tx,
        &app,
        &owner,
        "admin.webhooks.remove",
        &json!({"id": id}),
        &audit,
    )
    .await?;
    tx.commit().await.map_err(CallError::of_commit)?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /admin/v1/webhooks/deliveries?dead=`
pub(crate) async fn deliveries(
    State(app): State<Arc<App>>,
    Owner(owner): Owner,
    Asked(which): Asked<Which>,
) -> Result<Json<Deliveries>, Problem> {
    let mut tx = app.begin_reading(owner.tenant).await?;
    let found = admin::deliveries(&mut tx, owner.tenant, which.dead).await;
    let deliveries = found.map_err(refused)?.into_iter().map(|d| Delivery {
        event_id: d.event_id,
        endpoint_id: d.endpoint_id,
        topic: d.topic,
        status: d.status,
        attempts: d.attempts,
        next_at: d.next_at,
        last_error: d.last_error,
    });
    Ok(Json(Deliveries {
        deliveries: deliveries.collect(),
    }))
}

/// `POST /admin/v1/webhooks/deliveries/{event}/retry`
pub(crate) async fn retry(
    State(app): State<Arc<App>>,
    Owner(owner): Owner,
    Path(event): Path<String>,
) -> Result<Json<Retried>, Problem> {
    let event = identified(&event)?;
    let mut tx = app.begin(owner.tenant).await?;
    let endpoints = admin::retry(&mut tx, owner.tenant, event, app.clock.now())
        .await
        .map_err(missing)?;
    let retried = Retried { endpoints };
    let audit = Audit {
        subject: format!("event:{event}"),
        before: None,
        after: seen(&retried),
    };
    record(
        &mut tx,
        &app,
        &owner,
        "admin.webhooks.retry",
        &json!({"event": event}),
        &audit,
    )
    .await?;
    tx.commit().await.map_err(CallError::of_commit)?;
    Ok(Json(retried))
}

/// An id as it stands in a path. What is none names nothing.
fn identified(text: &str) -> Result<Uuid, Problem> {
    text.parse()
        .map_err(|_| Problem::missing("There is nothing of this id here."))
}

fn refused(error: AdminError) -> Problem {
    match error {
        AdminError::Refused(sentence) => Problem::new(Code::InvalidValue, sentence),
        AdminError::Database(error) => error.into(),
    }
}

fn missing(error: AdminError) -> Problem {
    match error {
        AdminError::Refused(sentence) => Problem::missing(sentence),
        AdminError::Database(error) => error.into(),
    }
}
