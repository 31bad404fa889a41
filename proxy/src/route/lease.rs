//! When readiness itself is in doubt.
//!
//! Kubernetes marks every pod of a node not ready when the node's lease is late, although the pods may answer as
//! before: its kubelet hangs, or an API server that was away makes all leases late at once. So pods that were ready stay
//! in use until their answers say otherwise
//!
//! - on a node that is not ready itself, when they were ready just before and answered a moment ago. A node that is
//!   really dead has been silent for longer than that when Kubernetes says so;
//! - on every node after an outage of the API server, when they were ready before it and answered a moment ago: a node
//!   may have been marked and be ready again before this daemon hears of either. A watch that stays broken is no outage;
//! - on every node, when no endpoint on any node of the own cluster is ready any more, unless pods of their service are
//!   leaving, which no lease makes them do. Endpoints without a node have no lease and are not asked.
//!
//! A doubt outlives its cause by a while: a node is ready again long before its pods are reported so, one after another,
//! and after an outage its pods are even marked when it has been ready again for half a minute.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use strait_catalog::{Backend, Condition, Endpoint};

use crate::health::Slot;

/// How long a doubt about nodes outlives its cause, in milliseconds. What a kubelet or a controller watches comes back up to
/// 60 s after the API server (client-go's reflectors back off to 30 s, and up to double that by jitter); a kubelet then
/// reports what differs within ten seconds, and probes again within ten more (`periodSeconds`). Slices were seen to mark
/// pods 30 s after their node was ready again, for 20 s.
const LINGER_MS: u64 = 120_000;
/// The same for the doubt about all pods, which asks for no recent answer.
const LINGER_EVERYWHERE_MS: u64 = 30_000;
/// For how long some watch has been broken in an outage of the API server, in milliseconds. A shorter one marks no node; what
/// lasts for longer may be a single kind that is refused for good.
const OUTAGE_MS: Range<u64> = 10_000..600_000;
/// A pod that answered this recently does not stand on a node that Kubernetes has found dead, in milliseconds: that
/// takes it 50 s (`--node-monitor-grace-period`; 40 s before 1.32) from the last sign of life, and a kubelet gives one
/// every ten.
const ANSWERED_MS: u64 = 30_000;
/// A pod that was said not to be ready longer than this before its node was has a reason of its own, in milliseconds.
/// Its slice may come before the node: a watch of nodes that has failed may take ten seconds to be tried again, and as many
/// to begin.
const JUST_BEFORE_MS: u64 = 20_000;

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
    outage: Option<Until>,
    nodes: HashMap<Arc<str>, Until>,
}

/// What doubts follow from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    /// Endpoints on nodes, of all services.
    pub(super) all: OnNodes,
    /// Nodes that are not ready, sorted.
    pub(super) unready: &'a [Arc<str>],
    /// How old what is known of the own cluster is, in milliseconds: for how long some watch has been broken. `None`: nothing
    /// was heard yet.
    pub(super) age_ms: Option<u64>,
}

/// True when the own cluster is as old as in an outage of its API server.
fn is_outage(age_ms: Option<u64>) -> bool {
    age_ms.is_some_and(|age| OUTAGE_MS.contains(&age))
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
    /// Takes what is known now.
    pub(super) fn update(&mut self, seen: Seen<'_>, now_ms: u64) -> Concerned {
        let (everywhere, outage) = (self.everywhere.is_some(), self.outage.is_some());
        self.everywhere = next(self.everywhere, seen.all.in_doubt(), LINGER_EVERYWHERE_MS, now_ms);
        self.outage = next(self.outage, is_outage(seen.age_ms), LINGER_MS, now_ms);
        let nodes = self.update_nodes(seen.unready, now_ms);
        match (everywhere, self.everywhere.is_some()) {
            (false, true) => {
                tracing::warn!("no endpoint on any node of this cluster is ready: answers decide until one is");
            }
            (true, false) => tracing::info!("some endpoint on a node is ready: what is not ready is not used for that"),
            _ => {}
        }
        match (outage, self.outage.is_some()) {
            (false, true) => {
                tracing::warn!("a watch is broken: pods that are marked from now on stay in use while they answer")
            }
            (true, false) => tracing::info!("all watches have stood for long: pods that are marked are believed"),
            _ => {}
        }
        // The beginning of an outage changes nothing: what it marks is still to come.
        let everywhere = everywhere != self.everywhere.is_some() || outage && self.outage.is_none();
        Concerned { everywhere, nodes }
    }

    /// The nodes whose doubt began or ended.
    fn update_nodes(&mut self, unready: &[Arc<str>], now_ms: u64) -> Vec<Arc<str>> {
        let mut changed = Vec::new();
        for node in unready {
            if self.nodes.insert(node.clone(), Until::Further).is_none() {
                tracing::warn!(%node, "node is not ready: its pods stay in use for as long as they answer");
                changed.push(node.clone());
            }
        }
        self.nodes.retain(|node, until| {
            let Some(longer) = next(Some(*until), unready.binary_search(node).is_ok(), LINGER_MS, now_ms) else {
                tracing::info!(%node, "node has not been marked for long: its pods that are not ready are believed");
                changed.push(node.clone());
                return false;
            };
            *until = longer;
            true
        });
        changed
    }

    /// True when time alone begins or ends a doubt by now.
    pub(super) fn due(&self, age_ms: Option<u64>, now_ms: u64) -> bool {
        let over = |until: &Until| matches!(until, Until::Ms(end) if *end <= now_ms);
        is_outage(age_ms) != (self.outage == Some(Until::Further))
            || self.everywhere.iter().chain(&self.outage).chain(self.nodes.values()).any(over)
    }

    /// True when a pod that is said not to be ready stays in use; `leaving`: pods of its service are.
    pub(super) fn keep(&self, node: &str, leaving: bool, slot: &Slot, now_ms: u64) -> bool {
        let by_cluster = || self.everywhere.is_some() && !leaving && slot.in_good_standing();
        let readiness = slot.readiness();
        // A node's mark may come after those of its pods. An outage comes before all that it does.
        let just_before_ms = match self.nodes.contains_key(node) {
            true => Some(JUST_BEFORE_MS),
            false => self.outage.map(|_| 0),
        };
        let just_lost = |ms| readiness.lately(ms, now_ms) && slot.fresh_success(ANSWERED_MS, now_ms);
        let by_node = || just_before_ms.is_some_and(|ms| readiness.kept() || just_lost(ms));
        !node.is_empty() && readiness.was_ready() && (by_cluster() || by_node())
    }
}

