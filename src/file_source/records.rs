//! From the file's entries to records and imports.

use std::collections::BTreeSet;

use strait_catalog::{
    ClusterId, ClusterRecord, ExportRecord, GatewayRecord, Import, ImportPort, Input, Key, Kind, Peer, Protocol,
    Record, ServiceKey, ServicePort, ServiceRecord, SliceEndpoint, SlicePort, SliceRecord, Value, Version, ZoneCounts,
    is_network,
};

use super::document::{Document, EndpointEntry, PeerEntry, ServiceEntry};
use super::policies::policies;

/// Which entry, and what is wrong with it.
pub(super) type Wrong = (String, String);

/// Everything the file says, as complete lists at one revision.
pub(super) fn inputs(document: &Document, cluster: &ClusterId, revision: u64) -> Result<Vec<Input>, Wrong> {
    let version = Version::new(0, revision);
    networks("podCIDRs".to_owned(), &document.pod_cidrs)?;
    let mut services = Lists::default();
    for entry in &document.services {
        services.add(entry, cluster, version)?;
    }
    let lists = [
        (Kind::CLUSTER, vec![cluster_record(document, cluster, version)]),
        (Kind::SERVICE, services.services),
        (Kind::EXPORT, services.exports),
        (Kind::SLICE, services.slices),
        (Kind::GATEWAY, gateways(document, cluster, version)?),
        (Kind::POLICY, policies(document, cluster, version)?),
    ];
    let mut inputs = vec![Input::Peers(document.peers.iter().map(peer).collect::<Result<_, _>>()?)];
    inputs.extend(lists.into_iter().map(|(kind, records)| Input::Relist { kind, revision, records }));
    inputs.push(Input::Imports(services.imports));
    Ok(inputs)
}

#[derive(Default)]
struct Lists {
    seen: BTreeSet<ServiceKey>,
    services: Vec<Record>,
    exports: Vec<Record>,
    slices: Vec<Record>,
    imports: Vec<(ServiceKey, Import)>,
}

impl Lists {
    fn add(&mut self, entry: &ServiceEntry, cluster: &ClusterId, version: Version) -> Result<(), Wrong> {
        let object = format!("service {}/{}", entry.namespace, entry.name);
        let wrong = |reason: String| (object.clone(), reason);
        let key = ServiceKey::new(&entry.namespace, &entry.name).map_err(|e| wrong(e.to_string()))?;
        if !self.seen.insert(key.clone()) {
            return Err(wrong("is there twice".into()));
        }
        check_ports(entry).map_err(wrong)?;
        if let Some(endpoints) = &entry.endpoints {
            let service = Key::of_service(cluster, Kind::SERVICE, &key);
            self.services.push(Record::live(service, version, Value::Service(service_record(entry))));
            let slice = Key::of_slice(cluster, &key, "file");
            self.slices.push(Record::live(slice, version, Value::Slice(slice_record(entry, endpoints))));
            if entry.exported {
                let export = Key::of_service(cluster, Kind::EXPORT, &key);
                self.exports.push(Record::live(export, version, Value::Export(ExportRecord::default())));
            }
        }
        self.imports.push((key, import(entry)));
        Ok(())
    }
}

fn check_ports(entry: &ServiceEntry) -> Result<(), String> {
    let mut names = BTreeSet::new();
    for port in &entry.ports {
        if port.port == 0 || port.target_port == Some(0) {
            return Err("a port is 0; expected 1 to 65535".into());
        }
        if !names.insert(&port.name) {
            return Err(format!("two ports have the name {:?}; with several ports each needs its own", port.name));
        }
    }
    if entry.ports.is_empty() { Err("has no ports".into()) } else { Ok(()) }
}

fn service_record(entry: &ServiceEntry) -> ServiceRecord {
    let port = |p: &super::PortEntry| ServicePort {
        name: p.name.clone(),
        protocol: Protocol::Tcp.into(),
        port: p.port.into(),
        app_protocol: String::new(),
    };
    ServiceRecord { ports: entry.ports.iter().map(port).collect(), ..ServiceRecord::default() }
}

