//! A connection of HTTP/2 that was told to go, and stays.
//!
//! GOAWAY is a wish. The first one, which names no last stream, even leaves its client free to open more of them until it
//! has answered the ping that follows.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// How long a client that was told to go may open streams, and stay without any.
const LINGER: Duration = Duration::from_secs(3);
/// Streams turned away on one connection before it ends, whatever is under way.
const MOST_TURNED_AWAY: u32 = 128;

/// What became of one since it was told.
#[derive(Debug, Default)]
pub(super) struct Parting {
    told: Cell<Option<Instant>>,
    /// It had not heard of that before.
    heard: Cell<Option<Instant>>,
    /// Nothing has been under way since then, when it was looked at.
    vacant: Cell<Option<Instant>>,
    turned_away: Cell<u32>,
}

impl Parting {
    /// It was told to go.
    pub(super) fn tell(&self, now: Instant) {
        self.told.set(self.told.get().or(Some(now)));
    }

    fn told_for(&self, now: Instant) -> Option<Duration> {
        let heard = self.told.get().map(|told| self.heard.get().map_or(told, |heard| heard.max(told)));
        heard.map(|heard| now.saturating_duration_since(heard))
    }

    /// True when a stream that was opened comes too late: its client may ask for the same elsewhere.
    pub(super) fn turns_away(&self, now: Instant) -> bool {
        let late = self.told_for(now).is_some_and(|passed| passed >= LINGER);
        if late {
            self.turned_away.set(self.turned_away.get().saturating_add(1));
        }
        late
    }

    /// True when it is to be cut. `vacant`: nothing is under way. `more` is how much longer it may stay than others, for its
    /// last answers to be taken.
    pub(super) fn is_over(&self, vacant: bool, more: Duration, now: Instant) -> bool {
        let Some(told) = self.told.get() else { return false };
        let unsent = !more.is_zero();
        if unsent && now.saturating_duration_since(told) < more {
            // What it was told may wait behind what it has not taken yet.
            self.heard.set(Some(now));
        }
        let since = if vacant { self.vacant.get().or(Some(now)) } else { None };
        self.vacant.set(since);
        let stays = since.is_some_and(|since| now.saturating_duration_since(since) >= LINGER + more);
        stays || !unsent && self.turned_away.get() > MOST_TURNED_AWAY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNREAD: Duration = Duration::from_secs(60);

    fn told(start: Instant) -> Parting {
        let parting = Parting::default();
        parting.tell(start);
        parting
    }

    #[test]
    fn who_was_not_told_may_stay() {
        let (parting, start) = (Parting::default(), Instant::now());
        for later in [Duration::ZERO, LINGER, 100 * LINGER] {
            assert!(!parting.turns_away(start + later) && !parting.is_over(true, Duration::ZERO, start + later));
        }
    }

    #[test]
    fn what_is_under_way_is_ended_first_and_what_was_sent_is_taken() {
        let start = Instant::now();
        let at = |lingers: u32| start + LINGER * lingers;
        let parting = told(start);
        assert!(!parting.is_over(false, Duration::ZERO, at(1)) && !parting.is_over(false, Duration::ZERO, at(100)));
        assert!(!parting.is_over(true, Duration::ZERO, at(101)));
        assert!(!parting.is_over(true, UNREAD, at(102)) && parting.is_over(true, Duration::ZERO, at(102)));
        assert!(parting.is_over(true, UNREAD, at(102) + UNREAD));
        let parting = told(start);
        assert!(!parting.is_over(true, Duration::ZERO, at(0)) && !parting.is_over(false, Duration::ZERO, at(1)));
        assert!(!parting.is_over(true, Duration::ZERO, at(2)), "a request was under way meanwhile");
    }

    #[test]
    fn who_has_not_heard_of_it_yet_may_ask() {
        let start = Instant::now();
        let parting = told(start);
        let later = start + 2 * LINGER;
        assert!(!parting.is_over(false, UNREAD, later) && !parting.turns_away(later), "its socket is full");
        assert!(!parting.turns_away(later + LINGER / 2) && parting.turns_away(later + LINGER));
        assert!(!parting.is_over(false, UNREAD, start + UNREAD) && parting.turns_away(start + UNREAD), "not for ever");
    }

    #[test]
    fn who_goes_on_asking_is_turned_away_and_then_cut() {
        let start = Instant::now();
        let parting = told(start);
        assert!(!parting.turns_away(start + LINGER / 2), "it was on its way");
        let late = start + LINGER;
        parting.tell(late);
        for _ in 0..MOST_TURNED_AWAY {
            assert!(parting.turns_away(late) && !parting.is_over(false, Duration::ZERO, late));
        }
        assert!(parting.turns_away(late) && parting.is_over(false, Duration::ZERO, late));
    }
}
