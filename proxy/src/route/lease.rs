//! When readiness itself is in doubt.
//!
//! Kubernetes marks every pod of a node not ready when the node's lease is late, and an API server that comes back late
//! makes all leases late at once although the pods answer as before. So when no endpoint on any node of the own
//! cluster is ready any more, readiness says nothing: pods that were ready and are in good standing stay in use until
//! their answers say otherwise, unless pods of their service are leaving, which no lease makes them do. Endpoints
//! without a node have no lease and are not asked.

use strait_catalog::{Backend, Condition};

/// Endpoints of one service, or of all, that stand on nodes of the own cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OnNodes {
    ready: usize,
    not_ready: usize,
}

impl OnNodes {
    pub(super) fn of(backend: Option<&Backend>) -> Self {
        let mut counts = Self::default();
        for endpoint in backend.map(|b| b.endpoints.as_slice()).unwrap_or_default() {
            match endpoint.condition {
                _ if endpoint.node.is_empty() => {}
                Condition::Ready => counts.ready += 1,
                Condition::NotReady => counts.not_ready += 1,
                Condition::ServingTerminating | Condition::Terminating => {}
            }
        }
        counts
    }

    /// True when all of them are not ready, and there are enough to make one common cause likely.
    pub(super) const fn in_doubt(self) -> bool {
        self.ready == 0 && self.not_ready >= 2
    }
}

impl std::iter::Sum for OnNodes {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |a, b| Self { ready: a.ready + b.ready, not_ready: a.not_ready + b.not_ready })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubt_needs_all_of_several() {
        for (ready, not_ready, doubt) in [(0, 2, true), (0, 1, false), (1, 5, false), (0, 0, false)] {
            assert_eq!(OnNodes { ready, not_ready }.in_doubt(), doubt, "{ready} {not_ready}");
        }
    }
}
