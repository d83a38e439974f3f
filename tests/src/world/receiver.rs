//! Somebody who is told what happens in a shop, and who behaves badly when asked to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What the receiver does with one delivery.
#[derive(Debug, Clone)]
pub enum Manner {
    /// Answers with this status.
    Says(u16),
    /// Sends the sender somewhere else.
    Redirects(String),
    /// Never answers.
    Hangs,
    /// Takes it and answers with two megabytes.
    Talks,
}

/// One delivery as it came.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// `webhook-id`.
    pub id: String,
    /// `webhook-timestamp`.
    pub timestamp_s: i64,
    /// `webhook-signature`.
    pub signature: String,
    /// The body as it was sent.
    pub text: String,
}

impl Delivery {
    /// The body, read.
    #[must_use]
    pub fn body(&self) -> Value {
        serde_json::from_str(&self.text).expect("JSON")
    }
}

#[derive(Default)]
struct Seen {
    deliveries: Vec<Delivery>,
    next: VecDeque<Manner>,
    always: Option<Manner>,
}

/// A receiver on a port of its own.
pub struct Receiver {
    /// Where it is told things.
    pub url: String,
    seen: Arc<Mutex<Seen>>,
    serving: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Receiver {
    /// One that takes everything.
    pub async fn open() -> Receiver {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let router = Router::new()
            .route("/hooks", post(take))
            .with_state(Arc::clone(&seen));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!(
            "http://{}/hooks",
            listener.local_addr().expect("an address")
        );
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("serving");
        });
        Receiver { url, seen, serving }
    }

    /// Behaves like this for the next deliveries, one each, and well afterwards.
    pub fn then(&self, manners: impl IntoIterator<Item = Manner>) {
        self.seen.lock().expect("seen").next.extend(manners);
    }

    /// Behaves like this from now on; well again with `None`.
    pub fn always(&self, manner: Option<Manner>) {
        self.seen.lock().expect("seen").always = manner;
    }

    /// What came, in its order.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.seen.lock().expect("seen").deliveries.clone()
    }

    /// How often something came.
    #[must_use]
    pub fn count(&self) -> usize {
        self.seen.lock().expect("seen").deliveries.len()
    }
}

async fn take(State(seen): State<Arc<Mutex<Seen>>>, headers: HeaderMap, body: Bytes) -> Response {
    let text = |name: &str| {
        let value = headers.get(name).and_then(|v| v.to_str().ok());
        value.expect(name).to_owned()
    };
    let delivery = Delivery {
        id: text("webhook-id"),
        timestamp_s: text("webhook-timestamp").parse().expect("seconds"),
        signature: text("webhook-signature"),
        text: String::from_utf8(body.to_vec()).expect("text"),
    };
    let manner = {
        let mut seen = seen.lock().expect("seen");
        seen.deliveries.push(delivery);
        let always = seen.always.clone();
        seen.next.pop_front().or(always)
    };
    match manner {
        None => StatusCode::NO_CONTENT.into_response(),
        Some(Manner::Says(status)) => {
            let status = StatusCode::from_u16(status).expect("a status");
            (status, "no\nthank you").into_response()
        }
        Some(Manner::Redirects(to)) => {
            (StatusCode::FOUND, [(header::LOCATION, to)]).into_response()
        }
        Some(Manner::Hangs) => std::future::pending().await,
        Some(Manner::Talks) => vec![b'x'; 2 * 1024 * 1024].into_response(),
    }
}
