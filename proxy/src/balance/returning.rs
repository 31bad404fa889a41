//! One cluster's way back, whatever its place among the others: out at once, back along the ramp.
//!
//! The limit is on its share of all requests. It falls with what the cluster can take, and from there rises by
//! `Δt ÷ T_up`; when the cluster becomes able to take more, the limit starts from the share it has. A cluster that others
//! fail beside is not on its way back: it takes over at once.

use super::failback::Failback;
use super::settings::Settings;

/// A change of what it can take by less than this is none.
const STILL: f64 = 1e-9;

/// What is remembered of one cluster.
#[derive(Clone, Debug, Default)]
pub(super) struct Return {
    back: Failback,
    /// What it could take of all requests at the last tick; `None` before the first.
    level: Option<f64>,
    /// What it was given.
    share: f64,
}

impl Return {
    /// The most it is given now, when it can take `level` of all requests and would be given `ideal` of them.
    pub(super) fn limit(&mut self, now_ms: u64, level: f64, ideal: f64, held: bool, settings: &Settings) -> f64 {
        let before = self.level.replace(level);
        match before {
            Some(before) if level < before - STILL => self.back.fall(now_ms, self.share, ideal),
            Some(before) if level > before + STILL => self.back.start_from(self.share),
            _ => {}
        }
        // Before it was ever able to do anything it has no way back, for as long as a beginning may take.
        let able = level > 0.0 || self.back.begun();
        self.back.step(now_ms, if able { 1.0 } else { 0.0 }, held, settings)
    }

    /// Notes what it is given in the end: what others could not take is no progress that has to be made again.
    pub(super) fn given(&mut self, share: f64) {
        self.share = share;
        self.back.forced(share);
    }

    /// Whether it should be given one request out of turn, when it would be given `ideal`.
    pub(super) fn trickle(&mut self, now_ms: u64, ideal: f64) -> bool {
        self.back.trickle(now_ms, ideal)
    }

    /// The last failovers, for status.
    pub(super) fn failovers(&self) -> usize {
        self.back.failovers()
    }

    /// True while it waits for the time set after its last fall.
    pub(super) fn waits(&self, now_ms: u64, settings: &Settings) -> bool {
        self.back.waits(now_ms, settings)
    }
}
