//! Where a person logs in and out: a page that needs no script, and the same by JSON. What is opened is a session of the tool server, whose
//! token goes into a cookie that no script can read.

use std::sync::Arc;

use askama::Template;
use axum::body::Bytes;
use axum::extract::{Form, FromRequest as _, Request, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use contracts::http::login::LoggedIn;
use contracts::http::problem::ProblemCode;
use contracts::identity::Login;
use contracts::locale::Locale;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::Value;

use super::guard::{SESSION_COOKIE, session_cookie};
use super::problem::{Refusal, UNAVAILABLE};
use super::read::{BODY_WAIT, JsonBody};
use crate::app::App;
use crate::identity::{Known, NotNamed};
use crate::pages;

/// Longest password, bytes.
const PASSWORD_BYTES_MAX: usize = 1024;
/// Longest name or handle, bytes.
const NAME_BYTES_MAX: usize = 320;

/// The routes of the page.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/login", get(show).post(log_in))
        .route("/logout", post(log_out))
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    words: &'static Words,
    shop: String,
    name: String,
    problem: &'static str,
}

/// What the page says, in one language.
struct Words {
    lang: &'static str,
    title: &'static str,
    shop: &'static str,
    name: &'static str,
    password: &'static str,
    refused: &'static str,
    too_many: &'static str,
    unreadable: &'static str,
    unavailable: &'static str,
}

const ENGLISH: Words = Words {
    lang: "en",
    title: "Log in",
    shop: "Shop",
    name: "Name",
    password: "Password",
    refused: "Shop, name and password do not fit together. Check them and try again.",
    too_many: "Too many attempts. Wait a few minutes, then try again.",
    unreadable: "Fill in the shop, your name and your password.",
    unavailable: UNAVAILABLE,
};

const SPANISH: Words = Words {
    lang: "es",
    title: "Entrar",
    shop: "Tienda",
    name: "Nombre",
    password: "Contraseña",
    refused: "La tienda, el nombre y la contraseña no coinciden. Revísalos e inténtalo de nuevo.",
    too_many: "Demasiados intentos. Espera unos minutos e inténtalo de nuevo.",
    unreadable: "Escribe la tienda, tu nombre y tu contraseña.",
    unavailable: "No se puede conectar con el sistema. Inténtalo de nuevo.",
};

/// The first language of the browser that we have.
fn words(headers: &HeaderMap) -> &'static Words {
    let wanted = headers
        .get(header::ACCEPT_LANGUAGE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let first = wanted
        .split(',')
        .filter_map(|range| Locale::from_tag(range.split(';').next()?.trim()))
        .next();
    match first.unwrap_or_default() {
        Locale::En => &ENGLISH,
        Locale::Es => &SPANISH,
    }
}

