//! The guard of one attempt: counts it in and out, and takes what became of it.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use super::load::LoadReport;
use super::place::Place;
use crate::admission::Urgency;
use crate::health::{Outcome, Slot, Target};

/// An error that another cluster's gateway made itself (`x-strait-error`): the link is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayedError {
    /// It has no endpoint for the service: its capacity counts as 0 for a second.
    NoEndpoints,
    /// Its endpoints have as much under way as they can bear: requests that are no more urgent than this one pass the
    /// cluster over for a moment.
    Overloaded,
    /// It could not get an answer from its endpoints.
    Failed,
}

/// One attempt on its way. In-flight counts fall when it is dropped.
#[derive(Debug)]
pub struct InFlight {
    slot: Arc<Slot>,
    place: Arc<Place>,
    urgency: Urgency,
    owed: Option<Owed>,
    /// When the head of its answer was counted as a success, in milliseconds, and it has not ended.
    good_ms: Cell<Option<u64>>,
    in_place: bool,
}

/// An answer that has begun and tells only at its end how the call went.
#[derive(Clone, Copy, Debug)]
struct Owed {
    /// From the start of the attempt to the answer's head.
    latency: Duration,
    head_ms: u64,
}

impl InFlight {
    pub(crate) fn new(slot: Arc<Slot>, place: Arc<Place>, urgency: Urgency) -> Self {
        slot.enter();
        place.enter();
        Self { slot, place, urgency, owed: None, good_ms: Cell::new(None), in_place: true }
    }

