//! What may follow a body.

use http::header::{self, HeaderMap, HeaderName};

use super::names::{FORWARDED_PREFIX, FRAMING_TWINS};
use super::{is_private, remove_hop_by_hop};

/// Fields that only a head may have: framing, routing and what a body is (RFC 9110 §6.5.1).
const OF_HEADS: [HeaderName; 8] = [
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::HOST,
    header::TRAILER,
    header::FORWARDED,
    header::VIA,
];

/// Removes from trailers what a receiver might merge into the head and then read otherwise, and what HTTP/2 does not allow in any
/// field section: with one such field the next hop would take the whole message for malformed.
pub(crate) fn clean_trailers(trailers: &mut HeaderMap) {
    remove_hop_by_hop(trailers);
    let barred = |name: &HeaderName| {
        OF_HEADS.contains(name)
            || FRAMING_TWINS.contains(name)
            || is_private(name)
            || name.as_str().starts_with(FORWARDED_PREFIX)
    };
    if trailers.keys().any(barred) {
        let found: Vec<HeaderName> = trailers.keys().filter(|name| barred(name)).cloned().collect();
        for name in found {
            trailers.remove(name);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_a_head_or_a_connection_does_not_follow_a_body() {
        let fields = [
            ("grpc-status", "0"),
            ("x-checksum", "1"),
            ("x-checksum", "2"),
            ("transfer-encoding", "chunked"),
            ("connection", "x-checksum"),
            ("te", "trailers"),
            ("content-length", "5"),
            ("content_length", "5"),
            ("host", "b"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-strait-load", "ready=9"),
        ];
        let mut trailers: HeaderMap =
            fields.iter().map(|(n, v)| (HeaderName::from_static(n), v.parse().unwrap())).collect();
        clean_trailers(&mut trailers);
        let kept: Vec<_> = trailers.iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
        assert_eq!(kept, [("grpc-status", "0"), ("x-checksum", "1"), ("x-checksum", "2")]);
    }
}
