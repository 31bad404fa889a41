//! The control task.

use std::net::SocketAddr;

use strait_catalog::ClusterId;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{SyncConfig, SyncParts};
use crate::status::SyncStatus;

/// The way to the control task from elsewhere. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SyncHandle {
    status: watch::Receiver<SyncStatus>,
}

impl SyncHandle {
    /// Takes over a TLS stream that the gateway accepted with ALPN `strait-sync/1`. `peer` is the cluster that the
    /// peer's certificate proved, `address` is for status only. May be called from any thread; it never blocks.
    pub fn accept<S>(&self, stream: S, peer: ClusterId, address: Option<SocketAddr>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let _ = (stream, peer, address);
    }

    /// The current status, at most a second old.
    #[must_use]
    pub fn status(&self) -> SyncStatus {
        self.status.borrow().clone()
    }

    /// The status as it changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<SyncStatus> {
        self.status.clone()
    }
}

/// Starts the control task on the current tokio runtime. It owns the catalog, takes inputs and sessions, publishes
/// snapshots, and ends with `stop`.
///
/// # Panics
/// Outside of a tokio runtime.
#[must_use]
pub fn start(config: SyncConfig, parts: SyncParts, tracker: &TaskTracker, stop: CancellationToken) -> SyncHandle {
    let _ = (config, parts, tracker, stop);
    unimplemented!("being written")
}
