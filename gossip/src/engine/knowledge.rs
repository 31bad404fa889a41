//! What is known about each cluster beside its records, and the counters that go with it.

use std::collections::{BTreeMap, BTreeSet};

use strait_catalog::{Key, Version};

/// Counters of one cluster since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records of this cluster that were taken in, whether they changed anything or not.
    pub accepted: u64,
    /// Of these, the ones that changed what is held.
    pub changed: u64,
    /// Records refused from sessions of this cluster, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Frames received from this cluster.
    pub frames_in: u64,
    /// Frames sent to this cluster.
    pub frames_out: u64,
    /// Frames of a type this version does not know.
    pub frames_unknown: u64,
    /// Repairs begun for this cluster's records because hashes differed.
    pub repairs: u64,
}

impl Counts {
    /// Refused records, all reasons together.
    #[must_use]
    pub fn refused_total(&self) -> u64 {
        self.refused.values().sum()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Knowledge {
    /// The highest version any head spoke of.
    pub(crate) head: Option<Version>,
    /// What the last comparison found.
    pub(crate) equal: Option<bool>,
    /// When the knowledge became older than the limit; `None` while it is fresh.
    pub(crate) stale_since: Option<u64>,
    /// Records held that cannot be read.
    pub(crate) quarantined: BTreeSet<Key>,
    pub(crate) counts: Counts,
}
