//! One daemon: its own catalog, registry and balancer, as the product makes them, on the simulated clock.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::FutureExt as _;
use strait_catalog::{
    Authority, Catalog, ClusterId, ExportRecord, GatewayRecord, Import, ImportPort, Key, Kind, Peer, Protocol,
    Published, Record, ServiceKey, ServicePort, ServiceRecord, SliceEndpoint, SlicePort, SliceRecord, Value, Version,
    ZoneCounts,
};
use strait_proxy::balance::Balancer;
use strait_proxy::health::Registry;
use strait_proxy::route::{RouteKey, RouteTable, ServiceRoute};

use super::plan::Plan;

/// The daemon of a cluster with what the simulation counts of it.
pub(crate) struct Agent {
    pub(crate) cluster: usize,
    pub(crate) rng: fastrand::Rng,
    /// Requests under way, and replays among them: the budget of replays.
    pub(crate) under_way: u32,
    pub(crate) replays: u32,
    /// When the balancer last looked, in milliseconds.
    pub(crate) looked_ms: u64,
    pub(crate) look_planned: bool,
    names: Vec<ClusterId>,
    service: ServiceKey,
    catalog: Catalog,
    published: Published,
    registry: Arc<Registry>,
    balancer: Balancer,
    table: Arc<ArcSwap<RouteTable>>,
    clock: Arc<AtomicU64>,
    revision: u64,
}

/// The address of a gateway: one for each daemon.
pub(crate) fn gateway(cluster: &str, agent: usize) -> String {
    format!("{cluster}-{agent}:15443")
}

/// The address of a pod.
#[expect(clippy::cast_possible_truncation, reason = "clusters and pods of a simulation")]
pub(crate) fn pod(cluster: usize, at: usize) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, cluster as u8, (at >> 8) as u8, at as u8), 8080))
}

/// The cluster and the pod of an address.
pub(crate) fn whose(address: SocketAddr) -> (usize, usize) {
    let SocketAddr::V4(v4) = address else { unreachable!("pods of a simulation have IPv4 addresses") };
    let [_, cluster, high, low] = v4.ip().octets();
    (usize::from(cluster), usize::from(high) << 8 | usize::from(low))
}

impl Agent {
    /// A daemon that knows its peers, the service and every gateway, and no pods yet.
    pub(crate) fn new(plan: &Plan, cluster: usize, seed: u64, clock: Arc<AtomicU64>) -> Self {
        let id = |name: &str| ClusterId::parse(name).expect("cluster names are DNS labels");
        let names: Vec<ClusterId> = plan.clusters.iter().map(|c| id(c.name)).collect();
        let own = names[cluster].clone();
        let (published, registry) = (Published::new(own.clone()), Registry::new());
        let time = clock.clone();
        let balancer = Balancer::new(published.clone(), registry.clone(), move || time.load(Ordering::Relaxed))
            .returning_within(plan.ramp)
            .choosing(Box::new(|all| all.iter().take(4).map(|g| g.address.as_str().into()).collect()));
        let mut agent = Self {
            cluster,
            rng: fastrand::Rng::with_seed(seed),
            under_way: 0,
            replays: 0,
            looked_ms: 0,
            look_planned: false,
            service: ServiceKey::parse("ml-production/model-server").expect("a good name"),
            catalog: Catalog::new(own),
            table: balancer.table(),
            names,
            published,
            registry,
            balancer,
            clock,
            revision: 1,
        };
        agent.meet(plan);
        agent
    }

