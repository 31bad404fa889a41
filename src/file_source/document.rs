//! The source file's shape.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// One cluster's state as the file says it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Document {
    /// The version of everything in the file; must rise with each change. Without it a counter is kept beside the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// This cluster's region.
    #[serde(default)]
    pub region: String,
    /// This cluster's pod networks; endpoints outside them are refused.
    #[serde(default, rename = "podCIDRs")]
    pub pod_cidrs: Vec<String>,
    /// The services.
    #[serde(default)]
    pub services: Vec<ServiceEntry>,
    /// How services are served here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<PolicyEntry>,
    /// Where other clusters reach this one; empty leaves them the addresses that their peers' entries name.
    #[serde(default)]
    pub gateways: Vec<GatewayEntry>,
    /// The other clusters.
    #[serde(default)]
    pub peers: Vec<PeerEntry>,
}

/// One service: this cluster's side of it, how it is imported here, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceEntry {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Offered to other clusters.
    #[serde(default = "yes")]
    pub exported: bool,
    /// Its addresses within the cluster set, for DNS.
    #[serde(default)]
    pub ips: Vec<IpAddr>,
    /// Its ports.
    pub ports: Vec<PortEntry>,
    /// This cluster's pods behind it; absent when the service lives elsewhere only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Vec<EndpointEntry>>,
}

/// One port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PortEntry {
    /// Name, needed when there are several.
    #[serde(default)]
    pub name: String,
    /// The service's port.
    pub port: u16,
    /// The pods' port; the service's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_port: Option<u16>,
    /// Where this daemon listens for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
}

/// One pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EndpointEntry {
    /// Its address.
    pub address: IpAddr,
    /// Ready.
    #[serde(default = "yes")]
    pub ready: bool,
    /// Terminating.
    #[serde(default)]
    pub terminating: bool,
    /// Zone.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub zone: String,
}

/// One TrafficPolicy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyEntry {
    /// Namespace, the service's as well.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// As in a TrafficPolicy.
    pub spec: serde_json::Value,
}

/// One gateway of this cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayEntry {
    /// The node it stands on.
    pub node: String,
    /// `host:port`.
    pub address: String,
    /// Zone.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub zone: String,
}

/// One other cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PeerEntry {
    /// Its id.
    pub cluster: String,
    /// `host:port` of its gateways.
    pub gateways: Vec<String>,
    /// Its CA certificates, PEM.
    pub ca_bundle: String,
    /// Its pod networks.
    #[serde(default, rename = "podCIDRs")]
    pub pod_cidrs: Vec<String>,
    /// Namespaces accepted from it; all when empty.
    #[serde(default)]
    pub namespaces: Vec<String>,
}

const fn yes() -> bool {
    true
}

impl Document {
    /// Reads the file's text.
    ///
    /// # Errors
    /// What is wrong and where, in one line.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("the file is empty".into());
        }
        serde_saphyr::from_str(text).map_err(|e| one_line(&e.to_string()))
    }

    /// The file's text.
    ///
    /// # Errors
    /// Only if a value cannot be written as YAML, which none of these types can cause.
    pub fn render(&self) -> Result<String, String> {
        serde_saphyr::to_string(self).map_err(|e| e.to_string())
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect()
}
