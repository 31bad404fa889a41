//! The immutable view that DNS, proxy and status read. Cheap to clone, rebuilt per changed service.

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::OrdMap;

use crate::backend::Backend;
use crate::freshness::Freshness;
use crate::import::Import;
use crate::name::{ClusterId, ServiceKey, ServiceParts};
use crate::policy::Policy;
use crate::version::Version;

/// A gateway through which a cluster is reached.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Gateway {
    /// The node it stands on; empty for a bootstrap address.
    pub node: String,
    /// `host:port`.
    pub address: String,
    /// Zone, empty when unknown.
    pub zone: String,
    /// Its node is ready.
    pub ready: bool,
}

/// One cluster as this daemon knows it.
#[derive(Clone, Debug)]
pub struct ClusterView {
    /// Its id.
    pub id: ClusterId,
    /// True for the daemon's own cluster.
    pub local: bool,
    /// Region, empty when unknown.
    pub region: String,
    /// Its gateways: live records, else the addresses that its ClusterPeer names.
    pub gateways: Vec<Gateway>,
    /// Nodes of which it is known that they are not ready, sorted; those without a gateway's address too.
    pub unready_nodes: Vec<Arc<str>>,
    /// How old the knowledge is.
    pub freshness: Arc<Freshness>,
    /// Live records held.
    pub records: usize,
    /// The highest version held.
    pub highest: Version,
}

/// One service with every cluster's side of it.
#[derive(Clone, Debug, Default)]
pub struct ServiceView {
    /// What this cluster's API server says of the import; `None` when the service is not imported here.
    pub import: Option<Import>,
    /// Each cluster that knows the service.
    pub backends: BTreeMap<ClusterId, Backend>,
    /// The own cluster's policy for it, if there is one.
    pub policy: Option<Policy>,
}

impl ServiceView {
    /// The clusters that export it.
    pub fn exporters(&self) -> impl Iterator<Item = (&ClusterId, &Backend)> {
        self.backends.iter().filter(|(_, b)| b.exported())
    }

    /// The clusters whose endpoints may serve it here: those that export it; and when none does any more (names
    /// linger in caches after an unexport), the local Service alone.
    #[must_use]
    pub fn usable<'a>(&'a self, local: &ClusterId) -> Vec<(&'a ClusterId, &'a Backend)> {
        let exporters: Vec<_> = self.exporters().collect();
        if exporters.is_empty() { self.backends.get_key_value(local).into_iter().collect() } else { exporters }
    }
}

/// Everything, at one moment. Readers take one `Arc` per request or query and hold no lock.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Rises with each published snapshot of this process.
    pub number: u64,
    /// The daemon's own cluster.
    pub local: ClusterId,
    /// False until the own cluster's source has finished its first full list.
    pub synced: bool,
    pub(crate) services: OrdMap<ServiceKey, Arc<ServiceView>>,
    pub(crate) clusters: OrdMap<ClusterId, Arc<ClusterView>>,
    /// How many services each namespace has, for DNS names that exist without records of their own.
    pub(crate) namespaces: OrdMap<Arc<str>, usize>,
}

impl Snapshot {
    /// A snapshot that knows nothing.
    #[must_use]
    pub fn empty(local: ClusterId) -> Self {
        Self {
            number: 0,
            local,
            synced: false,
            services: OrdMap::new(),
            clusters: OrdMap::new(),
            namespaces: OrdMap::new(),
        }
    }

    /// One service.
    #[must_use]
    pub fn service(&self, key: &ServiceKey) -> Option<&Arc<ServiceView>> {
        self.services.get(key)
    }

    /// One service by its two names, without making a key: the way of a question that may hold any text.
    #[must_use]
    pub fn find(&self, namespace: &str, name: &str) -> Option<&Arc<ServiceView>> {
        self.services.get(&(namespace, name) as &dyn ServiceParts)
    }

    /// All services, sorted by namespace and name.
    pub fn services(&self) -> impl Iterator<Item = (&ServiceKey, &Arc<ServiceView>)> {
        self.services.iter()
    }

    /// The services that this cluster imports.
    pub fn imported(&self) -> impl Iterator<Item = (&ServiceKey, &Arc<ServiceView>, &Import)> {
        self.services.iter().filter_map(|(k, v)| Some((k, v, v.import.as_ref()?)))
    }

    /// One cluster.
    #[must_use]
    pub fn cluster(&self, id: &ClusterId) -> Option<&Arc<ClusterView>> {
        self.clusters.get(id)
    }

    /// All clusters, sorted by id.
    pub fn clusters(&self) -> impl Iterator<Item = &Arc<ClusterView>> {
        self.clusters.values()
    }

    /// True when a service of that namespace is imported here.
    #[must_use]
    pub fn has_namespace(&self, namespace: &str) -> bool {
        self.namespaces.contains_key(namespace)
    }
}
