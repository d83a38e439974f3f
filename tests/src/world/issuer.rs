//! An authorization server in the test's process: metadata, keys, tokens, and the faults of real ones.
//!
//! Its keys were made once and are used for nothing else.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::World;

/// A key of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningKey {
    /// RSA, 2048 bits.
    Rsa,
    /// Another, for rotation.
    NextRsa,
    /// P-256.
    P256,
    /// Ed25519.
    Ed25519,
}

impl SigningKey {
    /// Its name in tokens and sets.
    #[must_use]
    pub const fn kid(self) -> &'static str {
        match self {
            SigningKey::Rsa => "rsa-first",
            SigningKey::NextRsa => "rsa-second",
            SigningKey::P256 => "p256",
            SigningKey::Ed25519 => "ed25519",
        }
    }

    fn private(self) -> EncodingKey {
        match self {
            SigningKey::Rsa => EncodingKey::from_rsa_der(include_bytes!("issuer/rsa-first.der")),
            SigningKey::NextRsa => {
                EncodingKey::from_rsa_der(include_bytes!("issuer/rsa-second.der"))
            }
            SigningKey::P256 => EncodingKey::from_ec_der(include_bytes!("issuer/p256.der")),
            SigningKey::Ed25519 => EncodingKey::from_ed_der(include_bytes!("issuer/ed25519.der")),
        }
    }

    /// The algorithm it is mostly used with.
    #[must_use]
    pub const fn algorithm(self) -> Algorithm {
        match self {
            SigningKey::Rsa | SigningKey::NextRsa => Algorithm::RS256,
            SigningKey::P256 => Algorithm::ES256,
            SigningKey::Ed25519 => Algorithm::EdDSA,
        }
    }

    /// As it stands in a set, without its one algorithm: RSA keys serve two.
    ///
    /// # Panics
    /// When the key cannot be read.
    #[must_use]
    pub fn public(self) -> Value {
        let jwk = Jwk::from_encoding_key(&self.private(), self.algorithm()).expect("a public key");
        let mut jwk = serde_json::to_value(jwk).expect("JSON");
        if let Some(members) = jwk.as_object_mut() {
            members.remove("alg");
        }
        jwk["kid"] = json!(self.kid());
        jwk["use"] = json!("sig");
        jwk
    }
}

/// How the server fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It does not.
    None,
    /// 500.
    Fails,
    /// No answer at all.
    Silent,
    /// More than anybody should read.
    Endless,
    /// Sends one elsewhere.
    Redirects,
}

struct Shown {
    url: String,
    keys: Mutex<Vec<SigningKey>>,
    fault: Mutex<Fault>,
    fetched: AtomicUsize,
}

/// The server.
pub struct Issuer {
    shown: Arc<Shown>,
    serving: JoinHandle<()>,
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Issuer {
    /// Opens it with every key but the next one.
    ///
    /// # Panics
    /// When there is no port.
    pub async fn open() -> Issuer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shown = Arc::new(Shown {
            url: format!("http://{address}"),
            keys: Mutex::new(vec![SigningKey::Rsa, SigningKey::P256, SigningKey::Ed25519]),
            fault: Mutex::new(Fault::None),
            fetched: AtomicUsize::new(0),
        });
        let routes = Router::new()
            .route("/.well-known/oauth-authorization-server", get(metadata))
            .route("/jwks", get(jwks))
            .with_state(Arc::clone(&shown));
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, routes).await;
        });
        Issuer { shown, serving }
    }

    /// Its name.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.shown.url
    }

    /// Has these keys from now on.
    ///
    /// # Panics
    /// Never: nobody fails with the lock held.
    pub fn publish(&self, keys: &[SigningKey]) {
        *self.shown.keys.lock().expect("the keys") = keys.to_vec();
    }

    /// Fails like this from now on.
    ///
    /// # Panics
    /// Never: nobody fails with the lock held.
    pub fn fail(&self, fault: Fault) {
        *self.shown.fault.lock().expect("the fault") = fault;
    }

    /// How often its keys were asked for, well or not.
    #[must_use]
    pub fn fetched(&self) -> usize {
        self.shown.fetched.load(Ordering::SeqCst)
    }

    /// The claims of a good token for this shop.
    #[must_use]
    pub fn claims(&self, world: &World, subject: &str) -> Value {
        let now = world.shop.app.clock.now().timestamp();
        json!({"iss": self.url(), "aud": world.shop.app.resource(), "sub": subject, "tenant": "demo",
               "iat": now, "exp": now + 600})
    }

    /// A token with these claims.
    #[must_use]
    pub fn token(&self, key: SigningKey, claims: &Value) -> String {
        signed(key, key.algorithm(), Some(key.kid()), claims)
    }
}

/// A token signed as nobody should have to.
///
/// # Panics
/// When it cannot be signed.
#[must_use]
pub fn signed(key: SigningKey, algorithm: Algorithm, kid: Option<&str>, claims: &Value) -> String {
    let mut header = Header::new(algorithm);
    header.kid = kid.map(str::to_owned);
    jsonwebtoken::encode(&header, claims, &key.private()).expect("a token")
}

fn faulty(shown: &Shown) -> Fault {
    *shown.fault.lock().expect("the fault")
}

async fn metadata(State(shown): State<Arc<Shown>>) -> Response {
    let url = &shown.url;
    Json(json!({"issuer": url, "jwks_uri": format!("{url}/jwks"), "authorization_endpoint": format!("{url}/authorize"),
                "token_endpoint": format!("{url}/token"), "response_types_supported": ["code"]}))
    .into_response()
}

async fn jwks(State(shown): State<Arc<Shown>>) -> Response {
    shown.fetched.fetch_add(1, Ordering::SeqCst);
    match faulty(&shown) {
        Fault::None => {}
        Fault::Fails => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Fault::Silent => std::future::pending().await,
        Fault::Endless => return "x".repeat(10 * 1024 * 1024).into_response(),
        Fault::Redirects => {
            let elsewhere = format!("{}/jwks?again", shown.url);
            return (StatusCode::FOUND, [(header::LOCATION, elsewhere)]).into_response();
        }
    }
    let keys = shown.keys.lock().expect("the keys").clone();
    let mut set: Vec<Value> = keys.into_iter().map(SigningKey::public).collect();
    set.push(json!({"kty": "unheard of", "kid": "strange"}));
    Json(json!({"keys": set})).into_response()
}
