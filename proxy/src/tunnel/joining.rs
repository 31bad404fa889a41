//! An upgrade that a pod of this cluster has granted, from its 101 to the end of both sides.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use hyper::upgrade::OnUpgrade;

use super::both_ways::both_ways;
use super::stopped;
use crate::attempt::Held;
use crate::client::{Left, LeftHttp, Scratch};
use crate::pods::{PodIo, left_http};
use crate::route::InFlight;
use crate::worker::Worker;

/// A client's upgrade that a pod of this cluster has granted, before the client has been told.
pub(crate) struct Joining {
    pub(crate) client: LeftHttp,
    pub(crate) pod: OnUpgrade,
    /// What the grant came over.
    pub(crate) over: Box<Held>,
}

impl Joining {
    /// Joins both sides once they have left HTTP. Ends at the deadline of a stop. Until then it is one of those that the
    /// pod has under way, as a raw connection is.
    pub(crate) fn start(self, worker: &Rc<Worker>, mut flight: InFlight) {
        flight.leave_place();
        let Self { client, pod, over } = self;
        let open = worker.metrics.tunnel();
        let worker = worker.clone();
        worker.tasks.clone().spawn_local(async move {
            let _held = (open, flight);
            let joined = async {
                let (Some(client), Some(pod)) = tokio::join!(client.left(), left_http(pod)) else { return };
                drop(over);
                join(client, pod, &worker.scratch).await;
            };
            tokio::select! {
                () = joined => {}
                () = stopped(&worker) => {}
            }
        });
    }
}

async fn join(client: Left, (mut pod, said): (PodIo, Bytes), scratch: &RefCell<Scratch>) {
    let joined = match client {
        Left::Whole(mut tcp, ahead, _entered) => both_ways((&mut tcp, &mut pod), (ahead, said), scratch).await,
        Left::Stream(mut stream, _held) => both_ways((&mut stream, &mut pod), (Bytes::new(), said), scratch).await,
    };
    // The client's connection is closed only: a reset might overtake the last word of a pod that broke off behind it, and
    // what is spoken has an end of its own (WebSocket: RFC 6455 §7.1.5).
    if joined.is_err() {
        pod.reset_on_close();
    }
}
