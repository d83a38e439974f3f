//! Who gets through the door: no page of another site, no rebound name, no bad token.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::{Json, body};
use chrono::{DateTime, Utc};
use contracts::identity::INTROSPECT_PATH;
use contracts::scope::{ADMIN, Reach, TOOLSETS};
use contracts::tool::ToolSheet;
use serde_json::json;

use crate::app::App;
use crate::caller::{Caller, Door, LOCAL_OWNER};
use crate::identity::introspect::{CREDENTIAL_BYTES_MAX, bearer};
use crate::identity::{self, Known, NotKnown, sessions};
use crate::limits::TooMany;
use crate::pages::login;

/// What the door lets through.
#[derive(Clone)]
pub struct Guard {
    /// Knows callers, and how much is taken of them.
    pub app: Arc<App>,
    /// Names besides loopback's under which we are reached, with or without port.
    pub allowed_hosts: Vec<String>,
}

/// Refuses foreign sites, names the caller, and narrows what it may reach to what settings and headers leave.
pub(crate) async fn admit(
    State(guard): State<Guard>,
    mut request: Request,
    next: Next,
) -> Response {
    let shortfall = match let_in(&guard, &mut request).await {
        Ok(shortfall) => shortfall,
        Err(refusal) => return read_out(request, *refusal).await,
    };
    let response = next.run(request).await;
    match shortfall.wanted() {
        Some(scopes) => insufficient(response, &guard.app, scopes),
        None => response,
    }
}

async fn let_in(guard: &Guard, request: &mut Request) -> Result<Shortfall, Box<Response>> {
    let app = &guard.app;
    from_own_site(request, guard).map_err(|reason| refuse(StatusCode::FORBIDDEN, reason))?;
    if app.read_only && !is_safe(request) {
        return Err(Box::new(refuse(StatusCode::FORBIDDEN, ONLY_READS)));
    }
    let within = narrowed(request.headers())
        .map(|headers| app.within.narrowed(headers))
        .map_err(|reason| refuse(StatusCode::BAD_REQUEST, &reason))?;
    let cookie = sessions::cookie_for(request.uri().path(), request.headers());
    let known = known(request.headers(), cookie, peer(request), app).await;
    let known = known.map_err(|refusal| match refusal {
        // A person is shown where to log in; a program is told what it lacks.
        Refusal::Nobody => login::instead(request).unwrap_or_else(|| refusal.response(app)),
        refusal => refusal.response(app),
    })?;
    if cookie.is_some() && !is_safe(request) && !says_its_origin(request.headers()) {
        return Err(Box::new(refuse(
            StatusCode::FORBIDDEN,
            "Answer on the page itself, in a browser that says which page it comes from.",
        )));
    }
    if let Err(too_many) = app.limits.request(&known.caller, app.local_mode) {
        return Err(Box::new(Refusal::TooMany(too_many).response(app)));
    }
    let shortfall = Shortfall::new(&known, within);
    let caller = Caller {
        reach: known.caller.reach.narrowed(within),
        ..known.caller.clone()
    };
    request.extensions_mut().insert(caller);
    request.extensions_mut().insert(shortfall.clone());
    if let Some(end) = known.expires_at {
        request.extensions_mut().insert(CredentialEnd(end));
    }
    Ok(shortfall)
}

/// When the credential of a request ends: what it began, such as listening, does not outlive it. Not there where it has no end, and not for
/// the agent, which makes a token for each request and stands for people whose rights are followed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CredentialEnd(pub(crate) DateTime<Utc>);

/// Most that is read of a refused request, bytes, and how long it may take to come.
const REFUSED_BYTES_MAX: usize = 64 * 1024;
const REFUSED_WAIT: Duration = Duration::from_secs(1);

/// Answers with a refusal once the request's body has been read away. A connection with half a request on it can carry no other and is closed
/// without a word; a client that was told to bring a token would come back with it on that very connection. One that sends too much, or too
/// slowly, is told that the connection ends.
async fn read_out(request: Request, mut refusal: Response) -> Response {
    let rest = body::to_bytes(request.into_body(), REFUSED_BYTES_MAX);
    if !matches!(tokio::time::timeout(REFUSED_WAIT, rest).await, Ok(Ok(_))) {
        let close = HeaderValue::from_static("close");
        refusal.headers_mut().insert(header::CONNECTION, close);
    }
    refusal
}

