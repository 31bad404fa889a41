//! What the requests of one client connection share, and what it does when it is told to.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use http::Version;
use tokio::sync::oneshot;

mod orders;
mod parting;

pub(crate) use orders::watch_over;

use self::orders::Order;
use self::parting::Parting;
use super::clock::{Coming, HeadClock};
use super::detour::Detour;
use super::entered::Entered;
use super::hints::HintSink;
use super::io::ClientIo;
use super::left::LeftHttp;
use super::streams::{Outflow, Streams};
use crate::bell::Bell;
use crate::door::{Door, Standing};
use crate::floods::Wire;
use crate::http2::Voice;
use crate::hygiene::Trace;
use crate::retry::Counted;
use crate::takeover::{Hand, Takeover};
use crate::worker::Worker;

/// What an idle connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhileIdle {
    /// Waits for a request.
    Wait,
    /// Gives up what it does not need, and waits.
    Park,
    /// Ends.
    End,
}

/// How the driving of a connection ended.
#[derive(Debug)]
pub(crate) enum Ended<E> {
    /// By itself.
    Over(Result<(), E>),
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
    /// Of the last request.
    number: Cell<u32>,
    order: Cell<Order>,
    leaving_since: Cell<Option<Instant>>,
    /// When it has lasted for long enough.
    until: Instant,
    bell: Bell,
    taker: RefCell<Option<oneshot::Sender<(ClientIo, Entered)>>>,
    /// Of HTTP/2.
    pub(super) streams: Option<Rc<Streams>>,
    /// The same.
    wire: OnceCell<Rc<Wire>>,
    parting: Parting,
    /// Off the fast path.
    pub(super) detour: Detour,
    /// The request under way is the last one of a detour.
    returns: Cell<bool>,
    /// A request was read on the fast path and is to be answered off it.
    owes: Cell<bool>,
    takeover: Hand<Box<Takeover>>,
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
            number: Cell::new(0),
            order: Cell::new(Order::Stay),
            leaving_since: Cell::default(),
            bell: Bell::default(),
            taker: RefCell::default(),
            streams: (manner == Manner::Http2).then(Rc::default),
            wire: OnceCell::new(),
            parting: Parting::default(),
            detour: Detour::default(),
            returns: Cell::new(false),
            owes: Cell::new(false),
            takeover: None.into(),
        });
        worker.visits.0.borrow_mut().push(Rc::downgrade(&visit));
        visit
    }

    /// Marks the connection busy until the guard is dropped.
    pub(crate) fn busy(self: &Rc<Self>, now: Instant) -> Busy {
        self.clock.request_came(now);
        self.number.set(self.number.get().wrapping_add(1));
        self.returns.set(false);
        self.owes.set(false);
        // One that came with the request before may have a body, and is not taken apart in the middle of that.
        self.stirred();
        Busy { visit: self.clone(), _active: Counted::one(&self.active) }
    }

    /// True when it is to end with the request under way. Over HTTP/1.1 the answer says so; HTTP/2 is sent away by itself.
    pub(crate) fn outstayed(&self, now: Instant) -> bool {
        now >= self.until
    }

    /// Watches how its connection of HTTP/2 comes.
    pub(super) fn watches(&self, wire: Rc<Wire>) {
        let _ = self.wire.set(wire);
    }

    /// True for a stream that comes too late: the client was told to go a while ago.
    pub(super) fn turns_away(&self, now: Instant) -> bool {
        self.parting.turns_away(now)
    }

    /// How the answer to the request that is served at this moment is taken; `None` on HTTP/1.1, where the kernel knows.
    pub(crate) fn outflow(&self) -> Option<Rc<Outflow>> {
        self.streams.as_ref()?.current()
    }

    /// Listens to what a pod says before its answer to one more request, now and then. `voice` is that of its stream.
    pub(crate) fn hint_sink(&self, voice: Option<&Voice>) -> Option<HintSink> {
        match voice {
            Some(voice) => self.door.hints.sink_of_stream(voice),
            None => self.door.hints.sink(&self.clock),
        }
    }

    /// Drives the connection until it ends, and does what it is told meanwhile.
    pub(crate) async fn attend<C, E>(&self, mut conn: Pin<&mut C>, polite: impl Fn(Pin<&mut C>)) -> Ended<E>
    where
        C: Future<Output = Result<(), E>>,
    {
        let mut asked = false;
        std::future::poll_fn(|cx| {
            // hyper ends a connection at once of which it has read nothing.
            if self.order.get() == Order::Leave && !asked && !self.owes.get() {
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
                Order::Park | Order::Return if self.is_idle() => return Poll::Ready(Ended::Idle),
                Order::Park | Order::Return => self.order.set(Order::Stay),
                Order::Stay | Order::Leave => {}
            }
            self.bell.listen(cx);
            polled
        })
        .await
    }

    /// What a connection is told on which no request is under way. The task that is polled now is woken by news.
    pub(super) fn while_idle(&self, cx: &Context<'_>) -> WhileIdle {
        self.bell.listen(cx);
        match self.order.get() {
            Order::Leave | Order::Cut => WhileIdle::End,
            Order::Park => WhileIdle::Park,
            Order::Stay | Order::Return => WhileIdle::Wait,
        }
    }

    /// The client of an idle connection has stirred.
    pub(super) fn stirred(&self) {
        if matches!(self.order.get(), Order::Park | Order::Return) {
            self.order.set(Order::Stay);
        }
    }

    /// True when the connection is to end now, whatever is under way. The task that is polled now is woken by news.
    pub(super) fn is_cut(&self, cx: &Context<'_>) -> bool {
        self.bell.listen(cx);
        self.order.get() == Order::Cut
    }

    /// True when nothing asks the connection to end with the request under way.
    pub(crate) fn may_stay(&self, worker: &Rc<Worker>, now: Instant) -> bool {
        self.order.get() != Order::Leave
            && !worker.leaving()
            && !self.outstayed(now)
            && self.door.standing(worker) == Standing::Open
    }

    /// A request was read, and is read again by another.
    pub(super) fn reads_again(&self) {
        self.owes.set(true);
    }

    /// Hands the request that is under way on the fast path over to whoever reads it again.
    pub(super) fn hand_over(&self, takeover: Takeover) {
        self.takeover.put(Box::new(takeover));
    }

    /// What was handed over with the request that has just been read.
    pub(super) fn take_over(&self) -> Option<Box<Takeover>> {
        self.takeover.take()
    }

    /// A request that has come whole goes the long way: perhaps the last one before the fast path is tried again.
    fn goes_the_long_way(&self) {
        if self.manner != Manner::Http1 || !self.door.is_fast() {
            return;
        }
        let (own, all) = (self.detour.passes(), self.door.detour.passes());
        self.returns.set(own && all && !self.leaves_http());
    }

    /// All of the last request has come; `old`: in HTTP/1.0.
    fn came_whole(&self, old: bool) {
        self.goes_the_long_way();
        self.clock.request_whole(old);
    }

    /// True when nothing is under way on it, in or out.
    fn is_idle(&self) -> bool {
        self.active.get() == 0 && self.clock.is_idle()
    }

    /// True when all that happens on it, over HTTP/1.1, is that more of an answered request comes, or does not.
    fn only_takes_in(&self) -> bool {
        self.manner == Manner::Http1 && self.active.get() == 0 && self.clock.is_coming()
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

    /// Gives the connection away, which counts as before. Who waited may have gone meanwhile; the connection then ends.
    pub(crate) fn leave_http(&self, io: ClientIo, entered: Entered) {
        if let Some(taker) = self.taker.borrow_mut().take() {
            let _ = taker.send((io, entered));
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
            if self.visit.returns.take() && self.visit.order.get() == Order::Stay {
                self.visit.order.set(Order::Return);
            }
            if self.visit.clock.is_half_closed() {
                // Now its reader may know.
                self.visit.bell.ring();
            }
        }
    }
}

