//! When readiness itself is in doubt.
//!
//! Kubernetes marks every pod of a node not ready when the node's lease is late, although the pods may answer as
//! before: its kubelet hangs, or an API server that was away makes all leases late at once. So pods that were ready stay
//! in use until their answers say otherwise
//!
//! - on a node that is not ready itself, when they were ready just before and answered a moment ago. A node that is
//!   really dead has been silent for longer than that when Kubernetes says so;
//! - on every node, when no endpoint on any node of the own cluster is ready any more, unless pods of their service are
//!   leaving, which no lease makes them do. Endpoints without a node have no lease and are not asked.
//!
//! A doubt outlives its cause by a while, for a node is ready again before its pods are reported so, one after another.

use std::collections::HashMap;
use std::sync::Arc;

use strait_catalog::{Backend, Condition, Endpoint};

use crate::health::Slot;

/// How long a doubt outlives its cause, in milliseconds. A kubelet reports what differs within ten seconds, and probes
/// again within ten more (`periodSeconds`).
const LINGER_MS: u64 = 30_000;
/// A pod that answered this recently does not stand on a node that Kubernetes has found dead, in milliseconds: that
/// takes it 50 s (`--node-monitor-grace-period`; 40 s before 1.32) from the last sign of life, and a kubelet gives one
/// every ten.
const ANSWERED_MS: u64 = 30_000;
/// A pod that was said not to be ready longer than this before its node was has a reason of its own, in milliseconds.
/// Its slice may come a little before the node.
const JUST_BEFORE_MS: u64 = 5_000;

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
    const fn in_doubt(self) -> bool {
        self.ready == 0 && self.not_ready >= 2
    }
}

impl std::iter::Sum for OnNodes {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |a, b| Self { ready: a.ready + b.ready, not_ready: a.not_ready + b.not_ready })
    }
}

/// How long something is in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// As long as its cause lasts.
    Further,
    /// Its cause is over.
    Ms(u64),
}

/// What of the own cluster's readiness is in doubt.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    everywhere: Option<Until>,
    nodes: HashMap<Arc<str>, Until>,
}

/// What a change of the doubts concerns.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Concerned {
    everywhere: bool,
    nodes: Vec<Arc<str>>,
}

impl Concerned {
    /// True when it concerns nothing.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// True when the endpoint may be judged otherwise now.
    pub(super) fn has(&self, endpoint: &Endpoint) -> bool {
        endpoint.condition == Condition::NotReady
            && !endpoint.node.is_empty()
            && (self.everywhere || self.nodes.iter().any(|n| **n == *endpoint.node))
    }
}

impl Doubts {
    /// Takes what is known now: all endpoints on nodes, and the nodes that are not ready, sorted.
    pub(super) fn update(&mut self, all: OnNodes, unready: &[Arc<str>], now_ms: u64) -> Concerned {
        let before = self.everywhere;
        self.everywhere = next(before, all.in_doubt(), now_ms);
        if before.is_none() && self.everywhere.is_some() {
            tracing::warn!("no endpoint on any node of this cluster is ready: answers decide until one is");
        }
        let mut concerned = Concerned { everywhere: before.is_some() != self.everywhere.is_some(), nodes: Vec::new() };
        for node in unready {
            if self.nodes.insert(node.clone(), Until::Further).is_none() {
                tracing::warn!(%node, "node is not ready: its pods stay in use for as long as they answer");
                concerned.nodes.push(node.clone());
            }
        }
        self.nodes.retain(|node, until| {
            let longer = next(Some(*until), unready.binary_search(node).is_ok(), now_ms);
            if longer.is_none() {
                concerned.nodes.push(node.clone());
            }
            longer.is_some_and(|longer| {
                *until = longer;
                true
            })
        });
        concerned
    }

    /// True when time alone ends a doubt by now.
    pub(super) fn due(&self, now_ms: u64) -> bool {
        let over = |until: &Until| matches!(until, Until::Ms(end) if *end <= now_ms);
        self.everywhere.iter().chain(self.nodes.values()).any(over)
    }

    /// True when a pod that is said not to be ready stays in use; `leaving`: pods of its service are.
    pub(super) fn keep(&self, node: &str, leaving: bool, slot: &Slot, now_ms: u64) -> bool {
        let by_cluster = || self.everywhere.is_some() && !leaving && slot.in_good_standing();
        let readiness = slot.readiness();
        let just_lost = || readiness.lately(JUST_BEFORE_MS, now_ms) && slot.fresh_success(ANSWERED_MS, now_ms);
        let by_node = || self.nodes.contains_key(node) && (readiness.kept() || just_lost());
        !node.is_empty() && readiness.was_ready() && (by_cluster() || by_node())
    }
}

/// A doubt one moment later; `None`: there is none.
const fn next(before: Option<Until>, cause: bool, now_ms: u64) -> Option<Until> {
    match before {
        _ if cause => Some(Until::Further),
        Some(Until::Further) => Some(Until::Ms(now_ms + LINGER_MS)),
        Some(Until::Ms(end)) if end <= now_ms => None,
        Some(_) | None => before,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: OnNodes = OnNodes { ready: 0, not_ready: 2 };
    const SOME: OnNodes = OnNodes { ready: 1, not_ready: 5 };

    fn nodes(names: &[&str]) -> Vec<Arc<str>> {
        names.iter().map(|n| Arc::from(*n)).collect()
    }

    #[test]
    fn doubt_needs_all_of_several() {
        for (ready, not_ready, doubt) in [(0, 2, true), (0, 1, false), (1, 5, false), (0, 0, false)] {
            assert_eq!(OnNodes { ready, not_ready }.in_doubt(), doubt, "{ready} {not_ready}");
        }
    }

    #[test]
    fn a_doubt_outlives_its_cause_and_ends_by_itself() {
        let mut doubts = Doubts::default();
        assert_eq!(doubts.update(SOME, &nodes(&["n2"]), 0), Concerned { everywhere: false, nodes: nodes(&["n2"]) });
        assert_eq!(doubts.update(NONE, &nodes(&["n2"]), 10), Concerned { everywhere: true, nodes: nodes(&[]) });
        // The causes end, one comes back, and stays longer.
        assert_eq!(doubts.update(SOME, &[], 20), Concerned::default());
        assert_eq!(doubts.update(SOME, &nodes(&["n2"]), 30), Concerned::default());
        assert!(!doubts.due(19 + LINGER_MS) && doubts.due(20 + LINGER_MS));
        let ended = doubts.update(SOME, &nodes(&["n2"]), 20 + LINGER_MS);
        assert_eq!(ended, Concerned { everywhere: true, nodes: nodes(&[]) });
        assert!(!doubts.due(u64::MAX), "nothing ends a doubt whose cause lasts");
        assert_eq!(doubts.update(SOME, &[], 100_000), Concerned::default());
        assert_eq!(
            doubts.update(SOME, &[], 100_000 + LINGER_MS),
            Concerned { everywhere: false, nodes: nodes(&["n2"]) }
        );
        assert_eq!(doubts.update(SOME, &[], 200_000), Concerned::default());
    }
}
