//! One target's state, in atomics. Every method is lock-free and takes the time as an argument.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use metrics::Counter;
use tokio::sync::Notify;

use super::breaker::{Breaker, Cause, Event, Policy, State};
use super::ewma::PeakEwma;
use super::orca::Reported;
use super::outcome::Outcome;
use super::readiness::Readiness;
use super::registry::{ClusterNumber, Target};
use super::window::Window;

/// Lowest latency a cost is reckoned with, in milliseconds: an unknown or idle target is attractive, not infinitely so.
const COST_FLOOR_MS: f32 = 0.2;
/// How long a newly ready or reopened target takes to reach its full weight, in milliseconds.
const RAMP_MS: f64 = 10_000.0;
/// Share of its weight such a target starts with.
const RAMP_START: f64 = 0.1;
/// The same for a gateway, which stands for a whole cluster: below a third of it nothing counts as spare where a cluster's
/// load is not known, and no request would go there for seconds after a heal.
const GATEWAY_RAMP_START: f64 = 0.4;

/// A target that answered this recently is alive, in milliseconds: clients that leave it say that it is slow.
const ALIVE_MS: u64 = 1_000;

/// Whether a target may be given a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usable {
    /// It may.
    Yes,
    /// Ejected, but its back-off is over: one request may try it, after [`Slot::claim_probation`].
    Probation,
    /// Ejected.
    No,
}

/// One target's state. Two cache-line pairs: what every pick reads comes first.
#[derive(Debug)]
#[repr(C, align(128))]
pub struct Slot {
    breaker: AtomicU64,
    ewma: PeakEwma,
    in_flight: AtomicU32,
    cluster: ClusterNumber,
    id: u64,
    last_success_ms: AtomicU64,
    last_failure_ms: AtomicU64,
    successes: AtomicU64,
    failures: AtomicU64,
    /// When it was last taken into use after an absence; 0: with the whole set, so without a ramp.
    fresh_ms: AtomicU64,
    touched_ms: AtomicU64,
    /// When a check of it was last asked for.
    checked_ms: AtomicU64,
    /// When its last probation began.
    claimed_ms: AtomicU64,
    reported: Reported,
    seed: u32,
    readiness: Readiness,
    /// A packed [`Policy`]: it may change while the slot lives.
    policy: AtomicU64,
    window: Window,
    wake: Arc<Notify>,
    ejections: Counter,
    target: Target,
}

impl Slot {
    #[allow(clippy::cast_possible_truncation, reason = "a seed")]
    pub(super) fn new(
        id: u64,
        target: Target,
        cluster: ClusterNumber,
        (wake, ejections): (Arc<Notify>, Counter),
        now_ms: u64,
    ) -> Self {
        let policy = match target {
            Target::Pod { .. } => Policy::POD,
            Target::Gateway { .. } => Policy::GATEWAY,
        };
        Self {
            breaker: AtomicU64::new(Breaker::new(now_ms).pack()),
            ewma: PeakEwma::default(),
            in_flight: AtomicU32::new(0),
            cluster,
            id,
            last_success_ms: AtomicU64::new(0),
            last_failure_ms: AtomicU64::new(0),
            successes: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            fresh_ms: AtomicU64::new(0),
            touched_ms: AtomicU64::new(now_ms),
            checked_ms: AtomicU64::new(0),
            claimed_ms: AtomicU64::new(0),
            reported: Reported::default(),
            seed: (id as u32).wrapping_mul(0x9e37_79b9) ^ (now_ms as u32),
            readiness: Readiness::default(),
            policy: AtomicU64::new(policy.pack()),
            window: Window::default(),
            wake,
            ejections,
            target,
        }
    }

    /// A number of its own, never reused.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// What it is the state of.
    #[must_use]
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// The cluster it stands in.
    #[must_use]
    pub const fn cluster(&self) -> ClusterNumber {
        self.cluster
    }

