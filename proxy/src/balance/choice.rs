//! The outcome of a pick: a target, borrowed from its route, or kept together with it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use strait_catalog::ClusterId;

use crate::admission::Urgency;
use crate::health::{ClusterNumber, Link, Slot};
use crate::route::{Address, Candidate, ClusterRoute, InFlight, Place, ServiceRoute};

/// Where to dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetRef<'r> {
    /// A pod of this cluster.
    Pod(SocketAddr),
    /// A gateway of another cluster.
    Gateway {
        /// The cluster.
        cluster: &'r ClusterId,
        /// `host:port`.
        address: &'r Arc<str>,
        /// Its position among the cluster's addresses.
        index: usize,
    },
}

/// The chosen target, borrowed from the route.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'r> {
    /// Where it stands.
    pub cluster: &'r ClusterId,
    /// True for the own cluster.
    pub local: bool,
    /// Where to dial.
    pub target: TargetRef<'r>,
    /// The target's state.
    pub slot: &'r Arc<Slot>,
    /// The one request that tries an ejected target.
    pub probation: bool,
    /// Everything was tried already and this is tried again; the caller may rather give up.
    pub repeated: bool,
    /// It joins another attempt that is silent.
    pub beside: bool,
    /// Its position among its cluster's targets.
    pub(super) position: usize,
    pub(super) urgency: Urgency,
    pub(super) place: &'r Arc<Place>,
    pub(super) link: &'r Link,
}

impl<'r> Choice<'r> {
    /// The target at that position of the cluster, for a request as urgent as that.
    pub(super) fn of(cluster: &'r ClusterRoute, index: usize, candidate: &'r Candidate, urgency: Urgency) -> Self {
        let target = match &candidate.address {
            Address::Pod(address) => TargetRef::Pod(*address),
            Address::Gateway(address) => TargetRef::Gateway { cluster: &cluster.id, address, index },
        };
        Self {
            cluster: &cluster.id,
            local: cluster.local,
            target,
            slot: &candidate.slot,
            probation: false,
            repeated: false,
            beside: false,
            position: index,
            urgency,
            place: &cluster.place,
            link: &cluster.link,
        }
    }

    /// How long its place usually takes to answer; `None` while too little is known.
    #[must_use]
    pub fn usual(&self) -> Option<Duration> {
        self.place.usual()
    }

    /// The distance to its cluster: nothing at home, and nothing while it is not known.
    #[must_use]
    pub fn rtt(&self) -> Duration {
        if self.local { Duration::ZERO } else { self.link.rtt().unwrap_or_default() }
    }

    /// Starts the attempt: counts it in flight until the guard is dropped.
    #[must_use]
    pub fn begin(&self) -> InFlight {
        InFlight::new(Arc::clone(self.slot), Arc::clone(self.place), self.urgency)
    }

    /// The choice, which was made of that route by the shares, kept for later.
    pub(crate) fn keep(&self, route: &Arc<ServiceRoute>) -> Chosen {
        Chosen { route: route.clone(), cluster: self.slot.cluster(), position: self.position, urgency: self.urgency }
    }
}

/// A first choice with the route it was made of.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    route: Arc<ServiceRoute>,
    cluster: ClusterNumber,
    position: usize,
    urgency: Urgency,
}

impl Chosen {
    /// The route.
    pub(crate) const fn route(&self) -> &Arc<ServiceRoute> {
        &self.route
    }

    /// The choice again.
    pub(crate) fn choice(&self) -> Choice<'_> {
        let cluster =
            self.route.clusters.iter().find(|c| c.number == self.cluster).expect("it was chosen of this route");
        Choice::of(cluster, self.position, &cluster.targets.candidates[self.position], self.urgency)
    }
}
