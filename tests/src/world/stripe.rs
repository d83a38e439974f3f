//! The part of Stripe's API that is used, in the test's process: keys are remembered, amounts are checked, cards pay when a scene says so.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use uuid::Uuid;

const SECRET_KEY: &str = "sk_test_scene";
/// What signs its webhooks.
pub const WEBHOOK_SECRET: &str = "whsec_scene_of_stripe";

/// What it does with one creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Creates it and never says so.
    CreatesSilently,
    /// Answers with this status and creates nothing.
    Says(u16),
}

#[derive(Default)]
struct Book {
    objects: BTreeMap<String, Value>,
    /// What was asked under a key, and what it made.
    keys: BTreeMap<String, (BTreeMap<String, String>, String)>,
    manners: VecDeque<Manner>,
    complaints: Vec<String>,
}

/// Stripe on a port of its own.
pub struct Stripe {
    url: String,
    book: Arc<Mutex<Book>>,
    serving: JoinHandle<()>,
}

impl Drop for Stripe {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Stripe {
    /// One that works.
    pub async fn open() -> Stripe {
        let book = Arc::new(Mutex::new(Book::default()));
        let router = Router::new()
            .route("/v1/payment_intents", post(create_intent))
            .route("/v1/payment_intents/{id}", get(show))
            .route("/v1/payment_intents/{id}/cancel", post(cancel))
            .route("/v1/payment_intents/search", get(search))
            .route("/v1/refunds", post(create_refund).get(list))
            .route("/v1/refunds/{id}", get(show))
            .with_state(Arc::clone(&book));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("serving");
        });
        Stripe { url, book, serving }
    }

    /// The settings with which a shop uses it.
    #[must_use]
    pub fn variables(&self) -> [(&'static str, String); 3] {
        [
            ("STRIPE_BASE_URL", self.url.clone()),
            ("STRIPE_SECRET_KEY", SECRET_KEY.to_owned()),
            ("STRIPE_WEBHOOK_SECRET", WEBHOOK_SECRET.to_owned()),
        ]
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("the book")
    }

    /// Behaves like this for the next creations, one each.
    pub fn then(&self, manners: impl IntoIterator<Item = Manner>) {
        self.book().manners.extend(manners);
    }

    /// How many objects there are of a kind: `pi_`, `re_`.
    #[must_use]
    pub fn count(&self, kind: &str) -> usize {
        self.book()
            .objects
            .keys()
            .filter(|id| id.starts_with(kind))
            .count()
    }

    /// The object made for a payment of ours.
    #[must_use]
    pub fn object_of(&self, payment: Uuid) -> Option<Value> {
        let payment = payment.to_string();
        self.book()
            .objects
            .values()
            .find(|o| o["metadata"]["payment_id"] == payment.as_str())
            .cloned()
    }

    /// What becomes of it: `succeeded`, `canceled`, `failed`.
    pub fn answer(&self, payment: Uuid, status: &str) {
        let id = self.object_of(payment).expect("an object")["id"].clone();
        let mut book = self.book();
        let object = book
            .objects
            .get_mut(id.as_str().expect("an id"))
            .expect("an object");
        object["status"] = json!(status);
        if status == "succeeded" {
            object["amount_received"] = object["amount"].clone();
        }
    }

    /// The body of a webhook about a payment of ours.
    #[must_use]
    pub fn event(&self, payment: Uuid, kind: &str) -> String {
        let object = self.object_of(payment).unwrap_or_else(
            || json!({"id": "pi_unknown", "metadata": {"payment_id": payment.to_string()}}),
        );
        json!({"id": "evt_1", "object": "event", "type": kind, "data": {"object": object}})
            .to_string()
    }

    /// What was wrong with what it was sent.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        self.book().complaints.clone()
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

fn error(status: u16, code: &str) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    let body = json!({"error": {"type": "invalid_request_error", "code": code, "message": code}});
    (status, Json(body)).into_response()
}

fn read_form(body: &Bytes) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(body);
    let url = reqwest::Url::parse(&format!("http://form/?{text}")).expect("a form");
    url.query_pairs()
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect()
}

