//! Which sockets a snapshot asks for.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use strait_catalog::{Protocol, ServiceKey, Snapshot};

use crate::route::RouteKey;

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Speech {
    /// HTTP in any version, routed request by request; pods speak HTTP/1.1, and HTTP/2 to gRPC clients.
    Http,
    /// The same, with pods that speak HTTP/2 only.
    H2c,
    /// Anything else over TCP: relayed byte by byte.
    Raw,
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

/// `appProtocol` decides (`kubernetes.io/…` prefixes are those of KEP-3726), else the port name's first part, as
/// Istio and others read it; HTTP when neither says.
pub(crate) fn speech(name: &str, app_protocol: &str) -> Speech {
    const RAW_NAMES: [&str; 13] = [
        "tcp",
        "tls",
        "https",
        "mysql",
        "postgres",
        "postgresql",
        "mongo",
        "mongodb",
        "redis",
        "amqp",
        "kafka",
        "nats",
        "ssh",
    ];
    let name = name.split('-').next().unwrap_or_default().to_ascii_lowercase();
    match &*app_protocol.trim_start_matches("kubernetes.io/").to_ascii_lowercase() {
        "http2" | "h2c" | "grpc" => Speech::H2c,
        "http" | "http/1.1" | "ws" | "grpc-web" => Speech::Http,
        "" if RAW_NAMES.contains(&&*name) => Speech::Raw,
        "" if matches!(&*name, "grpc" | "http2" | "h2c") => Speech::H2c,
        "" => Speech::Http,
        _ => Speech::Raw,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speech_by_protocol_then_by_name() {
        for (name, app, expected) in [
            ("", "", Speech::Http),
            ("http", "", Speech::Http),
            ("web", "", Speech::Http),
            ("tcp-db", "", Speech::Raw),
            ("https", "", Speech::Raw),
            ("postgres", "", Speech::Raw),
            ("tcp-db", "http", Speech::Http),
            ("http", "tcp", Speech::Raw),
            ("", "kubernetes.io/h2c", Speech::H2c),
            ("", "kubernetes.io/ws", Speech::Http),
            ("", "kubernetes.io/wss", Speech::Raw),
            ("", "example.com/own", Speech::Raw),
            ("", "GRPC", Speech::H2c),
            ("grpc-api", "", Speech::H2c),
            ("grpc-web", "grpc-web", Speech::Http),
        ] {
            assert_eq!(speech(name, app), expected, "{name:?} {app:?}");
        }
    }
}
