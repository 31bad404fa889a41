//! `ClusterPeer`: another cluster of the set, as this one was told of it.

#![allow(unreachable_pub, reason = "KubeSchema repeats the types inside a function")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// Another cluster of the set: where it is reached, which CA speaks for it, and what is accepted from it.
///
/// The object is named after the cluster, so no two can claim the same one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "strait.dev",
    version = "v1alpha1",
    kind = "ClusterPeer",
    plural = "clusterpeers",
    shortname = "peer",
    category = "strait",
    status = "ClusterPeerStatus",
    derive = "PartialEq",
    doc = "Another cluster of the set: where it is reached, which CA speaks for it, and what is accepted from it.",
    validation = Rule::new("self.metadata.name == self.spec.clusterID").message("metadata.name must be the clusterID"),
    printcolumn(name = "Connected", type_ = "boolean", json_path = ".status.connected", description = "A session to it stands"),
    printcolumn(name = "Knowledge", type_ = "integer", json_path = ".status.ageSeconds", description = "Age in seconds of what is known of it"),
    printcolumn(name = "Agents", type_ = "integer", json_path = ".status.agents", description = "Agents of this cluster with a session to it"),
    printcolumn(name = "Gateways", type_ = "string", json_path = ".spec.gateways", description = "Addresses that bootstrap the connection"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterPeerSpec {
    /// The cluster's id, one DNS label, as its ConfigMap `strait-cluster` says.
    #[serde(rename = "clusterID")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("clusterID cannot be changed: make another ClusterPeer"))]
    pub cluster_id: String,
    /// `host:port` of its gateways. They only bootstrap: once connected, the cluster tells its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(length(max = 261), regex(pattern = r"^(\[[0-9a-fA-F:.]+\]|[^:\s\[\]]+):[0-9]{1,5}$"))
    )]
    pub gateways: Vec<String>,
    /// The certificates of its CA, PEM. A cluster's CA can speak for that cluster only.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 262_144))]
    pub ca_bundle: String,
    /// Its pod networks in CIDR notation: endpoints outside them are refused. Empty means undeclared.
    #[serde(rename = "podCIDRs", default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 49), regex(pattern = r"^[0-9a-fA-F:.]+/[0-9]{1,3}$")))]
    pub pod_cidrs: Vec<String>,
    /// Namespaces whose services are accepted from it. Empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024), inner(length(min = 1, max = 63)))]
    pub namespaces: Vec<String>,
}

/// What this cluster's agents see of the peer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterPeerStatus {
    /// An agent of this cluster has a session to it.
    #[serde(default)]
    pub connected: bool,
    /// How many agents of this cluster have one.
    #[serde(default)]
    pub agents: i32,
    /// Age in seconds of what is known of it; absent when nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<i64>,
    /// At most one of each type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use kube::CustomResourceExt as _;
    use serde_json::{Value, json};

    use super::*;

    fn crd() -> Value {
        serde_json::to_value(ClusterPeer::crd()).unwrap()
    }

    #[test]
    fn the_crd_is_cluster_scoped_with_status_and_columns() {
        let crd = crd();
        assert_eq!(crd["spec"]["scope"], "Cluster");
        let version = &crd["spec"]["versions"][0];
        assert_eq!((&version["name"], &version["storage"]), (&json!("v1alpha1"), &json!(true)));
        assert_eq!(version["subresources"], json!({"status": {}}));
        let columns: Vec<_> =
            version["additionalPrinterColumns"].as_array().unwrap().iter().map(|c| c["name"].clone()).collect();
        assert_eq!(columns, ["Connected", "Knowledge", "Agents", "Gateways", "Age"]);
    }

    #[test]
    fn the_schema_checks_ids_and_addresses() {
        let schema = &crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let spec = &schema["properties"]["spec"];
        assert_eq!(spec["required"], json!(["clusterID"]));
        assert_eq!(spec["properties"]["clusterID"]["maxLength"], 63);
        assert!(spec["properties"]["clusterID"]["pattern"].is_string());
        assert_eq!(spec["properties"]["clusterID"]["x-kubernetes-validations"][0]["rule"], "self == oldSelf");
        assert!(spec["properties"]["gateways"]["items"]["pattern"].is_string());
        assert!(spec["properties"]["podCIDRs"]["items"]["pattern"].is_string());
        assert!(schema["x-kubernetes-validations"][0]["rule"].as_str().unwrap().contains("metadata.name"));
    }

    #[test]
    fn a_peer_reads_and_writes_alike() {
        let text = json!({
            "apiVersion": "strait.dev/v1alpha1", "kind": "ClusterPeer", "metadata": {"name": "us-east"},
            "spec": {"clusterID": "us-east", "gateways": ["10.77.0.12:31443"], "caBundle": "PEM", "podCIDRs": ["10.12.0.0/16"]},
            "status": {"connected": true, "agents": 2, "ageSeconds": 1},
        });
        let peer: ClusterPeer = serde_json::from_value(text.clone()).unwrap();
        assert_eq!(serde_json::to_value(peer).unwrap(), text);
    }
}
