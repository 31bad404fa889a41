//! The routes of all services at one moment.

use std::collections::HashMap;
use std::sync::Arc;

use strait_catalog::ServiceKey;

use super::service::ServiceRoute;

/// A TCP port of a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteKey {
    /// The service.
    pub service: ServiceKey,
    /// The Service's port number.
    pub port: u16,
}

/// All routes. Immutable but for the atomics inside routes; published as a whole.
#[derive(Clone, Debug, Default)]
pub struct RouteTable {
    pub(crate) routes: HashMap<RouteKey, Arc<ServiceRoute>>,
}

impl RouteTable {
    /// The route of one port of a service; `None` when it is neither imported here nor served by this cluster.
    #[must_use]
    pub fn get(&self, key: &RouteKey) -> Option<&Arc<ServiceRoute>> {
        self.routes.get(key)
    }

    /// All routes, in no order.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<ServiceRoute>> {
        self.routes.values()
    }

    /// How many routes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }
}
