//! The route of one port of one service.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use arc_swap::ArcSwapOption;
use strait_catalog::{ClusterId, Freshness};

use super::class::Class;
use super::load::LoadReport;
use super::place::Place;
use super::repeats::{Repeats, Replay};
use super::shares::ShareCells;
use super::table::RouteKey;
use super::targets::{Candidate, Targets};
use crate::admission::Urgency;
use crate::balance::{Ranking, ReturnStatus};
use crate::health::{ClusterNumber, Link, Usable};
use crate::policy::ServicePolicy;

/// What overloaded own endpoints have no room for goes to clusters whose endpoints have at most this part as much each.
const OVERFLOW: f64 = 0.5;

/// One cluster of a route.
#[derive(Debug)]
pub struct ClusterRoute {
    /// Its id.
    pub id: ClusterId,
    /// Its number in this process.
    pub number: ClusterNumber,
    /// True for the daemon's own cluster: its targets are pods. Else they are gateways.
    pub local: bool,
    /// What its endpoints allow: the best class among them. Gateways do not tell single endpoints apart.
    pub class: Class,
    /// Ready endpoints, by the catalog.
    pub ready: u32,
    /// What is counted there.
    pub place: Arc<Place>,
    /// Its targets; gateways are shared by all routes.
    pub targets: Arc<Targets>,
    /// How old the knowledge of it is.
    pub freshness: Arc<Freshness>,
    /// The way to it.
    pub link: Arc<Link>,
    /// Which target is due for probation, plus one; [`TRICKLE`] for any; 0 for none.
    pub(crate) due: AtomicU32,
}

/// Asks for one request to the cluster, whichever target.
pub(crate) const TRICKLE: u32 = u32::MAX;

/// The route of one port of one service: its clusters (the own one first, when it serves) and their shares.
#[derive(Debug)]
pub struct ServiceRoute {
    /// Service and port.
    pub key: RouteKey,
    /// The clusters that have the port, at most [`MAX_CLUSTERS`](super::MAX_CLUSTERS).
    pub clusters: Box<[ClusterRoute]>,
    /// No cluster exports it any more and its name is fading from caches: connections are asked to end.
    pub lingering: bool,
    /// What is in force for the service.
    pub policy: Arc<ServicePolicy>,
    /// Its mode, by the numbers of clusters.
    pub(crate) ranking: Ranking,
    /// What is counted of requests that other clusters sent through this cluster's gateways.
    pub inbound: Arc<Place>,
    /// Its budget of replays.
    pub(crate) repeats: Arc<Repeats>,
    pub(crate) shares: ShareCells,
    /// A bit for each cluster that wants one request out of turn.
    pub(crate) due: AtomicU32,
    pub(crate) panic: AtomicBool,
    /// How far the own cluster is on its way back, for status.
    pub(crate) coming_back: ArcSwapOption<ReturnStatus>,
    /// Requests that the own endpoints may have in flight for this daemon when one of the usual urgency comes; `u32::MAX`
    /// while they are not overloaded.
    pub(crate) room: AtomicU32,
    /// Some cluster is full: picks look for those that are not.
    pub(crate) pressed: AtomicBool,
    /// Above this many requests in flight the route sheds those of the usual urgency; `u32::MAX` when it does not.
    pub(crate) shed_above: AtomicU32,
}

impl ServiceRoute {
    pub(crate) fn new(key: RouteKey, clusters: Vec<ClusterRoute>, inbound: Arc<Place>, lingering: bool) -> Self {
        Self {
            key,
            lingering,
            shares: ShareCells::new(clusters.len()),
            clusters: clusters.into(),
            policy: Arc::default(),
            ranking: Ranking::default(),
            inbound,
            repeats: Arc::default(),
            due: AtomicU32::new(0),
            panic: AtomicBool::new(false),
            coming_back: ArcSwapOption::empty(),
            room: AtomicU32::new(u32::MAX),
            pressed: AtomicBool::new(false),
            shed_above: AtomicU32::new(u32::MAX),
        }
    }

    /// The same under a policy.
    pub(crate) fn under(self, policy: Arc<ServicePolicy>, ranking: Ranking) -> Self {
        Self { policy, ranking, ..self }
    }

    /// The same with the counts that outlive a route.
    pub(crate) fn after(self, old: Option<&Self>) -> Self {
        Self { repeats: old.map(|old| old.repeats.clone()).unwrap_or_default(), ..self }
    }

    /// Takes room for one replay in the service's budget, `percent` of its requests under way; `beside` another attempt or not.
    pub(crate) fn replay(&self, percent: u32, beside: bool) -> Option<Replay> {
        self.repeats.replay(self.in_flight() + self.inbound.in_flight(), percent, beside)
    }

