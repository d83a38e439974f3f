//! Pages for people, served from the binary.

use std::sync::Arc;

use axum::Router;

use crate::app::App;

/// The pages and what they load.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
}
