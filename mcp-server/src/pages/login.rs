//! Where people log in and out.
//!
//! The cookie is `SameSite=Strict`: no page of another site ever makes the browser send it, not even by a link, so none can act as the
//! person. Its price: who follows a link from a mail arrives without it. Such a request gets a page that loads the same address once more
//! ([`instead`]); that is our own page asking, so the cookie comes along. Only who still has none is shown the log-in.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Form, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use contracts::identity::Login;
use contracts::locale::Locale;
use serde::Deserialize;

use super::html;
use crate::app::App;
use crate::identity::people::{self, NotLoggedIn};
use crate::identity::{self, sessions};
use crate::words::login::{Words, words};

/// Largest form, bytes.
const FORM_BYTES_MAX: usize = 16 * 1024;
/// Longest address that is remembered through a log-in, bytes.
const NEXT_BYTES_MAX: usize = 500;
/// What may be gone to after a log-in: pages of ours, and nothing else.
const PAGES: [&str; 3] = ["/approvals/", "/bills/", "/bookings/"];
/// Where one goes who wanted to go nowhere.
const NOWHERE: &str = "/login";

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    words: &'static Words,
    shop: String,
    name: String,
    next: String,
    problem: &'static str,
}

#[derive(Template)]
#[template(path = "logout.html")]
struct LogoutPage {
    words: &'static Words,
    name: String,
}

#[derive(Template)]
#[template(path = "onward.html")]
struct Onward {
    words: &'static Words,
    here: String,
}

/// The pages.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/login", get(show).post(enter))
        .route("/logout", get(leaving).post(leave))
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
}

/// What a browser gets that asked for a page without being logged in; nothing for a program.
pub(crate) fn instead(request: &Request) -> Option<Response> {
    let (path, headers) = (request.uri().path(), request.headers());
    let text = |name: header::HeaderName| headers.get(name).and_then(|v| v.to_str().ok());
    let is_browser = text(header::ACCEPT).is_some_and(|accept| accept.contains("text/html"));
    if !is_browser || !PAGES.iter().any(|page| path.starts_with(page)) {
        return None;
    }
    let whole = request.uri().path_and_query().map_or(path, |p| p.as_str());
    let next = own_page(whole);
    let came_from = text(header::HeaderName::from_static("sec-fetch-site"));
    let is_get = *request.method() == Method::GET;
    if is_get && matches!(came_from, Some("cross-site" | "same-site")) && next != NOWHERE {
        let page = Onward {
            words: words(language(headers)),
            here: next.to_owned(),
        };
        return Some(html(StatusCode::OK, &page));
    }
    Some(to(&with_next(next)))
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    next: String,
}

/// `GET /login?next=`
async fn show(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let next = asked.map_or_else(|_| String::new(), |Query(asked)| asked.next);
    let next = own_page(&next);
    let words = words(language(&headers));
    if let Some(name) = logged_in(&app, &headers).await {
        return match next {
            NOWHERE => html(StatusCode::OK, &LogoutPage { words, name }),
            next => to(next),
        };
    }
    let problem = if app.read_only { words.only_reads } else { "" };
    let page = LoginPage {
        words,
        shop: String::new(),
        name: String::new(),
        next: next.to_owned(),
        problem,
    };
    html(StatusCode::OK, &page)
}

#[derive(Deserialize)]
struct LoginForm {
    shop: String,
    name: String,
    password: String,
    #[serde(default)]
    next: String,
}

/// `POST /login`
async fn enter(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    form: Result<Form<LoginForm>, FormRejection>,
) -> Response {
    let words = words(language(&headers));
    let mut page = LoginPage {
        words,
        shop: String::new(),
        name: String::new(),
        next: NOWHERE.to_owned(),
        problem: words.unreadable,
    };
    // That the origin is ours has been seen at the door; a browser that names none could be on any page.
    let Ok(Form(form)) = form else {
        return html(StatusCode::BAD_REQUEST, &page);
    };
    if !headers.contains_key(header::ORIGIN) {
        return html(StatusCode::FORBIDDEN, &page);
    }
    if app.read_only {
        page.problem = words.only_reads;
        return html(StatusCode::FORBIDDEN, &page);
    }
    let next = own_page(&form.next);
    page.next = next.to_owned();
    page.shop.clone_from(&form.shop);
    page.name.clone_from(&form.name);
    let login = Login {
        shop: form.shop,
        name: form.name,
        password: form.password,
    };
    match people::log_in(&app, login).await {
        Ok(opened) => {
            // Whoever was logged in before is not any more.
            end_current(&app, &headers).await;
            let mut response = to(next);
            set_cookie(
                &mut response,
                &app,
                &opened.token,
                sessions::LASTS.num_seconds(),
            );
            response
        }
        Err(NotLoggedIn::Refused) => {
            page.problem = words.refused;
            html(StatusCode::FORBIDDEN, &page)
        }
        Err(NotLoggedIn::Busy) => {
            page.problem = words.busy;
            html(StatusCode::SERVICE_UNAVAILABLE, &page)
        }
        Err(NotLoggedIn::Fault(error)) => {
            tracing::error!(%error, "log-in");
            page.problem = words.unavailable;
            html(StatusCode::SERVICE_UNAVAILABLE, &page)
        }
    }
}

