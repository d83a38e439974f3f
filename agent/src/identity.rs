//! Whose credential somebody brought. The tool server alone keeps identities; it is asked, and its answers are kept for a moment.
//!
//! A credential is an API key, the token of a log-in, or a token of an authorization server; which of them is the server's business. The
//! agent shows the server a token of its own with each question, so that nobody else can ask whose credential one is. When the server
//! cannot be asked, nobody is let in.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use contracts::identity::{
    Credential, END_SESSION_PATH, INTROSPECT_PATH, Identity, Introspection, Login, OpenedSession,
    SESSIONS_PATH,
};
use contracts::scope::Reach;
use contracts::token::PrincipalRole;
use http::StatusCode;
use migrations::clock::SharedClock;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use crate::principal::Principal;
use crate::tokens::Signer;

/// Longest credential, bytes; a longer one is nobody's.
pub const CREDENTIAL_BYTES_MAX: usize = 8192;
/// How long the server's answer about a credential is used. A revocation is felt within this time.
const KNOWN_FOR: Duration = Duration::from_secs(5);
/// The same where it is nobody's: a flood of wrong ones costs the server one question each, and a new key works at once.
const UNKNOWN_FOR: Duration = Duration::from_secs(1);
/// Credentials whose answers are kept.
const KNOWN_MAX: u64 = 10_000;
/// How long the server may take to say whose a credential is.
const ASK: Duration = Duration::from_secs(5);
/// The same for a log-in: a password takes time to check, on purpose, and several are checked one after the other.
const LOG_IN: Duration = Duration::from_secs(15);
/// Log-ins under way at once.
const LOG_INS_MAX: usize = 16;
/// Longest answer, bytes.
const ANSWER_BYTES_MAX: usize = 65_536;

/// A person or program that has shown who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Who, and how far they may reach.
    pub principal: Principal,
    /// How a page greets them.
    pub name: String,
    /// When the credential ends by itself.
    expires_at: Option<DateTime<Utc>>,
}

impl Known {
    /// When the credential ends by itself, if it does.
    #[must_use]
    pub fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.expires_at
    }
}

/// Why nobody was named.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotNamed {
    /// The credential is nobody's, or not any more; or the name and password do not fit.
    #[error("nobody's")]
    Nobody,
    /// Too many have tried.
    #[error("too many attempts")]
    TooMany,
    /// The server could not be asked, or its answer makes no sense. The text is for the log.
    #[error("identities: {0}")]
    Unreachable(String),
}

/// Asks the tool server who somebody is.
pub struct Identities {
    /// Where the server is, without a slash at the end.
    base_url: String,
    http: reqwest::Client,
    signer: Signer,
    clock: SharedClock,
    /// By the SHA-256 of the credential, which itself is kept nowhere.
    known: moka::sync::Cache<[u8; 32], Arc<Answered>>,
    /// Log-ins under way: passwords are dear to check, and whoever floods us with them should wait, not everybody else.
    log_ins: Semaphore,
}

/// An answer of the server and how long it counts.
struct Answered {
    known: Option<Known>,
    until: Instant,
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identities at {}", self.base_url)
    }
}

impl Identities {
    /// Asks the server whose tools are at `tool_url`.
    ///
    /// # Errors
    /// When no HTTP client can be made, which is a broken installation.
    pub fn new(
        tool_url: &str,
        signer: Signer,
        clock: SharedClock,
    ) -> Result<Identities, reqwest::Error> {
        Ok(Identities {
            base_url: base_url(tool_url).to_owned(),
            http: reqwest::Client::builder()
                .connect_timeout(ASK)
                .timeout(LOG_IN)
                .tcp_nodelay(true)
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .build()?,
            signer,
            clock,
            log_ins: Semaphore::new(LOG_INS_MAX),
            known: moka::sync::Cache::builder()
                .max_capacity(KNOWN_MAX)
                // Nothing counts for longer, so nothing is kept for longer.
                .time_to_live(KNOWN_FOR)
                .build(),
        })
    }

    /// Whose credential it is.
    ///
    /// # Errors
    /// [`NotNamed::Nobody`], [`NotNamed::Unreachable`].
    pub async fn who(&self, credential: &str) -> Result<Known, NotNamed> {
        if credential.is_empty() || credential.len() > CREDENTIAL_BYTES_MAX {
            return Err(NotNamed::Nobody);
        }
        let digest = digest(credential);
        let answered = match self.known.get(&digest).filter(|a| a.until > Instant::now()) {
            Some(answered) => answered,
            None => {
                let answered = Arc::new(self.introspect(credential).await?);
                self.known.insert(digest, Arc::clone(&answered));
                answered
            }
        };
        let known = answered.known.clone().ok_or(NotNamed::Nobody)?;
        match known.expires_at {
            // The clock may have been moved since.
            Some(at) if at <= self.clock.now() => Err(NotNamed::Nobody),
            _ => Ok(known),
        }
    }

