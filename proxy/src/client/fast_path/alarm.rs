//! A timer for requests that nearly always end before it: armed once, it is let run and looked at when it fires, instead
//! of being set anew for each.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// One connection's timer.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
    /// The task will be woken, which is always the same one.
    listens: bool,
}

impl Alarm {
    /// Ready once it is `at`. Until then the task that is polled now is woken by then, and perhaps once before.
    pub(super) fn poll(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if sleep.deadline() > at {
            sleep.as_mut().reset(at);
            self.listens = false;
        }
        if self.listens && !sleep.is_elapsed() {
            return Poll::Pending;
        }
        loop {
            self.listens = true;
            // Whatever the task has spent of its turn: a timer that is not set would never fire.
            ready!(pin!(unconstrained(sleep.as_mut())).poll(cx));
            self.listens = false;
            if sleep.deadline() >= at {
                return Poll::Ready(());
            }
            // It was set for a request before.
            sleep.as_mut().reset(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[tokio::test(start_paused = true)]
    async fn it_is_never_early_and_never_late() {
        let (start, mut alarm) = (Instant::now(), Alarm::default());
        // Armed for 100 ms and left, then asked for 150 ms, for 120, and for what is over.
        for at in [100, 150, 120, 90] {
            let at = start + MS(at);
            let early = std::future::poll_fn(|cx| Poll::Ready(alarm.poll(at, cx))).await;
            assert!(early.is_pending(), "{:?} before {at:?}", Instant::now());
        }
        for at in [150, 400, 300] {
            let before = Instant::now();
            let at = start + MS(at);
            std::future::poll_fn(|cx| alarm.poll(at, cx)).await;
            let now = Instant::now();
            assert!(now >= at.max(before) && now <= at.max(before) + MS(1), "{now:?} for {at:?}");
        }
    }
}
