//! Why a body ended before its end.

/// Ends a body that passes through. hyper makes `RST_STREAM` of it, with the reason it finds among the sources.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The other side's body broke off.
    #[error(transparent)]
    Http(#[from] hyper::Error),
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
