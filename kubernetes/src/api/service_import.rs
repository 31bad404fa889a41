//! `ServiceImport` of the Multi-Cluster Services API, as upstream's v1beta1 Go types have it.

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::SessionAffinityConfig;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::core::ObjectMeta;
use serde::{Deserialize, Serialize};

use super::served::{MCS_GROUP, upstream_kind};

/// Condition type: the import can be used.
pub const IMPORT_READY: &str = "Ready";

/// The reasons upstream names for the condition of a ServiceImport.
pub mod import_reason {
    /// `Ready` is true.
    pub const READY: &str = "Ready";
    /// `Ready` is false or unknown: being created or updated.
    pub const PENDING: &str = "Pending";
    /// `Ready` is false: the cluster has none of the service's IP families.
    pub const IP_FAMILY_NOT_SUPPORTED: &str = "IPFamilyNotSupported";
}

/// A service imported from the clusters of the set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceImport {
    /// Group and version under which the object was read or is written.
    #[serde(default)]
    pub api_version: String,
    /// `ServiceImport`.
    #[serde(default)]
    pub kind: String,
    /// Standard metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// How the service is used.
    #[serde(default)]
    pub spec: ServiceImportSpec,
    /// Which clusters export it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ServiceImportStatus>,
}

upstream_kind!(ServiceImport, MCS_GROUP, "serviceimports", NamespaceResourceScope);

impl ServiceImport {
    /// An import of that name.
    #[must_use]
    pub fn new(namespace: &str, name: &str, spec: ServiceImportSpec) -> Self {
        let metadata =
            ObjectMeta { name: Some(name.into()), namespace: Some(namespace.into()), ..ObjectMeta::default() };
        Self { metadata, spec, ..Self::default() }
    }
}

/// Whether an import has an address of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ServiceImportType {
    /// Reached by its ClusterSetIPs only.
    #[default]
    ClusterSetIP,
    /// Pods are addressed directly.
    Headless,
}

/// One port of an imported service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportedPort {
    /// The port's name; a service of one port may have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `TCP` (also when absent), `UDP` or `SCTP`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// The protocol spoken, as a Service's `appProtocol`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_protocol: Option<String>,
    /// The port number, 1–65535.
    pub port: i32,
}

/// How an imported service is used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceImportSpec {
    /// The union of the ports of all exports; replaced as a whole on apply.
    #[serde(default)]
    pub ports: Vec<ImportedPort>,
    /// The ClusterSetIPs, at most one a family, in the order of `ip_families`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ips: Vec<String>,
    /// ClusterSetIP or Headless.
    #[serde(rename = "type", default)]
    pub type_: ServiceImportType,
    /// `ClientIP` or `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_affinity: Option<String>,
    /// How long a client stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_affinity_config: Option<SessionAffinityConfig>,
    /// `IPv4`, `IPv6`, at most two.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ip_families: Vec<String>,
    /// As a Service's `internalTrafficPolicy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internal_traffic_policy: Option<String>,
    /// As a Service's `trafficDistribution`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic_distribution: Option<String>,
}

/// What is known of where an import comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceImportStatus {
    /// `Present` or `Absent`: whether imported EndpointSlices are made. Newer than the CRDs of mcs-api 0.5.0, which
    /// drop it; set it only where the installed schema has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_slice_objects: Option<String>,
    /// The exporting clusters, one entry each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clusters: Vec<ClusterStatus>,
    /// At most one of each type: [`IMPORT_READY`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// One cluster that exports the service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// Its id, one DNS label.
    pub cluster: String,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::{ServedVersion, ServiceExport};

    #[test]
    fn an_import_reads_and_writes_alike() {
        let text = json!({
            "apiVersion": "multicluster.x-k8s.io/v1beta1", "kind": "ServiceImport",
            "metadata": {"namespace": "ml", "name": "model"},
            "spec": {
                "ports": [{"name": "http", "protocol": "TCP", "appProtocol": "http", "port": 80}], "ips": ["10.111.0.9"],
                "type": "ClusterSetIP", "sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}},
                "ipFamilies": ["IPv4"], "internalTrafficPolicy": "Cluster", "trafficDistribution": "PreferClose",
            },
            "status": {"clusters": [{"cluster": "us-west"}], "conditions": [{
                "type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z",
            }]},
        });
        let import: ServiceImport = serde_json::from_value(text.clone()).unwrap();
        assert_eq!(serde_json::to_value(import).unwrap(), text);
    }

    #[test]
    fn the_served_version_decides_path_and_body() {
        use kube::Resource as _;
        for (served, path) in [
            (ServedVersion::V1Beta1, "/apis/multicluster.x-k8s.io/v1beta1/namespaces/ml/serviceexports"),
            (ServedVersion::V1Alpha1, "/apis/multicluster.x-k8s.io/v1alpha1/namespaces/ml/serviceexports"),
        ] {
            assert_eq!(ServiceExport::url_path(&served, Some("ml")), path);
            let body = serde_json::to_value(ServiceExport::new("ml", "model").served_as(served)).unwrap();
            assert_eq!(body["apiVersion"], format!("multicluster.x-k8s.io/{}", served.as_str()));
            assert_eq!(body["kind"], "ServiceExport");
        }
    }
}
