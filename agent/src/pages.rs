//! Pages for people, served from the binary.

use std::sync::Arc;

use askama::Template;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Extension, Router};
use contracts::http::chat::MESSAGE_CHARACTERS_MAX;
use contracts::http::problem::ProblemCode;
use contracts::token::PrincipalRole;
use http::{HeaderMap, HeaderValue, header};

use crate::app::App;
use crate::http::guard::Person;
use crate::http::problem::{INTERNAL, Refusal};
use crate::identity::Known;

/// Three sentences to try, for the chat page and for the start of the program.
pub const EXAMPLES: [&str; 3] = [
    "Add 20kg sugar at 160 per kg to grocery",
    "What do we have in stock?",
    "Create a bill for Ali: 2kg sugar and 1 shampoo",
];

/// Only our own files run, and nobody may frame the page: a framed approve button could be clicked by mistake.
const SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

#[derive(Template)]
#[template(path = "chat.html")]
struct ChatPage {
    examples: [&'static str; 3],
    message_characters_max: usize,
    /// Who has logged in; nobody in local mode.
    person: Option<Arc<Known>>,
}

impl ChatPage {
    /// What the person may answer: the page offers no buttons that would be refused.
    fn role(&self) -> &'static str {
        let principal = self.person.as_ref().map(|p| &p.principal);
        principal.map_or(PrincipalRole::Owner, |p| p.role).word()
    }

    /// Whose conversations the browser keeps: another person at the same browser does not see them.
    fn owner(&self) -> String {
        let principal = self.person.as_ref().map(|p| &p.principal);
        principal.map_or_else(String::new, |p| format!("{}.{}", p.tenant, p.subject))
    }
}

/// For whoever followed a link from elsewhere, whose browser keeps the cookie back: asks for the chat page once more, from a page of ours.
#[derive(Template)]
#[template(path = "again.html")]
struct AgainPage;

/// The chat page and what it loads.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(chat))
        .route("/static/chat.js", get(script))
        .route("/static/chat.css", get(style))
        .route("/static/icon.svg", get(icon))
}

async fn chat(person: Option<Extension<Person>>) -> Result<Response, Refusal> {
    page(&ChatPage {
        examples: EXAMPLES,
        message_characters_max: MESSAGE_CHARACTERS_MAX,
        person: person.map(|Extension(Person(known))| known),
    })
}

/// Sends a browser to where one logs in.
pub fn to_log_in(headers: &HeaderMap) -> Response {
    let from_elsewhere = headers
        .get("sec-fetch-site")
        .is_some_and(|site| site == "cross-site" || site == "same-site");
    if from_elsewhere {
        return page(&AgainPage).into_response();
    }
    Redirect::to("/login").into_response()
}

/// A page with the policy every page of ours has.
///
/// # Errors
/// 500 when it cannot be written.
pub fn page(page: &impl Template) -> Result<Response, Refusal> {
    let html = page
        .render()
        .map_err(|e| Refusal::new(ProblemCode::Internal, INTERNAL).because(e.to_string()))?;
    let mut response = Html(html).into_response();
    response.headers_mut().insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(SECURITY_POLICY),
    );
    Ok(response)
}

async fn script() -> impl IntoResponse {
    let text = include_str!("pages/chat.js");
    (
        [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")],
        text,
    )
}

async fn style() -> impl IntoResponse {
    let text = include_str!("pages/chat.css");
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], text)
}

async fn icon() -> impl IntoResponse {
    let text = include_str!("pages/icon.svg");
    ([(header::CONTENT_TYPE, "image/svg+xml")], text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_holds_no_script_or_style_of_its_own_that_the_policy_would_stop() {
        let page = ChatPage {
            examples: ["<b>&\"", "2", "3"],
            message_characters_max: 5,
            person: None,
        };
        let html = page.render().unwrap();
        assert!(!html.contains("/logout"), "nobody logs out of local mode");
        assert!(
            html.contains("&#60;b&#62;&#38;&#34;"),
            "examples are escaped"
        );
        for (tag, allowed) in [
            ("<script", "<script src=\"/static/"),
            ("<link", " href=\"/static/"),
        ] {
            for (place, _) in html.match_indices(tag) {
                let end = html[place..].find('>').unwrap();
                assert!(html[place..place + end].contains(allowed), "{tag}");
            }
        }
        for inline in ["style=", "<style", " onclick", " onload", "javascript:"] {
            assert!(!html.contains(inline), "{inline}");
        }
        let script = include_str!("pages/chat.js");
        for unsafe_way in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
        ] {
            assert!(!script.contains(unsafe_way), "{unsafe_way}");
        }
    }
}
