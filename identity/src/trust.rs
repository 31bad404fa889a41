//! Whom each cluster's name may be vouched by: one set of roots per cluster, swapped as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use strait_catalog::{ClusterId, Peer};
use tokio::sync::watch;

mod roots;

pub(crate) use roots::Roots;
pub use roots::{BundleError, BundleProblem};

use crate::id::{SpiffeId, TrustDomain};

/// A cluster's roots as its `ClusterPeer` (or the source file) gives them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerBundle {
    /// The cluster these roots may vouch for, and no other.
    pub cluster: ClusterId,
    /// Its trust domain; `None` means the same as one's own.
    pub trust_domain: Option<TrustDomain>,
    /// One or more CA certificates, PEM. During a root roll, the old and the new one.
    pub pem: String,
}

impl From<&Peer> for PeerBundle {
    fn from(peer: &Peer) -> Self {
        Self { cluster: peer.cluster.clone(), trust_domain: None, pem: peer.ca_bundle.clone() }
    }
}

/// What [`TrustStore::replace_peers`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustChange {
    /// Clusters whose roots are new or differ from before: connections to them should be checked again.
    pub changed: BTreeSet<ClusterId>,
    /// Clusters that are no longer trusted: connections to them should be closed.
    pub removed: BTreeSet<ClusterId>,
    /// Bundles that were not taken; each such cluster keeps the roots it had, if it had any.
    pub rejected: Vec<BundleError>,
    /// Pairs of clusters with a root in common. It weakens both names against each other, so it is worth a warning;
    /// it is no reason to refuse, or a peer could cut another off by listing its (public) root.
    pub shared: BTreeSet<(ClusterId, ClusterId)>,
}

/// One cluster's roots, for status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootsStatus {
    /// The cluster they vouch for.
    pub cluster: ClusterId,
    /// SHA-256 fingerprints of the root certificates, lower case hex.
    pub fingerprints: Vec<String>,
    /// When the last of them expires; from then on nobody of that cluster is believed.
    pub last_expiry: SystemTime,
}

/// The roots of one cluster and the trust domain its names must stand in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClusterRoots {
    pub(crate) trust_domain: TrustDomain,
    pub(crate) roots: Roots,
}

/// Everything a verification reads: immutable, replaced as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TrustMap(BTreeMap<ClusterId, ClusterRoots>);

impl TrustMap {
    /// The roots that may vouch for that cluster.
    pub(crate) fn get(&self, cluster: &ClusterId) -> Option<&ClusterRoots> {
        self.0.get(cluster)
    }

    #[cfg(test)]
    pub(crate) fn of(entries: impl IntoIterator<Item = (ClusterId, ClusterRoots)>) -> Self {
        Self(entries.into_iter().collect())
    }
}

/// The roots of one's own cluster and of its peers. Readers take one immutable map; writers are serialised.
#[derive(Debug)]
pub struct TrustStore {
    own: SpiffeId,
    sources: Mutex<Sources>,
    effective: ArcSwap<TrustMap>,
    changes: Arc<watch::Sender<u64>>,
}

/// Where roots come from. They are kept apart so that replacing one source leaves the other alone.
#[derive(Clone, Debug, Default)]
struct Sources {
    /// From one's own `ca.crt`.
    own: Option<Roots>,
    /// From ClusterPeers; may name one's own cluster too.
    peers: BTreeMap<ClusterId, ClusterRoots>,
}

impl TrustStore {
    /// Trusts nobody yet. `changes` is raised by one whenever the roots change.
    pub(crate) fn new(own: SpiffeId, changes: Arc<watch::Sender<u64>>) -> Self {
        Self { own, sources: Mutex::default(), effective: ArcSwap::default(), changes }
    }

    /// Replaces the roots of all peers at once: clusters not listed are no longer trusted. A bundle that cannot be
    /// read leaves that cluster's earlier roots in place and is reported; the others are taken all the same.
    pub fn replace_peers(&self, bundles: impl IntoIterator<Item = PeerBundle>) -> TrustChange {
        self.edit(|own, sources| {
            let (peers, rejected) = next_peers(own, &sources.peers, bundles);
            sources.peers = peers;
            rejected
        })
    }

    /// Sets the roots of one's own cluster, as found in `ca.crt`.
    pub(crate) fn set_own(&self, roots: Option<Roots>) -> TrustChange {
        self.edit(|_, sources| {
            sources.own = roots;
            Vec::new()
        })
    }

