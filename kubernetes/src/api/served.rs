//! Upstream kinds that are served in two versions of equal content.

/// API group of ServiceExport and ServiceImport.
pub const MCS_GROUP: &str = "multicluster.x-k8s.io";
/// API group of ClusterProperty.
pub const ABOUT_GROUP: &str = "about.k8s.io";

/// Under which version an upstream kind is asked for. Both have the same fields; upstream stores `v1beta1`.
///
/// This is the `DynamicType` of the upstream kinds: `Api::all(client)` speaks `v1beta1`,
/// `Api::all_with(client, &ServedVersion::V1Alpha1)` speaks the older one, for clusters that serve only that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ServedVersion {
    /// `v1beta1`, stored.
    #[default]
    V1Beta1,
    /// `v1alpha1`, served beside it, or alone by CRDs of mcs-api before 0.3.
    V1Alpha1,
}

impl ServedVersion {
    /// In the order in which they are tried.
    pub const PREFERENCE: [Self; 2] = [Self::V1Beta1, Self::V1Alpha1];

    /// As it stands in a path and in `apiVersion`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1Beta1 => "v1beta1",
            Self::V1Alpha1 => "v1alpha1",
        }
    }
}

/// Implements `kube::Resource` for a hand-written upstream kind, and its constructor's `apiVersion`.
macro_rules! upstream_kind {
    ($kind:ident, $group:expr, $plural:literal, $scope:ty) => {
        impl kube::Resource for $kind {
            type DynamicType = $crate::api::ServedVersion;
            type Scope = $scope;

            fn kind(_: &Self::DynamicType) -> std::borrow::Cow<'_, str> {
                stringify!($kind).into()
            }

            fn group(_: &Self::DynamicType) -> std::borrow::Cow<'_, str> {
                $group.into()
            }

            fn version(served: &Self::DynamicType) -> std::borrow::Cow<'_, str> {
                served.as_str().into()
            }

            fn plural(_: &Self::DynamicType) -> std::borrow::Cow<'_, str> {
                $plural.into()
            }

            fn meta(&self) -> &kube::core::ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut kube::core::ObjectMeta {
                &mut self.metadata
            }
        }

        impl Default for $kind {
            /// An object without a name, in the stored version.
            fn default() -> Self {
                Self {
                    api_version: format!("{}/{}", $group, $crate::api::ServedVersion::default().as_str()),
                    kind: stringify!($kind).to_owned(),
                    metadata: kube::core::ObjectMeta::default(),
                    spec: Default::default(),
                    status: None,
                }
            }
        }

        impl $kind {
            /// The same object under another served version.
            #[must_use]
            pub fn served_as(mut self, served: $crate::api::ServedVersion) -> Self {
                self.api_version = format!("{}/{}", $group, served.as_str());
                self
            }
        }
    };
}

pub(super) use upstream_kind;
