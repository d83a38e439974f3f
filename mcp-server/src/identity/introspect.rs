//! The agent asks whose credential somebody brought ([`contracts::identity`]). Only the agent is answered.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router, middleware};
use contracts::identity::{Credential, INTROSPECT_PATH, Identity, Introspection};
use serde_json::json;

use super::agent_tokens;
use super::{Known, NotKnown, is_agent, who};
use crate::app::App;

/// Longest credential that is looked at, bytes.
pub(crate) const CREDENTIAL_BYTES_MAX: usize = 8 * 1024;

/// What the agent asks the identity store. Every route wants a token of the agent's own ([`only_the_agent`]).
pub(crate) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route(INTROSPECT_PATH, post(introspect))
        .route_layer(middleware::from_fn_with_state(
            Arc::clone(app),
            only_the_agent,
        ))
}

/// Lets nobody through but the agent, with a token in which it speaks for itself.
pub(crate) async fn only_the_agent(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    let proven = bearer(request.headers())
        .ok_or_else(|| NotKnown::invalid("no token"))
        .and_then(|token| agent_tokens::verify_service(token, &app.agent_keys, app.clock.now()));
    match proven {
        Ok(()) => next.run(request).await,
        Err(error) => {
            tracing::warn!(%error, "somebody who is not the agent asked who somebody is");
            let refused = Json(json!({"error": "Only the agent is answered here."}));
            let challenge = [(header::WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"")];
            (StatusCode::UNAUTHORIZED, challenge, refused).into_response()
        }
    }
}

/// The bearer token of a request. The scheme's name may be written in any case (RFC 9110).
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    let token = token.trim_start_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

async fn introspect(State(app): State<Arc<App>>, Json(asked): Json<Credential>) -> Response {
    let nobody = Introspection {
        active: false,
        identity: None,
    };
    if asked.token.len() > CREDENTIAL_BYTES_MAX {
        return Json(nobody).into_response();
    }
    match who(&app, &asked.token).await {
        // The agent's own tokens are for calls; nobody brings one to the agent.
        Ok(known) if !is_agent(&known.caller.door) => Json(Introspection {
            active: true,
            identity: Some(identity(&known)),
        })
        .into_response(),
        Ok(_) | Err(NotKnown::Invalid(_)) => Json(nobody).into_response(),
        Err(error) => {
            tracing::error!(%error, "introspection");
            let told = json!({"error": "It cannot be told now. Try again in a moment."});
            (StatusCode::SERVICE_UNAVAILABLE, Json(told)).into_response()
        }
    }
}

/// A principal as the agent is told.
pub(crate) fn identity(known: &Known) -> Identity {
    Identity {
        tenant: known.caller.tenant,
        sub: known.caller.subject.clone(),
        name: known.name.clone(),
        role: known.caller.role,
        customer: known.caller.customer,
        scopes: known.caller.reach.scopes(),
        expires_at: known.expires_at,
    }
}