    fn edit(&self, change: impl FnOnce(&SpiffeId, &mut Sources) -> Vec<BundleError>) -> TrustChange {
        // A writer that panicked left the sources whole (each field is assigned once), so the lock stays usable.
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let rejected = change(&self.own, &mut sources);
        let new = effective(&self.own, &sources);
        let old = self.effective.load_full();
        let outcome = compare(&old, &new, rejected);
        if *old != new {
            self.effective.store(Arc::new(new));
            self.changes.send_modify(|generation| *generation += 1);
        }
        outcome
    }

    /// The map as it stands now.
    pub(crate) fn load(&self) -> Arc<TrustMap> {
        self.effective.load_full()
    }

    /// True when some root may vouch for that cluster.
    #[must_use]
    pub fn knows(&self, cluster: &ClusterId) -> bool {
        self.effective.load().get(cluster).is_some()
    }

    /// All roots, by cluster, for status and metrics.
    #[must_use]
    pub fn status(&self) -> Vec<RootsStatus> {
        let map = self.effective.load();
        let one = |(cluster, entry): (&ClusterId, &ClusterRoots)| RootsStatus {
            cluster: cluster.clone(),
            fingerprints: entry.roots.iter().map(|root| root.fingerprint.clone()).collect(),
            last_expiry: entry.roots.last_expiry(),
        };
        map.0.iter().map(one).collect()
    }
}

/// The peers' roots after a replacement, and what was not taken.
fn next_peers(
    own: &SpiffeId,
    old: &BTreeMap<ClusterId, ClusterRoots>,
    bundles: impl IntoIterator<Item = PeerBundle>,
) -> (BTreeMap<ClusterId, ClusterRoots>, Vec<BundleError>) {
    let mut by_cluster: BTreeMap<ClusterId, Vec<PeerBundle>> = BTreeMap::new();
    for bundle in bundles {
        by_cluster.entry(bundle.cluster.clone()).or_default().push(bundle);
    }
    let (mut next, mut rejected) = (BTreeMap::new(), Vec::new());
    for (cluster, mut given) in by_cluster {
        let read = match (given.pop(), given.len()) {
            (Some(only), 0) => Roots::from_pem(only.pem.as_bytes()).map(|roots| ClusterRoots {
                trust_domain: only.trust_domain.unwrap_or_else(|| own.trust_domain.clone()),
                roots,
            }),
            // Two objects with one id: taking either would let the order of a list decide whom to trust.
            (_, more) => Err(BundleProblem::Duplicate { count: more + 1 }),
        };
        let kept = old.get(&cluster).cloned();
        match read {
            Ok(entry) => {
                next.insert(cluster, entry);
            }
            Err(problem) => {
                rejected.push(BundleError { cluster: cluster.clone(), problem, kept_old: kept.is_some() });
                next.extend(kept.map(|entry| (cluster, entry)));
            }
        }
    }
    (next, rejected)
}

/// Both sources as one map. One's own cluster is vouched for by either, so that a root roll may start in either.
fn effective(own: &SpiffeId, sources: &Sources) -> TrustMap {
    let mut map = sources.peers.clone();
    if let Some(roots) = &sources.own {
        let listed = map.remove(&own.cluster).map(|entry| entry.roots);
        let roots = listed.map_or_else(|| roots.clone(), |listed| roots.union(&listed));
        map.insert(own.cluster.clone(), ClusterRoots { trust_domain: own.trust_domain.clone(), roots });
    }
    TrustMap(map)
}

fn compare(old: &TrustMap, new: &TrustMap, rejected: Vec<BundleError>) -> TrustChange {
    let changed = new.0.iter().filter(|(cluster, entry)| old.get(cluster) != Some(*entry));
    let removed = old.0.keys().filter(|cluster| new.get(cluster).is_none());
    TrustChange {
        changed: changed.map(|(cluster, _)| cluster.clone()).collect(),
        removed: removed.cloned().collect(),
        rejected,
        shared: shared_roots(new),
    }
}

