//! The door: which requests come in, and as whom.
//!
//! In local mode there is no log-in, and only this machine's own programs and our own page may come in, as the owner. Else every request
//! shows a credential, a bearer or the cookie of a log-in, and the tool server says whose it is. A bearer counts in local mode as well.
//! In both modes:
//!
//! - *DNS rebinding*: a foreign name that resolves to 127.0.0.1 reaches us with its own `Host`, which is refused.
//! - *Cross-site requests*: a browser says with `Origin` and `Sec-Fetch-Site` which page asks; any page but ours is refused, also one
//!   on another port of this machine. Following a link to the page itself is allowed, to nothing else.
//! - *Browsers that send neither* (old ones, and any over plain HTTP to a name that is not loopback): a foreign page cannot send a JSON
//!   POST without `Origin`, but it can send a GET. The one GET that starts work therefore also wants our own `Referer` from them.
//!
//! Programs such as curl send none of these headers and pass.
//!
//! The cookie of a log-in is `SameSite=Strict` on top of this, so a browser sends it with our own pages' requests alone. Whoever follows a
//! link from elsewhere comes without it, and the chat page then asks itself for once more ([`crate::pages`]).

use std::sync::Arc;
use std::time::Duration;

use axum::body;
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use contracts::http::problem::ProblemCode;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Uri, header};

use super::problem::{Refusal, UNAVAILABLE};
use crate::app::App;
use crate::identity::{Known, NotNamed};
use crate::pages;
use crate::principal::Principal;

/// Names of this machine that nobody else can point elsewhere.
const LOOPBACK_HOSTS: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];
const HOST_REFUSED: &str = "This address is not served. Open it as http://127.0.0.1 with the agent's port, or add the host to the allowed hosts.";
const SITE_REFUSED: &str =
    "Requests from other sites are not served. Open the agent's own page and try there.";

/// The cookie of a log-in; the tool server's pages know it too.
pub const SESSION_COOKIE: &str = "countersign_session";
/// Paths that ask nobody who they are: where one logs in, what every page loads, what watches the process.
const OPEN: [&str; 5] = ["/login", "/logout", "/healthz", "/readyz", "/metrics"];
const NOBODY: &str =
    "Nobody is logged in. Log in at /login, or send an API key as Authorization: Bearer.";

/// Who is calling: set by [`enter`], read by the handlers.
#[derive(Debug, Clone)]
pub struct Caller(pub Principal);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Caller, Refusal> {
        parts
            .extensions
            .get::<Caller>()
            .cloned()
            .ok_or_else(|| Refusal::new(ProblemCode::Unauthenticated, NOBODY))
    }
}

/// The person who has logged in, for the pages that greet one. Nobody in local mode.
#[derive(Debug, Clone)]
pub struct Person(pub Arc<Known>);

/// Refuses other sites, then names the caller.
pub async fn enter(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    match let_in(&app, &mut request).await {
        Ok(()) => next.run(request).await,
        Err(refusal) => read_out(request, *refusal).await,
    }
}

async fn let_in(app: &App, request: &mut Request) -> Result<(), Box<Response>> {
    let refused = |refusal: Refusal| Box::new(refusal.into_response());
    let (method, uri) = (request.method(), request.uri());
    admit(method, uri, request.headers(), &app.settings.allowed_hosts).map_err(refused)?;
    if is_open(uri.path()) {
        return Ok(());
    }
    match caller(app, request.headers()).await {
        Ok(Named::Owner) => {
            let owner = Caller(Principal::local_owner());
            request.extensions_mut().insert(owner);
        }
        Ok(Named::Known(known)) => {
            let caller = Caller(known.principal.clone());
            request.extensions_mut().insert(caller);
            request.extensions_mut().insert(Person(Arc::new(known)));
        }
        Err(refusal) if refusal.code() == ProblemCode::Unauthenticated && is_page(method, uri) => {
            return Err(Box::new(pages::to_log_in(request.headers())));
        }
        Err(refusal) => return Err(refused(refusal)),
    }
    Ok(())
}

/// Most that is read of a refused request, bytes, and how long it may take to come.
const REFUSED_BYTES_MAX: usize = 64 * 1024;
const REFUSED_WAIT: Duration = Duration::from_secs(1);

