//! MCP clients of every revision, speaking plain JSON over HTTP, so that a scene sees what is on the wire.

use contracts::token::{
    AUDIENCE, AgentClaims, ISSUER, LIFETIME_SECONDS, PrincipalRole, TokenPerson,
};
use http::HeaderMap;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use migrations::clock::new_id;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};

use uuid::Uuid;

use super::World;
use contracts::ids::TenantId;

/// The stateless revision.
pub const MODERN: &str = "2026-07-28";
/// The last revision that begins with `initialize`.
pub const OLDER: &str = "2025-11-25";
/// The revision before that.
pub const OLDEST: &str = "2025-06-18";

/// A client over HTTP.
#[derive(Debug, Clone)]
pub struct McpClient {
    http: reqwest::Client,
    url: String,
    version: &'static str,
    elicits: bool,
    bearer: Option<String>,
}

/// For whom a token speaks.
#[derive(Debug, Clone)]
pub struct Principal {
    /// The business.
    pub tenant: TenantId,
    /// The name in questions and the audit.
    pub subject: String,
    /// What it may do.
    pub role: PrincipalRole,
    /// Who a customer is.
    pub customer: Option<Uuid>,
    /// Who gave the answers that are passed on.
    pub decided_by: Option<TokenPerson>,
}

impl Principal {
    /// The owner of a business, who answers nothing.
    #[must_use]
    pub fn owner(tenant: TenantId) -> Principal {
        Principal {
            tenant,
            subject: "owner".to_owned(),
            role: PrincipalRole::Owner,
            customer: None,
            decided_by: None,
        }
    }

    /// The same, who also answers the questions.
    #[must_use]
    pub fn answering(self) -> Principal {
        Principal {
            decided_by: Some(TokenPerson {
                sub: self.subject.clone(),
                role: self.role,
            }),
            ..self
        }
    }
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: StatusCode,
    /// The HTTP headers.
    pub headers: HeaderMap,
    /// The body, or its text where it is no JSON.
    pub body: Value,
}

impl Reply {
    /// The result of a request that was answered.
    ///
    /// # Panics
    /// When it was not.
    #[must_use]
    pub fn result(self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        assert!(self.body.get("error").is_none(), "{}", self.body);
        self.body["result"].clone()
    }

    /// The code of a protocol error.
    ///
    /// # Panics
    /// When it is a result.
    #[must_use]
    pub fn error_code(&self) -> i64 {
        self.body["error"]["code"]
            .as_i64()
            .unwrap_or_else(|| panic!("no protocol error: {}", self.body))
    }
}

impl World {
    /// A client of a revision without the elicitation capability.
    #[must_use]
    pub fn mcp(&self, version: &'static str) -> McpClient {
        McpClient {
            http: self.http.clone(),
            url: self.shop.mcp_url(),
            version,
            elicits: false,
            bearer: None,
        }
    }

    /// A client of the stateless revision that can ask its person.
    #[must_use]
    pub fn asking_client(&self) -> McpClient {
        McpClient {
            elicits: true,
            ..self.mcp(MODERN)
        }
    }

    /// A client of the stateless revision that can ask, with a token as the agent mints them. A customer is Aline, of the demo's people;
    /// [`World::client_of`] speaks for any other.
    #[must_use]
    pub fn agent_client(
        &self,
        subject: &str,
        role: PrincipalRole,
        decided_by: Option<TokenPerson>,
    ) -> McpClient {
        self.client_of(&Principal {
            subject: subject.to_owned(),
            role,
            customer: (role == PrincipalRole::Customer).then_some(self.aline),
            decided_by,
            ..Principal::owner(TenantId::DEMO)
        })
    }

    /// A client of the stateless revision that can ask, with a token for this principal, good for a minute.
    #[must_use]
    pub fn client_of(&self, principal: &Principal) -> McpClient {
        self.asking_client()
            .bearer(&self.signed(&self.claims_of(principal)))
    }

    /// The claims of a good token for this principal, now.
    #[must_use]
    pub fn claims_of(&self, principal: &Principal) -> AgentClaims {
        AgentClaims {
            sub: principal.subject.clone(),
            role: principal.role,
            tenant: principal.tenant,
            customer: principal.customer,
            decided_by: principal.decided_by.clone(),
            ..self.claims()
        }
    }

    /// The claims of a good token: the owner of the demo tenant, now.
    #[must_use]
    pub fn claims(&self) -> AgentClaims {
        let now = self.shop.app.clock.now().timestamp();
        AgentClaims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: "owner".to_owned(),
            role: PrincipalRole::Owner,
            tenant: TenantId::DEMO,
            customer: None,
            scopes: None,
            iat: now,
            exp: now + LIFETIME_SECONDS,
            jti: new_id(&*self.shop.app.clock),
            decided_by: None,
        }
    }

    /// A token with the key both programs of this shop share.
    ///
    /// # Panics
    /// When the claims cannot be written.
    #[must_use]
    pub fn signed(&self, claims: &AgentClaims) -> String {
        signed_with(claims, &self.shop.app.agent_token_key)
    }
}

/// A token with any key.
///
/// # Panics
/// When the claims cannot be written.
#[must_use]
pub fn signed_with(claims: &AgentClaims, key: &[u8]) -> String {
    jsonwebtoken::encode(
        &Header::new(Algorithm::HS256),
        claims,
        &EncodingKey::from_secret(key),
    )
    .expect("a token")
}

