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
    from: RecvStream,
    ahead: Bytes,
    into: SendStream<Bytes>,
}

impl Carried {
    pub(super) const fn new(from: RecvStream, into: SendStream<Bytes>) -> Self {
        Self { from, ahead: Bytes::new(), into }
    }
}

impl AsyncRead for Carried {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.ahead.is_empty() {
            let Some(data) = ready!(this.from.poll_data(cx)) else { return Poll::Ready(Ok(())) };
            this.ahead = data.map_err(io::Error::other)?;
        }
        let count = this.ahead.len().min(buf.remaining());
        buf.put_slice(&this.ahead[..count]);
        this.ahead.advance(count);
        // One that was reset meanwhile has no window to widen.
        let _ = this.from.flow_control().release_capacity(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Carried {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if this.into.poll_reset(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if this.into.capacity() == 0 {
            this.into.reserve_capacity(1);
        }
        while this.into.capacity() == 0 {
            match ready!(this.into.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        let piece = &buf[..buf.len().min(MOST)];
        this.into.send_data(Bytes::copy_from_slice(piece), false).map_err(io::Error::other)?;
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection sends what it has by itself.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.get_mut().into.send_data(Bytes::new(), true).map_err(io::Error::other))
    }
}
