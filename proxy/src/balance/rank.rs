//! The shares of every mode but `LocalFirst`: clusters in tiers, one tier filled before the next.
//!
//! ```text
//! l_c = w_c · min(1, φ · ρ_c)              what a cluster can take of all requests; w: staleness
//! Ordered   a tier for each listed cluster, in that order, each up to l_c; those not listed last, by able · 2^(−rtt ÷ 100 ms)
//! Nearest   a tier for each cluster, by round-trip time (own: 0), each up to l_c and other ones to 0.8 · spare ÷ demand
//! Spread    one tier, by weight · l_c or by able capacity; weight 0 and those not listed last
//! ```
//! `able_c = l_c · K_c`. No cluster is given more than its way back allows ([`Return`]). What then is left over, all able
//! clusters share by what they are able to do.

use super::errors::Errors;
use super::returning::Return;
use super::settings::{Ranking, Settings};
use super::spill::{ClusterInput, Side, UNKNOWN_RTT_MS, sane};
use super::split::{Part, fill, ration};
use crate::health::ClusterNumber;
use crate::route::MAX_CLUSTERS;

/// One cluster is nearer than another when its round-trip time is shorter by more than this factor and margin: two that are
/// about equally far do not change places with every measurement.
const NEARER_FACTOR: f64 = 1.2;
const NEARER_MARGIN_MS: f64 = 2.0;

/// What is remembered between ticks.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranks {
    returns: Vec<(ClusterNumber, Return)>,
    nearest: Vec<ClusterNumber>,
}

/// What one tick found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ranked {
    pub(super) share: [f64; MAX_CLUSTERS],
    /// The shares if no cluster were on its way back.
    pub(super) ideal: [f64; MAX_CLUSTERS],
    pub(super) order: [u8; MAX_CLUSTERS],
    /// Some cluster is on its way back.
    pub(super) moving: bool,
    /// Nobody is able to do anything.
    pub(super) nobody: bool,
}

/// A cluster's place: which tier, how it attracts within it, and the most it is given.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    tier: usize,
    pull: f64,
    limit: f64,
}

impl Ranks {
    /// The way back of one cluster, if it was asked before.
    pub(super) fn returning(&mut self, cluster: ClusterNumber) -> &mut Return {
        let at = self.returns.iter().position(|(c, _)| *c == cluster).unwrap_or_else(|| {
            self.returns.push((cluster, Return::default()));
            self.returns.len() - 1
        });
        &mut self.returns[at].1
    }

    /// The shares from now on.
    pub(super) fn tick(
        &mut self,
        now_ms: u64,
        ranking: &Ranking,
        inputs: &[ClusterInput],
        sides: &[Side; MAX_CLUSTERS],
        (demand, errors): (f64, &Errors),
        settings: &Settings,
    ) -> Ranked {
        let len = inputs.len();
        self.returns.retain(|(cluster, _)| inputs.iter().any(|i| i.cluster == *cluster));
        let mut places = self.places(ranking, inputs, sides, demand, settings);
        let able = || sides[..len].iter().map(|s| s.able);
        let (mut ideal, left) = filled(&places[..len]);
        ration(left, able(), &mut ideal);

        let mut moving = false;
        for (at, input) in inputs.iter().enumerate() {
            let held = errors.hold(now_ms, inputs, at) || (input.local && input.slow);
            let level = sides[at].level();
            let limit = self.returning(input.cluster).limit(now_ms, level, ideal[at], held, settings);
            places[at].limit = places[at].limit.min(limit);
            moving |= limit < 1.0 && level > 0.0;
        }
        let (mut share, left) = filled(&places[..len]);
        ration(left, able(), &mut share);
        for (at, input) in inputs.iter().enumerate() {
            self.returning(input.cluster).given(share[at]);
        }
        Ranked { share, ideal, order: order(&places, sides, len), moving, nobody: able().sum::<f64>() <= 0.0 }
    }

