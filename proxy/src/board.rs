//! Which listeners stand, on all workers together: the readiness of a node and the first thing to look at when a
//! service is not reached.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::plan::Purpose;

/// What a listener is for.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(untagged)]
pub enum Use {
    /// One port of an imported service.
    Import(Purpose),
    /// Other clusters' daemons.
    Gateway,
}

impl std::fmt::Display for Use {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Import(purpose) => write!(f, "{}:{}", purpose.service, purpose.port),
            Self::Gateway => f.write_str("gateway"),
        }
    }
}

/// How one worker stands with one listener.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Socket {
    /// Not tried yet.
    Waiting,
    /// Accepting.
    Bound,
    /// The kernel refuses; it is tried again every second.
    Failed(String),
}

/// One listener over all workers, for status.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ListenerView {
    /// Where it listens.
    pub address: SocketAddr,
    /// What for.
    pub usage: Use,
    /// Workers that accept on it.
    pub bound: usize,
    /// Workers there are.
    pub workers: usize,
    /// Why one could not.
    pub error: Option<String>,
}

/// Whether the node can be sent requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Bound {
    /// True when every import's listener of the newest planned snapshot is bound on every worker. The gateway does
    /// not count: without an identity it is closed on purpose.
    pub all: bool,
    /// The number of that snapshot.
    pub snapshot: u64,
    /// Import listeners wanted.
    pub wanted: usize,
    /// Those that cannot be bound yet, with the reason.
    pub missing: Vec<(SocketAddr, String)>,
}

impl Bound {
    /// True when the listeners of that snapshot, or of a later one, all stand. A node is ready when this holds for a
    /// snapshot that is `synced`; [`Bound::all`] alone may still speak of an earlier one.
    #[must_use]
    pub const fn covers(&self, snapshot: u64) -> bool {
        self.all && self.snapshot >= snapshot
    }
}

#[derive(Debug, Default)]
struct Columns {
    /// The snapshot each worker has acted on.
    seen: Vec<u64>,
    /// Each worker's listeners.
    sockets: Vec<BTreeMap<SocketAddr, (Use, Socket)>>,
}

/// Where workers write what they have bound.
#[derive(Debug)]
pub(crate) struct Board {
    columns: Mutex<Columns>,
    bound: watch::Sender<Bound>,
}

impl Board {
    /// For that many workers.
    pub(crate) fn new(workers: usize) -> Self {
        let columns = Columns { seen: vec![0; workers], sockets: vec![BTreeMap::new(); workers] };
        Self { columns: Mutex::new(columns), bound: watch::Sender::new(Bound::default()) }
    }

    /// One worker's whole state after it acted on a snapshot.
    pub(crate) fn write(&self, worker: usize, snapshot: u64, sockets: BTreeMap<SocketAddr, (Use, Socket)>) {
        let mut columns = self.columns.lock().unwrap_or_else(PoisonError::into_inner);
        columns.seen[worker] = snapshot;
        columns.sockets[worker] = sockets;
        let now = bound(&columns);
        drop(columns);
        self.bound.send_if_modified(|old| {
            let changed = *old != now;
            *old = now;
            changed
        });
    }

    /// Follows readiness.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Bound> {
        self.bound.subscribe()
    }

    /// Every listener any worker wants.
    pub(crate) fn listeners(&self) -> Vec<ListenerView> {
        let columns = self.columns.lock().unwrap_or_else(PoisonError::into_inner);
        let mut views: BTreeMap<SocketAddr, ListenerView> = BTreeMap::new();
        for (address, (usage, socket)) in columns.sockets.iter().flatten() {
            let view = views.entry(*address).or_insert_with(|| ListenerView {
                address: *address,
                usage: usage.clone(),
                bound: 0,
                workers: columns.sockets.len(),
                error: None,
            });
            match socket {
                Socket::Bound => view.bound += 1,
                Socket::Failed(error) => view.error = Some(error.clone()),
                Socket::Waiting => {}
            }
        }
        views.into_values().collect()
    }
}

/// Ready when every worker has acted on the same newest snapshot and has all of its listeners.
fn bound(columns: &Columns) -> Bound {
    let snapshot = columns.seen.iter().copied().max().unwrap_or_default();
    let mut missing = BTreeMap::new();
    let mut wanted = BTreeMap::new();
    for (address, (usage, socket)) in columns.sockets.iter().flatten() {
        if matches!(usage, Use::Gateway) {
            continue;
        }
        wanted.insert(*address, ());
        match socket {
            Socket::Bound => {}
            Socket::Waiting => {
                missing.entry(*address).or_insert_with(|| "not bound yet".to_owned());
            }
            Socket::Failed(error) => {
                missing.insert(*address, error.clone());
            }
        }
    }
    let level = columns.seen.iter().all(|seen| *seen == snapshot);
    Bound { all: level && missing.is_empty(), snapshot, wanted: wanted.len(), missing: missing.into_iter().collect() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::plan::Speech;
    use strait_catalog::ServiceKey;

    fn column(socket: Socket) -> BTreeMap<SocketAddr, (Use, Socket)> {
        let purpose = Purpose { service: ServiceKey::parse("a/b").unwrap(), port: 80, speech: Speech::Http };
        BTreeMap::from([("127.0.0.1:20017".parse().unwrap(), (Use::Import(purpose), socket))])
    }

    #[test]
    fn ready_when_all_workers_have_all_listeners_of_one_snapshot() {
        let board = Board::new(2);
        let bound = board.subscribe();
        board.write(0, 7, column(Socket::Bound));
        assert!(!bound.borrow().all, "the second worker has not acted yet");
        board.write(1, 7, column(Socket::Failed("address in use".into())));
        assert!(!bound.borrow().all);
        assert_eq!(bound.borrow().missing[0].1, "address in use");
        assert_eq!(board.listeners()[0].bound, 1);
        board.write(1, 7, column(Socket::Bound));
        assert!(bound.borrow().all);
        assert_eq!((bound.borrow().snapshot, bound.borrow().wanted), (7, 1));
    }

    #[test]
    fn a_closed_gateway_does_not_count() {
        let board = Board::new(1);
        let gateway = BTreeMap::from([("127.0.0.1:15443".parse().unwrap(), (Use::Gateway, Socket::Waiting))]);
        board.write(0, 1, gateway);
        assert!(board.subscribe().borrow().all);
    }
}
