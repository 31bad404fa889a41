//! Spreading connections over workers.
//!
//! The kernel deals new connections out to the workers' sockets by a hash of their addresses. Thousands come out even; the
//! few long-lived ones of a gRPC client or of another cluster's links do not, and one worker would do the work of all. So
//! the worker that accepts a connection gives it to the one with the fewest, when that has clearly fewer. A connection
//! that is passed on costs one wake-up of another thread, once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::net::TcpStream;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::board::Use;
use crate::listen::OnAccept;

/// Connections on their way to one worker. When it takes none, those who accept keep theirs.
const ON_THE_WAY: usize = 64;
/// So many more than the fewest are not worth passing one on, and one more for each `PER` of the fewest.
const SLACK: u32 = 2;
const PER: u32 = 16;

/// A connection that another worker accepted.
pub(crate) struct Given {
    tcp: std::net::TcpStream,
    peer: SocketAddr,
    /// Where it was accepted, and what for.
    listener: SocketAddr,
    usage: Use,
}

/// The workers as they see each other.
pub(crate) struct Handoff {
    open: Box<[AtomicU32]>,
    queues: Box<[Sender<Given>]>,
}

/// What becomes of connections, by the listener.
pub(crate) type Doors = Rc<RefCell<HashMap<SocketAddr, (Use, OnAccept)>>>;

impl Handoff {
    /// For that many workers, and what each of them is given.
    pub(crate) fn new(workers: usize) -> (Self, Vec<Receiver<Given>>) {
        let (queues, given): (Vec<_>, Vec<_>) = (0..workers).map(|_| channel(ON_THE_WAY)).unzip();
        (Self { open: (0..workers).map(|_| AtomicU32::new(0)).collect(), queues: queues.into() }, given)
    }

    /// Counts a connection of that worker in.
    pub(crate) fn enter(&self, worker: usize) {
        self.open[worker].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one out.
    pub(crate) fn leave(&self, worker: usize) {
        self.open[worker].fetch_sub(1, Ordering::Relaxed);
    }

    /// Open connections of each worker.
    pub(crate) fn open(&self) -> Vec<u32> {
        self.open.iter().map(|open| open.load(Ordering::Relaxed)).collect()
    }

    /// Gives a connection that `own` accepted to another worker. Returned when it stays.
    pub(crate) fn give(
        &self,
        own: usize,
        tcp: TcpStream,
        peer: SocketAddr,
        (listener, usage): (SocketAddr, &Use),
    ) -> Option<TcpStream> {
        let Some(to) = lighter(own, self.open.iter().map(|open| open.load(Ordering::Relaxed))) else {
            return Some(tcp);
        };
        let Ok(room) = self.queues[to].try_reserve() else { return Some(tcp) };
        match tcp.into_std() {
            Ok(tcp) => room.send(Given { tcp, peer, listener, usage: usage.clone() }),
            // The runtime does not let it go; it is closed, which its client sees at once.
            Err(error) => tracing::warn!(%peer, %error, "an accepted connection could not be passed on"),
        }
        None
    }
}

/// The worker with the fewest connections, when `own` has clearly more.
fn lighter(own: usize, open: impl Iterator<Item = u32> + Clone) -> Option<usize> {
    let mine = open.clone().nth(own)?;
    let (at, fewest) = open.enumerate().min_by_key(|(_, open)| *open)?;
    (mine >= fewest + SLACK + fewest / PER).then_some(at)
}

/// Takes what other workers give, until the runtime ends. `door` makes what is not there yet.
pub(crate) async fn take(mut given: Receiver<Given>, doors: Doors, door: impl Fn(&Use) -> OnAccept) {
    while let Some(Given { tcp, peer, listener, usage }) = given.recv().await {
        let known = doors.borrow().get(&listener).filter(|(of, _)| *of == usage).map(|(_, on)| on.clone());
        let on = known.unwrap_or_else(|| door(&usage));
        if let Ok(tcp) = TcpStream::from_std(tcp) {
            on(tcp, peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_clearly_more_passes_on() {
        for (own, open, expected) in [
            (0, &[0][..], None),
            (0, &[5], None),
            (0, &[0, 0], None),
            (0, &[1, 0], None),
            (0, &[2, 0], Some(1)),
            (1, &[2, 0], None),
            (1, &[0, 3, 1], Some(0)),
            (0, &[101, 100], None),
            (0, &[108, 100], Some(1)),
        ] {
            assert_eq!(lighter(own, open.iter().copied()), expected, "{own} of {open:?}");
        }
    }
}
