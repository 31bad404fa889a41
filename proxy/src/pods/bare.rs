//! Kept connections to pods that no library drives: what the fast path sends its requests over.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::task::Context;
use std::time::{Duration, Instant};

use rapidhash::RapidHashMap;
use tokio::net::TcpStream;

use super::stacks::{Condition, Stacks};
use crate::bell::Bell;
use crate::config::{Limits, Timeouts};

/// One worker's.
pub(crate) struct BarePods {
    idle: Stacks<SocketAddr, TcpStream>,
    waiting: Waiting,
}

/// Who waits for a connection to a pod to come back, the longest first. Those that wait no more are passed over.
#[derive(Clone, Default)]
struct Waiting(Rc<RefCell<RapidHashMap<SocketAddr, VecDeque<Weak<Waiter>>>>>);

impl Waiting {
    /// One has come back, or was left by who was told: tells the next.
    fn tell(&self, pod: SocketAddr) {
        let mut waiting = self.0.borrow_mut();
        // Nearly always nobody waits.
        if waiting.is_empty() {
            return;
        }
        let Some(queue) = waiting.get_mut(&pod) else { return };
        let first = std::iter::from_fn(|| queue.pop_front()).find_map(|waiter| waiter.upgrade());
        if queue.is_empty() {
            waiting.remove(&pod);
        }
        first.iter().for_each(|waiter| waiter.comes());
    }

    fn sweep(&self) {
        self.0.borrow_mut().retain(|_, queue| {
            queue.retain(|waiter| waiter.strong_count() > 0);
            !queue.is_empty()
        });
    }
}

/// One of them.
#[derive(Debug, Default)]
struct Waiter {
    came: Cell<bool>,
    bell: Bell,
}

impl Waiter {
    fn comes(&self) {
        self.came.set(true);
        self.bell.ring();
    }
}

/// A place among those that would take a connection to a pod that comes back. Who was told of one and drops the turn leaves it to
/// the next.
pub(crate) struct Turn {
    waiter: Rc<Waiter>,
    waiting: Waiting,
    pod: SocketAddr,
}

impl Turn {
    /// True once one has come back, for whoever takes it first. Until then the task that is polled now is woken by it.
    pub(crate) fn has_come(&self, cx: &Context<'_>) -> bool {
        self.waiter.bell.listen(cx);
        self.waiter.came.get()
    }

    /// It was taken.
    pub(crate) fn is_over(&self) {
        self.waiter.came.set(false);
    }

    /// Somebody who had not waited has taken it: the next is for this one.
    pub(crate) fn again(&self) {
        self.waiter.came.set(false);
        let mut waiting = self.waiting.0.borrow_mut();
        waiting.entry(self.pod).or_default().push_front(Rc::downgrade(&self.waiter));
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.waiter.came.get() {
            self.waiting.tell(self.pod);
        }
    }
}

