//! How an attempt at a target ended.

use std::time::Duration;

use super::breaker::{Cause, Event};

/// Load recorded for a failure that has no honest latency, so that a place that fails fast does not look fast.
const PENALTY: Duration = Duration::from_secs(1);

/// How one attempt at a target ended, or how far it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A usable answer began; the time from the start of the attempt to the head of the answer.
    Success {
        /// From the start of the attempt to the answer's head.
        latency: Duration,
    },
    /// The connection was refused or reset while connecting.
    Refused,
    /// Nothing answered the connection attempt in time.
    ConnectTimeout,
    /// The connection broke before the head of an answer.
    Broken,
    /// The link was declared dead: an h2 ping or `TCP_USER_TIMEOUT` ran out.
    LinkDead,
    /// The client left before the first byte of an answer, or the request's own time ran out: counts against the path,
    /// unless it answered others within the last second: then it is slow, not dead.
    Abandoned,
    /// The answer was a server error (5xx other than an overload).
    ServerError,
    /// The target asked for less: 429, or 503 with `Retry-After`. Raises its load, never ejects it.
    Overloaded {
        /// What `Retry-After` asked for; zero when it was absent.
        retry_after: Duration,
    },
}

impl Outcome {
    /// What the breaker makes of it; `None` when it says nothing about health.
    pub(super) fn event(self, now_ms: u64) -> Option<Event> {
        Some(match self {
            Self::Success { latency } => Event::Success { begun_ms: now_ms.saturating_sub(millis(latency)) },
            Self::Refused | Self::ConnectTimeout | Self::LinkDead => Event::Failure(Cause::Hard),
            Self::Broken | Self::Abandoned | Self::ServerError => Event::Failure(Cause::Soft),
            Self::Overloaded { .. } => return None,
        })
    }

    /// The load to record: the latency of a success, a penalty for the rest.
    pub(super) fn load(self) -> Duration {
        match self {
            Self::Success { latency } => latency,
            Self::Overloaded { retry_after } => retry_after.clamp(PENALTY, Duration::from_secs(300)),
            _ => PENALTY,
        }
    }

    /// True for an answer that a client is content with.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Success { .. })
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