/// Answers with a refusal once the request's body has been read away: a connection with half a request on it can carry no other and is
/// closed without a word. One that sends too much, or too slowly, is told that the connection ends.
async fn read_out(request: Request, mut refusal: Response) -> Response {
    let rest = body::to_bytes(request.into_body(), REFUSED_BYTES_MAX);
    if !matches!(tokio::time::timeout(REFUSED_WAIT, rest).await, Ok(Ok(_))) {
        let close = HeaderValue::from_static("close");
        refusal.headers_mut().insert(header::CONNECTION, close);
    }
    refusal
}

/// Who comes in.
enum Named {
    /// Whoever reaches us in local mode.
    Owner,
    /// Somebody who has shown who it is.
    Known(Known),
}

/// Whose request it is. A bearer is never passed over, not even for a cookie: who shows one means to be whom it names.
async fn caller(app: &App, headers: &HeaderMap) -> Result<Named, Refusal> {
    let nobody = || Refusal::new(ProblemCode::Unauthenticated, NOBODY);
    let credential = match (bearer(headers), app.settings.local_mode) {
        (Bearer::Token(token), _) => token,
        (Bearer::Unreadable, _) => {
            return Err(nobody()
                .with_bad_token()
                .because("Authorization is no single Bearer"));
        }
        (Bearer::None, true) => return Ok(Named::Owner),
        (Bearer::None, false) => session_cookie(headers).ok_or_else(nobody)?,
    };
    match app.identities.who(credential).await {
        Ok(known) => Ok(Named::Known(known)),
        Err(NotNamed::Unreachable(cause)) => {
            Err(Refusal::new(ProblemCode::Unavailable, UNAVAILABLE).because(cause))
        }
        Err(NotNamed::Nobody | NotNamed::TooMany) => Err(nobody()
            .with_bad_token()
            .because("the credential is nobody's")),
    }
}

/// What `Authorization` says.
enum Bearer<'a> {
    None,
    Token(&'a str),
    /// Another scheme, several, or no text.
    Unreadable,
}

fn bearer(headers: &HeaderMap) -> Bearer<'_> {
    let mut named = headers.get_all(header::AUTHORIZATION).iter();
    let (one, more) = (named.next(), named.next());
    let Some(value) = one else {
        return Bearer::None;
    };
    let token = value.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    match (token, more) {
        (Some(token), None) => Bearer::Token(token),
        _ => Bearer::Unreadable,
    }
}

/// The token of a log-in. Of several cookies of that name none counts: one may have been planted by a neighbour.
#[must_use]
pub fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    let mut found = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| *name == SESSION_COOKIE)
        .map(|(_, token)| token);
    let (one, more) = (found.next(), found.next());
    one.filter(|token| more.is_none() && !token.is_empty())
}

fn is_open(path: &str) -> bool {
    path.starts_with("/static/") || OPEN.contains(&path.strip_prefix("/api").unwrap_or(path))
}

/// Whether a browser asks for the chat page, which sends whoever is nobody to the log-in page.
fn is_page(method: &Method, uri: &Uri) -> bool {
    uri.path() == "/" && matches!(*method, Method::GET | Method::HEAD)
}

/// Whether a request comes from this machine's programs or our own page.
fn admit(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    allowed_hosts: &[String],
) -> Result<(), Refusal> {
    let host = host(uri, headers, allowed_hosts)?;
    let foreign = |cause: String| Refusal::new(ProblemCode::Forbidden, SITE_REFUSED).because(cause);

    let is_page =
        matches!(uri.path(), "/" | "/login") && matches!(*method, Method::GET | Method::HEAD);
    let site = text(headers, "sec-fetch-site");
    match site {
        None | Some("same-origin" | "none") => {}
        Some("cross-site" | "same-site")
            if is_page && text(headers, "sec-fetch-mode") == Some("navigate") => {}
        Some(site) => return Err(foreign(format!("Sec-Fetch-Site {site}"))),
    }
    for origin in headers.get_all(header::ORIGIN) {
        if !is_ours(origin.to_str().unwrap_or_default(), &host, allowed_hosts) {
            return Err(foreign(format!("Origin {origin:?}")));
        }
    }
    let old_browser = site.is_none()
        && !headers.contains_key(header::ORIGIN)
        && text(headers, "user-agent").is_some_and(|agent| agent.starts_with("Mozilla/"));
    if old_browser
        && starts_work_by_get(method, uri)
        && !text(headers, "referer").is_some_and(|page| is_ours(page, &host, allowed_hosts))
    {
        return Err(foreign(
            "a browser's GET without Origin, Sec-Fetch-Site or our Referer".to_owned(),
        ));
    }
    Ok(())
}

