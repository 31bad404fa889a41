//! Three clusters, their pods and gateways, and clients that send requests; time moves only when told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::FutureExt as _;
use strait_catalog::{
    Authority, Catalog, ClusterId, ExportRecord, GatewayRecord, Import, ImportPort, Key, Kind, Peer, PolicyRecord,
    Protocol, Published, Record, ServiceKey, ServicePort, ServiceRecord, SliceEndpoint, SlicePort, SliceRecord, Value,
    Version, ZoneCounts,
};

use crate::balance::{Attempted, Balancer, Choice, TargetRef, pick};
use crate::health::{Outcome, Registry, Slot};
use crate::route::{InFlight, RelayedError, RouteKey, RouteTable, ServiceRoute};

pub(super) const WEST: &str = "us-west";
pub(super) const EAST: &str = "us-east";
pub(super) const EU: &str = "eu-west";
/// Attempts a simulated client's request gets.
const ATTEMPTS: usize = 4;

/// How a simulated target behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Behaviour {
    Answers,
    Refuses,
    /// Nothing comes back: connects time out.
    BlackHole,
    Errors,
    /// A gateway without endpoints.
    NoEndpoints,
    /// A gateway whose pods have enough to do.
    Overloaded,
    /// A gateway whose pods answer with errors.
    PodErrors,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pod {
    Ready,
    NotReady,
    Leaving,
}

/// What clients saw in a stretch of time.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) served: BTreeMap<String, usize>,
    pub(super) failed: usize,
    pub(super) most_attempts: usize,
    /// Milliseconds from the start of the stretch to the first answer from each cluster.
    pub(super) first: BTreeMap<String, u64>,
}

impl Tally {
    pub(super) fn of(&self, cluster: &str) -> usize {
        self.served.get(cluster).copied().unwrap_or(0)
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of a test")]
    pub(super) fn share(&self, cluster: &str) -> f64 {
        self.of(cluster) as f64 / self.served.values().sum::<usize>().max(1) as f64
    }
}

pub(super) struct World {
    pub(super) catalog: Catalog,
    pub(super) published: Published,
    pub(super) registry: Arc<Registry>,
    pub(super) balancer: Balancer,
    pub(super) table: Arc<ArcSwap<RouteTable>>,
    pub(super) rng: fastrand::Rng,
    clock: Arc<AtomicU64>,
    behaviour: BTreeMap<String, Behaviour>,
    revision: u64,
}

pub(super) fn service() -> ServiceKey {
    ServiceKey::parse("ml-production/model-server").unwrap()
}

fn cluster(name: &str) -> ClusterId {
    ClusterId::parse(name).unwrap()
}

impl World {
    /// Three clusters that export the service with so many ready pods each, two gateways each; west is ours.
    pub(super) fn new(west: usize, east: usize, eu: usize) -> Self {
        let published = Published::new(cluster(WEST));
        let registry = Registry::new();
        let clock = Arc::new(AtomicU64::new(1_000_000));
        let time = clock.clone();
        let balancer = Balancer::new(published.clone(), registry.clone(), move || time.load(Ordering::Relaxed))
            .choosing(Box::new(|all| all.iter().take(4).map(|g| g.address.as_str().into()).collect()));
        let mut world = Self {
            catalog: Catalog::new(cluster(WEST)),
            table: balancer.table(),
            published,
            registry,
            balancer,
            rng: fastrand::Rng::with_seed(42),
            clock,
            behaviour: BTreeMap::new(),
            revision: 1,
        };
        let peer = |name: &str| Peer {
            cluster: cluster(name),
            gateways: Vec::new(),
            ca_bundle: String::new(),
            pod_cidrs: Vec::new(),
            namespaces: Vec::new(),
        };
        world.catalog.set_peers(vec![peer(EAST), peer(EU)]);
        let port = ImportPort {
            name: "http".into(),
            protocol: Protocol::Tcp,
            port: 80,
            app_protocol: String::new(),
            listener: None,
        };
        world.catalog.set_import(service(), Some(Import { ports: vec![port], ..Import::default() }));
        for (name, pods, rtt) in [(WEST, west, 0), (EAST, east, 65), (EU, eu, 140)] {
            world.service_in(name);
            world.slice(name, &vec![Pod::Ready; pods]);
            if name != WEST {
                world.gateways(name, 2);
                world.registry.link(&cluster(name)).note_rtt(Duration::from_millis(rtt));
            }
        }
        world.publish();
        world
    }

