//! When a pod is checked by a connection of our own, so that no client's request has to find out.
//!
//! A check opens a TCP connection and closes it: no path is invented that a pod may not have. So it can tell that a pod
//! is not there, or is there again; how it answers only requests can tell.

use super::{Cause, Slot, State, Usable};

/// Why a pod is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It could not be reached, and its back-off is over.
    Probation,
    /// Nothing was heard of it for a while, although its service is asked.
    Idle,
}

/// A pod that was queued for a check is not queued again within this time, in milliseconds.
const QUEUED_MS: u64 = 500;

/// Whether a check of a pod that is in use would tell something: nothing was heard of it for `idle_ms`, give or take
/// a quarter by the pod, so that many pods of many services are not checked in step.
pub(crate) fn idle(slot: &Slot, idle_ms: u64, now_ms: u64) -> bool {
    let breaker = slot.breaker();
    let jittered = idle_ms - idle_ms / 4 + (idle_ms / 2).saturating_mul(slot.id() % 16) / 16;
    breaker.state == State::Closed && slot.in_flight() == 0 && slot.quiet_ms(now_ms) >= jittered
}

/// Whether an ejected pod can be taken back by a check: connections ejected it, and its back-off is over.
pub(crate) fn on_probation(slot: &Slot, now_ms: u64) -> bool {
    slot.breaker().cause == Cause::Hard && slot.usable(now_ms) == Usable::Probation
}

/// Takes a pod for a check: false when it was taken a moment ago.
pub(crate) fn take(slot: &Slot, now_ms: u64) -> bool {
    slot.unchecked_ms(now_ms) >= QUEUED_MS && {
        slot.note_check(now_ms);
        true
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use strait_catalog::{ClusterId, ServiceKey};

    use super::*;
    use crate::health::{Outcome, Registry, Target};

    fn slot() -> Arc<Slot> {
        let registry = Registry::new();
        let here = registry.number(&ClusterId::parse("us-west").unwrap());
        let service = ServiceKey::parse("ns/svc").unwrap();
        registry.slot(&Target::Pod { service, address: ([10, 0, 0, 1], 80).into() }, here, 0)
    }

    #[test]
    fn what_is_checked_when() {
        let good = Outcome::Success { latency: Duration::from_millis(1) };
        for (what, past, now, is_idle, is_on_probation) in [
            ("never heard of", vec![], 10_000, true, false),
            ("answered just now", vec![(good, 9_000)], 10_000, false, false),
            ("answered long ago", vec![(good, 1_000)], 10_000, true, false),
            ("failed just now", vec![(Outcome::ServerError, 9_000)], 10_000, false, false),
            ("refused just now", vec![(Outcome::Refused, 9_900)], 10_000, false, false),
            ("its back-off is over", vec![(Outcome::Refused, 9_900)], 13_000, false, true),
            ("ejected for its answers", vec![(Outcome::ServerError, 9_900); 5], 13_000, false, false),
        ] {
            let slot = slot();
            for (outcome, at) in past {
                slot.record(outcome, at);
            }
            assert_eq!((idle(&slot, 5_000, now), on_probation(&slot, now)), (is_idle, is_on_probation), "{what}");
        }
    }

    #[test]
    fn a_check_is_news_too_and_is_not_queued_twice() {
        let slot = slot();
        assert!(take(&slot, 10_000));
        assert!(!take(&slot, 10_100));
        assert!(!idle(&slot, 5_000, 10_000 + 3_000));
        assert!(idle(&slot, 5_000, 10_000 + 6_250));
        assert!(take(&slot, 10_500));
        slot.enter();
        assert!(!idle(&slot, 5_000, 60_000), "a request is on its way");
    }
}
