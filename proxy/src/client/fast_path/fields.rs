//! Header fields of a plain message by what has to be done with them: a look at the name, no map.

use crate::health::ENDPOINT_LOAD_METRICS;
use crate::hygiene;

/// What a field of a message is to the fast path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// It passes as it came.
    Passes,
    /// `Host`.
    Host,
    /// `Connection`.
    Connection,
    /// `Keep-Alive`, which says nothing beyond `Connection`.
    KeepAlive,
    /// `Content-Length`.
    Length,
    /// `Content-Type`.
    Type,
    /// `Date`.
    Date,
    /// `endpoint-load-metrics` (ORCA).
    Load,
    /// `Via`.
    Via,
    /// It frames a body, asks for something, concerns one connection or is private: not for this path.
    Special,
}

/// Lines of a head; hyper takes no more.
pub(super) const MOST_LINES: usize = 100;

/// What concerns one connection, frames a body, or asks for something that this path does not do.
const SPECIAL: [&str; 11] = [
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "priority",
    "grpc-timeout",
    "http2-settings",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
];

const PRIVATE: &[u8] = hygiene::PRIVATE.as_bytes();

/// What a field of that name is.
pub(super) fn field(name: &str) -> Field {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    match name.len() {
        3 if is("via") => Field::Via,
        4 if is("host") => Field::Host,
        4 if is("date") => Field::Date,
        10 if is("connection") => Field::Connection,
        10 if is("keep-alive") => Field::KeepAlive,
        12 if is("content-type") => Field::Type,
        14 if is("content-length") => Field::Length,
        21 if is(ENDPOINT_LOAD_METRICS.as_str()) => Field::Load,
        _ if SPECIAL.iter().any(|special| is(special)) => Field::Special,
        _ if hygiene::FRAMING_TWINS.iter().any(|twin| is(twin.as_str())) => Field::Special,
        _ if name.as_bytes().get(..PRIVATE.len()).is_some_and(|start| start.eq_ignore_ascii_case(PRIVATE)) => {
            Field::Special
        }
        _ => Field::Passes,
    }
}

/// True for a `Connection` that only says what is so anyway.
pub(super) fn stays_open(value: &[u8]) -> bool {
    value.eq_ignore_ascii_case(b"keep-alive")
}

/// Digits of a length.
const MOST_DIGITS: usize = 15;

/// A `Content-Length`, if it is one and no list.
pub(super) fn read_length(value: &[u8]) -> Option<u64> {
    let digits = (1..=MOST_DIGITS).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    digits.then(|| value.iter().fold(0, |all, digit| all * 10 + u64::from(digit - b'0')))
}

/// One line of a head.
pub(super) fn put(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_in_any_case() {
        for (name, expected) in [
            ("Host", Field::Host),
            ("HOST", Field::Host),
            ("Date", Field::Date),
            ("Connection", Field::Connection),
            ("Keep-Alive", Field::KeepAlive),
            ("Content-Length", Field::Length),
            ("Transfer-Encoding", Field::Special),
            ("transfer_encoding", Field::Special),
            ("Content_Length", Field::Special),
            ("X-Strait-Hop", Field::Special),
            ("x-strait-", Field::Special),
            ("x-strait", Field::Passes),
            ("X-Forwarded-For", Field::Passes),
            ("Forwarded", Field::Passes),
            ("Via", Field::Via),
            ("Cookie", Field::Passes),
            ("traceparent", Field::Passes),
        ] {
            assert_eq!(field(name), expected, "{name}");
        }
    }

    #[test]
    fn all_that_never_crosses_is_special() {
        let hop_by_hop = hygiene::HOP_BY_HOP.iter().filter(|n| *n != "connection" && *n != "keep-alive");
        for name in hop_by_hop.chain(&hygiene::FRAMING_TWINS) {
            assert_eq!(field(name.as_str()), Field::Special, "{name}");
        }
    }
}
