//! Who talks to whom: pure functions of the list of daemons and clusters.
//!
//! For each other cluster the two daemons that win a rendezvous hash dial it, and inside a cluster every daemon
//! keeps a session to the two winners of the own cluster's id. So a change takes three hops at most: to a daemon
//! that dialled (or was dialled by) the cluster, to a winner of its own cluster, to everyone else.

use std::collections::BTreeSet;

use strait_catalog::ClusterId;

use crate::config::{DaemonId, Member};

/// How many daemons dial each other cluster, and how many are the own cluster's meeting points.
pub const WINNERS: usize = 2;

/// What one daemon should keep dialled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Other clusters.
    pub remotes: BTreeSet<ClusterId>,
    /// Daemons of the own cluster.
    pub siblings: Vec<Member>,
}

/// The weight of a daemon for a subject: highest random weight hashing (Thaler and Ravishankar, 1996) over FNV-1a
/// with a final avalanche, so that losing one daemon moves only what that daemon had.
fn weight(subject: &str, daemon: &DaemonId) -> u64 {
    let bytes = subject.bytes().chain([0xff]).chain(daemon.as_str().bytes());
    let mut x = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3));
    x = (x ^ (x >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    x = (x ^ (x >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

/// The winners for a subject, best first; fewer than [`WINNERS`] when there are fewer daemons.
#[must_use]
pub fn winners<'a>(subject: &str, daemons: impl IntoIterator<Item = &'a DaemonId>) -> Vec<&'a DaemonId> {
    let mut ranked: Vec<_> = daemons.into_iter().map(|d| (weight(subject, d), d)).collect();
    ranked.sort_unstable_by(|a, b| b.cmp(a));
    ranked.dedup_by(|a, b| a.1 == b.1);
    ranked.into_iter().take(WINNERS).map(|(_, d)| d).collect()
}

/// The daemons that may win: the ready ones; all when none is ready, so that a fleet that starts together is not
/// everybody's winner; this one when nobody is known. A leaf never wins and is never among the members.
fn candidates<'a>(me: &'a DaemonId, leaf: bool, members: &'a [Member]) -> Vec<&'a DaemonId> {
    let ready: Vec<_> = members.iter().filter(|m| m.ready).map(|m| &m.id).collect();
    if !ready.is_empty() {
        return ready;
    }
    let all: Vec<_> = members.iter().map(|m| &m.id).collect();
    if all.is_empty() && !leaf { vec![me] } else { all }
}

/// What this daemon should keep dialled.
#[must_use]
pub fn plan<'a>(
    me: &DaemonId,
    leaf: bool,
    own: &ClusterId,
    peers: impl IntoIterator<Item = &'a ClusterId>,
    members: &[Member],
) -> Plan {
    let candidates = candidates(me, leaf, members);
    let wins = |cluster: &&ClusterId| !leaf && winners(cluster.as_str(), candidates.iter().copied()).contains(&me);
    let remotes = peers.into_iter().filter(|c| *c != own).filter(wins).cloned().collect();
    let meeting = winners(own.as_str(), candidates.iter().copied());
    // Of two meeting points only the one with the smaller id dials, else each pair would hold two sessions.
    let dials = |id: &&DaemonId| *id != me && !(meeting.contains(&me) && *id < me);
    let ids: BTreeSet<_> = meeting.iter().filter(|id| dials(id)).map(|id| (*id).clone()).collect();
    let mut siblings: Vec<Member> = members.iter().filter(|m| ids.contains(&m.id)).cloned().collect();
    siblings.sort_by(|a, b| a.id.cmp(&b.id));
    siblings.dedup_by(|a, b| a.id == b.id);
    Plan { remotes, siblings }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn members(n: usize) -> Vec<Member> {
        (0..n)
            .map(|i| Member {
                id: DaemonId::new(&format!("strait-agent-{i}")),
                address: ([127, 0, 0, 1], 15443).into(),
                ready: true,
            })
            .collect()
    }

    fn cluster(name: &str) -> ClusterId {
        ClusterId::parse(name).unwrap()
    }

    #[test]
    fn exactly_two_dial_each_cluster_and_the_load_is_spread() {
        let members = members(10);
        let peers: Vec<_> = (0..50).map(|i| cluster(&format!("c-{i}"))).collect();
        let own = cluster("own");
        let mut load = BTreeMap::new();
        let mut dialled: BTreeMap<ClusterId, usize> = BTreeMap::new();
        for m in &members {
            let plan = plan(&m.id, false, &own, &peers, &members);
            load.insert(m.id.clone(), plan.remotes.len());
            for c in plan.remotes {
                *dialled.entry(c).or_default() += 1;
            }
        }
        assert!(dialled.len() == 50 && dialled.values().all(|n| *n == 2), "{dialled:?}");
        assert!(load.values().all(|n| (2..=22).contains(n)), "{load:?}");
    }

    #[test]
    fn every_daemon_reaches_a_meeting_point_and_the_two_hold_one_session() {
        let members = members(6);
        let own = cluster("own");
        let points: BTreeSet<_> = winners("own", members.iter().map(|m| &m.id)).into_iter().cloned().collect();
        let mut between = 0;
        for m in &members {
            let plan = plan(&m.id, false, &own, [], &members);
            if points.contains(&m.id) {
                between += plan.siblings.len();
            } else {
                assert_eq!(plan.siblings.iter().map(|s| s.id.clone()).collect::<BTreeSet<_>>(), points);
            }
        }
        assert_eq!(between, 1);
    }

    #[test]
    fn losing_a_daemon_moves_only_what_it_had() {
        let all = members(8);
        let fewer = &all[1..];
        for i in 0..40 {
            let subject = format!("c-{i}");
            let before = winners(&subject, all.iter().map(|m| &m.id));
            let after = winners(&subject, fewer.iter().map(|m| &m.id));
            for kept in before.iter().filter(|d| **d != &all[0].id) {
                assert!(after.contains(kept), "{subject}");
            }
        }
    }

    #[test]
    fn leaves_dial_their_own_cluster_alone_and_alone_means_me() {
        let members = members(3);
        let (own, peer) = (cluster("own"), cluster("peer"));
        let controller = DaemonId::new("strait-controller");
        let leaf = plan(&controller, true, &own, [&peer], &members);
        assert!(leaf.remotes.is_empty());
        assert_eq!(leaf.siblings.len(), 2);
        let alone = plan(&DaemonId::new("one"), false, &own, [&peer, &own], &[]);
        assert_eq!(alone, Plan { remotes: BTreeSet::from([peer]), siblings: Vec::new() });
        assert_eq!(plan(&controller, true, &own, [], &[]), Plan::default());
    }

    #[test]
    fn only_ready_daemons_win_unless_none_is() {
        let mut members = members(4);
        let own = cluster("own");
        members[0].ready = false;
        for i in 0..30 {
            let peer = cluster(&format!("c-{i}"));
            assert!(plan(&members[0].id, false, &own, [&peer], &members).remotes.is_empty());
        }
        members.iter_mut().for_each(|m| m.ready = false);
        let peers: Vec<_> = (0..30).map(|i| cluster(&format!("c-{i}"))).collect();
        let total: usize = members.iter().map(|m| plan(&m.id, false, &own, &peers, &members).remotes.len()).sum();
        assert_eq!(total, 60);
    }
}
