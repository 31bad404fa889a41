//! One request of another cluster's proxy: authorised, then sent to an endpoint of this cluster only.

use std::rc::Rc;
use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use strait_catalog::{Protocol, ServiceKey, Snapshot};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{Peer, tunnel};
use crate::admission::{Urgency, admits};
use crate::attempt::{Opened, Reply};
use crate::body::{Incoming, ResponseBody};
use crate::deadline::Deadline;
use crate::exchange::{Lost, Scope, exchange};
use crate::failure::{Asker, Kind, answer, without_body};
use crate::health::is_grpc;
use crate::http2::Voice;
use crate::hygiene::{
    self, HOP, LOAD, PORT, REPEATED, Refused, SERVICE, TUNNEL, TUNNEL_TCP, UPGRADE, VERSION, clean_request, is_readable,
};
use crate::outgoing::{Bounds, Outgoing};
use crate::plan::{Speech, speech};
use crate::relay::reach;
use crate::retry::{Allowance, Counted};
use crate::route::{InFlight, RouteKey, ServiceRoute};
use crate::serve::{Answer, UnderWay, passed};
use crate::tunnel::admit;
use crate::worker::Worker;

/// What became of an authorised request.
enum Granted {
    /// A pod answered.
    Answered(Reply),
    /// A pod left HTTP.
    Switched(Reply, Incoming, Counted),
    /// A pod is connected.
    Connected(TcpStream, Incoming, (InFlight, Counted)),
}

/// Answers one request of a peer; `voice` is that of its stream.
pub(super) async fn serve(
    worker: &Rc<Worker>,
    peer: &Rc<Peer>,
    request: Request<Incoming>,
    voice: &Voice,
) -> Response<Answer> {
    let (grpc, head_only) = (is_grpc(request.headers()), request.method() == Method::HEAD);
    let under_way = UnderWay { _request: worker.requests.one(), _busy: None, outflow: None };
    let mut report = None;
    let result = match admitted(worker, peer, (request, voice), &mut report).await {
        Ok(Granted::Answered(reply)) => {
            peer.metrics.answered(reply.response.status());
            Ok(passed(worker, reply, under_way, |_| {}).await)
        }
        Ok(Granted::Switched(reply, inflow, counted)) => {
            peer.metrics.answered(StatusCode::SWITCHING_PROTOCOLS);
            tunnel::switched(worker, peer, reply, inflow, counted).await
        }
        Ok(Granted::Connected(pod, inflow, held)) => {
            peer.metrics.answered(StatusCode::OK);
            Ok(tunnel::connected(worker, peer, pod, inflow, held))
        }
        Err(lost) => Err(lost),
    };
    let load = report.and_then(|route| worker.reports.of(&route, worker.shared.now_ms()));
    let mut response = result.unwrap_or_else(|lost| {
        peer.metrics.failed(lost.kind);
        let random = worker.with_rng(|rng| rng.u32(..));
        let own = answer(lost.kind, grpc, Asker::Proxy { touched: lost.touched }, random);
        if head_only { without_body(own) } else { own }.map(ResponseBody::Own)
    });
    if let Some(load) = load {
        response.headers_mut().insert(LOAD, load);
    }
    response
}