fn slice_record(entry: &ServiceEntry, endpoints: &[EndpointEntry]) -> SliceRecord {
    let port = |p: &super::PortEntry| SlicePort {
        name: p.name.clone(),
        protocol: Protocol::Tcp.into(),
        port: p.target_port.unwrap_or(p.port).into(),
    };
    let mut zones: Vec<ZoneCounts> = Vec::new();
    for endpoint in endpoints {
        let at = match zones.binary_search_by(|z| z.zone.cmp(&endpoint.zone)) {
            Ok(at) => at,
            Err(at) => {
                zones.insert(at, ZoneCounts { zone: endpoint.zone.clone(), ..ZoneCounts::default() });
                at
            }
        };
        zones[at].ready += u32::from(endpoint.ready && !endpoint.terminating);
        zones[at].serving += u32::from(endpoint.ready);
        zones[at].terminating += u32::from(endpoint.terminating);
        zones[at].total += 1;
    }
    SliceRecord {
        zones,
        endpoints: endpoints.iter().map(pod).collect(),
        ports: entry.ports.iter().map(port).collect(),
        headless: false,
    }
}

fn pod(endpoint: &EndpointEntry) -> SliceEndpoint {
    SliceEndpoint {
        addresses: vec![endpoint.address.to_string()],
        zone: endpoint.zone.clone(),
        ready: endpoint.ready && !endpoint.terminating,
        serving: endpoint.ready,
        terminating: endpoint.terminating,
        ..SliceEndpoint::default()
    }
}

fn import(entry: &ServiceEntry) -> Import {
    let port = |p: &super::PortEntry| ImportPort {
        name: p.name.clone(),
        protocol: Protocol::Tcp,
        port: p.port,
        app_protocol: String::new(),
        listener: p.listen,
    };
    Import { ips: entry.ips.clone(), ports: entry.ports.iter().map(port).collect(), ..Import::default() }
}

fn cluster_record(document: &Document, cluster: &ClusterId, version: Version) -> Record {
    let value = ClusterRecord {
        region: document.region.clone(),
        pod_cidrs: document.pod_cidrs.clone(),
        protocol_min: 1,
        protocol_max: 1,
        ..ClusterRecord::default()
    };
    Record::live(Key::of_cluster(cluster), version, Value::Cluster(value))
}

fn gateways(document: &Document, cluster: &ClusterId, version: Version) -> Result<Vec<Record>, Wrong> {
    let record = |g: &super::GatewayEntry| {
        if g.node.is_empty() || !g.address.contains(':') {
            return Err((format!("gateway {:?}", g.node), "expected a node name and `host:port`".to_owned()));
        }
        let value = GatewayRecord { address: g.address.clone(), zone: g.zone.clone(), ready: true };
        Ok(Record::live(Key::of_gateway(cluster, &g.node), version, Value::Gateway(value)))
    };
    document.gateways.iter().map(record).collect()
}

fn networks(object: String, declared: &[String]) -> Result<(), Wrong> {
    match declared.iter().find(|text| !is_network(text)) {
        Some(wrong) => Err((object, format!("{wrong:?} is no network such as 10.0.0.0/8"))),
        None => Ok(()),
    }
}

fn peer(entry: &PeerEntry) -> Result<Peer, Wrong> {
    let object = format!("peer {:?}", entry.cluster);
    let cluster = ClusterId::parse(&entry.cluster).map_err(|e| (object.clone(), e.to_string()))?;
    networks(format!("{object}, podCIDRs"), &entry.pod_cidrs)?;
    if let Some(wrong) = entry.gateways.iter().find(|g| !g.contains(':')) {
        return Err((object, format!("gateway {wrong:?} is not `host:port`")));
    }
    Ok(Peer {
        cluster,
        gateways: entry.gateways.clone(),
        ca_bundle: entry.ca_bundle.clone(),
        pod_cidrs: entry.pod_cidrs.clone(),
        namespaces: entry.namespaces.clone(),
    })
}
