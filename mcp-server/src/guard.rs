//! Who gets through the door: no page of another site, no rebound name, no bad token.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use crate::app::App;
use crate::caller::Caller;
use crate::identity;
use crate::identity::introspect::bearer;

/// What the door lets through.
#[derive(Clone)]
pub struct Guard {
    /// Checks tokens.
    pub app: Arc<App>,
    /// Names besides loopback's under which we are reached, with or without port.
    pub allowed_hosts: Vec<String>,
}

/// Refuses foreign sites, then names the caller.
pub(crate) async fn admit(
    State(guard): State<Guard>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Err(reason) = from_own_site(&request, &guard) {
        return refuse(StatusCode::FORBIDDEN, reason);
    }
    match caller(request.headers(), &guard.app).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(reason) => {
            let mut response = refuse(StatusCode::UNAUTHORIZED, reason);
            response.headers_mut().insert(
                header::WWW_AUTHENTICATE,
                header::HeaderValue::from_static("Bearer error=\"invalid_token\""),
            );
            response
        }
    }
}

/// Refuses foreign sites, for what names its callers by itself or needs none.
pub(crate) async fn own_site(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match from_own_site(&request, &guard) {
        Ok(()) => next.run(request).await,
        Err(reason) => refuse(StatusCode::FORBIDDEN, reason),
    }
}

fn from_own_site(request: &Request, guard: &Guard) -> Result<(), &'static str> {
    same_site(request.headers(), &guard.allowed_hosts)
        .and_then(|()| one_host(request.uri(), request.headers()))
        .and_then(|()| from_own_page(request.uri().path(), request.headers()))
}

fn refuse(status: StatusCode, reason: &'static str) -> Response {
    (status, Json(json!({"error": reason}))).into_response()
}

/// A request is ours when it was sent to one of our names and, if a browser sent it, from one of our pages. The name matters because a
/// hostile site can point its own name at this machine.
pub(crate) fn same_site(headers: &HeaderMap, allowed_hosts: &[String]) -> Result<(), &'static str> {
    let text = |name: header::HeaderName| headers.get(name).map(|v| v.to_str().unwrap_or("?"));
    let host = text(header::HOST).ok_or("The Host header is missing.")?;
    if !known(host, allowed_hosts) {
        return Err(
            "This host name is not one of ours. Add it to MCP_ALLOWED_HOSTS if it should be.",
        );
    }
    for origin in headers.get_all(header::ORIGIN) {
        let origin = origin.to_str().unwrap_or("?");
        let origin_host = origin.split_once("://").map_or("", |(_, rest)| rest);
        if !known(origin_host, allowed_hosts) {
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

/// An answer on the approval page comes from that page. Another program's page on this machine, on a port of its own, is a stranger too;
/// a browser too old for `Sec-Fetch-Site` still names it in `Origin`.
fn from_own_page(path: &str, headers: &HeaderMap) -> Result<(), &'static str> {
    let (Some(origin), Some(host)) = (headers.get(header::ORIGIN), headers.get(header::HOST))
    else {
        return Ok(());
    };
    let page = origin.to_str().ok().and_then(|o| o.split_once("://"));
    let own = page.is_some_and(|(_, authority)| authority.as_bytes() == host.as_bytes());
    if own || !path.starts_with("/approvals") {
        Ok(())
    } else {
        Err("A question is answered on its own page only.")
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

fn known(authority: &str, allowed_hosts: &[String]) -> bool {
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

async fn caller(headers: &HeaderMap, app: &App) -> Result<Caller, &'static str> {
    if !headers.contains_key(header::AUTHORIZATION) {
        return if app.local_mode {
            Ok(Caller::local_owner())
        } else {
            Err("A token is needed.")
        };
    }
    let token = bearer(headers).ok_or("Only Bearer tokens are taken.")?;
    match identity::who(app, token).await {
        Ok(known) => Ok(known.caller.clone()),
        Err(error) => {
            tracing::warn!(%error, "token refused");
            Err("The token is not valid.")
        }
    }
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
