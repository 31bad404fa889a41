//! Extended CONNECT (RFC 8441): a client of HTTP/2 asks to leave HTTP on one of its streams, mostly for WebSocket.
//!
//! From here on it is the upgrade that HTTP/1.1 has, for pods and other clusters alike, and what they say to it is told the
//! client in its own terms.

use h2::ext::Protocol;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};

use crate::body::Incoming;
use crate::http2::Given;

const WEBSOCKET: &str = "websocket";
const KEY: HeaderName = header::SEC_WEBSOCKET_KEY;
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What a client wants to speak on its stream, and what gives the stream once that is granted.
pub(crate) struct Asked {
    pub(crate) protocol: HeaderValue,
    pub(crate) given: Given,
}

/// Makes the request one for an upgrade, if it is an extended CONNECT. One for what cannot be asked for stays a CONNECT,
/// which is refused.
pub(crate) fn asked(request: &mut Request<Incoming>, given: Option<Given>) -> Option<Asked> {
    let given = given?;
    let protocol = wish(request.extensions_mut().remove::<Protocol>()?.as_str())?;
    *request.method_mut() = Method::GET;
    Some(Asked { protocol, given })
}

/// One protocol by its name, and not `h2c`: see [`hygiene::upgrade`](crate::hygiene::upgrade).
fn wish(protocol: &str) -> Option<HeaderValue> {
    let token =
        !protocol.is_empty() && protocol.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~/".contains(&b));
    HeaderValue::from_str(protocol).ok().filter(|_| token && !protocol.eq_ignore_ascii_case("h2c"))
}

/// Adds what a WebSocket's pod asks for beside the wish: clients of HTTP/2 send no key (RFC 8441 §5).
pub(crate) fn complete(headers: &mut HeaderMap, protocol: &HeaderValue, rng: &mut fastrand::Rng) {
    if protocol.as_bytes().eq_ignore_ascii_case(WEBSOCKET.as_bytes()) {
        headers.insert(KEY, key(rng));
    }
}

/// 16 random bytes in base64 (RFC 6455 §4.1): 22 digits, of which the last stands for two bits, and padding.
fn key(rng: &mut fastrand::Rng) -> HeaderValue {
    let mut key: Vec<u8> = (0..21).map(|_| BASE64[rng.usize(..64)]).collect();
    key.push(BASE64[16 * rng.usize(..4)]);
    key.extend(b"==");
    HeaderValue::try_from(key).expect("digits of base64 are visible ASCII")
}

/// True for an answer by which the client would think that it was granted what it was not: by a server that does not
/// know the wish and answers the request.
pub(crate) fn misleads(status: StatusCode) -> bool {
    status.is_success()
}

/// Tells the client in HTTP/2's terms that it was granted.
pub(crate) fn translate<B>(response: &mut Response<B>) {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        *response.status_mut() = StatusCode::OK;
        for name in [header::CONNECTION, header::UPGRADE, header::SEC_WEBSOCKET_ACCEPT, header::CONTENT_LENGTH] {
            response.headers_mut().remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_asked_for() {
        for protocol in ["websocket", "connect-udp", "IRC/6.9"] {
            assert_eq!(wish(protocol).expect("a wish"), protocol);
        }
        for protocol in ["h2c", "H2C", "", "websocket, h2c", "a b", "a\r\nb"] {
            assert_eq!(wish(protocol), None, "{protocol:?}");
        }
    }

    #[test]
    fn a_key_is_sixteen_bytes_in_base64_and_another_each_time() {
        let mut rng = fastrand::Rng::with_seed(8_441);
        let keys: Vec<_> = (0..100).map(|_| key(&mut rng)).collect();
        for key in &keys {
            let (digits, padding) = key.as_bytes().split_at(22);
            assert_eq!(padding, b"==");
            assert!(digits.iter().all(|d| BASE64.contains(d)) && b"AQgw".contains(&digits[21]), "{key:?}");
        }
        assert!(keys.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn only_a_websocket_gets_a_key() {
        let mut rng = fastrand::Rng::with_seed(1);
        for (protocol, expected) in [("websocket", true), ("WebSocket", true), ("connect-udp", false)] {
            let mut headers = HeaderMap::new();
            complete(&mut headers, &HeaderValue::from_static(protocol), &mut rng);
            assert_eq!(headers.contains_key(KEY), expected, "{protocol}");
        }
    }

    #[test]
    fn a_grant_is_200_and_anything_else_stays() {
        let grant = Response::builder()
            .status(101)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-accept", "x")
            .header("sec-websocket-protocol", "chat");
        let mut grant = grant.body(()).expect("a response");
        translate(&mut grant);
        assert_eq!((grant.status(), grant.headers().len()), (StatusCode::OK, 1));
        let mut refusal = Response::builder().status(403).header("content-length", "2").body(()).expect("a response");
        translate(&mut refusal);
        assert_eq!((refusal.status(), refusal.headers().len()), (StatusCode::FORBIDDEN, 1));
    }
}
