//! A request that was begun on the fast path and goes on the long way: what was chosen for it, and the connection that it
//! was perhaps sent over already. Nothing of it is done twice.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Instant;

use bytes::Bytes;
use tokio::net::TcpStream;

use crate::balance::Chosen;

/// A connection attempt to a pod under way.
pub(crate) type Dialing = Pin<Box<dyn Future<Output = io::Result<TcpStream>>>>;

/// How far a request to a pod has come.
pub(crate) enum Begun {
    /// Its pod is being connected.
    Dialing(Dialing),
    /// Its pod could not be connected.
    Failed(io::Error),
    /// Its pod was sent the request, or a part of it, and nothing else since.
    Sent {
        /// The pod's connection.
        tcp: TcpStream,
        /// It has carried a request before.
        reused: bool,
        /// What of the request its socket did not take yet.
        unsent: Bytes,
        /// Bytes of the request's body, which is a part of what is sent.
        body: usize,
        /// What the pod has said since.
        heard: Bytes,
    },
}

/// What is handed over with a request.
#[derive(Debug)]
pub(crate) struct Takeover {
    /// When its head came.
    pub(crate) began: Instant,
    /// Where its first attempt goes.
    pub(crate) chosen: Chosen,
    /// The attempt itself, if it was begun.
    pub(crate) begun: Hand<Begun>,
}

impl Takeover {
    /// True when the first words of the pod are early hints, as far as they have come.
    pub(crate) fn has_hints(&self) -> bool {
        let hints = |begun: &Begun| matches!(begun, Begun::Sent { heard, .. } if heard.starts_with(b"HTTP/1.1 103"));
        self.begun.0.borrow().as_ref().is_some_and(hints)
    }
}

/// Holds something for whoever asks first.
pub(crate) struct Hand<T>(RefCell<Option<T>>);

impl<T> Hand<T> {
    /// Puts it there, in place of what nobody took.
    pub(crate) fn put(&self, held: T) {
        *self.0.borrow_mut() = Some(held);
    }

    /// Takes it.
    pub(crate) fn take(&self) -> Option<T> {
        self.0.take()
    }
}

impl<T> From<Option<T>> for Hand<T> {
    fn from(held: Option<T>) -> Self {
        Self(RefCell::new(held))
    }
}

impl<T> fmt::Debug for Hand<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hand").finish_non_exhaustive()
    }
}
