//! The agent's view of its own cluster: watches in, [`Input`] out.
//!
//! One list and watch for each kind, each independent of the others:
//!
//! ```text
//!            ┌────────────────────── 410, 404, epoch, garbage ──────────────────┐
//!            ▼                                                                  │
//! list in pages ──► guard ──► Input::Relist ──► watch from the list's revision ─┤
//! (quorum read)     (½ gone?                    30–60 s, bookmarks              │
//!            ▲       list again)                   │        ▲                   │
//!            │                                     ▼        │ same revision,    │
//!   backoff ─┘                            Input::Records ───┘ backoff if broken ┘
//! ```
//!
//! The list's own revision is what deletions are dated with, which is why kube's `watcher` is not used: it does not
//! tell. What is decided here, and why:
//!
//! - **Versions follow the object.** A record's version is the object's `resourceVersion`, also when the update did
//!   not change the projection. To suppress such updates would leave two siblings, started at different times, with
//!   equal content at different versions, and the repair between them would never rest. The price is small: node
//!   heartbeats are Leases, and a Node object itself is written every five minutes or on a change.
//! - **Identity is the object, not the key.** Which record an object last stood for is remembered, so an
//!   EndpointSlice whose service label changes leaves a tombstone under the old service.
//! - **A kind that is not served** (no MCS CRDs yet, or no longer) is an empty kind, not an error: it is listed as
//!   empty and asked for again every few seconds. The revision of that empty list is the one of a quorum list of
//!   Services, limited to one object and read *after* the 404: custom resources live in the same etcd, so whatever
//!   was deleted with the CRD was deleted at or before it. Where a 404 would remove anything, it is asked for twice:
//!   one API server of several may not have heard of a new CRD yet.
//! - **A kind that may not be read** because the rights are from before it existed (TrafficPolicies) is empty as well,
//!   unless objects of it are known.
//! - **A relist that removes more than half** of a kind's objects (and more than one) is read again after a pause,
//!   and only the second list counts.
//! - **Revisions that go back** mean a restored etcd. Nothing of such a list is passed on, since all of it would look
//!   older than what is known; it is reported and tried again until the epoch was raised ([`crate::epoch`]). An API
//!   server accepts a watch from a revision that it has not reached, and then says nothing until it has; so after a
//!   watch that did not end by itself the server's revision is asked for before the next one. What cannot be noticed:
//!   a server that was restored and has passed the old revision before it was reached again.
//! - **Objects that cannot be read or used** are left out, counted and named, alone. An object without an integer
//!   `resourceVersion` is another matter: then the server's revisions are no clock, and the whole kind is refused.
//! - **By name where one object is meant**: the two ConfigMaps are watched by field selector, so that the agent's
//!   role can name them.
//! - **Not one byte before the first list**: each kind starts with one complete list, so the catalog can tell when it
//!   has everything ([`SourceStatus::wait_synced`]).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use kube::Client;
use strait_catalog::{ClusterId, Input, Kind};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

mod backoff;
mod cycle;
mod epoch_cell;
mod error;
mod follow;
mod guard;
mod lines;
mod list;
mod object;
mod project;
mod quarantine;
mod status;
mod stream;
mod target;
mod wire;

use cycle::Cycle;
use epoch_cell::EpochCell;
use follow::{Epochs, Imports, Peers, Records};
use target::Watched;

use crate::metrics::SourceMetrics;

pub use error::{SourceError, Unfit};
pub use project::{
    project_cluster, project_export, project_gateway, project_import, project_peer, project_policy, project_service,
    project_slice, read_listeners,
};
pub use status::{KindReport, SourceStatus, WatchState};

/// How often the age gauges are set.
const AGE_TICK: Duration = Duration::from_secs(5);

/// What the source must know before it can read anything.
#[derive(Clone, Debug)]
pub struct SourceConfig {
    /// The id of this cluster; ConfigMap `strait-cluster` must agree.
    pub cluster: ClusterId,
    /// The lowest epoch to use; ConfigMap `strait-epoch` raises it.
    pub epoch: u64,
    /// The port under which other clusters reach a node's gateway; `None` when they cannot reach nodes.
    pub gateway_port: Option<u16>,
    /// The address on which the proxy listens for imported services.
    pub bind: IpAddr,
    /// The API server's name for messages, usually its URL.
    pub server: String,
}

/// Watches until stopped, and tells all it sees over `tx`. Never gives up: whatever fails is reported in `status` and
/// tried again with backoff.
///
/// Sends exactly one complete list of each kind (`Relist` for Services, Exports, Slices, Gateways, Policies and the Cluster;
/// `Imports`; `Peers`) before anything else of that kind, and the epoch before each list of records; `tx` must hold two
/// inputs at least. Returns when `stop` is cancelled or nobody receives.
pub async fn run(
    client: Client,
    config: SourceConfig,
    tx: mpsc::Sender<Input>,
    status: SourceStatus,
    stop: CancellationToken,
) {
    // Of one's own: when nobody receives, the watches end, and nothing else.
    let stop = stop.child_token();
    let _ended_with_this = stop.clone().drop_guard();
    let epoch = EpochCell::new(config.epoch);
    let tracker = TaskTracker::new();
    let cycle = |watched| Cycle::new(watched, &client, &config.server, &tx, &status, &epoch);
    let records = |kind, read| Records::new(kind, config.clone(), read);

    spawn(&tracker, &stop, cycle(Watched::Epoch), Epochs::new(epoch.clone()));
    spawn(&tracker, &stop, cycle(Watched::Cluster), records(Kind::CLUSTER, project::read_cluster));
    spawn(&tracker, &stop, cycle(Watched::Service), records(Kind::SERVICE, project::read_service));
    spawn(&tracker, &stop, cycle(Watched::EndpointSlice), records(Kind::SLICE, project::read_slice));
    spawn(&tracker, &stop, cycle(Watched::ServiceExport), records(Kind::EXPORT, project::read_export));
    spawn(&tracker, &stop, cycle(Watched::Node), records(Kind::GATEWAY, project::read_gateway));
    spawn(&tracker, &stop, cycle(Watched::TrafficPolicy), records(Kind::POLICY, project::read_policy));
    spawn(&tracker, &stop, cycle(Watched::ServiceImport), Imports::new(config.bind));
    spawn(&tracker, &stop, cycle(Watched::ClusterPeer), Peers::new(config.cluster.clone()));
    tracker.spawn(tell_ages(status, stop));
    tracker.close();
    tracker.wait().await;
}

fn spawn<F: follow::Follow>(tracker: &TaskTracker, stop: &CancellationToken, cycle: Cycle, follow: F) {
    let stop = stop.clone();
    tracker.spawn(async move {
        // Nothing of a cycle needs to be cleaned up: it only reads.
        tokio::select! {
            () = stop.cancelled() => {}
            // Nobody receives any more, so the other cycles have no use either.
            () = cycle.run(follow) => stop.cancel(),
        }
    });
}

async fn tell_ages(status: SourceStatus, stop: CancellationToken) {
    let gauges: BTreeMap<_, _> =
        Watched::ALL.into_iter().map(|kind| (kind, SourceMetrics::new(kind.as_str()).age_seconds)).collect();
    let mut tick = tokio::time::interval(AGE_TICK);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        for (kind, age) in status.ages() {
            if let Some(gauge) = gauges.get(&kind) {
                gauge.set(age.as_secs_f64());
            }
        }
    }
}
