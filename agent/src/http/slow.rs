//! Connections to clients that do not read.
//!
//! What such a client is sent fills the sockets' buffers, then this process's, and stays there. Here a write that gets nowhere for as long
//! as [`Hurried`] allows fails, which closes the connection and lets go of everything that was kept for it. A reader of a stream comes back
//! with `Last-Event-ID` and has lost nothing.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A listener whose connections may not stand still for long while something is written to them.
#[derive(Debug)]
pub struct Hurried<L> {
    listener: L,
    still_max: Duration,
}

impl<L> Hurried<L> {
    /// `still_max` is how long a write may wait until the peer takes something.
    pub fn new(listener: L, still_max: Duration) -> Hurried<L> {
        Hurried {
            listener,
            still_max,
        }
    }
}

impl<L: Listener> Listener for Hurried<L> {
    type Io = Watched<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Watched<L::Io>, L::Addr) {
        let (io, address) = self.listener.accept().await;
        (Watched::new(io, self.still_max), address)
    }

    fn local_addr(&self) -> io::Result<L::Addr> {
        self.listener.local_addr()
    }
}

/// Who is at the other end of a connection: a client, or the proxy before it.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

impl<L: Listener<Addr = SocketAddr>> Connected<IncomingStream<'_, Hurried<L>>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Hurried<L>>) -> Peer {
        Peer(*stream.remote_addr())
    }
}

/// A connection whose writes fail when they get nowhere.
#[derive(Debug)]
pub struct Watched<T> {
    io: T,
    still_max: Duration,
    /// Runs while a write waits.
    still: Option<Pin<Box<Sleep>>>,
}

impl<T> Watched<T> {
    fn new(io: T, still_max: Duration) -> Watched<T> {
        Watched {
            io,
            still_max,
            still: None,
        }
    }

    /// What a write came to, or an error once it has waited too long.
    fn watch<R>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if written.is_ready() {
            self.still = None;
            return written;
        }
        let still_max = self.still_max;
        let still = self.still.get_or_insert_with(|| Box::pin(sleep(still_max)));
        ready!(still.as_mut().poll(context));
        tracing::info!("a client that does not read is cut off");
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        self.watch(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(context, pieces);
        self.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    const STILL: Duration = Duration::from_millis(30);

    #[tokio::test]
    async fn a_peer_that_stops_reading_is_cut_off_and_one_that_reads_slowly_is_not() {
        let (ours, mut theirs) = duplex(8);
        let mut watched = Watched::new(ours, STILL);
        // Ten pieces of what fits, each read only after most of the time is over: longer in all than a write may stand still.
        let slowly = async {
            let mut read = [0; 8];
            for _ in 0..10 {
                sleep(STILL / 2).await;
                theirs.read_exact(&mut read).await.unwrap();
            }
            theirs
        };
        let (written, theirs) = tokio::join!(watched.write_all(&[7; 80]), slowly);
        written.unwrap();

        watched.write_all(&[7; 8]).await.unwrap();
        let error = watched.write_all(&[7; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(theirs);
    }
}
