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
    /// The port does not say: each connection's first bytes do. HTTP in any version is routed request by request, and
    /// pods speak what they can of what their client speaks; anything else is relayed.
    Detect,
}

/// What pods are spoken to in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PodSpeech {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// HTTP/2 where the pod speaks it, else HTTP/1.1.
    Either,
}

impl Speech {
    /// What pods are spoken to in for a request of a client that speaks HTTP/2 (`http2`) or not. gRPC is nothing else; who
    /// begins with HTTP/2 on a port that does not say most likely knows its pods.
    pub(crate) const fn to_pods(self, http2: bool, grpc: bool) -> PodSpeech {
        match self {
            Self::H2c => PodSpeech::Http2,
            _ if http2 && grpc => PodSpeech::Http2,
            Self::Detect if http2 => PodSpeech::Either,
            Self::Detect | Self::Http | Self::Raw => PodSpeech::Http1,
        }
    }
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
