//! Names of objects and annotations that several parts must spell alike.

/// The namespace that all of Strait's own objects live in.
pub const SYSTEM_NAMESPACE: &str = "strait-system";
/// ConfigMap with this cluster's `id`, `region`, `zones`, `podCIDRs`, `trustDomain` and `gatewayPort`.
pub const CLUSTER_CONFIG_MAP: &str = "strait-cluster";
/// ConfigMap whose `epoch` rises when the cluster's etcd was restored and its revisions went back.
pub const EPOCH_CONFIG_MAP: &str = "strait-epoch";
/// Secret with this cluster's leaf certificate, its key and its CA: `tls.crt`, `tls.key`, `ca.crt`.
pub const IDENTITY_SECRET: &str = "strait-identity";

/// On a ServiceImport: which port the node's proxy listens on for each imported port, as a JSON object such as
/// `{"80/TCP":20017}`.
pub const LISTENERS_ANNOTATION: &str = "strait.dev/listeners";
/// On a ServiceImport: `"true"` while the last export is gone and names may still stand in caches.
pub const LINGERING_ANNOTATION: &str = "strait.dev/lingering";
/// On a ServiceExport: `"true"` steers the plain name `<service>.<namespace>` as well.
pub const PLAIN_NAME_ANNOTATION: &str = "strait.dev/plain-name";
