//! Owners administer their business, and people log in: over sockets, on pages, on the command line.

mod approvers;
mod command_line;
mod log_in;
mod over_http;

use contracts::ids::TenantId;
use contracts::token::{ISSUER, LIFETIME_SECONDS, SERVICE_AUDIENCE, ServiceClaims};
use e2e::world::{Setting, World};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mcp_server::start::Started;
use migrations::clock::new_id;
use migrations::database::Role;
use migrations::settings::Reader;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const OPERATOR_KEY: &str = "an operator's key that nobody else has";

/// A shop whose owner is at the machine, and beside it a server of the same database at which everybody needs a credential.
struct Stage {
    world: World,
    strict: Started,
}

/// What came back.
#[derive(Debug)]
struct Page {
    status: u16,
    location: String,
    cookie: String,
    text: String,
}

impl Stage {
    async fn open() -> Stage {
        Stage::open_with(Setting::default()).await
    }

    async fn open_with(setting: Setting) -> Stage {
        let world = World::open_with(setting).await;
        let strict = server(&world, &[("MCP_OPERATOR_KEY", OPERATOR_KEY)]).await;
        Stage { world, strict }
    }

    fn strict_url(&self) -> String {
        format!("http://{}", self.strict.address)
    }

    fn local_url(&self) -> String {
        format!("http://{}", self.world.shop.address)
    }

    /// Administers as the owner at the machine.
    async fn owner(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let url = format!("{}/admin/v1/{path}", self.local_url());
        answer(self.world.http.request(method, url), body).await
    }

    /// Administers with a credential, at the server that wants one.
    async fn with(&self, token: &str, method: Method, path: &str, body: Value) -> (u16, Value) {
        let url = format!("{}/admin/v1/{path}", self.strict_url());
        answer(
            self.world.http.request(method, url).bearer_auth(token),
            body,
        )
        .await
    }

    /// Adds a person; the password that was made up.
    async fn person(&self, subject: &str, role: &str) -> String {
        let body = json!({"subject": subject, "name": subject.to_uppercase(), "role": role});
        let (status, done) = self.owner(Method::POST, "people", body).await;
        assert_eq!(status, 201, "{done}");
        done["password"].as_str().expect("a password").to_owned()
    }

    /// Makes a key; its text.
    async fn key(&self, name: &str, role: &str, scopes: &[&str]) -> String {
        let body = json!({"name": name, "role": role, "scopes": scopes});
        let (status, made) = self.owner(Method::POST, "keys", body).await;
        assert_eq!(status, 201, "{made}");
        made["secret"].as_str().expect("a key").to_owned()
    }

    /// Fills in the log-in form as a browser does.
    async fn enter(&self, shop: &str, name: &str, password: &str, next: &str) -> Page {
        let origin = self.strict_url();
        let form = form(&[
            ("shop", shop),
            ("name", name),
            ("password", password),
            ("next", next),
        ]);
        let request = self.world.http.post(format!("{origin}/login"));
        page(browsing(request).header("origin", origin).body(form)).await
    }

    /// The session's cookie of somebody of the demo shop.
    async fn session(&self, name: &str, password: &str) -> String {
        let entered = self.enter("demo", name, password, "").await;
        assert_eq!(entered.status, 303, "{}", entered.text);
        entered
            .cookie
            .split(';')
            .next()
            .unwrap_or_default()
            .to_owned()
    }

    /// Opens a page of the strict server.
    async fn browse(&self, path: &str, cookie: &str) -> Page {
        let request = self.world.http.get(format!("{}{path}", self.strict_url()));
        page(browsing(request).header("cookie", cookie)).await
    }

    /// A token with which the agent speaks for itself.
    fn service_token(&self) -> String {
        let app = &self.world.shop.app;
        let now = app.clock.now().timestamp();
        let claims = ServiceClaims {
            iss: ISSUER.to_owned(),
            aud: SERVICE_AUDIENCE.to_owned(),
            iat: now,
            exp: now + LIFETIME_SECONDS,
            jti: new_id(&*app.clock),
        };
        let key = EncodingKey::from_secret(&app.agent_token_key);
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).expect("a token")
    }

    /// Everything that always has to hold does.
    async fn all_holds(&self) {
        let variables = self.world.variables(Role::Shop);
        let findings = mcp_server::check::look(&variables["DATABASE_OWNER_URL"])
            .await
            .expect("looked at");
        let broken: Vec<_> = findings
            .rules
            .iter()
            .filter(|found| found.broken > 0)
            .collect();
        assert!(broken.is_empty(), "{broken:?}");
    }
}

/// One more server of a shop, at which everybody needs a credential.
async fn server(world: &World, more: &[(&str, &str)]) -> Started {
    let mut variables = world.variables(Role::Shop);
    variables.insert("MCP_LOCAL_MODE".to_owned(), "off".to_owned());
    variables.extend(
        more.iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    );
    let reader = Reader::new(move |name| variables.get(name).cloned());
    let config = mcp_server::config::Config::read(&reader).expect("settings");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let quiet: &mut (dyn FnMut(&str) + Send) = &mut |_| {};
    mcp_server::start::start_on(listener, config, mcp_server::app::Hooks::default(), quiet)
        .await
        .expect("a server")
}

fn browsing(request: RequestBuilder) -> RequestBuilder {
    request
        .header("accept", "text/html,application/xhtml+xml")
        .header("content-type", "application/x-www-form-urlencoded")
}

fn form(pairs: &[(&str, &str)]) -> String {
    let escaped = |text: &str| -> String {
        text.bytes()
            .map(|byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            })
            .collect()
    };
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={}", escaped(value)))
        .collect();
    pairs.join("&")
}

async fn page(request: RequestBuilder) -> Page {
    let response = request.send().await.expect("an answer");
    let header = |name: &str| {
        let value = response.headers().get(name).and_then(|v| v.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    Page {
        status: response.status().as_u16(),
        location: header("location"),
        cookie: header("set-cookie"),
        text: response.text().await.expect("a page"),
    }
}

/// Null is no body.
async fn answer(request: RequestBuilder, body: Value) -> (u16, Value) {
    let request = if body.is_null() {
        request
    } else {
        request.json(&body)
    };
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    let text = response.text().await.expect("a body");
    (
        status,
        serde_json::from_str(&text).unwrap_or(Value::String(text)),
    )
}

/// Sugar, as everybody here sells it.
fn sale() -> Value {
    json!({"customer": "Ali", "lines": [{"item": "Shampoo", "quantity": "1"}], "idempotency_key": "sale"})
}

const SALE: &str = "billing_create_bill";
const TENANT: TenantId = TenantId::DEMO;
