//! Readiness: what is still awaited before this daemon may get traffic, and whether it is leaving.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

/// What `/readyz` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Not yet: these are awaited.
    Waiting(BTreeSet<&'static str>),
    /// Ready.
    Ready,
    /// Leaving: it still serves, but wants no new traffic.
    Draining,
}

#[derive(Debug, Default)]
struct Inner {
    awaited: BTreeSet<&'static str>,
    draining: bool,
}

/// The process's readiness. Cheap to clone. It gates the first sync only; later trouble shows as ages in
/// `/status` and metrics, since a daemon with old knowledge is worth more than none.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<watch::Sender<Inner>>);

impl Readiness {
    /// Registers something that must come first; dropping the guard marks it done.
    #[must_use]
    pub fn awaiting(&self, what: &'static str) -> Guard {
        self.0.send_modify(|inner| {
            inner.awaited.insert(what);
        });
        Guard { what, readiness: self.clone() }
    }

    /// From now on not ready, for good.
    pub fn drain(&self) {
        self.0.send_modify(|inner| inner.draining = true);
    }

    /// The current state.
    #[must_use]
    pub fn state(&self) -> State {
        let inner = self.0.borrow();
        if inner.draining {
            State::Draining
        } else if inner.awaited.is_empty() {
            State::Ready
        } else {
            State::Waiting(inner.awaited.clone())
        }
    }

    /// Waits until ready or draining.
    pub async fn settled(&self) {
        let mut changes = self.0.subscribe();
        while matches!(self.state(), State::Waiting(_)) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}

/// Held by a part that is not ready yet.
#[derive(Debug)]
pub struct Guard {
    what: &'static str,
    readiness: Readiness,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.readiness.0.send_modify(|inner| {
            inner.awaited.remove(self.what);
        });
        match self.readiness.state() {
            State::Ready => tracing::info!(done = self.what, "ready"),
            State::Waiting(awaited) => tracing::info!(done = self.what, ?awaited, "waiting"),
            State::Draining => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_every_guard_is_gone() {
        let readiness = Readiness::default();
        let (a, b) = (readiness.awaiting("first sync"), readiness.awaiting("listeners"));
        assert_eq!(readiness.state(), State::Waiting(["first sync", "listeners"].into()));
        drop(a);
        assert_eq!(readiness.state(), State::Waiting(["listeners"].into()));
        drop(b);
        assert_eq!(readiness.state(), State::Ready);
        readiness.drain();
        assert_eq!(readiness.state(), State::Draining);
    }
}
