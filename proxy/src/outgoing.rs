//! A request as it leaves: the cleaned head, the body or what is left of it, and the forms it takes for a pod and for
//! a gateway.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, StatusCode, Uri, Version};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::admission::Urgency;
use crate::body::{Hold, Inflow, Movement, Patience, Released, RequestBody};
use crate::client::{HintSink, LastOfRequest, LeftHttp};
use crate::config::{Limits, Timeouts};
use crate::deadline::Deadline;
use crate::failure::Kind;
use crate::health::is_grpc;
use crate::hygiene::{self, HOP, Notes, PORT, REPEATED, SERVICE, UPGRADE, VERSION};
use crate::plan::PodSpeech;
use crate::retry::{Allowance, Failure, Left, idempotent};
use crate::route::RouteKey;
use crate::tunnel::Flow;

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
    /// What is kept has come by then.
    deadline: Deadline,
    /// For what is passed through.
    patience: Patience,
}

impl Bounds {
    /// As configured, for a request with that deadline.
    pub(crate) const fn of(limits: &Limits, timeouts: &Timeouts, deadline: Deadline) -> Self {
        let patience = Patience { stall: timeouts.body, whole: timeouts.upload };
        Self { keep: limits.replay_bytes, deadline, patience }
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
}

impl Outgoing {
    /// Takes a cleaned request over. A small body of an idempotent request is read now, so that it can be replayed; it
    /// has until the deadline to come. `last` is told when the last of a body has come.
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
            // Streams of gRPC may be silent for as long as they like, and have no end.
            let patience = (!is_grpc(&head.headers)).then_some(bounds.patience);
            let inflow = Inflow::new(body, patience, last);
            movement = Some(inflow.movement());
            let reading = payload(&head.method, inflow, &notes, bounds.keep);
            let read = tokio::time::timeout_at(bounds.deadline.at(), reading).await.map_err(|_| Kind::Timeout)?;
            read.map_err(Failure::kind)?
        };
        let waited = matches!(payload, Payload::Kept(_));
        Ok(Self {
            method: head.method,
            uri: head.uri,
            headers: head.headers,
            version: head.version,
            notes,
            payload: RefCell::new(payload),
            movement: movement.filter(|_| !waited),
            deadline: if waited { bounds.deadline.complete_at(Instant::now()) } else { bounds.deadline },
            repeated: Cell::new(false),
            allowance: Cell::default(),
            resent: Cell::new(false),
            to_pods,
            upgrade,
            hints: None,
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
        }
    }

