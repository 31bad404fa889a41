//! Sessions between daemons: delay, order, a window, and paths that hold everything back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::engine::SessionId;
use crate::frame::Frame;

/// Frames that fit between sender and receiver: what socket buffers would hold.
const WINDOW: usize = 2;

/// One end of a session.
#[derive(Debug)]
pub(super) struct End {
    pub(super) daemon: usize,
    pub(super) up: bool,
    /// Frames on their way from here.
    pub(super) in_flight: usize,
    /// Frames on their way from here that a partition holds back.
    pub(super) held: VecDeque<Frame>,
    /// Nothing sent from here arrives before this, so that order is kept.
    pub(super) not_before: u64,
}

/// One session.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) ends: [End; 2],
}

impl Wire {
    pub(super) const fn new(dialer: usize, acceptor: usize, now: u64) -> Self {
        const fn end(daemon: usize, now: u64) -> End {
            End { daemon, up: true, in_flight: 0, held: VecDeque::new(), not_before: now }
        }
        Self { ends: [end(dialer, now), end(acceptor, now)] }
    }

    pub(super) const fn room(&self, end: usize) -> bool {
        self.ends[end].up && self.ends[end].in_flight < WINDOW
    }
}

/// A session id says which wire and which end.
pub(super) const fn session(wire: u64, end: usize) -> SessionId {
    SessionId(wire * 2 + end as u64)
}

pub(super) const fn end_of(id: SessionId) -> (u64, usize) {
    (id.0 / 2, (id.0 % 2) as usize)
}

#[derive(Debug, Default)]
pub(super) struct Network {
    pub(super) wires: BTreeMap<u64, Wire>,
    /// The wires of each daemon, with its own end.
    by_daemon: BTreeMap<usize, BTreeSet<(u64, usize)>>,
    next: u64,
    /// Directed pairs of clusters between which nothing passes.
    blocked: BTreeSet<(usize, usize)>,
    pub(super) slow: bool,
}

impl Network {
    pub(super) fn new(slow: bool) -> Self {
        Self { slow, ..Self::default() }
    }

    pub(super) fn connect(&mut self, dialer: usize, acceptor: usize, now: u64) -> u64 {
        let id = self.next;
        self.next += 1;
        self.wires.insert(id, Wire::new(dialer, acceptor, now));
        self.by_daemon.entry(dialer).or_default().insert((id, 0));
        self.by_daemon.entry(acceptor).or_default().insert((id, 1));
        id
    }

    pub(super) fn block(&mut self, from: usize, to: usize) {
        self.blocked.insert((from, to));
    }

    pub(super) fn unblock(&mut self, from: usize, to: usize) {
        self.blocked.remove(&(from, to));
    }

    pub(super) fn passes(&self, from: usize, to: usize) -> bool {
        !self.blocked.contains(&(from, to))
    }

    /// A one-way delay in milliseconds, within a cluster or between two.
    pub(super) fn delay(&self, near: bool, rng: &mut fastrand::Rng) -> u64 {
        match (near, self.slow) {
            (true, _) => rng.u64(0..3),
            (false, false) => rng.u64(5..90),
            (false, true) => rng.u64(5..2_000),
        }
    }

    /// The open wires of a daemon, with the end that is its own.
    pub(super) fn of(&self, daemon: usize) -> Vec<(u64, usize)> {
        let mine = self.by_daemon.get(&daemon).into_iter().flatten();
        mine.filter(|(wire, end)| self.wires.get(wire).is_some_and(|w| w.ends[*end].up)).copied().collect()
    }

    /// Forgets a wire that both ends have left.
    pub(super) fn sweep(&mut self, wire: u64) {
        if let Some(w) = self.wires.get(&wire).filter(|w| w.ends.iter().all(|e| !e.up)) {
            for (end, at) in w.ends.iter().enumerate() {
                if let Some(wires) = self.by_daemon.get_mut(&at.daemon) {
                    wires.remove(&(wire, end));
                }
            }
            self.wires.remove(&wire);
        }
    }
}
