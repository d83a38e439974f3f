//! Where providers tell us that something has happened to a payment. None of it is believed: it makes us ask the provider, at once.
//!
//! No tenant is named by whoever calls: the reference leads to it. What is not known (our own commit may not be there yet) is accepted and
//! forgotten; polling finds it.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use uuid::Uuid;

use crate::app::App;
use crate::jobs;
use crate::providers::{Heard, Providers};

/// Largest body, bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// The doors of every provider.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/providers/momo/callback/{reference}", post(momo).put(momo))
        .route("/providers/stripe/webhook", post(stripe))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// The body is not read: it is signed by nobody.
async fn momo(State(app): State<Arc<App>>, Path(reference): Path<String>) -> StatusCode {
    match Providers::momo_payment(&reference) {
        _ if !app.providers.has_momo() => StatusCode::NOT_FOUND,
        Some(id) => heard_of(&app, "momo", id).await,
        None => StatusCode::BAD_REQUEST,
    }
}

async fn stripe(State(app): State<Arc<App>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let signature = headers
        .get("stripe-signature")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    match app
        .providers
        .stripe_event(signature, &body, app.clock.now())
    {
        Heard::NotSetUp => StatusCode::NOT_FOUND,
        Heard::Forged => {
            tracing::warn!("a Stripe webhook with a bad or old signature was refused");
            StatusCode::BAD_REQUEST
        }
        Heard::Other => StatusCode::OK,
        Heard::Payment(id) => heard_of(&app, "stripe", id).await,
    }
}

async fn heard_of(app: &App, provider: &'static str, id: Uuid) -> StatusCode {
    match jobs::ask_at_once(app, provider, id).await {
        Ok(true) => StatusCode::OK,
        Ok(false) => StatusCode::ACCEPTED,
        Err(error) => {
            tracing::error!(provider, %id, %error, "a callback could not be taken");
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}
