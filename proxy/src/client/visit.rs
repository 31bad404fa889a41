//! What the requests of one client connection share, and how a worker tells its connections to end.
//!
//! A worker has one watch over all its clients (`watch_over`) instead of a timer and a phase watch in each of them, which
//! every wake of a connection would have to look at.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use http::Version;
use tokio::sync::oneshot;

use super::clock::{HeadClock, Overdue};
use super::hints::HintSink;
use super::io::ClientIo;
use super::left::LeftHttp;
use super::streams::{Outflow, Streams};
use crate::bell::Bell;
use crate::door::{Door, Standing};
use crate::hygiene::Trace;
use crate::retry::Counted;
use crate::shared::Phase;
use crate::worker::Worker;

/// How often all clients are looked at, and how often while they are to leave.
const LOOK: Duration = Duration::from_secs(1);
const LOOK_LEAVING: Duration = Duration::from_millis(100);
/// How long an HTTP/1.1 connection is idle before it is parked: longer than the pauses of a client that is at work.
const PARK_AFTER: Duration = Duration::from_secs(1);
/// How long a new HTTP/2 connection may open streams during a drain before it is told to go.
const DRAIN_GOAWAY: Duration = Duration::from_millis(500);

/// What a connection is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Go on.
    Stay,
    /// Give up what an idle connection does not need.
    Park,
    /// End when the requests under way are answered.
    Leave,
    /// End now.
    Cut,
}

/// How the driving of a connection ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// By itself.
    Over(Result<(), hyper::Error>),
    /// It is idle; what was driven can be taken apart.
    Idle,
    /// It was told to end now.
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
    /// When it has lasted for long enough.
    until: Instant,
    bell: Bell,
    taker: RefCell<Option<oneshot::Sender<ClientIo>>>,
    /// Of HTTP/2.
    pub(super) streams: Option<Rc<Streams>>,
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
        let age = worker.shared.timeouts.client_age.mul_f64(worker.with_rng(|rng| 0.9 + 0.2 * rng.f64()));
        let visit = Rc::new(Self {
            until: Instant::now() + age,
            trace,
            clock,
            manner,
            door: door.clone(),
            active: Rc::default(),
            order: Cell::new(Order::Stay),
            leaving_since: Cell::default(),
            bell: Bell::default(),
            taker: RefCell::default(),
            streams: (manner == Manner::Http2).then(Rc::default),
        });
        worker.visits.0.borrow_mut().push(Rc::downgrade(&visit));
        visit
    }

    /// Marks the connection busy until the guard is dropped.
    pub(crate) fn busy(self: &Rc<Self>, now: Instant) -> Busy {
        self.clock.request_came(now);
        Busy { visit: self.clone(), _active: Counted::one(&self.active) }
    }

    /// True when it is to end with the request under way. Over HTTP/1.1 the answer says so; HTTP/2 is sent away by itself.
    pub(crate) fn outstayed(&self, now: Instant) -> bool {
        now >= self.until
    }

    /// How the answer to the request that is served at this moment is taken; `None` on HTTP/1.1, where the kernel knows.
    pub(crate) fn outflow(&self) -> Option<Rc<Outflow>> {
        self.streams.as_ref()?.current()
    }

    /// Listens to what a pod says before its answer to one more request, now and then: HTTP/1.1 alone has a way to pass
    /// it on.
    pub(crate) fn hint_sink(&self) -> Option<HintSink> {
        if self.manner == Manner::Http1 { self.door.hints.sink(&self.clock) } else { None }
    }

    /// Drives the connection until it ends, and does what it is told meanwhile.
    pub(crate) async fn attend<C>(&self, mut conn: Pin<&mut C>, polite: impl Fn(Pin<&mut C>)) -> Ended
    where
        C: Future<Output = Result<(), hyper::Error>>,
    {
        let mut asked = false;
        std::future::poll_fn(|cx| {
            if self.order.get() == Order::Leave && !asked {
                polite(conn.as_mut());
                asked = true;
            }
            let polled = conn.as_mut().poll(cx).map(Ended::Over);
            if polled.is_ready() {
                return polled;
            }
            match self.order.get() {
                Order::Cut => return Poll::Ready(Ended::Cut),
                // Something may have come in this very turn.
                Order::Park if self.is_idle() => return Poll::Ready(Ended::Idle),
                Order::Park => self.order.set(Order::Stay),
                Order::Stay | Order::Leave => {}
            }
            self.bell.listen(cx);
            polled
        })
        .await
    }

    /// Waits until the client stirs. False when the connection is to end.
    pub(crate) async fn parked(&self, worker: &Worker, io: &ClientIo) -> bool {
        self.order.set(Order::Stay);
        let (_gauge, _counted) = (worker.metrics.parked(), worker.shared.park());
        std::future::poll_fn(|cx| {
            self.bell.listen(cx);
            match self.order.get() {
                Order::Leave | Order::Cut => Poll::Ready(false),
                Order::Stay | Order::Park => io.poll_stirred(cx).map(|()| true),
            }
        })
        .await
    }

    /// True when nothing is under way on it, in or out.
    fn is_idle(&self) -> bool {
        self.active.get() == 0 && self.clock.is_idle()
    }

    /// The connection itself, should this request's answer be to leave HTTP.
    pub(crate) fn may_leave_http(&self) -> LeftHttp {
        let (taker, left) = oneshot::channel();
        *self.taker.borrow_mut() = Some(taker);
        LeftHttp::Whole(left)
    }

    /// True when somebody waits for the connection to leave HTTP.
    pub(crate) fn leaves_http(&self) -> bool {
        self.taker.borrow().as_ref().is_some_and(|taker| !taker.is_closed())
    }

    /// Gives the connection away. Who waited may have gone meanwhile; the connection then ends.
    pub(crate) fn leave_http(&self, io: ClientIo) {
        if let Some(taker) = self.taker.borrow_mut().take() {
            let _ = taker.send(io);
        }
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
            Manner::Http2 => standing != Standing::Open || self.outstayed(now),
        };
        if overdue.is_some() || over || patience.is_some_and(|patience| since(now) >= patience) {
            Order::Leave
        } else if self.manner == Manner::Http1 && self.is_idle() && self.clock.waited(now) >= PARK_AFTER {
            Order::Park
        } else {
            Order::Stay
        }
    }

    fn tell(&self, order: Order) {
        if self.order.get() == Order::Cut || order == Order::Stay || self.order.get() == order {
            return;
        }
        self.order.set(order);
        self.bell.ring();
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
            if self.visit.clock.is_half_closed() {
                // Now its reader may know.
                self.visit.bell.ring();
            }
        }
    }
}

/// Tells a visit that its request has come whole.
#[derive(Debug)]
pub(crate) struct LastOfRequest {
    clock: Arc<HeadClock>,
    old: bool,
}

impl LastOfRequest {
    /// For the request under way on that visit, in this version; `None` when it has `no_body` and so has come.
    pub(crate) fn of(visit: &Visit, version: Version, no_body: bool) -> Option<Self> {
        let old = version < Version::HTTP_11;
        if no_body {
            visit.clock.request_whole(old);
            return None;
        }
        Some(Self { clock: visit.clock.clone(), old })
    }

    /// More of it was asked for; `starved`: and has not come.
    pub(crate) fn asked_for(&self, starved: bool) {
        self.clock.body_asked(starved);
    }

    /// The last of it has come.
    pub(crate) fn came(&self) {
        self.clock.request_whole(self.old);
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
        if let Some(streams) = &visit.streams {
            worker.metrics.stuck.increment(streams.cut_stuck(now, worker.shared.timeouts.unread));
        }
        true
    });
}
