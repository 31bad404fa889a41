//! What the requests of one client connection share, and how a worker tells its connections to end.
//!
//! A worker has one watch over all its clients (`watch_over`) instead of a timer and a phase watch in each of them, which
//! every wake of a connection would have to look at.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::clock::{HeadClock, Overdue};
use crate::door::{Door, Standing};
use crate::hygiene::Trace;
use crate::retry::Counted;
use crate::shared::Phase;
use crate::worker::Worker;

/// How often all clients are looked at, and how often while they are to leave.
const LOOK: Duration = Duration::from_secs(2);
const LOOK_LEAVING: Duration = Duration::from_millis(100);
/// How long a new HTTP/2 connection may open streams during a drain before it is told to go.
const DRAIN_GOAWAY: Duration = Duration::from_millis(500);

/// What a connection is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Go on.
    Stay,
    /// End when the requests under way are answered.
    Leave,
    /// End now.
    Cut,
}

/// What the client speaks, as far as its end is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// In a drain every answer says `Connection: close`; idle connections wait for the stop.
    Http1,
    /// Told to go by GOAWAY during a drain already.
    Http2,
}

/// What the requests of one connection share.
pub(crate) struct Visit {
    pub(crate) trace: Trace,
    pub(crate) clock: Arc<HeadClock>,
    manner: Manner,
    door: Rc<Door>,
    active: Rc<Cell<u32>>,
    order: Cell<Order>,
    leaving_since: Cell<Option<Instant>>,
    waker: RefCell<Option<Waker>>,
}

/// All visits of a worker.
#[derive(Default)]
pub(crate) struct Visits(RefCell<Vec<Weak<Visit>>>);

impl Visit {
    /// Begins a visit, which the worker watches over from here on.
    pub(crate) fn begin(
        worker: &Worker,
        door: &Rc<Door>,
        manner: Manner,
        trace: Trace,
        clock: Arc<HeadClock>,
    ) -> Rc<Self> {
        let visit = Rc::new(Self {
            trace,
            clock,
            manner,
            door: door.clone(),
            active: Rc::default(),
            order: Cell::new(Order::Stay),
            leaving_since: Cell::default(),
            waker: RefCell::default(),
        });
        worker.visits.0.borrow_mut().push(Rc::downgrade(&visit));
        visit
    }

    /// Marks the connection busy until the guard is dropped.
    pub(crate) fn busy(self: &Rc<Self>, now: Instant) -> Busy {
        self.clock.request_came(now);
        Busy { visit: self.clone(), _active: Counted::one(&self.active) }
    }

    /// Drives the connection until it ends, asks it to end when told so, and cuts it when told so. Returns how it ended,
    /// if it was not cut.
    pub(crate) async fn attend<C: Future>(
        &self,
        mut conn: Pin<&mut C>,
        polite: impl Fn(Pin<&mut C>),
    ) -> Option<C::Output> {
        let mut asked = false;
        std::future::poll_fn(|cx| {
            match self.order.get() {
                Order::Cut => return Poll::Ready(None),
                Order::Leave if !asked => {
                    polite(conn.as_mut());
                    asked = true;
                }
                Order::Stay | Order::Leave => {}
            }
            let polled = conn.as_mut().poll(cx).map(Some);
            let mut waker = self.waker.borrow_mut();
            if polled.is_pending() && !waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
                *waker = Some(cx.waker().clone());
            }
            polled
        })
        .await
    }

    /// What the connection must be told at this moment.
    fn judge(&self, worker: &Rc<Worker>, phase: Phase, now: Instant) -> Order {
        let timeouts = &worker.shared.timeouts;
        let overdue = self.clock.overdue(now, timeouts.head, timeouts.idle_client);
        if overdue == Some(Overdue::Head) {
            return Order::Cut;
        }
        let standing = self.door.standing(worker);
        let patience = match (self.manner, phase) {
            (_, Phase::Stopping(_)) => Some(Duration::ZERO),
            (Manner::Http2, Phase::Draining) => Some(DRAIN_GOAWAY),
            _ => None,
        };
        let since = |now| {
            let since = self.leaving_since.get().unwrap_or(now);
            self.leaving_since.set(Some(since));
            now.saturating_duration_since(since)
        };
        let over = match self.manner {
            Manner::Http1 => standing == Standing::Gone,
            Manner::Http2 => standing != Standing::Open,
        };
        if overdue.is_some() || over || patience.is_some_and(|patience| since(now) >= patience) {
            Order::Leave
        } else {
            Order::Stay
        }
    }

    fn tell(&self, order: Order) {
        if self.order.get() == Order::Cut || order == Order::Stay || self.order.get() == order {
            return;
        }
        self.order.set(order);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// One request under way on a connection.
pub(crate) struct Busy {
    visit: Rc<Visit>,
    _active: Counted,
}

impl Drop for Busy {
    fn drop(&mut self) {
        // This guard itself is still counted.
        if self.visit.active.get() == 1 {
            self.visit.clock.went_idle(Instant::now());
        }
    }
}

/// Looks after all clients of the worker until the runtime ends: slow heads, idle connections, listeners that are no
/// more, and the daemon's own end.
pub(crate) async fn watch_over(worker: Rc<Worker>) {
    let mut phase = worker.phase.clone();
    loop {
        let now_phase = *phase.borrow_and_update();
        look(&worker, now_phase, Instant::now());
        let pause = if now_phase == Phase::Running { LOOK } else { LOOK_LEAVING };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            // Without a sender the process is at its end as well.
            changed = phase.changed() => if changed.is_err() { tokio::time::sleep(LOOK_LEAVING).await },
        }
    }
}

fn look(worker: &Rc<Worker>, phase: Phase, now: Instant) {
    worker.visits.0.borrow_mut().retain(|visit| {
        let Some(visit) = visit.upgrade() else { return false };
        let order = visit.judge(worker, phase, now);
        if order == Order::Cut && visit.order.get() != Order::Cut {
            worker.metrics.slow_heads.increment(1);
        }
        visit.tell(order);
        true
    });
}
