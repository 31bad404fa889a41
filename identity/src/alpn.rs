//! What is spoken inside a connection between clusters.

use rustls::CommonState;

/// The protocols of the gateway port, told apart by ALPN (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Alpn {
    /// Requests: HTTP/2.
    Http2,
    /// Records: the sync session.
    Sync,
}

impl Alpn {
    /// Both, in the gateway's order of preference.
    pub const ALL: [Self; 2] = [Self::Http2, Self::Sync];

    /// The protocol id as it stands in the handshake.
    #[must_use]
    pub fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Http2 => b"h2",
            Self::Sync => b"strait-sync/1",
        }
    }

    /// What a finished handshake agreed on. `None` means the peer named no protocol at all: close, do not guess.
    #[must_use]
    pub fn negotiated(connection: &CommonState) -> Option<Self> {
        let agreed = connection.alpn_protocol()?;
        Self::ALL.into_iter().find(|alpn| alpn.as_bytes() == agreed)
    }
}

/// The list as rustls wants it.
pub(crate) fn protocol_ids(list: &[Alpn]) -> Vec<Vec<u8>> {
    list.iter().map(|alpn| alpn.as_bytes().to_vec()).collect()
}
