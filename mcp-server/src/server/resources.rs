//! What clients read as resources: price list, opening hours, what runs low; items, customers, bills and bookings by name. What has one
//! address is listed; what there may be thousands of has a template, which completion fills.

use std::panic::AssertUnwindSafe;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use contracts::failure::{FailureCode, ToolFailure};
use contracts::locale::Locale;
use contracts::tool::{Tool, ToolSheet, Toolset};
use contracts::tools::inventory::{GetItem, ListItems};
use contracts::tools::profile::GetUserProfile;
use futures::FutureExt as _;
use rmcp::model::{ErrorData, ReadResourceResult, Resource, ResourceContents, ResourceTemplate};
use serde::Serialize;
use serde_json::{Value, json};

use super::RESULT_BYTES_MAX;
use super::addresses::{self, Address, Form, TEMPLATES};
use super::icons::Icons;
use crate::app::App;
use crate::call::{self, Answer, ToolRequest};
use crate::caller::Caller;
use crate::error::CallError;
use crate::handler::Call;
use crate::words::{protocol, reading};
use crate::{cursor, documents, opening_hours, price_list};

const JSON: &str = "application/json";
const MARKDOWN: &str = "text/markdown";
const PDF: &str = "application/pdf";
const CALENDAR: &str = "text/calendar";
/// Where what runs low is read, also as part of a prompt.
pub(super) const LOW_STOCK: &str = "countersign://low-stock";
/// How many items of what runs low are read at once.
const LOW_STOCK_LIMIT: u32 = 50;
/// Categories on one page of the list.
const PAGE: i64 = 100;

/// Who reads, in which language.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) app: &'a App,
    pub(super) caller: &'a Caller,
    /// The language the request names; the shop's without one.
    pub(super) locale: Option<Locale>,
}

/// The templates of what the caller may read.
pub(super) fn templates(
    caller: &Caller,
    locale: Locale,
    icons: Icons<'_>,
) -> Vec<ResourceTemplate> {
    let within_reach = TEMPLATES.iter().filter(|(template, ..)| {
        let example = template.replace(['{', '}'], "");
        Address::read(&example).is_some_and(|address| address.is_open_to(caller))
    });
    within_reach
        .map(|(template, ..)| {
            let (name, mime, toolset) = of_template(template);
            let (title, description) = protocol::template(locale, name);
            ResourceTemplate::new(*template, name)
                .with_title(title)
                .with_description(description)
                .with_mime_type(mime)
                .with_icons(icons.of(toolset))
        })
        .collect()
}

/// Name, type and toolset of what a template leads to.
fn of_template(template: &str) -> (&'static str, &'static str, Toolset) {
    match template {
        "countersign://bills/{number}" => ("bill", JSON, Toolset::Billing),
        "countersign://bills/{number}.pdf" => ("bill-pdf", PDF, Toolset::Billing),
        "countersign://bookings/{reference}.ics" => {
            ("booking-calendar", CALENDAR, Toolset::Booking)
        }
        "countersign://customers/{name}" => ("customer", JSON, Toolset::Profile),
        "countersign://items/{name}" => ("item", JSON, Toolset::Inventory),
        "countersign://opening-hours/{name}" => ("opening-hours-of", JSON, Toolset::Booking),
        _ => ("price-list-of", JSON, Toolset::Inventory),
    }
}

/// What has one address each, in order, with its toolset.
const LISTED: [(&str, &str, &str, Toolset); 5] = [
    (
        "countersign://low-stock",
        "low-stock",
        JSON,
        Toolset::Inventory,
    ),
    (
        "countersign://opening-hours",
        "opening-hours",
        JSON,
        Toolset::Booking,
    ),
    (
        "countersign://opening-hours.md",
        "opening-hours.md",
        MARKDOWN,
        Toolset::Booking,
    ),
    (
        "countersign://price-list",
        "price-list",
        JSON,
        Toolset::Inventory,
    ),
    (
        "countersign://price-list.md",
        "price-list.md",
        MARKDOWN,
        Toolset::Inventory,
    ),
];

