//! A bill leaves the shop as a document: a resource for programs of every revision, a page and a file for people.

use contracts::token::PrincipalRole;
use e2e::examples;
use e2e::world::mcp::{MODERN, McpClient, OLDER, OLDEST, asked, done, yes};
use e2e::world::{Setting, World};
use reqwest::Response;
use serde_json::{Value, json};

const BILL: &str = "countersign://bills/INV-1";
const PDF: &str = "countersign://bills/INV-1.pdf";

/// A shop with one bill.
async fn with_a_bill(setting: Setting) -> World {
    let world = World::open_with(setting).await;
    let client = world.asking_client();
    let bill =
        json!({"customer": "Ali", "lines": [{"item": "Soap", "quantity": "2"}], "discount": "100"});
    let state = asked(&client.call("billing_create_bill", &bill).await);
    let call = client
        .retry("billing_create_bill", &bill, &state, yes())
        .await;
    assert_eq!(done(&call)["number"], "INV-1");
    world
}

async fn read(client: &McpClient, uri: &str) -> Value {
    client
        .request("resources/read", json!({"uri": uri}))
        .await
        .result()
}

async fn page(world: &World, path: &str) -> Response {
    world
        .http
        .get(format!("{}{path}", address(world)))
        .send()
        .await
        .expect("an answer")
}

/// Where the tool server's pages are.
fn address(world: &World) -> String {
    world.shop.mcp_url().trim_end_matches("/mcp").to_owned()
}

fn header<'r>(response: &'r Response, name: &str) -> &'r str {
    response.headers()[name].to_str().unwrap_or("?")
}

#[tokio::test]
async fn a_bill_is_a_resource_in_every_revision() {
    let world = with_a_bill(Setting::default()).await;
    for version in [MODERN, OLDER, OLDEST] {
        let client = world.mcp(version);
        let listed = client
            .request("resources/templates/list", json!({}))
            .await
            .result();
        let templates: Vec<&str> = listed["resourceTemplates"]
            .as_array()
            .expect("templates")
            .iter()
            .filter_map(|t| t["uriTemplate"].as_str())
            .collect();
        assert!(
            templates.contains(&"countersign://bills/{number}"),
            "{templates:?}"
        );
        assert!(templates.contains(&"countersign://bills/{number}.pdf"));
        let list = client.request("resources/list", json!({})).await.result();
        assert!(!list.to_string().contains("bills/"), "bills are many");

        let bill = read(&client, BILL).await;
        let content = &bill["contents"][0];
        assert_eq!(
            (&content["uri"], &content["mimeType"]),
            (&json!(BILL), &json!("application/json"))
        );
        let document: Value =
            serde_json::from_str(content["text"].as_str().unwrap_or_default()).expect("JSON");
        assert_eq!(document["bill"]["total"]["text"], "RWF 500");
        assert_eq!(document["shop"]["name"], "Demo shop");
        assert_eq!(document["url"], format!("{}/bills/INV-1", address(&world)));

        let pdf = read(&client, PDF).await;
        assert_eq!(pdf["contents"][0]["mimeType"], "application/pdf");
        let blob = pdf["contents"][0]["blob"].as_str().unwrap_or_default();
        assert!(blob.starts_with("JVBERi0"), "%PDF- in base64");
        let modern = version == MODERN;
        assert_eq!(pdf.get("ttlMs"), modern.then_some(&json!(0)));
        assert_eq!(pdf.get("cacheScope"), modern.then_some(&json!("private")));
    }
}

#[tokio::test]
async fn what_is_no_resource_of_the_callers_is_not_found() {
    let world = with_a_bill(Setting::default()).await;
    let customer = world.agent_client("ali", PrincipalRole::Customer, None);
    let mut claims = world.claims();
    claims.tenant = contracts::ids::TenantId(uuid::Uuid::from_u128(0xbeef));
    sqlx::query("insert into shop.tenants (id, name, currency, created_at) values ($1, 'Other shop', 'KES', now())")
        .bind(claims.tenant.0)
        .execute(&world.db)
        .await
        .expect("another tenant");
    let neighbour = world.asking_client().bearer(&world.signed(&claims));
    for (client, uri) in [
        (&customer, BILL),
        (&customer, PDF),
        (&neighbour, BILL),
        (&neighbour, PDF),
        (&world.mcp(MODERN), "countersign://bills/INV-2"),
        (&world.mcp(MODERN), "countersign://bills/"),
        (&world.mcp(MODERN), "file:///etc/passwd"),
    ] {
        let answer = client.request("resources/read", json!({"uri": uri})).await;
        assert_eq!(answer.error_code(), -32602, "{uri}: {}", answer.body);
        assert!(!answer.body.to_string().contains("Ali"), "{}", answer.body);
    }
    let older = world.mcp(OLDER);
    let answer = older
        .request(
            "resources/read",
            json!({"uri": "countersign://bills/INV-2"}),
        )
        .await;
    assert_eq!(answer.error_code(), -32002, "as that revision says it");
    let listed = customer
        .request("resources/templates/list", json!({}))
        .await
        .result();
    let templates = listed["resourceTemplates"].to_string();
    assert!(
        templates.contains("countersign://bills/{number}"),
        "{listed}"
    );
    assert!(!templates.contains("countersign://customers"), "{listed}");
    for version in [MODERN, OLDER] {
        for method in ["resources/list", "resources/templates/list"] {
            let wrong = world
                .mcp(version)
                .request(method, json!({"cursor": "x"}))
                .await;
            assert_eq!(wrong.error_code(), -32602, "{method}");
        }
    }
}

