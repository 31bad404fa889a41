//! What an engine is told at its start.

use std::collections::BTreeSet;

use strait_catalog::Kind;

use crate::config::DaemonId;

/// What one cluster may make this daemon hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Live records of one other cluster.
    pub records: usize,
    /// Bytes of one record's value.
    pub record_bytes: usize,
    /// Bytes of one record's name; Kubernetes names are far below.
    pub name_bytes: usize,
}

impl Default for Limits {
    /// 200,000 records (a cluster at the limits of Kubernetes has about 10,000 services and 150,000 pods in slices of
    /// a hundred), 256 KiB each, names of 1 KiB.
    fn default() -> Self {
        Self { records: 200_000, record_bytes: 256 * 1024, name_bytes: 1024 }
    }
}

/// Settings of an engine.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// This daemon.
    pub daemon: DaemonId,
    /// See [`crate::SyncConfig::leaf`].
    pub leaf: bool,
    /// See [`crate::SyncConfig::expected`].
    pub expected: BTreeSet<Kind>,
    /// See [`crate::SyncConfig::imports_expected`].
    pub imports_expected: bool,
    /// Seed of all jitter.
    pub seed: u64,
    /// Caps for each other cluster.
    pub limits: Limits,
}
