//! Raw connections and upgrades of another cluster's clients, to endpoints of this cluster.

use std::future::pending;
use std::rc::Rc;

use http::header::HeaderValue;
use http::{Response, StatusCode};
use tokio::net::TcpStream;

use super::Peer;
use crate::attempt::Reply;
use crate::body::{Incoming, ResponseBody};
use crate::exchange::Lost;
use crate::failure::Kind;
use crate::hygiene::{TUNNEL, TUNNEL_TCP, UPGRADE, clean_response};
use crate::pods::left_http;
use crate::relay::machine_gone;
use crate::retry::Counted;
use crate::route::InFlight;
use crate::serve::Answer;
use crate::tunnel::{Flow, Held, Pair, Side, carry, trusted};
use crate::worker::Worker;

/// A raw connection that stands: says so, and carries.
pub(super) fn connected(
    worker: &Rc<Worker>,
    peer: &Rc<Peer>,
    pod: TcpStream,
    inflow: Incoming,
    (flight, counted): (InFlight, Counted),
) -> Response<Answer> {
    let gone = machine_gone(&pod);
    let side = Side::Tcp(pod, bytes::Bytes::new());
    let held = Held { _counted: counted, _open: worker.metrics.crossing(), _flight: Some(flight), _seat: None };
    let mut response = Response::new(start(worker, peer, side, inflow, held, gone));
    response.headers_mut().insert(TUNNEL, HeaderValue::from_static(TUNNEL_TCP));
    response
}

/// An upgrade that the pod has granted: the pod's 101 travels as 200, which HTTP/2 has, with the protocol beside it.
///
/// # Errors
/// [`Kind::Broken`] when the pod left with its 101.
pub(super) async fn switched(
    worker: &Rc<Worker>,
    peer: &Rc<Peer>,
    mut reply: Reply,
    inflow: Incoming,
    counted: Counted,
) -> Result<Response<Answer>, Lost> {
    let broken = Lost { kind: Kind::Broken, touched: true };
    let (pod, said) = left_http(hyper::upgrade::on(&mut reply.response)).await.ok_or(broken)?;
    let Reply { response, mut flight, .. } = reply;
    flight.leave_place();
    let (mut head, _) = response.into_parts();
    let protocol = head.headers.get(http::header::UPGRADE).cloned().ok_or(broken)?;
    head.status = StatusCode::OK;
    clean_response(&mut head);
    head.headers.remove(http::header::CONTENT_LENGTH);
    head.headers.insert(UPGRADE, protocol);
    let held = Held { _counted: counted, _open: worker.metrics.crossing(), _flight: Some(flight), _seat: None };
    let body = start(worker, peer, Side::Upgraded(pod, said), inflow, held, pending());
    Ok(Response::from_parts(head, body))
}

/// Carries what the peer says to the pod until both have ended, the peer is one no more, or the pod's machine is gone; what the
/// pod says is the body of the answer.
fn start(
    worker: &Rc<Worker>,
    peer: &Rc<Peer>,
    pod: Side,
    inflow: Incoming,
    held: Held,
    gone: impl Future<Output = ()> + 'static,
) -> Answer {
    let (source, sink) = pod.split();
    let pair = Pair::new(held);
    let body = ResponseBody::Tunnel(Flow::open(source, &pair));
    let (worker, peer) = (worker.clone(), peer.clone());
    worker.tasks.clone().spawn_local(async move {
        let over = async {
            tokio::select! {
                () = trusted(&worker, &peer.cluster) => {}
                () = gone => {}
            }
        };
        carry(&worker, pair, inflow, sink, over).await;
    });
    body
}
