//! When to dial: full jitter between attempts, a limit over all of them, a stagger over one cluster's addresses.

use std::time::Duration;

/// The shortest upper bound of a wait.
const FIRST_MS: u64 = 200;
/// The longest wait.
const LONGEST_MS: u64 = 15_000;
/// Dials a second over all clusters, so that a fleet that lost its links does not drown them when they are back.
const DIALS_PER_SECOND: u64 = 20;
/// Between two addresses of one cluster (RFC 8305 §5 recommends 250 ms; links here are up to 150 ms long).
const STAGGER: Duration = Duration::from_millis(300);

/// Waits between attempts at one target: full jitter below a bound that doubles from 0.2 s to 15 s.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait before the next attempt, after one more failure.
    pub fn failed(&mut self, rng: &mut fastrand::Rng) -> Duration {
        let bound = FIRST_MS.saturating_mul(1 << self.failures.min(16)).min(LONGEST_MS);
        self.failures = self.failures.saturating_add(1);
        Duration::from_millis(rng.u64(FIRST_MS.min(bound / 2)..=bound))
    }

    /// A session stood long enough to count as a success.
    pub const fn succeeded(&mut self) {
        self.failures = 0;
    }
}

/// The limit of dials over all targets: bursts of a second's worth, then evenly spaced.
#[derive(Clone, Copy, Debug, Default)]
pub struct DialLimit {
    /// When the bucket would be empty of debts, in milliseconds.
    theoretical_ms: u64,
}

impl DialLimit {
    /// Reserves one dial and says how long to wait for it.
    pub fn reserve(&mut self, now_ms: u64) -> Duration {
        let spacing = 1000 / DIALS_PER_SECOND;
        let burst = spacing * (DIALS_PER_SECOND - 1);
        let at = self.theoretical_ms.max(now_ms);
        self.theoretical_ms = at + spacing;
        Duration::from_millis(at.saturating_sub(now_ms + burst))
    }
}

/// The addresses in the order of dialling, each with the wait since the first: ready ones before others, shuffled
/// among themselves so that the daemons of a cluster spread over another's gateways.
#[must_use]
pub fn staggered(addresses: &[(String, bool)], rng: &mut fastrand::Rng) -> Vec<(Duration, String)> {
    let mut order: Vec<_> = addresses.iter().map(|(a, ready)| (!ready, rng.u64(..), a)).collect();
    order.sort_unstable();
    order.dedup_by(|a, b| a.2 == b.2);
    (0_u32..).zip(order).map(|(i, (_, _, address))| (STAGGER * i, address.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_fifteen_seconds_and_start_again() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut backoff = Backoff::default();
        let first = backoff.failed(&mut rng);
        assert!(first <= Duration::from_millis(200));
        let mut longest = Duration::ZERO;
        for _ in 0..200 {
            longest = longest.max(backoff.failed(&mut rng));
        }
        assert!(longest > Duration::from_secs(12) && longest <= Duration::from_secs(15), "{longest:?}");
        backoff.succeeded();
        assert!(backoff.failed(&mut rng) <= Duration::from_millis(200));
    }

    #[test]
    fn twenty_dials_at_once_then_twenty_a_second() {
        let mut limit = DialLimit::default();
        let waits: Vec<_> = (0..60).map(|_| limit.reserve(5_000)).collect();
        assert!(waits[..20].iter().all(Duration::is_zero), "{waits:?}");
        assert_eq!(waits[40], Duration::from_millis(1_050));
        assert_eq!(limit.reserve(60_000), Duration::ZERO);
    }

    #[test]
    fn ready_addresses_come_first() {
        let mut rng = fastrand::Rng::with_seed(3);
        let given = [("a:1".to_owned(), false), ("b:1".to_owned(), true), ("c:1".to_owned(), true)];
        let mut firsts = std::collections::BTreeSet::new();
        for _ in 0..50 {
            let order = staggered(&given, &mut rng);
            assert_eq!(order[2], (Duration::from_millis(600), "a:1".to_owned()));
            firsts.insert(order[0].1.clone());
        }
        assert_eq!(firsts.len(), 2, "shuffled");
    }
}
