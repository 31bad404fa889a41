//! A stream that has left HTTP (RFC 8441), as bytes both ways.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::{RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is written at once: a frame.
const MOST: usize = 16 * 1024;

/// A stream's two directions. Dropped before both have ended, it is reset.
#[derive(Debug)]
pub(crate) struct Carried {
    pub(crate) from: CarriedFrom,
    pub(crate) into: CarriedInto,
}

/// What its other end says.
#[derive(Debug)]
pub(crate) struct CarriedFrom {
    stream: RecvStream,
    ahead: Bytes,
}

/// What its other end is told.
#[derive(Debug)]
pub(crate) struct CarriedInto(SendStream<Bytes>);

impl Carried {
    pub(super) const fn new(from: RecvStream, into: SendStream<Bytes>) -> Self {
        Self { from: CarriedFrom { stream: from, ahead: Bytes::new() }, into: CarriedInto(into) }
    }
}

impl CarriedInto {
    /// Ready when the other end has given up the stream, or its connection is gone.
    pub(crate) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_reset(cx).map(drop)
    }
}

impl AsyncRead for Carried {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().from).poll_read(cx, buf)
    }
}

impl AsyncWrite for Carried {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().into).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().into).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().into).poll_shutdown(cx)
    }
}

impl AsyncRead for CarriedFrom {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.ahead.is_empty() {
            let Some(data) = ready!(this.stream.poll_data(cx)) else { return Poll::Ready(Ok(())) };
            this.ahead = data.map_err(io::Error::other)?;
        }
        let count = this.ahead.len().min(buf.remaining());
        buf.put_slice(&this.ahead[..count]);
        this.ahead.advance(count);
        // One that was reset meanwhile has no window to widen.
        let _ = this.stream.flow_control().release_capacity(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for CarriedInto {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let into = &mut self.get_mut().0;
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if into.poll_reset(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if into.capacity() == 0 {
            into.reserve_capacity(1);
        }
        while into.capacity() == 0 {
            match ready!(into.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        let piece = &buf[..buf.len().min(MOST)];
        into.send_data(Bytes::copy_from_slice(piece), false).map_err(io::Error::other)?;
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection sends what it has by itself.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.get_mut().0.send_data(Bytes::new(), true).map_err(io::Error::other))
    }
}
