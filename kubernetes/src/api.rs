//! The custom resources that Strait reads and writes, and those it defines.
//!
//! `multicluster.x-k8s.io` and `about.k8s.io` are upstream's: their CRDs are installed unchanged from upstream's
//! files, so the types here are written by hand and generate no schema. `strait.dev` is Strait's own: its CRDs are
//! generated from the types ([`crds`]).

mod cluster_peer;
mod cluster_property;
mod duration;
mod names;
mod served;
mod service_export;
mod service_import;
mod traffic_policy;

pub use cluster_peer::{ClusterPeer, ClusterPeerSpec, ClusterPeerStatus};
pub use cluster_property::{
    CLUSTER_ID_PROPERTY, CLUSTER_SET_PROPERTY, ClusterProperty, ClusterPropertySpec, ClusterPropertyStatus,
};
pub use names::{
    CLUSTER_CONFIG_MAP, EPOCH_CONFIG_MAP, IDENTITY_SECRET, LINGERING_ANNOTATION, LISTENERS_ANNOTATION,
    PLAIN_NAME_ANNOTATION, SYSTEM_NAMESPACE,
};
pub use served::{ABOUT_GROUP, MCS_GROUP, ServedVersion};
pub use service_export::{
    EXPORT_CONFLICT, EXPORT_READY, EXPORT_VALID, ServiceExport, ServiceExportSpec, ServiceExportStatus, export_reason,
};
pub use service_import::{
    ClusterStatus, IMPORT_READY, ImportedPort, ServiceImport, ServiceImportSpec, ServiceImportStatus,
    ServiceImportType, import_reason,
};
pub use traffic_policy::{
    FailbackSettings, OutlierSettings, POLICY_ACCEPTED, POLICY_IN_FORCE, PolicyClusterRef, PolicyInForce, PolicyMode,
    RetrySettings, SpillSettings, TargetRef, TimeoutSettings, TrafficPolicy, TrafficPolicySpec, TrafficPolicyStatus,
    policy_reason,
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

/// The custom resource definitions of Strait's own kinds, as `strait crds` prints them.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![ClusterPeer::crd(), TrafficPolicy::crd()]
}
