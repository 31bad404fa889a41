//! A request as it leaves: the cleaned head, the body or what is left of it, and how often it may still be sent.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderMap;
use http::{Method, Uri, Version};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::Instant;

use crate::admission::Urgency;
use crate::body::{Incoming, Inflow, Movement, Patience, RequestBody};
use crate::client::{HintSink, LastOfRequest, LeftHttp};
use crate::config::{Limits, Timeouts};
use crate::deadline::Deadline;
use crate::failure::Kind;
use crate::health::is_grpc;
use crate::hygiene::Notes;
use crate::plan::PodSpeech;
use crate::retry::{Allowance, Failure, Left, idempotent};
use crate::route::InFlight;
use crate::takeover::{Begun, Takeover};

mod forms;

pub(crate) use forms::address_to_gateway;

/// Bytes of a kept body for which every pod's connection has room, whether the pod reads or not.
const SMALL: usize = 16 << 10;

/// What there is of a body.
#[derive(Debug)]
enum Payload {
    None,
    /// Small and kept: it can be sent again.
    Kept(Bytes),
    /// Not touched yet.
    Stream(Inflow),
    /// On its way, or gone.
    Spent,
}

/// What is borne with a client's body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Bytes kept, so that they can be sent again.
    keep: usize,
    /// All of the request has come, whatever it asks for.
    come: bool,
    /// What is kept has come by then.
    deadline: Deadline,
    /// For what is passed through.
    patience: Patience,
}

impl Bounds {
    /// As configured, for a request with that deadline.
    pub(crate) const fn of(limits: &Limits, timeouts: &Timeouts, deadline: Deadline) -> Self {
        let patience = Patience { stall: timeouts.body, whole: timeouts.upload };
        Self { keep: limits.replay_bytes, come: false, deadline, patience }
    }

    /// The same for a request that has `come` whole, or has not. The body of one that has is kept, however long it is.
    pub(crate) const fn come(self, come: bool) -> Self {
        Self { come, ..self }
    }
}

/// A client's request, ready to be sent as often as [`Outgoing::left`] allows. Attempts share it: what can be sent again
/// may be on its way twice at once.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    uri: Uri,
    headers: HeaderMap,
    /// The version the client spoke.
    version: Version,
    pub(crate) notes: Notes,
    payload: RefCell<Payload>,
    /// Until when an answer is worth having, once all of the request is sent.
    pub(crate) deadline: Deadline,
    /// Of a body that is passed through.
    movement: Option<Movement>,
    repeated: Cell<bool>,
    allowance: Cell<Allowance>,
    /// It was sent again on another connection to the same pod, since it was asked last.
    resent: Cell<bool>,
    /// What pods are spoken to in.
    pub(crate) to_pods: PodSpeech,
    /// The client's side of an upgrade, once.
    pub(crate) upgrade: Option<LeftHttp>,
    /// Who takes a pod's early hints.
    pub(crate) hints: Option<HintSink>,
    /// What the fast path has done for it.
    pub(crate) takeover: Option<Box<Takeover>>,
}

impl Outgoing {
    /// Takes a cleaned request over. A small body of an idempotent request is read now, so that it can be replayed; it
    /// has until the deadline to come. So is any that has come already. `last` is told when the last of a body has come.
    ///
    /// # Errors
    /// [`Kind::Timeout`] when it did not come in time, else what [`Failure::ClientBody`] is told as.
    pub(crate) async fn read(
        head: http::request::Parts,
        body: Incoming,
        notes: Notes,
        upgrade: Option<LeftHttp>,
        to_pods: PodSpeech,
        bounds: Bounds,
        last: Option<LastOfRequest>,
    ) -> Result<Self, Kind> {
        let mut movement = None;
        let payload = if body.is_end_stream() {
            // No timer for the many that have none.
            Payload::None
        } else {
            // Streams of gRPC may be silent for as long as they like, and have no end. Over HTTP/1.1 there are none, whatever a
            // request calls itself.
            let stream = head.version == Version::HTTP_2 && is_grpc(&head.headers);
            let patience = (!stream).then_some(bounds.patience);
            let inflow = Inflow::new(body, patience, last);
            movement = Some(inflow.movement());
            let reading = payload(&head.method, inflow, &notes, bounds);
            let read = match bounds.come {
                true => reading.await,
                false => tokio::time::timeout_at(bounds.deadline.at(), reading).await.map_err(|_| Kind::Timeout)?,
            };
            read.map_err(Failure::kind)?
        };
        let kept = matches!(payload, Payload::Kept(_));
        let waited = kept && !bounds.come;
        Ok(Self {
            method: head.method,
            uri: head.uri,
            headers: head.headers,
            version: head.version,
            notes,
            payload: RefCell::new(payload),
            movement: movement.filter(|_| !kept),
            deadline: if waited { bounds.deadline.complete_at(Instant::now()) } else { bounds.deadline },
            repeated: Cell::new(false),
            allowance: Cell::default(),
            resent: Cell::new(false),
            to_pods,
            upgrade,
            hints: None,
            takeover: None,
        })
    }

