//! How old the knowledge about a cluster is, and what that does to its weight.

use std::sync::atomic::{AtomicU64, Ordering};

/// Up to this age, in milliseconds, knowledge counts in full (T1).
pub const STALE_FULL_MS: u64 = 10_000;
/// From this age on (T2) only the floor is left.
const STALE_FLOOR_MS: u64 = 60_000;
/// What stays however old the knowledge is: only the data plane takes a cluster to zero.
pub const STALE_FLOOR: f64 = 0.1;
/// A cluster not heard of for this long is forgotten (T4), 24 h.
const FORGET_MS: u64 = 24 * 3600 * 1000;

/// The weight of a cluster whose newest knowledge is `age_ms` old: 1 up to 10 s, falling linearly to 0.1 at 60 s,
/// kept until 24 h, then 0.
#[must_use]
pub fn staleness_weight(age_ms: u64) -> f64 {
    match age_ms {
        0..=STALE_FULL_MS => 1.0,
        FORGET_MS.. => 0.0,
        STALE_FLOOR_MS.. => STALE_FLOOR,
        _ => {
            #[expect(clippy::cast_precision_loss, reason = "both are below 60,000")]
            let done = (age_ms - STALE_FULL_MS) as f64 / (STALE_FLOOR_MS - STALE_FULL_MS) as f64;
            (1.0 - STALE_FLOOR).mul_add(-done, 1.0)
        }
    }
}

/// When a cluster's state was last known to be current, on the daemon's own monotonic clock. Shared by all
/// snapshots, since it changes every second and they must not.
#[derive(Debug, Default)]
pub struct Freshness {
    /// Milliseconds on the daemon's clock, plus one; 0 means never.
    current_at: AtomicU64,
    /// When the decay was stopped, in the same way; 0 while it is not.
    frozen_at: AtomicU64,
}

impl Freshness {
    /// Notes that the cluster's state was current `age_ms` before `now_ms`. An older note never overwrites a newer.
    pub fn note(&self, now_ms: u64, age_ms: u64) {
        self.current_at.fetch_max(now_ms.saturating_sub(age_ms) + 1, Ordering::Relaxed);
    }

    /// The age in milliseconds; `None` when nothing was ever heard.
    #[must_use]
    pub fn age_ms(&self, now_ms: u64) -> Option<u64> {
        match self.current_at.load(Ordering::Relaxed) {
            0 => None,
            at => Some((now_ms + 1).saturating_sub(at)),
        }
    }

    /// Stops the decay at what it has come to, or resumes it: stopped while more than half of the peers went stale together,
    /// which says more of this daemon than of them.
    pub fn freeze(&self, frozen: bool, now_ms: u64) {
        if !frozen {
            self.frozen_at.store(0, Ordering::Relaxed);
        } else if self.frozen_at.load(Ordering::Relaxed) == 0 {
            self.frozen_at.store(now_ms + 1, Ordering::Relaxed);
        }
    }

    /// The weight by [`staleness_weight`]. A cluster never heard of has full weight: it is known from elsewhere
    /// (the last good snapshot, a sibling) and only the data plane may take it to zero.
    #[must_use]
    pub fn weight(&self, now_ms: u64) -> f64 {
        let by_age = |at: u64| self.age_ms(at).map_or(1.0, staleness_weight);
        match (by_age(now_ms), self.frozen_at.load(Ordering::Relaxed)) {
            (weight, 0) => weight,
            (weight, _) if weight <= 0.0 => weight,
            (weight, at) => weight.max(by_age(at - 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weight_falls_between_ten_and_sixty_seconds_and_never_to_zero_by_age() {
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(near(staleness_weight(0), 1.0));
        assert!(near(staleness_weight(10_000), 1.0));
        assert!(near(staleness_weight(35_000), 0.55));
        assert!(near(staleness_weight(60_000), 0.1));
        assert!(near(staleness_weight(3_600_000), 0.1));
        assert!(near(staleness_weight(FORGET_MS), 0.0));
    }

    #[test]
    fn an_isolated_daemon_freezes_what_it_has_come_to() {
        let (fresh, stale) = (Freshness::default(), Freshness::default());
        stale.note(1_000, 0);
        fresh.note(100_000, 0);
        for cluster in [&fresh, &stale] {
            cluster.freeze(true, 110_000);
            cluster.freeze(true, 150_000);
        }
        assert!((fresh.weight(170_000) - 1.0).abs() < 1e-9);
        assert!((stale.weight(170_000) - STALE_FLOOR).abs() < 1e-9, "what was stale long before stays so");
        stale.note(171_000, 0);
        assert!((stale.weight(171_500) - 1.0).abs() < 1e-9, "and counts again once it is heard");
        fresh.freeze(false, 172_000);
        assert!((fresh.weight(172_000) - STALE_FLOOR).abs() < 1e-9);
        assert!(stale.weight(171_000 + FORGET_MS) <= 0.0, "frozen or not");
    }

    #[test]
    fn an_older_note_does_not_make_it_older() {
        let f = Freshness::default();
        assert_eq!(f.age_ms(500), None);
        f.note(1_000, 0);
        f.note(1_200, 900);
        assert_eq!(f.age_ms(1_500), Some(500));
    }
}
