//! One HTTP attempt, under async-openai: it hands on only what async-openai reads well. A refusal is read here, so that its status is
//! kept; a whole answer is handed on as a stream of one event, whatever was asked for; silence, floods and broken connections become
//! an error event, so that their cause is kept.

use std::convert::Infallible;
use std::future::Future;
use std::task::{Context, Poll};
use std::time::Duration;

use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use http::header;
use migrations::clock::SharedClock;
use reqwest::{Body, Request, Response};
use serde_json::json;
use tokio::time::timeout;
use tower::Service;

use super::failure::Failure;

/// Longest whole answer, bytes.
const WHOLE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest stream, bytes: about three hundred bytes come with every few characters.
const STREAM_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Longest line of a stream, bytes.
const LINE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// How much of a refusal is read, bytes.
const REFUSAL_BYTES_MAX: usize = 16 * 1024;
/// How long the text of a refusal is waited for.
const REFUSAL_WAIT: Duration = Duration::from_secs(3);

/// Sends one request and returns its response; a reqwest client, or a test.
pub(super) trait Transport: Clone + Send + Sync + 'static {
    /// The response, or why there is none.
    fn send(
        &self,
        request: Request,
    ) -> impl Future<Output = Result<Response, reqwest::Error>> + Send + 'static;
}

impl Transport for reqwest::Client {
    fn send(
        &self,
        request: Request,
    ) -> impl Future<Output = Result<Response, reqwest::Error>> + Send + 'static {
        self.execute(request)
    }
}

/// The service under async-openai.
#[derive(Clone)]
pub(super) struct Wire<C> {
    pub(super) client: C,
    pub(super) clock: SharedClock,
    /// No key is set: no `Authorization` is sent, not even an empty one.
    pub(super) keyless: bool,
    /// How long nothing may come.
    pub(super) idle: Duration,
    /// A stream is asked for, so its beginning comes at once; a whole answer comes when it is written.
    pub(super) stream: bool,
}

impl<C: Transport> Service<HttpRequestFactory> for Wire<C> {
    type Response = Response;
    type Error = OpenAIError;
    type Future = BoxFuture<'static, Result<Response, OpenAIError>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), OpenAIError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, factory: HttpRequestFactory) -> Self::Future {
        let wire = self.clone();
        Box::pin(async move {
            let request = factory.build().await?;
            wire.attempt(request)
                .await
                .map_err(|failure| OpenAIError::Boxed(Box::new(failure)))
        })
    }
}

impl<C: Transport> Wire<C> {
    async fn attempt(&self, mut request: Request) -> Result<Response, Failure> {
        if self.keyless {
            request.headers_mut().remove(header::AUTHORIZATION);
        }
        let sending = self.client.send(request);
        let sent = if self.stream {
            let silent = |_| Failure::passing(format!("nothing came within {:?}", self.idle));
            timeout(self.idle, sending).await.map_err(silent)?
        } else {
            sending.await
        };
        let response = sent.map_err(|e| Failure::of_transport(&e))?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        let mut pieces = Pieces {
            bytes: response.bytes_stream().boxed(),
            idle: self.stream.then_some(self.idle),
            read: 0,
            line: 0,
            ended: false,
        };
        let begin = pieces.beginning().await?;
        let body = match begin.iter().find(|b| !b.is_ascii_whitespace()) {
            Some(b'{') => Body::from(pieces.whole(begin).await?),
            Some(b'<') => return Err(Failure::passing("it answered with a page")),
            Some(_) | None => Body::wrap_stream(
                stream::once(async { Ok::<_, Infallible>(begin) }).chain(pieces.events()),
            ),
        };
        Ok(http::Response::new(body).into())
    }

    async fn refusal(&self, response: Response) -> Failure {
        let status = response.status();
        let headers = response.headers().clone();
        let mut text = Vec::new();
        let mut bytes = response.bytes_stream();
        let reading = async {
            while let Ok(Some(piece)) = bytes.try_next().await {
                text.extend_from_slice(&piece);
                if text.len() > REFUSAL_BYTES_MAX {
                    break;
                }
            }
        };
        let _ = timeout(REFUSAL_WAIT, reading).await;
        Failure::of_response(status, &headers, &text, self.clock.now())
    }
}

/// The bytes of an answer, watched.
struct Pieces<B> {
    bytes: BoxStream<'static, Result<B, reqwest::Error>>,
    /// How long nothing may come; none where the whole answer's deadline is enough.
    idle: Option<Duration>,
    read: usize,
    /// Bytes since the last end of a line.
    line: usize,
    ended: bool,
}

impl<B: AsRef<[u8]> + Send + 'static> Pieces<B> {
    async fn next(&mut self) -> Result<Option<B>, Failure> {
        let next = self.bytes.next();
        let piece = match self.idle {
            Some(idle) => timeout(idle, next)
                .await
                .map_err(|_| Failure::passing(format!("nothing came for {idle:?}")))?,
            None => next.await,
        };
        let Some(piece) = piece else { return Ok(None) };
        let piece = piece.map_err(|e| Failure::of_transport(&e))?;
        let bytes = piece.as_ref();
        self.read += bytes.len();
        self.line = match bytes.iter().rposition(|b| matches!(b, b'\n' | b'\r')) {
            Some(at) => bytes.len() - at,
            None => self.line + bytes.len(),
        };
        if self.read > STREAM_BYTES_MAX || self.line > LINE_BYTES_MAX {
            return Err(Failure::passing("the answer is too long"));
        }
        Ok(Some(piece))
    }

    /// Enough of the answer to tell what it is.
    async fn beginning(&mut self) -> Result<Vec<u8>, Failure> {
        let mut begin = Vec::new();
        while begin.iter().all(u8::is_ascii_whitespace) {
            match self.next().await? {
                Some(piece) => begin.extend_from_slice(piece.as_ref()),
                None => break,
            }
        }
        // A byte order mark before JSON.
        if begin.starts_with(b"\xef\xbb\xbf") {
            begin.drain(..3);
        }
        Ok(begin)
    }

    /// A whole answer as a stream of one event.
    async fn whole(mut self, mut text: Vec<u8>) -> Result<Vec<u8>, Failure> {
        while let Some(piece) = self.next().await? {
            text.extend_from_slice(piece.as_ref());
            if text.len() > WHOLE_BYTES_MAX {
                return Err(Failure::passing("the answer is too long"));
            }
        }
        // Line ends are only white space in JSON, and end a field in a stream of events.
        for byte in &mut text {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
        Ok([b"data: ".as_slice(), &text, b"\n\n"].concat())
    }

    /// The rest of a stream. Its failure is its last event.
    fn events(self) -> impl Stream<Item = Result<Vec<u8>, Infallible>> + Send + 'static {
        stream::unfold(self, |mut pieces| async move {
            if pieces.ended {
                return None;
            }
            let piece = match pieces.next().await {
                Ok(Some(piece)) => piece.as_ref().to_vec(),
                Ok(None) => {
                    pieces.ended = true;
                    // Ends an event whose empty line was forgotten.
                    b"\n\n".to_vec()
                }
                Err(failure) => {
                    pieces.ended = true;
                    let told = json!({"error": {"message": failure.cause}});
                    format!("\n\ndata: {told}\n\n").into_bytes()
                }
            };
            Some((Ok(piece), pieces))
        })
    }
}
