//! The guard of an attempt under way: what its end, or its being dropped, says of the target.

use std::time::{Duration, Instant};

use http::{HeaderMap, Response};

use super::verdict::h2_outcome;
use crate::balance::Choice;
use crate::body::Incoming;
use crate::health::{ENDPOINT_LOAD_METRICS, Outcome, Report};
use crate::retry::Failure;
use crate::route::InFlight;
use crate::worker::Worker;

/// An attempt that was dropped sooner than this, and sooner than usual, says nothing of its target.
const SOON: Duration = Duration::from_millis(250);
/// How long an answer may have been on its way, and have waited for this process to read it. One that came sooner after the
/// beginning of a connection attempt may have been sent before its pod's machine was lost.
const ON_ITS_WAY: Duration = Duration::from_millis(50);

/// An attempt under way. Dropped without a verdict, it was abandoned: by the client, or because time ran out.
pub(crate) struct Try<'w> {
    pub(super) worker: &'w Worker,
    flight: Option<InFlight>,
    pub(super) began: Instant,
    /// It joined another attempt that was silent.
    beside: bool,
    /// Its answer has told how it went, and is passed on.
    judged: bool,
}

impl<'w> Try<'w> {
    /// Begins one at `began`.
    pub(crate) fn begin(worker: &'w Worker, choice: &Choice<'_>, began: Instant) -> Self {
        Self { worker, flight: Some(choice.begin()), began, beside: choice.beside, judged: false }
    }
}

impl Try<'_> {
    /// What counts it.
    pub(crate) fn flight(&self) -> &InFlight {
        self.flight.as_ref().expect("taken only when the attempt is over")
    }

    /// When it began.
    pub(crate) const fn began(&self) -> Instant {
        self.began
    }

    /// The head of an answer came at `now`.
    pub(crate) fn judge(&mut self, outcome: Outcome, now: Instant) {
        self.flight().record(outcome, self.worker.shared.ms_at(now));
        self.judged = true;
    }

    /// Its answer was passed on: it is in flight no more.
    pub(crate) fn let_go(&mut self) {
        self.flight = None;
    }

    /// The head of an answer came at `now`: the guard of what is in flight until it has been passed on.
    pub(super) fn answered(mut self, outcome: Outcome, now: Instant) -> InFlight {
        self.judge(outcome, now);
        self.flight.take().expect("taken only when the attempt is over")
    }

    /// What a pod reports of its load, if that is asked for.
    pub(super) fn note_report(&self, headers: &HeaderMap) {
        if let Some(value) = headers.get(ENDPOINT_LOAD_METRICS) {
            self.note_load(value.as_bytes());
        }
    }

    /// The same of the field's value.
    pub(crate) fn note_load(&self, report: &[u8]) {
        let shared = &self.worker.shared;
        if shared.orca
            && let Some(weight) = str::from_utf8(report).ok().and_then(Report::parse).and_then(Report::weight)
        {
            self.flight().slot().note_reported(weight, shared.now_ms());
        }
    }

    /// The head of an answer over HTTP/2 came: a gRPC call tells its outcome with its trailers.
    pub(super) fn answered_h2(mut self, response: &Response<Incoming>) -> InFlight {
        let now = Instant::now();
        let latency = now.saturating_duration_since(self.began);
        let Some(outcome) = h2_outcome(response.status(), response.headers(), latency) else {
            let mut flight = self.flight.take().expect("taken only when the attempt is over");
            flight.begun(latency, self.worker.shared.ms_at(now));
            return flight;
        };
        self.answered(outcome, now)
    }

    /// The attempt failed; what concerns only the connection's age says nothing of the target.
    pub(super) fn failed(mut self, failure: Failure) -> Failure {
        let flight = self.flight.take().expect("taken only when the attempt is over");
        let outcome = match failure {
            Failure::Refused | Failure::NoLink => Some(Outcome::Refused),
            Failure::ConnectTimeout if self.answers_others(&flight) => {
                Some(Outcome::Overloaded { retry_after: Duration::ZERO })
            }
            Failure::ConnectTimeout => Some(Outcome::ConnectTimeout),
            Failure::Broken => Some(Outcome::Broken),
            Failure::AttemptTimeout => Some(Outcome::Abandoned),
            // The link has told the slot once; a gateway's own error was told as relayed.
            Failure::LinkDead | Failure::Gateway { .. } => None,
            Failure::Stale | Failure::TurnedAway | Failure::ClientBody => None,
        };
        if let Some(outcome) = outcome {
            self.note(&flight, outcome);
        }
        failure
    }

    /// True when the target has answered while it was silent to a connection attempt that has just timed out: its queue of
    /// connections to be accepted is full, or a packet was lost, and it is there.
    fn answers_others(&self, flight: &InFlight) -> bool {
        let shared = &self.worker.shared;
        let alone = shared.timeouts.connect_pod.saturating_sub(ON_ITS_WAY);
        let alone_ms = u64::try_from(alone.as_millis()).unwrap_or(u64::MAX);
        flight.slot().answered_since(shared.now_ms().saturating_sub(alone_ms))
    }

    /// The attempt failed, which says nothing of the target.
    pub(super) fn unjudged(mut self, failure: Failure) -> Failure {
        self.flight = None;
        failure
    }

    /// The attempt goes on elsewhere, and is judged there.
    pub(crate) fn go_on(mut self) {
        self.flight = None;
    }

    pub(super) fn note(&self, flight: &InFlight, outcome: Outcome) {
        flight.record(outcome, self.worker.shared.now_ms());
    }
}

impl Drop for Try<'_> {
    fn drop(&mut self) {
        let Some(flight) = self.flight.take().filter(|_| !self.judged) else { return };
        let usual = flight.usual().unwrap_or(SOON);
        // Who leaves at once has not waited for an answer; a hedge is dropped because another answered.
        let patience = if self.beside { usual.max(SOON) } else { usual.min(SOON) };
        if self.began.elapsed() >= patience {
            self.note(&flight, Outcome::Abandoned);
        }
    }
}
