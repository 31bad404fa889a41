//! What the control task is given.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use strait_catalog::{Catalog, Input, Kind, Peer, Published};
use strait_identity::Identity;
use tokio::sync::{mpsc, watch};

/// A daemon within its cluster: the name of its pod or node. Unique among the daemons of one cluster.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DaemonId(Arc<str>);

impl DaemonId {
    /// Any text; it is shortened to 253 characters, the longest name of a Kubernetes object.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.chars().take(253).collect::<String>().into())
    }

    /// The text itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DaemonId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DaemonId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for DaemonId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Another daemon of the own cluster, or this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its id, the same text that it gives as [`SyncConfig::daemon`].
    pub id: DaemonId,
    /// Where its gateway listens: pod address and gateway port.
    pub address: SocketAddr,
    /// Only ready daemons take part in the choice of who dials whom.
    pub ready: bool,
}

/// See [`SyncConfig::on_peers`].
pub type PeersHook = Box<dyn Fn(&[Peer]) + Send>;

/// Settings of the control task.
pub struct SyncConfig {
    /// This daemon's id within its cluster.
    pub daemon: DaemonId,
    /// A leaf (the controller) dials its own cluster's daemons, is never chosen to dial others, and publishes nothing.
    pub leaf: bool,
    /// The kinds of which the source sends a first full list; the catalog is synced when all have come. Empty means
    /// there is no source and the catalog counts as synced from the start.
    pub expected: BTreeSet<Kind>,
    /// The source also sends a first full list of imports, without which a daemon would count as synced before it
    /// knows where to listen.
    pub imports_expected: bool,
    /// Zero of the daemon's monotonic clock in milliseconds, as used with [`strait_catalog::Freshness`]. All parts of
    /// the daemon must use the same instant.
    pub origin: Instant,
    /// How old the own source's knowledge is, in milliseconds; 0 while its watches are alive. It travels with the
    /// own cluster's heads, so that others see an API server that fell silent.
    pub source_age_ms: Box<dyn Fn() -> u64 + Send>,
    /// Called with every new list of peers before sessions to them are dialled: the place to update trusted roots.
    pub on_peers: PeersHook,
    /// Seed of jitter and choices; a random number in production.
    pub seed: u64,
}

impl SyncConfig {
    /// A configuration with defaults: no leaf, no kinds expected, clock zero now, source always fresh, no hook, a
    /// random seed.
    #[must_use]
    pub fn new(daemon: DaemonId) -> Self {
        Self {
            daemon,
            leaf: false,
            expected: BTreeSet::new(),
            imports_expected: false,
            origin: Instant::now(),
            source_age_ms: Box::new(|| 0),
            on_peers: Box::new(|_| ()),
            seed: fastrand::u64(..),
        }
    }
}

impl fmt::Debug for SyncConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncConfig")
            .field("daemon", &self.daemon)
            .field("leaf", &self.leaf)
            .field("expected", &self.expected)
            .finish_non_exhaustive()
    }
}

/// What the control task works with.
#[derive(Debug)]
pub struct SyncParts {
    /// The catalog, owned by the control task from now on.
    pub catalog: Catalog,
    /// Where snapshots go.
    pub published: Published,
    /// The own certificate and the trusted roots.
    pub identity: Identity,
    /// What the source tells.
    pub inputs: mpsc::Receiver<Input>,
    /// The daemons of the own cluster, this one included or not; an empty list means this daemon is alone.
    pub members: watch::Receiver<Vec<Member>>,
}
