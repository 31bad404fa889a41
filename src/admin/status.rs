//! `/status`: everything the daemon knows, as one JSON object. `strait status` prints it for people.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use strait_catalog::{ClusterView, ServiceKey, ServiceView, Snapshot};
use strait_identity::IdentityState;

use super::AdminState;
use crate::readiness::State;

/// The whole document.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// The daemon's cluster.
    pub cluster: String,
    /// Its node.
    pub node: String,
    /// How long it runs, in seconds.
    pub up_seconds: u64,
    /// `ready`, `waiting for …` or `draining`.
    pub readiness: String,
    /// The certificate: `waiting`, `ready until …`, or what fails.
    pub identity: String,
    /// `unjoined` without peers, else how many are connected.
    pub peers: String,
    /// The number of the newest snapshot.
    pub snapshot: u64,
    /// The source of the own cluster's state.
    pub source: Value,
    /// Every cluster.
    pub clusters: Vec<ClusterStatus>,
    /// Every imported or exported service, by `namespace/name`.
    pub services: BTreeMap<String, ServiceStatus>,
    /// Sessions with other daemons.
    pub sync: Value,
    /// The data plane: shares, endpoints, links.
    pub proxy: Value,
}

/// One cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// Its id.
    pub id: String,
    /// The daemon's own.
    pub local: bool,
    /// Region.
    pub region: String,
    /// How old the knowledge about it is, in milliseconds; none when nothing was ever heard.
    pub age_ms: Option<u64>,
    /// What that age makes of its weight, 0–1.
    pub weight: f64,
    /// Records held.
    pub records: usize,
    /// The highest version held.
    pub highest: String,
    /// Its gateways.
    pub gateways: Vec<String>,
}

/// One service.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Its addresses in this cluster.
    pub ips: Vec<String>,
    /// Port number to the address this daemon listens on.
    pub listeners: BTreeMap<String, String>,
    /// The name lingers after the last export went.
    pub lingering: bool,
    /// Each cluster's side.
    pub backends: BTreeMap<String, BackendStatus>,
}

/// One cluster's side of a service.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BackendStatus {
    /// Exported by that cluster.
    pub exported: bool,
    /// Ready endpoints.
    pub ready: u32,
    /// All endpoints.
    pub total: u32,
    /// Why endpoints were left out.
    pub refused: Vec<String>,
}

/// Puts it together.
#[must_use]
pub fn of(state: &AdminState) -> Status {
    let snapshot = state.published.load();
    let now_ms = u64::try_from(state.origin.elapsed().as_millis()).unwrap_or(u64::MAX);
    let sync = state.sync.status();
    let connected = sync.peers.iter().filter(|p| p.connected).count();
    Status {
        version: env!("CARGO_PKG_VERSION").into(),
        cluster: state.args.cluster.to_string(),
        node: state.args.node.clone(),
        up_seconds: now_ms / 1000,
        readiness: readiness(&state.readiness.state()),
        identity: identity(&state.identity.borrow()),
        peers: if sync.peers.is_empty() {
            "unjoined".into()
        } else {
            format!("{connected} of {} connected from this node", sync.peers.len())
        },
        snapshot: snapshot.number,
        source: state.source.json(),
        clusters: snapshot.clusters().map(|c| cluster(c, now_ms)).collect(),
        services: services(&snapshot),
        sync: serde_json::to_value(sync).unwrap_or_default(),
        proxy: serde_json::to_value(state.proxy.view()).unwrap_or_default(),
    }
}

fn readiness(state: &State) -> String {
    match state {
        State::Ready => "ready".into(),
        State::Draining => "draining".into(),
        State::Waiting(awaited) => format!("waiting for {}", awaited.iter().copied().collect::<Vec<_>>().join(", ")),
    }
}

fn identity(state: &IdentityState) -> String {
    match state {
        IdentityState::Waiting { .. } => "waiting".into(),
        other => other.to_string(),
    }
}

fn cluster(view: &ClusterView, now_ms: u64) -> ClusterStatus {
    ClusterStatus {
        id: view.id.to_string(),
        local: view.local,
        region: view.region.clone(),
        age_ms: view.freshness.age_ms(now_ms),
        weight: view.freshness.weight(now_ms),
        records: view.records,
        highest: view.highest.to_string(),
        gateways: view.gateways.iter().map(|g| g.address.clone()).collect(),
    }
}

/// Services that nobody exports and nobody imports are the own cluster's private business.
fn services(snapshot: &Snapshot) -> BTreeMap<String, ServiceStatus> {
    snapshot
        .services()
        .filter(|(_, view)| view.import.is_some() || view.exporters().next().is_some())
        .map(|(key, view): (&ServiceKey, _)| (key.to_string(), service(view)))
        .collect()
}

fn service(view: &ServiceView) -> ServiceStatus {
    let import = view.import.as_ref();
    let ports = import.map(|i| i.ports.as_slice()).unwrap_or_default();
    ServiceStatus {
        ips: import.map(|i| i.ips.iter().map(ToString::to_string).collect()).unwrap_or_default(),
        listeners: ports
            .iter()
            .filter_map(|p| Some((format!("{}/{}", p.port, p.protocol.as_str()), p.listener?.to_string())))
            .collect(),
        lingering: import.is_some_and(|i| i.lingering),
        backends: view
            .backends
            .iter()
            .map(|(cluster, backend)| {
                let status = BackendStatus {
                    exported: backend.exported(),
                    ready: backend.ready,
                    total: backend.total,
                    refused: backend.refused.iter().map(ToString::to_string).collect(),
                };
                (cluster.to_string(), status)
            })
            .collect(),
    }
}
