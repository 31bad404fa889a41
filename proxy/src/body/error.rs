//! Why a body ended before its end.

/// Ends a body that passes through. On HTTP/2 `RST_STREAM` tells of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The other side's body broke off, over HTTP/1.1.
    #[error(transparent)]
    Http1(hyper::Error),
    /// The same over HTTP/2.
    #[error(transparent)]
    Http2(h2::Error),
    /// There was room for more of a client's body, and nothing came.
    #[error("the client's body stopped coming")]
    Stalled,
    /// It came for as long as a body may.
    #[error("the client's body did not end in time")]
    Endless,
    /// The connection that a tunnel carries broke (RFC 9113 §8.5: `CONNECT_ERROR`).
    #[error("the connection that the tunnel carries broke")]
    Tunnel(#[source] h2::Error),
}
