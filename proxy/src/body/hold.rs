//! Holding a body back until the pod asks for it: `Expect: 100-continue` carried from end to end.
//!
//! hyper tells the client to continue when the body is first polled. So it is polled only once the pod said 100, or
//! has said nothing for a second (RFC 9110 §10.1.1: wait no indefinite time). A pod that refuses instead leaves the
//! body unread and the client unasked.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::Sleep;

/// How long a pod that answers neither 100 nor anything else is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Gate {
    open: AtomicBool,
    waker: AtomicWaker,
}

/// The end that waits.
#[derive(Debug)]
pub(crate) struct Hold {
    gate: Arc<Gate>,
    patience: Pin<Box<Sleep>>,
}

/// The end that releases; safe to call from hyper's callback.
#[derive(Clone, Debug)]
pub(crate) struct Released(Arc<Gate>);

impl Hold {
    /// Both ends. The second of patience starts now.
    pub(crate) fn new() -> (Self, Released) {
        let gate = Arc::new(Gate::default());
        let patience = Box::pin(tokio::time::sleep(PATIENCE));
        (Self { gate: gate.clone(), patience }, Released(gate))
    }

    /// Ready once released or out of patience.
    pub(crate) fn poll_released(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.gate.open.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        self.gate.waker.register(cx.waker());
        if self.gate.open.load(Ordering::Acquire) || self.patience.as_mut().poll(cx).is_ready() {
            self.gate.open.store(true, Ordering::Release);
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl Released {
    /// Lets the body flow.
    pub(crate) fn release(&self) {
        self.0.open.store(true, Ordering::Release);
        self.0.waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn released_or_out_of_patience() {
        let (mut hold, released) = Hold::new();
        let mut polled = tokio_test_poll(&mut hold).await;
        assert!(polled.is_pending());
        released.release();
        polled = tokio_test_poll(&mut hold).await;
        assert!(polled.is_ready());

        let (mut silent, _kept) = Hold::new();
        let before = tokio::time::Instant::now();
        std::future::poll_fn(|cx| silent.poll_released(cx)).await;
        assert_eq!(before.elapsed(), PATIENCE);
    }

    async fn tokio_test_poll(hold: &mut Hold) -> Poll<()> {
        std::future::poll_fn(|cx| Poll::Ready(hold.poll_released(cx))).await
    }
}
