//! What a cluster's requests are sent to, with weights by health that are rewritten in place.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::class::Class;
use crate::balance::AliasTable;
use crate::health::{Slot, Usable, relative};

/// In a panic, the least part of its weight that a target which can be reached takes: nobody is then drawn more than
/// twice as often as if nothing were known of any of them.
const PANIC_LEAST: f64 = 0.5;

/// Where a target is dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A pod.
    Pod(SocketAddr),
    /// A gateway, `host:port`.
    Gateway(Arc<str>),
}

/// One target of a route.
#[derive(Debug)]
pub struct Candidate {
    /// Its state, shared with every route and worker.
    pub slot: Arc<Slot>,
    /// Where it is dialled.
    pub address: Address,
    /// What it may be used for.
    pub class: Class,
    /// Its weight, 1 by default.
    pub weight: f32,
    /// See [`Candidate::effective`], as `f32` bits.
    effective: AtomicU32,
}

impl Candidate {
    /// A target with its full weight.
    #[must_use]
    pub fn new(slot: Arc<Slot>, address: Address, class: Class) -> Self {
        Self { slot, address, class, weight: 1.0, effective: AtomicU32::new(1.0_f32.to_bits()) }
    }

    /// What it is drawn by: weight × ramp × health as of the last tick, and in a panic half of its weight at least while it can
    /// be reached. Never a measure of capacity.
    #[must_use]
    pub fn effective(&self) -> f32 {
        f32::from_bits(self.effective.load(Ordering::Relaxed))
    }
}

/// What one refresh of a set of targets found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Totals {
    /// Σ weight × health of those that are ready. What is new is given little at first and counts in full: it stands beside
    /// others, and a cluster's way back has a ramp of its own.
    pub(crate) healthy: f64,
    /// Σ weight of those that count as the cluster's capacity.
    pub(crate) expected: f64,
    /// Largest health of any, ramp included: of a set of gateways one good one is enough.
    pub(crate) best: f64,
    /// How many are ready by the catalog.
    pub(crate) ready: u32,
    /// One that is due for probation, while no other is on probation.
    pub(crate) due: Option<u32>,
    /// Something still changes by itself.
    pub(crate) unsettled: bool,
}

/// The targets of one cluster, with the alias table to draw from.
#[derive(Debug)]
pub struct Targets {
    /// The targets.
    pub candidates: Box<[Candidate]>,
    pub(crate) alias: AliasTable,
}

impl Targets {
    /// A set with equal chances until the first refresh.
    #[must_use]
    pub fn new(candidates: Vec<Candidate>) -> Self {
        let alias = AliasTable::uniform(candidates.len());
        Self { candidates: candidates.into(), alias }
    }

    /// The best class among them, and how many are ready.
    pub(super) fn best(&self) -> (Class, u32) {
        let best = self.candidates.iter().map(|c| c.class).min().unwrap_or(Class::Gone);
        let ready = self.candidates.iter().filter(|c| c.class == Class::Ready).count();
        (best, u32::try_from(ready).unwrap_or(u32::MAX))
    }

    /// The sum and number of the weights that follow from what pods report of their load.
    fn reported(&self, now_ms: u64) -> (f32, u16) {
        let weights = self.candidates.iter().filter_map(|c| c.slot.reported(now_ms));
        weights.fold((0.0, 0), |(sum, count), weight| (sum + weight, count.saturating_add(1)))
    }

    /// Recomputes weights, in place, and the alias table when one of them moved by more than a hundredth.
    ///
    /// In a panic those that are ready and answer badly are drawn as well: else the few that are left would be given
    /// everything and fail in their turn. Those that cannot be reached stay out, and so do those that are not ready: that is
    /// a pod's own word, which may mean that its answers would be wrong, not only late (it lost an election). Both are tried
    /// when nothing else is left, and readiness that is in doubt is not the pod's word (`lease.rs`). Totals tell what is
    /// healthy, panic or not, so that nothing but health ends a panic.
    #[expect(clippy::cast_possible_truncation, reason = "weights; positions below 2^32")]
    pub(crate) fn refresh(&self, now_ms: u64, panic: bool) -> Totals {
        let mut totals = Totals::default();
        let (mut moved, mut probing) = (false, false);
        // Of those that are due, the one whose last probation is the longest ago: each has its turn.
        let mut waited = u64::MAX;
        let (sum, count) = self.reported(now_ms);
        for (at, c) in self.candidates.iter().enumerate() {
            let ready = c.class == Class::Ready;
            let (health, part) = if ready { (c.slot.health(now_ms), c.slot.part(now_ms)) } else { (0.0, 0.0) };
            let spared = panic && ready && c.slot.reachable();
            let drawn = if spared { part.max(PANIC_LEAST) } else { part };
            // What pods report shifts requests between them and leaves the capacity of them all as it is.
            let relative = if count < 2 { 1.0 } else { relative(c.slot.reported(now_ms), sum, count) };
            let (old, new) = (c.effective(), c.weight * drawn as f32 * relative);
            moved |= (old - new).abs() > 0.01 || (old > 0.0) != (new > 0.0);
            c.effective.store(new.to_bits(), Ordering::Relaxed);
            totals.healthy += f64::from(c.weight) * health;
            totals.best = totals.best.max(part);
            totals.ready += u32::from(ready);
            if c.class <= Class::NotReady && c.class != Class::Leaving && (ready || c.slot.readiness().expected()) {
                totals.expected += f64::from(c.weight);
            }
            if ready && c.slot.usable(now_ms) == Usable::Probation && c.slot.claimed_ms() < waited {
                (totals.due, waited) = (Some(at as u32), c.slot.claimed_ms());
            }
            probing |= c.slot.probing(now_ms);
            totals.unsettled |= c.slot.unsettled(now_ms);
        }
        // One at a time: a crashed node is a black hole, and each probe of it costs some request a connect timeout.
        if probing {
            totals.due = None;
        }
        if moved {
            let weights: Vec<f32> = self.candidates.iter().map(Candidate::effective).collect();
            self.alias.write(&weights);
        }
        totals
    }
}
