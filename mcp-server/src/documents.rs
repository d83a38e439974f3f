//! A bill as a document: JSON for programs, PDF for paper. A booking as a file for calendars. Made of what is stored, so that the same
//! bill is the same document.

mod amounts;
mod code;
mod layout;
mod pdf;
#[cfg(test)]
mod reading;
mod typeface;

use contracts::documents::{BillDocument, ShopDetails};
use contracts::ids::TenantId;
use contracts::locale::Locale;
use contracts::tools::billing::GetBill;
use contracts::tools::booking::ViewBookings;
use sqlx::PgConnection;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::app::App;
use crate::bills;
use crate::calendar;
use crate::caller::Caller;
use crate::error::CallError;
use crate::handler::Call;
use crate::words::{billing, booking};

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
    if !caller.may_use::<GetBill>() {
        return Err(billing::unknown_bill(shop.locale, name).into());
    }
    bill(&mut app.call(&mut tx, &shop, caller), name).await
}

/// The booking a caller names, as a calendar file. Who may not see bookings is told that there is none.
///
/// # Errors
/// `unknown_booking`, or when the database fails.
pub(crate) async fn calendar_of(
    app: &App,
    caller: &Caller,
    reference: &str,
) -> Result<String, CallError> {
    let mut tx = app.begin(caller.tenant).await?;
    let shop = app.shop(&mut tx, caller.tenant).await?;
    if !caller.may_use::<ViewBookings>() {
        return Err(booking::unknown_booking(shop.locale, reference, "booking").into());
    }
    calendar::file(&mut app.call(&mut tx, &shop, caller), reference).await
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

#[cfg(test)]
mod tests {
    use contracts::money::{Currency, Money};
    use contracts::quantity::Measure;
    use contracts::tools::billing::{
        BillKind, BillLineView, BillStatus, BillView, CreateBill, CreditNoteHead, VoidBill,
    };
    use contracts::tools::inventory::AddItem;
    use proptest::prelude::*;
    use serde_json::json;

    use super::layout::{LEFT, Mark, PAGE_HEIGHT, RIGHT};
    use super::*;
    use crate::testing::{World, refusal};

    /// What the PDF of a stored bill says, page by page.
    async fn printed(world: &World, name: &str) -> Vec<Vec<String>> {
        let document = document(world, name).await;
        read(&document)
    }

    async fn document(world: &World, name: &str) -> BillDocument {
        let mut tx = world.begin().await;
        bill(&mut world.call(&mut tx), name).await.unwrap()
    }

    fn read(document: &BillDocument) -> Vec<Vec<String>> {
        reading::pages(&pdf::written(document, pdf::Streams::Plain).unwrap())
    }

    fn says(pages: &[Vec<String>], text: &str) -> bool {
        pages.iter().flatten().any(|said| said == text)
    }

    /// A bill that never was, of so many lines.
    fn imagined(lines: usize, name: &str) -> BillDocument {
        let francs: Currency = "RWF".parse().unwrap();
        let money = |minor| Money::minor(minor, francs);
        let one = Measure::new("1".parse().unwrap(), "each".to_owned());
        let line = |i: usize| BillLineView {
            description: format!("{name} {i}"),
            quantity: one.clone(),
            priced_quantity: one.clone(),
            unit_price: "RWF 250 each".to_owned(),
            gross: money(250),
            discount: money(0),
            tax: money(0),
            text: format!("1 {name} {i} = 250"),
        };
        let total = money(250 * i64::try_from(lines).unwrap());
        BillDocument {
            shop: ShopDetails {
                name: name.to_owned(),
                address: Some(format!("{name}\n{name}")),
                phone: None,
                tax_number: None,
            },
            language: Locale::En,
            issued_on: "2026-11-20".parse().unwrap(),
            bill: BillView {
                bill_id: Uuid::from_u128(7),
                number: "INV-12".to_owned(),
                kind: BillKind::Invoice,
                status: BillStatus::Open,
                customer: Some(name.to_owned()),
                lines: (1..=lines).map(line).collect(),
                subtotal: total,
                discount: money(0),
                tax: money(0),
                tax_inclusive: true,
                total,
                paid: money(0),
                credited: money(0),
                owed: total,
                issued_at: "2026-11-20T09:00:00Z".parse().unwrap(),
                due_on: None,
                void_reason: None,
                write_off_reason: None,
                credit_notes: vec![],
                credits: None,
            },
            url: "https://shop.example/bills/INV-12".to_owned(),
            pdf_url: "https://shop.example/bills/INV-12.pdf".to_owned(),
        }
    }

    #[tokio::test]
    async fn money_is_printed_with_the_decimals_of_its_currency() {
        for (currency, price, line, total, paid, owed) in [
            ("RWF", "1250", "2,500", "RWF 2,400", "500", "RWF 1,900"),
            ("KES", "12.50", "25.00", "KES 24.25", "5.05", "KES 19.20"),
            ("KWD", "1.255", "2.510", "KWD 2.005", "1.004", "KWD 1.001"),
        ] {
            let off = match currency {
                "RWF" => "100",
                "KES" => "0.75",
                _ => "0.505",
            };
            let world = World::selling_in(currency).await;
            let tea = json!({"name": "Tea", "unit_price": price, "quantity": "9"});
            world.write::<AddItem>(tea).await.unwrap();
            let order = json!({"customer": "Ali", "lines": [{"item": "tea", "quantity": "2"}], "discount": off,
                               "due_on": "2026-12-01", "payment": {"method": "cash", "amount": paid}});
            world.agree::<CreateBill>(order).await.unwrap();
            let pages = printed(&world, "1").await;
            for text in [line, total, paid, owed, &format!("-{off}")] {
                assert!(says(&pages, text), "{currency} {text}: {pages:?}");
            }
            assert!(says(&pages, &format!("Amount {currency}")), "{pages:?}");
            assert!(says(&pages, "Due 2026-12-01") && says(&pages, "To be paid"));
        }
    }

    #[tokio::test]
    async fn a_bill_names_the_shop_in_its_language_and_a_void_one_shouts() {
        let world = World::with(|shop| shop.locale = Locale::Es).await;
        world
            .arrange("update shop.tenants set address = E'KG 11 Ave 24\nKigali', phone = '+250 788 123 456', tax_number = '102938475'")
            .await;
        let tea = json!({"name": "Té (verde) \\ \"suave\"", "unit_price": "900", "quantity": "9"});
        world.write::<AddItem>(tea).await.unwrap();
        let order = json!({"lines": [{"item": "Té (verde) \\ \"suave\"", "quantity": "1"}]});
        world.agree::<CreateBill>(order).await.unwrap();
        let open = printed(&world, "last").await;
        for text in [
            "Kimironko Corner",
            "KG 11 Ave 24",
            "Kigali",
            "Tel. +250 788 123 456",
            "N.º fiscal 102938475",
            "Factura INV-1",
            "Emitida 2026-11-20",
            "Venta de mostrador",
            "Té (verde) \\ \"suave\"",
            "900 c/u",
            "Por pagar",
            "http://127.0.0.1:8001/bills/INV-1",
            "INV-1 · Página 1 de 1",
        ] {
            assert!(says(&open, text), "{text}: {open:?}");
        }
        assert!(!says(&open, "ANULADA"));
        let why = json!({"bill": "1", "reason": "escrita dos veces"});
        world.agree::<VoidBill>(why).await.unwrap();
        let void = printed(&world, "1").await;
        let shouts = void[0].iter().filter(|said| *said == "ANULADA").count();
        assert_eq!(shouts, 2, "across the page and in its head: {void:?}");
        assert!(says(&void, "ANULADA: escrita dos veces") && says(&void, "RWF 0"));
        // The document says the same to programs.
        let document = document(&world, "1").await;
        assert_eq!(document.shop.tax_number.as_deref(), Some("102938475"));
        assert_eq!(document.bill.status, BillStatus::Void);
        let mut tx = world.begin().await;
        let unknown = bill(&mut world.call(&mut tx), "INV-2").await;
        assert_eq!(refusal(unknown).field.as_deref(), Some("bill"));
    }

    #[test]
    fn a_hundred_lines_are_all_there_under_a_head_on_every_page() {
        let one = read(&imagined(1, "Soap"));
        assert_eq!(one.len(), 1);
        assert!(says(&one, "INV-12 · Page 1 of 1"));
        let many = read(&imagined(100, "Soap"));
        assert!(many.len() > 2, "{} pages", many.len());
        for (i, page) in many.iter().enumerate() {
            let foot = format!("INV-12 · Page {} of {}", i + 1, many.len());
            assert_eq!(page.last(), Some(&foot));
            assert!(
                page.contains(&"Description".to_owned()),
                "page {i}: {page:?}"
            );
        }
        let goods: Vec<&String> = many
            .iter()
            .flatten()
            .filter(|said| said.starts_with("Soap ") && !said.contains('·'))
            .collect();
        let expected: Vec<String> = (1..=100).map(|i| format!("Soap {i}")).collect();
        assert_eq!(goods, expected.iter().collect::<Vec<_>>());
        assert!(says(&many, "RWF 25,000"));
    }

    #[test]
    fn what_was_credited_is_on_the_bill_and_on_its_note() {
        let mut document = imagined(2, "Soap");
        let francs = |minor| Money::minor(minor, "RWF".parse().unwrap());
        let note = |number: &str| CreditNoteHead {
            bill_id: Uuid::from_u128(9),
            number: number.to_owned(),
            total: francs(50),
        };
        document.bill.credited = francs(100);
        document.bill.owed = francs(400);
        document.bill.credit_notes = vec![note("CN-1"), note("CN-2")];
        let pages = read(&document);
        assert!(
            says(&pages, "Credited (CN-1, CN-2)") && says(&pages, "100"),
            "{pages:?}"
        );
        assert!(says(&pages, "Owed") && says(&pages, "RWF 400"));
        document
            .bill
            .credit_notes
            .extend([note("CN-3"), note("CN-4")]);
        let many = read(&document);
        assert!(says(&many, "Credited (CN-1, CN-2, …)"), "{many:?}");
        document.bill.number = "CN-1".to_owned();
        document.bill.kind = BillKind::CreditNote;
        document.bill.credits = Some("INV-12".to_owned());
        let pages = read(&document);
        assert!(
            says(&pages, "Credit note CN-1") && says(&pages, "For bill INV-12"),
            "{pages:?}"
        );
        assert!(!says(&pages, "Owed"), "{pages:?}");
    }

    #[test]
    fn the_same_bill_is_the_same_file() {
        let document = imagined(30, "Soap");
        let made = |d: &BillDocument| pdf::written(d, pdf::Streams::Compressed).unwrap();
        let first = made(&document);
        assert_eq!(first, made(&document));
        assert!(first.starts_with(b"%PDF-"));
        let mut other = document;
        other.bill.status = BillStatus::Paid;
        assert_ne!(first, made(&other));
    }

    /// As a telephone sees it: the black bars of the file painted on paper, found and decoded.
    #[test]
    fn the_code_on_paper_is_the_bills_address() {
        const DOTS: f32 = 4.0;
        let document = imagined(3, "Soap");
        let file = pdf::written(&document, pdf::Streams::Plain).unwrap();
        let bars = reading::black(&file);
        assert!(bars.len() > 100, "{} bars", bars.len());
        let inside = |x: usize, y: usize| {
            let dot = |n: usize| (f32::from(u16::try_from(n).unwrap()) + 0.5) / DOTS;
            let (x, y) = (dot(x), dot(y));
            bars.iter().any(|[left, top, right, bottom]| {
                (*left..*right).contains(&x) && (*top..*bottom).contains(&y)
            })
        };
        let mut paper = rqrr::PreparedImage::prepare_from_greyscale(1_000, 1_800, |x, y| {
            if inside(x, y) { 0 } else { 255 }
        });
        let codes = paper.detect_grids();
        assert_eq!(codes.len(), 1);
        assert_eq!(codes[0].decode().unwrap().1, document.url);
    }

    #[test]
    fn what_the_typeface_lacks_is_shown_as_missing() {
        let pages = read(&imagined(1, "白糖 sugar"));
        assert!(says(&pages, "\u{fffd}\u{fffd} sugar 1"), "{pages:?}");
        // Joined letters and marks are shaped, and make a file.
        for name in ["سكر أبيض", "चीनी", "e\u{301}clair", "🍚", "Tea شاي 5 kg"]
        {
            assert_eq!(read_count(&imagined(2, name)), 1, "{name}");
        }
    }

    fn read_count(document: &BillDocument) -> usize {
        let file = pdf::written(document, pdf::Streams::Plain).unwrap();
        String::from_utf8_lossy(&file)
            .matches("/Type/Page/")
            .count()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever names are, and however large amounts, nothing leaves its page and no figure is cut.
        #[test]
        fn everything_stays_within_its_page(
            name in "\\PC{1,120}",
            minor in -9_007_199_254_740_992_i64..=i64::MAX,
            lines in 1_usize..40,
            unit in "[a-zA-Z]{1,30}",
        ) {
            let mut document = imagined(lines, &name);
            let amount = Money::minor(minor, "KWD".parse().unwrap());
            for line in &mut document.bill.lines {
                line.gross = amount;
                line.quantity.text = format!("999999999999.123456 {unit}");
                line.unit_price = format!("KWD 999,999,999,999.123456 per {unit}");
            }
            document.bill.total = amount;
            document.bill.status = BillStatus::Void;
            document.bill.void_reason = Some(name);
            let faces = typeface::faces().unwrap();
            let pages = layout::pages(&document, faces);
            let figures = amount.number();
            let mut told = 0;
            for text in pages.iter().flatten() {
                let Mark::Text(text) = text else { continue };
                let face = if text.bold { faces.bold } else { faces.regular };
                let wide = face.width(&text.text, text.size);
                let (left, right) = if text.to_left { (text.x - wide, text.x) } else { (text.x, text.x + wide) };
                prop_assert!(left >= LEFT - 0.1 && right <= RIGHT + 0.1, "{text:?} {left} {right}");
                prop_assert!(text.y > 0.0 && text.y < PAGE_HEIGHT - 30.0, "{text:?}");
                told += usize::from(text.text == figures);
            }
            prop_assert_eq!(told, lines, "every amount in full");
        }
    }
}
