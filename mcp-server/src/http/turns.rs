//! How many calls are worked on at once. A call that has begun takes a few hundred kilobytes and soon wants a connection to the database; one
//! that waits for its turn takes what was sent. So what a server needs does not grow with how many ask at the same moment, and they are
//! answered in the order in which they came.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tokio::sync::Semaphore;

use super::BODY_BYTES_MAX;
use crate::app::App;
use crate::server::is_to_listen;

/// Calls worked on beside those that can have a connection: they read what was sent, or write what is answered.
const BESIDE: usize = 12;

/// Who is next.
#[derive(Debug)]
pub(crate) struct Turns(Semaphore);

impl Turns {
    /// For so many connections to the database.
    pub(crate) fn for_connections(connections: u32) -> Turns {
        let connections = usize::try_from(connections).unwrap_or(usize::MAX / 4);
        Turns(Semaphore::new(connections.saturating_add(BESIDE)))
    }
}

/// Lets a call begin when it is its turn. Its body is read before: who sends slowly keeps nobody waiting. Who listens waits for news, not for
/// the database, and takes no turn.
pub(crate) async fn take(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if *request.method() != Method::POST || is_to_listen(request.headers()) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    match tokio::time::timeout(app.call_deadline, app.turns.0.acquire()).await {
        Ok(Ok(_turn)) => next.run(Request::from_parts(parts, Body::from(body))).await,
        // Nothing has been done, so the same may be sent again.
        Ok(Err(_)) | Err(_) => {
            let again = [(header::RETRY_AFTER, HeaderValue::from_static("1"))];
            (
                StatusCode::SERVICE_UNAVAILABLE,
                again,
                "Too many calls are under way. Try again.",
            )
                .into_response()
        }
    }
}