/// True when its pod has ended the connection, or said what nobody asked for. Costs no system call while the runtime knows of
/// nothing to be read.
fn is_over(tcp: &TcpStream) -> bool {
    !matches!(tcp.try_read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

impl BarePods {
    pub(crate) fn new(timeouts: &Timeouts, limits: &Limits) -> Self {
        Self { idle: Stacks::new(timeouts, limits), waiting: Waiting::default() }
    }

    /// The freshest that its pod has not ended, if it has not been idle for longer than that.
    pub(crate) fn take(&self, pod: SocketAddr, now: Instant, longest: Duration) -> Option<TcpStream> {
        let condition = |tcp: &TcpStream| if is_over(tcp) { Condition::Over } else { Condition::Ready };
        self.idle.take(pod, now, longest, condition)
    }

    /// Keeps one whose answer was read to its end at `now`.
    pub(crate) fn put(&self, pod: SocketAddr, tcp: TcpStream, now: Instant) {
        self.idle.put(pod, tcp, now);
        self.waiting.tell(pod);
    }

    /// Waits for one that comes back, behind all others who do. Who drops the turn waits no more.
    pub(crate) fn wait(&self, pod: SocketAddr) -> Turn {
        let waiter = Rc::<Waiter>::default();
        let mut waiting = self.waiting.0.borrow_mut();
        let queue = waiting.entry(pod).or_default();
        // Of a queue that nobody is taken from, those who left are let go.
        if queue.len() == queue.capacity() {
            queue.retain(|waiter| waiter.strong_count() > 0);
        }
        queue.push_back(Rc::downgrade(&waiter));
        Turn { waiter, waiting: self.waiting.clone(), pod }
    }

    /// Drops what has been idle for too long, or was ended.
    pub(crate) fn sweep(&self) {
        self.idle.sweep(Instant::now(), is_over);
        self.waiting.sweep();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    const LONG: Duration = Duration::from_secs(3_600);

    async fn pair(listener: &TcpListener) -> (TcpStream, TcpStream) {
        let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (near.unwrap(), far.unwrap().0)
    }

    #[tokio::test]
    async fn the_freshest_that_is_still_good() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pod = listener.local_addr().unwrap();
        let bare = BarePods::new(&Timeouts::default(), &Limits::default());
        let (mut first, mut first_far) = pair(&listener).await;
        let (second, second_far) = pair(&listener).await;
        let (third, mut third_far) = pair(&listener).await;
        // Ready to be read as far as the runtime knows, since its buffer was filled.
        first_far.write_all(b"answer").await.unwrap();
        first.read_exact(&mut [0; 6]).await.unwrap();
        let (now, address) = (Instant::now(), first.local_addr().unwrap());
        drop(second_far);
        third_far.write_all(b"unasked").await.unwrap();
        second.readable().await.unwrap();
        third.readable().await.unwrap();
        [first, second, third].into_iter().for_each(|tcp| bare.put(pod, tcp, now));
        assert_eq!(bare.take(pod, now, LONG).unwrap().local_addr().unwrap(), address);
        assert!(bare.take(pod, now, LONG).is_none());

        let (old, _old_far) = pair(&listener).await;
        bare.put(pod, old, now);
        let ms = Duration::from_millis;
        assert!(bare.take(pod, now + ms(2), ms(1)).is_none(), "too old for this request");
        let kept = bare.take(pod, now + ms(2), ms(2)).unwrap();
        bare.put(pod, kept, now);
        assert!(bare.take(pod, now + Timeouts::default().idle_pod + ms(1), LONG).is_none(), "too old for any");
    }

    #[tokio::test]
    async fn one_that_comes_back_is_told_to_the_first_who_still_waits() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pod = listener.local_addr().unwrap();
        let bare = BarePods::new(&Timeouts::default(), &Limits::default());
        let came = |turn: &Turn| turn.has_come(&Context::from_waker(std::task::Waker::noop()));
        let (left, first, second, third) = (bare.wait(pod), bare.wait(pod), bare.wait(pod), bare.wait(pod));
        drop(left);
        let (near, _far) = pair(&listener).await;
        bare.put(pod, near, Instant::now());
        assert!(came(&first) && !came(&second));
        // A newcomer was faster: the first stays the first.
        let taken = bare.take(pod, Instant::now(), LONG).unwrap();
        first.again();
        bare.put(pod, taken, Instant::now());
        assert!(came(&first) && !came(&second));
        // Who leaves what he was told of leaves it to the next, and who has taken it does not.
        drop(first);
        assert!(came(&second) && !came(&third));
        second.is_over();
        drop(second);
        assert!(!came(&third) && bare.waiting.0.borrow()[&pod].len() == 1);
        drop(third);

        let leaving: Vec<_> = (0..1_000).map(|_| drop(bare.wait(pod))).collect();
        assert_eq!(leaving.len(), 1_000);
        assert!(bare.waiting.0.borrow()[&pod].len() < 10, "those who left are let go");
        bare.sweep();
        assert!(bare.waiting.0.borrow().is_empty());
    }
}
