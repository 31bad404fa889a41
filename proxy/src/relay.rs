//! Ports that do not speak HTTP: bytes both ways between a client and a pod, of this cluster or of another one.
//!
//! The cluster is chosen by the shares, as for a request, and an attempt that fails is followed by another endpoint's and
//! then by another cluster's: the client's first byte is read only when its far side stands.

use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use strait_catalog::ClusterId;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::attempt::{Opened, Stream, open};
use crate::balance::Attempted;
use crate::door::Door;
use crate::exchange::{FOR_NEWS, Scope, choose, pause};
use crate::failure::Kind;
use crate::retry::{Left, Next, Tally, next};
use crate::route::{InFlight, ServiceRoute};
use crate::socket::fallen_silent;
use crate::tunnel::{Held, Pair, Side, both_ways, carry, stopped};
use crate::worker::Worker;

/// Relays one connection. A client that cannot be served is reset.
pub(crate) async fn relay(worker: &Rc<Worker>, door: &Rc<Door>, client: Side) {
    let gone = door.metrics.begin();
    let began = std::time::Instant::now();
    let reached = reach(worker, || door.route(worker), Scope::Anywhere).await;
    gone.answered();
    match reached {
        Ok((opened, cluster)) => {
            door.metrics.answered(&cluster, StatusCode::OK, began.elapsed());
            match opened {
                Opened::Pod(pod, flight) => here(worker, client, pod, flight).await,
                Opened::Stream(stream) => across(worker, client, stream).await,
            }
        }
        Err(kind) => {
            door.metrics.failed(kind, began.elapsed());
            client.reset();
        }
    }
}

/// Two sockets, until both have ended or one breaks.
async fn here(worker: &Worker, client: Side, mut pod: TcpStream, flight: InFlight) {
    let Side::Tcp(mut client, ahead) = client else { return };
    let _open = worker.metrics.tunnel();
    let gone = machine_gone(&pod);
    let well = tokio::select! {
        joined = both_ways((&mut client, &mut pod), (ahead, Bytes::new()), &worker.scratch) => joined.is_ok(),
        () = gone => false,
        () = stopped(worker) => false,
    };
    if !well {
        Side::Tcp(client, Bytes::new()).reset();
        Side::Tcp(pod, Bytes::new()).reset();
    }
    drop(flight);
}

/// Returns when the machine that the pod runs on has fallen silent.
pub(crate) fn machine_gone(pod: &TcpStream) -> impl Future<Output = ()> + use<> {
    let watched = pod.as_fd().try_clone_to_owned();
    async move {
        match watched {
            Ok(watched) => fallen_silent(watched).await,
            // Without a descriptor for it there is no watch, and the connection is as good as any other.
            Err(_) => std::future::pending().await,
        }
    }
}

/// A socket and a stream to another cluster.
async fn across(worker: &Worker, client: Side, stream: Stream) {
    let Stream { inflow, give, seat, flight, counted } = stream;
    let held = Held { _counted: counted, _open: worker.metrics.crossing(), _flight: Some(flight), _seat: Some(seat) };
    let (source, sink) = client.split();
    let pair = Pair::new(held);
    give.give(source, &pair);
    carry(worker, pair, inflow, sink, std::future::pending()).await;
}

/// Opens a connection to an endpoint, another one after each failure: nothing was sent yet. Like a request, what failed
/// everywhere is held for a while.
///
/// # Errors
/// The last failure, or what kept it from being tried at all.
pub(crate) async fn reach(
    worker: &Rc<Worker>,
    newest: impl Fn() -> Option<Arc<ServiceRoute>>,
    scope: Scope,
) -> Result<(Opened, ClusterId), Kind> {
    let timeouts = &worker.shared.timeouts;
    let deadline = Instant::now() + timeouts.request;
    let (mut tried, mut tally) = (Attempted::none(), Tally::default());
    let (mut held_since, mut waiting_since) = (None, None);
    let mut kind = Kind::NoEndpoints;
    loop {
        let route = newest().ok_or(Kind::NoEndpoints)?;
        let Some(choice) = choose(worker, &route, scope, &tried, Instant::now()) else {
            let news = scope == Scope::Anywhere && worker.shared.is_new();
            if news && pause(&mut waiting_since, FOR_NEWS.min(timeouts.request)).await {
                continue;
            }
            return Err(kind);
        };
        if choice.repeated && !pause(&mut held_since, timeouts.hold).await {
            return Err(kind);
        }
        let attempt = tokio::time::timeout_at(deadline, open(worker, &route.key, &choice));
        let failure = match attempt.await {
            Ok(Ok(opened)) => return Ok((opened, choice.cluster.clone())),
            Ok(Err(failure)) => failure,
            Err(_) => return Err(Kind::Timeout),
        };
        kind = failure.kind();
        tally.note(failure);
        let left = deadline.saturating_duration_since(Instant::now());
        match next(failure, &Method::CONNECT, Left::Unsent, tally, route.policy.allowance().sent, left) {
            Next::Again => {}
            Next::Hold if pause(&mut held_since, timeouts.hold).await => {}
            _ => return Err(kind),
        }
        worker.metrics.retry(failure);
        if !failure.blames_connection() {
            tried.note(&choice);
        }
    }
}
