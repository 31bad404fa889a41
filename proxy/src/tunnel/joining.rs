//! An upgrade that a pod of this cluster has granted, from its 101 to the end of both sides.

use std::rc::Rc;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

use super::{Side, stopped};
use crate::attempt::Held;
use crate::client::LeftHttp;
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
    pub(crate) fn start(self, worker: &Rc<Worker>, flight: InFlight) {
        let Self { client, pod, over } = self;
        let open = worker.metrics.tunnel();
        let worker = worker.clone();
        worker.tasks.clone().spawn_local(async move {
            let _held = (open, flight);
            let joined = async {
                let (Some((client, _counts)), Ok(pod)) = tokio::join!(client.left(), pod) else { return };
                drop(over);
                let mut pod = TokioIo::new(pod);
                // An error ends both sides, which is all there is to do about it.
                let _ = match client {
                    Side::Tcp(mut client, ahead) => {
                        use tokio::io::AsyncWriteExt as _;
                        if pod.write_all(&ahead).await.is_err() {
                            return;
                        }
                        copy_bidirectional(&mut client, &mut pod).await
                    }
                    Side::Stream(mut client) => copy_bidirectional(&mut client, &mut pod).await,
                    Side::Upgraded(mut client) => copy_bidirectional(&mut client, &mut pod).await,
                };
            };
            tokio::select! {
                () = joined => {}
                () = stopped(&worker) => {}
            }
        });
    }
}
