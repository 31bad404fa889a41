//! A clock that is late by microseconds. The runtime's own timers count in milliseconds and round up, which a relay would
//! add to every crossing, each way.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

/// Wakes tasks on time, from a thread of its own, which ends with the last handle.
#[derive(Debug)]
pub struct Alarm(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    due: Mutex<Due>,
    sooner: Condvar,
}

#[derive(Debug, Default)]
struct Due {
    waiting: BinaryHeap<Waiting>,
    over: bool,
}

#[derive(Debug)]
struct Waiting {
    at: Instant,
    wake: oneshot::Sender<()>,
}

impl Alarm {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the process may have no more threads.
    pub fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let run = shared.clone();
        std::thread::Builder::new().name("relay-clock".into()).spawn(move || run.run())?;
        Ok(Self(shared))
    }

    /// Returns at that moment, at once when it is past.
    pub async fn wait_until(&self, at: Instant) {
        if at > Instant::now() {
            // The sender goes only with the clock itself, and then nobody is left to be late for.
            let _ = self.0.register(at).await;
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.0.lock().over = true;
        self.0.sooner.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Due> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(&self, at: Instant) -> oneshot::Receiver<()> {
        let (wake, woken) = oneshot::channel();
        let mut due = self.lock();
        let first = due.waiting.peek().is_none_or(|earliest| at < earliest.at);
        due.waiting.push(Waiting { at, wake });
        if first {
            self.sooner.notify_one();
        }
        woken
    }

    fn run(&self) {
        let mut due = self.lock();
        while !due.over {
            let now = Instant::now();
            while due.waiting.peek().is_some_and(|w| w.at <= now) {
                // A task that no longer waits does not mind.
                let _ = due.waiting.pop().map(|w| w.wake.send(()));
            }
            due = match due.waiting.peek().map(|w| w.at.saturating_duration_since(now)) {
                Some(left) => self.sooner.wait_timeout(due, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.sooner.wait(due).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

impl Ord for Waiting {
    /// The earliest is the greatest, so that the heap gives it first.
    fn cmp(&self, other: &Self) -> Ordering {
        other.at.cmp(&self.at)
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Waiting {}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn never_early_in_whatever_order_and_not_for_the_past() {
        let alarm = Alarm::start().unwrap();
        let wait = |micros| {
            let alarm = &alarm;
            async move {
                let at = Instant::now() + Duration::from_micros(micros);
                alarm.wait_until(at).await;
                assert!(Instant::now() >= at);
            }
        };
        tokio::join!(wait(5_000), wait(300), wait(2_500), wait(0), wait(40));
        alarm.wait_until(Instant::now() - Duration::from_secs(1)).await;
    }
}
