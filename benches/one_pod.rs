//! A running proxy with one worker in front of one pod, for benches of whole requests.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use strait_catalog::{
    Authority, Catalog, ClusterId, ClusterRecord, Import, ImportPort, Key, Kind, Protocol, Published, Record,
    ServiceKey, ServicePort, ServiceRecord, SliceEndpoint, SlicePort, SliceRecord, Value, Version, ZoneCounts,
};
use strait_identity::{Identity, SpiffeId, TrustDomain};
use strait_proxy::{Proxy, ProxyConfig};
use tokio::runtime::{Builder, Runtime};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// One cluster, one service, one pod, one listener.
fn published(pod: SocketAddr, listener: SocketAddr) -> Published {
    let local = ClusterId::parse("us-west").expect("a label");
    let service = ServiceKey::new("ml-production", "model-server").expect("labels");
    let (name, protocol) = ("http".to_owned(), Protocol::Tcp as i32);
    let port = ServicePort { name: name.clone(), protocol, port: 80, app_protocol: "http".into() };
    let endpoint =
        SliceEndpoint { addresses: vec![pod.ip().to_string()], ready: true, serving: true, ..SliceEndpoint::default() };
    let slice = SliceRecord {
        zones: vec![ZoneCounts { zone: String::new(), ready: 1, serving: 1, terminating: 0, total: 1 }],
        endpoints: vec![endpoint],
        ports: vec![SlicePort { name, protocol, port: pod.port().into() }],
        headless: false,
    };
    // Only a declared network may hold loopback addresses.
    let itself = ClusterRecord { pod_cidrs: vec!["127.0.0.0/8".into()], ..ClusterRecord::default() };
    let mut catalog = Catalog::new(local.clone());
    for (key, value) in [
        (Key::of_cluster(&local), Value::Cluster(itself)),
        (
            Key::of_service(&local, Kind::SERVICE, &service),
            Value::Service(ServiceRecord { ports: vec![port], ..ServiceRecord::default() }),
        ),
        (Key::of_slice(&local, &service, "slice"), Value::Slice(slice)),
    ] {
        catalog.apply(Record::live(key, Version::new(0, 1), value), Authority::Owner, 0);
    }
    let port = ImportPort {
        name: "http".into(),
        protocol: Protocol::Tcp,
        port: 80,
        app_protocol: "http".into(),
        listener: Some(listener),
    };
    catalog.set_import(service, Some(Import { ports: vec![port], ..Import::default() }));
    catalog.mark_synced();
    let published = Published::new(local);
    published.publish(catalog.publish().expect("something changed"));
    published
}

/// A proxy with one worker in front of the pod, and where it listens.
pub(crate) fn proxy(pod: SocketAddr) -> (Proxy, SocketAddr) {
    let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
    let listener = free.local_addr().expect("it is bound");
    drop(free);
    let published = published(pod, listener);
    let trust_domain = TrustDomain::parse("bench.strait").expect("a trust domain");
    let identity = Identity::new(SpiffeId::new(trust_domain, published.load().local.clone()));
    let mut config = ProxyConfig::new(published, identity, Arc::new(|_, _| ()));
    config.workers = NonZeroUsize::new(1);
    let proxy = Proxy::start(config).expect("a proxy on loopback");
    let mut bound = proxy.bound();
    let ready = async { bound.wait_for(|b| b.snapshot > 0 && b.all).await.map(drop) };
    runtime()
        .block_on(async { tokio::time::timeout(Duration::from_secs(10), ready).await })
        .expect("listeners are bound within seconds")
        .expect("the proxy lives");
    (proxy, listener)
}

/// Ends it.
pub(crate) fn stop(proxy: Proxy) {
    runtime().block_on(proxy.stop(Duration::from_secs(1)));
    drop(proxy);
}
