//! Checks of pods by a connection of our own, a few at a time, on the control thread.

use std::io;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::balance::Check;
use crate::health::{Outcome, Reason};
use crate::metrics::CheckMetrics;
use crate::shared::Shared;
use crate::socket::{connect, hasty};

/// Checks that wait; those that do not fit are asked for again.
pub(crate) const QUEUE: usize = 64;
/// Checks under way at once.
const AT_ONCE: usize = 16;
/// Between two that begin, give or take half: at most 50 a second from this node.
const GAP: Duration = Duration::from_millis(20);

/// Makes the checks that are asked for, until stopped.
pub(crate) async fn check(shared: &Shared, mut asked: mpsc::Receiver<Check>, stop: &CancellationToken) {
    let metrics = CheckMetrics::new();
    let mut running = FuturesUnordered::new();
    let mut next = Instant::now();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Some(()) = running.next(), if !running.is_empty() => {}
            received = after(next, asked.recv()), if running.len() < AT_ONCE => {
                let Some(check) = received else { return };
                if begins(&check, shared.now_ms()) {
                    next = Instant::now() + GAP.mul_f64(0.5 + fastrand::f64());
                    running.push(one(shared, check, &metrics));
                }
            }
        }
    }
}

/// Dropped before the moment has come, nothing was received.
async fn after<T>(moment: Instant, received: impl Future<Output = T>) -> T {
    sleep_until(moment).await;
    received.await
}

/// What was asked for may be known by now. An ejected pod has one probation at a time, whoever makes it.
fn begins(check: &Check, now_ms: u64) -> bool {
    match check.reason {
        Reason::Probation => check.slot.claim_probation(now_ms),
        Reason::Idle => check.slot.in_flight() == 0,
    }
}

async fn one(shared: &Shared, check: Check, metrics: &CheckMetrics) {
    let connected = connect(check.address, shared.timeouts.connect_pod, hasty()).await;
    let (slot, now_ms) = (&check.slot, shared.now_ms());
    match connected.map_err(|error| verdict(error.kind())) {
        Ok(_closed_at_once) => {
            metrics.passed();
            slot.connected(now_ms);
        }
        Err(Some(outcome)) => {
            metrics.failed();
            tracing::debug!(pod = %slot.target(), reason = ?check.reason, ?outcome, "a check could not connect to a pod");
            slot.record(outcome, now_ms);
        }
        // The fault is on this side: no more sockets, say.
        Err(None) => {}
    }
}

/// What a failed connection says of the pod.
const fn verdict(kind: io::ErrorKind) -> Option<Outcome> {
    match kind {
        io::ErrorKind::TimedOut => Some(Outcome::ConnectTimeout),
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable => Some(Outcome::Refused),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_pod_did_is_held_against_it() {
        for (kind, outcome) in [
            (io::ErrorKind::TimedOut, Some(Outcome::ConnectTimeout)),
            (io::ErrorKind::ConnectionRefused, Some(Outcome::Refused)),
            (io::ErrorKind::HostUnreachable, Some(Outcome::Refused)),
            (io::ErrorKind::AddrNotAvailable, None),
            (io::ErrorKind::Other, None),
        ] {
            assert_eq!(verdict(kind), outcome, "{kind:?}");
        }
    }
}
