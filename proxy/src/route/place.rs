//! What is counted of one service in one cluster, whatever the targets. Outlives routes.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::load::LoadReport;
use crate::admission::Urgency;
use crate::health::Window;

/// Latency buckets: bucket `i` holds latencies up to `0.5 ms · 1.5^i`, so the last but one ends at 96 s.
pub(crate) const BUCKETS: usize = 32;
/// How long a gateway's report is believed, in milliseconds.
const REPORT_MS: u64 = 5_000;
/// A poor report that nothing renewed is forgiven over this time, in milliseconds: so the cluster is tried by a few
/// requests first, whose answers bring the next report.
const FORGIVE_MS: f32 = 10_000.0;
/// How long "overloaded" from a gateway has the cluster passed over by requests no more urgent, in milliseconds.
const BUSY_MS: u64 = 200;
/// How long "no endpoints" from a gateway takes the cluster's capacity for the service to 0, in milliseconds.
const EMPTY_MS: u64 = 1_000;

/// Counts and reports of one service in one cluster.
#[derive(Debug, Default)]
pub struct Place {
    in_flight: AtomicU32,
    served: AtomicU64,
    failed: AtomicU64,
    window: Window,
    latency: [AtomicU32; BUCKETS],
    /// When the newest report came, in milliseconds plus one; 0 means never.
    reported_ms: AtomicU64,
    /// `f32` bits.
    healthy_part: AtomicU32,
    /// Of how many endpoints that is the part; 0 for as many as are known of.
    counted: AtomicU32,
    reported_load: AtomicU32,
    empty_until_ms: AtomicU64,
    /// For each step of urgency.
    busy_until_ms: [AtomicU64; Urgency::STEPS],
    /// Clients that left before an answer.
    left: AtomicU64,
    healthy: AtomicU32,
    reference: AtomicU32,
    /// In milliseconds; 0 means not known.
    usual_ms: AtomicU32,
}

impl Place {
    /// Requests of this daemon in flight there.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Requests answered well from there since the route was made.
    #[must_use]
    pub fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    /// Attempts that failed there, server errors included.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Good and bad answers of the last ten seconds.
    #[must_use]
    pub fn answers(&self, now_ms: u64) -> (u32, u32) {
        self.window.read(now_ms)
    }

    /// Healthy capacity and its reference, in endpoints, as of the balancer's last tick.
    #[must_use]
    pub fn capacity(&self) -> (f32, f32) {
        let read = |cell: &AtomicU32| f32::from_bits(cell.load(Ordering::Relaxed));
        (read(&self.healthy), read(&self.reference))
    }

    /// True while a gateway's "no endpoints" holds.
    #[must_use]
    pub fn empty(&self, now_ms: u64) -> bool {
        now_ms < self.empty_until_ms.load(Ordering::Relaxed)
    }

    /// The healthy part of `ready` endpoints, as many as are known of, 0–1, by the newest report; 1 when there is none or it
    /// is long ago.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "milliseconds, endpoints")]
    pub fn healthy_part(&self, ready: u32, now_ms: u64) -> f32 {
        let Some(age) = self.report_age(now_ms) else { return 1.0 };
        let reported = f32::from_bits(self.healthy_part.load(Ordering::Relaxed));
        let part = match self.counted.load(Ordering::Relaxed) {
            0 => reported,
            counted => (reported * counted as f32 / ready.max(1) as f32).min(1.0),
        };
        (part + age.saturating_sub(REPORT_MS) as f32 / FORGIVE_MS).min(1.0)
    }

    /// Requests in flight there by the newest report, while it is fresh.
    #[must_use]
    pub fn reported_load(&self, now_ms: u64) -> Option<u32> {
        self.report_age(now_ms).filter(|age| *age < REPORT_MS).map(|_| self.reported_load.load(Ordering::Relaxed))
    }

