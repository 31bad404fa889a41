//! From snapshots to routes: only what changed is built again.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use strait_catalog::{
    Backend, ClusterId, ClusterView, Condition, Endpoint, Freshness, Gateway, Protocol, ServiceKey, ServiceView,
    Snapshot,
};

use super::class::Class;
use super::lease::{Doubts, OnNodes, Seen};
use super::place::Place;
use super::service::{ClusterRoute, ServiceRoute};
use super::shares::MAX_CLUSTERS;
use super::table::{RouteKey, RouteTable};
use super::targets::{Address, Candidate, Targets};
use crate::health::{Registry, Slot, Target};
use crate::policy::ServicePolicy;

/// What one snapshot changed.
#[derive(Debug, Default)]
pub struct Changes {
    /// Routes that were made, in no order.
    pub made: Vec<Arc<ServiceRoute>>,
    /// Routes that are no more.
    pub gone: Vec<RouteKey>,
}

impl Changes {
    /// True when the table is as it was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.made.is_empty() && self.gone.is_empty()
    }
}

/// A service as it was last built.
#[derive(Debug)]
struct Known {
    view: Arc<ServiceView>,
    ports: Vec<u16>,
    on_nodes: OnNodes,
}

/// Another cluster's gateways as they were last built.
#[derive(Debug)]
struct Gateways {
    listed: Vec<Gateway>,
    freshness: Arc<Freshness>,
    targets: Arc<Targets>,
}

/// Which of a cluster's gateways are used, by address.
pub type ChooseGateways = Box<dyn Fn(&[Gateway]) -> Vec<Arc<str>> + Send>;

/// The one writer of routes.
pub struct Builder {
    registry: Arc<Registry>,
    choose: ChooseGateways,
    services: HashMap<ServiceKey, Known>,
    gateways: HashMap<ClusterId, Gateways>,
    table: RouteTable,
    doubts: Doubts,
}

impl Builder {
    /// A builder that knows no service.
    #[must_use]
    pub fn new(registry: Arc<Registry>) -> Self {
        Self {
            registry,
            choose: Box::new(ready_or_all),
            services: HashMap::new(),
            gateways: HashMap::new(),
            table: RouteTable::default(),
            doubts: Doubts::default(),
        }
    }

    /// Replaces the choice among a cluster's gateways, before the first snapshot; else all on ready nodes are used, and
    /// all of them when no node is ready.
    pub fn choose_gateways(&mut self, choose: ChooseGateways) {
        self.choose = choose;
    }

    /// The routes as of the last snapshot.
    #[must_use]
    pub const fn table(&self) -> &RouteTable {
        &self.table
    }

    /// True when a snapshot that was applied before has to be applied again, since time has changed what follows.
    #[must_use]
    pub fn due(&self, snapshot: &Snapshot, now_ms: u64) -> bool {
        self.doubts.due(own_age_ms(snapshot, now_ms), now_ms)
    }

    /// Takes a snapshot. Costs a pointer comparison a service, and work for those that changed.
    pub fn apply(&mut self, snapshot: &Snapshot, now_ms: u64) -> Changes {
        let clusters = self.update_gateways(snapshot, now_ms);
        let mut dirty = self.changed_services(snapshot, &clusters);
        dirty.extend(self.newly_doubted(snapshot, &dirty, now_ms));
        let mut changes = Changes::default();
        for key in dirty {
            self.replace(snapshot, &key, now_ms, &mut changes);
        }
        changes
    }

    /// Rebuilds the gateways of clusters where they changed; returns those clusters.
    fn update_gateways(&mut self, snapshot: &Snapshot, now_ms: u64) -> HashSet<ClusterId> {
        let mut changed: HashSet<ClusterId> =
            self.gateways.keys().filter(|id| snapshot.cluster(id).is_none()).cloned().collect();
        self.gateways.retain(|id, _| !changed.contains(id));
        for view in snapshot.clusters().filter(|c| !c.local) {
            let same =
                |known: &Gateways| known.listed == view.gateways && Arc::ptr_eq(&known.freshness, &view.freshness);
            if !self.gateways.get(&view.id).is_some_and(same) {
                changed.insert(view.id.clone());
                let made = self.gateways_of(view, now_ms);
                self.gateways.insert(view.id.clone(), made);
            }
        }
        changed
    }

    fn gateways_of(&self, view: &ClusterView, now_ms: u64) -> Gateways {
        let mut addresses = (self.choose)(&view.gateways);
        addresses.sort_unstable();
        addresses.dedup();
        let number = self.registry.number(&view.id);
        let candidate = |address: Arc<str>| {
            let target = Target::Gateway { cluster: view.id.clone(), address: address.clone() };
            Candidate::new(self.registry.slot(&target, number, now_ms), Address::Gateway(address), Class::Ready)
        };
        Gateways {
            listed: view.gateways.clone(),
            freshness: view.freshness.clone(),
            targets: Arc::new(Targets::new(addresses.into_iter().map(candidate).collect())),
        }
    }

