//! A plain request on its way to a pod: admitted, routed and sent over a kept connection, or over one that is being made.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::TcpStream;

use super::request::{Reading, translate};
use super::{Cause, Client, Ended};
use crate::admission::{Urgency, admits};
use crate::attempt::Try;
use crate::balance::{Attempted, Choice, Chosen, TargetRef, pick};
use crate::client::{Busy, Visit};
use crate::exchange::hedge_after;
use crate::metrics::Unanswered;
use crate::pods::{Turn, longest_idle};
use crate::retry::Counted;
use crate::route::ServiceRoute;
use crate::takeover::{Begun, Dialing, Takeover};
use crate::worker::Worker;

/// A handshake within a cluster takes less. One that has not ended by then waits for room in the pod's queue, as hundreds do
/// that come at once, and those who go before leave their connections sooner.
const QUICK: Duration = Duration::from_millis(5);

/// A request that was sent, or will be once its pod is connected.
pub(super) struct Asked<'w> {
    pub(super) way: Way,
    pub(super) attempt: Try<'w>,
    /// Until the head of an answer has come.
    pub(super) unanswered: Option<Unanswered<'w>>,
    /// When others should be asked as well, or its client be told that it takes too long.
    pub(super) overdue: tokio::time::Instant,
    pod: SocketAddr,
    /// Bytes of the request's body.
    body: usize,
    chosen: Chosen,
    counted: Option<Counted>,
    _busy: Busy,
}

/// How far it has come.
pub(super) enum Way {
    /// Its pod is being connected, and a connection that comes back would do as well.
    Dialing(Dialing, Turn),
    /// Its pod could not be connected.
    Failed(io::Error),
    /// Its pod was sent the request.
    Sent {
        tcp: TcpStream,
        /// It has carried one before.
        reused: bool,
    },
    /// Its pod took a part of it.
    Partly { tcp: TcpStream, reused: bool, unsent: Bytes },
    /// The head of the answer was passed on.
    Passing {
        tcp: TcpStream,
        /// Bytes of its body that the pod has not sent yet.
        left: u64,
        /// The pod has said no more than its answer.
        clean: bool,
    },
    /// The pod has said all of its answer.
    Said,
}

impl<'w> Client<'w> {
    /// Chooses a pod for the request that was read and sends it what was made of that: `whole`, with a `body` of so many bytes.
    ///
    /// # Errors
    /// Why it has to go another way.
    pub(super) fn ask(&self, whole: &[u8], body: usize, repeatable: bool) -> Result<Asked<'w>, Cause> {
        let (worker, now) = (self.worker, Instant::now());
        let now_ms = worker.shared.ms_at(now);
        let counted = worker.requests.one();
        if !admits(worker.requests.under_way(), worker.shared.limits.requests, Urgency::USUAL) {
            return Err(Cause::Moment);
        }
        let route = self.door.route(worker).filter(|route| !route.shed(Urgency::USUAL, now_ms));
        let route = route.ok_or(Cause::Moment)?;
        let choice = worker.with_rng(|rng| pick(&route, rng, now_ms, &Attempted::none())).ok_or(Cause::Moment)?;
        let TargetRef::Pod(pod) = choice.target else {
            // A second choice would be another draw.
            worker.metrics.handed_over.increment(1);
            self.visit.hand_over(Takeover { began: now, chosen: choice.keep(&route), begun: None.into() });
            return Err(Cause::Pods);
        };
        let longest = longest_idle(repeatable && route.policy.allowance().replays());
        let sent = worker.bare.take(pod, now, longest).and_then(|tcp| send(tcp, true, whole));
        let asked = Asked {
            way: sent.unwrap_or_else(|| dial(worker, pod)),
            attempt: Try::begin(worker, &choice, now),
            unanswered: Some(self.door.metrics.begin()),
            overdue: overdue(worker, &route, &choice, now),
            pod,
            body,
            chosen: choice.keep(&route),
            counted: Some(counted),
            _busy: self.visit.busy(now),
        };
        self.visit.clock.request_whole(false);
        Ok(asked)
    }

    /// Until the pod is connected and was sent the request: over the connection that is made for it, or over one that comes
    /// back while that takes longer than it should.
    ///
    /// # Errors
    /// It goes another way.
    pub(super) fn poll_sent(&mut self, asked: &mut Asked<'_>, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        let Way::Dialing(dialing, turn) = &mut asked.way else { return Poll::Ready(Ok(())) };
        if let Poll::Ready(dialled) = dialing.as_mut().poll(cx) {
            let connected = dialled.map(|tcp| {
                asked.attempt.flight().connected(self.worker.shared.now_ms());
                (tcp, false)
            });
            return Poll::Ready(self.send_first(asked, connected));
        }
        while turn.has_come(cx) {
            ready!(self.alarm.poll((asked.attempt.began() + QUICK).into(), cx));
            if let Some(tcp) = self.worker.bare.take(asked.pod, Instant::now(), longest_idle(false)) {
                turn.is_over();
                return Poll::Ready(self.send_first(asked, Ok((tcp, true))));
            }
            turn.again();
        }
        Poll::Pending
    }

    /// There is a connection for the request, which has carried others (`reused`) or not, or there will be none.
    fn send_first(&self, asked: &mut Asked<'_>, connected: io::Result<(TcpStream, bool)>) -> Result<(), Ended> {
        let mut scratch = self.worker.scratch.borrow_mut();
        let most_target = self.worker.shared.limits.target_bytes;
        asked.way = match connected {
            Ok((tcp, reused)) => {
                let reading = translate(&self.request, most_target, &self.visit.trace, &mut scratch.output);
                let plain = matches!(reading, Reading::Plain { .. });
                let sent = plain.then(|| send(tcp, reused, &scratch.output)).flatten();
                sent.unwrap_or_else(|| dial(self.worker, asked.pod))
            }
            Err(error) => Way::Failed(error),
        };
        match asked.way {
            Way::Sent { .. } => Ok(()),
            _ => Err(Ended::other(Cause::Moment)),
        }
    }
}

