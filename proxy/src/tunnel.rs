//! Connections that are not, or no longer, HTTP: bytes both ways until both sides have said their end.
//!
//! Within the cluster two sockets are joined. Across clusters one side is a stream of a link: an HTTP/2 request whose
//! body carries one direction and whose answer's body the other. It behaves as RFC 9113 §8.5 says of CONNECT: the end of
//! a body is a FIN, a connection that breaks is `RST_STREAM` with `CONNECT_ERROR`, and what is not read is not sent, by the
//! stream's window. The method is POST all the same: to a gateway it is a request like any other, with a body each way.

use std::rc::Rc;
use std::task::Context;

use tokio_util::sync::CancellationToken;

mod both_ways;
mod carry;
mod flow;
mod joining;
mod side;

pub(crate) use both_ways::both_ways;
pub(crate) use carry::{carry, stopped, trusted};
pub(crate) use flow::{Flow, Give};
pub(crate) use joining::Joining;
pub(crate) use side::Side;

use crate::bell::Bell;
use crate::body::Incoming;
use crate::client::LeftHttp;
use crate::links::Seat;
use crate::metrics::Raised;
use crate::retry::Counted;
use crate::route::InFlight;
use crate::worker::Worker;

/// What a tunnel across clusters holds until both of its directions have ended.
pub(crate) struct Held {
    pub(crate) _counted: Counted,
    pub(crate) _open: Raised,
    pub(crate) _flight: Option<InFlight>,
    pub(crate) _seat: Option<Seat>,
}

/// Shared by the two directions of a tunnel across clusters: when one breaks, the other does.
pub(crate) struct Pair {
    broken: CancellationToken,
    /// The outgoing direction has ended, one way or the other.
    said: CancellationToken,
    /// Wakes the outgoing direction, which its stream polls.
    bell: Bell,
    _held: Held,
}

impl Pair {
    pub(crate) fn new(held: Held) -> Rc<Self> {
        Rc::new(Self {
            broken: CancellationToken::new(),
            said: CancellationToken::new(),
            bell: Bell::default(),
            _held: held,
        })
    }

    /// Breaks both directions: neither end is told that all was said.
    pub(crate) fn break_off(&self) {
        self.broken.cancel();
        self.bell.ring();
    }

    fn is_broken(&self) -> bool {
        self.broken.is_cancelled()
    }

    fn wake_on_break(&self, cx: &Context<'_>) {
        self.bell.listen(cx);
    }
}

/// A client's upgrade that another cluster's pod has granted, before the client has been told.
pub(crate) struct Crossing {
    /// The client's side, once it has left HTTP.
    pub(crate) client: Option<LeftHttp>,
    pub(crate) give: Give,
    pub(crate) seat: Seat,
    pub(crate) counted: Counted,
}

impl Crossing {
    /// Joins the client, when it has left HTTP, with the stream whose answer's body this is.
    pub(crate) fn start(self, worker: &Rc<Worker>, inflow: Incoming, mut flight: InFlight) {
        let Self { client, give, seat, counted } = self;
        let Some(client) = client else { return };
        flight.leave_place();
        let held =
            Held { _counted: counted, _open: worker.metrics.crossing(), _flight: Some(flight), _seat: Some(seat) };
        let worker = worker.clone();
        worker.tasks.clone().spawn_local(async move {
            let Some(client) = client.left().await else { return };
            let (side, _counts) = client.into_side();
            let (source, sink) = side.split();
            let pair = Pair::new(held);
            give.give(source, &pair);
            carry(&worker, pair, inflow, sink, std::future::pending()).await;
        });
    }
}

/// Counts a tunnel across clusters in, if there is room for it.
pub(crate) fn admit(worker: &Worker) -> Option<Counted> {
    if worker.tunnels.get() as usize >= worker.shared.limits.tunnels {
        worker.metrics.tunnels_refused.increment(1);
        return None;
    }
    Some(Counted::one(&worker.tunnels))
}