/// Every browser says so of a form since 2020. One that does not may not keep the cookie from other sites either.
fn says_its_origin(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ORIGIN)
}

const ONLY_READS: &str = "This server only reads: nothing can be answered or changed through it.";

/// Whether a request changes nothing: by its method, because it asks who somebody is, or because it asks for a tool, which is judged where
/// tools are called.
fn is_safe(request: &Request) -> bool {
    let path = request.uri().path();
    matches!(*request.method(), Method::GET | Method::HEAD)
        || is_mcp(path)
        || path == INTROSPECT_PATH
}

fn is_mcp(path: &str) -> bool {
    path == "/mcp" || path.starts_with("/mcp/")
}

/// Refuses foreign sites, for what names its callers by itself or needs none.
pub(crate) async fn own_site(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match from_own_site(&request, &guard) {
        Ok(()) if guard.app.read_only && !is_safe(&request) => {
            read_out(request, refuse(StatusCode::FORBIDDEN, ONLY_READS)).await
        }
        Ok(()) => next.run(request).await,
        Err(reason) => read_out(request, refuse(StatusCode::FORBIDDEN, reason)).await,
    }
}

fn from_own_site(request: &Request, guard: &Guard) -> Result<(), &'static str> {
    same_site(request.headers(), &guard.allowed_hosts)
        .and_then(|()| one_host(request.uri(), request.headers()))
        .and_then(|()| from_own_page(request.uri().path(), request.headers()))
}

fn refuse(status: StatusCode, reason: &str) -> Response {
    (status, Json(json!({"error": reason}))).into_response()
}

/// Why a request has no caller.
enum Refusal {
    /// It brings no credential.
    Nobody,
    /// What it brings is not good.
    BadCredential,
    /// It cannot be told now whether it is.
    Unavailable,
    /// One too many.
    TooMany(TooMany),
}

impl Refusal {
    fn response(self, app: &App) -> Response {
        match self {
            Refusal::Nobody => challenged(
                refuse(StatusCode::UNAUTHORIZED, "A token is needed."),
                app,
                &initial_scopes(app.within),
                None,
            ),
            Refusal::BadCredential => challenged(
                refuse(StatusCode::UNAUTHORIZED, "The token is not valid."),
                app,
                &initial_scopes(app.within),
                Some("invalid_token"),
            ),
            Refusal::Unavailable => {
                let told = "It cannot be told now who is calling. Try again in a moment.";
                let mut response = refuse(StatusCode::SERVICE_UNAVAILABLE, told);
                let headers = response.headers_mut();
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
                response
            }
            Refusal::TooMany(TooMany { retry_after_s }) => {
                let told = json!({"error": "Too many requests. Wait, then try again.", "retry_after_seconds": retry_after_s});
                let mut response = (StatusCode::TOO_MANY_REQUESTS, Json(told)).into_response();
                let headers = response.headers_mut();
                headers.insert(header::RETRY_AFTER, retry_after_s.into());
                response
            }
        }
    }
}

/// Says how to get in (RFC 6750, RFC 9728): where a token can be had, and for what.
fn challenged(
    mut response: Response,
    app: &App,
    scopes: &[String],
    error: Option<&str>,
) -> Response {
    let mut challenge = String::from("Bearer realm=\"countersign\"");
    if app.auth_server.is_some() {
        let metadata = format!("{}{METADATA_PATH}/mcp", app.public_url);
        challenge.push_str(&format!(", resource_metadata=\"{metadata}\""));
    }
    challenge.push_str(&format!(", scope=\"{}\"", scopes.join(" ")));
    if let Some(error) = error {
        challenge.push_str(&format!(", error=\"{error}\""));
    }
    // A public address that cannot stand in a header leaves the bare challenge.
    let challenge = HeaderValue::from_str(&challenge).unwrap_or(HeaderValue::from_static("Bearer"));
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, challenge);
    response
}

/// The scopes a client begins with: all that is offered here. Whatever cannot be taken back is asked of a person anyway.
fn initial_scopes(within: Reach) -> Vec<String> {
    if within.narrowed(Reach::TOOLS) == Reach::TOOLS {
        return vec!["all:commit".to_owned()];
    }
    if within.narrowed(Reach::TOOLS) == Reach::READING {
        return vec!["all:read".to_owned()];
    }
    within.narrowed(Reach::TOOLS).scopes()
}

