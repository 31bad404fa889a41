//! One cluster's side of one service, joined from its records by the reader.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::name::ClusterId;
use crate::rules::{Networks, Refusal, admit};
use crate::value::{ExportRecord, Protocol, ServicePort, ServiceRecord, SliceEndpoint, SliceRecord, ZoneCounts};

/// What an endpoint may be used for, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// Ready.
    Ready,
    /// Not ready, not terminating.
    NotReady,
    /// Still serving while terminating. Measured: true for pods that refuse within a second, so used only after a
    /// fresh success and when no other cluster can.
    ServingTerminating,
    /// Terminating and no longer serving.
    Terminating,
}

/// The port pods listen on for one port of the Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetPort {
    /// The Service port's name; empty when it has none.
    pub name: String,
    /// Transport protocol.
    pub protocol: Protocol,
    /// The number.
    pub port: u16,
}

/// One pod behind a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its address.
    pub address: IpAddr,
    /// Its host name within the service; empty when it has none.
    pub hostname: String,
    /// Zone, empty when unknown.
    pub zone: String,
    /// Node, empty when unknown.
    pub node: String,
    /// What the slice says of it.
    pub condition: Condition,
    /// The ports it listens on.
    pub ports: Arc<[TargetPort]>,
}

/// One cluster's side of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backend {
    /// The live export, if any. Without one the backend is of use only inside its own cluster.
    pub export: Option<ExportRecord>,
    /// The Service's ports.
    pub ports: Vec<ServicePort>,
    /// `clusterIP: None`.
    pub headless: bool,
    /// The whole Service record; `None` when only slices or an export are known.
    pub service: Option<ServiceRecord>,
    /// Ready endpoints.
    pub ready: u32,
    /// Serving endpoints.
    pub serving: u32,
    /// Terminating endpoints.
    pub terminating: u32,
    /// All endpoints.
    pub total: u32,
    /// The same by zone, sorted by zone.
    pub zones: Vec<ZoneCounts>,
    /// The pods, sorted by address; empty for another cluster's service unless headless.
    pub endpoints: Vec<Endpoint>,
    /// Endpoints that were left out, with the reason; at most 16 are kept.
    pub refused: Vec<Refusal>,
}

impl Backend {
    /// True when there is a live export of an existing Service that can be exported.
    #[must_use]
    pub fn exported(&self) -> bool {
        self.export.is_some() && self.service.as_ref().is_some_and(|s| !s.external_name)
    }

    /// True when the Service has that port.
    #[must_use]
    pub fn has_port(&self, port: u16, protocol: Protocol) -> bool {
        self.port_named(port, protocol).is_some()
    }

    fn port_named(&self, port: u16, protocol: Protocol) -> Option<&ServicePort> {
        self.ports.iter().find(|p| p.port == u32::from(port) && p.protocol() == protocol)
    }

    /// The pod's port for a port of the Service; `None` when either side does not have it.
    #[must_use]
    pub fn target(&self, endpoint: &Endpoint, port: u16, protocol: Protocol) -> Option<u16> {
        let name = &self.port_named(port, protocol)?.name;
        endpoint.ports.iter().find(|t| t.protocol == protocol && t.name == *name).map(|t| t.port)
    }
}

/// The records of one cluster that concern one service.
#[derive(Default)]
pub(crate) struct Parts<'a> {
    pub(crate) service: Option<&'a ServiceRecord>,
    pub(crate) export: Option<&'a ExportRecord>,
    pub(crate) slices: Vec<&'a SliceRecord>,
}

/// Joins the parts. `None` when there is nothing to say.
pub(crate) fn join(parts: &Parts<'_>, networks: &Networks, cluster: &ClusterId) -> Option<Backend> {
    if parts.service.is_none() && parts.export.is_none() && parts.slices.is_empty() {
        return None;
    }
    let mut backend = Backend {
        export: parts.export.cloned(),
        ports: parts.service.map(|s| s.ports.clone()).unwrap_or_default(),
        headless: parts.service.is_some_and(|s| s.headless),
        service: parts.service.cloned(),
        ..Backend::default()
    };
    let mut pods = BTreeMap::new();
    for slice in &parts.slices {
        count(&mut backend, slice);
        collect(&mut backend, slice, networks, &mut pods);
    }
    if let Some(refusal) = backend.refused.first() {
        tracing::warn!(%cluster, %refusal, count = backend.refused.len(), "endpoints were left out");
    }
    backend.endpoints = pods.into_values().collect();
    Some(backend)
}

fn count(backend: &mut Backend, slice: &SliceRecord) {
    for zone in &slice.zones {
        backend.ready = backend.ready.saturating_add(zone.ready);
        backend.serving = backend.serving.saturating_add(zone.serving);
        backend.terminating = backend.terminating.saturating_add(zone.terminating);
        backend.total = backend.total.saturating_add(zone.total);
        match backend.zones.binary_search_by(|z| z.zone.cmp(&zone.zone)) {
            Ok(at) => {
                let sum = &mut backend.zones[at];
                sum.ready = sum.ready.saturating_add(zone.ready);
                sum.serving = sum.serving.saturating_add(zone.serving);
                sum.terminating = sum.terminating.saturating_add(zone.terminating);
                sum.total = sum.total.saturating_add(zone.total);
            }
            Err(at) => backend.zones.insert(at, zone.clone()),
        }
    }
}

/// A pod may stand in two slices for a moment; its better condition counts.
fn collect(backend: &mut Backend, slice: &SliceRecord, networks: &Networks, pods: &mut BTreeMap<IpAddr, Endpoint>) {
    let ports: Arc<[TargetPort]> = slice
        .ports
        .iter()
        .filter_map(|p| {
            let port = u16::try_from(p.port).ok().filter(|n| *n != 0)?;
            Some(TargetPort { name: p.name.clone(), protocol: p.protocol(), port })
        })
        .collect();
    for pod in &slice.endpoints {
        // kube-proxy uses the first address only, and so does everyone who relies on it.
        let Some(text) = pod.addresses.first() else { continue };
        match admit(text, networks) {
            Ok(address) => {
                let found = endpoint(pod, address, &ports);
                let kept = pods.entry(address).or_insert_with(|| found.clone());
                if found.condition < kept.condition {
                    *kept = found;
                }
            }
            Err(refusal) if backend.refused.len() < 16 => backend.refused.push(refusal),
            Err(_) => {}
        }
    }
}

fn endpoint(pod: &SliceEndpoint, address: IpAddr, ports: &Arc<[TargetPort]>) -> Endpoint {
    let condition = match (pod.ready, pod.serving, pod.terminating) {
        (true, _, false) => Condition::Ready,
        (_, true, true) => Condition::ServingTerminating,
        (_, _, true) => Condition::Terminating,
        (false, _, false) => Condition::NotReady,
    };
    Endpoint {
        address,
        hostname: pod.hostname.clone(),
        zone: pod.zone.clone(),
        node: pod.node.clone(),
        condition,
        ports: ports.clone(),
    }
}
