//! How long a place usually takes to answer: the wait before a silent attempt is joined by another follows it.

use crate::route::{BUCKETS, Place, bucket_ms};

/// Answers fade by an e-fold in this time, in milliseconds.
const FADE_MS: f64 = 30_000.0;
/// Fewer answers than this say nothing new.
const ENOUGH: f64 = 10.0;
/// The part of good answers that are usual.
const USUAL: f64 = 0.99;

/// A fading histogram of one place's good answers. What it last said holds while there is too little news, so that a
/// service that is seldom asked is known too.
#[derive(Clone, Debug)]
pub(super) struct Usual {
    seen: [u32; BUCKETS],
    recent: [f64; BUCKETS],
    at_ms: u64,
}

impl Default for Usual {
    fn default() -> Self {
        Self { seen: [0; BUCKETS], recent: [0.0; BUCKETS], at_ms: 0 }
    }
}

impl Usual {
    /// Takes the place's newest counts and tells it its usual time.
    pub(super) fn learn(&mut self, place: &Place, now_ms: u64) {
        if let Some(ms) = self.step(now_ms, place.latencies()) {
            place.set_usual(ms);
        }
    }

    /// The usual time in milliseconds, the upper end of its bucket; `None` without news or with too little of it.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds")]
    fn step(&mut self, now_ms: u64, counts: [u32; BUCKETS]) -> Option<f64> {
        if counts == self.seen {
            return None;
        }
        let fade = (-(now_ms.saturating_sub(self.at_ms) as f64) / FADE_MS).exp();
        self.at_ms = now_ms;
        for ((recent, seen), count) in self.recent.iter_mut().zip(&mut self.seen).zip(counts) {
            // A count below the last one began anew: the cluster had left the route and came back.
            *recent = recent.mul_add(fade, f64::from(count.checked_sub(*seen).unwrap_or(count)));
            *seen = count;
        }
        let total: f64 = self.recent.iter().sum();
        let mut sum = 0.0;
        let at = self.recent.iter().position(|n| {
            sum += n;
            sum >= USUAL * total
        })?;
        (total >= ENOUGH).then(|| bucket_ms(at))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_follows_what_is_slow_at_once_and_what_is_fast_in_minutes() {
        let (mut usual, place) = (Usual::default(), Place::default());
        let answers = |count: u32, ms: u64, now_ms: u64| {
            for _ in 0..count {
                place.note(true, Duration::from_millis(ms), now_ms);
            }
        };
        let mut at = |now_ms: u64| {
            usual.learn(&place, now_ms);
            place.usual().map(|usual| usual.as_millis())
        };
        answers(9, 2, 0);
        assert_eq!(at(0), None, "too few");
        answers(991, 2, 100);
        assert_eq!(at(100), Some(3), "the end of its bucket");
        answers(50, 1_000, 200);
        let slow = at(200).unwrap();
        assert!((1_000..=1_500).contains(&slow), "{slow}");
        assert_eq!(at(3_600_000), Some(slow), "an hour without news");
        answers(1_000, 2, 3_600_000);
        assert_eq!(at(3_600_000), Some(3), "the past has faded");
    }

    #[test]
    fn failures_and_abandoned_requests_do_not_shorten_it() {
        let (mut usual, place) = (Usual::default(), Place::default());
        for _ in 0..20 {
            place.note(true, Duration::from_secs(8), 0);
            place.note(false, Duration::ZERO, 0);
        }
        usual.learn(&place, 0);
        assert!(place.usual().unwrap() >= Duration::from_secs(8));
    }

    #[test]
    fn counts_that_begin_anew_are_not_billions_of_answers() {
        let mut usual = Usual::default();
        let mut counts = [0; BUCKETS];
        counts[20] = 5_000;
        usual.step(0, counts);
        counts[20] = 3;
        usual.step(1_000, counts);
        assert!(usual.recent.iter().sum::<f64>() < 5_010.0);
    }
}
