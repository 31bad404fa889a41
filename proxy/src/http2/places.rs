//! Streams on a connection, of as many as its other end allows.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::Notify;

/// What is known of a connection's places.
#[derive(Debug, Default)]
pub(super) struct Places {
    most: Cell<usize>,
    taken: Cell<usize>,
    closed: Cell<bool>,
    /// For the one who waits.
    news: Notify,
}

/// One place, until dropped.
#[derive(Debug)]
pub(super) struct Place(Rc<Places>);

impl Places {
    /// So many are allowed.
    pub(super) fn allow(&self, most: usize) {
        if self.most.replace(most) < most {
            self.news.notify_one();
        }
    }

    /// How many are allowed.
    pub(super) const fn most(&self) -> usize {
        self.most.get()
    }

    /// None is given from now on. False when that was so before.
    pub(super) fn close(&self) -> bool {
        self.news.notify_one();
        !self.closed.replace(true)
    }

    /// True when none is given any more.
    pub(super) const fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// The next that is free; `None` when none is given any more. One may wait at a time.
    pub(super) async fn next(self: &Rc<Self>) -> Option<Place> {
        while !self.is_closed() && self.taken.get() >= self.most.get() {
            self.news.notified().await;
        }
        (!self.is_closed()).then(|| {
            self.taken.set(self.taken.get() + 1);
            Place(self.clone())
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.set(self.0.taken.get().saturating_sub(1));
        self.0.news.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn who_waits_gets_the_next_that_is_free_and_is_told_when_there_are_none() {
        let places = Rc::new(Places::default());
        places.allow(1);
        let first = places.next().await.expect("a place");
        assert!(places.next().now_or_never().is_none());
        let (second, ()) = tokio::join!(places.next(), async { drop(first) });
        let second = second.expect("the place of the first");
        let (third, ()) = tokio::join!(places.next(), async { places.allow(2) });
        assert!(third.is_some());
        let (fourth, ()) = tokio::join!(places.next(), async { assert!(places.close()) });
        assert!(fourth.is_none() && !places.close());
        drop(second);
        assert!(places.next().await.is_none());
    }
}