    /// A request without a body that asks a pod of this cluster to leave HTTP; the client behind the gateway that sent it
    /// has not left yet.
    pub(crate) fn upgrade(head: http::request::Parts, notes: Notes, deadline: Deadline) -> Self {
        Self {
            method: head.method,
            uri: head.uri,
            headers: head.headers,
            version: head.version,
            notes,
            payload: RefCell::new(Payload::None),
            movement: None,
            deadline,
            repeated: Cell::new(false),
            allowance: Cell::default(),
            resent: Cell::new(false),
            to_pods: PodSpeech::Http1,
            upgrade: None,
            hints: None,
            takeover: None,
        }
    }

    /// The moment to which `end` moves because the body has moved less than `limit` ago: the time for an answer begins
    /// when the last of the request is sent. `None` when it stays.
    pub(crate) fn later(&self, limit: Duration, end: Instant) -> Option<Instant> {
        let later = self.deadline.within_call(self.movement.as_ref()?.last() + limit);
        (later > end).then_some(later)
    }

    /// Its answer has begun. While its body is still on its way the answer may break off for the client's sake, who leaves or
    /// stops: then only its head tells of the pod.
    pub(crate) fn may_break(&self, flight: &InFlight) {
        if self.movement.is_some() {
            flight.let_end();
        }
    }

    /// How urgent its client says it is.
    pub(crate) fn urgency(&self) -> Urgency {
        Urgency::of(&self.headers)
    }

    /// What could be sent again.
    pub(crate) fn left(&self) -> Left {
        match *self.payload.borrow() {
            Payload::None | Payload::Kept(_) => Left::Whole,
            Payload::Stream(_) => Left::Unsent,
            Payload::Spent => Left::Spent,
        }
    }

    /// True when it may be sent again although a pod may have seen it.
    pub(crate) fn replayable(&self) -> bool {
        self.allowance.get().replays()
            && self.left() == Left::Whole
            && idempotent(&self.method)
            && self.notes.upgrade.is_none()
    }

    /// Sets how often it may be sent, unless that is [once](Allowance::ONCE) already. Returns what holds.
    pub(crate) fn allow(&self, allowance: Allowance) -> Allowance {
        let both = self.allowance().replays() && allowance.replays();
        self.allowance.set(if both { allowance } else { Allowance::ONCE });
        self.allowance()
    }

    /// How often it may be sent.
    pub(crate) const fn allowance(&self) -> Allowance {
        self.allowance.get()
    }

    /// Notes that it is sent to its pod a second time, since the connection ended under the first.
    pub(crate) fn note_resent(&self) {
        self.note_repeated();
        self.resent.set(true);
    }

    /// True when it was, since this was asked last.
    pub(crate) fn take_resent(&self) -> bool {
        self.resent.take()
    }

    /// Notes that one attempt may have reached a pod before or beside the next.
    pub(crate) fn note_repeated(&self) {
        self.repeated.set(true);
    }

    /// True for a request of which another attempt may have reached a pod, here or in the cluster it came from.
    pub(crate) const fn repeated(&self) -> bool {
        self.repeated.get()
    }

    /// The connection that its first attempt was begun on, once.
    pub(crate) fn take_begun(&self) -> Option<Begun> {
        self.takeover.as_ref()?.begun.take()
    }

    /// True when a pod may have no room for it at once: its body is streamed or long, or the connection will be upgraded.
    pub(crate) fn bulky(&self) -> bool {
        let long = match &*self.payload.borrow() {
            Payload::None => false,
            Payload::Kept(whole) => whole.len() > SMALL,
            Payload::Stream(_) | Payload::Spent => true,
        };
        long || self.notes.upgrade.is_some()
    }

    /// True when its client takes what a pod says before the answer: HTTP/1.0 knows no informational answers.
    pub(crate) fn takes_hints(&self) -> bool {
        self.version > Version::HTTP_10 && self.notes.upgrade.is_none()
    }

    /// True when it leaves HTTP wherever it goes. One with a body does not: a server may ignore the wish (RFC 9110 §7.8).
    pub(crate) fn crosses(&self) -> bool {
        self.notes.upgrade.is_some() && matches!(*self.payload.borrow(), Payload::None)
    }

    /// Takes back the body of a request of which nothing was sent.
    pub(crate) fn take_back(&self, body: RequestBody) {
        if let RequestBody::Streaming(body) | RequestBody::Held(_, body) = body {
            *self.payload.borrow_mut() = Payload::Stream(body);
        }
    }
}

async fn payload(method: &Method, body: Inflow, notes: &Notes, bounds: Bounds) -> Result<Payload, Failure> {
    let small = body.size_hint().exact().is_some_and(|size| size <= bounds.keep as u64);
    if bounds.come || small && idempotent(method) && !notes.expect_continue && notes.upgrade.is_none() {
        let whole = body.collect().await.map_err(|_| Failure::ClientBody)?;
        return Ok(Payload::Kept(whole.to_bytes()));
    }
    Ok(Payload::Stream(body))
}