    async fn introspect(&self, credential: &str) -> Result<Answered, NotNamed> {
        let asked = Instant::now();
        let body = Credential {
            token: credential.to_owned(),
        };
        let introspection: Introspection = self
            .ask(INTROSPECT_PATH, &body, ASK)
            .await
            // That the server takes no question of ours says nothing about the credential.
            .map_err(|e| match e {
                NotNamed::Nobody | NotNamed::TooMany => NotNamed::Unreachable(format!(
                    "the server does not answer the agent's questions ({e}): AGENT_TOKEN_KEY must be the same in both programs"
                )),
                NotNamed::Unreachable(_) => e,
            })?;
        let identity = introspection.identity.filter(|_| introspection.active);
        Ok(Answered {
            until: asked + identity.as_ref().map_or(UNKNOWN_FOR, |_| KNOWN_FOR),
            known: identity.map(known).transpose()?,
        })
    }

    /// Opens a session for a person who gives a name and a password. The token is shown to the browser alone.
    ///
    /// # Errors
    /// [`NotNamed`].
    pub async fn log_in(&self, login: &Login) -> Result<(String, Known), NotNamed> {
        let _one = self.log_ins.try_acquire().map_err(|_| NotNamed::TooMany)?;
        let opened: OpenedSession = self.ask(SESSIONS_PATH, login, LOG_IN).await?;
        Ok((opened.token, known(opened.identity)?))
    }

    /// Ends a session. It is forgotten here at once, whatever the server says.
    ///
    /// # Errors
    /// [`NotNamed::Unreachable`]: the session lasts until it ends by itself.
    pub async fn log_out(&self, token: &str) -> Result<(), NotNamed> {
        self.known.invalidate(&digest(token));
        let body = Credential {
            token: token.to_owned(),
        };
        let response = self.send(END_SESSION_PATH, &body, ASK).await?;
        let status = response.status();
        if status.is_success() || status == StatusCode::NOT_FOUND {
            Ok(())
        } else {
            Err(NotNamed::Unreachable(format!("log-out answered {status}")))
        }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        deadline: Duration,
    ) -> Result<T, NotNamed> {
        let mut response = self.send(path, body, deadline).await?;
        let status = response.status();
        match status {
            _ if status.is_success() => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(NotNamed::Nobody),
            StatusCode::TOO_MANY_REQUESTS => return Err(NotNamed::TooMany),
            _ => {
                return Err(NotNamed::Unreachable(format!("{path} answered {status}")));
            }
        }
        let mut answer = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|e| broken(path, &e))? {
            if answer.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(NotNamed::Unreachable(format!("{path} answers too much")));
            }
            answer.extend_from_slice(&piece);
        }
        // The body may hold a token: what is wrong with it is said without it.
        serde_json::from_slice(&answer)
            .map_err(|e| NotNamed::Unreachable(format!("{path}: {:?} error", e.classify())))
    }

    async fn send(
        &self,
        path: &str,
        body: &impl Serialize,
        deadline: Duration,
    ) -> Result<reqwest::Response, NotNamed> {
        let token = self.signer.for_itself().map_err(NotNamed::Unreachable)?;
        self.http
            .post(format!("{}{path}", self.base_url))
            .bearer_auth(token)
            .json(body)
            .timeout(deadline)
            .send()
            .await
            .map_err(|e| broken(path, &e))
    }
}

fn broken(path: &str, error: &reqwest::Error) -> NotNamed {
    NotNamed::Unreachable(format!("{path}: {error}"))
}

fn digest(credential: &str) -> [u8; 32] {
    Sha256::digest(credential.as_bytes()).into()
}

/// Where the server is that has its tools at this address.
fn base_url(tool_url: &str) -> &str {
    let url = tool_url.trim_end_matches('/');
    url.strip_suffix("/mcp").unwrap_or(url)
}

