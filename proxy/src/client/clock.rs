//! How long a client takes for a request head, and how long it has been idle.
//!
//! hyper's own header timeout also runs while a kept-alive connection waits for its next request, so ten seconds of
//! it would close idle connections under clients that are just about to use them. Here the clock of the head starts
//! with its first byte.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::hints::Hints;

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    /// For the first byte of a head, since then.
    Idle,
    /// For the rest of a head, since then.
    Head,
    /// For nothing from the client's head: requests are under way.
    Busy,
}

/// How far the request under way on HTTP/1 has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its body is still to come, or a part of it, or to be read.
    Upload,
    /// More of its body is asked for than has come.
    Starved,
    /// It is read whole.
    Whole,
    /// It is read whole, of a client of HTTP/1.0, which knows no informational answers.
    WholeOld,
    /// Its answer has begun, whatever was read of it.
    Answer,
}

/// Why a connection has been quiet for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// No request came; it is closed politely.
    Idle,
    /// A head, or over HTTP/2 a frame, began and did not end; it is cut.
    Head,
    /// It was told to go and has not gone; it is cut.
    Told,
}

/// One connection's clock. The stream that sees bytes come and the service that sees requests come share it.
#[derive(Debug)]
pub(crate) struct HeadClock {
    origin: Instant,
    /// Milliseconds since `origin` shifted left by two, and [`Waiting`] in the low bits.
    state: AtomicU64,
    /// The client has not taken everything that was written.
    unsent: AtomicBool,
    /// A [`Stage`], of the last request.
    stage: AtomicU8,
    /// Requests of which not all has come, answered or not.
    coming: AtomicU32,
    /// The client has ended its direction, and the reader of the connection does not know.
    half_closed: AtomicBool,
    /// What a pod said before its answer: from the service to the stream, as the clock.
    hints: OnceLock<Box<Hints>>,
}

impl HeadClock {
    /// A connection that was accepted now and has said nothing.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            origin: now,
            state: AtomicU64::new(Waiting::Idle as u64),
            unsent: AtomicBool::new(false),
            stage: AtomicU8::new(Stage::Upload as u8),
            coming: AtomicU32::new(0),
            half_closed: AtomicBool::new(false),
            hints: OnceLock::new(),
        }
    }

    /// What a pod says before its answer goes in here.
    pub(super) fn hints(&self) -> &Hints {
        self.hints.get_or_init(Box::default)
    }

    /// The same, if anything ever did.
    pub(super) fn any_hints(&self) -> Option<&Hints> {
        self.hints.get().map(Box::as_ref)
    }

    /// True when the socket was full at the last write.
    pub(super) fn is_unsent(&self) -> bool {
        self.unsent.load(Ordering::Relaxed)
    }

    fn set(&self, waiting: Waiting, now: Instant) {
        let ms = u64::try_from(now.saturating_duration_since(self.origin).as_millis()).unwrap_or(u64::MAX >> 2);
        self.state.store(ms << 2 | waiting as u64, Ordering::Relaxed);
    }

    fn waiting(&self) -> (Waiting, Duration) {
        let state = self.state.load(Ordering::Relaxed);
        let waiting = match state & 3 {
            0 => Waiting::Idle,
            1 => Waiting::Head,
            _ => Waiting::Busy,
        };
        (waiting, Duration::from_millis(state >> 2))
    }

    /// Bytes came: on an idle connection, more of a request that was answered before it had come, or the start of a head.
    pub(crate) fn bytes_came(&self) {
        if self.waiting().0 == Waiting::Idle {
            self.set(if self.is_coming() { Waiting::Idle } else { Waiting::Head }, Instant::now());
        }
    }

    /// True while somebody waits for more of a request.
    pub(crate) fn is_coming(&self) -> bool {
        self.coming.load(Ordering::Relaxed) > 0
    }

    /// A whole head came.
    pub(crate) fn request_came(&self, now: Instant) {
        self.set(Waiting::Busy, now);
        self.reach(Stage::Upload);
    }

    /// More of the body was asked for; `starved`: and has not come.
    pub(crate) fn body_asked(&self, starved: bool) {
        if matches!(self.stage(), Stage::Upload | Stage::Starved) {
            self.reach(if starved { Stage::Starved } else { Stage::Upload });
        }
    }

    /// The rest of the request came too; `old`: in HTTP/1.0.
    pub(crate) fn request_whole(&self, old: bool) {
        if matches!(self.stage(), Stage::Upload | Stage::Starved) {
            self.reach(if old { Stage::WholeOld } else { Stage::Whole });
        }
    }

    /// The answer begins.
    pub(crate) fn answer_begins(&self) {
        self.reach(Stage::Answer);
    }

    fn reach(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Relaxed);
    }

    /// How far the request under way has come; `None` without one.
    pub(super) fn under_way(&self) -> Option<Stage> {
        (self.waiting().0 == Waiting::Busy).then(|| self.stage())
    }

    fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Relaxed) {
            0 => Stage::Upload,
            1 => Stage::Starved,
            2 => Stage::Whole,
            3 => Stage::WholeOld,
            _ => Stage::Answer,
        }
    }

    /// The client has ended its direction.
    pub(super) fn half_closes(&self) {
        self.half_closed.store(true, Ordering::Relaxed);
    }

    /// True when it has, and waits for its answer all the same.
    pub(super) fn is_half_closed(&self) -> bool {
        self.half_closed.load(Ordering::Relaxed)
    }

    /// The last request under way was answered whole.
    pub(crate) fn went_idle(&self, now: Instant) {
        self.set(Waiting::Idle, now);
    }

    /// A write was tried: the socket took it, or is full.
    pub(crate) fn wrote(&self, taken: bool) {
        let before = self.unsent.swap(!taken, Ordering::Relaxed);
        if before && taken && self.waiting().0 == Waiting::Head {
            // Nobody reads a head behind an answer that is not sent yet.
            self.set(Waiting::Head, Instant::now());
        }
    }

    /// True while the first byte of a head is waited for and the last answer is on its way.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting().0 == Waiting::Idle && !self.is_unsent() && !self.is_coming()
    }

    /// How long the present state has lasted.
    pub(crate) fn waited(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.origin).saturating_sub(self.waiting().1)
    }

    /// Whether the client is overdue.
    pub(crate) fn overdue(&self, now: Instant, head: Duration, idle: Duration) -> Option<Overdue> {
        let passed = self.waited(now);
        match self.waiting().0 {
            Waiting::Idle if passed >= idle => Some(Overdue::Idle),
            Waiting::Head if passed >= head && !self.is_unsent() => Some(Overdue::Head),
            _ => None,
        }
    }
}