/// Begins to connect the pod.
fn dial(worker: &Worker, pod: SocketAddr) -> Way {
    Way::Dialing(worker.pods.dial_bare(pod), worker.bare.wait(pod))
}

/// Sends a request; `None` when the socket takes nothing. One that waits for a request takes all of it, unless memory is short.
fn send(tcp: TcpStream, reused: bool, request: &[u8]) -> Option<Way> {
    let written = tcp.try_write(request).ok().filter(|written| *written > 0)?;
    Some(match &request[written..] {
        [] => Way::Sent { tcp, reused },
        unsent => Way::Partly { tcp, reused, unsent: Bytes::copy_from_slice(unsent) },
    })
}

/// When an attempt at that choice is late by the rules of the [exchange](crate::exchange).
fn overdue(worker: &Worker, route: &ServiceRoute, choice: &Choice<'_>, began: Instant) -> tokio::time::Instant {
    let (timeouts, policy) = (&worker.shared.timeouts, &route.policy);
    let whole = policy.request(timeouts);
    let limit = policy.attempt(timeouts).map_or(whole, |each| each.min(whole));
    (began + hedge_after(choice.usual(), choice.rtt()).min(limit)).into()
}

impl Asked<'_> {
    /// Gives the request to whoever reads its head again, with what the pod has said.
    pub(super) fn hand_over(self, heard: Bytes, visit: &Visit) {
        let begun = match self.way {
            Way::Dialing(dialing, _) => Some(Begun::Dialing(dialing)),
            Way::Failed(error) => Some(Begun::Failed(error)),
            Way::Sent { tcp, reused } => {
                Some(Begun::Sent { tcp, reused, unsent: Bytes::new(), body: self.body, heard })
            }
            Way::Partly { tcp, reused, unsent } => Some(Begun::Sent { tcp, reused, unsent, body: self.body, heard }),
            Way::Passing { .. } | Way::Said => None,
        };
        let began = self.attempt.began();
        self.attempt.go_on();
        if let Some(unanswered) = self.unanswered {
            unanswered.moves_on();
        }
        visit.hand_over(Takeover { began, chosen: self.chosen, begun: begun.into() });
    }

    /// The pod has said all of its answer, whatever the client has taken of it: its connection is free for others, if it
    /// has said nothing else.
    pub(super) fn let_go(&mut self, worker: &Worker) {
        if let Way::Passing { tcp, clean: true, .. } = std::mem::replace(&mut self.way, Way::Said) {
            worker.bare.put(self.pod, tcp, Instant::now());
        }
        self.attempt.let_go();
        self.counted = None;
    }
}
