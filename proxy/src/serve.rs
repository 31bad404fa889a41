//! One request of a client, from its head to the head of its answer. The stages stand in reading order.

use std::rc::Rc;
use std::time::Instant;

use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body::Body as _;

use crate::admission::{Urgency, admits};
use crate::attempt::{Held, Reply};
use crate::body::{Finish, Incoming, ResponseBody};
use crate::client::{Busy, LastOfRequest, LeftHttp, OneOfMany, Outflow, Visit};
use crate::deadline::Deadline;
use crate::door::Door;
use crate::exchange::{Lost, Scope, exchange};
use crate::extended_connect::{self, Asked};
use crate::failure::{Asker, Kind, answer, without_body};
use crate::health::{Outcome, grpc_outcome, is_grpc};
use crate::http2::{Given, Voice};
use crate::hygiene::{SERVED_BY, clean_request, clean_response, is_readable};
use crate::outgoing::{Bounds, Outgoing};
use crate::retry::Counted;
use crate::route::InFlight;
use crate::takeover::Takeover;
use crate::tunnel::{self, Crossing, Joining};
use crate::worker::Worker;

/// The body of any answer.
pub(crate) type Answer = ResponseBody<Passing>;

/// What is held until an answer's body has ended.
pub(crate) struct Passing {
    worker: Rc<Worker>,
    held: Held,
    flight: InFlight,
    under_way: UnderWay,
}

/// Counts of a request that is under way.
pub(crate) struct UnderWay {
    pub(crate) _request: Counted,
    pub(crate) _busy: Option<Busy>,
    /// Whether the client takes the answer; `None` where nobody has to look.
    pub(crate) outflow: Option<Rc<Outflow>>,
}

impl Finish for Passing {
    fn trailers(&mut self, trailers: &HeaderMap) {
        if self.flight.owes() {
            // Trailers without a status are an end without one.
            let told = |latency| grpc_outcome(trailers, latency).unwrap_or(Outcome::Broken);
            self.flight.settle(told, self.worker.shared.now_ms());
        }
    }

    fn broke(&mut self) {
        let now_ms = self.worker.shared.now_ms();
        if self.flight.owes() {
            self.flight.settle(|_| Outcome::Broken, now_ms);
        } else {
            self.flight.broke_off(now_ms);
        }
    }

    fn gave(&mut self, bytes: usize) {
        if let Some(outflow) = &self.under_way.outflow {
            outflow.gave(bytes, Instant::now());
        }
    }

    fn awaits(&mut self) {
        if let Some(outflow) = &self.under_way.outflow {
            outflow.has_room();
        }
    }

    fn finish(mut self, whole: bool) {
        // A call that is cut short by its client says nothing; one that ends without a status is broken.
        if whole && self.flight.owes() {
            self.broke();
        }
        if let (Held::Pod(key, sender), true) = (self.held, whole) {
            self.worker.pods.put(key, sender);
        }
    }
}

/// A request that came.
pub(crate) struct Came {
    /// When.
    pub(crate) began: Instant,
    /// Its connection is busy with it.
    pub(crate) busy: Busy,
    /// What the fast path has done for it.
    pub(crate) takeover: Option<Box<Takeover>>,
    /// What is said on its stream before the answer, over HTTP/2.
    pub(crate) voice: Option<Voice>,
    /// Gives that stream, should it leave HTTP.
    pub(crate) given: Option<Given>,
}

/// Answers one request of a client.
pub(crate) async fn serve(
    worker: &Rc<Worker>,
    door: &Rc<Door>,
    visit: &Rc<Visit>,
    mut request: Request<Incoming>,
    Came { began, busy, takeover, voice, given }: Came,
) -> Response<Answer> {
    let asked = extended_connect::asked(&mut request, given);
    let connects = asked.is_some();
    let (version, head_only) = (request.version(), request.method() == Method::HEAD);
    // What is refused by a 200 of gRPC would be taken for a grant.
    let grpc = !connects && is_grpc(request.headers());
    let under_way = UnderWay {
        _request: worker.requests.one(),
        _busy: Some(busy),
        // Who receives a stream of gRPC may take its time.
        outflow: visit.outflow().filter(|_| !grpc),
    };
    let gone = door.metrics.begin();
    let mut result = serve_admitted(worker, door, visit, (request, asked, takeover, voice), (began, grpc)).await;
    if connects && result.as_ref().is_ok_and(|(reply, _)| extended_connect::misleads(reply.response.status())) {
        result = Err(Kind::NotUpgraded);
    }
    // What was ambiguous in one request may have hidden another: nothing more is read after it.
    let refused = matches!(result, Err(Kind::Request(_)));
    // Somebody waits for the rest of its body: that is not to be taken for a request, nor a request for that.
    let owing = visit.clock.is_coming();
    let latency = began.elapsed();
    gone.answered();
    visit.clock.answer_begins();
    let mut response = match result {
        Ok((reply, cluster)) => {
            door.speaks_http.set(true);
            door.metrics.answered(&cluster, reply.response.status(), latency);
            passed(worker, reply, under_way, |head| {
                head.headers.insert(SERVED_BY, worker.named(&cluster));
                head.headers.append(header::VIA, visit.trace.via(Version::HTTP_11).clone());
            })
            .await
        }
        Err(kind) => {
            door.metrics.failed(kind, latency);
            visit.outflow().iter().for_each(|outflow| outflow.gave(0, began + latency));
            let own = answer(kind, grpc, Asker::Client, worker.with_rng(|rng| rng.u32(..)));
            if head_only { without_body(own) } else { own }.map(ResponseBody::Own)
        }
    };
    if connects {
        extended_connect::translate(&mut response);
    }
    if version == Version::HTTP_2 {
        response.headers_mut().entry(header::DATE).or_insert_with(|| worker.date());
    }
    // Its length is told by its end alone.
    let endless = version < Version::HTTP_11 && response.body().size_hint().exact().is_none();
    let ends = refused || endless || owing || !visit.may_stay(worker, began + latency);
    if ends && version < Version::HTTP_2 && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        // To an old client hyper would add that it stays open, if the answer were not as old.
        *response.version_mut() = version;
    }
    response
}