    /// Within which time 99 of 100 good answers begin, lately, in whole milliseconds; `None` while too few were seen.
    #[must_use]
    pub fn usual(&self) -> Option<Duration> {
        match self.usual_ms.load(Ordering::Relaxed) {
            0 => None,
            ms => Some(Duration::from_millis(ms.into())),
        }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    pub(crate) fn set_usual(&self, ms: f64) {
        self.usual_ms.store(ms.ceil().clamp(1.0, f64::from(u32::MAX)) as u32, Ordering::Relaxed);
    }

    /// True while a gateway's "overloaded" holds for requests as urgent as that.
    pub(crate) fn busy(&self, urgency: Urgency, now_ms: u64) -> bool {
        now_ms < self.busy_until_ms[urgency.step()].load(Ordering::Relaxed)
    }

    /// Attempts there that the client, or the asking daemon, left before an answer began.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }

    fn report_age(&self, now_ms: u64) -> Option<u64> {
        let at = self.reported_ms.load(Ordering::Relaxed);
        (at != 0).then(|| (now_ms + 1).saturating_sub(at))
    }

    pub(crate) fn set_capacity(&self, healthy: f32, reference: f32) {
        self.healthy.store(healthy.to_bits(), Ordering::Relaxed);
        self.reference.store(reference.to_bits(), Ordering::Relaxed);
    }

    /// A report of no endpoints says nothing of a healthy part: what was said before stays.
    pub(crate) fn note_report(&self, report: LoadReport, now_ms: u64) {
        if report.ready == 0 {
            return;
        }
        self.counted.store(0, Ordering::Relaxed);
        self.healthy_part.store(report.healthy_part().to_bits(), Ordering::Relaxed);
        self.reported_load.store(report.in_flight, Ordering::Relaxed);
        self.reported_ms.store(now_ms + 1, Ordering::Relaxed);
    }

    pub(crate) fn note_empty(&self, now_ms: u64) {
        self.empty_until_ms.store(now_ms + EMPTY_MS, Ordering::Relaxed);
    }

    /// A gateway turned a request away that was as urgent as that: what is no more urgent need not ask. What is more urgent
    /// may find room there.
    pub(crate) fn note_busy(&self, urgency: Urgency, now_ms: u64) {
        for until_ms in &self.busy_until_ms[urgency.step()..] {
            until_ms.store(now_ms + BUSY_MS, Ordering::Relaxed);
        }
    }

    pub(crate) fn note_left(&self) {
        self.left.fetch_add(1, Ordering::Relaxed);
    }

    /// Another number of that cluster's ready endpoints is told than the `before` that were known of. So many healthy ones as
    /// its gateway reported of those there are at most until it reports again or the report is forgiven: who tells of more
    /// does not know whether they are any better.
    pub(crate) fn note_recount(&self, before: u32) {
        // The first recount since the report counts. A report that comes at this moment is as good as one just before.
        let _ = self.counted.compare_exchange(0, before, Ordering::Relaxed, Ordering::Relaxed);
    }

    pub(crate) fn note(&self, success: bool, latency: Duration, now_ms: u64) {
        self.window.add(success, now_ms);
        let total = if success { &self.served } else { &self.failed };
        total.fetch_add(1, Ordering::Relaxed);
        if success {
            self.latency[bucket(latency)].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// An answer that was counted as good broke off.
    pub(crate) fn take_back(&self, head_ms: u64, now_ms: u64) {
        self.window.take_back(head_ms, now_ms);
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// The count of each latency bucket since the place was made; wraps.
    pub(crate) fn latencies(&self) -> [u32; BUCKETS] {
        std::array::from_fn(|i| self.latency[i].load(Ordering::Relaxed))
    }

    pub(crate) fn enter(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped; negative and NaN become 0")]
fn bucket(latency: Duration) -> usize {
    let steps = (latency.as_secs_f32() * 1_000.0 / 0.5).log2() / 1.5_f32.log2();
    (steps.ceil().max(0.0) as usize).min(BUCKETS - 1)
}

/// The upper end of a bucket, in milliseconds.
pub(crate) fn bucket_ms(index: usize) -> f64 {
    0.5 * 1.5_f64.powi(i32::try_from(index).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_latency_falls_into_its_bucket() {
        for us in [0_u64, 1, 499, 500, 501, 750, 10_000, 333_333, 90_000_000, 10_000_000_000] {
            let i = bucket(Duration::from_micros(us));
            #[expect(clippy::cast_precision_loss, reason = "test values")]
            let ms = us as f64 / 1_000.0;
            assert!(i == BUCKETS - 1 || ms <= bucket_ms(i) * 1.000_1, "{ms} in {i}");
            assert!(i == 0 || ms > bucket_ms(i - 1) * 0.999_9, "{ms} in {i}");
        }
    }

    #[test]
    fn no_endpoints_holds_for_a_second() {
        let place = Place::default();
        assert!(!place.empty(0));
        place.note_empty(5_000);
        assert!(place.empty(5_999) && !place.empty(6_000));
    }

    #[test]
    fn a_recount_leaves_as_many_healthy_as_were_reported_at_most() {
        let place = Place::default();
        let healthy = |ready: u32, now| (place.healthy_part(ready, now) * ready as f32 * 100.0).round() / 100.0;
        place.note_recount(4);
        assert_eq!(healthy(8, 0), 8.0, "nothing was reported");
        place.note_report(LoadReport { ready: 4, capacity: 2.0, in_flight: 0 }, 0);
        for (before, ready, left) in [(4, 8, 2.0), (8, 1, 1.0), (1, 0, 0.0), (0, 16, 2.0)] {
            place.note_recount(before);
            assert_eq!(healthy(ready, 100), left, "{before} to {ready}");
        }
        assert_eq!((healthy(16, 10_000), healthy(16, 15_000)), (10.0, 16.0), "and is forgiven as any report");
        place.note_report(LoadReport { ready: 16, capacity: 8.0, in_flight: 0 }, 200);
        assert_eq!(healthy(16, 200), 8.0, "until the next report");
        place.note_report(LoadReport { ready: 0, capacity: 0.0, in_flight: 0 }, 300);
        assert_eq!(healthy(16, 300), 8.0, "of endpoints");
    }

    #[test]
    fn reports_age_and_are_forgiven() {
        let place = Place::default();
        place.note_report(LoadReport { ready: 4, capacity: 1.0, in_flight: 9 }, 0);
        let part = |now| (place.healthy_part(4, now) * 100.0).round();
        assert_eq!((part(0), part(5_000), place.reported_load(4_999)), (25.0, 25.0, Some(9)));
        assert_eq!((part(7_500), part(12_500), part(60_000)), (50.0, 100.0, 100.0), "forgiven little by little");
        assert_eq!(place.reported_load(5_000), None);
    }
}
