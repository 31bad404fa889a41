//! The one writer's store: every record of every cluster, and the incremental making of snapshots.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::freshness::Freshness;
use crate::import::Import;
use crate::name::{ClusterId, ServiceKey};
use crate::peer::Peer;
use crate::record::{Key, Kind, Record};
use crate::snapshot::Snapshot;
use crate::version::Version;

mod build;
mod shelf;
#[cfg(test)]
mod tests;
mod view;

use shelf::Shelf;

/// Where a record comes from, which decides what happens when two of the same version differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// The cluster that owns the object says so: its content counts.
    Owner,
    /// A sibling passes it on, or the own source repeats it: the larger bytes count, so that all siblings agree.
    Sibling,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It was newer (or its content prevailed) and is stored.
    Changed,
    /// The same is held already.
    Same,
    /// A newer version is held.
    Older,
}

/// All records, imports and peers, and the snapshot made of them.
///
/// Not shared: one task owns it. Time is given as milliseconds on that task's monotonic clock.
#[derive(Debug)]
pub struct Catalog {
    local: ClusterId,
    shelves: BTreeMap<ClusterId, Shelf>,
    imports: BTreeMap<ServiceKey, Import>,
    peers: BTreeMap<ClusterId, Peer>,
    freshness: BTreeMap<ClusterId, Arc<Freshness>>,
    /// How far the own source has seen each kind: absence is asserted only up to here.
    progress: BTreeMap<Kind, Version>,
    /// The epoch the own source lists in, if it says so.
    epoch: Option<u64>,
    dirty: BTreeSet<ServiceKey>,
    dirty_clusters: bool,
    synced: bool,
    snapshot: Arc<Snapshot>,
}

impl Catalog {
    /// An empty catalog of the given cluster.
    #[must_use]
    pub fn new(local: ClusterId) -> Self {
        Self {
            snapshot: Arc::new(Snapshot::empty(local.clone())),
            local,
            shelves: BTreeMap::new(),
            imports: BTreeMap::new(),
            peers: BTreeMap::new(),
            freshness: BTreeMap::new(),
            progress: BTreeMap::new(),
            epoch: None,
            dirty: BTreeSet::new(),
            dirty_clusters: true,
            synced: false,
        }
    }

    /// The cluster this daemon belongs to.
    #[must_use]
    pub const fn local(&self) -> &ClusterId {
        &self.local
    }

    /// Merges one record: the larger version wins; at equal versions a tombstone wins, then [`Authority`] decides.
    pub fn apply(&mut self, record: Record, authority: Authority, now_ms: u64) -> Applied {
        let key = record.key().clone();
        let shelf = self.shelves.entry(key.cluster.clone()).or_default();
        let applied = shelf.apply(record, authority, now_ms);
        if applied == Applied::Changed {
            match key.service() {
                Some(service) => {
                    self.dirty.insert(service);
                }
                None => self.touch_cluster(&key),
            }
        }
        applied
    }

    fn touch_cluster(&mut self, key: &Key) {
        self.dirty_clusters = true;
        if key.kind == Kind::CLUSTER {
            self.touch_services_of(&key.cluster.clone());
        }
    }

    /// Declared networks or allowed namespaces changed: every service of that cluster is joined again.
    fn touch_services_of(&mut self, cluster: &ClusterId) {
        if let Some(shelf) = self.shelves.get(cluster) {
            self.dirty.extend(shelf.services());
        }
    }

    /// Applies what the own source saw: changed or deleted objects of one kind. Returns the keys that changed.
    pub fn observe(&mut self, records: Vec<Record>, now_ms: u64) -> Vec<Key> {
        let mut changed = Vec::new();
        for record in records {
            self.advance(record.key().kind, record.version());
            let key = record.key().clone();
            if self.apply(record, Authority::Sibling, now_ms) == Applied::Changed {
                changed.push(key);
            }
        }
        changed
    }

    fn advance(&mut self, kind: Kind, version: Version) {
        let seen = self.progress.entry(kind).or_default();
        *seen = (*seen).max(version);
    }

    /// Applies a complete list of one kind of the own cluster: what it does not contain becomes a tombstone at the
    /// list's revision, unless a newer version is known. Returns the keys that changed.
    ///
    /// The list's epoch is the one the source said ([`Self::set_epoch`]); of a source that says none, that of the
    /// list's newest object, or the newest known for the own cluster when it is empty.
    pub fn relist(&mut self, kind: Kind, revision: u64, records: Vec<Record>, now_ms: u64) -> Vec<Key> {
        let listed: BTreeSet<Key> = records.iter().map(|r| r.key().clone()).collect();
        let newest = records.iter().map(|r| r.version().epoch).max();
        let guessed = || newest.unwrap_or_else(|| self.highest(&self.local).epoch);
        let epoch = self.epoch.max(newest.filter(|_| self.epoch.is_some())).unwrap_or_else(guessed);
        let at = Version::new(epoch, revision);
        let gone: Vec<Record> = self.shelves.get(&self.local).map_or_else(Vec::new, |shelf| {
            shelf
                .live_of(kind)
                .filter(|r| !listed.contains(r.key()) && r.version() <= at)
                .map(|r| Record::tombstone(r.key().clone(), at))
                .collect()
        });
        let mut changed = self.observe(records, now_ms);
        changed.extend(self.observe(gone, now_ms));
        self.advance(kind, at);
        changed
    }

