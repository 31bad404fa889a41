//! Ports that do not speak HTTP: bytes both ways between a client and a pod of this cluster.
//!
//! Only endpoints of the own cluster serve such ports so far: raw connections do not cross clusters yet.

use std::io;
use std::rc::Rc;

use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;

use crate::balance::{Attempted, TargetRef, pick_local_only};
use crate::door::Door;
use crate::health::Outcome;
use crate::retry::MAX_CHEAP;
use crate::route::InFlight;
use crate::shared::Phase;
use crate::socket::{Patience, connect, pod_patience};
use crate::worker::Worker;

/// Relays one connection. A client that cannot be served is closed.
pub(crate) async fn relay(worker: &Rc<Worker>, door: &Rc<Door>, mut client: TcpStream) {
    let gone = door.metrics.begin();
    let began = std::time::Instant::now();
    let Some((mut pod, flight)) = reach(worker, door).await else {
        gone.answered();
        door.metrics.failed(crate::failure::Kind::NoEndpoints, began.elapsed());
        return;
    };
    gone.answered();
    door.metrics.answered(&worker.shared.local, http::StatusCode::OK, began.elapsed());
    let mut phase = worker.phase.clone();
    let stopped = async {
        let deadline = match phase.wait_for(|p| matches!(p, Phase::Stopping(_))).await.as_deref() {
            Ok(Phase::Stopping(deadline)) => *deadline,
            _ => return,
        };
        tokio::time::sleep_until(deadline.into()).await;
    };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut pod) => {}
        () = stopped => {}
    }
    drop(flight);
}

/// Connects to a pod, another one after each failure: nothing was sent yet.
async fn reach(worker: &Rc<Worker>, door: &Rc<Door>) -> Option<(TcpStream, InFlight)> {
    let route = door.route(worker)?;
    let patience = Patience { unacked: std::time::Duration::from_secs(10), ..pod_patience(std::time::Duration::ZERO) };
    let mut tried = Attempted::none();
    for _ in 0..MAX_CHEAP {
        let now_ms = worker.shared.now_ms();
        let choice = worker.with_rng(|rng| pick_local_only(&route, rng, now_ms, &tried))?;
        let TargetRef::Pod(address) = choice.target else { return None };
        let flight = choice.begin();
        let began = std::time::Instant::now();
        let outcome = match connect(address, worker.shared.timeouts.connect_pod, patience).await {
            Ok(pod) => {
                flight.record(Outcome::Success { latency: began.elapsed() }, worker.shared.now_ms());
                return Some((pod, flight));
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Outcome::ConnectTimeout,
            Err(_) => Outcome::Refused,
        };
        flight.record(outcome, worker.shared.now_ms());
        tried.note(&choice);
    }
    None
}
