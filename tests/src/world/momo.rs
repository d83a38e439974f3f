//! MTN MoMo Collections as its pages describe it, in the test's process: strict about what it is sent, and able to answer late, wrongly or
//! never.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use uuid::Uuid;

const SUBSCRIPTION_KEY: &str = "scene-subscription";
const API_USER: &str = "scene-user";
const API_KEY: &str = "scene-key";
const ENVIRONMENT: &str = "mtnrwanda";
/// `scene-user:scene-key` in base64.
const BASIC: &str = "Basic c2NlbmUtdXNlcjpzY2VuZS1rZXk=";
const CALLBACKS: &str = "https://pay.shop.example";

/// What it does with one request to pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Takes it and never says so.
    TakesSilently,
    /// Takes it and answers with this status.
    TakesAndSays(u16),
    /// Answers with this status and takes nothing.
    Says(u16),
}

#[derive(Default)]
struct Book {
    /// What was asked for, by reference.
    requests: BTreeMap<Uuid, Value>,
    manners: VecDeque<Manner>,
    /// What is answered about a request instead of the truth.
    lie: Option<Value>,
    is_down: bool,
    tokens: u32,
    first_good_token: u32,
    looks: u32,
    complaints: Vec<String>,
}

/// MoMo on a port of its own.
pub struct Momo {
    url: String,
    book: Arc<Mutex<Book>>,
    serving: JoinHandle<()>,
}

impl Drop for Momo {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Momo {
    /// One that works.
    pub async fn open() -> Momo {
        let book = Arc::new(Mutex::new(Book::default()));
        let router = Router::new()
            .route("/collection/token/", post(token))
            .route("/collection/v1_0/requesttopay", post(request_to_pay))
            .route("/collection/v1_0/requesttopay/{reference}", get(status))
            .with_state(Arc::clone(&book));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("serving");
        });
        Momo { url, book, serving }
    }

    /// The settings with which a shop uses it.
    #[must_use]
    pub fn variables(&self) -> [(&'static str, String); 6] {
        [
            ("MOMO_BASE_URL", self.url.clone()),
            ("MOMO_SUBSCRIPTION_KEY", SUBSCRIPTION_KEY.to_owned()),
            ("MOMO_API_USER", API_USER.to_owned()),
            ("MOMO_API_KEY", API_KEY.to_owned()),
            ("MOMO_TARGET_ENVIRONMENT", ENVIRONMENT.to_owned()),
            ("MOMO_CALLBACK_URL", CALLBACKS.to_owned()),
        ]
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("the book")
    }

    /// Behaves like this for the next requests to pay, one each.
    pub fn then(&self, manners: impl IntoIterator<Item = Manner>) {
        self.book().manners.extend(manners);
    }

    /// Answers everything with 503, or works again.
    pub fn set_down(&self, is_down: bool) {
        self.book().is_down = is_down;
    }

    /// Tells this about every payment instead of the truth, or the truth again.
    pub fn lie(&self, lie: Option<Value>) {
        self.book().lie = lie;
    }

    /// Takes no token it has given so far.
    pub fn forget_tokens(&self) {
        let mut book = self.book();
        book.first_good_token = book.tokens + 1;
    }

    /// The payer of this payment of ours has answered: `SUCCESSFUL` or `FAILED`.
    pub fn answer(&self, payment: Uuid, status: &str) {
        let reference = reference_of(payment);
        let mut book = self.book();
        let request = book.requests.get_mut(&reference).expect("a request");
        request["status"] = json!(status);
    }

    /// A request that was long under way arrives after all, and is paid.
    pub fn arrives_late(&self, payment: Uuid, amount: &str) {
        let request = json!({"amount": amount, "currency": "RWF", "status": "SUCCESSFUL"});
        self.book().requests.insert(reference_of(payment), request);
    }

    /// How many payments it knows of.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.book().requests.len()
    }

    /// How often it was asked about one.
    #[must_use]
    pub fn looks(&self) -> u32 {
        self.book().looks
    }

    /// What was wrong with what it was sent.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        self.book().complaints.clone()
    }
}

/// The reference under which a payment of ours is known here: the same id, called version 4.
#[must_use]
pub fn reference_of(payment: Uuid) -> Uuid {
    let mut bytes = payment.into_bytes();
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    Uuid::from_bytes(bytes)
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

fn error(status: u16, code: &str) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    (status, Json(json!({"code": code, "message": code}))).into_response()
}

async fn token(State(book): State<Arc<Mutex<Book>>>, headers: HeaderMap) -> Response {
    let mut book = book.lock().expect("the book");
    if book.is_down {
        return error(503, "SERVICE_UNAVAILABLE");
    }
    if header(&headers, "authorization") != BASIC
        || header(&headers, "ocp-apim-subscription-key") != SUBSCRIPTION_KEY
    {
        book.complaints.push("token: wrong keys".to_owned());
        return error(401, "INVALID_CREDENTIALS");
    }
    book.tokens += 1;
    let token = format!("token-{}", book.tokens);
    Json(json!({"access_token": token, "token_type": "access_token", "expires_in": 3600}))
        .into_response()
}