    /// Peers, the import, and what each cluster exports.
    fn meet(&mut self, plan: &Plan) {
        let peer = |cluster: &ClusterId| Peer {
            cluster: cluster.clone(),
            gateways: Vec::new(),
            ca_bundle: String::new(),
            pod_cidrs: Vec::new(),
            namespaces: Vec::new(),
        };
        let others = self.names.iter().enumerate().filter(|(at, _)| *at != self.cluster);
        self.catalog.set_peers(others.map(|(_, name)| peer(name)).collect());
        let port = ImportPort {
            name: "http".into(),
            protocol: Protocol::Tcp,
            port: 80,
            app_protocol: String::new(),
            listener: None,
        };
        self.catalog.set_import(self.service.clone(), Some(Import { ports: vec![port], ..Import::default() }));
        for (at, cluster) in plan.clusters.iter().enumerate() {
            let name = self.names[at].clone();
            let port = ServicePort { name: "http".into(), protocol: 0, port: 80, app_protocol: String::new() };
            let record = ServiceRecord { ports: vec![port], ..ServiceRecord::default() };
            self.apply(Key::of_service(&name, Kind::SERVICE, &self.service), Value::Service(record));
            let export = Value::Export(ExportRecord::default());
            self.apply(Key::of_service(&name, Kind::EXPORT, &self.service), export);
            if at == self.cluster {
                continue;
            }
            for number in 0..cluster.agents {
                let record = GatewayRecord { address: gateway(cluster.name, number), zone: String::new(), ready: true };
                self.apply(Key::of_gateway(&name, &format!("node{number}")), Value::Gateway(record));
            }
            let rtt = (plan.rtt_ms)(self.cluster, at);
            self.registry.link(&name).note_rtt(Duration::from_secs_f64(rtt / 1_000.0));
        }
    }

    fn apply(&mut self, key: Key, value: Value) {
        self.revision += 1;
        let record = Record::live(key, Version::new(0, self.revision), value);
        self.catalog.apply(record, Authority::Owner, self.clock.load(Ordering::Relaxed));
    }

    /// Takes what a cluster's slice says: which of its pods are ready. Publishes it, and the balancer looks.
    pub(crate) fn hear(&mut self, cluster: usize, ready: &[usize]) {
        let count = u32::try_from(ready.len()).unwrap_or(u32::MAX);
        let zone = ZoneCounts { zone: String::new(), ready: count, serving: count, terminating: 0, total: count };
        let endpoint = |at: &usize| SliceEndpoint {
            addresses: vec![pod(cluster, *at).ip().to_string()],
            hostname: String::new(),
            zone: String::new(),
            node: format!("node{at}"),
            ready: true,
            serving: true,
            terminating: false,
        };
        // Other clusters tell counts only.
        let endpoints = if cluster == self.cluster { ready.iter().map(endpoint).collect() } else { Vec::new() };
        let ports = vec![SlicePort { name: "http".into(), protocol: 0, port: 8080 }];
        let slice = SliceRecord { zones: vec![zone], endpoints, ports, headless: false };
        let name = self.names[cluster].clone();
        self.apply(Key::of_slice(&name, &self.service, "uid"), Value::Slice(slice));
        if let Some(snapshot) = self.catalog.publish() {
            self.published.publish(snapshot);
        }
        self.look(true);
    }

    /// One look of the balancer.
    pub(crate) fn look(&mut self, event: bool) {
        self.looked_ms = self.clock.load(Ordering::Relaxed);
        self.look_planned = false;
        self.balancer.step(event);
    }

    /// True when a breaker opened or closed since it was last asked.
    pub(crate) fn woken(&self) -> bool {
        self.registry.wake().notified().now_or_never().is_some()
    }

    /// The service's route as workers see it.
    pub(crate) fn route(&self) -> Arc<ServiceRoute> {
        let key = RouteKey { service: self.service.clone(), port: 80 };
        self.table.load().get(&key).expect("the service is imported").clone()
    }

    /// The share of each cluster, by its position in the plan.
    pub(crate) fn shares(&self) -> Vec<f64> {
        let route = self.route();
        let shares = route.shares();
        let of = |name: &ClusterId| route.clusters.iter().position(|c| c.id == *name).map_or(0.0, |at| shares[at]);
        self.names.iter().map(of).collect()
    }
}
