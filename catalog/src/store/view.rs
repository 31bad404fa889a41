//! What sessions ask of the store: records as an audience sees them, and what belongs together.

use super::Catalog;
use crate::name::ClusterId;
use crate::projection::{Audience, project, shown};
use crate::record::{Key, Kind, Record};
use crate::version::Version;

impl Catalog {
    /// One stored record as the audience may see it, tombstones included; `None` when it is not held or not shown.
    /// To other clusters the parts of a service are shown, dead or alive, while it is exported.
    #[must_use]
    pub fn seen_by(&self, key: &Key, audience: Audience) -> Option<Record> {
        self.projected(key, audience).and_then(|(record, shown)| shown.then_some(record))
    }

    /// One stored record in the audience's projection, and whether that audience may see it now.
    #[must_use]
    pub fn projected(&self, key: &Key, audience: Audience) -> Option<(Record, bool)> {
        let shelf = self.shelves.get(&key.cluster)?;
        let record = shelf.get(key)?;
        let shown = shown(record, audience, |name| shelf.exports(name));
        Some((project(record, audience), shown))
    }

    /// Every record held of one service (`namespace/name`) of a cluster, tombstones included.
    #[must_use]
    pub fn parts(&self, cluster: &ClusterId, service: &str) -> Vec<Key> {
        self.shelves.get(cluster).map_or_else(Vec::new, |shelf| shelf.parts(service))
    }

    /// The live records of a cluster that the audience may see: the set that both ends of a session hash.
    pub fn view(&self, cluster: &ClusterId, audience: Audience) -> impl Iterator<Item = Record> + '_ {
        self.shelves.get(cluster).into_iter().flat_map(move |shelf| {
            shelf
                .live()
                .filter(move |r| shown(r, audience, |name| shelf.exports(name)))
                .map(move |r| project(r, audience))
        })
    }

    /// Everything that has to be looked at again when this key changed: an export shows or hides its service, the
    /// tombstones of its parts included.
    #[must_use]
    pub fn related(&self, key: &Key) -> Vec<Key> {
        let mut keys = vec![key.clone()];
        if key.kind == Kind::EXPORT {
            keys.extend(self.parts(&key.cluster, &key.name).into_iter().filter(|part| part != key));
        }
        keys
    }

    /// The answer to a peer that lists a record of this cluster which is not held here: a tombstone at the version
    /// up to which the own source has seen that kind, as a list at that version would give; `None` when it has not
    /// seen as far as the version the peer holds, since the peer may be ahead.
    #[must_use]
    pub fn absence(&self, key: &Key, version: Version) -> Option<Record> {
        if !self.synced || key.cluster != self.local || self.get(key).is_some() {
            return None;
        }
        let seen = self.progress.get(&key.kind).filter(|seen| **seen >= version)?;
        Some(Record::tombstone(key.clone(), *seen))
    }

    /// Every key held of a cluster, tombstones included.
    pub fn keys(&self, cluster: &ClusterId) -> impl Iterator<Item = &Key> {
        self.shelves.get(cluster).into_iter().flat_map(|shelf| shelf.all().map(Record::key))
    }
}
