//! What one changed EndpointSlice costs until readers can see it: merge the record, make the next snapshot.
//! Goal: it follows the size of the change, not the size of the catalog.
//!
//! `cargo bench --bench snapshot`

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use strait_catalog::{
    Applied, Authority, Catalog, ClusterId, ExportRecord, Import, ImportPort, Key, Kind, Protocol, Record, ServiceKey,
    ServicePort, ServiceRecord, SliceEndpoint, SlicePort, SliceRecord, Value, Version, ZoneCounts,
};

/// Pods of each service in each cluster.
const PODS: u32 = 10;

fn cluster(id: &str) -> ClusterId {
    ClusterId::parse(id).expect("a label")
}

fn service(n: u32) -> ServiceKey {
    ServiceKey::new(&format!("namespace-{}", n % 100), &format!("service-{n}")).expect("labels")
}

fn slice_key(cluster: &ClusterId, n: u32) -> Key {
    Key::of_slice(cluster, &service(n), "2c1b7a04-6a0e-4f1f-9b9e-1f5a2f2a7d10")
}

/// A slice of [`PODS`] pods, of which `ready` are ready; other clusters see counts only.
fn slice(local: bool, n: u32, ready: u32) -> Value {
    let pod = |i: u32| SliceEndpoint {
        addresses: vec![std::net::Ipv4Addr::from_bits(0x0a0b_0000 + (n * PODS + i) % 0xffff).to_string()],
        ready: i < ready,
        serving: i < ready,
        ..SliceEndpoint::default()
    };
    Value::Slice(SliceRecord {
        zones: vec![ZoneCounts { zone: "a".into(), ready, serving: ready, terminating: 0, total: PODS }],
        endpoints: if local { (0..PODS).map(pod).collect() } else { Vec::new() },
        ports: vec![SlicePort { name: "http".into(), protocol: Protocol::Tcp as i32, port: 8080 }],
        headless: false,
    })
}

/// One cluster's records of all services.
fn records(cluster: &ClusterId, local: bool, services: u32) -> impl Iterator<Item = Record> + '_ {
    let version = |n: u32, part: u64| Version::new(0, u64::from(n) * 3 + part);
    (0..services).flat_map(move |n| {
        let port =
            ServicePort { name: "http".into(), protocol: Protocol::Tcp as i32, port: 80, app_protocol: "http".into() };
        let offered = Value::Service(ServiceRecord { ports: vec![port], ..ServiceRecord::default() });
        let export = Value::Export(ExportRecord { created_unix_s: 1_700_000_000, ..ExportRecord::default() });
        [
            Record::live(Key::of_service(cluster, Kind::SERVICE, &service(n)), version(n, 1), offered),
            Record::live(Key::of_service(cluster, Kind::EXPORT, &service(n)), version(n, 2), export),
            Record::live(slice_key(cluster, n), version(n, 3), slice(local, n, PODS)),
        ]
    })
}

fn import(n: u32) -> (ServiceKey, Import) {
    let port = ImportPort {
        name: "http".into(),
        protocol: Protocol::Tcp,
        port: 80,
        app_protocol: "http".into(),
        listener: Some(([0, 0, 0, 0], 20_000).into()),
    };
    let import = Import {
        ips: vec![std::net::Ipv4Addr::from_bits(0x0a60_0000 + n).into()],
        ports: vec![port],
        ..Import::default()
    };
    (service(n), import)
}

/// Three clusters that all export all services.
fn catalog(services: u32) -> Catalog {
    let local = cluster("us-west");
    let mut catalog = Catalog::new(local.clone());
    let peer = |id: &str| strait_catalog::Peer {
        cluster: cluster(id),
        gateways: vec!["192.0.2.1:31443".into()],
        ca_bundle: String::new(),
        pod_cidrs: Vec::new(),
        namespaces: Vec::new(),
    };
    catalog.set_peers(vec![peer("us-east"), peer("eu-west")]);
    for id in ["us-west", "us-east", "eu-west"] {
        for record in records(&cluster(id), id == "us-west", services) {
            catalog.apply(record, Authority::Owner, 0);
        }
    }
    catalog.set_imports((0..services).map(import).collect());
    catalog.mark_synced();
    catalog.publish().expect("something changed");
    catalog
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("snapshot");
    for (name, changed) in [("own_slice", "us-west"), ("other_slice", "eu-west")] {
        let changed = cluster(changed);
        for services in [10, 1_000, 10_000] {
            let mut catalog = catalog(services);
            let mut revision = 1_000_000;
            group.bench_function(BenchmarkId::new(name, services), |bencher| {
                let next = || {
                    revision += 1;
                    let n = u32::try_from(revision).expect("few iterations").wrapping_mul(2_654_435_761) % services;
                    let ready = u32::try_from(revision).expect("few iterations") % PODS;
                    let value = slice(name == "own_slice", n, ready);
                    Record::live(slice_key(&changed, n), Version::new(0, revision), value)
                };
                let apply = |record| {
                    assert_eq!(catalog.apply(record, Authority::Owner, 1), Applied::Changed);
                    black_box(catalog.publish().expect("something changed"))
                };
                bencher.iter_batched(next, apply, BatchSize::SmallInput);
            });
        }
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
