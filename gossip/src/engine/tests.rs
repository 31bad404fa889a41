//! The engine alone, over wires that lose nothing and take no time.
#![allow(clippy::unwrap_used)]

use strait_catalog::{ExportRecord, GatewayRecord, ServiceKey, ServiceRecord, SliceRecord, Version, ZoneCounts};

use super::*;
use crate::frame::{Body, Frame, Heads, Push};
use crate::status::Direction;

mod exchange;
mod judgement;

const KINDS: [Kind; 4] = [Kind::SERVICE, Kind::EXPORT, Kind::SLICE, Kind::GATEWAY];

fn cluster(name: &str) -> ClusterId {
    ClusterId::parse(name).unwrap()
}

fn service() -> ServiceKey {
    ServiceKey::parse("ns/svc").unwrap()
}

fn peer(name: &str) -> Peer {
    Peer {
        cluster: cluster(name),
        gateways: Vec::new(),
        ca_bundle: String::new(),
        pod_cidrs: Vec::new(),
        namespaces: Vec::new(),
    }
}

/// The slice of the one service.
fn slice(of: &str, uid: &str, revision: u64, ready: u32) -> Record {
    let zones = vec![ZoneCounts { zone: "a".into(), ready, serving: ready, terminating: 0, total: ready }];
    let value = Value::Slice(SliceRecord { zones, ..SliceRecord::default() });
    Record::live(Key::of_slice(&cluster(of), &service(), uid), Version::new(0, revision), value)
}

fn gateway(of: &str, node: &str, revision: u64) -> Record {
    let value = Value::Gateway(GatewayRecord { address: format!("{node}:{revision}"), ..GatewayRecord::default() });
    Record::live(Key::of_gateway(&cluster(of), node), Version::new(0, revision), value)
}

/// The exported service with one slice.
fn service_records(of: &str, revision: u64, ready: u32) -> Vec<Record> {
    let key = |kind| Key::of_service(&cluster(of), kind, &service());
    let at = Version::new(0, revision);
    vec![
        Record::live(key(Kind::SERVICE), at, Value::Service(ServiceRecord::default())),
        Record::live(key(Kind::EXPORT), at, Value::Export(ExportRecord::default())),
        slice(of, "1", revision, ready),
    ]
}

fn engine(of: &str, daemon: &str, leaf: bool, peers: &[&str]) -> Engine {
    let config = EngineConfig {
        daemon: DaemonId::new(daemon),
        leaf,
        expected: if leaf { BTreeSet::new() } else { KINDS.into() },
        imports_expected: false,
        seed: 7,
        limits: Limits::default(),
    };
    let mut engine = Engine::new(config, Catalog::new(cluster(of)));
    engine.input(0, Input::Peers(peers.iter().map(|p| peer(p)).collect()));
    engine
}

#[test]
fn imports_are_awaited_where_they_are_expected() {
    let config = EngineConfig {
        daemon: DaemonId::new("w1"),
        leaf: false,
        expected: [Kind::SERVICE].into(),
        imports_expected: true,
        seed: 7,
        limits: Limits::default(),
    };
    let list = || Input::Relist { kind: Kind::SERVICE, revision: 1, records: Vec::new() };
    let mut engine = Engine::new(config.clone(), Catalog::new(cluster("west")));
    engine.input(0, list());
    assert!(!engine.catalog().is_synced(), "it does not know yet where to listen");
    engine.input(1, Input::Imports(Vec::new()));
    assert!(engine.catalog().is_synced());
    let mut engine = Engine::new(config, Catalog::new(cluster("west")));
    engine.input(0, Input::Imports(Vec::new()));
    assert!(!engine.catalog().is_synced());
    engine.input(1, list());
    assert!(engine.catalog().is_synced(), "in either order");
}

/// Lists every kind.
fn list(engine: &mut Engine, now: u64, revision: u64, records: &[Record]) {
    for kind in KINDS {
        let records = records.iter().filter(|r| r.key().kind == kind).cloned().collect();
        engine.input(now, Input::Relist { kind, revision, records });
    }
}

/// Engines and the wires between them.
#[derive(Default)]
struct Bench {
    now: u64,
    engines: Vec<Engine>,
    wires: Vec<(usize, usize)>,
    /// Every frame that passed, with sender and receiver.
    passed: Vec<(u64, usize, usize, Frame)>,
}

impl Bench {
    fn new(engines: impl IntoIterator<Item = Engine>) -> Self {
        Self { engines: engines.into_iter().collect(), ..Self::default() }
    }

    fn connect(&mut self, a: usize, b: usize) {
        let wire = self.wires.len() as u64;
        self.wires.push((a, b));
        for (end, me, other, direction) in [(0, a, b, Direction::Dialled), (1, b, a, Direction::Accepted)] {
            let peer = PeerInfo { cluster: self.engines[other].catalog().local().clone(), direction };
            self.engines[me].session_up(self.now, SessionId(wire * 2 + end), peer);
        }
    }

    fn disconnect(&mut self, a: usize, b: usize) {
        let wire = self.wires.iter().position(|w| *w == (a, b)).unwrap() as u64;
        self.engines[a].session_down(SessionId(wire * 2));
        self.engines[b].session_down(SessionId(wire * 2 + 1));
    }

    /// Lets that much time pass, in steps of 10 ms.
    fn pass(&mut self, ms: u64) {
        let until = self.now + ms;
        loop {
            self.exchange();
            if self.now >= until {
                return;
            }
            self.now += 10;
        }
    }

    fn exchange(&mut self) {
        for engine in &mut self.engines {
            engine.tick(self.now);
        }
        let mut quiet = false;
        while !quiet {
            quiet = true;
            for (wire, (a, b)) in (0..).zip(self.wires.clone()) {
                for (end, from, to) in [(0, a, b), (1, b, a)] {
                    while let Some(frame) = self.engines[from].poll_send(self.now, SessionId(wire * 2 + end)) {
                        quiet = false;
                        self.passed.push((self.now, from, to, frame.clone()));
                        self.engines[to].frame(self.now, SessionId(wire * 2 + 1 - end), frame);
                    }
                }
            }
        }
    }

    fn pushes(&self) -> Vec<(usize, usize, &Push)> {
        let push = |(_, from, to, frame): &'_ (u64, usize, usize, Frame)| match &frame.body {
            Some(Body::Push(_)) => Some((*from, *to)),
            _ => None,
        };
        self.passed
            .iter()
            .filter_map(|p| {
                let (from, to) = push(p)?;
                let Some(Body::Push(body)) = &p.3.body else { return None };
                Some((from, to, body))
            })
            .collect()
    }

    fn ready(&mut self, at: usize, of: &str) -> Option<u32> {
        self.engines[at].publish();
        let snapshot = self.engines[at].catalog().snapshot();
        let view = snapshot.service(&service())?.clone();
        view.backends.get(&cluster(of)).filter(|b| b.exported()).map(|b| b.ready)
    }
}

/// Two clusters of one daemon each, joined and equal.
fn pair() -> Bench {
    let mut bench = Bench::new([engine("west", "w", false, &["east"]), engine("east", "e", false, &["west"])]);
    list(&mut bench.engines[0], 0, 10, &service_records("west", 10, 3));
    list(&mut bench.engines[1], 0, 90, &service_records("east", 90, 5));
    bench.connect(0, 1);
    bench.pass(1_500);
    bench
}
