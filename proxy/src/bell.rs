//! Wakes one task of the same thread: whoever has listened last.

use std::cell::RefCell;
use std::task::{Context, Waker};

/// A waker and its place.
#[derive(Debug, Default)]
pub(crate) struct Bell(RefCell<Option<Waker>>);

impl Bell {
    /// The task that is polled now is woken by the next [`ring`](Self::ring).
    pub(crate) fn listen(&self, cx: &Context<'_>) {
        let mut waker = self.0.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    /// Wakes who has listened, once.
    pub(crate) fn ring(&self) {
        let waker = self.0.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
