//! From records to the next snapshot, service by service.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Catalog;
use super::shelf::Shelf;
use crate::backend::{Backend, Parts, join};
use crate::freshness::Freshness;
use crate::name::{ClusterId, ServiceKey};
use crate::policy::Policy;
use crate::record::Kind;
use crate::rules::Networks;
use crate::snapshot::{ClusterView, Gateway, ServiceView, Snapshot};
use crate::value::{ClusterRecord, Value};

pub(super) fn next(catalog: &Catalog) -> Snapshot {
    let mut snapshot = (*catalog.snapshot).clone();
    snapshot.number += 1;
    snapshot.synced = catalog.synced;
    for key in &catalog.dirty {
        replace(&mut snapshot, catalog, key);
    }
    if catalog.dirty_clusters || !catalog.dirty.is_empty() {
        snapshot.clusters = clusters(catalog);
    }
    snapshot
}

fn replace(snapshot: &mut Snapshot, catalog: &Catalog, key: &ServiceKey) {
    let had_import = snapshot.services.get(key).is_some_and(|v| v.import.is_some());
    let view = service_view(catalog, key);
    let has_import = view.as_ref().is_some_and(|v| v.import.is_some());
    match view {
        Some(view) => snapshot.services.insert(key.clone(), Arc::new(view)),
        None => snapshot.services.remove(key),
    };
    if had_import != has_import {
        let namespace: Arc<str> = key.namespace().into();
        let count = snapshot.namespaces.get(&namespace).copied().unwrap_or(0);
        let count = if has_import { count + 1 } else { count.saturating_sub(1) };
        if count == 0 {
            snapshot.namespaces.remove(&namespace);
        } else {
            snapshot.namespaces.insert(namespace, count);
        }
    }
}

fn service_view(catalog: &Catalog, key: &ServiceKey) -> Option<ServiceView> {
    let import = catalog.imports.get(key).cloned();
    let backends: BTreeMap<ClusterId, Backend> = catalog
        .shelves
        .iter()
        .filter(|(cluster, _)| accepted(catalog, cluster, key))
        .filter_map(|(cluster, shelf)| Some((cluster.clone(), backend(catalog, cluster, shelf, key)?)))
        .collect();
    let known = import.is_some() || !backends.is_empty();
    known.then(|| ServiceView { import, backends, policy: policy(catalog, key) })
}

/// The own cluster's policies only: nobody else's say counts here.
fn policy(catalog: &Catalog, key: &ServiceKey) -> Option<Policy> {
    Policy::in_force(catalog.shelves.get(&catalog.local)?.policies(&key.to_string()))
}

/// A peer may be limited to some namespaces.
fn accepted(catalog: &Catalog, cluster: &ClusterId, key: &ServiceKey) -> bool {
    let Some(peer) = catalog.peers.get(cluster) else { return *cluster == catalog.local };
    peer.namespaces.is_empty() || peer.namespaces.iter().any(|n| n == key.namespace())
}

fn backend(catalog: &Catalog, cluster: &ClusterId, shelf: &Shelf, key: &ServiceKey) -> Option<Backend> {
    let name = key.to_string();
    let mut parts = Parts::default();
    if let Some(Value::Service(service)) = shelf.live_at(Kind::SERVICE, &name).and_then(|r| r.value()) {
        parts.service = Some(service);
    }
    if let Some(Value::Export(export)) = shelf.live_at(Kind::EXPORT, &name).and_then(|r| r.value()) {
        parts.export = Some(export);
    }
    parts.slices = shelf
        .slices(&name)
        .filter_map(|r| if let Some(Value::Slice(slice)) = r.value() { Some(slice) } else { None })
        .collect();
    join(&parts, &networks(catalog, cluster, shelf), cluster)
}

/// What the ClusterPeer declares counts over what the cluster says of itself.
fn networks(catalog: &Catalog, cluster: &ClusterId, shelf: &Shelf) -> Networks {
    let declared = catalog.peers.get(cluster).map(|p| p.pod_cidrs.as_slice()).unwrap_or_default();
    let own = cluster_record(shelf).map(|c| c.pod_cidrs.as_slice()).unwrap_or_default();
    Networks::of(if declared.is_empty() { own } else { declared })
}

fn cluster_record(shelf: &Shelf) -> Option<&ClusterRecord> {
    match shelf.live_at(Kind::CLUSTER, "")?.value()? {
        Value::Cluster(record) => Some(record),
        _ => None,
    }
}

fn clusters(catalog: &Catalog) -> imbl::OrdMap<ClusterId, Arc<ClusterView>> {
    let known = catalog.shelves.keys().chain(catalog.peers.keys()).chain([&catalog.local]);
    known.map(|id| (id.clone(), Arc::new(cluster_view(catalog, id)))).collect()
}

fn cluster_view(catalog: &Catalog, id: &ClusterId) -> ClusterView {
    let shelf = catalog.shelves.get(id);
    let live: Vec<Gateway> = shelf.map(gateways).unwrap_or_default();
    let gateways = if live.is_empty() { bootstrap(catalog, id) } else { live };
    ClusterView {
        id: id.clone(),
        local: *id == catalog.local,
        region: shelf.and_then(cluster_record).map(|c| c.region.clone()).unwrap_or_default(),
        gateways,
        unready_nodes: shelf.map(unready_nodes).unwrap_or_default(),
        freshness: catalog.freshness.get(id).cloned().unwrap_or_else(|| Arc::new(Freshness::default())),
        records: shelf.map(Shelf::live_count).unwrap_or_default(),
        highest: shelf.map(Shelf::highest).unwrap_or_default(),
    }
}

fn gateways(shelf: &Shelf) -> Vec<Gateway> {
    let gateway = |record: &crate::record::Record| match record.value() {
        Some(Value::Gateway(g)) if !g.address.is_empty() => Some(Gateway {
            node: record.key().name.to_string(),
            address: g.address.clone(),
            zone: g.zone.clone(),
            ready: g.ready,
        }),
        _ => None,
    };
    shelf.live_of(Kind::GATEWAY).filter_map(gateway).collect()
}

fn unready_nodes(shelf: &Shelf) -> Vec<Arc<str>> {
    let unready = |record: &crate::record::Record| match record.value() {
        Some(Value::Gateway(g)) if !g.ready => Some(record.key().name.clone()),
        _ => None,
    };
    let mut names: Vec<Arc<str>> = shelf.live_of(Kind::GATEWAY).filter_map(unready).collect();
    names.sort_unstable();
    names
}

fn bootstrap(catalog: &Catalog, id: &ClusterId) -> Vec<Gateway> {
    let addresses = catalog.peers.get(id).map(|p| p.gateways.as_slice()).unwrap_or_default();
    addresses
        .iter()
        .map(|address| Gateway { node: String::new(), address: address.clone(), zone: String::new(), ready: true })
        .collect()
}