/// Tells a clock that more of a request is to come, until dropped.
#[derive(Debug)]
pub(super) struct Coming(Arc<HeadClock>);

impl Coming {
    /// Of that clock's connection.
    pub(super) fn of(clock: &Arc<HeadClock>) -> Self {
        clock.coming.fetch_add(1, Ordering::Relaxed);
        Self(clock.clone())
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.0.coming.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_secs(120);

    #[test]
    fn a_head_has_ten_seconds_and_idle_connections_much_longer() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let clock = HeadClock::new(start);
        assert_eq!(clock.overdue(at(119), HEAD, IDLE), None, "it may be kept for later");
        assert_eq!(clock.overdue(at(120), HEAD, IDLE), Some(Overdue::Idle));
        clock.bytes_came();
        assert_eq!(clock.overdue(Instant::now() + HEAD, HEAD, IDLE), Some(Overdue::Head));
        clock.request_came(at(5));
        assert_eq!(clock.overdue(at(900), HEAD, IDLE), None, "a long answer is no reason");
        clock.went_idle(at(900));
        assert_eq!(clock.overdue(at(1_000), HEAD, IDLE), None);
        assert_eq!(clock.overdue(at(1_020), HEAD, IDLE), Some(Overdue::Idle));
    }

    #[test]
    fn a_request_is_whole_before_its_answer_or_never() {
        let clock = HeadClock::new(Instant::now());
        assert_eq!(clock.under_way(), None);
        for (old, whole) in [(false, Stage::Whole), (true, Stage::WholeOld)] {
            clock.request_came(Instant::now());
            assert_eq!(clock.under_way(), Some(Stage::Upload));
            clock.request_whole(old);
            assert_eq!(clock.under_way(), Some(whole));
            clock.answer_begins();
            assert_eq!(clock.under_way(), Some(Stage::Answer));
        }
        clock.request_came(Instant::now());
        clock.body_asked(true);
        assert_eq!(clock.under_way(), Some(Stage::Starved));
        clock.body_asked(false);
        assert_eq!(clock.under_way(), Some(Stage::Upload));
        clock.answer_begins();
        clock.body_asked(true);
        clock.request_whole(false);
        assert_eq!(clock.under_way(), Some(Stage::Answer), "nothing may come between its parts");
        clock.went_idle(Instant::now());
        assert_eq!(clock.under_way(), None);
    }

    #[test]
    fn the_rest_of_an_answered_request_is_no_head() {
        let start = Instant::now();
        let clock = Arc::new(HeadClock::new(start));
        clock.request_came(start);
        let coming = Coming::of(&clock);
        clock.went_idle(start);
        assert!(!clock.is_idle());
        clock.bytes_came();
        assert_eq!(clock.overdue(Instant::now() + HEAD, HEAD, IDLE), None);
        assert_eq!(clock.overdue(Instant::now() + IDLE, HEAD, IDLE), Some(Overdue::Idle), "it is stuck");
        drop(coming);
        assert!(clock.is_idle());
        clock.bytes_came();
        assert_eq!(clock.overdue(Instant::now() + HEAD, HEAD, IDLE), Some(Overdue::Head));
    }

    #[test]
    fn a_head_behind_an_answer_that_is_not_taken_has_its_time_afterwards() {
        let start = Instant::now();
        let clock = HeadClock::new(start);
        clock.request_came(start);
        clock.wrote(false);
        clock.went_idle(start);
        clock.bytes_came();
        assert_eq!(clock.overdue(Instant::now() + 2 * HEAD, HEAD, IDLE), None);
        clock.wrote(true);
        assert_eq!(clock.overdue(Instant::now() + HEAD, HEAD, IDLE), Some(Overdue::Head));
    }

    #[test]
    fn a_second_head_that_trickles_is_cut() {
        let start = Instant::now();
        let clock = HeadClock::new(start);
        clock.request_came(start);
        clock.went_idle(start);
        clock.bytes_came();
        clock.bytes_came();
        assert_eq!(clock.overdue(Instant::now() + HEAD, HEAD, IDLE), Some(Overdue::Head));
    }
}
