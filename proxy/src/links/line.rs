//! One live connection of a link, and the requests on it.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;

use super::pulse::Pulse;
use crate::http2::Sender;

/// A connection to a gateway on which streams are opened.
pub(crate) struct Line {
    sender: Sender,
    pulse: Arc<Pulse>,
    streams: Cell<u32>,
    /// It has served its time: a younger line is preferred, and replaces it.
    old: Cell<bool>,
    /// No new streams.
    retired: Cell<bool>,
    vacant: Notify,
}

impl Line {
    /// Streams on one connection even where more are allowed, most servers naming no limit: one lost packet holds up all.
    pub(crate) const MOST_STREAMS: u32 = 1_000;

    pub(crate) const fn new(sender: Sender, pulse: Arc<Pulse>) -> Self {
        Self {
            sender,
            pulse,
            streams: Cell::new(0),
            old: Cell::new(false),
            retired: Cell::new(false),
            vacant: Notify::const_new(),
        }
    }

    /// True while new streams may be opened.
    pub(crate) fn usable(&self) -> bool {
        !self.retired.get() && !self.pulse.is_suspect() && !self.pulse.is_dead() && !self.sender.is_closed()
    }

    /// Streams open now.
    pub(crate) fn streams(&self) -> u32 {
        self.streams.get()
    }

    /// Streams that the other end allows at once.
    fn most(&self) -> u32 {
        u32::try_from(self.sender.most_streams()).unwrap_or(u32::MAX).clamp(1, Self::MOST_STREAMS)
    }

    /// True when four fifths of the streams that the other end allows are open.
    pub(crate) fn crowded(&self) -> bool {
        u64::from(self.streams.get()) * 5 >= u64::from(self.most()) * 4
    }

    /// True when another stream would have to wait for one to end.
    pub(crate) fn full(&self) -> bool {
        self.streams.get() >= self.most()
    }

    /// Prefers and waits for a younger line.
    pub(crate) fn grow_old(&self) {
        self.old.set(true);
    }

    pub(crate) fn is_old(&self) -> bool {
        self.old.get()
    }

    /// Takes no new streams from now on.
    pub(crate) fn retire(&self) {
        self.retired.set(true);
        self.vacant.notify_waiters();
    }

    /// Returns when it takes no new streams and the last one has ended.
    pub(crate) async fn vacated(&self) {
        loop {
            let changed = self.vacant.notified();
            if self.retired.get() && self.streams.get() == 0 {
                return;
            }
            changed.await;
        }
    }

    pub(crate) const fn pulse(&self) -> &Arc<Pulse> {
        &self.pulse
    }

    /// Fails everything on the line at once.
    pub(crate) fn kill(&self) {
        self.pulse.kill();
    }

    /// Returns when the link is or becomes suspect: whoever can move should.
    pub(crate) async fn suspicion(&self) {
        self.pulse.suspicion().await;
    }

    /// True once the link was declared dead: what was on it did not fail, it vanished.
    pub(crate) fn is_dead(&self) -> bool {
        self.pulse.is_dead()
    }

    /// What sends on it.
    pub(crate) const fn sender(&self) -> &Sender {
        &self.sender
    }
}

/// One stream's seat on a line, until its answer's body has ended.
pub(crate) struct Seat(Rc<Line>);

impl Seat {
    pub(crate) fn on(line: Rc<Line>) -> Self {
        line.streams.set(line.streams.get() + 1);
        Self(line)
    }

    /// The line.
    pub(crate) fn line(&self) -> &Line {
        &self.0
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get().saturating_sub(1));
        self.0.vacant.notify_waiters();
    }
}