    /// The own API server was heard just now.
    pub(super) fn heard(&mut self) {
        let now = self.now();
        self.catalog.freshness(&cluster(WEST)).note(now, 0);
    }

    fn apply(&mut self, key: Key, value: Value) {
        self.revision += 1;
        let now = self.now();
        self.catalog.apply(Record::live(key, Version::new(0, self.revision), value), Authority::Owner, now);
    }

    /// The ports of a cluster's Service, all for the same port of its pods.
    pub(super) fn ports(&mut self, name: &str, ports: &[u32]) {
        let port =
            |port: &u32| ServicePort { name: "http".into(), protocol: 0, port: *port, app_protocol: String::new() };
        let record = ServiceRecord { ports: ports.iter().map(port).collect(), ..ServiceRecord::default() };
        self.apply(Key::of_service(&cluster(name), Kind::SERVICE, &service()), Value::Service(record));
    }

    fn service_in(&mut self, name: &str) {
        self.ports(name, &[80]);
        let export = ExportRecord::default();
        self.apply(Key::of_service(&cluster(name), Kind::EXPORT, &service()), Value::Export(export));
    }

    /// Sets this cluster's policy for the service.
    pub(super) fn policy(&mut self, policy: PolicyRecord) {
        self.apply(Key::of_policy(&cluster(WEST), &service(), "p"), Value::Policy(policy));
        self.publish();
    }

    /// Deletes it.
    pub(super) fn no_policy(&mut self) {
        self.revision += 1;
        let (key, version) = (Key::of_policy(&cluster(WEST), &service(), "p"), Version::new(0, self.revision));
        let now = self.now();
        self.catalog.apply(Record::tombstone(key, version), Authority::Owner, now);
        self.publish();
    }

    pub(super) fn gateways(&mut self, name: &str, count: usize) {
        for at in 0..count {
            let address = format!("{name}-gw{at}:31443");
            let record = GatewayRecord { address, zone: String::new(), ready: true };
            self.apply(Key::of_gateway(&cluster(name), &format!("node{at}")), Value::Gateway(record));
        }
    }

    /// What gossip tells of one gateway's node.
    pub(super) fn told_of_gateway(&mut self, name: &str, at: usize, ready: bool) {
        let record = GatewayRecord { address: format!("{name}-gw{at}:31443"), zone: String::new(), ready };
        self.apply(Key::of_gateway(&cluster(name), &format!("node{at}")), Value::Gateway(record));
    }

    /// What the own cluster's API server says of the node that a pod stands on.
    pub(super) fn node(&mut self, at: usize, ready: bool) {
        let record = GatewayRecord { address: String::new(), zone: String::new(), ready };
        self.apply(Key::of_gateway(&cluster(WEST), &format!("node{at}")), Value::Gateway(record));
    }

    /// The slice of a cluster's service; pods of the own cluster stand on a node each.
    pub(super) fn slice(&mut self, name: &str, pods: &[Pod]) {
        let count = |kind: Pod| u32::try_from(pods.iter().filter(|p| **p == kind).count()).unwrap();
        let (ready, leaving) = (count(Pod::Ready), count(Pod::Leaving));
        let zone = ZoneCounts {
            zone: String::new(),
            ready,
            serving: ready + leaving,
            terminating: leaving,
            total: u32::try_from(pods.len()).unwrap(),
        };
        let endpoint = |(at, pod): (usize, &Pod)| SliceEndpoint {
            addresses: vec![format!("10.1.0.{}", at + 1)],
            hostname: String::new(),
            zone: String::new(),
            node: format!("node{at}"),
            ready: *pod == Pod::Ready,
            serving: *pod != Pod::NotReady,
            terminating: *pod == Pod::Leaving,
        };
        let own = name == WEST;
        let slice = SliceRecord {
            zones: vec![zone],
            endpoints: if own { pods.iter().enumerate().map(endpoint).collect() } else { Vec::new() },
            ports: vec![SlicePort { name: "http".into(), protocol: 0, port: 8080 }],
            headless: false,
        };
        self.apply(Key::of_slice(&cluster(name), &service(), "uid"), Value::Slice(slice));
    }

    /// Publishes what was applied and lets the balancer see it.
    pub(super) fn publish(&mut self) {
        if let Some(snapshot) = self.catalog.publish() {
            self.published.publish(snapshot);
        }
        self.balancer.step(true);
    }

