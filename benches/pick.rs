//! What choosing the target of one request costs, by the number of endpoints. Goal: no search, whatever the number, and
//! no allocation.
//!
//! `cargo bench --bench pick`

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use strait_catalog::{
    Authority, Catalog, ClusterId, ExportRecord, Import, ImportPort, Key, Kind, Peer, Protocol, Published, Record,
    ServiceKey, ServicePort, ServiceRecord, SliceEndpoint, SlicePort, SliceRecord, Value, Version, ZoneCounts,
};
use strait_proxy::balance::{Attempted, Balancer, pick};
use strait_proxy::health::Registry;
use strait_proxy::route::{RouteKey, ServiceRoute};

mod counting;

/// Endpoints of one EndpointSlice, as the EndpointSlice controller fills them.
const SLICE: u32 = 100;

fn cluster(id: &str) -> ClusterId {
    ClusterId::parse(id).expect("a label")
}

fn key() -> ServiceKey {
    ServiceKey::new("ml-production", "model-server").expect("labels")
}

fn slice(first: u32, count: u32, local: bool) -> Value {
    let pod = |i: u32| SliceEndpoint {
        addresses: vec![Ipv4Addr::from_bits(0x0a00_0001 + i).to_string()],
        ready: true,
        serving: true,
        ..SliceEndpoint::default()
    };
    Value::Slice(SliceRecord {
        zones: vec![ZoneCounts { zone: "a".into(), ready: count, serving: count, terminating: 0, total: count }],
        endpoints: if local { (first..first + count).map(pod).collect() } else { Vec::new() },
        ports: vec![SlicePort { name: "http".into(), protocol: Protocol::Tcp as i32, port: 8080 }],
        headless: false,
    })
}

fn offer(catalog: &mut Catalog, id: &str, endpoints: u32) {
    let owner = cluster(id);
    let port =
        ServicePort { name: "http".into(), protocol: Protocol::Tcp as i32, port: 80, app_protocol: "http".into() };
    let service = Value::Service(ServiceRecord { ports: vec![port], ..ServiceRecord::default() });
    let version = Version::new(0, 1);
    let mut apply = |key, value| catalog.apply(Record::live(key, version, value), Authority::Owner, 0);
    apply(Key::of_service(&owner, Kind::SERVICE, &key()), service);
    apply(Key::of_service(&owner, Kind::EXPORT, &key()), Value::Export(ExportRecord::default()));
    for first in (0..endpoints).step_by(SLICE as usize) {
        let count = SLICE.min(endpoints - first);
        apply(Key::of_slice(&owner, &key(), &format!("slice-{first}")), slice(first, count, id == "us-west"));
    }
}

/// One service of three clusters, as many endpoints in each.
fn published(endpoints: u32) -> Published {
    let local = cluster("us-west");
    let mut catalog = Catalog::new(local.clone());
    let peer = |id: &str| Peer {
        cluster: cluster(id),
        gateways: (1..=4).map(|n| format!("192.0.2.{n}:31443")).collect(),
        ca_bundle: String::new(),
        pod_cidrs: Vec::new(),
        namespaces: Vec::new(),
    };
    catalog.set_peers(vec![peer("us-east"), peer("eu-west")]);
    for id in ["us-west", "us-east", "eu-west"] {
        offer(&mut catalog, id, endpoints);
    }
    let port = ImportPort {
        name: "http".into(),
        protocol: Protocol::Tcp,
        port: 80,
        app_protocol: "http".into(),
        listener: Some(([0, 0, 0, 0], 20_000).into()),
    };
    catalog.set_import(key(), Some(Import { ports: vec![port], ..Import::default() }));
    catalog.mark_synced();
    let published = Published::new(local);
    published.publish(catalog.publish().expect("something changed"));
    published
}

fn route(endpoints: u32) -> Arc<ServiceRoute> {
    let mut balancer = Balancer::new(published(endpoints), Registry::new(), || 1_000);
    balancer.step(true);
    let table = balancer.table().load_full();
    table.get(&RouteKey { service: key(), port: 80 }).expect("the imported port has a route").clone()
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pick");
    for endpoints in [10, 1_000, 100_000] {
        let route = route(endpoints);
        let mut rng = fastrand::Rng::with_seed(7);
        let mut choose =
            || pick(black_box(&route), &mut rng, 1_000, &Attempted::default()).expect("there are targets").local;
        let allocated = counting::allocations(|| {
            for _ in 0..10_000 {
                assert!(choose(), "with all of its endpoints the own cluster keeps its requests");
            }
        });
        assert_eq!(allocated, 0, "10,000 picks among {endpoints} endpoints allocate");
        eprintln!("pick/{endpoints}: 10,000 picks, {allocated} allocations");
        group.bench_function(BenchmarkId::new("first", endpoints), |bencher| bencher.iter(&mut choose));
        let mut rng = fastrand::Rng::with_seed(7);
        group.bench_function(BenchmarkId::new("with_in_flight", endpoints), |bencher| {
            bencher.iter(|| {
                let choice =
                    pick(black_box(&route), &mut rng, 1_000, &Attempted::default()).expect("there are targets");
                drop(black_box(choice.begin()));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