/// `GET /login`. Whoever is logged in already, or needs not be, goes on to the chat page.
async fn show(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Refusal> {
    if app.settings.local_mode {
        return Ok(Redirect::to("/").into_response());
    }
    if let Some(token) = session_cookie(&headers)
        && app.identities.who(token).await.is_ok()
    {
        return Ok(Redirect::to("/").into_response());
    }
    pages::page(&LoginPage {
        words: words(&headers),
        shop: String::new(),
        name: String::new(),
        problem: "",
    })
}

/// `POST /login`, by the page's form or as JSON.
async fn log_in(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Refusal> {
    if app.settings.local_mode {
        return Err(Refusal::new(
            ProblemCode::NotFound,
            "Nobody logs in here: in local mode everybody is the owner. Set AGENT_LOCAL_MODE=off to have people log in.",
        ));
    }
    let is_form = headers.get(header::CONTENT_TYPE).is_some_and(|t| {
        t.as_bytes()
            .starts_with(b"application/x-www-form-urlencoded")
    });
    if is_form {
        return by_form(&app, &headers, request).await;
    }
    let JsonBody(body) = JsonBody::from_request(request, &()).await?;
    let login = readable(body).ok_or_else(|| {
        Refusal::invalid("Send {\"shop\": …, \"name\": …, \"password\": …}, each a text.")
    })?;
    match app.identities.log_in(&login).await {
        Ok((token, known)) => {
            let logged_in = LoggedIn {
                name: known.name.clone(),
                role: known.principal.role,
            };
            with_cookie(&app, &token, &known, Json(logged_in).into_response())
        }
        Err(error) => Err(refusal(&error)),
    }
}

async fn by_form(app: &App, headers: &HeaderMap, request: Request) -> Result<Response, Refusal> {
    let words = words(headers);
    let form = tokio::time::timeout(BODY_WAIT, Form::<Value>::from_request(request, &())).await;
    let body = match form {
        Ok(Ok(Form(body))) => body,
        Ok(Err(_)) | Err(_) => Value::Null,
    };
    let typed = |name: &str| {
        let text = body[name].as_str().unwrap_or_default();
        text.chars().take(80).collect::<String>()
    };
    let (shop, name) = (typed("shop"), typed("name"));
    let again = |status: StatusCode, problem: &'static str| {
        let shown = pages::page(&LoginPage {
            words,
            shop: shop.clone(),
            name: name.clone(),
            problem,
        });
        shown.map(|page| (status, page).into_response())
    };
    let Some(login) = readable(body.clone()) else {
        return again(StatusCode::BAD_REQUEST, words.unreadable);
    };
    match app.identities.log_in(&login).await {
        Ok((token, known)) => with_cookie(app, &token, &known, Redirect::to("/").into_response()),
        Err(NotNamed::Nobody) => again(StatusCode::UNAUTHORIZED, words.refused),
        Err(NotNamed::TooMany) => again(StatusCode::TOO_MANY_REQUESTS, words.too_many),
        Err(NotNamed::Unreachable(cause)) => {
            tracing::warn!(cause, "nobody can log in");
            again(StatusCode::SERVICE_UNAVAILABLE, words.unavailable)
        }
    }
}

/// Three texts of a sane length. Names are given as one types them: with a capital, with spaces around.
fn readable(body: Value) -> Option<Login> {
    let mut login: Login = serde_json::from_value(body).ok()?;
    login.shop = login.shop.trim().to_lowercase();
    login.name = login.name.trim().to_lowercase();
    let named = |text: &str| (1..=NAME_BYTES_MAX).contains(&text.len());
    let fits = named(&login.shop)
        && named(&login.name)
        && (1..=PASSWORD_BYTES_MAX).contains(&login.password.len());
    fits.then_some(login)
}

fn refusal(error: &NotNamed) -> Refusal {
    match error {
        NotNamed::Nobody => Refusal::new(ProblemCode::Unauthenticated, ENGLISH.refused),
        NotNamed::TooMany => Refusal::new(ProblemCode::RateLimited, ENGLISH.too_many),
        NotNamed::Unreachable(cause) => {
            Refusal::new(ProblemCode::Unavailable, UNAVAILABLE).because(cause.clone())
        }
    }
}

/// `POST /logout`. The cookie goes whatever the tool server says; a session it could not end there lasts until it ends by itself.
async fn log_out(State(app): State<Arc<App>>, headers: HeaderMap, _body: Bytes) -> Response {
    if let Some(token) = session_cookie(&headers)
        && let Err(error) = app.identities.log_out(token).await
    {
        tracing::warn!(%error, "a session could not be ended");
    }
    let mut response = Redirect::to("/login").into_response();
    if let Ok(gone) = HeaderValue::try_from(cookie(&app, "", Some(0))) {
        response.headers_mut().insert(header::SET_COOKIE, gone);
    }
    response
}

fn with_cookie(
    app: &App,
    token: &str,
    known: &Known,
    mut response: Response,
) -> Result<Response, Refusal> {
    let lasts_s = known
        .expires_at()
        .map(|at| (at - app.clock.now()).num_seconds().max(0));
    let value = HeaderValue::try_from(cookie(app, token, lasts_s))
        .map_err(|e| refusal(&NotNamed::Unreachable(format!("a session's token: {e}"))))?;
    response.headers_mut().insert(header::SET_COOKIE, value);
    Ok(response)
}

/// No script reads it, no other site's request carries it, and behind TLS it is sent over TLS alone.
fn cookie(app: &App, token: &str, lasts_s: Option<i64>) -> String {
    let https = app
        .settings
        .public_url
        .as_ref()
        .is_some_and(|url| url.starts_with("https://"));
    let secure = if https { "; Secure" } else { "" };
    let lasts = lasts_s.map_or_else(String::new, |s| format!("; Max-Age={s}"));
    format!("{SESSION_COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict{secure}{lasts}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_log_in_is_three_texts_of_a_sane_length() {
        let login = readable(json!({"shop": " Corner-Shop ", "name": "Ana", "password": " x "}));
        let login = login.unwrap();
        assert_eq!(
            (login.shop.as_str(), login.name.as_str()),
            ("corner-shop", "ana")
        );
        assert_eq!(login.password, " x ", "a password is taken as it is typed");
        for bad in [
            json!({"shop": "a", "name": "b"}),
            json!({"shop": "a", "name": "b", "password": ""}),
            json!({"shop": " ", "name": "b", "password": "c"}),
            json!({"shop": "a", "name": "b", "password": "c".repeat(PASSWORD_BYTES_MAX + 1)}),
            json!({"shop": "a", "name": ["b"], "password": "c"}),
            json!("a"),
        ] {
            assert!(readable(bad.clone()).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_page_speaks_the_browsers_language_and_shows_what_was_typed_as_text() {
        let headers =
            |value: &str| HeaderMap::from_iter([(header::ACCEPT_LANGUAGE, value.parse().unwrap())]);
        assert_eq!(words(&headers("es-AR,es;q=0.9,en;q=0.8")).lang, "es");
        assert_eq!(words(&headers("fr,en;q=0.5")).lang, "en");
        assert_eq!(words(&HeaderMap::new()).lang, "en");
        let page = LoginPage {
            words: &SPANISH,
            shop: "\"><script>".to_owned(),
            name: String::new(),
            problem: SPANISH.refused,
        };
        let html = page.render().unwrap();
        assert!(html.contains("&#34;&#62;&#60;script&#62;") && !html.contains("<script"));
        assert!(html.contains("no coinciden"));
        assert!(
            !html.contains("password\" value"),
            "a password is never sent back"
        );
    }
}
