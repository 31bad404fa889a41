//! One attempt to open a raw connection: at a pod, or as a stream to another cluster's gateway, which opens it there.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use http::{HeaderValue, Method, Request, Uri};
use tokio::net::TcpStream;

use super::verdict::broken_stream;
use super::{Held, Try, judge};
use crate::balance::{Choice, TargetRef};
use crate::body::{Incoming, RequestBody};
use crate::failure::Kind;
use crate::health::Outcome;
use crate::http2::Unanswered;
use crate::hygiene::{TUNNEL, TUNNEL_TCP};
use crate::links::Seat;
use crate::outgoing::address_to_gateway;
use crate::pods::failure;
use crate::retry::{Counted, Failure};
use crate::route::{InFlight, RouteKey};
use crate::socket::{connect, patient};
use crate::tunnel::{self, Flow, Give};
use crate::worker::Worker;

/// A raw connection's far side. No byte of the client has been taken yet.
pub(crate) enum Opened {
    /// To a pod of this cluster.
    Pod(TcpStream, InFlight),
    /// A stream to another cluster's gateway, which is connected to a pod there.
    Stream(Stream),
}

/// A stream that carries a raw connection.
pub(crate) struct Stream {
    /// What the pod says.
    pub(crate) inflow: Incoming,
    /// Where the client's side goes in.
    pub(crate) give: Give,
    pub(crate) seat: Seat,
    pub(crate) flight: InFlight,
    pub(crate) counted: Counted,
}

/// Makes one attempt.
///
/// # Errors
/// How it failed; its outcome is recorded. Nothing was sent to a pod.
pub(crate) async fn open(worker: &Rc<Worker>, key: &RouteKey, choice: &Choice<'_>) -> Result<Opened, Failure> {
    let begun = Try::begin(worker, choice, Instant::now());
    match choice.target {
        TargetRef::Pod(address) => to_pod(begun, address).await,
        TargetRef::Gateway { cluster, address, .. } => {
            let Some(counted) = tunnel::admit(worker) else {
                return Err(begun.failed(Failure::Gateway { kind: Kind::Overloaded, touched: false }));
            };
            match worker.links.get(cluster, address).seat().await {
                Ok(seat) => through_gateway(begun, seat, key, counted).await,
                Err(failure) => Err(begun.failed(failure)),
            }
        }
    }
}

async fn to_pod(begun: Try<'_>, address: SocketAddr) -> Result<Opened, Failure> {
    match connect(address, begun.worker.shared.timeouts.connect_pod, patient()).await {
        Ok(pod) => {
            let now = Instant::now();
            let latency = now.saturating_duration_since(begun.began);
            Ok(Opened::Pod(pod, begun.answered(Outcome::Success { latency }, now)))
        }
        Err(error) => Err(begun.failed(failure(&error))),
    }
}

async fn through_gateway(begun: Try<'_>, seat: Seat, key: &RouteKey, counted: Counted) -> Result<Opened, Failure> {
    let (flow, give) = Flow::awaited();
    let sent = tokio::select! {
        biased;
        sent = seat.line().sender().send(asking(key, flow), None) => sent,
        // Nothing was said yet, so it can be asked for elsewhere at once.
        () = seat.line().suspicion() => return Err(begun.failed(Failure::NoLink)),
    };
    let response = match sent {
        Ok(response) => response,
        Err(unanswered) => {
            // Whatever became of the connection at the other end, no byte of the client was on it.
            let failure = match unanswered {
                Unanswered::Unsent(_) => Failure::Stale,
                Unanswered::Stream(error) if broken_stream(&error, seat.line().is_dead()) == Failure::TurnedAway => {
                    Failure::TurnedAway
                }
                Unanswered::Stream(_) | Unanswered::Body => Failure::NoLink,
            };
            return Err(begun.failed(failure));
        }
    };
    let opened = response.headers().contains_key(&TUNNEL);
    let reply = judge(begun, seat, response, None, &mut false)?;
    let Held::Stream(seat) = reply.held else { return Err(Failure::Broken) };
    if !opened {
        // A gateway that does not know the field took it for a request.
        return Err(Failure::Gateway { kind: Kind::Unknown, touched: false });
    }
    Ok(Opened::Stream(Stream { inflow: reply.response.into_body(), give, seat, flight: reply.flight, counted }))
}

/// The request for a connection to any endpoint of that port.
fn asking(key: &RouteKey, flow: Flow) -> Request<RequestBody> {
    let mut request = Request::new(RequestBody::Tunnel(flow));
    *request.method_mut() = Method::POST;
    let target = format!("http://{}.{}/", key.service.name(), key.service.namespace());
    *request.uri_mut() = Uri::try_from(target).expect("two DNS labels are an authority");
    let headers = request.headers_mut();
    address_to_gateway(headers, key);
    headers.insert(TUNNEL, HeaderValue::from_static(TUNNEL_TCP));
    request
}
