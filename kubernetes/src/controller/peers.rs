//! What ClusterPeers say of themselves: whether this cluster's agents hear them, and how old their knowledge is.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use strait_catalog::{ClusterId, Snapshot};

use super::conditions::{Stated, same, written};
use super::plan::Now;
use crate::api::{ClusterPeer, ClusterPeerStatus};

/// Up to this age a peer counts as connected: its heads come every second, over at most three hops.
const CONNECTED_MS: u64 = 10_000;
/// How much the age on a ClusterPeer may be behind before it is written again.
const AGE_STEP_S: i64 = 30;
/// Condition type: the peer is heard.
const CONNECTED: &str = "Connected";

/// What is known of one peer beyond the snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerFacts {
    /// How many of this cluster's agents have a session to it; `None` when they could not be asked.
    pub agents: Option<u32>,
    /// Why an agent's last dial or session to it failed.
    pub last_error: Option<String>,
}

/// The statuses that have news. `clock_ms` is the time on the clock of the snapshot's [`strait_catalog::Freshness`].
#[must_use]
pub(super) fn statuses(
    peers: &BTreeMap<String, ClusterPeer>,
    snapshot: &Snapshot,
    facts: &BTreeMap<ClusterId, PeerFacts>,
    certified: bool,
    clock_ms: u64,
    now: Now,
) -> Vec<(String, ClusterPeerStatus)> {
    peers
        .iter()
        .filter_map(|(name, peer)| {
            let id = ClusterId::parse(&peer.spec.cluster_id).ok()?;
            let age_ms = snapshot.cluster(&id).and_then(|c| c.freshness.age_ms(clock_ms));
            let held = peer.status.clone().unwrap_or_default();
            let known = facts.get(&id).cloned().unwrap_or_default();
            let next = status(&held, peer.metadata.generation, id == snapshot.local, age_ms, &known, certified, now);
            news(&held, &next).then(|| (name.clone(), next))
        })
        .collect()
}

fn status(
    held: &ClusterPeerStatus,
    generation: Option<i64>,
    own: bool,
    age_ms: Option<u64>,
    facts: &PeerFacts,
    certified: bool,
    now: Now,
) -> ClusterPeerStatus {
    let connected = !own && age_ms.is_some_and(|age| age <= CONNECTED_MS);
    let because = |text: &str| {
        facts.last_error.as_ref().map_or_else(|| text.to_owned(), |e| format!("{text}; an agent says: {e}"))
    };
    let stated = match age_ms {
        _ if own => Stated::no(CONNECTED, "OwnCluster", "this is the cluster itself; delete this ClusterPeer"),
        _ if connected => Stated::yes(CONNECTED, "Heard", ""),
        _ if !certified => Stated::no(CONNECTED, "NoCertificate", "this cluster has no certificate yet"),
        None => Stated::no(CONNECTED, "NeverHeard", because("no agent has heard of it yet")),
        Some(_) => Stated::no(CONNECTED, "Silent", because("it was heard before and is silent now")),
    };
    ClusterPeerStatus {
        connected,
        agents: facts.agents.and_then(|n| i32::try_from(n).ok()).unwrap_or_else(|| i32::from(connected)),
        age_seconds: age_ms.and_then(|ms| i64::try_from(ms / 1000).ok()),
        conditions: written(&held.conditions, &[stated], generation, now.unix_s),
    }
}

/// Ages change every second; they are written when something else is, or when they are well behind.
fn news(held: &ClusterPeerStatus, next: &ClusterPeerStatus) -> bool {
    let conditions = |s: &ClusterPeerStatus| -> Vec<Condition> { s.conditions.clone() };
    let aged = match (held.age_seconds, next.age_seconds) {
        (Some(a), Some(b)) => (a - b).abs() >= AGE_STEP_S,
        (a, b) => a != b,
    };
    held.connected != next.connected
        || held.agents != next.agents
        || aged
        || !same(&conditions(held), &conditions(next))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use strait_catalog::{Catalog, Peer};

    use super::*;
    use crate::api::ClusterPeerSpec;

    fn id(name: &str) -> ClusterId {
        ClusterId::parse(name).unwrap()
    }

    fn peers() -> BTreeMap<String, ClusterPeer> {
        let spec = ClusterPeerSpec { cluster_id: "us-east".into(), ..ClusterPeerSpec::default() };
        [("us-east".to_owned(), ClusterPeer::new("us-east", spec))].into()
    }

    fn snapshot(heard_at_ms: Option<u64>) -> Arc<Snapshot> {
        let mut catalog = Catalog::new(id("us-west"));
        catalog.set_peers(vec![Peer {
            cluster: id("us-east"),
            gateways: Vec::new(),
            ca_bundle: String::new(),
            pod_cidrs: Vec::new(),
            namespaces: Vec::new(),
        }]);
        let freshness = catalog.freshness(&id("us-east"));
        if let Some(at) = heard_at_ms {
            freshness.note(at, 0);
        }
        catalog.publish().unwrap()
    }

    fn one(heard: Option<u64>, clock_ms: u64, certified: bool) -> ClusterPeerStatus {
        let now = Now { unix_s: 1000, ..Now::default() };
        statuses(&peers(), &snapshot(heard), &BTreeMap::new(), certified, clock_ms, now).pop().unwrap().1
    }

    #[test]
    fn connected_means_heard_within_ten_seconds() {
        for (heard, clock, certified, connected, reason) in [
            (Some(1_000), 2_000, true, true, "Heard"),
            (Some(1_000), 12_000, true, false, "Silent"),
            (None, 2_000, true, false, "NeverHeard"),
            (None, 2_000, false, false, "NoCertificate"),
        ] {
            let status = one(heard, clock, certified);
            assert_eq!((status.connected, status.conditions[0].reason.as_str()), (connected, reason));
        }
        assert_eq!(one(Some(1_000), 2_000, true).age_seconds, Some(1));
    }

    #[test]
    fn an_age_alone_is_written_every_half_minute() {
        let mut all = peers();
        let shot = snapshot(Some(1_000));
        let now = Now { unix_s: 1000, ..Now::default() };
        let next =
            |all: &BTreeMap<String, ClusterPeer>, clock| statuses(all, &shot, &BTreeMap::new(), true, clock, now);
        let first = next(&all, 1_000).pop().unwrap().1;
        all.get_mut("us-east").unwrap().status = Some(first);
        assert!(next(&all, 9_000).is_empty());
        assert_eq!(next(&all, 12_000).len(), 1, "no longer connected");
        let silent = next(&all, 12_000).pop().unwrap().1;
        all.get_mut("us-east").unwrap().status = Some(silent);
        assert!(next(&all, 40_000).is_empty());
        assert_eq!(next(&all, 42_000).len(), 1);
    }

    #[test]
    fn a_peer_that_is_the_cluster_itself_says_so() {
        let mut all = peers();
        all.get_mut("us-east").unwrap().spec.cluster_id = "us-west".into();
        let now = Now::default();
        let status = statuses(&all, &snapshot(None), &BTreeMap::new(), true, 0, now).pop().unwrap().1;
        assert_eq!((status.connected, status.conditions[0].reason.as_str()), (false, "OwnCluster"));
    }
}
