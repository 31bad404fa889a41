//! HTTP/1.1, HTTP/2 by prior knowledge or something else: told apart by the first bytes, which are then read again by
//! whoever takes the connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::clock::HeadClock;
use crate::socket::cut_when_unread;
use crate::tunnel::Side;

/// What every HTTP/2 client sends first (RFC 9113 §3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Up to so many bytes of an answer, head and body, are put together before they are written: copying them costs less
/// than what the kernel does beyond a plain `send` when it is given several pieces.
const IN_ONE_PIECE: usize = 1024;

/// The longest method that is taken for one.
const LONGEST_METHOD: usize = 20;

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    /// HTTP/1.0 or 1.1.
    Http1,
    /// HTTP/2 by prior knowledge.
    Http2,
    /// Anything else, TLS among it; or nothing, by a client that waits for the server's first word.
    Other,
}

/// What the first bytes say; `None` when more are needed.
///
/// HTTP/1 is a method in capitals and a target that begins as targets do (RFC 9112 §3): other protocols that begin with
/// a word (`SSH-2.0-`, `EHLO `, `INVITE sip:`, `SET key`) have no path after it.
fn judge(first: &[u8]) -> Option<Spoken> {
    if first.len() < PREFACE.len() && PREFACE.starts_with(first) {
        return None;
    }
    if first.starts_with(PREFACE) {
        return Some(Spoken::Http2);
    }
    let method = first.iter().take_while(|b| b.is_ascii_uppercase() || matches!(b, b'-' | b'_')).count();
    match (&first[..method], &first[method..]) {
        (_, []) if method <= LONGEST_METHOD => None,
        (b"CONNECT", [b' ', ..]) => Some(Spoken::Http1),
        (_, [b' ']) if (1..=LONGEST_METHOD).contains(&method) => None,
        (_, [b' ', b'/' | b'*', ..]) if (1..=LONGEST_METHOD).contains(&method) => Some(Spoken::Http1),
        (_, [b' ', target @ ..]) if (1..=LONGEST_METHOD).contains(&method) => absolute(target),
        _ => Some(Spoken::Other),
    }
}

/// An absolute target is one of ours by its scheme.
fn absolute(target: &[u8]) -> Option<Spoken> {
    const START: &[u8] = b"http";
    let seen = target.len().min(START.len());
    if !target[..seen].eq_ignore_ascii_case(&START[..seen]) {
        return Some(Spoken::Other);
    }
    (seen == START.len()).then_some(Spoken::Http1)
}

/// Reads until the first bytes say what is spoken. Where a port says that it is HTTP, what is not is left to hyper, whose
/// parser answers 400; where it does not (`any`), a client that has said nothing in time is waited for no longer. `None`
/// when the client left without a word.
///
/// # Errors
/// What the socket says.
pub(crate) async fn detect(
    mut tcp: TcpStream,
    clock: Arc<HeadClock>,
    any: Option<Duration>,
) -> io::Result<Option<(Spoken, ClientIo)>> {
    let mut first = [0u8; PREFACE.len()];
    let mut have = 0;
    let silent = any.map(|limit| Instant::now() + limit);
    let spoken = loop {
        match judge(&first[..have]) {
            Some(Spoken::Other) if any.is_none() => break Spoken::Http1,
            Some(spoken) => break spoken,
            None => {}
        }
        let read = tcp.read(&mut first[have..]);
        let read = match silent.filter(|_| have == 0) {
            None => read.await?,
            Some(until) => match tokio::time::timeout_at(until, read).await {
                Ok(read) => read?,
                Err(_) => break Spoken::Other,
            },
        };
        match read {
            0 if have == 0 => return Ok(None),
            // It ended before it said what it is.
            0 => break if any.is_some() { Spoken::Other } else { Spoken::Http1 },
            more => have += more,
        }
    };
    clock.bytes_came();
    let ahead = Bytes::copy_from_slice(&first[..have]);
    Ok(Some((spoken, ClientIo { tcp, ahead, clock: Some(clock) })))
}

/// A client's connection with the bytes that were read ahead put back in front.
#[derive(Debug)]
pub(crate) struct ClientIo {
    tcp: TcpStream,
    ahead: Bytes,
    clock: Option<Arc<HeadClock>>,
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

    /// The same, with what hyper had read of it put back.
    pub(crate) fn with_ahead(self, ahead: Bytes) -> Self {
        Self { ahead: in_front(ahead, self.ahead), ..self }
    }

    fn wrote<T>(&self, polled: Poll<T>) -> Poll<T> {
        if let Some(clock) = &self.clock {
            clock.wrote(!polled.is_pending());
        }
        polled
    }

    /// Until there is something to read, or the client has ended.
    pub(crate) fn poll_stirred(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.ahead.is_empty() {
            return Poll::Ready(());
        }
        // An error is read again by whoever is called for.
        self.tcp.poll_read_ready(cx).map(drop)
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
        let this = self.get_mut();
        let polled = Pin::new(&mut this.tcp).poll_write(cx, buf);
        this.wrote(polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let tcp = Pin::new(&mut this.tcp);
        let mut together = [0; IN_ONE_PIECE];
        let polled = match gather(bufs, &mut together) {
            Some(all) => tcp.poll_write(cx, all),
            None => tcp.poll_write_vectored(cx, bufs),
        };
        this.wrote(polled)
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

    #[test]
    fn first_bytes() {
        let long = [b'A'; LONGEST_METHOD + 1];
        for (first, expected) in [
            (&b""[..], None),
            (b"G", None),
            (b"GET", None),
            (b"GET ", None),
            (b"GET /", Some(Spoken::Http1)),
            (b"GET / HTTP/1.1\r\n", Some(Spoken::Http1)),
            (b"OPTIONS * HTTP/1.1", Some(Spoken::Http1)),
            (b"M-SEARCH /x", Some(Spoken::Http1)),
            (b"GET h", None),
            (b"GET http://model", Some(Spoken::Http1)),
            (b"GET HTTP://model", Some(Spoken::Http1)),
            (b"CONNECT model:80", Some(Spoken::Http1)),
            (b"P", None),
            (b"PRI * HTTP/2.0\r\n\r\nSM", None),
            (PREFACE, Some(Spoken::Http2)),
            (b"PRI * HTTP/1.1\r\n", Some(Spoken::Http1)),
            (b"POST /", Some(Spoken::Http1)),
            (b"\x16", Some(Spoken::Other)),
            (b"\x16\x03\x01\x02\x00\x01", Some(Spoken::Other)),
            // PostgreSQL's SSLRequest, MongoDB, Redis, SSH, SMTP, SIP, RTSP.
            (b"\x00\x00\x00\x08\x04\xd2\x16\x2f", Some(Spoken::Other)),
            (b"\x3b\x00\x00\x00", Some(Spoken::Other)),
            (b"*1\r\n$4\r\nPING", Some(Spoken::Other)),
            (b"PING\r\n", Some(Spoken::Other)),
            (b"SET key value", Some(Spoken::Other)),
            (b"SSH-2.0-OpenSSH", Some(Spoken::Other)),
            (b"EHLO example.com", Some(Spoken::Other)),
            (b"INVITE sip:bob", Some(Spoken::Other)),
            (b"DESCRIBE rtsp://", Some(Spoken::Other)),
            (b"get /", Some(Spoken::Other)),
            (b" GET /", Some(Spoken::Other)),
            (b"\r\n", Some(Spoken::Other)),
            (&long, Some(Spoken::Other)),
        ] {
            assert_eq!(judge(first), expected, "{:?}", String::from_utf8_lossy(first));
        }
    }
}
