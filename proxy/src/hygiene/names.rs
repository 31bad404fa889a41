//! Header names that are ours or that the `http` crate has no constant for.

use http::header::{HeaderMap, HeaderName};

/// What all private names start with.
pub(crate) const PRIVATE: &str = "x-strait-";
/// What all names of the X-Forwarded family start with.
pub(super) const FORWARDED_PREFIX: &str = "x-forwarded-";

/// `Keep-Alive`.
pub(super) const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
/// `Proxy-Connection`, never standardised and still sent.
pub(super) const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
/// `HTTP2-Settings`, of the obsolete h2c upgrade.
pub(super) const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
/// Servers behind CGI and its heirs read `_` as `-`: to them these say where a body ends.
pub(crate) const FRAMING_TWINS: [HeaderName; 2] =
    [HeaderName::from_static("content_length"), HeaderName::from_static("transfer_encoding")];
/// `X-Forwarded-For`.
pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// To a gateway: `namespace/name` of the service.
pub(crate) const SERVICE: HeaderName = HeaderName::from_static("x-strait-service");
/// To a gateway: the service's port number.
pub(crate) const PORT: HeaderName = HeaderName::from_static("x-strait-port");
/// To a gateway: how many clusters the request has been sent to, 1.
pub(crate) const HOP: HeaderName = HeaderName::from_static("x-strait-hop");
/// To a gateway: the version the client spoke, `1.0`, `1.1` or `2`.
pub(crate) const VERSION: HeaderName = HeaderName::from_static("x-strait-version");
/// To a gateway: for how many milliseconds an answer is still waited for.
pub(crate) const DEADLINE: HeaderName = HeaderName::from_static("x-strait-deadline-ms");
/// To a gateway, which then lets no more than one pod see the request. `1`: another attempt of it may have reached a pod. `0`:
/// none has, and its cluster's policy wants none to follow.
pub(crate) const REPEATED: HeaderName = HeaderName::from_static("x-strait-repeated");
/// To a gateway: a raw connection is asked for, [`TUNNEL_TCP`]. From it: the connection stands.
pub(crate) const TUNNEL: HeaderName = HeaderName::from_static("x-strait-tunnel");
/// The one kind of raw connection there is.
pub(crate) const TUNNEL_TCP: &str = "tcp";
/// To a gateway: what the client would rather speak, as its `Upgrade` said. From it: what the pod has switched to.
pub(crate) const UPGRADE: HeaderName = HeaderName::from_static("x-strait-upgrade");
/// From a gateway: the load of the service in its cluster.
pub(crate) const LOAD: HeaderName = HeaderName::from_static("x-strait-load");
/// From a gateway, and to clients: the kind of an error that is the proxy's, not a pod's.
pub(crate) const ERROR: HeaderName = HeaderName::from_static("x-strait-error");
/// From a gateway, beside an error: `1` when a pod may have received the request, else `0`.
pub(crate) const REACHED: HeaderName = HeaderName::from_static("x-strait-reached");
/// To clients: the cluster whose pod answered.
pub(crate) const SERVED_BY: HeaderName = HeaderName::from_static("x-strait-served-by");

/// True for names that only daemons may use between themselves.
pub(crate) fn is_private(name: &HeaderName) -> bool {
    name.as_str().starts_with(PRIVATE)
}

/// Removes every private field.
pub(crate) fn strip_private(headers: &mut HeaderMap) {
    if headers.keys().any(is_private) {
        let found: Vec<HeaderName> = headers.keys().filter(|n| is_private(n)).cloned().collect();
        for name in found {
            headers.remove(name);
        }
    }
}
