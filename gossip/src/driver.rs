//! The control task: the one place that owns the engine, and with it the catalog.
//!
//! Everything else is a task that does I/O and talks to it over bounded channels: sessions, dialers, the source of
//! inputs. The control task never waits for any of them.

use std::net::SocketAddr;
use std::sync::Arc;

use strait_catalog::{ClusterId, Published};
use strait_identity::PeerError;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{DaemonId, SyncConfig, SyncParts};
use crate::engine::{Engine, EngineConfig, Limits, PeerInfo};
use crate::session::{self, Event, SessionIds};
use crate::status::{Direction, OwnStatus, PeerStatus, SyncStatus};

mod control;
mod dial;
mod overview;
#[cfg(test)]
mod tests;

use control::Control;

/// Events on their way to the control task; the largest are frames of up to a mebibyte, usual ones far smaller.
const EVENTS: usize = 128;

/// The way to the control task from elsewhere. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SyncHandle {
    status: watch::Receiver<SyncStatus>,
    events: mpsc::Sender<Event>,
    ids: SessionIds,
    tracker: TaskTracker,
    runtime: Handle,
}

impl SyncHandle {
    /// Takes over a TLS stream that the gateway accepted with ALPN `strait-sync/1`. `peer` is the cluster that the
    /// peer's certificate proved, `address` is for status only. May be called from any thread; it never blocks. The
    /// session runs on the control task's runtime, while the socket stays with the runtime that accepted it. It ends
    /// when `distrusted` says why the peer would no longer be let in.
    pub fn accept<S>(
        &self,
        stream: S,
        peer: ClusterId,
        address: Option<SocketAddr>,
        distrusted: impl Future<Output = PeerError> + Send + 'static,
    ) where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let peer = PeerInfo { cluster: peer, direction: Direction::Accepted };
        let session = session::run(stream, self.ids.next(), peer, address, distrusted, self.events.clone());
        self.tracker.spawn_on(session, &self.runtime);
    }

    /// The current status, at most a second old.
    #[must_use]
    pub fn status(&self) -> SyncStatus {
        self.status.borrow().clone()
    }

    /// The status as it changes. It closes when the control task has ended: after `stop`, or by a bug, and then
    /// nothing is replicated or published any more and the process should end.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<SyncStatus> {
        self.status.clone()
    }
}

/// Starts the control task on the current tokio runtime. It owns the catalog, takes inputs and sessions, publishes
/// snapshots, and ends with `stop`, saying goodbye on every session.
///
/// # Panics
/// Outside of a tokio runtime.
#[must_use]
pub fn start(config: SyncConfig, parts: SyncParts, tracker: &TaskTracker, stop: CancellationToken) -> SyncHandle {
    let (events, received) = mpsc::channel(EVENTS);
    let engine = Engine::new(
        EngineConfig {
            daemon: config.daemon.clone(),
            leaf: config.leaf,
            expected: config.expected.clone(),
            imports_expected: config.imports_expected,
            seed: config.seed,
            limits: Limits::default(),
        },
        parts.catalog,
    );
    let cluster = engine.catalog().local().clone();
    let (told, status) = watch::channel(at_rest(&cluster, &config.daemon, config.leaf, &parts.published));
    let ids = SessionIds::default();
    let dialing = dial::Dialing {
        identity: parts.identity,
        published: parts.published.clone(),
        own: cluster,
        limit: Arc::default(),
        origin: config.origin,
        events: events.clone(),
        ids: ids.clone(),
    };
    let control = Control::new(config, engine, parts.published, parts.members, dialing, told, tracker.clone());
    tracker.spawn(control.run(parts.inputs, received, stop));
    SyncHandle { status, events, ids, tracker: tracker.clone(), runtime: Handle::current() }
}

/// The status before the control task has run.
fn at_rest(cluster: &ClusterId, daemon: &DaemonId, leaf: bool, published: &Published) -> SyncStatus {
    let siblings = PeerStatus {
        cluster: cluster.clone(),
        connected: false,
        dials: false,
        sessions: Vec::new(),
        last_error: None,
        records: 0,
        age_ms: None,
        head: None,
        lag_revisions: 0,
        equal: None,
        refused: 0,
        quarantined: 0,
    };
    SyncStatus {
        cluster: cluster.clone(),
        daemon: daemon.clone(),
        leaf,
        synced: false,
        isolated: false,
        snapshot: published.load().number,
        own: OwnStatus { records: 0, shown: 0, highest: strait_catalog::Version::default(), source_age_ms: 0 },
        siblings,
        peers: Vec::new(),
    }
}
