//! A bill as a document: JSON for programs, PDF for paper. Made of what is stored, so that the same bill is the same document.

mod amounts;
mod code;
mod layout;
mod pdf;
mod typeface;

use contracts::documents::{BillDocument, ShopDetails};
use contracts::ids::TenantId;
use contracts::locale::Locale;
use contracts::tool::Tool as _;
use contracts::tools::billing::GetBill;
use sqlx::PgConnection;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::app::App;
use crate::bills;
use crate::caller::Caller;
use crate::error::CallError;
use crate::handler::Call;
use crate::words::billing;

pub(crate) use amounts::{Amount, amounts};

/// PDFs made at once. One takes some milliseconds of a processor, so more would only wait for each other.
static MAKING: Semaphore = Semaphore::const_new(4);

/// Where a bill is shown.
#[must_use]
pub(crate) fn bill_url(public_url: &str, number: &str) -> String {
    format!("{public_url}/bills/{number}")
}

/// The bill a caller names, as a document in the shop's language. Who may not read bills is told what everybody is told of a bill that
/// is not there.
///
/// # Errors
/// `unknown_bill`, or when the database fails.
pub(crate) async fn of_bill(
    app: &App,
    caller: &Caller,
    name: &str,
) -> Result<BillDocument, CallError> {
    let mut tx = app.begin(caller.tenant).await?;
    let shop = app.shop(&mut tx, caller.tenant).await?;
    if caller.role < GetBill::LEAST_ROLE {
        return Err(billing::unknown_bill(shop.locale, name).into());
    }
    let mut call = Call {
        conn: &mut tx,
        shop: &shop,
        caller,
        locale: shop.locale,
        now: app.clock.now(),
        public_url: &app.public_url,
        clock: &*app.clock,
    };
    bill(&mut call, name).await
}

/// The language of the caller's shop; English when even that cannot be read.
pub(crate) async fn language(app: &App, tenant: TenantId) -> Locale {
    app.known_shop(tenant)
        .await
        .map_or(Locale::En, |shop| shop.locale)
}

async fn bill(call: &mut Call<'_>, name: &str) -> Result<BillDocument, CallError> {
    let bill = bills::find(call, name).await?;
    let tenant = call.tenant();
    let details = select_details(call.conn, tenant).await?;
    let url = bill_url(call.public_url, &bill.number);
    Ok(BillDocument {
        shop: details,
        language: call.shop.locale,
        issued_on: bill
            .issued_at
            .with_timezone(&call.shop.time_zone)
            .date_naive(),
        pdf_url: format!("{url}.pdf"),
        url,
        bill: bill.view(call.shop.locale),
    })
}

/// The document as PDF. Made on a thread of its own, because a long bill would hold up everybody else's calls.
///
/// # Errors
/// [`CallError::Broken`] when the PDF cannot be written, which no bill we can store should cause.
pub(crate) async fn pdf_of(document: BillDocument) -> Result<Vec<u8>, CallError> {
    let broken = |what: String| CallError::Broken(format!("PDF: {what}"));
    let _turn = MAKING.acquire().await.map_err(|e| broken(e.to_string()))?;
    tokio::task::spawn_blocking(move || pdf::written(&document, pdf::Streams::Compressed))
        .await
        .map_err(|e| broken(e.to_string()))?
        .map_err(broken)
}

async fn select_details(conn: &mut PgConnection, tenant: Uuid) -> Result<ShopDetails, CallError> {
    let row = sqlx::query!(
        "select name, address, phone, tax_number from shop.tenants where id = $1",
        tenant
    )
    .fetch_one(conn)
    .await?;
    Ok(ShopDetails {
        name: row.name,
        address: row.address,
        phone: row.phone,
        tax_number: row.tax_number,
    })
}