#[tokio::test]
async fn a_person_opens_the_page_and_the_file() {
    let world = with_a_bill(Setting::default()).await;
    let shown = page(&world, "/bills/INV-1").await;
    assert_eq!(shown.status(), 200);
    assert!(header(&shown, "content-security-policy").contains("default-src 'none'"));
    assert_eq!(header(&shown, "cache-control"), "no-store");
    let text = shown.text().await.expect("a page");
    for said in [
        "Demo shop",
        "Bill INV-1",
        "To be paid",
        "2 Soap @ 300",
        "RWF 600",
        "-100",
        "RWF 500",
        "/bills/INV-1.pdf",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let file = page(&world, "/bills/1.pdf").await;
    assert_eq!(file.status(), 200);
    assert_eq!(header(&file, "content-type"), "application/pdf");
    assert_eq!(
        header(&file, "content-disposition"),
        "inline; filename=\"INV-1.pdf\""
    );
    assert_eq!(header(&file, "cache-control"), "no-store");
    assert_eq!(header(&file, "x-content-type-options"), "nosniff");
    let bytes = file.bytes().await.expect("a file");
    assert!(bytes.starts_with(b"%PDF-"));
    let again = page(&world, "/bills/INV-1.pdf")
        .await
        .bytes()
        .await
        .expect("a file");
    assert_eq!(bytes, again, "the same bill is the same file");
    // The same guard as for every page.
    let foreign = world
        .http
        .get(format!("{}/bills/INV-1.pdf", address(&world)))
        .header("host", "rebound.example")
        .send()
        .await
        .expect("an answer");
    assert_eq!(foreign.status(), 403);
}

#[tokio::test]
async fn what_is_not_there_is_said_in_the_shops_language() {
    let setting = Setting {
        owner_sql: vec!["update shop.tenants set locale = 'es'"],
        ..Setting::default()
    };
    let world = with_a_bill(setting).await;
    for path in [
        "/bills/INV-2",
        "/bills/INV-2.pdf",
        "/bills/x",
        "/bills/.pdf",
        "/bills/%3Cscript%3E",
    ] {
        let missing = page(&world, path).await;
        assert_eq!(missing.status(), 404, "{path}");
        let text = missing.text().await.expect("a page");
        assert!(
            text.contains("lang=\"es\"") && text.contains("no hay esa factura"),
            "{path}: {text}"
        );
        assert!(!text.contains("script>"), "{text}");
    }
    let text = page(&world, "/bills/1").await.text().await.expect("a page");
    assert!(
        text.contains("Factura INV-1") && text.contains("Por pagar"),
        "{text}"
    );
}

#[tokio::test]
async fn a_booking_is_a_file_for_calendars() {
    let world = examples::shop().await;
    examples::play(&world).await;
    let uri = "countersign://bookings/BK-1.ics";
    for version in [MODERN, OLDER] {
        let read = read(&world.mcp(version), uri).await;
        assert_eq!(read["contents"][0]["mimeType"], "text/calendar");
        let text = read["contents"][0]["text"].as_str().unwrap_or_default();
        assert!(
            text.starts_with("BEGIN:VCALENDAR") && text.contains("BK-1"),
            "{text}"
        );
    }
    let file = page(&world, "/bookings/BK-1.ics").await;
    assert_eq!(file.status(), 200);
    assert_eq!(
        header(&file, "content-type"),
        "text/calendar; charset=utf-8"
    );
    assert_eq!(
        header(&file, "content-disposition"),
        "inline; filename=\"BK-1.ics\""
    );
    assert_eq!(header(&file, "cache-control"), "no-store");
    assert!(
        file.text()
            .await
            .expect("a file")
            .starts_with("BEGIN:VCALENDAR")
    );
    for path in ["/bookings/BK-99.ics", "/bookings/BK-1", "/bookings/.ics"] {
        let missing = page(&world, path).await;
        assert_eq!(missing.status(), 404, "{path}");
        assert!(
            missing
                .text()
                .await
                .expect("a page")
                .contains("no such booking")
        );
    }
    let customer = world.agent_client("ali", PrincipalRole::Customer, None);
    let refused = customer
        .request("resources/read", json!({"uri": uri}))
        .await;
    assert_eq!(refused.error_code(), -32602);
}
