//! Replication: how every daemon of every cluster comes to hold the same records.
//!
//! **Owns** the sync protocol's frames, the replication [`engine`], the choice of who talks to whom ([`topology`]),
//! the sessions and the one control task that owns the [`strait_catalog::Catalog`] ([`start`]), and the simulator.
//! **Never does**: talk to Kubernetes or HTTP, answer DNS, route a request, decide whom to trust (that is
//! `strait-identity`), or take a cluster out of traffic because it was not heard of.
//!
//! ```text
//! Input (watches, file) ─┐                                   ┌─► Published (snapshots)
//!                        ├─► control task: Engine ⟷ Catalog ─┤
//! sessions ⟶ Frame ──────┘     ▲ time, seed as arguments      └─► SyncStatus, metrics
//!    ▲                         │
//!    │  mTLS, ALPN strait-sync/1, u32 length + protobuf
//!    ├── dialled: remote gateways (two winners a cluster), the own cluster's two winners
//!    └── accepted: the gateway's listener hands them over (SyncHandle::accept)
//! ```
//!
//! The engine has no socket, no clock and no thread, so the same code runs in the daemon and, by the thousand, in
//! the simulator.

pub mod backoff;
mod config;
mod driver;
pub mod engine;
pub mod frame;
mod metrics;
mod session;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
mod status;
pub mod topology;

pub use config::{DaemonId, Member, PeersHook, SyncConfig, SyncParts};
pub use driver::{SyncHandle, start};
pub use status::{Direction, OwnStatus, PeerStatus, SessionStatus, SyncStatus};