/// The one host that the request addresses, if it is one of ours.
fn host(uri: &Uri, headers: &HeaderMap, allowed_hosts: &[String]) -> Result<Authority, Refusal> {
    let refused =
        |cause: &str| Refusal::new(ProblemCode::Forbidden, HOST_REFUSED).because(cause.to_owned());
    let mut named = headers.get_all(header::HOST).iter();
    let (Some(named), None) = (named.next(), named.next()) else {
        return Err(refused("not exactly one Host"));
    };
    let host = named
        .to_str()
        .ok()
        .and_then(|host| host.parse::<Authority>().ok())
        .filter(|host| !host.as_str().contains('@'))
        .ok_or_else(|| refused("Host cannot be read"))?;
    // `GET http://other/ HTTP/1.1` names a second host.
    if uri.authority().is_some_and(|other| *other != host) {
        return Err(refused("the request line names another host"));
    }
    if is_loopback(&host) || is_listed(&host, allowed_hosts) {
        Ok(host)
    } else {
        Err(refused(&format!("Host {host}")))
    }
}

fn is_loopback(host: &Authority) -> bool {
    LOOPBACK_HOSTS
        .iter()
        .any(|name| host.host().eq_ignore_ascii_case(name))
}

/// A listed name without a port admits every port.
fn is_listed(host: &Authority, allowed_hosts: &[String]) -> bool {
    allowed_hosts.iter().any(|listed| {
        host.as_str().eq_ignore_ascii_case(listed) || host.host().eq_ignore_ascii_case(listed)
    })
}

/// Whether a page's URL or origin is on the host that the request addresses, or on a listed one.
fn is_ours(page: &str, host: &Authority, allowed_hosts: &[String]) -> bool {
    let Ok(page) = page.parse::<Uri>() else {
        return false;
    };
    matches!(page.scheme_str(), Some("http" | "https"))
        && page
            .authority()
            .is_some_and(|page| page == host || is_listed(page, allowed_hosts))
}

