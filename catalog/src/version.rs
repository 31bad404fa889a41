//! The version of a record: the API server's own clock.

/// `(epoch, revision)`, compared in that order. `revision` is the object's `metadata.resourceVersion` as an
/// integer; `epoch` rises when a cluster's etcd was restored and its revisions went back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct Version {
    /// Raised when revisions restart.
    pub epoch: u64,
    /// The API server's revision.
    pub revision: u64,
}

impl Version {
    /// A version from its two parts.
    #[must_use]
    pub const fn new(epoch: u64, revision: u64) -> Self {
        Self { epoch, revision }
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.epoch, self.revision)
    }
}
