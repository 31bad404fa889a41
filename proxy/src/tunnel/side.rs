//! The end of a tunnel that is a socket: a client's or a pod's connection.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_util::io::poll_read_buf;

use crate::http2::{Carried, CarriedFrom, CarriedInto};
use crate::pods::PodIo;
use crate::socket::{Broken, reset_on_close};

/// What is read at once: a TLS record, which is what it becomes on the link.
const CHUNK: usize = 16 * 1024;

/// A client's or a pod's connection.
pub(crate) enum Side {
    /// A plain socket, and what was read from it already.
    Tcp(TcpStream, Bytes),
    /// A pod's that has left HTTP, and what was read from it already.
    Upgraded(PodIo, Bytes),
    /// A stream of one, which has.
    Stream(Carried),
}

impl Side {
    /// Its two directions.
    pub(crate) fn split(self) -> (Source, Sink) {
        match self {
            Self::Tcp(tcp, ahead) => {
                let (read, write) = tcp.into_split();
                (Source::new(From::Tcp(read), ahead), Sink::Tcp(write))
            }
            Self::Upgraded(pod, ahead) => {
                let pod = Rc::new(RefCell::new(pod));
                (Source::new(From::Upgraded(pod.clone()), ahead), Sink::Upgraded(pod))
            }
            Self::Stream(Carried { from, into }) => (Source::new(From::Stream(from), Bytes::new()), Sink::Stream(into)),
        }
    }

    /// Ends it in a way that nobody takes for a good end.
    pub(crate) fn reset(self) {
        if let Self::Tcp(tcp, _) = self {
            reset_on_close(&tcp);
        }
    }
}

enum From {
    Tcp(OwnedReadHalf),
    Upgraded(Rc<RefCell<PodIo>>),
    Stream(CarriedFrom),
}

/// What a side says.
pub(crate) struct Source {
    ahead: Bytes,
    /// Kept only while something was read into it: a tunnel that is silent holds no buffer.
    buffer: BytesMut,
    from: From,
}

impl Source {
    fn new(from: From, ahead: Bytes) -> Self {
        Self { ahead, buffer: BytesMut::new(), from }
    }

    /// The next bytes; `None` at the end.
    pub(super) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        if !self.ahead.is_empty() {
            return Poll::Ready(Ok(Some(std::mem::take(&mut self.ahead))));
        }
        self.buffer.reserve(CHUNK);
        let polled = match &mut self.from {
            From::Tcp(read) => poll_read_buf(Pin::new(read), cx, &mut self.buffer),
            From::Upgraded(pod) => poll_read_buf(Pin::new(&mut *pod.borrow_mut()), cx, &mut self.buffer),
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
    Upgraded(Rc<RefCell<PodIo>>),
    Stream(CarriedInto),
}

impl Sink {
    /// Writes all of it.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(write) => write.write_all(bytes).await,
            Self::Upgraded(pod) => write_all(pod, bytes).await,
            Self::Stream(write) => write.write_all(bytes).await,
        }
    }

    /// Says the end; the other direction goes on.
    pub(super) async fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(write) => write.shutdown().await,
            Self::Upgraded(pod) => poll_fn(|cx| Pin::new(&mut *pod.borrow_mut()).poll_shutdown(cx)).await,
            Self::Stream(write) => write.shutdown().await,
        }
    }

    /// After its source has said its end: ready when it is gone.
    pub(super) fn poll_gone(&mut self, watch: &mut Broken, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Tcp(write) => watch.poll(write.as_ref().as_fd(), cx),
            Self::Upgraded(pod) => pod.borrow_mut().poll_gone(watch, cx),
            Self::Stream(write) => write.poll_reset(cx),
        }
    }

    /// Ends it in a way that nobody takes for a good end. A stream is reset by being dropped.
    pub(super) fn reset(self) {
        match self {
            Self::Tcp(write) => {
                reset_on_close(write.as_ref());
                // Dropped as it is, the half would say a good end first.
                write.forget();
            }
            Self::Upgraded(pod) => pod.borrow().reset_on_close(),
            Self::Stream(_) => {}
        }
    }
}

/// Writes all of it. The pod is borrowed only within a turn, since its other direction is polled by another task.
async fn write_all(pod: &RefCell<PodIo>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match poll_fn(|cx| Pin::new(&mut *pod.borrow_mut()).poll_write(cx, bytes)).await? {
            0 => return Err(ErrorKind::WriteZero.into()),
            written => bytes = &bytes[written..],
        }
    }
    Ok(())
}