/// Admission, header hygiene, body, route, attempts.
async fn serve_admitted(
    worker: &Rc<Worker>,
    door: &Rc<Door>,
    visit: &Rc<Visit>,
    (request, asked, takeover, voice): (Request<Incoming>, Option<Asked>, Option<Box<Takeover>>, Option<Voice>),
    (began, grpc): (Instant, bool),
) -> Result<(Reply, strait_catalog::ClusterId), Kind> {
    let urgency = Urgency::of(request.headers());
    // What was admitted on the fast path is under way.
    let admitted = takeover.is_some();
    if !admitted && !admits(worker.requests.under_way(), worker.shared.limits.requests, urgency) {
        return Err(Kind::Overloaded);
    }
    let upgrade = request.headers().contains_key(header::UPGRADE).then(|| visit.may_leave_http());
    // Who leaves HTTP needs HTTP/1.1.
    let to_pods = door.speech.to_pods(request.version() == Version::HTTP_2 && asked.is_none(), grpc);
    let (mut head, body) = request.into_parts();
    let mut notes = clean_request(&mut head, worker.shared.limits.target_bytes).map_err(Kind::Request)?;
    head.headers.entry(header::HOST).or_insert_with(|| door.host.clone());
    visit.trace.stamp(&mut head).map_err(Kind::Request)?;
    let mut upgrade = upgrade.filter(|_| notes.upgrade.is_some());
    if let Some(Asked { protocol, given }) = asked {
        let counted = tunnel::admit(worker).ok_or(Kind::Overloaded)?;
        worker.with_rng(|rng| extended_connect::complete(&mut head.headers, &protocol, rng));
        let left = LeftHttp::Stream(given, OneOfMany { _counted: counted, _busy: visit.busy(began) });
        (notes.upgrade, upgrade) = (Some(protocol), Some(left));
    }

    let chosen = takeover.as_ref().map(|takeover| takeover.chosen.route().clone());
    let route = chosen.or_else(|| door.route(worker)).ok_or(Kind::NoEndpoints)?;
    if !admitted && route.shed(urgency, worker.shared.ms_at(began)) {
        return Err(Kind::Overloaded);
    }
    let limit = route.policy.request(&worker.shared.timeouts);
    let deadline = Deadline::new(began.into(), limit, &head.headers, grpc);
    // The fast path reads a request to its end before it does anything for it.
    let bounds = Bounds::of(&worker.shared.limits, &worker.shared.timeouts, deadline).come(admitted);
    let last = LastOfRequest::of(visit, head.version, body.is_end_stream());
    let mut outgoing = Outgoing::read(head, body, notes, upgrade, to_pods, bounds, last).await?;
    if takeover.as_ref().is_some_and(|takeover| takeover.has_hints()) {
        door.hints.note_heard();
    }
    outgoing.takeover = takeover;
    outgoing.hints = outgoing.takes_hints().then(|| visit.hint_sink(voice.as_ref())).flatten();
    let (mut reply, cluster) =
        exchange(worker, &route, Scope::Anywhere, &outgoing).await.map_err(|lost: Lost| lost.kind)?;
    outgoing.may_break(&reply.flight);
    if !is_readable(&outgoing.method, &reply.response) {
        return Err(Kind::Coding);
    }
    if reply.response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let client = outgoing.upgrade.take().ok_or(Kind::Broken)?;
        let pod = hyper::upgrade::on(&mut reply.response);
        reply.held = match reply.held {
            Held::Crossing(crossing) => Held::Crossing(Crossing { client: Some(client), ..crossing }),
            held => Held::Joining(Joining { client, pod, over: Box::new(held) }),
        };
    }
    Ok((reply, cluster))
}

/// An answer as it goes back: the head cleaned, the body passed through as it comes.
pub(crate) async fn passed(
    worker: &Rc<Worker>,
    reply: Reply,
    under_way: UnderWay,
    finish_head: impl FnOnce(&mut http::response::Parts),
) -> Response<Answer> {
    let Reply { response, flight, held } = reply;
    let (mut head, body) = response.into_parts();
    clean_response(&mut head);
    finish_head(&mut head);
    let held = match held {
        Held::Crossing(crossing) => {
            crossing.start(worker, body, flight);
            return Response::from_parts(head, ResponseBody::Own(None));
        }
        Held::Joining(joining) => {
            joining.start(worker, flight);
            return Response::from_parts(head, ResponseBody::Own(None));
        }
        held => held,
    };
    let passing = Passing { worker: worker.clone(), held, flight, under_way };
    Response::from_parts(head, ResponseBody::passed(body, passing).await)
}
