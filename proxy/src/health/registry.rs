//! The slots of all targets, shared by the workers, longer lived than any snapshot.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use dashmap::DashMap;
use metrics::Counter;
use strait_catalog::{ClusterId, ServiceKey};
use tokio::sync::Notify;

use super::link::Link;
use super::slot::Slot;
use crate::metrics::ejections;

/// A slot that no route holds is kept this long, in milliseconds: a pod or gateway that comes back is remembered.
const KEEP_MS: u64 = 300_000;

/// A cluster as a small number, the same for the life of the process; what a request has tried is told by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterNumber(pub(crate) u32);

/// Where a request can be sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// A pod of this cluster behind one service; the same pod behind another service is another target.
    Pod {
        /// The service.
        service: ServiceKey,
        /// The pod's address and the port it listens on.
        address: SocketAddr,
    },
    /// One address of another cluster's gateway, the same for every service.
    Gateway {
        /// The cluster.
        cluster: ClusterId,
        /// `host:port`.
        address: Arc<str>,
    },
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod { service, address } => write!(f, "pod {address} of {service}"),
            Self::Gateway { cluster, address } => write!(f, "gateway {address} of {cluster}"),
        }
    }
}

/// All slots and links of this process.
#[derive(Debug)]
pub struct Registry {
    slots: DashMap<Target, Arc<Slot>>,
    links: DashMap<ClusterId, Arc<Link>>,
    /// Position is the number. Grows by the clusters ever seen, which are few.
    numbers: Mutex<Vec<ClusterId>>,
    next_id: AtomicU64,
    wake: Arc<Notify>,
    ejections: [Counter; 2],
}

impl Registry {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            slots: DashMap::new(),
            links: DashMap::new(),
            numbers: Mutex::new(Vec::new()),
            next_id: AtomicU64::new(1),
            wake: Arc::new(Notify::new()),
            ejections: ejections(),
        })
    }

    /// Tells of each breaker that opens or closes; one waiter, the balancer.
    #[must_use]
    pub fn wake(&self) -> &Arc<Notify> {
        &self.wake
    }

    /// The number of a cluster, given at first use.
    pub fn number(&self, cluster: &ClusterId) -> ClusterNumber {
        // A list of ids cannot be left half changed by a panic.
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let at = numbers.iter().position(|c| c == cluster).unwrap_or_else(|| {
            numbers.push(cluster.clone());
            numbers.len() - 1
        });
        ClusterNumber(u32::try_from(at).unwrap_or(u32::MAX))
    }

    /// The slot of a target in `cluster`, made at first use.
    pub fn slot(&self, target: &Target, cluster: ClusterNumber, now_ms: u64) -> Arc<Slot> {
        if let Some(found) = self.slots.get(target) {
            return Arc::clone(&found);
        }
        let made = || {
            let id = self.next_id.fetch_add(1, Ordering::Relaxed);
            let ejections = self.ejections[usize::from(matches!(target, Target::Gateway { .. }))].clone();
            Arc::new(Slot::new(id, target.clone(), cluster, (Arc::clone(&self.wake), ejections), now_ms))
        };
        Arc::clone(&self.slots.entry(target.clone()).or_insert_with(made))
    }

    /// The link to a cluster, made at first use.
    pub fn link(&self, cluster: &ClusterId) -> Arc<Link> {
        if let Some(found) = self.links.get(cluster) {
            return Arc::clone(&found);
        }
        Arc::clone(&self.links.entry(cluster.clone()).or_default())
    }

    /// How many slots there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// True before the first slot.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Drops the slots that no route has held for five minutes and no request uses. Returns how many.
    pub fn sweep(&self, now_ms: u64) -> usize {
        let mut gone = 0;
        self.slots.retain(|_, slot| {
            let held = Arc::strong_count(slot) > 1;
            if held {
                slot.touch(now_ms);
            }
            let keep = held || now_ms.saturating_sub(slot.touched_ms()) < KEEP_MS;
            gone += usize::from(!keep);
            keep
        });
        gone
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn pod(last: u8) -> Target {
        Target::Pod { service: ServiceKey::parse("ns/svc").unwrap(), address: SocketAddr::from(([10, 0, 0, last], 80)) }
    }

    #[test]
    fn slots_are_shared_and_swept_only_when_nobody_holds_them() {
        let registry = Registry::new();
        let here = registry.number(&ClusterId::parse("us-west").unwrap());
        let held = registry.slot(&pod(1), here, 0);
        drop(registry.slot(&pod(2), here, 0));
        assert!(Arc::ptr_eq(&held, &registry.slot(&pod(1), here, 9)));
        assert_eq!(registry.sweep(KEEP_MS - 1), 0, "one that may come back is remembered");
        assert_eq!(registry.sweep(KEEP_MS), 1);
        assert_eq!(registry.len(), 1);
        drop(held);
        assert_eq!(registry.sweep(2 * KEEP_MS - 1), 0, "held until the last sweep");
        assert_eq!(registry.sweep(2 * KEEP_MS), 1);
    }

    #[test]
    fn clusters_keep_their_number() {
        let registry = Registry::new();
        let (a, b) = (ClusterId::parse("a").unwrap(), ClusterId::parse("b").unwrap());
        let first = registry.number(&a);
        assert_ne!(first, registry.number(&b));
        assert_eq!(first, registry.number(&a));
    }
}
