//! What can be set for a service: numbers, and the mode.

use crate::health::ClusterNumber;

/// What can be set for a service.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// φ: how much more than its measured part a cluster is trusted with; ≥ 1. At 1 the first loss spills.
    pub overprovision: f64,
    /// R: a remote this much farther attracts half as much, in milliseconds.
    pub distance_ms: f64,
    /// Which part of a remote's spare capacity one sender may use, 0–1.
    pub cap: f64,
    /// Shortest way back from 0 to 1, in milliseconds.
    pub ramp_ms: u64,
    /// Longest way back, in milliseconds.
    pub ramp_max_ms: u64,
    /// Decay of the high-water mark, in milliseconds.
    pub decay_ms: f64,
    /// How long after a failover the way back begins, in milliseconds.
    pub hold_ms: u64,
    /// With less than this part of all clusters' capacity left there is a panic, 0–1.
    pub panic_below: f64,
    /// Requests in flight that fill one endpoint: converts requests into units of capacity.
    pub endpoint_in_flight: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            overprovision: 1.4,
            distance_ms: 100.0,
            cap: 0.8,
            ramp_ms: 30_000,
            ramp_max_ms: 300_000,
            decay_ms: 300_000.0,
            hold_ms: 0,
            panic_below: 0.5,
            endpoint_in_flight: 64.0,
        }
    }
}

/// Which clusters come before which: the mode of a service.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Ranking {
    /// The own one, then the others by spare capacity and distance.
    #[default]
    LocalFirst,
    /// In this order; those not listed last.
    Ordered(Vec<ClusterNumber>),
    /// By round-trip time.
    Nearest,
    /// All at once by weight, those without one last; without any weight all by capacity.
    Spread(Vec<(ClusterNumber, f64)>),
}
