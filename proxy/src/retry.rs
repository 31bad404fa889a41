//! Whether a failed attempt is followed by another: pure decisions. The budget of replays is the route's (`route/repeats.rs`).
//!
//! Two things are told apart. An attempt that *touched* nothing (refused, turned away before any pod saw it) may
//! always be followed by another: it costs the upstream nothing, and when all pods crash at once every request needs
//! two or three of them. A few follow at once; after that the request is held and tries now and then, since what
//! failed everywhere within a millisecond is often back within a second. An attempt that may have reached a pod is
//! *replayed* only when the method is idempotent and the body is kept, and replays have a number and a budget, so
//! that a request that kills pods does not kill them all.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use http::Method;

use crate::failure::Kind;
use crate::hygiene::Refused;

/// Attempts that touch nothing and follow each other without a pause.
pub(crate) const MAX_CHEAP: u32 = 4;
/// An attempt that has less than this left of the request's time is not begun.
const TOO_LATE: Duration = Duration::from_millis(5);

/// How often requests of one service may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Attempts of a request that may reach a pod, the first included.
    pub(crate) sent: u32,
    /// Replays under way, in percent of the requests under way; at 0 there are none.
    pub(crate) budget_percent: u32,
}

impl Allowance {
    /// What was sent before, or may be sent only once.
    pub(crate) const ONCE: Self = Self { sent: 1, budget_percent: 0 };

    /// False when nothing that a pod may have seen is sent again.
    pub(crate) const fn replays(self) -> bool {
        self.sent > 1 && self.budget_percent > 0
    }
}

impl Default for Allowance {
    fn default() -> Self {
        Self { sent: 3, budget_percent: 20 }
    }
}

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The target refused or reset the connection attempt.
    Refused,
    /// Nothing answered the connection attempt in time.
    ConnectTimeout,
    /// No warm link to the gateway came up in time.
    NoLink,
    /// A kept connection was closed under the request before any of it was sent.
    Stale,
    /// The gateway turned the stream away unread (REFUSED_STREAM, or above GOAWAY's last stream).
    TurnedAway,
    /// The connection broke after the request was sent, before an answer began.
    Broken,
    /// The link was declared dead with the request on it.
    LinkDead,
    /// The attempt's own time ran out.
    AttemptTimeout,
    /// The gateway answered with an error of its own.
    Gateway {
        /// Its kind.
        kind: Kind,
        /// A pod behind it may have received the request.
        touched: bool,
    },
    /// The client's body broke off: nobody is left to answer.
    ClientBody,
}

impl Failure {
    /// True when no pod can have seen the request.
    pub(crate) const fn untouched(self) -> bool {
        match self {
            Self::Refused | Self::ConnectTimeout | Self::NoLink | Self::Stale | Self::TurnedAway => true,
            Self::Gateway { touched, .. } => !touched,
            Self::Broken | Self::LinkDead | Self::AttemptTimeout | Self::ClientBody => false,
        }
    }

    /// True when the connection's own age is to blame, not the target: the target may be tried again.
    pub(crate) const fn blames_connection(self) -> bool {
        matches!(self, Self::Stale | Self::TurnedAway)
    }

    /// The metrics' label.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::NoLink => "no_link",
            Self::Stale => "stale_connection",
            Self::TurnedAway => "turned_away",
            Self::Broken => "broken",
            Self::LinkDead => "link_dead",
            Self::AttemptTimeout => "attempt_timeout",
            Self::Gateway { touched: false, .. } => "gateway_untouched",
            Self::Gateway { touched: true, .. } => "gateway_touched",
            Self::ClientBody => "client_body",
        }
    }

    /// All labels, so that their counters exist from the start.
    pub(crate) const LABELS: [&'static str; 11] = [
        "refused",
        "connect_timeout",
        "no_link",
        "stale_connection",
        "turned_away",
        "broken",
        "link_dead",
        "attempt_timeout",
        "gateway_untouched",
        "gateway_touched",
        "client_body",
    ];

    /// What the client is told when this was the last attempt.
    pub(crate) const fn kind(self) -> Kind {
        match self {
            Self::Refused | Self::ConnectTimeout | Self::NoLink | Self::Stale | Self::TurnedAway => Kind::ConnectFailed,
            Self::Broken => Kind::Broken,
            Self::ClientBody => Kind::Request(Refused::Body),
            Self::LinkDead => Kind::LinkDead,
            Self::AttemptTimeout => Kind::Timeout,
            Self::Gateway { kind, .. } => kind,
        }
    }
}

/// What is left of a request to send again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// All of it, as often as needed: there is no body, or it is kept.
    Whole,
    /// All of it, once: the body has not been touched yet.
    Unsent,
    /// The head only: the body has begun to flow.
    Spent,
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Another attempt that costs nobody anything.
    Again,
    /// The same after a pause: what could be tried at once was tried.
    Hold,
    /// Another attempt if the budget has room: a pod may see the request twice.
    Replay,
    /// Another attempt at once, budget or not: a dead link is one event, not many.
    Move,
    /// The failure is the answer.
    GiveUp,
}

