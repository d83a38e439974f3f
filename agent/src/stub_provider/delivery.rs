//! How an answer leaves: at once, slowly, in part, or never.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use futures::{StreamExt as _, stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Between two bytes of a dripping answer.
const DRIP_EVERY: Duration = Duration::from_millis(250);
/// What was written before the connection ends must have left.
const BEFORE_THE_END: Duration = Duration::from_millis(20);
/// Nobody waits longer than this for an answer that never comes.
const NEVER: Duration = Duration::from_secs(3600);

/// How the bytes of an answer leave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Delivery {
    /// All of them.
    #[default]
    AtOnce,
    /// One by one.
    Drip,
    /// The first half; then the connection ends.
    Cut,
    /// The first half; then the connection is reset.
    Reset,
    /// No byte, not even the headers.
    Hang,
    /// The headers and no more.
    HangAfterHeaders,
}

impl Delivery {
    /// The body of an answer delivered so. Its length is unknown beforehand if it is a stream.
    pub(super) fn body(
        self,
        bytes: Bytes,
        is_stream: bool,
        hangup: &Hangup,
        stop: &CancellationToken,
    ) -> Body {
        match self {
            Delivery::AtOnce if is_stream => {
                Body::from_stream(stream::once(async { Ok::<Bytes, io::Error>(bytes) }))
            }
            Delivery::AtOnce => Body::from(bytes),
            Delivery::Drip => drip(bytes, stop.clone()),
            Delivery::Cut => half(&bytes, None),
            Delivery::Reset => half(&bytes, Some(hangup.clone())),
            Delivery::Hang | Delivery::HangAfterHeaders => {
                let stop = stop.clone();
                Body::from_stream(stream::once(async move {
                    wait_for_ever(&stop).await;
                    Err::<Bytes, _>(io::Error::from(io::ErrorKind::ConnectionAborted))
                }))
            }
        }
    }
}

/// Waits until the stub stops, an hour at most.
pub(super) async fn wait_for_ever(stop: &CancellationToken) {
    let _ = tokio::time::timeout(NEVER, stop.cancelled()).await;
}

fn drip(bytes: Bytes, stop: CancellationToken) -> Body {
    let drops = stream::iter(0..bytes.len()).then(move |at| {
        let byte = bytes.slice(at..=at);
        async move {
            tokio::time::sleep(DRIP_EVERY).await;
            Ok::<Bytes, io::Error>(byte)
        }
    });
    Body::from_stream(drops.take_until(stop.cancelled_owned()))
}

fn half(bytes: &Bytes, hangup: Option<Hangup>) -> Body {
    let first = bytes.slice(..bytes.len() / 2);
    let end = async move {
        tokio::time::sleep(BEFORE_THE_END).await;
        if let Some(hangup) = hangup {
            hangup.reset();
        }
        Err(io::Error::from(io::ErrorKind::ConnectionAborted))
    };
    let pieces = stream::once(async move { Ok(first) }).chain(stream::once(end));
    Body::from_stream(pieces)
}

/// Says how a connection ends.
#[derive(Debug, Clone, Default)]
pub(super) struct Hangup(Arc<AtomicBool>);

impl Hangup {
    /// It will be reset and not closed.
    fn reset(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_reset(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Takes connections that can be reset.
pub(super) struct Doors(pub(super) TcpListener);

impl Listener for Doors {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        // An answer must not wait for the peer's delayed acknowledgement (Nagle).
        let _ = stream.set_nodelay(true);
        let hangup = Hangup::default();
        (Connection { stream, hangup }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Connected<IncomingStream<'_, Doors>> for Hangup {
    fn connect_info(incoming: IncomingStream<'_, Doors>) -> Hangup {
        incoming.io().hangup.clone()
    }
}

/// A connection that is reset at its end if its [`Hangup`] says so.
pub(super) struct Connection {
    stream: TcpStream,
    hangup: Hangup,
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.hangup.is_reset() {
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.hangup.is_reset() {
            // A proper goodbye would come before the reset.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