impl McpClient {
    /// A client of the stateless revision that can ask its person, with connections of its own, of the server at this address.
    #[must_use]
    pub fn at(url: &str) -> McpClient {
        McpClient {
            http: super::http_client(),
            url: url.to_owned(),
            version: MODERN,
            elicits: true,
            bearer: None,
        }
    }

    /// The same over connections that are there already.
    #[must_use]
    pub fn over(http: &reqwest::Client, url: &str) -> McpClient {
        McpClient {
            http: http.clone(),
            url: url.to_owned(),
            version: MODERN,
            elicits: true,
            bearer: None,
        }
    }

    /// The same client with a token.
    #[must_use]
    pub fn bearer(mut self, token: &str) -> McpClient {
        self.bearer = Some(token.to_owned());
        self
    }

    /// A request, complete but for what a scene wants to spoil.
    pub fn prepare(&self, method: &str, params: Value) -> RequestBuilder {
        let mut params = params;
        let mut request = self
            .http
            .post(&self.url)
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", self.version);
        if self.version == MODERN {
            let mut meta = params["_meta"].take();
            let capabilities = if self.elicits {
                json!({"elicitation": {"form": {}}})
            } else {
                json!({})
            };
            meta["io.modelcontextprotocol/protocolVersion"] = json!(self.version);
            meta["io.modelcontextprotocol/clientCapabilities"] = capabilities;
            meta["io.modelcontextprotocol/clientInfo"] = json!({"name": "journey", "version": "1"});
            params["_meta"] = meta;
            request = request.header("mcp-method", method);
            if let Some(name) = params["name"].as_str().or_else(|| params["uri"].as_str()) {
                request = request.header("mcp-name", name);
            }
        }
        if let Some(token) = &self.bearer {
            request = request.bearer_auth(token);
        }
        request.json(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
    }

    /// Sends a request.
    pub async fn request(&self, method: &str, params: Value) -> Reply {
        send(self.prepare(method, params)).await
    }

    /// `initialize`, as the older revisions begin.
    pub async fn initialize(&self) -> Value {
        let params = json!({"protocolVersion": self.version, "capabilities": {"elicitation": {}},
            "clientInfo": {"name": "journey", "version": "1"}});
        self.request("initialize", params).await.result()
    }

    /// Calls a tool.
    pub async fn call(&self, tool: &str, arguments: &Value) -> Value {
        self.request("tools/call", json!({"name": tool, "arguments": arguments}))
            .await
            .result()
    }

    /// Repeats a call with the token of its question and what the person said.
    pub async fn retry(
        &self,
        tool: &str,
        arguments: &Value,
        state: &str,
        responses: Value,
    ) -> Value {
        let params = json!({"name": tool, "arguments": arguments, "requestState": state, "inputResponses": responses});
        self.request("tools/call", params).await.result()
    }
}

/// Sends a request and reads the whole answer.
pub async fn send(request: RequestBuilder) -> Reply {
    let response = request.send().await.expect("an answer");
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.expect("a body");
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Reply {
        status,
        headers,
        body,
    }
}

/// The structured result of a call that was done; the text block says the same.
///
/// # Panics
/// When it was not done.
pub fn done(result: &Value) -> Value {
    assert_ne!(result["isError"], true, "{result}");
    assert_ne!(result["resultType"], "input_required", "{result}");
    let text = result["content"][0]["text"]
        .as_str()
        .unwrap_or_else(|| panic!("no text: {result}"));
    let said: Value = serde_json::from_str(text).expect("JSON in the text block");
    assert_eq!(
        said, result["structuredContent"],
        "text and structure say the same"
    );
    said
}

/// The failure of a call that was refused: text only, with a code, a sentence and a hint.
///
/// # Panics
/// When it was done or asked about.
pub fn refused(result: &Value) -> Value {
    assert_eq!(result["isError"], true, "not refused: {result}");
    assert!(
        result.get("structuredContent").is_none_or(Value::is_null),
        "some clients throw structured failures away"
    );
    let text = result["content"][0]["text"]
        .as_str()
        .unwrap_or_else(|| panic!("no text: {result}"));
    let failure: Value = serde_json::from_str(text).expect("JSON in the text block");
    for name in ["code", "message", "hint"] {
        assert!(
            failure[name].as_str().is_some_and(|s| !s.is_empty()),
            "{name}: {failure}"
        );
    }
    assert!(failure["retryable"].is_boolean(), "{failure}");
    failure
}

/// The token of a question that the result itself asks.
///
/// # Panics
/// When it asks nothing.
pub fn asked(result: &Value) -> String {
    assert_eq!(
        result["resultType"], "input_required",
        "not asked: {result}"
    );
    result["requestState"]
        .as_str()
        .unwrap_or_else(|| panic!("no state: {result}"))
        .to_owned()
}

/// `inputResponses` of a person who said yes.
#[must_use]
pub fn yes() -> Value {
    json!({"confirm": {"action": "accept", "content": {"confirm": true}}})
}

/// `inputResponses` of a person who said no.
#[must_use]
pub fn no() -> Value {
    json!({"confirm": {"action": "decline"}})
}
