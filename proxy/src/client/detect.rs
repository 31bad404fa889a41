//! HTTP/1.1, HTTP/2 by prior knowledge or something else: told apart by the first bytes, which are then read again by
//! whoever takes the connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::clock::HeadClock;
use super::io::ClientIo;

/// What every HTTP/2 client sends first (RFC 9113 §3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

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
    Ok(Some((spoken, ClientIo::new(tcp, ahead, clock))))
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
