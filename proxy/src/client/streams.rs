//! The streams of an HTTP/2 client, and those whose answers the client does not take.
//!
//! On HTTP/1.1 the kernel breaks a connection whose client reads nothing. A stream of HTTP/2 stops alone, when its client
//! gives it no window, and h2 waits for that without end while the connection lives. So each answer notes when it
//! handed over its last piece, and how long that was; it is asked for the next as soon as there is room, and one that is
//! not asked in time is reset. An answer that waits for its pod is no such one.
//!
//! A piece may be some hundred KiB, of which a slow client takes a little all the time: it has the time for each
//! [`PIECE`] of it.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use pin_project_lite::pin_project;

use crate::bell::Bell;

/// What a client takes of an answer, at the least, within the time for which it may leave it unread.
const PIECE: usize = 64 * 1024;

/// One stream's answer, as far as it is taken.
#[derive(Debug, Default)]
pub(crate) struct Outflow {
    /// When the last piece was handed over after which no other was asked for, and its bytes.
    full: Cell<Option<(Instant, usize)>>,
    cut: Cell<bool>,
    bell: Bell,
}

impl Outflow {
    /// A piece of so many bytes was handed over.
    pub(crate) fn gave(&self, bytes: usize, now: Instant) {
        self.full.set(Some((now, bytes)));
    }

    /// The next piece is asked for, and waited for.
    pub(crate) fn has_room(&self) {
        self.full.set(None);
    }

    fn is_stuck(&self, now: Instant, unread: Duration) -> bool {
        let allowed = |bytes: usize| unread.saturating_mul(u32::try_from(1 + bytes / PIECE).unwrap_or(u32::MAX));
        self.full.get().is_some_and(|(since, bytes)| now.saturating_duration_since(since) >= allowed(bytes))
    }

    fn cut(&self) {
        self.cut.set(true);
        self.bell.ring();
    }
}

/// The streams of one connection.
#[derive(Debug, Default)]
pub(super) struct Streams {
    open: RefCell<Vec<Rc<Outflow>>>,
    /// Whose turn it is, while a stream runs.
    current: RefCell<Option<Rc<Outflow>>>,
}

impl Streams {
    fn begin(&self) -> Rc<Outflow> {
        let outflow = Rc::new(Outflow::default());
        self.open.borrow_mut().push(outflow.clone());
        outflow
    }

    fn end(&self, outflow: &Rc<Outflow>) {
        let mut open = self.open.borrow_mut();
        if let Some(at) = open.iter().position(|o| Rc::ptr_eq(o, outflow)) {
            open.swap_remove(at);
        }
    }

    /// True when none is open.
    pub(super) fn is_empty(&self) -> bool {
        self.open.borrow().is_empty()
    }

    /// The stream that runs at this moment.
    pub(super) fn current(&self) -> Option<Rc<Outflow>> {
        self.current.borrow().clone()
    }

    /// Ends the streams that their client has left full for so long, and says how many.
    pub(super) fn cut_stuck(&self, now: Instant, unread: Duration) -> u64 {
        let open = self.open.borrow();
        let stuck = open.iter().filter(|o| !o.cut.get() && o.is_stuck(now, unread));
        stuck.map(|o| o.cut()).count() as u64
    }
}

impl Streams {
    /// Spawns one more on the worker's own thread.
    pub(super) fn spawn(self: &Rc<Self>, stream: impl Future + 'static) {
        tokio::task::spawn_local(Cuttable { outflow: self.begin(), streams: self.clone(), stream });
    }
}

pin_project! {
    /// A stream until it ends or is cut; it is reset when it is dropped.
    struct Cuttable<F> {
        streams: Rc<Streams>,
        outflow: Rc<Outflow>,
        #[pin]
        stream: F,
    }
}

impl<F: Future> Future for Cuttable<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let (streams, outflow) = (&**this.streams, &*this.outflow);
        if !outflow.cut.get() {
            let outer = streams.current.replace(Some(outflow.clone()));
            let polled = this.stream.poll(cx);
            streams.current.replace(outer);
            if polled.is_pending() {
                outflow.bell.listen(cx);
                return Poll::Pending;
            }
        }
        streams.end(outflow);
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNREAD: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn only_what_its_client_leaves_full_is_cut() {
        let (streams, start) = (Rc::new(Streams::default()), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let [waits, stuck, slow] = [streams.begin(), streams.begin(), streams.begin()];
        for outflow in [&waits, &stuck] {
            outflow.gave(PIECE - 1, at(0));
        }
        assert_eq!(streams.cut_stuck(at(59), UNREAD), 0);
        // A pod that thinks for an hour is none of the client's doing.
        waits.has_room();
        // Nor does it matter how a long piece is cut up on its way.
        slow.gave(60 * PIECE, at(0));
        assert_eq!(streams.cut_stuck(at(3_600), UNREAD), 1);
        assert_eq!(streams.cut_stuck(at(3_602), UNREAD), 0, "told once");
        Cuttable { streams: streams.clone(), outflow: stuck, stream: std::future::pending::<()>() }.await;
        assert_eq!(streams.open.borrow().len(), 2);
        assert_eq!(streams.cut_stuck(at(3_660), UNREAD), 1, "a minute for each of its parts");
    }

    #[tokio::test]
    async fn each_stream_finds_its_own() {
        let streams = Rc::new(Streams::default());
        let [one, other] = [streams.begin(), streams.begin()];
        for own in [&one, &other] {
            let stream = async {
                tokio::task::yield_now().await;
                assert!(streams.current().is_some_and(|current| Rc::ptr_eq(&current, own)));
            };
            Cuttable { streams: streams.clone(), outflow: own.clone(), stream }.await;
        }
        assert!(streams.current().is_none());
    }
}
