//! What one DNS answer costs in process: parse, look up, encode. Goal: a hit within 300 ns, without allocation.
//!
//! `cargo bench --bench dns_answer`

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use strait_catalog::{Catalog, ClusterId, Import, ImportPort, Protocol, ServiceKey, Snapshot};
use strait_dns::{Reply, Transport, Zone, ZoneConfig, respond};

mod counting;

/// 10,000 services in 100 namespaces.
fn snapshot() -> Arc<Snapshot> {
    let port = |name: &str, port| ImportPort {
        name: name.into(),
        protocol: Protocol::Tcp,
        port,
        app_protocol: String::new(),
        listener: None,
    };
    let services = (0..10_000u16).map(|n| {
        let key = format!("namespace-{}/service-{n}", n % 100);
        let import = Import {
            ips: vec![[10, 96, n.to_be_bytes()[0], n.to_be_bytes()[1]].into()],
            ports: vec![port("http", 80), port("grpc", 9000)],
            ..Import::default()
        };
        (ServiceKey::parse(&key).expect("labels"), import)
    });
    let mut catalog = Catalog::new(ClusterId::parse("us-west").expect("a label"));
    catalog.set_imports(services.collect());
    catalog.mark_synced();
    catalog.publish().expect("something changed")
}

/// A query with EDNS of 1232 octets.
fn query(name: &str, record_type: u16) -> Vec<u8> {
    let mut message = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).expect("a label"));
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    message.extend_from_slice(&record_type.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    message.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    message
}

fn bench(criterion: &mut Criterion) {
    let snapshot = snapshot();
    let zone = Zone::new(ZoneConfig::default()).expect("the default zone is a zone");
    let service = "service-4242.namespace-42.svc.clusterset.local";
    let cases = [
        ("hit_a", query(service, 1)),
        ("nodata_aaaa", query(service, 28)),
        ("nxdomain_search_path", query("service-4242.namespace-42.default.svc.clusterset.local", 1)),
        ("nxdomain_service", query("service-1.namespace-42.svc.clusterset.local", 1)),
        ("srv_bare", query(service, 33)),
        ("srv_port", query(&format!("_grpc._tcp.{service}"), 33)),
        ("refused", query("www.example.com", 1)),
        ("formerr", query(service, 1)[..40].to_vec()),
    ];
    let mut group = criterion.benchmark_group("dns_answer");
    let mut out = Vec::with_capacity(1232);
    for (name, message) in &cases {
        let mut answer = || respond(black_box(message), Transport::Udp, &snapshot, &zone, &mut out);
        let allocated = counting::allocations(|| {
            assert!(matches!(answer(), Reply::Ready { truncated: false, .. }), "{name}");
        });
        assert_eq!(allocated, 0, "{name} allocates");
        group.bench_function(*name, |bencher| bencher.iter(&mut answer));
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