    fn changed_services(&self, snapshot: &Snapshot, clusters: &HashSet<ClusterId>) -> HashSet<ServiceKey> {
        let stale = |key: &ServiceKey, view: &Arc<ServiceView>| match self.services.get(key) {
            Some(known) if Arc::ptr_eq(&known.view, view) => view.backends.keys().any(|id| clusters.contains(id)),
            _ => true,
        };
        let changed = snapshot.services().filter(|(key, view)| stale(key, view)).map(|(key, _)| key.clone());
        let gone = self.services.keys().filter(|key| snapshot.service(key).is_none()).cloned();
        changed.chain(gone).collect()
    }

    /// Counts endpoints on nodes again, and says which services a doubt that came or went concerns.
    fn newly_doubted(&mut self, snapshot: &Snapshot, dirty: &HashSet<ServiceKey>, now_ms: u64) -> Vec<ServiceKey> {
        for key in dirty {
            let Some(view) = snapshot.service(key) else { continue };
            let on_nodes = OnNodes::of(view.backends.get(&snapshot.local));
            match self.services.get_mut(key) {
                Some(known) => known.on_nodes = on_nodes,
                None => {
                    let view = Arc::new(ServiceView::default());
                    self.services.insert(key.clone(), Known { view, ports: Vec::new(), on_nodes });
                }
            }
        }
        let present = self.services.iter().filter(|(key, _)| snapshot.service(key).is_some());
        let all = present.map(|(_, known)| known.on_nodes).sum();
        let unready = snapshot.cluster(&snapshot.local).map_or(&[][..], |own| &own.unready_nodes);
        let concerned = self.doubts.update(Seen { all, unready, age_ms: own_age_ms(snapshot, now_ms) }, now_ms);
        if concerned.is_empty() {
            return Vec::new();
        }
        let concerns = |view: &ServiceView| {
            view.backends.get(&snapshot.local).is_some_and(|own| own.endpoints.iter().any(|e| concerned.has(e)))
        };
        snapshot.services().filter(|(_, view)| concerns(view)).map(|(key, _)| key.clone()).collect()
    }

    fn replace(&mut self, snapshot: &Snapshot, key: &ServiceKey, now_ms: u64, changes: &mut Changes) {
        let before = self.services.remove(key);
        let view = snapshot.service(key);
        // A service that nobody imports or exports is never asked for here.
        let asked = |view: &&Arc<ServiceView>| view.import.is_some() || view.exporters().next().is_some();
        let ports = view.filter(asked).map_or_else(Vec::new, |view| ports(view, &snapshot.local));
        let mut replaced = Vec::new();
        for port in before.iter().flat_map(|b| &b.ports).filter(|p| !ports.contains(p)) {
            let gone = RouteKey { service: key.clone(), port: *port };
            replaced.extend(self.table.routes.remove(&gone));
            changes.gone.push(gone);
        }
        let mut kept = HashSet::new();
        for port in &ports {
            let Some(view) = view else { break };
            let route_key = RouteKey { service: key.clone(), port: *port };
            let old = self.table.routes.get(&route_key).cloned();
            let route = Arc::new(self.route(snapshot, view, route_key.clone(), old.as_deref(), now_ms));
            kept.extend(own_slots(&route).map(|slot| slot.id()));
            if let Some(old) = old {
                note_recounts(&old, &route);
                replaced.push(old);
            }
            self.table.routes.insert(route_key, route.clone());
            changes.made.push(route);
        }
        // Two ports may lead to the same pods: those that another port still has are where they were.
        for slot in replaced.iter().flat_map(own_slots).filter(|slot| !kept.contains(&slot.id())) {
            slot.note_ready(false, false, now_ms);
        }
        let Some(view) = view else { return };
        let on_nodes = OnNodes::of(view.backends.get(&snapshot.local));
        self.services.insert(key.clone(), Known { view: view.clone(), ports, on_nodes });
    }

    fn route(
        &self,
        snapshot: &Snapshot,
        view: &ServiceView,
        key: RouteKey,
        old: Option<&ServiceRoute>,
        now_ms: u64,
    ) -> ServiceRoute {
        let usable: Vec<_> = view
            .usable(&snapshot.local)
            .into_iter()
            .filter(|(_, backend)| backend.has_port(key.port, Protocol::Tcp))
            .collect();
        let policy = Arc::new(ServicePolicy::of(view.policy.as_ref()));
        let (own, others): (Vec<_>, Vec<_>) = usable.into_iter().partition(|(id, _)| **id == snapshot.local);
        let mut clusters = Vec::new();
        for (id, backend) in own {
            let targets = self.pods(&key, id, backend, old, now_ms);
            targets.candidates.iter().for_each(|c| c.slot.judge_by(policy.pods()));
            clusters.push(self.cluster(id, true, targets, backend, old, snapshot));
        }
        for (id, backend) in others {
            let targets =
                self.gateways.get(id).map_or_else(|| Arc::new(Targets::new(Vec::new())), |g| g.targets.clone());
            clusters.push(self.cluster(id, false, targets, backend, old, snapshot));
        }
        if clusters.len() > MAX_CLUSTERS {
            tracing::warn!(service = %key.service, clusters = clusters.len(), limit = MAX_CLUSTERS, "more clusters than a route holds: the last are not used");
            clusters.truncate(MAX_CLUSTERS);
        }
        let inbound = old.map(|o| o.inbound.clone()).unwrap_or_default();
        let ranking = policy.ranking(|id| self.registry.number(id));
        let lingering = view.import.as_ref().is_some_and(|i| i.lingering);
        ServiceRoute::new(key, clusters, inbound, lingering).under(policy, ranking).after(old)
    }