/// The same reply with the status and the challenge of a token that does not reach far enough (RFC 6750).
fn insufficient(mut response: Response, app: &App, scopes: &[String]) -> Response {
    *response.status_mut() = StatusCode::FORBIDDEN;
    challenged(response, app, scopes, Some("insufficient_scope"))
}

/// Where a handler notes that a call failed for want of a scope that its caller could have. The door then answers 403 with the challenge.
#[derive(Debug, Clone)]
pub(crate) struct Shortfall(Arc<Lack>);

#[derive(Debug)]
struct Lack {
    /// What the credential reaches.
    granted: Reach,
    /// What a better one would, of what is offered here. The same where no better one is to be had.
    attainable: Reach,
    wanted: OnceLock<Vec<String>>,
}

impl Shortfall {
    fn new(known: &Known, within: Reach) -> Shortfall {
        let granted = known.caller.reach;
        let attainable = match known.caller.door {
            Door::Key(_) | Door::Token => known.attainable.narrowed(within),
            // There is no other credential to come back with.
            Door::Local | Door::Agent { .. } | Door::Session => granted,
        };
        Shortfall(Arc::new(Lack {
            granted,
            attainable,
            wanted: OnceLock::new(),
        }))
    }

    /// Notes a call of this tool, if it was refused for want of a scope alone.
    pub(crate) fn note(&self, caller: &Caller, sheet: &ToolSheet) {
        let allows = |reach: Reach| reach.allows(sheet.toolset, sheet.effect);
        let Lack {
            granted,
            attainable,
            wanted,
        } = &*self.0;
        if caller.role < sheet.least_role || allows(*granted) || !allows(*attainable) {
            return;
        }
        // What the token has already stays in the challenge, so that a client does not lose it by asking for more.
        let needed = format!("{}:{}", sheet.toolset.word(), sheet.effect.word());
        let mut scopes = granted.scopes();
        scopes.push(needed);
        let together =
            Reach::of_scopes(scopes.iter().map(String::as_str)).map_or(scopes, Reach::scopes);
        let _ = wanted.set(together);
    }

    fn wanted(&self) -> Option<&[String]> {
        self.0.wanted.get().map(Vec::as_slice)
    }
}

/// Where the description of this server as a protected resource is (RFC 9728).
pub(crate) const METADATA_PATH: &str = "/.well-known/oauth-protected-resource";

/// `GET /.well-known/oauth-protected-resource[/mcp]`
pub(crate) async fn metadata(State(app): State<Arc<App>>) -> Response {
    let Some(server) = &app.auth_server else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let mut scopes = vec!["all:read", "all:write", "all:commit"];
    let each: Vec<String> = TOOLSETS
        .iter()
        .flat_map(|toolset| {
            ["read", "write", "commit"].map(|effect| format!("{}:{effect}", toolset.word()))
        })
        .collect();
    scopes.extend(each.iter().map(String::as_str));
    scopes.push(ADMIN);
    Json(json!({
        "resource": server.audience(),
        "authorization_servers": [server.issuer()],
        "scopes_supported": scopes,
        "bearer_methods_supported": ["header"],
        "resource_name": "countersign",
    }))
    .into_response()
}

/// Toolsets a request confines itself to.
const TOOLSETS_HEADER: &str = "x-mcp-toolsets";
/// Whether it confines itself to reading.
const READ_ONLY_HEADER: &str = "x-mcp-readonly";

/// What the request's own headers leave. They can only take away.
fn narrowed(headers: &HeaderMap) -> Result<Reach, String> {
    let mut reach = Reach::EVERYTHING;
    for value in headers.get_all(TOOLSETS_HEADER) {
        let words = value.to_str().unwrap_or("?").split(',').map(str::trim);
        reach = reach.narrowed(Reach::of_toolsets(words).map_err(|bad| {
            format!("X-MCP-Toolsets: `{}` is no toolset. It takes toolsets with commas between, such as inventory,billing.", shown(&bad.0))
        })?);
    }
    for value in headers.get_all(READ_ONLY_HEADER) {
        match value.to_str().unwrap_or("?").trim() {
            "true" | "1" => reach = reach.narrowed(Reach::READING),
            "false" | "0" => {}
            other => {
                return Err(format!(
                    "X-MCP-Readonly: `{}` is not accepted. It takes true or false.",
                    shown(other)
                ));
            }
        }
    }
    Ok(reach)
}

fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

/// A request is ours when it was sent to one of our names and, if a browser sent it, from one of our pages. The name matters because a
/// hostile site can point its own name at this machine.
pub(crate) fn same_site(headers: &HeaderMap, allowed_hosts: &[String]) -> Result<(), &'static str> {
    let text = |name: header::HeaderName| headers.get(name).map(|v| v.to_str().unwrap_or("?"));
    let host = text(header::HOST).ok_or("The Host header is missing.")?;
    if !is_ours(host, allowed_hosts) {
        return Err(
            "This host name is not one of ours. Add it to MCP_ALLOWED_HOSTS if it should be.",
        );
    }
    for origin in headers.get_all(header::ORIGIN) {
        let origin = origin.to_str().unwrap_or("?");
        let origin_host = origin.split_once("://").map_or("", |(_, rest)| rest);
        if !is_ours(origin_host, allowed_hosts) {
            return Err("Requests from other sites are refused.");
        }
    }
    match text(header::HeaderName::from_static("sec-fetch-site")) {
        None | Some("same-origin" | "none") => Ok(()),
        // A person following a link to a page of ours; answering it is a request of its own.
        Some(_)
            if text(header::HeaderName::from_static("sec-fetch-mode")) == Some("navigate")
                && !headers.contains_key(header::ORIGIN) =>
        {
            Ok(())
        }
        Some(_) => Err("Requests from other sites are refused."),
    }
}

/// Where a form is posted from its own page alone.
const OWN_PAGES: [&str; 4] = ["/approvals", "/admin", "/login", "/logout"];

/// An answer on the approval page comes from that page. Another program's page on this machine, on a port of its own, is a stranger too;
/// a browser too old for `Sec-Fetch-Site` still names it in `Origin`.
fn from_own_page(path: &str, headers: &HeaderMap) -> Result<(), &'static str> {
    let (Some(origin), Some(host)) = (headers.get(header::ORIGIN), headers.get(header::HOST))
    else {
        return Ok(());
    };
    let page = origin.to_str().ok().and_then(|o| o.split_once("://"));
    let own = page.is_some_and(|(_, authority)| authority.as_bytes() == host.as_bytes());
    if own || !OWN_PAGES.iter().any(|page| path.starts_with(page)) {
        Ok(())
    } else {
        Err("This is done on its own page only.")
    }
}

/// A request that names two hosts means one of them to whoever stands between: neither is to be believed.
fn one_host(uri: &Uri, headers: &HeaderMap) -> Result<(), &'static str> {
    let mut named = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (named.next(), named.next()) else {
        return Err("A request names exactly one host.");
    };
    match uri.authority() {
        Some(other)
            if !other
                .as_str()
                .as_bytes()
                .eq_ignore_ascii_case(host.as_bytes()) =>
        {
            Err("The request line names another host.")
        }
        _ => Ok(()),
    }
}

fn is_ours(authority: &str, allowed_hosts: &[String]) -> bool {
    // Whatever stands before an @ is no host, however much it looks like one.
    if authority.contains('@') {
        return false;
    }
    if allowed_hosts
        .iter()
        .any(|allowed| allowed.eq_ignore_ascii_case(authority))
    {
        return true;
    }
    let name = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority
            .rsplit_once(':')
            .map_or(authority, |(name, _)| name),
    };
    allowed_hosts
        .iter()
        .any(|allowed| allowed.eq_ignore_ascii_case(name))
        || name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Who sends a request. A cookie counts where nothing else is brought, and one that has ended is as none.
