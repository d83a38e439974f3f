//! Tokens of an authorization server (JWT, RFC 7519): this server as an OAuth 2.1 resource server.
//!
//! The token says who somebody is at the authorization server and for which business; `shop.people` says who that is here, with which
//! role and how far. Its `scope` only narrows that: what is not in it, this token may not do; a token without the claim leaves all of it.
//!
//! Signing keys are fetched (RFC 8414 or `OpenID` metadata, then JWKS), kept, looked at again every ten minutes beside the calls, and fetched
//! anew when a token names one that is not there, at most once in half a minute however many such tokens come. While the authorization
//! server is away the keys stay good for a day.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use contracts::ids::TenantId;
use contracts::token::PrincipalRole;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use migrations::settings::{BadSetting, Reader};
use reqwest::Url;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Known, NotKnown, Seen, stored_reach};
use crate::app::App;
use crate::caller::{Caller, Door};
use crate::outgoing::Outgoing;

/// Longest clock difference between two machines that is forgiven.
const LEEWAY: TimeDelta = TimeDelta::seconds(5);
/// How long one fetch of keys may take, with the metadata before it.
const FETCH: Duration = Duration::from_secs(5);
/// The least time between two fetches.
const FETCH_AGAIN: TimeDelta = TimeDelta::seconds(30);
/// From which age on keys are looked at again beside the calls.
const KEYS_OLD: TimeDelta = TimeDelta::minutes(10);
/// From which age on keys are not believed any more. No token that was made before the server went away is still good then.
const KEYS_STALE: TimeDelta = TimeDelta::hours(24);
/// Most keys that are kept of one server.
const KEYS_MAX: usize = 64;
/// Least size of an RSA modulus, bytes: 2048 bits.
const RSA_BYTES_MIN: usize = 256;
/// Longest subject, characters, as the table has it.
const SUBJECT_CHARS_MAX: usize = 255;

/// What the settings say of the authorization server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthSettings {
    /// `MCP_AUTH_ISSUER`: its name, exactly as tokens have it.
    pub issuer: String,
    /// `MCP_AUTH_AUDIENCE`: what tokens for this server are made out to; the public address of `/mcp` when unset.
    pub audience: Option<String>,
    /// `MCP_AUTH_JWKS_URL`: where its keys are; the issuer's metadata says it when unset.
    pub jwks_url: Option<String>,
    /// `MCP_AUTH_TENANT_CLAIM`: which claim names the business, by id or handle.
    pub tenant_claim: String,
}

impl AuthSettings {
    /// Reads the settings; `None` when no authorization server is named.
    ///
    /// # Errors
    /// One line naming the variable and what it accepts.
    pub fn read(settings: &Reader) -> Result<Option<AuthSettings>, BadSetting> {
        let accepts = "an https address, or an http one of this machine, without query";
        let address = |name: &str| {
            settings.checked(name, "", accepts, |text| {
                (text.is_empty() || fetchable(text).is_some()).then(|| text.to_owned())
            })
        };
        let issuer = address("MCP_AUTH_ISSUER")?;
        let jwks_url = address("MCP_AUTH_JWKS_URL")?;
        let audience = settings.optional("MCP_AUTH_AUDIENCE");
        let tenant_claim = settings.checked(
            "MCP_AUTH_TENANT_CLAIM",
            "tenant",
            "a claim's name",
            |text| Some(text.to_owned()),
        )?;
        if issuer.is_empty() {
            return Ok(None);
        }
        Ok(Some(AuthSettings {
            issuer,
            audience,
            jwks_url: Some(jwks_url).filter(|url| !url.is_empty()),
            tenant_claim,
        }))
    }
}

/// An address that keys may be fetched from: nobody on the way can put other keys in their place.
fn fetchable(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
    let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let safe = url.scheme() == "https" || (url.scheme() == "http" && loopback);
    let plain = url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    (safe && plain).then_some(url)
}

/// The authorization server whose tokens are taken.
pub struct AuthServer {
    issuer: String,
    audience: String,
    jwks_url: Option<String>,
    tenant_claim: String,
    outgoing: Outgoing,
    keys: RwLock<Arc<Keys>>,
    fetching: tokio::sync::Mutex<()>,
}

/// What is known of its keys.
#[derive(Default)]
struct Keys {
    keys: Vec<PublicKey>,
    /// When they were fetched.
    fetched_at: Option<DateTime<Utc>>,
    /// When they were last asked for, and whether that went well.
    tried: Option<(DateTime<Utc>, bool)>,
}

struct PublicKey {
    kid: Option<String>,
    /// The one algorithm its owner uses it with, where that is said.
    algorithm: Option<String>,
    kind: Kind,
    key: DecodingKey,
}

