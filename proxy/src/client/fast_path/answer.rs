//! Which answers are plain, and how a client gets them: a final answer of HTTP/1.1 with a short body of known length or none,
//! over a connection that stays open.
//!
//! Any other, with a long body or chunks, without an end of its own, before the final one, or wrong, is read by hyper.

use std::mem::MaybeUninit;

use http::StatusCode;
use httparse::Status;

use super::fields::{Field, MOST_LINES, field, put, read_length, stays_open};
use crate::hygiene::SERVED_BY;

/// Bytes of a body. hyper carries long ones at less than half the cost: its buffers grow with them, and are not copied.
const MOST_BYTES: u64 = 64 << 10;

/// Never have a body (RFC 9112 §6.3).
const NO_CONTENT: u16 = 204;
const NOT_MODIFIED: u16 = 304;

/// What is added to an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Added<'a> {
    /// The cluster of the pod.
    pub(super) served_by: &'a [u8],
    /// This proxy's element of `Via`.
    pub(super) via: &'a [u8],
    /// The time, for an answer that does not say it.
    pub(super) date: &'a [u8],
}

/// The head of a plain answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer<'a> {
    /// 200 to 599.
    pub(super) status: StatusCode,
    /// Bytes of its head, as they came.
    pub(super) head: usize,
    /// Bytes of its body.
    pub(super) length: u64,
    /// What the pod reports of its load.
    pub(super) load: Option<&'a [u8]>,
}

/// Reads a head and writes into `out` what the client gets of it; `None` if it is not plain, or not all there. `raw` may go
/// on with the body, and not beyond it.
pub(super) fn translate<'a>(raw: &'a [u8], added: Added<'_>, out: &mut Vec<u8>) -> Option<Answer<'a>> {
    let mut lines = [const { MaybeUninit::uninit() }; MOST_LINES];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, raw, &mut lines);
    let Ok(Status::Complete(head)) = parsed else { return None };
    let (Some(1), Some(code)) = (response.version, response.code) else { return None };
    let status = plain_status(code)?;
    begin(status, response.reason.unwrap_or_default(), out);
    let (mut length, mut dated, mut load) = (None, false, None);
    for line in &*response.headers {
        match field(line.name) {
            Field::Passes | Field::Host | Field::Type | Field::Via => {}
            Field::Length if length.is_none() && code != NO_CONTENT => length = Some(read_length(line.value)?),
            Field::Date => dated = true,
            Field::Load => load = Some(line.value),
            Field::Connection if stays_open(line.value) => continue,
            Field::KeepAlive => continue,
            _ => return None,
        }
        put(line.name.as_bytes(), line.value, out);
    }
    // What has no body may say how long it would be (RFC 9110 §8.6).
    let length = if matches!(code, NO_CONTENT | NOT_MODIFIED) { 0 } else { length.filter(|l| *l <= MOST_BYTES)? };
    if (raw.len() - head) as u64 > length {
        return None;
    }
    put(SERVED_BY.as_str().as_bytes(), added.served_by, out);
    put(b"via", added.via, out);
    if !dated {
        put(b"date", added.date, out);
    }
    out.extend_from_slice(b"\r\n");
    Some(Answer { status, head, length, load })
}

/// Those that say nothing beyond themselves: not 1xx and 205, nor what asks for less (429, 503).
fn plain_status(code: u16) -> Option<StatusCode> {
    let plain = matches!(code, 200..=599) && !matches!(code, 205 | 429 | 503);
    StatusCode::from_u16(code).ok().filter(|_| plain)
}

fn begin(status: StatusCode, reason: &str, out: &mut Vec<u8>) {
    let reason = if reason.is_empty() { status.canonical_reason().unwrap_or_default() } else { reason };
    out.clear();
    for part in ["HTTP/1.1 ", status.as_str(), " ", reason, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ADDED: Added<'_> = Added { served_by: b"us-west", via: b"1.1 us-west.strait", date: b"now" };

    fn read(raw: &str) -> Option<(Answer<'_>, String)> {
        let mut out = b"of the answer before".to_vec();
        translate(raw.as_bytes(), ADDED, &mut out).map(|answer| (answer, String::from_utf8(out).unwrap()))
    }

    #[test]
    fn a_plain_answer_passes_with_where_it_comes_from() {
        let head = "HTTP/1.1 200 Fine\r\nContent-Length: 5\r\nSet-Cookie: a\r\nset-cookie: b\r\nConnection: keep-alive\r\n\
                    Keep-Alive: timeout=5\r\nDate: then\r\n\r\n";
        let raw = format!("{head}hell");
        let (answer, out) = read(&raw).unwrap();
        assert_eq!(answer, Answer { status: StatusCode::OK, head: head.len(), length: 5, load: None });
        let expected = "HTTP/1.1 200 Fine\r\nContent-Length: 5\r\nSet-Cookie: a\r\nset-cookie: b\r\nDate: then\r\n\
                        x-strait-served-by: us-west\r\nvia: 1.1 us-west.strait\r\n\r\n";
        assert_eq!(out, expected);
    }

    #[test]
    fn what_a_pod_leaves_out_is_added() {
        let raw = "HTTP/1.1 404 \r\ncontent-length: 0\r\nendpoint-load-metrics: TEXT cpu_utilization=0.3\r\n\r\n";
        let (answer, out) = read(raw).unwrap();
        assert_eq!(answer.load, Some(&b"TEXT cpu_utilization=0.3"[..]));
        assert!(out.starts_with("HTTP/1.1 404 Not Found\r\n") && out.ends_with("\r\ndate: now\r\n\r\n"), "{out}");
    }

    #[test]
    fn what_never_has_a_body_ends_with_its_head() {
        for (head, status) in [
            ("HTTP/1.1 204 No Content\r\nDate: then\r\n\r\n", StatusCode::NO_CONTENT),
            ("HTTP/1.1 304 Not Modified\r\nETag: a\r\nContent-Length: 2\r\n\r\n", StatusCode::NOT_MODIFIED),
        ] {
            let (answer, out) = read(head).unwrap();
            assert_eq!(answer, Answer { status, head: head.len(), length: 0, load: None });
            assert!(out.starts_with(&head[..head.len() - 2]), "{out}");
        }
    }

    #[test]
    fn what_is_not_plain_is_not_passed() {
        let with = |line: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{line}\r\n\r\n");
        let fields = [
            "Content-Length: 2",
            "Transfer-Encoding: chunked",
            "Connection: close",
            "Connection: x-secret",
            "Upgrade: h2c",
            "Trailer: x",
            "X-Strait-Error: overloaded",
            " folded",
        ];
        let heads = [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1234567890123456\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 103 Early Hints\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n\r\nab",
            "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nab",
            "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 600 What\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 999 What\r\nContent-Length: 2\r\n\r\n",
            "HTTP/2 200\r\ncontent-length: 2\r\n\r\n",
            "220 mail.example ESMTP\r\n",
        ];
        for head in fields.iter().map(|f| with(f)).chain(heads.map(str::to_owned)) {
            assert_eq!(read(&head), None, "{head:?}");
        }
    }
}