/// A creation under a key: the same again is the same, another under the same key is refused.
async fn create(
    book: Arc<Mutex<Book>>,
    headers: HeaderMap,
    body: Bytes,
    kind: &str,
    make: impl Fn(&BTreeMap<String, String>) -> Result<Value, String>,
) -> Response {
    let form = read_form(&body);
    let (manner, object) = {
        let mut book = book.lock().expect("the book");
        let key = header(&headers, "idempotency-key").to_owned();
        if header(&headers, "authorization") != format!("Bearer {SECRET_KEY}") {
            book.complaints.push("wrong key".to_owned());
            return error(401, "api_key_invalid");
        }
        if key.is_empty() || header(&headers, "stripe-version").is_empty() {
            book.complaints
                .push("no Idempotency-Key or no Stripe-Version".to_owned());
            return error(400, "missing");
        }
        if form.get("metadata[payment_id]") != Some(&key) {
            book.complaints
                .push("the key is not the payment's id".to_owned());
        }
        if let Some((before, id)) = book.keys.get(&key) {
            if *before != form {
                book.complaints
                    .push(format!("another request under one key: {form:?}"));
                return error(400, "idempotency_error");
            }
            return Json(book.objects[id].clone()).into_response();
        }
        let mut object = match make(&form) {
            Ok(object) => object,
            Err(complaint) => {
                book.complaints.push(complaint);
                return error(400, "parameter_invalid");
            }
        };
        let manner = book.manners.pop_front();
        if let Some(Manner::Says(status)) = manner {
            return error(status, "api_error");
        }
        let id = format!("{kind}{}", book.objects.len() + 1);
        object["id"] = json!(id);
        object["metadata"] = json!({"payment_id": key});
        book.keys.insert(key, (form, id.clone()));
        book.objects.insert(id, object.clone());
        (manner, object)
    };
    match manner {
        Some(Manner::CreatesSilently) => std::future::pending().await,
        _ => Json(object).into_response(),
    }
}

fn amount(form: &BTreeMap<String, String>) -> Result<i64, String> {
    form.get("amount")
        .and_then(|a| a.parse().ok())
        .filter(|a| *a > 0)
        .ok_or_else(|| format!("no amount: {form:?}"))
}

async fn create_intent(
    State(book): State<Arc<Mutex<Book>>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    create(book, headers, body, "pi_", |form| {
        let currency = form.get("currency").cloned().unwrap_or_default();
        if currency.len() != 3 || currency != currency.to_lowercase() {
            return Err(format!("no currency: {form:?}"));
        }
        Ok(
            json!({"object": "payment_intent", "amount": amount(form)?, "amount_received": 0,
            "currency": currency, "status": "requires_payment_method"}),
        )
    })
    .await
}

async fn create_refund(
    State(book): State<Arc<Mutex<Book>>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let known: Vec<String> = book
        .lock()
        .expect("the book")
        .objects
        .keys()
        .cloned()
        .collect();
    create(book, headers, body, "re_", |form| {
        let intent = form.get("payment_intent").cloned().unwrap_or_default();
        if !known.contains(&intent) {
            return Err(format!("no such payment_intent: {form:?}"));
        }
        Ok(
            json!({"object": "refund", "amount": amount(form)?, "currency": "rwf",
            "payment_intent": intent, "status": "pending"}),
        )
    })
    .await
}

/// A page of what was found.
fn found(book: &Mutex<Book>, fits: impl Fn(&Value) -> bool) -> Response {
    let book = book.lock().expect("the book");
    let data: Vec<&Value> = book.objects.values().filter(|o| fits(o)).collect();
    Json(json!({"object": "list", "data": data, "has_more": false})).into_response()
}

/// The refunds of an intent.
async fn list(
    State(book): State<Arc<Mutex<Book>>>,
    Query(asked): Query<BTreeMap<String, String>>,
) -> Response {
    let intent = asked.get("payment_intent").expect("an intent").as_str();
    found(&book, |object| object["payment_intent"] == intent)
}

/// Intents by their metadata: `metadata['payment_id']:'…'`.
async fn search(
    State(book): State<Arc<Mutex<Book>>>,
    Query(asked): Query<BTreeMap<String, String>>,
) -> Response {
    let wanted = asked
        .get("query")
        .and_then(|query| query.strip_prefix("metadata['payment_id']:'"))
        .and_then(|rest| rest.strip_suffix('\''))
        .expect("a query by the payment's id");
    found(&book, |object| object["metadata"]["payment_id"] == wanted)
}

async fn show(State(book): State<Arc<Mutex<Book>>>, Path(id): Path<String>) -> Response {
    match book.lock().expect("the book").objects.get(&id) {
        Some(object) => Json(object.clone()).into_response(),
        None => error(404, "resource_missing"),
    }
}

async fn cancel(State(book): State<Arc<Mutex<Book>>>, Path(id): Path<String>) -> Response {
    let mut book = book.lock().expect("the book");
    match book.objects.get_mut(&id) {
        Some(object) if object["status"] == "succeeded" => {
            error(400, "payment_intent_unexpected_state")
        }
        Some(object) => {
            object["status"] = json!("canceled");
            object["cancellation_reason"] = json!("abandoned");
            Json(object.clone()).into_response()
        }
        None => error(404, "resource_missing"),
    }
}

/// The header `Stripe-Signature` of a body.
#[must_use]
pub fn signature(secret: &str, at_s: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key");
    mac.update(format!("{at_s}.{body}").as_bytes());
    let digest = mac.finalize().into_bytes();
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={at_s},v1={hex}")
}