/// What a key is made of. A signature is only checked with a key of its algorithm's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    Ed25519,
}

/// The algorithms that are taken, with their names and kinds. All are asymmetric: whoever can check a signature cannot make one.
const ALGORITHMS: [(Algorithm, &str, Kind); 4] = [
    (Algorithm::RS256, "RS256", Kind::Rsa),
    (Algorithm::PS256, "PS256", Kind::Rsa),
    (Algorithm::ES256, "ES256", Kind::P256),
    (Algorithm::EdDSA, "EdDSA", Kind::Ed25519),
];

impl Keys {
    fn find(&self, header: &Header) -> Option<&PublicKey> {
        let (_, name, kind) = ALGORITHMS.iter().find(|(a, _, _)| *a == header.alg)?;
        let mut fitting = self.keys.iter().filter(|key| {
            key.kind == *kind
                && key.algorithm.as_deref().is_none_or(|a| a == *name)
                && (header.kid.is_none() || key.kid == header.kid)
        });
        let first = fitting.next()?;
        // A token that does not name its key is taken only where there is no choice.
        (header.kid.is_some() || fitting.next().is_none()).then_some(first)
    }

    fn is_younger(&self, than: TimeDelta, now: DateTime<Utc>) -> bool {
        self.fetched_at.is_some_and(|at| now - at < than)
    }
}

/// What a token says that was proven.
struct Claims {
    subject: String,
    tenant: String,
    scope: Option<Vec<String>>,
    expires_at: DateTime<Utc>,
}

impl AuthServer {
    /// As the settings have it. `resource` is the public address of `/mcp`. Nothing is fetched before the first token comes.
    #[must_use]
    pub fn new(settings: &AuthSettings, resource: &str) -> AuthServer {
        AuthServer {
            issuer: settings.issuer.clone(),
            audience: settings
                .audience
                .clone()
                .unwrap_or_else(|| resource.to_owned()),
            jwks_url: settings.jwks_url.clone(),
            tenant_claim: settings.tenant_claim.clone(),
            outgoing: Outgoing::default(),
            keys: RwLock::default(),
            fetching: tokio::sync::Mutex::default(),
        }
    }

    /// Its name.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// What its tokens for this server are made out to (RFC 8707).
    #[must_use]
    pub fn audience(&self) -> &str {
        &self.audience
    }

