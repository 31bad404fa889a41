//! Where the current snapshot stands: one writer, any number of readers, no lock.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::name::ClusterId;
use crate::snapshot::Snapshot;

/// The shared place of the current [`Snapshot`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Published {
    current: Arc<ArcSwap<Snapshot>>,
    changed: watch::Sender<u64>,
}

impl Published {
    /// Starts with an empty snapshot.
    #[must_use]
    pub fn new(local: ClusterId) -> Self {
        Self { current: Arc::new(ArcSwap::from_pointee(Snapshot::empty(local))), changed: watch::Sender::new(0) }
    }

    /// Replaces the snapshot and wakes those who wait. Only the catalog's writer calls it.
    pub fn publish(&self, snapshot: Arc<Snapshot>) {
        let number = snapshot.number;
        self.current.store(snapshot);
        self.changed.send_replace(number);
    }

    /// The current snapshot.
    #[must_use]
    pub fn load(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// A handle for a worker's cached reader (`arc_swap::Cache`).
    #[must_use]
    pub fn shared(&self) -> Arc<ArcSwap<Snapshot>> {
        self.current.clone()
    }

    /// Tells the number of each new snapshot; slow readers see the latest only.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}
