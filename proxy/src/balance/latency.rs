//! Whether the own cluster answers much slower than it used to.

use crate::route::{BUCKETS, bucket_ms};

/// Samples fade by an e-fold in this time, in milliseconds.
const FADE_MS: f64 = 10_000.0;
/// Fewer samples than this say nothing.
const ENOUGH: f64 = 20.0;

/// Slower by less than this is not slow, in milliseconds: other clusters are farther away than that, and a few
/// milliseconds more are what a busy machine adds.
const NOISE_MS: f64 = 20.0;

/// What has been slow for so long is how it is from now on: a new release may simply take longer. In milliseconds.
const NEW_NORMAL_MS: u64 = 300_000;

/// A fading histogram of one place's latencies, and the 90th percentile that counts as normal: that of steady times, or what
/// has lasted.
#[derive(Clone, Debug)]
pub(super) struct LatencyWatch {
    seen: [u32; BUCKETS],
    recent: [f64; BUCKETS],
    settled_ms: Option<f64>,
    slow_since_ms: Option<u64>,
    at_ms: u64,
}

impl Default for LatencyWatch {
    fn default() -> Self {
        Self { seen: [0; BUCKETS], recent: [0.0; BUCKETS], settled_ms: None, slow_since_ms: None, at_ms: 0 }
    }
}

impl LatencyWatch {
    /// Takes the counts of all buckets. While `steady` (the own cluster takes everything) the present is what later is
    /// compared with. A count below the last one began anew: the cluster had left the route and came back.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds")]
    pub(super) fn step(&mut self, now_ms: u64, counts: [u32; BUCKETS], steady: bool) {
        let fade = (-(now_ms.saturating_sub(self.at_ms) as f64) / FADE_MS).exp();
        self.at_ms = now_ms;
        for ((recent, seen), count) in self.recent.iter_mut().zip(&mut self.seen).zip(counts) {
            *recent = recent.mul_add(fade, f64::from(count.checked_sub(*seen).unwrap_or(count)));
            *seen = count;
        }
        self.slow_since_ms = self.slow().then(|| self.slow_since_ms.unwrap_or(now_ms));
        let normal = self.slow_since_ms.is_some_and(|since| now_ms.saturating_sub(since) >= NEW_NORMAL_MS);
        if steady || normal {
            self.settled_ms = self.p90().or(self.settled_ms);
        }
    }

    /// True when the 90th percentile is more than twice what it was while things were steady, and not by noise.
    pub(super) fn slow(&self) -> bool {
        matches!((self.p90(), self.settled_ms), (Some(now), Some(then)) if now > 2.0 * then && now > then + NOISE_MS)
    }

    fn p90(&self) -> Option<f64> {
        let total: f64 = self.recent.iter().sum();
        let mut sum = 0.0;
        let at = self.recent.iter().position(|n| {
            sum += n;
            sum >= 0.9 * total
        })?;
        (total >= ENOUGH).then(|| bucket_ms(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_is_measured_against_steady_times() {
        let mut watch = LatencyWatch::default();
        let mut counts = [0; BUCKETS];
        counts[10] = 100;
        watch.step(0, counts, true);
        assert!(!watch.slow());
        counts[14] = 400;
        watch.step(30_000, counts, false);
        assert!(watch.slow(), "five times slower");
        watch.step(60_000, counts, false);
        counts[10] += 1_000;
        watch.step(90_000, counts, false);
        assert!(!watch.slow());
    }

    #[test]
    fn what_stays_slow_is_the_new_normal() {
        let mut watch = LatencyWatch::default();
        let mut counts = [0; BUCKETS];
        counts[10] = 100;
        watch.step(0, counts, true);
        let slow_at = |watch: &mut LatencyWatch, counts: &mut [u32; BUCKETS], second: u64| {
            counts[14] += 40;
            watch.step(second * 1_000, *counts, false);
            watch.slow()
        };
        let slow: Vec<bool> = (60..400).map(|second| slow_at(&mut watch, &mut counts, second)).collect();
        assert!(slow[..300].iter().all(|s| *s), "held for five minutes");
        assert!(slow[301..].iter().all(|s| !s), "and no longer");
    }

    #[test]
    fn a_few_milliseconds_are_noise() {
        let mut watch = LatencyWatch::default();
        let mut counts = [0; BUCKETS];
        counts[3] = 100;
        watch.step(0, counts, true);
        counts[7] = 400;
        watch.step(30_000, counts, false);
        assert!(!watch.slow(), "1.7 ms became 8.5 ms: five times, and nearer than any other cluster");
    }

    #[test]
    fn counts_that_begin_anew_are_not_billions_of_slow_answers() {
        let mut watch = LatencyWatch::default();
        let mut counts = [0; BUCKETS];
        (counts[3], counts[14]) = (5_000, 40);
        watch.step(0, counts, true);
        (counts[3], counts[14]) = (100, 0);
        watch.step(1_000, counts, false);
        assert!(!watch.slow());
        assert!(watch.recent.iter().all(|n| *n < 6_000.0), "{:?}", watch.recent);
    }

    #[test]
    fn few_samples_say_nothing() {
        let mut watch = LatencyWatch::default();
        let mut counts = [0; BUCKETS];
        counts[5] = 50;
        watch.step(0, counts, true);
        counts[20] = 10;
        watch.step(60_000, counts, false);
        assert!(!watch.slow());
    }
}