    /// Judges it by these numbers from now on.
    pub(crate) fn judge_by(&self, policy: Policy) {
        self.policy.store(policy.pack(), Ordering::Relaxed);
    }

    /// What it is judged by.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy::unpack(self.policy.load(Ordering::Relaxed))
    }

    /// The success ratio below which it is ejected.
    fn least_ratio(&self) -> f64 {
        f64::from(self.policy().min_percent) / 100.0
    }

    /// Requests in flight, over all workers.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Successes and failures since the slot was made.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.successes.load(Ordering::Relaxed), self.failures.load(Ordering::Relaxed))
    }

    /// The latency estimate, projected to now.
    #[must_use]
    pub fn latency(&self, now_ms: u64) -> Duration {
        Duration::from_secs_f32((self.ewma.read(now_ms) / 1_000.0).max(0.0))
    }

    /// The breaker as it stands.
    #[must_use]
    pub fn breaker(&self) -> Breaker {
        Breaker::unpack(self.breaker.load(Ordering::Relaxed))
    }

    /// Peak-EWMA × (requests in flight + 1), in milliseconds: what the pick compares, before weights.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "requests in flight")]
    pub fn cost(&self, now_ms: u64) -> f32 {
        self.ewma.read(now_ms).max(COST_FLOOR_MS) * (self.in_flight() + 1) as f32
    }

    /// Whether a request may be sent here now.
    #[must_use]
    pub fn usable(&self, now_ms: u64) -> Usable {
        let word = self.breaker.load(Ordering::Relaxed);
        if Breaker::is_closed(word) {
            return Usable::Yes;
        }
        match Breaker::unpack(word).due_ms(self.policy(), self.seed, self.claimed_ms()) {
            Some(due) if now_ms < due => Usable::No,
            _ => Usable::Probation,
        }
    }

    /// True when it is ejected and its back-off is over.
    #[must_use]
    pub fn probation_due(&self, now_ms: u64) -> bool {
        self.usable(now_ms) == Usable::Probation
    }

    /// True while a probation request is on its way.
    #[must_use]
    pub fn probing(&self, now_ms: u64) -> bool {
        self.breaker().state == State::Probing && self.usable(now_ms) == Usable::No
    }

    /// True when it is closed, or ejected for bad answers only: good enough when nothing else is.
    #[must_use]
    pub fn reachable(&self) -> bool {
        let breaker = self.breaker();
        breaker.state == State::Closed || breaker.cause == Cause::Soft
    }

    /// When its last probation began, in milliseconds; 0 before the first.
    pub(crate) fn claimed_ms(&self) -> u64 {
        self.claimed_ms.load(Ordering::Relaxed)
    }

    /// Takes the one probation that is due. False when none is or another request was faster.
    pub fn claim_probation(&self, now_ms: u64) -> bool {
        let word = self.breaker.load(Ordering::Relaxed);
        let (breaker, claimed) = (Breaker::unpack(word), self.claimed_ms());
        if breaker.due_ms(self.policy(), self.seed, claimed).is_none_or(|due| now_ms < due) {
            return false;
        }
        if breaker.state == State::Probing {
            // The last one has said nothing for too long, and a lease has passed since: the two times differ.
            return self.claimed_ms.compare_exchange(claimed, now_ms, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        }
        self.claimed_ms.store(now_ms, Ordering::Relaxed);
        let probing = breaker.after(Event::Claim, self.policy().run, now_ms).pack();
        self.breaker.compare_exchange(word, probing, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// True after a success within `within_ms` that no failure followed.
    #[must_use]
    pub fn fresh_success(&self, within_ms: u64, now_ms: u64) -> bool {
        let success = self.last_success_ms.load(Ordering::Relaxed);
        success != 0
            && now_ms.saturating_sub(success) <= within_ms
            && self.last_failure_ms.load(Ordering::Relaxed) <= success
    }

    /// True after a success a moment ago, whatever came since.
    fn alive(&self, now_ms: u64) -> bool {
        let success = self.last_success_ms.load(Ordering::Relaxed);
        success != 0 && now_ms.saturating_sub(success) < ALIVE_MS
    }

    /// True when something has answered here at that time or since.
    pub(crate) fn answered_since(&self, ms: u64) -> bool {
        self.last_success_ms.load(Ordering::Relaxed) >= ms.max(1)
    }

    /// True when its last attempt succeeded, or none was ever made.
    #[must_use]
    pub fn in_good_standing(&self) -> bool {
        let breaker = self.breaker();
        breaker.state == State::Closed && breaker.run == 0
    }

    /// Takes the weight that follows from what the pod reports of its load.
    pub(crate) fn note_reported(&self, weight: f32, now_ms: u64) {
        self.reported.note(weight, now_ms);
    }

    /// That weight, while it is believed.
    pub(crate) fn reported(&self, now_ms: u64) -> Option<f32> {
        self.reported.read(now_ms)
    }

    /// How long nothing was heard of it, in milliseconds: no attempt ended, and no check was asked for.
    pub(crate) fn quiet_ms(&self, now_ms: u64) -> u64 {
        let success = self.last_success_ms.load(Ordering::Relaxed);
        let failure = self.last_failure_ms.load(Ordering::Relaxed);
        self.unchecked_ms(now_ms).min(now_ms.saturating_sub(success.max(failure)))
    }

    /// How long ago a check of it was asked for, in milliseconds.
    pub(crate) fn unchecked_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.checked_ms.load(Ordering::Relaxed))
    }

    /// A check of it is asked for.
    pub(crate) fn note_check(&self, now_ms: u64) {
        self.checked_ms.store(now_ms, Ordering::Relaxed);
    }

    /// A connection was made: ends an ejection that connects had caused.
    pub fn connected(&self, now_ms: u64) {
        if !Breaker::is_closed(self.breaker.load(Ordering::Relaxed)) {
            self.apply(Event::Connected, now_ms);
        }
    }

    /// Records how an attempt ended.
    pub fn record(&self, outcome: Outcome, now_ms: u64) {
        self.note_load(outcome.load(), now_ms);
        self.judge(outcome, now_ms);
    }

    /// The head of an answer came after `latency`, and says nothing yet of how the answer will end.
    pub(crate) fn begun(&self, latency: Duration, now_ms: u64) {
        self.note_load(latency, now_ms);
        self.connected(now_ms);
    }

    fn note_load(&self, load: Duration, now_ms: u64) {
        self.ewma.add(load.as_secs_f32() * 1_000.0, now_ms);
    }

    /// Takes an outcome into account whose load was noted before.
    pub(crate) fn judge(&self, outcome: Outcome, now_ms: u64) {
        let Some(event) = outcome.event(now_ms) else { return };
        if outcome == Outcome::Abandoned && self.alive(now_ms) {
            self.failures.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let success = outcome.is_success();
        self.window.add(success, now_ms);
        if success {
            self.successes.fetch_add(1, Ordering::Relaxed);
            self.last_success_ms.store(now_ms, Ordering::Relaxed);
            // Nearly always there is nothing to change.
            if !self.in_good_standing() {
                self.apply(event, now_ms);
            }
            return;
        }
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.last_failure_ms.store(now_ms, Ordering::Relaxed);
        self.apply(event, now_ms);
        self.look_at_ratio(now_ms);
    }

    /// An answer broke off whose head was taken for a success at `head_ms`. That counts against what is known of the last ten
    /// seconds and not as a failure in a row: old streams end together, and say nothing of the time after an ejection.
    pub(crate) fn take_back(&self, head_ms: u64, now_ms: u64) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        if head_ms < self.breaker().since_ms {
            return;
        }
        self.last_failure_ms.store(now_ms, Ordering::Relaxed);
        self.window.take_back(head_ms, now_ms);
        self.look_at_ratio(now_ms);
    }

    fn look_at_ratio(&self, now_ms: u64) {
        if self.window.ratio(now_ms).is_some_and(|ratio| ratio < self.least_ratio()) {
            self.apply(Event::LowRatio, now_ms);
        }
    }

    /// Changes the breaker. A thread that loses the race tries again with what the other left.
    fn apply(&self, event: Event, now_ms: u64) {
        let mut word = self.breaker.load(Ordering::Relaxed);
        loop {
            let before = Breaker::unpack(word);
            let after = before.after(event, self.policy().run, now_ms);
            if after == before {
                return;
            }
            match self.breaker.compare_exchange_weak(word, after.pack(), Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return self.changed(before, after, now_ms),
                Err(seen) => word = seen,
            }
        }
    }

    fn changed(&self, before: Breaker, after: Breaker, now_ms: u64) {
        if before.state == after.state {
            return;
        }
        if before.state == State::Closed {
            self.ejections.increment(1);
        }
        if after.state == State::Closed {
            // Old failures must not eject it again, and it starts small.
            self.window.clear();
            self.fresh_ms.store(now_ms.max(1), Ordering::Relaxed);
        }
        self.wake.notify_one();
    }

    /// How healthy it is, in 0–1: `gate · q`, with `q = clamp((s − m) / (0.95 − m), 0, 1)` for the success ratio `s` of the
    /// last ten seconds (1 below 20 samples) and the least one allowed `m` (½ by default).
    #[must_use]
    pub fn health(&self, now_ms: u64) -> f64 {
        if !Breaker::is_closed(self.breaker.load(Ordering::Relaxed)) {
            return 0.0;
        }
        let quality = |s: f64| {
            let least = self.least_ratio();
            ((s - least) / (0.95 - least)).clamp(0.0, 1.0)
        };
        self.window.ratio(now_ms).map_or(1.0, quality)
    }

    /// What its weight among its like is multiplied by, in 0–1: `ramp · health`, with a ramp from 0.1 to 1 over 10 s after an
    /// absence. It says how fast load is shifted to it and nothing of what it can do.
    #[must_use]
    pub fn part(&self, now_ms: u64) -> f64 {
        self.ramp(now_ms) * self.health(now_ms)
    }

    #[expect(clippy::cast_precision_loss, reason = "milliseconds")]
    fn ramp(&self, now_ms: u64) -> f64 {
        match self.fresh_ms.load(Ordering::Relaxed) {
            0 => 1.0,
            at => {
                let start = if matches!(self.target, Target::Gateway { .. }) { GATEWAY_RAMP_START } else { RAMP_START };
                (now_ms.saturating_sub(at) as f64 / RAMP_MS).clamp(start, 1.0)
            }
        }
    }

    /// True while its weight still changes by itself: it ramps, is ejected, or has failures in its window.
    #[must_use]
    pub fn unsettled(&self, now_ms: u64) -> bool {
        !self.in_good_standing() || self.ramp(now_ms) < 1.0 || self.window.read(now_ms).1 > 0
    }

    /// What the source says of its readiness.
    pub(crate) const fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Notes what the source says. When it becomes ready, what was held against it is void; with `ramp` (others of its
    /// set were ready before it) it starts small.
    pub(crate) fn note_ready(&self, ready: bool, ramp: bool, now_ms: u64) {
        if !self.readiness.note(ready, now_ms) {
            return;
        }
        self.apply(Event::Revived, now_ms);
        self.window.clear();
        self.fresh_ms.store(if ramp { now_ms.max(1) } else { 0 }, Ordering::Relaxed);
    }

    pub(super) fn touch(&self, now_ms: u64) {
        self.touched_ms.store(now_ms, Ordering::Relaxed);
    }

    pub(super) fn touched_ms(&self) -> u64 {
        self.touched_ms.load(Ordering::Relaxed)
    }

    /// Has the balancer look again at once.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Counts a request in; the caller's guard counts it out.
    pub(crate) fn enter(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request out.
    pub(crate) fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
