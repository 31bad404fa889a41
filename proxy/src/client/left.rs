//! What a client has once it has left HTTP: its whole connection, or one stream of it.

use std::fmt;

use tokio::sync::oneshot;

use super::Busy;
use super::io::ClientIo;
use crate::http2::{Carried, Given};
use crate::retry::Counted;
use crate::tunnel::Side;

/// Waits for it.
#[derive(Debug)]
pub(crate) enum LeftHttp {
    /// A connection of HTTP/1.1, given by its visit.
    Whole(oneshot::Receiver<ClientIo>),
    /// A stream of HTTP/2, given once its client was told.
    Stream(Given, OneOfMany),
}

/// What a stream holds that has left HTTP: a place among the tunnels, for there may be many on one connection, which is
/// not idle while they last.
pub(crate) struct OneOfMany {
    pub(crate) _counted: Counted,
    pub(crate) _busy: Busy,
}

impl fmt::Debug for OneOfMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneOfMany").finish_non_exhaustive()
    }
}

/// It is there.
pub(crate) enum Left {
    /// The whole connection.
    Whole(ClientIo),
    /// One stream.
    Stream(Carried, OneOfMany),
}

impl LeftHttp {
    /// `None` when the client has gone meanwhile.
    pub(crate) async fn left(self) -> Option<Left> {
        match self {
            Self::Whole(given) => given.await.ok().map(Left::Whole),
            Self::Stream(given, held) => given.await.ok().map(|stream| Left::Stream(stream, held)),
        }
    }
}

impl Left {
    /// The end of a tunnel, and what is held until that ends.
    pub(crate) fn into_side(self) -> (Side, Option<OneOfMany>) {
        match self {
            Self::Whole(io) => (io.into_side(), None),
            Self::Stream(stream, held) => (Side::Stream(stream), Some(held)),
        }
    }
}
