//! What the control task tells about itself, for the admin port and the operator's commands.

use strait_catalog::{ClusterId, Version};

use crate::config::DaemonId;

/// Who opened a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// This daemon.
    Dialled,
    /// The other side.
    Accepted,
}

/// One open session.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct SessionStatus {
    /// Who opened it.
    pub direction: Direction,
    /// The other daemon, once it has said hello.
    pub daemon: Option<DaemonId>,
    /// Its network address, where known.
    pub address: Option<String>,
    /// How long it has been open, in seconds.
    pub up_seconds: u64,
    /// Records waiting to be sent.
    pub unsent: usize,
}

/// What this daemon knows of one other cluster, or of its siblings in its own.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PeerStatus {
    /// The cluster; the own one in the row of siblings.
    pub cluster: ClusterId,
    /// At least one session is open and has said hello.
    pub connected: bool,
    /// This daemon is one of the two that dial it.
    pub dials: bool,
    /// All open sessions.
    pub sessions: Vec<SessionStatus>,
    /// Why the last dial or session failed; cleared by the next success.
    pub last_error: Option<String>,
    /// Live records held.
    pub records: usize,
    /// How old the knowledge is, in milliseconds; absent when nothing was ever heard.
    pub age_ms: Option<u64>,
    /// The highest version its newest head spoke of.
    pub head: Option<Version>,
    /// Revisions that are missing here up to that head; 0 when caught up.
    pub lag_revisions: u64,
    /// The last comparison of hashes found equal sets; absent before the first.
    pub equal: Option<bool>,
    /// Records refused since the start.
    pub refused: u64,
    /// Records held that cannot be read and are therefore out of use.
    pub quarantined: usize,
}

/// The own cluster's records.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct OwnStatus {
    /// Live records held.
    pub records: usize,
    /// Of these, how many other clusters may see.
    pub shown: usize,
    /// The highest version held.
    pub highest: Version,
    /// The age of the source's knowledge, in milliseconds.
    pub source_age_ms: u64,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct SyncStatus {
    /// The own cluster.
    pub cluster: ClusterId,
    /// This daemon.
    pub daemon: DaemonId,
    /// See [`crate::SyncConfig::leaf`].
    pub leaf: bool,
    /// The source has finished its first full list.
    pub synced: bool,
    /// More than half of the peers went stale together: the decay of weights is frozen.
    pub isolated: bool,
    /// The number of the newest snapshot.
    pub snapshot: u64,
    /// The own cluster's records.
    pub own: OwnStatus,
    /// Sessions inside the own cluster.
    pub siblings: PeerStatus,
    /// One row for each other cluster, sorted by id.
    pub peers: Vec<PeerStatus>,
}