    fn current(&self) -> Arc<Keys> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&keys)
    }

    /// What a token says, once its signature, issuer, audience and times are proven.
    async fn proven(self: &Arc<Self>, token: &str, now: DateTime<Utc>) -> Result<Claims, NotKnown> {
        let header =
            jsonwebtoken::decode_header(token).map_err(|e| NotKnown::Invalid(e.to_string()))?;
        if !ALGORITHMS.iter().any(|(a, _, _)| *a == header.alg) {
            return Err(NotKnown::invalid("an algorithm that is not taken"));
        }
        if header.crit.is_some() {
            return Err(NotKnown::invalid("wants something understood that is not"));
        }
        let keys = self.keys_for(&header, now).await?;
        let key = keys
            .find(&header)
            .ok_or_else(|| NotKnown::invalid("signed with no key of the authorization server"))?;
        let mut validation = Validation::new(header.alg);
        validation.set_audience(&[&self.audience]);
        validation.set_issuer(&[&self.issuer]);
        validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        // Times are compared below, with our clock.
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<BTreeMap<String, Value>>(token, &key.key, &validation)
            .map_err(|e| NotKnown::Invalid(e.to_string()))?
            .claims;
        self.read(&claims, now)
    }

    fn read(
        &self,
        claims: &BTreeMap<String, Value>,
        now: DateTime<Utc>,
    ) -> Result<Claims, NotKnown> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let time = |name: &str| {
            let at = claims.get(name)?;
            // What is no time is none that has come.
            Some(at.as_i64().and_then(|s| DateTime::from_timestamp(s, 0)))
        };
        if text("iss") != Some(&self.issuer) {
            return Err(NotKnown::invalid("another issuer"));
        }
        let expires_at = time("exp")
            .flatten()
            .filter(|at| *at + LEEWAY > now)
            .ok_or_else(|| NotKnown::invalid("expired"))?;
        let has_come = |name| time(name).is_none_or(|at| at.is_some_and(|at| at <= now + LEEWAY));
        if !has_come("nbf") || !has_come("iat") {
            return Err(NotKnown::invalid("not yet valid"));
        }
        if claims.contains_key("cnf") {
            return Err(NotKnown::invalid(
                "bound to a key of its holder, which a bearer does not prove",
            ));
        }
        let subject = text("sub")
            .filter(|sub| (1..=SUBJECT_CHARS_MAX).contains(&sub.chars().count()))
            .ok_or_else(|| NotKnown::invalid("no subject"))?;
        let tenant =
            text(&self.tenant_claim).ok_or_else(|| NotKnown::invalid("names no business"))?;
        let scope = match claims.get("scope") {
            None => None,
            Some(Value::String(text)) => Some(text.split(' ').map(str::to_owned).collect()),
            Some(Value::Array(all)) => Some(
                all.iter()
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect(),
            ),
            Some(_) => return Err(NotKnown::invalid("a scope that is no text")),
        };
        Ok(Claims {
            subject: subject.to_owned(),
            tenant: tenant.to_owned(),
            scope,
            expires_at,
        })
    }

    /// The keys, with the one the token names in them if it can be had.
    async fn keys_for(
        self: &Arc<Self>,
        header: &Header,
        now: DateTime<Utc>,
    ) -> Result<Arc<Keys>, NotKnown> {
        let keys = self.current();
        if keys.is_younger(KEYS_STALE, now) && keys.find(header).is_some() {
            if !keys.is_younger(KEYS_OLD, now) && may_fetch(&keys, now) {
                let server = Arc::clone(self);
                tokio::spawn(async move { server.fetch_once(now).await });
            }
            return Ok(keys);
        }
        self.fetch_once(now).await;
        let keys = self.current();
        if keys.is_younger(KEYS_STALE, now) && keys.find(header).is_some() {
            return Ok(keys);
        }
        match keys.tried {
            Some((_, true)) => Ok(keys),
            _ => Err(NotKnown::Unavailable(
                "the authorization server's keys cannot be had".to_owned(),
            )),
        }
    }

    /// Fetches the keys, unless somebody has just done so. Those that wait meanwhile share what comes of it.
    async fn fetch_once(&self, now: DateTime<Utc>) {
        let _one = self.fetching.lock().await;
        let before = self.current();
        if !may_fetch(&before, now) {
            return;
        }
        let fetched = match tokio::time::timeout(FETCH, self.fetch()).await {
            Ok(fetched) => fetched,
            Err(_elapsed) => Err("no answer in time".to_owned()),
        };
        let after = match fetched {
            Ok(keys) => Keys {
                keys,
                fetched_at: Some(now),
                tried: Some((now, true)),
            },
            Err(error) => {
                tracing::warn!(%error, issuer = self.issuer, "the authorization server's keys were not fetched");
                Keys {
                    keys: before.keys.iter().map(PublicKey::copy).collect(),
                    fetched_at: before.fetched_at,
                    tried: Some((now, false)),
                }
            }
        };
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(after);
    }

    async fn fetch(&self) -> Result<Vec<PublicKey>, String> {
        let jwks_url = match &self.jwks_url {
            Some(url) => fetchable(url).ok_or("an address that keys are not fetched from")?,
            None => self.find_jwks_url().await?,
        };
        let set = self.get(jwks_url).await?;
        let keys: Vec<PublicKey> = set["keys"]
            .as_array()
            .ok_or("no set of keys")?
            .iter()
            .filter_map(public_key)
            .take(KEYS_MAX)
            .collect();
        if keys.is_empty() {
            return Err("no key that could be used".to_owned());
        }
        Ok(keys)
    }

    /// Where the keys are, by the issuer's metadata: RFC 8414, `OpenID` as RFC 8414 has it, `OpenID`.
    async fn find_jwks_url(&self) -> Result<Url, String> {
        let issuer = fetchable(&self.issuer).ok_or("an issuer that nothing is fetched from")?;
        let path = issuer.path().trim_end_matches('/');
        let mut wrong = String::new();
        for well_known in [
            format!("/.well-known/oauth-authorization-server{path}"),
            format!("{path}/.well-known/openid-configuration"),
            format!("/.well-known/openid-configuration{path}"),
        ] {
            let mut url = issuer.clone();
            url.set_path(&well_known);
            match self.get(url).await {
                Ok(found) if found["issuer"] == self.issuer.as_str() => {
                    let jwks_uri = found["jwks_uri"].as_str().and_then(fetchable);
                    return jwks_uri.ok_or_else(|| "metadata without a safe jwks_uri".to_owned());
                }
                Ok(_) => wrong = "metadata of another issuer".to_owned(),
                Err(error) => wrong = error,
            }
        }
        Err(format!("no metadata: {wrong}"))
    }

    async fn get(&self, url: Url) -> Result<Value, String> {
        let client = self.outgoing.client().map_err(|e| e.to_string())?;
        let request = client.get(url).header("accept", "application/json");
        let answered = self.outgoing.send(request).await;
        let answered = answered.map_err(|e| e.to_string())?;
        if answered.status != 200 {
            return Err(format!("answered {}", answered.status));
        }
        // A body beyond the limit was cut off and is no JSON.
        serde_json::from_slice(&answered.body).map_err(|e| e.to_string())
    }
}