    pub(super) fn now(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    pub(super) fn behave(&mut self, address: &str, behaviour: Behaviour) {
        self.behaviour.insert(address.into(), behaviour);
    }

    /// All pods of the own cluster, up to 40.
    pub(super) fn pods_behave(&mut self, behaviour: Behaviour) {
        for at in 1..=40 {
            self.behave(&format!("10.1.0.{at}:8080"), behaviour);
        }
    }

    pub(super) fn cluster_behaves(&mut self, name: &str, behaviour: Behaviour) {
        for at in 0..2 {
            self.behave(&format!("{name}-gw{at}:31443"), behaviour);
        }
    }

    pub(super) fn route(&self) -> Arc<ServiceRoute> {
        let key = RouteKey { service: service(), port: 80 };
        self.table.load().get(&key).unwrap().clone()
    }

    /// One cluster's share.
    pub(super) fn share(&self, name: &str) -> f64 {
        let route = self.route();
        let at = route.clusters.iter().position(|c| c.id.as_str() == name).unwrap();
        route.shares()[at]
    }

    /// The slots of a cluster's targets.
    pub(super) fn slots(&self, name: &str) -> Vec<Arc<Slot>> {
        let route = self.route();
        let cluster = route.clusters.iter().find(|c| c.id.as_str() == name).unwrap();
        cluster.targets.candidates.iter().map(|c| c.slot.clone()).collect()
    }

    /// Which of a cluster's targets so many picks fall to.
    pub(super) fn picks(&mut self, name: &str, count: usize) -> Vec<usize> {
        let (route, slots, now) = (self.route(), self.slots(name), self.now());
        let mut counts = vec![0; slots.len()];
        for _ in 0..count {
            let choice = pick(&route, &mut self.rng, now, &Attempted::none()).unwrap();
            if let Some(at) = slots.iter().position(|s| s.id() == choice.slot.id()) {
                counts[at] += 1;
            }
        }
        counts
    }

    /// Lets time pass, with `rate` requests a second, ticks every 100 ms and on every event.
    pub(super) fn run(&mut self, ms: u64, rate: u64) -> Tally {
        let (start, mut tally, mut owed) = (self.now(), Tally::default(), 0);
        while self.now() < start + ms {
            let now = self.clock.fetch_add(1, Ordering::Relaxed) + 1;
            let event = self.registry.wake().notified().now_or_never().is_some();
            if event || now.is_multiple_of(100) {
                self.balancer.step(event);
            }
            owed += rate;
            while owed >= 1_000 {
                owed -= 1_000;
                self.request(now - start, &mut tally);
            }
        }
        tally
    }

    /// One request with its attempts; they take no time here, except in what they report.
    fn request(&mut self, at: u64, tally: &mut Tally) {
        let (route, mut tried, now) = (self.route(), Attempted::none(), self.now());
        for attempt in 1..=ATTEMPTS {
            tally.most_attempts = tally.most_attempts.max(attempt);
            let Some(choice) = pick(&route, &mut self.rng, now, &tried) else { break };
            let in_flight = choice.begin();
            if self.attempt(&choice, &in_flight, now) {
                *tally.served.entry(choice.cluster.to_string()).or_default() += 1;
                tally.first.entry(choice.cluster.to_string()).or_insert(at);
                return;
            }
            tried.note(&choice);
        }
        tally.failed += 1;
    }

    fn attempt(&self, choice: &Choice<'_>, in_flight: &InFlight, now: u64) -> bool {
        let (address, rtt) = match choice.target {
            TargetRef::Pod(address) => (address.to_string(), 5),
            TargetRef::Gateway { address, .. } => (address.to_string(), 70),
        };
        // An attempt of this simulation begins and ends in the same millisecond.
        let latency = Duration::from_micros(500 + rtt);
        match self.behaviour.get(&address).copied().unwrap_or(Behaviour::Answers) {
            Behaviour::Answers => in_flight.record(Outcome::Success { latency }, now),
            Behaviour::Refuses => in_flight.record(Outcome::Refused, now),
            Behaviour::BlackHole => in_flight.record(Outcome::ConnectTimeout, now),
            Behaviour::Errors => in_flight.record(Outcome::ServerError, now),
            Behaviour::NoEndpoints => in_flight.relayed(RelayedError::NoEndpoints, latency, now),
            Behaviour::Overloaded => in_flight.relayed(RelayedError::Overloaded, latency, now),
            Behaviour::PodErrors => in_flight.relayed(RelayedError::Failed, latency, now),
        }
        self.behaviour.get(&address).is_none_or(|b| *b == Behaviour::Answers)
    }
}
