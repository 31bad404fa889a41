//! The choice of one request's target. No allocation, no lock, no clock.

use std::sync::atomic::Ordering;

use super::attempted::Attempted;
use super::choice::Choice;
use crate::health::{Cause, State, Usable};
use crate::route::{Candidate, Class, ClusterRoute, ServiceRoute, TRICKLE};

/// Failed attempts in one cluster after which the next goes to another.
const PER_CLUSTER: usize = 2;
/// A success this recent lets a target be used that is leaving, in milliseconds.
const FRESH_MS: u64 = 2_000;

/// Chooses the target of a request's next attempt among all clusters. `None` only when there is no target at all, or
/// all clusters are full for one as urgent.
///
/// A first attempt goes to a cluster by the shares; a second to another target of the same cluster, if it has another
/// usable one; after two failures in a cluster the next goes elsewhere. A cluster without a usable target is passed
/// over at once. When nothing anywhere is usable the least suspect is tried.
pub fn pick<'r>(
    route: &'r ServiceRoute,
    rng: &mut fastrand::Rng,
    now_ms: u64,
    tried: &Attempted,
) -> Option<Choice<'r>> {
    let mut pick = Pick { route, rng, now_ms, tried, panic: route.in_panic(), pressed: route.is_pressed() };
    if tried.is_empty() && route.due.load(Ordering::Relaxed) != 0 {
        let any = route.due.load(Ordering::Relaxed).trailing_zeros() as usize;
        if let Some(choice) = pick.out_of_turn(any) {
            return Some(choice);
        }
    }
    let first = pick.first_cluster();
    let found = pick.in_turn(first);
    if found.is_none() && pick.pressed && route.all_full(now_ms, tried.urgency()) {
        return None;
    }
    found.or_else(|| pick.leaving()).or_else(|| pick.least_suspect(&route.clusters))
}

/// Chooses among the own cluster's endpoints only, for requests that came through the gateway. `None` when none is
/// ready, leaving with a fresh success, or at least suspect of being ready.
pub fn pick_local_only<'r>(
    route: &'r ServiceRoute,
    rng: &mut fastrand::Rng,
    now_ms: u64,
    tried: &Attempted,
) -> Option<Choice<'r>> {
    let local = route.local()?;
    // The gateway has turned away what its endpoints have no room for.
    let mut pick = Pick { route, rng, now_ms, tried, panic: route.in_panic(), pressed: false };
    let due = tried.is_empty() && route.due.load(Ordering::Relaxed) & 1 != 0;
    let found = due
        .then(|| pick.out_of_turn(0))
        .flatten()
        .or_else(|| pick.usable_in(local))
        .or_else(|| pick.leaving())
        .or_else(|| pick.least_suspect(&route.clusters[..1]).filter(|_| local.ready > 0));
    found.map(|choice| Choice { place: &route.inbound, ..choice })
}

/// Chooses where a second attempt goes beside a silent one at `first`, which was noted as tried: to another pod, after
/// two in a cluster to another cluster; beside a gateway to another cluster, else through another of its gateways.
/// Only to what is usable and has room, and `None` in a panic, when nobody can bear an extra request.
pub fn pick_beside<'r>(
    route: &'r ServiceRoute,
    rng: &mut fastrand::Rng,
    now_ms: u64,
    tried: &Attempted,
    first: &Choice<'_>,
    local_only: bool,
) -> Option<Choice<'r>> {
    let mut pick = Pick { route, rng, now_ms, tried, panic: false, pressed: route.is_pressed() };
    if route.in_panic() {
        return None;
    }
    if local_only {
        let choice = route.local().and_then(|local| pick.usable_in(local));
        return choice.map(|choice| Choice { place: &route.inbound, beside: true, ..choice });
    }
    let number = first.slot.cluster();
    let same = route.clusters.iter().find(|c| c.number == number);
    let stay = first.local && tried.within(number) < PER_CLUSTER;
    let near = same.filter(|_| stay).and_then(|same| pick.usable_in(same));
    let others = route.shares.order().filter_map(|at| route.clusters.get(at)).filter(|c| c.number != number);
    near.or_else(|| others.into_iter().find_map(|other| pick.usable_in(other)))
        .or_else(|| same.filter(|_| !stay).and_then(|same| pick.usable_in(same)))
        .map(|choice| Choice { beside: true, ..choice })
}

struct Pick<'r, 'a> {
    route: &'r ServiceRoute,
    rng: &'a mut fastrand::Rng,
    now_ms: u64,
    tried: &'a Attempted,
    panic: bool,
    pressed: bool,
}