fn may_fetch(keys: &Keys, now: DateTime<Utc>) -> bool {
    keys.tried
        .is_none_or(|(at, _)| now - at >= FETCH_AGAIN || now < at)
}

impl PublicKey {
    fn copy(&self) -> PublicKey {
        PublicKey {
            kid: self.kid.clone(),
            algorithm: self.algorithm.clone(),
            kind: self.kind,
            key: self.key.clone(),
        }
    }
}

/// A key of a set, unless it is none we could use. One that we do not understand spoils no other.
fn public_key(value: &Value) -> Option<PublicKey> {
    let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
    let signs = jwk
        .common
        .public_key_use
        .as_ref()
        .is_none_or(|u| *u == PublicKeyUse::Signature);
    let verifies = jwk
        .common
        .key_operations
        .as_ref()
        .is_none_or(|all| all.contains(&KeyOperations::Verify));
    let kind = match &jwk.algorithm {
        // Four characters of base64 are three bytes.
        AlgorithmParameters::RSA(rsa) if rsa.n.len() * 3 / 4 >= RSA_BYTES_MIN => Kind::Rsa,
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => Kind::P256,
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            Kind::Ed25519
        }
        _ => return None,
    };
    (signs && verifies).then_some(())?;
    Some(PublicKey {
        key: DecodingKey::from_jwk(&jwk).ok()?,
        kid: jwk.common.key_id,
        algorithm: value["alg"].as_str().map(str::to_owned),
        kind,
    })
}

/// Whose token it is.
pub(crate) async fn verify(app: &App, token: &str, now: DateTime<Utc>) -> Result<Seen, NotKnown> {
    let Some(server) = &app.auth_server else {
        return Err(NotKnown::invalid("no credential of ours"));
    };
    let claims = server.proven(token, now).await?;
    let tenant = match claims.tenant.parse::<Uuid>() {
        Ok(id) => TenantId(id),
        Err(_) => {
            let mut conn = app.pool.acquire().await?;
            let found = tenant_of_handle(&mut conn, &claims.tenant).await?;
            TenantId(found.ok_or_else(|| NotKnown::invalid("no such shop"))?)
        }
    };
    let revocations = app.identities.revoked_so_far(tenant);
    let mut tx = app.begin_reading(tenant).await?;
    let found = find_person(&mut tx, tenant, &server.issuer, &claims.subject).await?;
    drop(tx);
    let person = found
        .filter(|p| p.disabled_at.is_none() && p.suspended_at.is_none())
        .ok_or_else(|| NotKnown::invalid("no such person, or not any more"))?;
    let role = PrincipalRole::from_word(&person.role)
        .ok_or_else(|| NotKnown::Unavailable("a person's role is none".to_owned()))?;
    let attainable = stored_reach(&person.scopes);
    let reach = match &claims.scope {
        Some(scope) => attainable.narrowed(stored_reach(scope)),
        None => attainable,
    };
    let known = Known {
        caller: Caller {
            tenant,
            subject: person.subject,
            role,
            customer: person.customer_id,
            reach,
            door: Door::Token,
        },
        name: person.name,
        attainable,
        expires_at: Some(claims.expires_at),
    };
    Ok(Seen { known, revocations })
}

/// Names no tenant because none is known yet: one of the narrow functions that may look across.
async fn tenant_of_handle(
    conn: &mut PgConnection,
    handle: &str,
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!("select shop.tenant_of_handle($1)", handle)
        .fetch_one(conn)
        .await
}

struct Person {
    subject: String,
    name: String,
    role: String,
    customer_id: Option<Uuid>,
    scopes: Vec<String>,
    disabled_at: Option<DateTime<Utc>>,
    suspended_at: Option<DateTime<Utc>>,
}

