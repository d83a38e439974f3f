//! The HTTP client under rmcp, with a fresh token for every request: who asks, and who answered a question.

use std::collections::HashMap;
use std::sync::Arc;

use contracts::ids::TenantId;
use contracts::scope::Reach;
use contracts::token::{
    AUDIENCE, AgentClaims, ISSUER, LIFETIME_SECONDS, PrincipalRole, TokenPerson,
};
use futures::stream::BoxStream;
use http::{HeaderName, HeaderValue};
use rmcp::model::{ClientJsonRpcMessage, GetExtensions as _};
use rmcp::transport::streamable_http_client::{
    SseError, StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
};
use sse_stream::Sse;
use uuid::Uuid;

use crate::principal::Principal;
use crate::tokens::Signer;

/// Travels with a request inside the process and becomes its token; never serialized.
#[derive(Debug, Clone)]
pub(super) struct OnBehalf {
    pub(super) principal: Principal,
    pub(super) decided_by: Option<TokenPerson>,
}

/// reqwest with a token per request.
#[derive(Clone)]
pub(super) struct TokenClient {
    pub(super) inner: reqwest::Client,
    pub(super) signer: Signer,
}

impl TokenClient {
    /// A request nobody in particular makes, such as discovery, speaks for no tenant.
    fn token(&self, message: &ClientJsonRpcMessage) -> Option<String> {
        let ClientJsonRpcMessage::Request(request) = message else {
            return None;
        };
        let nobody = || OnBehalf {
            principal: Principal {
                tenant: TenantId(Uuid::nil()),
                subject: "agent".to_owned(),
                role: PrincipalRole::Staff,
                customer: None,
                reach: Reach::NOTHING,
            },
            decided_by: None,
        };
        let on_behalf = request
            .request
            .extensions()
            .get::<OnBehalf>()
            .cloned()
            .unwrap_or_else(nobody);
        let now = self.signer.now();
        let claims = AgentClaims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: on_behalf.principal.subject,
            role: on_behalf.principal.role,
            tenant: on_behalf.principal.tenant,
            customer: on_behalf.principal.customer,
            scopes: Some(on_behalf.principal.reach.scopes()),
            iat: now,
            exp: now + LIFETIME_SECONDS,
            jti: self.signer.new_id(),
            decided_by: on_behalf.decided_by,
        };
        self.signer.sign(&claims).ok()
    }
}

impl StreamableHttpClient for TokenClient {
    type Error = reqwest::Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<StreamableHttpPostResponse, StreamableHttpError<reqwest::Error>> {
        let token = self.token(&message).or(auth_header);
        self.inner
            .post_message(uri, message, session_id, token, custom_headers)
            .await
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session_id: Arc<str>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<(), StreamableHttpError<reqwest::Error>> {
        self.inner
            .delete_session(uri, session_id, auth_header, custom_headers)
            .await
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, StreamableHttpError<reqwest::Error>>
    {
        self.inner
            .get_stream(uri, session_id, last_event_id, auth_header, custom_headers)
            .await
    }
}
