//! Out at once, back along a ramp: the applied share of the own cluster.

use std::collections::VecDeque;

use super::settings::Settings;

/// Failovers of the last ten minutes make the ramp longer.
const MEMORY_MS: u64 = 600_000;
/// A fall by less than this is no failover.
const FAILOVER_DROP: f64 = 0.1;
/// Falls within this time of each other are one failover, in milliseconds.
const ONE_FAILOVER_MS: u64 = 5_000;
/// A service that never had local capacity takes its first without a ramp within this time since the own cluster came into
/// its route, in milliseconds.
const INITIAL_MS: u64 = 30_000;
/// Below this share a returning cluster is also given single requests out of turn, one a second.
const TRICKLE_BELOW: f64 = 0.05;
const TRICKLE_EVERY_MS: u64 = 1_000;
const REMEMBERED: usize = 16;
/// Between two steps at most this much of the ramp passes, in milliseconds: a longer gap means that the own cluster was
/// not asked in between, not that it recovered.
const LONGEST_STEP_MS: u64 = 2_000;

/// The applied share and what shaped it.
#[derive(Clone, Debug, Default)]
pub(super) struct Failback {
    /// `None` until local capacity was seen, or waited for long enough.
    applied: Option<f64>,
    born_ms: Option<u64>,
    last_ms: u64,
    failovers: VecDeque<u64>,
    trickled_ms: Option<u64>,
}

impl Failback {
    /// The share to apply when `target` is what capacity allows: falls at once, rises by at most `Δt ÷ T_up`, not at
    /// all while `hold` or before the time set after a failover.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds")]
    pub(super) fn step(&mut self, now_ms: u64, target: f64, hold: bool, settings: &Settings) -> f64 {
        let born = *self.born_ms.get_or_insert(now_ms);
        let gone = now_ms.saturating_sub(self.last_ms).min(LONGEST_STEP_MS);
        self.last_ms = now_ms;
        let Some(applied) = self.applied else {
            if target > 0.0 || now_ms.saturating_sub(born) >= INITIAL_MS {
                // After the wait it is an ordinary return: the share is 0 so far.
                self.applied = Some(if now_ms.saturating_sub(born) < INITIAL_MS { target } else { 0.0 });
            }
            return self.applied.unwrap_or(0.0);
        };
        if target < applied {
            self.note_fall(now_ms, applied - target);
            self.applied = Some(target);
            return target;
        }
        let hold = hold || self.waits(now_ms, settings);
        let slope = if hold { 0.0 } else { gone as f64 / self.ramp_ms(now_ms, settings) };
        let risen = target.min(applied + slope);
        self.applied = Some(risen);
        risen
    }

    /// True within the time that must pass after a failover before the way back begins.
    pub(super) fn waits(&self, now_ms: u64, settings: &Settings) -> bool {
        self.failovers.back().is_some_and(|at| now_ms.saturating_sub(*at) < settings.hold_ms)
    }

    /// True once there was local capacity, or too long a wait for it.
    pub(super) const fn begun(&self) -> bool {
        self.applied.is_some()
    }

    /// Falls at once, from the share that was given in truth.
    pub(super) fn fall(&mut self, now_ms: u64, from: f64, to: f64) {
        if let Some(applied) = self.applied {
            self.note_fall(now_ms, from - to);
            self.applied = Some(applied.min(to));
        }
    }

    /// Rises from the share that was given in truth.
    pub(super) fn start_from(&mut self, share: f64) {
        self.applied = self.applied.map(|a| a.min(share));
    }

    fn note_fall(&mut self, now_ms: u64, by: f64) {
        if by < FAILOVER_DROP {
            return;
        }
        match self.failovers.back_mut() {
            Some(last) if now_ms.saturating_sub(*last) < ONE_FAILOVER_MS => *last = now_ms,
            _ => self.failovers.push_back(now_ms),
        }
        if self.failovers.len() > REMEMBERED {
            self.failovers.pop_front();
        }
    }

    /// `T_up = 30 s · 2^f`, at most 300 s, where `f` counts the failovers of the last ten minutes before the one that is
    /// being returned from.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds")]
    fn ramp_ms(&mut self, now_ms: u64, settings: &Settings) -> f64 {
        while self.failovers.front().is_some_and(|at| now_ms.saturating_sub(*at) > MEMORY_MS) {
            self.failovers.pop_front();
        }
        let earlier = u32::try_from(self.failovers.len().saturating_sub(1)).unwrap_or(u32::MAX).min(16);
        (settings.ramp_ms << earlier).min(settings.ramp_max_ms).max(1) as f64
    }

    /// Nobody else could take the rest: the share that was applied in truth.
    pub(super) fn forced(&mut self, share: f64) {
        if self.applied.is_some_and(|a| a < share) {
            self.applied = Some(share);
        }
    }

    /// True once a second while a returning cluster's share is so small that chance might leave it without requests.
    pub(super) fn trickle(&mut self, now_ms: u64, target: f64) -> bool {
        let applied = self.applied.unwrap_or(0.0);
        if target <= applied || applied >= TRICKLE_BELOW {
            self.trickled_ms = None;
            return false;
        }
        let due = self.trickled_ms.is_none_or(|at| now_ms.saturating_sub(at) >= TRICKLE_EVERY_MS);
        if due {
            self.trickled_ms = Some(now_ms);
        }
        due
    }

    /// The last failovers, for status.
    pub(super) fn failovers(&self) -> usize {
        self.failovers.len()
    }

    /// True while the share is below what capacity allows.
    pub(super) fn rising(&self, target: f64) -> bool {
        self.applied.is_none_or(|a| a < target)
    }
}
