//! A balancer as one stands before several programs: each request goes to the next one that says it is ready. It repeats a request only
//! when no connection could be made, because then nothing was sent.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{http_client, until};

/// How often it looks who is ready.
const LOOKS_EVERY: Duration = Duration::from_millis(50);
/// How long it waits for an answer to a look.
const LOOK: Duration = Duration::from_secs(1);
/// Largest request it passes on, bytes.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Headers that belong to one connection (RFC 9110, section 7.6.1).
const OF_ONE_CONNECTION: [HeaderName; 4] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
];

#[derive(Debug, Clone)]
struct Backend {
    url: String,
    is_ready: bool,
}

#[derive(Default)]
struct Backends {
    all: Vec<Backend>,
    next: usize,
}

#[derive(Clone)]
struct Front {
    backends: Arc<Mutex<Backends>>,
    http: reqwest::Client,
}

/// A running balancer. Stopped when dropped.
pub struct Balancer {
    /// Where clients reach it.
    pub url: String,
    front: Front,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Balancer {
    /// On a port of its own, with nothing behind it yet.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn open() -> Balancer {
        let front = Front {
            backends: Arc::default(),
            http: http_client(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let router = Router::new().fallback(pass).with_state(front.clone());
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("serving");
        });
        let looking = tokio::spawn(look(front.clone()));
        Balancer {
            url,
            front,
            tasks: [serving, looking],
        }
    }

    /// Puts a program behind it and waits until it gets requests.
    pub async fn add(&self, url: &str) {
        let backend = Backend {
            url: url.to_owned(),
            is_ready: false,
        };
        lock(&self.front.backends).all.push(backend);
        until("ready behind the balancer", || async {
            let backends = lock(&self.front.backends);
            backends.all.iter().any(|b| b.url == url && b.is_ready)
        })
        .await;
    }

    /// Takes a program away that is no longer there.
    pub fn remove(&self, url: &str) {
        lock(&self.front.backends).all.retain(|b| b.url != url);
    }

    /// How many get requests.
    #[must_use]
    pub fn ready(&self) -> usize {
        let backends = lock(&self.front.backends);
        backends.all.iter().filter(|b| b.is_ready).count()
    }
}

fn lock(backends: &Mutex<Backends>) -> std::sync::MutexGuard<'_, Backends> {
    backends.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Front {
    /// Those that are ready, each time another one first.
    fn in_turn(&self) -> Vec<String> {
        let mut backends = lock(&self.backends);
        backends.next = backends.next.wrapping_add(1);
        let ready = backends.all.iter().filter(|b| b.is_ready);
        let mut urls: Vec<String> = ready.map(|b| b.url.clone()).collect();
        if !urls.is_empty() {
            let first = backends.next % urls.len();
            urls.rotate_left(first);
        }
        urls
    }
}

async fn look(front: Front) {
    loop {
        let urls: Vec<String> = {
            let backends = lock(&front.backends);
            backends.all.iter().map(|b| b.url.clone()).collect()
        };
        for url in urls {
            let asked = front.http.get(format!("{url}/readyz")).timeout(LOOK).send();
            let is_ready = asked.await.is_ok_and(|answer| answer.status().is_success());
            let mut backends = lock(&front.backends);
            for backend in backends.all.iter_mut().filter(|b| b.url == url) {
                backend.is_ready = is_ready;
            }
        }
        tokio::time::sleep(LOOKS_EVERY).await;
    }
}

async fn pass(State(front): State<Front>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let mut headers = parts.headers;
    for name in OF_ONE_CONNECTION {
        headers.remove(name);
    }
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    for url in front.in_turn() {
        let sent = front
            .http
            .request(parts.method.clone(), format!("{url}{path}"))
            .headers(headers.clone())
            .body(body.clone())
            .send()
            .await;
        match sent {
            Ok(answer) => return answered(answer),
            Err(error) if error.is_connect() => {}
            Err(error) => return (StatusCode::BAD_GATEWAY, format!("{error:?}")).into_response(),
        }
    }
    (StatusCode::SERVICE_UNAVAILABLE, "nobody is ready").into_response()
}

fn answered(answer: reqwest::Response) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = answer.status();
    for (name, value) in answer.headers() {
        if !OF_ONE_CONNECTION.contains(name) {
            response.headers_mut().append(name, value.clone());
        }
    }
    *response.body_mut() = Body::from_stream(answer.bytes_stream());
    response
}