    /// Sets the epoch of the own source's lists; it never falls.
    pub fn set_epoch(&mut self, epoch: u64) {
        self.epoch = self.epoch.max(Some(epoch));
    }

    /// Marks the first full list of every kind as done: from here on the snapshot is `synced`.
    pub fn mark_synced(&mut self) {
        self.dirty_clusters |= !self.synced;
        self.synced = true;
    }

    /// True once [`Self::mark_synced`] was called.
    #[must_use]
    pub const fn is_synced(&self) -> bool {
        self.synced
    }

    /// Sets or removes one import of this cluster.
    pub fn set_import(&mut self, service: ServiceKey, import: Option<Import>) {
        let changed = match import {
            Some(import) => self.imports.insert(service.clone(), import.clone()) != Some(import),
            None => self.imports.remove(&service).is_some(),
        };
        if changed {
            self.dirty.insert(service);
        }
    }

    /// Replaces all imports of this cluster.
    pub fn set_imports(&mut self, imports: Vec<(ServiceKey, Import)>) {
        let kept: BTreeSet<_> = imports.iter().map(|(k, _)| k.clone()).collect();
        let gone: Vec<_> = self.imports.keys().filter(|k| !kept.contains(*k)).cloned().collect();
        for service in gone {
            self.set_import(service, None);
        }
        for (service, import) in imports {
            self.set_import(service, Some(import));
        }
    }

    /// Replaces the peers. The records of a cluster that is no longer one are forgotten.
    pub fn set_peers(&mut self, peers: Vec<Peer>) {
        let peers: BTreeMap<_, _> =
            peers.into_iter().filter(|p| p.cluster != self.local).map(|p| (p.cluster.clone(), p)).collect();
        let gone: Vec<_> =
            self.shelves.keys().filter(|c| **c != self.local && !peers.contains_key(*c)).cloned().collect();
        let forgotten = !gone.is_empty();
        for cluster in gone {
            self.touch_services_of(&cluster);
            self.shelves.remove(&cluster);
            self.freshness.remove(&cluster);
        }
        for (cluster, peer) in &peers {
            if self.peers.get(cluster) != Some(peer) {
                self.touch_services_of(cluster);
            }
        }
        self.dirty_clusters |= forgotten || self.peers != peers;
        self.peers = peers;
    }

    /// The peers, by cluster.
    #[must_use]
    pub const fn peers(&self) -> &BTreeMap<ClusterId, Peer> {
        &self.peers
    }

    /// The age cell of a cluster, made at first use and shared with every snapshot.
    pub fn freshness(&mut self, cluster: &ClusterId) -> Arc<Freshness> {
        if let Some(found) = self.freshness.get(cluster) {
            return found.clone();
        }
        self.dirty_clusters = true;
        self.freshness.entry(cluster.clone()).or_default().clone()
    }

    /// One stored record, tombstones included, as it is held.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Record> {
        self.shelves.get(&key.cluster)?.get(key)
    }

    /// Clusters of which any record is held.
    pub fn clusters(&self) -> impl Iterator<Item = &ClusterId> {
        self.shelves.keys()
    }

    /// The highest version held of a cluster.
    #[must_use]
    pub fn highest(&self, cluster: &ClusterId) -> Version {
        self.shelves.get(cluster).map(Shelf::highest).unwrap_or_default()
    }

    /// Rises whenever any record of the cluster changes; for caches of its hash.
    #[must_use]
    pub fn generation(&self, cluster: &ClusterId) -> u64 {
        self.shelves.get(cluster).map(Shelf::generation).unwrap_or_default()
    }

    /// Live records held of a cluster.
    #[must_use]
    pub fn live_count(&self, cluster: &ClusterId) -> usize {
        self.shelves.get(cluster).map(Shelf::live_count).unwrap_or_default()
    }

    /// Forgets tombstones older than 24 h, and the oldest beyond 10,000 a cluster. With the tombstone of another
    /// cluster's export go the parts of that service that are held but no longer shown. Returns what was forgotten.
    pub fn collect_tombstones(&mut self, now_ms: u64) -> Vec<Key> {
        let mut forgotten = Vec::new();
        for (cluster, shelf) in &mut self.shelves {
            for key in shelf.collect_tombstones(now_ms) {
                if *cluster != self.local && key.kind == Kind::EXPORT {
                    forgotten.extend(shelf.forget_service(&key.name));
                    self.dirty.extend(key.service());
                }
                forgotten.push(key);
            }
        }
        forgotten
    }

    /// The newest snapshot made.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.clone()
    }

    /// True when something changed since the last [`Self::publish`].
    #[must_use]
    pub fn unpublished(&self) -> bool {
        !self.dirty.is_empty() || self.dirty_clusters
    }

    /// Makes a new snapshot if anything changed since the last; cost is proportional to the change.
    pub fn publish(&mut self) -> Option<Arc<Snapshot>> {
        if !self.unpublished() {
            return None;
        }
        let next = build::next(self);
        self.dirty.clear();
        self.dirty_clusters = false;
        self.snapshot = Arc::new(next);
        Some(self.snapshot.clone())
    }
}