    fn cluster(
        &self,
        id: &ClusterId,
        local: bool,
        targets: Arc<Targets>,
        backend: &Backend,
        old: Option<&ServiceRoute>,
        snapshot: &Snapshot,
    ) -> ClusterRoute {
        let place: Arc<Place> =
            old.and_then(|o| o.clusters.iter().find(|c| c.id == *id)).map(|c| c.place.clone()).unwrap_or_default();
        let (class, ready) = if local { targets.best() } else { (Class::of_remote(backend), backend.ready) };
        ClusterRoute {
            id: id.clone(),
            number: self.registry.number(id),
            local,
            class,
            ready,
            place,
            targets,
            freshness: snapshot.cluster(id).map(|c| c.freshness.clone()).unwrap_or_default(),
            link: self.registry.link(id),
            due: AtomicU32::new(0),
        }
    }

    /// The own cluster's pods that listen on the port, with what the slice says noted in their slots.
    fn pods(
        &self,
        key: &RouteKey,
        cluster: &ClusterId,
        backend: &Backend,
        old: Option<&ServiceRoute>,
        now_ms: u64,
    ) -> Arc<Targets> {
        let number = self.registry.number(cluster);
        let had_ready = old.and_then(ServiceRoute::local).is_some_and(|l| l.ready > 0);
        let any_ready = backend.endpoints.iter().any(|e| e.condition == Condition::Ready);
        let leaving = backend.terminating > 0;
        let candidate = |endpoint: &Endpoint| {
            let port = backend.target(endpoint, key.port, Protocol::Tcp)?;
            let address = SocketAddr::new(endpoint.address, port);
            let target = Target::Pod { service: key.service.clone(), address };
            let slot = self.registry.slot(&target, number, now_ms);
            let unready = endpoint.condition == Condition::NotReady;
            if unready && !any_ready && !had_ready {
                slot.readiness().expect();
            }
            let class = if unready && self.doubts.keep(&endpoint.node, leaving, &slot, now_ms) {
                slot.readiness().keep();
                Class::Ready
            } else {
                slot.note_ready(endpoint.condition == Condition::Ready, had_ready, now_ms);
                Class::of_pod(endpoint.condition)
            };
            Some(Candidate::new(slot, Address::Pod(address), class))
        };
        Arc::new(Targets::new(backend.endpoints.iter().filter_map(candidate).collect()))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("services", &self.services.len()).finish_non_exhaustive()
    }
}

/// How old what is known of the own cluster is.
fn own_age_ms(snapshot: &Snapshot, now_ms: u64) -> Option<u64> {
    snapshot.cluster(&snapshot.local).and_then(|own| own.freshness.age_ms(now_ms))
}

fn ready_or_all(gateways: &[Gateway]) -> Vec<Arc<str>> {
    let any_ready = gateways.iter().any(|g| g.ready);
    gateways.iter().filter(|g| g.ready || !any_ready).map(|g| g.address.as_str().into()).collect()
}

/// The TCP ports that need a route: those imported here, and those of the own Service, for the gateway.
fn ports(view: &ServiceView, local: &ClusterId) -> Vec<u16> {
    let imported = view.import.iter().flat_map(|i| &i.ports).filter(|p| p.protocol == Protocol::Tcp).map(|p| p.port);
    let own = view.backends.get(local).into_iter().flat_map(|b| &b.ports);
    let own = own.filter(|p| p.protocol() == Protocol::Tcp).filter_map(|p| u16::try_from(p.port).ok());
    let mut ports: Vec<u16> = imported.chain(own).filter(|p| *p != 0).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// The own pods of a route. One that leaves all routes of its service is no longer ready: when it comes back it starts anew.
fn own_slots(route: &Arc<ServiceRoute>) -> impl Iterator<Item = &Arc<Slot>> {
    route.local().into_iter().flat_map(|local| local.targets.candidates.iter().map(|c| &c.slot))
}

/// What another cluster's gateways reported is about the endpoints that were known of then.
fn note_recounts(old: &ServiceRoute, new: &ServiceRoute) {
    for cluster in new.clusters.iter().filter(|c| !c.local) {
        let before = old.clusters.iter().find(|c| c.id == cluster.id).map_or(cluster.ready, |c| c.ready);
        if before != cluster.ready {
            cluster.place.note_recount(before);
        }
    }
}