/// One page of what the caller may read, and where the next one begins: first what every shop has, then its categories' price lists.
///
/// # Errors
/// For a cursor that is not ours; an internal error, logged here, for what went wrong.
pub(super) async fn list(
    reader: Reader<'_>,
    icons: Icons<'_>,
    after: Option<&str>,
) -> Result<(Vec<Resource>, Option<String>), ErrorData> {
    let after: Option<String> = match after {
        None => None,
        Some(text) => Some(cursor::read(text).ok_or_else(super::unknown_cursor)?),
    };
    let listing = async |call: &mut Call<'_>| {
        let mut resources = Vec::new();
        if after.is_none() {
            resources.extend(listed(call, icons));
        }
        let mut categories = if call.caller.may_use::<ListItems>() {
            let after = after.as_deref().unwrap_or_default();
            price_list::categories(call, after, PAGE + 1).await?
        } else {
            Vec::new()
        };
        let more = i64::try_from(categories.len()).is_ok_and(|n| n > PAGE);
        categories.truncate(usize::try_from(PAGE).unwrap_or(usize::MAX));
        let next = categories.last().filter(|_| more).map(cursor::write);
        let icons = icons.of(Toolset::Inventory);
        resources.extend(categories.iter().map(|category| {
            let (title, description) = protocol::category(call.locale, category);
            Resource::new(
                addresses::of_category(category),
                format!("price-list/{category}"),
            )
            .with_title(title)
            .with_description(description)
            .with_mime_type(JSON)
            .with_icons(icons.clone())
        }));
        Ok((resources, next))
    };
    guarded(reader, "resources/list", within(reader, listing))
        .await?
        .map_err(|refusal| ErrorData::invalid_params(refusal.message, None))
}

fn listed(call: &Call<'_>, icons: Icons<'_>) -> Vec<Resource> {
    let open = LISTED.iter().filter(|(uri, ..)| {
        Address::read(uri).is_some_and(|address| address.is_open_to(call.caller))
    });
    open.map(|(uri, name, mime, toolset)| {
        let (title, description) = protocol::resource(call.locale, name);
        Resource::new(*uri, *name)
            .with_title(title)
            .with_description(description)
            .with_mime_type(*mime)
            .with_icons(icons.of(*toolset))
    })
    .collect()
}

/// The tool whose reach the caller lacks for an address of this kind, where her role would do.
pub(super) fn missing(caller: &Caller, uri: &str) -> Option<&'static ToolSheet> {
    Address::read(uri)?.needs().missing(caller)
}

/// The resource of an address.
///
/// # Errors
/// Not found, also for what is somebody else's and what is out of reach; an internal error, logged here, for what went wrong.
pub(super) async fn read(reader: Reader<'_>, uri: &str) -> Result<ReadResourceResult, ErrorData> {
    let unknown = || ErrorData::resource_not_found("Resource not found", Some(json!({"uri": uri})));
    let address = Address::read(uri)
        .filter(|address| address.is_open_to(reader.caller))
        .ok_or_else(unknown)?;
    let contents = match guarded(reader, uri, contents(reader, uri, &address)).await? {
        Ok(contents) => contents,
        Err(refusal) if is_fault(refusal.code) => {
            return Err(ErrorData::internal_error(refusal.message, None));
        }
        Err(_) => return Err(unknown()),
    };
    match &contents {
        ResourceContents::TextResourceContents { text, .. } if text.len() > RESULT_BYTES_MAX => {
            let locale = reader.locale.unwrap_or_default();
            Err(ErrorData::invalid_params(
                protocol::too_long(locale),
                Some(json!({"uri": uri})),
            ))
        }
        _ => Ok(ReadResourceResult::new(vec![contents])),
    }
}

/// Whether something went wrong, rather than that there is no such thing.
fn is_fault(code: FailureCode) -> bool {
    matches!(
        code,
        FailureCode::Internal | FailureCode::Timeout | FailureCode::Unavailable
    )
}

/// Does it within the deadline of a call. What went wrong is logged once, here; what was refused is the caller's to say.
pub(super) async fn guarded<T>(
    reader: Reader<'_>,
    what: &str,
    work: impl Future<Output = Result<T, CallError>>,
) -> Result<Result<T, ToolFailure>, ErrorData> {
    let fault = |cause: &dyn std::fmt::Display| {
        tracing::error!(tenant = %reader.caller.tenant, what, error = %cause, "reading");
        ErrorData::internal_error("This could not be read. Try again.", None)
    };
    let work = AssertUnwindSafe(work).catch_unwind();
    match tokio::time::timeout(reader.app.call_deadline, work).await {
        Ok(Ok(Ok(done))) => Ok(Ok(done)),
        Ok(Ok(Err(CallError::Refused(refusal)))) => Ok(Err(refusal)),
        Ok(Ok(Err(error))) => Err(fault(&error)),
        Ok(Err(_panic)) => Err(fault(&"panicked")),
        Err(elapsed) => Err(fault(&elapsed)),
    }
}