    /// The own cluster's side, when it serves the port.
    #[must_use]
    pub fn local(&self) -> Option<&ClusterRoute> {
        self.clusters.first().filter(|c| c.local)
    }

    /// Each cluster's share of the requests, 0–1.
    #[must_use]
    pub fn shares(&self) -> Vec<f64> {
        self.shares.read()
    }

    /// True when less than half of all capacity is left: own pods that are ejected for bad answers are then used as well.
    #[must_use]
    pub fn in_panic(&self) -> bool {
        self.panic.load(Ordering::Relaxed)
    }

    /// True while some cluster is full.
    pub(crate) fn is_pressed(&self) -> bool {
        self.pressed.load(Ordering::Relaxed)
    }

    /// This daemon's own requests in flight, to all clusters.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.clusters.iter().map(|c| c.place.in_flight()).sum()
    }

    /// True when a client's request should be answered 503 with `Retry-After` at once: there is a panic and far more is
    /// in flight than what is left could bear, or every cluster that could serve it is full. The less urgent it is, the
    /// earlier.
    #[must_use]
    pub fn shed(&self, urgency: Urgency, now_ms: u64) -> bool {
        self.beyond_panic(urgency) || (self.pressed.load(Ordering::Relaxed) && self.all_full(now_ms, urgency))
    }

    /// The same for a request that another cluster sends: only the own endpoints count.
    #[must_use]
    pub fn shed_inbound(&self, urgency: Urgency) -> bool {
        self.beyond_panic(urgency) || self.own_full(urgency)
    }

    fn beyond_panic(&self, urgency: Urgency) -> bool {
        let limit = self.shed_above.load(Ordering::Relaxed);
        limit != u32::MAX && self.in_flight() + self.inbound.in_flight() > urgency.most(limit)
    }

    /// Requests in flight at the own endpoints, of own clients and of other clusters.
    pub(crate) fn held(&self) -> u32 {
        self.local().map_or(0, |local| local.place.in_flight()) + self.inbound.in_flight()
    }

    /// True when the own endpoints are overloaded and have in flight what they may, for a request as urgent as that.
    pub(crate) fn own_full(&self, urgency: Urgency) -> bool {
        let room = self.room.load(Ordering::Relaxed);
        room != u32::MAX && self.held() >= urgency.most(room)
    }

    /// True when a cluster is not to be given more that is as urgent as that: the own one has what it may, another one's gateway said so. What
    /// the own endpoints have no room for goes only where each endpoint has less than half as much in flight: else it
    /// would fill the next cluster as well, and with its own clients' requests on top.
    pub(crate) fn full(&self, cluster: &ClusterRoute, now_ms: u64, urgency: Urgency) -> bool {
        let own_full = self.own_full(urgency);
        if cluster.local {
            return own_full;
        }
        let each = |held: u32, ready: u32| f64::from(held) / f64::from(ready.max(1));
        let own = || each(self.held(), self.local().map_or(1, |local| local.ready));
        let there = || cluster.place.reported_load(now_ms).map(|held| each(held, cluster.ready));
        cluster.place.busy(urgency, now_ms) || (own_full && there().is_some_and(|there| there > OVERFLOW * own()))
    }

    /// True when a cluster is full, and every other cannot serve anyway.
    pub(crate) fn all_full(&self, now_ms: u64, urgency: Urgency) -> bool {
        let mut any = false;
        for cluster in self.clusters.iter().filter(|c| c.class == Class::Ready) {
            let full = self.full(cluster, now_ms, urgency);
            any |= full;
            let usable = |c: &Candidate| c.class == Class::Ready && c.slot.usable(now_ms) == Usable::Yes;
            if !full && !cluster.place.empty(now_ms) && cluster.targets.candidates.iter().any(usable) {
                return false;
            }
        }
        any
    }

    /// What this cluster's gateway reports of its own endpoints.
    #[must_use]
    pub fn load_report(&self) -> LoadReport {
        let Some(local) = self.local() else { return LoadReport::default() };
        let (capacity, _) = local.place.capacity();
        LoadReport { ready: local.ready, capacity, in_flight: local.place.in_flight() + self.inbound.in_flight() }
    }

    /// Asks for one request to cluster `at`: to the target `due` minus one, or to any.
    pub(crate) fn want(&self, at: usize, due: u32) {
        if let Some(cluster) = self.clusters.get(at) {
            cluster.due.store(due, Ordering::Relaxed);
            self.due.fetch_or(1 << at, Ordering::Relaxed);
        }
    }
}
