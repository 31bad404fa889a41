//! Spill: how one service's requests are shared among clusters. Pure: time and measurements are arguments.
//!
//! ```text
//! ρ_c = H_c ÷ K_c                          healthy capacity against its decaying high-water mark
//! a*  = min(1, φ · ρ_local)                what the own cluster can take (φ = 1.4: full until 71 % is left)
//! a   falls to a* at once, rises by Δt ÷ T_up, T_up = 30 s · 2^f ≤ 300 s
//! spare_c = w_c · max(0, min(1, φ · ρ_c) · K_c − U_c)      w: staleness, U: load there, K ÷ 2 when unknown
//! x_c ∝ spare_c · 2^(−rtt_c ÷ 100 ms), each at most 0.8 · spare_c ÷ demand, the excess handed on
//! ```
//! What the caps do not hold, all clusters share by `w_c · min(1, φ · ρ_c) · K_c`, the own one as well.
//!
//! That is mode `LocalFirst`. The other modes ([`Ranking`]) use the same measurements and are in `rank.rs`.

use super::capacity::HighWater;
use super::errors::Errors;
use super::failback::Failback;
use super::rank::Ranks;
use super::settings::{Ranking, Settings};
use super::split::{Part, fill, ration};
use crate::health::ClusterNumber;
use crate::route::MAX_CLUSTERS;

/// A remote whose latency is unknown counts as this far, in milliseconds.
pub(super) const UNKNOWN_RTT_MS: f64 = 100.0;

/// One cluster's measurements. Capacities are in endpoints (weight units).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClusterInput {
    /// Which cluster.
    pub cluster: ClusterNumber,
    /// The own one.
    pub local: bool,
    /// H: healthy capacity now; 0 when it cannot be reached or has none.
    pub healthy: f64,
    /// Capacity that is expected now, healthy or not.
    pub expected: f64,
    /// U: load there; `None` when unknown.
    pub load: Option<f64>,
    /// Round-trip time, in milliseconds; `None` when unknown.
    pub rtt_ms: Option<f64>,
    /// How much the knowledge of it counts, 0–1 by its age.
    pub weight: f64,
    /// Good and bad answers of the last ten seconds.
    pub answers: (u32, u32),
    /// Its latency is more than twice what it was before the last failover.
    pub slow: bool,
}

/// Why a returning cluster is not given more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hold {
    /// More of its answers are bad than of the others'.
    Errors,
    /// It is much slower than it was before the failover.
    Slow,
    /// The time that is set to pass after a failover has not passed.
    Waiting,
}

/// What a tick decides. Positions are those of the inputs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shares {
    share: [f64; MAX_CLUSTERS],
    capacity: [f64; MAX_CLUSTERS],
    order: [u8; MAX_CLUSTERS],
    len: usize,
    /// Less than half of all clusters' capacity is left.
    pub panic: bool,
    /// The returning own cluster should be given one request out of turn.
    pub trickle: bool,
    /// a*: what the own cluster could take.
    pub target: f64,
    /// What keeps the own cluster from getting more than it has.
    pub hold: Option<Hold>,
    /// The share still moves by itself.
    pub moving: bool,
    /// The own cluster has all that it should ever have: what is measured now is how it is when all is well.
    pub steady: bool,
    /// Failovers remembered of the last ten minutes.
    pub failovers: usize,
}

impl Shares {
    /// Each cluster's share; they sum to 1 unless there is no cluster.
    #[must_use]
    pub fn shares(&self) -> &[f64] {
        &self.share[..self.len]
    }

    /// K of each cluster.
    #[must_use]
    pub fn reference(&self) -> &[f64] {
        &self.capacity[..self.len]
    }

    /// The order in which clusters stand in for each other.
    #[must_use]
    pub fn order(&self) -> &[u8] {
        &self.order[..self.len]
    }
}

/// The balancer of one service: what it remembers between ticks.
#[derive(Clone, Debug, Default)]
pub struct Spill {
    settings: Settings,
    ranking: Ranking,
    marks: Vec<(ClusterNumber, HighWater)>,
    errors: Errors,
    failback: Failback,
    ranks: Ranks,
}

/// One cluster with what follows from its measurements.
#[derive(Clone, Copy, Default)]
pub(super) struct Side {
    healthy: f64,
    mark: f64,
    /// The mark, or what is there beyond it.
    whole: f64,
    /// `w · min(1, φρ) · K`
    pub(super) able: f64,
    pub(super) spare: f64,
    pull: f64,
}

impl Side {
    /// `w · min(1, φρ)`
    pub(super) fn level(&self) -> f64 {
        if self.mark > 0.0 { (self.able / self.mark).min(1.0) } else { 0.0 }
    }
}

