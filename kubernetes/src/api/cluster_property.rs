//! `ClusterProperty` of the About API, as upstream's Go types have it.

use k8s_openapi::ClusterResourceScope;
use kube::core::ObjectMeta;
use serde::{Deserialize, Serialize};

use super::served::{ABOUT_GROUP, upstream_kind};

/// The property that holds the cluster's id within its set.
pub const CLUSTER_ID_PROPERTY: &str = "cluster.clusterset.k8s.io";
/// The property that holds the name of the set.
pub const CLUSTER_SET_PROPERTY: &str = "clusterset.k8s.io";

/// One fact about a cluster; the object's name says which.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterProperty {
    /// Group and version under which the object was read or is written.
    #[serde(default)]
    pub api_version: String,
    /// `ClusterProperty`.
    #[serde(default)]
    pub kind: String,
    /// Standard metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// The fact.
    #[serde(default)]
    pub spec: ClusterPropertySpec,
    /// Empty upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ClusterPropertyStatus>,
}

upstream_kind!(ClusterProperty, ABOUT_GROUP, "clusterproperties", ClusterResourceScope);

impl ClusterProperty {
    /// A property of that name and value.
    #[must_use]
    pub fn new(name: &str, value: &str) -> Self {
        let metadata = ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() };
        Self { metadata, spec: ClusterPropertySpec { value: value.into() }, ..Self::default() }
    }
}

/// The fact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterPropertySpec {
    /// Its value, 1 to 128,000 characters.
    #[serde(default)]
    pub value: String,
}

/// Empty upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterPropertyStatus {}