fn starts_work_by_get(method: &Method, uri: &Uri) -> bool {
    let path = uri.path();
    *method == Method::GET && path.strip_prefix("/api").unwrap_or(path) == "/agent/chat/stream"
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get(name)
        .map(|v| v.to_str().unwrap_or("unreadable"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `METHOD path | Header: value | Header: value`
    fn verdict(line: &str) -> bool {
        let mut parts = line.split('|').map(str::trim);
        let (method, path) = parts.next().unwrap().split_once(' ').unwrap();
        let mut headers = HeaderMap::new();
        for part in parts {
            let (name, value) = part.split_once(": ").unwrap();
            let name: http::HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        let listed = ["shop.lan:8000".to_owned(), "front.example".to_owned()];
        let method = method.parse().unwrap();
        admit(&method, &path.parse().unwrap(), &headers, &listed).is_ok()
    }

    #[test]
    fn programs_of_this_machine_and_our_own_page_pass() {
        for line in [
            "POST /agent/chat | Host: 127.0.0.1:8000",
            "POST /agent/chat | Host: LOCALHOST",
            "POST /agent/chat | Host: [::1]:9",
            "POST /agent/chat | Host: shop.lan:8000",
            "POST /agent/chat | Host: front.example:444",
            "POST /agent/chat | Host: localhost:8000 | Origin: http://localhost:8000 | Sec-Fetch-Site: same-origin",
            "POST /agent/chat | Host: 127.0.0.1:8000 | Origin: https://front.example",
            "GET / | Host: localhost:8000 | Sec-Fetch-Site: none | Sec-Fetch-Mode: navigate",
            "GET / | Host: localhost:8000 | Sec-Fetch-Site: cross-site | Sec-Fetch-Mode: navigate",
            "GET /agent/chat/stream?message=hi | Host: localhost:8000 | User-Agent: curl/8.5",
            "GET /agent/chat/stream?message=hi | Host: shop.lan:8000 | User-Agent: Mozilla/5.0 | Referer: http://shop.lan:8000/",
            "GET http://localhost:8000/ | Host: localhost:8000",
            "GET /login | Host: localhost:8000 | Sec-Fetch-Site: cross-site | Sec-Fetch-Mode: navigate",
            "POST /login | Host: front.example | Origin: https://front.example | Sec-Fetch-Site: same-origin",
        ] {
            assert!(verdict(line), "{line}");
        }
    }

    #[test]
    fn foreign_hosts_pages_and_frames_do_not() {
        for line in [
            // A name that an attacker points at this machine.
            "POST /agent/chat | Host: rebound.example",
            "GET / | Host: 127.0.0.1.rebound.example",
            "GET / | Host: localhost.rebound.example:8000",
            "GET / | Host: x@localhost",
            "GET / | Host: shop.lan:9000",
            "GET http://rebound.example/ | Host: localhost:8000",
            "GET / | Host: localhost | Host: rebound.example",
            "GET / | Accept: */*",
            // Another site's page, or another program's page on this machine.
            "POST /agent/chat | Host: localhost:8000 | Origin: https://evil.example",
            "POST /agent/chat | Host: localhost:8000 | Origin: http://localhost:3000",
            "POST /agent/chat | Host: localhost:8000 | Origin: http://127.0.0.1:8000",
            "POST /agent/chat | Host: localhost:8000 | Origin: null",
            "POST /login | Host: localhost:8000 | Origin: https://evil.example | Sec-Fetch-Site: cross-site | Sec-Fetch-Mode: navigate",
            "POST /logout | Host: localhost:8000 | Sec-Fetch-Site: same-site | Sec-Fetch-Mode: navigate",
            "POST /agent/chat | Host: localhost:8000 | Origin: file://localhost:8000",
            "POST /agent/chat | Host: localhost:8000 | Origin: http://localhost:8000 | Origin: https://evil.example",
            "POST /agent/approvals/1 | Host: localhost:8000 | Sec-Fetch-Site: same-site",
            "GET /agent/runs/1 | Host: localhost:8000 | Sec-Fetch-Site: cross-site | Sec-Fetch-Mode: navigate",
            "GET /agent/chat/stream?message=hi | Host: localhost:8000 | Sec-Fetch-Site: cross-site | Sec-Fetch-Mode: navigate",
            "POST / | Host: localhost:8000 | Sec-Fetch-Site: cross-site | Sec-Fetch-Mode: navigate",
            "GET / | Host: localhost:8000 | Sec-Fetch-Site: cross-site | Sec-Fetch-Mode: no-cors",
            "GET / | Host: localhost:8000 | Sec-Fetch-Site: something-new",
            // An image on a foreign page in a browser that does not say where it comes from.
            "GET /agent/chat/stream?message=hi | Host: shop.lan:8000 | User-Agent: Mozilla/5.0",
            "GET /api/agent/chat/stream?message=hi | Host: shop.lan:8000 | User-Agent: Mozilla/5.0 | Referer: https://evil.example/",
        ] {
            assert!(!verdict(line), "{line}");
        }
    }

    #[test]
    fn one_bearer_or_one_cookie_counts() {
        let headers = |pairs: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, value.parse().unwrap());
            }
            headers
        };
        let token = |pairs: &[(&'static str, &str)]| match bearer(&headers(pairs)) {
            Bearer::Token(token) => token.to_owned(),
            Bearer::None => "none".to_owned(),
            Bearer::Unreadable => "unreadable".to_owned(),
        };
        assert_eq!(token(&[("authorization", "Bearer csk_1")]), "csk_1");
        assert_eq!(token(&[("authorization", "bearer  csk_1")]), "csk_1");
        assert_eq!(token(&[]), "none");
        for bad in [
            &[("authorization", "Basic YTpi")] as &[_],
            &[("authorization", "csk_1")],
            &[("authorization", "Bearer a"), ("authorization", "Bearer b")],
        ] {
            assert_eq!(token(bad), "unreadable", "{bad:?}");
        }
        let cookie = |lines: &[&str]| {
            let lines: Vec<_> = lines.iter().map(|line| ("cookie", *line)).collect();
            session_cookie(&headers(&lines)).map(str::to_owned)
        };
        assert_eq!(
            cookie(&["a=b; countersign_session=css_1; c=d"]).as_deref(),
            Some("css_1")
        );
        for none in [
            &["a=b"] as &[_],
            &["countersign_session="],
            &["xcountersign_session=css_1"],
            &["countersign_session=css_1; countersign_session=css_2"],
            &["countersign_session=css_1", "countersign_session=css_2"],
        ] {
            assert_eq!(cookie(none), None, "{none:?}");
        }
    }
}