impl<'r> Pick<'r, '_> {
    /// A request that the balancer asked for: a probation, or the first ones to a returning cluster.
    #[cold]
    fn out_of_turn(&mut self, at: usize) -> Option<Choice<'r>> {
        let bit = 1_u32.checked_shl(u32::try_from(at).unwrap_or(u32::MAX))?;
        if self.route.due.fetch_and(!bit, Ordering::Relaxed) & bit == 0 {
            return None;
        }
        let cluster = self.route.clusters.get(at)?;
        match cluster.due.swap(0, Ordering::Relaxed) {
            0 => None,
            TRICKLE => self.usable_in(cluster),
            due => {
                let index = due as usize - 1;
                let candidate = cluster.targets.candidates.get(index)?;
                candidate
                    .slot
                    .claim_probation(self.now_ms)
                    .then(|| Choice { probation: true, ..self.choice(cluster, index, candidate) })
            }
        }
    }

    /// By the shares; for a repeated attempt the cluster of the last one.
    fn first_cluster(&mut self) -> Option<&'r ClusterRoute> {
        let at = match self.tried.last() {
            None => self.route.shares.draw(self.rng.u32(..))?,
            Some(last) => self.route.clusters.iter().position(|c| c.number == last)?,
        };
        self.route.clusters.get(at)
    }

    /// The first choice, then the clusters in the order in which they stand in, those tried twice last.
    fn in_turn(&mut self, first: Option<&'r ClusterRoute>) -> Option<Choice<'r>> {
        if let Some(first) = first.filter(|c| self.tried.within(c.number) < PER_CLUSTER)
            && let Some(choice) = self.usable_in(first)
        {
            return Some(choice);
        }
        for again in [false, true] {
            for at in self.route.shares.order() {
                let Some(cluster) = self.route.clusters.get(at) else { continue };
                if (self.tried.within(cluster.number) >= PER_CLUSTER) == again
                    && let Some(choice) = self.usable_in(cluster)
                {
                    return Some(choice);
                }
            }
        }
        None
    }

    /// A usable target of the cluster that was not tried: the cheaper of two draws, else any.
    fn usable_in(&mut self, cluster: &'r ClusterRoute) -> Option<Choice<'r>> {
        if cluster.class != Class::Ready || (!cluster.local && cluster.place.empty(self.now_ms)) {
            return None;
        }
        if self.pressed && self.route.full(cluster, self.now_ms, self.tried.urgency()) {
            return None;
        }
        let candidates = &cluster.targets.candidates;
        let a = cluster.targets.alias.draw(self.rng.u64(..))?;
        let b = cluster.targets.alias.draw(self.rng.u64(..))?;
        let (a_ok, b_ok) = (self.may(&candidates[a]), a != b && self.may(&candidates[b]));
        let found = match (a_ok, b_ok) {
            (true, true) if self.cost(&candidates[b]) < self.cost(&candidates[a]) => Some(b),
            (true, _) => Some(a),
            (false, true) => Some(b),
            (false, false) => self.any_of(candidates),
        };
        found.map(|at| self.choice(cluster, at, &candidates[at]))
    }

    #[cold]
    fn any_of(&mut self, candidates: &[Candidate]) -> Option<usize> {
        let start = self.rng.usize(..candidates.len());
        (start..candidates.len()).chain(0..start).find(|at| self.may(&candidates[*at]))
    }

    fn may(&self, candidate: &Candidate) -> bool {
        candidate.class == Class::Ready
            && (candidate.slot.usable(self.now_ms) == Usable::Yes || (self.panic && candidate.slot.reachable()))
            && (self.tried.is_empty() || !self.tried.contains(candidate.slot.id()))
    }

    fn cost(&self, candidate: &Candidate) -> f32 {
        candidate.slot.cost(self.now_ms) / candidate.effective().max(0.01)
    }

    /// No cluster has a ready one: endpoints of the own cluster that are leaving but answered just now.
    #[cold]
    fn leaving(&mut self) -> Option<Choice<'r>> {
        let local = self.route.local()?;
        let fresh = |c: &Candidate| {
            c.class == Class::Leaving
                && c.slot.fresh_success(FRESH_MS, self.now_ms)
                && c.slot.usable(self.now_ms) == Usable::Yes
                && !self.tried.contains(c.slot.id())
        };
        let (at, found) = local.targets.candidates.iter().enumerate().find(|(_, c)| fresh(c))?;
        Some(self.choice(local, at, found))
    }

    /// Everything is suspect: the one with the least against it, untried before tried, ties at random.
    #[cold]
    fn least_suspect(&mut self, clusters: &'r [ClusterRoute]) -> Option<Choice<'r>> {
        let mut best: Option<(Suspicion, Choice<'r>)> = None;
        for cluster in clusters {
            let candidates = &cluster.targets.candidates;
            if candidates.is_empty() || (!cluster.local && cluster.class == Class::Gone) {
                continue;
            }
            let start = self.rng.usize(..candidates.len());
            for at in (start..candidates.len()).chain(0..start) {
                let candidate = &candidates[at];
                let suspicion = self.suspicion(cluster, candidate);
                if best.as_ref().is_none_or(|(least, _)| suspicion < *least) {
                    let repeated = suspicion.tried;
                    best = Some((suspicion, Choice { repeated, ..self.choice(cluster, at, candidate) }));
                }
            }
        }
        let (_, choice) = best?;
        let probation = choice.slot.claim_probation(self.now_ms);
        Some(Choice { probation, ..choice })
    }

    fn suspicion(&self, cluster: &ClusterRoute, candidate: &Candidate) -> Suspicion {
        let breaker = candidate.slot.breaker();
        let emptied = !cluster.local && cluster.place.empty(self.now_ms);
        let class = candidate.class.max(cluster.class);
        Suspicion {
            tried: self.tried.contains(candidate.slot.id()),
            class: if emptied { class.max(Class::NotReady) } else { class },
            ejected: match (breaker.state, candidate.slot.usable(self.now_ms), breaker.cause) {
                (State::Closed, ..) => 0,
                (_, Usable::Probation, _) => 1,
                (_, _, Cause::Soft) => 2,
                (_, _, Cause::Hard) => 3,
            },
            trips: breaker.trips,
            run: breaker.run,
        }
    }

    fn choice(&self, cluster: &'r ClusterRoute, index: usize, candidate: &'r Candidate) -> Choice<'r> {
        Choice::of(cluster, index, candidate, self.tried.urgency())
    }
}

/// What speaks against a target, gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Suspicion {
    tried: bool,
    class: Class,
    ejected: u8,
    trips: u8,
    run: u8,
}