/// What a request has been through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Attempts that may have reached a pod.
    pub(crate) sent: u32,
    /// Attempts that touched nothing.
    pub(crate) cheap: u32,
}

impl Tally {
    /// Adds a failed attempt.
    pub(crate) const fn note(&mut self, failure: Failure) {
        if failure.untouched() {
            self.cheap += 1;
        } else {
            self.sent += 1;
        }
    }
}

/// Decides what follows a failed attempt, which the tally already counts. At most `most` attempts may reach a pod.
pub(crate) fn next(
    failure: Failure,
    method: &Method,
    left: Left,
    tally: Tally,
    most: u32,
    time_left: Duration,
) -> Next {
    if time_left < TOO_LATE || left == Left::Spent || failure == Failure::ClientBody {
        return Next::GiveUp;
    }
    if failure.untouched() {
        return if tally.cheap < MAX_CHEAP { Next::Again } else { Next::Hold };
    }
    if !idempotent(method) || left != Left::Whole || tally.sent >= most {
        return Next::GiveUp;
    }
    if failure == Failure::LinkDead { Next::Move } else { Next::Replay }
}

/// RFC 9110 §9.2.2.
pub(crate) fn idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE | Method::TRACE)
}

/// Requests under way on one worker.
#[derive(Debug, Default)]
pub(crate) struct Requests(Rc<Cell<u32>>);

impl Requests {
    /// Counts one in and out.
    pub(crate) fn one(&self) -> Counted {
        Counted::one(&self.0)
    }

    /// How many there are.
    pub(crate) fn under_way(&self) -> u32 {
        self.0.get()
    }
}

/// Counts one in a cell until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted(Rc<Cell<u32>>);

impl Counted {
    /// Adds one to that cell.
    pub(crate) fn one(cell: &Rc<Cell<u32>>) -> Self {
        cell.set(cell.get() + 1);
        Self(cell.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);
    const FIRST_SENT: Tally = Tally { sent: 1, cheap: 0 };
    const FIRST_CHEAP: Tally = Tally { sent: 0, cheap: 1 };
    const MOST: u32 = 3;

    #[test]
    fn what_touched_nothing_is_tried_again_whatever_it_is() {
        for failure in [
            Failure::Refused,
            Failure::ConnectTimeout,
            Failure::NoLink,
            Failure::Stale,
            Failure::TurnedAway,
            Failure::Gateway { kind: Kind::NoEndpoints, touched: false },
        ] {
            assert_eq!(next(failure, &Method::POST, Left::Unsent, FIRST_CHEAP, MOST, S), Next::Again, "{failure:?}");
            let fourth = Tally { sent: 0, cheap: MAX_CHEAP };
            assert_eq!(next(failure, &Method::GET, Left::Whole, fourth, MOST, S), Next::Hold);
            assert_eq!(
                next(failure, &Method::POST, Left::Spent, FIRST_CHEAP, MOST, S),
                Next::GiveUp,
                "its body is gone"
            );
        }
    }

    #[test]
    fn what_may_have_arrived_is_replayed_only_when_idempotent_and_kept() {
        for failure in
            [Failure::Broken, Failure::AttemptTimeout, Failure::Gateway { kind: Kind::Broken, touched: true }]
        {
            for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS, Method::TRACE] {
                assert_eq!(
                    next(failure, &method, Left::Whole, FIRST_SENT, MOST, S),
                    Next::Replay,
                    "{failure:?} {method}"
                );
                assert_eq!(next(failure, &method, Left::Unsent, FIRST_SENT, MOST, S), Next::GiveUp);
            }
            for method in [Method::POST, Method::PATCH, Method::CONNECT] {
                assert_eq!(
                    next(failure, &method, Left::Whole, FIRST_SENT, MOST, S),
                    Next::GiveUp,
                    "{failure:?} {method}"
                );
            }
        }
        assert_eq!(next(Failure::LinkDead, &Method::GET, Left::Whole, FIRST_SENT, MOST, S), Next::Move);
        assert_eq!(next(Failure::LinkDead, &Method::POST, Left::Whole, FIRST_SENT, MOST, S), Next::GiveUp);
    }

    #[test]
    fn attempts_and_time_end() {
        let third = Tally { sent: MOST, cheap: 0 };
        assert_eq!(next(Failure::Broken, &Method::GET, Left::Whole, third, MOST, S), Next::GiveUp);
        assert_eq!(next(Failure::LinkDead, &Method::GET, Left::Whole, third, MOST, S), Next::GiveUp);
        let many = Tally { sent: 1, cheap: 20 };
        assert_eq!(
            next(Failure::Broken, &Method::GET, Left::Whole, many, MOST, S),
            Next::Replay,
            "refusals are not counted"
        );
        assert_eq!(
            next(Failure::Refused, &Method::GET, Left::Whole, FIRST_CHEAP, MOST, Duration::from_millis(1)),
            Next::GiveUp
        );
        assert_eq!(next(Failure::ClientBody, &Method::GET, Left::Whole, FIRST_SENT, MOST, S), Next::GiveUp);
        assert_eq!(
            next(Failure::Broken, &Method::GET, Left::Whole, FIRST_SENT, 1, S),
            Next::GiveUp,
            "once and not again"
        );
    }
}
