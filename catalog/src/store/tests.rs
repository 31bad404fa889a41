//! The laws of the store, by property and by story.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::policy::PolicyRecord;
use crate::projection::Audience;
use crate::value::{
    ExportRecord, GatewayRecord, ServicePort, ServiceRecord, SliceEndpoint, SliceRecord, Value, ZoneCounts,
};

mod laws;
mod rebuild;

const SERVICES: [&str; 3] = ["a/s", "a/t", "b/s"];

fn cluster(name: &str) -> ClusterId {
    ClusterId::parse(name).unwrap()
}

fn own() -> ClusterId {
    cluster("own")
}

fn service(name: &str) -> ServiceKey {
    ServiceKey::parse(name).unwrap()
}

fn export_key(of: &ClusterId, name: &str) -> Key {
    Key::of_service(of, Kind::EXPORT, &service(name))
}

fn slice_key(of: &ClusterId, name: &str, uid: &str) -> Key {
    Key::of_slice(of, &service(name), uid)
}

/// A value of the key's kind; different contents for different numbers.
fn value(key: &Key, content: u32) -> Value {
    match key.kind {
        Kind::SERVICE => Value::Service(ServiceRecord {
            ports: vec![ServicePort { port: 80 + content, ..ServicePort::default() }],
            ..ServiceRecord::default()
        }),
        Kind::EXPORT => Value::Export(ExportRecord { created_unix_s: content.into(), ..ExportRecord::default() }),
        Kind::SLICE => Value::Slice(slice(content, content == 2)),
        Kind::GATEWAY => Value::Gateway(GatewayRecord { address: format!("g:{content}"), ..GatewayRecord::default() }),
        Kind::CLUSTER => Value::Cluster(crate::ClusterRecord {
            pod_cidrs: vec![format!("10.{content}.0.0/16")],
            ..crate::ClusterRecord::default()
        }),
        Kind::POLICY => Value::Policy(PolicyRecord {
            created_unix_s: i64::from(content % 2),
            attempts: Some(content),
            ..PolicyRecord::default()
        }),
        other => panic!("no value for {other}"),
    }
}

fn slice(ready: u32, headless: bool) -> SliceRecord {
    let zone = ZoneCounts { zone: "z".into(), ready, serving: ready, terminating: 0, total: ready };
    let endpoints = (0..ready).map(|i| SliceEndpoint {
        addresses: vec![format!("10.{i}.0.7")],
        ready: true,
        serving: true,
        ..SliceEndpoint::default()
    });
    SliceRecord { zones: vec![zone], endpoints: endpoints.collect(), ports: Vec::new(), headless }
}

fn live(key: &Key, revision: u64, content: u32) -> Record {
    Record::live(key.clone(), Version::new(0, revision), value(key, content))
}

fn dead(key: &Key, revision: u64) -> Record {
    Record::tombstone(key.clone(), Version::new(0, revision))
}

/// A key out of few, so that records meet.
fn any_key(clusters: &'static [&'static str]) -> impl Strategy<Value = Key> {
    (proptest::sample::select(clusters), proptest::sample::select(&SERVICES[..]), 0..9_u8).prop_map(|(c, s, kind)| {
        let c = cluster(c);
        match kind {
            0 => Key::of_service(&c, Kind::SERVICE, &service(s)),
            1 | 2 => export_key(&c, s),
            3 => slice_key(&c, s, "1"),
            4 => slice_key(&c, s, "2"),
            5 => Key::of_gateway(&c, "node"),
            6 => Key::of_policy(&c, &service(s), "1"),
            7 => Key::of_policy(&c, &service(s), "2"),
            _ => Key::of_cluster(&c),
        }
    })
}

fn any_record(clusters: &'static [&'static str]) -> impl Strategy<Value = Record> {
    (any_key(clusters), 0..2_u64, 0..6_u64, proptest::option::weighted(0.7, 0..4_u32)).prop_map(
        |(key, epoch, revision, content)| {
            let version = Version::new(epoch, revision);
            match content {
                Some(content) => Record::live(key.clone(), version, value(&key, content)),
                None => Record::tombstone(key, version),
            }
        },
    )
}

/// Everything that is held, dead or alive.
fn contents(catalog: &Catalog) -> Vec<Record> {
    let clusters: Vec<_> = catalog.clusters().cloned().collect();
    clusters.iter().flat_map(|c| catalog.keys(c)).map(|k| catalog.get(k).unwrap().clone()).collect()
}

/// The set that both ends of a session compare.
fn seen(catalog: &Catalog, of: &ClusterId, audience: Audience) -> Vec<(Key, u64)> {
    catalog.view(of, audience).map(|r| (r.key().clone(), r.digest())).collect()
}