/// A doubt one moment later, which outlives its `cause` by so long; `None`: there is none.
const fn next(before: Option<Until>, cause: bool, linger_ms: u64, now_ms: u64) -> Option<Until> {
    match before {
        _ if cause => Some(Until::Further),
        Some(Until::Further) => Some(Until::Ms(now_ms + linger_ms)),
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

    fn update(doubts: &mut Doubts, all: OnNodes, unready: &[Arc<str>], now_ms: u64) -> Concerned {
        doubts.update(Seen { all, unready, age_ms: Some(0) }, now_ms)
    }

    #[test]
    fn doubt_needs_all_of_several() {
        for (ready, not_ready, doubt) in [(0, 2, true), (0, 1, false), (1, 5, false), (0, 0, false)] {
            assert_eq!(OnNodes { ready, not_ready }.in_doubt(), doubt, "{ready} {not_ready}");
        }
    }

    #[test]
    fn a_doubt_outlives_its_cause_and_ends_by_itself() {
        let (mut doubts, n2) = (Doubts::default(), nodes(&["n2"]));
        let concerned = |everywhere, nodes: &[Arc<str>]| Concerned { everywhere, nodes: nodes.to_vec() };
        assert_eq!(update(&mut doubts, SOME, &n2, 0), concerned(false, &n2));
        assert_eq!(update(&mut doubts, NONE, &n2, 10), concerned(true, &[]));
        // The causes end, one comes back, and stays longer.
        assert_eq!(update(&mut doubts, SOME, &[], 20), Concerned::default());
        assert_eq!(update(&mut doubts, SOME, &n2, 30), Concerned::default());
        let end = 20 + LINGER_EVERYWHERE_MS;
        assert!(!doubts.due(Some(0), end - 1) && doubts.due(Some(0), end));
        assert_eq!(update(&mut doubts, SOME, &n2, end), concerned(true, &[]));
        assert!(!doubts.due(Some(0), u64::MAX), "nothing ends a doubt whose cause lasts");
        assert_eq!(update(&mut doubts, SOME, &[], 1_000_000), Concerned::default());
        assert_eq!(update(&mut doubts, SOME, &[], 1_000_000 + LINGER_MS), concerned(false, &n2));
        assert_eq!(update(&mut doubts, SOME, &[], 2_000_000), Concerned::default());
    }

    #[test]
    fn an_outage_begins_and_ends_by_time_alone() {
        let mut doubts = Doubts::default();
        let seen = |age_ms| Seen { all: SOME, unready: &[], age_ms };
        for (age_ms, at, due) in [(None, 0, false), (Some(9_999), 1, false), (Some(10_000), 2, true)] {
            assert_eq!(doubts.due(age_ms, at), due, "{age_ms:?}");
        }
        assert!(doubts.update(seen(Some(10_000)), 2).is_empty(), "nothing is marked yet");
        assert!(!doubts.due(Some(60_000), 50_000) && doubts.due(Some(0), 50_000));
        assert!(doubts.due(Some(600_000), 50_000), "one kind is refused for good");
        assert!(doubts.update(seen(Some(0)), 50_000).is_empty());
        assert!(!doubts.due(Some(0), 49_999 + LINGER_MS) && doubts.due(Some(0), 50_000 + LINGER_MS));
        assert!(doubts.update(seen(Some(0)), 50_000 + LINGER_MS).everywhere);
        assert!(!doubts.due(Some(0), 51_000 + LINGER_MS));
    }
}
