//! What clients read as resources: bills, as JSON and as PDF. Addresses are made from templates; a list of every bill would be a list of
//! thousands, and `billing_list_bills` has pages for that.

use std::panic::AssertUnwindSafe;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use contracts::tool::Tool as _;
use contracts::tools::billing::GetBill;
use futures::FutureExt as _;
use rmcp::model::{ErrorData, ReadResourceResult, ResourceContents, ResourceTemplate};
use serde_json::json;

use crate::app::App;
use crate::caller::Caller;
use crate::documents;
use crate::error::CallError;

/// What the address of a bill begins with.
const BILLS: &str = "countersign://bills/";
const JSON: &str = "application/json";
const PDF: &str = "application/pdf";

/// The templates of what the caller may read.
pub(super) fn templates(caller: &Caller) -> Vec<ResourceTemplate> {
    let bills = [
        ResourceTemplate::new(format!("{BILLS}{{number}}"), "bill")
            .with_title("Bill")
            .with_description("A bill with the shop's details, by its number (INV-12).")
            .with_mime_type(JSON),
        ResourceTemplate::new(format!("{BILLS}{{number}}.pdf"), "bill-pdf")
            .with_title("Bill as PDF")
            .with_description("A bill as it is printed, by its number (INV-12).")
            .with_mime_type(PDF),
    ];
    let may_read_bills = caller.role >= GetBill::LEAST_ROLE;
    bills.into_iter().filter(|_| may_read_bills).collect()
}

/// What an address of ours stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Address<'a> {
    Bill(&'a str),
    BillPdf(&'a str),
}

impl Address<'_> {
    fn read(uri: &str) -> Option<Address<'_>> {
        let name = uri.strip_prefix(BILLS)?;
        let named = |name: &str| !name.is_empty() && !name.contains(['/', '?', '#', '%']);
        match name.strip_suffix(".pdf") {
            Some(number) => named(number).then_some(Address::BillPdf(number)),
            None => named(name).then_some(Address::Bill(name)),
        }
    }
}

/// The resource of an address.
///
/// # Errors
/// Not found, also for what is somebody else's; an internal error, logged here, for what went wrong.
pub(super) async fn read(
    app: &App,
    caller: &Caller,
    uri: &str,
) -> Result<ReadResourceResult, ErrorData> {
    let unknown = || ErrorData::resource_not_found("Resource not found", Some(json!({"uri": uri})));
    let address = Address::read(uri).ok_or_else(unknown)?;
    let work = AssertUnwindSafe(contents(app, caller, uri, address)).catch_unwind();
    let fault = |what: &dyn std::fmt::Display| {
        tracing::error!(tenant = %caller.tenant, uri, error = %what, "resource");
        ErrorData::internal_error("The resource could not be read. Try again.", None)
    };
    match tokio::time::timeout(app.call_deadline, work).await {
        Ok(Ok(Ok(contents))) => Ok(ReadResourceResult::new(vec![contents])),
        Ok(Ok(Err(CallError::Refused(_)))) => Err(unknown()),
        Ok(Ok(Err(error))) => Err(fault(&error)),
        Ok(Err(_panic)) => Err(fault(&"panicked")),
        Err(elapsed) => Err(fault(&elapsed)),
    }
}

async fn contents(
    app: &App,
    caller: &Caller,
    uri: &str,
    address: Address<'_>,
) -> Result<ResourceContents, CallError> {
    match address {
        Address::Bill(number) => {
            let document = documents::of_bill(app, caller, number).await?;
            let text = serde_json::to_string(&document)
                .map_err(|e| CallError::Broken(format!("resource: {e}")))?;
            Ok(ResourceContents::text(text, uri).with_mime_type(JSON))
        }
        Address::BillPdf(number) => {
            let document = documents::of_bill(app, caller, number).await?;
            let file = documents::pdf_of(document).await?;
            Ok(ResourceContents::blob(STANDARD.encode(file), uri).with_mime_type(PDF))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_one_bill_and_nothing_else_is_an_address() {
        let read = Address::read;
        assert_eq!(
            read("countersign://bills/INV-12"),
            Some(Address::Bill("INV-12"))
        );
        assert_eq!(
            read("countersign://bills/INV-12.pdf"),
            Some(Address::BillPdf("INV-12"))
        );
        for other in [
            "",
            "countersign://bills/",
            "countersign://bills/.pdf",
            "countersign://bills/a/b",
            "countersign://bills/../shop",
            "countersign://bills/INV-12?x",
            "countersign://bills/%49NV-12",
            "file:///etc/passwd",
            "https://bills/INV-12",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
