//! Bills on a page and as files.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use contracts::documents::BillDocument;
use contracts::tools::billing::BillLineView;

use super::{Notice, html};
use crate::app::App;
use crate::caller::Caller;
use crate::documents::{self, Amount};
use crate::error::CallError;
use crate::words::documents::{self as said, Words};

#[derive(Template)]
#[template(path = "bill.html")]
struct BillPage {
    words: &'static Words,
    rows: Vec<Amount>,
    document: BillDocument,
}

impl BillPage {
    fn of(document: BillDocument) -> BillPage {
        BillPage {
            words: said::words(document.language),
            rows: documents::amounts(&document),
            document,
        }
    }

    fn standing(&self) -> &'static str {
        said::standing(self.document.language, self.document.bill.status)
    }

    fn customer(&self) -> &str {
        let customer = self.document.bill.customer.as_deref();
        customer.unwrap_or(self.words.counter_sale)
    }
}

/// A line without what it comes to, which has a column of its own.
fn goods(line: &BillLineView) -> &str {
    line.text
        .rsplit_once(" = ")
        .map_or(&line.text, |(goods, _)| goods)
}

/// `GET /bills/{name}`: the page, or with `.pdf` behind the name the file.
pub(crate) async fn bill(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Response {
    let shown = match name.strip_suffix(".pdf") {
        Some(name) => pdf(&app, &caller, name).await,
        None => documents::of_bill(&app, &caller, &name)
            .await
            .map(|document| html(StatusCode::OK, &BillPage::of(document))),
    };
    match shown {
        Ok(response) => response,
        Err(error) => not_shown(&app, &caller, &error).await,
    }
}

async fn pdf(app: &App, caller: &Caller, name: &str) -> Result<Response, CallError> {
    let document = documents::of_bill(app, caller, name).await?;
    let file_name = format!("{}.pdf", document.bill.number);
    let bytes = documents::pdf_of(document).await?;
    file(bytes, "application/pdf", &file_name)
}

/// A private file that a browser shows rather than saves.
fn file(bytes: Vec<u8>, content_type: &'static str, name: &str) -> Result<Response, CallError> {
    // Numbers and references are letters, digits and dashes; nothing else may get into a header.
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let name: String = name.chars().filter(|c| safe(*c)).collect();
    let disposition = HeaderValue::try_from(format!("inline; filename=\"{name}\""))
        .map_err(|e| CallError::Broken(format!("file name: {e}")))?;
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_DISPOSITION, disposition);
    Ok((headers, bytes).into_response())
}

/// Says in the shop's language that there is nothing to show.
async fn not_shown(app: &App, caller: &Caller, error: &CallError) -> Response {
    let locale = documents::language(app, caller.tenant).await;
    let (status, (title, text)) = match error {
        CallError::Refused(_) => (StatusCode::NOT_FOUND, said::no_such_bill(locale)),
        CallError::Database(_) | CallError::NotConfirmed(_) | CallError::Broken(_) => {
            tracing::error!(%error, "document");
            (StatusCode::SERVICE_UNAVAILABLE, said::unavailable(locale))
        }
    };
    html(
        status,
        &Notice {
            locale,
            title,
            text,
        },
    )
}
