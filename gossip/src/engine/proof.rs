//! What tests and the simulator ask of an engine.

use strait_catalog::{Audience, ClusterId};

use super::Engine;
use super::tally::Tallies;

impl Engine {
    /// Gives the catalog back.
    #[cfg(test)]
    pub(crate) fn into_catalog(self) -> strait_catalog::Catalog {
        self.catalog
    }

    /// Compares the incremental tallies with ones made from scratch.
    #[must_use]
    pub fn tallies_hold(&self) -> bool {
        let mut fresh = Tallies::new(self.catalog.local().clone());
        fresh.rebuild(&self.catalog);
        self.tallies.same_sets(&fresh)
    }

    /// Hash and count of the own records as siblings see them.
    #[must_use]
    pub fn own_fingerprint(&self) -> (u64, usize) {
        self.tallies.get(self.catalog.local(), Audience::Sibling).map_or((0, 0), |t| (t.hash(), t.count()))
    }

    /// Hash and count of the records of a cluster, in the projection for other clusters.
    #[must_use]
    pub fn fingerprint(&self, cluster: &ClusterId) -> (u64, usize) {
        self.tallies.get(cluster, Audience::Remote).map_or((0, 0), |t| (t.hash(), t.count()))
    }
}
