//! Connections to pods that speak HTTP/2 by prior knowledge (gRPC): few, shared by many streams.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, Shared};

use super::spoken::Spoken;
use super::{Load, PodIo, failure};
use crate::config::{Limits, Timeouts};
use crate::http2::{self, Driver};
use crate::links::{Line, Pulse, Seat};
use crate::retry::Failure;
use crate::socket::{connect, patient};

/// What a pod may send on one stream before its client has taken it.
const STREAM_WINDOW: u32 = 64 << 10;
/// The same on one connection: as much as all of its streams together ([`Line::MOST_STREAMS`] at most), so that clients that
/// stop reading hold up nobody else.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * Line::MOST_STREAMS;
/// How much more than its content what is not read may cost, in bytes ([as on links](crate::links::bounds::FRAMES_BYTES)): as much
/// as messages of 25 bytes on a hundred streams.
const FRAMES_BYTES: usize = 64 << 20;
/// How often a connection without streams is looked at; unused twice in a row, it is closed.
const IDLE_LOOK: Duration = Duration::from_secs(15);

/// A dial that all who need its connection wait for.
type Dial = Shared<LocalBoxFuture<'static, Result<Rc<Line>, Failure>>>;

/// One worker's HTTP/2 connections to pods.
pub(crate) struct H2cPods {
    /// Bytes of fields that a pod may send.
    head_bytes: u32,
    /// When a connection takes no more streams, give or take a tenth.
    age: Duration,
    lines: RefCell<HashMap<SocketAddr, Vec<Rc<Line>>>>,
    dials: RefCell<HashMap<SocketAddr, Dial>>,
    spoken: Spoken,
}

impl H2cPods {
    pub(crate) fn new(timeouts: &Timeouts, limits: &Limits) -> Self {
        Self {
            head_bytes: u32::try_from(limits.head_bytes).unwrap_or(u32::MAX),
            age: timeouts.link_age,
            lines: RefCell::default(),
            dials: RefCell::default(),
            spoken: Spoken::default(),
        }
    }

    /// Whether a pod on a port that does not say speaks HTTP/2.
    ///
    /// # Errors
    /// As [`Self::seat`].
    pub(crate) async fn speaks(&self, to: SocketAddr, timeouts: &Timeouts) -> Result<bool, Failure> {
        self.spoken.http2(to, timeouts.connect_pod).await
    }

    /// A seat on a connection that stands, else on a new one. `true` for a new one.
    ///
    /// # Errors
    /// [`Failure::Refused`] or [`Failure::ConnectTimeout`].
    pub(crate) async fn seat(self: &Rc<Self>, to: SocketAddr, timeouts: &Timeouts) -> Result<(Seat, bool), Failure> {
        match self.first(to) {
            Some(line) => Ok((Seat::on(line), false)),
            // Boxed, so that the many that find one do not carry it.
            None => Box::pin(self.new_seat(to, timeouts.connect_pod)).await.map(|seat| (seat, true)),
        }
    }

    /// A seat on a connection that is dialled for all who wait for one now, and for as many as it allows.
    async fn new_seat(self: &Rc<Self>, to: SocketAddr, limit: Duration) -> Result<Seat, Failure> {
        loop {
            let line = self.dialled(to, limit).await?;
            if let Some(line) = self.first(to).or_else(|| (!line.full()).then_some(line)) {
                return Ok(Seat::on(line));
            }
        }
    }

    fn dialled(self: &Rc<Self>, to: SocketAddr, limit: Duration) -> Dial {
        let mut dials = self.dials.borrow_mut();
        let begin = || {
            let pods = self.clone();
            let dial = async move {
                let line = pods.dial(to, limit).await;
                pods.dials.borrow_mut().remove(&to);
                line
            };
            let dial = dial.boxed_local().shared();
            // It goes on when those who asked for it have left.
            tokio::task::spawn_local(dial.clone().map(drop));
            dial
        };
        dials.entry(to).or_insert_with(begin).clone()
    }

    /// Nothing is pinged: gRPC's servers close connections that are (gRFC A8). A dead node is noticed by [`PodIo`].
    async fn dial(self: &Rc<Self>, to: SocketAddr, limit: Duration) -> Result<Rc<Line>, Failure> {
        let tcp = connect(to, limit, patient()).await.map_err(|error| failure(&error))?;
        let mut builder = http2::client();
        builder
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(self.head_bytes)
            .data_frame_budget(FRAMES_BYTES);
        let io = PodIo::new(tcp, Load::Bulk);
        let (sender, driver) = http2::handshake(&builder, io, None).await.map_err(|_| Failure::Refused)?;
        let line = Rc::new(Line::new(sender, Pulse::new()));
        self.lines.borrow_mut().entry(to).or_default().push(line.clone());
        tokio::task::spawn_local(self.clone().watch(to, line.clone(), driver));
        Ok(line)
    }

    /// The oldest that has room. What goes over few connections is read and written together, and those that a rush
    /// has left behind are idle and closed.
    fn first(&self, to: SocketAddr) -> Option<Rc<Line>> {
        let lines = self.lines.borrow();
        lines.get(&to)?.iter().find(|l| l.usable() && !l.crowded()).cloned()
    }

    async fn watch(self: Rc<Self>, to: SocketAddr, line: Rc<Line>, mut driver: Driver) {
        tokio::select! {
            biased;
            _ = &mut driver => {}
            () = unused(&line) => {}
            // h2 counts some of what a pod does wrong for a connection's whole life, and ends it in the end.
            () = tokio::time::sleep(self.age.mul_f64(0.9 + 0.2 * fastrand::f64())) => {}
        }
        // A driver that is dropped lets its streams end.
        line.retire();
        self.forget(to, &line);
    }

    fn forget(&self, to: SocketAddr, line: &Rc<Line>) {
        let mut lines = self.lines.borrow_mut();
        if let Some(open) = lines.get_mut(&to) {
            open.retain(|l| !Rc::ptr_eq(l, line));
            if open.is_empty() {
                lines.remove(&to);
            }
        }
    }
}

/// Returns when the line carried no stream at two looks in a row.
async fn unused(line: &Line) {
    let mut before = false;
    loop {
        tokio::time::sleep(IDLE_LOOK).await;
        let now = line.streams() == 0;
        if before && now {
            return;
        }
        before = now;
    }
}
