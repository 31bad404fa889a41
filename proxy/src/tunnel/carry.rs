//! The tasks that carry bytes until both directions have ended, something broke, or the daemon stops.

use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use http_body_util::BodyExt;
use strait_catalog::ClusterId;

use super::Pair;
use super::side::Sink;
use crate::body::Incoming;
use crate::shared::Phase;
use crate::socket::Broken;
use crate::worker::Worker;

/// How often the gateway asks whether a tunnel's cluster is still a peer.
const TRUST_LOOK: Duration = Duration::from_secs(1);

/// At the deadline itself all sockets are closed with FIN; until then there is time to say that they broke.
const TO_RESET: Duration = Duration::from_millis(100);

/// Carries what the other cluster says to this side, while its stream carries what this side says. Returns when both have
/// ended; breaks both when one breaks, when the daemon's time is over, or when `over` returns.
pub(crate) async fn carry(
    worker: &Worker,
    pair: Rc<Pair>,
    inflow: Incoming,
    mut sink: Sink,
    over: impl Future<Output = ()>,
) {
    let both = async {
        if pour(inflow, &mut sink, &pair).await.is_none() {
            pair.break_off();
        }
        pair.said.cancelled().await;
    };
    tokio::select! {
        biased;
        () = pair.broken.cancelled() => {}
        () = both => {}
        () = stopped(worker) => pair.break_off(),
        () = over => pair.break_off(),
    }
    if pair.is_broken() {
        sink.reset();
    }
}

/// One direction, to its end. `None` when it broke.
async fn pour(mut inflow: Incoming, sink: &mut Sink, pair: &Pair) -> Option<()> {
    let mut watch = Broken::default();
    loop {
        let frame = tokio::select! {
            biased;
            frame = inflow.frame() => frame,
            () = gone(sink, pair, &mut watch) => return None,
        };
        let Some(frame) = frame else { break };
        if let Ok(bytes) = frame.ok()?.into_data() {
            sink.write(&bytes).await.ok()?;
        }
    }
    sink.finish().await.ok()
}

/// Until this side, which has said its end, is gone. Before that whoever reads from it is told.
async fn gone(sink: &mut Sink, pair: &Pair, watch: &mut Broken) {
    pair.said.cancelled().await;
    poll_fn(|cx| sink.poll_gone(watch, cx)).await;
}

/// Until just before the deadline of a stop.
pub(crate) async fn stopped(worker: &Worker) {
    let mut phase = worker.phase.clone();
    let deadline = match phase.wait_for(|p| matches!(p, Phase::Stopping(_))).await.as_deref() {
        Ok(Phase::Stopping(deadline)) => *deadline,
        // Without a sender the process is at its end as well.
        _ => return,
    };
    tokio::time::sleep_until(deadline.checked_sub(TO_RESET).unwrap_or(deadline).into()).await;
}

/// Until a cluster is no longer a peer.
pub(crate) async fn trusted(worker: &Worker, cluster: &ClusterId) {
    while worker.shared.identity.trust().knows(cluster) {
        tokio::time::sleep(TRUST_LOOK).await;
    }
}