/// Reads in a transaction that sees one moment.
pub(super) async fn within<T>(
    reader: Reader<'_>,
    work: impl AsyncFnOnce(&mut Call<'_>) -> Result<T, CallError>,
) -> Result<T, CallError> {
    let mut tx = reader.app.begin_reading(reader.caller.tenant).await?;
    let shop = reader.app.shop(&mut tx, reader.caller.tenant).await?;
    let mut call = Call {
        locale: reader.locale.unwrap_or(shop.locale),
        ..reader.app.call(&mut tx, &shop, reader.caller)
    };
    work(&mut call).await
}

/// What a tool answers, read as any call of it is.
pub(super) async fn answer<T: Tool>(
    reader: Reader<'_>,
    arguments: Value,
) -> Result<String, CallError> {
    let arguments = match arguments {
        Value::Object(arguments) => arguments,
        _ => serde_json::Map::new(),
    };
    let request = ToolRequest {
        name: T::NAME.to_owned(),
        arguments,
        locale: reader.locale,
        ..ToolRequest::default()
    };
    match call::run(reader.app, reader.caller, request, false).await {
        Answer::Done(json) => Ok(json),
        Answer::Refused(failure) => Err(failure.into()),
        Answer::Asked(_) => Err(CallError::Broken(format!("{} asks", T::NAME))),
    }
}

/// What runs low, as its tool answers.
pub(super) async fn low_stock(
    reader: Reader<'_>,
    category: Option<&str>,
) -> Result<String, CallError> {
    let mut arguments = json!({"low_stock": true, "limit": LOW_STOCK_LIMIT});
    if let Some(category) = category {
        arguments["category"] = json!(category);
    }
    answer::<ListItems>(reader, arguments).await
}

async fn contents(
    reader: Reader<'_>,
    uri: &str,
    address: &Address,
) -> Result<ResourceContents, CallError> {
    let Reader { app, caller, .. } = reader;
    let (text, mime) = match address {
        Address::Bill(number) => (
            written(&documents::of_bill(app, caller, number).await?)?,
            JSON,
        ),
        Address::BillPdf(number) => {
            let document = documents::of_bill(app, caller, number).await?;
            let file = documents::pdf_of(document).await?;
            let blob = STANDARD.encode(file);
            return Ok(ResourceContents::blob(blob, uri).with_mime_type(PDF));
        }
        Address::Calendar(reference) => (
            documents::calendar_of(app, caller, reference).await?,
            CALENDAR,
        ),
        Address::PriceList(form) => {
            let list = within(reader, async |call| price_list::read(call, None).await).await?;
            match form {
                Form::Json => (written(&list)?, JSON),
                Form::Markdown => (reading::price_list(&list), MARKDOWN),
            }
        }
        Address::PriceListOf(category) => {
            let list = within(reader, async |call| {
                price_list::read(call, Some(category)).await
            });
            let list = list.await?;
            if list.items.is_empty() {
                return Err(nothing());
            }
            (written(&list)?, JSON)
        }
        Address::OpeningHours(form) => {
            let hours = within(reader, async |call| opening_hours::read(call, None).await).await?;
            match form {
                Form::Json => (written(&hours)?, JSON),
                Form::Markdown => (reading::opening_hours(&hours), MARKDOWN),
            }
        }
        Address::OpeningHoursOf(name) => {
            let hours = within(reader, async |call| {
                opening_hours::read(call, Some(name)).await
            });
            (written(&hours.await?)?, JSON)
        }
        Address::LowStock => (low_stock(reader, None).await?, JSON),
        Address::Item(name) => (
            answer::<GetItem>(reader, json!({"item": name})).await?,
            JSON,
        ),
        Address::Customer(name) => {
            let asked = json!({"customer": name});
            (answer::<GetUserProfile>(reader, asked).await?, JSON)
        }
    };
    Ok(ResourceContents::text(text, uri).with_mime_type(mime))
}

fn written<T: Serialize>(document: &T) -> Result<String, CallError> {
    serde_json::to_string(document).map_err(|e| CallError::Broken(format!("resource: {e}")))
}

/// There is no such thing. Nobody reads the words: the answer is that of every address that leads nowhere.
fn nothing() -> CallError {
    ToolFailure::new(FailureCode::UnknownResource, "Not found.", "Read the list.").into()
}