impl Spill {
    /// A balancer that remembers nothing.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// Follows other settings from now on. What was learned stays; the shares of another mode are taken at once.
    pub fn follow(&mut self, settings: Settings, ranking: Ranking) {
        if std::mem::discriminant(&self.ranking) != std::mem::discriminant(&ranking) {
            (self.failback, self.ranks) = (Failback::default(), Ranks::default());
        }
        (self.settings, self.ranking) = (settings, ranking);
    }

    /// Its settings.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The shares from now on. `demand` is this daemon's own load for the service in units of capacity, 0 when unknown.
    /// At most [`MAX_CLUSTERS`] inputs are read.
    pub fn tick(&mut self, now_ms: u64, inputs: &[ClusterInput], demand: f64) -> Shares {
        let inputs = &inputs[..inputs.len().min(MAX_CLUSTERS)];
        let sides = self.sides(now_ms, inputs);
        self.errors.step(now_ms, inputs);
        if self.ranking != Ranking::LocalFirst {
            return self.ranked(now_ms, inputs, &sides, demand);
        }
        let local = inputs.iter().position(|c| c.local);
        let phi = self.settings.overprovision;
        let rho = |s: &Side| if s.mark > 0.0 { (s.healthy / s.mark).min(1.0) } else { 0.0 };
        let target = local.map_or(0.0, |at| (phi * rho(&sides[at])).min(1.0));
        // A cluster that takes its export back has not failed: its share is what it was when it exports again.
        let hold = holds(now_ms, &self.errors, inputs);
        let applied = local.map_or(0.0, |_| self.failback.step(now_ms, target, hold.is_some(), &self.settings));
        let hold = hold.or_else(|| self.failback.waits(now_ms, &self.settings).then_some(Hold::Waiting));
        let moving = local.is_some() && self.failback.rising(target) || !self.marks_settled(inputs, &sides);

        let mut shares = Shares {
            share: [0.0; MAX_CLUSTERS],
            capacity: std::array::from_fn(|at| sides[at].whole),
            order: order(inputs, &sides),
            len: inputs.len(),
            panic: panics(inputs, &sides, &self.settings),
            trickle: self.failback.trickle(now_ms, target),
            target,
            hold: hold.filter(|_| applied < target),
            moving,
            steady: false,
            failovers: self.failback.failovers(),
        };
        self.place(&mut shares, inputs, &sides, local, applied, demand);
        shares.steady = local.is_some_and(|at| shares.share[at] > 0.99) && !moving;
        shares
    }

    /// The same for every other mode.
    fn ranked(&mut self, now_ms: u64, inputs: &[ClusterInput], sides: &[Side; MAX_CLUSTERS], demand: f64) -> Shares {
        let local = inputs.iter().position(|c| c.local);
        let mut ranked = self.ranks.tick(now_ms, &self.ranking, inputs, sides, (demand, &self.errors), &self.settings);
        if ranked.nobody && !inputs.is_empty() {
            // The own cluster first, since its last pods are tried as the least suspect anyway.
            let at = local.unwrap_or_else(|| usize::from(ranked.order[0]));
            (ranked.share[at], ranked.ideal[at]) = (1.0, 1.0);
        }
        let target = local.map_or(0.0, |at| ranked.ideal[at]);
        let moving = ranked.moving || !self.marks_settled(inputs, sides);
        let mut shares = Shares {
            share: ranked.share,
            capacity: std::array::from_fn(|at| sides[at].whole),
            order: ranked.order,
            len: inputs.len(),
            panic: panics(inputs, sides, &self.settings),
            trickle: false,
            target,
            hold: None,
            moving,
            steady: local.is_some_and(|at| sides[at].level() > 0.99) && !moving,
            failovers: 0,
        };
        if let Some(at) = local {
            let returning = self.ranks.returning(inputs[at].cluster);
            shares.trickle = returning.trickle(now_ms, target);
            shares.failovers = returning.failovers();
            let waits = returning.waits(now_ms, &self.settings).then_some(Hold::Waiting);
            shares.hold = holds(now_ms, &self.errors, inputs).or(waits).filter(|_| ranked.share[at] < target);
        }
        shares
    }

    fn sides(&mut self, now_ms: u64, inputs: &[ClusterInput]) -> [Side; MAX_CLUSTERS] {
        let mut sides = [Side::default(); MAX_CLUSTERS];
        let settings = self.settings;
        for (side, input) in sides.iter_mut().zip(inputs) {
            let healthy = sane(input.healthy);
            let present = healthy.max(sane(input.expected));
            let mark = self.mark(input.cluster).step(now_ms, present, settings.decay_ms);
            let whole = mark.max(present);
            let able = (settings.overprovision * healthy).min(whole);
            let load = input.load.map_or(whole / 2.0, sane);
            let weight = if input.local { 1.0 } else { sane(input.weight).min(1.0) };
            let spare = weight * (able - load).max(0.0);
            let rtt = sane(input.rtt_ms.unwrap_or(UNKNOWN_RTT_MS));
            let pull = if input.local { 0.0 } else { spare * (-rtt / settings.distance_ms).exp2() };
            *side = Side { healthy, mark, whole, able: weight * able, spare, pull };
        }
        self.marks.retain(|(cluster, mark)| !mark.forgotten() || inputs.iter().any(|i| i.cluster == *cluster));
        sides
    }

