//! The daemons of the own cluster, as the endpoints of the gateway's Service tell.

use std::net::SocketAddr;

use strait_catalog::{Condition, Published, ServiceKey, Snapshot};
use strait_gossip::{DaemonId, Member};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Namespace and name of the Service in front of all agents' gateways.
const GATEWAY_SERVICE: (&str, &str) = ("strait-system", "strait-gateway");

/// The members in one snapshot, by pod address, which is also each daemon's id.
pub(crate) fn members(snapshot: &Snapshot, gateway_port: u16) -> Vec<Member> {
    let (namespace, name) = GATEWAY_SERVICE;
    let key = ServiceKey::new(namespace, name).expect("both are labels");
    let Some(backend) = snapshot.service(&key).and_then(|v| v.backends.get(&snapshot.local)) else {
        return Vec::new();
    };
    let member = |e: &strait_catalog::Endpoint| Member {
        id: DaemonId::new(&e.address.to_string()),
        address: SocketAddr::new(e.address, gateway_port),
        ready: e.condition == Condition::Ready,
    };
    backend.endpoints.iter().map(member).collect()
}

/// Follows the snapshots.
pub(crate) fn follow(
    published: &Published,
    gateway_port: u16,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> watch::Receiver<Vec<Member>> {
    let (sender, receiver) = watch::channel(Vec::new());
    let published = published.clone();
    tasks.spawn(stop.clone().run_until_cancelled_owned(async move {
        let mut numbers = published.subscribe();
        loop {
            let now = members(&published.load(), gateway_port);
            sender.send_if_modified(|held| {
                let changed = *held != now;
                *held = now;
                changed
            });
            if numbers.changed().await.is_err() {
                return;
            }
        }
    }));
    receiver
}