async fn admitted(
    worker: &Rc<Worker>,
    peer: &Peer,
    (request, voice): (Request<Incoming>, &Voice),
    report: &mut Option<Arc<ServiceRoute>>,
) -> Result<Granted, Lost> {
    let refuse = |kind| Lost { kind, touched: false };
    let (mut head, body) = request.into_parts();
    let snapshot = worker.shared.published.load();
    if !worker.shared.identity.trust().knows(&peer.cluster) {
        return Err(refuse(Kind::NotTrusted));
    }
    let (key, speech) = authorise(&snapshot, &head).map_err(refuse)?;
    let grpc = is_grpc(&head.headers);
    let deadline =
        Deadline::new(Instant::now(), worker.shared.timeouts.request, &head.headers, grpc).carried(&head.headers);
    let repeated = head.headers.get(REPEATED).cloned();
    let to_pods = speech.to_pods(text(&head.headers, &VERSION) == Some("2"), grpc);
    let route = worker.with_routes(|table| table.get(&key).cloned()).ok_or_else(|| refuse(Kind::NoEndpoints))?;
    *report = Some(route.clone());
    let urgency = Urgency::of(&head.headers);
    if !admits(worker.requests.under_way(), worker.shared.limits.requests, urgency) || route.shed_inbound(urgency) {
        return Err(refuse(Kind::Overloaded));
    }
    if head.headers.contains_key(TUNNEL) {
        if text(&head.headers, &TUNNEL) != Some(TUNNEL_TCP) {
            return Err(refuse(Kind::Request(Refused::Connect)));
        }
        let counted = admit(worker).ok_or_else(|| refuse(Kind::Overloaded))?;
        let newest = || worker.with_routes(|table| table.get(&key).cloned());
        let (opened, _) = reach(worker, newest, Scope::Local).await.map_err(refuse)?;
        let Opened::Pod(pod, flight) = opened else { return Err(refuse(Kind::NoEndpoints)) };
        return Ok(Granted::Connected(pod, body, (flight, counted)));
    }
    let upgrade = head.headers.get(UPGRADE).cloned();
    let request_refused = |refused| refuse(Kind::Request(refused));
    let mut notes = clean_request(&mut head, worker.shared.limits.target_bytes).map_err(request_refused)?;
    peer.trace.stamp_via(&mut head).map_err(request_refused)?;
    if let Some(protocol) = upgrade.and_then(wish) {
        let counted = admit(worker).ok_or_else(|| refuse(Kind::Overloaded))?;
        notes.upgrade = Some(protocol);
        let outgoing = Outgoing::upgrade(head, notes, deadline);
        spare(&outgoing, repeated.as_ref());
        let (reply, _) = exchange(worker, &route, Scope::Local, &outgoing).await?;
        return match reply.response.status() {
            StatusCode::SWITCHING_PROTOCOLS => Ok(Granted::Switched(reply, body, counted)),
            _ => passable(worker, &outgoing, reply),
        };
    }
    let bounds = Bounds::of(&worker.shared.limits, &worker.shared.timeouts, deadline);
    let mut outgoing = Outgoing::read(head, body, notes, None, to_pods, bounds, None).await.map_err(refuse)?;
    outgoing.hints = peer.hints.sink_of_stream(voice);
    spare(&outgoing, repeated.as_ref());
    let (reply, _) = exchange(worker, &route, Scope::Local, &outgoing).await?;
    outgoing.may_break(&reply.flight);
    passable(worker, &outgoing, reply)
}

/// A pod's answer, if a link can carry it.
fn passable(worker: &Worker, outgoing: &Outgoing, reply: Reply) -> Result<Granted, Lost> {
    let headers = reply.response.headers();
    // A head that is too long would end the link, with what others have on it.
    let long = head_bytes(headers) > worker.shared.limits.head_bytes;
    // Nobody asked for that, and HTTP/2 has no such status.
    let switched = reply.response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let kind = match is_readable(&outgoing.method, &reply.response) {
        true if !long && !switched => return Ok(Granted::Answered(reply)),
        true => Kind::Broken,
        false => Kind::Coding,
    };
    Err(Lost { kind, touched: true })
}

/// What its own cluster has repeated, or wants sent once ([`REPEATED`]), is shown to one pod only.
fn spare(outgoing: &Outgoing, repeated: Option<&HeaderValue>) {
    if let Some(repeated) = repeated {
        outgoing.allow(Allowance::ONCE);
        if repeated != "0" {
            outgoing.note_repeated();
        }
    }
}

/// The protocol that the client behind a peer asks for, by the rules for this cluster's own clients.
fn wish(protocol: HeaderValue) -> Option<HeaderValue> {
    hygiene::upgrade(&HeaderMap::from_iter([(header::UPGRADE, protocol)]))
}

/// What the request is for, if it may cross: it has crossed once, and this cluster exports that port of that service
/// at this moment. Who asks was settled by the handshake. Also what is spoken on that port.
fn authorise(snapshot: &Snapshot, head: &Parts) -> Result<(RouteKey, Speech), Kind> {
    if text(&head.headers, &HOP) != Some("1") {
        return Err(Kind::Hop);
    }
    let service = text(&head.headers, &SERVICE).and_then(|s| ServiceKey::parse(s).ok()).ok_or(Kind::NotExported)?;
    let port: u16 = text(&head.headers, &PORT).and_then(|p| p.parse().ok()).ok_or(Kind::NotExported)?;
    let own = snapshot.service(&service).and_then(|view| view.backends.get(&snapshot.local));
    let backend = own.filter(|backend| backend.exported()).ok_or(Kind::NotExported)?;
    let found = backend.ports.iter().find(|p| p.port == u32::from(port) && p.protocol() == Protocol::Tcp);
    let found = found.ok_or(Kind::NotExported)?;
    Ok((RouteKey { service, port }, speech(&found.name, &found.app_protocol)))
}

fn text<'h>(headers: &'h HeaderMap, name: &http::HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(one), None) => one.to_str().ok(),
        _ => None,
    }
}

/// Bytes of the lines of a head, beside what separates them.
fn head_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}
