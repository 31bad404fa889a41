//! HTTP/1.1 or HTTP/2 by prior knowledge: told apart by the first bytes, which are then read again by hyper.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::clock::HeadClock;

/// What every HTTP/2 client sends first (RFC 9113 §3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    /// HTTP/1.0 or 1.1, or nothing known: hyper's HTTP/1 parser answers 400 to anything else.
    Http1,
    /// HTTP/2 by prior knowledge.
    Http2,
}

/// Reads until the first bytes are, or are not, the HTTP/2 preface. `None` when the client left without a word.
///
/// # Errors
/// What the socket says.
pub(crate) async fn detect(mut tcp: TcpStream, clock: Arc<HeadClock>) -> io::Result<Option<(Spoken, ClientIo)>> {
    let mut first = [0u8; PREFACE.len()];
    let mut have = 0;
    while have < first.len() && first[..have] == PREFACE[..have] {
        match tcp.read(&mut first[have..]).await? {
            0 if have == 0 => return Ok(None),
            0 => break,
            more => have += more,
        }
    }
    let spoken = if first[..have] == PREFACE[..] { Spoken::Http2 } else { Spoken::Http1 };
    clock.bytes_came();
    Ok(Some((spoken, ClientIo { tcp, first, read: 0, have, clock: Some(clock) })))
}

/// A client's connection with the bytes that were read ahead put back in front.
#[derive(Debug)]
pub(crate) struct ClientIo {
    tcp: TcpStream,
    first: [u8; PREFACE.len()],
    read: usize,
    have: usize,
    clock: Option<Arc<HeadClock>>,
}

impl ClientIo {
    /// The same, with bytes no longer taken for the start of a head: on HTTP/2 they may be a ping.
    pub(crate) fn without_clock(self) -> Self {
        Self { clock: None, ..self }
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.read < this.have {
            let count = buf.remaining().min(this.have - this.read);
            buf.put_slice(&this.first[this.read..this.read + count]);
            this.read += count;
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.tcp).poll_read(cx, buf);
        if buf.filled().len() > before
            && let Some(clock) = &this.clock
        {
            clock.bytes_came();
        }
        polled
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tcp).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tcp).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(cx)
    }
}
