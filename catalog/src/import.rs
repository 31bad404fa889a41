//! What this cluster's own API server says about an imported service: addresses and listeners. Never replicated.

use std::net::{IpAddr, SocketAddr};

use crate::value::Protocol;

/// One port of an imported service.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ImportPort {
    /// The port's name; empty when it has none.
    pub name: String,
    /// Transport protocol.
    #[serde(serialize_with = "protocol")]
    pub protocol: Protocol,
    /// The service's port number.
    pub port: u16,
    /// `appProtocol`, empty when unset.
    pub app_protocol: String,
    /// Where this node's proxy listens for it; `None` until one was allocated.
    pub listener: Option<SocketAddr>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn protocol<S: serde::Serializer>(protocol: &Protocol, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(protocol.as_str())
}

/// An imported service as this cluster offers it to its pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Import {
    /// The ClusterSetIPs, one a family, in the order of the families; empty when headless or not yet allocated.
    pub ips: Vec<IpAddr>,
    /// The ports.
    pub ports: Vec<ImportPort>,
    /// No ClusterSetIP: DNS answers with pods.
    pub headless: bool,
    /// The last export is gone; listeners stay until names have left every cache.
    pub lingering: bool,
}
