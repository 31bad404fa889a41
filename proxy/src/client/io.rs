//! A client's connection as hyper reads and writes it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::clock::{HeadClock, Stage};
use super::half_closed::{ARE_YOU_THERE, HalfClosed, Look};
use crate::socket::{cut_when_unread, let_unread};
use crate::tunnel::Side;

/// Up to so many bytes of an answer, head and body, are put together before they are written: copying them costs less
/// than what the kernel does beyond a plain `send` when it is given several pieces.
const IN_ONE_PIECE: usize = 1024;

/// A client's connection with the bytes that were read ahead put back in front.
#[derive(Debug)]
pub(crate) struct ClientIo {
    tcp: TcpStream,
    ahead: Bytes,
    clock: Option<Arc<HeadClock>>,
    half_closed: Option<Box<HalfClosed>>,
}

/// What a client did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stirred {
    /// It said something.
    Speaks,
    /// It has ended its direction.
    Ended,
}

/// What was read, and what was to be read before the socket.
fn in_front(read: Bytes, rest: Bytes) -> Bytes {
    match (read.is_empty(), rest.is_empty()) {
        // Even an empty piece of a buffer would keep all of it.
        (true, true) => Bytes::new(),
        (false, true) => read,
        (true, false) => rest,
        (false, false) => [read, rest].concat().into(),
    }
}

impl ClientIo {
    pub(super) const fn new(tcp: TcpStream, ahead: Bytes, clock: Arc<HeadClock>) -> Self {
        Self { tcp, ahead, clock: Some(clock), half_closed: None }
    }

    /// Sets how long the client may leave unread what was sent to it.
    ///
    /// # Errors
    /// What the kernel says: the client is gone already.
    pub(crate) fn cut_when_unread(&self, after: Duration) -> io::Result<()> {
        cut_when_unread(&self.tcp, after)
    }

    /// The same, with bytes no longer taken for the start of a head: on HTTP/2 they may be a ping.
    pub(crate) fn without_clock(self) -> Self {
        Self { clock: None, ..self }
    }

    /// The socket and what was read of it, for whoever does not speak HTTP.
    pub(crate) fn into_side(self) -> Side {
        Side::Tcp(self.tcp, self.ahead)
    }

    /// The same of one that spoke HTTP and does so no more: now its client may leave unread what it is sent for as long as
    /// it likes, as on a port that never spoke it.
    pub(crate) fn leave_http(self) -> (TcpStream, Bytes) {
        // Of a client that is gone already its tunnel learns soon enough.
        let _ = let_unread(&self.tcp);
        (self.tcp, self.ahead)
    }

    /// The same, with what was read of it put back.
    pub(crate) fn with_ahead(self, ahead: Bytes) -> Self {
        Self { ahead: in_front(ahead, self.ahead), ..self }
    }

    fn wrote<T>(&mut self, polled: Poll<T>, cx: &Context<'_>) -> Poll<T> {
        let Some(clock) = &self.clock else { return polled };
        clock.wrote(!polled.is_pending());
        if let (Some(half_closed), true) = (&mut self.half_closed, polled.is_ready()) {
            half_closed.wrote();
            if clock.under_way().is_none() {
                // The last of it: now the reader may know that the client has ended its direction.
                cx.waker().wake_by_ref();
            }
        }
        polled
    }

    fn poll_hints_over(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(clock) = &self.clock else { return Poll::Ready(Ok(())) };
        let Some(hints) = clock.any_hints() else { return Poll::Ready(Ok(())) };
        let polled = hints.poll_over(Pin::new(&mut self.tcp), cx);
        if polled.is_pending() {
            // The answer behind them is still to be written.
            clock.wrote(false);
        }
        polled
    }

