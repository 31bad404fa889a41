//! Read-only views for status pages and metrics.

use std::sync::Arc;

use serde::Serialize;
use strait_catalog::{ClusterId, ServiceKey};

use super::spill::Hold;
use crate::health::Usable;
use crate::policy::PolicyStatus;
use crate::route::{Address, Candidate, Class, ClusterRoute, RouteTable, ServiceRoute};

/// What a target is fit for at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndpointState {
    /// In use.
    Ready,
    /// Left alone after failures.
    Ejected,
    /// Its back-off is over: the next request, or one on its way, tries it.
    Probation,
    /// Not ready, by the catalog.
    NotReady,
    /// Serving while terminating.
    Leaving,
    /// Terminating.
    Gone,
}

/// One target.
#[derive(Clone, Debug, Serialize)]
pub struct EndpointStatus {
    /// Its address.
    pub address: String,
    /// What it is fit for.
    pub state: EndpointState,
    /// What it is drawn by: weight × health as of the last tick, 1 for a healthy pod; half of it at least in a panic.
    pub weight: f32,
    /// Requests in flight, of this daemon.
    pub in_flight: u32,
    /// Peak-EWMA of its latency, in milliseconds.
    pub latency_ms: f32,
    /// Successes since it is known.
    pub successes: u64,
    /// Failures since it is known.
    pub failures: u64,
}

/// One cluster's side of a service.
#[derive(Clone, Debug, Serialize)]
pub struct ClusterStatus {
    /// The cluster.
    pub cluster: ClusterId,
    /// The daemon's own.
    pub local: bool,
    /// Its share of new requests, 0–1.
    pub share: f64,
    /// Ready endpoints, by the catalog.
    pub ready: u32,
    /// Healthy capacity, in endpoints.
    pub healthy: f32,
    /// The decaying high-water mark it is measured against, in endpoints.
    pub reference: f32,
    /// Round-trip time of the link, in milliseconds; `None` when unknown or local.
    pub rtt_ms: Option<f64>,
    /// Within which time 99 of 100 good answers from there begin, lately, in milliseconds; `None` while too few were seen.
    pub usual_ms: Option<u64>,
    /// How much the knowledge of it counts, 0–1.
    pub freshness: f64,
    /// Requests in flight, of this daemon.
    pub in_flight: u32,
    /// Requests answered well from there.
    pub served: u64,
    /// Attempts that failed there.
    pub failed: u64,
    /// Its pods, or for another cluster its gateways.
    pub endpoints: Vec<EndpointStatus>,
}

/// The own cluster's way back after a failover.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ReturnStatus {
    /// The share that it could take now, 0–1.
    pub target: f64,
    /// Why it is not given more at the moment.
    pub hold: Option<Hold>,
    /// Failovers of the last ten minutes; each one before the last has doubled the time of the return.
    pub failovers: usize,
}

/// One port of one service.
#[derive(Clone, Debug, Serialize)]
pub struct ServiceStatus {
    /// The service.
    pub service: ServiceKey,
    /// The Service's port.
    pub port: u16,
    /// The mode and the TrafficPolicy it comes from.
    pub policy: PolicyStatus,
    /// Less than half of all clusters' capacity is left.
    pub panic: bool,
    /// Requests in flight, of this daemon's own clients.
    pub in_flight: u32,
    /// Requests in flight that other clusters sent here.
    pub inbound: u32,
    /// Set while the own cluster gets less than it could take.
    pub coming_back: Option<ReturnStatus>,
    /// The clusters, the own one first.
    pub clusters: Vec<ClusterStatus>,
}

impl RouteTable {
    /// All services, sorted by name and port.
    #[must_use]
    pub fn status(&self, now_ms: u64) -> Vec<ServiceStatus> {
        let mut routes: Vec<&Arc<ServiceRoute>> = self.routes().collect();
        routes.sort_by(|a, b| a.key.cmp(&b.key));
        routes.into_iter().map(|route| route.status(now_ms)).collect()
    }
}

impl ServiceRoute {
    /// The service as it stands.
    #[must_use]
    pub fn status(&self, now_ms: u64) -> ServiceStatus {
        ServiceStatus {
            service: self.key.service.clone(),
            port: self.key.port,
            policy: self.policy.status(),
            panic: self.in_panic(),
            in_flight: self.in_flight(),
            inbound: self.inbound.in_flight(),
            coming_back: self.coming_back.load().as_deref().copied(),
            clusters: self.clusters.iter().zip(self.shares()).map(|(c, share)| cluster(c, share, now_ms)).collect(),
        }
    }
}

fn cluster(cluster: &ClusterRoute, share: f64, now_ms: u64) -> ClusterStatus {
    let (healthy, reference) = cluster.place.capacity();
    ClusterStatus {
        cluster: cluster.id.clone(),
        local: cluster.local,
        share,
        ready: cluster.ready,
        healthy,
        reference,
        rtt_ms: cluster.link.rtt().filter(|_| !cluster.local).map(|rtt| rtt.as_secs_f64() * 1_000.0),
        usual_ms: cluster.place.usual().and_then(|usual| u64::try_from(usual.as_millis()).ok()),
        freshness: if cluster.local { 1.0 } else { cluster.freshness.weight(now_ms) },
        in_flight: cluster.place.in_flight(),
        served: cluster.place.served(),
        failed: cluster.place.failed(),
        endpoints: cluster.targets.candidates.iter().map(|c| endpoint(c, now_ms)).collect(),
    }
}

fn endpoint(candidate: &Candidate, now_ms: u64) -> EndpointStatus {
    let (successes, failures) = candidate.slot.counts();
    EndpointStatus {
        address: match &candidate.address {
            Address::Pod(address) => address.to_string(),
            Address::Gateway(address) => address.to_string(),
        },
        state: state(candidate, now_ms),
        weight: candidate.effective(),
        in_flight: candidate.slot.in_flight(),
        latency_ms: candidate.slot.latency(now_ms).as_secs_f32() * 1_000.0,
        successes,
        failures,
    }
}

fn state(candidate: &Candidate, now_ms: u64) -> EndpointState {
    match (candidate.class, candidate.slot.usable(now_ms)) {
        (Class::Gone, _) => EndpointState::Gone,
        (Class::NotReady, _) => EndpointState::NotReady,
        (_, Usable::No) => EndpointState::Ejected,
        (_, Usable::Probation) => EndpointState::Probation,
        (Class::Leaving, Usable::Yes) => EndpointState::Leaving,
        (Class::Ready, Usable::Yes) => EndpointState::Ready,
    }
}
