//! `ServiceExport` of the Multi-Cluster Services API, as upstream's v1beta1 Go types have it.

use std::collections::BTreeMap;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::core::ObjectMeta;
use serde::{Deserialize, Serialize};

use super::served::{MCS_GROUP, upstream_kind};

/// Condition type: the export names a Service that can be exported.
pub const EXPORT_VALID: &str = "Valid";
/// Condition type: the service is exported.
pub const EXPORT_READY: &str = "Ready";
/// Condition type: some property differs between the clusters that export the service.
pub const EXPORT_CONFLICT: &str = "Conflict";

/// The reasons upstream names for the conditions of a ServiceExport.
pub mod export_reason {
    /// `Valid` is true.
    pub const VALID: &str = "Valid";
    /// `Valid` is false: there is no Service of that name.
    pub const NO_SERVICE: &str = "NoService";
    /// `Valid` is false: the Service's type (ExternalName) cannot be exported.
    pub const INVALID_SERVICE_TYPE: &str = "InvalidServiceType";
    /// `Ready` is true: exported to a control or data plane.
    pub const EXPORTED: &str = "Exported";
    /// `Ready` is true: ready to be pulled.
    pub const READY: &str = "Ready";
    /// `Ready` is false or unknown: being exported.
    pub const PENDING: &str = "Pending";
    /// `Ready` is false: the message says why.
    pub const FAILED: &str = "Failed";
    /// `Conflict` is true: ports are not identical everywhere.
    pub const PORT_CONFLICT: &str = "PortConflict";
    /// `Conflict` is true: headless here, not there.
    pub const TYPE_CONFLICT: &str = "TypeConflict";
    /// `Conflict` is true: `sessionAffinity` differs.
    pub const SESSION_AFFINITY_CONFLICT: &str = "SessionAffinityConflict";
    /// `Conflict` is true: `sessionAffinityConfig` differs.
    pub const SESSION_AFFINITY_CONFIG_CONFLICT: &str = "SessionAffinityConfigConflict";
    /// `Conflict` is true: exported labels differ.
    pub const LABELS_CONFLICT: &str = "LabelsConflict";
    /// `Conflict` is true: exported annotations differ.
    pub const ANNOTATIONS_CONFLICT: &str = "AnnotationsConflict";
    /// `Conflict` is true: `internalTrafficPolicy` differs.
    pub const INTERNAL_TRAFFIC_POLICY_CONFLICT: &str = "InternalTrafficPolicyConflict";
    /// `Conflict` is true: `trafficDistribution` differs.
    pub const TRAFFIC_DISTRIBUTION_CONFLICT: &str = "TrafficDistributionConflict";
    /// `Conflict` is true: IP families differ so that traffic would reach only some backends.
    pub const IP_FAMILY_CONFLICT: &str = "IPFamilyConflict";
    /// `Conflict` is false.
    pub const NO_CONFLICTS: &str = "NoConflicts";
}

/// Declares that the Service of the same name and namespace may be used from other clusters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceExport {
    /// Group and version under which the object was read or is written.
    #[serde(default)]
    pub api_version: String,
    /// `ServiceExport`.
    #[serde(default)]
    pub kind: String,
    /// Standard metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What is exported beside the Service.
    #[serde(default)]
    pub spec: ServiceExportSpec,
    /// Written by the implementation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ServiceExportStatus>,
}

upstream_kind!(ServiceExport, MCS_GROUP, "serviceexports", NamespaceResourceScope);

impl ServiceExport {
    /// An export of that Service, with nothing beside it.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        let metadata =
            ObjectMeta { name: Some(name.into()), namespace: Some(namespace.into()), ..ObjectMeta::default() };
        Self { metadata, ..Self::default() }
    }
}

/// What is exported beside the Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceExportSpec {
    /// Labels for the ServiceImport.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub exported_labels: BTreeMap<String, String>,
    /// Annotations for the ServiceImport.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub exported_annotations: BTreeMap<String, String>,
}

/// What the implementation says of an export.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceExportStatus {
    /// At most one of each type: [`EXPORT_VALID`], [`EXPORT_READY`], [`EXPORT_CONFLICT`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