    /// The client has ended its direction: while it may still read an answer, its reader is not told, who would end the
    /// connection at once.
    fn poll_half_closed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(clock) = &self.clock else { return Poll::Ready(Ok(())) };
        let unsent = clock.is_unsent();
        let Some(stage) = clock.under_way().or_else(|| unsent.then_some(Stage::Answer)) else {
            return Poll::Ready(Ok(()));
        };
        clock.half_closes();
        let half_closed = self.half_closed.get_or_insert_with(|| Box::new(HalfClosed::new(stage)));
        loop {
            // Beyond the end of its direction a reset is not met by reading.
            if let Some(reset) = self.tcp.take_error()? {
                return Poll::Ready(Err(reset));
            }
            match ready!(half_closed.poll_look(stage, unsent, cx)) {
                Look::Gone => return Poll::Ready(Ok(())),
                Look::Ask if unsent => {}
                Look::Ask => {
                    clock.hints().put(ARE_YOU_THERE);
                    clock.hints().pass(Pin::new(&mut self.tcp), cx)?;
                }
            }
        }
    }

    /// Until there is something to read, or the client has ended its direction.
    ///
    /// # Errors
    /// What the socket says, once: the client is gone.
    pub(super) fn poll_stirred(&self, cx: &mut Context<'_>) -> Poll<io::Result<Stirred>> {
        if !self.ahead.is_empty() {
            return Poll::Ready(Ok(Stirred::Speaks));
        }
        // It may be ready from what was read before.
        let read = ready!(self.tcp.poll_peek(cx, &mut ReadBuf::new(&mut [0])))?;
        Poll::Ready(Ok(if read == 0 { Stirred::Ended } else { Stirred::Speaks }))
    }

    /// While an answer is passed on and its pod says nothing: until the client is gone, as far as can be told. What it has
    /// to say meanwhile is left for later.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match ready!(self.poll_stirred(cx)) {
            Ok(Stirred::Speaks) => Poll::Pending,
            Ok(Stirred::Ended) => self.poll_half_closed(cx).map(drop),
            Err(_) => Poll::Ready(()),
        }
    }
}

/// All pieces in one, if they fit.
fn gather<'a>(pieces: &[io::IoSlice<'_>], into: &'a mut [u8; IN_ONE_PIECE]) -> Option<&'a [u8]> {
    let mut have = 0;
    for piece in pieces {
        into.get_mut(have..have + piece.len())?.copy_from_slice(piece);
        have += piece.len();
    }
    Some(&into[..have])
}

impl AsyncRead for ClientIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.ahead.is_empty() {
            buf.put_slice(&this.ahead.split_to(buf.remaining().min(this.ahead.len())));
            if let Some(clock) = &this.clock {
                // Of a head that may go on for as long as any other.
                clock.bytes_came();
            }
            return Poll::Ready(Ok(()));
        }
        if let Some(clock) = this.clock.as_ref().filter(|clock| !clock.is_unsent())
            && let Some(hints) = clock.any_hints()
        {
            hints.pass(Pin::new(&mut this.tcp), cx)?;
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.tcp).poll_read(cx, buf))?;
        if buf.filled().len() == before {
            return this.poll_half_closed(cx);
        }
        if let Some(clock) = &this.clock {
            clock.bytes_came();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_hints_over(cx))?;
        let polled = Pin::new(&mut this.tcp).poll_write(cx, buf);
        this.wrote(polled, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_hints_over(cx))?;
        let tcp = Pin::new(&mut this.tcp);
        let mut together = [0; IN_ONE_PIECE];
        let polled = match gather(bufs, &mut together) {
            Some(all) => tcp.poll_write(cx, all),
            None => tcp.poll_write_vectored(cx, bufs),
        };
        this.wrote(polled, cx)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_ahead_comes_first_and_nothing_keeps_no_buffer() {
        let piece = Bytes::from_static;
        assert_eq!(in_front(piece(b"GET "), piece(b"/ HTTP")), "GET / HTTP");
        assert_eq!(in_front(piece(b""), piece(b"/ HTTP")), "/ HTTP");
        assert_eq!(in_front(piece(b"GET "), piece(b"")), "GET ");
        let buffer = Bytes::from(vec![0; 8_192]);
        let nothing = in_front(buffer.slice(8_192..), Bytes::new());
        assert!(nothing.is_empty() && buffer.is_unique());
    }

    #[test]
    fn what_is_short_goes_in_one_piece() {
        let (head, body) = ([b'h'; 300], [b'b'; 700]);
        let pieces = |last| [io::IoSlice::new(&head), io::IoSlice::new(&body), io::IoSlice::new(last)];
        let mut together = [0; IN_ONE_PIECE];
        let all = [&head[..], &body[..], &[b'l'; 24][..]].concat();
        assert_eq!(gather(&pieces(&[b'l'; 24]), &mut together), Some(&all[..]));
        assert_eq!(gather(&pieces(&[b'l'; 25]), &mut together), None);
        assert_eq!(gather(&[], &mut together), Some(&[][..]));
    }
}
