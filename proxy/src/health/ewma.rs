//! Peak-EWMA of a target's latency in one word: `f32` milliseconds and the coarse time of the last sample.
//!
//! A sample above the estimate replaces it, one below moves it with `k = exp(−Δt / 10 s)`; reading projects the
//! estimate towards 0 by the same decay and writes nothing (the estimator of linkerd2-proxy's `linkerd/ewma`).

use std::sync::atomic::{AtomicU64, Ordering};

/// Decay constant, in milliseconds.
const DECAY_MS: f32 = 10_000.0;

/// The packed estimate.
#[derive(Debug, Default)]
pub(super) struct PeakEwma(AtomicU64);

impl PeakEwma {
    /// Adds a sample. One try: when another thread was faster the sample is lost, by design.
    pub(super) fn add(&self, sample_ms: f32, now_ms: u64) {
        let word = self.0.load(Ordering::Relaxed);
        let (estimate, at) = unpack(word);
        let next = if sample_ms >= estimate {
            sample_ms
        } else {
            let k = decay(elapsed(at, now_ms));
            estimate.mul_add(k, sample_ms * (1.0 - k))
        };
        let _ = self.0.compare_exchange(word, pack(next, now_ms), Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The estimate at that time, in milliseconds; 0 when nothing was ever recorded.
    pub(super) fn read(&self, now_ms: u64) -> f32 {
        let (estimate, at) = unpack(self.0.load(Ordering::Relaxed));
        estimate * decay(elapsed(at, now_ms))
    }
}

/// Both times wrap at 2^32 ms (49 days); their difference does not notice.
#[allow(clippy::cast_possible_truncation, reason = "wraps on purpose")]
const fn elapsed(at: u32, now_ms: u64) -> u32 {
    let gone = (now_ms as u32).wrapping_sub(at);
    // A clock cell read just before another thread's newer write.
    if gone > u32::MAX / 2 { 0 } else { gone }
}

/// `exp(−x)` by the inverse of its series up to x³: within 2 % up to x = 1 and falling for all x ≥ 0, without a call.
#[expect(clippy::cast_precision_loss, reason = "milliseconds")]
fn decay(elapsed_ms: u32) -> f32 {
    let x = elapsed_ms as f32 / DECAY_MS;
    1.0 / (x * (1.0 / 6.0)).mul_add(x * x, (0.5 * x).mul_add(x, x + 1.0))
}

#[allow(clippy::cast_possible_truncation, reason = "wraps on purpose")]
const fn pack(estimate: f32, now_ms: u64) -> u64 {
    (estimate.to_bits() as u64) << 32 | (now_ms & 0xffff_ffff)
}

#[allow(clippy::cast_possible_truncation, reason = "halves of a word")]
const fn unpack(word: u64) -> (f32, u32) {
    (f32::from_bits((word >> 32) as u32), word as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_at_once_and_falls_slowly() {
        let e = PeakEwma::default();
        assert!(e.read(5) == 0.0);
        e.add(100.0, 1_000);
        assert!((e.read(1_000) - 100.0).abs() < 0.01);
        let after = e.read(11_000);
        assert!((36.0..40.0).contains(&after), "e-fold in 10 s: {after}");
        e.add(10.0, 1_100);
        assert!((90.0..100.0).contains(&e.read(1_100)), "one fast sample moves little");
        e.add(500.0, 1_200);
        assert!((e.read(1_200) - 500.0).abs() < 0.01);
    }

    #[test]
    fn time_may_stand_or_step_back() {
        let e = PeakEwma::default();
        e.add(10.0, 1_000);
        assert!((e.read(990) - 10.0).abs() < 0.01);
        e.add(1.0, 990);
        assert!((e.read(1_000) - 10.0).abs() < 0.5);
    }
}