fn shared_roots(map: &TrustMap) -> BTreeSet<(ClusterId, ClusterId)> {
    let mut holders: BTreeMap<&[u8], Vec<&ClusterId>> = BTreeMap::new();
    for (cluster, entry) in &map.0 {
        for root in entry.roots.iter() {
            let key: &[u8] = root.anchor.subject_public_key_info.as_ref();
            let holders = holders.entry(key).or_default();
            if holders.last() != Some(&cluster) {
                holders.push(cluster);
            }
        }
    }
    holders.values().flat_map(|with| with.windows(2).map(|pair| (pair[0].clone(), pair[1].clone()))).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::testing::{Forge, cluster, spiffe};

    fn store() -> TrustStore {
        TrustStore::new(spiffe("us-west"), Arc::new(watch::Sender::new(0)))
    }

    fn bundle(of: &str, pem: &str) -> PeerBundle {
        PeerBundle { cluster: cluster(of), trust_domain: None, pem: pem.to_owned() }
    }

    #[test]
    fn a_bad_bundle_keeps_that_clusters_roots_and_takes_the_rest() {
        let (east, eu, eu2) = (Forge::new("us-east"), Forge::new("eu-west"), Forge::new("eu-west"));
        let store = store();
        let first = store.replace_peers([bundle("us-east", &east.pem()), bundle("eu-west", &eu.pem())]);
        assert_eq!(first.changed, BTreeSet::from([cluster("eu-west"), cluster("us-east")]));
        let before = store.load();

        let change = store.replace_peers([bundle("us-east", "-----BEGIN CERT"), bundle("eu-west", &eu2.pem())]);
        assert_eq!(change.changed, BTreeSet::from([cluster("eu-west")]));
        assert!(change.removed.is_empty());
        let [rejected] = &change.rejected[..] else { panic!("{change:?}") };
        assert_eq!((&rejected.cluster, rejected.kept_old), (&cluster("us-east"), true));
        assert!(rejected.to_string().contains("us-east"), "{rejected}");
        assert_eq!(store.load().get(&cluster("us-east")), before.get(&cluster("us-east")));
        assert_ne!(store.load().get(&cluster("eu-west")), before.get(&cluster("eu-west")));
    }

    #[test]
    fn a_bad_bundle_of_a_new_cluster_trusts_nobody() {
        let store = store();
        let change = store.replace_peers([bundle("us-east", "")]);
        assert!(!change.rejected[0].kept_old);
        assert!(!store.knows(&cluster("us-east")));
    }

    #[test]
    fn what_is_not_listed_is_not_trusted() {
        let store = store();
        store.replace_peers([bundle("us-east", &Forge::new("us-east").pem())]);
        let change = store.replace_peers([]);
        assert_eq!(change.removed, BTreeSet::from([cluster("us-east")]));
        assert!(!store.knows(&cluster("us-east")));
    }

    #[test]
    fn two_objects_with_one_id_are_both_refused() {
        let (a, b) = (Forge::new("us-east"), Forge::new("us-east"));
        let store = store();
        let change = store.replace_peers([bundle("us-east", &a.pem()), bundle("us-east", &b.pem())]);
        assert_eq!(change.rejected[0].problem, BundleProblem::Duplicate { count: 2 });
        assert!(!store.knows(&cluster("us-east")));
    }

    #[test]
    fn shared_roots_are_reported() {
        let shared = Forge::new("any");
        let change = store().replace_peers([bundle("eu-west", &shared.pem()), bundle("us-east", &shared.pem())]);
        assert_eq!(change.shared, BTreeSet::from([(cluster("eu-west"), cluster("us-east"))]));
    }

    #[test]
    fn own_roots_come_from_both_sources() {
        let (file, peer) = (Forge::new("us-west"), Forge::new("us-west"));
        let store = store();
        store.set_own(Some(Roots::from_pem(file.pem().as_bytes()).unwrap()));
        store.replace_peers([bundle("us-west", &peer.pem())]);
        assert_eq!(store.load().get(&cluster("us-west")).unwrap().roots.iter().count(), 2);
        store.replace_peers([]);
        assert_eq!(store.load().get(&cluster("us-west")).unwrap().roots.iter().count(), 1);
        assert_eq!(store.set_own(None).removed, BTreeSet::from([cluster("us-west")]));
    }

    #[test]
    fn the_generation_rises_with_every_real_change_only() {
        let changes = Arc::new(watch::Sender::new(0));
        let store = TrustStore::new(spiffe("us-west"), Arc::clone(&changes));
        let east = bundle("us-east", &Forge::new("us-east").pem());
        for expected in [1, 1, 1] {
            store.replace_peers([east.clone()]);
            assert_eq!(*changes.borrow(), expected);
        }
        store.replace_peers([]);
        assert_eq!(*changes.borrow(), 2);
    }
}
