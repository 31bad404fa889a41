//! Digests of what a cluster's live records look like to an audience, kept up to date record by record.
//!
//! Two daemons hold equal sets when hash and count are equal; which buckets, and which keys in them, differ is found
//! here without looking at the records again.

use std::collections::BTreeMap;
use std::sync::Arc;

use strait_catalog::{Audience, Catalog, ClusterId, Key, Kind, Version};

/// What is held of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Alive, and the audience may see it: it counts.
    Shown,
    /// Alive, but its service is not exported.
    Hidden,
    /// A tombstone.
    Dead,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) version: Version,
    /// Of the record in the audience's projection.
    pub(crate) digest: u64,
    pub(crate) state: State,
}

type Place = (u8, Kind, Arc<str>);

fn place(key: &Key) -> Place {
    (key.bucket(), key.kind, key.name.clone())
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Everything held, hidden and dead records too, so that a list of keys is complete.
    entries: BTreeMap<Place, Held>,
    buckets: Vec<u64>,
    hash: u64,
    count: usize,
    highest: Version,
}

impl Default for Tally {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), buckets: vec![0; 256], hash: 0, count: 0, highest: Version::default() }
    }
}

impl Tally {
    fn set(&mut self, key: &Key, held: Option<Held>) {
        let at = place(key);
        let bucket = usize::from(at.0);
        let old = match held {
            Some(held) => self.entries.insert(at, held),
            None => self.entries.remove(&at),
        };
        let counts = |h: &Held| h.state == State::Shown;
        let (new, old) = (held.filter(counts), old.filter(counts));
        let change = new.map_or(0, |h| h.digest).wrapping_sub(old.map_or(0, |h| h.digest));
        self.buckets[bucket] = self.buckets[bucket].wrapping_add(change);
        self.hash = self.hash.wrapping_add(change);
        self.count = self.count + usize::from(new.is_some()) - usize::from(old.is_some());
    }

    /// Sum of the digests of all records shown.
    pub(crate) const fn hash(&self) -> u64 {
        self.hash
    }

    /// How many records are shown.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// The highest version ever shown here, tombstones included.
    pub(crate) const fn highest(&self) -> Version {
        self.highest
    }

    /// The 256 sums.
    pub(crate) fn buckets(&self) -> &[u64] {
        &self.buckets
    }

    /// Everything held in one bucket.
    pub(crate) fn bucket(&self, bucket: u8) -> impl Iterator<Item = (Kind, &Arc<str>, &Held)> {
        self.entries
            .range((bucket, Kind(0), Arc::from(""))..)
            .take_while(move |((b, _, _), _)| *b == bucket)
            .map(|((_, kind, name), held)| (*kind, name, held))
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Held> {
        self.entries.get(&place(key))
    }
}

/// The tallies of all clusters: two of the own, one of each other.
#[derive(Debug)]
pub(crate) struct Tallies {
    local: ClusterId,
    own: Tally,
    shown: BTreeMap<ClusterId, Tally>,
}

impl Tallies {
    pub(crate) fn new(local: ClusterId) -> Self {
        Self { local, own: Tally::default(), shown: BTreeMap::new() }
    }

    /// From scratch.
    pub(crate) fn rebuild(&mut self, catalog: &Catalog) {
        self.own = Tally::default();
        self.shown.clear();
        for cluster in catalog.clusters() {
            for key in catalog.keys(cluster) {
                self.touch(catalog, key);
            }
        }
    }

    /// Takes in what became of one record.
    pub(crate) fn touch(&mut self, catalog: &Catalog, key: &Key) {
        let update = |tally: &mut Tally, audience| {
            let held = catalog.projected(key, audience).map(|(record, shown)| {
                if shown {
                    tally.highest = tally.highest.max(record.version());
                }
                let state = match (record.is_tombstone(), shown) {
                    (true, _) => State::Dead,
                    (false, true) => State::Shown,
                    (false, false) => State::Hidden,
                };
                Held { version: record.version(), digest: record.digest(), state }
            });
            tally.set(key, held);
        };
        if key.cluster == self.local {
            update(&mut self.own, Audience::Sibling);
        }
        update(self.shown.entry(key.cluster.clone()).or_default(), Audience::Remote);
    }

    /// `None` when nothing of the cluster was ever held.
    pub(crate) fn get(&self, cluster: &ClusterId, audience: Audience) -> Option<&Tally> {
        if *cluster == self.local && audience == Audience::Sibling { Some(&self.own) } else { self.shown.get(cluster) }
    }

    pub(crate) fn retain(&mut self, known: impl Fn(&ClusterId) -> bool) {
        self.shown.retain(|cluster, _| known(cluster));
    }

    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn same_sets(&self, other: &Self) -> bool {
        let same = |a: &Tally, b: &Tally| {
            (&a.entries, &a.buckets, a.hash, a.count) == (&b.entries, &b.buckets, b.hash, b.count)
        };
        let none = Tally::default();
        let clusters = self.shown.keys().chain(other.shown.keys());
        same(&self.own, &other.own)
            && clusters
                .into_iter()
                .all(|c| same(self.shown.get(c).unwrap_or(&none), other.shown.get(c).unwrap_or(&none)))
    }
}
