//! `GET /healthz`: whether this process answers.

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The name by which a client knows that the agent, and nothing else, listens on a port.
pub const SERVICE: &str = "countersign-agent";

/// What answers, and how it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// Always `countersign-agent`.
    #[schema(example = "countersign-agent")]
    pub service: String,
    /// Always `ok`: a process that cannot answer says nothing.
    #[schema(example = "ok")]
    pub status: String,
}

/// Answers as long as the process runs; touches no database.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, description = "The process answers.", body = Health)))]
pub async fn healthz() -> Json<Health> {
    Json(Health {
        service: SERVICE.to_owned(),
        status: "ok".to_owned(),
    })
}