/// The principal of an identity. One that makes no sense is nobody's, and said so in the log.
fn known(identity: Identity) -> Result<Known, NotNamed> {
    let reach = Reach::of_scopes(identity.scopes.iter().map(String::as_str))
        .map_err(|e| NotNamed::Unreachable(e.to_string()))?;
    if (identity.role == PrincipalRole::Customer) != identity.customer.is_some() {
        return Err(NotNamed::Unreachable(
            "a customer's identity names the customer, and no other does".to_owned(),
        ));
    }
    Ok(Known {
        principal: Principal {
            tenant: identity.tenant,
            subject: identity.sub,
            role: identity.role,
            customer: identity.customer,
            reach,
        },
        name: identity.name,
        expires_at: identity.expires_at,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Json;
    use axum::extract::State;
    use axum::routing::post;
    use chrono::TimeDelta;
    use contracts::ids::TenantId;
    use migrations::clock::{Clock, SystemClock};
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;

    /// A server that knows `good` and counts how often it is asked.
    struct Stub {
        asked: AtomicUsize,
        identity: Value,
    }

    async fn introspect(
        State(stub): State<Arc<Stub>>,
        headers: http::HeaderMap,
        Json(credential): Json<Credential>,
    ) -> (StatusCode, Json<Value>) {
        stub.asked.fetch_add(1, Ordering::SeqCst);
        let token = headers["authorization"].to_str().unwrap();
        let head = jsonwebtoken::decode_header(token.strip_prefix("Bearer ").unwrap());
        assert!(head.unwrap().kid.is_some());
        match credential.token.as_str() {
            "good" => {
                let mut answer = stub.identity.clone();
                answer["active"] = json!(true);
                (StatusCode::OK, Json(answer))
            }
            "refused" => (StatusCode::UNAUTHORIZED, Json(json!({}))),
            "nonsense" => (StatusCode::OK, Json(json!([]))),
            _ => (StatusCode::OK, Json(json!({"active": false}))),
        }
    }

    async fn stub(identity: Value) -> (Arc<Stub>, Identities) {
        crate::start::install_crypto();
        let stub = Arc::new(Stub {
            asked: AtomicUsize::new(0),
            identity,
        });
        let router = axum::Router::new()
            .route(INTROSPECT_PATH, post(introspect))
            .with_state(Arc::clone(&stub));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (stub, identities(&url))
    }

    fn identities(url: &str) -> Identities {
        let clock: SharedClock = Arc::new(SystemClock);
        Identities::new(url, Signer::new([1; 32], Arc::clone(&clock)), clock).unwrap()
    }

    fn identity(role: &str, customer: Option<Uuid>, scopes: &[&str]) -> Value {
        json!({"tenant": TenantId::DEMO, "sub": "ana", "name": "Ana", "role": role, "customer": customer, "scopes": scopes})
    }

    #[tokio::test]
    async fn a_credential_is_somebodys_as_the_server_says_and_it_is_not_asked_every_time() {
        let customer = Uuid::from_u128(5);
        let (stub, identities) =
            stub(identity("customer", Some(customer), &["booking:commit"])).await;
        for _ in 0..3 {
            let known = identities.who("good").await.unwrap();
            assert_eq!(known.name, "Ana");
            assert_eq!(known.principal.customer, Some(customer));
            assert_eq!(known.principal.role, PrincipalRole::Customer);
            assert_eq!(known.principal.reach.scopes(), ["booking:commit"]);
        }
        assert_eq!(stub.asked.load(Ordering::SeqCst), 1);
        for _ in 0..3 {
            assert_eq!(identities.who("bad").await, Err(NotNamed::Nobody));
        }
        assert_eq!(stub.asked.load(Ordering::SeqCst), 2);
        let long = "x".repeat(CREDENTIAL_BYTES_MAX + 1);
        assert_eq!(identities.who(&long).await, Err(NotNamed::Nobody));
        assert_eq!(identities.who("").await, Err(NotNamed::Nobody));
        assert_eq!(stub.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn nobody_is_let_in_while_the_server_cannot_be_asked_or_makes_no_sense() {
        let unreachable = |e: Result<Known, NotNamed>| {
            assert!(matches!(e, Err(NotNamed::Unreachable(_))), "{e:?}");
        };
        unreachable(identities("http://127.0.0.1:1/mcp").who("good").await);
        let (_, same) = stub(identity("staff", None, &["all:commit"])).await;
        unreachable(same.who("refused").await);
        unreachable(same.who("nonsense").await);
        assert!(same.who("good").await.is_ok());
        for odd in [
            identity("customer", None, &["all:read"]),
            identity("owner", Some(Uuid::from_u128(1)), &["all:read"]),
            identity("owner", None, &["everything"]),
        ] {
            let (_, odd) = stub(odd).await;
            unreachable(odd.who("good").await);
        }
    }

    #[tokio::test]
    async fn an_answer_counts_no_longer_than_the_credential_lasts() {
        let mut over = identity("staff", None, &["all:commit"]);
        over["expires_at"] = json!(SystemClock.now() - TimeDelta::seconds(1));
        let (_, identities) = stub(over).await;
        assert_eq!(identities.who("good").await, Err(NotNamed::Nobody));
    }

    #[test]
    fn the_server_is_where_its_tools_are() {
        for (tools, base) in [
            ("http://127.0.0.1:8001/mcp", "http://127.0.0.1:8001"),
            (
                "https://tools.example/shop/mcp/",
                "https://tools.example/shop",
            ),
            ("https://tools.example", "https://tools.example"),
        ] {
            assert_eq!(base_url(tools), base);
        }
    }
}
