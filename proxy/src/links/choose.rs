//! Which gateways of a cluster are kept connected.

use std::collections::HashSet;
use std::sync::Arc;

use strait_catalog::{ClusterId, Gateway, Snapshot};

/// The chosen gateways of every other cluster: all of them up to `most`, else those that win a rendezvous hash with
/// this daemon's seed among the ready ones, so that daemons spread and one that comes or goes moves few links.
pub(super) fn wanted(snapshot: &Snapshot, most: usize, seed: u64) -> HashSet<(ClusterId, Arc<str>)> {
    let mut wanted = HashSet::new();
    for cluster in snapshot.clusters().filter(|c| !c.local) {
        for address in chosen(&cluster.gateways, most, seed) {
            wanted.insert((cluster.id.clone(), address));
        }
    }
    wanted
}

/// The gateways that routes use: those to which links are kept, without the ones on nodes that are not ready while any is.
pub(crate) fn routed(gateways: &[Gateway], most: usize, seed: u64) -> Vec<Arc<str>> {
    let any_ready = gateways.iter().any(|g| g.ready);
    let usable: Vec<Gateway> = gateways.iter().filter(|g| g.ready || !any_ready).cloned().collect();
    chosen(&usable, most, seed)
}

/// True while the snapshot names that gateway at all.
pub(super) fn named(snapshot: &Snapshot, cluster: &ClusterId, address: &str) -> bool {
    snapshot.cluster(cluster).is_some_and(|c| !c.local && c.gateways.iter().any(|g| g.address == address))
}

fn chosen(gateways: &[Gateway], most: usize, seed: u64) -> Vec<Arc<str>> {
    let mut ranked: Vec<_> = gateways.iter().map(|g| (!g.ready, rank(&g.address, seed), g.address.as_str())).collect();
    ranked.sort_unstable();
    ranked.dedup_by_key(|(_, _, address)| *address);
    ranked.into_iter().take(most.max(1)).map(|(_, _, address)| address.into()).collect()
}

/// FNV-1a over seed and address, mixed at the end (as in rendezvous hashing, highest random weight).
fn rank(address: &str, seed: u64) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ seed;
    for byte in address.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway(address: &str, ready: bool) -> Gateway {
        Gateway { node: String::new(), address: address.into(), zone: String::new(), ready }
    }

    #[test]
    fn few_are_all_taken_and_many_are_spread_by_seed() {
        let few = [gateway("10.0.0.1:1", true), gateway("10.0.0.2:1", false)];
        assert_eq!(chosen(&few, 4, 1).len(), 2);
        assert_eq!(&*chosen(&few, 1, 1)[0], "10.0.0.1:1", "ready ones first");
        let many: Vec<_> = (0..50).map(|n| gateway(&format!("10.0.0.{n}:1"), true)).collect();
        let a = chosen(&many, 4, 1);
        assert_eq!(a, chosen(&many, 4, 1));
        assert_ne!(a, chosen(&many, 4, 2));
        let fewer: Vec<_> = many.iter().filter(|g| *g.address != *a[0]).cloned().collect();
        assert_eq!(chosen(&fewer, 4, 1)[..3], a[1..]);
    }
}