async fn known(
    headers: &HeaderMap,
    cookie: Option<&str>,
    peer: Option<IpAddr>,
    app: &App,
) -> Result<Arc<Known>, Refusal> {
    let brought = credential(headers)?;
    let Some(credential) = brought.or(cookie) else {
        return nobody(app);
    };
    // A signed token is told from a guess without a look-up.
    let look_up = !credential.contains('.') && !app.identities.was_good(credential);
    if look_up {
        app.limits.may_guess(peer).map_err(Refusal::TooMany)?;
    }
    let found = identity::who(app, credential).await.map_err(|error| {
        match error {
            NotKnown::Unavailable(_) => {
                tracing::error!(%error, "who calls cannot be told");
                Refusal::Unavailable
            }
            NotKnown::Invalid(_) => match app.limits.guessed(peer) {
                Ok(()) => {
                    // Not said of one too many: a flood of bad credentials is no flood of the log.
                    tracing::warn!(%error, "credential refused");
                    brought.map_or(Refusal::Nobody, |_| Refusal::BadCredential)
                }
                Err(too_many) => Refusal::TooMany(too_many),
            },
        }
    });
    match found {
        Err(Refusal::Nobody) => nobody(app),
        found => found,
    }
}

/// Whoever brings no credential.
fn nobody(app: &App) -> Result<Arc<Known>, Refusal> {
    if !app.local_mode {
        return Err(Refusal::Nobody);
    }
    Ok(Arc::new(Known {
        caller: Caller::local_owner(),
        name: LOCAL_OWNER.to_owned(),
        attainable: Reach::EVERYTHING,
        expires_at: None,
    }))
}

/// What a request brings to say who sends it; nothing is fine in local mode.
fn credential(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    match (given.next(), given.next()) {
        (None, _) => Ok(None),
        (Some(_), None) => bearer(headers)
            .filter(|credential| credential.len() <= CREDENTIAL_BYTES_MAX)
            .map(Some)
            .ok_or(Refusal::BadCredential),
        // Whoever stands between may have believed the other.
        (Some(_), Some(_)) => Err(Refusal::BadCredential),
    }
}

/// The address a request comes from. Behind a proxy, the proxy's: what a request says of itself is not believed.
fn peer(request: &Request) -> Option<IpAddr> {
    let info = request.extensions().get::<ConnectInfo<SocketAddr>>()?;
    Some(info.0.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(pairs: &[(&'static str, &str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, value.parse().unwrap());
        }
        same_site(&headers, &["shop.example".to_owned()]).is_ok()
    }

    #[test]
    fn a_question_is_answered_on_its_own_page_only() {
        let from = |path: &str, origin: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "127.0.0.1:8001".parse().unwrap());
            headers.insert(header::ORIGIN, origin.parse().unwrap());
            from_own_page(path, &headers).is_ok()
        };
        assert!(from("/approvals/1", "http://127.0.0.1:8001"));
        assert!(
            !from("/approvals/1", "http://127.0.0.1:3000"),
            "another program's page"
        );
        assert!(!from("/approvals/1", "null"));
        assert!(!from("/login", "http://127.0.0.1:3000"));
        assert!(!from("/admin/v1/people", "http://127.0.0.1:3000"));
        assert!(
            from("/mcp", "http://127.0.0.1:3000"),
            "MCP clients in a browser have pages of their own"
        );
    }

    #[test]
    fn only_our_own_names_and_pages_come_in() {
        for host in [
            "127.0.0.1:8001",
            "localhost:8001",
            "[::1]:8001",
            "localhost",
            "shop.example",
            "shop.example:443",
            "127.8.9.1:1",
        ] {
            assert!(judged(&[("host", host)]), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:8001",
            "10.0.0.1:8001",
            "127.0.0.1:8001@evil.example",
            "",
        ] {
            assert!(!judged(&[("host", host)]), "{host}");
        }
        assert!(!judged(&[]), "no host at all");
        assert!(judged(&[
            ("host", "localhost:8001"),
            ("origin", "http://localhost:8000")
        ]));
        for origin in [
            "http://evil.example",
            "null",
            "https://localhost.evil.example",
            "file://",
        ] {
            assert!(
                !judged(&[("host", "localhost:8001"), ("origin", origin)]),
                "{origin}"
            );
        }
        assert!(!judged(&[
            ("host", "localhost"),
            ("sec-fetch-site", "cross-site")
        ]));
        assert!(!judged(&[
            ("host", "localhost"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-mode", "cors")
        ]));
        assert!(judged(&[
            ("host", "localhost"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate")
        ]));
        let posted = [
            ("host", "localhost"),
            ("origin", "http://evil.example"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
        ];
        assert!(
            !judged(&posted),
            "a form posted from elsewhere navigates too"
        );
    }
}
