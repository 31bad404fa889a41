//! Which requests are plain, and how a pod gets them: a request of HTTP/1.1 with a short body of known length or none, that
//! asks for nothing but an answer and is all there is.
//!
//! Whatever is beyond that, or wrong, is told to be [`Reading::Other`] and read again by hyper: nothing is refused here.

use std::cmp::Ordering;
use std::mem::MaybeUninit;

use httparse::Status;

use super::fields::{Field, MOST_LINES, field, put, read_length, stays_open};
use super::scratch::HEAD;
use crate::hygiene::{Trace, is_name_and_port};

/// Bytes of a body: a longer one is passed through as it comes.
pub(super) const MOST_BODY: usize = 16 * 1024;

/// What was read of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// A whole plain request; it may be asked twice, or not.
    Plain {
        /// Bytes of its body.
        body: usize,
        repeatable: bool,
    },
    /// The beginning of a head.
    Incomplete,
    /// The head of a plain request, and not all of its body.
    Awaited,
    /// Anything else.
    Other,
}

/// Reads a request and writes into `out` what a pod gets of it, if it is plain and its target no longer than that.
pub(super) fn translate(raw: &[u8], most_target: usize, trace: &Trace, out: &mut Vec<u8>) -> Reading {
    let mut lines = [const { MaybeUninit::uninit() }; MOST_LINES];
    let mut request = httparse::Request::new(&mut []);
    let head = match request.parse_with_uninit_headers(raw, &mut lines) {
        Ok(Status::Partial) if raw.len() < HEAD => return Reading::Incomplete,
        Ok(Status::Complete(head)) if head <= HEAD => head,
        Ok(_) | Err(_) => return Reading::Other,
    };
    let (Some(method), Some(target), Some(1)) = (request.method, request.path, request.version) else {
        return Reading::Other;
    };
    let Some(Means { has_body, repeatable }) = plain_method(method) else { return Reading::Other };
    if target.len() > most_target || !is_plain_target(target) {
        return Reading::Other;
    }
    out.clear();
    for part in [method, " ", target, " HTTP/1.1\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    let (mut hosts, mut length) = (0, None);
    for line in &*request.headers {
        match field(line.name) {
            Field::Passes | Field::Date | Field::Load => {}
            Field::Host if is_name_and_port(line.value) => hosts += 1,
            Field::Type if !line.value.starts_with(b"application/grpc") => {}
            Field::Length if has_body && length.is_none() => match read_length(line.value) {
                Some(bytes) if bytes <= MOST_BODY as u64 => length = Some(bytes),
                _ => return Reading::Other,
            },
            Field::Connection if stays_open(line.value) => continue,
            _ => return Reading::Other,
        }
        put(line.name.as_bytes(), line.value, out);
    }
    if hosts != 1 || length.is_some() != has_body {
        return Reading::Other;
    }
    let body = &raw[head..];
    match (body.len() as u64).cmp(&length.unwrap_or(0)) {
        Ordering::Less => return Reading::Awaited,
        Ordering::Equal => {}
        // Another request, perhaps.
        Ordering::Greater => return Reading::Other,
    }
    trace.write(out);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    Reading::Plain { body: body.len(), repeatable }
}

/// What a method means for its request.
struct Means {
    /// It has a body, of known length.
    has_body: bool,
    /// It may be asked twice (RFC 9110 §9.2.2).
    repeatable: bool,
}

fn plain_method(method: &str) -> Option<Means> {
    match method {
        "GET" | "DELETE" => Some(Means { has_body: false, repeatable: true }),
        "POST" | "PATCH" => Some(Means { has_body: true, repeatable: false }),
        "PUT" => Some(Means { has_body: true, repeatable: true }),
        _ => None,
    }
}

/// A path, with or without a query, of characters that all servers read as they are (RFC 3986 §3.3, §3.4).
fn is_plain_target(target: &str) -> bool {
    let plain = |b: u8| {
        b.is_ascii_alphanumeric()
            || matches!(b, b'/' | b'?' | b'-' | b'_' | b'.' | b'~' | b'%' | b'=' | b'&' | b'+' | b'!' | b'$' | b'\'')
            || matches!(b, b'(' | b')' | b'*' | b',' | b';' | b':' | b'@')
    };
    target.starts_with('/') && target.bytes().all(plain)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::hygiene::Pseudonym;

    fn read(raw: &str) -> (Reading, String) {
        let trace = Trace::new("10.0.0.9".parse().unwrap(), &Pseudonym::new("us-west"));
        let mut out = b"of the request before".to_vec();
        let reading = translate(raw.as_bytes(), 40, &trace, &mut out);
        (reading, String::from_utf8(out).unwrap())
    }

    const GET: Reading = Reading::Plain { body: 0, repeatable: true };

    #[test]
    fn a_plain_head_passes_with_who_sent_it() {
        let raw = "GET /v1/models?limit=5 HTTP/1.1\r\nHost: model.ml:8080\r\nAccept: */*\r\nConnection: Keep-Alive\r\n\
                   X-Forwarded-For: 1.2.3.4\r\nCookie: a=b\r\n\r\n";
        let expected = "GET /v1/models?limit=5 HTTP/1.1\r\nHost: model.ml:8080\r\nAccept: */*\r\n\
                        X-Forwarded-For: 1.2.3.4\r\nCookie: a=b\r\nvia: 1.1 us-west.strait\r\n\
                        x-forwarded-for: 10.0.0.9\r\nforwarded: for=10.0.0.9;by=us-west.strait\r\n\r\n";
        assert_eq!(read(raw), (GET, expected.to_owned()));
    }

    #[test]
    fn a_short_body_passes_with_its_head() {
        let head = |method| format!("{method} /v1 HTTP/1.1\r\nHost: model\r\nContent-Length: 5\r\n\r\n");
        for (method, repeatable) in [("POST", false), ("PATCH", false), ("PUT", true)] {
            let raw = head(method) + "hello";
            for end in head(method).len()..raw.len() {
                assert_eq!(read(&raw[..end]).0, Reading::Awaited, "{end} bytes");
            }
            let (reading, out) = read(&raw);
            assert_eq!(reading, Reading::Plain { body: 5, repeatable });
            assert!(
                out.starts_with(&head(method)[..head(method).len() - 2]) && out.ends_with("\r\n\r\nhello"),
                "{out}"
            );
            assert_eq!(read(&(raw + "P")).0, Reading::Other);
        }
        let empty = "POST / HTTP/1.1\r\nHost: model\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(read(empty).0, Reading::Plain { body: 0, repeatable: false });
        assert_eq!(read("DELETE /a HTTP/1.1\r\nHost: model\r\n\r\n").0, GET);
        // Nothing is awaited of what is too long, or wrong.
        for length in ["16385", "99999999999999999999", "-1", "+5", "5, 5", "0x5", "", "5\r\nContent-Length: 5"] {
            let raw = format!("POST / HTTP/1.1\r\nHost: model\r\nContent-Length: {length}\r\n\r\n");
            assert_eq!(read(&raw).0, Reading::Other, "{length:?}");
        }
        assert_eq!(read(&empty.replace(": 0", ": 16384")).0, Reading::Awaited);
    }

    #[test]
    fn a_long_head_goes_another_way() {
        let long = |bytes: usize| {
            let start = "POST / HTTP/1.1\r\nHost: model\r\nContent-Length: 2\r\nA: ";
            format!("{start}{}\r\n\r\n", "a".repeat(bytes - start.len() - 4))
        };
        assert_eq!(read(&(long(HEAD) + "{}")).0, Reading::Plain { body: 2, repeatable: false });
        assert_eq!(read(&(long(HEAD + 1) + "{}")).0, Reading::Other);
        assert_eq!(read(&long(HEAD + 1)[..HEAD]).0, Reading::Other);
        assert_eq!(read(&long(HEAD + 1)[..HEAD - 1]).0, Reading::Incomplete);
    }

    #[test]
    fn a_head_that_has_not_all_come_is_waited_for() {
        let raw = "GET / HTTP/1.1\r\nHost: model\r\n\r\n";
        for end in 0..raw.len() {
            assert_eq!(read(&raw[..end]).0, Reading::Incomplete, "{end} bytes");
        }
        assert_eq!(read(raw).0, GET);
    }

    #[test]
    fn what_is_not_plain_goes_another_way() {
        let with = |line: &str| format!("GET / HTTP/1.1\r\nHost: model\r\n{line}\r\n\r\n");
        let fields = [
            "Content-Length: 0",
            "Transfer-Encoding: chunked",
            "Transfer-Encoding : chunked",
            "Content_Length: 5",
            "Host: other",
            "Connection: close",
            "Connection: x-secret",
            "Connection: keep-alive, upgrade",
            "Keep-Alive: timeout=5",
            "Upgrade: websocket",
            "Expect: 100-continue",
            "TE: trailers",
            "Via: 1.1 us-west.strait",
            "Priority: u=1",
            "Content-Type: application/grpc+proto",
            "X-Strait-Service: ml/model",
            " folded",
            "no colon",
            "Nul: a\0b",
        ];
        let heads = [
            "HEAD / HTTP/1.1\r\nHost: model\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: model\r\n\r\n",
            "DELETE / HTTP/1.1\r\nHost: model\r\nContent-Length: 0\r\n\r\n",
            "QUERY / HTTP/1.1\r\nHost: model\r\nContent-Length: 0\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: model\r\n\r\n",
            "GET http://model/ HTTP/1.1\r\nHost: model\r\n\r\n",
            "GET * HTTP/1.1\r\nHost: model\r\n\r\n",
            "GET /{id} HTTP/1.1\r\nHost: model\r\n\r\n",
            "GET /a#b HTTP/1.1\r\nHost: model\r\n\r\n",
            "GET /\u{e9} HTTP/1.1\r\nHost: model\r\n\r\n",
            "GET /longer-than-the-limit-of-forty-characters HTTP/1.1\r\nHost: model\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost:\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: model\r\n\r\nG",
            "GET / HTTP/1.1\r\nHost: model\r\n\r\nGET / HTTP/1.1\r\nHost: model\r\n\r\n",
        ];
        for head in fields.iter().map(|f| with(f)).chain(heads.map(str::to_owned)) {
            assert_eq!(read(&head).0, Reading::Other, "{head:?}");
        }
        let many: String = (0..MOST_LINES).map(|n| format!("a{n}: b\r\n")).collect();
        assert_eq!(read(&with(many.trim_end())).0, Reading::Other);
    }
}