/// Tells a visit that its request has come whole. Until it is dropped, more of that is to come.
pub(crate) struct LastOfRequest {
    visit: Rc<Visit>,
    number: u32,
    old: bool,
    _coming: Coming,
}

impl fmt::Debug for LastOfRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LastOfRequest").field("number", &self.number).finish_non_exhaustive()
    }
}

impl LastOfRequest {
    /// For the request under way on that visit, in this version; `None` when it has `no_body` and so has come.
    pub(crate) fn of(visit: &Rc<Visit>, version: Version, no_body: bool) -> Option<Self> {
        let old = version < Version::HTTP_11;
        if no_body {
            visit.came_whole(old);
            return None;
        }
        Some(Self { visit: visit.clone(), number: visit.number.get(), old, _coming: Coming::of(&visit.clock) })
    }

    /// False when another came since, as it may once this one was answered: the rest of it concerns its pod only.
    fn is_of_last(&self) -> bool {
        self.number == self.visit.number.get()
    }

    /// More of it was asked for; `starved`: and has not come.
    pub(crate) fn asked_for(&self, starved: bool) {
        if self.is_of_last() {
            self.visit.clock.body_asked(starved);
        }
    }

    /// The last of it has come.
    pub(crate) fn came(&self) {
        if self.is_of_last() {
            self.visit.came_whole(self.old);
        }
    }
}
