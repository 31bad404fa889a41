//! The end of a tunnel that is a socket: a client's or a pod's connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_util::io::poll_read_buf;

use crate::http2::Carried;

/// What is read at once: a TLS record, which is what it becomes on the link.
const CHUNK: usize = 16 * 1024;

/// A client's or a pod's connection.
pub(crate) enum Side {
    /// A plain socket, and what was read from it already.
    Tcp(TcpStream, Bytes),
    /// One that has left HTTP.
    Upgraded(TokioIo<Upgraded>),
    /// A stream of one, which has.
    Stream(Carried),
}

impl Side {
    /// Its two directions.
    pub(crate) fn split(self) -> (Source, Sink) {
        match self {
            Self::Tcp(tcp, ahead) => {
                let (read, write) = tcp.into_split();
                (Source { ahead, buffer: BytesMut::new(), from: From::Tcp(read) }, Sink::Tcp(write))
            }
            Self::Upgraded(upgraded) => {
                let (read, write) = tokio::io::split(upgraded);
                (Source::of(From::Upgraded(read)), Sink::Upgraded(write))
            }
            Self::Stream(stream) => {
                let (read, write) = tokio::io::split(stream);
                (Source::of(From::Stream(read)), Sink::Stream(write))
            }
        }
    }

    /// Ends it in a way that nobody takes for a good end.
    pub(crate) fn reset(self) {
        if let Self::Tcp(tcp, _) = self {
            reset_on_close(&tcp);
        }
    }
}

/// The close that follows sends RST instead of FIN.
pub(super) fn reset_on_close(tcp: &TcpStream) {
    // A socket that refuses the option is closed with FIN, and there is nobody to tell.
    let _ = SockRef::from(tcp).set_linger(Some(Duration::ZERO));
}

enum From {
    Tcp(OwnedReadHalf),
    Upgraded(ReadHalf<TokioIo<Upgraded>>),
    Stream(ReadHalf<Carried>),
}

/// What a side says.
pub(crate) struct Source {
    ahead: Bytes,
    /// Kept only while something was read into it: a tunnel that is silent holds no buffer.
    buffer: BytesMut,
    from: From,
}

impl Source {
    fn of(from: From) -> Self {
        Self { ahead: Bytes::new(), buffer: BytesMut::new(), from }
    }

    /// The next bytes; `None` at the end.
    pub(super) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        if !self.ahead.is_empty() {
            return Poll::Ready(Ok(Some(std::mem::take(&mut self.ahead))));
        }
        self.buffer.reserve(CHUNK);
        let polled = match &mut self.from {
            From::Tcp(read) => poll_read_buf(Pin::new(read), cx, &mut self.buffer),
            From::Upgraded(read) => poll_read_buf(Pin::new(read), cx, &mut self.buffer),
            From::Stream(read) => poll_read_buf(Pin::new(read), cx, &mut self.buffer),
        };
        if polled.is_pending() {
            self.buffer = BytesMut::new();
        }
        Poll::Ready(match ready!(polled) {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(self.buffer.split().freeze())),
            Err(error) => Err(error),
        })
    }
}

/// Where a side is told things.
pub(crate) enum Sink {
    Tcp(OwnedWriteHalf),
    Upgraded(WriteHalf<TokioIo<Upgraded>>),
    Stream(WriteHalf<Carried>),
}

impl Sink {
    /// Writes all of it.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(write) => write.write_all(bytes).await,
            Self::Upgraded(write) => {
                write.write_all(bytes).await?;
                write.flush().await
            }
            Self::Stream(write) => write.write_all(bytes).await,
        }
    }

    /// Says the end; the other direction goes on.
    pub(super) async fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(write) => write.shutdown().await,
            Self::Upgraded(write) => write.shutdown().await,
            Self::Stream(write) => write.shutdown().await,
        }
    }

    /// Ends it in a way that nobody takes for a good end. A stream is reset by being dropped. An upgraded connection is
    /// closed only: what is spoken on it has an end of its own (WebSocket: RFC 6455 §7.1.5).
    pub(super) fn reset(self) {
        if let Self::Tcp(write) = self {
            reset_on_close(write.as_ref());
            // Dropped as it is, the half would say a good end first.
            write.forget();
        }
    }
}
