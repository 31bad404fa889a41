//! What a client has once it has left HTTP: its whole connection, or one stream of it.

use std::fmt;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::Busy;
use super::entered::Entered;
use super::io::ClientIo;
use crate::http2::{Carried, Given};
use crate::retry::Counted;
use crate::tunnel::Side;

/// Waits for it.
#[derive(Debug)]
pub(crate) enum LeftHttp {
    /// A connection of HTTP/1.1, given by its visit.
    Whole(oneshot::Receiver<(ClientIo, Entered)>),
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

/// It is there, with what counts it for as long as it lasts.
pub(crate) enum Left {
    /// The whole connection and what was read of it already. It counts as before, like any other.
    Whole(TcpStream, Bytes, Entered),
    /// One stream.
    Stream(Carried, OneOfMany),
}

/// What counts it.
pub(crate) enum Counts {
    /// A connection.
    Whole { _entered: Entered },
    /// One stream.
    Stream { _held: OneOfMany },
}

impl LeftHttp {
    /// `None` when the client has gone meanwhile.
    pub(crate) async fn left(self) -> Option<Left> {
        match self {
            Self::Whole(given) => {
                let (io, entered) = given.await.ok()?;
                let (tcp, ahead) = io.leave_http();
                Some(Left::Whole(tcp, ahead, entered))
            }
            Self::Stream(given, held) => Some(Left::Stream(given.await.ok()?, held)),
        }
    }
}

impl Left {
    /// The end of a tunnel, and what is held until that ends.
    pub(crate) fn into_side(self) -> (Side, Counts) {
        match self {
            Self::Whole(tcp, ahead, entered) => (Side::Tcp(tcp, ahead), Counts::Whole { _entered: entered }),
            Self::Stream(stream, held) => (Side::Stream(stream), Counts::Stream { _held: held }),
        }
    }
}