async fn find_person(
    conn: &mut PgConnection,
    tenant: TenantId,
    issuer: &str,
    issuer_subject: &str,
) -> Result<Option<Person>, sqlx::Error> {
    sqlx::query_as!(
        Person,
        "select p.subject, p.name, p.role, p.customer_id, p.scopes, p.disabled_at, t.suspended_at
         from shop.people p join shop.tenants t on t.id = p.tenant_id
         where p.tenant_id = $1 and p.issuer = $2 and p.issuer_subject = $3",
        tenant.0,
        issuer,
        issuer_subject
    )
    .fetch_optional(conn)
    .await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn server() -> AuthServer {
        let settings = AuthSettings {
            issuer: "https://login.example".to_owned(),
            audience: None,
            jwks_url: None,
            tenant_claim: "tenant".to_owned(),
        };
        AuthServer::new(&settings, "https://shop.example/mcp")
    }

    #[test]
    fn keys_are_fetched_only_where_nobody_on_the_way_can_change_them() {
        for good in [
            "https://login.example",
            "https://login.example/realms/a",
            "http://127.0.0.1:9000/jwks",
            "http://localhost:9000",
            "http://[::1]:9000",
        ] {
            assert!(fetchable(good).is_some(), "{good}");
        }
        for bad in [
            "http://login.example",
            "http://127.0.0.1.login.example",
            "http://127.0.0.1@login.example",
            "https://me@login.example",
            "https://login.example/?realm=a",
            "ftp://localhost",
            "file:///etc/keys",
            "login.example",
        ] {
            assert!(fetchable(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn times_bind_to_the_second_and_what_is_no_time_is_refused() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let refused = |changes: Value| {
            let mut claims = json!({"iss": "https://login.example", "sub": "ana", "tenant": "corner", "exp": 1_800_000_060});
            for (name, value) in changes.as_object().unwrap() {
                claims[name] = value.clone();
            }
            let claims: BTreeMap<String, Value> = serde_json::from_value(claims).unwrap();
            server().read(&claims, now).is_err()
        };
        assert!(!refused(json!({})));
        assert!(!refused(
            json!({"nbf": 1_800_000_005, "iat": 1_799_999_000})
        ));
        assert!(!refused(json!({"exp": 1_799_999_996})), "clocks differ");
        for bad in [
            json!({"exp": 1_799_999_995}),
            json!({"exp": "1800000060"}),
            json!({"exp": null}),
            json!({"exp": i64::MAX}),
            json!({"nbf": 1_800_000_006}),
            json!({"nbf": "soon"}),
            json!({"iat": 1_800_000_006}),
            json!({"iss": ["https://login.example"]}),
            json!({"iss": "https://login.example/"}),
            json!({"sub": ""}),
            json!({"sub": 7}),
            json!({"tenant": null}),
            json!({"scope": 7}),
            json!({"cnf": {"jkt": "x"}}),
        ] {
            assert!(refused(bad.clone()), "{bad}");
        }
    }

    #[test]
    fn a_key_serves_its_own_kind_of_algorithm_and_signing_alone() {
        let coordinates = json!({"kty": "EC", "crv": "P-256", "kid": "a",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"});
        let with = |changes: Value| {
            let mut key = coordinates.clone();
            for (name, value) in changes.as_object().unwrap() {
                key[name] = value.clone();
            }
            key
        };
        let keys = |values: &[Value]| Keys {
            keys: values.iter().filter_map(public_key).collect(),
            ..Keys::default()
        };
        let header = |algorithm, kid: Option<&str>| {
            let mut header = Header::new(algorithm);
            header.kid = kid.map(str::to_owned);
            header
        };
        let one = keys(&[json!({"kty": "unheard of"}), coordinates.clone()]);
        assert!(one.find(&header(Algorithm::ES256, Some("a"))).is_some());
        assert!(one.find(&header(Algorithm::ES256, None)).is_some());
        assert!(one.find(&header(Algorithm::ES256, Some("b"))).is_none());
        for other in [
            Algorithm::RS256,
            Algorithm::PS256,
            Algorithm::EdDSA,
            Algorithm::HS256,
            Algorithm::ES384,
        ] {
            assert!(one.find(&header(other, Some("a"))).is_none(), "{other:?}");
        }
        let two = keys(&[coordinates.clone(), with(json!({"kid": "b"}))]);
        assert!(two.find(&header(Algorithm::ES256, None)).is_none());
        assert!(two.find(&header(Algorithm::ES256, Some("b"))).is_some());
        for useless in [
            json!({"use": "enc"}),
            json!({"key_ops": ["sign"]}),
            json!({"crv": "P-384"}),
        ] {
            assert!(keys(&[with(useless.clone())]).keys.is_empty(), "{useless}");
        }
        let other_alg = keys(&[with(json!({"alg": "ES384"}))]);
        assert!(
            other_alg
                .find(&header(Algorithm::ES256, Some("a")))
                .is_none()
        );
        let small = json!({"kty": "RSA", "kid": "r", "e": "AQAB", "n": "A".repeat(172)});
        assert!(keys(&[small]).keys.is_empty(), "1024 bits");
    }
}
