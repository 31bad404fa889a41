//! Which sockets a snapshot asks for.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use strait_catalog::{Protocol, ServiceKey, Snapshot};

use crate::route::RouteKey;

mod speech;

pub(crate) use speech::speech;

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Speech {
    /// HTTP in any version, routed request by request; pods speak HTTP/1.1, and HTTP/2 to gRPC clients.
    Http,
    /// The same, with pods that speak HTTP/2 only.
    H2c,
    /// Anything else over TCP, TLS included: relayed byte by byte.
    Raw,
    /// The port does not say: each connection's first bytes do. HTTP in any version is routed request by request,
    /// anything else is relayed.
    Detect,
}

/// What arrives on a listener is for this.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Purpose {
    /// The service.
    pub service: ServiceKey,
    /// Its port.
    pub port: u16,
    /// What is spoken.
    pub speech: Speech,
}

impl Purpose {
    /// The route that its requests take.
    #[must_use]
    pub fn key(&self) -> RouteKey {
        RouteKey { service: self.service.clone(), port: self.port }
    }
}

/// The sockets of every imported TCP port that has one. Where two ports claim one address the first by name has it;
/// the others are returned too.
pub(crate) fn plan(snapshot: &Snapshot) -> (BTreeMap<SocketAddr, Purpose>, Vec<(SocketAddr, Purpose)>) {
    let (mut wanted, mut clashes) = (BTreeMap::new(), Vec::new());
    for (service, _, import) in snapshot.imported() {
        for port in import.ports.iter().filter(|p| p.protocol == Protocol::Tcp) {
            let Some(address) = port.listener else { continue };
            let purpose =
                Purpose { service: service.clone(), port: port.port, speech: speech(&port.name, &port.app_protocol) };
            match wanted.entry(address) {
                std::collections::btree_map::Entry::Vacant(free) => {
                    free.insert(purpose);
                }
                std::collections::btree_map::Entry::Occupied(_) => clashes.push((address, purpose)),
            }
        }
    }
    (wanted, clashes)
}