    fn places(
        &mut self,
        ranking: &Ranking,
        inputs: &[ClusterInput],
        sides: &[Side; MAX_CLUSTERS],
        demand: f64,
        settings: &Settings,
    ) -> [Place; MAX_CLUSTERS] {
        let mut places = [Place::default(); MAX_CLUSTERS];
        if *ranking == Ranking::Nearest {
            self.sort_by_distance(inputs);
        }
        for (at, (place, input)) in places.iter_mut().zip(inputs).enumerate() {
            let side = &sides[at];
            let near = (-distance(input) / settings.distance_ms).exp2();
            *place = match ranking {
                // `Spill` does this itself, by spare capacity; the order is the same.
                Ranking::LocalFirst => Place { tier: usize::from(!input.local), pull: side.able * near, limit: 1.0 },
                Ranking::Ordered(listed) => match listed.iter().position(|c| *c == input.cluster) {
                    Some(tier) => Place { tier, pull: 1.0, limit: side.level() },
                    None => Place { tier: listed.len(), pull: side.able * near, limit: 1.0 },
                },
                Ranking::Nearest => {
                    let tier = self.nearest.iter().position(|c| *c == input.cluster).unwrap_or(MAX_CLUSTERS);
                    let room = if input.local || demand <= 0.0 { 1.0 } else { settings.cap * side.spare / demand };
                    Place { tier, pull: 1.0, limit: side.level().min(room) }
                }
                Ranking::Spread(weights) => {
                    let weight = weights.iter().find(|(c, _)| *c == input.cluster).map_or(0.0, |(_, w)| *w);
                    match (weights.is_empty(), weight > 0.0) {
                        (true, _) => Place { tier: 0, pull: side.able, limit: 1.0 },
                        (false, true) => Place { tier: 0, pull: weight * side.level(), limit: 1.0 },
                        (false, false) => Place { tier: 1, pull: side.able, limit: 1.0 },
                    }
                }
            };
        }
        places
    }

    /// Sorts what is remembered by distance; neighbours change places only when one is clearly nearer.
    fn sort_by_distance(&mut self, inputs: &[ClusterInput]) {
        self.nearest.retain(|c| inputs.iter().any(|i| i.cluster == *c));
        for input in inputs {
            if !self.nearest.contains(&input.cluster) {
                let before = |c: &ClusterNumber| far(inputs, *c) > distance(input);
                let at = self.nearest.iter().position(before).unwrap_or(self.nearest.len());
                self.nearest.insert(at, input.cluster);
            }
        }
        for end in (1..self.nearest.len()).rev() {
            for at in 0..end {
                let (near, next) = (far(inputs, self.nearest[at]), far(inputs, self.nearest[at + 1]));
                if near > next * NEARER_FACTOR + NEARER_MARGIN_MS {
                    self.nearest.swap(at, at + 1);
                }
            }
        }
    }
}

/// Round-trip time in milliseconds; the own cluster is at hand.
fn distance(input: &ClusterInput) -> f64 {
    if input.local { 0.0 } else { sane(input.rtt_ms.unwrap_or(UNKNOWN_RTT_MS)) }
}

fn far(inputs: &[ClusterInput], cluster: ClusterNumber) -> f64 {
    inputs.iter().find(|i| i.cluster == cluster).map_or(f64::MAX, distance)
}

/// Fills tier after tier; returns the shares and what found no room.
fn filled(places: &[Place]) -> ([f64; MAX_CLUSTERS], f64) {
    let (mut shares, mut left) = ([0.0; MAX_CLUSTERS], 1.0);
    let mut tiers: Vec<usize> = places.iter().map(|p| p.tier).collect();
    tiers.sort_unstable();
    tiers.dedup();
    for tier in tiers {
        let part = |p: &Place| Part { pull: if p.tier == tier { p.pull } else { 0.0 }, cap: p.limit };
        let parts: Vec<Part> = places.iter().map(part).collect();
        left = fill(left, &parts, &mut shares);
    }
    (shares, left)
}

/// The order in which clusters stand in for each other: the able ones by tier, then by pull.
#[expect(clippy::cast_possible_truncation, reason = "at most 16 clusters")]
fn order(places: &[Place; MAX_CLUSTERS], sides: &[Side; MAX_CLUSTERS], len: usize) -> [u8; MAX_CLUSTERS] {
    let mut order: [u8; MAX_CLUSTERS] = std::array::from_fn(|at| at as u8);
    order[..len].sort_by(|a, b| {
        let (a, b) = (usize::from(*a), usize::from(*b));
        let lame = |at: usize| sides[at].able <= 0.0;
        lame(a).cmp(&lame(b)).then(places[a].tier.cmp(&places[b].tier)).then(places[b].pull.total_cmp(&places[a].pull))
    });
    order
}

#[cfg(test)]
mod tests;