/// What every request has to carry; its answer if it does not.
fn admitted(book: &mut Book, headers: &HeaderMap) -> Option<Response> {
    if book.is_down {
        return Some(error(503, "SERVICE_UNAVAILABLE"));
    }
    let number = header(headers, "authorization")
        .strip_prefix("Bearer token-")
        .and_then(|n| n.parse::<u32>().ok());
    if !number.is_some_and(|n| (book.first_good_token..=book.tokens).contains(&n) && n > 0) {
        return Some(error(401, "INVALID_TOKEN"));
    }
    let wrong = [
        ("ocp-apim-subscription-key", SUBSCRIPTION_KEY),
        ("x-target-environment", ENVIRONMENT),
    ]
    .into_iter()
    .find(|(name, value)| header(headers, name) != *value);
    if let Some((name, _)) = wrong {
        book.complaints.push(format!("{name} is wrong"));
        return Some(error(400, "INVALID_HEADER"));
    }
    None
}

async fn request_to_pay(
    State(book): State<Arc<Mutex<Book>>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let manner = {
        let mut book = book.lock().expect("the book");
        if let Some(refused) = admitted(&mut book, &headers) {
            return refused;
        }
        let reference = header(&headers, "x-reference-id").parse::<Uuid>();
        let request = serde_json::from_slice::<Value>(&body).unwrap_or_default();
        if let Some(complaint) = complaint(&headers, &request, reference.as_ref().ok()) {
            book.complaints.push(complaint);
            return error(400, "INVALID_REQUEST");
        }
        let reference = reference.expect("checked");
        if book.requests.contains_key(&reference) {
            return error(409, "RESOURCE_ALREADY_EXIST");
        }
        let manner = book.manners.pop_front();
        if !matches!(manner, Some(Manner::Says(_))) {
            let mut taken = request;
            taken["status"] = json!("PENDING");
            book.requests.insert(reference, taken);
        }
        manner
    };
    match manner {
        None => StatusCode::ACCEPTED.into_response(),
        Some(Manner::TakesSilently) => std::future::pending().await,
        Some(Manner::TakesAndSays(status) | Manner::Says(status)) => {
            error(status, "INTERNAL_PROCESSING_ERROR")
        }
    }
}

/// What is wrong with a request to pay.
fn complaint(headers: &HeaderMap, request: &Value, reference: Option<&Uuid>) -> Option<String> {
    let reference = reference?;
    let version = reference.get_version_num();
    let callback = format!("{CALLBACKS}/providers/momo/callback/{reference}");
    let text = |name: &str| request[name].as_str().unwrap_or_default().to_owned();
    let plain = |name: &str| {
        let text = text(name);
        !text.is_empty()
            && text.len() <= 160
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, ' ' | '-' | '.'))
    };
    let mut names: Vec<&str> = request
        .as_object()
        .map(|o| o.keys().map(String::as_str).collect())
        .unwrap_or_default();
    names.sort_unstable();
    let phone = request["payer"]["partyId"].as_str().unwrap_or_default();
    let checks = [
        (version == 4, "X-Reference-Id is of version 4"),
        (
            header(headers, "x-callback-url") == callback,
            "X-Callback-Url names the reference",
        ),
        (
            header(headers, "content-type") == "application/json",
            "the body is JSON",
        ),
        (
            names
                == [
                    "amount",
                    "currency",
                    "externalId",
                    "payeeNote",
                    "payer",
                    "payerMessage",
                ],
            "the members are those of RequestToPay",
        ),
        (
            text("amount").parse::<u64>().is_ok_and(|n| n > 0),
            "a RWF amount is whole, as text",
        ),
        (text("currency") == "RWF", "the currency is ISO 4217"),
        (!text("externalId").is_empty(), "externalId is there"),
        (
            request["payer"]["partyIdType"] == "MSISDN",
            "the payer is a telephone",
        ),
        (
            (7..=15).contains(&phone.len()) && phone.bytes().all(|b| b.is_ascii_digit()),
            "an MSISDN is digits with the country code",
        ),
        (
            plain("payerMessage") && plain("payeeNote"),
            "messages are plain and short",
        ),
    ];
    checks
        .into_iter()
        .find(|(holds, _)| !holds)
        .map(|(_, rule)| format!("not so: {rule}: {request}"))
}

async fn status(
    State(book): State<Arc<Mutex<Book>>>,
    headers: HeaderMap,
    Path(reference): Path<Uuid>,
) -> Response {
    let mut book = book.lock().expect("the book");
    if let Some(refused) = admitted(&mut book, &headers) {
        return refused;
    }
    book.looks += 1;
    let Some(request) = book.requests.get(&reference) else {
        return error(404, "RESOURCE_NOT_FOUND");
    };
    if let Some(lie) = &book.lie {
        return Json(lie.clone()).into_response();
    }
    let mut result = request.clone();
    match request["status"].as_str() {
        Some("SUCCESSFUL") => result["financialTransactionId"] = json!("23503452"),
        Some("FAILED") => result["reason"] = json!("APPROVAL_REJECTED"),
        _ => {}
    }
    Json(result).into_response()
}
