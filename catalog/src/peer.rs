//! Another cluster as this one was told of it.

use crate::name::ClusterId;

/// What a `ClusterPeer` object (or the source file) says about another cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The other cluster.
    pub cluster: ClusterId,
    /// `host:port` of its gateways; they only bootstrap, live Gateway records replace them.
    pub gateways: Vec<String>,
    /// Its CA certificates, PEM.
    pub ca_bundle: String,
    /// Its pod networks; empty means undeclared, then only unusable addresses are refused.
    pub pod_cidrs: Vec<String>,
    /// Namespaces whose services are accepted from it; empty means all.
    pub namespaces: Vec<String>,
}
