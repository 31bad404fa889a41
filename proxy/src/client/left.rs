//! What a client has once it has left HTTP: its whole connection, or one stream of it.

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;

use super::io::ClientIo;
use crate::tunnel::Side;

/// Waits for it.
#[derive(Debug)]
pub(crate) enum LeftHttp {
    /// A connection of HTTP/1.1, given by its visit.
    Whole(oneshot::Receiver<ClientIo>),
    /// A stream of HTTP/2, given by hyper.
    Stream(OnUpgrade),
}

/// It is there.
pub(crate) enum Left {
    /// The whole connection.
    Whole(ClientIo),
    /// One stream.
    Stream(TokioIo<Upgraded>),
}

impl LeftHttp {
    /// `None` when the client has gone meanwhile.
    pub(crate) async fn left(self) -> Option<Left> {
        match self {
            Self::Whole(given) => given.await.ok().map(Left::Whole),
            Self::Stream(given) => given.await.ok().map(|stream| Left::Stream(TokioIo::new(stream))),
        }
    }
}

impl Left {
    /// The end of a tunnel.
    pub(crate) fn into_side(self) -> Side {
        match self {
            Self::Whole(io) => io.into_side(),
            Self::Stream(stream) => Side::Upgraded(stream),
        }
    }
}