    /// The target's slot.
    #[must_use]
    pub const fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }

    /// How long the target's place usually takes; `None` while too little is known.
    #[must_use]
    pub fn usual(&self) -> Option<Duration> {
        self.place.usual()
    }

    /// A new connection to the target is up: ends an ejection that connects had caused, before any answer.
    pub fn connected(&self, now_ms: u64) {
        self.slot.connected(now_ms);
    }

    /// How the attempt ended: at the head of the answer, or at its failure. An error answer of a pod behind a gateway
    /// says nothing against the link to that gateway and is counted for the cluster only.
    pub fn record(&self, outcome: Outcome, now_ms: u64) {
        if self.is_to_gateway() && outcome == Outcome::ServerError {
            self.slot.connected(now_ms);
        } else {
            self.slot.record(outcome, now_ms);
        }
        if outcome == Outcome::Abandoned {
            self.place.note_left();
        }
        self.good_ms.set(outcome.is_success().then_some(now_ms));
        self.count(outcome, now_ms);
    }

    /// The answer broke off after its head: what was taken for a success was none. A gateway passes on how its pod ended; a
    /// link that ends tells the gateway's slot by itself.
    pub fn broke_off(&self, now_ms: u64) {
        let Some(head_ms) = self.good_ms.take() else { return };
        if !self.is_to_gateway() {
            self.slot.take_back(head_ms, now_ms);
        }
        self.place.take_back(head_ms, now_ms);
    }

    /// Its head has said all that it says of the target: how it ends may be its client's doing.
    pub fn let_end(&self) {
        self.good_ms.set(None);
    }

    /// It is a request no more, though its target still has it: a connection that has left HTTP may be idle for days.
    pub(crate) fn leave_place(&mut self) {
        if std::mem::take(&mut self.in_place) {
            self.place.leave();
        }
    }

    fn is_to_gateway(&self) -> bool {
        matches!(self.slot.target(), Target::Gateway { .. })
    }

    fn count(&self, outcome: Outcome, now_ms: u64) {
        let latency = if let Outcome::Success { latency } = outcome { latency } else { Duration::ZERO };
        if !matches!(outcome, Outcome::Overloaded { .. }) {
            self.place.note(outcome.is_success(), latency, now_ms);
        }
    }

    /// The head of an answer came after `latency` whose end will tell how the call went: see [`Self::settle`].
    pub fn begun(&mut self, latency: Duration, now_ms: u64) {
        self.slot.begun(latency, now_ms);
        self.owed = Some(Owed { latency, head_ms: now_ms });
    }

    /// True while the end of an answer is waited for.
    #[must_use]
    pub const fn owes(&self) -> bool {
        self.owed.is_some()
    }

    /// The end of an answer that [began](Self::begun): `told` makes the outcome of the latency of its head. Nothing
    /// happens for any other answer, and the second time.
    pub fn settle(&mut self, told: impl FnOnce(Duration) -> Outcome, now_ms: u64) {
        let Some(Owed { latency, head_ms }) = self.owed.take() else { return };
        let outcome = match told(latency) {
            // A gateway passes on how its pod ended; a link that ends tells the gateway's slot by itself.
            Outcome::Broken if self.is_to_gateway() => Outcome::ServerError,
            outcome => outcome,
        };
        if !outcome.is_success() {
            return self.record(outcome, now_ms);
        }
        // A call that began before an ejection proves nothing, however long it lasted.
        let since = latency + Duration::from_millis(now_ms.saturating_sub(head_ms));
        self.slot.judge(Outcome::Success { latency: since }, now_ms);
        self.count(outcome, now_ms);
    }

    /// The gateway answered with an error of its own after `latency`: a success of the link, a failure of the cluster
    /// unless it only has enough to do.
    pub fn relayed(&self, error: RelayedError, latency: Duration, now_ms: u64) {
        self.slot.record(Outcome::Success { latency }, now_ms);
        if error == RelayedError::Overloaded {
            return self.place.note_busy(self.urgency, now_ms);
        }
        self.place.note(false, latency, now_ms);
        if error == RelayedError::NoEndpoints {
            self.place.note_empty(now_ms);
            self.slot.wake();
        }
    }

    /// Takes the load report of an answer.
    pub fn load(&self, report: LoadReport, now_ms: u64) {
        self.place.note_report(report, now_ms);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.slot.leave();
        self.leave_place();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use strait_catalog::{ClusterId, ServiceKey};

    use super::*;
    use crate::health::{Registry, Usable};

    /// Calls to that target of which each breaks off after its head came, as calls of a pod that is killed do.
    fn after_broken_calls(target: &Target) -> (Arc<Slot>, Arc<Place>) {
        after(target, |flight, at| {
            flight.begun(Duration::from_millis(5), at);
            flight.settle(|_| Outcome::Broken, at);
        })
    }

    /// Twenty attempts at that target, each ending so.
    fn after(target: &Target, end: impl Fn(&mut InFlight, u64)) -> (Arc<Slot>, Arc<Place>) {
        let registry = Registry::new();
        let slot = registry.slot(target, registry.number(&ClusterId::parse("us-east").unwrap()), 0);
        let place = Arc::new(Place::default());
        for at in 0..20 {
            let mut flight = InFlight::new(slot.clone(), place.clone(), Urgency::default());
            end(&mut flight, 1_000 + at);
        }
        (slot, place)
    }

    #[test]
    fn calls_that_a_pod_breaks_off_speak_against_it_and_not_against_its_gateway() {
        let service = ServiceKey::parse("ml/model").unwrap();
        let (pod, _) = after_broken_calls(&Target::Pod { service, address: ([10, 0, 0, 1], 80).into() });
        assert_ne!(pod.usable(1_020), Usable::Yes);
        let cluster = ClusterId::parse("us-east").unwrap();
        let gateway = Target::Gateway { cluster, address: "10.0.0.2:31443".into() };
        let (gateway, place) = after_broken_calls(&gateway);
        assert_eq!(gateway.usable(1_020), Usable::Yes);
        assert_eq!(place.failed(), 20, "they count for the cluster");
    }

    #[test]
    fn answers_that_break_off_after_a_good_head_speak_against_their_pod() {
        let service = ServiceKey::parse("ml/model").unwrap();
        let (slot, place) = after(&Target::Pod { service, address: ([10, 0, 0, 1], 80).into() }, |flight, at| {
            flight.record(Outcome::Success { latency: Duration::from_millis(5) }, at);
            flight.broke_off(at);
            flight.broke_off(at);
        });
        assert_ne!(slot.usable(1_020), Usable::Yes);
        assert_eq!(place.failed(), 20, "once each");
        assert_eq!(place.answers(1_020), (0, 20));
    }

    #[test]
    fn streams_that_began_long_ago_or_before_an_ejection_eject_nobody_when_they_break() {
        let service = ServiceKey::parse("ml/model").unwrap();
        let pod = Target::Pod { service, address: ([10, 0, 0, 1], 80).into() };
        let registry = Registry::new();
        let slot = registry.slot(&pod, registry.number(&ClusterId::parse("us-east").unwrap()), 0);
        let place = Arc::new(Place::default());
        let good = Outcome::Success { latency: Duration::from_millis(5) };
        let begin = |now_ms| {
            let flight = InFlight::new(slot.clone(), place.clone(), Urgency::default());
            flight.record(good, now_ms);
            flight
        };
        let old: Vec<_> = (0..30).map(|_| begin(1_000)).collect();
        begin(60_000).record(Outcome::Refused, 60_000);
        assert_eq!(slot.breaker().trips, 1);
        old.iter().for_each(|flight| flight.broke_off(60_010));
        assert_eq!(slot.breaker().trips, 1, "what began before it was ejected");
        assert_eq!(place.answers(60_020).1, 31);
        slot.connected(61_000);
        let ended: Vec<_> = (0..30).map(|_| begin(62_000)).collect();
        (0..30).for_each(|_| drop(begin(80_000)));
        ended.iter().for_each(|flight| flight.broke_off(80_001));
        assert_eq!(slot.usable(80_002), Usable::Yes, "half of what is known of the last ten seconds is good");
    }

    #[test]
    fn what_has_left_http_is_with_its_target_and_no_request() {
        let service = ServiceKey::parse("ml/model").unwrap();
        let registry = Registry::new();
        let pod = Target::Pod { service, address: ([10, 0, 0, 1], 80).into() };
        let slot = registry.slot(&pod, registry.number(&ClusterId::parse("us-east").unwrap()), 0);
        let place = Arc::new(Place::default());
        let mut flight = InFlight::new(slot.clone(), place.clone(), Urgency::default());
        flight.leave_place();
        assert_eq!((slot.in_flight(), place.in_flight()), (1, 0));
        drop(flight);
        assert_eq!((slot.in_flight(), place.in_flight()), (0, 0));
    }

    #[test]
    fn a_break_after_a_bad_head_is_no_second_failure() {
        let service = ServiceKey::parse("ml/model").unwrap();
        let (_, place) = after(&Target::Pod { service, address: ([10, 0, 0, 1], 80).into() }, |flight, at| {
            flight.record(Outcome::ServerError, at);
            flight.broke_off(at);
        });
        assert_eq!(place.failed(), 20);
    }
}