    /// The moment to which `end` moves because the body has moved less than `limit` ago: the time for an answer begins
    /// when the last of the request is sent. `None` when it stays.
    pub(crate) fn later(&self, limit: Duration, end: Instant) -> Option<Instant> {
        let later = self.deadline.within_call(self.movement.as_ref()?.last() + limit);
        (later > end).then_some(later)
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

    /// Sets how often it may be sent.
    pub(crate) fn allow(&self, allowance: Allowance) {
        self.allowance.set(allowance);
    }

    /// How often it may be sent.
    pub(crate) const fn allowance(&self) -> Allowance {
        self.allowance.get()
    }

    /// Notes that it was sent to its pod a second time, since the connection ended under the first.
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

    /// True when its body is streamed or the connection will be upgraded.
    pub(crate) fn bulky(&self) -> bool {
        matches!(*self.payload.borrow(), Payload::Stream(_) | Payload::Spent) || self.notes.upgrade.is_some()
    }

    /// True when its client takes what a pod says before the answer: HTTP/1.0 knows no informational answers.
    pub(crate) fn takes_hints(&self) -> bool {
        self.version == Version::HTTP_11 && self.to_pods == PodSpeech::Http1 && self.notes.upgrade.is_none()
    }

    /// The request as a pod gets it, over HTTP/1.1.
    pub(crate) fn for_pod(&self) -> Request<RequestBody> {
        let mut request = self.request(self.uri.clone());
        let headers = request.headers_mut();
        if let Some(protocol) = &self.notes.upgrade {
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(header::UPGRADE, protocol.clone());
        } else if self.notes.te_trailers {
            headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
        if let RequestBody::Streaming(_) = request.body()
            && self.notes.expect_continue
        {
            return hold_back(request);
        }
        request.headers_mut().remove(header::EXPECT);
        if let Some(hints) = self.hints.clone() {
            hyper::ext::on_informational(&mut request, move |said| {
                if said.status() == StatusCode::EARLY_HINTS {
                    hints.heard(said.headers());
                }
            });
        }
        request
    }

    /// The request as a pod gets it that speaks HTTP/2.
    ///
    /// # Errors
    /// [`hygiene::Refused`] when there is no host to make `:authority` of.
    pub(crate) fn for_h2c_pod(&self) -> Result<Request<RequestBody>, hygiene::Refused> {
        let uri = hygiene::absolute(&self.uri, self.headers.get(header::HOST))?;
        let mut request = self.request(uri);
        *request.version_mut() = Version::HTTP_2;
        let headers = request.headers_mut();
        headers.remove(header::HOST);
        headers.remove(header::EXPECT);
        if self.notes.te_trailers {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
        Ok(request)
    }

    /// True when it leaves HTTP wherever it goes. One with a body does not: a server may ignore the wish (RFC 9110 §7.8).
    pub(crate) fn crosses(&self) -> bool {
        self.notes.upgrade.is_some() && matches!(*self.payload.borrow(), Payload::None)
    }

    /// The request as another cluster's gateway gets it, over HTTP/2. One that [crosses](Self::crosses) has `flow` for a
    /// body, which waits until the pod there has left HTTP.
    ///
    /// # Errors
    /// As [`Self::for_h2c_pod`].
    pub(crate) fn for_gateway(
        &self,
        key: &RouteKey,
        flow: Option<Flow>,
    ) -> Result<Request<RequestBody>, hygiene::Refused> {
        let mut request = self.for_h2c_pod()?;
        let expects = self.notes.expect_continue && matches!(request.body(), RequestBody::Streaming(_));
        let headers = request.headers_mut();
        address_to_gateway(headers, key);
        if expects {
            // The pod there decides; its gateway holds the body until it has.
            headers.insert(header::EXPECT, HeaderValue::from_static("100-continue"));
        }
        headers.insert(VERSION, HeaderValue::from_static(if self.version == Version::HTTP_2 { "2" } else { "1.1" }));
        self.deadline.tell_gateway(headers);
        if self.repeated() {
            headers.insert(REPEATED, HeaderValue::from_static("1"));
        } else if !self.allowance().replays() {
            headers.insert(REPEATED, HeaderValue::from_static("0"));
        }
        if let (Some(flow), Some(protocol)) = (flow, &self.notes.upgrade) {
            headers.insert(UPGRADE, protocol.clone());
            *request.body_mut() = RequestBody::Tunnel(flow);
        }
        Ok(request)
    }

    fn request(&self, uri: Uri) -> Request<RequestBody> {
        let body = match &mut *self.payload.borrow_mut() {
            Payload::None => RequestBody::Empty,
            Payload::Kept(bytes) => RequestBody::Kept(Some(bytes.clone())),
            stream => match std::mem::replace(stream, Payload::Spent) {
                Payload::Stream(body) => RequestBody::Streaming(body),
                _ => RequestBody::Empty,
            },
        };
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        self.deadline.tell(request.headers_mut());
        request
    }

    /// Takes back a request that hyper did not begin to send.
    pub(crate) fn take_back(&self, request: Request<RequestBody>) {
        if let RequestBody::Streaming(body) | RequestBody::Held(_, body) = request.into_body() {
            *self.payload.borrow_mut() = Payload::Stream(body);
        }
    }
}

/// Names service, port and hop for a gateway.
pub(crate) fn address_to_gateway(headers: &mut HeaderMap, key: &RouteKey) {
    let service = HeaderValue::try_from(key.service.to_string()).expect("two DNS labels and a slash");
    headers.insert(SERVICE, service);
    headers.insert(PORT, HeaderValue::from(key.port));
    headers.insert(HOP, HeaderValue::from_static("1"));
}

async fn payload(method: &Method, body: Inflow, notes: &Notes, keep: usize) -> Result<Payload, Failure> {
    let small = body.size_hint().exact().is_some_and(|size| size <= keep as u64);
    if small && idempotent(method) && !notes.expect_continue && notes.upgrade.is_none() {
        let whole = body.collect().await.map_err(|_| Failure::ClientBody)?;
        return Ok(Payload::Kept(whole.to_bytes()));
    }
    Ok(Payload::Stream(body))
}

/// Keeps `Expect` and holds the body until the pod says 100.
fn hold_back(request: Request<RequestBody>) -> Request<RequestBody> {
    let (hold, released) = Hold::new();
    let mut request = request.map(|body| match body {
        RequestBody::Streaming(body) => RequestBody::Held(hold, body),
        other => other,
    });
    release_on_continue(&mut request, released);
    request
}

fn release_on_continue(request: &mut Request<RequestBody>, released: Released) {
    hyper::ext::on_informational(request, move |response| {
        if response.status() == StatusCode::CONTINUE {
            released.release();
        }
    });
}
