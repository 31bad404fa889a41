//! What a client has once it has left HTTP: its whole connection, or one stream of it.

use std::fmt;

use tokio::sync::oneshot;

use super::Busy;
use super::entered::Entered;
use super::io::ClientIo;
use crate::http2::Given;
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

/// What counts it for as long as it lasts.
pub(crate) enum Counts {
    /// As before: it is a connection like any other.
    Whole { _entered: Entered },
    /// One stream.
    Stream { _held: OneOfMany },
}

impl LeftHttp {
    /// The end of a tunnel, and what is held until that ends. `None` when the client has gone meanwhile.
    pub(crate) async fn left(self) -> Option<(Side, Counts)> {
        match self {
            Self::Whole(given) => {
                let (io, entered) = given.await.ok()?;
                Some((io.leave_http(), Counts::Whole { _entered: entered }))
            }
            Self::Stream(given, held) => Some((Side::Stream(given.await.ok()?), Counts::Stream { _held: held })),
        }
    }
}
