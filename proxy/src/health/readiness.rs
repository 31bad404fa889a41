//! What the source says of a target's readiness, and what is made of it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// One target's readiness, in atomics.
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    ready: AtomicBool,
    /// When it was last said not to be ready any more.
    unready_ms: AtomicU64,
    kept: AtomicBool,
    was_ready: AtomicBool,
    expected: AtomicBool,
}

impl Readiness {
    /// Notes what the source says. True when it has become ready.
    pub(super) fn note(&self, ready: bool, now_ms: u64) -> bool {
        self.kept.store(false, Ordering::Relaxed);
        if self.ready.swap(ready, Ordering::Relaxed) == ready {
            return false;
        }
        if ready {
            self.was_ready.store(true, Ordering::Relaxed);
            self.expected.store(true, Ordering::Relaxed);
        } else {
            self.unready_ms.store(now_ms, Ordering::Relaxed);
        }
        ready
    }

    /// Keeps it in use although the source says that it is not ready: being ready again is then nothing new.
    pub(crate) fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
        self.ready.store(true, Ordering::Relaxed);
    }

    /// True while it is so kept.
    pub(crate) fn kept(&self) -> bool {
        self.kept.load(Ordering::Relaxed)
    }

    /// True when it is ready, or was within the last `within_ms`.
    pub(crate) fn lately(&self, within_ms: u64, now_ms: u64) -> bool {
        self.ready.load(Ordering::Relaxed)
            || self.was_ready() && now_ms.saturating_sub(self.unready_ms.load(Ordering::Relaxed)) <= within_ms
    }

    /// True when the source has reported it ready at any time.
    pub(crate) fn was_ready(&self) -> bool {
        self.was_ready.load(Ordering::Relaxed)
    }

    /// Counts it as capacity that is to come although it is not ready yet: its whole set is coming up.
    pub(crate) fn expect(&self) {
        self.expected.store(true, Ordering::Relaxed);
    }

    /// True when it counts as capacity of its cluster, ready or not: it was ready before, or came up with its whole set.
    pub(crate) fn expected(&self) -> bool {
        self.expected.load(Ordering::Relaxed)
    }
}
