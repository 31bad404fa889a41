//! Two upgraded connections joined (WebSocket and the like): bytes both ways until either side ends.

use std::rc::Rc;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

use crate::shared::Phase;
use crate::worker::Worker;

/// Joins the client's and the pod's side once both have left HTTP. Ends at the deadline of a stop.
pub(crate) fn join(worker: &Rc<Worker>, client: OnUpgrade, pod: OnUpgrade) {
    let mut phase = worker.phase.clone();
    let open = worker.metrics.tunnel();
    worker.tasks.spawn_local(async move {
        let _open = open;
        let joined = async {
            let (Ok(client), Ok(pod)) = tokio::join!(client, pod) else { return };
            // An error ends both sides, which is all there is to do about it.
            let _ = copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(pod)).await;
        };
        let stopped = async {
            let Ok(phase) = phase.wait_for(|p| matches!(p, Phase::Stopping(_))).await else { return };
            if let Phase::Stopping(deadline) = *phase {
                drop(phase);
                tokio::time::sleep_until(deadline.into()).await;
            }
        };
        tokio::select! {
            () = joined => {}
            () = stopped => {}
        }
    });
}
