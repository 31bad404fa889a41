//! What is watched, and where it is asked for.

use crate::api::{CLUSTER_CONFIG_MAP, EPOCH_CONFIG_MAP, MCS_GROUP, SYSTEM_NAMESPACE, ServedVersion};

/// One watched kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Watched {
    /// ConfigMap `strait-cluster`: the cluster's facts.
    Cluster,
    /// ConfigMap `strait-epoch`.
    Epoch,
    /// Services everywhere.
    Service,
    /// EndpointSlices that belong to a Service.
    EndpointSlice,
    /// ServiceExports everywhere.
    ServiceExport,
    /// ServiceImports everywhere.
    ServiceImport,
    /// ClusterPeers.
    ClusterPeer,
    /// Nodes.
    Node,
    /// TrafficPolicies everywhere.
    TrafficPolicy,
}

impl Watched {
    pub(super) const ALL: [Self; 9] = [
        Self::Cluster,
        Self::Epoch,
        Self::Service,
        Self::EndpointSlice,
        Self::ServiceExport,
        Self::ServiceImport,
        Self::ClusterPeer,
        Self::Node,
        Self::TrafficPolicy,
    ];

    /// The kind's name, or that of the one object that is watched; also the label of its metrics.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => CLUSTER_CONFIG_MAP,
            Self::Epoch => EPOCH_CONFIG_MAP,
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::ServiceExport => "ServiceExport",
            Self::ServiceImport => "ServiceImport",
            Self::ClusterPeer => "ClusterPeer",
            Self::Node => "Node",
            Self::TrafficPolicy => "TrafficPolicy",
        }
    }

    /// The paths under which it may be served, in the order in which they are tried.
    pub(super) fn paths(self) -> Vec<String> {
        let mcs = |plural: &str| {
            ServedVersion::PREFERENCE.iter().map(|v| format!("/apis/{MCS_GROUP}/{}/{plural}", v.as_str())).collect()
        };
        match self {
            Self::Cluster | Self::Epoch => vec![format!("/api/v1/namespaces/{SYSTEM_NAMESPACE}/configmaps")],
            Self::Service => vec!["/api/v1/services".into()],
            Self::EndpointSlice => vec!["/apis/discovery.k8s.io/v1/endpointslices".into()],
            Self::ServiceExport => mcs("serviceexports"),
            Self::ServiceImport => mcs("serviceimports"),
            Self::ClusterPeer => vec!["/apis/strait.dev/v1alpha1/clusterpeers".into()],
            Self::Node => vec!["/api/v1/nodes".into()],
            Self::TrafficPolicy => vec!["/apis/strait.dev/v1alpha1/trafficpolicies".into()],
        }
    }

    /// Which of its objects are of interest.
    pub(super) const fn labels(self) -> Option<&'static str> {
        match self {
            Self::EndpointSlice => Some("kubernetes.io/service-name"),
            _ => None,
        }
    }

    /// The one object of interest. By name, so that the right to read can be limited to it.
    pub(super) const fn name(self) -> Option<&'static str> {
        match self {
            Self::Cluster => Some(CLUSTER_CONFIG_MAP),
            Self::Epoch => Some(EPOCH_CONFIG_MAP),
            _ => None,
        }
    }

    /// The same as a selector.
    pub(super) fn fields(self) -> Option<String> {
        self.name().map(|name| format!("metadata.name={name}"))
    }

    /// True for custom resources: an API server without the CRD answers 404, which then means "none".
    pub(super) const fn may_be_absent(self) -> bool {
        matches!(self, Self::ServiceExport | Self::ServiceImport | Self::ClusterPeer | Self::TrafficPolicy)
    }

    /// True for kinds that an older installation does not let its agents read: they do without, as if there were none.
    pub(super) const fn may_be_forbidden(self) -> bool {
        matches!(self, Self::TrafficPolicy)
    }
}
