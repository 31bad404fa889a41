//! What a target may be used for, as far as the catalog says.

use strait_catalog::{Backend, Condition};

/// What the catalog allows a target to be used for, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// For every request.
    Ready,
    /// Serving while terminating: after a fresh success, and when no other cluster can.
    Leaving,
    /// Not ready: when nothing else is left.
    NotReady,
    /// Terminating, no longer serving: as a last resort.
    Gone,
}

impl Class {
    /// Of a pod of the own cluster.
    pub(super) const fn of_pod(condition: Condition) -> Self {
        match condition {
            Condition::Ready => Self::Ready,
            Condition::ServingTerminating => Self::Leaving,
            Condition::NotReady => Self::NotReady,
            Condition::Terminating => Self::Gone,
        }
    }

    /// Of the best pod of another cluster, which tells counts only.
    pub(super) const fn of_remote(backend: &Backend) -> Self {
        match (backend.ready, backend.serving, backend.total) {
            (1.., ..) => Self::Ready,
            (0, 1.., _) => Self::Leaving,
            (0, 0, 1..) => Self::NotReady,
            (0, 0, 0) => Self::Gone,
        }
    }
}
