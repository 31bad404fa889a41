//! HTTP/1.1, HTTP/2 by prior knowledge or something else: told apart by the first bytes, which are then read again by
//! whoever takes the connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::clock::HeadClock;
use super::io::ClientIo;

/// What every HTTP/2 client sends first (RFC 9113 §3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The longest method that is taken for one.
const LONGEST_METHOD: usize = 20;

/// As much of a line that is no request's is read to see whether it names a version.
const LONGEST_LINE: usize = 1_024;

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    /// HTTP/1.0 or 1.1.
    Http1,
    /// HTTP/2 by prior knowledge.
    Http2,
    /// Anything else, TLS among it; or nothing, by a client that waits for the server's first word.
    Other,
    /// On a port where HTTP is spoken: a line like a request's that is none of any version.
    Nonsense,
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
        return Some(Spoken::Nonsense);
    }
    (seen == START.len()).then_some(Spoken::Http1)
}

/// How long a client is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waits {
    /// For its first byte.
    pub(super) first: Duration,
    /// For what tells what it speaks, from then on.
    pub(super) rest: Duration,
    /// The port does not say what it speaks: who is silent is taken for one that waits for the server's word.
    pub(super) any: bool,
    /// Pods have answered in HTTP on this port, whether it says so or not.
    pub(super) http: bool,
}

/// Reads until the first bytes say what is spoken. Where a port says that it is HTTP, what is not is left to hyper, whose
/// parser answers 400, unless it names no version: who got HTTP/2's preface wrong could not read that. A line that is almost a
/// request's is the same where nobody says, but HTTP was spoken before. `None` when the client left without a word, or was
/// waited for in vain.
///
/// # Errors
/// What the socket says.
pub(super) async fn detect(
    mut tcp: TcpStream,
    clock: Arc<HeadClock>,
    waits: Waits,
) -> io::Result<Option<(Spoken, ClientIo)>> {
    let mut first = [0u8; PREFACE.len()];
    let mut have = 0;
    let mut until = Instant::now() + waits.first;
    let spoken = loop {
        match judge(&first[..have]) {
            Some(Spoken::Other) if !waits.any => break Spoken::Http1,
            Some(spoken) => break spoken,
            None => {}
        }
        match timeout_at(until, tcp.read(&mut first[have..])).await {
            Err(_) if waits.any && have == 0 => break Spoken::Other,
            Err(_) => return Ok(None),
            Ok(read) => match read? {
                0 if have == 0 => return Ok(None),
                // It ended before it said what it is.
                0 => break if waits.any { Spoken::Other } else { Spoken::Http1 },
                more => {
                    if have == 0 {
                        clock.bytes_came();
                        until = Instant::now() + waits.rest;
                    }
                    have += more;
                }
            },
        }
    };
    let mut ahead = BytesMut::from(&first[..have]);
    let spoken = match spoken {
        Spoken::Nonsense if waits.any && !waits.http => Spoken::Other,
        Spoken::Nonsense if timeout_at(until, names_http(&mut tcp, &mut ahead)).await.unwrap_or(Ok(true))? => {
            Spoken::Http1
        }
        spoken => spoken,
    };
    Ok(Some((spoken, ClientIo::new(tcp, ahead.freeze(), clock))))
}

/// Reads the rest of a line that is no request's. Whether it ends with a version of HTTP, or not at all.
async fn names_http(tcp: &mut TcpStream, ahead: &mut BytesMut) -> io::Result<bool> {
    loop {
        if let Some(end) = ahead.iter().position(|b| *b == b'\n') {
            return Ok(ahead[..end].windows(6).any(|w| w == b" HTTP/"));
        }
        if ahead.len() >= LONGEST_LINE || tcp.read_buf(ahead).await? == 0 {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            (b"SET key value", Some(Spoken::Nonsense)),
            (b"SSH-2.0-OpenSSH", Some(Spoken::Other)),
            (b"EHLO example.com", Some(Spoken::Nonsense)),
            (b"INVITE sip:bob", Some(Spoken::Nonsense)),
            (b"DESCRIBE rtsp://", Some(Spoken::Nonsense)),
            (b"get /", Some(Spoken::Other)),
            (b" GET /", Some(Spoken::Other)),
            (b"\r\n", Some(Spoken::Other)),
            (&long, Some(Spoken::Other)),
        ] {
            assert_eq!(judge(first), expected, "{:?}", String::from_utf8_lossy(first));
        }
    }
}
