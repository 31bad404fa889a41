//! The way back: a pod's response head made fit for the client.

use http::header::{self, HeaderMap, HeaderName};
use http::response::Parts;
use http::{Method, Response, StatusCode, Version};

use super::{chunks_alone, one_length, remove_hop_by_hop, strip_private, tokens};

/// False for a pod's answer in a transfer coding other than `chunked`. A client would take `gzip, chunked` for the content itself,
/// since the field that says so concerns this connection only.
pub(crate) fn is_readable<B>(asked: &Method, response: &Response<B>) -> bool {
    let bodiless =
        *asked == Method::HEAD || matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    bodiless || chunks_alone(response.headers())
}

/// Removes from a pod's or gateway's response what concerned that connection only, and every private field. A 101
/// keeps `Connection` and `Upgrade`, which are what it says.
pub(crate) fn clean_response(head: &mut Parts) {
    let upgrade =
        (head.status == StatusCode::SWITCHING_PROTOCOLS).then(|| head.headers.get(header::UPGRADE).cloned()).flatten();
    if head.headers.contains_key(header::TRANSFER_ENCODING) {
        // Chunks go before a length (RFC 9112 §6.3), which may be any.
        head.headers.remove(header::CONTENT_LENGTH);
    }
    remove_named(&mut head.headers);
    one_length(&mut head.headers);
    remove_hop_by_hop(&mut head.headers);
    strip_private(&mut head.headers);
    if let Some(protocol) = upgrade {
        head.headers.insert(header::CONNECTION, header::HeaderValue::from_static("upgrade"));
        head.headers.insert(header::UPGRADE, protocol);
    }
    if bodiless(head.status) {
        head.headers.remove(header::CONTENT_LENGTH);
    }
    // The version says what the next connection speaks; hyper sets it by itself.
    head.version = Version::HTTP_11;
}

/// What of a pod's informational head may be passed on.
pub(crate) fn clean_hints(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    remove_named(&mut headers);
    remove_hop_by_hop(&mut headers);
    strip_private(&mut headers);
    for name in [header::CONTENT_LENGTH, header::TRANSFER_ENCODING] {
        headers.remove(name);
    }
    headers
}

/// RFC 9110 §8.6: no Content-Length on 1xx and 204.
fn bodiless(status: StatusCode) -> bool {
    status.is_informational() || status == StatusCode::NO_CONTENT
}

/// A pod that names framing or identity fields in `Connection` is wrong; those stay, the rest goes.
fn remove_named(headers: &mut HeaderMap) {
    if !headers.contains_key(header::CONNECTION) {
        return;
    }
    let named: Vec<HeaderName> =
        tokens(headers, &header::CONNECTION).filter_map(|t| HeaderName::from_bytes(t.as_bytes()).ok()).collect();
    for name in named.iter().filter(|n| **n != header::CONTENT_LENGTH && **n != header::CONTENT_TYPE) {
        headers.remove(name);
    }
}
