//! The incremental snapshot is the one that a fresh catalog would make of the same records.

use super::*;

pub(super) fn peer(name: &str, namespaces: &[&str]) -> Peer {
    Peer {
        cluster: cluster(name),
        gateways: vec![format!("{name}:15443")],
        ca_bundle: String::new(),
        pod_cidrs: Vec::new(),
        namespaces: namespaces.iter().map(|n| (*n).to_owned()).collect(),
    }
}

#[derive(Clone, Debug)]
enum Step {
    Apply(Record, bool),
    Observe(Vec<Record>),
    Relist(u64, u8),
    Import(&'static str, Option<bool>),
    Imports(Vec<&'static str>),
    Peers(Vec<(&'static str, bool)>),
    Collect(u64),
    Synced,
    Publish,
}

fn any_step() -> impl Strategy<Value = Step> {
    let name = || proptest::sample::select(&SERVICES[..]);
    let peer = || (proptest::sample::select(&["x", "y"][..]), any::<bool>());
    prop_oneof![
        8 => (any_record(&["own", "x", "y"]), any::<bool>()).prop_map(|(r, owner)| Step::Apply(r, owner)),
        3 => proptest::collection::vec(any_record(&["own"]), 0..4).prop_map(Step::Observe),
        1 => (0..6_u64, 0..7_u8).prop_map(|(revision, kind)| Step::Relist(revision, kind)),
        2 => (name(), proptest::option::of(any::<bool>())).prop_map(|(s, import)| Step::Import(s, import)),
        1 => proptest::collection::vec(name(), 0..3).prop_map(Step::Imports),
        2 => proptest::collection::vec(peer(), 0..3).prop_map(Step::Peers),
        1 => (0..200_000_000_u64).prop_map(Step::Collect),
        1 => Just(Step::Synced),
        4 => Just(Step::Publish),
    ]
}

fn take(catalog: &mut Catalog, step: Step) {
    match step {
        Step::Apply(record, owner) => {
            let authority = if owner { Authority::Owner } else { Authority::Sibling };
            catalog.apply(record, authority, 0);
        }
        Step::Observe(records) => drop(catalog.observe(records, 0)),
        Step::Relist(revision, kind) => drop(catalog.relist(Kind::KNOWN[usize::from(kind)], revision, Vec::new(), 0)),
        Step::Import(name, import) => {
            catalog.set_import(service(name), import.map(|headless| Import { headless, ..Import::default() }));
        }
        Step::Imports(names) => {
            catalog.set_imports(names.into_iter().map(|n| (service(n), Import::default())).collect());
        }
        Step::Peers(peers) => catalog.set_peers(
            peers.into_iter().map(|(name, limited)| peer(name, if limited { &["a"] } else { &[] })).collect(),
        ),
        Step::Collect(now_ms) => drop(catalog.collect_tombstones(now_ms)),
        Step::Synced => catalog.mark_synced(),
        Step::Publish => drop(catalog.publish()),
    }
}

/// The same records, imports and peers in a catalog that never held anything else.
fn fresh(catalog: &Catalog) -> Catalog {
    let mut fresh = Catalog::new(own());
    fresh.set_peers(catalog.peers().values().cloned().collect());
    for record in contents(catalog) {
        fresh.apply(record, Authority::Sibling, 0);
    }
    fresh.set_imports(catalog.imports.iter().map(|(k, v)| (k.clone(), v.clone())).collect());
    if catalog.is_synced() {
        fresh.mark_synced();
    }
    fresh
}

fn same(a: &Snapshot, b: &Snapshot) -> Result<(), TestCaseError> {
    let services = |s: &Snapshot| -> Vec<_> {
        s.services().map(|(k, v)| (k.clone(), v.import.clone(), v.backends.clone(), v.policy.clone())).collect()
    };
    // A cluster that is no peer is listed as long as the store remembers anything of it, which is nobody's concern.
    let clusters = |s: &Snapshot| -> Vec<_> {
        let counts = |c: &&Arc<crate::ClusterView>| c.local || c.records > 0 || !c.gateways.is_empty();
        s.clusters()
            .filter(counts)
            .map(|c| (c.id.clone(), c.local, c.region.clone(), c.gateways.clone(), c.records))
            .collect()
    };
    prop_assert_eq!(services(a), services(b));
    prop_assert_eq!(clusters(a), clusters(b));
    prop_assert_eq!(a.synced, b.synced);
    for namespace in ["a", "b", "c"] {
        prop_assert_eq!(a.has_namespace(namespace), b.has_namespace(namespace), "{}", namespace);
    }
    Ok(())
}

proptest! {
    #[test]
    fn snapshots_made_step_by_step_equal_one_from_scratch(steps in proptest::collection::vec(any_step(), 1..40)) {
        let mut catalog = Catalog::new(own());
        for step in steps {
            take(&mut catalog, step);
        }
        catalog.publish();
        prop_assert!(catalog.publish().is_none() && !catalog.unpublished(), "nothing changed since");
        let mut fresh = fresh(&catalog);
        fresh.publish();
        same(&catalog.snapshot(), &fresh.snapshot())?;
    }
}