    fn mark(&mut self, cluster: ClusterNumber) -> &mut HighWater {
        let at = self.marks.iter().position(|(c, _)| *c == cluster).unwrap_or_else(|| {
            self.marks.push((cluster, HighWater::default()));
            self.marks.len() - 1
        });
        &mut self.marks[at].1
    }

    /// False while a mark stands above what is there: it decays, and shares follow it.
    fn marks_settled(&self, inputs: &[ClusterInput], sides: &[Side]) -> bool {
        inputs.iter().zip(sides).all(|(i, s)| s.mark <= sane(i.healthy).max(sane(i.expected)) + 0.01)
    }

    /// The own cluster its share, the others of the rest what their caps hold, and all together what then is left.
    fn place(
        &mut self,
        shares: &mut Shares,
        inputs: &[ClusterInput],
        sides: &[Side; MAX_CLUSTERS],
        local: Option<usize>,
        applied: f64,
        demand: f64,
    ) {
        let (len, target) = (shares.len, shares.target);
        let able: f64 = sides[..len].iter().map(|s| s.able).sum();
        if len <= 1 || able <= 0.0 {
            // Nobody else, or nobody at all. The own cluster first, since its last pods are tried as the least suspect anyway.
            shares.share[local.unwrap_or_else(|| usize::from(shares.order[0]))] = 1.0;
            return;
        }
        let cap = |spare: f64| if demand > 0.0 { self.settings.cap * spare / demand } else { f64::INFINITY };
        let part = |(side, input): (&Side, &ClusterInput)| Part {
            pull: side.pull,
            cap: if input.local { 0.0 } else { cap(side.spare) },
        };
        let parts: Vec<Part> = sides.iter().zip(inputs).map(part).collect();
        let share = &mut shares.share[..len];
        let left = fill(1.0 - applied, &parts, share);
        if let Some(at) = local {
            share[at] = applied;
        }
        ration(left, sides[..len].iter().map(|s| s.able), share);
        if let Some(at) = local {
            // What others have no room for is no progress that has to be made again, as far as it is the own cluster's part
            // of what all can do. What is beyond is lent, and what capacity does not allow is no progress.
            self.failback.forced(share[at].min(sides[at].able / able).min(target));
        }
    }
}

/// A measurement that is not a number, or negative, is 0.
pub(super) fn sane(value: f64) -> f64 {
    if value.is_finite() { value.max(0.0) } else { 0.0 }
}

/// The own cluster answers worse than the others, or much slower than it used to: do not send it more yet.
fn holds(now_ms: u64, errors: &Errors, inputs: &[ClusterInput]) -> Option<Hold> {
    let at = inputs.iter().position(|i| i.local)?;
    let bad = errors.hold(now_ms, inputs, at).then_some(Hold::Errors);
    bad.or_else(|| inputs[at].slow.then_some(Hold::Slow))
}

/// Σ min(1, φρ) below the threshold, ½ by default, although there is something.
fn panics(inputs: &[ClusterInput], sides: &[Side], settings: &Settings) -> bool {
    let part = |s: &Side| if s.mark > 0.0 { (settings.overprovision * s.healthy / s.mark).min(1.0) } else { 0.0 };
    let left: f64 = sides[..inputs.len()].iter().map(part).sum();
    left < settings.panic_below && inputs.iter().any(|i| i.expected > 0.0)
}

/// The own cluster, then by pull, then by what they are able to do; those with nothing last.
#[expect(clippy::cast_possible_truncation, reason = "at most 16 clusters")]
fn order(inputs: &[ClusterInput], sides: &[Side]) -> [u8; MAX_CLUSTERS] {
    let mut order: [u8; MAX_CLUSTERS] = std::array::from_fn(|at| at as u8);
    let rank = |at: &u8| {
        let (input, side) = (&inputs[usize::from(*at)], &sides[usize::from(*at)]);
        (input.local && side.healthy > 0.0, side.pull, side.able)
    };
    order[..inputs.len()].sort_by(|a, b| {
        let ((a_own, a_pull, a_able), (b_own, b_pull, b_able)) = (rank(a), rank(b));
        b_own.cmp(&a_own).then(b_pull.total_cmp(&a_pull)).then(b_able.total_cmp(&a_able))
    });
    order
}

#[cfg(test)]
mod tests;