/// `GET /logout`
async fn leaving(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    match logged_in(&app, &headers).await {
        Some(name) => html(
            StatusCode::OK,
            &LogoutPage {
                words: words(language(&headers)),
                name,
            },
        ),
        None => to(NOWHERE),
    }
}

/// `POST /logout`
async fn leave(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    if headers.contains_key(header::ORIGIN) {
        end_current(&app, &headers).await;
    }
    let mut response = to(NOWHERE);
    set_cookie(&mut response, &app, "", 0);
    response
}

/// The name of whoever the cookie stands for.
async fn logged_in(app: &App, headers: &HeaderMap) -> Option<String> {
    let token = sessions::cookie(headers)?;
    let known = identity::who(app, token).await.ok()?;
    Some(known.name.clone())
}

async fn end_current(app: &App, headers: &HeaderMap) {
    if let Some(token) = sessions::cookie(headers)
        && let Err(error) = sessions::end(app, token).await
    {
        tracing::error!(%error, "log-out");
    }
}

fn set_cookie(response: &mut Response, app: &App, token: &str, max_age_s: i64) {
    // Over plain http, which is for this machine alone, a browser would not keep a secure cookie.
    let secure = if app.public_url.starts_with("https://") {
        "; Secure"
    } else {
        ""
    };
    let cookie = format!(
        "{}={token}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Strict{secure}",
        sessions::COOKIE
    );
    // A token is letters, digits, dashes and underscores: it can always stand in a header.
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
}

fn to(place: &str) -> Response {
    let headers = [
        (header::LOCATION, place.to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    (StatusCode::SEE_OTHER, headers).into_response()
}

/// The log-in page that remembers where one wanted to go.
fn with_next(next: &str) -> String {
    if next == NOWHERE {
        return NOWHERE.to_owned();
    }
    let escaped: String = next
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect();
    format!("{NOWHERE}?next={escaped}")
}

/// A page of ours, as it was asked for; everything else leads nowhere.
fn own_page(next: &str) -> &str {
    let plain = next.len() <= NEXT_BYTES_MAX
        && next.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
        && !next.contains("//")
        && !next.contains("..");
    if plain && PAGES.iter().any(|page| next.starts_with(page)) {
        next
    } else {
        NOWHERE
    }
}

/// The first language of the browser's that we write.
fn language(headers: &HeaderMap) -> Locale {
    let tags = headers
        .get(header::ACCEPT_LANGUAGE)
        .and_then(|value| value.to_str().ok());
    tags.unwrap_or_default()
        .split(',')
        .find_map(|tag| Locale::from_tag(tag.split(';').next().unwrap_or_default().trim()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_in_leads_to_our_own_pages_only() {
        for page in [
            "/approvals/0199",
            "/bills/INV-1.pdf",
            "/bookings/BK-1.ics",
            "/bills/INV-1?x=1&y=%20",
        ] {
            assert_eq!(own_page(page), page);
        }
        for other in [
            "",
            "/",
            "//evil.example/approvals/",
            "https://evil.example",
            "/approvals//evil.example",
            "/bills/../admin/v1/keys",
            "/\\evil.example",
            "/approvals/\r\nSet-Cookie: a=b",
            "/mcp",
            "/login",
            "javascript:alert(1)",
            " /bills/1",
            &format!("/bills/{}", "1".repeat(500)),
        ] {
            assert_eq!(own_page(other), NOWHERE, "{other}");
        }
        assert_eq!(
            with_next("/bills/INV-1?x=1"),
            "/login?next=/bills/INV-1%3Fx%3D1"
        );
    }

    #[test]
    fn the_browsers_language_is_spoken_where_we_can() {
        let of = |tags: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_LANGUAGE, tags.parse().unwrap());
            language(&headers)
        };
        assert_eq!(of("rw, es-MX;q=0.8, en;q=0.5"), Locale::Es);
        assert_eq!(of("en-GB,es"), Locale::En);
        assert_eq!(of("*"), Locale::En);
    }
}
