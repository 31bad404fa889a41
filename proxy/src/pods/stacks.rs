//! Idle connections, in one stack for each kind of use and pod, the freshest on top.

use std::cell::RefCell;
use std::hash::Hash;
use std::time::{Duration, Instant};

use rapidhash::RapidHashMap;

use crate::config::{Limits, Timeouts};

/// What an idle connection is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// A request.
    Ready,
    /// None at this moment.
    Busy,
    /// None any more.
    Over,
}

struct Idle<C> {
    connection: C,
    since: Instant,
}

/// One worker's.
pub(super) struct Stacks<K, C> {
    /// Pods' addresses come from the API server, so a fast hash is safe.
    stacks: RefCell<RapidHashMap<K, Vec<Idle<C>>>>,
    most: usize,
    keep: Duration,
}

impl<K: Eq + Hash, C> Stacks<K, C> {
    pub(super) fn new(timeouts: &Timeouts, limits: &Limits) -> Self {
        Self { stacks: RefCell::default(), most: limits.idle_per_pod, keep: timeouts.idle_pod }
    }

    /// The freshest that is ready for a request, if it has not been idle for longer than that.
    pub(super) fn take(
        &self,
        key: K,
        now: Instant,
        longest: Duration,
        condition: impl Fn(&C) -> Condition,
    ) -> Option<C> {
        let mut stacks = self.stacks.borrow_mut();
        let stack = stacks.get_mut(&key)?;
        let mut at = stack.len();
        while at > 0 {
            at -= 1;
            let idle_for = now.saturating_duration_since(stack[at].since);
            // Everything below is older still.
            if idle_for > self.keep {
                stack.drain(..=at);
                return None;
            }
            if idle_for > longest {
                return None;
            }
            match condition(&stack[at].connection) {
                Condition::Ready => return Some(stack.remove(at).connection),
                Condition::Busy => {}
                Condition::Over => drop(stack.remove(at)),
            }
        }
        None
    }

    /// Keeps one whose answer was read to its end at `now`.
    pub(super) fn put(&self, key: K, connection: C, now: Instant) {
        let mut stacks = self.stacks.borrow_mut();
        let stack = stacks.entry(key).or_default();
        if stack.len() < self.most {
            stack.push(Idle { connection, since: now });
        }
    }

    /// Drops what has been idle for too long, or is over.
    pub(super) fn sweep(&self, now: Instant, is_over: impl Fn(&C) -> bool) {
        self.stacks.borrow_mut().retain(|_, stack| {
            stack.retain(|idle| now.duration_since(idle.since) <= self.keep && !is_over(&idle.connection));
            !stack.is_empty()
        });
    }
}
