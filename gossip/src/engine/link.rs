//! One session as the engine sees it.

use std::collections::{BTreeMap, BTreeSet};

use strait_catalog::{ClusterId, Key, Version};

use super::buckets::BucketSet;
use super::dirty::Dirty;
use crate::config::DaemonId;
use crate::status::Direction;

/// A session within this process, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// What the certificate proved, and who dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// The peer's cluster.
    pub cluster: ClusterId,
    /// Who opened the session.
    pub direction: Direction,
}

/// Why the engine ended a session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// No `ClusterPeer` names that cluster (any more).
    #[error("its cluster is not a peer of this one; is there a ClusterPeer for it here?")]
    NotAPeer,
    /// The session reached this very daemon.
    #[error("the session leads back to this daemon")]
    Myself,
    /// The first frame was not a hello, or a second one came.
    #[error("the session does not begin with exactly one hello; is the other side a Strait daemon?")]
    NoHello,
    /// The hello names another cluster than the certificate.
    #[error("the certificate is of cluster {certified}, the hello says {said:?}")]
    WrongCluster {
        /// By certificate.
        certified: ClusterId,
        /// By hello, shortened.
        said: String,
    },
    /// No protocol version in common.
    #[error(
        "it speaks sync protocols {min} to {max}, this daemon {} to {}; upgrade the older side",
        crate::frame::PROTOCOL_MIN,
        crate::frame::PROTOCOL_MAX
    )]
    Protocol {
        /// Its oldest.
        min: u32,
        /// Its newest.
        max: u32,
    },
    /// Nothing was heard for five seconds, where a head comes every second.
    #[error("nothing was heard for {} s; is the path broken in one direction?", SILENT_MS / 1000)]
    Silent,
    /// It said goodbye.
    #[error("the other side left: {0}")]
    Bye(String),
}

impl CloseReason {
    /// True for ends that are nobody's fault.
    #[must_use]
    pub const fn is_expected(&self) -> bool {
        matches!(self, Self::Bye(_) | Self::Myself)
    }
}

/// A session without any frame for this long is dead.
pub(crate) const SILENT_MS: u64 = 5_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A daemon of another cluster.
    Remote,
    /// A daemon of the own cluster.
    Sibling,
}

/// What the other side said of itself.
#[derive(Clone, Debug)]
pub(crate) struct Introduction {
    pub(crate) daemon: DaemonId,
    pub(crate) leaf: bool,
}

/// How long two sets have been found to differ, and when to do something about it again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mismatch {
    pub(crate) since: u64,
    pub(crate) next_at: u64,
    pub(crate) step: u32,
}

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) peer: ClusterId,
    pub(crate) direction: Direction,
    pub(crate) role: Role,
    pub(crate) up_at: u64,
    pub(crate) hello_sent: bool,
    pub(crate) introduction: Option<Introduction>,
    pub(crate) last_frame_at: u64,
    pub(crate) heads_due: u64,
    /// When the dirty keys may go; meaningless without any.
    pub(crate) flush_at: u64,
    pub(crate) dirty: Dirty,
    /// Clusters whose bucket hashes are to be sent.
    pub(crate) buckets: BTreeSet<ClusterId>,
    /// Buckets whose keys are to be asked for.
    pub(crate) asks: BTreeMap<ClusterId, BucketSet>,
    /// Buckets whose keys are to be sent.
    pub(crate) keys: BTreeMap<ClusterId, BucketSet>,
    pub(crate) mismatches: BTreeMap<ClusterId, Mismatch>,
    /// Heads of the other side that were found equal, to be told with the next own heads.
    pub(crate) receipts: BTreeMap<ClusterId, u64>,
    /// The hashes of the newest own heads after which every change was sent.
    pub(crate) told: BTreeMap<ClusterId, u64>,
    /// Buckets of which the other side is known to hold what this side held at some moment of this session. In the
    /// others a changed service is sent whole, since a part of it could show an emptiness that never was.
    pub(crate) baseline: BTreeMap<ClusterId, BucketSet>,
    /// What was already logged about this session.
    pub(crate) logged: BTreeSet<&'static str>,
}

impl Link {
    pub(crate) fn new(peer: PeerInfo, role: Role, now_ms: u64) -> Self {
        Self {
            peer: peer.cluster,
            direction: peer.direction,
            role,
            up_at: now_ms,
            hello_sent: false,
            introduction: None,
            last_frame_at: now_ms,
            heads_due: now_ms,
            flush_at: now_ms,
            dirty: Dirty::default(),
            buckets: BTreeSet::new(),
            asks: BTreeMap::new(),
            keys: BTreeMap::new(),
            mismatches: BTreeMap::new(),
            receipts: BTreeMap::new(),
            told: BTreeMap::new(),
            baseline: BTreeMap::new(),
            logged: BTreeSet::new(),
        }
    }

    /// The other side publishes nothing.
    pub(crate) fn leaf(&self) -> bool {
        self.introduction.as_ref().is_some_and(|i| i.leaf)
    }

    /// Notes a key that the other side may lack, to be sent at the given time or earlier.
    pub(crate) fn mark(&mut self, key: &Key, absent: Option<Version>, send_at: u64) {
        self.flush_at = if self.dirty.is_empty() { send_at } else { self.flush_at.min(send_at) };
        self.dirty.mark(key, absent);
    }

    pub(crate) fn retain_clusters(&mut self, known: impl Fn(&ClusterId) -> bool) {
        self.dirty.retain(&known);
        self.buckets.retain(&known);
        self.asks.retain(|c, _| known(c));
        self.keys.retain(|c, _| known(c));
        self.mismatches.retain(|c, _| known(c));
        self.receipts.retain(|c, _| known(c));
        self.told.retain(|c, _| known(c));
        self.baseline.retain(|c, _| known(c));
    }

    /// True the first time it is asked for that subject: the session's log lines are one each.
    pub(crate) fn log_once(&mut self, subject: &'static str) -> bool {
        self.logged.insert(subject)
    }
}
